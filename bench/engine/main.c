/*
 * main.c - velocity_bench_engines: the rows of rows.c on Velocity and on its peers, in one run.
 *
 * For each round, each group of rows and each engine in turn it starts itself again as a child with a fresh directory,
 * so that a slower minute of the machine meets every engine, memory is counted for each alone, and a crash is one cell.
 */
#include "child.h"
#include "machine.h"
#include "process.h"
#include "report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SELF "/proc/self/exe"

extern const bench_engine bench_velocity, bench_velocity_variants[], bench_bare;
#ifdef BENCH_ROCKSDB
extern const bench_engine bench_rocksdb;
#endif
#ifdef BENCH_LEVELDB
extern const bench_engine bench_leveldb;
#endif
#ifdef BENCH_LMDB
extern const bench_engine bench_lmdb;
#endif

const bench_engine *const bench_engines[] = {
    &bench_velocity,
#ifdef BENCH_ROCKSDB
    &bench_rocksdb,
#endif
#ifdef BENCH_LEVELDB
    &bench_leveldb,
#endif
#ifdef BENCH_LMDB
    &bench_lmdb,
#endif
    &bench_bare,
    &bench_velocity_variants[0],
    &bench_velocity_variants[1],
    &bench_velocity_variants[2],
    &bench_velocity_variants[3],
    NULL,
};

void bench_fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)fprintf(stderr, "velocity_bench_engines: ");
    (void)vfprintf(stderr, format, arguments);
    (void)fprintf(stderr, "\n");
    va_end(arguments);
    _exit(1);
}

/* In the forked process: becomes the child. */
__attribute__((noreturn)) static void become_child(int argc, char **argv, const char *engine, int group,
                                                   const char *directory, int out) {
    char **arguments = calloc((size_t)argc + 7, sizeof *arguments);
    char number[16];
    if (!arguments || dup2(out, STDOUT_FILENO) < 0) bench_fail("cannot start a child");
    (void)snprintf(number, sizeof number, "%d", group);
    memcpy(arguments, argv, (size_t)argc * sizeof *arguments);
    const char *more[] = {"--child", engine, "--group", number, "--dir", directory};
    for (int i = 0; i < 6; i++) arguments[argc + i] = (char *)(uintptr_t)more[i];
    (void)execv(SELF, arguments);
    bench_fail("cannot start itself: %s", strerror(errno));
}

/* Reads what the child prints until it ends. False: it failed, or printed something else. */
static bool collect(report *r, int engine, int in, pid_t pid) {
    char line[256];
    bool ok = true;
    int status = 0;
    FILE *f = fdopen(in, "r");
    if (!f) bench_fail("no memory");
    while (fgets(line, sizeof line, f)) ok = report_line(r, engine, line) && ok;
    (void)fclose(f);
    if (waitpid(pid, &status, 0) != pid) bench_fail("lost a child: %s", strerror(errno));
    if (WIFSIGNALED(status))
        (void)fprintf(stderr, "%s: ended by signal %d\n", bench_engines[engine]->id, WTERMSIG(status));
    return ok && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void run_child(report *r, int engine, int group, int argc, char **argv) {
    char directory[4096];
    int ends[2];
    if (snprintf(directory, sizeof directory, "%s/%s", r->options->directory, bench_engines[engine]->id) >=
        (int)sizeof directory)
        bench_fail("--dir is too long");
    directory_remove(directory);
    if (mkdir(directory, 0700) != 0) bench_fail("%s: %s", directory, strerror(errno));
    sync(); /* nobody pays for what another left dirty */
    if (pipe(ends) != 0) bench_fail("pipe: %s", strerror(errno));
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) bench_fail("fork: %s", strerror(errno));
    if (pid == 0) {
        (void)close(ends[0]);
        become_child(argc, argv, bench_engines[engine]->id, group, directory, ends[1]);
    }
    (void)close(ends[1]);
    if (!collect(r, engine, ends[0], pid)) r->failures[engine]++;
    process_limit_remove((int)pid);
    directory_remove(directory);
}

static void run_rounds(report *r, int argc, char **argv) {
    const bench_options *o = r->options;
    for (uint32_t round = 0; round < o->rounds; round++)
        for (int group = 0; group < GROUP_COUNT; group++)
            for (int e = 0; bench_engines[e]; e++) {
                if (!o->engines[e] || !options_group_wanted(o, bench_engines[e], (row_group)group)) continue;
                (void)fprintf(stderr, "round %u of %u, group %d of %d: %s\n", round + 1, o->rounds, group + 1,
                              GROUP_COUNT, bench_engines[e]->title);
                run_child(r, e, group, argc, argv);
            }
}

static int run_parent(const bench_options *options, int argc, char **argv) {
    report *r = calloc(1, sizeof *r);
    if (!r) bench_fail("no memory");
    r->options = options;
    bool made = mkdir(options->directory, 0700) == 0;
    if (!made && errno != EEXIST) bench_fail("%s: %s", options->directory, strerror(errno));
    machine_print(options, stdout);
    run_rounds(r, argc, argv);
    report_print(r, stdout);
    if (options->json) {
        FILE *f = fopen(options->json, "w");
        if (!f) bench_fail("%s: %s", options->json, strerror(errno));
        report_json(r, f);
        if (fclose(f) != 0) bench_fail("%s: %s", options->json, strerror(errno));
    }
    if (made) (void)rmdir(options->directory);
    uint32_t failures = 0;
    for (int e = 0; bench_engines[e]; e++) failures += r->failures[e];
    free(r);
    return failures == 0 ? 0 : 1;
}

int main(int argc, char **argv) {
    bench_options options;
    options_parse(&options, argc, argv);
    if (!options.child) return run_parent(&options, argc, argv);
    child_run(&options);
    return 0;
}
