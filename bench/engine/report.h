/* report.h - collects results and writes the tables. */
#ifndef VELOCITY_BENCH_REPORT_H
#define VELOCITY_BENCH_REPORT_H

#include "options.h"

#include <stdio.h>

#define REPORT_MAX_ENGINES 16
#define REPORT_MAX_ROUNDS  99

/* The results of one row on one engine, a round each. */
typedef struct {
    uint32_t count;
    row_result results[REPORT_MAX_ROUNDS];
} report_cell;

typedef struct {
    const bench_options *options;
    uint32_t failures[REPORT_MAX_ENGINES]; /* children that ended badly */
    report_cell cells[ROW_COUNT][REPORT_MAX_ENGINES];
} report;

/* Takes a line that a child printed. False: it is none. */
bool report_line(report *r, int engine, const char *line);
/* Tables in Markdown: throughput with ratios, then latencies. */
void report_print(const report *r, FILE *out);
void report_json(const report *r, FILE *out);

#endif
