/*
 * login.c - /api/sessions and /api/whoami: names and passwords become secrets that end by themselves.
 *
 *     POST /api/sessions --> request->check -- the hashing thread --> checked --> executor: auth_session_create
 *
 * A session is a bearer token, or for a browser a cookie with a CSRF token, which unsafe requests must repeat.
 */
#include "http/accounts.h"
#include "http/credentials.h"
#include "http/form.h"
#include "http/handlers.h"
#include "http/management.h"
#include "http/reply.h"
#include "http/server_internal.h"
#include "server/timestamp.h"

#include <stdio.h>

static const struct meanings meanings = {PROBLEM_NOT_FOUND, PROBLEM_CONFLICT, PROBLEM_TOO_MANY};
static const struct meanings password_meanings = {PROBLEM_NOT_FOUND, PROBLEM_CONFLICT, PROBLEM_OVERLOADED};

/* In scratch. */
struct login_request {
    const char *user, *id;
    const char *old, *password; /* of who changes the own one; NULL: nobody does */
    bool cookie;
    char keep[LOGIN_ID_BYTES]; /* the session that asks; "": none */
    char secret[AUTH_SECRET_BYTES];
    int64_t expires_at_ms;
    struct principal *before; /* who asks held it, before the password said who it is */
    void (*next)(struct http_request *request);
};

static struct login_request *state_new(struct http_request *request) {
    struct login_request *login = scratch_alloc(&request->scratch, sizeof *login);
    if (!login) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return NULL;
    }
    memset(login, 0, sizeof *login);
    login->before = request->own_principal;
    request->state = login;
    return login;
}

/* ---- a password ------------------------------------------------------------------------------------------------- */

static void judge(struct http_request *request, enum credentials_result result) {
    struct login_request *login = request->state;
    switch (result) {
    case CREDENTIALS_WAITING:
        request->stage = REQUEST_WAITING;
        request_wait(request);
        break;
    case CREDENTIALS_REFUSED: break; /* the reply is set */
    case CREDENTIALS_WRONG:
        /* Who asks is logged in; a 401 would tell a browser that they are not. */
        if (login->old)
            reply_problem(request, PROBLEM_FORBIDDEN, "old_password is wrong");
        else
            reply_problem(request, PROBLEM_LOGIN_REFUSED, NULL);
        break;
    case CREDENTIALS_KNOWN:
        /* From now on the request is its user's, for the audit log, too. */
        request->service.caller.principal = request->principal;
        principal_release(login->before);
        login->before = NULL;
        login->next(request);
        break;
    }
}

static void checked(struct http_request *request) {
    judge(request, credentials_answer(request));
}

/* `next` runs once the password is known to be the user's; the bytes of `password` are overwritten by then. */
static void check_password(struct http_request *request, const char *user, const char *password,
                           void (*next)(struct http_request *request)) {
    struct login_request *login = request->state;
    struct auth_check *check = scratch_alloc(&request->scratch, sizeof *check);
    if (!check) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return;
    }
    memset(check, 0, sizeof *check);
    check->user = velocity_str(user);
    check->password = velocity_str(password);
    login->next = next;
    request->check = check;
    request->finish = checked;
    judge(request, credentials_password(request));
}

/* ---- logging in ------------------------------------------------------------------------------------------------- */

static void create_session(struct http_request *request) {
    struct login_request *login = request->state;
    struct json_writer *w = &request->writer;
    struct auth_secret session;
    struct auth_secret_options options = {.role = -1, .browser = login->cookie};
    request->service.status =
        auth_session_create(auth_of(request), request->principal, &options, login->secret, &session);
    if (request->service.status != VELOCITY_OK) return;
    login->expires_at_ms = session.expires_at_ms;
    json_begin_object(w);
    secret_write(w, &session);
    json_name(w, login->cookie ? "csrf_token" : "token");
    json_write_string(w, velocity_str(login->cookie ? session.csrf : login->secret));
    json_end_object(w);
    principal_release(session.principal);
}

static void logged_in(struct http_request *request) {
    struct login_request *login = request->state;
    if (request->service.status == VELOCITY_OK) {
        management_reply(request, MHD_HTTP_CREATED);
        if (login->cookie && request->reply.status == MHD_HTTP_CREATED)
            credentials_set_cookie(request, login->secret, (login->expires_at_ms - timestamp_now()) / 1000);
    } else {
        management_failure(request, &meanings);
    }
}

static void open_session(struct http_request *request) {
    request_call(request, create_session, logged_in);
}

void sessions_post(struct http_request *request) {
    enum { USERNAME, PASSWORD, COOKIE, MEMBERS };
    static const char *const members[MEMBERS] = {"username", "password", "cookie"};
    struct form form;
    if (!request_parameters(request, NULL, 0, NULL)) return;
    struct login_request *login = state_new(request);
    if (!login) return;
    form_begin(&form, request, members, MEMBERS);
    login->user = form_text(&form, USERNAME, FORM_REQUIRED, 1, AUTH_NAME_MAX);
    const char *password = form_text(&form, PASSWORD, FORM_REQUIRED, 1, AUTH_PASSWORD_MAX);
    (void)form_bool(&form, COOKIE, FORM_OPTIONAL, &login->cookie);
    if (login->user) request->service.key = velocity_str(login->user);
    if (form_end(&form, request)) check_password(request, login->user, password, open_session);
}

/* ---- sessions --------------------------------------------------------------------------------------------------- */

static velocity_status list(struct http_request *request, const char *user) {
    return sessions_write(auth_of(request), user, request->principal->id, &request->writer);
}

void sessions_get(struct http_request *request) {
    owned_get(request, list);
}

static void end_session(struct http_request *request) {
    const struct login_request *login = request->state;
    request->service.status = auth_session_end(auth_of(request), login->user, login->id);
}

static void ended(struct http_request *request) {
    const struct login_request *login = request->state;
    if (request->service.status != VELOCITY_OK) {
        management_failure(request, &meanings);
        return;
    }
    management_done(request);
    if (request->principal->by_cookie_allowed && strcmp(login->id, request->principal->id) == 0)
        credentials_set_cookie(request, "", 0);
}

void session_delete(struct http_request *request) {
    const struct principal *principal = request->principal;
    struct login_request *login = state_new(request);
    if (!login || !request_segment(request, &request->service.key)) return;
    login->id = request->service.key.data;
    login->user = is_admin(request) ? NULL : principal->user;
    if (strcmp(login->id, "current") == 0) {
        if (principal->login != LOGIN_SESSION) {
            reply_problem(request, PROBLEM_NOT_FOUND, "this request did not come with a session");
            return;
        }
        login->id = principal->id;
        request->service.key = velocity_str(principal->id);
    }
    if (principal->login == LOGIN_TOKEN && !is_admin(request)) {
        reply_problem(request, PROBLEM_FORBIDDEN, "a token ends no sessions, unless it is an admin's without a scope");
        return;
    }
    request_call(request, end_session, ended);
}

/* ---- whoami ----------------------------------------------------------------------------------------------------- */

void whoami_get(struct http_request *request) {
    static const char *const logins[] = {
        [LOGIN_OPEN] = "open", [LOGIN_PASSWORD] = "password", [LOGIN_TOKEN] = "token", [LOGIN_SESSION] = "session"};
    const struct principal *principal = request->principal;
    struct json_writer *w = &request->writer;
    if (!request_parameters(request, NULL, 0, NULL)) return;
    json_begin_object(w);
    json_name(w, "user");
    if (principal->login == LOGIN_OPEN)
        json_write_null(w);
    else
        json_write_string(w, velocity_str(principal->user));
    rights_write(w, principal->role, &principal->scope);
    json_name(w, "login");
    json_write_string(w, velocity_str(logins[principal->login]));
    if (principal->login == LOGIN_TOKEN || principal->login == LOGIN_SESSION) {
        json_name(w, "id");
        json_write_string(w, velocity_str(principal->id));
        json_name(w, "expires_at");
        timestamp_write(w, principal->expires_at_ms);
    }
    if (principal->csrf[0]) { /* a page that was loaded anew asks for it */
        request->secret = true;
        json_name(w, "csrf_token");
        json_write_string(w, velocity_str(principal->csrf));
    }
    json_name(w, "users_configured");
    json_write_bool(w, auth_has_users(auth_of(request)));
    json_end_object(w);
    management_reply(request, MHD_HTTP_OK);
}

/* ---- the own password -------------------------------------------------------------------------------------------- */

static void change_password(struct http_request *request) {
    struct login_request *login = request->state;
    request->service.status = auth_own_password(auth_of(request), login->user, login->old, login->password,
                                                login->keep[0] ? login->keep : NULL);
}

static void changed(struct http_request *request) {
    if (request->service.status == VELOCITY_OK)
        management_done(request);
    else
        management_failure(request, &password_meanings);
}

static void set_password(struct http_request *request) {
    request_call(request, change_password, changed);
}

/* False: who asks has no password to change, and the reply says so. */
static bool may_change(struct http_request *request) {
    const char *reason = NULL;
    if (request->principal->login == LOGIN_OPEN) reason = "there are no users yet";
    if (request->principal->login == LOGIN_TOKEN) reason = "a token does not change its user's password";
    if (reason) reply_problem(request, PROBLEM_FORBIDDEN, "%s", reason);
    return !reason;
}

/* The old password is asked for like at a login, so that guesses count and lead to a ban. */
void whoami_password_put(struct http_request *request) {
    enum { OLD, NEW, MEMBERS };
    static const char *const members[MEMBERS] = {"old_password", "password"};
    struct form form;
    if (!request_parameters(request, NULL, 0, NULL) || !may_change(request)) return;
    struct login_request *login = state_new(request);
    if (!login) return;
    form_begin(&form, request, members, MEMBERS);
    const char *shown = form_text(&form, OLD, FORM_REQUIRED, 1, AUTH_PASSWORD_MAX);
    login->old = form_text(&form, OLD, FORM_REQUIRED, 1, AUTH_PASSWORD_MAX);
    login->password = form_text(&form, NEW, FORM_REQUIRED, AUTH_PASSWORD_MIN, AUTH_PASSWORD_MAX);
    velocity_slice user;
    if (!scratch_copy(&request->scratch, velocity_str(request->principal->user), &user))
        form_refuse(&form, "no memory");
    if (!form_end(&form, request)) return;
    login->user = user.data;
    if (request->principal->login == LOGIN_SESSION) memcpy(login->keep, request->principal->id, sizeof login->keep);
    request->service.key = user;
    check_password(request, login->user, shown, set_password);
}
