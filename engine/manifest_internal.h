/* manifest_internal.h - what manifest.c, which writes the manifest, and manifest_load.c share: how a record looks. */
#ifndef VELOCITY_MANIFEST_INTERNAL_H
#define VELOCITY_MANIFEST_INTERNAL_H

#include "manifest.h"

enum { MANIFEST_RECORD_HEADER_BYTES = 8 };

/* The tags of a record's fields. Numbers are part of the format. A reader that meets one it does not know refuses. */
enum manifest_tag {
    TAG_NEXT_NUMBER = 1,
    TAG_MIN_LOG = 2,
    TAG_LAST_SEQUENCE = 3,
    TAG_LOG_SEAL = 4,
    TAG_ADD_TABLE = 5,
    TAG_REMOVE_TABLE = 6,
    TAG_RESUME_SEQUENCE = 7,
    TAG_START_LOG = 8,
    TAG_CLOCK = 9,
    TAG_ADD_VALUES = 10,
    TAG_REMOVE_VALUES = 11,
    TAG_WEAK_WRITES = 12,
    TAG_LOG_RETAINED = 13,
};

/* A record's payload as a message to encrypt: bound to its size. */
static inline struct cipher_place manifest_record_place(const uint8_t *record, uint64_t at) {
    struct cipher_place place = {at, record, 4};
    return place;
}

#endif
