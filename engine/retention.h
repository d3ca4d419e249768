/*
 * retention.h - which versions a flush or compaction must keep: of each key the newest that each live snapshot, and the
 * present, can see. Entries come in table order: keys ascending, within a key the newest first.
 */
#ifndef VELOCITY_RETENTION_H
#define VELOCITY_RETENTION_H

#include "database_internal.h"

struct retention {
    uint64_t *sequences; /* what somebody sees, ascending; the last is the present */
    size_t count;
    bool bottom;  /* nothing older lies below: tombstones that everybody sees can go */
    uint8_t *key; /* of the entry before */
    size_t key_bytes, key_capacity;
    bool has_key;
    size_t stripe; /* of the entry before */
};

VELOCITY_CHECK_RESULT velocity_status retention_init(struct retention *r, velocity *db, bool bottom);
void retention_clear(struct retention *r);
/* *new_key: it is the first entry of its key. */
VELOCITY_CHECK_RESULT velocity_status retention_judge(struct retention *r, const struct entry *e, bool *keep,
                                                      bool *new_key);

#endif
