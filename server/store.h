/*
 * store.h - what a database can be asked for, as the service layer sees it: a value, many values, a page of a scan, a
 * batch with conditions, figures.
 *
 * Request-sized on purpose: no iterator and no cursor outlives a call. store_lsm.c implements it over the engine.
 * Statuses and messages are the engine's. Every function may be called from any thread; which of them wait is said.
 */
#ifndef VELOCITY_SERVER_STORE_H
#define VELOCITY_SERVER_STORE_H

#include "engine/velocity.h"

struct store;

enum store_action { STORE_PUT, STORE_DELETE };

struct store_operation {
    enum store_action action;
    uint32_t flags; /* of a put */
    velocity_slice key, value;
};

/* `key` must stand at `version`, VELOCITY_ABSENT or VELOCITY_EXISTS before the batch. */
struct store_condition {
    velocity_slice key;
    uint64_t version;
};

struct store_batch {
    const struct store_condition *conditions;
    size_t condition_count;
    const struct store_operation *operations;
    size_t operation_count;
};

/* A write under way and its outcome. Zeroed before its first use; may be used again afterwards. */
struct store_commit {
    void (*done)(struct store_commit *commit); /* of write_async */
    velocity_status status;
    uint64_t version;         /* OK: of the last operation; without operations: of the state that was looked at */
    size_t failed_condition;  /* CONFLICT: its index */
    uint64_t current_version; /* CONFLICT: what that key stands at, VELOCITY_ABSENT if nowhere */
    char message[160];        /* neither OK nor CONFLICT: why, with a NUL */
    void *memory;             /* the store's own, kept for the next use */
    void (*memory_free)(void *memory);
};

/* Gives back what a commit kept for reuse. */
static inline void store_commit_free(struct store_commit *commit) {
    if (commit->memory) commit->memory_free(commit->memory);
    commit->memory = NULL;
}

struct store_row {
    velocity_slice key, value; /* value: empty, without data, where it was not wanted */
    size_t value_size;
    uint32_t flags;
    uint64_t version;
    int64_t expires_at_ms;
};

struct store_scan {
    velocity_slice start, end, prefix; /* as velocity_range */
    /* What may be seen: keys that begin with one of these, ascending, none of which begins with another; count 0: all.
     * What lies between them is passed by, not read. */
    const velocity_slice *prefixes;
    size_t prefix_count;
    bool reverse;
    /* Is the value of this row wanted? NULL: all are. What is not wanted and stands apart is not read from the disk. */
    bool (*wants_value)(void *arg, uint32_t flags, size_t value_size);
    /* Called in order; slices live during the call. False ends the scan before this row. */
    bool (*row)(void *arg, const struct store_row *row);
    void *arg;
    bool complete;    /* out: the range was seen to its end */
    uint64_t version; /* out: the state that was seen */
};

struct store_operations {
    /* Waits for the disk unless cache_only (then: INCOMPLETE). */
    velocity_status (*get)(struct store *store, velocity_slice key, bool cache_only, velocity_value *out);
    /* Waits. n values of one state, whose version is *version. */
    velocity_status (*get_many)(struct store *store, size_t n, const velocity_slice *keys, velocity_value *values,
                                velocity_status *statuses, uint64_t *version);
    void (*release)(struct store *store, velocity_value *value);
    /* Waits. */
    velocity_status (*scan)(struct store *store, struct store_scan *scan);
    /* Waits. Fills all of *commit but done. */
    void (*write)(struct store *store, const struct store_batch *batch, struct store_commit *commit);
    /* Does not wait, and copies the batch. done runs exactly once, on any thread, perhaps before the call returns. */
    void (*write_async)(struct store *store, const struct store_batch *batch, struct store_commit *commit);
    velocity_status (*stats)(struct store *store, velocity_stats *out);
    void (*free)(struct store *store);
};

struct store {
    const struct store_operations *operations;
};

/* Over `db`, which stays the caller's. NULL: no memory. */
struct store *store_lsm_new(velocity *db);

#endif
