/*
 * env.h - the engine's only door to the operating system: files, directories, log windows, clock, random numbers,
 * memory, locks, threads.
 *
 * env_posix.c is the real one. tests/engine/env_sim.c is the simulated one: it keeps files in memory, can kill the
 * process or cut the power at any call (losing unsynced sectors), fail the nth call and run out of space; under it
 * background jobs run inline (env_inline_jobs), so that a workload is deterministic.
 *
 * Every function returns VELOCITY_OK or sets this thread's error message, which names the file. ENOSPC and EDQUOT
 * become VELOCITY_NO_SPACE; ENOENT becomes VELOCITY_NOT_FOUND, or VELOCITY_IO of create, rename, link and
 * sync_directory (that a folder is gone must not look like a key that is not there); everything else VELOCITY_IO. EINTR
 * and short transfers are retried inside.
 *
 * Threads: all functions may be called from any thread; a file may be read by many threads at once (pread); writes to
 * one file come from one thread at a time.
 */
#ifndef VELOCITY_ENV_H
#define VELOCITY_ENV_H

#include "velocity.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct env env;           /* an operating system, real or simulated */
typedef struct env_file env_file; /* an open file */
typedef struct env_lock env_lock; /* a held lock file */

/* What an environment offers. Call it through the inline functions below. */
struct env_operations {
    velocity_status (*open_read)(env *, const char *path, env_file **out);  /* existing file, read only */
    velocity_status (*create)(env *, const char *path, env_file **out);     /* new or truncated, read and write */
    velocity_status (*open_write)(env *, const char *path, env_file **out); /* existing file, read and write */
    velocity_status (*read)(env_file *, void *buffer, size_t size, uint64_t offset,
                            size_t *got); /* *got < size only at the end of the file */
    velocity_status (*write)(env_file *, const void *data, size_t size, uint64_t offset);
    /* Blocks for [offset, offset + size), which lies behind what the file holds: they read as zeros, and a full disk
     * shows here and not at a later write or store. Not durable before a sync. */
    velocity_status (*allocate)(env_file *, uint64_t offset, uint64_t size);
    velocity_status (*sync)(env_file *); /* fdatasync */
    velocity_status (*flush_range)(env_file *, uint64_t offset,
                                   uint64_t size); /* starts writeback, to pace dirty pages; a hint */
    velocity_status (*truncate)(env_file *, uint64_t size);
    velocity_status (*size)(env_file *, uint64_t *out);
    velocity_status (*open_to_others)(env_file *, bool *out); /* who is neither its owner nor of its group may use it */
    velocity_status (*close)(env_file *); /* frees the handle whatever it answers; NULL is allowed */
    /* A writable window on [offset, offset + size) of a file opened for writing whose blocks exist. Stores into it are
     * in the page cache at once (they survive the process); sync() of the file makes them durable. offset is a multiple
     * of ENV_PAGE_BYTES. */
    velocity_status (*map)(env_file *, uint64_t offset, size_t size, uint8_t **out);
    void (*unmap)(env_file *, uint8_t *window, size_t size);
    velocity_status (*rename)(env *, const char *from, const char *to);
    /* A second name for the file. UNSUPPORTED: the file system has no such thing for these two places. */
    velocity_status (*link)(env *, const char *from, const char *to);
    velocity_status (*unlink)(env *, const char *path);
    velocity_status (*remove_directory)(env *, const char *path); /* an empty one */
    velocity_status (*make_directory)(env *, const char *path);   /* OK where it exists already */
    velocity_status (*sync_directory)(env *, const char *path);
    /* Calls visit for every entry but . and .. ; the name lives during the call. Stops at the first status that is not
     * OK. */
    velocity_status (*list)(env *, const char *path, velocity_status (*visit)(void *arg, const char *name), void *arg);
    velocity_status (*exists)(env *, const char *path, bool *out);
    velocity_status (*lock)(env *, const char *path, env_lock **out); /* LOCKED if held, by this process too */
    void (*unlock)(env_lock *);
    uint64_t (*now_ms)(env *); /* wall clock */
    uint64_t (*monotonic_us)(env *);
    velocity_status (*random)(env *, void *buffer, size_t size);
    bool inline_jobs; /* background jobs run in the thread that waits for them */
};

struct env {
    const struct env_operations *operations;
};

/* Every env_file begins with this. */
struct env_file {
    const struct env_operations *operations;
};

#define ENV_PAGE_BYTES 4096u

env *env_posix(void); /* the real one; static, never freed */

#define ENV_CALL VELOCITY_CHECK_RESULT static inline velocity_status
ENV_CALL env_open_read(env *e, const char *path, env_file **out) {
    return e->operations->open_read(e, path, out);
}
ENV_CALL env_create(env *e, const char *path, env_file **out) {
    return e->operations->create(e, path, out);
}
ENV_CALL env_open_write(env *e, const char *path, env_file **out) {
    return e->operations->open_write(e, path, out);
}
ENV_CALL env_read(env_file *f, void *buffer, size_t size, uint64_t offset, size_t *got) {
    return f->operations->read(f, buffer, size, offset, got);
}
ENV_CALL env_write(env_file *f, const void *data, size_t size, uint64_t offset) {
    return f->operations->write(f, data, size, offset);
}
ENV_CALL env_allocate(env_file *f, uint64_t offset, uint64_t size) {
    return f->operations->allocate(f, offset, size);
}
ENV_CALL env_sync(env_file *f) {
    return f->operations->sync(f);
}
ENV_CALL env_flush_range(env_file *f, uint64_t offset, uint64_t size) {
    return f->operations->flush_range(f, offset, size);
}
ENV_CALL env_truncate(env_file *f, uint64_t size) {
    return f->operations->truncate(f, size);
}
ENV_CALL env_size(env_file *f, uint64_t *out) {
    return f->operations->size(f, out);
}
ENV_CALL env_open_to_others(env_file *f, bool *out) {
    return f->operations->open_to_others(f, out);
}
ENV_CALL env_close(env_file *f) {
    return f ? f->operations->close(f) : VELOCITY_OK;
}
ENV_CALL env_map(env_file *f, uint64_t offset, size_t size, uint8_t **out) {
    return f->operations->map(f, offset, size, out);
}
static inline void env_unmap(env_file *f, uint8_t *window, size_t size) {
    f->operations->unmap(f, window, size);
}
ENV_CALL env_rename(env *e, const char *from, const char *to) {
    return e->operations->rename(e, from, to);
}
ENV_CALL env_link(env *e, const char *from, const char *to) {
    return e->operations->link(e, from, to);
}
ENV_CALL env_remove_directory(env *e, const char *path) {
    return e->operations->remove_directory(e, path);
}
ENV_CALL env_unlink(env *e, const char *path) {
    return e->operations->unlink(e, path);
}
ENV_CALL env_make_directory(env *e, const char *path) {
    return e->operations->make_directory(e, path);
}
ENV_CALL env_sync_directory(env *e, const char *path) {
    return e->operations->sync_directory(e, path);
}
ENV_CALL env_list(env *e, const char *path, velocity_status (*visit)(void *, const char *), void *arg) {
    return e->operations->list(e, path, visit, arg);
}
ENV_CALL env_exists(env *e, const char *path, bool *out) {
    return e->operations->exists(e, path, out);
}
ENV_CALL env_lock_file(env *e, const char *path, env_lock **out) {
    return e->operations->lock(e, path, out);
}
static inline void env_unlock_file(env *e, env_lock *lock) {
    e->operations->unlock(lock);
}
static inline uint64_t env_now_ms(env *e) {
    return e->operations->now_ms(e);
}
static inline uint64_t env_monotonic_us(env *e) {
    return e->operations->monotonic_us(e);
}
ENV_CALL env_random(env *e, void *buffer, size_t size) {
    return e->operations->random(e, buffer, size);
}
static inline bool env_inline_jobs(const env *e) {
    return e->operations->inline_jobs;
}

/* ---- memory: the engine allocates through these alone, so that tests can make the nth allocation fail --------- */

void *env_alloc(size_t size); /* NULL: no memory, and the error message is set */
void *env_alloc_zeroed(size_t size);
void *env_alloc_aligned(size_t alignment, size_t size); /* alignment: a power of two >= sizeof(void *) */
void *env_realloc(void *block, size_t size);
/*
 * Large memory that goes back to the system when freed: a multiple of ENV_HUGE_BYTES, aligned to it, in huge pages
 * where the system has them. (malloc would keep it, and small pages cost a memtable's random accesses a fifth of their
 * time.)
 */
#define ENV_HUGE_BYTES (2u << 20)
void *env_alloc_huge(size_t size);            /* NULL: no memory, and the error message is set */
void env_free_huge(void *block, size_t size); /* NULL is allowed */
/* Has the system find memory for all of it now, rather than when it is touched. The content is undefined after. */
void env_populate(void *block, size_t size);
void env_free(void *block); /* of any of the above; NULL is allowed */
/* For tests: the nth allocation from now fails, and every later one if `all_after`. 0: none. */
void env_fail_allocation(uint64_t nth, bool all_after);
bool env_allocation_failed(void); /* whether there was an nth, where it alone had to fail */

/* ---- locks and threads ---------------------------------------------------------------------------------------- */

typedef struct {
    pthread_mutex_t mutex;
} env_mutex;
typedef struct {
    pthread_cond_t condition;
} env_condition;
typedef pthread_t env_thread;

void env_mutex_init(env_mutex *m);
void env_mutex_destroy(env_mutex *m);
static inline void env_mutex_lock(env_mutex *m) {
    (void)pthread_mutex_lock(&m->mutex);
}
static inline void env_mutex_unlock(env_mutex *m) {
    (void)pthread_mutex_unlock(&m->mutex);
}
void env_condition_init(env_condition *c); /* waits measure the monotonic clock */
void env_condition_destroy(env_condition *c);
static inline void env_condition_wait(env_condition *c, env_mutex *m) {
    (void)pthread_cond_wait(&c->condition, &m->mutex);
}
/* False when the time ran out. */
bool env_condition_wait_ms(env_condition *c, env_mutex *m, uint64_t timeout_ms);
static inline void env_condition_signal(env_condition *c) {
    (void)pthread_cond_signal(&c->condition);
}
static inline void env_condition_broadcast(env_condition *c) {
    (void)pthread_cond_broadcast(&c->condition);
}
/* The name (15 bytes at most) shows in top and gdb. */
VELOCITY_CHECK_RESULT velocity_status env_thread_start(env_thread *out, const char *name, void *(*run)(void *),
                                                       void *arg);
void env_thread_join(env_thread thread);
uint32_t env_core_count(void);
/* Sleeps while *word == expected, or until woken; may return early without reason. (Linux: futex.) */
void env_wait_word(_Atomic uint32_t *word, uint32_t expected);
void env_wake_word(_Atomic uint32_t *word, bool all);
static inline void env_cpu_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}
void env_thread_yield(void);
void env_sleep_us(uint64_t us);

/* Runs `destroy(value)` when the calling thread ends, if value is not NULL. For per-thread records. */
typedef struct {
    pthread_key_t key;
} env_thread_local;
VELOCITY_CHECK_RESULT velocity_status env_thread_local_new(env_thread_local *out, void (*destroy)(void *));
void env_thread_local_set(env_thread_local *key, void *value);

#endif
