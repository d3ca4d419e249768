/*
 * main.c - velocity_soak: starts, kills and starts again the process that works, and reports. See soak.h.
 *
 *     velocity_soak [--seconds N] [--seed N] [--dir FOLDER]
 */
#include "soak.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct arguments {
    uint64_t seconds, seed;
    const char *folder;
};

static uint64_t now_ms(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void usage(void) {
    fprintf(stderr, "usage: velocity_soak [--seconds N] [--seed N] [--dir FOLDER]   (600, the clock, soak-data)\n");
    exit(2);
}

static struct arguments parse(int argc, char **argv) {
    struct arguments a = {.seconds = 600, .seed = (uint64_t)time(NULL), .folder = "soak-data"};
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc) usage();
        if (strcmp(argv[i], "--seconds") == 0)
            a.seconds = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            a.seed = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--dir") == 0)
            a.folder = argv[i + 1];
        else
            usage();
    }
    return a;
}

struct sums {
    uint64_t writes, reads, scans, scanned_keys, transactions, expired, copies, slowest_us;
};

static struct sums add_up(struct soak_ledger *ledger) {
    struct sums s = {0};
    for (int i = 0; i < SOAK_THREADS; i++) {
        struct soak_thread *t = &ledger->threads[i];
        s.writes += atomic_load(&t->writes);
        s.reads += atomic_load(&t->reads);
        s.scans += atomic_load(&t->scans);
        s.scanned_keys += atomic_load(&t->scanned_keys);
        s.transactions += atomic_load(&t->transactions);
        s.expired += atomic_load(&t->expired);
        s.copies += atomic_load(&t->copies);
        if (atomic_load(&t->slowest_us) > s.slowest_us) s.slowest_us = atomic_load(&t->slowest_us);
    }
    return s;
}

static void report(struct soak_ledger *ledger, uint64_t seconds, uint64_t kills) {
    struct sums s = add_up(ledger);
    printf(
        "%5llu s: %llu kills, %llu orderly ends, %llu keys checked after them; %llu writes, %llu reads, %llu scans of "
        "%llu keys, %llu transactions, %llu keys seen expired, %llu checkpoints compared, %llu flushes and "
        "compactions; "
        "slowest write %llu ms\n",
        (unsigned long long)seconds, (unsigned long long)kills, (unsigned long long)atomic_load(&ledger->closed),
        (unsigned long long)atomic_load(&ledger->checked), (unsigned long long)s.writes, (unsigned long long)s.reads,
        (unsigned long long)s.scans, (unsigned long long)s.scanned_keys, (unsigned long long)s.transactions,
        (unsigned long long)s.expired, (unsigned long long)s.copies,
        (unsigned long long)atomic_load(&ledger->maintained), (unsigned long long)(s.slowest_us / 1000));
    (void)fflush(stdout);
}

/* Until the child ends or the time comes. True: it ended, *status says how. */
static bool wait_until(pid_t child, uint64_t when_ms, int *status) {
    for (;;) {
        if (waitpid(child, status, WNOHANG) == child) return true;
        if (now_ms() >= when_ms) return false;
        (void)usleep(2000);
    }
}

/* One life of the working process. False: a promise was broken. */
static bool one_life(struct soak_ledger *ledger, const struct arguments *a, uint64_t seed, bool last, uint64_t *kills) {
    struct soak_random random = {seed * UINT64_C(0x9e3779b97f4a7c15) + 77};
    bool orderly = last || soak_below(&random, 6) == 0, while_opening = soak_below(&random, 5) == 0;
    int status;
    atomic_store(&ledger->working, false);
    atomic_store(&ledger->stop, false);
    pid_t child = fork();
    if (child < 0) {
        perror("soak: fork");
        return false;
    }
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* it does not outlive a parent that was interrupted */
        soak_work(ledger, a->folder, seed);
        _exit(0);
    }
    bool ended = false;
    if (!orderly && while_opening) {
        ended = wait_until(child, now_ms() + soak_below(&random, 60), &status);
    } else {
        while (!ended && !atomic_load(&ledger->working)) ended = wait_until(child, now_ms() + 5, &status);
        if (!ended) ended = wait_until(child, now_ms() + 50 + soak_below(&random, 3000), &status);
    }
    if (orderly) atomic_store(&ledger->stop, true);
    if (!ended && !orderly) {
        (void)kill(child, SIGKILL);
        ++*kills;
    }
    if (!ended) (void)waitpid(child, &status, 0);
    if (atomic_load(&ledger->failed)) return false;
    if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL) {
        (void)snprintf(ledger->message, sizeof ledger->message, "the process ended by signal %d", WTERMSIG(status));
        return false;
    }
    return true;
}

/* Of checkpoints that were under way at a kill, both names may be there. */
static void remove_copies(const char *folder) {
    char path[256], unfinished[300];
    for (uint32_t i = 0; i < SOAK_THREADS; i++) {
        soak_remove(soak_copy(folder, i, path));
        (void)snprintf(unfinished, sizeof unfinished, "%s.tmp-checkpoint", path);
        soak_remove(unfinished);
    }
}

int main(int argc, char **argv) {
    struct arguments a = parse(argc, argv);
    struct soak_ledger *ledger = ledger_new();
    uint64_t began = now_ms(), reported = began, kills = 0;
    printf("soak: %llu s, seed %llu, in %s (removed first)\n", (unsigned long long)a.seconds,
           (unsigned long long)a.seed, a.folder);
    (void)fflush(stdout);
    soak_remove(a.folder);
    remove_copies(a.folder);
    for (uint64_t life = 0;; life++) {
        uint64_t elapsed = now_ms() - began;
        bool last = elapsed >= a.seconds * 1000;
        if (!one_life(ledger, &a, a.seed + life, last, &kills)) {
            printf("soak: FAILED in life %llu (seed %llu): %s\n", (unsigned long long)life, (unsigned long long)a.seed,
                   ledger->message);
            return 1;
        }
        if (last) break;
        if (now_ms() - reported < 10000) continue;
        reported = now_ms();
        report(ledger, (reported - began) / 1000, kills);
    }
    report(ledger, (now_ms() - began) / 1000, kills);
    remove_copies(a.folder);
    printf("soak: survived\n");
    return 0;
}
