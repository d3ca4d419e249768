/*
 * admit.c - see admit.h. In this order: is it well-formed, is it meant for us (Host, proxies), does a foreign page send
 * it (Origin), is there such a thing (route), does its body fit.
 */
#include "http/admit.h"

#include "http/headers.h"
#include "http/reply.h"
#include "http/server_internal.h"

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

/* ---- Host ------------------------------------------------------------------------------------------------------- */

static bool host_is_ours(const struct http_server *server, velocity_slice value) {
    struct host host;
    if (!host_parse(value, &host)) return false;
    if (host_is_loopback(&host)) return true;
    for (size_t i = 0; i < server->allowed_host_count; i++)
        if (host_is(&host, server->allowed_hosts[i])) return true;
    return false;
}

static bool admit_host(struct http_request *request) {
    const struct request_headers *headers = &request->headers;
    struct connection *connection = request->connection;
    if (headers->forwarded) return refuse(request, PROBLEM_FOREIGN_HOST, "the request was forwarded by a proxy");
    if (request->target.authority.size && !host_is_ours(request->server, request->target.authority))
        return refuse(request, PROBLEM_FOREIGN_HOST, "the target's host is not one of this server");
    /* HTTP/1.1 without Host does not come this far; HTTP/1.0 knows none. */
    if (!headers->host.data) return true;
    if (headers->host.size && headers->host.size == connection->host_size &&
        memcmp(headers->host.data, connection->host, headers->host.size) == 0)
        return true;
    if (!host_is_ours(request->server, headers->host))
        return refuse(request, PROBLEM_FOREIGN_HOST, "Host is neither a loopback name nor in allowed_hosts");
    if (headers->host.size <= sizeof connection->host) {
        memcpy(connection->host, headers->host.data, headers->host.size);
        connection->host_size = (uint32_t)headers->host.size;
    }
    return true;
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

/* Browsers say where an unsafe request comes from, and a page cannot make them lie. */
static bool admit_origin(struct http_request *request) {
    const struct request_headers *headers = &request->headers;
    if (request->method == HTTP_GET || request->method == HTTP_HEAD) return true;
    if (headers->fetch_site.data && !header_is(headers->fetch_site, "same-origin") &&
        !header_is(headers->fetch_site, "none"))
        return refuse(request, PROBLEM_CROSS_SITE, "Sec-Fetch-Site is neither same-origin nor none");
    if (headers->origin.data && !origin_is_host(header_trim(headers->origin), header_trim(headers->host)))
        return refuse(request, PROBLEM_CROSS_SITE, "Origin is not this server's");
    return true;
}

/* ---- route and body ---------------------------------------------------------------------------------------------- */

static bool admit_route(struct http_request *request) {
    struct route_match *match = &request->match;
    route_find(request->method, request->target.path, match);
    if (!match->route)
        return refuse(request, match->allowed ? PROBLEM_METHOD_NOT_ALLOWED : PROBLEM_NOT_FOUND,
                      match->allowed ? "see Allow" : "there is no such path");
    velocity_slice database = match->database;
    if (database.data && (database.size != 7 || memcmp(database.data, "default", 7) != 0))
        return refuse(request, PROBLEM_DATABASE_NOT_FOUND, "there is only the database \"default\"");
    return true;
}

static bool admit_body(struct http_request *request) {
    const struct request_headers *headers = &request->headers;
    const struct route *route = request->match.route;
    request->body.limit = route->body == BODY_NONE ? 0 : request->server->max_value_bytes;
    if (headers->expect.data && !header_is(headers->expect, "100-continue"))
        return refuse(request, PROBLEM_EXPECTATION_FAILED, "only 100-continue can be expected");
    if (route->body == BODY_REQUIRED && !headers->has_content_length && !headers->chunked)
        return refuse(request, PROBLEM_LENGTH_REQUIRED, "a body must come with it");
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

bool request_admit(struct http_request *request, const char *method, bool http_1_0) {
    struct request_headers *headers = &request->headers;
    const char *reason = NULL;
    request->method = http_method_parse(method);
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
    return admit_host(request) && admit_origin(request) && admit_route(request) && admit_body(request);
}
