/* compress.c - see compress.h. */
#include "compress.h"

#include "status.h"

#define ZSTD_STATIC_LINKING_ONLY /* for contexts that allocate through the environment */
#include <lz4.h>
#include <zstd.h>
#include <zstd_errors.h>

enum {
    ZSTD_LEVEL = 1,
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
    return packed > 0 && packed < raw - raw / 8;
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
    size_t packed = 0;
    velocity_status status = VELOCITY_OK;
    *stored = raw;
    *how = PACKED_RAW;
    bool zstd = p->compression == VELOCITY_COMPRESSION_ZSTD ||
                (p->compression == VELOCITY_COMPRESSION_ADAPTIVE && p->last_level);
    if (p->compression == VELOCITY_COMPRESSION_NONE) return VELOCITY_OK;
    status = zstd ? pack_zstd(p, raw, &packed) : pack_lz4(p, raw, &packed);
    if (status || !worth_it(packed, raw.size)) return status;
    *stored = velocity_bytes(zstd ? p->other_bytes : p->bytes, packed);
    *how = zstd ? PACKED_ZSTD : PACKED_LZ4;
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
