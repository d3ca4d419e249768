/*
 * peer.h - the other end of a connection, as it was before TLS and the socket pair behind it. What is loopback, what
 * counts against an address and what the logs show is judged by this.
 *
 * Made by the acceptor, given to the front with the descriptor, which from then on owns it. Not changed afterwards but
 * for the counter.
 */
#ifndef VELOCITY_SERVER_PEER_H
#define VELOCITY_SERVER_PEER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#define PEER_TEXT_BYTES 46  /* "192.0.2.1" or "2001:db8::1", without port or brackets, with a NUL */
#define PEER_NAME_BYTES 128 /* of a client certificate's common name */

struct acceptor;

struct peer {
    struct sockaddr_storage address; /* an IPv4 address mapped into IPv6 stands as IPv4 */
    char text[PEER_TEXT_BYTES];
    bool loopback;
    bool tls;
    char certificate[PEER_NAME_BYTES]; /* common name of a client certificate that was verified; "": none */
    _Atomic uint64_t bytes_received;   /* tls: application bytes handed on so far; else not counted */
    struct acceptor *acceptor;         /* whose limits it counts against; NULL: nobody's */
    uint32_t address_slot;             /* the acceptor's own */
};

/* NULL: no memory. Reads the address; an unknown family is not loopback and reads "unknown". */
struct peer *peer_new(const struct sockaddr *address, socklen_t size);
/* Gives back what it holds of its acceptor's limits. NULL is allowed. */
void peer_free(struct peer *peer);

#endif
