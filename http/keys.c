/*
 * keys.c - one key: GET, HEAD, PUT, DELETE.
 */
#include "http/byte_range.h"
#include "http/conditions.h"
#include "http/expiry.h"
#include "http/handlers.h"
#include "http/item.h"
#include "http/reply.h"

#include <stdio.h>
#include <strings.h>

#define CONTENT_RANGE_BYTES 80

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

static void content_range(struct http_request *request, uint64_t first, uint64_t count, uint64_t size) {
    char *text = scratch_alloc(&request->scratch, CONTENT_RANGE_BYTES);
    if (!text) return;
    if (count)
        (void)snprintf(text, CONTENT_RANGE_BYTES, "bytes %llu-%llu/%llu", (unsigned long long)first,
                       (unsigned long long)(first + count - 1), (unsigned long long)size);
    else
        (void)snprintf(text, CONTENT_RANGE_BYTES, "bytes */%llu", (unsigned long long)size);
    reply_header(request, "Content-Range", text);
}

/* The part of the value that is asked for: 206. False: 416. */
static bool cut(struct http_request *request, uint64_t version, velocity_slice *value) {
    const struct request_headers *headers = &request->headers;
    uint64_t first, count;
    reply_header(request, "Accept-Ranges", "bytes");
    if (request->method == HTTP_HEAD || !byte_range_applies(headers->if_range, version)) return true;
    switch (byte_range_parse(headers->range, value->size, &first, &count)) {
    case BYTE_RANGE_WHOLE: return true;
    case BYTE_RANGE_PART:
        request->reply.status = MHD_HTTP_PARTIAL_CONTENT;
        content_range(request, first, count, value->size);
        *value = velocity_bytes((const char *)value->data + first, (size_t)count);
        return true;
    case BYTE_RANGE_UNSATISFIABLE: break;
    }
    reply_problem(request, PROBLEM_RANGE_NOT_SATISFIABLE, "the value has %zu bytes", value->size);
    content_range(request, 0, 0, value->size);
    return false;
}

/* However little of a value is sent, while it is all of it is held: so a small part is copied, and a large one counts
 * as the whole. False: there is no memory for it, and the reply says so. */
static bool set_body(struct http_request *request, velocity_slice part) {
    struct service_request *service = &request->service;
    velocity_slice *body = &request->reply.body;
    *body = part;
    if (service->found.size < REPLY_COUNTED_BYTES || part.size >= REPLY_COUNTED_BYTES)
        return reply_count(request, service->found.size);
    if (!scratch_copy(&request->scratch, part, body)) reply_problem(request, PROBLEM_OVERLOADED, "no memory");
    return false;
}

/* False: the reply holds nothing of what was found. */
static bool show_found(struct http_request *request) {
    const velocity_value *found = &request->service.found;
    const struct conditions *conditions = request->state;
    velocity_slice type, value;
    uint64_t standing = store_standing(VELOCITY_OK, found);
    if (!conditions_match_holds(conditions, standing)) {
        reply_problem_with(
            request, PROBLEM_PRECONDITION_FAILED,
            (struct problem){.has_current_version = standing != VELOCITY_EXISTS, .current_version = standing});
        return false;
    }
    if (!item_unpack(found->flags, velocity_bytes(found->data, found->size), &type, &value)) {
        reply_problem(request, PROBLEM_CORRUPT, "the value's type is damaged");
        return false;
    }
    bool unchanged = !conditions_none_match_holds(conditions, standing);
    request->reply.status = unchanged ? MHD_HTTP_NOT_MODIFIED : MHD_HTTP_OK;
    reply_version(request, "ETag", found->sequence, true);
    expiry_header(request, found->expires_at_ms);
    if (unchanged || !cut(request, found->sequence, &value)) return false;
    request->reply.content_type = type_name(request, found->flags, type);
    defuse(request, found->flags, type);
    return set_body(request, value);
}

static void got(struct http_request *request) {
    struct service_request *service = &request->service;
    const struct conditions *conditions = request->state;
    if (service->status == VELOCITY_NOT_FOUND && conditions->has_match)
        reply_problem_with(request, PROBLEM_PRECONDITION_FAILED, (struct problem){.has_current_version = true});
    else if (service->status != VELOCITY_OK)
        reply_failure(request, false);
    else if (!show_found(request)) /* nor does it have to be there while a client takes that slowly */
        service->store->operations->release(service->store, &service->found);
}

void keys_get(struct http_request *request) {
    struct conditions *conditions = scratch_alloc(&request->scratch, sizeof *conditions);
    if (!conditions) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return;
    }
    request->state = conditions;
    if (!request_key(request, &request->service.key) || !conditions_parse(request, conditions)) return;
    request->service.operation = SERVICE_GET;
    request_run(request, got);
}

/* ---- PUT, DELETE ------------------------------------------------------------------------------------------------ */

/* What is known of a write before its body comes. */
struct write {
    struct conditions conditions;
    struct media_type type;
    struct expiry expiry;
};

/* The parameters that it may have besides key64: values[i] of names[i]. */
static bool begin_write(struct http_request *request, const char *const *names, size_t count, velocity_slice *values) {
    struct write *write = scratch_alloc(&request->scratch, sizeof *write);
    request->state = write;
    if (!write) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return false;
    }
    if (!request_key_with(request, names, count, values, &request->service.key) ||
        !conditions_parse(request, &write->conditions))
        return false;
    conditions_set(&request->service, &write->conditions);
    return true;
}

static void put(struct http_request *request) {
    const struct service_request *service = &request->service;
    bool created = service->precondition == SERVICE_AT_VERSION && service->if_version == VELOCITY_ABSENT;
    reply_written(request, created ? MHD_HTTP_CREATED : MHD_HTTP_NO_CONTENT, "ETag", true);
}

bool keys_put_begin(struct http_request *request) {
    static const char *const names[] = {"ttl", "expires_at"};
    velocity_slice given = request->headers.content_type, values[2];
    if (!begin_write(request, names, 2, values)) return false;
    struct write *write = request->state;
    if (!expiry_from_parameters(request, values[0], values[1], &write->expiry)) return false;
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
    const struct write *write = request->state;
    const struct media_type *type = &write->type;
    if (!pack(request, type, &service->value)) return;
    service->operation = SERVICE_PUT;
    service->expires_at_ms = expiry_from_now(&write->expiry);
    service->flags = type->type;
    service->check_json = type->json;
    service->json_at = service->value.size - request->body.size;
    request_run(request, put);
}

static void deleted(struct http_request *request) {
    reply_written(request, MHD_HTTP_NO_CONTENT, "Velocity-Version", false);
}

void keys_delete(struct http_request *request) {
    if (!begin_write(request, NULL, 0, NULL)) return;
    request->service.operation = SERVICE_DELETE;
    request_run(request, deleted);
}
