/* router.c - see router.h. The table is short and its first rows are the most asked for: it is searched from the top.
 */
#include "http/router.h"

#include "http/handlers.h"

#define KEY "{key}"

/* clang-format off */
static const struct route routes[] = {
    {HTTP_GET,    "/api/keys/" KEY, true,  false, BODY_NONE,     LATENCY_READ,  "get",     "Read a value",                       keys_get},
    {HTTP_PUT,    "/api/keys/" KEY, true,  false, BODY_OPTIONAL, LATENCY_WRITE, "put",     "Store a value",                      keys_put},
    {HTTP_DELETE, "/api/keys/" KEY, true,  false, BODY_NONE,     LATENCY_WRITE, "delete",  "Delete a key",                       keys_delete},
    {HTTP_HEAD,   "/api/keys/" KEY, true,  false, BODY_NONE,     LATENCY_READ,  "head",    "Look at a key without its value",    keys_get},
    {HTTP_POST,   "/api/batch",     true,  false, BODY_REQUIRED, LATENCY_WRITE, "batch",   "Do several operations as one",       batch_post},
    {HTTP_GET,    "/api/keys",      true,  false, BODY_NONE,     LATENCY_OTHER, "list",    "List keys, or read ?key64=",         keys_list},
    {HTTP_HEAD,   "/api/keys",      true,  false, BODY_NONE,     LATENCY_OTHER, "list",    "The same without its body",          keys_list},
    {HTTP_PUT,    "/api/keys",      true,  false, BODY_OPTIONAL, LATENCY_WRITE, "put",     "Store a value at ?key64=",           keys_put},
    {HTTP_DELETE, "/api/keys",      true,  false, BODY_NONE,     LATENCY_WRITE, "delete",  "Delete the key ?key64=",             keys_delete},
    {HTTP_GET,    "/api/stats",     false, true,  BODY_NONE,     LATENCY_OTHER, "stats",   "All figures",                        stats_get},
    {HTTP_HEAD,   "/api/stats",     false, true,  BODY_NONE,     LATENCY_OTHER, "stats",   "The same without its body",          stats_get},
    {HTTP_GET,    "/livez",         false, true,  BODY_NONE,     LATENCY_OTHER, "live",    "The process answers",                health_live},
    {HTTP_HEAD,   "/livez",         false, true,  BODY_NONE,     LATENCY_OTHER, "live",    "The same without its body",          health_live},
    {HTTP_GET,    "/readyz",        false, true,  BODY_NONE,     LATENCY_OTHER, "ready",   "It takes requests",                  health_ready},
    {HTTP_HEAD,   "/readyz",        false, true,  BODY_NONE,     LATENCY_OTHER, "ready",   "The same without its body",          health_ready},
    {HTTP_GET,    "/healthz",       false, true,  BODY_NONE,     LATENCY_OTHER, "ready",   "Another name of /readyz",            health_ready},
    {HTTP_HEAD,   "/healthz",       false, true,  BODY_NONE,     LATENCY_OTHER, "ready",   "The same without its body",          health_ready},
};
/* clang-format on */

static const struct {
    enum http_method method;
    const char *name;
} methods[] = {{HTTP_GET, "GET"}, {HTTP_HEAD, "HEAD"}, {HTTP_PUT, "PUT"}, {HTTP_POST, "POST"}, {HTTP_DELETE, "DELETE"}};

#define METHOD_COUNT (sizeof methods / sizeof methods[0])

enum http_method http_method_parse(const char *name) {
    for (size_t i = 0; i < METHOD_COUNT; i++)
        if (strcmp(methods[i].name, name) == 0) return methods[i].method;
    return HTTP_OTHER;
}

void route_allow(unsigned allowed, char *out) {
    out[0] = 0;
    for (size_t i = 0; i < METHOD_COUNT; i++) {
        if (!(allowed & (unsigned)methods[i].method)) continue;
        if (out[0]) strcat(out, ", ");
        strcat(out, methods[i].name);
    }
}

const struct route *route_table(size_t *count) {
    *count = sizeof routes / sizeof routes[0];
    return routes;
}

static velocity_slice slice_from(velocity_slice s, size_t from) {
    return velocity_bytes((const char *)s.data + from, s.size - from);
}

/* Does the path match, and what is left for "{key}"? */
static bool path_matches(const char *template, velocity_slice path, velocity_slice *key) {
    size_t size = strlen(template), tail = sizeof KEY - 1;
    bool takes_rest = size > tail && template[size - 1] == '}';
    if (takes_rest) size -= tail;
    if (path.size < size || memcmp(path.data, template, size) != 0) return false;
    if (!takes_rest) return path.size == size;
    *key = slice_from(path, size);
    return true;
}

#define DATABASES "/api/databases/"
#define API       "/api"

/* "/api/databases/{db}/X" becomes "/X" with its database. False: the path is none of those. */
static bool take_database(velocity_slice path, velocity_slice *database, velocity_slice *rest) {
    size_t prefix = sizeof DATABASES - 1;
    if (path.size <= prefix || memcmp(path.data, DATABASES, prefix) != 0) return false;
    velocity_slice behind = slice_from(path, prefix);
    const char *slash = memchr(behind.data, '/', behind.size);
    if (!slash) return false;
    *database = velocity_bytes(behind.data, (size_t)(slash - (const char *)behind.data));
    *rest = slice_from(behind, database->size);
    return true;
}

void route_find(enum http_method method, velocity_slice path, struct route_match *out) {
    memset(out, 0, sizeof *out);
    velocity_slice rest = path, key = {0};
    bool named = take_database(path, &out->database, &rest);
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        const struct route *route = &routes[i];
        if (named && !route->in_database) continue;
        if (!path_matches(named ? route->path + sizeof API - 1 : route->path, rest, &key)) continue;
        out->allowed |= (unsigned)route->method;
        if (route->method != method) continue;
        out->route = route;
        out->key = key;
        return;
    }
}
