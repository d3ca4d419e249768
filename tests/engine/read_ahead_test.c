/*
 * read_ahead_test.c - a scan of a table that is not cached reads the file in large pieces, in both directions; short
 * scans and lookups read no more than they use, and what was read lands in the cache if it may.
 */
#include "engine/slice.h"
#include "engine/table.h"
#include "testing.h"

enum { ENTRIES = 20000, VALUE_BYTES = 100, NEVER_CACHED = 0, ALL_CACHED = 32 << 20 };

static const uint64_t database_id[2] = {31, 32};

/* The real environment, but that reads are counted. */
static struct env_operations counting;
static env counting_env = {&counting};
static _Atomic uint64_t reads, read_bytes;

static velocity_status counted_read(env_file *file, void *buffer, size_t size, uint64_t offset, size_t *got) {
    velocity_status status = env_posix()->operations->read(file, buffer, size, offset, got);
    atomic_fetch_add(&reads, 1);
    atomic_fetch_add(&read_bytes, *got);
    return status;
}

static velocity_status counted_open(env *e, const char *path, env_file **out) {
    (void)e;
    velocity_status status = env_posix()->operations->open_read(env_posix(), path, out);
    if (!status) (*out)->operations = &counting;
    return status;
}

struct fixture {
    cache *cache;
    table_files *files;
    struct table *table;
    struct table_meta meta;
    struct table_cursor cursor;
    struct table_read read;
};

static velocity_slice key_of(char key[16], size_t i) {
    (void)snprintf(key, 16, "key%08zu", i);
    return velocity_str(key);
}

static void begin(struct fixture *f, const char *folder, uint64_t cache_bytes, bool fill_cache) {
    memset(f, 0, sizeof *f);
    counting = *env_posix()->operations;
    counting.read = counted_read;
    counting.open_read = counted_open;
    struct table_builder_options options = {.env = env_posix(),
                                            .folder = folder,
                                            .database_id = {31, 32},
                                            .number = 1,
                                            .block_bytes = 4096,
                                            .compression = VELOCITY_COMPRESSION_NONE,
                                            .false_positive_rate = 0.01};
    table_builder *builder;
    char key[16], value[VALUE_BYTES];
    OK(table_builder_new(&options, &builder));
    for (size_t i = 0; i < ENTRIES; i++) {
        memset(value, (int)(i % 251), sizeof value);
        struct entry e = {.key = key_of(key, i), .sequence = i + 1, .kind = ENTRY_PUT};
        e.value = velocity_bytes(value, sizeof value);
        OK(table_builder_add(builder, &e));
    }
    OK(table_builder_finish(builder, &f->meta));
    f->cache = cache_new(cache_bytes, 1);
    f->files = table_files_new(f->cache, 16);
    f->read.fill_cache = fill_cache;
    OK(table_new(&counting_env, f->files, folder, database_id, NULL, &f->meta, &f->table));
    table_cursor_init(&f->cursor, f->table, &f->read, 0);
    table_cursor_seek(&f->cursor, velocity_str("key")); /* header, footer, indexes, a block */
    atomic_store(&reads, 0);
    atomic_store(&read_bytes, 0);
}

static void end(struct fixture *f) {
    table_cursor_clear(&f->cursor, false);
    table_release(f->table);
    epoch_drain();
    table_files_free(f->files);
    cache_free(f->cache);
    epoch_drain();
}

/* From where the cursor stands, `count` entries from number `i` on. */
static void walk(struct fixture *f, size_t i, size_t count, bool backward) {
    char key[16];
    struct entry e;
    for (; count-- > 0; i = backward ? i - 1 : i + 1) {
        assert_true(table_cursor_valid(&f->cursor));
        table_cursor_entry(&f->cursor, &e);
        assert_true(slice_equal(e.key, key_of(key, i)));
        assert_int_equal(((const uint8_t *)e.value.data)[VALUE_BYTES - 1], i % 251);
        if (backward)
            table_cursor_prev(&f->cursor);
        else
            table_cursor_next(&f->cursor);
    }
}

static void a_long_scan_reads_large_pieces(void **state) {
    struct fixture f;
    begin(&f, *state, NEVER_CACHED, false);
    table_cursor_first(&f.cursor);
    walk(&f, 0, ENTRIES, false);
    assert_false(table_cursor_valid(&f.cursor));
    OK(f.cursor.status);
    assert_in_range(read_bytes, (uint64_t)ENTRIES * VALUE_BYTES, (uint64_t)ENTRIES * VALUE_BYTES * 3 / 2);
    assert_in_range(reads, 8, read_bytes / (64 * 1024));
    end(&f);
}

static void a_long_scan_backward_reads_large_pieces(void **state) {
    struct fixture f;
    begin(&f, *state, NEVER_CACHED, false);
    table_cursor_last(&f.cursor);
    walk(&f, ENTRIES - 1, ENTRIES, true);
    assert_false(table_cursor_valid(&f.cursor));
    OK(f.cursor.status);
    assert_in_range(reads, 8, read_bytes / (64 * 1024));
    end(&f);
}

static void turning_round_in_a_piece_shows_the_same(void **state) {
    struct fixture f;
    begin(&f, *state, NEVER_CACHED, false);
    table_cursor_first(&f.cursor);
    walk(&f, 0, 5000, false);
    walk(&f, 5000, 4000, true);
    walk(&f, 1000, 9000, false);
    walk(&f, 10000, 10000, true);
    end(&f);
}

static void a_short_scan_reads_its_blocks_alone(void **state) {
    struct fixture f;
    char key[16];
    begin(&f, *state, NEVER_CACHED, false);
    for (size_t i = 0; i < ENTRIES; i += ENTRIES / 10) {
        atomic_store(&reads, 0);
        atomic_store(&read_bytes, 0);
        table_cursor_seek(&f.cursor, key_of(key, i));
        walk(&f, i, 30, false);
        assert_in_range(read_bytes, 4000,
                        4 * 4200 + 8 * 1024); /* two blocks or three, an index block where it changed */
    }
    end(&f);
}

static void what_is_read_ahead_is_cached_if_it_may_be(void **state) {
    for (int fill = 0; fill < 2; fill++) {
        struct fixture f;
        begin(&f, *state, ALL_CACHED, fill);
        table_cursor_first(&f.cursor);
        walk(&f, 0, ENTRIES, false);
        uint64_t once = atomic_load(&reads);
        table_cursor_first(&f.cursor);
        walk(&f, 0, ENTRIES, false);
        if (fill)
            assert_int_equal(atomic_load(&reads), once);
        else
            assert_true(atomic_load(&reads) > once + 3);
        end(&f);
    }
}

static void without_memory_a_scan_says_so_or_shows_everything(void **state) {
    struct fixture f;
    begin(&f, *state, NEVER_CACHED, false);
    for (uint64_t nth = 0; nth < 30; nth++) { /* 0: none fails */
        size_t shown = 0;
        table_cursor_clear(&f.cursor, false);
        table_cursor_init(&f.cursor, f.table, &f.read, 0);
        env_fail_allocation(nth, false);
        for (table_cursor_first(&f.cursor); table_cursor_valid(&f.cursor); shown++) table_cursor_next(&f.cursor);
        env_fail_allocation(0, false);
        assert_int_equal(f.cursor.status, shown == ENTRIES ? VELOCITY_OK : VELOCITY_NO_MEMORY);
        assert_true(shown == ENTRIES || nth > 0);
    }
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(a_long_scan_reads_large_pieces),
        TEST_IN_FOLDER(a_long_scan_backward_reads_large_pieces),
        TEST_IN_FOLDER(turning_round_in_a_piece_shows_the_same),
        TEST_IN_FOLDER(a_short_scan_reads_its_blocks_alone),
        TEST_IN_FOLDER(what_is_read_ahead_is_cached_if_it_may_be),
        TEST_IN_FOLDER(without_memory_a_scan_says_so_or_shows_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
