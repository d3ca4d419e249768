/* machine.h - what the figures were measured on. */
#ifndef VELOCITY_BENCH_MACHINE_H
#define VELOCITY_BENCH_MACHINE_H

#include "options.h"

#include <stdio.h>

/* A Markdown list: date, processor, memory, kernel, file system, load, engines with version and configuration. */
void machine_print(const bench_options *options, FILE *out);

#endif
