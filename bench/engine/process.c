/* process.c - see process.h. Control groups: version 1 and 2, as the kernel's documentation (cgroup-v1/memory,
 * cgroup-v2) names their files. */
#include "process.h"
#include "bench.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (1024.0 * 1024.0)

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

double process_memory_mib(void) {
    return proc_figure("/proc/self/status", "VmRSS:") / 1024;
}
double process_peak_memory_mib(void) {
    return proc_figure("/proc/self/status", "VmHWM:") / 1024;
}
double process_written_bytes(void) {
    return proc_figure("/proc/self/io", "write_bytes:");
}
double process_read_bytes(void) {
    return proc_figure("/proc/self/io", "rchar:");
}

double process_cpu_seconds(void) {
    struct rusage usage;
    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
}

/* ---- directories ------------------------------------------------------------------------------------------------- */

static double bytes_seen;

static int add_size(const char *path, const struct stat *info, int type, struct FTW *at) {
    (void)path, (void)at;
    if (type == FTW_F) bytes_seen += (double)info->st_blocks * 512;
    return 0;
}

double directory_bytes(const char *path) {
    bytes_seen = 0;
    if (nftw(path, add_size, 16, FTW_PHYS) != 0) bench_fail("cannot measure %s", path);
    return bytes_seen;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *at) {
    (void)info, (void)type, (void)at;
    return remove(path);
}

void directory_remove(const char *path) {
    if (nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT)
        bench_fail("cannot remove %s: %s", path, strerror(errno));
}

/* ---- a limit of memory ------------------------------------------------------------------------------------------- */

static const struct {
    const char *root, *limit;
} hierarchies[] = {
    {"/sys/fs/cgroup/memory", "memory.limit_in_bytes"}, /* version 1 */
    {"/sys/fs/cgroup", "memory.max"},                   /* version 2 */
};

static void group_path(char *path, size_t size, int hierarchy, int pid, const char *file) {
    (void)snprintf(path, size, "%s/velocity_bench_%d%s%s", hierarchies[hierarchy].root, pid, file ? "/" : "",
                   file ? file : "");
}

static bool write_number(const char *path, uint64_t number) {
    FILE *f = fopen(path, "w");
    if (!f) return false;
    bool ok = fprintf(f, "%llu\n", (unsigned long long)number) > 0;
    return fclose(f) == 0 && ok;
}

void process_limit_memory(uint64_t bytes) {
    if (bytes == 0) return;
    char path[256];
    int pid = (int)getpid();
    for (int h = 0; h < 2; h++) {
        group_path(path, sizeof path, h, pid, NULL);
        if (mkdir(path, 0755) != 0) continue;
        group_path(path, sizeof path, h, pid, hierarchies[h].limit);
        bool limited = write_number(path, bytes);
        group_path(path, sizeof path, h, pid, "cgroup.procs");
        if (limited && write_number(path, (uint64_t)pid)) return;
        process_limit_remove(pid);
    }
    bench_fail("--memory-limit: no control group for memory can be made: %s", strerror(errno));
}

void process_limit_remove(int pid) {
    char path[256];
    for (int h = 0; h < 2; h++) {
        group_path(path, sizeof path, h, pid, NULL);
        (void)rmdir(path); /* there is one of them at most */
    }
}
