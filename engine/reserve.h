/*
 * reserve.h - room on the disk that is kept for a full one: a file of zeros, RESERVE, whose blocks are given up when
 * deletes (or the flush or compaction that they lead to) find no space, and taken back when there is some.
 *
 *     kept --- spend: a delete, flush or compaction got NO_SPACE ---> spent --- refill: there is room again ---> kept
 *
 * While it is spent, writes that put anything are refused with NO_SPACE, so that what was freed serves the deletes.
 * It holds 1/32 of what the tables hold, at least 1 MiB and at most options.reserve_bytes.
 *
 * Threads: all functions may be called from any thread; reserve_mutex is a leaf.
 */
#ifndef VELOCITY_RESERVE_H
#define VELOCITY_RESERVE_H

#include "env.h"

struct reserve {
    env *env;
    char *path;
    uint64_t most_bytes; /* options.reserve_bytes; 0: there is none */
    env_mutex mutex;     /* guards what follows */
    env_file *file;      /* NULL: none */
    uint64_t bytes;
    _Atomic bool spent;
};

/* A disk without room for it is no failure: then it begins as spent. */
VELOCITY_CHECK_RESULT velocity_status reserve_open(struct reserve *reserve, env *e, const char *folder,
                                                   uint64_t most_bytes, uint64_t table_bytes);
void reserve_close(struct reserve *reserve);
/* Gives the room up. False: there was none to give. */
bool reserve_spend(struct reserve *reserve);
/* Takes room for tables of so many bytes, if the disk has it: grows, or ends the time without. */
void reserve_refill(struct reserve *reserve, uint64_t table_bytes);
static inline bool reserve_is_spent(const struct reserve *reserve) {
    return atomic_load_explicit(&reserve->spent, memory_order_relaxed);
}

#endif
