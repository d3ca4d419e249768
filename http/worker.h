/*
 * worker.h - what belongs to one HTTP worker thread: requests for reuse, the way back from other threads, counters.
 *
 *     commit thread, executor --worker_finished--> [stack] --worker_resume_finished--> handlers, on the worker
 *
 * Resuming a connection of libmicrohttpd costs a system call and perhaps a switch of threads. So of the requests that
 * a commit group finishes only the one that finds the stack empty is resumed from outside; that brings the worker,
 * which resumes the others itself.
 *
 * Threads: counters are written by the worker alone and read by any thread; worker_finished is for any thread; all else
 * is the worker's.
 */
#ifndef VELOCITY_HTTP_WORKER_H
#define VELOCITY_HTTP_WORKER_H

#include "engine/velocity.h"

#include <stdatomic.h>

struct http_request;
struct http_server;

/* Latencies in microseconds, four buckets to each power of two: at most 25% wide. */
#define LATENCY_BUCKETS 128

enum latency_class { LATENCY_READ, LATENCY_WRITE, LATENCY_OTHER, LATENCY_CLASSES };

struct worker_counters {
    _Atomic uint64_t statuses[600]; /* replies by status */
    _Atomic uint64_t begun, ended;  /* requests */
    _Atomic uint64_t body_bytes_received, body_bytes_sent;
    _Atomic uint64_t latency[LATENCY_CLASSES][LATENCY_BUCKETS]; /* from the request line to the queued reply */
};

struct worker {
    /* The one field that other threads write; the statuses behind it are below 100, so nothing here shares its line. */
    _Alignas(64) _Atomic(struct http_request *) finished; /* linked by next */
    struct worker_counters counters;
    struct http_server *server;
    struct http_request *unused; /* requests for reuse, linked by next */
    uint64_t id_prefix, next_id; /* of request ids */
    uint32_t unused_count;
};

/* Adds without a locked instruction: there is one writer. */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t n) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

/* The request's answer is there: its handler will run again on its worker. */
void worker_finished(struct http_request *request);
void worker_resume_finished(struct worker *worker);

size_t latency_bucket(uint64_t us);
/* The largest latency that falls into the bucket. */
uint64_t latency_bucket_limit(size_t bucket);

#endif
