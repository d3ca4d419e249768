/*
 * executor.h - threads for what may wait: a bounded queue of tasks, served in order.
 *
 * Threads: all functions from any thread, but executor_free once and last.
 */
#ifndef VELOCITY_SERVER_EXECUTOR_H
#define VELOCITY_SERVER_EXECUTOR_H

#include "engine/velocity.h"

struct executor;

/* Lives in its owner's memory; may be freed or queued again from within `run`. */
struct executor_task {
    void (*run)(struct executor_task *task);
    struct executor_task *next; /* internal */
    bool counted;               /* internal */
};

/* NULL when memory or threads could not be had. */
struct executor *executor_new(uint32_t threads, uint32_t queue_limit);
/* False, and the task will not run: the queue is full. */
VELOCITY_CHECK_RESULT bool executor_submit(struct executor *executor, struct executor_task *task);
/* The same for what goes on with something that was let in: never refused, and not counted. Whoever calls it bounds how
 * many of these there are. Not after executor_free has begun. */
void executor_go_on(struct executor *executor, struct executor_task *task);
/* Tasks that wait now. */
uint32_t executor_waiting(struct executor *executor);
/* Runs what is queued, then ends the threads. NULL is allowed. */
void executor_free(struct executor *executor);

#endif
