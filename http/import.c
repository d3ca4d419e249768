/*
 * import.c - POST /api/import: items, one a line, of any number.
 *
 *     body --> [collected: PIECE_BYTES] --> lines --> batches of the store --> the rest of the last line stays
 *
 * What is collected is all that is held between two pieces. A line that can't be stored ends the import, with its
 * number; all before it is in. Each batch is on disk before the next one begins, so an import never holds more than one
 * piece of what the log has not. Whatever else ends it, the reply names the line to go on from, too, and how many items
 * are in.
 *
 * Between two pieces it is not inside of its database: a client may take hours, and nobody could drop it meanwhile.
 */
#include "http/handlers.h"
#include "http/headers.h"
#include "http/item_parse.h"
#include "http/reply.h"
#include "http/server_internal.h"
#include "server/timestamp.h"

#include <stdio.h>
#include <stdlib.h>

#define PIECE_BYTES      ((size_t)256 << 10)
#define BATCH_OPERATIONS 1000u
#define BATCH_BYTES      ((size_t)1 << 20)
/* A line: a value as base64, or a text of which each byte is escaped; key and type. */
#define LINE_OVERHEAD (256u << 10)
#define LINE_GROWTH   6
#define REMARK_BYTES  32

/* In the request's scratch. */
struct import {
    struct scratch scratch;             /* of one batch */
    struct store_operation *operations; /* of that batch; there only while a piece is worked on */
    size_t count, bytes;
    uint64_t line;              /* the last one that was looked at, from 1 on */
    uint64_t settled;           /* what stands in the lines up to this one is in, or left out */
    uint64_t imported, expired; /* rows that are in; rows that had expired already, and are left out */
    uint64_t version;           /* of the last row that is in */
    size_t seen;                /* bytes of the body in which there is no line's end */
    int64_t now_ms;
    bool final, draining;
    bool failed; /* at `line`: code and detail say why */
    enum problem_code code;
    char detail[200];
};

static uint64_t line_limit(const struct http_request *request) {
    return request->server->max_value_bytes * LINE_GROWTH + LINE_OVERHEAD;
}

/* Enough, and at least one whole line of it. */
static bool is_ready(struct http_request *request) {
    struct import *import = request->state;
    velocity_slice body = body_slice(&request->body);
    if (body.size < PIECE_BYTES) return false;
    const char *bytes = body.data;
    if (memchr(bytes + import->seen, '\n', body.size - import->seen)) return true;
    import->seen = body.size;
    return false;
}

static bool fail(struct import *import, enum problem_code code, const char *detail) {
    import->failed = true;
    import->code = code;
    strncat(import->detail, detail, sizeof import->detail - 1);
    return false;
}

/* ---- lines ------------------------------------------------------------------------------------------------------ */

/* All lines that were looked at, but for the one that is wrong, are done with. */
static bool settle(struct import *import) {
    import->settled = import->line - import->failed;
    return true;
}

/* Writes what is gathered. False: whether it is in is not known, and the reply says why. */
static bool write_batch(struct http_request *request, struct import *import) {
    struct service_request *service = &request->service;
    struct store_batch batch = {.operations = import->operations, .operation_count = import->count};
    if (import->count == 0) return settle(import);
    service->commit.message[0] = 0;
    service->store->operations->write(service->store, &batch, &service->commit);
    service->status = service->commit.status;
    scratch_reset(&import->scratch);
    import->bytes = 0;
    size_t count = import->count;
    import->count = 0;
    if (service->status != VELOCITY_OK) return false;
    import->imported += count;
    import->version = service->commit.version;
    return settle(import);
}

static bool take_line(struct http_request *request, struct import *import, velocity_slice line) {
    struct store_operation *operation = &import->operations[import->count];
    const char *reason = NULL;
    import->line++;
    if (line.size && ((const char *)line.data)[line.size - 1] == '\r') line.size--;
    if (line.size == 0) return true;
    if (!item_parse(line, request->server->max_value_bytes, &import->scratch, operation, &reason))
        return fail(import, strcmp(reason, ITEM_NO_MEMORY) == 0 ? PROBLEM_OVERLOADED : PROBLEM_INVALID_BODY, reason);
    if (request->principal && !scope_has_key(&request->principal->scope, operation->key))
        return fail(import, PROBLEM_OUT_OF_SCOPE, "the key is outside of the scope");
    if (operation->expires_at_ms && operation->expires_at_ms <= import->now_ms) {
        import->expired++;
        return true;
    }
    import->count++;
    import->bytes += operation->key.size + operation->value.size;
    return (import->count < BATCH_OPERATIONS && import->bytes < BATCH_BYTES) || write_batch(request, import);
}

/* All whole lines; at the end also one that nothing ends. */
static void take_lines(struct http_request *request) {
    struct import *import = request->state;
    velocity_slice body = body_slice(&request->body);
    const char *at = body.data, *end = at + body.size, *newline;
    bool good = true;
    import->now_ms = timestamp_now();
    while (good && at < end && (newline = memchr(at, '\n', (size_t)(end - at)))) {
        good = take_line(request, import, velocity_bytes(at, (size_t)(newline - at)));
        at = newline + 1;
    }
    if (good && import->final && at < end) {
        good = take_line(request, import, velocity_bytes(at, (size_t)(end - at)));
        at = end;
    }
    if (good || import->failed) (void)write_batch(request, import); /* all before a bad line is in */
    scratch_reset(&import->scratch);
    if (request->body.memory)
        body_drop_front(&request->body, http_server_service(request->server), (size_t)(at - (const char *)body.data));
    import->seen = 0;
}

/* Who sends slowly holds no more than what was sent: the batch is made for the piece. */
static void work_inside(struct http_request *request) {
    struct import *import = request->state;
    import->operations = malloc(BATCH_OPERATIONS * sizeof *import->operations);
    if (import->operations)
        take_lines(request);
    else
        (void)fail(import, PROBLEM_OVERLOADED, "no memory");
    free(import->operations);
    import->operations = NULL;
}

static void work(struct http_request *request) {
    struct import *import = request->state;
    request->service.status = VELOCITY_OK;
    if (service_refuses_space(http_server_service(request->server))) {
        request->service.status = VELOCITY_NO_SPACE;
        request->service.refusal = SERVICE_DISK_LOW;
        return;
    }
    if (!service_step_in(&request->service)) return;
    work_inside(request);
    store_commit_free(&request->service.commit); /* of its largest batch: the next piece may be hours away */
    service_step_out(&request->service);
    import->draining = !import->final && http_server_draining(request->server);
}

/* ---- the reply -------------------------------------------------------------------------------------------------- */

/* For the audit log. */
static void remark(struct http_request *request) {
    const struct import *import = request->state;
    char *text = scratch_alloc(&request->scratch, REMARK_BYTES);
    if (text) (void)snprintf(text, REMARK_BYTES, "%llu rows", (unsigned long long)import->imported);
    request->service.remark = text;
}

/* False: it ends here, and the reply says why. */
static bool went_well(struct http_request *request) {
    struct import *import = request->state;
    remark(request);
    if (request->service.refusal == SERVICE_NO_DATABASE)
        reply_refusal(request);
    else if (request->service.status != VELOCITY_OK)
        reply_failure(request, true);
    else if (import->failed)
        reply_problem(request, import->code, "%s", import->detail);
    else if (import->draining)
        reply_problem(request, PROBLEM_DRAINING, NULL);
    else
        return true;
    return false;
}

static void tell(const struct http_request *request, struct problem *problem) {
    const struct import *import = request->state;
    problem->has_line = true;
    problem->line = import->settled + 1;
    problem->imported = import->imported;
}

static void piece_done(struct http_request *request) {
    (void)went_well(request);
}

static void done(struct http_request *request) {
    const struct import *import = request->state;
    struct json_writer *w = &request->writer;
    if (!went_well(request)) return;
    json_begin_object(w);
    json_name(w, "imported");
    json_write_u64(w, import->imported);
    json_name(w, "expired");
    json_write_u64(w, import->expired);
    json_name(w, "version");
    if (import->imported)
        json_write_u64_string(w, import->version);
    else
        json_write_null(w);
    json_end_object(w);
    reply_json(request);
}

bool import_begin(struct http_request *request) {
    velocity_slice type = request->headers.content_type;
    struct import *import = scratch_alloc(&request->scratch, sizeof *import);
    if (!request_parameters(request, NULL, 0, NULL)) return false;
    if (!media_type_is(type, "application/x-ndjson") && !media_type_is(type, "application/jsonl")) {
        reply_problem(request, PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                      "an import is application/x-ndjson, in UTF-8: an item a line");
        return false;
    }
    if (!import) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return false;
    }
    memset(import, 0, sizeof *import);
    scratch_init(&import->scratch, NULL, 0);
    request->state = import;
    request->had_large_body = true; /* so is the batch that the store keeps for reuse */
    service_step_out(&request->service);
    return true;
}

void import_post(struct http_request *request) {
    struct import *import = request->state;
    import->final = true;
    request_call(request, work, done);
}

const struct route_pieces import_pieces = {line_limit, is_ready, work, piece_done, tell};
