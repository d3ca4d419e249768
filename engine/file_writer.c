/* file_writer.c - see file_writer.h. */
#include "file_writer.h"

enum {
    BUFFER_BYTES = 256 * 1024,
    PACE_BYTES = 1024 * 1024, /* dirty bytes after which writeback is started */
};

velocity_status file_writer_create(struct file_writer *w, env *e, const char *folder, const key_ring *keys,
                                   struct file_header *header) {
    uint8_t bytes[FILE_HEADER_BYTES];
    *w = (struct file_writer){.env = e};
    velocity_status status = VELOCITY_NO_MEMORY;
    char *path = file_path(folder, header->kind, header->number);
    if (path && (w->buffer = env_alloc(BUFFER_BYTES))) status = env_create(e, path, &w->file);
    if (status) {
        env_free(path);
        file_writer_clear(w);
        return status;
    }
    w->path = path; /* from here on the file is ours to remove */
    status = cipher_new(e, keys, header, bytes, &w->cipher);
    if (!status) w->seed = file_seed(header);
    if (!status) status = file_writer_append(w, bytes, sizeof bytes);
    if (status) file_writer_abandon(w);
    return status;
}

static velocity_status write_out(struct file_writer *w) {
    if (w->buffered == 0) return VELOCITY_OK;
    velocity_status status = env_write(w->file, w->buffer, w->buffered, w->offset - w->buffered);
    if (status) return status;
    w->buffered = 0;
    if (w->offset - w->paced >= PACE_BYTES) {
        status = env_flush_range(w->file, w->paced, w->offset - w->paced);
        w->paced = w->offset;
    }
    return status;
}

velocity_status file_writer_append(struct file_writer *w, const void *data, size_t size) {
    const uint8_t *p = data;
    while (size) {
        if (w->buffered == BUFFER_BYTES) {
            velocity_status status = write_out(w);
            if (status) return status;
        }
        size_t room = BUFFER_BYTES - w->buffered, part = size < room ? size : room;
        memcpy(w->buffer + w->buffered, p, part);
        w->buffered += part;
        w->offset += part;
        p += part;
        size -= part;
    }
    return VELOCITY_OK;
}

velocity_status file_writer_finish(struct file_writer *w) {
    velocity_status status = write_out(w);
    if (!status) status = env_sync(w->file);
    if (status) return status;
    env_file *file = w->file;
    w->file = NULL;
    return env_close(file);
}

void file_writer_clear(struct file_writer *w) {
    if (w->file && env_close(w->file)) { /* nobody relies on the file: what its close says does not matter */
    }
    cipher_free(w->cipher);
    env_free(w->buffer);
    env_free(w->path);
    *w = (struct file_writer){0};
}

void file_writer_abandon(struct file_writer *w) {
    env_file *file = w->file;
    w->file = NULL;
    if (file && env_close(file)) { /* the file is removed: what its close says no longer matters */
    }
    if (w->path && env_unlink(w->env, w->path)) { /* left for the next open, which removes what it does not know */
    }
    file_writer_clear(w);
}
