/*
 * body.h - a request's body as it comes in, counted against the service's budget.
 *
 *     [headroom: BODY_HEADROOM_BYTES][body ... size][free ... capacity]
 *
 * The headroom is there so that what is stored before a value can be put in place without moving the value. Memory
 * follows what has come, not what a Content-Length promises.
 */
#ifndef VELOCITY_HTTP_BODY_H
#define VELOCITY_HTTP_BODY_H

#include "engine/velocity.h"
#include "server/scratch.h"
#include "server/service.h"

#define BODY_HEADROOM_BYTES ((size_t)256)

struct body {
    unsigned char *memory; /* NULL: nothing has come */
    bool in_scratch;       /* the memory is the request's; else malloc'd */
    size_t size, capacity; /* without the headroom */
    uint64_t limit;        /* of size */
    uint64_t counted;      /* taken from the service's budget */
};

enum body_result { BODY_OK, BODY_TOO_LARGE, BODY_OVER_BUDGET, BODY_NO_MEMORY };

/* `expected`: what Content-Length says; 0: nothing. */
enum body_result body_append(struct body *body, struct service *service, struct scratch *scratch, uint64_t expected,
                             const void *bytes, size_t size);
/* So many bytes of the front are done with; memory that the rest does not need by far is given back. */
void body_drop_front(struct body *body, struct service *service, size_t size);
void body_free(struct body *body, struct service *service);

static inline velocity_slice body_slice(const struct body *body) {
    return body->memory ? velocity_bytes(body->memory + BODY_HEADROOM_BYTES, body->size) : velocity_bytes("", 0);
}

#endif
