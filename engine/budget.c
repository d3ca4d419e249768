/*
 * budget.c - what the write buffers of all databases of a velocity_shared may take together, and whose are flushed when
 * that is too much. See database_internal.h.
 *
 *     0                                 3/4       7/8         most          most + a buffer
 *     |----- active buffers may hold ----|         |            |                 |
 *                                                  used: the largest active       used: writers wait
 *                                                  ones are flushed until the
 *                                                  others hold 3/4
 *
 * Counted is memory in chunks as arenas take it, from the group that took it until its buffer is in a table. What
 * readers keep alive longer is theirs: no writer waits for a reader.
 *
 * A write costs a comparison, and an atomic addition where its buffer has grown by a chunk. Only beyond 7/8 the leader
 * that grew looks at all databases and asks for switches (switch_wanted): the leader of each does it before its next
 * group, or, where nobody writes, its ticker, which takes leadership if it is free and waits for nobody. So leaders
 * that wait here never wait for one another.
 *
 * A read-only database leaves: it will not flush, and the others must not suffer from it.
 */
#include "database_internal.h"

enum {
    LEAST_BYTES = 1 << 20,
    WORTH_BYTES = 16 << 10, /* smaller active buffers are left alone: an empty one has as much */
    WAIT_MS = 20,
    PATIENCE_US = 10 * 1000 * 1000, /* a flush that takes longer than this has come to a stop */
};

void budget_init(struct buffer_budget *b, uint64_t most_bytes) {
    b->most_bytes = most_bytes && most_bytes < LEAST_BYTES ? LEAST_BYTES : most_bytes;
    env_mutex_init(&b->mutex);
    env_condition_init(&b->freed);
}

void budget_destroy(struct buffer_budget *b) {
    env_condition_destroy(&b->freed);
    env_mutex_destroy(&b->mutex);
}

static uint64_t used(struct buffer_budget *b) {
    return atomic_load_explicit(&b->used_bytes, memory_order_relaxed);
}

static uint64_t asks_from(const struct buffer_budget *b) {
    return b->most_bytes / 8 * 7;
}

static uint64_t keeps(const struct buffer_budget *b) {
    return b->most_bytes / 4 * 3;
}

void budget_join(velocity *db) {
    struct buffer_budget *b = &db->shared->budget;
    if (b->most_bytes == 0) return;
    env_mutex_lock(&b->mutex);
    db->budget_next = b->databases;
    b->databases = db;
    db->in_budget = true;
    env_mutex_unlock(&b->mutex);
    budget_charge(db);
}

/* Under the mutex. */
static void take_off(struct buffer_budget *b, velocity *db, uint64_t bytes) {
    uint64_t charged = atomic_load(&db->charged_bytes);
    if (bytes > charged) bytes = charged; /* it left before */
    atomic_fetch_sub(&db->charged_bytes, bytes);
    atomic_fetch_sub(&b->used_bytes, bytes);
    env_condition_broadcast(&b->freed);
}

void budget_leave(velocity *db) {
    if (!db->shared || db->shared->budget.most_bytes == 0) return;
    struct buffer_budget *b = &db->shared->budget;
    env_mutex_lock(&b->mutex);
    for (velocity **at = &b->databases; db->in_budget && *at; at = &(*at)->budget_next) {
        if (*at != db) continue;
        *at = db->budget_next;
        db->in_budget = false;
        break;
    }
    take_off(b, db, UINT64_MAX);
    env_mutex_unlock(&b->mutex);
}

void budget_give_back(velocity *db, const struct write_buffer *flushed) {
    struct buffer_budget *b = &db->shared->budget;
    if (b->most_bytes == 0) return;
    env_mutex_lock(&b->mutex);
    take_off(b, db, flushed->charged_bytes);
    env_mutex_unlock(&b->mutex);
}

void budget_note_flush(velocity *db, velocity_status status) {
    struct buffer_budget *b = &db->shared->budget;
    velocity_status before = atomic_exchange(&b->last_flush, status);
    if (before == status || b->most_bytes == 0) return;
    env_mutex_lock(&b->mutex);
    env_condition_broadcast(&b->freed);
    env_mutex_unlock(&b->mutex);
}

/* An empty buffer is not counted: making it immutable would free nothing. */
void budget_charge(velocity *db) {
    struct buffer_budget *b = &db->shared->budget;
    struct write_buffer *buffer = db->active;
    uint64_t held = memtable_held_bytes(buffer->memtable) + buffer->ranges.arena.held_bytes;
    uint64_t more = held - buffer->charged_bytes;
    if (more == 0 || memtable_entries(buffer->memtable) == 0) return;
    buffer->charged_bytes = held;
    atomic_store_explicit(&db->active_bytes, held, memory_order_relaxed);
    atomic_fetch_add_explicit(&db->charged_bytes, more, memory_order_relaxed);
    db->over_budget = atomic_fetch_add_explicit(&b->used_bytes, more, memory_order_relaxed) + more > asks_from(b);
}

/* Under the mutex. NULL: none is worth it. */
static velocity *largest(struct buffer_budget *b) {
    velocity *found = NULL;
    uint64_t most = WORTH_BYTES;
    for (velocity *db = b->databases; db; db = db->budget_next) {
        uint64_t bytes = atomic_load(&db->active_bytes);
        if (bytes <= most || atomic_load(&db->switch_wanted)) continue;
        found = db;
        most = bytes;
    }
    return found;
}

/* Whether anything will come back: buffers are on their way into tables, or were asked for. */
static bool ask_for_switches(velocity_shared *shared) {
    struct buffer_budget *b = &shared->budget;
    uint64_t active = 0, rest = 0; /* rest: of those that are not asked */
    env_mutex_lock(&b->mutex);
    for (velocity *db = b->databases; db; db = db->budget_next) {
        uint64_t bytes = atomic_load(&db->active_bytes);
        active += bytes;
        if (!atomic_load(&db->switch_wanted)) rest += bytes;
    }
    bool coming = used(b) > active || rest < active;
    velocity *db;
    while (used(b) > asks_from(b) && rest > keeps(b) && (db = largest(b))) {
        rest -= atomic_load(&db->active_bytes) < rest ? atomic_load(&db->active_bytes) : rest;
        atomic_store(&db->switch_wanted, true);
        pool_ticker_hurry(shared->pool, &db->ticker);
        coming = true;
    }
    env_mutex_unlock(&b->mutex);
    return coming;
}

bool budget_asks_for_switch(velocity *db) {
    if (!atomic_load(&db->switch_wanted)) return false;
    env_mutex_lock(&db->mutex);
    bool can = atomic_load(&db->superversion)->immutable_count < IMMUTABLE_MAX;
    env_mutex_unlock(&db->mutex);
    return can && atomic_exchange(&db->switch_wanted, false);
}

/* Waits until used_bytes falls, or for a moment. */
static velocity_status wait_a_little(velocity *db, uint64_t bound, uint64_t waited_us) {
    struct buffer_budget *b = &db->shared->budget;
    velocity_status failure = atomic_load(&b->last_flush);
    if (!failure && waited_us > PATIENCE_US) failure = VELOCITY_NO_MEMORY;
    if (failure)
        return status_set(failure, "%s: the write buffers of all databases take %llu bytes, and are not flushed",
                          db->path, (unsigned long long)used(b));
    env_mutex_lock(&b->mutex);
    if (used(b) > bound) (void)env_condition_wait_ms(&b->freed, &b->mutex, WAIT_MS);
    env_mutex_unlock(&b->mutex);
    return VELOCITY_OK;
}

velocity_status budget_relieve(velocity *db) {
    struct buffer_budget *b = &db->shared->budget;
    uint64_t bound = b->most_bytes + database_buffer_bytes(db), begin_us = 0;
    velocity_status status = VELOCITY_OK;
    db->over_budget = false;
    bool coming = ask_for_switches(db->shared);
    while (!status && coming && used(b) > bound) {
        uint64_t now_us = env_monotonic_us(db->env);
        if (begin_us == 0) begin_us = now_us;
        if (budget_asks_for_switch(db))
            status = room_switch_buffer(db);
        else if (!env_inline_jobs(db->env))
            status = wait_a_little(db, bound, now_us - begin_us);
        else if (!pool_run_one(db->shared->pool))
            break;
        coming = ask_for_switches(db->shared);
    }
    if (begin_us) {
        atomic_fetch_add(&db->figures.stalls, 1);
        atomic_fetch_add(&db->figures.stall_us, env_monotonic_us(db->env) - begin_us);
    }
    return status;
}
