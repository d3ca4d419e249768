/*
 * model_txn.c - transactions beside the model: each one's own writes over its view, and what it has looked at, so that
 * every conflict is foretold. See model_run.h.
 */
#include "engine/slice.h"
#include "model_run.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- what a transaction sees --------------------------------------------------------------------------------------
 */

static bool op_writes(const struct model_operation *op, size_t key) {
    return op->end ? key >= op->key && key < op->end : key == op->key;
}

/* The transaction's own newest operation on the key; NULL: none. */
static const struct model_operation *own_write(const struct run_txn *t, size_t key) {
    for (size_t i = t->count; i-- > 0;)
        if (op_writes(&t->operations[i], key)) return &t->operations[i];
    return NULL;
}

static uint64_t view_of(const struct run_txn *t) {
    return t->isolation == VELOCITY_ISOLATION_READ_COMMITTED ? UINT64_MAX : t->begin;
}

static long day_of(const struct run *r, const struct run_txn *t) {
    return t->isolation == VELOCITY_ISOLATION_READ_COMMITTED ? r->m->day : t->day;
}

/* Whether it sees a value of the key, and which. */
static bool sees(const struct run *r, const struct run_txn *t, size_t key, struct model_version *out) {
    const struct model_operation *own = own_write(t, key);
    if (own) {
        *out = (struct model_version){VELOCITY_ABSENT, model_hash(own->value), (uint32_t)own->value.size,
                                      own->flags,      own->expires_at_ms,     own->is_delete};
        return !own->is_delete && (own->expires_at_ms == 0 || day_of(r, t) * MODEL_DAY_MS < own->expires_at_ms);
    }
    const struct model_version *v = model_find_on(r->m, key, view_of(t), day_of(r, t));
    if (v) *out = *v;
    return v != NULL;
}

bool run_txn_conflicts(const struct run *r, const struct run_txn *t) {
    if (t->isolation == VELOCITY_ISOLATION_READ_COMMITTED || t->count == 0) return false;
    for (size_t key = 0; key < r->m->key_count; key++) {
        const struct model_key *k = &r->m->keys[key];
        if (k->count == 0 || k->versions[k->count - 1].sequence <= t->begin) continue;
        if (own_write(t, key) || (t->isolation == VELOCITY_ISOLATION_SERIALIZABLE && t->read[key])) return true;
    }
    return false;
}

/* ---- operations ---------------------------------------------------------------------------------------------------
 */

static void begin(struct run *r, struct run_txn *t) {
    t->isolation = (velocity_isolation)model_random(r->m, 3);
    t->begin = r->m->last;
    t->day = r->m->day;
    t->count = t->savepoint_count = 0;
    t->read = calloc(r->m->key_count, 1);
    run_doing(r, "begin a transaction, isolation %d", (int)t->isolation);
    RUN_EXPECT(r, t->read && velocity_txn_begin(r->db, t->isolation, &t->txn) == VELOCITY_OK);
}

static void end(struct run_txn *t) {
    velocity_txn_free(t->txn);
    free(t->read);
    memset(t, 0, sizeof *t);
}

static void expect(struct run *r, struct run_txn *t, size_t key, velocity_status status, const velocity_value *value) {
    struct model_version expected;
    bool there = sees(r, t, key, &expected);
    if (!own_write(t, key)) t->read[key] = true;
    if (run_crashed(r)) return;
    if (status != (there ? VELOCITY_OK : VELOCITY_NOT_FOUND))
        run_fail(r, "key %zu in the transaction: %s", key, velocity_status_name(status));
    if (!there || !value) return;
    RUN_EXPECT(r, value->sequence == expected.sequence && value->flags == expected.flags);
    RUN_EXPECT(r, model_hash(velocity_bytes(value->data, value->size)) == expected.hash);
}

static void get(struct run *r, struct run_txn *t) {
    size_t key = model_random(r->m, r->m->key_count);
    velocity_value value;
    if (t->count && model_random(r->m, 3) == 0) key = t->operations[model_random(r->m, t->count)].key;
    run_doing(r, "transaction gets key %zu", key);
    if (model_random(r->m, 4) == 0) {
        expect(r, t, key, velocity_txn_contains(t->txn, r->m->keys[key].bytes), NULL);
        return;
    }
    velocity_status status = velocity_txn_get(t->txn, r->m->keys[key].bytes, &value);
    expect(r, t, key, status, &value);
    if (status == VELOCITY_OK) velocity_value_release(&value);
}

static void get_many(struct run *r, struct run_txn *t) {
    enum { MANY = 6 };
    size_t chosen[MANY];
    velocity_slice keys[MANY];
    velocity_value values[MANY];
    velocity_status statuses[MANY];
    for (size_t i = 0; i < MANY; i++) {
        chosen[i] = model_random(r->m, r->m->key_count);
        keys[i] = r->m->keys[chosen[i]].bytes;
    }
    run_doing(r, "transaction gets %d keys", MANY);
    velocity_status status = velocity_txn_get_many(t->txn, NULL, MANY, keys, values, statuses);
    if (!run_crashed(r)) RUN_EXPECT(r, status == VELOCITY_OK);
    for (size_t i = 0; i < MANY; i++) {
        expect(r, t, chosen[i], statuses[i], &values[i]);
        if (statuses[i] == VELOCITY_OK) velocity_value_release(&values[i]);
    }
}

/* From `from` on, in the direction: what is passed by was looked at. Where the iterator must stand; -1: nowhere. */
static long look(struct run *r, struct run_txn *t, long from, int step, long low, long high) {
    struct model_version ignored;
    for (long i = from; i >= low && i < high; i += step) {
        t->read[i] = true;
        if (sees(r, t, (size_t)i, &ignored)) return i;
    }
    return -1;
}

static void expect_iterator(struct run *r, struct run_txn *t, velocity_iterator *it, long at) {
    struct model_version expected;
    if (run_crashed(r)) return;
    velocity_status status = velocity_iterator_status(it);
    if (status != VELOCITY_OK) run_fail(r, "the transaction's iterator: %s", velocity_status_name(status));
    if (velocity_iterator_valid(it) != (at >= 0)) run_fail(r, "the transaction's iterator should stand on %ld", at);
    if (at < 0) return;
    RUN_EXPECT(r, sees(r, t, (size_t)at, &expected));
    RUN_EXPECT(r, slice_equal(velocity_iterator_key(it), r->m->keys[at].bytes));
    RUN_EXPECT(r, velocity_iterator_sequence(it) == expected.sequence);
    RUN_EXPECT(r, model_hash(velocity_iterator_value(it)) == expected.hash);
}

static void scan(struct run *r, struct run_txn *t) {
    long count = (long)r->m->key_count, low = (long)model_random(r->m, (uint64_t)count), high = count;
    velocity_range range = velocity_range_default();
    if (model_random(r->m, 2)) high = low + (long)model_random(r->m, (uint64_t)(count - low));
    range.start = r->m->keys[low].bytes;
    if (high < count) range.end = r->m->keys[high].bytes;
    range.reverse = model_random(r->m, 2);
    int step = range.reverse ? -1 : 1;
    run_doing(r, "transaction scans [%ld, %ld) %s", low, high, range.reverse ? "backward" : "forward");
    velocity_iterator *it = velocity_txn_iterator(t->txn, &range);
    long at = look(r, t, range.reverse ? high - 1 : low, step, low, high);
    expect_iterator(r, t, it, at);
    if (high > low && model_random(r->m, 2)) {
        long target = low + (long)model_random(r->m, (uint64_t)(high - low));
        velocity_iterator_seek(it, r->m->keys[target].bytes);
        at = look(r, t, target, step, low, high);
        expect_iterator(r, t, it, at);
    }
    for (uint64_t moves = model_random(r->m, 20); moves > 0 && at >= 0 && !run_crashed(r); moves--) {
        bool next = model_random(r->m, 6) > 0;
        at = look(r, t, at + (next ? step : -step), next ? step : -step, low, high);
        if (next)
            velocity_iterator_next(it);
        else
            velocity_iterator_prev(it);
        expect_iterator(r, t, it, at);
    }
    velocity_iterator_free(it);
}

static void write(struct run *r, struct run_txn *t) {
    if (t->count == RUN_BATCH) return;
    struct model_operation *op = &t->operations[t->count];
    *op = model_random_operation(r->m);
    velocity_slice key = r->m->keys[op->key].bytes;
    velocity_put_options options = velocity_put_options_default();
    options.flags = op->flags;
    options.expires_at_ms = op->expires_at_ms;
    run_doing(r, "transaction %s key %zu, up to %zu", op->is_delete ? "deletes" : "puts", op->key, op->end);
    velocity_status status = op->end         ? velocity_txn_delete_range(t->txn, key, r->m->keys[op->end].bytes)
                             : op->is_delete ? velocity_txn_delete(t->txn, key)
                                             : velocity_txn_put(t->txn, key, op->value, &options);
    RUN_EXPECT(r, status == VELOCITY_OK);
    t->count++;
}

static void turn_back(struct run *r, struct run_txn *t) {
    if (t->savepoint_count == 0 || (t->savepoint_count < RUN_SAVEPOINTS && model_random(r->m, 2))) {
        run_doing(r, "transaction makes a savepoint at %zu", t->count);
        struct run_savepoint *s = &t->savepoints[t->savepoint_count++];
        s->count = t->count;
        RUN_EXPECT(r, velocity_txn_savepoint(t->txn, &s->number) == VELOCITY_OK);
        return;
    }
    size_t to = model_random(r->m, t->savepoint_count);
    run_doing(r, "transaction goes back to %zu writes of %zu", t->savepoints[to].count, t->count);
    RUN_EXPECT(r, velocity_txn_rollback_to(t->txn, t->savepoints[to].number) == VELOCITY_OK);
    t->count = t->savepoints[to].count;
    t->savepoint_count = to + 1;
}

/* ---- steps --------------------------------------------------------------------------------------------------------
 */

void run_txn_step(struct run *r) {
    struct run_txn *t = &r->txns[model_random(r->m, RUN_TXNS)];
    if (!t->txn) {
        begin(r, t);
        return;
    }
    uint64_t sort = model_random(r->m, 100);
    if (sort < 20)
        get(r, t);
    else if (sort < 25)
        get_many(r, t);
    else if (sort < 40)
        scan(r, t);
    else if (sort < 75)
        write(r, t);
    else if (sort < 83)
        turn_back(r, t);
    else {
        if (sort < 97) (void)run_txn_commit(r, t);
        end(t);
    }
}

velocity_status run_txn(struct run *r) {
    struct run_txn t;
    begin(r, &t);
    for (int i = 0; i < 3; i++) write(r, &t);
    velocity_status status = run_txn_commit(r, &t);
    end(&t);
    return status;
}

void run_txn_release(struct run *r) {
    for (size_t i = 0; i < RUN_TXNS; i++)
        if (r->txns[i].txn) end(&r->txns[i]);
}
