/*
 * clock.h - the time that a database lives by: the later of the wall clock and a high-water mark, so that it never runs
 * backward and what has expired never comes back when the wall clock is set back.
 *
 * The mark outlives the process: each commit group holds the time of its commit, each manifest record that of its
 * writing, and opening raises the mark to the latest of those that count. So a process that dies takes with it at most
 * the time that has passed since its last write, and only if the wall clock is set back meanwhile does that show; an
 * orderly close loses nothing. A wall clock that was once far ahead leaves the mark there: what would have expired
 * until then has expired.
 *
 * Any thread; no lock.
 */
#ifndef VELOCITY_CLOCK_H
#define VELOCITY_CLOCK_H

#include "env.h"

struct clock {
    env *env;
    _Atomic uint64_t high_ms;
    _Atomic bool shown; /* somebody was told the time, or that something has expired: closing has to keep the mark */
};

void clock_init(struct clock *c, env *e);
/* Milliseconds since 1970. Never less than what it, or clock_raise, had before on any thread. */
uint64_t clock_now(struct clock *c);
/* The same; closing will keep it. */
uint64_t clock_tell(struct clock *c);
/* Time has come this far already. */
void clock_raise(struct clock *c, uint64_t ms);
/* As below, of something that expires at some time. */
bool clock_has_passed(struct clock *c, int64_t expires_at_ms, uint64_t *now_ms);

/* Whether something that expires then (0: never) is over for a reader whose time is *now_ms; 0 there: the present,
 * which is filled in when it is first needed. What never expires costs no look at the clock. */
static inline bool clock_is_over(struct clock *c, int64_t expires_at_ms, uint64_t *now_ms) {
    return __builtin_expect(expires_at_ms != 0, 0) && clock_has_passed(c, expires_at_ms, now_ms);
}

#endif
