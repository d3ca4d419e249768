/*
 * compose_test.c - what velocity.h promises of batches that are composed when their turn has come: they read what all
 * writes before them made, nothing comes in between, they share groups, and what does not go well leaves nothing.
 */
#include "testing.h"

#include <pthread.h>
#include <sched.h>

static velocity *open_with(const char *folder, velocity_durability durability) {
    velocity_options options = velocity_options_default();
    options.durability = durability;
    options.memtable_bytes = options.table_bytes = 64 << 10;
    velocity *db;
    OK(velocity_open(folder, &options, &db));
    return db;
}

static velocity *open_fast(const char *folder) {
    return open_with(folder, VELOCITY_DURABILITY_OS);
}

static velocity_batch *batch_new(void) {
    velocity_batch *batch = velocity_batch_new();
    assert_non_null(batch);
    return batch;
}

/* ---- what they add up ------------------------------------------------------------------------------------------- */

/* One more under `key`; 0 where there is none. cmocka may not be asked on other threads: what is wrong, the write
 * answers. */
struct addition {
    const char *key;
    size_t padding;   /* bytes behind the number */
    uint32_t calls;   /* of add */
    uint64_t number;  /* that it came to */
    uint64_t seen_at; /* the version of what was there */
    velocity_status answer;
};

static velocity_status add(void *arg, velocity_instant *instant, velocity_batch *batch) {
    static const uint8_t padding[8192];
    uint8_t bytes[sizeof(uint64_t) + sizeof padding];
    struct addition *a = arg;
    velocity_value value;
    velocity_status status = velocity_instant_get(instant, velocity_str(a->key), &value);
    a->calls++;
    a->number = 0;
    a->seen_at = status == VELOCITY_OK ? value.sequence : VELOCITY_ABSENT;
    if (status == VELOCITY_OK) memcpy(&a->number, value.data, sizeof a->number);
    velocity_value_release(&value);
    if (status != VELOCITY_OK && status != VELOCITY_NOT_FOUND) return status;
    a->number++;
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes, &a->number, sizeof a->number);
    velocity_batch_put(batch, velocity_str(a->key), velocity_bytes(bytes, sizeof a->number + a->padding), NULL);
    return a->answer;
}

static velocity_batch *batch_of(struct addition *a) {
    velocity_batch *batch = batch_new();
    velocity_batch_compose(batch, 1, strlen(a->key) + sizeof a->number + a->padding, add, a);
    return batch;
}

static uint64_t number_of(velocity *db, const char *key) {
    velocity_value value;
    uint64_t number = 0;
    velocity_status status = velocity_get(db, velocity_str(key), &value);
    if (status == VELOCITY_NOT_FOUND) return 0;
    OK(status);
    memcpy(&number, value.data, sizeof number);
    velocity_value_release(&value);
    return number;
}

static uint64_t last_sequence(velocity *db) {
    velocity_stats stats = {.struct_size = sizeof stats};
    OK(velocity_stats_get(db, &stats));
    return stats.last_sequence;
}

/* ---- one at a time ---------------------------------------------------------------------------------------------- */

static void what_is_composed_stands_behind_what_the_batch_holds_and_is_composed_anew(void **state) {
    velocity *db = open_fast(*state);
    struct addition a = {.key = "n"};
    velocity_batch *batch = batch_of(&a);
    uint64_t last;
    velocity_batch_put(batch, velocity_str("own"), velocity_str("1"), NULL);
    assert_int_equal(velocity_batch_count(batch), 1);
    OK(velocity_write(db, batch, NULL, &last));
    assert_int_equal(last, 2);
    assert_int_equal(velocity_batch_count(batch), 2);
    assert_int_equal(number_of(db, "n"), 1);
    OK(velocity_write(db, batch, NULL, &last)); /* not what it was composed of then */
    assert_int_equal(last, 4);
    assert_int_equal(velocity_batch_count(batch), 2);
    assert_int_equal(number_of(db, "n"), 2);
    assert_int_equal(a.calls, 2);
    assert_int_equal(a.seen_at, 2);
    velocity_batch_clear(batch); /* forgets it */
    OK(velocity_write(db, batch, NULL, &last));
    assert_int_equal(last, 4);
    assert_int_equal(a.calls, 2);
    velocity_batch_free(batch);
    OK(velocity_close(db));
    db = open_fast(*state); /* it stands in the log as any other */
    assert_int_equal(number_of(db, "n"), 2);
    OK(velocity_close(db));
}

static void what_is_added_behind_a_write_is_the_batchs_own(void **state) {
    velocity *db = open_fast(*state);
    struct addition a = {.key = "n"};
    velocity_batch *batch = batch_of(&a);
    OK(velocity_write(db, batch, NULL, NULL));
    velocity_batch_put(batch, velocity_str("later"), velocity_str("1"), NULL);
    assert_int_equal(velocity_batch_count(batch), 1); /* what it was composed of is gone */
    OK(velocity_write(db, batch, NULL, NULL));
    assert_int_equal(velocity_batch_count(batch), 2);
    OK(velocity_contains(db, velocity_str("later")));
    assert_int_equal(number_of(db, "n"), 2);
    velocity_batch_compose(batch, 0, 0, NULL, NULL);
    assert_int_equal(velocity_batch_count(batch), 1);
    OK(velocity_write(db, batch, NULL, NULL));
    assert_int_equal(number_of(db, "n"), 2);
    assert_int_equal(last_sequence(db), 4);
    velocity_batch_free(batch);
    OK(velocity_close(db));
}

static void it_reads_from_wherever_a_value_stands(void **state) {
    velocity_options options = velocity_options_default();
    options.durability = VELOCITY_DURABILITY_OS;
    options.value_log_threshold = 1024;
    velocity *db;
    OK(velocity_open(*state, &options, &db));
    struct addition small = {.key = "small"}, large = {.key = "large", .padding = 8000};
    velocity_batch *both[] = {batch_of(&small), batch_of(&large)};
    for (uint64_t round = 1; round <= 6; round++) {
        for (int i = 0; i < 2; i++) OK(velocity_write(db, both[i], NULL, NULL));
        assert_int_equal(small.number, round);
        assert_int_equal(large.number, round);
        if (round == 2) OK(velocity_flush(db));
        if (round == 3) OK(velocity_compact(db, NULL));
        if (round == 4) {
            OK(velocity_close(db));
            OK(velocity_open(*state, &options, &db));
        }
    }
    OK(velocity_delete_range(db, velocity_str("a"), velocity_str("z")));
    OK(velocity_write(db, both[0], NULL, NULL));
    assert_int_equal(small.number, 1);
    velocity_put_options over = {.struct_size = sizeof over, .expires_at_ms = 1};
    velocity_batch *put = batch_new();
    velocity_batch_put(put, velocity_str("small"), velocity_str("12345678"), &over);
    OK(velocity_write(db, put, NULL, NULL));
    OK(velocity_write(db, both[0], NULL, NULL)); /* what has expired is not there */
    assert_int_equal(small.number, 1);
    velocity_batch_free(put);
    for (int i = 0; i < 2; i++) velocity_batch_free(both[i]);
    OK(velocity_close(db));
}

static void where_a_condition_does_not_hold_nothing_is_composed(void **state) {
    velocity *db = open_fast(*state);
    struct addition a = {.key = "n"};
    velocity_batch *batch = batch_of(&a);
    uint64_t current;
    OK(velocity_put(db, velocity_str("other"), velocity_str("1")));
    velocity_batch_require(batch, velocity_str("n"), VELOCITY_ABSENT);
    velocity_batch_require(batch, velocity_str("other"), VELOCITY_ABSENT);
    FAILS(VELOCITY_CONFLICT, "condition 1", velocity_write(db, batch, NULL, NULL));
    assert_int_equal(velocity_batch_conflict(batch, &current), 1);
    assert_int_equal(current, 1);
    assert_int_equal(a.calls, 0);
    OK(velocity_delete(db, velocity_str("other")));
    OK(velocity_write(db, batch, NULL, NULL));
    assert_int_equal(a.calls, 1);
    velocity_batch_free(batch);
    OK(velocity_close(db));
}

/* ---- what does not go well -------------------------------------------------------------------------------------- */

static void what_compose_answers_the_write_answers_and_nothing_is_written(void **state) {
    velocity *db = open_fast(*state);
    struct addition a = {.key = "n", .answer = VELOCITY_UNSUPPORTED};
    velocity_batch *batch = batch_of(&a);
    velocity_batch_put(batch, velocity_str("own"), velocity_str("1"), NULL);
    FAILS(VELOCITY_UNSUPPORTED, "gave it up", velocity_write(db, batch, NULL, NULL));
    assert_int_equal(velocity_batch_count(batch), 1);
    assert_int_equal(last_sequence(db), 0);
    a.answer = VELOCITY_OK;
    OK(velocity_write(db, batch, NULL, NULL)); /* the database and the batch are as good as before */
    assert_int_equal(last_sequence(db), 2);
    assert_int_equal(number_of(db, "n"), 1);
    velocity_batch_free(batch);
    OK(velocity_close(db));
}

static velocity_status put_two(void *arg, velocity_instant *instant, velocity_batch *batch) {
    (void)arg, (void)instant;
    velocity_batch_put(batch, velocity_str("a"), velocity_str("12345678"), NULL);
    velocity_batch_put(batch, velocity_str("b"), velocity_str("12345678"), NULL);
    return VELOCITY_OK;
}

static velocity_status delete_a_range(void *arg, velocity_instant *instant, velocity_batch *batch) {
    (void)arg, (void)instant;
    velocity_batch_delete_range(batch, velocity_str("a"), velocity_str("b"));
    return VELOCITY_OK;
}

static velocity_status put_without_key(void *arg, velocity_instant *instant, velocity_batch *batch) {
    velocity_value value;
    (void)arg;
    if (velocity_instant_get(instant, velocity_str(""), &value) != VELOCITY_INVALID) return VELOCITY_CORRUPT;
    velocity_batch_put(batch, velocity_str(""), velocity_str("v"), NULL);
    return VELOCITY_OK;
}

static void more_than_was_said_and_what_is_no_operation_is_invalid(void **state) {
    velocity *db = open_fast(*state);
    velocity_batch *batch = batch_new();
    velocity_batch_compose(batch, 1, 1000, put_two, NULL);
    FAILS(VELOCITY_INVALID, "more than it was said", velocity_write(db, batch, NULL, NULL));
    velocity_batch_compose(batch, 2, 17, put_two, NULL);
    FAILS(VELOCITY_INVALID, "more than it was said", velocity_write(db, batch, NULL, NULL));
    velocity_batch_compose(batch, 2, 1000, delete_a_range, NULL);
    FAILS(VELOCITY_INVALID, "range delete", velocity_write(db, batch, NULL, NULL));
    velocity_batch_compose(batch, 2, 1000, put_without_key, NULL);
    FAILS(VELOCITY_INVALID, "a key has", velocity_write(db, batch, NULL, NULL));
    assert_int_equal(last_sequence(db), 0);
    velocity_batch_compose(batch, 2, 18, put_two, NULL); /* the error does not stick */
    OK(velocity_write(db, batch, NULL, NULL));
    assert_int_equal(last_sequence(db), 2);
    velocity_batch_compose(batch, VELOCITY_MAX_BATCH_OPERATIONS + 1, 0, put_two, NULL);
    FAILS(VELOCITY_INVALID, "_OPERATIONS", velocity_write(db, batch, NULL, NULL));
    velocity_batch_clear(batch);
    velocity_batch_compose(batch, 1, (uint64_t)VELOCITY_MAX_BATCH_BYTES + 1, put_two, NULL);
    FAILS(VELOCITY_INVALID, "_BYTES", velocity_write(db, batch, NULL, NULL));
    velocity_batch_free(batch);
    OK(velocity_close(db));
}

/* ---- many at once ----------------------------------------------------------------------------------------------- */

enum { MANY = 200 };

struct crowd {
    _Atomic bool blocked;
    _Atomic uint32_t done;
    velocity_status statuses[MANY];
    struct addition additions[MANY];
};

static void count_done(void *arg, velocity_status status, uint64_t sequence) {
    struct crowd *crowd = arg;
    (void)sequence;
    crowd->statuses[atomic_load(&crowd->done)] = status;
    atomic_fetch_add(&crowd->done, 1);
}

static void wait_in_done(void *arg, velocity_status status, uint64_t sequence) {
    struct crowd *crowd = arg;
    (void)status, (void)sequence;
    while (atomic_load(&crowd->blocked)) (void)sched_yield();
}

static uint64_t groups(velocity *db) {
    velocity_stats stats = {.struct_size = sizeof stats};
    uint64_t sum = 0;
    OK(velocity_stats_get(db, &stats));
    for (int i = 0; i < VELOCITY_GROUP_BUCKETS; i++) sum += stats.group_batches[i];
    return sum;
}

static void many_of_one_key_share_a_group_and_each_sees_the_one_before(void **state) {
    velocity *db = open_with(*state, VELOCITY_DURABILITY_ALWAYS);
    struct crowd *crowd = calloc(1, sizeof *crowd);
    velocity_batch *batches[MANY], *first = batch_new();
    /* The commit thread is in a callback: what comes meanwhile waits together. */
    atomic_store(&crowd->blocked, true);
    OK(velocity_write_async(db, first, NULL, wait_in_done, crowd));
    for (int i = 0; i < MANY; i++) {
        crowd->additions[i] = (struct addition){.key = "n"};
        if (i == MANY / 2) crowd->additions[i].answer = VELOCITY_UNSUPPORTED; /* the others don't mind */
        batches[i] = batch_of(&crowd->additions[i]);
        OK(velocity_write_async(db, batches[i], NULL, count_done, crowd));
    }
    atomic_store(&crowd->blocked, false);
    while (atomic_load(&crowd->done) < MANY) (void)sched_yield();
    for (uint64_t i = 0; i < MANY; i++) {
        bool given_up = i == MANY / 2;
        assert_int_equal(crowd->statuses[i], given_up ? VELOCITY_UNSUPPORTED : VELOCITY_OK);
        assert_int_equal(crowd->additions[i].calls, 1);
        assert_int_equal(crowd->additions[i].number, i + 1 - (i > MANY / 2));
        velocity_batch_free(batches[i]);
    }
    assert_int_equal(number_of(db, "n"), MANY - 1);
    assert_int_equal(last_sequence(db), MANY - 1);
    assert_true(groups(db) <= 2);
    velocity_batch_free(first);
    while (velocity_close(db) == VELOCITY_BUSY) (void)sched_yield();
    free(crowd);
}

/* ---- who holds up whom ------------------------------------------------------------------------------------------ */

static velocity_status hold_all(void *arg, velocity_instant *instant, velocity_batch *batch) {
    _Atomic uint32_t *stage = arg;
    (void)instant, (void)batch;
    atomic_store(stage, 1);
    while (atomic_load(stage) != 2) (void)sched_yield();
    return VELOCITY_OK;
}

struct waiting_write {
    velocity *db;
    velocity_batch *batch;
    velocity_status status;
    pthread_t thread;
};

static void *write_and_wait(void *arg) {
    struct waiting_write *w = arg;
    w->status = velocity_write(w->db, w->batch, NULL, NULL);
    return NULL;
}

static velocity_status get_cached(velocity *db, const char *key) {
    velocity_value value;
    velocity_read_options options = velocity_read_options_default();
    options.cache_only = true;
    velocity_status status = velocity_get_with(db, &options, velocity_str(key), &value);
    velocity_value_release(&value);
    return status;
}

/* Not when its turn has come, where all others would wait for the disk with it. */
static void what_a_condition_needs_is_read_before_its_turn(void **state) {
    velocity *db = open_fast(*state);
    _Atomic uint32_t stage = 0;
    OK(velocity_put(db, velocity_str("k"), velocity_str("v")));
    OK(velocity_flush(db));
    assert_int_equal(get_cached(db, "k"), VELOCITY_INCOMPLETE);
    struct waiting_write holder = {.db = db, .batch = batch_new()}, second = {.db = db, .batch = batch_new()};
    velocity_batch_compose(holder.batch, 1, 100, hold_all, (void *)&stage);
    velocity_batch_require(second.batch, velocity_str("k"), 1);
    velocity_batch_put(second.batch, velocity_str("k"), velocity_str("w"), NULL);
    assert_int_equal(pthread_create(&holder.thread, NULL, write_and_wait, &holder), 0);
    while (!atomic_load(&stage)) (void)sched_yield();
    assert_int_equal(pthread_create(&second.thread, NULL, write_and_wait, &second), 0);
    for (int i = 0; i < 6000 && get_cached(db, "k") == VELOCITY_INCOMPLETE; i++) env_sleep_us(10000);
    velocity_status found = get_cached(db, "k");
    atomic_store(&stage, 2);
    assert_int_equal(pthread_join(holder.thread, NULL), 0);
    assert_int_equal(pthread_join(second.thread, NULL), 0);
    OK(found);
    OK(holder.status);
    OK(second.status);
    velocity_batch_free(holder.batch);
    velocity_batch_free(second.batch);
    OK(velocity_close(db));
}

enum { THREADS = 6, ADDITIONS = 400 };

struct adder {
    velocity *db;
    bool waits;
    pthread_t thread;
    velocity_status status; /* the first that was not OK */
    _Atomic uint32_t under_way;
};

static void one_less(void *arg, velocity_status status, uint64_t sequence) {
    struct adder *adder = arg;
    (void)sequence;
    if (status && !adder->status) adder->status = status;
    atomic_fetch_sub(&adder->under_way, 1);
}

static void *add_up(void *arg) {
    struct adder *adder = arg;
    static const char *const keys[] = {"n", "a longer name than the others", "m"};
    for (int i = 0; i < ADDITIONS; i++) {
        struct addition a = {.key = keys[i % 3], .padding = i % 3 == 1 ? 3000 : 0};
        velocity_batch *batch = batch_of(&a);
        if (adder->waits) {
            velocity_status status = velocity_write(adder->db, batch, NULL, NULL);
            if (status && !adder->status) adder->status = status;
        } else {
            atomic_fetch_add(&adder->under_way, 1);
            velocity_status status = velocity_write_async(adder->db, batch, NULL, one_less, adder);
            if (status) one_less(adder, status, 0);
            while (atomic_load(&adder->under_way)) (void)sched_yield();
        }
        velocity_batch_free(batch);
    }
    return NULL;
}

/* Buffers of 64 KiB: there are flushes and merges meanwhile. */
static void threads_add_up_without_losing_one_beside_flushes(void **state) {
    velocity *db = open_fast(*state);
    struct adder adders[THREADS] = {0};
    for (int i = 0; i < THREADS; i++) {
        adders[i].db = db;
        adders[i].waits = i % 2;
        assert_int_equal(pthread_create(&adders[i].thread, NULL, add_up, &adders[i]), 0);
    }
    for (int i = 0; i < 20; i++) OK(velocity_flush(db));
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_join(adders[i].thread, NULL), 0);
    for (int i = 0; i < THREADS; i++) OK(adders[i].status);
    uint64_t sum = number_of(db, "n") + number_of(db, "m") + number_of(db, "a longer name than the others");
    assert_int_equal(sum, THREADS * ADDITIONS);
    assert_int_equal(number_of(db, "m"), THREADS * (ADDITIONS / 3));
    while (velocity_close(db) == VELOCITY_BUSY) (void)sched_yield();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(what_is_composed_stands_behind_what_the_batch_holds_and_is_composed_anew),
        TEST_IN_FOLDER(what_is_added_behind_a_write_is_the_batchs_own),
        TEST_IN_FOLDER(it_reads_from_wherever_a_value_stands),
        TEST_IN_FOLDER(where_a_condition_does_not_hold_nothing_is_composed),
        TEST_IN_FOLDER(what_compose_answers_the_write_answers_and_nothing_is_written),
        TEST_IN_FOLDER(more_than_was_said_and_what_is_no_operation_is_invalid),
        TEST_IN_FOLDER(many_of_one_key_share_a_group_and_each_sees_the_one_before),
        TEST_IN_FOLDER(what_a_condition_needs_is_read_before_its_turn),
        TEST_IN_FOLDER(threads_add_up_without_losing_one_beside_flushes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
