/* network_test.c - which texts are networks, and who is in them. */
#include "server/network.h"
#include "tests/server/cmocka_all.h"

#include <sys/socket.h>

static bool has(const char *network_text, const char *address_text) {
    struct network network;
    struct in6_addr address;
    if (!network_parse(network_text, &network)) fail_msg("%s is no network", network_text);
    assert_true(network_address(velocity_str(address_text), &address));
    return network_has(&network, &address);
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

static void a_proxy_may_write_an_address_with_port_and_brackets(void **state) {
    static const struct {
        const char *text, *address; /* NULL: none */
    } cases[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"192.0.2.1:443", "192.0.2.1"},
        {"2001:db8::1", "2001:db8::1"},
        {"[2001:db8::1]", "2001:db8::1"},
        {"[2001:db8::1]:65535", "2001:db8::1"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"", NULL},
        {"unknown", NULL},
        {"_hidden", NULL},
        {"192.0.2.1:", NULL},
        {"192.0.2.1:port", NULL},
        {"[192.0.2.1]", NULL},
        {"[2001:db8::1", NULL},
        {"[2001:db8::1]x", NULL},
        {"192.0.2.1 ", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct in6_addr address;
        char text[NETWORK_TEXT_BYTES];
        bool is = network_address(velocity_str(cases[i].text), &address);
        if (is != (cases[i].address != NULL)) fail_msg("\"%s\"", cases[i].text);
        if (!is) continue;
        network_format(&address, text);
        assert_string_equal(text, cases[i].address);
    }
}

static void what_is_loopback_is_told_and_other_families_are_none(void **state) {
    static const char *const inside[] = {"127.0.0.1", "127.255.255.255", "::1", "::ffff:127.0.0.9"};
    static const char *const outside[] = {"128.0.0.1", "::2", "::ffff:10.0.0.1", "0.0.0.0", "::"};
    struct in6_addr address;
    (void)state;
    for (size_t i = 0; i < COUNT(inside); i++) {
        assert_true(network_address(velocity_str(inside[i]), &address));
        assert_true(network_is_loopback(&address));
    }
    for (size_t i = 0; i < COUNT(outside); i++) {
        assert_true(network_address(velocity_str(outside[i]), &address));
        assert_false(network_is_loopback(&address));
    }
    struct sockaddr other = {.sa_family = AF_UNIX};
    assert_false(network_of_socket(&other, &address));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_in_its_networks_and_in_no_other),
        cmocka_unit_test(an_address_mapped_into_ipv6_is_the_one_of_ipv4),
        cmocka_unit_test(other_texts_are_no_networks),
        cmocka_unit_test(a_proxy_may_write_an_address_with_port_and_brackets),
        cmocka_unit_test(what_is_loopback_is_told_and_other_families_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
