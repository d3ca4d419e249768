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

struct csv {
    struct rows rows;
    FILE *file;
    struct json_writer head, record, json; /* head, record: the fields, each with a NUL behind it */
    bool binary;                           /* a NUL was met: it is no text */
    size_t columns, key, value;            /* value == columns: all others */
};

/* One record: its fields into `out`; how many, 0: the end, or failed. */
static size_t read_record(struct csv *c, struct json_writer *out) {
    bool quoted = false, was_quoted = false;
    size_t fields = 0;
    int ch;
    json_writer_clear(out);
    out->limit_bytes = RECORD_MAX_BYTES;
    while ((ch = getc(c->file)) != EOF) {
        char byte = (char)ch;
        c->rows.done++;
        if (ch == 0) c->binary = out->failed = true;
        if (quoted && ch == '"') {
            int next = getc(c->file);
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
            if (fields > 1 || out->size > 1) return fields;
            json_writer_clear(out); /* an empty line */
            fields = 0;
        } else if (ch != '\r' || !was_quoted) {
            json_append(out, &byte, 1);
        }
        if (out->failed) break;
    }
    if (out->failed || quoted || ferror(c->file)) return 0;
    if (out->size == 0 && fields == 0) return 0;
    json_append(out, "", 1);
    return fields + 1;
}

static const char *field_at(const struct json_writer *record, size_t index) {
    const char *p = record->data;
    while (index-- > 0) p += strlen(p) + 1;
    return p;
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

static enum row_result csv_next(struct rows *rows, struct row *out) {
    struct csv *c = (struct csv *)rows;
    *out = (struct row){0};
    size_t fields = read_record(c, &c->record);
    if (fields == 0 && feof(c->file) && !c->record.failed && c->record.size == 0) return ROW_END;
    rows->position++;
    if (fields == 0) {
        (void)snprintf(rows->message, sizeof rows->message, "record %" PRIu64 ": %s", rows->position,
                       c->binary          ? "it holds a NUL, and so is no text"
                       : c->record.failed ? "it is longer than 64 MiB"
                                          : "it ends within quotes, or can't be read");
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
    write_object(c);
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
    if (c->columns == 0) return "it has no line that names the columns";
    if (c->columns > COLUMNS_MAX) return "it has more than 4096 columns";
    if (c->head.size >= 3 && memcmp(c->head.data, "\xEF\xBB\xBF", 3) == 0) { /* a byte order mark */
        memmove(c->head.data, c->head.data + 3, c->head.size - 3);
        c->head.size -= 3;
    }
    c->value = c->columns;
    if (options->key_column && !find_column(c, options->key_column, &c->key)) return "it has no column --key-column";
    if (options->value_column && !find_column(c, options->value_column, &c->value))
        return "it has no column --value-column";
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
