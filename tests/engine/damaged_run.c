/* damaged_run.c - damages databases and judges repairs. See damaged_run.h. */
#include "damaged_run.h"

#include "engine/slice.h"
#include "engine/verify.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

const velocity_slice damaged_last_key = {"~the last key of all", 20};

/* ---- files --------------------------------------------------------------------------------------------------------
 */

static velocity_status add_file(void *arg, const char *name) {
    struct damaged_files *f = arg;
    if (strcmp(name, "LOCK") == 0 || strcmp(name, "lost") == 0) return VELOCITY_OK;
    assert_true(f->count < 128);
    (void)snprintf(f->paths[f->count++], sizeof f->paths[0], DAMAGED_FOLDER "/%.50s", name);
    return VELOCITY_OK;
}

struct damaged_files damaged_files(struct run *r) {
    struct damaged_files f = {.count = 0};
    RUN_EXPECT(r, env_list(env_sim_env(r->sim), DAMAGED_FOLDER, add_file, &f) == VELOCITY_OK);
    return f;
}

bool damaged_has_part(const char *path, const char *part) {
    return strstr(path, part) != NULL;
}

const char *damaged_pick(struct run *r, struct damaged_files *f, const char *part) {
    size_t count = 0;
    for (size_t i = 0; i < f->count; i++) count += damaged_has_part(f->paths[i], part);
    if (!count) return NULL;
    size_t wanted = model_random(r->m, count);
    for (size_t i = 0; i < f->count; i++)
        if (damaged_has_part(f->paths[i], part) && wanted-- == 0) return f->paths[i];
    return NULL;
}

size_t damaged_size(struct run *r, const char *path) {
    size_t size = 0;
    uint8_t *bytes = env_sim_read_file(r->sim, path, &size);
    RUN_EXPECT(r, bytes != NULL);
    free(bytes);
    return size;
}

static void put_file(env *e, const char *path, const uint8_t *bytes, size_t size) {
    env_file *file;
    assert_int_equal(env_create(e, path, &file), VELOCITY_OK);
    assert_int_equal(env_write(file, bytes, size, 0), VELOCITY_OK);
    assert_int_equal(env_sync(file), VELOCITY_OK);
    assert_int_equal(env_close(file), VELOCITY_OK);
}

env_sim *damaged_copy(struct run *r) {
    env_sim *copy = env_sim_new(r->seed);
    env *e = env_sim_env(copy);
    struct damaged_files f = damaged_files(r);
    RUN_EXPECT(r, env_make_directory(e, "disk") == VELOCITY_OK);
    RUN_EXPECT(r, env_make_directory(e, DAMAGED_FOLDER) == VELOCITY_OK);
    for (size_t i = 0; i < f.count; i++) {
        size_t size;
        uint8_t *bytes = env_sim_read_file(r->sim, f.paths[i], &size);
        RUN_EXPECT(r, bytes != NULL);
        put_file(e, f.paths[i], bytes, size);
        free(bytes);
    }
    RUN_EXPECT(r, env_sync_directory(e, "/") == VELOCITY_OK && env_sync_directory(e, "disk") == VELOCITY_OK);
    RUN_EXPECT(r, env_sync_directory(e, DAMAGED_FOLDER) == VELOCITY_OK);
    env_sim_advance_ms(copy, env_now_ms(env_sim_env(r->sim)) - env_now_ms(e));
    return copy;
}

/* ---- a life -------------------------------------------------------------------------------------------------------
 */

struct run *damaged_new(uint64_t seed) {
    struct run *r = run_new(seed, 500);
    r->options = velocity_options_default();
    r->options.memtable_bytes = 65536;
    r->options.table_bytes = 65536;
    r->options.compaction_threshold = 4;
    r->options.log_retention_bytes = seed % 3 ? 0 : 1 << 20;
    if (seed & 2) r->options.value_log_threshold = 200;
    if (seed & 4) r->options.encryption_key = velocity_bytes("thirty-two bytes of damaged disks", 32);
    return r;
}

void damaged_work(struct run *r, unsigned steps) {
    for (unsigned i = 0; i < steps; i++) {
        if (i % 5 == 0)
            (void)run_batch(r);
        else
            (void)run_put(r);
        if (model_random(r->m, 150) == 0) run_flush(r);
        if (model_random(r->m, 400) == 0) run_compact(r);
    }
}

void damaged_die(struct run *r) {
    RUN_EXPECT(r, velocity_put(r->db, damaged_last_key, velocity_str("x")) == VELOCITY_OK);
    env_sim_crash_after(r->sim, 0);
    RUN_EXPECT(r, velocity_close(r->db) != VELOCITY_BUSY);
    r->db = NULL;
    env_sim_kill(r->sim);
}

void damaged_overwrite(struct run *r, const char *path, uint64_t from, size_t size) {
    env_file *file;
    uint8_t noise[8192];
    uint64_t end = damaged_size(r, path);
    if (size > sizeof noise) size = sizeof noise;
    if (from + size > end) size = (size_t)(end - from);
    for (size_t i = 0; i < size; i++) noise[i] = (uint8_t)model_random(r->m, 256);
    RUN_EXPECT(r, env_open_write(env_sim_env(r->sim), path, &file) == VELOCITY_OK);
    RUN_EXPECT(r, env_write(file, noise, size, from) == VELOCITY_OK);
    RUN_EXPECT(r, env_close(file) == VELOCITY_OK);
}

void damaged_cut(struct run *r, const char *path, uint64_t size) {
    env_file *file;
    RUN_EXPECT(r, env_open_write(env_sim_env(r->sim), path, &file) == VELOCITY_OK);
    RUN_EXPECT(r, env_truncate(file, size) == VELOCITY_OK);
    RUN_EXPECT(r, env_close(file) == VELOCITY_OK);
}

void damaged_unlink(struct run *r, const char *path) {
    RUN_EXPECT(r, env_unlink(env_sim_env(r->sim), path) == VELOCITY_OK);
}

/* Where damaged_last_key stands; where that can't be read, somewhere before what was written last. */
static size_t find_last_group(struct run *r, const char *path) {
    enum { ENCRYPTED_GROUP_BYTES = 300 }; /* no more than that */
    size_t size, last = 0;
    uint8_t *bytes = env_sim_read_file(r->sim, path, &size);
    for (size_t at = 0; at + damaged_last_key.size <= size && !r->options.encryption_key.data; at++)
        if (memcmp(bytes + at, damaged_last_key.data, damaged_last_key.size) == 0) last = at;
    if (r->options.encryption_key.data) {
        while (size && !bytes[size - 1]) size--;
        last = size > ENCRYPTED_GROUP_BYTES ? size - ENCRYPTED_GROUP_BYTES : 0;
    }
    free(bytes);
    return last;
}

/* Before the last group of the logs: that one proves everything else. */
static void damage_log(struct run *r, struct damaged_files *f) {
    for (size_t i = 0; i < f->count; i++) {
        if (!damaged_has_part(f->paths[i], ".log")) continue;
        size_t last = find_last_group(r, f->paths[i]);
        if (last <= 300) continue;
        uint64_t offset = model_random(r->m, last - 80);
        run_doing(r, "flip a bit at %llu of %s", (unsigned long long)offset, f->paths[i]);
        RUN_EXPECT(r, env_sim_flip_bit(r->sim, f->paths[i], offset, 3));
        return;
    }
}

/* One random damage. */
static void do_damage(struct run *r) {
    struct damaged_files f = damaged_files(r);
    uint64_t sort = model_random(r->m, 13);
    bool of_values = sort > 9;
    if (of_values) sort = model_random(r->m, 6);
    const char *path = damaged_pick(r, &f,
                                    of_values   ? ".val"
                                    : sort < 6  ? ".sst"
                                    : sort == 6 ? "CURRENT"
                                    : sort == 7 ? "MANIFEST"
                                                : ".log");
    size_t size = path ? damaged_size(r, path) : 0;
    if (!size) return;
    run_doing(r, "damage %u of %s", (unsigned)sort, path);
    if (sort >= 8)
        damage_log(r, &f);
    else if (sort == 0 || (sort >= 6 && model_random(r->m, 2)))
        damaged_unlink(r, path);
    else if (sort == 1)
        damaged_cut(r, path, model_random(r->m, size));
    else if (sort == 2)
        damaged_overwrite(r, path, size < 600 ? 0 : size - 600 + model_random(r->m, 600), 600);
    else if (sort == 3)
        damaged_overwrite(r, path, model_random(r->m, size), model_random(r->m, 8192));
    else if (sort == 4)
        damaged_overwrite(r, path, 0, 1 + model_random(r->m, 5000));
    else
        RUN_EXPECT(r, env_sim_flip_bit(r->sim, path, model_random(r->m, size), (unsigned)model_random(r->m, 8)));
}

struct run *damaged_make(uint64_t seed, unsigned steps) {
    struct run *r = damaged_new(seed);
    run_open(r);
    damaged_work(r, steps);
    if (seed % 2)
        damaged_die(r);
    else
        run_close(r);
    for (uint64_t i = 1 + model_random(r->m, 3); i > 0; i--) do_damage(r);
    return r;
}

/* ---- verify, repair, and what they made of it -----------------------------------------------------------------------
 */

velocity_status damaged_verify(struct run *r, velocity_report *report) {
    velocity_check_options check = velocity_check_options_default();
    check.database = &r->options;
    velocity_status status = database_verify(env_sim_env(r->sim), DAMAGED_FOLDER, &check, report);
    RUN_EXPECT(r, env_sim_open_files(r->sim) == 0);
    return status;
}

velocity_status damaged_repair(struct run *r, velocity_report *report) {
    velocity_check_options check = velocity_check_options_default();
    check.database = &r->options;
    return database_repair(env_sim_env(r->sim), DAMAGED_FOLDER, &check, report);
}

bool damaged_names(const velocity_report *report, const char *path) {
    for (size_t i = 0; i < report->finding_count; i++)
        if (report->findings[i].kind == VELOCITY_FINDING_DAMAGE &&
            strcmp(report->findings[i].file, path + strlen(DAMAGED_FOLDER) + 1) == 0)
            return true;
    return false;
}

void damaged_print(const velocity_report *report) {
    for (size_t i = 0; i < report->finding_count; i++)
        printf("  %d %s @%llu: %s\n", (int)report->findings[i].kind, report->findings[i].file,
               (unsigned long long)report->findings[i].offset, report->findings[i].what);
    for (size_t i = 0; i < report->stale_count; i++)
        printf("  stale: %zu bytes to %zu bytes\n", report->stale[i].first.size, report->stale[i].last.size);
}

bool damaged_is_stale(const velocity_report *report, velocity_slice key) {
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
        if (!as_it_was && !damaged_is_stale(report, key->bytes)) {
            damaged_print(report);
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
size_t damaged_expect_repaired(struct run *r, const velocity_report *report) {
    velocity_report after = velocity_report_default();
    velocity_status status = damaged_verify(r, &after);
    if (status) damaged_print(report), printf("after:\n"), damaged_print(&after);
    RUN_EXPECT(r, status == VELOCITY_OK);
    RUN_EXPECT(r, damaged_repair(r, &after) == VELOCITY_OK && !after.repaired);
    velocity_report_clear(&after);
    RUN_EXPECT(r, database_open(env_sim_env(r->sim), DAMAGED_FOLDER, &r->options, &r->db) == VELOCITY_OK);
    size_t same = compare_with_report(r, report);
    /* Versions never repeat: what is written now is newer than all that ever was. */
    velocity_value value;
    RUN_EXPECT(r, velocity_put(r->db, damaged_last_key, velocity_str("y")) == VELOCITY_OK);
    RUN_EXPECT(r, velocity_get(r->db, damaged_last_key, &value) == VELOCITY_OK);
    RUN_EXPECT(r, value.sequence > r->m->last);
    velocity_value_release(&value);
    RUN_EXPECT(r, velocity_compact(r->db, NULL) == VELOCITY_OK);
    RUN_EXPECT(r, compare_with_report(r, report) == same);
    RUN_EXPECT(r, velocity_close(r->db) == VELOCITY_OK);
    r->db = NULL;
    return same;
}
