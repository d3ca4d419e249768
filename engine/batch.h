/* batch.h - the inside of velocity_batch: operations as they stand in the log, and conditions. */
#ifndef VELOCITY_BATCH_H
#define VELOCITY_BATCH_H

#include "log.h"

#define BATCH_CHARGE 32u /* what an operation costs beside its key and value: no less than it adds to the log */

struct batch_requirement {
    size_t key_at; /* in keys */
    uint32_t key_bytes;
    uint64_t sequence;
};

/* How much a batch holds. */
struct batch_extent {
    size_t bytes;
    uint32_t count, puts, range_deletes; /* operations; those that are puts, or range deletes */
    uint64_t charged;                    /* what counts against VELOCITY_MAX_BATCH_BYTES */
};

struct velocity_batch {
    uint8_t *operations; /* as log_operation_encode writes them */
    size_t capacity;
    struct batch_extent extent;
    struct batch_requirement *requirements;
    size_t requirement_count, requirement_capacity;
    uint8_t *keys; /* of the requirements */
    size_t key_bytes, key_capacity;
    velocity_status error; /* the first failure */
    const char *reason;
    size_t conflict; /* SIZE_MAX: none */
    uint64_t conflict_sequence;
    const struct validation *validation; /* of a transaction that is not READ_COMMITTED; else NULL */
    velocity_compose compose;            /* NULL: none */
    void *compose_arg;
    uint32_t most_operations; /* that it may add */
    uint64_t most_bytes;
    struct batch_extent own; /* without what was composed */
    bool composed;           /* more than its own is in it */
};

/* INVALID with a message if the key or the value is outside its limits. */
VELOCITY_CHECK_RESULT velocity_status batch_check_key(velocity_slice key);
VELOCITY_CHECK_RESULT velocity_status batch_check_value(velocity_slice value);
VELOCITY_CHECK_RESULT velocity_status batch_check_range(velocity_slice start, velocity_slice end);
/* Before each write: what a batch was composed of before goes. */
void batch_prepare(velocity_batch *batch);
/* What the batch may come to, in bytes of the log and operations. */
static inline uint64_t batch_most_log_bytes(const velocity_batch *batch) {
    uint64_t composed = batch->compose ? batch->most_bytes + batch->most_operations * (uint64_t)BATCH_CHARGE : 0;
    return batch->extent.bytes + composed;
}
static inline uint32_t batch_most_operations(const velocity_batch *batch) {
    return batch->extent.count + (batch->compose ? batch->most_operations : 0);
}
/* Composes it. Anything but OK: it holds what it held before. */
VELOCITY_CHECK_RESULT velocity_status batch_compose(velocity_batch *batch, velocity_instant *instant);
velocity_slice batch_required_key(const velocity_batch *batch, size_t i);

#endif
