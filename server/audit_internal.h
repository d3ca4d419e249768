/*
 * audit_internal.h - what audit.c (reservations, recording), audit_writer.c (the thread that writes) and the readers
 * share.
 *
 *     audit_record --> front arena --take_batch--> back arena --write_batch--> audit.db
 *
 *     WRITING --a batch fails--> FAILING (the batch stays in the back arena) --the same batch is written--> WRITING
 *
 * Invariants:
 *  1. The front arena has room for every event that was promised it: a reservation is only given while less than
 *     AUDIT_QUEUE_BYTES are used and less than AUDIT_PROMISES are given. With CONTINUE, reservations that a failing log
 *     can't promise are counted in `unbacked`; as many events are lost, and a row says how many.
 *  2. Events are written in the order in which they were recorded, each once: a batch is one transaction.
 *
 * Lock: `mutex` guards what stands under it; it is held for copying one event at most, never while a file is written or
 * a waiter called. What stands under `file` is the writer's alone.
 */
#ifndef VELOCITY_SERVER_AUDIT_INTERNAL_H
#define VELOCITY_SERVER_AUDIT_INTERNAL_H

#include "server/audit.h"
#include "server/audit_file.h"
#include "server/audit_queue.h"
#include "server/audit_refusals.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#define AUDIT_QUEUE_BYTES ((size_t)16 << 20)
#define AUDIT_PROMISES    4096 /* operations under way */

/* A test shortens them. */
struct audit_timing {
    int64_t batch_ms; /* from the first event of a batch until it is written */
    int64_t retry_ms; /* after rows could not be written */
    int64_t head_ms;  /* between two heads in the log */
    int64_t prune_ms; /* between two looks at the age of the oldest rows */
    int64_t tell_ms;  /* from the first refusal that was left out until it is told */
};

struct audit_waiters {
    struct audit_waiter *head, **tail;
};

struct audit {
    _Atomic unsigned wanted; /* one bit a class */
    struct logger *log;
    char *path;
    struct audit_timing timing;
    pthread_t writer;

    pthread_mutex_t mutex;
    pthread_cond_t work; /* for the writer */
    struct audit_settings settings;
    struct audit_arena front;
    struct audit_gap front_gap;
    struct audit_refusals refusals;
    uint32_t promised, unbacked;
    struct audit_waiters room, settling; /* settling: tickets ascend */
    struct audit_head head;              /* of what is on disk */
    struct audit_stats stats;
    int64_t batch_at_ms; /* when the front arena is to be written; monotonic, as all times of the writer */
    int64_t wake_at_ms;  /* when to look for room again, while someone waits for it */
    bool urgent, prune_now, failing, ending;

    struct audit_file *file;
    struct audit_arena back;
    struct audit_gap back_gap;
    int64_t retry_at_ms, head_at_ms, prune_at_ms;
    uint64_t logged_head;
    bool again;         /* pruning goes on */
    bool pruning_fails; /* not again before its time */
};

/* ---- under the mutex ---- */

static inline void audit_waiters_add(struct audit_waiters *waiters, struct audit_waiter *waiter) {
    waiter->next = NULL;
    *waiters->tail = waiter;
    waiters->tail = &waiter->next;
}

static inline struct audit_waiter *audit_waiters_take(struct audit_waiters *waiters) {
    struct audit_waiter *waiter = waiters->head;
    waiters->head = waiter->next;
    if (!waiters->head) waiters->tail = &waiters->head;
    return waiter;
}

/* What was left out of refusals becomes events, if it is time, as many as there is room for. */
void audit_tell_refusals(struct audit *audit);

/* How many more reservations can be given. */
static inline uint32_t audit_room(const struct audit *audit) {
    return audit->front.used < AUDIT_QUEUE_BYTES ? AUDIT_PROMISES - audit->promised : 0;
}

/* ---- without it ---- */

static inline int64_t audit_clock_ms(clockid_t clock) {
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

VELOCITY_CHECK_RESULT velocity_status audit_open_timed(const char *path, const struct audit_settings *settings,
                                                       struct logger *log, const struct audit_timing *timing,
                                                       struct audit **out);
void *audit_serve(void *audit); /* the writer's thread */

/* The newest row that this process knows to be on disk. */
struct audit_head audit_written_head(struct audit *audit);

/* ---- readers ---- */

/* A connection that only reads; what runs longer than until its time ends with BUSY. */
struct audit_reader {
    sqlite3 *db;
    const char *path;
    int64_t until_ms; /* monotonic */
};
VELOCITY_CHECK_RESULT velocity_status audit_reader_open(struct audit_reader *reader, struct audit *audit,
                                                        int64_t timeout_ms);
void audit_reader_close(struct audit_reader *reader);
VELOCITY_CHECK_RESULT velocity_status audit_reader_status(struct audit_reader *reader, const char *doing);

/* audit_query and audit_verify, with times and sizes that a test can shorten. */
VELOCITY_CHECK_RESULT velocity_status audit_query_timed(struct audit *audit, const struct audit_query *query,
                                                        int64_t timeout_ms,
                                                        bool (*row)(void *arg, const struct audit_row *row), void *arg,
                                                        bool *more);
VELOCITY_CHECK_RESULT velocity_status audit_verify_stepwise(struct audit *audit, uint32_t rows_at_once,
                                                            struct audit_verification *out);

#endif
