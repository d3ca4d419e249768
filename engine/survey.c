/* survey.c - what is in the folder, and which of it counts. See survey.h. The contents are survey_contents.c's. */
#include "survey.h"

#include "array.h"
#include "database.h"
#include "status.h"
#include "table_internal.h"

#include <stdlib.h>

enum {
    CACHE_BYTES = 1 << 20, /* nothing is put into it; but tables need one */
    OPEN_FILES = 64,
    READ_ATTEMPTS = 3, /* an error of the disk that passes is no damage */
};

#define SURVEY_EVERYTHING velocity_bytes(NULL, 0), velocity_bytes(NULL, 0)

char *survey_path(const struct survey *s, enum file_kind kind, uint64_t number) {
    return file_path(s->path, kind, number);
}

void survey_progress(struct survey *s, uint64_t bytes) {
    enum { STEP_BYTES = 1 << 20 };
    uint64_t before = s->done_bytes / STEP_BYTES;
    s->done_bytes += bytes;
    if (s->check.progress && s->done_bytes / STEP_BYTES != before)
        s->check.progress(s->check.arg, s->done_bytes, s->total_bytes);
}

velocity_status survey_read_header(struct survey *s, const char *path, enum file_kind kind, struct file_header *out) {
    velocity_status status = VELOCITY_IO;
    for (int attempt = 0; status == VELOCITY_IO && attempt < READ_ATTEMPTS; attempt++) {
        env_file *file = NULL;
        status = env_open_read(s->env, path, &file);
        if (!status) status = file_header_read(file, kind, path, out);
        velocity_status closed = env_close(file);
        if (!status) status = closed;
    }
    return status;
}

/* Reports a damage of a file as a whole. */
static velocity_status damage_of(struct survey *s, enum file_kind kind, uint64_t number, const char *what) {
    char *path = survey_path(s, kind, number);
    if (!path) return VELOCITY_NO_MEMORY;
    report_add(s->report, VELOCITY_FINDING_DAMAGE, path, 0, "%s", what);
    env_free(path);
    return report_status(s->report);
}

/* ---- files --------------------------------------------------------------------------------------------------------
 */

static velocity_status note_file(void *arg, const char *name) {
    struct survey *s = arg;
    struct survey_file file = {0};
    if (strcmp(name, "CURRENT") == 0)
        file.kind = FILE_CURRENT;
    else if (!file_name_parse(name, &file.kind, &file.number))
        return VELOCITY_OK;
    velocity_status status = array_reserve(s->found, s->found_capacity, s->found_count);
    if (!status) s->found[s->found_count++] = file;
    return status;
}

static int by_kind_and_number(const void *a, const void *b) {
    const struct survey_file *x = a, *y = b;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

const struct survey_file *survey_find(const struct survey *s, enum file_kind kind, uint64_t number) {
    struct survey_file wanted = {.kind = kind, .number = number};
    return s->found_count ? bsearch(&wanted, s->found, s->found_count, sizeof wanted, by_kind_and_number) : NULL;
}

bool survey_has_file(const struct survey *s, enum file_kind kind, uint64_t number) {
    return survey_find(s, kind, number) != NULL;
}

static velocity_status measure_file(struct survey *s, struct survey_file *file) {
    char *path = survey_path(s, file->kind, file->number);
    env_file *opened = NULL;
    velocity_status status = path ? env_open_read(s->env, path, &opened) : VELOCITY_NO_MEMORY;
    if (!status) status = env_size(opened, &file->bytes);
    velocity_status closed = env_close(opened);
    env_free(path);
    s->report->files++;
    s->report->bytes += file->bytes;
    return status ? status : closed;
}

static velocity_status list_files(struct survey *s) {
    velocity_status status = env_list(s->env, s->path, note_file, s);
    if (status || !s->found_count) return status;
    qsort(s->found, s->found_count, sizeof *s->found, by_kind_and_number);
    for (size_t i = 0; i < s->found_count && !status; i++) status = measure_file(s, &s->found[i]);
    s->total_bytes = s->report->bytes * 2; /* each table is read twice: by itself, and beside the others */
    return status;
}

/* ---- CURRENT and the manifest ------------------------------------------------------------------------------------ */

/* Loads that manifest as far as it can be read. A damage is reported; manifest_number says whether it was of use. */
static velocity_status try_manifest(struct survey *s, uint64_t number) {
    char *path = survey_path(s, FILE_MANIFEST, number);
    velocity_status status = path ? VELOCITY_IO : VELOCITY_NO_MEMORY;
    for (int attempt = 0; status == VELOCITY_IO && attempt < READ_ATTEMPTS; attempt++)
        status = manifest_salvage(s->env, path, s->keys, &s->state);
    if (!status && s->has_database_id && memcmp(s->state.database_id, s->database_id, sizeof s->database_id) != 0) {
        manifest_state_clear(&s->state);
        status = status_set(VELOCITY_CORRUPT, "%s: offset 0: the file belongs to another database", path);
    }
    if (!status) {
        s->manifest_number = number;
        memcpy(s->database_id, s->state.database_id, sizeof s->database_id);
        s->has_database_id = true;
        if (s->state.damaged) {
            s->lossy = true;
            report_add(s->report, VELOCITY_FINDING_DAMAGE, path, 0, "records are damaged");
        }
        if (s->state.tail_bytes)
            report_add(s->report, VELOCITY_FINDING_NOTE, path, 0, "%llu bytes at the end hold no record",
                       (unsigned long long)s->state.tail_bytes);
    }
    if (status == VELOCITY_CORRUPT || status == VELOCITY_IO) {
        report_add_message(s->report, VELOCITY_FINDING_DAMAGE, path);
        status = VELOCITY_OK;
    }
    env_free(path);
    return status ? status : report_status(s->report);
}

static velocity_status load_manifest(struct survey *s) {
    uint64_t number = 0;
    velocity_status status = VELOCITY_IO;
    for (int attempt = 0; status == VELOCITY_IO && attempt < READ_ATTEMPTS; attempt++)
        status = manifest_current(s->env, s->path, s->database_id, &number);
    bool current = !status;
    s->has_database_id = s->current_is_whole = current;
    if (status == VELOCITY_NOT_FOUND) {
        status = damage_of(s, FILE_CURRENT, 0, "the file is missing");
    } else if (status == VELOCITY_CORRUPT || status == VELOCITY_IO) {
        char *path = survey_path(s, FILE_CURRENT, 0);
        if (!path) return VELOCITY_NO_MEMORY;
        report_add_message(s->report, VELOCITY_FINDING_DAMAGE, path);
        env_free(path);
        status = report_status(s->report);
    }
    if (!status && current) status = key_ring_bind(s->keys, s->database_id);
    if (!status && current) status = try_manifest(s, number);
    /* The newest is what CURRENT named, unless an opening was cut off: then that one is torn, or says the same. */
    for (size_t i = s->found_count; i-- > 0 && !status && !s->manifest_number;) {
        if (s->found[i].kind != FILE_MANIFEST || (current && s->found[i].number == number)) continue;
        status = try_manifest(s, s->found[i].number);
        if (current && s->manifest_number) s->lossy = true;
    }
    if (!s->manifest_number) s->lossy = true;
    return status;
}

/* ---- tables -------------------------------------------------------------------------------------------------------
 */

/* Takes over the meta. */
static velocity_status add_table(struct survey *s, int level, bool whole_meta, struct table_meta *meta) {
    struct survey_table *t = &s->tables[s->table_count];
    velocity_status status = table_new(s->env, s->files, s->path, s->database_id, s->keys, meta, &t->table);
    if (status) {
        table_meta_clear(meta);
        return status;
    }
    struct file_header identity = {.kind = FILE_TABLE};
    memcpy(identity.uid, t->table->meta.uid, sizeof identity.uid);
    t->table->seed = file_seed(&identity); /* also where the header can't be read */
    t->level = level;
    t->whole_meta = whole_meta;
    t->missing = !survey_has_file(s, FILE_TABLE, t->table->meta.number);
    s->table_count++;
    return VELOCITY_OK;
}

static bool manifest_knows(const struct survey *s, uint64_t number) {
    return number_map_find(&s->state.table_places, number) != NUMBER_MAP_NONE;
}

static bool manifest_removed(const struct survey *s, uint64_t number) {
    return number_map_find(&s->state.removed, number) != NUMBER_MAP_NONE;
}

/* By a file of a database of which neither CURRENT nor manifest can be read. */
static velocity_status identify(struct survey *s, const struct file_header *header) {
    memcpy(s->database_id, header->database_id, sizeof s->database_id);
    s->has_database_id = true;
    return key_ring_bind(s->keys, s->database_id);
}

/* A table of which no readable manifest knows: its own header says what it is. */
static velocity_status add_unlisted_table(struct survey *s, const struct survey_file *found) {
    char *path = survey_path(s, FILE_TABLE, found->number);
    struct file_header header;
    velocity_status status = path ? survey_read_header(s, path, FILE_TABLE, &header) : VELOCITY_NO_MEMORY;
    if (!status && !s->has_database_id) status = identify(s, &header);
    if (!status &&
        (header.number != found->number || memcmp(header.database_id, s->database_id, sizeof s->database_id) != 0))
        status = status_set(VELOCITY_CORRUPT, "%s: offset 0: the header is of another file", path);
    struct table_meta meta = {.number = found->number, .file_bytes = found->bytes};
    if (!status) memcpy(meta.uid, header.uid, sizeof meta.uid);
    if (!status && header.created_ms > s->clock_ms) s->clock_ms = header.created_ms;
    bool known = !status;
    if (status == VELOCITY_CORRUPT || status == VELOCITY_IO) {
        report_add_message(s->report, VELOCITY_FINDING_DAMAGE, path);
        report_add_stale(s->report, SURVEY_EVERYTHING);
        status = report_status(s->report);
    }
    env_free(path);
    if (status) return status;
    status = add_table(s, -1, false, &meta);
    if (!status) s->tables[s->table_count - 1].unusable = s->tables[s->table_count - 1].damaged = !known;
    return status;
}

velocity_status survey_note_leftover(struct survey *s, const struct survey_file *found) {
    char *path = survey_path(s, found->kind, found->number);
    if (!path) return VELOCITY_NO_MEMORY;
    report_add(s->report, VELOCITY_FINDING_NOTE, path, 0,
               "a leftover of %llu bytes, removed when the database is opened", (unsigned long long)found->bytes);
    env_free(path);
    survey_progress(s, found->bytes * 2);
    return report_status(s->report);
}

/* The manifest's last record may have been damaged rather than torn: then files that it accounted for are not there. */
static velocity_status suspect_tail(struct survey *s) {
    const struct manifest_state *state = &s->state;
    bool newborn = state->min_log == state->start_log && state->table_count == 0;
    bool missing = !newborn && !survey_has_file(s, FILE_LOG, state->min_log);
    for (size_t i = 0; i < state->table_count && !missing; i++)
        missing = !survey_has_file(s, FILE_TABLE, state->tables[i].meta.number);
    for (size_t i = 0; i < state->value_count && !missing; i++)
        missing = !survey_has_file(s, FILE_VALUES, state->values[i].number);
    if (!missing || !state->tail_bytes) return VELOCITY_OK;
    s->lossy = true;
    return damage_of(s, FILE_MANIFEST, s->manifest_number,
                     "the last record is damaged: it accounted for missing files");
}

static velocity_status gather_tables(struct survey *s) {
    s->tables = env_alloc_zeroed((s->state.table_count + s->found_count + 1) * sizeof *s->tables);
    if (!s->tables) return VELOCITY_NO_MEMORY;
    velocity_status status = suspect_tail(s);
    for (size_t i = 0; i < s->state.table_count && !status; i++) {
        struct table_meta meta;
        status = table_meta_copy(&meta, &s->state.tables[i].meta);
        if (!status) status = add_table(s, s->lossy ? -1 : s->state.tables[i].level, true, &meta);
    }
    for (size_t i = 0; i < s->found_count && !status; i++) {
        const struct survey_file *f = &s->found[i];
        if (f->kind != FILE_TABLE || manifest_knows(s, f->number)) continue;
        bool counts = s->lossy && !manifest_removed(s, f->number);
        status = counts ? add_unlisted_table(s, f) : survey_note_leftover(s, f);
    }
    return status;
}

/* ---- logs ---------------------------------------------------------------------------------------------------------
 */

static uint64_t seal_of(const struct survey *s, uint64_t number) {
    const struct log_seal *seal = manifest_seal(&s->state, number);
    return seal ? seal->end : 0;
}

static const struct log_retained *find_retained(const struct survey *s, uint64_t number) {
    for (size_t i = s->state.retained_count; i-- > 0;)
        if (s->state.retained[i].number == number) return &s->state.retained[i];
    return NULL;
}

/* Of a database that has nothing else left. */
static velocity_status identify_by_log(struct survey *s, uint64_t number) {
    char *path = survey_path(s, FILE_LOG, number);
    struct file_header header;
    velocity_status status = path ? survey_read_header(s, path, FILE_LOG, &header) : VELOCITY_NO_MEMORY;
    env_free(path);
    if (status == VELOCITY_CORRUPT || status == VELOCITY_IO) return VELOCITY_OK; /* told when its groups are read */
    return status ? status : identify(s, &header);
}

/* As an opening does; without a whole manifest all that may count do. */
static velocity_status gather_logs(struct survey *s) {
    s->segments = env_alloc_zeroed((s->found_count + 1) * sizeof *s->segments);
    s->history = env_alloc_zeroed((s->found_count + 1) * sizeof *s->history);
    if (!s->segments || !s->history) return VELOCITY_NO_MEMORY;
    velocity_status status = VELOCITY_OK;
    for (size_t i = 0; i < s->found_count && !status; i++) {
        const struct survey_file *f = &s->found[i];
        if (f->kind != FILE_LOG) continue;
        uint64_t sealed_end = seal_of(s, f->number);
        const struct log_retained *retained = find_retained(s, f->number);
        if (retained && f->number < s->state.min_log) {
            s->history[s->history_count++] = (struct log_segment){
                .number = f->number, .sealed_end = retained->end, .begins_with = retained->after + 1};
            continue;
        }
        if (f->number < s->state.min_log || (!sealed_end && f->number < s->state.start_log)) {
            status = survey_note_leftover(s, f);
            continue;
        }
        if (!s->has_database_id) status = identify_by_log(s, f->number);
        struct log_segment *segment = &s->segments[s->segment_count++];
        segment->number = f->number;
        segment->sealed_end = sealed_end;
        segment->sequence_may_skip = sealed_end || !s->manifest_number;
        if (f->number == s->state.start_log) segment->begins_with = s->state.resume_sequence;
    }
    for (size_t i = 0; i < s->state.seal_count && !status; i++) {
        uint64_t number = s->state.seals[i].number;
        if (number < s->state.min_log || survey_has_file(s, FILE_LOG, number)) continue;
        s->logs_damaged = true;
        report_add_stale(s->report, SURVEY_EVERYTHING);
        status = damage_of(s, FILE_LOG, number, "the log is missing");
    }
    bool newborn = s->state.min_log == s->state.start_log && s->segment_count == 0 && s->state.table_count == 0;
    bool sealed = seal_of(s, s->state.min_log) != 0; /* told above */
    if (status || newborn || sealed || s->lossy || survey_has_file(s, FILE_LOG, s->state.min_log)) return status;
    s->logs_damaged = true;
    report_add_stale(s->report, SURVEY_EVERYTHING);
    return damage_of(s, FILE_LOG, s->state.min_log, "the log is missing");
}

/* ---- begin and end -------------------------------------------------------------------------------------------------
 */

static velocity_status take_options(struct survey *s, const velocity_check_options *check) {
    s->check = velocity_check_options_default();
    if (check) memcpy(&s->check, check, check->struct_size < sizeof s->check ? check->struct_size : sizeof s->check);
    velocity_status status = database_take_options(s->check.database, &s->options);
    return status ? status : key_ring_new(&s->options, &s->keys);
}

static velocity_status take_lock(struct survey *s) {
    bool current = false;
    char *lock = file_path_named(s->path, "LOCK");
    velocity_status status = lock ? list_files(s) : VELOCITY_NO_MEMORY;
    for (size_t i = 0; i < s->found_count; i++) current |= s->found[i].kind != FILE_MANIFEST;
    if (status == VELOCITY_NOT_FOUND || (!status && !current))
        status = status_set(VELOCITY_NOT_FOUND, "%s: there is no database", s->path);
    if (!status) status = env_lock_file(s->env, lock, &s->lock);
    env_free(lock);
    return status;
}

velocity_status survey_begin(struct survey *s, env *e, const char *path, const velocity_check_options *check,
                             velocity_report *report) {
    memset(s, 0, sizeof *s);
    s->env = e;
    s->report = report;
    velocity_status status = take_options(s, check);
    if (!status) status = report_begin(report);
    if (!status && !(s->path = env_alloc(strlen(path) + 1))) status = VELOCITY_NO_MEMORY;
    if (status) return status;
    memcpy(s->path, path, strlen(path) + 1);
    status = take_lock(s);
    if (status) return status;
    s->cache = cache_new(CACHE_BYTES, 1);
    s->files = s->cache ? table_files_new(s->cache, OPEN_FILES) : NULL;
    if (!s->files) return VELOCITY_NO_MEMORY;
    status = load_manifest(s);
    if (!status) status = gather_tables(s);
    if (!status) status = survey_gather_values(s);
    if (!status) status = gather_logs(s);
    if (!status && s->lossy) report_add_stale(s->report, SURVEY_EVERYTHING);
    s->last_sequence = s->state.last_sequence;
    if (s->state.clock_ms > s->clock_ms) s->clock_ms = s->state.clock_ms;
    if (s->state.resume_sequence > s->last_sequence) s->last_sequence = s->state.resume_sequence;
    return status ? status : report_status(report);
}

void survey_end(struct survey *s) {
    for (size_t i = 0; i < s->table_count; i++) {
        table_meta_clear(&s->tables[i].contents);
        if (s->tables[i].table) table_release(s->tables[i].table);
    }
    for (size_t i = 0; i < s->value_count; i++) value_file_release(s->values[i].file);
    env_free(s->tables);
    env_free(s->values);
    env_free(s->segments);
    env_free(s->history);
    env_free(s->found);
    manifest_state_clear(&s->state);
    epoch_drain();
    table_files_free(s->files);
    cache_free(s->cache);
    epoch_drain();
    key_ring_free(s->keys);
    if (s->lock) env_unlock_file(s->env, s->lock);
    env_free(s->path);
    memset(s, 0, sizeof *s);
}
