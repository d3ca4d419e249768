/*
 * soak.h - everything at once for as long as wanted, with kill -9 in between.
 *
 *   main.c    the parent: starts the process that works, kills it at a random moment, starts the next; the report
 *   work.c    the process that works: opens the database, checks every key, then eight threads do random operations
 *   ledger.c  what the database must hold: memory that parent and child share, so that it outlives a kill
 *
 * Each key belongs to one thread, which writes into the ledger what it is about to do before it does it, and what was
 * acknowledged afterwards. So after a kill each key must be at its acknowledged state or at the one that was under way,
 * and the keys of one batch must all be at the same side. Checkpoints are opened and compared while all goes on.
 */
#ifndef VELOCITY_SOAK_H
#define VELOCITY_SOAK_H

#include "engine/velocity.h"

#include <stdatomic.h>

enum {
    SOAK_THREADS = 8,
    SOAK_KEYS = 4000,      /* of each thread */
    SOAK_BATCH_MAX = 40,   /* operations in a batch */
    SOAK_VALUE_MAX = 20000 /* bytes */
};

/* States are numbers that only grow; 0: the key is not there. The value's bytes follow from key and state. Where a
 * state expires the key is gone from that instant on. */
struct soak_slot {
    _Atomic uint64_t acked, pending;
    _Atomic int64_t acked_until, pending_until; /* in ms; 0: for ever */
};

struct soak_thread {
    struct soak_slot slots[SOAK_KEYS];
    uint32_t batch[SOAK_KEYS]; /* the slots of the write under way */
    _Atomic uint32_t batch_count;
    _Atomic uint64_t next_state;
    _Atomic uint64_t writes, reads, scans, scanned_keys, transactions, expired, copies;
    _Atomic uint64_t slowest_us;
};

struct soak_ledger {
    struct soak_thread threads[SOAK_THREADS];
    _Atomic uint64_t checked, opened, closed, maintained, refused;
    _Atomic bool working; /* the child is past its check */
    _Atomic bool stop;    /* the parent asks for an orderly end */
    _Atomic bool failed;  /* a promise is broken: message says which */
    char message[512];
};

struct soak_ledger *ledger_new(void);
/* Says what is broken, once, and ends the process. */
void ledger_fail(struct soak_ledger *ledger, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));

/* Removes the folder with what is in it, if it is there. */
void soak_remove(const char *folder);

/* Where a thread makes its checkpoints. */
const char *soak_copy(const char *folder, uint32_t thread, char path[256]);

/* The key of a slot (at most 32 bytes). */
velocity_slice soak_key(uint32_t thread, uint32_t slot, char buffer[32]);
/* The value of a state, in `buffer` of SOAK_VALUE_MAX bytes. */
velocity_slice soak_value(uint32_t thread, uint32_t slot, uint64_t state, uint8_t *buffer);
/* Whether `value` is the value of that state. */
bool soak_value_is(uint32_t thread, uint32_t slot, uint64_t state, velocity_slice value);

/* A thread's own random numbers. */
struct soak_random {
    uint64_t state;
};
uint64_t soak_below(struct soak_random *r, uint64_t limit);

/* In the child: opens, checks, works until told to stop, closes. `seed` chooses the options. Does not return on a
 * broken promise. */
void soak_work(struct soak_ledger *ledger, const char *folder, uint64_t seed);

#endif
