/*
 * manifest_test.c - the manifest: replaying its records gives the state, a torn last record never counted, damage
 * anywhere else is CORRUPT and named. And whatever somebody makes up is read in linear time.
 */
#include "engine/coding.h"
#include "engine/manifest.h"
#include "testing.h"

#include <sys/stat.h>
#include <time.h>

static const uint64_t database_id[2] = {41, 42};

struct fixture {
    const char *folder;
    cache *cache;
    table_files *files;
    struct table *tables[12];
    manifest *manifest;
};

/* A table of which only the description exists: the manifest needs no more. */
static struct table *describe(struct fixture *f, uint64_t number) {
    struct table_meta meta = {.number = number, .uid = {number, ~number}, .file_bytes = number * 1000}, copy;
    char smallest[32], largest[32];
    meta.raw_bytes = UINT64_MAX - number;
    meta.entries = number * 3;
    meta.tombstones = number;
    meta.min_sequence = number * 10;
    meta.max_sequence = number * 10 + 9;
    meta.one_version = number % 2;
    int n = snprintf(smallest, sizeof smallest, "from %llu", (unsigned long long)number);
    meta.smallest = velocity_bytes(smallest, (size_t)n);
    n = snprintf(largest, sizeof largest, "to %llu", (unsigned long long)number);
    meta.largest = velocity_bytes(largest, (size_t)n);
    OK(table_meta_copy(&copy, &meta));
    struct table *table;
    OK(table_new(env_posix(), f->files, f->folder, database_id, NULL, &copy, &table));
    return table;
}

static void append(struct fixture *f, uint64_t number, int level, uint64_t remove, int from_level) {
    f->tables[number] = describe(f, number);
    struct version_change add = {level, f->tables[number]}, gone = {from_level, remove ? f->tables[remove] : NULL};
    struct version_edit tables = {.remove = &gone, .remove_count = remove ? 1 : 0, .add = &add, .add_count = 1};
    struct manifest_edit edit = {.next_number = number + 1,
                                 .min_log = number * 2,
                                 .start_log = 77,
                                 .last_sequence = number * 10 + 9,
                                 .tables = &tables};
    OK(manifest_append(f->manifest, &edit));
}

static struct fixture *fixture_new(const char *folder) {
    struct fixture *f = calloc(1, sizeof *f);
    f->folder = folder;
    f->cache = cache_new(0, 1);
    f->files = table_files_new(f->cache, 16);
    static const struct log_seal seals[] = {{.number = 3, .end = 4096}, {.number = 4, .end = UINT64_C(1) << 40}};
    struct manifest_edit edit = {.next_number = 2, .min_log = 3, .start_log = 5, .seals = seals, .seal_count = 2};
    OK(manifest_create(env_posix(), folder, database_id, NULL, 1, NULL, &edit, &f->manifest));
    return f;
}

static void fixture_free(struct fixture *f) {
    manifest_close(f->manifest);
    for (size_t i = 0; i < 12; i++)
        if (f->tables[i]) table_release(f->tables[i]);
    table_files_free(f->files);
    cache_free(f->cache);
    epoch_drain();
    free(f);
}

/* The numbers of the tables, smallest first, as text, and the last_sequence. */
static const char *summary(const char *folder) {
    static char text[128];
    struct manifest_state s;
    OK(manifest_load(env_posix(), folder, NULL, &s));
    size_t used = (size_t)snprintf(text, sizeof text, "%llu:", (unsigned long long)s.last_sequence);
    for (uint64_t number = 0; number < 12; number++)
        for (size_t i = 0; i < s.table_count; i++)
            if (s.tables[i].meta.number == number)
                used += (size_t)snprintf(text + used, sizeof text - used, " %llu/%d", (unsigned long long)number,
                                         s.tables[i].level);
    manifest_state_clear(&s);
    return text;
}

static void the_records_together_give_the_state(void **state) {
    struct fixture *f = fixture_new(*state);
    assert_string_equal(summary(*state), "0:");
    append(f, 6, 0, 0, 0);
    append(f, 7, 0, 0, 0);
    assert_string_equal(summary(*state), "79: 6/0 7/0");
    append(f, 8, 6, 6, 0);
    assert_string_equal(summary(*state), "89: 7/0 8/6");
    struct manifest_state s;
    OK(manifest_load(env_posix(), *state, NULL, &s));
    assert_memory_equal(s.database_id, database_id, sizeof database_id);
    assert_int_equal(s.next_number, 9);
    assert_int_equal(s.min_log, 16);
    assert_int_equal(s.start_log, 77);
    assert_int_equal(s.seal_count, 2);
    assert_int_equal(s.seals[1].number, 4);
    assert_int_equal(s.seals[1].end, UINT64_C(1) << 40);
    for (size_t i = 0; i < s.table_count; i++) {
        const struct table_meta *back = &s.tables[i].meta, *meta = table_meta(f->tables[back->number]);
        assert_memory_equal(back->uid, meta->uid, sizeof meta->uid);
        assert_int_equal(back->file_bytes, meta->file_bytes);
        assert_int_equal(back->raw_bytes, meta->raw_bytes);
        assert_int_equal(back->entries, meta->entries);
        assert_int_equal(back->tombstones, meta->tombstones);
        assert_int_equal(back->min_sequence, meta->min_sequence);
        assert_int_equal(back->max_sequence, meta->max_sequence);
        assert_int_equal(back->one_version, meta->one_version);
        assert_int_equal(back->smallest.size, meta->smallest.size);
        assert_memory_equal(back->smallest.data, meta->smallest.data, meta->smallest.size);
        assert_memory_equal(back->largest.data, meta->largest.data, meta->largest.size);
    }
    manifest_state_clear(&s);
    fixture_free(f);
}

static void a_new_manifest_holds_the_version_and_replaces_the_old_one(void **state) {
    struct fixture *f = fixture_new(*state);
    append(f, 6, 0, 0, 0);
    append(f, 7, 3, 0, 0);
    struct version_change add[] = {{0, f->tables[6]}, {3, f->tables[7]}};
    struct version_edit edit = {.add = add, .add_count = 2};
    struct version *version;
    OK(version_new(NULL, &edit, &version));
    struct manifest_edit numbers = {.next_number = 11, .min_log = 9, .start_log = 9, .last_sequence = 123};
    manifest *next;
    OK(manifest_create(env_posix(), *state, database_id, NULL, 10, version, &numbers, &next));
    assert_int_equal(manifest_number(next), 10);
    version_release(version);
    assert_string_equal(summary(*state), "123: 6/0 7/3");
    manifest_close(f->manifest);
    f->manifest = next;
    append(f, 11, 1, 7, 3);
    assert_string_equal(summary(*state), "119: 6/0 11/1");
    fixture_free(f);
}

static void a_last_record_torn_at_any_byte_never_counted(void **state) {
    struct fixture *f = fixture_new(*state);
    append(f, 6, 0, 0, 0);
    uint64_t before = manifest_bytes(f->manifest), random = 9;
    append(f, 7, 0, 6, 0);
    const char *path = path_in(*state, "MANIFEST-00000001");
    size_t size;
    uint8_t *whole = file_bytes(path, &size), *torn = malloc(size);
    assert_int_equal(size, manifest_bytes(f->manifest));
    for (uint64_t cut = before; cut < size; cut++) {
        file_replace(path, whole, cut); /* the file did not grow that far */
        assert_string_equal(summary(*state), "69: 6/0");
        memcpy(torn, whole, size); /* it grew, and the rest never came */
        memset(torn + cut, 0, size - cut);
        if (memcmp(torn, whole, size) == 0) continue;
        file_replace(path, torn, size);
        assert_string_equal(summary(*state), "69: 6/0");
        for (size_t i = cut; i < size; i++) torn[i] = (uint8_t)next_random(&random);
        file_replace(path, torn, size);
        assert_string_equal(summary(*state), "69: 6/0");
    }
    free(torn);
    free(whole);
    fixture_free(f);
}

static void damage_before_the_last_record_is_corrupt_at_any_byte(void **state) {
    struct fixture *f = fixture_new(*state);
    uint64_t second = manifest_bytes(f->manifest);
    append(f, 6, 0, 0, 0);
    uint64_t third = manifest_bytes(f->manifest);
    append(f, 7, 0, 6, 0);
    char path[512];
    (void)snprintf(path, sizeof path, "%s", path_in(*state, "MANIFEST-00000001"));
    for (uint64_t at = 0; at < third; at++) {
        char place[64];
        uint64_t record = at < FILE_HEADER_BYTES ? 0 : at < second ? FILE_HEADER_BYTES : second;
        (void)snprintf(place, sizeof place, "MANIFEST-00000001: offset %llu:", (unsigned long long)record);
        struct manifest_state s;
        file_flip(path, at, 0x04);
        FAILS(VELOCITY_CORRUPT, place, manifest_load(env_posix(), *state, NULL, &s));
        file_flip(path, at, 0x04);
    }
    assert_string_equal(summary(*state), "79: 7/0");
    fixture_free(f);
}

static void a_first_record_that_is_not_whole_is_corrupt(void **state) {
    struct fixture *f = fixture_new(*state); /* it was synced before CURRENT named the file: no crash tears it */
    size_t size;
    uint8_t *whole = file_bytes(path_in(*state, "MANIFEST-00000001"), &size);
    struct manifest_state s;
    for (size_t cut = 0; cut < size; cut++) {
        file_replace(path_in(*state, "MANIFEST-00000001"), whole, cut);
        FAILS(VELOCITY_CORRUPT, "MANIFEST-00000001: offset", manifest_load(env_posix(), *state, NULL, &s));
    }
    free(whole);
    fixture_free(f);
}

static void what_is_missing_or_of_another_database_is_told_apart(void **state) {
    struct manifest_state s;
    assert_int_equal(manifest_load(env_posix(), *state, NULL, &s), VELOCITY_NOT_FOUND); /* no CURRENT: no database */
    struct fixture *f = fixture_new(*state);
    OK(rename(path_in(*state, "MANIFEST-00000001"), path_in(*state, "away")));
    FAILS(VELOCITY_CORRUPT, "MANIFEST-00000001", manifest_load(env_posix(), *state, NULL, &s));
    static const uint64_t other[2] = {1, 1};
    struct manifest_edit edit = {.next_number = 2};
    manifest *m;
    assert_int_equal(mkdir(path_in(*state, "other"), 0700), 0);
    OK(manifest_create(env_posix(), path_in(*state, "other"), other, NULL, 1, NULL, &edit, &m));
    manifest_close(m);
    file_copy(path_in(path_in(*state, "other"), "MANIFEST-00000001"), path_in(*state, "MANIFEST-00000001"));
    FAILS(VELOCITY_CORRUPT, "another database", manifest_load(env_posix(), *state, NULL, &s));
    for (size_t at = 0; at < FILE_HEADER_BYTES; at++) {
        file_flip(path_in(*state, "CURRENT"), at, 0x80);
        FAILS(VELOCITY_CORRUPT, "CURRENT: offset 0", manifest_load(env_posix(), *state, NULL, &s));
        file_flip(path_in(*state, "CURRENT"), at, 0x80);
    }
    fixture_free(f);
}

/* ---- made up by somebody ------------------------------------------------------------------------------------------
 */

/* The manifest's first record replaced by one with this payload, its checksum right. */
static void replace_records(const char *folder, const uint8_t *payload, size_t bytes) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s", path_in(folder, "MANIFEST-00000001"));
    size_t size;
    uint8_t *file = file_bytes(path, &size), *record = malloc(FILE_HEADER_BYTES + 8 + bytes);
    struct file_header header;
    OK(file_header_parse(file, size, FILE_MANIFEST, path, &header));
    memcpy(record, file, FILE_HEADER_BYTES);
    uint8_t *at = record + FILE_HEADER_BYTES;
    put_u32(at, (uint32_t)bytes);
    memcpy(at + 8, payload, bytes);
    uint32_t checksum = file_block_checksum(file_seed(&header), FILE_HEADER_BYTES, at, 4);
    put_u32(at + 4, file_block_checksum(checksum, FILE_HEADER_BYTES, payload, bytes));
    file_replace(path, record, FILE_HEADER_BYTES + 8 + bytes);
    free(record);
    free(file);
}

static uint8_t *put_table(uint8_t *p, uint64_t number) {
    static const uint8_t rest[] = {200, 1, 1, 1, 0, 1, 1, 1, 1, 'k', 1, 'k', 0};
    *p++ = 5; /* add a table ... */
    *p++ = 0;
    p = put_varint(p, number);
    memset(p, 7, 16);
    memcpy(p + 16, rest, sizeof rest);
    return p + 16 + sizeof rest;
}

static uint8_t *put_values(uint8_t *p, uint64_t number) {
    *p++ = 10; /* add a value file ... */
    p = put_varint(p, number);
    memset(p, 7, 16);
    return put_varint(put_varint(p + 16, 4096), 1);
}

static void what_is_added_twice_or_not_in_order_is_corrupt(void **state) {
    struct fixture *f = fixture_new(*state);
    uint8_t payload[256], *p;
    struct manifest_state s;
    p = put_table(put_table(payload, 8), 9);
    replace_records(*state, payload, (size_t)(p - payload));
    assert_string_equal(summary(*state), "0: 8/0 9/0");
    p = put_table(put_table(put_table(payload, 8), 9), 8);
    replace_records(*state, payload, (size_t)(p - payload));
    FAILS(VELOCITY_CORRUPT, "MANIFEST-00000001: offset 128: ", manifest_load(env_posix(), *state, NULL, &s));
    p = put_values(put_values(payload, 8), 8);
    replace_records(*state, payload, (size_t)(p - payload));
    FAILS(VELOCITY_CORRUPT, "MANIFEST-00000001: offset 128: ", manifest_load(env_posix(), *state, NULL, &s));
    static const uint8_t seals[] = {4, 9, 100, 4, 8, 100};
    replace_records(*state, seals, sizeof seals);
    FAILS(VELOCITY_CORRUPT, "MANIFEST-00000001: offset 128: ", manifest_load(env_posix(), *state, NULL, &s));
    fixture_free(f);
}

/* Some seconds of work in linear time, many minutes in the square of the size. */
static void expect_linear(clock_t begin) {
    assert_true((clock() - begin) / CLOCKS_PER_SEC < 60);
}

static void a_million_tables_and_value_files_come_and_go_in_linear_time(void **state) {
    enum { COUNT = 1000000 };
    struct fixture *f = fixture_new(*state);
    uint8_t *payload = malloc((size_t)COUNT * 96), *p = payload;
    for (uint64_t i = 0; i < COUNT; i++) p = put_values(put_table(p, i * 1024), i << 40);
    for (uint64_t i = 0; i + 1 < COUNT; i++) {
        *p++ = 6; /* remove the table, from level 0 ... */
        *p++ = 0;
        p = put_varint(p, i * 1024);
        *p++ = 11; /* ... and the value file */
        p = put_varint(p, i << 40);
    }
    replace_records(*state, payload, (size_t)(p - payload));
    free(payload);
    struct manifest_state s;
    clock_t begin = clock();
    OK(manifest_load(env_posix(), *state, NULL, &s));
    expect_linear(begin);
    assert_int_equal(s.table_count, 1);
    assert_int_equal(s.tables[0].meta.number, (COUNT - 1) * 1024);
    assert_int_equal(s.value_count, 1);
    assert_int_equal(s.values[0].number, (uint64_t)(COUNT - 1) << 40);
    manifest_state_clear(&s);
    fixture_free(f);
}

/* Each fourth byte of the tail could be the begin of a record of four megabytes. */
static void a_tail_full_of_what_looks_like_records_is_read_in_linear_time(void **state) {
    enum { TAIL_BYTES = 8 << 20 };
    struct fixture *f = fixture_new(*state);
    append(f, 6, 0, 0, 0);
    const char *path = path_in(*state, "MANIFEST-00000001");
    size_t size;
    uint8_t *whole = file_bytes(path, &size);
    whole = realloc(whole, size + TAIL_BYTES);
    for (size_t i = 0; i < TAIL_BYTES; i++) whole[size + i] = i % 4 == 2 ? 0x40 : 0;
    file_replace(path, whole, size + TAIL_BYTES);
    clock_t begin = clock();
    assert_string_equal(summary(*state), "69: 6/0");
    struct manifest_state s;
    OK(manifest_salvage(env_posix(), path_in(*state, "MANIFEST-00000001"), NULL, &s));
    expect_linear(begin);
    assert_int_equal(s.tail_bytes, TAIL_BYTES);
    assert_false(s.damaged);
    manifest_state_clear(&s);
    free(whole);
    fixture_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(the_records_together_give_the_state),
        TEST_IN_FOLDER(a_new_manifest_holds_the_version_and_replaces_the_old_one),
        TEST_IN_FOLDER(a_last_record_torn_at_any_byte_never_counted),
        TEST_IN_FOLDER(damage_before_the_last_record_is_corrupt_at_any_byte),
        TEST_IN_FOLDER(a_first_record_that_is_not_whole_is_corrupt),
        TEST_IN_FOLDER(what_is_missing_or_of_another_database_is_told_apart),
        TEST_IN_FOLDER(what_is_added_twice_or_not_in_order_is_corrupt),
        TEST_IN_FOLDER(a_million_tables_and_value_files_come_and_go_in_linear_time),
        TEST_IN_FOLDER(a_tail_full_of_what_looks_like_records_is_read_in_linear_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
