/*
 * connection.h - every open connection, and the sweep that cuts those whose request does not arrive in time.
 *
 *        +--------------------- request ended --------------------+
 *        v                                                         |
 *      IDLE --first line--> READING --all of it is here--> BUSY ---+
 *        |                    |  |
 *        |                    |  +--refused while the body comes--> LINGERING
 *        +--> CUT <-----------+--------------------------------------+
 *             (by the sweep)
 *
 * libmicrohttpd's own timeout counts silence only, so that a byte now and then keeps a request open for ever, and a
 * client that reads a byte now and then a reply. The sweep looks at how long ago a request began, and whether a reply
 * was taken in the time that its size allows. Bytes before a complete first line are libmicrohttpd's secret; there the
 * count of received bytes - the kernel's, or behind TLS the relay's - tells whether an idle connection has begun to
 * speak.
 *
 * Threads: the worker changes the phase, the sweeper only to CUT; each with compare-and-swap, so that nobody answers a
 * connection that was cut. A mutex guards the list; a connection is taken off it before its descriptor is closed, so
 * the sweeper, which holds the mutex, never touches another's.
 */
#ifndef VELOCITY_HTTP_CONNECTION_H
#define VELOCITY_HTTP_CONNECTION_H

#include "engine/velocity.h"
#include "http/credentials.h"
#include "server/peer.h"

#include <pthread.h>
#include <stdatomic.h>

enum connection_phase {
    CONNECTION_IDLE,
    CONNECTION_READING,
    CONNECTION_BUSY,
    CONNECTION_LINGERING,
    CONNECTION_CUT,
};

/* How long what a refused client still sends is passed over, so that it gets to read why (at most the deadline). */
#define CONNECTION_LINGER_US UINT64_C(5000000)

struct arrivals;
struct streams;

struct connection {
    struct connection *next, *previous; /* of the list; of arrivals: next */
    int fd;                             /* libmicrohttpd's */
    struct peer *peer;                  /* its own */
    struct arrivals *arrivals;          /* of its worker */
    uint64_t ticket;                    /* there (arrival.h) */
    uint64_t arrived_us;
    _Atomic uint32_t phase;
    _Atomic uint64_t since_us; /* READING: when the request began; LINGERING: when it was refused (clock_us) */
    _Atomic uint64_t due_us;   /* BUSY: when its reply must have been taken; 0: it has none yet, or may take for ever */
    _Atomic uint64_t requests; /* so far */
    /* the worker's */
    struct credentials credentials;
    struct rate_bucket bucket;
    /* the sweeper's */
    uint64_t idle_requests; /* `requests` when it last looked */
    uint64_t idle_bytes;    /* received by then */
    uint64_t spoke_at_us;   /* when it saw more; 0: it did not */
};

struct connections {
    pthread_mutex_t mutex; /* guards list and count, ending, closed */
    pthread_cond_t wake;
    struct connection *list;
    uint32_t count;
    bool ending;
    bool closed;                  /* who comes now is cut off */
    bool sweeping;                /* the sweeper was started */
    _Atomic uint64_t deadline_us; /* 0: no sweep; it may change, but not from or to 0 */
    velocity_slice farewell;      /* what a connection is told whose request did not arrive in time; borrowed */
    struct arrivals *arrivals;    /* which the sweep looks through too; borrowed */
    uint32_t arrivals_count;
    struct streams *streams; /* and these; borrowed */
    _Atomic uint64_t accepted, cut;
    pthread_t sweeper;
};

/* The monotonic clock. */
uint64_t clock_us(void);

/* 0 seconds: no sweep. */
VELOCITY_CHECK_RESULT velocity_status connections_start(struct connections *all, uint32_t deadline_seconds,
                                                        velocity_slice farewell, struct arrivals *arrivals,
                                                        uint32_t arrivals_count, struct streams *streams);
/* From now on, for requests under way too; any thread. Without effect where there is no sweep. */
void connections_set_deadline(struct connections *all, uint32_t deadline_seconds);
/* Ends the sweep. Connections may still be removed. */
void connections_stop_sweep(struct connections *all);
void connections_destroy(struct connections *all);
/* Takes over the peer, not the descriptor. NULL: no memory; the peer stays the caller's. */
struct connection *connection_new(int fd, struct peer *peer);
void connection_free(struct connection *connection);
/* A connection is added when its worker begins it, and removed and freed before its descriptor is closed. */
void connection_add(struct connections *all, struct connection *connection);
void connection_remove(struct connections *all, struct connection *connection);
uint32_t connections_count(struct connections *all);
/* Whoever comes from now on is cut: libmicrohttpd may have taken a socket that it has not begun with yet. */
void connections_close(struct connections *all);
/* Cuts every connection in one of these phases, a set of 1 << phase. BUSY ones lose their socket but not their phase.
 */
void connections_cut(struct connections *all, unsigned phases);

/* Of a reply that nothing but the connection's end ends: while it is not whole, every end of the connection is a reset,
 * which nobody takes for the reply's own. */
void connection_set_unframed(struct connection *connection, bool unframed);
bool connection_is_unframed(const struct connection *connection);
/* Ends it, both ways; its worker closes it then. False: it had ended. */
bool connection_break(struct connection *connection);

/* From IDLE to READING and so on. False: the connection was cut; say nothing more on it. */
bool connection_enter(struct connection *connection, enum connection_phase from, enum connection_phase to);

#endif
