/* expiry.c - see expiry.h. */
#include "http/expiry.h"

#include "http/reply.h"
#include "server/decimal.h"
#include "server/timestamp.h"

bool expiry_after(uint64_t seconds, int64_t *expires_at_ms) {
    if (seconds == 0 || seconds > EXPIRY_MAX_SECONDS) return false;
    *expires_at_ms = timestamp_now() + (int64_t)seconds * 1000;
    return true;
}

bool expiry_at(velocity_slice text, int64_t *expires_at_ms) {
    int64_t ms;
    if (!timestamp_parse(text, &ms)) return false;
    *expires_at_ms = ms > 0 ? ms : 1; /* 0 stands for never */
    return true;
}

bool expiry_from_parameters(struct http_request *request, velocity_slice ttl, velocity_slice at, struct expiry *out) {
    int64_t in_bounds;
    *out = (struct expiry){0};
    if (ttl.data && at.data) return reply_bad_parameter(request, "give either ttl or expires_at");
    if (ttl.data)
        return (decimal_u64(ttl, &out->ttl_seconds) && expiry_after(out->ttl_seconds, &in_bounds)) ||
               reply_bad_parameter(request, EXPIRY_TTL_RULE);
    if (at.data) return expiry_at(at, &out->at_ms) || reply_bad_parameter(request, EXPIRY_AT_RULE);
    return true;
}

int64_t expiry_from_now(const struct expiry *expiry) {
    int64_t at_ms = expiry->at_ms;
    if (expiry->ttl_seconds) (void)expiry_after(expiry->ttl_seconds, &at_ms);
    return at_ms;
}

void expiry_header(struct http_request *request, int64_t expires_at_ms) {
    if (expires_at_ms == 0) return;
    char *text = scratch_alloc(&request->scratch, TIMESTAMP_BYTES);
    if (!text) return;
    timestamp_format(expires_at_ms, text);
    reply_header(request, "Velocity-Expires-At", text);
}
