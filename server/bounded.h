/* bounded.h - a sum that many take from and that never goes beyond a limit, not even for the moment in which somebody
 * is refused: who asks for too much takes nothing from who asks for little. */
#ifndef VELOCITY_SERVER_BOUNDED_H
#define VELOCITY_SERVER_BOUNDED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Any thread. Gives back: atomic_fetch_sub. */
static inline bool bounded_take(_Atomic uint64_t *held, uint64_t amount, uint64_t most) {
    uint64_t before = atomic_load_explicit(held, memory_order_relaxed);
    do {
        if (amount > most || before > most - amount) return false;
    } while (!atomic_compare_exchange_weak_explicit(held, &before, before + amount, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

#endif
