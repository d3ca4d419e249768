/* status.c - statuses, their names, and the last error message of each thread. See status.h. */
#include "status.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char last_message[512];

velocity_status status_set(velocity_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(last_message, sizeof last_message, format, arguments);
    va_end(arguments);
    return status;
}

const char *velocity_error_message(void) {
    return last_message;
}

const char *velocity_version(void) {
    return VELOCITY_VERSION_STRING;
}

const char *velocity_status_name(velocity_status status) {
    static const char *const names[] = {
        "OK", "NOT_FOUND", "INVALID",   "CONFLICT",  "BUSY",        "LOCKED",     "CORRUPT",
        "IO", "NO_SPACE",  "NO_MEMORY", "READ_ONLY", "UNSUPPORTED", "INCOMPLETE", "HISTORY_GONE",
    };
    size_t i = (size_t)status;
    return i < sizeof names / sizeof *names ? names[i] : "UNKNOWN";
}
