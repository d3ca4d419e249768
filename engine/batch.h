/* batch.h - the inside of velocity_batch: operations as they stand in the log, and conditions. */
#ifndef VELOCITY_BATCH_H
#define VELOCITY_BATCH_H

#include "log.h"

struct batch_requirement {
    size_t key_at; /* in keys */
    uint32_t key_bytes;
    uint64_t sequence;
};

struct velocity_batch {
    uint8_t *operations; /* as log_operation_encode writes them */
    size_t bytes, capacity;
    uint32_t count, puts, range_deletes; /* operations; those that are puts, or range deletes */
    uint64_t charged;                    /* what counts against VELOCITY_MAX_BATCH_BYTES */
    struct batch_requirement *requirements;
    size_t requirement_count, requirement_capacity;
    uint8_t *keys; /* of the requirements */
    size_t key_bytes, key_capacity;
    velocity_status error; /* the first failure */
    const char *reason;
    size_t conflict; /* SIZE_MAX: none */
    uint64_t conflict_sequence;
    const struct validation *validation; /* of a transaction that is not READ_COMMITTED; else NULL */
};

/* INVALID with a message if the key or the value is outside its limits. */
VELOCITY_CHECK_RESULT velocity_status batch_check_key(velocity_slice key);
VELOCITY_CHECK_RESULT velocity_status batch_check_value(velocity_slice value);
VELOCITY_CHECK_RESULT velocity_status batch_check_range(velocity_slice start, velocity_slice end);
velocity_slice batch_required_key(const velocity_batch *batch, size_t i);

#endif
