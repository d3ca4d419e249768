/* filter_builder.c - see filter_builder.h. */
#include "filter_builder.h"

#include "env.h"

#include <string.h>

enum { HASHES_PER_PIECE = 32 * 1024 / 8 - 2 };

struct hash_piece {
    struct hash_piece *older;
    uint64_t used;
    uint64_t hashes[HASHES_PER_PIECE];
};

velocity_status filter_builder_add(struct filter_builder *builder, uint64_t hash) {
    struct hash_piece *piece = builder->newest;
    if (!piece || piece->used == HASHES_PER_PIECE) {
        if (!(piece = env_alloc(sizeof *piece))) return VELOCITY_NO_MEMORY;
        piece->older = builder->newest;
        piece->used = 0;
        builder->newest = piece;
    }
    piece->hashes[piece->used++] = hash;
    builder->count++;
    return VELOCITY_OK;
}

static bool partitions_new(struct filter_builder *builder, const struct filter_shape *shape) {
    builder->partitions = env_alloc_zeroed(shape->partitions * sizeof *builder->partitions);
    if (!builder->partitions) return false;
    builder->partition_count = shape->partitions;
    for (uint32_t i = 0; i < shape->partitions; i++)
        if (!(builder->partitions[i] = env_alloc_zeroed(shape->partition_bytes))) return false;
    return true;
}

velocity_status filter_builder_finish(struct filter_builder *builder, double false_positive_rate,
                                      struct filter_shape *shape) {
    *shape = filter_shape_for(builder->count, false_positive_rate);
    if (shape->partitions == 0) return VELOCITY_OK;
    if (!partitions_new(builder, shape)) return VELOCITY_NO_MEMORY;
    for (const struct hash_piece *piece = builder->newest; piece; piece = piece->older)
        for (uint64_t i = 0; i < piece->used; i++)
            filter_add(shape, builder->partitions[filter_partition(shape, piece->hashes[i])], piece->hashes[i]);
    return VELOCITY_OK;
}

void filter_builder_clear(struct filter_builder *builder) {
    for (struct hash_piece *piece = builder->newest, *older; piece; piece = older) {
        older = piece->older;
        env_free(piece);
    }
    for (uint32_t i = 0; i < builder->partition_count; i++) env_free(builder->partitions[i]);
    env_free(builder->partitions);
    memset(builder, 0, sizeof *builder);
}
