/*
 * survey_values.c - the value files of a database, and the records that its tables refer to. See survey.h. What nothing
 * refers to any more is not read: nobody misses it.
 */
#include "coding.h"
#include "status.h"
#include "survey.h"

#include <stdlib.h>

enum { READ_ATTEMPTS = 3 }; /* an error of the disk that passes is no damage */

static velocity_status note_damage(struct survey *s, struct survey_values *v) {
    char *path = survey_path(s, FILE_VALUES, v->number);
    if (!path) return VELOCITY_NO_MEMORY;
    v->damaged = true;
    report_add_message(s->report, VELOCITY_FINDING_DAMAGE, path);
    env_free(path);
    return report_status(s->report);
}

/* ---- which there are -----------------------------------------------------------------------------------------------
 */

static velocity_status try_to_identify(struct survey *s, const struct survey_file *found,
                                       struct value_file_meta *meta) {
    char *path = survey_path(s, FILE_VALUES, found->number);
    env_file *file = NULL;
    struct file_header header;
    uint8_t record[VALUE_RECORD_HEADER_BYTES];
    velocity_status status = path ? env_open_read(s->env, path, &file) : VELOCITY_NO_MEMORY;
    if (!status) status = file_header_read(file, FILE_VALUES, path, &header);
    *meta = (struct value_file_meta){.number = found->number, .file_bytes = found->bytes};
    if (!status) memcpy(meta->uid, header.uid, sizeof meta->uid);
    for (uint64_t at = FILE_HEADER_BYTES; !status && at < found->bytes; meta->records++) {
        size_t got = 0;
        status = env_read(file, record, sizeof record, at, &got);
        if (got < sizeof record) break;
        at += value_record_size(record);
    }
    velocity_status closed = env_close(file);
    env_free(path);
    return status ? status : closed;
}

/* What a file is of which no readable manifest knows: its header says it, and the sizes of its records. */
static velocity_status identify(struct survey *s, const struct survey_file *found, struct value_file_meta *meta) {
    velocity_status status = VELOCITY_IO;
    for (int attempt = 0; status == VELOCITY_IO && attempt < READ_ATTEMPTS; attempt++)
        status = try_to_identify(s, found, meta);
    return status;
}

/* A file that was cut short counts with what there is of it. */
static velocity_status add(struct survey *s, struct value_file_meta meta) {
    struct survey_values *v = &s->values[s->value_count];
    const struct survey_file *found = survey_find(s, FILE_VALUES, meta.number);
    bool is_short = found && found->bytes < meta.file_bytes && found->bytes > FILE_HEADER_BYTES;
    if (is_short) meta.file_bytes = found->bytes;
    velocity_status status = value_file_new(s->env, s->files, s->path, s->database_id, s->keys, &meta, &v->file);
    if (status) return status;
    v->number = meta.number;
    s->value_count++;
    status = VELOCITY_IO;
    for (int attempt = 0; status == VELOCITY_IO && attempt < READ_ATTEMPTS; attempt++)
        status = value_file_ensure_loaded(v->file);
    if (!status && is_short) {
        char *path = survey_path(s, FILE_VALUES, meta.number);
        if (path)
            (void)status_set(VELOCITY_CORRUPT, "%s: offset %llu: the file ends here, and had more", path,
                             (unsigned long long)meta.file_bytes);
        env_free(path);
        return path ? note_damage(s, v) : VELOCITY_NO_MEMORY;
    }
    if (status != VELOCITY_CORRUPT && status != VELOCITY_IO) return status;
    v->unusable = true;
    return note_damage(s, v);
}

static bool manifest_knows(const struct survey *s, uint64_t number) {
    return number_map_find(&s->state.value_places, number) != NUMBER_MAP_NONE;
}

static int by_number(const void *a, const void *b) {
    const struct survey_values *x = a, *y = b;
    return x->number < y->number ? -1 : x->number > y->number;
}

velocity_status survey_gather_values(struct survey *s) {
    s->values = env_alloc_zeroed((s->state.value_count + s->found_count + 1) * sizeof *s->values);
    if (!s->values) return VELOCITY_NO_MEMORY;
    velocity_status status = VELOCITY_OK;
    for (size_t i = 0; i < s->state.value_count && !status; i++) status = add(s, s->state.values[i]);
    for (size_t i = 0; i < s->found_count && !status; i++) {
        const struct survey_file *f = &s->found[i];
        if (f->kind != FILE_VALUES || manifest_knows(s, f->number)) continue;
        struct value_file_meta meta;
        status = s->lossy ? identify(s, f, &meta) : survey_note_leftover(s, f);
        if (status == VELOCITY_CORRUPT || status == VELOCITY_IO) { /* told of where something refers to it */
            status = VELOCITY_OK;
        } else if (!status && s->lossy) {
            status = add(s, meta);
        }
    }
    if (s->value_count) qsort(s->values, s->value_count, sizeof *s->values, by_number);
    return status;
}

struct survey_values *survey_values(const struct survey *s, uint64_t number) {
    struct survey_values wanted = {.number = number};
    return s->value_count ? bsearch(&wanted, s->values, s->value_count, sizeof wanted, by_number) : NULL;
}

velocity_status survey_version(const struct survey *s, const struct version_change *tables, size_t count,
                               struct version **out) {
    struct value_file **files = env_alloc((s->value_count + 1) * sizeof *files);
    if (!files) return VELOCITY_NO_MEMORY;
    struct version_edit edit = {.add = tables, .add_count = count, .add_values = files};
    for (size_t i = 0; i < s->value_count; i++)
        if (!s->values[i].unusable) files[edit.add_value_count++] = s->values[i].file;
    velocity_status status = version_new(NULL, &edit, out);
    env_free(files);
    return status;
}

/* ---- what tables refer to ------------------------------------------------------------------------------------------
 */

velocity_status survey_read_value(struct survey *s, const struct entry *e, bool report, bool *readable) {
    struct value_reference reference = {0};
    struct value_record record;
    uint8_t *bytes = NULL;
    struct survey_values *v = NULL;
    if (value_reference_decode(e->value, &reference)) v = survey_values(s, reference.file);
    *readable = false;
    velocity_status status = VELOCITY_IO;
    for (int attempt = 0; v && !v->unusable && status == VELOCITY_IO && attempt < READ_ATTEMPTS; attempt++)
        status = value_file_read(v->file, reference, e->key, e->sequence, &bytes, &record);
    env_free(bytes);
    if (report) survey_progress(s, value_record_bytes(reference, e->key.size) * 2);
    *readable = !status;
    if (status != VELOCITY_CORRUPT && status != VELOCITY_IO) return status;
    if (report && v && !v->unusable) {
        status = note_damage(s, v);
    } else if (report && !v) {
        char *path = survey_path(s, FILE_VALUES, reference.file);
        if (!path) return VELOCITY_NO_MEMORY;
        report_add(s->report, VELOCITY_FINDING_DAMAGE, path, reference.offset,
                   "a value that a table refers to is lost");
        env_free(path);
        status = report_status(s->report);
    } else {
        status = VELOCITY_OK;
    }
    report_add_stale(s->report, e->key, e->key);
    return status ? status : report_status(s->report);
}
