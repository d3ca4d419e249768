/* settings_test.c - what can be changed while a database is open: when writes are acknowledged. (The size limit:
 * limit_test.c.) */
#include "engine/database.h"
#include "env_sim.h"
#include "testing.h"

static velocity_options with_durability(velocity_durability durability) {
    velocity_options options = velocity_options_default();
    options.durability = durability;
    options.reserve_bytes = 0;
    return options;
}

static uint64_t syncs_of(velocity *db) {
    velocity_stats stats = {.struct_size = sizeof stats};
    OK(velocity_stats_get(db, &stats));
    return stats.syncs;
}

static velocity_status put(velocity *db, const char *key) {
    return velocity_put(db, velocity_str(key), velocity_str("v"));
}

static void always_syncs_each_write_from_then_on_and_os_none(void **state) {
    (void)state;
    env_sim *sim = env_sim_new(1);
    velocity_options options = with_durability(VELOCITY_DURABILITY_OS);
    velocity *db;
    OK(database_open(env_sim_env(sim), "db", &options, &db));
    OK(put(db, "a"));
    assert_int_equal(syncs_of(db), 0);
    OK(velocity_set_durability(db, VELOCITY_DURABILITY_ALWAYS, 100));
    uint64_t syncs = syncs_of(db);
    assert_int_equal(syncs, 1); /* of what went before */
    OK(put(db, "b"));
    OK(put(db, "c"));
    assert_int_equal(syncs_of(db), syncs + 2);
    OK(velocity_set_durability(db, VELOCITY_DURABILITY_OS, 100));
    syncs = syncs_of(db);
    OK(put(db, "d"));
    assert_int_equal(syncs_of(db), syncs);
    OK(velocity_set_durability(db, VELOCITY_DURABILITY_DEFAULT, 100)); /* always */
    syncs = syncs_of(db);
    OK(put(db, "e"));
    assert_int_equal(syncs_of(db), syncs + 1);
    OK(velocity_close(db));
    env_sim_free(sim);
}

/* Whatever order: what was acknowledged before ALWAYS was set, and all since, is there after a power cut. */
static void a_power_cut_takes_nothing_that_was_acknowledged_before_always_or_after(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed < 40; seed++) {
        env_sim *sim = env_sim_new(seed);
        velocity_options options = with_durability(VELOCITY_DURABILITY_OS);
        velocity *db;
        OK(database_open(env_sim_env(sim), "db", &options, &db));
        OK(put(db, "before"));
        OK(velocity_set_durability(db, VELOCITY_DURABILITY_ALWAYS, 100));
        if (seed % 2) OK(put(db, "after"));
        env_sim_crash_after(sim, 0);
        if (velocity_close(db)) { /* it has no power */
        }
        env_sim_power_cut(sim);
        OK(database_open(env_sim_env(sim), "db", &options, &db));
        OK(velocity_contains(db, velocity_str("before")));
        if (seed % 2) OK(velocity_contains(db, velocity_str("after")));
        OK(velocity_close(db));
        env_sim_free(sim);
    }
}

/* Versions of writes that were lost with the power are not given again, though the database was opened with ALWAYS. */
static void what_a_power_cut_takes_after_a_change_to_os_has_versions_that_do_not_return(void **state) {
    (void)state;
    env_sim *sim = env_sim_new(7);
    velocity_options options = with_durability(VELOCITY_DURABILITY_ALWAYS);
    velocity *db;
    velocity_stats stats = {.struct_size = sizeof stats};
    OK(database_open(env_sim_env(sim), "db", &options, &db));
    OK(put(db, "a"));
    OK(velocity_set_durability(db, VELOCITY_DURABILITY_OS, 100));
    for (int i = 0; i < 100; i++) OK(put(db, "seen"));
    OK(velocity_stats_get(db, &stats));
    uint64_t seen = stats.last_sequence;
    env_sim_crash_after(sim, 0);
    if (velocity_close(db)) { /* it has no power */
    }
    env_sim_power_cut(sim);
    OK(database_open(env_sim_env(sim), "db", &options, &db));
    OK(put(db, "next"));
    OK(velocity_stats_get(db, &stats));
    assert_true(stats.last_sequence > seen);
    OK(velocity_close(db));
    env_sim_free(sim);
}

static void an_interval_that_is_set_brings_a_sync_by_itself(void **state) {
    velocity_options options = with_durability(VELOCITY_DURABILITY_OS);
    velocity *db;
    OK(velocity_open(*state, &options, &db));
    OK(velocity_set_durability(db, VELOCITY_DURABILITY_INTERVAL, 5));
    uint64_t syncs = syncs_of(db);
    OK(put(db, "a"));
    for (int i = 0; i < 30000 && syncs_of(db) == syncs; i++) env_sleep_us(1000);
    assert_true(syncs_of(db) > syncs);
    OK(velocity_close(db));
}

enum { WRITERS = 2, WRITES = 3000 };

struct writer {
    velocity *db;
    unsigned number;
    velocity_status status;
    _Atomic bool ended;
};

static void *write_many(void *arg) {
    struct writer *w = arg;
    char key[32];
    for (int i = 0; i < WRITES && !w->status; i++) {
        (void)snprintf(key, sizeof key, "%u %d", w->number, i);
        w->status = put(w->db, key);
    }
    atomic_store(&w->ended, true);
    return NULL;
}

static void settings_change_beside_writers_and_nothing_is_lost(void **state) {
    velocity_options options = with_durability(VELOCITY_DURABILITY_OS);
    options.memtable_bytes = 64 << 10;
    velocity *db;
    OK(velocity_open(*state, &options, &db));
    struct writer writers[WRITERS];
    env_thread threads[WRITERS];
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.db = db, .number = i};
        OK(env_thread_start(&threads[i], "writer", write_many, &writers[i]));
    }
    static const velocity_durability turns[] = {VELOCITY_DURABILITY_INTERVAL, VELOCITY_DURABILITY_OS,
                                                VELOCITY_DURABILITY_OS};
    for (unsigned i = 0; !atomic_load(&writers[0].ended) || !atomic_load(&writers[1].ended); i++) {
        OK(velocity_set_durability(db, turns[i % 3], 1 + i % 300));
        OK(velocity_set_max_database_bytes(db, i % 2 ? UINT64_C(1) << 30 : 0));
    }
    for (unsigned i = 0; i < WRITERS; i++) {
        env_thread_join(threads[i]);
        OK(writers[i].status);
    }
    for (int i = 0; i < WRITES; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "%d %d", i % WRITERS, i);
        OK(velocity_contains(db, velocity_str(key)));
    }
    OK(velocity_close(db));
}

static void settings_out_of_their_range_change_nothing(void **state) {
    velocity_options options = with_durability(VELOCITY_DURABILITY_OS);
    velocity *db;
    OK(velocity_open(*state, &options, &db));
    FAILS(VELOCITY_INVALID, "interval_ms", velocity_set_durability(db, VELOCITY_DURABILITY_ALWAYS, 0));
    FAILS(VELOCITY_INVALID, "interval_ms", velocity_set_durability(db, VELOCITY_DURABILITY_ALWAYS, 60001));
    FAILS(VELOCITY_INVALID, "durability", velocity_set_durability(db, (velocity_durability)9, 100));
    OK(put(db, "a"));
    assert_int_equal(syncs_of(db), 0);
    OK(velocity_close(db));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(always_syncs_each_write_from_then_on_and_os_none),
        cmocka_unit_test(a_power_cut_takes_nothing_that_was_acknowledged_before_always_or_after),
        cmocka_unit_test(what_a_power_cut_takes_after_a_change_to_os_has_versions_that_do_not_return),
        TEST_IN_FOLDER(an_interval_that_is_set_brings_a_sync_by_itself),
        TEST_IN_FOLDER(settings_change_beside_writers_and_nothing_is_lost),
        TEST_IN_FOLDER(settings_out_of_their_range_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
