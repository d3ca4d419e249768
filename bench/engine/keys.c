/* keys.c - see keys.h. */
#include "keys.h"

#include <stdio.h>
#include <stdlib.h>

#define POOL_BYTES      ((uint64_t)1 << 20)
#define POOL_MIN_PIECES 16u

char keys_digits[10000][4];

void keys_init(void) {
    for (unsigned i = 0; i < 10000; i++) {
        char text[5];
        (void)snprintf(text, sizeof text, "%04u", i);
        memcpy(keys_digits[i], text, 4);
    }
}

void value_pool_init(value_pool *pool, uint32_t value_bytes) {
    uint64_t pieces = value_bytes ? POOL_BYTES / value_bytes : POOL_MIN_PIECES;
    if (pieces < POOL_MIN_PIECES) pieces = POOL_MIN_PIECES;
    pool->pieces = pieces;
    pool->value_bytes = value_bytes;
    pool->bytes = malloc(pieces * value_bytes + 1);
    if (!pool->bytes) bench_fail("no memory for the values");
    uint64_t state = 42;
    uint32_t half = (value_bytes + 1) / 2;
    for (uint64_t i = 0; i < pieces; i++) {
        unsigned char *piece = pool->bytes + i * value_bytes;
        for (uint32_t j = 0; j < half; j++) piece[j] = (unsigned char)(random_next(&state) >> 56);
        memcpy(piece + half, piece, value_bytes - half);
    }
}

void value_pool_destroy(value_pool *pool) {
    free(pool->bytes);
}

void permutation_fill(uint32_t *order, uint64_t n, uint64_t seed) {
    for (uint64_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    for (uint64_t i = n - 1; i > 0; i--) {
        uint64_t j = random_below(&seed, i + 1);
        uint32_t swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
}
