/*
 * expiry.h - when a key expires: seconds from now, or a moment, and the header field that tells it.
 *
 * A moment that has passed is taken: the key is then put and gone at once. So a write that came late, or was sent
 * again, or whose sender's clock is ahead, ends as it would have in time, and is no error.
 */
#ifndef VELOCITY_HTTP_EXPIRY_H
#define VELOCITY_HTTP_EXPIRY_H

#include "http/request.h"

#define EXPIRY_MAX_SECONDS UINT64_C(3155760000) /* a hundred years */
#define EXPIRY_TTL_RULE    "ttl is a whole number of seconds, 1 to 3155760000"
#define EXPIRY_AT_RULE     "expires_at is a moment as in RFC 3339, such as 2030-01-31T12:00:00Z"

/* What was asked for; both 0: never. A ttl counts from when the value is stored, not from when it began to come: it may
 * take long to. */
struct expiry {
    uint64_t ttl_seconds;
    int64_t at_ms;
};

/* False: out of bounds. */
bool expiry_after(uint64_t seconds, int64_t *expires_at_ms);
/* RFC 3339. False: it is not. */
bool expiry_at(velocity_slice text, int64_t *expires_at_ms);
/* From the parameters ttl and expires_at (data NULL: not given). False: wrong, and the reply says so. */
bool expiry_from_parameters(struct http_request *request, velocity_slice ttl, velocity_slice at, struct expiry *out);
/* When that is; 0: never. */
int64_t expiry_from_now(const struct expiry *expiry);
/* Velocity-Expires-At, where there is one (not 0). */
void expiry_header(struct http_request *request, int64_t expires_at_ms);

#endif
