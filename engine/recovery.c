/*
 * recovery.c - what opening does with what it finds: manifest, then the logs it names, then a new manifest and a new
 * log. Nothing old is appended to. What the logs held goes into the first write buffer (its logs are sealed in the
 * manifest: how far they count is then a fact, no longer a judgement), or, if it is much, into tables.
 */
#include "array.h"
#include "database_internal.h"
#include "value_writer.h"

#include <stdlib.h>

enum {
    SEALED_LOGS_MAX = 4, /* more live logs than this are flushed rather than kept */
};

#define SKIP_AFTER_LOSS (UINT64_C(1) << 32) /* more operations than unflushed write buffers hold */

struct found_file {
    enum file_kind kind;
    uint64_t number;
};

struct recovery {
    velocity *db;
    struct manifest_state state;
    bool fresh; /* there is no database yet */
    struct found_file *files;
    size_t file_count, file_capacity;
    struct log_segment *segments; /* ascending */
    size_t segment_count;
    struct version *version;
    struct write_buffer *buffer;
    uint64_t last_in_buffer;
    uint64_t last_replayed; /* no operation has a higher sequence */
    bool flushed;
    bool no_space; /* for tables: what the logs hold stays in memory */
};

static velocity_status remember_file(void *arg, const char *name) {
    struct recovery *r = arg;
    struct found_file found;
    if (!file_name_parse(name, &found.kind, &found.number)) return VELOCITY_OK;
    velocity_status status = array_reserve(r->files, r->file_capacity, r->file_count);
    if (!status) r->files[r->file_count++] = found;
    return status;
}

static int by_kind_and_number(const void *a, const void *b) {
    const struct found_file *x = a, *y = b;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static bool is_there(const struct recovery *r, enum file_kind kind, uint64_t number) {
    struct found_file wanted = {kind, number};
    return r->file_count && bsearch(&wanted, r->files, r->file_count, sizeof wanted, by_kind_and_number);
}

/* ---- manifest and tables -------------------------------------------------------------------------------------------
 */

/* Without CURRENT the folder must not hold data: it would be lost silently. A manifest alone is an open that was cut
 * off. */
static velocity_status check_fresh(struct recovery *r) {
    for (size_t i = 0; i < r->file_count; i++)
        if (r->files[i].kind == FILE_TABLE || r->files[i].kind == FILE_LOG || r->files[i].kind == FILE_VALUES)
            return status_set(VELOCITY_CORRUPT, "%s/CURRENT: offset 0: the file is missing, but the folder holds data",
                              r->db->path);
    r->fresh = true;
    r->state.next_number = 1;
    velocity_status status = env_random(r->db->env, r->state.database_id, sizeof r->state.database_id);
    return status ? status : key_ring_bind(r->db->keys, r->state.database_id);
}

static velocity_status load_manifest(struct recovery *r) {
    velocity *db = r->db;
    velocity_status status = env_list(db->env, db->path, remember_file, r);
    if (status) return status;
    if (r->file_count) qsort(r->files, r->file_count, sizeof *r->files, by_kind_and_number);
    status = manifest_load(db->env, db->path, db->keys, &r->state);
    if (status == VELOCITY_NOT_FOUND) status = check_fresh(r);
    if (status) return status;
    memcpy(db->database_id, r->state.database_id, sizeof db->database_id);
    clock_raise(&db->clock, r->state.clock_ms);
    db->next_number = r->state.next_number;
    for (size_t i = 0; i < r->file_count; i++)
        if (r->files[i].number >= db->next_number) db->next_number = r->files[i].number + 1;
    return VELOCITY_OK;
}

static velocity_status file_is_missing(const struct recovery *r, enum file_kind kind, uint64_t number) {
    char *path = file_path(r->db->path, kind, number);
    velocity_status status =
        status_set(VELOCITY_CORRUPT, "%s: offset 0: the file is missing", path ? path : r->db->path);
    env_free(path);
    return status;
}

static velocity_status make_tables(struct recovery *r, struct version_change *changes) {
    velocity *db = r->db;
    velocity_status status = VELOCITY_OK;
    for (size_t i = 0; i < r->state.table_count && !status; i++) {
        struct manifest_table *t = &r->state.tables[i];
        if (!is_there(r, FILE_TABLE, t->meta.number)) return file_is_missing(r, FILE_TABLE, t->meta.number);
        changes[i].level = t->level;
        status =
            table_new(db->env, db->shared->files, db->path, db->database_id, db->keys, &t->meta, &changes[i].table);
        /* Header, footer and top index: a table that can't be used shows now, not at some later read. */
        if (!status) status = table_ensure_loaded(changes[i].table, false);
    }
    return status;
}

/* Of each the header: a file that can't be used, or whose key is missing, shows now. */
static velocity_status make_value_files(struct recovery *r, struct value_file **files) {
    velocity *db = r->db;
    velocity_status status = VELOCITY_OK;
    for (size_t i = 0; i < r->state.value_count && !status; i++) {
        const struct value_file_meta *meta = &r->state.values[i];
        if (!is_there(r, FILE_VALUES, meta->number)) return file_is_missing(r, FILE_VALUES, meta->number);
        status = value_file_new(db->env, db->shared->files, db->path, db->database_id, db->keys, meta, &files[i]);
        if (!status) status = value_file_ensure_loaded(files[i]);
    }
    return status;
}

static velocity_status build_version(struct recovery *r) {
    size_t n = r->state.table_count, value_count = r->state.value_count;
    struct version_change *changes = env_alloc_zeroed((n + 1) * sizeof *changes);
    struct value_file **values = env_alloc_zeroed((value_count + 1) * sizeof *values);
    velocity_status status = changes && values ? VELOCITY_OK : VELOCITY_NO_MEMORY;
    if (!status) status = make_tables(r, changes);
    if (!status) status = make_value_files(r, values);
    struct version_edit edit = {.add = changes, .add_count = n, .add_values = values, .add_value_count = value_count};
    if (!status) status = version_new(NULL, &edit, &r->version);
    for (size_t i = 0; changes && i < n; i++)
        if (changes[i].table) table_release(changes[i].table);
    for (size_t i = 0; values && i < value_count; i++) value_file_release(values[i]);
    env_free(changes);
    env_free(values);
    return status;
}

/* ---- logs
 * -------------------------------------------------------------------------------------------------------------- */

static velocity_status log_is_missing(const struct recovery *r, uint64_t number) {
    return status_set(VELOCITY_CORRUPT, "%s/%08llu.log: offset 0: the log is missing", r->db->path,
                      (unsigned long long)number);
}

static velocity_status gather_segments(struct recovery *r) {
    r->segments = env_alloc_zeroed((r->file_count + 1) * sizeof *r->segments);
    if (!r->segments) return VELOCITY_NO_MEMORY;
    for (size_t i = 0; i < r->file_count; i++) {
        uint64_t number = r->files[i].number;
        if (r->files[i].kind != FILE_LOG || number < r->state.min_log) continue;
        const struct log_seal *seal = manifest_seal(&r->state, number);
        uint64_t sealed_end = seal ? seal->end : 0;
        /* What the last opening found and did not count stays out, also where removing it did not reach the disk. */
        if (!sealed_end && number < r->state.start_log) continue;
        struct log_segment *s = &r->segments[r->segment_count++];
        s->number = number;
        s->sealed_end = sealed_end;
        s->sequence_may_skip = sealed_end != 0; /* choose_next_sequence */
        if (number == r->state.start_log) s->begins_with = r->state.resume_sequence;
    }
    for (size_t k = 0; k < r->state.seal_count; k++) {
        uint64_t number = r->state.seals[k].number; /* a flush since has made those below min_log obsolete */
        if (number >= r->state.min_log && !is_there(r, FILE_LOG, number)) return log_is_missing(r, number);
    }
    /* The first log is there before a manifest names it, but for the manifest of a new database. Where it is not,
     * either it was taken away, or the manifest's last record is damaged: it said that this log is not needed any more.
     */
    bool newborn = r->state.min_log == r->state.start_log && r->segment_count == 0 && r->state.table_count == 0;
    if (r->fresh || newborn || is_there(r, FILE_LOG, r->state.min_log)) return VELOCITY_OK;
    return log_is_missing(r, r->state.min_log);
}

static velocity_status write_table(struct recovery *r, struct value_writer *values, struct table **out) {
    velocity *db = r->db;
    struct table_builder_options options;
    database_table_options(db, database_new_number(db), &options);
    table_builder *builder;
    velocity_status status = table_builder_new(&options, &builder);
    if (status) return status;
    struct memtable_cursor cursor;
    struct entry e;
    memtable_cursor_init(&cursor, r->buffer->memtable);
    for (memtable_cursor_first(&cursor); !status && memtable_cursor_valid(&cursor); memtable_cursor_next(&cursor)) {
        memtable_cursor_entry(&cursor, &e);
        if (value_writer_wants(values, &e)) status = value_writer_take(values, &e);
        if (!status) status = table_builder_add(builder, &e);
    }
    if (!status) status = value_writer_finish(values);
    struct table_meta meta;
    if (status) {
        table_builder_abandon(builder);
        return status;
    }
    status = table_builder_finish(builder, &meta);
    if (status) return status;
    status = table_new(db->env, db->shared->files, db->path, db->database_id, db->keys, &meta, out);
    if (status) table_meta_clear(&meta);
    return status;
}

/* Moves what the buffer holds into a table of level 0. If that fails, the next open removes what it left. */
static velocity_status flush_buffer(struct recovery *r) {
    struct version_change add = {0, NULL};
    struct value_writer values;
    struct version *next;
    value_writer_init(&values, r->db);
    velocity_status status = write_table(r, &values, &add.table);
    struct version_edit edit = {
        .add = &add, .add_count = 1, .add_values = values.files, .add_value_count = values.count};
    struct write_buffer *empty = status ? NULL : write_buffer_new(r->db, 0);
    if (!status) status = empty ? version_new(r->version, &edit, &next) : VELOCITY_NO_MEMORY;
    if (add.table) table_release(add.table);
    value_writer_clear(&values, true);
    if (status) {
        write_buffer_release(empty);
        return status;
    }
    version_release(r->version);
    r->version = next;
    write_buffer_release(r->buffer);
    r->buffer = empty;
    r->flushed = true;
    return VELOCITY_OK;
}

/* A full disk's database opens, too: unflushed logs are few. Once a part is in tables there is no way back. */
static velocity_status flush_if_room(struct recovery *r) {
    if (r->no_space) return VELOCITY_OK;
    velocity_status status = flush_buffer(r);
    if (status == VELOCITY_NO_SPACE && reserve_spend(&r->db->reserve)) status = flush_buffer(r);
    r->no_space = status == VELOCITY_NO_SPACE && !r->flushed;
    return r->no_space ? VELOCITY_OK : status;
}

static velocity_status apply_group(void *arg, uint64_t log_number, const struct log_group *group,
                                   const uint8_t *payload) {
    (void)log_number;
    struct recovery *r = arg;
    clock_raise(&r->db->clock, group->wall_ms);
    const uint8_t *p = payload, *end = payload + group->payload_bytes;
    memtable *table = r->buffer->memtable;
    velocity_status status = memtable_reserve(table, group->count, group->payload_bytes);
    if (status) return status;
    struct entry e;
    for (uint32_t i = 0; i < group->count; i++) {
        if (!(p = log_operation_decode(p, end, &e))) return VELOCITY_CORRUPT;
        e.sequence = group->first_sequence + i;
        if (e.kind == ENTRY_RANGE_DELETE && (status = range_buffer_reserve(&r->buffer->ranges, 1))) return status;
        write_buffer_insert(r->buffer, &e);
    }
    if (p != end) return VELOCITY_CORRUPT;
    if (group->count) r->last_in_buffer = group->first_sequence + group->count - 1;
    return write_buffer_bytes(r->buffer) >= database_buffer_bytes(r->db) ? flush_if_room(r) : VELOCITY_OK;
}

/*
 * Versions never repeat. Where writes were acknowledged before they were synced, a power cut may have taken some that
 * somebody has seen (with OS, all that no table had yet); their sequences are skipped, unless the database was closed
 * in order.
 */
static void choose_next_sequence(struct recovery *r, uint64_t after_logs) {
    velocity *db = r->db;
    uint64_t next = after_logs > r->state.resume_sequence ? after_logs : r->state.resume_sequence;
    if (r->state.weak_writes) next += SKIP_AFTER_LOSS;
    if (next < db->options.first_sequence) next = db->options.first_sequence;
    db->next_sequence = next;
    db->sequence_floor = next - 1;
    db->synced_sequence = next - 1;
    atomic_store(&db->visible_sequence, next - 1);
}

static velocity_status sync_segment(velocity *db, uint64_t number) {
    char *path = file_path(db->path, FILE_LOG, number);
    env_file *file = NULL;
    velocity_status status = path ? env_open_write(db->env, path, &file) : VELOCITY_NO_MEMORY;
    if (!status) status = env_sync(file);
    velocity_status closed = env_close(file);
    env_free(path);
    return status ? status : closed;
}

/* What was recovered must be on disk before the manifest says that it is there. */
static velocity_status seal_segments(struct recovery *r) {
    velocity *db = r->db;
    db->seals = env_alloc_zeroed((r->segment_count + 1) * sizeof *db->seals);
    if (!db->seals) return VELOCITY_NO_MEMORY;
    for (size_t i = 0; i < r->segment_count; i++) {
        const struct log_segment *s = &r->segments[i];
        if (s->end <= FILE_HEADER_BYTES) continue;
        db->seals[db->seal_count++] = (struct log_seal){s->number, s->end, s->old_key};
        if (s->sealed_end) continue;
        velocity_status status = sync_segment(db, s->number);
        if (status) return status;
    }
    return VELOCITY_OK;
}

static velocity_status replay_logs(struct recovery *r) {
    velocity *db = r->db;
    velocity_status status = gather_segments(r);
    if (status) return status;
    r->buffer = write_buffer_new(db, 0);
    if (!r->buffer) return VELOCITY_NO_MEMORY;
    struct log_replay replay = {.env = db->env,
                                .folder = db->path,
                                .keys = db->keys,
                                .next_sequence = r->state.last_sequence + 1,
                                .apply = apply_group,
                                .arg = r};
    memcpy(replay.database_id, db->database_id, sizeof replay.database_id);
    status = log_replay(&replay, r->segments, r->segment_count);
    if (status) return status;
    r->last_replayed = r->fresh ? 0 : replay.next_sequence - 1;
    choose_next_sequence(r, replay.next_sequence);
    size_t live = 0;
    bool old_key = false; /* if there is room, no log outlives the opening that changes the key */
    for (size_t i = 0; i < r->segment_count; i++) {
        if (r->segments[i].end <= FILE_HEADER_BYTES) continue;
        live++;
        old_key |= r->segments[i].old_key;
    }
    if (memtable_entries(r->buffer->memtable) == 0) return VELOCITY_OK;
    if (r->flushed || old_key || live > SEALED_LOGS_MAX) status = flush_if_room(r);
    bool in_tables = memtable_entries(r->buffer->memtable) == 0;
    return status || in_tables ? status : seal_segments(r);
}

/* ---- what change feeds can read
 * -------------------------------------------------------------------------------------- */

static velocity_status add_history(velocity *db, const struct history_log *log) {
    velocity_status status = history_reserve(&db->history);
    if (!status) history_add(&db->history, log, 0);
    return status;
}

/* No log outlives the opening that changes the key, but where the disk has no room for tables. So the newest retained
 * one speaks for all. */
static velocity_status drop_other_keys(const struct recovery *r, size_t *count) {
    velocity *db = r->db;
    if (*count == 0) return VELOCITY_OK;
    char *path = file_path(db->path, FILE_LOG, r->state.retained[*count - 1].number);
    env_file *file = NULL;
    struct file_header header;
    velocity_status status = path ? env_open_read(db->env, path, &file) : VELOCITY_NO_MEMORY;
    if (!status) status = file_header_read(file, FILE_LOG, path, &header);
    if (!status && !key_ring_is_present(db->keys, &header)) *count = 0;
    if (status == VELOCITY_NOT_FOUND) *count = 0; /* and with it the others */
    if (status == VELOCITY_CORRUPT || status == VELOCITY_NOT_FOUND)
        status = VELOCITY_OK; /* who reads it will be told */
    velocity_status closed = env_close(file);
    env_free(path);
    return status ? status : closed;
}

/* The retained logs that are there, from the oldest on behind which none is missing. */
static velocity_status find_retained(const struct recovery *r) {
    const struct log_retained *logs = r->state.retained;
    size_t count = r->state.retained_count;
    velocity_status status = drop_other_keys(r, &count);
    size_t first = count;
    while (
        first > 0 && logs[first - 1].number < r->state.min_log && is_there(r, FILE_LOG, logs[first - 1].number) &&
        (first == count || (logs[first - 1].number < logs[first].number && logs[first - 1].last <= logs[first].after)))
        first--;
    for (size_t i = first; i < count && !status; i++) {
        struct history_log log = {logs[i].number, logs[i].after, logs[i].last, logs[i].end, .retained = true};
        status = add_history(r->db, &log);
    }
    return status;
}

/* After the retained logs come the replayed ones: sealed, or, if they went into tables, retained from now on. */
static velocity_status gather_history(const struct recovery *r) {
    velocity *db = r->db;
    uint64_t limit = db->options.log_retention_bytes;
    velocity_status status = limit ? find_retained(r) : VELOCITY_OK;
    for (size_t i = 0; i < r->segment_count && !status && (db->seal_count || limit); i++) {
        const struct log_segment *s = &r->segments[i];
        if (s->end <= FILE_HEADER_BYTES) continue;
        if (s->old_key && !db->seal_count) continue;
        struct history_log log = {s->number, s->after, s->last, s->end, .retained = !db->seal_count};
        log.old_key = s->old_key;
        if (log.retained && !s->sealed_end) status = sync_segment(db, s->number);
        if (!status) status = add_history(db, &log);
    }
    uint64_t number;
    bool removable;
    while (!status && history_shrink(&db->history, limit, &number, &removable))
        ; /* what is not in the list any more is removed as a leftover */
    struct log_history *h = &db->history;
    h->after = h->count ? h->logs[0]->after : r->last_replayed;
    struct history_log grows = {
        .number = db->start_log, .after = db->sequence_floor, .last = HISTORY_GROWS, .end = HISTORY_GROWS};
    return status ? status : add_history(db, &grows);
}

/* ---- putting it in force
 * --------------------------------------------------------------------------------------------- */

static velocity_status try_log(velocity *db) {
    return log_create(db->env, db->path, db->database_id, db->keys, db->start_log, SEGMENT_MIN_BYTES,
                      room_durable_logs(db), &db->log);
}

/* Also a full disk's database opens. */
static velocity_status begin_log(velocity *db) {
    velocity_status status = try_log(db);
    return status == VELOCITY_NO_SPACE && reserve_spend(&db->reserve) ? try_log(db) : status;
}

static velocity_status begin_anew(struct recovery *r) {
    velocity *db = r->db;
    db->segment_bytes = SEGMENT_MIN_BYTES;
    uint64_t log_number = database_new_number(db), number = database_new_number(db);
    db->last_log = db->start_log = log_number;
    struct manifest_edit edit = {.next_number = db->next_number,
                                 .seals = db->seals,
                                 .seal_count = db->seal_count,
                                 .resume_sequence = db->next_sequence,
                                 .weak_writes = !room_durable_logs(db),
                                 .clock_ms = clock_now(&db->clock)};
    atomic_store(&db->weak_writes, edit.weak_writes);
    edit.min_log = db->seal_count ? db->seals[0].number : log_number;
    edit.start_log = log_number;
    /* With live logs the next replay begins with them; else with the new log, which begins behind the floor. */
    edit.last_sequence = db->seal_count ? r->state.last_sequence : db->sequence_floor;
    db->flushed_sequence = edit.last_sequence;
    r->buffer->first_log = edit.min_log;
    struct log_retained *retained = NULL;
    velocity_status status = gather_history(r);
    if (!status) status = history_list_retained(&db->history, 0, true, &retained, &edit.retained_count);
    edit.retained = retained;
    /* The log comes first, so that the manifest's logs are there; in a new database the manifest: a log without one
     * would be data that has lost its CURRENT. */
    if (!status && !r->fresh) status = begin_log(db);
    if (!status)
        status =
            manifest_create(db->env, db->path, db->database_id, db->keys, number, r->version, &edit, &db->manifest);
    env_free(retained);
    if (!status && r->fresh) status = begin_log(db);
    if (status) return status;
    struct superversion *sv = superversion_new(r->buffer, NULL, 0, r->version);
    if (!sv) return VELOCITY_NO_MEMORY;
    db->active = r->buffer;
    superversion_retire(superversion_install(db, sv));
    limit_note(db);
    return VELOCITY_OK;
}

static int by_number(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The numbers of the version's tables, sorted, for env_free. */
static uint64_t *table_numbers(const struct recovery *r, size_t *count) {
    *count = 0;
    for (int l = 0; l < VELOCITY_LEVELS; l++) *count += r->version->levels[l].count;
    uint64_t *numbers = env_alloc((*count + 1) * sizeof *numbers), *to = numbers;
    for (int l = 0; numbers && l < VELOCITY_LEVELS; l++)
        for (size_t i = 0; i < r->version->levels[l].count; i++)
            *to++ = table_meta(r->version->levels[l].tables[i])->number;
    if (numbers) qsort(numbers, *count, sizeof *numbers, by_number);
    return numbers;
}

static bool is_needed(const struct recovery *r, const struct found_file *file, const uint64_t *tables, size_t count) {
    switch (file->kind) {
    case FILE_TABLE: return count && bsearch(&file->number, tables, count, sizeof *tables, by_number);
    case FILE_VALUES: return version_value_file(r->version, file->number) != NULL;
    case FILE_LOG: return history_holds(&r->db->history, file->number);
    default: return false;
    }
}

/* Files that an earlier life left behind. What can't be removed now is tried again at the next open. */
static void remove_leftovers(const struct recovery *r) {
    size_t count;
    uint64_t *tables = table_numbers(r, &count);
    for (size_t i = 0; tables && i < r->file_count; i++) {
        if (is_needed(r, &r->files[i], tables, count)) continue;
        char *path = file_path(r->db->path, r->files[i].kind, r->files[i].number);
        if (path && env_unlink(r->db->env, path)) { /* see above */
        }
        env_free(path);
    }
    env_free(tables);
}

velocity_status recovery_run(velocity *db) {
    struct recovery r = {.db = db};
    velocity_status status = load_manifest(&r);
    if (!status) status = build_version(&r);
    if (!status)
        status = reserve_open(&db->reserve, db->env, db->path, db->options.reserve_bytes, version_bytes(r.version));
    if (!status) status = replay_logs(&r);
    if (!status) status = begin_anew(&r);
    if (!status) remove_leftovers(&r);
    write_buffer_release(r.buffer);
    version_release(r.version);
    manifest_state_clear(&r.state);
    env_free(r.files);
    env_free(r.segments);
    return status;
}
