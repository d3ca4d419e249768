/*
 * audit_refusals.h - how many rows what was refused may have. Being refused costs nothing, so somebody could go on with
 * it until everyone else's rows have left a log of limited size.
 *
 * A source is a user, or the address of somebody who is none. Each may have AUDIT_REFUSALS_AT_ONCE rows at once and one
 * a second from then on; all users together and all strangers together have limits of their own, for addresses are
 * cheap. What is beyond is counted, and told later in one row a source.
 *
 * A bucket is that of rate_limit.h: the time at which it will be full again. Sources beyond AUDIT_REFUSAL_SOURCES that
 * are at it together share what their group has, and are counted together.
 *
 * Threads: the caller's lock. Times are milliseconds of the monotonic clock, but for `wall_ms`.
 */
#ifndef VELOCITY_SERVER_AUDIT_REFUSALS_H
#define VELOCITY_SERVER_AUDIT_REFUSALS_H

#include <stdbool.h>
#include <stdint.h>

#define AUDIT_REFUSALS_AT_ONCE   60
#define AUDIT_REFUSAL_SOURCES    64
#define AUDIT_REFUSAL_NAME_BYTES 65 /* a user's name has 64; longer ones are cut */

/* Events without a row. */
struct audit_gap {
    uint64_t lost;
    int64_t first_ms, last_ms; /* wall clock */
};
void audit_gap_add(struct audit_gap *gap, int64_t wall_ms);
#define AUDIT_GAP_DETAIL_BYTES 128
/* "events=3 from_ms=... to_ms=..." */
void audit_gap_format(const struct audit_gap *gap, char out[AUDIT_GAP_DETAIL_BYTES]);

struct audit_refusal_source {
    char name[AUDIT_REFUSAL_NAME_BYTES]; /* "": the group itself */
    int64_t full_at_ms;
    struct audit_gap left_out;
};

struct audit_refusal_group {
    struct audit_refusal_source all; /* their bucket, and what was left out of those without a place */
    struct audit_refusal_source sources[AUDIT_REFUSAL_SOURCES];
};

/* All zero: nothing was refused yet. */
struct audit_refusals {
    struct audit_refusal_group users, strangers;
    int64_t tell_at_ms; /* when to tell what was left out; 0: nothing was */
};

/* May it have a row? `user` "" or NULL: a stranger at `address`. */
bool audit_refusals_admit(struct audit_refusals *refusals, const char *user, const char *address, int64_t now_ms);
void audit_refusals_leave_out(struct audit_refusals *refusals, const char *user, const char *address, int64_t now_ms,
                              int64_t wall_ms);

struct audit_left_out {
    char user[AUDIT_REFUSAL_NAME_BYTES], address[AUDIT_REFUSAL_NAME_BYTES]; /* one of them, or none: several */
    struct audit_gap gap;
};
/* One of those of whom something was left out, which counts from 0 again. False: there is none. */
bool audit_refusals_take(struct audit_refusals *refusals, struct audit_left_out *out);

#endif
