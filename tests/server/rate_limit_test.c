/* rate_limit_test.c - how many requests pass, to the very one: at once, steadily, from many threads. */
#include "tests/server/cmocka_all.h"

#include "server/rate_limit.h"

#include <pthread.h>

#define SECOND UINT64_C(1000000000)

static uint64_t take_all(struct rate_bucket *bucket, uint64_t per_second, uint64_t now_ns) {
    uint64_t taken = 0;
    while (taken < 2000000 && rate_take(bucket, per_second, now_ns, NULL)) taken++;
    return taken;
}

static void a_second_s_worth_may_come_at_once_and_no_more(void **state) {
    static const uint64_t rates[] = {1, 2, 3, 7, 10, 999, 1000, 1001, 60001, 999999, 1000000};
    (void)state;
    for (size_t i = 0; i < COUNT(rates); i++) {
        struct rate_bucket at_zero = {0}, later = {0};
        assert_int_equal(take_all(&at_zero, rates[i], 0), rates[i]);
        assert_int_equal(take_all(&later, rates[i], 12345 * SECOND + 678), rates[i]);
    }
}

static void who_comes_steadily_gets_the_rate_over_any_time(void **state) {
    struct rate_bucket bucket = {0};
    uint64_t now = 5 * SECOND, passed = 0;
    (void)state;
    /* Asks 1,000 times a second for 20 seconds, where 70 are allowed: what it had at the start, and 70 a second. */
    for (int i = 0; i < 20000; i++, now += SECOND / 1000) passed += rate_take(&bucket, 70, now, NULL);
    assert_in_range(passed, 70 + 20 * 70 - 1, 70 + 20 * 70);
}

static void a_refused_request_costs_nothing_and_says_when_to_try_again(void **state) {
    struct rate_bucket bucket = {0};
    struct rate_answer answer = {0};
    uint64_t now = 77 * SECOND;
    (void)state;
    assert_int_equal(take_all(&bucket, 4, now), 4);
    for (int i = 0; i < 100; i++) assert_false(rate_take(&bucket, 4, now, &answer));
    assert_int_equal(answer.limit, 4);
    assert_int_equal(answer.remaining, 0);
    assert_int_equal(answer.reset_seconds, 1);
    assert_int_equal(answer.retry_after_ms, 250);
    assert_false(rate_take(&bucket, 4, now + SECOND / 4 - 1, &answer));
    assert_int_equal(answer.retry_after_ms, 1);
    assert_true(rate_take(&bucket, 4, now + SECOND / 4, NULL));
    assert_false(rate_take(&bucket, 4, now + SECOND / 4, NULL));
}

static void what_remains_is_told_with_every_request(void **state) {
    struct rate_bucket bucket = {0};
    struct rate_answer answer = {0};
    (void)state;
    for (uint64_t i = 1; i <= 3; i++) {
        assert_true(rate_take(&bucket, 3, SECOND, &answer));
        assert_int_equal(answer.limit, 3);
        assert_int_equal(answer.remaining, 3 - i);
        assert_int_equal(answer.reset_seconds, 1);
        assert_int_equal(answer.retry_after_ms, 0);
    }
    /* Two thirds of a second later two have come back. */
    assert_true(rate_take(&bucket, 3, SECOND + SECOND * 2 / 3, &answer));
    assert_int_equal(answer.remaining, 1);
}

static void after_a_second_of_rest_the_bucket_is_full_and_not_fuller(void **state) {
    struct rate_bucket bucket = {0};
    (void)state;
    assert_int_equal(take_all(&bucket, 9, SECOND), 9);
    assert_int_equal(take_all(&bucket, 9, 2 * SECOND), 9);
    assert_int_equal(take_all(&bucket, 9, 500 * SECOND), 9);
}

static void what_is_given_back_may_be_taken_again(void **state) {
    struct rate_bucket bucket = {0}, untouched = {0};
    (void)state;
    assert_int_equal(take_all(&bucket, 5, 8 * SECOND), 5);
    rate_give_back(&bucket, 5);
    rate_give_back(&bucket, 5);
    assert_int_equal(take_all(&bucket, 5, 8 * SECOND), 2);
    /* Too late to matter, and at the beginning of time: never more than a full bucket. */
    rate_give_back(&bucket, 5);
    assert_int_equal(take_all(&bucket, 5, 20 * SECOND), 5);
    rate_give_back(&untouched, 5);
    assert_int_equal(take_all(&untouched, 5, 0), 5);
}

static void without_a_limit_everything_passes_and_nothing_is_counted(void **state) {
    struct rate_bucket bucket = {0};
    struct rate_answer answer = {.limit = 99};
    (void)state;
    for (int i = 0; i < 1000; i++) assert_true(rate_take(&bucket, 0, SECOND, &answer));
    assert_int_equal(answer.limit, 0);
    rate_give_back(&bucket, 0);
    assert_int_equal(atomic_load(&bucket.full_at_ns), 0);
}

static void a_rate_beyond_one_a_nanosecond_is_one_a_nanosecond(void **state) {
    struct rate_bucket bucket = {0};
    struct rate_answer answer = {0};
    (void)state;
    assert_true(rate_take(&bucket, UINT64_MAX, SECOND, &answer));
    assert_int_equal(answer.remaining, SECOND - 1);
    assert_true(rate_take(&bucket, UINT64_MAX, SECOND, &answer));
    assert_int_equal(answer.remaining, SECOND - 2);
}

static void a_clock_that_a_thread_read_a_little_earlier_does_no_harm(void **state) {
    struct rate_bucket bucket = {0};
    (void)state;
    assert_true(rate_take(&bucket, 2, 10 * SECOND + 500, NULL));
    assert_false(rate_take(&bucket, 2, 10 * SECOND + 400, NULL));
    assert_true(rate_take(&bucket, 2, 10 * SECOND + 500, NULL));
    assert_false(rate_take(&bucket, 2, 10 * SECOND + 500, NULL));
}

static void a_lowered_rate_holds_within_a_second(void **state) {
    struct rate_bucket bucket = {0};
    (void)state;
    assert_int_equal(take_all(&bucket, 1000, SECOND), 1000);
    assert_false(rate_take(&bucket, 2, SECOND, NULL));
    assert_int_equal(take_all(&bucket, 2, 2 * SECOND), 2);
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

enum { THREADS = 4, TRIES = 1000000, ALLOWED = 1000000 };

struct taker {
    struct rate_bucket *bucket;
    pthread_barrier_t *start;
    uint64_t passed;
    bool gives_back;
};

static void *take_often(void *arg) {
    struct taker *taker = arg;
    pthread_barrier_wait(taker->start);
    for (int i = 0; i < TRIES; i++) {
        if (!rate_take(taker->bucket, ALLOWED, 3 * SECOND, NULL)) continue;
        taker->passed++;
        if (taker->gives_back) rate_give_back(taker->bucket, ALLOWED);
    }
    return NULL;
}

static uint64_t take_together(struct rate_bucket *bucket, bool gives_back) {
    struct taker takers[THREADS];
    pthread_t threads[THREADS];
    pthread_barrier_t start;
    uint64_t passed = 0;
    pthread_barrier_init(&start, NULL, THREADS);
    for (int i = 0; i < THREADS; i++) {
        takers[i] = (struct taker){.bucket = bucket, .start = &start, .gives_back = gives_back};
        assert_int_equal(pthread_create(&threads[i], NULL, take_often, &takers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        passed += takers[i].passed;
    }
    pthread_barrier_destroy(&start);
    return passed;
}

static void threads_together_get_exactly_what_one_would(void **state) {
    struct rate_bucket bucket = {0};
    (void)state;
    assert_int_equal(take_together(&bucket, false), ALLOWED);
}

static void what_threads_give_back_is_neither_lost_nor_doubled(void **state) {
    struct rate_bucket bucket = {0};
    (void)state;
    assert_int_equal(take_together(&bucket, true), THREADS * TRIES);
    assert_int_equal(take_all(&bucket, ALLOWED, 3 * SECOND), ALLOWED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_s_worth_may_come_at_once_and_no_more),
        cmocka_unit_test(who_comes_steadily_gets_the_rate_over_any_time),
        cmocka_unit_test(a_refused_request_costs_nothing_and_says_when_to_try_again),
        cmocka_unit_test(what_remains_is_told_with_every_request),
        cmocka_unit_test(after_a_second_of_rest_the_bucket_is_full_and_not_fuller),
        cmocka_unit_test(what_is_given_back_may_be_taken_again),
        cmocka_unit_test(without_a_limit_everything_passes_and_nothing_is_counted),
        cmocka_unit_test(a_rate_beyond_one_a_nanosecond_is_one_a_nanosecond),
        cmocka_unit_test(a_clock_that_a_thread_read_a_little_earlier_does_no_harm),
        cmocka_unit_test(a_lowered_rate_holds_within_a_second),
        cmocka_unit_test(threads_together_get_exactly_what_one_would),
        cmocka_unit_test(what_threads_give_back_is_neither_lost_nor_doubled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
