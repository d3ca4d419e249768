/*
 * repair_test.c - verify finds every damage and changes nothing; repair saves what is intact, and says of every key
 * that may not be what it was that it may not be: whatever was damaged, and wherever a repair is ended.
 *
 * SEED in the environment repeats one random run.
 */
#include "engine/slice.h"
#include "engine/verify.h"
#include "model_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define FOLDER "disk/db"

static const velocity_slice LAST_KEY = {"~the last key of all", 20};

struct files {
    char paths[128][64];
    size_t count;
};

static velocity_status add_file(void *arg, const char *name) {
    struct files *f = arg;
    if (strcmp(name, "LOCK") == 0 || strcmp(name, "lost") == 0) return VELOCITY_OK;
    assert_true(f->count < 128);
    (void)snprintf(f->paths[f->count++], sizeof f->paths[0], FOLDER "/%.50s", name);
    return VELOCITY_OK;
}

static struct files all_files(struct run *r) {
    struct files f = {.count = 0};
    RUN_EXPECT(r, env_list(env_sim_env(r->sim), FOLDER, add_file, &f) == VELOCITY_OK);
    return f;
}

static bool has_part(const char *path, const char *part) {
    return strstr(path, part) != NULL;
}

/* A random file of whose name this is a part; NULL: none. */
static const char *pick_file(struct run *r, struct files *f, const char *part) {
    size_t count = 0;
    for (size_t i = 0; i < f->count; i++) count += has_part(f->paths[i], part);
    if (!count) return NULL;
    size_t wanted = model_random(r->m, count);
    for (size_t i = 0; i < f->count; i++)
        if (has_part(f->paths[i], part) && wanted-- == 0) return f->paths[i];
    return NULL;
}

static size_t file_size(struct run *r, const char *path) {
    size_t size = 0;
    uint8_t *bytes = env_sim_read_file(r->sim, path, &size);
    RUN_EXPECT(r, bytes != NULL);
    free(bytes);
    return size;
}

static struct run *new_run(uint64_t seed) {
    struct run *r = run_new(seed, 500);
    r->options = velocity_options_default();
    r->options.memtable_bytes = 65536;
    r->options.table_bytes = 65536;
    r->options.compaction_threshold = 4;
    r->options.log_retention_bytes = seed % 3 ? 0 : 1 << 20;
    return r;
}

/* Work that leaves tables on several levels, and, where it is killed, logs. */
static void work(struct run *r, unsigned steps) {
    for (unsigned i = 0; i < steps; i++) {
        if (i % 5 == 0)
            (void)run_batch(r);
        else
            (void)run_put(r);
        if (model_random(r->m, 150) == 0) run_flush(r);
        if (model_random(r->m, 400) == 0) run_compact(r);
    }
}

/* A power cut later there may be logs; their last group holds LAST_KEY alone. */
static void die(struct run *r) {
    RUN_EXPECT(r, velocity_put(r->db, LAST_KEY, velocity_str("x")) == VELOCITY_OK);
    env_sim_crash_after(r->sim, 0);
    RUN_EXPECT(r, velocity_close(r->db) != VELOCITY_BUSY);
    r->db = NULL;
    env_sim_kill(r->sim);
}

static velocity_status verify(struct run *r, velocity_report *report) {
    velocity_check_options check = velocity_check_options_default();
    check.database = &r->options;
    velocity_status status = database_verify(env_sim_env(r->sim), FOLDER, &check, report);
    RUN_EXPECT(r, env_sim_open_files(r->sim) == 0);
    return status;
}

static velocity_status repair(struct run *r, velocity_report *report) {
    velocity_check_options check = velocity_check_options_default();
    check.database = &r->options;
    return database_repair(env_sim_env(r->sim), FOLDER, &check, report);
}

static bool names_file(const velocity_report *report, const char *path) {
    for (size_t i = 0; i < report->finding_count; i++)
        if (report->findings[i].kind == VELOCITY_FINDING_DAMAGE &&
            strcmp(report->findings[i].file, path + strlen(FOLDER) + 1) == 0)
            return true;
    return false;
}

static void print_report(const velocity_report *report) {
    for (size_t i = 0; i < report->finding_count; i++)
        printf("  %d %s @%llu: %s\n", (int)report->findings[i].kind, report->findings[i].file,
               (unsigned long long)report->findings[i].offset, report->findings[i].what);
    for (size_t i = 0; i < report->stale_count; i++)
        printf("  stale: %zu bytes to %zu bytes\n", report->stale[i].first.size, report->stale[i].last.size);
}

/* ---- verify -------------------------------------------------------------------------------------------------------
 */

static void an_undamaged_database_is_found_whole_and_left_as_it_is(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct run *r = new_run(seed);
        if (seed % 4 == 0) r->options.bloom_false_positive_rate = 1;
        run_open(r);
        work(r, 100 * (unsigned)seed);
        if (seed % 3 == 1)
            die(r);
        else
            run_close(r);
        if (seed % 3 == 1 && seed % 2) env_sim_power_cut(r->sim);
        uint64_t calls = env_sim_calls(r->sim);
        velocity_report report = velocity_report_default();
        velocity_status status = verify(r, &report);
        if (status) print_report(&report);
        RUN_EXPECT(r, status == VELOCITY_OK);
        RUN_EXPECT(r, report.damages == 0 && report.stale_count == 0);
        RUN_EXPECT(r, report.tables == 0 || (report.blocks > report.tables && report.entries > 0));
        RUN_EXPECT(r, report.tables > 0 || report.log_operations > 0);
        RUN_EXPECT(r, report.last_sequence >= r->m->last);
        RUN_EXPECT(r, repair(r, &report) == VELOCITY_OK && !report.repaired);
        RUN_EXPECT(r, env_sim_calls(r->sim) == calls);
        velocity_report_clear(&report);
        RUN_EXPECT(r, database_open(env_sim_env(r->sim), FOLDER, &r->options, &r->db) == VELOCITY_OK);
        RUN_EXPECT(r, velocity_delete(r->db, LAST_KEY) == VELOCITY_OK);
        RUN_EXPECT(r, run_state_is(r, r->m->last, true));
        run_free(r);
    }
}

static void a_database_that_is_open_or_not_there_is_told_apart(void **state) {
    (void)state;
    struct run *r = new_run(1);
    velocity_report report = velocity_report_default();
    RUN_EXPECT(r, verify(r, &report) == VELOCITY_NOT_FOUND);
    RUN_EXPECT(r, repair(r, &report) == VELOCITY_NOT_FOUND);
    run_open(r);
    (void)run_put(r);
    RUN_EXPECT(r, database_verify(env_sim_env(r->sim), FOLDER, NULL, NULL) == VELOCITY_LOCKED);
    RUN_EXPECT(r, database_repair(env_sim_env(r->sim), FOLDER, NULL, NULL) == VELOCITY_LOCKED);
    run_close(r);
    RUN_EXPECT(r, verify(r, NULL) == VELOCITY_OK);
    velocity_report_clear(&report);
    run_free(r);
}

static void every_flipped_bit_of_a_table_is_found_and_all_of_several(void **state) {
    enum { ROUNDS = 60 };
    (void)state;
    struct run *r = new_run(3);
    run_open(r);
    work(r, 600);
    run_close(r);
    struct files f = all_files(r);
    for (unsigned i = 0; i < ROUNDS; i++) {
        const char *paths[4];
        uint64_t offsets[4];
        size_t flips = 1 + model_random(r->m, 4);
        for (size_t k = 0; k < flips; k++) {
            paths[k] = pick_file(r, &f, ".sst");
            RUN_EXPECT(r, paths[k] != NULL);
            size_t size = file_size(r, paths[k]);
            offsets[k] = i % 4 == 0   ? model_random(r->m, 128)
                         : i % 4 == 1 ? size - 1 - model_random(r->m, 640)
                                      : model_random(r->m, size);
            RUN_EXPECT(r, env_sim_flip_bit(r->sim, paths[k], offsets[k], (unsigned)k));
        }
        run_doing(r, "verify with %zu bits flipped, the first at %llu in %s", flips, (unsigned long long)offsets[0],
                  paths[0]);
        velocity_report report = velocity_report_default();
        RUN_EXPECT(r, verify(r, &report) == VELOCITY_CORRUPT);
        for (size_t k = 0; k < flips; k++) RUN_EXPECT(r, names_file(&report, paths[k]));
        velocity_report_clear(&report);
        for (size_t k = 0; k < flips; k++) RUN_EXPECT(r, env_sim_flip_bit(r->sim, paths[k], offsets[k], (unsigned)k));
    }
    RUN_EXPECT(r, verify(r, NULL) == VELOCITY_OK);
    run_free(r);
}

/* Where a bit of CURRENT, manifest or log is flipped, verify says what an opening says. */
static void what_an_opening_refuses_verify_finds(void **state) {
    enum { ROUNDS = 80 };
    (void)state;
    struct run *r = new_run(4);
    run_open(r);
    work(r, 150);
    run_flush(r);
    work(r, 30);
    die(r);
    struct files f = all_files(r);
    unsigned refused = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        static const char *const parts[] = {"CURRENT", "MANIFEST", ".log", ".log"};
        const char *path = pick_file(r, &f, parts[i % 4]);
        RUN_EXPECT(r, path != NULL);
        size_t size = file_size(r, path);
        uint64_t offset = i % 8 > 4 ? model_random(r->m, 200) : model_random(r->m, size < 40000 ? size : 40000);
        if (offset >= size) offset = size - 1;
        RUN_EXPECT(r, env_sim_flip_bit(r->sim, path, offset, i % 8));
        run_doing(r, "verify with bit %u flipped at %llu in %s", i % 8, (unsigned long long)offset, path);
        velocity_status verified = verify(r, NULL);
        velocity_status opened = VELOCITY_OK;
        if (verified == VELOCITY_CORRUPT) opened = database_open(env_sim_env(r->sim), FOLDER, &r->options, &r->db);
        refused += opened == VELOCITY_CORRUPT;
        RUN_EXPECT(r, verified == VELOCITY_OK || opened == VELOCITY_CORRUPT);
        RUN_EXPECT(r, env_sim_flip_bit(r->sim, path, offset, i % 8));
        /* The other way round: nothing that verify finds whole is refused. It is opened in a copy of the machine. */
        if (verified == VELOCITY_OK) {
            env_sim *other = env_sim_new(1);
            env *e = env_sim_env(other);
            RUN_EXPECT(r, env_make_directory(e, "disk") == VELOCITY_OK);
            RUN_EXPECT(r, env_make_directory(e, FOLDER) == VELOCITY_OK);
            RUN_EXPECT(r, env_sim_flip_bit(r->sim, path, offset, i % 8));
            for (size_t k = 0; k < f.count; k++) {
                size_t bytes;
                uint8_t *data = env_sim_read_file(r->sim, f.paths[k], &bytes);
                env_file *file;
                RUN_EXPECT(r, env_create(e, f.paths[k], &file) == VELOCITY_OK);
                RUN_EXPECT(r, env_write(file, data, bytes, 0) == VELOCITY_OK);
                RUN_EXPECT(r, env_close(file) == VELOCITY_OK);
                free(data);
            }
            RUN_EXPECT(r, env_sim_flip_bit(r->sim, path, offset, i % 8));
            velocity *db;
            RUN_EXPECT(r, database_open(e, FOLDER, &r->options, &db) == VELOCITY_OK);
            RUN_EXPECT(r, velocity_close(db) == VELOCITY_OK);
            env_sim_free(other);
        }
    }
    RUN_EXPECT(r, refused > ROUNDS / 4);
    RUN_EXPECT(r, verify(r, NULL) == VELOCITY_OK);
    run_free(r);
}

/* ---- repair --------------------------------------------------------------------------------------------------------
 */

static void overwrite(struct run *r, const char *path, uint64_t from, size_t size) {
    env_file *file;
    uint8_t noise[8192];
    uint64_t end = file_size(r, path);
    if (size > sizeof noise) size = sizeof noise;
    if (from + size > end) size = (size_t)(end - from);
    for (size_t i = 0; i < size; i++) noise[i] = (uint8_t)model_random(r->m, 256);
    RUN_EXPECT(r, env_open_write(env_sim_env(r->sim), path, &file) == VELOCITY_OK);
    RUN_EXPECT(r, env_write(file, noise, size, from) == VELOCITY_OK);
    RUN_EXPECT(r, env_close(file) == VELOCITY_OK);
}

static void cut(struct run *r, const char *path, uint64_t size) {
    env_file *file;
    RUN_EXPECT(r, env_open_write(env_sim_env(r->sim), path, &file) == VELOCITY_OK);
    RUN_EXPECT(r, env_truncate(file, size) == VELOCITY_OK);
    RUN_EXPECT(r, env_close(file) == VELOCITY_OK);
}

/* Before the last group of the logs: that one proves everything else. */
static void damage_log(struct run *r, struct files *f) {
    for (size_t i = 0; i < f->count; i++) {
        if (!has_part(f->paths[i], ".log")) continue;
        size_t size, last = 0;
        uint8_t *bytes = env_sim_read_file(r->sim, f->paths[i], &size);
        for (size_t at = 0; at + LAST_KEY.size <= size; at++)
            if (memcmp(bytes + at, LAST_KEY.data, LAST_KEY.size) == 0) last = at;
        free(bytes);
        if (last <= 300) continue;
        uint64_t offset = model_random(r->m, last - 80);
        run_doing(r, "flip a bit at %llu of %s", (unsigned long long)offset, f->paths[i]);
        RUN_EXPECT(r, env_sim_flip_bit(r->sim, f->paths[i], offset, 3));
        return;
    }
}

/* One random damage. */
static void do_damage(struct run *r) {
    struct files f = all_files(r);
    uint64_t sort = model_random(r->m, 10);
    const char *path = pick_file(r, &f, sort < 6 ? ".sst" : sort == 6 ? "CURRENT" : sort == 7 ? "MANIFEST" : ".log");
    if (!path) return;
    size_t size = file_size(r, path);
    run_doing(r, "damage %u of %s", (unsigned)sort, path);
    if (sort >= 8)
        damage_log(r, &f);
    else if (sort == 0 || (sort >= 6 && model_random(r->m, 2)))
        RUN_EXPECT(r, env_unlink(env_sim_env(r->sim), path) == VELOCITY_OK);
    else if (sort == 1)
        cut(r, path, model_random(r->m, size));
    else if (sort == 2)
        overwrite(r, path, size - 600 + model_random(r->m, 600), 600);
    else if (sort == 3)
        overwrite(r, path, model_random(r->m, size), model_random(r->m, 8192));
    else if (sort == 4)
        overwrite(r, path, 0, 1 + model_random(r->m, 5000));
    else
        RUN_EXPECT(r, env_sim_flip_bit(r->sim, path, model_random(r->m, size), (unsigned)model_random(r->m, 8)));
}

static bool is_stale(const velocity_report *report, velocity_slice key) {
    for (size_t i = 0; i < report->stale_count; i++) {
        const velocity_key_range *range = &report->stale[i];
        if ((!range->first.data || slice_compare(range->first, key) <= 0) &&
            (!range->last.data || slice_compare(key, range->last) <= 0))
            return true;
    }
    return false;
}

/* Whether the key ever had this value at this version. */
static bool existed(const struct model_key *key, const velocity_value *value) {
    for (size_t i = 0; i < key->count; i++)
        if (key->versions[i].sequence == value->sequence)
            return !key->versions[i].deleted && key->versions[i].flags == value->flags &&
                   key->versions[i].hash == model_hash(velocity_bytes(value->data, value->size));
    return false;
}

/* Every key is as it was, or in a range of the report and as it once was, or absent. Returns how many are as they were.
 */
static size_t compare_with_report(struct run *r, const velocity_report *report) {
    size_t same = 0;
    for (size_t i = 0; i < r->m->key_count; i++) {
        const struct model_key *key = &r->m->keys[i];
        const struct model_version *expected = model_find(r->m, i, UINT64_MAX);
        velocity_value value;
        velocity_status status = velocity_get(r->db, key->bytes, &value);
        RUN_EXPECT(r, status == VELOCITY_OK || status == VELOCITY_NOT_FOUND);
        bool as_it_was = status == VELOCITY_OK ? expected && expected->sequence == value.sequence : expected == NULL;
        if (!as_it_was && !is_stale(report, key->bytes)) {
            print_report(report);
            run_fail(r, "key %zu: %s %llu, the model has %llu, and the report does not say so", i,
                     velocity_status_name(status), status ? 0 : (unsigned long long)value.sequence,
                     expected ? (unsigned long long)expected->sequence : 0);
        }
        if (status == VELOCITY_OK) RUN_EXPECT(r, existed(key, &value));
        if (status == VELOCITY_OK) velocity_value_release(&value);
        same += as_it_was;
    }
    return same;
}

/* What a repaired database must be. */
static size_t expect_repaired(struct run *r, const velocity_report *report) {
    velocity_report after = velocity_report_default();
    velocity_status status = verify(r, &after);
    if (status) print_report(report), printf("after:\n"), print_report(&after);
    RUN_EXPECT(r, status == VELOCITY_OK);
    RUN_EXPECT(r, repair(r, &after) == VELOCITY_OK && !after.repaired);
    velocity_report_clear(&after);
    RUN_EXPECT(r, database_open(env_sim_env(r->sim), FOLDER, &r->options, &r->db) == VELOCITY_OK);
    size_t same = compare_with_report(r, report);
    /* Versions never repeat: what is written now is newer than all that ever was. */
    velocity_value value;
    RUN_EXPECT(r, velocity_put(r->db, LAST_KEY, velocity_str("y")) == VELOCITY_OK);
    RUN_EXPECT(r, velocity_get(r->db, LAST_KEY, &value) == VELOCITY_OK);
    RUN_EXPECT(r, value.sequence > r->m->last);
    velocity_value_release(&value);
    RUN_EXPECT(r, velocity_compact(r->db, NULL) == VELOCITY_OK);
    RUN_EXPECT(r, compare_with_report(r, report) == same);
    RUN_EXPECT(r, velocity_close(r->db) == VELOCITY_OK);
    r->db = NULL;
    return same;
}

static struct run *damaged_run(uint64_t seed, unsigned steps) {
    struct run *r = new_run(seed);
    run_open(r);
    work(r, steps);
    if (seed % 2)
        die(r);
    else
        run_close(r);
    for (uint64_t i = 1 + model_random(r->m, 3); i > 0; i--) do_damage(r);
    return r;
}

static void whatever_is_damaged_repair_saves_the_rest_and_says_what_is_in_doubt(void **state) {
    (void)state;
    const char *text = getenv("SEED");
    uint64_t first = text ? strtoull(text, NULL, 10) : 1000, last = text ? first : first + 39;
    size_t keys = 0, saved = 0;
    for (uint64_t seed = first; seed <= last; seed++) {
        struct run *r = damaged_run(seed, 200 + (unsigned)(seed % 7) * 100);
        velocity_report report = velocity_report_default();
        velocity_status status = repair(r, &report);
        if (status) run_fail(r, "repair: %s: %s", velocity_status_name(status), velocity_error_message());
        RUN_EXPECT(r, env_sim_open_files(r->sim) == 0);
        RUN_EXPECT(r, report.repaired == (report.damages > 0));
        saved += expect_repaired(r, &report);
        keys += r->m->key_count;
        velocity_report_clear(&report);
        run_free(r);
    }
    assert_true(saved > keys / 2);
}

/* A kill or a power cut at each call, and then the repair is run again. */
static void a_repair_may_be_ended_at_any_call_and_run_again(void **state) {
    (void)state;
    for (uint64_t seed = 2000; seed < 2003; seed++) {
        for (uint64_t calls = 0;; calls += 3) {
            struct run *r = damaged_run(seed, 300);
            velocity_report report = velocity_report_default();
            velocity_report found = velocity_report_default();
            (void)verify(r, &found); /* what is in doubt is known before */
            env_sim_crash_after(r->sim, calls);
            (void)repair(r, &report);
            bool crashed = run_crashed(r);
            if (crashed && calls % 2)
                env_sim_power_cut(r->sim);
            else if (crashed)
                env_sim_kill(r->sim);
            else
                env_sim_no_crash(r->sim);
            run_doing(r, "repair again after it was ended at call %llu", (unsigned long long)calls);
            if (crashed) {
                velocity_status status = repair(r, &report);
                if (status) run_fail(r, "%s: %s", velocity_status_name(status), velocity_error_message());
            }
            (void)expect_repaired(r, &found);
            velocity_report_clear(&report);
            velocity_report_clear(&found);
            run_free(r);
            if (!crashed) break;
        }
    }
}

static void any_allocation_of_a_repair_may_fail(void **state) {
    (void)state;
    for (uint64_t seed = 2000; seed < 2002; seed++) {
        for (uint64_t nth = 1;; nth += 29) {
            struct run *r = damaged_run(seed, 200);
            velocity_report report = velocity_report_default();
            env_fail_allocation(nth, false);
            velocity_status status = repair(r, &report);
            env_fail_allocation(0, false);
            run_doing(r, "repair with allocation %llu failing", (unsigned long long)nth);
            RUN_EXPECT(r, status == VELOCITY_OK || status == VELOCITY_NO_MEMORY);
            RUN_EXPECT(r, env_sim_open_files(r->sim) == 0);
            bool failed = status != VELOCITY_OK;
            if (failed) {
                status = repair(r, &report);
                if (status) run_fail(r, "%s: %s", velocity_status_name(status), velocity_error_message());
                if (nth % 4 == 0) (void)expect_repaired(r, &report);
            }
            velocity_report_clear(&report);
            run_free(r);
            if (!failed) break;
        }
    }
}

/* What an original file held stands in lost/ afterwards. */
static void the_damaged_originals_are_kept(void **state) {
    (void)state;
    struct run *r = new_run(9);
    run_open(r);
    work(r, 300);
    run_close(r);
    struct files f = all_files(r);
    const char *path = pick_file(r, &f, ".sst");
    RUN_EXPECT(r, path != NULL);
    RUN_EXPECT(r, env_sim_flip_bit(r->sim, path, 1000, 1));
    size_t size, kept_size;
    char kept[96];
    (void)snprintf(kept, sizeof kept, FOLDER "/lost/%s", path + strlen(FOLDER) + 1);
    uint8_t *bytes = env_sim_read_file(r->sim, path, &size);
    velocity_report report = velocity_report_default();
    RUN_EXPECT(r, repair(r, &report) == VELOCITY_OK);
    RUN_EXPECT(r, report.repaired && report.damages == 1 && report.tables_rewritten == 1);
    uint8_t *copy = env_sim_read_file(r->sim, kept, &kept_size);
    RUN_EXPECT(r, copy && kept_size == size && memcmp(copy, bytes, size) == 0);
    (void)expect_repaired(r, &report);
    velocity_report_clear(&report);
    free(bytes);
    free(copy);
    run_free(r);
}

/* Without footer and index every block is found by its checksum. */
static void a_table_without_its_end_gives_up_every_entry(void **state) {
    (void)state;
    struct run *r = new_run(11);
    run_open(r);
    work(r, 400);
    run_close(r);
    struct files f = all_files(r);
    for (size_t i = 0; i < f.count; i++)
        if (has_part(f.paths[i], ".sst")) overwrite(r, f.paths[i], file_size(r, f.paths[i]) - 512, 512);
    velocity_report report = velocity_report_default();
    RUN_EXPECT(r, repair(r, &report) == VELOCITY_OK);
    if (report.stale_count) print_report(&report);
    RUN_EXPECT(r, report.tables_rewritten == report.tables && report.tables > 0 && report.stale_count == 0);
    RUN_EXPECT(r, expect_repaired(r, &report) == r->m->key_count);
    velocity_report_clear(&report);
    run_free(r);
}

static size_t count_keys(struct run *r) {
    size_t count = 0;
    velocity_iterator *it = velocity_iterator_new(r->db, NULL);
    for (; velocity_iterator_valid(it); velocity_iterator_next(it)) count++;
    RUN_EXPECT(r, velocity_iterator_status(it) == VELOCITY_OK);
    velocity_iterator_free(it);
    return count;
}

/* 4000 keys on the last level, and above them range deletes over pairs of every four of them: hundreds in a row. */
static struct run *run_of_ranges(uint64_t seed) {
    enum { KEYS = 4000 };
    struct run *r = new_run(seed);
    char key[32], end[32];
    r->options.memtable_bytes = 4 << 20;
    r->options.table_bytes = 1 << 20;
    run_open(r);
    velocity_batch *batch = velocity_batch_new();
    for (int i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof key, "range:%06d", i);
        velocity_batch_put(batch, velocity_str(key), velocity_str("a value"), NULL);
    }
    RUN_EXPECT(r, velocity_write(r->db, batch, NULL, NULL) == VELOCITY_OK);
    RUN_EXPECT(r, velocity_flush(r->db) == VELOCITY_OK);
    velocity_batch_clear(batch);
    for (int i = 0; i < KEYS; i += 4) {
        (void)snprintf(key, sizeof key, "range:%06d", i);
        (void)snprintf(end, sizeof end, "range:%06d", i + 2);
        velocity_batch_delete_range(batch, velocity_str(key), velocity_str(end));
    }
    RUN_EXPECT(r, velocity_write(r->db, batch, NULL, NULL) == VELOCITY_OK);
    velocity_batch_free(batch);
    RUN_EXPECT(r, velocity_flush(r->db) == VELOCITY_OK);
    RUN_EXPECT(r, count_keys(r) == KEYS / 2);
    run_close(r);
    return r;
}

static void range_deletes_outlive_the_end_of_their_table_and_the_blocks_that_held_them(void **state) {
    (void)state;
    for (uint64_t seed = 50; seed < 70; seed++) {
        struct run *r = run_of_ranges(seed);
        struct files f = all_files(r);
        for (size_t i = 0; i < f.count; i++) {
            if (!has_part(f.paths[i], ".sst")) continue;
            size_t size = file_size(r, f.paths[i]);
            if (seed % 2)
                overwrite(r, f.paths[i], size - 512, 512);
            else
                RUN_EXPECT(r, env_sim_flip_bit(r->sim, f.paths[i], 128 + model_random(r->m, size - 700), 2));
        }
        velocity_report report = velocity_report_default();
        RUN_EXPECT(r, repair(r, &report) == VELOCITY_OK && report.repaired);
        velocity_report after = velocity_report_default();
        RUN_EXPECT(r, verify(r, &after) == VELOCITY_OK);
        velocity_report_clear(&after);
        RUN_EXPECT(r, database_open(env_sim_env(r->sim), FOLDER, &r->options, &r->db) == VELOCITY_OK);
        size_t keys = count_keys(r);
        if (seed % 2) RUN_EXPECT(r, report.stale_count == 0 && keys == 2000);
        /* No deleted key is back outside of what is in doubt. */
        velocity_iterator *it = velocity_iterator_new(r->db, NULL);
        for (; velocity_iterator_valid(it); velocity_iterator_next(it)) {
            velocity_slice key = velocity_iterator_key(it);
            char digits[7] = "";
            RUN_EXPECT(r, key.size == 12);
            memcpy(digits, (const char *)key.data + 6, 6);
            unsigned long number = strtoul(digits, NULL, 10);
            if (number % 4 < 2 && !is_stale(&report, key)) {
                print_report(&report);
                run_fail(r, "deleted key %lu is back", number);
            }
        }
        RUN_EXPECT(r, velocity_iterator_status(it) == VELOCITY_OK);
        velocity_iterator_free(it);
        velocity_report_clear(&report);
        run_free(r);
    }
}

static void without_current_and_manifest_all_that_was_is_there(void **state) {
    (void)state;
    for (uint64_t seed = 30; seed < 40; seed++) {
        struct run *r = new_run(seed);
        run_open(r);
        work(r, 500);
        if (seed % 2)
            run_close(r);
        else
            die(r);
        struct files f = all_files(r);
        for (size_t i = 0; i < f.count; i++)
            if (has_part(f.paths[i], "CURRENT") || has_part(f.paths[i], "MANIFEST"))
                RUN_EXPECT(r, env_unlink(env_sim_env(r->sim), f.paths[i]) == VELOCITY_OK);
        velocity_report report = velocity_report_default();
        RUN_EXPECT(r, repair(r, &report) == VELOCITY_OK);
        RUN_EXPECT(r, report.stale_count == 1 && !report.stale[0].first.data && !report.stale[0].last.data);
        RUN_EXPECT(r, expect_repaired(r, &report) == r->m->key_count);
        velocity_report_clear(&report);
        run_free(r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_undamaged_database_is_found_whole_and_left_as_it_is),
        cmocka_unit_test(a_database_that_is_open_or_not_there_is_told_apart),
        cmocka_unit_test(every_flipped_bit_of_a_table_is_found_and_all_of_several),
        cmocka_unit_test(what_an_opening_refuses_verify_finds),
        cmocka_unit_test(whatever_is_damaged_repair_saves_the_rest_and_says_what_is_in_doubt),
        cmocka_unit_test(a_repair_may_be_ended_at_any_call_and_run_again),
        cmocka_unit_test(any_allocation_of_a_repair_may_fail),
        cmocka_unit_test(the_damaged_originals_are_kept),
        cmocka_unit_test(a_table_without_its_end_gives_up_every_entry),
        cmocka_unit_test(range_deletes_outlive_the_end_of_their_table_and_the_blocks_that_held_them),
        cmocka_unit_test(without_current_and_manifest_all_that_was_is_there),
    };
    cmocka_set_test_filter(getenv("TEST"));
    return cmocka_run_group_tests_name("repair", tests, NULL, NULL);
}
