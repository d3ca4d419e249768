/*
 * rows_csv.c - comma-separated values as RFC 4180 has them: the first line names the columns; a field in double quotes
 * may hold commas, line ends and, twice, quotes. One column is the key; the others become a JSON object of texts, or
 * one of them is the value.
 *
 * A position is the number of the record, so that what stands before it need not be trusted to be as it was.
 */
#include "cli/rows.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define COLUMNS_MAX      4096
#define RECORD_MAX_BYTES ((size_t)64 << 20)

enum ending { END_RECORD, END_FILE, END_QUOTED, END_NUL, END_TOO_LONG, END_BROKEN };

struct csv {
    struct rows rows;
    FILE *file;
    struct json_writer head, record, json; /* head, record: the fields, each with a NUL behind it */
    enum ending ending;                    /* of the record that was read last */
    size_t columns, key, value;            /* value == columns: all others */
};

static size_t end_record(struct csv *c, enum ending ending, size_t fields) {
    c->ending = ending;
    return fields;
}

/* A byte order mark is no part of the first name; what follows it may be a quote. */
static void drop_mark(struct csv *c, struct json_writer *out, size_t fields) {
    if (c->columns == 0 && fields == 0 && out->size == 3 && memcmp(out->data, "\xEF\xBB\xBF", 3) == 0) out->size = 0;
}

/* One record: its fields into `out`; how many, 0: there is none, and c->ending says why. */
static size_t read_record(struct csv *c, struct json_writer *out) {
    bool quoted = false, was_quoted = false;
    size_t fields = 0;
    int ch;
    json_writer_clear(out);
    out->limit_bytes = RECORD_MAX_BYTES;
    while ((ch = getc_unlocked(c->file)) != EOF) {
        char byte = (char)ch;
        c->rows.done++;
        if (ch == 0) return end_record(c, END_NUL, 0);
        if (quoted && ch == '"') {
            int next = getc_unlocked(c->file);
            c->rows.done++;
            quoted = next == '"';
            if (quoted) json_append(out, "\"", 1);
            if (!quoted && next != EOF) {
                (void)ungetc(next, c->file);
                c->rows.done--;
            }
        } else if (quoted) {
            json_append(out, &byte, 1);
        } else if (ch == '"' && (out->size == 0 || out->data[out->size - 1] == 0) && !was_quoted) {
            quoted = was_quoted = true;
        } else if (ch == ',' || ch == '\n') {
            if (ch == '\n' && !was_quoted && out->size && out->data[out->size - 1] == '\r') out->size--;
            json_append(out, "", 1);
            was_quoted = false;
            fields++;
            if (ch == ',') continue;
            if (!out->failed && (fields > 1 || out->size > 1)) return end_record(c, END_RECORD, fields);
            if (!out->failed) json_writer_clear(out); /* an empty line */
            fields = 0;
        } else if (ch != '\r' || !was_quoted) {
            json_append(out, &byte, 1);
            drop_mark(c, out, fields);
        }
        if (out->failed) return end_record(c, END_TOO_LONG, 0);
    }
    if (ferror(c->file)) return end_record(c, END_BROKEN, 0);
    if (quoted) return end_record(c, END_QUOTED, 0);
    if (out->size && !was_quoted && out->data[out->size - 1] == '\r') out->size--; /* of a line end that was cut */
    if (out->size == 0 && fields == 0) return end_record(c, END_FILE, 0);
    json_append(out, "", 1);
    return out->failed ? end_record(c, END_TOO_LONG, 0) : end_record(c, END_RECORD, fields + 1);
}

static const char *field_at(const struct json_writer *record, size_t index) {
    const char *p = record->data;
    while (index-- > 0) p += strlen(p) + 1;
    return p;
}

static enum row_result skip(struct csv *c, const char *reason) {
    (void)snprintf(c->rows.message, sizeof c->rows.message, "%s", reason);
    return ROW_SKIPPED;
}

static void write_object(struct csv *c) {
    json_writer_clear(&c->json);
    json_begin_object(&c->json);
    const char *name = c->head.data, *text = c->record.data;
    for (size_t i = 0; i < c->columns; i++, name += strlen(name) + 1, text += strlen(text) + 1) {
        if (i == c->key) continue;
        json_write_string(&c->json, velocity_str(name));
        json_append(&c->json, ":", 1);
        c->json.comma = false;
        json_write_string(&c->json, velocity_str(text));
    }
    json_end_object(&c->json);
}

static const char *why(enum ending ending) {
    switch (ending) {
    case END_QUOTED: return "ends within quotes";
    case END_NUL: return "holds a NUL: it is no text, or in UTF-16";
    case END_TOO_LONG: return "is longer than 64 MiB: is a quote missing?";
    case END_BROKEN: return "can't be read";
    case END_RECORD:
    case END_FILE: break;
    }
    return "is not there";
}

static enum row_result csv_next(struct rows *rows, struct row *out) {
    struct csv *c = (struct csv *)rows;
    *out = (struct row){0};
    uint64_t begin = rows->done;
    size_t fields = read_record(c, &c->record);
    if (fields == 0 && c->ending == END_FILE) return ROW_END;
    rows->position++;
    if (fields == 0) {
        (void)snprintf(rows->message, sizeof rows->message, "record %" PRIu64 ", which begins at byte %" PRIu64 ", %s",
                       rows->position, begin, why(c->ending));
        return ROW_FAILED;
    }
    if (fields != c->columns) {
        (void)snprintf(rows->message, sizeof rows->message, "record %" PRIu64 " has %zu fields, the head %zu",
                       rows->position, fields, c->columns);
        return ROW_SKIPPED;
    }
    out->key = velocity_str(field_at(&c->record, c->key));
    if (c->value < c->columns) {
        out->value = velocity_str(field_at(&c->record, c->value));
        out->type = rows_type_of(out->value);
        return ROW_READ;
    }
    if (!utf8_valid(velocity_bytes(c->record.data, c->record.size)))
        return skip(c, "it is not UTF-8: convert the file");
    write_object(c);
    if (c->json.failed) return skip(c, "it is too large as JSON");
    out->value = velocity_bytes(c->json.data, c->json.size);
    out->type = ROWS_TYPE_JSON;
    return ROW_READ;
}

static bool csv_seek(struct rows *rows, uint64_t position) {
    struct csv *c = (struct csv *)rows;
    while (rows->position < position && read_record(c, &c->record)) rows->position++;
    if (rows->position == position) return true;
    (void)snprintf(rows->message, sizeof rows->message, "it has fewer records than when it was left");
    return false;
}

static void csv_close(struct rows *rows) {
    struct csv *c = (struct csv *)rows;
    if (c->file && c->file != stdin) (void)fclose(c->file);
    json_writer_free(&c->head);
    json_writer_free(&c->record);
    json_writer_free(&c->json);
    free(c);
}

/* An object can't have two members of one name. */
static bool has_name_twice(const struct csv *c) {
    const char *end = c->head.data + c->head.size;
    for (const char *name = c->head.data; name < end; name += strlen(name) + 1)
        for (const char *other = name + strlen(name) + 1; other < end; other += strlen(other) + 1)
            if (strcmp(name, other) == 0) return true;
    return false;
}

/* The column of that name. False: there is none. */
static bool find_column(const struct csv *c, const char *name, size_t *out) {
    for (size_t i = 0; i < c->columns; i++) {
        if (strcmp(field_at(&c->head, i), name) != 0) continue;
        *out = i;
        return true;
    }
    return false;
}

static const char *read_head(struct csv *c, const struct rows_options *options) {
    c->columns = read_record(c, &c->head);
    if (c->columns == 0 && c->ending == END_NUL) return "it holds a NUL: it is no text, or in UTF-16";
    if (c->columns == 0 && c->ending == END_QUOTED) return "the line that names the columns ends within quotes";
    if (c->columns == 0) return "it has no line that names the columns";
    if (c->columns > COLUMNS_MAX) return "it has more than 4096 columns";
    if (!utf8_valid(velocity_bytes(c->head.data, c->head.size))) return "the columns' names are not UTF-8";
    if (has_name_twice(c)) return "two columns have the same name";
    c->value = c->columns;
    if (options->key_column && !find_column(c, options->key_column, &c->key))
        return "no column has the name that --key-column says";
    if (options->value_column && !find_column(c, options->value_column, &c->value))
        return "no column has the name that --value-column says";
    return NULL;
}

bool rows_open_csv(const struct rows_options *options, struct rows **out, char message[ROWS_MESSAGE_BYTES]) {
    struct csv *c = calloc(1, sizeof *c);
    struct stat info;
    const char *why = "no memory";
    if (c) {
        c->rows = (struct rows){.next = csv_next, .seek = csv_seek, .close = csv_close};
        c->file = options->path ? fopen(options->path, "re") : stdin;
        why = c->file ? read_head(c, options) : strerror(errno);
    }
    if (why) {
        (void)snprintf(message, ROWS_MESSAGE_BYTES, "%s: %s", options->path ? options->path : "standard input", why);
        if (c) csv_close(&c->rows);
        return false;
    }
    if (fstat(fileno(c->file), &info) == 0 && S_ISREG(info.st_mode)) c->rows.total = (uint64_t)info.st_size;
    *out = &c->rows;
    return true;
}
