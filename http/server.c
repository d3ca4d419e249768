/*
 * server.c - start and stop of the HTTP front: the listening socket, libmicrohttpd's pool of epoll threads, the end.
 */
#include "http/server_internal.h"

#include "engine/status.h"
#include "http/reply.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#define LISTEN_BACKLOG 1024
/* A 16 KiB key, every byte escaped, takes 48 KiB of the request line; half of this is the first read buffer. */
#define CONNECTION_MEMORY_BYTES ((size_t)128 << 10)
#define STOP_POLL_US            2000

/* ---- the listening socket --------------------------------------------------------------------------------------- */

/* "127.0.0.1:2005", "[::1]:2005", "localhost:2005" to a name without brackets and a port. */
static bool split_address(const char *address, char *name, size_t name_bytes, const char **port) {
    const char *colon = strrchr(address, ':');
    if (!colon || colon == address || !colon[1]) return false;
    size_t size = (size_t)(colon - address);
    if (address[0] == '[') {
        if (address[size - 1] != ']') return false;
        address++;
        size -= 2;
    }
    if (size == 0 || size >= name_bytes) return false;
    memcpy(name, address, size);
    name[size] = 0;
    *port = colon + 1;
    return true;
}

static int open_listener(const struct addrinfo *info) {
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
    if (fd < 0) return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (info->ai_family == AF_INET6) (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, LISTEN_BACKLOG) == 0) return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static uint16_t bound_port(int fd) {
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0) return 0;
    if (address.ss_family == AF_INET6) return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
    return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

static velocity_status listen_at(const char *address, int *out, bool *ipv6) {
    char name[256];
    const char *port;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found = NULL;
    if (!split_address(address, name, sizeof name, &port))
        return status_set(VELOCITY_INVALID, "%s: not of the form ADDRESS:PORT", address);
    int error = getaddrinfo(name, port, &hints, &found);
    if (error) return status_set(VELOCITY_INVALID, "%s: %s", address, gai_strerror(error));
    *out = open_listener(found);
    *ipv6 = found->ai_family == AF_INET6;
    freeaddrinfo(found);
    if (*out >= 0) return VELOCITY_OK;
    return status_set(VELOCITY_IO, "%s: cannot listen: %s", address, strerror(errno));
}

/* ---- start ------------------------------------------------------------------------------------------------------ */

static bool copy_hosts(struct http_server *server, const struct http_options *options) {
    server->allowed_hosts = calloc(options->allowed_host_count + 1, sizeof *server->allowed_hosts);
    if (!server->allowed_hosts) return false;
    for (size_t i = 0; i < options->allowed_host_count; i++) {
        server->allowed_hosts[i] = strdup(options->allowed_hosts[i]);
        if (!server->allowed_hosts[i]) return false;
        server->allowed_host_count++;
    }
    return true;
}

static bool make_workers(struct http_server *server, uint32_t threads) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    server->worker_count = threads ? threads : cores > 0 ? (uint32_t)cores : 1;
    size_t bytes = server->worker_count * sizeof *server->workers;
    server->workers = aligned_alloc(_Alignof(struct worker), bytes);
    if (!server->workers) return false;
    memset(server->workers, 0, bytes);
    for (uint32_t i = 0; i < server->worker_count; i++) {
        struct worker *worker = &server->workers[i];
        worker->server = server;
        if (getrandom(&worker->id_prefix, sizeof worker->id_prefix, 0) != sizeof worker->id_prefix)
            worker->id_prefix = clock_us() << 16 | i;
    }
    return true;
}

static void server_free(struct http_server *server) {
    for (uint32_t i = 0; server->workers && i < server->worker_count; i++) {
        while (server->workers[i].unused) {
            struct http_request *next = server->workers[i].unused->next;
            request_free(server->workers[i].unused);
            server->workers[i].unused = next;
        }
    }
    for (size_t i = 0; i < server->allowed_host_count; i++) free(server->allowed_hosts[i]);
    free(server->allowed_hosts);
    json_writer_free(&server->farewell);
    free(server->workers);
    free(server);
}

static struct MHD_Daemon *start_daemon(struct http_server *server, const struct http_options *options, int fd,
                                       bool ipv6) {
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | (ipv6 ? MHD_USE_IPv6 : 0);
    struct MHD_OptionItem pool[] = {
        {server->worker_count > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, server->worker_count, NULL},
        {MHD_OPTION_END, 0, NULL}};
    return MHD_start_daemon(flags, 0, dispatch_accept, server, dispatch, server, MHD_OPTION_LISTEN_SOCKET, fd,
                            MHD_OPTION_URI_LOG_CALLBACK, dispatch_first_line, server, MHD_OPTION_NOTIFY_COMPLETED,
                            dispatch_ended, server, MHD_OPTION_NOTIFY_CONNECTION, dispatch_connection, server,
                            MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
                            CONNECTION_MEMORY_BYTES, MHD_OPTION_CONNECTION_LIMIT, (unsigned)options->max_connections,
                            MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)options->max_connections_per_address,
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)options->connection_timeout_seconds,
                            MHD_OPTION_ARRAY, pool, MHD_OPTION_END);
}

velocity_status http_server_start(const struct http_options *options, struct service *service,
                                  struct http_server **out) {
    struct http_server *server = calloc(1, sizeof *server);
    if (!server) return status_set(VELOCITY_NO_MEMORY, "no memory for the HTTP server");
    server->service = service;
    server->max_value_bytes = options->max_value_bytes;
    server->started_us = clock_us();
    int fd = -1;
    bool ipv6 = false;
    velocity_status status = VELOCITY_NO_MEMORY;
    if (!copy_hosts(server, options) || !make_workers(server, options->threads) ||
        !reply_format(PROBLEM_REQUEST_TIMEOUT, &server->farewell)) {
        status = status_set(VELOCITY_NO_MEMORY, "no memory for the HTTP server");
        goto out;
    }
    status = listen_at(options->bind_address, &fd, &ipv6);
    if (status != VELOCITY_OK) goto out;
    server->port = bound_port(fd);
    status = connections_start(&server->connections, options->request_deadline_seconds,
                               velocity_bytes(server->farewell.data, server->farewell.size));
    if (status != VELOCITY_OK) goto out;
    server->daemon = start_daemon(server, options, fd, ipv6);
    if (!server->daemon) {
        connections_stop_sweep(&server->connections);
        connections_destroy(&server->connections);
        status = status_set(VELOCITY_NO_MEMORY, "%s: the HTTP threads could not be started", options->bind_address);
    }
out:
    if (status == VELOCITY_OK) {
        *out = server;
        return status;
    }
    if (fd >= 0) close(fd);
    server_free(server);
    return status;
}

uint16_t http_server_port(const struct http_server *server) {
    return server->port;
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

void http_server_drain(struct http_server *server) {
    atomic_store(&server->draining, true);
}

static bool anything(struct http_server *server, size_t begun_offset, size_t ended_offset) {
    uint64_t begun = 0, ended = 0;
    for (uint32_t i = 0; i < server->worker_count; i++) {
        char *counters = (char *)&server->workers[i].counters;
        /* What ended first, so that a request which does both meanwhile is not missed. */
        ended += atomic_load((_Atomic uint64_t *)(void *)(counters + ended_offset));
        begun += atomic_load((_Atomic uint64_t *)(void *)(counters + begun_offset));
    }
    return begun != ended;
}

static bool requests_under_way(struct http_server *server) {
    return anything(server, offsetof(struct worker_counters, begun), offsetof(struct worker_counters, ended));
}

static bool requests_suspended(struct http_server *server) {
    return anything(server, offsetof(struct worker_counters, suspended), offsetof(struct worker_counters, resumed));
}

bool http_server_stop(struct http_server *server, uint32_t deadline_ms) {
    http_server_drain(server);
    uint64_t until_us = clock_us() + (uint64_t)deadline_ms * 1000;
    while (requests_under_way(server) && clock_us() < until_us) usleep(STOP_POLL_US);
    bool clean = !requests_under_way(server);
    connections_cut(&server->connections, !clean);
    /* What a commit or the executor has in its hands will come back; libmicrohttpd may not end before. */
    while (requests_suspended(server)) usleep(STOP_POLL_US);
    MHD_stop_daemon(server->daemon);
    connections_stop_sweep(&server->connections);
    connections_destroy(&server->connections);
    server_free(server);
    return clean;
}
