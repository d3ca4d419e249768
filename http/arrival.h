/*
 * arrival.h - the way of a connection from the acceptor's thread to the worker that serves it.
 *
 *     arrivals_add: [ticket] -> MHD_add_connection -> ... the worker's thread ... -> arrivals_begin(ticket)
 *
 * libmicrohttpd takes a descriptor and an address, nothing that would tell its notification which peer this is; and it
 * says nothing of connections that it loses on the way (no memory, or its own end). But it copies the address, up
 * to the size of a sockaddr_storage: behind the real one travels a ticket. Who has arrived and not begun stands in a
 * queue in the order of tickets, which is also the order in which a worker begins them: those before one that begins
 * were lost.
 *
 * Threads: arrivals_begin by the worker, the others by any. A mutex guards the queue and is held while the connection
 * is handed to libmicrohttpd, so that both orders are the same; libmicrohttpd holds none of its own when it notifies.
 */
#ifndef VELOCITY_HTTP_ARRIVAL_H
#define VELOCITY_HTTP_ARRIVAL_H

#include "http/connection.h"
#include "server/peer.h"

#include <microhttpd.h>

/* A worker begins what came in each time that it wakes: one that has waited so long was lost. */
#define ARRIVAL_LOST_US UINT64_C(60000000)

/* One worker's. */
struct arrivals {
    pthread_mutex_t mutex; /* guards all below but `open` */
    struct connection *first, **last;
    uint64_t next_ticket;
    struct MHD_Daemon *daemon; /* NULL: ended, or not started */
    /* MHD_add_connection, but in the tests of what it loses */
    enum MHD_Result (*add)(struct MHD_Daemon *daemon, MHD_socket fd, const struct sockaddr *address, socklen_t size);
    _Atomic uint32_t open; /* connections that this worker has or will have */
};

void arrivals_init(struct arrivals *arrivals);
/* After the daemon has ended: frees what never began. */
void arrivals_destroy(struct arrivals *arrivals);
/* Takes over both, whatever comes of it. */
void arrivals_add(struct arrivals *arrivals, int fd, struct peer *peer);
/* The connection whose address this is, libmicrohttpd's copy; NULL: it was given up. */
struct connection *arrivals_begin(const void *address);
/* Frees those that were lost. */
void arrivals_sweep(struct arrivals *arrivals, uint64_t now_us);

#endif
