/*
 * http_peer.h - the server that a client speaks with: where it is, and how it proves to be the right one.
 *
 *     a fingerprint is given       its key, whoever signed it
 *     a certificate file is given  the key of that certificate (a server of this machine: what it keeps on disk)
 *     the server is known          the key that it showed at first use (known_servers.h)
 *     else                         a certificate of an authority; failing that, the user is asked (known_servers.h)
 *
 * Functions that answer an int complain in one line, and answer the exit code; EXIT_DONE: it worked. Threads: one.
 */
#ifndef VELOCITY_CLI_HTTP_PEER_H
#define VELOCITY_CLI_HTTP_PEER_H

#include "cli/http_client.h"

#include <curl/curl.h>

#define HTTP_PIN_BYTES (sizeof "sha256//" + 44)

struct http_peer {
    const struct http_client_options *options;
    char *base;               /* "https://db:2005/path", without a slash at its end */
    char *server;             /* "db:2005", as known_servers has it */
    const char *pin_from;     /* who says that the server has that key: words for a message */
    char pin[HTTP_PIN_BYTES]; /* "sha256//..."; "": the authorities decide */
    bool tls, loopback;
};

/* Reads the URL, and decides what will be believed. The options must live as long as the peer, which must be closed
 * whatever comes out. */
int http_peer_open(const struct http_client_options *options, struct http_peer *out);
void http_peer_close(struct http_peer *peer);

/* What every transfer with it needs; `error` gets libcurl's words, and must live as long as `curl`. False: no memory.
 */
bool http_peer_prepare(const struct http_peer *peer, CURL *curl, const char *url, char error[CURL_ERROR_SIZE]);
/* That nothing is said before it has proved to be the right one. */
bool http_peer_prepare_trust(const struct http_peer *peer, CURL *curl);

/* No authority vouches for it, or this machine knows none: whom the user names must do it. */
bool http_peer_is_unknown(const struct http_peer *peer, CURLcode result);
/* Does the user vouch for it? `error`: libcurl's words about `result`. */
int http_peer_ask(struct http_peer *peer, CURLcode result, char error[CURL_ERROR_SIZE]);

#endif
