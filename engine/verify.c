/*
 * verify.c - reads everything that there is of a closed database and tells what is damaged; and one table by itself.
 * See velocity.h; how it is read: survey.h, table_walk.h.
 */
#include "verify.h"

#include "database.h"
#include "status.h"
#include "survey.h"
#include "table_walk.h"

static velocity_status verdict(const velocity_report *report) {
    if (!report->damages) return VELOCITY_OK;
    for (size_t i = 0; i < report->finding_count; i++) {
        const velocity_finding *f = &report->findings[i];
        if (f->kind != VELOCITY_FINDING_DAMAGE) continue;
        return status_set(VELOCITY_CORRUPT, "%s: offset %llu: %s (and %llu more)", f->file,
                          (unsigned long long)f->offset, f->what, (unsigned long long)(report->damages - 1));
    }
    return status_set(VELOCITY_CORRUPT, "%llu places are damaged", (unsigned long long)report->damages);
}

velocity_status database_verify(env *e, const char *path, const velocity_check_options *options,
                                velocity_report *report) {
    struct survey s;
    velocity_report found = velocity_report_default();
    velocity_status status = survey_begin(&s, e, path, options, &found);
    if (!status) status = survey_tables(&s);
    if (!status) status = survey_logs(&s, true, NULL, NULL);
    if (!status) status = survey_history(&s);
    /* Tables that can't be read whole have no order. */
    if (!status && !found.damages) status = survey_order(&s);
    found.last_sequence = s.last_sequence;
    survey_end(&s);
    if (!status) status = verdict(&found);
    report_deliver(&found, report);
    return status;
}

velocity_status velocity_verify_with(const char *path, const velocity_check_options *options, velocity_report *report) {
    if (!path || !*path) return status_set(VELOCITY_INVALID, "velocity_verify needs a path");
    return database_verify(env_posix(), path, options, report);
}

velocity_status velocity_verify(const char *path, velocity_report *report) {
    return velocity_verify_with(path, NULL, report);
}

/* ---- one table by itself -------------------------------------------------------------------------------------------
 */

struct reading {
    velocity_report report;
    const char *path;
    velocity_table_visitor visitor;
    velocity_check_options check;
    uint64_t done_bytes, file_bytes;
};

static velocity_status read_block(void *arg, const velocity_block *block) {
    struct reading *r = arg;
    r->report.blocks++;
    return r->visitor.block ? r->visitor.block(r->visitor.arg, block) : VELOCITY_OK;
}

static velocity_status read_entry(void *arg, const struct entry *e) {
    struct reading *r = arg;
    r->report.entries++;
    if (e->sequence > r->report.last_sequence) r->report.last_sequence = e->sequence;
    if (!r->visitor.entry) return VELOCITY_OK;
    velocity_entry shown = {.key = e->key,
                            .value = e->value,
                            .sequence = e->sequence,
                            .expires_at_ms = e->expires_at_ms,
                            .flags = e->flags,
                            .kind = (velocity_entry_kind)e->kind};
    return r->visitor.entry(r->visitor.arg, &shown);
}

static velocity_status read_damage(void *arg, const struct table_loss *loss) {
    struct reading *r = arg;
    report_add_message(&r->report, VELOCITY_FINDING_DAMAGE, r->path);
    if (loss->entries) report_add_stale(&r->report, loss->after, loss->upto);
    return report_status(&r->report);
}

static void read_progress(void *arg, uint64_t bytes) {
    struct reading *r = arg;
    r->done_bytes += bytes;
    if (r->check.progress) r->check.progress(r->check.arg, r->done_bytes, r->file_bytes);
}

static velocity_status read_whole(struct reading *r, struct table *table) {
    struct table_visitor visitor = {r, read_block, read_entry, read_damage, read_progress};
    velocity_table_info info;
    velocity_status status = VELOCITY_OK;
    if (r->visitor.table) {
        status = table_info(table, &info);
        if (!status)
            status = r->visitor.table(r->visitor.arg, &info);
        else if (status == VELOCITY_CORRUPT || status == VELOCITY_IO)
            status = VELOCITY_OK; /* the walk tells of it */
    }
    return status ? status : table_walk(table, false, &visitor);
}

/* Its header alone says what a file is that no manifest describes. */
static velocity_status identify(struct reading *r, env *e, struct table_meta *meta, uint64_t database_id[2]) {
    env_file *file = NULL;
    struct file_header header;
    velocity_status status = env_open_read(e, r->path, &file);
    if (status == VELOCITY_NOT_FOUND) return status_set(status, "%s: there is no such file", r->path);
    if (!status) status = env_size(file, &r->file_bytes);
    if (!status) status = file_header_read(file, FILE_TABLE, r->path, &header);
    velocity_status closed = env_close(file);
    if (status || closed) return status ? status : closed;
    *meta = (struct table_meta){.number = header.number, .file_bytes = r->file_bytes};
    memcpy(meta->uid, header.uid, sizeof meta->uid);
    memcpy(database_id, header.database_id, sizeof header.database_id);
    r->report.files = r->report.tables = 1;
    r->report.bytes = r->file_bytes;
    return VELOCITY_OK;
}

static velocity_status read_table(struct reading *r, env *e) {
    struct table_meta meta;
    uint64_t database_id[2];
    struct table *table = NULL;
    cache *cache = NULL;
    table_files *files = NULL;
    key_ring *keys = NULL;
    velocity_options options;
    velocity_status status = database_take_options(r->check.database, &options);
    if (!status) status = identify(r, e, &meta, database_id);
    if (status == VELOCITY_CORRUPT) {
        report_add_message(&r->report, VELOCITY_FINDING_DAMAGE, r->path);
        return report_status(&r->report);
    }
    if (!status) status = key_ring_new(&options, &keys);
    if (!status) status = key_ring_bind(keys, database_id);
    if (!status && (cache = cache_new(1 << 20, 1))) files = table_files_new(cache, 1);
    if (!status)
        status = files ? table_new_at(e, files, r->path, database_id, keys, &meta, &table) : VELOCITY_NO_MEMORY;
    if (!status) status = read_whole(r, table);
    if (table) table_release(table);
    epoch_drain();
    table_files_free(files);
    cache_free(cache);
    epoch_drain();
    key_ring_free(keys);
    return status;
}

velocity_status velocity_table_read(const char *file, const velocity_check_options *options,
                                    const velocity_table_visitor *visitor, velocity_report *report) {
    struct reading r = {.report = velocity_report_default(), .path = file, .check = velocity_check_options_default()};
    if (!file || !*file) return status_set(VELOCITY_INVALID, "velocity_table_read needs a file");
    if (options)
        memcpy(&r.check, options, options->struct_size < sizeof r.check ? options->struct_size : sizeof r.check);
    if (visitor)
        memcpy(&r.visitor, visitor, visitor->struct_size < sizeof r.visitor ? visitor->struct_size : sizeof r.visitor);
    velocity_status status = report_begin(&r.report);
    if (!status) status = read_table(&r, env_posix());
    if (!status) status = verdict(&r.report);
    report_deliver(&r.report, report);
    return status;
}
