/*
 * tls_relay.c - see tls_relay.h. The acceptor puts connections into a thread's inbox and wakes it; all else is the
 * thread's own. Lock: a thread's mutex guards its inbox and the two requests, and is held for a few instructions.
 */
#include "server/tls_relay.h"

#include "engine/status.h"
#include "server/tls_link.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS        32 /* in a turn; each may be a handshake, a millisecond of arithmetic */
#define STOP_FLUSH_US UINT64_C(2000000)

struct relay_thread {
    struct link_loop loop;
    int wake; /* eventfd */
    pthread_t thread;
    bool running;
    pthread_mutex_t mutex;  /* guards all below */
    pthread_cond_t changed; /* of drained */
    struct link *inbox, **inbox_end;
    bool draining, drained; /* asked for; done */
    bool stopping;
};

struct tls_relay {
    struct tls_relay_options options;
    struct link_counters counters;
    _Atomic uint32_t next; /* thread that gets the next connection */
    uint32_t thread_count;
    struct relay_thread threads[];
};

/* ---- a thread --------------------------------------------------------------------------------------------------- */

static void wake(struct relay_thread *thread) {
    uint64_t one = 1;
    while (write(thread->wake, &one, sizeof one) < 0 && errno == EINTR) continue;
}

static void take_wake(struct relay_thread *thread) {
    uint64_t count;
    while (read(thread->wake, &count, sizeof count) < 0 && errno == EINTR) continue;
}

/* Takes what came in and what was asked for. True: to stop. */
static bool take_inbox(struct relay_thread *thread) {
    pthread_mutex_lock(&thread->mutex);
    struct link *link = thread->inbox;
    thread->inbox = NULL;
    thread->inbox_end = &thread->inbox;
    bool drain = thread->draining && !thread->drained, stopping = thread->stopping;
    pthread_mutex_unlock(&thread->mutex);

    while (link) {
        struct link *next = link->next;
        link->next = NULL;
        if (drain)
            link_drop(link, thread->loop.counters);
        else
            link_begin(link, &thread->loop);
        link = next;
    }
    if (drain) {
        link_drain(&thread->loop);
        pthread_mutex_lock(&thread->mutex);
        thread->drained = true;
        pthread_mutex_unlock(&thread->mutex);
        pthread_cond_broadcast(&thread->changed);
    }
    return stopping;
}

/* Fills in what happens until the first deadline, or `stop_at_us`. */
static int wait_for_events(struct relay_thread *thread, struct epoll_event *events, uint64_t stop_at_us) {
    uint64_t next_us = deadline_next_us(&thread->loop.deadlines);
    if (stop_at_us < next_us) next_us = stop_at_us;
    return epoll_wait(thread->loop.epoll, events, EVENTS, deadline_wait_ms(next_us, deadline_now_us()));
}

static void *run(void *arg) {
    struct relay_thread *thread = arg;
    struct link_loop *loop = &thread->loop;
    uint64_t stop_at_us = UINT64_MAX;
    (void)pthread_setname_np(pthread_self(), "tls-relay");
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = wait_for_events(thread, events, stop_at_us);
        bool woken = false;
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                link_event(events[i].data.ptr, events[i].events);
            else
                woken = true;
        }
        if (woken) {
            take_wake(thread);
            if (take_inbox(thread) && stop_at_us == UINT64_MAX) {
                stop_at_us = deadline_now_us() + STOP_FLUSH_US;
                link_stop(loop);
            }
        }
        uint64_t now_us = deadline_now_us();
        link_expire(loop, now_us);
        link_reap(loop);
        if (stop_at_us != UINT64_MAX && (!loop->links || now_us >= stop_at_us)) break;
    }
    link_end_all(loop);
    link_reap(loop);
    link_free_spare(loop);
    return NULL;
}

/* ---- all of them ------------------------------------------------------------------------------------------------ */

/* False: errno says why. */
static bool start_thread(struct tls_relay *relay, struct relay_thread *thread) {
    struct epoll_event event = {.events = EPOLLIN};
    thread->loop.options = &relay->options;
    thread->loop.counters = &relay->counters;
    thread->inbox_end = &thread->inbox;
    deadline_queue_init(&thread->loop.deadlines, (uint64_t)relay->options.deadline_seconds * 1000000);
    pthread_mutex_init(&thread->mutex, NULL);
    pthread_cond_init(&thread->changed, NULL);
    thread->loop.epoll = epoll_create1(EPOLL_CLOEXEC);
    thread->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (thread->loop.epoll < 0 || thread->wake < 0 ||
        epoll_ctl(thread->loop.epoll, EPOLL_CTL_ADD, thread->wake, &event) != 0)
        return false;
    errno = pthread_create(&thread->thread, NULL, run, thread);
    thread->running = errno == 0;
    return thread->running;
}

velocity_status tls_relay_new(const struct tls_relay_options *options, struct tls_relay **out) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t threads = options->threads ? options->threads : cores > 0 ? (uint32_t)cores : 1;
    struct tls_relay *relay = calloc(1, sizeof *relay + threads * sizeof relay->threads[0]);
    if (!relay) return status_set(VELOCITY_NO_MEMORY, "no memory for the TLS relay");
    relay->options = *options;
    bool good = true;
    while (good && relay->thread_count < threads) good = start_thread(relay, &relay->threads[relay->thread_count++]);
    if (good) {
        *out = relay;
        return VELOCITY_OK;
    }
    velocity_status status =
        status_set(VELOCITY_NO_MEMORY, "the TLS relay's threads cannot be started: %s", strerror(errno));
    tls_relay_free(relay);
    return status;
}

void tls_relay_take(struct tls_relay *relay, int fd, struct peer *peer) {
    uint32_t number = atomic_fetch_add_explicit(&relay->next, 1, memory_order_relaxed) % relay->thread_count;
    struct relay_thread *thread = &relay->threads[number];
    struct link *link = link_new(&relay->counters, fd, peer);
    if (!link) {
        (void)close(fd);
        peer_free(peer);
        return;
    }
    pthread_mutex_lock(&thread->mutex);
    bool open = !thread->draining;
    if (open) {
        *thread->inbox_end = link;
        thread->inbox_end = &link->next;
    }
    pthread_mutex_unlock(&thread->mutex);
    if (open)
        wake(thread);
    else
        link_drop(link, &relay->counters);
}

void tls_relay_drain(struct tls_relay *relay) {
    for (uint32_t i = 0; i < relay->thread_count; i++) {
        struct relay_thread *thread = &relay->threads[i];
        pthread_mutex_lock(&thread->mutex);
        thread->draining = true;
        pthread_mutex_unlock(&thread->mutex);
        if (thread->running) wake(thread);
    }
    for (uint32_t i = 0; i < relay->thread_count; i++) {
        struct relay_thread *thread = &relay->threads[i];
        pthread_mutex_lock(&thread->mutex);
        while (thread->running && !thread->drained) pthread_cond_wait(&thread->changed, &thread->mutex);
        pthread_mutex_unlock(&thread->mutex);
    }
}

void tls_relay_stop(struct tls_relay *relay) {
    tls_relay_drain(relay);
    for (uint32_t i = 0; i < relay->thread_count; i++) {
        struct relay_thread *thread = &relay->threads[i];
        if (!thread->running) continue;
        pthread_mutex_lock(&thread->mutex);
        thread->stopping = true;
        pthread_mutex_unlock(&thread->mutex);
        wake(thread);
    }
    for (uint32_t i = 0; i < relay->thread_count; i++) {
        if (relay->threads[i].running) pthread_join(relay->threads[i].thread, NULL);
        relay->threads[i].running = false;
    }
}

void tls_relay_free(struct tls_relay *relay) {
    if (!relay) return;
    tls_relay_stop(relay);
    for (uint32_t i = 0; i < relay->thread_count; i++) {
        struct relay_thread *thread = &relay->threads[i];
        if (thread->loop.epoll >= 0) (void)close(thread->loop.epoll);
        if (thread->wake >= 0) (void)close(thread->wake);
        pthread_cond_destroy(&thread->changed);
        pthread_mutex_destroy(&thread->mutex);
    }
    free(relay);
}

void tls_relay_set_deadline(struct tls_relay *relay, uint32_t deadline_seconds) {
    for (uint32_t i = 0; i < relay->thread_count; i++)
        deadline_queue_set_span(&relay->threads[i].loop.deadlines, (uint64_t)deadline_seconds * 1000000);
}

void tls_relay_stats(struct tls_relay *relay, struct tls_relay_stats *out) {
    struct link_counters *counters = &relay->counters;
    *out = (struct tls_relay_stats){.handshakes = atomic_load(&counters->handshakes),
                                    .failed = atomic_load(&counters->failed),
                                    .timed_out = atomic_load(&counters->timed_out),
                                    .open = atomic_load(&counters->open)};
}
