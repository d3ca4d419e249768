/*
 * repair_test.c - verify finds every damage and changes nothing; repair saves what is intact, and says of every key
 * that may not be what it was that it may not be: whatever was damaged. A repair that is ended or fails on
 * the way is repair_fault_test.c's.
 *
 * SEED in the environment repeats one random run.
 */
#include "damaged_run.h"
#include "engine/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- verify -------------------------------------------------------------------------------------------------------
 */

static void an_undamaged_database_is_found_whole_and_left_as_it_is(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct run *r = damaged_new(seed);
        if (seed % 4 == 0) r->options.bloom_false_positive_rate = 1;
        run_open(r);
        damaged_work(r, 100 * (unsigned)seed);
        if (seed % 3 == 1)
            damaged_die(r);
        else
            run_close(r);
        if (seed % 3 == 1 && seed % 2) env_sim_power_cut(r->sim);
        uint64_t calls = env_sim_calls(r->sim);
        velocity_report report = velocity_report_default();
        velocity_status status = damaged_verify(r, &report);
        if (status) damaged_print(&report);
        RUN_EXPECT(r, status == VELOCITY_OK);
        RUN_EXPECT(r, report.damages == 0 && report.stale_count == 0);
        RUN_EXPECT(r, report.tables == 0 || (report.blocks > report.tables && report.entries > 0));
        RUN_EXPECT(r, report.tables > 0 || report.log_operations > 0);
        RUN_EXPECT(r, report.last_sequence >= r->m->last);
        RUN_EXPECT(r, damaged_repair(r, &report) == VELOCITY_OK && !report.repaired);
        RUN_EXPECT(r, env_sim_calls(r->sim) == calls);
        velocity_report_clear(&report);
        RUN_EXPECT(r, database_open(env_sim_env(r->sim), DAMAGED_FOLDER, &r->options, &r->db) == VELOCITY_OK);
        RUN_EXPECT(r, velocity_delete(r->db, damaged_last_key) == VELOCITY_OK);
        RUN_EXPECT(r, run_state_is(r, r->m->last, true));
        run_free(r);
    }
}

static void a_database_that_is_open_or_not_there_is_told_apart(void **state) {
    (void)state;
    struct run *r = damaged_new(1);
    velocity_report report = velocity_report_default();
    RUN_EXPECT(r, damaged_verify(r, &report) == VELOCITY_NOT_FOUND);
    RUN_EXPECT(r, damaged_repair(r, &report) == VELOCITY_NOT_FOUND);
    run_open(r);
    (void)run_put(r);
    RUN_EXPECT(r, database_verify(env_sim_env(r->sim), DAMAGED_FOLDER, NULL, NULL) == VELOCITY_LOCKED);
    RUN_EXPECT(r, database_repair(env_sim_env(r->sim), DAMAGED_FOLDER, NULL, NULL) == VELOCITY_LOCKED);
    run_close(r);
    RUN_EXPECT(r, damaged_verify(r, NULL) == VELOCITY_OK);
    velocity_report_clear(&report);
    run_free(r);
}

static void every_flipped_bit_of_a_table_is_found_and_all_of_several(void **state) {
    enum { ROUNDS = 60 };
    (void)state;
    struct run *r = damaged_new(3);
    run_open(r);
    damaged_work(r, 600);
    run_close(r);
    struct damaged_files f = damaged_files(r);
    for (unsigned i = 0; i < ROUNDS; i++) {
        const char *paths[4] = {""};
        uint64_t offsets[4] = {0};
        size_t flips = 1 + model_random(r->m, 4);
        for (size_t k = 0; k < flips; k++) {
            paths[k] = damaged_pick(r, &f, ".sst");
            RUN_EXPECT(r, paths[k] != NULL);
            size_t size = damaged_size(r, paths[k]);
            offsets[k] = i % 4 == 0   ? model_random(r->m, 128)
                         : i % 4 == 1 ? size - 1 - model_random(r->m, 640)
                                      : model_random(r->m, size);
            RUN_EXPECT(r, env_sim_flip_bit(r->sim, paths[k], offsets[k], (unsigned)k));
        }
        run_doing(r, "verify with %zu bits flipped, the first at %llu in %s", flips, (unsigned long long)offsets[0],
                  paths[0]);
        velocity_report report = velocity_report_default();
        RUN_EXPECT(r, damaged_verify(r, &report) == VELOCITY_CORRUPT);
        for (size_t k = 0; k < flips; k++) RUN_EXPECT(r, damaged_names(&report, paths[k]));
        velocity_report_clear(&report);
        for (size_t k = 0; k < flips; k++) RUN_EXPECT(r, env_sim_flip_bit(r->sim, paths[k], offsets[k], (unsigned)k));
    }
    RUN_EXPECT(r, damaged_verify(r, NULL) == VELOCITY_OK);
    run_free(r);
}

/* Where a bit of CURRENT, manifest or log is flipped, verify says what an opening says. */
static void what_an_opening_refuses_verify_finds(void **state) {
    enum { ROUNDS = 80 };
    (void)state;
    struct run *r = damaged_new(4);
    run_open(r);
    damaged_work(r, 150);
    run_flush(r);
    damaged_work(r, 30);
    damaged_die(r);
    struct damaged_files f = damaged_files(r);
    unsigned refused = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        static const char *const parts[] = {"CURRENT", "MANIFEST", ".log", ".log"};
        const char *path = damaged_pick(r, &f, parts[i % 4]);
        RUN_EXPECT(r, path != NULL);
        size_t size = damaged_size(r, path);
        uint64_t offset = i % 8 > 4 ? model_random(r->m, 200) : model_random(r->m, size < 40000 ? size : 40000);
        if (offset >= size) offset = size - 1;
        RUN_EXPECT(r, env_sim_flip_bit(r->sim, path, offset, i % 8));
        run_doing(r, "verify with bit %u flipped at %llu in %s", i % 8, (unsigned long long)offset, path);
        velocity_status verified = damaged_verify(r, NULL);
        velocity_status opened = VELOCITY_OK;
        if (verified == VELOCITY_CORRUPT)
            opened = database_open(env_sim_env(r->sim), DAMAGED_FOLDER, &r->options, &r->db);
        refused += opened == VELOCITY_CORRUPT;
        RUN_EXPECT(r, verified == VELOCITY_OK || opened == VELOCITY_CORRUPT);
        RUN_EXPECT(r, env_sim_flip_bit(r->sim, path, offset, i % 8));
        /* The other way round: nothing that verify finds whole is refused. It is opened in a copy of the machine. */
        if (verified == VELOCITY_OK) {
            RUN_EXPECT(r, env_sim_flip_bit(r->sim, path, offset, i % 8));
            env_sim *other = damaged_copy(r);
            RUN_EXPECT(r, env_sim_flip_bit(r->sim, path, offset, i % 8));
            velocity *db;
            RUN_EXPECT(r, database_open(env_sim_env(other), DAMAGED_FOLDER, &r->options, &db) == VELOCITY_OK);
            RUN_EXPECT(r, velocity_close(db) == VELOCITY_OK);
            env_sim_free(other);
        }
    }
    RUN_EXPECT(r, refused > ROUNDS / 4);
    RUN_EXPECT(r, damaged_verify(r, NULL) == VELOCITY_OK);
    run_free(r);
}

/* ---- repair --------------------------------------------------------------------------------------------------------
 */

static void whatever_is_damaged_repair_saves_the_rest_and_says_what_is_in_doubt(void **state) {
    (void)state;
    const char *text = getenv("SEED");
    uint64_t first = text ? strtoull(text, NULL, 10) : 1000, last = text ? first : first + 39;
    size_t keys = 0, saved = 0;
    for (uint64_t seed = first; seed <= last; seed++) {
        struct run *r = damaged_make(seed, 200 + (unsigned)(seed % 7) * 100);
        velocity_report report = velocity_report_default();
        velocity_status status = damaged_repair(r, &report);
        if (status) run_fail(r, "repair: %s: %s", velocity_status_name(status), velocity_error_message());
        RUN_EXPECT(r, env_sim_open_files(r->sim) == 0);
        RUN_EXPECT(r, report.repaired == (report.damages > 0));
        saved += damaged_expect_repaired(r, &report);
        keys += r->m->key_count;
        velocity_report_clear(&report);
        run_free(r);
    }
    assert_true(saved > keys / 2);
}

/* What an original file held stands in lost/ afterwards. */
static void the_damaged_originals_are_kept(void **state) {
    (void)state;
    struct run *r = damaged_new(9);
    run_open(r);
    damaged_work(r, 300);
    run_close(r);
    struct damaged_files f = damaged_files(r);
    const char *path = damaged_pick(r, &f, ".sst");
    RUN_EXPECT(r, path != NULL);
    RUN_EXPECT(r, env_sim_flip_bit(r->sim, path, 1000, 1));
    size_t size, kept_size;
    char kept[96];
    (void)snprintf(kept, sizeof kept, DAMAGED_FOLDER "/lost/%s", path + strlen(DAMAGED_FOLDER) + 1);
    uint8_t *bytes = env_sim_read_file(r->sim, path, &size);
    velocity_report report = velocity_report_default();
    RUN_EXPECT(r, damaged_repair(r, &report) == VELOCITY_OK);
    RUN_EXPECT(r, report.repaired && report.damages == 1 && report.tables_rewritten == 1);
    uint8_t *copy = env_sim_read_file(r->sim, kept, &kept_size);
    RUN_EXPECT(r, copy && kept_size == size && memcmp(copy, bytes, size) == 0);
    (void)damaged_expect_repaired(r, &report);
    velocity_report_clear(&report);
    free(bytes);
    free(copy);
    run_free(r);
}

/* Without footer and index every block is found by its checksum. */
static void a_table_without_its_end_gives_up_every_entry(void **state) {
    (void)state;
    struct run *r = damaged_new(11);
    run_open(r);
    damaged_work(r, 400);
    run_close(r);
    struct damaged_files f = damaged_files(r);
    for (size_t i = 0; i < f.count; i++)
        if (damaged_has_part(f.paths[i], ".sst"))
            damaged_overwrite(r, f.paths[i], damaged_size(r, f.paths[i]) - 512, 512);
    velocity_report report = velocity_report_default();
    RUN_EXPECT(r, damaged_repair(r, &report) == VELOCITY_OK);
    if (report.stale_count) damaged_print(&report);
    RUN_EXPECT(r, report.tables_rewritten == report.tables && report.tables > 0 && report.stale_count == 0);
    RUN_EXPECT(r, damaged_expect_repaired(r, &report) == r->m->key_count);
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
    struct run *r = damaged_new(seed);
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
        struct damaged_files f = damaged_files(r);
        for (size_t i = 0; i < f.count; i++) {
            if (!damaged_has_part(f.paths[i], ".sst")) continue;
            size_t size = damaged_size(r, f.paths[i]);
            if (seed % 2)
                damaged_overwrite(r, f.paths[i], size - 512, 512);
            else
                RUN_EXPECT(r, env_sim_flip_bit(r->sim, f.paths[i], 128 + model_random(r->m, size - 700), 2));
        }
        velocity_report report = velocity_report_default();
        RUN_EXPECT(r, damaged_repair(r, &report) == VELOCITY_OK && report.repaired);
        velocity_report after = velocity_report_default();
        RUN_EXPECT(r, damaged_verify(r, &after) == VELOCITY_OK);
        velocity_report_clear(&after);
        RUN_EXPECT(r, database_open(env_sim_env(r->sim), DAMAGED_FOLDER, &r->options, &r->db) == VELOCITY_OK);
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
            if (number % 4 < 2 && !damaged_is_stale(&report, key)) {
                damaged_print(&report);
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
        struct run *r = damaged_new(seed);
        run_open(r);
        damaged_work(r, 500);
        if (seed % 2)
            run_close(r);
        else
            damaged_die(r);
        struct damaged_files f = damaged_files(r);
        for (size_t i = 0; i < f.count; i++)
            if (damaged_has_part(f.paths[i], "CURRENT") || damaged_has_part(f.paths[i], "MANIFEST"))
                RUN_EXPECT(r, env_unlink(env_sim_env(r->sim), f.paths[i]) == VELOCITY_OK);
        velocity_report report = velocity_report_default();
        RUN_EXPECT(r, damaged_repair(r, &report) == VELOCITY_OK);
        RUN_EXPECT(r, report.stale_count == 1 && !report.stale[0].first.data && !report.stale[0].last.data);
        RUN_EXPECT(r, damaged_expect_repaired(r, &report) == r->m->key_count);
        velocity_report_clear(&report);
        run_free(r);
    }
}

/* ---- encryption ----------------------------------------------------------------------------------------------------
 */

static void expect_same_files(struct run *r, env_sim *before) {
    struct damaged_files f = damaged_files(r);
    env_sim *now = r->sim;
    r->sim = before;
    RUN_EXPECT(r, damaged_files(r).count == f.count);
    r->sim = now;
    for (size_t i = 0; i < f.count; i++) {
        size_t size, size_before;
        uint8_t *bytes = env_sim_read_file(now, f.paths[i], &size);
        uint8_t *bytes_before = env_sim_read_file(before, f.paths[i], &size_before);
        RUN_EXPECT(r, bytes_before && size == size_before && memcmp(bytes, bytes_before, size) == 0);
        free(bytes);
        free(bytes_before);
    }
}

/* Verify and repair with these options answer INVALID, say why, and leave every byte as it is. */
static void expect_refused(struct run *r, velocity_options wrong, const char *why) {
    env_sim *before = damaged_copy(r);
    velocity_options right = r->options;
    uint64_t calls = env_sim_calls(r->sim);
    r->options = wrong;
    velocity_report report = velocity_report_default();
    for (int repairs = 0; repairs < 2; repairs++) {
        velocity_status status = repairs ? damaged_repair(r, &report) : damaged_verify(r, &report);
        if (status != VELOCITY_INVALID || !strstr(velocity_error_message(), why))
            run_fail(r, "%s instead of INVALID for \"%s\"", velocity_status_name(status), why);
        RUN_EXPECT(r, !report.repaired && report.tables_lost == 0);
        velocity_report_clear(&report);
    }
    RUN_EXPECT(r, env_sim_calls(r->sim) == calls && env_sim_open_files(r->sim) == 0);
    r->options = right;
    expect_same_files(r, before);
    env_sim_free(before);
}

static void remove_files(struct run *r, const char *part) {
    struct damaged_files f = damaged_files(r);
    for (size_t i = 0; i < f.count; i++)
        if (damaged_has_part(f.paths[i], part)) damaged_unlink(r, f.paths[i]);
}

/* An encrypted life with values apart: killed, so that the logs hold something, or closed. */
static struct run *encrypted_run(uint64_t seed, bool by_passphrase, bool killed) {
    struct run *r = damaged_new(seed | 6);
    RUN_EXPECT(r, r->options.encryption_key.data && r->options.value_log_threshold);
    if (by_passphrase) {
        r->options.encryption_key = velocity_bytes(NULL, 0);
        r->options.encryption_passphrase = velocity_str("correct horse battery staple");
    }
    run_open(r);
    damaged_work(r, 150);
    run_flush(r);
    damaged_work(r, 20);
    if (killed)
        damaged_die(r);
    else
        run_close(r);
    return r;
}

/* Which parts of a name all files are removed of: what is left has to tell what database it is. */
static const char *const gone[][3] = {
    {NULL}, {"CURRENT"}, {"MANIFEST"}, {"CURRENT", "MANIFEST"}, {"CURRENT", "MANIFEST", ".log"}};

static void without_its_key_an_encrypted_database_is_neither_verified_nor_touched(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof gone / sizeof *gone * 2; i++) {
        struct run *r = encrypted_run(i, false, i % 2);
        for (size_t k = 0; k < 3 && gone[i / 2][k]; k++) remove_files(r, gone[i / 2][k]);
        velocity_options wrong = r->options;
        wrong.encryption_key = velocity_bytes("thirty-two bytes of another disk.", 32);
        expect_refused(r, wrong, "none of the keys given");
        wrong.encryption_key = velocity_bytes(NULL, 0);
        expect_refused(r, wrong, "no key was given");
        struct damaged_files f = damaged_files(r);
        const char *path = damaged_pick(r, &f, ".sst"); /* whatever else is wrong with it */
        RUN_EXPECT(r, path && env_sim_flip_bit(r->sim, path, 300, 1));
        expect_refused(r, wrong, "no key was given");
        run_free(r);
    }
}

static void an_encrypted_database_is_saved_by_key_and_by_passphrase_whatever_is_left_of_it(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof gone / sizeof *gone * 3; i++) {
        const char *const *parts = gone[i / 3];
        bool killed = i % 3 == 1, by_passphrase = i % 3 == 2; /* they take long to stretch */
        if (by_passphrase && !parts[1]) continue;
        struct run *r = encrypted_run(i, by_passphrase, killed);
        velocity_report report = velocity_report_default();
        RUN_EXPECT(r, damaged_verify(r, &report) == VELOCITY_OK && report.damages == 0);
        velocity_report_clear(&report);
        for (size_t k = 0; k < 3 && parts[k]; k++) remove_files(r, parts[k]);
        run_doing(r, "repair without %s %s %s", parts[0] ? parts[0] : "nothing", parts[1] ? parts[1] : "",
                  parts[2] ? parts[2] : "");
        velocity_status status = damaged_repair(r, &report);
        if (status) run_fail(r, "%s: %s", velocity_status_name(status), velocity_error_message());
        RUN_EXPECT(r, report.repaired == (parts[0] != NULL));
        size_t saved = damaged_expect_repaired(r, &report);
        if (!parts[2] || !killed) RUN_EXPECT(r, saved == r->m->key_count);
        velocity_report_clear(&report);
        run_free(r);
    }
}

/* ---- values apart ---------------------------------------------------------------------------------------------------
 */

enum { BIG = 3000, BIG_KEYS = 60 };

static void put_big(struct run *r, int i, char letter) {
    char key[32], value[BIG];
    (void)snprintf(key, sizeof key, "big:%03d", i);
    memset(value, letter, sizeof value);
    RUN_EXPECT(r, velocity_put(r->db, velocity_str(key), velocity_bytes(value, sizeof value)) == VELOCITY_OK);
}

/* Two value files: the even keys' first, then the odd ones'. What small values there are stands in the tables. */
static struct run *run_of_big_values(bool encrypted) {
    struct run *r = damaged_new(encrypted ? 7 : 3);
    char key[32];
    r->options.memtable_bytes = 4 << 20;
    run_open(r);
    for (int part = 0; part < 2; part++) {
        for (int i = part; i < BIG_KEYS; i += 2) put_big(r, i, part ? 'b' : 'a');
        for (int i = part; i < BIG_KEYS; i += 2) {
            (void)snprintf(key, sizeof key, "small:%03d", i);
            RUN_EXPECT(r, velocity_put(r->db, velocity_str(key), velocity_str("small")) == VELOCITY_OK);
        }
        run_flush(r);
    }
    run_close(r);
    struct damaged_files f = damaged_files(r);
    size_t files = 0;
    for (size_t i = 0; i < f.count; i++) files += damaged_has_part(f.paths[i], ".val");
    RUN_EXPECT(r, files == 2);
    return r;
}

/* Of the values of the damaged file so many are there, those before all others; and all others. */
static void expect_values(struct run *r, const velocity_report *report, int damaged_part, int kept, int beyond) {
    RUN_EXPECT(r, database_open(env_sim_env(r->sim), DAMAGED_FOLDER, &r->options, &r->db) == VELOCITY_OK);
    for (int i = 0; i < BIG_KEYS * 2; i++) {
        char key[32];
        bool big = i < BIG_KEYS;
        int number = i % BIG_KEYS, place = number / 2;
        (void)snprintf(key, sizeof key, big ? "big:%03d" : "small:%03d", number);
        bool lost = big && number % 2 == damaged_part && place >= kept && place < beyond;
        velocity_value value;
        velocity_status status = velocity_get(r->db, velocity_str(key), &value);
        if (status != (lost ? VELOCITY_NOT_FOUND : VELOCITY_OK)) {
            damaged_print(report);
            run_fail(r, "%s: %s", key, velocity_status_name(status));
        }
        RUN_EXPECT(r, damaged_is_stale(report, velocity_str(key)) == lost);
        if (lost) continue;
        RUN_EXPECT(r, value.size == (big ? BIG : 5));
        RUN_EXPECT(r, ((const char *)value.data)[0] == (!big ? 's' : number % 2 ? 'b' : 'a'));
        velocity_value_release(&value);
    }
    RUN_EXPECT(r, velocity_close(r->db) == VELOCITY_OK);
    r->db = NULL;
}

enum value_damage { MISSING, EMPTY, CUT, FLIPPED, HEADER, VALUE_DAMAGES };

/* Returns which values are lost, [*kept, *beyond) of the file's. */
static void damage_values(struct run *r, const char *path, enum value_damage damage, int *kept, int *beyond) {
    uint64_t size = damaged_size(r, path), record = (size - 128) / (BIG_KEYS / 2);
    *kept = 0;
    *beyond = BIG_KEYS / 2;
    switch (damage) {
    case MISSING: damaged_unlink(r, path); return;
    case EMPTY: damaged_cut(r, path, 0); return;
    case CUT:
        *kept = 10;
        damaged_cut(r, path, 128 + record * 10 + record / 2);
        return;
    case FLIPPED:
        *kept = 20;
        *beyond = 21;
        RUN_EXPECT(r, env_sim_flip_bit(r->sim, path, 128 + record * 20 + record / 2, 1));
        return;
    default: RUN_EXPECT(r, env_sim_flip_bit(r->sim, path, 40, 1));
    }
}

static void of_a_damaged_value_file_all_is_kept_that_can_be_read_and_the_rest_is_told(void **state) {
    (void)state;
    for (int i = 0; i < VALUE_DAMAGES * 4; i++) {
        int part = i / VALUE_DAMAGES % 2, kept, beyond;
        struct run *r = run_of_big_values(i / VALUE_DAMAGES / 2);
        struct damaged_files f = damaged_files(r);
        char path[64] = "";
        for (size_t k = 0; k < f.count; k++) /* in the order of their numbers */
            if (damaged_has_part(f.paths[k], ".val") && (!path[0] || (strcmp(f.paths[k], path) > 0) == (part == 1)))
                (void)snprintf(path, sizeof path, "%s", f.paths[k]);
        damage_values(r, path, (enum value_damage)(i % VALUE_DAMAGES), &kept, &beyond);
        run_doing(r, "repair with damage %d of %s", i % VALUE_DAMAGES, path);
        velocity_report report = velocity_report_default();
        RUN_EXPECT(r, damaged_verify(r, &report) == VELOCITY_CORRUPT);
        RUN_EXPECT(r, damaged_names(&report, path));
        RUN_EXPECT(r, damaged_repair(r, &report) == VELOCITY_OK && report.repaired && report.tables_lost == 0);
        RUN_EXPECT(r, damaged_names(&report, path));
        RUN_EXPECT(r, damaged_verify(r, NULL) == VELOCITY_OK);
        expect_values(r, &report, part, kept, beyond);
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
        cmocka_unit_test(the_damaged_originals_are_kept),
        cmocka_unit_test(a_table_without_its_end_gives_up_every_entry),
        cmocka_unit_test(range_deletes_outlive_the_end_of_their_table_and_the_blocks_that_held_them),
        cmocka_unit_test(without_current_and_manifest_all_that_was_is_there),
        cmocka_unit_test(without_its_key_an_encrypted_database_is_neither_verified_nor_touched),
        cmocka_unit_test(an_encrypted_database_is_saved_by_key_and_by_passphrase_whatever_is_left_of_it),
        cmocka_unit_test(of_a_damaged_value_file_all_is_kept_that_can_be_read_and_the_rest_is_told),
    };
    cmocka_set_test_filter(getenv("TEST"));
    return cmocka_run_group_tests_name("repair", tests, NULL, NULL);
}
