/*
 * logger.h - the server's log: one line an event, logfmt or JSON, to standard error or a file.
 *
 * A line holds a time, a level, the event's name and fields. Never put a stored value, a password or a token in one.
 *
 *     logger_event(log, LOGGER_LEVEL_INFO, "ready", logger_text("address", "127.0.0.1:2005"), logger_number("pid",
 * 42)); time=2026-01-02T03:04:05.678Z level=info event=ready address=127.0.0.1:2005 pid=42
 *
 * Threads: all functions but logger_open and logger_close may be called from any thread. A line is one write(2): lines
 * of several threads never mix. Lock: `mutex` guards the descriptor against logger_reopen; nothing else is taken under
 * it.
 */
#ifndef VELOCITY_SERVER_LOGGER_H
#define VELOCITY_SERVER_LOGGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum logger_level { LOGGER_LEVEL_ERROR, LOGGER_LEVEL_WARNING, LOGGER_LEVEL_INFO, LOGGER_LEVEL_DEBUG };
enum logger_format { LOGGER_FORMAT_LOGFMT, LOGGER_FORMAT_JSON };

#define LOGGER_MAX_LINE_BYTES 8192 /* fields that don't fit are left out; the line stays whole */
#define LOGGER_MAX_TEXT_BYTES 2048 /* of one field; longer texts are cut */

struct logger;

struct logger_field {
    const char *name; /* NULL ends a list; letters and underscores only */
    const char *text; /* NULL: the number counts */
    uint64_t number;
};

static inline struct logger_field logger_text(const char *name, const char *text) {
    return (struct logger_field){name, text ? text : "", 0};
}
static inline struct logger_field logger_number(const char *name, uint64_t number) {
    return (struct logger_field){name, NULL, number};
}

/* path: "" for standard error, else a file that is made (0600) or appended to. NULL with errno set on failure. */
struct logger *logger_open(const char *path, enum logger_level level, enum logger_format format);
/* Opens the file anew, after someone moved it away. False with errno set: the old one stays in use. */
bool logger_reopen(struct logger *log);
void logger_close(struct logger *log); /* NULL is allowed */

/* What is logged from now on, and how. */
void logger_configure(struct logger *log, enum logger_level level, enum logger_format format);
bool logger_wants(const struct logger *log, enum logger_level level);
void logger_write(struct logger *log, enum logger_level level, const char *event, const struct logger_field *fields);
#define logger_event(log, level, ...) logger_event_(log, level, __VA_ARGS__, (struct logger_field){0})
/* The first variable argument is the event's name; C17 wants at least one after the named ones. */
#define logger_event_(log, level, event, ...)                                                                          \
    logger_write(log, level, event, (const struct logger_field[]){__VA_ARGS__})

#endif
