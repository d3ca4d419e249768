/*
 * data_directory.h - the folder that one server owns:
 *
 *     <data_dir>/velocity.lock          held while a server runs; its content does not matter
 *     <data_dir>/databases/<name>/      one database of the engine each; "default" is always there
 *     <data_dir>/system/                a database of the server's own: users, tokens, what databases are set to
 *     <data_dir>/tls/                   the certificate that was made here
 *     <data_dir>/audit.db               the audit log
 *
 * Files are 0600 and folders 0700: set umask(0077) before.
 */
#ifndef VELOCITY_SERVER_DATA_DIRECTORY_H
#define VELOCITY_SERVER_DATA_DIRECTORY_H

#include "engine/velocity.h"

struct data_directory;

/* Makes what is missing and takes the lock. LOCKED: another process has it. The message names the file. */
VELOCITY_CHECK_RESULT velocity_status data_directory_open(const char *path, struct data_directory **out);
/* Where the database `name` stands. The caller gives it to env_free. NULL: no memory. */
char *data_directory_database(const struct data_directory *directory, const char *name);
/* Where `name` stands in the folder itself: "databases", "system", "tls", "audit.db". The caller gives it to env_free.
 * NULL: no memory. */
char *data_directory_path(const struct data_directory *directory, const char *name);
/* Gives the lock back. NULL is allowed. */
void data_directory_close(struct data_directory *directory);

#endif
