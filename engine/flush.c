/* flush.c - write buffer to table, and the background's small duties: retries, idleness. See database_internal.h. */
#include "database_internal.h"
#include "expiry_reclaim.h"
#include "retention.h"
#include "value_writer.h"

#include <stdio.h>

enum {
    IDLE_US = 1000 * 1000,     /* no write for so long: the database is idle */
    IDLE_FLUSH_FRACTION = 16,  /* an idle buffer is flushed if it holds this part of memtable_bytes: lookups pass it by
                                  then; or a range delete, whose work is on the tables */
    IDLE_FLUSH_DELETES = 1024, /* or so many deletes: a scan steps over each of them and what it hides, 0.15 us */
};

velocity_status job_outcome(velocity *db, velocity_status status) {
    bool again = status == VELOCITY_NO_SPACE && !reserve_is_spent(&db->reserve) && reserve_spend(&db->reserve);
    return again ? VELOCITY_OK : status;
}

void job_ended(struct job_failure *failure, velocity_status status) {
    failure->status = status;
    if (status) (void)snprintf(failure->message, MESSAGE_BYTES, "%s", velocity_error_message());
}

void flush_schedule(velocity *db) {
    if (db->flush_queued || db->closing || atomic_load(&db->read_only)) return;
    if (atomic_load(&db->superversion)->immutable_count == 0) return;
    db->flush_queued = true;
    pool_submit(db->shared->pool, POOL_URGENT, &db->flush_job);
}

/* *out: the new table; it has at least one entry, because tombstones stay until the last level. */
static velocity_status write_table(velocity *db, struct write_buffer *buffer, struct value_writer *values,
                                   struct table **out, uint64_t *expired) {
    struct table_builder_options options;
    table_builder *builder = NULL;
    struct retention retention;
    struct memtable_cursor cursor;
    struct table_meta meta;
    struct entry e;
    *out = NULL;
    velocity_status status = retention_init(&retention, db, false);
    retention.ranges = range_buffer_list(&buffer->ranges);
    database_table_options(db, database_new_number(db), &options);
    if (!status) status = table_builder_new(&options, &builder);
    memtable_cursor_init(&cursor, buffer->memtable);
    if (!status) memtable_cursor_first(&cursor);
    for (; !status && memtable_cursor_valid(&cursor); memtable_cursor_next(&cursor)) {
        bool keep, new_key;
        memtable_cursor_entry(&cursor, &e);
        status = retention_judge(&retention, &e, &keep, &new_key);
        if (!status && keep && retention.expired) e = retention.tombstone;
        if (!status && keep && value_writer_wants(values, &e)) status = value_writer_take(values, &e);
        if (!status && keep) status = table_builder_add(builder, &e);
    }
    if (!status) status = value_writer_finish(values);
    *expired = retention.expired_count;
    retention_clear(&retention);
    if (status) {
        table_builder_abandon(builder);
        return status;
    }
    if ((status = table_builder_finish(builder, &meta))) return status;
    status = table_new(db->env, db->shared->files, db->path, db->database_id, db->keys, &meta, out);
    if (status) table_meta_clear(&meta);
    return status;
}

static velocity_status flush_one(velocity *db, struct write_buffer *buffer) {
    struct version_change add = {0, NULL};
    struct value_writer values;
    uint64_t expired;
    value_writer_init(&values, db);
    velocity_status status = install_repair(db);
    if (!status) status = write_table(db, buffer, &values, &add.table, &expired);
    if (status) {
        value_writer_clear(&values, false);
        return status;
    }
    struct version_edit edit = {
        .add = &add, .add_count = 1, .add_values = values.files, .add_value_count = values.count};
    uint64_t bytes = table_meta(add.table)->file_bytes + values.bytes;
    status = install_edit(db, &edit, buffer);
    table_release(add.table);
    value_writer_clear(&values, true);
    if (status) return status;
    atomic_fetch_add(&db->figures.flushes, 1);
    atomic_fetch_add(&db->figures.expired, expired);
    atomic_fetch_add(&db->figures.flush_bytes, bytes);
    return VELOCITY_OK;
}

void flush_job_run(struct pool_job *job) {
    velocity *db = (velocity *)((char *)job - offsetof(velocity, flush_job));
    struct superversion *sv = superversion_acquire(db);
    velocity_status status = VELOCITY_OK;
    if (sv->immutable_count && !atomic_load(&db->read_only)) status = flush_one(db, sv->immutable[0]);
    superversion_release(sv);
    table_files_sweep(db->shared->files);
    status = job_outcome(db, status);
    budget_note_flush(db, status);
    env_mutex_lock(&db->mutex);
    job_ended(&db->flush_failure, status);
    db->flush_queued = false;
    if (!db->flush_failure.status) {
        db->compaction_failure.status = VELOCITY_OK; /* tried again */
        db->reclaim = atomic_load(&db->superversion)->version->ranges != NULL;
        flush_schedule(db);
        compaction_schedule(db);
    }
    env_condition_broadcast(&db->changed);
    env_mutex_unlock(&db->mutex);
}

velocity_status velocity_flush(velocity *db) {
    velocity_status status = commit_switch(db);
    if (status) return status;
    env_mutex_lock(&db->mutex);
    struct superversion *sv = atomic_load(&db->superversion);
    uint64_t target = sv->immutable_count ? atomic_load(&sv->immutable[sv->immutable_count - 1]->last_sequence) : 0;
    db->flush_failure.status = VELOCITY_OK; /* an earlier failure is tried again, not reported again */
    for (;;) {
        sv = atomic_load(&db->superversion);
        if (sv->immutable_count == 0 || atomic_load(&sv->immutable[0]->last_sequence) > target) break;
        if (db->flush_failure.status) {
            status = status_set(db->flush_failure.status, "%s", db->flush_failure.message);
            break;
        }
        if (atomic_load(&db->read_only)) {
            status = status_set(VELOCITY_READ_ONLY, "%s: read-only until it is opened again: %s", db->path,
                                db->read_only_message);
            break;
        }
        flush_schedule(db);
        room_wait(db);
    }
    env_mutex_unlock(&db->mutex);
    return status;
}

/* ---- every TICK_MS --------------------------------------------------------------------------------------------------
 */

static void sync_interval(velocity *db) {
    bool due = atomic_load(&db->durability) == VELOCITY_DURABILITY_INTERVAL && !atomic_load(&db->read_only);
    if (due && commit_sync(db)) { /* the database is read-only now, and every write says so */
    }
}

/* The ticker's. No clock is read where writes are made. */
static bool is_idle(velocity *db) {
    uint64_t now_us = env_monotonic_us(db->env), groups = atomic_load(&db->figures.groups);
    if (groups != db->groups_seen) db->groups_seen = groups, db->writes_seen_us = now_us;
    return now_us - db->writes_seen_us >= IDLE_US;
}

static void reclaim_expired(velocity *db) {
    struct superversion *sv = superversion_acquire(db);
    bool due = expiry_is_due(db, sv->version);
    superversion_release(sv);
    if (!due) return;
    env_mutex_lock(&db->mutex);
    if (!db->compaction_failure.status) compaction_schedule(db);
    env_mutex_unlock(&db->mutex);
}

void background_tick(struct pool_ticker *ticker) {
    velocity *db = (velocity *)((char *)ticker - offsetof(velocity, ticker));
    if (atomic_load(&db->switch_wanted)) commit_try_switch(db);
    sync_interval(db);
    table_files_sweep(db->shared->files);
    chunk_pool_tend(db->shared->chunks);
    reclaim_expired(db);
    limit_tend(db);
    database_refill_reserve(db);
    if (!is_idle(db)) return;
    struct superversion *sv = superversion_acquire(db);
    size_t held = write_buffer_bytes(sv->active);
    bool merge = compaction_idle_worthwhile(db, sv->version);
    bool worth = held >= database_buffer_bytes(db) / IDLE_FLUSH_FRACTION || range_buffer_list(&sv->active->ranges) ||
                 memtable_deletes(sv->active->memtable) >= IDLE_FLUSH_DELETES;
    superversion_release(sv);
    if (worth && !atomic_load(&db->read_only) && commit_switch(db)) {
        /* tried again at the next tick */
    }
    env_mutex_lock(&db->mutex);
    flush_schedule(db);
    if (merge && !db->compaction_failure.status) {
        db->idle_compaction = true;
        compaction_schedule(db);
    }
    env_mutex_unlock(&db->mutex);
}
