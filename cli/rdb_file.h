/*
 * rdb_file.h - what a Redis dump is made of: integers, lengths and strings, read one after another. Source: the
 * comments of Redis's rdb.h.
 *
 * Lengths are checked against what the file still holds before anything is allocated, and the checksum goes over all
 * that was read. Functions answer false where the dump is damaged: the message says at which byte, and it stays so.
 */
#ifndef VELOCITY_CLI_RDB_FILE_H
#define VELOCITY_CLI_RDB_FILE_H

#include "engine/velocity.h"

#include <stdio.h>

struct rdb_file {
    FILE *file;
    uint64_t offset, size;
    uint64_t checksum; /* of what stands before the offset */
    bool failed;
    char *message; /* ROWS_MESSAGE_BYTES of room */
};

struct rdb_bytes {
    uint8_t *data; /* whoever has it frees it */
    size_t size, capacity;
};

/* Answers false. */
bool rdb_fail(struct rdb_file *file, const char *why);
bool rdb_read(struct rdb_file *file, void *out, size_t size);
bool rdb_read_little(struct rdb_file *file, size_t bytes, uint64_t *out);
bool rdb_read_length(struct rdb_file *file, uint64_t *out);
/* However it is written: an integer as its digits, what is compressed as it was. */
bool rdb_read_string(struct rdb_file *file, struct rdb_bytes *out);
bool rdb_skip(struct rdb_file *file, uint64_t bytes);
bool rdb_skip_lengths(struct rdb_file *file, int count);

#endif
