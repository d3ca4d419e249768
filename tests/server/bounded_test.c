/* bounded_test.c - a bounded sum: its limit, and that who is refused is in nobody's way. */
#include "server/bounded.h"
#include "tests/server/cmocka_all.h"

#include <pthread.h>
#include <stddef.h>

static void what_fits_is_taken_and_nothing_else(void **state) {
    _Atomic uint64_t held = 0;
    (void)state;
    assert_true(bounded_take(&held, 10, 10));
    assert_true(bounded_take(&held, 0, 10));
    assert_false(bounded_take(&held, 1, 10));
    assert_int_equal(atomic_load(&held), 10);
    assert_false(bounded_take(&held, UINT64_MAX, 10));
    assert_false(bounded_take(&held, 0, 9)); /* the limit was lowered */
    (void)atomic_fetch_sub(&held, 4);
    assert_true(bounded_take(&held, 4, 10));
    assert_true(bounded_take(&held, UINT64_MAX - 10, UINT64_MAX));
    assert_false(bounded_take(&held, 1, UINT64_MAX));
}

struct crowd {
    _Atomic uint64_t held;
    _Atomic bool over;
};

static void *ask_for_too_much(void *arg) {
    struct crowd *crowd = arg;
    while (!atomic_load(&crowd->over))
        if (bounded_take(&crowd->held, 11, 10)) return "more than the limit was taken";
    return NULL;
}

static void who_is_refused_takes_nothing_from_the_others(void **state) {
    enum { ROUNDS = 200000 };
    struct crowd crowd = {0};
    pthread_t thread;
    void *complaint;
    int refused = 0;
    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, ask_for_too_much, &crowd), 0);
    for (int i = 0; i < ROUNDS; i++) {
        if (bounded_take(&crowd.held, 10, 10))
            (void)atomic_fetch_sub(&crowd.held, 10);
        else
            refused++;
    }
    atomic_store(&crowd.over, true);
    assert_int_equal(pthread_join(thread, &complaint), 0);
    assert_null(complaint);
    assert_int_equal(refused, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_is_taken_and_nothing_else),
        cmocka_unit_test(who_is_refused_takes_nothing_from_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
