/*
 * table_fuzz.c - a table that the builder wrote, with bytes changed anywhere and all checksums made right again, as
 * nobody but an attacker would: loading, lookups and cursors in both directions refuse or answer, and come to an end.
 * What a block claims to unpack to costs no more memory than an honest table of this size needs: CMakeLists.txt limits
 * what may be allocated at once to far less than the codecs allow.
 */
#include "engine/coding.h"
#include "engine/filter.h"
#include "engine/table_internal.h"
#include "tests/fuzz/engine_fuzz.h"

enum { BLOCKS_MAX = 600, ENTRIES_MAX = 300, CHANGES_MAX = 24 };

static const uint64_t database_id[2] = {3, 4};
static const char path[] = "db/00000007.sst";

struct blocks {
    struct block_handle handles[BLOCKS_MAX];
    size_t count;
};

static void add_block(struct blocks *b, uint64_t offset, uint32_t bytes) {
    if (b->count < BLOCKS_MAX) b->handles[b->count++] = (struct block_handle){offset, bytes};
}

/* Keys that share more or less with one another; some with several versions. */
static void build(env *e, struct fuzz_input *in, struct table_meta *meta) {
    static const velocity_compression compressions[] = {VELOCITY_COMPRESSION_NONE, VELOCITY_COMPRESSION_LZ4,
                                                        VELOCITY_COMPRESSION_ZSTD, VELOCITY_COMPRESSION_LZ4};
    struct table_builder_options options = {.env = e,
                                            .folder = "db",
                                            .database_id = {3, 4},
                                            .number = 7,
                                            .block_bytes = 1024,
                                            .compression = compressions[fuzz_number(in, 1) % 4],
                                            .false_positive_rate = 0.01};
    table_builder *builder;
    fuzz_must(table_builder_new(&options, &builder));
    uint64_t count = 1 + fuzz_number(in, 2) % ENTRIES_MAX, shape = fuzz_number(in, 1);
    for (uint64_t i = 0; i < count; i++) {
        char key[64];
        int size = snprintf(key, sizeof key, "%.*s%05llu", (int)(shape % 20), "a prefix that many share",
                            (unsigned long long)(i / (shape & 0x80 ? 3 : 1)));
        struct entry entry = {.key = velocity_bytes(key, (size_t)size),
                              .value = velocity_bytes(in->data, in->left < 50 ? in->left : 50),
                              .sequence = 1000 - i % 3,
                              .flags = i % 5 ? 0 : 9,
                              .kind = i % 7 ? ENTRY_PUT : ENTRY_DELETE};
        if (entry.kind == ENTRY_DELETE) entry.value = velocity_bytes(NULL, 0);
        fuzz_must(table_builder_add(builder, &entry));
    }
    fuzz_must(table_builder_finish(builder, meta));
}

static struct table *open_table(env *e, table_files *files, const struct table_meta *meta) {
    struct table *table;
    struct table_meta copy;
    fuzz_must(table_meta_copy(&copy, meta));
    fuzz_must(table_new(e, files, "db", database_id, NULL, &copy, &table));
    return table;
}

/* Where all blocks of the table stand, while it is whole. */
static void find_blocks(struct table *t, const uint8_t *file, size_t size, struct blocks *out) {
    struct table_read read = {.fill_cache = true};
    const uint8_t *footer = file + size - TABLE_FOOTER_BYTES;
    fuzz_must(table_ensure_loaded(t, false));
    add_block(out, get_u64(footer + FOOTER_SLOTS), (uint32_t)get_u64(footer + FOOTER_SLOTS + 8));
    for (uint32_t i = 0; i < t->filter.partitions; i++)
        add_block(out, t->filter_offset + (uint64_t)i * (t->filter.partition_bytes + BLOCK_TRAILER_BYTES),
                  t->filter.partition_bytes);
    for (uint32_t i = 0; i < t->top.count; i++) {
        struct block_handle handle, data;
        struct held_block held;
        struct block index;
        fuzz_must(table_index_handle(t, &t->top, i, &handle));
        add_block(out, handle.offset, handle.bytes);
        epoch_enter();
        fuzz_must(table_load_block(t, handle, CACHE_INDEX, &read, &held));
        fuzz_must(table_open_block(t, held.entry, &index));
        for (uint32_t k = 0; k < index.count; k++) {
            fuzz_must(table_index_handle(t, &index, k, &data));
            add_block(out, data.offset, data.bytes);
        }
        if (held.owned) cache_entry_release(held.entry);
        epoch_leave();
    }
}

static void make_whole_again(uint8_t *file, size_t size, uint64_t seed, const struct blocks *blocks) {
    for (size_t i = 0; i < blocks->count; i++) {
        struct block_handle h = blocks->handles[i];
        uint32_t checksum = file_block_checksum(seed, h.offset, file + h.offset, h.bytes);
        uint8_t *trailer = file + h.offset + h.bytes;
        put_u32(trailer + 5, file_block_checksum(checksum, h.offset, trailer, 5));
    }
    uint8_t *footer = file + size - TABLE_FOOTER_BYTES;
    put_u32(footer + FOOTER_CHECKSUM, file_block_checksum(seed, size - TABLE_FOOTER_BYTES, footer, FOOTER_CHECKSUM));
}

static void use(struct table *t, size_t file_size) {
    struct table_read read = {.fill_cache = true};
    if (table_ensure_loaded(t, false)) return;
    for (int i = 0; i < 300; i += 37) {
        char key[64];
        struct entry e;
        struct held_block held = {NULL, false};
        int size = snprintf(key, sizeof key, "a pre%05d", i);
        velocity_slice k = velocity_bytes(key, (size_t)size);
        epoch_enter();
        velocity_status status = table_get(t, &read, k, filter_hash(k), 1000, &e, &held);
        CHECK(status == VELOCITY_OK || status == VELOCITY_NOT_FOUND || fuzz_is_refusal(status));
        if (status == VELOCITY_OK && held.owned) cache_entry_release(held.entry);
        epoch_leave();
    }
    for (int backward = 0; backward < 2; backward++) {
        struct table_cursor c = {0};
        size_t steps = 0;
        table_cursor_init(&c, t, &read, 0);
        if (backward)
            table_cursor_last(&c);
        else
            table_cursor_first(&c);
        while (table_cursor_valid(&c)) {
            CHECK(++steps <= file_size);
            if (backward)
                table_cursor_prev(&c);
            else
                table_cursor_next(&c);
        }
        CHECK(c.status == VELOCITY_OK || fuzz_is_refusal(c.status));
        table_cursor_seek(&c, velocity_str("a prefix 00007"));
        table_cursor_clear(&c, false);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {data, size};
    env_sim *sim = env_sim_new(1);
    env *e = env_sim_env(sim);
    fuzz_must(env_make_directory(e, "db"));
    struct table_meta meta;
    struct blocks blocks = {.count = 0};
    cache *cache = cache_new(1 << 20, 1);
    table_files *files = table_files_new(cache, 16);
    build(e, &in, &meta);
    struct table *whole = open_table(e, files, &meta);
    size_t file_size;
    uint8_t *file = env_sim_read_file(sim, path, &file_size);
    find_blocks(whole, file, file_size, &blocks);
    uint64_t seed = whole->seed;
    table_release(whole);
    for (int i = 0; i < CHANGES_MAX && in.left; i++) {
        uint64_t at = FILE_HEADER_BYTES + fuzz_number(&in, 2) % (file_size - FILE_HEADER_BYTES);
        file[at] ^= (uint8_t)fuzz_number(&in, 1);
    }
    make_whole_again(file, file_size, seed, &blocks);
    fuzz_file(e, path, file, file_size);
    struct table *changed = open_table(e, files, &meta);
    use(changed, file_size);
    table_release(changed);
    table_meta_clear(&meta);
    epoch_drain();
    table_files_free(files);
    cache_free(cache);
    epoch_drain();
    env_sim_free(sim);
    free(file);
    return 0;
}
