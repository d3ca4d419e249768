/* stats.c - figures of an open database. See velocity.h. */
#include "database_internal.h"

static void add_tables(const struct version *version, velocity_stats *s) {
    for (int l = 0; l < VELOCITY_LEVELS; l++) {
        s->level_tables[l] = version->levels[l].count;
        s->level_bytes[l] = version->levels[l].bytes;
        for (size_t i = 0; i < version->levels[l].count; i++) {
            const struct table_meta *meta = table_meta(version->levels[l].tables[i]);
            s->table_entries += meta->entries;
            s->table_raw_bytes += meta->raw_bytes;
            s->table_bytes += meta->file_bytes;
            s->files_with_old_key += table_has_old_key(version->levels[l].tables[i]);
        }
    }
}

static void add_counters(velocity *db, velocity_stats *s) {
    for (int i = 0; i < (int)STRIPES; i++) {
        struct counters *c = &db->counters[i];
        s->gets += atomic_load(&c->gets);
        s->get_hits += atomic_load(&c->get_hits);
        s->iterators += atomic_load(&c->iterators);
        s->filter_checks += atomic_load(&c->tables.filter_checks);
        s->filter_negatives += atomic_load(&c->tables.filter_negatives);
        s->filter_false_positives += atomic_load(&c->tables.filter_false_positives);
    }
    s->writes = atomic_load(&db->figures.writes);
    s->write_operations = atomic_load(&db->figures.operations);
    s->write_bytes = atomic_load(&db->figures.write_bytes);
    s->groups = atomic_load(&db->figures.groups);
    for (int i = 0; i < VELOCITY_GROUP_BUCKETS; i++) s->group_batches[i] = atomic_load(&db->figures.group_batches[i]);
    s->syncs = atomic_load(&db->figures.syncs);
    s->log_bytes_written = atomic_load(&db->figures.log_bytes);
    s->flushes = atomic_load(&db->figures.flushes);
    s->flush_bytes_written = atomic_load(&db->figures.flush_bytes);
    s->compactions = atomic_load(&db->figures.compactions);
    s->compaction_bytes_read = atomic_load(&db->figures.compaction_read);
    s->compaction_bytes_written = atomic_load(&db->figures.compaction_written);
    s->trivial_moves = atomic_load(&db->figures.trivial_moves);
    s->stalls = atomic_load(&db->figures.stalls);
    s->stall_ms = atomic_load(&db->figures.stall_us) / 1000;
    s->expired_dropped = atomic_load(&db->figures.expired);
    s->clock_ms = clock_tell(&db->clock);
    s->txn_commits = atomic_load(&db->figures.txn_commits);
    s->txn_conflicts = atomic_load(&db->figures.txn_conflicts);
    s->out_of_space = atomic_load(&db->figures.out_of_space);
}

static void add_background(velocity *db, velocity_stats *s) {
    env_mutex_lock(&db->mutex);
    for (const struct log *log = db->old_logs; log; log = log->next) s->log_live_bytes += log->position;
    s->log_live_bytes += db->log->capacity;
    s->disk_bytes = limit_count(db);
    for (size_t i = 0; i < db->seal_count; i++) s->files_with_old_key += db->seals[i].old_key;
    s->background_jobs = (uint64_t)db->flush_queued + db->compaction_queued + db->prepare_queued;
    env_mutex_unlock(&db->mutex);
    env_mutex_lock(&db->snapshot_mutex);
    for (const velocity_snapshot *i = db->snapshots.next; i != &db->snapshots; i = i->next) s->snapshots++;
    env_mutex_unlock(&db->snapshot_mutex);
}

velocity_status velocity_stats_get(velocity *db, velocity_stats *out) {
    if (!out || out->struct_size < sizeof(size_t)) return status_set(VELOCITY_INVALID, "stats without struct_size");
    velocity_stats s = {.struct_size = out->struct_size};
    struct superversion *sv = superversion_acquire(db);
    add_tables(sv->version, &s);
    s.memtable_bytes = write_buffer_bytes(sv->active);
    s.memtable_entries = memtable_entries(sv->active->memtable);
    const struct range_list *ranges = range_index_list(sv->version->ranges);
    s.range_tombstones = (ranges ? ranges->tombstones : 0) + atomic_load(&sv->active->ranges.count);
    for (int i = 0; i < sv->immutable_count; i++) {
        s.memtable_bytes += write_buffer_bytes(sv->immutable[i]);
        s.memtable_entries += memtable_entries(sv->immutable[i]->memtable);
        s.range_tombstones += atomic_load(&sv->immutable[i]->ranges.count);
    }
    s.value_files = sv->version->value_count;
    for (size_t i = 0; i < s.value_files; i++)
        s.files_with_old_key += value_file_has_old_key(sv->version->values[i].file);
    s.value_bytes = sv->version->value_bytes;
    s.value_garbage_bytes = sv->version->value_bytes - sv->version->value_used_bytes;
    s.immutable_memtables = (uint64_t)sv->immutable_count;
    s.compaction_pending_bytes = compaction_pending(db, sv->version);
    superversion_release(sv);
    add_counters(db, &s);
    add_background(db, &s);
    struct cache_stats cache;
    cache_stats_get(db->shared->cache, &cache);
    s.cache_hits = cache.hits;
    s.cache_misses = cache.misses;
    s.cache_used_bytes = cache.used_bytes;
    s.cache_capacity_bytes = cache.capacity_bytes;
    s.open_tables = table_files_open_count(db->shared->files);
    s.log_retained_bytes = history_retained_bytes(&db->history);
    s.oldest_change_sequence = history_after(&db->history) + 1;
    s.last_sequence = atomic_load(&db->visible_sequence);
    s.live_handles = atomic_load(&db->live_handles);
    s.all_memtable_bytes = atomic_load(&db->shared->budget.used_bytes);
    s.read_only = atomic_load(&db->read_only);
    memcpy(out, &s, out->struct_size < sizeof s ? out->struct_size : sizeof s);
    return VELOCITY_OK;
}
