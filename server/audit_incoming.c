/* audit_incoming.c - see audit_incoming.h. SQLite's virtual tables: sqlite.org/vtab.html. */
#include "server/audit_incoming.h"

struct incoming {
    sqlite3_vtab base;
    struct audit_file *file;
};

struct incoming_cursor {
    sqlite3_vtab_cursor base;
    const struct audit_value *row; /* the file's, until the next one */
    const struct audit_hash *hash;
    bool ended;
};

static int connect_table(sqlite3 *db, void *file, int count, const char *const *arguments, sqlite3_vtab **out,
                         char **error) {
    (void)count, (void)arguments, (void)error;
    struct incoming *table = sqlite3_malloc(sizeof *table);
    if (!table) return SQLITE_NOMEM;
    *table = (struct incoming){.file = file};
    *out = &table->base;
    return sqlite3_declare_vtab(db, "CREATE TABLE incoming (" AUDIT_COLUMN_LIST ")");
}

static int disconnect_table(sqlite3_vtab *table) {
    sqlite3_free(table);
    return SQLITE_OK;
}

static int plan(sqlite3_vtab *table, sqlite3_index_info *info) {
    (void)table, (void)info;
    return SQLITE_OK;
}

static int open_cursor(sqlite3_vtab *table, sqlite3_vtab_cursor **out) {
    (void)table;
    struct incoming_cursor *cursor = sqlite3_malloc(sizeof *cursor);
    if (!cursor) return SQLITE_NOMEM;
    *cursor = (struct incoming_cursor){0};
    *out = &cursor->base;
    return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *cursor) {
    sqlite3_free(cursor);
    return SQLITE_OK;
}

static int next_row(sqlite3_vtab_cursor *base) {
    struct incoming_cursor *cursor = (struct incoming_cursor *)base;
    bool failed = false;
    cursor->ended = !audit_file_next(((struct incoming *)base->pVtab)->file, &cursor->row, &cursor->hash, &failed);
    return failed ? SQLITE_NOMEM : SQLITE_OK;
}

static int first_row(sqlite3_vtab_cursor *cursor, int number, const char *text, int count, sqlite3_value **values) {
    (void)number, (void)text, (void)count, (void)values;
    return next_row(cursor);
}

static int at_end(sqlite3_vtab_cursor *cursor) {
    return ((struct incoming_cursor *)cursor)->ended;
}

static int column(sqlite3_vtab_cursor *base, sqlite3_context *out, int at) {
    const struct incoming_cursor *cursor = (const struct incoming_cursor *)base;
    if (at == AUDIT_COLUMNS) {
        sqlite3_result_blob(out, cursor->hash->bytes, AUDIT_HASH_BYTES, SQLITE_STATIC);
        return SQLITE_OK;
    }
    const struct audit_value *value = &cursor->row[at];
    int size = (int)value->bytes.size;
    if (value->type == AUDIT_INTEGER) sqlite3_result_int64(out, value->integer);
    if (value->type == AUDIT_TEXT) sqlite3_result_text(out, value->bytes.data, size, SQLITE_STATIC);
    if (value->type == AUDIT_BLOB) sqlite3_result_blob(out, value->bytes.data, size, SQLITE_STATIC);
    return SQLITE_OK; /* without a result: NULL */
}

static int row_number(sqlite3_vtab_cursor *cursor, sqlite3_int64 *out) {
    *out = ((const struct incoming_cursor *)cursor)->row[AUDIT_NUMBER].integer;
    return SQLITE_OK;
}

bool audit_incoming_make(sqlite3 *db, struct audit_file *file) {
    static const sqlite3_module module = {.xCreate = connect_table,
                                          .xConnect = connect_table,
                                          .xBestIndex = plan,
                                          .xDisconnect = disconnect_table,
                                          .xDestroy = disconnect_table,
                                          .xOpen = open_cursor,
                                          .xClose = close_cursor,
                                          .xFilter = first_row,
                                          .xNext = next_row,
                                          .xEof = at_end,
                                          .xColumn = column,
                                          .xRowid = row_number};
    return sqlite3_create_module(db, "incoming", &module, file) == SQLITE_OK &&
           sqlite3_exec(db, "PRAGMA temp_store = MEMORY; CREATE VIRTUAL TABLE temp.incoming USING incoming", NULL, NULL,
                        NULL) == SQLITE_OK;
}
