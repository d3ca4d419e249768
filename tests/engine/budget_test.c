/* budget_test.c - the write buffers of many databases together stay within what they may take, and nothing is lost. */
#include "engine/database.h"
#include "env_sim.h"
#include "testing.h"

enum { MIB = 1 << 20, MOST = 4 * MIB, BUFFER = MIB, DATABASES = 50, THREADS = 2, KEYS = 400, VALUE = 1000 };

static velocity_options small(velocity_shared *shared) {
    velocity_options options = velocity_options_default();
    options.shared = shared;
    options.memtable_bytes = BUFFER;
    options.durability = VELOCITY_DURABILITY_OS;
    options.reserve_bytes = 0;
    return options;
}

static velocity_shared *shared_with(uint64_t memtable_bytes) {
    velocity_shared_options options = velocity_shared_options_default();
    options.memtable_bytes = memtable_bytes;
    velocity_shared *shared = velocity_shared_new(&options);
    assert_non_null(shared);
    return shared;
}

static velocity_stats stats_of(velocity *db) {
    velocity_stats stats = {.struct_size = sizeof stats};
    if (velocity_stats_get(db, &stats)) stats.all_memtable_bytes = UINT64_MAX;
    return stats;
}

static velocity_slice key_of(char space[32], size_t i) {
    (void)snprintf(space, 32, "key %08zu", i * 7919 % KEYS);
    return velocity_str(space);
}

static velocity_status put(velocity *db, size_t i, unsigned char with) {
    char key[32], value[VALUE];
    memset(value, with, sizeof value);
    return velocity_put(db, key_of(key, i), velocity_bytes(value, sizeof value));
}

static void expect_all(velocity *db, size_t count, unsigned char with) {
    char key[32];
    for (size_t i = 0; i < count; i++) {
        velocity_value value;
        OK(velocity_get(db, key_of(key, i), &value));
        assert_int_equal(value.size, VALUE);
        assert_int_equal(*(const unsigned char *)value.data, with);
        velocity_value_release(&value);
    }
}

struct writer {
    velocity **databases;
    size_t first;
    uint64_t most_seen;
    velocity_status status;
};

/* Round-robin over its half of the databases. */
static void *write_all(void *arg) {
    struct writer *w = arg;
    for (size_t i = 0; i < KEYS && !w->status; i++) {
        for (size_t d = w->first; d < DATABASES && !w->status; d += THREADS) {
            w->status = put(w->databases[d], i, (unsigned char)d);
            uint64_t used = stats_of(w->databases[d]).all_memtable_bytes;
            if (used > w->most_seen) w->most_seen = used;
        }
    }
    return NULL;
}

static void open_all(const char *folder, velocity_shared *shared, velocity **databases) {
    velocity_options options = small(shared);
    for (int d = 0; d < DATABASES; d++) {
        char name[16];
        (void)snprintf(name, sizeof name, "db%d", d);
        OK(velocity_open(path_in(folder, name), &options, &databases[d]));
    }
}

static void fifty_databases_stay_within_it_and_lose_nothing(void **state) {
    velocity *databases[DATABASES];
    velocity_shared *shared = shared_with(MOST);
    open_all(*state, shared, databases);
    struct writer writers[THREADS];
    env_thread threads[THREADS];
    for (size_t t = 0; t < THREADS; t++) {
        writers[t] = (struct writer){.databases = databases, .first = t};
        OK(env_thread_start(&threads[t], "writer", write_all, &writers[t]));
    }
    for (size_t t = 0; t < THREADS; t++) {
        env_thread_join(threads[t]);
        OK(writers[t].status);
        assert_in_range(writers[t].most_seen, MOST / 2, MOST + BUFFER + THREADS * MIB);
    }
    for (int d = 0; d < DATABASES; d++) expect_all(databases[d], KEYS, (unsigned char)d);
    for (int d = 0; d < DATABASES; d++) OK(velocity_close(databases[d]));
    velocity_shared_free(shared);
    shared = shared_with(0);
    open_all(*state, shared, databases);
    for (int d = 0; d < DATABASES; d++) expect_all(databases[d], KEYS, (unsigned char)d);
    assert_int_equal(stats_of(databases[0]).all_memtable_bytes, 0); /* without a limit nobody counts */
    for (int d = 0; d < DATABASES; d++) OK(velocity_close(databases[d]));
    velocity_shared_free(shared);
}

/* The one that holds the most is flushed though nobody writes to it, and its writer's neighbour goes on. */
static void a_database_at_rest_makes_room_for_one_that_is_written(void **state) {
    velocity *resting, *busy;
    velocity_shared *shared = shared_with(MOST);
    velocity_options options = small(shared);
    options.memtable_bytes = 64 * MIB;
    OK(velocity_open(path_in(*state, "resting"), &options, &resting));
    OK(velocity_open(path_in(*state, "busy"), &options, &busy));
    size_t rested = 0;
    while (stats_of(resting).all_memtable_bytes < MOST / 8 * 5) OK(put(resting, rested++, 'r'));
    assert_int_equal(stats_of(resting).flushes, 0);
    for (size_t i = 0; i < 20000 && stats_of(resting).flushes == 0; i++) {
        OK(put(busy, i, 'b'));
        if (i > 3000) env_sleep_us(100);
    }
    assert_int_equal(stats_of(resting).flushes, 1);
    assert_int_equal(stats_of(resting).memtable_entries, 0);
    assert_int_equal(stats_of(resting).writes, rested);
    OK(velocity_close(busy));
    OK(velocity_close(resting));
    velocity_shared_free(shared);
}

static void what_a_database_took_is_given_back_when_it_is_flushed_or_closed(void **state) {
    velocity *a, *b;
    velocity_shared *shared = shared_with(MOST);
    velocity_options options = small(shared);
    OK(velocity_open(path_in(*state, "a"), &options, &a));
    OK(velocity_open(path_in(*state, "b"), &options, &b));
    assert_int_equal(stats_of(a).all_memtable_bytes, 0);
    OK(put(a, 1, 'a'));
    uint64_t one = stats_of(a).all_memtable_bytes;
    assert_in_range(one, VALUE, 64 << 10);
    OK(put(b, 1, 'b'));
    assert_int_equal(stats_of(a).all_memtable_bytes, 2 * one);
    OK(velocity_close(b));
    assert_int_equal(stats_of(a).all_memtable_bytes, one);
    OK(velocity_flush(a));
    assert_int_equal(stats_of(a).all_memtable_bytes, 0);
    OK(velocity_open(path_in(*state, "b"), &options, &b));
    assert_int_equal(stats_of(a).all_memtable_bytes, one); /* what the log held is in a buffer again */
    OK(velocity_close(b));
    OK(velocity_close(a));
    velocity_shared_free(shared);
}

static void a_reader_that_keeps_a_flushed_buffer_keeps_no_writer_waiting(void **state) {
    velocity *db;
    velocity_shared *shared = shared_with(MIB);
    velocity_options options = small(shared);
    OK(velocity_open(path_in(*state, "db"), &options, &db));
    velocity_iterator *held[8];
    for (int i = 0; i < 8; i++) {
        for (size_t k = 0; k < KEYS; k++) OK(put(db, k, (unsigned char)i));
        held[i] = velocity_iterator_new(db, NULL);
    }
    assert_true(stats_of(db).stall_ms < 5000);
    expect_all(db, KEYS, 7);
    for (int i = 0; i < 8; i++) velocity_iterator_free(held[i]);
    OK(velocity_close(db));
    velocity_shared_free(shared);
}

/* Under simulation: it will never flush again, and the others must not wait for it. */
static void a_read_only_database_does_not_count(void **state) {
    (void)state;
    env_sim *sim = env_sim_new(3);
    velocity_shared_options shared_options = velocity_shared_options_default();
    shared_options.memtable_bytes = MOST;
    velocity_shared *shared = shared_new(env_sim_env(sim), &shared_options);
    velocity_options options = small(shared);
    options.durability = VELOCITY_DURABILITY_ALWAYS;
    velocity *broken, *sound;
    OK(database_open(env_sim_env(sim), "broken", &options, &broken));
    OK(database_open(env_sim_env(sim), "sound", &options, &sound));
    for (size_t i = 0; i < KEYS; i++) OK(put(broken, i, 'b'));
    assert_true(stats_of(sound).all_memtable_bytes > KEYS * VALUE);
    env_sim_fail(sim, ENV_SIM_SYNC, 1);
    assert_int_equal(put(broken, 1, 'b'), VELOCITY_IO);
    assert_true(stats_of(broken).read_only);
    assert_int_equal(stats_of(sound).all_memtable_bytes, 0);
    for (size_t i = 0; i < 20 * KEYS; i++) OK(put(sound, i, 's'));
    assert_in_range(stats_of(sound).all_memtable_bytes, 1, MOST + BUFFER + MIB);
    OK(velocity_close(broken));
    OK(velocity_close(sound));
    velocity_shared_free(shared);
    env_sim_free(sim);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(fifty_databases_stay_within_it_and_lose_nothing),
        TEST_IN_FOLDER(a_database_at_rest_makes_room_for_one_that_is_written),
        TEST_IN_FOLDER(what_a_database_took_is_given_back_when_it_is_flushed_or_closed),
        TEST_IN_FOLDER(a_reader_that_keeps_a_flushed_buffer_keeps_no_writer_waiting),
        cmocka_unit_test(a_read_only_database_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
