/*
 * log.h - the server's log: one line an event, logfmt or JSON, to standard error or a file.
 *
 * A line holds a time, a level, the event's name and fields. Never put a stored value, a password or a token in one.
 *
 *     log_event(log, LOG_LEVEL_INFO, "ready", log_text("address", "127.0.0.1:2005"), log_number("pid", 42));
 *     time=2026-01-02T03:04:05.678Z level=info event=ready address=127.0.0.1:2005 pid=42
 *
 * Threads: all functions but log_open and log_close may be called from any thread. A line is one write(2): lines of
 * several threads never mix. Lock: `mutex` guards the descriptor against log_reopen; nothing else is taken under it.
 */
#ifndef VELOCITY_SERVER_LOG_H
#define VELOCITY_SERVER_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_LOGFMT, LOG_FORMAT_JSON };

#define LOG_MAX_LINE_BYTES 8192 /* fields that don't fit are left out; the line stays whole */
#define LOG_MAX_TEXT_BYTES 2048 /* of one field; longer texts are cut */

struct log;

struct log_field {
    const char *name; /* NULL ends a list; letters and underscores only */
    const char *text; /* NULL: the number counts */
    uint64_t number;
};

static inline struct log_field log_text(const char *name, const char *text) {
    return (struct log_field){name, text ? text : "", 0};
}
static inline struct log_field log_number(const char *name, uint64_t number) {
    return (struct log_field){name, NULL, number};
}

/* path: "" for standard error, else a file that is made (0600) or appended to. NULL with errno set on failure. */
struct log *log_open(const char *path, enum log_level level, enum log_format format);
/* Opens the file anew, after someone moved it away. False with errno set: the old one stays in use. */
bool log_reopen(struct log *log);
void log_close(struct log *log); /* NULL is allowed */

bool log_wants(const struct log *log, enum log_level level);
void log_write(struct log *log, enum log_level level, const char *event, const struct log_field *fields);
#define log_event(log, level, ...) log_event_(log, level, __VA_ARGS__, (struct log_field){0})
/* The first variable argument is the event's name; C17 wants at least one after the named ones. */
#define log_event_(log, level, event, ...) log_write(log, level, event, (const struct log_field[]){__VA_ARGS__})

#endif
