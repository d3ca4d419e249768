/*
 * filter.h - which keys are surely not in a table: a blocked Bloom filter. A key's bits all lie in one cache line, so a
 * check costs one memory access (Putze, Sanders, Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007).
 *
 * A table's filter is cut into partitions of equal size; a key's hash names the partition, the line in it and the bits.
 * Partitions are read and cached one by one. Pure functions; bytes: FORMAT.md, "Filter".
 */
#ifndef VELOCITY_FILTER_H
#define VELOCITY_FILTER_H

#include "velocity.h"

#define FILTER_LINE_BYTES      64u
#define FILTER_PARTITION_BYTES (32u * 1024) /* at most */

struct filter_shape {
    uint32_t partitions;      /* 0: no filter */
    uint32_t partition_bytes; /* a multiple of FILTER_LINE_BYTES */
    uint32_t probes;
};

/* The hash that filter and callers share: one a lookup. */
uint64_t filter_hash(velocity_slice key);
/* The smallest shape that keeps false positives at the rate or below; rate >= 1: no filter. */
struct filter_shape filter_shape_for(uint64_t keys, double false_positive_rate);
static inline uint32_t filter_partition(const struct filter_shape *shape, uint64_t hash) {
    return (uint32_t)(((hash >> 32) * shape->partitions) >> 32);
}
/* `partition`: partition_bytes of memory, zeroed before the first add. */
void filter_add(const struct filter_shape *shape, uint8_t *partition, uint64_t hash);
bool filter_may_contain(const struct filter_shape *shape, const uint8_t *partition, uint64_t hash);

#endif
