/* options.h - the command line. */
#ifndef VELOCITY_BENCH_OPTIONS_H
#define VELOCITY_BENCH_OPTIONS_H

#include "rows.h"

typedef struct {
    bool engines[16]; /* by index into bench_engines */
    bool rows[ROW_COUNT];
    uint64_t keys;
    uint64_t writes; /* of a row that overwrites or mixes; at most keys */
    uint32_t value_bytes;
    uint32_t rounds;
    double seconds;        /* of a row that is bounded by time */
    uint64_t memory_limit; /* bytes for each child and what the system caches for it; 0: none */
    bool compact;          /* before the rows that read */
    const char *directory; /* under which databases are made and removed */
    const char *json;      /* NULL: none */
    const char *child;     /* NULL: this is the parent; else the engine's id */
    row_group child_group;
} bench_options;

/* Fills *options; ends the process on --help (0) and on wrong usage (2). */
void options_parse(bench_options *options, int argc, char **argv);
/* Whether the engine can do the group, and a row of it was asked for. */
bool options_group_wanted(const bench_options *options, const bench_engine *engine, row_group group);

#endif
