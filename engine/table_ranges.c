/*
 * table_ranges.c - a table's range deletes, gathered when it is loaded. See table.h; bytes: FORMAT.md, "Table", slot 2.
 *
 * They stand in the data blocks like other entries, too; here they are together, so that nobody has to read the table
 * to know what it covers. They stay in memory as long as the table.
 */
#include "array.h"
#include "slice.h"
#include "status.h"
#include "table_internal.h"

static velocity_status makes_no_sense(const struct table *t, uint64_t offset) {
    return status_set(VELOCITY_CORRUPT, "%s: offset %llu: a list of range deletes makes no sense", t->path,
                      (unsigned long long)offset);
}

/* They stand in order: so no block can be named again and again until memory ends. */
static bool stands_in_order(const struct table *t, const struct range_tombstone *range) {
    if (slice_compare(range->start, range->end) >= 0) return false;
    if (range == t->ranges) return true;
    int order = slice_compare(range[-1].start, range->start);
    return order < 0 || (order == 0 && range[-1].sequence > range->sequence);
}

static velocity_status add_range(struct table *t, const struct block *block, uint32_t i, uint64_t offset,
                                 size_t *capacity) {
    struct block_entry e;
    if (!block_entry_read(block, i, &e) || e.kind != ENTRY_RANGE_DELETE || e.value.size > VELOCITY_MAX_KEY_BYTES)
        return makes_no_sense(t, offset);
    size_t size = block_key_bytes(block, &e);
    size_t room = size + BLOCK_SUFFIX_SLACK;
    velocity_status status = array_reserve(t->ranges, *capacity, t->range_count);
    if (!status) status = arena_reserve(&t->range_bytes, room + e.value.size);
    if (status) return status;
    uint8_t *key = arena_take(&t->range_bytes, room + e.value.size), *end = key + room;
    memcpy(key, block->prefix, block->prefix_bytes);
    block_suffix_copy(block, i, &e, key + block->prefix_bytes);
    memcpy(end, e.value.data, e.value.size);
    struct range_tombstone *range = &t->ranges[t->range_count++];
    *range = (struct range_tombstone){velocity_bytes(key, size), velocity_bytes(end, e.value.size), e.sequence};
    return stands_in_order(t, range) ? VELOCITY_OK : makes_no_sense(t, offset);
}

static velocity_status read_block(const struct table *t, env_file *file, struct block_handle handle,
                                  struct cache_entry **entry, struct block *block) {
    velocity_status status = table_read_stored(t, file, handle, entry);
    if (!status && (status = table_open_block(t, *entry, block))) {
        cache_entry_release(*entry);
        *entry = NULL;
    }
    return status;
}

velocity_status table_ranges_load(struct table *t, env_file *file, struct block_handle where) {
    struct cache_entry *index_entry, *entry;
    struct block index, block;
    size_t capacity = 0;
    if (where.bytes == 0) return VELOCITY_OK;
    velocity_status status = read_block(t, file, where, &index_entry, &index);
    if (status) return status;
    for (uint32_t i = 0; i < index.count && !status; i++) {
        struct block_handle handle;
        status = table_index_handle(t, &index, i, &handle);
        if (!status) status = read_block(t, file, handle, &entry, &block);
        if (status) break;
        for (uint32_t k = 0; k < block.count && !status; k++)
            status = add_range(t, &block, k, handle.offset, &capacity);
        cache_entry_release(entry);
    }
    cache_entry_release(index_entry);
    if (!status && t->meta.range_tombstones != t->range_count) {
        if (t->meta.range_tombstones) return makes_no_sense(t, where.offset);
        t->meta.range_tombstones = t->range_count; /* the opener: it alone did not know */
    }
    return status;
}

void table_ranges_clear(struct table *t) {
    env_free(t->ranges);
    arena_free(&t->range_bytes);
    t->ranges = NULL;
    t->range_count = 0;
}

const struct range_tombstone *table_ranges(const struct table *t, size_t *count) {
    *count = t->range_count;
    return t->ranges;
}
