/*
 * import_state.h - how far an import came, in a file, so that --resume goes on from there. The file is replaced as a
 * whole: it tells of one moment.
 *
 * Functions that answer an int complain in one line, and answer the exit code; EXIT_DONE: it worked.
 */
#ifndef VELOCITY_CLI_IMPORT_STATE_H
#define VELOCITY_CLI_IMPORT_STATE_H

#include "cli/rows.h"

struct import_state {
    uint64_t position;                   /* of the source, as rows.h has it */
    uint64_t number;                     /* of rows that are done with */
    uint64_t imported, expired, skipped; /* which are these */
};

/* `path` NULL: none is kept. */
int import_state_save(const char *path, const char *format, const struct rows *rows, const struct import_state *state);
/* And brings the source there. */
int import_state_load(const char *path, const char *format, struct rows *rows, struct import_state *out);

#endif
