/*
 * load.c - see load.h.
 *
 * Keys and values are made inside the timed loops by keys.h, in some 10 to 20 ns an operation, for every engine alike.
 * Rows that write the database are bounded by the number of keys, so that every engine ends with the same content; rows
 * that read, and durable ones, are bounded by time.
 *
 * Threads: a worker touches its own `worker` only; load_run reads it after the join.
 */
#include "load.h"
#include "histogram.h"
#include "outstanding.h"
#include "waits.h"

#include <pthread.h>
#include <stdlib.h>

typedef struct {
    const load_context *context;
    row_id row;
    uint32_t number, threads;
    const uint32_t *order; /* NULL: ascending */
    pthread_barrier_t *start;
    pthread_t thread;
    uint64_t first, last; /* ticks */
    uint64_t operations, sum;
    histogram latency;
} worker;

static uint64_t deadline_of(const worker *w) {
    return w->first + (uint64_t)(w->context->seconds * w->context->ticks_second);
}

/* Writes this worker's share once, in the order of the row. */
static void put_all(worker *w, void *session) {
    const load_context *c = w->context;
    uint64_t n = w->order ? c->writes : c->settings->keys;
    uint64_t begin = n * w->number / w->threads, end = n * (w->number + 1) / w->threads;
    uint64_t before = w->first;
    char key[BENCH_KEY_BYTES];
    for (uint64_t i = begin; i < end; i++) {
        uint64_t index = w->order ? w->order[i] : i;
        key_of(key, index);
        c->engine->put(session, key, value_of(c->pool, index, c->generation), c->pool->value_bytes);
        uint64_t now = ticks_now();
        histogram_add(&w->latency, now - before);
        before = now;
    }
    w->operations = end - begin;
}

/* The same until the time is up, beginning again when the share is written. */
static void put_timed(worker *w, void *session) {
    const load_context *c = w->context;
    uint64_t n = c->settings->keys;
    uint64_t begin = n * w->number / w->threads, end = n * (w->number + 1) / w->threads;
    uint64_t before = w->first, deadline = deadline_of(w), i = begin;
    uint64_t long_wait = (uint64_t)(c->ticks_second * WAITS_LONG_MS / 1000);
    uint32_t generation = c->generation;
    char key[BENCH_KEY_BYTES];
    waits waited;
    waits_open(&waited);
    while (before < deadline) {
        uint64_t index = w->order[i];
        key_of(key, index);
        c->engine->put(session, key, value_of(c->pool, index, generation), c->pool->value_bytes);
        uint64_t now = ticks_now();
        histogram_add(&w->latency, now - before);
        if (now - before >= long_wait) {
            waits_tell(&waited, (double)(now - w->first) / c->ticks_second,
                       (double)(now - before) / c->ticks_second * 1000);
            now = ticks_now();
        }
        before = now;
        if (++w->operations % WAITS_EVERY == 0) waits_look(&waited);
        if (++i == end) {
            i = begin;
            generation++;
        }
    }
    waits_close(&waited);
}

static void get_timed(worker *w, void *session) {
    const load_context *c = w->context;
    bool absent = w->row == ROW_GET_ABSENT, hot = w->row == ROW_GET_HOT;
    uint64_t among = hot ? c->settings->keys / ROW_HOT_SHARE : c->settings->keys;
    if (among == 0) among = 1;
    uint64_t state = 1000 + w->number, before = w->first, deadline = deadline_of(w);
    char key[BENCH_KEY_BYTES];
    while (before < deadline) {
        uint64_t index = random_below(&state, among);
        if (absent) {
            key_absent(key, index);
        } else {
            key_of(key, index);
        }
        if (c->engine->get(session, key, &w->sum) == absent)
            bench_fail("%s: key %.16s is %s", c->engine->id, key, absent ? "there but should not be" : "missing");
        uint64_t now = ticks_now();
        histogram_add(&w->latency, now - before);
        before = now;
        w->operations++;
    }
}

/* Each seek opens an iterator of its own, as each query of a server would. */
static void seek_timed(worker *w, void *session) {
    const load_context *c = w->context;
    uint64_t among = c->settings->keys > ROW_SEEK_NEXT ? c->settings->keys - ROW_SEEK_NEXT : 1;
    uint64_t state = 2000 + w->number, before = w->first, deadline = deadline_of(w);
    char key[BENCH_KEY_BYTES];
    while (before < deadline) {
        key_of(key, random_below(&state, among));
        w->operations += c->engine->scan(session, key, ROW_SEEK_NEXT, &w->sum);
        uint64_t now = ticks_now();
        histogram_add(&w->latency, now - before);
        before = now;
    }
}

static void scan_timed(worker *w, void *session) {
    const load_context *c = w->context;
    uint64_t deadline = deadline_of(w);
    do {
        uint64_t rows = c->engine->scan(session, NULL, UINT64_MAX, &w->sum);
        if (rows != c->settings->keys)
            bench_fail("%s: a scan found %llu of %llu rows", c->engine->id, (unsigned long long)rows,
                       (unsigned long long)c->settings->keys);
        w->operations += rows;
    } while (ticks_now() < deadline);
}

static void mix_all(worker *w, void *session) {
    const load_context *c = w->context;
    uint64_t n = c->settings->keys, state = 3000 + w->number, before = w->first;
    char key[BENCH_KEY_BYTES];
    w->operations = c->writes / w->threads;
    for (uint64_t i = 0; i < w->operations; i++) {
        uint64_t index = random_below(&state, n);
        key_of(key, index);
        if (random_next(&state) & 1) {
            c->engine->put(session, key, value_of(c->pool, index, c->generation), c->pool->value_bytes);
        } else if (!c->engine->get(session, key, &w->sum)) {
            bench_fail("%s: key %.16s is missing", c->engine->id, key);
        }
        uint64_t now = ticks_now();
        histogram_add(&w->latency, now - before);
        before = now;
    }
}

static void run_outstanding(worker *w, void *session) {
    const load_context *c = w->context;
    uint64_t n = c->settings->keys;
    outstanding_load load = {
        .engine = c->engine,
        .session = session,
        .pool = c->pool,
        .order = w->order,
        .begin = n * w->number / w->threads,
        .end = n * (w->number + 1) / w->threads,
        .slots = ROW_OUTSTANDING / w->threads,
        .deadline = deadline_of(w),
        .latency = &w->latency,
    };
    w->operations = outstanding_run(&load);
}

static void run_row(worker *w, void *session) {
    switch (w->row) {
    case ROW_DURABLE_ONE:
    case ROW_DURABLE_MANY:
    case ROW_OVERLOAD: put_timed(w, session); break;
    case ROW_DURABLE_OUTSTANDING: run_outstanding(w, session); break;
    case ROW_SEQUENTIAL_PUT:
    case ROW_OVERWRITE_ONE:
    case ROW_VALUES_PUT:
    case ROW_OVERWRITE_TWO: put_all(w, session); break;
    case ROW_GET_ONE:
    case ROW_VALUES_GET:
    case ROW_GET_TWO:
    case ROW_GET_HOT:
    case ROW_GET_ABSENT: get_timed(w, session); break;
    case ROW_SEEK: seek_timed(w, session); break;
    case ROW_SCAN: scan_timed(w, session); break;
    case ROW_MIXED: mix_all(w, session); break;
    default: bench_fail("row %d is not a load", (int)w->row);
    }
}

static void *worker_main(void *arg) {
    worker *w = arg;
    void *session = w->context->engine->session_new(w->context->db);
    (void)pthread_barrier_wait(w->start);
    w->first = ticks_now();
    run_row(w, session);
    w->last = ticks_now();
    w->context->engine->session_free(session);
    return NULL;
}

static row_result summarize(const load_context *context, row_id row, worker *workers, uint32_t threads) {
    uint64_t first = UINT64_MAX, last = 0, operations = 0;
    histogram *all = &workers[0].latency;
    for (uint32_t i = 0; i < threads; i++) {
        worker *w = &workers[i];
        if (w->first < first) first = w->first;
        if (w->last > last) last = w->last;
        operations += w->operations;
        if (i > 0) histogram_merge(all, &w->latency);
    }
    double us = context->ticks_second / 1e6;
    row_result result = {.value = (double)operations / ((double)(last - first) / context->ticks_second),
                         .operations = operations};
    if (bench_rows[row].latency) {
        result.p50_us = histogram_percentile(all, 0.50) / us;
        result.p99_us = histogram_percentile(all, 0.99) / us;
        result.max_us = (double)all->max / us;
    }
    return result;
}

static bool writes_in_random_order(row_id row) {
    switch (row) {
    case ROW_DURABLE_ONE:
    case ROW_DURABLE_MANY:
    case ROW_DURABLE_OUTSTANDING:
    case ROW_OVERWRITE_ONE:
    case ROW_OVERWRITE_TWO:
    case ROW_VALUES_PUT:
    case ROW_OVERLOAD: return true;
    default: return false;
    }
}

row_result load_run(const load_context *context, row_id row) {
    uint32_t threads = bench_rows[row].threads;
    worker *workers = calloc(threads, sizeof *workers);
    uint32_t *order = writes_in_random_order(row) ? context->order : NULL;
    if (order) permutation_fill(order, context->settings->keys, (uint64_t)row + 1);
    pthread_barrier_t start;
    if (!workers || pthread_barrier_init(&start, NULL, threads) != 0) bench_fail("no memory for %u threads", threads);
    for (uint32_t i = 0; i < threads; i++) {
        workers[i].context = context;
        workers[i].row = row;
        workers[i].number = i;
        workers[i].threads = threads;
        workers[i].order = order;
        workers[i].start = &start;
        if (pthread_create(&workers[i].thread, NULL, worker_main, &workers[i]) != 0) bench_fail("no thread");
    }
    for (uint32_t i = 0; i < threads; i++) (void)pthread_join(workers[i].thread, NULL);
    row_result result = summarize(context, row, workers, threads);
    (void)pthread_barrier_destroy(&start);
    free(workers);
    return result;
}
