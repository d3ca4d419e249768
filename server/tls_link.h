/*
 * tls_link.h - one TLS connection of a relay's thread, and what the links of a thread share.
 *
 *     HANDSHAKE --ALPN--------------------------> CARRYING --both ways have ended--> ENDED
 *         |                                        ^  |                               ^
 *         +--no ALPN--> OPENING --first bytes------+  +--an error, a deadline---------+
 *
 * Two streams run through a link, up (client to front) and down (front to client). Each has at most one buffer, and
 * only while there are bytes in it; it reads when the buffer is empty. So a side that takes nothing stops the reading
 * from the other side, and an idle link holds no buffer.
 *
 * `wants` says what a stream waits for, and the descriptors are watched for just that, level-triggered. One that is
 * waited on for nothing is watched edge-triggered for nothing: the end of it is told once, and does not spin.
 *
 * Threads: the loop's own, but for link_new.
 */
#ifndef VELOCITY_SERVER_TLS_LINK_H
#define VELOCITY_SERVER_TLS_LINK_H

#include "server/deadline.h"
#include "server/tls_relay.h"

#include <stdatomic.h>

#define LINK_BUFFER_BYTES 16384u  /* a record of TLS (RFC 8446, 5.1) */
#define LINK_TURN_BYTES   131072u /* carried one way before others have their turn */

enum link_phase { LINK_HANDSHAKE, LINK_OPENING, LINK_CARRYING, LINK_ENDED };

/* What a stream waits for. */
enum link_want {
    WANT_OUTER_IN = 1,
    WANT_OUTER_OUT = 2,
    WANT_INNER_IN = 4,
    WANT_INNER_OUT = 8,
};

/* A descriptor in the thread's epoll set. */
struct link_end {
    struct link *link;
    int fd;          /* -1: none yet */
    uint32_t events; /* it is watched for; 0: not in the set */
};

struct link_stream {
    unsigned char *bytes; /* NULL: nothing in it */
    size_t start, size;   /* what is still to be written */
    unsigned wants;       /* set of link_want */
    bool source_ended;
    bool done; /* the end was passed on, or nobody is there to take it */
};

struct link {
    struct deadline deadline; /* first, so that one leads to its link */
    struct link *next, *previous;
    struct link_loop *loop;
    struct tls_session *session;
    struct peer *peer; /* a reference */
    enum link_phase phase;
    struct link_end outer, inner;
    struct link_stream up, down;
};

struct link_counters {
    _Atomic uint64_t handshakes, failed, timed_out;
    _Atomic uint32_t open;
};

struct link_loop {
    const struct tls_relay_options *options;
    struct link_counters *counters; /* of all threads */
    int epoll;
    struct deadline_queue deadlines;
    struct link *links; /* by next and previous */
    struct link *ended; /* by next; freed after the turn, for its events may still lie before us */
    unsigned char *spare;
    uint32_t spare_count;
};

/* Counted as open from here on. NULL: no memory; descriptor and peer stay the caller's. */
struct link *link_new(struct link_counters *counters, int fd, struct peer *peer);
/* For one that never began: closes and frees all of it. */
void link_drop(struct link *link, struct link_counters *counters);

/* Puts it into the loop, where its handshake begins with the next events. */
void link_begin(struct link *link, struct link_loop *loop);
void link_event(struct link_end *end, uint32_t events);
/* Ends those whose time is over. */
void link_expire(struct link_loop *loop, uint64_t now_us);
/* Ends those that no front has. */
void link_drain(struct link_loop *loop);
/* Ends all but those whose front has closed its end: these still have bytes for their clients. */
void link_stop(struct link_loop *loop);
void link_end_all(struct link_loop *loop);
/* Frees what has ended. */
void link_reap(struct link_loop *loop);
/* After the last link. */
void link_free_spare(struct link_loop *loop);

#endif
