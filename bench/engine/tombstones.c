/*
 * tombstones.c - see tombstones.h.
 *
 * Each row deletes a stretch of its own: the keys in the middle, or those a quarter into the database. The seeks begin
 * at random among the first of them, before and after alike.
 */
#include "tombstones.h"
#include "histogram.h"

#include <stdlib.h>

enum { STARTS = 1000 };

typedef struct {
    uint64_t first, count;
} stretch;

static stretch stretch_of(const load_context *c, row_id row) {
    uint64_t keys = c->settings->keys, count = keys / 8 < TOMBSTONES ? keys / 8 : TOMBSTONES;
    return (stretch){row == ROW_TOMBSTONES ? keys / 2 : keys / 4, count};
}

/* Seeks for a while, and reads the row that is found. */
static void seek(const load_context *c, void *session, stretch s, histogram *latency) {
    uint64_t state = 5000, sum = 0, before = ticks_now();
    uint64_t deadline = before + (uint64_t)(c->seconds * c->ticks_second), among = s.count < STARTS ? s.count : STARTS;
    char key[BENCH_KEY_BYTES];
    while (before < deadline) {
        key_of(key, s.first + random_below(&state, among));
        if (c->engine->scan(session, key, 1, &sum) != 1) bench_fail("%s: a seek found nothing", c->engine->id);
        uint64_t now = ticks_now();
        histogram_add(latency, now - before);
        before = now;
    }
}

row_result tombstones_run(const load_context *c, row_id row, void (*settle)(const load_context *context)) {
    stretch s = stretch_of(c, row);
    void *session = c->engine->session_new(c->db);
    histogram *plain = calloc(1, sizeof *plain), *latency = calloc(1, sizeof *latency);
    char key[BENCH_KEY_BYTES], end[BENCH_KEY_BYTES];
    if (!plain || !latency) bench_fail("no memory");
    seek(c, session, s, plain);
    if (row == ROW_TOMBSTONES) {
        for (uint64_t i = 0; i < s.count; i++) {
            key_of(key, s.first + i);
            c->engine->remove(session, key);
        }
        settle(c);
    } else {
        key_of(key, s.first);
        key_of(end, s.first + s.count);
        c->engine->remove_range(session, key, end);
    }
    seek(c, session, s, latency);
    double us = c->ticks_second / 1e6, before = histogram_percentile(plain, 0.50);
    row_result result = {.value = histogram_percentile(latency, 0.50) / (before > 0 ? before : 1),
                         .p50_us = histogram_percentile(latency, 0.50) / us,
                         .p99_us = histogram_percentile(latency, 0.99) / us,
                         .max_us = (double)latency->max / us};
    free(plain);
    free(latency);
    c->engine->session_free(session);
    return result;
}
