/*
 * stream.h - a reply that is sent in pieces as they are made: an export, a watch.
 *
 *     fill --> [buffer, bounded] --> libmicrohttpd --> client
 *
 * `fill` runs when the buffer is empty and the client takes more; while there is nothing to send, or fill is under way
 * elsewhere, the connection is suspended: neither a thread nor the processor waits. Where a stream fails the connection
 * ends without the final chunk, or, for HTTP/1.0, which knows no chunks, with a reset: so a client can always tell. One
 * that takes less than min_reply_bytes_per_second of what there is for it is cut off; one for whom there is nothing is
 * not.
 *
 * Threads: fill on an executor's thread, or, where it never waits, on the worker; never two at once. stream_wake from
 * any thread.
 */
#ifndef VELOCITY_HTTP_STREAM_H
#define VELOCITY_HTTP_STREAM_H

#include "http/request.h"

struct stream;

enum stream_step {
    STREAM_MORE, /* call again when this was taken */
    STREAM_IDLE, /* nothing more now: call again after stream_wake */
    STREAM_END,  /* that was all */
    STREAM_FAIL, /* the connection ends, after what was written; where that is a failure, reply_broken has said why */
};

struct stream_options {
    const char *content_type;
    bool waits; /* fill may wait for the disk: it runs on the executor */
    /* Appends to `out`, which is empty: some ten KiB, for it is what a slow client makes the server hold. */
    enum stream_step (*fill)(void *arg, struct json_writer *out);
    /* Once, when fill will not run any more; any thread. */
    void (*end)(void *arg);
    void *arg;
};

/*
 * Makes the request's reply a stream, 200 unless reply.status was set; headers that were set stay. The handler returns
 * after it. NULL: no memory; the reply says so, and `end` has run.
 */
struct stream *stream_begin(struct http_request *request, const struct stream_options *options);
/* fill has something, or may have: it will run. It may come at any time until `end` has run. */
void stream_wake(struct stream *stream);

/* reply.c: the response that sends it. NULL: no memory. */
struct MHD_Response *stream_response(struct http_request *request);
/* The reply becomes another one after all. */
void stream_give_up(struct http_request *request);
/* Of a request whose reply was never sent. */
void stream_free(struct stream *stream);

#endif
