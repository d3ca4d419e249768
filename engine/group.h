/*
 * group.h - a commit group: the writers whose operations are stored, synced and made visible together.
 *
 * Only the leader has one. A writer is its thread's, or an asynchronous write's: once it is told (write.c), the group
 * no longer touches it.
 */
#ifndef VELOCITY_GROUP_H
#define VELOCITY_GROUP_H

#include "database_internal.h"

/* One who writes, in the commit queue. */
struct writer {
    struct writer *next;
    velocity_batch *batch; /* or, for one operation, NULL and: */
    const struct entry *single;
    uint64_t payload_bytes;
    uint32_t operations;
    uint32_t range_deletes;                                                 /* among them */
    bool sync;                                                              /* wait for the disk */
    bool switch_only;                                                       /* commit_switch */
    void (*callback)(void *arg, velocity_status status, uint64_t sequence); /* NULL: a thread waits */
    void *arg;
    velocity_status status;
    uint64_t sequence; /* of the last operation */
    _Atomic uint32_t state;
    char message[MESSAGE_BYTES]; /* valid if status is not OK */
};

struct group {
    struct writer *first, *end; /* a stretch of db->waiting: end is the first that is not in it */
    size_t writers;
    uint64_t payload_bytes, operations, range_deletes;
    bool sync, weak;  /* some writers wait for the disk, some do not */
    bool conditional; /* some have conditions, on what those before them in the group write too */
    bool switch_buffer;
};

/* Reads what the batch's conditions look at, and leaves it in the cache: who waits for the disk does so before it is
 * its turn, where nobody waits for it. */
void group_warm(velocity *db, const velocity_batch *batch);
/* `next` is set: the group ends behind w. */
void group_add(struct group *g, const struct writer *w);
/* As many of the waiting writers, from the first on, as fit into a group. */
struct group group_gather(struct writer *waiting);
/*
 * Writes the group: room, log, write buffer, sync if it is due, visibility. Each writer has its status and sequence
 * then; nobody has been told. What can fail without harm has failed before the group's first byte.
 */
void group_write(velocity *db, struct group *g);

#endif
