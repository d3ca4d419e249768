/* log_internal.h - what log.c, log_replay.c and log_salvage.c share: a group header's fields, a segment in memory. */
#ifndef VELOCITY_LOG_INTERNAL_H
#define VELOCITY_LOG_INTERNAL_H

#include "cipher.h"
#include "log.h"

enum log_group_field {
    GROUP_CHECKSUM = 0,
    GROUP_PAYLOAD_BYTES = 8,
    GROUP_COUNT = 12,
    GROUP_DATABASE_ID = 16,
    GROUP_LOG_NUMBER = 24,
    GROUP_POSITION = 32,
    GROUP_FIRST_SEQUENCE = 40,
    GROUP_WALL_MS = 48,
    GROUP_SYNCED_THROUGH = 56,
    GROUP_HEADER_END = 64,
};

/* Kind, two sizes, a key of one byte. */
#define LOG_OPERATION_LEAST_BYTES 4u

/* The group's payload as a message to encrypt: bound to everything in the header but the checksum, which is of the
 * encrypted bytes. */
static inline struct cipher_place log_group_place(const uint8_t *group, uint64_t position) {
    struct cipher_place place = {position, group + GROUP_PAYLOAD_BYTES, GROUP_HEADER_END - GROUP_PAYLOAD_BYTES};
    return place;
}

/* Of the group at `group`, over everything behind the checksum. */
uint64_t log_group_checksum(uint64_t seed, const uint8_t *group, uint64_t payload_bytes);

/* A segment, whole in memory: they are bounded (SEGMENT_MAX_BYTES, or one large group). */
struct segment_bytes {
    char *path;
    uint8_t *data;
    uint64_t size;
    struct log_identity identity;
    bool old_key;
    bool never_used; /* its header was never completed, so no group can have been written behind it, or a crash came
                        while it was recycled: it had a higher number already, but not yet the name */
    uint64_t hashed_in_vain; /* bytes of what looked like groups, and had not their checksums */
};

VELOCITY_CHECK_RESULT velocity_status segment_read(const struct log_replay *replay, uint64_t number,
                                                   struct segment_bytes *s);
void segment_free(struct segment_bytes *s);
/* Whether a valid group begins at `at`. */
bool segment_group_at(struct segment_bytes *s, uint64_t at, struct log_group *out);
/*
 * Groups do not overlap: hashing those that were damaged takes about as many bytes as the segment has, or some times as
 * many where a crash tore headers, so that they tell wrong sizes. A segment that takes far more was made to cost time.
 * No more of it is looked at then, and what is missing in it counts as damage.
 */
bool segment_is_forged(const struct segment_bytes *s);
/* CORRUPT, with a message that says so; what counts ends at `at`. */
VELOCITY_CHECK_RESULT velocity_status segment_forged(const struct segment_bytes *s, uint64_t at);
/* Hands a valid group on, decrypted in place if need be. CORRUPT: its operations make no sense. */
VELOCITY_CHECK_RESULT velocity_status segment_apply(const struct log_replay *replay, const struct segment_bytes *s,
                                                    uint64_t at, struct log_group group);
/* The highest synced_through of the groups from *at on, up to the first that has at least `enough`: there *at is
 * afterwards, or at the end. UINT64_MAX where the segment is forged. */
uint64_t segment_synced_through(struct segment_bytes *s, uint64_t *at, uint64_t enough);

#endif
