/* repair_tables.c - see repair_tables.h. */
#include "repair_tables.h"

#include "array.h"
#include "placement.h"
#include "run.h"
#include "slice.h"
#include "status.h"
#include "table_walk.h"

#include <stdlib.h>

enum {
    BUFFER_BYTES = 32 << 20, /* of logs, before they become a table */
    READ_AHEAD_BYTES = 256 * 1024,
    LEVEL_UNKNOWN = -1,
};

/* ---- the list -----------------------------------------------------------------------------------------------------
 */

/* Takes the table over, also where it fails. */
static velocity_status add(struct repair *r, int level, struct table *table, bool is_new) {
    velocity_status status = array_reserve(r->tables, r->capacity, r->count);
    if (status)
        table_release(table);
    else
        r->tables[r->count++] = (struct repair_table){level, table, is_new};
    return status;
}

/* Takes the meta over. */
static velocity_status add_meta(struct repair *r, int level, struct table_meta *meta, bool is_new) {
    struct survey *s = r->survey;
    struct table *table;
    velocity_status status = table_new(s->env, s->files, s->path, s->database_id, s->keys, meta, &table);
    if (status) {
        table_meta_clear(meta);
        return status;
    }
    return add(r, level, table, is_new);
}

static void remove_file(struct repair *r, uint64_t number) {
    char *path = survey_path(r->survey, FILE_TABLE, number);
    if (path && env_unlink(r->survey->env, path)) { /* nothing refers to it: the next open removes it */
    }
    env_free(path);
}

void repair_clear(struct repair *r, bool keep_files) {
    table_builder_abandon(r->builder);
    for (size_t i = 0; i < r->count; i++) {
        if (!r->tables[i].table) continue;
        if (r->tables[i].is_new && !keep_files) remove_file(r, table_meta(r->tables[i].table)->number);
        table_release(r->tables[i].table);
    }
    env_free(r->tables);
    memtable_free(r->buffer);
    memset(r, 0, sizeof *r);
}

/* ---- writing ------------------------------------------------------------------------------------------------------
 */

static velocity_status finish_table(struct repair *r) {
    if (!r->builder) return VELOCITY_OK;
    struct table_meta meta;
    table_builder *builder = r->builder;
    r->builder = NULL;
    velocity_status status = table_builder_finish(builder, &meta);
    return status ? status : add_meta(r, r->builder_level, &meta, true);
}

static velocity_status write_entry(struct repair *r, int level, const struct entry *e) {
    struct survey *s = r->survey;
    if (!r->builder) {
        struct table_builder_options options = {.env = s->env,
                                                .folder = s->path,
                                                .database_id = {s->database_id[0], s->database_id[1]},
                                                .number = r->next_number++,
                                                .block_bytes = s->options.block_bytes,
                                                .keys = s->keys,
                                                .compression = s->options.compression,
                                                .false_positive_rate = s->options.bloom_false_positive_rate};
        velocity_status status = table_builder_new(&options, &r->builder);
        if (status) return status;
        r->builder_level = level;
    }
    return table_builder_add(r->builder, e);
}

/* ---- tables --------------------------------------------------------------------------------------------------------
 */

struct rewriting {
    struct repair *repair;
    int level;
};

static velocity_status rewrite_entry(void *arg, const struct entry *e) {
    struct rewriting *w = arg;
    return write_entry(w->repair, w->level, e);
}

static velocity_status rewrite(struct repair *r, struct survey_table *t) {
    struct survey *s = r->survey;
    const struct table_meta *meta = table_meta(t->table);
    struct rewriting w = {r, t->level};
    uint64_t had = t->whole_meta ? meta->entries : t->contents.entries;
    velocity_status status = t->unusable || t->missing ? VELOCITY_OK : survey_walk(s, t, false, rewrite_entry, &w);
    if (!status) status = finish_table(r);
    if (status) return status;
    char *path = survey_path(s, FILE_TABLE, meta->number);
    if (!path) return VELOCITY_NO_MEMORY;
    if (t->missing || t->unusable || t->contents.entries == 0) {
        s->report->tables_lost++;
        report_add(s->report, VELOCITY_FINDING_LOST, path, 0, "the table is lost");
    } else {
        s->report->tables_rewritten++;
        s->report->entries_saved += t->contents.entries;
        report_add(s->report, VELOCITY_FINDING_SAVED, path, 0, "written anew as %08llu.sst with %llu of %llu entries",
                   (unsigned long long)r->next_number - 1, (unsigned long long)t->contents.entries,
                   (unsigned long long)(had < t->contents.entries ? t->contents.entries : had));
    }
    env_free(path);
    return report_status(s->report);
}

static velocity_status keep(struct repair *r, const struct survey_table *t) {
    struct table_meta meta;
    velocity_status status = table_meta_copy(&meta, t->whole_meta ? table_meta(t->table) : &t->contents);
    if (!status && !t->whole_meta) {
        velocity_table_info info;
        status = table_info(t->table, &info);
        if (status) {
            table_meta_clear(&meta);
            return status;
        }
        meta.file_bytes = info.file_bytes;
        meta.raw_bytes = info.raw_bytes;
        meta.tombstones = info.tombstones;
        meta.one_version = info.one_version;
        status = value_uses_copy(&meta.values, &table_meta(t->table)->values);
        if (status) {
            table_meta_clear(&meta);
            return status;
        }
    }
    return status ? status : add_meta(r, t->level, &meta, false);
}

/* ---- logs ---------------------------------------------------------------------------------------------------------
 */

static velocity_status flush_buffer(struct repair *r) {
    struct memtable_cursor cursor;
    struct entry e;
    velocity_status status = VELOCITY_OK;
    if (!r->buffer) return status;
    memtable_cursor_init(&cursor, r->buffer);
    for (memtable_cursor_first(&cursor); memtable_cursor_valid(&cursor) && !status; memtable_cursor_next(&cursor)) {
        memtable_cursor_entry(&cursor, &e);
        status = write_entry(r, r->survey->lossy ? LEVEL_UNKNOWN : 0, &e);
    }
    memtable_free(r->buffer);
    r->buffer = NULL;
    if (!status) status = finish_table(r);
    /* Should this repair be ended, the next one takes the table for all of the log up to its last sequence. */
    if (!status && r->survey->lossy) status = env_sync_directory(r->survey->env, r->survey->path);
    return status;
}

static velocity_status take_operation(void *arg, const struct entry *e) {
    struct repair *r = arg;
    if (!r->buffer && !(r->buffer = memtable_new())) return VELOCITY_NO_MEMORY;
    velocity_status status = memtable_reserve(r->buffer, 1, e->key.size + e->value.size);
    if (status) return status;
    memtable_insert(r->buffer, e);
    r->survey->report->entries_saved++;
    return memtable_bytes(r->buffer) >= BUFFER_BYTES ? flush_buffer(r) : VELOCITY_OK;
}

velocity_status repair_gather(struct repair *r) {
    struct survey *s = r->survey;
    velocity_status status = VELOCITY_OK;
    for (size_t i = 0; i < s->table_count && !status; i++)
        status = s->tables[i].damaged ? rewrite(r, &s->tables[i]) : keep(r, &s->tables[i]);
    if (!status) status = survey_logs(s, false, take_operation, r);
    return status ? status : flush_buffer(r);
}

/* ---- merging ------------------------------------------------------------------------------------------------------
 */

static int by_smallest(const void *a, const void *b) {
    return slice_compare(table_meta(*(struct table *const *)a)->smallest,
                         table_meta(*(struct table *const *)b)->smallest);
}

/* Of each key the newest version, which all others are hidden behind; and every range delete, once. */
static velocity_status write_merged(struct repair *r, struct merge *m) {
    uint8_t *key = env_alloc(VELOCITY_MAX_KEY_BYTES);
    size_t key_bytes = 0;
    uint64_t last_range = 0; /* the sequence of the key's range delete before */
    bool has_version = false;
    if (!key) return VELOCITY_NO_MEMORY;
    velocity_status status = VELOCITY_OK;
    for (merge_first(m); merge_valid(m) && !status; merge_next(m)) {
        const struct entry *e = merge_entry(m);
        bool new_key = !key_bytes || !slice_equal(e->key, velocity_bytes(key, key_bytes));
        bool is_range = e->kind == ENTRY_RANGE_DELETE;
        if (new_key) has_version = false, last_range = 0;
        if (is_range ? e->sequence == last_range : has_version) continue;
        if (is_range)
            last_range = e->sequence;
        else
            has_version = true;
        memcpy(key, e->key.data, e->key.size);
        key_bytes = e->key.size;
        if (new_key && r->builder && table_builder_bytes(r->builder) >= r->survey->options.table_bytes)
            status = finish_table(r);
        if (!status) status = write_entry(r, LEVEL_UNKNOWN, e);
    }
    if (!status) status = m->status;
    env_free(key);
    return status ? status : finish_table(r);
}

/* Merges the tables into new ones. Those that do not overlap with one another make one run. */
static velocity_status merge_tables(struct repair *r, struct table **tables, size_t count) {
    struct table_read read = {.fill_cache = false};
    struct merge m;
    size_t run_count = 0;
    struct run *runs = env_alloc(count * sizeof *runs);
    struct table **sorted = env_alloc(count * sizeof *sorted);
    bool *taken = env_alloc_zeroed(count * sizeof *taken);
    velocity_status status = runs && sorted && taken ? VELOCITY_OK : VELOCITY_NO_MEMORY;
    if (!status) qsort(tables, count, sizeof *tables, by_smallest);
    for (size_t used = 0; !status && used < count;) {
        size_t first = used;
        for (size_t i = 0; i < count; i++) {
            if (taken[i]) continue;
            const struct table_meta *last = used > first ? table_meta(sorted[used - 1]) : NULL;
            if (last && slice_compare(last->largest, table_meta(tables[i])->smallest) >= 0) continue;
            taken[i] = true;
            sorted[used++] = tables[i];
        }
        run_init_tables(&runs[run_count++], sorted + first, used - first, &read, READ_AHEAD_BYTES);
    }
    if (!status) status = merge_init(&m, runs, run_count);
    if (!status) {
        status = write_merged(r, &m);
        merge_clear(&m);
    }
    for (size_t i = 0; i < run_count; i++) run_clear(&runs[i]);
    env_free(runs);
    env_free(sorted);
    env_free(taken);
    return status;
}

/* Merges table `first` with all that it overlaps with, and those in turn. */
static velocity_status merge_around(struct repair *r, size_t first) {
    struct table_meta range = *table_meta(r->tables[first].table);
    size_t count = 0;
    struct table **inputs = env_alloc(r->count * sizeof *inputs);
    if (!inputs) return VELOCITY_NO_MEMORY;
    bool *in = env_alloc_zeroed(r->count * sizeof *in);
    for (bool more = in != NULL; more;) {
        more = false;
        for (size_t i = 0; i < r->count; i++) {
            if (in[i] || !r->tables[i].table) continue;
            const struct table_meta *meta = table_meta(r->tables[i].table);
            if (!placement_overlap(meta, &range)) continue;
            if (slice_compare(meta->smallest, range.smallest) < 0) range.smallest = meta->smallest;
            if (slice_compare(meta->largest, range.largest) > 0) range.largest = meta->largest;
            in[i] = more = true;
            inputs[count++] = r->tables[i].table;
        }
    }
    size_t before = r->count;
    velocity_status status = in ? merge_tables(r, inputs, count) : VELOCITY_NO_MEMORY;
    if (!status) status = env_sync_directory(r->survey->env, r->survey->path); /* before any of the inputs goes */
    for (size_t i = 0; i < before && !status; i++) {
        if (!in[i]) continue;
        if (r->tables[i].is_new) remove_file(r, table_meta(r->tables[i].table)->number);
        table_release(r->tables[i].table);
        r->tables[i].table = NULL;
    }
    env_free(inputs);
    env_free(in);
    return status;
}

/* Whether all have a place; else *unplaced is one that has none. */
static velocity_status try_places(struct repair *r, bool *all, size_t *unplaced) {
    struct placement *places = env_alloc((r->count + 1) * sizeof *places);
    size_t count = 0;
    if (!places) return VELOCITY_NO_MEMORY;
    for (size_t i = 0; i < r->count; i++)
        if (r->tables[i].table) places[count++] = (struct placement){table_meta(r->tables[i].table), i, 0};
    *all = placement_choose(places, count) == 0;
    for (size_t i = 0; i < count; i++) {
        r->tables[places[i].index].level = places[i].level;
        if (places[i].level < 0) *unplaced = places[i].index;
    }
    env_free(places);
    return VELOCITY_OK;
}

velocity_status repair_place(struct repair *r) {
    if (!r->survey->lossy) return VELOCITY_OK;
    for (;;) {
        bool all;
        size_t unplaced = 0;
        velocity_status status = try_places(r, &all, &unplaced);
        if (status || all) return status;
        status = merge_around(r, unplaced);
        if (status) return status;
    }
}
