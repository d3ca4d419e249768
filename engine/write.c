/*
 * write.c - the commit queue: how many writers become few syncs.
 *
 *   writers push themselves on `pending` (one atomic exchange). Whoever then sets `leading` from 0 to 1 leads: it takes
 *   what is pending, oldest first, writes a group of it to the log, inserts it, syncs if any of them asks for it, makes
 *   it visible, and tells the writers. Then it hands leadership on: to the oldest synchronous writer that waits, else
 * to the commit thread if asynchronous ones wait, else it sets `leading` back.
 *
 * Invariants:
 *  1. `leading` is 1 exactly while one thread, or one wake-up on its way to a thread, holds leadership. Whoever sets it
 *     to 0 looks at `pending` again afterwards, so no writer is left behind.
 *  2. A writer's memory belongs to its thread again as soon as its state is DONE; the leader does not touch it after.
 *  3. visible_sequence moves only after every byte of the group, and of all before it, is in the log (and synced, where
 *     the group asks for it): so what is visible is always a prefix of the log.
 *  4. Everything that can fail without harm (room in log and memory) fails before a group's first byte. A failed sync
 *     makes the database read-only: the outcome is unknown, and nothing may be acknowledged on top of it.
 */
#include "database_internal.h"
#include "validate.h"

#include <stdio.h>

enum {
    GROUP_PAYLOAD_MAX = 4 << 20, /* a group stops growing here; a larger batch is a group of its own */
    SPINS = 200, /* looks at the state before sleeping: a group without a sync takes less time than a sleep */
};

enum writer_state { WAITING, ASLEEP, LEAD, DONE };

struct writer {
    struct writer *next;
    velocity_batch *batch; /* or, for one operation, NULL and: */
    const struct entry *single;
    uint64_t payload_bytes;
    uint32_t operations;
    uint32_t range_deletes; /* among them */
    bool sync;              /* wait for the disk */
    bool switch_only;       /* commit_switch */
    bool done;              /* set with the state; for the leader that finds itself in its own group */
    void (*callback)(void *arg, velocity_status status, uint64_t sequence); /* NULL: a thread waits */
    void *arg;
    velocity_status status;
    uint64_t sequence; /* of the last operation */
    _Atomic uint32_t state;
    char message[MESSAGE_BYTES]; /* valid if status is not OK */
};

/* ---- telling writers ------------------------------------------------------------------------------------------------
 */

static void writer_fail(struct writer *w, velocity_status status) {
    w->status = status;
    (void)snprintf(w->message, sizeof w->message, "%s", velocity_error_message());
}

/*
 * Takes the group apart while its leader still leads: asynchronous writers join the completed ones, so that these stand
 * in the order of the log whoever led; the synchronous ones are returned, linked by next, to be woken after leadership
 * went on.
 */
static struct writer *sort_group(velocity *db, struct writer *first, const struct writer *end) {
    struct writer *asleep = NULL, **sync_tail = &asleep, *done = NULL, *done_last = NULL;
    for (struct writer *w = first, *next; w && w != end; w = next) {
        next = w->next;
        w->next = NULL;
        if (!w->callback) {
            *sync_tail = w;
            sync_tail = &w->next;
            continue;
        }
        if (done_last)
            done_last->next = w;
        else
            done = w;
        done_last = w;
    }
    if (done) {
        env_mutex_lock(&db->commit_mutex);
        if (db->completed_last)
            db->completed_last->next = done;
        else
            db->completed = done;
        db->completed_last = done_last;
        if (db->commit_thread_runs) env_condition_signal(&db->commit_condition);
        env_mutex_unlock(&db->commit_mutex);
    }
    return asleep;
}

static void wake_writers(struct writer *w) {
    for (struct writer *next; w; w = next) {
        next = w->next; /* once it is told, the writer is its thread's again */
        _Atomic uint32_t *state = &w->state;
        if (atomic_exchange(state, DONE) == ASLEEP) env_wake_word(state, false);
    }
}

static struct writer *take_completed(velocity *db) {
    env_mutex_lock(&db->commit_mutex);
    struct writer *list = db->completed;
    db->completed = db->completed_last = NULL;
    env_mutex_unlock(&db->commit_mutex);
    return list;
}

static void run_callbacks(velocity *db, struct writer *list) {
    while (list) {
        struct writer *w = list;
        list = w->next;
        atomic_fetch_sub(&db->pending_bytes, w->payload_bytes);
        if (w->status) (void)status_set(w->status, "%s", w->message);
        w->callback(w->arg, w->status, w->sequence);
        env_free(w);
        /* Last: a close that sees none under way may free the database. */
        atomic_fetch_sub(&db->asynchronous, 1);
    }
}

/* ---- one group
 * ------------------------------------------------------------------------------------------------------- */

velocity_status database_read_only_status(velocity *db) {
    env_mutex_lock(&db->mutex);
    velocity_status status =
        status_set(VELOCITY_READ_ONLY, "%s: read-only until it is opened again: %s", db->path, db->read_only_message);
    env_mutex_unlock(&db->mutex);
    return status;
}

void database_set_read_only(velocity *db, const char *why) {
    env_mutex_lock(&db->mutex);
    if (!atomic_load(&db->read_only)) (void)snprintf(db->read_only_message, MESSAGE_BYTES, "%s", why);
    atomic_store(&db->read_only, true);
    env_condition_broadcast(&db->changed);
    env_mutex_unlock(&db->mutex);
}

/* The version that `key` has up to `sequence`: VELOCITY_ABSENT if none. *now_ms: see clock_is_over. */
static velocity_status current_version(velocity *db, velocity_slice key, uint64_t sequence, uint64_t *now_ms,
                                       uint64_t *out) {
    struct table_read read = {.fill_cache = true};
    struct entry e;
    struct held_block held = {NULL, false};
    struct write_buffer *buffer;
    epoch_enter();
    velocity_status status =
        read_entry(db, atomic_load(&db->superversion), &read, key, sequence, now_ms, &e, &held, &buffer);
    if (held.owned) cache_entry_release(held.entry);
    epoch_leave();
    *out = status == VELOCITY_OK ? e.sequence : VELOCITY_ABSENT;
    return status == VELOCITY_NOT_FOUND ? VELOCITY_OK : status;
}

/* Checks the batch's conditions against everything before it, its own group's earlier batches too. */
static velocity_status check_requirements(velocity *db, velocity_batch *batch, uint64_t sequence) {
    batch->conflict = SIZE_MAX;
    uint64_t now_ms = 0;
    for (size_t i = 0; i < batch->requirement_count; i++) {
        uint64_t wanted = batch->requirements[i].sequence, current;
        velocity_status status = current_version(db, batch_required_key(batch, i), sequence, &now_ms, &current);
        if (status) return status;
        if (wanted == VELOCITY_EXISTS ? current != VELOCITY_ABSENT : current == wanted) continue;
        batch->conflict = i;
        batch->conflict_sequence = current;
        return status_set(VELOCITY_CONFLICT, "condition %zu does not hold: the key is at version %llu", i,
                          (unsigned long long)current);
    }
    return VELOCITY_OK;
}

/* Whether the batch may be stored behind everything up to `sequence`. */
static velocity_status check_batch(velocity *db, velocity_batch *batch, uint64_t sequence) {
    velocity_status status = check_requirements(db, batch, sequence);
    return status || !batch->validation ? status : validate(db, batch, batch->validation, sequence);
}

/* Returns where the last operation begins. */
static size_t insert_batch(velocity *db, const uint8_t *operations, uint64_t bytes, uint64_t sequence) {
    const uint8_t *p = operations, *last = operations, *end = operations + bytes;
    struct entry e;
    while (p && p < end) {
        last = p;
        p = log_operation_decode(p, end, &e);
        e.sequence = sequence++;
        if (p) write_buffer_insert(db->active, &e);
    }
    return (size_t)(last - operations);
}

/* Stores the writer's operations in the log and the write buffer: at once, so that the next writer's conditions see
 * them. */
static uint8_t *store(velocity *db, struct writer *w, uint8_t *payload, uint64_t *sequence) {
    if (w->single) {
        struct entry e = *w->single;
        e.sequence = ++*sequence;
        uint8_t *meta = payload;
        payload = log_operation_encode(payload, &e);
        *meta |= LOG_OPERATION_ENDS_BATCH;
        write_buffer_insert(db->active, &e);
    } else if (w->operations) {
        memcpy(payload, w->batch->operations, w->batch->bytes);
        payload[insert_batch(db, w->batch->operations, w->batch->bytes, *sequence + 1)] |= LOG_OPERATION_ENDS_BATCH;
        payload += w->batch->bytes;
        *sequence += w->operations;
    }
    w->sequence = *sequence;
    return payload;
}

static bool interval_is_over(velocity *db) {
    return db->options.durability == VELOCITY_DURABILITY_INTERVAL && db->synced_sequence + 1 < db->next_sequence &&
           env_monotonic_us(db->env) - db->last_sync_us > (uint64_t)db->options.interval_ms * 1000;
}

static velocity_status sync_group(velocity *db, uint64_t last) {
    velocity_status status = room_sync_logs(db);
    atomic_fetch_add_explicit(&db->figures.syncs, 1, memory_order_relaxed);
    if (status) {
        database_set_read_only(db, velocity_error_message());
        return status;
    }
    db->synced_sequence = last;
    db->last_sync_us = env_monotonic_us(db->env);
    return VELOCITY_OK;
}

/* Only the leader writes these: no locked instruction is needed. */
static inline void count(_Atomic uint64_t *figure, uint64_t more) {
    atomic_store_explicit(figure, atomic_load_explicit(figure, memory_order_relaxed) + more, memory_order_relaxed);
}

static void count_group(velocity *db, size_t batches, uint64_t operations, uint64_t bytes) {
    size_t bucket = batches <= 1 ? 0 : batches <= 2 ? 1 : 64 - (size_t)__builtin_clzll(batches - 1);
    if (bucket >= VELOCITY_GROUP_BUCKETS) bucket = VELOCITY_GROUP_BUCKETS - 1;
    count(&db->figures.groups, 1);
    count(&db->figures.group_batches[bucket], 1);
    count(&db->figures.writes, batches);
    count(&db->figures.operations, operations);
    count(&db->figures.write_bytes, bytes);
    count(&db->figures.log_bytes, bytes + LOG_GROUP_HEADER_BYTES);
}

struct group {
    struct writer *first, *end; /* a stretch of db->waiting: end is the first that is not in it */
    size_t writers;
    uint64_t payload_bytes, operations, range_deletes;
    bool sync, weak; /* some writers wait for the disk, some do not */
    bool switch_buffer;
};

static void group_add(struct group *g, const struct writer *w) {
    g->payload_bytes += w->payload_bytes;
    g->operations += w->operations;
    g->range_deletes += w->range_deletes;
    g->sync |= w->sync;
    g->weak |= !w->sync && w->operations;
    g->switch_buffer |= w->switch_only;
    g->writers++;
    g->end = w->next;
}

/* Takes as many waiting writers as fit. */
static struct group gather(velocity *db) {
    struct group g = {.first = db->waiting};
    for (const struct writer *w = db->waiting; w; w = w->next) {
        if (g.writers && g.payload_bytes + w->payload_bytes > GROUP_PAYLOAD_MAX) break;
        if (g.range_deletes + w->range_deletes > GROUP_RANGES_MAX) break; /* one batch has no more than that */
        group_add(&g, w);
    }
    if (g.writers == 0) g.end = NULL;
    return g;
}

static void fail_group(const struct group *g, velocity_status status) {
    for (struct writer *w = g->first; w != g->end; w = w->next)
        if (!w->status) writer_fail(w, status);
}

static velocity_status write_group_bytes(velocity *db, const struct group *g, uint64_t *last) {
    uint8_t nothing, *payload = &nothing;
    velocity_status status = g->operations ? log_reserve(db->log, g->payload_bytes, g->sync, &payload) : VELOCITY_OK;
    if (status) return status;
    uint8_t *p = payload;
    size_t stored = 0;
    for (struct writer *w = g->first; w != g->end; w = w->next) {
        if (w->status) continue; /* refused */
        if (w->batch && (w->batch->requirement_count || w->batch->validation) &&
            (status = check_batch(db, w->batch, *last))) {
            writer_fail(w, status);
            continue;
        }
        p = store(db, w, p, last);
        stored += w->operations > 0;
    }
    if (p == payload) return VELOCITY_OK;
    struct log_group header = {.first_sequence = db->next_sequence,
                               .wall_ms = clock_now(&db->clock),
                               .synced_through = db->synced_sequence,
                               .payload_bytes = (uint32_t)(p - payload),
                               .count = (uint32_t)(*last + 1 - db->next_sequence)};
    status = log_commit(db->log, &header);
    if (status) { /* the write buffer holds what the log may not: nothing may follow */
        database_set_read_only(db, velocity_error_message());
        return VELOCITY_IO;
    }
    count_group(db, stored, header.count, header.payload_bytes);
    return VELOCITY_OK;
}

/* ---- a full disk ---- */

static bool only_deletes(const struct writer *w) {
    return w->batch ? w->batch->puts == 0 : !w->single || w->single->kind != ENTRY_PUT;
}

/* The writers that put are refused; the others stay, to be paid for from the reserve. */
static void refuse_puts(struct group *g) {
    g->payload_bytes = g->operations = 0;
    for (struct writer *w = g->first; w != g->end; w = w->next) {
        if (only_deletes(w)) {
            g->payload_bytes += w->payload_bytes;
            g->operations += w->operations;
        } else {
            writer_fail(w, VELOCITY_NO_SPACE);
        }
    }
}

static bool puts_anything(const struct group *g) {
    bool puts = false;
    for (const struct writer *w = g->first; w != g->end; w = w->next) puts |= !only_deletes(w);
    return puts;
}

/* Room for the group, or, on a full disk, for those in it that only delete: the others have failed then. */
static velocity_status make_room(velocity *db, struct group *g) {
    if (g->operations == 0) return VELOCITY_OK;
    velocity_status status = VELOCITY_OK;
    if (reserve_is_spent(&db->reserve) && puts_anything(g)) {
        database_refill_reserve(db);
        if (reserve_is_spent(&db->reserve)) {
            atomic_store(&db->figures.out_of_space, true);
            status = status_set(VELOCITY_NO_SPACE, "%s: the disk is full: until there is room, writes can only delete",
                                db->path);
        }
    }
    if (!status && db->options.max_database_bytes && puts_anything(g) && (status = limit_check(db, g->payload_bytes))) {
        refuse_puts(g);
        if (g->operations == 0) return status;
        status = VELOCITY_OK;
    }
    if (!status) status = room_make(db, g->operations, g->payload_bytes);
    if (status != VELOCITY_NO_SPACE) return status;
    refuse_puts(g);
    if (g->operations == 0 || !room_give_reserve(db)) return status;
    return room_make(db, g->operations, g->payload_bytes);
}

/* A full disk has no room for a new buffer; then the range deletes go where they are. */
static velocity_status switch_for_ranges(velocity *db, const struct group *g) {
    velocity_status status = VELOCITY_OK;
    bool wanted = false;
    for (const struct writer *w = g->first; w != g->end && !wanted; w = w->next)
        wanted = w->range_deletes && write_range_wants_switch(db, w->single, w->batch);
    if (wanted && !reserve_is_spent(&db->reserve)) status = room_switch_buffer(db);
    return status == VELOCITY_NO_SPACE ? VELOCITY_OK : status;
}

static void write_group(velocity *db, struct group *g) {
    velocity_status status = VELOCITY_OK;
    if (atomic_load_explicit(&db->read_only, memory_order_relaxed)) status = database_read_only_status(db);
    if (!status && g->weak && !atomic_load_explicit(&db->weak_writes, memory_order_relaxed))
        status = install_weak_writes(db, true);
    if (!status && g->range_deletes) status = switch_for_ranges(db, g);
    if (!status) status = make_room(db, g);
    if (!status && g->range_deletes) status = range_buffer_reserve(&db->active->ranges, g->range_deletes);
    uint64_t last = db->next_sequence - 1;
    if (!status) status = write_group_bytes(db, g, &last);
    if (status) {
        fail_group(g, status);
        return;
    }
    db->next_sequence = last + 1;
    bool sync = g->sync && db->synced_sequence < last;
    if (sync || interval_is_over(db)) status = sync_group(db, last);
    if (status) {
        fail_group(g, VELOCITY_IO);
        return;
    }
    atomic_store_explicit(&db->visible_sequence, last, memory_order_release);
    /* After the group's own writes: what was queued before a flush is part of it. */
    if (g->switch_buffer && (status = room_switch_buffer(db)))
        for (struct writer *w = g->first; w != g->end; w = w->next)
            if (w->switch_only) writer_fail(w, status);
}

/* ---- leading
 * ------------------------------------------------------------------------------------------------------------ */

/* Appends what is pending to db->waiting, oldest first. */
static void take_pending(velocity *db) {
    struct writer *newest = atomic_exchange(&db->pending, NULL), *oldest = NULL;
    while (newest) {
        struct writer *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    struct writer **tail = &db->waiting;
    while (*tail) tail = &(*tail)->next;
    *tail = oldest;
}

static void wake_commit_thread(velocity *db) {
    env_mutex_lock(&db->commit_mutex);
    db->commit_should_lead = true;
    env_condition_signal(&db->commit_condition);
    env_mutex_unlock(&db->commit_mutex);
}

/* Passes leadership on, or ends it. */
static void hand_over(velocity *db) {
    for (;;) {
        if (!db->waiting) take_pending(db);
        if (db->waiting) {
            for (struct writer *w = db->waiting; w; w = w->next) {
                if (w->callback) continue;
                if (atomic_exchange(&w->state, LEAD) == ASLEEP) env_wake_word(&w->state, false);
                return;
            }
            if (db->commit_thread_runs) {
                wake_commit_thread(db);
                return;
            }
            /* Inline environments: asynchronous writes wait for the next call that leads. */
            atomic_store(&db->leading, 0);
            return;
        }
        atomic_store(&db->leading, 0);
        if (!atomic_load(&db->pending) || atomic_exchange(&db->leading, 1)) return;
    }
}

/* Writes one group, passes leadership on, tells the writers. Whether `self` was among them. */
static bool lead(velocity *db, const struct writer *self) {
    take_pending(db);
    struct group g = gather(db);
    if (g.writers) write_group(db, &g);
    db->waiting = g.end;
    bool written = false;
    for (const struct writer *w = g.first; w && w != g.end; w = w->next) written |= w == self;
    struct writer *asleep = sort_group(db, g.first, g.end);
    hand_over(db);
    wake_writers(asleep);
    if (atomic_load_explicit(&db->followed, memory_order_relaxed)) changes_notify(db);
    return written;
}

static void push(velocity *db, struct writer *w) {
    struct writer *head = atomic_load_explicit(&db->pending, memory_order_relaxed);
    do w->next = head;
    while (!atomic_compare_exchange_weak(&db->pending, &head, w));
}

/* Until the writer is told, or told to lead. */
static uint32_t await(struct writer *w) {
    for (int i = 0; i < SPINS && !w->sync; i++) {
        uint32_t state = atomic_load_explicit(&w->state, memory_order_acquire);
        if (state == LEAD || state == DONE) return state;
        env_cpu_relax();
    }
    uint32_t expected = WAITING;
    (void)atomic_compare_exchange_strong(&w->state, &expected, ASLEEP);
    for (;;) {
        uint32_t state = atomic_load_explicit(&w->state, memory_order_acquire);
        if (state == LEAD || state == DONE) return state;
        env_wait_word(&w->state, ASLEEP);
    }
}

/* With leadership just taken: whether `w` is the only writer there is; then it is written without having been queued.
 */
static bool write_alone(velocity *db, struct writer *w) {
    if (db->waiting || atomic_load_explicit(&db->pending, memory_order_relaxed)) return false;
    struct group g = {.first = w};
    w->next = NULL;
    group_add(&g, w);
    write_group(db, &g);
    hand_over(db);
    if (atomic_load_explicit(&db->followed, memory_order_relaxed)) changes_notify(db);
    return true;
}

static void queue_and_wait(velocity *db, struct writer *w, bool leads) {
    push(db, w);
    leads = leads || atomic_exchange(&db->leading, 1) == 0 || await(w) == LEAD;
    while (leads) {
        /* The next hand-over may choose this writer again, if it is beyond the group; DONE must not be overwritten. */
        uint32_t expected = LEAD;
        (void)atomic_compare_exchange_strong(&w->state, &expected, WAITING);
        /* Not written: another leader took this writer before this thread led, or it did not fit into the group. */
        leads = !lead(db, w) && await(w) == LEAD;
    }
}

/* Returns when a synchronous writer is written. */
static velocity_status commit(velocity *db, struct writer *w) {
    bool leads = atomic_exchange(&db->leading, 1) == 0;
    if (!leads || !write_alone(db, w)) queue_and_wait(db, w, leads);
    if (env_inline_jobs(db->env)) run_callbacks(db, take_completed(db));
    return w->status ? status_set(w->status, "%s", w->message) : VELOCITY_OK;
}

/* ---- the commit thread
 * --------------------------------------------------------------------------------------------------- */

static void *commit_thread_run(void *arg) {
    velocity *db = arg;
    env_mutex_lock(&db->commit_mutex);
    for (;;) {
        if (db->commit_should_lead) {
            db->commit_should_lead = false;
            env_mutex_unlock(&db->commit_mutex);
            (void)lead(db, NULL);
            env_mutex_lock(&db->commit_mutex);
        }
        if (db->completed) {
            env_mutex_unlock(&db->commit_mutex);
            run_callbacks(db, take_completed(db));
            env_mutex_lock(&db->commit_mutex);
        } else if (!db->commit_should_lead) {
            if (db->commit_stop) break;
            env_condition_wait(&db->commit_condition, &db->commit_mutex);
        }
    }
    env_mutex_unlock(&db->commit_mutex);
    return NULL;
}

static velocity_status ensure_commit_thread(velocity *db) {
    if (env_inline_jobs(db->env)) return VELOCITY_OK;
    velocity_status status = VELOCITY_OK;
    env_mutex_lock(&db->commit_mutex);
    if (!db->commit_thread_runs) {
        status = env_thread_start(&db->commit_thread, "velocity-commit", commit_thread_run, db);
        db->commit_thread_runs = !status;
    }
    env_mutex_unlock(&db->commit_mutex);
    return status;
}

void commit_thread_stop(velocity *db) {
    env_mutex_lock(&db->commit_mutex);
    bool runs = db->commit_thread_runs;
    db->commit_stop = true;
    env_condition_signal(&db->commit_condition);
    env_mutex_unlock(&db->commit_mutex);
    if (runs) env_thread_join(db->commit_thread);
    db->commit_thread_runs = false;
}

/* Inline environments have no commit thread: what is queued is written and told here. */
void commit_drain_inline(velocity *db) {
    if (!env_inline_jobs(db->env)) return;
    while (atomic_load(&db->asynchronous)) {
        if ((db->waiting || atomic_load(&db->pending)) && atomic_exchange(&db->leading, 1) == 0) {
            (void)lead(db, NULL);
        }
        run_callbacks(db, take_completed(db));
    }
}

/* ---- the public calls
 * -------------------------------------------------------------------------------------------------- */

static bool wants_sync(const velocity *db, const velocity_write_options *options) {
    velocity_durability durability = db->options.durability;
    if (options && options->struct_size >= sizeof *options && options->durability != VELOCITY_DURABILITY_DEFAULT)
        durability = options->durability;
    return durability == VELOCITY_DURABILITY_ALWAYS;
}

static velocity_status write_single(velocity *db, const struct entry *e) {
    struct writer w;
    w.batch = NULL;
    w.single = e;
    w.payload_bytes = log_operation_bytes(e);
    w.operations = 1;
    w.range_deletes = e->kind == ENTRY_RANGE_DELETE;
    w.sync = wants_sync(db, NULL);
    w.switch_only = false;
    w.callback = NULL;
    w.status = VELOCITY_OK;
    atomic_init(&w.state, WAITING);
    return commit(db, &w);
}

velocity_status velocity_put(velocity *db, velocity_slice key, velocity_slice value) {
    velocity_status status = batch_check_key(key);
    if (!status) status = batch_check_value(value);
    if (status) return status;
    struct entry e = {.key = key, .value = value, .kind = ENTRY_PUT};
    return write_single(db, &e);
}

velocity_status velocity_delete(velocity *db, velocity_slice key) {
    velocity_status status = batch_check_key(key);
    if (status) return status;
    struct entry e = {.key = key, .kind = ENTRY_DELETE};
    return write_single(db, &e);
}

velocity_status velocity_delete_range(velocity *db, velocity_slice start, velocity_slice end) {
    velocity_status status = batch_check_range(start, end);
    if (status) return status;
    struct entry e = {.key = start, .value = end, .kind = ENTRY_RANGE_DELETE};
    return write_single(db, &e);
}

static velocity_status writer_of_batch(velocity *db, velocity_batch *batch, const velocity_write_options *options,
                                       struct writer *w) {
    if (!batch) return status_set(VELOCITY_INVALID, "no batch was given");
    if (batch->error) return status_set(batch->error, "%s", batch->reason);
    memset(w, 0, offsetof(struct writer, message));
    w->batch = batch;
    w->payload_bytes = batch->bytes;
    w->operations = batch->count;
    w->range_deletes = batch->range_deletes;
    w->sync = wants_sync(db, options);
    return VELOCITY_OK;
}

velocity_status velocity_write(velocity *db, velocity_batch *batch, const velocity_write_options *options,
                               uint64_t *sequence) {
    struct writer w;
    velocity_status status = writer_of_batch(db, batch, options, &w);
    if (!status) status = commit(db, &w);
    if (!status && sequence) *sequence = w.sequence;
    return status;
}

velocity_status velocity_write_async(velocity *db, velocity_batch *batch, const velocity_write_options *options,
                                     void (*done)(void *arg, velocity_status status, uint64_t sequence), void *arg) {
    if (!done) return status_set(VELOCITY_INVALID, "velocity_write_async needs a callback");
    velocity_status status = ensure_commit_thread(db);
    if (status) return status;
    struct writer *w = env_alloc(sizeof *w);
    if (!w) return VELOCITY_NO_MEMORY;
    status = writer_of_batch(db, batch, options, w);
    if (status) {
        env_free(w);
        return status;
    }
    uint64_t pending = atomic_fetch_add(&db->pending_bytes, w->payload_bytes) + w->payload_bytes;
    if (pending > db->options.max_pending_bytes && pending > w->payload_bytes) {
        atomic_fetch_sub(&db->pending_bytes, w->payload_bytes);
        env_free(w);
        return status_set(VELOCITY_BUSY, "%s: %llu bytes of writes are pending", db->path, (unsigned long long)pending);
    }
    atomic_fetch_add(&db->asynchronous, 1);
    w->callback = done;
    w->arg = arg;
    push(db, w);
    if (!env_inline_jobs(db->env) && atomic_exchange(&db->leading, 1) == 0) wake_commit_thread(db);
    return VELOCITY_OK;
}

static velocity_status commit_special(velocity *db, bool sync, bool switch_buffer) {
    struct writer w;
    memset(&w, 0, offsetof(struct writer, message));
    w.sync = sync;
    w.switch_only = switch_buffer;
    return commit(db, &w);
}

velocity_status commit_sync(velocity *db) {
    return commit_special(db, true, false);
}
velocity_status commit_switch(velocity *db) {
    return commit_special(db, false, true);
}
void commit_pass(velocity *db) {
    if (commit_special(db, false, false)) { /* read only: it has passed through the queue all the same */
    }
}
