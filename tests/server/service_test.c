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

#define INCREMENT(k, n)                                                                                                \
    { .action = SERVICE_BATCH_INCREMENT, .key = {k, sizeof(k) - 1}, .by = (n) }
#define TOUCH(k, at)                                                                                                   \
    { .action = SERVICE_BATCH_TOUCH, .key = {k, sizeof(k) - 1}, .expires_at_ms = (at) }
#define FAR INT64_C(4102444800000) /* 2100 */

/* A value stands behind the "!" it begins with and is JSON behind two of them; one that begins with "?" is damaged. */
static bool look_into(uint32_t flags, velocity_slice stored, struct service_content *out) {
    const char *p = stored.data;
    if (stored.size && p[0] == '?') return false;
    out->at = 0;
    while (out->at < stored.size && p[out->at] == '!') out->at++;
    out->json = flags == 1 || out->at == 2;
    return true;
}

static velocity_status run_batch(struct fixture *f, struct call *call, struct service_batch *batch) {
    *call = (struct call){.request = {.operation = SERVICE_BATCH, .batch = batch, .look_into = look_into}};
    return perform(f, call);
}

static void a_batch_goes_through_increments_and_touches_in_their_order(void **state) {
    struct fixture *f = *state;
    struct service_batch_operation operations[] = {
        INCREMENT("n", 5),    GET("n"),        INCREMENT("n", -7), TOUCH("n", FAR),   GET("n"),
        TOUCH("absent", FAR), GET("absent"),   PUT("n", "!40"),    INCREMENT("n", 2), TOUCH("p", FAR + 1),
        DELETE("p"),          TOUCH("p", FAR), INCREMENT("p", 1)};
    struct service_batch batch = {
        .operations = operations, .operation_count = COUNT(operations), .max_found_bytes = 1000};
    struct call call;
    put(f, "p", "x");
    assert_int_equal(run_batch(f, &call, &batch), VELOCITY_OK);
    assert_slice(operations[0].value, velocity_str("5"));
    assert_slice(operations[1].value, velocity_str("5"));
    assert_int_equal(operations[1].version, operations[0].version);
    assert_slice(operations[2].value, velocity_str("-2"));
    assert_true(operations[3].found);
    assert_slice(operations[4].value, velocity_str("-2"));
    assert_int_equal(operations[4].expires_at_ms, FAR);
    assert_int_equal(operations[4].version, operations[3].version);
    assert_false(operations[5].found);
    assert_false(operations[6].found);
    assert_slice(operations[8].value, velocity_str("42"));
    assert_true(operations[9].found);
    assert_false(operations[11].found);
    assert_slice(operations[12].value, velocity_str("1"));
    /* Touches of what is not there have no version of their own. */
    assert_int_equal(operations[7].version, operations[3].version + 1);
    assert_int_equal(operations[12].version, operations[10].version + 1);
    assert_int_equal(call.request.version, operations[12].version);
    end(&call);
    assert_value(f, "n", "!42");
    assert_value(f, "p", "1");
    assert_value(f, "absent", NULL);
}

static int64_t expiry_of(struct fixture *f, const char *key, uint32_t *flags) {
    struct call call = {.request = {.operation = SERVICE_GET, .key = velocity_str(key)}};
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    int64_t expires_at_ms = call.request.found.expires_at_ms;
    *flags = call.request.found.flags;
    end(&call);
    return expires_at_ms;
}

static void an_increment_keeps_flags_and_expiry_and_a_touch_changes_only_that(void **state) {
    struct fixture *f = *state;
    uint32_t flags;
    struct call call = make_put("n", "9223372036854775806");
    call.request.flags = 0x1201;
    call.request.expires_at_ms = FAR;
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    end(&call);
    struct service_batch_operation increment[] = {INCREMENT("n", 1)};
    struct service_batch batch = {.operations = increment, .operation_count = 1};
    assert_int_equal(run_batch(f, &call, &batch), VELOCITY_OK);
    end(&call);
    assert_value(f, "n", "9223372036854775807");
    assert_int_equal(expiry_of(f, "n", &flags), FAR);
    assert_int_equal(flags, 0x1201);
    struct service_batch_operation touch[] = {TOUCH("n", 0)};
    batch = (struct service_batch){.operations = touch, .operation_count = 1, .max_found_bytes = 19};
    assert_int_equal(run_batch(f, &call, &batch), VELOCITY_OK);
    end(&call);
    assert_value(f, "n", "9223372036854775807");
    assert_int_equal(expiry_of(f, "n", &flags), 0);
    assert_int_equal(flags, 0x1201);
    batch.max_found_bytes = 18;
    assert_int_equal(run_batch(f, &call, &batch), VELOCITY_INVALID);
    assert_int_equal(call.request.refusal, SERVICE_FOUND_TOO_LARGE);
    end(&call);
}

static void an_increment_of_what_is_no_number_does_nothing_of_the_batch(void **state) {
    struct fixture *f = *state;
    static const char *const values[] = {
        "", "x", "01", "-0", "+1", "1.0", " 1", "9223372036854775808", "?5", "9223372036854775807"};
    for (size_t i = 0; i < COUNT(values); i++) {
        put(f, "n", values[i]);
        struct service_batch_operation operations[] = {PUT("other", "x"), INCREMENT("n", 1)};
        struct service_batch batch = {.operations = operations, .operation_count = 2, .max_found_bytes = 100};
        struct call call;
        assert_int_equal(run_batch(f, &call, &batch), VELOCITY_CONFLICT);
        assert_int_equal(call.request.refusal, SERVICE_UNFIT);
        assert_int_equal(call.request.failed_condition, 1);
        assert_true(strlen(service_request_message(&call.request)) > 0);
        end(&call);
        assert_value(f, "n", values[i]);
        assert_value(f, "other", NULL);
    }
}

static void what_a_batch_lets_expire_is_gone_for_what_stands_behind_it(void **state) {
    struct fixture *f = *state;
    struct service_batch_operation operations[] = {PUT("a", "5"), GET("a"),          TOUCH("b", 1),
                                                   GET("b"),      INCREMENT("b", 1), TOUCH("a", FAR)};
    struct service_batch batch = {
        .operations = operations, .operation_count = COUNT(operations), .max_found_bytes = 99};
    struct call call;
    operations[0].expires_at_ms = 1;
    put(f, "b", "5");
    assert_int_equal(run_batch(f, &call, &batch), VELOCITY_OK);
    assert_false(operations[1].found);
    assert_true(operations[2].found);
    assert_false(operations[3].found);
    assert_slice(operations[4].value, velocity_str("1"));
    assert_false(operations[5].found);
    end(&call);
    assert_value(f, "a", NULL);
    assert_value(f, "b", "1");
}

static void *increment_on(void *arg) {
    struct fixture *f = arg;
    for (int i = 0; i < 1000; i++) {
        struct service_batch_operation operations[] = {INCREMENT("n", 1), INCREMENT("m", 2)};
        struct service_batch batch = {.operations = operations, .operation_count = 2};
        struct call call;
        velocity_status status = run_batch(f, &call, &batch);
        end(&call);
        if (status != VELOCITY_OK) return "a batch failed";
    }
    return NULL;
}

static void concurrent_increments_lose_nothing(void **state) {
    struct fixture *f = *state;
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, increment_on, f), 0);
    for (size_t i = 0; i < 4; i++) {
        void *complaint;
        pthread_join(threads[i], &complaint);
        if (complaint) fail_msg("%s", (const char *)complaint);
    }
    assert_value(f, "n", "4000");
    assert_value(f, "m", "8000");
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

/* ---- patches ---------------------------------------------------------------------------------------------------- */

static struct call make_patch(const char *key, const char *patch) {
    return (struct call){.request = {.operation = SERVICE_PATCH,
                                     .key = velocity_str(key),
                                     .value = velocity_str(patch),
                                     .look_into = look_into}};
}

static void a_patch_keeps_flags_expiry_and_what_stands_before_the_document(void **state) {
    struct fixture *f = *state;
    uint32_t flags;
    struct call call = make_put("a", "!!{\"a\":1.0}");
    call.request.flags = 0xFF00;
    call.request.expires_at_ms = FAR;
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    uint64_t before = call.request.version;
    end(&call);
    call = make_patch("a", "{\"b\":2}");
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    assert_true(call.request.version > before);
    end(&call);
    assert_value(f, "a", "!!{\"a\":1.0,\"b\":2}");
    assert_int_equal(expiry_of(f, "a", &flags), FAR);
    assert_int_equal(flags, 0xFF00);
}

static void expect_refused(struct fixture *f, const char *patch, velocity_status status, enum service_refusal refusal) {
    struct call call = make_patch("a", patch);
    assert_int_equal(perform(f, &call), status);
    assert_int_equal(call.request.refusal, refusal);
    end(&call);
}

/* A front keeps requests for reuse, and with them what they have kept. */
static void what_is_large_without_a_large_body_is_not_kept(void **state) {
    struct fixture *f = *state;
    size_t size = 500000;
    char *document = malloc(size + 1);
    assert_non_null(document);
    memset(document, ' ', size);
    memcpy(document, "!!{\"a\":1}", 9);
    document[size] = 0;
    put(f, "a", document);
    struct call call = make_patch("a", "{\"b\":2}");
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    assert_non_null(call.request.commit.memory); /* white space is not kept: it is small now */
    end(&call);
    memset(document + 3, '"', 1);
    memset(document + 4, 'x', size - 8);
    memcpy(document + size - 4, "\":1}", 4);
    put(f, "a", document);
    call = make_patch("a", "{\"b\":2}");
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    assert_null(call.request.commit.memory);
    end(&call);
    struct service_batch_operation operations[] = {TOUCH("a", FAR)};
    struct service_batch batch = {.operations = operations, .operation_count = 1, .max_found_bytes = 1 << 20};
    assert_int_equal(run_batch(f, &call, &batch), VELOCITY_OK);
    assert_true(operations[0].found);
    assert_null(call.request.commit.memory);
    end(&call);
    free(document);
}

static void a_patch_that_cannot_be_done_changes_nothing(void **state) {
    struct fixture *f = *state;
    static char large[(1 << 20) + 16];
    expect_refused(f, "{}", VELOCITY_NOT_FOUND, SERVICE_NO_REFUSAL);
    put(f, "a", "{}"); /* of another type */
    expect_refused(f, "{}", VELOCITY_CONFLICT, SERVICE_UNFIT);
    put(f, "a", "!!{");
    expect_refused(f, "{}", VELOCITY_CONFLICT, SERVICE_UNFIT);
    put(f, "a", "?");
    expect_refused(f, "{}", VELOCITY_CORRUPT, SERVICE_NO_REFUSAL);
    put(f, "a", "!!{}");
    expect_refused(f, "{", VELOCITY_INVALID, SERVICE_NOT_JSON);
    (void)snprintf(large, sizeof large, "{\"a\":\"%0*d\"}", 1 << 20, 0);
    expect_refused(f, large, VELOCITY_INVALID, SERVICE_RESULT_TOO_LARGE);
    assert_value(f, "a", "!!{}");
}

static void a_patch_at_a_version_happens_at_that_version_only(void **state) {
    struct fixture *f = *state;
    uint64_t version = put(f, "a", "!!{}");
    for (uint64_t off = 2; off-- > 0;) {
        struct call call = make_patch("a", "{\"b\":1}");
        call.request.precondition = SERVICE_AT_VERSION;
        call.request.if_version = version + off;
        assert_int_equal(perform(f, &call), off ? VELOCITY_CONFLICT : VELOCITY_OK);
        if (off) assert_int_equal(call.request.current_version, version);
        end(&call);
        assert_value(f, "a", off ? "!!{}" : "!!{\"b\":1}");
    }
}

static void *patch_on(void *arg) {
    struct fixture *f = arg;
    static _Atomic int threads;
    int thread = atomic_fetch_add(&threads, 1);
    for (int i = 0; i < 50; i++) {
        char patch[64];
        (void)snprintf(patch, sizeof patch, "{\"%d-%d\":1}", thread, i);
        struct call call = make_patch("a", patch);
        velocity_status status = perform(f, &call);
        end(&call);
        if (status != VELOCITY_OK) return "a patch failed";
    }
    return NULL;
}

static void concurrent_patches_lose_nothing(void **state) {
    struct fixture *f = *state;
    pthread_t threads[4];
    put(f, "a", "!!{}");
    for (size_t i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, patch_on, f), 0);
    for (size_t i = 0; i < 4; i++) {
        void *complaint;
        pthread_join(threads[i], &complaint);
        if (complaint) fail_msg("%s", (const char *)complaint);
    }
    struct call call = {.request = {.operation = SERVICE_GET, .key = velocity_str("a")}};
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    size_t commas = 0;
    for (size_t i = 0; i < call.request.found.size; i++) commas += ((const char *)call.request.found.data)[i] == ',';
    assert_int_equal(commas, 199);
    end(&call);
}

/* ---- ranges -------------------------------------------------------------------------------------------------------
 */

static void a_range_is_deleted_within_the_scope_and_not_beyond(void **state) {
    struct fixture *f = *state;
    velocity_slice prefix = LITERAL("a:");
    struct principal limited = {
        .references = 1, .user = "ann", .role = ROLE_WRITE, .scope = {.prefixes = &prefix, .prefix_count = 1}};
    static const struct {
        const char *start, *end;
        bool inside;
    } ranges[] = {{"a:", "a;", true}, {"a:1", "a:2", true}, {"a", "a:2", false}, {"a:1", "b", false}, {"", "", false}};
    for (size_t i = 0; i < COUNT(ranges); i++) {
        put(f, "a:1", "x"), put(f, "b", "x");
        struct call call = {.request = {.operation = SERVICE_DELETE_RANGE,
                                        .caller.principal = &limited,
                                        .range_start = velocity_str(ranges[i].start),
                                        .range_end = velocity_str(ranges[i].end)}};
        assert_int_equal(perform(f, &call), ranges[i].inside ? VELOCITY_OK : VELOCITY_INVALID);
        assert_int_equal(call.request.refusal, ranges[i].inside ? SERVICE_NO_REFUSAL : SERVICE_OUT_OF_SCOPE);
        end(&call);
        assert_value(f, "a:1", ranges[i].inside ? NULL : "x");
        assert_value(f, "b", "x");
    }
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
    call = make_patch("a", "{}");
    assert_int_equal(perform(f, &call), VELOCITY_NO_SPACE);
    end(&call);
    struct service_batch_operation operations[] = {INCREMENT("a", 1), TOUCH("a", 0)};
    for (size_t i = 0; i < 2; i++) {
        struct service_batch batch = {.operations = &operations[i], .operation_count = 1};
        assert_int_equal(run_batch(f, &call, &batch), VELOCITY_NO_SPACE);
        assert_int_equal(call.request.refusal, SERVICE_DISK_LOW);
        end(&call);
    }
    call = (struct call){.request = {.operation = SERVICE_DELETE, .key = velocity_str("a")}};
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    end(&call);
    call = (struct call){.request = {.operation = SERVICE_DELETE_RANGE}};
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
        WITH_DATABASE(a_batch_goes_through_increments_and_touches_in_their_order),
        WITH_DATABASE(an_increment_keeps_flags_and_expiry_and_a_touch_changes_only_that),
        WITH_DATABASE(an_increment_of_what_is_no_number_does_nothing_of_the_batch),
        WITH_DATABASE(what_a_batch_lets_expire_is_gone_for_what_stands_behind_it),
        WITH_DATABASE(concurrent_increments_lose_nothing),
        WITH_DATABASE(concurrent_counters_lose_nothing),
        WITH_DATABASE(a_patch_keeps_flags_expiry_and_what_stands_before_the_document),
        WITH_DATABASE(what_is_large_without_a_large_body_is_not_kept),
        WITH_DATABASE(a_patch_that_cannot_be_done_changes_nothing),
        WITH_DATABASE(a_patch_at_a_version_happens_at_that_version_only),
        WITH_DATABASE(concurrent_patches_lose_nothing),
        WITH_DATABASE(a_range_is_deleted_within_the_scope_and_not_beyond),
        WITH_DATABASE(a_scan_stops_where_it_is_told),
        WITH_DATABASE(the_budget_of_bytes_is_kept),
        cmocka_unit_test_setup_teardown(with_the_disk_nearly_full_puts_are_refused_and_deletes_are_not,
                                        set_up_without_room, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
