/*
 * server_internal.h - what the parts of the HTTP front know of the server they belong to.
 */
#ifndef VELOCITY_HTTP_SERVER_INTERNAL_H
#define VELOCITY_HTTP_SERVER_INTERNAL_H

#include "http/arrival.h"
#include "http/connection.h"
#include "http/health.h"
#include "http/server.h"
#include "http/settings.h"
#include "http/streams.h"
#include "http/worker.h"
#include "server/acceptor.h"
#include "server/follow.h"
#include "server/json_write.h"
#include "server/service.h"

#include <microhttpd.h>

struct http_server {
    struct service *service;
    struct acceptor *acceptor;
    void (*describe_config)(void *arg, struct json_writer *out);
    void *describe_arg;
    struct logger *log;
    struct rate_bucket log_bucket; /* a disk that fails, fails each request */
    _Atomic uint64_t unlogged;     /* failures since the last that was logged */
    struct connections connections;
    struct streams streams;
    struct followers *followers;
    struct json_writer farewell; /* of a connection that is cut */
    uint64_t max_value_bytes;
    uint64_t min_reply_bytes_per_second; /* 0: none */
    uint64_t max_reply_bytes;            /* of large replies that wait for their clients, together */
    _Atomic uint64_t reply_bytes;        /* of these now */
    _Atomic(struct http_settings *) settings;
    struct health health;
    uint64_t started_us;
    _Atomic bool draining;
    uint32_t worker_count;
    struct arrivals *arrivals;      /* one for each worker, with its daemon */
    _Atomic uint32_t next_worker;   /* where to look first for one with few connections */
    _Atomic uint32_t workers_taken; /* by threads that answered their first request */
    struct worker *workers;         /* aligned to cache lines */
};

static inline bool http_server_draining(struct http_server *server) {
    return atomic_load_explicit(&server->draining, memory_order_relaxed);
}
static inline struct service *http_server_service(struct http_server *server) {
    return server->service;
}

static inline const struct http_settings *http_server_settings(struct http_server *server) {
    return atomic_load_explicit(&server->settings, memory_order_acquire);
}

/* dispatch.c: what libmicrohttpd calls, with the server as `arg`. */
void *dispatch_first_line(void *arg, const char *target, struct MHD_Connection *mhd);
enum MHD_Result dispatch(void *arg, struct MHD_Connection *mhd, const char *url, const char *method,
                         const char *version, const char *bytes, size_t *size, void **context);
void dispatch_ended(void *arg, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode why);
void dispatch_connection(void *arg, struct MHD_Connection *mhd, void **context,
                         enum MHD_ConnectionNotificationCode what);

#endif
