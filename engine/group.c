/*
 * group.c - see group.h.
 *
 * Invariants:
 *  1. visible_sequence moves only after every byte of the group, and of all before it, is in the log (and synced, where
 *     the group asks for it): so what is visible is always a prefix of the log.
 *  2. Everything that can fail without harm (room in log and memory, also for what batches may be composed of) fails
 *     before a group's first byte. A failed sync makes the database read-only: the outcome is unknown, and nothing may
 *     be acknowledged on top of it.
 */
#include "group.h"

#include "validate.h"

#include <stdio.h>

enum { GROUP_PAYLOAD_MAX = 4 << 20 }; /* a group stops growing here; a larger batch is a group of its own */

static void writer_fail(struct writer *w, velocity_status status) {
    w->status = status;
    (void)snprintf(w->message, sizeof w->message, "%s", velocity_error_message());
}

/* ---- storing ---- */

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

void group_warm(velocity *db, const velocity_batch *batch) {
    uint64_t now_ms = 0, current;
    for (size_t i = 0; i < batch->requirement_count; i++)
        if (current_version(db, batch_required_key(batch, i), UINT64_MAX, &now_ms, &current)) return; /* later, too */
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

/* Whether the writer's batch may be stored behind everything up to `sequence`; then it is composed. */
static velocity_status check_batch(velocity *db, struct writer *w, uint64_t sequence) {
    velocity_status status = check_requirements(db, w->batch, sequence);
    if (!status && w->batch->validation) status = validate(db, w->batch, w->batch->validation, sequence);
    if (status || !w->batch->compose) return status;
    velocity_instant instant = {.db = db, .sequence = sequence};
    status = batch_compose(w->batch, &instant);
    w->operations = w->batch->extent.count;
    return status;
}

/* Where the last of a batch's operations begins. */
static size_t last_operation(const velocity_batch *batch) {
    const uint8_t *p = batch->operations, *last = p, *end = p + batch->extent.bytes;
    struct entry e;
    for (uint32_t i = 0; i < batch->extent.count && p; i++) {
        last = p;
        if (i + 1 < batch->extent.count) p = log_operation_decode(p, end, &e);
    }
    return (size_t)(last - batch->operations);
}

/* Puts the writer's operations into the group's part of the log. Returns where they end. */
static uint8_t *encode(struct writer *w, uint8_t *payload, uint64_t *sequence) {
    if (w->single) {
        uint8_t *meta = payload;
        payload = log_operation_encode(payload, w->single);
        *meta |= LOG_OPERATION_ENDS_BATCH;
    } else if (w->operations) {
        memcpy(payload, w->batch->operations, w->batch->extent.bytes);
        payload[last_operation(w->batch)] |= LOG_OPERATION_ENDS_BATCH;
        payload += w->batch->extent.bytes;
    }
    w->sequence = *sequence += w->operations;
    return payload;
}

/* Puts them into the write buffer. */
static void insert(velocity *db, const struct writer *w) {
    struct entry e;
    uint64_t sequence = w->sequence - w->operations;
    if (w->single) {
        e = *w->single;
        e.sequence = ++sequence;
        write_buffer_insert(db->active, &e);
    } else if (w->operations) {
        const uint8_t *p = w->batch->operations, *end = p + w->batch->extent.bytes;
        while (p && p < end) {
            p = log_operation_decode(p, end, &e);
            e.sequence = ++sequence;
            if (p) write_buffer_insert(db->active, &e);
        }
    }
}

static bool interval_is_over(velocity *db) {
    return atomic_load_explicit(&db->durability, memory_order_relaxed) == VELOCITY_DURABILITY_INTERVAL &&
           db->synced_sequence + 1 < db->next_sequence &&
           env_monotonic_us(db->env) - db->last_sync_us > (uint64_t)atomic_load(&db->interval_ms) * 1000;
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

static bool is_conditional(const struct writer *w) {
    return w->batch && (w->batch->requirement_count || w->batch->validation || w->batch->compose);
}

void group_add(struct group *g, const struct writer *w) {
    g->payload_bytes += w->payload_bytes;
    g->operations += w->operations;
    g->range_deletes += w->range_deletes;
    g->sync |= w->sync;
    g->weak |= !w->sync && w->operations;
    g->conditional |= is_conditional(w);
    g->switch_buffer |= w->switch_only;
    g->writers++;
    g->end = w->next;
}

struct group group_gather(struct writer *waiting) {
    struct group g = {.first = waiting};
    for (const struct writer *w = waiting; w; w = w->next) {
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
        if (is_conditional(w) && (status = check_batch(db, w, *last))) {
            writer_fail(w, status);
            continue;
        }
        p = encode(w, p, last);
        if (g->conditional) insert(db, w); /* at once: the next writer's conditions look there */
        stored += w->operations > 0;
    }
    if (p == payload) return VELOCITY_OK;
    struct log_group header = {.first_sequence = db->next_sequence,
                               .wall_ms = clock_now(&db->clock),
                               .synced_through = db->synced_sequence,
                               .payload_bytes = (uint32_t)(p - payload),
                               .count = (uint32_t)(*last + 1 - db->next_sequence)};
    status = log_commit(db->log, &header);
    if (!status && g->sync) status = log_sync_begin(db->log);
    if (status) { /* nobody knows what the log holds: nothing may follow */
        database_set_read_only(db, velocity_error_message());
        return VELOCITY_IO;
    }
    for (struct writer *w = g->first; w != g->end && !g->conditional; w = w->next)
        if (!w->status) insert(db, w); /* while the disk is writing */
    count_group(db, stored, header.count, header.payload_bytes);
    return VELOCITY_OK;
}

/* ---- a full disk ---- */

static bool only_deletes(const struct writer *w) {
    return w->batch ? w->batch->extent.puts == 0 && !w->batch->compose : !w->single || w->single->kind != ENTRY_PUT;
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
    bool limited = atomic_load_explicit(&db->limit_bytes, memory_order_relaxed) || db->limit_refuses;
    if (!status && limited && puts_anything(g) && (status = limit_check(db, g->payload_bytes))) {
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

void group_write(velocity *db, struct group *g) {
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
    if (db->shared->budget.most_bytes) budget_charge(db);
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
