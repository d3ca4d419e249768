/*
 * inspect.h - one pass over a request's header fields: what the front needs of them, and what is wrong with them.
 */
#ifndef VELOCITY_HTTP_INSPECT_H
#define VELOCITY_HTTP_INSPECT_H

#include "engine/velocity.h"
#include "http/problem.h"
#include "server/scratch.h"

#include <microhttpd.h>

/* Slices borrow the connection's memory, or `scratch` where several lines were joined; data NULL: not there. */
struct request_headers {
    velocity_slice host, content_type, content_encoding, content_range, if_match, if_none_match, if_range, range,
        request_id, origin, fetch_site, expect;
    velocity_slice accept_encoding, last_event_id;
    velocity_slice authorization, cookie, csrf, transaction;
    velocity_slice forwarded_for, forwarded_proto, forwarded_field; /* X-Forwarded-For, X-Forwarded-Proto, Forwarded */
    velocity_slice request_method;                                  /* Access-Control-Request-Method */
    uint64_t content_length;
    bool has_content_length;
    bool chunked;
    bool forwarded; /* Forwarded, X-Forwarded-*, Via */
    /* The first thing that is wrong; framing: where the request ends is in doubt, so the connection must too. */
    bool wrong, framing;
    enum problem_code code;
    const char *reason; /* static */
    struct scratch *scratch;
    const char *last_end; /* of the value seen last */
};

void headers_inspect(struct MHD_Connection *mhd, bool http_1_0, struct scratch *scratch, struct request_headers *out);

#endif
