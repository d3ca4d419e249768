/*
 * encoding.h - content codings: what a client takes (RFC 9110, section 12.5.3), and a reply's body as gzip.
 */
#ifndef VELOCITY_HTTP_ENCODING_H
#define VELOCITY_HTTP_ENCODING_H

#include "http/request.h"

enum encoding {
    ENCODING_IDENTITY,  /* no gzip, or it would rather have none; also where it takes nothing that there is */
    ENCODING_GZIP,      /* gzip, or nothing */
    ENCODING_GZIP_ONLY, /* "identity;q=0": gzip whatever the size */
};

/* From Accept-Encoding; data NULL: not there. Pure. */
enum encoding encoding_choose(velocity_slice accept_encoding);

/*
 * For the body of a list, finished in request->writer: makes it gzip where the client takes that and it is worth it.
 * reply_json then says so. Takes its time: for the executor's threads.
 */
void encoding_apply(struct http_request *request);

#endif
