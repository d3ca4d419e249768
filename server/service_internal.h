/*
 * service_internal.h - what the parts of the service layer share.
 */
#ifndef VELOCITY_SERVER_SERVICE_INTERNAL_H
#define VELOCITY_SERVER_SERVICE_INTERNAL_H

#include "server/disk.h"
#include "server/json_write.h"
#include "server/service.h"

/* Of reading, deciding, and writing if nothing moved: the first few; those behind them in the commit queue, where
 * nothing moves, and only that it has become twice as large is a reason for one more. Then BUSY. */
#define SERVICE_PATIENCE   4
#define SERVICE_ATTEMPTS   20
#define SERVICE_KEEP_BYTES 65536u /* of writes whose engine batch is kept with their request */

struct service {
    struct databases *databases;
    struct auth *auth;
    struct audit *audit;
    struct executor *executor;
    struct jobs *jobs;
    struct transactions *transactions;
    struct disk disk;
    uint64_t max_value_bytes, max_inflight_bytes;
    _Atomic uint64_t inflight_bytes;
    _Atomic uint64_t refused_inflight, refused_queue_full, refused_disk_low, refused_rate;
    _Atomic uint64_t limit_per_user, limit_per_connection, limit_global;
    struct rate_bucket bucket; /* of all together */
    uint64_t hash_seed;        /* of the keys of a batch */
};

/* What may be composed where the last attempt would have written so much. */
static inline uint64_t service_composed_bytes(uint64_t last) {
    uint64_t bytes = 2 * last + 4096;
    return bytes < VELOCITY_MAX_BATCH_BYTES ? bytes : VELOCITY_MAX_BATCH_BYTES;
}

static inline void service_refuse(struct service_request *request, velocity_status status,
                                  enum service_refusal refusal) {
    request->status = status;
    request->refusal = refusal;
}

static inline void service_say(struct service_request *request, const char *message) {
    request->commit.message[0] = 0;
    strncat(request->commit.message, message, sizeof request->commit.message - 1);
}

/* What a request keeps for its next use lives as long as the front's memory for it. A front that saw a large body keeps
 * nothing; what became large without one, `bytes` of it, is let go of here. */
static inline void service_forget_large(struct service_request *request, size_t bytes) {
    if (bytes > SERVICE_KEEP_BYTES) store_commit_free(&request->commit);
}

void service_take_commit(struct service_request *request);
/* Of a put, delete or range delete. */
struct store_operation service_single_operation(const struct service_request *request);

/* Can a condition on the key be judged without the disk, which all who write would wait for? */
bool service_is_cached(struct service_request *request, velocity_slice key);

/* service_rewrite.c: of a patch, and of a put or delete with SERVICE_IF_HOLDS. False: nothing was done, the executor is
 * needed. True: commit.done will run. */
VELOCITY_CHECK_RESULT bool service_rewrite_start(struct service_request *request);
/* On the executor. True: answered. False: commit.done will run, or has run. */
VELOCITY_CHECK_RESULT bool service_rewrite_run(struct service_request *request);
/* In commit.done. True: answered. False: once more, on the executor. */
VELOCITY_CHECK_RESULT bool service_rewrite_committed(struct service_request *request);

/* Of a patch: what becomes of what stands there (NULL: nothing) goes to *out, its bytes in `memory`. False: refused. */
bool service_patch(struct service_request *request, const velocity_value *current, struct json_writer *memory,
                   struct store_operation *out);

/* What the request's key, batch or range may not be for whoever asks; then it is refused. */
bool service_in_scope(struct service_request *request);
/* service_transaction.c. False: it is not there for whoever asks, or is over; then it is refused, or for the commit of
 * one whose commit was answered already, answered. */
bool service_look_at_transaction(struct service *service, struct service_request *request);
bool service_enter_transaction(struct service *service, struct service_request *request);
/* Harmless where none was entered. */
void service_leave_transaction(struct service_request *request);
/* On the executor. Of the transaction that was entered; done runs once. */
void service_commit(struct service_request *request);
void service_rollback(struct service *service, struct service_request *request);
/* Gives back reservation and database. What was done and not settled is recorded: its client left. */
void service_release(struct service_request *request);

#endif
