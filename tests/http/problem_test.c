/* problem_test.c - errors look as documented, and every code is documented. */
#include "tests/http/document.h"

#include "http/problem.h"
#include "server/json.h"

static void assert_problem(const struct problem *p, const char *expected) {
    struct json_writer w = {0};
    problem_write(&w, p);
    assert_false(w.failed);
    assert_slice(velocity_bytes(w.data, w.size), velocity_str(expected));
    assert_true(json_valid(velocity_bytes(w.data, w.size), NULL));
    json_writer_free(&w);
}

static void a_problem_has_the_members_of_rfc_9457_and_ours(void **state) {
    (void)state;
    assert_problem(&(struct problem){.code = PROBLEM_KEY_NOT_FOUND,
                                     .detail = velocity_str("no key \"a\""),
                                     .request_id = velocity_str("r-1")},
                   "{\"type\":\"urn:velocity:problem:key_not_found\",\"title\":\"The key is not there\","
                   "\"status\":404,\"detail\":\"no key \\\"a\\\"\",\"code\":\"key_not_found\",\"request_id\":\"r-1\"}");
}

static void extensions_stand_only_where_they_say_something(void **state) {
    (void)state;
    assert_problem(&(struct problem){.code = PROBLEM_NO_SPACE},
                   "{\"type\":\"urn:velocity:problem:no_space\",\"title\":\"The disk or a limit is full; nothing was "
                   "done\",\"status\":507,\"code\":\"no_space\"}");
    assert_problem(&(struct problem){.code = PROBLEM_PRECONDITION_FAILED,
                                     .has_current_version = true,
                                     .current_version = UINT64_MAX,
                                     .has_index = true,
                                     .has_offset = true,
                                     .offset = 17},
                   "{\"type\":\"urn:velocity:problem:precondition_failed\",\"title\":\"A condition does not hold; "
                   "nothing was done\",\"status\":412,\"code\":\"precondition_failed\","
                   "\"current_version\":\"18446744073709551615\",\"index\":0,\"offset\":17}");
    assert_problem(&(struct problem){.code = PROBLEM_NO_SPACE, .key = velocity_bytes("a\"b", 3)},
                   "{\"type\":\"urn:velocity:problem:no_space\",\"title\":\"The disk or a limit is full; nothing was "
                   "done\",\"status\":507,\"code\":\"no_space\",\"key\":\"a\\\"b\"}");
    assert_problem(&(struct problem){.code = PROBLEM_NO_SPACE, .key = velocity_bytes("\xff\0", 2)},
                   "{\"type\":\"urn:velocity:problem:no_space\",\"title\":\"The disk or a limit is full; nothing was "
                   "done\",\"status\":507,\"code\":\"no_space\",\"key64\":\"_wA\"}");
    assert_problem(&(struct problem){.code = PROBLEM_PRECONDITION_FAILED, .has_current_version = true},
                   "{\"type\":\"urn:velocity:problem:precondition_failed\",\"title\":\"A condition does not hold; "
                   "nothing was done\",\"status\":412,\"code\":\"precondition_failed\",\"current_version\":null}");
}

static void nobody_is_told_that_nothing_was_done_where_something_was(void **state) {
    (void)state;
    assert_problem(&(struct problem){.code = PROBLEM_NO_SPACE, .has_line = true, .line = 1},
                   "{\"type\":\"urn:velocity:problem:no_space\",\"title\":\"The disk or a limit is full; nothing was "
                   "done\",\"status\":507,\"code\":\"no_space\",\"line\":1,\"imported\":0}");
    assert_problem(&(struct problem){.code = PROBLEM_NO_SPACE, .has_line = true, .line = 6, .imported = 5},
                   "{\"type\":\"urn:velocity:problem:no_space\",\"title\":\"The disk or a limit is full\","
                   "\"status\":507,\"code\":\"no_space\",\"line\":6,\"imported\":5}");
}

static void codes_are_distinct_and_plain_and_statuses_are_errors(void **state) {
    (void)state;
    for (int i = 0; i < PROBLEM_COUNT; i++) {
        const struct problem_kind *kind = problem_kind((enum problem_code)i);
        assert_int_equal(strspn(kind->code, "abcdefghijklmnopqrstuvwxyz_"), strlen(kind->code));
        assert_true(kind->status >= 400 && kind->status < 600);
        for (int j = 0; j < i; j++) assert_string_not_equal(kind->code, problem_kind((enum problem_code)j)->code);
    }
}

static void table_and_document_name_the_same_codes_statuses_and_titles(void **state) {
    char *text = document_read("docs/errors.md");
    int rows = 0;
    (void)state;
    for (int i = 0; i < PROBLEM_COUNT; i++) {
        const struct problem_kind *kind = problem_kind((enum problem_code)i);
        char row[256];
        snprintf(row, sizeof row, "\n| `%s` | %u | %s | ", kind->code, kind->status, kind->title);
        if (!strstr(text, row)) fail_msg("docs/errors.md has no row that begins with%s", row);
    }
    for (const char *at = text; (at = strstr(at, "\n| `")); at++) rows++;
    assert_int_equal(rows, PROBLEM_COUNT);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_problem_has_the_members_of_rfc_9457_and_ours),
        cmocka_unit_test(extensions_stand_only_where_they_say_something),
        cmocka_unit_test(nobody_is_told_that_nothing_was_done_where_something_was),
        cmocka_unit_test(codes_are_distinct_and_plain_and_statuses_are_errors),
        cmocka_unit_test(table_and_document_name_the_same_codes_statuses_and_titles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
