/*
 * command.h - what a command of the program is. One const table in main.c lists them all; dispatch, the reading of
 * options and every page of help come from it.
 */
#ifndef VELOCITY_CLI_COMMAND_H
#define VELOCITY_CLI_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

/* Exit codes; part of the contract. */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_NOT_FOUND = 3, EXIT_CONFIGURATION = 78 };

#define COMMAND_MAX_OPTIONS 26

struct command_option {
    const char *name;    /* "bind": --bind; NULL ends a table */
    const char *value;   /* what stands behind it, "ADDR:PORT", or choices, "json|text|TYPE"; NULL: a switch */
    const char *setting; /* the configuration key that it sets, "server.bind_address"; NULL: none */
    const char *preset;  /* of a switch: the text that it sets the key to */
    const char *help;
};

/* What was given: values[i] belongs to the command's option i; NULL where it was not given, "" for a switch. */
struct command_arguments {
    const char *values[COMMAND_MAX_OPTIONS];
    char **operands; /* what stands behind the command besides options, in order */
    int operand_count;
};

struct command {
    const char *name;    /* "db server"; NULL ends the table */
    const char *alias;   /* "server"; NULL: none */
    const char *operand; /* "PATH": it takes words, and help calls them so; NULL: it takes none */
    const char *summary;
    const struct command_option *options;                                                 /* NULL: none */
    int (*run)(const struct command *command, const struct command_arguments *arguments); /* answers the exit code */
};

extern const struct command commands[];

/* The command that the words begin with; *used says how many of them are its name. NULL: there is none. */
const struct command *command_find(int count, char **words, int *used);

/* ---- helpers of the commands ---------------------------------------------------------------------------------- */

/* The value of an option, by name; NULL where it was not given. */
const char *command_value(const struct command *command, const struct command_arguments *arguments, const char *name);

/* "velocity: ..." on standard error, one line. Answers `code`, so that a command can end with it. */
__attribute__((format(printf, 2, 3))) int complain(int code, const char *format, ...);

struct config;
/* Loads the configuration from all its sources, with --config and the options that set keys. Answers EXIT_DONE and a
 * config to be freed, or complains and answers the exit code. */
int command_configuration(const struct command *command, const struct command_arguments *arguments, struct config *out);

struct config_request;
/* The same sources once more, for config_reload; config_request_free() it. NULL: no memory. */
struct config_request *command_request(const struct command *command, const struct command_arguments *arguments);

/* ---- the commands, one file each ------------------------------------------------------------------------------ */

int run_server(const struct command *command, const struct command_arguments *arguments);
int run_db_init(const struct command *command, const struct command_arguments *arguments);
int run_check_config(const struct command *command, const struct command_arguments *arguments);
int run_version(const struct command *command, const struct command_arguments *arguments);
int run_db_verify(const struct command *command, const struct command_arguments *arguments);
int run_db_repair(const struct command *command, const struct command_arguments *arguments);
int run_db_dump(const struct command *command, const struct command_arguments *arguments);
int run_db_compact(const struct command *command, const struct command_arguments *arguments);
int run_sst_dump(const struct command *command, const struct command_arguments *arguments);
int run_sst_verify(const struct command *command, const struct command_arguments *arguments);
int run_admin(const struct command *command, const struct command_arguments *arguments); /* all of velocity admin */
int run_get(const struct command *command, const struct command_arguments *arguments);
int run_put(const struct command *command, const struct command_arguments *arguments);
int run_delete(const struct command *command, const struct command_arguments *arguments);
int run_scan(const struct command *command, const struct command_arguments *arguments);
int run_watch(const struct command *command, const struct command_arguments *arguments);
int run_batch(const struct command *command, const struct command_arguments *arguments);
int run_import(const struct command *command, const struct command_arguments *arguments);
int run_export(const struct command *command, const struct command_arguments *arguments);
int run_completion(const struct command *command, const struct command_arguments *arguments);
int run_manual(const struct command *command, const struct command_arguments *arguments);
int run_benchmark(const struct command *command, const struct command_arguments *arguments);
int run_help(const struct command *command, const struct command_arguments *arguments);
int help_of(const struct command *command); /* one command's page, on standard output */

#endif
