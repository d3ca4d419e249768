/*
 * run_test.c - runs and their merge, against one sorted array: write buffers, single tables and levels of tables
 * together, forward and backward, from the ends and from anywhere between.
 */
#include "engine/run.h"
#include "engine/slice.h"
#include "testing.h"

enum { ENTRIES = 1500, LEVEL_TABLES = 5, RUNS = 5 };

static const uint64_t database_id[2] = {51, 52};

struct fixture {
    const char *folder;
    struct entry entries[ENTRIES]; /* all of them, in order */
    uint8_t bytes[ENTRIES][16];
    uint8_t home[ENTRIES]; /* the run that holds the entry */
    size_t count;
    cache *cache;
    table_files *files;
    memtable *buffers[2];
    struct table *singles[2], *level[LEVEL_TABLES];
    size_t level_count;
    uint64_t next_number;
    struct run runs[RUNS];
    struct merge merge;
};

static int in_order(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    int order = slice_compare(x->key, y->key);
    return order ? order : x->sequence > y->sequence ? -1 : x->sequence < y->sequence;
}

/* Entries [from, to) of home `home` as one table. */
static struct table *write_table(struct fixture *f, uint8_t home, size_t from, size_t to) {
    struct table_builder_options options = {.env = env_posix(),
                                            .folder = f->folder,
                                            .database_id = {51, 52},
                                            .number = ++f->next_number,
                                            .block_bytes = 1024,
                                            .compression = VELOCITY_COMPRESSION_NONE,
                                            .false_positive_rate = 1};
    table_builder *builder;
    struct table_meta meta;
    struct table *table;
    OK(table_builder_new(&options, &builder));
    for (size_t i = from; i < to; i++)
        if (f->home[i] == home) OK(table_builder_add(builder, &f->entries[i]));
    OK(table_builder_finish(builder, &meta));
    OK(table_new(env_posix(), f->files, f->folder, database_id, NULL, &meta, &table));
    return table;
}

static void write_level(struct fixture *f) {
    size_t from = 0;
    for (size_t t = 0; t < LEVEL_TABLES && from < f->count; t++) {
        size_t to = t + 1 == LEVEL_TABLES ? f->count : from + f->count / LEVEL_TABLES;
        while (to < f->count && slice_equal(f->entries[to].key, f->entries[to - 1].key)) to++; /* a key is on one */
        f->level[f->level_count++] = write_table(f, 4, from, to);
        from = to;
    }
}

/* The memtables take their entries in the order of sequences. */
static void fill_buffer(struct fixture *f, uint8_t home) {
    f->buffers[home] = memtable_new();
    OK(memtable_reserve(f->buffers[home], ENTRIES, ENTRIES * 40));
    for (uint64_t s = 1; s <= ENTRIES; s++)
        for (size_t i = 0; i < f->count; i++)
            if (f->entries[i].sequence == s && f->home[i] == home) memtable_insert(f->buffers[home], &f->entries[i]);
}

static struct fixture *fixture_new(const char *folder, uint64_t seed) {
    struct fixture *f = calloc(1, sizeof *f);
    uint64_t random = seed;
    f->folder = folder;
    f->cache = cache_new(1 << 20, 1);
    f->files = table_files_new(f->cache, 16);
    for (f->count = 0; f->count < ENTRIES; f->count++) {
        struct entry *e = &f->entries[f->count];
        *e = (struct entry){.sequence = f->count + 1, .kind = ENTRY_PUT};
        e->key = velocity_bytes(f->bytes[f->count], awkward_key(&random, f->bytes[f->count]));
        e->value = velocity_bytes(f->bytes[f->count], e->key.size);
    }
    qsort(f->entries, f->count, sizeof *f->entries, in_order);
    for (size_t i = 0; i < f->count; i++) f->home[i] = (uint8_t)below(&random, RUNS);
    for (uint8_t home = 0; home < 2; home++) fill_buffer(f, home);
    for (uint8_t home = 2; home < 4; home++) f->singles[home - 2] = write_table(f, home, 0, f->count);
    write_level(f);
    struct table_read read = {.fill_cache = true};
    for (int i = 0; i < 2; i++) run_init_memtable(&f->runs[i], f->buffers[i]);
    run_init_tables(&f->runs[2], &f->singles[0], 1, &read, 0);
    run_init_tables(&f->runs[3], &f->singles[1], 1, &read, 8192);
    run_init_tables(&f->runs[4], f->level, f->level_count, &read, 0);
    OK(merge_init(&f->merge, f->runs, RUNS));
    return f;
}

static void fixture_free(struct fixture *f) {
    merge_clear(&f->merge);
    for (int i = 0; i < RUNS; i++) run_clear(&f->runs[i]);
    for (int i = 0; i < 2; i++) memtable_free(f->buffers[i]);
    for (int i = 0; i < 2; i++) table_release(f->singles[i]);
    for (size_t i = 0; i < f->level_count; i++) table_release(f->level[i]);
    epoch_drain();
    table_files_free(f->files);
    cache_free(f->cache);
    epoch_drain();
    free(f);
}

static void expect_at(struct fixture *f, size_t i) {
    assert_true(merge_valid(&f->merge));
    const struct entry *e = merge_entry(&f->merge);
    assert_true(slice_equal(e->key, f->entries[i].key) && slice_equal(e->value, f->entries[i].value));
    assert_int_equal(e->sequence, f->entries[i].sequence);
}

static void expect_end(struct fixture *f) {
    assert_false(merge_valid(&f->merge));
    OK(f->merge.status);
}

static size_t first_at_or_after(const struct fixture *f, velocity_slice key) {
    size_t i = 0;
    while (i < f->count && slice_compare(f->entries[i].key, key) < 0) i++;
    return i;
}

static void a_merge_of_all_runs_is_the_sorted_whole_in_both_directions(void **state) {
    for (uint64_t seed = 1; seed <= 5; seed++) {
        struct fixture *f = fixture_new(*state, seed);
        merge_first(&f->merge);
        for (size_t i = 0; i < f->count; i++, merge_next(&f->merge)) expect_at(f, i);
        expect_end(f);
        merge_last(&f->merge);
        for (size_t i = f->count; i-- > 0; merge_prev(&f->merge)) expect_at(f, i);
        expect_end(f);
        fixture_free(f);
    }
}

static void a_merge_goes_on_from_any_key_and_turns_at_any_key(void **state) {
    struct fixture *f = fixture_new(*state, 77);
    uint64_t random = 5;
    for (int round = 0; round < 3000; round++) {
        uint8_t bytes[16];
        velocity_slice key = velocity_bytes(bytes, awkward_key(&random, bytes));
        size_t i = first_at_or_after(f, key), steps = below(&random, 30);
        if (below(&random, 2)) {
            merge_seek(&f->merge, key);
            for (; steps && i < f->count; steps--, i++, merge_next(&f->merge)) expect_at(f, i);
            if (i < f->count)
                expect_at(f, i);
            else
                expect_end(f);
        } else {
            merge_seek_before(&f->merge, key);
            for (; steps && i > 0; steps--, i--, merge_prev(&f->merge)) expect_at(f, i - 1);
            if (i > 0)
                expect_at(f, i - 1);
            else
                expect_end(f);
        }
    }
    fixture_free(f);
}

static void each_run_alone_shows_its_entries(void **state) {
    struct fixture *f = fixture_new(*state, 9);
    for (size_t home = 0; home < RUNS; home++) {
        struct run *r = &f->runs[home];
        run_first(r);
        for (size_t i = 0; i < f->count; i++) {
            if (f->home[i] != home) continue;
            assert_true(r->valid);
            assert_int_equal(r->entry.sequence, f->entries[i].sequence);
            run_next(r);
        }
        assert_false(r->valid);
        OK(r->status);
        run_last(r);
        for (size_t i = f->count; i-- > 0;) {
            if (f->home[i] != home) continue;
            assert_true(r->valid);
            assert_int_equal(r->entry.sequence, f->entries[i].sequence);
            run_prev(r);
        }
        assert_false(r->valid);
    }
    fixture_free(f);
}

static void a_merge_of_nothing_is_over_at_once(void **state) {
    (void)state;
    struct merge m;
    OK(merge_init(&m, NULL, 0));
    merge_first(&m);
    assert_false(merge_valid(&m));
    merge_seek_before(&m, velocity_str("k"));
    assert_false(merge_valid(&m));
    OK(m.status);
    merge_clear(&m);
}

/* A run whose table is damaged ends the merge; what failed for a moment is forgotten at the next positioning. */
static void a_failing_run_ends_the_merge_until_it_is_positioned_anew(void **state) {
    struct fixture *f = fixture_new(*state, 3);
    cache_clear(f->cache);
    merge_first(&f->merge);
    char name[64];
    files_sorted(*state, ".sst", 0, name);
    OK(rename(path_in(*state, name), path_in(*state, "away")));
    struct table *table = f->singles[0];
    struct table_meta meta;
    OK(table_meta_copy(&meta, table_meta(table)));
    run_clear(&f->runs[2]);
    table_release(table); /* and opened anew: its file is not there */
    OK(table_new(env_posix(), f->files, *state, database_id, NULL, &meta, &f->singles[0]));
    run_init_tables(&f->runs[2], &f->singles[0], 1, &(struct table_read){.fill_cache = true}, 0);
    merge_first(&f->merge);
    assert_false(merge_valid(&f->merge));
    FAILS(VELOCITY_CORRUPT, name, f->merge.status);
    OK(rename(path_in(*state, "away"), path_in(*state, name)));
    static const uint8_t beyond[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    merge_seek(&f->merge, velocity_bytes(beyond, sizeof beyond));
    expect_end(f);
    merge_first(&f->merge);
    expect_at(f, 0);
    fixture_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(a_merge_of_all_runs_is_the_sorted_whole_in_both_directions),
        TEST_IN_FOLDER(a_merge_goes_on_from_any_key_and_turns_at_any_key),
        TEST_IN_FOLDER(each_run_alone_shows_its_entries),
        cmocka_unit_test(a_merge_of_nothing_is_over_at_once),
        TEST_IN_FOLDER(a_failing_run_ends_the_merge_until_it_is_positioned_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
