/*
 * keys.h - keys, values and random numbers: the same for every engine, made cheaply enough to stand in a timed loop.
 *
 * Key i of the database is the number 2i in 16 decimal digits, so that the absent keys (2i + 1) lie between existing
 * ones. A value is a piece of a pool: half of it random, the other half the same bytes again. Which piece a key has
 * depends on the key and on how often it was written (its generation), so that what is read can be checked.
 */
#ifndef VELOCITY_BENCH_KEYS_H
#define VELOCITY_BENCH_KEYS_H

#include "bench.h"

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators). */
static inline uint64_t random_next(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* Uniform in [0, below), below at most 2^32. */
static inline uint64_t random_below(uint64_t *state, uint64_t below) {
    return ((random_next(state) >> 32) * below) >> 32;
}

/* Before the first key_write. */
void keys_init(void);
extern char keys_digits[10000][4];

/* `number` in 16 decimal digits; at most 10^16 - 1. */
static inline void key_write(char key[BENCH_KEY_BYTES], uint64_t number) {
    uint64_t high = number / 100000000, low = number % 100000000;
    memcpy(key, keys_digits[high / 10000], 4);
    memcpy(key + 4, keys_digits[high % 10000], 4);
    memcpy(key + 8, keys_digits[low / 10000], 4);
    memcpy(key + 12, keys_digits[low % 10000], 4);
}

static inline void key_of(char key[BENCH_KEY_BYTES], uint64_t index) {
    key_write(key, index * 2);
}
static inline void key_absent(char key[BENCH_KEY_BYTES], uint64_t index) {
    key_write(key, index * 2 + 1);
}

typedef struct {
    unsigned char *bytes;
    uint64_t pieces;
    uint32_t value_bytes;
} value_pool;

void value_pool_init(value_pool *pool, uint32_t value_bytes);
void value_pool_destroy(value_pool *pool);

static inline const unsigned char *value_of(const value_pool *pool, uint64_t index, uint32_t generation) {
    uint64_t state = index * 31 + generation;
    return pool->bytes + random_below(&state, pool->pieces) * pool->value_bytes;
}

/* A random order of 0 .. n-1, the same for the same seed. */
void permutation_fill(uint32_t *order, uint64_t n, uint64_t seed);

#endif
