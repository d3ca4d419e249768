/*
 * compress.c - see compress.h.
 *
 * What adaptive does rests on this (one 2.5 GHz core, blocks of 4 KiB as the engine lays them out; bytes packed as a
 * part of those raw, microseconds to pack and to unpack a block):
 *
 *                              lz4                 zstd 1              zstd 3
 *     JSON documents           0.484  17.7   3.9   0.363  25.2  10.6   0.357  29.8   9.3
 *     log lines                0.392   7.7   2.3   0.285  27.2   8.1   0.286  22.2   8.1
 *     four numbers             0.632   5.2   1.6   0.421  19.1   9.0   0.430  34.9  11.0
 *     half random, repeated    0.600   3.9   0.8   0.583  17.3   1.6   0.579  24.5   1.9
 *     random                   1.002   2.9   0.9   1.002  20.7   1.0   1.002  24.9   1.0
 *
 * - Level 1: at this size more levels cost time and gain nothing.
 * - zstd takes a quarter to a third off what lz4 leaves of text and numbers, nothing off bytes that only repeat; it
 *   takes three to five times as long to unpack. So it is for the last level, which holds nine tenths of a large
 *   database and is read least for its size, and there where it takes a good part off what lz4 leaves.
 * - Trying in vain costs as much as packing: what one block has shown is believed for the next few.
 */
#include "compress.h"

#include "status.h"

#define ZSTD_STATIC_LINKING_ONLY /* for contexts that allocate through the environment */
#include <lz4.h>
#include <zstd.h>
#include <zstd_errors.h>

enum {
    ZSTD_LEVEL = 1,
    WORTH_PART = 8,      /* packing must take off at least this part: 12%; zstd as much of what lz4 leaves */
    BELIEVED_BLOCKS = 8, /* so many are not tried after one on which zstd was not worth it */
    ZSTD_LARGEST_BLOCK = 128 * 1024, /* one of its blocks yields at most this ... */
    ZSTD_SMALLEST_BLOCK = 3,         /* ... and takes at least this: RFC 8878, section 3.1.1.2 */
    LZ4_LARGEST_RATIO = 255,         /* each byte of a length adds at most this */
};

static void *zstd_allocate(void *opaque, size_t size) {
    (void)opaque;
    return env_alloc(size);
}

static void zstd_release(void *opaque, void *block) {
    (void)opaque;
    env_free(block);
}

static const ZSTD_customMem zstd_memory = {zstd_allocate, zstd_release, NULL};

/* ---- packing ------------------------------------------------------------------------------------------------------
 */

/* Below about 12% saving a block is kept raw: reading it then costs no decompression. */
static bool worth_it(size_t packed, size_t raw) {
    return packed > 0 && packed < raw - raw / WORTH_PART;
}

static velocity_status reserve(uint8_t **bytes, size_t *capacity, size_t size) {
    if (size <= *capacity) return VELOCITY_OK;
    env_free(*bytes);
    *capacity = 0;
    if (!(*bytes = env_alloc(size))) return VELOCITY_NO_MEMORY;
    *capacity = size;
    return VELOCITY_OK;
}

/* *packed: the size; 0: it could not be made smaller. */
static velocity_status pack_lz4(struct packer *p, velocity_slice raw, size_t *packed) {
    *packed = 0;
    if (raw.size > LZ4_MAX_INPUT_SIZE) return VELOCITY_OK;
    size_t bound = (size_t)LZ4_compressBound((int)raw.size);
    velocity_status status = reserve(&p->bytes, &p->capacity, bound);
    if (!status) *packed = (size_t)LZ4_compress_default(raw.data, (char *)p->bytes, (int)raw.size, (int)bound);
    return status;
}

static velocity_status pack_zstd(struct packer *p, velocity_slice raw, size_t *packed) {
    *packed = 0;
    size_t bound = ZSTD_compressBound(raw.size);
    velocity_status status = reserve(&p->other_bytes, &p->other_capacity, bound);
    if (!status && !p->zstd && !(p->zstd = ZSTD_createCCtx_advanced(zstd_memory))) status = VELOCITY_NO_MEMORY;
    if (status) return status;
    size_t result = ZSTD_compressCCtx(p->zstd, p->other_bytes, bound, raw.data, raw.size, ZSTD_LEVEL);
    if (!ZSTD_isError(result)) *packed = result;
    if (ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation)
        return status_set(VELOCITY_NO_MEMORY, "no memory to compress a block");
    return VELOCITY_OK;
}

velocity_status packer_pack(struct packer *p, velocity_slice raw, velocity_slice *stored, enum packing *how) {
    size_t lz4 = 0, zstd = 0;
    bool adaptive = p->compression == VELOCITY_COMPRESSION_ADAPTIVE;
    bool try_zstd = p->compression == VELOCITY_COMPRESSION_ZSTD;
    if (adaptive && p->last_level && !(try_zstd = p->believe == 0)) p->believe--;
    velocity_status status = VELOCITY_OK;
    *stored = raw;
    *how = PACKED_RAW;
    if (adaptive || p->compression == VELOCITY_COMPRESSION_LZ4) status = pack_lz4(p, raw, &lz4);
    if (!status && try_zstd) status = pack_zstd(p, raw, &zstd);
    if (status) return status;
    if (worth_it(lz4, raw.size)) {
        *stored = velocity_bytes(p->bytes, lz4);
        *how = PACKED_LZ4;
    }
    if (worth_it(zstd, stored->size)) {
        *stored = velocity_bytes(p->other_bytes, zstd);
        *how = PACKED_ZSTD;
    } else if (try_zstd) {
        p->believe = BELIEVED_BLOCKS;
    }
    return VELOCITY_OK;
}

void packer_clear(struct packer *p) {
    (void)ZSTD_freeCCtx(p->zstd);
    env_free(p->bytes);
    env_free(p->other_bytes);
    p->zstd = p->bytes = p->other_bytes = NULL;
    p->capacity = p->other_capacity = 0;
}

/* ---- unpacking -----------------------------------------------------------------------------------------------------
 */

bool unpack_size_possible(enum packing how, size_t stored_bytes, size_t raw_bytes) {
    if (raw_bytes > INT32_MAX || stored_bytes > INT32_MAX) return false;
    switch (how) {
    case PACKED_RAW: return raw_bytes == stored_bytes;
    case PACKED_LZ4: return raw_bytes / LZ4_LARGEST_RATIO <= stored_bytes;
    case PACKED_ZSTD: return raw_bytes / ZSTD_LARGEST_BLOCK <= stored_bytes / ZSTD_SMALLEST_BLOCK;
    default: return false;
    }
}

/* Threads look for an idle one at places of their own first, so that they seldom meet. */
static size_t first_place(void) {
    static _Thread_local char mine;
    return ((uintptr_t)&mine >> 12) % UNPACKERS_KEPT;
}

static ZSTD_DCtx *take_zstd(struct unpackers *u) {
    for (size_t i = 0, at = first_place(); i < UNPACKERS_KEPT; i++, at = (at + 1) % UNPACKERS_KEPT) {
        if (!atomic_load_explicit(&u->zstd[at], memory_order_relaxed)) continue;
        ZSTD_DCtx *context = atomic_exchange_explicit(&u->zstd[at], NULL, memory_order_acquire);
        if (context) return context;
    }
    return ZSTD_createDCtx_advanced(zstd_memory);
}

static void keep_zstd(struct unpackers *u, ZSTD_DCtx *context) {
    for (size_t i = 0, at = first_place(); i < UNPACKERS_KEPT; i++, at = (at + 1) % UNPACKERS_KEPT) {
        void *nobody = NULL;
        if (atomic_compare_exchange_strong_explicit(&u->zstd[at], &nobody, context, memory_order_release,
                                                    memory_order_relaxed))
            return;
    }
    (void)ZSTD_freeDCtx(context); /* more threads unpack at once than there are places */
}

static velocity_status unpack_zstd(struct unpackers *u, const void *stored, size_t stored_bytes, void *raw,
                                   size_t raw_bytes) {
    ZSTD_DCtx *context = take_zstd(u);
    if (!context) return VELOCITY_NO_MEMORY;
    size_t result = ZSTD_decompressDCtx(context, raw, raw_bytes, stored, stored_bytes);
    keep_zstd(u, context);
    return result == raw_bytes ? VELOCITY_OK : VELOCITY_CORRUPT;
}

velocity_status unpack(struct unpackers *u, enum packing how, const void *stored, size_t stored_bytes, void *raw,
                       size_t raw_bytes) {
    if (!unpack_size_possible(how, stored_bytes, raw_bytes)) return VELOCITY_CORRUPT;
    if (how == PACKED_ZSTD) return unpack_zstd(u, stored, stored_bytes, raw, raw_bytes);
    if (how == PACKED_RAW) {
        memcpy(raw, stored, raw_bytes);
        return VELOCITY_OK;
    }
    int result = LZ4_decompress_safe(stored, raw, (int)stored_bytes, (int)raw_bytes);
    return result >= 0 && (size_t)result == raw_bytes ? VELOCITY_OK : VELOCITY_CORRUPT;
}

void unpackers_clear(struct unpackers *u) {
    for (size_t i = 0; i < UNPACKERS_KEPT; i++) (void)ZSTD_freeDCtx(atomic_exchange(&u->zstd[i], NULL));
}
