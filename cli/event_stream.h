/*
 * event_stream.h - reads text/event-stream (WHATWG HTML, "Server-sent events") from pieces of any size.
 *
 * An event is lines "id:", "event:", "data:", ended by an empty line; several lines of data are one, joined by
 * newlines. What is unknown, and comments, are passed over. The last id stays until another one comes.
 */
#ifndef VELOCITY_CLI_EVENT_STREAM_H
#define VELOCITY_CLI_EVENT_STREAM_H

#include "server/json_write.h"

#define EVENT_ID_BYTES   32
#define EVENT_NAME_BYTES 32

/* Zeroed but for event and arg before its first use. */
struct event_stream {
    /* One event. False: no more are wanted. */
    bool (*event)(void *arg, const char *name, const char *id, velocity_slice data);
    void *arg;
    char id[EVENT_ID_BYTES]; /* of the last event that was taken; longer ones are not ours, and are left out */
    /* internal */
    char name[EVENT_NAME_BYTES], next_id[EVENT_ID_BYTES];
    bool has_data, after_cr;
    struct json_writer line, data; /* limit_bytes: the longest that is taken */
};

/* False: no more are wanted, or a line was too long (line.failed, data.failed). */
bool event_stream_take(struct event_stream *stream, const char *bytes, size_t size);
/* The connection is a new one: what was not ended is forgotten, the last id is kept. */
void event_stream_restart(struct event_stream *stream);
void event_stream_free(struct event_stream *stream);

#endif
