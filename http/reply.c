/* reply.c - see reply.h. */
#include "http/reply.h"

#include "http/headers.h"
#include "http/server_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#define DETAIL_BYTES 256

void reply_header(struct http_request *request, const char *name, const char *value) {
    struct reply *reply = &request->reply;
    if (reply->header_count == REPLY_HEADERS) return;
    reply->headers[reply->header_count++] = (struct reply_header){name, value};
}

void reply_version(struct http_request *request, const char *name, uint64_t version, bool quoted) {
    char *text = scratch_alloc(&request->scratch, ETAG_BYTES + 1);
    if (!text) return;
    size_t size = etag_format(version, text);
    text[quoted ? size : size - 1] = 0;
    reply_header(request, name, quoted ? text : text + 1);
}

/* Drops what a handler had set already. */
static void reply_begin(struct http_request *request, unsigned status, const char *content_type) {
    bool close = request->reply.close;
    memset(&request->reply, 0, sizeof request->reply);
    request->reply.status = status;
    request->reply.content_type = content_type;
    request->reply.close = close;
}

void reply_json(struct http_request *request) {
    if (request->writer.failed) {
        reply_problem(request, PROBLEM_INTERNAL, "no memory for the reply");
        return;
    }
    if (request->reply.status == 0) reply_begin(request, MHD_HTTP_OK, "application/json");
    request->reply.body = velocity_bytes(request->writer.data, request->writer.size);
    reply_header(request, "X-Content-Type-Options", "nosniff");
}

void reply_problem_with(struct http_request *request, enum problem_code code, struct problem extra) {
    const struct problem_kind *kind = problem_kind(code);
    extra.code = code;
    extra.request_id = request->id ? velocity_str(request->id) : velocity_bytes(NULL, 0);
    reply_begin(request, kind->status, PROBLEM_MEDIA_TYPE);
    json_writer_clear(&request->writer);
    request->writer.failed = false;
    problem_write(&request->writer, &extra);
    if (!request->writer.failed) request->reply.body = velocity_bytes(request->writer.data, request->writer.size);
    if (kind->status == MHD_HTTP_SERVICE_UNAVAILABLE) reply_header(request, "Retry-After", "1");
    if (code == PROBLEM_METHOD_NOT_ALLOWED) {
        char *allow = scratch_alloc(&request->scratch, ROUTE_ALLOW_BYTES);
        if (!allow) return;
        route_allow(request->match.allowed, allow);
        reply_header(request, "Allow", allow);
    }
}

void reply_problem(struct http_request *request, enum problem_code code, const char *format, ...) {
    char detail[DETAIL_BYTES] = "";
    if (format) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(detail, sizeof detail, format, args);
        va_end(args);
    }
    reply_problem_with(request, code, (struct problem){.detail = velocity_str(detail)});
}

static enum problem_code failure_code(const struct service_request *service, bool write) {
    switch (service->status) {
    case VELOCITY_NOT_FOUND: return PROBLEM_KEY_NOT_FOUND;
    case VELOCITY_INVALID:
        return service->refusal == SERVICE_NOT_JSON          ? PROBLEM_VALUE_NOT_JSON
               : service->refusal == SERVICE_FOUND_TOO_LARGE ? PROBLEM_TOO_LARGE
                                                             : PROBLEM_INVALID_REQUEST;
    case VELOCITY_CONFLICT: return PROBLEM_PRECONDITION_FAILED;
    case VELOCITY_BUSY: return PROBLEM_OVERLOADED;
    case VELOCITY_CORRUPT: return PROBLEM_CORRUPT;
    case VELOCITY_IO: return write ? PROBLEM_OUTCOME_UNKNOWN : PROBLEM_INTERNAL;
    case VELOCITY_NO_SPACE: return PROBLEM_NO_SPACE;
    case VELOCITY_NO_MEMORY: return PROBLEM_OVERLOADED;
    case VELOCITY_READ_ONLY: return PROBLEM_READ_ONLY;
    case VELOCITY_OK:
    case VELOCITY_LOCKED:
    case VELOCITY_UNSUPPORTED:
    case VELOCITY_INCOMPLETE:
    case VELOCITY_HISTORY_GONE: break;
    }
    return PROBLEM_INTERNAL;
}

void reply_failure(struct http_request *request, bool write) {
    const struct service_request *service = &request->service;
    struct problem problem = {.detail = velocity_str(service_request_message(service))};
    if (service->refusal == SERVICE_NOT_JSON) {
        problem.detail = velocity_str(service->json_error.reason);
        problem.has_offset = true;
        problem.offset = service->json_error.offset;
    }
    if (service->refusal == SERVICE_QUEUE_FULL) problem.detail = velocity_str("too many requests wait for the disk");
    if (service->refusal == SERVICE_DISK_LOW) problem.detail = velocity_str("less than disk_reserve_bytes is free");
    if (service->refusal == SERVICE_FOUND_TOO_LARGE)
        problem.detail = velocity_str("the batch reads more than one reply may hold; nothing was done");
    if (service->status == VELOCITY_CONFLICT) {
        problem.detail = velocity_bytes(NULL, 0);
        problem.has_current_version = true;
        problem.current_version = service->current_version;
        problem.has_index = service->operation == SERVICE_BATCH;
        problem.index = service->failed_condition;
    }
    reply_problem_with(request, failure_code(service, write), problem);
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

static void body_sent(void *arg) {
    request_release(arg);
}

static struct MHD_Response *make_response(struct http_request *request) {
    static char nothing[1];
    velocity_slice body = request->reply.body;
    if (body.size == 0) return MHD_create_response_from_buffer(0, nothing, MHD_RESPMEM_PERSISTENT);
    struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback_cls(
        body.size, (void *)(uintptr_t)body.data, body_sent, request);
    if (response) request->references++;
    return response;
}

static void count_reply(struct http_request *request) {
    struct worker_counters *counters = &request->worker->counters;
    const struct route *route = request->match.route;
    enum latency_class class = route ? route->latency : LATENCY_OTHER;
    counter_add(&counters->statuses[request->reply.status], 1);
    if (request->body.size) counter_add(&counters->body_bytes_received, request->body.size);
    if (request->method != HTTP_HEAD && request->reply.body.size)
        counter_add(&counters->body_bytes_sent, request->reply.body.size);
    counter_add(&counters->latency[class][latency_bucket(clock_us() - request->begun_us)], 1);
}

enum MHD_Result reply_send(struct http_request *request) {
    const struct reply *reply = &request->reply;
    request->stage = REQUEST_ANSWERED;
    struct MHD_Response *response = make_response(request);
    if (!response) return MHD_NO;
    enum MHD_Result good = MHD_YES;
    if (reply->content_type) good = MHD_add_response_header(response, "Content-Type", reply->content_type);
    for (size_t i = 0; i < reply->header_count && good == MHD_YES; i++)
        good = MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value);
    if (good == MHD_YES && request->id) good = MHD_add_response_header(response, "X-Request-Id", request->id);
    if (good == MHD_YES && (reply->close || http_server_draining(request->server)))
        good = MHD_add_response_header(response, "Connection", "close");
    count_reply(request);
    if (good == MHD_YES) good = MHD_queue_response(request->mhd, reply->status, response);
    MHD_destroy_response(response);
    return good;
}

static void append(struct json_writer *w, const char *text) {
    json_append(w, text, strlen(text));
}

static void append_line(struct json_writer *w, const char *name, const char *value) {
    append(w, name);
    append(w, ": ");
    append(w, value);
    append(w, "\r\n");
}

static void format(struct json_writer *w, const struct reply *reply, const char *id, bool with_body) {
    char number[32];
    append(w, "HTTP/1.1 ");
    (void)snprintf(number, sizeof number, "%u ", reply->status);
    append(w, number);
    append(w, MHD_get_reason_phrase_for(reply->status));
    append(w, "\r\nConnection: close\r\n");
    if (reply->content_type) append_line(w, "Content-Type", reply->content_type);
    for (size_t i = 0; i < reply->header_count; i++) append_line(w, reply->headers[i].name, reply->headers[i].value);
    if (id) append_line(w, "X-Request-Id", id);
    (void)snprintf(number, sizeof number, "%zu", reply->body.size);
    append_line(w, "Content-Length", number);
    append(w, "\r\n");
    if (with_body && reply->body.size) json_append(w, reply->body.data, reply->body.size);
}

void reply_send_raw(struct http_request *request) {
    struct json_writer bytes = {0};
    format(&bytes, &request->reply, request->id, request->method != HTTP_HEAD);
    count_reply(request);
    /* Small enough for an empty send buffer; where it does not fit, the client is one that reads nothing. */
    if (!bytes.failed) (void)send(request->connection->fd, bytes.data, bytes.size, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(request->connection->fd, SHUT_WR);
    json_writer_free(&bytes);
}

bool reply_format(enum problem_code code, struct json_writer *out) {
    struct json_writer body = {0};
    problem_write(&body, &(struct problem){.code = code});
    struct reply reply = {.status = problem_kind(code)->status,
                          .content_type = PROBLEM_MEDIA_TYPE,
                          .body = velocity_bytes(body.data, body.size)};
    format(out, &reply, NULL, true);
    bool good = !body.failed && !out->failed;
    json_writer_free(&body);
    return good;
}
