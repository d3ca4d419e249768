/*
 * streams.h - all streams of a server: how many there are, and the end of those that have to go.
 *
 * Threads: any.
 */
#ifndef VELOCITY_HTTP_STREAMS_H
#define VELOCITY_HTTP_STREAMS_H

#include <pthread.h>
#include <stdint.h>

struct stream;

struct streams {
    pthread_mutex_t mutex; /* guards all of it, and keeps those on the list from being freed */
    struct stream *list;
    uint32_t open, limit; /* limit 0: none */
    uint64_t begun, refused;
};

struct streams_stats {
    uint32_t open, limit;
    uint64_t begun, refused; /* since the start */
};

void streams_init(struct streams *streams, uint32_t limit);
void streams_destroy(struct streams *streams);
void streams_stats(struct streams *streams, struct streams_stats *out);
/* Ends those whose client has left though nothing was sent to it, and, while the server drains or their database is
 * dropped, all of them: each is asked to, and has a second for it. To be called now and then. */
void streams_sweep(struct streams *streams, uint64_t now_us);

#endif
