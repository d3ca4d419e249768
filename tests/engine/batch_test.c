/* batch_test.c - batches: what they hold, their limits, errors that stick. */
#include "engine/batch.h"
#include "testing.h"

static velocity_batch *batch_new(void) {
    velocity_batch *batch = velocity_batch_new();
    assert_non_null(batch);
    return batch;
}

static void a_batch_copies_what_it_is_given_in_order(void **state) {
    (void)state;
    char key[] = "key", value[] = "value";
    velocity_batch *batch = batch_new();
    velocity_put_options options = velocity_put_options_default();
    options.flags = 5;
    velocity_batch_put(batch, velocity_str(key), velocity_str(value), &options);
    velocity_batch_delete(batch, velocity_str(key));
    velocity_batch_put(batch, velocity_str("\xff"), velocity_bytes(NULL, 0), NULL);
    memset(key, 'x', sizeof key);
    memset(value, 'x', sizeof value);
    assert_int_equal(velocity_batch_count(batch), 3);
    const uint8_t *p = batch->operations, *end = p + batch->extent.bytes;
    struct entry e;
    p = log_operation_decode(p, end, &e);
    assert_true(e.kind == ENTRY_PUT && e.flags == 5 && memcmp(e.key.data, "key", 3) == 0);
    assert_memory_equal(e.value.data, "value", 5);
    p = log_operation_decode(p, end, &e);
    assert_true(e.kind == ENTRY_DELETE && e.key.size == 3 && e.value.size == 0);
    p = log_operation_decode(p, end, &e);
    assert_true(e.kind == ENTRY_PUT && e.key.size == 1 && e.value.size == 0);
    assert_ptr_equal(p, end);
    velocity_batch_free(batch);
    velocity_batch_free(NULL);
}

static void conditions_do_not_count_as_operations(void **state) {
    (void)state;
    velocity_batch *batch = batch_new();
    for (uint64_t i = 1; i <= 300; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%llu", (unsigned long long)i);
        velocity_batch_require(batch, velocity_str(key), i);
    }
    assert_int_equal(velocity_batch_count(batch), 0);
    assert_int_equal(batch->requirement_count, 300);
    assert_memory_equal(batch_required_key(batch, 299).data, "k300", 4);
    assert_int_equal(batch->requirements[299].sequence, 300);
    assert_int_equal(velocity_batch_conflict(batch, NULL), SIZE_MAX);
    velocity_batch_clear(batch);
    assert_int_equal(batch->requirement_count, 0);
    velocity_batch_free(batch);
}

static void the_first_error_sticks_until_the_batch_is_cleared(void **state) {
    (void)state;
    static const char long_key[VELOCITY_MAX_KEY_BYTES + 1] = "k";
    velocity_batch *batch = batch_new();
    velocity_batch_put(batch, velocity_str("k"), velocity_str("v"), NULL);
    velocity_batch_delete(batch, velocity_bytes(long_key, sizeof long_key));
    assert_int_equal(batch->error, VELOCITY_INVALID);
    velocity_put_options options = velocity_put_options_default();
    options.expires_at_ms = -1;
    velocity_batch_put(batch, velocity_str("k"), velocity_str("v"), &options);
    velocity_batch_require(batch, velocity_str("k"), 1);
    assert_int_equal(batch->error, VELOCITY_INVALID); /* the first */
    assert_int_equal(velocity_batch_count(batch), 1);
    velocity_batch_clear(batch);
    OK(batch->error);
    assert_int_equal(velocity_batch_count(batch), 0);
    velocity_batch_put(batch, velocity_str("k"), velocity_str("v"), &options);
    assert_int_equal(batch->error, VELOCITY_INVALID);
    velocity_batch_clear(batch);
    velocity_batch_require(batch, velocity_str(""), 1);
    assert_int_equal(batch->error, VELOCITY_INVALID);
    velocity_batch_clear(batch);
    velocity_batch_put(batch, velocity_bytes(long_key, VELOCITY_MAX_KEY_BYTES), velocity_str(""), NULL);
    OK(batch->error);
    velocity_batch_put(batch, velocity_str("k"), velocity_bytes(long_key, VELOCITY_MAX_VALUE_BYTES + 1), NULL);
    assert_int_equal(batch->error, VELOCITY_INVALID);
    velocity_batch_free(batch);
}

static void a_batch_ends_at_its_limits_of_bytes_and_operations(void **state) {
    (void)state;
    velocity_batch *batch = batch_new();
    batch->extent.charged = VELOCITY_MAX_BATCH_BYTES - 34; /* as if that much had been put */
    velocity_batch_put(batch, velocity_str("k"), velocity_str("v"), NULL);
    OK(batch->error);
    velocity_batch_delete(batch, velocity_str("k"));
    assert_int_equal(batch->error, VELOCITY_INVALID);
    velocity_batch_clear(batch);
    batch->extent.count = VELOCITY_MAX_BATCH_OPERATIONS - 1;
    velocity_batch_delete(batch, velocity_str("k"));
    OK(batch->error);
    velocity_batch_delete(batch, velocity_str("k"));
    assert_int_equal(batch->error, VELOCITY_INVALID);
    velocity_batch_free(batch);
}

static void without_memory_the_error_sticks_and_nothing_is_lost(void **state) {
    (void)state;
    char value[1000] = {0};
    velocity_batch *batch = batch_new();
    velocity_batch_put(batch, velocity_str("k"), velocity_str("v"), NULL);
    env_fail_allocation(1, false);
    velocity_batch_put(batch, velocity_str("k"), velocity_bytes(value, sizeof value), NULL);
    assert_int_equal(batch->error, VELOCITY_NO_MEMORY);
    assert_int_equal(velocity_batch_count(batch), 1);
    velocity_batch_clear(batch);
    env_fail_allocation(1, false);
    velocity_batch_require(batch, velocity_str("k"), 1);
    assert_int_equal(batch->error, VELOCITY_NO_MEMORY);
    env_fail_allocation(1, false);
    assert_null(velocity_batch_new());
    env_fail_allocation(0, false);
    velocity_batch_free(batch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_copies_what_it_is_given_in_order),
        cmocka_unit_test(conditions_do_not_count_as_operations),
        cmocka_unit_test(the_first_error_sticks_until_the_batch_is_cleared),
        cmocka_unit_test(a_batch_ends_at_its_limits_of_bytes_and_operations),
        cmocka_unit_test(without_memory_the_error_sticks_and_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
