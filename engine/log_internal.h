/* log_internal.h - where the fields of a group header stand: for log.c and log_replay.c. */
#ifndef VELOCITY_LOG_INTERNAL_H
#define VELOCITY_LOG_INTERNAL_H

#include "cipher.h"

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

/* The group's payload as a message to encrypt: bound to everything in the header but the checksum, which is of the
 * encrypted bytes. */
static inline struct cipher_place log_group_place(const uint8_t *group, uint64_t position) {
    struct cipher_place place = {position, group + GROUP_PAYLOAD_BYTES, GROUP_HEADER_END - GROUP_PAYLOAD_BYTES};
    return place;
}

/* Of the group at `group`, over everything behind the checksum. */
uint64_t log_group_checksum(uint64_t seed, const uint8_t *group, uint64_t payload_bytes);

#endif
