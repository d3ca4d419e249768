/* progress.h - a line on the terminal that says how far long work is; nothing where standard error is no terminal. */
#ifndef VELOCITY_CLI_PROGRESS_H
#define VELOCITY_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *what; /* "rows" */
    bool shown;       /* there is a terminal */
    bool drawn;       /* something stands there */
    uint64_t began_us, drawn_us;
};

void progress_begin(struct progress *progress, const char *what);
/* `total` 0: not known. It draws a few times a second at most. */
void progress_show(struct progress *progress, uint64_t count, uint64_t done, uint64_t total);
/* Wipes the line. */
void progress_end(struct progress *progress);

#endif
