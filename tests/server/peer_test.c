/* peer_test.c - an address is read as what it is, and the last owner gives back what it held. */
#include "tests/server/cmocka_all.h"

#include "server/deadline.h"
#include "server/opening.h"
#include "server/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static struct peer *peer_of(const char *text) {
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(7)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(7)};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) return peer_new((struct sockaddr *)&v4, sizeof v4);
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return peer_new((struct sockaddr *)&v6, sizeof v6);
}

static void an_address_is_read_as_what_it_is(void **state) {
    static const struct {
        const char *text, *read;
        int family;
        bool loopback;
    } cases[] = {
        {"127.0.0.1", "127.0.0.1", AF_INET, true},         {"127.200.0.9", "127.200.0.9", AF_INET, true},
        {"192.0.2.1", "192.0.2.1", AF_INET, false},        {"::1", "::1", AF_INET6, true},
        {"2001:db8::1", "2001:db8::1", AF_INET6, false},   {"::ffff:127.0.0.1", "127.0.0.1", AF_INET, true},
        {"::ffff:192.0.2.1", "192.0.2.1", AF_INET, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct peer *peer = peer_of(cases[i].text);
        assert_string_equal(peer->text, cases[i].read);
        assert_int_equal(peer->address.ss_family, cases[i].family);
        assert_int_equal(peer->loopback, cases[i].loopback);
        assert_int_equal(peer_address_size(peer),
                         cases[i].family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        assert_false(peer->tls);
        peer_free(peer);
    }
}

static void what_is_no_known_address_is_nobodys_neighbour(void **state) {
    struct sockaddr_storage address = {.ss_family = AF_UNIX};
    struct sockaddr_in6 cut = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct peer *peers[2];
    (void)state;
    peers[0] = peer_new((struct sockaddr *)&address, sizeof address);
    peers[1] = peer_new((struct sockaddr *)&cut, sizeof(struct sockaddr_in));
    for (int i = 0; i < 2; i++) {
        assert_string_equal(peers[i]->text, "unknown");
        assert_false(peers[i]->loopback);
        peer_free(peers[i]);
    }
    peer_free(NULL);
}

static int released;

static void count_release(const struct peer *peer) {
    assert_string_equal(peer->text, "192.0.2.1");
    released++;
}

static void only_the_last_owner_gives_back_what_it_holds(void **state) {
    struct peer *peer = peer_of("192.0.2.1");
    (void)state;
    peer->release = count_release;
    assert_ptr_equal(peer_acquire(peer), peer);
    peer_free(peer);
    assert_int_equal(released, 0);
    peer_free(peer);
    assert_int_equal(released, 1);
}

static void the_first_bytes_decide_as_soon_as_they_can(void **state) {
    static const struct {
        const char *bytes;
        enum opening opening;
    } cases[] = {{"", OPENING_UNDECIDED},    {"O", OPENING_UNDECIDED},   {"OL", OPENING_UNDECIDED},
                 {"OLE", OPENING_UNDECIDED}, {"OLEV", OPENING_VELOCITY}, {"OLEVx", OPENING_VELOCITY},
                 {"OP", OPENING_HTTP},       {"OLEW", OPENING_HTTP},     {"G", OPENING_HTTP},
                 {"\x16", OPENING_TLS},      {"\x16\x03", OPENING_TLS},  {"o", OPENING_HTTP}};
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        assert_int_equal(opening_of(cases[i].bytes, strlen(cases[i].bytes)), cases[i].opening);
}

static void deadlines_come_due_in_the_order_in_which_they_were_set(void **state) {
    struct deadline_queue queue;
    struct deadline a = {0}, b = {0}, c = {0};
    (void)state;
    deadline_queue_init(&queue, 100);
    assert_int_equal(deadline_next_us(&queue), UINT64_MAX);
    deadline_set(&queue, &a, 1000);
    deadline_set(&queue, &b, 1010);
    deadline_set(&queue, &c, 1020);
    deadline_set(&queue, &a, 1030); /* begins anew */
    assert_ptr_equal(deadline_take(&queue, 1109), NULL);
    assert_ptr_equal(deadline_take(&queue, 1110), &b);
    deadline_clear(&b); /* of no effect */
    assert_int_equal(deadline_next_us(&queue), 1120);
    deadline_clear(&c);
    assert_ptr_equal(deadline_take(&queue, 1129), NULL);
    assert_ptr_equal(deadline_take(&queue, 1130), &a);
    assert_ptr_equal(deadline_take(&queue, UINT64_MAX), NULL);
}

static void without_a_span_nothing_comes_due(void **state) {
    struct deadline_queue queue;
    struct deadline a = {0};
    (void)state;
    deadline_queue_init(&queue, 0);
    deadline_set(&queue, &a, 5);
    assert_ptr_equal(deadline_take(&queue, UINT64_MAX - 1), NULL);
    assert_int_equal(deadline_wait_ms(deadline_next_us(&queue), 5), -1);
    assert_ptr_equal(deadline_take(&queue, UINT64_MAX), &a);
    assert_int_equal(deadline_wait_ms(1001, 0), 2);
    assert_int_equal(deadline_wait_ms(7, 7), 0);
    assert_int_equal(deadline_wait_ms(UINT64_MAX - 1, 0), INT_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_read_as_what_it_is),
        cmocka_unit_test(what_is_no_known_address_is_nobodys_neighbour),
        cmocka_unit_test(only_the_last_owner_gives_back_what_it_holds),
        cmocka_unit_test(the_first_bytes_decide_as_soon_as_they_can),
        cmocka_unit_test(deadlines_come_due_in_the_order_in_which_they_were_set),
        cmocka_unit_test(without_a_span_nothing_comes_due),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
