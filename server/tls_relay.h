/*
 * tls_relay.h - the threads that carry TLS connections: handshake, then bytes both ways between the client and the
 * front, which has the other end of a socket pair and knows nothing of TLS.
 *
 *     client ==TLS== outer | struct link | inner ==socket pair== front
 *
 * Each thread has its share of the connections and waits for all of them at once; no connection can hold up another,
 * for nothing here waits and a turn carries a bounded number of bytes (tls_link.c).
 *
 *     tls_relay_new -> tls_relay_take* -> tls_relay_drain -> tls_relay_stop -> tls_relay_free
 *
 * Threads: tls_relay_take and tls_relay_stats may be called by any; the others by one at a time.
 */
#ifndef VELOCITY_SERVER_TLS_RELAY_H
#define VELOCITY_SERVER_TLS_RELAY_H

#include "server/acceptor.h"
#include "server/logger.h"

struct tls_relay;

struct tls_relay_options {
    struct tls *tls;
    uint32_t threads;          /* 0: as many as cores */
    uint32_t deadline_seconds; /* for the handshake, the first bytes inside, and a client that takes its last bytes */
    struct acceptor_front http;
    struct acceptor_front velocity; /* take NULL: not spoken */
    struct logger *log;             /* hears at level debug why a handshake failed; NULL: nobody */
};

struct tls_relay_stats {
    uint64_t handshakes, failed, timed_out;
    uint32_t open;
};

/* Starts the threads. */
VELOCITY_CHECK_RESULT velocity_status tls_relay_new(const struct tls_relay_options *options, struct tls_relay **out);
/* Takes over both. The descriptor is non-blocking. */
void tls_relay_take(struct tls_relay *relay, int fd, struct peer *peer);
/* Closes what no front has yet and all that still comes. When it returns, no front is given anything any more. */
void tls_relay_drain(struct tls_relay *relay);
/* Drains, lets clients have the last bytes of fronts that closed their end, cuts the rest, ends the threads. */
void tls_relay_stop(struct tls_relay *relay);
void tls_relay_free(struct tls_relay *relay);                                    /* stops; NULL is allowed */
void tls_relay_set_deadline(struct tls_relay *relay, uint32_t deadline_seconds); /* from now on; any thread */
void tls_relay_stats(struct tls_relay *relay, struct tls_relay_stats *out);

#endif
