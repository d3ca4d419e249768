/*
 * arena.h - memory that a request takes piece by piece and gives back all at once.
 *
 *     first block (the owner's)        further blocks (malloc'd, freed by arena_reset)
 *     [used........|at      end]  -->  [next|used.....]  -->  [next|used...]
 *
 * Pieces are aligned to 16 bytes and live until arena_reset. One thread at a time.
 */
#ifndef VELOCITY_SERVER_ARENA_H
#define VELOCITY_SERVER_ARENA_H

#include "engine/velocity.h"

struct arena_block;

struct arena {
    unsigned char *at, *end;             /* free bytes of the newest block */
    unsigned char *first_at, *first_end; /* the owner's block, aligned */
    struct arena_block *blocks;          /* malloc'd ones, newest first */
};

/* `first` must outlive the arena; it needs no alignment and may be of any size. */
void arena_init(struct arena *arena, void *first, size_t size);
/* NULL: no memory. A size of 0 gives a valid address. */
void *arena_alloc(struct arena *arena, size_t size);
/* Everything given out is gone. */
void arena_reset(struct arena *arena);

/* A copy with a NUL behind it, which does not count. False: no memory. */
bool arena_copy(struct arena *arena, velocity_slice bytes, velocity_slice *out);

#endif
