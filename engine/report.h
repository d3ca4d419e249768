/*
 * report.h - what verify and repair found, as they gather it. One thread.
 *
 * A report outlives the database that it is of: it copies everything into an arena of its own. It lists a bounded
 * number of findings and of key ranges; ranges stay ascending and disjoint while they are added.
 */
#ifndef VELOCITY_REPORT_H
#define VELOCITY_REPORT_H

#include "velocity.h"

/* Before anything is added. NO_MEMORY. */
VELOCITY_CHECK_RESULT velocity_status report_begin(velocity_report *report);
/* Gives what was found to the caller's report (may be NULL), as far as its struct reaches. */
void report_deliver(velocity_report *found, velocity_report *report);
/* The first failure to add (memory) sticks; the callers' loops end with it. */
VELOCITY_CHECK_RESULT velocity_status report_status(const velocity_report *report);

/* The file's name is what stands behind the last slash of `path`. */
void report_add(velocity_report *report, velocity_finding_kind kind, const char *path, uint64_t offset,
                const char *format, ...) __attribute__((format(printf, 5, 6)));
/* Takes this thread's error message apart: "<path>: offset <n>: <what>". */
void report_add_message(velocity_report *report, velocity_finding_kind kind, const char *path);
/* Slices with data NULL: no bound. */
void report_add_stale(velocity_report *report, velocity_slice first, velocity_slice last);

#endif
