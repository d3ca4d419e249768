/*
 * compaction.c - merging tables into the level below. See database_internal.h; what survives is retention.c's.
 *
 * Shape: level 0 holds flushed buffers. The last level holds almost everything; above it stand as many levels as it
 * takes to keep one merge of level 0 within LEVEL_RATIO times its size, each LEVEL_RATIO times smaller than the next. A
 * small database is level 0 and the last level. Level 0 goes, whole, into the first of those levels ("base").
 *
 * What range deletes cover goes without being read where they cover whole tables (reclaim.c); where they cover a part,
 * when that is merged. For that a merge reaches as far as the range deletes in it, if this does not make it much
 * larger.
 *
 * One compaction runs at a time for a database; the job picks, merges and installs without the database's mutex.
 */
#include "database_internal.h"
#include "expiry_reclaim.h"
#include "reclaim.h"
#include "retention.h"
#include "run.h"
#include "slice.h"
#include "value_reclaim.h"
#include "value_writer.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    LAST_LEVEL = VELOCITY_LEVELS - 1,
    LEVEL_RATIO = 10,
    READ_AHEAD_BYTES = 256 * 1024,
    IDLE_REWRITE_FACTOR =
        32,                 /* when idle, tables are merged down if that rewrites at most this many times their size */
    SMALL_BYTES = 64 << 20, /* ... or at most this much */
    TOMBSTONE_BYTES = 1024, /* ... where each delete, which scans have to step over, counts as so much */
    TOMBSTONE_PULL = 4,     /* a table of deletes alone is picked as one with an overlap so many times smaller */
};

/* A velocity_compact that waits to be served. */
struct manual_compaction {
    velocity_slice from, to; /* data NULL: no bound; to is inclusive here */
    bool done;
    velocity_status status;
    char message[MESSAGE_BYTES];
};

struct task {
    struct version_change *inputs; /* tables and the levels that they are on */
    size_t input_count, input_capacity;
    int output_level;
    bool drop, rewrite;      /* the inputs hold nothing that anybody sees; or: one that holds much that has expired */
    bool covered;            /* drop: because of range deletes */
    velocity_slice from, to; /* the range of all inputs; borrowed from their metas */
    velocity_slice reach;    /* where the range deletes in them end; data NULL: there are none */
};

/* ---- the shape ------------------------------------------------------------------------------------------------------
 */

/* Where values stand apart, a full write buffer makes a table that is much smaller than itself. */
static uint64_t level0_batch_bytes(const velocity *db, const struct version *version) {
    uint64_t bytes = db->options.memtable_bytes / 2 * db->options.compaction_threshold, tables = 0;
    if (version->value_count == 0) return bytes;
    for (int l = 0; l < VELOCITY_LEVELS; l++) tables += version->levels[l].bytes;
    return (uint64_t)((double)bytes * (double)tables / (double)(tables + version->value_used_bytes));
}

/* The first level under level 0, and in targets[l] how large each level may be. */
static int shape(const velocity *db, const struct version *version, uint64_t targets[VELOCITY_LEVELS]) {
    uint64_t limit = level0_batch_bytes(db, version) * LEVEL_RATIO;
    int base = LAST_LEVEL;
    for (int l = 0; l < VELOCITY_LEVELS; l++) targets[l] = UINT64_MAX;
    uint64_t size = version->levels[LAST_LEVEL].bytes;
    for (int l = LAST_LEVEL - 1; l >= 1 && size > limit; l--) {
        size /= LEVEL_RATIO;
        targets[l] = size;
        base = l;
    }
    /* A level that is in use stays so until it is empty. */
    for (int l = 1; l < base; l++) {
        if (version->levels[l].count == 0) continue;
        targets[l] = 0;
        base = l + 1 < base ? base : l + 1;
    }
    return base;
}

static uint64_t overlapping_bytes(const struct level *level, const struct level *with) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < level->count; i++) {
        const struct table_meta *meta = table_meta(level->tables[i]);
        for (size_t k = 0; k < with->count; k++) {
            if (!table_overlaps(with->tables[k], meta->smallest, meta->largest)) continue;
            bytes += meta->file_bytes;
            break;
        }
    }
    return bytes;
}

/* The highest level that is over its size, as a part of it; 0 level: none. */
static int fullest_level(const struct version *version, const uint64_t targets[VELOCITY_LEVELS]) {
    int fullest = 0;
    double worst = 1;
    for (int l = 1; l < LAST_LEVEL; l++) {
        if (version->levels[l].count == 0 || targets[l] == UINT64_MAX) continue;
        double score = (double)version->levels[l].bytes / (double)(targets[l] ? targets[l] : 1);
        if (score > worst) worst = score, fullest = l;
    }
    return fullest;
}

uint64_t compaction_pending(velocity *db, const struct version *version) {
    uint64_t targets[VELOCITY_LEVELS], pending = 0;
    int base = shape(db, version, targets);
    const struct level *top = &version->levels[0];
    if (top->count >= db->options.compaction_threshold)
        pending += top->bytes + overlapping_bytes(&version->levels[base], top);
    for (int l = 1; l < LAST_LEVEL; l++)
        if (targets[l] != UINT64_MAX && version->levels[l].bytes > targets[l])
            pending += (version->levels[l].bytes - targets[l]) * LEVEL_RATIO;
    return pending;
}

static uint64_t tombstones(const struct level *level) {
    uint64_t count = 0;
    for (size_t i = 0; i < level->count; i++) count += table_meta(level->tables[i])->tombstones;
    return count;
}

/* The level that idle merging would empty into the next one below; -1: none. */
static int idle_level(velocity *db, const struct version *version) {
    uint64_t targets[VELOCITY_LEVELS];
    int base = shape(db, version, targets);
    for (int l = 0; l < LAST_LEVEL; l = l == 0 ? base : l + 1) {
        const struct level *level = &version->levels[l];
        if (level->count == 0) continue;
        const struct level *below = &version->levels[l == 0 ? base : l + 1];
        uint64_t rewritten = overlapping_bytes(below, level),
                 worth = level->bytes + tombstones(level) * TOMBSTONE_BYTES;
        return rewritten <= SMALL_BYTES || rewritten / IDLE_REWRITE_FACTOR <= worth ? l : -1;
    }
    return -1;
}

/* Changes with every version. */
static uint64_t generation(velocity *db) {
    return atomic_load(&db->figures.flushes) + atomic_load(&db->figures.compactions) +
           atomic_load(&db->figures.trivial_moves);
}

/* The tables may hold what nobody sees any more; what a job that looked found nothing of is not looked for again. */
static bool may_reclaim(velocity *db, const struct version *version) {
    const struct level *last = &version->levels[LAST_LEVEL];
    bool holds = version->ranges != NULL;
    for (size_t i = 0; i < last->count && !holds; i++)
        holds = table_meta(last->tables[i])->tombstones || !table_meta(last->tables[i])->one_version;
    if (!holds) return false;
    struct reclaim_state now = {generation(db), snapshot_oldest(db)};
    env_mutex_lock(&db->mutex);
    bool looked = db->reclaimed.generation == now.generation && db->reclaimed.oldest == now.oldest;
    env_mutex_unlock(&db->mutex);
    return !looked;
}

bool compaction_idle_worthwhile(velocity *db, const struct version *version) {
    return idle_level(db, version) >= 0 || may_reclaim(db, version);
}

/* ---- picking
 * ------------------------------------------------------------------------------------------------------------ */

static velocity_status add_input(struct task *task, int level, struct table *table) {
    if (task->input_count == task->input_capacity) {
        size_t capacity = task->input_capacity ? task->input_capacity * 2 : 32;
        void *bigger = env_realloc(task->inputs, capacity * sizeof *task->inputs);
        if (!bigger) return VELOCITY_NO_MEMORY;
        task->inputs = bigger;
        task->input_capacity = capacity;
    }
    task->inputs[task->input_count++] = (struct version_change){level, table};
    const struct table_meta *meta = table_meta(table);
    if (!task->from.data || slice_compare(meta->smallest, task->from) < 0) task->from = meta->smallest;
    if (!task->to.data || slice_compare(meta->largest, task->to) > 0) task->to = meta->largest;
    size_t count = 0;
    const struct range_tombstone *ranges = meta->range_tombstones ? table_ranges(table, &count) : NULL;
    for (size_t i = 0; i < count; i++)
        if (!task->reach.data || slice_compare(ranges[i].end, task->reach) > 0) task->reach = ranges[i].end;
    return VELOCITY_OK;
}

static bool has_input(const struct task *task, const struct table *table) {
    for (size_t i = 0; i < task->input_count; i++)
        if (task->inputs[i].table == table) return true;
    return false;
}

static velocity_status add_level(struct task *task, const struct version *version, int level, velocity_slice from,
                                 velocity_slice to) {
    velocity_status status = VELOCITY_OK;
    for (size_t i = 0; i < version->levels[level].count && !status; i++) {
        struct table *table = version->levels[level].tables[i];
        if (table_overlaps(table, from, to) && !has_input(task, table)) status = add_input(task, level, table);
    }
    return status;
}

static uint64_t bytes_to_merge(const struct task *task, const struct reclaim *r) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < task->input_count; i++)
        if (!reclaim_whole(r, task->inputs[i].table)) bytes += table_meta(task->inputs[i].table)->file_bytes;
    return bytes;
}

/* What the range deletes among the inputs cover on the output level goes along, unless that is too much. */
static velocity_status reach_out(struct task *task, const struct version *version, const struct reclaim *r) {
    if (!task->reach.data || slice_compare(task->reach, task->to) <= 0) return VELOCITY_OK;
    struct task more = {.output_level = task->output_level};
    velocity_status status = add_level(&more, version, task->output_level, task->to, task->reach);
    uint64_t here = bytes_to_merge(task, r), there = bytes_to_merge(&more, r);
    env_free(more.inputs);
    if (status || (there > SMALL_BYTES && there > here)) return status;
    return add_level(task, version, task->output_level, task->from, task->reach);
}

static velocity_status pick_level0(struct task *task, const struct version *version, int base) {
    task->output_level = base;
    velocity_status status = VELOCITY_OK;
    for (int l = 0; l < base && !status; l++) /* levels above the base that are still in use go along */
        status = add_level(task, version, l, velocity_bytes(NULL, 0), velocity_bytes(NULL, 0));
    return status ? status : add_level(task, version, base, task->from, task->to);
}

/* The table that overlaps least with the level below, for its size. */
static velocity_status pick_from_level(struct task *task, const struct version *version, int level) {
    const struct level *from = &version->levels[level], *below = &version->levels[level + 1];
    struct table *best = NULL;
    double least = 0;
    for (size_t i = 0; i < from->count; i++) {
        const struct table_meta *meta = table_meta(from->tables[i]);
        uint64_t bytes = 0;
        for (size_t k = level_find(below, meta->smallest);
             k < below->count && slice_compare(table_meta(below->tables[k])->smallest, meta->largest) <= 0; k++)
            bytes += table_meta(below->tables[k])->file_bytes;
        double share = (double)meta->tombstones / (double)meta->entries;
        double cost = (double)bytes / (double)meta->file_bytes / (1 + share * TOMBSTONE_PULL);
        if (!best || cost < least) best = from->tables[i], least = cost;
    }
    task->output_level = level + 1;
    velocity_status status = add_input(task, level, best);
    return status ? status : add_level(task, version, level + 1, task->from, task->to);
}

/*
 * Tables that refer to condemned value files, neighbours of one level: they are rewritten where they are. Those of
 * level 0 are merged down as always, which also shows what they make garbage.
 */
static velocity_status pick_condemned(const velocity *db, struct task *task, const struct version *version, int base,
                                      const struct reclaim *r) {
    enum { TABLES_MOST = 16 };
    uint64_t bytes, wanted = db->options.table_bytes;
    for (int l = 0; l < VELOCITY_LEVELS; l++) {
        const struct level *level = &version->levels[l];
        task->output_level = l;
        for (size_t i = 0; i < level->count && task->input_count < TABLES_MOST && wanted; i++) {
            bytes = condemned_bytes(&r->condemned, level->tables[i]);
            if (l == 0 && bytes) return pick_level0(task, version, base);
            if (bytes == 0 && task->input_count == 0) continue;
            if (bytes == 0) return VELOCITY_OK;
            velocity_status status = add_input(task, l, level->tables[i]);
            if (status) return status;
            wanted -= bytes < wanted ? bytes : wanted;
        }
        if (task->input_count) break;
    }
    return VELOCITY_OK;
}

/* Everything on every level that overlaps the range, and what that overlaps in turn, so that order is kept. */
static velocity_status pick_range(struct task *task, const struct version *version, velocity_slice from,
                                  velocity_slice to) {
    task->output_level = LAST_LEVEL;
    velocity_status status = VELOCITY_OK;
    for (size_t before = SIZE_MAX; !status && before != task->input_count;) {
        before = task->input_count;
        for (int l = 0; l < VELOCITY_LEVELS && !status; l++) {
            status = add_level(task, version, l, from, to);
            if (!status && task->input_count) status = add_level(task, version, l, task->from, task->to);
        }
    }
    return status;
}

/* Tables that range deletes cover whole. */
static velocity_status pick_covered(struct task *task, const struct version *version, const struct reclaim *r) {
    velocity_status status = VELOCITY_OK;
    for (int l = 0; l < VELOCITY_LEVELS && version->ranges; l++)
        for (size_t i = 0; i < version->levels[l].count && !status; i++)
            if (reclaim_whole(r, version->levels[l].tables[i]))
                status = add_input(task, l, version->levels[l].tables[i]);
    task->drop = task->covered = task->input_count > 0;
    return status;
}

/* All that one range delete can cover, so that the merge leaves it out. Left without inputs where that is too much. */
static velocity_status pick_range_delete(velocity *db, struct task *task, const struct version *version,
                                         const struct reclaim *r, const struct range_tombstone *range) {
    uint64_t limit = db->options.table_bytes * 4, upper = 0;
    if (limit < SMALL_BYTES) limit = SMALL_BYTES;
    velocity_status status = pick_range(task, version, range->start, range->end);
    if (status) return status;
    for (size_t i = 0; i < task->input_count; i++)
        if (task->inputs[i].level < LAST_LEVEL) upper += table_meta(task->inputs[i].table)->file_bytes;
    uint64_t merged = bytes_to_merge(task, r);
    if (merged <= limit || merged / IDLE_REWRITE_FACTOR <= upper) return VELOCITY_OK;
    env_free(task->inputs);
    *task = (struct task){0};
    return VELOCITY_OK;
}

/* When idle, and nothing else is to do: what is kept though nobody sees it any more. Each such merge leaves less of it.
 */
static velocity_status pick_unseen(velocity *db, struct task *task, const struct version *version,
                                   const struct reclaim *r) {
    velocity_status status = VELOCITY_OK;
    for (int l = 0; l < VELOCITY_LEVELS && version->ranges; l++)
        for (size_t i = 0; i < version->levels[l].count && !status && task->input_count == 0; i++) {
            const struct range_tombstone *range = reclaim_ripe_range(r, version->levels[l].tables[i]);
            if (range) status = pick_range_delete(db, task, version, r, range);
        }
    const struct level *last = &version->levels[LAST_LEVEL];
    for (size_t i = 0; i < last->count && !status && task->input_count == 0; i++) {
        task->output_level = LAST_LEVEL;
        if (reclaim_leftovers(r, last->tables[i])) status = add_input(task, LAST_LEVEL, last->tables[i]);
    }
    return status;
}

/* Tables in which nothing is left go all at once; else the one with the most to give back is rewritten where it is. */
static velocity_status pick_expired(struct task *task, const struct version *version, uint64_t now_ms) {
    velocity_status status = VELOCITY_OK;
    for (int l = 0; l < VELOCITY_LEVELS && !status; l++)
        for (size_t i = 0; i < version->levels[l].count && !status; i++)
            if (expiry_is_droppable(version, l, version->levels[l].tables[i], now_ms))
                status = add_input(task, l, version->levels[l].tables[i]);
    task->drop = task->input_count > 0;
    if (status || task->drop) return status;
    struct version_change worst = expiry_worst(version, now_ms);
    if (!worst.table) return VELOCITY_OK;
    task->rewrite = true;
    task->output_level = worst.level;
    return add_input(task, worst.level, worst.table);
}

/* Nothing to do leaves the task without inputs. */
static velocity_status pick(velocity *db, const struct version *version, const struct manual_compaction *manual,
                            bool idle, const struct reclaim *r, struct task *task) {
    if (manual) return pick_range(task, version, manual->from, manual->to);
    velocity_status status = pick_covered(task, version, r);
    if (status || task->input_count) return status;
    uint64_t targets[VELOCITY_LEVELS];
    int base = shape(db, version, targets);
    if (version->levels[0].count >= db->options.compaction_threshold) return pick_level0(task, version, base);
    if (expiry_is_due(db, version)) return pick_expired(task, version, snapshot_earliest_clock(db));
    int level = fullest_level(version, targets);
    if (level) return pick_from_level(task, version, level);
    if (value_reclaim_wanted(version, limit_is_reached(db))) return pick_condemned(db, task, version, base, r);
    if (!idle) return VELOCITY_OK;
    if ((level = idle_level(db, version)) < 0) return pick_unseen(db, task, version, r);
    if (level == 0) return pick_level0(task, version, base);
    task->output_level = level + 1;
    status = add_level(task, version, level, velocity_bytes(NULL, 0), velocity_bytes(NULL, 0));
    return status ? status : add_level(task, version, level + 1, task->from, task->to);
}

/* ---- merging
 * ------------------------------------------------------------------------------------------------------------ */

struct output {
    velocity *db;
    table_builder *builder;
    struct version_change *tables;
    size_t count, capacity;
    int level;
    uint64_t bytes, expired;
    const struct reclaim *reclaim;
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
    struct version_change change = {out->level, NULL};
    if (out->count == out->capacity) {
        size_t capacity = out->capacity ? out->capacity * 2 : 16;
        void *bigger = env_realloc(out->tables, capacity * sizeof *out->tables);
        if (!bigger) status = VELOCITY_NO_MEMORY;
        if (bigger) out->tables = bigger, out->capacity = capacity;
    }
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

static velocity_status output_add(struct output *out, const struct entry *entry, bool new_key) {
    velocity_status status = VELOCITY_OK;
    struct entry e = *entry;
    if (e.kind == ENTRY_VALUE_REFERENCE && out->reclaim->condemned.count)
        status = move_value(out, &e);
    else if (value_writer_wants(&out->values, &e))
        status = value_writer_take(&out->values, &e);
    /* A key's versions stay on one table: a level's tables are disjoint by key. A table of level 0 stays one. */
    if (!status && out->builder && new_key && out->level > 0 &&
        table_builder_bytes(out->builder) >= out->db->options.table_bytes)
        status = output_finish(out);
    if (!status && !out->builder) {
        struct table_builder_options options;
        database_table_options(out->db, database_new_number(out->db), &options);
        options.last_level = out->level == LAST_LEVEL;
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
static void build_runs(const struct task *task, const struct reclaim *r, struct table **tables, struct run *runs,
                       size_t *count) {
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

static bool reaches_bottom(const struct task *task, const struct version *version) {
    for (int l = task->output_level ? task->output_level + 1 : 0; l < VELOCITY_LEVELS; l++)
        for (size_t i = 0; i < version->levels[l].count; i++)
            if (!has_input(task, version->levels[l].tables[i]) &&
                table_overlaps(version->levels[l].tables[i], task->from, task->to))
                return false;
    return true;
}

static velocity_status merge_runs(velocity *db, const struct task *task, const struct reclaim *r, struct run *runs,
                                  size_t run_count, struct output *out) {
    struct merge m;
    struct retention retention;
    velocity_status status = retention_init(&retention, db, reaches_bottom(task, r->version));
    if (status) return status;
    retention.ranges = range_index_list(r->version->ranges);
    retention.range_is_spent = reclaim_range_is_spent;
    retention.arg = r;
    status = merge_init(&m, runs, run_count);
    if (!status) merge_first(&m);
    bool key_is_new = false; /* for the output: some versions of a key may have been dropped before the first kept */
    for (; !status && merge_valid(&m); merge_next(&m)) {
        bool keep, new_key;
        const struct entry *e = merge_entry(&m);
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
    retention_clear(&retention);
    return status;
}

static velocity_status merge_tables(velocity *db, const struct task *task, struct reclaim *r, struct output *out) {
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
static bool moves_trivially(const struct task *task, const struct reclaim *r, int64_t now_ms) {
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
static bool is_pointless(const struct task *task, const struct reclaim *r, int64_t now_ms) {
    for (size_t i = 0; i < task->input_count; i++) {
        if (condemned_bytes(&r->condemned, task->inputs[i].table)) return false;
        const struct table_meta *meta = table_meta(task->inputs[i].table);
        if (task->inputs[i].level != task->output_level || meta->tombstones || !meta->one_version) return false;
        if (expiry_has_begun(task->inputs[i].table, (uint64_t)now_ms)) return false;
        if (table_has_old_key(task->inputs[i].table) || reclaim_part(r, task->inputs[i].table)) return false;
    }
    return true;
}

static velocity_status move(velocity *db, const struct task *task) {
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
static velocity_status drop(velocity *db, const struct task *task) {
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
static void count_and_doom(velocity *db, const struct task *task, const struct reclaim *r, const struct output *out) {
    uint64_t read = bytes_to_merge(task, r);
    for (size_t i = 0; i < task->input_count; i++) table_doom(task->inputs[i].table);
    atomic_fetch_add(&db->figures.compactions, 1);
    atomic_fetch_add(&db->figures.expired, out->expired);
    atomic_fetch_add(&db->figures.compaction_read, read);
    atomic_fetch_add(&db->figures.compaction_written, out->bytes + out->values.bytes);
}

static velocity_status run_task(velocity *db, const struct task *task, struct reclaim *r) {
    int64_t now_ms = (int64_t)snapshot_earliest_clock(db);
    if (task->input_count == 0) return VELOCITY_OK;
    if (task->drop) return drop(db, task);
    if (!task->rewrite && is_pointless(task, r, now_ms)) return VELOCITY_OK;
    qsort(task->inputs, task->input_count, sizeof *task->inputs, by_level_and_key);
    if (moves_trivially(task, r, now_ms)) return move(db, task);
    struct output out = {.db = db, .level = task->output_level, .reclaim = r};
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
    const struct version *version = atomic_load(&db->superversion)->version;
    uint64_t targets[VELOCITY_LEVELS];
    (void)shape(db, version, targets);
    bool wanted = db->manual || db->idle_compaction || db->reclaim ||
                  version->levels[0].count >= db->options.compaction_threshold || fullest_level(version, targets) ||
                  expiry_is_due(db, version) || value_reclaim_wanted(version, limit_is_reached(db));
    if (!wanted) return;
    db->compaction_queued = true;
    pool_submit(db->shared->pool, POOL_PATIENT, &db->compaction_job);
}

void compaction_job_run(struct pool_job *job) {
    velocity *db = (velocity *)((char *)job - offsetof(velocity, compaction_job));
    env_mutex_lock(&db->mutex);
    struct manual_compaction *manual = db->manual;
    bool idle = db->idle_compaction;
    db->idle_compaction = db->reclaim = false;
    struct reclaim_state looked = {generation(db), snapshot_oldest(db)};
    env_mutex_unlock(&db->mutex);
    struct task task = {0};
    struct reclaim reclaim;
    struct superversion *sv = superversion_acquire(db);
    velocity_status status = reclaim_init(&reclaim, db, sv->version);
    if (!status) status = pick(db, sv->version, manual, idle, &reclaim, &task);
    if (!status && !manual && !task.drop && !task.rewrite) status = reach_out(&task, sv->version, &reclaim);
    if (!status) status = run_task(db, &task, &reclaim);
    bool found = task.input_count > 0;
    reclaim_clear(&reclaim);
    superversion_release(sv);
    table_files_sweep(db->shared->files);
    env_free(task.inputs);
    env_mutex_lock(&db->mutex);
    if (idle && !manual && !status && !found) db->reclaimed = looked;
    if (manual) {
        manual->status = status;
        if (status) (void)snprintf(manual->message, sizeof manual->message, "%s", velocity_error_message());
        manual->done = true;
        if (db->manual == manual) db->manual = NULL;
    } else {
        job_ended(db, &db->compaction_failure, status);
    }
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

velocity_status velocity_compact(velocity *db, const velocity_range *range) {
    velocity_range r = velocity_range_default();
    if (range) memcpy(&r, range, range->struct_size < sizeof r ? range->struct_size : sizeof r);
    if (r.prefix.size > VELOCITY_MAX_KEY_BYTES)
        return status_set(VELOCITY_INVALID, "the prefix is longer than a key can be");
    velocity_status status = velocity_flush(db);
    if (status) return status;
    uint8_t buffer[VELOCITY_MAX_KEY_BYTES];
    struct manual_compaction manual = {.to = range_to(&r, buffer)};
    if (r.start.data) manual.from = r.start;
    if (r.prefix.data && r.prefix.size && (!manual.from.data || slice_compare(r.prefix, manual.from) > 0))
        manual.from = r.prefix;
    env_mutex_lock(&db->mutex);
    while (db->manual && !atomic_load(&db->read_only)) room_wait(db);
    if (!db->manual) db->manual = &manual;
    while (!manual.done && !atomic_load(&db->read_only)) {
        compaction_schedule(db);
        room_wait(db);
    }
    while (db->compaction_queued && db->manual == &manual) room_wait(db); /* the job may still look at it */
    if (db->manual == &manual) db->manual = NULL;
    status = manual.done ? manual.status : VELOCITY_READ_ONLY;
    if (status) (void)status_set(status, "%s", manual.done ? manual.message : db->read_only_message);
    env_mutex_unlock(&db->mutex);
    return status;
}
