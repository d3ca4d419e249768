/*
 * acceptor.h - the one port: accepts connections, looks at their first bytes under a deadline, and hands each to the
 * front that speaks so.
 *
 *     accept -> limits -> first bytes -- 0x16: TLS -> handshake (tls_relay.h) --+-> by ALPN or the first bytes inside
 *                                    \- others -------------------------------+--> front.take(fd, peer)
 *
 * Behind TLS the front gets one end of a socket pair, and the relay's threads carry the bytes: three descriptors a
 * connection. A connection that has not shown its first bytes, or not ended its handshake, within the deadline is
 * closed. Connections beyond max_connections wait in the listen queue; beyond max_connections_per_address they are
 * closed at once. One address is one of IPv4, or a network (/64) of IPv6.
 *
 *     acceptor_new -> acceptor_run -> acceptor_drain -> [the fronts end] -> acceptor_stop -> acceptor_free
 *
 * Threads: one accepts and looks at first bytes (epoll); `relay_threads` carry TLS. take is called on any of them and
 * must not wait.
 */
#ifndef VELOCITY_SERVER_ACCEPTOR_H
#define VELOCITY_SERVER_ACCEPTOR_H

#include "engine/velocity.h"
#include "server/logger.h"
#include "server/peer.h"
#include "server/tls.h"

struct acceptor;

/* A protocol. take owns descriptor and peer from its call on, whatever it answers. */
struct acceptor_front {
    void (*take)(void *arg, int fd, struct peer *peer); /* fd is non-blocking and close-on-exec */
    void *arg;
};

struct acceptor_options {
    const char *bind_address;             /* "127.0.0.1:2005", "[::1]:2005", "localhost:2005"; port 0: a free one */
    uint32_t max_connections;             /* together; at least 1 */
    uint32_t max_connections_per_address; /* 0: no limit */
    uint32_t deadline_seconds;            /* for first bytes and for the handshake, each; 0: none */
    uint32_t relay_threads;               /* 0: as many as cores */
    struct tls *tls;                      /* NULL: TLS is not spoken, its connections are closed. The caller's */
    struct logger *log;                   /* hears at level debug why a handshake failed; NULL: nobody */
    struct acceptor_front http;
    struct acceptor_front velocity; /* take NULL: not spoken; its connections are closed */
};

struct acceptor_stats {
    uint64_t accepted, refused_per_address, timed_out, tls_handshakes, tls_failed;
    uint32_t open; /* all that are not freed yet */
    uint32_t tls_open;
};

/* Listens at once, accepts from acceptor_run on. INVALID: the address; IO: it cannot be bound. */
VELOCITY_CHECK_RESULT velocity_status acceptor_new(const struct acceptor_options *options, struct acceptor **out);
/* Once. After a failure it can only be freed. */
VELOCITY_CHECK_RESULT velocity_status acceptor_run(struct acceptor *acceptor);
uint16_t acceptor_port(const struct acceptor *acceptor);
/* No new connections: the listening socket is closed, and so are those that no front has yet; what was handed over goes
 * on. When it returns, no front is given anything any more. */
void acceptor_drain(struct acceptor *acceptor);
/* Drains, and ends the relays: they carry to the clients what fronts that have closed their end said last (two seconds
 * at most), all other TLS connections are cut. Peers may be freed afterwards, too. */
void acceptor_stop(struct acceptor *acceptor);
/* Stops. All peers must be freed. NULL is allowed. */
void acceptor_free(struct acceptor *acceptor);
void acceptor_stats(struct acceptor *acceptor, struct acceptor_stats *out);
/* Limits that can change while it runs; the deadline of connections to come. */
void acceptor_set_per_address(struct acceptor *acceptor, uint32_t max_connections_per_address);
void acceptor_set_deadline(struct acceptor *acceptor, uint32_t deadline_seconds);

#endif
