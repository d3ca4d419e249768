/* limit_test.c - the size limit of a database: puts stop at it, deletes go on, and room that comes back is used. */
#include "engine/database_internal.h"
#include "env_sim.h"
#include "testing.h"

enum { MIB = 1 << 20, LIMIT = 32 * MIB, VALUE = 8000 };

static velocity_options limited(void) {
    velocity_options options = velocity_options_default();
    options.max_database_bytes = LIMIT;
    options.durability = VELOCITY_DURABILITY_OS;
    options.compression = VELOCITY_COMPRESSION_NONE;
    options.table_bytes = MIB;
    return options;
}

static velocity_stats stats_of(velocity *db) {
    velocity_stats stats = {.struct_size = sizeof stats};
    OK(velocity_stats_get(db, &stats));
    return stats;
}

static velocity_slice key_of(char *space, size_t i) {
    (void)snprintf(space, 32, "key %08zu", i);
    return velocity_str(space);
}

static velocity_status put(velocity *db, size_t i, int64_t expires_at_ms) {
    static const char value[VALUE];
    char key[32];
    velocity_put_options options = velocity_put_options_default();
    options.expires_at_ms = expires_at_ms;
    velocity_batch *batch = velocity_batch_new();
    velocity_batch_put(batch, key_of(key, i), velocity_bytes(value, sizeof value), &options);
    velocity_status status = velocity_write(db, batch, NULL, NULL);
    velocity_batch_free(batch);
    return status;
}

/* Until the limit refuses; how many are there then. */
static size_t fill(velocity *db, int64_t expires_at_ms) {
    size_t count = 0;
    velocity_status status;
    while (!(status = put(db, count, expires_at_ms))) {
        count++;
        assert_true(stats_of(db).disk_bytes <= LIMIT + 4 * MIB);
    }
    assert_int_equal(status, VELOCITY_NO_SPACE);
    return count;
}

static void tick(velocity *db) {
    background_tick(&db->ticker);
    env_mutex_lock(&db->mutex);
    while (db->flush_queued || db->compaction_queued) room_wait(db);
    env_mutex_unlock(&db->mutex);
}

static bool puts_again(velocity *db, size_t i) {
    for (int ticks = 0; ticks < 20; ticks++) {
        if (put(db, i, 0) == VELOCITY_OK) return true;
        tick(db);
    }
    return false;
}

static void puts_stop_at_the_limit_and_deletes_make_room_for_them(void **state) {
    (void)state;
    runs_in_one_thread();
    env_sim *sim = env_sim_new(1);
    velocity_options options = limited();
    velocity *db;
    char key[32];
    OK(database_open(env_sim_env(sim), "db", &options, &db));
    size_t count = fill(db, 0);
    assert_true(count > LIMIT / VALUE / 2);
    FAILS(VELOCITY_NO_SPACE, "may take", velocity_put(db, velocity_str("k"), velocity_str("v")));
    assert_true(stats_of(db).out_of_space);
    while (put(db, count, 0) == VELOCITY_OK) count++; /* what the flush of the log gave back */
    for (int i = 0; i < 20; i++) tick(db);
    while (put(db, count, 0) == VELOCITY_OK) count++;
    assert_true(count < LIMIT / VALUE);
    for (size_t i = 0; i < count; i++) { /* all that was acknowledged is there */
        velocity_value value;
        OK(velocity_get(db, key_of(key, i), &value));
        velocity_value_release(&value);
    }
    for (size_t i = 0; i < count; i += 2) OK(velocity_delete(db, key_of(key, i)));
    assert_int_equal(put(db, count, 0), VELOCITY_NO_SPACE); /* not yet */
    assert_true(puts_again(db, count));
    assert_false(stats_of(db).out_of_space);
    OK(velocity_close(db));
    OK(database_open(env_sim_env(sim), "db", &options, &db)); /* and it counts what it finds */
    size_t more = 0;
    while (put(db, count + more, 0) == VELOCITY_OK) more++;
    assert_in_range(more, count / 8, count);
    OK(velocity_close(db));
    env_sim_free(sim);
}

static void what_expires_makes_room_too(void **state) {
    (void)state;
    runs_in_one_thread();
    env_sim *sim = env_sim_new(1);
    velocity_options options = limited();
    velocity *db;
    OK(database_open(env_sim_env(sim), "db", &options, &db));
    (void)fill(db, (int64_t)stats_of(db).clock_ms + 3600 * 1000);
    env_sim_advance_ms(sim, 2 * 3600 * 1000);
    assert_true(puts_again(db, 0));
    assert_true(stats_of(db).disk_bytes < LIMIT / 2);
    OK(velocity_close(db));
    env_sim_free(sim);
}

/* A put and a delete in one group: the one is refused, the other done. */
static void done(void *arg, velocity_status status, uint64_t sequence) {
    (void)sequence;
    *(velocity_status *)arg = status;
}

/* What may put counts as a put, before it is known what it does. */
static velocity_status compose_nothing(void *arg, velocity_instant *instant, velocity_batch *batch) {
    (void)instant, (void)batch;
    *(bool *)arg = true;
    return VELOCITY_OK;
}

static void deletes_go_on_beside_puts_that_are_refused(void **state) {
    (void)state;
    runs_in_one_thread();
    env_sim *sim = env_sim_new(1);
    velocity_options options = limited();
    velocity *db;
    char key[32];
    OK(database_open(env_sim_env(sim), "db", &options, &db));
    (void)fill(db, 0);
    velocity_batch *put_it = velocity_batch_new(), *delete_it = velocity_batch_new();
    velocity_batch_put(put_it, velocity_str("new"), velocity_str("v"), NULL);
    velocity_batch_delete(delete_it, key_of(key, 1));
    velocity_batch *composed = velocity_batch_new();
    bool was_composed = false;
    velocity_batch_compose(composed, 1, 100, compose_nothing, &was_composed);
    velocity_status put_status = VELOCITY_BUSY, delete_status = VELOCITY_BUSY, composed_status = VELOCITY_BUSY;
    OK(velocity_write_async(db, put_it, NULL, done, &put_status));
    OK(velocity_write_async(db, delete_it, NULL, done, &delete_status));
    OK(velocity_write_async(db, composed, NULL, done, &composed_status));
    OK(velocity_delete(db, key_of(key, 2))); /* leads them */
    assert_int_equal(composed_status, VELOCITY_NO_SPACE);
    assert_false(was_composed);
    assert_int_equal(put_status, VELOCITY_NO_SPACE);
    assert_int_equal(delete_status, VELOCITY_OK);
    assert_int_equal(velocity_contains(db, velocity_str("new")), VELOCITY_NOT_FOUND);
    assert_int_equal(velocity_contains(db, key_of(key, 1)), VELOCITY_NOT_FOUND);
    velocity_batch_free(put_it);
    velocity_batch_free(delete_it);
    velocity_batch_free(composed);
    OK(velocity_close(db));
    env_sim_free(sim);
}

/* ---- faults at the limit -------------------------------------------------------------------------------------------
 */

enum { BIG = 256 * 1024, MOST_BIG = LIMIT / BIG };

enum fate { ABSENT, THERE, UNSURE };

struct full {
    env_sim *sim;
    velocity *db;
    velocity_options options;
    enum fate fates[MOST_BIG + 1];
    bool failed; /* IO was answered: from then on everything may answer it, or READ_ONLY */
};

static bool explained(struct full *f, velocity_status status) {
    if (status == VELOCITY_IO || status == VELOCITY_READ_ONLY) f->failed = true;
    return status == VELOCITY_NO_SPACE || status == VELOCITY_IO || status == VELOCITY_READ_ONLY;
}

static velocity_status put_big(struct full *f, size_t i) {
    static const char value[BIG];
    char key[32];
    velocity_status status = velocity_put(f->db, key_of(key, i), velocity_bytes(value, sizeof value));
    assert_true(status == VELOCITY_OK || explained(f, status));
    if (status == VELOCITY_OK) f->fates[i] = THERE;
    if (status == VELOCITY_IO) f->fates[i] = UNSURE;
    return status;
}

/* Deletes half, works on what that gives back, and puts again. */
static void live_at_the_limit(struct full *f, size_t count) {
    char key[32];
    for (size_t i = 0; i < count && !f->failed; i += 2) {
        velocity_status status = velocity_delete(f->db, key_of(key, i));
        assert_true(status == VELOCITY_OK || explained(f, status));
        if (status == VELOCITY_OK) f->fates[i] = ABSENT;
        if (status == VELOCITY_IO) f->fates[i] = UNSURE;
    }
    for (int i = 0; i < 8 && !f->failed; i++) tick(f->db);
    for (size_t i = 0; i < count && !f->failed; i += 4) (void)put_big(f, i);
    velocity_status status = f->failed ? VELOCITY_OK : velocity_compact(f->db, NULL);
    assert_true(status == VELOCITY_OK || explained(f, status));
}

static void expect_fates(const struct full *f, size_t count) {
    char key[32];
    for (size_t i = 0; i < count; i++) {
        velocity_status status = velocity_contains(f->db, key_of(key, i));
        if (f->fates[i] == UNSURE) continue;
        if (status != (f->fates[i] == THERE ? VELOCITY_OK : VELOCITY_NOT_FOUND))
            fail_msg("key %zu: %s", i, velocity_status_name(status));
    }
}

/* Whether it came to an nth such call. */
static bool fail_at_the_limit(enum env_sim_call call, uint64_t nth, unsigned round) {
    bool killed = round % 2;
    struct full f = {.sim = env_sim_new(nth), .options = limited()};
    f.options.memtable_bytes = 4 * MIB;
    f.options.value_log_threshold = round / 2 % 2 ? 4096 : 0;
    if (round % 3 == 0) f.options.encryption_key = velocity_bytes("thirty-two bytes of a full disk.", 32);
    OK(database_open(env_sim_env(f.sim), "db", &f.options, &f.db));
    size_t count = 0;
    while (count < MOST_BIG && put_big(&f, count) == VELOCITY_OK) count++;
    assert_in_range(count, MOST_BIG / 3, MOST_BIG - 1);
    env_sim_fail(f.sim, call, nth);
    live_at_the_limit(&f, count);
    bool struck = env_sim_failed(f.sim, call);
    env_sim_fail(f.sim, call, 0);
    if (killed) env_sim_crash_after(f.sim, 0);
    velocity_status status = velocity_close(f.db);
    assert_true(status == VELOCITY_OK || killed || f.failed || struck);
    if (killed) env_sim_kill(f.sim);
    assert_int_equal(env_sim_open_files(f.sim), 0);
    OK(database_open(env_sim_env(f.sim), "db", &f.options, &f.db));
    expect_fates(&f, count);
    for (size_t i = 1; i < count; i++) OK(velocity_delete(f.db, key_of((char[32]){0}, i)));
    bool room = false; /* whatever failed, room comes back */
    for (int ticks = 0; ticks < 20 && !room; ticks++) {
        room = put_big(&f, 0) == VELOCITY_OK;
        if (!room) tick(f.db);
    }
    assert_true(room);
    OK(velocity_close(f.db));
    env_sim_free(f.sim);
    return struck;
}

static void at_the_limit_any_call_may_fail_and_room_comes_back(void **state) {
    runs_in_one_thread();
    static const enum env_sim_call calls[] = {ENV_SIM_WRITE, ENV_SIM_SYNC,   ENV_SIM_CREATE,
                                              ENV_SIM_READ,  ENV_SIM_UNLINK, ENV_SIM_SYNC_DIRECTORY};
    unsigned round = 0;
    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        uint64_t nth = 1;
        while (fail_at_the_limit(calls[i], nth, round++)) nth *= 5;
        assert_true(nth > 1);
    }
}

static void disk_bytes_is_what_the_files_take(void **state) {
    velocity_options options = velocity_options_default();
    options.durability = VELOCITY_DURABILITY_OS;
    velocity *db;
    OK(velocity_open(*state, &options, &db));
    for (size_t i = 0; i < 500; i++) OK(put(db, i, 0));
    OK(velocity_compact(db, NULL));
    velocity_stats stats = stats_of(db);
    for (int i = 0; i < 30000 && stats.background_jobs; i++, stats = stats_of(db)) env_sleep_us(1000);
    uint64_t bytes = 0;
    char name[64];
    static const char *const kinds[] = {".sst", ".val", ".log"};
    for (int k = 0; k < 3; k++) {
        for (size_t i = 0; i < files_ending(*state, kinds[k], NULL); i++) {
            size_t size;
            files_sorted(*state, kinds[k], i, name);
            free(file_bytes(path_in(*state, name), &size));
            bytes += size;
        }
    }
    assert_int_equal(stats_of(db).disk_bytes, bytes);
    OK(velocity_close(db));
}

/* Puts until they are refused; how many there are then. */
static size_t fill_more(velocity *db, size_t count) {
    while (put(db, count, 0) == VELOCITY_OK) count++;
    return count;
}

static void a_limit_comes_falls_rises_and_goes_while_the_database_is_open(void **state) {
    (void)state;
    runs_in_one_thread();
    env_sim *sim = env_sim_new(1);
    velocity_options options = limited();
    options.max_database_bytes = 0;
    velocity *db;
    char key[32];
    OK(database_open(env_sim_env(sim), "db", &options, &db));
    size_t count = 0;
    while (count < 2 * LIMIT / VALUE) OK(put(db, count++, 0)); /* twice what the limit will be */
    OK(velocity_flush(db));
    FAILS(VELOCITY_INVALID, "max_database_bytes", velocity_set_max_database_bytes(db, LIMIT - 1));
    OK(put(db, count++, 0));
    OK(velocity_set_max_database_bytes(db, LIMIT)); /* falls below what is used */
    FAILS(VELOCITY_NO_SPACE, "may take", velocity_put(db, velocity_str("k"), velocity_str("v")));
    assert_true(stats_of(db).out_of_space);
    OK(velocity_delete(db, key_of(key, 0)));
    OK(velocity_set_max_database_bytes(db, 4 * LIMIT)); /* rises: at once there is room */
    OK(put(db, count++, 0));
    assert_false(stats_of(db).out_of_space);
    count = fill_more(db, count);
    assert_in_range(stats_of(db).disk_bytes, 3 * LIMIT, 4 * LIMIT + 8 * MIB);
    OK(velocity_set_max_database_bytes(db, LIMIT));
    assert_int_equal(put(db, count, 0), VELOCITY_NO_SPACE);
    for (size_t i = 1; i < count; i++) OK(velocity_delete(db, key_of(key, i)));
    assert_true(puts_again(db, 0)); /* what was deleted makes room, however far below the limit fell */
    assert_true(stats_of(db).disk_bytes < LIMIT);
    count = fill_more(db, 1);
    OK(velocity_set_max_database_bytes(db, 0)); /* goes */
    for (size_t i = 0; i < LIMIT / VALUE; i++) OK(put(db, count++, 0));
    assert_false(stats_of(db).out_of_space);
    OK(velocity_close(db));
    env_sim_free(sim);
}

/* Its segments were made for a large write buffer; under the limit they would be most of it. */
static void a_limit_that_comes_late_is_not_eaten_by_empty_logs(void **state) {
    (void)state;
    runs_in_one_thread();
    enum { HELD = 20 * MIB, SEGMENT = 16 * MIB };
    env_sim *sim = env_sim_new(1);
    velocity_options options = limited();
    options.max_database_bytes = 0;
    options.durability = VELOCITY_DURABILITY_ALWAYS; /* spare segments are kept */
    velocity *db;
    OK(database_open(env_sim_env(sim), "db", &options, &db));
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 24 * MIB / VALUE; i++) OK(put(db, i % 10, 0));
        OK(velocity_flush(db));
    }
    size_t count = 0;
    while (count < HELD / VALUE) OK(put(db, count++, 0));
    OK(velocity_compact(db, NULL));
    assert_true(stats_of(db).disk_bytes > HELD + 2 * SEGMENT);
    OK(velocity_set_max_database_bytes(db, LIMIT));
    assert_true(stats_of(db).disk_bytes < HELD + SEGMENT + MIB); /* of the logs only the present one is left, ... */
    OK(put(db, count++, 0));                                     /* ... and what is free in it is given up */
    count = fill_more(db, count);
    for (int i = 0; i < 20; i++) tick(db);
    count = fill_more(db, count);
    assert_in_range(count, (HELD + LIMIT) / 2 / VALUE, LIMIT / VALUE);
    OK(velocity_close(db));
    env_sim_free(sim);
}

static void a_limit_too_small_to_work_with_is_refused(void **state) {
    velocity_options options = limited();
    options.max_database_bytes--;
    velocity *db;
    FAILS(VELOCITY_INVALID, "max_database_bytes", velocity_open(*state, &options, &db));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_stop_at_the_limit_and_deletes_make_room_for_them),
        cmocka_unit_test(what_expires_makes_room_too),
        cmocka_unit_test(deletes_go_on_beside_puts_that_are_refused),
        cmocka_unit_test(a_limit_comes_falls_rises_and_goes_while_the_database_is_open),
        cmocka_unit_test(a_limit_that_comes_late_is_not_eaten_by_empty_logs),
        cmocka_unit_test(at_the_limit_any_call_may_fail_and_room_comes_back),
        TEST_IN_FOLDER(disk_bytes_is_what_the_files_take),
        TEST_IN_FOLDER(a_limit_too_small_to_work_with_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
