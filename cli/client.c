/* client.c - see client.h. */
#include "cli/client.h"
#include "cli/document.h"
#include "server/decimal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- paths ------------------------------------------------------------------------------------------------------ */

static void append(struct json_writer *path, const char *text) {
    json_append(path, text, strlen(text));
}

static void append_escaped(struct json_writer *path, velocity_slice bytes) {
    char *escaped = http_client_escape(bytes);
    if (escaped)
        append(path, escaped);
    else
        path->failed = true;
    free(escaped);
}

void path_begin(struct json_writer *path, const struct command *command, const struct command_arguments *arguments,
                const char *what) {
    const char *database = command_value(command, arguments, "database");
    json_writer_clear(path);
    append(path, "/api");
    if (database) {
        append(path, "/databases");
        path_segment(path, velocity_str(database));
    }
    append(path, "/");
    append(path, what);
}

void path_segment(struct json_writer *path, velocity_slice segment) {
    append(path, "/");
    append_escaped(path, segment);
}

void path_parameter_bytes(struct json_writer *path, const char *name, velocity_slice bytes) {
    append(path, path->size && memchr(path->data, '?', path->size) ? "&" : "?");
    append(path, name);
    append(path, "=");
    append_escaped(path, bytes);
}

void path_parameter(struct json_writer *path, const char *name, const char *text) {
    if (text) path_parameter_bytes(path, name, velocity_str(text));
}

const char *path_text(struct json_writer *path) {
    json_append(path, "", 1);
    return path->failed ? NULL : path->data;
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

int client_get_json(struct http_client *client, struct json_writer *path, struct http_reply *out) {
    struct http_exchange x = {
        .method = "GET",
        .path = path_text(path),
        .fields = {"Accept: application/json, application/problem+json"},
    };
    *out = (struct http_reply){0};
    if (!x.path) return complain(EXIT_FAILED, "no memory");
    int code = http_client_exchange(client, &x, false);
    *out = x.reply;
    if (code) http_reply_free(out);
    return code;
}

/* ---- pieces ----------------------------------------------------------------------------------------------------- */

bool print_bytes(const void *bytes, size_t size) {
    return size == 0 || fwrite(bytes, 1, size, stdout) == size;
}

bool print_held(struct json_value item) {
    struct json_value value;
    if (document_member(item, "value", &value)) return print_bytes("\t", 1) && document_print_line(value.raw);
    char *text = document_line(item, "text");
    if (!text) text = document_line(item, "base64");
    bool good = !text || (print_bytes("\t", 1) && fputs(text, stdout) != EOF);
    free(text);
    return good;
}

int complain_of_output(void) {
    return complain(EXIT_FAILED, "can't write to standard output");
}

int read_number(const char *option, const char *text, uint64_t minimum, uint64_t maximum, uint64_t *out) {
    if (!text) return EXIT_DONE;
    if (decimal_u64(velocity_str(text), out) && *out >= minimum && *out <= maximum) return EXIT_DONE;
    return complain(EXIT_USAGE, "--%s %s: it is a number from %" PRIu64 " to %" PRIu64, option, text, minimum, maximum);
}
