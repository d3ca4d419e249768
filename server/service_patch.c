/*
 * service_patch.c - a JSON merge patch of a stored value, as a step of service.c's reading and writing if unchanged.
 * The value keeps its type and its expiry.
 */
#include "server/merge_patch.h"
#include "server/service_internal.h"

static bool unfit(struct service_request *request, const char *why) {
    service_refuse(request, VELOCITY_CONFLICT, SERVICE_UNFIT);
    service_say(request, why);
    return false;
}

/* The stored document. *at: bytes before it. */
static bool open_document(struct service_request *request, velocity_slice stored, uint32_t flags, size_t *at,
                          struct json_value *out) {
    struct service_content content;
    if (!request->look_into(flags, stored, &content)) {
        service_refuse(request, VELOCITY_CORRUPT, SERVICE_NO_REFUSAL);
        service_say(request, "the value's type is damaged");
        return false;
    }
    if (!content.json) return unfit(request, "the stored value has a type other than JSON");
    *at = content.at;
    velocity_slice text = velocity_bytes((const char *)stored.data + content.at, stored.size - content.at);
    return json_parse(text, out, NULL) || unfit(request, "the stored value is not JSON");
}

static bool too_large(struct service_request *request) {
    service_refuse(request, VELOCITY_INVALID, SERVICE_RESULT_TOO_LARGE);
    return false;
}

bool service_patch(struct service_request *request, const velocity_value *current, struct json_writer *memory,
                   struct store_operation *out) {
    struct json_value patch, document;
    size_t at;
    if (!json_parse(request->value, &patch, &request->json_error)) {
        service_refuse(request, VELOCITY_INVALID, SERVICE_NOT_JSON);
        return false;
    }
    if (!current) return false; /* the status is NOT_FOUND */
    velocity_slice stored = velocity_bytes(current->data, current->size);
    if (!open_document(request, stored, current->flags, &at, &document)) return false;
    json_writer_clear(memory);
    memory->limit_bytes = at + request->service->max_value_bytes;
    json_append(memory, stored.data, at);
    switch (merge_patch(document, patch, request->service->hash_seed, memory)) {
    case MERGE_OK: break;
    case MERGE_TOO_LARGE: return too_large(request);
    case MERGE_NO_MEMORY: service_refuse(request, VELOCITY_NO_MEMORY, SERVICE_NO_REFUSAL); return false;
    }
    *out = (struct store_operation){.action = STORE_PUT,
                                    .flags = current->flags,
                                    .expires_at_ms = current->expires_at_ms,
                                    .key = request->key,
                                    .value = velocity_bytes(memory->data, memory->size)};
    return true;
}
