/*
 * value_reclaim.h - when values are moved so that what is no longer referred to can go, and which. The moving itself is
 * part of compaction: versions, flags and expiry stay as they are.
 *
 * Value files may take twice what the tables refer to; a tenth more, while the size limit of the database refuses puts.
 * Beyond that the files with the greatest share of garbage are
 * condemned, until without them it would be a good part less; every merge moves the values that its tables have in
 * condemned files, and while nothing else is to be merged, tables that refer to such files are rewritten where they
 * are. When nothing refers to a file any more, it leaves the version. Choosing the emptiest files of all makes little
 * work: with random overwrites they hold about a fifth (Rosenblum and Ousterhout, "The design and implementation of a
 * log-structured file system", 1992).
 */
#ifndef VELOCITY_VALUE_RECLAIM_H
#define VELOCITY_VALUE_RECLAIM_H

#include "version.h"

/* Whether there is more garbage than there may be; `tight`: every bit of room counts. */
bool value_reclaim_wanted(const struct version *version, bool tight);

/* The condemned files of a version. */
struct condemned {
    struct value_use *files; /* ascending; bytes: what is still referred to */
    size_t count;
};

/* Files with an old key always: so merging carries them over to the present one. Others, if there is too much garbage.
 */
VELOCITY_CHECK_RESULT velocity_status condemned_init(struct condemned *c, const struct version *version, bool tight);
void condemned_clear(struct condemned *c);
bool condemned_has(const struct condemned *c, uint64_t file);
/* The bytes that a table refers to in condemned files. */
uint64_t condemned_bytes(const struct condemned *c, const struct table *table);

#endif
