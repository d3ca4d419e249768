/*
 * openapi.c - GET /api/openapi.json. The document follows from const tables, so it is made once in the life of the
 * process, by whichever thread is asked first.
 */
#include "http/openapi.h"

#include "http/handlers.h"
#include "http/headers.h"
#include "http/reply.h"

#include <pthread.h>
#include <stdio.h>
#include <xxhash.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct json_writer document; /* failed: there was no memory for it */
static char tag[24];                /* its entity tag, in quotes */

static void make(void) {
    openapi_write(&document);
    if (document.failed) return;
    (void)snprintf(tag, sizeof tag, "\"%016llx\"", (unsigned long long)XXH3_64bits(document.data, document.size));
}

/* Entity tags are long and in quotes: one can't stand in another. */
static bool is_known(velocity_slice tags) {
    return header_is(header_trim(tags), "*") || (tags.data && memmem(tags.data, tags.size, tag, strlen(tag)));
}

void openapi_get(struct http_request *request) {
    if (!request_parameters(request, NULL, 0, NULL)) return;
    (void)pthread_once(&once, make);
    if (document.failed) {
        reply_problem(request, PROBLEM_OVERLOADED, "no memory");
        return;
    }
    bool known = is_known(request->headers.if_none_match);
    request->reply.status = known ? MHD_HTTP_NOT_MODIFIED : MHD_HTTP_OK;
    reply_header(request, "ETag", tag);
    reply_header(request, "Cache-Control", "no-cache");
    if (known) return;
    request->reply.content_type = "application/json";
    request->reply.body = velocity_bytes(document.data, document.size);
    reply_header(request, "X-Content-Type-Options", "nosniff");
}
