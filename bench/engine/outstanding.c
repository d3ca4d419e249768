/*
 * outstanding.c - see outstanding.h.
 *
 *     this thread:   take a free slot -> put_slot ........................... (sleeps when none is free)
 *     the engine's:                      ... on disk -> done -> the slot is free
 *
 * Free slots wait in a ring: the engine's commit thread appends (one at a time, `done` runs on one thread), this thread
 * takes. To wake a sleeper costs a system call, so `done` does it only when a share of the slots is free again.
 *
 * Threads: slot.started belongs to whoever has the slot; `freed` is written by the commit thread, read by this one; the
 * histogram belongs to the commit thread until the last slot is back.
 */
#include "outstanding.h"

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WAKE_SHARE 8u

typedef struct outstanding outstanding;

typedef struct {
    outstanding *owner;
    uint64_t started; /* ticks */
} slot;

struct outstanding {
    slot *slots;
    uint32_t *ring; /* free slots */
    uint32_t count;
    histogram *latency;
    _Atomic uint32_t freed;    /* slots ever appended to the ring */
    _Atomic uint32_t sleeping; /* 0, or the value of `freed` from which on to wake */
    _Atomic uint64_t returned; /* calls of slot_done that touch nothing here any more */
};

static void slot_done(void *arg) {
    slot *s = arg;
    outstanding *o = s->owner;
    histogram_add(o->latency, ticks_now() - s->started);
    uint32_t freed = atomic_load_explicit(&o->freed, memory_order_relaxed);
    o->ring[freed % o->count] = (uint32_t)(s - o->slots);
    atomic_store(&o->freed, freed + 1);
    uint32_t wake_at = atomic_load(&o->sleeping);
    if (wake_at != 0 && (int32_t)(freed + 1 - wake_at) >= 0 && atomic_exchange(&o->sleeping, 0) != 0)
        (void)syscall(SYS_futex, &o->sleeping, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    atomic_fetch_add(&o->returned, 1);
}

/* Sleeps until `freed` has reached `target`, which is not 0. */
static void wait_for(outstanding *o, uint32_t target) {
    while ((int32_t)(atomic_load(&o->freed) - target) < 0) {
        atomic_store(&o->sleeping, target);
        if ((int32_t)(atomic_load(&o->freed) - target) >= 0) break;
        (void)syscall(SYS_futex, &o->sleeping, FUTEX_WAIT_PRIVATE, target, NULL, NULL, 0);
    }
    atomic_store(&o->sleeping, 0);
}

static void outstanding_new(outstanding *o, const outstanding_load *load) {
    o->count = load->slots;
    o->latency = load->latency;
    o->slots = calloc(o->count, sizeof *o->slots);
    o->ring = calloc(o->count, sizeof *o->ring);
    if (!o->slots || !o->ring) bench_fail("no memory for %u slots", o->count);
    for (uint32_t i = 0; i < o->count; i++) {
        o->slots[i].owner = o;
        o->ring[i] = i;
    }
    atomic_init(&o->freed, o->count);
    atomic_init(&o->sleeping, 0);
    atomic_init(&o->returned, 0);
    load->engine->slots_new(load->session, o->count);
}

uint64_t outstanding_run(const outstanding_load *load) {
    outstanding o;
    outstanding_new(&o, load);
    uint64_t i = load->begin;
    uint32_t taken = 0, generation = 0; /* `taken` counts modulo 2^32, like `freed` */
    uint64_t operations = 0;
    char key[BENCH_KEY_BYTES];
    for (uint64_t now = ticks_now(); now < load->deadline; now = ticks_now()) {
        if (atomic_load(&o.freed) == taken) wait_for(&o, taken + o.count / WAKE_SHARE);
        uint32_t number = o.ring[taken % o.count];
        uint64_t index = load->order[i];
        key_of(key, index);
        o.slots[number].started = now;
        while (!load->engine->put_slot(load->session, number, key, value_of(load->pool, index, generation),
                                       load->pool->value_bytes, slot_done, &o.slots[number]))
            (void)usleep(100);
        taken++;
        operations++;
        if (++i == load->end) {
            i = load->begin;
            generation++;
        }
    }
    wait_for(&o, taken + o.count);
    while (atomic_load(&o.returned) != operations) (void)usleep(100);
    free(o.ring);
    free(o.slots);
    return operations;
}
