/*
 * manifest_load.c - reads the manifest back. See manifest.h.
 *
 * The time it takes is in proportion to the file's size, up to a logarithm, whatever stands in it: numbers are looked
 * up in hash tables, and checksums are taken from sums over the file.
 */
#include "array.h"
#include "coding.h"
#include "crc32c_spans.h"
#include "manifest_internal.h"
#include "status.h"

void manifest_state_clear(struct manifest_state *state) {
    for (size_t i = 0; i < state->table_count; i++) table_meta_clear(&state->tables[i].meta);
    env_free(state->tables);
    env_free(state->values);
    number_map_clear(&state->table_places);
    number_map_clear(&state->value_places);
    env_free(state->seals);
    number_map_clear(&state->removed);
    env_free(state->retained);
    memset(state, 0, sizeof *state);
}

/* ---- records -------------------------------------------------------------------------------------------------- */

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

/* INVALID: the table is there already. Behind a damage that may have taken its removal the later record counts. */
static velocity_status state_add_table(struct manifest_state *state, int level, const struct table_meta *meta) {
    size_t at = number_map_find(&state->table_places, meta->number);
    if (at != NUMBER_MAP_NONE && !state->salvaging) return VELOCITY_INVALID;
    struct table_meta copy;
    velocity_status status = array_reserve(state->tables, state->table_capacity, state->table_count);
    if (!status) status = table_meta_copy(&copy, meta);
    if (status) return status;
    if (at != NUMBER_MAP_NONE) {
        table_meta_clear(&state->tables[at].meta);
    } else if ((status = number_map_put(&state->table_places, meta->number, state->table_count))) {
        table_meta_clear(&copy);
        return status;
    } else {
        at = state->table_count++;
    }
    state->tables[at] = (struct manifest_table){level, copy};
    return VELOCITY_OK;
}

static bool state_remove_table(struct manifest_state *state, int level, uint64_t number) {
    size_t at = number_map_find(&state->table_places, number);
    if (at == NUMBER_MAP_NONE || (state->tables[at].level != level && !state->salvaging)) return false;
    number_map_remove(&state->table_places, number);
    table_meta_clear(&state->tables[at].meta);
    if (at != --state->table_count) {
        state->tables[at] = state->tables[state->table_count];
        number_map_move(&state->table_places, state->tables[at].meta.number, at);
    }
    return true;
}

/* As with tables. */
static velocity_status state_add_values(struct manifest_state *state, const struct value_file_meta *meta) {
    size_t at = number_map_find(&state->value_places, meta->number);
    if (at != NUMBER_MAP_NONE && !state->salvaging) return VELOCITY_INVALID;
    velocity_status status = array_reserve(state->values, state->value_capacity, state->value_count);
    if (!status && at == NUMBER_MAP_NONE &&
        !(status = number_map_put(&state->value_places, meta->number, state->value_count)))
        at = state->value_count++;
    if (!status) state->values[at] = *meta;
    return status;
}

static bool state_remove_values(struct manifest_state *state, uint64_t number) {
    size_t at = number_map_find(&state->value_places, number);
    if (at == NUMBER_MAP_NONE) return false;
    number_map_remove(&state->value_places, number);
    if (at != --state->value_count) {
        state->values[at] = state->values[state->value_count];
        number_map_move(&state->value_places, state->values[at].number, at);
    }
    return true;
}

static velocity_status state_add_seal(struct manifest_state *state, struct log_seal seal) {
    if (state->seal_count && seal.number <= state->seals[state->seal_count - 1].number) return VELOCITY_INVALID;
    velocity_status status = array_reserve(state->seals, state->seal_capacity, state->seal_count);
    if (!status) state->seals[state->seal_count++] = seal;
    return status;
}

static const uint8_t *get_retained(const uint8_t *p, const uint8_t *end, struct log_retained *out) {
    if (!(p = get_varint64(p, end, &out->number)) || !(p = get_varint64(p, end, &out->end)) ||
        !(p = get_varint64(p, end, &out->after)) || !(p = get_varint64(p, end, &out->last)))
        return NULL;
    return out->end >= FILE_HEADER_BYTES && out->last >= out->after ? p : NULL;
}

static velocity_status state_add_retained(struct manifest_state *state, struct log_retained retained) {
    velocity_status status = array_reserve(state->retained, state->retained_capacity, state->retained_count);
    if (!status) state->retained[state->retained_count++] = retained;
    return status;
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
            /* It may be what a damaged record added. */
            if (state->salvaging) status = number_map_put(&state->removed, number, 0);
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

/* A manifest in memory, once its header is known. */
struct image {
    uint8_t *data;
    uint64_t size, seed;
    cipher *cipher; /* NULL: not encrypted */
    struct crc32c_spans spans;
};

/* The payload bytes of a valid record at `at`; 0: there is none. */
static uint32_t record_at(const struct image *f, uint64_t at) {
    if (at + MANIFEST_RECORD_HEADER_BYTES > f->size) return 0;
    uint32_t bytes = get_u32(f->data + at);
    if (bytes == 0 || bytes > f->size - at - MANIFEST_RECORD_HEADER_BYTES) return 0;
    uint32_t checksum = file_block_checksum_begin(file_block_checksum(f->seed, at, f->data + at, 4), at);
    checksum = crc32c_span(&f->spans, checksum, at + MANIFEST_RECORD_HEADER_BYTES, bytes);
    return checksum == get_u32(f->data + at + 4) ? bytes : 0;
}

/* Applies the valid record at `at`. INVALID, CORRUPT: it makes no sense. */
static velocity_status apply_at(const struct image *f, uint64_t at, uint32_t bytes, struct manifest_state *out) {
    const uint8_t *payload = f->data + at + MANIFEST_RECORD_HEADER_BYTES;
    if (!f->cipher) return apply_record(out, payload, payload + bytes);
    uint8_t *plain = env_alloc(bytes); /* the image stays as it is: checksums are still taken from it */
    if (!plain) return VELOCITY_NO_MEMORY;
    struct cipher_place place = manifest_record_place(f->data + at, at);
    velocity_status status = cipher_unseal(f->cipher, &place, payload, bytes, plain);
    if (!status) status = apply_record(out, plain, plain + bytes - CIPHER_TAG_BYTES);
    env_free(plain);
    return status;
}

/*
 * Behind the last valid record there is nothing, or a record that a crash tore (it never counted: it was not synced).
 * A valid record further on shows that this one was complete once: damage. And the first record, the snapshot, was
 * synced before CURRENT named the file.
 */
static velocity_status load_records(const char *path, const struct image *f, struct manifest_state *out) {
    uint64_t at = FILE_HEADER_BYTES;
    for (uint32_t bytes; (bytes = record_at(f, at)); at += MANIFEST_RECORD_HEADER_BYTES + bytes) {
        velocity_status status = apply_at(f, at, bytes, out);
        if (status == VELOCITY_INVALID || status == VELOCITY_CORRUPT)
            return status_set(VELOCITY_CORRUPT, "%s: offset %llu: a record makes no sense", path,
                              (unsigned long long)at);
        if (status == VELOCITY_UNSUPPORTED)
            return status_set(status, "%s: offset %llu: a record of a newer format", path, (unsigned long long)at);
        if (status) return status;
    }
    out->tail_bytes = f->size - at;
    bool damaged = at == FILE_HEADER_BYTES;
    for (uint64_t later = at + 1; later < f->size && !damaged; later++) damaged = record_at(f, later) != 0;
    if (damaged)
        return status_set(VELOCITY_CORRUPT, "%s: offset %llu: a record is damaged", path, (unsigned long long)at);
    return VELOCITY_OK;
}

/* Applies what is valid of a damaged manifest. */
static velocity_status salvage_records(const struct image *f, struct manifest_state *out) {
    uint64_t at = FILE_HEADER_BYTES, behind = at; /* behind: the last valid record */
    velocity_status status = VELOCITY_OK;
    while (!status && at < f->size) {
        uint32_t bytes = record_at(f, at);
        if (!bytes) {
            at++;
            continue;
        }
        if (at != behind) out->damaged = true;
        status = apply_at(f, at, bytes, out);
        if (status == VELOCITY_INVALID || status == VELOCITY_CORRUPT) {
            out->damaged = true;
            status = VELOCITY_OK;
        }
        at += MANIFEST_RECORD_HEADER_BYTES + bytes;
        behind = at;
    }
    out->tail_bytes = f->size - behind;
    return status;
}

/* Reads the file whole and checks its header; *f is for image_free, also after a failure. */
static velocity_status image_read(env *e, const char *path, struct image *f, struct file_header *header) {
    env_file *file = NULL;
    size_t got = 0;
    memset(f, 0, sizeof *f);
    velocity_status status = env_open_read(e, path, &file);
    if (status == VELOCITY_NOT_FOUND)
        return status_set(VELOCITY_CORRUPT, "%s: offset 0: the manifest that CURRENT names is missing", path);
    if (!status) status = env_size(file, &f->size);
    if (!status && !(f->data = env_alloc(f->size ? f->size : 1))) status = VELOCITY_NO_MEMORY;
    if (!status) status = env_read(file, f->data, f->size, 0, &got);
    f->size = got;
    if (!status) status = file_header_parse(f->data, got, FILE_MANIFEST, path, header);
    if (!status) f->seed = file_seed(header);
    if (!status) status = crc32c_spans_init(&f->spans, f->data, f->size);
    velocity_status closed = env_close(file);
    return status ? status : closed;
}

static void image_free(struct image *f) {
    crc32c_spans_clear(&f->spans);
    cipher_free(f->cipher);
    env_free(f->data);
}

static velocity_status state_init(struct manifest_state *state, env *e) {
    memset(state, 0, sizeof *state);
    velocity_status status = number_map_init(&state->table_places, e);
    if (!status) status = number_map_init(&state->value_places, e);
    return status ? status : number_map_init(&state->removed, e);
}

static velocity_status load_file(env *e, const char *path, const uint64_t database_id[2], const key_ring *keys,
                                 struct manifest_state *out) {
    struct image f;
    struct file_header header;
    velocity_status status = image_read(e, path, &f, &header);
    if (!status && memcmp(header.database_id, database_id, sizeof header.database_id) != 0)
        status = status_set(VELOCITY_CORRUPT, "%s: offset 0: the file belongs to another database", path);
    if (!status) status = cipher_of(keys, &header, path, &f.cipher);
    if (!status) status = load_records(path, &f, out);
    image_free(&f);
    return status;
}

velocity_status manifest_salvage(env *e, const char *path, key_ring *keys, struct manifest_state *out) {
    struct image f;
    struct file_header header;
    velocity_status status = state_init(out, e);
    if (status) return status;
    out->salvaging = true;
    status = image_read(e, path, &f, &header);
    if (!status) memcpy(out->database_id, header.database_id, sizeof out->database_id);
    if (!status) status = key_ring_bind(keys, header.database_id);
    if (!status) status = cipher_of(keys, &header, path, &f.cipher);
    if (!status) status = salvage_records(&f, out);
    if (!status && f.size - out->tail_bytes == FILE_HEADER_BYTES)
        status = status_set(VELOCITY_CORRUPT, "%s: offset %u: no record is readable", path, FILE_HEADER_BYTES);
    if (status == VELOCITY_UNSUPPORTED) (void)status_set(status, "%s: a record of a newer format", path);
    image_free(&f);
    if (status) manifest_state_clear(out);
    return status;
}

const struct log_seal *manifest_seal(const struct manifest_state *state, uint64_t number) {
    size_t low = 0, high = state->seal_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (state->seals[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < state->seal_count && state->seals[low].number == number ? &state->seals[low] : NULL;
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
    uint64_t number;
    velocity_status status = state_init(out, e);
    if (!status) status = manifest_current(e, folder, out->database_id, &number);
    if (status) return status;
    char *path = file_path(folder, FILE_MANIFEST, number);
    status = path ? key_ring_bind(keys, out->database_id) : VELOCITY_NO_MEMORY;
    if (!status) status = load_file(e, path, out->database_id, keys, out);
    env_free(path);
    if (status) manifest_state_clear(out);
    return status;
}
