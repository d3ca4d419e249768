/*
 * credentials.h - who sends a request: a bearer token, a name and password (HTTP's Basic), or a browser's cookie.
 *
 * A connection remembers what it showed last and who that was, so that the next request costs a comparison. What is
 * remembered holds while the auth's generation does and until the secret's end.
 */
#ifndef VELOCITY_HTTP_CREDENTIALS_H
#define VELOCITY_HTTP_CREDENTIALS_H

#include "server/auth.h"

struct http_request;

#define CREDENTIALS_REMEMBERED_BYTES 192 /* longer ones are looked up each time */

/* Of a connection; the worker's. All zero: nothing. */
struct credentials {
    struct principal *principal; /* held */
    uint64_t generation;
    bool by_cookie;
    uint32_t size;
    char bytes[CREDENTIALS_REMEMBERED_BYTES]; /* the field as it came; size 0: none was shown */
};

void credentials_forget(struct credentials *credentials);

enum credentials_result {
    CREDENTIALS_KNOWN,   /* request->principal is set: NULL where nothing was shown */
    CREDENTIALS_WRONG,   /* what was shown is nobody's */
    CREDENTIALS_WAITING, /* a password is hashed: request_wake, then credentials_answer */
    CREDENTIALS_REFUSED, /* the reply is set: banned, busy, malformed, without its CSRF token */
};
enum credentials_result credentials_check(struct http_request *request);
enum credentials_result credentials_answer(struct http_request *request);
/* Checks request->check, of which user and password are set; the password's bytes are overwritten in the end. KNOWN,
 * WRONG, REFUSED or WAITING as above. For a handler that logs somebody in, too. */
enum credentials_result credentials_password(struct http_request *request);

#define CREDENTIALS_COOKIE_BYTES 32
/* "velocity_2005", over TLS "__Host-velocity_2005". */
void credentials_cookie_name(const struct http_request *request, char out[CREDENTIALS_COOKIE_BYTES]);
/* With the reply; it is gone after so many seconds. An empty secret and 0: it is taken back. */
void credentials_set_cookie(struct http_request *request, const char *secret, int64_t seconds);

#endif
