/*
 * service_batch.c - see service_batch.h.
 *
 * A batch that reads (gets, increments, touches) must look as if it happened at one instant. So: read all keys that it
 * needs from the database as of one snapshot, go through the operations in their order, then write with the further
 * condition that each key still stands where it was read; where one moved, again. Where others were faster too often,
 * all of that is done in the commit queue, where nobody is; batches that only increment and write begin there.
 */
#include "server/service_batch.h"

#include "server/service_attempt.h"
#include "server/service_internal.h"

#include <stdlib.h>

/* What is composed at once: others wait as long. */
#define COMPOSED_MOST       256u
#define COMPOSED_MOST_BYTES 262144u

/* After it was gone through: does it write? A touch of what is not there does not. */
static bool writes(const struct service_batch_operation *operation) {
    return operation->action != SERVICE_BATCH_GET && (operation->action != SERVICE_BATCH_TOUCH || operation->found);
}

bool service_batch_takes_space(const struct service_batch *batch) {
    for (size_t i = 0; i < batch->operation_count; i++) {
        enum service_batch_action action = batch->operations[i].action;
        if (action != SERVICE_BATCH_GET && action != SERVICE_BATCH_DELETE) return true;
    }
    return false;
}

enum way { WRITTEN, COMPOSED, ATTEMPTED };

static enum way way_of(const struct service_request *request) {
    const struct service_batch *batch = request->batch;
    size_t increments = 0;
    if (request->transaction || batch->operation_count == 0) return ATTEMPTED;
    for (size_t i = 0; i < batch->operation_count; i++) {
        const struct service_batch_operation *operation = &batch->operations[i];
        increments += operation->action == SERVICE_BATCH_INCREMENT;
        if (attempt_reads(operation) && operation->action != SERVICE_BATCH_INCREMENT) return ATTEMPTED;
    }
    if (increments == 0) return WRITTEN;
    bool few = batch->operation_count + batch->condition_count <= COMPOSED_MOST;
    return few && attempt_most_bytes(batch) <= COMPOSED_MOST_BYTES ? COMPOSED : ATTEMPTED;
}

/* ---- attempts --------------------------------------------------------------------------------------------------- */

/* Inside of a transaction none has a number yet. */
static void number_writes(struct service_batch *batch, uint64_t last_version, size_t write_count) {
    bool numbered = last_version != VELOCITY_ABSENT;
    uint64_t next = numbered ? last_version - write_count + 1 : VELOCITY_ABSENT;
    for (size_t i = 0; i < batch->operation_count; i++)
        if (writes(&batch->operations[i])) batch->operations[i].version = numbered ? next++ : next;
}

/* Of the keys that were read: each must still stand there. */
static void add_conditions(struct attempt *a, const struct service_batch *batch) {
    a->condition_count = batch->condition_count + a->read_count;
    for (size_t i = batch->condition_count; i < a->condition_count; i++)
        a->conditions[i] = (struct store_condition){.key = a->keys[i], .version = a->standing[i]};
}

/* True: answered, one way or the other. False: a key moved between read and write. */
static bool attempt_once(struct attempt *a) {
    struct service_request *request = a->request;
    struct service_batch *batch = request->batch;
    struct store *store = a->store = request->store;
    if (!attempt_read(a) || !attempt_go_through(a) || a->write_count == 0) return true;
    add_conditions(a, batch);
    struct store_batch write = {.conditions = a->conditions,
                                .condition_count = a->condition_count,
                                .operations = a->writes,
                                .operation_count = a->write_count};
    store->operations->write(store, &write, &request->commit);
    if (request->commit.status == VELOCITY_CONFLICT && request->commit.failed_condition >= batch->condition_count)
        return false;
    service_take_commit(request);
    return true;
}

/* In the commit queue. */
static velocity_status compose(void *arg, struct store *now, struct store_batch *more) {
    struct attempt *a = arg;
    a->store = now;
    if (!attempt_read(a) || !attempt_go_through(a)) {
        a->refused = true;
        return a->request->status;
    }
    a->outgrown = a->write_count > a->compose.most_operations || attempt_bytes(a) > a->compose.most_bytes;
    if (a->outgrown) return VELOCITY_CONFLICT;
    *more = (struct store_batch){.operations = a->writes, .operation_count = a->write_count};
    return VELOCITY_OK;
}

/* What is written when it is composed. Its conditions are judged where the keys are read. */
static struct store_batch composed(struct attempt *a, uint64_t most) {
    a->refused = a->outgrown = false;
    a->compose = (struct store_compose){.most_operations = (uint32_t)a->request->batch->operation_count,
                                        .most_bytes = most,
                                        .compose = compose,
                                        .arg = a};
    return (struct store_batch){.compose = &a->compose};
}

/* The commit of one that was composed. True: answered; a refusal has been already. False: it was more than it may. */
static bool take_composed(struct attempt *a) {
    if (a->outgrown) return false;
    if (!a->refused) service_take_commit(a->request);
    return true;
}

/* Behind attempts that were lost, the last of which would have written `bytes`. */
static bool attempt_composed(struct attempt *a, uint64_t bytes) {
    struct service_request *request = a->request;
    struct store_batch write = composed(a, service_composed_bytes(bytes));
    request->store->operations->write(request->store, &write, &request->commit);
    return take_composed(a);
}

static void conclude(struct attempt *a) {
    struct service_request *request = a->request;
    struct service_batch *batch = request->batch;
    service_forget_large(request, attempt_bytes(a));
    if (request->status != VELOCITY_OK || !a->write_count) return;
    number_writes(batch, request->version, a->write_count);
    for (size_t i = 0; i < batch->operation_count; i++)
        if (a->sources[i] && !writes(&batch->operations[i]))
            batch->operations[i].version = batch->operations[a->sources[i] - 1].version;
}

static void attempt(struct service_request *request) {
    struct attempt *a = attempt_new(request);
    bool answered = false;
    if (!a) {
        request->status = VELOCITY_NO_MEMORY;
        return;
    }
    for (int i = 0; i < SERVICE_ATTEMPTS && !answered; i++)
        answered = i < SERVICE_PATIENCE ? attempt_once(a) : attempt_composed(a, attempt_bytes(a));
    if (!answered) service_refuse(request, VELOCITY_BUSY, SERVICE_NO_REFUSAL);
    conclude(a);
    attempt_free(a);
}

/* ---- in the commit queue at once -------------------------------------------------------------------------------- */

/* What it reads is found without the disk. */
static bool is_cached(const struct attempt *a) {
    for (size_t i = 0; i < a->request->batch->condition_count + a->read_count; i++)
        if (!service_is_cached(a->request, a->keys[i])) return false;
    return true;
}

static void fail_without_memory(struct service_request *request) {
    request->commit.status = VELOCITY_NO_MEMORY;
    service_say(request, "no memory for the batch");
    request->commit.done(&request->commit);
}

/* What was read to be there, or not, is read again. */
static bool start_composed(struct service_request *request, bool may_wait) {
    struct attempt *a = request->batch->attempt = attempt_new(request);
    if (!a) {
        fail_without_memory(request);
        return true;
    }
    if (may_wait) {
        if (!attempt_read(a)) a->refused = false; /* it is cached now; the commit queue has the last word */
    } else if (!is_cached(a)) {
        attempt_free(a);
        request->batch->attempt = NULL;
        return false;
    }
    struct store_batch write = composed(a, attempt_most_bytes(request->batch));
    request->store->operations->write_async(request->store, &write, &request->commit);
    return true;
}

static bool start_written(struct service_request *request, bool may_wait) {
    struct service_batch *batch = request->batch;
    struct store *store = request->store;
    for (size_t i = 0; !may_wait && i < batch->condition_count; i++)
        if (!service_is_cached(request, batch->conditions[i].key)) return false;
    struct store_operation *writes = malloc((batch->operation_count + 1) * sizeof *writes);
    if (!writes) {
        fail_without_memory(request);
        return true;
    }
    for (size_t i = 0; i < batch->operation_count; i++) writes[i] = attempt_operation(&batch->operations[i]);
    struct store_batch write = {.conditions = batch->conditions,
                                .condition_count = batch->condition_count,
                                .operations = writes,
                                .operation_count = batch->operation_count};
    if (may_wait) {
        store->operations->write(store, &write, &request->commit);
        request->commit.done(&request->commit);
    } else {
        store->operations->write_async(store, &write, &request->commit); /* which may answer, and end the request */
    }
    free(writes);
    return true;
}

bool service_batch_start(struct service_request *request) {
    switch (way_of(request)) {
    case WRITTEN: return start_written(request, false);
    case COMPOSED: return start_composed(request, false);
    case ATTEMPTED: break;
    }
    return false;
}

bool service_batch_run(struct service_request *request) {
    switch (way_of(request)) {
    case WRITTEN: return !start_written(request, true);
    case COMPOSED: return !start_composed(request, true);
    case ATTEMPTED: break;
    }
    attempt(request);
    return true;
}

void service_batch_committed(struct service_request *request) {
    struct attempt *a = request->batch->attempt;
    request->batch->attempt = NULL;
    if (!a) {
        service_take_commit(request);
        if (request->status == VELOCITY_OK)
            number_writes(request->batch, request->version, request->batch->operation_count);
        return;
    }
    if (!take_composed(a)) service_refuse(request, VELOCITY_BUSY, SERVICE_NO_REFUSAL);
    conclude(a);
    attempt_free(a);
}
