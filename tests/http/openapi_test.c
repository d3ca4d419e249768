/* openapi_test.c - tables and document agree: each route is described, each name that is used is defined. */
#include "tests/server/cmocka_all.h"

#include "http/openapi.h"
#include "http/problem.h"
#include "server/json.h"

#include <stdio.h>

static bool is_one_of(const struct openapi_component *components, size_t count, const char *name, size_t size) {
    for (size_t i = 0; i < count; i++)
        if (strlen(components[i].name) == size && memcmp(components[i].name, name, size) == 0) return true;
    return false;
}

static bool is_problem(const char *name, size_t size) {
    for (int i = 0; i < PROBLEM_COUNT; i++) {
        const char *code = problem_kind((enum problem_code)i)->code;
        if (strlen(code) == size && memcmp(code, name, size) == 0) return true;
    }
    return false;
}

static void every_route_is_described(void **state) {
    size_t count;
    const struct route *routes = route_table(&count);
    (void)state;
    for (size_t i = 0; i < count; i++)
        if (!openapi_operation(&routes[i]))
            fail_msg("http/openapi_table.c has no row for the action %s of %s", routes[i].action.name, routes[i].path);
}

static void every_description_is_of_a_route(void **state) {
    size_t count;
    const struct route *routes = route_table(&count);
    (void)state;
    for (size_t i = 0; i < openapi_operation_count; i++) {
        bool used = false;
        for (size_t j = 0; j < count; j++) used = used || openapi_operation(&routes[j]) == &openapi_operations[i];
        if (!used) fail_msg("no route has the action %s", openapi_operations[i].action);
    }
}

static void a_body_is_described_where_the_route_takes_one_and_only_there(void **state) {
    size_t count;
    const struct route *routes = route_table(&count);
    (void)state;
    for (size_t i = 0; i < count; i++)
        if ((routes[i].body != BODY_NONE) != (openapi_operation(&routes[i])->body != NULL))
            fail_msg("the body of %s %s", routes[i].action.name, routes[i].path);
}

/* Each word of a list satisfies one of these. */
static void assert_words(const char *what, const char *list, bool (*known)(const char *word, size_t size)) {
    while (*list) {
        size_t size = strcspn(list, " ");
        if (!known(list, size)) fail_msg("%s names \"%.*s\"", what, (int)size, list);
        list += size;
        list += strspn(list, " ");
    }
}

static bool is_parameter(const char *word, size_t size) {
    return is_one_of(openapi_parameters, openapi_parameter_count, word, size);
}

static bool is_schema(const char *word, size_t size) {
    return is_one_of(openapi_schemas, openapi_schema_count, word, size);
}

static bool is_header(const char *word, size_t size) {
    return is_one_of(openapi_headers, openapi_header_count, word, size);
}

static void header_fields_are_of_actions_that_there_are_and_are_defined(void **state) {
    size_t count;
    const struct route *routes = route_table(&count);
    (void)state;
    for (size_t i = 0; i < openapi_reply_header_count; i++) {
        const struct openapi_reply_headers *of = &openapi_reply_headers[i];
        bool used = false;
        for (size_t j = 0; j < count; j++) used = used || strcmp(routes[j].action.name, of->action) == 0;
        if (!used) fail_msg("no route has the action %s", of->action);
        assert_words(of->action, of->names, is_header);
    }
    assert_string_equal(openapi_headers_of(route_of_action("put")), "ETag");
    assert_string_equal(openapi_headers_of(route_of_action("batch")), "");
}

static void what_a_description_names_is_defined(void **state) {
    (void)state;
    for (size_t i = 0; i < openapi_operation_count; i++) {
        const struct openapi_operation *operation = &openapi_operations[i];
        assert_words(operation->action, operation->parameters, is_parameter);
        assert_words(operation->action, operation->problems, is_problem);
        if (operation->body) assert_words(operation->action, operation->body, is_schema);
        if (operation->reply) assert_words(operation->action, operation->reply, is_schema);
        assert_true(operation->status >= 200 && operation->status < 300);
        assert_int_equal(operation->status == 204, operation->reply == NULL && operation->status != 200);
    }
}

static void every_brace_of_a_path_is_a_parameter(void **state) {
    size_t count;
    const struct route *routes = route_table(&count);
    (void)state;
    for (size_t i = 0; i < count; i++)
        for (const char *brace = routes[i].path; (brace = strchr(brace, '{')); brace++) {
            char name[64];
            snprintf(name, sizeof name, "path_%.*s", (int)strcspn(brace + 1, "}"), brace + 1);
            if (!is_parameter(name, strlen(name))) fail_msg("%s of %s", name, routes[i].path);
        }
    assert_true(is_parameter("path_db", strlen("path_db")));
}

static void the_document_is_json_and_has_every_path(void **state) {
    struct json_writer w = {0};
    struct json_error error;
    size_t count;
    const struct route *routes = route_table(&count);
    (void)state;
    openapi_write(&w);
    assert_false(w.failed);
    if (!json_valid(velocity_bytes(w.data, w.size), &error))
        fail_msg("%s at %zu: %.80s", error.reason, error.offset, w.data + error.offset);
    json_append(&w, "", 1);
    for (size_t i = 0; i < count; i++) {
        char path[200];
        snprintf(path, sizeof path, "\"%s\":{", routes[i].path);
        assert_non_null(strstr(w.data, path));
        snprintf(path, sizeof path, "\"/api/databases/{db}%s\":{", routes[i].path + strlen("/api"));
        assert_int_equal(strstr(w.data, path) != NULL, routes[i].action.in_database);
    }
    json_writer_free(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route_is_described),
        cmocka_unit_test(every_description_is_of_a_route),
        cmocka_unit_test(a_body_is_described_where_the_route_takes_one_and_only_there),
        cmocka_unit_test(what_a_description_names_is_defined),
        cmocka_unit_test(header_fields_are_of_actions_that_there_are_and_are_defined),
        cmocka_unit_test(every_brace_of_a_path_is_a_parameter),
        cmocka_unit_test(the_document_is_json_and_has_every_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
