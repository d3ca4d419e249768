/* format_values.c - value files by FORMAT.md. See format_reader.h. */
#include "format_reader.h"

#include "testing.h"

#include <lz4.h>
#include <zstd.h>

/* The bytes of the record at `at`, as it is stored, after all checks. */
static uint64_t record_bytes_at(const struct format_values *file, uint64_t at) {
    const uint8_t *r = file->data + at;
    assert_true(at + 40 <= file->file_bytes);
    uint64_t body = format_number(r + 10, 2) + format_number(r + 16, 4);
    assert_true(at + 40 + body <= file->file_bytes);
    uint32_t first = format_checksum(file->seed, at, r + 8, 32);
    assert_int_equal(format_number(r, 4), first);
    assert_int_equal(format_number(r + 4, 4), format_checksum(first, at, r + 40, body));
    assert_true(r[8] <= 2 && r[9] == 0);
    if (r[8] == 0)
        assert_int_equal(format_number(r + 12, 4) + file->tag_bytes, format_number(r + 16, 4));
    else
        assert_true(format_number(r + 12, 4) + file->tag_bytes > format_number(r + 16, 4));
    return 40 + body;
}

void format_read_values(struct format_database *db, struct format_values *files, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct format_values *file = &files[i];
        char name[32];
        size_t size;
        (void)snprintf(name, sizeof name, "%08llu.val", (unsigned long long)file->number);
        file->seed = format_load(db, name, 4, &file->data, &size);
        assert_int_equal(size, file->file_bytes);
        assert_memory_equal(file->data + 40, file->uid, 16);
        uint64_t at = 128, records = 0;
        file->tag_bytes = db->encrypted ? 16 : 0;
        for (uint64_t bytes; at < file->file_bytes; records++, at += bytes) {
            bytes = record_bytes_at(file, at);
            (void)format_decrypt(db, at, file->data + at + 8, 12, file->data + at + 20, bytes - 20);
        }
        assert_int_equal(records, file->records);
        db->value_records += records;
    }
    db->value_files += count;
}

uint8_t *format_resolve(struct format_database *db, const struct format_entry *entry, size_t *size, uint64_t *number,
                        uint64_t *record_bytes) {
    struct format_bytes b = {entry->value, entry->value + entry->value_bytes};
    *number = format_varint(&b);
    uint64_t at = format_varint(&b), raw = format_varint(&b), stored = format_varint(&b);
    assert_ptr_equal(b.at, b.end);
    const struct format_values *file = NULL;
    for (size_t i = 0; i < db->value_count; i++)
        if (db->values[i].number == *number) file = &db->values[i];
    assert_non_null(file);
    assert_true(at >= 128);
    const uint8_t *r = file->data + at;
    *record_bytes = 40 + format_number(r + 10, 2) + format_number(r + 16, 4);
    assert_int_equal(format_number(r + 10, 2), entry->key_bytes);
    assert_memory_equal(r + 40, entry->key, entry->key_bytes);
    assert_true(format_number(r + 12, 4) == raw && format_number(r + 16, 4) == stored);
    assert_true(format_number(r + 20, 4) == entry->flags && format_number(r + 24, 8) == entry->sequence);
    assert_int_equal(format_number(r + 32, 8), entry->expires_at_ms);
    uint8_t *value = malloc(raw ? raw : 1);
    *size = raw;
    const char *from = (const char *)r + 40 + entry->key_bytes;
    stored -= file->tag_bytes;
    if (r[8] == 0)
        memcpy(value, from, raw);
    else if (r[8] == 1)
        assert_int_equal(LZ4_decompress_safe(from, (char *)value, (int)stored, (int)raw), raw);
    else
        assert_int_equal(ZSTD_decompress(value, raw, from, stored), raw);
    db->packed_values += r[8] > 0;
    db->references++;
    return value;
}
