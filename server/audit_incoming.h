/*
 * audit_incoming.h - many rows with one statement: INSERT INTO audit SELECT * FROM temp.incoming, where `incoming` is a
 * virtual table over whatever the source hands out. It takes a third less time than a statement for each row.
 *
 * Threads: those of the audit_file.
 */
#ifndef VELOCITY_SERVER_AUDIT_INCOMING_H
#define VELOCITY_SERVER_AUDIT_INCOMING_H

#include "server/audit_file.h"

/* Makes the table on this connection; `file` must outlive it. */
VELOCITY_CHECK_RESULT bool audit_incoming_make(sqlite3 *db, struct audit_file *file);

/* The file's side. Makes *row the next one, with its number, and *hash its hash; false with *failed where that can't be
 * done, else at the end. */
bool audit_file_next(struct audit_file *file, const struct audit_value **row, const struct audit_hash **hash,
                     bool *failed);

#endif
