/*
 * server.c - start and stop of the HTTP front, and which worker gets a connection.
 *
 * Each worker is a daemon of libmicrohttpd with one epoll thread, rather than all of them one daemon's pool: a pool
 * chooses by the descriptor's number modulo its size, and behind TLS connections take descriptors three at a time. Its
 * limit of connections is lifted; the acceptor's counts.
 */
#include "http/server_internal.h"

#include "engine/status.h"
#include "http/reply.h"
#include "http/watch.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

/* A 16 KiB key, every byte escaped, takes 48 KiB of the request line; half of this is the first read buffer. */
#define CONNECTION_MEMORY_BYTES ((size_t)128 << 10)
#define STOP_POLL_US            2000
#define HEARTBEAT_SECONDS       15u
#define WATCH_HELD_BYTES        ((size_t)32 << 20) /* by those who are behind, all together */

/* ---- start ------------------------------------------------------------------------------------------------------ */

static bool make_workers(struct http_server *server, uint32_t threads) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    server->worker_count = threads ? threads : cores > 0 ? (uint32_t)cores : 1;
    size_t bytes = server->worker_count * sizeof *server->workers;
    server->workers = aligned_alloc(_Alignof(struct worker), bytes);
    server->arrivals = calloc(server->worker_count, sizeof *server->arrivals);
    if (!server->workers || !server->arrivals) return false;
    memset(server->workers, 0, bytes);
    for (uint32_t i = 0; i < server->worker_count; i++) {
        struct worker *worker = &server->workers[i];
        worker->server = server;
        arrivals_init(&server->arrivals[i]);
        if (getrandom(&worker->id_prefix, sizeof worker->id_prefix, 0) != sizeof worker->id_prefix)
            worker->id_prefix = clock_us() << 16 | i;
    }
    return true;
}

static void server_free(struct http_server *server) {
    bool made = server->workers && server->arrivals;
    for (uint32_t i = 0; made && i < server->worker_count; i++) {
        arrivals_destroy(&server->arrivals[i]);
        while (server->workers[i].unused) {
            struct http_request *next = server->workers[i].unused->next;
            request_free(server->workers[i].unused);
            server->workers[i].unused = next;
        }
    }
    followers_free(server->followers);
    streams_destroy(&server->streams);
    http_settings_free(atomic_load(&server->settings));
    json_writer_free(&server->farewell);
    health_destroy(&server->health);
    free(server->arrivals);
    free(server->workers);
    free(server);
}

static struct MHD_Daemon *start_daemon(struct http_server *server, const struct http_options *options) {
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_NO_LISTEN_SOCKET | MHD_USE_ITC | MHD_ALLOW_SUSPEND_RESUME;
    return MHD_start_daemon(flags, 0, NULL, NULL, dispatch, server, MHD_OPTION_URI_LOG_CALLBACK, dispatch_first_line,
                            server, MHD_OPTION_NOTIFY_COMPLETED, dispatch_ended, server, MHD_OPTION_NOTIFY_CONNECTION,
                            dispatch_connection, server, MHD_OPTION_STRICT_FOR_CLIENT, 1,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY_BYTES, MHD_OPTION_CONNECTION_LIMIT,
                            UINT_MAX, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)options->connection_timeout_seconds,
                            MHD_OPTION_END);
}

/* False: of those started, stop_daemons. */
static bool start_daemons(struct http_server *server, const struct http_options *options) {
    for (uint32_t i = 0; i < server->worker_count; i++) {
        server->arrivals[i].daemon = start_daemon(server, options);
        if (!server->arrivals[i].daemon) return false;
    }
    return true;
}

/* Those who watch, and the thread that reads for them. */
static bool start_following(struct http_server *server, const struct http_options *options) {
    struct follow_options follow = {
        .executor = service_executor(server->service),
        .heartbeat_ms = (options->heartbeat_seconds ? options->heartbeat_seconds : HEARTBEAT_SECONDS) * 1000,
        .held_bytes = WATCH_HELD_BYTES,
        .write = watch_write_event,
    };
    server->followers = followers_new(&follow);
    return server->followers != NULL;
}

static void stop_daemons(struct http_server *server) {
    for (uint32_t i = 0; i < server->worker_count; i++)
        if (server->arrivals[i].daemon) MHD_stop_daemon(server->arrivals[i].daemon);
}

velocity_status http_server_start(const struct http_options *options, const struct http_settings_options *settings,
                                  struct service *service, struct http_server **out) {
    struct http_server *server = calloc(1, sizeof *server);
    if (!server) return status_set(VELOCITY_NO_MEMORY, "no memory for the HTTP server");
    streams_init(&server->streams, options->max_streams);
    server->service = service;
    health_init(&server->health);
    server->max_value_bytes = options->max_value_bytes;
    server->min_reply_bytes_per_second = options->min_reply_bytes_per_second;
    server->max_reply_bytes = options->max_inflight_bytes;
    server->started_us = clock_us();
    server->describe_config = options->describe_config;
    server->describe_arg = options->describe_arg;
    server->log = options->log;
    velocity_status status = http_server_configure(server, settings);
    if (status == VELOCITY_OK && (!make_workers(server, options->threads) || !start_following(server, options) ||
                                  !reply_format(PROBLEM_REQUEST_TIMEOUT, &server->farewell)))
        status = status_set(VELOCITY_NO_MEMORY, "no memory for the HTTP server");
    if (status != VELOCITY_OK) {
        server_free(server);
        return status;
    }
    status = connections_start(&server->connections, options->request_deadline_seconds,
                               velocity_bytes(server->farewell.data, server->farewell.size), server->arrivals,
                               server->worker_count, &server->streams);
    if (status == VELOCITY_OK && !start_daemons(server, options)) {
        stop_daemons(server);
        connections_stop_sweep(&server->connections);
        connections_destroy(&server->connections);
        status = status_set(VELOCITY_NO_MEMORY, "the HTTP threads could not be started");
    }
    if (status == VELOCITY_OK)
        *out = server;
    else
        server_free(server);
    return status;
}

void http_server_set_deadline(struct http_server *server, uint32_t request_deadline_seconds) {
    connections_set_deadline(&server->connections, request_deadline_seconds);
}

void http_server_set_acceptor(struct http_server *server, struct acceptor *acceptor) {
    server->acceptor = acceptor;
}

/* ---- connections ------------------------------------------------------------------------------------------------ */

/* The worker with the fewest connections; they take turns where several have. */
static struct arrivals *choose_worker(struct http_server *server) {
    uint32_t start = atomic_fetch_add_explicit(&server->next_worker, 1, memory_order_relaxed), fewest = UINT32_MAX;
    struct arrivals *chosen = NULL;
    for (uint32_t i = 0; i < server->worker_count; i++) {
        struct arrivals *arrivals = &server->arrivals[(start + i) % server->worker_count];
        uint32_t open = atomic_load_explicit(&arrivals->open, memory_order_relaxed);
        if (chosen && open >= fewest) continue;
        chosen = arrivals;
        fewest = open;
    }
    return chosen;
}

void http_server_take(void *server, int fd, struct peer *peer) {
    arrivals_add(choose_worker(server), fd, peer);
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

void http_server_drain(struct http_server *server) {
    atomic_store(&server->draining, true);
}

static bool requests_under_way(struct http_server *server) {
    uint64_t begun = 0, ended = 0;
    for (uint32_t i = 0; i < server->worker_count; i++) {
        struct worker_counters *counters = &server->workers[i].counters;
        /* What ended first, so that a request which does both meanwhile is not missed. */
        ended += atomic_load(&counters->ended);
        begun += atomic_load(&counters->begun);
    }
    return begun != ended;
}

bool http_server_stop(struct http_server *server, uint32_t deadline_ms) {
    http_server_drain(server);
    uint64_t until_us = clock_us() + (uint64_t)deadline_ms * 1000;
    connections_cut(&server->connections, 1u << CONNECTION_LINGERING); /* these have their answer */
    while (requests_under_way(server) && clock_us() < until_us) {
        streams_sweep(&server->streams, clock_us()); /* which end, whoever would still like to hear */
        usleep(STOP_POLL_US);
    }
    bool clean = !requests_under_way(server);
    /* What a commit, the executor or another thread has in its hands comes back, and libmicrohttpd may not end before:
     * so each request must have ended, not only none be suspended this moment; it may wait once more. */
    unsigned phases = 1u << CONNECTION_IDLE | 1u << CONNECTION_READING | 1u << CONNECTION_LINGERING;
    if (!clean) phases |= 1u << CONNECTION_BUSY;
    connections_close(&server->connections);
    connections_cut(&server->connections, phases);
    while (requests_under_way(server)) {
        usleep(STOP_POLL_US);
        streams_sweep(&server->streams, clock_us());
        connections_cut(&server->connections, phases);
    }
    stop_daemons(server);
    connections_stop_sweep(&server->connections);
    connections_destroy(&server->connections);
    server_free(server);
    return clean;
}
