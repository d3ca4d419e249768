/*
 * audit_file.h - the SQLite database behind the audit log: rows are appended in transactions and leave at the oldest
 * end.
 *
 *     audit_anchor (number n, hash of n, row r)      audit: n+1, n+2, ... r ("audit.prune": n, hash of n) ... head
 *
 * Invariants:
 *  1. Numbers have no gap: the first row follows the anchor, each other one the row before.
 *  2. The anchor says nothing that its row, which the chain covers, does not say. Before anything was pruned it is all
 *     zeros.
 *  3. What stands in `head` is on disk: it moves when a transaction is committed.
 *
 * Durable when audit_file_commit answers OK: the database is in WAL mode with synchronous=FULL.
 *
 * Threads: the handle belongs to one thread at a time; audit_connect any.
 */
#ifndef VELOCITY_SERVER_AUDIT_FILE_H
#define VELOCITY_SERVER_AUDIT_FILE_H

#include "server/audit_chain.h"
#include "server/logger.h"

#include <sqlite3.h>

#define AUDIT_PRUNE_ACTION    "audit.prune"    /* a row of the log's own: rows left */
#define AUDIT_GAP_ACTION      "audit.gap"      /* another: events were not recorded */
#define AUDIT_REFUSALS_ACTION "audit.refusals" /* another: so many of somebody's refusals have no row */

struct audit_file;

/* In the order of enum audit_column, then `hash`. */
#define AUDIT_COLUMN_LIST                                                                                              \
    "number, time_ms, user, login, login_id, address, action, database, key, key_sha256, status, request_id, detail, " \
    "hash"

struct audit_head {
    uint64_t number; /* 0: no row yet */
    struct audit_hash hash;
};
struct audit_anchor {
    struct audit_head last; /* the newest row that was pruned; number 0: none was */
    uint64_t row;           /* the row that says so */
};

/* Makes it where it is missing (0600). CORRUPT: damaged, or no audit log; UNSUPPORTED: a newer version's. A break of
 * the chain near the end is logged and no more. */
VELOCITY_CHECK_RESULT velocity_status audit_file_open(const char *path, struct logger *log, struct audit_file **out);
void audit_file_close(struct audit_file *file); /* NULL is allowed */
const struct audit_head *audit_file_head(const struct audit_file *file);
uint64_t audit_file_bytes(const struct audit_file *file); /* as of the last transaction; without the WAL */

VELOCITY_CHECK_RESULT velocity_status audit_file_begin(struct audit_file *file);
/* Appends rows as long as `next` makes one; their numbers are set here. What a row points to lives until the next call
 * of it. */
VELOCITY_CHECK_RESULT velocity_status audit_file_append_all(struct audit_file *file,
                                                            bool (*next)(void *arg, struct audit_value *row),
                                                            void *arg);
VELOCITY_CHECK_RESULT velocity_status audit_file_append(struct audit_file *file,
                                                        const struct audit_value row[AUDIT_COLUMNS]);
VELOCITY_CHECK_RESULT velocity_status audit_file_commit(struct audit_file *file);
void audit_file_rollback(struct audit_file *file); /* after any of them failed: nothing happened since begin */
struct audit_chain *audit_file_chain(struct audit_file *file);

struct audit_limits {
    int64_t before_ms;  /* rows of an earlier time leave */
    uint64_t max_bytes; /* 0: no end */
};
/* One small step of removing rows and shrinking the file. *again: there is more to do. */
VELOCITY_CHECK_RESULT velocity_status audit_file_prune(struct audit_file *file, const struct audit_limits *limits,
                                                       int64_t now_ms, uint64_t *removed, bool *again);

/* ---- for readers too --------------------------------------------------------------------------------------------- */

/* A connection with everything off that a file from elsewhere could use against us. */
VELOCITY_CHECK_RESULT velocity_status audit_connect(const char *path, int flags, sqlite3 **out);
/* What SQLite's last failure on this connection means, in a message with path and `doing`. */
VELOCITY_CHECK_RESULT velocity_status audit_sqlite_status(sqlite3 *db, const char *path, const char *doing);
VELOCITY_CHECK_RESULT velocity_status audit_read_anchor(sqlite3 *db, const char *path, struct audit_anchor *out);
/* From a statement over AUDIT_COLUMN_LIST; what is shown lives until the next step. False: it can't have been written
 * by us. */
VELOCITY_CHECK_RESULT bool audit_read_row(sqlite3_stmt *statement, struct audit_value row[AUDIT_COLUMNS],
                                          struct audit_hash *hash);
/* What the detail of an anchor's row begins with. */
#define AUDIT_PRUNE_DETAIL_BYTES 128
void audit_prune_detail(const struct audit_head *last, char out[AUDIT_PRUNE_DETAIL_BYTES]);

#endif
