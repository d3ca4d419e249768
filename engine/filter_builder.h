/*
 * filter_builder.h - gathers the hashes of a table's keys, then makes the partitions of its filter (filter.h).
 *
 * Both are kept in pieces of at most 32 KiB: a buffer of megabytes for each table would stay with the allocator of the
 * thread that wrote it. One thread.
 */
#ifndef VELOCITY_FILTER_BUILDER_H
#define VELOCITY_FILTER_BUILDER_H

#include "filter.h"

struct filter_builder {
    struct hash_piece *newest; /* NULL: none */
    uint64_t count;
    uint8_t **partitions; /* NULL before filter_builder_finish */
    uint32_t partition_count;
};

/* NO_MEMORY: the builder is as it was. */
VELOCITY_CHECK_RESULT velocity_status filter_builder_add(struct filter_builder *builder, uint64_t hash);
/* Chooses the shape and makes builder->partitions, each of shape->partition_bytes; none where the rate asks for none.
 */
VELOCITY_CHECK_RESULT velocity_status filter_builder_finish(struct filter_builder *builder, double false_positive_rate,
                                                            struct filter_shape *shape);
/* Frees all; the builder is empty again. A zeroed one is allowed. */
void filter_builder_clear(struct filter_builder *builder);

#endif
