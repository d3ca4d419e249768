/* audit_file_internal.h - what audit_file.c (opening, appending) and audit_prune.c (removing) share. */
#ifndef VELOCITY_SERVER_AUDIT_FILE_INTERNAL_H
#define VELOCITY_SERVER_AUDIT_FILE_INTERNAL_H

#include "server/audit_file.h"

enum audit_statement {
    AUDIT_BEGIN,
    AUDIT_COMMIT,
    AUDIT_ROLLBACK,
    AUDIT_INSERT,
    AUDIT_PAGES,
    AUDIT_FREE_PAGES,
    AUDIT_YOUNG,
    AUDIT_HASH_OF,
    AUDIT_REMOVE,
    AUDIT_SET_ANCHOR,
    AUDIT_SHRINK,
    AUDIT_STATEMENTS
};

struct audit_file {
    sqlite3 *db;
    char *path;
    sqlite3_stmt *statements[AUDIT_STATEMENTS];
    struct audit_chain chain;
    struct audit_head head;                           /* with the rows of the transaction under way */
    struct audit_head committed;                      /* where that began */
    bool (*next)(void *arg, struct audit_value *row); /* of the rows that are being appended */
    void *next_arg;
    struct audit_value row[AUDIT_COLUMNS]; /* the newest of them */
    uint64_t first;                        /* number of the oldest row, or of the first to come */
    uint64_t page_bytes, pages, free_pages;
};

/* Runs a statement that answers nothing. */
VELOCITY_CHECK_RESULT velocity_status audit_file_step(struct audit_file *file, enum audit_statement which,
                                                      const char *doing);
/* Runs one that answers a number (0 for NULL). */
VELOCITY_CHECK_RESULT velocity_status audit_file_number(struct audit_file *file, enum audit_statement which,
                                                        uint64_t *out);
/* Reads how large the file is now. */
VELOCITY_CHECK_RESULT velocity_status audit_file_measure(struct audit_file *file);

#endif
