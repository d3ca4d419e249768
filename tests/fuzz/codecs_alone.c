/* codecs_alone.c - what http/expiry.c calls to answer a request, for fuzzers that have none. */
#include "http/reply.h"
#include "tests/fuzz/fuzz.h"

bool reply_bad_parameter(struct http_request *request, const char *reason) {
    (void)request, (void)reason;
    abort();
}

void reply_header(struct http_request *request, const char *name, const char *value) {
    (void)request, (void)name, (void)value;
    abort();
}
