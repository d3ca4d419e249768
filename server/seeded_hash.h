/*
 * seeded_hash.h - a hash of bytes for tables whose keys come from anybody.
 */
#ifndef VELOCITY_SERVER_SEEDED_HASH_H
#define VELOCITY_SERVER_SEEDED_HASH_H

#include "engine/velocity.h"

/* FNV-1a, begun with a number that nobody outside knows: keys that collide cannot be prepared. */
static inline uint64_t seeded_hash(uint64_t seed, velocity_slice bytes) {
    const unsigned char *p = bytes.data;
    uint64_t hash = seed;
    for (size_t i = 0; i < bytes.size; i++) hash = (hash ^ p[i]) * UINT64_C(1099511628211);
    return hash ^ (hash >> 29);
}

#endif
