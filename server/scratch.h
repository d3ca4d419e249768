/*
 * scratch.h - memory that a request takes piece by piece and gives back all at once.
 *
 *     first block (the owner's)        further blocks (malloc'd, freed by scratch_reset)
 *     [used........|at      end]  -->  [next|used.....]  -->  [next|used...]
 *
 * Pieces are aligned to 16 bytes and live until scratch_reset. One thread at a time.
 */
#ifndef VELOCITY_SERVER_SCRATCH_H
#define VELOCITY_SERVER_SCRATCH_H

#include "engine/velocity.h"

struct scratch_block;

struct scratch {
    unsigned char *at, *end;             /* free bytes of the newest block */
    unsigned char *first_at, *first_end; /* the owner's block, aligned */
    struct scratch_block *blocks;        /* malloc'd ones, newest first */
};

/* `first` must outlive the scratch; it needs no alignment and may be of any size, of none also NULL. */
void scratch_init(struct scratch *scratch, void *first, size_t size);
/* NULL: no memory. A size of 0 gives a valid address. */
void *scratch_alloc(struct scratch *scratch, size_t size);
/* Everything given out is gone. */
void scratch_reset(struct scratch *scratch);
/* Overwrites everything given out: there were secrets in it. */
void scratch_overwrite(struct scratch *scratch);

/* A copy with a NUL behind it, which does not count. False: no memory. */
bool scratch_copy(struct scratch *scratch, velocity_slice bytes, velocity_slice *out);

#endif
