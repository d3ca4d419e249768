/* expiry_test.c - keys that expire: when they are hidden, what the time is, and how their space comes back. */
#include "engine/database_internal.h"
#include "engine/expiry.h"
#include "env_sim.h"
#include "testing.h"

struct bed { /* a database on the simulated machine */
    env_sim *sim;
    velocity *db;
    velocity_options options;
};

static void bed_open(struct bed *b) {
    OK(database_open(env_sim_env(b->sim), "db", &b->options, &b->db));
}

static struct bed *bed_new(void) {
    static struct bed b;
    b = (struct bed){.sim = env_sim_new(1), .options = velocity_options_default()};
    b.options.memtable_bytes = b.options.table_bytes = 1 << 20;
    bed_open(&b);
    return &b;
}

static void bed_free(struct bed *b) {
    OK(velocity_close(b->db));
    env_sim_free(b->sim);
}

static velocity_stats stats_of(velocity *db) {
    velocity_stats stats = {.struct_size = sizeof stats};
    OK(velocity_stats_get(db, &stats));
    return stats;
}

static int64_t in_ms(const struct bed *b, int64_t ms) {
    return (int64_t)stats_of(b->db).clock_ms + ms;
}

static void put_until(velocity *db, const char *key, const char *value, int64_t expires_at_ms) {
    velocity_batch *batch = velocity_batch_new();
    velocity_put_options options = velocity_put_options_default();
    options.expires_at_ms = expires_at_ms;
    velocity_batch_put(batch, velocity_str(key), velocity_str(value), &options);
    OK(velocity_write(db, batch, NULL, NULL));
    velocity_batch_free(batch);
}

static velocity_status write_if_absent(velocity *db, const char *key) {
    velocity_batch *batch = velocity_batch_new();
    velocity_batch_require(batch, velocity_str(key), VELOCITY_ABSENT);
    velocity_status status = velocity_write(db, batch, NULL, NULL);
    velocity_batch_free(batch);
    return status;
}

static size_t scan(velocity *db, const velocity_snapshot *snapshot, bool reverse) {
    velocity_range range = velocity_range_default();
    range.snapshot = snapshot;
    range.reverse = reverse;
    velocity_iterator *it = velocity_iterator_new(db, &range);
    size_t count = 0;
    for (; velocity_iterator_valid(it); velocity_iterator_next(it)) count++;
    OK(velocity_iterator_status(it));
    velocity_iterator_free(it);
    return count;
}

static velocity_status get_at(velocity *db, const char *key, const velocity_snapshot *snapshot) {
    velocity_read_options options = velocity_read_options_default();
    options.snapshot = snapshot;
    velocity_value value;
    velocity_status status = velocity_get_with(db, &options, velocity_str(key), &value);
    if (!status) velocity_value_release(&value);
    return status;
}

/* By every way there is to look. */
static void expect_key(velocity *db, const char *key, bool there, size_t in_all) {
    velocity_status expected = there ? VELOCITY_OK : VELOCITY_NOT_FOUND, status;
    velocity_value value;
    velocity_slice slice = velocity_str(key);
    assert_int_equal(get_at(db, key, NULL), expected);
    assert_int_equal(velocity_contains(db, slice), expected);
    OK(velocity_get_many(db, NULL, 1, &slice, &value, &status));
    assert_int_equal(status, expected);
    if (!status) velocity_value_release(&value);
    assert_int_equal(write_if_absent(db, key), there ? VELOCITY_CONFLICT : VELOCITY_OK);
    assert_int_equal(scan(db, NULL, false), in_all);
    assert_int_equal(scan(db, NULL, true), in_all);
}

static void settle(velocity *db) {
    env_mutex_lock(&db->mutex);
    while (db->flush_queued || db->compaction_queued) room_wait(db);
    env_mutex_unlock(&db->mutex);
}

/* What the ticker does; in this environment it does not run. */
static void tick(velocity *db) {
    background_tick(&db->ticker);
    settle(db);
}

/* ---- within bounds ----------------------------------------------------------------------------------------------- */

enum { GONE = 2 * VELOCITY_PASSING_KEYS + 100 };

struct passing {
    int calls, last_call; /* last_call 0: it is never ended */
    char last[9];
};

static bool pass_by(void *arg, velocity_slice key) {
    struct passing *passing = arg;
    assert_int_equal(key.size, 8);
    memcpy(passing->last, key.data, 8);
    return ++passing->calls != passing->last_call;
}

/* Every other one deleted, the others expired; "-" and "z", which are there, stand around them. */
static void fill_with_gone(struct bed *b) {
    velocity_batch *batch = velocity_batch_new();
    velocity_put_options options = velocity_put_options_default();
    options.expires_at_ms = in_ms(b, 1000);
    for (int i = 0; i < GONE; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%08d", i);
        if (i % 2)
            velocity_batch_put(batch, velocity_str(key), velocity_str("value"), &options);
        else
            velocity_batch_delete(batch, velocity_str(key));
    }
    OK(velocity_write(b->db, batch, NULL, NULL));
    velocity_batch_free(batch);
    OK(velocity_put(b->db, velocity_str("-"), velocity_str("value")));
    OK(velocity_put(b->db, velocity_str("z"), velocity_str("value")));
    env_sim_advance_ms(b->sim, 1000);
}

static void expect_at(velocity_iterator *it, const char *key) {
    assert_true(velocity_iterator_valid(it));
    assert_int_equal(velocity_iterator_key(it).size, strlen(key));
    assert_memory_equal(velocity_iterator_key(it).data, key, strlen(key));
}

static void a_scan_can_be_ended_among_keys_that_are_gone_and_goes_on_behind_them(void **state) {
    (void)state;
    struct bed *b = bed_new();
    OK(velocity_close(b->db));
    b->options.memtable_bytes = 64 << 20; /* nothing is to be merged away */
    bed_open(b);
    fill_with_gone(b);
    for (int reverse = 0; reverse < 2; reverse++) {
        struct passing passing = {.last_call = 2};
        velocity_range range = velocity_range_default();
        range.reverse = reverse;
        range.passing = pass_by;
        range.passing_arg = &passing;
        velocity_iterator *it = velocity_iterator_new(b->db, &range);
        expect_at(it, reverse ? "z" : "-");
        velocity_iterator_next(it);
        assert_false(velocity_iterator_valid(it));
        assert_int_equal(velocity_iterator_status(it), VELOCITY_INCOMPLETE);
        velocity_iterator_free(it);
        assert_string_equal(passing.last, reverse ? "00000100" : "00032767");
        range.start = reverse ? velocity_bytes(NULL, 0) : velocity_bytes(passing.last, 9); /* its NUL: behind it */
        range.end = reverse ? velocity_bytes(passing.last, 8) : velocity_bytes(NULL, 0);
        it = velocity_iterator_new(b->db, &range);
        expect_at(it, reverse ? "-" : "z");
        velocity_iterator_free(it);
    }
    bed_free(b);
}

static void who_has_time_passes_by_all_that_are_gone(void **state) {
    (void)state;
    struct bed *b = bed_new();
    OK(velocity_close(b->db));
    b->options.memtable_bytes = 64 << 20;
    bed_open(b);
    fill_with_gone(b);
    for (int reverse = 0; reverse < 2; reverse++) {
        struct passing passing = {0};
        velocity_range range = velocity_range_default();
        range.reverse = reverse;
        range.passing = pass_by;
        range.passing_arg = &passing;
        velocity_iterator *it = velocity_iterator_new(b->db, &range);
        velocity_iterator_next(it);
        expect_at(it, reverse ? "-" : "z");
        velocity_iterator_free(it);
        assert_int_equal(passing.calls, 2);
    }
    bed_free(b);
}

/* ---- when ------------------------------------------------------------------------------------------------------- */

static void a_key_is_absent_from_its_instant_on(void **state) {
    (void)state;
    struct bed *b = bed_new();
    OK(velocity_put(b->db, velocity_str("other"), velocity_str("stays")));
    int64_t then = in_ms(b, 1000);
    put_until(b->db, "key", "value", then);
    velocity_value value;
    OK(velocity_get(b->db, velocity_str("key"), &value));
    assert_int_equal(value.expires_at_ms, then);
    velocity_value_release(&value);
    env_sim_advance_ms(b->sim, (uint64_t)(then - in_ms(b, 0)) - 1);
    expect_key(b->db, "key", true, 2);
    env_sim_advance_ms(b->sim, (uint64_t)(then - in_ms(b, 0)));
    expect_key(b->db, "key", false, 1);
    put_until(b->db, "key", "again", 1); /* long ago */
    expect_key(b->db, "key", false, 1);
    put_until(b->db, "key", "for good", 0);
    env_sim_advance_ms(b->sim, UINT64_C(1) << 40);
    expect_key(b->db, "key", true, 2);
    bed_free(b);
}

static void what_has_expired_hides_older_versions_wherever_it_lies(void **state) {
    (void)state;
    struct bed *b = bed_new();
    OK(velocity_put(b->db, velocity_str("key"), velocity_str("older")));
    OK(velocity_compact(b->db, NULL));
    put_until(b->db, "key", "newer", in_ms(b, 1000));
    env_sim_advance_ms(b->sim, 2000);
    expect_key(b->db, "key", false, 0);
    OK(velocity_flush(b->db)); /* its value is gone, but not its place */
    settle(b->db);
    expect_key(b->db, "key", false, 0);
    OK(velocity_compact(b->db, NULL));
    expect_key(b->db, "key", false, 0);
    assert_int_equal(stats_of(b->db).table_entries, 0);
    assert_int_equal(stats_of(b->db).expired_dropped, 1);
    bed_free(b);
}

static void a_snapshot_and_an_iterator_keep_their_time(void **state) {
    (void)state;
    struct bed *b = bed_new();
    put_until(b->db, "key", "value", in_ms(b, 1000));
    velocity_snapshot *before = velocity_snapshot_new(b->db);
    velocity_iterator *it = velocity_iterator_new(b->db, NULL);
    env_sim_advance_ms(b->sim, 2000);
    velocity_snapshot *after = velocity_snapshot_new(b->db); /* of the same sequence */
    for (int round = 0; round < 3; round++) {
        OK(get_at(b->db, "key", before));
        assert_int_equal(scan(b->db, before, round % 2), 1);
        assert_int_equal(get_at(b->db, "key", after), VELOCITY_NOT_FOUND);
        assert_int_equal(scan(b->db, after, round % 2), 0);
        velocity_iterator_seek(it, velocity_bytes(NULL, 0));
        assert_true(velocity_iterator_valid(it));
        expect_key(b->db, "key", false, 0);
        OK(round ? velocity_compact(b->db, NULL) : velocity_flush(b->db));
    }
    velocity_iterator_free(it);
    velocity_snapshot_free(before);
    OK(velocity_compact(b->db, NULL)); /* for the other one it is over */
    assert_int_equal(stats_of(b->db).table_entries, 0);
    velocity_snapshot_free(after);
    bed_free(b);
}

/* ---- the time -----------------------------------------------------------------------------------------------------
 */

enum death { CLOSED, KILLED, CUT };

/* Writes at a late time, sets the wall clock back, ends, and looks again. */
static void end_and_expect_hidden(struct bed *b, enum death death, uint64_t ms) {
    put_until(b->db, "key", "value", in_ms(b, 1000));
    env_sim_advance_ms(b->sim, ms); /* while the mark is ahead, time stands still */
    if (death != CLOSED) OK(velocity_put(b->db, velocity_str("later"), velocity_str("is durable")));
    assert_int_equal(get_at(b->db, "key", NULL), VELOCITY_NOT_FOUND);
    env_sim_set_back_ms(b->sim, ms);
    assert_int_equal(get_at(b->db, "key", NULL), VELOCITY_NOT_FOUND);
    if (death == CLOSED) {
        OK(velocity_close(b->db));
    } else {
        env_sim_crash_after(b->sim, 0);
        assert_int_not_equal(velocity_close(b->db), VELOCITY_BUSY);
        if (death == KILLED)
            env_sim_kill(b->sim);
        else
            env_sim_power_cut(b->sim);
    }
    bed_open(b);
    assert_int_equal(get_at(b->db, "key", NULL), VELOCITY_NOT_FOUND);
    assert_int_equal(write_if_absent(b->db, "key"), VELOCITY_OK);
}

static void setting_the_clock_back_brings_nothing_back(void **state) {
    (void)state;
    for (enum death death = CLOSED; death <= CUT; death++) {
        struct bed *b = bed_new();
        end_and_expect_hidden(b, death, 5000000);
        end_and_expect_hidden(b, death, 9000000); /* from a time that only the mark knows */
        bed_free(b);
    }
}

static void the_time_never_runs_back_and_a_frozen_one_stands(void **state) {
    (void)state;
    env_sim *sim = env_sim_new(1);
    struct clock clock;
    clock_init(&clock, env_sim_env(sim));
    uint64_t start = clock_now(&clock);
    env_sim_set_back_ms(sim, 5000);
    assert_true(clock_now(&clock) >= start);
    clock_raise(&clock, start + 100000);
    assert_int_equal(clock_now(&clock), start + 100000);
    clock_raise(&clock, start);
    assert_int_equal(clock_now(&clock), start + 100000);
    uint64_t frozen = start;
    assert_false(clock_is_over(&clock, (int64_t)start + 1, &frozen));
    uint64_t present = 0;
    assert_true(clock_is_over(&clock, (int64_t)start + 1, &present));
    assert_int_equal(present, start + 100000);
    env_sim_free(sim);
}

/* ---- space --------------------------------------------------------------------------------------------------------
 */

enum { KEYS = 3000 };

/* Every nth key expires in an hour. */
static void fill(struct bed *b, int every) {
    char key[32], value[200];
    int64_t hour = in_ms(b, 3600 * 1000);
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof key, "key %06d", i);
        put_until(b->db, key, value, i % every ? 0 : hour + i);
    }
    OK(velocity_flush(b->db));
    settle(b->db);
}

static void the_space_comes_back_without_a_reader(void **state) {
    (void)state;
    struct bed *b = bed_new();
    fill(b, 2);
    OK(velocity_compact(b->db, NULL));
    tick(b->db);
    velocity_stats before = stats_of(b->db);
    assert_int_equal(before.table_entries, KEYS);
    for (int life = 0; life < 2; life++) { /* what is known of a table it tells the next life, too */
        if (life == 0) {
            OK(velocity_close(b->db));
            bed_open(b);
            env_sim_advance_ms(b->sim, 2 * 3600 * 1000);
        }
        tick(b->db);
        velocity_stats after = stats_of(b->db);
        assert_int_equal(after.table_entries, KEYS / 2);
        assert_true(after.table_raw_bytes < before.table_raw_bytes * 6 / 10);
        assert_int_equal(after.expired_dropped, KEYS / 2);
        assert_int_equal(after.gets + after.iterators, 0);
    }
    assert_int_equal(scan(b->db, NULL, false), KEYS / 2);
    bed_free(b);
}

static void tables_in_which_nothing_is_left_go_unread(void **state) {
    (void)state;
    struct bed *b = bed_new();
    fill(b, 1);
    velocity_stats before = stats_of(b->db);
    assert_true(before.table_entries == KEYS && before.compaction_bytes_read == 0);
    env_sim_advance_ms(b->sim, 2 * 3600 * 1000);
    tick(b->db);
    velocity_stats after = stats_of(b->db);
    assert_int_equal(after.table_bytes, 0);
    assert_int_equal(after.compaction_bytes_read, 0);
    assert_int_equal(after.expired_dropped, KEYS);
    bed_free(b);
}

static void what_still_hides_something_stays_until_that_is_gone(void **state) {
    (void)state;
    struct bed *b = bed_new();
    fill(b, KEYS + 1); /* the first alone expires */
    OK(velocity_compact(b->db, NULL));
    fill(b, 1); /* on level 0, over the others */
    env_sim_advance_ms(b->sim, 2 * 3600 * 1000);
    tick(b->db);
    assert_int_equal(scan(b->db, NULL, false), 0);
    velocity_stats stats = stats_of(b->db);
    assert_true(stats.level_tables[0] > 0 && stats.table_entries > KEYS);
    assert_true(stats.table_raw_bytes < KEYS * (10 + 199) + KEYS * 20); /* keys without values */
    OK(velocity_compact(b->db, NULL));
    assert_int_equal(scan(b->db, NULL, true), 0);
    assert_int_equal(stats_of(b->db).table_entries, 0);
    bed_free(b);
}

/* Of one table most has expired and some not: it is rewritten where it is, over an older one of level 0. */
static void a_table_of_level_0_goes_on_hiding_the_ones_before_it(void **state) {
    (void)state;
    struct bed *b = bed_new();
    fill(b, KEYS + 1);
    fill(b, 2);
    assert_int_equal(stats_of(b->db).level_tables[0], 2);
    env_sim_advance_ms(b->sim, 2 * 3600 * 1000);
    assert_int_equal(scan(b->db, NULL, false), KEYS / 2);
    tick(b->db);
    velocity_stats stats = stats_of(b->db);
    assert_true(stats.level_tables[0] == 2 && stats.expired_dropped == KEYS / 2);
    assert_int_equal(scan(b->db, NULL, false), KEYS / 2);
    bed_free(b);
}

static void a_snapshot_holds_the_space_and_the_background_does_not_spin(void **state) {
    (void)state;
    struct bed *b = bed_new();
    fill(b, 2);
    velocity_snapshot *snapshot = velocity_snapshot_new(b->db);
    env_sim_advance_ms(b->sim, 2 * 3600 * 1000);
    for (int i = 0; i < 5; i++) tick(b->db);
    velocity_stats stats = stats_of(b->db);
    assert_int_equal(stats.table_entries, KEYS);
    assert_int_equal(stats.expired_dropped, 0);
    assert_true(stats.compactions <= 1); /* when idle, level 0 is merged */
    assert_int_equal(scan(b->db, snapshot, false), KEYS);
    assert_int_equal(scan(b->db, NULL, false), KEYS / 2);
    velocity_snapshot_free(snapshot);
    tick(b->db);
    assert_int_equal(stats_of(b->db).table_entries, KEYS / 2);
    bed_free(b);
}

/* The real clock and the real ticker. */
static void nobody_has_to_ask_for_it(void **state) {
    velocity_options options = velocity_options_default();
    options.durability = VELOCITY_DURABILITY_OS;
    velocity *db;
    OK(velocity_open(*state, &options, &db));
    put_until(db, "soon", "gone", (int64_t)stats_of(db).clock_ms + 3000); /* before that it is flushed */
    OK(velocity_flush(db));
    assert_int_equal(stats_of(db).table_entries, 1);
    for (int i = 0; i < 6000 && stats_of(db).table_entries; i++) env_sleep_us(10000);
    assert_int_equal(stats_of(db).table_entries, 0);
    OK(velocity_close(db));
}

/* ---- the summary --------------------------------------------------------------------------------------------------
 */

static void a_summary_never_counts_too_much_and_in_the_end_all(void **state) {
    (void)state;
    uint64_t random = 99;
    for (int round = 0; round < 300; round++) {
        struct expiry_summary s = {0}, back;
        int64_t times[400];
        uint64_t total = 0, count = 1 + below(&random, 400), span = UINT64_C(1) << below(&random, 40);
        for (size_t i = 0; i < count; i++) {
            times[i] = 1 + (int64_t)(next_random(&random) % span);
            expiry_add(&s, times[i], i + 1);
            total += i + 1;
        }
        uint8_t bytes[EXPIRY_MAX_BYTES];
        size_t size = expiry_encode(&s, bytes);
        assert_true(expiry_decode(bytes, size, &back));
        assert_true(back.count == s.count && s.count <= EXPIRY_BUCKETS && (count >= 16 || s.count <= count));
        for (uint32_t k = 0; k < back.count; k++) {
            struct expiry_bucket over = expiry_over(&back, (uint64_t)back.buckets[k].latest);
            uint64_t expected = 0, entries = 0;
            for (size_t i = 0; i < count; i++)
                if (times[i] <= back.buckets[k].latest) expected += i + 1, entries++;
            assert_true(over.bytes == expected && over.entries == entries);
            over = expiry_over(&back, (uint64_t)back.buckets[k].latest - 1);
            assert_true(over.bytes < expected);
        }
        assert_int_equal(expiry_over(&back, (uint64_t)span).bytes, total);
        assert_int_equal(expiry_over(&back, 0).bytes, 0);
    }
}

static void a_table_is_due_when_three_tenths_of_it_have_expired(void **state) {
    (void)state;
    struct expiry_summary s = {0};
    for (int64_t i = 1; i <= 10; i++) expiry_add(&s, i * 100, 10);
    assert_int_equal(expiry_due_ms(&s, 100, 10), 300);
    assert_int_equal(expiry_due_ms(&s, 200, 20), 600);
    assert_int_equal(expiry_due_ms(&s, 200, 10), 300); /* by entries */
    assert_int_equal(expiry_due_ms(&s, 1000, 100), EXPIRY_NEVER);
    assert_int_equal(expiry_due_ms(NULL, 1000, 100), EXPIRY_NEVER);
}

static void a_summary_that_makes_no_sense_is_refused(void **state) {
    (void)state;
    struct expiry_summary s = {0}, back;
    uint8_t bytes[EXPIRY_MAX_BYTES + EXPIRY_BUCKET_BYTES] = {0};
    expiry_add(&s, 10, 1);
    expiry_add(&s, 20, 1);
    size_t size = expiry_encode(&s, bytes);
    assert_int_equal(size, 2 * EXPIRY_BUCKET_BYTES);
    assert_false(expiry_decode(bytes, 0, &back));
    assert_false(expiry_decode(bytes, size - 1, &back));
    assert_false(expiry_decode(bytes, sizeof bytes, &back));
    bytes[EXPIRY_BUCKET_BYTES] = 10; /* begins where the one before ends */
    assert_false(expiry_decode(bytes, size, &back));
    bytes[EXPIRY_BUCKET_BYTES] = 21; /* ends before it begins */
    assert_false(expiry_decode(bytes, size, &back));
    bytes[EXPIRY_BUCKET_BYTES] = 20;
    assert_true(expiry_decode(bytes, size, &back));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scan_can_be_ended_among_keys_that_are_gone_and_goes_on_behind_them),
        cmocka_unit_test(who_has_time_passes_by_all_that_are_gone),
        cmocka_unit_test(a_key_is_absent_from_its_instant_on),
        cmocka_unit_test(what_has_expired_hides_older_versions_wherever_it_lies),
        cmocka_unit_test(a_snapshot_and_an_iterator_keep_their_time),
        cmocka_unit_test(setting_the_clock_back_brings_nothing_back),
        cmocka_unit_test(the_time_never_runs_back_and_a_frozen_one_stands),
        cmocka_unit_test(the_space_comes_back_without_a_reader),
        cmocka_unit_test(tables_in_which_nothing_is_left_go_unread),
        cmocka_unit_test(what_still_hides_something_stays_until_that_is_gone),
        cmocka_unit_test(a_table_of_level_0_goes_on_hiding_the_ones_before_it),
        cmocka_unit_test(a_snapshot_holds_the_space_and_the_background_does_not_spin),
        TEST_IN_FOLDER(nobody_has_to_ask_for_it),
        cmocka_unit_test(a_summary_never_counts_too_much_and_in_the_end_all),
        cmocka_unit_test(a_table_is_due_when_three_tenths_of_it_have_expired),
        cmocka_unit_test(a_summary_that_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
