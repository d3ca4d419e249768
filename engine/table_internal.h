/* table_internal.h - what table.c and table_cursor.c share. */
#ifndef VELOCITY_TABLE_INTERNAL_H
#define VELOCITY_TABLE_INTERNAL_H

#include "compress.h"
#include "filter.h"
#include "open_files.h"
#include "pins.h"
#include "table.h"

struct table {
    table_files *files;
    cache *cache;
    char *path;
    uint64_t database_id[2];
    const key_ring *keys; /* borrowed */
    uint64_t cache_id;    /* names the table's blocks in the cache, unique while the cache lives */
    struct table_meta meta;
    struct open_file file;
    _Atomic uint32_t references;
    _Atomic bool doomed, loaded;
    _Atomic uint8_t absent_lately; /* above 0: lookups ask the filter first; see table_get */
    /* Valid once loaded: */
    uint64_t seed;
    cipher *cipher; /* NULL: not encrypted */
    bool old_key;
    uint8_t *top_bytes;
    struct block_handle top_handle, ranges_handle, expiry_handle, values_handle; /* no bytes: there is none */
    struct block top;
    struct filter_shape filter;
    uint64_t filter_offset;
    uint32_t largest_block; /* bytes that a block of the table may have, unpacked; before loading, if nothing says
                               what the table holds: any size */
    struct pin_set pins;    /* of the index blocks, then of the filter's partitions */
    struct range_tombstone *ranges; /* table_ranges.c */
    size_t range_count;
    struct arena range_bytes; /* their keys */
};

static inline cache_pin *table_index_pin(const struct table *t, uint32_t block) {
    return &t->pins.pins[block];
}

static inline cache_pin *table_filter_pin(const struct table *t, uint32_t partition) {
    return &t->pins.pins[t->top.count + partition];
}

/* Reads a block that is not in the cache; the rest of table_load_block. */
VELOCITY_CHECK_RESULT velocity_status table_read_block(struct table *t, struct block_handle handle,
                                                       enum cache_kind kind, const struct table_read *read,
                                                       struct held_block *held);
/* Finds or reads a block. Inside an epoch section. */
VELOCITY_CHECK_RESULT velocity_status table_load_block(struct table *t, struct block_handle handle,
                                                       enum cache_kind kind, const struct table_read *read,
                                                       struct held_block *held);
/* The same for an index or filter block, which may be pinned. */
VELOCITY_CHECK_RESULT velocity_status table_load_pinned(struct table *t, cache_pin *pin, struct block_handle handle,
                                                        enum cache_kind kind, const struct table_read *read,
                                                        struct held_block *held);
/* Reads bytes of the file as they are. Not inside an epoch section of the caller's only by custom: it makes its own. */
VELOCITY_CHECK_RESULT velocity_status table_read_raw(struct table *t, uint64_t offset, size_t size, uint8_t *to,
                                                     size_t *got);
/* Reads, checks and unpacks a block, past the cache; *out is owned. */
VELOCITY_CHECK_RESULT velocity_status table_read_stored(const struct table *t, env_file *file,
                                                        struct block_handle handle, struct cache_entry **out);
/* Checks and unpacks a stored block (handle.bytes and its trailer); *out is owned. */
VELOCITY_CHECK_RESULT velocity_status table_decode_block(const struct table *t, struct block_handle handle,
                                                         const uint8_t *stored, struct cache_entry **out);
VELOCITY_CHECK_RESULT velocity_status table_open_block(const struct table *t, const struct cache_entry *entry,
                                                       struct block *out);
/* The place that entry i of an index block names. */
VELOCITY_CHECK_RESULT velocity_status table_index_handle(const struct table *t, const struct block *index, uint32_t i,
                                                         struct block_handle *out);

/* Where filter partition i of a loaded table stands. */
struct block_handle table_filter_handle(const struct table *t, uint32_t i);
/* Whether this may be the trailer of a block of so many stored bytes; its checksum is not looked at. */
bool table_trailer_plausible(const struct table *t, const uint8_t *trailer, uint64_t stored_bytes);
#define TABLE_TRAILER_KINDS PACKED_ZSTD /* the highest kind of compression */
/* table_ranges.c: under table->mutex, while it is loaded; after a failure _clear. */
VELOCITY_CHECK_RESULT velocity_status table_ranges_load(struct table *t, env_file *file, struct block_handle where);
void table_ranges_clear(struct table *t);

#endif
