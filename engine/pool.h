/*
 * pool.h - background threads: log segments and memory first, then flushes, compaction with what is left, for all
 * databases of a velocity_shared; and a timer that ticks databases. More than the first three threads start when there
 * is work for them.
 *
 * One thread takes only prompt jobs and one no patient ones, so that neither ever waits for what takes longer. Where
 * the environment runs jobs inline, no threads exist: whoever waits for background work runs it (pool_run_one).
 */
#ifndef VELOCITY_POOL_H
#define VELOCITY_POOL_H

#include "env.h"

typedef struct pool pool;

struct pool_job {
    struct pool_job *next;
    void (*run)(struct pool_job *job); /* may submit jobs, itself too */
};

enum pool_urgency {
    POOL_PROMPT,  /* milliseconds; a writer would wait for it: segments, memory */
    POOL_URGENT,  /* some hundred: flushes */
    POOL_PATIENT, /* seconds and more: compactions */
    POOL_URGENCIES
};

/* threads: for patient jobs, besides the other two; 0: as many as cores. NULL: no memory, or no threads. */
pool *pool_new(env *e, uint32_t threads);
/* No jobs may be queued or running. NULL is allowed. */
void pool_free(pool *p);
/* The job is borrowed until it ran. Locks that it takes may be held: it never runs here. */
void pool_submit(pool *p, enum pool_urgency urgency, struct pool_job *job);
/* Inline environments: runs the next job, if there is one. */
bool pool_run_one(pool *p);

/* Calls tick about every period_ms until removed; not in inline environments. Embedded in its owner. */
struct pool_ticker {
    struct pool_ticker *next;
    uint32_t period_ms;
    uint64_t due_ms;
    bool running;
    void (*tick)(struct pool_ticker *ticker); /* short; waits for nothing long */
};
VELOCITY_CHECK_RESULT velocity_status pool_ticker_add(pool *p, struct pool_ticker *ticker);
/* Tick soon; any thread. */
void pool_ticker_hurry(pool *p, struct pool_ticker *ticker);
void pool_ticker_set_period(pool *p, struct pool_ticker *ticker, uint32_t period_ms);
/* After it returns, tick does not run any more. */
void pool_ticker_remove(pool *p, struct pool_ticker *ticker);

#endif
