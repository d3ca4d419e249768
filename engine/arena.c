/* arena.c - memory that is handed out in small pieces and freed all at once. See arena.h. */
#include "arena.h"

#include "env.h"

#include <stdlib.h>

#define FIRST_CHUNK_BYTES   4096u
#define LARGEST_CHUNK_BYTES ENV_HUGE_BYTES

/* Stands at the front of a chunk; as long as the strictest alignment, so that pieces can begin right behind. Chunks of
 * ENV_HUGE_BYTES and more are huge memory, smaller ones come from the heap. */
union chunk_header {
    struct {
        void *older;
        size_t size;
    };
    uint8_t bytes[ARENA_MAX_ALIGNMENT];
};

void arena_init(struct arena *arena, size_t alignment, chunk_pool *pool) {
    *arena = (struct arena){.pool = pool, .chunk_bytes = FIRST_CHUNK_BYTES, .alignment = alignment};
}

static void *chunk_new(struct arena *arena, size_t size) {
    if (size < ENV_HUGE_BYTES) return env_alloc_aligned(ARENA_MAX_ALIGNMENT, size);
    return size == ENV_HUGE_BYTES && arena->pool ? chunk_pool_take(arena->pool) : env_alloc_huge(size);
}

static void chunk_free(struct arena *arena, void *chunk, size_t size) {
    if (size < ENV_HUGE_BYTES)
        env_free(chunk);
    else if (size == ENV_HUGE_BYTES && arena->pool)
        chunk_pool_give(arena->pool, chunk);
    else
        env_free_huge(chunk, size);
}

void arena_free(struct arena *arena) {
    for (union chunk_header *chunk = arena->chunks, *older; chunk; chunk = older) {
        older = chunk->older;
        chunk_free(arena, chunk, chunk->size);
    }
    arena_init(arena, arena->alignment, arena->pool);
}

static velocity_status open_spare(struct arena *arena, size_t bytes) {
    size_t size = sizeof(union chunk_header) + bytes;
    if (size < arena->chunk_bytes) size = arena->chunk_bytes;
    if (size >= ENV_HUGE_BYTES) size = (size + ENV_HUGE_BYTES - 1) & ~(size_t)(ENV_HUGE_BYTES - 1);
    union chunk_header *chunk = chunk_new(arena, size);
    if (!chunk) return VELOCITY_NO_MEMORY;
    chunk->size = size;
    chunk->older = arena->chunks;
    arena->chunks = chunk;
    arena->held_bytes += size;
    if (arena->spare.bytes > arena->open.bytes) arena->open = arena->spare;
    arena->spare = (struct arena_room){(uint8_t *)(chunk + 1), size - sizeof *chunk};
    if (arena->chunk_bytes < LARGEST_CHUNK_BYTES) arena->chunk_bytes *= 2;
    return VELOCITY_OK;
}

velocity_status arena_reserve(struct arena *arena, size_t bytes) {
    if (bytes <= arena->open.bytes || bytes <= arena->spare.bytes) return VELOCITY_OK;
    return open_spare(arena, bytes);
}

static void *take_from(struct arena_room *room, size_t bytes) {
    void *piece = room->next;
    room->next += bytes;
    room->bytes -= bytes;
    return piece;
}

void *arena_take(struct arena *arena, size_t bytes) {
    bytes = arena_piece_bytes(arena, bytes);
    arena->used_bytes += bytes;
    if (bytes <= arena->open.bytes) return take_from(&arena->open, bytes);
    if (bytes > arena->spare.bytes) abort(); /* more than was reserved */
    void *piece = take_from(&arena->spare, bytes);
    if (arena->spare.bytes > arena->open.bytes) arena->open = arena->spare;
    arena->spare = (struct arena_room){NULL, 0};
    return piece;
}
