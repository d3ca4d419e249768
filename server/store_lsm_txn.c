/*
 * store_lsm_txn.c - a transaction as a store: the engine's transaction, with conditions that are judged inside of it.
 *
 * A batch is in the transaction as a whole or not at all: where one operation can't be taken, those before it are taken
 * back to a savepoint. Where even that fails, for want of memory, the transaction is over: half a batch is never
 * committed.
 *
 * Threads: one at a time; while its commit is under way, nobody.
 */
#include "server/store_lsm.h"

#include "engine/status.h"

#include <stdlib.h>

struct lsm_txn {
    struct store store;
    velocity_txn *txn;
    bool frozen;                 /* it reads the state of its begin */
    bool writes;                 /* there is something to commit */
    struct store_commit *commit; /* under way */
};

static velocity_txn *txn_of(struct store *store) {
    return ((struct lsm_txn *)store)->txn;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static velocity_status txn_get(struct store *store, velocity_slice key, bool cache_only, velocity_value *out) {
    velocity_read_options options = velocity_read_options_default();
    options.cache_only = cache_only;
    return velocity_txn_get_with(txn_of(store), &options, key, out);
}

/* READ_COMMITTED reads one state too, but nobody says which. */
static velocity_status txn_get_many(struct store *store, struct store_reads *reads) {
    bool frozen = ((struct lsm_txn *)store)->frozen;
    velocity_read_options options = lsm_reads_options(reads);
    reads->version = frozen ? velocity_txn_snapshot_sequence(txn_of(store)) : VELOCITY_ABSENT;
    if (!reads->count) return VELOCITY_OK;
    return velocity_txn_get_many(txn_of(store), &options, reads->count, reads->keys, reads->values, reads->statuses);
}

static velocity_iterator *txn_iterator(void *handle, const velocity_range *range) {
    return velocity_txn_iterator(handle, range);
}

static velocity_status txn_scan(struct store *store, struct store_scan *scan) {
    struct lsm_source source = {.iterator = txn_iterator, .handle = txn_of(store)};
    scan->version = velocity_txn_snapshot_sequence(txn_of(store));
    return lsm_scan_source(&source, scan);
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

/* False: one of them does not hold, or can't be judged, and *commit says which. */
static bool conditions_hold(velocity_txn *txn, const struct store_batch *batch, struct store_commit *commit) {
    for (size_t i = 0; i < batch->condition_count; i++) {
        const struct store_condition *condition = &batch->conditions[i];
        velocity_value found = {0};
        velocity_status status = velocity_txn_get(txn, condition->key, &found);
        uint64_t standing = store_standing(status, &found);
        velocity_value_release(&found);
        if (status != VELOCITY_OK && status != VELOCITY_NOT_FOUND) {
            commit->status = status;
            return false;
        }
        if (store_condition_holds(condition->version, standing)) continue;
        commit->status = VELOCITY_CONFLICT;
        commit->failed_condition = i;
        commit->current_version = standing;
        return false;
    }
    return true;
}

static velocity_status delete_range(velocity_txn *txn, const struct store_operation *operation) {
    struct lsm_bounds bounds;
    velocity_status status = lsm_range_bounds(operation, &bounds);
    if (!status) status = velocity_txn_delete_range(txn, bounds.start, bounds.end);
    free(bounds.memory);
    return status;
}

static velocity_status apply(velocity_txn *txn, const struct store_operation *operation) {
    velocity_put_options options;
    switch (operation->action) {
    case STORE_PUT:
        options = lsm_put_options(operation);
        return velocity_txn_put(txn, operation->key, operation->value, &options);
    case STORE_DELETE: return velocity_txn_delete(txn, operation->key);
    case STORE_DELETE_RANGE: break;
    }
    return delete_range(txn, operation);
}

/* All of them or none. */
static velocity_status apply_all(velocity_txn *txn, const struct store_batch *batch) {
    bool several = batch->operation_count > 1 || batch->operations[0].action == STORE_DELETE_RANGE;
    uint64_t savepoint = 0;
    velocity_status status = several ? velocity_txn_savepoint(txn, &savepoint) : VELOCITY_OK;
    if (status) return status;
    for (size_t i = 0; i < batch->operation_count && !status; i++) status = apply(txn, &batch->operations[i]);
    if (!status || !several || velocity_txn_rollback_to(txn, savepoint) == VELOCITY_OK) return status;
    if (velocity_txn_rollback(txn) == VELOCITY_OK)
        return status_set(status, "there was no memory to take a batch back: the transaction is rolled back");
    return status;
}

static void txn_write(struct store *store, const struct store_batch *batch, struct store_commit *commit) {
    struct lsm_txn *t = (struct lsm_txn *)store;
    commit->message[0] = 0;
    commit->version = VELOCITY_ABSENT;
    commit->status = VELOCITY_OK;
    if (conditions_hold(t->txn, batch, commit) && batch->operation_count) {
        commit->status = apply_all(t->txn, batch);
        t->writes |= commit->status == VELOCITY_OK;
    }
    if (commit->status != VELOCITY_CONFLICT) lsm_commit_explain(commit, commit->status);
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

/* A copy: the transaction may be gone before its commit is. */
static void take_lost_key(const velocity_txn *txn, struct store_commit *commit) {
    velocity_slice key = velocity_txn_lost_key(txn);
    void *copy = key.size ? malloc(key.size) : NULL;
    if (copy) commit->lost_key = velocity_bytes(memcpy(copy, key.data, key.size), key.size);
}

static void committed(void *arg, velocity_status status, uint64_t version) {
    struct lsm_txn *t = arg;
    struct store_commit *commit = t->commit;
    t->commit = NULL;
    commit->status = status;
    commit->version = version;
    if (status == VELOCITY_CONFLICT) take_lost_key(t->txn, commit);
    lsm_commit_explain(commit, status);
    commit->done(commit); /* which may free the transaction */
}

static void txn_commit(struct store *store, struct store_commit *commit) {
    struct lsm_txn *t = (struct lsm_txn *)store;
    uint64_t version = 0;
    t->commit = commit;
    if (!t->writes) { /* what it has read was true together: nothing has to be asked, nor written */
        velocity_status status = velocity_txn_commit(t->txn, NULL, &version);
        committed(t, status, version);
        return;
    }
    velocity_status status = velocity_txn_commit_async(t->txn, NULL, committed, t);
    if (status != VELOCITY_OK) committed(t, status, 0);
}

static void txn_free(struct store *store) {
    velocity_txn_free(txn_of(store));
    free(store);
}

/* ---- what a transaction is not asked for ------------------------------------------------------------------------- */

static velocity_status unsupported(void) {
    return status_set(VELOCITY_UNSUPPORTED, "this can't be done inside of a transaction");
}

static void txn_write_async(struct store *store, const struct store_batch *batch, struct store_commit *commit) {
    (void)store, (void)batch;
    commit->status = unsupported();
    lsm_commit_explain(commit, commit->status);
    commit->done(commit);
}

static velocity_status txn_stats(struct store *store, velocity_stats *out) {
    (void)store, (void)out;
    return unsupported();
}

static velocity_status txn_flush(struct store *store) {
    (void)store;
    return unsupported();
}

static velocity_status txn_compact(struct store *store, const velocity_range *range, velocity_progress progress,
                                   void *arg) {
    (void)store, (void)range, (void)progress, (void)arg;
    return unsupported();
}

static velocity_status txn_begin(struct store *store, velocity_isolation isolation, struct store **txn) {
    (void)store, (void)isolation;
    *txn = NULL;
    return unsupported();
}

static velocity_status txn_freeze(struct store *store, struct store **view, uint64_t *version) {
    (void)store, (void)version;
    *view = NULL;
    return unsupported();
}

velocity_status store_lsm_begin(velocity *db, velocity_isolation isolation, struct store **out) {
    static const struct store_operations operations = {
        .get = txn_get,
        .get_many = txn_get_many,
        .release = lsm_release,
        .scan = txn_scan,
        .write = txn_write,
        .write_async = txn_write_async,
        .stats = txn_stats,
        .flush = txn_flush,
        .compact = txn_compact,
        .begin = txn_begin,
        .commit = txn_commit,
        .freeze = txn_freeze,
        .free = txn_free,
    };
    *out = NULL;
    struct lsm_txn *t = calloc(1, sizeof *t);
    if (!t) return status_set(VELOCITY_NO_MEMORY, "no memory for a transaction");
    velocity_status status = velocity_txn_begin(db, isolation, &t->txn);
    if (status) {
        free(t);
        return status;
    }
    t->store.operations = &operations;
    t->frozen = isolation != VELOCITY_ISOLATION_READ_COMMITTED;
    *out = &t->store;
    return VELOCITY_OK;
}
