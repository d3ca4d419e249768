/* audit_file.c - see audit_file.h: opening, making, appending. */
#include "server/audit_file_internal.h"

#include "server/audit_incoming.h"

#include "engine/status.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define APPLICATION_ID   0x56655475 /* "VeTu": in the header of the file, so that file(1) and we know it */
#define FORMAT_VERSION   1
#define BUSY_TIMEOUT_MS  1000
#define CHECKED_ROWS     "1000" /* at the end, when it is opened */
#define CHECKPOINT_PAGES "4096"

#define TEXT_OF_(value) #value
#define TEXT_OF(value)  TEXT_OF_(value)

/* quote() and the hash don't see the declared types, SQLite's affinity does: texts stay texts. */
static const char schema[] =
    "CREATE TABLE audit (number INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, user TEXT, login TEXT, login_id TEXT,"
    " address TEXT, action TEXT, database TEXT, key BLOB, key_sha256 BLOB, status INTEGER, request_id TEXT,"
    " detail TEXT, hash BLOB NOT NULL);"
    "CREATE TABLE audit_anchor (number INTEGER NOT NULL, hash BLOB NOT NULL, row INTEGER NOT NULL);"
    "INSERT INTO audit_anchor VALUES (0, zeroblob(" TEXT_OF(
        AUDIT_HASH_BYTES) "), 0);"
                          "PRAGMA application_id = " TEXT_OF(APPLICATION_ID) ";"
                                                                             "PRAGMA user_version = " TEXT_OF(
                                                                                 FORMAT_VERSION) ";";

/* ---- SQLite ------------------------------------------------------------------------------------------------------ */

static velocity_status status_of(int code) {
    switch (code & 0xff) {
    case SQLITE_FULL: return VELOCITY_NO_SPACE;
    case SQLITE_NOMEM: return VELOCITY_NO_MEMORY;
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return VELOCITY_LOCKED;
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM: return VELOCITY_IO;
    case SQLITE_INTERRUPT: return VELOCITY_BUSY;
    default: return VELOCITY_CORRUPT;
    }
}

velocity_status audit_sqlite_status(sqlite3 *db, const char *path, const char *doing) {
    velocity_status status = status_of(sqlite3_extended_errcode(db));
    const char *advice = status == VELOCITY_CORRUPT ? "; move it away with its -wal and -shm to begin a new log" : "";
    return status_set(status, "%s: %s: %s%s", path, doing, sqlite3_errmsg(db), advice);
}

static bool harden(sqlite3 *db) {
    (void)sqlite3_extended_result_codes(db, 1);
    (void)sqlite3_limit(db, SQLITE_LIMIT_LENGTH, 2 * AUDIT_ROW_MAX_BYTES);
    return sqlite3_busy_timeout(db, BUSY_TIMEOUT_MS) == SQLITE_OK &&
           sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL) == SQLITE_OK &&
           sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL) == SQLITE_OK &&
           sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL) == SQLITE_OK &&
           sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL) == SQLITE_OK;
}

velocity_status audit_connect(const char *path, int flags, sqlite3 **out) {
    *out = NULL;
    if (sqlite3_open_v2(path, out, flags | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK || !harden(*out)) {
        velocity_status status = *out ? audit_sqlite_status(*out, path, "opening the audit log")
                                      : status_set(VELOCITY_NO_MEMORY, "%s: no memory to open the audit log", path);
        (void)sqlite3_close(*out);
        *out = NULL;
        return status;
    }
    return VELOCITY_OK;
}

/* Of a statement that answers one number. */
static velocity_status ask_number(sqlite3 *db, const char *path, const char *sql, int64_t *out) {
    sqlite3_stmt *statement = NULL;
    bool good = sqlite3_prepare_v2(db, sql, -1, &statement, NULL) == SQLITE_OK && sqlite3_step(statement) == SQLITE_ROW;
    if (good) *out = sqlite3_column_int64(statement, 0);
    velocity_status status = good ? VELOCITY_OK : audit_sqlite_status(db, path, "reading its header");
    (void)sqlite3_finalize(statement);
    return status;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

velocity_status audit_read_anchor(sqlite3 *db, const char *path, struct audit_anchor *out) {
    sqlite3_stmt *statement = NULL;
    *out = (struct audit_anchor){0};
    bool good =
        sqlite3_prepare_v2(db, "SELECT number, row, hash FROM audit_anchor", -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_bytes(statement, 2) == AUDIT_HASH_BYTES;
    if (good) {
        out->last.number = (uint64_t)sqlite3_column_int64(statement, 0);
        out->row = (uint64_t)sqlite3_column_int64(statement, 1);
        memcpy(out->last.hash.bytes, sqlite3_column_blob(statement, 2), AUDIT_HASH_BYTES);
    }
    velocity_status status = VELOCITY_OK;
    if (!good) {
        int code = sqlite3_errcode(db);
        status = code == SQLITE_ROW || code == SQLITE_DONE
                     ? status_set(VELOCITY_CORRUPT, "%s: the table audit_anchor does not hold what it should", path)
                     : audit_sqlite_status(db, path, "reading the anchor");
    }
    (void)sqlite3_finalize(statement);
    return status;
}

bool audit_read_row(sqlite3_stmt *statement, struct audit_value row[AUDIT_COLUMNS], struct audit_hash *hash) {
    bool good = sqlite3_column_type(statement, AUDIT_COLUMNS) == SQLITE_BLOB &&
                sqlite3_column_bytes(statement, AUDIT_COLUMNS) == AUDIT_HASH_BYTES;
    *hash = (struct audit_hash){{0}};
    if (good) memcpy(hash->bytes, sqlite3_column_blob(statement, AUDIT_COLUMNS), AUDIT_HASH_BYTES);
    for (int i = 0; i < AUDIT_COLUMNS; i++) {
        struct audit_value *value = &row[i];
        int type = sqlite3_column_type(statement, i);
        *value = (struct audit_value){.type = AUDIT_NULL};
        if (type == SQLITE_INTEGER) *value = audit_integer(sqlite3_column_int64(statement, i));
        if (type == SQLITE_FLOAT) good = false;
        if (type != SQLITE_TEXT && type != SQLITE_BLOB) continue;
        value->type = type == SQLITE_TEXT ? AUDIT_TEXT : AUDIT_BLOB;
        value->bytes.data = sqlite3_column_blob(statement, i);
        value->bytes.size = (size_t)sqlite3_column_bytes(statement, i);
    }
    return good;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* SQLite would make it readable for others; its WAL gets the mode of the file. */
static velocity_status make_private(const char *path) {
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (descriptor < 0) return status_set(VELOCITY_IO, "%s: opening the audit log: %s", path, strerror(errno));
    (void)close(descriptor);
    return VELOCITY_OK;
}

static velocity_status run(struct audit_file *file, const char *sql) {
    if (sqlite3_exec(file->db, sql, NULL, NULL, NULL) == SQLITE_OK) return VELOCITY_OK;
    return audit_sqlite_status(file->db, file->path, "setting up the audit log");
}

static velocity_status make_tables(struct audit_file *file) {
    velocity_status status = run(file, "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; BEGIN IMMEDIATE");
    if (!status) status = run(file, schema);
    if (!status) status = run(file, "COMMIT");
    return status;
}

/* New, ours, or somebody else's? One that is empty but for its header was being made when the process ended. */
static velocity_status recognise(struct audit_file *file) {
    int64_t application = 0, version = 0, tables = 0;
    velocity_status status = ask_number(file->db, file->path, "PRAGMA application_id", &application);
    if (!status) status = ask_number(file->db, file->path, "PRAGMA user_version", &version);
    if (!status) status = ask_number(file->db, file->path, "SELECT count(*) FROM sqlite_schema", &tables);
    if (status) return status;
    if (tables == 0 && application == 0) return make_tables(file);
    if (application != APPLICATION_ID)
        return status_set(VELOCITY_CORRUPT, "%s: a database that is no audit log; move it away to begin one",
                          file->path);
    if (version != FORMAT_VERSION)
        return status_set(VELOCITY_UNSUPPORTED, "%s: an audit log of format %lld, this version knows %d", file->path,
                          (long long)version, FORMAT_VERSION);
    return VELOCITY_OK;
}

static velocity_status prepare(struct audit_file *file) {
    static const char *const sql[AUDIT_STATEMENTS] = {
        [AUDIT_BEGIN] = "BEGIN IMMEDIATE",
        [AUDIT_COMMIT] = "COMMIT",
        [AUDIT_ROLLBACK] = "ROLLBACK",
        [AUDIT_INSERT] = "INSERT INTO main.audit SELECT * FROM temp.incoming",
        [AUDIT_PAGES] = "PRAGMA page_count",
        [AUDIT_FREE_PAGES] = "PRAGMA freelist_count",
        [AUDIT_YOUNG] = "SELECT min(number) FROM audit WHERE number BETWEEN ?3 AND ?1 - 1 AND time_ms >= ?2",
        [AUDIT_HASH_OF] = "SELECT hash FROM audit WHERE number = ?1",
        [AUDIT_REMOVE] = "DELETE FROM audit WHERE number <= ?1",
        [AUDIT_SET_ANCHOR] = "UPDATE audit_anchor SET number = ?1, hash = ?2, row = ?3",
        [AUDIT_SHRINK] = "PRAGMA incremental_vacuum(256)", /* pages: a small step */
    };
    if (!audit_incoming_make(file->db, file)) return audit_sqlite_status(file->db, file->path, "a virtual table");
    for (int i = 0; i < AUDIT_STATEMENTS; i++)
        if (sqlite3_prepare_v3(file->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &file->statements[i], NULL) !=
            SQLITE_OK)
            return audit_sqlite_status(file->db, file->path, "a table of the audit log");
    return VELOCITY_OK;
}

/* Row by row on to the head. What the first one follows is known where it is the anchor. */
static velocity_status check_rows(struct audit_file *file, sqlite3_stmt *rows, bool *broken) {
    struct audit_value row[AUDIT_COLUMNS];
    struct audit_hash computed, hash;
    bool first = true, good = true;
    int code;
    while ((code = sqlite3_step(rows)) == SQLITE_ROW) {
        good = audit_read_row(rows, row, &hash);
        uint64_t number = (uint64_t)sqlite3_column_int64(rows, AUDIT_NUMBER);
        bool next = number == file->head.number + 1;
        bool follows = good && next && audit_chain_next(&file->chain, &file->head.hash, row, &computed) &&
                       memcmp(&computed, &hash, sizeof hash) == 0;
        if (!follows && (!good || next || !first)) *broken = true;
        file->head = (struct audit_head){number, hash};
        first = false;
    }
    if (!good)
        return status_set(VELOCITY_CORRUPT, "%s: the newest row is none of ours; move the file away to begin a new log",
                          file->path);
    return code == SQLITE_DONE ? VELOCITY_OK : audit_sqlite_status(file->db, file->path, "reading the newest rows");
}

/* Finds the head, and looks at the rows before it. A break there must not keep the server from starting, or who can
 * write to the file could: it is logged, and stays for every later verification to see. */
static velocity_status find_head(struct audit_file *file, struct logger *log) {
    static const char sql[] = "SELECT " AUDIT_COLUMN_LIST
                              " FROM (SELECT * FROM audit ORDER BY number DESC LIMIT " CHECKED_ROWS ") ORDER BY number";
    sqlite3_stmt *rows = NULL;
    struct audit_anchor anchor;
    bool broken = false;
    velocity_status status = audit_read_anchor(file->db, file->path, &anchor);
    if (status) return status;
    file->first = anchor.last.number + 1;
    if (sqlite3_prepare_v2(file->db, sql, -1, &rows, NULL) != SQLITE_OK)
        return audit_sqlite_status(file->db, file->path, "reading the newest rows");
    file->head = anchor.last;
    status = check_rows(file, rows, &broken);
    (void)sqlite3_finalize(rows);
    if (!status && (broken || file->head.number < anchor.row) && log)
        logger_event(log, LOGGER_LEVEL_ERROR, "audit_broken", logger_text("path", file->path),
                     logger_text("reason", "its newest rows were changed or removed"));
    return status;
}

velocity_status audit_file_open(const char *path, struct logger *log, struct audit_file **out) {
    struct audit_file *file = calloc(1, sizeof *file);
    *out = NULL;
    if (!file || !(file->path = strdup(path)) || !audit_chain_init(&file->chain)) {
        audit_file_close(file);
        return status_set(VELOCITY_NO_MEMORY, "%s: no memory to open the audit log", path);
    }
    velocity_status status = make_private(path);
    if (!status) status = audit_connect(path, SQLITE_OPEN_READWRITE, &file->db);
    if (!status) status = recognise(file);
    if (!status)
        status = run(file, "PRAGMA synchronous = FULL; PRAGMA secure_delete = FAST; PRAGMA journal_mode = WAL;"
                           "PRAGMA wal_autocheckpoint = " CHECKPOINT_PAGES "; PRAGMA journal_size_limit = 67108864;"
                           "PRAGMA cache_size = -4096");
    if (!status) status = find_head(file, log);
    if (!status) status = prepare(file);
    if (!status) status = audit_file_measure(file);
    if (status)
        audit_file_close(file);
    else
        *out = file;
    return status;
}

void audit_file_close(struct audit_file *file) {
    if (!file) return;
    for (int i = 0; i < AUDIT_STATEMENTS; i++) (void)sqlite3_finalize(file->statements[i]);
    (void)sqlite3_close(file->db);
    audit_chain_destroy(&file->chain);
    free(file->path);
    free(file);
}

/* ---- appending --------------------------------------------------------------------------------------------------- */

velocity_status audit_file_step(struct audit_file *file, enum audit_statement which, const char *doing) {
    sqlite3_stmt *statement = file->statements[which];
    int code = sqlite3_step(statement);
    velocity_status status = VELOCITY_OK;
    while (code == SQLITE_ROW) code = sqlite3_step(statement); /* incremental_vacuum works as long as it is asked */
    if (code != SQLITE_DONE) status = audit_sqlite_status(file->db, file->path, doing);
    (void)sqlite3_reset(statement);
    return status;
}

velocity_status audit_file_number(struct audit_file *file, enum audit_statement which, uint64_t *out) {
    sqlite3_stmt *statement = file->statements[which];
    velocity_status status = VELOCITY_OK;
    *out = 0;
    if (sqlite3_step(statement) == SQLITE_ROW)
        *out = (uint64_t)sqlite3_column_int64(statement, 0);
    else
        status = audit_sqlite_status(file->db, file->path, "reading its size");
    (void)sqlite3_reset(statement);
    return status;
}

velocity_status audit_file_measure(struct audit_file *file) {
    int64_t page_bytes = 0;
    velocity_status status = VELOCITY_OK;
    if (!file->page_bytes) {
        status = ask_number(file->db, file->path, "PRAGMA page_size", &page_bytes);
        if (!status) file->page_bytes = (uint64_t)page_bytes;
    }
    if (!status) status = audit_file_number(file, AUDIT_PAGES, &file->pages);
    if (!status) status = audit_file_number(file, AUDIT_FREE_PAGES, &file->free_pages);
    return status;
}

const struct audit_head *audit_file_head(const struct audit_file *file) {
    return &file->head;
}
uint64_t audit_file_bytes(const struct audit_file *file) {
    return file->pages * file->page_bytes;
}
struct audit_chain *audit_file_chain(struct audit_file *file) {
    return &file->chain;
}

/* Rows that went to a file without a name would be gone when the process ends. */
static velocity_status still_there(struct audit_file *file) {
    int moved = 0;
    (void)sqlite3_file_control(file->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    if (!moved) return VELOCITY_OK;
    return status_set(VELOCITY_IO, "%s: was moved or removed; put it back, or restart to begin a new one", file->path);
}

velocity_status audit_file_begin(struct audit_file *file) {
    velocity_status status = still_there(file);
    if (!status) status = audit_file_step(file, AUDIT_BEGIN, "beginning a transaction");
    file->committed = file->head;
    return status;
}

bool audit_file_next(struct audit_file *file, const struct audit_value **row, const struct audit_hash **hash,
                     bool *failed) {
    if (!file->next(file->next_arg, file->row)) return false;
    file->row[AUDIT_NUMBER] = audit_integer((int64_t)(file->head.number + 1));
    *failed = !audit_chain_next(&file->chain, &file->head.hash, file->row, &file->head.hash);
    file->head.number++;
    *row = file->row;
    *hash = &file->head.hash;
    return !*failed;
}

velocity_status audit_file_append_all(struct audit_file *file, bool (*next)(void *arg, struct audit_value *row),
                                      void *arg) {
    file->next = next;
    file->next_arg = arg;
    return audit_file_step(file, AUDIT_INSERT, "writing rows");
}

struct one_row {
    const struct audit_value *row;
};

static bool hand_out_once(void *arg, struct audit_value *row) {
    struct one_row *one = arg;
    if (!one->row) return false;
    memcpy(row, one->row, AUDIT_COLUMNS * sizeof *row);
    one->row = NULL;
    return true;
}

velocity_status audit_file_append(struct audit_file *file, const struct audit_value row[AUDIT_COLUMNS]) {
    struct one_row one = {row};
    return audit_file_append_all(file, hand_out_once, &one);
}

velocity_status audit_file_commit(struct audit_file *file) {
    velocity_status status = audit_file_step(file, AUDIT_COMMIT, "committing rows");
    if (status) return status;
    file->committed = file->head;
    velocity_status measured = audit_file_measure(file);
    (void)measured; /* the rows are on disk, though the size may be the old one */
    return VELOCITY_OK;
}

void audit_file_rollback(struct audit_file *file) {
    file->head = file->committed;
    /* SQLite rolls back by itself after some failures; where even this one fails, the next begin does, too. */
    if (!sqlite3_get_autocommit(file->db)) (void)sqlite3_step(file->statements[AUDIT_ROLLBACK]);
    (void)sqlite3_reset(file->statements[AUDIT_ROLLBACK]);
}
