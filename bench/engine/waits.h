/* waits.h - says of a put that took long what its thread did meanwhile: ran, was ready to run, or was blocked. */
#ifndef VELOCITY_BENCH_WAITS_H
#define VELOCITY_BENCH_WAITS_H

#include <stdint.h>

#define WAITS_LONG_MS 20u   /* a put that takes as long is told of */
#define WAITS_EVERY   1024u /* puts between two looks at the thread's counters */

/* One thread's. */
typedef struct {
    int schedstat; /* the thread's /proc file, -1: there is none */
    uint64_t ran_ns, ready_ns, switches_voluntary, switches_forced, faults_minor, faults_major;
} waits;

void waits_open(waits *w);
void waits_close(waits *w);

/* The counters as they are now; waits_tell says what came to them since. About 2 us. */
void waits_look(waits *w);

/* Prints one line on standard error and looks again. `at_s`: since the row began. */
void waits_tell(waits *w, double at_s, double waited_ms);

#endif
