/*
 * crash_test.c - one workload, ended at each of its calls in turn by a kill and by a power cut: whatever the moment,
 * the database opens again and holds what it must.
 *
 * EVERY=1 in the environment takes truly every call; else every fifth, and of long rows of writes (a log segment being
 * filled) the ends.
 */
#include "model_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { CHANGING_KEYS = 4 }; /* the seed of the lives of which each opening has another key */

static void change_key(struct run *r) {
    static const velocity_slice keys[] = {{"thirty-two bytes: one of the keys", 32},
                                          {"and 32 bytes more: it is another.", 32}};
    velocity_slice *now = &r->options.encryption_key;
    r->options.old_encryption_keys = keys;
    r->options.old_encryption_key_count = 2;
    *now = !now->data ? keys[0] : now->data == keys[0].data ? keys[1] : velocity_bytes(NULL, 0);
}

/* Some hundred writes with everything in between: stops where the process ends. */
static void workload(struct run *r) {
    enum { STEPS = 110 };
    run_open(r);
    for (r->step = 0; r->step < STEPS && !run_crashed(r); r->step++) {
        if (r->seed == CHANGING_KEYS && r->step % 35 == 34) change_key(r);
        if (r->step % 35 == 34)
            run_reopen(r);
        else if (r->step % 50 == 29)
            run_compact(r);
        else if (r->step % 25 == 12)
            run_flush(r);
        else if (r->step % 50 == 45)
            run_checkpoint(r);
        else if (r->step % 25 == 20)
            run_follow_all(r);
        else if (r->step % 18 == 6)
            run_turn_clock(r);
        else if (r->step % 50 == 31)
            run_resize_cache(r);
        else if (r->step % 50 == 33)
            run_idle(r);
        else if (r->step % 9 == 2)
            (void)run_txn(r);
        else if (r->step % 3 == 2)
            (void)run_batch(r);
        else
            (void)run_put(r);
    }
    if (!run_crashed(r)) run_close(r);
}

static struct run *new_run(uint64_t seed, velocity_durability durability) {
    struct run *r = run_new(seed, 400);
    r->options = velocity_options_default();
    r->options.memtable_bytes = 65536;
    r->options.table_bytes = 65536;
    r->options.compaction_threshold = 2;
    r->options.durability = durability;
    r->options.value_log_threshold = 300;
    r->options.log_retention_bytes = 256 << 10;
    r->options.compression = (velocity_compression)(seed % (VELOCITY_COMPRESSION_ADAPTIVE + 1));
    if (seed == CHANGING_KEYS) change_key(r);
    return r;
}

/* Of a row of writes the ends say most. */
static bool is_worth_a_crash(struct run *dry, uint64_t call) {
    enum { SAMPLE = 512 };
    if (getenv("EVERY") || call % SAMPLE == 0 || call == 0) return true;
    for (uint64_t near = call - 1; near <= call + 1; near++)
        if (env_sim_call_at(dry->sim, near) != ENV_SIM_WRITE) return true;
    return false;
}

static void end_at(uint64_t seed, velocity_durability durability, uint64_t call, bool power_cut) {
    struct run *r = new_run(seed, durability);
    if (call % 2) env_sim_lose_any_names(r->sim);
    env_sim_crash_after(r->sim, call - env_sim_calls(r->sim));
    workload(r);
    RUN_EXPECT(r, run_crashed(r));
    run_recover(r, power_cut);
    for (int i = 0; i < 5; i++) (void)run_put(r);
    run_flush(r);
    run_compare_all(r);
    run_reopen(r);
    run_compare_all(r);
    run_follow_all(r);
    run_free(r);
}

static void end_at_every_call(uint64_t seed, velocity_durability durability, bool power_cut) {
    struct run *dry = new_run(seed, durability);
    uint64_t first = env_sim_calls(dry->sim);
    workload(dry);
    uint64_t calls = env_sim_calls(dry->sim);
    RUN_EXPECT(dry, calls > first + 100);
    unsigned step = getenv("EVERY") ? 1 : 5, worth = (unsigned)seed;
    for (uint64_t call = first; call < calls; call++)
        if (is_worth_a_crash(dry, call) && worth++ % step == 0) end_at(seed, durability, call, power_cut);
    run_free(dry);
}

static void a_kill_at_any_call_loses_nothing_acknowledged(void **state) {
    (void)state;
    end_at_every_call(1, VELOCITY_DURABILITY_OS, false);
}

static void a_power_cut_at_any_call_loses_nothing_that_was_synced(void **state) {
    (void)state;
    end_at_every_call(2, VELOCITY_DURABILITY_ALWAYS, true);
}

static void a_power_cut_at_any_call_leaves_a_prefix_of_what_was_not(void **state) {
    (void)state;
    end_at_every_call(3, VELOCITY_DURABILITY_OS, true);
}

static void a_power_cut_while_the_key_changes_loses_nothing_and_needs_no_other_key(void **state) {
    (void)state;
    end_at_every_call(CHANGING_KEYS, VELOCITY_DURABILITY_ALWAYS, true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_kill_at_any_call_loses_nothing_acknowledged),
        cmocka_unit_test(a_power_cut_at_any_call_loses_nothing_that_was_synced),
        cmocka_unit_test(a_power_cut_at_any_call_leaves_a_prefix_of_what_was_not),
        cmocka_unit_test(a_power_cut_while_the_key_changes_loses_nothing_and_needs_no_other_key),
    };
    return cmocka_run_group_tests_name("crash", tests, NULL, NULL);
}
