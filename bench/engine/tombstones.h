/* tombstones.h - how much dearer a seek is that lands behind 100,000 deleted keys. */
#ifndef VELOCITY_BENCH_TOMBSTONES_H
#define VELOCITY_BENCH_TOMBSTONES_H

#include "load.h"

#define TOMBSTONES 100000u /* deleted keys in a row; fewer where the database is small */

/* Deletes keys in a row: one by one (ROW_TOMBSTONES), then `settle` runs, or all at once (ROW_RANGE_DELETE), and
 * nothing is waited for. The value is the median seek over them as a multiple of the same seek before. */
row_result tombstones_run(const load_context *context, row_id row, void (*settle)(const load_context *context));

#endif
