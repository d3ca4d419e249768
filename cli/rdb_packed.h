/*
 * rdb_packed.h - the packed forms in which a Redis dump holds small collections, as sequences of elements; its
 * compression and its checksum:
 *
 *     listpack  u32 bytes | u16 count | (encoding, data, length of both backwards)* | 0xFF
 *     ziplist   u32 bytes | u32 tail | u16 count | (length of the one before, encoding, data)* | 0xFF
 *     intset    u32 width: 2, 4 or 8 | u32 count | integers
 *
 * Little-endian but where ziplist says otherwise. Source: the comments at the head of Redis's listpack.c, ziplist.c
 * and intset.c. Nothing is believed: each step is checked against the bytes that there are.
 */
#ifndef VELOCITY_CLI_RDB_PACKED_H
#define VELOCITY_CLI_RDB_PACKED_H

#include "engine/velocity.h"

enum packed_form { PACKED_LISTPACK, PACKED_ZIPLIST, PACKED_INTSET };

struct packed {
    enum packed_form form;
    const uint8_t *at, *end;
    uint32_t left, width; /* intset */
    bool damaged;
    char digits[24]; /* of an integer, as text */
};

/* False: damaged. The bytes must live as long as it. */
bool packed_begin(struct packed *p, enum packed_form form, velocity_slice bytes);
/* The next element, an integer as its digits; it lives until the next call. False: that was all, or p->damaged. */
bool packed_next(struct packed *p, velocity_slice *out);

/* CRC-64 as Redis has it (Jones, reflected), over what comes behind `crc`, which begins as 0. */
uint64_t rdb_checksum(uint64_t crc, velocity_slice bytes);

/* LZF: `out` has exactly out_size bytes. False: damaged. */
bool lzf_decompress(velocity_slice in, uint8_t *out, size_t out_size);

#endif
