/* work.c - the process that works, and that is killed. See soak.h. */
#include "soak.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct worker {
    struct soak_ledger *ledger;
    struct soak_thread *mine;
    velocity *db;
    const velocity_options *options; /* that it was opened with */
    const char *folder;
    struct soak_random random;
    uint32_t number;
    uint8_t *value; /* SOAK_VALUE_MAX bytes */
    pthread_t thread;
};

#define FAIL(w, ...) ledger_fail((w)->ledger, __VA_ARGS__)

static uint64_t now_us(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void must(struct worker *w, velocity_status status, const char *what) {
    if (status) FAIL(w, "%s: %s: %s", what, velocity_status_name(status), velocity_error_message());
}

/* The time that the database lives by. */
static int64_t clock_of(struct worker *w, velocity *db) {
    velocity_stats stats = {.struct_size = sizeof stats};
    must(w, velocity_stats_get(db, &stats), "stats");
    return (int64_t)stats.clock_ms;
}

/* ---- checking ---------------------------------------------------------------------------------------------------- */

/* The state that the database has for a slot: 0: none. */
static uint64_t state_of(struct worker *w, uint32_t slot, velocity_status status, velocity_slice value) {
    uint64_t state = 0;
    if (status == VELOCITY_NOT_FOUND) return 0;
    if (value.size >= 8) memcpy(&state, value.data, 8);
    if (!soak_value_is(w->number, slot, state, value))
        FAIL(w, "thread %u key %u: %zu bytes that were never written as its value", w->number, slot, value.size);
    return state;
}

static uint64_t read_state(struct worker *w, velocity *db, velocity_snapshot *snapshot, uint32_t slot) {
    char key[32];
    velocity_value value;
    velocity_read_options options = velocity_read_options_default();
    options.snapshot = snapshot;
    velocity_status status = velocity_get_with(db, &options, soak_key(w->number, slot, key), &value);
    if (status && status != VELOCITY_NOT_FOUND) must(w, status, "get");
    uint64_t state = state_of(w, slot, status, velocity_bytes(value.data, value.size));
    if (!status) velocity_value_release(&value);
    return state;
}

/* Whether this was found in place of a state, at a time between the two. */
static bool fits(uint64_t found, uint64_t state, int64_t until, int64_t from, int64_t to) {
    if (found == state) return !until || until > from;
    return found == 0 && until && until <= to;
}

/* After a kill: each key at its acknowledged state, or, if it was under way, at the new one; a batch all or nothing. */
static void check_thread(struct worker *w) {
    struct soak_thread *t = w->mine;
    uint32_t count = atomic_load(&t->batch_count), done = 0;
    bool under_way[SOAK_KEYS] = {false};
    for (uint32_t i = 0; i < count; i++) under_way[t->batch[i]] = true;
    uint32_t changed = 0;
    int64_t from = clock_of(w, w->db);
    for (uint32_t slot = 0; slot < SOAK_KEYS; slot++) {
        struct soak_slot *s = &t->slots[slot];
        uint64_t acked = atomic_load(&s->acked), pending = atomic_load(&s->pending);
        int64_t acked_until = atomic_load(&s->acked_until), pending_until = atomic_load(&s->pending_until);
        uint64_t found = read_state(w, w->db, NULL, slot);
        int64_t to = clock_of(w, w->db);
        bool is_new = under_way[slot] && fits(found, pending, pending_until, from, to);
        if (!is_new && !fits(found, acked, acked_until, from, to))
            FAIL(w, "thread %u key %u: state %llu at %lld ms; %llu until %lld was acknowledged, %llu until %lld %s",
                 w->number, slot, (unsigned long long)found, (long long)to, (unsigned long long)acked,
                 (long long)acked_until, (unsigned long long)pending, (long long)pending_until,
                 under_way[slot] ? "was under way" : "was the last tried");
        if (under_way[slot] && acked != pending && !acked_until && !pending_until) changed++, done += found == pending;
        atomic_store(&s->acked, found);
        atomic_store(&s->acked_until, found == 0 ? 0 : found == acked ? acked_until : pending_until);
        atomic_store(&s->pending, found);
        atomic_fetch_add(&w->ledger->checked, 1);
    }
    if (done != 0 && done != changed)
        FAIL(w, "thread %u: of a batch of %u changes %u came through", w->number, changed, done);
    atomic_store(&t->batch_count, 0);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void note_latency(struct worker *w, uint64_t began) {
    uint64_t took = now_us() - began;
    if (took > atomic_load_explicit(&w->mine->slowest_us, memory_order_relaxed))
        atomic_store(&w->mine->slowest_us, took);
}

/* Into the ledger, before the write: the slots' states to be. The count comes last: it puts them in force. */
static void announce(struct worker *w, const uint32_t *slots, const bool *deletes, uint32_t count) {
    struct soak_thread *t = w->mine;
    for (uint32_t i = 0; i < count; i++) {
        struct soak_slot *s = &t->slots[slots[i]];
        bool expires = !deletes[i] && soak_below(&w->random, 8) == 0;
        t->batch[i] = slots[i];
        atomic_store(&s->pending, deletes[i] ? 0 : atomic_fetch_add(&t->next_state, 1) + 1);
        atomic_store(&s->pending_until, expires ? clock_of(w, w->db) + (int64_t)soak_below(&w->random, 4000) : 0);
    }
    atomic_store(&t->batch_count, count);
}

static void settle(struct worker *w, velocity_status status) {
    struct soak_thread *t = w->mine;
    uint32_t count = atomic_load(&t->batch_count);
    for (uint32_t i = 0; i < count; i++) {
        struct soak_slot *s = &t->slots[t->batch[i]];
        if (status) {
            atomic_store(&s->pending, atomic_load(&s->acked));
        } else {
            atomic_store(&s->acked, atomic_load(&s->pending));
            atomic_store(&s->acked_until, atomic_load(&s->pending_until));
        }
    }
    atomic_store(&t->batch_count, 0);
}

/* Distinct slots, close together or far apart. */
static uint32_t choose_slots(struct worker *w, uint32_t *slots, bool *deletes) {
    uint32_t count = 1 + (uint32_t)soak_below(&w->random, soak_below(&w->random, 3) ? 3 : SOAK_BATCH_MAX);
    uint32_t first = (uint32_t)soak_below(&w->random, SOAK_KEYS), step = 1 + (uint32_t)soak_below(&w->random, 90);
    for (uint32_t i = 0; i < count; i++) {
        slots[i] = (first + i * step) % SOAK_KEYS;
        deletes[i] = soak_below(&w->random, 5) == 0;
    }
    return count;
}

static velocity_put_options put_options(struct worker *w, uint32_t slot) {
    velocity_put_options options = velocity_put_options_default();
    options.expires_at_ms = atomic_load(&w->mine->slots[slot].pending_until);
    return options;
}

static void write_some(struct worker *w) {
    uint32_t slots[SOAK_BATCH_MAX];
    bool deletes[SOAK_BATCH_MAX];
    char key[32];
    uint32_t count = choose_slots(w, slots, deletes);
    announce(w, slots, deletes, count);
    velocity_batch *batch = velocity_batch_new();
    if (!batch) FAIL(w, "no memory for a batch");
    for (uint32_t i = 0; i < count; i++) {
        velocity_slice k = soak_key(w->number, slots[i], key);
        uint64_t state = atomic_load(&w->mine->slots[slots[i]].pending);
        velocity_put_options options = put_options(w, slots[i]);
        if (deletes[i])
            velocity_batch_delete(batch, k);
        else
            velocity_batch_put(batch, k, soak_value(w->number, slots[i], state, w->value), &options);
    }
    uint64_t began = now_us();
    velocity_status status = velocity_write(w->db, batch, NULL, NULL);
    note_latency(w, began);
    must(w, status, "write");
    settle(w, status);
    velocity_batch_free(batch);
    atomic_fetch_add(&w->mine->writes, count);
}

/* One record for a stretch of this thread's keys. */
static void delete_stretch(struct worker *w) {
    uint32_t slots[SOAK_BATCH_MAX], count = 2 + (uint32_t)soak_below(&w->random, SOAK_BATCH_MAX - 2);
    bool deletes[SOAK_BATCH_MAX];
    char start[32], end[32];
    uint32_t first = (uint32_t)soak_below(&w->random, SOAK_KEYS - count);
    for (uint32_t i = 0; i < count; i++) slots[i] = first + i, deletes[i] = true;
    announce(w, slots, deletes, count);
    velocity_status status =
        velocity_delete_range(w->db, soak_key(w->number, first, start), soak_key(w->number, first + count, end));
    must(w, status, "delete_range");
    settle(w, status);
    atomic_fetch_add(&w->mine->writes, 1);
}

/* Reads and writes own keys; nobody else writes them, so that only a rollback keeps it from taking effect. */
static void transact(struct worker *w) {
    uint32_t slots[SOAK_BATCH_MAX];
    bool deletes[SOAK_BATCH_MAX];
    char key[32];
    uint32_t count = choose_slots(w, slots, deletes);
    velocity_txn *txn;
    int64_t from = clock_of(w, w->db);
    must(w, velocity_txn_begin(w->db, VELOCITY_ISOLATION_SERIALIZABLE, &txn), "txn_begin");
    int64_t to = clock_of(w, w->db); /* it has one instant for its time */
    announce(w, slots, deletes, count);
    for (uint32_t i = 0; i < count; i++) {
        velocity_slice k = soak_key(w->number, slots[i], key);
        uint64_t acked = atomic_load(&w->mine->slots[slots[i]].acked);
        uint64_t pending = atomic_load(&w->mine->slots[slots[i]].pending);
        velocity_status found = velocity_txn_contains(txn, k);
        if (found && found != VELOCITY_NOT_FOUND) must(w, found, "txn_contains");
        if (!fits(found ? 0 : acked, acked, atomic_load(&w->mine->slots[slots[i]].acked_until), from, to) ||
            (!found && !acked))
            FAIL(w, "thread %u key %u: a transaction saw another state", w->number, slots[i]);
        velocity_slice value = soak_value(w->number, slots[i], pending, w->value);
        velocity_put_options options = put_options(w, slots[i]);
        must(w, deletes[i] ? velocity_txn_delete(txn, k) : velocity_txn_put(txn, k, value, &options), "txn write");
    }
    bool keep = soak_below(&w->random, 4) != 0;
    velocity_status status = keep ? velocity_txn_commit(txn, NULL, NULL) : velocity_txn_rollback(txn);
    velocity_txn_free(txn);
    must(w, status, "txn_commit");
    settle(w, keep ? VELOCITY_OK : VELOCITY_CONFLICT);
    atomic_fetch_add(&w->mine->transactions, 1);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* The slot is as this thread left it: in its database, in a snapshot of it, in a copy of it. */
static void expect_acked(struct worker *w, uint32_t slot, uint64_t found, int64_t from, int64_t to, const char *where) {
    const struct soak_slot *s = &w->mine->slots[slot];
    uint64_t acked = atomic_load(&s->acked);
    int64_t until = atomic_load(&s->acked_until);
    if (!fits(found, acked, until, from, to))
        FAIL(w, "thread %u key %u: %s has state %llu at %lld ms, written was %llu until %lld", w->number, slot, where,
             (unsigned long long)found, (long long)to, (unsigned long long)acked, (long long)until);
    if (found == 0 && acked) atomic_fetch_add(&w->mine->expired, 1);
}

static void read_one(struct worker *w) {
    uint32_t slot = (uint32_t)soak_below(&w->random, SOAK_KEYS);
    int64_t from = clock_of(w, w->db);
    uint64_t found = read_state(w, w->db, NULL, slot);
    expect_acked(w, slot, found, from, clock_of(w, w->db), "the database");
    atomic_fetch_add(&w->mine->reads, 1);
}

static bool is_at(velocity_iterator *it, velocity_slice key) {
    if (!velocity_iterator_valid(it)) return false;
    velocity_slice found = velocity_iterator_key(it);
    return found.size == key.size && memcmp(found.data, key.data, key.size) == 0;
}

/* All of this thread's keys in one scan, forward or backward: exactly what it wrote. */
static void scan(struct worker *w, velocity *db, const char *where) {
    char prefix[32], key[32];
    velocity_range range = velocity_range_default();
    range.prefix = velocity_bytes(prefix, (size_t)snprintf(prefix, sizeof prefix, "thread%u/", w->number));
    range.reverse = soak_below(&w->random, 2);
    int64_t from = clock_of(w, db);
    velocity_iterator *it = velocity_iterator_new(db, &range);
    int64_t to = clock_of(w, db); /* it has one instant for its time */
    uint64_t seen = 0;
    for (uint32_t i = 0; i < SOAK_KEYS; i++) {
        uint32_t slot = range.reverse ? SOAK_KEYS - 1 - i : i;
        uint64_t found = 0;
        if (is_at(it, soak_key(w->number, slot, key))) {
            found = state_of(w, slot, VELOCITY_OK, velocity_iterator_value(it));
            velocity_iterator_next(it);
            seen++;
        }
        expect_acked(w, slot, found, from, to, where);
    }
    if (velocity_iterator_valid(it)) FAIL(w, "thread %u: a scan showed keys that there are not", w->number);
    must(w, velocity_iterator_status(it), "scan");
    velocity_iterator_free(it);
    atomic_fetch_add(&w->mine->scans, 1);
    atomic_fetch_add(&w->mine->scanned_keys, seen);
}

/* A snapshot shows what was there, at its time, whatever is written after it. */
static void hold_snapshot(struct worker *w) {
    enum { HELD = 50 };
    uint64_t states[HELD];
    int64_t until[HELD], from = clock_of(w, w->db);
    uint32_t first = (uint32_t)soak_below(&w->random, SOAK_KEYS - HELD);
    velocity_snapshot *snapshot = velocity_snapshot_new(w->db);
    if (!snapshot) FAIL(w, "no memory for a snapshot");
    int64_t to = clock_of(w, w->db);
    for (uint32_t i = 0; i < HELD; i++) {
        states[i] = atomic_load(&w->mine->slots[first + i].acked);
        until[i] = atomic_load(&w->mine->slots[first + i].acked_until);
    }
    for (int i = 0; i < 20; i++) write_some(w);
    for (uint32_t i = 0; i < HELD; i++)
        if (!fits(read_state(w, w->db, snapshot, first + i), states[i], until[i], from, to))
            FAIL(w, "thread %u key %u: a snapshot changed", w->number, first + i);
    velocity_snapshot_free(snapshot);
}

/* This thread writes nothing meanwhile: the copy has its keys as they are. */
static void compare_checkpoint(struct worker *w) {
    char path[256];
    velocity *copy;
    soak_remove(soak_copy(w->folder, w->number, path)); /* a kill may have left one */
    must(w, velocity_checkpoint(w->db, path), "checkpoint");
    must(w, velocity_open(path, w->options, &copy), "open of a checkpoint");
    scan(w, copy, "a checkpoint");
    must(w, velocity_close(copy), "close of a checkpoint");
    soak_remove(path);
    atomic_fetch_add(&w->mine->copies, 1);
}

static void maintain(struct worker *w) {
    char prefix[32];
    velocity_range range = velocity_range_default();
    range.prefix = velocity_bytes(prefix, (size_t)snprintf(prefix, sizeof prefix, "thread%u/", w->number));
    must(w, soak_below(&w->random, 3) ? velocity_flush(w->db) : velocity_compact(w->db, &range), "flush or compact");
    atomic_fetch_add(&w->ledger->maintained, 1);
}

static void *run(void *arg) {
    struct worker *w = arg;
    while (!atomic_load(&w->ledger->stop)) {
        uint64_t dice = soak_below(&w->random, 1000);
        if (dice < 460)
            write_some(w);
        else if (dice < 480)
            delete_stretch(w);
        else if (dice < 560)
            transact(w);
        else if (dice < 980)
            read_one(w);
        else if (dice < 990)
            scan(w, w->db, "a scan");
        else if (dice < 997)
            hold_snapshot(w);
        else if (dice < 998)
            compare_checkpoint(w);
        else
            maintain(w);
    }
    return NULL;
}

/* ---- the process ---------------------------------------------------------------------------------------------------
 */

/* One of two keys or none; what was written with the others stays readable. */
static void choose_key(struct soak_random *r, velocity_options *o) {
    static const velocity_slice keys[] = {{"thirty-two bytes for half of life", 32},
                                          {"and as many again for the others.", 32}};
    enum { KEYS = sizeof keys / sizeof *keys };
    uint64_t choice = soak_below(r, KEYS * 2);
    o->old_encryption_keys = keys;
    o->old_encryption_key_count = KEYS;
    if (choice < KEYS) o->encryption_key = keys[choice];
}

/* Small buffers and tables, so that much happens; another choice with each opening. */
static velocity_options choose_options(struct soak_random *r) {
    static const uint64_t thresholds[] = {0, 64, 300, 4096};
    velocity_options o = velocity_options_default();
    o.memtable_bytes = (uint64_t)(64 << 10) << soak_below(r, 7);
    o.table_bytes = (uint64_t)(64 << 10) << soak_below(r, 6);
    o.cache_bytes = (uint64_t)(64 << 10) << soak_below(r, 8);
    o.value_log_threshold = thresholds[soak_below(r, sizeof thresholds / sizeof *thresholds)];
    o.compaction_threshold = 2 + (uint32_t)soak_below(r, 8);
    o.block_bytes = 1024u << soak_below(r, 5);
    o.max_open_files = 16 + (uint32_t)soak_below(r, 100);
    o.durability = soak_below(r, 4) ? VELOCITY_DURABILITY_OS : VELOCITY_DURABILITY_ALWAYS;
    o.compression = (velocity_compression)soak_below(r, VELOCITY_COMPRESSION_ADAPTIVE + 1);
    o.log_retention_bytes = soak_below(r, 3) ? 0 : 1 << 20;
    choose_key(r, &o);
    return o;
}

void soak_work(struct soak_ledger *ledger, const char *folder, uint64_t seed) {
    struct soak_random random = {seed * UINT64_C(0x9e3779b97f4a7c15) + 1};
    struct worker workers[SOAK_THREADS];
    velocity_options options = choose_options(&random);
    velocity *db;
    velocity_status status = velocity_open(folder, &options, &db);
    if (status) ledger_fail(ledger, "open: %s: %s", velocity_status_name(status), velocity_error_message());
    atomic_fetch_add(&ledger->opened, 1);
    for (uint32_t i = 0; i < SOAK_THREADS; i++) {
        workers[i] = (struct worker){.ledger = ledger, .mine = &ledger->threads[i], .db = db, .number = i};
        workers[i].options = &options;
        workers[i].folder = folder;
        workers[i].random.state = soak_below(&random, UINT64_MAX - 1) + 1;
        workers[i].value = malloc(SOAK_VALUE_MAX);
        if (!workers[i].value) ledger_fail(ledger, "no memory");
        check_thread(&workers[i]);
    }
    atomic_store(&ledger->working, true);
    for (uint32_t i = 0; i < SOAK_THREADS; i++)
        if (pthread_create(&workers[i].thread, NULL, run, &workers[i])) ledger_fail(ledger, "no thread");
    for (uint32_t i = 0; i < SOAK_THREADS; i++) (void)pthread_join(workers[i].thread, NULL);
    for (uint32_t i = 0; i < SOAK_THREADS; i++) free(workers[i].value);
    status = velocity_close(db);
    if (status) ledger_fail(ledger, "close: %s: %s", velocity_status_name(status), velocity_error_message());
    atomic_fetch_add(&ledger->closed, 1);
}
