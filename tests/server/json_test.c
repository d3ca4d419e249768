/* json_test.c - the scanner: what is JSON, what is not, and where it stops being so. */
#include "tests/server/cmocka_all.h"

#include <stdio.h>

#include "server/json.h"
#include "tests/server/json_reference.h"

static bool valid(velocity_slice document, struct json_error *error) {
    char *copy = exact_copy(document);
    bool answer = json_valid(velocity_bytes(copy, document.size), error);
    free(copy);
    return answer;
}

#define S(text)                                                                                                        \
    { text, sizeof(text) - 1 }

static const velocity_slice accepted[] = {
    S("null"),
    S("true"),
    S("false"),
    S("0"),
    S("-0"),
    S("7"),
    S("-7"),
    S("10"),
    S("1234567890"),
    S("0.0"),
    S("-0.5"),
    S("1.25"),
    S("1e5"),
    S("1E5"),
    S("1e+5"),
    S("1e-5"),
    S("0e0"),
    S("0.1e1"),
    S("-1.5E-300"),
    S("1e99999"),
    S("123456789012345678901234567890"),
    S("\"\""),
    S("\"a\""),
    S("\" \""),
    S("\"\x7f\""),
    S("\"\\\"\""),
    S("\"\\\\\""),
    S("\"\\/\""),
    S("\"\\b\\f\\n\\r\\t\""),
    S("\"\\u0000\""),
    S("\"\\u00e9\\uABCD\\uabcd\""),
    S("\"\\ud83d\\ude00\""),
    /* a lone surrogate escape is grammatical; it has no bytes, which is json_string()'s matter */
    S("\"\\ud800\""),
    S("\"\\udc00\""),
    S("\"\\ud800\\n\""),
    S("\"\\\\u\""),
    S("\"\xc2\x80\""),
    S("\"\xdf\xbf\""),
    S("\"\xe0\xa0\x80\""),
    S("\"\xed\x9f\xbf\""),
    S("\"\xee\x80\x80\""),
    S("\"\xef\xbf\xbf\""),
    S("\"\xf0\x90\x80\x80\""),
    S("\"\xf4\x8f\xbf\xbf\""),
    S("\"\xe2\x80\xa8\xe2\x80\xa9\""),
    S("[]"),
    S("[ ]"),
    S("{}"),
    S("{ }"),
    S("[1]"),
    S("[1,2]"),
    S("[ 1 , 2 ]"),
    S("[[]]"),
    S("[[],[]]"),
    S("[{}]"),
    S("[null,true,false]"),
    S("{\"a\":1}"),
    S("{ \"a\" : 1 }"),
    S("{\"a\":1,\"b\":2}"),
    S("{\"a\":{\"b\":[{}]}}"),
    S("{\"\":0}"),
    S("{\"a\":1,\"a\":2}"),
    S("{\"a\":\"b\",\"c\":[\"d\"]}"),
    S(" 1"),
    S("1 "),
    S("\t\n\r 1 \t\n\r"),
    S("\n{\n}\n"),
    S("        [        1        ]        "),
    S("[\n                1,\n\t\t\t2\n]"),
    S("[\"a\",0.5,{\"x\":null}]"),
    S("\"0123456789abcdef0123456789abcde\\\"\""),
    S("[1,[2,[3,[4,{\"five\":[6]}]]]]"),
};

static const velocity_slice rejected[] = {
    S(""),
    S(" "),
    S("\n\n"),
    S("01"),
    S("-01"),
    S("00"),
    S("-"),
    S("+1"),
    S(".5"),
    S("1."),
    S("1.e5"),
    S("-.5"),
    S("1e"),
    S("1e+"),
    S("1E-"),
    S("1e1.5"),
    S("1.2.3"),
    S("0x10"),
    S("1_000"),
    S("1,000"),
    S("--1"),
    S("- 1"),
    S("1 2"),
    S("1a"),
    S("NaN"),
    S("nan"),
    S("Infinity"),
    S("-Infinity"),
    S("inf"),
    S("nul"),
    S("nulll"),
    S("Null"),
    S("TRUE"),
    S("tru"),
    S("fals"),
    S("falsey"),
    S("undefined"),
    S("'a'"),
    S("a"),
    S("\""),
    S("\"a"),
    S("\"\\\""),
    S("\"\\"),
    S("\"\\x41\""),
    S("\"\\a\""),
    S("\"\\0\""),
    S("\"\\'\""),
    S("\"\\u\""),
    S("\"\\u1\""),
    S("\"\\u12\""),
    S("\"\\u123\""),
    S("\"\\u123g\""),
    S("\"\\u-123\""),
    S("\"\\U0041\""),
    S("\"\\u 041\""),
    S("\"\n\""),
    S("\"\r\""),
    S("\"\t\""),
    S("\"\0\""),
    S("\"\x1f\""),
    S("\0"),
    S("1\0"),
    S("\0001"),
    S("[1]\0"),
    S("\"a\"b"),
    S("\"a\"\"b\""),
    S("["),
    S("]"),
    S("{"),
    S("}"),
    S("[1"),
    S("[1,"),
    S("[1,]"),
    S("[,1]"),
    S("[,]"),
    S("[1,,2]"),
    S("[1 2]"),
    S("[1}"),
    S("[1:2]"),
    S("[\"a\":1]"),
    S("{\"a\"}"),
    S("{\"a\":}"),
    S("{\"a\":1,}"),
    S("{,\"a\":1}"),
    S("{\"a\" 1}"),
    S("{\"a\":1 \"b\":2}"),
    S("{\"a\":1]"),
    S("{a:1}"),
    S("{'a':1}"),
    S("{1:1}"),
    S("{null:1}"),
    S("{\"a\"::1}"),
    S("{\"a\":1:2}"),
    S("{[]:1}"),
    S("{}}"),
    S("[]]"),
    S("{}{}"),
    S("[][]"),
    S("1,"),
    S(",1"),
    S("[1],"),
    S("// x\n1"),
    S("/* x */1"),
    S("1 // x"),
    S("# x\n1"),
    S("\xef\xbb\xbf{}"),
    S("\xef\xbb\xbf"),
    S("\xff\xfe{\0}\0"),
    S("\f1"),
    S("\v1"),
    S("\xc2\xa0"
      "1"),
    S("\xe2\x80\xa8"
      "1"),
    S("\"\x80\""),
    S("\"\xbf\""),
    S("\"\xc0\x80\""),
    S("\"\xc1\xbf\""),
    S("\"\xc2\""),
    S("\"\xc2 \""),
    S("\"\xe0\x80\x80\""),
    S("\"\xe0\x9f\xbf\""),
    S("\"\xe2\x82\""),
    S("\"\xed\xa0\x80\""),
    S("\"\xed\xbf\xbf\""),
    S("\"\xf0\x80\x80\x80\""),
    S("\"\xf0\x8f\xbf\xbf\""),
    S("\"\xf4\x90\x80\x80\""),
    S("\"\xf5\x80\x80\x80\""),
    S("\"\xf8\x88\x80\x80\x80\""),
    S("\"\xfe\""),
    S("\"\xff\""),
    S("\"\xf0\x9f\x98\""),
    S("{\"\xff\":1}"),
    S("{\"a\":\"\xe9\"}"),
    S("[\"\\ud83d\\uZZZZ\"]"),
    S("*"),
    S("\\u0031"),
    S("1\xc2\xa0"),
};

static void every_grammatical_document_is_accepted(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(accepted); i++) {
        struct json_error e = {0, "?"};
        if (!valid(accepted[i], &e))
            fail_msg("%.*s: %s at %zu", (int)accepted[i].size, (const char *)accepted[i].data, e.reason, e.offset);
    }
}

static void everything_else_is_rejected_with_a_reason_and_an_offset_within_it(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(rejected); i++) {
        struct json_error e = {SIZE_MAX, NULL};
        if (valid(rejected[i], &e)) fail_msg("accepted: %.*s", (int)rejected[i].size, (const char *)rejected[i].data);
        assert_non_null(e.reason);
        assert_true(e.offset <= rejected[i].size);
        assert_false(valid(rejected[i], NULL));
    }
}

/* Not so at the top level: "12" cut is "1", and JSON. In brackets nothing is complete before the last byte. */
static void a_document_cut_at_any_byte_is_rejected_there(void **state) {
    static const velocity_slice whole =
        S("{\"a\":[1,-2.5e+10,true,false,null,\"x\\u00e9\\n\xf0\x9f\x98\x80\"],\"b\":{\"c\":[],\"d\":{}}}");
    (void)state;
    assert_true(valid(whole, NULL));
    for (size_t size = 0; size < whole.size; size++) {
        struct json_error e;
        assert_false(valid(velocity_bytes(whole.data, size), &e));
        assert_true(e.offset <= size);
    }
}

static void each_rejected_byte_is_named_by_its_offset(void **state) {
    static const struct {
        velocity_slice document;
        size_t offset;
        const char *reason;
    } cases[] = {
        {S(""), 0, "the document ends too early"},
        {S("  "), 2, "the document ends too early"},
        {S("[1,2"), 4, "the document ends too early"},
        {S("01"), 1, "a number has no leading zero"},
        {S("-a"), 1, "a digit is expected"},
        {S("1.x"), 2, "a digit is expected"},
        {S("[1,]"), 3, "a value is expected"},
        {S("{\"a\":1,}"), 7, "a member's name in quotes is expected"},
        {S("{\"a\" 1}"), 5, "a colon is expected"},
        {S("[1 2]"), 3, "a comma or ] is expected"},
        {S("{\"a\":1 2}"), 7, "a comma or } is expected"},
        {S("1 2"), 2, "something follows the value"},
        {S("\"a\tb\""), 2, "a control character must be escaped"},
        {S("\"ab\xff\""), 3, "a string must be UTF-8"},
        {S("\"\\q\""), 2, "no such escape"},
        {S("\"\\u12x4\""), 5, "\\u needs four hexadecimal digits"},
        {S("nulk"), 3, "no such literal"},
        {S("\xef\xbb\xbf{}"), 0, "a value is expected"},
        {S("[1]\0"), 3, "something follows the value"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct json_error e;
        assert_false(valid(cases[i].document, &e));
        assert_string_equal(e.reason, cases[i].reason);
        assert_int_equal(e.offset, cases[i].offset);
    }
}

static char *nested(unsigned depth, bool objects, size_t *size) {
    const char *open = objects ? "{\"a\":" : "[", *close = objects ? "}" : "]";
    size_t each = strlen(open);
    char *text = malloc(depth * (each + 1) + 1);
    assert_non_null(text);
    for (unsigned i = 0; i < depth; i++) memcpy(text + i * each, open, each);
    text[depth * each] = '1';
    memset(text + depth * each + 1, *close, depth);
    *size = depth * (each + 1) + 1;
    return text;
}

static void nesting_is_accepted_to_512_and_not_beyond(void **state) {
    (void)state;
    for (int objects = 0; objects < 2; objects++)
        for (unsigned depth = 510; depth < 516; depth++) {
            size_t size;
            char *text = nested(depth, objects, &size);
            struct json_error e;
            assert_int_equal(json_valid(velocity_bytes(text, size), &e), depth <= JSON_MAX_DEPTH);
            if (depth > JSON_MAX_DEPTH) {
                assert_string_equal(e.reason, "nested too deeply");
                assert_int_equal(e.offset, JSON_MAX_DEPTH * (objects ? 5 : 1));
            }
            free(text);
        }
}

static void a_million_open_brackets_are_refused_without_recursion(void **state) {
    char *text = malloc(1000000);
    (void)state;
    assert_non_null(text);
    memset(text, '[', 1000000);
    assert_false(json_valid(velocity_bytes(text, 1000000), NULL));
    free(text);
}

/* Arrays in objects in arrays: the bit of a level must not survive its container. */
static void brackets_close_only_their_own_kind_at_every_depth(void **state) {
    char text[2 * 130];
    (void)state;
    for (size_t depth = 1; depth <= 130; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_true(valid(velocity_bytes(text, 2 * depth), NULL));
        for (size_t i = depth; i < 2 * depth; i++) {
            text[i] = '}';
            assert_false(valid(velocity_bytes(text, 2 * depth), NULL));
            text[i] = ']';
        }
    }
}

static void agree(velocity_slice document) {
    struct reference r;
    struct json_error e = {0, NULL};
    bool expected = reference_document(&r, document), actual = json_valid(document, &e);
    if (expected != actual)
        fail_msg("\"%.*s\": the reference says %d; %s", (int)document.size, (const char *)document.data, expected,
                 e.reason ? e.reason : "valid");
}

static void every_short_text_of_structural_characters_is_judged_as_the_grammar_says(void **state) {
    static const char alphabet[] = "[]{},:\"01-.e \\u";
    enum { LONGEST = 5, LETTERS = sizeof alphabet - 1 };
    char text[LONGEST];
    (void)state;
    for (size_t size = 1, count = LETTERS; size <= LONGEST; size++, count *= LETTERS)
        for (size_t n = 0; n < count; n++) {
            for (size_t i = 0, rest = n; i < size; i++, rest /= LETTERS) text[i] = alphabet[rest % LETTERS];
            agree(velocity_bytes(text, size));
        }
}

static void every_accepted_document_with_one_byte_changed_is_judged_as_the_grammar_says(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT(accepted); i++) {
        char *text = exact_copy(accepted[i]);
        for (size_t at = 0; at < accepted[i].size; at++) {
            char kept = text[at];
            for (int byte = 0; byte < 256; byte++) {
                text[at] = (char)byte;
                agree(velocity_bytes(text, accepted[i].size));
            }
            text[at] = kept;
        }
        free(text);
    }
}

/* The scanner goes 16 bytes at a step; what ends a step must be found at each place in it. */
static void a_special_byte_is_seen_at_every_position_of_a_long_string(void **state) {
    static const char specials[] = {'"', '\\', '\n', '\0', '\x1f', '\x80', '\xff', '\xc3'};
    char text[80];
    (void)state;
    for (size_t size = 2; size <= sizeof text; size++) {
        memset(text, 'x', size);
        text[0] = text[size - 1] = '"';
        assert_true(valid(velocity_bytes(text, size), NULL));
        for (size_t at = 1; at + 1 < size; at++)
            for (size_t s = 0; s < COUNT(specials); s++) {
                struct json_error e;
                text[at] = specials[s];
                assert_false(valid(velocity_bytes(text, size), &e));
                assert_int_equal(e.offset, specials[s] == '"'                      ? at + 1
                                           : specials[s] == '\\' && at + 2 == size ? size
                                           : specials[s] == '\\'                   ? at + 1
                                                                                   : at);
                text[at] = 'x';
            }
    }
}

static void the_value_comes_out_without_the_space_around_it(void **state) {
    static const struct {
        velocity_slice document, raw;
        enum json_type type;
    } cases[] = {
        {S(" null\n"), S("null"), JSON_NULL},        {S("true "), S("true"), JSON_TRUE},
        {S("\tfalse"), S("false"), JSON_FALSE},      {S(" -1.5e3 "), S("-1.5e3"), JSON_NUMBER},
        {S(" \" a \" "), S("\" a \""), JSON_STRING}, {S("  [ 1 ] "), S("[ 1 ]"), JSON_ARRAY},
        {S("\r\n{ }\r\n"), S("{ }"), JSON_OBJECT},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct json_value v;
        assert_true(json_parse(cases[i].document, &v, NULL));
        assert_int_equal(v.type, cases[i].type);
        assert_slice(v.raw, cases[i].raw);
    }
}

static void no_bytes_at_all_are_no_document(void **state) {
    struct json_error e;
    (void)state;
    assert_false(json_valid(velocity_bytes(NULL, 0), &e));
    assert_int_equal(e.offset, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_grammatical_document_is_accepted),
        cmocka_unit_test(everything_else_is_rejected_with_a_reason_and_an_offset_within_it),
        cmocka_unit_test(a_document_cut_at_any_byte_is_rejected_there),
        cmocka_unit_test(each_rejected_byte_is_named_by_its_offset),
        cmocka_unit_test(nesting_is_accepted_to_512_and_not_beyond),
        cmocka_unit_test(a_million_open_brackets_are_refused_without_recursion),
        cmocka_unit_test(brackets_close_only_their_own_kind_at_every_depth),
        cmocka_unit_test(every_short_text_of_structural_characters_is_judged_as_the_grammar_says),
        cmocka_unit_test(every_accepted_document_with_one_byte_changed_is_judged_as_the_grammar_says),
        cmocka_unit_test(a_special_byte_is_seen_at_every_position_of_a_long_string),
        cmocka_unit_test(the_value_comes_out_without_the_space_around_it),
        cmocka_unit_test(no_bytes_at_all_are_no_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
