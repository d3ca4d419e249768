/* histogram.c - see histogram.h. */
#include "histogram.h"

static double seconds_now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

double ticks_per_second(void) {
    struct timespec pause = {0, 50000000};
    double begin = seconds_now();
    uint64_t first = ticks_now();
    (void)nanosleep(&pause, NULL);
    double end = seconds_now();
    return (double)(ticks_now() - first) / (end - begin);
}

void histogram_merge(histogram *into, const histogram *from) {
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) into->counts[i] += from->counts[i];
    into->total += from->total;
    if (from->max > into->max) into->max = from->max;
}

/* The middle of what falls into the bucket: the inverse of histogram_bucket. */
static double bucket_middle(uint32_t bucket) {
    if (bucket < HISTOGRAM_SUB) return bucket;
    uint32_t shift = bucket / HISTOGRAM_SUB - 1;
    double low = (double)(((uint64_t)HISTOGRAM_SUB + bucket % HISTOGRAM_SUB) << shift);
    return low + (double)((uint64_t)1 << shift) / 2;
}

double histogram_percentile(const histogram *h, double q) {
    uint64_t rank = (uint64_t)(q * (double)h->total), seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen > rank) {
            double middle = bucket_middle(i);
            return middle < (double)h->max ? middle : (double)h->max;
        }
    }
    return (double)h->max;
}
