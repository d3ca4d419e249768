/* utf8_test.c - every code point is UTF-8, and nothing else. */
#include "tests/server/cmocka_all.h"

#include "server/utf8.h"

/* RFC 3629, section 3: the bits behind the lead's mark, then six of each byte that follows. */
static uint32_t decoded(const unsigned char *p, size_t size) {
    uint32_t c = size == 1 ? p[0] : p[0] & (0x7Fu >> size);
    for (size_t i = 1; i < size; i++) c = c << 6 | (p[i] & 0x3Fu);
    return c;
}

static void every_code_point_encodes_to_a_valid_sequence_of_its_size(void **state) {
    (void)state;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        unsigned char bytes[4];
        size_t size;
        if (c >= 0xD800 && c <= 0xDFFF) continue;
        size = utf8_encode(c, bytes);
        if (size != (c < 0x80 ? 1u : c < 0x800 ? 2u : c < 0x10000 ? 3u : 4u)) fail_msg("U+%X takes %zu", c, size);
        if (utf8_sequence(bytes, bytes + size) != size) fail_msg("U+%X is refused", c);
        if (decoded(bytes, size) != c) fail_msg("U+%X comes back as U+%X", c, decoded(bytes, size));
        for (size_t cut = 1; cut < size; cut++)
            if (utf8_sequence(bytes, bytes + cut) != 0) fail_msg("U+%X cut to %zu is accepted", c, cut);
    }
}

/* As many sequences of two and three bytes as there are code points that take so many: then none is accepted twice. */
static void no_other_two_or_three_bytes_are_a_sequence(void **state) {
    size_t twos = 0, threes = 0;
    (void)state;
    for (uint32_t n = 0; n < 1u << 24; n++) {
        unsigned char bytes[3] = {(unsigned char)(n >> 16), (unsigned char)(n >> 8), (unsigned char)n};
        size_t size = utf8_sequence(bytes, bytes + 3);
        threes += size == 3;
        twos += size == 2 && bytes[2] == 0;
    }
    assert_int_equal(twos, 0x800 - 0x80);
    assert_int_equal(threes, 0x10000 - 0x800 - 0x800);
}

static void no_other_four_bytes_are_a_sequence(void **state) {
    static const unsigned char edges[] = {0x00, 0x7F, 0x80, 0xBF, 0xC0, 0xFF};
    size_t fours = 0;
    (void)state;
    for (unsigned lead = 0; lead < 256; lead++)
        for (unsigned second = 0; second < 256; second++)
            for (size_t i = 0; i < COUNT(edges) * COUNT(edges); i++) {
                unsigned char bytes[4] = {(unsigned char)lead, (unsigned char)second, edges[i / COUNT(edges)],
                                          edges[i % COUNT(edges)]};
                fours += utf8_sequence(bytes, bytes + 4) == 4;
            }
    /* F0 90-BF, F1-F3 80-BF, F4 80-8F, each with two of the edges in either of the last places. */
    assert_int_equal(fours, (48 + 3 * 64 + 16) * 4);
}

static bool valid(velocity_slice bytes) {
    char *copy = exact_copy(bytes);
    bool answer = utf8_valid(velocity_bytes(copy, bytes.size));
    free(copy);
    return answer;
}

static void a_malformed_byte_is_found_wherever_it_stands(void **state) {
    (void)state;
    for (size_t size = 1; size <= 70; size++) {
        char text[70];
        memset(text, 'a', size);
        assert_true(valid(velocity_bytes(text, size)));
        for (size_t at = 0; at < size; at++) {
            static const char bad[] = {'\x80', '\xbf', '\xc0', '\xc3', '\xe2', '\xf0', '\xff'};
            for (size_t i = 0; i < COUNT(bad); i++) {
                text[at] = bad[i];
                assert_false(valid(velocity_bytes(text, size)));
            }
            if (at + 1 < size) {
                memcpy(text + at, "\xc3\xa9", 2);
                assert_true(valid(velocity_bytes(text, size)));
                text[at + 1] = 'a';
            }
            text[at] = 'a';
        }
    }
}

static void texts_of_many_scripts_are_valid_and_nuls_too(void **state) {
    (void)state;
    assert_true(valid(LITERAL("")));
    assert_true(utf8_valid(velocity_bytes(NULL, 0)));
    assert_true(valid(LITERAL("a\0b")));
    assert_true(
        valid(LITERAL("\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82 \xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x98\x80")));
    assert_false(valid(LITERAL("\xed\xa0\xbd\xed\xb8\x80"))); /* a pair of surrogates, each encoded alone (CESU-8) */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_code_point_encodes_to_a_valid_sequence_of_its_size),
        cmocka_unit_test(no_other_two_or_three_bytes_are_a_sequence),
        cmocka_unit_test(no_other_four_bytes_are_a_sequence),
        cmocka_unit_test(a_malformed_byte_is_found_wherever_it_stands),
        cmocka_unit_test(texts_of_many_scripts_are_valid_and_nuls_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
