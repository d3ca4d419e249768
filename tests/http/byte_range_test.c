/* byte_range_test.c - which part a Range field asks for, and what is passed over. */
#include "tests/server/cmocka_all.h"

#include "http/byte_range.h"

static void expect(const char *value, uint64_t size, enum byte_range_result result, uint64_t first, uint64_t count) {
    uint64_t at = 0, n = 0;
    char *copy = exact_copy(velocity_str(value));
    enum byte_range_result actual = byte_range_parse(velocity_bytes(copy, strlen(value)), size, &at, &n);
    free(copy);
    if (actual != result) fail_msg("\"%s\" of %u: %d, not %d", value, (unsigned)size, (int)actual, (int)result);
    if (result != BYTE_RANGE_PART) return;
    assert_int_equal(at, first);
    assert_int_equal(n, count);
}

static void one_range_is_a_part(void **state) {
    static const struct {
        const char *value;
        uint64_t size, first, count;
    } cases[] = {
        {"bytes=0-0", 10, 0, 1},
        {"bytes=0-9", 10, 0, 10},
        {"bytes=3-5", 10, 3, 3},
        {"bytes=3-", 10, 3, 7},
        {"bytes=9-", 10, 9, 1},
        {"bytes=3-999", 10, 3, 7},
        {"bytes=-3", 10, 7, 3},
        {"bytes=-10", 10, 0, 10},
        {"bytes=-999", 10, 0, 10},
        {"BYTES=003-05", 10, 3, 3},
        {"  bytes= 3-5 ,, ", 10, 3, 3},
        {"bytes=,\t3-5", 10, 3, 3},
        {"bytes=0-0", 1, 0, 1},
        {"bytes=0-18446744073709551615", 10, 0, 10},
        {"bytes=2-99999999999999999999999", 10, 2, 8},
        {"bytes=-99999999999999999999999", 10, 0, 10},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        expect(cases[i].value, cases[i].size, BYTE_RANGE_PART, cases[i].first, cases[i].count);
}

static void what_is_not_one_range_of_bytes_is_passed_over(void **state) {
    static const char *const values[] = {"",           "bytes",       "bytes=",      "bytes=-",       "bytes=5-3",
                                         "bytes=a-b",  "bytes=1",     "bytes=1-2-3", "bytes=0-1,3-4", "bytes=0-1, -2",
                                         "lines=0-1",  "bytes 0-1",   "bytes=0 -1",  "bytes=0- 1",    "bytes=--1",
                                         "bytes=+0-1", "bytes=0x0-1", "bytes=,",     "bytes=0-1;q=1"};
    (void)state;
    for (size_t i = 0; i < COUNT(values); i++) expect(values[i], 10, BYTE_RANGE_WHOLE, 0, 0);
    expect("bytes=-5", 0, BYTE_RANGE_WHOLE, 0, 0);
    uint64_t first, count;
    assert_int_equal(byte_range_parse(velocity_bytes(NULL, 0), 10, &first, &count), BYTE_RANGE_WHOLE);
}

static void a_range_behind_the_end_cannot_be_satisfied(void **state) {
    (void)state;
    expect("bytes=10-", 10, BYTE_RANGE_UNSATISFIABLE, 0, 0);
    expect("bytes=10-20", 10, BYTE_RANGE_UNSATISFIABLE, 0, 0);
    expect("bytes=0-", 0, BYTE_RANGE_UNSATISFIABLE, 0, 0);
    expect("bytes=-0", 10, BYTE_RANGE_UNSATISFIABLE, 0, 0);
    expect("bytes=99999999999999999999999-", 10, BYTE_RANGE_UNSATISFIABLE, 0, 0);
}

static void if_range_holds_for_the_very_version_alone(void **state) {
    static const char *const others[] = {
        "\"6\"", "W/\"5\"", "\"5\", \"6\"", "*", "5", "\"x\"", "", "Sat, 21 Nov 2026 19:00:00 GMT"};
    (void)state;
    assert_true(byte_range_applies(velocity_bytes(NULL, 0), 5));
    assert_true(byte_range_applies(velocity_str("\"5\""), 5));
    for (size_t i = 0; i < COUNT(others); i++) assert_false(byte_range_applies(velocity_str(others[i]), 5));
    assert_false(byte_range_applies(velocity_str("\"0\""), VELOCITY_ABSENT)); /* a transaction's own write */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_range_is_a_part),
        cmocka_unit_test(what_is_not_one_range_of_bytes_is_passed_over),
        cmocka_unit_test(a_range_behind_the_end_cannot_be_satisfied),
        cmocka_unit_test(if_range_holds_for_the_very_version_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
