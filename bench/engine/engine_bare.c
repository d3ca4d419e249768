/*
 * engine_bare.c - the yardstick: no engine, only what the disk and the system need to make a put durable.
 *
 * With one thread: write and fdatasync of a record, one after the other. With more: a group commit. The threads copy
 * their records into the open one of two buffers; whoever finds no leader becomes it, closes the buffer, writes and
 * syncs it, and wakes those whose records were in it and one of those who wait to lead. The file's blocks are written
 * beforehand (by writes of 4 KiB, which keep later syncs short), so that no sync has to write metadata; the position
 * wraps at its end.
 *
 * Threads: `mutex` guards everything in `file` but the buffer that a leader has closed, which is the leader's.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_BYTES   ((uint64_t)64 << 20)
#define FILL_BYTES   4096u
#define BUFFER_BYTES ((size_t)1 << 20)

typedef struct {
    char *bytes;
    size_t used;
    pthread_cond_t synced;
} buffer;

typedef struct {
    int fd;
    bool grouped;
    uint64_t position;
    pthread_mutex_t mutex;
    bool leading;           /* someone writes and syncs */
    uint64_t open_group;    /* number of the group that is being filled; it fills buffers[open_group % 2] */
    uint64_t synced_groups; /* all groups below are on disk */
    buffer buffers[2];
} file;

static void write_out(file *f, const void *data, size_t size) {
    if (f->position + size > FILE_BYTES) f->position = 0;
    if (pwrite(f->fd, data, size, (off_t)f->position) != (ssize_t)size || fdatasync(f->fd) != 0)
        bench_fail("bare: write: %s", strerror(errno));
    f->position += size;
}

static void *open_file(const bench_settings *settings) {
    file *f = calloc(1, sizeof *f);
    char path[4096], zeros[FILL_BYTES] = {0};
    if (!f || snprintf(path, sizeof path, "%s/log", settings->directory) >= (int)sizeof path)
        bench_fail("bare: no path");
    f->fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (f->fd < 0) bench_fail("bare: %s: %s", path, strerror(errno));
    for (uint64_t at = 0; at < FILE_BYTES; at += FILL_BYTES)
        if (pwrite(f->fd, zeros, FILL_BYTES, (off_t)at) != FILL_BYTES)
            bench_fail("bare: %s: %s", path, strerror(errno));
    if (fsync(f->fd) != 0) bench_fail("bare: %s: %s", path, strerror(errno));
    f->grouped = settings->threads > 1;
    (void)pthread_mutex_init(&f->mutex, NULL);
    for (int i = 0; i < 2; i++) {
        f->buffers[i].bytes = malloc(BUFFER_BYTES);
        if (!f->buffers[i].bytes) bench_fail("no memory");
        (void)pthread_cond_init(&f->buffers[i].synced, NULL);
    }
    return f;
}

static void close_file(void *db) {
    file *f = db;
    for (int i = 0; i < 2; i++) {
        free(f->buffers[i].bytes);
        (void)pthread_cond_destroy(&f->buffers[i].synced);
    }
    (void)pthread_mutex_destroy(&f->mutex);
    (void)close(f->fd);
    free(f);
}

static void *session_new(void *db) {
    return db;
}
static void session_free(void *session) {
    (void)session;
}

/* Called with the mutex held, which is released while the disk works. Everybody in the group has its record on disk. */
static void lead(file *f) {
    buffer *b = &f->buffers[f->open_group % 2];
    f->leading = true;
    f->open_group++;
    (void)pthread_mutex_unlock(&f->mutex);
    write_out(f, b->bytes, b->used);
    (void)pthread_mutex_lock(&f->mutex);
    b->used = 0;
    f->leading = false;
    f->synced_groups = f->open_group;
    (void)pthread_cond_broadcast(&b->synced);
    (void)pthread_cond_signal(&f->buffers[f->open_group % 2].synced);
}

static void put_grouped(file *f, const char *key, const void *value, size_t size) {
    (void)pthread_mutex_lock(&f->mutex);
    uint64_t group = f->open_group;
    buffer *b = &f->buffers[group % 2];
    if (b->used + BENCH_KEY_BYTES + size > BUFFER_BYTES)
        bench_fail("bare: a group of threads is larger than the buffer");
    memcpy(b->bytes + b->used, key, BENCH_KEY_BYTES);
    memcpy(b->bytes + b->used + BENCH_KEY_BYTES, value, size);
    b->used += BENCH_KEY_BYTES + size;
    while (f->synced_groups <= group) {
        if (f->leading) {
            (void)pthread_cond_wait(&b->synced, &f->mutex);
        } else {
            lead(f);
        }
    }
    (void)pthread_mutex_unlock(&f->mutex);
}

static void put_alone(file *f, const char *key, const void *value, size_t size) {
    char *record = f->buffers[0].bytes;
    memcpy(record, key, BENCH_KEY_BYTES);
    memcpy(record + BENCH_KEY_BYTES, value, size);
    write_out(f, record, BENCH_KEY_BYTES + size);
}

static void put(void *session, const char *key, const void *value, size_t size) {
    file *f = session;
    if (f->grouped) {
        put_grouped(f, key, value, size);
    } else {
        put_alone(f, key, value, size);
    }
}

static const char *version(void) {
    return "-";
}

extern const bench_engine bench_bare;
const bench_engine bench_bare = {
    .id = "bare",
    .title = "bare",
    .kind = BENCH_BARE,
    .version = version,
    .configuration = "no engine: write and fdatasync on written blocks; with 64 threads in groups",
    .open = open_file,
    .close = close_file,
    .session_new = session_new,
    .session_free = session_free,
    .put = put,
};
