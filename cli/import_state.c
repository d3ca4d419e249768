/*
 * import_state.c - see import_state.h. The file is one line:
 *
 *     velocity-import 2 FORMAT ID POSITION NUMBER IMPORTED EXPIRED SKIPPED
 *
 * ID says which source the position is one of, as the source itself does; "-" where it does not.
 */
#include "cli/import_state.h"
#include "cli/command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES   4200
#define FORMAT_BYTES 16

static const char *id_of(const struct rows *rows) {
    return *rows->id ? rows->id : "-";
}

int import_state_save(const char *path, const char *format, const struct rows *rows, const struct import_state *state) {
    char next[PATH_BYTES];
    if (!path) return EXIT_DONE;
    errno = ENAMETOOLONG;
    FILE *file = (size_t)snprintf(next, sizeof next, "%s.new", path) < sizeof next ? fopen(next, "we") : NULL;
    bool made = file,
         good = file &&
                fprintf(file, "velocity-import 2 %s %s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
                        format, id_of(rows), state->position, state->number, state->imported, state->expired,
                        state->skipped) > 0;
    if (good && (fflush(file) != 0 || fsync(fileno(file)) != 0)) good = false;
    if (file && fclose(file) != 0) good = false;
    if (good && rename(next, path) == 0) return EXIT_DONE;
    int code = complain(EXIT_FAILED, "can't write %s: %s", path, strerror(errno));
    if (made) (void)unlink(next);
    return code;
}

int import_state_load(const char *path, const char *format, struct rows *rows, struct import_state *out) {
    char kind[FORMAT_BYTES], id[ROWS_ID_BYTES];
    FILE *file = path ? fopen(path, "re") : NULL;
    if (!file)
        return path ? complain(EXIT_FAILED, "there is nothing to go on with: %s: %s", path, strerror(errno))
                    : complain(EXIT_FAILED, "there is nothing to go on with: name the file with --state");
    int got = fscanf(file, "velocity-import 2 %15s %79s %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64, kind,
                     id, &out->position, &out->number, &out->imported, &out->expired, &out->skipped);
    (void)fclose(file);
    if (got != 7) return complain(EXIT_FAILED, "%s is no state of an import", path);
    if (strcmp(kind, format) != 0)
        return complain(EXIT_FAILED, "%s is of an import of %s; go on with the same --format", path, kind);
    if (strcmp(id, id_of(rows)) != 0)
        return complain(EXIT_FAILED,
                        "the source is another one, or was changed or restarted, since it was left: import it "
                        "anew, without --resume");
    return rows->seek(rows, out->position) ? EXIT_DONE : complain(EXIT_FAILED, "%s", rows->message);
}
