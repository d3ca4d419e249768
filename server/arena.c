/* arena.c - see arena.h. */
#include "server/arena.h"

#include <stdlib.h>

#define ARENA_ALIGNMENT   ((size_t)16)
#define ARENA_BLOCK_BYTES ((size_t)16384)

struct arena_block {
    struct arena_block *next;
    size_t unused; /* keeps what follows aligned */
    unsigned char bytes[];
};

static unsigned char *align(unsigned char *p) {
    return p + (-(uintptr_t)p & (ARENA_ALIGNMENT - 1));
}

void arena_init(struct arena *arena, void *first, size_t size) {
    unsigned char *begin = first, *aligned = align(begin);
    arena->first_end = begin + size;
    arena->first_at = aligned < arena->first_end ? aligned : arena->first_end;
    arena->at = arena->first_at;
    arena->end = arena->first_end;
    arena->blocks = NULL;
}

void *arena_alloc(struct arena *arena, size_t size) {
    if (size > SIZE_MAX / 2) return NULL;
    size = (size + ARENA_ALIGNMENT - 1) & ~(ARENA_ALIGNMENT - 1);
    if (size <= (size_t)(arena->end - arena->at)) {
        void *piece = arena->at;
        arena->at += size;
        return piece;
    }
    size_t room = size > ARENA_BLOCK_BYTES ? size : ARENA_BLOCK_BYTES;
    struct arena_block *block = malloc(sizeof *block + room);
    if (!block) return NULL;
    block->next = arena->blocks;
    arena->blocks = block;
    arena->at = block->bytes + size;
    arena->end = block->bytes + room;
    return block->bytes;
}

void arena_reset(struct arena *arena) {
    while (arena->blocks) {
        struct arena_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
    arena->at = arena->first_at;
    arena->end = arena->first_end;
}

bool arena_copy(struct arena *arena, velocity_slice bytes, velocity_slice *out) {
    char *copy = arena_alloc(arena, bytes.size + 1);
    if (!copy) return false;
    if (bytes.size) memcpy(copy, bytes.data, bytes.size);
    copy[bytes.size] = 0;
    *out = velocity_bytes(copy, bytes.size);
    return true;
}
