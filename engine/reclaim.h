/*
 * reclaim.h - what compaction can let go of because of range deletes, or because a snapshot is gone, and which value
 * files it can empty: judged by what the
 * manifest says of tables and by the range deletes of a version, without reading any table.
 */
#ifndef VELOCITY_RECLAIM_H
#define VELOCITY_RECLAIM_H

#include "database_internal.h"
#include "value_reclaim.h"

struct reclaim {
    const struct version *version; /* borrowed */
    uint64_t *sequences;           /* what somebody sees, ascending; the last is the present */
    size_t count;
    struct condemned condemned;            /* value files whose values are moved */
    struct level outside[VELOCITY_LEVELS]; /* after reclaim_leave_out: the tables that are not merged */
};

VELOCITY_CHECK_RESULT velocity_status reclaim_init(struct reclaim *r, velocity *db, const struct version *version);
void reclaim_clear(struct reclaim *r);

/* Nobody sees any of its entries, and none of them is a range delete: the table can go as it is. */
bool reclaim_whole(const struct reclaim *r, const struct table *table);
/* A range delete reaches into it that is newer than its oldest entry. */
bool reclaim_part(const struct reclaim *r, const struct table *table);
/* One of its range deletes that everybody sees; NULL: none. */
const struct range_tombstone *reclaim_ripe_range(const struct reclaim *r, const struct table *table);
/* On the last level: written anew by itself it would have neither deletes nor versions that are hidden. */
bool reclaim_leftovers(const struct reclaim *r, const struct table *table);

/* Names those of the views (`sequences`) that tell apart versions up to `most`: the same ones have the same name. Never
 * 0. */
uint64_t reclaim_views_name(const uint64_t *sequences, size_t count, uint64_t most);
/* On the last level: written anew by itself it would be the same, deletes and hidden versions too, for a merge wrote it
 * for the very views that there are. What has expired is not looked at. */
bool reclaim_is_settled(const struct reclaim *r, const struct table *table);

/* Takes note of the tables that a merge takes as inputs. */
VELOCITY_CHECK_RESULT velocity_status reclaim_leave_out(struct reclaim *r, const struct version_change *inputs,
                                                        size_t count);
/* For retention: no table outside of the merge has something older in the range. `arg` is a struct reclaim. */
bool reclaim_range_is_spent(const void *arg, const struct entry *range);

#endif
