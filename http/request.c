/* request.c - see request.h. */
#include "http/request.h"

#include "http/reply.h"
#include "http/server_internal.h"
#include "http/stream.h"

#include <stdlib.h>

#define UNUSED_MAX  1024u  /* requests that a worker keeps */
#define KEEP_WRITER 65536u /* bytes of a reply's buffer that are kept with it */
#define KEEP_BATCH  65536u /* of a body whose engine batch is kept */

struct http_request *request_new(struct worker *worker) {
    struct http_request *request = worker->unused;
    if (request) {
        worker->unused = request->next;
        worker->unused_count--;
    } else {
        request = calloc(1, sizeof *request);
        if (!request) return NULL;
    }
    struct json_writer writer = request->writer;
    struct store_commit commit = request->service.commit;
    memset(request, 0, offsetof(struct http_request, scratch));
    request->writer = writer;
    request->service.commit.memory = commit.memory; /* kept for reuse */
    request->service.commit.memory_free = commit.memory_free;
    request->worker = worker;
    request->server = worker->server;
    request->references = 1;
    scratch_init(&request->scratch, request->first_scratch, sizeof request->first_scratch);
    return request;
}

void request_free(struct http_request *request) {
    service_request_destroy(&request->service);
    json_writer_free(&request->writer);
    free(request);
}

void request_drop_body(struct http_request *request) {
    if (request->body.size > KEEP_BATCH) request->had_large_body = true;
    body_free(&request->body, http_server_service(request->server));
}

void request_release(struct http_request *request) {
    if (--request->references) return;
    struct worker *worker = request->worker;
    if (request->stream) stream_free(request->stream); /* its client left before it began */
    request_drop_body(request);
    if (request->had_large_body)
        service_request_destroy(&request->service);
    else
        service_request_end(&request->service);
    /* Its client left before the password was judged. */
    if (request->check) principal_release(request->check->principal);
    principal_release(request->own_principal);
    request->own_principal = NULL;
    reply_give_back(request);
    if (request->secret) {
        scratch_overwrite(&request->scratch);
        if (request->writer.data) explicit_bzero(request->writer.data, request->writer.capacity);
    }
    scratch_reset(&request->scratch);
    if (request->writer.capacity > KEEP_WRITER)
        json_writer_free(&request->writer);
    else
        json_writer_clear(&request->writer);
    request->writer.failed = false;
    if (worker->unused_count >= UNUSED_MAX) {
        request_free(request);
        return;
    }
    request->next = worker->unused;
    worker->unused = request;
    worker->unused_count++;
}

static void suspend(struct http_request *request) {
    request->suspended = true;
    MHD_suspend_connection(request->mhd);
}

static void service_done(struct service_request *service) {
    worker_finished(request_of(service));
}

void request_run(struct http_request *request, void (*finish)(struct http_request *request)) {
    struct service *service = http_server_service(request->server);
    request->finish = finish;
    request->service.done = service_done;
    if (service_try(service, &request->service)) {
        finish(request);
        return;
    }
    request->stage = REQUEST_WAITING;
    suspend(request);
    service_start(service, &request->service);
}

static void run_call(struct service_request *service) {
    struct http_request *request = request_of(service);
    request->call(request);
}

void request_call(struct http_request *request, void (*call)(struct http_request *request),
                  void (*finish)(struct http_request *request)) {
    request->call = call;
    request->service.operation = SERVICE_CALL;
    request->service.call = run_call;
    request_run(request, finish);
}

/* ---- waiting ---------------------------------------------------------------------------------------------------- */

enum { NOBODY_YET, SUSPENDED, WOKEN };

void request_wait_begin(struct http_request *request) {
    atomic_store(&request->wait, NOBODY_YET);
}

void request_wait(struct http_request *request) {
    suspend(request);
    if (atomic_exchange(&request->wait, SUSPENDED) == WOKEN) worker_finished(request);
}

void request_wake(struct http_request *request) {
    if (atomic_exchange(&request->wait, WOKEN) == SUSPENDED) worker_finished(request);
}

/* ---- who --------------------------------------------------------------------------------------------------------- */

struct service_caller request_caller(const struct http_request *request) {
    return (struct service_caller){.principal = request->principal,
                                   .address = request->address,
                                   .bucket = &request->connection->bucket,
                                   .request_id = request->id};
}

void request_note_refusal(struct http_request *request, enum problem_code code, const char *detail) {
    const struct problem_kind *kind = problem_kind(code);
    const struct service_caller caller = request_caller(request);
    service_note_refusal(http_server_service(request->server), &caller, kind->code, kind->status, detail);
}

/* ---- what it asks for ------------------------------------------------------------------------------------------- */

bool request_parameters(struct http_request *request, const char *const *names, size_t count, velocity_slice *values) {
    velocity_slice query = request->target.query, name, value;
    for (size_t i = 0; i < count; i++) values[i] = velocity_bytes(NULL, 0);
    if (query.size == 0) return true;
    char *buffer = scratch_alloc(&request->scratch, query.size);
    if (!buffer) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return false;
    }
    struct query walk;
    uint64_t seen = 0;
    query_begin(&walk, query, buffer);
    for (;;) {
        enum query_result result = query_next(&walk, &name, &value);
        if (result == QUERY_END) return true;
        if (result == QUERY_MALFORMED) {
            reply_problem(request, PROBLEM_INVALID_TARGET, "the query has a malformed escape");
            return false;
        }
        int field = field_index(name, names, count, &seen);
        if (field < 0) {
            reply_problem(request, field == FIELD_REPEATED ? PROBLEM_REPEATED_PARAMETER : PROBLEM_UNKNOWN_PARAMETER,
                          "%.*s", (int)(name.size < 100 ? name.size : 100), (const char *)name.data);
            return false;
        }
        values[field] = velocity_bytes(value.data ? value.data : "", value.size);
    }
}

static bool take_key(struct http_request *request, velocity_slice key, velocity_slice *out) {
    if (key.size == 0 || key.size > HTTP_MAX_KEY_BYTES) {
        reply_problem(request, PROBLEM_INVALID_KEY, "a key has 1 to %u bytes, this one %zu", HTTP_MAX_KEY_BYTES,
                      key.size);
        return false;
    }
    *out = key;
    return true;
}

bool request_key(struct http_request *request, velocity_slice *key) {
    return request_key_with(request, NULL, 0, NULL, key);
}

bool request_key_with(struct http_request *request, const char *const *names, size_t count, velocity_slice *values,
                      velocity_slice *key) {
    const char *known[REQUEST_KEY_PARAMETERS + 1];
    velocity_slice found[REQUEST_KEY_PARAMETERS + 1], decoded, raw = request->match.key;
    bool by_path = raw.data != NULL; /* which leaves no place for key64 */
    for (size_t i = 0; i < count; i++) known[i] = names[i];
    known[count] = "key64";
    if (!request_parameters(request, known, by_path ? count : count + 1, found)) return false;
    for (size_t i = 0; i < count; i++) values[i] = found[i];
    velocity_slice key64 = by_path ? velocity_bytes(NULL, 0) : found[count];
    if (by_path) {
        char *buffer = scratch_alloc(&request->scratch, raw.size);
        if (!buffer || !target_decode(raw, false, buffer, &decoded)) {
            reply_problem(request, PROBLEM_INVALID_KEY, "the path has a malformed escape");
            return false;
        }
        return take_key(request, decoded, key);
    }
    if (!key64.data) {
        reply_problem(request, PROBLEM_INVALID_KEY, "name the key in the path, or with key64=");
        return false;
    }
    char *buffer = scratch_alloc(&request->scratch, key64.size);
    if (!buffer || !query_base64url(key64, buffer, &decoded)) {
        reply_problem(request, PROBLEM_INVALID_KEY, "key64 is not base64url without padding");
        return false;
    }
    return take_key(request, decoded, key);
}

bool request_segment(struct http_request *request, velocity_slice *segment) {
    velocity_slice raw = request->match.key;
    if (!request_parameters(request, NULL, 0, NULL)) return false;
    char *buffer = scratch_alloc(&request->scratch, raw.size + 1);
    if (!buffer || !target_decode(raw, false, buffer, segment) || memchr(segment->data, 0, segment->size)) {
        reply_problem(request, PROBLEM_INVALID_TARGET, "the path has a malformed escape, or a NUL");
        return false;
    }
    memmove(buffer, segment->data, segment->size); /* where nothing was escaped it borrows the target */
    buffer[segment->size] = 0;
    segment->data = buffer;
    return true;
}
