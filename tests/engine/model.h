/*
 * model.h - what a database should hold: every version of every key of a fixed set, and where batches end. The
 * reference of model_test and its kin.
 *
 * Threads: one.
 */
#ifndef VELOCITY_MODEL_H
#define VELOCITY_MODEL_H

#include "engine/velocity.h"

struct model_version {
    uint64_t sequence;
    uint64_t hash; /* of the value */
    uint32_t size; /* of the value */
    uint32_t flags;
    int64_t expires_at_ms; /* 0: never; else the beginning of a day */
    bool deleted;
};

struct model_key {
    velocity_slice bytes;
    struct model_version *versions; /* by sequence, ascending */
    size_t count, capacity;
};

/* An operation as a change feed shows it. */
struct model_change {
    size_t key, end; /* as in model_operation */
    struct model_version version;
    bool ends_batch;
    bool doubtful; /* a crash took it back, or else it changes nothing */
};

struct model {
    struct model_key *keys; /* ascending, distinct */
    size_t key_count;
    uint64_t *boundaries; /* the last sequence of each batch, ascending */
    size_t boundary_count, boundary_capacity;
    struct model_change *changes; /* all operations, by sequence */
    size_t change_count, change_capacity;
    uint64_t last;   /* the sequence that the database says it is at */
    uint64_t acked;  /* a kill loses nothing up to here */
    uint64_t synced; /* a power cut loses nothing up to here */
    long day;        /* that it is for the database; days pass only between operations */
    uint8_t *pool;   /* values are slices of it */
    uint64_t random;
};

enum { MODEL_MAX_VALUE_BYTES = 120000, MODEL_BOUND_BYTES = 6100, MODEL_DAY_MS = 24 * 60 * 60 * 1000 };

struct model_operation {
    size_t key;
    velocity_slice value;
    uint32_t flags;
    int64_t expires_at_ms;
    bool is_delete;
    size_t end; /* not 0: deletes all keys from `key` to this one, without it */
};

struct model *model_new(uint64_t seed, size_t key_count);
void model_free(struct model *m);
uint64_t model_random(struct model *m, uint64_t limit);
uint64_t model_hash(velocity_slice bytes);

/* A put or delete of some key, or a delete of a range; sizes as databases have them: mostly small, sometimes far larger
 * than a block. */
struct model_operation model_random_operation(struct model *m);
/* A key, or what comes of one by cutting it or adding to it; it stands in `space`. */
velocity_slice model_random_bound(struct model *m, uint8_t space[MODEL_BOUND_BYTES]);
/* What the engine may be told: small limits, so that few operations lead to many flushes, tables and levels. Whatever
 * they are, databases that were opened with such options can be opened with others. */
velocity_options model_random_options(struct model *m);
velocity_write_options model_random_write_options(struct model *m);
/* Puts the letter before every key. */
void model_prefix_keys(struct model *m, char letter);

/* Takes the operations in as one batch that ends at sequence `last`. */
void model_apply(struct model *m, const struct model_operation *operations, size_t count, uint64_t last);
/* The key's value as of `sequence` on that day; NULL: absent. */
const struct model_version *model_find_on(const struct model *m, size_t key, uint64_t sequence, long day);
/* Today. */
const struct model_version *model_find(const struct model *m, size_t key, uint64_t sequence);
/* How many of the changes have a sequence up to this one. */
size_t model_changes_up_to(const struct model *m, uint64_t sequence);
/* Forgets every batch after `sequence`; of changes it remembers that they may have been. */
void model_cut(struct model *m, uint64_t sequence);
/* The first key from `from` on in direction `step` (+1, -1) within [low, high) that has a value; -1: none. */
long model_next_on(const struct model *m, long from, int step, long low, long high, uint64_t sequence, long day);
long model_next(const struct model *m, long from, int step, long low, long high, uint64_t sequence);

#endif
