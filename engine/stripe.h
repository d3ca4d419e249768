/*
 * stripe.h - counting on hot paths without locked instructions: counters are kept STRIPES times, and a thread counts in
 * a stripe that is its own while it lives. Threads beyond that share the last one. Who wants the figure adds all up.
 *
 * A stripe's next owner sees what the one before counted: it took its number from that thread (epoch.c: release and
 * acquire of `taken`).
 */
#ifndef VELOCITY_STRIPE_H
#define VELOCITY_STRIPE_H

#include "epoch.h"

#include <stdatomic.h>

#define STRIPES 32u

static inline uint32_t stripe_of_thread(void) {
    uint32_t number = epoch_thread_number();
    return number < STRIPES - 1 ? number : STRIPES - 1;
}

static inline bool stripe_is_shared(uint32_t stripe) {
    return stripe == STRIPES - 1;
}

static inline void stripe_add(_Atomic uint64_t *counter, uint64_t n, bool shared) {
    if (__builtin_expect(shared, 0))
        (void)atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
    else
        atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

#endif
