/*
 * values_test.c - values that stand apart: they are what was put, whatever happens to the files that hold them; what is
 * no longer referred to is reclaimed without anybody asking, and little is written for it.
 */
#include "engine/database.h"
#include "env_sim.h"
#include "testing.h"

#include <unistd.h>

enum { VALUE_BYTES = 4096, THRESHOLD = 1000 };

static velocity_options small_options(void) {
    velocity_options options = velocity_options_default();
    options.memtable_bytes = 1 << 20;
    options.table_bytes = 256 << 10;
    options.compaction_threshold = 4;
    options.value_log_threshold = THRESHOLD;
    options.durability = VELOCITY_DURABILITY_OS;
    return options;
}

static velocity *open_small(const char *folder) {
    velocity_options options = small_options();
    velocity *db;
    OK(velocity_open(folder, &options, &db));
    return db;
}

/* Bytes that no compressor shrinks, different for each key and generation. */
static velocity_slice value_of(uint8_t *space, size_t size, uint32_t key, uint32_t generation) {
    uint64_t random = ((uint64_t)key << 32 | generation) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (size_t i = 0; i + 8 <= size; i += 8) {
        uint64_t word = next_random(&random);
        memcpy(space + i, &word, 8);
    }
    return velocity_bytes(space, size);
}

static velocity_slice key_of(char text[16], uint32_t i) {
    (void)snprintf(text, 16, "key%08u", i);
    return velocity_str(text);
}

static void put(velocity *db, uint32_t key, uint32_t generation, size_t size) {
    static uint8_t space[64 << 10];
    char text[16];
    OK(velocity_put(db, key_of(text, key), value_of(space, size, key, generation)));
}

static void expect(velocity *db, uint32_t key, uint32_t generation, size_t size) {
    static uint8_t space[64 << 10];
    char text[16];
    velocity_value value;
    OK(velocity_get(db, key_of(text, key), &value));
    assert_int_equal(value.size, size);
    assert_memory_equal(value.data, value_of(space, size, key, generation).data, size);
    velocity_value_release(&value);
}

static velocity_stats stats_of(velocity *db) {
    velocity_stats stats = {.struct_size = sizeof stats};
    OK(velocity_stats_get(db, &stats));
    return stats;
}

static void settle(velocity *db) {
    for (int i = 0; i < 20000; i++) {
        if (stats_of(db).background_jobs == 0) return;
        env_sleep_us(1000);
    }
    fail_msg("background work does not end");
}

/* ---- space and writing --------------------------------------------------------------------------------------------
 */

static void overwriting_at_random_writes_little_and_garbage_is_reclaimed_by_itself(void **state) {
    enum { KEYS = 2000, PUTS = 30000 };
    static uint32_t generations[KEYS];
    uint64_t random = 3;
    velocity *db = open_small(*state);
    for (uint32_t i = 0; i < PUTS; i++) {
        uint32_t key = i < KEYS ? i : (uint32_t)below(&random, KEYS);
        put(db, key, generations[key] = i, VALUE_BYTES);
    }
    OK(velocity_flush(db));
    settle(db);
    velocity_stats stats = stats_of(db);
    double amplification =
        (double)(stats.flush_bytes_written + stats.compaction_bytes_written) / (double)stats.write_bytes;
    if (getenv("TELL"))
        printf("written %.2f times, value files %.2f times the live bytes, %llu files\n", amplification,
               (double)stats.value_bytes / (KEYS * (double)VALUE_BYTES), (unsigned long long)stats.value_files);
    assert_true(amplification < 2);
    assert_true(stats.value_garbage_bytes * 2 <= stats.value_bytes);
    for (uint32_t key = 0; key < KEYS; key++) expect(db, key, generations[key], VALUE_BYTES);
    OK(velocity_compact(db, NULL)); /* now no table refers to what was overwritten */
    settle(db);
    stats = stats_of(db);
    assert_true(stats.value_bytes <= 2 * KEYS * (uint64_t)(VALUE_BYTES + 60));
    for (uint32_t key = 0; key < KEYS; key++) expect(db, key, generations[key], VALUE_BYTES);
    OK(velocity_close(db));
    assert_int_equal(files_ending(*state, ".val", NULL), stats.value_files);
}

static void at_the_size_limit_values_that_are_no_longer_there_make_room(void **state) {
    enum { KEYS_MOST = 20000 };
    velocity_options options = small_options();
    options.max_database_bytes = 32 << 20;
    velocity *db;
    char text[16];
    uint8_t space[VALUE_BYTES];
    OK(velocity_open(*state, &options, &db));
    uint32_t keys = 0;
    velocity_status status = VELOCITY_OK;
    for (; !status; keys++) {
        assert_true(keys < KEYS_MOST);
        status = velocity_put(db, key_of(text, keys), value_of(space, sizeof space, keys, 0));
    }
    assert_int_equal(status, VELOCITY_NO_SPACE);
    for (uint32_t i = 0; i < keys; i++) /* less than would be reclaimed otherwise */
        if (i % 10 < 3) OK(velocity_delete(db, key_of(text, i)));
    for (uint32_t i = 0, tries = 0; i < keys; i += 5, tries = 0) { /* as much as two thirds of what was deleted */
        velocity_slice value = value_of(space, sizeof space, i, 1);
        while ((status = velocity_put(db, key_of(text, i), value)) == VELOCITY_NO_SPACE && tries++ < 100)
            env_sleep_us(100000);
        OK(status);
    }
    assert_true(stats_of(db).disk_bytes <= options.max_database_bytes);
    OK(velocity_close(db));
}

static void when_everything_is_deleted_no_value_file_remains(void **state) {
    char text[16];
    velocity *db = open_small(*state);
    for (uint32_t i = 0; i < 1000; i++) put(db, i, 0, VALUE_BYTES);
    OK(velocity_flush(db));
    assert_true(stats_of(db).value_files > 0);
    for (uint32_t i = 0; i < 1000; i++) OK(velocity_delete(db, key_of(text, i)));
    OK(velocity_compact(db, NULL));
    settle(db);
    assert_int_equal(stats_of(db).value_files, 0);
    OK(velocity_close(db));
    assert_int_equal(files_ending(*state, ".val", NULL), 0);
}

static void moving_a_value_changes_neither_version_nor_flags_nor_what_a_snapshot_sees(void **state) {
    enum { KEYS = 600 };
    velocity *db = open_small(*state);
    velocity_put_options flagged = velocity_put_options_default();
    velocity_batch *batch = velocity_batch_new();
    uint8_t space[VALUE_BYTES];
    uint64_t sequences[KEYS];
    char text[16];
    for (uint32_t i = 0; i < KEYS; i++) {
        flagged.flags = i;
        velocity_batch_clear(batch);
        velocity_batch_put(batch, key_of(text, i), value_of(space, sizeof space, i, 0), &flagged);
        OK(velocity_write(db, batch, NULL, &sequences[i]));
    }
    OK(velocity_flush(db));
    velocity_snapshot *before = velocity_snapshot_new(db);
    for (uint32_t i = 0; i < KEYS; i++)
        if (i % 4) put(db, i, 1, VALUE_BYTES);
    OK(velocity_compact(db, NULL));
    velocity_read_options at = velocity_read_options_default();
    at.snapshot = before;
    for (uint32_t i = 0; i < KEYS; i++) {
        velocity_value value;
        OK(velocity_get_with(db, &at, key_of(text, i), &value));
        assert_true(value.sequence == sequences[i] && value.flags == i && value.size == VALUE_BYTES);
        assert_memory_equal(value.data, value_of(space, sizeof space, i, 0).data, VALUE_BYTES);
        velocity_value_release(&value);
    }
    velocity_snapshot_free(before);
    char first[64], now[64];
    files_sorted(*state, ".val", 0, first);
    for (uint32_t i = 0; i < KEYS; i++) /* what the snapshot saw goes, and the rest of its files moves */
        if (i % 4) OK(velocity_delete(db, key_of(text, i)));
    OK(velocity_compact(db, NULL));
    settle(db);
    OK(velocity_close(db));
    files_sorted(*state, ".val", 0, now);
    assert_string_not_equal(first, now);
    db = open_small(*state);
    for (uint32_t i = 0; i < KEYS; i += 4) {
        velocity_value value;
        OK(velocity_get(db, key_of(text, i), &value));
        assert_true(value.sequence == sequences[i] && value.flags == i);
        assert_memory_equal(value.data, value_of(space, sizeof space, i, 0).data, VALUE_BYTES);
        velocity_value_release(&value);
    }
    OK(velocity_close(db));
    velocity_batch_free(batch);
}

static void an_iterator_reads_on_in_files_that_are_reclaimed_meanwhile(void **state) {
    enum { KEYS = 500 };
    uint8_t space[VALUE_BYTES];
    velocity *db = open_small(*state);
    for (uint32_t i = 0; i < KEYS; i++) put(db, i, 0, VALUE_BYTES);
    OK(velocity_flush(db));
    velocity_iterator *it = velocity_iterator_new(db, NULL);
    for (uint32_t i = 0; i < KEYS; i++) put(db, i, 1, VALUE_BYTES);
    OK(velocity_compact(db, NULL));
    settle(db);
    for (uint32_t i = 0; i < KEYS; i++, velocity_iterator_next(it)) {
        assert_true(velocity_iterator_valid(it));
        assert_int_equal(velocity_iterator_value_size(it), VALUE_BYTES);
        velocity_slice value = velocity_iterator_value(it), again = velocity_iterator_value(it);
        assert_int_equal(value.size, VALUE_BYTES);
        assert_memory_equal(value.data, value_of(space, sizeof space, i, 0).data, VALUE_BYTES);
        assert_ptr_equal(value.data, again.data);
    }
    assert_false(velocity_iterator_valid(it));
    velocity_iterator_free(it);
    OK(velocity_close(db));
    db = open_small(*state);
    assert_int_equal(files_ending(*state, ".val", NULL), stats_of(db).value_files);
    for (uint32_t i = 0; i < KEYS; i++) expect(db, i, 1, VALUE_BYTES);
    OK(velocity_close(db));
}

static void merging_carries_values_over_to_a_new_key_and_to_none(void **state) {
    static const char *const keys[] = {"the first of two keys, 32 bytes.", "the second of them, 32 bytes too", NULL};
    enum { KEYS = 200 };
    velocity_options options = small_options();
    velocity_slice old;
    velocity *db;
    for (int life = 0; life < 3; life++) {
        options.encryption_key = velocity_bytes(keys[life], keys[life] ? 32 : 0);
        if (life > 0) {
            old = velocity_bytes(keys[life - 1], 32);
            options.old_encryption_keys = &old;
            options.old_encryption_key_count = 1;
        }
        OK(velocity_open(*state, &options, &db));
        for (uint32_t i = 0; life == 0 && i < KEYS; i++) put(db, i, 0, VALUE_BYTES);
        OK(velocity_compact(db, NULL));
        settle(db);
        assert_int_equal(stats_of(db).files_with_old_key, 0);
        for (uint32_t i = 0; i < KEYS; i++) expect(db, i, 0, VALUE_BYTES);
        OK(velocity_close(db));
    }
    options.old_encryption_key_count = 0;
    OK(velocity_open(*state, &options, &db));
    for (uint32_t i = 0; i < KEYS; i++) expect(db, i, 0, VALUE_BYTES);
    OK(velocity_close(db));
}

static void a_checkpoint_has_its_values_also_when_the_database_has_given_them_up(void **state) {
    enum { KEYS = 200 };
    const char *copy = path_in(*state, "copy");
    velocity *db = open_small(path_in(*state, "original"));
    for (uint32_t i = 0; i < KEYS; i++) put(db, i, 0, VALUE_BYTES);
    OK(velocity_flush(db));
    OK(velocity_checkpoint(db, copy));
    for (uint32_t i = 0; i < KEYS; i++) put(db, i, 1, VALUE_BYTES);
    OK(velocity_compact(db, NULL));
    settle(db);
    OK(velocity_close(db));
    db = open_small(copy);
    for (uint32_t i = 0; i < KEYS; i++) expect(db, i, 0, VALUE_BYTES);
    OK(velocity_close(db));
}

/* ---- sizes ---------------------------------------------------------------------------------------------------------
 */

static void the_option_decides_by_size_and_may_change(void **state) {
    velocity_options options = small_options();
    velocity *db = open_small(*state);
    put(db, 1, 0, THRESHOLD);
    put(db, 2, 0, THRESHOLD - 8);
    OK(velocity_flush(db));
    assert_int_equal(stats_of(db).value_files, 1);
    assert_int_equal(stats_of(db).value_bytes, 40 + 11 + THRESHOLD);
    OK(velocity_close(db));
    options.value_log_threshold = 0;
    OK(velocity_open(*state, &options, &db));
    put(db, 3, 0, VALUE_BYTES);
    OK(velocity_flush(db));
    assert_int_equal(stats_of(db).value_files, 1);
    for (uint32_t i = 1; i <= 3; i++) expect(db, i, 0, i == 1 ? THRESHOLD : i == 2 ? THRESHOLD - 8 : VALUE_BYTES);
    OK(velocity_close(db));
    options.value_log_threshold = 500; /* what merges rewrite goes apart now */
    OK(velocity_open(*state, &options, &db));
    put(db, 0, 0, 400); /* a table that overlaps the others: they are merged */
    put(db, 4, 0, 400);
    OK(velocity_compact(db, NULL));
    assert_int_equal(stats_of(db).value_bytes, 3 * (40 + 11) + 2 * THRESHOLD - 8 + VALUE_BYTES);
    for (uint32_t i = 1; i <= 3; i++) expect(db, i, 0, i == 1 ? THRESHOLD : i == 2 ? THRESHOLD - 8 : VALUE_BYTES);
    expect(db, 4, 0, 400);
    OK(velocity_close(db));
    options.value_log_threshold = 31;
    FAILS(VELOCITY_INVALID, "value_log_threshold", velocity_open(*state, &options, &db));
}

static void a_value_far_larger_than_the_cache_is_read_and_wipes_nothing(void **state) {
    enum { LARGE = 40 << 20 };
    velocity_options options = small_options();
    options.memtable_bytes = 64 << 20;
    options.cache_bytes = 8 << 20;
    velocity *db;
    velocity_value value;
    OK(velocity_open(*state, &options, &db));
    uint8_t *bytes = malloc(LARGE);
    assert_non_null(bytes);
    OK(velocity_put(db, velocity_str("large"), value_of(bytes, LARGE, 1, 1)));
    for (uint32_t i = 0; i < 20; i++) put(db, i, 0, VALUE_BYTES);
    OK(velocity_flush(db));
    for (uint32_t i = 0; i < 20; i++) expect(db, i, 0, VALUE_BYTES);
    for (int round = 0; round < 2; round++) {
        OK(velocity_get(db, velocity_str("large"), &value));
        assert_int_equal(value.size, LARGE);
        assert_memory_equal(value.data, bytes, LARGE);
        velocity_value_release(&value);
    }
    velocity_read_options cached = velocity_read_options_default();
    cached.cache_only = true;
    char text[16];
    for (uint32_t i = 0; i < 20; i++) {
        OK(velocity_get_with(db, &cached, key_of(text, i), &value));
        velocity_value_release(&value);
    }
    assert_int_equal(velocity_get_with(db, &cached, velocity_str("large"), &value), VELOCITY_INCOMPLETE);
    free(bytes);
    OK(velocity_close(db));
}

/* ---- what reads touch ----------------------------------------------------------------------------------------------
 */

static velocity *open_in(env_sim *sim) {
    velocity_options options = small_options();
    velocity *db;
    OK(database_open(env_sim_env(sim), "db", &options, &db));
    return db;
}

static void keys_and_sizes_are_told_without_touching_value_files(void **state) {
    (void)state;
    env_sim *sim = env_sim_new(1);
    velocity *db = open_in(sim);
    for (uint32_t i = 0; i < 50; i++) put(db, i, 0, VALUE_BYTES);
    OK(velocity_flush(db));
    OK(velocity_close(db));
    db = open_in(sim);
    velocity_range range = velocity_range_default();
    expect(db, 0, 0, VALUE_BYTES); /* the table's blocks are in the cache: what is read now is values */
    env_sim_fail(sim, ENV_SIM_READ, 1);
    for (int keys_only = 0; keys_only < 2; keys_only++) {
        range.keys_only = keys_only;
        velocity_iterator *it = velocity_iterator_new(db, &range);
        uint32_t rows = 0;
        for (; velocity_iterator_valid(it); velocity_iterator_next(it), rows++) {
            assert_int_equal(velocity_iterator_value_size(it), VALUE_BYTES);
            if (keys_only) assert_int_equal(velocity_iterator_value(it).size, 0);
        }
        assert_int_equal(rows, 50);
        velocity_iterator_free(it);
    }
    char text[16];
    OK(velocity_contains(db, key_of(text, 7)));
    assert_false(env_sim_failed(sim, ENV_SIM_READ));
    velocity_value value;
    assert_int_equal(velocity_get(db, key_of(text, 7), &value), VELOCITY_IO);
    expect(db, 7, 0, VALUE_BYTES);
    OK(velocity_close(db));
    env_sim_free(sim);
}

static void cache_only_answers_incomplete_until_the_value_was_read_with_the_cache(void **state) {
    (void)state;
    env_sim *sim = env_sim_new(1);
    velocity *db = open_in(sim);
    put(db, 1, 0, VALUE_BYTES);
    OK(velocity_flush(db));
    velocity_read_options cached = velocity_read_options_default(), past = velocity_read_options_default();
    cached.cache_only = true;
    past.fill_cache = false;
    velocity_value value;
    velocity_status status;
    velocity_slice key = velocity_str("key00000001");
    OK(velocity_contains(db, key)); /* the table is in the cache */
    assert_int_equal(velocity_get_with(db, &cached, key, &value), VELOCITY_INCOMPLETE);
    OK(velocity_get_with(db, &past, key, &value));
    velocity_value_release(&value);
    assert_int_equal(velocity_get_with(db, &cached, key, &value), VELOCITY_INCOMPLETE);
    assert_int_equal(velocity_get_many(db, &cached, 1, &key, &value, &status), VELOCITY_INCOMPLETE);
    expect(db, 1, 0, VALUE_BYTES);
    OK(velocity_get_with(db, &cached, key, &value));
    assert_int_equal(value.size, VALUE_BYTES);
    velocity_value_release(&value);
    OK(velocity_close(db));
    env_sim_free(sim);
}

static void a_value_that_cannot_be_read_ends_the_iterator_and_the_next_one_reads_it(void **state) {
    (void)state;
    env_sim *sim = env_sim_new(1);
    velocity *db = open_in(sim);
    for (uint32_t i = 0; i < 5; i++) put(db, i, 0, VALUE_BYTES);
    OK(velocity_flush(db));
    for (int reverse = 0; reverse < 2; reverse++) {
        velocity_range range = velocity_range_default();
        range.reverse = reverse;
        range.fill_cache = false;
        velocity_iterator *it = velocity_iterator_new(db, &range);
        velocity_iterator_next(it);
        env_sim_fail(sim, ENV_SIM_READ, 1);
        assert_int_equal(velocity_iterator_value(it).size, 0);
        assert_false(velocity_iterator_valid(it));
        assert_int_equal(velocity_iterator_status(it), VELOCITY_IO);
        velocity_iterator_seek(it, velocity_str("key00000002"));
        assert_true(velocity_iterator_valid(it));
        assert_int_equal(velocity_iterator_value(it).size, VALUE_BYTES);
        OK(velocity_iterator_status(it));
        velocity_iterator_free(it);
    }
    OK(velocity_close(db));
    env_sim_free(sim);
}

/* ---- files ---------------------------------------------------------------------------------------------------------
 */

static void a_missing_value_file_is_corrupt_at_open_and_a_strange_one_is_removed(void **state) {
    char name[64];
    velocity *db = open_small(*state);
    put(db, 1, 0, VALUE_BYTES);
    OK(velocity_flush(db));
    OK(velocity_close(db));
    assert_int_equal(files_ending(*state, ".val", name), 1);
    file_copy(path_in(*state, name), path_in(*state, "00000999.val"));
    db = open_small(*state);
    expect(db, 1, 0, VALUE_BYTES);
    assert_int_equal(files_ending(*state, ".val", NULL), 1);
    OK(velocity_close(db));
    file_copy(path_in(*state, name), path_in(*state, "away"));
    assert_int_equal(unlink(path_in(*state, name)), 0);
    velocity_options options = small_options();
    FAILS(VELOCITY_CORRUPT, name, velocity_open(*state, &options, &db));
    file_copy(path_in(*state, "away"), path_in(*state, name));
    db = open_small(*state);
    expect(db, 1, 0, VALUE_BYTES);
    OK(velocity_close(db));
}

static void a_value_file_of_another_life_or_cut_short_does_not_pass(void **state) {
    char name[64];
    velocity_options options = small_options();
    velocity *db = open_small(path_in(*state, "this"));
    put(db, 1, 0, VALUE_BYTES);
    OK(velocity_flush(db));
    OK(velocity_close(db));
    assert_int_equal(files_ending(path_in(*state, "this"), ".val", name), 1);
    const char *path = path_in(path_in(*state, "this"), name);
    size_t size;
    uint8_t *bytes = file_bytes(path, &size);
    for (int way = 0; way < 3; way++) {
        if (way == 0) file_replace(path, bytes, size - 1);
        if (way == 1) file_replace(path, bytes, 100);
        if (way == 2) {
            bytes[40] ^= 1; /* the uid */
            file_replace(path, bytes, size);
        }
        FAILS(VELOCITY_CORRUPT, name, velocity_open(path_in(*state, "this"), &options, &db));
    }
    free(bytes);
}

static void damaged_values_do_not_keep_the_others_from_being_merged_and_moved(void **state) {
    enum { KEYS = 200 };
    char name[64], text[16];
    velocity_value value;
    velocity *db = open_small(*state);
    for (uint32_t i = 0; i < KEYS; i++) put(db, i, 0, VALUE_BYTES);
    OK(velocity_flush(db));
    OK(velocity_close(db));
    files_sorted(*state, ".val", 0, name);
    file_flip(path_in(*state, name), 128 + 40 + 20, 1); /* the first key's */
    db = open_small(*state);
    for (uint32_t i = 1; i < KEYS; i++)
        if (i % 8) put(db, i, 1, VALUE_BYTES);
    OK(velocity_compact(db, NULL));
    settle(db);
    FAILS(VELOCITY_CORRUPT, name, velocity_get(db, key_of(text, 0), &value));
    for (uint32_t i = 1; i < KEYS; i++) expect(db, i, i % 8 != 0, VALUE_BYTES);
    OK(velocity_delete(db, key_of(text, 0)));
    OK(velocity_compact(db, NULL));
    settle(db);
    for (uint32_t i = 1; i < KEYS; i++) expect(db, i, i % 8 != 0, VALUE_BYTES);
    OK(velocity_close(db));
}

/* ---- verify and repair ---------------------------------------------------------------------------------------------
 */

enum { REPAIRED_KEYS = 200 };

static velocity_options repaired_options(bool encrypted) {
    velocity_options options = small_options();
    if (encrypted) options.encryption_key = velocity_bytes("thirty-two bytes of a lost value", 32);
    return options;
}

/* A closed database, whose values stand apart but for the newest two, which the log has. */
static void fill(const char *folder, bool encrypted) {
    velocity_options options = repaired_options(encrypted);
    velocity *db;
    OK(velocity_open(folder, &options, &db));
    for (uint32_t i = 0; i < REPAIRED_KEYS; i++) put(db, i, 0, VALUE_BYTES);
    OK(velocity_flush(db));
    for (uint32_t i = 0; i < 2; i++) put(db, REPAIRED_KEYS + i, 0, VALUE_BYTES);
    settle(db);
    OK(velocity_close(db));
}

static velocity_status verify(const char *folder, velocity_check_options *check, uint64_t *damages) {
    velocity_report report = velocity_report_default();
    velocity_status status = velocity_verify_with(folder, check, &report);
    *damages = report.damages;
    velocity_report_clear(&report);
    return status;
}

static void repair(const char *folder, velocity_check_options *check) {
    velocity_report report = velocity_report_default();
    OK(velocity_repair_with(folder, check, &report));
    assert_true(report.repaired);
    velocity_report_clear(&report);
}

/* All but key `lost` are there (REPAIRED_KEYS: none is lost). */
static void expect_all_but(const char *folder, bool encrypted, uint32_t lost) {
    velocity_options options = repaired_options(encrypted);
    velocity *db;
    char text[16];
    OK(velocity_open(folder, &options, &db));
    for (uint32_t i = 0; i < REPAIRED_KEYS + 2; i++) {
        if (i == lost)
            assert_int_equal(velocity_contains(db, key_of(text, i)), VELOCITY_NOT_FOUND);
        else
            expect(db, i, 0, VALUE_BYTES);
    }
    OK(velocity_close(db));
}

static void a_damaged_value_is_found_and_repair_saves_all_others(void **state) {
    for (int encrypted = 0; encrypted < 2; encrypted++) {
        const char *folder = path_in(*state, encrypted ? "encrypted" : "plain");
        velocity_options options = repaired_options(encrypted);
        velocity_check_options check = velocity_check_options_default();
        check.database = &options;
        uint64_t damages;
        char name[64];
        fill(folder, encrypted);
        OK(verify(folder, &check, &damages));
        assert_int_equal(damages, 0);
        files_sorted(folder, ".val", 0, name);
        file_flip(path_in(folder, name), 128 + 40 + 20, 1); /* the first key's */
        FAILS(VELOCITY_CORRUPT, name, verify(folder, &check, &damages));
        assert_int_equal(damages, 1);
        repair(folder, &check);
        OK(verify(folder, &check, &damages));
        expect_all_but(folder, encrypted, 0);
    }
}

static void without_a_manifest_repair_finds_the_values_by_the_tables_own_lists(void **state) {
    for (int encrypted = 0; encrypted < 2; encrypted++) {
        const char *folder = path_in(*state, encrypted ? "encrypted" : "plain");
        velocity_options options = repaired_options(encrypted);
        velocity_check_options check = velocity_check_options_default();
        check.database = &options;
        uint64_t damages;
        char name[64];
        fill(folder, encrypted);
        for (size_t i = 0; i < files_ending(folder, "", NULL); i++) {
            files_sorted(folder, "", i, name);
            if (strncmp(name, "MANIFEST-", 9) == 0) assert_int_equal(unlink(path_in(folder, name)), 0);
        }
        assert_int_equal(verify(folder, &check, &damages), VELOCITY_CORRUPT);
        repair(folder, &check);
        OK(verify(folder, &check, &damages));
        expect_all_but(folder, encrypted, REPAIRED_KEYS + 2);
    }
}

static void a_lost_value_file_takes_its_values_alone(void **state) {
    velocity_options options = repaired_options(false);
    velocity_check_options check = velocity_check_options_default();
    check.database = &options;
    uint64_t damages;
    char name[64];
    velocity *db = open_small(*state);
    put(db, 0, 0, VALUE_BYTES);
    OK(velocity_flush(db));
    OK(velocity_close(db));
    assert_int_equal(files_ending(*state, ".val", name), 1);
    char *lost = strdup(path_in(*state, name));
    db = open_small(*state);
    for (uint32_t i = 1; i < REPAIRED_KEYS + 2; i++) put(db, i, 0, VALUE_BYTES);
    OK(velocity_flush(db));
    settle(db);
    OK(velocity_close(db));
    assert_int_equal(unlink(lost), 0);
    free(lost);
    FAILS(VELOCITY_CORRUPT, name, verify(*state, &check, &damages));
    repair(*state, &check);
    OK(verify(*state, &check, &damages));
    expect_all_but(*state, false, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(overwriting_at_random_writes_little_and_garbage_is_reclaimed_by_itself),
        TEST_IN_FOLDER(at_the_size_limit_values_that_are_no_longer_there_make_room),
        TEST_IN_FOLDER(when_everything_is_deleted_no_value_file_remains),
        TEST_IN_FOLDER(moving_a_value_changes_neither_version_nor_flags_nor_what_a_snapshot_sees),
        TEST_IN_FOLDER(an_iterator_reads_on_in_files_that_are_reclaimed_meanwhile),
        TEST_IN_FOLDER(merging_carries_values_over_to_a_new_key_and_to_none),
        TEST_IN_FOLDER(a_checkpoint_has_its_values_also_when_the_database_has_given_them_up),
        TEST_IN_FOLDER(the_option_decides_by_size_and_may_change),
        TEST_IN_FOLDER(a_value_far_larger_than_the_cache_is_read_and_wipes_nothing),
        cmocka_unit_test(keys_and_sizes_are_told_without_touching_value_files),
        cmocka_unit_test(cache_only_answers_incomplete_until_the_value_was_read_with_the_cache),
        cmocka_unit_test(a_value_that_cannot_be_read_ends_the_iterator_and_the_next_one_reads_it),
        TEST_IN_FOLDER(a_missing_value_file_is_corrupt_at_open_and_a_strange_one_is_removed),
        TEST_IN_FOLDER(a_value_file_of_another_life_or_cut_short_does_not_pass),
        TEST_IN_FOLDER(damaged_values_do_not_keep_the_others_from_being_merged_and_moved),
        TEST_IN_FOLDER(a_damaged_value_is_found_and_repair_saves_all_others),
        TEST_IN_FOLDER(without_a_manifest_repair_finds_the_values_by_the_tables_own_lists),
        TEST_IN_FOLDER(a_lost_value_file_takes_its_values_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
