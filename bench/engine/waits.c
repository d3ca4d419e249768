/*
 * waits.c - see waits.h. Linux: /proc/thread-self/schedstat holds nanoseconds on a processor and nanoseconds ready but
 * waiting for one (the kernel's Documentation/scheduler/sched-stats.rst); getrusage(RUSAGE_THREAD) the rest. What is
 * neither is time blocked: on a lock, a disk, a page.
 */
#include "waits.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

void waits_look(waits *w) {
    struct rusage use;
    char text[96];
    ssize_t n = w->schedstat < 0 ? -1 : pread(w->schedstat, text, sizeof text - 1, 0);
    if (n > 0) {
        char *end;
        text[n] = 0;
        w->ran_ns = strtoull(text, &end, 10);
        w->ready_ns = strtoull(end, NULL, 10);
    }
    if (getrusage(RUSAGE_THREAD, &use) != 0) return;
    w->switches_voluntary = (uint64_t)use.ru_nvcsw;
    w->switches_forced = (uint64_t)use.ru_nivcsw;
    w->faults_minor = (uint64_t)use.ru_minflt;
    w->faults_major = (uint64_t)use.ru_majflt;
}

void waits_open(waits *w) {
    *w = (waits){.schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC)};
    waits_look(w);
}

void waits_close(waits *w) {
    if (w->schedstat >= 0) (void)close(w->schedstat);
}

void waits_tell(waits *w, double at_s, double waited_ms) {
    waits before = *w;
    waits_look(w);
    (void)fprintf(stderr,
                  "wait: at %.1f s a put took %.1f ms; in it and the up to %u puts before: ran %.1f ms, ready %.1f ms, "
                  "%llu waits, %llu times preempted, %llu page faults, %llu from disk\n",
                  at_s, waited_ms, WAITS_EVERY, (double)(w->ran_ns - before.ran_ns) / 1e6,
                  (double)(w->ready_ns - before.ready_ns) / 1e6,
                  (unsigned long long)(w->switches_voluntary - before.switches_voluntary),
                  (unsigned long long)(w->switches_forced - before.switches_forced),
                  (unsigned long long)(w->faults_minor - before.faults_minor),
                  (unsigned long long)(w->faults_major - before.faults_major));
}
