/* store_txn_test.c - a transaction as a store: what is seen inside, conditions, batches, scans, the commit. */
#include "tests/server/store_fixture.h"

#include <semaphore.h>

static struct store *begin(struct fixture *f, velocity_isolation isolation) {
    struct store *txn;
    assert_int_equal(f->store->operations->begin(f->store, isolation, &txn), VELOCITY_OK);
    return txn;
}

static void end(struct store *txn) {
    txn->operations->free(txn);
}

/* ---- short words ------------------------------------------------------------------------------------------------ */

#define PUT(k, v)                                                                                                      \
    (struct store_operation) {                                                                                         \
        .action = STORE_PUT, .key = velocity_str(k), .value = velocity_str(v)                                          \
    }
#define DELETE(k)                                                                                                      \
    (struct store_operation) {                                                                                         \
        .action = STORE_DELETE, .key = velocity_str(k)                                                                 \
    }

static struct store_commit write_if(struct store *store, const struct store_condition *conditions, size_t conditions_n,
                                    const struct store_operation *operations, size_t n) {
    struct store_commit commit = {.version = 77};
    struct store_batch batch = {
        .conditions = conditions, .condition_count = conditions_n, .operations = operations, .operation_count = n};
    store->operations->write(store, &batch, &commit);
    store_commit_free(&commit);
    return commit;
}

static uint64_t put(struct store *store, const char *key, const char *value) {
    struct store_commit commit = write_if(store, NULL, 0, &PUT(key, value), 1);
    assert_int_equal(commit.status, VELOCITY_OK);
    return commit.version;
}

/* NULL: nothing. The version that it stands at, or UINT64_MAX where there is nothing. */
static uint64_t sees(struct store *store, const char *key, const char *value) {
    velocity_value found = {0};
    velocity_status status = store->operations->get(store, velocity_str(key), false, &found);
    assert_int_equal(status, value ? VELOCITY_OK : VELOCITY_NOT_FOUND);
    if (!value) return UINT64_MAX;
    assert_slice(velocity_bytes(found.data, found.size), velocity_str(value));
    uint64_t version = found.sequence;
    store->operations->release(store, &found);
    return version;
}

static velocity_status judged(struct store *store, const char *key, uint64_t version, uint64_t *current) {
    struct store_commit commit = write_if(store, &(struct store_condition){velocity_str(key), version}, 1, NULL, 0);
    *current = commit.current_version;
    return commit.status;
}

struct waiting {
    struct store_commit commit;
    sem_t answered;
};

static void answer(struct store_commit *commit) {
    sem_post(&((struct waiting *)commit)->answered);
}

static struct store_commit commit(struct store *txn) {
    struct waiting waiting = {.commit.done = answer};
    sem_init(&waiting.answered, 0, 0);
    txn->operations->commit(txn, &waiting.commit);
    sem_wait(&waiting.answered);
    sem_destroy(&waiting.answered);
    return waiting.commit;
}

/* ---- what is seen ----------------------------------------------------------------------------------------------- */

static void what_is_written_inside_is_seen_there_alone_until_the_commit(void **state) {
    struct fixture *f = *state;
    uint64_t old = put(f->store, "a", "old");
    struct store *txn = begin(f, VELOCITY_ISOLATION_SNAPSHOT);
    assert_int_equal(sees(txn, "a", "old"), old);
    assert_int_equal(put(txn, "a", "new"), VELOCITY_ABSENT);
    assert_int_equal(put(txn, "b", "more"), VELOCITY_ABSENT);
    assert_int_equal(sees(txn, "a", "new"), VELOCITY_ABSENT);
    (void)sees(f->store, "a", "old");
    (void)sees(f->store, "b", NULL);
    struct store_commit answered = commit(txn);
    assert_int_equal(answered.status, VELOCITY_OK);
    assert_int_equal(sees(f->store, "a", "new"), answered.version - 1);
    assert_int_equal(sees(f->store, "b", "more"), answered.version);
    end(txn);
}

static void what_is_not_committed_is_never_there(void **state) {
    struct fixture *f = *state;
    struct store *txn = begin(f, VELOCITY_ISOLATION_SERIALIZABLE);
    put(txn, "a", "x");
    end(txn);
    (void)sees(f->store, "a", NULL);
}

static void many_keys_are_of_the_state_of_the_begin(void **state) {
    struct fixture *f = *state;
    velocity_slice keys[] = {LITERAL("a"), LITERAL("b"), LITERAL("c")};
    velocity_value values[3];
    velocity_status statuses[3];
    struct store_reads reads = {.count = 3, .keys = keys, .values = values, .statuses = statuses};
    uint64_t begun = put(f->store, "a", "1");
    struct store *txn = begin(f, VELOCITY_ISOLATION_SNAPSHOT), *newest = begin(f, VELOCITY_ISOLATION_READ_COMMITTED);
    put(f->store, "a", "2");
    put(txn, "b", "own");
    assert_int_equal(txn->operations->get_many(txn, &reads), VELOCITY_OK);
    assert_int_equal(reads.version, begun);
    assert_slice(velocity_bytes(values[0].data, values[0].size), LITERAL("1"));
    assert_slice(velocity_bytes(values[1].data, values[1].size), LITERAL("own"));
    assert_int_equal(statuses[2], VELOCITY_NOT_FOUND);
    for (int i = 0; i < 2; i++) txn->operations->release(txn, &values[i]);
    reads.count = 1;
    assert_int_equal(newest->operations->get_many(newest, &reads), VELOCITY_OK);
    assert_int_equal(reads.version, VELOCITY_ABSENT);
    assert_slice(velocity_bytes(values[0].data, values[0].size), LITERAL("2"));
    newest->operations->release(newest, &values[0]);
    end(txn);
    end(newest);
}

/* ---- conditions ------------------------------------------------------------------------------------------------- */

static void conditions_are_judged_by_what_the_transaction_sees(void **state) {
    struct fixture *f = *state;
    uint64_t current, old = put(f->store, "a", "old");
    struct store *txn = begin(f, VELOCITY_ISOLATION_SNAPSHOT);
    put(f->store, "a", "newer");
    assert_int_equal(judged(txn, "a", old, &current), VELOCITY_OK);
    assert_int_equal(judged(txn, "a", old + 1, &current), VELOCITY_CONFLICT);
    assert_int_equal(current, old);
    assert_int_equal(judged(txn, "b", VELOCITY_ABSENT, &current), VELOCITY_OK);
    assert_int_equal(judged(txn, "b", VELOCITY_EXISTS, &current), VELOCITY_CONFLICT);
    assert_int_equal(current, VELOCITY_ABSENT);
    end(txn);
}

static void what_it_has_put_itself_is_there_and_at_no_version(void **state) {
    struct fixture *f = *state;
    uint64_t current, old = put(f->store, "a", "old");
    struct store *txn = begin(f, VELOCITY_ISOLATION_SNAPSHOT);
    put(txn, "a", "own");
    assert_int_equal(judged(txn, "a", VELOCITY_EXISTS, &current), VELOCITY_OK);
    assert_int_equal(judged(txn, "a", VELOCITY_ABSENT, &current), VELOCITY_CONFLICT);
    assert_int_equal(current, VELOCITY_EXISTS);
    assert_int_equal(judged(txn, "a", old, &current), VELOCITY_CONFLICT);
    assert_int_equal(current, VELOCITY_EXISTS);
    assert_int_equal(write_if(txn, NULL, 0, &DELETE("a"), 1).status, VELOCITY_OK);
    assert_int_equal(judged(txn, "a", VELOCITY_ABSENT, &current), VELOCITY_OK);
    end(txn);
}

static void a_batch_whose_condition_fails_is_not_in_the_transaction(void **state) {
    struct fixture *f = *state;
    struct store *txn = begin(f, VELOCITY_ISOLATION_SNAPSHOT);
    struct store_condition conditions[] = {{LITERAL("x"), VELOCITY_ABSENT}, {LITERAL("y"), VELOCITY_EXISTS}};
    struct store_commit refused = write_if(txn, conditions, 2, &PUT("a", "1"), 1);
    assert_int_equal(refused.status, VELOCITY_CONFLICT);
    assert_int_equal(refused.failed_condition, 1);
    (void)sees(txn, "a", NULL);
    end(txn);
}

static void a_batch_that_fails_in_the_middle_leaves_nothing(void **state) {
    struct fixture *f = *state;
    put(f->store, "a", "old");
    struct store *txn = begin(f, VELOCITY_ISOLATION_SNAPSHOT);
    put(txn, "b", "before");
    struct store_operation operations[] = {PUT("a", "new"), DELETE("b"), PUT("", "no key"), PUT("c", "1")};
    struct store_commit refused = write_if(txn, NULL, 0, operations, 4);
    assert_int_equal(refused.status, VELOCITY_INVALID);
    assert_non_null(strstr(refused.message, "key"));
    (void)sees(txn, "a", "old");
    (void)sees(txn, "b", "before");
    (void)sees(txn, "c", NULL);
    assert_int_equal(commit(txn).status, VELOCITY_OK);
    (void)sees(f->store, "a", "old");
    (void)sees(f->store, "b", "before");
    end(txn);
}

static void an_expiry_is_kept(void **state) {
    struct fixture *f = *state;
    struct store *txn = begin(f, VELOCITY_ISOLATION_SNAPSHOT);
    struct store_operation operation = PUT("a", "x");
    operation.expires_at_ms = INT64_C(32503680000000);
    operation.flags = 3;
    assert_int_equal(write_if(txn, NULL, 0, &operation, 1).status, VELOCITY_OK);
    assert_int_equal(commit(txn).status, VELOCITY_OK);
    end(txn);
    velocity_value found = {0};
    assert_int_equal(f->store->operations->get(f->store, LITERAL("a"), false, &found), VELOCITY_OK);
    assert_int_equal(found.expires_at_ms, INT64_C(32503680000000));
    assert_int_equal(found.flags, 3);
    f->store->operations->release(f->store, &found);
}

/* ---- ranges ----------------------------------------------------------------------------------------------------- */

static bool join(void *arg, const struct store_row *row) {
    strncat(arg, row->key.data, row->key.size);
    strcat(arg, " ");
    return true;
}

static void scans(struct store *store, struct store_scan scan, const char *expected) {
    char keys[200] = "";
    scan.row = join;
    scan.arg = keys;
    assert_int_equal(store->operations->scan(store, &scan), VELOCITY_OK);
    assert_string_equal(keys, expected);
    assert_true(scan.complete);
}

static void a_scan_shows_the_state_of_the_begin_and_what_was_written_since(void **state) {
    struct fixture *f = *state;
    velocity_slice prefixes[] = {LITERAL("a"), LITERAL("c")};
    for (const char *key = "a1\0a2\0b1\0c1\0"; *key; key += 3) put(f->store, key, "x");
    struct store *txn = begin(f, VELOCITY_ISOLATION_SNAPSHOT);
    put(f->store, "a3", "x");
    put(txn, "c2", "x");
    (void)write_if(txn, NULL, 0, &DELETE("a1"), 1);
    scans(txn, (struct store_scan){.reverse = false}, "a2 b1 c1 c2 ");
    scans(txn, (struct store_scan){.reverse = true}, "c2 c1 b1 a2 ");
    scans(txn, (struct store_scan){.prefixes = prefixes, .prefix_count = 2}, "a2 c1 c2 ");
    scans(txn, (struct store_scan){.prefixes = prefixes, .prefix_count = 2, .reverse = true}, "c2 c1 a2 ");
    scans(txn, (struct store_scan){.start = LITERAL("b"), .end = LITERAL("c2")}, "b1 c1 ");
    struct store_scan nothing = {.prefix = LITERAL("z"), .prefixes = prefixes, .prefix_count = 2, .row = join};
    assert_int_equal(txn->operations->scan(txn, &nothing), VELOCITY_OK);
    assert_int_equal(nothing.version, 4);
    end(txn);
}

static void a_range_delete_reaches_as_far_as_it_says(void **state) {
    struct fixture *f = *state;
    static char longest[VELOCITY_MAX_KEY_BYTES - 1]; /* the greatest but one */
    memset(longest, 0xff, sizeof longest);
    for (const char *key = "a\0b\0c\0d\0"; *key; key += 2) put(f->store, key, "x");
    struct {
        velocity_slice from, to;
        const char *left;
    } ranges[] = {{LITERAL("b"), LITERAL("d"), "a d "},
                  {{NULL, 0}, LITERAL("c"), "c d "},
                  {LITERAL("b"), {NULL, 0}, "a "},
                  {{NULL, 0}, {NULL, 0}, ""}};
    for (size_t i = 0; i < COUNT(ranges); i++) {
        struct store *txn = begin(f, VELOCITY_ISOLATION_SNAPSHOT);
        struct store_operation last = {.action = STORE_PUT, .key = velocity_bytes(longest, sizeof longest)};
        struct store_operation range = {.action = STORE_DELETE_RANGE, .key = ranges[i].from, .end = ranges[i].to};
        if (!ranges[i].to.data) assert_int_equal(write_if(txn, NULL, 0, &last, 1).status, VELOCITY_OK);
        assert_int_equal(write_if(txn, NULL, 0, &range, 1).status, VELOCITY_OK);
        scans(txn, (struct store_scan){.reverse = false}, ranges[i].left);
        end(txn);
    }
}

/* ---- the commit ------------------------------------------------------------------------------------------------- */

static void who_loses_is_told_the_key(void **state) {
    struct fixture *f = *state;
    put(f->store, "account", "1");
    struct store *txn = begin(f, VELOCITY_ISOLATION_SNAPSHOT);
    put(txn, "account", "2");
    put(f->store, "account", "3");
    struct store_commit lost = commit(txn);
    assert_int_equal(lost.status, VELOCITY_CONFLICT);
    assert_non_null(strstr(lost.message, "account"));
    assert_int_equal(lost.lost_key.size, strlen("account"));
    end(txn);
    assert_memory_equal(lost.lost_key.data, "account", strlen("account")); /* the commit's own */
    store_commit_forget(&lost);
    (void)sees(f->store, "account", "3");
}

static void a_scan_counts_as_read_where_that_matters(void **state) {
    struct fixture *f = *state;
    for (int i = 0; i < 2; i++) {
        struct store *txn = begin(f, i ? VELOCITY_ISOLATION_SERIALIZABLE : VELOCITY_ISOLATION_SNAPSHOT);
        char key[] = {'p', (char)('0' + i), 0}, keys[200] = "";
        struct store_scan scan = {.prefix = LITERAL("p"), .row = join, .arg = keys};
        assert_int_equal(txn->operations->scan(txn, &scan), VELOCITY_OK);
        put(txn, "q", "x");
        put(f->store, key, "a phantom");
        struct store_commit committed = commit(txn);
        assert_int_equal(committed.status, i ? VELOCITY_CONFLICT : VELOCITY_OK);
        store_commit_forget(&committed);
        end(txn);
    }
}

static void a_commit_without_writes_answers_the_state_that_was_read(void **state) {
    struct fixture *f = *state;
    uint64_t begun = put(f->store, "a", "1");
    struct store *txn = begin(f, VELOCITY_ISOLATION_SERIALIZABLE);
    (void)sees(txn, "a", "1");
    put(f->store, "a", "2");
    struct store_commit answered = commit(txn);
    assert_int_equal(answered.status, VELOCITY_OK);
    assert_int_equal(answered.version, begun);
    velocity_value found = {0};
    assert_int_equal(txn->operations->get(txn, LITERAL("a"), false, &found), VELOCITY_INVALID); /* it is over */
    end(txn);
}

static void what_a_transaction_can_not_do_is_said(void **state) {
    struct fixture *f = *state;
    struct store *txn = begin(f, VELOCITY_ISOLATION_SNAPSHOT), *other;
    velocity_stats stats = {.struct_size = sizeof stats};
    uint64_t version;
    assert_int_equal(txn->operations->stats(txn, &stats), VELOCITY_UNSUPPORTED);
    assert_int_equal(txn->operations->flush(txn), VELOCITY_UNSUPPORTED);
    assert_int_equal(txn->operations->compact(txn, NULL, NULL, NULL), VELOCITY_UNSUPPORTED);
    assert_int_equal(txn->operations->begin(txn, VELOCITY_ISOLATION_SNAPSHOT, &other), VELOCITY_UNSUPPORTED);
    assert_int_equal(txn->operations->freeze(txn, &other, &version), VELOCITY_UNSUPPORTED);
    struct waiting waiting = {.commit.done = answer};
    sem_init(&waiting.answered, 0, 0);
    struct store_batch batch = {.operations = &PUT("a", "1"), .operation_count = 1};
    txn->operations->write_async(txn, &batch, &waiting.commit);
    sem_wait(&waiting.answered);
    sem_destroy(&waiting.answered);
    assert_int_equal(waiting.commit.status, VELOCITY_UNSUPPORTED);
    (void)sees(txn, "a", NULL);
    end(txn);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_is_written_inside_is_seen_there_alone_until_the_commit),
        TEST(what_is_not_committed_is_never_there),
        TEST(many_keys_are_of_the_state_of_the_begin),
        TEST(conditions_are_judged_by_what_the_transaction_sees),
        TEST(what_it_has_put_itself_is_there_and_at_no_version),
        TEST(a_batch_whose_condition_fails_is_not_in_the_transaction),
        TEST(a_batch_that_fails_in_the_middle_leaves_nothing),
        TEST(an_expiry_is_kept),
        TEST(a_scan_shows_the_state_of_the_begin_and_what_was_written_since),
        TEST(a_range_delete_reaches_as_far_as_it_says),
        TEST(who_loses_is_told_the_key),
        TEST(a_scan_counts_as_read_where_that_matters),
        TEST(a_commit_without_writes_answers_the_state_that_was_read),
        TEST(what_a_transaction_can_not_do_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
