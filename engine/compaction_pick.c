/*
 * compaction_pick.c - see compaction_pick.h.
 *
 * Shape: level 0 holds flushed buffers. The last level holds almost everything; above it stand as many levels as it
 * takes to keep one merge of level 0 within LEVEL_RATIO times its size, each LEVEL_RATIO times smaller than the next. A
 * small database is level 0 and the last level. Level 0 goes, whole, into the first of those levels ("base").
 *
 * What range deletes cover goes without being read where they cover whole tables (reclaim.c); where they cover a part,
 * when that is merged. For that a merge reaches as far as the range deletes in it, if this does not make it much
 * larger.
 */
#include "compaction_pick.h"

#include "array.h"
#include "expiry_reclaim.h"
#include "slice.h"
#include "value_reclaim.h"

enum {
    LEVEL_RATIO = 10,
    IDLE_REWRITE_FACTOR =
        32,                 /* when idle, tables are merged down if that rewrites at most this many times their size */
    SMALL_BYTES = 64 << 20, /* ... or at most this much */
    TOMBSTONE_BYTES = 1024, /* ... where each delete, which scans have to step over, counts as so much */
    TOMBSTONE_PULL = 4,     /* a table of deletes alone is picked as one with an overlap so many times smaller */
    PORTION_TABLES = 16,    /* of the last level, that a compaction which somebody asked for merges at once */
};

/* ---- the shape ------------------------------------------------------------------------------------------------------
 */

/* Where values stand apart, a full write buffer makes a table that is much smaller than itself. */
static uint64_t level0_batch_bytes(const velocity *db, const struct version *version) {
    uint64_t bytes = database_buffer_bytes(db) / 2 * db->options.compaction_threshold, tables = 0;
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

struct reclaim_state compaction_reclaim_state(velocity *db) {
    uint64_t generation = atomic_load(&db->figures.flushes) + atomic_load(&db->figures.compactions) +
                          atomic_load(&db->figures.trivial_moves); /* changes with every version */
    return (struct reclaim_state){generation, snapshot_oldest(db)};
}

/* The tables may hold what nobody sees any more; what a job that looked found nothing of is not looked for again. */
static bool may_reclaim(velocity *db, const struct version *version) {
    const struct level *last = &version->levels[LAST_LEVEL];
    bool holds = version->ranges != NULL;
    for (size_t i = 0; i < last->count && !holds; i++)
        holds = table_meta(last->tables[i])->tombstones || !table_meta(last->tables[i])->one_version;
    if (!holds) return false;
    struct reclaim_state now = compaction_reclaim_state(db);
    env_mutex_lock(&db->mutex);
    bool looked = db->reclaimed.generation == now.generation && db->reclaimed.oldest == now.oldest;
    env_mutex_unlock(&db->mutex);
    return !looked;
}

bool compaction_is_due(velocity *db, const struct version *version) {
    uint64_t targets[VELOCITY_LEVELS];
    (void)shape(db, version, targets);
    return version->levels[0].count >= db->options.compaction_threshold || fullest_level(version, targets) ||
           expiry_is_due(db, version) || value_reclaim_wanted(version, limit_is_reached(db));
}

bool compaction_idle_worthwhile(velocity *db, const struct version *version) {
    return idle_level(db, version) >= 0 || may_reclaim(db, version);
}

/* ---- picking
 * ------------------------------------------------------------------------------------------------------------ */

static velocity_status add_input(struct compaction_task *task, int level, struct table *table) {
    velocity_status status = array_reserve(task->inputs, task->input_capacity, task->input_count);
    if (status) return status;
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

static void start_anew(struct compaction_task *task) {
    env_free(task->inputs);
    *task = (struct compaction_task){0};
}

bool compaction_task_has(const struct compaction_task *task, const struct table *table) {
    for (size_t i = 0; i < task->input_count; i++)
        if (task->inputs[i].table == table) return true;
    return false;
}

static velocity_status add_level(struct compaction_task *task, const struct version *version, int level,
                                 velocity_slice from, velocity_slice to) {
    velocity_status status = VELOCITY_OK;
    for (size_t i = 0; i < version->levels[level].count && !status; i++) {
        struct table *table = version->levels[level].tables[i];
        if (table_overlaps(table, from, to) && !compaction_task_has(task, table))
            status = add_input(task, level, table);
    }
    return status;
}

uint64_t compaction_task_entries(const struct compaction_task *task) {
    uint64_t entries = 0;
    for (size_t i = 0; i < task->input_count; i++) entries += table_meta(task->inputs[i].table)->entries;
    return entries;
}

uint64_t compaction_task_bytes(const struct compaction_task *task, const struct reclaim *r) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < task->input_count; i++)
        if (!reclaim_whole(r, task->inputs[i].table)) bytes += table_meta(task->inputs[i].table)->file_bytes;
    return bytes;
}

/* What the range deletes among the inputs cover on the output level goes along, unless that is too much. */
static velocity_status reach_out(struct compaction_task *task, const struct version *version, const struct reclaim *r) {
    if (!task->reach.data || slice_compare(task->reach, task->to) <= 0) return VELOCITY_OK;
    struct compaction_task more = {.output_level = task->output_level};
    velocity_status status = add_level(&more, version, task->output_level, task->to, task->reach);
    uint64_t here = compaction_task_bytes(task, r), there = compaction_task_bytes(&more, r);
    env_free(more.inputs);
    if (status || (there > SMALL_BYTES && there > here)) return status;
    return add_level(task, version, task->output_level, task->from, task->reach);
}

static velocity_status pick_level0(struct compaction_task *task, const struct version *version, int base) {
    task->output_level = base;
    velocity_status status = VELOCITY_OK;
    for (int l = 0; l < base && !status; l++) /* levels above the base that are still in use go along */
        status = add_level(task, version, l, velocity_bytes(NULL, 0), velocity_bytes(NULL, 0));
    return status ? status : add_level(task, version, base, task->from, task->to);
}

/* Of the tables that overlap the keys, both inclusive; of no level 0. */
static uint64_t bytes_between(const struct level *level, velocity_slice from, velocity_slice to) {
    uint64_t bytes = 0;
    for (size_t i = level_find(level, from); i < level->count && table_overlaps(level->tables[i], from, to); i++)
        bytes += table_meta(level->tables[i])->file_bytes;
    return bytes;
}

/* The table that overlaps least with the level below, for its size. */
static velocity_status pick_from_level(struct compaction_task *task, const struct version *version, int level) {
    const struct level *from = &version->levels[level], *below = &version->levels[level + 1];
    struct table *best = NULL;
    double least = 0;
    for (size_t i = 0; i < from->count; i++) {
        const struct table_meta *meta = table_meta(from->tables[i]);
        uint64_t bytes = bytes_between(below, meta->smallest, meta->largest);
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
static velocity_status pick_condemned(const velocity *db, struct compaction_task *task, const struct version *version,
                                      int base, const struct reclaim *r) {
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
static velocity_status pick_range(struct compaction_task *task, const struct version *version, velocity_slice from,
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
static velocity_status pick_covered(struct compaction_task *task, const struct version *version,
                                    const struct reclaim *r) {
    velocity_status status = VELOCITY_OK;
    for (int l = 0; l < VELOCITY_LEVELS && version->ranges; l++)
        for (size_t i = 0; i < version->levels[l].count && !status; i++)
            if (reclaim_whole(r, version->levels[l].tables[i]))
                status = add_input(task, l, version->levels[l].tables[i]);
    task->drop = task->covered = task->input_count > 0;
    return status;
}

/* All that one range delete can cover, so that the merge leaves it out. Left without inputs where that is too much. */
static velocity_status pick_range_delete(velocity *db, struct compaction_task *task, const struct version *version,
                                         const struct reclaim *r, const struct range_tombstone *range) {
    uint64_t limit = db->options.table_bytes * 4, upper = 0;
    if (limit < SMALL_BYTES) limit = SMALL_BYTES;
    velocity_status status = pick_range(task, version, range->start, range->end);
    if (status) return status;
    for (size_t i = 0; i < task->input_count; i++)
        if (task->inputs[i].level < LAST_LEVEL) upper += table_meta(task->inputs[i].table)->file_bytes;
    uint64_t merged = compaction_task_bytes(task, r);
    if (merged <= limit || merged / IDLE_REWRITE_FACTOR <= upper) return VELOCITY_OK;
    start_anew(task);
    return VELOCITY_OK;
}

/* When idle, and nothing else is to do: what is kept though nobody sees it any more. Each such merge leaves less of it.
 */
static velocity_status pick_unseen(velocity *db, struct compaction_task *task, const struct version *version,
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
static velocity_status pick_expired(struct compaction_task *task, const struct version *version, uint64_t now_ms) {
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

static velocity_status pick(velocity *db, const struct version *version, bool idle, const struct reclaim *r,
                            struct compaction_task *task) {
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

/* The table reaches over more of the next level than a portion is: written anew in pieces that do not, it can go down
 * piece by piece. */
static bool is_to_be_cut(const struct table *table, const struct level *below, uint64_t portion_bytes) {
    struct level_reach reach = {.below = below, .most_bytes = portion_bytes};
    level_reach_begin(&reach, table_meta(table)->smallest);
    return level_reach_is_over(&reach, table_meta(table)->largest);
}

/* Tables of one level, as many as make a portion with what they overlap on the next one; but one at least. */
static velocity_status add_portion(struct compaction_task *task, const struct version *version, size_t i,
                                   uint64_t portion_bytes, struct compaction_range *asked) {
    static const struct level none;
    const struct level *level = &version->levels[asked->level];
    const struct level *below = asked->level < LAST_LEVEL ? level + 1 : &none;
    velocity_slice first = table_meta(level->tables[i])->smallest;
    uint64_t bytes = 0;
    velocity_status status = VELOCITY_OK;
    for (; i < level->count && !status && table_overlaps(level->tables[i], asked->from, asked->to); i++) {
        const struct table_meta *meta = table_meta(level->tables[i]);
        bytes += meta->file_bytes;
        if (task->input_count && bytes + bytes_between(below, first, meta->largest) > portion_bytes) break;
        status = add_input(task, asked->level, level->tables[i]);
        asked->portion_to = meta->largest;
    }
    return status;
}

/* Of one level, and what they overlap on the next one: the tables behind the cursor. The last level's alone, in the
 * end: they may still hold what nobody sees. */
static velocity_status pick_portion(struct compaction_task *task, const struct version *version, uint64_t portion_bytes,
                                    struct compaction_range *asked) {
    const struct level *level = &version->levels[asked->level];
    velocity_slice from = asked->cursor.data ? asked->cursor : asked->from;
    size_t i = from.data ? level_find(level, from) : 0;
    bool last = asked->level == LAST_LEVEL;
    if (i == level->count || !table_overlaps(level->tables[i], from, asked->to)) {
        asked->more = !last;
        if (last) return VELOCITY_OK;
        asked->level++;
        asked->cursor = velocity_bytes(NULL, 0);
        return pick_portion(task, version, portion_bytes, asked);
    }
    velocity_status status = add_portion(task, version, i, portion_bytes, asked);
    task->output_level = last ? LAST_LEVEL : asked->level + 1;
    if (status || last) return status;
    if (task->input_count == 1 && is_to_be_cut(level->tables[i], level + 1, portion_bytes)) {
        task->rewrite = true;
        task->reach_bytes = portion_bytes;
        task->output_level = asked->level;
        asked->portion_to = velocity_bytes(NULL, 0); /* the pieces are what comes next */
        return VELOCITY_OK;
    }
    return add_level(task, version, asked->level + 1, task->from, task->to);
}

/* What the range overlaps. */
struct extent {
    uint64_t bytes, entries;
    uint64_t steps; /* entries that going down level by level passes by */
    bool level0;
};

static struct extent extent_of(const struct version *version, const struct compaction_range *asked, int base) {
    struct extent e = {0};
    uint64_t entries[VELOCITY_LEVELS] = {0};
    for (int l = 0; l < VELOCITY_LEVELS; l++)
        for (size_t i = 0; i < version->levels[l].count; i++) {
            struct table *table = version->levels[l].tables[i];
            if (!table_overlaps(table, asked->from, asked->to)) continue;
            e.bytes += table_meta(table)->file_bytes;
            entries[l] += table_meta(table)->entries;
            e.level0 |= l == 0;
        }
    for (int l = 0; l < VELOCITY_LEVELS; l++) {
        e.entries += entries[l];
        if (l == 0 || l >= base) e.steps += e.entries + (l < LAST_LEVEL ? entries[l == 0 ? base : l + 1] : 0);
    }
    return e;
}

static velocity_status pick_asked(velocity *db, struct compaction_task *task, const struct version *version,
                                  const struct reclaim *r, struct compaction_range *asked) {
    uint64_t targets[VELOCITY_LEVELS], portion_bytes = PORTION_TABLES * db->options.table_bytes;
    int base = shape(db, version, targets);
    if (base == LAST_LEVEL) base--; /* what level 0 holds is to come down to it in portions, too */
    struct extent extent = extent_of(version, asked, base);
    velocity_status status = VELOCITY_OK;
    if (!asked->more && extent.bytes <= portion_bytes) { /* but for what the tables of level 0 reach */
        asked->entries = extent.entries;
        status = pick_range(task, version, asked->from, asked->to);
        if (status || compaction_task_bytes(task, r) <= portion_bytes) return status;
        start_anew(task);
    }
    if (!asked->more) asked->entries = extent.steps;
    asked->more = true;
    if (asked->level == 0 && !extent.level0) asked->level = 1;
    if (asked->level > 0) return pick_portion(task, version, portion_bytes, asked);
    task->reach_bytes = portion_bytes;
    return pick_level0(task, version, base);
}

void compaction_portion_next(struct compaction_range *asked) {
    if (asked->level == 0) {
        asked->level = 1;
        return;
    }
    if (!asked->portion_to.data) return;
    size_t size = asked->portion_to.size;
    memcpy(asked->key, asked->portion_to.data, size);
    asked->key[size] = 0; /* the first key behind it */
    asked->cursor = velocity_bytes(asked->key, size + 1);
}

velocity_status compaction_pick(velocity *db, const struct version *version, struct compaction_range *asked, bool idle,
                                const struct reclaim *r, struct compaction_task *task) {
    if (asked) return pick_asked(db, task, version, r, asked);
    velocity_status status = pick(db, version, idle, r, task);
    return status || task->drop || task->rewrite ? status : reach_out(task, version, r);
}
