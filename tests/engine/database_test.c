/*
 * database_test.c - what velocity.h promises of reading, snapshots, iterators and maintenance, on the real disk.
 * Opening and closing is open_test.c's, reading many keys at once get_many_test.c's, concurrent writing write_test.c's.
 */
#include "engine/database.h"
#include "env_sim.h"
#include "testing.h"

/* ---- small words ---------------------------------------------------------------------------------------------------
 */

static velocity *open_with(const char *folder, void (*adjust)(velocity_options *)) {
    velocity_options options = velocity_options_default();
    options.durability = VELOCITY_DURABILITY_OS; /* nothing here cuts the power */
    if (adjust) adjust(&options);
    velocity *db;
    OK(velocity_open(folder, &options, &db));
    return db;
}

/* In the simulated environment no clock ticks: nothing is merged because the database happens to be idle. */
static velocity *open_still(env_sim **sim) {
    velocity *db;
    *sim = env_sim_new(1);
    OK(database_open(env_sim_env(*sim), "db", NULL, &db));
    return db;
}

static void small(velocity_options *options) {
    options->memtable_bytes = 64 << 10;
    options->table_bytes = 64 << 10;
    options->block_bytes = 1024;
    options->compaction_threshold = 2;
}

static velocity *reopen(velocity *db, const char *folder, void (*adjust)(velocity_options *)) {
    OK(velocity_close(db));
    return open_with(folder, adjust);
}

static void put(velocity *db, const char *key, const char *value) {
    OK(velocity_put(db, velocity_str(key), velocity_str(value)));
}

static void expect_at(velocity *db, const velocity_snapshot *snapshot, const char *key, const char *value) {
    velocity_read_options options = velocity_read_options_default();
    options.snapshot = snapshot;
    velocity_value v;
    if (!value) {
        assert_int_equal(velocity_get_with(db, &options, velocity_str(key), &v), VELOCITY_NOT_FOUND);
        return;
    }
    OK(velocity_get_with(db, &options, velocity_str(key), &v));
    assert_int_equal(v.size, strlen(value));
    assert_memory_equal(v.data, value, v.size);
    velocity_value_release(&v);
}

/* value NULL: absent. */
static void expect(velocity *db, const char *key, const char *value) {
    expect_at(db, NULL, key, value);
    assert_int_equal(velocity_contains(db, velocity_str(key)), value ? VELOCITY_OK : VELOCITY_NOT_FOUND);
}

/* Walks the iterator with `step` to its end: its keys, each with a blank behind. */
static const char *keys_of(velocity_iterator *it, void (*step)(velocity_iterator *)) {
    static char text[256];
    size_t used = 0;
    for (; velocity_iterator_valid(it); step(it)) {
        velocity_slice key = velocity_iterator_key(it);
        assert_true(used + key.size + 1 < sizeof text);
        memcpy(text + used, key.data, key.size);
        used += key.size;
        text[used++] = ' ';
    }
    OK(velocity_iterator_status(it));
    text[used] = 0;
    return text;
}

static void expect_keys(velocity *db, const velocity_range *range, const char *keys) {
    velocity_iterator *it = velocity_iterator_new(db, range);
    assert_string_equal(keys_of(it, velocity_iterator_next), keys);
    velocity_iterator_free(it);
}

/* ---- keys and values ------------------------------------------------------------------------------------------------
 */

static void what_was_put_is_read_from_buffer_table_and_after_reopening(void **state) {
    velocity *db = open_with(*state, NULL);
    put(db, "a", "1");
    put(db, "b", "2");
    put(db, "a", "3");
    expect(db, "a", "3");
    OK(velocity_flush(db));
    expect(db, "a", "3");
    expect(db, "b", "2");
    expect(db, "c", NULL);
    db = reopen(db, *state, NULL);
    expect(db, "a", "3");
    OK(velocity_compact(db, NULL));
    expect(db, "a", "3");
    OK(velocity_close(db));
}

static void a_deleted_key_stays_deleted_through_flush_compaction_and_reopening(void **state) {
    velocity *db = open_with(*state, NULL);
    put(db, "kept", "1");
    put(db, "gone", "old");
    OK(velocity_flush(db));
    OK(velocity_compact(db, NULL));
    OK(velocity_delete(db, velocity_str("gone")));
    OK(velocity_delete(db, velocity_str("never there")));
    expect(db, "gone", NULL);
    OK(velocity_flush(db));
    expect(db, "gone", NULL);
    db = reopen(db, *state, NULL);
    expect(db, "gone", NULL);
    OK(velocity_compact(db, NULL));
    expect(db, "gone", NULL);
    db = reopen(db, *state, NULL);
    expect(db, "gone", NULL);
    expect(db, "kept", "1");
    velocity_stats s = {.struct_size = sizeof s};
    OK(velocity_stats_get(db, &s));
    assert_int_equal(s.table_entries, 1); /* neither the old version nor the tombstones are left */
    OK(velocity_close(db));
}

static void keys_of_any_bytes_are_different_keys(void **state) {
    static const struct {
        const char *bytes;
        size_t size;
    } keys[] = {{"\0", 1},
                {"\0\0", 2},
                {"\0\0\0\0\0", 5},
                {"a", 1},
                {"a\0", 2},
                {"a\0\0\0\0\0", 6},
                {"a\0\0\0b", 5},
                {"\xff", 1},
                {"\xff\0\xff", 3},
                {"\xff\xff", 2},
                {"\xff\xff\xff\xff\xff", 5}};
    enum { KEYS = sizeof keys / sizeof *keys };
    velocity *db = open_with(*state, NULL);
    for (int round = 0; round < 3; round++) {
        if (round == 1) OK(velocity_flush(db));
        if (round == 2) db = reopen(db, *state, NULL);
        for (uint32_t i = 0; i < KEYS; i++) {
            velocity_slice key = velocity_bytes(keys[i].bytes, keys[i].size);
            if (round == 0) OK(velocity_put(db, key, velocity_bytes(&i, sizeof i)));
        }
        for (uint32_t i = 0; i < KEYS; i++) {
            velocity_value v;
            OK(velocity_get(db, velocity_bytes(keys[i].bytes, keys[i].size), &v));
            assert_int_equal(v.size, sizeof i);
            assert_memory_equal(v.data, &i, sizeof i);
            velocity_value_release(&v);
        }
        velocity_iterator *it = velocity_iterator_new(db, NULL);
        for (uint32_t i = 0; i < KEYS; i++, velocity_iterator_next(it)) {
            assert_true(velocity_iterator_valid(it));
            assert_int_equal(velocity_iterator_key(it).size, keys[i].size);
            assert_memory_equal(velocity_iterator_key(it).data, keys[i].bytes, keys[i].size);
        }
        assert_false(velocity_iterator_valid(it));
        velocity_iterator_free(it);
    }
    OK(velocity_close(db));
}

static void limits_of_keys_and_values_are_those_documented(void **state) {
    velocity *db = open_with(*state, NULL);
    uint8_t *key = calloc(1, VELOCITY_MAX_KEY_BYTES + 1);
    velocity_value v;
    FAILS(VELOCITY_INVALID, "65535", velocity_put(db, velocity_bytes(key, 0), velocity_str("v")));
    FAILS(VELOCITY_INVALID, "65536", velocity_put(db, velocity_bytes(key, 65536), velocity_str("v")));
    FAILS(VELOCITY_INVALID, "1073741824", velocity_put(db, velocity_str("k"), velocity_bytes(key, (1u << 30) + 1)));
    FAILS(VELOCITY_INVALID, "65536", velocity_get(db, velocity_bytes(key, 65536), &v));
    FAILS(VELOCITY_INVALID, "65536", velocity_delete(db, velocity_bytes(key, 65536)));
    for (uint8_t last = 0; last < 20; last++) {
        key[VELOCITY_MAX_KEY_BYTES - 1] = last;
        OK(velocity_put(db, velocity_bytes(key, VELOCITY_MAX_KEY_BYTES), velocity_bytes(&last, 1)));
    }
    OK(velocity_put(db, velocity_str("empty"), velocity_bytes(NULL, 0)));
    for (int round = 0; round < 2; round++) {
        for (uint8_t last = 0; last < 20; last++) {
            key[VELOCITY_MAX_KEY_BYTES - 1] = last;
            OK(velocity_get(db, velocity_bytes(key, VELOCITY_MAX_KEY_BYTES), &v));
            assert_int_equal(*(const uint8_t *)v.data, last);
            velocity_value_release(&v);
        }
        OK(velocity_get(db, velocity_str("empty"), &v));
        assert_int_equal(v.size, 0);
        velocity_value_release(&v);
        OK(velocity_flush(db));
    }
    free(key);
    OK(velocity_close(db));
}

static void a_value_of_64_MiB_comes_back_whole(void **state) {
    enum { BYTES = 64 << 20 };
    velocity *db = open_with(*state, NULL);
    uint8_t *bytes = malloc(BYTES);
    uint64_t random = 64;
    for (size_t i = 0; i < BYTES; i += 8) {
        uint64_t word = next_random(&random);
        memcpy(bytes + i, &word, 8);
    }
    OK(velocity_put(db, velocity_str("large"), velocity_bytes(bytes, BYTES)));
    put(db, "small", "1");
    for (int round = 0; round < 3; round++) {
        velocity_value v;
        OK(velocity_get(db, velocity_str("large"), &v));
        assert_int_equal(v.size, BYTES);
        assert_true(memcmp(v.data, bytes, BYTES) == 0);
        velocity_value_release(&v);
        expect(db, "small", "1");
        if (round == 0) db = reopen(db, *state, NULL);
        if (round == 1) OK(velocity_compact(db, NULL));
    }
    free(bytes);
    OK(velocity_close(db));
}

static void flags_and_version_come_with_the_value_wherever_it_lies(void **state) {
    velocity *db = open_with(*state, NULL);
    char long_value[VELOCITY_VALUE_INLINE_BYTES + 1] = {'x'};
    velocity_batch *batch = velocity_batch_new();
    velocity_put_options options = velocity_put_options_default();
    options.flags = 0xabcdef01;
    velocity_batch_put(batch, velocity_str("short"), velocity_str("s"), &options);
    velocity_batch_put(batch, velocity_str("long"), velocity_bytes(long_value, sizeof long_value), &options);
    uint64_t last;
    OK(velocity_write(db, batch, NULL, &last));
    velocity_batch_free(batch);
    for (int round = 0; round < 3; round++) {
        velocity_value v;
        OK(velocity_get(db, velocity_str("short"), &v));
        assert_int_equal(v.flags, 0xabcdef01);
        assert_int_equal(v.sequence, last - 1);
        assert_int_equal(v.expires_at_ms, 0);
        velocity_value_release(&v);
        OK(velocity_get(db, velocity_str("long"), &v));
        assert_int_equal(v.flags, 0xabcdef01);
        assert_int_equal(v.sequence, last);
        assert_int_equal(v.size, sizeof long_value);
        velocity_value_release(&v);
        velocity_value_release(&v); /* harmless */
        if (round == 0) OK(velocity_compact(db, NULL));
        if (round == 1) db = reopen(db, *state, NULL);
    }
    OK(velocity_close(db));
}

/* ---- snapshots ------------------------------------------------------------------------------------------------------
 */

static void a_snapshot_keeps_its_versions_through_flush_and_compaction(void **state) {
    velocity *db = open_with(*state, NULL);
    put(db, "k", "1");
    put(db, "deleted later", "here");
    velocity_snapshot *one = velocity_snapshot_new(db);
    put(db, "k", "2");
    put(db, "k", "3");
    OK(velocity_delete(db, velocity_str("deleted later")));
    velocity_snapshot *two = velocity_snapshot_new(db);
    put(db, "k", "4");
    put(db, "new", "5");
    for (int round = 0; round < 3; round++) {
        expect_at(db, one, "k", "1");
        expect_at(db, one, "deleted later", "here");
        expect_at(db, one, "new", NULL);
        expect_at(db, two, "k", "3");
        expect_at(db, two, "deleted later", NULL);
        expect(db, "k", "4");
        velocity_range range = velocity_range_default();
        range.snapshot = one;
        expect_keys(db, &range, "deleted later k ");
        range.snapshot = two;
        expect_keys(db, &range, "k ");
        if (round == 0) OK(velocity_flush(db));
        if (round == 1) OK(velocity_compact(db, NULL));
    }
    assert_true(velocity_snapshot_sequence(one) < velocity_snapshot_sequence(two));
    velocity_snapshot_free(one);
    expect_at(db, two, "k", "3");
    velocity_snapshot_free(two);
    put(db, "new", "6");
    OK(velocity_compact(db, NULL));
    velocity_stats s = {.struct_size = sizeof s};
    OK(velocity_stats_get(db, &s));
    assert_int_equal(s.table_entries, 2); /* with nobody to see them, old versions went */
    OK(velocity_close(db));
}

/* ---- iterators ------------------------------------------------------------------------------------------------------
 */

static velocity *fruit(const char *folder) {
    velocity *db = open_with(folder, NULL);
    put(db, "fig", "1");
    put(db, "apple", "1");
    put(db, "plum", "1");
    OK(velocity_compact(db, NULL)); /* some in the last level, some in level 0, some in the buffer */
    put(db, "banana", "1");
    OK(velocity_delete(db, velocity_str("plum")));
    OK(velocity_flush(db));
    put(db, "pear", "1");
    put(db, "peach", "1");
    OK(velocity_delete(db, velocity_str("banana")));
    return db;
}

static void a_range_is_start_end_and_prefix_together_in_both_directions(void **state) {
    velocity *db = fruit(*state);
    velocity_range range = velocity_range_default();
    expect_keys(db, NULL, "apple fig peach pear ");
    range.reverse = true;
    expect_keys(db, &range, "pear peach fig apple ");
    range.start = velocity_str("b");
    range.end = velocity_str("pear");
    expect_keys(db, &range, "peach fig ");
    range.reverse = false;
    expect_keys(db, &range, "fig peach ");
    range.prefix = velocity_str("pea");
    expect_keys(db, &range, "peach ");
    range.start = range.end = velocity_bytes(NULL, 0);
    expect_keys(db, &range, "peach pear ");
    range.reverse = true;
    expect_keys(db, &range, "pear peach ");
    range.prefix = velocity_str("\xff");
    expect_keys(db, &range, "");
    OK(velocity_close(db));
}

static void an_iterator_turns_round_and_seeks_and_comes_back_from_either_end(void **state) {
    velocity *db = fruit(*state);
    for (int reverse = 0; reverse < 2; reverse++) {
        velocity_range range = velocity_range_default();
        range.reverse = reverse;
        velocity_iterator *it = velocity_iterator_new(db, &range);
        velocity_iterator_next(it);
        velocity_iterator_next(it);
        assert_int_equal(velocity_iterator_key(it).size, reverse ? 3 : 5); /* fig, or peach */
        velocity_iterator_prev(it);
        velocity_iterator_next(it);
        velocity_iterator_prev(it);
        assert_string_equal(keys_of(it, velocity_iterator_prev), reverse ? "peach pear " : "fig apple ");
        velocity_iterator_seek(it, velocity_str("g"));
        assert_string_equal(keys_of(it, velocity_iterator_next), reverse ? "fig apple " : "peach pear ");
        velocity_iterator_seek(it, velocity_str("fig"));
        assert_string_equal(keys_of(it, velocity_iterator_next), reverse ? "fig apple " : "fig peach pear ");
        velocity_iterator_seek(it, velocity_str(reverse ? "a" : "z"));
        assert_false(velocity_iterator_valid(it));
        OK(velocity_iterator_status(it));
        velocity_iterator_free(it);
    }
    OK(velocity_close(db));
}

static void an_iterator_shows_one_instant_whatever_is_written_meanwhile(void **state) {
    velocity *db = open_with(*state, small);
    char key[16], value[200];
    memset(value, 'v', sizeof value);
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(key, sizeof key, "%05d", i * 2);
        OK(velocity_put(db, velocity_str(key), velocity_bytes(value, 100)));
    }
    velocity_iterator *it = velocity_iterator_new(db, NULL);
    uint64_t instant = velocity_iterator_snapshot_sequence(it);
    for (int i = 0; i < 1000; i++) { /* between each two steps: an insert before, an overwrite and a delete ahead */
        assert_true(velocity_iterator_valid(it));
        (void)snprintf(key, sizeof key, "%05d", i * 2);
        assert_memory_equal(velocity_iterator_key(it).data, key, 5);
        assert_int_equal(velocity_iterator_value(it).size, 100);
        assert_true(velocity_iterator_sequence(it) <= instant);
        (void)snprintf(key, sizeof key, "%05d", i * 2 + 1);
        OK(velocity_put(db, velocity_str(key), velocity_bytes(value, sizeof value)));
        (void)snprintf(key, sizeof key, "%05d", 1998 - i);
        OK(i % 2 ? velocity_delete(db, velocity_str(key))
                 : velocity_put(db, velocity_str(key), velocity_bytes(value, sizeof value)));
        velocity_iterator_next(it);
    }
    assert_false(velocity_iterator_valid(it));
    OK(velocity_iterator_status(it));
    velocity_iterator_free(it);
    OK(velocity_close(db));
}

static void keys_only_tells_the_size_without_the_value(void **state) {
    velocity *db = open_with(*state, NULL);
    put(db, "k", "value");
    velocity_range range = velocity_range_default();
    range.keys_only = true;
    velocity_iterator *it = velocity_iterator_new(db, &range);
    assert_int_equal(velocity_iterator_value_size(it), 5);
    assert_int_equal(velocity_iterator_value(it).size, 0);
    velocity_iterator_free(it);
    OK(velocity_close(db));
}

/* ---- the cache, maintenance -----------------------------------------------------------------------------------------
 */

static void cache_only_answers_incomplete_until_the_block_was_read(void **state) {
    velocity *db = open_with(*state, NULL);
    put(db, "cold", "1");
    OK(velocity_flush(db));
    db = reopen(db, *state, NULL);
    put(db, "warm", "2");
    velocity_read_options options = velocity_read_options_default();
    options.cache_only = true;
    velocity_value v;
    assert_int_equal(velocity_get_with(db, &options, velocity_str("cold"), &v), VELOCITY_INCOMPLETE);
    OK(velocity_get_with(db, &options, velocity_str("warm"), &v));
    velocity_value_release(&v);
    expect(db, "cold", "1");
    OK(velocity_get_with(db, &options, velocity_str("cold"), &v));
    velocity_value_release(&v);
    OK(velocity_close(db));
}

static void what_a_range_compaction_is_not_asked_for_stays_where_it_is(void **state) {
    (void)state;
    env_sim *sim;
    velocity *db = open_still(&sim);
    put(db, "a1", "1");
    put(db, "a2", "1");
    OK(velocity_flush(db));
    put(db, "b1", "1");
    put(db, "b1", "2");
    OK(velocity_flush(db));
    velocity_range range = velocity_range_default();
    range.prefix = velocity_str("b");
    OK(velocity_compact(db, &range));
    velocity_stats s = {.struct_size = sizeof s};
    OK(velocity_stats_get(db, &s));
    assert_int_equal(s.level_tables[0], 1);
    assert_int_equal(s.level_tables[VELOCITY_LEVELS - 1], 1);
    expect(db, "a2", "1");
    expect(db, "b1", "2");
    OK(velocity_close(db));
    env_sim_free(sim);
}

static void figures_add_up(void **state) {
    (void)state;
    env_sim *sim;
    velocity *db = open_still(&sim);
    velocity_stats s = {.struct_size = sizeof s};
    put(db, "a", "123");
    put(db, "b", "123");
    expect_at(db, NULL, "a", "123");
    expect_at(db, NULL, "c", NULL);
    velocity_snapshot *snapshot = velocity_snapshot_new(db);
    OK(velocity_stats_get(db, &s));
    assert_int_equal(s.last_sequence, 2);
    assert_int_equal(s.writes, 2);
    assert_int_equal(s.write_operations, 2);
    assert_int_equal(s.gets, 2);
    assert_int_equal(s.get_hits, 1);
    assert_int_equal(s.memtable_entries, 2);
    assert_int_equal(s.snapshots, 1);
    assert_int_equal(s.live_handles, 1);
    assert_true(s.log_bytes_written > 8 && s.log_live_bytes >= s.log_bytes_written);
    assert_true(s.cache_capacity_bytes == 64 << 20 && s.cache_used_bytes <= s.cache_capacity_bytes);
    assert_false(s.read_only || s.out_of_space);
    velocity_snapshot_free(snapshot);
    OK(velocity_flush(db));
    expect_at(db, NULL, "b", "123");
    OK(velocity_stats_get(db, &s));
    assert_int_equal(s.flushes, 1);
    assert_int_equal(s.memtable_entries, 0);
    assert_int_equal(s.level_tables[0], 1);
    assert_int_equal(s.table_entries, 2);
    assert_int_equal(s.table_raw_bytes, 8);
    assert_int_equal(s.table_bytes, s.level_bytes[0]);
    assert_int_equal(s.flush_bytes_written, s.table_bytes);
    assert_int_equal(s.open_tables, 1);
    assert_int_equal(s.filter_checks, 1);
    velocity_stats part = {.struct_size = offsetof(velocity_stats, writes), .writes = 77};
    OK(velocity_stats_get(db, &part));
    assert_int_equal(part.last_sequence, 2);
    assert_int_equal(part.writes, 77); /* past what the caller says it knows: not touched */
    OK(velocity_close(db));
    env_sim_free(sim);
}

/* A long random life, against an array. */
static void a_random_life_equals_an_array(void **state) {
    enum { KEYS = 700, STEPS = 12000 };
    static uint32_t values[KEYS]; /* 0: absent */
    velocity *db = open_with(*state, small);
    uint64_t random = 4711;
    char key[24];
    uint8_t value[400] = {0};
    for (uint32_t step = 1; step <= STEPS; step++) {
        size_t k = below(&random, KEYS);
        (void)snprintf(key, sizeof key, "key:%zu", k * k);
        if (below(&random, 4)) {
            memcpy(value, &step, 4);
            OK(velocity_put(db, velocity_str(key), velocity_bytes(value, 4 + below(&random, 390))));
            values[k] = step;
        } else {
            OK(velocity_delete(db, velocity_str(key)));
            values[k] = 0;
        }
        if (step % 3000 == 0) OK(velocity_compact(db, NULL));
        if (step % 4500 == 0) db = reopen(db, *state, small);
        if (step % 1000) continue;
        size_t present = 0, shown = 0;
        for (size_t i = 0; i < KEYS; i++) {
            velocity_value v;
            (void)snprintf(key, sizeof key, "key:%zu", i * i);
            velocity_status status = velocity_get(db, velocity_str(key), &v);
            assert_int_equal(status, values[i] ? VELOCITY_OK : VELOCITY_NOT_FOUND);
            if (status) continue;
            assert_memory_equal(v.data, &values[i], 4);
            velocity_value_release(&v);
            present++;
        }
        velocity_iterator *it = velocity_iterator_new(db, NULL);
        for (; velocity_iterator_valid(it); velocity_iterator_next(it)) shown++;
        OK(velocity_iterator_status(it));
        velocity_iterator_free(it);
        assert_int_equal(shown, present);
    }
    OK(velocity_close(db));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(what_was_put_is_read_from_buffer_table_and_after_reopening),
        TEST_IN_FOLDER(a_deleted_key_stays_deleted_through_flush_compaction_and_reopening),
        TEST_IN_FOLDER(keys_of_any_bytes_are_different_keys),
        TEST_IN_FOLDER(limits_of_keys_and_values_are_those_documented),
        TEST_IN_FOLDER(a_value_of_64_MiB_comes_back_whole),
        TEST_IN_FOLDER(flags_and_version_come_with_the_value_wherever_it_lies),
        TEST_IN_FOLDER(a_snapshot_keeps_its_versions_through_flush_and_compaction),
        TEST_IN_FOLDER(a_range_is_start_end_and_prefix_together_in_both_directions),
        TEST_IN_FOLDER(an_iterator_turns_round_and_seeks_and_comes_back_from_either_end),
        TEST_IN_FOLDER(an_iterator_shows_one_instant_whatever_is_written_meanwhile),
        TEST_IN_FOLDER(keys_only_tells_the_size_without_the_value),
        TEST_IN_FOLDER(cache_only_answers_incomplete_until_the_block_was_read),
        cmocka_unit_test(what_a_range_compaction_is_not_asked_for_stays_where_it_is),
        cmocka_unit_test(figures_add_up),
        TEST_IN_FOLDER(a_random_life_equals_an_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
