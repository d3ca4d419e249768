/* logger.c - see logger.h. A line is built in a buffer on the stack; what does not fit is left out, field by field. */
#include "server/logger.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct logger {
    _Atomic unsigned level;  /* enum logger_level */
    _Atomic unsigned format; /* enum logger_format */
    char *path;              /* "": standard error */
    pthread_mutex_t mutex;   /* guards descriptor */
    int descriptor;
};

struct line {
    char bytes[LOGGER_MAX_LINE_BYTES];
    size_t size;
    size_t fields;
    bool full; /* something did not fit; nothing is appended any more */
};

static const char *const level_names[] = {"error", "warning", "info", "debug"};

static int open_file(const char *path) {
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

void logger_configure(struct logger *log, enum logger_level level, enum logger_format format) {
    atomic_store_explicit(&log->level, level, memory_order_relaxed);
    atomic_store_explicit(&log->format, format, memory_order_relaxed);
}

struct logger *logger_open(const char *path, enum logger_level level, enum logger_format format) {
    struct logger *log = calloc(1, sizeof *log);
    if (!log) return NULL;
    logger_configure(log, level, format);
    log->path = strdup(path);
    log->descriptor = *path ? open_file(path) : STDERR_FILENO;
    if (!log->path || log->descriptor < 0) {
        int error = errno;
        free(log->path);
        free(log);
        errno = error;
        return NULL;
    }
    (void)pthread_mutex_init(&log->mutex, NULL);
    return log;
}

bool logger_reopen(struct logger *log) {
    if (!*log->path) return true;
    int descriptor = open_file(log->path);
    if (descriptor < 0) return false;
    (void)pthread_mutex_lock(&log->mutex);
    int old = log->descriptor;
    log->descriptor = descriptor;
    (void)pthread_mutex_unlock(&log->mutex);
    (void)close(old);
    return true;
}

void logger_close(struct logger *log) {
    if (!log) return;
    if (*log->path) (void)close(log->descriptor);
    (void)pthread_mutex_destroy(&log->mutex);
    free(log->path);
    free(log);
}

bool logger_wants(const struct logger *log, enum logger_level level) {
    return level <= atomic_load_explicit(&log->level, memory_order_relaxed);
}

/* Room for the closing brace and the newline is always kept. */
#define LINE_TAIL_BYTES 2

static void append(struct line *line, const char *bytes, size_t size) {
    if (line->full || size > sizeof line->bytes - LINE_TAIL_BYTES - line->size) {
        line->full = true;
        return;
    }
    memcpy(line->bytes + line->size, bytes, size);
    line->size += size;
}

static void append_text(struct line *line, const char *text) {
    append(line, text, strlen(text));
}

/* Between quotes, escaped as in JSON. Bytes over 127 pass: the log is UTF-8 where what is logged is. */
static void append_quoted(struct line *line, const char *text, size_t text_size) {
    append_text(line, "\"");
    for (size_t i = 0; i < text_size; i++) {
        unsigned char c = (unsigned char)text[i];
        char escape[8];
        int size = 1;
        escape[0] = text[i];
        if (c == '"' || c == '\\')
            size = snprintf(escape, sizeof escape, "\\%c", c);
        else if (c == '\n')
            size = snprintf(escape, sizeof escape, "\\n");
        else if (c < 0x20 || c == 0x7f)
            size = snprintf(escape, sizeof escape, "\\u%04x", c);
        append(line, escape, (size_t)size);
    }
    append_text(line, "\"");
}

static bool needs_quotes(const char *text) {
    if (!*text) return true;
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || *text == '"' || *text == '=' || *text == '\\' || *text == 0x7f) return true;
    return false;
}

/* How much of a text is logged: all of it, or the first bytes of a long one, cut between two characters of UTF-8. */
static size_t shown_bytes(const char *text) {
    size_t size = strlen(text);
    if (size <= LOGGER_MAX_TEXT_BYTES) return size;
    for (size = LOGGER_MAX_TEXT_BYTES; size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80;) size--;
    return size;
}

/* All of the field, or nothing of it. */
static void append_field(struct line *line, enum logger_format format, const struct logger_field *field) {
    size_t before = line->size;
    bool json = format == LOGGER_FORMAT_JSON;
    if (line->fields++ > 0) append_text(line, json ? "," : " ");
    if (json)
        append_quoted(line, field->name, strlen(field->name));
    else
        append_text(line, field->name);
    append_text(line, json ? ":" : "=");
    if (!field->text) {
        char number[24];
        append(line, number, (size_t)snprintf(number, sizeof number, "%" PRIu64, field->number));
    } else if (json || needs_quotes(field->text)) {
        append_quoted(line, field->text, shown_bytes(field->text));
    } else {
        append(line, field->text, shown_bytes(field->text));
    }
    if (line->full) line->size = before;
}

static void format_time(char *out, size_t size) {
    struct timespec now;
    struct tm utc;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &utc);
    size_t used = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &utc);
    (void)snprintf(out + used, size - used, ".%03dZ", (int)(now.tv_nsec / 1000000));
}

void logger_write(struct logger *log, enum logger_level level, const char *event, const struct logger_field *fields) {
    if (!logger_wants(log, level)) return;
    enum logger_format format = atomic_load_explicit(&log->format, memory_order_relaxed);
    struct line line;
    char time[40];
    line.size = line.fields = 0;
    line.full = false;
    format_time(time, sizeof time);
    if (format == LOGGER_FORMAT_JSON) line.bytes[line.size++] = '{';
    const struct logger_field head[] = {logger_text("time", time), logger_text("level", level_names[level]),
                                        logger_text("event", event)};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++) append_field(&line, format, &head[i]);
    for (; fields->name; fields++) append_field(&line, format, fields);
    if (format == LOGGER_FORMAT_JSON) line.bytes[line.size++] = '}';
    line.bytes[line.size++] = '\n';
    (void)pthread_mutex_lock(&log->mutex);
    /* A log that can't be written has nowhere to say so: the server goes on without the line. */
    ssize_t written = write(log->descriptor, line.bytes, line.size);
    (void)written;
    (void)pthread_mutex_unlock(&log->mutex);
}
