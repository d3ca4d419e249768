/* reply.c - see reply.h. */
#include "http/reply.h"

#include "http/credentials.h"
#include "http/headers.h"
#include "http/server_internal.h"
#include "http/stream.h"
#include "server/bounded.h"
#include "server/decimal.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#define DETAIL_BYTES               256
#define FAILURES_LOGGED_PER_SECOND 10

void reply_header(struct http_request *request, const char *name, const char *value) {
    struct reply *reply = &request->reply;
    if (reply->header_count == REPLY_HEADERS) return;
    reply->headers[reply->header_count++] = (struct reply_header){name, value};
}

void reply_version(struct http_request *request, const char *name, uint64_t version, bool quoted) {
    if (version == VELOCITY_ABSENT) return; /* it gets one when its transaction commits */
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

/* What of so many bytes is counted. */
static uint64_t counted(const struct http_server *server, size_t size) {
    if (size < REPLY_COUNTED_BYTES) return 0;
    return size < server->max_reply_bytes / 4 ? size : server->max_reply_bytes / 4;
}

bool reply_bytes_take(struct http_server *server, size_t size, uint64_t *taken) {
    uint64_t bytes = counted(server, size);
    if (!bytes) return true;
    if (!bounded_take(&server->reply_bytes, bytes, server->max_reply_bytes)) return false;
    *taken = bytes;
    return true;
}

void reply_bytes_give_back(struct http_server *server, uint64_t *taken) {
    if (*taken) atomic_fetch_sub(&server->reply_bytes, *taken);
    *taken = 0;
}

bool reply_take(struct http_request *request, size_t size) {
    return reply_bytes_take(request->server, size, &request->reply_counted);
}

void reply_give_back(struct http_request *request) {
    reply_bytes_give_back(request->server, &request->reply_counted);
}

bool reply_count(struct http_request *request, size_t size) {
    if (reply_take(request, size)) return true;
    reply_problem(request, PROBLEM_OVERLOADED, REPLY_BYTES_ARE_OUT);
    return false;
}

void reply_json(struct http_request *request) {
    if (request->writer.failed) {
        reply_problem(request, PROBLEM_INTERNAL, "no memory for the reply");
        return;
    }
    if (request->reply.status == 0) reply_begin(request, MHD_HTTP_OK, "application/json");
    request->reply.body = velocity_bytes(request->writer.data, request->writer.size);
    reply_header(request, "X-Content-Type-Options", "nosniff");
    if (request->negotiated) reply_header(request, "Vary", "Accept-Encoding");
    if (request->gzipped) reply_header(request, "Content-Encoding", "gzip");
}

/* "" where there is no memory for it. */
static const char *number_text(struct http_request *request, uint64_t number) {
    char *text = scratch_alloc(&request->scratch, DECIMAL_U64_BYTES + 1);
    if (!text) return "";
    text[decimal_format_u64(number, text)] = 0;
    return text;
}

/* RFC 9110, section 11.6.1. Not to the scripts of our own pages: their browser would ask for a password in their place.
 */
static void challenge(struct http_request *request) {
    if (header_is(request->headers.fetch_site, "same-origin")) return;
    reply_header(request, "WWW-Authenticate", "Bearer realm=\"velocity\"");
    reply_header(request, "WWW-Authenticate", "Basic realm=\"velocity\", charset=\"UTF-8\"");
}

static void log_event(struct http_request *request, const char *event, enum problem_code code, const char *detail) {
    struct http_server *server = request->server;
    const struct route *route = request->match.route;
    if (!server->log) return;
    if (!rate_take(&server->log_bucket, FAILURES_LOGGED_PER_SECOND, clock_us() * 1000, NULL)) {
        atomic_fetch_add(&server->unlogged, 1);
        return;
    }
    logger_event(server->log, LOGGER_LEVEL_ERROR, event, logger_text("request_id", request->id),
                 logger_text("code", problem_kind(code)->code), logger_text("action", route ? route->action.name : ""),
                 logger_text("detail", detail),
                 logger_number("unlogged_before", atomic_exchange(&server->unlogged, 0)));
}

static bool names_file(velocity_slice words) {
    return memchr(words.data, '/', words.size) != NULL;
}

/* NULL: nobody, which a request is until it was found out, and for who need not log in. */
static bool may_know_files(const struct http_request *request) {
    return request->principal && principal_may(request->principal, PERMISSION_ADMIN);
}

const char *reply_words(const struct http_request *request, const char *words) {
    return names_file(velocity_str(words)) && !may_know_files(request) ? "the server's log says why" : words;
}

/* Names of the server's files are left out of what goes to others than admins. What the client can do nothing about
 * goes without them to anyone: the log explains it under the same request id. */
static void leave_files_out(struct http_request *request, enum problem_code code, struct problem *problem) {
    unsigned status = problem_kind(code)->status;
    if (status == MHD_HTTP_GONE || status == MHD_HTTP_SERVICE_UNAVAILABLE || status == MHD_HTTP_INSUFFICIENT_STORAGE) {
        if (names_file(problem->detail) && !may_know_files(request)) problem->detail = problem_title(problem);
        return;
    }
    if (status != MHD_HTTP_INTERNAL_SERVER_ERROR && status != MHD_HTTP_GATEWAY_TIMEOUT) return;
    log_event(request, "request_failed", code, problem->detail.data);
    problem->detail = problem_title(problem);
}

void reply_problem_with(struct http_request *request, enum problem_code code, struct problem extra) {
    const struct problem_kind *kind = problem_kind(code);
    const struct route *route = request->match.route;
    extra.code = code;
    if (route && route->pieces && request->state) route->pieces->tell(request, &extra);
    if (extra.detail.size == 0) extra.detail = problem_title(&extra);
    extra.request_id = request->id ? velocity_str(request->id) : velocity_bytes(NULL, 0);
    leave_files_out(request, code, &extra);
    reply_begin(request, kind->status, PROBLEM_MEDIA_TYPE);
    json_writer_clear(&request->writer);
    request->writer.failed = false;
    problem_write(&request->writer, &extra);
    if (!request->writer.failed) request->reply.body = velocity_bytes(request->writer.data, request->writer.size);
    reply_header(request, "X-Content-Type-Options", "nosniff");
    if (kind->status == MHD_HTTP_SERVICE_UNAVAILABLE || kind->status == MHD_HTTP_TOO_MANY_REQUESTS) {
        uint32_t seconds = request->retry_after_seconds ? request->retry_after_seconds : 1;
        reply_header(request, "Retry-After", number_text(request, seconds));
    }
    if (kind->status == MHD_HTTP_UNAUTHORIZED) {
        challenge(request);
        if (request->cookie_ended) credentials_set_cookie(request, "", 0);
    }
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

bool reply_bad_parameter(struct http_request *request, const char *reason) {
    reply_problem(request, PROBLEM_INVALID_PARAMETER, "%s", reason);
    return false;
}

static const char *conflict_detail(const struct service_request *service) {
    if (service->operation == SERVICE_BATCH) return "a condition of the batch does not hold";
    if (service->current_version == VELOCITY_EXISTS)
        return "the transaction has put the key itself: it has no version yet";
    if (service->current_version == VELOCITY_ABSENT) return "the key is not there";
    bool create = service->precondition == SERVICE_AT_VERSION && service->if_version == VELOCITY_ABSENT;
    return create ? "the key is there already" : "the key stands at another version";
}

/* Of the operation that does not fit, or the condition that does not hold. */
static velocity_slice key_of_batch(const struct service_request *service, bool unfit) {
    const struct service_batch *batch = service->batch;
    size_t at = service->failed_condition;
    return unfit ? batch->operations[at].key : batch->conditions[at].key;
}

static void reply_transaction(struct http_request *request, enum problem_code code) {
    reply_problem(request, code, "%s", service_request_message(&request->service));
}

void reply_refusal(struct http_request *request) {
    const struct service_request *service = &request->service;
    switch (service->refusal) {
    case SERVICE_LOGIN_NEEDED: reply_problem(request, PROBLEM_LOGIN_REQUIRED, NULL); return;
    case SERVICE_LOGIN_WRONG: reply_problem(request, PROBLEM_LOGIN_REFUSED, NULL); return;
    case SERVICE_ROLE_TOO_LOW:
        reply_problem(request, PROBLEM_FORBIDDEN,
                      "the role \"%s\" does not allow it, or the scope is too narrow for it",
                      role_name(request->principal->role));
        return;
    case SERVICE_OUT_OF_SCOPE:
        reply_problem_with(
            request, PROBLEM_OUT_OF_SCOPE,
            (struct problem){.has_index = service->operation == SERVICE_BATCH, .index = service->failed_condition});
        return;
    case SERVICE_RATE_LIMITED:
        request->retry_after_seconds = (service->rate.retry_after_ms + 999) / 1000;
        reply_problem(request, PROBLEM_RATE_LIMITED, "at most %llu a second", (unsigned long long)service->rate.limit);
        return;
    case SERVICE_NOT_AUDITED: reply_problem(request, PROBLEM_AUDIT_FAILING, NULL); return;
    case SERVICE_NO_DATABASE:
        if (service->status == VELOCITY_NOT_FOUND || service->status == VELOCITY_INVALID)
            reply_problem(request, PROBLEM_DATABASE_NOT_FOUND, NULL);
        else if (service->status == VELOCITY_BUSY || service->status == VELOCITY_NO_MEMORY)
            reply_problem(request, PROBLEM_OVERLOADED, "%s", service_request_message(service));
        else
            reply_problem(request, PROBLEM_DATABASE_DAMAGED, "%s", service_request_message(service));
        return;
    case SERVICE_TRANSACTION_UNKNOWN: reply_transaction(request, PROBLEM_TRANSACTION_NOT_FOUND); return;
    case SERVICE_TRANSACTION_BUSY: reply_transaction(request, PROBLEM_TRANSACTION_BUSY); return;
    case SERVICE_TRANSACTION_EXPIRED: reply_transaction(request, PROBLEM_TRANSACTION_EXPIRED); return;
    case SERVICE_TRANSACTION_ENDED: reply_transaction(request, PROBLEM_TRANSACTION_ENDED); return;
    case SERVICE_TRANSACTION_TOO_LARGE: reply_transaction(request, PROBLEM_TRANSACTION_TOO_LARGE); return;
    case SERVICE_NO_REFUSAL:
    case SERVICE_NOT_JSON:
    case SERVICE_QUEUE_FULL:
    case SERVICE_DISK_LOW:
    case SERVICE_FOUND_TOO_LARGE:
    case SERVICE_UNFIT:
    case SERVICE_RESULT_TOO_LARGE: break;
    }
    reply_failure(request, false);
}

static enum problem_code failure_code(velocity_status status, enum service_refusal refusal, bool write) {
    switch (status) {
    case VELOCITY_NOT_FOUND: return PROBLEM_KEY_NOT_FOUND;
    case VELOCITY_INVALID:
        if (refusal == SERVICE_NOT_JSON) return PROBLEM_VALUE_NOT_JSON;
        if (refusal == SERVICE_FOUND_TOO_LARGE || refusal == SERVICE_RESULT_TOO_LARGE) return PROBLEM_TOO_LARGE;
        return PROBLEM_INVALID_REQUEST;
    case VELOCITY_CONFLICT: return refusal == SERVICE_UNFIT ? PROBLEM_CONFLICT : PROBLEM_PRECONDITION_FAILED;
    case VELOCITY_BUSY: return PROBLEM_OVERLOADED;
    case VELOCITY_CORRUPT: return PROBLEM_CORRUPT;
    case VELOCITY_IO: return write ? PROBLEM_OUTCOME_UNKNOWN : PROBLEM_INTERNAL;
    case VELOCITY_NO_SPACE: return PROBLEM_NO_SPACE;
    case VELOCITY_NO_MEMORY: return PROBLEM_OVERLOADED;
    case VELOCITY_READ_ONLY: return PROBLEM_READ_ONLY;
    case VELOCITY_HISTORY_GONE: return PROBLEM_HISTORY_GONE;
    case VELOCITY_OK:
    case VELOCITY_LOCKED:
    case VELOCITY_UNSUPPORTED:
    case VELOCITY_INCOMPLETE: break;
    }
    return PROBLEM_INTERNAL;
}

void reply_failure(struct http_request *request, bool write) {
    const struct service_request *service = &request->service;
    struct problem problem = {.detail = velocity_str(service_request_message(service))};
    if (service->refusal == SERVICE_OUT_OF_SCOPE || service->refusal == SERVICE_ROLE_TOO_LOW ||
        service->refusal >= SERVICE_TRANSACTION_UNKNOWN) {
        reply_refusal(request);
        return;
    }
    if (service->status == VELOCITY_NOT_FOUND) problem.detail = velocity_str("nothing is stored at this key");
    if (service->refusal == SERVICE_NOT_JSON) {
        problem.detail = velocity_str(service->json_error.reason);
        problem.has_offset = true;
        problem.offset = service->json_error.offset;
    }
    if (service->refusal == SERVICE_QUEUE_FULL) problem.detail = velocity_str("too many requests wait for the disk");
    if (service->refusal == SERVICE_DISK_LOW) problem.detail = velocity_str("less than disk_reserve_bytes is free");
    if (service->refusal == SERVICE_FOUND_TOO_LARGE)
        problem.detail = velocity_str("the batch reads more than one reply may hold; nothing was done");
    if (service->refusal == SERVICE_RESULT_TOO_LARGE)
        problem.detail =
            velocity_str("the value would be larger than max_value_bytes, or the patch has too many members");
    if (service->status == VELOCITY_CONFLICT) {
        bool unfit = service->refusal == SERVICE_UNFIT;
        if (!unfit) problem.detail = velocity_str(conflict_detail(service));
        problem.has_current_version = !unfit && service->current_version != VELOCITY_EXISTS;
        problem.current_version = service->current_version;
        problem.has_index = service->operation == SERVICE_BATCH;
        problem.index = service->failed_condition;
        if (problem.has_index) problem.key = key_of_batch(service, unfit);
    }
    reply_problem_with(request, failure_code(service->status, service->refusal, write), problem);
}

void reply_broken(struct http_request *request, velocity_status status, const char *why) {
    log_event(request, "reply_broken", failure_code(status, SERVICE_NO_REFUSAL, false), why);
}

void reply_written(struct http_request *request, unsigned status, const char *name, bool quoted) {
    if (request->service.status != VELOCITY_OK) {
        reply_failure(request, true);
        return;
    }
    request->reply.status = status;
    reply_version(request, name, request->service.version, quoted);
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

static void body_sent(void *arg) {
    request_release(arg);
}

static struct MHD_Response *make_response(struct http_request *request) {
    static char nothing[1];
    velocity_slice body = request->reply.body;
    if (request->stream) return stream_response(request);
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
    if (request->method != HTTP_HEAD && request->reply.body.size)
        counter_add(&counters->body_bytes_sent, request->reply.body.size);
    counter_add(&counters->latency[class][latency_bucket(clock_us() - request->begun_us)], 1);
}

/* Over TLS only, or anyone on the way could say it (RFC 6797, section 7.2). */
static bool is_strict(const struct http_request *request) {
    const char *name = http_server_settings(request->server)->strict_host;
    struct host host;
    return request->secure && *name && host_parse(request->headers.host, &host) && host_is(&host, name);
}

/* What every reply carries, whoever made it. */
static void add_common_headers(struct http_request *request) {
    const struct rate_answer *rate = &request->service.rate;
    if (request->id) reply_header(request, "X-Request-Id", request->id);
    if (rate->limit) { /* draft-ietf-httpapi-ratelimit-headers-03 */
        reply_header(request, "RateLimit-Limit", number_text(request, rate->limit));
        reply_header(request, "RateLimit-Remaining", number_text(request, rate->remaining));
        reply_header(request, "RateLimit-Reset", number_text(request, rate->reset_seconds));
    }
    if (is_strict(request)) reply_header(request, "Strict-Transport-Security", "max-age=31536000");
    /* A browser says whose page it asks for; without this, one of another site may include a stored script or style. */
    bool foreign = request->headers.fetch_site.data && !header_is(request->headers.fetch_site, "same-origin");
    if (foreign && !request->cors_origin.size) reply_header(request, "Cross-Origin-Resource-Policy", "same-origin");
    /* Also of what a page may not read: a cache would give that to one that may. */
    if (http_server_settings(request->server)->cors_origin_count) reply_header(request, "Vary", "Origin");
    if (request->cors_origin.size) {
        velocity_slice origin;
        if (!scratch_copy(&request->scratch, request->cors_origin, &origin)) return;
        reply_header(request, "Access-Control-Allow-Origin", origin.data);
        reply_header(
            request, "Access-Control-Expose-Headers",
            "ETag, Velocity-Version, Velocity-Expires-At, Accept-Ranges, Content-Range, Location, X-Request-Id, "
            "Retry-After, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset");
    }
}

/* Small replies fit the socket's buffer: whoever does not read them is only silent. */
static void set_due(struct http_request *request) {
    const struct http_server *server = request->server;
    uint64_t rate = server->min_reply_bytes_per_second, size = request->reply.body.size;
    uint64_t deadline_us = atomic_load_explicit(&server->connections.deadline_us, memory_order_relaxed);
    if (!rate || !deadline_us || size < REPLY_COUNTED_BYTES) return;
    atomic_store_explicit(&request->connection->due_us, clock_us() + deadline_us + size * 1000000 / rate,
                          memory_order_relaxed);
}

enum MHD_Result reply_send(struct http_request *request) {
    const struct reply *reply = &request->reply;
    add_common_headers(request);
    request->stage = REQUEST_ANSWERED;
    struct MHD_Response *response = make_response(request);
    if (!response) return MHD_NO;
    enum MHD_Result good = MHD_YES;
    if (reply->content_type) good = MHD_add_response_header(response, "Content-Type", reply->content_type);
    for (size_t i = 0; i < reply->header_count && good == MHD_YES; i++)
        good = MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value);
    if (good == MHD_YES && (reply->close || http_server_draining(request->server)))
        good = MHD_add_response_header(response, "Connection", "close");
    count_reply(request);
    request_drop_body(request);
    set_due(request);
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

static void format(struct json_writer *w, const struct reply *reply, bool with_body) {
    char number[32];
    append(w, "HTTP/1.1 ");
    (void)snprintf(number, sizeof number, "%u ", reply->status);
    append(w, number);
    append(w, MHD_get_reason_phrase_for(reply->status));
    append(w, "\r\nConnection: close\r\n");
    if (reply->content_type) append_line(w, "Content-Type", reply->content_type);
    for (size_t i = 0; i < reply->header_count; i++) append_line(w, reply->headers[i].name, reply->headers[i].value);
    (void)snprintf(number, sizeof number, "%zu", reply->body.size);
    append_line(w, "Content-Length", number);
    append(w, "\r\n");
    if (with_body && reply->body.size) json_append(w, reply->body.data, reply->body.size);
}

void reply_send_raw(struct http_request *request) {
    struct json_writer bytes = {0};
    add_common_headers(request);
    format(&bytes, &request->reply, request->method != HTTP_HEAD);
    count_reply(request);
    request_drop_body(request);
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
    format(out, &reply, true);
    bool good = !body.failed && !out->failed;
    json_writer_free(&body);
    return good;
}
