/*
 * epoch.c - epoch-based reclamation. See epoch.h.
 *
 *     epoch_retire --> incoming --(a batch is taken, the epoch moves on)--> waiting --(its readers left)--> destroyed
 *
 * The global epoch is a number that only grows. A thread inside a section shows in its record the epoch that it read on
 * entering. Retired items gather in `incoming`, a stack without pops. Collecting takes all of it as one batch, notes
 * the present epoch e, then moves the epoch to e + 1. The batch may be destroyed once no record shows an epoch <= e.
 * One batch waits at a time; meanwhile `incoming` grows.
 *
 * Why no reader can hold an item of a batch that is destroyed. The item was unlinked before it was retired, so before
 * its batch was taken, so before the epoch became e + 1. Let a thread be looked at by the scan of the records:
 *   1. It shows an epoch > e. It read that after the step to e + 1 (load-acquire of what the step released), so after
 *      the unlinking: it can't find the item.
 *   2. It shows "outside", or an older section's end. Then its next section publishes its epoch after the scan looked.
 *      Publishing is followed by a full barrier, the scan is preceded by one that comes after the unlinking: what the
 *      thread loads in that section is at least as new as the unlinking. Whatever it did before leaving happened before
 *      the scan (store-release, load-acquire).
 *   3. It shows an epoch <= e: the batch waits. A thread that read the epoch and was stopped before publishing it falls
 *      under 2 until it publishes, then it only makes a batch wait longer than needed.
 * The same with `fallback_sections`, which stands for all threads that have no record: while it is not zero, all wait.
 *
 * Threads. A record belongs to the thread that took it; others read its epoch. Records are never freed: the list only
 * grows, and the main thread's end of the process finds them reachable. `collector` is a spin lock, held for a scan of
 * the records at most; destroyers run outside it. It guards what its comment lists.
 */
#include "epoch.h"

#include "env.h"

#include <assert.h>

#define CACHE_LINE_BYTES 64
#define OUTSIDE          0u
/* A collection is tried at every so many retirements: it reads every thread's record. A power of two. */
#define RETIREMENTS_PER_COLLECTION 32u
#define SPINS_BEFORE_YIELD         64u

struct record {
    _Atomic uint64_t epoch; /* OUTSIDE, or the global epoch as of entering */
    atomic_bool taken;      /* some thread's */
    uint32_t number;        /* from 0, in the order of the list's growth; constant */
    struct record *next;    /* constant once the record is in the list */
} __attribute__((aligned(CACHE_LINE_BYTES)));

struct batch {
    struct epoch_item *items;
    uint64_t number;    /* counts the batches, from 1 */
    uint64_t epoch;     /* readers that entered at this epoch or before may see the items */
    struct batch *next; /* in `running` */
};

struct thread_state {
    struct record *record; /* NULL before the first section, or when there was no memory for one */
    uint32_t depth;        /* sections open */
    bool collection_due;   /* a retirement inside a section left the collection to its end */
    bool destroying;       /* runs destroyers: what they retire is left to a later collection */
};

static _Thread_local struct thread_state self;
_Thread_local uint32_t epoch_number_of_thread;

static _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t global_epoch = 1; /* read by every section, written at times */
static _Atomic(struct record *) records;
static _Atomic uint32_t records_made;
static _Atomic uint64_t fallback_sections; /* open sections of threads without a record */

static _Alignas(CACHE_LINE_BYTES) _Atomic(struct epoch_item *) incoming;
static _Atomic uint64_t retirements;

static _Alignas(CACHE_LINE_BYTES) atomic_bool collector; /* guards all below */
static struct batch waiting;                             /* items NULL: no batch waits */
static struct batch *running;                            /* being destroyed; each lives on the stack of its destroyer */
static uint64_t batches_taken;
static env_thread_local record_key; /* gives a thread's record back when it ends */
static bool record_key_made;

/* ---- the collector's lock ---------------------------------------------------------------------------------------- */

static bool collector_try_lock(void) {
    return !atomic_exchange_explicit(&collector, true, memory_order_acquire);
}

static void collector_lock(void) {
    for (uint32_t spins = 1; !collector_try_lock(); spins++) {
        if (spins % SPINS_BEFORE_YIELD == 0)
            env_thread_yield();
        else
            env_cpu_relax();
    }
}

static void collector_unlock(void) {
    atomic_store_explicit(&collector, false, memory_order_release);
}

/* ---- records ----------------------------------------------------------------------------------------------------- */

/* When a thread ends. A later thread-local destructor of the same thread may still enter: it takes a record again. */
static void record_give_back(void *record) {
    self.record = NULL;
    epoch_number_of_thread = 0;
    atomic_store_explicit(&((struct record *)record)->taken, false, memory_order_release);
}

static bool record_key_ready(void) {
    collector_lock();
    if (!record_key_made) record_key_made = env_thread_local_new(&record_key, record_give_back) == VELOCITY_OK;
    bool ready = record_key_made;
    collector_unlock();
    return ready;
}

static struct record *record_reuse(void) {
    for (struct record *r = atomic_load_explicit(&records, memory_order_acquire); r; r = r->next) {
        if (!atomic_load_explicit(&r->taken, memory_order_relaxed) &&
            !atomic_exchange_explicit(&r->taken, true, memory_order_acquire))
            return r;
    }
    return NULL;
}

static struct record *record_new(void) {
    struct record *r = env_alloc_aligned(CACHE_LINE_BYTES, sizeof *r);
    if (!r) return NULL;
    atomic_init(&r->epoch, OUTSIDE);
    atomic_init(&r->taken, true);
    r->number = atomic_fetch_add_explicit(&records_made, 1, memory_order_relaxed);
    r->next = atomic_load_explicit(&records, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&records, &r->next, r, memory_order_release, memory_order_relaxed)) {
    }
    return r;
}

/* Makes self.record. False: no memory. */
static bool record_take(void) {
    if (!record_key_ready()) return false;
    struct record *r = record_reuse();
    if (!r) r = record_new();
    if (!r) return false;
    self.record = r;
    epoch_number_of_thread = r->number + 1;
    env_thread_local_set(&record_key, r);
    return true;
}

/* ---- sections ---------------------------------------------------------------------------------------------------- */

/* Shows that this thread reads, and orders that before everything it loads from now on. */
static inline void publish(struct record *r, uint64_t epoch) {
#if defined(__x86_64__) || defined(__i386__)
    (void)atomic_exchange(&r->epoch, epoch); /* one locked instruction stores and is a full barrier */
#else
    atomic_store_explicit(&r->epoch, epoch, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

static __attribute__((noinline)) void enter_first_time(void) {
    if (record_take())
        publish(self.record, atomic_load_explicit(&global_epoch, memory_order_acquire));
    else
        (void)atomic_fetch_add(&fallback_sections, 1);
}

static void collect(void);

static __attribute__((noinline)) void collect_what_is_due(void) {
    self.collection_due = false;
    collect();
}

uint32_t epoch_number_thread(void) {
    return self.record || record_take() ? self.record->number : UINT32_MAX;
}

void epoch_enter(void) {
    if (self.depth++ > 0) return;
    if (__builtin_expect(self.record != NULL, 1))
        publish(self.record, atomic_load_explicit(&global_epoch, memory_order_acquire));
    else
        enter_first_time();
}

void epoch_leave(void) {
    assert(self.depth > 0);
    if (--self.depth > 0) return;
    if (__builtin_expect(self.record != NULL, 1))
        atomic_store_explicit(&self.record->epoch, OUTSIDE, memory_order_release);
    else
        (void)atomic_fetch_sub_explicit(&fallback_sections, 1, memory_order_release);
    if (__builtin_expect(self.collection_due, 0)) collect_what_is_due();
}

/* ---- collecting -------------------------------------------------------------------------------------------------- */

/* The collector's lock is held. Makes what came in the waiting batch. */
static void take_incoming(void) {
    waiting.items = atomic_exchange(&incoming, NULL);
    if (!waiting.items) return;
    waiting.number = ++batches_taken;
    waiting.epoch = atomic_fetch_add(&global_epoch, 1);
}

/* The collector's lock is held. True: no section is open that was entered at `epoch` or before. */
static bool readers_have_left(uint64_t epoch) {
#if !defined(__x86_64__) && !defined(__i386__)
    atomic_thread_fence(memory_order_seq_cst); /* on x86 the lock's exchange is one */
#endif
    if (atomic_load(&fallback_sections) > 0) return false;
    for (struct record *r = atomic_load(&records); r; r = r->next) {
        uint64_t shown = atomic_load(&r->epoch);
        if (shown != OUTSIDE && shown <= epoch) return false;
    }
    return true;
}

/* Takes out the waiting batch if it may be destroyed, and puts it among the running ones. */
static bool take_ready(struct batch *out) {
    if (!collector_try_lock()) return false;
    if (!waiting.items) take_incoming();
    bool ready = waiting.items && readers_have_left(waiting.epoch);
    if (ready) {
        *out = waiting;
        out->next = running;
        running = out;
        take_incoming(); /* so that its readers can begin to leave */
    }
    collector_unlock();
    return ready;
}

static void destroy_batch(struct batch *batch) {
    self.destroying = true;
    for (struct epoch_item *item = batch->items, *next; item; item = next) {
        next = item->next;
        item->destroy(item);
    }
    self.destroying = false;
    collector_lock();
    struct batch **link = &running;
    while (*link != batch) link = &(*link)->next;
    *link = batch->next;
    collector_unlock();
}

/* Twice: the batch that waited, and what came in meanwhile. */
static void collect(void) {
    struct batch ready;
    for (int i = 0; i < 2 && !self.destroying && take_ready(&ready); i++) destroy_batch(&ready);
}

void epoch_collect(void) {
    if (self.depth > 0)
        self.collection_due = true; /* destroyers run outside sections */
    else
        collect();
}

void epoch_retire(struct epoch_item *item, void (*destroy)(struct epoch_item *item)) {
    item->destroy = destroy;
    item->next = atomic_load_explicit(&incoming, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&incoming, &item->next, item, memory_order_release,
                                                  memory_order_relaxed)) {
    }
    uint64_t before = atomic_fetch_add_explicit(&retirements, 1, memory_order_relaxed);
    if ((before + 1) % RETIREMENTS_PER_COLLECTION == 0) epoch_collect();
}

static bool all_destroyed_up_to(uint64_t number) {
    collector_lock();
    bool done = batches_taken >= number && !(waiting.items && waiting.number <= number);
    for (struct batch *b = running; b && done; b = b->next) done = b->number > number;
    collector_unlock();
    return done;
}

void epoch_drain(void) {
    assert(self.depth == 0 && !self.destroying);
    collector_lock();
    uint64_t last = batches_taken + (atomic_load_explicit(&incoming, memory_order_acquire) != NULL);
    collector_unlock();
    for (uint32_t rounds = 0; !all_destroyed_up_to(last); rounds++) {
        if (rounds > 2 * SPINS_BEFORE_YIELD)
            env_sleep_us(50); /* a reader takes long, or another thread's destroyer */
        else if (rounds > 1)
            env_thread_yield();
        collect();
    }
}
