/*
 * follow.h - those who follow the changes of databases, as many as there are connections, and one reading of the log
 * for all who keep up.
 *
 *     log --the hub's feed, one a database--> [ring of recent events, written out once] --follow_take--> who keeps up
 *      |                                                                           ^
 *      |                                                                           | joins
 *      +--its own feed, on the executor--> [ahead] --follow_take--> who is behind--+
 *
 * A follower sees each committed operation behind `since` that touches its prefix and scope, in order, each once. It
 * may be slow: then the ring leaves it behind, and it reads the log by itself until it has caught up, or until what it
 * needs has left the log.
 *
 * Heartbeats tell the version up to which a follower has seen everything, so that it can go on from there however long
 * nothing concerned it, also from the middle of what it is behind by.
 *
 * Who is behind, or has taken a part of a large event, holds what comes next for itself. Together they hold no more
 * than held_bytes: beyond it, one that does not take at once keeps nothing but how far it has come, and reads that
 * again.
 *
 * Where the log can't be read, all who need that part of it end with FOLLOW_FAILED: nobody waits for what can't come.
 *
 * Threads: follow_begin waits for the disk; follow_take and follow_end never wait and are one thread's at a time. A
 * thread of its own reads the hubs' feeds and keeps the time.
 */
#ifndef VELOCITY_SERVER_FOLLOW_H
#define VELOCITY_SERVER_FOLLOW_H

#include "server/databases.h"
#include "server/executor.h"
#include "server/json_write.h"
#include "server/principal.h"

struct followers;
struct follower;

enum follow_kind {
    FOLLOW_PUT,
    FOLLOW_DELETE,
    FOLLOW_DELETE_RANGE,
    FOLLOW_HEARTBEAT, /* everything up to `version` was seen */
    FOLLOW_GONE,      /* what comes behind `version` has left the log: the last event */
};

struct follow_event {
    enum follow_kind kind;
    uint64_t version;
    velocity_slice key, value;
    velocity_slice end; /* of a range: every key >= key and < end; without data: to the last */
    bool more;          /* of a range: another part of it follows, with the same version */
    uint32_t flags;     /* of a put, as what follows */
    int64_t expires_at_ms;
};

struct follow_options {
    struct executor *executor; /* the caller's; outlives the followers */
    uint32_t heartbeat_ms;
    size_t held_bytes; /* beyond it a follower holds nothing while it is not taken from */
    /* Appends an event as followers get it: the same bytes each time. Any thread, several at once. */
    void (*write)(const struct follow_event *event, struct json_writer *out);
};

/* NULL: no memory, thread or descriptor. */
struct followers *followers_new(const struct follow_options *options);
/* Every follower must have ended. NULL is allowed. */
void followers_free(struct followers *all);

struct follow_stats {
    uint32_t followers, hubs; /* now */
    uint32_t behind;          /* of the followers: those that read the log by themselves */
    uint64_t events;          /* that were written out for somebody, since the start */
    uint64_t ring_bytes;      /* of recent events that are kept, now */
    uint64_t held_bytes;      /* that followers hold for themselves, now */
};
void followers_stats(struct followers *all, struct follow_stats *out);

struct follower_options {
    struct database *database;   /* which the caller has acquired; the follower holds it by itself */
    velocity_slice prefix;       /* copied */
    struct principal *principal; /* whose scope it may see; the follower holds it by itself; NULL: all */
    bool from_now;               /* else: behind `since` */
    uint64_t since;
    /* There may be something to take. Any thread; under a lock, so it must not call back. */
    void (*ready)(void *arg);
    void *arg;
};

/* HISTORY_GONE: what comes behind `since` is not there. */
VELOCITY_CHECK_RESULT velocity_status follow_begin(struct followers *all, const struct follower_options *options,
                                                   struct follower **out);

enum follow_result {
    FOLLOW_MORE,    /* `out` is full */
    FOLLOW_NOTHING, /* that was all: ready() will come, or has */
    FOLLOW_ENDED,   /* that was all for good: the database goes, or FOLLOW_GONE was the last event */
    FOLLOW_FAILED,  /* the log can't be read: see follow_failure */
};

/* Appends until `out` holds about `bytes`. A large event comes in pieces. */
enum follow_result follow_take(struct follower *follower, struct json_writer *out, size_t bytes);
/* Why, after FOLLOW_FAILED; the words live as long as the follower. */
velocity_status follow_failure(const struct follower *follower, const char **words);
/* ready() does not come any more once it returns. */
void follow_end(struct follower *follower);

#endif
