/*
 * credentials.c - see credentials.h. A field that is there and wrong is refused, never ignored: who shows a token that
 * was revoked must not be served as nobody. Only a cookie may be ignored, where nobody has to be logged in: a browser
 * sends it by itself, and whose session was ended elsewhere could not log in again.
 */
#include "http/credentials.h"

#include "http/headers.h"
#include "http/reply.h"
#include "http/server_internal.h"
#include "server/base64.h"

#include <stdio.h>
#include <strings.h>
#include <time.h>

#define BASIC_MAX_BYTES (AUTH_NAME_MAX + AUTH_PASSWORD_MAX + 1)

void credentials_forget(struct credentials *credentials) {
    principal_release(credentials->principal);
    explicit_bzero(credentials->bytes, sizeof credentials->bytes);
    credentials->principal = NULL;
    credentials->size = 0;
}

static int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static enum credentials_result refuse(struct http_request *request, enum problem_code code, const char *reason) {
    reply_problem(request, code, "%s", reason);
    return CREDENTIALS_REFUSED;
}

/* ---- what a connection remembers --------------------------------------------------------------------------------- */

static bool is_remembered(const struct credentials *memory, struct auth *auth, velocity_slice field, bool by_cookie) {
    if (!memory->principal || memory->by_cookie != by_cookie || memory->size != field.size ||
        memory->generation != auth_generation(auth))
        return false;
    if (field.size && memcmp(memory->bytes, field.data, field.size) != 0) return false;
    return !memory->principal->expires_at_ms || memory->principal->expires_at_ms > now_ms();
}

/* Takes the reference over. `generation` is from before the look, so that a change meanwhile makes it worthless. */
static void remember(struct http_request *request, velocity_slice field, bool by_cookie, uint64_t generation,
                     struct principal *principal) {
    struct credentials *memory = &request->connection->credentials;
    request->principal = principal;
    if (field.size > sizeof memory->bytes) {
        request->own_principal = principal;
        return;
    }
    credentials_forget(memory);
    memory->principal = principal;
    memory->generation = generation;
    memory->by_cookie = by_cookie;
    memory->size = (uint32_t)field.size;
    if (field.size) memcpy(memory->bytes, field.data, field.size);
}

/* ---- one kind each ----------------------------------------------------------------------------------------------- */

/* In the audit log the failure that led to a ban says so. */
static void remark_ban(struct http_request *request, uint32_t seconds) {
    size_t size = sizeof "banned for 4294967295 seconds";
    char *text = scratch_alloc(&request->scratch, size);
    if (text) (void)snprintf(text, size, "banned for %u seconds", (unsigned)seconds);
    request->service.remark = text;
}

/* What auth said, but for OK. */
static enum credentials_result turned_away(struct http_request *request, enum auth_result result,
                                           uint32_t retry_after_seconds) {
    if (result == AUTH_REFUSED) {
        if (retry_after_seconds) remark_ban(request, retry_after_seconds);
        return CREDENTIALS_WRONG;
    }
    request->retry_after_seconds = retry_after_seconds;
    if (result == AUTH_BANNED) {
        const struct service_caller caller = request_caller(request);
        /* Of who is logged in there is a row. */
        if (!request->principal) service_count_refusal(request->server->service, &caller);
        return refuse(request, PROBLEM_BANNED, "too many wrong credentials came from there");
    }
    return refuse(request, PROBLEM_OVERLOADED, "too many passwords wait to be checked");
}

static bool is_unsafe(const struct http_request *request) {
    return request->method != HTTP_GET && request->method != HTTP_HEAD;
}

/* A browser sends its cookie whoever made it ask; what the page must repeat it tells to its own site only. */
static bool csrf_holds(const struct http_request *request, const struct principal *principal) {
    velocity_slice shown = request->headers.csrf;
    size_t size = strlen(principal->csrf);
    if (size == 0 || shown.size != size) return false;
    unsigned char differs = 0;
    for (size_t i = 0; i < size; i++)
        differs |= (unsigned char)(((const unsigned char *)shown.data)[i] ^ (unsigned char)principal->csrf[i]);
    return differs == 0;
}

static enum credentials_result check_secret(struct http_request *request, velocity_slice secret,
                                            struct principal **out) {
    struct auth *auth = service_auth(request->server->service);
    uint32_t retry_after_seconds = 0;
    enum auth_result result = auth_bearer(auth, secret, request->address, out, &retry_after_seconds);
    return result == AUTH_OK ? CREDENTIALS_KNOWN : turned_away(request, result, retry_after_seconds);
}

/* A reply that asks to log in takes a cookie back whose session has ended. */
static enum credentials_result check_cookie(struct http_request *request, velocity_slice secret,
                                            struct principal **out) {
    if (auth_cookie(service_auth(request->server->service), secret, out) == AUTH_OK) return CREDENTIALS_KNOWN;
    request->cookie_ended = true;
    bool needed = request->match.route->action.permission != PERMISSION_NONE;
    return needed ? CREDENTIALS_WRONG : CREDENTIALS_KNOWN;
}

/* What can't be anyone's counts like a wrong secret, so that who goes on with it is banned. */
static enum credentials_result check_nonsense(struct http_request *request) {
    struct principal *nobody = NULL;
    return check_secret(request, velocity_bytes("", 0), &nobody);
}

/* "name:password" in base64, checked on the hashing thread where it is not remembered. */
static enum credentials_result check_basic(struct http_request *request, velocity_slice text) {
    struct auth_check *check = scratch_alloc(&request->scratch, sizeof *check);
    char *plain = scratch_alloc(&request->scratch, base64_decoded_max(text.size) + 1);
    size_t size = 0;
    if (!check || !plain) return refuse(request, PROBLEM_OVERLOADED, "no memory");
    if (!base64_decode(text, plain, &size) || size > BASIC_MAX_BYTES) return check_nonsense(request);
    const char *colon = memchr(plain, ':', size);
    if (!colon) return check_nonsense(request);
    size_t name = (size_t)(colon - plain);
    memset(check, 0, sizeof *check);
    check->user = velocity_bytes(plain, name);
    check->password = velocity_bytes(colon + 1, size - name - 1);
    request->check = check;
    return credentials_password(request);
}

static void checked(struct auth_check *check) {
    request_wake(check->front);
}

enum credentials_result credentials_password(struct http_request *request) {
    struct auth_check *check = request->check;
    check->address = request->address;
    check->done = checked;
    check->front = request;
    request->secret = true;
    request_wait_begin(request);
    if (!auth_password(service_auth(request->server->service), check)) return CREDENTIALS_WAITING;
    return credentials_answer(request);
}

/* ---- the fields ---------------------------------------------------------------------------------------------------
 */

/* The rest behind "Scheme " where the field has this scheme. */
static bool take_scheme(velocity_slice field, const char *scheme, velocity_slice *rest) {
    size_t size = strlen(scheme);
    const char *text = field.data;
    if (field.size <= size || strncasecmp(text, scheme, size) != 0 || text[size] != ' ') return false;
    *rest = header_trim(velocity_bytes(text + size + 1, field.size - size - 1));
    return true;
}

/* The value of the cookie with this server's name; the port is in it, because cookies know none (RFC 6265, 8.5). */
static bool take_cookie(const struct http_request *request, velocity_slice *value) {
    char name[CREDENTIALS_COOKIE_BYTES];
    credentials_cookie_name(request, name);
    size_t name_size = strlen(name);
    const char *p = request->headers.cookie.data, *end = p + request->headers.cookie.size;
    while (p && p < end) {
        const char *semicolon = memchr(p, ';', (size_t)(end - p)), *stop = semicolon ? semicolon : end;
        while (p < stop && (*p == ' ' || *p == '\t')) p++;
        if ((size_t)(stop - p) > name_size && memcmp(p, name, name_size) == 0 && p[name_size] == '=') {
            *value = header_trim(velocity_bytes(p + name_size + 1, (size_t)(stop - p) - name_size - 1));
            return true;
        }
        p = semicolon ? semicolon + 1 : end;
    }
    return false;
}

void credentials_cookie_name(const struct http_request *request, char out[CREDENTIALS_COOKIE_BYTES]) {
    (void)snprintf(out, CREDENTIALS_COOKIE_BYTES, "%svelocity_%u", request->secure ? "__Host-" : "",
                   (unsigned)acceptor_port(request->server->acceptor));
}

void credentials_set_cookie(struct http_request *request, const char *secret, int64_t seconds) {
    char name[CREDENTIALS_COOKIE_BYTES];
    size_t size = CREDENTIALS_COOKIE_BYTES + AUTH_SECRET_BYTES + 100;
    char *cookie = scratch_alloc(&request->scratch, size);
    if (!cookie) return;
    credentials_cookie_name(request, name);
    (void)snprintf(cookie, size, "%s=%s; Path=/; Max-Age=%lld; HttpOnly; SameSite=Strict%s", name, secret,
                   (long long)seconds, request->secure ? "; Secure" : "");
    reply_header(request, "Set-Cookie", cookie);
}

/* Without a user everyone on this machine is admin, whatever they show. */
static enum credentials_result nobody(struct http_request *request, struct auth *auth, uint64_t generation) {
    static const velocity_slice nothing = {"", 0};
    if (!request->loopback) return CREDENTIALS_KNOWN;
    struct credentials *memory = &request->connection->credentials;
    if (is_remembered(memory, auth, nothing, false))
        request->principal = memory->principal;
    else
        remember(request, nothing, false, generation, auth_nobody(auth));
    return CREDENTIALS_KNOWN;
}

enum credentials_result credentials_check(struct http_request *request) {
    struct auth *auth = service_auth(request->server->service);
    uint64_t generation = auth_generation(auth);
    if (!auth_has_users(auth)) return nobody(request, auth, generation);
    velocity_slice field = request->headers.authorization, secret;
    struct credentials *memory = &request->connection->credentials;
    bool by_cookie = !field.data;
    if (by_cookie && !take_cookie(request, &field)) return CREDENTIALS_KNOWN;
    if (field.size && is_remembered(memory, auth, field, by_cookie)) {
        request->principal = memory->principal;
    } else {
        struct principal *principal = NULL;
        if (!by_cookie && take_scheme(field, "Basic", &secret)) return check_basic(request, secret);
        if (!by_cookie && !take_scheme(field, "Bearer", &secret)) return check_nonsense(request);
        enum credentials_result result =
            by_cookie ? check_cookie(request, field, &principal) : check_secret(request, secret, &principal);
        if (!principal) return result;
        remember(request, field, by_cookie, generation, principal);
    }
    if (!by_cookie || !is_unsafe(request) || csrf_holds(request, request->principal)) return CREDENTIALS_KNOWN;
    request_note_refusal(request, PROBLEM_CSRF, request->match.route->action.name);
    return refuse(request, PROBLEM_CSRF, "with a cookie an unsafe request must repeat its Velocity-CSRF token");
}

enum credentials_result credentials_answer(struct http_request *request) {
    struct auth_check *check = request->check;
    struct principal *principal = check->principal;
    check->principal = NULL;
    explicit_bzero((void *)(uintptr_t)check->password.data, check->password.size);
    if (check->result != AUTH_OK) return turned_away(request, check->result, check->retry_after_seconds);
    /* Not remembered by the connection: auth does that, and forgets it in time. */
    request->principal = request->own_principal = principal;
    return CREDENTIALS_KNOWN;
}
