/*
 * env_sim.h - the simulated environment: a machine in memory whose process can be killed and whose power can be cut at
 * any call. Every choice comes from the seed, so a failure repeats.
 *
 *     env_sim *sim = env_sim_new(seed);
 *     env_sim_crash_after(sim, 17);
 *     ... use env_sim_env(sim) until calls fail, free the engine's handle ...
 *     env_sim_power_cut(sim);          -- or env_sim_kill
 *     ... open again and look ...
 *
 * - A kill leaves everything that was written, in files and through mapped windows; handles and locks are void.
 * - A power cut leaves what was synced. Of the rest each 512-byte sector is kept, lost or torn, a file's growth kept in
 *   part, and of each directory's changes a prefix survives (or any subset: env_sim_lose_any_names).
 * - Background jobs run inline, the clock stands still but for a microsecond a reading.
 *
 * Threads: one lock around every call. Who stores into a mapped window while another thread syncs the file gets what
 * the real system gives: some of it.
 */
#ifndef VELOCITY_ENV_SIM_H
#define VELOCITY_ENV_SIM_H

#include "engine/env.h"

typedef struct env_sim env_sim;

env_sim *env_sim_new(uint64_t seed);
void env_sim_free(env_sim *sim); /* handles may remain; they are void */
env *env_sim_env(env_sim *sim);

/* The process ends. Handles that a dead engine still holds can be closed (they answer IO); it must make no other call.
 */
void env_sim_kill(env_sim *sim);
/* The machine loses power and starts again. */
void env_sim_power_cut(env_sim *sim);
/* Power cuts from now on keep any subset of the changes of names, as file systems without a journal do. */
void env_sim_lose_any_names(env_sim *sim);

/*
 * Lets `calls` more mutating calls (create, write, sync, truncate, rename, link, unlink, make_directory,
 * remove_directory, sync_directory) happen, then the process is gone: that call and all after it fail with IO and
 * change nothing (a write may have been half done), stores into windows are lost. 0: gone now. Ends with env_sim_kill
 * or env_sim_power_cut.
 */
void env_sim_crash_after(env_sim *sim, uint64_t calls);
void env_sim_no_crash(env_sim *sim); /* takes a crash back that has not come yet */
bool env_sim_crashed(env_sim *sim);
uint64_t env_sim_calls(env_sim *sim); /* mutating calls that happened since env_sim_new */

enum env_sim_call {
    ENV_SIM_OPEN, /* for reading or writing */
    ENV_SIM_CREATE,
    ENV_SIM_READ,
    ENV_SIM_WRITE,
    ENV_SIM_SYNC, /* what was unsynced stays readable, but part of it will never reach the platter */
    ENV_SIM_FLUSH_RANGE,
    ENV_SIM_TRUNCATE,
    ENV_SIM_MAP,
    ENV_SIM_RENAME,
    ENV_SIM_UNLINK,
    ENV_SIM_MAKE_DIRECTORY,
    ENV_SIM_SYNC_DIRECTORY,
    ENV_SIM_LIST,
    ENV_SIM_LINK,
    ENV_SIM_REMOVE_DIRECTORY,
    ENV_SIM_CALLS
};
/* Links are UNSUPPORTED from now on, as between two file systems. */
void env_sim_no_links(env_sim *sim);
/* What the mutating call number `call` (from 0) was. */
enum env_sim_call env_sim_call_at(env_sim *sim, uint64_t call);
/* The nth such call from now (1: the next) fails once with IO. 0: none. */
void env_sim_fail(env_sim *sim, enum env_sim_call call, uint64_t nth);
/* Whether the last fault ordered for this kind of call has struck. */
bool env_sim_failed(env_sim *sim, enum env_sim_call call);

/* 4 KiB pages beyond which writes answer NO_SPACE, those into existing pages excepted. 0: no end. */
void env_sim_set_capacity(env_sim *sim, uint64_t bytes);
uint64_t env_sim_used(env_sim *sim);
uint64_t env_sim_read_bytes(env_sim *sim); /* that calls have read from files since env_sim_new */

/* Flips a bit on the platter and in memory. False: the file is not there or ends before. */
bool env_sim_flip_bit(env_sim *sim, const char *path, uint64_t offset, unsigned bit);
/* From now on each read that touches these bytes of the file fails, however often it is tried. */
void env_sim_make_unreadable(env_sim *sim, const char *path, uint64_t offset, uint64_t size);
/* The file's bytes, to be freed with free(); NULL: not there. */
uint8_t *env_sim_read_file(env_sim *sim, const char *path, size_t *size);
/* Handles of the living process that are open. */
size_t env_sim_open_files(env_sim *sim);
void env_sim_advance_ms(env_sim *sim, uint64_t ms);
/* Somebody sets the wall clock back; the monotonic one goes on. */
void env_sim_set_back_ms(env_sim *sim, uint64_t ms);
/* Random numbers for the test itself, from the same seed but a sequence of their own. */
uint64_t env_sim_random(env_sim *sim, uint64_t limit);

#endif
