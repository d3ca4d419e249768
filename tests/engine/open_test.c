/*
 * open_test.c - what velocity.h promises of opening and closing: locks, options, what is missing or damaged, handles
 * that are alive, several databases on one velocity_shared, crashes at any call of an open.
 */
#include "engine/database.h"
#include "engine/epoch.h"
#include "env_sim.h"
#include "testing.h"

#include <sys/wait.h>
#include <unistd.h>

static velocity *open_default(const char *folder) {
    velocity *db;
    OK(velocity_open(folder, NULL, &db));
    return db;
}

static void put(velocity *db, const char *key, const char *value) {
    OK(velocity_put(db, velocity_str(key), velocity_str(value)));
}

static bool has(velocity *db, const char *key) {
    velocity_status status = velocity_contains(db, velocity_str(key));
    assert_true(status == VELOCITY_OK || status == VELOCITY_NOT_FOUND);
    return status == VELOCITY_OK;
}

/* A closed database with two tables, and what only its log holds. */
static void make_database(const char *folder) {
    velocity *db = open_default(folder);
    put(db, "table 1", "1");
    OK(velocity_flush(db));
    put(db, "table 2", "2");
    OK(velocity_flush(db));
    put(db, "log", "3");
    OK(velocity_close(db));
}

/* ---- one at a time --------------------------------------------------------------------------------------------------
 */

static void a_database_opens_once_in_a_process(void **state) {
    velocity *db = open_default(*state), *second;
    FAILS(VELOCITY_LOCKED, "LOCK", velocity_open(*state, NULL, &second));
    assert_null(second);
    put(db, "k", "v"); /* the first is unharmed */
    OK(velocity_close(db));
    db = open_default(*state);
    assert_true(has(db, "k"));
    OK(velocity_close(db));
}

static int open_status_in_another_process(const char *folder) {
    pid_t child = fork();
    if (child == 0) {
        velocity *db;
        velocity_status status = velocity_open(folder, NULL, &db);
        if (!status) status = velocity_close(db);
        _exit((int)status);
    }
    int result;
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result));
    return WEXITSTATUS(result);
}

/* The child of a process with threads may do little: each open here is in a child of a process without any. */
static void a_database_opens_in_one_process_at_a_time(void **state) {
    int ready[2], finish[2];
    char byte = 0;
    assert_int_equal(pipe(ready) | pipe(finish), 0);
    pid_t holder = fork();
    if (holder == 0) {
        velocity *db;
        if (velocity_open(*state, NULL, &db)) _exit(1);
        if (write(ready[1], &byte, 1) != 1 || read(finish[0], &byte, 1) != 1) _exit(1);
        _exit(velocity_close(db) ? 1 : 0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(open_status_in_another_process(*state), VELOCITY_LOCKED);
    assert_int_equal(write(finish[1], &byte, 1), 1);
    int result;
    assert_int_equal(waitpid(holder, &result, 0), holder);
    assert_int_equal(result, 0);
    assert_int_equal(open_status_in_another_process(*state), VELOCITY_OK);
    (void)close(ready[0]), (void)close(ready[1]), (void)close(finish[0]), (void)close(finish[1]);
}

/* ---- options --------------------------------------------------------------------------------------------------------
 */

static void without_create_if_missing_nothing_is_made(void **state) {
    velocity_options options = velocity_options_default();
    options.create_if_missing = false;
    velocity *db;
    const char *path = path_in(*state, "absent");
    FAILS(VELOCITY_NOT_FOUND, "absent", velocity_open(path, &options, &db));
    assert_int_equal(access(path, F_OK), -1);
    make_database(path);
    OK(velocity_open(path, &options, &db));
    OK(velocity_close(db));
}

static void the_options_of_an_older_caller_end_where_its_struct_ended(void **state) {
    velocity_options options = velocity_options_default();
    options.struct_size = offsetof(velocity_options, compaction_threshold);
    options.compaction_threshold = 1; /* out of range, were it looked at */
    velocity *db;
    OK(velocity_open(*state, &options, &db));
    OK(velocity_close(db));
    options.struct_size = sizeof options;
    FAILS(VELOCITY_INVALID, "compaction_threshold", velocity_open(*state, &options, &db));
    assert_null(db);
}

static void an_option_out_of_range_is_named(void **state) {
    velocity_options defaults = velocity_options_default(), o;
    velocity *db;
    FAILS(VELOCITY_INVALID, "memtable_bytes", (o = defaults, o.memtable_bytes = 65535, velocity_open(*state, &o, &db)));
    FAILS(VELOCITY_INVALID, "block_bytes", (o = defaults, o.block_bytes = 65537, velocity_open(*state, &o, &db)));
    FAILS(VELOCITY_INVALID, "table_bytes", (o = defaults, o.table_bytes = 1, velocity_open(*state, &o, &db)));
    FAILS(VELOCITY_INVALID, "interval_ms", (o = defaults, o.interval_ms = 0, velocity_open(*state, &o, &db)));
    FAILS(VELOCITY_INVALID, "max_open_files", (o = defaults, o.max_open_files = 15, velocity_open(*state, &o, &db)));
    FAILS(VELOCITY_INVALID, "bloom", (o = defaults, o.bloom_false_positive_rate = 0, velocity_open(*state, &o, &db)));
    FAILS(VELOCITY_INVALID, "bloom", (o = defaults, o.bloom_false_positive_rate = 0.9, velocity_open(*state, &o, &db)));
    FAILS(VELOCITY_INVALID, "compression",
          (o = defaults, o.compression = VELOCITY_COMPRESSION_ADAPTIVE + 1, velocity_open(*state, &o, &db)));
    FAILS(VELOCITY_INVALID, "path", velocity_open("", NULL, &db));
    assert_int_equal(files_ending(*state, "CURRENT", NULL), 0);
}

static void first_sequence_is_a_floor_that_never_lowers(void **state) {
    velocity_options options = velocity_options_default();
    velocity *db;
    static const uint64_t floors[] = {1000, 5, 5000, 1}, first[] = {1000, 1001, 5000, 5001};
    for (int i = 0; i < 4; i++) { /* the log of each life is still needed by the next */
        options.first_sequence = floors[i];
        OK(velocity_open(*state, &options, &db));
        char key[2] = {(char)('a' + i), 0};
        put(db, key, "v");
        for (int k = 0; k <= i; k++) {
            velocity_value v;
            OK(velocity_get(db, velocity_str(((char[2]){(char)('a' + k), 0})), &v));
            assert_int_equal(v.sequence, first[k]);
            velocity_value_release(&v);
        }
        OK(velocity_close(db));
    }
}

/* ---- closing --------------------------------------------------------------------------------------------------------
 */

static void close_answers_busy_while_a_handle_lives_and_harms_nothing(void **state) {
    velocity *db = open_default(*state);
    char large[VELOCITY_VALUE_INLINE_BYTES + 1] = {0};
    OK(velocity_put(db, velocity_str("large"), velocity_bytes(large, sizeof large)));
    velocity_value value;
    OK(velocity_get(db, velocity_str("large"), &value));
    FAILS(VELOCITY_BUSY, (const char *)*state, velocity_close(db));
    velocity_snapshot *snapshot = velocity_snapshot_new(db);
    velocity_value_release(&value);
    FAILS(VELOCITY_BUSY, "snapshots", velocity_close(db));
    velocity_iterator *it = velocity_iterator_new(db, NULL);
    velocity_snapshot_free(snapshot);
    FAILS(VELOCITY_BUSY, "iterators", velocity_close(db));
    assert_true(velocity_iterator_valid(it));
    velocity_iterator_free(it);
    assert_true(has(db, "large"));
    OK(velocity_close(db));
}

static void a_large_value_outlives_the_table_that_it_was_read_from(void **state) {
    velocity *db = open_default(*state);
    char large[5000];
    memset(large, 'L', sizeof large);
    OK(velocity_put(db, velocity_str("k"), velocity_bytes(large, sizeof large)));
    OK(velocity_flush(db));
    velocity_value value;
    OK(velocity_get(db, velocity_str("k"), &value));
    OK(velocity_delete(db, velocity_str("k")));
    OK(velocity_compact(db, NULL));
    while (files_ending(*state, ".sst", NULL)) epoch_drain(); /* a file goes with the last reader that might see it */
    assert_memory_equal(value.data, large, sizeof large);
    velocity_value_release(&value);
    OK(velocity_close(db));
}

static void opening_and_closing_again_and_again_leaves_no_files_behind(void **state) {
    make_database(*state);
    size_t logs = 0;
    for (int i = 0; i < 12; i++) {
        velocity *db = open_default(*state);
        put(db, "again", "and again");
        OK(velocity_close(db));
        logs = files_ending(*state, ".log", NULL);
        assert_true(logs <= 6);
        char manifest[64];
        size_t manifests = 0;
        for (int digit = 0; digit < 10; digit++) {
            char suffix[2] = {(char)('0' + digit), 0};
            manifests += files_ending(*state, suffix, manifest);
        }
        assert_int_equal(manifests, 1);
    }
    velocity *db = open_default(*state);
    assert_true(has(db, "table 1") && has(db, "table 2") && has(db, "log") && has(db, "again"));
    OK(velocity_close(db));
}

/* ---- what is missing or damaged
 * -------------------------------------------------------------------------------------- */

/* Takes the file away, expects CORRUPT that names it, puts it back. */
static void missing(const char *folder, const char *name) {
    velocity *db;
    OK(rename(path_in(folder, name), path_in(folder, "away")));
    FAILS(VELOCITY_CORRUPT, name, velocity_open(folder, NULL, &db));
    OK(rename(path_in(folder, "away"), path_in(folder, name)));
}

static void a_missing_file_is_corrupt_and_named(void **state) {
    char table[64], log[64], manifest[64] = "";
    make_database(*state);
    assert_int_equal(files_ending(*state, ".sst", table), 2);
    assert_int_equal(files_ending(*state, ".log", log), 1);
    velocity *db = open_default(*state); /* from now on a log counts that the manifest names */
    OK(velocity_close(db));
    for (int digit = 0; digit < 10 && !*manifest; digit++) {
        char suffix[2] = {(char)('0' + digit), 0};
        (void)files_ending(*state, suffix, manifest);
    }
    missing(*state, "CURRENT");
    missing(*state, manifest);
    missing(*state, table);
    missing(*state, log);
    db = open_default(*state);
    assert_true(has(db, "table 1") && has(db, "table 2") && has(db, "log"));
    OK(velocity_close(db));
}

static void a_damaged_current_manifest_or_table_is_corrupt_and_named(void **state) {
    char table[64];
    make_database(*state);
    (void)files_ending(*state, ".sst", table);
    velocity *db;
    file_flip(path_in(*state, "CURRENT"), 50, 0x10);
    FAILS(VELOCITY_CORRUPT, "CURRENT: offset 0", velocity_open(*state, NULL, &db));
    file_flip(path_in(*state, "CURRENT"), 50, 0x10);
    file_flip(path_in(*state, table), 130, 0x01);
    db = open_default(*state);
    FAILS(VELOCITY_CORRUPT, table, velocity_contains(db, velocity_str("table 2")));
    velocity_iterator *it = velocity_iterator_new(db, NULL);
    assert_false(velocity_iterator_valid(it));
    assert_int_equal(velocity_iterator_status(it), VELOCITY_CORRUPT);
    velocity_iterator_free(it);
    OK(velocity_delete(db, velocity_str("table 2"))); /* now a compaction has to read it */
    FAILS(VELOCITY_CORRUPT, table, velocity_compact(db, NULL));
    assert_true(has(db, "table 1")); /* what is whole stays readable */
    OK(velocity_close(db));
}

/* It may be what a crash cut short, but then the logs that it took over are still there. */
static void a_damaged_last_record_of_the_manifest_does_not_lose_what_was_flushed(void **state) {
    char manifest[64] = "";
    size_t size;
    velocity *db = open_default(*state);
    put(db, "key", "value");
    OK(velocity_flush(db));
    OK(velocity_close(db));
    for (int digit = 0; digit < 10 && !*manifest; digit++) {
        char suffix[2] = {(char)('0' + digit), 0};
        (void)files_ending(*state, suffix, manifest);
    }
    free(file_bytes(path_in(*state, manifest), &size));
    file_flip(path_in(*state, manifest), size - 1, 0x01);
    FAILS(VELOCITY_CORRUPT, ".log", velocity_open(*state, NULL, &db));
    file_flip(path_in(*state, manifest), size - 1, 0x01);
    db = open_default(*state);
    assert_true(has(db, "key"));
    OK(velocity_close(db));
}

static void a_table_of_another_database_is_refused(void **state) {
    char mine[64], other[64];
    const char *elsewhere = path_in(*state, "elsewhere");
    make_database(elsewhere);
    make_database(path_in(*state, "here"));
    (void)files_ending(elsewhere, ".sst", other);
    (void)files_ending(path_in(*state, "here"), ".sst", mine);
    assert_string_equal(mine, other); /* same name, same contents, another life */
    char from[160];
    (void)snprintf(from, sizeof from, "%s/%s", elsewhere, other);
    file_copy(from, path_in(path_in(*state, "here"), mine));
    velocity *db;
    FAILS(VELOCITY_CORRUPT, "another database", velocity_open(path_in(*state, "here"), NULL, &db));
}

/* What was once taken for lost must not come back beside what was written since. */
static void a_log_that_an_opening_did_not_count_never_counts_later(void **state) {
    char value[40000], key[16];
    velocity_options options = velocity_options_default();
    options.durability = VELOCITY_DURABILITY_OS;
    velocity *db;
    memset(value, 'v', sizeof value);
    const char *live = path_in(*state, "live"), *copy = path_in(*state, "copy"), *later = path_in(*state, "later");
    OK(velocity_open(live, &options, &db));
    for (int i = 0; i < 40; i++) { /* more than one segment */
        (void)snprintf(key, sizeof key, "%02d", i);
        OK(velocity_put(db, velocity_str(key), velocity_bytes(value, sizeof value)));
    }
    folder_copy(live, copy); /* as a kill leaves it */
    OK(velocity_close(db));
    char first[64], second[64];
    files_sorted(copy, ".log", 0, first);
    files_sorted(copy, ".log", 1, second);
    file_flip(path_in(copy, first), 10 * 40000, 1); /* nothing proves that it was ever synced: the end */
    OK(rename(path_in(copy, second), path_in(*state, "second.log")));
    file_copy(path_in(*state, "second.log"), path_in(copy, second));
    options.durability = VELOCITY_DURABILITY_ALWAYS;
    OK(velocity_open(copy, &options, &db));
    assert_true(has(db, "08") && !has(db, "11") && !has(db, "39"));
    put(db, "after", "1");
    folder_copy(copy, later);
    OK(velocity_close(db));
    file_copy(path_in(*state, "second.log"), path_in(later, second)); /* its removal did not reach the disk */
    OK(velocity_open(later, &options, &db));
    assert_true(has(db, "08") && !has(db, "11") && !has(db, "39") && has(db, "after"));
    OK(velocity_close(db));
}

/* Writes with the given durability, cuts the power, and answers how many sequences the next opening leaves out. */
static uint64_t skipped_after_power_cut(velocity_durability database, velocity_durability write,
                                        velocity_durability later) {
    env_sim *sim = env_sim_new(5);
    velocity_options options = velocity_options_default();
    velocity_write_options how = velocity_write_options_default();
    velocity_batch *batch = velocity_batch_new();
    uint64_t seen, next;
    velocity *db;
    options.durability = database;
    how.durability = write;
    OK(database_open(env_sim_env(sim), "db", &options, &db));
    velocity_batch_put(batch, velocity_str("key"), velocity_str("1"), NULL);
    OK(velocity_write(db, batch, &how, &seen));
    env_sim_crash_after(sim, 0);
    assert_int_not_equal(velocity_close(db), VELOCITY_OK);
    env_sim_power_cut(sim);
    options.durability = later;
    OK(database_open(env_sim_env(sim), "db", &options, &db));
    OK(velocity_write(db, batch, NULL, &next));
    assert_true(next > seen);
    OK(velocity_close(db));
    velocity_batch_free(batch);
    env_sim_free(sim);
    return next - seen - 1;
}

static void versions_that_a_power_cut_took_are_never_given_again_whatever_the_next_opening_asks(void **state) {
    (void)state;
    const velocity_durability always = VELOCITY_DURABILITY_ALWAYS, os = VELOCITY_DURABILITY_OS;
    assert_int_equal(skipped_after_power_cut(always, always, os), 0);
    assert_int_equal(skipped_after_power_cut(always, VELOCITY_DURABILITY_DEFAULT, always), 0);
    assert_true(skipped_after_power_cut(os, os, always) > 1000);
    assert_true(skipped_after_power_cut(always, os, always) > 1000);
    assert_true(skipped_after_power_cut(VELOCITY_DURABILITY_INTERVAL, os, always) > 1000);
}

static void at_an_interval_a_power_cut_loses_nothing_that_is_older(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        env_sim *sim = env_sim_new(seed);
        velocity_options options = velocity_options_default();
        options.durability = VELOCITY_DURABILITY_INTERVAL;
        options.interval_ms = 100;
        velocity *db;
        OK(database_open(env_sim_env(sim), "db", &options, &db));
        put(db, "first", "1");
        env_sim_advance_ms(sim, 101);
        put(db, "second", "2"); /* its group finds that the interval is over, and waits for the disk */
        put(db, "third", "3");
        env_sim_crash_after(sim, 0);
        assert_int_not_equal(velocity_close(db), VELOCITY_OK);
        env_sim_power_cut(sim);
        OK(database_open(env_sim_env(sim), "db", &options, &db));
        assert_true(has(db, "first") && has(db, "second"));
        OK(velocity_close(db));
        env_sim_free(sim);
    }
}

static void at_an_interval_the_last_write_is_synced_without_another_one(void **state) {
    velocity_options options = velocity_options_default();
    velocity_stats stats = {.struct_size = sizeof stats};
    velocity *db;
    options.durability = VELOCITY_DURABILITY_INTERVAL;
    options.interval_ms = 20;
    OK(velocity_open(*state, &options, &db));
    put(db, "key", "value");
    for (int i = 0; i < 30000 && stats.syncs == 0; i++) {
        env_sleep_us(1000);
        OK(velocity_stats_get(db, &stats));
    }
    assert_true(stats.syncs > 0);
    OK(velocity_close(db));
}

/* What an opening reads of a database of one table with that many kilobytes. */
static uint64_t read_by_opening(unsigned kilobytes) {
    env_sim *sim = env_sim_new(kilobytes);
    env *e = env_sim_env(sim);
    velocity_options options = velocity_options_default();
    options.memtable_bytes = 1 << 20;
    options.table_bytes = 64 << 20;
    options.compression = VELOCITY_COMPRESSION_NONE;
    velocity *db;
    OK(database_open(e, "db", &options, &db));
    char key[16], value[1000];
    for (unsigned i = 0; i < kilobytes; i++) {
        (void)snprintf(key, sizeof key, "key %08u", i * 7919 % kilobytes); /* so that tables overlap and are merged */
        memset(value, (int)i, sizeof value);
        OK(velocity_put(db, velocity_str(key), velocity_bytes(value, sizeof value)));
    }
    OK(velocity_compact(db, NULL));
    velocity_stats stats = {.struct_size = sizeof stats};
    OK(velocity_stats_get(db, &stats));
    assert_int_equal(stats.level_tables[VELOCITY_LEVELS - 1], 1);
    assert_true(stats.table_bytes > kilobytes * 1000);
    OK(velocity_close(db));
    uint64_t before = env_sim_read_bytes(sim);
    OK(database_open(e, "db", &options, &db));
    uint64_t bytes = env_sim_read_bytes(sim) - before;
    OK(velocity_close(db));
    env_sim_free(sim);
    return bytes;
}

static void opening_reads_manifest_log_and_the_ends_of_tables_however_much_is_in_them(void **state) {
    (void)state;
    uint64_t little = read_by_opening(500), much = read_by_opening(20000);
    assert_true(much < little + 4096); /* forty times the data: a longer top index */
}

/* ---- crashes while opening
 * -------------------------------------------------------------------------------------------- */

/* Opens and closes a database, with a crash after that many calls; then it must open again with nothing lost. Answers
 * how many calls there were until the crash, or without one. */
static uint64_t crash_once(bool power, bool fresh, uint64_t calls) {
    env_sim *sim = env_sim_new(calls + 1);
    env *e = env_sim_env(sim);
    velocity *db;
    if (!fresh) {
        OK(database_open(e, "db", NULL, &db));
        put(db, "kept", "1");
        OK(velocity_flush(db));
        put(db, "logged", "2");
        OK(velocity_close(db));
    }
    uint64_t before = env_sim_calls(sim);
    env_sim_crash_after(sim, calls);
    velocity_status status = database_open(e, "db", NULL, &db);
    if (status == VELOCITY_OK) assert_true(velocity_close(db) == VELOCITY_OK || env_sim_crashed(sim));
    uint64_t happened = env_sim_calls(sim) - before;
    if (power)
        env_sim_power_cut(sim);
    else
        env_sim_kill(sim);
    status = database_open(e, "db", NULL, &db);
    if (status) fail_msg("after a crash at call %llu: %s", (unsigned long long)calls, velocity_error_message());
    assert_true(fresh || (has(db, "kept") && has(db, "logged")));
    put(db, "new", "3");
    OK(velocity_close(db));
    env_sim_free(sim);
    return happened;
}

/* Of the 256 calls that fill the first log segment a few will do; all others are tried. */
static void crash_at_every_call(bool power, bool fresh) {
    uint64_t all = crash_once(power, fresh, UINT32_MAX);
    for (uint64_t calls = 0; calls < all; calls++)
        if (calls < 30 || calls + 40 > all || calls % 32 == 0) assert_true(crash_once(power, fresh, calls) <= calls);
}

static void a_kill_at_any_call_of_the_first_open_is_survived(void **state) {
    (void)state;
    crash_at_every_call(false, true);
}
static void a_power_cut_at_any_call_of_the_first_open_is_survived(void **state) {
    (void)state;
    crash_at_every_call(true, true);
}
static void a_kill_at_any_call_of_a_later_open_is_survived(void **state) {
    (void)state;
    crash_at_every_call(false, false);
}
static void a_power_cut_at_any_call_of_a_later_open_is_survived(void **state) {
    (void)state;
    crash_at_every_call(true, false);
}

/* ---- shared
 * ---------------------------------------------------------------------------------------------------------- */

struct user {
    velocity *db;
    uint32_t number;
    pthread_t thread;
};

static void *use(void *arg) {
    struct user *u = arg;
    char key[32], value[300];
    for (uint32_t i = 0; i < 3000; i++) {
        velocity_value v;
        (void)snprintf(key, sizeof key, "%u:%05u", u->number, i % 1000);
        memset(value, (int)(i + u->number), sizeof value);
        OK(velocity_put(u->db, velocity_str(key), velocity_bytes(value, sizeof value)));
        OK(velocity_get(u->db, velocity_str(key), &v));
        assert_memory_equal(v.data, value, sizeof value);
        velocity_value_release(&v);
    }
    return NULL;
}

static void databases_share_cache_threads_and_files_and_stay_apart(void **state) {
    velocity_shared_options shared_options = velocity_shared_options_default();
    shared_options.cache_bytes = 1 << 20;
    shared_options.max_open_files = 16;
    shared_options.background_threads = 2;
    velocity_options options = velocity_options_default();
    options.shared = velocity_shared_new(&shared_options);
    options.memtable_bytes = options.table_bytes = 64 << 10;
    options.compaction_threshold = 2;
    options.durability = VELOCITY_DURABILITY_OS;
    velocity *dbs[2];
    OK(velocity_open(path_in(*state, "one"), &options, &dbs[0]));
    OK(velocity_open(path_in(*state, "two"), &options, &dbs[1]));
    struct user users[4];
    for (uint32_t i = 0; i < 4; i++) {
        users[i] = (struct user){.db = dbs[i % 2], .number = i};
        assert_int_equal(pthread_create(&users[i].thread, NULL, use, &users[i]), 0);
    }
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_join(users[i].thread, NULL), 0);
    for (int i = 0; i < 2; i++) {
        velocity_stats s = {.struct_size = sizeof s};
        OK(velocity_stats_get(dbs[i], &s));
        assert_int_equal(s.last_sequence, 6000);
        assert_true(s.open_tables <= 16 && s.cache_used_bytes <= 1 << 20);
        assert_true(has(dbs[i], i ? "3:00500" : "2:00500"));
        assert_false(has(dbs[i], i ? "2:00500" : "3:00500"));
        OK(velocity_close(dbs[i]));
    }
    velocity_shared_free(options.shared);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(a_database_opens_in_one_process_at_a_time), /* first: no threads have been started yet */
        TEST_IN_FOLDER(a_database_opens_once_in_a_process),
        TEST_IN_FOLDER(without_create_if_missing_nothing_is_made),
        TEST_IN_FOLDER(the_options_of_an_older_caller_end_where_its_struct_ended),
        TEST_IN_FOLDER(an_option_out_of_range_is_named),
        TEST_IN_FOLDER(first_sequence_is_a_floor_that_never_lowers),
        TEST_IN_FOLDER(close_answers_busy_while_a_handle_lives_and_harms_nothing),
        TEST_IN_FOLDER(a_large_value_outlives_the_table_that_it_was_read_from),
        TEST_IN_FOLDER(opening_and_closing_again_and_again_leaves_no_files_behind),
        TEST_IN_FOLDER(a_missing_file_is_corrupt_and_named),
        TEST_IN_FOLDER(a_damaged_current_manifest_or_table_is_corrupt_and_named),
        TEST_IN_FOLDER(a_damaged_last_record_of_the_manifest_does_not_lose_what_was_flushed),
        TEST_IN_FOLDER(a_table_of_another_database_is_refused),
        TEST_IN_FOLDER(a_log_that_an_opening_did_not_count_never_counts_later),
        cmocka_unit_test(at_an_interval_a_power_cut_loses_nothing_that_is_older),
        TEST_IN_FOLDER(at_an_interval_the_last_write_is_synced_without_another_one),
        cmocka_unit_test(versions_that_a_power_cut_took_are_never_given_again_whatever_the_next_opening_asks),
        cmocka_unit_test(a_kill_at_any_call_of_the_first_open_is_survived),
        cmocka_unit_test(a_power_cut_at_any_call_of_the_first_open_is_survived),
        cmocka_unit_test(a_kill_at_any_call_of_a_later_open_is_survived),
        cmocka_unit_test(a_power_cut_at_any_call_of_a_later_open_is_survived),
        cmocka_unit_test(opening_reads_manifest_log_and_the_ends_of_tables_however_much_is_in_them),
        TEST_IN_FOLDER(databases_share_cache_threads_and_files_and_stay_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
