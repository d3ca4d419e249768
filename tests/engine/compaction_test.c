/* compaction_test.c - a compaction that somebody asks for, of a database much larger than one merge should be. */
#include "engine/database_internal.h"
#include "testing.h"

#include <dirent.h>
#include <sys/stat.h>

/* Some ten MiB in the last level, where a portion is one of sixteen tables: 1 MiB. */
enum {
    KEYS = 200000,
    SEVENTHS = (KEYS + 6) / 7,
    TABLE_BYTES = 64 << 10,
    VALUE_BYTES = 30,
    PORTION_BYTES = 16 * TABLE_BYTES,
    THRESHOLD = 2,
    TOP_TABLES = 5,
    FAR_APART = 500,
    LARGE_KEYS = 300,
    LARGE_BYTES = 100000,
};

static velocity *open_with_buffer(const char *folder, uint64_t memtable_bytes) {
    velocity_options options = velocity_options_default();
    options.durability = VELOCITY_DURABILITY_OS;
    options.compression = VELOCITY_COMPRESSION_NONE;
    options.memtable_bytes = memtable_bytes;
    options.table_bytes = TABLE_BYTES;
    options.value_log_threshold = 0;
    options.compaction_threshold = THRESHOLD;
    velocity *db;
    OK(velocity_open(folder, &options, &db));
    return db;
}

static velocity *open_many_tables(const char *folder) {
    return open_with_buffer(folder, 64 << 10);
}

static void put(velocity *db, unsigned key, unsigned round) {
    char name[16], value[VALUE_BYTES + 1];
    (void)snprintf(name, sizeof name, "%08u", key);
    (void)snprintf(value, sizeof value, "%0*u", VALUE_BYTES, round);
    OK(velocity_put(db, velocity_str(name), velocity_str(value)));
}

static void put_all(velocity *db) {
    for (unsigned i = 0; i < KEYS; i++) put(db, i, 1);
}

/* In an order without neighbours. */
static void put_sevenths(velocity *db) {
    for (unsigned i = 0; i < SEVENTHS; i++) put(db, (unsigned)((uint64_t)i * 7919 % SEVENTHS * 7), 2);
}

static velocity *filled(const char *folder) {
    velocity *db = open_many_tables(folder);
    put_all(db);
    put_sevenths(db);
    return db;
}

static void expect_all(velocity *db) {
    velocity_iterator *it = velocity_iterator_new(db, NULL);
    unsigned count = 0;
    for (; velocity_iterator_valid(it); velocity_iterator_next(it), count++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%08u", count);
        velocity_slice key = velocity_iterator_key(it), value = velocity_iterator_value(it);
        assert_int_equal(key.size, 8);
        assert_memory_equal(key.data, name, 8);
        assert_int_equal(value.size, VALUE_BYTES);
        assert_int_equal(((const char *)value.data)[VALUE_BYTES - 1], count % 7 ? '1' : '2');
    }
    OK(velocity_iterator_status(it));
    velocity_iterator_free(it);
    assert_int_equal(count, KEYS);
}

static velocity_stats stats_of(velocity *db) {
    velocity_stats stats = {.struct_size = sizeof stats};
    OK(velocity_stats_get(db, &stats));
    return stats;
}

static void expect_merged(velocity *db) {
    velocity_stats stats = stats_of(db);
    for (int l = 0; l < VELOCITY_LEVELS - 1; l++) assert_int_equal(stats.level_tables[l], 0);
    assert_int_equal(stats.table_entries, KEYS);
}

static uint64_t folder_bytes(const char *folder) {
    uint64_t bytes = 0;
    struct dirent *entry;
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    while ((entry = readdir(directory))) {
        struct stat s;
        if (fstatat(dirfd(directory), entry->d_name, &s, 0) == 0 && S_ISREG(s.st_mode)) bytes += (uint64_t)s.st_size;
    }
    (void)closedir(directory);
    return bytes;
}

struct watch {
    const char *folder;
    uint64_t done, total, calls;
    uint64_t first_bytes, most_bytes;
    uint64_t end_at; /* of `done`; 0: never */
};

static bool watch(void *arg, uint64_t done, uint64_t total) {
    struct watch *w = arg;
    uint64_t bytes = folder_bytes(w->folder);
    assert_true(done >= w->done);
    assert_true(done <= total);
    assert_true(w->calls == 0 || total == w->total);
    if (w->calls++ == 0) w->first_bytes = bytes;
    if (bytes > w->most_bytes) w->most_bytes = bytes;
    w->done = done;
    w->total = total;
    return w->end_at == 0 || done < w->end_at;
}

static void much_is_merged_in_portions_that_need_little_room(void **state) {
    velocity *db = filled(*state);
    struct watch w = {.folder = *state};
    OK(velocity_compact_with(db, NULL, watch, &w));
    assert_true(w.calls > 5);
    assert_true(w.total >= KEYS);
    assert_true(w.most_bytes < w.first_bytes + 4 * PORTION_BYTES); /* at once it would take ten more */
    expect_merged(db);
    expect_all(db);
    uint64_t written = stats_of(db).compaction_bytes_written;
    OK(velocity_compact(db, NULL));
    assert_int_equal(stats_of(db).compaction_bytes_written, written); /* there is nothing to do */
    OK(velocity_close(db));
}

/* What a snapshot sees is merged for it once: to look for what can go again would find nothing. */
static void what_a_snapshot_keeps_is_not_written_anew_until_it_is_gone(void **state) {
    velocity *db = open_many_tables(*state);
    put_all(db);
    velocity_snapshot *first = velocity_snapshot_new(db);
    put_sevenths(db);
    OK(velocity_delete(db, velocity_str("00000001")));
    velocity_snapshot *second = velocity_snapshot_new(db);
    OK(velocity_compact(db, NULL));
    velocity_stats kept = stats_of(db);
    assert_int_equal(kept.table_entries, KEYS + SEVENTHS + 1);
    OK(velocity_compact(db, NULL));
    assert_int_equal(stats_of(db).compaction_bytes_written, kept.compaction_bytes_written);
    put(db, KEYS, 1); /* whatever is newer tells none of them apart */
    velocity_snapshot *third = velocity_snapshot_new(db);
    OK(velocity_compact(db, NULL));
    assert_true(stats_of(db).compaction_bytes_written < kept.compaction_bytes_written + 4 * TABLE_BYTES);
    velocity_snapshot_free(first);
    OK(velocity_compact(db, NULL));
    assert_int_equal(stats_of(db).table_entries, KEYS); /* the deleted one is gone, another has come */
    velocity_snapshot_free(second);
    velocity_snapshot_free(third);
    OK(velocity_close(db));
}

static void few_large_values_are_progress_too(void **state) {
    velocity *db = open_with_buffer(*state, 64 << 20);
    static char value[LARGE_BYTES];
    for (unsigned i = 0; i < 2 * LARGE_KEYS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%08u", i % LARGE_KEYS);
        OK(velocity_put(db, velocity_str(name), velocity_bytes(value, sizeof value)));
        if (i == LARGE_KEYS) OK(velocity_compact(db, NULL));
    }
    struct watch w = {.folder = *state};
    OK(velocity_compact_with(db, NULL, watch, &w));
    assert_true(w.calls > 5);
    OK(velocity_close(db));
}

/* A table of few keys, each far from the next, reaches over the whole level below it. */
static void compact_few_keys_all_over(const char *folder, velocity *db) {
    OK(velocity_compact(db, NULL));
    for (unsigned i = 0; i < KEYS; i += 7 * FAR_APART) put(db, i, 2);
    struct watch w = {.folder = folder};
    OK(velocity_compact_with(db, NULL, watch, &w));
    assert_true(w.total >= KEYS);
    assert_true(w.most_bytes < w.first_bytes + 4 * PORTION_BYTES);
    expect_merged(db);
    expect_all(db);
    OK(velocity_close(db));
}

static void few_keys_all_over_go_down_in_portions_too(void **state) {
    compact_few_keys_all_over(*state, filled(*state));
}

/* There is no other level than the last one while that is within ten times of what a write buffer holds. */
static void level_0_goes_down_to_the_only_other_level_in_portions_too(void **state) {
    OK(velocity_close(filled(*state)));
    compact_few_keys_all_over(*state, open_with_buffer(*state, 4 << 20));
}

static void what_is_ended_keeps_the_portions_that_were_merged(void **state) {
    velocity *db = filled(*state);
    struct watch w = {.folder = *state, .end_at = KEYS};
    FAILS(VELOCITY_INCOMPLETE, "ended by its caller", velocity_compact_with(db, NULL, watch, &w));
    expect_all(db);
    uint64_t before = stats_of(db).compaction_bytes_written;
    OK(velocity_compact(db, NULL));
    uint64_t rest = stats_of(db).compaction_bytes_written - before;
    expect_merged(db);
    assert_true(rest < stats_of(db).table_bytes);
    expect_all(db);
    OK(velocity_close(db));
}

static void a_part_of_the_keys_is_merged_whatever_level_0_reaches(void **state) {
    velocity *db = filled(*state);
    velocity_range range = velocity_range_default();
    range.start = velocity_str("00050000");
    range.end = velocity_str("00150000");
    OK(velocity_compact(db, &range));
    struct superversion *sv = superversion_acquire(db);
    for (int l = 0; l < VELOCITY_LEVELS - 1; l++)
        for (size_t i = 0; i < sv->version->levels[l].count; i++)
            assert_false(table_overlaps(sv->version->levels[l].tables[i], range.start, range.end));
    superversion_release(sv);
    expect_all(db);
    OK(velocity_close(db));
}

struct busy {
    velocity *db;
    _Atomic bool in_the_middle, level0_is_full;
    _Atomic size_t least_tables; /* in level 0, after it was full */
};

static size_t level0_tables(velocity *db) {
    struct superversion *sv = superversion_acquire(db);
    size_t count = sv->version->levels[0].count;
    superversion_release(sv);
    return count;
}

static bool wait_in_the_middle(void *arg, uint64_t done, uint64_t total) {
    struct busy *b = arg;
    if (done < total / 4) return true; /* half of it are the last level's tables, which have nothing to drop by then */
    atomic_store(&b->in_the_middle, true);
    while (!atomic_load(&b->level0_is_full)) env_sleep_us(1000);
    size_t tables = level0_tables(b->db);
    if (tables < atomic_load(&b->least_tables)) atomic_store(&b->least_tables, tables);
    return true;
}

static void *compact_all(void *arg) {
    struct busy *b = arg;
    OK(velocity_compact_with(b->db, NULL, wait_in_the_middle, b));
    return NULL;
}

static void between_portions_level_0_has_its_turn(void **state) {
    struct busy b = {.db = filled(*state), .least_tables = SIZE_MAX};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, compact_all, &b), 0);
    while (!atomic_load(&b.in_the_middle)) env_sleep_us(1000);
    for (unsigned i = 0; i < TOP_TABLES; i++) {
        put(b.db, 0, 2);
        put(b.db, KEYS - KEYS % 7, 2);
        OK(velocity_flush(b.db));
    }
    assert_int_equal(level0_tables(b.db), TOP_TABLES);
    atomic_store(&b.level0_is_full, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(atomic_load(&b.least_tables) < THRESHOLD);
    expect_all(b.db);
    OK(velocity_close(b.db));
}

int main(void) {
    cmocka_set_test_filter(getenv("TEST")); /* TEST=*few* runs those alone */
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(much_is_merged_in_portions_that_need_little_room),
        TEST_IN_FOLDER(what_a_snapshot_keeps_is_not_written_anew_until_it_is_gone),
        TEST_IN_FOLDER(few_large_values_are_progress_too),
        TEST_IN_FOLDER(few_keys_all_over_go_down_in_portions_too),
        TEST_IN_FOLDER(level_0_goes_down_to_the_only_other_level_in_portions_too),
        TEST_IN_FOLDER(what_is_ended_keeps_the_portions_that_were_merged),
        TEST_IN_FOLDER(a_part_of_the_keys_is_merged_whatever_level_0_reaches),
        TEST_IN_FOLDER(between_portions_level_0_has_its_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
