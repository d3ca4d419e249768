/* machine.c - see machine.h. */
#include "machine.h"
#include "histogram.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

static void processor_name(char *name, size_t size) {
    char line[512];
    FILE *f = fopen("/proc/cpuinfo", "r");
    (void)snprintf(name, size, "unknown processor");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon) continue;
        (void)snprintf(name, size, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    if (f) (void)fclose(f);
}

/* The type of the mount whose path is the longest beginning of `directory`. */
static void file_system(const char *directory, char *type, size_t size) {
    char path[PATH_MAX], line[8192], mount[4096], kind[64];
    size_t longest = 0;
    FILE *f = fopen("/proc/self/mounts", "r");
    (void)snprintf(type, size, "unknown");
    if (!realpath(directory, path)) (void)snprintf(path, sizeof path, "/");
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "%*s %4095s %63s", mount, kind) != 2) continue;
        size_t length = strlen(mount);
        if (strncmp(path, mount, length) != 0 || length < longest) continue;
        longest = length;
        (void)snprintf(type, size, "%s", kind);
    }
    if (f) (void)fclose(f);
}

/* What one reading of the clock costs: it is part of every operation that is timed. */
static double clock_cost_ns(void) {
    enum { READINGS = 1000000 };
    uint64_t first = ticks_now(), last = first;
    for (int i = 0; i < READINGS; i++) last = ticks_now();
    return (double)(last - first) / READINGS / ticks_per_second() * 1e9;
}

void machine_print(const bench_options *options, FILE *out) {
    char processor[256], type[64], date[64];
    struct utsname kernel;
    double load[1] = {-1};
    time_t now = time(NULL);
    struct tm utc;
    processor_name(processor, sizeof processor);
    file_system(options->directory, type, sizeof type);
    (void)uname(&kernel);
    (void)gmtime_r(&now, &utc);
    (void)strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &utc);
    (void)getloadavg(load, 1);
    double memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / (1 << 30);
    (void)fprintf(out, "- %s; %s, %ld cores, %.1f GiB; %s %s; %s; load average at the start %.2f\n", date, processor,
                  sysconf(_SC_NPROCESSORS_ONLN), memory, kernel.sysname, kernel.release, type, load[0]);
    (void)fprintf(
        out,
        "- %llu keys of %u bytes, values of %u bytes, half compressible; %u rounds; %g s for rows bounded by time\n",
        (unsigned long long)options->keys, BENCH_KEY_BYTES, options->value_bytes, options->rounds, options->seconds);
    if (options->writes < options->keys)
        (void)fprintf(out, "- %llu puts or operations in the rows that overwrite and mix\n",
                      (unsigned long long)options->writes);
    if (options->memory_limit)
        (void)fprintf(out, "- %llu MiB of memory for each engine, with what the system caches for it\n",
                      (unsigned long long)(options->memory_limit >> 20));
    if (options->compact) (void)fprintf(out, "- everything was compacted before the rows that read\n");
    (void)fprintf(out, "- write buffer %llu MiB, block cache %llu MiB; timing costs every operation some %.0f ns\n",
                  (unsigned long long)(BENCH_MEMTABLE_BYTES >> 20), (unsigned long long)(BENCH_CACHE_BYTES >> 20),
                  clock_cost_ns());
    for (int i = 0; bench_engines[i]; i++) {
        const bench_engine *e = bench_engines[i];
        if (!options->engines[i]) continue;
        (void)fprintf(out, "- %s%s%s: %s\n", e->title, e->version ? " " : "", e->version ? e->version() : "",
                      e->configuration);
    }
    (void)fputc('\n', out);
    (void)fflush(out);
}
