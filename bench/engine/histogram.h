/*
 * histogram.h - counts of durations in logarithmic buckets, 32 to each power of two: a percentile is at most 3% off.
 *
 * Durations are in ticks: the processor's time stamp counter where there is one (some 10 ns to read, and it does not
 * order memory), else nanoseconds. Every operation is timed by one reading: its end is the next one's beginning.
 */
#ifndef VELOCITY_BENCH_HISTOGRAM_H
#define VELOCITY_BENCH_HISTOGRAM_H

#include <stdint.h>
#include <time.h>

#define HISTOGRAM_SUB_BITS 5
#define HISTOGRAM_SUB      (1u << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_BUCKETS  ((64 - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB)

typedef struct {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total, max;
} histogram;

static inline uint64_t ticks_now(void) {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
#endif
}

/* How many ticks a second has, measured against the monotonic clock; takes some 50 ms. */
double ticks_per_second(void);

static inline uint32_t histogram_bucket(uint64_t ticks) {
    if (ticks < HISTOGRAM_SUB) return (uint32_t)ticks;
    uint32_t exponent = 63u - (uint32_t)__builtin_clzll(ticks);
    uint32_t shift = exponent - HISTOGRAM_SUB_BITS;
    return (shift + 1) * HISTOGRAM_SUB + (uint32_t)((ticks >> shift) - HISTOGRAM_SUB);
}

static inline void histogram_add(histogram *h, uint64_t ticks) {
    h->counts[histogram_bucket(ticks)]++;
    h->total++;
    if (ticks > h->max) h->max = ticks;
}

void histogram_merge(histogram *into, const histogram *from);
/* The duration that the share `q` (0 to 1) of all does not exceed, in ticks; the middle of its bucket. 0 if empty. */
double histogram_percentile(const histogram *h, double q);

#endif
