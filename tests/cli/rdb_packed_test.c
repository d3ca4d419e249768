/* rdb_packed_test.c - the packed forms of a Redis dump, each encoding, cut at every byte; LZF. */
#include "cli/rdb_packed.h"
#include "tests/server/cmocka_all.h"

#include <stdlib.h>

#define BYTES(...)                                                                                                     \
    (const uint8_t[]) {                                                                                                \
        __VA_ARGS__                                                                                                    \
    }

/* All elements with commas; NULL: damaged. */
static const char *elements(enum packed_form form, const uint8_t *bytes, size_t size, char out[512]) {
    struct packed p;
    velocity_slice element;
    size_t used = 0;
    uint8_t *copy = malloc(size ? size : 1); /* of exactly that size: what reads beyond it is seen */
    if (size) memcpy(copy, bytes, size);
    bool good = packed_begin(&p, form, velocity_bytes(copy, size));
    while (good && packed_next(&p, &element)) {
        if (used) out[used++] = ',';
        if (element.size) memcpy(out + used, element.data, element.size);
        used += element.size;
    }
    good = good && !p.damaged;
    free(copy);
    out[used] = 0;
    return good ? out : NULL;
}

/* As a whole it is what is expected; cut anywhere it is damaged, or no more than a beginning. */
static void check(enum packed_form form, const uint8_t *bytes, size_t size, const char *expected) {
    char out[512];
    assert_non_null(elements(form, bytes, size, out));
    assert_string_equal(out, expected);
    for (size_t cut = 0; cut < size; cut++) assert_null(elements(form, bytes, cut, out));
}

static void a_listpack_holds_integers_and_strings_of_every_encoding(void **state) {
    (void)state;
    uint8_t bytes[] = {0,    0,    0,    0,    11,   0,                         /* sizes */
                       0x05, 1,                                                 /* 5 */
                       0x7F, 1,                                                 /* 127 */
                       0x82, 'a',  'b',  3,                                     /* "ab" */
                       0xC0, 0x80, 2,                                           /* 128 */
                       0xDF, 0xFF, 2,                                           /* -1 */
                       0xE0, 0x01, 'x',  3,                                     /* "x", 12 bits of length */
                       0xF0, 1,    0,    0,    0,    'y',  6,                   /* "y", 32 bits of length */
                       0xF1, 0x00, 0x80, 3,                                     /* -32768 */
                       0xF2, 0x00, 0x00, 0x80, 4,                               /* -8388608 */
                       0xF3, 0xFF, 0xFF, 0xFF, 0x7F, 5,                         /* 2147483647 */
                       0xF4, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x80, 9, /* the least */
                       0xFF};
    bytes[0] = sizeof bytes;
    check(PACKED_LISTPACK, bytes, sizeof bytes, "5,127,ab,128,-1,x,y,-32768,-8388608,2147483647,-9223372036854775808");
}

static void a_ziplist_holds_integers_and_strings_of_every_encoding(void **state) {
    (void)state;
    uint8_t bytes[] = {0,    0,    0,    0,    0,    0,    0,   0, 9, 0, /* sizes */
                       0,    0x02, 'a',  'b',                            /* "ab" */
                       4,    0x40, 0x01, 'x',                            /* "x", 14 bits of length */
                       4,    0x80, 0,    0,    0,    1,    'y',          /* "y", 32 bits, big-endian */
                       7,    0xC0, 0xFF, 0xFF,                           /* -1 */
                       4,    0xD0, 0,    0,    0,    0x80,               /* -2147483648 */
                       6,    0xE0, 1,    0,    0,    0,    0,   0, 0, 0, /* 1 */
                       10,   0xF0, 0,    0,    0x80,                     /* -8388608 */
                       5,    0xFE, 0x80,                                 /* -128 */
                       0xFE, 3,    0,    0,    0,    0xFD,               /* 12, a long length before */
                       0xFF};
    bytes[0] = sizeof bytes;
    check(PACKED_ZIPLIST, bytes, sizeof bytes, "ab,x,y,-1,-2147483648,1,-8388608,-128,12");
}

static void an_intset_holds_integers_of_three_widths(void **state) {
    (void)state;
    const uint8_t two[] = {2, 0, 0, 0, 2, 0, 0, 0, 0xFF, 0xFF, 5, 0};
    const uint8_t four[] = {4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0x80};
    const uint8_t eight[] = {8, 0, 0, 0, 1, 0, 0, 0, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
    check(PACKED_INTSET, two, sizeof two, "-1,5");
    check(PACKED_INTSET, four, sizeof four, "-2147483648");
    check(PACKED_INTSET, eight, sizeof eight, "-2");
    char out[512];
    assert_null(elements(PACKED_INTSET, BYTES(3, 0, 0, 0, 0, 0, 0, 0), 8, out));
    assert_null(elements(PACKED_INTSET, BYTES(8, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF), 8, out));
}

static void lzf_gives_back_what_was_packed_and_nothing_else(void **state) {
    (void)state;
    /* "aaaaaaaaaa": one literal, then nine copied from one back (long form: 7 + 2 more, minus 2) */
    const uint8_t packed[] = {0x00, 'a', 0xE0, 0x00, 0x00};
    uint8_t out[10];
    assert_true(lzf_decompress(velocity_bytes(packed, sizeof packed), out, sizeof out));
    assert_memory_equal(out, "aaaaaaaaaa", sizeof out);
    for (size_t cut = 0; cut < sizeof packed; cut++)
        assert_false(lzf_decompress(velocity_bytes(packed, cut), out, sizeof out));
    assert_false(lzf_decompress(velocity_bytes(packed, sizeof packed), out, 9));
    const uint8_t before[] = {0x00, 'a', 0x20, 0x05}; /* from before the beginning */
    assert_false(lzf_decompress(velocity_bytes(before, sizeof before), out, 4));
}

/* Redis spends one group more on a length that would just fit its groups. */
static void a_listpack_holds_elements_whose_length_just_fits_its_groups(void **state) {
    (void)state;
    const struct {
        size_t element, back; /* bytes of it, with its encoding; of the length behind it */
    } cases[] = {{127, 1}, {128, 2}, {16382, 2}, {16383, 3}, {16384, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t head = cases[i].element < 4096 ? 2 : 5, text = cases[i].element - head;
        size_t size = 6 + cases[i].element + cases[i].back + 2 + 1;
        uint8_t *bytes = calloc(1, size), *p = bytes + 6;
        for (size_t b = 0; b < 4; b++) bytes[b] = (uint8_t)(size >> (8 * b));
        if (head == 2) {
            p[0] = (uint8_t)(0xE0 | text >> 8);
            p[1] = (uint8_t)text;
        } else {
            p[0] = 0xF0;
            for (size_t b = 0; b < 4; b++) p[1 + b] = (uint8_t)(text >> (8 * b));
        }
        memset(p + head, 'x', text);
        p += cases[i].element + cases[i].back;
        p[0] = 5, p[1] = 1, p[2] = 0xFF;
        struct packed packed;
        velocity_slice element;
        assert_true(packed_begin(&packed, PACKED_LISTPACK, velocity_bytes(bytes, size)));
        assert_true(packed_next(&packed, &element));
        assert_int_equal(element.size, text);
        assert_true(packed_next(&packed, &element));
        assert_int_equal(element.size, 1);
        assert_memory_equal(element.data, "5", 1);
        assert_false(packed_next(&packed, &element));
        assert_false(packed.damaged);
        free(bytes);
    }
}

static void the_checksum_is_the_one_of_redis(void **state) {
    (void)state;
    assert_int_equal(rdb_checksum(0, velocity_str("123456789")), UINT64_C(0xe9c6d914c4b8d9ca));
    uint64_t half = rdb_checksum(0, velocity_str("1234"));
    assert_int_equal(rdb_checksum(half, velocity_str("56789")), UINT64_C(0xe9c6d914c4b8d9ca));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listpack_holds_integers_and_strings_of_every_encoding),
        cmocka_unit_test(a_ziplist_holds_integers_and_strings_of_every_encoding),
        cmocka_unit_test(an_intset_holds_integers_of_three_widths),
        cmocka_unit_test(lzf_gives_back_what_was_packed_and_nothing_else),
        cmocka_unit_test(a_listpack_holds_elements_whose_length_just_fits_its_groups),
        cmocka_unit_test(the_checksum_is_the_one_of_redis),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
