/*
 * env_sim_internal.h - the inside of the simulated environment: the machine (env_sim.c) and the calls that the engine
 * makes of it (env_sim_calls.c).
 *
 * Invariants
 * - A handle or lock is alive while its generation is the machine's; the process's end raises the machine's.
 * - A window is memory of its own. What was stored into it is carried to the file whenever the file is read, written or
 *   synced, and when the process ends; what is written to the file is carried to its windows.
 *
 * Threads: `guard` guards everything; it is a leaf.
 */
#ifndef VELOCITY_ENV_SIM_INTERNAL_H
#define VELOCITY_ENV_SIM_INTERNAL_H

#include "env_sim.h"
#include "sim_disk.h"

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
    uint64_t read_bytes;
    uint64_t calls, crash_at; /* mutating calls so far; the first that finds the process gone */
    uint8_t *history;         /* the kind of each mutating call */
    size_t history_capacity;
    uint64_t fails_in[ENV_SIM_CALLS]; /* calls until one fails; 0: none */
    bool has_failed[ENV_SIM_CALLS];
    const struct disk_node *bad; /* a file of which [bad_from, bad_to) can't be read; NULL: none */
    uint64_t bad_from, bad_to;
    uint64_t clock_us, set_back_ms;
    uint64_t test_random;
    bool dead;
    bool no_links;
};

extern const struct env_operations env_sim_operations; /* env_sim_calls.c */

static inline void machine_lock(env_sim *sim) {
    (void)pthread_mutex_lock(&sim->guard);
}
static inline void machine_unlock(env_sim *sim) {
    (void)pthread_mutex_unlock(&sim->guard);
}

/* env_sim.c; all but the first two under the guard */
void *sim_must(void *block); /* ends the program for want of memory: this is a test's tool */
void sim_window_free(struct sim_window *w);
void machine_carry_window(env_sim *sim, struct sim_window *w);
/* Carries what was stored into the file's windows to the file. */
void machine_carry_windows(env_sim *sim, const struct disk_node *node);
/* Shows in the windows what was just written to [offset, offset + size) of their file. */
void machine_refresh_windows(env_sim *sim, const struct disk_node *node, uint64_t offset, size_t size);
void machine_end_process(env_sim *sim);

#endif
