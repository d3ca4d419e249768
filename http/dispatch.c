/*
 * dispatch.c - what libmicrohttpd calls, in this order for each request:
 *
 *     dispatch_first_line -> dispatch (header) -> dispatch (body)* -> dispatch (end) [-> dispatch (resumed)] ->
 * dispatch_ended
 *
 * A reply that is queued in the first call makes libmicrohttpd close the connection, one queued while the body comes in
 * is refused by it. So a refusal waits for the end where there is no body; goes out at once where the client waits to
 * be told to continue, or where nobody can say where the request ends; else it is written past libmicrohttpd, and what
 * still comes is passed over, so that the client gets to read it before the connection ends.
 */
#include "http/admit.h"
#include "http/arrival.h"
#include "http/reply.h"
#include "http/server_internal.h"

#define STATUS_CLIENT_LEFT 499u /* what logs of proxies call it; nobody is sent it */

/* The calling thread's worker; a thread of libmicrohttpd serves one server all its life. */
static struct worker *worker_here(struct http_server *server) {
    static _Thread_local struct worker *mine;
    if (!mine) {
        uint32_t index = atomic_fetch_add(&server->workers_taken, 1);
        if (index >= server->worker_count) return NULL;
        mine = &server->workers[index];
    }
    return mine;
}

void *dispatch_first_line(void *arg, const char *target, struct MHD_Connection *mhd) {
    struct worker *worker = worker_here(arg);
    if (!worker || !target) return NULL;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    if (!info || !info->socket_context) return NULL;
    struct http_request *request = request_new(worker);
    if (!request) return NULL;
    struct connection *connection = info->socket_context;
    request->mhd = mhd;
    request->connection = connection;
    request->begun_us = clock_us();
    size_t size = strlen(target);
    request->raw_end = target + size;
    if (!scratch_copy(&request->scratch, velocity_bytes(target, size), &request->raw_target))
        request->raw_target = velocity_bytes(NULL, 0);
    counter_add(&worker->counters.begun, 1);
    atomic_store_explicit(&connection->since_us, request->begun_us, memory_order_relaxed);
    /* Where the sweep was faster, the phase stays CUT and every later step ends the connection. */
    (void)connection_enter(connection, CONNECTION_IDLE, CONNECTION_READING);
    return request;
}

static bool body_will_come(const struct http_request *request) {
    return request->headers.chunked || request->headers.content_length > 0;
}

/* What goes to the audit log of a request that is refused while its body comes. Errors never wait for the log. */
static void settle_refusal(struct http_request *request) {
    request->settled = true;
    service_record(request->server->service, &request->service, request->reply.status);
}

static enum MHD_Result refuse_now(struct http_request *request) {
    settle_refusal(request);
    if (!connection_enter(request->connection, CONNECTION_READING, CONNECTION_BUSY)) return MHD_NO;
    request->reply.close = true;
    return reply_send(request);
}

static enum MHD_Result refuse_and_linger(struct http_request *request) {
    if (!connection_enter(request->connection, CONNECTION_READING, CONNECTION_LINGERING)) return MHD_NO;
    atomic_store_explicit(&request->connection->since_us, clock_us(), memory_order_relaxed);
    settle_refusal(request);
    reply_send_raw(request);
    request->stage = REQUEST_LINGERING;
    return MHD_YES;
}

/* Refused while a body may still come. */
static enum MHD_Result refused(struct http_request *request) {
    bool coming = body_will_come(request);
    if (request->reply.close || (coming && request->headers.expect.data)) return refuse_now(request);
    if (coming) return refuse_and_linger(request);
    request->stage = REQUEST_REFUSED;
    return MHD_YES;
}

static enum admission admit_on(struct http_request *request) {
    enum admission admission = request_admit_on(request);
    if (admission == ADMISSION_GRANTED) request->stage = REQUEST_BODY;
    if (admission == ADMISSION_WAITS) request_wait(request);
    return admission;
}

static enum MHD_Result header_is_here(struct http_request *request, const char *method, const char *version) {
    bool http_1_0 = strcmp(version, "HTTP/1.0") == 0;
    bool admitted = request_admit(request, method, http_1_0);
    /* A NUL inside the target hides the rest of it from C strings; the version stands right behind an honest one. */
    if (admitted && request->raw_end + 1 != version) {
        reply_problem(request, PROBLEM_INVALID_TARGET, "the request line is malformed");
        admitted = false;
        request->reply.close = true;
    }
    request->stage = REQUEST_ADMITTING;
    if (!admitted) return refused(request);
    return admit_on(request) == ADMISSION_REFUSED ? refused(request) : MHD_YES;
}

static enum MHD_Result refuse_piece(struct http_request *request) {
    request->in_body = false;
    if (!connection_enter(request->connection, CONNECTION_BUSY, CONNECTION_READING)) return MHD_NO;
    return refuse_and_linger(request);
}

/* What came is worked on, and nothing more is taken meanwhile: what libmicrohttpd holds of it makes it call again. */
static enum MHD_Result work_on_piece(struct http_request *request) {
    const struct route_pieces *pieces = request->match.route->pieces;
    if (!request_still_admitted(request)) return refuse_piece(request);
    request_wait_begin(request);
    switch (service_reserve(request->server->service, &request->service)) {
    case SERVICE_PENDING:
        request->stage = REQUEST_RESERVING;
        request_wait(request);
        return MHD_YES;
    case SERVICE_REFUSED: reply_refusal(request); return refuse_piece(request);
    case SERVICE_ADMITTED: break;
    }
    request->stage = REQUEST_BODY;
    request_call(request, pieces->work, pieces->done);
    if (request->suspended) return MHD_YES;
    return refuse_piece(request); /* it was not begun, and the reply says why */
}

static enum MHD_Result begin_piece(struct http_request *request) {
    if (!connection_enter(request->connection, CONNECTION_READING, CONNECTION_BUSY)) return MHD_NO;
    request->in_body = true;
    return work_on_piece(request);
}

/* False: it can't go on, and the reply says why. The deadline is that of a piece. */
static bool end_piece(struct http_request *request) {
    request->stage = REQUEST_BODY;
    request->finish(request);
    if (request->reply.status) return false;
    request->in_body = false;
    atomic_store_explicit(&request->connection->since_us, clock_us(), memory_order_relaxed);
    return true;
}

static enum MHD_Result take_body(struct http_request *request, const char *bytes, size_t *size) {
    const struct route_pieces *pieces = request->match.route->pieces;
    if (pieces && pieces->ready(request)) return begin_piece(request);
    enum body_result result = body_append(&request->body, request->server->service, &request->scratch,
                                          request->headers.content_length, bytes, *size);
    if (result == BODY_OK) counter_add(&request->worker->counters.body_bytes_received, *size);
    *size = 0;
    switch (result) {
    case BODY_OK: return MHD_YES;
    case BODY_TOO_LARGE:
        reply_problem(request, PROBLEM_TOO_LARGE, "at most %llu bytes are taken here",
                      (unsigned long long)request->body.limit);
        break;
    case BODY_OVER_BUDGET:
        reply_problem(request, PROBLEM_OVERLOADED, "too many bytes of request bodies are under way");
        break;
    case BODY_NO_MEMORY: reply_problem(request, PROBLEM_OVERLOADED, "no memory for the body"); break;
    }
    return refuse_and_linger(request);
}

/* The reply is there; it may have to wait for the audit log. */
static enum MHD_Result answer(struct http_request *request) {
    if (!request->settled || request->stage == REQUEST_SETTLING) {
        request->settled = true;
        request_wait_begin(request);
        if (service_settle(request->server->service, &request->service, request->reply.status) == SERVICE_PENDING) {
            request->stage = REQUEST_SETTLING;
            request_wait(request);
            return MHD_YES;
        }
    }
    return reply_send(request);
}

/* Whether the handler has answered or not. */
static enum MHD_Result handled(struct http_request *request) {
    return request->suspended ? MHD_YES : answer(request);
}

/* All of it has come, and there is room in the audit log for what comes of it, or will be. */
static enum MHD_Result handle(struct http_request *request) {
    if (!request_still_admitted(request)) return handled(request);
    request_wait_begin(request);
    switch (service_reserve(request->server->service, &request->service)) {
    case SERVICE_PENDING:
        request->stage = REQUEST_RESERVING;
        request_wait(request);
        return MHD_YES;
    case SERVICE_REFUSED: reply_refusal(request); break;
    case SERVICE_ADMITTED:
        request->stage = REQUEST_BODY;
        request->match.route->handle(request);
        break;
    }
    return handled(request);
}

static enum MHD_Result request_is_here(struct http_request *request) {
    if (!connection_enter(request->connection, CONNECTION_READING, CONNECTION_BUSY)) return MHD_NO;
    return request->stage == REQUEST_BODY ? handle(request) : handled(request);
}

/* A handler may wait more than once: then it is the same stage again. */
static enum MHD_Result answer_is_here(struct http_request *request) {
    request->stage = REQUEST_BODY;
    request->finish(request);
    return handled(request);
}

/* A piece is done; the rest of what libmicrohttpd holds is there again. */
static enum MHD_Result body_goes_on(struct http_request *request, const char *bytes, size_t *size) {
    if (!end_piece(request)) return refuse_piece(request);
    if (!connection_enter(request->connection, CONNECTION_BUSY, CONNECTION_READING)) return MHD_NO;
    return *size ? take_body(request, bytes, size) : request_is_here(request);
}

/* What it waited for is there. For a request that was suspended in its first call libmicrohttpd makes that call once
 * more, without any of the body, which comes afterwards. */
static enum MHD_Result admission_goes_on(struct http_request *request) {
    return admit_on(request) == ADMISSION_REFUSED ? refused(request) : MHD_YES;
}

enum MHD_Result dispatch(void *arg, struct MHD_Connection *mhd, const char *url, const char *method,
                         const char *version, const char *bytes, size_t *size, void **context) {
    struct http_request *request = *context;
    (void)arg, (void)mhd, (void)url;
    if (!request) return MHD_NO;
    worker_resume_finished(request->worker);
    request->suspended = false;
    switch (request->stage) {
    case REQUEST_NEW: return header_is_here(request, method, version);
    case REQUEST_ADMITTING: return admission_goes_on(request);
    case REQUEST_BODY: return *size ? take_body(request, bytes, size) : request_is_here(request);
    case REQUEST_REFUSED: return request_is_here(request);
    case REQUEST_LINGERING:
        if (*size == 0) return MHD_NO;
        *size = 0;
        return MHD_YES;
    case REQUEST_RESERVING: return request->in_body ? work_on_piece(request) : handle(request);
    case REQUEST_WAITING: return request->in_body ? body_goes_on(request, bytes, size) : answer_is_here(request);
    case REQUEST_SETTLING: return answer(request);
    case REQUEST_ANSWERED: break;
    }
    return MHD_YES;
}

void dispatch_ended(void *arg, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode why) {
    struct http_request *request = *context;
    (void)arg, (void)mhd, (void)why;
    if (!request) return;
    *context = NULL;
    /* A client that left while its request waited: its handler will not run again, so what its resumption was to bring
     * (the others that finished with it) is brought here. */
    worker_resume_finished(request->worker);
    /* While who asked is still known: the principal may be the connection's. */
    if (!request->settled) service_record(request->server->service, &request->service, STATUS_CLIENT_LEFT);
    struct connection *connection = request->connection;
    counter_add(&connection->requests, 1);
    atomic_store_explicit(&connection->due_us, 0, memory_order_relaxed);
    /* From whichever phase; a connection that was cut stays so. */
    (void)(connection_enter(connection, CONNECTION_BUSY, CONNECTION_IDLE) ||
           connection_enter(connection, CONNECTION_READING, CONNECTION_IDLE) ||
           connection_enter(connection, CONNECTION_LINGERING, CONNECTION_IDLE));
    counter_add(&request->worker->counters.ended, 1);
    request_release(request);
}

void dispatch_connection(void *arg, struct MHD_Connection *mhd, void **context,
                         enum MHD_ConnectionNotificationCode what) {
    struct http_server *server = arg;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (*context) connection_remove(&server->connections, *context);
        *context = NULL;
        return;
    }
    /* Where it was given up, dispatch_first_line finds no context and the connection ends. */
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    struct connection *connection = info ? arrivals_begin(info->client_addr) : NULL;
    if (connection) connection_add(&server->connections, connection);
    *context = connection;
}
