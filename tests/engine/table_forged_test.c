/*
 * table_forged_test.c - tables whose checksums are right and whose blocks nobody's builder wrote: they are corrupt
 * before they cost memory that an honest table would not.
 */
#include "engine/coding.h"
#include "engine/filter.h"
#include "engine/slice.h"
#include "engine/table_internal.h"
#include "testing.h"

static const uint64_t database_id[2] = {21, 22};

struct forgery {
    const char *folder, *path;
    struct table_meta meta;
    uint64_t seed;
    uint8_t *bytes; /* of the file */
    size_t size;
    cache *cache;
    table_files *files;
    struct table *table;
};

/* With `listed` as a manifest describes it, else as one by itself. */
static void open_table(struct forgery *f, bool listed) {
    struct table_meta meta = {.number = f->meta.number, .file_bytes = f->meta.file_bytes};
    memcpy(meta.uid, f->meta.uid, sizeof meta.uid);
    if (listed) OK(table_meta_copy(&meta, &f->meta));
    f->cache = cache_new(1 << 20, 1);
    f->files = table_files_new(f->cache, 16);
    OK(table_new(env_posix(), f->files, f->folder, database_id, NULL, &meta, &f->table));
}

static void close_table(struct forgery *f) {
    table_release(f->table);
    epoch_drain();
    table_files_free(f->files);
    cache_free(f->cache);
    epoch_drain();
}

/* Nothing in it is compressed. */
static struct forgery build(const char *folder, const struct entry *entries, size_t count) {
    struct forgery f = {.folder = folder, .path = path_in(folder, "00000007.sst")};
    struct table_builder_options options = {.env = env_posix(),
                                            .folder = folder,
                                            .database_id = {21, 22},
                                            .number = 7,
                                            .block_bytes = 4096,
                                            .compression = VELOCITY_COMPRESSION_NONE};
    table_builder *builder;
    OK(table_builder_new(&options, &builder));
    for (size_t i = 0; i < count; i++) OK(table_builder_add(builder, &entries[i]));
    OK(table_builder_finish(builder, &f.meta));
    struct file_header header;
    f.bytes = file_bytes(f.path, &f.size);
    OK(file_header_parse(f.bytes, f.size, FILE_TABLE, f.path, &header));
    f.seed = file_seed(&header);
    return f;
}

static void forgery_free(struct forgery *f) {
    table_meta_clear(&f->meta);
    free(f->bytes);
}

/* What entry i of the index block at `index` names; *at (may be NULL): where it says so. */
static struct block_handle named(struct forgery *f, struct block_handle index, uint32_t i, uint8_t **at) {
    struct block block;
    struct block_entry e;
    struct block_handle out;
    assert_true(block_open(&block, f->bytes + index.offset, index.bytes));
    assert_true(block_entry_read(&block, i, &e));
    assert_true(block_handle_decode(e.value.data, e.value.size, &out));
    if (at) *at = f->bytes + ((const uint8_t *)e.value.data - f->bytes);
    return out;
}

static struct block_handle slot(const struct forgery *f, enum table_slot which) {
    const uint8_t *at = f->bytes + f->size - TABLE_FOOTER_BYTES + FOOTER_SLOTS + (size_t)which * 16;
    return (struct block_handle){get_u64(at), (uint32_t)get_u64(at + 8)};
}

static void seal_block(struct forgery *f, struct block_handle block) {
    uint8_t *trailer = f->bytes + block.offset + block.bytes;
    uint32_t checksum = file_block_checksum(f->seed, block.offset, f->bytes + block.offset, block.bytes);
    put_u32(trailer + 5, file_block_checksum(checksum, block.offset, trailer, BLOCK_BOUND_BYTES));
    file_replace(f->path, f->bytes, f->size);
}

static void claim_raw_bytes(struct forgery *f, uint64_t raw_bytes) {
    uint64_t at = f->size - TABLE_FOOTER_BYTES;
    uint8_t *footer = f->bytes + at;
    put_u64(footer + FOOTER_RAW_BYTES, raw_bytes);
    put_u32(footer + FOOTER_CHECKSUM, file_block_checksum(f->seed, at, footer, FOOTER_CHECKSUM));
    file_replace(f->path, f->bytes, f->size);
}

/* Puts a packed block in place of one that is stored as it is; a frame that decoders skip fills what is left. */
static void replace_block(struct forgery *f, struct block_handle place, velocity_slice raw) {
    enum { SKIPPABLE_FRAME = 0x184d2a50, FRAME_HEADER_BYTES = 8 }; /* RFC 8878, section 3.1.2 */
    struct packer packer = {.compression = VELOCITY_COMPRESSION_ZSTD};
    velocity_slice stored;
    enum packing how;
    OK(packer_pack(&packer, raw, &stored, &how));
    assert_int_equal(how, PACKED_ZSTD);
    assert_true(stored.size + FRAME_HEADER_BYTES <= place.bytes);
    uint8_t *to = f->bytes + place.offset, *trailer = to + place.bytes;
    memset(to, 0, place.bytes);
    memcpy(to, stored.data, stored.size);
    put_u32(to + stored.size, SKIPPABLE_FRAME);
    put_u32(to + stored.size + 4, (uint32_t)(place.bytes - stored.size - FRAME_HEADER_BYTES));
    trailer[0] = (uint8_t)how;
    put_u32(trailer + 1, (uint32_t)raw.size);
    packer_clear(&packer);
    seal_block(f, place);
}

/* *bytes: of the value, where OK. */
static velocity_status look_up(struct forgery *f, const char *key, size_t *bytes) {
    static const struct table_read reading = {.fill_cache = false};
    struct held_block held = {NULL, false};
    struct entry out;
    velocity_slice k = velocity_str(key);
    epoch_enter();
    velocity_status status = table_get(f->table, &reading, k, filter_hash(k), UINT64_MAX, &out, &held);
    if (!status) *bytes = out.value.size;
    if (held.owned) cache_entry_release(held.entry);
    epoch_leave();
    return status;
}

static void a_block_that_claims_more_than_its_table_holds_is_corrupt(void **state) {
    enum { HONEST_BYTES = 16000, FORGED_BYTES = 16 << 20 };
    uint8_t *value = calloc(1, FORGED_BYTES);
    struct entry e = {.key = velocity_str("key"), .sequence = 1, .kind = ENTRY_PUT};
    e.value = velocity_bytes(value, HONEST_BYTES);
    struct forgery f = build(*state, &e, 1);
    struct block_builder builder;
    velocity_slice raw;
    size_t bytes;
    block_builder_init(&builder);
    e.value.size = FORGED_BYTES;
    OK(block_builder_add(&builder, &e));
    OK(block_builder_finish(&builder, &raw));
    replace_block(&f, named(&f, named(&f, slot(&f, SLOT_TOP_INDEX), 0, NULL), 0, NULL), raw);
    for (int listed = 0; listed < 2; listed++) {
        open_table(&f, listed);
        FAILS(VELOCITY_CORRUPT, "00000007.sst: offset 128: a block's trailer", look_up(&f, "key", &bytes));
        close_table(&f);
    }
    claim_raw_bytes(&f, FORGED_BYTES + 3); /* so it may: nothing else about the block is wrong */
    open_table(&f, false);
    OK(look_up(&f, "key", &bytes));
    assert_int_equal(bytes, FORGED_BYTES);
    close_table(&f);
    open_table(&f, true); /* but the manifest knows better */
    FAILS(VELOCITY_CORRUPT, "00000007.sst: offset 128: a block's trailer", look_up(&f, "key", &bytes));
    close_table(&f);
    block_builder_free(&builder);
    free(value);
    forgery_free(&f);
}

/* A handle's place in its index and its size in bytes. */
static size_t handle_bytes(struct block_handle handle) {
    uint8_t bytes[BLOCK_HANDLE_MAX_BYTES];
    return block_handle_encode(bytes, handle);
}

static void a_list_of_range_deletes_that_names_a_block_twice_is_corrupt(void **state) {
    enum { RANGES = 6000, KEY_BYTES = 16 };
    static char keys[RANGES + 1][KEY_BYTES];
    static struct entry entries[RANGES];
    for (unsigned i = 0; i <= RANGES; i++) (void)snprintf(keys[i], KEY_BYTES, "key%08u", i);
    for (unsigned i = 0; i < RANGES; i++)
        entries[i] = (struct entry){.key = velocity_str(keys[i]),
                                    .value = velocity_str(keys[i + 1]),
                                    .sequence = 1 + i,
                                    .kind = ENTRY_RANGE_DELETE};
    struct forgery f = build(*state, entries, RANGES);
    uint8_t *second, *third;
    struct block_handle list = slot(&f, SLOT_RANGE_TOMBSTONES);
    struct block_handle twice = named(&f, list, 1, &second), instead = named(&f, list, 2, &third);
    assert_int_equal(handle_bytes(twice), handle_bytes(instead));
    memcpy(third, second, handle_bytes(twice));
    seal_block(&f, list);
    for (int listed = 0; listed < 2; listed++) {
        open_table(&f, listed);
        FAILS(VELOCITY_CORRUPT, "a list of range deletes makes no sense", table_ensure_loaded(f.table, false));
        close_table(&f);
    }
    forgery_free(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(a_block_that_claims_more_than_its_table_holds_is_corrupt),
        TEST_IN_FOLDER(a_list_of_range_deletes_that_names_a_block_twice_is_corrupt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
