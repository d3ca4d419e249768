/*
 * status.h - how the engine reports failures: a status, and words kept per thread.
 */
#ifndef VELOCITY_STATUS_H
#define VELOCITY_STATUS_H

#include "velocity.h"

/* Sets this thread's error message (printf-like, cut at 511 bytes) and returns `status`, for `return status_set(...)`.
 */
velocity_status status_set(velocity_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
