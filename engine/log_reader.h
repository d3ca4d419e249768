/*
 * log_reader.h - reads single commit groups of a segment, beside its appender: for change feeds and checkpoints.
 *
 * A group counts only if it is whole and its checksum is right, so a reader that comes too early sees nothing rather
 * than a part. What is read is copied first and checked then: nothing of the file is trusted twice. Which groups are
 * committed the caller must know (visible_sequence). One thread at a time for a reader. Bytes: FORMAT.md, "Log".
 */
#ifndef VELOCITY_LOG_READER_H
#define VELOCITY_LOG_READER_H

#include "log.h"

struct log_reader {
    /* Borrowed; file and path are needed by log_reader_fetch alone: */
    env_file *file;
    const char *path;             /* for messages */
    struct log_identity identity; /* of the segment from which the buffer was filled */
    /* Its own: a part of the file, beginning at buffer_offset. */
    uint8_t *buffer;
    size_t capacity, filled;
    uint64_t buffer_offset;
};

/* Opens a segment and reads its identity, whose cipher is the caller's. CORRUPT: its header is damaged or of another
 * file. INVALID: it is encrypted with a key that is not in the ring. */
VELOCITY_CHECK_RESULT velocity_status log_open_read(env *e, const char *path, const uint64_t database_id[2],
                                                    const key_ring *keys, uint64_t number, env_file **file,
                                                    struct log_identity *out);

/* The group at `offset`, if it is whole in what was read before. */
bool log_reader_peek(const struct log_reader *r, uint64_t offset, struct log_group *out);
/* Reads about `bytes`, but the whole group in any case. CORRUPT: no valid group begins at `offset` and ends at `end`
 * or before it (UINT64_MAX: the end of the file). */
VELOCITY_CHECK_RESULT velocity_status log_reader_fetch(struct log_reader *r, uint64_t offset, uint64_t end,
                                                       size_t bytes, struct log_group *out);
/* The operations of the group that was found at `offset`, until the next fetch or forget. Once for each group: it is
 * decrypted in place. */
VELOCITY_CHECK_RESULT velocity_status log_reader_open(struct log_reader *r, uint64_t offset,
                                                      const struct log_group *group, velocity_slice *payload);
/* Gives the memory back. */
void log_reader_forget(struct log_reader *r);

#endif
