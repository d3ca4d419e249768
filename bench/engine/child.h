/* child.h - the process that runs one group of rows on one engine. */
#ifndef VELOCITY_BENCH_CHILD_H
#define VELOCITY_BENCH_CHILD_H

#include "options.h"

/* Prints "row value p50 p99 max" for each row that was asked for. Ends the process with 1 when anything goes wrong. */
void child_run(const bench_options *options);

#endif
