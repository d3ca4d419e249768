/* iterator.h - what an iterator of a transaction has beside the database's runs. */
#ifndef VELOCITY_ITERATOR_H
#define VELOCITY_ITERATOR_H

#include "database_internal.h"
#include "read_set.h"

/*
 * A transaction's own writes are numbered from here on: above every sequence of the database, so that they come before
 * what they overwrite. Whoever is shown one sees VELOCITY_ABSENT as its version: it has none yet.
 */
#define OWN_SEQUENCE (UINT64_C(1) << 63)

struct iterator_view {
    const velocity_snapshot *snapshot; /* NULL: the state at the call */
    struct write_buffer *own;          /* the transaction's writes; NULL: none. The iterator takes a reference */
    uint64_t own_last;                 /* it sees those up to this number */
    struct read_scan *scan;            /* told what the iterator looks at, and freed with it; NULL: nobody is */
};

/* velocity_iterator_new for a transaction; range->snapshot does not count. */
velocity_iterator *iterator_new(velocity *db, const velocity_range *range, const struct iterator_view *view);
/* Ones that are not valid, with status INVALID (`why` NULL: the message is set already) or NO_MEMORY. */
velocity_iterator *iterator_invalid(const char *why);
velocity_iterator *iterator_no_memory(void);

#endif
