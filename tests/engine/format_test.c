/*
 * format_test.c - what the engine writes is what engine/FORMAT.md says: a reader written from that page alone finds in
 * the files exactly what the engine shows.
 */
#include "engine/database.h"
#include "env_sim.h"
#include "format_reader.h"
#include "testing.h"

#include <sys/stat.h>

static velocity *open_small(const char *folder, velocity_compression compression) {
    velocity_options options = velocity_options_default();
    options.value_log_threshold = 200;
    options.memtable_bytes = 256 << 10;
    options.table_bytes = 64 << 10; /* so that there are always some */
    options.block_bytes = 1024;
    options.compaction_threshold = 4;
    options.compression = compression;
    options.durability = VELOCITY_DURABILITY_OS;
    velocity *db;
    OK(velocity_open(folder, &options, &db));
    return db;
}

#define CENTURY_END_MS INT64_C(4102444800000)

/* Batches of puts with flags and expiry and of deletes, over keys of several shapes. */
static void live(velocity *db, uint64_t *random, int batches) {
    static uint8_t value[3000];
    velocity_batch *batch = velocity_batch_new();
    for (int i = 0; i < batches; i++) {
        velocity_batch_clear(batch);
        for (size_t n = 1 + below(random, 4); n; n--) {
            uint8_t key[40];
            size_t prefix = below(random, 2) ? 20 : 0;
            memset(key, 'p', prefix);
            size_t size = prefix + awkward_key(random, key + prefix);
            for (size_t k = 0; k < sizeof value; k += 16) value[k] = (uint8_t)next_random(random);
            velocity_put_options options = velocity_put_options_default();
            options.flags = below(random, 2) ? 0 : (uint32_t)next_random(random);
            if (below(random, 4) == 0) /* long ago, or not in this century */
                options.expires_at_ms = below(random, 3) ? CENTURY_END_MS + (int64_t)below(random, 1000000) : 1;
            if (below(random, 40) == 0) { /* up to a key that begins with the start */
                key[size] = (uint8_t)below(random, 256);
                velocity_batch_delete_range(batch, velocity_bytes(key, size), velocity_bytes(key, size + 1));
            } else if (below(random, 5))
                velocity_batch_put(batch, velocity_bytes(key, size), velocity_bytes(value, below(random, 300)),
                                   &options);
            else
                velocity_batch_delete(batch, velocity_bytes(key, size));
        }
        OK(velocity_write(db, batch, NULL, NULL));
    }
    velocity_batch_free(batch);
}

static bool less(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes) {
    int order = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);
    return order < 0 || (order == 0 && a_bytes < b_bytes);
}

static bool is_covered(const struct format_database *found, const struct format_entry *e) {
    for (size_t i = 0; i < found->count; i++) {
        const struct format_entry *r = &found->entries[i];
        if (r->kind == 3 && r->sequence > e->sequence && !less(e->key, e->key_bytes, r->key, r->key_bytes) &&
            less(e->key, e->key_bytes, r->value, r->value_bytes))
            return true;
    }
    return false;
}

/* What the reader found, reduced to the newest entry of each key, is what the engine's iterator shows. */
static void expect_same(velocity *db, const struct format_database *found) {
    velocity_iterator *it = velocity_iterator_new(db, NULL);
    const struct format_entry *before = NULL;
    for (size_t i = 0; i < found->count; i++) {
        const struct format_entry *e = &found->entries[i];
        bool older = before && before->key_bytes == e->key_bytes && memcmp(before->key, e->key, e->key_bytes) == 0;
        before = e;
        if (older || e->kind != 1 || is_covered(found, e)) continue;
        if (e->expires_at_ms && e->expires_at_ms <= (int64_t)found->clock_ms) continue;
        assert_true(velocity_iterator_valid(it));
        velocity_slice key = velocity_iterator_key(it), value = velocity_iterator_value(it);
        assert_true(key.size == e->key_bytes && memcmp(key.data, e->key, key.size) == 0);
        assert_true(value.size == e->value_bytes && memcmp(value.data, e->value, value.size) == 0);
        assert_int_equal(velocity_iterator_sequence(it), e->sequence);
        assert_int_equal(velocity_iterator_flags(it), e->flags);
        assert_int_equal(velocity_iterator_expires_at_ms(it), e->expires_at_ms);
        velocity_iterator_next(it);
    }
    assert_false(velocity_iterator_valid(it));
    OK(velocity_iterator_status(it));
    velocity_iterator_free(it);
}

static void a_reader_made_from_the_page_finds_what_the_engine_shows(void **state) {
    uint64_t random = 1;
    for (int round = 0; round < 3; round++) { /* a fresh database, then the same one grown */
        velocity *db = open_small(*state, round == 1 ? VELOCITY_COMPRESSION_NONE : VELOCITY_COMPRESSION_LZ4);
        live(db, &random, 3000);
        if (round == 1) OK(velocity_compact(db, NULL));
        velocity_snapshot *snapshot = velocity_snapshot_new(db); /* so that older versions stay */
        live(db, &random, 800);
        OK(velocity_flush(db));
        velocity_snapshot_free(snapshot);
        live(db, &random, 50);
        OK(velocity_close(db));
        struct format_database found;
        format_read(&found, *state);
        assert_true(found.tables > 1 && found.data_blocks > 100 && found.index_blocks >= found.tables);
        assert_true(found.filter_partitions >= found.tables && found.records > 0);
        if (round != 1) assert_true(found.lz4_blocks > 0 && found.packed_values > 0);
        assert_true(found.value_files > 0 && found.references > 100 && found.references <= found.value_records);
        assert_true(found.expiry_buckets > found.tables);
        db = open_small(*state, VELOCITY_COMPRESSION_LZ4);
        expect_same(db, &found);
        OK(velocity_close(db));
        format_free(&found);
    }
}

static void a_database_of_which_only_logs_hold_something_is_found_whole(void **state) {
    uint64_t random = 7;
    velocity *db;
    for (int round = 0; round < 3; round++) { /* each opening seals what the ones before left */
        OK(velocity_open(*state, NULL, &db));
        live(db, &random, 40);
        OK(velocity_close(db));
    }
    struct format_database found;
    format_read(&found, *state);
    assert_int_equal(found.tables, 0);
    assert_int_equal(found.sealed_logs, 2);
    assert_int_equal(found.groups, 120);
    OK(velocity_open(*state, NULL, &db));
    expect_same(db, &found);
    OK(velocity_close(db));
    format_free(&found);
}

static const uint8_t master_key[] = "thirty-two bytes, and not a more";

static velocity_options encrypted_options(velocity_compression compression) {
    velocity_options options = velocity_options_default();
    options.table_bytes = 64 << 10; /* so that there are always some */
    options.block_bytes = 1024;
    options.compaction_threshold = 4;
    options.durability = VELOCITY_DURABILITY_OS;
    options.compression = compression;
    options.encryption_key = velocity_bytes(master_key, 32);
    return options;
}

static void encrypted_files_are_as_the_page_says(void **state) {
    uint64_t random = 3;
    format_master_key = master_key;
    velocity *db = open_small(*state, VELOCITY_COMPRESSION_LZ4); /* plain, to begin with */
    live(db, &random, 1500);
    OK(velocity_close(db));
    for (int round = 0; round < 4; round++) {
        velocity_options options = encrypted_options((velocity_compression)round);
        OK(velocity_open(*state, &options, &db));
        live(db, &random, 1500);
        OK(velocity_flush(db));
        if (round > 1) OK(velocity_compact(db, NULL));
        live(db, &random, 50);
        OK(velocity_close(db));
        struct format_database found;
        format_read(&found, *state);
        assert_true(found.groups >= 50 && found.tables > 1 && found.filter_partitions > 0);
        if (round > 1) assert_true(found.encrypted_files >= found.tables + 2 && found.zstd_blocks > 0);
        OK(velocity_open(*state, &options, &db));
        expect_same(db, &found);
        OK(velocity_close(db));
        format_free(&found);
    }
}

struct copying {
    env_sim *sim;
    const char *to;
};

static velocity_status copy_one(void *arg, const char *name) {
    const struct copying *c = arg;
    size_t size;
    uint8_t *data = env_sim_read_file(c->sim, path_in("db", name), &size);
    if (data && strcmp(name, "LOCK") != 0) file_replace(path_in(c->to, name), data, size);
    free(data);
    return VELOCITY_OK;
}

/* In the simulated environment background work stands still while the files are copied. */
static void the_files_of_a_killed_process_hold_what_it_acknowledged(void **state) {
    uint64_t random = 11;
    env_sim *sim = env_sim_new(1);
    velocity_options options = velocity_options_default();
    options.memtable_bytes = options.table_bytes = 64 << 10; /* so that there are always some */
    options.durability = VELOCITY_DURABILITY_OS;
    velocity *db;
    OK(database_open(env_sim_env(sim), "db", &options, &db));
    for (int round = 0; round < 4; round++) {
        live(db, &random, 1500); /* through several segments */
        if (round == 2) OK(velocity_flush(db));
        live(db, &random, 100);
        char folder[64];
        (void)snprintf(folder, sizeof folder, "%s/dead %d", (const char *)*state, round);
        struct copying c = {sim, folder};
        assert_int_equal(mkdir(c.to, 0700), 0);
        OK(env_list(env_sim_env(sim), "db", copy_one, &c));
        struct format_database found;
        format_read(&found, c.to);
        assert_true(found.groups > 0 && found.tables > 0);
        assert_true(found.range_deletes > 0 && found.range_blocks > 0);
        expect_same(db, &found);
        format_free(&found);
    }
    OK(velocity_close(db));
    env_sim_free(sim);
}

/* Several lives and flushes with a limit that lets the oldest logs go. */
static void retained_logs_are_named_by_the_manifest_and_hold_what_the_page_says(void **state) {
    uint64_t random = 21;
    velocity_options options = velocity_options_default();
    options.memtable_bytes = options.table_bytes = 64 << 10; /* so that there are always some */
    options.durability = VELOCITY_DURABILITY_OS;
    options.log_retention_bytes = 1 << 20;
    velocity_stats stats = {.struct_size = sizeof stats};
    for (int round = 0; round < 3; round++) {
        velocity *db;
        OK(velocity_open(*state, &options, &db));
        for (int i = 0; i < 4; i++) {
            live(db, &random, 600);
            if (round) OK(velocity_flush(db));
        }
        OK(velocity_close(db));
        struct format_database found;
        format_read(&found, *state);
        assert_true(found.retained_logs > 1);
        OK(velocity_open(*state, &options, &db));
        expect_same(db, &found);
        OK(velocity_stats_get(db, &stats));
        assert_int_equal(stats.last_sequence + 1 - stats.oldest_change_sequence, found.retained_operations);
        OK(velocity_close(db));
        format_free(&found);
    }
    assert_true(stats.oldest_change_sequence > 1);
}

/* A flush answers when its table is in force; the files that it made superfluous go a moment later. */
static void settle(velocity *db) {
    velocity_stats stats = {.struct_size = sizeof stats};
    for (int i = 0; i < 10000; i++) {
        OK(velocity_stats_get(db, &stats));
        if (stats.background_jobs == 0) return;
        env_sleep_us(1000);
    }
    fail_msg("background work does not end");
}

static void large_values_and_keys_and_a_table_without_filter_are_as_the_page_says(void **state) {
    velocity_options options = velocity_options_default();
    options.bloom_false_positive_rate = 1;
    options.value_log_threshold = 0;
    velocity *db;
    OK(velocity_open(*state, &options, &db));
    char *bytes = calloc(1, 1 << 20);
    for (int i = 0; i < 6; i++) {
        bytes[VELOCITY_MAX_KEY_BYTES - 1] = (char)i;
        OK(velocity_put(db, velocity_bytes(bytes, VELOCITY_MAX_KEY_BYTES), velocity_bytes(bytes, (size_t)i << 17)));
        OK(velocity_put(db, velocity_bytes(bytes + 65530, (size_t)i + 1), velocity_bytes(NULL, 0)));
    }
    OK(velocity_flush(db));
    settle(db);
    struct format_database found;
    format_read(&found, *state);
    assert_int_equal(found.tables, 1);
    assert_int_equal(found.filter_partitions, 0);
    assert_true(found.wide_blocks > 0);
    expect_same(db, &found);
    format_free(&found);
    free(bytes);
    OK(velocity_close(db));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(a_reader_made_from_the_page_finds_what_the_engine_shows),
        TEST_IN_FOLDER(encrypted_files_are_as_the_page_says),
        TEST_IN_FOLDER(a_database_of_which_only_logs_hold_something_is_found_whole),
        TEST_IN_FOLDER(retained_logs_are_named_by_the_manifest_and_hold_what_the_page_says),
        TEST_IN_FOLDER(the_files_of_a_killed_process_hold_what_it_acknowledged),
        TEST_IN_FOLDER(large_values_and_keys_and_a_table_without_filter_are_as_the_page_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
