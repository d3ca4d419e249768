/* json_write_test.c - what is written is JSON and reads back as what it was. */
#include "tests/server/cmocka_all.h"

#include <math.h>
#include <stdio.h>

#include "server/decimal.h"
#include "server/json.h"
#include "server/json_write.h"

#define assert_written(w, text) assert_slice(velocity_bytes((w)->data, (w)->size), velocity_str(text))

static void commas_stand_between_values_and_nowhere_else(void **state) {
    struct json_writer w = {0};
    (void)state;
    json_begin_object(&w);
    json_name(&w, "a");
    json_begin_array(&w);
    json_end_array(&w);
    json_name(&w, "b");
    json_begin_array(&w);
    json_write_null(&w);
    json_write_bool(&w, true);
    json_write_bool(&w, false);
    json_begin_object(&w);
    json_end_object(&w);
    json_begin_object(&w);
    json_name(&w, "c");
    json_write_raw(&w, velocity_str("[ 1 ]"));
    json_end_object(&w);
    json_write_base64(&w, velocity_str("fo"));
    json_end_array(&w);
    json_name(&w, "d");
    json_write_u64_string(&w, 42);
    json_end_object(&w);
    assert_false(w.failed);
    assert_written(&w, "{\"a\":[],\"b\":[null,true,false,{},{\"c\":[ 1 ]},\"Zm8=\"],\"d\":\"42\"}");
    assert_true(json_valid(velocity_bytes(w.data, w.size), NULL));
    json_writer_free(&w);
}

static void integers_are_written_to_the_last_digit(void **state) {
    struct json_writer w = {0};
    (void)state;
    json_begin_array(&w);
    json_write_u64(&w, 0);
    json_write_u64(&w, UINT64_MAX);
    json_write_i64(&w, 0);
    json_write_i64(&w, -1);
    json_write_i64(&w, INT64_MIN);
    json_write_i64(&w, INT64_MAX);
    json_write_u64_string(&w, UINT64_MAX);
    json_write_u64_string(&w, 0);
    json_write_version(&w, 7);
    json_write_version(&w, VELOCITY_ABSENT);
    json_end_array(&w);
    assert_written(&w, "[0,18446744073709551615,0,-1,-9223372036854775808,9223372036854775807,"
                       "\"18446744073709551615\",\"0\",\"7\",null]");
    json_writer_free(&w);
}

static void doubles_read_back_the_same_and_what_json_lacks_is_null(void **state) {
    static const double values[] = {0.0, 0.1, 1.0 / 3, -2.5, 1e300, 5e-324, 1.7976931348623157e308, 123456789.0, 1e15};
    (void)state;
    for (size_t i = 0; i < COUNT(values); i++) {
        struct json_writer w = {0};
        json_write_double(&w, values[i]);
        assert_true(json_valid(velocity_bytes(w.data, w.size), NULL));
        json_append(&w, "", 1);
        assert_true(strtod(w.data, NULL) == values[i]);
        json_writer_free(&w);
    }
    struct json_writer w = {0};
    json_begin_array(&w);
    json_write_double(&w, 0.1);
    json_write_double(&w, NAN);
    json_write_double(&w, INFINITY);
    json_write_double(&w, -INFINITY);
    json_end_array(&w);
    assert_written(&w, "[0.1,null,null,null]");
    json_writer_free(&w);
}

/* Written, then read by the scanner: the same bytes come out. */
static void assert_survives(velocity_slice text) {
    struct json_writer w = {0};
    struct json_value v;
    velocity_slice back;
    char *copy = exact_copy(text);
    json_write_string(&w, velocity_bytes(copy, text.size));
    assert_false(w.failed);
    assert_true(json_parse(velocity_bytes(w.data, w.size), &v, NULL));
    char *buffer = malloc(json_string_buffer_bytes(v) + 1);
    assert_non_null(buffer);
    assert_true(json_string(v, buffer, &back));
    assert_slice(back, text);
    free(buffer);
    free(copy);
    json_writer_free(&w);
}

static void every_code_point_survives_as_a_string(void **state) {
    (void)state;
    for (uint32_t c = 0; c <= 0x10FFFF; c += c < 0x900 || c > 0xFFF0 ? 1 : 7) {
        unsigned char bytes[6] = {'a'};
        size_t size;
        if ((c >= 0xD800 && c <= 0xDFFF) || (c > 0x10010 && c < 0x10FFF0)) continue;
        size = utf8_encode(c, bytes + 1);
        bytes[1 + size] = 'z';
        assert_survives(velocity_bytes(bytes, size + 2));
    }
}

static void long_texts_with_a_special_character_anywhere_survive(void **state) {
    static const char *const specials[] = {"\"", "\\", "\n", "\x01", "\xc3\xa9", "\xf0\x9f\x98\x80", "\x7f"};
    (void)state;
    for (size_t size = 4; size <= 50; size++)
        for (size_t at = 0; at + 4 <= size; at++)
            for (size_t i = 0; i < COUNT(specials); i++) {
                char text[50];
                memset(text, 'x', size);
                memcpy(text + at, specials[i], strlen(specials[i]));
                assert_survives(velocity_bytes(text, size));
            }
}

static void escapes_are_the_short_ones(void **state) {
    struct json_writer w = {0};
    (void)state;
    json_write_string(&w, LITERAL("\"\\/\b\f\n\r\t\0\x1f\x7f"));
    assert_written(&w, "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\"");
    json_writer_free(&w);
}

static void what_is_not_utf8_is_replaced_byte_by_byte(void **state) {
    struct json_writer w = {0};
    (void)state;
    json_write_string(&w, LITERAL("a\xff\xe2\x82z\xc3\xa9\xed\xa0\x80"));
    assert_written(&w, "\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    json_writer_free(&w);
}

static void keys_and_texts_that_are_not_utf8_go_as_base64(void **state) {
    struct json_writer w = {0};
    (void)state;
    json_begin_object(&w);
    json_write_key(&w, LITERAL("user:\xc3\xa9"));
    json_write_key(&w, LITERAL("\xfb\xff"));
    json_write_text(&w, LITERAL("a\0"));
    json_write_text(&w, LITERAL("\xfb\xff"));
    json_end_object(&w);
    assert_written(&w, "{\"key\":\"user:\xc3\xa9\",\"key64\":\"-_8\",\"text\":\"a\\u0000\",\"base64\":\"+/8=\"}");
    json_writer_free(&w);
}

static void a_writer_beyond_its_limit_fails_and_stays_failed(void **state) {
    struct json_writer w = {.limit_bytes = 10};
    size_t size;
    (void)state;
    json_write_raw(&w, velocity_str("123456789"));
    assert_false(w.failed);
    json_write_null(&w);
    assert_true(w.failed);
    json_append(&w, "x", 1);
    assert_true(w.size <= 10);
    assert_null(json_writer_take(&w, &size));
    assert_int_equal(size, 0);
    /* Empty again, with its limit. */
    json_append(&w, "0123456789", 10);
    assert_false(w.failed);
    json_append(&w, "x", 1);
    assert_true(w.failed);
    json_writer_clear(&w);
    assert_false(w.failed);
    json_append(&w, "y", 1);
    assert_written(&w, "y");
    json_writer_free(&w);
}

static void room_that_no_machine_has_is_a_failure(void **state) {
    struct json_writer w = {0};
    (void)state;
    json_append(&w, "x", 1);
    assert_false(json_writer_reserve(&w, SIZE_MAX));
    assert_true(w.failed);
    json_writer_clear(&w);
    assert_false(json_writer_reserve(&w, SIZE_MAX / 2 + 1));
    assert_true(w.failed);
    json_writer_free(&w);
}

static void taken_bytes_belong_to_the_caller_and_the_writer_is_empty(void **state) {
    struct json_writer w = {0};
    size_t size;
    char *bytes;
    (void)state;
    assert_null(json_writer_take(&w, &size));
    assert_int_equal(size, 0);
    for (int i = 0; i < 1000; i++) json_write_u64(&w, 7);
    bytes = json_writer_take(&w, &size);
    assert_int_equal(size, 1999);
    assert_null(w.data);
    json_write_u64(&w, 8);
    assert_written(&w, "8");
    assert_memory_equal(bytes, "7,7,7", 5);
    free(bytes);
    json_writer_free(&w);
    assert_null(w.data);
}

static void decimals_are_read_strictly(void **state) {
    static const char *const refused[] = {"",
                                          "-1",
                                          "+1",
                                          " 1",
                                          "1 ",
                                          "01",
                                          "00",
                                          "1.0",
                                          "0x1",
                                          "18446744073709551616",
                                          "99999999999999999999",
                                          "118446744073709551615",
                                          "1\n",
                                          "\xd9\xa1"};
    static const uint64_t values[] = {0, 1, 9, 10, 99, 12345678901234567890u, UINT64_MAX};
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        uint64_t n = 77;
        assert_false(decimal_u64(velocity_str(refused[i]), &n));
        assert_int_equal(n, 77);
    }
    for (size_t i = 0; i < COUNT(values); i++) {
        char digits[DECIMAL_U64_BYTES];
        uint64_t back = 77;
        assert_true(decimal_u64(velocity_bytes(digits, decimal_format_u64(values[i], digits)), &back));
        assert_true(back == values[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commas_stand_between_values_and_nowhere_else),
        cmocka_unit_test(integers_are_written_to_the_last_digit),
        cmocka_unit_test(doubles_read_back_the_same_and_what_json_lacks_is_null),
        cmocka_unit_test(every_code_point_survives_as_a_string),
        cmocka_unit_test(long_texts_with_a_special_character_anywhere_survive),
        cmocka_unit_test(escapes_are_the_short_ones),
        cmocka_unit_test(what_is_not_utf8_is_replaced_byte_by_byte),
        cmocka_unit_test(keys_and_texts_that_are_not_utf8_go_as_base64),
        cmocka_unit_test(a_writer_beyond_its_limit_fails_and_stays_failed),
        cmocka_unit_test(room_that_no_machine_has_is_a_failure),
        cmocka_unit_test(taken_bytes_belong_to_the_caller_and_the_writer_is_empty),
        cmocka_unit_test(decimals_are_read_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
