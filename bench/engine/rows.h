/*
 * rows.h - the rows of the table: what is measured, in which group, in which order.
 *
 * The rows of a group run in one process on one database, in the order of the table: writes first, then reads, so that
 * a row finds what the rows before it left, on every engine the same.
 */
#ifndef VELOCITY_BENCH_ROWS_H
#define VELOCITY_BENCH_ROWS_H

#include "bench.h"

typedef enum {
    GROUP_DURABLE_ONE,
    GROUP_DURABLE_MANY,
    GROUP_DURABLE_OUTSTANDING,
    GROUP_UNSYNCED,
    GROUP_VALUES, /* large values, not synced */
    GROUP_TOMBSTONES,
    GROUP_OVERLOAD,
    GROUP_COUNT
} row_group;

typedef enum {
    ROW_DURABLE_ONE,
    ROW_DURABLE_MANY,
    ROW_DURABLE_OUTSTANDING,
    ROW_SEQUENTIAL_PUT,
    ROW_OVERWRITE_ONE,
    ROW_OVERWRITE_TWO,
    ROW_GET_ONE,
    ROW_GET_TWO,
    ROW_GET_HOT,
    ROW_GET_ABSENT,
    ROW_SEEK,
    ROW_SCAN,
    ROW_MIXED,
    ROW_MEMORY,
    ROW_DISK,
    ROW_WRITTEN,
    ROW_SETTLE,
    ROW_MEMORY_IDLE,
    ROW_OPEN,
    ROW_WRITE_TIMES,
    ROW_READ_BYTES,
    ROW_DISK_TIMES,
    ROW_VALUES_PUT,
    ROW_VALUES_GET,
    ROW_VALUES_DISK,
    ROW_VALUES_WRITTEN,
    ROW_TOMBSTONES,
    ROW_RANGE_DELETE,
    ROW_OVERLOAD,
    ROW_COUNT
} row_id;

typedef struct {
    const char *id;    /* on the command line */
    const char *title; /* in the table */
    const char *unit;
    row_group group;
    uint32_t threads; /* 0: no load, a figure of the whole group */
    bool lower_is_better;
    bool latency; /* p50, p99 and max say something */
    uint32_t decimals;
} bench_row;

#define ROW_SEEK_NEXT    100u  /* rows read after each seek */
#define ROW_OUTSTANDING  4096u /* asynchronous puts under way, all threads together */
#define ROW_VALUES_BYTES 4096u /* of the large values */
#define ROW_VALUES_SHARE 10u   /* one in so many keys has one */
#define ROW_HOT_SHARE    100u  /* of the keys, the first one in so many is hot */

extern const bench_row bench_rows[ROW_COUNT];

/* One result. The latencies are in microseconds, 0 where they say nothing. */
typedef struct {
    double value, p50_us, p99_us, max_us;
    uint64_t operations;
} row_result;

#endif
