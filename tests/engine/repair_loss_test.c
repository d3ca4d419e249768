/*
 * repair_loss_test.c - whole files that are gone, and places that the disk does not give up: verify names them, repair
 * saves the rest.
 */
#include "damaged_run.h"
#include "engine/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static void remove_files(struct run *r, const char *part) {
    struct damaged_files f = damaged_files(r);
    for (size_t i = 0; i < f.count; i++)
        if (damaged_has_part(f.paths[i], part)) damaged_unlink(r, f.paths[i]);
}

static struct run *killed_run(uint64_t seed, unsigned flushed_steps) {
    struct run *r = damaged_new(seed);
    run_open(r);
    damaged_work(r, flushed_steps);
    if (flushed_steps) run_flush(r);
    damaged_work(r, 20);
    damaged_die(r);
    return r;
}

static void repair_well(struct run *r, velocity_report *report) {
    velocity_status status = damaged_repair(r, report);
    if (status) run_fail(r, "repair: %s: %s", velocity_status_name(status), velocity_error_message());
    RUN_EXPECT(r, report->repaired && env_sim_open_files(r->sim) == 0);
}

static void a_log_that_is_missing_is_told_and_what_is_in_tables_is_kept(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed < 9; seed++) {
        struct run *r = killed_run(seed, 100);
        uint64_t flushed = r->m->boundaries[0];
        velocity_report report = velocity_report_default();
        remove_files(r, ".log");
        RUN_EXPECT(r, damaged_verify(r, &report) == VELOCITY_CORRUPT);
        RUN_EXPECT(r, report.damages >= 1 && report.stale_count == 1 && flushed > 0);
        RUN_EXPECT(r, report.finding_count && strstr(report.findings[0].file, ".log"));
        RUN_EXPECT(r, database_open(env_sim_env(r->sim), DAMAGED_FOLDER, &r->options, &r->db) == VELOCITY_CORRUPT);
        r->db = NULL;
        repair_well(r, &report);
        RUN_EXPECT(r, report.tables_lost == 0);
        RUN_EXPECT(r, damaged_expect_repaired(r, &report) > r->m->key_count / 2);
        velocity_report_clear(&report);
        run_free(r);
    }
}

/* The passphrase is stretched with the database's id, which the log's header alone has then. */
static void logs_alone_are_enough(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed < 6; seed++) {
        struct run *r = damaged_new(seed);
        if (seed == 5) {
            r->options.encryption_key = velocity_bytes(NULL, 0);
            r->options.encryption_passphrase = velocity_str("correct horse battery staple");
        }
        run_open(r);
        for (int i = 0; i < 15; i++) (void)run_put(r);
        damaged_die(r);
        remove_files(r, ".sst");
        remove_files(r, "CURRENT");
        remove_files(r, "MANIFEST");
        velocity_report report = velocity_report_default();
        repair_well(r, &report);
        RUN_EXPECT(r, report.entries_saved >= 15);
        RUN_EXPECT(r, damaged_expect_repaired(r, &report) == r->m->key_count);
        velocity_report_clear(&report);
        run_free(r);
    }
}

static void where_nothing_is_readable_nothing_is_changed(void **state) {
    (void)state;
    struct run *r = killed_run(1, 60);
    struct damaged_files f = damaged_files(r);
    for (size_t i = 0; i < f.count; i++) damaged_overwrite(r, f.paths[i], 0, 200);
    uint64_t calls = env_sim_calls(r->sim);
    velocity_report report = velocity_report_default();
    RUN_EXPECT(r, damaged_repair(r, &report) == VELOCITY_CORRUPT && !report.repaired);
    RUN_EXPECT(r, strstr(velocity_error_message(), "nothing can be saved") != NULL);
    RUN_EXPECT(r, env_sim_calls(r->sim) == calls && env_sim_open_files(r->sim) == 0);
    velocity_report_clear(&report);
    run_free(r);
}

/* Of each kind of file, at its beginning, in its middle, at its end. */
static void what_the_disk_does_not_give_up_is_damage_and_the_rest_is_saved(void **state) {
    static const char *const parts[] = {".sst", ".val", ".log", "MANIFEST", "CURRENT"};
    enum { PARTS = sizeof parts / sizeof *parts, SECTOR = 512 };
    size_t told[PARTS] = {0};
    (void)state;
    for (uint64_t i = 0; i < PARTS * 6; i++) {
        struct run *r = killed_run(2 + i / PARTS * 4, 100);
        struct damaged_files f = damaged_files(r);
        const char *path = damaged_pick(r, &f, parts[i % PARTS]);
        RUN_EXPECT(r, path != NULL);
        uint64_t size = damaged_size(r, path), places[] = {0, size / 2, size > SECTOR ? size - SECTOR : 0};
        uint64_t at = places[i / PARTS % 3];
        run_doing(r, "repair with %d bytes unreadable at %llu of %s", SECTOR, (unsigned long long)at, path);
        env_sim_make_unreadable(r->sim, path, at, SECTOR);
        velocity_report found = velocity_report_default(), report = velocity_report_default();
        velocity_status status = damaged_verify(r, &found);
        bool counts = status != VELOCITY_OK; /* else nothing needs the file any more */
        RUN_EXPECT(r, counts ? status == VELOCITY_CORRUPT && damaged_names(&found, path) : i % PARTS < 3);
        told[i % PARTS] += counts;
        if (counts) repair_well(r, &report);
        if (counts) RUN_EXPECT(r, damaged_names(&report, path));
        env_sim_make_unreadable(r->sim, "nothing", 0, 0); /* the file itself may remain: the disk is replaced */
        (void)damaged_expect_repaired(r, &report);
        velocity_report_clear(&report);
        velocity_report_clear(&found);
        run_free(r);
    }
    for (size_t i = 0; i < PARTS; i++) assert_true(told[i] > 0);
}

static void verify_and_repair_need_a_path(void **state) {
    (void)state;
    static const char *const none[] = {NULL, ""};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(velocity_verify(none[i], NULL), VELOCITY_INVALID);
        assert_int_equal(velocity_repair(none[i], NULL), VELOCITY_INVALID);
        assert_non_null(strstr(velocity_error_message(), "needs a path"));
    }
    assert_int_equal(velocity_verify("engine_test.nowhere", NULL), VELOCITY_NOT_FOUND);
    assert_int_equal(velocity_repair("engine_test.nowhere", NULL), VELOCITY_NOT_FOUND);
}

static void every_status_has_a_name_of_its_own(void **state) {
    (void)state;
    for (int i = 0; i <= VELOCITY_HISTORY_GONE; i++) {
        assert_string_not_equal(velocity_status_name((velocity_status)i), "UNKNOWN");
        for (int k = 0; k < i; k++)
            assert_string_not_equal(velocity_status_name((velocity_status)i), velocity_status_name((velocity_status)k));
    }
    assert_string_equal(velocity_status_name((velocity_status)(VELOCITY_HISTORY_GONE + 1)), "UNKNOWN");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_that_is_missing_is_told_and_what_is_in_tables_is_kept),
        cmocka_unit_test(logs_alone_are_enough),
        cmocka_unit_test(where_nothing_is_readable_nothing_is_changed),
        cmocka_unit_test(what_the_disk_does_not_give_up_is_damage_and_the_rest_is_saved),
        cmocka_unit_test(verify_and_repair_need_a_path),
        cmocka_unit_test(every_status_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests_name("repair_loss", tests, NULL, NULL);
}
