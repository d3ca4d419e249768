/* audit_read.c - see audit.h: the newest rows that match, for people. Whatever the file holds comes out as UTF-8. */
#include "server/audit_internal.h"

#include "server/utf8.h"

#include "engine/status.h"

#include <stdio.h>
#include <stdlib.h>

#define TIMEOUT_MS     10000
#define STEPS_TO_CLOCK 1000 /* instructions of SQLite between two looks at the clock */
#define BUSY_MESSAGE   "it took too long; leave out what it looks for, or search the file with sqlite3"
#define ESCAPED_BYTES  4 /* "\xHH" */
#define SCRATCH_BYTES  (ESCAPED_BYTES * 2 * AUDIT_ROW_MAX_BYTES + AUDIT_COLUMNS)

/* ---- connections ------------------------------------------------------------------------------------------------- */

static int is_over(void *arg) {
    const struct audit_reader *reader = arg;
    return audit_clock_ms(CLOCK_MONOTONIC) >= reader->until_ms;
}

velocity_status audit_reader_open(struct audit_reader *reader, struct audit *audit, int64_t timeout_ms) {
    reader->path = audit->path;
    reader->until_ms = audit_clock_ms(CLOCK_MONOTONIC) + timeout_ms;
    velocity_status status = audit_connect(audit->path, SQLITE_OPEN_READONLY, &reader->db);
    if (!status) sqlite3_progress_handler(reader->db, STEPS_TO_CLOCK, is_over, reader);
    return status;
}

void audit_reader_close(struct audit_reader *reader) {
    (void)sqlite3_close(reader->db);
}

velocity_status audit_reader_status(struct audit_reader *reader, const char *doing) {
    if (sqlite3_errcode(reader->db) == SQLITE_INTERRUPT)
        return status_set(VELOCITY_BUSY, "%s: %s: " BUSY_MESSAGE, reader->path, doing);
    return audit_sqlite_status(reader->db, reader->path, doing);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

/* Where the texts of one row stand while it is shown. */
struct scratch_texts {
    char *bytes;
    size_t used;
};

static velocity_slice column(sqlite3_stmt *rows, int at) {
    const void *bytes = sqlite3_column_type(rows, at) == SQLITE_BLOB ? sqlite3_column_blob(rows, at)
                                                                     : (const void *)sqlite3_column_text(rows, at);
    return velocity_bytes(bytes, bytes ? (size_t)sqlite3_column_bytes(rows, at) : 0);
}

/* With a NUL behind it. */
static velocity_slice show(struct scratch_texts *texts, velocity_slice raw) {
    static const char digits[] = "0123456789abcdef";
    char *begin = texts->bytes + texts->used, *to = begin;
    const unsigned char *from = raw.data, *end = from + raw.size;
    while (from < end) {
        size_t size = *from ? utf8_sequence(from, end) : 0;
        if (size) {
            memcpy(to, from, size);
            to += size;
            from += size;
            continue;
        }
        memcpy(to, "\\x", 2);
        to[2] = digits[*from >> 4];
        to[3] = digits[*from & 15];
        to += ESCAPED_BYTES;
        from++;
    }
    *to = 0;
    texts->used += (size_t)(to - begin) + 1;
    return velocity_bytes(begin, (size_t)(to - begin));
}

static const char *show_column(struct scratch_texts *texts, sqlite3_stmt *rows, enum audit_column at) {
    return show(texts, column(rows, at)).data;
}

static void hex_of(velocity_slice hash, char out[AUDIT_HEX_BYTES]) {
    struct audit_hash copy = {{0}};
    if (hash.size == AUDIT_HASH_BYTES) memcpy(copy.bytes, hash.data, AUDIT_HASH_BYTES);
    audit_hash_hex(&copy, out);
}

static void read_row(sqlite3_stmt *rows, char *scratch, char key_hex[AUDIT_HEX_BYTES], struct audit_row *row) {
    struct scratch_texts texts = {.bytes = scratch};
    velocity_slice key_hash = column(rows, AUDIT_KEY_SHA256);
    row->number = (uint64_t)sqlite3_column_int64(rows, AUDIT_NUMBER);
    row->time_ms = sqlite3_column_int64(rows, AUDIT_TIME_MS);
    row->user = show_column(&texts, rows, AUDIT_USER);
    row->login = show_column(&texts, rows, AUDIT_LOGIN);
    row->login_id = show_column(&texts, rows, AUDIT_LOGIN_ID);
    row->address = show_column(&texts, rows, AUDIT_ADDRESS);
    row->action = show_column(&texts, rows, AUDIT_ACTION);
    row->request_id = show_column(&texts, rows, AUDIT_REQUEST_ID);
    row->detail = show_column(&texts, rows, AUDIT_DETAIL);
    row->database = show(&texts, column(rows, AUDIT_DATABASE));
    row->key_is_hash = key_hash.size != 0;
    row->key = column(rows, AUDIT_KEY);
    if (row->key_is_hash) {
        hex_of(key_hash, key_hex);
        row->key = velocity_bytes(key_hex, AUDIT_HEX_BYTES - 1);
    }
    row->status = (unsigned)sqlite3_column_int(rows, AUDIT_STATUS);
    hex_of(column(rows, AUDIT_COLUMNS), row->hash);
}

/* ---- queries ----------------------------------------------------------------------------------------------------- */

static int bind_text(sqlite3_stmt *rows, int at, const char *text) {
    struct audit_value value = audit_text(velocity_str(text));
    if (value.type == AUDIT_NULL) return sqlite3_bind_null(rows, at);
    if (value.type == AUDIT_TEXT)
        return sqlite3_bind_text(rows, at, value.bytes.data, (int)value.bytes.size, SQLITE_STATIC);
    return sqlite3_bind_blob(rows, at, value.bytes.data, (int)value.bytes.size, SQLITE_STATIC);
}

/* There is no index but the number: rows come in order anyway, and one more would cost each write. */
static bool prepare(sqlite3 *db, const struct audit_query *query, sqlite3_stmt **rows) {
    char sql[512];
    int code = SQLITE_OK;
    (void)snprintf(sql, sizeof sql, "SELECT %s FROM audit WHERE number < ?1%s%s%s%s%s ORDER BY number DESC LIMIT ?7",
                   AUDIT_COLUMN_LIST, query->since_ms ? " AND time_ms >= ?2" : "",
                   query->until_ms ? " AND time_ms < ?3" : "", query->user ? " AND user IS ?4" : "",
                   query->action ? " AND action IS ?5" : "", query->database ? " AND database IS ?6" : "");
    if (sqlite3_prepare_v2(db, sql, -1, rows, NULL) != SQLITE_OK) return false;
    bool bounded = query->before > 0 && query->before < INT64_MAX;
    code = sqlite3_bind_int64(*rows, 1, bounded ? (int64_t)query->before : INT64_MAX);
    if (!code) code = sqlite3_bind_int64(*rows, 2, query->since_ms);
    if (!code) code = sqlite3_bind_int64(*rows, 3, query->until_ms);
    if (!code && query->user) code = bind_text(*rows, 4, query->user);
    if (!code && query->action) code = bind_text(*rows, 5, query->action);
    if (!code && query->database) code = bind_text(*rows, 6, query->database);
    if (!code) code = sqlite3_bind_int64(*rows, 7, (int64_t)query->limit + 1);
    return code == SQLITE_OK;
}

static velocity_status run(struct audit_reader *reader, const struct audit_query *query, char *scratch,
                           bool (*row)(void *arg, const struct audit_row *row), void *arg, bool *more) {
    sqlite3_stmt *rows = NULL;
    struct audit_row shown;
    char key_hex[AUDIT_HEX_BYTES];
    bool good = prepare(reader->db, query, &rows);
    int code = good ? sqlite3_step(rows) : SQLITE_ERROR;
    for (uint32_t count = 0; code == SQLITE_ROW && count < query->limit; count++) {
        read_row(rows, scratch, key_hex, &shown);
        bool on = row(arg, &shown);
        code = sqlite3_step(rows);
        if (!on) break;
    }
    *more = code == SQLITE_ROW;
    velocity_status status = VELOCITY_OK;
    if (code != SQLITE_ROW && code != SQLITE_DONE) status = audit_reader_status(reader, "searching");
    (void)sqlite3_finalize(rows);
    return status;
}

velocity_status audit_query_timed(struct audit *audit, const struct audit_query *query, int64_t timeout_ms,
                                  bool (*row)(void *arg, const struct audit_row *row), void *arg, bool *more) {
    struct audit_reader reader;
    *more = false;
    (void)audit_settle_waiting(audit); /* where it fails, what is there is read */
    char *scratch = malloc(SCRATCH_BYTES);
    if (!scratch) return status_set(VELOCITY_NO_MEMORY, "%s: no memory to read it", audit->path);
    velocity_status status = audit_reader_open(&reader, audit, timeout_ms);
    if (!status) {
        status = run(&reader, query, scratch, row, arg, more);
        audit_reader_close(&reader);
    }
    free(scratch);
    return status;
}

velocity_status audit_query(struct audit *audit, const struct audit_query *query,
                            bool (*row)(void *arg, const struct audit_row *row), void *arg, bool *more) {
    return audit_query_timed(audit, query, TIMEOUT_MS, row, arg, more);
}
