/* table_builder.c - see table_builder.h, table_format.h. */
#include "table_builder.h"

#include "array.h"
#include "block.h"
#include "compress.h"
#include "file_writer.h"
#include "filter_builder.h"
#include "slice.h"
#include "status.h"
#include "table_format.h"

enum {
    INDEX_BLOCK_BYTES = 8 * 1024,
    RANGE_BLOCK_BYTES = 32 * 1024,
};

struct table_builder {
    struct table_builder_options options;
    struct file_writer file;
    struct packer packer;
    uint8_t *sealed;
    size_t sealed_capacity;
    struct block_builder data, index, top;
    struct block_builder ranges, ranges_index; /* range deletes once more, apart; where their blocks are */
    struct block_handle pending;               /* the data block whose separator waits for the next key */
    bool has_pending;
    uint8_t *last_key; /* the last key of the pending block */
    size_t last_key_bytes, last_key_capacity;
    uint8_t *name; /* of a block that was just ended, for the index above it */
    size_t name_capacity;
    struct filter_builder filter;
    uint64_t data_blocks;
    struct table_meta meta;
};

void table_meta_clear(struct table_meta *meta) {
    env_free((void *)meta->smallest.data);
    env_free((void *)meta->largest.data);
    value_uses_clear(&meta->values);
    env_free(meta->expiry);
    memset(meta, 0, sizeof *meta);
}

static velocity_status copy_slice(velocity_slice *to, velocity_slice from) {
    void *bytes = env_alloc(from.size ? from.size : 1);
    if (!bytes) return VELOCITY_NO_MEMORY;
    memcpy(bytes, from.data, from.size);
    *to = velocity_bytes(bytes, from.size);
    return VELOCITY_OK;
}

static velocity_status copy_expiry(struct table_meta *to, const struct expiry_summary *from) {
    to->expiry = env_alloc(sizeof *from);
    if (!to->expiry) return VELOCITY_NO_MEMORY;
    *to->expiry = *from;
    return VELOCITY_OK;
}

velocity_status table_meta_copy(struct table_meta *to, const struct table_meta *from) {
    *to = *from;
    to->smallest = to->largest = velocity_bytes(NULL, 0);
    velocity_status status = value_uses_copy(&to->values, &from->values);
    if (!status) status = copy_slice(&to->smallest, from->smallest);
    if (!status) status = copy_slice(&to->largest, from->largest);
    to->expiry = NULL;
    if (!status && from->expiry) status = copy_expiry(to, from->expiry);
    if (status) table_meta_clear(to);
    return status;
}

static void builder_free(table_builder *b) {
    block_builder_free(&b->data);
    block_builder_free(&b->index);
    block_builder_free(&b->top);
    block_builder_free(&b->ranges);
    block_builder_free(&b->ranges_index);
    packer_clear(&b->packer);
    env_free(b->sealed);
    env_free(b->last_key);
    env_free(b->name);
    filter_builder_clear(&b->filter);
    file_writer_clear(&b->file);
    env_free(b);
}

void table_builder_abandon(table_builder *b) {
    if (!b) return;
    file_writer_abandon(&b->file);
    table_meta_clear(&b->meta);
    builder_free(b);
}

velocity_status table_builder_new(const struct table_builder_options *options, table_builder **out) {
    *out = NULL;
    table_builder *b = env_alloc_zeroed(sizeof *b);
    if (!b) return VELOCITY_NO_MEMORY;
    b->options = *options;
    b->options.folder = NULL;
    b->packer.compression = options->compression;
    b->packer.last_level = options->last_level;
    struct file_header header = {.kind = FILE_TABLE, .number = options->number};
    memcpy(header.database_id, options->database_id, sizeof header.database_id);
    velocity_status status = file_writer_create(&b->file, options->env, options->folder, options->keys, &header);
    if (status) {
        env_free(b);
        return status;
    }
    b->meta.number = options->number;
    memcpy(b->meta.uid, header.uid, sizeof b->meta.uid);
    b->meta.min_sequence = UINT64_MAX;
    b->meta.one_version = true;
    *out = b;
    return VELOCITY_OK;
}

/* Replaces *stored by what it is encrypted. */
static velocity_status seal(table_builder *b, const uint8_t *trailer, velocity_slice *stored) {
    size_t size = stored->size + CIPHER_TAG_BYTES;
    if (size > b->sealed_capacity) {
        env_free(b->sealed);
        b->sealed_capacity = 0;
        if (!(b->sealed = env_alloc(size * 2))) return VELOCITY_NO_MEMORY;
        b->sealed_capacity = size * 2;
    }
    struct cipher_place place = {b->file.offset, trailer, BLOCK_BOUND_BYTES};
    velocity_status status = cipher_seal(b->file.cipher, &place, stored->data, stored->size, b->sealed);
    *stored = velocity_bytes(b->sealed, size);
    return status;
}

static velocity_status append_block(table_builder *b, velocity_slice raw, bool compress, struct block_handle *handle) {
    velocity_slice stored = raw;
    uint8_t trailer[BLOCK_TRAILER_BYTES];
    enum packing how = PACKED_RAW;
    velocity_status packed = compress ? packer_pack(&b->packer, raw, &stored, &how) : VELOCITY_OK;
    if (packed) return packed;
    trailer[0] = (uint8_t)how;
    put_u32(trailer + 1, (uint32_t)raw.size);
    if (b->file.cipher && (packed = seal(b, trailer, &stored))) return packed;
    *handle = (struct block_handle){b->file.offset, (uint32_t)stored.size};
    uint32_t checksum = file_block_checksum(b->file.seed, b->file.offset, stored.data, stored.size);
    put_u32(trailer + 5, file_block_checksum(checksum, b->file.offset, trailer, 5));
    velocity_status status = file_writer_append(&b->file, stored.data, stored.size);
    return status ? status : file_writer_append(&b->file, trailer, sizeof trailer);
}

static velocity_status add_index_entry(struct block_builder *index, velocity_slice key, struct block_handle handle) {
    uint8_t value[BLOCK_HANDLE_MAX_BYTES];
    struct entry e = {.key = key, .kind = ENTRY_PUT};
    e.value = velocity_bytes(value, block_handle_encode(value, handle));
    return block_builder_add(index, &e);
}

/* A copy of the key, in memory that grows with it. */
static velocity_status keep_key(velocity_slice key, uint8_t **bytes, size_t *capacity) {
    if (key.size > *capacity) {
        env_free(*bytes);
        *capacity = 0;
        if (!(*bytes = env_alloc(key.size * 2))) return VELOCITY_NO_MEMORY;
        *capacity = key.size * 2;
    }
    memcpy(*bytes, key.data, key.size);
    return VELOCITY_OK;
}

/* Ends a block that the index above it names by its last key. */
static velocity_status finish_named_block(table_builder *b, struct block_builder *block, struct block_builder *index) {
    velocity_slice last = block_builder_last_key(block), raw;
    struct block_handle handle;
    velocity_status status = keep_key(last, &b->name, &b->name_capacity);
    if (!status) status = block_builder_finish(block, &raw);
    if (!status) status = append_block(b, raw, true, &handle);
    return status ? status : add_index_entry(index, velocity_bytes(b->name, last.size), handle);
}

static velocity_status finish_index_block(table_builder *b) {
    return finish_named_block(b, &b->index, &b->top);
}

/*
 * Adds the pending data block to the index under a separator s: its last key <= s, and s < next, the next block's first
 * key (equal where versions of one key span both). Shorter separators make smaller indexes.
 */
static velocity_status index_pending(table_builder *b, const velocity_slice *next) {
    velocity_slice last = velocity_bytes(b->last_key, b->last_key_bytes);
    if (next) {
        size_t shared = slice_shared_prefix(last, *next);
        if (shared + 1 < last.size && shared < next->size) {
            uint8_t low = b->last_key[shared], high = ((const uint8_t *)next->data)[shared];
            if (low + 1 < high) {
                b->last_key[shared]++;
                last.size = shared + 1;
            }
        }
    }
    b->has_pending = false;
    velocity_status status = add_index_entry(&b->index, last, b->pending);
    if (!status && block_builder_bytes(&b->index) >= INDEX_BLOCK_BYTES) status = finish_index_block(b);
    return status;
}

static velocity_status finish_data_block(table_builder *b) {
    velocity_slice raw;
    velocity_slice last = block_builder_last_key(&b->data);
    velocity_status status = keep_key(last, &b->last_key, &b->last_key_capacity);
    b->last_key_bytes = status ? 0 : last.size;
    if (!status) status = block_builder_finish(&b->data, &raw);
    if (!status) status = append_block(b, raw, true, &b->pending);
    if (status) return status;
    b->has_pending = true;
    b->data_blocks++;
    return VELOCITY_OK;
}

static velocity_status finish_range_block(table_builder *b) {
    return finish_named_block(b, &b->ranges, &b->ranges_index);
}

static velocity_status list_range(table_builder *b, const struct entry *entry) {
    velocity_status status = block_builder_add(&b->ranges, entry);
    if (!status && block_builder_bytes(&b->ranges) >= RANGE_BLOCK_BYTES) status = finish_range_block(b);
    if (!status) b->meta.range_tombstones++;
    return status;
}

/* What slot 2 names; nothing where there are no range deletes. */
static velocity_status append_ranges(table_builder *b, struct block_handle *where) {
    velocity_slice raw;
    *where = (struct block_handle){0, 0};
    velocity_status status = b->ranges.count ? finish_range_block(b) : VELOCITY_OK;
    if (status || b->ranges_index.count == 0) return status;
    status = block_builder_finish(&b->ranges_index, &raw);
    return status ? status : append_block(b, raw, true, where);
}

static bool same_key_as_before(const table_builder *b, velocity_slice key) {
    if (b->data.count) return slice_equal(key, block_builder_last_key(&b->data));
    return b->has_pending && slice_equal(key, velocity_bytes(b->last_key, b->last_key_bytes));
}

static velocity_status note_value_use(table_builder *b, const struct entry *entry) {
    struct value_reference r;
    if (!value_reference_decode(entry->value, &r))
        return status_set(VELOCITY_CORRUPT, "%s: a reference to a value makes no sense", b->file.path);
    return value_uses_add(&b->meta.values, r.file, value_record_bytes(r, entry->key.size));
}

static velocity_status note_expiry(table_builder *b, const struct entry *entry) {
    if (!b->meta.expiry && !(b->meta.expiry = env_alloc_zeroed(sizeof *b->meta.expiry))) return VELOCITY_NO_MEMORY;
    expiry_add(b->meta.expiry, entry->expires_at_ms, entry->key.size + entry->value.size);
    return VELOCITY_OK;
}

velocity_status table_builder_add(table_builder *b, const struct entry *entry) {
    velocity_status status = VELOCITY_OK;
    struct table_meta *meta = &b->meta;
    if (meta->entries == 0) status = copy_slice(&meta->smallest, entry->key);
    if (!status && same_key_as_before(b, entry->key))
        meta->one_version = false;
    else if (!status)
        status = filter_builder_add(&b->filter, filter_hash(entry->key));
    /* A block is closed before an entry that would not fit, so that a large value does not drag small ones along. */
    if (!status && b->data.count &&
        block_builder_bytes(&b->data) + entry->key.size + entry->value.size > b->options.block_bytes)
        status = finish_data_block(b);
    if (!status && b->has_pending && b->data.count == 0) status = index_pending(b, &entry->key);
    if (!status && entry->expires_at_ms) status = note_expiry(b, entry);
    if (!status) status = block_builder_add(&b->data, entry);
    if (!status && entry->kind == ENTRY_VALUE_REFERENCE) status = note_value_use(b, entry);
    if (!status && entry->kind == ENTRY_RANGE_DELETE) status = list_range(b, entry);
    if (status) return status;
    meta->entries++;
    meta->tombstones += entry_is_delete(entry);
    meta->raw_bytes += entry->key.size + entry->value.size;
    if (entry->sequence < meta->min_sequence) meta->min_sequence = entry->sequence;
    if (entry->sequence > meta->max_sequence) meta->max_sequence = entry->sequence;
    return VELOCITY_OK;
}

uint64_t table_builder_bytes(const table_builder *b) {
    return b->file.offset + b->data.used + b->index.used + b->filter.count * 2;
}

uint64_t table_builder_entries(const table_builder *b) {
    return b->meta.entries;
}

static velocity_status append_filter(table_builder *b, struct filter_shape *shape, struct block_handle *where) {
    *where = (struct block_handle){0, 0};
    velocity_status status = filter_builder_finish(&b->filter, b->options.false_positive_rate, shape);
    if (status || shape->partitions == 0) return status;
    where->offset = b->file.offset;
    for (uint32_t i = 0; i < shape->partitions && !status; i++) {
        struct block_handle handle;
        status = append_block(b, velocity_bytes(b->filter.partitions[i], shape->partition_bytes), false, &handle);
    }
    where->bytes = (uint32_t)(b->file.offset - where->offset);
    return status;
}

/* The list of what is used of which value file, for whoever has lost the manifest. */
static velocity_status append_value_uses(table_builder *b, struct block_handle *where) {
    const struct value_uses *uses = &b->meta.values;
    *where = (struct block_handle){0, 0};
    if (uses->count == 0) return VELOCITY_OK;
    uint8_t *bytes = env_alloc(value_uses_most_bytes(uses));
    if (!bytes) return VELOCITY_NO_MEMORY;
    velocity_slice list = velocity_bytes(bytes, (size_t)(value_uses_encode(bytes, uses) - bytes));
    velocity_status status = append_block(b, list, false, where);
    env_free(bytes);
    return status;
}

static velocity_status append_expiry(table_builder *b, struct block_handle *where) {
    uint8_t bytes[EXPIRY_MAX_BYTES];
    *where = (struct block_handle){0, 0};
    if (!b->meta.expiry) return VELOCITY_OK;
    return append_block(b, velocity_bytes(bytes, expiry_encode(b->meta.expiry, bytes)), false, where);
}

static void put_slot(uint8_t *footer, enum table_slot slot, struct block_handle where) {
    put_u64(footer + FOOTER_SLOTS + slot * 16, where.offset);
    put_u64(footer + FOOTER_SLOTS + slot * 16 + 8, where.bytes);
}

/* Where the parts are that the footer names. */
struct parts {
    struct block_handle top, filter, ranges, values, expiry;
};

static velocity_status append_footer(table_builder *b, const struct filter_shape *shape, const struct parts *parts) {
    const struct table_meta *meta = &b->meta;
    uint8_t footer[TABLE_FOOTER_BYTES] = {0};
    put_u64(footer + FOOTER_MAGIC, TABLE_FOOTER_MAGIC);
    put_u32(footer + FOOTER_VERSION, FILE_FORMAT_VERSION);
    put_u32(footer + FOOTER_FLAGS, meta->one_version ? TABLE_FLAG_ONE_VERSION : 0);
    put_u64(footer + FOOTER_NUMBER, meta->number);
    put_u64(footer + FOOTER_ENTRIES, meta->entries);
    put_u64(footer + FOOTER_TOMBSTONES, meta->tombstones);
    put_u64(footer + FOOTER_RAW_BYTES, meta->raw_bytes);
    put_u64(footer + FOOTER_MIN_SEQUENCE, meta->min_sequence);
    put_u64(footer + FOOTER_MAX_SEQUENCE, meta->max_sequence);
    put_u64(footer + FOOTER_DATA_BLOCKS, b->data_blocks);
    put_u32(footer + FOOTER_FILTER_PARTITIONS, shape->partitions);
    put_u32(footer + FOOTER_FILTER_PARTITION_BYTES, shape->partition_bytes);
    put_u32(footer + FOOTER_FILTER_PROBES, shape->probes);
    put_slot(footer, SLOT_TOP_INDEX, parts->top);
    put_slot(footer, SLOT_FILTER, parts->filter);
    put_slot(footer, SLOT_RANGE_TOMBSTONES, parts->ranges);
    put_slot(footer, SLOT_VALUE_REFERENCES, parts->values);
    put_slot(footer, SLOT_EXPIRY, parts->expiry);
    if (b->file.cipher) { /* nothing to hide, but nothing to be changed either */
        struct cipher_place place = {b->file.offset, footer, FOOTER_TAG};
        velocity_status status = cipher_seal(b->file.cipher, &place, footer, 0, footer + FOOTER_TAG);
        if (status) return status;
    }
    put_u32(footer + FOOTER_CHECKSUM, file_block_checksum(b->file.seed, b->file.offset, footer, FOOTER_CHECKSUM));
    return file_writer_append(&b->file, footer, sizeof footer);
}

velocity_status table_builder_finish(table_builder *b, struct table_meta *out) {
    struct filter_shape shape;
    struct parts parts;
    velocity_slice raw;
    velocity_status status = VELOCITY_OK;
    if (b->data.count) status = finish_data_block(b);
    if (!status) status = copy_slice(&b->meta.largest, velocity_bytes(b->last_key, b->last_key_bytes));
    if (!status) status = index_pending(b, NULL);
    if (!status && b->index.count) status = finish_index_block(b);
    if (!status) status = append_ranges(b, &parts.ranges);
    if (!status) status = append_filter(b, &shape, &parts.filter);
    if (!status) status = append_value_uses(b, &parts.values);
    if (!status) status = append_expiry(b, &parts.expiry);
    if (!status) status = block_builder_finish(&b->top, &raw);
    if (!status) status = append_block(b, raw, true, &parts.top);
    if (!status) status = append_footer(b, &shape, &parts);
    if (!status) status = file_writer_finish(&b->file);
    if (status) {
        table_builder_abandon(b);
        return status;
    }
    b->meta.file_bytes = b->file.offset;
    *out = b->meta;
    builder_free(b);
    return VELOCITY_OK;
}
