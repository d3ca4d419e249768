/*
 * follow_internal.h - what the files of follow.h share.
 *
 *   follow.c         followers: begin, take, end; reading by oneself
 *   follow_hub.c     the thread, the hubs, their rings, heartbeats
 *   follow_topics.c  which followers an event concerns
 *   follow_clip.c    what of an event a follower may see
 *
 *   BEHIND --own feed is at `joined`, and the ring still holds all behind that--> ACTIVE <--an event, a heartbeat--
 * IDLE ^                                                                            |  |                              ^
 *     +---the ring went on without it----------------------------------------------+  +--took all of the ring--------+
 *
 * Invariants
 *  1. A hub's feed has shown exactly what is <= hub->version. What of that concerned a topic that was there when it was
 *     shown, and is > hub->base, is in the ring.
 *  2. A follower's topic is there from before `joined`, a version of the hub's, was noted.
 *  3. Nothing concerned an IDLE follower between what it has taken and hub->version: so it needs no place of its own in
 *     the ring, and nothing to read when the ring has gone on.
 *
 * Locks: `mutex` guards everything but what a field's comment gives to one thread. A leaf but for `ready`.
 */
#ifndef VELOCITY_SERVER_FOLLOW_INTERNAL_H
#define VELOCITY_SERVER_FOLLOW_INTERNAL_H

#include "engine/env.h"
#include "engine/status.h"
#include "server/follow.h"

#include <stdatomic.h>

#define FOLLOW_RING_EVENTS 8192u
#define FOLLOW_RING_BYTES  ((size_t)8 << 20)
#define FOLLOW_READERS     4u /* at a time: others who need the executor wait for no more of them */

struct hub;

/* An event that somebody wanted, written out. */
struct event {
    uint32_t references; /* the ring's, and of those who have taken part of it */
    bool range;          /* nothing is written out: each one gets its own clip of it */
    bool held;           /* it has left the ring, and counts as held by those who have taken part of it */
    uint64_t version;
    velocity_slice key, end, text; /* behind the struct */
};

/* Followers of the same prefix. */
struct topic {
    struct topic *next; /* in its bucket */
    uint64_t hash;
    uint32_t followers;
    struct follower *idle; /* linked by idle_next */
    size_t size;
    unsigned char prefix[];
};

#define TOPIC_BUCKETS 1024u

struct topic_size {
    size_t size;
    uint32_t topics; /* with prefixes of this size */
};

struct topics {
    struct topic **buckets;
    struct topic_size *sizes; /* ascending */
    size_t size_count, size_capacity;
    uint64_t seed; /* of the hash: prefixes that collide cannot be prepared */
};

enum follower_stage { FOLLOWER_BEHIND, FOLLOWER_ACTIVE, FOLLOWER_IDLE };

struct follower {
    struct followers *all;
    struct hub *hub;                  /* gone once it has ended */
    struct follower *next, *previous; /* of the hub */
    struct follower *idle_next, *idle_previous;
    struct topic *topic;
    struct database *database;   /* held */
    struct principal *principal; /* held; NULL: it may see all */
    const struct scope *scope;   /* the principal's; NULL: all */
    velocity_slice prefix;       /* behind the struct */
    void (*ready)(void *arg);
    void *arg;
    uint32_t references; /* its owner's, and the executor's while it reads */
    enum follower_stage stage;
    bool ended;
    bool beat;        /* it is to be told where it stands: it has joined, or it is time for a heartbeat */
    uint64_t beat_us; /* when the next one is due */
    uint64_t version; /* what concerns it up to here was taken; while it reads, the reader's */
    uint64_t joined;
    uint64_t serial;     /* ACTIVE: the event that it looks at next */
    struct event *piece; /* which it has taken the first piece_at bytes of; NULL: none */
    size_t piece_at;
    size_t held;  /* that all->held counts of it */
    bool resting; /* BEHIND, holds something, and does not take: linked by `newer` */
    struct follower *newer, *older;
    /* BEHIND; the reader's while `reading` */
    bool reading;
    bool caught_up;     /* it has read up to `joined` */
    size_t enough;      /* that are read before they are taken */
    uint64_t from;      /* what `ahead` shows comes behind it */
    size_t skip;        /* so much of what comes behind `version` was taken already, and let go */
    uint64_t last_from; /* the last event in `ahead` comes behind it ... */
    size_t last_at;     /* ... and begins there */
    velocity_status status;
    char *words; /* why `status` is none that is answered by events; NULL: there is nothing to say, or no memory */
    struct store_feed *feed;
    struct follower *next_turn; /* of who reads after it */
    struct json_writer ahead;   /* read and not taken yet, from ahead_at on */
    size_t ahead_at;
    struct executor_task task;
};

struct hub {
    struct hub *next; /* set once; hubs leave by the thread alone */
    struct followers *all;
    struct database *database; /* held */
    struct store_feed *feed;   /* the thread's */
    _Atomic bool dirty;        /* the feed may have something */
    bool retry;                /* the thread's: the feed failed, and is asked again with the next tick */
    uint64_t failing_us;       /* the thread's: since when it fails; 0: it does not */
    velocity_status failed;    /* it was given up, and reads no more; OK: it was not */
    char words[512];           /* why */
    struct follower *followers;
    uint32_t count;
    struct topics topics;
    uint64_t version; /* see the invariants */
    uint64_t base;
    uint64_t first, behind_last; /* serials of the events in the ring, the latter one too high */
    size_t ring_bytes;
    struct event *ring[FOLLOW_RING_EVENTS]; /* by serial, modulo its size */
};

struct followers {
    env_mutex mutex;
    env_condition left; /* a follower was freed */
    struct follow_options options;
    struct hub *hubs;
    uint32_t count;                     /* followers that were not freed */
    uint32_t readers;                   /* that read by themselves, on the executor ... */
    struct follower *turns, *last_turn; /* ... and those who wait until one of them is done: the first, the last */
    size_t held; /* bytes, of who is behind, and of events that left the ring while somebody had taken part of them */
    struct follower *oldest, *newest; /* of those who rest: the first of them lets go where too much is held */
    uint64_t events;
    bool ending;
    int wake; /* an eventfd: the thread has something to do */
    env_thread thread;
};

static inline uint64_t follow_now_us(void) {
    return env_monotonic_us(env_posix());
}

/* ---- follow_hub.c ------------------------------------------------------------------------------------------------ */

/* Under the mutex: the hub of the database, made if there is none; `version` is one that the database has shown. */
velocity_status hub_enter(struct followers *all, struct follower *follower, uint64_t version);
void hub_leave(struct follower *follower);
void hub_wake_thread(struct followers *all);
void event_release(struct followers *all, struct event *event);
void *followers_run(void *arg); /* the thread */

/* ---- follow.c; under the mutex ----------------------------------------------------------------------------------- */

/* Of an event that it has taken a part of: it reads the rest by itself. */
void follower_let_go_piece(struct follower *follower);

/* ---- follow_topics.c; under the mutex ---------------------------------------------------------------------------- */

bool topics_init(struct topics *topics);
void topics_free(struct topics *topics);
/* NULL: no memory. */
struct topic *topics_enter(struct topics *topics, velocity_slice prefix);
void topics_leave(struct topics *topics, struct topic *topic);
/* Calls `found` (may be NULL) for each topic that the event concerns, and answers whether there is one. */
bool topics_find(struct topics *topics, const struct follow_event *event, void (*found)(struct topic *topic, void *arg),
                 void *arg);

/* ---- follow_clip.c ------------------------------------------------------------------------------------------------
 */

struct follow_event follow_event_of(const velocity_change *change);

/* The longest prefix that all which the follower may see begins with, as far as that is one string. */
velocity_slice follow_topic_prefix(const struct follower *follower);
bool follow_sees_key(const struct follower *follower, velocity_slice key);

/* What a follower may see of [start, end): a part for each prefix of its scope that it meets, ascending. `start` and
 * `end` borrow what they were made of, or `successor`. */
struct follow_clip {
    size_t next;               /* of the scope's prefixes; 0 at first */
    velocity_slice start, end; /* end without data: to the last key */
    bool more;                 /* another part follows */
    unsigned char successor[VELOCITY_MAX_KEY_BYTES];
};
/* False: that was all. */
bool follow_clip_next(const struct follower *follower, velocity_slice start, velocity_slice end,
                      struct follow_clip *clip);

#endif
