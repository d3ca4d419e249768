/* address_count_test.c - every address is counted right, whatever comes and goes, and the table never grows. */
#include "tests/server/cmocka_all.h"

#include "server/address_count.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#define CONNECTIONS 300
#define ADDRESSES   40

static struct sockaddr_storage address_of(const char *text) {
    struct sockaddr_storage out = {0};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out;
    bool is_v6 = strchr(text, ':') != NULL;
    out.ss_family = is_v6 ? AF_INET6 : AF_INET;
    assert_int_equal(is_v6 ? inet_pton(AF_INET6, text, &v6->sin6_addr) : inet_pton(AF_INET, text, &v4->sin_addr), 1);
    return out;
}

static bool add(struct address_count *table, const char *text, uint32_t limit, uint32_t *slot) {
    struct sockaddr_storage address = address_of(text);
    return address_count_add(table, &address, limit, slot);
}

static void a_limit_holds_for_one_address_and_ends_with_its_connections(void **state) {
    struct address_count *table = address_count_new(10);
    uint32_t slots[4];
    (void)state;
    assert_true(add(table, "192.0.2.1", 2, &slots[0]));
    assert_true(add(table, "192.0.2.1", 2, &slots[1]));
    assert_false(add(table, "192.0.2.1", 2, &slots[2]));
    assert_true(add(table, "192.0.2.2", 2, &slots[2]));
    assert_int_equal(address_count_size(table), 2);
    address_count_remove(table, slots[0]);
    assert_true(add(table, "192.0.2.1", 2, &slots[0]));
    assert_true(add(table, "192.0.2.1", 0, &slots[3]));
    for (int i = 0; i < 4; i++) address_count_remove(table, slots[i]);
    assert_int_equal(address_count_size(table), 0);
    address_count_free(table);
}

static void a_network_of_ipv6_counts_as_one_address(void **state) {
    struct address_count *table = address_count_new(10);
    uint32_t slots[4];
    (void)state;
    assert_true(add(table, "2001:db8:0:1::1", 2, &slots[0]));
    assert_true(add(table, "2001:db8:0:1:ffff::2", 2, &slots[1]));
    assert_false(add(table, "2001:db8:0:1::3", 2, &slots[2]));
    assert_true(add(table, "2001:db8:0:2::1", 2, &slots[2]));
    assert_int_equal(address_count_size(table), 2);
    address_count_free(table);
}

static void ipv4_and_ipv6_do_not_meet(void **state) {
    struct address_count *table = address_count_new(10);
    uint32_t slot;
    (void)state;
    assert_true(add(table, "0.0.0.0", 1, &slot));
    assert_true(add(table, "::1", 1, &slot));
    assert_true(add(table, "0:0:c000:201::", 1, &slot));
    assert_true(add(table, "192.0.2.1", 1, &slot));
    assert_int_equal(address_count_size(table), 4);
    address_count_free(table);
}

static void beyond_its_entries_it_takes_known_addresses_only(void **state) {
    struct address_count *table = address_count_new(2);
    uint32_t slots[3];
    (void)state;
    assert_true(add(table, "192.0.2.1", 0, &slots[0]));
    assert_true(add(table, "192.0.2.2", 0, &slots[1]));
    assert_false(add(table, "192.0.2.3", 0, &slots[2]));
    assert_true(add(table, "192.0.2.2", 0, &slots[2]));
    address_count_remove(table, slots[0]);
    assert_true(add(table, "192.0.2.3", 0, &slots[0]));
    address_count_free(table);
}

/* Against counts kept in an array. */
static void whatever_comes_and_goes_every_address_is_counted_right(void **state) {
    struct address_count *table = address_count_new(CONNECTIONS);
    struct {
        unsigned address;
        uint32_t slot;
    } open[CONNECTIONS];
    uint32_t counts[ADDRESSES] = {0}, count = 0, seed = 12345;
    (void)state;
    for (int step = 0; step < 100000; step++) {
        seed = seed * 1664525 + 1013904223;
        uint32_t dice = seed >> 8;
        if (count < CONNECTIONS && dice % 5 < 3) {
            unsigned address = dice / 5 % ADDRESSES, limit = 10;
            struct sockaddr_storage storage = {.ss_family = AF_INET};
            ((struct sockaddr_in *)&storage)->sin_addr.s_addr = htonl(0xc0000200u + address);
            bool added = address_count_add(table, &storage, limit, &open[count].slot);
            assert_int_equal(added, counts[address] < limit);
            if (!added) continue;
            counts[address]++;
            open[count++].address = address;
        } else if (count) {
            uint32_t victim = dice / 5 % count;
            address_count_remove(table, open[victim].slot);
            counts[open[victim].address]--;
            open[victim] = open[--count];
        }
        uint32_t present = 0;
        for (size_t i = 0; i < ADDRESSES; i++) present += counts[i] > 0;
        assert_int_equal(address_count_size(table), present);
    }
    address_count_free(table);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_limit_holds_for_one_address_and_ends_with_its_connections),
        cmocka_unit_test(a_network_of_ipv6_counts_as_one_address),
        cmocka_unit_test(ipv4_and_ipv6_do_not_meet),
        cmocka_unit_test(beyond_its_entries_it_takes_known_addresses_only),
        cmocka_unit_test(whatever_comes_and_goes_every_address_is_counted_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
