/*
 * part_file.h - a file that appears when it is whole: until then it has another name, "FILE.part-XXXXXX" beside it,
 * which is gone however the program ends, but by SIGKILL.
 *
 * What is there already keeps its permissions. What is no file of its own kind (a pipe, a terminal, /dev/null) is
 * written to where it stands, and a link leads to what it names; one to nothing is an error.
 *
 * Functions that answer an int complain in one line, and answer the exit code; EXIT_DONE: it worked. One at a time, for
 * the signals; threads: one.
 */
#ifndef VELOCITY_CLI_PART_FILE_H
#define VELOCITY_CLI_PART_FILE_H

#include <stdbool.h>
#include <sys/types.h>

struct part_file {
    char *path; /* where it will be */
    char *part; /* where it is until then; NULL: there */
    int fd;
    mode_t mode; /* that it will have */
};

/* Must be ended by one of the two below where it is EXIT_DONE. */
int part_file_open(struct part_file *file, const char *path);
/* It is whole. */
int part_file_finish(struct part_file *file);
/* It will not be. */
void part_file_drop(struct part_file *file);

#endif
