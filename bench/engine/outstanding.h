/* outstanding.h - one thread that keeps many durable puts under way at once. */
#ifndef VELOCITY_BENCH_OUTSTANDING_H
#define VELOCITY_BENCH_OUTSTANDING_H

#include "histogram.h"
#include "keys.h"

typedef struct {
    const bench_engine *engine;
    void *session;
    const value_pool *pool;
    const uint32_t *order; /* the keys begin .. end-1 of it are this thread's, again and again */
    uint64_t begin, end;
    uint32_t slots;    /* puts under way at most */
    uint64_t deadline; /* ticks: no put starts after it */
    histogram *latency;
} outstanding_load;

/* How many puts were acknowledged; all that were started are when it returns. */
uint64_t outstanding_run(const outstanding_load *load);

#endif
