/* target_test.c - request targets and queries: decoded once, nothing normalised, nothing guessed. */
#include "tests/server/cmocka_all.h"

#include "http/target.h"

static void the_origin_form_splits_at_the_first_question_mark(void **state) {
    static const struct {
        const char *raw, *path, *query;
        bool has_query;
    } cases[] = {
        {"/", "/", "", false},
        {"/?", "/", "", true},
        {"/api/keys/a", "/api/keys/a", "", false},
        {"/api/keys?prefix=a&x=b", "/api/keys", "prefix=a&x=b", true},
        {"/a?b?c=/d", "/a", "b?c=/d", true},
        {"//host/path", "//host/path", "", false},
        {"/..//./%2F%00%", "/..//./%2F%00%", "", false},
        {"/a%3Fb?c", "/a%3Fb", "c", true},
        {"/http://x/y", "/http://x/y", "", false},
        {"/\xc3\xa9\xff\"<>\\^`{|}", "/\xc3\xa9\xff\"<>\\^`{|}", "", false},
        {"/*", "/*", "", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct target t;
        const char *reason;
        assert_true(target_parse(velocity_str(cases[i].raw), &t, &reason));
        assert_slice(t.path, velocity_str(cases[i].path));
        assert_slice(t.query, velocity_str(cases[i].query));
        assert_int_equal(t.has_query, cases[i].has_query);
        assert_int_equal(t.authority.size, 0);
        assert_false(t.asterisk);
    }
}

static void the_absolute_form_gives_its_authority_and_at_least_a_slash(void **state) {
    static const struct {
        const char *raw, *authority, *path, *query;
    } cases[] = {
        {"http://localhost:2005/api/keys/a?x=1", "localhost:2005", "/api/keys/a", "x=1"},
        {"http://localhost", "localhost", "/", ""},
        {"http://localhost?x", "localhost", "/", "x"},
        {"HTTPS://[::1]:1/", "[::1]:1", "/", ""},
        {"hTTp://a//b", "a", "//b", ""},
        {"http://user@evil/", "user@evil", "/", ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct target t;
        const char *reason;
        assert_true(target_parse(velocity_str(cases[i].raw), &t, &reason));
        assert_slice(t.authority, velocity_str(cases[i].authority));
        assert_slice(t.path, velocity_str(cases[i].path));
        assert_slice(t.query, velocity_str(cases[i].query));
    }
}

static void the_asterisk_stands_alone(void **state) {
    struct target t;
    const char *reason;
    (void)state;
    assert_true(target_parse(velocity_str("*"), &t, &reason));
    assert_true(t.asterisk);
    assert_int_equal(t.path.size, 0);
}

static void other_targets_are_refused_with_a_reason(void **state) {
    static const velocity_slice refused[] = {
        {"", 0},
        {"a", 1},
        {"api/keys", 8},
        {"**", 2},
        {"*?x", 3},
        {"?x", 2},
        {"localhost:2005", 14},
        {"ftp://a/", 8},
        {"http:/a", 7},
        {"http://", 7},
        {"http:///a", 9},
        {"http://?x", 9},
        {"/a b", 4},
        {"/a\tb", 4},
        {"/a\0b", 4},
        {"/a\nb", 4},
        {"/a\x7f", 3},
        {"/a#b", 4},
        {"/ ", 2},
        {"#", 1},
        {"http://a/#", 10},
        {"/\x1f", 2},
        {"http", 4},
        {"https:/", 7},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++) {
        struct target t;
        const char *reason = NULL;
        char *copy = exact_copy(refused[i]);
        if (target_parse(velocity_bytes(copy, refused[i].size), &t, &reason)) fail_msg("accepted: %s", copy);
        assert_non_null(reason);
        free(copy);
    }
}

static bool decode(velocity_slice raw, bool plus, char *buffer, velocity_slice *out) {
    char *copy = exact_copy(raw), *exact = malloc(raw.size + 1);
    bool ok;
    assert_non_null(exact);
    ok = target_decode(velocity_bytes(copy, raw.size), plus, exact, out);
    if (ok) {
        memcpy(buffer, out->data, out->size);
        out->data = buffer;
    }
    free(copy);
    free(exact);
    return ok;
}

static void escapes_are_decoded_exactly_once(void **state) {
    static const struct {
        const char *raw;
        velocity_slice path, query;
    } cases[] = {
        {"", {"", 0}, {"", 0}},
        {"abc", {"abc", 3}, {"abc", 3}},
        {"a%00b", {"a\0b", 3}, {"a\0b", 3}},
        {"%2F%2f", {"//", 2}, {"//", 2}},
        {"%25%32%35", {"%25", 3}, {"%25", 3}},
        {"%2500", {"%00", 3}, {"%00", 3}},
        {"%FF%fe", {"\xff\xfe", 2}, {"\xff\xfe", 2}},
        {"a+b", {"a+b", 3}, {"a b", 3}},
        {"%2B+", {"++", 2}, {"+ ", 2}},
        {".././/", {".././/", 6}, {".././/", 6}},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char buffer[32];
        velocity_slice out;
        assert_true(decode(velocity_str(cases[i].raw), false, buffer, &out));
        assert_slice(out, cases[i].path);
        assert_true(decode(velocity_str(cases[i].raw), true, buffer, &out));
        assert_slice(out, cases[i].query);
    }
}

static void every_byte_can_be_escaped_in_either_case_and_in_place(void **state) {
    (void)state;
    for (int byte = 0; byte < 256; byte++)
        for (int upper = 0; upper < 2; upper++) {
            const char *digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
            char text[5] = {'x', '%', digits[byte >> 4], digits[byte & 15], 'y'};
            velocity_slice out;
            assert_true(target_decode(velocity_bytes(text, 5), false, text, &out));
            assert_int_equal(out.size, 3);
            assert_int_equal(((const unsigned char *)out.data)[1], byte);
            assert_int_equal(((const char *)out.data)[2], 'y');
        }
}

static void a_malformed_escape_is_refused_wherever_it_stands(void **state) {
    static const char *const refused[] = {"%",   "%4",    "a%",   "a%4",   "%%",     "%%41",      "%4g", "%g4", "%-1",
                                          "% 1", "%0x41", "%41%", "%41%4", "%u0041", "%\xc3\xa9", "a%2", "%+1", "%1+"};
    char buffer[32];
    velocity_slice out;
    (void)state;
    for (size_t i = 0; i < COUNT(refused); i++)
        for (int plus = 0; plus < 2; plus++)
            if (decode(velocity_str(refused[i]), plus, buffer, &out)) fail_msg("accepted: %s", refused[i]);
}

static void text_without_escapes_is_borrowed(void **state) {
    static const char raw[] = "user:1";
    velocity_slice out;
    (void)state;
    assert_true(target_decode(velocity_str(raw), false, NULL, &out));
    assert_ptr_equal(out.data, raw);
}

static void parameters_come_in_order_decoded(void **state) {
    static const struct {
        velocity_slice name, value;
    } expected[] = {
        {{"prefix", 6}, {"a b+c", 5}}, {{"x=y", 3}, {"1=2", 3}}, {{"flag", 4}, {"", 0}},
        {{"", 0}, {"v", 1}},           {{"e", 1}, {"", 0}},      {{"n\0", 2}, {"\0", 1}},
    };
    velocity_slice raw = velocity_str("&&prefix=a+b%2Bc&x%3Dy=1=2&&flag&=v&e=&n%00=%00&"), name, value;
    char *copy = exact_copy(raw), *buffer = malloc(raw.size);
    struct query q;
    size_t i = 0;
    (void)state;
    assert_non_null(buffer);
    query_begin(&q, velocity_bytes(copy, raw.size), buffer);
    for (; query_next(&q, &name, &value) == QUERY_PARAMETER; i++) {
        assert_true(i < COUNT(expected));
        assert_slice(name, expected[i].name);
        assert_slice(value, expected[i].value);
    }
    assert_int_equal(i, COUNT(expected));
    assert_int_equal(query_next(&q, &name, &value), QUERY_END);
    free(copy);
    free(buffer);
}

static void decoded_parameters_stay_while_the_next_are_read(void **state) {
    char buffer[64];
    velocity_slice raw = velocity_str("a=%41&b=%42%43&%63=%44"), names[3], values[3];
    struct query q;
    (void)state;
    query_begin(&q, raw, buffer);
    for (int i = 0; i < 3; i++) assert_int_equal(query_next(&q, &names[i], &values[i]), QUERY_PARAMETER);
    assert_slice(values[0], velocity_str("A"));
    assert_slice(values[1], velocity_str("BC"));
    assert_slice(names[2], velocity_str("c"));
    assert_slice(values[2], velocity_str("D"));
}

static void a_query_of_nothing_has_no_parameters(void **state) {
    static const char *const empty[] = {"", "&", "&&&"};
    (void)state;
    for (size_t i = 0; i < COUNT(empty); i++) {
        struct query q;
        velocity_slice name, value;
        char buffer[4];
        query_begin(&q, velocity_str(empty[i]), buffer);
        assert_int_equal(query_next(&q, &name, &value), QUERY_END);
    }
}

static void a_malformed_escape_in_a_query_is_said(void **state) {
    static const char *const malformed[] = {"%", "a=%", "%=a", "a=%4", "a%4=1", "a=%zz"};
    (void)state;
    for (size_t i = 0; i < COUNT(malformed); i++) {
        struct query q;
        velocity_slice name, value;
        char buffer[8];
        query_begin(&q, velocity_str(malformed[i]), buffer);
        assert_int_equal(query_next(&q, &name, &value), QUERY_MALFORMED);
    }
}

static void unknown_and_repeated_parameters_are_told_apart_after_decoding(void **state) {
    static const char *const names[] = {"prefix", "limit"};
    static const int expected[] = {1, 0, FIELD_UNKNOWN, FIELD_REPEATED, FIELD_UNKNOWN};
    velocity_slice raw = velocity_str("limit=1&pre%66ix=a&Limit=2&prefix=b&limit%00=1"), name, value;
    char buffer[64];
    struct query q;
    uint64_t seen = 0;
    size_t i = 0;
    (void)state;
    query_begin(&q, raw, buffer);
    for (; query_next(&q, &name, &value) == QUERY_PARAMETER; i++)
        assert_int_equal(field_index(name, names, 2, &seen), expected[i]);
    assert_int_equal(i, COUNT(expected));
}

static void values_are_read_strictly(void **state) {
    static const char *const no_numbers[] = {"", "0", "11", "-1", "+5", "5 ", " 5", "05", "5.0", "0x5", "five"};
    static const char *const no_booleans[] = {"", "1", "0", "yes", "True", "TRUE", "true ", "falsey", "t"};
    char buffer[16];
    velocity_slice out;
    uint64_t n = 99;
    bool b = false;
    (void)state;
    for (size_t i = 0; i < COUNT(no_numbers); i++) assert_false(query_u64(velocity_str(no_numbers[i]), 1, 10, &n));
    assert_int_equal(n, 99);
    assert_true(query_u64(velocity_str("1"), 1, 10, &n) && n == 1);
    assert_true(query_u64(velocity_str("10"), 1, 10, &n) && n == 10);
    for (size_t i = 0; i < COUNT(no_booleans); i++) assert_false(query_bool(velocity_str(no_booleans[i]), &b));
    assert_true(query_bool(velocity_str("true"), &b) && b);
    assert_true(query_bool(velocity_str("false"), &b) && !b);
    assert_true(query_base64url(velocity_str("-_8"), buffer, &out));
    assert_slice(out, LITERAL("\xfb\xff"));
    assert_false(query_base64url(velocity_str("-_8="), buffer, &out));
    assert_false(query_base64url(velocity_str("+/8"), buffer, &out));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_origin_form_splits_at_the_first_question_mark),
        cmocka_unit_test(the_absolute_form_gives_its_authority_and_at_least_a_slash),
        cmocka_unit_test(the_asterisk_stands_alone),
        cmocka_unit_test(other_targets_are_refused_with_a_reason),
        cmocka_unit_test(escapes_are_decoded_exactly_once),
        cmocka_unit_test(every_byte_can_be_escaped_in_either_case_and_in_place),
        cmocka_unit_test(a_malformed_escape_is_refused_wherever_it_stands),
        cmocka_unit_test(text_without_escapes_is_borrowed),
        cmocka_unit_test(parameters_come_in_order_decoded),
        cmocka_unit_test(decoded_parameters_stay_while_the_next_are_read),
        cmocka_unit_test(a_query_of_nothing_has_no_parameters),
        cmocka_unit_test(a_malformed_escape_in_a_query_is_said),
        cmocka_unit_test(unknown_and_repeated_parameters_are_told_apart_after_decoding),
        cmocka_unit_test(values_are_read_strictly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
