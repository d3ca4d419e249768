/* filter.c - see filter.h. */
#include "filter.h"

#include <math.h>
#include <xxhash.h>

uint64_t filter_hash(velocity_slice key) {
    return XXH3_64bits(key.data, key.size);
}

static double power(double base, uint32_t exponent) {
    double result = 1;
    while (exponent--) result *= base;
    return result;
}

/*
 * The rate of a filter whose n keys spread over lines of 512 bits: keys fall on a line by Poisson's law, and a line
 * with k keys answers wrongly with (1 - (1 - 1/512)^(k * probes)) ^ probes.
 */
static double expected_rate(double bits_per_key, uint32_t probes) {
    double mean = 512.0 / bits_per_key, weight = exp(-mean), rate = 0, clear = 1;
    double clear_step = power(1 - 1 / 512.0, probes);
    for (int k = 0; k < (int)(mean * 3) + 40; k++) {
        rate += weight * power(1 - clear, probes);
        weight *= mean / (k + 1);
        clear *= clear_step;
    }
    return rate;
}

struct filter_shape filter_shape_for(uint64_t keys, double false_positive_rate) {
    struct filter_shape shape = {0, 0, 0};
    if (false_positive_rate >= 1 || keys == 0) return shape;
    /* No filter of this kind needs less than log2(1/rate) / ln 2 bits a key: begin there. */
    double bits = fmax(1, floor(log2(1 / false_positive_rate) * 1.44));
    uint32_t probes = 1;
    for (; bits < 40; bits += 0.25) {
        double best = 1;
        for (uint32_t p = (uint32_t)(bits * 0.4) + 1; p <= (uint32_t)(bits * 0.7) + 1; p++) {
            double rate = expected_rate(bits, p);
            if (rate < best) best = rate, probes = p;
        }
        if (best <= false_positive_rate) break;
    }
    uint64_t lines = (uint64_t)ceil((double)keys * bits / 512) + 1;
    uint64_t per_partition = FILTER_PARTITION_BYTES / FILTER_LINE_BYTES;
    shape.partitions = (uint32_t)((lines + per_partition - 1) / per_partition);
    shape.partition_bytes = (uint32_t)((lines + shape.partitions - 1) / shape.partitions) * FILTER_LINE_BYTES;
    shape.probes = probes;
    return shape;
}

/* The low half of the hash picks the line (the high half picked the partition); both are scrambled for the bits. */
static const uint8_t *line_of(const struct filter_shape *shape, const uint8_t *partition, uint64_t hash) {
    uint64_t lines = shape->partition_bytes / FILTER_LINE_BYTES;
    return partition + (((hash & UINT32_MAX) * lines) >> 32) * FILTER_LINE_BYTES;
}

/* Fibonacci hashing; each step's top 9 bits name one of the line's 512. */
#define SCRAMBLE UINT64_C(0x9e3779b97f4a7c15)

void filter_add(const struct filter_shape *shape, uint8_t *partition, uint64_t hash) {
    uint8_t *line = (uint8_t *)line_of(shape, partition, hash);
    uint64_t bits = hash * SCRAMBLE;
    for (uint32_t i = 0; i < shape->probes; i++, bits *= SCRAMBLE)
        line[bits >> 58] |= (uint8_t)(1u << ((bits >> 55) & 7));
}

bool filter_may_contain(const struct filter_shape *shape, const uint8_t *partition, uint64_t hash) {
    const uint8_t *line = line_of(shape, partition, hash);
    uint64_t bits = hash * SCRAMBLE;
    for (uint32_t i = 0; i < shape->probes; i++, bits *= SCRAMBLE)
        if (!(line[bits >> 58] & (1u << ((bits >> 55) & 7)))) return false;
    return true;
}
