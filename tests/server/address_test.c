/* address_test.c - which texts are addresses, and which addresses only this machine reaches. */
#include "server/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void an_address_is_written_as_it_is_read(void **state) {
    (void)state;
    static const char *const texts[] = {"127.0.0.1:2005", "[::1]:0", "192.0.2.7:65535", "[2001:db8::1]:80"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct address address;
        char text[ADDRESS_TEXT_BYTES];
        assert_true(address_parse(texts[i], &address));
        address_format(&address, address_port(&address), text);
        assert_string_equal(text, texts[i]);
    }
}

static void localhost_is_the_loopback_address(void **state) {
    (void)state;
    struct address address;
    char text[ADDRESS_TEXT_BYTES];
    assert_true(address_parse("localhost:1", &address));
    assert_true(address_is_loopback(&address));
    address_format(&address, 99, text);
    assert_string_equal(text, "127.0.0.1:99");
}

static void what_is_no_address_is_refused(void **state) {
    (void)state;
    static const char *const texts[] = {"",
                                        ":",
                                        ":80",
                                        "127.0.0.1",
                                        "127.0.0.1:",
                                        "127.0.0.1:65536",
                                        "127.0.0.1:-1",
                                        "127.0.0.1: 80",
                                        "127.0.0.1:80x",
                                        "127.0.0.1:000080",
                                        "127.0.1:80",
                                        "example.org:80",
                                        "::1:80",
                                        "[::1]",
                                        "[::1",
                                        "[::1]80",
                                        "[127.0.0.1]:80",
                                        "[fe80::1%lo]:80",
                                        "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:80"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct address address;
        if (address_parse(texts[i], &address)) fail_msg("\"%s\" was taken for an address", texts[i]);
    }
}

static void only_loopback_addresses_count_as_loopback(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool loopback;
    } cases[] = {{"127.0.0.1:1", true},          {"127.255.0.9:1", true},       {"[::1]:1", true},
                 {"[::ffff:127.0.0.1]:1", true}, {"0.0.0.0:1", false},          {"[::]:1", false},
                 {"128.0.0.1:1", false},         {"[::ffff:10.0.0.1]:1", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct address address;
        assert_true(address_parse(cases[i].text, &address));
        assert_int_equal(address_is_loopback(&address), cases[i].loopback);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_written_as_it_is_read),
        cmocka_unit_test(localhost_is_the_loopback_address),
        cmocka_unit_test(what_is_no_address_is_refused),
        cmocka_unit_test(only_loopback_addresses_count_as_loopback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
