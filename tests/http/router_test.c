/* router_test.c - the table and what it says of methods and paths. */
#include "tests/http/document.h"

#include "http/router.h"

static struct route_match find(enum http_method method, const char *path) {
    struct route_match match;
    route_find(method, velocity_str(path), &match);
    return match;
}

static void a_key_is_the_rest_of_the_path_whatever_it_holds(void **state) {
    static const char *const rests[] = {"a", "a/b", "//", "../..", "%00", "/", "keys/", "{key}"};
    (void)state;
    for (size_t i = 0; i < sizeof rests / sizeof rests[0]; i++) {
        char path[100] = "/api/keys/";
        strcat(path, rests[i]);
        struct route_match match = find(HTTP_GET, path);
        assert_non_null(match.route);
        assert_string_equal(match.route->action.name, "get");
        assert_slice(match.key, velocity_str(rests[i]));
    }
}

static void an_empty_key_is_still_a_key_route(void **state) {
    (void)state;
    struct route_match match = find(HTTP_PUT, "/api/keys/");
    assert_non_null(match.route);
    assert_non_null(match.key.data);
    assert_int_equal(match.key.size, 0);
}

static void the_default_database_and_a_named_one_have_the_same_routes(void **state) {
    (void)state;
    struct route_match match = find(HTTP_DELETE, "/api/databases/default/keys/x/y");
    assert_non_null(match.route);
    assert_ptr_equal(match.route, find(HTTP_DELETE, "/api/keys/x/y").route);
    assert_slice(match.database, velocity_str("default"));
    assert_slice(match.key, velocity_str("x/y"));
    assert_null(find(HTTP_DELETE, "/api/keys/x/y").database.data);
    assert_ptr_equal(find(HTTP_POST, "/api/databases/other/batch").route, find(HTTP_POST, "/api/batch").route);
}

static void what_is_not_in_a_database_has_no_second_path(void **state) {
    (void)state;
    assert_int_equal(find(HTTP_GET, "/api/databases/default/stats").allowed, 0);
    assert_int_equal(find(HTTP_GET, "/api/databases/default/users").allowed, 0);
    assert_int_equal(find(HTTP_GET, "/api/databases/").allowed, 0);
    assert_int_equal(find(HTTP_GET, "/api/databases//livez").allowed, 0);
}

static void a_path_that_is_nearly_one_is_none(void **state) {
    static const char *const paths[] = {"",
                                        "/",
                                        "/api",
                                        "/api/key",
                                        "/api/keysx",
                                        "/API/keys/a",
                                        "/api/batch/",
                                        "//api/keys/a",
                                        "/livez/",
                                        "/api/stats/x",
                                        "/api/%6Beys/a"};
    (void)state;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        assert_null(find(HTTP_GET, paths[i]).route);
        assert_int_equal(find(HTTP_GET, paths[i]).allowed, 0);
    }
}

static void another_method_gets_those_that_there_are(void **state) {
    char allow[ROUTE_ALLOW_BYTES];
    (void)state;
    struct route_match match = find(HTTP_POST, "/api/keys/a");
    assert_null(match.route);
    route_allow(match.allowed, allow);
    assert_string_equal(allow, "GET, HEAD, PUT, DELETE, PATCH");
    route_allow(find(HTTP_GET, "/api/batch").allowed, allow);
    assert_string_equal(allow, "POST");
    assert_int_equal(find(http_method_parse("get"), "/api/keys/a").allowed,
                     HTTP_GET | HTTP_HEAD | HTTP_PUT | HTTP_DELETE | HTTP_PATCH);
    assert_null(find(http_method_parse("PATCH"), "/api/batch").route);
}

static void every_row_can_be_reached_and_says_what_it_is(void **state) {
    size_t count;
    const struct route *table = route_table(&count);
    (void)state;
    assert_true(count > 0);
    for (size_t i = 0; i < count; i++) {
        char path[100];
        strcpy(path, table[i].path);
        assert_ptr_equal(find(table[i].method, path).route, &table[i]);
        assert_non_null(table[i].handle);
        assert_true(strlen(table[i].summary) > 0 && strlen(table[i].action.name) > 0);
        unsigned with_body = (unsigned)HTTP_PUT | (unsigned)HTTP_POST | (unsigned)HTTP_PATCH;
        assert_int_equal(table[i].body != BODY_NONE, ((unsigned)table[i].method & with_body) != 0);
        assert_int_equal(table[i].body == BODY_PIECES, table[i].pieces != NULL);
    }
}

static void a_name_in_braces_is_one_segment(void **state) {
    (void)state;
    struct route_match match = find(HTTP_DELETE, "/api/users/ann%20b");
    assert_non_null(match.route);
    assert_string_equal(match.route->action.name, "user.delete");
    assert_slice(match.key, velocity_str("ann%20b"));
    assert_int_equal(find(HTTP_DELETE, "/api/users/").allowed, 0);
    assert_int_equal(find(HTTP_DELETE, "/api/users/ann/b").allowed, 0);
    match = find(HTTP_DELETE, "/api/databases/one");
    assert_string_equal(match.route->action.name, "database.drop");
    assert_slice(match.key, velocity_str("one"));
    assert_null(match.database.data);
}

static void a_segment_in_the_middle_is_one_too(void **state) {
    (void)state;
    struct route_match match = find(HTTP_POST, "/api/transactions/0af/commit");
    assert_non_null(match.route);
    assert_string_equal(match.route->action.name, "transaction.commit");
    assert_slice(match.key, velocity_str("0af"));
    match = find(HTTP_POST, "/api/databases/mine/transactions/commit/commit");
    assert_slice(match.key, velocity_str("commit"));
    assert_slice(match.database, velocity_str("mine"));
    static const char *const none[] = {"/api/transactions//commit", "/api/transactions/a/b/commit",
                                       "/api/transactions/a/commit/", "/api/transactions/a/commits",
                                       "/api/transactions/acommit"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) assert_null(find(HTTP_POST, none[i]).route);
    assert_string_equal(find(HTTP_DELETE, "/api/transactions/commit").route->action.name, "transaction.rollback");
}

/* Whatever a handler does inside of a transaction it does with the transaction's store: only those that were made for
 * that may be let in. */
static void only_keys_listings_and_batches_can_be_done_inside_of_a_transaction(void **state) {
    static const char *const inside[] = {"get", "head", "put", "delete", "patch", "list", "delete_range", "batch"};
    size_t count;
    const struct route *table = route_table(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        bool expected = false;
        for (size_t k = 0; k < sizeof inside / sizeof *inside; k++)
            expected |= strcmp(table[i].action.name, inside[k]) == 0;
        assert_int_equal(table[i].action.in_transaction, expected);
        assert_true(table[i].action.in_database || !expected);
    }
}

/* Whoever forgets to say who may is told here: what needs no login is a short list. */
static void what_needs_no_login_and_what_only_an_admin_may_is_as_written_here(void **state) {
    static const char *const open[] = {"login", "openapi", "live", "ready"};
    size_t count, found = 0;
    const struct route *table = route_table(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        const struct service_action *action = &table[i].action;
        bool is_open = false;
        for (size_t k = 0; k < sizeof open / sizeof *open; k++) is_open |= strcmp(action->name, open[k]) == 0;
        assert_int_equal(action->permission == PERMISSION_NONE, is_open);
        found += is_open;
        bool changes = ((unsigned)table[i].method & ~((unsigned)HTTP_GET | (unsigned)HTTP_HEAD)) != 0;
        if (changes) assert_true(action->audit != AUDIT_NEVER && action->audit != AUDIT_READ);
        /* A batch may hold only reads, and so may a transaction: what is written there is judged by itself. */
        bool judged_inside = strcmp(action->name, "batch") == 0 || strncmp(action->name, "transaction.", 12) == 0;
        bool whole_database = strcmp(action->name, "flush") == 0 || strcmp(action->name, "compact") == 0;
        if (changes && action->in_database)
            assert_int_equal(action->permission, judged_inside    ? PERMISSION_READ
                                                 : whole_database ? PERMISSION_ADMIN
                                                                  : PERMISSION_WRITE);
    }
    assert_int_equal(found, 8);
}

static void latencies_fall_into_buckets_that_hold_them(void **state) {
    (void)state;
    for (uint64_t us = 0; us < 3000000; us = us < 2000 ? us + 1 : us + us / 97) {
        size_t bucket = latency_bucket(us);
        assert_true(bucket < LATENCY_BUCKETS);
        assert_true(us <= latency_bucket_limit(bucket));
        assert_true(bucket == 0 || us > latency_bucket_limit(bucket - 1));
    }
    assert_int_equal(latency_bucket(UINT64_MAX), LATENCY_BUCKETS - 1);
}

/* The line that begins so; what comes behind it is cut off. */
static char *row_of(char *text, const char *cell) {
    char *row = strstr(text, cell);
    if (!row) fail_msg("docs/audit.md has no row that begins with %s", cell);
    row[strcspn(row, "\n")] = 0;
    return row;
}

static void the_page_about_the_audit_log_names_each_action_at_its_level(void **state) {
    static const char *const cells[] = {[AUDIT_SECURITY] = "| `admin` | `",
                                        [AUDIT_ADMIN] = "| `admin` | `",
                                        [AUDIT_WRITE] = "| `writes` | `",
                                        [AUDIT_READ] = "| `all` | `"};
    size_t count;
    const struct route *table = route_table(&count);
    (void)state;
    for (size_t i = 0; i < count; i++) {
        char name[64];
        const struct service_action *action = &table[i].action;
        if (action->audit == AUDIT_NEVER) continue;
        char *text = document_read("docs/audit.md");
        (void)snprintf(name, sizeof name, "`%s`", action->name);
        if (!strstr(row_of(text, cells[action->audit]), name))
            fail_msg("docs/audit.md does not name %s at its level", action->name);
        free(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_the_rest_of_the_path_whatever_it_holds),
        cmocka_unit_test(an_empty_key_is_still_a_key_route),
        cmocka_unit_test(the_default_database_and_a_named_one_have_the_same_routes),
        cmocka_unit_test(what_is_not_in_a_database_has_no_second_path),
        cmocka_unit_test(a_path_that_is_nearly_one_is_none),
        cmocka_unit_test(another_method_gets_those_that_there_are),
        cmocka_unit_test(every_row_can_be_reached_and_says_what_it_is),
        cmocka_unit_test(a_name_in_braces_is_one_segment),
        cmocka_unit_test(a_segment_in_the_middle_is_one_too),
        cmocka_unit_test(only_keys_listings_and_batches_can_be_done_inside_of_a_transaction),
        cmocka_unit_test(the_page_about_the_audit_log_names_each_action_at_its_level),
        cmocka_unit_test(what_needs_no_login_and_what_only_an_admin_may_is_as_written_here),
        cmocka_unit_test(latencies_fall_into_buckets_that_hold_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
