/*
 * show.h - what the commands that work on files share: their options, bytes as text, a progress bar, a report.
 */
#ifndef VELOCITY_CLI_SHOW_H
#define VELOCITY_CLI_SHOW_H

#include "cli/command.h"
#include "engine/velocity.h"
#include "server/json_write.h"

/* What PATH and --key-file say. Answers EXIT_DONE, or complains. */
struct files_command {
    char path[4096]; /* the database's folder: PATH, or what a server keeps under that data directory */
    unsigned char key[32];
    velocity_options options;
    bool json;
};
int files_command_begin(const struct command *command, const struct command_arguments *arguments,
                        struct files_command *out);
void files_command_end(struct files_command *f); /* forgets the key */

/* Complains with the engine's last message; the exit code that belongs to the status. */
int complain_of(velocity_status status);

/* Bytes as they are where they are printable UTF-8, else escaped as in C; "..." behind `most` bytes (0: all). */
void show_bytes(velocity_slice bytes, size_t most);
void show_size(uint64_t bytes); /* "12.3 MiB" */
/* Ends an NDJSON line and empties the writer. False: standard output does not take it, or no memory. */
bool show_line(struct json_writer *w);

/* A bar on standard error where that is a terminal; NULL elsewhere. */
typedef void show_progress_function(void *arg, uint64_t done_bytes, uint64_t total_bytes);
show_progress_function *show_progress(void);
void show_progress_end(void); /* wipes it away */

/* The findings and the ranges, for people or (w not NULL) as members of the object that is being written. */
void show_report(const velocity_report *report, struct json_writer *w, bool repaired);

#endif
