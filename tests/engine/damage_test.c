/*
 * damage_test.c - a bit that flips on disk is CORRUPT, naming the file, or does not matter: never wrong data. And a
 * disk that is full stops writes alone.
 */
#include "model_run.h"
#include "testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define FOLDER "disk/db"

/* The files of the database's folder whose names end so. */
struct files {
    const char *ending;
    char paths[64][64];
    size_t count;
};

static velocity_status add_file(void *arg, const char *name) {
    struct files *f = arg;
    size_t length = strlen(name), ending = strlen(f->ending);
    bool starts = strncmp(name, f->ending, ending) == 0;
    if (!starts && (length < ending || strcmp(name + length - ending, f->ending) != 0)) return VELOCITY_OK;
    if (f->count == 64) return VELOCITY_BUSY;
    (void)snprintf(f->paths[f->count++], sizeof f->paths[0], FOLDER "/%.50s", name);
    return VELOCITY_OK;
}

/* Names that begin or end with `part`. */
static struct files find_files(struct run *r, const char *part) {
    struct files f = {.ending = part};
    RUN_EXPECT(r, env_list(env_sim_env(r->sim), FOLDER, add_file, &f) == VELOCITY_OK);
    RUN_EXPECT(r, f.count > 0);
    return f;
}

static size_t file_size(struct run *r, const char *path) {
    size_t size = 0;
    uint8_t *bytes = env_sim_read_file(r->sim, path, &size);
    RUN_EXPECT(r, bytes != NULL);
    free(bytes);
    return size;
}

static struct run *new_run(uint64_t seed) {
    struct run *r = run_new(seed, 400);
    r->options = velocity_options_default();
    r->options.memtable_bytes = 65536;
    r->options.table_bytes = 65536;
    r->options.value_log_threshold = 300;
    return r;
}

static void encrypt(struct run *r) {
    r->options.encryption_key = velocity_bytes("thirty-two bytes of a damaged db", 32);
}

static void write_some(struct run *r, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        if (i % 5 == 0)
            (void)run_batch(r);
        else
            (void)run_put(r);
    }
}

/* ---- bits ----------------------------------------------------------------------------------------------------------
 */

/* A status that damage may cause: then the message names the file. */
static bool is_damage(struct run *r, velocity_status status, const char *path) {
    if (status != VELOCITY_CORRUPT) return false;
    if (!strstr(velocity_error_message(), path) || !strstr(velocity_error_message(), "offset"))
        run_fail(r, "the message does not name %s and an offset", path);
    return true;
}

/* Reads everything: every answer is right, or CORRUPT. Returns how many were CORRUPT. */
static unsigned read_all(struct run *r, const char *path) {
    struct model *m = r->m;
    unsigned damaged = 0;
    for (size_t i = 0; i < m->key_count; i++) {
        velocity_value value;
        const struct model_version *expected = model_find(m, i, UINT64_MAX);
        velocity_status status = velocity_get(r->db, m->keys[i].bytes, &value);
        if (is_damage(r, status, path)) {
            damaged++;
            continue;
        }
        RUN_EXPECT(r, status == (expected ? VELOCITY_OK : VELOCITY_NOT_FOUND));
        if (!expected) continue;
        RUN_EXPECT(r, value.sequence == expected->sequence && value.flags == expected->flags);
        RUN_EXPECT(r, model_hash(velocity_bytes(value.data, value.size)) == expected->hash);
        velocity_value_release(&value);
    }
    return damaged;
}

/* The same by a scan in one direction: what it shows is right, and it is whole or says why not. */
static unsigned scan_all(struct run *r, const char *path, bool reverse) {
    struct model *m = r->m;
    long count = (long)m->key_count, step = reverse ? -1 : 1;
    long at = model_next(m, reverse ? count - 1 : 0, (int)step, 0, count, UINT64_MAX);
    velocity_range range = velocity_range_default();
    range.reverse = reverse;
    velocity_iterator *it = velocity_iterator_new(r->db, &range);
    for (; velocity_iterator_valid(it); velocity_iterator_next(it)) {
        RUN_EXPECT(r, at >= 0);
        const struct model_version *expected = model_find(m, (size_t)at, UINT64_MAX);
        RUN_EXPECT(r, velocity_iterator_sequence(it) == expected->sequence);
        RUN_EXPECT(r, velocity_iterator_value_size(it) == expected->size);
        velocity_slice value = velocity_iterator_value(it);
        if (!velocity_iterator_valid(it)) break; /* it stands apart, and could not be read */
        RUN_EXPECT(r, model_hash(value) == expected->hash);
        at = model_next(m, at + step, (int)step, 0, count, UINT64_MAX);
    }
    velocity_status status = velocity_iterator_status(it);
    bool damaged = is_damage(r, status, path);
    RUN_EXPECT(r, damaged || (status == VELOCITY_OK && at < 0));
    velocity_iterator_free(it);
    return damaged;
}

/* Opens a closed database in which a bit was flipped, reads all, closes. Returns how often the damage showed. */
static unsigned look_at(struct run *r, const char *path) {
    velocity_status status = database_open(env_sim_env(r->sim), FOLDER, &r->options, &r->db);
    if (is_damage(r, status, path)) return 1;
    if (status != VELOCITY_OK) run_fail(r, "open: %s", velocity_status_name(status));
    unsigned damaged = read_all(r, path) + scan_all(r, path, false) + scan_all(r, path, true);
    status = velocity_close(r->db);
    r->db = NULL;
    RUN_EXPECT(r, status == VELOCITY_OK);
    return damaged;
}

static void flip_bits_of_tables(bool encrypted) {
    enum { FLIPS = 120 };
    struct run *r = new_run(1);
    if (encrypted) encrypt(r);
    run_open(r);
    write_some(r, 300);
    run_flush(r);
    velocity_status status = velocity_compact(r->db, NULL);
    RUN_EXPECT(r, status == VELOCITY_OK);
    run_close(r);
    struct files tables = find_files(r, ".sst");
    for (unsigned i = 0; i < FLIPS; i++) {
        const char *path = tables.paths[i % tables.count];
        size_t size = file_size(r, path);
        /* The ends are short and matter most: header and footer. */
        uint64_t offset = i % 4 == 0   ? model_random(r->m, 128)
                          : i % 4 == 1 ? size - 1 - model_random(r->m, 128)
                                       : model_random(r->m, size);
        unsigned bit = (unsigned)model_random(r->m, 8);
        run_doing(r, "flip bit %u at %llu of %zu in %s", bit, (unsigned long long)offset, size, path);
        RUN_EXPECT(r, env_sim_flip_bit(r->sim, path, offset, bit));
        RUN_EXPECT(r, look_at(r, path) > 0);
        RUN_EXPECT(r, env_sim_flip_bit(r->sim, path, offset, bit));
    }
    RUN_EXPECT(r, look_at(r, "") == 0);
    run_free(r);
}

/* What no table refers to any more may be damaged unnoticed. */
static void flip_bits_of_values(bool encrypted) {
    enum { FLIPS = 80 };
    unsigned shown = 0;
    struct run *r = new_run(4);
    if (encrypted) encrypt(r);
    run_open(r);
    write_some(r, 300);
    velocity_status status = velocity_compact(r->db, NULL);
    RUN_EXPECT(r, status == VELOCITY_OK);
    run_close(r);
    struct files values = find_files(r, ".val");
    for (unsigned i = 0; i < FLIPS; i++) {
        const char *path = values.paths[i % values.count];
        size_t size = file_size(r, path);
        uint64_t offset = i % 4 == 0 ? model_random(r->m, 128) : model_random(r->m, size);
        unsigned bit = (unsigned)model_random(r->m, 8);
        run_doing(r, "flip bit %u at %llu of %zu in %s", bit, (unsigned long long)offset, size, path);
        RUN_EXPECT(r, env_sim_flip_bit(r->sim, path, offset, bit));
        unsigned damaged = look_at(r, path);
        if (offset < 128) RUN_EXPECT(r, damaged > 0);
        shown += damaged > 0;
        RUN_EXPECT(r, env_sim_flip_bit(r->sim, path, offset, bit));
    }
    RUN_EXPECT(r, shown >= FLIPS / 2);
    RUN_EXPECT(r, look_at(r, "") == 0);
    run_free(r);
}

static void a_flipped_bit_in_a_value_file_is_corrupt_where_somebody_reads(void **state) {
    (void)state;
    flip_bits_of_values(false);
    flip_bits_of_values(true);
}

static void a_flipped_bit_in_a_table_is_corrupt_wherever_it_is(void **state) {
    (void)state;
    flip_bits_of_tables(false);
    flip_bits_of_tables(true);
}

static void flip_bits_of_the_manifest(bool encrypted) {
    struct run *r = new_run(2);
    if (encrypted) encrypt(r);
    run_open(r);
    for (int i = 0; i < 3; i++) {
        write_some(r, 20);
        run_flush(r);
    }
    run_close(r);
    const char *const parts[] = {"MANIFEST", "CURRENT"};
    for (size_t part = 0; part < 2; part++) {
        struct files found = find_files(r, parts[part]);
        RUN_EXPECT(r, found.count == 1);
        size_t size = file_size(r, found.paths[0]);
        for (uint64_t offset = 0; offset < size; offset += 1 + offset % 3) {
            unsigned bit = (unsigned)model_random(r->m, 8);
            run_doing(r, "flip bit %u at %llu of %zu in %s", bit, (unsigned long long)offset, size, found.paths[0]);
            RUN_EXPECT(r, env_sim_flip_bit(r->sim, found.paths[0], offset, bit));
            velocity_status status = database_open(env_sim_env(r->sim), FOLDER, &r->options, &r->db);
            /* The last record only says that the close was orderly: without it an opening leaves out sequences. */
            if (status == VELOCITY_OK && part == 0 && offset + 64 > size) {
                RUN_EXPECT(r, velocity_close(r->db) == VELOCITY_OK);
                run_open(r); /* and everything is there */
                run_close(r);
                break;
            }
            if (!is_damage(r, status, part == 0 ? FOLDER : "CURRENT")) run_fail(r, "%s", velocity_status_name(status));
            RUN_EXPECT(r, env_sim_flip_bit(r->sim, found.paths[0], offset, bit));
        }
    }
    run_open(r);
    run_compare_all(r);
    run_free(r);
}

static void a_flipped_bit_in_the_manifest_or_in_current_is_corrupt(void **state) {
    (void)state;
    flip_bits_of_the_manifest(false);
    flip_bits_of_the_manifest(true);
}

/* ---- the log -------------------------------------------------------------------------------------------------------
 */

/* Where the bytes of `key` stand last in the file. */
static size_t find_last(const uint8_t *bytes, size_t size, velocity_slice key) {
    for (size_t at = size - key.size; at > 0; at--)
        if (memcmp(bytes + at, key.data, key.size) == 0) return at;
    return 0;
}

static const velocity_slice LAST_KEY = {"the last key of all", 19};

/* A killed process that leaves one log, whose last group holds LAST_KEY alone. *last: where the key stands. */
static struct run *killed_run(uint64_t seed, char path[64], size_t *last, size_t *size) {
    struct run *r = new_run(seed);
    run_open(r);
    write_some(r, 40);
    RUN_EXPECT(r, velocity_put(r->db, LAST_KEY, velocity_str("x")) == VELOCITY_OK);
    env_sim_crash_after(r->sim, 0);
    RUN_EXPECT(r, velocity_close(r->db) != VELOCITY_BUSY);
    r->db = NULL;
    env_sim_kill(r->sim);
    struct files logs = find_files(r, ".log");
    *last = 0;
    for (size_t i = 0; i < logs.count && *last == 0; i++) {
        (void)snprintf(path, 64, "%s", logs.paths[i]);
        uint8_t *bytes = env_sim_read_file(r->sim, path, size);
        *last = find_last(bytes, *size, LAST_KEY);
        free(bytes);
    }
    RUN_EXPECT(r, *last > 0);
    return r;
}

/* Whether the byte lies between two groups, where bytes mean nothing. */
static bool is_padding(struct run *r, const char *path, uint64_t offset) {
    size_t size, at = 128, end = 0;
    uint8_t *bytes = env_sim_read_file(r->sim, path, &size);
    while (at <= offset) {
        uint32_t payload_bytes;
        memcpy(&payload_bytes, bytes + at + 8, sizeof payload_bytes);
        end = at + 64 + payload_bytes;
        at = (end + 7) / 8 * 8;
    }
    free(bytes);
    return offset >= 128 && offset >= end;
}

static void a_flipped_bit_in_a_proven_log_record_is_corrupt(void **state) {
    enum { GROUP_AND_OPERATION = 64 + 8 };
    (void)state;
    char path[64];
    size_t last, size;
    struct run *r = killed_run(3, path, &last, &size);
    for (unsigned i = 0; i < 150; i++) {
        size_t proven = last - GROUP_AND_OPERATION; /* before the last group: it says that this was synced */
        uint64_t offset = i < 20 ? i * 6 : model_random(r->m, proven);
        unsigned bit = (unsigned)model_random(r->m, 8);
        if (is_padding(r, path, offset)) continue;
        run_doing(r, "flip bit %u at %llu, %zu are proven, in %s", bit, (unsigned long long)offset, proven, path);
        RUN_EXPECT(r, env_sim_flip_bit(r->sim, path, offset, bit));
        velocity_status status = database_open(env_sim_env(r->sim), FOLDER, &r->options, &r->db);
        if (!is_damage(r, status, path)) run_fail(r, "%s", velocity_status_name(status));
        RUN_EXPECT(r, env_sim_flip_bit(r->sim, path, offset, bit));
    }
    run_free(r);
}

static void garbage_behind_the_logs_end_is_no_damage(void **state) {
    (void)state;
    for (uint64_t seed = 10; seed < 20; seed++) {
        char path[64];
        size_t last, size;
        env_file *f;
        uint8_t garbage[2000];
        struct run *r = killed_run(seed, path, &last, &size);
        for (size_t i = 0; i < sizeof garbage; i++) garbage[i] = (uint8_t)model_random(r->m, 256);
        RUN_EXPECT(r, env_open_write(env_sim_env(r->sim), path, &f) == VELOCITY_OK);
        /* Behind the last group, or over half of it: then it is as if it had never been. */
        bool torn = seed % 2;
        uint64_t end = torn ? last - 10 : (last + LAST_KEY.size + 1 + 7) / 8 * 8;
        RUN_EXPECT(r, env_write(f, garbage, sizeof garbage, end) == VELOCITY_OK);
        RUN_EXPECT(r, env_close(f) == VELOCITY_OK);
        run_doing(r, "open with garbage from %llu on", (unsigned long long)end);
        RUN_EXPECT(r, database_open(env_sim_env(r->sim), FOLDER, &r->options, &r->db) == VELOCITY_OK);
        RUN_EXPECT(r, velocity_contains(r->db, LAST_KEY) == (torn ? VELOCITY_NOT_FOUND : VELOCITY_OK));
        RUN_EXPECT(r, velocity_delete(r->db, LAST_KEY) == VELOCITY_OK);
        RUN_EXPECT(r, run_state_is(r, r->m->last, true));
        run_close(r);
        run_free(r);
    }
}

/* ---- a full disk ---------------------------------------------------------------------------------------------------
 */

static void a_full_disk_stops_writes_alone_until_there_is_room(void **state) {
    (void)state;
    for (uint64_t seed = 20; seed < 26; seed++) {
        struct run *r = new_run(seed);
        r->options.durability = seed % 2 ? VELOCITY_DURABILITY_ALWAYS : VELOCITY_DURABILITY_OS;
        run_open(r);
        write_some(r, 50);
        r->space_may_end = true;
        env_sim_set_capacity(r->sim, env_sim_used(r->sim) + 4096 * model_random(r->m, 100));
        velocity_status status = VELOCITY_OK;
        for (unsigned i = 0; i < 20000 && status != VELOCITY_NO_SPACE; i++) status = run_put(r);
        RUN_EXPECT(r, status == VELOCITY_NO_SPACE);
        velocity_stats stats = {.struct_size = sizeof stats};
        RUN_EXPECT(r, velocity_stats_get(r->db, &stats) == VELOCITY_OK);
        RUN_EXPECT(r, stats.out_of_space && !stats.read_only);
        run_compare_all(r);
        for (int i = 0; i < 50; i++) (void)run_batch(r);
        run_flush(r);
        run_compact(r);
        run_compare_all(r);
        env_sim_set_capacity(r->sim, 0);
        r->space_may_end = false;
        write_some(r, 200);
        run_flush(r);
        run_compare_all(r);
        run_reopen(r);
        run_compare_all(r);
        run_free(r);
    }
}

static velocity_status put_number(velocity *db, unsigned number, size_t bytes) {
    static char value[4096];
    char key[16];
    (void)snprintf(key, sizeof key, "%08u", number);
    return velocity_put(db, velocity_str(key), velocity_bytes(value, bytes));
}

static void on_a_full_disk_deletes_go_on_and_it_opens_and_with_room_all_goes_on(void **state) {
    enum { DELETES = 500 };
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        env_sim *sim = env_sim_new(seed);
        velocity_options options = velocity_options_default();
        options.memtable_bytes = 64 << 10;
        options.durability = seed % 2 ? VELOCITY_DURABILITY_ALWAYS : VELOCITY_DURABILITY_OS;
        velocity *db;
        OK(database_open(env_sim_env(sim), "db", &options, &db));
        unsigned count = 0;
        for (; count < 1000; count++) OK(put_number(db, count, 1000));
        env_sim_set_capacity(sim, env_sim_used(sim) + 4096 * seed);
        velocity_status status = VELOCITY_OK;
        for (; status == VELOCITY_OK && count < 100000; count++) status = put_number(db, count, 1000);
        assert_int_equal(status, VELOCITY_NO_SPACE);
        char key[16];
        for (unsigned i = 0; i < DELETES; i++) {
            (void)snprintf(key, sizeof key, "%08u", i);
            OK(velocity_delete(db, velocity_str(key)));
            if (i % 100 == 0) assert_int_equal(put_number(db, 1, 1000), VELOCITY_NO_SPACE);
        }
        OK(velocity_close(db));
        OK(database_open(env_sim_env(sim), "db", &options, &db));
        for (unsigned i = 0; i < 1000; i++) {
            (void)snprintf(key, sizeof key, "%08u", i);
            assert_int_equal(velocity_contains(db, velocity_str(key)), i < DELETES ? VELOCITY_NOT_FOUND : VELOCITY_OK);
        }
        env_sim_set_capacity(sim, 0);
        for (unsigned i = 0; i < DELETES; i++) OK(put_number(db, i, 1000));
        size_t reserve;
        free(env_sim_read_file(sim, "db/RESERVE", &reserve));
        assert_true(reserve >= 1 << 20);
        OK(velocity_close(db));
        env_sim_free(sim);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flipped_bit_in_a_table_is_corrupt_wherever_it_is),
        cmocka_unit_test(a_flipped_bit_in_a_value_file_is_corrupt_where_somebody_reads),
        cmocka_unit_test(a_flipped_bit_in_the_manifest_or_in_current_is_corrupt),
        cmocka_unit_test(a_flipped_bit_in_a_proven_log_record_is_corrupt),
        cmocka_unit_test(garbage_behind_the_logs_end_is_no_damage),
        cmocka_unit_test(on_a_full_disk_deletes_go_on_and_it_opens_and_with_room_all_goes_on),
        cmocka_unit_test(a_full_disk_stops_writes_alone_until_there_is_room),
    };
    return cmocka_run_group_tests_name("damage", tests, NULL, NULL);
}
