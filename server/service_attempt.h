/*
 * service_attempt.h - one go through a batch: its keys are read, as of one instant, and what its operations find and
 * write follows from that. How it is written is service_batch.c's.
 */
#ifndef VELOCITY_SERVER_SERVICE_ATTEMPT_H
#define VELOCITY_SERVER_SERVICE_ATTEMPT_H

#include "server/service.h"

/* Operations by key, to find the write that a read follows: open addressing, the newest write of a key stands in it. */
struct write_slot {
    uint32_t operation; /* + 1; 0: empty */
    uint32_t hash;      /* of its key: keys that only share a slot, however long and alike, are not compared */
};

struct write_index {
    struct write_slot *slots;
    size_t mask;
    uint64_t seed;
};

/* What a key holds at some place in the batch. */
struct state {
    bool present;
    uint32_t flags;
    uint64_t version; /* of one from the database */
    int64_t expires_at_ms;
    velocity_slice value;
};

/* What one attempt works with. */
struct attempt {
    struct service_request *request;
    struct store *store; /* to read from */
    struct store_operation *writes;
    size_t write_count;
    struct store_condition *conditions; /* the caller's, then one a key read */
    size_t condition_count;
    velocity_slice *keys;      /* to read: those of the caller's conditions, then those of reads that follow no write */
    size_t read_count;         /* of the latter */
    velocity_status *statuses; /* of each of `keys` */
    uint64_t *standing;        /* the same: what it stands at */
    uint32_t *readers;         /* of each read: its operation */
    struct state *found;       /* the same: what was read */
    uint64_t found_bytes;      /* of gets and touches */
    bool refused;              /* while it was read or composed: the request says why */
    bool outgrown;             /* composed of more than was said */
    struct store_compose compose;
    uint32_t *reads;      /* of each operation that reads: its read + 1, or 0 */
    uint32_t *sources;    /* the same: the write that it follows + 1, or 0 */
    struct state *states; /* of each operation that writes: what it leaves behind */
    int64_t now_ms;
    struct write_index index;
};

/* NULL: no memory. Nothing is read yet. */
struct attempt *attempt_new(struct service_request *request);
/* What it has found stays with the request: service_batch_release. */
void attempt_free(struct attempt *a);
/* Reads all keys, of a->store. False: the request is answered, or refused. */
VELOCITY_CHECK_RESULT bool attempt_read(struct attempt *a);
/* Behind attempt_read: answers the gets and makes the writes. False: refused. */
VELOCITY_CHECK_RESULT bool attempt_go_through(struct attempt *a);
/* Of keys and values, what it would write. */
uint64_t attempt_bytes(const struct attempt *a);

/* Does it read what is there? */
bool attempt_reads(const struct service_batch_operation *operation);
/* What the operation is for the store; of one that reads nothing. */
struct store_operation attempt_operation(const struct service_batch_operation *operation);
/* Of keys and values, what the puts, deletes and increments of a batch come to at most. */
uint64_t attempt_most_bytes(const struct service_batch *batch);
/* What its reads pin, and its increments made. */
void service_batch_release(struct service_request *request);

#endif
