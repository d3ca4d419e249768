/* manifest.c - see manifest.h. */
#include "manifest.h"

#include "coding.h"
#include "status.h"

enum { RECORD_HEADER_BYTES = 8, NUMBERS_BYTES = 7 * (1 + VARINT64_MAX_BYTES) };

/* The tags of a record's fields. Numbers are part of the format. A reader that meets one it does not know refuses. */
enum manifest_tag {
    TAG_NEXT_NUMBER = 1,
    TAG_MIN_LOG = 2,
    TAG_LAST_SEQUENCE = 3,
    TAG_LOG_SEAL = 4,
    TAG_ADD_TABLE = 5,
    TAG_REMOVE_TABLE = 6,
    TAG_RESUME_SEQUENCE = 7,
    TAG_START_LOG = 8,
    TAG_CLOCK = 9,
    TAG_ADD_VALUES = 10,
    TAG_REMOVE_VALUES = 11,
    TAG_WEAK_WRITES = 12,
    TAG_LOG_RETAINED = 13,
};

struct manifest {
    env_file *file;
    cipher *cipher; /* NULL: records stand as they are */
    uint64_t number, seed, offset;
};

void manifest_state_clear(struct manifest_state *state) {
    for (size_t i = 0; i < state->table_count; i++) table_meta_clear(&state->tables[i].meta);
    env_free(state->tables);
    env_free(state->values);
    env_free(state->seals);
    env_free(state->removed);
    env_free(state->retained);
    memset(state, 0, sizeof *state);
}

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

/* A record's payload as a message to encrypt: bound to its size. */
static struct cipher_place record_place(const uint8_t *record, uint64_t at) {
    struct cipher_place place = {at, record, 4};
    return place;
}

/* `record` has room for the header, then the payload up to `end`, then CIPHER_TAG_BYTES. */
static velocity_status write_record(manifest *m, uint8_t *record, const uint8_t *end) {
    size_t size = (size_t)(end - record) + cipher_overhead(m->cipher);
    put_u32(record, (uint32_t)(size - RECORD_HEADER_BYTES));
    if (m->cipher) {
        struct cipher_place place = record_place(record, m->offset);
        uint8_t *payload = record + RECORD_HEADER_BYTES;
        velocity_status sealed = cipher_seal(m->cipher, &place, payload, (size_t)(end - payload), payload);
        if (sealed) return sealed;
    }
    uint32_t checksum = file_block_checksum(m->seed, m->offset, record, 4);
    put_u32(record + 4,
            file_block_checksum(checksum, m->offset, record + RECORD_HEADER_BYTES, size - RECORD_HEADER_BYTES));
    velocity_status status = env_write(m->file, record, size, m->offset);
    if (!status) m->offset += size;
    return status;
}

velocity_status manifest_append(manifest *m, const struct manifest_edit *edit) {
    size_t size = RECORD_HEADER_BYTES + NUMBERS_BYTES + CIPHER_TAG_BYTES + retained_bytes(edit);
    const struct version_edit *tables = edit->tables;
    for (size_t i = 0; tables && i < tables->add_count; i++) size += add_table_bytes(table_meta(tables->add[i].table));
    if (tables) size += tables->remove_count * (2 + VARINT64_MAX_BYTES);
    if (tables) size += tables->add_value_count * ADD_VALUES_BYTES;
    size += edit->gone_value_count * (1 + VARINT64_MAX_BYTES);
    uint8_t *record = env_alloc(size);
    if (!record) return VELOCITY_NO_MEMORY;
    uint8_t *p = put_numbers(record + RECORD_HEADER_BYTES, edit);
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
    size_t size =
        RECORD_HEADER_BYTES + NUMBERS_BYTES + CIPHER_TAG_BYTES + edit->seal_count * (1 + 2 * VARINT64_MAX_BYTES);
    size += retained_bytes(edit);
    for (int l = 0; version && l < VELOCITY_LEVELS; l++)
        for (size_t i = 0; i < version->levels[l].count; i++)
            size += add_table_bytes(table_meta(version->levels[l].tables[i]));
    if (version) size += version->value_count * ADD_VALUES_BYTES;
    if (size > UINT32_MAX) return status_set(VELOCITY_INVALID, "the manifest would need a record of %zu bytes", size);
    uint8_t *record = env_alloc(size);
    if (!record) return VELOCITY_NO_MEMORY;
    uint8_t *p = put_numbers(record + RECORD_HEADER_BYTES, edit);
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
    char *path = file_path(folder, FILE_MANIFEST, number);
    uint8_t bytes[FILE_HEADER_BYTES];
    struct file_header header = {.kind = FILE_MANIFEST, .number = number};
    memcpy(header.database_id, database_id, sizeof header.database_id);
    velocity_status status = m && path ? VELOCITY_OK : VELOCITY_NO_MEMORY;
    if (!status) status = cipher_new(e, keys, &header, bytes, &m->cipher);
    if (!status) status = env_create(e, path, &m->file);
    if (!status) status = env_write(m->file, bytes, sizeof bytes, 0);
    if (!status) {
        m->number = number;
        m->seed = file_seed(&header);
        m->offset = FILE_HEADER_BYTES;
        status = write_snapshot(m, version, edit);
    }
    if (!status) status = env_sync(m->file);
    if (!status) status = env_sync_directory(e, folder);
    if (!status) status = write_current(e, folder, database_id, number);
    env_free(path);
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

/* ---- loading
 * --------------------------------------------------------------------------------------------------------- */

static const uint8_t *get_bytes(const uint8_t *p, const uint8_t *end, velocity_slice *out) {
    uint32_t size;
    if (!(p = get_varint32(p, end, &size)) || (size_t)(end - p) < size) return NULL;
    *out = velocity_bytes(p, size);
    return p + size;
}

static const uint8_t *get_level(const uint8_t *p, const uint8_t *end, int *level) {
    if (p >= end || *p >= VELOCITY_LEVELS) return NULL;
    *level = *p;
    return p + 1;
}

/* meta->values alone is owned. */
static const uint8_t *get_add_table(const uint8_t *p, const uint8_t *end, int *level, struct table_meta *meta,
                                    velocity_status *status) {
    memset(meta, 0, sizeof *meta);
    if (!(p = get_level(p, end, level)) || !(p = get_varint64(p, end, &meta->number))) return NULL;
    if (end - p < 16) return NULL;
    memcpy(meta->uid, p, 16);
    p += 16;
    uint64_t *numbers[] = {&meta->file_bytes, &meta->raw_bytes,    &meta->entries,
                           &meta->tombstones, &meta->min_sequence, &meta->max_sequence};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!(p = get_varint64(p, end, numbers[i]))) return NULL;
    if (p >= end || *p > 1) return NULL;
    meta->one_version = *p++;
    if (!(p = get_bytes(p, end, &meta->smallest)) || !(p = get_bytes(p, end, &meta->largest))) return NULL;
    return value_uses_decode(p, end, &meta->values, status);
}

static const uint8_t *get_add_values(const uint8_t *p, const uint8_t *end, struct value_file_meta *meta) {
    if (!(p = get_varint64(p, end, &meta->number)) || end - p < 16) return NULL;
    memcpy(meta->uid, p, 16);
    if (!(p = get_varint64(p + 16, end, &meta->file_bytes)) || !(p = get_varint64(p, end, &meta->records))) return NULL;
    return meta->file_bytes >= FILE_HEADER_BYTES ? p : NULL;
}

static velocity_status state_add_table(struct manifest_state *state, int level, const struct table_meta *meta) {
    if (state->table_count == state->table_capacity) {
        size_t capacity = state->table_capacity ? state->table_capacity * 2 : 16;
        void *bigger = env_realloc(state->tables, capacity * sizeof *state->tables);
        if (!bigger) return VELOCITY_NO_MEMORY;
        state->tables = bigger;
        state->table_capacity = capacity;
    }
    velocity_status status = table_meta_copy(&state->tables[state->table_count].meta, meta);
    if (!status) state->tables[state->table_count++].level = level;
    return status;
}

/* Salvaging: what a record removes may be what a damaged one added. */
static velocity_status state_note_removed(struct manifest_state *state, uint64_t number) {
    if (state->removed_count == state->removed_capacity) {
        size_t capacity = state->removed_capacity ? state->removed_capacity * 2 : 16;
        uint64_t *bigger = env_realloc(state->removed, capacity * sizeof *bigger);
        if (!bigger) return VELOCITY_NO_MEMORY;
        state->removed = bigger;
        state->removed_capacity = capacity;
    }
    state->removed[state->removed_count++] = number;
    return VELOCITY_OK;
}

static bool state_remove_table(struct manifest_state *state, int level, uint64_t number) {
    for (size_t i = 0; i < state->table_count; i++) {
        if (state->tables[i].level != level || state->tables[i].meta.number != number) continue;
        table_meta_clear(&state->tables[i].meta);
        state->tables[i] = state->tables[--state->table_count];
        return true;
    }
    return false;
}

static velocity_status state_add_values(struct manifest_state *state, const struct value_file_meta *meta) {
    if (state->value_count == state->value_capacity) {
        size_t capacity = state->value_capacity ? state->value_capacity * 2 : 16;
        void *bigger = env_realloc(state->values, capacity * sizeof *state->values);
        if (!bigger) return VELOCITY_NO_MEMORY;
        state->values = bigger;
        state->value_capacity = capacity;
    }
    state->values[state->value_count++] = *meta;
    return VELOCITY_OK;
}

static bool state_remove_values(struct manifest_state *state, uint64_t number) {
    for (size_t i = 0; i < state->value_count; i++) {
        if (state->values[i].number != number) continue;
        state->values[i] = state->values[--state->value_count];
        return true;
    }
    return false;
}

static velocity_status state_add_seal(struct manifest_state *state, struct log_seal seal) {
    struct log_seal *bigger = env_realloc(state->seals, (state->seal_count + 1) * sizeof *bigger);
    if (!bigger) return VELOCITY_NO_MEMORY;
    state->seals = bigger;
    state->seals[state->seal_count++] = seal;
    return VELOCITY_OK;
}

static const uint8_t *get_retained(const uint8_t *p, const uint8_t *end, struct log_retained *out) {
    if (!(p = get_varint64(p, end, &out->number)) || !(p = get_varint64(p, end, &out->end)) ||
        !(p = get_varint64(p, end, &out->after)) || !(p = get_varint64(p, end, &out->last)))
        return NULL;
    return out->end >= FILE_HEADER_BYTES && out->last >= out->after ? p : NULL;
}

static velocity_status state_add_retained(struct manifest_state *state, struct log_retained retained) {
    if (state->retained_count == state->retained_capacity) {
        size_t capacity = state->retained_capacity ? state->retained_capacity * 2 : 16;
        void *bigger = env_realloc(state->retained, capacity * sizeof *state->retained);
        if (!bigger) return VELOCITY_NO_MEMORY;
        state->retained = bigger;
        state->retained_capacity = capacity;
    }
    state->retained[state->retained_count++] = retained;
    return VELOCITY_OK;
}

/* INVALID: the record makes no sense (the caller names file and offset). */
static velocity_status apply_record(struct manifest_state *state, const uint8_t *p, const uint8_t *end) {
    while (p < end) {
        uint64_t number;
        int level;
        struct table_meta meta;
        struct value_file_meta values;
        struct log_seal seal = {0};
        struct log_retained retained;
        velocity_status status = VELOCITY_OK;
        switch (*p++) {
        case TAG_NEXT_NUMBER: p = get_varint64(p, end, &state->next_number); break;
        case TAG_MIN_LOG: p = get_varint64(p, end, &state->min_log); break;
        case TAG_START_LOG: p = get_varint64(p, end, &state->start_log); break;
        case TAG_LAST_SEQUENCE: p = get_varint64(p, end, &state->last_sequence); break;
        case TAG_RESUME_SEQUENCE: p = get_varint64(p, end, &state->resume_sequence); break;
        case TAG_CLOCK: p = get_varint64(p, end, &state->clock_ms); break;
        case TAG_WEAK_WRITES:
            number = p < end ? *p++ : 2;
            if (number > 1) return VELOCITY_INVALID;
            state->weak_writes = number;
            break;
        case TAG_LOG_SEAL:
            if ((p = get_varint64(p, end, &seal.number)) && (p = get_varint64(p, end, &seal.end)))
                status = state_add_seal(state, seal);
            break;
        case TAG_LOG_RETAINED:
            if ((p = get_retained(p, end, &retained))) status = state_add_retained(state, retained);
            break;
        case TAG_ADD_TABLE:
            if ((p = get_add_table(p, end, &level, &meta, &status))) status = state_add_table(state, level, &meta);
            value_uses_clear(&meta.values);
            break;
        case TAG_REMOVE_TABLE:
            if (!(p = get_level(p, end, &level)) || !(p = get_varint64(p, end, &number))) break;
            if (!state_remove_table(state, level, number) && !state->salvaging) status = VELOCITY_INVALID;
            if (state->salvaging) status = state_note_removed(state, number);
            break;
        case TAG_ADD_VALUES:
            if ((p = get_add_values(p, end, &values))) status = state_add_values(state, &values);
            break;
        case TAG_REMOVE_VALUES:
            if ((p = get_varint64(p, end, &number)) && !state_remove_values(state, number) && !state->salvaging)
                status = VELOCITY_INVALID;
            break;
        default: return VELOCITY_UNSUPPORTED;
        }
        if (status) return status;
        if (!p) return VELOCITY_INVALID;
    }
    return VELOCITY_OK;
}

/* The payload bytes of a valid record at `at`; 0: there is none. */
static uint32_t record_at(const uint8_t *data, uint64_t size, uint64_t at, uint64_t seed) {
    if (at + RECORD_HEADER_BYTES > size) return 0;
    uint32_t bytes = get_u32(data + at);
    if (bytes == 0 || bytes > size - at - RECORD_HEADER_BYTES) return 0;
    uint32_t checksum = file_block_checksum(seed, at, data + at, 4);
    checksum = file_block_checksum(checksum, at, data + at + RECORD_HEADER_BYTES, bytes);
    return checksum == get_u32(data + at + 4) ? bytes : 0;
}

/*
 * Behind the last valid record there is nothing, or a record that a crash tore (it never counted: it was not synced).
 * A valid record further on shows that this one was complete once: damage. And the first record, the snapshot, was
 * synced before CURRENT named the file.
 */
static velocity_status load_records(const char *path, uint8_t *data, uint64_t size, uint64_t seed, cipher *c,
                                    struct manifest_state *out) {
    uint64_t at = FILE_HEADER_BYTES;
    for (uint32_t bytes; (bytes = record_at(data, size, at, seed)); at += RECORD_HEADER_BYTES + bytes) {
        uint8_t *payload = data + at + RECORD_HEADER_BYTES;
        struct cipher_place place = record_place(data + at, at);
        velocity_status status = c ? cipher_unseal(c, &place, payload, bytes, payload) : VELOCITY_OK;
        if (!status) status = apply_record(out, payload, payload + bytes - cipher_overhead(c));
        if (status == VELOCITY_INVALID || status == VELOCITY_CORRUPT)
            return status_set(VELOCITY_CORRUPT, "%s: offset %llu: a record makes no sense", path,
                              (unsigned long long)at);
        if (status == VELOCITY_UNSUPPORTED)
            return status_set(status, "%s: offset %llu: a record of a newer format", path, (unsigned long long)at);
        if (status) return status;
    }
    out->tail_bytes = size - at;
    bool damaged = at == FILE_HEADER_BYTES;
    for (uint64_t later = at + 1; later < size && !damaged; later++) damaged = record_at(data, size, later, seed) != 0;
    if (damaged)
        return status_set(VELOCITY_CORRUPT, "%s: offset %llu: a record is damaged", path, (unsigned long long)at);
    return VELOCITY_OK;
}

/* Applies what is valid of a damaged manifest. */
static velocity_status salvage_records(uint8_t *data, uint64_t size, uint64_t seed, cipher *c,
                                       struct manifest_state *out) {
    uint64_t at = FILE_HEADER_BYTES, behind = at; /* behind: the last valid record */
    velocity_status status = VELOCITY_OK;
    while (!status && at < size) {
        uint32_t bytes = record_at(data, size, at, seed);
        if (!bytes) {
            at++;
            continue;
        }
        if (at != behind) out->damaged = true;
        uint8_t *payload = data + at + RECORD_HEADER_BYTES;
        struct cipher_place place = record_place(data + at, at);
        if (c) status = cipher_unseal(c, &place, payload, bytes, payload);
        if (!status) status = apply_record(out, payload, payload + bytes - cipher_overhead(c));
        if (status == VELOCITY_INVALID || status == VELOCITY_CORRUPT) {
            out->damaged = true;
            status = VELOCITY_OK;
        }
        at += RECORD_HEADER_BYTES + bytes;
        behind = at;
    }
    out->tail_bytes = size - behind;
    return status;
}

/* Reads the file whole and checks its header; *data is for env_free. */
static velocity_status read_file(env *e, const char *path, uint8_t **data, uint64_t *size, struct file_header *header) {
    env_file *file = NULL;
    size_t got = 0;
    *data = NULL;
    velocity_status status = env_open_read(e, path, &file);
    if (status == VELOCITY_NOT_FOUND)
        return status_set(VELOCITY_CORRUPT, "%s: offset 0: the manifest that CURRENT names is missing", path);
    if (!status) status = env_size(file, size);
    if (!status && !(*data = env_alloc(*size ? *size : 1))) status = VELOCITY_NO_MEMORY;
    if (!status) status = env_read(file, *data, *size, 0, &got);
    *size = got;
    if (!status) status = file_header_parse(*data, got, FILE_MANIFEST, path, header);
    velocity_status closed = env_close(file);
    return status ? status : closed;
}

static velocity_status load_file(env *e, const char *path, const uint64_t database_id[2], const key_ring *keys,
                                 struct manifest_state *out) {
    uint8_t *data;
    uint64_t size;
    cipher *c = NULL;
    struct file_header header;
    velocity_status status = read_file(e, path, &data, &size, &header);
    if (!status && memcmp(header.database_id, database_id, sizeof header.database_id) != 0)
        status = status_set(VELOCITY_CORRUPT, "%s: offset 0: the file belongs to another database", path);
    if (!status) status = cipher_of(keys, &header, path, &c);
    if (!status) status = load_records(path, data, size, file_seed(&header), c, out);
    cipher_free(c);
    env_free(data);
    return status;
}

velocity_status manifest_salvage(env *e, const char *path, key_ring *keys, struct manifest_state *out) {
    uint8_t *data;
    uint64_t size;
    cipher *c = NULL;
    struct file_header header;
    memset(out, 0, sizeof *out);
    out->salvaging = true;
    velocity_status status = read_file(e, path, &data, &size, &header);
    if (!status) memcpy(out->database_id, header.database_id, sizeof out->database_id);
    if (!status) status = key_ring_bind(keys, header.database_id);
    if (!status) status = cipher_of(keys, &header, path, &c);
    if (!status) status = salvage_records(data, size, file_seed(&header), c, out);
    cipher_free(c);
    if (!status && size - out->tail_bytes == FILE_HEADER_BYTES)
        status = status_set(VELOCITY_CORRUPT, "%s: offset %u: no record is readable", path, FILE_HEADER_BYTES);
    if (status == VELOCITY_UNSUPPORTED) (void)status_set(status, "%s: a record of a newer format", path);
    env_free(data);
    if (status) manifest_state_clear(out);
    return status;
}

velocity_status manifest_current(env *e, const char *folder, uint64_t database_id[2], uint64_t *number) {
    char *current = file_path(folder, FILE_CURRENT, 0);
    env_file *file = NULL;
    struct file_header header;
    velocity_status status = current ? env_open_read(e, current, &file) : VELOCITY_NO_MEMORY;
    if (!status) {
        status = file_header_read(file, FILE_CURRENT, current, &header);
        velocity_status closed = env_close(file);
        if (!status) status = closed;
    }
    env_free(current);
    if (status) return status;
    memcpy(database_id, header.database_id, sizeof header.database_id);
    *number = header.argument;
    return VELOCITY_OK;
}

velocity_status manifest_load(env *e, const char *folder, key_ring *keys, struct manifest_state *out) {
    memset(out, 0, sizeof *out);
    uint64_t number;
    velocity_status status = manifest_current(e, folder, out->database_id, &number);
    if (status) return status;
    char *path = file_path(folder, FILE_MANIFEST, number);
    status = path ? key_ring_bind(keys, out->database_id) : VELOCITY_NO_MEMORY;
    if (!status) status = load_file(e, path, out->database_id, keys, out);
    env_free(path);
    if (status) manifest_state_clear(out);
    return status;
}
