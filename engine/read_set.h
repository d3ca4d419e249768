/*
 * read_set.h - what a serializable transaction has read: keys (present or not), and the stretches that its iterators
 * went over. At the commit none of it may have been written since the transaction began.
 *
 * Invariants:
 *  1. Everything that was read lies in some range of the set. It may hold more than was read: too much costs a false
 *     conflict, too little a wrong commit. So nothing here fails: what memory does not suffice for makes the set
 * larger, at worst `everything`.
 *  2. It is bounded: at VELOCITY_TXN_READ_ENTRIES ranges or VELOCITY_TXN_READ_BYTES of keys it is sorted, what overlaps
 *     is joined, and if that is not enough neighbours are joined by twos, until half of either is left.
 *  3. Reads are never taken back, not even by a rollback to a savepoint: what the program read then may be why it
 *     writes what it writes now.
 *
 * Threads: the transaction's; while it commits, the leader reads.
 */
#ifndef VELOCITY_READ_SET_H
#define VELOCITY_READ_SET_H

#include "arena.h"

enum read_range_kind {
    READ_KEY,    /* `low` alone */
    READ_TO,     /* [low, high) */
    READ_TO_END, /* from `low` on */
};

struct read_range {
    velocity_slice low, high; /* in the arena; an empty low stands before every key */
    enum read_range_kind kind;
};

struct read_set {
    struct read_range *ranges;
    size_t count, capacity;
    size_t key_bytes; /* of all ranges */
    struct arena keys;
    bool everything; /* any key may have been read; there are no ranges then */
};

void read_set_init(struct read_set *set); /* takes no memory yet */
void read_set_clear(struct read_set *set);
void read_set_add_key(struct read_set *set, velocity_slice key);
/* [low, high); `high` without data: to the end. */
void read_set_add_range(struct read_set *set, velocity_slice low, velocity_slice high);
/* Sorts, and joins what overlaps. */
void read_set_settle(struct read_set *set);

/*
 * How far one iterator has looked: the stretch since its last seek, which grows with its moves. It belongs to the
 * iterator; the transaction has them in a list, to take in what they saw when it commits, and to let go of them when it
 * ends.
 */
struct read_bound {
    uint8_t *data;
    size_t size, capacity;
    bool infinite; /* behind every key */
};

struct read_scan {
    struct read_set *set; /* NULL: the transaction has ended, nothing is noted any more */
    struct read_bound low, high;
    bool begun;
    struct read_scan *next, **link; /* in the transaction's list */
};

/* NULL: no memory. */
struct read_scan *read_scan_new(struct read_set *set, struct read_scan **list);
void read_scan_free(struct read_scan *scan); /* takes the stretch into the set; NULL is allowed */
/* The iterator looks from here on, up or down; `bound` without data: from behind the last key. */
void read_scan_begin(struct read_scan *scan, velocity_slice bound);
/* It has seen all up to and with this key; `with` false: up to this bound; without data: up to the end. */
void read_scan_up(struct read_scan *scan, velocity_slice key, bool with);
/* It has seen all down to this key. */
void read_scan_down(struct read_scan *scan, velocity_slice key);
/* Takes the stretch into the set; the scan may go on. */
void read_scan_note(struct read_scan *scan);

#endif
