/* env_sim_calls.c - the calls that the engine makes of the simulated machine. See env_sim_internal.h. */
#include "engine/status.h"
#include "env_sim_internal.h"

#include <stdlib.h>

static env_sim *sim_of(env *e) {
    return (env_sim *)e;
}
/* ---- what every call asks first --------------------------------------------------------------------------------- */

static velocity_status gone(const char *path, const char *action) {
    return status_set(VELOCITY_IO, "%s: cannot %s: the process is gone (simulated)", path, action);
}

/* Fails if the process is gone, or if this call was told to fail. */
static velocity_status may_call(env_sim *sim, enum env_sim_call call, const char *path, const char *action) {
    if (sim->dead) return gone(path, action);
    if (sim->fails_in[call] == 0 || --sim->fails_in[call] > 0) return VELOCITY_OK;
    sim->has_failed[call] = true;
    return status_set(VELOCITY_IO, "%s: cannot %s: Input/output error (simulated)", path, action);
}

/* The same for a call that changes something: it counts, and may find the process gone. */
static velocity_status may_change(env_sim *sim, enum env_sim_call call, const char *path, const char *action) {
    if (!sim->dead && sim->calls >= sim->crash_at) machine_end_process(sim);
    velocity_status status = may_call(sim, call, path, action);
    if (status != VELOCITY_OK) return status;
    if (sim->calls == sim->history_capacity) {
        sim->history_capacity = sim->history_capacity ? sim->history_capacity * 2 : 1024;
        sim->history = sim_must(realloc(sim->history, sim->history_capacity));
    }
    sim->history[sim->calls++] = (uint8_t)call;
    return VELOCITY_OK;
}

static velocity_status alive(const struct sim_file *f, const char *action) {
    return f->generation == f->sim->generation && !f->sim->dead ? VELOCITY_OK : gone(f->path, action);
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

static env_file *handle_new(env_sim *sim, struct disk_node *node, const char *path, bool writable) {
    struct sim_file *f = sim_must(malloc(sizeof *f + strlen(path) + 1));
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
    machine_lock(sim);
    velocity_status status = may_call(sim, ENV_SIM_OPEN, path, "open");
    struct disk_node *node = status == VELOCITY_OK ? disk_find(&sim->disk, path) : NULL;
    if (status == VELOCITY_OK && !node)
        status = status_set(VELOCITY_NOT_FOUND, "%s: cannot open: it does not exist", path);
    if (status == VELOCITY_OK && node->is_directory)
        status = status_set(VELOCITY_IO, "%s: cannot open: it is a folder", path);
    if (status == VELOCITY_OK) *out = handle_new(sim, node, path, writable);
    machine_unlock(sim);
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
    machine_lock(sim);
    velocity_status status = may_change(sim, ENV_SIM_CREATE, path, "create");
    struct disk_node *node = status == VELOCITY_OK ? disk_find(&sim->disk, path) : NULL;
    if (status == VELOCITY_OK && node && node->is_directory)
        status = status_set(VELOCITY_IO, "%s: cannot create: it is a folder", path);
    else if (status == VELOCITY_OK && node)
        disk_truncate(node, 0);
    else if (status == VELOCITY_OK)
        status = disk_make(&sim->disk, path, false, &node);
    if (status == VELOCITY_OK) *out = handle_new(sim, node, path, true);
    if (status == VELOCITY_NOT_FOUND) status = VELOCITY_IO; /* its folder */
    machine_unlock(sim);
    return status;
}

static velocity_status sim_read(env_file *file, void *buffer, size_t size, uint64_t offset, size_t *got) {
    struct sim_file *f = (struct sim_file *)file;
    *got = 0;
    machine_lock(f->sim);
    velocity_status status = alive(f, "read");
    if (status == VELOCITY_OK) status = may_call(f->sim, ENV_SIM_READ, f->path, "read");
    if (status == VELOCITY_OK && f->node == f->sim->bad && offset < f->sim->bad_to && offset + size > f->sim->bad_from)
        status = status_set(VELOCITY_IO, "%s: cannot read: Input/output error (simulated)", f->path);
    if (status == VELOCITY_OK) {
        machine_carry_windows(f->sim, f->node);
        *got = disk_read(f->node, buffer, size, offset);
        f->sim->read_bytes += *got;
    }
    machine_unlock(f->sim);
    return status;
}

/* The call during which the process ends may have written the first part. */
static void half_write(struct sim_file *f, const void *data, size_t size, uint64_t offset) {
    size_t done = (size_t)disk_random(&f->sim->disk, size + 1);
    (void)disk_write(&f->sim->disk, f->node, data, done, offset);
    machine_refresh_windows(f->sim, f->node, offset, done);
}

static velocity_status write_locked(struct sim_file *f, const void *data, size_t size, uint64_t offset) {
    env_sim *sim = f->sim;
    velocity_status status = alive(f, "write");
    if (status != VELOCITY_OK) return status;
    if (!f->writable) return status_set(VELOCITY_IO, "%s: cannot write: opened for reading", f->path);
    machine_carry_windows(sim, f->node);
    if (sim->calls >= sim->crash_at) half_write(f, data, size, offset);
    status = may_change(sim, ENV_SIM_WRITE, f->path, "write");
    if (status != VELOCITY_OK) return status;
    size_t done = disk_write(&sim->disk, f->node, data, size, offset);
    machine_refresh_windows(sim, f->node, offset, done);
    if (done < size) return status_set(VELOCITY_NO_SPACE, "%s: cannot write: no space left (simulated)", f->path);
    return VELOCITY_OK;
}

static velocity_status sim_write(env_file *file, const void *data, size_t size, uint64_t offset) {
    struct sim_file *f = (struct sim_file *)file;
    machine_lock(f->sim);
    velocity_status status = write_locked(f, data, size, offset);
    machine_unlock(f->sim);
    return status;
}

/* One write of zeros: what blocks that were set aside read as. */
static velocity_status sim_allocate(env_file *file, uint64_t offset, uint64_t size) {
    uint8_t *zeros = calloc(1, size);
    if (!zeros) abort();
    velocity_status status = sim_write(file, zeros, size, offset);
    free(zeros);
    return status;
}

static velocity_status sim_sync(env_file *file) {
    struct sim_file *f = (struct sim_file *)file;
    machine_lock(f->sim);
    velocity_status status = alive(f, "sync");
    if (status == VELOCITY_OK) status = may_change(f->sim, ENV_SIM_SYNC, f->path, "sync");
    if (alive(f, "sync") == VELOCITY_OK) {
        machine_carry_windows(f->sim, f->node);
        if (status == VELOCITY_OK)
            disk_sync(f->node);
        else
            disk_sync_failed(&f->sim->disk, f->node);
    }
    machine_unlock(f->sim);
    return status;
}

static velocity_status sim_flush_range(env_file *file, uint64_t offset, uint64_t size) {
    struct sim_file *f = (struct sim_file *)file;
    (void)offset, (void)size; /* a hint, which moves nothing for sure */
    machine_lock(f->sim);
    velocity_status status = alive(f, "start writing back");
    if (status == VELOCITY_OK) status = may_change(f->sim, ENV_SIM_FLUSH_RANGE, f->path, "start writing back");
    machine_unlock(f->sim);
    return status;
}

static velocity_status sim_truncate(env_file *file, uint64_t size) {
    struct sim_file *f = (struct sim_file *)file;
    machine_lock(f->sim);
    velocity_status status = alive(f, "truncate");
    if (status == VELOCITY_OK) status = may_change(f->sim, ENV_SIM_TRUNCATE, f->path, "truncate");
    if (status == VELOCITY_OK) {
        machine_carry_windows(f->sim, f->node);
        disk_truncate(f->node, size);
        machine_refresh_windows(f->sim, f->node, 0, (size_t)size);
    }
    machine_unlock(f->sim);
    return status;
}

static velocity_status sim_open_to_others(env_file *file, bool *out) {
    (void)file;
    *out = false; /* one user alone */
    return VELOCITY_OK;
}

static velocity_status sim_size(env_file *file, uint64_t *out) {
    struct sim_file *f = (struct sim_file *)file;
    machine_lock(f->sim);
    velocity_status status = alive(f, "examine");
    if (status == VELOCITY_OK) *out = f->node->size;
    machine_unlock(f->sim);
    return status;
}

static velocity_status sim_close(env_file *file) {
    struct sim_file *f = (struct sim_file *)file;
    env_sim *sim = f->sim;
    machine_lock(sim);
    velocity_status status = alive(f, "close");
    if (f->generation == sim->generation) {
        struct sim_file **link = &sim->files;
        while (*link != f) link = &(*link)->next;
        *link = f->next;
        f->node->handles--;
    }
    machine_unlock(sim);
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
    struct sim_window *w = sim_must(malloc(sizeof *w));
    size_t rounded = (size + ENV_PAGE_BYTES - 1) / ENV_PAGE_BYTES * ENV_PAGE_BYTES;
    *w = (struct sim_window){sim->windows, f->node, sim_must(aligned_alloc(ENV_PAGE_BYTES, rounded)), offset, rounded};
    machine_carry_windows(sim, f->node);
    memset(w->memory, 0, rounded);
    (void)disk_read(f->node, w->memory, rounded, offset);
    sim->windows = w;
    *out = w->memory;
    return VELOCITY_OK;
}

static velocity_status sim_map(env_file *file, uint64_t offset, size_t size, uint8_t **out) {
    struct sim_file *f = (struct sim_file *)file;
    *out = NULL;
    machine_lock(f->sim);
    velocity_status status = map_locked(f, offset, size, out);
    machine_unlock(f->sim);
    return status;
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
    machine_lock(sim);
    struct sim_window *w = take_window(&sim->windows, window);
    if (w)
        machine_carry_window(sim, w);
    else
        w = take_window(&sim->dead_windows, window);
    machine_unlock(sim);
    sim_window_free(sim_must(w));
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

static velocity_status sim_rename(env *e, const char *from, const char *to) {
    env_sim *sim = sim_of(e);
    machine_lock(sim);
    velocity_status status = may_change(sim, ENV_SIM_RENAME, from, "rename");
    if (status == VELOCITY_OK) status = disk_rename(&sim->disk, from, to);
    if (status == VELOCITY_NOT_FOUND) status = VELOCITY_IO;
    machine_unlock(sim);
    return status;
}

static velocity_status sim_link(env *e, const char *from, const char *to) {
    env_sim *sim = sim_of(e);
    machine_lock(sim);
    velocity_status status = may_change(sim, ENV_SIM_LINK, from, "link");
    if (status == VELOCITY_OK && sim->no_links)
        status = status_set(VELOCITY_UNSUPPORTED, "%s: cannot be linked (simulated)", from);
    if (status == VELOCITY_OK) status = disk_link(&sim->disk, from, to);
    if (status == VELOCITY_NOT_FOUND) status = VELOCITY_IO;
    machine_unlock(sim);
    return status;
}

static velocity_status sim_remove_directory(env *e, const char *path) {
    env_sim *sim = sim_of(e);
    machine_lock(sim);
    velocity_status status = may_change(sim, ENV_SIM_REMOVE_DIRECTORY, path, "remove the folder");
    if (status == VELOCITY_OK) status = disk_remove_directory(&sim->disk, path);
    machine_unlock(sim);
    return status;
}

static velocity_status sim_unlink(env *e, const char *path) {
    env_sim *sim = sim_of(e);
    machine_lock(sim);
    velocity_status status = may_change(sim, ENV_SIM_UNLINK, path, "remove");
    if (status == VELOCITY_OK) status = disk_unlink(&sim->disk, path);
    machine_unlock(sim);
    return status;
}

static velocity_status sim_make_directory(env *e, const char *path) {
    env_sim *sim = sim_of(e);
    machine_lock(sim);
    velocity_status status = may_change(sim, ENV_SIM_MAKE_DIRECTORY, path, "make the folder");
    struct disk_node *node = status == VELOCITY_OK ? disk_find(&sim->disk, path) : NULL;
    if (status == VELOCITY_OK && !node)
        status = disk_make(&sim->disk, path, true, &node);
    else if (status == VELOCITY_OK && !node->is_directory)
        status = status_set(VELOCITY_IO, "%s: cannot make the folder: it is a file", path);
    machine_unlock(sim);
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
    machine_lock(sim);
    velocity_status status = may_change(sim, ENV_SIM_SYNC_DIRECTORY, path, "sync the folder");
    if (status == VELOCITY_OK) status = find_directory(sim, path, "sync the folder", &node);
    if (status == VELOCITY_NOT_FOUND) status = VELOCITY_IO;
    if (status == VELOCITY_OK) disk_sync_directory(&sim->disk, node);
    machine_unlock(sim);
    return status;
}

/* The names are copied first, for `visit` may call the environment. */
static velocity_status sim_list(env *e, const char *path, velocity_status (*visit)(void *, const char *), void *arg) {
    env_sim *sim = sim_of(e);
    struct disk_node *node = NULL;
    char **names = NULL;
    size_t count = 0;
    machine_lock(sim);
    velocity_status status = may_call(sim, ENV_SIM_LIST, path, "list");
    if (status == VELOCITY_OK) status = find_directory(sim, path, "list", &node);
    if (status == VELOCITY_OK) {
        count = node->now.count;
        names = sim_must(malloc((count + 1) * sizeof *names));
        for (size_t i = 0; i < count; i++) names[i] = sim_must(strdup(node->now.list[i].name));
    }
    machine_unlock(sim);
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
    machine_lock(sim);
    velocity_status status = sim->dead ? gone(path, "look for") : VELOCITY_OK;
    if (status == VELOCITY_OK) *out = disk_find(&sim->disk, path) != NULL;
    machine_unlock(sim);
    return status;
}

static velocity_status sim_lock(env *e, const char *path, env_lock **out) {
    env_sim *sim = sim_of(e);
    struct disk_node *node = NULL;
    *out = NULL;
    machine_lock(sim);
    velocity_status status = sim->dead ? gone(path, "lock") : VELOCITY_OK;
    if (status == VELOCITY_OK) node = disk_find(&sim->disk, path);
    if (status == VELOCITY_OK && !node) status = disk_make(&sim->disk, path, false, &node);
    if (status == VELOCITY_OK && node->locked)
        status = status_set(VELOCITY_LOCKED, "%s: already held by this process", path);
    if (status == VELOCITY_OK) {
        env_lock *l = sim_must(malloc(sizeof *l));
        *l = (env_lock){sim, node, sim->generation};
        node->locked = true;
        node->handles++;
        *out = l;
    }
    machine_unlock(sim);
    return status;
}

static void sim_unlock(env_lock *l) {
    if (!l) return;
    machine_lock(l->sim);
    if (l->generation == l->sim->generation) {
        l->node->locked = false;
        l->node->handles--;
    }
    machine_unlock(l->sim);
    free(l);
}

/* ---- clocks and random numbers ---------------------------------------------------------------------------------- */

static uint64_t sim_monotonic_us(env *e) {
    env_sim *sim = sim_of(e);
    machine_lock(sim);
    uint64_t now = ++sim->clock_us;
    machine_unlock(sim);
    return now;
}

#define CLOCK_STARTS_AT_MS UINT64_C(1700000000000) /* in November 2023 */

static uint64_t sim_now_ms(env *e) {
    env_sim *sim = sim_of(e);
    machine_lock(sim);
    uint64_t now = CLOCK_STARTS_AT_MS + ++sim->clock_us / 1000 - sim->set_back_ms;
    machine_unlock(sim);
    return now;
}

static velocity_status sim_random(env *e, void *buffer, size_t size) {
    env_sim *sim = sim_of(e);
    machine_lock(sim);
    for (size_t i = 0; i < size; i++) ((uint8_t *)buffer)[i] = (uint8_t)disk_random(&sim->disk, 256);
    machine_unlock(sim);
    return VELOCITY_OK;
}

const struct env_operations env_sim_operations = {
    .open_read = sim_open_read,
    .create = sim_create,
    .open_write = sim_open_write,
    .read = sim_read,
    .write = sim_write,
    .allocate = sim_allocate,
    .sync = sim_sync,
    .flush_range = sim_flush_range,
    .truncate = sim_truncate,
    .size = sim_size,
    .open_to_others = sim_open_to_others,
    .close = sim_close,
    .map = sim_map,
    .unmap = sim_unmap,
    .rename = sim_rename,
    .link = sim_link,
    .unlink = sim_unlink,
    .remove_directory = sim_remove_directory,
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
