/* log_reader.c - see log_reader.h. */
#include "log_reader.h"

#include "status.h"

velocity_status log_open_read(env *e, const char *path, const uint64_t database_id[2], const key_ring *keys,
                              uint64_t number, env_file **file, struct log_identity *out) {
    struct file_header header;
    velocity_status status = env_open_read(e, path, file);
    if (status) { /* a log that the list names is there */
        *file = NULL;
        return status == VELOCITY_NOT_FOUND ? status_set(VELOCITY_CORRUPT, "%s: offset 0: the log is missing", path)
                                            : status;
    }
    status = file_header_read(*file, FILE_LOG, path, &header);
    if (!status && (header.number != number || memcmp(header.database_id, database_id, 16) != 0))
        status = status_set(VELOCITY_CORRUPT, "%s: offset 0: the header is of another file", path);
    if (!status) *out = (struct log_identity){number, database_id[0], file_seed(&header), NULL};
    if (!status) status = cipher_of(keys, &header, path, &out->cipher);
    if (!status) return VELOCITY_OK;
    if (env_close(*file)) { /* it was only read from */
    }
    *file = NULL;
    return status;
}

static enum log_found find(const struct log_reader *r, uint64_t offset, struct log_group *out) {
    if (offset < r->buffer_offset || offset >= r->buffer_offset + r->filled) return LOG_GROUP_NONE;
    return log_group_find(&r->identity, r->buffer + (offset - r->buffer_offset), r->buffer_offset + r->filled - offset,
                          offset, out);
}

bool log_reader_peek(const struct log_reader *r, uint64_t offset, struct log_group *out) {
    return find(r, offset, out) == LOG_GROUP_WHOLE;
}

static velocity_status fill(struct log_reader *r, uint64_t offset, size_t bytes) {
    r->filled = 0;
    if (bytes > r->capacity) {
        env_free(r->buffer);
        r->capacity = 0;
        if (!(r->buffer = env_alloc(bytes))) return VELOCITY_NO_MEMORY;
        r->capacity = bytes;
    }
    r->buffer_offset = offset;
    return env_read(r->file, r->buffer, bytes, offset, &r->filled);
}

velocity_status log_reader_fetch(struct log_reader *r, uint64_t offset, uint64_t end, size_t bytes,
                                 struct log_group *out) {
    if (bytes < LOG_GROUP_HEADER_BYTES) bytes = LOG_GROUP_HEADER_BYTES;
    velocity_status status = fill(r, offset, bytes);
    if (status) return status;
    enum log_found found = find(r, offset, out);
    if (found == LOG_GROUP_CUT) { /* how much to read comes from the file: no more than it holds */
        uint64_t size, whole = LOG_GROUP_HEADER_BYTES + (uint64_t)out->payload_bytes;
        if ((status = env_size(r->file, &size))) return status;
        if (size > end) size = end;
        if (offset < size && whole <= size - offset) {
            if ((status = fill(r, offset, whole))) return status;
            found = find(r, offset, out);
        }
    }
    if (found == LOG_GROUP_WHOLE && LOG_GROUP_HEADER_BYTES + (uint64_t)out->payload_bytes <= end - offset)
        return VELOCITY_OK;
    r->filled = 0;
    return status_set(VELOCITY_CORRUPT, "%s: offset %llu: a commit group is damaged", r->path,
                      (unsigned long long)offset);
}

velocity_status log_reader_open(struct log_reader *r, uint64_t offset, const struct log_group *group,
                                velocity_slice *payload) {
    return log_group_open(&r->identity, r->buffer + (offset - r->buffer_offset), group, payload);
}

void log_reader_forget(struct log_reader *r) {
    env_free(r->buffer);
    r->buffer = NULL;
    r->capacity = r->filled = 0;
}
