/* executor_test.c - every task that was taken runs once, none beyond the limit is taken. */
#include "tests/server/cmocka_all.h"

#include "server/executor.h"

#include <pthread.h>
#include <stdatomic.h>

#define TASKS   2000
#define SENDERS 4

struct counted {
    struct executor_task task;
    _Atomic int runs;
};

static void count(struct executor_task *task) {
    atomic_fetch_add(&((struct counted *)task)->runs, 1);
}

struct sender {
    struct executor *executor;
    struct counted *tasks;
};

static void *send_all(void *arg) {
    struct sender *sender = arg;
    for (size_t i = 0; i < TASKS; i++) {
        sender->tasks[i].task.run = count;
        while (!executor_submit(sender->executor, &sender->tasks[i].task)) sched_yield();
    }
    return NULL;
}

static void each_task_of_many_senders_runs_exactly_once(void **state) {
    static struct counted tasks[SENDERS][TASKS];
    struct executor *executor = executor_new(3, 16);
    struct sender senders[SENDERS];
    pthread_t threads[SENDERS];
    (void)state;
    assert_non_null(executor);
    for (size_t i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){executor, tasks[i]};
        assert_int_equal(pthread_create(&threads[i], NULL, send_all, &senders[i]), 0);
    }
    for (size_t i = 0; i < SENDERS; i++) pthread_join(threads[i], NULL);
    executor_free(executor); /* which runs what is queued */
    for (size_t i = 0; i < SENDERS; i++)
        for (size_t k = 0; k < TASKS; k++) assert_int_equal(atomic_load(&tasks[i][k].runs), 1);
}

/* A task that holds its thread until told. */
struct gate {
    struct executor_task task;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool entered, open;
};

static void wait_at_gate(struct executor_task *task) {
    struct gate *gate = (struct gate *)task;
    pthread_mutex_lock(&gate->mutex);
    gate->entered = true;
    pthread_cond_broadcast(&gate->changed);
    while (!gate->open) pthread_cond_wait(&gate->changed, &gate->mutex);
    pthread_mutex_unlock(&gate->mutex);
}

static void await_entry(struct gate *gate) {
    pthread_mutex_lock(&gate->mutex);
    while (!gate->entered) pthread_cond_wait(&gate->changed, &gate->mutex);
    pthread_mutex_unlock(&gate->mutex);
}

static void open_gate(struct gate *gate) {
    pthread_mutex_lock(&gate->mutex);
    gate->open = true;
    pthread_cond_broadcast(&gate->changed);
    pthread_mutex_unlock(&gate->mutex);
}

static void what_does_not_fit_the_queue_is_refused_and_never_runs(void **state) {
    struct gate gate = {
        .task.run = wait_at_gate, .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct counted fits[2] = {{.task.run = count}, {.task.run = count}}, refused = {.task.run = count};
    struct executor *executor = executor_new(1, 2);
    (void)state;
    assert_non_null(executor);
    assert_true(executor_submit(executor, &gate.task));
    await_entry(&gate);
    assert_true(executor_submit(executor, &fits[0].task));
    assert_true(executor_submit(executor, &fits[1].task));
    assert_int_equal(executor_waiting(executor), 2);
    assert_false(executor_submit(executor, &refused.task));
    open_gate(&gate);
    executor_free(executor);
    assert_int_equal(atomic_load(&fits[0].runs), 1);
    assert_int_equal(atomic_load(&fits[1].runs), 1);
    assert_int_equal(atomic_load(&refused.runs), 0);
}

/* Work that was let in goes on beside a queue that is full, and takes nobody's place in it. */
static void what_goes_on_is_never_refused(void **state) {
    static struct counted tasks[100], more;
    struct gate gate = {
        .task.run = wait_at_gate, .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct executor *executor = executor_new(1, 1);
    (void)state;
    assert_non_null(executor);
    assert_true(executor_submit(executor, &gate.task));
    await_entry(&gate);
    for (size_t i = 0; i < 100; i++) {
        tasks[i].task.run = count;
        executor_go_on(executor, &tasks[i].task);
    }
    assert_int_equal(executor_waiting(executor), 0);
    more.task.run = count;
    assert_true(executor_submit(executor, &more.task));
    open_gate(&gate);
    executor_free(executor);
    for (size_t i = 0; i < 100; i++) assert_int_equal(atomic_load(&tasks[i].runs), 1);
    assert_int_equal(atomic_load(&more.runs), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_task_of_many_senders_runs_exactly_once),
        cmocka_unit_test(what_does_not_fit_the_queue_is_refused_and_never_runs),
        cmocka_unit_test(what_goes_on_is_never_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
