/* manifest.c - writes the manifest. See manifest.h. */
#include "coding.h"
#include "manifest_internal.h"
#include "status.h"

enum { NUMBERS_BYTES = 7 * (1 + VARINT64_MAX_BYTES) };

struct manifest {
    env_file *file;
    cipher *cipher; /* NULL: records stand as they are */
    uint64_t number, seed, offset;
};

/* ---- encoding ------------------------------------------------------------------------------------------------------
 */

static uint8_t *put_bytes(uint8_t *p, velocity_slice bytes) {
    p = put_varint(p, bytes.size);
    memcpy(p, bytes.data, bytes.size);
    return p + bytes.size;
}

static size_t add_table_bytes(const struct table_meta *meta) {
    return 64 + 16 + 8 * VARINT64_MAX_BYTES + meta->smallest.size + meta->largest.size +
           value_uses_most_bytes(&meta->values);
}

static uint8_t *put_add_table(uint8_t *p, int level, const struct table_meta *meta) {
    *p++ = TAG_ADD_TABLE;
    *p++ = (uint8_t)level;
    p = put_varint(p, meta->number);
    memcpy(p, meta->uid, 16);
    p += 16;
    p = put_varint(p, meta->file_bytes);
    p = put_varint(p, meta->raw_bytes);
    p = put_varint(p, meta->entries);
    p = put_varint(p, meta->tombstones);
    p = put_varint(p, meta->min_sequence);
    p = put_varint(p, meta->max_sequence);
    *p++ = meta->one_version ? 1 : 0;
    p = put_bytes(p, meta->smallest);
    p = put_bytes(p, meta->largest);
    return value_uses_encode(p, &meta->values);
}

enum { ADD_VALUES_BYTES = 1 + 16 + 3 * VARINT64_MAX_BYTES };

static uint8_t *put_add_values(uint8_t *p, const struct value_file_meta *meta) {
    *p++ = TAG_ADD_VALUES;
    p = put_varint(p, meta->number);
    memcpy(p, meta->uid, 16);
    p = put_varint(p + 16, meta->file_bytes);
    return put_varint(p, meta->records);
}

static uint8_t *put_numbers(uint8_t *p, const struct manifest_edit *edit) {
    *p++ = TAG_NEXT_NUMBER;
    p = put_varint(p, edit->next_number);
    *p++ = TAG_MIN_LOG;
    p = put_varint(p, edit->min_log);
    *p++ = TAG_START_LOG;
    p = put_varint(p, edit->start_log);
    *p++ = TAG_LAST_SEQUENCE;
    p = put_varint(p, edit->last_sequence);
    *p++ = TAG_CLOCK;
    p = put_varint(p, edit->clock_ms);
    *p++ = TAG_WEAK_WRITES;
    *p++ = edit->weak_writes;
    return p;
}

static size_t retained_bytes(const struct manifest_edit *edit) {
    return edit->retained_count * (1 + 4 * VARINT64_MAX_BYTES);
}

static uint8_t *put_retained(uint8_t *p, const struct manifest_edit *edit) {
    for (size_t i = 0; i < edit->retained_count; i++) {
        *p++ = TAG_LOG_RETAINED;
        p = put_varint(p, edit->retained[i].number);
        p = put_varint(p, edit->retained[i].end);
        p = put_varint(p, edit->retained[i].after);
        p = put_varint(p, edit->retained[i].last);
    }
    return p;
}

/* `record` has room for the header, then the payload up to `end`, then CIPHER_TAG_BYTES. */
static velocity_status write_record(manifest *m, uint8_t *record, const uint8_t *end) {
    size_t size = (size_t)(end - record) + cipher_overhead(m->cipher);
    put_u32(record, (uint32_t)(size - MANIFEST_RECORD_HEADER_BYTES));
    if (m->cipher) {
        struct cipher_place place = manifest_record_place(record, m->offset);
        uint8_t *payload = record + MANIFEST_RECORD_HEADER_BYTES;
        velocity_status sealed = cipher_seal(m->cipher, &place, payload, (size_t)(end - payload), payload);
        if (sealed) return sealed;
    }
    uint32_t checksum = file_block_checksum(m->seed, m->offset, record, 4);
    put_u32(record + 4, file_block_checksum(checksum, m->offset, record + MANIFEST_RECORD_HEADER_BYTES,
                                            size - MANIFEST_RECORD_HEADER_BYTES));
    velocity_status status = env_write(m->file, record, size, m->offset);
    if (!status) m->offset += size;
    return status;
}

velocity_status manifest_append(manifest *m, const struct manifest_edit *edit) {
    size_t size = MANIFEST_RECORD_HEADER_BYTES + NUMBERS_BYTES + CIPHER_TAG_BYTES + retained_bytes(edit);
    const struct version_edit *tables = edit->tables;
    for (size_t i = 0; tables && i < tables->add_count; i++) size += add_table_bytes(table_meta(tables->add[i].table));
    if (tables) size += tables->remove_count * (2 + VARINT64_MAX_BYTES);
    if (tables) size += tables->add_value_count * ADD_VALUES_BYTES;
    size += edit->gone_value_count * (1 + VARINT64_MAX_BYTES);
    uint8_t *record = env_alloc(size);
    if (!record) return VELOCITY_NO_MEMORY;
    uint8_t *p = put_numbers(record + MANIFEST_RECORD_HEADER_BYTES, edit);
    p = put_retained(p, edit);
    for (size_t i = 0; tables && i < tables->remove_count; i++) {
        *p++ = TAG_REMOVE_TABLE;
        *p++ = (uint8_t)tables->remove[i].level;
        p = put_varint(p, table_meta(tables->remove[i].table)->number);
    }
    for (size_t i = 0; tables && i < tables->add_count; i++)
        p = put_add_table(p, tables->add[i].level, table_meta(tables->add[i].table));
    for (size_t i = 0; tables && i < tables->add_value_count; i++)
        p = put_add_values(p, value_file_meta(tables->add_values[i]));
    for (size_t i = 0; i < edit->gone_value_count; i++) {
        *p++ = TAG_REMOVE_VALUES;
        p = put_varint(p, edit->gone_values[i]);
    }
    velocity_status status = write_record(m, record, p);
    if (!status) status = env_sync(m->file);
    env_free(record);
    return status;
}

/* ---- a new manifest, and CURRENT ------------------------------------------------------------------------------------
 */

static velocity_status write_snapshot(manifest *m, const struct version *version, const struct manifest_edit *edit) {
    size_t size = MANIFEST_RECORD_HEADER_BYTES + NUMBERS_BYTES + CIPHER_TAG_BYTES +
                  edit->seal_count * (1 + 2 * VARINT64_MAX_BYTES);
    size += retained_bytes(edit);
    for (int l = 0; version && l < VELOCITY_LEVELS; l++)
        for (size_t i = 0; i < version->levels[l].count; i++)
            size += add_table_bytes(table_meta(version->levels[l].tables[i]));
    if (version) size += version->value_count * ADD_VALUES_BYTES;
    if (size > UINT32_MAX) return status_set(VELOCITY_INVALID, "the manifest would need a record of %zu bytes", size);
    uint8_t *record = env_alloc(size);
    if (!record) return VELOCITY_NO_MEMORY;
    uint8_t *p = put_numbers(record + MANIFEST_RECORD_HEADER_BYTES, edit);
    *p++ = TAG_RESUME_SEQUENCE;
    p = put_varint(p, edit->resume_sequence);
    for (size_t i = 0; i < edit->seal_count; i++) {
        *p++ = TAG_LOG_SEAL;
        p = put_varint(p, edit->seals[i].number);
        p = put_varint(p, edit->seals[i].end);
    }
    p = put_retained(p, edit);
    for (int l = 0; version && l < VELOCITY_LEVELS; l++)
        for (size_t i = 0; i < version->levels[l].count; i++)
            p = put_add_table(p, l, table_meta(version->levels[l].tables[i]));
    for (size_t i = 0; version && i < version->value_count; i++)
        p = put_add_values(p, value_file_meta(version->values[i].file));
    velocity_status status = write_record(m, record, p);
    env_free(record);
    return status;
}

/* A manifest has its name only once it is whole: what a crash or an error left of one is nobody's. */
static velocity_status write_whole(manifest *m, env *e, const char *folder, const uint64_t database_id[2],
                                   const key_ring *keys, const struct version *version,
                                   const struct manifest_edit *edit) {
    char *temporary = file_path_named(folder, "MANIFEST.new"), *path = file_path(folder, FILE_MANIFEST, m->number);
    uint8_t bytes[FILE_HEADER_BYTES];
    struct file_header header = {.kind = FILE_MANIFEST, .number = m->number};
    memcpy(header.database_id, database_id, sizeof header.database_id);
    velocity_status status = temporary && path ? VELOCITY_OK : VELOCITY_NO_MEMORY;
    if (!status) status = cipher_new(e, keys, &header, bytes, &m->cipher);
    if (!status) status = env_create(e, temporary, &m->file);
    if (!status) status = env_write(m->file, bytes, sizeof bytes, 0);
    if (!status) {
        m->seed = file_seed(&header);
        m->offset = FILE_HEADER_BYTES;
        status = write_snapshot(m, version, edit);
    }
    if (!status) status = env_sync(m->file);
    if (!status) status = env_rename(e, temporary, path);
    if (!status) status = env_sync_directory(e, folder);
    env_free(temporary);
    env_free(path);
    return status;
}

/* CURRENT is a file header whose argument is the manifest's number: replaced whole, by rename. */
static velocity_status write_current(env *e, const char *folder, const uint64_t database_id[2], uint64_t number) {
    char *temporary = file_path_named(folder, "CURRENT.new"), *current = file_path(folder, FILE_CURRENT, 0);
    env_file *file = NULL;
    uint8_t bytes[FILE_HEADER_BYTES];
    struct file_header header = {.kind = FILE_CURRENT, .argument = number};
    memcpy(header.database_id, database_id, sizeof header.database_id);
    velocity_status status = temporary && current ? VELOCITY_OK : VELOCITY_NO_MEMORY;
    if (!status) status = file_header_make(e, &header, bytes);
    if (!status) status = env_create(e, temporary, &file);
    if (!status) status = env_write(file, bytes, sizeof bytes, 0);
    if (!status) status = env_sync(file);
    velocity_status closed = env_close(file);
    if (!status) status = closed;
    if (!status) status = env_rename(e, temporary, current);
    if (!status) status = env_sync_directory(e, folder);
    env_free(temporary);
    env_free(current);
    return status;
}

velocity_status manifest_create(env *e, const char *folder, const uint64_t database_id[2], const key_ring *keys,
                                uint64_t number, const struct version *version, const struct manifest_edit *edit,
                                manifest **out) {
    *out = NULL;
    manifest *m = env_alloc_zeroed(sizeof *m);
    if (!m) return VELOCITY_NO_MEMORY;
    m->number = number;
    velocity_status status = write_whole(m, e, folder, database_id, keys, version, edit);
    if (!status) status = write_current(e, folder, database_id, number);
    if (status)
        manifest_close(m);
    else
        *out = m;
    return status;
}

uint64_t manifest_number(const manifest *m) {
    return m->number;
}
uint64_t manifest_bytes(const manifest *m) {
    return m->offset;
}

void manifest_close(manifest *m) {
    if (!m) return;
    if (env_close(m->file)) { /* every edit was synced before it counted */
    }
    cipher_free(m->cipher);
    env_free(m);
}
