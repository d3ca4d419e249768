/*
 * benchmark.c - velocity benchmark: the storage engine, embedded, on this machine and disk. Each line says what it did,
 * how fast, how long single operations took, and how durable a write was when it was acknowledged.
 *
 * Threads share the operations of a line; each has its own random numbers and its own histogram of times.
 */
#include "cli/show.h"

#include <ftw.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    KEY_BYTES = 16,
    KEY_TEXT_BYTES = 24,
    MAX_THREADS = 256,
    STEPS = 16, /* of the histogram within a power of two */
    BUCKETS = 64 * STEPS,
    SCAN_ROWS = 100,
};

struct histogram {
    uint64_t counts[BUCKETS], total, longest_ns;
};

enum work { FILL, OVERWRITE, READ, SCAN, MIXED };

struct line {
    const char *name;
    enum work work;
    velocity_durability durability;
};

static const struct line standard[] = {{"fill in order", FILL, VELOCITY_DURABILITY_OS},
                                       {"overwrite at random", OVERWRITE, VELOCITY_DURABILITY_OS},
                                       {"read at random", READ, VELOCITY_DURABILITY_OS},
                                       {"seek and read 100", SCAN, VELOCITY_DURABILITY_OS},
                                       {0}};
static const struct line mixed[] = {
    {"fill in order", FILL, VELOCITY_DURABILITY_OS}, {"half reads, half puts", MIXED, VELOCITY_DURABILITY_OS}, {0}};
static const struct line persistent[] = {{"put in order, synced", FILL, VELOCITY_DURABILITY_ALWAYS},
                                         {"put at random, synced", OVERWRITE, VELOCITY_DURABILITY_ALWAYS},
                                         {"read at random", READ, VELOCITY_DURABILITY_ALWAYS},
                                         {0}};

struct benchmark {
    velocity *db;
    const struct line *line;
    uint64_t operations, keys;
    uint32_t threads;
    size_t value_bytes;
    unsigned char *noise; /* values are pieces of it: half of each compresses */
};

struct worker {
    struct benchmark *b;
    pthread_t thread;
    uint64_t first, count, random, bytes;
    velocity_status status;
    char message[256];
    struct histogram times;
};

/* ---- times
 * ----------------------------------------------------------------------------------------------------------- */

static uint64_t now_ns(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Powers of two in 16 steps each: a time is known to 6%. */
static size_t bucket_of(uint64_t ns) {
    if (ns < STEPS) return (size_t)ns;
    unsigned power = 63u - (unsigned)__builtin_clzll(ns);
    return (power - 3) * STEPS + ((ns >> (power - 4)) & (STEPS - 1));
}

static uint64_t bucket_ns(size_t bucket) {
    if (bucket < STEPS) return bucket;
    unsigned power = (unsigned)(bucket / STEPS) + 3;
    return (STEPS + bucket % STEPS) << (power - 4);
}

static void note_time(struct histogram *h, uint64_t ns) {
    h->counts[bucket_of(ns)]++;
    h->total++;
    if (ns > h->longest_ns) h->longest_ns = ns;
}

static uint64_t percentile(const struct histogram *h, double part) {
    uint64_t wanted = (uint64_t)((double)h->total * part), seen = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        if ((seen += h->counts[i]) > wanted) return bucket_ns(i) < h->longest_ns ? bucket_ns(i) : h->longest_ns;
    return h->longest_ns;
}

/* ---- work
 * ------------------------------------------------------------------------------------------------------------ */

static uint64_t next_random(struct worker *w) {
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    return w->random ^= w->random << 17;
}

static velocity_slice key_of(char text[KEY_TEXT_BYTES], uint64_t number) {
    (void)snprintf(text, KEY_TEXT_BYTES, "%016" PRIu64, number);
    return velocity_bytes(text, KEY_BYTES);
}

static velocity_status put(struct worker *w, uint64_t number) {
    char key[KEY_TEXT_BYTES];
    size_t from = (size_t)(next_random(w) % (1 << 20));
    w->bytes += KEY_BYTES + w->b->value_bytes;
    return velocity_put(w->b->db, key_of(key, number), velocity_bytes(w->b->noise + from, w->b->value_bytes));
}

static velocity_status get(struct worker *w, uint64_t number) {
    char key[KEY_TEXT_BYTES];
    velocity_value value;
    velocity_status status = velocity_get(w->b->db, key_of(key, number), &value);
    if (status) return status;
    w->bytes += KEY_BYTES + value.size;
    velocity_value_release(&value);
    return VELOCITY_OK;
}

static velocity_status scan(struct worker *w, uint64_t number) {
    char key[KEY_TEXT_BYTES];
    velocity_range range = velocity_range_default();
    range.start = key_of(key, number);
    velocity_iterator *it = velocity_iterator_new(w->b->db, &range);
    for (int i = 0; i < SCAN_ROWS && velocity_iterator_valid(it); i++, velocity_iterator_next(it))
        w->bytes += velocity_iterator_key(it).size + velocity_iterator_value(it).size;
    velocity_status status = velocity_iterator_status(it);
    velocity_iterator_free(it);
    return status;
}

static velocity_status do_one(struct worker *w, uint64_t i) {
    uint64_t any = next_random(w) % w->b->keys;
    switch (w->b->line->work) {
    case FILL: return put(w, i);
    case OVERWRITE: return put(w, any);
    case READ: return get(w, any);
    case SCAN: return scan(w, any);
    case MIXED: return next_random(w) >> 63 ? put(w, any) : get(w, any);
    }
    return VELOCITY_INVALID;
}

static void *work(void *arg) {
    struct worker *w = arg;
    for (uint64_t i = 0; i < w->count && !w->status; i++) {
        uint64_t began = now_ns();
        w->status = do_one(w, w->first + i);
        note_time(&w->times, now_ns() - began);
    }
    if (w->status) (void)snprintf(w->message, sizeof w->message, "%s", velocity_error_message());
    return NULL;
}

/* ---- lines
 * ----------------------------------------------------------------------------------------------------------- */

static const char *durability_of(const struct line *line) {
    if (line->work == READ || line->work == SCAN) return "-";
    return line->durability == VELOCITY_DURABILITY_ALWAYS ? "on disk" : "survives the process";
}

static void show_line_text(const struct line *line, const struct histogram *h, double seconds, uint64_t bytes) {
    printf("%-22s %12.0f %10.1f %10.1f %10.1f %9.1f  %s\n", line->name, (double)h->total / seconds,
           (double)percentile(h, 0.5) / 1000, (double)percentile(h, 0.99) / 1000, (double)h->longest_ns / 1000,
           (double)bytes / seconds / 1048576, durability_of(line));
    (void)fflush(stdout);
}

static void show_line_json(struct json_writer *w, const struct line *line, const struct histogram *h, double seconds,
                           uint64_t bytes) {
    const struct {
        const char *name;
        double number;
    } fields[] = {{"operations", (double)h->total},
                  {"seconds", seconds},
                  {"operations_per_second", (double)h->total / seconds},
                  {"p50_us", (double)percentile(h, 0.5) / 1000},
                  {"p99_us", (double)percentile(h, 0.99) / 1000},
                  {"max_us", (double)h->longest_ns / 1000},
                  {"bytes", (double)bytes}};
    json_begin_object(w);
    json_name(w, "name");
    json_write_string(w, velocity_str(line->name));
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        json_name(w, fields[i].name);
        json_write_double(w, fields[i].number);
    }
    json_name(w, "durability");
    json_write_string(w, velocity_str(durability_of(line)));
    json_end_object(w);
}

/* Runs one line on all threads. */
static int run_line(struct benchmark *b, struct json_writer *json) {
    struct worker *workers = calloc(b->threads, sizeof *workers);
    struct histogram *all = calloc(1, sizeof *all);
    if (!workers || !all) {
        free(workers);
        free(all);
        return complain(EXIT_FAILED, "no memory");
    }
    uint32_t started = 0;
    uint64_t bytes = 0, began = now_ns();
    int code = EXIT_DONE;
    for (; started < b->threads && !code; started++) {
        struct worker *w = &workers[started];
        uint64_t share = b->operations / b->threads;
        w->b = b;
        w->first = share * started;
        w->count = started + 1 == b->threads ? b->operations - w->first : share;
        w->random = 88172645463325252u + 7919 * (uint64_t)started;
        if (pthread_create(&w->thread, NULL, work, w)) {
            code = complain(EXIT_FAILED, "can't start %" PRIu32 " threads", b->threads);
            break;
        }
    }
    for (uint32_t i = 0; i < started; i++) {
        struct worker *w = &workers[i];
        (void)pthread_join(w->thread, NULL);
        if (w->status && !code) code = complain(EXIT_FAILED, "%s: %s", b->line->name, w->message);
        for (size_t k = 0; k < BUCKETS; k++) all->counts[k] += w->times.counts[k];
        all->total += w->times.total;
        if (w->times.longest_ns > all->longest_ns) all->longest_ns = w->times.longest_ns;
        bytes += w->bytes;
    }
    double seconds = (double)(now_ns() - began) / 1e9;
    if (!code && json) show_line_json(json, b->line, all, seconds, bytes);
    if (!code && !json) show_line_text(b->line, all, seconds, bytes);
    free(workers);
    free(all);
    return code;
}

/* ---- the command
 * ------------------------------------------------------------------------------------------------------ */

static int read_number(const struct command *command, const struct command_arguments *arguments, const char *name,
                       uint64_t least, uint64_t most, uint64_t *number) {
    const char *text = command_value(command, arguments, name);
    char *end;
    if (!text) return EXIT_DONE;
    *number = strtoull(text, &end, 10);
    if (*text >= '0' && *text <= '9' && *end == '\0' && *number >= least && *number <= most) return EXIT_DONE;
    return complain(EXIT_USAGE, "--%s takes a number from %" PRIu64 " to %" PRIu64 ", not \"%s\"", name, least, most,
                    text);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place) {
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

static int run_lines(struct benchmark *b, const char *path, const struct line *lines, bool json) {
    struct json_writer w = {0};
    velocity_options options = velocity_options_default();
    options.durability = lines[0].durability;
    velocity_status status = velocity_open(path, &options, &b->db);
    if (status) return complain_of(status);
    if (!json)
        printf("%" PRIu64 " operations a line, %zu bytes a value, threads: %" PRIu32
               "\n\n%-22s %12s %10s %10s %10s %9s  %s\n",
               b->operations, b->value_bytes, b->threads, "", "operations/s", "p50 us", "p99 us", "max us", "MiB/s",
               "acknowledged");
    json_begin_object(&w);
    json_name(&w, "value_bytes");
    json_write_u64(&w, b->value_bytes);
    json_name(&w, "threads");
    json_write_u64(&w, b->threads);
    json_name(&w, "lines");
    json_begin_array(&w);
    int code = EXIT_DONE;
    for (b->line = lines; b->line->name && !code; b->line++) code = run_line(b, json ? &w : NULL);
    json_end_array(&w);
    json_end_object(&w);
    if (!code && json && !show_line(&w)) code = complain(EXIT_FAILED, "can't write to standard output");
    json_writer_free(&w);
    status = velocity_close(b->db);
    return status && !code ? complain_of(status) : code;
}

int run_benchmark(const struct command *command, const struct command_arguments *arguments) {
    const char *mode = command_value(command, arguments, "mode");
    const char *folder = command_value(command, arguments, "data-dir"), *tmp = getenv("TMPDIR");
    uint64_t operations = 100000, value_bytes = 100, threads = 1;
    char temporary[4096] = "";
    const struct line *lines = !mode || strcmp(mode, "standard") == 0 ? standard
                               : strcmp(mode, "mixed") == 0           ? mixed
                               : strcmp(mode, "persistent") == 0      ? persistent
                                                                      : NULL;
    if (!lines) return complain(EXIT_USAGE, "--mode is standard, mixed or persistent, not \"%s\"", mode);
    int code = read_number(command, arguments, "operations", 1, UINT64_C(10000000000), &operations);
    if (!code) code = read_number(command, arguments, "value-size", 0, 1 << 24, &value_bytes);
    if (!code) code = read_number(command, arguments, "threads", 1, MAX_THREADS, &threads);
    if (code) return code;
    if (!folder) {
        (void)snprintf(temporary, sizeof temporary, "%s/velocity-benchmark.XXXXXX", tmp && *tmp ? tmp : "/tmp");
        if (!mkdtemp(temporary)) return complain(EXIT_FAILED, "can't make the folder %s", temporary);
        folder = temporary;
    } else if (access(folder, F_OK) == 0) {
        return complain(EXIT_FAILED, "%s is there already; the benchmark takes a folder of its own", folder);
    }
    struct benchmark b = {.operations = operations,
                          .keys = operations,
                          .threads = (uint32_t)threads,
                          .value_bytes = (size_t)value_bytes,
                          .noise = malloc((1 << 20) + (size_t)value_bytes)};
    struct worker seed = {.random = 1};
    /* Random and constant halves in turn, 25 bytes each. */
    for (size_t i = 0; b.noise && i < (1 << 20) + (size_t)value_bytes; i++)
        b.noise[i] = i / 25 % 2 ? 'x' : (unsigned char)next_random(&seed);
    code = b.noise ? run_lines(&b, folder, lines, command_value(command, arguments, "json") != NULL)
                   : complain(EXIT_FAILED, "no memory");
    free(b.noise);
    if (*temporary) (void)nftw(temporary, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    return code;
}
