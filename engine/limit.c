/*
 * limit.c - the size limit of a database (options.max_database_bytes): what its files take, and whether puts have to be
 * refused. See database_internal.h.
 *
 * The limit may change at any time (settings.c); it is looked at anew for each group.
 *
 * Counted is what stays: tables and value files in force, log segments by their capacity, and logs that are retained.
 * What a flush or merge writes counts once it is in force, when what it replaces no longer does. db->disk_bytes changes
 * only where one of these comes or goes, so a write compares two numbers.
 */
#include "database_internal.h"

#include <stdio.h>

static uint64_t log_bytes(const struct log *log) {
    uint64_t bytes = 0;
    for (; log; log = log->next) bytes += log->capacity;
    return bytes;
}

uint64_t limit_count(velocity *db) {
    const struct version *version = atomic_load(&db->superversion)->version;
    uint64_t bytes = db->log->capacity + log_bytes(db->old_logs) + log_bytes(db->spare_logs);
    if (db->next_log) bytes += db->next_log->capacity;
    bytes += history_retained_bytes(&db->history);
    for (size_t i = 0; i < db->seal_count; i++) bytes += db->seals[i].end;
    for (int l = 0; l < VELOCITY_LEVELS; l++) bytes += version->levels[l].bytes;
    return bytes + version->value_bytes + version->value_count * FILE_HEADER_BYTES;
}

void limit_note(velocity *db) {
    if (atomic_load(&db->limit_bytes)) atomic_store(&db->disk_bytes, limit_count(db));
}

bool limit_allows(const velocity *db, uint64_t more_bytes) {
    uint64_t limit = atomic_load(&db->limit_bytes);
    return limit == 0 || atomic_load(&db->disk_bytes) + more_bytes <= limit;
}

bool limit_is_reached(const velocity *db) {
    return atomic_load(&db->limit_bytes) && atomic_load(&db->figures.out_of_space);
}

/* A segment from before there was a limit may hold far more room than one that is made under it. */
static bool give_up_room(velocity *db) {
    env_mutex_lock(&db->mutex);
    bool much = db->log->capacity - db->log->position > 2 * db->segment_bytes;
    env_mutex_unlock(&db->mutex);
    if (!much) return false;
    if (log_trim(db->log)) { /* it syncs: after a failure nobody knows what the disk has */
        database_set_read_only(db, velocity_error_message());
        return false;
    }
    env_mutex_lock(&db->mutex);
    db->log->capacity = (db->log->position + ENV_PAGE_BYTES - 1) & ~(uint64_t)(ENV_PAGE_BYTES - 1);
    limit_note(db);
    env_mutex_unlock(&db->mutex);
    return true;
}

velocity_status limit_check(velocity *db, uint64_t payload_bytes) {
    /* Where the payload needs another segment than the one that is counted. */
    bool allowed = limit_allows(db, log_has_room(db->log, payload_bytes) ? 0 : payload_bytes);
    if (!allowed && give_up_room(db)) allowed = limit_allows(db, payload_bytes);
    if (allowed) {
        if (db->limit_refuses) atomic_store(&db->figures.out_of_space, false);
        db->limit_refuses = false;
        return VELOCITY_OK;
    }
    db->limit_refuses = true;
    atomic_store(&db->figures.out_of_space, true);
    atomic_store(&db->limit_hit, true);
    return status_set(VELOCITY_NO_SPACE,
                      "%s: its files take %llu bytes and may take %llu: until deletes or expiry have made room, "
                      "writes can only delete",
                      db->path, (unsigned long long)atomic_load(&db->disk_bytes),
                      (unsigned long long)atomic_load(&db->limit_bytes));
}

void limit_tend(velocity *db) {
    if (!atomic_exchange(&db->limit_hit, false) || atomic_load(&db->read_only)) return;
    if (commit_switch(db)) { /* tried again when a put is refused again */
    }
    env_mutex_lock(&db->mutex);
    flush_schedule(db);
    db->idle_compaction |= !db->compaction_failure.status;
    compaction_schedule(db);
    env_mutex_unlock(&db->mutex);
}
