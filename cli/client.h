/*
 * client.h - what the commands that read and write keys share: paths of the HTTP interface, and a request on the server
 * that the options name.
 *
 * Functions that answer an int complain in one line, and answer the exit code; EXIT_DONE: it worked.
 */
#ifndef VELOCITY_CLI_CLIENT_H
#define VELOCITY_CLI_CLIENT_H

#include "cli/connect.h"
#include "server/json.h"
#include "server/json_write.h"

/*
 * A path, made in a writer: "/api/keys", or with --database "/api/databases/NAME/keys"; then segments, then parameters.
 * What fails shows at path_text.
 */
void path_begin(struct json_writer *path, const struct command *command, const struct command_arguments *arguments,
                const char *what);
void path_segment(struct json_writer *path, velocity_slice segment);
/* NULL text adds nothing. */
void path_parameter(struct json_writer *path, const char *name, const char *text);
void path_parameter_bytes(struct json_writer *path, const char *name, velocity_slice bytes);
/* With its NUL. NULL: no memory. */
const char *path_text(struct json_writer *path);

/* One JSON answer to a GET of this path; it must be freed. */
int client_get_json(struct http_client *client, struct json_writer *path, struct http_reply *out);

/* Bytes on standard output. False: it can't be written to; say nothing more. */
bool print_bytes(const void *bytes, size_t size);
/* A tab and what an item holds, in one line: its JSON, its text, or its bytes in base64. Nothing where it is too large
 * to come along. */
bool print_held(struct json_value item);
int complain_of_output(void);

/* A "--limit N" and its like. */
int read_number(const char *option, const char *text, uint64_t minimum, uint64_t maximum, uint64_t *out);

#endif
