/*
 * engine_bare.c - the yardstick: no engine, only what the disk and the system need to make a put durable.
 *
 * With one thread: write and fdatasync of a record, one after the other. With more: a group commit. The threads copy
 * their records into the open one of two buffers; a leader closes it, writes and syncs it, offers the lead to the group
 * that has gathered meanwhile, and only then wakes its own, so that waking overlaps with the next sync. The file's
 * blocks are written beforehand (by writes of 4 KiB, which keep later syncs short), so that no sync has to write
 * metadata; the position wraps at its end.
 *
 * A buffer's `word`, on which its group sleeps, tells where group g (g % 2 is the buffer) stands:
 *     2g: gathering or being synced     2g + 1: one of the group is to take the lead     2g + 4 and more: on disk
 *
 * Threads: `mutex` guards open_group, leading and both buffers' `used` and bytes, but for those of a closed buffer,
 * which are its leader's.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FILE_BYTES   ((uint64_t)64 << 20)
#define FILL_BYTES   4096u
#define BUFFER_BYTES ((size_t)1 << 20)

typedef struct {
    char *bytes;
    size_t used;
    _Atomic uint32_t word;
} buffer;

typedef struct {
    int fd;
    bool grouped;
    uint64_t position;
    pthread_mutex_t mutex;
    bool leading;        /* someone leads, or was offered the lead */
    uint32_t open_group; /* that is being filled, in buffers[open_group % 2] */
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
        atomic_init(&f->buffers[i].word, 2 * (uint32_t)i);
    }
    return f;
}

static void close_file(void *db) {
    file *f = db;
    for (int i = 0; i < 2; i++) free(f->buffers[i].bytes);
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

/* Sets where the buffer's group stands, and wakes up to `sleepers` of it. */
static void announce(buffer *b, uint32_t word, int sleepers) {
    atomic_store(&b->word, word);
    (void)syscall(SYS_futex, &b->word, FUTEX_WAKE_PRIVATE, sleepers, NULL, NULL, 0);
}

/* Called by the one thread of the open group that has the lead; on return the group is on disk. */
static void lead(file *f) {
    (void)pthread_mutex_lock(&f->mutex);
    uint32_t group = f->open_group++;
    buffer *b = &f->buffers[group % 2], *next = &f->buffers[(group + 1) % 2];
    (void)pthread_mutex_unlock(&f->mutex);
    write_out(f, b->bytes, b->used);
    (void)pthread_mutex_lock(&f->mutex);
    b->used = 0;
    bool gathered = next->used > 0;
    f->leading = gathered;
    (void)pthread_mutex_unlock(&f->mutex);
    if (gathered) announce(next, 2 * (group + 1) + 1, 1);
    announce(b, 2 * group + 4, INT_MAX);
}

/* Until the group is on disk; takes the lead if it is offered. */
static void wait_for_group(file *f, uint32_t group) {
    buffer *b = &f->buffers[group % 2];
    for (;;) {
        uint32_t word = atomic_load(&b->word);
        if (word >= 2 * group + 4) return;
        if (word == 2 * group + 1) {
            if (!atomic_compare_exchange_strong(&b->word, &word, 2 * group)) continue;
            lead(f);
            return;
        }
        (void)syscall(SYS_futex, &b->word, FUTEX_WAIT_PRIVATE, word, NULL, NULL, 0);
    }
}

static void put_grouped(file *f, const char *key, const void *value, size_t size) {
    (void)pthread_mutex_lock(&f->mutex);
    uint32_t group = f->open_group;
    buffer *b = &f->buffers[group % 2];
    if (b->used + BENCH_KEY_BYTES + size > BUFFER_BYTES)
        bench_fail("bare: a group of records is larger than its buffer");
    memcpy(b->bytes + b->used, key, BENCH_KEY_BYTES);
    memcpy(b->bytes + b->used + BENCH_KEY_BYTES, value, size);
    b->used += BENCH_KEY_BYTES + size;
    bool first = !f->leading;
    f->leading = true;
    (void)pthread_mutex_unlock(&f->mutex);
    if (first) {
        lead(f);
    } else {
        wait_for_group(f, group);
    }
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

extern const bench_engine bench_bare;
const bench_engine bench_bare = {
    .id = "bare",
    .title = "bare",
    .kind = BENCH_BARE,
    .configuration = "no engine: write and fdatasync on written blocks; with 64 threads in groups",
    .open = open_file,
    .close = close_file,
    .session_new = session_new,
    .session_free = session_free,
    .put = put,
};
