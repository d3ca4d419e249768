/*
 * history.h - which logs hold the operations of the past: what change feeds and checkpoints read.
 *
 *   oldest                                                                newest
 *   | retained ... | sealed by the opening ... | filled ... | appended to |
 *   after --- operations, in the order of their sequences --- visible_sequence
 *
 * Invariants
 *  1. Every visible operation with a sequence > `after` is in a log of the list; numbers and sequences ascend in it.
 *  2. Logs leave at the old end alone: once recovery does not need them, and, with log_retention_bytes, once more than
 *     that is retained. Then `after` moves.
 *  3. The file of a log with readers is neither recycled nor removed: if it leaves, its last reader removes it.
 *  4. Before operations go to a new log it is in the list, and the one before has its end. So who first looks at
 *     visible_sequence and then at the list finds every log that holds something visible.
 *
 * Locks: `mutex` guards everything here; a leaf. No call to the system is made under it.
 */
#ifndef VELOCITY_HISTORY_H
#define VELOCITY_HISTORY_H

#include "log.h"

#define HISTORY_GROWS UINT64_MAX /* as `last` and `end` of the log that is appended to */

/* Readers note every so often how far they have come in a log, so that who comes later need not begin at its front. */
enum { HISTORY_MARKS = 64, HISTORY_MARK_BYTES = 256 * 1024 };

struct history_mark {
    uint64_t sequence, offset; /* groups behind `offset` have higher sequences */
};

struct history_log {
    uint64_t number;
    uint64_t after; /* its operations have higher sequences than this ... */
    uint64_t last;  /* ... and none has a higher one than this */
    uint64_t end;   /* its groups stand before it */
    bool retained;  /* recovery does not need it */
    bool old_key;   /* encrypted with another key than the present one: never retained */
    bool dropped;   /* it has left the list */
    uint32_t readers, holders;
    env_file *file;             /* what readers share; NULL: not open */
    char *path;                 /* valid with `file` */
    struct history_mark *marks; /* room for HISTORY_MARKS, ascending; NULL: none yet */
    uint32_t mark_count;
    bool identified;
    struct log_identity identity; /* valid if `identified`; owns its cipher */
};

struct log_history {
    env_mutex mutex;
    struct history_log **logs; /* oldest first */
    size_t count, capacity;
    struct history_log *spare; /* for the next log, so that using it can't fail */
    uint64_t after;
    uint64_t retained_bytes;
};

/* A log that is held for reading, as it was then. */
struct history_pin {
    struct history_log *log;
    uint64_t number, after, last, end;
    uint64_t begin; /* history_pin: a group that begins here or behind holds what follows the position */
};

void history_init(struct log_history *h);
void history_clear(struct log_history *h); /* nothing may be pinned */

/* ---- as logs come and go: the leader, recovery, whoever retires logs --------------------------------------------- */

/* Room for one more log. */
VELOCITY_CHECK_RESULT velocity_status history_reserve(struct log_history *h);
/* Needs history_reserve. Ends the newest one, if it grows, at `end` and with sequence log->after. */
void history_add(struct log_history *h, const struct history_log *log, uint64_t end);

/* Recovery does not need the log any more. It is retained if `limit_bytes` is not 0, else it leaves. True: nothing
 * needs its file. */
bool history_release(struct log_history *h, uint64_t number, uint64_t limit_bytes);
/* The oldest retained log leaves, if more than the limit is retained; *number is its number. False: nothing to do.
 * *removable: nobody reads it, the caller removes the file. */
bool history_shrink(struct log_history *h, uint64_t limit_bytes, uint64_t *number, bool *removable);
/* What a manifest must name: the retained logs (if `all`) and, those below min_log, that are about to be. For env_free.
 */
struct log_retained;
VELOCITY_CHECK_RESULT velocity_status history_list_retained(struct log_history *h, uint64_t min_log, bool all,
                                                            struct log_retained **out, size_t *count);
bool history_holds(struct log_history *h, uint64_t number);

/* ---- reading ------------------------------------------------------------------------------------------------------
 */

struct velocity;
/* The log that goes on behind `position`. HISTORY_GONE: it has left. */
VELOCITY_CHECK_RESULT velocity_status history_pin(struct velocity *db, uint64_t position, struct history_pin *out);
/* All logs from the number on, oldest first; *out is for env_free once each is unpinned. */
VELOCITY_CHECK_RESULT velocity_status history_pin_from(struct velocity *db, uint64_t number, struct history_pin **out,
                                                       size_t *count);
/* Has the pinned log's file open: log->file and ->path are valid until it is unpinned, ->identity while it is held,
 * too.
 */
VELOCITY_CHECK_RESULT velocity_status history_open(struct velocity *db, struct history_pin *pin);
void history_unpin(struct velocity *db, struct history_pin *pin);
/* A reader of the pinned log: the groups before `offset` end with `sequence`. */
void history_mark(struct velocity *db, struct history_log *log, uint64_t sequence, uint64_t offset);
/* Keeps a pinned log's identity beyond the pin, not its file. */
void history_hold(struct velocity *db, struct history_log *log);
void history_let_go(struct velocity *db, struct history_log *log); /* NULL is allowed */
/* Whether everything behind `since` is there: OK or HISTORY_GONE. */
VELOCITY_CHECK_RESULT velocity_status history_reaches(struct velocity *db, uint64_t since);
/* Everything with a higher sequence is there. */
uint64_t history_after(struct log_history *h);
uint64_t history_retained_bytes(struct log_history *h);

#endif
