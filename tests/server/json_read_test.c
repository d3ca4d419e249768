/* json_read_test.c - walking a document: members, elements, names, strings, numbers. */
#include "tests/server/cmocka_all.h"

#include <stdio.h>

#include "server/json.h"
#include "tests/server/json_reference.h"

#define S(text)                                                                                                        \
    { text, sizeof(text) - 1 }

static struct json_value parsed(const char *document) {
    struct json_value v;
    assert_true(json_parse(velocity_str(document), &v, NULL));
    return v;
}

static void members_come_in_order_with_their_raw_values(void **state) {
    static const struct {
        const char *name, *raw;
        enum json_type type;
    } expected[] = {
        {"a", "1", JSON_NUMBER},           {"b", "[1,{\"x\":\"]\"}, 2 ]", JSON_ARRAY},
        {"c", "\"q\\\"}{\"", JSON_STRING}, {"", "{\"d\":{}}", JSON_OBJECT},
        {"e", "null", JSON_NULL},          {"f", "true", JSON_TRUE},
        {"g", "false", JSON_FALSE},
    };
    struct json_value root = parsed("{\"a\":1, \"b\" : [1,{\"x\":\"]\"}, 2 ] ,\"c\":\"q\\\"}{\","
                                    "\"\":{\"d\":{}},\n\"e\":null,\"f\":true , \"g\":false}");
    struct json_reader r;
    struct json_member m;
    size_t i = 0;
    (void)state;
    for (json_read(&r, root); json_next_member(&r, &m); i++) {
        assert_true(i < COUNT(expected));
        assert_slice(m.name, velocity_str(expected[i].name));
        assert_slice(m.value.raw, velocity_str(expected[i].raw));
        assert_int_equal(m.value.type, expected[i].type);
    }
    assert_int_equal(i, COUNT(expected));
    assert_false(json_next_member(&r, &m));
}

static void elements_come_in_order_and_a_container_can_be_entered(void **state) {
    struct json_value root = parsed("[ 1 ,[2,3], \"a,b\" ]"), v, inner;
    struct json_reader r, in;
    (void)state;
    json_read(&r, root);
    assert_true(json_next_element(&r, &v));
    assert_slice(v.raw, velocity_str("1"));
    assert_true(json_next_element(&r, &v));
    json_read(&in, v);
    assert_true(json_next_element(&in, &inner));
    assert_slice(inner.raw, velocity_str("2"));
    assert_true(json_next_element(&in, &inner));
    assert_slice(inner.raw, velocity_str("3"));
    assert_false(json_next_element(&in, &inner));
    assert_true(json_next_element(&r, &v));
    assert_slice(v.raw, velocity_str("\"a,b\""));
    assert_false(json_next_element(&r, &v));
}

static void empty_containers_and_scalars_read_as_empty(void **state) {
    static const char *const documents[] = {"[]", "{}", "[ ]", "{ }", "1", "12345", "\"[1,2]\"", "null", "true"};
    (void)state;
    for (size_t i = 0; i < COUNT(documents); i++) {
        struct json_reader r;
        struct json_value v;
        struct json_member m;
        json_read(&r, parsed(documents[i]));
        assert_false(json_next_element(&r, &v));
        json_read(&r, parsed(documents[i]));
        assert_false(json_next_member(&r, &m));
    }
}

/* Every value and member that the grammar counts is met on a walk through everything. */
static void walk(struct json_value v, size_t *values, size_t *members) {
    struct json_reader r;
    struct json_value element;
    struct json_member member;
    json_read(&r, v);
    ++*values;
    if (v.type == JSON_OBJECT) {
        while (json_next_member(&r, &member)) {
            ++*members;
            walk(member.value, values, members);
        }
    } else {
        while (json_next_element(&r, &element)) walk(element, values, members);
    }
}

static void a_walk_meets_every_value_of_the_document(void **state) {
    static const char *const documents[] = {
        "[[[[]]],[{}],{\"a\":[]}]",
        "{\"a\":{\"b\":{\"c\":[1,2,{\"d\":\"\\\\\"}]}},\"e\":\"\\\"\"}",
        "[\"0123456789abcdef\\\\\",\"0123456789abcde\\\"\",[\"\",\"\"],-0.0,1e-9]",
        "  [ 1 , 2 , [ 3 , { \"x\" : [ ] , \"y\" : { } } ] ]  ",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(documents); i++) {
        size_t values = 0, members = 0;
        struct reference reference;
        assert_true(reference_document(&reference, velocity_str(documents[i])));
        walk(parsed(documents[i]), &values, &members);
        assert_int_equal(values, reference.values);
        assert_int_equal(members, reference.members);
    }
}

/* The reader skips 64 bytes at a step: strings, escapes and brackets must be told apart across every border. */
static void the_end_of_a_container_is_found_wherever_strings_and_backslashes_fall(void **state) {
    char document[400], inner[390];
    (void)state;
    for (int space = 0; space < 130; space++)
        for (int backslashes = 0; backslashes < 10; backslashes += 2)
            for (int quote = 0; quote < 2; quote++) {
                struct json_reader r;
                struct json_value v;
                char run[16] = "";
                memset(run, '\\', (size_t)backslashes);
                /* ["<space>\\\\\"]}", {"x": "["}] : the quote in the middle stands behind an odd number of backslashes
                 */
                snprintf(inner, sizeof inner, "[\"%*s%s%s]}\",%*s{\"x\":\"[\"}]", space, "", run, quote ? "\\\"" : "",
                         space, "");
                snprintf(document, sizeof document, "[%s,7]", inner);
                char *copy = exact_copy(velocity_str(document));
                assert_true(json_parse(velocity_bytes(copy, strlen(document)), &v, NULL));
                json_read(&r, v);
                assert_true(json_next_element(&r, &v));
                assert_slice(v.raw, velocity_str(inner));
                assert_true(json_next_element(&r, &v));
                assert_slice(v.raw, velocity_str("7"));
                assert_false(json_next_element(&r, &v));
                free(copy);
            }
}

static void unknown_and_repeated_members_are_told_apart_however_they_are_spelled(void **state) {
    static const char *const names[] = {"op", "key", "value"};
    static const int expected[] = {
        1, 0, FIELD_UNKNOWN, FIELD_REPEATED, FIELD_REPEATED, FIELD_UNKNOWN, 2, FIELD_UNKNOWN};
    struct json_value root = parsed("{\"key\":1,\"\\u006f\\u0070\":2,\"Op\":3,\"op\":4,\"k\\u0065y\":5,\"\":6,"
                                    "\"\\u0076alue\":7,\"key\\u0000\":8}");
    struct json_reader r;
    struct json_member m;
    uint64_t seen = 0;
    size_t i = 0;
    (void)state;
    for (json_read(&r, root); json_next_member(&r, &m); i++)
        assert_int_equal(json_field(&m, names, COUNT(names), &seen), expected[i]);
    assert_int_equal(i, COUNT(expected));
    assert_int_equal(seen, 7);
}

static void a_name_too_long_or_with_a_lone_surrogate_is_unknown(void **state) {
    static const char *const names[] = {"a"};
    char document[8 * JSON_FIELD_BYTES + 32] = "{\"";
    struct json_reader r;
    struct json_member m;
    uint64_t seen = 0;
    (void)state;
    for (int i = 0; i < JSON_FIELD_BYTES + 1; i++) strcat(document, "\\u0061");
    strcat(document, "\":1,\"\\ud800\":2}");
    json_read(&r, parsed(document));
    assert_true(json_next_member(&r, &m));
    assert_int_equal(json_field(&m, names, 1, &seen), FIELD_UNKNOWN);
    assert_true(json_next_member(&r, &m));
    assert_int_equal(json_field(&m, names, 1, &seen), FIELD_UNKNOWN);
    assert_int_equal(seen, 0);
}

static void strings_become_the_bytes_that_they_stand_for(void **state) {
    static const struct {
        velocity_slice document, bytes;
    } cases[] = {
        {S("\"\""), S("")},
        {S("\"abc\""), S("abc")},
        {S("\"\xc3\xa9\""), S("\xc3\xa9")},
        {S("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), S("\"\\/\b\f\n\r\t")},
        {S("\"a\\u0000b\""), S("a\0b")},
        {S("\"\\u007f\\u0080\\u07ff\\u0800\\uffff\""), S("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf")},
        {S("\"\\ud7ff\\ue000\""), S("\xed\x9f\xbf\xee\x80\x80")},
        {S("\"\\ud800\\udc00\\uDBFF\\uDFFF\""), S("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")},
        {S("\"x\\\\u0041y\""), S("x\\u0041y")},
        {S("\"\\u00e9\\u00C9\""), S("\xc3\xa9\xc3\x89")},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct json_value v;
        velocity_slice bytes;
        assert_true(json_parse(cases[i].document, &v, NULL));
        char *buffer = malloc(json_string_buffer_bytes(v) + 1);
        assert_non_null(buffer);
        assert_true(json_string(v, buffer, &bytes));
        assert_slice(bytes, cases[i].bytes);
        free(buffer);
    }
}

static void a_string_without_escapes_is_borrowed_not_copied(void **state) {
    struct json_value v = parsed("\"plain\"");
    velocity_slice bytes;
    (void)state;
    assert_int_equal(json_string_buffer_bytes(v), 0);
    assert_true(json_string(v, NULL, &bytes));
    assert_ptr_equal(bytes.data, (const char *)v.raw.data + 1);
}

static void a_lone_surrogate_has_no_bytes(void **state) {
    static const char *const documents[] = {
        "\"\\ud800\"",        "\"\\udfff\"",        "\"\\ud800x\"",  "\"\\ud800\\n\"",     "\"\\ud800\\ud800\"",
        "\"\\udc00\\ud800\"", "\"\\ud800\\u0041\"", "\"a\\udbffb\"", "\"\\ud83d\\ude0\"x", "\"\\ud83d\\\\ude00\"",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(documents); i++) {
        /* By hand: the reader must be safe where the document was not checked, too. */
        const char *end = strrchr(documents[i], '"');
        struct json_value v = {JSON_STRING, {documents[i], (size_t)(end - documents[i]) + 1}};
        char buffer[64];
        velocity_slice bytes;
        assert_false(json_string(v, buffer, &bytes));
    }
}

static void escapes_that_the_scanner_would_refuse_have_no_bytes_either(void **state) {
    static const char *const strings[] = {"\"\\u12\"", "\"\\u123\"", "\"\\u12x4\"", "\"\\q\"", "\"a\\\"", "\"\\u\""};
    (void)state;
    for (size_t i = 0; i < COUNT(strings); i++) {
        velocity_slice raw = velocity_str(strings[i]), bytes;
        char *copy = exact_copy(raw), buffer[16];
        struct json_value v = {JSON_STRING, {copy, raw.size}};
        assert_false(json_string(v, buffer, &bytes));
        free(copy);
    }
}

static void what_is_no_string_has_no_bytes(void **state) {
    static const char *const documents[] = {"1", "null", "true", "[\"a\"]", "{\"a\":1}"};
    velocity_slice bytes;
    (void)state;
    for (size_t i = 0; i < COUNT(documents); i++) {
        assert_int_equal(json_string_buffer_bytes(parsed(documents[i])), 0);
        assert_false(json_string(parsed(documents[i]), NULL, &bytes));
    }
}

static void integers_are_read_exactly_or_not_at_all(void **state) {
    static const struct {
        const char *text;
        bool is_i64, is_u64;
        int64_t i64;
        uint64_t u64;
    } cases[] = {
        {"0", true, true, 0, 0},
        {"-0", true, false, 0, 0},
        {"7", true, true, 7, 7},
        {"-7", true, false, -7, 0},
        {"9007199254740993", true, true, 9007199254740993, 9007199254740993u},
        {"9223372036854775807", true, true, INT64_MAX, INT64_MAX},
        {"9223372036854775808", false, true, 0, UINT64_C(9223372036854775808)},
        {"-9223372036854775808", true, false, INT64_MIN, 0},
        {"-9223372036854775809", false, false, 0, 0},
        {"18446744073709551615", false, true, 0, UINT64_MAX},
        {"18446744073709551616", false, false, 0, 0},
        {"99999999999999999999", false, false, 0, 0},
        {"1.0", false, false, 0, 0},
        {"1e2", false, false, 0, 0},
        {"\"1\"", false, false, 0, 0},
        {"null", false, false, 0, 0},
        {"[1]", false, false, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct json_value v = parsed(cases[i].text);
        int64_t i64 = 42;
        uint64_t u64 = 42;
        assert_int_equal(json_i64(v, &i64), cases[i].is_i64);
        assert_int_equal(json_u64(v, &u64), cases[i].is_u64);
        assert_true(i64 == (cases[i].is_i64 ? cases[i].i64 : 42));
        assert_true(u64 == (cases[i].is_u64 ? cases[i].u64 : 42));
    }
}

static void only_true_and_false_are_booleans(void **state) {
    static const char *const others[] = {"0", "1", "\"true\"", "null", "[true]"};
    bool b = false;
    (void)state;
    assert_true(json_bool(parsed("true"), &b) && b);
    assert_true(json_bool(parsed("false"), &b) && !b);
    for (size_t i = 0; i < COUNT(others); i++) assert_false(json_bool(parsed(others[i]), &b));
}

static void a_reader_over_bytes_that_nobody_checked_stays_within_them(void **state) {
    static const char *const broken[] = {
        "[",   "[1",    "[\"a", "[\"\\", "{\"a", "{\"a\"",    "{\"a\":",   "{\"a\":[",      "{x:1}", "[}]",
        "[[[", "{\"\\", "[,]",  "{,}",   "[1,",  "{\"a\":1,", "{\"a\":\"", "[{\"a\\\":1}]", "]]",    "}}"};
    (void)state;
    for (size_t i = 0; i < COUNT(broken); i++)
        for (enum json_type type = JSON_ARRAY; type <= JSON_OBJECT; type++) {
            velocity_slice bytes = velocity_str(broken[i]);
            char *copy = exact_copy(bytes);
            struct json_value v = {type, {copy, bytes.size}}, element;
            struct json_member member;
            struct json_reader r;
            size_t steps = 0;
            for (json_read(&r, v); json_next_element(&r, &element); steps++)
                assert_true((const char *)element.raw.data + element.raw.size <= copy + bytes.size);
            for (json_read(&r, v); json_next_member(&r, &member); steps++)
                assert_true((const char *)member.value.raw.data + member.value.raw.size <= copy + bytes.size);
            assert_true(steps <= 2 * bytes.size);
            free(copy);
        }
}

/* "{a b{c d} e}": into b, over the rest, and back out. */
static void a_walk_may_go_into_a_value_and_on_behind_it(void **state) {
    struct json_value root =
        parsed(" { \"a\" : [1, {\"x\":\"}\"}] , \"b\" : { \"c\":{} , \"d\":{\"x\":1} } , \"e\":\"\\\"\" } ");
    struct json_reader r;
    struct json_value value;
    velocity_slice name;
    enum json_type type;
    char met[64] = "";
    (void)state;
    json_read(&r, root);
    for (int depth = 0;;) {
        if (!json_next_name(&r, &name, &type)) {
            strcat(met, ")");
            if (depth-- == 0) break;
            json_leave(&r);
            continue;
        }
        strncat(met, name.data, name.size);
        if (type == JSON_OBJECT && *(const char *)name.data != 'd') {
            strcat(met, "(");
            json_enter(&r);
            depth++;
        } else {
            json_pass(&r, &value);
            assert_int_equal(value.type, type);
            assert_true(json_valid(value.raw, NULL));
        }
    }
    assert_string_equal(met, "ab(c()d)e)");
}

static void names_have_the_same_bytes_where_they_are_the_same(void **state) {
    static const char *const same[][2] = {{"a", "\\u0061"},       {"\\n", "\\u000A"},
                                          {"\\/", "/"},           {"\\ud83d\\ude00", "\xf0\x9f\x98\x80"},
                                          {"\\ud800", "\\uD800"}, {"", ""}};
    static const char *const other[][2] = {{"\\ud800", "\\ud801"},
                                           {"\\ud83d", "\\ud83d\\ude00"},
                                           {"\\\\u0061", "a"},
                                           {"\\ude00\\ud83d", "\\ud83d\\ude00"},
                                           {"\\ufffd", "\\udc00"}};
    char one[32], two[32];
    (void)state;
    for (size_t i = 0; i < COUNT(same); i++)
        assert_slice(json_name_bytes(velocity_str(same[i][0]), one), json_name_bytes(velocity_str(same[i][1]), two));
    for (size_t i = 0; i < COUNT(other); i++)
        assert_false(slice_equal(json_name_bytes(velocity_str(other[i][0]), one),
                                 json_name_bytes(velocity_str(other[i][1]), two)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_come_in_order_with_their_raw_values),
        cmocka_unit_test(elements_come_in_order_and_a_container_can_be_entered),
        cmocka_unit_test(empty_containers_and_scalars_read_as_empty),
        cmocka_unit_test(a_walk_meets_every_value_of_the_document),
        cmocka_unit_test(a_walk_may_go_into_a_value_and_on_behind_it),
        cmocka_unit_test(names_have_the_same_bytes_where_they_are_the_same),
        cmocka_unit_test(the_end_of_a_container_is_found_wherever_strings_and_backslashes_fall),
        cmocka_unit_test(unknown_and_repeated_members_are_told_apart_however_they_are_spelled),
        cmocka_unit_test(a_name_too_long_or_with_a_lone_surrogate_is_unknown),
        cmocka_unit_test(strings_become_the_bytes_that_they_stand_for),
        cmocka_unit_test(a_string_without_escapes_is_borrowed_not_copied),
        cmocka_unit_test(a_lone_surrogate_has_no_bytes),
        cmocka_unit_test(escapes_that_the_scanner_would_refuse_have_no_bytes_either),
        cmocka_unit_test(what_is_no_string_has_no_bytes),
        cmocka_unit_test(integers_are_read_exactly_or_not_at_all),
        cmocka_unit_test(only_true_and_false_are_booleans),
        cmocka_unit_test(a_reader_over_bytes_that_nobody_checked_stays_within_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
