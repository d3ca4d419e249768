/*
 * openapi_write.c - see openapi.h: from the tables to the document. Pure functions.
 */
#include "http/openapi.h"

#include "http/problem.h"

#include <ctype.h>
#include <stdio.h>

#define ID_BYTES 128

/* JSON with ' for ". */
static void write_json(struct json_writer *w, const char *json) {
    size_t before = w->size;
    json_write_raw(w, velocity_str(json));
    for (size_t i = before; i < w->size; i++)
        if (w->data[i] == '\'') w->data[i] = '"';
}

static void write_text(struct json_writer *w, const char *name, const char *text) {
    json_name(w, name);
    json_write_string(w, velocity_str(text));
}

static void write_reference(struct json_writer *w, const char *part, const char *name, size_t size) {
    char text[ID_BYTES];
    (void)snprintf(text, sizeof text, "#/components/%s/%.*s", part, (int)size, name);
    json_begin_object(w);
    write_text(w, "$ref", text);
    json_end_object(w);
}

/* The next word of a list. False: no more. */
static bool next_word(const char **list, const char **word, size_t *size) {
    while (**list == ' ') (*list)++;
    *word = *list;
    *size = strcspn(*list, " ");
    *list += *size;
    return *size > 0;
}

static void write_media_type(struct json_writer *w, const char *type, const char *schema) {
    json_name(w, type);
    json_begin_object(w);
    if (schema[0]) {
        json_name(w, "schema");
        write_reference(w, "schemas", schema, strlen(schema));
    }
    json_end_object(w);
}

static void write_header_list(struct json_writer *w, const char *names) {
    const char *word;
    size_t size;
    while (next_word(&names, &word, &size)) {
        char name[ID_BYTES];
        (void)snprintf(name, sizeof name, "%.*s", (int)size, word);
        json_name(w, name);
        write_reference(w, "headers", word, size);
    }
}

/* "headers": those of both lists; nothing where both are empty. */
static void write_headers(struct json_writer *w, const char *names, const char *more) {
    if (!names[0] && !more[0]) return;
    json_name(w, "headers");
    json_begin_object(w);
    write_header_list(w, names);
    write_header_list(w, more);
    json_end_object(w);
}

/* "content": a schema of JSON, or any bytes. */
static void write_content(struct json_writer *w, const char *type, const char *schema) {
    json_name(w, "content");
    json_begin_object(w);
    write_media_type(w, schema[0] ? type : "*/*", schema);
    json_end_object(w);
}

/* Of a success; a listing that is asked for one key answers that one's value, of whatever type. */
static void write_reply_content(struct json_writer *w, const struct openapi_operation *operation) {
    json_name(w, "content");
    json_begin_object(w);
    if (operation->reply[0]) write_media_type(w, "application/json", operation->reply);
    if (!operation->reply[0] || strstr(operation->parameters, "key64")) write_media_type(w, "*/*", "");
    json_end_object(w);
}

/* ---- problems --------------------------------------------------------------------------------------------------- */

static void add(bool *set, const char *codes) {
    const char *word;
    size_t size;
    while (next_word(&codes, &word, &size))
        for (int i = 0; i < PROBLEM_COUNT; i++) {
            const char *code = problem_kind((enum problem_code)i)->code;
            if (strlen(code) == size && memcmp(code, word, size) == 0) set[i] = true;
        }
}

/* What may go wrong with many. */
static void add_common(bool *set, const struct route *route, bool in_database) {
    const struct service_action *action = &route->action;
    bool is_unsafe = route->method != HTTP_GET && route->method != HTTP_HEAD;
    add(set, "invalid_request invalid_target invalid_header unknown_parameter invalid_parameter repeated_parameter "
             "tls_required too_large expectation_failed foreign_host headers_too_large "
             "internal_error overloaded");
    if (!action->probe) add(set, "login_refused banned");
    if (action->permission != PERMISSION_NONE) add(set, "login_required forbidden");
    if (is_unsafe) add(set, "cross_site csrf");
    if (!action->unlimited) add(set, "rate_limited");
    if (action->audit != AUDIT_NEVER) add(set, "audit_failing");
    if (action->in_database) add(set, "out_of_scope database_damaged corrupt");
    if (in_database) add(set, "database_not_found");
    if (action->in_transaction)
        add(set, "transaction_not_found transaction_busy transaction_expired transaction_ended "
                 "transaction_too_large");
    if (route->body != BODY_NONE) add(set, "request_timeout unsupported_media_type");
    if (route_needs_body(route)) add(set, "length_required");
    if (route->body == BODY_FORM || route->body == BODY_FORM_OPTIONAL) add(set, "invalid_json invalid_body");
}

/* What comes with a problem, besides what says it. */
static const char *problem_headers(const struct openapi_operation *operation, unsigned status) {
    switch (status) {
    case 401: return "WWW-Authenticate Set-Cookie";
    case 415: return operation->body && strcmp(operation->body, "MergePatch") == 0 ? "Accept-Patch" : "";
    case 416: return "Content-Range";
    case 429:
    case 503: return "Retry-After";
    default: return "";
    }
}

static void write_problem(struct json_writer *w, const bool *set, const struct openapi_operation *operation,
                          unsigned status) {
    char codes[1024] = "", name[8];
    for (int i = 0; i < PROBLEM_COUNT; i++) {
        const struct problem_kind *kind = problem_kind((enum problem_code)i);
        size_t size = strlen(codes);
        if (set[i] && kind->status == status)
            (void)snprintf(codes + size, sizeof codes - size, "%s`%s`", size ? ", " : "", kind->code);
    }
    if (!codes[0]) return;
    (void)snprintf(name, sizeof name, "%u", status % 1000);
    json_name(w, name);
    json_begin_object(w);
    write_text(w, "description", codes);
    write_headers(w, problem_headers(operation, status), "");
    write_content(w, "application/problem+json", "Problem");
    json_end_object(w);
}

/* The beginning of an answer; what it has of content, and its end, are the caller's. */
static void begin_response(struct json_writer *w, unsigned status, const char *text, const char *headers,
                           const char *more) {
    char name[8];
    (void)snprintf(name, sizeof name, "%u", status % 1000);
    json_name(w, name);
    json_begin_object(w);
    write_text(w, "description", text);
    write_headers(w, headers, more);
}

/* What comes of Range, dry_run and If-None-Match. */
static void write_other_success(struct json_writer *w, const struct route *route,
                                const struct openapi_operation *operation) {
    bool reads = route->method == HTTP_GET || route->method == HTTP_HEAD;
    const char *headers = openapi_headers_of(route);
    if (route->method == HTTP_GET && strstr(operation->parameters, " range")) {
        begin_response(w, 206, "The part that Range asked for.", headers, "Content-Range");
        write_content(w, "", "");
        json_end_object(w);
    }
    if (strstr(operation->parameters, "dry_run")) {
        begin_response(w, 200, "dry_run: how many there are.", "", "");
        write_content(w, "application/json", "Count");
        json_end_object(w);
    }
    if (!strstr(operation->parameters, "if_none_match") || (!reads && route->method != HTTP_PUT)) return;
    if (reads)
        begin_response(w, 304, "It stands at a version that was named.", "ETag",
                       strstr(headers, "Velocity-Expires-At") ? "Velocity-Expires-At" : "");
    else
        begin_response(w, 201, "Done, and it was not there before: If-None-Match was *.", headers, "");
    json_end_object(w);
}

static void write_responses(struct json_writer *w, const struct route *route, const struct openapi_operation *operation,
                            bool in_database) {
    bool set[PROBLEM_COUNT] = {false};
    add_common(set, route, in_database);
    add(set, operation->problems);
    if (route->method == HTTP_HEAD) set[PROBLEM_RANGE_NOT_SATISFIABLE] = false; /* Range means nothing to it */
    json_name(w, "responses");
    json_begin_object(w);
    begin_response(w, operation->status, operation->reply || route->method == HTTP_HEAD ? "Here it is." : "Done.",
                   openapi_headers_of(route), "");
    if (operation->reply && route->method != HTTP_HEAD) write_reply_content(w, operation);
    json_end_object(w);
    write_other_success(w, route, operation);
    for (unsigned status = 400; status < 600; status++) write_problem(w, set, operation, status);
    json_end_object(w);
}

/* ---- operations ------------------------------------------------------------------------------------------------- */

static const char *method_name(enum http_method method) {
    switch (method) {
    case HTTP_GET: return "get";
    case HTTP_HEAD: return "head";
    case HTTP_PUT: return "put";
    case HTTP_POST: return "post";
    case HTTP_DELETE: return "delete";
    case HTTP_PATCH: return "patch";
    case HTTP_OPTIONS: return "options";
    case HTTP_OTHER: break;
    }
    return "";
}

/* The action's name where this is its first route, else method and path: never the same for two. */
static void write_id(struct json_writer *w, const struct route *route, bool in_database) {
    char id[ID_BYTES];
    if (route_of_action(route->action.name) == route)
        (void)snprintf(id, sizeof id, "%s%s", route->action.name, in_database ? "_in_database" : "");
    else
        (void)snprintf(id, sizeof id, "%s%s%s", method_name(route->method), route->path,
                       in_database ? "_in_database" : "");
    for (char *c = id; *c; c++)
        if (!isalnum((unsigned char)*c)) *c = '_';
    write_text(w, "operationId", id);
}

/* "keys" of "/api/keys/{key}"; "livez". */
static void write_tag(struct json_writer *w, const char *path) {
    const char *begin = strncmp(path, "/api/", 5) == 0 ? path + 5 : "health";
    json_name(w, "tags");
    json_begin_array(w);
    json_write_string(w, velocity_bytes(begin, strcspn(begin, "/.")));
    json_end_array(w);
}

static void write_parameters(struct json_writer *w, const struct route *route, const char *path, const char *list) {
    static const char transaction[] = "transaction";
    const char *word;
    size_t size;
    json_name(w, "parameters");
    json_begin_array(w);
    for (const char *brace = path; (brace = strchr(brace, '{')); brace++) {
        char name[ID_BYTES];
        (void)snprintf(name, sizeof name, "path_%.*s", (int)strcspn(brace + 1, "}"), brace + 1);
        write_reference(w, "parameters", name, strlen(name));
    }
    while (next_word(&list, &word, &size)) write_reference(w, "parameters", word, size);
    if (route->action.in_transaction) write_reference(w, "parameters", transaction, sizeof transaction - 1);
    json_end_array(w);
}

static void write_body(struct json_writer *w, const struct route *route, const char *schema) {
    const char *type = strcmp(schema, "MergePatch") == 0 ? "application/merge-patch+json" : "application/json";
    if (route->body == BODY_PIECES) type = "application/x-ndjson";
    json_name(w, "requestBody");
    json_begin_object(w);
    json_name(w, "required");
    json_write_bool(w, route_needs_body(route));
    write_content(w, type, schema);
    json_end_object(w);
}

static void write_operation(struct json_writer *w, const struct route *route, const char *path, bool in_database) {
    static const struct openapi_operation nothing = {"", NULL, "", NULL, 200, NULL, ""};
    const struct openapi_operation *operation = openapi_operation(route);
    if (!operation) operation = &nothing;
    json_name(w, method_name(route->method));
    json_begin_object(w);
    write_id(w, route, in_database);
    write_text(w, "summary", route->summary);
    write_tag(w, route->path);
    if (route->action.permission == PERMISSION_NONE) {
        json_name(w, "security");
        json_begin_array(w);
        json_end_array(w);
    }
    write_parameters(w, route, path, operation->parameters);
    if (operation->body) write_body(w, route, operation->body);
    write_responses(w, route, operation, in_database);
    json_end_object(w);
}

/* All methods of the path of routes[index], unless an earlier row has it. */
static void write_path(struct json_writer *w, size_t index, bool in_database) {
    size_t count;
    const struct route *routes = route_table(&count);
    const char *own = routes[index].path;
    char path[ID_BYTES];
    for (size_t i = 0; i < index; i++)
        if (strcmp(routes[i].path, own) == 0) return;
    (void)snprintf(path, sizeof path, "%s%s", in_database ? "/api/databases/{db}" : "",
                   in_database ? own + strlen("/api") : own);
    json_name(w, path);
    json_begin_object(w);
    for (size_t i = index; i < count; i++)
        if (strcmp(routes[i].path, own) == 0) write_operation(w, &routes[i], path, in_database);
    json_end_object(w);
}

/* ---- the document ------------------------------------------------------------------------------------------------
 */

static void write_components(struct json_writer *w, const char *name, const struct openapi_component *components,
                             size_t count) {
    json_name(w, name);
    json_begin_object(w);
    for (size_t i = 0; i < count; i++) {
        json_name(w, components[i].name);
        write_json(w, components[i].json);
    }
}

/* RFC 9457, with the codes that there are. */
static void write_problem_schema(struct json_writer *w) {
    json_name(w, "Problem");
    json_begin_object(w);
    write_text(w, "type", "object");
    json_name(w, "required");
    write_json(w, "['type','title','status','code']");
    json_name(w, "properties");
    json_begin_object(w);
    json_name(w, "code");
    json_begin_object(w);
    json_name(w, "enum");
    json_begin_array(w);
    for (int i = 0; i < PROBLEM_COUNT; i++)
        json_write_string(w, velocity_str(problem_kind((enum problem_code)i)->code));
    json_end_array(w);
    json_end_object(w);
    json_name(w, "type");
    write_json(w, "{'type':'string','format':'uri'}");
    json_name(w, "title");
    write_json(w, "{'type':'string'}");
    json_name(w, "status");
    write_json(w, "{'type':'integer'}");
    json_name(w, "detail");
    write_json(w, "{'type':'string'}");
    json_name(w, "request_id");
    write_json(w, "{'type':'string'}");
    json_name(w, "key");
    write_json(w, "{'type':'string'}");
    json_name(w, "key64");
    write_json(w, "{'type':'string','contentEncoding':'base64url'}");
    json_name(w, "current_version");
    write_json(w, "{'type':['string','null']}");
    json_name(w, "index");
    write_json(w, "{'type':'integer','minimum':0}");
    json_name(w, "offset");
    write_json(w, "{'type':'integer','minimum':0}");
    json_name(w, "line");
    write_json(w, "{'type':'integer','minimum':1}");
    json_name(w, "imported");
    write_json(w, "{'type':'integer','minimum':0}");
    json_end_object(w);
    json_end_object(w);
}

static void write_info(struct json_writer *w) {
    write_text(w, "openapi", "3.1.0");
    json_name(w, "info");
    json_begin_object(w);
    write_text(w, "title", "Velocity");
    write_text(w, "version", velocity_version());
    write_text(
        w, "description",
        "A key-value database. Errors are application/problem+json; rely on their status and code. Every reply has "
        "X-Request-Id, and RateLimit-Limit, RateLimit-Remaining and RateLimit-Reset where a limit is set; 405, of "
        "a method that is not described, has Allow.");
    json_end_object(w);
    json_name(w, "servers");
    write_json(w, "[{'url':'/'}]");
    json_name(w, "security");
    write_json(w, "[{'bearer':[]},{'basic':[]},{'cookie':[],'csrf':[]}]");
}

void openapi_write(struct json_writer *w) {
    size_t count;
    const struct route *routes = route_table(&count);
    json_begin_object(w);
    write_info(w);
    json_name(w, "paths");
    json_begin_object(w);
    for (size_t i = 0; i < count; i++) write_path(w, i, false);
    for (size_t i = 0; i < count; i++)
        if (routes[i].action.in_database) write_path(w, i, true);
    json_end_object(w);
    json_name(w, "components");
    json_begin_object(w);
    json_name(w, "securitySchemes");
    write_json(w, "{'bearer':{'type':'http','scheme':'bearer'},'basic':{'type':'http','scheme':'basic'},"
                  "'cookie':{'type':'apiKey','in':'cookie','name':'velocity_2005','description':'velocity_ and the "
                  "port; over TLS with __Host- before it'},'csrf':{'type':'apiKey','in':'header','name':"
                  "'Velocity-CSRF','description':'with the cookie, on everything but GET and HEAD'}}");
    write_components(w, "parameters", openapi_parameters, openapi_parameter_count);
    json_end_object(w);
    write_components(w, "headers", openapi_headers, openapi_header_count);
    json_end_object(w);
    write_components(w, "schemas", openapi_schemas, openapi_schema_count);
    write_problem_schema(w);
    json_end_object(w);
    json_end_object(w);
    json_end_object(w);
}
