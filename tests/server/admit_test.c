/* admit_test.c - the gate before every operation and the record behind it: roles, scopes, rates, audit. */
#include "tests/server/fixture.h"

#include <string.h>

static const struct audit_settings audit_writes = {
    .enabled = true, .level = AUDIT_LEVEL_WRITES, .on_failure = AUDIT_REFUSE};

static int set_up(void **state) {
    static struct fixture f;
    *state = &f;
    return fixture_open(&f, &(struct fixture_options){.audited = &audit_writes}) ? 0 : -1;
}

static int tear_down(void **state) {
    return fixture_close(*state) ? 0 : -1;
}

static struct principal make_principal(enum role role) {
    return (struct principal){.references = 1, .user = "ann", .role = role, .login = LOGIN_PASSWORD};
}

static struct service_action make_action(enum permission permission) {
    return (struct service_action){.name = "test", .permission = permission, .audit = AUDIT_WRITE};
}

static enum service_refusal ask(struct fixture *f, const struct service_action *action, struct principal *principal,
                                const char *database) {
    struct service_request request = {
        .action = action, .caller = {.principal = principal}, .database_name = velocity_str(database)};
    enum service_verdict verdict = service_admit(f->service, &request);
    enum service_refusal refusal = request.refusal;
    assert_int_equal(verdict, refusal == SERVICE_NO_REFUSAL ? SERVICE_ADMITTED : SERVICE_REFUSED);
    assert_int_equal(service_settle(f->service, &request, 400), SERVICE_ADMITTED);
    service_request_end(&request);
    return refusal;
}

/* ---- permission ------------------------------------------------------------------------------------------------- */

static void each_role_may_what_it_may_and_nothing_else(void **state) {
    static const bool may[ROLE_COUNT][PERMISSION_ADMIN + 1] = {
        [ROLE_ADMIN] = {true, true, true, true, true, true},
        [ROLE_WRITE] = {true, true, true, true, true, false},
        [ROLE_READ] = {true, true, true, true, false, false},
        [ROLE_MONITOR] = {true, true, true, false, false, false},
    };
    for (int role = 0; role < ROLE_COUNT; role++) {
        struct principal principal = make_principal((enum role)role);
        for (int permission = 0; permission <= PERMISSION_ADMIN; permission++) {
            struct service_action action = make_action((enum permission)permission);
            assert_int_equal(ask(*state, &action, &principal, "default"),
                             may[role][permission] ? SERVICE_NO_REFUSAL : SERVICE_ROLE_TOO_LOW);
        }
    }
}

static void who_is_nobody_may_only_what_needs_no_login(void **state) {
    for (int permission = 0; permission <= PERMISSION_ADMIN; permission++) {
        struct service_action action = make_action((enum permission)permission);
        assert_int_equal(ask(*state, &action, NULL, "default"),
                         permission == PERMISSION_NONE ? SERVICE_NO_REFUSAL : SERVICE_LOGIN_NEEDED);
    }
}

static void a_wrong_secret_is_refused_even_where_none_is_needed(void **state) {
    struct fixture *f = *state;
    struct service_action action = make_action(PERMISSION_NONE);
    struct service_request request = {.action = &action, .caller = {.refused = true}};
    assert_int_equal(service_admit(f->service, &request), SERVICE_REFUSED);
    assert_int_equal(request.refusal, SERVICE_LOGIN_WRONG);
    service_request_end(&request);
}

static void a_database_that_is_not_there_is_said_to_be_so(void **state) {
    struct service_action action = make_action(PERMISSION_READ);
    struct principal principal = make_principal(ROLE_READ);
    action.in_database = true;
    assert_int_equal(ask(*state, &action, &principal, "nowhere"), SERVICE_NO_DATABASE);
    assert_int_equal(ask(*state, &action, &principal, "default"), SERVICE_NO_REFUSAL);
}

/* ---- scope ------------------------------------------------------------------------------------------------------ */

struct narrow {
    struct principal principal;
    velocity_slice prefixes[2];
};

static void make_narrow(struct narrow *n, enum role role) {
    n->principal = make_principal(role);
    n->prefixes[0] = velocity_str("a/");
    n->prefixes[1] = velocity_str("c/");
    n->principal.scope.prefixes = n->prefixes;
    n->principal.scope.prefix_count = 2;
}

static void a_scope_hides_what_is_outside_and_forbids_to_write_there(void **state) {
    struct fixture *f = *state;
    struct narrow narrow;
    make_narrow(&narrow, ROLE_WRITE);
    (void)put(f, "a/1", "in");
    (void)put(f, "b/1", "out");
    static const struct {
        enum service_operation operation;
        const char *key;
        velocity_status status;
        enum service_refusal refusal;
    } cases[] = {
        {SERVICE_GET, "a/1", VELOCITY_OK, SERVICE_NO_REFUSAL},
        {SERVICE_GET, "b/1", VELOCITY_NOT_FOUND, SERVICE_NO_REFUSAL},
        {SERVICE_PUT, "c/1", VELOCITY_OK, SERVICE_NO_REFUSAL},
        {SERVICE_PUT, "b/1", VELOCITY_INVALID, SERVICE_OUT_OF_SCOPE},
        {SERVICE_DELETE, "b/1", VELOCITY_INVALID, SERVICE_OUT_OF_SCOPE},
        {SERVICE_DELETE, "a", VELOCITY_INVALID, SERVICE_OUT_OF_SCOPE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct call call = make_put(cases[i].key, "new");
        call.request.operation = cases[i].operation;
        call.request.caller.principal = &narrow.principal;
        assert_int_equal(perform(f, &call), cases[i].status);
        assert_int_equal(call.request.refusal, cases[i].refusal);
        end(&call);
    }
    assert_value(f, "b/1", "out");
}

struct seen {
    char keys[100];
};

static bool see(void *arg, const struct store_row *row) {
    struct seen *seen = arg;
    strncat(seen->keys, row->key.data, row->key.size);
    strcat(seen->keys, " ");
    return true;
}

static void a_scan_sees_what_is_inside_in_both_directions(void **state) {
    static const char *const keys[] = {"a", "a/1", "a/2", "b/1", "c/1", "d"};
    struct fixture *f = *state;
    struct narrow narrow;
    make_narrow(&narrow, ROLE_READ);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) (void)put(f, keys[i], "x");
    for (int reverse = 0; reverse < 2; reverse++) {
        struct seen seen = {""};
        struct store_scan scan = {.reverse = reverse, .row = see, .arg = &seen};
        struct service_action action = make_action(PERMISSION_READ);
        action.in_database = true;
        struct call call = {.request = {.operation = SERVICE_SCAN,
                                        .scan = &scan,
                                        .action = &action,
                                        .caller = {.principal = &narrow.principal}}};
        assert_int_equal(perform(f, &call), VELOCITY_OK);
        assert_string_equal(seen.keys, reverse ? "c/1 a/2 a/1 " : "a/1 a/2 c/1 ");
        end(&call);
    }
}

static void a_batch_is_clipped_where_it_reads_and_refused_where_it_writes(void **state) {
    struct fixture *f = *state;
    struct narrow narrow;
    make_narrow(&narrow, ROLE_WRITE);
    (void)put(f, "b/1", "secret");
    struct service_batch_operation operations[2] = {
        {.action = SERVICE_BATCH_GET, .key = velocity_str("b/1")},
        {.action = SERVICE_BATCH_PUT, .key = velocity_str("a/9"), .value = velocity_str("v")}};
    struct service_batch batch = {.operations = operations, .operation_count = 2, .max_found_bytes = 100};
    struct call call = {.request = {.operation = SERVICE_BATCH, .batch = &batch}};
    call.request.caller.principal = &narrow.principal;
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    assert_false(operations[0].found);
    end(&call);
    assert_value(f, "a/9", "v");

    operations[1].key = velocity_str("b/1");
    call = (struct call){.request = {.operation = SERVICE_BATCH, .batch = &batch}};
    call.request.caller.principal = &narrow.principal;
    assert_int_equal(perform(f, &call), VELOCITY_INVALID);
    assert_int_equal(call.request.refusal, SERVICE_OUT_OF_SCOPE);
    assert_int_equal(call.request.failed_condition, 1);
    end(&call);
    assert_value(f, "b/1", "secret");
}

static void who_may_only_read_can_not_write_in_a_batch(void **state) {
    struct fixture *f = *state;
    struct principal reader = make_principal(ROLE_READ);
    struct service_action action = make_action(PERMISSION_READ);
    action.in_database = true;
    struct service_batch_operation operation = {.action = SERVICE_BATCH_DELETE, .key = velocity_str("k")};
    struct service_batch batch = {.operations = &operation, .operation_count = 1};
    struct call call = {.request = {.operation = SERVICE_BATCH, .batch = &batch, .action = &action}};
    call.request.caller.principal = &reader;
    (void)put(f, "k", "v");
    assert_int_equal(perform(f, &call), VELOCITY_INVALID);
    assert_int_equal(call.request.refusal, SERVICE_ROLE_TOO_LOW);
    end(&call);
    assert_value(f, "k", "v");
}

/* ---- rate limits ------------------------------------------------------------------------------------------------ */

static void each_limit_counts_for_itself_and_what_one_refuses_costs_the_others_nothing(void **state) {
    struct fixture *f = *state;
    struct rate_bucket of_user = {0}, of_connection = {0};
    struct principal principal = make_principal(ROLE_ADMIN);
    struct service_action action = make_action(PERMISSION_READ);
    principal.bucket = &of_user;
    service_set_limits(f->service, &(struct service_limits){.per_user = 3, .per_connection = 2, .global = 1000000});
    for (int i = 0; i < 3; i++) {
        struct service_request request = {.action = &action,
                                          .caller = {.principal = &principal, .bucket = &of_connection}};
        enum service_verdict verdict = service_admit(f->service, &request);
        assert_int_equal(verdict, i < 2 ? SERVICE_ADMITTED : SERVICE_REFUSED);
        assert_int_equal(request.rate.limit, 2);
        if (i == 2) {
            assert_int_equal(request.refusal, SERVICE_RATE_LIMITED);
            assert_true(request.rate.retry_after_ms > 0 && request.rate.retry_after_ms <= 1000);
        }
        service_request_end(&request);
    }
    /* Another connection of the same user has one left of three. */
    struct rate_bucket another = {0};
    for (int i = 0; i < 2; i++) {
        struct service_request request = {.action = &action, .caller = {.principal = &principal, .bucket = &another}};
        assert_int_equal(service_admit(f->service, &request), i < 1 ? SERVICE_ADMITTED : SERVICE_REFUSED);
        service_request_end(&request);
    }
    struct service_action alive = {.name = "live", .unlimited = true};
    assert_int_equal(ask(f, &alive, NULL, "default"), SERVICE_NO_REFUSAL);
    struct service_stats stats;
    service_stats(f->service, &stats);
    assert_int_equal(stats.refused_rate, 2);
    service_set_limits(f->service, &(struct service_limits){0});
    assert_int_equal(ask(f, &action, &principal, "default"), SERVICE_NO_REFUSAL);
}

/* ---- audit ------------------------------------------------------------------------------------------------------ */

struct rows {
    struct audit_row newest;
    char action[32], user[32], key[32];
    size_t count;
};

static bool take_row(void *arg, const struct audit_row *row) {
    struct rows *rows = arg;
    if (rows->count++) return true;
    rows->newest = *row;
    strncat(rows->action, row->action, sizeof rows->action - 1);
    strncat(rows->user, row->user, sizeof rows->user - 1);
    strncat(rows->key, row->key.data ? row->key.data : "", row->key.size);
    return true;
}

static struct rows rows_of(struct fixture *f) {
    struct rows rows = {.count = 0};
    bool more = false;
    struct audit_query query = {.limit = 100};
    assert_int_equal(audit_query(f->audit, &query, take_row, &rows, &more), VELOCITY_OK);
    return rows;
}

static void a_write_is_recorded_with_its_key_and_result_and_a_read_is_not(void **state) {
    struct fixture *f = *state;
    struct principal principal = make_principal(ROLE_WRITE);
    struct call call = make_put("the-key", "v");
    call.request.caller.principal = &principal;
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    end(&call);
    struct rows rows = rows_of(f);
    assert_int_equal(rows.count, 1);
    assert_string_equal(rows.action, "anything");
    assert_string_equal(rows.user, "ann");
    assert_string_equal(rows.key, "the-key");
    assert_int_equal(rows.newest.status, 200);

    struct service_action reading = {.name = "get", .permission = PERMISSION_READ, .audit = AUDIT_READ};
    assert_int_equal(ask(f, &reading, &principal, "default"), SERVICE_NO_REFUSAL);
    assert_int_equal(rows_of(f).count, 1);
}

static void who_tries_what_is_not_theirs_is_recorded_even_where_the_operation_is_not(void **state) {
    struct fixture *f = *state;
    struct principal principal = make_principal(ROLE_MONITOR);
    struct service_action reading = {.name = "get", .permission = PERMISSION_READ, .audit = AUDIT_READ};
    assert_int_equal(ask(f, &reading, &principal, "default"), SERVICE_ROLE_TOO_LOW);
    struct rows rows = rows_of(f);
    assert_int_equal(rows.count, 1);
    assert_string_equal(rows.action, "get");
    assert_int_equal(rows.newest.status, 400);
}

static void who_goes_on_with_what_is_not_theirs_does_not_fill_the_log_and_what_is_done_is_recorded(void **state) {
    struct fixture *f = *state;
    struct principal monitor = make_principal(ROLE_MONITOR), writer = make_principal(ROLE_WRITE);
    struct service_action action = make_action(PERMISSION_WRITE);
    struct audit_stats before, after;
    audit_stats(f->audit, &before);
    for (int i = 0; i < 500; i++) assert_int_equal(ask(f, &action, &monitor, "default"), SERVICE_ROLE_TOO_LOW);
    audit_stats(f->audit, &after);
    assert_in_range(after.recorded - before.recorded, 60, 90);
    struct service_caller stranger = {.address = "192.0.2.1"};
    for (int i = 0; i < 500; i++) service_note_refusal(f->service, &stranger, "cross_site", 403, "");
    audit_stats(f->audit, &before);
    assert_in_range(before.recorded - after.recorded, 60, 90);
    for (int i = 0; i < 100; i++) {
        struct call call = make_put("k", "v");
        call.request.caller.principal = &writer;
        call.request.precondition = SERVICE_AT_VERSION;
        call.request.if_version = VELOCITY_ABSENT;
        assert_int_equal(perform(f, &call), i ? VELOCITY_CONFLICT : VELOCITY_OK);
        end(&call);
    }
    audit_stats(f->audit, &after);
    assert_int_equal(after.recorded - before.recorded, 100); /* the level wants what is written, and what is not */
}

static void a_request_that_was_begun_is_recorded_though_its_client_left_and_one_that_was_not_is_not(void **state) {
    struct fixture *f = *state;
    struct principal principal = make_principal(ROLE_ADMIN);
    struct service_action action = make_action(PERMISSION_WRITE);
    struct service_request request = {.action = &action, .caller = {.principal = &principal}};
    assert_int_equal(service_admit(f->service, &request), SERVICE_ADMITTED);
    assert_int_equal(service_reserve(f->service, &request), SERVICE_ADMITTED);
    service_request_end(&request);
    assert_int_equal(rows_of(f).count, 0);

    action.in_database = true;
    request = (struct service_request){.action = &action,
                                       .caller = {.principal = &principal},
                                       .database_name = velocity_str("default"),
                                       .operation = SERVICE_GET,
                                       .key = velocity_str("k")};
    assert_int_equal(service_admit(f->service, &request), SERVICE_ADMITTED);
    assert_int_equal(service_reserve(f->service, &request), SERVICE_ADMITTED);
    assert_true(service_try(f->service, &request));
    service_request_end(&request);
    assert_int_equal(rows_of(f).count, 1);
    assert_int_equal(rows_of(f).newest.status, 499);
}

static void do_nothing(struct service_request *request) {
    request->status = VELOCITY_OK;
}

static void a_security_event_is_on_disk_before_its_reply(void **state) {
    struct fixture *f = *state;
    struct service_action login = {.name = "login", .audit = AUDIT_SECURITY};
    struct audit_stats before, after;
    audit_stats(f->audit, &before);
    struct call call = {
        .request = {.operation = SERVICE_CALL, .call = do_nothing, .action = &login, .key = velocity_str("ann")}};
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    audit_stats(f->audit, &after);
    assert_int_equal(after.written, before.written + 1);
    assert_int_equal(after.queued, 0);
    end(&call);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_role_may_what_it_may_and_nothing_else, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_is_nobody_may_only_what_needs_no_login, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_wrong_secret_is_refused_even_where_none_is_needed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_database_that_is_not_there_is_said_to_be_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_scope_hides_what_is_outside_and_forbids_to_write_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_scan_sees_what_is_inside_in_both_directions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_batch_is_clipped_where_it_reads_and_refused_where_it_writes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_may_only_read_can_not_write_in_a_batch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_limit_counts_for_itself_and_what_one_refuses_costs_the_others_nothing,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_write_is_recorded_with_its_key_and_result_and_a_read_is_not, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(who_tries_what_is_not_theirs_is_recorded_even_where_the_operation_is_not,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            who_goes_on_with_what_is_not_theirs_does_not_fill_the_log_and_what_is_done_is_recorded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            a_request_that_was_begun_is_recorded_though_its_client_left_and_one_that_was_not_is_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_security_event_is_on_disk_before_its_reply, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
