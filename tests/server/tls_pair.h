/* tls_pair.h - both ends of a TLS connection over a socket pair, in one thread. The assertions are cmocka's. */
#ifndef VELOCITY_TESTS_TLS_PAIR_H
#define VELOCITY_TESTS_TLS_PAIR_H

#include "tls_client.h"

struct pair {
    int fds[2]; /* the server's, the client's */
    struct tls_session *session;
    struct tls_client client;
    enum tls_result said; /* the server, last */
};

/* NULL options: a client that trusts everybody and shows nothing. */
void connect_pair(struct pair *pair, struct tls *tls, const struct tls_client_options *options);
/* Takes turns until neither gets further: true when both have shaken hands. */
bool shake_hands(struct pair *pair);
/* Both of the above. */
bool meet(struct pair *pair, struct tls *tls, const struct tls_client_options *options);
void part(struct pair *pair);
/* The client's end of the socket goes, without a word. */
void hang_up(struct pair *pair);

/* A few bytes go there and others back. */
bool echoes(struct pair *pair);

/* The session failed, with these words among others. */
void assert_says(const struct pair *pair, const char *words);
void assert_client_sends(struct pair *pair, const char *text);
void assert_server_reads(struct pair *pair, const char *text);

/* Sends records that TLS 1.3 lets pass without a word, as many as the socket takes; how many bytes that were. */
size_t flood(struct pair *pair);

#endif
