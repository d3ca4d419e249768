/* clock.c - see clock.h. */
#include "clock.h"

void clock_init(struct clock *c, env *e) {
    c->env = e;
    atomic_init(&c->high_ms, 0);
    atomic_init(&c->shown, false);
}

void clock_raise(struct clock *c, uint64_t ms) {
    uint64_t high = atomic_load(&c->high_ms);
    while (high < ms && !atomic_compare_exchange_weak(&c->high_ms, &high, ms)) {
    }
}

uint64_t clock_now(struct clock *c) {
    uint64_t wall = env_now_ms(c->env), high = atomic_load(&c->high_ms);
    if (wall <= high) return high;
    clock_raise(c, wall);
    return wall;
}

uint64_t clock_tell(struct clock *c) {
    atomic_store(&c->shown, true);
    return clock_now(c);
}

bool clock_has_passed(struct clock *c, int64_t expires_at_ms, uint64_t *now_ms) {
    if (*now_ms == 0) *now_ms = clock_now(c);
    bool passed = expires_at_ms < 0 || *now_ms >= (uint64_t)expires_at_ms;
    if (passed && !atomic_load_explicit(&c->shown, memory_order_relaxed)) atomic_store(&c->shown, true);
    return passed;
}
