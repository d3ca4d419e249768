/* body.c - see body.h. */
#include "http/body.h"

#include <stdlib.h>

#define SCRATCH_BODY_BYTES ((size_t)3072)  /* up to this a body of known size lives in the request's own memory */
#define EXACT_BODY_BYTES   ((size_t)65536) /* up to this it is allocated at its size at once */
#define FIRST_BODY_BYTES   ((size_t)8192)
#define KEPT_BODY_BYTES    ((size_t)1 << 20) /* of a body that is worked on piece by piece, between two pieces */

static size_t first_capacity(const struct body *body, uint64_t expected, size_t size) {
    size_t capacity = expected && expected <= EXACT_BODY_BYTES ? (size_t)expected : FIRST_BODY_BYTES;
    if (capacity < size) capacity = size;
    return capacity > body->limit ? (size_t)body->limit : capacity;
}

/* Doubles, but never beyond what may or will come. */
static size_t next_capacity(const struct body *body, uint64_t expected, size_t needed) {
    size_t capacity = body->capacity;
    while (capacity < needed) capacity *= 2;
    uint64_t most = expected && expected < body->limit ? expected : body->limit;
    return capacity > most && most >= needed ? (size_t)most : capacity;
}

static bool count(struct body *body, struct service *service, size_t capacity) {
    if (!service_take_bytes(service, capacity - body->counted)) return false;
    body->counted = capacity;
    return true;
}

static enum body_result begin(struct body *body, struct service *service, struct scratch *scratch, uint64_t expected,
                              size_t size) {
    size_t capacity = first_capacity(body, expected, size);
    if (!count(body, service, capacity)) return BODY_OVER_BUDGET;
    body->in_scratch = expected && capacity <= SCRATCH_BODY_BYTES;
    body->memory = body->in_scratch ? scratch_alloc(scratch, BODY_HEADROOM_BYTES + capacity)
                                    : malloc(BODY_HEADROOM_BYTES + capacity);
    if (!body->memory) return BODY_NO_MEMORY;
    body->capacity = capacity;
    return BODY_OK;
}

static enum body_result grow(struct body *body, struct service *service, uint64_t expected, size_t needed) {
    size_t capacity = next_capacity(body, expected, needed);
    if (!count(body, service, capacity)) return BODY_OVER_BUDGET;
    /* A body in scratch has its full size from the beginning. */
    unsigned char *memory = realloc(body->memory, BODY_HEADROOM_BYTES + capacity);
    if (!memory) return BODY_NO_MEMORY;
    body->memory = memory;
    body->capacity = capacity;
    return BODY_OK;
}

enum body_result body_append(struct body *body, struct service *service, struct scratch *scratch, uint64_t expected,
                             const void *bytes, size_t size) {
    if (size > body->limit - body->size) return BODY_TOO_LARGE;
    enum body_result result = BODY_OK;
    if (!body->memory)
        result = begin(body, service, scratch, expected, size);
    else if (size > body->capacity - body->size)
        result = grow(body, service, expected, body->size + size);
    if (result != BODY_OK) return result;
    memcpy(body->memory + BODY_HEADROOM_BYTES + body->size, bytes, size);
    body->size += size;
    return BODY_OK;
}

/* One large line must not count against everybody for as long as the lines behind it come. */
static void shrink(struct body *body, struct service *service) {
    if (body->capacity <= KEPT_BODY_BYTES || body->size > KEPT_BODY_BYTES) return;
    unsigned char *memory = realloc(body->memory, BODY_HEADROOM_BYTES + KEPT_BODY_BYTES);
    if (!memory) return;
    body->memory = memory;
    body->capacity = KEPT_BODY_BYTES;
    service_give_bytes(service, body->counted - KEPT_BODY_BYTES);
    body->counted = KEPT_BODY_BYTES;
}

void body_drop_front(struct body *body, struct service *service, size_t size) {
    unsigned char *first = body->memory + BODY_HEADROOM_BYTES;
    body->size -= size;
    if (size) memmove(first, first + size, body->size);
    shrink(body, service);
}

void body_free(struct body *body, struct service *service) {
    if (!body->in_scratch) free(body->memory);
    if (body->counted) service_give_bytes(service, body->counted);
    memset(body, 0, sizeof *body);
}
