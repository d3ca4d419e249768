/*
 * validate.h - whether a transaction may commit: whether anything that it has read or writes was written since it
 * began.
 *
 * Looks at the newest entry of each key, tombstones too, and only into write buffers and tables that hold something
 * newer than `since`. A snapshot at (or below) the sequence where the transaction began must live meanwhile: it keeps
 * flush and compaction from dropping the newest entry of a key that is younger.
 *
 * It runs twice. First in the thread that commits, against all that is visible; it reads what it must from the disk,
 * and nobody waits for it. Then in the leader of the commit group (write.c), with the group's earlier batches stored
 * already, against what came since the first time: nearly always the active write buffer alone, at the cost of one
 * lookup for each key read or written, and of walking over the buffer's entries in the ranges read. That long the next
 * group waits.
 */
#ifndef VELOCITY_VALIDATE_H
#define VELOCITY_VALIDATE_H

#include "database_internal.h"
#include "read_set.h"

/* The key that a transaction lost at. Zeroed: none, also where there was no memory for it. */
struct lost_key {
    void *bytes;
    size_t size;
};

struct validation {
    uint64_t since;               /* everything up to here is known not to conflict */
    const struct read_set *reads; /* NULL: only what is written counts */
    struct lost_key *lost;        /* filled where the answer is CONFLICT; whoever lent it frees its bytes */
};

/* Against everything from validation->since to `last`, which is stored but perhaps not yet visible. CONFLICT: the
 * message and validation->lost name the key. CORRUPT, IO, NO_MEMORY: a table could not be read. */
VELOCITY_CHECK_RESULT velocity_status validate(velocity *db, const velocity_batch *batch,
                                               const struct validation *validation, uint64_t last);

#endif
