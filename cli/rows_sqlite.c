/*
 * rows_sqlite.c - a table of a SQLite database: one column is the key, the others become a JSON object, or one of them
 * is the value. Integers and reals become numbers, texts texts, blobs {"base64":"..."}, NULL null.
 *
 * A position is the rowid of a row; a table WITHOUT ROWID can't be gone on with.
 */
#include "cli/rows.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sqlite_rows {
    struct rows rows;
    sqlite3 *db;
    sqlite3_stmt *select;
    bool has_rowid;
    int columns, key, value; /* of the statement; value == columns: all others */
    struct json_writer json;
};

static bool fail(struct sqlite_rows *s, const char *what) {
    (void)snprintf(s->rows.message, sizeof s->rows.message, "%s: %s", what, sqlite3_errmsg(s->db));
    return false;
}

static bool prepare(struct sqlite_rows *s, const char *format, const char *table) {
    char *sql = sqlite3_mprintf(format, table);
    int result = sql ? sqlite3_prepare_v2(s->db, sql, -1, &s->select, NULL) : SQLITE_NOMEM;
    sqlite3_free(sql);
    return result == SQLITE_OK;
}

static velocity_slice column_bytes(struct sqlite_rows *s, int column) {
    const void *data = sqlite3_column_type(s->select, column) == SQLITE_BLOB
                           ? sqlite3_column_blob(s->select, column)
                           : (const void *)sqlite3_column_text(s->select, column);
    int size = sqlite3_column_bytes(s->select, column);
    return velocity_bytes(data ? data : "", data ? (size_t)size : 0);
}

static void write_column(struct sqlite_rows *s, int column) {
    struct json_writer *w = &s->json;
    switch (sqlite3_column_type(s->select, column)) {
    case SQLITE_INTEGER: json_write_i64(w, sqlite3_column_int64(s->select, column)); break;
    case SQLITE_FLOAT: json_write_double(w, sqlite3_column_double(s->select, column)); break;
    case SQLITE_NULL: json_write_null(w); break;
    default: rows_write_text(w, column_bytes(s, column)); break;
    }
}

static void write_object(struct sqlite_rows *s) {
    json_writer_clear(&s->json);
    json_begin_object(&s->json);
    for (int i = s->has_rowid; i < s->columns; i++) {
        if (i == s->key) continue;
        json_write_string(&s->json, velocity_str(sqlite3_column_name(s->select, i)));
        json_append(&s->json, ":", 1);
        s->json.comma = false;
        write_column(s, i);
    }
    json_end_object(&s->json);
}

static enum row_result sqlite_next(struct rows *rows, struct row *out) {
    struct sqlite_rows *s = (struct sqlite_rows *)rows;
    *out = (struct row){0};
    int result = sqlite3_step(s->select);
    if (result == SQLITE_DONE) return ROW_END;
    if (result != SQLITE_ROW) {
        (void)fail(s, "it can't be read");
        return ROW_FAILED;
    }
    rows->done++;
    rows->position = s->has_rowid ? (uint64_t)sqlite3_column_int64(s->select, 0) : rows->done;
    if (sqlite3_column_type(s->select, s->key) == SQLITE_NULL) {
        (void)snprintf(rows->message, sizeof rows->message, "row %" PRIu64 ": its key is NULL", rows->position);
        return ROW_SKIPPED;
    }
    if (s->value < s->columns) {
        out->type = sqlite3_column_type(s->select, s->value) == SQLITE_BLOB ? ROWS_TYPE_BYTES : NULL;
        out->value = column_bytes(s, s->value);
        if (!out->type) out->type = rows_type_of(out->value);
    } else {
        write_object(s);
        out->value = velocity_bytes(s->json.data, s->json.size);
        out->type = ROWS_TYPE_JSON;
    }
    out->key = column_bytes(s, s->key);
    return ROW_READ;
}

static bool sqlite_seek(struct rows *rows, uint64_t position) {
    struct sqlite_rows *s = (struct sqlite_rows *)rows;
    if (!s->has_rowid) {
        (void)snprintf(rows->message, sizeof rows->message, "a table WITHOUT ROWID can't be gone on with");
        return false;
    }
    return sqlite3_bind_int64(s->select, 1, (sqlite3_int64)position) == SQLITE_OK ||
           fail(s, "it can't be gone on with");
}

static void sqlite_close(struct rows *rows) {
    struct sqlite_rows *s = (struct sqlite_rows *)rows;
    (void)sqlite3_finalize(s->select);
    (void)sqlite3_close(s->db);
    json_writer_free(&s->json);
    free(s);
}

static bool find_column(const struct sqlite_rows *s, const char *name, int *out) {
    for (int i = s->has_rowid; i < s->columns; i++) {
        if (sqlite3_stricmp(sqlite3_column_name(s->select, i), name) != 0) continue;
        *out = i;
        return true;
    }
    return false;
}

static void count_rows(struct sqlite_rows *s, const char *table) {
    sqlite3_stmt *select = s->select;
    if (prepare(s, "SELECT count(*) FROM \"%w\"", table) && sqlite3_step(s->select) == SQLITE_ROW)
        s->rows.total = (uint64_t)sqlite3_column_int64(s->select, 0);
    (void)sqlite3_finalize(s->select);
    s->select = select;
}

static bool open_table(struct sqlite_rows *s, const struct rows_options *options) {
    if (sqlite3_open_v2(options->path, &s->db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
        return fail(s, "it can't be opened");
    s->has_rowid = prepare(s, "SELECT rowid, * FROM \"%w\" WHERE rowid > ?1 ORDER BY rowid", options->table);
    if (s->has_rowid && sqlite3_bind_int64(s->select, 1, INT64_MIN) != SQLITE_OK) return fail(s, "it can't be read");
    if (!s->has_rowid && !prepare(s, "SELECT * FROM \"%w\"", options->table)) return fail(s, "the table can't be read");
    s->columns = s->value = sqlite3_column_count(s->select);
    s->key = s->has_rowid;
    if (options->key_column && !find_column(s, options->key_column, &s->key)) {
        (void)snprintf(s->rows.message, sizeof s->rows.message, "the table has no column %.64s", options->key_column);
        return false;
    }
    if (options->value_column && !find_column(s, options->value_column, &s->value)) {
        (void)snprintf(s->rows.message, sizeof s->rows.message, "the table has no column %.64s", options->value_column);
        return false;
    }
    count_rows(s, options->table);
    return true;
}

bool rows_open_sqlite(const struct rows_options *options, struct rows **out, char message[ROWS_MESSAGE_BYTES]) {
    struct sqlite_rows *s = calloc(1, sizeof *s);
    const char *why = "no memory";
    if (s) s->rows = (struct rows){.next = sqlite_next, .seek = sqlite_seek, .close = sqlite_close};
    if (s && !options->path)
        why = "a SQLite database is read from a file: name it";
    else if (s && !options->table)
        why = "say which table with --table";
    else if (s)
        why = open_table(s, options) ? NULL : s->rows.message;
    if (!why) {
        *out = &s->rows;
        return true;
    }
    (void)snprintf(message, ROWS_MESSAGE_BYTES, "%.100s: %.140s", options->path ? options->path : "standard input",
                   why);
    if (s) sqlite_close(&s->rows);
    return false;
}
