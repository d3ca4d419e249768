/*
 * rate_limit.c - see rate_limit.h.
 *
 *         now        full_at                 now + burst
 *     -----+------------+--------------------------+------> time
 *           <- taken ->  <- may still be taken ->
 *
 * A rate is kept as the nanoseconds that one request stands for, and a burst is `rate` times that: so exactly `rate`
 * requests may come at once, whatever the rounding. Requests that follow steadily gain by the rounding less than one in
 * a thousand, up to a million a second. Nothing else hangs on the word, so its accesses need no order.
 */
#include "server/rate_limit.h"

#include <stddef.h>

#define NS_PER_SECOND UINT64_C(1000000000)
#define NS_PER_MS     UINT64_C(1000000)

/* What one request stands for; a rate beyond one a nanosecond is that. */
static uint64_t interval_ns(uint64_t per_second) {
    return per_second < NS_PER_SECOND ? NS_PER_SECOND / per_second : 1;
}

static uint64_t burst_ns(uint64_t per_second) {
    return per_second < NS_PER_SECOND ? interval_ns(per_second) * per_second : NS_PER_SECOND;
}

static uint64_t divide_up(uint64_t n, uint64_t by) {
    return n / by + (n % by != 0);
}

static void answer(struct rate_answer *out, uint64_t per_second, uint64_t taken_ns, uint64_t excess_ns) {
    uint64_t burst = burst_ns(per_second);
    out->limit = per_second;
    out->remaining = taken_ns < burst ? (burst - taken_ns) / interval_ns(per_second) : 0;
    out->reset_seconds = (uint32_t)divide_up(taken_ns, NS_PER_SECOND);
    out->retry_after_ms = (uint32_t)divide_up(excess_ns, NS_PER_MS);
}

bool rate_take(struct rate_bucket *bucket, uint64_t per_second, uint64_t now_ns, struct rate_answer *out) {
    if (per_second == 0) {
        if (out) *out = (struct rate_answer){0};
        return true;
    }
    uint64_t interval = interval_ns(per_second), burst = burst_ns(per_second);
    uint64_t full_at = atomic_load_explicit(&bucket->full_at_ns, memory_order_relaxed), taken;
    do {
        taken = full_at > now_ns ? full_at - now_ns : 0;
        if (taken + interval > burst) {
            if (out) answer(out, per_second, taken, taken + interval - burst);
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&bucket->full_at_ns, &full_at, now_ns + taken + interval,
                                                    memory_order_relaxed, memory_order_relaxed));
    if (out) answer(out, per_second, taken + interval, 0);
    return true;
}

void rate_give_back(struct rate_bucket *bucket, uint64_t per_second) {
    if (per_second == 0) return;
    uint64_t interval = interval_ns(per_second);
    uint64_t full_at = atomic_load_explicit(&bucket->full_at_ns, memory_order_relaxed), before;
    /* If it has filled up meanwhile, a time further in the past says the same. */
    do {
        before = full_at > interval ? full_at - interval : 0;
    } while (!atomic_compare_exchange_weak_explicit(&bucket->full_at_ns, &full_at, before, memory_order_relaxed,
                                                    memory_order_relaxed));
}
