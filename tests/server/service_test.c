/* service_test.c - requests against a real database: answers, preconditions, batches with gets, refusals. */
#include "tests/server/fixture.h"

#include <stdio.h>
#include <unistd.h>

static int set_up_with(void **state, uint64_t reserve_bytes) {
    static struct fixture f;
    *state = &f;
    return fixture_open(&f, &(struct fixture_options){.disk_reserve_bytes = reserve_bytes}) ? 0 : -1;
}

static int set_up(void **state) {
    return set_up_with(state, 0);
}

static int set_up_without_room(void **state) {
    return set_up_with(state, UINT64_MAX - 1);
}

static int tear_down(void **state) {
    return fixture_close(*state) ? 0 : -1;
}

/* ---- single keys ------------------------------------------------------------------------------------------------ */

static void what_is_put_is_got_until_it_is_deleted(void **state) {
    struct fixture *f = *state;
    uint64_t first = put(f, "a", "one"), second = put(f, "a", "two");
    assert_true(second > first);
    assert_value(f, "a", "two");
    struct call call = {.request = {.operation = SERVICE_DELETE, .key = velocity_str("a")}};
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    assert_true(call.request.version > second);
    end(&call);
    assert_value(f, "a", NULL);
}

static void a_write_at_a_version_happens_at_that_version_only(void **state) {
    struct fixture *f = *state;
    uint64_t version = put(f, "a", "one");
    struct call call = make_put("a", "two");
    call.request.precondition = SERVICE_AT_VERSION;
    call.request.if_version = version + 1;
    assert_int_equal(perform(f, &call), VELOCITY_CONFLICT);
    assert_int_equal(call.request.current_version, version);
    end(&call);
    assert_value(f, "a", "one");
    call = make_put("a", "two");
    call.request.precondition = SERVICE_AT_VERSION;
    call.request.if_version = version;
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    end(&call);
    assert_value(f, "a", "two");
}

static bool is_one_of_two(void *arg, uint64_t version) {
    const uint64_t *versions = arg;
    return version == versions[0] || version == versions[1];
}

static void a_write_whose_condition_is_a_question_asks_it_of_the_current_version(void **state) {
    struct fixture *f = *state;
    uint64_t versions[2] = {put(f, "a", "one"), 999999};
    struct call call = make_put("a", "two");
    call.request.precondition = SERVICE_IF_HOLDS;
    call.request.holds = is_one_of_two;
    call.request.holds_arg = versions;
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    uint64_t now = call.request.version;
    end(&call);
    call = make_put("a", "three");
    call.request.precondition = SERVICE_IF_HOLDS;
    call.request.holds = is_one_of_two;
    call.request.holds_arg = versions;
    assert_int_equal(perform(f, &call), VELOCITY_CONFLICT);
    assert_int_equal(call.request.current_version, now);
    end(&call);
    assert_value(f, "a", "two");
}

static void nothing_but_json_is_stored_as_json(void **state) {
    struct fixture *f = *state;
    struct call call = make_put("a", "{\"a\":}");
    call.request.flags = 1;
    assert_int_equal(perform(f, &call), VELOCITY_INVALID);
    assert_int_equal(call.request.refusal, SERVICE_NOT_JSON);
    assert_int_equal(call.request.json_error.offset, 5);
    end(&call);
    assert_value(f, "a", NULL);

    size_t size = 200000; /* too much for the front's thread */
    char *large = malloc(size + 1);
    assert_non_null(large);
    memset(large, ' ', size);
    large[size] = 0;
    call = make_put("a", large);
    call.request.flags = 1;
    assert_int_equal(perform(f, &call), VELOCITY_INVALID);
    end(&call);
    large[size - 1] = '1';
    call = make_put("a", large);
    call.request.flags = 1;
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    end(&call);
    assert_value(f, "a", large);
    free(large);
}

/* ---- batches ---------------------------------------------------------------------------------------------------- */

#define PUT(k, v)                                                                                                      \
    {                                                                                                                  \
        .action = SERVICE_BATCH_PUT, .key = {k, sizeof(k) - 1}, .value = { v, sizeof(v) - 1 }                          \
    }
#define GET(k)                                                                                                         \
    {                                                                                                                  \
        .action = SERVICE_BATCH_GET, .key = { k, sizeof(k) - 1 }                                                       \
    }
#define DELETE(k)                                                                                                      \
    {                                                                                                                  \
        .action = SERVICE_BATCH_DELETE, .key = { k, sizeof(k) - 1 }                                                    \
    }

static void a_get_in_a_batch_sees_what_stands_before_it(void **state) {
    struct fixture *f = *state;
    struct service_batch_operation operations[] = {GET("a"),    PUT("a", "new"), GET("a"),
                                                   DELETE("a"), GET("a"),        GET("b")};
    struct service_batch batch = {.operations = operations, .operation_count = 6, .max_found_bytes = 1000};
    uint64_t old = put(f, "a", "old");
    struct call call = {.request = {.operation = SERVICE_BATCH, .batch = &batch}};
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    assert_true(operations[0].found);
    assert_slice(operations[0].value, velocity_str("old"));
    assert_int_equal(operations[0].version, old);
    assert_true(operations[2].found);
    assert_slice(operations[2].value, velocity_str("new"));
    assert_int_equal(operations[2].version, operations[1].version);
    assert_int_equal(operations[3].version, operations[1].version + 1);
    assert_int_equal(call.request.version, operations[3].version);
    assert_false(operations[4].found);
    assert_false(operations[5].found);
    end(&call);
    assert_value(f, "a", NULL);
}

static void a_batch_whose_condition_fails_does_nothing_and_names_it(void **state) {
    struct fixture *f = *state;
    uint64_t version = put(f, "a", "old");
    struct store_condition conditions[] = {{velocity_str("a"), version}, {velocity_str("b"), VELOCITY_EXISTS}};
    for (int with_get = 0; with_get < 2; with_get++) {
        struct service_batch_operation operations[] = {PUT("a", "new"), GET("c")};
        struct service_batch batch = {.conditions = conditions,
                                      .condition_count = 2,
                                      .operations = operations,
                                      .operation_count = 1 + (size_t)with_get,
                                      .max_found_bytes = 1000};
        struct call call = {.request = {.operation = SERVICE_BATCH, .batch = &batch}};
        assert_int_equal(perform(f, &call), VELOCITY_CONFLICT);
        assert_int_equal(call.request.failed_condition, 1);
        assert_int_equal(call.request.current_version, VELOCITY_ABSENT);
        end(&call);
        assert_value(f, "a", "old");
    }
}

static void a_batch_that_would_find_too_much_does_nothing(void **state) {
    struct fixture *f = *state;
    put(f, "a", "twelve bytes");
    struct service_batch_operation operations[] = {GET("a"), PUT("b", "x")};
    struct service_batch batch = {.operations = operations, .operation_count = 2, .max_found_bytes = 11};
    struct call call = {.request = {.operation = SERVICE_BATCH, .batch = &batch}};
    assert_int_equal(perform(f, &call), VELOCITY_INVALID);
    assert_int_equal(call.request.refusal, SERVICE_FOUND_TOO_LARGE);
    end(&call);
    assert_value(f, "b", NULL);
}

/* Moves a unit from one key to another by reading both and writing both under the condition that neither moved: so the
 * sum stays, whatever runs beside it. */
static void *count_up(void *arg) {
    struct fixture *f = arg;
    for (int i = 0; i < 100; i++) {
        struct service_batch_operation operations[] = {GET("n"), PUT("touched", "x")};
        struct service_batch batch = {.operations = operations, .operation_count = 2, .max_found_bytes = 1000};
        struct call read = {.request = {.operation = SERVICE_BATCH, .batch = &batch}};
        if (perform(f, &read) != VELOCITY_OK) return "a batch failed";
        char digits[32];
        int n = 0;
        memcpy(digits, operations[0].value.data, operations[0].value.size);
        digits[operations[0].value.size] = 0;
        n = atoi(digits);
        (void)snprintf(digits, sizeof digits, "%d", n + 1);
        struct call write = make_put("n", digits);
        write.request.precondition = SERVICE_AT_VERSION;
        write.request.if_version = operations[0].version;
        velocity_status status = perform(f, &write);
        if (status == VELOCITY_CONFLICT) i--;
        end(&read);
        end(&write);
        if (status != VELOCITY_OK && status != VELOCITY_CONFLICT) return "a put failed";
    }
    return NULL;
}

static void concurrent_counters_lose_nothing(void **state) {
    struct fixture *f = *state;
    pthread_t threads[4];
    put(f, "n", "0");
    for (size_t i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, count_up, f), 0);
    for (size_t i = 0; i < 4; i++) {
        void *complaint;
        pthread_join(threads[i], &complaint);
        assert_null(complaint);
    }
    assert_value(f, "n", "400");
}

/* ---- scans, limits ---------------------------------------------------------------------------------------------- */

static bool take_two(void *arg, const struct store_row *row) {
    char *text = arg;
    if (strlen(text) >= 2) return false;
    strncat(text, row->key.data, row->key.size);
    return true;
}

static void a_scan_stops_where_it_is_told(void **state) {
    struct fixture *f = *state;
    char text[16] = "";
    put(f, "a", "1"), put(f, "b", "2"), put(f, "c", "3");
    struct store_scan scan = {.row = take_two, .arg = text};
    struct call call = {.request = {.operation = SERVICE_SCAN, .scan = &scan}};
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    assert_string_equal(text, "ab");
    assert_false(scan.complete);
    end(&call);
    text[0] = 0;
    scan = (struct store_scan){.row = take_two, .arg = text, .start = velocity_str("b"), .reverse = true};
    call = (struct call){.request = {.operation = SERVICE_SCAN, .scan = &scan}};
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    assert_string_equal(text, "cb");
    assert_true(scan.complete);
    end(&call);
}

static void the_budget_of_bytes_is_kept(void **state) {
    struct fixture *f = *state;
    assert_true(service_take_bytes(f->service, 600));
    assert_false(service_take_bytes(f->service, 600));
    assert_true(service_take_bytes(f->service, 400));
    service_give_bytes(f->service, 600);
    assert_true(service_take_bytes(f->service, 600));
    service_give_bytes(f->service, 1000);
    struct service_stats stats;
    service_stats(f->service, &stats);
    assert_int_equal(stats.inflight_bytes, 0);
    assert_int_equal(stats.refused_inflight, 1);
}

static void with_the_disk_nearly_full_puts_are_refused_and_deletes_are_not(void **state) {
    struct fixture *f = *state;
    struct call call = make_put("a", "x");
    assert_int_equal(perform(f, &call), VELOCITY_NO_SPACE);
    assert_int_equal(call.request.refusal, SERVICE_DISK_LOW);
    end(&call);
    call = (struct call){.request = {.operation = SERVICE_DELETE, .key = velocity_str("a")}};
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    end(&call);
    assert_value(f, "a", NULL);
}

int main(void) {
#define WITH_DATABASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_DATABASE(what_is_put_is_got_until_it_is_deleted),
        WITH_DATABASE(a_write_at_a_version_happens_at_that_version_only),
        WITH_DATABASE(a_write_whose_condition_is_a_question_asks_it_of_the_current_version),
        WITH_DATABASE(nothing_but_json_is_stored_as_json),
        WITH_DATABASE(a_get_in_a_batch_sees_what_stands_before_it),
        WITH_DATABASE(a_batch_whose_condition_fails_does_nothing_and_names_it),
        WITH_DATABASE(a_batch_that_would_find_too_much_does_nothing),
        WITH_DATABASE(concurrent_counters_lose_nothing),
        WITH_DATABASE(a_scan_stops_where_it_is_told),
        WITH_DATABASE(the_budget_of_bytes_is_kept),
        cmocka_unit_test_setup_teardown(with_the_disk_nearly_full_puts_are_refused_and_deletes_are_not,
                                        set_up_without_room, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
