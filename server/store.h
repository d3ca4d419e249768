/*
 * store.h - what a database can be asked for, as the service layer sees it: a value, many values, a page of a scan, a
 * batch with conditions, a transaction, a frozen view, a feed of changes, figures.
 *
 * Request-sized on purpose: no iterator and no cursor outlives a call. A transaction and a frozen view are stores of
 * their own, so that what is done with a store can be done inside of them. store_lsm.c implements it over the engine.
 * Statuses and messages are the engine's. Every function may be called from any thread; which of them wait is said.
 */
#ifndef VELOCITY_SERVER_STORE_H
#define VELOCITY_SERVER_STORE_H

#include "engine/velocity.h"

#include <stdlib.h>

struct store;
struct store_feed;

enum store_action { STORE_PUT, STORE_DELETE, STORE_DELETE_RANGE };

struct store_operation {
    enum store_action action;
    uint32_t flags;        /* of a put */
    int64_t expires_at_ms; /* of a put: Unix time; 0: never */
    velocity_slice key, value;
    /* Of a range: every key >= key (empty: from the first) and < end (empty: all but the greatest that there can be,
     * VELOCITY_MAX_KEY_BYTES of 0xFF). */
    velocity_slice end;
};

/* `key` must stand at `version`, VELOCITY_ABSENT or VELOCITY_EXISTS before the batch. */
struct store_condition {
    velocity_slice key;
    uint64_t version;
};

struct store_batch;

/*
 * What a batch writes, decided when its conditions hold and no other write comes in between: velocity_batch_compose
 * says what that is good for, and what it costs the others. `now`, during the call: a store with get and get_many; what
 * they find is released to the store that is written to, whenever. Puts and deletes go to *more, their memory lives
 * until the write has ended. Anything but OK: nothing is written, and that is the commit's status; its message is what
 * `compose` left there, if anything.
 */
struct store_compose {
    uint32_t most_operations;
    uint64_t most_bytes; /* of keys and values together */
    velocity_status (*compose)(void *arg, struct store *now, struct store_batch *more);
    void *arg;
};

struct store_batch {
    const struct store_condition *conditions;
    size_t condition_count;
    const struct store_operation *operations;
    size_t operation_count;
    /* Further operations; lives until the write has ended. NULL: none. Not inside of a transaction: nobody comes
     * between what is done there. */
    const struct store_compose *compose;
};

/* A write under way and its outcome. Zeroed before its first use; may be used again afterwards. */
struct store_commit {
    void (*done)(struct store_commit *commit); /* of write_async */
    velocity_status status;
    uint64_t version;         /* OK: of the last operation; without operations: of the state that was looked at */
    size_t failed_condition;  /* CONFLICT: its index */
    uint64_t current_version; /* CONFLICT: what that key stands at (store_standing) */
    char message[256];        /* neither OK nor CONFLICT of a write: why, with a NUL */
    velocity_slice lost_key;  /* CONFLICT of a commit: the key that lost, for store_commit_forget; no memory: empty */
    const struct store_compose *compose; /* internal, while it is under way */
    void *memory;                        /* the store's own, kept for the next use */
    void (*memory_free)(void *memory);
};

/* What a get has found, in the words of conditions: a version, VELOCITY_ABSENT, or VELOCITY_EXISTS for what a
 * transaction has put itself, which has no version yet. */
static inline uint64_t store_standing(velocity_status status, const velocity_value *value) {
    if (status != VELOCITY_OK) return VELOCITY_ABSENT;
    return value->sequence == VELOCITY_ABSENT ? VELOCITY_EXISTS : value->sequence;
}

static inline bool store_condition_holds(uint64_t required, uint64_t standing) {
    return required == VELOCITY_EXISTS ? standing != VELOCITY_ABSENT : required == standing;
}

static inline void store_commit_forget(struct store_commit *commit) {
    free((void *)(uintptr_t)commit->lost_key.data);
    commit->lost_key = velocity_bytes(NULL, 0);
}

/* Gives back what a commit kept for reuse. */
static inline void store_commit_free(struct store_commit *commit) {
    if (commit->memory) commit->memory_free(commit->memory);
    commit->memory = NULL;
}

/* Keys that are read together, of one state and in their order. */
struct store_reads {
    size_t count;
    const velocity_slice *keys;
    velocity_value *values;    /* as many; released by who asked where the status is OK */
    velocity_status *statuses; /* as many */
    /* See velocity_read_options: may release the value that was just read, and end it, which answers INCOMPLETE. NULL:
     * all are read, and held together. */
    bool (*each)(void *arg, size_t index);
    void *arg;
    uint64_t version; /* out: the state that was seen */
};

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
    /* Called in order; slices live during the call. False ends the scan before this row. Where it sets `pass`, all
     * further keys that begin with that are passed over by seeking, not by reading; it must live until the next call.
     */
    bool (*row)(void *arg, const struct store_row *row);
    /* Called now and then (velocity_range.passing) with a key that is gone: all rows before it were shown. False ends
     * the scan behind it, OK and not complete. NULL: however many keys are gone, it goes on. */
    bool (*passing)(void *arg, velocity_slice key);
    void *arg;
    velocity_slice pass; /* empty: none; the store empties it */
    bool complete;       /* out: the range was seen to its end */
    uint64_t version;    /* out: the state that was seen */
};

struct store_operations {
    /* Waits for the disk unless cache_only (then: INCOMPLETE). */
    velocity_status (*get)(struct store *store, velocity_slice key, bool cache_only, velocity_value *out);
    /* Waits, unless there are no keys: then it tells the newest version. */
    velocity_status (*get_many)(struct store *store, struct store_reads *reads);
    void (*release)(struct store *store, velocity_value *value);
    /* Waits. */
    velocity_status (*scan)(struct store *store, struct store_scan *scan);
    /* Waits. Fills all of *commit but done. */
    void (*write)(struct store *store, const struct store_batch *batch, struct store_commit *commit);
    /* Does not wait, and copies the batch. done runs exactly once, on any thread, perhaps before the call returns. */
    void (*write_async)(struct store *store, const struct store_batch *batch, struct store_commit *commit);
    velocity_status (*stats)(struct store *store, velocity_stats *out);
    /* Waits. */
    velocity_status (*flush)(struct store *store);
    velocity_status (*compact)(struct store *store, const velocity_range *range, velocity_progress progress, void *arg);

    /*
     * Waits. A transaction: a store for one thread at a time, with get, get_many, release, scan, write, commit and free
     * (rolls back what was not committed); the others answer UNSUPPORTED. Its `write` judges conditions at once against
     * what the transaction sees, and answers version VELOCITY_ABSENT; that is also the version of what was written
     * inside. It must be freed before the store that it came from.
     */
    velocity_status (*begin)(struct store *store, velocity_isolation isolation, struct store **txn);
    /* Of a transaction. Does not wait for other writes, but perhaps for the disk. done runs exactly once, on any
     * thread, perhaps before the call returns; until then the transaction is left alone. CONFLICT: it lost; message and
     * lost_key name the key. After BUSY, NO_SPACE and NO_MEMORY it may be committed again; after the others only freed.
     */
    void (*commit)(struct store *txn, struct store_commit *commit);

    /* Does not wait. The state as it is now, to be read only: get, get_many, release, scan, free, for any thread. The
     * versions that it sees are kept while it lives. */
    velocity_status (*freeze)(struct store *store, struct store **view, uint64_t *version);

    /* The operations committed after `since`: see velocity_changes_new, which also says what a feed costs. Never waits
     * but for the disk, where it is behind. One thread at a time. NULL: no memory. */
    struct store_feed *(*feed)(struct store *store, uint64_t since);
    /* NULL with *status OK: nothing more yet. HISTORY_GONE: what comes next is no longer there. */
    const velocity_change *(*feed_next)(struct store_feed *feed, velocity_status *status);
    uint64_t (*feed_version)(const struct store_feed *feed); /* what it has shown: `since` for one that goes on */
    size_t (*feed_bytes)(const struct store_feed *feed);     /* of the log, that it holds until it is asked for more */
    /* See velocity_changes_notify. */
    void (*feed_notify)(struct store_feed *feed, void (*ready)(void *arg), void *arg);
    void (*feed_free)(struct store_feed *feed);

    void (*free)(struct store *store);
};

struct store {
    const struct store_operations *operations;
};

/* Over `db`, which stays the caller's. NULL: no memory. */
struct store *store_lsm_new(velocity *db);

#endif
