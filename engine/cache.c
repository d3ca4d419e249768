/*
 * cache.c - the block cache. See cache.h.
 *
 *     cache -- shard (by the hash's top bits) --+-- buckets[hash] -> entry -> entry     lock-free to read
 *                                               +-- small queue: oldest ... newest      under the shard's lock
 *                                               +-- main queue:  oldest ... newest      under the shard's lock
 *                                               +-- ghost: hashes of what left small    under the shard's lock
 *
 * S3-FIFO: newcomers enter the small queue (a tenth of the capacity), or the main queue if the ghost remembers them.
 * What reaches the small queue's end goes to main if it was found at least PROMOTE_AT times, else it leaves and the
 * ghost remembers it. What reaches main's end goes round again, one step less frequent, until that is zero.
 *
 * Invariants
 *   1. An entry is in a chain and in a queue, or in neither; the shard's lock guards the change.
 *   2. used_bytes <= capacity whenever the lock is free, and it is the sum of entry_charge over both queues.
 *   3. From insertion on an entry holds one reference for its being linked. That one is dropped by epoch.c after the
 *      unlinking, when no section can see the entry any more. So whoever finds an entry inside a section finds at
 *      least one reference and may simply add another; and whoever drops the last one may free at once, since then no
 *      section sees the entry.
 *   4. An unlinked entry keeps its hash_next: a reader that stands on it goes on from there. What follows was linked
 *      when the reader's section began or later, so it is still there.
 *
 * Resizing moves the entries of a shard from chain to chain; a reader that is led astray by it may miss an entry, never
 * find a wrong one (keys are compared) nor walk for ever (chains have no cycles at any time). `moves` is odd meanwhile
 * and differs afterwards: who missed and sees that looks again under the lock.
 *
 * Locks: one per shard, a leaf: nothing is called under it but the allocator. Retiring happens after unlocking, because
 * it may run any destroyer.
 */
#include "cache.h"

#include "block_heap.h"
#include "env.h"
#include "stripe.h"

#include <assert.h>

#define CACHE_LINE_BYTES       64
#define SHARDS_DEFAULT         16u
#define SHARDS_MAX             64u
#define SHARD_BYTES_MIN        (512u << 10) /* a shard should hold a filter block, not only data blocks */
#define SHARD_BYTES_WANTED_MAX (64u << 20)  /* beyond: more shards, since resizing one holds its lock */
#define BUCKET_BITS_MIN        6u
#define BUCKET_BITS_MAX        30u
#define BUCKET_BITS_MASK       63u
#define FREQUENCY_MAX          3u
#define PROMOTE_AT             2u
#define SMALL_QUEUE_FRACTION   10u
#define SPARED_IN_A_ROW_MAX    256u         /* bounds the work under the lock */
#define LARGE_ENTRY_BYTES      (128u << 10) /* evicted ones should not wait for more retirements */
#define GHOST_WAYS             4u
#define VALUE_FRACTION         4u
#define PREFETCHED_LINES       5u  /* of an entry that is looked up */
#define EXTRA_BYTES            96u /* per entry, at most: 63 to align it; a bucket and a ghost slot, both at load 1/2 */

enum { QUEUE_SMALL, QUEUE_MAIN, QUEUES };

_Static_assert(sizeof(struct cache_entry) == CACHE_LINE_BYTES, "a lookup touches one line of an entry");

/* One allocation, aligned to a cache line, so that the low bits of its address can hold the number of buckets. */
struct bucket_array {
    struct epoch_item item;
    _Alignas(CACHE_LINE_BYTES) _Atomic(struct cache_entry *) buckets[];
};

struct queue {
    struct cache_entry *oldest, *newest;
    uint64_t bytes, count;
};

/*
 * Remembers what left the small queue: sets of GHOST_WAYS slots, the newest replaces the oldest of its set. A slot
 * counts as long as no more entries left after it than the shard holds (S3-FIFO: as many as main; this is a tenth
 * more).
 */
struct ghost_slot {
    uint32_t fingerprint, left_at;
};

struct ghost {
    struct ghost_slot *slots; /* NULL: nothing left yet, or no memory */
    uint32_t bits;            /* log2 of the number of slots */
    uint32_t clock;           /* entries that left, from GHOST_CLOCK_START */
};
#define GHOST_CLOCK_START (1u << 31) /* empty slots (left_at 0) are old */

/* What lookups read: on a line of its own, seldom written. */
struct index {
    _Alignas(
        CACHE_LINE_BYTES) _Atomic uintptr_t table; /* bucket_array *, and log2 of its buckets in the low bits; or 0 */
    _Atomic uint32_t moves;                        /* see above */
};

struct shard {
    struct index index;
    env_mutex lock; /* guards all below and every change of the index */
    uint64_t capacity_bytes, used_bytes, used_by_kind[CACHE_KINDS], evictions;
    struct queue queues[QUEUES];
    struct ghost ghost;
};

/* Threads spread over these, so that counting does not make them wait for each other's cache lines. */
struct counters {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t hits;
    _Atomic uint64_t misses;
};

struct cache {
    struct counters counters[STRIPES];
    _Atomic uint64_t capacity_bytes;
    block_heap *heap;     /* of entries that are not too large */
    uint32_t shard_count; /* a power of two */
    struct shard shards[];
};

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static inline uint64_t hash_key(uint64_t file_id, uint64_t offset) {
    uint64_t h = file_id * 0x9E3779B97F4A7C15u + offset;
    h = (h ^ (h >> 32)) * 0xD6E8FEB86659FD93u;
    h = (h ^ (h >> 32)) * 0xD6E8FEB86659FD93u;
    return h ^ (h >> 32);
}

static inline uint64_t entry_hash(const struct cache_entry *e) {
    return hash_key(e->file_id, e->offset);
}

static inline struct shard *shard_of(cache *c, uint64_t hash) {
    return &c->shards[(hash >> 56) & (c->shard_count - 1)];
}

static uint64_t entry_charge(const struct cache_entry *e) {
    return sizeof *e + e->size + EXTRA_BYTES;
}

static uint64_t shard_entries(const struct shard *s) {
    return s->queues[QUEUE_SMALL].count + s->queues[QUEUE_MAIN].count;
}

/* ---- entries ----------------------------------------------------------------------------------------------------- */

/* padding of an entry in the heap; less: bytes between its allocation's beginning and the entry. */
#define PADDING_IN_HEAP CACHE_LINE_BYTES

/* The address sanitizer knows nothing of the heap: under it every entry is an allocation of its own. */
#if defined(__SANITIZE_ADDRESS__)
#define HEAP_BYTES_MAX 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HEAP_BYTES_MAX 0
#endif
#endif
#ifndef HEAP_BYTES_MAX
#define HEAP_BYTES_MAX BLOCK_HEAP_MAX_BYTES
#endif

/*
 * Outside of the heap aligned by hand: with glibc 2.36, posix_memalign of blocks that come and go at random takes twice
 * malloc's time, and of equal blocks half as much memory again, because a freed one is too small for the next search.
 */
struct cache_entry *cache_entry_new(cache *c, uint32_t payload_bytes) {
    size_t bytes = sizeof(struct cache_entry) + payload_bytes, padding = PADDING_IN_HEAP;
    struct cache_entry *e;
    if (bytes <= HEAP_BYTES_MAX) {
        e = block_heap_alloc(c->heap, bytes);
        if (!e) return NULL;
    } else {
        char *block = env_alloc(CACHE_LINE_BYTES - 1 + bytes);
        if (!block) return NULL;
        padding = -(uintptr_t)block & (CACHE_LINE_BYTES - 1);
        e = (struct cache_entry *)(void *)(block + padding);
    }
    memset(e, 0, sizeof *e);
    e->size = payload_bytes;
    e->padding = (uint8_t)padding;
    atomic_init(&e->references, 1);
    return e;
}

void cache_entry_acquire(struct cache_entry *entry) {
    uint32_t before = atomic_fetch_add_explicit(&entry->references, 1, memory_order_relaxed);
    assert(before > 0 && before < UINT32_MAX);
    (void)before;
}

void cache_entry_release(struct cache_entry *entry) {
    if (!entry) return;
    uint32_t before = atomic_fetch_sub_explicit(&entry->references, 1, memory_order_acq_rel);
    assert(before > 0);
    if (before != 1) return;
    if (entry->padding == PADDING_IN_HEAP)
        block_heap_release(entry, sizeof *entry + entry->size);
    else
        env_free((char *)entry - entry->padding);
}

static void destroy_entry(struct epoch_item *item) {
    cache_entry_release((struct cache_entry *)item);
}

static void destroy_bucket_array(struct epoch_item *item) {
    env_free(item);
}

/* Chains up what was unlinked under a shard's lock, to be retired after it. */
static void put_aside(struct epoch_item *item, void (*destroy)(struct epoch_item *), struct epoch_item **gone) {
    item->next = *gone;
    item->destroy = destroy;
    *gone = item;
}

static void retire_all(struct epoch_item *gone) {
    for (struct epoch_item *next; gone; gone = next) {
        next = gone->next;
        epoch_retire(gone, gone->destroy);
    }
}

/* ---- queues ------------------------------------------------------------------------------------------------------ */

static void queue_push(struct shard *s, struct cache_entry *e, uint8_t queue) {
    struct queue *q = &s->queues[queue];
    e->queue = queue;
    e->queue_links.newer = NULL;
    e->queue_links.older = q->newest;
    if (q->newest)
        q->newest->queue_links.newer = e;
    else
        q->oldest = e;
    q->newest = e;
    q->bytes += entry_charge(e);
    q->count++;
}

static void queue_remove(struct shard *s, struct cache_entry *e) {
    struct queue *q = &s->queues[e->queue];
    struct cache_entry *newer = e->queue_links.newer, *older = e->queue_links.older;
    if (newer)
        newer->queue_links.older = older;
    else
        q->newest = older;
    if (older)
        older->queue_links.newer = newer;
    else
        q->oldest = newer;
    q->bytes -= entry_charge(e);
    q->count--;
}

/* ---- the ghost --------------------------------------------------------------------------------------------------- */

static inline uint32_t ghost_fingerprint(uint64_t hash) {
    return (uint32_t)(hash >> 16);
}

static struct ghost_slot *ghost_set(const struct ghost *g, uint32_t fingerprint) {
    return &g->slots[fingerprint & ((1u << g->bits) - GHOST_WAYS)];
}

static void ghost_put(struct ghost *g, struct ghost_slot what) {
    struct ghost_slot *set = ghost_set(g, what.fingerprint), *oldest = set;
    for (uint32_t i = 1; i < GHOST_WAYS; i++)
        if (g->clock - set[i].left_at > g->clock - oldest->left_at) oldest = &set[i];
    *oldest = what;
}

/* As many slots as buckets. Without memory it stays as it is. */
static void ghost_resize(struct ghost *g, uint32_t bits) {
    struct ghost_slot *old = g->slots, *slots = env_alloc_zeroed(sizeof *slots << bits);
    if (!slots) return;
    size_t old_count = old ? (size_t)1 << g->bits : 0;
    g->slots = slots;
    g->bits = bits;
    for (size_t i = 0; i < old_count; i++)
        if (old[i].left_at) ghost_put(g, old[i]);
    env_free(old);
}

static void ghost_remember(struct shard *s, const struct cache_entry *e) {
    struct ghost *g = &s->ghost;
    uint32_t bits = atomic_load_explicit(&s->index.table, memory_order_relaxed) & BUCKET_BITS_MASK;
    if (!g->slots || g->bits != bits) ghost_resize(g, bits);
    if (!g->slots) return;
    g->clock++;
    ghost_put(g, (struct ghost_slot){ghost_fingerprint(entry_hash(e)), g->clock});
}

/* True, and forgotten, if it left lately. */
static bool ghost_recall(struct shard *s, uint64_t hash) {
    struct ghost *g = &s->ghost;
    if (!g->slots) return false;
    uint32_t fingerprint = ghost_fingerprint(hash);
    struct ghost_slot *set = ghost_set(g, fingerprint);
    for (uint32_t i = 0; i < GHOST_WAYS; i++) {
        if (set[i].fingerprint == fingerprint && g->clock - set[i].left_at <= shard_entries(s)) {
            set[i].left_at = 0;
            return true;
        }
    }
    return false;
}

/* ---- the hash table ---------------------------------------------------------------------------------------------- */

static inline struct bucket_array *table_array(uintptr_t table) {
    return (struct bucket_array *)(table & ~(uintptr_t)BUCKET_BITS_MASK);
}

static inline _Atomic(struct cache_entry *) *table_bucket(uintptr_t table, uint64_t hash) {
    return &table_array(table)->buckets[hash & (((uint64_t)1 << (table & BUCKET_BITS_MASK)) - 1)];
}

/* An entry with its header, and as much of a data block as a search begins with: heads, offsets, the common prefix.
 * They come at the same time instead of one after the other. */
static inline void prefetch_entry(const struct cache_entry *e) {
    if (!e) return;
    for (uint32_t line = 0; line < PREFETCHED_LINES; line++)
        __builtin_prefetch((const char *)e + (size_t)line * CACHE_LINE_BYTES);
}

/* Inside an epoch section or under the lock. */
static inline struct cache_entry *find(struct shard *s, uint64_t hash, uint64_t file_id, uint64_t offset) {
    uintptr_t table = atomic_load_explicit(&s->index.table, memory_order_acquire);
    if (!table) return NULL;
    struct cache_entry *e = atomic_load_explicit(table_bucket(table, hash), memory_order_acquire);
    prefetch_entry(e);
    while (e && (e->offset != offset || e->file_id != file_id))
        e = atomic_load_explicit(&e->hash_next, memory_order_acquire);
    return e;
}

static void chain_push(uintptr_t table, struct cache_entry *e) {
    _Atomic(struct cache_entry *) *bucket = table_bucket(table, entry_hash(e));
    struct cache_entry *first = atomic_load_explicit(bucket, memory_order_relaxed);
    atomic_store_explicit(&e->hash_next, first, memory_order_release);
    atomic_store_explicit(bucket, e, memory_order_release);
}

static void chain_remove(struct shard *s, struct cache_entry *e) {
    uintptr_t table = atomic_load_explicit(&s->index.table, memory_order_relaxed);
    _Atomic(struct cache_entry *) *link = table_bucket(table, entry_hash(e));
    for (struct cache_entry *at; (at = atomic_load_explicit(link, memory_order_relaxed)) != e; link = &at->hash_next)
        assert(at);
    atomic_store_explicit(link, atomic_load_explicit(&e->hash_next, memory_order_relaxed), memory_order_release);
}

/* Moves all entries to a new array. False: no memory, nothing changed. */
static bool resize(struct shard *s, uint32_t bits, struct epoch_item **gone) {
    size_t bytes = sizeof(struct bucket_array) + (sizeof(_Atomic(struct cache_entry *)) << bits);
    struct bucket_array *array = env_alloc_aligned(CACHE_LINE_BYTES, bytes);
    if (!array) return false;
    memset(array, 0, bytes);
    uintptr_t table = (uintptr_t)array | bits;
    uint32_t moves = atomic_load_explicit(&s->index.moves, memory_order_relaxed);
    atomic_store_explicit(&s->index.moves, moves + 1, memory_order_relaxed); /* chain_push's release orders it */
    for (uint32_t q = 0; q < QUEUES; q++)
        for (struct cache_entry *e = s->queues[q].oldest; e; e = e->queue_links.newer) chain_push(table, e);
    uintptr_t old = atomic_exchange_explicit(&s->index.table, table, memory_order_release);
    atomic_store_explicit(&s->index.moves, moves + 2, memory_order_release);
    if (old) put_aside(&table_array(old)->item, destroy_bucket_array, gone);
    return true;
}

/* Room for one more. False: there is no table at all. A full table without memory for a larger one goes on. */
static bool table_ready(struct shard *s, struct epoch_item **gone) {
    uintptr_t table = atomic_load_explicit(&s->index.table, memory_order_relaxed);
    uint32_t bits = table & BUCKET_BITS_MASK;
    if (!table) return resize(s, BUCKET_BITS_MIN, gone);
    if (shard_entries(s) >= (uint64_t)1 << bits && bits < BUCKET_BITS_MAX) (void)resize(s, bits + 1, gone);
    return true;
}

/* After much has left: gives memory back. */
static void table_shrink(struct shard *s, struct epoch_item **gone) {
    uintptr_t table = atomic_load_explicit(&s->index.table, memory_order_relaxed);
    uint32_t bits = BUCKET_BITS_MIN;
    while ((uint64_t)1 << bits < shard_entries(s)) bits++;
    if (!table || bits >= (table & BUCKET_BITS_MASK) || !resize(s, bits, gone)) return;
    if (s->ghost.slots) ghost_resize(&s->ghost, bits);
}

/* ---- replacement ------------------------------------------------------------------------------------------------- */

static void link_entry(struct shard *s, struct cache_entry *e, uint8_t queue) {
    cache_entry_acquire(e);
    queue_push(s, e, queue);
    s->used_bytes += entry_charge(e);
    s->used_by_kind[e->kind] += entry_charge(e);
    chain_push(atomic_load_explicit(&s->index.table, memory_order_relaxed), e);
}

static void unlink_entry(struct shard *s, struct cache_entry *e, struct epoch_item **gone) {
    chain_remove(s, e);
    queue_remove(s, e);
    s->used_bytes -= entry_charge(e);
    s->used_by_kind[e->kind] -= entry_charge(e);
    put_aside(&e->item, destroy_entry, gone);
}

/* Moves an entry to main's young end. */
static void requeue(struct shard *s, struct cache_entry *e, uint8_t frequency) {
    queue_remove(s, e);
    atomic_store_explicit(&e->frequency, frequency, memory_order_relaxed);
    queue_push(s, e, QUEUE_MAIN);
}

/* Looks at the oldest entry of the queue whose turn it is. True: it left. False: it was spared, never if `must_leave`.
 */
static bool evict_or_spare(struct shard *s, bool must_leave, struct epoch_item **gone) {
    struct queue *small = &s->queues[QUEUE_SMALL], *main = &s->queues[QUEUE_MAIN];
    bool from_small = small->count && (!main->count || small->bytes > s->capacity_bytes / SMALL_QUEUE_FRACTION);
    struct cache_entry *e = from_small ? small->oldest : main->oldest;
    uint8_t frequency = atomic_load_explicit(&e->frequency, memory_order_relaxed);
    if (!must_leave && frequency >= (from_small ? PROMOTE_AT : 1)) {
        requeue(s, e, from_small ? 0 : frequency - 1);
        return false;
    }
    if (from_small) ghost_remember(s, e);
    unlink_entry(s, e, gone);
    s->evictions++;
    return true;
}

static void evict_down_to(struct shard *s, uint64_t bytes, struct epoch_item **gone) {
    for (uint32_t spared = 0; s->used_bytes > bytes;)
        spared = evict_or_spare(s, spared >= SPARED_IN_A_ROW_MAX, gone) ? 0 : spared + 1;
}

/* ---- what cache.h offers ----------------------------------------------------------------------------------------- */

static uint32_t default_shards(uint64_t capacity_bytes) {
    uint32_t shards = 1;
    while (shards < SHARDS_DEFAULT && capacity_bytes / (shards * 2) >= SHARD_BYTES_MIN) shards *= 2;
    while (shards < SHARDS_MAX && capacity_bytes / shards > SHARD_BYTES_WANTED_MAX) shards *= 2;
    return shards;
}

cache *cache_new(uint64_t capacity_bytes, uint32_t shards) {
    if (!shards) shards = default_shards(capacity_bytes);
    assert(shards <= SHARDS_MAX && (shards & (shards - 1)) == 0);
    size_t bytes = sizeof(cache) + shards * sizeof(struct shard);
    cache *c = env_alloc_aligned(CACHE_LINE_BYTES, bytes);
    if (!c) return NULL;
    memset(c, 0, bytes);
    c->heap = block_heap_new();
    if (!c->heap) {
        env_free(c);
        return NULL;
    }
    atomic_init(&c->capacity_bytes, capacity_bytes);
    c->shard_count = shards;
    for (uint32_t i = 0; i < shards; i++) {
        env_mutex_init(&c->shards[i].lock);
        c->shards[i].capacity_bytes = capacity_bytes / shards;
        c->shards[i].ghost.clock = GHOST_CLOCK_START;
    }
    return c;
}

void cache_free(cache *c) {
    if (!c) return;
    for (uint32_t i = 0; i < c->shard_count; i++) {
        struct shard *s = &c->shards[i];
        for (uint32_t q = 0; q < QUEUES; q++) {
            for (struct cache_entry *e = s->queues[q].oldest, *newer; e; e = newer) {
                newer = e->queue_links.newer;
                cache_entry_release(e);
            }
        }
        env_free(table_array(atomic_load_explicit(&s->index.table, memory_order_relaxed)));
        env_free(s->ghost.slots);
        env_mutex_destroy(&s->lock);
    }
    block_heap_close(c->heap);
    env_free(c);
}

static __attribute__((noinline)) struct cache_entry *find_locked(struct shard *s, uint64_t hash, uint64_t file_id,
                                                                 uint64_t offset) {
    env_mutex_lock(&s->lock);
    struct cache_entry *e = find(s, hash, file_id, offset);
    env_mutex_unlock(&s->lock);
    return e;
}

struct cache_entry *cache_lookup(cache *c, uint64_t file_id, uint64_t offset) {
    uint64_t hash = hash_key(file_id, offset);
    struct shard *s = shard_of(c, hash);
    uint32_t moves = atomic_load_explicit(&s->index.moves, memory_order_acquire);
    struct cache_entry *e = find(s, hash, file_id, offset);
    if (!e && ((moves & 1) || moves != atomic_load_explicit(&s->index.moves, memory_order_acquire)))
        e = find_locked(s, hash, file_id, offset);
    uint32_t stripe = stripe_of_thread();
    stripe_add(e ? &c->counters[stripe].hits : &c->counters[stripe].misses, 1, stripe_is_shared(stripe));
    if (!e) return NULL;
    uint8_t frequency = atomic_load_explicit(&e->frequency, memory_order_relaxed);
    if (frequency < FREQUENCY_MAX) atomic_store_explicit(&e->frequency, frequency + 1, memory_order_relaxed);
    return e;
}

void cache_prefetch_place(cache *c, uint64_t file_id, uint64_t offset) {
    uint64_t hash = hash_key(file_id, offset);
    uintptr_t table = atomic_load_explicit(&shard_of(c, hash)->index.table, memory_order_acquire);
    if (table) __builtin_prefetch((const void *)table_bucket(table, hash));
}

void cache_prefetch_entry(cache *c, uint64_t file_id, uint64_t offset) {
    uint64_t hash = hash_key(file_id, offset);
    uintptr_t table = atomic_load_explicit(&shard_of(c, hash)->index.table, memory_order_acquire);
    if (table) prefetch_entry(atomic_load_explicit(table_bucket(table, hash), memory_order_relaxed));
}

void cache_insert(cache *c, struct cache_entry *entry, uint64_t file_id, uint64_t offset, enum cache_kind kind) {
    assert(kind < CACHE_KINDS);
    entry->file_id = file_id;
    entry->offset = offset;
    entry->kind = (uint8_t)kind;
    uint64_t hash = hash_key(file_id, offset), charge = entry_charge(entry);
    struct shard *s = shard_of(c, hash);
    struct epoch_item *gone = NULL;
    env_mutex_lock(&s->lock);
    uint64_t most = kind == CACHE_VALUE ? s->capacity_bytes / VALUE_FRACTION : s->capacity_bytes;
    if (charge <= most && !find(s, hash, file_id, offset) && table_ready(s, &gone)) {
        uint8_t queue = ghost_recall(s, hash) ? QUEUE_MAIN : QUEUE_SMALL;
        evict_down_to(s, s->capacity_bytes - charge, &gone);
        link_entry(s, entry, queue);
    }
    env_mutex_unlock(&s->lock);
    retire_all(gone);
    if (charge >= LARGE_ENTRY_BYTES) epoch_collect(); /* about as much left as came */
}

void cache_forget(cache *c, uint64_t file_id, uint64_t offset) {
    uint64_t hash = hash_key(file_id, offset);
    struct shard *s = shard_of(c, hash);
    struct epoch_item *gone = NULL;
    env_mutex_lock(&s->lock);
    struct cache_entry *e = find(s, hash, file_id, offset);
    if (e) unlink_entry(s, e, &gone);
    env_mutex_unlock(&s->lock);
    retire_all(gone);
}

void cache_set_capacity(cache *c, uint64_t capacity_bytes) {
    atomic_store_explicit(&c->capacity_bytes, capacity_bytes, memory_order_relaxed);
    for (uint32_t i = 0; i < c->shard_count; i++) {
        struct shard *s = &c->shards[i];
        struct epoch_item *gone = NULL;
        env_mutex_lock(&s->lock);
        s->capacity_bytes = capacity_bytes / c->shard_count;
        evict_down_to(s, s->capacity_bytes, &gone);
        table_shrink(s, &gone);
        env_mutex_unlock(&s->lock);
        retire_all(gone);
    }
    epoch_collect();
}

void cache_clear(cache *c) {
    for (uint32_t i = 0; i < c->shard_count; i++) {
        struct shard *s = &c->shards[i];
        struct epoch_item *gone = NULL;
        env_mutex_lock(&s->lock);
        for (uint32_t q = 0; q < QUEUES; q++) {
            for (struct cache_entry *e = s->queues[q].oldest, *newer; e; e = newer) {
                newer = e->queue_links.newer;
                if (atomic_load_explicit(&e->references, memory_order_relaxed) == 1) unlink_entry(s, e, &gone);
            }
        }
        table_shrink(s, &gone);
        env_mutex_unlock(&s->lock);
        retire_all(gone);
    }
    epoch_collect();
}

void cache_stats_get(cache *c, struct cache_stats *out) {
    memset(out, 0, sizeof *out);
    out->capacity_bytes = atomic_load_explicit(&c->capacity_bytes, memory_order_relaxed);
    for (uint32_t i = 0; i < STRIPES; i++) {
        out->hits += atomic_load_explicit(&c->counters[i].hits, memory_order_relaxed);
        out->misses += atomic_load_explicit(&c->counters[i].misses, memory_order_relaxed);
    }
    for (uint32_t i = 0; i < c->shard_count; i++) {
        struct shard *s = &c->shards[i];
        env_mutex_lock(&s->lock);
        out->used_bytes += s->used_bytes;
        for (uint32_t k = 0; k < CACHE_KINDS; k++) out->used_by_kind[k] += s->used_by_kind[k];
        out->entries += shard_entries(s);
        out->evictions += s->evictions;
        env_mutex_unlock(&s->lock);
    }
}
