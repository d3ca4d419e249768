/*
 * room.c - where a group finds its room: the active write buffer, the log segment, and the waits while the background
 * catches up. All but the jobs run on the leader. See database_internal.h.
 *
 * Segments are used in the order of their numbers; a segment that was prepared ahead and overtaken goes to the spares.
 */
#include "database_internal.h"

#include <stdio.h>

enum {
    SPARE_LOGS_MAX = 2,
    /* One part in so many of a segment is written when the next one is asked for. Early: where others keep the disk
     * busy the file system was seen to take 140 ms for it, and who writes at full speed fills a segment in 200. */
    PREPARE_SHARE = 16,
    LEVEL0_STOP_FACTOR = 4,   /* writes stop at compaction_threshold times this many tables in level 0 ... */
    LEVEL0_SLOW_FACTOR = 2,   /* ... and are held back from this many on */
    FASTEST_SLOW_BYTES = 64,  /* bytes a microsecond (64 MB/s) when holding back begins, less as the room shrinks */
    DELAY_WORTH_US = 1000,    /* shorter sleeps are saved up */
    LONGEST_DELAY_US = 10000, /* however large a group is */
};

void room_wait(velocity *db) {
    if (!env_inline_jobs(db->env)) {
        env_condition_wait(&db->changed, &db->mutex);
        return;
    }
    env_mutex_unlock(&db->mutex);
    (void)pool_run_one(db->shared->pool);
    env_mutex_lock(&db->mutex);
}

uint64_t database_new_number(velocity *db) {
    env_mutex_lock(&db->mutex);
    uint64_t number = db->next_number++;
    env_mutex_unlock(&db->mutex);
    return number;
}

/* ---- log segments
 * ------------------------------------------------------------------------------------------------------ */

static uint64_t round_up(uint64_t bytes) {
    return (bytes + ENV_PAGE_BYTES - 1) & ~(uint64_t)(ENV_PAGE_BYTES - 1);
}

/* Under db->mutex. The size of the next new segment: small databases stay small, and as a full write buffer ends its
 * segment, one that is larger than the buffer would only be written out for nothing. */
static uint64_t next_segment_bytes(velocity *db) {
    uint64_t bytes = db->segment_bytes;
    if (bytes < SEGMENT_MAX_BYTES && bytes < database_buffer_bytes(db)) db->segment_bytes *= 2;
    return bytes;
}

/* Under db->mutex. A spare segment of at least so many bytes; NULL: there is none. */
static struct log *take_spare(velocity *db, uint64_t bytes) {
    for (struct log **at = &db->spare_logs; *at; at = &(*at)->next) {
        if ((*at)->capacity < bytes) continue;
        struct log *log = *at;
        *at = log->next;
        return log;
    }
    return NULL;
}

bool room_give_reserve(velocity *db) {
    return reserve_is_spent(&db->reserve) || reserve_spend(&db->reserve);
}

/* Where in a segment the next one is asked for. */
static uint64_t prepare_from(const struct log *log) {
    return log->capacity / PREPARE_SHARE;
}

bool room_durable_logs(const velocity *db) {
    return atomic_load(&db->durability) == VELOCITY_DURABILITY_ALWAYS;
}

void room_schedule_prepare(velocity *db) {
    if (db->prepare_queued || db->next_log || db->closing || atomic_load(&db->read_only)) return;
    if (!limit_allows(db, db->segment_bytes)) return;
    db->prepare_queued = true;
    pool_submit(db->shared->pool, POOL_PROMPT, &db->prepare_job);
}

/* The leader may be waiting for it. */
static void end_prepare(velocity *db) {
    limit_note(db);
    db->prepare_queued = false;
    env_condition_broadcast(&db->changed);
    env_mutex_unlock(&db->mutex);
}

void room_prepare_job(struct pool_job *job) {
    velocity *db = (velocity *)((char *)job - offsetof(velocity, prepare_job));
    env_mutex_lock(&db->mutex);
    /* The reserve pays for what must be written, not for what may be. */
    if (reserve_is_spent(&db->reserve)) {
        end_prepare(db);
        return;
    }
    struct log *log = take_spare(db, 0);
    uint64_t number = db->next_number++, bytes = log ? log->capacity : next_segment_bytes(db);
    env_mutex_unlock(&db->mutex);
    velocity_status status =
        log ? log_recycle(log, db->path, db->database_id, db->keys, number)
            : log_create(db->env, db->path, db->database_id, db->keys, number, bytes, room_durable_logs(db), &log);
    env_mutex_lock(&db->mutex);
    if (!status && log->number > db->last_log && !db->next_log) {
        db->next_log = log;
    } else if (!status) {
        log->next = db->spare_logs;
        db->spare_logs = log;
    } /* a failure shows when the leader needs the segment and prepares it itself */
    end_prepare(db);
}

static void remove_or_close(struct log *garbage, bool remove) {
    while (garbage) {
        struct log *next = garbage->next;
        if (!remove)
            log_close(garbage);
        else if (log_remove(garbage)) { /* removed at the next open */
        }
        garbage = next;
    }
}

void room_drop_spares(velocity *db) {
    env_mutex_lock(&db->mutex);
    struct log *spares = db->spare_logs;
    db->spare_logs = NULL;
    if (db->next_log && db->next_log->capacity > db->segment_bytes) {
        db->next_log->next = spares;
        spares = db->next_log;
        db->next_log = NULL;
    }
    env_mutex_unlock(&db->mutex);
    remove_or_close(spares, true);
    env_mutex_lock(&db->mutex);
    limit_note(db);
    env_mutex_unlock(&db->mutex);
}

/* A segment in which a group of this payload fits: the one prepared ahead, or one made now. */
static velocity_status get_segment(velocity *db, uint64_t payload_bytes, struct log **out) {
    env_mutex_lock(&db->mutex);
    while (db->prepare_queued && !db->next_log) room_wait(db); /* it is being made: sooner there than a second one */
    struct log *log = db->next_log;
    db->next_log = NULL;
    if (log && !log_has_room(log, payload_bytes)) {
        log->next = db->spare_logs;
        db->spare_logs = log;
        log = NULL;
    }
    uint64_t number = 0, bytes = 0;
    uint64_t least =
        round_up(FILE_HEADER_BYTES + LOG_GROUP_HEADER_BYTES + payload_bytes + CIPHER_TAG_BYTES + LOG_ALIGNMENT);
    struct log *spare = NULL;
    if (!log) {
        number = db->next_number++;
        bytes = least;
        spare = take_spare(db, bytes);
        uint64_t usual = spare ? bytes : next_segment_bytes(db);
        if (bytes < usual) bytes = usual;
    }
    env_mutex_unlock(&db->mutex);
    velocity_status status = VELOCITY_OK;
    bool durable = room_durable_logs(db);
    if (spare && log_recycle(spare, db->path, db->database_id, db->keys, number) == VELOCITY_OK) log = spare;
    if (!log) status = log_create(db->env, db->path, db->database_id, db->keys, number, bytes, durable, &log);
    if (status == VELOCITY_NO_SPACE && bytes > least) /* the last room on the disk */
        status = log_create(db->env, db->path, db->database_id, db->keys, number, least, durable, &log);
    if (!status) *out = log;
    return status;
}

/* The present segment retires behind the old ones; `log` takes its place. Needs history_reserve. */
static void use_segment(velocity *db, struct log *log) {
    struct history_log grows = {
        .number = log->number, .after = db->next_sequence - 1, .last = HISTORY_GROWS, .end = HISTORY_GROWS};
    history_add(&db->history, &grows, db->log->position);
    env_mutex_lock(&db->mutex);
    struct log **tail = &db->old_logs;
    while (*tail) tail = &(*tail)->next;
    *tail = db->log;
    db->log->next = NULL;
    db->log = log;
    db->last_log = log->number;
    limit_note(db);
    env_mutex_unlock(&db->mutex);
}

static velocity_status rotate_log(velocity *db, uint64_t payload_bytes) {
    struct log *log;
    velocity_status status = history_reserve(&db->history);
    if (!status) status = get_segment(db, payload_bytes, &log);
    if (!status) use_segment(db, log);
    return status;
}

static void remove_file(velocity *db, uint64_t number) {
    char *path = file_path(db->path, FILE_LOG, number);
    if (path && env_unlink(db->env, path)) { /* removed at the next open, which knows that it is not needed */
    }
    env_free(path);
}

/* Under db->mutex: lets go of the oldest log that the opener replayed, if no write buffer needs it any more. */
static bool release_sealed(velocity *db, uint64_t min_log, uint64_t *number, bool *removable) {
    if (db->seal_count == 0 || db->seals[0].number >= min_log) return false;
    *number = db->seals[0].number;
    memmove(db->seals, db->seals + 1, --db->seal_count * sizeof *db->seals);
    *removable = history_release(&db->history, *number, db->options.log_retention_bytes);
    return true;
}

void room_retire_logs(velocity *db, uint64_t min_log) {
    struct log *garbage = NULL, *held = NULL; /* held: retained, or read by somebody */
    uint64_t number;
    bool removable;
    env_mutex_lock(&db->mutex);
    while (release_sealed(db, min_log, &number, &removable)) { /* they are older than the others */
        if (!removable) continue;
        env_mutex_unlock(&db->mutex);
        remove_file(db, number);
        env_mutex_lock(&db->mutex);
    }
    size_t spares = 0;
    for (struct log *log = db->spare_logs; log; log = log->next) spares++;
    while (db->old_logs && db->old_logs->number < min_log) {
        struct log *log = db->old_logs;
        if (log->syncing) {
            env_condition_wait(&db->changed, &db->mutex);
            continue;
        }
        db->old_logs = log->next;
        bool free = history_release(&db->history, log->number, db->options.log_retention_bytes);
        /* A recycled segment costs a sync where a new one needs none, and what was never written out need not be. */
        bool keep = free && room_durable_logs(db) && spares < SPARE_LOGS_MAX && log->capacity >= db->segment_bytes &&
                    !db->closing && !atomic_load(&db->limit_bytes); /* with a limit room is dearer than time */
        struct log **list = keep ? &db->spare_logs : free ? &garbage : &held;
        log->next = *list;
        *list = log;
        spares += keep;
    }
    env_mutex_unlock(&db->mutex);
    remove_or_close(garbage, true);
    remove_or_close(held, false);
    while (history_shrink(&db->history, db->options.log_retention_bytes, &number, &removable))
        if (removable) remove_file(db, number);
    env_mutex_lock(&db->mutex);
    limit_note(db);
    env_mutex_unlock(&db->mutex);
}

velocity_status room_settle_logs(velocity *db, uint64_t min_log) {
    velocity_status status = VELOCITY_OK;
    env_mutex_lock(&db->mutex);
    struct log *log = db->old_logs;
    while (log && log->number < min_log && !status) {
        env_mutex_unlock(&db->mutex); /* the log stays: only installs, one at a time, let go of old ones */
        status = log_trim(log);
        env_mutex_lock(&db->mutex);
        if (!status) log->capacity = round_up(log->position);
        log = log->next;
    }
    env_mutex_unlock(&db->mutex);
    if (status) database_set_read_only(db, velocity_error_message());
    return status;
}

/* The disk is waited for without the mutex; `syncing` keeps the log in the list meanwhile. Only the leader adds to it,
 * behind. */
static velocity_status sync_old_logs(velocity *db) {
    velocity_status status = VELOCITY_OK;
    env_mutex_lock(&db->mutex);
    for (struct log *log = db->old_logs; log && !status; log = log->next) {
        if (log_is_synced(log)) continue;
        log->syncing = true;
        env_mutex_unlock(&db->mutex);
        status = log_sync(log, log->position);
        env_mutex_lock(&db->mutex);
        log->syncing = false;
        env_condition_broadcast(&db->changed);
    }
    env_mutex_unlock(&db->mutex);
    return status;
}

velocity_status room_sync_logs(velocity *db) {
    velocity_status status = VELOCITY_OK;
    /* Filled segments may hold what is not on disk yet. */
    if (db->synced_sequence + 1 < db->next_sequence || !db->log) status = sync_old_logs(db);
    return status ? status : log_sync(db->log, db->log->position);
}

/* ---- write buffers
 * -------------------------------------------------------------------------------------------------------- */

/* Under db->mutex: waits until one more immutable buffer may stand in line. */
static velocity_status wait_for_flush(velocity *db) {
    struct superversion *sv = atomic_load(&db->superversion);
    if (sv->immutable_count < IMMUTABLE_MAX) return VELOCITY_OK;
    uint64_t begin = env_monotonic_us(db->env);
    velocity_status status = VELOCITY_OK;
    atomic_fetch_add(&db->figures.stalls, 1);
    db->flush_failure.status = VELOCITY_OK; /* an earlier failure is tried again, not reported again */
    flush_schedule(db);
    while (!status && atomic_load(&db->superversion)->immutable_count == IMMUTABLE_MAX) {
        room_wait(db);
        if (atomic_load(&db->superversion)->immutable_count < IMMUTABLE_MAX) break;
        if (db->flush_failure.status)
            status = status_set(db->flush_failure.status, "%s", db->flush_failure.message);
        else
            flush_schedule(db);
    }
    atomic_fetch_add(&db->figures.stall_us, env_monotonic_us(db->env) - begin);
    return status;
}

velocity_status room_switch_buffer(velocity *db) {
    if (memtable_entries(db->active->memtable) == 0) return VELOCITY_OK;
    env_mutex_lock(&db->mutex);
    velocity_status status = wait_for_flush(db);
    env_mutex_unlock(&db->mutex);
    struct log *log;
    if (!status) status = history_reserve(&db->history);
    if (!status) status = get_segment(db, 0, &log);
    if (status) return status;
    struct write_buffer *buffer = write_buffer_new(db, log->number), *full = db->active;
    struct superversion *next = NULL;
    use_segment(db, log); /* whatever happens next, the old segment is never appended to again */
    env_mutex_lock(&db->mutex);
    struct superversion *sv = atomic_load(&db->superversion);
    if (buffer) {
        struct write_buffer *immutable[IMMUTABLE_MAX];
        memcpy(immutable, sv->immutable, sizeof immutable);
        immutable[sv->immutable_count] = full;
        next = superversion_new(buffer, immutable, sv->immutable_count + 1, sv->version);
    }
    if (next) {
        atomic_store(&full->last_sequence, db->next_sequence - 1);
        atomic_store(&db->active_bytes, 0);
        atomic_store(&db->switch_wanted, false);
        db->active = buffer;
        sv = superversion_install(db, next);
        flush_schedule(db);
    }
    env_mutex_unlock(&db->mutex);
    if (next) superversion_retire(sv);
    write_buffer_release(buffer); /* the superversion holds it */
    return next ? VELOCITY_OK : VELOCITY_NO_MEMORY;
}

/* ---- holding writers back
 * ---------------------------------------------------------------------------------------------------- */

/* Slows the group a little, in step with its size: so none has to wait long. `left` of `whole` is the room there is. */
static void slow_down(velocity *db, uint64_t payload_bytes, uint64_t left, uint64_t whole) {
    uint64_t rate = FASTEST_SLOW_BYTES * left / whole;
    db->delay_debt_us += payload_bytes / (rate ? rate : 1);
    if (db->delay_debt_us < DELAY_WORTH_US) return;
    if (db->delay_debt_us > LONGEST_DELAY_US) db->delay_debt_us = LONGEST_DELAY_US;
    atomic_fetch_add(&db->figures.stalls, 1);
    atomic_fetch_add(&db->figures.stall_us, db->delay_debt_us);
    if (!env_inline_jobs(db->env)) env_sleep_us(db->delay_debt_us);
    db->delay_debt_us = 0;
}

/* As many buffers as may wait to be flushed, and the active one is half full: it is all the room that is left. */
static bool flush_lags(const velocity *db) {
    return atomic_load_explicit(&db->immutable_buffers, memory_order_relaxed) == IMMUTABLE_MAX &&
           write_buffer_bytes(db->active) > database_buffer_bytes(db) / 2;
}

/* Without this, writers ran into a full buffer at full speed and waited there for the whole rest of the flush: 60 to
 * 100 ms beside two busy processors. */
static void slow_for_flush(velocity *db, uint64_t payload_bytes) {
    uint64_t whole = database_buffer_bytes(db), used = write_buffer_bytes(db->active);
    slow_down(db, payload_bytes, used < whole ? whole - used : 0, whole / 2 + 1);
}

/* Level 0 is too deep: at the end writes wait for a compaction. */
static velocity_status hold_back(velocity *db, uint64_t payload_bytes) {
    uint32_t threshold = db->options.compaction_threshold, tables = atomic_load(&db->level0_tables);
    uint32_t slow = threshold * LEVEL0_SLOW_FACTOR, stop = threshold * LEVEL0_STOP_FACTOR;
    velocity_status status = VELOCITY_OK;
    if (tables < stop) {
        slow_down(db, payload_bytes, stop - tables, stop - slow);
        return VELOCITY_OK;
    }
    uint64_t begin = env_monotonic_us(db->env);
    atomic_fetch_add(&db->figures.stalls, 1);
    env_mutex_lock(&db->mutex);
    db->compaction_failure.status = VELOCITY_OK; /* as above */
    while (!status && atomic_load(&db->level0_tables) >= stop) {
        compaction_schedule(db);
        room_wait(db);
        if (db->compaction_failure.status)
            status = status_set(db->compaction_failure.status, "%s", db->compaction_failure.message);
    }
    env_mutex_unlock(&db->mutex);
    atomic_fetch_add(&db->figures.stall_us, env_monotonic_us(db->env) - begin);
    return status;
}

static velocity_status room_make_slowly(velocity *db, size_t operations, uint64_t payload_bytes) {
    velocity_status status = db->over_budget ? budget_relieve(db) : VELOCITY_OK;
    bool full = write_buffer_bytes(db->active) >= database_buffer_bytes(db);
    if (!status && full) status = room_switch_buffer(db);
    if (!status && budget_asks_for_switch(db) && (status = room_switch_buffer(db)) == VELOCITY_NO_SPACE)
        status = VELOCITY_OK; /* this write may have room all the same */
    if (!status && atomic_load(&db->level0_tables) >= db->options.compaction_threshold * LEVEL0_SLOW_FACTOR)
        status = hold_back(db, payload_bytes);
    if (!status && flush_lags(db)) slow_for_flush(db, payload_bytes);
    if (!status && !log_has_room(db->log, payload_bytes)) status = rotate_log(db, payload_bytes);
    if (!status) status = memtable_reserve(db->active->memtable, operations, payload_bytes);
    atomic_store(&db->figures.out_of_space, status == VELOCITY_NO_SPACE);
    if (status) return status;
    env_mutex_lock(&db->mutex);
    if (db->log->position > prepare_from(db->log)) room_schedule_prepare(db);
    env_mutex_unlock(&db->mutex);
    return VELOCITY_OK;
}

velocity_status room_make(velocity *db, size_t operations, uint64_t payload_bytes) {
    /* The common case: everything is there, and no lock is needed. */
    bool plenty = write_buffer_bytes(db->active) < database_buffer_bytes(db) && log_has_room(db->log, payload_bytes) &&
                  atomic_load_explicit(&db->level0_tables, memory_order_relaxed) <
                      db->options.compaction_threshold * LEVEL0_SLOW_FACTOR &&
                  !flush_lags(db) && !db->over_budget &&
                  !atomic_load_explicit(&db->switch_wanted, memory_order_relaxed);
    uint64_t from = prepare_from(db->log);
    bool prepare = db->log->position > from && db->log->position - from < payload_bytes + 4096;
    if (plenty && !prepare) return memtable_reserve(db->active->memtable, operations, payload_bytes);
    return room_make_slowly(db, operations, payload_bytes);
}
