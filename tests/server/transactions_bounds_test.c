/*
 * transactions_bounds_test.c - how many transactions there may be, and what each and all of them may hold.
 */
#include "tests/server/transactions_fixture.h"

#include <stdio.h>

/* ---- how many, how much ------------------------------------------------------------------------------------------ */

static void a_user_has_so_many_at_once_and_others_have_theirs(void **state) {
    struct bench *b = *state;
    struct transaction_info infos[16], more;
    for (size_t i = 0; i < COUNT(infos); i++) infos[i] = begin(b, b->ann);
    assert_int_equal(try_begin(b, b->ann, &more), VELOCITY_CONFLICT);
    (void)begin(b, b->bob);
    assert_int_equal(roll_back(b, &infos[3]), TRANSACTION_ENTERED);
    infos[3] = begin(b, b->ann);
    assert_int_equal(try_begin(b, b->ann, &more), VELOCITY_CONFLICT);
    assert_int_equal(commit(b, &infos[4]).status, VELOCITY_OK);
    (void)begin(b, b->ann);
    assert_int_equal(stats_of(b).refused, 2);
    pass(b, IDLE_MS);
    (void)begin(b, b->ann); /* those that are due have left their places */
    assert_int_equal(stats_of(b).open, 1);
}

static void all_together_are_so_many(void **state) {
    struct bench *b = *state;
    struct transaction_info info;
    open_registry(b, (struct transactions_options){.max_per_user = 2000});
    for (uint32_t i = 0; i < TRANSACTIONS_MAX; i++) (void)begin(b, b->ann);
    assert_int_equal(try_begin(b, b->bob, &info), VELOCITY_BUSY);
    assert_int_equal(stats_of(b).open, TRANSACTIONS_MAX);
    pass(b, IDLE_MS);
    transactions_sweep(b->all);
    assert_int_equal(stats_of(b).open, 0);
    assert_int_equal(stats_of(b).bytes, 0);
    assert_int_equal(stats_of(b).timed_out, TRANSACTIONS_MAX);
}

static void what_one_writes_is_bounded_and_what_was_written_stays(void **state) {
    struct bench *b = *state;
    static char large[MIB];
    open_registry(b, (struct transactions_options){.max_bytes = 3 * MIB});
    struct transaction_info info = begin(b, b->ann);
    struct transaction *transaction = inside(b, &info);
    assert_int_equal(write_inside(transaction, "a", velocity_bytes(large, sizeof large)).status, VELOCITY_OK);
    uint64_t held = stats_of(b).bytes;
    assert_in_range(held, 2 * MIB + BASE_BYTES, 2 * MIB + BASE_BYTES + 1000);
    assert_int_equal(write_inside(transaction, "b", velocity_bytes(large, sizeof large)).status, VELOCITY_INVALID);
    assert_int_equal(transaction_excess(transaction), TRANSACTION_TOO_LARGE);
    assert_int_equal(stats_of(b).bytes, held);
    assert_int_equal(write_inside(transaction, "c", LITERAL("small")).status, VELOCITY_OK);
    assert_int_equal(transaction_excess(transaction), TRANSACTION_FITS);
    assert_int_equal(commit_inside(transaction).status, VELOCITY_OK);
    assert_value(&b->behind, "c", "small");
    assert_value(&b->behind, "b", NULL);
    assert_int_equal(stats_of(b).bytes, 0);
}

static void a_write_that_fails_holds_nothing(void **state) {
    struct bench *b = *state;
    struct transaction_info info = begin(b, b->ann);
    struct transaction *transaction = inside(b, &info);
    uint64_t held = stats_of(b).bytes;
    assert_int_equal(write_inside(transaction, "", LITERAL("no key")).status, VELOCITY_INVALID);
    assert_int_equal(transaction_excess(transaction), TRANSACTION_FITS);
    assert_int_equal(stats_of(b).bytes, held);
    assert_false(transaction_takes_space(transaction));
    transaction_leave(transaction);
}

static void a_range_without_an_end_holds_the_greatest_key_that_there_can_be(void **state) {
    struct bench *b = *state;
    open_registry(b, (struct transactions_options){.max_bytes = 3 * MIB});
    struct transaction_info info = begin(b, b->ann);
    struct transaction *transaction = inside(b, &info);
    struct store *store = transaction_store(transaction);
    struct store_operation range = {.action = STORE_DELETE_RANGE, .key = LITERAL("b"), .end = LITERAL("c")};
    struct store_batch batch = {.operations = &range, .operation_count = 1};
    struct store_commit commit = {0};
    uint64_t before = stats_of(b).bytes;
    store->operations->write(store, &batch, &commit);
    assert_int_equal(commit.status, VELOCITY_OK);
    assert_in_range(stats_of(b).bytes - before, 1000, 1100);
    range.end = velocity_bytes(NULL, 0);
    before = stats_of(b).bytes;
    store->operations->write(store, &batch, &commit);
    assert_int_equal(commit.status, VELOCITY_OK);
    assert_in_range(stats_of(b).bytes - before, 2 * VELOCITY_MAX_KEY_BYTES, 2 * VELOCITY_MAX_KEY_BYTES + 1100);
    int more = 0;
    for (; more < 100 && commit.status == VELOCITY_OK; more++) store->operations->write(store, &batch, &commit);
    assert_int_equal(commit.status, VELOCITY_INVALID);
    assert_int_equal(transaction_excess(transaction), TRANSACTION_TOO_LARGE);
    assert_in_range(more, 20, 24);
    transaction_leave(transaction);
}

static void one_holds_as_many_range_deletes_as_are_committed_at_once(void **state) {
    struct bench *b = *state;
    open_registry(b, (struct transactions_options){.max_bytes = 128 * MIB, .max_total_bytes = 128 * MIB});
    struct transaction_info info = begin(b, b->ann);
    struct transaction *transaction = inside(b, &info);
    struct store *store = transaction_store(transaction);
    struct store_operation range = {.action = STORE_DELETE_RANGE, .key = LITERAL("b"), .end = LITERAL("c")};
    struct store_batch batch = {.operations = &range, .operation_count = 1};
    struct store_commit commit = {0};
    for (uint32_t i = 0; i < VELOCITY_MAX_BATCH_RANGES; i++) {
        store->operations->write(store, &batch, &commit);
        assert_int_equal(commit.status, VELOCITY_OK);
    }
    uint64_t held = stats_of(b).bytes;
    store->operations->write(store, &batch, &commit);
    assert_int_equal(commit.status, VELOCITY_INVALID);
    assert_int_equal(transaction_excess(transaction), TRANSACTION_TOO_LARGE);
    assert_non_null(strstr(commit.message, "65536 range deletes"));
    assert_int_equal(stats_of(b).bytes, held);
    assert_int_equal(write_inside(transaction, "a", LITERAL("small")).status, VELOCITY_OK);
    assert_int_equal(commit_inside(transaction).status, VELOCITY_OK);
    assert_value(&b->behind, "a", "small");
}

static void all_together_hold_so_much(void **state) {
    struct bench *b = *state;
    static char large[MIB];
    open_registry(b, (struct transactions_options){.max_total_bytes = 3 * MIB});
    struct transaction_info first = begin(b, b->ann), second = begin(b, b->ann);
    struct transaction *transaction = inside(b, &first);
    assert_int_equal(write_inside(transaction, "a", velocity_bytes(large, sizeof large)).status, VELOCITY_OK);
    transaction_leave(transaction);
    transaction = inside(b, &second);
    assert_int_equal(write_inside(transaction, "b", velocity_bytes(large, sizeof large)).status, VELOCITY_BUSY);
    assert_int_equal(transaction_excess(transaction), TRANSACTIONS_TOO_LARGE);
    transaction_leave(transaction);
    assert_int_equal(roll_back(b, &first), TRANSACTION_ENTERED);
    transaction = inside(b, &second);
    assert_int_equal(write_inside(transaction, "b", velocity_bytes(large, sizeof large)).status, VELOCITY_OK);
    transaction_leave(transaction);
}

static void reads_of_serializable_ones_are_counted_up_to_what_the_engine_remembers(void **state) {
    struct bench *b = *state;
    static char key[VELOCITY_MAX_KEY_BYTES];
    struct transaction_caller caller = in(b->ann, "default");
    struct transaction_info info;
    memset(key, 'k', sizeof key);
    assert_int_equal(transactions_begin(b->all, &caller, VELOCITY_ISOLATION_SERIALIZABLE, &info), VELOCITY_OK);
    struct transaction *transaction = inside(b, &info);
    struct store *store = transaction_store(transaction);
    uint64_t before = stats_of(b).bytes;
    velocity_value found = {0};
    for (uint32_t i = 0; i < 1000; i++) {
        memcpy(key, &i, sizeof i);
        assert_int_equal(store->operations->get(store, velocity_bytes(key, sizeof key), false, &found),
                         VELOCITY_NOT_FOUND);
        if (i == 0) assert_in_range(stats_of(b).bytes - before, sizeof key, sizeof key + 100);
    }
    assert_in_range(stats_of(b).bytes - before, 4 * MIB, 9 * MIB);
    transaction_leave(transaction);
    assert_int_equal(roll_back(b, &info), TRANSACTION_ENTERED);
    assert_int_equal(stats_of(b).bytes, 0);
}

static bool pass_over(void *arg, const struct store_row *row) {
    struct store_scan *scan = arg;
    static char prefix[2];
    memcpy(prefix, row->key.data, sizeof prefix);
    scan->pass = velocity_bytes(prefix, sizeof prefix);
    return true;
}

static bool want_nothing(void *arg, uint32_t flags, size_t value_size) {
    (void)flags, (void)value_size;
    assert_non_null(((struct store_scan *)arg)->row); /* it is the caller's own */
    return false;
}

static void scans_and_conditions_are_reads_too(void **state) {
    struct bench *b = *state;
    struct transaction_caller caller = in(b->ann, "default");
    struct transaction_info info;
    char key[32];
    for (int i = 0; i < 30; i++) {
        (void)snprintf(key, sizeof key, "%02d:%d", i / 3, i);
        (void)put(&b->behind, key, "x");
    }
    assert_int_equal(transactions_begin(b->all, &caller, VELOCITY_ISOLATION_SERIALIZABLE, &info), VELOCITY_OK);
    struct transaction *transaction = inside(b, &info);
    struct store *store = transaction_store(transaction);
    uint64_t before = stats_of(b).bytes;
    struct store_scan scan = {.row = pass_over, .wants_value = want_nothing};
    scan.arg = &scan;
    assert_int_equal(store->operations->scan(store, &scan), VELOCITY_OK);
    assert_true(scan.complete);
    assert_ptr_equal(scan.arg, &scan);
    assert_in_range(stats_of(b).bytes - before, 11 * 512, 11 * 512 + 200); /* itself, and ten times over three keys */
    before = stats_of(b).bytes;
    struct store_condition condition = {.key = LITERAL("none"), .version = VELOCITY_EXISTS};
    struct store_batch batch = {.conditions = &condition, .condition_count = 1};
    struct store_commit commit = {0};
    store->operations->write(store, &batch, &commit);
    assert_int_equal(commit.status, VELOCITY_CONFLICT);
    assert_in_range(stats_of(b).bytes - before, 4, 100);
    transaction_leave(transaction);
    assert_int_equal(roll_back(b, &info), TRANSACTION_ENTERED);
    assert_int_equal(stats_of(b).bytes, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, transactions_set_up, transactions_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_user_has_so_many_at_once_and_others_have_theirs),
        TEST(all_together_are_so_many),
        TEST(what_one_writes_is_bounded_and_what_was_written_stays),
        TEST(a_write_that_fails_holds_nothing),
        TEST(a_range_without_an_end_holds_the_greatest_key_that_there_can_be),
        TEST(one_holds_as_many_range_deletes_as_are_committed_at_once),
        TEST(all_together_hold_so_much),
        TEST(reads_of_serializable_ones_are_counted_up_to_what_the_engine_remembers),
        TEST(scans_and_conditions_are_reads_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
