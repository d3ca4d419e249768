/*
 * checkpoint_crash_test.c - whatever goes wrong while a checkpoint is made: it is there whole or not at all, and its
 * source never notices.
 *
 * EVERY=1 in the environment takes truly every call as a place to crash.
 */
#include "model_run.h"
#include "testing.h"

static struct run *new_run(uint64_t seed) {
    struct run *r = run_new(seed, 300);
    r->options = velocity_options_default();
    r->options.memtable_bytes = 65536;
    r->options.table_bytes = 65536;
    r->options.durability = VELOCITY_DURABILITY_OS;
    run_open(r);
    for (int i = 0; i < 120; i++) (void)run_batch(r);
    run_flush(r);
    run_reopen(r); /* a log that an opening sealed, and one of its own */
    for (int i = 0; i < 10; i++) (void)run_batch(r);
    return r;
}

static void a_checkpoint_to_another_file_system_copies(void **state) {
    (void)state;
    struct run *r = new_run(1);
    env_sim_no_links(r->sim);
    uint64_t used = env_sim_used(r->sim);
    for (int i = 0; i < 3; i++) run_checkpoint(r); /* opens and compares */
    for (int i = 0; i < 50; i++) (void)run_batch(r);
    OK(velocity_checkpoint(r->db, "disk/copy"));
    assert_true(env_sim_used(r->sim) > used + used / 4);
    run_compare_all(r);
    run_free(r);
}

/* run_recover looks at the copy: the whole or nothing, and the whole if that had been answered. */
static void a_crash_at_any_call_of_a_checkpoint_leaves_all_of_it_or_nothing(void **state) {
    (void)state;
    for (unsigned links = 0; links < 2; links++) {
        struct run *dry = new_run(2 + links);
        if (!links) env_sim_no_links(dry->sim);
        uint64_t first = env_sim_calls(dry->sim);
        OK(velocity_checkpoint(dry->db, "disk/copy"));
        uint64_t calls = env_sim_calls(dry->sim) - first + 1; /* the last: after it */
        run_free(dry);
        assert_true(calls > 10);
        uint64_t stride = getenv("EVERY") || calls < 60 ? 1 : calls / 60;
        for (uint64_t call = 0; call <= calls; call += stride) {
            for (unsigned power_cut = 0; power_cut < 2; power_cut++) {
                struct run *r = new_run(2 + links);
                if (!links) env_sim_no_links(r->sim);
                if (call % 2) env_sim_lose_any_names(r->sim);
                env_sim_crash_after(r->sim, call);
                run_checkpoint(r);
                RUN_EXPECT(r, run_crashed(r));
                run_recover(r, power_cut);
                run_compare_all(r);
                run_checkpoint(r); /* over what was left */
                run_free(r);
            }
        }
    }
}

static void a_call_that_fails_leaves_neither_copy_nor_folder(void **state) {
    static const enum env_sim_call calls[] = {
        ENV_SIM_OPEN, ENV_SIM_CREATE, ENV_SIM_READ,           ENV_SIM_WRITE,          ENV_SIM_SYNC,
        ENV_SIM_LINK, ENV_SIM_RENAME, ENV_SIM_SYNC_DIRECTORY, ENV_SIM_MAKE_DIRECTORY, ENV_SIM_LIST};
    (void)state;
    struct run *r = new_run(4);
    bool there;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        for (uint64_t nth = 1;; nth++) {
            env_sim_fail(r->sim, calls[i], nth);
            velocity_status status = velocity_checkpoint(r->db, "disk/copy");
            bool struck = env_sim_failed(r->sim, calls[i]);
            env_sim_fail(r->sim, calls[i], 0);
            if (!struck) RUN_EXPECT(r, status == VELOCITY_OK);
            OK(env_exists(env_sim_env(r->sim), "disk/copy.tmp-checkpoint", &there));
            RUN_EXPECT(r, !there);
            OK(env_exists(env_sim_env(r->sim), "disk/copy", &there));
            /* It may be there after a failure only where the folder above could not be synced. */
            if (struck && calls[i] != ENV_SIM_SYNC_DIRECTORY) RUN_EXPECT(r, status == VELOCITY_IO && !there);
            r->copying = false;
            r->copied = r->m->last;
            run_look_at_copy(r);
            if (!struck) break;
            (void)run_put(r);
        }
    }
    run_compare_all(r);
    run_checkpoint(r);
    run_free(r);
}

static void a_full_disk_stops_a_checkpoint_and_gets_its_room_back(void **state) {
    (void)state;
    struct run *r = new_run(5);
    env_sim_no_links(r->sim);
    uint64_t used = env_sim_used(r->sim);
    for (uint64_t room = 0; room < 80; room++) {
        env_sim_set_capacity(r->sim, used + room * 4096);
        velocity_status status = velocity_checkpoint(r->db, "disk/copy");
        if (status == VELOCITY_OK) break;
        RUN_EXPECT(r, status == VELOCITY_NO_SPACE);
        RUN_EXPECT(r, env_sim_used(r->sim) == used);
        RUN_EXPECT(r, room < 79);
    }
    env_sim_set_capacity(r->sim, 0);
    run_compare_all(r);
    run_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_checkpoint_to_another_file_system_copies),
        cmocka_unit_test(a_crash_at_any_call_of_a_checkpoint_leaves_all_of_it_or_nothing),
        cmocka_unit_test(a_call_that_fails_leaves_neither_copy_nor_folder),
        cmocka_unit_test(a_full_disk_stops_a_checkpoint_and_gets_its_room_back),
    };
    return cmocka_run_group_tests_name("checkpoint crash", tests, NULL, NULL);
}
