/* network_test.c - which texts are networks, and who is in them. */
#include "server/network.h"
#include "tests/server/cmocka_all.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static bool has(const char *network_text, const char *address_text) {
    struct network network;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (!network_parse(network_text, &network)) fail_msg("%s is no network", network_text);
    if (inet_pton(AF_INET, address_text, &v4.sin_addr) == 1) return network_has(&network, (const struct sockaddr *)&v4);
    assert_int_equal(inet_pton(AF_INET6, address_text, &v6.sin6_addr), 1);
    return network_has(&network, (const struct sockaddr *)&v6);
}

static void an_address_is_in_its_networks_and_in_no_other(void **state) {
    (void)state;
    assert_true(has("192.0.2.7", "192.0.2.7"));
    assert_false(has("192.0.2.7", "192.0.2.6"));
    assert_true(has("10.0.0.0/8", "10.255.0.1"));
    assert_false(has("10.0.0.0/8", "11.0.0.0"));
    assert_true(has("192.0.2.128/25", "192.0.2.255"));
    assert_false(has("192.0.2.128/25", "192.0.2.127"));
    assert_true(has("0.0.0.0/0", "203.0.113.9"));
    assert_false(has("0.0.0.0/0", "2001:db8::1"));
    assert_true(has("2001:db8::/33", "2001:db8:7fff::1"));
    assert_false(has("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(has("::/0", "2001:db8::1"));
    assert_true(has("::1", "::1"));
    assert_false(has("::1/128", "::2"));
}

static void an_address_mapped_into_ipv6_is_the_one_of_ipv4(void **state) {
    (void)state;
    assert_true(has("10.0.0.0/8", "::ffff:10.1.2.3"));
    assert_true(has("::ffff:10.0.0.0/104", "10.1.2.3"));
    assert_false(has("10.0.0.0/8", "::10.1.2.3"));
}

static void other_texts_are_no_networks(void **state) {
    (void)state;
    static const char *const texts[] = {
        "",           "/8",           "proxy",    "10.0.0.0/",    "10.0.0.0/33",    "10.0.0.0/-1",    "10.0.0.0/8 ",
        "10.0.0.1/8", "10.0.0.0/08x", "10.0.0/8", "10.0.0.0/8/8", "2001:db8::/129", "2001:db8::1/64", "[::1]",
        "::1%lo",     "10.0.0.0/1000"};
    struct network network;
    for (size_t i = 0; i < COUNT(texts); i++)
        if (network_parse(texts[i], &network)) fail_msg("\"%s\" is taken for a network", texts[i]);
    char giant[4096];
    memset(giant, '1', sizeof giant - 1);
    giant[sizeof giant - 1] = '\0';
    assert_false(network_parse(giant, &network));
}

static void an_address_of_another_family_is_in_none(void **state) {
    (void)state;
    struct network network;
    struct sockaddr other = {.sa_family = AF_UNIX};
    assert_true(network_parse("::/0", &network));
    assert_false(network_has(&network, &other));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_in_its_networks_and_in_no_other),
        cmocka_unit_test(an_address_mapped_into_ipv6_is_the_one_of_ipv4),
        cmocka_unit_test(other_texts_are_no_networks),
        cmocka_unit_test(an_address_of_another_family_is_in_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
