/*
 * jobs.c - flush and compact of a database, which answer 202 and a job, and /api/jobs: how they get on. Who has a scope
 * sees the jobs of the databases in it; the others are not there.
 */
#include "server/jobs.h"
#include "http/handlers.h"
#include "http/management.h"
#include "http/reply.h"
#include "http/server_internal.h"
#include "server/decimal.h"
#include "server/timestamp.h"

#include <stdio.h>

#define LOCATION_BYTES 48

/* In scratch. What is shown: one job, or all. */
struct job_request {
    struct http_request *request;
    uint64_t id; /* 0: all */
    bool found;
};

static struct jobs *jobs_of(struct http_request *request) {
    return service_jobs(http_server_service(request->server));
}

/* ---- as JSON ---------------------------------------------------------------------------------------------------- */

static void write_job(struct http_request *request, const struct job_info *info) {
    struct json_writer *w = &request->writer;
    char digits[DECIMAL_U64_BYTES];
    json_begin_object(w);
    json_name(w, "id");
    json_write_string(w, velocity_bytes(digits, decimal_format_u64(info->id, digits)));
    json_name(w, "kind");
    json_write_string(w, velocity_str(job_kind_name(info->kind)));
    json_name(w, "database");
    json_write_string(w, velocity_str(info->database));
    json_name(w, "user");
    if (*info->user)
        json_write_string(w, velocity_str(info->user));
    else
        json_write_null(w);
    json_name(w, "state");
    json_write_string(w, velocity_str(job_state_name(info->state)));
    json_name(w, "progress"); /* of the whole, 0 to 1 */
    if (info->state == JOB_DONE)
        json_write_u64(w, 1);
    else if (info->total)
        json_write_double(w, (double)info->done / (double)info->total);
    else
        json_write_null(w);
    json_name(w, "created_at");
    timestamp_write(w, info->created_at_ms);
    json_name(w, "started_at");
    timestamp_write(w, info->started_at_ms);
    json_name(w, "ended_at");
    timestamp_write(w, info->ended_at_ms);
    json_name(w, "error");
    if (info->state == JOB_FAILED)
        json_write_string(w, velocity_str(reply_words(request, info->message)));
    else
        json_write_null(w);
    json_end_object(w);
}

static bool show(void *arg, const struct job_info *info) {
    struct job_request *state = arg;
    struct http_request *request = state->request;
    if (state->id && info->id != state->id) return true;
    if (!scope_has_database(&request->principal->scope, velocity_str(info->database))) return true;
    state->found = true;
    write_job(request, info);
    return !request->writer.failed && !state->id;
}

static bool show_one(struct http_request *request, uint64_t id) {
    struct job_request state = {.request = request, .id = id};
    jobs_list(jobs_of(request), show, &state);
    return state.found;
}

/* ---- reading, cancelling ---------------------------------------------------------------------------------------- */

void jobs_get(struct http_request *request) {
    struct job_request state = {.request = request};
    struct json_writer *w = &request->writer;
    if (!request_parameters(request, NULL, 0, NULL)) return;
    json_begin_object(w);
    json_name(w, "jobs");
    json_begin_array(w);
    jobs_list(jobs_of(request), show, &state);
    json_end_array(w);
    json_end_object(w);
    management_reply(request, MHD_HTTP_OK);
}

/* The job that the path names, written. 0: the reply says why not. */
static uint64_t named(struct http_request *request) {
    uint64_t id = 0;
    velocity_slice *segment = &request->service.key;
    if (!request_segment(request, segment)) return 0;
    if (decimal_u64(*segment, &id) && id && show_one(request, id)) return id;
    json_writer_clear(&request->writer);
    reply_problem(request, PROBLEM_NOT_FOUND, "there is no such job; those that ended long ago are forgotten");
    return 0;
}

void job_get(struct http_request *request) {
    if (named(request)) management_reply(request, MHD_HTTP_OK);
}

void job_delete(struct http_request *request) {
    uint64_t id = named(request);
    if (!id) return;
    json_writer_clear(&request->writer);
    switch (jobs_cancel(jobs_of(request), id)) {
    case VELOCITY_OK: management_done(request); return;
    case VELOCITY_CONFLICT: reply_problem(request, PROBLEM_CONFLICT, "the job has ended"); return;
    default: reply_problem(request, PROBLEM_NOT_FOUND, "there is no such job"); return;
    }
}

/* ---- asking for one --------------------------------------------------------------------------------------------- */

static void start(struct http_request *request, enum job_kind kind) {
    uint64_t id = 0;
    if (!request_parameters(request, NULL, 0, NULL) || !form_is_empty(request)) return;
    const struct principal *principal = request->principal;
    char *location = scratch_alloc(&request->scratch, LOCATION_BYTES); /* before it: 503 says that nothing was done */
    velocity_status status = VELOCITY_NO_MEMORY;
    if (location)
        status = jobs_start(jobs_of(request), kind, database_name(request->service.database),
                            principal ? principal->user : "", &id);
    if (status != VELOCITY_OK) {
        reply_problem(request, PROBLEM_OVERLOADED, "%s", location ? velocity_error_message() : "no memory");
        return;
    }
    (void)show_one(request, id);
    management_reply(request, MHD_HTTP_ACCEPTED);
    (void)snprintf(location, LOCATION_BYTES, "/api/jobs/%llu", (unsigned long long)id);
    if (request->reply.status == MHD_HTTP_ACCEPTED) reply_header(request, "Location", location);
}

void flush_post(struct http_request *request) {
    start(request, JOB_FLUSH);
}

void compact_post(struct http_request *request) {
    start(request, JOB_COMPACT);
}
