/*
 * service.c - see service.h. Holds no lock of its own: what is shared are counters.
 */
#include "server/service.h"

#include "engine/env.h"
#include "server/bounded.h"
#include "server/service_attempt.h"
#include "server/service_batch.h"
#include "server/service_internal.h"

#include <stdlib.h>
#include <unistd.h>

#define JSON_INLINE_BYTES 65536u     /* larger documents are checked on the executor */
#define COPY_INLINE_BYTES (1u << 20) /* larger values are copied into their batch there */
#define DEFAULT_QUEUE     1024u
#define VALUE_TYPE(flags) ((flags)&0xFFu)
#define VALUE_TYPE_JSON   1u

struct service *service_new(const struct service_options *options) {
    struct service *service = calloc(1, sizeof *service);
    if (!service) return NULL;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t threads = options->executor_threads ? options->executor_threads : 2 * (uint32_t)(cores > 0 ? cores : 1);
    service->databases = options->databases;
    service->auth = options->auth;
    service->audit = options->audit;
    service->max_value_bytes = options->max_value_bytes;
    service->max_inflight_bytes = options->max_inflight_bytes;
    struct transactions_options transactions = {.databases = options->databases,
                                                .auth = options->auth,
                                                .idle_seconds = options->transaction_idle_seconds,
                                                .max_seconds = options->transaction_max_seconds,
                                                .max_per_user = options->max_transactions_per_user,
                                                .max_bytes = options->max_transaction_bytes,
                                                .max_total_bytes = options->max_inflight_bytes};
    service->transactions = transactions_new(&transactions);
    service->executor = executor_new(threads, options->executor_queue ? options->executor_queue : DEFAULT_QUEUE);
    service->jobs = jobs_new(options->databases);
    bool watched = disk_init(&service->disk, options->data_dir, options->disk_reserve_bytes);
    bool seeded = env_random(env_posix(), &service->hash_seed, sizeof service->hash_seed) == VELOCITY_OK;
    if (service->executor && service->jobs && service->transactions && watched && seeded) return service;
    service_free(service);
    return NULL;
}

void service_free(struct service *service) {
    if (!service) return;
    jobs_free(service->jobs);
    executor_free(service->executor);
    transactions_free(service->transactions);
    disk_destroy(&service->disk);
    free(service);
}

void service_set_limits(struct service *service, const struct service_limits *limits) {
    atomic_store(&service->limit_per_user, limits->per_user);
    atomic_store(&service->limit_per_connection, limits->per_connection);
    atomic_store(&service->limit_global, limits->global);
}

struct databases *service_databases(struct service *service) {
    return service->databases;
}

struct auth *service_auth(struct service *service) {
    return service->auth;
}

struct audit *service_audit(struct service *service) {
    return service->audit;
}

struct jobs *service_jobs(struct service *service) {
    return service->jobs;
}

struct transactions *service_transactions(struct service *service) {
    return service->transactions;
}

struct executor *service_executor(struct service *service) {
    return service->executor;
}

/* ---- answering -------------------------------------------------------------------------------------------------- */

void service_take_commit(struct service_request *request) {
    const struct store_commit *commit = &request->commit;
    request->status = commit->status;
    request->version = commit->version;
    request->current_version = commit->current_version;
    request->failed_condition = commit->failed_condition;
}

static void committed(struct store_commit *commit) {
    struct service_request *request =
        (struct service_request *)((char *)commit - offsetof(struct service_request, commit));
    bool composed = request->rewrite != NULL;
    if (composed && !service_rewrite_committed(request)) { /* what stands there has become large */
        executor_go_on(request->service->executor, &request->task);
        return;
    }
    if (request->operation == SERVICE_BATCH)
        service_batch_committed(request);
    else if (!composed)
        service_take_commit(request);
    request->done(request);
}

bool service_is_cached(struct service_request *request, velocity_slice key) {
    velocity_value found = {0};
    velocity_status status = request->store->operations->get(request->store, key, true, &found);
    request->store->operations->release(request->store, &found);
    return status != VELOCITY_INCOMPLETE;
}

static bool must_be_json(const struct service_request *request) {
    return request->operation == SERVICE_PUT && (request->check_json || VALUE_TYPE(request->flags) == VALUE_TYPE_JSON);
}

static bool json_holds(struct service_request *request) {
    size_t at = request->json_at;
    velocity_slice document = velocity_bytes((const char *)request->value.data + at, request->value.size - at);
    if (json_valid(document, &request->json_error)) return true;
    service_refuse(request, VELOCITY_INVALID, SERVICE_NOT_JSON);
    return false;
}

/* ---- single writes ---------------------------------------------------------------------------------------------- */

struct store_operation service_single_operation(const struct service_request *request) {
    struct store_operation operation = {.action = STORE_DELETE, .key = request->key};
    if (request->operation == SERVICE_PUT) {
        operation.action = STORE_PUT;
        operation.flags = request->flags;
        operation.expires_at_ms = request->expires_at_ms;
        operation.value = request->value;
    } else if (request->operation == SERVICE_DELETE_RANGE) {
        operation.action = STORE_DELETE_RANGE;
        operation.key = request->range_start;
        operation.end = request->range_end;
    }
    return operation;
}

/* True: answered; false: it is under way, or done. Inside of a transaction nothing has to reach the disk yet. */
static bool write_single(struct service_request *request, bool may_wait) {
    struct store *store = request->store;
    struct store_operation operation = service_single_operation(request);
    struct store_condition condition = {.key = request->key, .version = request->if_version};
    struct store_batch batch = {.conditions = &condition,
                                .condition_count = request->precondition == SERVICE_AT_VERSION,
                                .operations = &operation,
                                .operation_count = 1};
    if (request->transaction || (may_wait && batch.condition_count)) {
        store->operations->write(store, &batch, &request->commit);
        service_take_commit(request);
        return true;
    }
    store->operations->write_async(store, &batch, &request->commit);
    return false;
}

/* ---- scans ------------------------------------------------------------------------------------------------------ */

/* A transaction sees one state in any case, or wants the newest one. */
static velocity_status scan(struct service_request *request) {
    struct store *store = request->store;
    uint64_t version;
    velocity_status status = VELOCITY_OK;
    if (request->goes_on && !request->transaction && !request->view)
        status = store->operations->freeze(store, &request->view, &version);
    if (request->view) store = request->view;
    return status ? status : store->operations->scan(store, request->scan);
}

/* True: answered. False: it goes on behind those that wait. */
static bool scan_turn(struct service_request *request) {
    request->status = scan(request);
    if (request->status == VELOCITY_OK && !request->scan->complete && request->goes_on && request->goes_on(request)) {
        executor_go_on(request->service->executor, &request->task);
        return false;
    }
    if (request->view) request->view->operations->free(request->view);
    request->view = NULL;
    return true;
}

/* ---- the executor's side ---------------------------------------------------------------------------------------- */

/* True: answered; false: an asynchronous write is under way, or it has another turn. */
static bool execute(struct service_request *request) {
    struct store *store = request->store;
    switch (request->operation) {
    case SERVICE_GET: request->status = store->operations->get(store, request->key, false, &request->found); break;
    case SERVICE_SCAN:
        if (!scan_turn(request)) return false;
        break;
    case SERVICE_BATCH:
        if (!service_batch_run(request)) return false;
        break;
    case SERVICE_CALL: request->call(request); break;
    case SERVICE_COMMIT: service_commit(request); return false;
    case SERVICE_ROLLBACK: service_rollback(request->service, request); break;
    case SERVICE_PUT:
    case SERVICE_DELETE:
    case SERVICE_DELETE_RANGE:
        if (must_be_json(request) && !json_holds(request)) return true;
        if (request->precondition == SERVICE_IF_HOLDS ? !service_rewrite_run(request) : !write_single(request, true))
            return false;
        break;
    case SERVICE_PATCH:
        if (!service_rewrite_run(request)) return false;
        break;
    }
    /* The words are this thread's. */
    if (request->status != VELOCITY_OK && request->status != VELOCITY_CONFLICT && !request->commit.message[0])
        strncat(request->commit.message, velocity_error_message(), sizeof request->commit.message - 1);
    return true;
}

static void run_task(struct executor_task *task) {
    struct service_request *request = (struct service_request *)((char *)task - offsetof(struct service_request, task));
    if (!execute(request)) return;
    if (request->render) {
        request->render(request);
        if (request->batch) service_batch_release(request); /* the reply may wait for a slow reader: without them */
    }
    service_leave_transaction(request);
    request->done(request);
}

/* ---- admission -------------------------------------------------------------------------------------------------- */

static bool takes_space(const struct service_request *request) {
    if (request->operation == SERVICE_PUT || request->operation == SERVICE_PATCH) return true;
    return request->operation == SERVICE_BATCH && service_batch_takes_space(request->batch);
}

/* To roll back nobody needs to be inside. */
static bool is_inside(const struct service_request *request) {
    return request->transaction_id.size && request->operation != SERVICE_ROLLBACK;
}

bool service_refuses_space(struct service *service) {
    if (!disk_is_low(&service->disk)) return false;
    atomic_fetch_add_explicit(&service->refused_disk_low, 1, memory_order_relaxed);
    return true;
}

bool service_try(struct service *service, struct service_request *request) {
    request->begun = true;
    if (!service_in_scope(request)) return true;
    if (takes_space(request) && service_refuses_space(service)) {
        service_refuse(request, VELOCITY_NO_SPACE, SERVICE_DISK_LOW);
        return true;
    }
    if (must_be_json(request) && request->value.size <= JSON_INLINE_BYTES && !json_holds(request)) return true;
    if (is_inside(request)) return !service_enter_transaction(service, request);
    if (request->operation != SERVICE_GET) return false;
    request->status = request->store->operations->get(request->store, request->key, true, &request->found);
    return request->status != VELOCITY_INCOMPLETE;
}

/* commit.done will run, or has run. False: it needs a thread that may wait. */
static bool start_here(struct service_request *request) {
    switch (request->operation) {
    case SERVICE_PUT:
    case SERVICE_DELETE:
        if (request->value.size > COPY_INLINE_BYTES) return false;
        if (must_be_json(request) && request->value.size > JSON_INLINE_BYTES) return false;
        if (request->precondition == SERVICE_IF_HOLDS) return service_rewrite_start(request);
        if (request->precondition == SERVICE_AT_VERSION && !service_is_cached(request, request->key)) return false;
        return !write_single(request, false);
    case SERVICE_DELETE_RANGE: return !write_single(request, false);
    case SERVICE_PATCH: return service_rewrite_start(request);
    case SERVICE_BATCH: return service_batch_start(request);
    case SERVICE_GET:
    case SERVICE_SCAN:
    case SERVICE_CALL:
    case SERVICE_COMMIT:
    case SERVICE_ROLLBACK: break;
    }
    return false;
}

void service_start(struct service *service, struct service_request *request) {
    request->commit.done = committed;
    request->task.run = run_task;
    if (!request->transaction && start_here(request)) return;
    if (executor_submit(service->executor, &request->task)) return;
    atomic_fetch_add_explicit(&service->refused_queue_full, 1, memory_order_relaxed);
    service_refuse(request, VELOCITY_BUSY, SERVICE_QUEUE_FULL);
    service_leave_transaction(request);
    request->done(request);
}

void service_request_end(struct service_request *request) {
    if (!request->service) return;
    store_commit_forget(&request->commit);
    if (request->store) request->store->operations->release(request->store, &request->found);
    if (request->batch) service_batch_release(request);
    request->batch = NULL;
    service_release(request);
    request->service = NULL;
}

void service_request_destroy(struct service_request *request) {
    service_request_end(request);
    store_commit_free(&request->commit);
}

const char *service_request_message(const struct service_request *request) {
    return request->commit.message;
}

/* ---- around requests -------------------------------------------------------------------------------------------- */

bool service_take_bytes(struct service *service, uint64_t bytes) {
    if (bounded_take(&service->inflight_bytes, bytes, service->max_inflight_bytes)) return true;
    atomic_fetch_add_explicit(&service->refused_inflight, 1, memory_order_relaxed);
    return false;
}

void service_give_bytes(struct service *service, uint64_t bytes) {
    atomic_fetch_sub_explicit(&service->inflight_bytes, bytes, memory_order_relaxed);
}

void service_stats(struct service *service, struct service_stats *out) {
    out->inflight_bytes = atomic_load(&service->inflight_bytes);
    out->max_inflight_bytes = service->max_inflight_bytes;
    out->executor_waiting = executor_waiting(service->executor);
    out->disk_free_bytes = disk_free_bytes(&service->disk);
    out->disk_reserve_bytes = service->disk.reserve_bytes;
    out->refused_inflight = atomic_load(&service->refused_inflight);
    out->refused_queue_full = atomic_load(&service->refused_queue_full);
    out->refused_disk_low = atomic_load(&service->refused_disk_low);
    out->refused_rate = atomic_load(&service->refused_rate);
}
