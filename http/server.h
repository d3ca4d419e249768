/*
 * server.h - the HTTP front: a listening socket, worker threads and what they answer.
 *
 *     http_server_start -> requests run -> http_server_drain -> http_server_stop
 *
 * Threads: every function may be called from any thread; start, drain and stop of one server one after the other.
 */
#ifndef VELOCITY_HTTP_SERVER_H
#define VELOCITY_HTTP_SERVER_H

#include "engine/velocity.h"

struct service;
struct http_server;

/* Strings are copied. Every number is used as given unless its comment says what 0 means. */
struct http_options {
    const char *bind_address;             /* "127.0.0.1:2005", "[::1]:2005", "localhost:2005"; port 0: a free one */
    uint32_t threads;                     /* workers; 0: as many as cores */
    uint32_t max_connections;             /* together; beyond it new ones wait in the listen queue */
    uint32_t max_connections_per_address; /* 0: no limit; beyond it new ones are closed */
    uint32_t connection_timeout_seconds;  /* of silence; 0: never */
    uint32_t request_deadline_seconds;    /* from a request's first byte to its last; 0: none */
    uint64_t max_value_bytes;             /* of a request's body; larger: 413 */
    uint64_t max_inflight_bytes;          /* of all request bodies held at once; beyond it: 503 */
    const char *const *allowed_hosts;     /* names that Host may have besides the loopback ones; without port */
    size_t allowed_host_count;
};

/* Listens and answers until http_server_stop. `service` must outlive the server. INVALID: an address that cannot be
 * read; IO: it cannot be bound. velocity_error_message() says which and why. */
VELOCITY_CHECK_RESULT velocity_status http_server_start(const struct http_options *options, struct service *service,
                                                        struct http_server **out);
/* The port that it listens on. */
uint16_t http_server_port(const struct http_server *server);
/* Not ready (GET /readyz answers 503) and no new connections; what is connected is still served. */
void http_server_drain(struct http_server *server);
/* Drains, waits up to deadline_ms for the requests under way, closes every connection and frees the server. True when
 * every request under way was answered. */
bool http_server_stop(struct http_server *server, uint32_t deadline_ms);

#endif
