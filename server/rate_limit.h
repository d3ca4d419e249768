/*
 * rate_limit.h - a token bucket in one word: the generic cell rate algorithm (ITU-T I.371, "virtual scheduling").
 *
 * A bucket holds the time at which it will be full again. A request moves it on by 1/rate, and is refused where that
 * would be more than a second ahead: so a second's worth may come at once, and then `rate` a second.
 *
 * Threads: any, without a lock.
 */
#ifndef VELOCITY_SERVER_RATE_LIMIT_H
#define VELOCITY_SERVER_RATE_LIMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* All zero is a full bucket. */
struct rate_bucket {
    _Atomic uint64_t full_at_ns;
};

struct rate_answer {
    uint64_t limit;          /* requests a second; 0: there is no limit, and the rest means nothing */
    uint64_t remaining;      /* that may come at once */
    uint32_t reset_seconds;  /* until it is full again, rounded up */
    uint32_t retry_after_ms; /* refused: when to try again; else 0 */
};

/* Takes one. per_second 0: no limit, always true. `now_ns` is monotonic. out may be NULL. */
bool rate_take(struct rate_bucket *bucket, uint64_t per_second, uint64_t now_ns, struct rate_answer *out);
/* Gives one back that was taken (another limit refused the request). */
void rate_give_back(struct rate_bucket *bucket, uint64_t per_second);

#endif
