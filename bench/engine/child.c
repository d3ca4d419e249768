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
#include "tombstones.h"

#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define SETTLE_STEP_S      0.1
#define SETTLE_QUIET_STEPS 20 /* longer than the second after which Velocity begins to merge what it left */
#define SETTLE_MAX_STEPS   1200
#define SETTLE_CPU_SHARE   0.03 /* of a core */
#define CHECK_KEYS         10000u
#define MIB                (1024.0 * 1024.0)

/* A figure in KiB or bytes that a file of /proc/self gives after `name`. */
static double proc_figure(const char *path, const char *name) {
    char line[256];
    FILE *f = fopen(path, "r");
    if (!f) bench_fail("%s: %s", path, strerror(errno));
    size_t length = strlen(name);
    double value = -1;
    while (value < 0 && fgets(line, sizeof line, f))
        if (strncmp(line, name, length) == 0) value = strtod(line + length, NULL);
    (void)fclose(f);
    if (value < 0) bench_fail("%s: no %s", path, name);
    return value;
}

static double written_bytes(void) {
    return proc_figure("/proc/self/io", "write_bytes:");
}

static double cpu_seconds(void) {
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

/* How many seconds of background work there were. */
static double settle(const bench_engine *engine, void *db) {
    double cpu = cpu_seconds(), written = written_bytes();
    int steps = 0, quiet = 0;
    for (; steps < SETTLE_MAX_STEPS && quiet < SETTLE_QUIET_STEPS; steps++) {
        (void)usleep((useconds_t)(SETTLE_STEP_S * 1e6));
        bool busy = engine->busy && engine->busy(db);
        double cpu_now = cpu_seconds(), written_now = written_bytes();
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

static void run_unsynced(const bench_options *options, load_context *c) {
    row_result load = load_run(c, ROW_SEQUENTIAL_PUT);
    if (options->rows[ROW_SEQUENTIAL_PUT]) print_result(ROW_SEQUENTIAL_PUT, load);
    (void)settle(c->engine, c->db);
    double background = 0;
    for (row_id row = ROW_OVERWRITE_ONE; row <= ROW_OVERWRITE_TWO; row++) {
        if (!options->rows[row]) continue;
        c->generation++;
        print_result(row, load_run(c, row));
        background += settle(c->engine, c->db);
    }
    print_figure(options, ROW_SETTLE, background);
    if (options->compact && c->engine->compact) {
        c->engine->compact(c->db);
        (void)settle(c->engine, c->db);
    }
    check_content(c);
    check_count(c);
    for (row_id row = ROW_GET_ONE; row <= ROW_SCAN; row++) run_if_wanted(options, c, row);
    if (options->rows[ROW_MIXED]) {
        c->generation++;
        print_result(ROW_MIXED, load_run(c, ROW_MIXED));
        (void)settle(c->engine, c->db);
        check_count(c);
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

static double directory_bytes;

static int add_size(const char *path, const struct stat *info, int type, struct FTW *at) {
    (void)path, (void)at;
    if (type == FTW_F) directory_bytes += (double)info->st_blocks * 512;
    return 0;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *at) {
    (void)info, (void)type, (void)at;
    return remove(path);
}

void directory_remove(const char *path) {
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        bench_fail("cannot remove %s: %s", path, strerror(errno));
}

static const bench_engine *engine_named(const char *id) {
    for (int i = 0; bench_engines[i]; i++)
        if (strcmp(bench_engines[i]->id, id) == 0) return bench_engines[i];
    bench_fail("no engine %s", id);
}

static const row_id durable_rows[] = {ROW_DURABLE_ONE, ROW_DURABLE_MANY, ROW_DURABLE_OUTSTANDING}; /* by group */

void child_run(const bench_options *options) {
    bool values = options->child_group == GROUP_VALUES, tombstones = options->child_group == GROUP_TOMBSTONES;
    bool unsynced = options->child_group == GROUP_UNSYNCED || values;
    uint64_t value_keys = options->keys > ROW_VALUES_SHARE ? options->keys / ROW_VALUES_SHARE : 1;
    const bench_engine *engine = engine_named(options->child);
    value_pool pool;
    keys_init();
    value_pool_init(&pool, values ? ROW_VALUES_BYTES : options->value_bytes);
    bench_settings settings = {.directory = options->directory,
                               .keys = values ? value_keys : options->keys,
                               .value_bytes = pool.value_bytes,
                               .durable = !unsynced && !tombstones,
                               .threads = unsynced     ? 2
                                          : tombstones ? 1
                                                       : bench_rows[durable_rows[options->child_group]].threads};
    load_context context = {.engine = engine,
                            .settings = &settings,
                            .pool = &pool,
                            .seconds = options->seconds,
                            .ticks_second = ticks_per_second()};
    double memory = proc_figure("/proc/self/status", "VmRSS:"), written = written_bytes();
    context.db = engine->open(&settings);
    if (values) {
        run_values(options, &context);
    } else if (unsynced) {
        run_unsynced(options, &context);
    } else if (tombstones) {
        run_tombstones(options, &context);
    } else {
        run_if_wanted(options, &context, durable_rows[options->child_group]);
    }
    engine->close(context.db);
    if (unsynced) {
        if (nftw(options->directory, add_size, 16, FTW_PHYS) != 0) bench_fail("cannot measure %s", options->directory);
        if (!values) print_figure(options, ROW_MEMORY, (proc_figure("/proc/self/status", "VmHWM:") - memory) / 1024);
        print_figure(options, values ? ROW_VALUES_DISK : ROW_DISK, directory_bytes / MIB);
        print_figure(options, values ? ROW_VALUES_WRITTEN : ROW_WRITTEN, (written_bytes() - written) / MIB);
    }
    value_pool_destroy(&pool);
}
