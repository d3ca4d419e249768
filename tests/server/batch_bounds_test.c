/*
 * batch_bounds_test.c - how much a batch reads and holds: a small request can name values that no memory would hold
 * together. Outside of transactions, and inside.
 */
#include "tests/server/fixture.h"

enum { VALUES = 8, VALUE_BYTES = 10000, LIMIT = 25000, MIB = 1 << 20 };

struct bench {
    struct fixture behind;
    struct principal *who;
    char transaction[TRANSACTION_ID_BYTES]; /* "": none */
};

static int set_up(void **state) {
    static struct bench b;
    static char large[VALUE_BYTES + 1];
    char key[] = "0";
    memset(&b, 0, sizeof b);
    *state = &b;
    if (!fixture_open(&b.behind, &(struct fixture_options){.max_inflight_bytes = 64 * MIB})) return -1;
    b.who = principal_new(&(struct principal){.user = (char *)(uintptr_t) "ann", .role = ROLE_ADMIN});
    memset(large, 'x', VALUE_BYTES);
    for (; key[0] < '0' + VALUES; key[0]++) (void)put(&b.behind, key, large);
    return b.who ? 0 : -1;
}

static int set_up_inside(void **state, velocity_isolation isolation) {
    struct transaction_info info;
    if (set_up(state)) return -1;
    struct bench *b = *state;
    struct transaction_caller caller = {.principal = b->who, .database = velocity_str("default")};
    if (transactions_begin(service_transactions(b->behind.service), &caller, isolation, &info)) return -1;
    memcpy(b->transaction, info.id, sizeof info.id);
    return 0;
}

static int set_up_serializable(void **state) {
    return set_up_inside(state, VELOCITY_ISOLATION_SERIALIZABLE);
}

static int set_up_read_committed(void **state) {
    return set_up_inside(state, VELOCITY_ISOLATION_READ_COMMITTED);
}

static int tear_down(void **state) {
    struct bench *b = *state;
    principal_release(b->who);
    return fixture_close(&b->behind) ? 0 : -1;
}

/* ---- short words ------------------------------------------------------------------------------------------------ */

static const char *const keys[VALUES] = {"0", "1", "2", "3", "4", "5", "6", "7"};

/* The same operation on each key. */
static void fill(struct service_batch_operation *operations, enum service_batch_action action) {
    for (size_t i = 0; i < VALUES; i++)
        operations[i] = (struct service_batch_operation){.action = action, .key = velocity_str(keys[i]), .by = 1};
}

static bool look_into(uint32_t flags, velocity_slice stored, struct service_content *out) {
    (void)flags, (void)stored;
    out->at = 0;
    return true;
}

struct cost {
    uint64_t read;  /* keys */
    uint64_t holds; /* bytes of values, when it was answered */
};

static uint64_t keys_read(struct bench *b) {
    velocity_stats stats = {.struct_size = sizeof stats};
    struct database *database;
    assert_int_equal(databases_acquire(b->behind.databases, velocity_str("default"), &database), VELOCITY_OK);
    struct store *store = database_store(database);
    assert_int_equal(store->operations->stats(store, &stats), VELOCITY_OK);
    database_release(database);
    return stats.gets;
}

static struct cost perform_batch(struct bench *b, struct call *call, struct service_batch *batch) {
    *call = (struct call){.request = {.operation = SERVICE_BATCH,
                                      .batch = batch,
                                      .caller.principal = b->who,
                                      .look_into = look_into,
                                      .transaction_id = velocity_str(b->transaction)}};
    struct cost cost = {0};
    uint64_t before = keys_read(b);
    (void)perform(&b->behind, call);
    cost.read = keys_read(b) - before;
    for (size_t i = 0; i < batch->value_count; i++)
        if (batch->values[i].data) cost.holds += batch->values[i].size;
    return cost;
}

/* ---- the bounds ------------------------------------------------------------------------------------------------- */

static void gets_and_touches_are_read_until_they_are_too_much_and_no_further(void **state) {
    static const enum service_batch_action actions[] = {SERVICE_BATCH_GET, SERVICE_BATCH_TOUCH};
    for (size_t i = 0; i < COUNT(actions); i++) {
        struct service_batch_operation operations[VALUES];
        struct service_batch batch = {.operations = operations, .operation_count = VALUES, .max_found_bytes = LIMIT};
        struct call call;
        fill(operations, actions[i]);
        struct cost cost = perform_batch(*state, &call, &batch);
        assert_int_equal(call.request.status, VELOCITY_INVALID);
        assert_int_equal(call.request.refusal, SERVICE_FOUND_TOO_LARGE);
        assert_int_equal(cost.read, LIMIT / VALUE_BYTES + 1);
        assert_in_range(cost.holds, 0, LIMIT + VALUE_BYTES);
        end(&call);
    }
}

static void what_fits_is_found_to_the_byte(void **state) {
    struct service_batch_operation operations[VALUES];
    struct service_batch batch = {
        .operations = operations, .operation_count = VALUES, .max_found_bytes = VALUES * VALUE_BYTES};
    struct call call;
    fill(operations, SERVICE_BATCH_GET);
    struct cost cost = perform_batch(*state, &call, &batch);
    assert_int_equal(call.request.status, VELOCITY_OK);
    assert_int_equal(cost.holds, VALUES * VALUE_BYTES);
    for (size_t i = 0; i < VALUES; i++) {
        assert_true(operations[i].found);
        assert_int_equal(operations[i].value.size, VALUE_BYTES);
        assert_int_equal(((const char *)operations[i].value.data)[VALUE_BYTES - 1], 'x');
    }
    end(&call);
    batch.max_found_bytes--;
    (void)perform_batch(*state, &call, &batch);
    assert_int_equal(call.request.refusal, SERVICE_FOUND_TOO_LARGE);
    end(&call);
}

static void of_conditions_nothing_is_held_but_their_versions(void **state) {
    struct store_condition conditions[VALUES];
    struct service_batch_operation operations[] = {{.action = SERVICE_BATCH_GET, .key = velocity_str(keys[0])}};
    struct service_batch batch = {.conditions = conditions,
                                  .condition_count = VALUES,
                                  .operations = operations,
                                  .operation_count = 1,
                                  .max_found_bytes = LIMIT};
    struct call call;
    for (size_t i = 0; i < VALUES; i++)
        conditions[i] = (struct store_condition){.key = velocity_str(keys[i]), .version = VELOCITY_EXISTS};
    struct cost cost = perform_batch(*state, &call, &batch);
    assert_int_equal(call.request.status, VELOCITY_OK);
    assert_true(operations[0].found);
    assert_int_equal(cost.holds, VALUE_BYTES);
    end(&call);
    conditions[2].version = VELOCITY_ABSENT; /* the first that fails is the last that is read */
    cost = perform_batch(*state, &call, &batch);
    assert_int_equal(call.request.status, VELOCITY_CONFLICT);
    assert_int_equal(call.request.failed_condition, 2);
    assert_int_equal(cost.read, 3);
    assert_int_equal(cost.holds, 0);
    end(&call);
}

static void of_an_increment_nothing_is_held_that_is_no_number(void **state) {
    struct service_batch_operation operations[VALUES];
    struct service_batch batch = {.operations = operations, .operation_count = VALUES};
    struct call call;
    fill(operations, SERVICE_BATCH_INCREMENT);
    operations[0].key = velocity_str("absent");
    struct cost cost = perform_batch(*state, &call, &batch);
    assert_int_equal(call.request.status, VELOCITY_CONFLICT);
    assert_int_equal(call.request.refusal, SERVICE_UNFIT);
    assert_int_equal(call.request.failed_condition, 1);
    assert_int_equal(cost.holds, 0);
    end(&call);
}

/* Of the size of those that share a block of the cache, and of those that the engine copies. */
static void small_values_are_found_as_they_are(void **state) {
    struct bench *b = *state;
    static const size_t sizes[] = {0, 1, 256, 257, 4095, 4096};
    static char bytes[4096];
    struct service_batch_operation operations[COUNT(sizes)];
    struct service_batch batch = {
        .operations = operations, .operation_count = COUNT(sizes), .max_found_bytes = 3 * sizeof bytes};
    struct call call;
    for (size_t i = 0; i < COUNT(sizes); i++) {
        memset(bytes, 'a' + (int)i, sizes[i]);
        call = make_put(keys[i], "");
        call.request.caller.principal = b->who;
        call.request.transaction_id = velocity_str(b->transaction);
        call.request.value = velocity_bytes(bytes, sizes[i]);
        assert_int_equal(perform(&b->behind, &call), VELOCITY_OK);
        end(&call);
        operations[i] = (struct service_batch_operation){.action = SERVICE_BATCH_GET, .key = velocity_str(keys[i])};
    }
    (void)perform_batch(b, &call, &batch);
    assert_int_equal(call.request.status, VELOCITY_OK);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        memset(bytes, 'a' + (int)i, sizes[i]);
        assert_true(operations[i].found);
        assert_slice(operations[i].value, velocity_bytes(bytes, sizes[i]));
    }
    end(&call);
}

#define EVERYWHERE(name)                                                                                               \
    cmocka_unit_test_setup_teardown(name, set_up, tear_down),                                                          \
        cmocka_unit_test_setup_teardown(name, set_up_serializable, tear_down),                                         \
        cmocka_unit_test_setup_teardown(name, set_up_read_committed, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        EVERYWHERE(gets_and_touches_are_read_until_they_are_too_much_and_no_further),
        EVERYWHERE(what_fits_is_found_to_the_byte),
        EVERYWHERE(of_conditions_nothing_is_held_but_their_versions),
        EVERYWHERE(of_an_increment_nothing_is_held_that_is_no_number),
        EVERYWHERE(small_values_are_found_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
