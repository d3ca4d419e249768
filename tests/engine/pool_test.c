/* pool_test.c - background threads: no job waits for what takes longer, every job runs once, ticks come and end. */
#include "engine/pool.h"
#include "env_sim.h"
#include "testing.h"

static _Atomic uint32_t finished, order;
static _Atomic bool blocked;

struct job {
    struct pool_job job; /* first */
    pool *pool;
    uint32_t runs, place;
    uint32_t again; /* how often it still submits itself */
};

static void run(struct pool_job *base) {
    struct job *j = (struct job *)base;
    j->runs++;
    j->place = atomic_fetch_add(&order, 1);
    if (j->again && j->again--)
        pool_submit(j->pool, POOL_URGENT, base);
    else
        atomic_fetch_add(&finished, 1);
}

static void run_when_released(struct pool_job *base) {
    while (atomic_load(&blocked)) env_thread_yield();
    run(base);
}

static void await_finished(uint32_t count) {
    while (atomic_load(&finished) < count) env_thread_yield();
}

static int reset(void **state) {
    (void)state;
    atomic_store(&finished, 0);
    atomic_store(&order, 0);
    atomic_store(&blocked, true);
    return 0;
}

static void no_job_waits_for_less_urgent_ones_that_keep_all_their_threads_busy(void **state) {
    (void)state;
    pool *p = pool_new(env_posix(), 2);
    struct job patient[5] = {{.job = {.run = NULL}}}, urgent[2] = {{.job = {.run = run}}},
               prompt = {.job = {.run = run}};
    for (int i = 0; i < 5; i++) {
        patient[i].job.run = run_when_released;
        pool_submit(p, POOL_PATIENT, &patient[i].job);
    }
    pool_submit(p, POOL_URGENT, &urgent[0].job);
    await_finished(1);
    assert_int_equal(urgent[0].runs, 1);
    urgent[1].job.run = run_when_released;
    pool_submit(p, POOL_URGENT, &urgent[1].job);
    pool_submit(p, POOL_PROMPT, &prompt.job);
    await_finished(2);
    assert_int_equal(prompt.runs, 1);
    atomic_store(&blocked, false);
    await_finished(8);
    for (int i = 0; i < 5; i++) assert_int_equal(patient[i].runs, 1);
    assert_int_equal(urgent[1].runs, 1);
    pool_free(p);
}

static void a_free_thread_takes_the_most_urgent_job_first(void **state) {
    (void)state;
    pool *p = pool_new(env_sim_env(*state), 1); /* inline: the order can be watched */
    struct job patient[2] = {{.job = {.run = run}}, {.job = {.run = run}}}, urgent = {.job = {.run = run}},
               prompt = {.job = {.run = run}};
    pool_submit(p, POOL_PATIENT, &patient[0].job);
    pool_submit(p, POOL_PATIENT, &patient[1].job);
    pool_submit(p, POOL_URGENT, &urgent.job);
    pool_submit(p, POOL_PROMPT, &prompt.job);
    assert_int_equal(atomic_load(&finished), 0); /* nothing runs by itself */
    while (pool_run_one(p)) continue;
    assert_int_equal(prompt.place, 0);
    assert_int_equal(urgent.place, 1);
    assert_int_equal(patient[0].place, 2);
    assert_int_equal(patient[1].place, 3);
    assert_false(pool_run_one(p));
    pool_free(p);
}

enum { SUBMITTERS = 4, JOBS = 500 };

struct submitter {
    pool *pool;
    struct job jobs[JOBS];
    pthread_t thread;
};

static void *submit_all(void *arg) {
    struct submitter *s = arg;
    for (int i = 0; i < JOBS; i++) pool_submit(s->pool, (enum pool_urgency)(i % POOL_URGENCIES), &s->jobs[i].job);
    return NULL;
}

static void jobs_of_several_threads_each_run_as_often_as_they_were_submitted(void **state) {
    (void)state;
    pool *p = pool_new(env_posix(), 3);
    static struct submitter submitters[SUBMITTERS];
    memset(submitters, 0, sizeof submitters);
    for (int s = 0; s < SUBMITTERS; s++) {
        submitters[s].pool = p;
        for (uint32_t i = 0; i < JOBS; i++)
            submitters[s].jobs[i] = (struct job){.job = {.run = run}, .pool = p, .again = i % 4};
        assert_int_equal(pthread_create(&submitters[s].thread, NULL, submit_all, &submitters[s]), 0);
    }
    for (int s = 0; s < SUBMITTERS; s++) assert_int_equal(pthread_join(submitters[s].thread, NULL), 0);
    await_finished(SUBMITTERS * JOBS);
    pool_free(p);
    for (int s = 0; s < SUBMITTERS; s++)
        for (uint32_t i = 0; i < JOBS; i++) assert_int_equal(submitters[s].jobs[i].runs, 1 + i % 4);
}

struct ticking {
    struct pool_ticker ticker; /* first */
    _Atomic uint32_t ticks;
    bool running; /* no tick beside another of the same ticker */
};

static void tick(struct pool_ticker *base) {
    struct ticking *t = (struct ticking *)base;
    assert_false(t->running);
    t->running = true;
    atomic_fetch_add(&t->ticks, 1);
    t->running = false;
}

static void ticks_come_until_the_ticker_is_removed_and_never_after(void **state) {
    (void)state;
    pool *p = pool_new(env_posix(), 1);
    struct ticking fast = {.ticker = {.period_ms = 2, .tick = tick}},
                   slow = {.ticker = {.period_ms = 50, .tick = tick}};
    OK(pool_ticker_add(p, &fast.ticker));
    OK(pool_ticker_add(p, &slow.ticker));
    /* A machine that stands still for long has both tick once; in the end the fast one is ahead. */
    while (atomic_load(&slow.ticks) < 2 || atomic_load(&fast.ticks) <= atomic_load(&slow.ticks)) env_sleep_us(1000);
    pool_ticker_remove(p, &fast.ticker);
    uint32_t last = atomic_load(&fast.ticks), before = atomic_load(&slow.ticks);
    while (atomic_load(&slow.ticks) < before + 2) env_sleep_us(1000);
    assert_int_equal(atomic_load(&fast.ticks), last);
    pool_ticker_remove(p, &slow.ticker);
    pool_free(p);
}

/* The periods are longer than anybody waits. */
static void a_ticker_that_is_hurried_or_gets_a_short_period_does_not_wait_out_the_long_one(void **state) {
    (void)state;
    pool *p = pool_new(env_posix(), 1);
    struct ticking t = {.ticker = {.period_ms = 3600 * 1000, .tick = tick}};
    OK(pool_ticker_add(p, &t.ticker));
    for (uint32_t i = 1; i <= 3; i++) {
        pool_ticker_hurry(p, &t.ticker);
        while (atomic_load(&t.ticks) < i) env_sleep_us(100);
    }
    pool_ticker_set_period(p, &t.ticker, 1);
    while (atomic_load(&t.ticks) < 6) env_sleep_us(100);
    pool_ticker_remove(p, &t.ticker);
    pool_free(p);
}

static void a_pool_that_was_never_used_has_no_threads_to_end(void **state) {
    (void)state;
    pool_free(pool_new(env_posix(), 0));
    pool_free(NULL);
}

static int simulated(void **state) {
    *state = env_sim_new(1);
    return reset(NULL);
}

static int simulated_over(void **state) {
    env_sim_free(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(no_job_waits_for_less_urgent_ones_that_keep_all_their_threads_busy, reset),
        cmocka_unit_test_setup_teardown(a_free_thread_takes_the_most_urgent_job_first, simulated, simulated_over),
        cmocka_unit_test_setup(jobs_of_several_threads_each_run_as_often_as_they_were_submitted, reset),
        cmocka_unit_test_setup(ticks_come_until_the_ticker_is_removed_and_never_after, reset),
        cmocka_unit_test_setup(a_ticker_that_is_hurried_or_gets_a_short_period_does_not_wait_out_the_long_one, reset),
        cmocka_unit_test(a_pool_that_was_never_used_has_no_threads_to_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
