/*
 * audit_queue.h - events that wait to be written, packed one after the other into memory that is there beforehand:
 *
 *     | time_ms | status | sizes of 9 texts | hash_key | user, login, ... detail, without NULs | padding to 8 |
 *
 * An arena is address space of its full size; only what was used of it is memory. So putting never fails for who has
 * reserved room: AUDIT_EVENT_MAX_BYTES for each event.
 *
 * Threads: the caller's lock.
 */
#ifndef VELOCITY_SERVER_AUDIT_QUEUE_H
#define VELOCITY_SERVER_AUDIT_QUEUE_H

#include "server/audit.h"

#define AUDIT_TEXT_MAX_BYTES 1024
#define AUDIT_KEY_MAX_BYTES  16384

enum audit_queued_text {
    AUDIT_QUEUED_USER,
    AUDIT_QUEUED_LOGIN,
    AUDIT_QUEUED_LOGIN_ID,
    AUDIT_QUEUED_ADDRESS,
    AUDIT_QUEUED_ACTION,
    AUDIT_QUEUED_DATABASE,
    AUDIT_QUEUED_KEY,
    AUDIT_QUEUED_REQUEST_ID,
    AUDIT_QUEUED_DETAIL,
    AUDIT_QUEUED_TEXTS
};

/* An event whose texts are measured and cut, but still the caller's, or the arena's. */
struct audit_queued {
    int64_t time_ms;
    uint32_t status;
    bool hash_key; /* the key is to be stored as its hash */
    velocity_slice texts[AUDIT_QUEUED_TEXTS];
};
/* Cuts long texts, between two characters where it is UTF-8. */
void audit_queued_measure(struct audit_queued *queued, const struct audit_event *event, bool hash_key);

/* What one event takes at most. */
#define AUDIT_EVENT_MAX_BYTES (64 + (AUDIT_QUEUED_TEXTS - 1) * AUDIT_TEXT_MAX_BYTES + AUDIT_KEY_MAX_BYTES)

struct audit_arena {
    char *bytes;
    size_t capacity, used;
    uint32_t count;
};

VELOCITY_CHECK_RESULT bool audit_arena_init(struct audit_arena *arena, size_t capacity); /* false: no memory */
void audit_arena_destroy(struct audit_arena *arena);
/* Copies. There must be room for it. */
void audit_arena_put(struct audit_arena *arena, const struct audit_queued *queued);
/* Reads the event at *at, from 0, and moves *at behind it; false at the end. Texts live as long as the arena's. */
bool audit_arena_next(const struct audit_arena *arena, size_t *at, struct audit_queued *queued);
/* Empty again; gives memory back if it was much. */
void audit_arena_clear(struct audit_arena *arena);

#endif
