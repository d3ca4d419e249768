/*
 * audit.c - GET /api/audit and /api/audit/verify: who did what. Both read the file, on the executor.
 *
 * A page goes from the newest row to older ones. Its cursor is that of listings (cursor.h), with the number of the last
 * row for a key: so it is bound to what was asked for.
 */
#include "http/cursor.h"
#include "http/encoding.h"
#include "http/handlers.h"
#include "http/management.h"
#include "http/reply.h"
#include "http/server_internal.h"
#include "server/decimal.h"
#include "server/timestamp.h"

#define PAGE_LIMIT_DEFAULT 100
#define PAGE_LIMIT_MAX     1000

enum { SINCE, UNTIL, USER, ACTION, DATABASE, LIMIT, CURSOR, PARAMETERS };
static const char *const parameters[PARAMETERS] = {"since", "until", "user", "action", "database", "limit", "cursor"};

/* In scratch. */
struct page {
    struct http_request *request;
    struct audit_query query;
    struct cursor_parameters bound;
    uint64_t last; /* the number of the last row written; 0: none */
};

static const struct meanings meanings = {PROBLEM_NOT_FOUND, PROBLEM_CONFLICT, PROBLEM_OVERLOADED};

static struct audit *audit_of(struct http_request *request) {
    return service_audit(http_server_service(request->server));
}

/* False: there is no audit log, and the reply says so. */
static bool is_there(struct http_request *request) {
    if (audit_of(request)) return true;
    reply_problem(request, PROBLEM_NOT_FOUND, "this server keeps no audit log");
    return false;
}

/* ---- parameters ------------------------------------------------------------------------------------------------- */

/* RFC 3339, or milliseconds since 1970. */
static bool take_time(velocity_slice value, int64_t *out) {
    uint64_t ms;
    if (!value.data || timestamp_parse(value, out)) return true;
    if (!decimal_u64(value, &ms) || ms > INT64_MAX) return false;
    *out = (int64_t)ms;
    return true;
}

static bool take_text(struct http_request *request, velocity_slice value, const char **out) {
    velocity_slice text;
    if (!value.data) return true;
    if (memchr(value.data, 0, value.size) || !scratch_copy(&request->scratch, value, &text))
        return reply_bad_parameter(request, "user, action and database are names");
    *out = text.data;
    return true;
}

static bool take_cursor(struct http_request *request, struct page *page, velocity_slice cursor) {
    velocity_slice number;
    if (!cursor.data) return true;
    void *buffer = scratch_alloc(&request->scratch, base64_decoded_max(cursor.size) + 1);
    enum cursor_result result = buffer ? cursor_decode(cursor, &page->bound, buffer, &number) : CURSOR_MALFORMED;
    if (result == CURSOR_OK && decimal_u64(number, &page->query.before) && page->query.before > 0) return true;
    reply_problem(request, PROBLEM_INVALID_CURSOR,
                  result == CURSOR_FOREIGN ? "it comes from a page with other parameters" : "it is malformed");
    return false;
}

static bool take_parameters(struct http_request *request, struct page *page) {
    velocity_slice values[PARAMETERS];
    uint64_t limit = PAGE_LIMIT_DEFAULT;
    struct audit_query *query = &page->query;
    if (!request_parameters(request, parameters, PARAMETERS, values)) return false;
    if (!take_time(values[SINCE], &query->since_ms) || !take_time(values[UNTIL], &query->until_ms))
        return reply_bad_parameter(request, "since and until are times of RFC 3339, or milliseconds since 1970");
    if (values[LIMIT].data && !query_u64(values[LIMIT], 1, PAGE_LIMIT_MAX, &limit))
        return reply_bad_parameter(request, "limit is 1 to 1000");
    if (!take_text(request, values[USER], &query->user) || !take_text(request, values[ACTION], &query->action) ||
        !take_text(request, values[DATABASE], &query->database))
        return false;
    query->limit = (uint32_t)limit;
    page->bound = (struct cursor_parameters){.database = values[DATABASE],
                                             .prefix = values[USER],
                                             .start = values[SINCE],
                                             .end = values[UNTIL],
                                             .delimiter = values[ACTION],
                                             .reverse = true};
    return take_cursor(request, page, values[CURSOR]);
}

/* ---- a page ----------------------------------------------------------------------------------------------------- */

static void text(struct json_writer *w, const char *name, const char *value) {
    json_name(w, name);
    if (value && value[0])
        json_write_string(w, velocity_str(value));
    else
        json_write_null(w);
}

static void write_key(struct json_writer *w, const struct audit_row *row) {
    if (row->key.size && !row->key_is_hash) {
        json_write_key(w, row->key);
        return;
    }
    json_name(w, row->key.size ? "key_hash" : "key");
    if (row->key.size)
        json_write_string(w, row->key);
    else
        json_write_null(w);
}

static bool write_row(void *arg, const struct audit_row *row) {
    struct page *page = arg;
    struct json_writer *w = &page->request->writer;
    json_begin_object(w);
    json_name(w, "number");
    json_write_u64_string(w, row->number);
    json_name(w, "time");
    timestamp_write(w, row->time_ms);
    text(w, "user", row->user);
    text(w, "login", row->login);
    text(w, "login_id", row->login_id);
    text(w, "address", row->address);
    text(w, "action", row->action);
    json_name(w, "database");
    if (row->database.size)
        json_write_string(w, row->database);
    else
        json_write_null(w);
    write_key(w, row);
    json_name(w, "status");
    json_write_u64(w, row->status);
    text(w, "request_id", row->request_id);
    text(w, "detail", row->detail);
    text(w, "hash", row->hash);
    json_end_object(w);
    page->last = row->number;
    return !w->failed;
}

static void write_cursor(struct http_request *request, const struct page *page, bool more) {
    struct json_writer *w = &request->writer;
    char digits[DECIMAL_U64_BYTES];
    velocity_slice number = velocity_bytes(digits, decimal_format_u64(page->last, digits));
    json_name(w, "cursor");
    if (!more || page->last == 0) {
        json_write_null(w);
        return;
    }
    char cursor[64]; /* of 13 + 20 bytes in base64url: 44 */
    json_write_string(w, velocity_bytes(cursor, cursor_encode(&page->bound, number, cursor)));
}

static void read_page(struct http_request *request) {
    struct page *page = request->state;
    struct json_writer *w = &request->writer;
    bool more = false;
    json_begin_object(w);
    json_name(w, "rows");
    json_begin_array(w);
    request->service.status = audit_query(audit_of(request), &page->query, write_row, page, &more);
    json_end_array(w);
    write_cursor(request, page, more);
    json_end_object(w);
    if (request->service.status == VELOCITY_OK) encoding_apply(request);
}

static void shown(struct http_request *request) {
    if (request->service.status == VELOCITY_OK)
        management_reply(request, MHD_HTTP_OK);
    else
        management_failure(request, &meanings);
}

void audit_get(struct http_request *request) {
    if (!is_there(request)) return;
    struct page *page = scratch_alloc(&request->scratch, sizeof *page);
    if (!page) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return;
    }
    memset(page, 0, sizeof *page);
    page->request = request;
    request->state = page;
    if (take_parameters(request, page)) request_call(request, read_page, shown);
}

/* ---- the chain -------------------------------------------------------------------------------------------------- */

static void verify(struct http_request *request) {
    struct json_writer *w = &request->writer;
    struct audit_verification found;
    memset(&found, 0, sizeof found);
    request->service.status = audit_verify(audit_of(request), &found);
    if (request->service.status != VELOCITY_OK) return;
    json_begin_object(w);
    json_name(w, "intact");
    json_write_bool(w, found.intact);
    json_name(w, "rows");
    json_write_u64(w, found.rows);
    json_name(w, "first");
    json_write_u64_string(w, found.first);
    json_name(w, "last");
    json_write_u64_string(w, found.last);
    text(w, "head", found.head);
    if (!found.intact) {
        json_name(w, "broken_at");
        json_write_u64_string(w, found.broken_at);
        text(w, "reason", found.reason);
    }
    json_end_object(w);
}

void audit_verify_get(struct http_request *request) {
    if (is_there(request) && request_parameters(request, NULL, 0, NULL)) request_call(request, verify, shown);
}
