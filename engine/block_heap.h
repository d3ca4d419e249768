/*
 * block_heap.h - memory for cached blocks, in huge pages. A cache is read at random all over: in small pages nearly
 * every block costs misses of the TLB on top of those of the caches. What is free goes back to the system by regions
 * of 2 MiB.
 *
 * Any thread may allocate and release.
 */
#ifndef VELOCITY_BLOCK_HEAP_H
#define VELOCITY_BLOCK_HEAP_H

#include "velocity.h"

typedef struct block_heap block_heap;

/* What is larger does not gain from it. */
#define BLOCK_HEAP_MAX_BYTES (256u << 10)

block_heap *block_heap_new(void); /* NULL: no memory */
/* Nothing is allocated from it any more; it ends with the last release. NULL is allowed. */
void block_heap_close(block_heap *heap);
/* Aligned to a cache line. At most BLOCK_HEAP_MAX_BYTES. NULL: no memory. */
void *block_heap_alloc(block_heap *heap, size_t bytes);
/* `bytes` as asked for. */
void block_heap_release(void *block, size_t bytes);
uint64_t block_heap_held_bytes(block_heap *heap); /* from the system */

#endif
