/*
 * listing.c - GET /api/keys: a page of keys in order, and the cursor to the next one; or only how many they are.
 *
 * With a delimiter, keys that hold it behind the listing's prefix are folded: all that are alike up to and with the
 * first one are shown as one prefix, and passed over. A cursor whose key ends with a delimiter stands for such a
 * prefix, as no key that is shown holds one.
 */
#include "http/count.h"
#include "http/cursor.h"
#include "http/encoding.h"
#include "http/handlers.h"
#include "http/item.h"
#include "http/reply.h"
#include "server/base64.h"
#include "server/key_range.h"
#include "server/utf8.h"

#define PAGE_LIMIT_DEFAULT 100
#define PAGE_LIMIT_MAX     10000
#define PAGE_PASSED_MAX    1000000              /* keys that are gone, and passed by, for one page */
#define PAGE_TYPES_BYTES   (UINT64_C(64) << 20) /* of values that are read for their types' names, for one page */
/* What is left of 8 MiB for what stands around the items: the cursor of a 16 KiB key above all. */
#define PAGE_BYTES (((size_t)8 << 20) - ((size_t)64 << 10))

enum { PREFIX, START, END, COUNT, LIMIT, CURSOR, REVERSE, VALUES, DELIMITER, KEY64, PARAMETERS };
static const char *const parameters[PARAMETERS] = {"prefix", "start",   "end",    "count",     "limit",
                                                   "cursor", "reverse", "values", "delimiter", "key64"};

/* A prefix that keys were folded into, as it stands in the reply. */
struct folded {
    struct folded *next;
    size_t size;
    char text[];
};

struct listing {
    struct http_request *request;
    struct cursor_parameters bound; /* what a cursor is bound to */
    struct store_scan scan;
    uint64_t limit, count, passed;
    uint64_t types_bytes; /* of values that were read for the names of their types */
    bool tired;           /* they were too many for one page */
    velocity_slice last;  /* the last key or folded prefix on the page, or passed by, in `last_bytes` */
    struct folded *folded, **folded_end;
    size_t folded_bytes;
    bool damaged;
    unsigned char last_bytes[VELOCITY_MAX_KEY_BYTES];
};

/* An empty bound is none. */
static velocity_slice bound(velocity_slice value) {
    return value.size ? value : velocity_bytes(NULL, 0);
}

static bool take_parameters(struct http_request *request, struct listing *listing, velocity_slice *values) {
    struct cursor_parameters *b = &listing->bound;
    listing->limit = PAGE_LIMIT_DEFAULT;
    if (values[KEY64].data) return reply_bad_parameter(request, "key64 stands alone");
    if (values[LIMIT].data && !query_u64(values[LIMIT], 1, PAGE_LIMIT_MAX, &listing->limit))
        return reply_bad_parameter(request, "limit is 1 to 10000");
    if (values[REVERSE].data && !query_bool(values[REVERSE], &b->reverse))
        return reply_bad_parameter(request, "reverse is true or false");
    if (values[VALUES].data && !query_bool(values[VALUES], &b->values))
        return reply_bad_parameter(request, "values is true or false");
    for (int i = PREFIX; i <= END; i++)
        if (values[i].size > HTTP_MAX_KEY_BYTES)
            return reply_bad_parameter(request, "a bound is longer than a key can be");
    if (values[DELIMITER].data && (values[DELIMITER].size == 0 || values[DELIMITER].size > HTTP_MAX_KEY_BYTES))
        return reply_bad_parameter(request, "delimiter has 1 to 16384 bytes");
    b->database = request->service.database_name;
    b->prefix = bound(values[PREFIX]);
    b->start = bound(values[START]);
    b->end = bound(values[END]);
    b->delimiter = values[DELIMITER];
    listing->scan.prefix = b->prefix;
    listing->scan.start = b->start;
    listing->scan.end = b->end;
    listing->scan.reverse = b->reverse;
    return true;
}

/* What the key is folded into: the key up to and with the first delimiter behind the prefix. Empty: nothing. */
static velocity_slice fold(const struct cursor_parameters *b, velocity_slice key) {
    if (b->delimiter.size == 0 || key.size <= b->prefix.size) return velocity_bytes(NULL, 0);
    const char *begin = key.data, *from = begin + b->prefix.size;
    const char *at = memmem(from, key.size - b->prefix.size, b->delimiter.data, b->delimiter.size);
    return at ? velocity_bytes(begin, (size_t)(at - begin) + b->delimiter.size) : velocity_bytes(NULL, 0);
}

/* Narrows a forward scan to what comes behind the key, or behind all keys that were folded into it. `buffer` has a byte
 * more than the key. */
static void start_behind(struct listing *listing, velocity_slice key, unsigned char *buffer) {
    struct store_scan *scan = &listing->scan;
    if (fold(&listing->bound, key).size == key.size) {
        size_t size = key_behind(key, buffer);
        scan->start = size ? velocity_bytes(buffer, size) : key;
        if (size == 0) scan->end = key; /* nothing can follow */
        return;
    }
    memcpy(buffer, key.data, key.size);
    buffer[key.size] = 0; /* the smallest key behind it */
    scan->start = velocity_bytes(buffer, key.size + 1);
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
    unsigned char *behind = scratch_alloc(&request->scratch, key.size + 1);
    if (!behind) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return false;
    }
    start_behind(listing, key, behind);
    return true;
}

/* The name of a type that has no number stands before the value: to show it, all of the value is read. Where values are
 * large that takes its time, and the thread is wanted by others, too. */
static bool wants_value(void *arg, uint32_t flags, size_t value_size) {
    struct listing *listing = arg;
    if ((flags & ITEM_VALUE_TYPE_MASK) != VALUE_OTHER) return listing->bound.values && value_size <= ITEM_OMIT_BYTES;
    listing->tired = listing->types_bytes >= PAGE_TYPES_BYTES;
    listing->types_bytes += value_size;
    return !listing->tired;
}

/* Would the page be too large? What was written since `before` is then taken back: it is the next one's. */
static bool is_full(struct listing *listing, size_t before, bool comma) {
    struct json_writer *w = &listing->request->writer;
    if (w->size + listing->folded_bytes <= PAGE_BYTES || listing->count == 0) return false;
    w->size = before;
    w->comma = comma;
    return true;
}

static bool add_item(struct listing *listing, const struct store_row *row) {
    struct json_writer *w = &listing->request->writer;
    struct item item = {.key = row->key, .version = row->version, .expires_at_ms = row->expires_at_ms};
    velocity_slice stored = row->value.data ? row->value : velocity_bytes(NULL, row->value_size); /* not wanted */
    if (!item_unpack(row->flags, stored, &item.type, &item.value)) {
        listing->damaged = true;
        return false;
    }
    size_t before = w->size;
    bool comma = w->comma;
    item_write(w, &item, listing->bound.values, ITEM_OMIT_BYTES);
    return !is_full(listing, before, comma);
}

/* A string where it is UTF-8, else an object with prefix64. */
static void write_prefix(struct listing *listing, velocity_slice prefix) {
    struct json_writer *w = &listing->request->writer;
    if (utf8_valid(prefix)) {
        json_write_string(w, prefix);
        return;
    }
    char *text = scratch_alloc(&listing->request->scratch, base64url_encoded_size(prefix.size));
    if (!text) {
        w->failed = true;
        return;
    }
    json_begin_object(w);
    json_name(w, "prefix64");
    json_write_string(w, velocity_bytes(text, base64url_encode(prefix, text)));
    json_end_object(w);
}

/* Prefixes stand behind all items: until then they are kept as they will be written. */
static bool add_folded(struct listing *listing, velocity_slice prefix) {
    struct json_writer *w = &listing->request->writer;
    size_t before = w->size;
    bool comma = w->comma;
    w->comma = false;
    write_prefix(listing, prefix);
    if (w->failed || is_full(listing, before, comma)) return false;
    size_t size = w->size - before;
    struct folded *folded = scratch_alloc(&listing->request->scratch, sizeof *folded + size);
    w->failed = folded == NULL;
    if (!folded) return false;
    *folded = (struct folded){.size = size};
    memcpy(folded->text, w->data + before, size);
    *listing->folded_end = folded;
    listing->folded_end = &folded->next;
    listing->folded_bytes += size + 1;
    w->size = before;
    w->comma = comma;
    return true;
}

static void remember_last(struct listing *listing, velocity_slice key) {
    memcpy(listing->last_bytes, key.data, key.size);
    listing->last = velocity_bytes(listing->last_bytes, key.size);
}

/* On the executor. False: the page ends here, however little it shows. Not where its cursor would stand for keys that
 * are folded into this one. */
static bool pass_gone(void *arg, velocity_slice key) {
    struct listing *listing = arg;
    listing->passed += VELOCITY_PASSING_KEYS;
    if (listing->passed < PAGE_PASSED_MAX || fold(&listing->bound, key).size == key.size) return true;
    remember_last(listing, key);
    return false;
}

/* On the executor. False: the page is full, and this row is the next one's. */
static bool add_row(void *arg, const struct store_row *row) {
    struct listing *listing = arg;
    if (listing->count == listing->limit || listing->tired || listing->request->writer.failed) return false;
    velocity_slice folded = fold(&listing->bound, row->key), shown = folded.size ? folded : row->key;
    if (folded.size ? !add_folded(listing, folded) : !add_item(listing, row)) return false;
    listing->count++;
    remember_last(listing, shown);
    if (folded.size) listing->scan.pass = listing->last;
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

static void write_prefixes(struct json_writer *w, const struct listing *listing) {
    json_name(w, "prefixes");
    json_begin_array(w);
    for (const struct folded *folded = listing->folded; folded; folded = folded->next)
        json_write_raw(w, velocity_bytes(folded->text, folded->size));
    json_end_array(w);
}

/* On the executor: the rest of the document. */
static void render(struct service_request *service) {
    struct http_request *request = request_of(service);
    struct listing *listing = request->state;
    struct json_writer *w = &request->writer;
    if (service->status != VELOCITY_OK || listing->damaged) return;
    json_end_array(w);
    write_prefixes(w, listing);
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
    encoding_apply(request);
}

static void listed(struct http_request *request) {
    const struct listing *listing = request->state;
    if (request->service.status != VELOCITY_OK)
        reply_failure(request, false);
    else if (listing->damaged)
        reply_problem(request, PROBLEM_CORRUPT, "the type of a value is damaged");
    else if (reply_count(request, request->writer.size))
        reply_json(request);
}

/* count=true stands with bounds only. False: it does not, or is something else, and the reply says so. */
static bool counts(struct http_request *request, const velocity_slice *values, bool *count) {
    *count = false;
    if (!values[COUNT].data) return true;
    if (!query_bool(values[COUNT], count)) return reply_bad_parameter(request, "count is true or false");
    for (int i = LIMIT; i <= KEY64 && *count; i++)
        if (values[i].data) return reply_bad_parameter(request, "count stands with prefix, start and end alone");
    return true;
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
    listing->folded_end = &listing->folded;
    request->state = listing;
    bool count;
    if (!counts(request, values, &count) || !take_parameters(request, listing, values)) return;
    if (count) {
        count_keys(request, listing->bound.prefix, listing->bound.start, listing->bound.end, false);
        return;
    }
    if (!take_cursor(request, listing, values[CURSOR])) return;
    listing->scan.row = add_row;
    listing->scan.wants_value = wants_value;
    listing->scan.passing = pass_gone;
    listing->scan.arg = listing;
    json_begin_object(&request->writer);
    json_name(&request->writer, "items");
    json_begin_array(&request->writer);
    request->service.operation = SERVICE_SCAN;
    request->service.scan = &listing->scan;
    request->service.render = render;
    request_run(request, listed);
}
