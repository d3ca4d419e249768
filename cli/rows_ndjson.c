/*
 * rows_ndjson.c - items, one a line, as an export writes them: passed on as they are, after a look whether they are
 * JSON. A line that is longer than any server takes is not held, but passed over.
 *
 * A position is the offset behind a line.
 */
#include "cli/rows.h"
#include "server/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LINE_MAX_BYTES ((size_t)6 << 30) /* a value of 1 GiB of which each byte is escaped */

struct ndjson {
    struct rows rows;
    FILE *file;
    struct json_writer line;
    char buffer[65536];
    size_t at, end; /* of what was read and not looked at */
};

/* The next line into n->line, without its end; what is beyond LINE_MAX_BYTES makes it fail. False: there is none. */
static bool read_line(struct ndjson *n) {
    const char *newline = NULL;
    json_writer_clear(&n->line);
    n->line.limit_bytes = LINE_MAX_BYTES;
    uint64_t begin = n->rows.position;
    while (!newline) {
        if (n->at == n->end) {
            n->at = 0;
            n->end = fread(n->buffer, 1, sizeof n->buffer, n->file);
            if (n->end == 0) break;
        }
        const char *from = n->buffer + n->at;
        newline = memchr(from, '\n', n->end - n->at);
        size_t size = newline ? (size_t)(newline - from) : n->end - n->at;
        json_append(&n->line, from, size);
        size += newline != NULL;
        n->at += size;
        n->rows.position += size;
    }
    n->rows.done = n->rows.position;
    while (n->line.size && n->line.data[n->line.size - 1] == '\r') n->line.size--;
    return n->rows.position > begin;
}

/* At the beginning of the file. */
static velocity_slice without_mark(const struct ndjson *n, bool first) {
    const char *data = n->line.data;
    size_t mark = first && n->line.size >= 3 && memcmp(data, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    return velocity_bytes(data + mark, n->line.size - mark);
}

static enum row_result ndjson_next(struct rows *rows, struct row *out) {
    struct ndjson *n = (struct ndjson *)rows;
    struct json_error error;
    bool first, more;
    *out = (struct row){0};
    do {
        first = rows->position == 0;
        more = read_line(n);
    } while (more && n->line.size == 0 && !n->line.failed);
    if (ferror(n->file)) {
        (void)snprintf(rows->message, sizeof rows->message, "the source can't be read: %s", strerror(errno));
        return ROW_FAILED;
    }
    if (!more) return ROW_END;
    if (n->line.failed) {
        (void)snprintf(rows->message, sizeof rows->message, "the line is too long");
        return ROW_SKIPPED;
    }
    out->item = without_mark(n, first);
    if (json_valid(out->item, &error)) return ROW_READ;
    (void)snprintf(rows->message, sizeof rows->message, "the line is not JSON: %s, at byte %zu of it", error.reason,
                   error.offset);
    return ROW_SKIPPED;
}

/* A position is the beginning of the file, or stands behind a line's end, or at the end: else it is another file's. */
static bool ndjson_seek(struct rows *rows, uint64_t position) {
    struct ndjson *n = (struct ndjson *)rows;
    uint64_t before = position ? position - 1 : 0;
    rows->position = rows->done = position;
    if (fseeko(n->file, (off_t)before, SEEK_SET) != 0) {
        (void)snprintf(rows->message, sizeof rows->message, "only a file can be gone on with: %s", strerror(errno));
        return false;
    }
    if (position == 0 || getc(n->file) == '\n' || (!feof(n->file) && position == rows->total)) return true;
    (void)snprintf(rows->message, sizeof rows->message,
                   "it is not the file that was left: no line ends at byte %" PRIu64, position);
    return false;
}

static void ndjson_close(struct rows *rows) {
    struct ndjson *n = (struct ndjson *)rows;
    if (n->file && n->file != stdin) (void)fclose(n->file);
    json_writer_free(&n->line);
    free(n);
}

bool rows_open_ndjson(const struct rows_options *options, struct rows **out, char message[ROWS_MESSAGE_BYTES]) {
    struct ndjson *n = calloc(1, sizeof *n);
    struct stat info;
    if (n) n->file = options->path ? fopen(options->path, "re") : stdin;
    if (!n || !n->file) {
        (void)snprintf(message, ROWS_MESSAGE_BYTES, "%s: %s", options->path, n ? strerror(errno) : "no memory");
        free(n);
        return false;
    }
    n->rows = (struct rows){.next = ndjson_next, .seek = ndjson_seek, .close = ndjson_close};
    if (fstat(fileno(n->file), &info) == 0 && S_ISREG(info.st_mode)) n->rows.total = (uint64_t)info.st_size;
    *out = &n->rows;
    return true;
}
