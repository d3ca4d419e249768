/*
 * http_client.h - the program as a client of a server: one JSON request at a time, over libcurl. The one door to it.
 *
 * What is sent only where it belongs: passwords and tokens go in a header field or the body, never in a URL; over plain
 * HTTP to this machine only, unless it is asked for; over TLS to a server that was verified first; and never along a
 * redirect. Which server is the right one:
 *
 *     a fingerprint is given       its key, whoever signed it
 *     a certificate file is given  the key of that certificate (a server of this machine: what it keeps on disk)
 *     the server is known          the key that it showed at first use (known_servers.h)
 *     else                         a certificate of an authority; failing that, the user is asked (known_servers.h)
 *
 * Functions that answer an int complain in one line, and answer the exit code; EXIT_DONE: it worked. Threads: one.
 */
#ifndef VELOCITY_CLI_HTTP_CLIENT_H
#define VELOCITY_CLI_HTTP_CLIENT_H

#include "engine/velocity.h"

struct http_client;

/* All strings must live as long as the client. */
struct http_client_options {
    const char *url;              /* "https://db:2005"; a path in it stands before ours */
    const char *url_from;         /* where it comes from, for messages: "--url" */
    const char *fingerprint;      /* "SHA256:..."; NULL: none */
    const char *certificate_file; /* PEM; NULL, or not there: none */
    const char *ca_file;          /* PEM, the authorities; NULL: the system's */
    const char *token;            /* "": none */
    const char *user, *password;  /* instead of a token; NULL: none */
    const char *token_path;       /* where the user's token would stand, for messages */
    bool allow_plaintext;         /* send secrets over plain HTTP to another machine */
    long timeout_ms;              /* of a whole request; connecting has 5 s of it at most */
};

#define HTTP_CLIENT_TIMEOUT_MS 60000
#define HTTP_REPLY_MAX_BYTES   (16u << 20)

struct http_reply {
    long status;
    char *body; /* JSON that was checked, without a NUL; NULL: none. It may hold a secret */
    size_t size, capacity;
};

int http_client_open(const struct http_client_options *options, struct http_client **out);
void http_client_free(struct http_client *client); /* NULL is allowed */

struct http_request {
    const char *method, *collection; /* METHOD /api/COLLECTION */
    const char *name;                /* .../NAME, escaped here; NULL: none */
    velocity_slice body;             /* JSON; empty: none */
    const char *about;               /* what it is about, for a refusal that does not say it; NULL: nothing */
};

/* EXIT_DONE: the status is 2xx, and the reply must be freed. EXIT_NOT_FOUND: it is 404. */
int http_client_send(struct http_client *client, const struct http_request *request, struct http_reply *reply);
void http_reply_free(struct http_reply *reply); /* overwrites it, and makes it empty */

#endif
