/*
 * fault_test.c - one call to the system fails, each kind in turn and at many places: nothing that was acknowledged is
 * lost, nothing is acknowledged on top of what is unsure, and the next open finds a database.
 */
#include "model_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum ending { CLOSE, KILL, POWER_CUT, ENDINGS };

static struct run *new_run(uint64_t seed, velocity_durability durability) {
    struct run *r = run_new(seed, 300);
    r->options = velocity_options_default();
    r->options.memtable_bytes = 65536;
    r->options.table_bytes = 65536;
    r->table_bytes = seed % 2 ? 512 : 0;
    r->options.compaction_threshold = 2;
    r->options.durability = durability;
    r->options.value_log_threshold = 300;
    r->options.log_retention_bytes = 256 << 10;
    r->options.compression = (velocity_compression)(seed % (VELOCITY_COMPRESSION_ADAPTIVE + 1));
    if (seed / ENDINGS % 2) r->options.encryption_key = velocity_bytes("thirty-two bytes of faulty disks", 32);
    return r;
}

static void work_until_it_fails(struct run *r) {
    enum { STEPS = 60 };
    for (r->step = 0; r->step < STEPS && !r->failed; r->step++) {
        if (r->step % 30 == 29)
            run_reopen(r);
        else if (r->step % 20 == 19)
            run_compact(r);
        else if (r->step % 10 == 9)
            run_flush(r);
        else if (r->step % 15 == 7)
            run_turn_clock(r);
        else if (r->step % 30 == 13)
            run_resize_cache(r);
        else if (r->step % 30 == 28)
            run_idle(r);
        else if (r->step % 20 == 4)
            run_follow_all(r);
        else if (r->step % 30 == 16)
            run_checkpoint(r);
        else if (r->step % 6 == 2)
            (void)run_txn(r);
        else if (r->step % 3 == 2)
            (void)run_batch(r);
        else
            (void)run_put(r);
    }
}

/* What failed shows whole or not at all, and a database that says that it is read only is. */
static void look_after_failure(struct run *r) {
    velocity_stats stats = {.struct_size = sizeof stats};
    RUN_EXPECT(r, run_state_is(r, r->m->acked, false) || run_state_is(r, r->m->last, true));
    RUN_EXPECT(r, velocity_stats_get(r->db, &stats) == VELOCITY_OK);
    if (!stats.read_only) return;
    run_doing(r, "write to a database that is read only");
    RUN_EXPECT(r, velocity_put(r->db, velocity_str("k"), velocity_str("v")) == VELOCITY_READ_ONLY);
    RUN_EXPECT(r, velocity_error_message()[0] != 0);
}

static void end(struct run *r, enum ending ending) {
    if (ending == CLOSE && r->db) run_close(r);
    if (ending != CLOSE) {
        env_sim_crash_after(r->sim, 0);
        run_recover(r, ending == POWER_CUT);
    } else {
        r->io_may_fail = false;
        run_open(r);
    }
    r->io_may_fail = false;
    run_compare_all(r);
    for (int i = 0; i < 10; i++) (void)run_put(r);
    run_flush(r);
    run_reopen(r);
    run_compare_all(r);
    run_follow_all(r);
    run_free(r);
}

/* True if the workload came to an nth such call. */
static bool fail_nth(enum env_sim_call call, uint64_t nth, velocity_durability durability) {
    struct run *r = new_run(nth, durability);
    run_open(r);
    r->io_may_fail = true;
    env_sim_fail(r->sim, call, nth);
    work_until_it_fails(r);
    bool reached = env_sim_failed(r->sim, call);
    env_sim_fail(r->sim, call, 0);
    if (r->db) look_after_failure(r);
    end(r, (enum ending)(nth % ENDINGS));
    return reached;
}

/* Every `stride`th call of the kind fails, until the workload has no more. */
static void fail_each(enum env_sim_call call, uint64_t stride) {
    static const velocity_durability durabilities[] = {VELOCITY_DURABILITY_ALWAYS, VELOCITY_DURABILITY_OS};
    for (size_t d = 0; d < 2; d++) {
        uint64_t nth = 1;
        while (fail_nth(call, nth, durabilities[d])) nth += stride;
        /* What is synced at once is not written through a window; a batch that need not be is a matter of luck. */
        bool by_luck = call == ENV_SIM_MAP && durabilities[d] == VELOCITY_DURABILITY_ALWAYS;
        /* Without a sync there is none to begin, and the tables are too small to be paced. */
        bool none = call == ENV_SIM_FLUSH_RANGE && durabilities[d] == VELOCITY_DURABILITY_OS;
        assert_true(nth > 1 || by_luck || none);
    }
}

static void a_failed_sync_stops_writes_and_loses_nothing_acknowledged(void **state) {
    (void)state;
    fail_each(ENV_SIM_SYNC, 5);
}

static void a_sync_that_fails_as_it_begins_loses_nothing_acknowledged(void **state) {
    (void)state;
    fail_each(ENV_SIM_FLUSH_RANGE, 7);
}

static void after_a_failed_sync_the_database_is_read_only_until_it_is_opened_again(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= ENDINGS * 2; seed++) {
        struct run *r = new_run(seed, VELOCITY_DURABILITY_ALWAYS);
        velocity_stats stats = {.struct_size = sizeof stats};
        run_open(r);
        for (int i = 0; i < 20; i++) (void)run_put(r);
        r->io_may_fail = true;
        env_sim_fail(r->sim, ENV_SIM_SYNC, 1);
        RUN_EXPECT(r, run_put(r) == VELOCITY_IO);
        RUN_EXPECT(r, velocity_stats_get(r->db, &stats) == VELOCITY_OK);
        RUN_EXPECT(r, stats.read_only);
        RUN_EXPECT(r, run_put(r) == VELOCITY_READ_ONLY && run_batch(r) == VELOCITY_READ_ONLY);
        look_after_failure(r);
        end(r, (enum ending)(seed % ENDINGS));
    }
}

static void a_failed_write_loses_nothing_acknowledged(void **state) {
    (void)state;
    fail_each(ENV_SIM_WRITE, 601);
}

static void a_failed_creation_opening_or_mapping_loses_nothing_acknowledged(void **state) {
    (void)state;
    fail_each(ENV_SIM_CREATE, 1);
    fail_each(ENV_SIM_OPEN, 5);
    fail_each(ENV_SIM_MAP, 1);
}

static void a_failed_change_of_names_loses_nothing_acknowledged(void **state) {
    (void)state;
    fail_each(ENV_SIM_RENAME, 1);
    fail_each(ENV_SIM_LINK, 1);
    fail_each(ENV_SIM_UNLINK, 3);
    fail_each(ENV_SIM_SYNC_DIRECTORY, 4);
}

static void a_failed_read_is_told_and_the_next_one_answers(void **state) {
    (void)state;
    struct run *r = new_run(5, VELOCITY_DURABILITY_OS);
    r->options.cache_bytes = 0;
    run_open(r);
    for (int i = 0; i < 60; i++) (void)run_put(r);
    run_flush(r);
    for (size_t key = 0; key < r->m->key_count; key++) {
        if (!model_find(r->m, key, UINT64_MAX)) continue;
        env_sim_fail(r->sim, ENV_SIM_READ, 1);
        run_doing(r, "read of key %zu with a fault", key);
        velocity_status status = velocity_contains(r->db, r->m->keys[key].bytes);
        bool struck = env_sim_failed(r->sim, ENV_SIM_READ);
        RUN_EXPECT(r, status == (struck ? VELOCITY_IO : VELOCITY_OK));
        RUN_EXPECT(r, velocity_contains(r->db, r->m->keys[key].bytes) == VELOCITY_OK);
        for (uint64_t nth = 1; nth <= 4; nth++) { /* index, data, value */
            velocity_value value;
            env_sim_fail(r->sim, ENV_SIM_READ, nth);
            status = velocity_get(r->db, r->m->keys[key].bytes, &value);
            struck = env_sim_failed(r->sim, ENV_SIM_READ);
            RUN_EXPECT(r, status == (struck ? VELOCITY_IO : VELOCITY_OK));
            if (status == VELOCITY_OK) velocity_value_release(&value);
        }
    }
    env_sim_fail(r->sim, ENV_SIM_READ, 0);
    run_compare_all(r);
    run_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_sync_stops_writes_and_loses_nothing_acknowledged),
        cmocka_unit_test(after_a_failed_sync_the_database_is_read_only_until_it_is_opened_again),
        cmocka_unit_test(a_sync_that_fails_as_it_begins_loses_nothing_acknowledged),
        cmocka_unit_test(a_failed_write_loses_nothing_acknowledged),
        cmocka_unit_test(a_failed_creation_opening_or_mapping_loses_nothing_acknowledged),
        cmocka_unit_test(a_failed_change_of_names_loses_nothing_acknowledged),
        cmocka_unit_test(a_failed_read_is_told_and_the_next_one_answers),
    };
    return cmocka_run_group_tests_name("fault", tests, NULL, NULL);
}
