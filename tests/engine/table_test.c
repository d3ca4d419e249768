/*
 * table_test.c - tables against what was written into them: lookups, cursors in both directions, damage at any byte, a
 * small budget of open files shared by several threads.
 */
#include "engine/coding.h"
#include "engine/filter.h"
#include "engine/slice.h"
#include "engine/table_internal.h"
#include "testing.h"

static const uint64_t database_id[2] = {21, 22};

/* A table under test, what it must hold, and what it stands on. */
struct fixture {
    struct entry *entries;
    size_t count, capacity;
    struct table_builder_options options;
    cache *cache;
    table_files *files;
    struct table_meta meta; /* a copy that stays */
    struct table *table;
};

static struct fixture *fixture_new(const char *folder) {
    struct fixture *f = calloc(1, sizeof *f);
    f->options = (struct table_builder_options){.env = env_posix(),
                                                .folder = folder,
                                                .database_id = {21, 22},
                                                .number = 7,
                                                .block_bytes = 1024,
                                                .compression = VELOCITY_COMPRESSION_LZ4,
                                                .false_positive_rate = 0.01};
    return f;
}

static void add(struct fixture *f, velocity_slice key, velocity_slice value, uint64_t sequence, uint8_t kind) {
    if (f->count == f->capacity) {
        f->capacity = f->capacity * 2 + 64;
        f->entries = realloc(f->entries, f->capacity * sizeof *f->entries);
    }
    struct entry *e = &f->entries[f->count++];
    uint8_t *bytes = malloc(key.size + value.size);
    memcpy(bytes, key.data, key.size);
    if (value.size) memcpy(bytes + key.size, value.data, value.size);
    *e = (struct entry){.key = velocity_bytes(bytes, key.size), .sequence = sequence, .kind = kind};
    e->value = velocity_bytes(bytes + key.size, value.size);
    e->flags = sequence % 3 ? 0 : (uint32_t)sequence;
}

static int in_order(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    int order = slice_compare(x->key, y->key);
    return order ? order : x->sequence > y->sequence ? -1 : x->sequence < y->sequence;
}

static void open_table(struct fixture *f, uint64_t cache_bytes) {
    struct table_meta meta;
    OK(table_meta_copy(&meta, &f->meta));
    f->cache = cache_new(cache_bytes, 1);
    f->files = table_files_new(f->cache, 16);
    OK(table_new(env_posix(), f->files, f->options.folder, database_id, NULL, &meta, &f->table));
}

static void close_table(struct fixture *f) {
    table_release(f->table);
    epoch_drain();
    table_files_free(f->files);
    cache_free(f->cache);
    epoch_drain();
}

/* Sorts, writes the table, opens it. */
static void build(struct fixture *f) {
    table_builder *builder;
    if (f->count) qsort(f->entries, f->count, sizeof *f->entries, in_order);
    OK(table_builder_new(&f->options, &builder));
    for (size_t i = 0; i < f->count; i++) OK(table_builder_add(builder, &f->entries[i]));
    assert_int_equal(table_builder_entries(builder), f->count);
    OK(table_builder_finish(builder, &f->meta));
    open_table(f, 8 << 20);
}

static void fixture_free(struct fixture *f) {
    close_table(f);
    table_meta_clear(&f->meta);
    for (size_t i = 0; i < f->count; i++) free((void *)f->entries[i].key.data);
    free(f->entries);
    free(f);
}

static const struct table_read reading = {.fill_cache = true};

/* Looks up as the engine does; where OK, *out's value lives in `value`. */
static velocity_status look_up(struct table *table, velocity_slice key, uint64_t sequence, struct entry *out,
                               const struct entry *wanted) {
    struct held_block held = {NULL, false};
    epoch_enter();
    velocity_status status = table_get(table, &reading, key, filter_hash(key), sequence, out, &held);
    if (!status && wanted) assert_true(slice_equal(out->value, wanted->value));
    if (held.owned) cache_entry_release(held.entry);
    epoch_leave();
    return status;
}

static void expect_same(const struct entry *e, const struct entry *wanted) {
    assert_true(slice_equal(e->key, wanted->key) && slice_equal(e->value, wanted->value));
    assert_int_equal(e->sequence, wanted->sequence);
    assert_int_equal(e->flags, wanted->flags);
    assert_int_equal(e->kind, wanted->kind);
}

/* The newest version of the key that `sequence` sees; NULL: none. */
static const struct entry *expected(const struct fixture *f, velocity_slice key, uint64_t sequence) {
    for (size_t low = 0, high = f->count;;) {
        size_t middle = low + (high - low) / 2;
        if (low == high) {
            for (; low < f->count && slice_equal(f->entries[low].key, key); low++)
                if (f->entries[low].sequence <= sequence) return &f->entries[low];
            return NULL;
        }
        if (slice_compare(f->entries[middle].key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
}

static void expect_lookups(struct fixture *f) {
    uint64_t random = 11;
    for (size_t i = 0; i < f->count; i += 1 + f->count / 2000) {
        const struct entry *e = &f->entries[i];
        for (int around = -1; around <= 1; around++) {
            uint64_t sequence = e->sequence + (uint64_t)(int64_t)around;
            const struct entry *wanted = expected(f, e->key, sequence);
            struct entry out;
            velocity_status status = look_up(f->table, e->key, sequence, &out, wanted);
            assert_int_equal(status, wanted ? VELOCITY_OK : VELOCITY_NOT_FOUND);
            if (wanted) assert_true(out.sequence == wanted->sequence && out.kind == wanted->kind);
        }
        uint8_t absent[16];
        velocity_slice key = velocity_bytes(absent, awkward_key(&random, absent));
        if (expected(f, key, UINT64_MAX)) continue;
        struct entry out;
        assert_int_equal(look_up(f->table, key, UINT64_MAX, &out, NULL), VELOCITY_NOT_FOUND);
    }
}

/* Walks the whole table in both directions, and turns round at every entry. */
static void expect_walks(struct fixture *f, size_t read_ahead) {
    struct table_cursor c = {0};
    struct entry e;
    size_t i = 0;
    table_cursor_init(&c, f->table, &reading, read_ahead);
    for (table_cursor_first(&c); table_cursor_valid(&c); table_cursor_next(&c), i++) {
        assert_true(i < f->count);
        table_cursor_entry(&c, &e);
        expect_same(&e, &f->entries[i]);
    }
    OK(c.status);
    assert_int_equal(i, f->count);
    for (table_cursor_last(&c); table_cursor_valid(&c); table_cursor_prev(&c)) {
        table_cursor_entry(&c, &e);
        expect_same(&e, &f->entries[--i]);
    }
    OK(c.status);
    assert_int_equal(i, 0);
    table_cursor_first(&c);
    for (i = 0; i + 1 < f->count; i++) { /* two forward, one back */
        table_cursor_next(&c);
        if (i + 2 < f->count) {
            table_cursor_next(&c);
            table_cursor_prev(&c);
        }
        table_cursor_entry(&c, &e);
        expect_same(&e, &f->entries[i + 1]);
    }
    table_cursor_clear(&c, false);
}

static void expect_seek(struct fixture *f, struct table_cursor *c, velocity_slice key) {
    struct entry e;
    size_t i = 0, high = f->count;
    while (i < high) {
        size_t middle = i + (high - i) / 2;
        if (slice_compare(f->entries[middle].key, key) < 0)
            i = middle + 1;
        else
            high = middle;
    }
    table_cursor_seek(c, key);
    assert_int_equal(table_cursor_valid(c), i < f->count);
    if (i < f->count) {
        table_cursor_entry(c, &e);
        expect_same(&e, &f->entries[i]);
    }
    table_cursor_seek_before(c, key);
    assert_int_equal(table_cursor_valid(c), i > 0);
    if (i > 0) {
        table_cursor_entry(c, &e);
        expect_same(&e, &f->entries[i - 1]);
    }
}

static void expect_seeks(struct fixture *f) {
    struct table_cursor c = {0};
    uint64_t random = 13;
    table_cursor_init(&c, f->table, &reading, 0);
    for (size_t i = 0; i < f->count; i += 1 + f->count / 1000) {
        uint8_t near[32], *longer = malloc(f->entries[i].key.size + 1);
        expect_seek(f, &c, f->entries[i].key);
        memcpy(longer, f->entries[i].key.data, f->entries[i].key.size);
        longer[f->entries[i].key.size] = 0;
        expect_seek(f, &c, velocity_bytes(longer, f->entries[i].key.size + 1));
        free(longer);
        expect_seek(f, &c, velocity_bytes(near, awkward_key(&random, near)));
    }
    table_cursor_clear(&c, false);
}

static void expect_everything(struct fixture *f) {
    expect_lookups(f);
    expect_walks(f, 0);
    expect_walks(f, 4096);
    expect_seeks(f);
}

/* ---- shapes ---------------------------------------------------------------------------------------------------------
 */

static void one_entry_makes_a_table(void **state) {
    struct fixture *f = fixture_new(*state);
    add(f, velocity_str("k"), velocity_str("v"), 9, ENTRY_PUT);
    build(f);
    expect_everything(f);
    assert_true(f->meta.one_version);
    assert_int_equal(f->meta.entries, 1);
    fixture_free(f);
}

static void random_keys_and_versions_come_back(struct fixture *f, uint64_t seed) {
    uint64_t random = seed, sequence = 0;
    uint8_t key[16], value[600];
    for (size_t i = 0; i < sizeof value; i++) value[i] = seed % 2 ? (uint8_t)next_random(&random) : 'v';
    for (int i = 0; i < 6000; i++) {
        size_t size = awkward_key(&random, key);
        bool put = below(&random, 5);
        add(f, velocity_bytes(key, size), velocity_bytes(value, put ? below(&random, 200) : 0), ++sequence,
            put ? ENTRY_PUT : ENTRY_DELETE);
    }
    build(f);
    assert_false(f->meta.one_version);
    assert_int_equal(f->meta.max_sequence, sequence);
    assert_int_equal(f->meta.min_sequence, 1);
    assert_true(slice_equal(f->meta.smallest, f->entries[0].key));
    assert_true(slice_equal(f->meta.largest, f->entries[f->count - 1].key));
    size_t size;
    char name[64];
    (void)files_ending(f->options.folder, ".sst", name);
    free(file_bytes(path_in(f->options.folder, name), &size));
    assert_int_equal(f->meta.file_bytes, size);
    expect_everything(f);
    fixture_free(f);
}

static void compressible_entries_come_back(void **state) {
    random_keys_and_versions_come_back(fixture_new(*state), 2024);
}
static void incompressible_entries_come_back(void **state) {
    random_keys_and_versions_come_back(fixture_new(*state), 2025);
}
static void entries_without_compression_and_filter_come_back(void **state) {
    struct fixture *f = fixture_new(*state);
    f->options.compression = VELOCITY_COMPRESSION_NONE;
    f->options.false_positive_rate = 1;
    random_keys_and_versions_come_back(f, 2026);
}

static void versions_of_a_key_span_blocks(void **state) {
    struct fixture *f = fixture_new(*state);
    char value[300] = {0};
    for (uint64_t s = 1; s <= 3000; s++) { /* blocks of three entries, index blocks that end within the key */
        static const char *const keys[] = {"before", "key", "key", "key", "key\001", "later"};
        add(f, velocity_str(keys[below(&(uint64_t){s * 77777}, 6)]), velocity_bytes(value, sizeof value), s, ENTRY_PUT);
    }
    f->options.compression = VELOCITY_COMPRESSION_NONE;
    build(f);
    expect_everything(f);
    fixture_free(f);
}

static void values_far_larger_than_blocks_and_the_longest_keys_come_back(void **state) {
    struct fixture *f = fixture_new(*state);
    char *bytes = calloc(1, 3 << 20);
    uint64_t random = 5;
    for (size_t i = 0; i < 3 << 20; i += 64) bytes[i] = (char)next_random(&random);
    for (uint64_t i = 1; i <= 40; i++) {
        char key[16];
        int size = snprintf(key, sizeof key, "%llu", (unsigned long long)(i * 31));
        size_t value = i == 20 ? 3 << 20 : i % 5 == 0 ? 100000 : 10;
        add(f, velocity_bytes(key, (size_t)size), velocity_bytes(bytes, value), i, ENTRY_PUT);
        bytes[VELOCITY_MAX_KEY_BYTES - 1] = (char)i;
        add(f, velocity_bytes(bytes, VELOCITY_MAX_KEY_BYTES), velocity_bytes(bytes, i), 100 + i, ENTRY_PUT);
    }
    build(f);
    expect_everything(f);
    free(bytes);
    fixture_free(f);
}

static void a_filter_spares_most_lookups_of_absent_keys(void **state) {
    struct fixture *f = fixture_new(*state);
    char key[32];
    for (uint64_t i = 0; i < 50000; i++) {
        (void)snprintf(key, sizeof key, "key:%06llu", (unsigned long long)i * 2);
        add(f, velocity_str(key), velocity_str("v"), i + 1, ENTRY_PUT);
    }
    build(f);
    struct table_counters counters = {0};
    struct table_read read = {.fill_cache = true, .counters = &counters};
    for (uint64_t i = 0; i < 20000; i++) {
        struct held_block held;
        struct entry e;
        (void)snprintf(key, sizeof key, "key:%06llu", (unsigned long long)i * 2 + 1);
        epoch_enter();
        assert_int_equal(
            table_get(f->table, &read, velocity_str(key), filter_hash(velocity_str(key)), UINT64_MAX, &e, &held),
            VELOCITY_NOT_FOUND);
        epoch_leave();
    }
    assert_int_equal(atomic_load(&counters.filter_checks), 20000);
    assert_int_equal(atomic_load(&counters.filter_negatives) + atomic_load(&counters.filter_false_positives), 20000);
    assert_true(atomic_load(&counters.filter_false_positives) < 20000 * 0.0125);
    fixture_free(f);
}

/* ---- damage ---------------------------------------------------------------------------------------------------------
 */

/* With a fresh cache: every lookup and walk gives what is right, or CORRUPT with the file's name. True: CORRUPT came.
 */
static bool right_or_corrupt(struct fixture *f) {
    bool corrupt = false;
    struct table_cursor c = {0};
    struct entry e;
    size_t i = 0;
    open_table(f, 1 << 20);
    table_cursor_init(&c, f->table, &reading, 0);
    for (table_cursor_first(&c); table_cursor_valid(&c); table_cursor_next(&c)) {
        table_cursor_entry(&c, &e);
        assert_true(i < f->count);
        expect_same(&e, &f->entries[i++]);
    }
    if (c.status) {
        FAILS(VELOCITY_CORRUPT, "00000007.sst: offset ", c.status);
        corrupt = true;
    } else {
        assert_int_equal(i, f->count);
    }
    table_cursor_clear(&c, false);
    for (i = 0; i < f->count; i += 1 + f->count / 40) {
        velocity_status status = look_up(f->table, f->entries[i].key, UINT64_MAX, &e, &f->entries[i]);
        if (!status) continue;
        FAILS(VELOCITY_CORRUPT, "00000007.sst: offset ", status);
        corrupt = true;
    }
    close_table(f);
    return corrupt;
}

static void a_flip_of_any_byte_is_corrupt_and_never_wrong_data(void **state) {
    runs_in_one_thread();
    struct fixture *f = fixture_new(*state);
    char key[32], value[64];
    for (uint64_t i = 0; i < 300; i++) {
        (void)snprintf(key, sizeof key, "key:%05llu", (unsigned long long)i * 7);
        (void)snprintf(value, sizeof value, "%llu and so on and so on", (unsigned long long)i);
        add(f, velocity_str(key), velocity_str(value), i + 1, ENTRY_PUT);
    }
    build(f);
    close_table(f);
    const char *path = path_in(*state, "00000007.sst");
    char copy[512];
    (void)snprintf(copy, sizeof copy, "%s", path);
    size_t size;
    uint8_t *good = file_bytes(copy, &size);
    uint64_t random = 17;
    size_t missed = 0;
    for (size_t at = 0; at < size; at += 1 + below(&random, 5)) {
        uint8_t bits = (uint8_t)(1 + below(&random, 255));
        file_flip(copy, at, bits);
        missed += !right_or_corrupt(f);
        file_flip(copy, at, bits);
    }
    assert_true(missed < size / 40);    /* only filter bytes can go unread here: 40 keys do not visit all partitions */
    file_replace(copy, good, size - 1); /* cut short */
    assert_true(right_or_corrupt(f));
    file_replace(copy, good, 100);
    assert_true(right_or_corrupt(f));
    file_replace(copy, good, size);
    assert_false(right_or_corrupt(f));
    free(good);
    open_table(f, 0);
    fixture_free(f);
}

/* The footer with `value` at `at`, its checksum right. */
static void change_footer(const char *path, size_t at, uint32_t value) {
    size_t size;
    uint8_t *bytes = file_bytes(path, &size), *footer = bytes + size - TABLE_FOOTER_BYTES;
    struct file_header header;
    OK(file_header_parse(bytes, size, FILE_TABLE, path, &header));
    put_u32(footer + at, value);
    put_u32(footer + FOOTER_CHECKSUM,
            file_block_checksum(file_seed(&header), size - TABLE_FOOTER_BYTES, footer, FOOTER_CHECKSUM));
    file_replace(path, bytes, size);
    free(bytes);
}

static void a_footer_that_names_more_filter_than_the_file_holds_is_corrupt(void **state) {
    struct fixture *f = fixture_new(*state);
    add(f, velocity_str("key"), velocity_str("value"), 1, ENTRY_PUT);
    build(f);
    close_table(f);
    char path[512];
    (void)snprintf(path, sizeof path, "%s", path_in(*state, "00000007.sst"));
    size_t size;
    uint8_t *good = file_bytes(path, &size);
    const uint8_t *footer = good + size - TABLE_FOOTER_BYTES;
    uint32_t partitions = get_u32(footer + FOOTER_FILTER_PARTITIONS);
    uint32_t bytes = get_u32(footer + FOOTER_FILTER_PARTITION_BYTES);
    assert_int_equal(partitions, 1);
    const struct {
        size_t at;
        uint32_t value;
    } changes[] = {
        {FOOTER_FILTER_PARTITIONS, UINT32_MAX},
        {FOOTER_FILTER_PARTITIONS, 1 << 20},
        {FOOTER_FILTER_PARTITIONS, 50},
        {FOOTER_FILTER_PARTITION_BYTES, FILTER_PARTITION_BYTES},
        {FOOTER_FILTER_PARTITION_BYTES, bytes + 512},
        {FOOTER_SLOTS + SLOT_FILTER * 16, (uint32_t)size},
        {FOOTER_SLOTS + SLOT_FILTER * 16, 0},
        {FOOTER_SLOTS + SLOT_FILTER * 16 + 4, UINT32_MAX},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        change_footer(path, changes[i].at, changes[i].value);
        open_table(f, 1 << 20);
        FAILS(VELOCITY_CORRUPT, "the filter lies outside of the file", table_ensure_loaded(f->table, false));
        close_table(f);
        file_replace(path, good, size);
    }
    change_footer(path, FOOTER_FILTER_PARTITIONS, 1); /* as it was */
    open_table(f, 1 << 20);
    OK(table_ensure_loaded(f->table, false));
    free(good);
    fixture_free(f);
}

static void range_deletes_come_back(const char *folder, int key_bytes) {
    enum { RANGES = 1000 };
    struct fixture *f = fixture_new(folder);
    f->options.number = (uint64_t)key_bytes;
    for (unsigned i = 0; i < RANGES; i++) {
        char start[32], end[32];
        (void)snprintf(start, sizeof start, "%04uabcdefghijklmnop", 2 * i);
        (void)snprintf(end, sizeof end, "%04u", 2 * i + 1);
        add(f, velocity_bytes(start, (size_t)key_bytes), velocity_str(end), 1 + i, ENTRY_RANGE_DELETE);
    }
    build(f);
    size_t count;
    OK(table_ensure_loaded(f->table, false));
    const struct range_tombstone *ranges = table_ranges(f->table, &count);
    assert_int_equal(count, RANGES);
    for (unsigned i = 0; i < RANGES; i++) {
        assert_true(slice_equal(ranges[i].start, f->entries[i].key));
        assert_true(slice_equal(ranges[i].end, f->entries[i].value));
    }
    fixture_free(f);
}

/* They stand close to one another in memory, and copying a key writes more than its bytes: ends that are shorter than
 * that must not matter. AddressSanitizer sees what is written beside; of so many sizes some fill a piece of memory. */
static void range_deletes_of_any_length_come_back(void **state) {
    for (int key_bytes = 4; key_bytes <= 20; key_bytes++) range_deletes_come_back(*state, key_bytes);
}

static void a_builder_that_is_given_up_leaves_no_file(void **state) {
    struct fixture *f = fixture_new(*state);
    table_builder *builder;
    struct entry e = {.key = velocity_str("k"), .value = velocity_str("v"), .sequence = 1, .kind = ENTRY_PUT};
    OK(table_builder_new(&f->options, &builder));
    assert_int_equal(files_ending(*state, ".sst", NULL), 1);
    OK(table_builder_add(builder, &e));
    table_builder_abandon(builder);
    assert_int_equal(files_ending(*state, ".sst", NULL), 0);
    free(f);
}

static void a_doomed_table_takes_its_file_along_with_the_last_reference(void **state) {
    struct fixture *f = fixture_new(*state);
    add(f, velocity_str("k"), velocity_str("v"), 9, ENTRY_PUT);
    build(f);
    table_acquire(f->table);
    table_doom(f->table);
    table_release(f->table);
    struct entry e;
    OK(look_up(f->table, velocity_str("k"), 9, &e, &f->entries[0]));
    assert_int_equal(files_ending(*state, ".sst", NULL), 1);
    fixture_free(f);
    assert_int_equal(files_ending(*state, ".sst", NULL), 0);
}

/* ---- many tables, few descriptors
 * ------------------------------------------------------------------------------------ */

enum { TABLES = 100, BUDGET = 16, READERS = 4 };

struct reader {
    struct table **tables;
    table_files *files;
    uint64_t seed;
    pthread_t thread;
    uint64_t most_open;
};

static void *read_randomly(void *arg) {
    struct reader *r = arg;
    for (int i = 0; i < 4000; i++) {
        uint64_t n = below(&r->seed, TABLES);
        char key[16];
        struct entry e, wanted;
        (void)snprintf(key, sizeof key, "k%llu", (unsigned long long)n);
        wanted.value = velocity_str(key);
        OK(look_up(r->tables[n], velocity_str(key), UINT64_MAX, &e, &wanted));
        uint64_t open = table_files_open_count(r->files);
        if (open > r->most_open) r->most_open = open;
    }
    return NULL;
}

static void a_hundred_tables_are_read_by_several_threads_within_sixteen_open_files(void **state) {
    struct fixture *f = fixture_new(*state);
    struct table *tables[TABLES];
    f->cache = cache_new(0, 1); /* every lookup reads the disk */
    f->files = table_files_new(f->cache, BUDGET);
    for (uint64_t n = 0; n < TABLES; n++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%llu", (unsigned long long)n);
        table_builder *builder;
        struct table_meta meta;
        f->options.number = n + 1;
        OK(table_builder_new(&f->options, &builder));
        struct entry e = {.key = velocity_str(key), .value = velocity_str(key), .sequence = 1, .kind = ENTRY_PUT};
        OK(table_builder_add(builder, &e));
        OK(table_builder_finish(builder, &meta));
        OK(table_new(env_posix(), f->files, *state, database_id, NULL, &meta, &tables[n]));
    }
    struct reader readers[READERS];
    for (uint64_t i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.tables = tables, .files = f->files, .seed = i + 1};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_randomly, &readers[i]), 0);
    }
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
        assert_true(readers[i].most_open > 1 && readers[i].most_open <= BUDGET);
    }
    for (int n = 0; n < TABLES; n++) table_release(tables[n]);
    assert_int_equal(table_files_open_count(f->files), 0);
    epoch_drain();
    table_files_free(f->files);
    cache_free(f->cache);
    epoch_drain();
    free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(one_entry_makes_a_table),
        TEST_IN_FOLDER(compressible_entries_come_back),
        TEST_IN_FOLDER(incompressible_entries_come_back),
        TEST_IN_FOLDER(entries_without_compression_and_filter_come_back),
        TEST_IN_FOLDER(versions_of_a_key_span_blocks),
        TEST_IN_FOLDER(values_far_larger_than_blocks_and_the_longest_keys_come_back),
        TEST_IN_FOLDER(a_filter_spares_most_lookups_of_absent_keys),
        TEST_IN_FOLDER(a_flip_of_any_byte_is_corrupt_and_never_wrong_data),
        TEST_IN_FOLDER(a_footer_that_names_more_filter_than_the_file_holds_is_corrupt),
        TEST_IN_FOLDER(range_deletes_of_any_length_come_back),
        TEST_IN_FOLDER(a_builder_that_is_given_up_leaves_no_file),
        TEST_IN_FOLDER(a_doomed_table_takes_its_file_along_with_the_last_reference),
        TEST_IN_FOLDER(a_hundred_tables_are_read_by_several_threads_within_sixteen_open_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
