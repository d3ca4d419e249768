/*
 * model_test.c - long random sequences of everything that the engine offers, beside a simple reference: with
 * reopenings, kills and power cuts at random calls.
 *
 * SEED and STEPS in the environment repeat a failure, or run longer: SEED=7 STEPS=100000 engine_model_test
 * COMPARE=1 compares everything after every step, to find the one that did the damage; TRACE=1 prints each call.
 */
#include "model_run.h"
#include "testing.h"

enum deaths { NONE, KILLS, POWER_CUTS, BOTH };

static void random_run(uint64_t seed, unsigned steps, enum deaths deaths) {
    enum { CRASH_ONE_IN = 150 };
    struct run *r = run_new(seed, 1500);
    bool compare = from_environment("COMPARE", 0) != 0;
    r->random_options = true;
    if (model_random(r->m, 2)) env_sim_lose_any_names(r->sim);
    run_open(r);
    while (r->step < steps) {
        if (deaths != NONE && model_random(r->m, CRASH_ONE_IN) == 0)
            env_sim_crash_after(r->sim, model_random(r->m, 1 + model_random(r->m, 600)));
        if (!run_crashed(r)) run_step(r);
        if (compare && !run_crashed(r)) run_compare_all(r);
        if (run_crashed(r)) run_recover(r, deaths == POWER_CUTS || (deaths == BOTH && model_random(r->m, 2)));
    }
    env_sim_no_crash(r->sim);
    run_compare_all(r);
    run_reopen(r);
    run_compare_all(r);
    run_free(r);
}

/* A few seeds of their own for each test; one, if SEED names it. */
static void random_runs(uint64_t first_seed, unsigned steps, enum deaths deaths) {
    enum { RUNS = 3 };
    uint64_t wanted = from_environment("SEED", 0);
    steps = (unsigned)from_environment("STEPS", steps);
    if (wanted) {
        random_run(wanted, steps, deaths);
        return;
    }
    for (uint64_t seed = first_seed; seed < first_seed + RUNS; seed++) random_run(seed, steps, deaths);
}

static void random_operations_match_the_model(void **state) {
    (void)state;
    random_runs(100, 2500, NONE);
}

static void a_killed_process_loses_nothing_acknowledged(void **state) {
    (void)state;
    random_runs(200, 2500, KILLS);
}

static void a_power_cut_leaves_a_prefix_with_all_that_was_synced(void **state) {
    (void)state;
    random_runs(300, 2500, POWER_CUTS);
}

static void kills_and_power_cuts_in_turn_leave_no_hole(void **state) {
    (void)state;
    random_runs(400, 2500, BOTH);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_match_the_model),
        cmocka_unit_test(a_killed_process_loses_nothing_acknowledged),
        cmocka_unit_test(a_power_cut_leaves_a_prefix_with_all_that_was_synced),
        cmocka_unit_test(kills_and_power_cuts_in_turn_leave_no_hole),
    };
    cmocka_set_test_filter(getenv("TEST")); /* TEST=*power_cut* runs those alone */
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
