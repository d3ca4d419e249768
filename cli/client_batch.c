/* client_batch.c - velocity batch: a batch as the HTTP interface has it, from a file or standard input. */
#include "cli/client.h"
#include "cli/document.h"
#include "server/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BATCH_BYTES ((size_t)1 << 30)

static int read_all(const char *path, struct json_writer *out) {
    bool from_input = !path || strcmp(path, "-") == 0;
    FILE *file = from_input ? stdin : fopen(path, "re");
    if (!file) return complain(EXIT_FAILED, "can't read %s: %s", path, strerror(errno));
    char piece[65536];
    size_t got;
    while (!out->failed && (got = fread(piece, 1, sizeof piece, file)) > 0) json_append(out, piece, got);
    int code = ferror(file)
                   ? complain(EXIT_FAILED, "can't read %s: %s", from_input ? "standard input" : path, strerror(errno))
                   : EXIT_DONE;
    if (!from_input) (void)fclose(file);
    if (!code && out->failed) code = complain(EXIT_FAILED, "no memory, or more than %zu MiB", MAX_BATCH_BYTES >> 20);
    return code;
}

/* An answer may be as large as all that the batch reads. */
static bool show_piece(void *arg, const char *bytes, size_t size) {
    return document_print(bytes, size, false, arg);
}

int run_batch(const struct command *command, const struct command_arguments *arguments) {
    struct json_writer body = {.limit_bytes = MAX_BATCH_BYTES}, path = {0};
    struct connection connection = {0};
    struct json_error error;
    bool held = false;
    if (arguments->operand_count > 1) return complain(EXIT_USAGE, "batch takes one file; see \"velocity help batch\"");
    int code = read_all(arguments->operand_count ? arguments->operands[0] : NULL, &body);
    if (!code && !json_valid(velocity_bytes(body.data ? body.data : "", body.size), &error))
        code = complain(EXIT_FAILED, "the batch is not JSON: %s, at byte %zu; nothing was sent", error.reason,
                        error.offset);
    if (!code) code = connect_find(command, arguments, &connection);
    path_begin(&path, command, arguments, "batch");
    struct http_exchange x = {.method = "POST",
                              .path = path_text(&path),
                              .fields = {"Content-Type: application/json"},
                              .body = velocity_bytes(body.data, body.size),
                              .write = show_piece,
                              .arg = &held};
    if (!code && !x.path) code = complain(EXIT_FAILED, "no memory");
    if (!code) {
        code = http_client_exchange(connection.client, &x, false);
        if (!code && (x.interrupted || !print_bytes("\n", 1))) code = complain_of_output();
        http_reply_free(&x.reply);
    }
    connect_close(&connection);
    json_writer_free(&path);
    json_writer_free(&body);
    return code;
}
