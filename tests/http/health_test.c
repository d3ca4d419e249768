/* health_test.c - that strangers who ask whether all is well share one look a second. */
#include "tests/server/cmocka_all.h"

#include "http/health.h"

struct looked {
    bool all_well;
    unsigned times;
};

static bool look(void *arg) {
    struct looked *looked = arg;
    looked->times++;
    return looked->all_well;
}

static void however_many_ask_within_a_second_one_looks(void **state) {
    (void)state;
    struct health health;
    struct looked looked = {.all_well = true};
    uint64_t now_us = 12345;
    health_init(&health);
    for (int i = 0; i < 1000; i++) assert_true(health_all_well(&health, now_us + (uint64_t)i * 999, look, &looked));
    assert_int_equal(looked.times, 1);
    health_destroy(&health);
}

static void after_a_second_it_is_looked_at_again(void **state) {
    (void)state;
    struct health health;
    struct looked looked = {.all_well = true};
    uint64_t now_us = 0;
    health_init(&health);
    assert_true(health_all_well(&health, now_us, look, &looked));
    looked.all_well = false;
    assert_true(health_all_well(&health, now_us + HEALTH_REMEMBERED_US - 1, look, &looked));
    assert_false(health_all_well(&health, now_us + HEALTH_REMEMBERED_US, look, &looked));
    looked.all_well = true;
    assert_true(health_all_well(&health, now_us + 2 * HEALTH_REMEMBERED_US, look, &looked));
    assert_int_equal(looked.times, 3);
    health_destroy(&health);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(however_many_ask_within_a_second_one_looks),
        cmocka_unit_test(after_a_second_it_is_looked_at_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
