/*
 * table_format.h - the bytes of a table that its builder and its reader must agree on. See FORMAT.md, "Table".
 *
 *   header | data block* | index block* | filter partition* | top index block | footer
 *
 * Every block is followed by a trailer: u8 compression | u32 raw bytes | u32 checksum over block, compression and size.
 * With encryption a block is compressed, then encrypted (and a tag longer), then stored; it is bound to the first five
 * bytes of its trailer.
 */
#ifndef VELOCITY_TABLE_FORMAT_H
#define VELOCITY_TABLE_FORMAT_H

#include "coding.h"

#define BLOCK_TRAILER_BYTES 9u
#define BLOCK_BOUND_BYTES   5u

#define TABLE_FOOTER_BYTES     512u
#define TABLE_FOOTER_MAGIC     UINT64_C(0x454c4241544c4556) /* "VELTABLE" */
#define TABLE_FLAG_ONE_VERSION 1u                           /* no key has two entries */

/* Where the fields of the footer stand; everything else in it is zero. */
enum table_footer_field {
    FOOTER_MAGIC = 0,
    FOOTER_VERSION = 8,
    FOOTER_FLAGS = 12,
    FOOTER_NUMBER = 16,
    FOOTER_ENTRIES = 24,
    FOOTER_TOMBSTONES = 32,
    FOOTER_RAW_BYTES = 40,
    FOOTER_MIN_SEQUENCE = 48,
    FOOTER_MAX_SEQUENCE = 56,
    FOOTER_DATA_BLOCKS = 64,
    FOOTER_FILTER_PARTITIONS = 72,
    FOOTER_FILTER_PARTITION_BYTES = 76,
    FOOTER_FILTER_PROBES = 80,
    FOOTER_SLOTS = 128, /* 16 slots: u64 offset | u64 bytes, 0 where absent */
    FOOTER_TAG = 492,   /* with encryption: CIPHER_TAG_BYTES over all before it; else zero */
    FOOTER_CHECKSUM = 508,
};

enum table_slot {
    SLOT_TOP_INDEX,
    SLOT_FILTER,
    SLOT_RANGE_TOMBSTONES, /* an index block of blocks that list the range deletes */
    SLOT_VALUE_REFERENCES, /* for repair: the manifest holds the same list */
    SLOT_EXPIRY,           /* when its entries expire */
    SLOT_DICTIONARY,       /* reserved */
    SLOT_COUNT = 16,
};

/* No block unpacks to more than this, and this for each entry of the table, and the table's raw bytes. (An index entry
 * takes 56 bytes and its key, an entry 41, key and value; a prefix is as long as the longest key.) */
#define TABLE_BLOCK_BASE_BYTES  65536u
#define TABLE_BLOCK_ENTRY_BYTES 64u

/* Where a block is: bytes without the trailer. */
struct block_handle {
    uint64_t offset;
    uint32_t bytes;
};

#define BLOCK_HANDLE_MAX_BYTES (VARINT64_MAX_BYTES + VARINT32_MAX_BYTES)

static inline size_t block_handle_encode(uint8_t *out, struct block_handle handle) {
    return (size_t)(put_varint(put_varint(out, handle.offset), handle.bytes) - out);
}

static inline int block_handle_decode(const void *data, size_t size, struct block_handle *out) {
    const uint8_t *p = data, *end = p + size;
    return (p = get_varint64(p, end, &out->offset)) && (p = get_varint32(p, end, &out->bytes)) && p == end;
}

#endif
