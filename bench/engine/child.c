/*
 * child.c - see child.h.
 *
 * The group of unsynced rows goes: load - settle - overwrite (settle after each) - check - one scan to warm the cache -
 * the rows that read - the mixed row - settle - count - close. To settle is to wait until the process has used
 * next to no processor time and written nothing for a while and the engine, if it can tell, says that nothing is
 * pending. The group of large values goes the same way, with fewer keys: load - settle - overwrite - settle - check -
 * get - close.
 *
 * The group of tombstones goes: load - settle - one scan - the rows, each with deletes of its own.
 */
#include "child.h"
#include "histogram.h"
#include "load.h"
#include "process.h"
#include "tombstones.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SETTLE_STEP_S      0.1
#define SETTLE_QUIET_STEPS 20 /* longer than the second after which Velocity begins to merge what it left */
#define SETTLE_MAX_STEPS   1200
#define SETTLE_CPU_SHARE   0.03 /* of a core */
#define CHECK_KEYS         10000u
#define MIB                (1024.0 * 1024.0)

static double row_bytes(const load_context *c) {
    return (double)BENCH_KEY_BYTES + (double)c->settings->value_bytes;
}

/* How many seconds of background work there were. */
static double settle(const bench_engine *engine, void *db) {
    double cpu = process_cpu_seconds(), written = process_written_bytes();
    int steps = 0, quiet = 0;
    for (; steps < SETTLE_MAX_STEPS && quiet < SETTLE_QUIET_STEPS; steps++) {
        (void)usleep((useconds_t)(SETTLE_STEP_S * 1e6));
        bool busy = engine->busy && engine->busy(db);
        double cpu_now = process_cpu_seconds(), written_now = process_written_bytes();
        if (busy || cpu_now - cpu > SETTLE_STEP_S * SETTLE_CPU_SHARE || written_now != written) {
            quiet = 0;
        } else {
            quiet++;
        }
        cpu = cpu_now;
        written = written_now;
    }
    if (quiet < SETTLE_QUIET_STEPS)
        (void)fprintf(stderr, "%s: background work has not ended after %.0f s\n", engine->id, steps * SETTLE_STEP_S);
    return (steps - quiet) * SETTLE_STEP_S;
}

static void print_result(row_id row, row_result r) {
    (void)printf("%s %.6f %.3f %.3f %.3f\n", bench_rows[row].id, r.value, r.p50_us, r.p99_us, r.max_us);
    (void)fflush(stdout);
}

static void print_figure(const bench_options *options, row_id row, double value) {
    if (options->rows[row]) print_result(row, (row_result){.value = value});
}

/* Reads keys at random and compares with what was written last. */
static void check_content(const load_context *c) {
    uint32_t size = c->settings->value_bytes;
    unsigned char *buffer = malloc(size + 1);
    void *session = c->engine->session_new(c->db);
    uint64_t state = 7;
    char key[BENCH_KEY_BYTES];
    if (!buffer) bench_fail("no memory");
    for (uint32_t i = 0; i < CHECK_KEYS; i++) {
        uint64_t index = random_below(&state, c->settings->keys);
        key_of(key, index);
        int64_t got = c->engine->copy(session, key, buffer, size);
        if (got != (int64_t)size || memcmp(buffer, value_of(c->pool, index, c->generation), size) != 0)
            bench_fail("%s: key %.16s has a wrong value (%lld bytes)", c->engine->id, key, (long long)got);
    }
    c->engine->session_free(session);
    free(buffer);
}

/* A full scan: warms the cache, and no row may be missing. */
static void check_count(const load_context *c) {
    uint64_t sum = 0;
    void *session = c->engine->session_new(c->db);
    uint64_t rows = c->engine->scan(session, NULL, UINT64_MAX, &sum);
    if (rows != c->settings->keys)
        bench_fail("%s: %" PRIu64 " rows, %" PRIu64 " were written", c->engine->id, rows, c->settings->keys);
    c->engine->session_free(session);
}

static void run_if_wanted(const bench_options *options, const load_context *c, row_id row) {
    if (options->rows[row]) print_result(row, load_run(c, row));
}

/* The random get, and what it read of the files: an engine that maps them reads nothing that could be counted. */
static void run_get(const bench_options *options, const load_context *c) {
    if (!options->rows[ROW_GET_ONE] && !options->rows[ROW_READ_BYTES]) return;
    double before = process_read_bytes();
    row_result get = load_run(c, ROW_GET_ONE);
    double bytes = process_read_bytes() - before;
    if (options->rows[ROW_GET_ONE]) print_result(ROW_GET_ONE, get);
    if (!c->engine->maps_files && get.operations) print_figure(options, ROW_READ_BYTES, bytes / (double)get.operations);
}

static void run_unsynced(const bench_options *options, load_context *c, double memory) {
    uint64_t keys = c->settings->keys, puts = keys;
    double written = process_written_bytes();
    row_result load = load_run(c, ROW_SEQUENTIAL_PUT);
    if (options->rows[ROW_SEQUENTIAL_PUT]) print_result(ROW_SEQUENTIAL_PUT, load);
    (void)settle(c->engine, c->db);
    double background = 0;
    for (row_id row = ROW_OVERWRITE_ONE; row <= ROW_OVERWRITE_TWO; row++) {
        if (!options->rows[row]) continue;
        if (c->writes == keys) c->generation++; /* else every key keeps its value, whether it is written again or not */
        print_result(row, load_run(c, row));
        puts += c->writes;
        background += settle(c->engine, c->db);
    }
    print_figure(options, ROW_SETTLE, background);
    print_figure(options, ROW_WRITE_TIMES, (process_written_bytes() - written) / ((double)puts * row_bytes(c)));
    if (options->compact && c->engine->compact) {
        c->engine->compact(c->db);
        (void)settle(c->engine, c->db);
    }
    check_content(c);
    check_count(c);
    run_get(options, c);
    for (row_id row = ROW_GET_TWO; row <= ROW_SCAN; row++) run_if_wanted(options, c, row);
    if (options->rows[ROW_MIXED]) {
        c->generation++;
        print_result(ROW_MIXED, load_run(c, ROW_MIXED));
        (void)settle(c->engine, c->db);
        check_count(c);
    }
    if (options->rows[ROW_MEMORY_IDLE] && c->engine->shed) {
        c->engine->shed(c->db);
        (void)settle(c->engine, c->db);
        print_figure(options, ROW_MEMORY_IDLE, process_memory_mib() - memory);
    }
}

static void run_values(const bench_options *options, load_context *c) {
    (void)load_run(c, ROW_SEQUENTIAL_PUT);
    (void)settle(c->engine, c->db);
    c->generation++;
    row_result put = load_run(c, ROW_VALUES_PUT);
    if (options->rows[ROW_VALUES_PUT]) print_result(ROW_VALUES_PUT, put);
    (void)settle(c->engine, c->db);
    check_content(c);
    check_count(c);
    run_if_wanted(options, c, ROW_VALUES_GET);
}

static void settle_all(const load_context *c) {
    (void)settle(c->engine, c->db);
}

static void run_tombstones(const bench_options *options, load_context *c) {
    (void)load_run(c, ROW_SEQUENTIAL_PUT);
    settle_all(c);
    check_count(c);
    if (options->rows[ROW_TOMBSTONES]) print_result(ROW_TOMBSTONES, tombstones_run(c, ROW_TOMBSTONES, settle_all));
    if (options->rows[ROW_RANGE_DELETE] && c->engine->remove_range)
        print_result(ROW_RANGE_DELETE, tombstones_run(c, ROW_RANGE_DELETE, settle_all));
}

static const bench_engine *engine_named(const char *id) {
    for (int i = 0; bench_engines[i]; i++)
        if (strcmp(bench_engines[i]->id, id) == 0) return bench_engines[i];
    bench_fail("no engine %s", id);
}

/* What is known when the database is closed. `memory` and `written`: before it was opened. */
static void measure_closed(const bench_options *options, load_context *c, double memory, double written) {
    bool values = options->child_group == GROUP_VALUES;
    double disk = directory_bytes(options->directory);
    if (!values) print_figure(options, ROW_MEMORY, process_peak_memory_mib() - memory);
    print_figure(options, values ? ROW_VALUES_DISK : ROW_DISK, disk / MIB);
    print_figure(options, values ? ROW_VALUES_WRITTEN : ROW_WRITTEN, (process_written_bytes() - written) / MIB);
    if (values) return;
    print_figure(options, ROW_DISK_TIMES, disk / ((double)c->settings->keys * row_bytes(c)));
    if (!options->rows[ROW_OPEN]) return;
    uint64_t before = ticks_now();
    c->db = c->engine->open(c->settings);
    print_figure(options, ROW_OPEN, (double)(ticks_now() - before) / c->ticks_second * 1000);
    c->engine->close(c->db);
}

static void run_overload(const bench_options *options, load_context *c) {
    (void)load_run(c, ROW_SEQUENTIAL_PUT);
    run_if_wanted(options, c, ROW_OVERLOAD);
}

static void run_group(const bench_options *options, load_context *c, double memory) {
    switch (options->child_group) {
    case GROUP_DURABLE_ONE: run_if_wanted(options, c, ROW_DURABLE_ONE); break;
    case GROUP_DURABLE_MANY: run_if_wanted(options, c, ROW_DURABLE_MANY); break;
    case GROUP_DURABLE_OUTSTANDING: run_if_wanted(options, c, ROW_DURABLE_OUTSTANDING); break;
    case GROUP_UNSYNCED: run_unsynced(options, c, memory); break;
    case GROUP_VALUES: run_values(options, c); break;
    case GROUP_TOMBSTONES: run_tombstones(options, c); break;
    case GROUP_OVERLOAD: run_overload(options, c); break;
    case GROUP_COUNT: break;
    }
}

static uint32_t threads_of(row_group group) {
    uint32_t most = 1;
    for (int row = 0; row < ROW_COUNT; row++)
        if (bench_rows[row].group == group && bench_rows[row].threads > most) most = bench_rows[row].threads;
    return most;
}

/* Resident before anything is measured. */
static uint32_t *order_new(uint64_t keys) {
    uint32_t *order = malloc(keys * sizeof *order);
    if (!order) bench_fail("no memory for the order of the keys");
    memset(order, 0xff, keys * sizeof *order);
    return order;
}

void child_run(const bench_options *options) {
    row_group group = options->child_group;
    bool values = group == GROUP_VALUES;
    uint64_t value_keys = options->keys > ROW_VALUES_SHARE ? options->keys / ROW_VALUES_SHARE : 1;
    value_pool pool;
    process_limit_memory(options->memory_limit);
    keys_init();
    value_pool_init(&pool, values ? ROW_VALUES_BYTES : options->value_bytes);
    bench_settings settings = {.directory = options->directory,
                               .keys = values ? value_keys : options->keys,
                               .value_bytes = pool.value_bytes,
                               .durable = group == GROUP_DURABLE_ONE || group == GROUP_DURABLE_MANY ||
                                          group == GROUP_DURABLE_OUTSTANDING,
                               .threads = threads_of(group)};
    load_context context = {.engine = engine_named(options->child),
                            .settings = &settings,
                            .pool = &pool,
                            .seconds = options->seconds,
                            .ticks_second = ticks_per_second(),
                            .writes = values ? value_keys : options->writes,
                            .order = order_new(settings.keys)};
    double memory = process_memory_mib(), written = process_written_bytes();
    context.db = context.engine->open(&settings);
    run_group(options, &context, memory);
    context.engine->close(context.db);
    if (group == GROUP_UNSYNCED || values) measure_closed(options, &context, memory, written);
    free(context.order);
    value_pool_destroy(&pool);
}
