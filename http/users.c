/*
 * users.c - /api/users: who there is. Everything here is an admin's, and waits for the disk or the hashing thread: it
 * runs on the executor.
 */
#include "http/accounts.h"
#include "http/form.h"
#include "http/handlers.h"
#include "http/management.h"
#include "http/reply.h"
#include "http/server_internal.h"

#include <stdio.h>

static const struct meanings create_meanings = {PROBLEM_NOT_FOUND, PROBLEM_NAME_TAKEN, PROBLEM_OVERLOADED};
static const struct meanings change_meanings = {PROBLEM_NOT_FOUND, PROBLEM_LAST_ADMIN, PROBLEM_OVERLOADED};

/* What a request is about; in scratch. */
struct user_request {
    const char *name;
    const char *password; /* NULL: none */
    struct rights rights;
};

static struct user_request *state_new(struct http_request *request) {
    struct user_request *state = scratch_alloc(&request->scratch, sizeof *state);
    if (!state) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return NULL;
    }
    memset(state, 0, sizeof *state);
    request->state = state;
    return state;
}

/* ---- reading ---------------------------------------------------------------------------------------------------- */

static void list(struct http_request *request) {
    request->service.status = users_write(auth_of(request), &request->writer);
}

static void look(struct http_request *request) {
    const struct user_request *state = request->state;
    request->service.status = user_write(auth_of(request), state->name, &request->writer);
}

static void shown(struct http_request *request) {
    if (request->service.status == VELOCITY_OK)
        management_reply(request, MHD_HTTP_OK);
    else
        management_failure(request, &change_meanings);
}

void users_get(struct http_request *request) {
    if (request_parameters(request, NULL, 0, NULL)) request_call(request, list, shown);
}

/* The user whom the path names. NULL: the reply says why not. */
static struct user_request *named(struct http_request *request) {
    struct user_request *state = state_new(request);
    if (!state || !request_segment(request, &request->service.key)) return NULL;
    state->name = request->service.key.data;
    return state;
}

void user_get(struct http_request *request) {
    if (named(request)) request_call(request, look, shown);
}

/* ---- making ----------------------------------------------------------------------------------------------------- */

static void create(struct http_request *request) {
    const struct user_request *state = request->state;
    struct scope scope = {0};
    struct auth_user_change change = {.password = state->password, .role = state->rights.role, .scope = &scope};
    velocity_status status = rights_scope(&state->rights, NULL, &scope);
    if (status == VELOCITY_OK) status = auth_user_create(auth_of(request), state->name, &change);
    scope_free(&scope);
    request->service.status = status;
    if (status == VELOCITY_OK) look(request);
}

static void created(struct http_request *request) {
    const struct user_request *state = request->state;
    if (request->service.status != VELOCITY_OK) {
        management_failure(request, &create_meanings);
        return;
    }
    management_reply(request, MHD_HTTP_CREATED);
    size_t size = sizeof "/api/users/" + strlen(state->name);
    char *location = scratch_alloc(&request->scratch, size);
    if (!location || request->reply.status != MHD_HTTP_CREATED) return;
    (void)snprintf(location, size, "/api/users/%s", state->name); /* a name needs no escapes */
    reply_header(request, "Location", location);
}

enum { NAME, PASSWORD, RIGHTS, MEMBERS = RIGHTS + RIGHTS_COUNT };
static const char *const members[MEMBERS] = {"name", "password", RIGHTS_NAMES};

void users_post(struct http_request *request) {
    struct form form;
    if (!request_parameters(request, NULL, 0, NULL)) return;
    struct user_request *state = state_new(request);
    if (!state) return;
    form_begin(&form, request, members, MEMBERS);
    state->name = form_text(&form, NAME, FORM_REQUIRED, 1, AUTH_NAME_MAX);
    state->password = form_text(&form, PASSWORD, FORM_REQUIRED, AUTH_PASSWORD_MIN, AUTH_PASSWORD_MAX);
    rights_take(&form, RIGHTS, &state->rights);
    if (state->name) request->service.key = velocity_str(state->name);
    if (!form_end(&form, request)) return;
    request->service.remark = rights_remark(request, &state->rights, "");
    request_call(request, create, created);
}

/* ---- changing --------------------------------------------------------------------------------------------------- */

static velocity_status change_user(struct auth *auth, const struct user_request *state) {
    const struct rights *rights = &state->rights;
    struct scope scope = {0};
    struct auth_user_change change = {.password = state->password,
                                      .role = rights->role,
                                      .scope = rights_have_scope(rights) ? &scope : NULL,
                                      .keep_databases = !rights->has_databases,
                                      .keep_prefixes = !rights->has_prefixes};
    velocity_status status = rights_scope(rights, NULL, &scope);
    if (status == VELOCITY_OK) status = auth_user_change(auth, state->name, &change);
    scope_free(&scope);
    return status;
}

static void change(struct http_request *request) {
    const struct user_request *state = request->state;
    request->service.status = change_user(auth_of(request), state);
    if (request->service.status == VELOCITY_OK) look(request);
}

void user_patch(struct http_request *request) {
    struct form form;
    struct user_request *state = named(request);
    if (!state) return;
    /* The name stands in the path. */
    form_begin(&form, request, members + PASSWORD, MEMBERS - PASSWORD);
    state->password = form_text(&form, PASSWORD - PASSWORD, FORM_OPTIONAL, AUTH_PASSWORD_MIN, AUTH_PASSWORD_MAX);
    rights_take(&form, RIGHTS - PASSWORD, &state->rights);
    if (!form_end(&form, request)) return;
    request->service.remark = rights_remark(request, &state->rights, state->password ? "password changed" : "");
    request_call(request, change, shown);
}

/* ---- deleting --------------------------------------------------------------------------------------------------- */

static void delete_user(struct http_request *request) {
    const struct user_request *state = request->state;
    request->service.status = auth_user_delete(auth_of(request), state->name);
}

static void deleted(struct http_request *request) {
    if (request->service.status == VELOCITY_OK)
        management_done(request);
    else
        management_failure(request, &change_meanings);
}

void user_delete(struct http_request *request) {
    if (named(request)) request_call(request, delete_user, deleted);
}
