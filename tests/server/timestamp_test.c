/* timestamp_test.c - RFC 3339 there and back. */
#include "tests/server/cmocka_all.h"

#include "server/timestamp.h"

#include <time.h>

static void assert_parses(const char *text, int64_t expected) {
    int64_t ms = INT64_MIN;
    if (!timestamp_parse(velocity_str(text), &ms)) fail_msg("%s was refused", text);
    if (ms != expected) fail_msg("%s: %lld, not %lld", text, (long long)ms, (long long)expected);
}

static void assert_formats(int64_t ms, const char *expected) {
    char text[TIMESTAMP_BYTES];
    timestamp_format(ms, text);
    assert_string_equal(text, expected);
}

static void moments_read_as_rfc_3339_in_utc(void **state) {
    (void)state;
    assert_formats(0, "1970-01-01T00:00:00.000Z");
    assert_formats(-1, "1969-12-31T23:59:59.999Z");
    assert_formats(951782400000, "2000-02-29T00:00:00.000Z");
    assert_formats(1234567890123, "2009-02-13T23:31:30.123Z");
    assert_formats(4107542399999, "2100-02-28T23:59:59.999Z");
    assert_formats(4107542400000, "2100-03-01T00:00:00.000Z");
}

static void what_lies_beyond_four_digits_of_a_year_reads_as_its_last_moment(void **state) {
    (void)state;
    assert_formats(INT64_MAX, "9999-12-31T23:59:59.999Z");
    assert_formats(INT64_MIN, "0000-01-01T00:00:00.000Z");
}

static void every_day_of_eight_centuries_agrees_with_the_c_library_and_reads_back(void **state) {
    (void)state;
    for (int64_t day = -140000; day < 150000; day++) {
        time_t seconds = (time_t)(day * 86400 + 45296);
        struct tm tm;
        char expected[64], text[TIMESTAMP_BYTES];
        assert_non_null(gmtime_r(&seconds, &tm));
        strftime(expected, sizeof expected, "%Y-%m-%dT%H:%M:%S.789Z", &tm);
        int64_t ms = (int64_t)seconds * 1000 + 789, back = 0;
        timestamp_format(ms, text);
        assert_string_equal(text, expected);
        assert_true(timestamp_parse(velocity_str(text), &back));
        assert_int_equal(back, ms);
    }
}

static void offsets_and_fractions_are_taken_into_account(void **state) {
    (void)state;
    assert_parses("1970-01-01T00:00:00Z", 0);
    assert_parses("1970-01-01t00:00:00.5z", 500);
    assert_parses("1970-01-01T01:00:00+01:00", 0);
    assert_parses("1969-12-31T18:30:00-05:30", 0);
    assert_parses("1970-01-01T00:00:00.123456789Z", 123);
    assert_parses("1970-01-01T00:00:00.0999Z", 99);
    assert_parses("0000-01-01T00:00:00Z", -INT64_C(62167219200000));
    assert_parses("9999-12-31T23:59:59.999Z", INT64_C(253402300799999));
    assert_parses("2024-02-29T12:00:00-00:00", INT64_C(1709208000000));
}

static void everything_else_is_refused_and_changes_nothing(void **state) {
    static const char *const bad[] = {"",
                                      "1970",
                                      "1970-01-01",
                                      "1970-01-01T00:00:00",
                                      "1970-01-01 00:00:00Z",
                                      "1970-01-01T00:00Z",
                                      "1970-1-01T00:00:00Z",
                                      "1970-00-01T00:00:00Z",
                                      "1970-13-01T00:00:00Z",
                                      "1970-01-00T00:00:00Z",
                                      "1970-01-32T00:00:00Z",
                                      "1970-02-29T00:00:00Z",
                                      "1900-02-29T00:00:00Z",
                                      "1970-04-31T00:00:00Z",
                                      "1970-01-01T24:00:00Z",
                                      "1970-01-01T00:60:00Z",
                                      "2016-12-31T23:59:60Z",
                                      "1970-01-01T00:00:00.Z",
                                      "1970-01-01T00:00:00.1234567890Z",
                                      "1970-01-01T00:00:00,5Z",
                                      "1970-01-01T00:00:00+1:00",
                                      "1970-01-01T00:00:00+24:00",
                                      "1970-01-01T00:00:00+01:60",
                                      "1970-01-01T00:00:00+0100",
                                      "1970-01-01T00:00:00Zx",
                                      " 1970-01-01T00:00:00Z",
                                      "+970-01-01T00:00:00Z",
                                      "19700-01-01T00:00:00Z"};
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        int64_t ms = 42;
        char *text = exact_copy(velocity_str(bad[i]));
        if (timestamp_parse(velocity_bytes(text, strlen(bad[i])), &ms)) fail_msg("%s was taken", bad[i]);
        assert_int_equal(ms, 42);
        free(text);
    }
}

static void no_moment_is_null_in_json(void **state) {
    struct json_writer w = {0};
    (void)state;
    json_begin_array(&w);
    timestamp_write(&w, 0);
    timestamp_write(&w, 1);
    json_end_array(&w);
    assert_slice(velocity_bytes(w.data, w.size), velocity_str("[null,\"1970-01-01T00:00:00.001Z\"]"));
    json_writer_free(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_read_as_rfc_3339_in_utc),
        cmocka_unit_test(what_lies_beyond_four_digits_of_a_year_reads_as_its_last_moment),
        cmocka_unit_test(every_day_of_eight_centuries_agrees_with_the_c_library_and_reads_back),
        cmocka_unit_test(offsets_and_fractions_are_taken_into_account),
        cmocka_unit_test(everything_else_is_refused_and_changes_nothing),
        cmocka_unit_test(no_moment_is_null_in_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
