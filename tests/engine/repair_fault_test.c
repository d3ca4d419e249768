/*
 * repair_fault_test.c - a repair is ended at each of its calls, by a kill and by a power cut, and each of its calls and
 * allocations fails once: whatever the moment, run again it ends well, and all is saved that it saves undisturbed.
 *
 * STRIDE in the environment: every so manieth allocation (1: each). TEST: that one alone.
 */
#include "damaged_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- damaged databases: small ones, for there are many rounds ------------------------------------------------------
 */

/* What was set aside of the logs and is empty, nobody needs to read in each round. */
static void trim_logs(struct run *r) {
    struct damaged_files f = damaged_files(r);
    for (size_t i = 0; i < f.count; i++) {
        if (!damaged_has_part(f.paths[i], ".log")) continue;
        size_t size;
        uint8_t *bytes = env_sim_read_file(r->sim, f.paths[i], &size);
        while (size && !bytes[size - 1]) size--;
        free(bytes);
        damaged_cut(r, f.paths[i], (size / ENV_PAGE_BYTES + 1) * ENV_PAGE_BYTES);
    }
}

/* Tables of several flushes with some of a merge below, values apart if the seed says so, and logs if it is killed. */
static struct run *small_life(uint64_t seed, bool killed) {
    struct run *r = damaged_new(seed);
    run_open(r);
    damaged_work(r, 25);
    run_flush(r);
    RUN_EXPECT(r, velocity_compact(r->db, NULL) == VELOCITY_OK);
    for (int i = 0; i < 2; i++) {
        damaged_work(r, 15);
        run_flush(r);
    }
    damaged_work(r, 12);
    if (killed)
        damaged_die(r);
    else
        run_close(r);
    trim_logs(r);
    return r;
}

static void flip(struct run *r, const char *part, uint64_t offset) {
    struct damaged_files f = damaged_files(r);
    const char *path = damaged_pick(r, &f, part);
    RUN_EXPECT(r, path && env_sim_flip_bit(r->sim, path, offset, 1));
}

static void remove_all(struct run *r, const char *part) {
    struct damaged_files f = damaged_files(r);
    for (size_t i = 0; i < f.count; i++)
        if (damaged_has_part(f.paths[i], part)) damaged_unlink(r, f.paths[i]);
}

static struct run *with_a_damaged_block_and_group(void) {
    struct run *r = small_life(1, true);
    flip(r, ".sst", 300);
    flip(r, ".log", 200);
    return r;
}

static struct run *with_a_damaged_value_and_a_table_without_its_end(void) {
    struct run *r = small_life(6, false);
    struct damaged_files f = damaged_files(r);
    const char *path = damaged_pick(r, &f, ".sst");
    RUN_EXPECT(r, path != NULL);
    damaged_overwrite(r, path, damaged_size(r, path) - 512, 512);
    for (size_t i = 0; i < f.count; i++) /* some of its records are referred to, others are not any more */
        for (uint64_t at = 200; damaged_has_part(f.paths[i], ".val") && at < damaged_size(r, f.paths[i]); at += 700)
            RUN_EXPECT(r, env_sim_flip_bit(r->sim, f.paths[i], at, 1));
    return r;
}

static struct run *without_current_and_manifest(void) {
    struct run *r = small_life(7, true);
    remove_all(r, "CURRENT");
    remove_all(r, "MANIFEST");
    return r;
}

static struct run *without_a_value_file_and_with_a_damaged_manifest(void) {
    struct run *r = small_life(3, true);
    struct damaged_files f = damaged_files(r);
    const char *path = damaged_pick(r, &f, ".val");
    RUN_EXPECT(r, path != NULL);
    damaged_unlink(r, path);
    flip(r, "MANIFEST", 300);
    return r;
}

static struct run *(*const damages[])(void) = {
    with_a_damaged_block_and_group,
    with_a_damaged_value_and_a_table_without_its_end,
    without_current_and_manifest,
    without_a_value_file_and_with_a_damaged_manifest,
};
enum { DAMAGES = sizeof damages / sizeof *damages };

/* One damaged database, of which every round gets a copy. */
struct rounds {
    struct run *r;
    env_sim *original;
    velocity_report found; /* by verify: what is in doubt is known before */
    size_t saved;          /* keys that are as they were after an undisturbed repair */
    env_sim *dry;          /* where that one was run, */
    uint64_t first, calls; /* and the mutating calls that it made there */
};

static void repair_until_done(struct run *r) {
    velocity_report report = velocity_report_default();
    velocity_status status = damaged_repair(r, &report);
    if (status) run_fail(r, "%s: %s", velocity_status_name(status), velocity_error_message());
    RUN_EXPECT(r, env_sim_open_files(r->sim) == 0);
    velocity_report_clear(&report);
}

/* What a repair was writing when it ended is no manifest yet: verify names none that it did not name before. */
static void expect_no_torn_manifest(struct rounds *o, const velocity_report *now) {
    char path[80];
    for (size_t i = 0; i < now->finding_count; i++) {
        const velocity_finding *f = &now->findings[i];
        if (f->kind != VELOCITY_FINDING_DAMAGE || strncmp(f->file, "MANIFEST", 8) != 0) continue;
        (void)snprintf(path, sizeof path, "%s/%s", DAMAGED_FOLDER, f->file);
        if (!damaged_names(&o->found, path)) run_fail(o->r, "verify names %s: %s", f->file, f->what);
    }
}

static void begin_round(struct rounds *o) {
    o->r->sim = damaged_copy(o->r);
}

static void end_round(struct rounds *o) {
    size_t saved = damaged_expect_repaired(o->r, &o->found);
    if (saved < o->saved) run_fail(o->r, "%zu keys are as they were, undisturbed %zu were", saved, o->saved);
    env_sim_free(o->r->sim);
    o->r->sim = o->original;
}

static struct rounds begin(struct run *damaged) {
    struct rounds o = {.r = damaged, .original = damaged->sim, .found = velocity_report_default()};
    RUN_EXPECT(o.r, damaged_verify(o.r, &o.found) == VELOCITY_CORRUPT);
    begin_round(&o);
    o.dry = o.r->sim;
    o.first = env_sim_calls(o.dry);
    repair_until_done(o.r);
    o.calls = env_sim_calls(o.dry) - o.first;
    o.saved = damaged_expect_repaired(o.r, &o.found);
    RUN_EXPECT(o.r, o.saved > o.r->m->key_count / 3);
    o.r->sim = o.original;
    return o;
}

static void end(struct rounds *o) {
    velocity_report_clear(&o->found);
    env_sim_free(o->dry);
    run_free(o->r);
}

/* ---- what may come in between --------------------------------------------------------------------------------------
 */

/* Ends a repair at the call, runs it again, and judges. */
static void end_at(struct rounds *o, uint64_t calls, bool power_cut, bool lose_any_names) {
    velocity_report report = velocity_report_default();
    begin_round(o);
    if (lose_any_names) env_sim_lose_any_names(o->r->sim);
    env_sim_crash_after(o->r->sim, calls);
    (void)damaged_repair(o->r, &report); /* that what is superfluous could not be removed, it need not tell */
    RUN_EXPECT(o->r, run_crashed(o->r));
    velocity_report_clear(&report);
    if (power_cut)
        env_sim_power_cut(o->r->sim);
    else
        env_sim_kill(o->r->sim);
    run_doing(o->r, "repair again after %s at call %llu", power_cut ? "a power cut" : "a kill",
              (unsigned long long)calls);
    repair_until_done(o->r);
    end_round(o);
}

/* Of a long row of writes (a log segment being filled) the ends say most. */
static bool is_worth_a_crash(const struct rounds *o, uint64_t at) {
    enum { NEAR = 2, SAMPLE = 64 };
    uint64_t call = o->first + at;
    if (at % SAMPLE == 0) return true;
    for (uint64_t near = call - NEAR; near <= call + NEAR; near++)
        if (env_sim_call_at(o->dry, near) != ENV_SIM_WRITE) return true;
    return false;
}

static void a_repair_may_be_ended_at_any_call_and_run_again(void **state) {
    (void)state;
    for (size_t i = 0; i < DAMAGES; i++) {
        struct rounds o = begin(damages[i]());
        bool any_names = false;
        for (uint64_t call = 0; call < o.calls; call++) {
            if (!is_worth_a_crash(&o, call)) continue;
            end_at(&o, call, false, false);
            end_at(&o, call, true, any_names = !any_names);
        }
        end(&o);
    }
}

/*
 * Verify finds what it found before, and what the repair left half written; or a database that is whole: the repair
 * ended on one side of its moment.
 */
static void expect_before_or_after(struct rounds *o) {
    velocity_report now = velocity_report_default();
    velocity_status status = damaged_verify(o->r, &now);
    RUN_EXPECT(o->r, status == VELOCITY_OK || (status == VELOCITY_CORRUPT && now.damages >= o->found.damages));
    expect_no_torn_manifest(o, &now);
    velocity_report_clear(&now);
}

/* True if the repair came to an nth such call. */
static bool fail_nth(struct rounds *o, enum env_sim_call call, uint64_t nth) {
    velocity_report report = velocity_report_default();
    begin_round(o);
    run_doing(o->r, "repair with call %llu of kind %d failing", (unsigned long long)nth, (int)call);
    env_sim_fail(o->r->sim, call, nth);
    velocity_status status = damaged_repair(o->r, &report);
    bool struck = env_sim_failed(o->r->sim, call);
    env_sim_fail(o->r->sim, call, 0);
    if (status != VELOCITY_OK && !(struck && status == VELOCITY_IO))
        run_fail(o->r, "%s: %s", velocity_status_name(status), velocity_error_message());
    if (status == VELOCITY_OK) RUN_EXPECT(o->r, report.repaired);
    RUN_EXPECT(o->r, env_sim_open_files(o->r->sim) == 0);
    if (status) expect_before_or_after(o);
    if (status) repair_until_done(o->r);
    end_round(o);
    velocity_report_clear(&report);
    return struck;
}

static bool is_worth_failing(const struct rounds *o, int call, uint64_t nth) {
    for (uint64_t at = 0; call == ENV_SIM_WRITE && at < o->calls; at++)
        if (env_sim_call_at(o->dry, o->first + at) == ENV_SIM_WRITE && --nth == 0) return is_worth_a_crash(o, at);
    return true;
}

static void any_call_of_a_repair_may_fail(void **state) {
    (void)state;
    uint64_t failed[ENV_SIM_CALLS] = {0};
    for (size_t i = 0; i < DAMAGES; i++) {
        struct rounds o = begin(damages[i]());
        for (int call = 0; call < ENV_SIM_CALLS; call++)
            for (uint64_t nth = 1; !is_worth_failing(&o, call, nth) || fail_nth(&o, (enum env_sim_call)call, nth);
                 nth++)
                failed[call]++;
        end(&o);
    }
    assert_true(failed[ENV_SIM_OPEN] && failed[ENV_SIM_CREATE] && failed[ENV_SIM_READ] && failed[ENV_SIM_WRITE] &&
                failed[ENV_SIM_SYNC] && failed[ENV_SIM_RENAME] && failed[ENV_SIM_LIST]);
}

static void a_disk_that_is_full_keeps_a_repair_from_changing_anything(void **state) {
    enum { PAGE_BYTES = 4096, MOST_PAGES = 4096 };
    (void)state;
    for (size_t i = 0; i < DAMAGES; i++) {
        struct rounds o = begin(damages[i]());
        uint64_t used = env_sim_used(o.original), refused = 0;
        velocity_status status = VELOCITY_NO_SPACE;
        for (uint64_t pages = 0; status == VELOCITY_NO_SPACE; pages += 1 + pages / 8) {
            RUN_EXPECT(o.r, pages < MOST_PAGES);
            velocity_report report = velocity_report_default();
            begin_round(&o);
            run_doing(o.r, "repair with room for %llu pages more", (unsigned long long)pages);
            env_sim_set_capacity(o.r->sim, used + pages * PAGE_BYTES);
            status = damaged_repair(o.r, &report);
            RUN_EXPECT(o.r, status == VELOCITY_OK || status == VELOCITY_NO_SPACE);
            RUN_EXPECT(o.r, env_sim_open_files(o.r->sim) == 0);
            if (status) expect_before_or_after(&o);
            env_sim_set_capacity(o.r->sim, 0);
            if (status) repair_until_done(o.r);
            refused += status != VELOCITY_OK;
            end_round(&o);
            velocity_report_clear(&report);
        }
        assert_true(refused > 3);
        end(&o);
    }
}

static void any_allocation_of_a_repair_may_fail(void **state) {
    enum { STRIDE = 7 };
    (void)state;
    const char *text = getenv("STRIDE");
    uint64_t stride = text ? strtoull(text, NULL, 10) : STRIDE;
    for (size_t i = 0; i < DAMAGES; i++) {
        struct rounds o = begin(damages[i]());
        bool failed = true;
        uint64_t nth = 1 + i;
        for (; failed; nth += stride) {
            velocity_report report = velocity_report_default();
            begin_round(&o);
            env_fail_allocation(nth, false);
            velocity_status status = damaged_repair(o.r, &report);
            env_fail_allocation(0, false);
            run_doing(o.r, "repair with allocation %llu failing", (unsigned long long)nth);
            RUN_EXPECT(o.r, status == VELOCITY_OK || status == VELOCITY_NO_MEMORY);
            RUN_EXPECT(o.r, env_sim_open_files(o.r->sim) == 0);
            failed = status != VELOCITY_OK;
            if (failed) expect_before_or_after(&o);
            if (failed) repair_until_done(o.r);
            end_round(&o);
            velocity_report_clear(&report);
        }
        assert_true(nth > 100);
        end(&o);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_repair_may_be_ended_at_any_call_and_run_again),
        cmocka_unit_test(any_call_of_a_repair_may_fail),
        cmocka_unit_test(a_disk_that_is_full_keeps_a_repair_from_changing_anything),
        cmocka_unit_test(any_allocation_of_a_repair_may_fail),
    };
    cmocka_set_test_filter(getenv("TEST"));
    return cmocka_run_group_tests_name("repair_fault", tests, NULL, NULL);
}
