/*
 * export.c - GET /api/export: every item of a range, one a line, of one frozen view.
 *
 * Each filling goes over a stretch of the view from where the one before ended. A value that is not small is read by
 * itself and written piece by piece, so that an export needs the memory of one value and of a buffer, whatever there
 * is. All exports' values together are counted among the replies: beyond max_inflight_bytes an export fails.
 *
 * Keys that are gone give it nothing to write, and there may be millions of them: after some time among them it lets
 * others have the thread, and is asked whether it may go on, and by whom it is still wanted (stream.c).
 */
#include "engine/status.h"
#include "http/admit.h"
#include "http/handlers.h"
#include "http/item_pieces.h"
#include "http/reply.h"
#include "http/server_internal.h"
#include "http/stream.h"

#include <stdlib.h>

enum {
    EXPORT_BYTES = 49152,      /* that are written at a time */
    EXPORT_SMALL_BYTES = 32768 /* larger values come in pieces */
};

#define TURN_US UINT64_C(5000) /* then it is the turn of others */

/* While it lives its view keeps what was deleted and overwritten since: that has to end some day. */
#define EXPORT_MAX_US (UINT64_C(24) * 3600 * 1000000)

struct export {
    struct http_request *request;
    struct store *view;
    struct store_scan scan;
    struct json_writer *out;    /* while it is filled */
    uint64_t begun_us, turn_us; /* turn_us: since when it has the thread */
    bool paused;                /* its turn is over; the scan goes on from scan.start */
    bool large;                 /* the scan ended at a value that comes in pieces: at `last`, of value_size bytes */
    bool in_pieces;             /* one is under way */
    velocity_status row;        /* why the scan ended at a row that can't be written; OK: it did not */
    velocity_value value;       /* the one in pieces */
    size_t value_size;
    uint64_t counted; /* of it, among the bytes of replies */
    struct item_pieces pieces;
    size_t last_size;
    /* The last key that was written, or that is gone, and behind it a NUL: the smallest key after it. */
    unsigned char last[VELOCITY_MAX_KEY_BYTES + 1];
};

/* The scan goes on behind this key. */
static void remember_last(struct export *export, velocity_slice key) {
    memcpy(export->last, key.data, key.size);
    export->last[key.size] = 0;
    export->last_size = key.size;
    export->scan.start = velocity_bytes(export->last, key.size + 1);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static bool wants_value(void *arg, uint32_t flags, size_t value_size) {
    (void)arg, (void)flags;
    return value_size <= EXPORT_SMALL_BYTES;
}

static velocity_status item_of(const struct store_row *row, struct item *item) {
    *item =
        (struct item){.key = row->key, .version = row->version, .expires_at_ms = row->expires_at_ms, .one_line = true};
    if (item_unpack(row->flags, row->value, &item->type, &item->value)) return VELOCITY_OK;
    return status_set(VELOCITY_CORRUPT, "what stands before the value with version %llu is no type",
                      (unsigned long long)row->version);
}

static bool add_row(void *arg, const struct store_row *row) {
    struct export *export = arg;
    struct item item;
    if (export->out->size >= EXPORT_BYTES || export->out->failed) return false;
    export->large = row->value_size > EXPORT_SMALL_BYTES;
    export->value_size = row->value_size;
    if (!export->large) export->row = item_of(row, &item);
    if (export->row) return false;
    remember_last(export, row->key);
    if (export->large) return false;
    export->out->comma = false; /* each line is a document of its own */
    item_write(export->out, &item, true, UINT64_MAX);
    json_append(export->out, "\n", 1);
    return true;
}

static bool pass_gone(void *arg, velocity_slice key) {
    struct export *export = arg;
    if (clock_us() - export->turn_us < TURN_US) return true;
    remember_last(export, key);
    export->paused = true;
    return false;
}

/* ---- values in pieces -------------------------------------------------------------------------------------------- */

static velocity_status begin_pieces(struct export *export) {
    struct store *view = export->view;
    velocity_slice key = velocity_bytes(export->last, export->last_size);
    struct item item;
    if (!reply_bytes_take(export->request->server, export->value_size, &export->counted))
        return status_set(VELOCITY_BUSY, REPLY_BYTES_ARE_OUT);
    velocity_status status = view->operations->get(view, key, false, &export->value);
    if (status == VELOCITY_NOT_FOUND) return status_set(VELOCITY_CORRUPT, "a key that was listed is not there");
    if (status) return status;
    export->in_pieces = true;
    const struct store_row row = {.key = key,
                                  .value = velocity_bytes(export->value.data, export->value.size),
                                  .flags = export->value.flags,
                                  .version = export->value.sequence,
                                  .expires_at_ms = export->value.expires_at_ms};
    if ((status = item_of(&row, &item))) return status;
    export->out->comma = false;
    item_pieces_begin(&export->pieces, &item, export->out);
    export->large = false;
    return VELOCITY_OK;
}

static void end_pieces(struct export *export) {
    export->view->operations->release(export->view, &export->value);
    reply_bytes_give_back(export->request->server, &export->counted);
    export->in_pieces = false;
}

static void write_piece(struct export *export) {
    size_t room = export->out->size < EXPORT_BYTES ? EXPORT_BYTES - export->out->size : 0;
    if (!item_pieces_write(&export->pieces, room, export->out)) return;
    json_append(export->out, "\n", 1);
    end_pieces(export);
}

/* ---- the stream -------------------------------------------------------------------------------------------------- */

/* Whether it may go on. Cut off it is not whole: it fails. */
static bool may_go_on(const struct export *export) {
    struct http_request *request = export->request;
    return !http_server_draining(request->server) && !database_is_closing(request->service.database) &&
           clock_us() - export->begun_us < EXPORT_MAX_US && request_holds(request);
}

static velocity_status scan_on(struct export *export) {
    velocity_status status = export->view->operations->scan(export->view, &export->scan);
    return status ? status : export->row;
}

static enum stream_step fill(void *arg, struct json_writer *out) {
    struct export *export = arg;
    velocity_status status = VELOCITY_OK;
    export->out = out;
    export->turn_us = clock_us();
    export->paused = false;
    if (!may_go_on(export)) return STREAM_FAIL;
    while (out->size < EXPORT_BYTES && !out->failed && !export->paused) {
        if (export->in_pieces)
            write_piece(export);
        else
            status = export->large ? begin_pieces(export) : scan_on(export);
        if (status) {
            reply_broken(export->request, status, velocity_error_message());
            return STREAM_FAIL;
        }
        if (export->scan.complete) return STREAM_END;
    }
    return STREAM_MORE;
}

static void end(void *arg) {
    struct export *export = arg;
    if (export->in_pieces) end_pieces(export);
    reply_bytes_give_back(export->request->server, &export->counted); /* of one that could not be read */
    if (export->view) export->view->operations->free(export->view);
    free(export);
}

/* ---- the request ------------------------------------------------------------------------------------------------- */

static bool take_parameters(struct http_request *request, struct store_scan *scan) {
    enum { PREFIX, START, END, PARAMETERS };
    static const char *const parameters[PARAMETERS] = {"prefix", "start", "end"};
    velocity_slice values[PARAMETERS];
    if (!request_parameters(request, parameters, PARAMETERS, values)) return false;
    for (int i = PREFIX; i <= END; i++) {
        if (values[i].size > HTTP_MAX_KEY_BYTES) {
            reply_problem(request, PROBLEM_INVALID_PARAMETER, "a bound is longer than a key can be");
            return false;
        }
        if (values[i].size == 0) values[i] = velocity_bytes(NULL, 0); /* an empty bound is none */
    }
    *scan = (struct store_scan){.prefix = values[PREFIX], .start = values[START], .end = values[END]};
    if (!request->principal) return true;
    scan->prefixes = request->principal->scope.prefixes;
    scan->prefix_count = request->principal->scope.prefix_count;
    return true;
}

void export_get(struct http_request *request) {
    struct store_scan scan;
    struct store *store = request->service.store;
    uint64_t version = 0;
    if (!take_parameters(request, &scan)) return;
    request->service.key = scan.prefix; /* for the audit log */
    struct export *export = calloc(1, sizeof *export);
    if (!export || store->operations->freeze(store, &export->view, &version) != VELOCITY_OK) {
        free(export);
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return;
    }
    export->request = request;
    export->begun_us = clock_us();
    export->scan = scan;
    export->scan.row = add_row;
    export->scan.wants_value = wants_value;
    export->scan.passing = pass_gone;
    export->scan.arg = export;
    struct stream_options options = {
        .content_type = "application/x-ndjson", .waits = true, .fill = fill, .end = end, .arg = export};
    if (stream_begin(request, &options)) reply_version(request, "Velocity-Version", version, false);
}
