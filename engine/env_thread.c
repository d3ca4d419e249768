/*
 * env_thread.c - memory, locks, waiting and threads, for every environment alike. See env.h.
 *
 * Threads: everything here may be called from any thread.
 */
#include "env.h"
#include "status.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- memory ----------------------------------------------------------------------------------------------------- */

/* Allocations left until one fails, and whether all later ones fail too; 0: none fails. The one mutable global besides
 * the lock files: it stands for the machine's memory, which is one. */
static _Atomic uint64_t failing_allocation;
#define ALL_AFTER (UINT64_C(1) << 63)

void env_fail_allocation(uint64_t nth, bool all_after) {
    atomic_store(&failing_allocation, nth && all_after ? nth | ALL_AFTER : nth);
}

bool env_allocation_failed(void) {
    return atomic_load(&failing_allocation) == 0;
}

static bool counts_down_to_failure(uint64_t left) {
    uint64_t next;
    do {
        if (left == 0) return false; /* another thread took the failure */
        bool now = (left & ~ALL_AFTER) == 1;
        next = !now ? left - 1 : left & ALL_AFTER ? left : 0;
    } while (!atomic_compare_exchange_weak(&failing_allocation, &left, next));
    return (left & ~ALL_AFTER) == 1;
}

static bool must_fail(void) {
    uint64_t left = atomic_load_explicit(&failing_allocation, memory_order_relaxed);
    return left != 0 && counts_down_to_failure(left);
}

static void *or_message(void *block, size_t size) {
    if (!block) (void)status_set(VELOCITY_NO_MEMORY, "no memory for %zu bytes", size);
    return block;
}

void *env_alloc(size_t size) {
    return or_message(must_fail() ? NULL : malloc(size ? size : 1), size);
}

void *env_alloc_zeroed(size_t size) {
    return or_message(must_fail() ? NULL : calloc(1, size ? size : 1), size);
}

void *env_alloc_aligned(size_t alignment, size_t size) {
    void *block = NULL;
    if (must_fail() || posix_memalign(&block, alignment, size ? size : 1)) block = NULL;
    return or_message(block, size);
}

void *env_alloc_huge(size_t size) {
    if (must_fail()) return or_message(NULL, size);
    /* As much more as it takes to find an aligned stretch; what stands over on both sides is given back. */
    uint8_t *whole = mmap(NULL, size + ENV_HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (whole == MAP_FAILED) return or_message(NULL, size);
    size_t before = -(uintptr_t)whole & (ENV_HUGE_BYTES - 1);
    if (before) (void)munmap(whole, before);
    if (before < ENV_HUGE_BYTES) (void)munmap(whole + before + size, ENV_HUGE_BYTES - before);
    (void)madvise(whole + before, size, MADV_HUGEPAGE); /* where there are none, small pages do */
    return whole + before;
}

void env_free_huge(void *block, size_t size) {
    if (block) (void)munmap(block, size);
}

void env_populate(void *block, size_t size) {
#ifdef MADV_POPULATE_WRITE
    if (madvise(block, size, MADV_POPULATE_WRITE) == 0) return;
#endif
    for (size_t at = 0; at < size; at += ENV_PAGE_BYTES) ((volatile uint8_t *)block)[at] = 0;
}

void *env_realloc(void *block, size_t size) {
    return or_message(must_fail() ? NULL : realloc(block, size ? size : 1), size);
}

void env_free(void *block) {
    free(block);
}

/* ---- locks ------------------------------------------------------------------------------------------------------ */

void env_mutex_init(env_mutex *m) {
    (void)pthread_mutex_init(&m->mutex, NULL);
}

void env_mutex_destroy(env_mutex *m) {
    (void)pthread_mutex_destroy(&m->mutex);
}

void env_condition_init(env_condition *c) {
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&c->condition, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

void env_condition_destroy(env_condition *c) {
    (void)pthread_cond_destroy(&c->condition);
}

bool env_condition_wait_ms(env_condition *c, env_mutex *m, uint64_t timeout_ms) {
    const uint64_t forever_ms = UINT64_C(1000) * 3600 * 24 * 365; /* keeps the sum below within a time_t */
    if (timeout_ms > forever_ms) timeout_ms = forever_ms;
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    return pthread_cond_timedwait(&c->condition, &m->mutex, &until) != ETIMEDOUT;
}

/* ---- waiting on a word ------------------------------------------------------------------------------------------ */

void env_wait_word(_Atomic uint32_t *word, uint32_t expected) {
    (void)syscall(SYS_futex, (void *)word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

void env_wake_word(_Atomic uint32_t *word, bool all) {
    (void)syscall(SYS_futex, (void *)word, FUTEX_WAKE_PRIVATE, all ? INT_MAX : 1, NULL, NULL, 0);
}

void env_thread_yield(void) {
    (void)sched_yield();
}

void env_sleep_us(uint64_t us) {
    struct timespec left = {.tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000};
    while (nanosleep(&left, &left) < 0 && errno == EINTR) {
    }
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

/* The engine's threads take no signals: those are the program's business, and land on its own threads. */
velocity_status env_thread_start(env_thread *out, const char *name, void *(*run)(void *), void *arg) {
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(out, NULL, run, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) {
        char buffer[128];
        return status_set(VELOCITY_NO_MEMORY, "cannot start the thread %s: %s", name,
                          strerror_r(error, buffer, sizeof buffer));
    }
    char short_name[16];
    (void)snprintf(short_name, sizeof short_name, "%s", name);
    (void)pthread_setname_np(*out, short_name);
    return VELOCITY_OK;
}

void env_thread_join(env_thread thread) {
    (void)pthread_join(thread, NULL);
}

uint32_t env_core_count(void) {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0) return 1;
    int count = CPU_COUNT(&allowed);
    return count > 0 ? (uint32_t)count : 1;
}

velocity_status env_thread_local_new(env_thread_local *out, void (*destroy)(void *)) {
    int error = pthread_key_create(&out->key, destroy);
    if (!error) return VELOCITY_OK;
    return status_set(VELOCITY_NO_MEMORY, "no thread-local storage left");
}

void env_thread_local_set(env_thread_local *key, void *value) {
    (void)pthread_setspecific(key->key, value);
}
