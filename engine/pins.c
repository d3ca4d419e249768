/* pins.c - see pins.h. */
#include "pins.h"

#include <assert.h>

enum {
    PINNED_PART = 4,      /* at most this part of the cache's bytes goes to pinned blocks */
    STEP_BYTES = 1 << 20, /* the cache makes room for them in these steps */
    LET_GO_MAX = 256,     /* pins that are given up at a time */
};

void pin_budget_init(struct pin_budget *b, cache *c) {
    struct cache_stats stats;
    cache_stats_get(c, &stats);
    *b = (struct pin_budget){.cache = c};
    atomic_init(&b->cache_bytes, stats.capacity_bytes);
    env_mutex_init(&b->mutex);
    b->sets.next = b->sets.previous = &b->sets;
}

void pin_budget_destroy(struct pin_budget *b) {
    assert(b->sets.next == &b->sets);
    env_mutex_destroy(&b->mutex);
}

/* ---- the cache's capacity -----------------------------------------------------------------------------------------
 */

/* Whoever comes while another thread is at it leaves it to that one: so what counts in the end is the last state, and
 * the cache may call back (it retires, which may end tables). */
static void follow(struct pin_budget *b) {
    if (atomic_fetch_add(&b->changes, 1)) return;
    uint32_t seen;
    do {
        seen = atomic_load(&b->changes);
        uint64_t bytes = atomic_load(&b->cache_bytes), pinned = atomic_load(&b->pinned_bytes) / STEP_BYTES * STEP_BYTES;
        cache_set_capacity(b->cache, bytes > pinned ? bytes - pinned : 0);
    } while (!atomic_compare_exchange_strong(&b->changes, &seen, 0));
}

static bool is_over(const struct pin_budget *b, uint64_t more) {
    return atomic_load(&b->pinned_bytes) + more > atomic_load(&b->cache_bytes) / PINNED_PART;
}

static void add_pinned(struct pin_budget *b, uint64_t bytes) {
    uint64_t before = atomic_fetch_add(&b->pinned_bytes, bytes);
    if (before / STEP_BYTES != (before + bytes) / STEP_BYTES) follow(b);
}

static void take_pinned(struct pin_budget *b, uint64_t bytes) {
    uint64_t before = atomic_fetch_sub(&b->pinned_bytes, bytes);
    if (before / STEP_BYTES != (before - bytes) / STEP_BYTES) follow(b);
}

/* ---- giving pins up -----------------------------------------------------------------------------------------------
 */

static size_t unpin_some(struct pin_budget *b, struct cache_entry **out) {
    size_t count = 0;
    uint64_t bytes = 0;
    env_mutex_lock(&b->mutex);
    for (struct pin_set *set = b->sets.next; set != &b->sets && count < LET_GO_MAX; set = set->next) {
        for (size_t i = 0; i < set->count && count < LET_GO_MAX; i++) {
            struct cache_entry *entry = atomic_exchange(&set->pins[i], NULL);
            if (!entry) continue;
            bytes += entry->size;
            out[count++] = entry;
        }
    }
    env_mutex_unlock(&b->mutex);
    take_pinned(b, bytes);
    return count;
}

static void nothing(struct epoch_item *item) {
    (void)item;
}

/* Readers that found them in their pins go on using them until their sections end. */
static void release_after_readers(struct cache_entry **entries, size_t count) {
    struct epoch_item mark;
    epoch_retire(&mark, nothing);
    epoch_drain();
    for (size_t i = 0; i < count; i++) cache_entry_release(entries[i]);
}

void pin_budget_resize(struct pin_budget *b, uint64_t cache_bytes) {
    struct cache_entry *entries[LET_GO_MAX];
    atomic_store(&b->cache_bytes, cache_bytes);
    follow(b);
    for (size_t count; is_over(b, 0) && (count = unpin_some(b, entries)) > 0;) release_after_readers(entries, count);
}

/* ---- sets ---------------------------------------------------------------------------------------------------------
 */

velocity_status pin_set_init(struct pin_set *set, struct pin_budget *b, size_t count) {
    set->pins = env_alloc_zeroed((count ? count : 1) * sizeof *set->pins);
    if (!set->pins) return VELOCITY_NO_MEMORY;
    set->count = count;
    env_mutex_lock(&b->mutex);
    set->next = &b->sets;
    set->previous = b->sets.previous;
    set->previous->next = set->next->previous = set;
    env_mutex_unlock(&b->mutex);
    return VELOCITY_OK;
}

void pin_set_clear(struct pin_set *set, struct pin_budget *b) {
    if (!set->pins) return;
    env_mutex_lock(&b->mutex);
    set->previous->next = set->next;
    set->next->previous = set->previous;
    env_mutex_unlock(&b->mutex);
    uint64_t bytes = 0;
    for (size_t i = 0; i < set->count; i++) {
        struct cache_entry *entry = atomic_load(&set->pins[i]);
        if (!entry) continue;
        bytes += entry->size;
        cache_entry_release(entry);
    }
    env_free(set->pins);
    *set = (struct pin_set){0};
    take_pinned(b, bytes);
}

void pin_block(struct pin_budget *b, cache_pin *pin, struct cache_entry *entry) {
    uint64_t bytes = entry->size;
    if (is_over(b, bytes)) return;
    add_pinned(b, bytes);
    struct cache_entry *nobody = NULL;
    cache_entry_acquire(entry);
    if (!is_over(b, 0) && atomic_compare_exchange_strong(pin, &nobody, entry)) return;
    cache_entry_release(entry);
    take_pinned(b, bytes);
}
