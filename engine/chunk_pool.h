/*
 * chunk_pool.h - chunks of ENV_HUGE_BYTES for write buffers, kept warm: those of a flushed buffer serve the next one,
 * and some are prepared ahead, in the background.
 *
 * Why: the system fills a huge page with zeros when it is first touched, and a virtual machine may have to find it
 * memory first: 0.4 to 3 ms measured, on the thread that writes (one page for 12,000 entries of 120 bytes).
 *
 * While writes go on as much is kept as the largest write buffer holds; nothing once all databases rest. Any thread.
 */
#ifndef VELOCITY_CHUNK_POOL_H
#define VELOCITY_CHUNK_POOL_H

#include "pool.h"

typedef struct chunk_pool chunk_pool;

/* `jobs` is borrowed; it runs what prepares chunks. NULL: no memory. */
chunk_pool *chunk_pool_new(env *e, pool *jobs);
/* The pool of jobs must be at rest or freed. NULL is allowed. */
void chunk_pool_free(chunk_pool *chunks);
/* ENV_HUGE_BYTES, with whatever content; NULL: no memory, and the error message is set. */
void *chunk_pool_take(chunk_pool *chunks);
void chunk_pool_give(chunk_pool *chunks, void *chunk);
/* There are write buffers of this size. */
void chunk_pool_expect(chunk_pool *chunks, uint64_t bytes);
/* Gives back what is more than that, and everything if no chunk was taken for a second. Called now and then. */
void chunk_pool_tend(chunk_pool *chunks);
uint64_t chunk_pool_bytes(chunk_pool *chunks); /* kept now */

#endif
