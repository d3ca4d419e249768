/*
 * tokens.c - /api/tokens: secrets for programs, shown once.
 *
 * What a token may do to others: one of an admin without a scope may do what its user may. Any other token makes no
 * tokens and revokes none but itself, so that who finds one can't entrench themselves or lock out the rest.
 */
#include "http/accounts.h"
#include "http/form.h"
#include "http/handlers.h"
#include "http/management.h"
#include "http/reply.h"
#include "http/server_internal.h"
#include "server/timestamp.h"

#define TOKEN_NAME_MAX    128
#define TOKEN_MAX_SECONDS (366 * INT64_C(86400))

static const struct meanings meanings = {PROBLEM_NOT_FOUND, PROBLEM_CONFLICT, PROBLEM_TOO_MANY};

/* In scratch. */
struct token_request {
    const char *user; /* whose; NULL: everyone's */
    const char *id, *name;
    struct rights rights;
    int64_t expires_at_ms;
};

static struct token_request *state_new(struct http_request *request) {
    struct token_request *state = scratch_alloc(&request->scratch, sizeof *state);
    if (!state) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return NULL;
    }
    memset(state, 0, sizeof *state);
    request->state = state;
    return state;
}

static bool is_weak_token(const struct http_request *request) {
    return request->principal->login == LOGIN_TOKEN && !is_admin(request);
}

/* ---- listing ---------------------------------------------------------------------------------------------------- */

static velocity_status list(struct http_request *request, const char *user) {
    return tokens_write(auth_of(request), user, &request->writer);
}

void tokens_get(struct http_request *request) {
    owned_get(request, list);
}

/* ---- making ----------------------------------------------------------------------------------------------------- */

static void create(struct http_request *request) {
    const struct token_request *state = request->state;
    struct scope scope = {0};
    struct auth_secret_options options = {.name = state->name,
                                          .role = state->rights.role,
                                          .expires_at_ms = state->expires_at_ms,
                                          .by = request->principal};
    char secret[AUTH_SECRET_BYTES];
    struct auth_secret token;
    velocity_status status = VELOCITY_OK;
    if (rights_have_scope(&state->rights)) {
        /* What is not said is as it is for who asks. */
        status = rights_scope(&state->rights, &request->principal->scope, &scope);
        options.scope = &scope;
    }
    if (status == VELOCITY_OK) status = auth_token_create(auth_of(request), state->user, &options, secret, &token);
    scope_free(&scope);
    if (status == VELOCITY_OK) {
        token_write_new(&request->writer, &token, secret);
        principal_release(token.principal);
    }
    explicit_bzero(secret, sizeof secret);
    request->service.status = status;
}

static void created(struct http_request *request) {
    if (request->service.status == VELOCITY_OK)
        management_reply(request, MHD_HTTP_CREATED);
    else
        management_failure(request, &meanings);
}

/* False: nobody may make a token like that, and the reply says why. */
static bool may_create(struct http_request *request) {
    if (request->principal->login == LOGIN_OPEN) {
        reply_problem(request, PROBLEM_FORBIDDEN, "a token belongs to a user, and there are none yet");
        return false;
    }
    if (!is_weak_token(request)) return true;
    reply_problem(request, PROBLEM_FORBIDDEN, "a token makes tokens only where it is an admin's without a scope");
    return false;
}

void tokens_post(struct http_request *request) {
    enum { NAME, EXPIRES, RIGHTS, MEMBERS = RIGHTS + RIGHTS_COUNT };
    static const char *const members[MEMBERS] = {"name", "expires_in_seconds", RIGHTS_NAMES};
    struct form form;
    int64_t seconds = 0;
    if (!request_parameters(request, NULL, 0, NULL) || !may_create(request)) return;
    struct token_request *state = state_new(request);
    if (!state) return;
    form_begin(&form, request, members, MEMBERS);
    state->name = form_text(&form, NAME, FORM_REQUIRED, 1, TOKEN_NAME_MAX);
    if (form_i64(&form, EXPIRES, FORM_OPTIONAL, 1, TOKEN_MAX_SECONDS, &seconds))
        state->expires_at_ms = timestamp_now() + seconds * 1000;
    rights_take(&form, RIGHTS, &state->rights);
    if (!form_end(&form, request)) return;
    state->user = request->principal->user;
    request->service.key = velocity_str(state->name);
    request->service.remark = rights_remark(request, &state->rights, "");
    request_call(request, create, created);
}

/* ---- revoking --------------------------------------------------------------------------------------------------- */

static void revoke_token(struct http_request *request) {
    const struct token_request *state = request->state;
    request->service.status = auth_token_revoke(auth_of(request), state->user, state->id);
}

static void revoked(struct http_request *request) {
    if (request->service.status == VELOCITY_OK)
        management_done(request);
    else
        management_failure(request, &meanings);
}

void token_delete(struct http_request *request) {
    struct token_request *state = state_new(request);
    if (!state || !request_segment(request, &request->service.key)) return;
    state->id = request->service.key.data;
    state->user = is_admin(request) ? NULL : request->principal->user;
    if (is_weak_token(request) && strcmp(state->id, request->principal->id) != 0) {
        reply_problem(request, PROBLEM_FORBIDDEN, "this token may revoke itself and no other");
        return;
    }
    request_call(request, revoke_token, revoked);
}
