/*
 * compress.h - what a block is packed with, and unpacking it: lz4, zstd, or as it is where that gains too little.
 *
 * A packer belongs to one table builder and its thread. Unpackers are what zstd needs to decompress: a few of them,
 * kept for all tables that share a cache; any thread may unpack. Bytes: FORMAT.md, "Table".
 */
#ifndef VELOCITY_COMPRESS_H
#define VELOCITY_COMPRESS_H

#include "env.h"

/* In a block's trailer. */
enum packing { PACKED_RAW = 0, PACKED_LZ4 = 1, PACKED_ZSTD = 2, PACKINGS };

/* ---- packing; one thread -------------------------------------------------------------------------------------------
 */

struct packer {
    velocity_compression compression;
    bool last_level;  /* what is packed goes to the last level: it stays, and is most of the database */
    void *zstd;       /* made when first needed, kept for the next block */
    uint32_t believe; /* so many blocks zstd is not tried on */
    uint8_t *bytes, *other_bytes;
    size_t capacity, other_capacity;
};

/* *stored is `raw` itself, or memory of the packer that lives until its next call. */
VELOCITY_CHECK_RESULT velocity_status packer_pack(struct packer *p, velocity_slice raw, velocity_slice *stored,
                                                  enum packing *how);
void packer_clear(struct packer *p); /* frees what it holds; a zeroed one may be cleared */

/* ---- unpacking; any thread -----------------------------------------------------------------------------------------
 */

enum { UNPACKERS_KEPT = 16 };

struct unpackers {
    _Atomic(void *) zstd[UNPACKERS_KEPT]; /* idle ones; NULL: a free place */
};

/* Whether so many bytes could become so many: a size that no packing explains must not be allocated. */
bool unpack_size_possible(enum packing how, size_t stored_bytes, size_t raw_bytes);
/* Fills exactly raw_bytes. CORRUPT, without a message: these bytes are not so many, packed so. */
VELOCITY_CHECK_RESULT velocity_status unpack(struct unpackers *u, enum packing how, const void *stored,
                                             size_t stored_bytes, void *raw, size_t raw_bytes);
void unpackers_clear(struct unpackers *u);

#endif
