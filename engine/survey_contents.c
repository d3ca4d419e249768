/* survey_contents.c - the contents of tables and logs, read whole. See survey.h. */
#include "run.h"
#include "slice.h"
#include "status.h"
#include "survey.h"
#include "table_internal.h"
#include "table_walk.h"

enum { READ_AHEAD_BYTES = 256 * 1024 };

/* ---- tables -------------------------------------------------------------------------------------------------------
 */

struct walking {
    struct survey *survey;
    struct survey_table *table;
    bool report; /* tell of damage and count blocks and entries; else only note which keys are concerned */
    velocity_status (*entry)(void *arg, const struct entry *e);
    void *arg;
    struct table_meta contents;
    size_t largest_capacity;
};

static velocity_status note_damage(void *arg, const struct table_loss *loss) {
    struct walking *w = arg;
    const struct table_meta *meta = &w->table->table->meta;
    velocity_report *report = w->survey->report;
    w->table->damaged = true;
    if (w->report) report_add_message(report, VELOCITY_FINDING_DAMAGE, w->table->table->path);
    if (loss->entries) report_add_stale(report, loss->after.data ? loss->after : meta->smallest, loss->upto);
    return report_status(report);
}

static velocity_status note_block(void *arg, const velocity_block *block) {
    struct walking *w = arg;
    (void)block;
    w->survey->report->blocks += w->report;
    return VELOCITY_OK;
}

static velocity_status keep_key(velocity_slice *to, size_t *capacity, velocity_slice key) {
    if (key.size > *capacity || !to->data) {
        void *bigger = env_realloc((void *)to->data, key.size * 2);
        if (!bigger) return VELOCITY_NO_MEMORY;
        to->data = bigger;
        *capacity = key.size * 2;
    }
    memcpy((void *)to->data, key.data, key.size);
    to->size = key.size;
    return VELOCITY_OK;
}

static velocity_status note_entry(void *arg, const struct entry *e) {
    struct walking *w = arg;
    struct table_meta *c = &w->contents;
    size_t first_capacity = 0;
    velocity_status status = VELOCITY_OK;
    if (e->sequence > w->survey->last_sequence) w->survey->last_sequence = e->sequence;
    if (e->kind == ENTRY_VALUE_REFERENCE) { /* without its value it is lost */
        bool readable;
        status = survey_read_value(w->survey, e, w->report, &readable);
        if (!readable) w->table->damaged = true;
        if (status || !readable) return status;
    }
    if (c->entries++ == 0) status = keep_key(&c->smallest, &first_capacity, e->key);
    if (!status) status = keep_key(&c->largest, &w->largest_capacity, e->key);
    if (c->entries == 1 || e->sequence < c->min_sequence) c->min_sequence = e->sequence;
    if (e->sequence > c->max_sequence) c->max_sequence = e->sequence;
    w->survey->report->entries += w->report;
    return status || !w->entry ? status : w->entry(w->arg, e);
}

static void note_progress(void *arg, uint64_t bytes) {
    struct walking *w = arg;
    survey_progress(w->survey, bytes);
}

velocity_status survey_walk(struct survey *s, struct survey_table *t, bool report,
                            velocity_status (*entry)(void *arg, const struct entry *e), void *arg) {
    struct walking w = {.survey = s, .table = t, .report = report, .entry = entry, .arg = arg};
    struct table_visitor visitor = {&w, note_block, note_entry, note_damage, note_progress};
    velocity_status status = table_walk(t->table, t->whole_meta, &visitor);
    w.contents.number = t->table->meta.number;
    memcpy(w.contents.uid, t->table->meta.uid, sizeof w.contents.uid);
    table_meta_clear(&t->contents);
    t->contents = w.contents;
    return status;
}

static velocity_status survey_table(struct survey *s, struct survey_table *t) {
    struct table_meta *meta = &t->table->meta;
    velocity_report *report = s->report;
    report->tables++;
    if (t->unusable) return VELOCITY_OK; /* told already */
    if (t->missing) {
        t->damaged = true;
        report_add(report, VELOCITY_FINDING_DAMAGE, t->table->path, 0, "the table is missing");
        /* Range deletes that it held covered keys behind its last, too. */
        report_add_stale(report, meta->smallest, meta->tombstones ? velocity_bytes(NULL, 0) : meta->largest);
        return report_status(report);
    }
    velocity_status status = survey_walk(s, t, true, NULL, NULL);
    if (!status && !s->lossy && t->contents.max_sequence > s->state.last_sequence) {
        t->damaged = true;
        report_add(report, VELOCITY_FINDING_DAMAGE, t->table->path, 0,
                   "it holds sequence %llu, and the manifest knows of none behind %llu",
                   (unsigned long long)t->contents.max_sequence, (unsigned long long)s->state.last_sequence);
        status = report_status(report);
    }
    return status;
}

velocity_status survey_tables(struct survey *s) {
    velocity_status status = VELOCITY_OK;
    for (size_t i = 0; i < s->table_count && !status; i++) status = survey_table(s, &s->tables[i]);
    return status;
}

/* ---- logs ---------------------------------------------------------------------------------------------------------
 */

struct replaying {
    struct survey *survey;
    bool report;
    velocity_status (*apply)(void *arg, const struct entry *e);
    void *arg;
};

static velocity_status note_group(void *arg, uint64_t log_number, const struct log_group *group,
                                  const uint8_t *payload) {
    struct replaying *r = arg;
    struct survey *s = r->survey;
    const uint8_t *p = payload, *end = payload + group->payload_bytes;
    (void)log_number;
    struct entry e;
    for (uint32_t i = 0; i < group->count; i++)
        if (!(p = log_operation_decode(p, end, &e))) return VELOCITY_CORRUPT;
    if (p != end) return VELOCITY_CORRUPT;
    if (group->wall_ms > s->clock_ms) s->clock_ms = group->wall_ms;
    s->report->log_groups += r->report;
    s->report->log_operations += r->report ? group->count : 0;
    if (group->count && group->first_sequence + group->count - 1 > s->last_sequence)
        s->last_sequence = group->first_sequence + group->count - 1;
    survey_progress(s, group->payload_bytes * UINT64_C(2));
    velocity_status status = VELOCITY_OK;
    p = payload;
    for (uint32_t i = 0; r->apply && i < group->count && !status; i++) {
        p = log_operation_decode(p, end, &e);
        e.sequence = group->first_sequence + i;
        status = r->apply(r->arg, &e);
    }
    return status;
}

static velocity_status note_log_damage(void *arg, const struct log_damage *damage) {
    struct replaying *r = arg;
    struct survey *s = r->survey;
    if (!r->report) return VELOCITY_OK;
    char *path = survey_path(s, FILE_LOG, damage->number);
    if (!path) return VELOCITY_NO_MEMORY;
    s->logs_damaged = true;
    report_add_message(s->report, VELOCITY_FINDING_DAMAGE, path);
    /* Nobody knows which keys these were. */
    if (damage->behind > damage->first) report_add_stale(s->report, velocity_bytes(NULL, 0), velocity_bytes(NULL, 0));
    env_free(path);
    return report_status(s->report);
}

/*
 * Up to where the tables hold everything. Without a whole manifest whole tables tell: each flush makes one. What is
 * damaged tells nothing: it may be what a flush, or a repair, was writing when it was ended.
 */
static uint64_t flushed_sequence(const struct survey *s) {
    uint64_t last = s->state.last_sequence;
    for (size_t i = 0; s->lossy && i < s->table_count; i++) {
        const struct survey_table *t = &s->tables[i];
        if (!t->damaged && t->contents.max_sequence > last) last = t->contents.max_sequence;
        if (t->whole_meta && !t->missing && t->table->meta.max_sequence > last) last = t->table->meta.max_sequence;
    }
    return last;
}

velocity_status survey_logs(struct survey *s, bool report, velocity_status (*apply)(void *arg, const struct entry *e),
                            void *arg) {
    struct replaying r = {s, report, apply, arg};
    struct log_replay replay = {.env = s->env,
                                .folder = s->path,
                                .keys = s->keys,
                                .next_sequence = flushed_sequence(s) + 1,
                                .apply = note_group,
                                .arg = &r};
    memcpy(replay.database_id, s->database_id, sizeof replay.database_id);
    return log_salvage(&replay, s->segments, s->segment_count, note_log_damage, &r);
}

static velocity_status note_history_group(void *arg, uint64_t log_number, const struct log_group *group,
                                          const uint8_t *payload) {
    struct replaying r = {.survey = ((struct replaying *)arg)->survey};
    return note_group(&r, log_number, group, payload);
}

/* Nothing is lost with it but the history. */
static velocity_status note_history_damage(void *arg, const struct log_damage *damage) {
    struct replaying *r = arg;
    char *path = survey_path(r->survey, FILE_LOG, damage->number);
    if (!path) return VELOCITY_NO_MEMORY;
    r->survey->history_damaged = true;
    report_add_message(r->survey->report, VELOCITY_FINDING_DAMAGE, path);
    env_free(path);
    return report_status(r->survey->report);
}

velocity_status survey_history(struct survey *s) {
    struct replaying r = {.survey = s};
    velocity_status status = VELOCITY_OK;
    for (size_t i = 0; i < s->history_count && !status; i++) {
        struct log_replay replay = {.env = s->env,
                                    .folder = s->path,
                                    .keys = s->keys,
                                    .next_sequence = s->history[i].begins_with,
                                    .apply = note_history_group,
                                    .arg = &r};
        memcpy(replay.database_id, s->database_id, sizeof replay.database_id);
        status = log_salvage(&replay, &s->history[i], 1, note_history_damage, &r);
    }
    return status;
}

/* ---- the order of versions across tables ------------------------------------------------------------------------- */

struct ordering {
    struct survey *survey;
    struct table **tables; /* by level, and on a level in the order of the runs */
    struct run *runs;      /* newest first: each table of level 0, then the levels */
    size_t run_count;
    uint8_t *key;
    size_t key_bytes, key_capacity;
    uint64_t sequence;
    const struct run *run; /* of the entry before */
};

static velocity_status told(struct survey *s, const struct table *t, const char *what) {
    report_add(s->report, VELOCITY_FINDING_DAMAGE, t->path, 0, "%s", what);
    return report_status(s->report);
}

/* On a level but 0 the tables are disjoint. */
static velocity_status check_level(struct survey *s, const struct level *level) {
    velocity_status status = VELOCITY_OK;
    for (size_t i = 1; i < level->count && !status; i++)
        if (slice_compare(table_meta(level->tables[i - 1])->largest, table_meta(level->tables[i])->smallest) >= 0)
            status = told(s, level->tables[i], "its keys overlap with those of another table of the level");
    return status;
}

static velocity_status check_entry(struct ordering *o, const struct run *run) {
    const struct entry *e = &run->entry;
    bool same = o->run && slice_equal(e->key, velocity_bytes(o->key, o->key_bytes));
    velocity_status status = VELOCITY_OK;
    if (same && e->sequence == o->sequence)
        status = told(o->survey, run->tables[run->table_at], "a version of a key stands on another table too");
    else if (same && run < o->run)
        status = told(o->survey, run->tables[run->table_at], "an older version of a key stands above a newer one");
    if (!same && !status) {
        if (e->key.size > o->key_capacity) {
            void *bigger = env_realloc(o->key, e->key.size * 2);
            if (!bigger) return VELOCITY_NO_MEMORY;
            o->key = bigger;
            o->key_capacity = e->key.size * 2;
        }
        memcpy(o->key, e->key.data, e->key.size);
        o->key_bytes = e->key.size;
    }
    o->sequence = e->sequence;
    o->run = run;
    survey_progress(o->survey, (e->key.size + e->value.size) / 2); /* about what is stored of it */
    return status;
}

static velocity_status check_merge(struct ordering *o) {
    struct merge m;
    velocity_status status = merge_init(&m, o->runs, o->run_count);
    if (status) return status;
    uint64_t before = o->survey->report->damages;
    for (merge_first(&m); merge_valid(&m) && !status; merge_next(&m)) {
        status = check_entry(o, m.heap[0]);
        if (o->survey->report->damages > before + VELOCITY_REPORT_FINDINGS) break;
    }
    if (!status) status = m.status;
    merge_clear(&m);
    return status;
}

velocity_status survey_order(struct survey *s) {
    struct version_change *changes = env_alloc_zeroed((s->table_count + 1) * sizeof *changes);
    struct ordering o = {.survey = s, .runs = env_alloc((s->table_count + 1) * sizeof *o.runs)};
    struct version *version = NULL;
    struct table_read read = {.fill_cache = false};
    velocity_status status = changes && o.runs ? VELOCITY_OK : VELOCITY_NO_MEMORY;
    for (size_t i = 0; i < s->table_count && !status; i++)
        changes[i] = (struct version_change){s->tables[i].level, s->tables[i].table};
    if (!status) status = survey_version(s, changes, s->table_count, &version);
    for (int l = 0; l < VELOCITY_LEVELS && !status; l++) {
        const struct level *level = &version->levels[l];
        if (l > 0) status = check_level(s, level);
        for (size_t i = 0; l == 0 && i < level->count; i++)
            run_init_tables(&o.runs[o.run_count++], &level->tables[i], 1, &read, READ_AHEAD_BYTES);
        if (l > 0 && level->count)
            run_init_tables(&o.runs[o.run_count++], level->tables, level->count, &read, READ_AHEAD_BYTES);
    }
    if (!status) status = check_merge(&o);
    for (size_t i = 0; i < o.run_count; i++) run_clear(&o.runs[i]);
    version_release(version);
    env_free(changes);
    env_free(o.runs);
    env_free(o.key);
    return status;
}
