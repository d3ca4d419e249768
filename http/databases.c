/*
 * databases.c - /api/databases: which there are, how large, with which limit. All of it may wait for the disk and runs
 * on the executor. Who has a scope sees the databases in it; the others are not there.
 */
#include "http/form.h"
#include "http/handlers.h"
#include "http/management.h"
#include "http/reply.h"
#include "http/server_internal.h"
#include "server/timestamp.h"

#include <stdio.h>

#define DROP_WAIT_MS 10000u

static const struct meanings create_meanings = {PROBLEM_DATABASE_NOT_FOUND, PROBLEM_NAME_TAKEN, PROBLEM_TOO_MANY};
static const struct meanings drop_meanings = {PROBLEM_DATABASE_NOT_FOUND, PROBLEM_CONFLICT, PROBLEM_DATABASE_IN_USE};

/* In scratch. */
struct database_request {
    velocity_slice name;     /* empty: all */
    uint64_t max_disk_bytes; /* 0: none; UINT64_MAX: the default */
};

static struct databases *databases_of(struct http_request *request) {
    return service_databases(http_server_service(request->server));
}

static struct database_request *state_new(struct http_request *request) {
    struct database_request *state = scratch_alloc(&request->scratch, sizeof *state);
    if (!state) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return NULL;
    }
    *state = (struct database_request){.name = velocity_bytes("", 0), .max_disk_bytes = UINT64_MAX};
    request->state = state;
    return state;
}

/* ---- as JSON ---------------------------------------------------------------------------------------------------- */

static void number(struct json_writer *w, const char *name, uint64_t value, bool known) {
    json_name(w, name);
    if (known)
        json_write_u64(w, value);
    else
        json_write_null(w);
}

static void write_levels(struct json_writer *w, const velocity_stats *stats) {
    json_name(w, "levels");
    json_begin_array(w);
    for (int i = 0; i < VELOCITY_LEVELS; i++) {
        json_begin_object(w);
        number(w, "level", (uint64_t)i, true);
        number(w, "tables", stats->level_tables[i], true);
        number(w, "bytes", stats->level_bytes[i], true);
        json_end_object(w);
    }
    json_end_array(w);
}

static void write_database(struct http_request *request, const struct database_info *info) {
    struct json_writer *w = &request->writer;
    bool open = info->status == VELOCITY_OK;
    json_begin_object(w);
    json_name(w, "name");
    json_write_string(w, velocity_str(info->name));
    json_name(w, "status");
    json_write_string(w, velocity_str(open ? "open" : "damaged"));
    if (!open) {
        json_name(w, "detail");
        json_write_string(w, velocity_str(reply_words(request, info->message ? info->message : "")));
    }
    number(w, "size_bytes", info->stats.disk_bytes, open);
    /* Counts what was overwritten or deleted and not yet reclaimed, too. */
    number(w, "keys_estimate", info->stats.table_entries + info->stats.memtable_entries, open);
    number(w, "max_disk_bytes", info->max_disk_bytes, info->max_disk_bytes != 0);
    json_name(w, "limit_is_default");
    json_write_bool(w, info->limit_is_default);
    json_name(w, "created_at");
    timestamp_write(w, info->created_at_ms);
    json_name(w, "read_only");
    if (open)
        json_write_bool(w, info->stats.read_only);
    else
        json_write_null(w);
    if (open) write_levels(w, &info->stats);
    json_end_object(w);
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static bool write_row(void *arg, const struct database_info *info) {
    struct http_request *request = arg;
    if (scope_has_database(&request->principal->scope, velocity_str(info->name))) write_database(request, info);
    return !request->writer.failed;
}

static void list(struct http_request *request) {
    struct json_writer *w = &request->writer;
    json_begin_object(w);
    json_name(w, "databases");
    json_begin_array(w);
    request->service.status = databases_list(databases_of(request), velocity_bytes("", 0), write_row, request);
    json_end_array(w);
    json_end_object(w);
}

static void look(struct http_request *request) {
    const struct database_request *state = request->state;
    request->service.status = databases_list(databases_of(request), state->name, write_row, request);
}

static void shown(struct http_request *request) {
    if (request->service.status == VELOCITY_OK)
        management_reply(request, MHD_HTTP_OK);
    else
        management_failure(request, &drop_meanings);
}

void databases_get(struct http_request *request) {
    if (request_parameters(request, NULL, 0, NULL)) request_call(request, list, shown);
}

/* The database that the path names. NULL: the reply says why not. */
static struct database_request *named(struct http_request *request) {
    struct database_request *state = state_new(request);
    if (!state || !request_segment(request, &state->name)) return NULL;
    request->service.database_name = state->name;
    if (database_name_is_good(state->name) && scope_has_database(&request->principal->scope, state->name)) return state;
    reply_problem(request, PROBLEM_DATABASE_NOT_FOUND, NULL);
    return NULL;
}

void database_get(struct http_request *request) {
    if (named(request)) request_call(request, look, shown);
}

/* ---- making and changing ---------------------------------------------------------------------------------------- */

/* null: no limit; a text "default" where the form has one. */
static void take_limit(struct form *form, int member, enum form_need need, uint64_t *out) {
    int64_t bytes = 0;
    if (form_is_word(form, member, "default"))
        *out = UINT64_MAX;
    else if (form_i64(form, member, need, 1, FORM_INTEGER_MAX, &bytes) || form_is_null(form, member))
        *out = (uint64_t)bytes;
}

static void create(struct http_request *request) {
    const struct database_request *state = request->state;
    request->service.status = databases_create(databases_of(request), state->name, state->max_disk_bytes);
    if (request->service.status == VELOCITY_OK) look(request);
}

static void created(struct http_request *request) {
    const struct database_request *state = request->state;
    if (request->service.status != VELOCITY_OK) {
        management_failure(request, &create_meanings);
        return;
    }
    management_reply(request, MHD_HTTP_CREATED);
    size_t size = sizeof "/api/databases/" + state->name.size;
    char *location = scratch_alloc(&request->scratch, size);
    if (!location || request->reply.status != MHD_HTTP_CREATED) return;
    (void)snprintf(location, size, "/api/databases/%.*s", (int)state->name.size, (const char *)state->name.data);
    reply_header(request, "Location", location);
}

void databases_post(struct http_request *request) {
    enum { NAME, LIMIT, MEMBERS };
    static const char *const members[MEMBERS] = {"name", "max_disk_bytes"};
    struct form form;
    if (!request_parameters(request, NULL, 0, NULL)) return;
    struct database_request *state = state_new(request);
    if (!state) return;
    form_begin(&form, request, members, MEMBERS);
    const char *name = form_text(&form, NAME, FORM_REQUIRED, 1, DATABASE_NAME_MAX);
    take_limit(&form, LIMIT, FORM_NULLABLE, &state->max_disk_bytes);
    if (name && !database_name_is_good(velocity_str(name)))
        form_refuse(&form, "a name has 1 to %d of a-z, 0-9, \"_\" and \"-\", and begins with a letter or digit",
                    DATABASE_NAME_MAX);
    if (!form_end(&form, request)) return;
    state->name = request->service.database_name = velocity_str(name);
    request_call(request, create, created);
}

static void set_limit(struct http_request *request) {
    const struct database_request *state = request->state;
    request->service.status = databases_set_limit(databases_of(request), state->name, state->max_disk_bytes);
    if (request->service.status == VELOCITY_OK) look(request);
}

void database_patch(struct http_request *request) {
    enum { LIMIT, MEMBERS };
    static const char *const members[MEMBERS] = {"max_disk_bytes"};
    struct form form;
    struct database_request *state = named(request);
    if (!state) return;
    form_begin(&form, request, members, MEMBERS);
    take_limit(&form, LIMIT, FORM_NULLABLE, &state->max_disk_bytes);
    bool given = form_has(&form, LIMIT);
    if (!form_end(&form, request)) return;
    request_call(request, given ? set_limit : look, shown);
}

/* ---- dropping --------------------------------------------------------------------------------------------------- */

static void drop(struct http_request *request) {
    const struct database_request *state = request->state;
    request->service.status = databases_drop(databases_of(request), state->name, DROP_WAIT_MS);
}

static void dropped(struct http_request *request) {
    if (request->service.status == VELOCITY_OK)
        management_done(request);
    else
        management_failure(request, &drop_meanings);
}

void database_delete(struct http_request *request) {
    struct database_request *state = named(request);
    if (!state) return;
    if (strcmp(state->name.data, "default") == 0) {
        reply_problem(request, PROBLEM_CONFLICT, "the database \"default\" is always there");
        return;
    }
    request_call(request, drop, dropped);
}
