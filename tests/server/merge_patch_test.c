/* merge_patch_test.c - RFC 7396: its own examples, a model of its pseudocode, and what a hostile patch may cost. */
#include "tests/server/cmocka_all.h"

#include "server/merge_patch.h"
#include "tests/server/merge_model.h"

#include <stdio.h>
#include <time.h>

#define SEED UINT64_C(0x9e3779b97f4a7c15)

static struct json_value parse(velocity_slice text) {
    struct json_value value;
    struct json_error error;
    if (!json_parse(text, &value, &error)) fail_msg("%.*s: %s", (int)text.size, (const char *)text.data, error.reason);
    return value;
}

static void assert_merge(const char *document, const char *patch, const char *expected) {
    struct json_writer out = {0};
    char *a = exact_copy(velocity_str(document)), *b = exact_copy(velocity_str(patch));
    struct json_value from = parse(velocity_bytes(a, strlen(document))), with = parse(velocity_bytes(b, strlen(patch)));
    assert_int_equal(merge_patch(from, with, SEED, &out), MERGE_OK);
    json_append(&out, "", 1);
    assert_false(out.failed);
    if (strcmp(out.data, expected) != 0) fail_msg("%s with %s is %s, not %s", document, patch, out.data, expected);
    json_writer_free(&out);
    free(a);
    free(b);
}

static void the_examples_of_rfc_7396_come_out_as_it_says(void **state) {
    static const char *const cases[][3] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
        {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
        {"{\"a\":\"foo\"}", "null", "null"},
        {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) assert_merge(cases[i][0], cases[i][1], cases[i][2]);
    /* Section 3, as one text. */
    assert_merge("{\"title\":\"Goodbye!\",\"author\":{\"givenName\":\"John\",\"familyName\":\"Doe\"},"
                 "\"tags\":[\"example\",\"sample\"],\"content\":\"This will be unchanged\"}",
                 "{\"title\":\"Hello!\",\"phoneNumber\":\"+01-123-456-7890\",\"author\":{\"familyName\":null},"
                 "\"tags\":[\"example\"]}",
                 "{\"title\":\"Hello!\",\"author\":{\"givenName\":\"John\"},\"tags\":[\"example\"],"
                 "\"content\":\"This will be unchanged\",\"phoneNumber\":\"+01-123-456-7890\"}");
}

static void what_is_not_named_stays_byte_for_byte(void **state) {
    (void)state;
    assert_merge(
        "{\"big\": 12345678901234567890 , \"float\":1.50, \"e\":1E+2,\"s\":\"\\u00e9\\/\",\"o\": { \"x\" : [ 1 ] }}",
        "{\"new\":0.10}",
        "{\"big\":12345678901234567890,\"float\":1.50,\"e\":1E+2,\"s\":\"\\u00e9\\/\",\"o\":{ \"x\" : [ 1 ] },"
        "\"new\":0.10}");
    assert_merge(" { \"a\" : 1 , \"a\" : 2 } ", " {} ", "{ \"a\" : 1 , \"a\" : 2 }");
    assert_merge("{\"o\":{ \"x\" : 1 }}", "{\"o\":{}}", "{\"o\":{ \"x\" : 1 }}");
    assert_merge("{\"twice\":1,\"twice\":2}", "{\"a\":3}", "{\"twice\":1,\"twice\":2,\"a\":3}");
    assert_merge("{\"a\":[{\"b\":null}]}", "{\"c\":[null,{\"d\":null}]}",
                 "{\"a\":[{\"b\":null}],\"c\":[null,{\"d\":null}]}");
}

static void names_are_compared_as_what_they_stand_for(void **state) {
    (void)state;
    assert_merge("{\"\\u0061\":1,\"b\":2}", "{\"a\":null}", "{\"b\":2}");
    assert_merge("{\"a\":1}", "{\"\\u0061\":2}", "{\"a\":2}");
    assert_merge("{\"\\ud83d\\ude00\":1}", "{\"\xf0\x9f\x98\x80\":2}", "{\"\\ud83d\\ude00\":2}");
    assert_merge("{\"\\ud800\":1,\"\\ud801\":2}", "{\"\\uD800\":3}", "{\"\\ud800\":3,\"\\ud801\":2}");
    assert_merge("{\"\":1,\"a\\nb\":2,\"a\\u000ab\":3}", "{\"\":null,\"a\\u000Ab\":4}", "{\"a\\u000ab\":4}");
}

static void of_members_with_one_name_the_last_counts(void **state) {
    (void)state;
    assert_merge("{\"a\":1,\"b\":0,\"a\":2}", "{\"a\":3}", "{\"b\":0,\"a\":3}");
    assert_merge("{\"a\":1,\"a\":2}", "{\"a\":null}", "{}");
    assert_merge("{\"a\":{\"x\":1},\"a\":{\"y\":2}}", "{\"a\":{\"z\":3}}", "{\"a\":{\"y\":2,\"z\":3}}");
    assert_merge("{\"a\":{\"x\":1,\"y\":1},\"a\":{\"y\":2}}", "{\"a\":{\"x\":9}}", "{\"a\":{\"y\":2,\"x\":9}}");
    assert_merge("{\"a\":{\"x\":1},\"a\":5}", "{\"a\":{\"x\":2}}", "{\"a\":{\"x\":2}}");
    assert_merge("{\"a\":5,\"a\":{\"x\":1}}", "{\"a\":{\"y\":2}}", "{\"a\":{\"x\":1,\"y\":2}}");
    assert_merge("{\"a\":1}", "{\"a\":2,\"a\":3}", "{\"a\":3}");
    assert_merge("{\"a\":1}", "{\"a\":null,\"a\":3}", "{\"a\":3}");
    assert_merge("{\"a\":1}", "{\"a\":{\"x\":1},\"a\":{\"y\":2}}", "{\"a\":{\"y\":2}}");
}

/* ---- against the model --------------------------------------------------------------------------------------------
 */

static uint64_t seed = 88172645463325252;

static size_t below(size_t limit) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (size_t)(seed >> 11) % limit;
}

static const char *any_of(const char *const *texts, size_t count) {
    return texts[below(count)];
}

/* Few names, some of them two ways to write the same one. */
static void generate(struct json_writer *w, int depth) {
    static const char *const names[] = {"a", "\\u0061", "b", "\\u0062", "c", "cc", "", "\\udc00x", "\\n", "\\u000a"};
    static const char *const scalars[] = {"null", "null",     "true",           "0",        "-1.50e2", "\"text\"", "[]",
                                          " [ ]", "[null,1]", "[{\"a\":null}]", "\"\\\"{\""};
    static const char *const spaces[] = {"", "", "", " ", "\n\t"};
    const char *text = any_of(scalars, COUNT(scalars));
    size_t members = below(6);
    if (depth == 0 || below(3) == 0) {
        json_append(w, text, strlen(text));
        return;
    }
    json_append(w, "{", 1);
    for (size_t i = 0; i < members; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%s%s\"%s\"%s:%s", i ? "," : "", any_of(spaces, COUNT(spaces)),
                       any_of(names, COUNT(names)), any_of(spaces, COUNT(spaces)), any_of(spaces, COUNT(spaces)));
        json_append(w, name, strlen(name));
        generate(w, depth - 1);
    }
    json_append(w, "}", 1);
}

static void any_two_documents_merge_as_the_pseudocode_does(void **state) {
    size_t objects = 0;
    (void)state;
    for (int round = 0; round < 40000; round++) {
        struct json_writer a = {0}, b = {0}, out = {0};
        generate(&a, 5);
        generate(&b, 5);
        struct json_value document = parse(velocity_bytes(a.data, a.size)),
                          patch = parse(velocity_bytes(b.data, b.size));
        assert_int_equal(merge_patch(document, patch, SEED + (uint64_t)round, &out), MERGE_OK);
        assert_true(out.size <= document.raw.size + patch.raw.size);
        struct model *expected = model_merge(model_of(document), model_of(patch));
        struct model *actual = model_of(parse(velocity_bytes(out.data, out.size)));
        if (!model_equal(expected, actual))
            fail_msg("%.*s with %.*s is %.*s", (int)a.size, a.data, (int)b.size, b.data, (int)out.size, out.data);
        objects += document.type == JSON_OBJECT && patch.type == JSON_OBJECT;
        model_free(expected);
        model_free(actual);
        json_writer_free(&a);
        json_writer_free(&b);
        json_writer_free(&out);
    }
    assert_true(objects > 10000);
}

/* ---- limits and costs ---------------------------------------------------------------------------------------------
 */

static void a_result_at_the_limit_is_made_and_beyond_it_is_not(void **state) {
    struct json_value document = parse(LITERAL("{\"a\":\"12345\"}")), patch = parse(LITERAL("{\"b\":1}"));
    size_t size = strlen("{\"a\":\"12345\",\"b\":1}");
    (void)state;
    for (int beyond = 0; beyond < 2; beyond++) {
        struct json_writer out = {.limit_bytes = size - (size_t)beyond};
        assert_int_equal(merge_patch(document, patch, SEED, &out), beyond ? MERGE_TOO_LARGE : MERGE_OK);
        json_writer_free(&out);
    }
}

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* How long it takes; the result's size in *size. */
static double cost(const struct json_writer *document, const struct json_writer *patch, size_t *size) {
    struct json_writer out = {0};
    struct json_value from = parse(velocity_bytes(document->data, document->size));
    struct json_value with = parse(velocity_bytes(patch->data, patch->size));
    double begin = seconds();
    assert_int_equal(merge_patch(from, with, SEED, &out), MERGE_OK);
    double taken = seconds() - begin;
    assert_true(json_valid(velocity_bytes(out.data, out.size), NULL));
    *size = out.size;
    json_writer_free(&out);
    return taken;
}

/* count members, each `name` with its number behind and `value`; `name` without %: always the same. */
static void write_object(struct json_writer *w, size_t count, const char *format, const char *value) {
    json_append(w, "{", 1);
    for (size_t i = 0; i < count; i++) {
        char text[64];
        int size = snprintf(text, sizeof text, "%s\"%s%zu\":%s", i ? "," : "", format, i, value);
        json_append(w, text, (size_t)size);
    }
    json_append(w, "}", 1);
}

/* Ten times as much may take some 10 times as long, and not 100 times. */
static void assert_linear(void (*make)(struct json_writer *document, struct json_writer *patch, size_t count)) {
    double taken[2];
    size_t size;
    for (int i = 0; i < 2; i++) {
        struct json_writer document = {0}, patch = {0};
        make(&document, &patch, i ? 100000 : 10000);
        taken[i] = cost(&document, &patch, &size);
        json_writer_free(&document);
        json_writer_free(&patch);
    }
    if (taken[1] > 40 * taken[0] + 0.2) fail_msg("%g s, and for ten times as much %g s", taken[0], taken[1]);
}

static void other_members(struct json_writer *document, struct json_writer *patch, size_t count) {
    write_object(document, count, "a", "1");
    write_object(patch, count, "b", "2");
}

static void same_members_with_escapes(struct json_writer *document, struct json_writer *patch, size_t count) {
    write_object(document, count, "a", "1");
    write_object(patch, count, "\\u0061", "null");
}

/* One name over and over, and a patch that says much about it. */
static void members_with_one_name(struct json_writer *document, struct json_writer *patch, size_t count) {
    json_append(document, "{\"a\":{}", 7);
    for (size_t i = 1; i < count; i++) json_append(document, ",\"a\":{}", 7);
    json_append(document, "}", 1);
    json_append(patch, "{\"a\":", 5);
    write_object(patch, count, "b", "null");
    json_append(patch, "}", 1);
}

static void many_members_cost_in_proportion(void **state) {
    (void)state;
    assert_linear(other_members);
    assert_linear(same_members_with_escapes);
    assert_linear(members_with_one_name);
}

static void nest(struct json_writer *w, size_t depth, size_t members) {
    for (size_t i = 0; i < depth; i++) json_append(w, "{\"a\":", 5);
    write_object(w, members, "m", "12345678");
    for (size_t i = 0; i < depth; i++) json_append(w, "}", 1);
}

/* What lies deep is not read once for each level above it. */
static void depth_costs_nothing_for_what_lies_below(void **state) {
    double taken[2];
    size_t size;
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct json_writer document = {0}, patch = {0};
        nest(&document, i ? JSON_MAX_DEPTH - 1 : 1, 200000);
        nest(&patch, i ? JSON_MAX_DEPTH - 1 : 1, 1);
        taken[i] = cost(&document, &patch, &size);
        assert_int_equal(size, document.size);
        json_writer_free(&document);
        json_writer_free(&patch);
    }
    if (taken[1] > 10 * taken[0] + 0.1) fail_msg("%g s at the top, %g s at the bottom", taken[0], taken[1]);
}

static void a_patch_has_so_many_members_and_no_more(void **state) {
    struct json_writer patch = {0}, out = {0};
    (void)state;
    write_object(&patch, MERGE_PATCH_MAX_MEMBERS + 1, "", "0");
    struct json_value document = parse(LITERAL("{}"));
    assert_int_equal(merge_patch(document, parse(velocity_bytes(patch.data, patch.size)), SEED, &out), MERGE_TOO_LARGE);
    json_writer_free(&patch);
    json_writer_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_examples_of_rfc_7396_come_out_as_it_says),
        cmocka_unit_test(what_is_not_named_stays_byte_for_byte),
        cmocka_unit_test(names_are_compared_as_what_they_stand_for),
        cmocka_unit_test(of_members_with_one_name_the_last_counts),
        cmocka_unit_test(any_two_documents_merge_as_the_pseudocode_does),
        cmocka_unit_test(a_result_at_the_limit_is_made_and_beyond_it_is_not),
        cmocka_unit_test(many_members_cost_in_proportion),
        cmocka_unit_test(depth_costs_nothing_for_what_lies_below),
        cmocka_unit_test(a_patch_has_so_many_members_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
