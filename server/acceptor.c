/*
 * acceptor.c - see acceptor.h.
 *
 * First bytes are looked at, not taken (MSG_PEEK): the front reads them again. So a socket that showed only "O" stays
 * readable; it is watched edge-triggered (EPOLLET), which tells of every further arrival once and of the unread byte
 * never again. SO_RCVLOWAT would wait for bytes that HTTP may not send, a timer would add its tick to every connection.
 *
 * Where nothing can be accepted - max_connections are open, or the system is out of descriptors - the listening socket
 * is watched for nothing, and connections wait in its queue: until a peer is freed, or until PAUSE_US have passed.
 *
 * Threads: one runs run(); `arrivals` and what else it needs are its own. peer_free of any thread ends in release().
 * Lock: `mutex` guards the counts, is held for a few instructions, and nothing is taken under it.
 */
#include "server/acceptor.h"

#include "engine/status.h"
#include "server/address_count.h"
#include "server/deadline.h"
#include "server/listener.h"
#include "server/opening.h"
#include "server/tls_relay.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS       128
#define ACCEPT_BATCH 64 /* accepted before those that wait are looked at */
#define PAUSE_US     UINT64_C(100000)

/* A connection that has not shown what it speaks. */
struct arrival {
    struct deadline deadline; /* first, so that one leads to its arrival */
    int fd;
    struct peer *peer;
};

struct acceptor {
    struct acceptor_options options;
    int listener, epoll, wake; /* wake: an eventfd */
    uint16_t port;
    struct tls_relay *relay; /* NULL: TLS is not spoken */
    pthread_t thread;
    bool running; /* the thread must be joined */
    _Atomic bool draining;
    /* the thread's */
    struct deadline_queue arrivals;
    bool accepting; /* the listening socket is watched */
    uint64_t paused_until_us;
    /* everyone's */
    _Atomic uint64_t accepted, refused_per_address, timed_out;
    pthread_mutex_t mutex; /* guards all below */
    uint32_t open;         /* peers of this acceptor */
    bool full;             /* the thread waits for one to go */
    uint32_t per_address;
    struct address_count *addresses;
};

static void wake(struct acceptor *acceptor) {
    uint64_t one = 1;
    while (write(acceptor->wake, &one, sizeof one) < 0 && errno == EINTR) continue;
}

/* ---- limits ----------------------------------------------------------------------------------------------------- */

/* A peer is gone. */
static void release(const struct peer *peer) {
    struct acceptor *acceptor = peer->acceptor;
    pthread_mutex_lock(&acceptor->mutex);
    address_count_remove(acceptor->addresses, peer->address_slot);
    acceptor->open--;
    bool was_full = acceptor->full;
    acceptor->full = false;
    /* Under the lock: who sees none open may free the acceptor. */
    if (was_full) wake(acceptor);
    pthread_mutex_unlock(&acceptor->mutex);
}

static bool is_full(struct acceptor *acceptor) {
    pthread_mutex_lock(&acceptor->mutex);
    bool full = acceptor->full = acceptor->open >= acceptor->options.max_connections;
    pthread_mutex_unlock(&acceptor->mutex);
    return full;
}

/* False: its address has enough. */
static bool admit(struct acceptor *acceptor, struct peer *peer) {
    pthread_mutex_lock(&acceptor->mutex);
    bool admitted = address_count_add(acceptor->addresses, &peer->address, acceptor->per_address, &peer->address_slot);
    if (admitted) acceptor->open++;
    pthread_mutex_unlock(&acceptor->mutex);
    if (!admitted) return false;
    peer->acceptor = acceptor;
    peer->release = release;
    return true;
}

/* ---- first bytes ------------------------------------------------------------------------------------------------ */

static void drop(int fd, struct peer *peer) {
    (void)close(fd);
    peer_free(peer);
}

static void hand_over(struct acceptor *acceptor, enum opening opening, int fd, struct peer *peer) {
    const struct acceptor_front *front =
        opening == OPENING_VELOCITY ? &acceptor->options.velocity : &acceptor->options.http;
    if (opening == OPENING_TLS && acceptor->relay)
        tls_relay_take(acceptor->relay, fd, peer);
    else if (opening == OPENING_TLS || !front->take)
        drop(fd, peer);
    else
        front->take(front->arg, fd, peer);
}

/* False: it has ended. */
static bool look(int fd, enum opening *opening) {
    unsigned char bytes[OPENING_BYTES];
    ssize_t size;
    do {
        size = recv(fd, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    } while (size < 0 && errno == EINTR);
    *opening = size > 0 ? opening_of(bytes, (size_t)size) : OPENING_UNDECIDED;
    return size > 0 || (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK));
}

/* Waits for what it has to say. */
static void await(struct acceptor *acceptor, int fd, struct peer *peer, uint64_t now_us) {
    struct arrival *arrival = calloc(1, sizeof *arrival);
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = arrival};
    if (!arrival || epoll_ctl(acceptor->epoll, EPOLL_CTL_ADD, fd, &event) != 0) {
        free(arrival);
        drop(fd, peer);
        return;
    }
    arrival->fd = fd;
    arrival->peer = peer;
    deadline_set(&acceptor->arrivals, &arrival->deadline, now_us);
}

static void arrival_event(struct acceptor *acceptor, struct arrival *arrival, uint32_t events) {
    enum opening opening;
    int fd = arrival->fd;
    struct peer *peer = arrival->peer;
    bool alive = look(fd, &opening);
    /* It has said all that it will. */
    if (opening == OPENING_UNDECIDED && (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) alive = false;
    if (alive && opening == OPENING_UNDECIDED) return;
    deadline_clear(&arrival->deadline);
    free(arrival);
    /* Its new owner watches it in another set. */
    if (alive && epoll_ctl(acceptor->epoll, EPOLL_CTL_DEL, fd, NULL) == 0)
        hand_over(acceptor, opening, fd, peer);
    else
        drop(fd, peer);
}

/* Closes those whose time is over by then, and says how many. */
static uint64_t expire(struct acceptor *acceptor, uint64_t now_us) {
    uint64_t count = 0;
    struct deadline *due;
    while ((due = deadline_take(&acceptor->arrivals, now_us))) {
        struct arrival *arrival = (struct arrival *)(void *)due;
        drop(arrival->fd, arrival->peer);
        free(arrival);
        count++;
    }
    return count;
}

/* ---- accepting -------------------------------------------------------------------------------------------------- */

static void arrive(struct acceptor *acceptor, int fd, const struct sockaddr *address, socklen_t size, uint64_t now_us) {
    enum opening opening;
    struct peer *peer = peer_new(address, size);
    if (!peer || !admit(acceptor, peer)) {
        if (peer) atomic_fetch_add_explicit(&acceptor->refused_per_address, 1, memory_order_relaxed);
        drop(fd, peer);
        return;
    }
    atomic_fetch_add_explicit(&acceptor->accepted, 1, memory_order_relaxed);
    /* Mostly they speak at once: then there is nothing to watch. */
    if (!look(fd, &opening))
        drop(fd, peer);
    else if (opening == OPENING_UNDECIDED)
        await(acceptor, fd, peer, now_us);
    else
        hand_over(acceptor, opening, fd, peer);
}

static void watch_listener(struct acceptor *acceptor, bool accepting) {
    struct epoll_event event = {.events = accepting ? EPOLLIN : 0, .data.ptr = acceptor};
    if (acceptor->accepting != accepting && epoll_ctl(acceptor->epoll, EPOLL_CTL_MOD, acceptor->listener, &event) == 0)
        acceptor->accepting = accepting;
}

static void pause_accepting(struct acceptor *acceptor, uint64_t until_us) {
    acceptor->paused_until_us = until_us;
    watch_listener(acceptor, false);
}

/* What accept(2) passes on of the one connection; everything unknown is taken for a lack of something. */
static bool is_of_connection(int error) {
    return error == EINTR || error == ECONNABORTED || error == EPROTO || error == EPERM || error == ENETDOWN ||
           error == ENETUNREACH || error == EHOSTDOWN || error == EHOSTUNREACH || error == ENONET ||
           error == ENOPROTOOPT || error == EOPNOTSUPP || error == ETIMEDOUT;
}

static void accept_some(struct acceptor *acceptor, uint64_t now_us) {
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct sockaddr_storage address;
        socklen_t size = sizeof address;
        if (is_full(acceptor)) {
            pause_accepting(acceptor, UINT64_MAX);
            return;
        }
        int fd = accept4(acceptor->listener, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            arrive(acceptor, fd, (const struct sockaddr *)&address, size, now_us);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return;
        } else if (!is_of_connection(errno)) {
            pause_accepting(acceptor, now_us + PAUSE_US);
            return;
        }
    }
}

/* ---- the thread ------------------------------------------------------------------------------------------------- */

static void take_wake(struct acceptor *acceptor, uint64_t now_us) {
    uint64_t count;
    while (read(acceptor->wake, &count, sizeof count) < 0 && errno == EINTR) continue;
    /* Somebody went while it was full. */
    if (!acceptor->accepting && acceptor->paused_until_us == UINT64_MAX) acceptor->paused_until_us = now_us;
}

static void turn(struct acceptor *acceptor, const struct epoll_event *events, int count) {
    uint64_t now_us = deadline_now_us();
    bool someone_waits = false;
    for (int i = 0; i < count; i++) {
        void *what = events[i].data.ptr;
        if (what == acceptor)
            someone_waits = true;
        else if (what == &acceptor->wake)
            take_wake(acceptor, now_us);
        else
            arrival_event(acceptor, what, events[i].events);
    }
    if (someone_waits) accept_some(acceptor, now_us);
    atomic_fetch_add_explicit(&acceptor->timed_out, expire(acceptor, now_us), memory_order_relaxed);
    if (!acceptor->accepting && acceptor->paused_until_us <= now_us) watch_listener(acceptor, true);
}

static void *run(void *arg) {
    struct acceptor *acceptor = arg;
    (void)pthread_setname_np(pthread_self(), "acceptor");
    while (!atomic_load(&acceptor->draining)) {
        struct epoll_event events[EVENTS];
        uint64_t until_us = deadline_next_us(&acceptor->arrivals);
        if (!acceptor->accepting && acceptor->paused_until_us < until_us) until_us = acceptor->paused_until_us;
        int count = epoll_wait(acceptor->epoll, events, EVENTS, deadline_wait_ms(until_us, deadline_now_us()));
        turn(acceptor, events, count);
    }
    return NULL;
}

/* ---- begin and end ---------------------------------------------------------------------------------------------- */

static bool open_loop(struct acceptor *acceptor) {
    struct epoll_event listener = {.events = 0, .data.ptr = acceptor};
    struct epoll_event woken = {.events = EPOLLIN, .data.ptr = &acceptor->wake};
    acceptor->epoll = epoll_create1(EPOLL_CLOEXEC);
    acceptor->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return acceptor->epoll >= 0 && acceptor->wake >= 0 &&
           epoll_ctl(acceptor->epoll, EPOLL_CTL_ADD, acceptor->listener, &listener) == 0 &&
           epoll_ctl(acceptor->epoll, EPOLL_CTL_ADD, acceptor->wake, &woken) == 0;
}

velocity_status acceptor_new(const struct acceptor_options *options, struct acceptor **out) {
    struct acceptor *acceptor = calloc(1, sizeof *acceptor);
    if (!acceptor) return status_set(VELOCITY_NO_MEMORY, "no memory for the acceptor");
    pthread_mutex_init(&acceptor->mutex, NULL);
    acceptor->options = *options;
    acceptor->options.bind_address = NULL; /* the caller's, and not needed again */
    acceptor->per_address = options->max_connections_per_address;
    acceptor->listener = acceptor->epoll = acceptor->wake = -1;
    deadline_queue_init(&acceptor->arrivals, (uint64_t)options->deadline_seconds * 1000000);
    velocity_status status = listener_open(options->bind_address, &acceptor->listener, &acceptor->port);
    if (status == VELOCITY_OK && !open_loop(acceptor))
        status = status_set(VELOCITY_IO, "%s: cannot watch it: %s", options->bind_address, strerror(errno));
    if (status == VELOCITY_OK && !(acceptor->addresses = address_count_new(options->max_connections)))
        status = status_set(VELOCITY_NO_MEMORY, "no memory for the acceptor");
    if (status != VELOCITY_OK) {
        acceptor_free(acceptor);
        return status;
    }
    *out = acceptor;
    return VELOCITY_OK;
}

velocity_status acceptor_run(struct acceptor *acceptor) {
    const struct acceptor_options *options = &acceptor->options;
    if (options->tls) {
        struct tls_relay_options relay = {.tls = options->tls,
                                          .threads = options->relay_threads,
                                          .deadline_seconds = options->deadline_seconds,
                                          .log = options->log,
                                          .http = options->http,
                                          .velocity = options->velocity};
        velocity_status status = tls_relay_new(&relay, &acceptor->relay);
        if (status != VELOCITY_OK) return status;
    }
    watch_listener(acceptor, true);
    int error = pthread_create(&acceptor->thread, NULL, run, acceptor);
    if (error) return status_set(VELOCITY_NO_MEMORY, "the acceptor's thread cannot be started: %s", strerror(error));
    acceptor->running = true;
    return VELOCITY_OK;
}

uint16_t acceptor_port(const struct acceptor *acceptor) {
    return acceptor->port;
}

void acceptor_drain(struct acceptor *acceptor) {
    atomic_store(&acceptor->draining, true);
    if (acceptor->running) {
        wake(acceptor);
        pthread_join(acceptor->thread, NULL);
        acceptor->running = false;
    }
    if (acceptor->listener >= 0) (void)close(acceptor->listener);
    acceptor->listener = -1;
    (void)expire(acceptor, UINT64_MAX);
    if (acceptor->relay) tls_relay_drain(acceptor->relay);
}

void acceptor_stop(struct acceptor *acceptor) {
    acceptor_drain(acceptor);
    if (acceptor->relay) tls_relay_stop(acceptor->relay);
}

void acceptor_free(struct acceptor *acceptor) {
    if (!acceptor) return;
    acceptor_stop(acceptor);
    tls_relay_free(acceptor->relay);
    if (acceptor->epoll >= 0) (void)close(acceptor->epoll);
    if (acceptor->wake >= 0) (void)close(acceptor->wake);
    address_count_free(acceptor->addresses);
    pthread_mutex_destroy(&acceptor->mutex);
    free(acceptor);
}

void acceptor_stats(struct acceptor *acceptor, struct acceptor_stats *out) {
    struct tls_relay_stats tls = {0};
    if (acceptor->relay) tls_relay_stats(acceptor->relay, &tls);
    *out = (struct acceptor_stats){.accepted = atomic_load(&acceptor->accepted),
                                   .refused_per_address = atomic_load(&acceptor->refused_per_address),
                                   .timed_out = atomic_load(&acceptor->timed_out) + tls.timed_out,
                                   .tls_handshakes = tls.handshakes,
                                   .tls_failed = tls.failed,
                                   .tls_open = tls.open};
    pthread_mutex_lock(&acceptor->mutex);
    out->open = acceptor->open;
    pthread_mutex_unlock(&acceptor->mutex);
}

void acceptor_set_per_address(struct acceptor *acceptor, uint32_t max_connections_per_address) {
    pthread_mutex_lock(&acceptor->mutex);
    acceptor->per_address = max_connections_per_address;
    pthread_mutex_unlock(&acceptor->mutex);
}

void acceptor_set_deadline(struct acceptor *acceptor, uint32_t deadline_seconds) {
    deadline_queue_set_span(&acceptor->arrivals, (uint64_t)deadline_seconds * 1000000);
    if (acceptor->relay) tls_relay_set_deadline(acceptor->relay, deadline_seconds);
}
