/*
 * compaction.c - merging tables into the level below. See database_internal.h; which tables is compaction_pick.c's,
 * what survives of their entries retention.c's.
 *
 * One compaction runs at a time for a database; the job picks, merges and installs without the database's mutex.
 */
#include "compaction_pick.h"

#include "array.h"
#include "expiry_reclaim.h"
#include "retention.h"
#include "run.h"
#include "slice.h"
#include "value_writer.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    READ_AHEAD_BYTES = 256 * 1024,
    PROGRESS_BYTES = 4 << 20, /* merged between two calls of a manual compaction's progress: some 10 ms ... */
    LEAST_ENTRY_BYTES = 256,  /* ... where an entry counts as so many at least */
};

/* A velocity_compact that waits to be served. */
struct manual_compaction {
    struct compaction_range range;
    velocity_progress progress; /* may be NULL */
    void *arg;
    uint64_t merged;       /* entries so far, of range.entries */
    uint64_t untold_bytes; /* of them, since the last progress */
    bool yielded;          /* to what a threshold asks for; then it is its turn again */
    bool done;
    velocity_status status;
    char message[MESSAGE_BYTES];
    uint8_t to[VELOCITY_MAX_KEY_BYTES]; /* what range.to may point at */
};

/* Writes may have brought more entries than there were. INCOMPLETE: it is to end. */
static velocity_status tell_progress(struct manual_compaction *manual) {
    uint64_t total = manual->range.entries, merged = manual->merged < total ? manual->merged : total;
    if (!manual->progress || manual->progress(manual->arg, merged, total)) return VELOCITY_OK;
    return status_set(VELOCITY_INCOMPLETE, "the compaction was ended by its caller");
}

/* One entry more is merged. */
static velocity_status count_entry(struct manual_compaction *manual, const struct entry *e) {
    if (!manual) return VELOCITY_OK;
    size_t bytes = e->key.size + e->value.size;
    manual->merged++;
    manual->untold_bytes += bytes > LEAST_ENTRY_BYTES ? bytes : LEAST_ENTRY_BYTES;
    if (manual->untold_bytes < PROGRESS_BYTES) return VELOCITY_OK;
    manual->untold_bytes = 0;
    return tell_progress(manual);
}

/* ---- merging
 * ------------------------------------------------------------------------------------------------------------ */

struct output {
    velocity *db;
    table_builder *builder;
    struct version_change *tables;
    size_t count, capacity;
    int level;
    struct level_reach reach; /* of `builder`, over the level below; the task says how far it may go */
    uint64_t bytes, expired;
    const struct reclaim *reclaim;
    const struct retention *retention; /* which judged what it takes */
    struct manual_compaction *manual;  /* whose it is; NULL: nobody's */
    struct value_writer values;
};

static velocity_status output_finish(struct output *out) {
    if (!out->builder) return VELOCITY_OK;
    velocity *db = out->db;
    struct table_meta meta;
    table_builder *builder = out->builder;
    out->builder = NULL;
    velocity_status status = table_builder_finish(builder, &meta);
    if (status) return status;
    out->bytes += meta.file_bytes;
    if (out->level == LAST_LEVEL)
        meta.views_name = reclaim_views_name(out->retention->sequences, out->retention->count, meta.max_sequence);
    struct version_change change = {out->level, NULL};
    status = array_reserve(out->tables, out->capacity, out->count);
    if (!status)
        status = table_new(db->env, db->shared->files, db->path, db->database_id, db->keys, &meta, &change.table);
    if (status)
        table_meta_clear(&meta); /* the file is not in the manifest: the next open removes it */
    else
        out->tables[out->count++] = change;
    return status;
}

/* A value in a condemned file is moved. One that can't be read stays where it is: it may be of no interest to anybody,
 * and merging must go on. */
static velocity_status move_value(struct output *out, struct entry *e) {
    struct value_reference reference = {0};
    if (!value_reference_decode(e->value, &reference) || !condemned_has(&out->reclaim->condemned, reference.file))
        return VELOCITY_OK;
    struct value_file *from = version_value_file(out->reclaim->version, reference.file);
    velocity_status status = value_writer_move(&out->values, from, e);
    if (status != VELOCITY_CORRUPT) return status;
    value_file_mark_damaged(from);
    return VELOCITY_OK;
}

static bool is_full(struct output *out, velocity_slice next_key) {
    return table_builder_bytes(out->builder) >= out->db->options.table_bytes ||
           level_reach_is_over(&out->reach, next_key);
}

static velocity_status output_add(struct output *out, const struct entry *entry, bool new_key) {
    velocity_status status = VELOCITY_OK;
    struct entry e = *entry;
    if (e.kind == ENTRY_VALUE_REFERENCE && out->reclaim->condemned.count)
        status = move_value(out, &e);
    else if (value_writer_wants(&out->values, &e))
        status = value_writer_take(&out->values, &e);
    /* A key's versions stay on one table: a level's tables are disjoint by key. A table of level 0 stays one. */
    if (!status && out->builder && new_key && out->level > 0 && is_full(out, e.key)) status = output_finish(out);
    if (!status && !out->builder) {
        struct table_builder_options options;
        database_table_options(out->db, database_new_number(out->db), &options);
        options.last_level = out->level == LAST_LEVEL;
        level_reach_begin(&out->reach, e.key);
        status = table_builder_new(&options, &out->builder);
    }
    return status ? status : table_builder_add(out->builder, &e);
}

/* Lets go of the outputs; those that did not come into force are removed. */
static void output_clear(struct output *out, bool in_force) {
    table_builder_abandon(out->builder);
    for (size_t i = 0; i < out->count; i++) {
        if (!in_force) table_doom(out->tables[i].table);
        table_release(out->tables[i].table);
    }
    env_free(out->tables);
    value_writer_clear(&out->values, in_force);
}

/* Each table of level 0 is a run; the tables of another level are one. What is covered whole is not read. */
static void build_runs(const struct compaction_task *task, const struct reclaim *r, struct table **tables,
                       struct run *runs, size_t *count) {
    struct table_read read = {.fill_cache = false};
    size_t used = 0;
    *count = 0;
    for (int l = 0; l < VELOCITY_LEVELS; l++) {
        size_t first = used;
        for (size_t i = 0; i < task->input_count; i++) {
            if (task->inputs[i].level != l || reclaim_whole(r, task->inputs[i].table)) continue;
            tables[used++] = task->inputs[i].table;
            if (l == 0) run_init_tables(&runs[(*count)++], &tables[used - 1], 1, &read, READ_AHEAD_BYTES);
        }
        if (l > 0 && used > first)
            run_init_tables(&runs[(*count)++], tables + first, used - first, &read, READ_AHEAD_BYTES);
    }
}

static bool reaches_bottom(const struct compaction_task *task, const struct version *version) {
    for (int l = task->output_level ? task->output_level + 1 : 0; l < VELOCITY_LEVELS; l++)
        for (size_t i = 0; i < version->levels[l].count; i++)
            if (!compaction_task_has(task, version->levels[l].tables[i]) &&
                table_overlaps(version->levels[l].tables[i], task->from, task->to))
                return false;
    return true;
}

static velocity_status merge_runs(velocity *db, const struct compaction_task *task, const struct reclaim *r,
                                  struct run *runs, size_t run_count, struct output *out) {
    struct merge m;
    struct retention retention;
    velocity_status status = retention_init(&retention, db, reaches_bottom(task, r->version));
    if (status) return status;
    retention.ranges = range_index_list(r->version->ranges);
    retention.range_is_spent = reclaim_range_is_spent;
    retention.arg = r;
    out->retention = &retention;
    status = merge_init(&m, runs, run_count);
    if (!status) merge_first(&m);
    bool key_is_new = false; /* for the output: some versions of a key may have been dropped before the first kept */
    for (; !status && merge_valid(&m); merge_next(&m)) {
        bool keep, new_key;
        const struct entry *e = merge_entry(&m);
        status = count_entry(out->manual, e);
        if (status) break;
        status = retention_judge(&retention, e, &keep, &new_key);
        key_is_new |= new_key;
        if (status || !keep) continue;
        status = output_add(out, retention.expired ? &retention.tombstone : e, key_is_new);
        key_is_new = false;
        if (!status && atomic_load_explicit(&db->read_only, memory_order_relaxed)) status = VELOCITY_READ_ONLY;
    }
    if (!status) status = m.status;
    if (!status) status = output_finish(out);
    if (!status) status = value_writer_finish(&out->values);
    out->expired = retention.expired_count;
    merge_clear(&m);
    out->retention = NULL;
    retention_clear(&retention);
    return status;
}

static velocity_status merge_tables(velocity *db, const struct compaction_task *task, struct reclaim *r,
                                    struct output *out) {
    size_t count = 0;
    struct table **tables = env_alloc(task->input_count * sizeof *tables);
    struct run *runs = env_alloc(task->input_count * sizeof *runs);
    velocity_status status = tables && runs ? VELOCITY_OK : VELOCITY_NO_MEMORY;
    if (!status && r->version->ranges) status = reclaim_leave_out(r, task->inputs, task->input_count);
    if (!status) build_runs(task, r, tables, runs, &count);
    if (!status) status = merge_runs(db, task, r, runs, count, out);
    for (size_t i = 0; i < count; i++) run_clear(&runs[i]);
    env_free(runs);
    env_free(tables);
    return status;
}

/* Inputs that overlap nobody need no merge: they change their level and are not read; but a merge is also what brings
 * a table under the present key. */
static bool moves_trivially(const struct compaction_task *task, const struct reclaim *r, int64_t now_ms) {
    for (size_t i = 0; i < task->input_count; i++) {
        if (task->inputs[i].level == task->output_level) return false;
        const struct table_meta *a = table_meta(task->inputs[i].table);
        /* a merge would drop something */
        if (a->tombstones || !a->one_version || table_expiry_due_ms(task->inputs[i].table) <= now_ms) return false;
        if (table_has_old_key(task->inputs[i].table)) return false;
        if (condemned_bytes(&r->condemned, task->inputs[i].table)) return false;
        for (size_t k = i + 1; k < task->input_count; k++)
            if (table_overlaps(task->inputs[k].table, a->smallest, a->largest)) return false;
    }
    return true;
}

/* A manual compaction of one level that holds nothing to drop changes nothing. */
static bool is_pointless(const struct compaction_task *task, const struct reclaim *r, int64_t now_ms) {
    for (size_t i = 0; i < task->input_count; i++) {
        if (condemned_bytes(&r->condemned, task->inputs[i].table)) return false;
        if (task->inputs[i].level != task->output_level || !reclaim_is_settled(r, task->inputs[i].table)) return false;
        if (expiry_has_begun(task->inputs[i].table, (uint64_t)now_ms)) return false;
        if (table_has_old_key(task->inputs[i].table) || reclaim_part(r, task->inputs[i].table)) return false;
    }
    return true;
}

static velocity_status move(velocity *db, const struct compaction_task *task) {
    struct version_change *add = env_alloc(task->input_count * sizeof *add);
    if (!add) return VELOCITY_NO_MEMORY;
    for (size_t i = 0; i < task->input_count; i++)
        add[i] = (struct version_change){task->output_level, task->inputs[i].table};
    struct version_edit edit = {
        .remove = task->inputs, .remove_count = task->input_count, .add = add, .add_count = task->input_count};
    velocity_status status = install_edit(db, &edit, NULL);
    env_free(add);
    atomic_fetch_add(&db->figures.trivial_moves, task->input_count);
    return status;
}

/* By level, then by key: picking gathers the tables of a level in any order, and a run needs them in key order. */
static int by_level_and_key(const void *a, const void *b) {
    const struct version_change *x = a, *y = b;
    if (x->level != y->level) return x->level < y->level ? -1 : 1;
    return slice_compare(table_meta(x->table)->smallest, table_meta(y->table)->smallest);
}

/* The inputs go, and nothing takes their place. */
static velocity_status drop(velocity *db, const struct compaction_task *task) {
    struct version_edit edit = {.remove = task->inputs, .remove_count = task->input_count};
    velocity_status status = install_edit(db, &edit, NULL);
    if (status) return status;
    atomic_fetch_add(&db->figures.compactions, 1);
    for (size_t i = 0; i < task->input_count; i++) {
        table_doom(task->inputs[i].table);
        if (!task->covered) atomic_fetch_add(&db->figures.expired, table_meta(task->inputs[i].table)->entries);
    }
    return VELOCITY_OK;
}

/* After the install: the inputs' files go when nobody reads them any more. */
static void count_and_doom(velocity *db, const struct compaction_task *task, const struct reclaim *r,
                           const struct output *out) {
    uint64_t read = compaction_task_bytes(task, r);
    for (size_t i = 0; i < task->input_count; i++) table_doom(task->inputs[i].table);
    atomic_fetch_add(&db->figures.compactions, 1);
    atomic_fetch_add(&db->figures.expired, out->expired);
    atomic_fetch_add(&db->figures.compaction_read, read);
    atomic_fetch_add(&db->figures.compaction_written, out->bytes + out->values.bytes);
}

static velocity_status run_task(velocity *db, const struct compaction_task *task, struct reclaim *r,
                                struct manual_compaction *manual) {
    int64_t now_ms = (int64_t)snapshot_earliest_clock(db);
    if (task->input_count == 0) return VELOCITY_OK;
    if (task->drop) return drop(db, task);
    bool pointless = !task->rewrite && is_pointless(task, r, now_ms);
    bool moves = !task->reach_bytes && moves_trivially(task, r, now_ms);
    if (manual && (pointless || moves)) manual->merged += compaction_task_entries(task);
    if (pointless) return VELOCITY_OK;
    qsort(task->inputs, task->input_count, sizeof *task->inputs, by_level_and_key);
    if (moves) return move(db, task);
    struct output out = {.db = db, .level = task->output_level, .reclaim = r, .manual = manual};
    if (task->reach_bytes)
        out.reach = (struct level_reach){&r->version->levels[out.level + 1], task->reach_bytes, 0, 0};
    value_writer_init(&out.values, db);
    velocity_status status = install_repair(db);
    if (!status) status = merge_tables(db, task, r, &out);
    struct version_edit edit = {.remove = task->inputs,
                                .remove_count = task->input_count,
                                .add = out.tables,
                                .add_count = out.count,
                                .add_values = out.values.files,
                                .add_value_count = out.values.count};
    bool tried = !status;
    if (!status) status = install_edit(db, &edit, NULL);
    if (!status) count_and_doom(db, task, r, &out);
    /* After a failed install the manifest on disk may name the outputs: they stay until the next open knows. */
    output_clear(&out, tried);
    return status;
}

/* ---- the job
 * -------------------------------------------------------------------------------------------------------------- */

void compaction_schedule(velocity *db) {
    if (db->compaction_queued || db->closing || atomic_load(&db->read_only)) return;
    if (!db->manual && !db->idle_compaction && !db->reclaim &&
        !compaction_is_due(db, atomic_load(&db->superversion)->version))
        return;
    db->compaction_queued = true;
    pool_submit(db->shared->pool, POOL_PATIENT, &db->compaction_job);
}

/* Between the portions of what was asked for, what a threshold asks for has its turn: or else level 0 would fill. */
static bool yields(velocity *db, struct manual_compaction *manual, const struct version *version) {
    manual->yielded = manual->range.more && !manual->yielded && compaction_is_due(db, version);
    return manual->yielded;
}

/* With the mutex held. */
static void manual_ended(velocity *db, struct manual_compaction *manual, velocity_status status) {
    manual->status = status;
    if (status) (void)snprintf(manual->message, sizeof manual->message, "%s", velocity_error_message());
    manual->done = true;
    if (db->manual == manual) db->manual = NULL;
}

void compaction_job_run(struct pool_job *job) {
    velocity *db = (velocity *)((char *)job - offsetof(velocity, compaction_job));
    env_mutex_lock(&db->mutex);
    struct manual_compaction *manual = db->manual;
    bool idle = db->idle_compaction;
    db->idle_compaction = db->reclaim = false;
    struct reclaim_state looked = compaction_reclaim_state(db);
    env_mutex_unlock(&db->mutex);
    struct compaction_task task = {0};
    struct reclaim reclaim;
    struct superversion *sv = superversion_acquire(db);
    if (manual && yields(db, manual, sv->version)) manual = NULL;
    velocity_status status = reclaim_init(&reclaim, db, sv->version);
    if (!status) status = compaction_pick(db, sv->version, manual ? &manual->range : NULL, idle, &reclaim, &task);
    if (!status) status = run_task(db, &task, &reclaim, manual);
    if (!status && manual && manual->range.more) status = tell_progress(manual);
    bool found = task.input_count > 0, goes_on = manual && !status && manual->range.more;
    if (goes_on) compaction_portion_next(&manual->range);
    reclaim_clear(&reclaim);
    superversion_release(sv);
    table_files_sweep(db->shared->files);
    env_free(task.inputs);
    velocity_status outcome = manual ? status : job_outcome(db, status);
    env_mutex_lock(&db->mutex);
    if (idle && !manual && !status && !found) db->reclaimed = looked;
    if (!manual)
        job_ended(&db->compaction_failure, outcome);
    else if (!goes_on)
        manual_ended(db, manual, status);
    db->compaction_queued = false;
    if (!status || !db->compaction_failure.status) compaction_schedule(db);
    env_condition_broadcast(&db->changed);
    env_mutex_unlock(&db->mutex);
}

/* ---- velocity_compact
 * ------------------------------------------------------------------------------------------------------- */

/* The range as [from, to], both inclusive: a little more than asked for does no harm. */
static velocity_slice range_to(const velocity_range *range, uint8_t *buffer) {
    if (range->end.data) return range->end;
    if (!range->prefix.data || range->prefix.size == 0) return velocity_bytes(NULL, 0);
    size_t size = range->prefix.size;
    memcpy(buffer, range->prefix.data, size);
    while (size && buffer[size - 1] == 0xff) size--;
    if (size == 0) return velocity_bytes(NULL, 0);
    buffer[size - 1]++;
    return velocity_bytes(buffer, size);
}

static velocity_slice range_from(const velocity_range *range) {
    bool prefixed = range->prefix.data && range->prefix.size;
    if (prefixed && (!range->start.data || slice_compare(range->prefix, range->start) > 0)) return range->prefix;
    return range->start;
}

/* Waits its turn, and until it is served. */
static velocity_status wait_for(velocity *db, struct manual_compaction *manual) {
    env_mutex_lock(&db->mutex);
    while (db->manual && !atomic_load(&db->read_only)) room_wait(db);
    if (!db->manual) db->manual = manual;
    while (!manual->done && !atomic_load(&db->read_only)) {
        compaction_schedule(db);
        room_wait(db);
    }
    while (db->compaction_queued && db->manual == manual) room_wait(db); /* the job may still look at it */
    if (db->manual == manual) db->manual = NULL;
    velocity_status status = manual->done ? manual->status : VELOCITY_READ_ONLY;
    if (status) (void)status_set(status, "%s", manual->done ? manual->message : db->read_only_message);
    env_mutex_unlock(&db->mutex);
    return status;
}

velocity_status velocity_compact(velocity *db, const velocity_range *range) {
    return velocity_compact_with(db, range, NULL, NULL);
}

velocity_status velocity_compact_with(velocity *db, const velocity_range *range, velocity_progress progress,
                                      void *arg) {
    velocity_range r = velocity_range_default();
    if (range) memcpy(&r, range, range->struct_size < sizeof r ? range->struct_size : sizeof r);
    if (r.prefix.size > VELOCITY_MAX_KEY_BYTES)
        return status_set(VELOCITY_INVALID, "the prefix is longer than a key can be");
    velocity_status status = velocity_flush(db);
    if (status) return status;
    /* Not on the caller's stack, which may be small: there is room for two keys in it. */
    struct manual_compaction *manual = env_alloc_zeroed(sizeof *manual);
    if (!manual) return status_set(VELOCITY_NO_MEMORY, "no memory to compact the database");
    manual->range.from = range_from(&r);
    manual->range.to = range_to(&r, manual->to);
    manual->progress = progress;
    manual->arg = arg;
    status = wait_for(db, manual);
    env_free(manual);
    return status;
}
