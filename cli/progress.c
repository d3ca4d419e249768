/* progress.c - see progress.h. */
#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define DRAW_EVERY_US 200000
#define BAR_CELLS     30

static uint64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

void progress_begin(struct progress *p, const char *what) {
    *p = (struct progress){.what = what, .shown = isatty(STDERR_FILENO) == 1, .began_us = now_us()};
}

static void draw_bar(uint64_t done, uint64_t total) {
    double share = done < total ? (double)done / (double)total : 1;
    int filled = (int)(share * BAR_CELLS);
    (void)fputc('[', stderr);
    for (int i = 0; i < BAR_CELLS; i++) (void)fputc(i < filled ? '#' : ' ', stderr);
    (void)fprintf(stderr, "] %3d%%  ", (int)(share * 100));
}

void progress_show(struct progress *p, uint64_t count, uint64_t done, uint64_t total) {
    uint64_t now = p->shown ? now_us() : 0;
    if (!p->shown || now - p->drawn_us < DRAW_EVERY_US) return;
    double seconds = (double)(now - p->began_us) / 1e6;
    (void)fputs("\r\033[K", stderr);
    if (total) draw_bar(done, total);
    (void)fprintf(stderr, "%" PRIu64 " %s, %.0f a second", count, p->what, seconds > 0 ? (double)count / seconds : 0);
    (void)fflush(stderr);
    p->drawn = true;
    p->drawn_us = now;
}

void progress_end(struct progress *p) {
    if (p->drawn) (void)fputs("\r\033[K", stderr);
    p->drawn = false;
}
