/*
 * repair.c - saves what is intact of a damaged database. See velocity.h.
 *
 *     survey -> new tables (repair_tables.c) -> copies of damaged files in lost/ -> new log, new manifest, CURRENT
 *            -> files that nothing refers to any more are removed
 *
 * The renaming of CURRENT is the one moment at which anything changes; whatever ends the repair before or behind it, it
 * can be run again.
 */
#include "repair_tables.h"
#include "status.h"
#include "verify.h"

#include <stdio.h>

enum {
    COPY_BYTES = 256 * 1024,
    SECTOR_BYTES = 4096,
    READ_ATTEMPTS = 3,
    LOG_BYTES = 1 << 20,
};

/* New writes are far above what was lost: more operations than write buffers hold. */
#define SEQUENCES_SKIPPED (UINT64_C(1) << 32)

/* ---- lost/ ---------------------------------------------------------------------------------------------------------
 */

/* What the disk does not give up is zero in the copy. */
static velocity_status copy_piece(env_file *from, env_file *to, uint8_t *buffer, size_t size, uint64_t offset) {
    size_t got = 0;
    velocity_status status = VELOCITY_IO;
    for (int attempt = 0; status == VELOCITY_IO && attempt < READ_ATTEMPTS; attempt++)
        status = env_read(from, buffer, size, offset, &got);
    for (size_t at = 0; status == VELOCITY_IO && at < size; at += SECTOR_BYTES) {
        size_t part = size - at < SECTOR_BYTES ? size - at : SECTOR_BYTES, read = 0;
        if (env_read(from, buffer + at, part, offset + at, &read)) memset(buffer + at, 0, part);
        got = size;
    }
    if (status && status != VELOCITY_IO) return status;
    return got ? env_write(to, buffer, got, offset) : VELOCITY_OK;
}

static velocity_status copy_file(env *e, const char *from_path, const char *to_path) {
    env_file *from = NULL, *to = NULL;
    uint64_t size = 0;
    uint8_t *buffer = env_alloc(COPY_BYTES);
    velocity_status status = buffer ? env_open_read(e, from_path, &from) : VELOCITY_NO_MEMORY;
    if (!status) status = env_size(from, &size);
    if (!status) status = env_create(e, to_path, &to);
    for (uint64_t at = 0; at < size && !status; at += COPY_BYTES)
        status = copy_piece(from, to, buffer, size - at < COPY_BYTES ? (size_t)(size - at) : COPY_BYTES, at);
    if (!status) status = env_sync(to);
    velocity_status closed = env_close(to);
    if (!status) status = closed;
    closed = env_close(from);
    env_free(buffer);
    return status ? status : closed;
}

static velocity_status keep_original(struct repair *r, const char *folder, const struct survey_file *file) {
    struct survey *s = r->survey;
    char name[64];
    char *from = survey_path(s, file->kind, file->number), *to = file_path(folder, file->kind, file->number);
    if (to && file->kind == FILE_CURRENT) { /* there may be one of an earlier repair */
        (void)snprintf(name, sizeof name, "CURRENT-%08llu", (unsigned long long)r->next_number);
        env_free(to);
        to = file_path_named(folder, name);
    }
    velocity_status status = from && to ? copy_file(s->env, from, to) : VELOCITY_NO_MEMORY;
    if (!status) {
        report_add(s->report, VELOCITY_FINDING_SAVED, from, 0, "the original is kept in lost/");
        status = report_status(s->report);
    }
    env_free(from);
    env_free(to);
    return status;
}

static bool is_damaged(const struct survey *s, const struct survey_file *file) {
    switch (file->kind) {
    case FILE_TABLE:
        for (size_t i = 0; i < s->table_count; i++)
            if (table_meta(s->tables[i].table)->number == file->number) return s->tables[i].damaged;
        return false;
    case FILE_VALUES: {
        const struct survey_values *v = survey_values(s, file->number);
        return v && v->damaged;
    }
    case FILE_LOG:
        for (size_t i = 0; i < s->segment_count; i++)
            if (s->segments[i].number == file->number) return s->logs_damaged;
        for (size_t i = 0; i < s->history_count; i++)
            if (s->history[i].number == file->number) return s->history_damaged;
        return false;
    default: return s->lossy || !s->current_is_whole;
    }
}

static velocity_status keep_originals(struct repair *r) {
    struct survey *s = r->survey;
    char *folder = file_path_named(s->path, "lost");
    bool any = false;
    velocity_status status = folder ? VELOCITY_OK : VELOCITY_NO_MEMORY;
    for (size_t i = 0; i < s->found_count && !status; i++) {
        if (!is_damaged(s, &s->found[i])) continue;
        if (!any) status = env_make_directory(s->env, folder);
        if (!status) status = keep_original(r, folder, &s->found[i]);
        any = true;
    }
    if (!status && any) status = env_sync_directory(s->env, folder);
    env_free(folder);
    return status;
}

/* ---- putting it in force ------------------------------------------------------------------------------------------
 */

static velocity_status build_version(const struct repair *r, struct version **out) {
    struct version_change *changes = env_alloc((r->count + 1) * sizeof *changes);
    if (!changes) return VELOCITY_NO_MEMORY;
    size_t count = 0;
    for (size_t i = 0; i < r->count; i++)
        if (r->tables[i].table) changes[count++] = (struct version_change){r->tables[i].level, r->tables[i].table};
    velocity_status status = survey_version(r->survey, changes, count, out);
    env_free(changes);
    return status;
}

/* *tried: CURRENT may name the new manifest, whatever is answered. */
static velocity_status put_in_force(struct repair *r, bool *tried) {
    struct survey *s = r->survey;
    struct version *version = NULL;
    struct log *log = NULL;
    manifest *m = NULL;
    uint64_t log_number = r->next_number++, number = r->next_number++;
    uint64_t last = s->last_sequence + SEQUENCES_SKIPPED;
    struct manifest_edit edit = {.next_number = r->next_number,
                                 .min_log = log_number,
                                 .start_log = log_number,
                                 .last_sequence = last,
                                 .resume_sequence = last + 1,
                                 .clock_ms = s->clock_ms};
    velocity_status status = build_version(r, &version);
    if (!status) status = env_sync_directory(s->env, s->path);
    if (!status) status = log_create(s->env, s->path, s->database_id, s->keys, log_number, LOG_BYTES, true, &log);
    *tried = !status;
    if (!status) status = manifest_create(s->env, s->path, s->database_id, s->keys, number, version, &edit, &m);
    s->report->last_sequence = last;
    manifest_close(m);
    log_close(log);
    version_release(version);
    return status;
}

static bool refers_to(const struct table_meta *meta, uint64_t number) {
    size_t at = value_uses_find(&meta->values, number);
    return at < meta->values.count && meta->values.items[at].file == number;
}

static bool is_in_force(const struct repair *r, const struct survey_file *file) {
    if (file->kind == FILE_CURRENT) return true;
    for (size_t i = 0; file->kind == FILE_TABLE && i < r->count; i++)
        if (r->tables[i].table && table_meta(r->tables[i].table)->number == file->number) return true;
    for (size_t i = 0; file->kind == FILE_VALUES && i < r->count; i++)
        if (r->tables[i].table && refers_to(table_meta(r->tables[i].table), file->number)) return true;
    return false;
}

/* As an opening would: what can't be removed now, one removes. */
static void remove_superfluous(const struct repair *r) {
    struct survey *s = r->survey;
    for (size_t i = 0; i < s->found_count; i++) {
        if (is_in_force(r, &s->found[i])) continue;
        char *path = survey_path(s, s->found[i].kind, s->found[i].number);
        if (path && env_unlink(s->env, path)) { /* see above */
        }
        env_free(path);
    }
}

/* ---- the whole ------------------------------------------------------------------------------------------------------
 */

static velocity_status look(struct survey *s) {
    velocity_status status = survey_tables(s);
    if (!status) status = survey_logs(s, true, NULL, NULL);
    if (!status) status = survey_history(s);
    if (!status && !s->report->damages) {
        status = survey_order(s);
        if (s->report->damages) s->lossy = true; /* no level that the manifest gives can be trusted */
    }
    s->report->last_sequence = s->last_sequence;
    if (status || !s->report->damages || s->has_database_id) return status;
    return status_set(VELOCITY_CORRUPT, "%s: no table, log or manifest is readable: nothing can be saved", s->path);
}

static velocity_status mend(struct survey *s) {
    struct repair r = {.survey = s, .next_number = s->state.next_number ? s->state.next_number : 1};
    for (size_t i = 0; i < s->found_count; i++)
        if (s->found[i].number >= r.next_number) r.next_number = s->found[i].number + 1;
    bool tried = false;
    velocity_status status = repair_gather(&r);
    if (!status) status = repair_place(&r);
    if (!status) status = keep_originals(&r);
    if (!status) status = put_in_force(&r, &tried);
    if (!status) {
        s->report->repaired = true;
        remove_superfluous(&r);
    }
    repair_clear(&r, tried);
    return status;
}

velocity_status database_repair(env *e, const char *path, const velocity_check_options *options,
                                velocity_report *report) {
    struct survey s;
    velocity_report found = velocity_report_default();
    velocity_status status = survey_begin(&s, e, path, options, &found);
    if (!status) status = look(&s);
    if (!status && found.damages) status = mend(&s);
    survey_end(&s);
    report_deliver(&found, report);
    return status;
}

velocity_status velocity_repair_with(const char *path, const velocity_check_options *options, velocity_report *report) {
    if (!path || !*path) return status_set(VELOCITY_INVALID, "velocity_repair needs a path");
    return database_repair(env_posix(), path, options, report);
}

velocity_status velocity_repair(const char *path, velocity_report *report) {
    return velocity_repair_with(path, NULL, report);
}
