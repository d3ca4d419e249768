/*
 * admit.c - see admit.h. In this order: is it well-formed, who sends it from where (a proxy's word counts where it is
 * trusted), over TLS where that is asked for, is it meant for us (Host), does a foreign page send it (Origin), is there
 * such a thing (route); then who is it, may they (service_admit), does its body fit.
 */
#include "http/admit.h"

#include "http/credentials.h"
#include "http/forwarded.h"
#include "http/headers.h"
#include "http/reply.h"
#include "http/server_internal.h"
#include "server/timestamp.h"

#include <strings.h>

static bool refuse(struct http_request *request, enum problem_code code, const char *reason) {
    reply_problem(request, code, "%s", reason);
    return false;
}

/* ---- request id ------------------------------------------------------------------------------------------------- */

static bool id_is_good(velocity_slice id) {
    if (id.size == 0 || id.size > REQUEST_ID_MAX_BYTES) return false;
    const char *p = id.data;
    for (size_t i = 0; i < id.size; i++) {
        bool alphanumeric = (p[i] >= '0' && p[i] <= '9') || ((p[i] | 32) >= 'a' && (p[i] | 32) <= 'z');
        if (!alphanumeric && !strchr("-_.:/+=", p[i])) return false;
    }
    return true;
}

/* Takes the client's if it is harmless, else makes one. */
static void name_request(struct http_request *request) {
    static const char digits[16] = "0123456789abcdef";
    velocity_slice given = header_trim(request->headers.request_id), copy;
    if (given.data && id_is_good(given) && scratch_copy(&request->scratch, given, &copy)) {
        request->id = copy.data;
        return;
    }
    uint64_t number = request->worker->id_prefix + request->worker->next_id++;
    for (int i = 15; i >= 0; i--, number >>= 4) request->own_id[i] = digits[number & 15];
    request->own_id[16] = 0;
    request->id = request->own_id;
}

/* ---- the client -------------------------------------------------------------------------------------------------- */

/* Of the addresses in a list - X-Forwarded-For's, where `plain`, else Forwarded's - the last that is not a trusted
 * proxy's own. False: none is an address. */
static bool find_in(velocity_slice list, bool plain, const struct http_settings *settings, struct in6_addr *client,
                    velocity_slice *protocol) {
    velocity_slice element, name;
    bool found = false;
    while (forwarded_last(&list, &element)) {
        name = element;
        if (!plain && !forwarded_parameter(element, "for", &name)) return false;
        if (!plain && !protocol->data) (void)forwarded_parameter(element, "proto", protocol);
        if (!network_address(name, client)) return false;
        if (!http_settings_trusts(settings, client)) return true;
        found = true;
    }
    return found;
}

/* Whom the trusted proxy names. A proxy adds to one of the two fields and may pass on the other as its client sent it:
 * where both are there and name two clients, nobody can tell which one lies. */
static bool find_client(struct http_request *request, const struct http_settings *settings, struct in6_addr *client,
                        velocity_slice *protocol) {
    const struct request_headers *headers = &request->headers;
    velocity_slice plain = headers->forwarded_for, standard = headers->forwarded_field, unused = {0};
    struct in6_addr other;
    if (plain.data) {
        *protocol = headers->forwarded_proto;
        if (!find_in(plain, true, settings, client, protocol)) return false;
        if (!standard.data) return true;
        return find_in(standard, false, settings, &other, &unused) && memcmp(&other, client, sizeof other) == 0;
    }
    *protocol = velocity_bytes(NULL, 0);
    if (!find_in(standard, false, settings, client, protocol)) return false;
    if (!protocol->data) *protocol = headers->forwarded_proto;
    return true;
}

/* Who is it, and did they come over TLS? A proxy's word counts only from where it is trusted. */
static bool judge_client(struct http_request *request) {
    const struct http_settings *settings = http_server_settings(request->server);
    const struct peer *peer = request->connection->peer;
    struct in6_addr address;
    velocity_slice protocol;
    request->address = peer->text;
    request->loopback = peer->loopback;
    request->secure = peer->tls;
    if (!request->headers.forwarded) return true;
    if (!auth_has_users(service_auth(request->server->service)))
        return refuse(request, PROBLEM_FOREIGN_HOST, "the request was forwarded by a proxy, and there are no users");
    if (!network_of_socket(&peer->address, &address) || !http_settings_trusts(settings, &address)) return true;
    if (!find_client(request, settings, &address, &protocol))
        return refuse(request, PROBLEM_INVALID_HEADER,
                      "the proxy does not say for whose address it stands, or says two things");
    char *text = scratch_alloc(&request->scratch, NETWORK_TEXT_BYTES);
    if (!text) return refuse(request, PROBLEM_OVERLOADED, "no memory");
    network_format(&address, text);
    request->address = text;
    request->loopback = network_is_loopback(&address);
    if (protocol.data) request->secure = header_is(protocol, "https");
    return true;
}

static bool admit_plaintext(struct http_request *request) {
    if (request->secure || request->loopback || http_server_settings(request->server)->allow_plaintext) return true;
    return refuse(request, PROBLEM_TLS_REQUIRED, "use https, or set server.allow_plaintext");
}

/* ---- Host ------------------------------------------------------------------------------------------------------- */

/* Without users the name is all that keeps other sites' pages out. With users and no list every name is as good: what
 * a foreign page can make a browser send has no credentials of this server. */
static bool host_is_ours(struct http_request *request, velocity_slice value) {
    const struct http_settings *settings = http_server_settings(request->server);
    struct host host;
    if (!host_parse(value, &host)) return false;
    if (settings->allowed_host_count == 0 && auth_has_users(service_auth(request->server->service))) return true;
    if (host_is_loopback(&host)) return request->loopback;
    for (size_t i = 0; i < settings->allowed_host_count; i++)
        if (host_is(&host, settings->allowed_hosts[i])) return true;
    return false;
}

static bool admit_host(struct http_request *request) {
    const struct request_headers *headers = &request->headers;
    if (request->target.authority.size && !host_is_ours(request, request->target.authority))
        return refuse(request, PROBLEM_FOREIGN_HOST, "the target's host is not one of this server");
    /* HTTP/1.1 without Host does not come this far; HTTP/1.0 knows none. */
    if (!headers->host.data || host_is_ours(request, headers->host)) return true;
    return refuse(request, PROBLEM_FOREIGN_HOST, "Host is neither a loopback name nor in allowed_hosts");
}

/* ---- other sites' pages ------------------------------------------------------------------------------------------ */

static bool origin_is_host(velocity_slice origin, velocity_slice host) {
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < 2; i++) {
        size_t scheme = strlen(schemes[i]);
        if (origin.size == scheme + host.size && strncasecmp(origin.data, schemes[i], scheme) == 0 &&
            strncasecmp((const char *)origin.data + scheme, host.data, host.size) == 0)
            return host.size > 0;
    }
    return false;
}

/* Whose page it was goes to the audit log, where it is said. */
static bool refuse_page(struct http_request *request, const char *reason) {
    velocity_slice origin = header_trim(request->headers.origin), text = {0};
    bool named = origin.size && scratch_copy(&request->scratch, origin, &text);
    request_note_refusal(request, PROBLEM_CROSS_SITE, named ? text.data : reason);
    return refuse(request, PROBLEM_CROSS_SITE, reason);
}

/* Browsers say where an unsafe request comes from, and a page cannot make them lie. */
static bool admit_origin(struct http_request *request) {
    const struct request_headers *headers = &request->headers;
    velocity_slice origin = header_trim(headers->origin);
    if (origin.size && http_settings_has_origin(http_server_settings(request->server), origin)) {
        request->cors_origin = origin;
        return true;
    }
    if (request->method == HTTP_GET || request->method == HTTP_HEAD) return true;
    if (headers->fetch_site.data && !header_is(headers->fetch_site, "same-origin") &&
        !header_is(headers->fetch_site, "none"))
        return refuse_page(request, "Sec-Fetch-Site is neither same-origin nor none");
    if (origin.size && header_is(origin, http_server_settings(request->server)->external_origin)) return true;
    if (headers->origin.data && !origin_is_host(origin, header_trim(headers->host)))
        return refuse_page(request, "Origin is not this server's");
    return true;
}

/* What a browser asks before it lets another site's page send a request (Fetch standard, "CORS-preflight fetch"). */
static bool answer_preflight(struct http_request *request) {
    request->reply.status = MHD_HTTP_NO_CONTENT;
    reply_header(request, "Access-Control-Allow-Methods", "GET, HEAD, PUT, POST, DELETE, PATCH");
    reply_header(
        request, "Access-Control-Allow-Headers",
        "Authorization, Content-Type, If-Match, If-None-Match, If-Range, Range, X-Request-Id, Velocity-Transaction, "
        "Last-Event-ID");
    reply_header(request, "Access-Control-Max-Age", "600");
    return false;
}

/* ---- route and body ---------------------------------------------------------------------------------------------- */

static uint64_t body_limit(const struct http_request *request) {
    const struct route *route = request->match.route;
    if (route->body == BODY_PIECES) return route->pieces->limit(request);
    if (route->body != BODY_FORM && route->body != BODY_FORM_OPTIONAL) return request->server->max_value_bytes;
    return route->action.permission == PERMISSION_NONE ? ROUTE_STRANGER_FORM_BYTES : ROUTE_FORM_BYTES;
}

static bool admit_route(struct http_request *request) {
    struct route_match *match = &request->match;
    route_find(request->method, request->target.path, match);
    if (match->allowed && request->method == HTTP_OPTIONS && request->cors_origin.size &&
        request->headers.request_method.data)
        return answer_preflight(request);
    if (!match->route && match->allowed) {
        char allow[ROUTE_ALLOW_BYTES];
        route_allow(match->allowed, allow);
        reply_problem(request, PROBLEM_METHOD_NOT_ALLOWED, "it takes %s", allow);
        return false;
    }
    if (!match->route) return refuse(request, PROBLEM_NOT_FOUND, "there is no such path");
    if (match->route->body == BODY_NONE) return true;
    request->body.limit = body_limit(request);
    return true;
}

/* What says that its body is not the whole, or not as it is to be kept: taken for that it would replace what it was to
 * be a part of, or come back as something else (RFC 9110, sections 14.5 and 15.5.16). */
static bool admit_content(struct http_request *request) {
    const struct request_headers *headers = &request->headers;
    if (request->match.route->body == BODY_NONE) return true;
    if (headers->content_range.data)
        return refuse(request, PROBLEM_INVALID_HEADER, "a body with a Content-Range is a part; only a whole is taken");
    if (!headers->content_encoding.data || header_is(header_trim(headers->content_encoding), "identity")) return true;
    return refuse(request, PROBLEM_UNSUPPORTED_MEDIA_TYPE, "a body with a Content-Encoding is not taken");
}

static bool admit_body(struct http_request *request) {
    const struct request_headers *headers = &request->headers;
    const struct route *route = request->match.route;
    bool needed = route_needs_body(route);
    if (headers->expect.data && !header_is(headers->expect, "100-continue"))
        return refuse(request, PROBLEM_EXPECTATION_FAILED, "only 100-continue can be expected");
    if (needed && !headers->has_content_length && !headers->chunked)
        return refuse(request, PROBLEM_LENGTH_REQUIRED, "a body must come with it");
    if (route->body == BODY_PIECES) return true; /* of any size */
    if (headers->has_content_length && headers->content_length > request->body.limit) {
        reply_problem(request, PROBLEM_TOO_LARGE, "a body of %llu bytes; at most %llu are taken here",
                      (unsigned long long)headers->content_length, (unsigned long long)request->body.limit);
        return false;
    }
    struct service_stats stats;
    if (headers->content_length > 0) {
        service_stats(request->server->service, &stats);
        if (stats.inflight_bytes + headers->content_length > stats.max_inflight_bytes)
            return refuse(request, PROBLEM_OVERLOADED, "too many bytes of request bodies are under way");
    }
    return true;
}

/* ---- who, and may they ------------------------------------------------------------------------------------------ */

/* False: the path's database has an escape that no name needs. */
static bool name_database(struct http_request *request) {
    velocity_slice name = request->match.database;
    request->service.database_name = name.data ? name : velocity_str("default");
    if (!name.data || database_name_is_good(name)) return true;
    return refuse(request, PROBLEM_DATABASE_NOT_FOUND, "no database can have this name");
}

/* False: it is named where nothing can be done inside of one, or is none. */
static bool name_transaction(struct http_request *request) {
    velocity_slice id = header_trim(request->headers.transaction);
    if (!request->headers.transaction.data) return true;
    if (!request->match.route->action.in_transaction)
        return refuse(request, PROBLEM_INVALID_HEADER, "this can't be done inside of a transaction");
    if (!transaction_id_is_good(id))
        return refuse(request, PROBLEM_INVALID_HEADER, "Velocity-Transaction is no id of a transaction");
    request->service.transaction_id = id;
    return true;
}

static void ready(struct service_request *service) {
    request_wake(request_of(service));
}

static void introduce(struct http_request *request, bool refused) {
    struct service_request *service = &request->service;
    service->action = &request->match.route->action;
    service->ready = ready;
    service->caller = request_caller(request);
    service->caller.refused = refused;
    request->identified = true;
}

static enum admission identify(struct http_request *request) {
    /* Who watches over the process must not be told that it is ill where only their secret is out of date, nor wait for
     * that to be judged. With parameters it shows what not everyone may know. */
    if (request->match.route->action.probe && !request->target.query.size) {
        introduce(request, false);
        return ADMISSION_GRANTED;
    }
    if (!request->check) request->generation = auth_generation(service_auth(request->server->service));
    enum credentials_result result = request->check ? credentials_answer(request) : credentials_check(request);
    switch (result) {
    case CREDENTIALS_WAITING: return ADMISSION_WAITS;
    case CREDENTIALS_REFUSED: return ADMISSION_REFUSED;
    case CREDENTIALS_KNOWN:
    case CREDENTIALS_WRONG: break;
    }
    introduce(request, result == CREDENTIALS_WRONG);
    /* For the audit log: whose password was guessed at. */
    if (result == CREDENTIALS_WRONG && request->check && request->check->user.size <= AUTH_NAME_MAX)
        request->service.key = request->check->user;
    return ADMISSION_GRANTED;
}

enum admission request_admit_on(struct http_request *request) {
    if (!request->identified) {
        enum admission identity = identify(request);
        if (identity != ADMISSION_GRANTED) return identity;
        if (request->match.route->action.in_database && !name_database(request)) return ADMISSION_REFUSED;
        if (!name_transaction(request)) return ADMISSION_REFUSED;
    }
    request_wait_begin(request);
    switch (service_admit(request->server->service, &request->service)) {
    case SERVICE_PENDING: return ADMISSION_WAITS;
    case SERVICE_REFUSED: reply_refusal(request); return ADMISSION_REFUSED;
    case SERVICE_ADMITTED: break;
    }
    if (!admit_content(request) || !admit_body(request)) return ADMISSION_REFUSED;
    bool (*begin)(struct http_request *) = request->match.route->begin;
    return !begin || begin(request) ? ADMISSION_GRANTED : ADMISSION_REFUSED;
}

/* Changes only: that the time of a token or session has come is not looked at. */
static bool still_holds(struct http_request *request) {
    struct auth *auth = service_auth(request->server->service);
    uint64_t generation = auth_generation(auth);
    if (!request->principal || request->generation == generation) return true;
    if (!auth_holds(auth, request->principal)) return false;
    request->generation = generation;
    return true;
}

bool request_holds(struct http_request *request) {
    int64_t until_ms = request->principal ? request->principal->expires_at_ms : 0;
    return still_holds(request) && (!until_ms || timestamp_now() < until_ms);
}

bool request_still_admitted(struct http_request *request) {
    if (still_holds(request)) return true;
    request->service.status = VELOCITY_INVALID;
    request->service.refusal = SERVICE_LOGIN_WRONG;
    reply_refusal(request);
    return false;
}

/* ---- what needs nobody's identity ---------------------------------------------------------------------------------
 */

bool request_admit(struct http_request *request, const char *method, bool http_1_0) {
    struct request_headers *headers = &request->headers;
    const char *reason = NULL;
    request->method = http_method_parse(method);
    request->http_1_0 = http_1_0;
    headers_inspect(request->mhd, http_1_0, &request->scratch, headers);
    name_request(request);
    if (headers->wrong) {
        request->reply.close = headers->framing;
        return refuse(request, headers->code, headers->reason);
    }
    if (!request->raw_target.data || !target_parse(request->raw_target, &request->target, &reason)) {
        request->reply.close = true;
        return refuse(request, PROBLEM_INVALID_TARGET, reason ? reason : "no memory");
    }
    return judge_client(request) && admit_plaintext(request) && admit_host(request) && admit_origin(request) &&
           admit_route(request);
}
