/* room_test.c - how long a write waits for its room: segments are there before they are needed, and who writes faster
 * than the background flushes is slowed a little and often, not long and once. */
#include "engine/database.h"
#include "env_sim.h"
#include "testing.h"

enum { BUFFER_BYTES = 1 << 20, VALUE_BYTES = 1000, LONGEST_DELAY_MS = 10, PATIENCE_MS = 30000 };

static void put(velocity *db, unsigned number, size_t bytes) {
    static char value[BUFFER_BYTES];
    char key[16];
    (void)snprintf(key, sizeof key, "%08u", number);
    OK(velocity_put(db, velocity_str(key), velocity_bytes(value, bytes)));
}

static velocity_stats stats_of(velocity *db) {
    velocity_stats stats = {.struct_size = sizeof stats};
    OK(velocity_stats_get(db, &stats));
    return stats;
}

static void the_next_segment_is_there_long_before_the_present_one_is_full(void **state) {
    velocity_options options = velocity_options_default();
    options.durability = VELOCITY_DURABILITY_OS;
    velocity *db;
    OK(velocity_open(*state, &options, &db));
    for (unsigned i = 0; i < 200; i++) put(db, i, VALUE_BYTES); /* a fifth of the first one, which has 1 MiB */
    size_t segments = 0;
    for (int ms = 0; segments < 2 && ms < PATIENCE_MS; ms++) {
        env_sleep_us(1000);
        segments = files_ending(*state, ".log", NULL);
    }
    assert_int_equal(segments, 2);
    OK(velocity_close(db));
}

/* On the simulated machine nothing is flushed before a writer waits for it. */
static velocity *open_simulated(env_sim *sim) {
    velocity_options options = velocity_options_default();
    options.durability = VELOCITY_DURABILITY_OS;
    options.memtable_bytes = BUFFER_BYTES;
    velocity *db;
    OK(database_open(env_sim_env(sim), "db", &options, &db));
    return db;
}

/* Puts until so many bytes wait in buffers; how many puts. */
static unsigned fill(velocity *db, unsigned number, uint64_t bytes) {
    while (stats_of(db).memtable_bytes < bytes) put(db, number++, VALUE_BYTES);
    return number;
}

static void writers_are_slowed_once_all_buffers_wait_and_the_last_is_half_full(void **state) {
    (void)state;
    env_sim *sim = env_sim_new(1);
    velocity *db = open_simulated(sim);
    unsigned number = fill(db, 0, 2 * BUFFER_BYTES + BUFFER_BYTES / 3);
    assert_int_equal(stats_of(db).stalls, 0);
    (void)fill(db, number, 2 * BUFFER_BYTES + BUFFER_BYTES * 9 / 10);
    assert_true(stats_of(db).stalls > 0);
    assert_true(stats_of(db).memtable_bytes >
                2 * BUFFER_BYTES); /* nothing was flushed yet: no writer has waited for it */
    OK(velocity_close(db));
    env_sim_free(sim);
}

static void a_large_write_is_not_slowed_for_long_either(void **state) {
    (void)state;
    env_sim *sim = env_sim_new(1);
    velocity *db = open_simulated(sim);
    unsigned number = fill(db, 0, 2 * BUFFER_BYTES + BUFFER_BYTES * 9 / 10);
    uint64_t before_ms = stats_of(db).stall_ms;
    put(db, number, BUFFER_BYTES / 2);
    assert_in_range(stats_of(db).stall_ms - before_ms, 0, LONGEST_DELAY_MS + 1);
    OK(velocity_close(db));
    env_sim_free(sim);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(the_next_segment_is_there_long_before_the_present_one_is_full),
        cmocka_unit_test(writers_are_slowed_once_all_buffers_wait_and_the_last_is_half_full),
        cmocka_unit_test(a_large_write_is_not_slowed_for_long_either),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
