/*
 * compaction_pick.h - what a compaction works on: which tables, into which level, and whether there is anything to do.
 *
 * Picking reads a version and changes nothing. A task borrows its tables and keys from the version, which its holder
 * keeps. One thread at a time has a task; compaction_is_due may be asked with db->mutex held, and by any thread.
 */
#ifndef VELOCITY_COMPACTION_PICK_H
#define VELOCITY_COMPACTION_PICK_H

#include "database_internal.h"
#include "reclaim.h"

enum { LAST_LEVEL = VELOCITY_LEVELS - 1 };

struct compaction_task {
    struct version_change *inputs; /* tables and the levels that they are on; for env_free */
    size_t input_count, input_capacity;
    int output_level;
    bool drop, rewrite;      /* the inputs hold nothing that anybody sees; or: one that holds much that has expired */
    bool covered;            /* drop: because of range deletes */
    uint64_t reach_bytes;    /* an output ends where it would reach over more of the next level; 0: wherever */
    velocity_slice from, to; /* the range of all inputs; borrowed from their metas */
    velocity_slice reach;    /* where the range deletes in them end; data NULL: there are none */
};

/*
 * What somebody asked to have compacted: data NULL is no bound, `to` is inclusive. More than some tables go down in
 * portions: level 0, then each level by some tables after the others, so that no merge needs much room on the disk, and
 * what writes wait for has its turn between them.
 *
 *     level 0 --portion_next--> level 1, cursor NULL --pick--> behind the cursor, or the next level's first tables
 *                                                   ^----------- portion_next, while `more` is set ------------+
 */
struct compaction_range {
    velocity_slice from, to;
    int level;                 /* that is being emptied; what has come to those above since is left out */
    velocity_slice cursor;     /* its tables before this key are done; data NULL: none are */
    bool more;                 /* out: this was a portion */
    velocity_slice portion_to; /* out, of one below level 0: its last key there; borrowed from the version. Data NULL:
                                * it only makes smaller tables of one for the next portion */
    uint64_t entries;          /* out, at the first pick: that will be gone through; an estimate */
    uint8_t key[VELOCITY_MAX_KEY_BYTES + 8]; /* what `cursor` points at */
};

/*
 * Fills an empty task; nothing to do leaves it without inputs. `asked`: NULL, or picks just that range. `idle`: also
 * looks for what no threshold asks for. A failure may leave inputs in the task.
 */
VELOCITY_CHECK_RESULT velocity_status compaction_pick(velocity *db, const struct version *version,
                                                      struct compaction_range *asked, bool idle,
                                                      const struct reclaim *r, struct compaction_task *task);
/* What was picked is merged: the next pick is to go on behind it. The version must still be held. */
void compaction_portion_next(struct compaction_range *asked);
/* Whether a threshold asks for a compaction. */
bool compaction_is_due(velocity *db, const struct version *version);
/* What an idle compaction that starts now would have looked at: as long as it stays so, another finds no more. */
struct reclaim_state compaction_reclaim_state(velocity *db);

bool compaction_task_has(const struct compaction_task *task, const struct table *table);
uint64_t compaction_task_entries(const struct compaction_task *task);
/* Of the inputs that a merge has to read. */
uint64_t compaction_task_bytes(const struct compaction_task *task, const struct reclaim *r);

#endif
