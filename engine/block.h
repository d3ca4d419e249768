/*
 * block.h - a sorted run of entries in one piece of memory: the unit that tables store, compress, check and cache. Data
 * and index blocks have the same form. The form on disk (after decompression) is the one searched in memory:
 *
 *   +-------+--------+-------+---+----------+-----------------+-------------------+--------+---------------------+
 *   | count | prefix | flags | 0 | base seq | heads[count]    | offsets[count]    | prefix | entries             |
 *   |  u32  | bytes  |  u8   |u8 |   u64    | u32 each        | u16 (wide: u32)   | bytes  |                     |
 *   |       |  u16   |       |   |          |                 |                   |        |                     |
 *   +-------+--------+-------+---+----------+-----------------+-------------------+--------+---------------------+
 *
 * All keys share `prefix`. A head is the next four bytes of the key as a big-endian number (missing bytes zero), so a
 * search is a binary search over one small array that touches no entry; only equal heads compare the rest. An entry:
 *
 *   varint suffix bytes (key less prefix) | varint value bytes | u8 meta | varint sequence - base |
 *   [u32 flags] | [i64 expires] | suffix less its first four bytes | value
 *
 * Blocks are immutable; any number of threads may read one. Bytes: FORMAT.md, "Block".
 */
#ifndef VELOCITY_BLOCK_H
#define VELOCITY_BLOCK_H

#include "entry.h"

/* ---- building; one thread --------------------------------------------------------------------------------------- */

struct block_staged {
    size_t key_at;
    uint64_t sequence;
    int64_t expires_at_ms;
    uint32_t key_bytes, value_bytes, flags;
    uint8_t kind;
};

/* Gathers entries, then lays them out. Keeps its memory for the next block. */
struct block_builder {
    struct block_staged *staged;
    uint8_t *bytes; /* keys and values, one after the other */
    uint8_t *out;
    size_t count, staged_capacity, used, bytes_capacity, out_capacity;
};

void block_builder_init(struct block_builder *builder);
void block_builder_free(struct block_builder *builder);
/* Keys in order; within a key the highest sequence first. */
VELOCITY_CHECK_RESULT velocity_status block_builder_add(struct block_builder *builder, const struct entry *entry);
/* About what the block will take. */
size_t block_builder_bytes(const struct block_builder *builder);
velocity_slice block_builder_first_key(const struct block_builder *builder);
velocity_slice block_builder_last_key(const struct block_builder *builder);
/* Lays the block out and empties the builder; *out lives until the builder is used again. */
VELOCITY_CHECK_RESULT velocity_status block_builder_finish(struct block_builder *builder, velocity_slice *out);

/* ---- reading ----------------------------------------------------------------------------------------------------- */

struct block {
    const uint8_t *data;
    const uint8_t *heads;
    const uint8_t *offsets;
    const uint8_t *prefix;
    uint64_t base_sequence;
    size_t size;
    uint32_t count;
    uint32_t prefix_bytes;
    bool wide;
};

/* Takes the layout apart and checks that everything before the entries lies inside. False: not a block. */
bool block_open(struct block *block, const void *data, size_t size);
/* The index of the first entry whose key is >= key; count if there is none. */
uint32_t block_seek(const struct block *block, velocity_slice key);

/* An entry taken apart in place; its key is block prefix + head + rest. */
struct block_entry {
    velocity_slice value;
    const uint8_t *rest; /* the suffix from its fifth byte on */
    uint64_t sequence;
    int64_t expires_at_ms;
    uint32_t suffix_bytes, flags;
    uint8_t kind;
};
/* False: the entry runs out of the block or is of an unknown kind. */
bool block_entry_read(const struct block *block, uint32_t i, struct block_entry *out);
/* The same for the entry behind *e, which it replaces: entries follow one another. There must be one. */
bool block_entry_next(const struct block *block, struct block_entry *e);
/*
 * An exact lookup: the first entry of `key` from index *i on (0 to begin), and where it stands. Takes apart only
 * entries whose head is the key's. NOT_FOUND, or CORRUPT (without a message) where an entry makes no sense.
 */
VELOCITY_CHECK_RESULT velocity_status block_find(const struct block *block, velocity_slice key, uint32_t *i,
                                                 struct block_entry *out);
static inline size_t block_key_bytes(const struct block *block, const struct block_entry *e) {
    return block->prefix_bytes + e->suffix_bytes;
}
/* Writes the key's part behind the block's prefix to `to`, which has room for suffix_bytes + BLOCK_SUFFIX_SLACK. */
#define BLOCK_SUFFIX_SLACK 16u
void block_suffix_copy(const struct block *block, uint32_t i, const struct block_entry *e, uint8_t *to);

#endif
