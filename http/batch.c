/*
 * batch.c - POST /api/batch.
 */
#include "http/batch_parse.h"
#include "http/conditions.h"
#include "http/handlers.h"
#include "http/item.h"
#include "http/reply.h"
#include "http/server_internal.h"

#define FOUND_MAX_BYTES ((uint64_t)8 << 20) /* what the gets of one batch may find, as a page of a listing */

static void write_found(struct json_writer *w, const struct service_batch_operation *operation) {
    struct item item = {
        .key = operation->key, .version = operation->version, .expires_at_ms = operation->expires_at_ms};
    if (!operation->found || !item_unpack(operation->found_flags, operation->value, &item.type, &item.value)) {
        json_write_null(w);
        return;
    }
    item_write(w, &item, true, UINT64_MAX);
}

/* A number of 64 bits does not fit a double: it is written as a string, as versions are. */
static void write_written(struct json_writer *w, const struct service_batch_operation *operation) {
    if (operation->action == SERVICE_BATCH_TOUCH && !operation->found) {
        json_write_null(w);
        return;
    }
    json_begin_object(w);
    json_name(w, "version");
    json_write_version(w, operation->version);
    if (operation->action == SERVICE_BATCH_INCREMENT) {
        json_name(w, "value");
        json_write_string(w, operation->value);
    }
    json_end_object(w);
}

/* On the executor where the batch reads, else on the worker. */
static void write_results(struct http_request *request) {
    const struct service_batch *batch = request->service.batch;
    struct json_writer *w = &request->writer;
    json_begin_object(w);
    json_name(w, "version");
    if (request->service.transaction_id.size)
        json_write_version(w, request->service.version);
    else
        json_write_u64_string(w, request->service.version); /* "0": nothing was ever written */
    json_name(w, "results");
    json_begin_array(w);
    for (size_t i = 0; i < batch->operation_count; i++) {
        const struct service_batch_operation *operation = &batch->operations[i];
        if (operation->action == SERVICE_BATCH_GET)
            write_found(w, operation);
        else
            write_written(w, operation);
    }
    json_end_array(w);
    json_end_object(w);
}

static void render(struct service_request *service) {
    if (service->status != VELOCITY_OK) return;
    write_results(request_of(service));
}

/* Afterwards what was done would have to be told, whatever room there is. */
static bool has_room(struct service_request *service) {
    struct http_request *request = (struct http_request *)((char *)service - offsetof(struct http_request, service));
    const struct service_batch *batch = service->batch;
    size_t bytes = 0;
    for (size_t i = 0; i < batch->operation_count; i++)
        if (batch->operations[i].action == SERVICE_BATCH_GET) bytes += batch->operations[i].value.size;
    reply_give_back(request); /* of the attempt before */
    return reply_take(request, bytes);
}

static void done(struct http_request *request) {
    if (request->service.status != VELOCITY_OK) {
        reply_failure(request, true);
        return;
    }
    if (request->writer.size == 0 && !request->writer.failed) write_results(request); /* it read nothing */
    reply_json(request);
}

bool batch_begin(struct http_request *request) {
    return request_parameters(request, NULL, 0, NULL) && conditions_absent(request);
}

void batch_post(struct http_request *request) {
    struct service_batch *batch = scratch_alloc(&request->scratch, sizeof *batch);
    struct batch_error error;
    if (!batch) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return;
    }
    memset(batch, 0, sizeof *batch);
    batch->max_found_bytes = FOUND_MAX_BYTES;
    batch->has_room = has_room;
    if (!batch_parse(body_slice(&request->body), request->server->max_value_bytes, &request->scratch, batch, &error)) {
        reply_problem_with(request, error.code,
                           (struct problem){.detail = velocity_str(error.reason),
                                            .has_index = error.has_index,
                                            .index = error.index,
                                            .has_offset = error.has_offset,
                                            .offset = error.offset});
        return;
    }
    request->service.operation = SERVICE_BATCH;
    request->service.batch = batch;
    request->service.look_into = item_look_into;
    request->service.render = render;
    request_run(request, done);
}
