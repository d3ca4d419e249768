/*
 * port_front.h - a front for tests of the port: keeps what it is given until the test asks for it.
 */
#ifndef VELOCITY_TESTS_PORT_FRONT_H
#define VELOCITY_TESTS_PORT_FRONT_H

#include "server/acceptor.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRONT_MOST       4096
#define FRONT_PATIENCE_S 30

struct taken {
    int fd;
    struct peer *peer;
};

struct front {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int count, given_out; /* taken so far; of these the test has */
    struct taken taken[FRONT_MOST];
};

/* What the process computed so far, in microseconds. */
static inline uint64_t cpu_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Whether there come 300 ms in which it computes next to nothing: something that spins does not rest once, while what
 * is still under way on a busy machine ends some time. */
static inline bool is_at_rest(void) {
    for (int i = 0; i < 20; i++) {
        uint64_t before_us = cpu_us();
        usleep(300000);
        if (cpu_us() - before_us < 15000) return true;
    }
    return false;
}

#define FRONT_EMPTY                                                                                                    \
    { .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER }

static inline void front_take(void *arg, int fd, struct peer *peer) {
    struct front *front = arg;
    struct timeval patience = {.tv_sec = FRONT_PATIENCE_S};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    pthread_mutex_lock(&front->mutex);
    front->taken[front->count++] = (struct taken){fd, peer};
    pthread_cond_broadcast(&front->changed);
    pthread_mutex_unlock(&front->mutex);
}

static inline int front_count(struct front *front) {
    pthread_mutex_lock(&front->mutex);
    int count = front->count;
    pthread_mutex_unlock(&front->mutex);
    return count;
}

/* The next connection that the front was given; fd -1: none came. */
static inline struct taken front_next(struct front *front) {
    struct timespec until;
    struct taken taken = {-1, NULL};
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += FRONT_PATIENCE_S;
    pthread_mutex_lock(&front->mutex);
    int error = 0;
    while (front->given_out == front->count && !error)
        error = pthread_cond_timedwait(&front->changed, &front->mutex, &until);
    if (front->given_out < front->count) taken = front->taken[front->given_out++];
    pthread_mutex_unlock(&front->mutex);
    return taken;
}

static inline void taken_close(struct taken taken) {
    if (taken.fd >= 0) (void)close(taken.fd);
    peer_free(taken.peer);
}

/* Closes all that the test did not ask for, and makes it empty. */
static inline void front_clear(struct front *front) {
    pthread_mutex_lock(&front->mutex);
    while (front->given_out < front->count) taken_close(front->taken[front->given_out++]);
    front->count = front->given_out = 0;
    pthread_mutex_unlock(&front->mutex);
}

#endif
