/*
 * listing.c - GET /api/keys: a page of keys in order, and the cursor to the next one.
 */
#include "http/cursor.h"
#include "http/handlers.h"
#include "http/item.h"
#include "http/reply.h"
#include "server/base64.h"

#define PAGE_LIMIT_DEFAULT 100
#define PAGE_LIMIT_MAX     10000
/* What is left of 8 MiB for what stands around the items: the cursor of a 16 KiB key above all. */
#define PAGE_BYTES (((size_t)8 << 20) - ((size_t)64 << 10))

enum { PREFIX, START, END, LIMIT, CURSOR, REVERSE, VALUES, KEY64, PARAMETERS };
static const char *const parameters[PARAMETERS] = {"prefix", "start",   "end",    "limit",
                                                   "cursor", "reverse", "values", "key64"};

struct listing {
    struct http_request *request;
    struct cursor_parameters bound; /* what a cursor is bound to */
    struct store_scan scan;
    uint64_t limit, count;
    velocity_slice last; /* the last key on the page, in `last_bytes` */
    bool damaged;
    unsigned char last_bytes[VELOCITY_MAX_KEY_BYTES];
};

static bool bad(struct http_request *request, const char *reason) {
    reply_problem(request, PROBLEM_INVALID_PARAMETER, "%s", reason);
    return false;
}

/* An empty bound is none. */
static velocity_slice bound(velocity_slice value) {
    return value.size ? value : velocity_bytes(NULL, 0);
}

static bool take_parameters(struct http_request *request, struct listing *listing, velocity_slice *values) {
    struct cursor_parameters *b = &listing->bound;
    listing->limit = PAGE_LIMIT_DEFAULT;
    if (values[KEY64].data) return bad(request, "key64 stands alone");
    if (values[LIMIT].data && !query_u64(values[LIMIT], 1, PAGE_LIMIT_MAX, &listing->limit))
        return bad(request, "limit is 1 to 10000");
    if (values[REVERSE].data && !query_bool(values[REVERSE], &b->reverse))
        return bad(request, "reverse is true or false");
    if (values[VALUES].data && !query_bool(values[VALUES], &b->values)) return bad(request, "values is true or false");
    for (int i = PREFIX; i <= END; i++)
        if (values[i].size > HTTP_MAX_KEY_BYTES) return bad(request, "a bound is longer than a key can be");
    b->database = request->service.database_name;
    b->prefix = bound(values[PREFIX]);
    b->start = bound(values[START]);
    b->end = bound(values[END]);
    listing->scan.prefix = b->prefix;
    listing->scan.start = b->start;
    listing->scan.end = b->end;
    listing->scan.reverse = b->reverse;
    return true;
}

/* Narrows the scan to what comes behind the cursor's key. */
static bool take_cursor(struct http_request *request, struct listing *listing, velocity_slice cursor) {
    velocity_slice key;
    if (!cursor.data) return true;
    unsigned char *buffer = scratch_alloc(&request->scratch, base64_decoded_max(cursor.size) + 1);
    if (!buffer) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return false;
    }
    enum cursor_result result = cursor_decode(cursor, &listing->bound, buffer, &key);
    if (result != CURSOR_OK) {
        reply_problem(request, PROBLEM_INVALID_CURSOR,
                      result == CURSOR_FOREIGN ? "it comes from a listing with other parameters" : "it is malformed");
        return false;
    }
    if (listing->bound.reverse) {
        listing->scan.end = key;
        return true;
    }
    /* The smallest key behind it: the same with a NUL. */
    unsigned char *next = scratch_alloc(&request->scratch, key.size + 1);
    if (!next) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return false;
    }
    memcpy(next, key.data, key.size);
    next[key.size] = 0;
    listing->scan.start = velocity_bytes(next, key.size + 1);
    return true;
}

/* The name of a type that has no number stands before the value: to show it, the value is read. */
static bool wants_value(void *arg, uint32_t flags, size_t value_size) {
    const struct listing *listing = arg;
    if ((flags & ITEM_VALUE_TYPE_MASK) == VALUE_OTHER) return true;
    return listing->bound.values && value_size <= ITEM_OMIT_BYTES;
}

/* On the executor. False: the page is full, and this row is the next one's. */
static bool add_row(void *arg, const struct store_row *row) {
    struct listing *listing = arg;
    struct json_writer *w = &listing->request->writer;
    struct item item = {.key = row->key, .version = row->version};
    if (listing->count == listing->limit || w->failed) return false;
    velocity_slice stored = row->value.data ? row->value : velocity_bytes(NULL, row->value_size); /* not wanted */
    if (!item_unpack(row->flags, stored, &item.type, &item.value)) {
        listing->damaged = true;
        return false;
    }
    size_t before = w->size;
    bool comma = w->comma;
    item_write(w, &item, listing->bound.values, ITEM_OMIT_BYTES);
    if (w->size > PAGE_BYTES && listing->count > 0) {
        w->size = before;
        w->comma = comma;
        return false;
    }
    listing->count++;
    memcpy(listing->last_bytes, row->key.data, row->key.size);
    listing->last = velocity_bytes(listing->last_bytes, row->key.size);
    return true;
}

static void write_cursor(struct json_writer *w, struct listing *listing) {
    char *text = scratch_alloc(&listing->request->scratch, cursor_encoded_size(listing->last.size));
    json_name(w, "cursor");
    if (!text) {
        w->failed = true;
        return;
    }
    json_write_string(w, velocity_bytes(text, cursor_encode(&listing->bound, listing->last, text)));
}

static void listed(struct http_request *request) {
    struct listing *listing = request->state;
    struct json_writer *w = &request->writer;
    if (request->service.status != VELOCITY_OK) {
        reply_failure(request, false);
        return;
    }
    if (listing->damaged) {
        reply_problem(request, PROBLEM_CORRUPT, "the type of a value is damaged");
        return;
    }
    json_end_array(w);
    json_name(w, "prefixes");
    json_begin_array(w);
    json_end_array(w);
    if (listing->scan.complete) {
        json_name(w, "cursor");
        json_write_null(w);
    } else {
        write_cursor(w, listing);
    }
    json_name(w, "complete");
    json_write_bool(w, listing->scan.complete);
    json_name(w, "version");
    json_write_u64_string(w, listing->scan.version);
    json_end_object(w);
    if (reply_count(request, w->size)) reply_json(request);
}

void keys_list(struct http_request *request) {
    velocity_slice values[PARAMETERS];
    if (!request_parameters(request, parameters, PARAMETERS, values)) return;
    bool single = values[KEY64].data != NULL;
    for (int i = 0; i < KEY64; i++) single = single && !values[i].data;
    if (single) {
        keys_get(request);
        return;
    }
    struct listing *listing = scratch_alloc(&request->scratch, sizeof *listing);
    if (!listing) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return;
    }
    memset(listing, 0, offsetof(struct listing, last_bytes));
    listing->request = request;
    request->state = listing;
    if (!take_parameters(request, listing, values) || !take_cursor(request, listing, values[CURSOR])) return;
    listing->scan.row = add_row;
    listing->scan.wants_value = wants_value;
    listing->scan.arg = listing;
    json_begin_object(&request->writer);
    json_name(&request->writer, "items");
    json_begin_array(&request->writer);
    request->service.operation = SERVICE_SCAN;
    request->service.scan = &listing->scan;
    request_run(request, listed);
}
