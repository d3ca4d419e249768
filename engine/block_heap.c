/*
 * block_heap.c - see block_heap.h. Regions of one huge page are cut into chunks of whole units (cache lines). Free
 * chunks wait in bins by size, as in TLSF (Masmano et al., "TLSF: a new dynamic memory allocator for real-time
 * systems", 2004), and merge with free neighbours at once.
 *
 *     region: | header, edges | used | free ......... | used | used | free ... |      2 MiB, aligned to it
 *                                    ^first      last^
 *
 * A used chunk has no header: who releases it says how large it is. A free one has its links and size at its beginning
 * and its size again at its end; `edges` has a bit for the first and the last unit of every free chunk, so that a chunk
 * that is released sees at both sides whether its neighbour is free.
 *
 * Invariants, whenever the lock is free:
 *   1. No two free chunks touch.
 *   2. A bit of `edges` is set exactly for the first and last unit of free chunks; each free chunk is in its size's
 * bin.
 *   3. At most one region is free as a whole: it is kept for the next block.
 *
 * Locks: one per heap, a leaf; the system is asked for memory without it.
 */
#include "block_heap.h"

#include "env.h"

#include <assert.h>

enum {
    UNIT_BYTES = 64,
    REGION_BYTES = ENV_HUGE_BYTES,
    REGION_UNITS = REGION_BYTES / UNIT_BYTES,
    BIN_STEPS = 16, /* bins between a power of two and the next */
    BIN_STEPS_LOG2 = 4,
    BINS = 192,
    TRIES_IN_BIN = 8, /* chunks of the wanted size's own bin that are looked at: some may be too small */
};

struct chunk {
    struct chunk *next, *previous; /* in the bin */
    uint32_t units;
};

struct region {
    block_heap *heap;
    uint64_t edges[REGION_UNITS / 64];
};

#define HEADER_UNITS ((uint32_t)((sizeof(struct region) + UNIT_BYTES - 1) / UNIT_BYTES))
#define WHOLE_UNITS  (REGION_UNITS - HEADER_UNITS)

struct block_heap {
    env_mutex lock; /* guards everything */
    struct chunk *bins[BINS];
    uint64_t filled[BINS / 64]; /* a bit for each bin that is not empty */
    uint64_t regions, used_units;
    bool has_whole; /* a region is free as a whole */
    bool closed;
};

_Static_assert(sizeof(struct chunk) + sizeof(uint32_t) <= UNIT_BYTES, "a free chunk holds its links and both sizes");
_Static_assert(BLOCK_HEAP_MAX_BYTES <= REGION_BYTES / 4, "a region holds several blocks");

/* ---- chunks ------------------------------------------------------------------------------------------------------ */

static inline struct region *region_of(const void *block) {
    return (struct region *)((uintptr_t)block & ~(uintptr_t)(REGION_BYTES - 1));
}

static inline uint32_t unit_of(const void *block) {
    return (uint32_t)(((uintptr_t)block & (REGION_BYTES - 1)) / UNIT_BYTES);
}

static inline struct chunk *chunk_at(struct region *region, uint32_t unit) {
    return (struct chunk *)(void *)((char *)region + (size_t)unit * UNIT_BYTES);
}

/* The size of a free chunk, at its very end. */
static inline uint32_t *size_before(struct region *region, uint32_t unit) {
    return (uint32_t *)(void *)((char *)region + (size_t)unit * UNIT_BYTES - sizeof(uint32_t));
}

static inline bool is_edge(const struct region *region, uint32_t unit) {
    return region->edges[unit / 64] >> (unit % 64) & 1;
}

static inline void set_edges(struct region *region, uint32_t first, uint32_t units, bool on) {
    uint32_t last = first + units - 1;
    uint64_t first_bit = UINT64_C(1) << (first % 64), last_bit = UINT64_C(1) << (last % 64);
    if (on) {
        region->edges[first / 64] |= first_bit;
        region->edges[last / 64] |= last_bit;
    } else {
        region->edges[first / 64] &= ~first_bit;
        region->edges[last / 64] &= ~last_bit;
    }
}

/* Sizes below 2 * BIN_STEPS have a bin of their own, larger ones share it with those that differ in lower bits. */
static inline uint32_t bin_of(uint32_t units) {
    if (units < BIN_STEPS) return units;
    uint32_t log2 = 31 - (uint32_t)__builtin_clz(units);
    return (log2 - BIN_STEPS_LOG2 + 1) * BIN_STEPS + ((units >> (log2 - BIN_STEPS_LOG2)) & (BIN_STEPS - 1));
}

static void chunk_put(block_heap *heap, struct region *region, uint32_t unit, uint32_t units) {
    struct chunk *c = chunk_at(region, unit);
    uint32_t bin = bin_of(units);
    c->units = units;
    *size_before(region, unit + units) = units;
    set_edges(region, unit, units, true);
    c->previous = NULL;
    c->next = heap->bins[bin];
    if (c->next) c->next->previous = c;
    heap->bins[bin] = c;
    heap->filled[bin / 64] |= UINT64_C(1) << (bin % 64);
}

static void chunk_take(block_heap *heap, struct chunk *c) {
    uint32_t bin = bin_of(c->units);
    set_edges(region_of(c), unit_of(c), c->units, false);
    if (c->next) c->next->previous = c->previous;
    if (c->previous)
        c->previous->next = c->next;
    else
        heap->bins[bin] = c->next;
    if (!heap->bins[bin]) heap->filled[bin / 64] &= ~(UINT64_C(1) << (bin % 64));
}

/* A free chunk that is large enough, from the smallest size that surely is; NULL: there is none. */
static struct chunk *find(const block_heap *heap, uint32_t units) {
    uint32_t bin = bin_of(units);
    struct chunk *c = heap->bins[bin];
    for (uint32_t tries = 0; c && tries < TRIES_IN_BIN; tries++, c = c->next)
        if (c->units >= units) return c;
    for (uint32_t word = ++bin / 64; word < BINS / 64; word++) {
        uint64_t filled = heap->filled[word];
        if (word == bin / 64) filled &= ~UINT64_C(0) << (bin % 64);
        if (filled) return heap->bins[word * 64 + (uint32_t)__builtin_ctzll(filled)];
    }
    return NULL;
}

static void *cut(block_heap *heap, struct chunk *c, uint32_t units) {
    uint32_t left = c->units - units;
    if (c->units == WHOLE_UNITS) heap->has_whole = false;
    chunk_take(heap, c);
    if (left) chunk_put(heap, region_of(c), unit_of(c) + units, left);
    heap->used_units += units;
    return c;
}

/* ---- what block_heap.h offers ------------------------------------------------------------------------------------ */

static inline uint32_t units_for(size_t bytes) {
    return bytes ? (uint32_t)((bytes + UNIT_BYTES - 1) / UNIT_BYTES) : 1;
}

block_heap *block_heap_new(void) {
    block_heap *heap = env_alloc_zeroed(sizeof *heap);
    if (heap) env_mutex_init(&heap->lock);
    return heap;
}

static void destroy(block_heap *heap) {
    for (uint32_t bin = 0; bin < BINS; bin++) /* nothing is used: at most one whole region is left */
        if (heap->bins[bin]) env_free_huge(region_of(heap->bins[bin]), REGION_BYTES);
    env_mutex_destroy(&heap->lock);
    env_free(heap);
}

void block_heap_close(block_heap *heap) {
    if (!heap) return;
    env_mutex_lock(&heap->lock);
    heap->closed = true;
    bool last = heap->used_units == 0;
    env_mutex_unlock(&heap->lock);
    if (last) destroy(heap);
}

void *block_heap_alloc(block_heap *heap, size_t bytes) {
    assert(bytes <= BLOCK_HEAP_MAX_BYTES);
    uint32_t units = units_for(bytes);
    env_mutex_lock(&heap->lock);
    struct chunk *c = find(heap, units);
    void *block = c ? cut(heap, c, units) : NULL;
    env_mutex_unlock(&heap->lock);
    if (block) return block;
    struct region *region = env_alloc_huge(REGION_BYTES); /* zeroed, as the system gives it */
    if (!region) return NULL;
    region->heap = heap;
    env_mutex_lock(&heap->lock);
    heap->regions++;
    heap->used_units += units;
    chunk_put(heap, region, HEADER_UNITS + units, WHOLE_UNITS - units);
    env_mutex_unlock(&heap->lock);
    return chunk_at(region, HEADER_UNITS);
}

void block_heap_release(void *block, size_t bytes) {
    struct region *region = region_of(block), *gone = NULL;
    block_heap *heap = region->heap;
    uint32_t unit = unit_of(block), units = units_for(bytes);
    env_mutex_lock(&heap->lock);
    heap->used_units -= units;
    if (unit + units < REGION_UNITS && is_edge(region, unit + units)) {
        struct chunk *behind = chunk_at(region, unit + units);
        chunk_take(heap, behind);
        units += behind->units;
    }
    if (unit > HEADER_UNITS && is_edge(region, unit - 1)) {
        uint32_t before = *size_before(region, unit);
        chunk_take(heap, chunk_at(region, unit - before));
        unit -= before;
        units += before;
    }
    if (units == WHOLE_UNITS && heap->has_whole) {
        gone = region;
        heap->regions--;
    } else {
        chunk_put(heap, region, unit, units);
        heap->has_whole |= units == WHOLE_UNITS;
    }
    bool last = heap->closed && heap->used_units == 0;
    env_mutex_unlock(&heap->lock);
    if (gone) env_free_huge(gone, REGION_BYTES);
    if (last) destroy(heap);
}

uint64_t block_heap_held_bytes(block_heap *heap) {
    env_mutex_lock(&heap->lock);
    uint64_t bytes = heap->regions * REGION_BYTES;
    env_mutex_unlock(&heap->lock);
    return bytes;
}
