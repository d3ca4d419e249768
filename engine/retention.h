/*
 * retention.h - which versions a flush or compaction must keep: of each key the newest that each live snapshot, and the
 * present, can see, unless a range delete that those see covers it. Entries come in table order: keys ascending, within
 * a key the newest first.
 *
 * A range delete is not hidden by what is newer at its start. It goes where a newer one covers all of it, and where
 * everybody sees it and nothing is left for it to cover.
 *
 * What has expired for all who see it keeps its place, for it hides older versions, but not its value: it becomes a
 * delete of the same sequence.
 */
#ifndef VELOCITY_RETENTION_H
#define VELOCITY_RETENTION_H

#include "database_internal.h"

struct retention {
    uint64_t *sequences; /* what somebody sees, ascending; the last is the present */
    uint64_t *clocks;    /* the earliest time of those who see up to that; ascending; freed with sequences */
    size_t count;
    bool bottom;  /* nothing older lies below: tombstones that everybody sees can go */
    uint8_t *key; /* of the entry before */
    size_t key_bytes, key_capacity;
    bool has_key;
    size_t stripe; /* of the entry before */
    bool expired;  /* the entry is to be kept as `tombstone` */
    struct entry tombstone;
    uint64_t expired_count; /* how many were */
    /* Range deletes that stay in force beside and behind this merge, and those in it; NULL: none. */
    const struct range_list *ranges;
    struct range_stretch stretch; /* what they say around the entry before, for its stripe */
    size_t stretch_stripe;
    bool has_stretch;
    /* Whether nothing outside of this merge is older than the range delete and in its range. NULL: it may be. */
    bool (*range_is_spent)(const void *arg, const struct entry *range);
    const void *arg;
};

VELOCITY_CHECK_RESULT velocity_status retention_init(struct retention *r, velocity *db, bool bottom);
void retention_clear(struct retention *r);
/* *new_key: it is the first entry of its key. Where it sets r->expired, r->tombstone is kept instead. */
VELOCITY_CHECK_RESULT velocity_status retention_judge(struct retention *r, const struct entry *e, bool *keep,
                                                      bool *new_key);

#endif
