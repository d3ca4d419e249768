/*
 * env_sim.c - the simulated machine: windows, the process's end, power cuts, and what tests can do to it. See env_sim.h
 * and env_sim_internal.h; the engine's calls are in env_sim_calls.c.
 */
#include "env_sim_internal.h"

#include <stdio.h>
#include <stdlib.h>

void *sim_must(void *block) {
    if (block) return block;
    fprintf(stderr, "simulated environment: out of memory\n");
    abort();
}

void sim_window_free(struct sim_window *w) {
    free(w->memory);
    free(w);
}

/* ---- windows ---------------------------------------------------------------------------------------------------- */

/* The engine's threads may be storing into the window: like the kernel, we take what is there, word by word. */
__attribute__((no_sanitize("thread"), noinline)) static void copy_racing(uint8_t *to, const uint8_t *from,
                                                                         size_t size) {
    volatile uint64_t *target = (volatile uint64_t *)(void *)to;
    const volatile uint64_t *source = (const volatile uint64_t *)(const void *)from;
    for (size_t i = 0; i < size / sizeof *target; i++) target[i] = source[i];
}

void machine_carry_window(env_sim *sim, struct sim_window *w) {
    uint64_t now[DISK_SECTOR_BYTES / 8], stored[DISK_SECTOR_BYTES / 8];
    for (size_t at = 0; at < w->size; at += DISK_SECTOR_BYTES) {
        copy_racing((uint8_t *)stored, w->memory + at, sizeof stored);
        size_t there = disk_read(w->node, now, sizeof now, w->offset + at);
        if (memcmp(now, stored, there) == 0) continue;
        (void)disk_write(&sim->disk, w->node, stored, there, w->offset + at); /* its blocks exist */
    }
}

void machine_carry_windows(env_sim *sim, const struct disk_node *node) {
    for (struct sim_window *w = sim->windows; w; w = w->next)
        if (w->node == node) machine_carry_window(sim, w);
}

void machine_refresh_windows(env_sim *sim, const struct disk_node *node, uint64_t offset, size_t size) {
    for (struct sim_window *w = sim->windows; w; w = w->next) {
        uint64_t start = offset > w->offset ? offset : w->offset;
        uint64_t end = offset + size < w->offset + w->size ? offset + size : w->offset + w->size;
        if (w->node != node || start >= end) continue;
        (void)disk_read(node, w->memory + (start - w->offset), (size_t)(end - start), start);
    }
}

/* ---- the process's end ------------------------------------------------------------------------------------------ */

void machine_end_process(env_sim *sim) {
    for (struct sim_window *w = sim->windows; w; w = w->next) machine_carry_window(sim, w);
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
    machine_lock(sim);
    if (!sim->dead) machine_end_process(sim);
    start_process(sim);
    machine_unlock(sim);
}

void env_sim_power_cut(env_sim *sim) {
    machine_lock(sim);
    if (!sim->dead) machine_end_process(sim);
    disk_power_cut(&sim->disk);
    start_process(sim);
    machine_unlock(sim);
}

/* ---- for tests -------------------------------------------------------------------------------------------------- */

env_sim *env_sim_new(uint64_t seed) {
    env_sim *sim = sim_must(calloc(1, sizeof *sim));
    sim->env.operations = &env_sim_operations;
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
    if (!sim->dead) machine_end_process(sim);
    while (sim->dead_windows) {
        struct sim_window *w = sim->dead_windows;
        sim->dead_windows = w->next;
        sim_window_free(w);
    }
    disk_destroy(&sim->disk);
    free(sim->history);
    (void)pthread_mutex_destroy(&sim->guard);
    free(sim);
}

void env_sim_lose_any_names(env_sim *sim) {
    machine_lock(sim);
    sim->disk.any_subset = true;
    machine_unlock(sim);
}

void env_sim_no_links(env_sim *sim) {
    machine_lock(sim);
    sim->no_links = true;
    machine_unlock(sim);
}

void env_sim_crash_after(env_sim *sim, uint64_t calls) {
    machine_lock(sim);
    sim->crash_at = sim->calls + calls;
    if (calls == 0 && !sim->dead) machine_end_process(sim);
    machine_unlock(sim);
}

void env_sim_no_crash(env_sim *sim) {
    machine_lock(sim);
    sim->crash_at = UINT64_MAX;
    machine_unlock(sim);
}

bool env_sim_crashed(env_sim *sim) {
    machine_lock(sim);
    bool dead = sim->dead;
    machine_unlock(sim);
    return dead;
}

uint64_t env_sim_calls(env_sim *sim) {
    machine_lock(sim);
    uint64_t calls = sim->calls;
    machine_unlock(sim);
    return calls;
}

enum env_sim_call env_sim_call_at(env_sim *sim, uint64_t call) {
    machine_lock(sim);
    enum env_sim_call kind = call < sim->calls ? (enum env_sim_call)sim->history[call] : ENV_SIM_CALLS;
    machine_unlock(sim);
    return kind;
}

void env_sim_fail(env_sim *sim, enum env_sim_call call, uint64_t nth) {
    machine_lock(sim);
    sim->fails_in[call] = nth;
    sim->has_failed[call] = false;
    machine_unlock(sim);
}

bool env_sim_failed(env_sim *sim, enum env_sim_call call) {
    machine_lock(sim);
    bool failed = sim->has_failed[call];
    machine_unlock(sim);
    return failed;
}

void env_sim_set_capacity(env_sim *sim, uint64_t bytes) {
    machine_lock(sim);
    sim->disk.capacity = bytes;
    machine_unlock(sim);
}

uint64_t env_sim_read_bytes(env_sim *sim) {
    machine_lock(sim);
    uint64_t bytes = sim->read_bytes;
    machine_unlock(sim);
    return bytes;
}

uint64_t env_sim_used(env_sim *sim) {
    machine_lock(sim);
    uint64_t used = disk_used(&sim->disk);
    machine_unlock(sim);
    return used;
}

bool env_sim_flip_bit(env_sim *sim, const char *path, uint64_t offset, unsigned bit) {
    machine_lock(sim);
    struct disk_node *node = disk_find(&sim->disk, path);
    bool there = node && !node->is_directory && offset < node->size && disk_flip_bit(node, offset, bit);
    machine_unlock(sim);
    return there;
}

void env_sim_make_unreadable(env_sim *sim, const char *path, uint64_t offset, uint64_t size) {
    machine_lock(sim);
    sim->bad = disk_find(&sim->disk, path);
    sim->bad_from = offset;
    sim->bad_to = offset + size;
    machine_unlock(sim);
}

uint8_t *env_sim_read_file(env_sim *sim, const char *path, size_t *size) {
    uint8_t *bytes = NULL;
    machine_lock(sim);
    struct disk_node *node = disk_find(&sim->disk, path);
    if (node && !node->is_directory) {
        machine_carry_windows(sim, node);
        *size = (size_t)node->size;
        bytes = sim_must(malloc(*size + 1));
        (void)disk_read(node, bytes, *size, 0);
    }
    machine_unlock(sim);
    return bytes;
}

size_t env_sim_open_files(env_sim *sim) {
    size_t count = 0;
    machine_lock(sim);
    for (const struct sim_file *f = sim->files; f; f = f->next) count++;
    machine_unlock(sim);
    return count;
}

void env_sim_advance_ms(env_sim *sim, uint64_t ms) {
    machine_lock(sim);
    sim->clock_us += ms * 1000;
    machine_unlock(sim);
}

void env_sim_set_back_ms(env_sim *sim, uint64_t ms) {
    machine_lock(sim);
    sim->set_back_ms += ms;
    machine_unlock(sim);
}

uint64_t env_sim_random(env_sim *sim, uint64_t limit) {
    struct disk own = {.random = sim->test_random};
    uint64_t number = disk_random(&own, limit);
    sim->test_random = own.random;
    return number;
}
