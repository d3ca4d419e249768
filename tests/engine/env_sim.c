/*
 * env_sim.c - the simulated environment: handles, windows, faults and the clock over the disk of sim_disk.c. See
 * env_sim.h.
 *
 * Invariants
 * - A handle or lock is alive while its generation is the machine's; the process's end raises the machine's.
 * - A window is memory of its own. What was stored into it is carried to the file whenever the file is read, written or
 *   synced, and when the process ends; what is written to the file is carried to its windows.
 *
 * Threads: `guard` guards everything; it is a leaf.
 */
#include "env_sim.h"
#include "engine/status.h"
#include "sim_disk.h"

#include <stdio.h>
#include <stdlib.h>

struct sim_window {
    struct sim_window *next;
    struct disk_node *node;
    uint8_t *memory;
    uint64_t offset;
    size_t size;
};

struct sim_file {
    env_file file;
    env_sim *sim;
    struct sim_file *next; /* of the handles of the living process */
    struct disk_node *node;
    uint64_t generation;
    bool writable;
    char path[];
};

struct env_lock {
    env_sim *sim;
    struct disk_node *node;
    uint64_t generation;
};

struct env_sim {
    env env; /* first: an env * is an env_sim * */
    pthread_mutex_t guard;
    struct disk disk;
    struct sim_file *files;
    struct sim_window *windows, *dead_windows; /* dead: of an ended process, until it unmaps them */
    uint64_t generation;
    uint64_t calls, crash_at;         /* mutating calls so far; the first that finds the process gone */
    uint64_t fails_in[ENV_SIM_CALLS]; /* calls until one fails; 0: none */
    uint64_t clock_us;
    uint64_t test_random;
    bool dead;
};

static void *must(void *block) {
    if (block) return block;
    fprintf(stderr, "simulated environment: out of memory\n");
    abort();
}

static env_sim *sim_of(env *e) {
    return (env_sim *)e;
}
static void lock(env_sim *sim) {
    (void)pthread_mutex_lock(&sim->guard);
}
static void unlock(env_sim *sim) {
    (void)pthread_mutex_unlock(&sim->guard);
}

/* ---- windows ---------------------------------------------------------------------------------------------------- */

/* The engine's threads may be storing into the window: like the kernel, we take what is there, word by word. */
__attribute__((no_sanitize("thread"), noinline)) static void copy_racing(uint8_t *to, const uint8_t *from,
                                                                         size_t size) {
    volatile uint64_t *target = (volatile uint64_t *)(void *)to;
    const volatile uint64_t *source = (const volatile uint64_t *)(const void *)from;
    for (size_t i = 0; i < size / sizeof *target; i++) target[i] = source[i];
}

static void carry_window(env_sim *sim, struct sim_window *w) {
    uint64_t now[DISK_SECTOR_BYTES / 8], stored[DISK_SECTOR_BYTES / 8];
    for (size_t at = 0; at < w->size; at += DISK_SECTOR_BYTES) {
        copy_racing((uint8_t *)stored, w->memory + at, sizeof stored);
        size_t there = disk_read(w->node, now, sizeof now, w->offset + at);
        if (memcmp(now, stored, there) == 0) continue;
        (void)disk_write(&sim->disk, w->node, stored, there, w->offset + at); /* its blocks exist */
    }
}

static void carry_windows_of(env_sim *sim, const struct disk_node *node) {
    for (struct sim_window *w = sim->windows; w; w = w->next)
        if (w->node == node) carry_window(sim, w);
}

/* Shows in the windows what was just written to [offset, offset + size) of their file. */
static void refresh_windows(env_sim *sim, const struct disk_node *node, uint64_t offset, size_t size) {
    for (struct sim_window *w = sim->windows; w; w = w->next) {
        uint64_t start = offset > w->offset ? offset : w->offset;
        uint64_t end = offset + size < w->offset + w->size ? offset + size : w->offset + w->size;
        if (w->node != node || start >= end) continue;
        (void)disk_read(node, w->memory + (start - w->offset), (size_t)(end - start), start);
    }
}

/* ---- the process's end ------------------------------------------------------------------------------------------ */

static void end_process(env_sim *sim) {
    for (struct sim_window *w = sim->windows; w; w = w->next) carry_window(sim, w);
    while (sim->windows) {
        struct sim_window *w = sim->windows;
        sim->windows = w->next;
        w->node = NULL;
        w->next = sim->dead_windows;
        sim->dead_windows = w;
    }
    for (struct sim_file *f = sim->files; f; f = f->next) {
        f->node->handles--;
        f->node = NULL;
    }
    sim->files = NULL;
    for (struct disk_node *node = sim->disk.nodes; node; node = node->next) {
        if (node->locked) node->handles--;
        node->locked = false;
    }
    sim->generation++;
    sim->dead = true;
}

static void start_process(env_sim *sim) {
    sim->dead = false;
    sim->crash_at = UINT64_MAX;
    memset(sim->fails_in, 0, sizeof sim->fails_in);
}

void env_sim_kill(env_sim *sim) {
    lock(sim);
    if (!sim->dead) end_process(sim);
    start_process(sim);
    unlock(sim);
}

void env_sim_power_cut(env_sim *sim) {
    lock(sim);
    if (!sim->dead) end_process(sim);
    disk_power_cut(&sim->disk);
    start_process(sim);
    unlock(sim);
}

/* ---- what every call asks first --------------------------------------------------------------------------------- */

static velocity_status gone(const char *path, const char *action) {
    return status_set(VELOCITY_IO, "%s: cannot %s: the process is gone (simulated)", path, action);
}

/* Fails if the process is gone, or if this call was told to fail. */
static velocity_status may_call(env_sim *sim, enum env_sim_call call, const char *path, const char *action) {
    if (sim->dead) return gone(path, action);
    if (sim->fails_in[call] == 0 || --sim->fails_in[call] > 0) return VELOCITY_OK;
    return status_set(VELOCITY_IO, "%s: cannot %s: Input/output error (simulated)", path, action);
}

/* The same for a call that changes something: it counts, and may find the process gone. */
static velocity_status may_change(env_sim *sim, enum env_sim_call call, const char *path, const char *action) {
    if (!sim->dead && sim->calls >= sim->crash_at) end_process(sim);
    velocity_status status = may_call(sim, call, path, action);
    if (status == VELOCITY_OK) sim->calls++;
    return status;
}

static velocity_status alive(const struct sim_file *f, const char *action) {
    return f->generation == f->sim->generation && !f->sim->dead ? VELOCITY_OK : gone(f->path, action);
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

static env_file *handle_new(env_sim *sim, struct disk_node *node, const char *path, bool writable) {
    struct sim_file *f = must(malloc(sizeof *f + strlen(path) + 1));
    f->file.operations = sim->env.operations;
    f->sim = sim;
    f->node = node;
    f->generation = sim->generation;
    f->writable = writable;
    memcpy(f->path, path, strlen(path) + 1);
    f->next = sim->files;
    sim->files = f;
    node->handles++;
    return &f->file;
}

static velocity_status open_existing(env *e, const char *path, bool writable, env_file **out) {
    env_sim *sim = sim_of(e);
    *out = NULL;
    lock(sim);
    velocity_status status = may_call(sim, ENV_SIM_OPEN, path, "open");
    struct disk_node *node = status == VELOCITY_OK ? disk_find(&sim->disk, path) : NULL;
    if (status == VELOCITY_OK && !node)
        status = status_set(VELOCITY_NOT_FOUND, "%s: cannot open: it does not exist", path);
    if (status == VELOCITY_OK && node->is_directory)
        status = status_set(VELOCITY_IO, "%s: cannot open: it is a folder", path);
    if (status == VELOCITY_OK) *out = handle_new(sim, node, path, writable);
    unlock(sim);
    return status;
}

static velocity_status sim_open_read(env *e, const char *path, env_file **out) {
    return open_existing(e, path, false, out);
}

static velocity_status sim_open_write(env *e, const char *path, env_file **out) {
    return open_existing(e, path, true, out);
}

static velocity_status sim_create(env *e, const char *path, env_file **out) {
    env_sim *sim = sim_of(e);
    *out = NULL;
    lock(sim);
    velocity_status status = may_change(sim, ENV_SIM_CREATE, path, "create");
    struct disk_node *node = status == VELOCITY_OK ? disk_find(&sim->disk, path) : NULL;
    if (status == VELOCITY_OK && node && node->is_directory)
        status = status_set(VELOCITY_IO, "%s: cannot create: it is a folder", path);
    else if (status == VELOCITY_OK && node)
        disk_truncate(node, 0);
    else if (status == VELOCITY_OK)
        status = disk_make(&sim->disk, path, false, &node);
    if (status == VELOCITY_OK) *out = handle_new(sim, node, path, true);
    unlock(sim);
    return status;
}

static velocity_status sim_read(env_file *file, void *buffer, size_t size, uint64_t offset, size_t *got) {
    struct sim_file *f = (struct sim_file *)file;
    *got = 0;
    lock(f->sim);
    velocity_status status = alive(f, "read");
    if (status == VELOCITY_OK) status = may_call(f->sim, ENV_SIM_READ, f->path, "read");
    if (status == VELOCITY_OK) {
        carry_windows_of(f->sim, f->node);
        *got = disk_read(f->node, buffer, size, offset);
    }
    unlock(f->sim);
    return status;
}

/* The call during which the process ends may have written the first part. */
static void half_write(struct sim_file *f, const void *data, size_t size, uint64_t offset) {
    size_t done = (size_t)disk_random(&f->sim->disk, size + 1);
    (void)disk_write(&f->sim->disk, f->node, data, done, offset);
    refresh_windows(f->sim, f->node, offset, done);
}

static velocity_status write_locked(struct sim_file *f, const void *data, size_t size, uint64_t offset) {
    env_sim *sim = f->sim;
    velocity_status status = alive(f, "write");
    if (status != VELOCITY_OK) return status;
    if (!f->writable) return status_set(VELOCITY_IO, "%s: cannot write: opened for reading", f->path);
    carry_windows_of(sim, f->node);
    if (sim->calls >= sim->crash_at) half_write(f, data, size, offset);
    status = may_change(sim, ENV_SIM_WRITE, f->path, "write");
    if (status != VELOCITY_OK) return status;
    size_t done = disk_write(&sim->disk, f->node, data, size, offset);
    refresh_windows(sim, f->node, offset, done);
    if (done < size) return status_set(VELOCITY_NO_SPACE, "%s: cannot write: no space left (simulated)", f->path);
    return VELOCITY_OK;
}

static velocity_status sim_write(env_file *file, const void *data, size_t size, uint64_t offset) {
    struct sim_file *f = (struct sim_file *)file;
    lock(f->sim);
    velocity_status status = write_locked(f, data, size, offset);
    unlock(f->sim);
    return status;
}

static velocity_status sim_sync(env_file *file) {
    struct sim_file *f = (struct sim_file *)file;
    lock(f->sim);
    velocity_status status = alive(f, "sync");
    if (status == VELOCITY_OK) status = may_change(f->sim, ENV_SIM_SYNC, f->path, "sync");
    if (alive(f, "sync") == VELOCITY_OK) {
        carry_windows_of(f->sim, f->node);
        if (status == VELOCITY_OK)
            disk_sync(f->node);
        else
            disk_sync_failed(&f->sim->disk, f->node);
    }
    unlock(f->sim);
    return status;
}

static velocity_status sim_flush_range(env_file *file, uint64_t offset, uint64_t size) {
    struct sim_file *f = (struct sim_file *)file;
    (void)offset, (void)size; /* a hint, which moves nothing for sure */
    lock(f->sim);
    velocity_status status = alive(f, "start writing back");
    unlock(f->sim);
    return status;
}

static velocity_status sim_truncate(env_file *file, uint64_t size) {
    struct sim_file *f = (struct sim_file *)file;
    lock(f->sim);
    velocity_status status = alive(f, "truncate");
    if (status == VELOCITY_OK) status = may_change(f->sim, ENV_SIM_TRUNCATE, f->path, "truncate");
    if (status == VELOCITY_OK) {
        carry_windows_of(f->sim, f->node);
        disk_truncate(f->node, size);
        refresh_windows(f->sim, f->node, 0, (size_t)size);
    }
    unlock(f->sim);
    return status;
}

static velocity_status sim_size(env_file *file, uint64_t *out) {
    struct sim_file *f = (struct sim_file *)file;
    lock(f->sim);
    velocity_status status = alive(f, "examine");
    if (status == VELOCITY_OK) *out = f->node->size;
    unlock(f->sim);
    return status;
}

static velocity_status sim_close(env_file *file) {
    struct sim_file *f = (struct sim_file *)file;
    env_sim *sim = f->sim;
    lock(sim);
    velocity_status status = alive(f, "close");
    if (f->generation == sim->generation) {
        struct sim_file **link = &sim->files;
        while (*link != f) link = &(*link)->next;
        *link = f->next;
        f->node->handles--;
    }
    unlock(sim);
    free(f);
    return status;
}

static velocity_status map_locked(struct sim_file *f, uint64_t offset, size_t size, uint8_t **out) {
    env_sim *sim = f->sim;
    velocity_status status = alive(f, "map");
    if (status == VELOCITY_OK) status = may_call(sim, ENV_SIM_MAP, f->path, "map");
    if (status != VELOCITY_OK) return status;
    if (!f->writable || offset % ENV_PAGE_BYTES || size == 0)
        return status_set(VELOCITY_IO, "%s: cannot map %zu bytes at %llu: Invalid argument", f->path, size,
                          (unsigned long long)offset);
    /* The real system would answer with a signal, at the first touch. */
    if (offset + size > f->node->size)
        return status_set(VELOCITY_IO, "%s: cannot map past the end of the file", f->path);
    struct sim_window *w = must(malloc(sizeof *w));
    size_t rounded = (size + ENV_PAGE_BYTES - 1) / ENV_PAGE_BYTES * ENV_PAGE_BYTES;
    *w = (struct sim_window){sim->windows, f->node, must(aligned_alloc(ENV_PAGE_BYTES, rounded)), offset, rounded};
    carry_windows_of(sim, f->node);
    memset(w->memory, 0, rounded);
    (void)disk_read(f->node, w->memory, rounded, offset);
    sim->windows = w;
    *out = w->memory;
    return VELOCITY_OK;
}

static velocity_status sim_map(env_file *file, uint64_t offset, size_t size, uint8_t **out) {
    struct sim_file *f = (struct sim_file *)file;
    *out = NULL;
    lock(f->sim);
    velocity_status status = map_locked(f, offset, size, out);
    unlock(f->sim);
    return status;
}

static void free_window(struct sim_window *w) {
    free(w->memory);
    free(w);
}

static struct sim_window *take_window(struct sim_window **list, const uint8_t *memory) {
    for (struct sim_window **link = list; *link; link = &(*link)->next) {
        struct sim_window *w = *link;
        if (w->memory != memory) continue;
        *link = w->next;
        return w;
    }
    return NULL;
}

static void sim_unmap(env_file *file, uint8_t *window, size_t size) {
    env_sim *sim = ((struct sim_file *)file)->sim;
    (void)size;
    lock(sim);
    struct sim_window *w = take_window(&sim->windows, window);
    if (w)
        carry_window(sim, w);
    else
        w = take_window(&sim->dead_windows, window);
    unlock(sim);
    free_window(must(w));
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

static velocity_status sim_rename(env *e, const char *from, const char *to) {
    env_sim *sim = sim_of(e);
    lock(sim);
    velocity_status status = may_change(sim, ENV_SIM_RENAME, from, "rename");
    if (status == VELOCITY_OK) status = disk_rename(&sim->disk, from, to);
    unlock(sim);
    return status;
}

static velocity_status sim_unlink(env *e, const char *path) {
    env_sim *sim = sim_of(e);
    lock(sim);
    velocity_status status = may_change(sim, ENV_SIM_UNLINK, path, "remove");
    if (status == VELOCITY_OK) status = disk_unlink(&sim->disk, path);
    unlock(sim);
    return status;
}

static velocity_status sim_make_directory(env *e, const char *path) {
    env_sim *sim = sim_of(e);
    lock(sim);
    velocity_status status = may_change(sim, ENV_SIM_MAKE_DIRECTORY, path, "make the folder");
    struct disk_node *node = status == VELOCITY_OK ? disk_find(&sim->disk, path) : NULL;
    if (status == VELOCITY_OK && !node)
        status = disk_make(&sim->disk, path, true, &node);
    else if (status == VELOCITY_OK && !node->is_directory)
        status = status_set(VELOCITY_IO, "%s: cannot make the folder: it is a file", path);
    unlock(sim);
    return status;
}

static velocity_status find_directory(env_sim *sim, const char *path, const char *action, struct disk_node **out) {
    *out = disk_find(&sim->disk, path);
    if (!*out) return status_set(VELOCITY_NOT_FOUND, "%s: cannot %s: it does not exist", path, action);
    if (!(*out)->is_directory) return status_set(VELOCITY_IO, "%s: cannot %s: it is a file", path, action);
    return VELOCITY_OK;
}

static velocity_status sim_sync_directory(env *e, const char *path) {
    env_sim *sim = sim_of(e);
    struct disk_node *node = NULL;
    lock(sim);
    velocity_status status = may_change(sim, ENV_SIM_SYNC_DIRECTORY, path, "sync the folder");
    if (status == VELOCITY_OK) status = find_directory(sim, path, "sync the folder", &node);
    if (status == VELOCITY_OK) disk_sync_directory(&sim->disk, node);
    unlock(sim);
    return status;
}

/* The names are copied first, for `visit` may call the environment. */
static velocity_status sim_list(env *e, const char *path, velocity_status (*visit)(void *, const char *), void *arg) {
    env_sim *sim = sim_of(e);
    struct disk_node *node = NULL;
    char **names = NULL;
    size_t count = 0;
    lock(sim);
    velocity_status status = may_call(sim, ENV_SIM_LIST, path, "list");
    if (status == VELOCITY_OK) status = find_directory(sim, path, "list", &node);
    if (status == VELOCITY_OK) {
        count = node->now.count;
        names = must(malloc((count + 1) * sizeof *names));
        for (size_t i = 0; i < count; i++) names[i] = must(strdup(node->now.list[i].name));
    }
    unlock(sim);
    for (size_t i = 0; i < count; i++) {
        if (status == VELOCITY_OK) status = visit(arg, names[i]);
        free(names[i]);
    }
    free(names);
    return status;
}

static velocity_status sim_exists(env *e, const char *path, bool *out) {
    env_sim *sim = sim_of(e);
    *out = false;
    lock(sim);
    velocity_status status = sim->dead ? gone(path, "look for") : VELOCITY_OK;
    if (status == VELOCITY_OK) *out = disk_find(&sim->disk, path) != NULL;
    unlock(sim);
    return status;
}

static velocity_status sim_lock(env *e, const char *path, env_lock **out) {
    env_sim *sim = sim_of(e);
    struct disk_node *node = NULL;
    *out = NULL;
    lock(sim);
    velocity_status status = sim->dead ? gone(path, "lock") : VELOCITY_OK;
    if (status == VELOCITY_OK) node = disk_find(&sim->disk, path);
    if (status == VELOCITY_OK && !node) status = disk_make(&sim->disk, path, false, &node);
    if (status == VELOCITY_OK && node->locked)
        status = status_set(VELOCITY_LOCKED, "%s: already held by this process", path);
    if (status == VELOCITY_OK) {
        env_lock *l = must(malloc(sizeof *l));
        *l = (env_lock){sim, node, sim->generation};
        node->locked = true;
        node->handles++;
        *out = l;
    }
    unlock(sim);
    return status;
}

static void sim_unlock(env_lock *l) {
    if (!l) return;
    lock(l->sim);
    if (l->generation == l->sim->generation) {
        l->node->locked = false;
        l->node->handles--;
    }
    unlock(l->sim);
    free(l);
}

/* ---- clocks and random numbers ---------------------------------------------------------------------------------- */

static uint64_t sim_monotonic_us(env *e) {
    env_sim *sim = sim_of(e);
    lock(sim);
    uint64_t now = ++sim->clock_us;
    unlock(sim);
    return now;
}

#define CLOCK_STARTS_AT_MS UINT64_C(1700000000000) /* in November 2023 */

static uint64_t sim_now_ms(env *e) {
    return CLOCK_STARTS_AT_MS + sim_monotonic_us(e) / 1000;
}

static velocity_status sim_random(env *e, void *buffer, size_t size) {
    env_sim *sim = sim_of(e);
    lock(sim);
    for (size_t i = 0; i < size; i++) ((uint8_t *)buffer)[i] = (uint8_t)disk_random(&sim->disk, 256);
    unlock(sim);
    return VELOCITY_OK;
}

static const struct env_operations sim_operations = {
    .open_read = sim_open_read,
    .create = sim_create,
    .open_write = sim_open_write,
    .read = sim_read,
    .write = sim_write,
    .sync = sim_sync,
    .flush_range = sim_flush_range,
    .truncate = sim_truncate,
    .size = sim_size,
    .close = sim_close,
    .map = sim_map,
    .unmap = sim_unmap,
    .rename = sim_rename,
    .unlink = sim_unlink,
    .make_directory = sim_make_directory,
    .sync_directory = sim_sync_directory,
    .list = sim_list,
    .exists = sim_exists,
    .lock = sim_lock,
    .unlock = sim_unlock,
    .now_ms = sim_now_ms,
    .monotonic_us = sim_monotonic_us,
    .random = sim_random,
    .inline_jobs = true,
};

/* ---- for tests -------------------------------------------------------------------------------------------------- */

env_sim *env_sim_new(uint64_t seed) {
    env_sim *sim = must(calloc(1, sizeof *sim));
    sim->env.operations = &sim_operations;
    (void)pthread_mutex_init(&sim->guard, NULL);
    disk_init(&sim->disk, seed);
    sim->test_random = ~seed;
    sim->crash_at = UINT64_MAX;
    return sim;
}

env *env_sim_env(env_sim *sim) {
    return &sim->env;
}

void env_sim_free(env_sim *sim) {
    if (!sim) return;
    if (!sim->dead) end_process(sim);
    while (sim->dead_windows) {
        struct sim_window *w = sim->dead_windows;
        sim->dead_windows = w->next;
        free_window(w);
    }
    disk_destroy(&sim->disk);
    (void)pthread_mutex_destroy(&sim->guard);
    free(sim);
}

void env_sim_lose_any_names(env_sim *sim) {
    lock(sim);
    sim->disk.any_subset = true;
    unlock(sim);
}

void env_sim_crash_after(env_sim *sim, uint64_t calls) {
    lock(sim);
    sim->crash_at = sim->calls + calls;
    if (calls == 0 && !sim->dead) end_process(sim);
    unlock(sim);
}

void env_sim_no_crash(env_sim *sim) {
    lock(sim);
    sim->crash_at = UINT64_MAX;
    unlock(sim);
}

bool env_sim_crashed(env_sim *sim) {
    lock(sim);
    bool dead = sim->dead;
    unlock(sim);
    return dead;
}

uint64_t env_sim_calls(env_sim *sim) {
    lock(sim);
    uint64_t calls = sim->calls;
    unlock(sim);
    return calls;
}

void env_sim_fail(env_sim *sim, enum env_sim_call call, uint64_t nth) {
    lock(sim);
    sim->fails_in[call] = nth;
    unlock(sim);
}

void env_sim_set_capacity(env_sim *sim, uint64_t bytes) {
    lock(sim);
    sim->disk.capacity = bytes;
    unlock(sim);
}

uint64_t env_sim_used(env_sim *sim) {
    lock(sim);
    uint64_t used = disk_used(&sim->disk);
    unlock(sim);
    return used;
}

bool env_sim_flip_bit(env_sim *sim, const char *path, uint64_t offset, unsigned bit) {
    lock(sim);
    struct disk_node *node = disk_find(&sim->disk, path);
    bool there = node && !node->is_directory && offset < node->size && disk_flip_bit(node, offset, bit);
    unlock(sim);
    return there;
}

uint8_t *env_sim_read_file(env_sim *sim, const char *path, size_t *size) {
    uint8_t *bytes = NULL;
    lock(sim);
    struct disk_node *node = disk_find(&sim->disk, path);
    if (node && !node->is_directory) {
        carry_windows_of(sim, node);
        *size = (size_t)node->size;
        bytes = must(malloc(*size + 1));
        (void)disk_read(node, bytes, *size, 0);
    }
    unlock(sim);
    return bytes;
}

size_t env_sim_open_files(env_sim *sim) {
    size_t count = 0;
    lock(sim);
    for (const struct sim_file *f = sim->files; f; f = f->next) count++;
    unlock(sim);
    return count;
}

void env_sim_advance_ms(env_sim *sim, uint64_t ms) {
    lock(sim);
    sim->clock_us += ms * 1000;
    unlock(sim);
}

uint64_t env_sim_random(env_sim *sim, uint64_t limit) {
    struct disk own = {.random = sim->test_random};
    uint64_t number = disk_random(&own, limit);
    sim->test_random = own.random;
    return number;
}
