/*
 * import.c - velocity import: rows of any source (rows.h) into a server, a part at a time.
 *
 *     rows --> part: NDJSON, some megabytes --> POST /api/import --> the place reached, in the state file --> next part
 *
 * A part that was sent and not answered is sent again: storing a row twice is storing it once. So an import that was
 * ended, however, goes on with --resume (import_state.h) from the last part that was answered, or, where it ended by
 * itself, from the row that it came to. A row that can't be stored is skipped, and reported with its reason.
 *
 * A line of the part stands for each row, also for one that was skipped: that line is empty, which the server passes
 * over. So lines are rows, and are done with in their order.
 */
#include "cli/client.h"
#include "cli/document.h"
#include "cli/import_state.h"
#include "cli/progress.h"
#include "cli/rows.h"
#include "server/json.h"
#include "server/timestamp.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PART_BYTES      ((size_t)4 << 20)
#define PART_ROWS       5000u
#define TOLD_ON_SCREEN  10u
#define REASON_BYTES    300
#define KEY_SHOWN_BYTES 100
#define ATTEMPTS        8 /* without getting on, with pauses that double, before an import gives up */
#define FIRST_PAUSE_MS  250

struct line {
    size_t begin;      /* in the part */
    uint64_t position; /* of the source, behind its row */
    bool skipped;      /* by the source, and so empty ... */
    size_t note;       /* ... and what there is to say: in `notes`, its key as JSON and its reason, each with a NUL */
};

struct import {
    struct http_client *client;
    struct rows *rows;
    const char *format;
    const char *prefix; /* before each key; NULL: none */
    const char *path;   /* "/api/import" */
    const char *state_path;
    FILE *report;     /* NULL: none */
    int report_error; /* why it can't be written, an errno; 0: it can */
    struct json_writer part, notes;
    struct line lines[PART_ROWS];
    uint32_t line_count;
    uint32_t done;    /* lines of the part that are */
    uint32_t at_once; /* lines that are sent at once: fewer where many are bad, for each bad one ends a request */
    bool source_failed;
    struct import_state state;
    struct import_state page; /* of a source that repeats: as it stood where its last position was come to */
    struct progress progress;
};

/* ---- what is skipped -------------------------------------------------------------------------------------------- */

/* "key", or "key64", as it stands in the item. False: it has none that is a text. */
static bool find_key(struct json_value item, const char **name, struct json_value *key) {
    *name = "key";
    if (document_member(item, *name, key) && key->type == JSON_STRING) return true;
    *name = "key64";
    return document_member(item, *name, key) && key->type == JSON_STRING;
}

static void report(struct import *m, uint64_t number, velocity_slice item, const char *reason) {
    struct json_writer w = {0};
    struct json_value root, key;
    const char *name;
    json_begin_object(&w);
    json_name(&w, "row");
    json_write_u64(&w, number);
    if (json_parse(item, &root, NULL) && find_key(root, &name, &key)) {
        json_name(&w, name);
        json_write_raw(&w, key.raw);
    }
    json_name(&w, "reason");
    json_write_string(&w, velocity_str(reason));
    json_end_object(&w);
    json_append(&w, "\n", 1);
    if ((w.failed || fwrite(w.data, 1, w.size, m->report) != w.size) && !m->report_error)
        m->report_error = w.failed ? ENOMEM : errno;
    json_writer_free(&w);
}

/* `item`: JSON that may have its key. */
static void skip(struct import *m, uint64_t number, velocity_slice item, const char *reason) {
    char shown[KEY_SHOWN_BYTES] = "";
    struct json_value root, key;
    const char *name;
    m->state.skipped++;
    if (m->report) report(m, number, item, reason);
    if (m->state.skipped > TOLD_ON_SCREEN + 1) return;
    progress_end(&m->progress);
    if (m->state.skipped > TOLD_ON_SCREEN) {
        (void)complain(EXIT_DONE, "more are skipped%s", m->report ? "" : "; --report FILE keeps them all");
        return;
    }
    if (json_parse(item, &root, NULL) && find_key(root, &name, &key)) document_text(root, name, shown, sizeof shown);
    (void)complain(EXIT_DONE, "row %" PRIu64 "%s%s is skipped: %s", number, *shown ? ", " : "", shown, reason);
}

static void note(struct import *m, velocity_slice key, const char *reason) {
    struct json_writer *w = &m->notes;
    w->comma = false;
    json_begin_object(w);
    if (key.size) json_write_key(w, key);
    json_end_object(w);
    json_append(w, "", 1);
    json_append(w, reason, strlen(reason) + 1);
}

/* On to the next line: the one before it is done with. */
static const struct line *pass(struct import *m) {
    const struct line *line = &m->lines[m->done++];
    if (m->state.position != line->position) {
        m->page = m->state;
        m->page.position = line->position;
    }
    m->state.position = line->position;
    m->state.number++;
    return line;
}

/* The lines before `end` are done with; of those that were sent the first are in, and the others had expired. */
static void finish(struct import *m, uint32_t end, uint64_t imported) {
    while (m->done < end) {
        const struct line *line = pass(m);
        if (line->skipped) {
            const char *key = m->notes.data + line->note;
            skip(m, m->state.number, velocity_str(key), key + strlen(key) + 1);
        } else if (imported) {
            imported--;
            m->state.imported++;
        } else {
            m->state.expired++;
        }
    }
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
    if (row->item.size)
        json_append(&m->part, row->item.data, row->item.size);
    else
        write_item(&m->part, m->prefix, row);
}

/* Reads rows until the part is full. *more: there may be others. A source that fails does so behind what it had. */
static int fill_part(struct import *m, bool *more) {
    struct row row;
    json_writer_clear(&m->part);
    json_writer_clear(&m->notes);
    m->line_count = m->done = 0;
    while (m->line_count < PART_ROWS && m->part.size < PART_BYTES) {
        enum row_result result = m->rows->next(m->rows, &row);
        m->source_failed = result == ROW_FAILED;
        *more = result != ROW_END && result != ROW_FAILED;
        if (!*more) break;
        struct line *line = &m->lines[m->line_count++];
        *line = (struct line){m->part.size, m->rows->position, result == ROW_SKIPPED, m->notes.size};
        if (line->skipped)
            note(m, row.key, m->rows->message);
        else
            add_row(m, &row);
        json_append(&m->part, "\n", 1);
    }
    return m->part.failed || m->notes.failed ? complain(EXIT_FAILED, "no memory") : EXIT_DONE;
}

/* ---- sending ---------------------------------------------------------------------------------------------------- */

static uint64_t number_in(struct json_value root, const char *name) {
    struct json_value member;
    uint64_t number = 0;
    return document_member(root, name, &member) && json_u64(member, &number) ? number : 0;
}

/* Where the line stands in the part, without its end. */
static velocity_slice line_at(const struct import *m, uint32_t index) {
    size_t begin = m->lines[index].begin, end = index + 1 < m->line_count ? m->lines[index + 1].begin : m->part.size;
    return velocity_bytes(m->part.data + begin, end - begin - 1);
}

/* It is the line's own fault, and not that of who sends it or of the server. */
static bool blames_line(const struct json_value root) {
    static const char *const codes[] = {"invalid_body", "out_of_scope", "too_large"};
    char code[64];
    document_text(root, "code", code, sizeof code);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        if (strcmp(code, codes[i]) == 0) return true;
    return false;
}

/* The import ended at a line, and all before it are in: goes there, or behind it where it is a bad one. False: the
 * reply names none. */
static bool take_refusal(struct import *m, const struct http_reply *reply, uint32_t end, bool *bad) {
    struct json_value root;
    char reason[REASON_BYTES];
    *bad = false;
    if (!reply->body || !json_parse(velocity_bytes(reply->body, reply->size), &root, NULL)) return false;
    uint64_t line = number_in(root, "line");
    if (line == 0 || line > end - m->done + 1) return false;
    finish(m, m->done + (uint32_t)line - 1, number_in(root, "imported"));
    *bad = m->done < end && !m->lines[m->done].skipped && blames_line(root);
    if (!*bad) return true;
    document_text(root, "detail", reason, sizeof reason);
    velocity_slice item = line_at(m, m->done);
    (void)pass(m);
    skip(m, m->state.number, item, *reason ? reason : "the server does not take it");
    return true;
}

/* Of the lines up to `end`. *again: the server may take them later. */
static int judge_reply(struct import *m, struct http_exchange *x, int code, uint32_t end, bool *again) {
    struct json_value root;
    bool bad = false;
    *again = false;
    if (!code && x->reply.body && json_parse(velocity_bytes(x->reply.body, x->reply.size), &root, NULL)) {
        m->at_once = m->at_once * 2 < PART_ROWS ? m->at_once * 2 : PART_ROWS;
        finish(m, end, number_in(root, "imported"));
        return EXIT_DONE;
    }
    if (!code) return complain(EXIT_FAILED, "what answers does not do so as Velocity does: is it the right address?");
    if (!x->reply.status) {
        *again = x->broken;
        return code;
    }
    (void)take_refusal(m, &x->reply, end, &bad);
    if (bad) {
        m->at_once = m->at_once > 1 ? m->at_once / 2 : 1;
        return EXIT_DONE;
    }
    *again = x->reply.status == 503 || x->reply.status == 429;
    return code;
}

/* One attempt at what is left of the part. `last`: then it is complained of. */
static int send_rest(struct import *m, bool last, bool *again) {
    uint32_t end = m->line_count - m->done < m->at_once ? m->line_count : m->done + m->at_once;
    size_t begin = m->lines[m->done].begin, stop = end < m->line_count ? m->lines[end].begin : m->part.size;
    struct http_exchange x = {.method = "POST",
                              .path = m->path,
                              .fields = {"Content-Type: application/x-ndjson"},
                              .body = velocity_bytes(m->part.data + begin, stop - begin),
                              .endless = true,
                              .unjudged = true};
    int code = http_client_exchange(m->client, &x, !last);
    bool refused = code && x.reply.status;
    code = judge_reply(m, &x, code, end, again);
    if (code && refused && (last || !*again)) {
        progress_end(&m->progress);
        code = http_client_complain(m->client, &x);
    }
    http_reply_free(&x.reply);
    return code;
}

static int send_part(struct import *m) {
    uint32_t pause_ms = FIRST_PAUSE_MS;
    int attempts = 0, code = EXIT_DONE;
    while (m->done < m->line_count) {
        uint32_t before = m->done;
        bool again;
        if (m->lines[m->done].skipped) { /* nothing to send */
            finish(m, m->done + 1, 0);
            continue;
        }
        code = send_rest(m, ++attempts == ATTEMPTS, &again);
        if (m->done > before) attempts = 0, pause_ms = FIRST_PAUSE_MS;
        if (!code) continue;
        if (!again || attempts == ATTEMPTS) return code;
        progress_end(&m->progress);
        if (attempts == 1) (void)complain(EXIT_DONE, "the server does not take it now; trying again for half a minute");
        (void)usleep(pause_ms * 1000);
        pause_ms *= 2;
    }
    return EXIT_DONE;
}

/* ---- the command ------------------------------------------------------------------------------------------------ */

/* Where --resume goes on, and what was counted before that. */
static const struct import_state *resumable(const struct import *m) {
    return m->rows->repeats ? &m->page : &m->state;
}

static int save(struct import *m) {
    if (m->report && fflush(m->report) != 0 && !m->report_error) m->report_error = errno;
    return import_state_save(m->state_path, m->format, m->rows, resumable(m));
}

/* `code` ended it: where, and how does it go on? */
static int stop(struct import *m, int code) {
    int saved = save(m);
    if (!saved && m->state_path)
        (void)complain(code, "it stopped behind row %" PRIu64 "; --resume goes on there", resumable(m)->number);
    else
        (void)complain(code,
                       "it stopped behind row %" PRIu64 "; import the same again (with --state FILE it could go on)",
                       m->state.number);
    return code;
}

static int import_all(struct import *m) {
    bool more = true;
    progress_begin(&m->progress, "rows");
    int code = save(m);
    if (code) return code;
    while (!code && more) {
        code = fill_part(m, &more);
        if (!code) code = send_part(m);
        if (!code) code = save(m);
        progress_show(&m->progress, m->state.imported, m->rows->done, m->rows->total);
    }
    progress_end(&m->progress);
    if (!code && m->source_failed) code = complain(EXIT_FAILED, "%s", m->rows->message);
    if (code) return stop(m, code);
    if (m->state_path) (void)unlink(m->state_path);
    return EXIT_DONE;
}

static int tell(const struct import *m, bool json) {
    const struct import_state *s = &m->state;
    int printed;
    if (json)
        printed = printf("{\"imported\":%" PRIu64 ",\"expired\":%" PRIu64 ",\"skipped\":%" PRIu64 "}\n", s->imported,
                         s->expired, s->skipped);
    else
        printed = printf("%" PRIu64 " rows are imported, %" PRIu64 " had expired, %" PRIu64 " are skipped\n",
                         s->imported, s->expired, s->skipped);
    if (printed <= 0) return complain_of_output();
    if (!s->skipped || s->imported || s->expired) return EXIT_DONE;
    return complain(EXIT_FAILED, "none of its rows could be taken: is --format right?");
}

/* The number of a database of a dump; negative: none was given. */
static int read_redis_database(const char *text, int64_t *out) {
    uint64_t number = 0;
    int code = text ? read_number("redis-database", text, 0, INT32_MAX, &number) : EXIT_DONE;
    *out = text ? (int64_t)number : -1;
    return code;
}

/* Options that would be passed over are better refused. */
static int judge_options(const struct command *command, const struct command_arguments *arguments, const char *format) {
    static const struct {
        const char *option, *formats;
    } uses[] = {{"prefix", "csv sqlite redis rdb"}, {"table", "sqlite"}, {"key-column", "csv sqlite"},
                {"value-column", "csv sqlite"},     {"match", "redis"},  {"redis-database", "rdb"}};
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++)
        if (command_value(command, arguments, uses[i].option) && !strstr(uses[i].formats, format))
            return complain(EXIT_USAGE, "--%s is nothing for %s", uses[i].option,
                            strcmp(format, "rdb") == 0 ? "a dump of Redis" : format);
    return EXIT_DONE;
}

static bool is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int open_rows(struct import *m, const struct command *command, const struct command_arguments *arguments) {
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
    if (!format) format = rows_format_of(path);
    if (path && is_folder(path)) return complain(EXIT_FAILED, "%s is a folder: name a file", path);
    struct rows_options options = {.path = path,
                                   .url = path ? path : "redis://localhost:6379",
                                   .table = command_value(command, arguments, "table"),
                                   .key_column = command_value(command, arguments, "key-column"),
                                   .value_column = command_value(command, arguments, "value-column"),
                                   .match = command_value(command, arguments, "match")};
    /* What is called redis is a server where it is a URL, and else a dump of one. */
    if (strcmp(format, "redis") == 0 && arguments->operand_count && !strstr(arguments->operands[0], "://"))
        format = "rdb";
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (strcmp(format, formats[i].format) != 0) continue;
        m->format = formats[i].format;
        int code = judge_options(command, arguments, m->format);
        if (!code)
            code = read_redis_database(command_value(command, arguments, "redis-database"), &options.redis_database);
        if (!code && !formats[i].open(&options, &m->rows, message)) code = complain(EXIT_FAILED, "%s", message);
        if (!code) m->state.position = m->rows->position;
        if (!code && m->rows->remark) (void)complain(EXIT_DONE, "%s", m->rows->remark);
        return code;
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
        m->path = path.data;
        m->prefix = command_value(command, arguments, "prefix");
        m->state_path = name_state(command, arguments, state);
        m->at_once = PART_ROWS;
        code = open_rows(m, command, arguments);
    }
    if (!code && command_value(command, arguments, "resume"))
        code = import_state_load(m->state_path, m->format, m->rows, &m->state);
    if (m) m->page = m->state;
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
    if (m && m->report && fclose(m->report) != 0 && !m->report_error) m->report_error = errno;
    if (m && m->report_error && !code)
        code = complain(EXIT_FAILED, "can't write %s: %s", report, strerror(m->report_error));
    if (m && m->rows) m->rows->close(m->rows);
    if (m) json_writer_free(&m->part);
    if (m) json_writer_free(&m->notes);
    json_writer_free(&path);
    free(m);
    return code;
}
