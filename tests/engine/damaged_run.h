/*
 * damaged_run.h - what the tests of verify and repair share: a database of some life, damaged somewhere, beside the
 * model of what it held; and the judgement of what a repair made of it.
 *
 * The seed decides what a database has: retained logs (multiples of 3), values that stand apart (bit 1), encryption
 * (bit 2).
 */
#ifndef VELOCITY_DAMAGED_RUN_H
#define VELOCITY_DAMAGED_RUN_H

#include "model_run.h"

#define DAMAGED_FOLDER "disk/db"

/* Not one of the model's. */
extern const velocity_slice damaged_last_key;

struct damaged_files {
    char paths[128][64];
    size_t count;
};

/* All in the folder but LOCK and lost/. */
struct damaged_files damaged_files(struct run *r);
bool damaged_has_part(const char *path, const char *part);
/* A random file of whose name this is a part; NULL: none. */
const char *damaged_pick(struct run *r, struct damaged_files *f, const char *part);
size_t damaged_size(struct run *r, const char *path);
/* A machine that holds the same files, all of them synced, and has the same time. */
env_sim *damaged_copy(struct run *r);

/* Of a database of small limits, not open yet. */
struct run *damaged_new(uint64_t seed);
/* Work that leaves tables on several levels, and, where it is killed, logs. */
void damaged_work(struct run *r, unsigned steps);
/* A kill. The last group of the logs holds damaged_last_key alone. */
void damaged_die(struct run *r);
/* The whole: new, work, closed or killed, and up to three random damages. */
struct run *damaged_make(uint64_t seed, unsigned steps);
/* Noise in place of at most 8192 bytes. */
void damaged_overwrite(struct run *r, const char *path, uint64_t from, size_t size);
void damaged_cut(struct run *r, const char *path, uint64_t size);
void damaged_unlink(struct run *r, const char *path);

velocity_status damaged_verify(struct run *r, velocity_report *report);
velocity_status damaged_repair(struct run *r, velocity_report *report);
/* Whether the report tells of damage of the file. */
bool damaged_names(const velocity_report *report, const char *path);
void damaged_print(const velocity_report *report);
bool damaged_is_stale(const velocity_report *report, velocity_slice key);
/*
 * What a repaired database must be: whole, and every key is as it was, or in doubt by the report and then as it once
 * was or absent. Returns how many are as they were.
 */
size_t damaged_expect_repaired(struct run *r, const velocity_report *report);

#endif
