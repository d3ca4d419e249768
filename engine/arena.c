/* arena.c - memory that is handed out in small pieces and freed all at once. See arena.h. */
#include "arena.h"

#include "env.h"

#include <stdlib.h>

#define FIRST_CHUNK_BYTES   4096u
#define LARGEST_CHUNK_BYTES (1u << 20)

/* Stands at the front of a chunk; as long as the strictest alignment, so that pieces can begin right behind. */
union chunk_header {
    void *older;
    uint8_t bytes[ARENA_MAX_ALIGNMENT];
};

void arena_init(struct arena *arena, size_t alignment) {
    *arena = (struct arena){.chunk_bytes = FIRST_CHUNK_BYTES, .alignment = alignment};
}

void arena_free(struct arena *arena) {
    for (union chunk_header *chunk = arena->chunks, *older; chunk; chunk = older) {
        older = chunk->older;
        env_free(chunk);
    }
    arena_init(arena, arena->alignment);
}

static velocity_status open_spare(struct arena *arena, size_t bytes) {
    size_t size = sizeof(union chunk_header) + bytes;
    if (size < arena->chunk_bytes) size = arena->chunk_bytes;
    union chunk_header *chunk = env_alloc_aligned(ARENA_MAX_ALIGNMENT, size);
    if (!chunk) return VELOCITY_NO_MEMORY;
    chunk->older = arena->chunks;
    arena->chunks = chunk;
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
