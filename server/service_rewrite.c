/*
 * service_rewrite.c - writes of one key that depend on what stands there: merge patches, and puts and deletes under
 * conditions that no single version expresses.
 *
 * What is small and cached is read and written in the commit queue (velocity_batch_compose): many that change one key
 * share a sync, and none loses. All else waits on the executor: it is read and made there, and written if the key still
 * stands where it was read; only who has lost too often does it in the queue, where the others wait for it.
 */
#include "server/service_internal.h"

#include <stdlib.h>

#define SMALL_BYTES 16384u /* of what stands there, and of the patch or value */

struct rewrite {
    struct service_request *request;
    struct store *store; /* to read from */
    struct store_operation operation;
    struct store_condition standing; /* the key as it was read */
    struct json_writer memory;       /* of a patch: the value that it makes */
    struct store_compose compose;
    bool refused;  /* as it was composed: the request has its answer */
    bool outgrown; /* composed of more than was said */
};

/* Does what was asked for hold of the key at this version? Else that is the answer. */
static bool precondition_holds(struct service_request *request, uint64_t version) {
    bool holds = true;
    if (request->precondition == SERVICE_IF_HOLDS) holds = request->holds(request->holds_arg, version);
    if (request->precondition == SERVICE_AT_VERSION) holds = store_condition_holds(request->if_version, version);
    if (holds) return true;
    request->status = VELOCITY_CONFLICT;
    request->current_version = version;
    return false;
}

/* Reads the key and decides by what stands there. False: answered. */
static bool read_and_decide(struct rewrite *r) {
    struct service_request *request = r->request;
    velocity_value current = {0};
    request->status = r->store->operations->get(r->store, request->key, false, &current);
    bool found = request->status == VELOCITY_OK;
    if (!found && request->status != VELOCITY_NOT_FOUND) return false;
    uint64_t version = store_standing(request->status, &current);
    bool goes_on = precondition_holds(request, version);
    if (goes_on && request->operation == SERVICE_PATCH)
        goes_on = service_patch(request, found ? &current : NULL, &r->memory, &r->operation);
    r->standing = (struct store_condition){.key = request->key, .version = version};
    request->store->operations->release(request->store, &current);
    return goes_on;
}

/* False: the key moved between read and write. */
static bool write_if_it_stands(struct rewrite *r) {
    struct service_request *request = r->request;
    struct store_batch batch = {
        .conditions = &r->standing, .condition_count = 1, .operations = &r->operation, .operation_count = 1};
    r->store = request->store;
    if (!read_and_decide(r)) return true;
    request->store->operations->write(request->store, &batch, &request->commit);
    service_take_commit(request);
    return request->status != VELOCITY_CONFLICT;
}

static uint64_t bytes_written(const struct rewrite *r) {
    return r->operation.key.size + r->operation.value.size;
}

static velocity_status compose(void *arg, struct store *now, struct store_batch *more) {
    struct rewrite *r = arg;
    r->store = now;
    r->refused = !read_and_decide(r);
    if (r->refused) return r->request->status;
    r->outgrown = bytes_written(r) > r->compose.most_bytes;
    if (r->outgrown) return VELOCITY_CONFLICT;
    *more = (struct store_batch){.operations = &r->operation, .operation_count = 1};
    return VELOCITY_OK;
}

/* In the commit queue, where nothing moves. `last`: about what it would write. */
static struct store_batch composed(struct rewrite *r, uint64_t last) {
    r->refused = r->outgrown = false;
    r->compose = (struct store_compose){
        .most_operations = 1, .most_bytes = service_composed_bytes(last), .compose = compose, .arg = r};
    return (struct store_batch){.compose = &r->compose};
}

/* False: it would have been more than was said. */
static bool take_composed(struct rewrite *r) {
    if (!r->refused && !r->outgrown) service_take_commit(r->request);
    return !r->outgrown;
}

static bool write_as_it_stands(struct rewrite *r) {
    struct service_request *request = r->request;
    struct store_batch batch = composed(r, bytes_written(r));
    request->store->operations->write(request->store, &batch, &request->commit);
    return take_composed(r);
}

static void attempt(struct service_request *request) {
    struct rewrite r = {.request = request, .operation = service_single_operation(request)};
    bool answered = false;
    for (int i = 0; i < SERVICE_ATTEMPTS && !answered; i++)
        answered = i < SERVICE_PATIENCE ? write_if_it_stands(&r) : write_as_it_stands(&r);
    if (!answered) service_refuse(request, VELOCITY_BUSY, SERVICE_NO_REFUSAL);
    service_forget_large(request, r.memory.size);
    json_writer_free(&r.memory);
}

/* ---- in the commit queue at once -------------------------------------------------------------------------------- */

/* False: it needs the disk, or is large. *last: about what will be written. */
static bool is_small(struct service_request *request, bool may_wait, uint64_t *last) {
    velocity_value current = {0};
    velocity_status status = request->store->operations->get(request->store, request->key, !may_wait, &current);
    *last = request->key.size + request->value.size + current.size;
    bool small = status != VELOCITY_INCOMPLETE && current.size <= SMALL_BYTES && request->value.size <= SMALL_BYTES;
    request->store->operations->release(request->store, &current);
    return small;
}

static bool start_composed(struct service_request *request, bool may_wait) {
    uint64_t last;
    if (request->transaction || !is_small(request, may_wait, &last)) return false;
    struct rewrite *r = request->rewrite = calloc(1, sizeof *r);
    if (!r) return false;
    *r = (struct rewrite){.request = request, .operation = service_single_operation(request)};
    struct store_batch batch = composed(r, last);
    request->store->operations->write_async(request->store, &batch, &request->commit);
    return true;
}

bool service_rewrite_start(struct service_request *request) {
    return start_composed(request, false);
}

bool service_rewrite_run(struct service_request *request) {
    if (start_composed(request, true)) return false;
    attempt(request);
    return true;
}

bool service_rewrite_committed(struct service_request *request) {
    struct rewrite *r = request->rewrite;
    bool answered = take_composed(r);
    request->rewrite = NULL;
    service_forget_large(request, r->memory.size);
    json_writer_free(&r->memory);
    free(r);
    return answered;
}
