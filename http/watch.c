/*
 * watch.c - GET /api/watch: see watch.h. What follows the database and keeps up with it is server/follow.h.
 */
#include "http/watch.h"

#include "http/admit.h"
#include "http/handlers.h"
#include "http/item.h"
#include "http/reply.h"
#include "http/server_internal.h"
#include "http/stream.h"
#include "server/base64.h"
#include "server/decimal.h"

#include <stdlib.h>

#define WATCH_BYTES 16384u /* that are written at a time */

/* ---- events ------------------------------------------------------------------------------------------------------ */

static void append(struct json_writer *out, const char *text) {
    json_append(out, text, strlen(text));
}

/* A bound of a range: as a key, under another name. */
static void write_bound(struct json_writer *out, const char *name, const char *name64, velocity_slice key) {
    if (utf8_valid(key)) {
        json_name(out, name);
        json_write_string(out, key);
        return;
    }
    char *text = malloc(base64url_encoded_size(key.size));
    if (!text) {
        out->failed = true;
        return;
    }
    json_name(out, name64);
    json_write_string(out, velocity_bytes(text, base64url_encode(key, text)));
    free(text);
}

/* What comes before a bound that is longer than any key can be comes before every key, or every one with its prefix:
 * there is no bound to tell. */
static void write_range(struct json_writer *out, const struct follow_event *event) {
    write_bound(out, "start", "start64", event->key);
    if (event->end.data && event->end.size <= HTTP_MAX_KEY_BYTES) {
        write_bound(out, "end", "end64", event->end);
    } else {
        json_name(out, "end");
        json_write_null(out);
    }
}

static void write_version(struct json_writer *out, uint64_t version) {
    json_name(out, "version");
    json_write_u64_string(out, version);
}

static void write_put(struct json_writer *out, const struct follow_event *event) {
    struct item item = {
        .key = event->key, .version = event->version, .expires_at_ms = event->expires_at_ms, .one_line = true};
    /* Where what stands before the value is damaged, it is shown with it, as bytes. */
    if (!item_unpack(event->flags, event->value, &item.type, &item.value)) {
        item.type = velocity_str(value_type_name(VALUE_OCTET_STREAM));
        item.value = event->value;
    }
    item_write(out, &item, true, ITEM_OMIT_BYTES);
}

static void write_data(struct json_writer *out, const struct follow_event *event) {
    if (event->kind == FOLLOW_PUT) {
        write_put(out, event);
        return;
    }
    json_begin_object(out);
    if (event->kind == FOLLOW_DELETE) json_write_key(out, event->key);
    if (event->kind == FOLLOW_DELETE_RANGE) write_range(out, event);
    if (event->kind == FOLLOW_GONE) {
        json_name(out, "code");
        json_write_string(out, velocity_str(problem_kind(PROBLEM_HISTORY_GONE)->code));
    }
    write_version(out, event->version);
    json_end_object(out);
}

void watch_write_event(const struct follow_event *event, struct json_writer *out) {
    static const char *const names[] = {[FOLLOW_PUT] = "put",
                                        [FOLLOW_DELETE] = "delete",
                                        [FOLLOW_DELETE_RANGE] = "range_delete",
                                        [FOLLOW_HEARTBEAT] = "heartbeat",
                                        [FOLLOW_GONE] = "gone"};
    char digits[DECIMAL_U64_BYTES];
    append(out, "id: ");
    /* Whoever comes back between two parts of an operation is told all of it again. */
    json_append(out, digits, decimal_format_u64(event->version - event->more, digits));
    append(out, "\nevent: ");
    append(out, names[event->kind]);
    append(out, "\ndata: ");
    out->comma = false; /* each one is a document of its own */
    write_data(out, event);
    append(out, "\n\n");
}

/* ---- the stream -------------------------------------------------------------------------------------------------- */

struct watch {
    struct http_request *request;
    struct stream *stream;
    struct follower *follower;
    struct follower_options options;
};

/* The worker's. Who may not read any more is told nothing more. */
static enum stream_step fill(void *arg, struct json_writer *out) {
    struct watch *watch = arg;
    if (http_server_draining(watch->request->server) || !request_holds(watch->request)) return STREAM_END;
    switch (follow_take(watch->follower, out, WATCH_BYTES)) {
    case FOLLOW_MORE: return STREAM_MORE;
    case FOLLOW_NOTHING: return STREAM_IDLE;
    case FOLLOW_ENDED: return STREAM_END;
    case FOLLOW_FAILED: break;
    }
    const char *words;
    velocity_status status = follow_failure(watch->follower, &words);
    reply_broken(watch->request, status, words);
    return STREAM_FAIL;
}

static void ready(void *arg) {
    stream_wake(((struct watch *)arg)->stream);
}

static void end(void *arg) {
    struct watch *watch = arg;
    if (watch->follower) follow_end(watch->follower);
}

/* On the executor. */
static void begin(struct http_request *request) {
    struct watch *watch = request->state;
    request->service.status = follow_begin(request->server->followers, &watch->options, &watch->follower);
}

static void begun(struct http_request *request) {
    const struct watch *watch = request->state;
    velocity_status status = request->service.status;
    if (status == VELOCITY_OK) {
        reply_header(request, "X-Accel-Buffering", "no"); /* proxies that would collect it */
        return;
    }
    stream_give_up(request);
    if (status == VELOCITY_HISTORY_GONE)
        reply_problem(request, PROBLEM_HISTORY_GONE, "what came after version %llu is not there: begin with an export",
                      (unsigned long long)watch->options.since);
    else
        reply_failure(request, false);
}

/* ---- the request ------------------------------------------------------------------------------------------------- */

/* A browser that comes back says in its header where it was; its address still names where it began. */
static bool take_since(struct http_request *request, velocity_slice parameter, struct follower_options *options) {
    velocity_slice last = header_trim(request->headers.last_event_id);
    options->from_now = last.size == 0 && !parameter.data;
    if (options->from_now) return true;
    if (last.size) {
        if (decimal_u64(last, &options->since)) return true;
        reply_problem(request, PROBLEM_INVALID_HEADER, "Last-Event-ID is not a version");
    } else {
        if (decimal_u64(parameter, &options->since)) return true;
        reply_problem(request, PROBLEM_INVALID_PARAMETER, "since is not a version");
    }
    return false;
}

static struct watch *take_parameters(struct http_request *request) {
    enum { PREFIX, SINCE, PARAMETERS };
    static const char *const parameters[PARAMETERS] = {"prefix", "since"};
    velocity_slice values[PARAMETERS];
    if (!request_parameters(request, parameters, PARAMETERS, values)) return NULL;
    struct watch *watch = scratch_alloc(&request->scratch, sizeof *watch);
    if (!watch) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return NULL;
    }
    *watch = (struct watch){.request = request};
    if (!take_since(request, values[SINCE], &watch->options)) return NULL;
    if (values[PREFIX].size > HTTP_MAX_KEY_BYTES) {
        reply_problem(request, PROBLEM_INVALID_PARAMETER, "a prefix is longer than a key can be");
        return NULL;
    }
    watch->options.prefix = values[PREFIX];
    return watch;
}

void watch_get(struct http_request *request) {
    struct watch *watch = take_parameters(request);
    if (!watch) return;
    request->state = watch;
    request->service.key = watch->options.prefix; /* for the audit log */
    watch->options.database = request->service.database;
    watch->options.principal = request->principal;
    watch->options.ready = ready;
    watch->options.arg = watch;
    struct stream_options options = {.content_type = "text/event-stream", .fill = fill, .end = end, .arg = watch};
    watch->stream = stream_begin(request, &options);
    if (watch->stream) request_call(request, begin, begun);
}
