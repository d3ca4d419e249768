/*
 * deadline.h - what has to happen in time, where everything has the same time: a queue that is sorted by itself.
 * Setting, clearing and finding the next one due are a few instructions each, whatever waits.
 *
 * Threads: one, but for deadline_queue_set_span.
 */
#ifndef VELOCITY_SERVER_DEADLINE_H
#define VELOCITY_SERVER_DEADLINE_H

#include <limits.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Part of what waits. All zero: not set. */
struct deadline {
    struct deadline *next, *previous;
    uint64_t at_us;
};

struct deadline_queue {
    struct deadline ends;     /* next: the first due, previous: the last; a ring */
    _Atomic uint64_t span_us; /* 0: nothing is ever due */
};

/* The monotonic clock. */
static inline uint64_t deadline_now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static inline void deadline_queue_init(struct deadline_queue *queue, uint64_t span_us) {
    queue->ends.next = queue->ends.previous = &queue->ends;
    atomic_init(&queue->span_us, span_us);
}

/* Of what is set from now on; any thread. What is shorter than those before it waits for them, once. */
static inline void deadline_queue_set_span(struct deadline_queue *queue, uint64_t span_us) {
    atomic_store_explicit(&queue->span_us, span_us, memory_order_relaxed);
}

static inline void deadline_unlink_(struct deadline *deadline) {
    deadline->next->previous = deadline->previous;
    deadline->previous->next = deadline->next;
    deadline->next = deadline->previous = NULL;
}

static inline void deadline_clear(struct deadline *deadline) {
    if (deadline->next) deadline_unlink_(deadline);
}

/* The span from now; one that was set before begins anew. */
static inline void deadline_set(struct deadline_queue *queue, struct deadline *deadline, uint64_t now_us) {
    uint64_t span_us = atomic_load_explicit(&queue->span_us, memory_order_relaxed);
    deadline_clear(deadline);
    deadline->at_us = span_us ? now_us + span_us : UINT64_MAX;
    deadline->next = &queue->ends;
    deadline->previous = queue->ends.previous;
    deadline->previous->next = deadline;
    queue->ends.previous = deadline;
}

/* One whose time has come, taken out of the queue; NULL: none. UINT64_MAX is a time at which all have come. */
static inline struct deadline *deadline_take(struct deadline_queue *queue, uint64_t now_us) {
    struct deadline *first = queue->ends.next;
    if (first == &queue->ends || first->at_us > now_us) return NULL;
    deadline_unlink_(first);
    return first;
}

/* How long to wait from now until `at_us`, as epoll_wait takes it: rounded up, -1 for UINT64_MAX. */
static inline int deadline_wait_ms(uint64_t at_us, uint64_t now_us) {
    if (at_us == UINT64_MAX) return -1;
    if (at_us <= now_us) return 0;
    uint64_t us = at_us - now_us, ms = us / 1000 + (us % 1000 != 0);
    return ms > INT_MAX ? INT_MAX : (int)ms;
}

/* When the first one is due; UINT64_MAX: none. */
static inline uint64_t deadline_next_us(const struct deadline_queue *queue) {
    return queue->ends.next == &queue->ends ? UINT64_MAX : queue->ends.next->at_us;
}

#endif
