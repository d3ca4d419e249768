/*
 * checkpoint.c - a copy of the whole database beside its life. See velocity.h.
 *
 *   1. Under install_mutex: the version, what of the log it needs, and the visible sequence fit together. The version
 *      keeps its files, a pin each of the logs.
 *   2. In `path`.tmp-checkpoint: tables and value files are linked (they are never modified); of each log what is
 * committed up to that sequence is copied, checked on the way, and synced. Linked files are synced already.
 *   3. A manifest names the files, seals the copied logs and starts behind the sequence with a log that holds nothing;
 *      its CURRENT makes the folder a database.
 *   4. The folder gets its name; the folder above is synced.
 *
 * The lock file of the copy is held all the while, so that a second checkpoint to the same path keeps away, and nobody
 * opens the copy before it is safe. What a crash leaves is the temporary folder, which nobody takes for a database.
 *
 * Locks: install_mutex and mutex, only in step 1.
 */
#include "database_internal.h"
#include "log_reader.h"

#include <stdio.h>

enum { COPY_BYTES = 1 << 20 };

struct checkpoint {
    velocity *db;
    char *path;   /* without slashes at its end */
    char *folder; /* the temporary one */
    env_lock *lock;
    struct version *version;
    struct manifest_edit edit;
    uint64_t sequence;
    struct history_pin *logs;
    size_t log_count;
    struct log_seal *seals; /* of those that hold anything */
};

/* ---- what belongs together --------------------------------------------------------------------------------------- */

static velocity_status pin_state(struct checkpoint *c) {
    velocity *db = c->db;
    env_mutex_lock(&db->install_mutex);
    install_numbers(db, NULL, &c->edit);
    atomic_store(&db->clock.shown, true); /* the source's own manifest has not been told the time */
    struct superversion *sv = superversion_acquire(db);
    c->version = sv->version;
    version_acquire(c->version);
    superversion_release(sv);
    /* First the sequence, then the list: history.h, invariant 4. Logs that recovery needs stay: only installs retire
     * them. */
    c->sequence = atomic_load_explicit(&db->visible_sequence, memory_order_acquire);
    velocity_status status = history_pin_from(db, c->edit.min_log, &c->logs, &c->log_count);
    env_mutex_unlock(&db->install_mutex);
    uint64_t newest = status ? 0 : c->logs[c->log_count - 1].number; /* may have come after the numbers */
    if (newest >= c->edit.next_number) c->edit.next_number = newest + 1;
    if (!status && !(c->seals = env_alloc(c->log_count * sizeof *c->seals))) status = VELOCITY_NO_MEMORY;
    return status;
}

/* ---- the temporary folder ---------------------------------------------------------------------------------------- */

static velocity_status remove_one(void *arg, const char *name) {
    const struct checkpoint *c = arg;
    if (strcmp(name, "LOCK") == 0) return VELOCITY_OK;
    char *path = file_path_named(c->folder, name);
    velocity_status status = path ? env_unlink(c->db->env, path) : VELOCITY_NO_MEMORY;
    env_free(path);
    return status;
}

static velocity_status make_paths(struct checkpoint *c, const char *path) {
    static const char suffix[] = ".tmp-checkpoint";
    size_t size = strlen(path);
    while (size > 1 && path[size - 1] == '/') size--;
    c->path = env_alloc(size + 1);
    c->folder = env_alloc(size + sizeof suffix);
    if (!c->path || !c->folder) return VELOCITY_NO_MEMORY;
    memcpy(c->path, path, size);
    c->path[size] = '\0';
    memcpy(c->folder, path, size);
    memcpy(c->folder + size, suffix, sizeof suffix);
    return VELOCITY_OK;
}

/* Makes it, or takes over what an earlier attempt left. */
static velocity_status take_folder(struct checkpoint *c) {
    env *e = c->db->env;
    bool exists;
    velocity_status status = env_exists(e, c->path, &exists);
    if (!status && exists) status = status_set(VELOCITY_INVALID, "%s: a checkpoint needs a new folder", c->path);
    char *lock = status ? NULL : file_path_named(c->folder, "LOCK");
    if (!status && !lock) status = VELOCITY_NO_MEMORY;
    if (!status) status = env_make_directory(e, c->folder);
    if (status == VELOCITY_NOT_FOUND) status = VELOCITY_IO; /* the folder above */
    if (!status) status = env_lock_file(e, lock, &c->lock);
    env_free(lock);
    return status ? status : env_list(e, c->folder, remove_one, c);
}

/* After a failure. What can't be removed stays for the next checkpoint to the path. */
static void remove_folder(struct checkpoint *c) {
    env *e = c->db->env;
    char *lock = file_path_named(c->folder, "LOCK");
    velocity_status status = lock ? env_list(e, c->folder, remove_one, c) : VELOCITY_NO_MEMORY;
    if (!status) status = env_unlink(e, lock);
    if (!status && env_remove_directory(e, c->folder)) { /* see above */
    }
    env_free(lock);
}

/* ---- files --------------------------------------------------------------------------------------------------------
 */

/* [0, size) of an open file into a new one, synced. */
static velocity_status copy_bytes(env *e, env_file *from, const char *to, uint64_t size) {
    env_file *out = NULL;
    uint8_t *buffer = env_alloc(COPY_BYTES);
    velocity_status status = buffer ? env_create(e, to, &out) : VELOCITY_NO_MEMORY;
    for (uint64_t at = 0; at < size && !status;) {
        size_t part = size - at < COPY_BYTES ? (size_t)(size - at) : COPY_BYTES, got = 0;
        status = env_read(from, buffer, part, at, &got);
        if (!status && got < part)
            status = status_set(VELOCITY_CORRUPT, "%s: offset %llu: what it is copied from ends here", to,
                                (unsigned long long)(at + got));
        if (!status) status = env_write(out, buffer, part, at);
        at += part;
    }
    if (!status) status = env_sync(out);
    velocity_status closed = env_close(out);
    env_free(buffer);
    return status ? status : closed;
}

static velocity_status copy_file(env *e, const char *from, const char *to) {
    env_file *file = NULL;
    uint64_t size;
    velocity_status status = env_open_read(e, from, &file);
    if (!status) status = env_size(file, &size);
    if (!status) status = copy_bytes(e, file, to, size);
    velocity_status closed = env_close(file);
    if (status == VELOCITY_NOT_FOUND) status = VELOCITY_IO;
    return status ? status : closed;
}

static velocity_status link_file(const struct checkpoint *c, enum file_kind kind, uint64_t number) {
    env *e = c->db->env;
    char *from = file_path(c->db->path, kind, number), *to = file_path(c->folder, kind, number);
    velocity_status status = from && to ? env_link(e, from, to) : VELOCITY_NO_MEMORY;
    if (status == VELOCITY_UNSUPPORTED) status = copy_file(e, from, to);
    env_free(from);
    env_free(to);
    return status;
}

static velocity_status link_files(const struct checkpoint *c) {
    velocity_status status = VELOCITY_OK;
    for (int l = 0; l < VELOCITY_LEVELS; l++)
        for (size_t i = 0; i < c->version->levels[l].count && !status; i++)
            status = link_file(c, FILE_TABLE, table_meta(c->version->levels[l].tables[i])->number);
    for (size_t i = 0; i < c->version->value_count && !status; i++)
        status = link_file(c, FILE_VALUES, value_file_meta(c->version->values[i].file)->number);
    return status;
}

/* ---- logs ---------------------------------------------------------------------------------------------------------
 */

/* Where the groups end that hold nothing behind the checkpoint's sequence; all before is checked. */
static velocity_status find_end(const struct checkpoint *c, const struct history_pin *log, uint64_t *end) {
    struct log_reader reader = {.file = log->log->file, .path = log->log->path, .identity = log->log->identity};
    uint64_t last = log->last < c->sequence ? log->last : c->sequence, at = FILE_HEADER_BYTES, reached = log->after;
    velocity_status status = VELOCITY_OK;
    while (reached < last && !status) {
        struct log_group group;
        uint64_t bytes = log->end - at < COPY_BYTES ? log->end - at : COPY_BYTES;
        if (at >= log->end || !log_reader_peek(&reader, at, &group))
            status = log_reader_fetch(&reader, at, log->end, bytes, &group);
        if (status) break;
        at += log_group_bytes(group.payload_bytes);
        reached = group.first_sequence + group.count - 1;
    }
    *end = at;
    log_reader_forget(&reader);
    return status;
}

static velocity_status copy_log(struct checkpoint *c, struct history_pin *log) {
    uint64_t end;
    velocity_status status = history_open(c->db, log);
    if (!status) status = find_end(c, log, &end);
    if (status || end == FILE_HEADER_BYTES) return status;
    char *to = file_path(c->folder, FILE_LOG, log->number);
    status = to ? copy_bytes(c->db->env, log->log->file, to, end) : VELOCITY_NO_MEMORY;
    env_free(to);
    if (!status) c->seals[c->edit.seal_count++] = (struct log_seal){.number = log->number, .end = end};
    return status;
}

static velocity_status copy_logs(struct checkpoint *c) {
    velocity_status status = VELOCITY_OK;
    for (size_t i = 0; i < c->log_count && !status; i++) status = copy_log(c, &c->logs[i]);
    return status;
}

/* ---- making it a database -----------------------------------------------------------------------------------------
 */

static velocity_status write_manifest(struct checkpoint *c) {
    velocity *db = c->db;
    struct manifest_edit *edit = &c->edit;
    uint64_t log_number = edit->next_number++, number = edit->next_number++;
    struct log *log;
    velocity_status status =
        log_create(db->env, c->folder, db->database_id, db->keys, log_number, ENV_PAGE_BYTES, true, &log);
    if (status) return status;
    log_close(log);
    edit->start_log = log_number;
    edit->seals = c->seals;
    edit->min_log = edit->seal_count ? c->seals[0].number : log_number;
    if (edit->seal_count == 0) edit->last_sequence = c->sequence;
    edit->resume_sequence = c->sequence + 1;
    edit->weak_writes = false; /* all of it is on disk */
    manifest *m;
    status = manifest_create(db->env, c->folder, db->database_id, db->keys, number, c->version, edit, &m);
    if (!status) manifest_close(m);
    return status;
}

static velocity_status make(struct checkpoint *c) {
    velocity_status status = take_folder(c);
    if (!status) status = pin_state(c);
    if (!status) status = link_files(c);
    if (!status) status = copy_logs(c);
    if (!status) status = write_manifest(c); /* syncs the folder */
    if (!status) status = env_rename(c->db->env, c->folder, c->path);
    if (!status) return file_sync_parent(c->db->env, c->path);
    if (!c->lock) return status;
    char message[2 * MESSAGE_BYTES]; /* the first failure is the one to report */
    (void)snprintf(message, sizeof message, "%s", velocity_error_message());
    remove_folder(c);
    return status_set(status, "%s", message);
}

velocity_status velocity_checkpoint(velocity *db, const char *path) {
    if (!path || !*path) return status_set(VELOCITY_INVALID, "velocity_checkpoint needs a path");
    struct checkpoint c = {.db = db};
    atomic_fetch_add(&db->live_handles, 1);
    velocity_status status = make_paths(&c, path);
    if (!status) status = make(&c);
    if (c.lock) env_unlock_file(db->env, c.lock);
    for (size_t i = 0; i < c.log_count && c.logs; i++) history_unpin(db, &c.logs[i]);
    if (c.version) version_release(c.version);
    table_files_sweep(db->shared->files);
    env_free(c.logs);
    env_free(c.seals);
    env_free(c.path);
    env_free(c.folder);
    atomic_fetch_sub(&db->live_handles, 1);
    return status;
}
