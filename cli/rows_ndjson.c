/* rows_ndjson.c - items, one a line, as an export writes them: passed on as they are, after a look whether they are
 * JSON. A position is the offset behind a line. */
#include "cli/rows.h"
#include "server/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct ndjson {
    struct rows rows;
    FILE *file;
    char *line;
    size_t capacity;
};

static enum row_result ndjson_next(struct rows *rows, struct row *out) {
    struct ndjson *n = (struct ndjson *)rows;
    struct json_error error;
    ssize_t size;
    *out = (struct row){0};
    do {
        size = getline(&n->line, &n->capacity, n->file);
        if (size > 0) rows->position = rows->done += (uint64_t)size;
        while (size > 0 && (n->line[size - 1] == '\n' || n->line[size - 1] == '\r')) size--;
    } while (size == 0);
    if (size < 0 && ferror(n->file)) {
        (void)snprintf(rows->message, sizeof rows->message, "%s", strerror(errno));
        return ROW_FAILED;
    }
    if (size < 0) return ROW_END;
    out->item = velocity_bytes(n->line, (size_t)size);
    if (json_valid(out->item, &error)) return ROW_READ;
    (void)snprintf(rows->message, sizeof rows->message, "the line is not JSON: %s, at byte %zu of it", error.reason,
                   error.offset);
    return ROW_SKIPPED;
}

static bool ndjson_seek(struct rows *rows, uint64_t position) {
    struct ndjson *n = (struct ndjson *)rows;
    rows->position = rows->done = position;
    if (fseeko(n->file, (off_t)position, SEEK_SET) == 0) return true;
    (void)snprintf(rows->message, sizeof rows->message, "only a file can be gone on with: %s", strerror(errno));
    return false;
}

static void ndjson_close(struct rows *rows) {
    struct ndjson *n = (struct ndjson *)rows;
    if (n->file && n->file != stdin) (void)fclose(n->file);
    free(n->line);
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
