/*
 * export.c - velocity export: all keys, or those of a prefix, as of one instant, into a file or standard output. A file
 * appears when it is whole.
 *
 *     GET /api/export --> lines --> ndjson: as they are | csv: a record each | sqlite: a row each of the table "items"
 */
#include "cli/client.h"
#include "cli/document.h"
#include "cli/part_file.h"
#include "cli/progress.h"
#include "cli/rows.h"
#include "server/base64.h"
#include "server/json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES ((size_t)2 << 30)

struct sink;
struct export {
    const struct sink *sink;
    const char *path; /* NULL: standard output */
    struct part_file part;
    FILE *file;
    sqlite3 *db;
    sqlite3_stmt *insert;
    struct json_writer line, text;
    uint64_t rows;
    bool failed;
    char why[256];
    struct progress progress;
};

struct sink {
    const char *format;
    bool (*begin)(struct export *e);
    bool (*line)(struct export *e, velocity_slice line);
    bool (*end)(struct export *e);
};

static bool fail(struct export *e, const char *why) {
    if (!e->failed) (void)snprintf(e->why, sizeof e->why, "%s", why);
    e->failed = true;
    return false;
}

static bool write_bytes(struct export *e, const void *bytes, size_t size) {
    return size == 0 || fwrite(bytes, 1, size, e->file) == size || fail(e, strerror(errno));
}

/* ---- items ------------------------------------------------------------------------------------------------------ */

/* A string member, unescaped, into `out`; false: it is not there. */
static bool take_string(struct json_value item, const char *name, struct json_writer *out) {
    struct json_value member;
    velocity_slice text;
    json_writer_clear(out);
    if (!document_member(item, name, &member) || member.type != JSON_STRING) return false;
    if (!json_writer_reserve(out, json_string_buffer_bytes(member) + 1)) return false;
    if (!json_string(member, out->data, &text)) return false;
    memmove(out->data, text.data, text.size);
    out->size = text.size;
    return true;
}

enum value_form { FORM_JSON, FORM_TEXT, FORM_BASE64, FORM_NONE };

/* What stands as the value: JSON as it is, or a text. */
static enum value_form take_value(struct json_value item, struct json_writer *out) {
    struct json_value member;
    json_writer_clear(out);
    if (document_member(item, "value", &member)) {
        json_append(out, member.raw.data, member.raw.size);
        return FORM_JSON;
    }
    if (take_string(item, "text", out)) return FORM_TEXT;
    return take_string(item, "base64", out) ? FORM_BASE64 : FORM_NONE;
}

/* ---- NDJSON ----------------------------------------------------------------------------------------------------- */

static bool no_begin(struct export *e) {
    (void)e;
    return true;
}

static bool flush_file(struct export *e) {
    return fflush(e->file) == 0 || fail(e, strerror(errno));
}

static bool ndjson_line(struct export *e, velocity_slice line) {
    return write_bytes(e, line.data, line.size) && write_bytes(e, "\n", 1);
}

/* ---- CSV -------------------------------------------------------------------------------------------------------- */

static bool csv_begin(struct export *e) {
    static const char head[] = "key,type,version,expires_at,encoding,value\r\n";
    return write_bytes(e, head, sizeof head - 1);
}

static bool csv_field(struct export *e, velocity_slice text, const char *end) {
    const char *p = text.data, *quote;
    size_t left = text.size;
    bool plain = true;
    for (size_t i = 0; i < left && plain; i++) plain = !strchr(",\"\r\n", p[i]) || p[i] == 0;
    if (plain) return write_bytes(e, p, left) && write_bytes(e, end, strlen(end));
    if (!write_bytes(e, "\"", 1)) return false;
    while (left && (quote = memchr(p, '"', left))) {
        size_t size = (size_t)(quote - p) + 1;
        if (!write_bytes(e, p, size) || !write_bytes(e, "\"", 1)) return false;
        p += size;
        left -= size;
    }
    return write_bytes(e, p, left) && write_bytes(e, "\"", 1) && write_bytes(e, end, strlen(end));
}

static bool csv_member(struct export *e, struct json_value item, const char *name) {
    bool there = take_string(item, name, &e->text);
    return csv_field(e, velocity_bytes(there ? e->text.data : "", there ? e->text.size : 0), ",");
}

static bool csv_line(struct export *e, velocity_slice line) {
    static const char *const forms[] = {
        [FORM_JSON] = "json", [FORM_TEXT] = "text", [FORM_BASE64] = "base64", [FORM_NONE] = "none"};
    struct json_value item, key;
    if (!json_parse(line, &item, NULL)) return fail(e, "what comes is no item");
    bool plain = document_member(item, "key", &key);
    if (!csv_member(e, item, plain ? "key" : "key64") || !csv_member(e, item, "type") ||
        !csv_member(e, item, "version") || !csv_member(e, item, "expires_at"))
        return false;
    enum value_form form = take_value(item, &e->text);
    char encoding[32];
    (void)snprintf(encoding, sizeof encoding, "%s%s", forms[form], plain ? "" : " key64");
    return csv_field(e, velocity_str(encoding), ",") &&
           csv_field(e, velocity_bytes(e->text.data ? e->text.data : "", e->text.size), "\r\n");
}

/* ---- SQLite ----------------------------------------------------------------------------------------------------- */

static bool sqlite_fail(struct export *e) {
    return fail(e, sqlite3_errmsg(e->db));
}

static bool sqlite_begin(struct export *e) {
    static const char sql[] =
        "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; BEGIN;"
        "CREATE TABLE items(key PRIMARY KEY NOT NULL, value, type TEXT NOT NULL, version INTEGER NOT NULL, "
        "expires_at TEXT) WITHOUT ROWID;";
    static const char insert[] = "INSERT INTO items VALUES(?1,?2,?3,?4,?5)";
    if (sqlite3_open(e->part.part, &e->db) != SQLITE_OK) return sqlite_fail(e);
    if (sqlite3_exec(e->db, sql, NULL, NULL, NULL) != SQLITE_OK) return sqlite_fail(e);
    return sqlite3_prepare_v2(e->db, insert, -1, &e->insert, NULL) == SQLITE_OK || sqlite_fail(e);
}

static bool bind_text(struct export *e, int at, struct json_value item, const char *name) {
    if (!take_string(item, name, &e->text)) return sqlite3_bind_null(e->insert, at) == SQLITE_OK;
    return sqlite3_bind_text64(e->insert, at, e->text.data, e->text.size, SQLITE_TRANSIENT, SQLITE_UTF8) == SQLITE_OK;
}

/* What stands in e->text as base64, as bytes. */
static bool bind_bytes(struct export *e, int at, bool url) {
    velocity_slice text = velocity_bytes(e->text.data, e->text.size);
    size_t size = 0;
    void *bytes = malloc(base64_decoded_max(text.size) + 1);
    bool good = bytes && (url ? base64url_decode(text, bytes, &size) : base64_decode(text, bytes, &size));
    good = good && sqlite3_bind_blob64(e->insert, at, bytes, size, SQLITE_TRANSIENT) == SQLITE_OK;
    free(bytes);
    return good;
}

static bool bind_value(struct export *e, struct json_value item) {
    switch (take_value(item, &e->text)) {
    case FORM_JSON:
    case FORM_TEXT:
        return sqlite3_bind_text64(e->insert, 2, e->text.data ? e->text.data : "", e->text.size, SQLITE_TRANSIENT,
                                   SQLITE_UTF8) == SQLITE_OK;
    case FORM_BASE64: return bind_bytes(e, 2, false);
    case FORM_NONE: break;
    }
    return sqlite3_bind_null(e->insert, 2) == SQLITE_OK;
}

static bool sqlite_line(struct export *e, velocity_slice line) {
    struct json_value item, key;
    if (!json_parse(line, &item, NULL)) return fail(e, "what comes is no item");
    bool good = document_member(item, "key", &key) ? bind_text(e, 1, item, "key")
                                                   : take_string(item, "key64", &e->text) && bind_bytes(e, 1, true);
    good = good && bind_value(e, item) && bind_text(e, 3, item, "type") && bind_text(e, 4, item, "version") &&
           bind_text(e, 5, item, "expires_at");
    if (!good || sqlite3_step(e->insert) != SQLITE_DONE) return sqlite_fail(e);
    return sqlite3_reset(e->insert) == SQLITE_OK || sqlite_fail(e);
}

static bool sqlite_end(struct export *e) {
    return sqlite3_exec(e->db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK || sqlite_fail(e);
}

static const struct sink sinks[] = {{"ndjson", no_begin, ndjson_line, flush_file},
                                    {"csv", csv_begin, csv_line, flush_file},
                                    {"sqlite", sqlite_begin, sqlite_line, sqlite_end}};

/* ---- lines ------------------------------------------------------------------------------------------------------ */

static bool take_line(struct export *e, velocity_slice line) {
    if (line.size == 0) return true;
    e->rows++;
    progress_show(&e->progress, e->rows, 0, 0);
    return e->sink->line(e, line);
}

/* A line that is whole in a piece is not copied. */
static bool take_piece(void *arg, const char *bytes, size_t size) {
    struct export *e = arg;
    const char *end = bytes + size, *newline;
    while (bytes < end && (newline = memchr(bytes, '\n', (size_t)(end - bytes)))) {
        velocity_slice line = velocity_bytes(bytes, (size_t)(newline - bytes));
        if (e->line.size) {
            json_append(&e->line, line.data, line.size);
            line = velocity_bytes(e->line.data, e->line.size);
        }
        if (e->line.failed) return fail(e, "no memory for a line, or it has more than 2 GiB");
        if (!take_line(e, line)) return false;
        json_writer_clear(&e->line);
        bytes = newline + 1;
    }
    json_append(&e->line, bytes, (size_t)(end - bytes));
    return !e->line.failed || fail(e, "no memory for a line, or it has more than 2 GiB");
}

/* ---- the file --------------------------------------------------------------------------------------------------- */

static const char *name_of(const struct export *e) {
    return e->path ? e->path : "standard output";
}

/* Standard output, the file's part, or what is no file, as it stands. */
static int open_output(struct export *e) {
    bool table = e->sink->begin == sqlite_begin;
    e->file = stdout;
    if (e->path) {
        int code = part_file_open(&e->part, e->path);
        if (code) return code;
        int fd = fcntl(e->part.fd, F_DUPFD_CLOEXEC, 0);
        e->file = fd >= 0 ? fdopen(fd, "w") : NULL;
        if (!e->file) return complain(EXIT_FAILED, "can't write to %s: %s", e->path, strerror(errno));
    }
    if (table && !e->part.part)
        return complain(EXIT_USAGE, "a SQLite database goes to a file: name %s with --output", e->path ? "one" : "it");
    return e->sink->begin(e) ? EXIT_DONE : complain(EXIT_FAILED, "can't write to %s: %s", name_of(e), e->why);
}

/* What SQLite has written is the same file: it is on disk, too, before it appears under its name. */
static int close_output(struct export *e, int code) {
    if (!code && !e->failed) (void)e->sink->end(e);
    (void)sqlite3_finalize(e->insert);
    if (e->db && sqlite3_close(e->db) != SQLITE_OK) (void)fail(e, "the database can't be closed");
    if (e->path && e->file && fclose(e->file) != 0) (void)fail(e, strerror(errno));
    if (e->failed) code = complain(EXIT_FAILED, "can't write to %s: %s", name_of(e), e->why);
    if (!code && e->path) return part_file_finish(&e->part);
    part_file_drop(&e->part);
    return code;
}

static int export_all(struct http_client *client, const char *path, struct export *e) {
    struct http_exchange x = {.method = "GET",
                              .path = path,
                              .fields = {"Accept: application/x-ndjson, application/problem+json"},
                              .write = take_piece,
                              .arg = e,
                              .endless = true};
    int code = open_output(e);
    if (code) return close_output(e, code);
    if (e->path || isatty(STDOUT_FILENO) != 1) progress_begin(&e->progress, "rows"); /* not between rows that show */
    code = http_client_exchange(client, &x, false);
    progress_end(&e->progress);
    http_reply_free(&x.reply);
    return close_output(e, code);
}

int run_export(const struct command *command, const struct command_arguments *arguments) {
    struct export e = {.line.limit_bytes = LINE_MAX_BYTES, .text.limit_bytes = LINE_MAX_BYTES, .part.fd = -1};
    struct json_writer path = {0};
    struct connection connection = {0};
    const char *format = command_value(command, arguments, "format");
    int code = EXIT_DONE;
    e.path = command_value(command, arguments, "output");
    const char *chosen = format ? format : rows_format_of(e.path);
    for (size_t i = 0; i < sizeof sinks / sizeof *sinks; i++)
        if (strcmp(chosen, sinks[i].format) == 0) e.sink = &sinks[i];
    if (!e.sink && !format) e.sink = &sinks[0];
    if (!e.sink) code = complain(EXIT_USAGE, "--format %s: it is ndjson, csv or sqlite", format);
    if (!code && arguments->operand_count > 1)
        code = complain(EXIT_USAGE, "export takes one prefix; see \"velocity help export\"");
    path_begin(&path, command, arguments, "export");
    if (arguments->operand_count) path_parameter(&path, "prefix", arguments->operands[0]);
    if (!code && !path_text(&path)) code = complain(EXIT_FAILED, "no memory");
    if (!code) code = connect_find(command, arguments, &connection);
    if (!code) code = export_all(connection.client, path.data, &e);
    if (!code && e.path) (void)complain(EXIT_DONE, "%" PRIu64 " rows are in %s", e.rows, e.path);
    connect_close(&connection);
    json_writer_free(&path);
    json_writer_free(&e.line);
    json_writer_free(&e.text);
    return code;
}
