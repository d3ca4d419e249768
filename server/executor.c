/*
 * executor.c - see executor.h. One mutex guards the queue; it is held for a few instructions and never while a task
 * runs.
 */
#include "server/executor.h"

#include <pthread.h>
#include <stdlib.h>

struct executor {
    pthread_mutex_t mutex; /* guards all below but threads */
    pthread_cond_t work;
    struct executor_task *head, **tail;
    uint32_t waiting, limit, idle; /* idle: threads in pthread_cond_wait */
    bool ending;
    uint32_t thread_count;
    pthread_t threads[];
};

static void *serve(void *arg) {
    struct executor *executor = arg;
    (void)pthread_setname_np(pthread_self(), "executor");
    pthread_mutex_lock(&executor->mutex);
    for (;;) {
        while (!executor->head && !executor->ending) {
            executor->idle++;
            pthread_cond_wait(&executor->work, &executor->mutex);
            executor->idle--;
        }
        struct executor_task *task = executor->head;
        if (!task) break;
        executor->head = task->next;
        if (!executor->head) executor->tail = &executor->head;
        executor->waiting -= task->counted;
        pthread_mutex_unlock(&executor->mutex);
        task->run(task);
        pthread_mutex_lock(&executor->mutex);
    }
    pthread_mutex_unlock(&executor->mutex);
    return NULL;
}

struct executor *executor_new(uint32_t threads, uint32_t queue_limit) {
    struct executor *executor = calloc(1, sizeof *executor + threads * sizeof executor->threads[0]);
    if (!executor) return NULL;
    pthread_mutex_init(&executor->mutex, NULL);
    pthread_cond_init(&executor->work, NULL);
    executor->tail = &executor->head;
    executor->limit = queue_limit;
    for (; executor->thread_count < threads; executor->thread_count++) {
        if (pthread_create(&executor->threads[executor->thread_count], NULL, serve, executor) != 0) {
            executor_free(executor);
            return NULL;
        }
    }
    return executor;
}

static bool submit(struct executor *executor, struct executor_task *task, bool counted) {
    pthread_mutex_lock(&executor->mutex);
    bool room = !counted || (executor->waiting < executor->limit && !executor->ending);
    bool wake = room && executor->idle > 0;
    if (room) {
        task->next = NULL;
        task->counted = counted;
        *executor->tail = task;
        executor->tail = &task->next;
        executor->waiting += counted;
    }
    if (wake) pthread_cond_signal(&executor->work); /* before the task can end, and with it the executor */
    pthread_mutex_unlock(&executor->mutex);
    return room;
}

bool executor_submit(struct executor *executor, struct executor_task *task) {
    return submit(executor, task, true);
}

void executor_go_on(struct executor *executor, struct executor_task *task) {
    (void)submit(executor, task, false);
}

uint32_t executor_waiting(struct executor *executor) {
    pthread_mutex_lock(&executor->mutex);
    uint32_t waiting = executor->waiting;
    pthread_mutex_unlock(&executor->mutex);
    return waiting;
}

void executor_free(struct executor *executor) {
    if (!executor) return;
    pthread_mutex_lock(&executor->mutex);
    executor->ending = true;
    pthread_mutex_unlock(&executor->mutex);
    pthread_cond_broadcast(&executor->work);
    for (uint32_t i = 0; i < executor->thread_count; i++) pthread_join(executor->threads[i], NULL);
    pthread_cond_destroy(&executor->work);
    pthread_mutex_destroy(&executor->mutex);
    free(executor);
}
