/* log.c - writing the log. See log.h; replaying is in log_replay.c. */
#include "log.h"

#include "coding.h"
#include "log_internal.h"
#include "slice.h"
#include "status.h"

#include <xxhash.h>

enum {
    META_KIND = 0x8f, /* bit 7 is reserved: set, it makes a kind that is not known */
    META_FLAGS = 0x10,
    META_EXPIRES = 0x20,
    WINDOW_BYTES = 1024 * 1024,
    BUFFER_KEEP_BYTES = 4 * 1024 * 1024,
};

/* ---- operations ---------------------------------------------------------------------------------------------------
 */

size_t log_operation_bytes(const struct entry *e) {
    return 1 + varint_bytes(e->key.size) + varint_bytes(e->value.size) + (e->flags ? 4 : 0) +
           (e->expires_at_ms ? 8 : 0) + e->key.size + e->value.size;
}

uint8_t *log_operation_encode(uint8_t *p, const struct entry *e) {
    *p++ = (uint8_t)(e->kind | (e->flags ? META_FLAGS : 0) | (e->expires_at_ms ? META_EXPIRES : 0));
    p = put_varint(p, e->key.size);
    p = put_varint(p, e->value.size);
    if (e->flags) put_u32(p, e->flags), p += 4;
    if (e->expires_at_ms) put_u64(p, (uint64_t)e->expires_at_ms), p += 8;
    memcpy(p, e->key.data, e->key.size);
    p += e->key.size;
    if (e->value.size) memcpy(p, e->value.data, e->value.size);
    return p + e->value.size;
}

const uint8_t *log_operation_decode(const uint8_t *p, const uint8_t *end, struct entry *out) {
    uint32_t key_bytes, value_bytes;
    if (p == end) return NULL;
    uint8_t meta = *p++;
    if (!(p = get_varint32(p, end, &key_bytes)) || !(p = get_varint32(p, end, &value_bytes))) return NULL;
    size_t extra = (meta & META_FLAGS ? 4u : 0u) + (meta & META_EXPIRES ? 8u : 0u);
    if ((uint64_t)(end - p) < (uint64_t)extra + key_bytes + value_bytes) return NULL;
    out->kind = meta & META_KIND;
    if (out->kind < ENTRY_PUT || out->kind > ENTRY_RANGE_DELETE || key_bytes == 0 || key_bytes > VELOCITY_MAX_KEY_BYTES)
        return NULL;
    out->flags = 0;
    out->expires_at_ms = 0;
    if (meta & META_FLAGS) out->flags = get_u32(p), p += 4;
    if (meta & META_EXPIRES) out->expires_at_ms = (int64_t)get_u64(p), p += 8;
    out->key = velocity_bytes(p, key_bytes);
    out->value = velocity_bytes(p + key_bytes, value_bytes);
    if (out->kind == ENTRY_RANGE_DELETE &&
        (value_bytes > VELOCITY_MAX_KEY_BYTES || slice_compare(out->key, out->value) >= 0))
        return NULL;
    return p + key_bytes + value_bytes;
}

/* ---- segments -----------------------------------------------------------------------------------------------------
 */

uint64_t log_group_checksum(uint64_t seed, const uint8_t *group, uint64_t payload_bytes) {
    return XXH3_64bits_withSeed(group + GROUP_PAYLOAD_BYTES,
                                LOG_GROUP_HEADER_BYTES - GROUP_PAYLOAD_BYTES + payload_bytes, seed);
}

/*
 * Writes every block of the file, page by page: one large write would leave the page cache with large folios, which
 * make each later sync write more than was changed (measured: 53 against 36 us a sync).
 */
static velocity_status fill(env_file *file, uint64_t from, uint64_t to) {
    static const uint8_t zeros[ENV_PAGE_BYTES];
    for (uint64_t at = from; at < to; at += ENV_PAGE_BYTES) {
        velocity_status status = env_write(file, zeros, ENV_PAGE_BYTES, at);
        if (status) return status;
    }
    return VELOCITY_OK;
}

static velocity_status write_header(struct log *log, const uint64_t database_id[2], const key_ring *keys,
                                    uint64_t number, bool sync) {
    struct file_header header = {.kind = FILE_LOG, .number = number};
    memcpy(header.database_id, database_id, sizeof header.database_id);
    uint8_t bytes[FILE_HEADER_BYTES];
    cipher_free(log->cipher);
    velocity_status status = cipher_new(log->env, keys, &header, bytes, &log->cipher);
    if (!status) status = env_write(log->file, bytes, sizeof bytes, 0);
    if (!status && sync) status = env_sync(log->file);
    log->number = number;
    log->database_id = database_id[0];
    log->seed = file_seed(&header);
    log->position = FILE_HEADER_BYTES;
    atomic_store(&log->synced_position, sync ? FILE_HEADER_BYTES : 0);
    return status;
}

static velocity_status sync_name(struct log *log) {
    velocity_status status = env_sync_directory(log->env, log->folder);
    log->name_synced = !status;
    return status;
}

velocity_status log_create(env *e, const char *folder, const uint64_t database_id[2], const key_ring *keys,
                           uint64_t number, uint64_t capacity, bool durable, struct log **out) {
    *out = NULL;
    struct log *log = env_alloc_zeroed(sizeof *log);
    if (!log) return VELOCITY_NO_MEMORY;
    log->env = e;
    log->folder = folder;
    log->capacity = capacity;
    velocity_status status = VELOCITY_NO_MEMORY;
    if ((log->path = file_path(folder, FILE_LOG, number))) status = env_create(e, log->path, &log->file);
    if (!status) status = durable ? fill(log->file, 0, capacity) : env_allocate(log->file, 0, capacity);
    if (!status) status = write_header(log, database_id, keys, number, durable);
    if (!status && durable) status = sync_name(log);
    if (!status) {
        *out = log;
        return VELOCITY_OK;
    }
    if (!log->file)
        log_close(log);
    else if (log_remove(log)) { /* the first failure is the one to report */
    }
    return status;
}

static void unmap(struct log *log) {
    if (log->window) env_unmap(log->file, log->window, log->window_bytes);
    log->window = NULL;
    log->window_bytes = 0;
}

velocity_status log_recycle(struct log *log, const char *folder, const uint64_t database_id[2], const key_ring *keys,
                            uint64_t number) {
    char *path = file_path(folder, FILE_LOG, number);
    if (!path) {
        velocity_status removed = log_remove(log);
        return removed ? removed : VELOCITY_NO_MEMORY;
    }
    unmap(log);
    log->next = NULL;
    velocity_status status = write_header(log, database_id, keys, number, true);
    if (!status) status = env_rename(log->env, log->path, path);
    if (!status) {
        env_free(log->path);
        log->path = path;
        path = NULL;
        status = sync_name(log);
    }
    env_free(path);
    if (status && log_remove(log)) { /* the first failure is the one to report */
    }
    return status;
}

bool log_has_room(const struct log *log, uint64_t payload_bytes) {
    return log->position + log_group_bytes(payload_bytes + cipher_overhead(log->cipher)) <= log->capacity;
}

static velocity_status map_window(struct log *log, uint64_t end) {
    uint64_t offset = log->position & ~(uint64_t)(ENV_PAGE_BYTES - 1);
    uint64_t size = WINDOW_BYTES;
    if (end - offset > size) size = (end - offset + ENV_PAGE_BYTES - 1) & ~(uint64_t)(ENV_PAGE_BYTES - 1);
    if (offset + size > log->capacity) size = log->capacity - offset;
    unmap(log);
    velocity_status status = env_map(log->file, offset, size, &log->window);
    if (status) {
        log->window = NULL;
        return status;
    }
    log->window_offset = offset;
    log->window_bytes = size;
    return VELOCITY_OK;
}

static velocity_status grow_buffer(struct log *log, size_t bytes) {
    if (bytes <= log->buffer_bytes) return VELOCITY_OK;
    env_free(log->buffer);
    log->buffer_bytes = 0;
    if (!(log->buffer = env_alloc(bytes * 2))) return VELOCITY_NO_MEMORY;
    log->buffer_bytes = bytes * 2;
    return VELOCITY_OK;
}

velocity_status log_reserve(struct log *log, uint64_t payload_bytes, bool synced, uint8_t **payload) {
    uint64_t bytes = log_group_bytes(payload_bytes + cipher_overhead(log->cipher)), end = log->position + bytes;
    velocity_status status = VELOCITY_OK;
    log->buffered = synced;
    if (synced || log->cipher) {
        status = grow_buffer(log, bytes);
        if (!status) *payload = log->buffer + LOG_GROUP_HEADER_BYTES;
    }
    if (synced) unmap(log); /* never both ways at once */
    if (synced || status) return status;
    if (!log->window || log->position < log->window_offset || end > log->window_offset + log->window_bytes)
        status = map_window(log, end);
    if (!status && !log->cipher) *payload = log->window + (log->position - log->window_offset) + LOG_GROUP_HEADER_BYTES;
    return status;
}

velocity_status log_commit(struct log *log, const struct log_group *group) {
    uint8_t *header = log->buffered ? log->buffer : log->window + (log->position - log->window_offset);
    uint32_t payload_bytes = group->payload_bytes + cipher_overhead(log->cipher); /* as stored */
    velocity_status status = VELOCITY_OK;
    put_u32(header + GROUP_PAYLOAD_BYTES, payload_bytes);
    put_u32(header + GROUP_COUNT, group->count);
    put_u64(header + GROUP_DATABASE_ID, log->database_id);
    put_u64(header + GROUP_LOG_NUMBER, log->number);
    put_u64(header + GROUP_POSITION, log->position);
    put_u64(header + GROUP_FIRST_SEQUENCE, group->first_sequence);
    put_u64(header + GROUP_WALL_MS, group->wall_ms);
    put_u64(header + GROUP_SYNCED_THROUGH, group->synced_through);
    if (log->cipher) {
        struct cipher_place place = log_group_place(header, log->position);
        status = cipher_seal(log->cipher, &place, log->buffer + LOG_GROUP_HEADER_BYTES, group->payload_bytes,
                             header + LOG_GROUP_HEADER_BYTES);
    }
    put_u64(header + GROUP_CHECKSUM, log_group_checksum(log->seed, header, payload_bytes));
    if (!status && log->buffered)
        status = env_write(log->file, header, LOG_GROUP_HEADER_BYTES + (size_t)payload_bytes, log->position);
    if (log->buffer_bytes > BUFFER_KEEP_BYTES) { /* one large value must not hold memory for good */
        env_free(log->buffer);
        log->buffer = NULL;
        log->buffer_bytes = 0;
    }
    if (!status) log->position += log_group_bytes(payload_bytes);
    return status;
}

velocity_status log_sync_begin(struct log *log) {
    uint64_t from = atomic_load(&log->synced_position);
    return from < log->position ? env_flush_range(log->file, from, log->position - from) : VELOCITY_OK;
}

velocity_status log_sync(struct log *log, uint64_t position) {
    if (atomic_load(&log->synced_position) >= position) return VELOCITY_OK;
    velocity_status status = env_sync(log->file);
    if (!status && !log->name_synced) status = sync_name(log);
    if (status) return status;
    atomic_store(&log->synced_position, position);
    return VELOCITY_OK;
}

velocity_status log_trim(struct log *log) {
    unmap(log);
    uint64_t used = (log->position + ENV_PAGE_BYTES - 1) & ~(uint64_t)(ENV_PAGE_BYTES - 1);
    velocity_status status = used < log->capacity ? env_truncate(log->file, used) : VELOCITY_OK;
    return status ? status : env_sync(log->file);
}

void log_close(struct log *log) {
    if (!log) return;
    unmap(log);
    if (env_close(log->file)) { /* what had to be durable was synced before */
    }
    cipher_free(log->cipher);
    env_free(log->path);
    env_free(log->buffer);
    env_free(log);
}

velocity_status log_remove(struct log *log) {
    env *e = log->env;
    char *path = log->path;
    log->path = NULL;
    log_close(log);
    velocity_status status = env_unlink(e, path);
    env_free(path);
    return status;
}
