/*
 * entry.h - one version of one key, as it travels between write buffer, tables and iterators.
 */
#ifndef VELOCITY_ENTRY_H
#define VELOCITY_ENTRY_H

#include "velocity.h"

/* The kinds of operation, in the log and in tables. Numbers are part of the format (FORMAT.md): never reused. */
enum entry_kind {
    ENTRY_PUT = 1,
    ENTRY_DELETE = 2,
    ENTRY_RANGE_DELETE = 3,    /* key is the start, value the exclusive end; of its own key it is a delete */
    ENTRY_VALUE_REFERENCE = 4, /* in tables alone: a put whose value stands in a value file (value_format.h) */
};

struct entry {
    velocity_slice key;
    velocity_slice value; /* empty for ENTRY_DELETE */
    uint64_t sequence;
    int64_t expires_at_ms; /* 0: never */
    uint32_t flags;
    uint8_t kind; /* enum entry_kind */
};

static inline bool entry_is_delete(const struct entry *e) {
    return e->kind == ENTRY_DELETE || e->kind == ENTRY_RANGE_DELETE;
}

#endif
