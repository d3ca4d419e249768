/*
 * http_client.h - the program as a client of a server: one request at a time, over libcurl. The one door to it. Bodies
 * of any size go by in pieces, both ways; what is small is JSON, and answered whole.
 *
 * What is sent only where it belongs: passwords and tokens go in a header field or the body, never in a URL; over plain
 * HTTP to this machine only, unless it is asked for; over TLS to a server that was verified first; and never along a
 * redirect. Which server is the right one: http_peer.h.
 *
 * Functions that answer an int complain in one line, and answer the exit code; EXIT_DONE: it worked. Threads: one.
 */
#ifndef VELOCITY_CLI_HTTP_CLIENT_H
#define VELOCITY_CLI_HTTP_CLIENT_H

#include "engine/velocity.h"

#include <stdint.h>

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
    long timeout_ms;              /* of a whole request, or of silence; connecting has 5 s of it at most */
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

/* ---- requests of any kind --------------------------------------------------------------------------------------- */

#define HTTP_EXCHANGE_FIELDS 8
#define HTTP_READ_FAILED     SIZE_MAX

/* What is not set is NULL or 0. */
struct http_exchange {
    const char *method;
    const char *path;                         /* behind the server's address: "/api/keys/user%3A1?ttl=60", escaped */
    const char *fields[HTTP_EXCHANGE_FIELDS]; /* "Name: value" */
    velocity_slice body;                      /* the body, or ... */
    /* ... its next piece, at most `size` bytes; 0: that was all; HTTP_READ_FAILED ends the transfer */
    size_t (*read)(void *arg, char *out, size_t size);
    int64_t body_bytes; /* that `read` will bring; negative: not known */
    /* What comes of a reply that is 2xx, piece by piece. False ends the transfer. NULL: into `reply`. */
    bool (*write)(void *arg, const char *bytes, size_t size);
    /* Each header field of the reply; without NULs behind them */
    void (*field)(void *arg, velocity_slice name, velocity_slice value);
    void *arg;
    bool endless;      /* no limit of time but of silence, to which what `read` and `write` wait for does not count */
    uint32_t silent_s; /* of an endless one: so long without a byte ends it; 0: what a whole request has elsewhere */
    bool safe;         /* it changes nothing, though it is no GET */
    const char *about; /* as above */
    bool unjudged;     /* no complaint of a reply that is not 2xx: see http_client_complain */
    /* out */
    bool interrupted;        /* ended by read or write; the answer is EXIT_DONE */
    bool broken;             /* the connection ended before the reply did, or never came about */
    bool later;              /* the server does not take it now: 429, 503 */
    struct http_reply reply; /* its status; its body where it is not 2xx, or nothing takes it. It must be freed */
};

/* EXIT_DONE: the status is 2xx, or it was interrupted. EXIT_NOT_FOUND: it is 404. `quiet`: no complaint where it is
 * broken, or may go later: the caller tries again. */
int http_client_exchange(struct http_client *client, struct http_exchange *exchange, bool quiet);
/* What a quiet one, the last, did not say. */
int http_client_complain(struct http_client *client, const struct http_exchange *exchange);

/* Percent-escapes bytes for one segment or a parameter; the caller frees it. NULL: no memory. */
char *http_client_escape(velocity_slice bytes);

#endif
