/*
 * encryption_test.c - encryption as a user and as a thief sees it: right and wrong keys, changing them, passphrases,
 * key files; no plaintext on disk; what was tampered with, checksums and all, is CORRUPT.
 */
#include "engine/cipher.h"
#include "engine/coding.h"
#include "engine/crc32c.h"
#include "engine/log.h"
#include "engine/log_internal.h"
#include "engine/table_format.h"
#include "testing.h"

#include <dirent.h>
#include <sys/stat.h>

static const velocity_slice first_key = {"the first key: of 32 bytes......", 32};
static const velocity_slice second_key = {"the second key, just as large...", 32};

static velocity_options options_with(velocity_slice key) {
    velocity_options o = velocity_options_default();
    o.durability = VELOCITY_DURABILITY_OS;
    o.table_bytes = 64 << 10;
    o.encryption_key = key;
    return o;
}

static velocity *open_with(const char *folder, const velocity_options *options) {
    velocity *db;
    OK(velocity_open(folder, options, &db));
    return db;
}

/* The same for the same i: compressible, and easy to recognise. */
static velocity_slice value_of(char buffer[400], unsigned i) {
    (void)snprintf(buffer, 400, "PLAINTEXT-VALUE %u %0300u", i, i);
    return velocity_str(buffer);
}

static void fill(velocity *db, unsigned from, unsigned to) {
    char key[32], value[400];
    for (unsigned i = from; i < to; i++) {
        (void)snprintf(key, sizeof key, "PLAINTEXT-KEY %u", i);
        OK(velocity_put(db, velocity_str(key), value_of(value, i)));
    }
}

static void expect_filled(velocity *db, unsigned to) {
    char key[32], value[400];
    for (unsigned i = 0; i < to; i++) {
        (void)snprintf(key, sizeof key, "PLAINTEXT-KEY %u", i);
        velocity_value v;
        OK(velocity_get(db, velocity_str(key), &v));
        velocity_slice expected = value_of(value, i);
        assert_int_equal(v.size, expected.size);
        assert_memory_equal(v.data, expected.data, v.size);
        velocity_value_release(&v);
    }
}

/* Tables and a log: 300 entries here, 20 there. */
static void make(const char *folder, const velocity_options *options) {
    velocity *db = open_with(folder, options);
    fill(db, 0, 300);
    OK(velocity_flush(db));
    fill(db, 300, 320);
    OK(velocity_close(db));
}

static uint64_t old_files(velocity *db) {
    velocity_stats stats = {.struct_size = sizeof stats};
    OK(velocity_stats_get(db, &stats));
    return stats.files_with_old_key;
}

/* ---- keys ----------------------------------------------------------------------------------------------------------
 */

static void another_key_or_none_is_refused_by_name_and_harms_nothing(void **state) {
    velocity_options right = options_with(first_key), wrong = options_with(second_key);
    velocity_options none = options_with(velocity_bytes(NULL, 0));
    velocity *db;
    make(*state, &right);
    for (int i = 0; i < 2; i++) {
        FAILS(VELOCITY_INVALID, "none of the keys given", velocity_open(*state, &wrong, &db));
        assert_non_null(strstr(velocity_error_message(), "MANIFEST-"));
        assert_null(strstr(velocity_error_message(), "first key"));
        FAILS(VELOCITY_INVALID, "no key was given", velocity_open(*state, &none, &db));
    }
    db = open_with(*state, &right);
    expect_filled(db, 320);
    OK(velocity_close(db));
}

static void a_key_of_another_size_is_refused(void **state) {
    velocity_options o = options_with(velocity_str("short"));
    velocity *db;
    FAILS(VELOCITY_INVALID, "32", velocity_open(*state, &o, &db));
    o = options_with(first_key);
    velocity_slice old = velocity_str("old");
    o.old_encryption_keys = &old;
    o.old_encryption_key_count = 1;
    FAILS(VELOCITY_INVALID, "32", velocity_open(*state, &o, &db));
    o = options_with(first_key);
    o.encryption_passphrase = velocity_str("both");
    FAILS(VELOCITY_INVALID, "passphrase", velocity_open(*state, &o, &db));
}

/* Opens with `to`, the key `from` among the old ones; compacts; then `to` alone is enough. */
static void change_key(const char *folder, velocity_slice from, velocity_slice to) {
    velocity_options o = options_with(to), alone = options_with(to);
    velocity *db;
    if (from.size) {
        FAILS(VELOCITY_INVALID, "encrypted with the key", velocity_open(folder, &alone, &db));
        o.old_encryption_keys = &from;
        o.old_encryption_key_count = 1;
    }
    db = open_with(folder, &o);
    assert_true(old_files(db) > 0);
    expect_filled(db, 320);
    OK(velocity_compact(db, NULL));
    assert_int_equal(old_files(db), 0);
    expect_filled(db, 320);
    OK(velocity_close(db));
    db = open_with(folder, &alone);
    assert_int_equal(old_files(db), 0);
    expect_filled(db, 320);
    OK(velocity_compact(db, NULL)); /* nothing to do */
    OK(velocity_close(db));
}

static void compaction_carries_a_database_from_key_to_key_and_to_none(void **state) {
    velocity_slice none = velocity_bytes(NULL, 0);
    velocity_options plain = options_with(none);
    make(*state, &plain);
    change_key(*state, none, first_key);
    change_key(*state, first_key, second_key);
    change_key(*state, second_key, none);
    change_key(*state, none, second_key);
}

static void a_log_does_not_outlive_the_opening_that_changes_the_key(void **state) {
    velocity_options o = options_with(first_key);
    velocity *db = open_with(*state, &o);
    fill(db, 0, 20); /* the log alone holds it */
    OK(velocity_close(db));
    assert_int_equal(files_ending(*state, ".sst", NULL), 0);
    o.old_encryption_keys = &first_key;
    o.old_encryption_key_count = 1;
    o.encryption_key = second_key;
    db = open_with(*state, &o);
    assert_int_equal(old_files(db), 0);
    OK(velocity_close(db));
    o = options_with(second_key);
    db = open_with(*state, &o);
    expect_filled(db, 20);
    OK(velocity_close(db));
}

static void where_encryption_is_required_no_other_file_is_believed(void **state) {
    velocity_options plain = options_with(velocity_bytes(NULL, 0)), o = options_with(first_key);
    velocity *db;
    make(*state, &plain);
    o.encryption_required = true;
    FAILS(VELOCITY_INVALID, "encryption_required", velocity_open(*state, &o, &db));
    plain.encryption_required = true;
    FAILS(VELOCITY_INVALID, "needs a key", velocity_open(*state, &plain, &db));
    change_key(*state, velocity_bytes(NULL, 0), first_key);
    db = open_with(*state, &o);
    expect_filled(db, 320);
    OK(velocity_close(db));
}

static void a_passphrase_is_as_good_as_a_key_and_can_be_changed(void **state) {
    velocity_options o = options_with(velocity_bytes(NULL, 0));
    velocity *db;
    velocity_slice old = velocity_str("correct horse battery staple");
    o.encryption_passphrase = old;
    make(*state, &o);
    o.encryption_passphrase = velocity_str("correct horse battery stapler");
    FAILS(VELOCITY_INVALID, "none of the keys given", velocity_open(*state, &o, &db));
    o.old_encryption_passphrases = &old;
    o.old_encryption_passphrase_count = 1;
    db = open_with(*state, &o);
    expect_filled(db, 320);
    OK(velocity_compact(db, NULL));
    assert_int_equal(old_files(db), 0);
    OK(velocity_close(db));
    o.old_encryption_passphrase_count = 0;
    db = open_with(*state, &o);
    expect_filled(db, 320);
    OK(velocity_close(db));
}

static void a_key_file_holds_32_bytes_or_64_digits_and_is_not_for_everybody(void **state) {
    const char *path = path_in(*state, "key");
    uint8_t key[32];
    static const char digits[] = "00ff1234567890abcdefABCDEF0000000000000000000000000000000000007e\r\n";
    file_replace(path, first_key.data, 32);
    assert_int_equal(chmod(path, 0640), 0);
    OK(velocity_key_from_file(path, key));
    assert_memory_equal(key, first_key.data, 32);
    for (size_t size = 64; size <= 66; size++) {
        if (size == 65) continue; /* a lone carriage return */
        file_replace(path, digits, size);
        OK(velocity_key_from_file(path, key));
        assert_true(key[0] == 0 && key[1] == 0xff && key[12] == 0xef && key[31] == 0x7e);
    }
    static const size_t sizes[] = {0, 31, 33, 63};
    for (size_t i = 0; i < 4; i++) {
        file_replace(path, digits, sizes[i]);
        FAILS(VELOCITY_INVALID, path, velocity_key_from_file(path, key));
    }
    file_replace(path, "00ff1234567890abcdefABCDEF000000000000000000000000000000000000g0", 64);
    FAILS(VELOCITY_INVALID, path, velocity_key_from_file(path, key));
    file_replace(path, first_key.data, 32);
    assert_int_equal(chmod(path, 0644), 0);
    FAILS(VELOCITY_INVALID, "chmod", velocity_key_from_file(path, key));
    FAILS(VELOCITY_NOT_FOUND, "nowhere", velocity_key_from_file(path_in(*state, "nowhere"), key));
}

/* ---- what is on disk ------------------------------------------------------------------------------------------------
 */

static bool contains(const uint8_t *bytes, size_t size, const char *text) {
    return memmem(bytes, size, text, strlen(text)) != NULL;
}

static size_t files_with_plaintext(const char *folder) {
    size_t found = 0, size;
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    for (struct dirent *e; (e = readdir(directory));) {
        if (e->d_name[0] == '.') continue;
        uint8_t *bytes = file_bytes(path_in(folder, e->d_name), &size);
        found += contains(bytes, size, "PLAINTEXT") || contains(bytes, size, "first key");
        free(bytes);
    }
    (void)closedir(directory);
    return found;
}

static void no_key_and_no_value_stands_in_any_file(void **state) {
    for (int round = 0; round < 3; round++) {
        velocity_options o = options_with(round ? first_key : velocity_bytes(NULL, 0));
        if (round == 1) o.compression = VELOCITY_COMPRESSION_NONE; /* nothing else hides it */
        if (round == 2) o.durability = VELOCITY_DURABILITY_ALWAYS;
        char folder[64];
        (void)snprintf(folder, sizeof folder, "%s/%d", (const char *)*state, round);
        make(folder, &o);
        velocity *db = open_with(folder, &o); /* also while it is open, with a memtable that was recovered */
        fill(db, 0, 30);
        if (round)
            assert_int_equal(files_with_plaintext(folder), 0);
        else
            assert_true(files_with_plaintext(folder) >= 2); /* the test can see */
        OK(velocity_close(db));
        if (round) assert_int_equal(files_with_plaintext(folder), 0);
    }
}

static void equal_files_of_equal_databases_share_nothing(void **state) {
    velocity_options o = options_with(first_key);
    char name[64];
    uint8_t *bytes[2];
    size_t size[2];
    for (int i = 0; i < 2; i++) {
        char folder[64];
        (void)snprintf(folder, sizeof folder, "%s/%d", (const char *)*state, i);
        make(folder, &o);
        assert_true(files_ending(folder, ".sst", name) > 0);
        bytes[i] = file_bytes(path_in(folder, name), &size[i]);
    }
    size_t shared = 0, least = (size[0] < size[1] ? size[0] : size[1]) - 1024;
    for (size_t at = FILE_HEADER_BYTES; at + 16 <= least; at += 16)
        shared += memcmp(bytes[0] + at, bytes[1] + at, 16) == 0;
    assert_int_equal(shared, 0);
    free(bytes[0]);
    free(bytes[1]);
}

/* ---- tampering: as somebody would who computes the checksums anew ---------------------------------------------------
 */

static void opening_or_reading_is_corrupt(const char *folder, const char *file) {
    velocity_options o = options_with(first_key);
    velocity *db;
    velocity_status status = velocity_open(folder, &o, &db);
    if (!status) {
        velocity_iterator *it = velocity_iterator_new(db, NULL);
        while (velocity_iterator_valid(it)) velocity_iterator_next(it);
        status = velocity_iterator_status(it);
        velocity_iterator_free(it);
        OK(velocity_close(db));
    }
    assert_int_equal(status, VELOCITY_CORRUPT);
    assert_non_null(strstr(velocity_error_message(), file));
}

struct victim {
    char name[64];
    uint8_t *bytes;
    size_t size;
    uint64_t seed;
};

static struct victim choose(const char *folder, const char *suffix, enum file_kind kind) {
    struct victim v;
    struct file_header header;
    files_sorted(folder, suffix, 0, v.name);
    v.bytes = file_bytes(path_in(folder, v.name), &v.size);
    OK(file_header_parse(v.bytes, v.size, kind, v.name, &header));
    v.seed = file_seed(&header);
    return v;
}

static void tampered(const char *folder, struct victim *v, size_t at, void (*mend)(struct victim *)) {
    v->bytes[at] ^= 4;
    mend(v);
    file_replace(path_in(folder, v->name), v->bytes, v->size);
    opening_or_reading_is_corrupt(folder, v->name);
    v->bytes[at] ^= 4;
    mend(v);
    file_replace(path_in(folder, v->name), v->bytes, v->size);
}

static void mend_header(struct victim *v) {
    put_u32(v->bytes + 124, crc32c(0, v->bytes, 124));
}

static void mend_footer(struct victim *v) {
    size_t at = v->size - TABLE_FOOTER_BYTES;
    put_u32(v->bytes + at + FOOTER_CHECKSUM, file_block_checksum(v->seed, at, v->bytes + at, FOOTER_CHECKSUM));
}

/* Of the top index: the footer tells where it is. */
static void mend_top(struct victim *v) {
    const uint8_t *slot = v->bytes + v->size - TABLE_FOOTER_BYTES + FOOTER_SLOTS + SLOT_TOP_INDEX * 16;
    uint64_t at = get_u64(slot), bytes = get_u64(slot + 8);
    uint8_t *trailer = v->bytes + at + bytes;
    uint32_t checksum = file_block_checksum(v->seed, at, v->bytes + at, bytes);
    put_u32(trailer + 5, file_block_checksum(checksum, at, trailer, 5));
}

static void mend_group(struct victim *v) {
    uint8_t *group = v->bytes + FILE_HEADER_BYTES;
    put_u64(group, log_group_checksum(v->seed, group, get_u32(group + GROUP_PAYLOAD_BYTES)));
}

static void a_table_that_was_tampered_with_is_corrupt_though_all_checksums_are_right(void **state) {
    velocity_options o = options_with(first_key);
    make(*state, &o);
    struct victim v = choose(*state, ".sst", FILE_TABLE);
    tampered(*state, &v, 72, mend_header);  /* salt */
    tampered(*state, &v, 104, mend_header); /* time */
    size_t footer = v.size - TABLE_FOOTER_BYTES;
    for (size_t field = FOOTER_ENTRIES; field < FOOTER_FILTER_PROBES; field += 8)
        tampered(*state, &v, footer + field, mend_footer);
    tampered(*state, &v, footer + FOOTER_TAG, mend_footer);
    uint64_t top = get_u64(v.bytes + footer + FOOTER_SLOTS), bytes = get_u64(v.bytes + footer + FOOTER_SLOTS + 8);
    tampered(*state, &v, top, mend_top);
    tampered(*state, &v, top + bytes - 1, mend_top);
    free(v.bytes);
    velocity *db = open_with(*state, &o);
    expect_filled(db, 320);
    OK(velocity_close(db));
}

static void a_log_that_was_tampered_with_is_corrupt_though_its_checksum_is_right(void **state) {
    velocity_options o = options_with(first_key);
    velocity *db = open_with(*state, &o);
    fill(db, 0, 20);
    OK(velocity_close(db));
    struct victim v = choose(*state, ".log", FILE_LOG);
    static const size_t fields[] = {GROUP_COUNT, GROUP_WALL_MS, GROUP_SYNCED_THROUGH};
    for (size_t i = 0; i < 3; i++) tampered(*state, &v, FILE_HEADER_BYTES + fields[i], mend_group);
    for (size_t i = 0; i < 40; i += 5) tampered(*state, &v, FILE_HEADER_BYTES + GROUP_HEADER_END + i, mend_group);
    free(v.bytes);
    db = open_with(*state, &o);
    expect_filled(db, 20);
    OK(velocity_close(db));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(another_key_or_none_is_refused_by_name_and_harms_nothing),
        TEST_IN_FOLDER(a_key_of_another_size_is_refused),
        TEST_IN_FOLDER(compaction_carries_a_database_from_key_to_key_and_to_none),
        TEST_IN_FOLDER(a_log_does_not_outlive_the_opening_that_changes_the_key),
        TEST_IN_FOLDER(where_encryption_is_required_no_other_file_is_believed),
        TEST_IN_FOLDER(a_passphrase_is_as_good_as_a_key_and_can_be_changed),
        TEST_IN_FOLDER(a_key_file_holds_32_bytes_or_64_digits_and_is_not_for_everybody),
        TEST_IN_FOLDER(no_key_and_no_value_stands_in_any_file),
        TEST_IN_FOLDER(equal_files_of_equal_databases_share_nothing),
        TEST_IN_FOLDER(a_table_that_was_tampered_with_is_corrupt_though_all_checksums_are_right),
        TEST_IN_FOLDER(a_log_that_was_tampered_with_is_corrupt_though_its_checksum_is_right),
    };
    return cmocka_run_group_tests_name("encryption", tests, NULL, NULL);
}
