/* router.c - see router.h. The table is short and its first rows are the most asked for: it is searched from the top.
 */
#include "http/router.h"

#include "http/handlers.h"

#define KEY "{key}"

/* clang-format off */
#define ACTION(name, permission, audit, ...) {name, PERMISSION_##permission, AUDIT_##audit, __VA_ARGS__}
#define EVERYWHERE     false, false, false, false
#define IN_DATABASE    false, true, false, false
#define IN_TRANSACTION false, true, true, false
#define UNLIMITED      true, false, false, false
#define PROBE          true, false, false, true

static const struct route routes[] = {
    {HTTP_GET,    "/api/keys/" KEY,          BODY_NONE,     LATENCY_READ,  ACTION("get", READ, READ, IN_TRANSACTION),
     "Read a value", NULL, keys_get, NULL},
    {HTTP_PUT,    "/api/keys/" KEY,          BODY_OPTIONAL, LATENCY_WRITE, ACTION("put", WRITE, WRITE, IN_TRANSACTION),
     "Store a value", keys_put_begin, keys_put, NULL},
    {HTTP_DELETE, "/api/keys/" KEY,          BODY_NONE,     LATENCY_WRITE, ACTION("delete", WRITE, WRITE, IN_TRANSACTION),
     "Delete a key", NULL, keys_delete, NULL},
    {HTTP_HEAD,   "/api/keys/" KEY,          BODY_NONE,     LATENCY_READ,  ACTION("head", READ, READ, IN_TRANSACTION),
     "Look at a key without its value", NULL, keys_get, NULL},
    {HTTP_POST,   "/api/batch",              BODY_REQUIRED, LATENCY_WRITE, ACTION("batch", READ, WRITE, IN_TRANSACTION),
     "Do several operations as one", batch_begin, batch_post, NULL},
    {HTTP_GET,    "/api/keys",               BODY_NONE,     LATENCY_OTHER, ACTION("list", READ, READ, IN_TRANSACTION),
     "List keys, or read ?key64=", NULL, keys_list, NULL},
    {HTTP_HEAD,   "/api/keys",               BODY_NONE,     LATENCY_OTHER, ACTION("list", READ, READ, IN_TRANSACTION),
     "The same without its body", NULL, keys_list, NULL},
    {HTTP_PUT,    "/api/keys",               BODY_OPTIONAL, LATENCY_WRITE, ACTION("put", WRITE, WRITE, IN_TRANSACTION),
     "Store a value at ?key64=", keys_put_begin, keys_put, NULL},
    {HTTP_DELETE, "/api/keys",               BODY_NONE,     LATENCY_WRITE, ACTION("delete_range", WRITE, WRITE, IN_TRANSACTION),
     "Delete a range of keys, or ?key64=", NULL, keys_delete_range, NULL},
    {HTTP_PATCH,  "/api/keys/" KEY,          BODY_REQUIRED, LATENCY_WRITE, ACTION("patch", WRITE, WRITE, IN_TRANSACTION),
     "Change members of a JSON value", keys_patch_begin, keys_patch, NULL},
    {HTTP_PATCH,  "/api/keys",               BODY_REQUIRED, LATENCY_WRITE, ACTION("patch", WRITE, WRITE, IN_TRANSACTION),
     "Change members of the JSON value at ?key64=", keys_patch_begin, keys_patch, NULL},
    {HTTP_GET,    "/api/watch",              BODY_NONE,     LATENCY_OTHER, ACTION("watch", READ, READ, IN_DATABASE),
     "Follow the changes, as server-sent events", NULL, watch_get, NULL},
    {HTTP_GET,    "/api/export",             BODY_NONE,     LATENCY_OTHER, ACTION("export", READ, READ, IN_DATABASE),
     "Read a range as it is at one moment, line by line", NULL, export_get, NULL},
    {HTTP_POST,   "/api/import",             BODY_PIECES,   LATENCY_OTHER, ACTION("import", WRITE, WRITE, IN_DATABASE),
     "Store items, one a line", import_begin, import_post, &import_pieces},
    {HTTP_POST,   "/api/transactions",       BODY_FORM_OPTIONAL, LATENCY_OTHER, ACTION("transaction.begin", READ, WRITE, IN_DATABASE),
     "Begin a transaction", NULL, transactions_post, NULL},
    {HTTP_GET,    "/api/transactions",       BODY_NONE,     LATENCY_OTHER, ACTION("transactions", READ, READ, IN_DATABASE),
     "List open transactions", NULL, transactions_get, NULL},
    {HTTP_POST,   "/api/transactions/{id}/commit", BODY_FORM_OPTIONAL, LATENCY_WRITE, ACTION("transaction.commit", READ, WRITE, IN_DATABASE),
     "Commit a transaction", NULL, transaction_commit_post, NULL},
    {HTTP_DELETE, "/api/transactions/{id}",  BODY_NONE,     LATENCY_OTHER, ACTION("transaction.rollback", READ, WRITE, IN_DATABASE),
     "Roll a transaction back", NULL, transaction_delete, NULL},
    {HTTP_GET,    "/api/databases",          BODY_NONE,     LATENCY_OTHER, ACTION("databases", MONITOR, READ, EVERYWHERE),
     "List the databases", NULL, databases_get, NULL},
    {HTTP_POST,   "/api/databases",          BODY_FORM,     LATENCY_OTHER, ACTION("database.create", ADMIN, ADMIN, EVERYWHERE),
     "Make a database", NULL, databases_post, NULL},
    {HTTP_GET,    "/api/databases/{name}",   BODY_NONE,     LATENCY_OTHER, ACTION("database", MONITOR, READ, EVERYWHERE),
     "Look at a database", NULL, database_get, NULL},
    {HTTP_PATCH,  "/api/databases/{name}",   BODY_FORM,     LATENCY_OTHER, ACTION("database.change", ADMIN, ADMIN, EVERYWHERE),
     "Change the limit of a database", NULL, database_patch, NULL},
    {HTTP_DELETE, "/api/databases/{name}",   BODY_NONE,     LATENCY_OTHER, ACTION("database.drop", ADMIN, ADMIN, EVERYWHERE),
     "Drop a database and all that it holds", NULL, database_delete, NULL},
    {HTTP_POST,   "/api/flush",              BODY_FORM_OPTIONAL, LATENCY_OTHER, ACTION("flush", ADMIN, ADMIN, IN_DATABASE),
     "Move what is in memory into tables: a job", NULL, flush_post, NULL},
    {HTTP_POST,   "/api/compact",            BODY_FORM_OPTIONAL, LATENCY_OTHER, ACTION("compact", ADMIN, ADMIN, IN_DATABASE),
     "Merge all tables, dropping what is deleted or overwritten: a job", NULL, compact_post, NULL},
    {HTTP_GET,    "/api/jobs",               BODY_NONE,     LATENCY_OTHER, ACTION("jobs", MONITOR, READ, EVERYWHERE),
     "List the jobs, the newest first", NULL, jobs_get, NULL},
    {HTTP_GET,    "/api/jobs/{id}",          BODY_NONE,     LATENCY_OTHER, ACTION("job", MONITOR, READ, EVERYWHERE),
     "See how a job gets on", NULL, job_get, NULL},
    {HTTP_DELETE, "/api/jobs/{id}",          BODY_NONE,     LATENCY_OTHER, ACTION("job.cancel", ADMIN, ADMIN, EVERYWHERE),
     "Cancel a job", NULL, job_delete, NULL},
    {HTTP_POST,   "/api/sessions",           BODY_FORM,     LATENCY_OTHER, ACTION("login", NONE, SECURITY, EVERYWHERE),
     "Log in", NULL, sessions_post, NULL},
    {HTTP_GET,    "/api/sessions",           BODY_NONE,     LATENCY_OTHER, ACTION("sessions", LOGIN, READ, EVERYWHERE),
     "List sessions", NULL, sessions_get, NULL},
    {HTTP_DELETE, "/api/sessions/{id}",      BODY_NONE,     LATENCY_OTHER, ACTION("session.end", LOGIN, SECURITY, EVERYWHERE),
     "End a session, or the current one", NULL, session_delete, NULL},
    {HTTP_GET,    "/api/whoami",             BODY_NONE,     LATENCY_OTHER, ACTION("whoami", LOGIN, READ, EVERYWHERE),
     "Who am I, and what may I do", NULL, whoami_get, NULL},
    {HTTP_PUT,    "/api/whoami/password",    BODY_FORM,     LATENCY_OTHER, ACTION("user.own_password", LOGIN, SECURITY, EVERYWHERE),
     "Change the own password", NULL, whoami_password_put, NULL},
    {HTTP_GET,    "/api/users",              BODY_NONE,     LATENCY_OTHER, ACTION("users", ADMIN, READ, EVERYWHERE),
     "List users", NULL, users_get, NULL},
    {HTTP_POST,   "/api/users",              BODY_FORM,     LATENCY_OTHER, ACTION("user.create", ADMIN, SECURITY, EVERYWHERE),
     "Make a user", NULL, users_post, NULL},
    {HTTP_GET,    "/api/users/{name}",       BODY_NONE,     LATENCY_OTHER, ACTION("user", ADMIN, READ, EVERYWHERE),
     "Look at a user", NULL, user_get, NULL},
    {HTTP_PATCH,  "/api/users/{name}",       BODY_FORM,     LATENCY_OTHER, ACTION("user.change", ADMIN, SECURITY, EVERYWHERE),
     "Change password, role or scope of a user", NULL, user_patch, NULL},
    {HTTP_DELETE, "/api/users/{name}",       BODY_NONE,     LATENCY_OTHER, ACTION("user.delete", ADMIN, SECURITY, EVERYWHERE),
     "Delete a user, with tokens and sessions", NULL, user_delete, NULL},
    {HTTP_GET,    "/api/tokens",             BODY_NONE,     LATENCY_OTHER, ACTION("tokens", LOGIN, READ, EVERYWHERE),
     "List tokens", NULL, tokens_get, NULL},
    {HTTP_POST,   "/api/tokens",             BODY_FORM,     LATENCY_OTHER, ACTION("token.create", LOGIN, SECURITY, EVERYWHERE),
     "Make a token, which is shown once", NULL, tokens_post, NULL},
    {HTTP_DELETE, "/api/tokens/{id}",        BODY_NONE,     LATENCY_OTHER, ACTION("token.revoke", LOGIN, SECURITY, EVERYWHERE),
     "Revoke a token", NULL, token_delete, NULL},
    {HTTP_GET,    "/api/audit",              BODY_NONE,     LATENCY_OTHER, ACTION("audit", ADMIN, ADMIN, EVERYWHERE),
     "Read the audit log", NULL, audit_get, NULL},
    {HTTP_GET,    "/api/audit/verify",       BODY_NONE,     LATENCY_OTHER, ACTION("audit.verify", ADMIN, ADMIN, EVERYWHERE),
     "Check the chain of the audit log", NULL, audit_verify_get, NULL},
    {HTTP_GET,    "/api/config",             BODY_NONE,     LATENCY_OTHER, ACTION("config", ADMIN, READ, EVERYWHERE),
     "The configuration in force", NULL, config_get, NULL},
    {HTTP_GET,    "/api/openapi.json",       BODY_NONE,     LATENCY_OTHER, ACTION("openapi", NONE, NEVER, UNLIMITED),
     "This description", NULL, openapi_get, NULL},
    {HTTP_GET,    "/api/stats",              BODY_NONE,     LATENCY_OTHER, ACTION("stats", MONITOR, READ, EVERYWHERE),
     "All figures", NULL, stats_get, NULL},
    {HTTP_HEAD,   "/api/stats",              BODY_NONE,     LATENCY_OTHER, ACTION("stats", MONITOR, READ, EVERYWHERE),
     "The same without its body", NULL, stats_get, NULL},
    {HTTP_GET,    "/livez",                  BODY_NONE,     LATENCY_OTHER, ACTION("live", NONE, NEVER, PROBE),
     "The process answers", NULL, health_live, NULL},
    {HTTP_HEAD,   "/livez",                  BODY_NONE,     LATENCY_OTHER, ACTION("live", NONE, NEVER, PROBE),
     "The same without its body", NULL, health_live, NULL},
    {HTTP_GET,    "/readyz",                 BODY_NONE,     LATENCY_OTHER, ACTION("ready", NONE, NEVER, PROBE),
     "It takes requests", NULL, health_ready, NULL},
    {HTTP_HEAD,   "/readyz",                 BODY_NONE,     LATENCY_OTHER, ACTION("ready", NONE, NEVER, PROBE),
     "The same without its body", NULL, health_ready, NULL},
    {HTTP_GET,    "/healthz",                BODY_NONE,     LATENCY_OTHER, ACTION("ready", NONE, NEVER, PROBE),
     "Another name of /readyz", NULL, health_ready, NULL},
    {HTTP_HEAD,   "/healthz",                BODY_NONE,     LATENCY_OTHER, ACTION("ready", NONE, NEVER, PROBE),
     "The same without its body", NULL, health_ready, NULL},
};
/* clang-format on */

static const struct {
    enum http_method method;
    const char *name;
} methods[] = {{HTTP_GET, "GET"},       {HTTP_HEAD, "HEAD"},   {HTTP_PUT, "PUT"},        {HTTP_POST, "POST"},
               {HTTP_DELETE, "DELETE"}, {HTTP_PATCH, "PATCH"}, {HTTP_OPTIONS, "OPTIONS"}};

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

const struct route *route_of_action(const char *name) {
    const struct route *route = routes;
    while (strcmp(route->action.name, name) != 0) route++;
    return route;
}

const struct route *route_table(size_t *count) {
    *count = sizeof routes / sizeof routes[0];
    return routes;
}

static velocity_slice slice_from(velocity_slice s, size_t from) {
    return velocity_bytes((const char *)s.data + from, s.size - from);
}

/* Does the path match, and what stands where the template has its braces? What stands behind them is fixed, too. */
static bool path_matches(const char *template, velocity_slice path, velocity_slice *rest) {
    const char *brace = strchr(template, '{');
    size_t fixed = brace ? (size_t)(brace - template) : strlen(template);
    if (path.size < fixed || memcmp(path.data, template, fixed) != 0) return false;
    if (!brace) return path.size == fixed;
    velocity_slice behind = slice_from(path, fixed);
    if (strcmp(brace, KEY) != 0) {
        const char *tail = strchr(brace, '}') + 1;
        size_t size = strlen(tail);
        if (behind.size <= size || memcmp((const char *)behind.data + behind.size - size, tail, size) != 0)
            return false;
        behind.size -= size;
        if (memchr(behind.data, '/', behind.size)) return false;
    }
    *rest = behind;
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
        if (named && !route->action.in_database) continue;
        if (!path_matches(named ? route->path + sizeof API - 1 : route->path, rest, &key)) continue;
        out->allowed |= (unsigned)route->method;
        if (route->method != method) continue;
        out->route = route;
        out->key = key;
        return;
    }
}
