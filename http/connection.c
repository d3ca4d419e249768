/* connection.c - see connection.h. */
#include "http/connection.h"

#include "engine/status.h"
#include "http/arrival.h"
#include "http/streams.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#define SWEEP_MIN_US UINT64_C(50000)
#define SWEEP_MAX_US UINT64_C(1000000)

uint64_t clock_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

bool connection_enter(struct connection *connection, enum connection_phase from, enum connection_phase to) {
    uint32_t expected = from;
    return atomic_compare_exchange_strong(&connection->phase, &expected, to);
}

void connection_set_unframed(struct connection *connection, bool unframed) {
    struct linger linger = {.l_onoff = unframed};
    bool was = atomic_exchange(&connection->peer->unframed, unframed);
    /* Behind TLS the relay sees to it. */
    if (was != unframed && !connection->peer->tls)
        (void)setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

bool connection_is_unframed(const struct connection *connection) {
    return atomic_load(&connection->peer->unframed);
}

bool connection_break(struct connection *connection) {
    /* Linux: to dissolve a TCP connection is to reset it. */
    const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    if (connection_is_unframed(connection) && connect(connection->fd, &nowhere, sizeof nowhere) == 0) return true;
    return shutdown(connection->fd, SHUT_RDWR) == 0;
}

static void cut(struct connections *all, struct connection *connection, uint32_t phase, bool answer) {
    if (!connection_enter(connection, phase, CONNECTION_CUT)) return;
    /* Nothing was sent for this request, and nobody else will: the phase is CUT. */
    if (answer) (void)send(connection->fd, all->farewell.data, all->farewell.size, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)shutdown(connection->fd, SHUT_RDWR);
    atomic_fetch_add_explicit(&all->cut, 1, memory_order_relaxed);
}

/* Bytes that came in so far. False: the system does not say. */
static bool bytes_received(const struct connection *connection, uint64_t *out) {
    struct tcp_info info = {0};
    socklen_t size = sizeof info;
    if (connection->peer->tls) {
        *out = atomic_load_explicit(&connection->peer->bytes_received, memory_order_relaxed);
        return true;
    }
    if (getsockopt(connection->fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return false;
    if (size < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof info.tcpi_bytes_received) return false;
    *out = info.tcpi_bytes_received;
    return true;
}

static void sweep_idle(struct connections *all, struct connection *connection, uint64_t now_us) {
    uint64_t bytes = 0, requests = atomic_load(&connection->requests);
    if (!bytes_received(connection, &bytes)) return;
    if (requests != connection->idle_requests) {
        connection->idle_requests = requests;
        connection->idle_bytes = bytes;
        connection->spoke_at_us = 0;
    } else if (bytes != connection->idle_bytes && connection->spoke_at_us == 0) {
        connection->spoke_at_us = now_us;
    } else if (connection->spoke_at_us && now_us - connection->spoke_at_us > all->deadline_us) {
        cut(all, connection, CONNECTION_IDLE, true);
    }
}

static void sweep(struct connections *all) {
    uint64_t now_us = clock_us();
    for (struct connection *connection = all->list; connection; connection = connection->next) {
        uint32_t phase = atomic_load(&connection->phase);
        if (phase == CONNECTION_IDLE) sweep_idle(all, connection, now_us);
        uint64_t due_us = atomic_load(&connection->due_us);
        if (phase == CONNECTION_BUSY && due_us && now_us > due_us && connection_break(connection)) {
            atomic_store(&connection->due_us, 0);
            atomic_fetch_add_explicit(&all->cut, 1, memory_order_relaxed);
        }
        if (phase != CONNECTION_READING && phase != CONNECTION_LINGERING) continue;
        uint64_t since_us = atomic_load(&connection->since_us), allowed_us = all->deadline_us;
        if (phase == CONNECTION_LINGERING && allowed_us > CONNECTION_LINGER_US) allowed_us = CONNECTION_LINGER_US;
        if (now_us > since_us && now_us - since_us > allowed_us)
            cut(all, connection, phase, phase == CONNECTION_READING);
    }
}

static void *run_sweeper(void *arg) {
    struct connections *all = arg;
    (void)pthread_setname_np(pthread_self(), "http-sweep");
    pthread_mutex_lock(&all->mutex);
    while (!all->ending) {
        struct timespec until;
        uint64_t every_us = all->deadline_us / 8;
        every_us = every_us < SWEEP_MIN_US ? SWEEP_MIN_US : every_us > SWEEP_MAX_US ? SWEEP_MAX_US : every_us;
        clock_gettime(CLOCK_MONOTONIC, &until);
        uint64_t ns = (uint64_t)until.tv_nsec + every_us * 1000;
        until.tv_sec += (time_t)(ns / 1000000000);
        until.tv_nsec = (long)(ns % 1000000000);
        (void)pthread_cond_timedwait(&all->wake, &all->mutex, &until);
        if (all->ending) break;
        sweep(all);
        pthread_mutex_unlock(&all->mutex);
        for (uint32_t i = 0; i < all->arrivals_count; i++) arrivals_sweep(&all->arrivals[i], clock_us());
        streams_sweep(all->streams, clock_us());
        pthread_mutex_lock(&all->mutex);
    }
    pthread_mutex_unlock(&all->mutex);
    return NULL;
}

velocity_status connections_start(struct connections *all, uint32_t deadline_seconds, velocity_slice farewell,
                                  struct arrivals *arrivals, uint32_t arrivals_count, struct streams *streams) {
    memset(all, 0, sizeof *all);
    all->farewell = farewell;
    all->arrivals = arrivals;
    all->arrivals_count = arrivals_count;
    all->streams = streams;
    all->deadline_us = (uint64_t)deadline_seconds * 1000000;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&all->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&all->mutex, NULL);
    if (!deadline_seconds) return VELOCITY_OK;
    if (pthread_create(&all->sweeper, NULL, run_sweeper, all) != 0) {
        connections_destroy(all);
        return status_set(VELOCITY_NO_MEMORY, "the sweeper's thread could not be started");
    }
    all->sweeping = true;
    return VELOCITY_OK;
}

void connections_set_deadline(struct connections *all, uint32_t deadline_seconds) {
    if (all->sweeping && deadline_seconds) all->deadline_us = (uint64_t)deadline_seconds * 1000000;
}

void connections_stop_sweep(struct connections *all) {
    pthread_mutex_lock(&all->mutex);
    bool running = all->sweeping && !all->ending;
    all->ending = true;
    pthread_mutex_unlock(&all->mutex);
    pthread_cond_signal(&all->wake);
    if (running) pthread_join(all->sweeper, NULL);
}

void connections_destroy(struct connections *all) {
    pthread_cond_destroy(&all->wake);
    pthread_mutex_destroy(&all->mutex);
}

struct connection *connection_new(int fd, struct peer *peer) {
    struct connection *connection = calloc(1, sizeof *connection);
    if (!connection) return NULL;
    connection->fd = fd;
    connection->peer = peer;
    return connection;
}

void connection_free(struct connection *connection) {
    credentials_forget(&connection->credentials);
    peer_free(connection->peer);
    free(connection);
}

void connection_add(struct connections *all, struct connection *connection) {
    atomic_fetch_add_explicit(&all->accepted, 1, memory_order_relaxed);
    pthread_mutex_lock(&all->mutex);
    connection->next = all->list;
    if (all->list) all->list->previous = connection;
    all->list = connection;
    all->count++;
    if (all->closed) cut(all, connection, CONNECTION_IDLE, false);
    pthread_mutex_unlock(&all->mutex);
}

void connection_remove(struct connections *all, struct connection *connection) {
    pthread_mutex_lock(&all->mutex);
    if (connection->next) connection->next->previous = connection->previous;
    if (connection->previous)
        connection->previous->next = connection->next;
    else
        all->list = connection->next;
    all->count--;
    pthread_mutex_unlock(&all->mutex);
    atomic_fetch_sub_explicit(&connection->arrivals->open, 1, memory_order_relaxed);
    connection_free(connection);
}

uint32_t connections_count(struct connections *all) {
    pthread_mutex_lock(&all->mutex);
    uint32_t count = all->count;
    pthread_mutex_unlock(&all->mutex);
    return count;
}

void connections_close(struct connections *all) {
    pthread_mutex_lock(&all->mutex);
    all->closed = true;
    pthread_mutex_unlock(&all->mutex);
}

void connections_cut(struct connections *all, unsigned phases) {
    pthread_mutex_lock(&all->mutex);
    for (struct connection *connection = all->list; connection; connection = connection->next) {
        uint32_t phase = atomic_load(&connection->phase);
        if (!(phases & (1u << phase))) continue;
        if (phase == CONNECTION_BUSY)
            (void)connection_break(connection);
        else
            cut(all, connection, phase, phase == CONNECTION_READING);
    }
    pthread_mutex_unlock(&all->mutex);
}
