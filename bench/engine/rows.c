/* rows.c - see rows.h. */
#include "rows.h"

const bench_row bench_rows[ROW_COUNT] = {
    [ROW_DURABLE_ONE] = {"durable-1", "durable put, 1 thread", "ops/s", GROUP_DURABLE_ONE, 1, false, true, 0},
    [ROW_DURABLE_MANY] = {"durable-64", "durable put, 64 threads", "ops/s", GROUP_DURABLE_MANY, 64, false, true, 0},
    [ROW_DURABLE_OUTSTANDING] = {"durable-outstanding", "durable put, 2 threads with 4,096 outstanding", "ops/s",
                                 GROUP_DURABLE_OUTSTANDING, 2, false, true, 0},
    [ROW_SEQUENTIAL_PUT] = {"sequential", "sequential put, not synced", "ops/s", GROUP_UNSYNCED, 1, false, true, 0},
    [ROW_OVERWRITE_ONE] = {"overwrite-1", "random overwrite, 1 thread", "ops/s", GROUP_UNSYNCED, 1, false, true, 0},
    [ROW_OVERWRITE_TWO] = {"overwrite-2", "random overwrite, 2 threads", "ops/s", GROUP_UNSYNCED, 2, false, true, 0},
    [ROW_GET_ONE] = {"get-1", "random get, 1 thread", "ops/s", GROUP_UNSYNCED, 1, false, true, 0},
    [ROW_GET_TWO] = {"get-2", "random get, 2 threads", "ops/s", GROUP_UNSYNCED, 2, false, true, 0},
    [ROW_GET_HOT] = {"get-hot", "get among 1% hot keys, 2 threads", "ops/s", GROUP_UNSYNCED, 2, false, true, 0},
    [ROW_GET_ABSENT] = {"get-absent", "get of absent keys, 1 thread", "ops/s", GROUP_UNSYNCED, 1, false, true, 0},
    [ROW_SEEK] = {"seek", "seek + 100 next, 1 thread", "rows/s", GROUP_UNSYNCED, 1, false, true, 0},
    [ROW_SCAN] = {"scan", "full scan, 1 thread", "rows/s", GROUP_UNSYNCED, 1, false, false, 0},
    [ROW_MIXED] = {"mixed", "50/50 get/put, 2 threads", "ops/s", GROUP_UNSYNCED, 2, false, true, 0},
    [ROW_MEMORY] = {"memory", "peak memory", "MiB", GROUP_UNSYNCED, 0, true, false, 0},
    [ROW_DISK] = {"disk", "size on disk after close", "MiB", GROUP_UNSYNCED, 0, true, false, 0},
    [ROW_WRITTEN] = {"written", "bytes written in all", "MiB", GROUP_UNSYNCED, 0, true, false, 0},
    [ROW_SETTLE] = {"settle", "background work left after the overwrites", "s", GROUP_UNSYNCED, 0, true, false, 1},
    [ROW_TOMBSTONES] = {"tombstones", "seek across 100,000 deleted keys, settled, to a plain seek", "times",
                        GROUP_TOMBSTONES, 0, true, true, 2},
    [ROW_RANGE_DELETE] = {"range-delete", "seek across 100,000 keys deleted as a range, at once, to a plain seek",
                          "times", GROUP_TOMBSTONES, 0, true, true, 2},
};
