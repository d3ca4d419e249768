/*
 * peer.h - the other end of a connection, as it was before TLS and the socket pair behind it. What is loopback, what
 * counts against an address and what the logs show is judged by this.
 *
 * Made by the acceptor, given to the front with the descriptor, which from then on owns it. Not changed afterwards but
 * for the counters and `unframed`, which is the front's. Behind TLS the relay that carries the bytes holds a reference
 * too: the connection counts against the limits until both have let go of it.
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
    _Atomic uint64_t bytes_received;   /* tls: application bytes decrypted so far; else not counted */
    /* The reply under way ends where the connection does: an end before it is whole has to be a reset. */
    _Atomic bool unframed;
    _Atomic uint32_t references;
    void (*release)(const struct peer *peer); /* called once, before its memory goes; NULL: nobody's limits */
    struct acceptor *acceptor;                /* whose limits it counts against; NULL: nobody's */
    uint32_t address_slot;                    /* the acceptor's own */
};

/* NULL: no memory. Reads the address; an unknown family is not loopback and reads "unknown". */
struct peer *peer_new(const struct sockaddr *address, socklen_t size);
/* One more owner; answers it. */
struct peer *peer_acquire(struct peer *peer);
/* Lets go of it; the last one gives back what it holds of its acceptor's limits. NULL is allowed. */
void peer_free(struct peer *peer);
/* How many bytes of it are an address of the system: sizeof(struct sockaddr_in) and so on. */
socklen_t peer_address_size(const struct peer *peer);

#endif
