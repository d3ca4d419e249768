/*
 * target.h - a raw request target, taken apart and decoded exactly once (RFC 9112, section 3.2; RFC 3986).
 *
 * Nothing is normalised: "//", "..", "%2F" and "%00" are just bytes. A target may hold raw bytes from 0x80 on and those
 * that a URI should escape but curl sends as they are; control characters, spaces and '#' it may not.
 * No allocation: buffers are the caller's. Thread-safe.
 */
#ifndef VELOCITY_HTTP_TARGET_H
#define VELOCITY_HTTP_TARGET_H

#include "engine/velocity.h"
#include "server/fields.h"

/* All slices borrow the raw target. */
struct target {
    bool asterisk;            /* "*": only OPTIONS may say so; path is empty */
    bool has_query;           /* there is a '?', perhaps with nothing after it */
    velocity_slice authority; /* of the absolute form ("http://host:port/path"): overrules Host; else empty */
    velocity_slice path;      /* raw, begins with '/', ends before '?' */
    velocity_slice query;     /* raw, without the '?' */
};

/* False: *reason (static) says what is wrong. An absolute form without a path has the path "/". */
bool target_parse(velocity_slice raw, struct target *out, const char **reason);

/*
 * Decodes %XX, and '+' as a space if `plus_is_space` (query only; in a path a plus is a plus). *out borrows `raw` where
 * there is nothing to decode, else `buffer`, which has raw.size bytes and may be where raw is. False: malformed escape.
 */
bool target_decode(velocity_slice raw, bool plus_is_space, char *buffer, velocity_slice *out);

enum query_result { QUERY_PARAMETER, QUERY_END, QUERY_MALFORMED };

struct query {
    velocity_slice rest; /* still to be read */
    char *buffer;        /* where the next decoded bytes go */
};

/*
 * Walks the parameters of a raw query. `buffer` has query.size bytes and must live as long as the slices that come out.
 * Empty pieces ("a=1&&b=2") are passed over; a piece without '=' is a name with an empty value.
 */
void query_begin(struct query *q, velocity_slice raw_query, char *buffer);
enum query_result query_next(struct query *q, velocity_slice *name, velocity_slice *value);

/* The values of parameters. False leaves *out unchanged. For numbers see decimal_u64(). */
bool query_u64(velocity_slice value, uint64_t minimum, uint64_t maximum, uint64_t *out);
bool query_bool(velocity_slice value, bool *out); /* "true" and "false", nothing else */
/* base64url without padding; `buffer` has base64_decoded_max(value.size) bytes and may be where the value is. */
bool query_base64url(velocity_slice value, char *buffer, velocity_slice *out);

#endif
