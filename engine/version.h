/*
 * version.h - which tables make up the database at one moment: an immutable set of levels.
 *
 * Level 0 holds flushed write buffers: tables overlap, newest first. On every other level tables are disjoint and in
 * key order, and no version of a key lies on two tables of one level. A version holds a reference on each of its tables
 * and is itself reference counted; readers take whole versions, background work builds the next one with an edit.
 * Likewise on each value file that one of its tables refers to: a file that no version has any more is gone.
 */
#ifndef VELOCITY_VERSION_H
#define VELOCITY_VERSION_H

#include "value_file.h"

struct level {
    struct table **tables;
    size_t count;
    uint64_t bytes; /* of the files */
};

/* A value file and how much of it the version's tables refer to. */
struct version_values {
    struct value_file *file;
    uint64_t used_bytes;
};

/* What all records of the file take. */
static inline uint64_t version_record_bytes(const struct version_values *v) {
    return value_file_meta(v->file)->file_bytes - FILE_HEADER_BYTES;
}

struct version {
    _Atomic uint32_t references;
    struct level levels[VELOCITY_LEVELS];
    struct version_values *values; /* ascending by the files' numbers; each is referred to */
    size_t value_count;
    uint64_t value_bytes, value_used_bytes; /* of records in all of them; of these, what is referred to */
    struct range_index *ranges;             /* the range deletes of all tables; NULL: there are none */
    int64_t expiry_due_ms; /* the first time at which so much of a table has expired that it should be rewritten */
};

/* What a flush or compaction changes. Both arrays are borrowed; `add` tables pass to the new version by reference. */
struct version_change {
    int level;
    struct table *table;
};
struct version_edit {
    const struct version_change *remove;
    size_t remove_count;
    const struct version_change *add;
    size_t add_count;
    struct value_file *const *add_values; /* files that tables of `add` may refer to */
    size_t add_value_count;
    const uint64_t *snapshots; /* sequences that somebody sees, ascending; see range_index_new */
    size_t snapshot_count;
};

/* `base` NULL: nothing before. The new version has one reference and acquires what it holds. Reads tables that are
 * added and have range deletes, if they are not loaded. */
VELOCITY_CHECK_RESULT velocity_status version_new(const struct version *base, const struct version_edit *edit,
                                                  struct version **out);
/* The value file of that number; NULL: the version has none. */
struct value_file *version_value_file(const struct version *version, uint64_t number);
void version_acquire(struct version *version);
void version_release(struct version *version);

uint64_t version_bytes(const struct version *version); /* of all table files */

/* On a level but 0: the index of the first table whose largest key is >= key; count if there is none. */
size_t level_find(const struct level *level, velocity_slice key);

/* How far a table that is being made reaches over a level: the bytes of that level's tables between its first key and
 * the present one. */
struct level_reach {
    const struct level *below; /* no level 0; NULL: nobody asks */
    uint64_t most_bytes;
    size_t at; /* the first table of `below` that does not end before the present key */
    uint64_t bytes;
};

void level_reach_begin(struct level_reach *reach, velocity_slice first);
/* Whether it would be more than most_bytes with this key, too. Keys ascend. */
bool level_reach_is_over(struct level_reach *reach, velocity_slice key);

/* See expiry_due_ms. The table is loaded. */
int64_t table_expiry_due_ms(const struct table *table);
/* Whether the table holds keys in [from, to]; a slice with data NULL is no bound. */
bool table_overlaps(const struct table *table, velocity_slice from, velocity_slice to);

#endif
