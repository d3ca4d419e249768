/*
 * server.h - the HTTP front: worker threads and what they answer to the connections that they are given.
 *
 *     http_server_start -> http_server_take* -> http_server_drain -> http_server_stop
 *
 * The acceptor is drained before the front: nothing may be taken while it stops.
 *
 * Threads: every function may be called from any thread; start, drain and stop of one server one after the other.
 */
#ifndef VELOCITY_HTTP_SERVER_H
#define VELOCITY_HTTP_SERVER_H

#include "engine/velocity.h"

struct acceptor;
struct http_server;
struct http_settings_options;
struct json_writer;
struct logger;
struct peer;
struct service;

/* Strings are copied. Every number is used as given unless its comment says what 0 means. */
struct http_options {
    uint32_t threads;                    /* workers; 0: as many as cores */
    uint32_t connection_timeout_seconds; /* of silence; 0: never */
    uint32_t request_deadline_seconds;   /* from a request's first byte to its last; 0: none */
    uint32_t min_reply_bytes_per_second; /* at which a client must take a reply, once the deadline is over; 0: none */
    uint32_t max_streams;                /* at once; 0: no limit */
    uint32_t heartbeat_seconds;          /* between those of a watch; 0: 15 */
    uint64_t max_value_bytes;            /* of a request's body; larger: 413 */
    uint64_t max_inflight_bytes; /* of all request bodies held at once, and of all large replies; beyond it: 503 */
    void (*describe_config)(void *arg, struct json_writer *out); /* for GET /api/config; any thread; NULL: no such */
    void *describe_arg;
    struct logger *log; /* hears why a request failed; NULL: nobody */
};

/* Answers until http_server_stop. `service` must outlive the server. NO_MEMORY: nor threads, nor descriptors. */
VELOCITY_CHECK_RESULT velocity_status http_server_start(const struct http_options *options,
                                                        const struct http_settings_options *settings,
                                                        struct service *service, struct http_server **out);
/* The option of this name; not from or to 0. Any thread. */
void http_server_set_deadline(struct http_server *server, uint32_t request_deadline_seconds);
/* Whose connections it gets, before the first one: for figures, and for the port in its cookies' names. */
void http_server_set_acceptor(struct http_server *server, struct acceptor *acceptor);
/* A connection, a TCP socket or one end of a socket pair (peer->tls): owns descriptor and peer from the call on. The
 * `take` of an acceptor_front, with the server as `arg`. Never waits. */
void http_server_take(void *server, int fd, struct peer *peer);
/* Not ready (GET /readyz answers 503), and every answer is its connection's last. */
void http_server_drain(struct http_server *server);
/* Drains, waits up to deadline_ms for the requests under way, closes every connection and frees the server. True when
 * every request under way was answered. */
bool http_server_stop(struct http_server *server, uint32_t deadline_ms);

#endif
