/* management.c - see management.h. */
#include "http/management.h"

#include "http/reply.h"
#include "http/server_internal.h"
#include "server/base64.h"

#include <stdio.h>

/* ---- role and scope --------------------------------------------------------------------------------------------- */

static void take_databases(struct form *form, int member, struct rights *out) {
    out->has_databases = form_has(form, member);
    out->databases =
        form_texts(form, member, FORM_NULLABLE, SCOPE_MAX_DATABASES, DATABASE_NAME_MAX, &out->database_count);
    for (size_t i = 0; i < out->database_count; i++)
        if (!database_name_is_good(velocity_str(out->databases[i])))
            form_refuse(form, "no database can be called \"%.63s\"", out->databases[i]);
}

static bool decode(struct form *form, const char *text, velocity_slice *out) {
    size_t size = 0;
    void *bytes = scratch_alloc(form->scratch, base64_decoded_max(strlen(text)) + 1);
    if (!bytes || !base64url_decode(velocity_str(text), bytes, &size)) {
        form_refuse(form, "\"prefixes64\" holds base64url without padding");
        return false;
    }
    *out = velocity_bytes(bytes, size);
    return true;
}

/* "prefixes" and "prefixes64" are one list. */
static void take_prefixes(struct form *form, int member, struct rights *out) {
    size_t plain_count, coded_count;
    out->has_prefixes = form_has(form, member) || form_has(form, member + 1);
    const char *const *plain =
        form_texts(form, member, FORM_NULLABLE, SCOPE_MAX_PREFIXES, HTTP_MAX_KEY_BYTES, &plain_count);
    const char *const *coded =
        form_texts(form, member + 1, FORM_NULLABLE, SCOPE_MAX_PREFIXES, HTTP_MAX_KEY_BYTES * 2, &coded_count);
    size_t count = plain_count + coded_count;
    if (count > SCOPE_MAX_PREFIXES) form_refuse(form, "at most %d prefixes", SCOPE_MAX_PREFIXES);
    if (form->failed || count == 0) return;
    out->prefixes = scratch_alloc(form->scratch, count * sizeof *out->prefixes);
    if (!out->prefixes) {
        form_refuse(form, "no memory");
        return;
    }
    for (size_t i = 0; i < plain_count; i++) out->prefixes[i] = velocity_str(plain[i]);
    for (size_t i = 0; i < coded_count; i++)
        if (!decode(form, coded[i], &out->prefixes[plain_count + i])) return;
    out->prefix_count = count;
    for (size_t i = 0; i < count; i++)
        if (out->prefixes[i].size > HTTP_MAX_KEY_BYTES) form_refuse(form, "a prefix is longer than a key can be");
}

void rights_take(struct form *form, int first, struct rights *out) {
    enum role role;
    memset(out, 0, sizeof *out);
    out->role = -1;
    const char *name = form_text(form, first + RIGHTS_ROLE, FORM_OPTIONAL, 0, 64);
    if (name && role_parse(velocity_str(name), &role))
        out->role = (int)role;
    else if (name)
        form_refuse(form, "\"role\" is admin, write, read or monitor");
    take_databases(form, first + RIGHTS_DATABASES, out);
    take_prefixes(form, first + RIGHTS_PREFIXES, out);
}

velocity_status rights_scope(const struct rights *rights, const struct scope *base, struct scope *out) {
    static const struct scope everywhere;
    if (!base) base = &everywhere;
    const char *const *databases = rights->has_databases ? rights->databases : (const char *const *)base->databases;
    size_t database_count = rights->has_databases ? rights->database_count : base->database_count;
    const velocity_slice *prefixes = rights->has_prefixes ? rights->prefixes : base->prefixes;
    size_t prefix_count = rights->has_prefixes ? rights->prefix_count : base->prefix_count;
    return scope_ask(out, databases, database_count, prefixes, prefix_count);
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

struct auth *auth_of(struct http_request *request) {
    return service_auth(http_server_service(request->server));
}

bool is_admin(const struct http_request *request) {
    return principal_may(request->principal, PERMISSION_ADMIN);
}

/* The parameters user= and all= of a listing: *user is whose, NULL everyone's. False: the reply says why not. */
static bool owner_parameters(struct http_request *request, const char **user) {
    enum { USER, ALL, PARAMETERS };
    static const char *const names[PARAMETERS] = {"user", "all"};
    velocity_slice values[PARAMETERS], name;
    bool all = false;
    if (!request_parameters(request, names, PARAMETERS, values)) return false;
    if (values[ALL].data && !query_bool(values[ALL], &all)) {
        reply_problem(request, PROBLEM_INVALID_PARAMETER, "all is true or false");
        return false;
    }
    if (all && values[USER].data) {
        reply_problem(request, PROBLEM_INVALID_PARAMETER, "all and user contradict each other");
        return false;
    }
    *user = request->principal->user;
    bool own = !values[USER].data ||
               (strlen(*user) == values[USER].size && memcmp(*user, values[USER].data, values[USER].size) == 0);
    if (own && !all) {
        if (request->principal->login == LOGIN_OPEN) *user = NULL; /* who has no name sees what there is */
        return true;
    }
    if (!is_admin(request)) {
        reply_problem(request, PROBLEM_FORBIDDEN, "only an admin without a scope sees those of others");
        return false;
    }
    if (all) {
        *user = NULL;
        return true;
    }
    if (memchr(values[USER].data, 0, values[USER].size) || !scratch_copy(&request->scratch, values[USER], &name)) {
        reply_problem(request, PROBLEM_INVALID_PARAMETER, "user is no name");
        return false;
    }
    *user = name.data;
    return true;
}

struct owned {
    const char *user; /* NULL: everyone's */
    velocity_status (*write)(struct http_request *request, const char *user);
};

static void write_owned(struct http_request *request) {
    const struct owned *owned = request->state;
    request->service.status = owned->write(request, owned->user);
}

static void owned_shown(struct http_request *request) {
    static const struct meanings meanings = {PROBLEM_NOT_FOUND, PROBLEM_CONFLICT, PROBLEM_OVERLOADED};
    if (request->service.status == VELOCITY_OK)
        management_reply(request, MHD_HTTP_OK);
    else
        management_failure(request, &meanings);
}

void owned_get(struct http_request *request, velocity_status (*write)(struct http_request *request, const char *user)) {
    const char *user;
    if (!owner_parameters(request, &user)) return;
    struct owned *owned = scratch_alloc(&request->scratch, sizeof *owned);
    if (!owned) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return;
    }
    *owned = (struct owned){user, write};
    request->state = owned;
    request_call(request, write_owned, owned_shown);
}

const char *rights_remark(struct http_request *request, const struct rights *rights, const char *more) {
    size_t size = strlen(more) + 80;
    char *text = scratch_alloc(&request->scratch, size);
    if (!text) return "";
    (void)snprintf(text, size, "%s%s%s%s%s%s", more, more[0] && rights->role >= 0 ? " " : "",
                   rights->role >= 0 ? "role=" : "", rights->role >= 0 ? role_name((enum role)rights->role) : "",
                   rights->has_databases ? " databases changed" : "", rights->has_prefixes ? " prefixes changed" : "");
    return text[0] == ' ' ? text + 1 : text;
}

void management_reply(struct http_request *request, unsigned status) {
    if (!reply_count(request, request->writer.size)) return;
    request->reply.status = status;
    request->reply.content_type = "application/json";
    reply_header(request, "Cache-Control", "no-store");
    reply_json(request);
}

void management_done(struct http_request *request) {
    request->reply.status = MHD_HTTP_NO_CONTENT;
    reply_header(request, "Cache-Control", "no-store");
}

void management_failure(struct http_request *request, const struct meanings *meanings) {
    const struct service_request *service = &request->service;
    const char *message = service_request_message(service);
    enum problem_code code;
    if (service->refusal != SERVICE_NO_REFUSAL) {
        reply_failure(request, false);
        return;
    }
    switch (service->status) {
    case VELOCITY_NOT_FOUND: code = meanings->not_found; break;
    case VELOCITY_CONFLICT: code = meanings->conflict; break;
    case VELOCITY_BUSY: code = meanings->busy; break;
    case VELOCITY_INVALID: code = PROBLEM_INVALID_BODY; break;
    case VELOCITY_UNSUPPORTED: code = PROBLEM_CONFIGURED; break;
    default: reply_failure(request, true); return;
    }
    if (message[0])
        reply_problem(request, code, "%s", message);
    else
        reply_problem(request, code, NULL);
}
