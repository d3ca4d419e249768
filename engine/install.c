/*
 * install.c - putting a new version in force: first in the manifest, synced, then for readers. See database_internal.h.
 */
#include "database_internal.h"

enum { MANIFEST_REWRITE_BYTES = 4 << 20 };

void database_table_options(velocity *db, uint64_t number, struct table_builder_options *out) {
    *out = (struct table_builder_options){.env = db->env,
                                          .folder = db->path,
                                          .database_id = {db->database_id[0], db->database_id[1]},
                                          .number = number,
                                          .block_bytes = db->options.block_bytes,
                                          .keys = db->keys,
                                          .compression = db->options.compression,
                                          .false_positive_rate = db->options.bloom_false_positive_rate};
}

/* What the logs are still needed for once `flushed` is in a table. */
void install_numbers(velocity *db, struct write_buffer *flushed, struct manifest_edit *edit) {
    env_mutex_lock(&db->mutex);
    struct superversion *sv = atomic_load(&db->superversion);
    struct write_buffer *oldest = sv->immutable_count ? sv->immutable[0] : sv->active;
    if (flushed) oldest = sv->immutable_count > 1 ? sv->immutable[1] : sv->active;
    edit->next_number = db->next_number;
    edit->min_log = oldest->first_log;
    edit->start_log = db->start_log;
    edit->weak_writes = atomic_load(&db->weak_writes);
    edit->clock_ms = clock_now(&db->clock);
    /* Frozen buffers end where the next one's first log begins, so the replay of that log continues exactly here. */
    edit->last_sequence = flushed ? atomic_load(&flushed->last_sequence) : db->flushed_sequence;
    env_mutex_unlock(&db->mutex);
}

/* A new manifest instead of an edit: when the old one has grown, or an append to it failed. Seals that are still needed
 * go along. */
static velocity_status rewrite_manifest(velocity *db, const struct version *version, struct manifest_edit *edit) {
    uint64_t number = database_new_number(db);
    edit->next_number = number + 1;
    edit->tables = NULL;
    env_mutex_lock(&db->mutex);
    size_t count = 0;
    struct log_seal *seals = env_alloc((db->seal_count + 1) * sizeof *seals);
    for (size_t i = 0; seals && i < db->seal_count; i++)
        if (db->seals[i].number >= edit->min_log) seals[count++] = db->seals[i];
    env_mutex_unlock(&db->mutex);
    if (!seals) return VELOCITY_NO_MEMORY;
    edit->seals = seals;
    edit->seal_count = count;
    edit->resume_sequence = db->sequence_floor + 1;
    struct log_retained *retained = NULL;
    manifest *fresh;
    velocity_status status = VELOCITY_OK;
    if (db->options.log_retention_bytes)
        status = history_list_retained(&db->history, edit->min_log, true, &retained, &edit->retained_count);
    edit->retained = retained;
    if (!status) status = manifest_create(db->env, db->path, db->database_id, db->keys, number, version, edit, &fresh);
    env_free(seals);
    env_free(retained);
    if (status) return status;
    char *old = file_path(db->path, FILE_MANIFEST, manifest_number(db->manifest));
    manifest_close(db->manifest);
    db->manifest = fresh;
    db->manifest_broken = false;
    if (old && env_unlink(db->env, old)) { /* removed at the next open */
    }
    env_free(old);
    return VELOCITY_OK;
}

/* Value files that go with a version: it is the last to refer to them. */
struct gone_values {
    struct value_file **files; /* acquired: they are doomed after the last reader could have let go */
    uint64_t *numbers;
    size_t count;
};

static const struct gone_values nothing_gone;

static velocity_status find_gone(const struct version *before, const struct version *after, struct gone_values *gone) {
    memset(gone, 0, sizeof *gone);
    if (before->value_count == 0) return VELOCITY_OK;
    gone->files = env_alloc(before->value_count * sizeof *gone->files);
    gone->numbers = env_alloc(before->value_count * sizeof *gone->numbers);
    if (!gone->files || !gone->numbers) return VELOCITY_NO_MEMORY;
    for (size_t i = 0, k = 0; i < before->value_count; i++) { /* both ascend */
        struct value_file *file = before->values[i].file;
        while (k < after->value_count && value_file_meta(after->values[k].file)->number < value_file_meta(file)->number)
            k++;
        if (k < after->value_count && after->values[k].file == file) continue;
        value_file_acquire(file);
        gone->numbers[gone->count] = value_file_meta(file)->number;
        gone->files[gone->count++] = file;
    }
    return VELOCITY_OK;
}

static void let_gone(struct gone_values *gone, bool doom) {
    for (size_t i = 0; i < gone->count; i++) {
        if (doom) value_file_doom(gone->files[i]);
        value_file_release(gone->files[i]);
    }
    env_free(gone->files);
    env_free(gone->numbers);
}

/* Under install_mutex. */
static velocity_status write_manifest(velocity *db, const struct version *version, const struct version_edit *tables,
                                      const struct gone_values *gone, struct write_buffer *flushed, uint64_t *min_log) {
    struct manifest_edit edit = {.tables = tables, .gone_values = gone->numbers, .gone_value_count = gone->count};
    install_numbers(db, flushed, &edit);
    *min_log = edit.min_log;
    struct log_retained *retained = NULL;
    velocity_status status = VELOCITY_OK;
    if (flushed && db->options.log_retention_bytes) {
        status = room_settle_logs(db, edit.min_log);
        if (!status) status = history_list_retained(&db->history, edit.min_log, false, &retained, &edit.retained_count);
        edit.retained = retained;
    }
    atomic_store(&db->clock.shown, false); /* what is shown from here on is later than the time that is written */
    edit.clock_ms = clock_now(&db->clock);
    bool appended = false;
    if (!status && !db->manifest_broken && manifest_bytes(db->manifest) < MANIFEST_REWRITE_BYTES) {
        appended = manifest_append(db->manifest, &edit) == VELOCITY_OK;
        db->manifest_broken = !appended;
    }
    env_free(retained);
    if (!status && !appended) status = rewrite_manifest(db, version, &edit);
    if (status) atomic_store(&db->clock.shown, true);
    return status;
}

static velocity_status switch_version(velocity *db, struct version *version, struct write_buffer *flushed) {
    env_mutex_lock(&db->mutex);
    struct superversion *sv = atomic_load(&db->superversion);
    int skip = flushed ? 1 : 0; /* buffers are flushed oldest first */
    struct superversion *next = superversion_new(sv->active, sv->immutable + skip, sv->immutable_count - skip, version);
    if (next) {
        atomic_store(&db->level0_tables, (uint32_t)version->levels[0].count);
        sv = superversion_install(db, next);
        limit_note(db);
        if (flushed) budget_give_back(db, flushed);
        env_condition_broadcast(&db->changed);
    }
    env_mutex_unlock(&db->mutex);
    if (next) superversion_retire(sv);
    return next ? VELOCITY_OK : VELOCITY_NO_MEMORY;
}

/* What edits build on. Only installs replace it, and they hold install_mutex: it stays alive without a reference. The
 * superversion does not: a full write buffer replaces that beside an install. */
static const struct version *present_version(velocity *db) {
    env_mutex_lock(&db->mutex);
    const struct version *version = atomic_load(&db->superversion)->version;
    env_mutex_unlock(&db->mutex);
    return version;
}

velocity_status install_repair(velocity *db) {
    velocity_status status = VELOCITY_OK;
    env_mutex_lock(&db->install_mutex);
    if (db->manifest_broken) {
        struct manifest_edit edit = {0};
        install_numbers(db, NULL, &edit);
        status = rewrite_manifest(db, present_version(db), &edit);
    }
    env_mutex_unlock(&db->install_mutex);
    return status;
}

velocity_status install_weak_writes(velocity *db, bool weak) {
    env_mutex_lock(&db->install_mutex);
    uint64_t min_log;
    bool before = atomic_exchange(&db->weak_writes, weak);
    velocity_status status =
        before == weak ? VELOCITY_OK : write_manifest(db, present_version(db), NULL, &nothing_gone, NULL, &min_log);
    if (status) atomic_store(&db->weak_writes, before);
    env_mutex_unlock(&db->install_mutex);
    return status;
}

velocity_status install_clock(velocity *db) {
    env_mutex_lock(&db->install_mutex);
    uint64_t min_log;
    velocity_status status = VELOCITY_OK;
    if (atomic_load(&db->clock.shown))
        status = write_manifest(db, present_version(db), NULL, &nothing_gone, NULL, &min_log);
    env_mutex_unlock(&db->install_mutex);
    return status;
}

velocity_status install_edit(velocity *db, const struct version_edit *edit, struct write_buffer *flushed) {
    env_mutex_lock(&db->install_mutex);
    uint64_t min_log = 0;
    struct version *version = NULL;
    struct gone_values gone = {0};
    struct version_edit full = *edit;
    uint64_t *snapshots = NULL, *clocks;
    velocity_status status = snapshot_sequences(db, &snapshots, &clocks, &full.snapshot_count);
    full.snapshots = snapshots;
    if (!status) status = version_new(present_version(db), &full, &version);
    env_free(snapshots);
    if (!status) status = find_gone(present_version(db), version, &gone);
    if (!status) status = env_sync_directory(db->env, db->path); /* the names of the new tables */
    if (!status) status = write_manifest(db, version, edit, &gone, flushed, &min_log);
    if (!status) {
        status = switch_version(db, version, flushed);
        /* The manifest is ahead of memory now: the next install must write down what memory says. */
        if (status) db->manifest_broken = true;
        if (!status && flushed) db->flushed_sequence = atomic_load(&flushed->last_sequence);
    }
    version_release(version);
    let_gone(&gone, !status);
    env_mutex_unlock(&db->install_mutex);
    if (!status && flushed) room_retire_logs(db, min_log);
    return status;
}
