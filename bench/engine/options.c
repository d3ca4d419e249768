/* options.c - see options.h. */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    OPTION_ENGINES = 256,
    OPTION_ROWS,
    OPTION_KEYS,
    OPTION_WRITES,
    OPTION_LIMIT,
    OPTION_VALUE,
    OPTION_ROUNDS,
    OPTION_SECONDS,
    OPTION_DIR,
    OPTION_JSON,
    OPTION_QUICK,
    OPTION_COMPACT,
    OPTION_HELP,
    OPTION_CHILD,
    OPTION_GROUP
};

static const struct option known[] = {
    {"engines", required_argument, NULL, OPTION_ENGINES},
    {"rows", required_argument, NULL, OPTION_ROWS},
    {"keys", required_argument, NULL, OPTION_KEYS},
    {"writes", required_argument, NULL, OPTION_WRITES},
    {"memory-limit", required_argument, NULL, OPTION_LIMIT},
    {"value-bytes", required_argument, NULL, OPTION_VALUE},
    {"rounds", required_argument, NULL, OPTION_ROUNDS},
    {"seconds", required_argument, NULL, OPTION_SECONDS},
    {"dir", required_argument, NULL, OPTION_DIR},
    {"json", required_argument, NULL, OPTION_JSON},
    {"quick", no_argument, NULL, OPTION_QUICK},
    {"compact", no_argument, NULL, OPTION_COMPACT},
    {"help", no_argument, NULL, OPTION_HELP},
    {"child", required_argument, NULL, OPTION_CHILD}, /* how the program starts itself */
    {"group", required_argument, NULL, OPTION_GROUP},
    {NULL, 0, NULL, 0},
};

static void usage(FILE *out) {
    (void)fprintf(out, "usage: velocity_bench_engines [OPTION]...\n"
                       "  --engines A,B     these only (default: all of this build but velocity-...)\n"
                       "  --rows A,B        these only (default: all)\n"
                       "  --keys N          in the database (1000000; at most 100000000)\n"
                       "  --writes N        of the rows that overwrite and mix (as many as keys)\n"
                       "  --value-bytes N   (100; at most 1048576)\n"
                       "  --rounds N        the table shows medians (3)\n"
                       "  --seconds S       of each row that is bounded by time (2)\n"
                       "  --dir DIR         where databases are made and removed (bench-data)\n"
                       "  --json FILE       also every figure of every round\n"
                       "  --compact         every engine compacts all it has before the rows that read\n"
                       "  --memory-limit N  MiB for each engine, with what the system caches for it: a control\n"
                       "                    group, so as root (none)\n"
                       "  --quick           100000 keys, 1 round, 0.5 seconds\n\nengines:");
    for (int i = 0; bench_engines[i]; i++) (void)fprintf(out, " %s", bench_engines[i]->id);
    (void)fprintf(out, "\nrows:   ");
    for (int i = 0; i < ROW_COUNT; i++) (void)fprintf(out, " %s", bench_rows[i].id);
    (void)fprintf(out, "\n");
}

__attribute__((noreturn)) static void wrong(const char *what, const char *value) {
    (void)fprintf(stderr, "velocity_bench_engines: %s '%s'; see --help\n", what, value);
    exit(2);
}

static double number(const char *text, double low, double high, const char *name) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= low && value <= high)) wrong(name, text);
    return value;
}

static int engine_index(const char *id, size_t length) {
    for (int i = 0; bench_engines[i]; i++)
        if (strlen(bench_engines[i]->id) == length && memcmp(bench_engines[i]->id, id, length) == 0) return i;
    return -1;
}

static int row_index(const char *id, size_t length) {
    for (int i = 0; i < ROW_COUNT; i++)
        if (strlen(bench_rows[i].id) == length && memcmp(bench_rows[i].id, id, length) == 0) return i;
    return -1;
}

/* Sets the flags that a comma-separated list names, and no others. */
static void choose(bool *flags, size_t count, const char *list, int (*index)(const char *, size_t), const char *what) {
    memset(flags, 0, count * sizeof *flags);
    for (const char *at = list;;) {
        size_t length = strcspn(at, ",");
        int i = index(at, length);
        if (i < 0) wrong(what, list);
        flags[i] = true;
        if (at[length] == '\0') return;
        at += length + 1;
    }
}

static void defaults(bench_options *o) {
    *o = (bench_options){.keys = 1000000, .value_bytes = 100, .rounds = 3, .seconds = 2, .directory = "bench-data"};
    for (int i = 0; bench_engines[i]; i++) o->engines[i] = !bench_engines[i]->on_request;
    for (int i = 0; i < ROW_COUNT; i++) o->rows[i] = true;
}

void options_parse(bench_options *o, int argc, char **argv) {
    defaults(o);
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (c) {
        case OPTION_ENGINES:
            choose(o->engines, sizeof o->engines / sizeof *o->engines, optarg, engine_index, "unknown engine in");
            break;
        case OPTION_ROWS: choose(o->rows, ROW_COUNT, optarg, row_index, "unknown row in"); break;
        case OPTION_KEYS: o->keys = (uint64_t)number(optarg, 1000, 1e8, "--keys"); break;
        case OPTION_WRITES: o->writes = (uint64_t)number(optarg, 1, 1e8, "--writes"); break;
        case OPTION_LIMIT: o->memory_limit = (uint64_t)number(optarg, 64, 1e7, "--memory-limit") << 20; break;
        case OPTION_VALUE: o->value_bytes = (uint32_t)number(optarg, 0, 1 << 20, "--value-bytes"); break;
        case OPTION_ROUNDS: o->rounds = (uint32_t)number(optarg, 1, 99, "--rounds"); break;
        case OPTION_SECONDS: o->seconds = number(optarg, 0.01, 3600, "--seconds"); break;
        case OPTION_DIR: o->directory = optarg; break;
        case OPTION_JSON: o->json = optarg; break;
        case OPTION_QUICK:
            o->keys = 100000;
            o->rounds = 1;
            o->seconds = 0.5;
            break;
        case OPTION_COMPACT: o->compact = true; break;
        case OPTION_HELP: usage(stdout); exit(0);
        case OPTION_CHILD: o->child = optarg; break;
        case OPTION_GROUP: o->child_group = (row_group)number(optarg, 0, GROUP_COUNT - 1, "--group"); break;
        default: exit(2);
        }
    }
    if (optind < argc) wrong("unexpected", argv[optind]);
    if (o->writes == 0 || o->writes > o->keys) o->writes = o->keys;
}

bool options_group_wanted(const bench_options *options, const bench_engine *engine, row_group group) {
    if (engine->kind == BENCH_BARE && group != GROUP_DURABLE_ONE && group != GROUP_DURABLE_MANY) return false;
    if (group == GROUP_DURABLE_OUTSTANDING && !engine->put_slot) return false;
    for (int i = 0; i < ROW_COUNT; i++)
        if (options->rows[i] && bench_rows[i].group == group) return true;
    return false;
}
