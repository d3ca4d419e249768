/*
 * keys.c - one key: GET, HEAD, PUT, DELETE.
 */
#include "http/handlers.h"
#include "http/headers.h"
#include "http/item.h"
#include "http/reply.h"

#include <strings.h>

/* What If-Match and If-None-Match ask of the key's version. */
struct conditions {
    bool has_match, has_none_match;
    struct etag_condition match, none_match;
};

/* False: malformed, and the reply says so. */
static bool parse_conditions(struct http_request *request, struct conditions *out) {
    const struct request_headers *headers = &request->headers;
    memset(out, 0, sizeof *out);
    out->has_match = headers->if_match.data != NULL;
    out->has_none_match = headers->if_none_match.data != NULL;
    if (out->has_match && !etag_condition_parse(headers->if_match, &out->match)) {
        reply_problem(request, PROBLEM_INVALID_HEADER, "If-Match is not a list of entity tags");
        return false;
    }
    if (out->has_none_match && !etag_condition_parse(headers->if_none_match, &out->none_match)) {
        reply_problem(request, PROBLEM_INVALID_HEADER, "If-None-Match is not a list of entity tags");
        return false;
    }
    return true;
}

/* What a transaction has put itself has no version: no tag names it, but "*" does. */
static bool match_holds(const struct conditions *c, uint64_t standing) {
    if (!c->has_match) return true;
    return standing == VELOCITY_EXISTS ? c->match.any : etag_if_match(&c->match, standing);
}

static bool none_match_holds(const struct conditions *c, uint64_t standing) {
    if (!c->has_none_match) return true;
    return standing == VELOCITY_EXISTS ? !c->none_match.any : etag_if_none_match(&c->none_match, standing);
}

static bool conditions_hold(void *arg, uint64_t standing) {
    return match_holds(arg, standing) && none_match_holds(arg, standing);
}

/* ---- GET, HEAD -------------------------------------------------------------------------------------------------- */

/* Types that a browser would run, or that may hold what it runs. */
static bool type_is_active(velocity_slice type) {
    static const char *const words[] = {"html", "xml", "javascript", "ecmascript", "svg", "pdf", "flash", "multipart/"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        size_t size = strlen(words[i]);
        for (size_t at = 0; at + size <= type.size; at++)
            if (strncasecmp((const char *)type.data + at, words[i], size) == 0) return true;
    }
    return false;
}

/* A stored value never runs as a page of this server. */
static void defuse(struct http_request *request, uint32_t flags, velocity_slice type) {
    reply_header(request, "X-Content-Type-Options", "nosniff");
    /* Bytes without a type are never shown, let alone run, where sniffing is off; and they are the most asked for. */
    if ((flags & ITEM_VALUE_TYPE_MASK) != VALUE_OCTET_STREAM)
        reply_header(request, "Content-Security-Policy", "sandbox");
    if ((flags & ITEM_VALUE_TYPE_MASK) == VALUE_OTHER && type_is_active(type))
        reply_header(request, "Content-Disposition", "attachment");
}

static const char *type_name(struct http_request *request, uint32_t flags, velocity_slice type) {
    const char *name = value_type_name(flags & ITEM_VALUE_TYPE_MASK);
    velocity_slice copy;
    if (name) return name;
    return scratch_copy(&request->scratch, type, &copy) ? copy.data : value_type_name(VALUE_OCTET_STREAM);
}

static void got(struct http_request *request) {
    const struct service_request *service = &request->service;
    struct conditions *conditions = request->state;
    velocity_slice type, value;
    if (service->status != VELOCITY_OK) {
        if (service->status == VELOCITY_NOT_FOUND && conditions->has_match)
            reply_problem_with(request, PROBLEM_PRECONDITION_FAILED, (struct problem){.has_current_version = true});
        else
            reply_failure(request, false);
        return;
    }
    const velocity_value *found = &service->found;
    uint64_t standing = store_standing(VELOCITY_OK, found);
    if (!match_holds(conditions, standing)) {
        reply_problem_with(
            request, PROBLEM_PRECONDITION_FAILED,
            (struct problem){.has_current_version = standing != VELOCITY_EXISTS, .current_version = standing});
        return;
    }
    if (!item_unpack(found->flags, velocity_bytes(found->data, found->size), &type, &value)) {
        reply_problem(request, PROBLEM_CORRUPT, "the value's type is damaged");
        return;
    }
    bool unchanged = !none_match_holds(conditions, standing);
    request->reply.status = unchanged ? MHD_HTTP_NOT_MODIFIED : MHD_HTTP_OK;
    reply_version(request, "ETag", found->sequence, true);
    if (unchanged || (request->method != HTTP_HEAD && !reply_count(request, value.size))) return;
    request->reply.content_type = type_name(request, found->flags, type);
    defuse(request, found->flags, type);
    request->reply.body = value;
}

void keys_get(struct http_request *request) {
    struct conditions *conditions = scratch_alloc(&request->scratch, sizeof *conditions);
    if (!conditions) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return;
    }
    request->state = conditions;
    if (!request_key(request, &request->service.key) || !parse_conditions(request, conditions)) return;
    request->service.operation = SERVICE_GET;
    request_run(request, got);
}

/* ---- PUT, DELETE ------------------------------------------------------------------------------------------------ */

/* What is known of a write before its body comes. */
struct write {
    struct conditions conditions;
    struct media_type type;
};

/* Into the service's terms: where one version is named the write carries it, else the key must be read first. */
static void set_precondition(struct service_request *service, struct conditions *conditions) {
    bool match = conditions->has_match, none_match = conditions->has_none_match;
    service->precondition = match || none_match ? SERVICE_IF_HOLDS : SERVICE_ALWAYS;
    service->holds = conditions_hold;
    service->holds_arg = conditions;
    if (match && !none_match && conditions->match.any) {
        service->precondition = SERVICE_AT_VERSION;
        service->if_version = VELOCITY_EXISTS;
    } else if (none_match && !match && conditions->none_match.any) {
        service->precondition = SERVICE_AT_VERSION;
        service->if_version = VELOCITY_ABSENT;
    } else if (match && !none_match && etag_single_version(&conditions->match, &service->if_version)) {
        /* "0" and the largest number are the engine's words for absent and any; no version is called so. */
        bool plain = service->if_version != VELOCITY_ABSENT && service->if_version != VELOCITY_EXISTS;
        service->precondition = plain ? SERVICE_AT_VERSION : SERVICE_IF_HOLDS;
    }
}

static bool begin_write(struct http_request *request) {
    struct write *write = scratch_alloc(&request->scratch, sizeof *write);
    request->state = write;
    if (!write) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return false;
    }
    if (!request_key(request, &request->service.key) || !parse_conditions(request, &write->conditions)) return false;
    set_precondition(&request->service, &write->conditions);
    return true;
}

static void put(struct http_request *request) {
    const struct service_request *service = &request->service;
    if (service->status != VELOCITY_OK) {
        reply_failure(request, true);
        return;
    }
    bool created = service->precondition == SERVICE_AT_VERSION && service->if_version == VELOCITY_ABSENT;
    request->reply.status = created ? MHD_HTTP_CREATED : MHD_HTTP_NO_CONTENT;
    reply_version(request, "ETag", service->version, true);
}

bool keys_put_begin(struct http_request *request) {
    velocity_slice given = request->headers.content_type;
    if (!begin_write(request)) return false;
    struct write *write = request->state;
    if (!given.data) given = velocity_str(value_type_name(VALUE_OCTET_STREAM));
    if (media_type_parse(given, &write->type)) return true;
    reply_problem(request, PROBLEM_INVALID_HEADER, "Content-Type is not of the form type/subtype; name=value");
    return false;
}

/* The value with its type's name before it, in the body's headroom. False: no memory, and the reply says so. */
static bool pack(struct http_request *request, const struct media_type *type, velocity_slice *out) {
    unsigned char prefix[ITEM_PREFIX_MAX];
    size_t size = item_prefix(type, prefix);
    velocity_slice body = body_slice(&request->body);
    *out = body;
    if (size == 0) return true;
    unsigned char *memory = request->body.memory;
    unsigned char *at = memory ? memory + BODY_HEADROOM_BYTES - size : scratch_alloc(&request->scratch, size);
    if (!at) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return false;
    }
    memcpy(at, prefix, size);
    *out = velocity_bytes(at, size + body.size);
    return true;
}

_Static_assert(ITEM_PREFIX_MAX <= BODY_HEADROOM_BYTES, "a type's name fits before the body");

void keys_put(struct http_request *request) {
    struct service_request *service = &request->service;
    const struct media_type *type = &((struct write *)request->state)->type;
    if (!pack(request, type, &service->value)) return;
    service->operation = SERVICE_PUT;
    service->flags = type->type;
    service->check_json = type->json;
    service->json_at = service->value.size - request->body.size;
    request_run(request, put);
}

static void deleted(struct http_request *request) {
    if (request->service.status != VELOCITY_OK) {
        reply_failure(request, true);
        return;
    }
    request->reply.status = MHD_HTTP_NO_CONTENT;
    reply_version(request, "Velocity-Version", request->service.version, false);
}

void keys_delete(struct http_request *request) {
    if (!begin_write(request)) return;
    request->service.operation = SERVICE_DELETE;
    request_run(request, deleted);
}
