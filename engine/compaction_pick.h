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
    velocity_slice from, to; /* the range of all inputs; borrowed from their metas */
    velocity_slice reach;    /* where the range deletes in them end; data NULL: there are none */
};

/* What somebody asked to have compacted: data NULL is no bound, `to` is inclusive. */
struct compaction_range {
    velocity_slice from, to;
};

/*
 * Fills an empty task; nothing to do leaves it without inputs. `asked`: NULL, or picks just that range. `idle`: also
 * looks for what no threshold asks for. A failure may leave inputs in the task.
 */
VELOCITY_CHECK_RESULT velocity_status compaction_pick(velocity *db, const struct version *version,
                                                      const struct compaction_range *asked, bool idle,
                                                      const struct reclaim *r, struct compaction_task *task);
/* Whether a threshold asks for a compaction. */
bool compaction_is_due(velocity *db, const struct version *version);
/* What an idle compaction that starts now would have looked at: as long as it stays so, another finds no more. */
struct reclaim_state compaction_reclaim_state(velocity *db);

bool compaction_task_has(const struct compaction_task *task, const struct table *table);
/* Of the inputs that a merge has to read. */
uint64_t compaction_task_bytes(const struct compaction_task *task, const struct reclaim *r);

#endif
