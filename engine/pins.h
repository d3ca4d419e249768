/*
 * pins.h - index and filter blocks that tables hold on to, so that lookups pass the cache's hash table by; and the
 * cache's size, which pinned blocks are a part of.
 *
 *     pin_budget --> pin_set (of a table) --> pins: NULL, or a block with a reference of the set's own
 *
 * A pin is set once, by whoever reads the block first while the budget lasts, and is cleared when the table ends or the
 * budget shrinks. A reader may use what it finds in a pin until its epoch section ends.
 *
 * Threads: any; mutex is a leaf.
 */
#ifndef VELOCITY_PINS_H
#define VELOCITY_PINS_H

#include "cache.h"
#include "env.h"

typedef _Atomic(struct cache_entry *) cache_pin;

struct pin_set {
    struct pin_set *next, *previous; /* NULL, NULL: in no budget */
    cache_pin *pins;
    size_t count;
};

struct pin_budget {
    cache *cache;
    _Atomic uint64_t cache_bytes; /* the cache's capacity with nothing pinned */
    _Atomic uint64_t pinned_bytes;
    _Atomic uint32_t changes; /* of the two above that the cache's capacity does not follow yet */
    env_mutex mutex;          /* guards the list */
    struct pin_set sets;      /* its head */
};

void pin_budget_init(struct pin_budget *budget, cache *c);
void pin_budget_destroy(struct pin_budget *budget); /* no sets may remain */
/* Changes the cache's capacity; where it shrinks, blocks and pins are given up until it is kept. Waits for readers that
 * may use these. Not inside an epoch section. */
void pin_budget_resize(struct pin_budget *budget, uint64_t cache_bytes);

/* NO_MEMORY: nothing happened. */
VELOCITY_CHECK_RESULT velocity_status pin_set_init(struct pin_set *set, struct pin_budget *budget, size_t count);
/* Nobody reads them any more. Harmless on a set of zeros. */
void pin_set_clear(struct pin_set *set, struct pin_budget *budget);
/* Pins a block that its caller holds, if the budget allows. */
void pin_block(struct pin_budget *budget, cache_pin *pin, struct cache_entry *entry);

#endif
