/*
 * rows_sqlite.c - a table of a SQLite database: one column is the key, the others become a JSON object, or one of them
 * is the value. Integers and reals become numbers, texts texts, blobs {"base64":"..."}, NULL null. The file may be
 * anyone's: nothing that its schema names is trusted.
 *
 * A position is the rowid of a row; of a table WITHOUT ROWID, or a view, the number of rows that came before.
 */
#include "cli/rows.h"

#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUSY_MS 10000

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
    case SQLITE_FLOAT: rows_write_number(w, sqlite3_column_double(s->select, column)); break;
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

/* One column alone; NULL as in an object. */
static void show_value(struct sqlite_rows *s, struct row *out) {
    int type = sqlite3_column_type(s->select, s->value);
    out->value = type == SQLITE_NULL ? velocity_str("null") : column_bytes(s, s->value);
    out->type = type == SQLITE_NULL ? ROWS_TYPE_JSON : type == SQLITE_BLOB ? ROWS_TYPE_BYTES : rows_type_of(out->value);
}

static enum row_result skip(struct sqlite_rows *s, const char *reason) {
    (void)snprintf(s->rows.message, sizeof s->rows.message, "%s", reason);
    return ROW_SKIPPED;
}

static enum row_result sqlite_next(struct rows *rows, struct row *out) {
    struct sqlite_rows *s = (struct sqlite_rows *)rows;
    *out = (struct row){0};
    int result = sqlite3_step(s->select);
    if (result == SQLITE_DONE) return ROW_END;
    if (result != SQLITE_ROW) {
        (void)fail(s, "the database can't be read");
        return ROW_FAILED;
    }
    rows->done++;
    rows->position = s->has_rowid ? (uint64_t)sqlite3_column_int64(s->select, 0) : rows->done;
    if (sqlite3_column_type(s->select, s->key) == SQLITE_NULL) return skip(s, "its key is NULL");
    if (s->value < s->columns) {
        show_value(s, out);
    } else {
        write_object(s);
        out->value = velocity_bytes(s->json.data, s->json.size);
        out->type = ROWS_TYPE_JSON;
    }
    out->key = column_bytes(s, s->key);
    return s->json.failed ? skip(s, "it is too large as JSON") : ROW_READ;
}

static bool sqlite_seek(struct rows *rows, uint64_t position) {
    struct sqlite_rows *s = (struct sqlite_rows *)rows;
    rows->position = position;
    if (s->has_rowid) {
        sqlite3_int64 rowid = (sqlite3_int64)position;
        /* The least is also where no row was shown; behind the largest there is none. Both once more do no harm. */
        if (rowid != INT64_MIN && rowid != INT64_MAX) rowid++;
        return sqlite3_bind_int64(s->select, 1, rowid) == SQLITE_OK || fail(s, "it can't be gone on with");
    }
    while (rows->done < position && sqlite3_step(s->select) == SQLITE_ROW) rows->done++;
    if (rows->done == position) return true;
    (void)snprintf(rows->message, sizeof rows->message, "it has fewer rows than when it was left");
    return false;
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

/* A name of the rowid under which no other column hides it. NULL: there is none; a view may answer NULL to all. */
static const char *name_of_rowid(struct sqlite_rows *s, const char *table) {
    static const char *const names[] = {"rowid", "_rowid_", "oid"};
    static const char sql[] = "SELECT 1 FROM pragma_table_xinfo(?1) WHERE name = ?2 COLLATE NOCASE UNION ALL SELECT 1 "
                              "WHERE NOT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1 "
                              "COLLATE NOCASE)";
    const char *found = NULL;
    sqlite3_stmt *look;
    if (sqlite3_prepare_v2(s->db, sql, -1, &look, NULL) != SQLITE_OK) return NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && !found; i++) {
        bool bound = sqlite3_bind_text(look, 1, table, -1, SQLITE_STATIC) == SQLITE_OK &&
                     sqlite3_bind_text(look, 2, names[i], -1, SQLITE_STATIC) == SQLITE_OK;
        if (bound && sqlite3_step(look) == SQLITE_DONE) found = names[i];
        (void)sqlite3_reset(look);
    }
    (void)sqlite3_finalize(look);
    return found;
}

/* In the order of the rowid where there is one. */
static bool select_rows(struct sqlite_rows *s, const char *table) {
    const char *rowid = name_of_rowid(s, table);
    char format[200];
    if (rowid)
        (void)snprintf(format, sizeof format, "SELECT %s, * FROM \"%%w\" WHERE %s >= ?1 ORDER BY %s", rowid, rowid,
                       rowid);
    s->has_rowid = rowid && prepare(s, format, table);
    if (!s->has_rowid) return prepare(s, "SELECT * FROM \"%w\"", table);
    s->rows.position = (uint64_t)INT64_MIN;
    return sqlite3_bind_int64(s->select, 1, INT64_MIN) == SQLITE_OK;
}

static bool open_table(struct sqlite_rows *s, const struct rows_options *options) {
    if (sqlite3_open_v2(options->path, &s->db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
        return fail(s, "it can't be opened");
    (void)sqlite3_busy_timeout(s->db, BUSY_MS);
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if (!select_rows(s, options->table)) return fail(s, "the table can't be read");
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
    if (s) {
        s->rows = (struct rows){.next = sqlite_next, .seek = sqlite_seek, .close = sqlite_close};
        s->json.limit_bytes = ROWS_JSON_MAX_BYTES;
    }
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
