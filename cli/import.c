/*
 * import.c - velocity import: rows of any source (rows.h) into a server, a part at a time.
 *
 *     rows --> part: NDJSON, some megabytes --> POST /api/import --> the place reached, in the state file --> next part
 *
 * A part that was sent and not answered is sent again: storing a row twice is storing it once. So an import that was
 * ended, however, goes on with --resume from the last part that was answered. A row that can't be stored is skipped,
 * and reported with its reason.
 */
#include "cli/client.h"
#include "cli/document.h"
#include "cli/progress.h"
#include "cli/rows.h"
#include "server/json.h"
#include "server/timestamp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PART_BYTES     ((size_t)4 << 20)
#define PART_ROWS      5000u
#define TOLD_ON_SCREEN 10u
#define REASON_BYTES   300
#define ATTEMPTS       8 /* of a part, with pauses that double, before an import gives up */
#define FIRST_PAUSE_MS 250

struct import {
    const struct command *command;
    const struct command_arguments *arguments;
    struct http_client *client;
    struct rows *rows;
    const char *prefix; /* before each key; NULL: none */
    const char *path;   /* "/api/import" */
    const char *state_path;
    FILE *report; /* NULL: none */
    struct json_writer part;
    struct {
        size_t begin;
        uint64_t number; /* of the row, from 1 on */
    } lines[PART_ROWS];
    uint32_t line_count;
    uint64_t number, imported, skipped, position;
    struct progress progress;
};

/* ---- what is skipped -------------------------------------------------------------------------------------------- */

static void skip(struct import *m, uint64_t number, velocity_slice key, const char *reason) {
    struct json_writer w = {0};
    char shown[128];
    m->skipped++;
    (void)snprintf(shown, sizeof shown, "%.*s", key.size < 100 ? (int)key.size : 100,
                   key.data ? (const char *)key.data : "");
    document_clean(shown, strlen(shown));
    if (m->skipped <= TOLD_ON_SCREEN) {
        progress_end(&m->progress);
        (void)complain(EXIT_DONE, "row %" PRIu64 "%s%s is skipped: %s", number, *shown ? ", " : "", shown, reason);
    } else if (m->skipped == TOLD_ON_SCREEN + 1 && !m->report) {
        (void)complain(EXIT_DONE, "more are skipped; --report FILE keeps them all");
    }
    if (!m->report) return;
    json_begin_object(&w);
    json_name(&w, "row");
    json_write_u64(&w, number);
    if (key.size) json_write_key(&w, key);
    json_name(&w, "reason");
    json_write_string(&w, velocity_str(reason));
    json_end_object(&w);
    json_append(&w, "\n", 1);
    if (!w.failed) (void)fwrite(w.data, 1, w.size, m->report);
    json_writer_free(&w);
}

/* ---- a part ----------------------------------------------------------------------------------------------------- */

static void write_item(struct json_writer *w, const char *prefix, const struct row *row) {
    struct json_writer key = {0};
    json_append(&key, prefix ? prefix : "", prefix ? strlen(prefix) : 0);
    json_append(&key, row->key.data, row->key.size);
    w->comma = false;
    json_begin_object(w);
    json_write_key(w, velocity_bytes(key.data, key.size));
    json_name(w, "type");
    json_write_string(w, velocity_str(row->type));
    if (strcmp(row->type, ROWS_TYPE_JSON) == 0) {
        json_name(w, "value");
        json_write_raw(w, row->value);
    } else {
        json_write_text(w, row->value);
    }
    if (row->expires_at_ms) {
        json_name(w, "expires_at");
        timestamp_write(w, row->expires_at_ms);
    }
    json_end_object(w);
    w->failed = w->failed || key.failed;
    json_writer_free(&key);
}

static void add_row(struct import *m, const struct row *row) {
    m->lines[m->line_count].begin = m->part.size;
    m->lines[m->line_count++].number = m->number;
    if (row->item.size)
        json_append(&m->part, row->item.data, row->item.size);
    else
        write_item(&m->part, m->prefix, row);
    json_append(&m->part, "\n", 1);
}

/* Reads rows until the part is full. *more: there may be others. */
static int fill_part(struct import *m, bool *more) {
    struct row row;
    json_writer_clear(&m->part);
    m->line_count = 0;
    *more = true;
    while (*more && m->line_count < PART_ROWS && m->part.size < PART_BYTES) {
        enum row_result result = m->rows->next(m->rows, &row);
        if (result == ROW_FAILED) return complain(EXIT_FAILED, "%s", m->rows->message);
        *more = result != ROW_END;
        if (!*more) break;
        m->number++;
        if (result == ROW_SKIPPED)
            skip(m, m->number, row.key, m->rows->message);
        else
            add_row(m, &row);
    }
    return m->part.failed ? complain(EXIT_FAILED, "no memory") : EXIT_DONE;
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

static uint64_t number_in(struct json_value root, const char *name) {
    struct json_value member;
    char digits[24];
    if (!document_member(root, name, &member) || member.raw.size >= sizeof digits) return 0;
    memcpy(digits, member.raw.data, member.raw.size);
    digits[member.raw.size] = 0;
    return strtoull(digits, NULL, 10);
}

/* The server did not take a line: all before it are in. *from goes behind it. False: it was something else. */
static bool pass_bad_line(struct import *m, const struct http_reply *reply, uint32_t *from) {
    struct json_value root;
    char reason[REASON_BYTES];
    if (!reply->body || !json_parse(velocity_bytes(reply->body, reply->size), &root, NULL)) return false;
    uint64_t line = number_in(root, "line");
    if (line == 0 || line > m->line_count - *from) return false;
    document_text(root, "detail", reason, sizeof reason);
    m->imported += line - 1;
    *from += (uint32_t)line;
    skip(m, m->lines[*from - 1].number, velocity_bytes("", 0), reason);
    return true;
}

/* One attempt at what is left of the part. *again: the server may take it later. */
static int send_rest(struct import *m, uint32_t *from, bool *again) {
    size_t begin = m->lines[*from].begin;
    struct http_exchange x = {.method = "POST",
                              .path = m->path,
                              .fields = {"Content-Type: application/x-ndjson"},
                              .body = velocity_bytes(m->part.data + begin, m->part.size - begin)};
    int code = http_client_exchange(m->client, &x, true);
    *again = x.broken || x.reply.status == 503 || x.reply.status == 429;
    if (!code) {
        m->imported += m->line_count - *from;
        *from = m->line_count;
    } else if (x.reply.status >= 400 && x.reply.status < 500 && pass_bad_line(m, &x.reply, from)) {
        code = EXIT_DONE;
    }
    http_reply_free(&x.reply);
    return code;
}

static int send_part(struct import *m) {
    uint32_t from = 0, pause_ms = FIRST_PAUSE_MS;
    int attempts = 0, code = EXIT_DONE;
    bool again;
    while (from < m->line_count) {
        code = send_rest(m, &from, &again);
        if (!code) continue;
        if (!again || ++attempts == ATTEMPTS) break;
        (void)usleep(pause_ms * 1000);
        pause_ms *= 2;
    }
    if (code && again) code = complain(EXIT_FAILED, "the server does not answer; go on later with --resume");
    return code;
}

/* ---- the state file --------------------------------------------------------------------------------------------- */

static int save_state(const struct import *m) {
    char next[4200];
    if (!m->state_path) return EXIT_DONE;
    (void)snprintf(next, sizeof next, "%s.new", m->state_path);
    FILE *file = fopen(next, "we");
    bool good = file && fprintf(file, "velocity-import 1 %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
                                m->position, m->number, m->imported, m->skipped) > 0;
    if (file && fclose(file) != 0) good = false;
    if (good && rename(next, m->state_path) == 0) return EXIT_DONE;
    return complain(EXIT_FAILED, "can't write %s: %s", m->state_path, strerror(errno));
}

static int load_state(struct import *m) {
    FILE *file = m->state_path ? fopen(m->state_path, "re") : NULL;
    if (!file)
        return complain(EXIT_FAILED, "there is nothing to go on with: %s",
                        m->state_path ? strerror(errno) : "name the file with --state");
    int got = fscanf(file, "velocity-import 1 %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, &m->position, &m->number,
                     &m->imported, &m->skipped);
    (void)fclose(file);
    if (got != 4) return complain(EXIT_FAILED, "%s is no state of an import", m->state_path);
    return m->rows->seek(m->rows, m->position) ? EXIT_DONE : complain(EXIT_FAILED, "%s", m->rows->message);
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

static int import_all(struct import *m) {
    bool more = true;
    int code = EXIT_DONE;
    progress_begin(&m->progress, "rows");
    while (!code && more) {
        code = fill_part(m, &more);
        if (!code) code = send_part(m);
        if (!code) {
            m->position = m->rows->position;
            code = save_state(m);
        }
        progress_show(&m->progress, m->imported, m->rows->done, m->rows->total);
    }
    progress_end(&m->progress);
    if (!code && m->state_path) (void)unlink(m->state_path);
    return code;
}

static int tell(const struct import *m, bool json) {
    const char *format = json ? "{\"imported\":%" PRIu64 ",\"skipped\":%" PRIu64 "}\n"
                              : "%" PRIu64 " rows are imported, %" PRIu64 " skipped\n";
    return printf(format, m->imported, m->skipped) > 0 ? EXIT_DONE : complain_of_output();
}

static int open_rows(const struct command *command, const struct command_arguments *arguments, struct rows **out) {
    static const struct {
        const char *format;
        bool (*open)(const struct rows_options *options, struct rows **out, char message[ROWS_MESSAGE_BYTES]);
    } formats[] = {{"ndjson", rows_open_ndjson},
                   {"csv", rows_open_csv},
                   {"sqlite", rows_open_sqlite},
                   {"redis", rows_open_redis},
                   {"rdb", rows_open_rdb}};
    char message[ROWS_MESSAGE_BYTES] = "";
    const char *format = command_value(command, arguments, "format");
    const char *path = arguments->operand_count ? arguments->operands[0] : NULL;
    if (path && strcmp(path, "-") == 0) path = NULL;
    if (!format) format = "ndjson";
    struct rows_options options = {.path = path,
                                   .url = path ? path : "redis://localhost:6379",
                                   .table = command_value(command, arguments, "table"),
                                   .key_column = command_value(command, arguments, "key-column"),
                                   .value_column = command_value(command, arguments, "value-column"),
                                   .match = command_value(command, arguments, "match")};
    /* What is called redis is a server where it is a URL, and else a dump of one. */
    if (strcmp(format, "redis") == 0 && path && !strstr(path, "://")) format = "rdb";
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (strcmp(format, formats[i].format) != 0) continue;
        return formats[i].open(&options, out, message) ? EXIT_DONE : complain(EXIT_FAILED, "%s", message);
    }
    return complain(EXIT_USAGE, "--format %s: it is ndjson, csv, sqlite or redis", format);
}

/* Beside the file, unless --state says where; standard input and servers have none. */
static const char *name_state(const struct command *command, const struct command_arguments *arguments,
                              char path[4096]) {
    const char *given = command_value(command, arguments, "state");
    const char *file = arguments->operand_count ? arguments->operands[0] : NULL;
    if (given) return given;
    if (!file || strcmp(file, "-") == 0 || strstr(file, "://")) return NULL;
    return (size_t)snprintf(path, 4096, "%s.import-state", file) < 4096 ? path : NULL;
}

int run_import(const struct command *command, const struct command_arguments *arguments) {
    struct import *m = calloc(1, sizeof *m);
    struct json_writer path = {0};
    struct connection connection = {0};
    char state[4096];
    const char *report = command_value(command, arguments, "report");
    int code = m ? EXIT_DONE : complain(EXIT_FAILED, "no memory");
    if (!code && arguments->operand_count > 1)
        code = complain(EXIT_USAGE, "import takes one source; see \"velocity help import\"");
    path_begin(&path, command, arguments, "import");
    if (!code && !path_text(&path)) code = complain(EXIT_FAILED, "no memory");
    if (!code) {
        m->command = command;
        m->arguments = arguments;
        m->path = path.data;
        m->prefix = command_value(command, arguments, "prefix");
        m->state_path = name_state(command, arguments, state);
        code = open_rows(command, arguments, &m->rows);
    }
    if (!code && command_value(command, arguments, "resume")) code = load_state(m);
    if (!code && report && !(m->report = fopen(report, "ae")))
        code = complain(EXIT_FAILED, "can't write %s: %s", report, strerror(errno));
    if (!code) code = connect_find(command, arguments, &connection);
    if (!code) {
        m->client = connection.client;
        code = import_all(m);
        int told = tell(m, command_value(command, arguments, "json") != NULL);
        if (!code) code = told;
    }
    connect_close(&connection);
    if (m && m->report && fclose(m->report) != 0 && !code)
        code = complain(EXIT_FAILED, "can't write %s: %s", report, strerror(errno));
    if (m && m->rows) m->rows->close(m->rows);
    if (m) json_writer_free(&m->part);
    json_writer_free(&path);
    free(m);
    return code;
}
