/*
 * write_test.c - what velocity.h promises of writing: one order, group commit, conditions at the commit point, writes
 * that do not wait.
 */
#include "testing.h"

#include <sched.h>

static velocity *open_fast(const char *folder) {
    velocity_options options = velocity_options_default();
    options.durability = VELOCITY_DURABILITY_OS;
    velocity *db;
    OK(velocity_open(folder, &options, &db));
    return db;
}

static velocity_batch *batch_of(const char *key, const char *value) {
    velocity_batch *batch = velocity_batch_new();
    assert_non_null(batch);
    velocity_batch_put(batch, velocity_str(key), velocity_str(value), NULL);
    return batch;
}

static uint64_t version_of(velocity *db, const char *key) {
    velocity_value v;
    if (velocity_get(db, velocity_str(key), &v) != VELOCITY_OK) return VELOCITY_ABSENT;
    uint64_t sequence = v.sequence;
    velocity_value_release(&v);
    return sequence;
}

/* What the callbacks of a test saw; they run one after the other, on one thread. */
struct answers {
    pthread_t caller;
    uint64_t sequences[4096];
    velocity_status statuses[4096];
    bool on_the_callers_stack, out_of_thread;
    pthread_t thread;
    _Atomic uint32_t count, blocked, reached; /* reached: how many `done` have begun */
};

static void note(void *arg, velocity_status status, uint64_t sequence) {
    struct answers *a = arg;
    uint32_t n = atomic_load(&a->count);
    atomic_store(&a->reached, n + 1);
    while (atomic_load(&a->blocked)) (void)sched_yield();
    if (pthread_equal(pthread_self(), a->caller)) a->on_the_callers_stack = true;
    if (n && !pthread_equal(pthread_self(), a->thread)) a->out_of_thread = true;
    a->thread = pthread_self();
    a->sequences[n] = sequence;
    a->statuses[n] = status;
    atomic_store(&a->count, n + 1);
}

/* ---- sequences ------------------------------------------------------------------------------------------------------
 */

static void each_operation_has_a_sequence_and_the_batch_answers_the_last(void **state) {
    velocity *db = open_fast(*state);
    velocity_batch *batch = batch_of("a", "1");
    velocity_batch_put(batch, velocity_str("b"), velocity_str("2"), NULL);
    velocity_batch_delete(batch, velocity_str("c"));
    velocity_batch_put(batch, velocity_str("a"), velocity_str("3"), NULL); /* the later one of the batch counts */
    uint64_t last;
    OK(velocity_write(db, batch, NULL, &last));
    assert_int_equal(last, 4);
    assert_int_equal(version_of(db, "a"), 4);
    assert_int_equal(version_of(db, "b"), 2);
    OK(velocity_write(db, batch, NULL, &last)); /* it is unchanged and can be written again */
    assert_int_equal(last, 8);
    assert_int_equal(velocity_batch_count(batch), 4);
    velocity_batch_clear(batch);
    OK(velocity_write(db, batch, NULL, &last)); /* nothing in it: the current sequence */
    assert_int_equal(last, 8);
    OK(velocity_write(db, batch, NULL, NULL));
    velocity_batch_free(batch);
    OK(velocity_close(db));
}

enum { WRITERS = 16, WRITES = 150, BATCH = 3 };

struct writer {
    velocity *db;
    uint32_t number;
    bool sync;
    pthread_t thread;
    uint64_t last[WRITES];
};

static void *write_batches(void *arg) {
    struct writer *w = arg;
    velocity_write_options options = velocity_write_options_default();
    if (w->sync) options.durability = VELOCITY_DURABILITY_ALWAYS;
    velocity_batch *batch = velocity_batch_new();
    for (uint32_t i = 0; i < WRITES; i++) {
        velocity_batch_clear(batch);
        for (uint32_t k = 0; k < BATCH; k++) {
            char key[32];
            (void)snprintf(key, sizeof key, "%u/%u", w->number, k);
            velocity_batch_put(batch, velocity_str(key), velocity_bytes(&i, sizeof i), NULL);
        }
        OK(velocity_write(w->db, batch, &options, &w->last[i]));
        velocity_value v;
        char key[32];
        (void)snprintf(key, sizeof key, "%u/0", w->number);
        OK(velocity_get(w->db, velocity_str(key), &v)); /* what was acknowledged is visible */
        assert_memory_equal(v.data, &i, sizeof i);
        velocity_value_release(&v);
    }
    velocity_batch_free(batch);
    return NULL;
}

static void sixteen_threads_share_groups_and_every_sequence_is_given_once(void **state) {
    velocity *db = open_fast(*state);
    static struct writer writers[WRITERS];
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i].db = db;
        writers[i].number = i;
        writers[i].sync = i % 2;
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_batches, &writers[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++) assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
    static bool given[WRITERS * WRITES + 1];
    for (int i = 0; i < WRITERS; i++) {
        for (int k = 0; k < WRITES; k++) {
            uint64_t last = writers[i].last[k];
            assert_true(last % BATCH == 0 && last / BATCH <= WRITERS * WRITES && !given[last / BATCH]);
            assert_true(k == 0 || last > writers[i].last[k - 1]);
            given[last / BATCH] = true;
        }
    }
    velocity_stats s = {.struct_size = sizeof s};
    OK(velocity_stats_get(db, &s));
    assert_int_equal(s.last_sequence, WRITERS * WRITES * BATCH);
    assert_int_equal(s.writes, WRITERS * WRITES);
    assert_int_equal(s.write_operations, WRITERS * WRITES * BATCH);
    uint64_t groups = 0;
    for (int i = 0; i < VELOCITY_GROUP_BUCKETS; i++) groups += s.group_batches[i];
    assert_int_equal(groups, s.groups);
    assert_true(s.syncs <= WRITERS / 2 * WRITES); /* a sync serves at least the writer that asked for it */
    OK(velocity_close(db));
}

/* ---- conditions -----------------------------------------------------------------------------------------------------
 */

static void a_condition_that_does_not_hold_is_named_and_nothing_is_written(void **state) {
    velocity *db = open_fast(*state);
    OK(velocity_put(db, velocity_str("there"), velocity_str("1")));
    velocity_batch *batch = batch_of("new", "1");
    velocity_batch_require(batch, velocity_str("there"), 1);
    velocity_batch_require(batch, velocity_str("not there"), VELOCITY_ABSENT);
    velocity_batch_require(batch, velocity_str("there"), VELOCITY_EXISTS);
    uint64_t current = 99;
    OK(velocity_write(db, batch, NULL, NULL));
    assert_int_equal(velocity_batch_conflict(batch, &current), SIZE_MAX);
    OK(velocity_put(db, velocity_str("not there"), velocity_str("now it is")));
    FAILS(VELOCITY_CONFLICT, "condition 1", velocity_write(db, batch, NULL, NULL));
    assert_int_equal(velocity_batch_conflict(batch, &current), 1);
    assert_int_equal(current, 3);
    assert_int_equal(version_of(db, "new"), 2);
    OK(velocity_delete(db, velocity_str("not there")));
    OK(velocity_write(db, batch, NULL, NULL)); /* the same batch, once its conditions hold again */
    assert_int_equal(velocity_batch_conflict(batch, NULL), SIZE_MAX);
    OK(velocity_delete(db, velocity_str("there")));
    FAILS(VELOCITY_CONFLICT, "condition 0", velocity_write(db, batch, NULL, NULL));
    assert_int_equal(velocity_batch_conflict(batch, &current), 0);
    assert_int_equal(current, VELOCITY_ABSENT);
    velocity_batch_clear(batch);
    velocity_batch_require(batch, velocity_str("there"), VELOCITY_EXISTS); /* conditions alone are checked, too */
    FAILS(VELOCITY_CONFLICT, "condition 0", velocity_write(db, batch, NULL, NULL));
    velocity_batch_free(batch);
    OK(velocity_close(db));
}

static void a_version_stays_a_condition_through_flush_compaction_and_reopening(void **state) {
    velocity *db = open_fast(*state);
    OK(velocity_put(db, velocity_str("k"), velocity_str("1")));
    velocity_batch *batch = velocity_batch_new();
    velocity_batch_require(batch, velocity_str("k"), 1);
    OK(velocity_flush(db));
    OK(velocity_write(db, batch, NULL, NULL));
    OK(velocity_compact(db, NULL));
    OK(velocity_write(db, batch, NULL, NULL));
    OK(velocity_close(db));
    db = open_fast(*state);
    OK(velocity_write(db, batch, NULL, NULL));
    velocity_batch_free(batch);
    OK(velocity_close(db));
}

static void an_error_sticks_to_the_batch_and_the_write_reports_it(void **state) {
    velocity *db = open_fast(*state);
    velocity_batch *batch = batch_of("good", "1");
    velocity_batch_put(batch, velocity_str(""), velocity_str("no key"), NULL);
    velocity_batch_put(batch, velocity_str("after"), velocity_str("1"), NULL);
    FAILS(VELOCITY_INVALID, "key", velocity_write(db, batch, NULL, NULL));
    FAILS(VELOCITY_INVALID, "key", velocity_write_async(db, batch, NULL, note, NULL));
    FAILS(VELOCITY_INVALID, "callback", velocity_write_async(db, batch, NULL, NULL, NULL));
    velocity_batch_clear(batch);
    velocity_put_options options = velocity_put_options_default();
    options.expires_at_ms = -1;
    velocity_batch_put(batch, velocity_str("k"), velocity_str("v"), &options);
    FAILS(VELOCITY_INVALID, "expires_at_ms", velocity_write(db, batch, NULL, NULL));
    velocity_batch_free(batch);
    FAILS(VELOCITY_INVALID, "batch", velocity_write(db, NULL, NULL, NULL));
    assert_int_equal(version_of(db, "good"), VELOCITY_ABSENT);
    OK(velocity_close(db));
}

enum { ADDERS = 8, ADDITIONS = 200 };

/* Reads a number, writes it one higher on condition that nobody was faster; tries until it succeeds. */
static void *add_up(void *arg) {
    velocity *db = arg;
    velocity_batch *batch = velocity_batch_new();
    for (int i = 0; i < ADDITIONS; i++) {
        velocity_status status = VELOCITY_CONFLICT;
        while (status == VELOCITY_CONFLICT) {
            velocity_value v;
            uint64_t number;
            OK(velocity_get(db, velocity_str("sum"), &v));
            memcpy(&number, v.data, sizeof number);
            velocity_batch_clear(batch);
            velocity_batch_require(batch, velocity_str("sum"), v.sequence);
            velocity_value_release(&v);
            number++;
            velocity_batch_put(batch, velocity_str("sum"), velocity_bytes(&number, sizeof number), NULL);
            status = velocity_write(db, batch, NULL, NULL);
        }
        OK(status);
    }
    velocity_batch_free(batch);
    return NULL;
}

static void concurrent_additions_on_condition_lose_nothing(void **state) {
    velocity *db = open_fast(*state);
    uint64_t zero = 0, sum;
    OK(velocity_put(db, velocity_str("sum"), velocity_bytes(&zero, sizeof zero)));
    pthread_t threads[ADDERS];
    for (int i = 0; i < ADDERS; i++) assert_int_equal(pthread_create(&threads[i], NULL, add_up, db), 0);
    for (int i = 0; i < ADDERS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    velocity_value v;
    OK(velocity_get(db, velocity_str("sum"), &v));
    memcpy(&sum, v.data, sizeof sum);
    velocity_value_release(&v);
    assert_int_equal(sum, ADDERS * ADDITIONS);
    OK(velocity_close(db));
}

/* ---- without waiting
 * ------------------------------------------------------------------------------------------------- */

static struct answers *answers_new(void) {
    struct answers *a = calloc(1, sizeof *a);
    a->caller = pthread_self();
    return a;
}

static void await(struct answers *a, uint32_t count) {
    while (atomic_load(&a->count) < count) (void)sched_yield();
}

static void asynchronous_writes_are_answered_once_in_order_on_the_commit_thread(void **state) {
    enum { N = 1000 };
    velocity *db = open_fast(*state);
    struct answers *a = answers_new();
    velocity_batch *batches[N];
    for (int i = 0; i < N; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%d", i);
        batches[i] = batch_of(key, "v");
        OK(velocity_write_async(db, batches[i], NULL, note, a));
    }
    await(a, N);
    assert_false(a->on_the_callers_stack || a->out_of_thread);
    for (uint32_t i = 0; i < N; i++) {
        OK(a->statuses[i]);
        assert_int_equal(a->sequences[i], i + 1); /* one caller's writes keep their order */
        velocity_batch_free(batches[i]);
    }
    assert_int_equal(version_of(db, "999"), N);
    while (velocity_close(db) == VELOCITY_BUSY) (void)sched_yield(); /* the last answer may still be returning */
    assert_int_equal(atomic_load(&a->count), N);
    free(a);
}

/* Leadership was offered to the commit thread, which is in somebody's `done`: others take it. */
static void who_waits_is_not_held_up_by_a_done(void **state) {
    velocity *db = open_fast(*state);
    struct answers *a = answers_new();
    velocity_batch *batch = batch_of("k", "v");
    atomic_store(&a->blocked, 1);
    OK(velocity_write_async(db, batch, NULL, note, a));
    while (!atomic_load(&a->reached)) (void)sched_yield();
    OK(velocity_write_async(db, batch, NULL, note, a));
    OK(velocity_put(db, velocity_str("meanwhile"), velocity_str("v")));
    assert_int_equal(version_of(db, "meanwhile"), 3);
    OK(velocity_flush(db));
    OK(velocity_write_async(db, batch, NULL, note, a));
    OK(velocity_delete(db, velocity_str("meanwhile")));
    atomic_store(&a->blocked, 0);
    await(a, 3);
    assert_int_equal(a->sequences[0], 1);
    assert_int_equal(a->sequences[1], 2);
    assert_int_equal(a->sequences[2], 4);
    velocity_batch_free(batch);
    while (velocity_close(db) == VELOCITY_BUSY) (void)sched_yield();
    free(a);
}

static void beyond_max_pending_bytes_the_answer_is_busy_and_done_never_runs(void **state) {
    velocity_options options = velocity_options_default();
    options.max_pending_bytes = 10000;
    velocity *db;
    OK(velocity_open(*state, &options, &db));
    struct answers *a = answers_new();
    atomic_store(&a->blocked, 1); /* the first `done` holds the commit thread */
    char value[1000] = {0};
    velocity_batch *batch = velocity_batch_new();
    velocity_batch_put(batch, velocity_str("k"), velocity_bytes(value, sizeof value), NULL);
    uint32_t accepted = 0;
    velocity_status status;
    while ((status = velocity_write_async(db, batch, NULL, note, a)) == VELOCITY_OK) accepted++;
    assert_int_equal(status, VELOCITY_BUSY);
    /* Nine of 1,006 bytes each; and the first no longer counts if its `done` has begun meanwhile. */
    assert_in_range(accepted, 9, 10);
    FAILS(VELOCITY_BUSY, "under way", velocity_close(db));
    OK(velocity_put(db, velocity_str("meanwhile"), velocity_str("waiting writers are not held up")));
    atomic_store(&a->blocked, 0);
    await(a, accepted);
    do status = velocity_write_async(db, batch, NULL, note, a); /* with room again it goes on */
    while (status == VELOCITY_BUSY);
    OK(status);
    await(a, accepted + 1);
    while (velocity_close(db) == VELOCITY_BUSY) (void)sched_yield();
    assert_int_equal(atomic_load(&a->count), accepted + 1);
    velocity_batch_free(batch);
    free(a);
}

static void a_batch_larger_than_max_pending_bytes_is_taken_when_nothing_else_is_pending(void **state) {
    velocity_options options = velocity_options_default();
    options.max_pending_bytes = 100;
    velocity *db;
    OK(velocity_open(*state, &options, &db));
    struct answers *a = answers_new();
    char value[1000] = {0};
    velocity_batch *batch = velocity_batch_new();
    velocity_batch_put(batch, velocity_str("k"), velocity_bytes(value, sizeof value), NULL);
    OK(velocity_write_async(db, batch, NULL, note, a));
    await(a, 1);
    OK(a->statuses[0]);
    while (velocity_close(db) == VELOCITY_BUSY) (void)sched_yield();
    velocity_batch_free(batch);
    free(a);
}

struct chain {
    velocity *db;
    velocity_batch *batch;
    uint32_t left;
    _Atomic bool over;
    uint64_t last;
};

/* From within `done`: frees the batch that was borrowed, and writes the next one. */
static void write_again(void *arg, velocity_status status, uint64_t sequence) {
    struct chain *c = arg;
    OK(status);
    velocity_batch_free(c->batch);
    c->last = sequence;
    if (c->left-- == 0) {
        atomic_store(&c->over, true);
        return;
    }
    c->batch = batch_of("k", "v");
    OK(velocity_write_async(c->db, c->batch, NULL, write_again, c));
}

static void done_may_free_its_batch_and_write_again(void **state) {
    velocity *db = open_fast(*state);
    struct chain c = {.db = db, .batch = batch_of("k", "v"), .left = 500};
    OK(velocity_write_async(db, c.batch, NULL, write_again, &c));
    while (!atomic_load(&c.over)) (void)sched_yield();
    assert_int_equal(c.last, 501);
    while (velocity_close(db) == VELOCITY_BUSY) (void)sched_yield();
}

static void an_asynchronous_conflict_names_its_condition_and_the_others_go_through(void **state) {
    velocity *db = open_fast(*state);
    struct answers *a = answers_new();
    velocity_batch *first = batch_of("k", "1"), *second = batch_of("k", "2"), *third = batch_of("k", "3");
    velocity_batch_require(first, velocity_str("k"), VELOCITY_ABSENT);
    velocity_batch_require(second, velocity_str("k"), VELOCITY_ABSENT);
    velocity_batch_require(third, velocity_str("k"), 1); /* holds if conditions see the batches before, in any group */
    OK(velocity_write_async(db, first, NULL, note, a));
    OK(velocity_write_async(db, second, NULL, note, a));
    OK(velocity_write_async(db, third, NULL, note, a));
    await(a, 3);
    OK(a->statuses[0]);
    assert_int_equal(a->statuses[1], VELOCITY_CONFLICT);
    OK(a->statuses[2]);
    assert_int_equal(a->sequences[2], 2);
    uint64_t current;
    assert_int_equal(velocity_batch_conflict(second, &current), 0);
    assert_int_equal(current, 1);
    velocity_batch_free(first);
    velocity_batch_free(second);
    velocity_batch_free(third);
    while (velocity_close(db) == VELOCITY_BUSY) (void)sched_yield();
    free(a);
}

static void waiting_and_asynchronous_writers_mix_beside_flushes(void **state) {
    enum { N = 3000 };
    velocity_options options = velocity_options_default();
    options.durability = VELOCITY_DURABILITY_OS;
    options.memtable_bytes = options.table_bytes = 64 << 10;
    velocity *db;
    OK(velocity_open(*state, &options, &db));
    static struct writer writers[2];
    struct answers *a = answers_new();
    for (uint32_t i = 0; i < 2; i++) {
        writers[i] = (struct writer){.db = db, .number = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_batches, &writers[i]), 0);
    }
    char value[200] = {0};
    velocity_batch *batch = velocity_batch_new();
    velocity_batch_put(batch, velocity_str("k"), velocity_bytes(value, sizeof value), NULL);
    for (int i = 0; i < N; i++) OK(velocity_write_async(db, batch, NULL, note, a));
    await(a, N);
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
    velocity_stats s = {.struct_size = sizeof s};
    OK(velocity_stats_get(db, &s));
    assert_int_equal(s.last_sequence, N + 2 * WRITES * BATCH);
    for (uint32_t i = 1; i < N; i++) assert_true(a->sequences[i] > a->sequences[i - 1]);
    velocity_batch_free(batch);
    while (velocity_close(db) == VELOCITY_BUSY) (void)sched_yield();
    free(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(each_operation_has_a_sequence_and_the_batch_answers_the_last),
        TEST_IN_FOLDER(sixteen_threads_share_groups_and_every_sequence_is_given_once),
        TEST_IN_FOLDER(a_condition_that_does_not_hold_is_named_and_nothing_is_written),
        TEST_IN_FOLDER(a_version_stays_a_condition_through_flush_compaction_and_reopening),
        TEST_IN_FOLDER(an_error_sticks_to_the_batch_and_the_write_reports_it),
        TEST_IN_FOLDER(concurrent_additions_on_condition_lose_nothing),
        TEST_IN_FOLDER(asynchronous_writes_are_answered_once_in_order_on_the_commit_thread),
        TEST_IN_FOLDER(who_waits_is_not_held_up_by_a_done),
        TEST_IN_FOLDER(beyond_max_pending_bytes_the_answer_is_busy_and_done_never_runs),
        TEST_IN_FOLDER(a_batch_larger_than_max_pending_bytes_is_taken_when_nothing_else_is_pending),
        TEST_IN_FOLDER(done_may_free_its_batch_and_write_again),
        TEST_IN_FOLDER(an_asynchronous_conflict_names_its_condition_and_the_others_go_through),
        TEST_IN_FOLDER(waiting_and_asynchronous_writers_mix_beside_flushes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
