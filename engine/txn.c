/*
 * txn.c - transactions: private writes over a view of the database, stored as one batch if the view still holds.
 *
 *              begin                 commit: OK, CONFLICT, IO ...; rollback
 *     (none) --------> TXN_ACTIVE ------------------------------------------> TXN_ENDED --free--> (none)
 *                        |     ^                                                 ^
 *           commit_async |     | BUSY, NO_SPACE, NO_MEMORY                       | done
 *                        v     | (nothing was done)                              |
 *                      TXN_COMMITTING ------------------------------------------ +
 *
 * Invariants:
 *  1. `batch` holds the transaction's operations as the log will; `own` (once there are any) the same operations as a
 *     write buffer, the nth with sequence OWN_SEQUENCE + n, for the transaction's own reads. An operation is in both or
 *     in none.
 *  2. While it is active and not READ_COMMITTED, `snapshot` is what it reads, and keeps the entries that validate.c
 * looks for from being dropped.
 *  3. What a SERIALIZABLE one has read is in `reads`, or in the scan of one of its iterators.
 *
 * Serializable is: everything that was read and everything that is written is unchanged from the snapshot to the commit
 * point (Kung and Robinson, "On Optimistic Methods for Concurrency Control", 1981, validation backwards). So the reads
 * could as well have happened at the commit point, together with the writes, and the order of the log is a serial
 * order. A transaction that wrote nothing needs no check: its place in that order is its snapshot.
 */
#include "array.h"
#include "iterator.h"
#include "validate.h"

enum txn_state { TXN_ACTIVE, TXN_COMMITTING, TXN_ENDED };

struct savepoint {
    uint64_t number;
    struct batch_extent extent;
};

struct velocity_txn {
    velocity *db;
    velocity_isolation isolation;
    _Atomic uint32_t state;
    velocity_snapshot *snapshot; /* NULL: READ_COMMITTED */
    velocity_batch *batch;
    struct write_buffer *own; /* NULL: nothing was written yet */
    struct savepoint *savepoints;
    size_t savepoint_count, savepoint_capacity;
    uint64_t last_savepoint; /* numbers are not given twice */
    struct read_set reads;
    struct read_scan *scans; /* of live iterators */
    struct validation validation;
    struct lost_key lost; /* of a commit that answered CONFLICT */
    void (*done)(void *arg, velocity_status status, uint64_t sequence);
    void *done_arg;
};

/* ---- begin and end ------------------------------------------------------------------------------------------------
 */

velocity_status velocity_txn_begin(velocity *db, velocity_isolation isolation, velocity_txn **out) {
    if (!out) return status_set(VELOCITY_INVALID, "velocity_txn_begin needs a place for the handle");
    *out = NULL;
    if ((unsigned)isolation > VELOCITY_ISOLATION_SERIALIZABLE)
        return status_set(VELOCITY_INVALID, "there is no isolation %d", (int)isolation);
    velocity_txn *txn = env_alloc_zeroed(sizeof *txn);
    if (!txn) return VELOCITY_NO_MEMORY;
    txn->db = db;
    txn->isolation = isolation;
    read_set_init(&txn->reads);
    txn->batch = velocity_batch_new();
    bool frozen = isolation != VELOCITY_ISOLATION_READ_COMMITTED;
    if (txn->batch && frozen) txn->snapshot = velocity_snapshot_new(db);
    if (!txn->batch || (frozen && !txn->snapshot)) {
        velocity_batch_free(txn->batch);
        env_free(txn);
        return VELOCITY_NO_MEMORY;
    }
    if (isolation == VELOCITY_ISOLATION_SERIALIZABLE) txn->validation.reads = &txn->reads;
    txn->validation.lost = &txn->lost;
    atomic_fetch_add(&db->live_handles, 1);
    *out = txn;
    return VELOCITY_OK;
}

uint64_t velocity_txn_snapshot_sequence(const velocity_txn *txn) {
    return txn->snapshot ? txn->snapshot->sequence : atomic_load(&txn->db->visible_sequence);
}

static velocity_status check_active(const velocity_txn *txn) {
    switch ((enum txn_state)atomic_load(&txn->state)) {
    case TXN_ACTIVE: return VELOCITY_OK;
    case TXN_COMMITTING: return status_set(VELOCITY_INVALID, "the transaction is being committed");
    default: return status_set(VELOCITY_INVALID, "the transaction has ended; it can only be freed");
    }
}

/* Gives back all that the transaction holds. Its iterators stay, and are no longer listened to. */
static void end(velocity_txn *txn) {
    for (struct read_scan *scan = txn->scans; scan; scan = scan->next) scan->set = NULL;
    txn->scans = NULL;
    read_set_clear(&txn->reads);
    write_buffer_release(txn->own);
    txn->own = NULL;
    velocity_snapshot_free(txn->snapshot);
    txn->snapshot = NULL;
    velocity_batch_free(txn->batch);
    txn->batch = NULL;
    env_free(txn->savepoints);
    txn->savepoints = NULL;
    atomic_store(&txn->state, TXN_ENDED);
}

velocity_status velocity_txn_rollback(velocity_txn *txn) {
    velocity_status status = check_active(txn);
    if (!status) end(txn);
    return status;
}

void velocity_txn_free(velocity_txn *txn) {
    if (!txn) return;
    if (atomic_load(&txn->state) == TXN_ACTIVE) end(txn);
    velocity *db = txn->db;
    env_free(txn->lost.bytes);
    env_free(txn);
    atomic_fetch_sub(&db->live_handles, 1);
}

/* ---- reading ------------------------------------------------------------------------------------------------------
 */

/* Whether the transaction itself has written the key, by a range delete too: *out is the newest of it. */
static bool find_own(const velocity_txn *txn, velocity_slice key, struct entry *out) {
    if (!txn->own) return false;
    uint64_t covered = range_list_newest(range_buffer_list(&txn->own->ranges), key, UINT64_MAX);
    bool found = memtable_get(txn->own->memtable, key, UINT64_MAX, out);
    if (covered && (!found || out->sequence < covered))
        *out = (struct entry){.sequence = covered, .kind = ENTRY_DELETE};
    return found || covered;
}

/* Whether it deleted the key, or what it put has expired. */
static bool own_is_gone(velocity_txn *txn, const struct entry *e) {
    uint64_t now_ms = txn->snapshot ? txn->snapshot->now_ms : 0;
    return entry_is_delete(e) || clock_is_over(&txn->db->clock, e->expires_at_ms, &now_ms);
}

/* Fills *out with what the transaction wrote. */
static velocity_status own_value(velocity_txn *txn, const struct entry *e, velocity_value *out) {
    static const struct held_block nothing = {NULL, false};
    if (own_is_gone(txn, e)) return VELOCITY_NOT_FOUND;
    read_fill_value(txn->db, out, e, &nothing, txn->own);
    out->sequence = VELOCITY_ABSENT;
    return VELOCITY_OK;
}

static void empty_value(velocity_value *value) {
    value->data = NULL;
    value->pin = NULL;
    value->size = 0;
}

static velocity_status check_options(const velocity_read_options *options) {
    bool has = options && options->struct_size >= offsetof(velocity_read_options, each) && options->snapshot;
    if (!has) return VELOCITY_OK;
    return status_set(VELOCITY_INVALID, "a transaction reads its own snapshot, not that of the read options");
}

/* The caller's options, at the transaction's snapshot. */
static velocity_read_options at_snapshot(const velocity_txn *txn, const velocity_read_options *options) {
    velocity_read_options o = velocity_read_options_default();
    if (options && options->struct_size >= offsetof(velocity_read_options, each))
        memcpy(&o, options, options->struct_size < sizeof o ? options->struct_size : sizeof o);
    o.struct_size = sizeof o;
    o.snapshot = txn->snapshot;
    return o;
}

/* Before the database is asked for the key. */
static void note_key(velocity_txn *txn, velocity_slice key) {
    if (txn->isolation == VELOCITY_ISOLATION_SERIALIZABLE) read_set_add_key(&txn->reads, key);
}

velocity_status velocity_txn_get_with(velocity_txn *txn, const velocity_read_options *options, velocity_slice key,
                                      velocity_value *out) {
    struct entry e;
    empty_value(out);
    velocity_status status = check_active(txn);
    if (!status) status = check_options(options);
    if (!status) status = batch_check_key(key);
    if (status) return status;
    if (find_own(txn, key, &e)) return own_value(txn, &e, out);
    note_key(txn, key);
    velocity_read_options o = at_snapshot(txn, options);
    return velocity_get_with(txn->db, &o, key, out);
}

velocity_status velocity_txn_get(velocity_txn *txn, velocity_slice key, velocity_value *out) {
    return velocity_txn_get_with(txn, NULL, key, out);
}

velocity_status velocity_txn_contains(velocity_txn *txn, velocity_slice key) {
    struct entry e;
    velocity_status status = check_active(txn);
    if (!status) status = batch_check_key(key);
    if (status) return status;
    if (find_own(txn, key, &e)) return own_is_gone(txn, &e) ? VELOCITY_NOT_FOUND : VELOCITY_OK;
    note_key(txn, key);
    return read_contains(txn->db, txn->snapshot, key);
}

/* A get_many under way, and who wants to hear of each key. */
struct many {
    velocity_txn *txn;
    const velocity_slice *keys;
    velocity_value *values;
    velocity_status *statuses;
    bool (*each)(void *each_arg, size_t index);
    void *each_arg;
};

/* What the transaction has written itself takes the place of what was read; else that counts as read. */
static bool lay_over(void *arg, size_t i) {
    struct many *m = arg;
    struct entry e;
    bool is_key = m->statuses[i] != VELOCITY_INVALID;
    if (is_key && find_own(m->txn, m->keys[i], &e)) {
        velocity_value_release(&m->values[i]);
        m->statuses[i] = own_value(m->txn, &e, &m->values[i]);
    } else if (is_key) {
        note_key(m->txn, m->keys[i]);
    }
    return !m->each || m->each(m->each_arg, i);
}

velocity_status velocity_txn_get_many(velocity_txn *txn, const velocity_read_options *options, size_t n,
                                      const velocity_slice *keys, velocity_value *values, velocity_status *statuses) {
    velocity_status result = check_active(txn);
    if (!result) result = check_options(options);
    for (size_t i = 0; i < n && result; i++) {
        empty_value(&values[i]);
        statuses[i] = result;
    }
    if (result) return result;
    velocity_read_options o = at_snapshot(txn, options);
    struct many m = {
        .txn = txn, .keys = keys, .values = values, .statuses = statuses, .each = o.each, .each_arg = o.each_arg};
    o.each = lay_over;
    o.each_arg = &m;
    if (velocity_get_many(txn->db, &o, n, keys, values, statuses)) { /* each status is looked at now */
    }
    for (size_t i = 0; i < n && !result; i++)
        if (statuses[i] != VELOCITY_NOT_FOUND) result = statuses[i];
    return result;
}

velocity_iterator *velocity_txn_iterator(velocity_txn *txn, const velocity_range *range) {
    if (check_active(txn)) return iterator_invalid(NULL);
    if (range && range->struct_size > offsetof(velocity_range, snapshot) && range->snapshot)
        return iterator_invalid("a transaction reads its own snapshot, not that of the range");
    struct iterator_view view = {
        .snapshot = txn->snapshot, .own = txn->own, .own_last = OWN_SEQUENCE + txn->batch->extent.count};
    if (txn->isolation == VELOCITY_ISOLATION_SERIALIZABLE) {
        view.scan = read_scan_new(&txn->reads, &txn->scans);
        if (!view.scan) return iterator_no_memory();
    }
    return iterator_new(txn->db, range, &view);
}

/* ---- writing ------------------------------------------------------------------------------------------------------
 */

static velocity_status make_own(velocity_txn *txn, size_t operations, uint64_t bytes) {
    if (!txn->own && !(txn->own = write_buffer_new(txn->db, 0))) return VELOCITY_NO_MEMORY;
    return memtable_reserve(txn->own->memtable, operations, bytes);
}

static void insert_own(struct write_buffer *own, const struct entry *e, uint32_t number) {
    struct entry numbered = *e;
    numbered.sequence = OWN_SEQUENCE + number;
    write_buffer_insert(own, &numbered);
}

/* The operation that was added to the batch last goes into `own`, where there is room for it. A batch keeps the error
 * of what it could not take; a transaction goes on without it. */
static velocity_status added(velocity_txn *txn, size_t bytes_before) {
    velocity_batch *batch = txn->batch;
    velocity_status status = batch->error;
    if (status) {
        status = status_set(status, "%s", batch->reason);
        batch->error = VELOCITY_OK;
        batch->reason = NULL;
        return status;
    }
    struct entry e;
    const uint8_t *end = batch->operations + batch->extent.bytes;
    if (!log_operation_decode(batch->operations + bytes_before, end, &e))
        return status_set(VELOCITY_INVALID, "the operation makes no sense");
    insert_own(txn->own, &e, batch->extent.count);
    return VELOCITY_OK;
}

velocity_status velocity_txn_put(velocity_txn *txn, velocity_slice key, velocity_slice value,
                                 const velocity_put_options *options) {
    velocity_status status = check_active(txn);
    if (!status) status = batch_check_key(key);
    if (!status) status = batch_check_value(value);
    if (!status) status = make_own(txn, 1, key.size + value.size);
    if (status) return status;
    size_t before = txn->batch->extent.bytes;
    velocity_batch_put(txn->batch, key, value, options);
    return added(txn, before);
}

velocity_status velocity_txn_delete(velocity_txn *txn, velocity_slice key) {
    velocity_status status = check_active(txn);
    if (!status) status = batch_check_key(key);
    if (!status) status = make_own(txn, 1, key.size);
    if (status) return status;
    size_t before = txn->batch->extent.bytes;
    velocity_batch_delete(txn->batch, key);
    return added(txn, before);
}

velocity_status velocity_txn_delete_range(velocity_txn *txn, velocity_slice start, velocity_slice end) {
    velocity_status status = check_active(txn);
    if (!status) status = batch_check_range(start, end);
    if (!status) status = make_own(txn, 1, start.size + end.size);
    if (!status) status = range_buffer_reserve(&txn->own->ranges, 1);
    if (status) return status;
    size_t before = txn->batch->extent.bytes;
    velocity_batch_delete_range(txn->batch, start, end);
    return added(txn, before);
}

/* ---- savepoints ---------------------------------------------------------------------------------------------------
 */

velocity_status velocity_txn_savepoint(velocity_txn *txn, uint64_t *savepoint) {
    velocity_status status = check_active(txn);
    if (status) return status;
    if (!savepoint) return status_set(VELOCITY_INVALID, "velocity_txn_savepoint needs a place for the number");
    status = array_reserve(txn->savepoints, txn->savepoint_capacity, txn->savepoint_count);
    if (status) return status;
    *savepoint = ++txn->last_savepoint;
    txn->savepoints[txn->savepoint_count++] = (struct savepoint){*savepoint, txn->batch->extent};
    return VELOCITY_OK;
}

/* A write buffer with the first operations of the batch only. The old one stays with the iterators that use it. */
static velocity_status rebuild_own(velocity_txn *txn, const struct batch_extent *to) {
    struct write_buffer *own = write_buffer_new(txn->db, 0);
    if (!own || memtable_reserve(own->memtable, to->count, to->bytes) ||
        range_buffer_reserve(&own->ranges, to->range_deletes)) {
        write_buffer_release(own);
        return VELOCITY_NO_MEMORY;
    }
    const uint8_t *p = txn->batch->operations, *end = p + to->bytes;
    struct entry e;
    for (uint32_t number = 1; p && p < end; number++)
        if ((p = log_operation_decode(p, end, &e))) insert_own(own, &e, number);
    write_buffer_release(txn->own);
    txn->own = own;
    return VELOCITY_OK;
}

velocity_status velocity_txn_rollback_to(velocity_txn *txn, uint64_t savepoint) {
    velocity_status status = check_active(txn);
    if (status) return status;
    size_t at = txn->savepoint_count;
    while (at > 0 && txn->savepoints[at - 1].number > savepoint) at--;
    if (at == 0 || txn->savepoints[at - 1].number != savepoint)
        return status_set(VELOCITY_INVALID, "the transaction has no savepoint %llu", (unsigned long long)savepoint);
    const struct batch_extent *to = &txn->savepoints[at - 1].extent;
    if (txn->batch->extent.count > to->count) status = rebuild_own(txn, to);
    if (status) return status;
    txn->batch->extent = *to;
    txn->savepoint_count = at;
    return VELOCITY_OK;
}

/* ---- commit -------------------------------------------------------------------------------------------------------
 */

/* Nothing was done, and trying again makes sense: the transaction goes on. */
static bool may_go_on(velocity_status status) {
    return status == VELOCITY_BUSY || status == VELOCITY_NO_SPACE || status == VELOCITY_NO_MEMORY;
}

static void finish(velocity_txn *txn, velocity_status status) {
    if (may_go_on(status)) {
        atomic_store(&txn->state, TXN_ACTIVE);
        return;
    }
    if (status == VELOCITY_OK) atomic_fetch_add(&txn->db->figures.txn_commits, 1);
    if (status == VELOCITY_CONFLICT) atomic_fetch_add(&txn->db->figures.txn_conflicts, 1);
    end(txn);
}

/* The first check, against all that is visible now; what comes after is the leader's to check. */
static velocity_status prepare(velocity_txn *txn) {
    if (!txn->snapshot) return VELOCITY_OK;
    for (struct read_scan *scan = txn->scans; scan; scan = scan->next) read_scan_note(scan);
    read_set_settle(&txn->reads);
    uint64_t visible = atomic_load(&txn->db->visible_sequence);
    txn->validation.since = txn->snapshot->sequence;
    velocity_status status = validate(txn->db, txn->batch, &txn->validation, visible);
    if (!status) txn->validation.since = visible;
    txn->batch->validation = &txn->validation;
    return status;
}

velocity_status velocity_txn_commit(velocity_txn *txn, const velocity_write_options *options, uint64_t *sequence) {
    velocity_status status = check_active(txn);
    if (status) return status;
    if (txn->batch->extent.count == 0) {
        /* Its place is its snapshot, where all that it read is true (head of this file). */
        if (sequence) *sequence = velocity_txn_snapshot_sequence(txn);
    } else {
        status = prepare(txn);
        if (!status) status = velocity_write(txn->db, txn->batch, options, sequence);
    }
    finish(txn, status);
    return status;
}

velocity_slice velocity_txn_lost_key(const velocity_txn *txn) {
    return velocity_bytes(txn->lost.bytes, txn->lost.size);
}

static void committed(void *arg, velocity_status status, uint64_t sequence) {
    velocity_txn *txn = arg;
    void (*done)(void *, velocity_status, uint64_t) = txn->done;
    void *done_arg = txn->done_arg;
    finish(txn, status);
    done(done_arg, status, sequence); /* may free the transaction */
}

velocity_status velocity_txn_commit_async(velocity_txn *txn, const velocity_write_options *options,
                                          void (*done)(void *arg, velocity_status status, uint64_t sequence),
                                          void *arg) {
    velocity_status status = check_active(txn);
    if (!status && !done) status = status_set(VELOCITY_INVALID, "velocity_txn_commit_async needs a callback");
    if (status) return status;
    txn->done = done;
    txn->done_arg = arg;
    status = txn->batch->extent.count ? prepare(txn) : VELOCITY_OK;
    atomic_store(&txn->state, TXN_COMMITTING);
    if (!status) status = velocity_write_async(txn->db, txn->batch, options, committed, txn);
    if (status) finish(txn, status);
    return status;
}
