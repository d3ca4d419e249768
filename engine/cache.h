/*
 * cache.h - the block cache: decoded blocks by (file id, offset), shared by all databases of a velocity_shared.
 *
 * Lookups take no lock and change no shared memory beyond a saturating per-entry counter that is written only while it
 * grows; they run inside an epoch section (epoch.h), in which the entry found stays valid. To keep it longer, acquire
 * it. Inserting and evicting lock one shard.
 *
 * Replacement is S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023): a small queue for
 * newcomers, a main queue for what was asked for again, a ghost queue that remembers what just left: recency and
 * frequency, robust against scans.
 */
#ifndef VELOCITY_CACHE_H
#define VELOCITY_CACHE_H

#include "epoch.h"

#include <stdatomic.h>

typedef struct cache cache;

/* An entry: this header, directly followed by its payload (64-byte aligned). The first member is cache.c's alone. */
struct cache_entry {
    union {
        struct epoch_item item; /* once it is unlinked */
        struct {                /* while it is linked */
            struct cache_entry *newer, *older;
        } queue_links;
    };
    _Atomic(struct cache_entry *) hash_next; /* cache.c's */
    uint64_t file_id;
    uint64_t offset;
    uint32_t size;               /* payload bytes */
    _Atomic uint32_t references; /* cache.c's: acquirers, and one from insertion until no section can see it any more */
    _Atomic uint8_t frequency;   /* cache.c's: 0-3 */
    uint8_t queue;               /* cache.c's */
    uint8_t padding;             /* cache.c's: where its memory is from */
    uint8_t kind;                /* the caller's; enum cache_kind counts usage by it */
} __attribute__((aligned(64)));

static inline void *cache_entry_data(struct cache_entry *entry) {
    return entry + 1;
}

enum cache_kind { CACHE_DATA, CACHE_INDEX, CACHE_FILTER, CACHE_VALUE /* one large value */, CACHE_KINDS };

struct cache_stats {
    uint64_t hits, misses, capacity_bytes;
    uint64_t used_bytes; /* what is linked: payloads, headers, alignment, and a share of the cache's own tables */
    uint64_t used_by_kind[CACHE_KINDS], entries, evictions;
};

/*
 * capacity 0: nothing is kept. `shards` is a power of two, at most 64, and stays what it is; 0 chooses by capacity. An
 * entry larger than a shard's part of the capacity is not kept. NULL: no memory.
 */
cache *cache_new(uint64_t capacity_bytes, uint32_t shards);
void cache_free(cache *c); /* no lookups or acquired entries may remain; NULL is allowed */

/* Inside an epoch section. NULL: not there. Counts a hit or a miss. */
struct cache_entry *cache_lookup(cache *c, uint64_t file_id, uint64_t offset);

/* Inside an epoch section. Fetches what a lookup of this key will touch: the place in the hash table where the lookup
 * begins, or, where that came meanwhile, the entry's beginning. Changes and counts nothing. */
void cache_prefetch_place(cache *c, uint64_t file_id, uint64_t offset);
void cache_prefetch_entry(cache *c, uint64_t file_id, uint64_t offset);

/* Memory for a block that is about to be read, referenced once by the caller and not in the cache yet, nor ever in
 * another one. NULL: no memory. */
struct cache_entry *cache_entry_new(cache *c, uint32_t payload_bytes);
/*
 * Offers the caller's entry to the cache under a key and makes room. Where another thread was first, the cache keeps
 * that one and the caller's stays private; either way the caller goes on using its own entry and releases it. A value
 * that would take more than a quarter of a shard is not kept: it would push out much that is wanted more.
 */
void cache_insert(cache *c, struct cache_entry *entry, uint64_t file_id, uint64_t offset, enum cache_kind kind);
/* Keeps an entry found in an epoch section beyond it. */
void cache_entry_acquire(struct cache_entry *entry);
/* Gives back a reference from cache_entry_new or cache_entry_acquire. Any thread. NULL is allowed. */
void cache_entry_release(struct cache_entry *entry);

/* Forgets all entries of a file (it is gone, its id is never used again): cheap if called with its blocks' offsets. */
void cache_forget(cache *c, uint64_t file_id, uint64_t offset);
/* Adjusts while in use; evicts down to the new capacity. */
void cache_set_capacity(cache *c, uint64_t capacity_bytes);
/* Drops everything that is not acquired; counts no evictions. */
void cache_clear(cache *c);
void cache_stats_get(cache *c, struct cache_stats *out);

#endif
