/* load.h - runs one row on an open database. */
#ifndef VELOCITY_BENCH_LOAD_H
#define VELOCITY_BENCH_LOAD_H

#include "keys.h"
#include "rows.h"

typedef struct {
    const bench_engine *engine;
    void *db;
    const bench_settings *settings;
    const value_pool *pool;
    double seconds;      /* how long a row runs that is bounded by time */
    double ticks_second; /* ticks_per_second() */
    uint32_t generation; /* of the values that rows write */
    uint64_t writes;     /* how many puts a row does that is bounded by keys; the load itself does all */
    uint32_t *order;     /* place for one number a key, in which the rows that write keep their order */
} load_context;

/* Starts the row's threads, each with a session of its own, and measures from the first one's start to the last one's
 * end. */
row_result load_run(const load_context *context, row_id row);

#endif
