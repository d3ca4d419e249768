/*
 * write.c - the commit queue: how many writers become few syncs.
 *
 *   writers push themselves on `pending` (one atomic exchange). Whoever then sets `leading` to LED leads: it takes what
 *   is pending, oldest first, writes a group of it (group.c), and tells the writers. Then it hands leadership on: to
 * the oldest synchronous writer that waits, else it offers it to the commit thread if asynchronous ones wait, else
 * nobody leads. The commit thread may be in somebody's `done` for long: whoever comes first takes what it was offered.
 *
 * Invariants:
 *  1. `leading` is LED exactly while one thread, or one wake-up on its way to a thread, holds leadership. Whoever sets
 * it to something else looks at `pending` again afterwards, so no writer is left behind.
 *  2. A writer's memory belongs to its thread again as soon as its state is DONE; the leader does not touch it after.
 *
 * What holds of a group while it is written: group.c.
 */
#include "group.h"

#include <stdio.h>

enum { SPINS = 200 }; /* looks at the state before sleeping: a group without a sync takes less time than a sleep */

enum leading { NOBODY_LEADS, OFFERED, LED };

enum writer_state { WAITING, ASLEEP, LEAD, DONE };

/* ---- telling writers ------------------------------------------------------------------------------------------------
 */

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

/* ---- read only ---- */

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
    budget_leave(db);
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

/* Whether the caller leads now. */
static bool take_lead(velocity *db) {
    uint32_t leading = atomic_load(&db->leading);
    while (leading != LED)
        if (atomic_compare_exchange_weak(&db->leading, &leading, LED)) return true;
    return false;
}

static bool take_offer(velocity *db) {
    uint32_t offered = OFFERED;
    return atomic_compare_exchange_strong(&db->leading, &offered, LED);
}

/* Nothing is to be done where somebody leads, or was offered to, already. */
static void offer_to_commit_thread(velocity *db) {
    uint32_t nobody = NOBODY_LEADS;
    if (!atomic_compare_exchange_strong(&db->leading, &nobody, OFFERED)) return;
    env_mutex_lock(&db->commit_mutex);
    db->commit_should_lead = true;
    env_condition_signal(&db->commit_condition);
    env_mutex_unlock(&db->commit_mutex);
}

/* The oldest synchronous writer that waits is told to lead. */
static bool hand_to_writer(velocity *db) {
    for (struct writer *w = db->waiting; w; w = w->next) {
        if (w->callback) continue;
        if (atomic_exchange(&w->state, LEAD) == ASLEEP) env_wake_word(&w->state, false);
        return true;
    }
    return false;
}

/* Passes leadership on, or ends it. */
static void hand_over(velocity *db) {
    for (;;) {
        take_pending(db);
        if (hand_to_writer(db)) return;
        bool some_wait = db->waiting != NULL;
        atomic_store(&db->leading, NOBODY_LEADS);
        /* Inline environments have no commit thread: asynchronous writes wait for the next call that leads. */
        if (some_wait && db->commit_thread_runs) offer_to_commit_thread(db);
        if (!atomic_load(&db->pending) || !take_lead(db)) return;
    }
}

/* Writes one group, passes leadership on, tells the writers. Whether `self` was among them. */
static bool lead(velocity *db, const struct writer *self) {
    take_pending(db);
    struct group g = group_gather(db->waiting);
    if (g.writers) group_write(db, &g);
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
    group_write(db, &g);
    hand_over(db);
    if (atomic_load_explicit(&db->followed, memory_order_relaxed)) changes_notify(db);
    return true;
}

static void queue_and_wait(velocity *db, struct writer *w, bool leads) {
    push(db, w);
    leads = leads || take_lead(db) || await(w) == LEAD;
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
    bool leads = take_lead(db);
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
            if (take_offer(db)) (void)lead(db, NULL);
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
        if ((db->waiting || atomic_load(&db->pending)) && take_lead(db)) {
            (void)lead(db, NULL);
        }
        run_callbacks(db, take_completed(db));
    }
}

/* ---- the public calls
 * -------------------------------------------------------------------------------------------------- */

static bool wants_sync(const velocity *db, const velocity_write_options *options) {
    velocity_durability durability = atomic_load_explicit(&db->durability, memory_order_relaxed);
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
    batch_prepare(batch);
    w->payload_bytes = batch_most_log_bytes(batch);
    w->operations = batch_most_operations(batch);
    w->range_deletes = batch->extent.range_deletes;
    w->sync = wants_sync(db, options);
    return VELOCITY_OK;
}

velocity_status velocity_write(velocity *db, velocity_batch *batch, const velocity_write_options *options,
                               uint64_t *sequence) {
    struct writer w;
    velocity_status status = writer_of_batch(db, batch, options, &w);
    if (!status) group_warm(db, batch);
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
    if (!env_inline_jobs(db->env)) offer_to_commit_thread(db);
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

void commit_try_switch(velocity *db) {
    if (!take_lead(db)) return; /* who leads does it, with the next group */
    struct writer w;
    memset(&w, 0, offsetof(struct writer, message));
    w.switch_only = true;
    if (budget_asks_for_switch(db)) {
        if (write_alone(db, &w)) return;
        atomic_store(&db->switch_wanted, true); /* somebody waits to write, and will lead */
    }
    hand_over(db);
}

void commit_pass(velocity *db) {
    if (commit_special(db, false, false)) { /* read only: it has passed through the queue all the same */
    }
}
