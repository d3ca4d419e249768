/*
 * range_test.c - range deletes as a caller meets them: what they take away and what not, that scans and lookups pass
 * by what is gone instead of wading through it, and that the space comes back.
 */
#include "engine/database_internal.h"
#include "engine/run.h"
#include "testing.h"

static velocity_slice key_of(char text[16], unsigned i) {
    (void)snprintf(text, 16, "key%08u", i);
    return velocity_str(text);
}

static void put(velocity *db, unsigned i) {
    char key[16];
    OK(velocity_put(db, key_of(key, i), velocity_str("some value that is worth deleting")));
}

static void put_many(velocity *db, unsigned from, unsigned to) {
    velocity_batch *batch = velocity_batch_new();
    char key[16];
    for (unsigned i = from; i < to;) {
        velocity_batch_clear(batch);
        for (unsigned n = 0; n < 1000 && i < to; n++, i++)
            velocity_batch_put(batch, key_of(key, i), velocity_str("some value that is worth deleting"), NULL);
        OK(velocity_write(db, batch, NULL, NULL));
    }
    velocity_batch_free(batch);
}

static void delete_range(velocity *db, unsigned from, unsigned to) {
    char start[16], end[16];
    OK(velocity_delete_range(db, key_of(start, from), key_of(end, to)));
}

static bool is_there(velocity *db, unsigned i) {
    char key[16];
    velocity_status status = velocity_contains(db, key_of(key, i));
    assert_true(status == VELOCITY_OK || status == VELOCITY_NOT_FOUND);
    return status == VELOCITY_OK;
}

static velocity *open_small(const char *folder) {
    velocity_options options = velocity_options_default();
    options.memtable_bytes = options.table_bytes = 256 << 10;
    options.compression = VELOCITY_COMPRESSION_NONE;
    options.durability = VELOCITY_DURABILITY_OS;
    velocity *db;
    OK(velocity_open(folder, &options, &db));
    return db;
}

static velocity_stats stats_of(velocity *db) {
    velocity_stats stats = {.struct_size = sizeof stats};
    OK(velocity_stats_get(db, &stats));
    return stats;
}

static size_t count_all(velocity *db, bool reverse, const velocity_snapshot *snapshot) {
    velocity_range range = velocity_range_default();
    range.reverse = reverse;
    range.snapshot = snapshot;
    velocity_iterator *it = velocity_iterator_new(db, &range);
    size_t count = 0;
    for (; velocity_iterator_valid(it); velocity_iterator_next(it)) count++;
    OK(velocity_iterator_status(it));
    velocity_iterator_free(it);
    return count;
}

/* ---- what is gone
 * ---------------------------------------------------------------------------------------------------- */

static void expect_keys(velocity *db, const bool *there, unsigned count) {
    size_t total = 0;
    for (unsigned i = 0; i < count; i++) {
        assert_int_equal(is_there(db, i), there[i]);
        total += there[i];
    }
    assert_int_equal(count_all(db, false, NULL), total);
    assert_int_equal(count_all(db, true, NULL), total);
}

static void a_range_takes_its_start_and_leaves_its_end_and_what_comes_later(void **state) {
    bool there[20];
    velocity *db = open_small(*state);
    for (unsigned i = 0; i < 20; i++) put(db, i), there[i] = true;
    for (int stage = 0; stage < 4; stage++) {
        if (stage == 0) {
            delete_range(db, 5, 10);
            for (unsigned i = 5; i < 10; i++) there[i] = false;
            put(db, 5), put(db, 7);
            there[5] = there[7] = true;
        }
        if (stage == 1) OK(velocity_flush(db));
        if (stage == 2) OK(velocity_compact(db, NULL));
        if (stage == 3) {
            OK(velocity_close(db));
            db = open_small(*state);
        }
        expect_keys(db, there, 20);
    }
    assert_int_equal(stats_of(db).range_tombstones, 0);
    OK(velocity_close(db));
}

static void operations_of_a_batch_take_effect_in_their_order(void **state) {
    velocity *db = open_small(*state);
    velocity_batch *batch = velocity_batch_new();
    velocity_batch_put(batch, velocity_str("b"), velocity_str("1"), NULL);
    velocity_batch_delete_range(batch, velocity_str("a"), velocity_str("d"));
    velocity_batch_put(batch, velocity_str("c"), velocity_str("2"), NULL);
    assert_int_equal(velocity_batch_count(batch), 3);
    uint64_t sequence;
    OK(velocity_write(db, batch, NULL, &sequence));
    assert_int_equal(sequence, 3); /* the range is one operation */
    assert_int_equal(velocity_contains(db, velocity_str("b")), VELOCITY_NOT_FOUND);
    OK(velocity_contains(db, velocity_str("c")));
    assert_int_equal(stats_of(db).range_tombstones, 1);
    velocity_batch_free(batch);
    OK(velocity_close(db));
}

static void a_range_needs_two_keys_in_order(void **state) {
    velocity *db = open_small(*state);
    static char long_key[VELOCITY_MAX_KEY_BYTES + 1];
    velocity_slice empty = velocity_bytes(NULL, 0), long_slice = velocity_bytes(long_key, sizeof long_key);
    memset(long_key, 'x', sizeof long_key);
    const velocity_slice bad[][2] = {{velocity_str("b"), velocity_str("a")},
                                     {velocity_str("a"), velocity_str("a")},
                                     {empty, velocity_str("a")},
                                     {velocity_str("a"), empty},
                                     {velocity_str("a"), long_slice},
                                     {long_slice, velocity_str("z")}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(velocity_delete_range(db, bad[i][0], bad[i][1]), VELOCITY_INVALID);
        velocity_batch *batch = velocity_batch_new();
        velocity_batch_put(batch, velocity_str("k"), velocity_str("v"), NULL);
        velocity_batch_delete_range(batch, bad[i][0], bad[i][1]);
        assert_int_equal(velocity_write(db, batch, NULL, NULL), VELOCITY_INVALID); /* it sticks */
        velocity_batch_free(batch);
    }
    assert_int_equal(velocity_contains(db, velocity_str("k")), VELOCITY_NOT_FOUND);
    OK(velocity_close(db));
}

static void a_batch_has_at_most_so_many_range_deletes(void **state) {
    velocity *db = open_small(*state);
    velocity_batch *batch = velocity_batch_new();
    char start[16], end[16];
    for (unsigned i = 0; i < VELOCITY_MAX_BATCH_RANGES; i++)
        velocity_batch_delete_range(batch, key_of(start, i), key_of(end, i + 2));
    put(db, 777);
    OK(velocity_write(db, batch, NULL, NULL));
    assert_false(is_there(db, 777));
    velocity_batch_delete_range(batch, velocity_str("a"), velocity_str("b"));
    assert_int_equal(velocity_write(db, batch, NULL, NULL), VELOCITY_INVALID);
    velocity_batch_free(batch);
    OK(velocity_compact(db, NULL));
    assert_int_equal(stats_of(db).range_tombstones, 0);
    OK(velocity_close(db));
}

static void a_covered_key_is_absent_for_conditions_and_for_later_ones_of_its_group(void **state) {
    velocity *db = open_small(*state);
    for (int flushed = 0; flushed < 2; flushed++) {
        OK(velocity_put(db, velocity_str("k"), velocity_str("v")));
        if (flushed) OK(velocity_flush(db));
        OK(velocity_delete_range(db, velocity_str("a"), velocity_str("z")));
        if (flushed) OK(velocity_flush(db));
        velocity_batch *batch = velocity_batch_new();
        velocity_batch_require(batch, velocity_str("k"), VELOCITY_EXISTS);
        velocity_batch_put(batch, velocity_str("other"), velocity_str("v"), NULL);
        assert_int_equal(velocity_write(db, batch, NULL, NULL), VELOCITY_CONFLICT);
        velocity_batch_clear(batch);
        velocity_batch_require(batch, velocity_str("k"), VELOCITY_ABSENT);
        velocity_batch_put(batch, velocity_str("k"), velocity_str("again"), NULL);
        OK(velocity_write(db, batch, NULL, NULL));
        OK(velocity_contains(db, velocity_str("k")));
        velocity_batch_free(batch);
    }
    OK(velocity_close(db));
}

static void a_snapshot_sees_what_it_saw_through_flush_and_compaction(void **state) {
    velocity *db = open_small(*state);
    velocity_snapshot *snapshots[4];
    const size_t seen[] = {3000, 2000, 2001, 1001};
    put_many(db, 0, 3000);
    snapshots[0] = velocity_snapshot_new(db);
    delete_range(db, 1000, 2000);
    snapshots[1] = velocity_snapshot_new(db);
    put(db, 1500);
    snapshots[2] = velocity_snapshot_new(db);
    delete_range(db, 0, 1000);
    OK(velocity_flush(db));
    snapshots[3] = velocity_snapshot_new(db);
    for (int stage = 0; stage < 4; stage++) {
        for (int i = 0; i < 4; i++) {
            assert_int_equal(count_all(db, false, snapshots[i]), seen[i]);
            assert_int_equal(count_all(db, true, snapshots[i]), seen[i]);
        }
        if (stage == 1) OK(velocity_flush(db));
        OK(velocity_compact(db, NULL));
    }
    for (int i = 0; i < 4; i++) velocity_snapshot_free(snapshots[i]);
    OK(velocity_compact(db, NULL));
    assert_int_equal(stats_of(db).table_entries, 1001);
    assert_int_equal(stats_of(db).range_tombstones, 0);
    OK(velocity_close(db));
}

/* ---- passing by
 * ------------------------------------------------------------------------------------------------------ */

/* Blocks that a seek and one step from a key load, whole cache empty. */
static uint64_t blocks_of_seek(velocity *db, unsigned from, unsigned lands, bool reverse) {
    uint64_t before = stats_of(db).cache_misses + stats_of(db).cache_hits;
    velocity_range range = velocity_range_default();
    char key[16], expected[16];
    range.reverse = reverse;
    velocity_iterator *it = velocity_iterator_new(db, &range);
    velocity_iterator_seek(it, key_of(key, from));
    assert_true(velocity_iterator_valid(it));
    assert_memory_equal(velocity_iterator_key(it).data, key_of(expected, lands).data, 11);
    velocity_iterator_free(it);
    return stats_of(db).cache_misses + stats_of(db).cache_hits - before;
}

static void a_seek_passes_by_a_million_deleted_entries_in_tables(void **state) {
    enum { MANY = 1000000 };
    velocity_options options = velocity_options_default();
    options.durability = VELOCITY_DURABILITY_OS;
    options.table_bytes = 4 << 20;
    velocity *db;
    OK(velocity_open(*state, &options, &db));
    put_many(db, 0, MANY + 20);
    OK(velocity_compact(db, NULL));
    uint64_t plain = blocks_of_seek(db, MANY / 2, MANY / 2, false);
    velocity_snapshot *snapshot = velocity_snapshot_new(db); /* nothing of it may go */
    delete_range(db, 10, MANY);
    for (int flushed = 0; flushed < 2; flushed++) {
        assert_true(blocks_of_seek(db, 10, MANY, false) <= 3 * plain);
        assert_true(blocks_of_seek(db, MANY / 2, MANY, false) <= 3 * plain);
        assert_true(blocks_of_seek(db, MANY - 1, 9, true) <= 4 * plain);
        assert_int_equal(count_all(db, false, NULL), 30);
        assert_int_equal(count_all(db, true, NULL), 30);
        OK(velocity_flush(db));
    }
    assert_int_equal(stats_of(db).table_entries, MANY + 20 + 1);
    velocity_snapshot_free(snapshot);
    OK(velocity_close(db));
}

/* Also where it is all in memory, and something else was written since. */
static void a_seek_passes_by_deleted_entries_of_a_write_buffer(void **state) {
    enum { MANY = 200000, PLENTY = 1000 };
    velocity_options options = velocity_options_default();
    options.durability = VELOCITY_DURABILITY_OS;
    velocity *db;
    OK(velocity_open(*state, &options, &db));
    put_many(db, 0, MANY + 20);
    delete_range(db, 10, MANY);
    put(db, MANY + 5);
    put(db, 5);
    assert_int_equal(count_all(db, false, NULL), 30);
    assert_int_equal(count_all(db, true, NULL), 30);
    struct superversion *sv = superversion_acquire(db);
    assert_true(memtable_entries(sv->active->memtable) < PLENTY); /* what is older is in a run of its own */
    superversion_release(sv);
    OK(velocity_close(db));
}

/* Both halves and everything that was written in between: fragments that join are passed by together. */
static void ranges_that_join_are_passed_by_at_once_and_newer_entries_show(void **state) {
    velocity *db = open_small(*state);
    put_many(db, 0, 30000);
    OK(velocity_compact(db, NULL));
    velocity_snapshot *snapshot = velocity_snapshot_new(db);
    for (unsigned i = 0; i < 29900; i += 100) delete_range(db, i, i + 100);
    OK(velocity_flush(db));
    uint64_t passed = blocks_of_seek(db, 0, 29900, false);
    assert_true(passed < 30);
    put(db, 12345);
    assert_true(blocks_of_seek(db, 0, 12345, false) < 40);
    assert_true(blocks_of_seek(db, 29899, 12345, true) < 40);
    assert_int_equal(count_all(db, false, NULL), 101);
    assert_int_equal(count_all(db, true, NULL), 101);
    velocity_snapshot_free(snapshot);
    OK(velocity_close(db));
}

/* What a run steps over, counted where it steps. */
static void a_run_whose_entries_are_all_older_is_sought_not_walked(void **state) {
    (void)state;
    enum { MANY = 5000 };
    memtable *table = memtable_new();
    char key[16];
    for (unsigned i = 0; i < MANY; i++) {
        struct entry e = {.key = key_of(key, i), .sequence = i + 1, .kind = ENTRY_PUT};
        OK(memtable_reserve(table, 1, e.key.size));
        memtable_insert(table, &e);
    }
    struct run run;
    struct merge m;
    run_init_memtable(&run, table);
    run.newest = MANY;
    OK(merge_init(&m, &run, 1));
    merge_first(&m);
    merge_skip(&m, key_of(key, MANY - 7), MANY);
    assert_int_equal(merge_entry(&m)->sequence, MANY - 6);
    merge_last(&m);
    merge_skip(&m, key_of(key, 7), MANY);
    assert_int_equal(merge_entry(&m)->sequence, 7);
    run.newest = MANY + 1; /* something in it may be newer: one step, not more */
    merge_first(&m);
    merge_skip(&m, key_of(key, MANY - 7), MANY);
    assert_int_equal(merge_entry(&m)->sequence, 2);
    merge_clear(&m);
    run_clear(&run);
    memtable_free(table);
}

static void a_lookup_below_a_range_delete_asks_no_filter(void **state) {
    velocity *db = open_small(*state);
    put_many(db, 0, 5000);
    OK(velocity_compact(db, NULL));
    velocity_snapshot *snapshot = velocity_snapshot_new(db);
    delete_range(db, 1000, 2000);
    for (int flushed = 0; flushed < 2; flushed++) {
        uint64_t before = stats_of(db).filter_checks;
        for (unsigned i = 1001; i < 2000; i++) assert_false(is_there(db, i));
        assert_int_equal(stats_of(db).filter_checks, before);
        OK(velocity_flush(db));
    }
    velocity_snapshot_free(snapshot);
    OK(velocity_close(db));
}

/* ---- the space comes back
 * -------------------------------------------------------------------------------------------- */

static velocity_stats settled(velocity *db, bool (*enough)(const velocity_stats *)) {
    velocity_stats stats;
    for (int i = 0; i < 2000; i++) {
        stats = stats_of(db);
        if (stats.background_jobs == 0 && enough(&stats)) return stats;
        env_sleep_us(5000);
    }
    fail_msg("the space did not come back: %llu entries, %llu range deletes", (unsigned long long)stats.table_entries,
             (unsigned long long)stats.range_tombstones);
    return stats;
}

static bool is_small(const velocity_stats *s) {
    return s->table_entries < 12000;
}

static bool is_clean(const velocity_stats *s) {
    return s->table_entries == 1000 && s->range_tombstones == 0 && s->memtable_entries == 0;
}

static void covered_tables_go_with_the_flush_and_are_not_read(void **state) {
    velocity *db = open_small(*state);
    put_many(db, 0, 100000);
    OK(velocity_compact(db, NULL));
    velocity_stats before = stats_of(db);
    assert_true(before.level_tables[VELOCITY_LEVELS - 1] > 5);
    delete_range(db, 500, 99500);
    OK(velocity_flush(db));
    velocity_stats after = settled(db, is_small); /* all but the two tables at the ends */
    assert_true(after.compaction_bytes_read - before.compaction_bytes_read < before.table_bytes / 4);
    assert_int_equal(count_all(db, false, NULL), 1000);
    OK(velocity_close(db));
}

static void what_a_snapshot_sees_does_not_go_before_the_snapshot(void **state) {
    velocity *db = open_small(*state);
    put_many(db, 0, 50000);
    OK(velocity_compact(db, NULL));
    velocity_snapshot *snapshot = velocity_snapshot_new(db);
    delete_range(db, 500, 49500);
    OK(velocity_flush(db));
    env_sleep_us(50000);
    assert_int_equal(count_all(db, false, snapshot), 50000);
    assert_int_equal(count_all(db, false, NULL), 1000);
    velocity_snapshot_free(snapshot);
    (void)settled(db, is_clean); /* idle compaction finds it */
    OK(velocity_close(db));
}

static void an_idle_database_gets_rid_of_what_a_lone_range_delete_left(void **state) {
    velocity *db = open_small(*state);
    put_many(db, 0, 50000);
    OK(velocity_compact(db, NULL));
    delete_range(db, 500, 49500); /* it is all that the write buffer holds */
    (void)settled(db, is_clean);
    assert_int_equal(count_all(db, false, NULL), 1000);
    OK(velocity_close(db));
}

static void an_idle_database_gets_rid_of_a_few_thousand_deleted_keys(void **state) {
    velocity_options options = velocity_options_default(); /* of whose write buffer they fill next to nothing */
    velocity *db;
    OK(velocity_open(*state, &options, &db));
    put_many(db, 0, 4000);
    OK(velocity_compact(db, NULL));
    velocity_batch *batch = velocity_batch_new();
    char key[16];
    for (unsigned i = 500; i < 3500; i++) velocity_batch_delete(batch, key_of(key, i));
    OK(velocity_write(db, batch, NULL, NULL));
    velocity_batch_free(batch);
    (void)settled(db, is_clean);
    assert_int_equal(count_all(db, false, NULL), 1000);
    OK(velocity_close(db));
}

static void the_same_range_deleted_again_and_again_leaves_one_record(void **state) {
    velocity *db = open_small(*state);
    put_many(db, 0, 1000);
    velocity_snapshot *snapshot = velocity_snapshot_new(db);
    for (int i = 0; i < 200; i++) { /* within one write buffer */
        delete_range(db, 100, 200);
        put(db, 150);
    }
    OK(velocity_flush(db));
    velocity_stats stats = stats_of(db);
    assert_int_equal(stats.range_tombstones, 1);
    assert_int_equal(stats.table_entries, 1000 + 1 + 1);
    velocity_snapshot_free(snapshot);
    OK(velocity_compact(db, NULL));
    assert_int_equal(stats_of(db).table_entries, 901);
    OK(velocity_close(db));
}

static void nested_ranges_fill_the_write_buffer_until_it_is_switched(void **state) {
    velocity *db = open_small(*state);
    for (unsigned i = 0; i < 20000; i++) {
        delete_range(db, i, 100000 - i);
        if (i % 500 == 0) assert_true(stats_of(db).memtable_bytes < 4u << 20);
    }
    assert_true(stats_of(db).flushes > 0);
    OK(velocity_close(db));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(a_range_takes_its_start_and_leaves_its_end_and_what_comes_later),
        TEST_IN_FOLDER(operations_of_a_batch_take_effect_in_their_order),
        TEST_IN_FOLDER(a_range_needs_two_keys_in_order),
        TEST_IN_FOLDER(a_batch_has_at_most_so_many_range_deletes),
        TEST_IN_FOLDER(a_covered_key_is_absent_for_conditions_and_for_later_ones_of_its_group),
        TEST_IN_FOLDER(a_snapshot_sees_what_it_saw_through_flush_and_compaction),
        TEST_IN_FOLDER(a_seek_passes_by_a_million_deleted_entries_in_tables),
        TEST_IN_FOLDER(a_seek_passes_by_deleted_entries_of_a_write_buffer),
        TEST_IN_FOLDER(ranges_that_join_are_passed_by_at_once_and_newer_entries_show),
        cmocka_unit_test(a_run_whose_entries_are_all_older_is_sought_not_walked),
        TEST_IN_FOLDER(a_lookup_below_a_range_delete_asks_no_filter),
        TEST_IN_FOLDER(covered_tables_go_with_the_flush_and_are_not_read),
        TEST_IN_FOLDER(what_a_snapshot_sees_does_not_go_before_the_snapshot),
        TEST_IN_FOLDER(an_idle_database_gets_rid_of_what_a_lone_range_delete_left),
        TEST_IN_FOLDER(an_idle_database_gets_rid_of_a_few_thousand_deleted_keys),
        TEST_IN_FOLDER(the_same_range_deleted_again_and_again_leaves_one_record),
        TEST_IN_FOLDER(nested_ranges_fill_the_write_buffer_until_it_is_switched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
