/*
 * transactions.c - /api/transactions: begun, listed, committed, rolled back. What is done inside of one comes with the
 * header Velocity-Transaction to the routes of keys (admit.c, service_transaction.c).
 */
#include "http/form.h"
#include "http/handlers.h"
#include "http/management.h"
#include "http/reply.h"
#include "http/server_internal.h"
#include "server/timestamp.h"

#include <stdio.h>

static const struct meanings begin_meanings = {PROBLEM_DATABASE_NOT_FOUND, PROBLEM_TOO_MANY, PROBLEM_OVERLOADED};

static const char *const isolations[] = {[VELOCITY_ISOLATION_READ_COMMITTED] = "read_committed",
                                         [VELOCITY_ISOLATION_SNAPSHOT] = "snapshot",
                                         [VELOCITY_ISOLATION_SERIALIZABLE] = "serializable"};

#define ISOLATIONS (sizeof isolations / sizeof isolations[0])

/* In scratch. */
struct begin {
    velocity_isolation isolation;
    struct transaction_info info;
};

/* ---- begin ------------------------------------------------------------------------------------------------------ */

/* Who says nothing gets the one without surprises. */
static velocity_isolation take_isolation(struct form *form, int member) {
    for (size_t i = 0; i < ISOLATIONS; i++)
        if (form_is_word(form, member, isolations[i])) return (velocity_isolation)i;
    if (form_has(form, member)) form_refuse(form, "\"isolation\" is serializable, snapshot or read_committed");
    return VELOCITY_ISOLATION_SERIALIZABLE;
}

static void begin(struct http_request *request) {
    struct begin *state = request->state;
    struct transaction_caller caller = {.principal = request->principal, .database = request->service.database_name};
    struct transactions *all = service_transactions(http_server_service(request->server));
    struct service_request *service = &request->service;
    service->status = transactions_begin(all, &caller, state->isolation, &state->info);
    if (service->status != VELOCITY_OK) /* also of a CONFLICT: which limit it is */
        (void)snprintf(service->commit.message, sizeof service->commit.message, "%s", velocity_error_message());
}

static void write_common(struct json_writer *w, const struct transaction_info *info) {
    json_name(w, "isolation");
    json_write_string(w, velocity_str(isolations[info->isolation]));
    json_name(w, "expires_at");
    timestamp_write(w, info->expires_at_ms);
}

static void begun(struct http_request *request) {
    const struct transaction_info *info = &((struct begin *)request->state)->info;
    struct json_writer *w = &request->writer;
    if (request->service.status != VELOCITY_OK) {
        management_failure(request, &begin_meanings);
        return;
    }
    /* For the audit log: which one it was, and nobody can enter it with that. */
    request->service.key = velocity_bytes(info->id, TRANSACTION_PREFIX_BYTES);
    json_begin_object(w);
    json_name(w, "id");
    json_write_string(w, velocity_str(info->id));
    write_common(w, info);
    json_name(w, "idle_seconds");
    json_write_u64(w, info->idle_seconds);
    json_end_object(w);
    management_reply(request, MHD_HTTP_CREATED);
}

void transactions_post(struct http_request *request) {
    enum { ISOLATION, MEMBERS };
    static const char *const members[MEMBERS] = {"isolation"};
    struct form form;
    if (!request_parameters(request, NULL, 0, NULL)) return;
    struct begin *state = scratch_alloc(&request->scratch, sizeof *state);
    if (!state) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return;
    }
    request->state = state;
    form_begin(&form, request, members, MEMBERS);
    state->isolation = take_isolation(&form, ISOLATION);
    if (!form_end(&form, request)) return;
    request->service.remark = isolations[state->isolation];
    request_call(request, begin, begun);
}

/* ---- those that are open ----------------------------------------------------------------------------------------- */

static bool write_row(void *arg, const struct transaction_info *info) {
    struct json_writer *w = arg;
    json_begin_object(w);
    json_name(w, "id_prefix");
    json_write_string(w, velocity_bytes(info->id, TRANSACTION_PREFIX_BYTES));
    json_name(w, "user");
    if (info->user[0])
        json_write_string(w, velocity_str(info->user));
    else
        json_write_null(w);
    write_common(w, info);
    json_name(w, "begun_at");
    timestamp_write(w, info->begun_at_ms);
    json_end_object(w);
    return !w->failed;
}

static velocity_status write_open(struct http_request *request, const char *user) {
    struct json_writer *w = &request->writer;
    json_begin_object(w);
    json_name(w, "transactions");
    json_begin_array(w);
    transactions_list(service_transactions(http_server_service(request->server)), request->service.database_name, user,
                      write_row, w);
    json_end_array(w);
    json_end_object(w);
    return VELOCITY_OK;
}

void transactions_get(struct http_request *request) {
    owned_get(request, write_open);
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

/* The path's id. False: the reply says why not. */
static bool take_id(struct http_request *request) {
    velocity_slice id;
    if (!request_segment(request, &id)) return false;
    if (!transaction_id_is_good(id)) {
        reply_problem(request, PROBLEM_TRANSACTION_NOT_FOUND, "this is no id of a transaction");
        return false;
    }
    request->service.transaction_id = id;
    request->service.key = velocity_bytes(id.data, TRANSACTION_PREFIX_BYTES);
    return true;
}

static void committed(struct http_request *request) {
    const struct service_request *service = &request->service;
    struct json_writer *w = &request->writer;
    if (service->refusal == SERVICE_NO_REFUSAL && service->status == VELOCITY_CONFLICT) {
        reply_problem_with(request, PROBLEM_TRANSACTION_CONFLICT,
                           (struct problem){.detail = velocity_str(service_request_message(service)),
                                            .key = service->commit.lost_key});
        return;
    }
    if (service->status != VELOCITY_OK) {
        reply_failure(request, true);
        return;
    }
    json_begin_object(w);
    json_name(w, "version");
    json_write_u64_string(w, service->version);
    json_end_object(w);
    management_reply(request, MHD_HTTP_OK);
}

void transaction_commit_post(struct http_request *request) {
    if (!take_id(request) || !form_is_empty(request)) return;
    request->service.operation = SERVICE_COMMIT;
    request_run(request, committed);
}

static void rolled_back(struct http_request *request) {
    if (request->service.status == VELOCITY_OK)
        management_done(request);
    else
        reply_failure(request, false);
}

void transaction_delete(struct http_request *request) {
    if (!take_id(request)) return;
    request->service.operation = SERVICE_ROLLBACK;
    request_run(request, rolled_back);
}
