/*
 * format_reader.h - reads a database's files by engine/FORMAT.md alone: it shares no line with the engine, so that what
 * the page says and what the engine writes are held against each other. Every check that the page names fails the test.
 */
#ifndef VELOCITY_FORMAT_READER_H
#define VELOCITY_FORMAT_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct format_entry {
    uint8_t *key, *value;
    size_t key_bytes, value_bytes;
    uint64_t sequence;
    int64_t expires_at_ms;
    uint32_t flags;
    uint8_t kind;
    size_t order; /* in which it was read */
};

struct format_database {
    const char *folder;
    uint8_t id[16];
    /* All entries of tables and logs; after format_read sorted by key, newest first. */
    struct format_entry *entries;
    size_t count, capacity;
    struct format_values *values; /* the manifest's value files, while reading */
    size_t value_count;
    /* What was met, so that a test knows that it tested something. */
    size_t value_files, value_records, packed_values, references;
    size_t tables, data_blocks, wide_blocks, lz4_blocks, zstd_blocks, index_blocks, filter_partitions, groups,
        sealed_logs, records, expiry_buckets, retained_logs, range_deletes, range_blocks;
    uint64_t table_entries, retained_operations;
    uint64_t clock_ms, group_ms; /* the latest time that counts; that of the last group */
    size_t encrypted_files;
    bool encrypted; /* the file that was loaded last, with: */
    uint8_t file_key[32];
};

extern const uint8_t *format_master_key; /* of 32 bytes; NULL: no file may be encrypted */
/* Reads CURRENT, manifest, tables and logs; asserts whatever FORMAT.md promises. */
void format_read(struct format_database *db, const char *folder);
void format_free(struct format_database *db);

/* ---- shared by its files ----------------------------------------------------------------------------------- */

struct format_bytes {
    const uint8_t *at, *end;
};
uint64_t format_number(const uint8_t *from, int bytes);
uint64_t format_varint(struct format_bytes *b);
const uint8_t *format_take(struct format_bytes *b, uint64_t bytes);
uint32_t format_checksum(uint64_t seed, uint64_t offset, const uint8_t *data, size_t size);
/* Loads the file and checks its header; answers its seed. *data is for free(). */
uint64_t format_load(struct format_database *db, const char *name, int kind, uint8_t **data, size_t *size);
/* Of a file's header: with what its messages are encrypted. */
void format_take_key(struct format_database *db, const uint8_t *header);
/* Decrypts a message of the file that was loaded last in place, if it is encrypted; its size then. */
uint64_t format_decrypt(struct format_database *db, uint64_t offset, const uint8_t *bound, size_t bound_bytes,
                        uint8_t *message, uint64_t size);
/* A new entry, copied. Kinds are those of the page, and range deletes are ranges. */
void format_add(struct format_database *db, const uint8_t *key, size_t key_bytes, const uint8_t *value,
                size_t value_bytes, uint64_t sequence, uint32_t flags, uint8_t kind);
/* Of the entry that was added last. */
void format_expires(struct format_database *db, int64_t at_ms);

struct format_table {
    uint64_t level, number, file_bytes, raw_bytes, entries, tombstones, min_sequence, max_sequence;
    const uint8_t *uid, *smallest, *largest, *uses;
    size_t smallest_bytes, largest_bytes, uses_bytes;
    bool one_version;
};
void format_read_table(struct format_database *db, const struct format_table *table);

struct format_values { /* a value file */
    uint64_t number, file_bytes, records, seed;
    const uint8_t *uid;
    uint8_t *data;      /* for free() */
    uint64_t used;      /* by the tables read so far */
    uint64_t tag_bytes; /* of each record, if they are encrypted */
};
/* Loads the files, walks their records and decrypts them. */
void format_read_values(struct format_database *db, struct format_values *files, size_t count);
/* What the reference names, for free(); *record_bytes: what its record takes. Checks it against the entry. */
uint8_t *format_resolve(struct format_database *db, const struct format_entry *entry, size_t *size, uint64_t *number,
                        uint64_t *record_bytes);

#endif
