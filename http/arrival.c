/* arrival.c - see arrival.h. */
#include "http/arrival.h"

#include <microhttpd.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What libmicrohttpd copies as the client's address. */
struct ticket {
    struct sockaddr_in6 address; /* or the smaller one of IPv4 */
    struct arrivals *arrivals;
    uint64_t number;
};
_Static_assert(sizeof(struct ticket) <= sizeof(struct sockaddr_storage),
               "libmicrohttpd 1.0 copies it into one of these");

void arrivals_init(struct arrivals *arrivals) {
    pthread_mutex_init(&arrivals->mutex, NULL);
    arrivals->last = &arrivals->first;
    arrivals->add = MHD_add_connection;
}

static void give_up(struct arrivals *arrivals, struct connection *connection) {
    while (connection) {
        struct connection *next = connection->next;
        connection_free(connection);
        atomic_fetch_sub_explicit(&arrivals->open, 1, memory_order_relaxed);
        connection = next;
    }
}

void arrivals_destroy(struct arrivals *arrivals) {
    give_up(arrivals, arrivals->first);
    pthread_mutex_destroy(&arrivals->mutex);
}

/* The queue up to the first connection that `keep` says; what was before it is answered, linked by next. */
static struct connection *cut_before(struct arrivals *arrivals, struct connection *keep) {
    struct connection *lost = arrivals->first, **link = &lost;
    while (*link != keep) link = &(*link)->next;
    *link = NULL;
    arrivals->first = keep;
    if (!keep) arrivals->last = &arrivals->first;
    return lost;
}

void arrivals_add(struct arrivals *arrivals, int fd, struct peer *peer) {
    struct connection *connection = connection_new(fd, peer);
    if (!connection) {
        (void)close(fd);
        peer_free(peer);
        return;
    }
    struct ticket ticket = {.arrivals = arrivals};
    memcpy(&ticket.address, &peer->address, sizeof ticket.address);
    connection->arrivals = arrivals;
    connection->arrived_us = clock_us();
    atomic_fetch_add_explicit(&arrivals->open, 1, memory_order_relaxed);
    pthread_mutex_lock(&arrivals->mutex);
    ticket.number = connection->ticket = arrivals->next_ticket++;
    struct connection **place = arrivals->last;
    *place = connection;
    arrivals->last = &connection->next;
    /* It closes the descriptor where it fails. */
    bool taken = arrivals->add(arrivals->daemon, fd, (struct sockaddr *)&ticket, sizeof ticket) == MHD_YES;
    if (!taken) {
        *place = NULL;
        arrivals->last = place;
    }
    pthread_mutex_unlock(&arrivals->mutex);
    if (!taken) give_up(arrivals, connection);
}

struct connection *arrivals_begin(const void *address) {
    const struct ticket *ticket = address;
    struct arrivals *arrivals = ticket->arrivals;
    pthread_mutex_lock(&arrivals->mutex);
    struct connection *connection = arrivals->first;
    while (connection && connection->ticket < ticket->number) connection = connection->next;
    struct connection *lost = cut_before(arrivals, connection);
    if (connection && connection->ticket != ticket->number) connection = NULL;
    if (connection) {
        arrivals->first = connection->next;
        if (!arrivals->first) arrivals->last = &arrivals->first;
        connection->next = NULL;
    }
    pthread_mutex_unlock(&arrivals->mutex);
    give_up(arrivals, lost);
    return connection;
}

void arrivals_sweep(struct arrivals *arrivals, uint64_t now_us) {
    pthread_mutex_lock(&arrivals->mutex);
    struct connection *connection = arrivals->first;
    while (connection && connection->arrived_us + ARRIVAL_LOST_US < now_us) connection = connection->next;
    struct connection *lost = cut_before(arrivals, connection);
    pthread_mutex_unlock(&arrivals->mutex);
    give_up(arrivals, lost);
}
