/*
 * arena.h - memory that is handed out in small pieces and freed all at once.
 *
 * Pieces come from the front of a chunk; chunks double from 4 KiB to ENV_HUGE_BYTES, so that a small arena costs
 * little, and a bigger reservation gets a chunk of its own size. Chunks of ENV_HUGE_BYTES may come from a chunk_pool. A
 * reservation that the open chunk can't hold opens a second one beside it: the open chunk's rest is used up first.
 *
 *     chunk:  [ header | piece | piece | ... | room ]
 *
 * Invariant: after arena_reserve(n), the open or the spare chunk alone has n bytes left. A piece goes into the open
 * chunk if it fits, else into the spare one; then the roomier of the two stays open. So what is left of a reservation
 * always fits.
 *
 * Threads: one thread at a time.
 */
#ifndef VELOCITY_ARENA_H
#define VELOCITY_ARENA_H

#include "chunk_pool.h"

struct arena_room {
    uint8_t *next; /* free bytes of a chunk */
    size_t bytes;
};

struct arena {
    chunk_pool *pool; /* NULL: none */
    void *chunks;     /* all of them, linked, the newest first */
    struct arena_room open, spare;
    size_t chunk_bytes; /* of the next chunk, unless more is asked for */
    size_t used_bytes;  /* handed out, alignment included */
    size_t held_bytes;  /* of all chunks */
    size_t alignment;   /* of every piece; a power of two, at most ARENA_MAX_ALIGNMENT */
};

#define ARENA_MAX_ALIGNMENT 64u

/* No memory is taken yet. The pool (NULL: none) must outlive the arena. */
void arena_init(struct arena *arena, size_t alignment, chunk_pool *pool);
void arena_free(struct arena *arena); /* all chunks; the pieces are gone */

/* Bytes that a piece of `bytes` takes: rounded up to the alignment. */
static inline size_t arena_piece_bytes(const struct arena *arena, size_t bytes) {
    return (bytes + arena->alignment - 1) & ~(arena->alignment - 1);
}

/*
 * Pieces whose arena_piece_bytes sum up to `bytes` or less can be taken after this. Not cumulative: counts from now on,
 * whatever was reserved before. NO_MEMORY: nothing changed.
 */
VELOCITY_CHECK_RESULT velocity_status arena_reserve(struct arena *arena, size_t bytes);

/* A piece within what was reserved; never NULL: taking more than that is a bug, and ends the process. */
void *arena_take(struct arena *arena, size_t bytes);

#endif
