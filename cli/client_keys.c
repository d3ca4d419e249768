/*
 * client_keys.c - velocity get, put, delete: one key, or all of a range. Values pass through in pieces, whatever their
 * size; a file that is written to appears when it is whole.
 */
#include "cli/client.h"
#include "cli/document.h"
#include "cli/part_file.h"
#include "cli/terminal.h"
#include "server/decimal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIELD_BYTES    512
#define ITEM_MAX_BYTES ((size_t)256 << 20)

/* "/api/keys/KEY", or "/api/keys?key64=KEY". */
static int begin_key(const struct command *command, const struct command_arguments *arguments, int operands,
                     struct json_writer *path) {
    const char *key64 = command_value(command, arguments, "key64");
    int wanted = key64 ? operands - 1 : operands;
    path_begin(path, command, arguments, "keys");
    if (arguments->operand_count > wanted || arguments->operand_count < !key64)
        return complain(EXIT_USAGE, "%s takes %s; see \"velocity help %s\"", command->name,
                        key64 ? "no key beside --key64" : "one key", command->name);
    if (key64) {
        path_parameter(path, "key64", key64);
        return EXIT_DONE;
    }
    if (!*arguments->operands[0]) return complain(EXIT_USAGE, "a key has at least one byte");
    path_segment(path, velocity_str(arguments->operands[0]));
    return EXIT_DONE;
}

static const char *key_words(const struct command *command, const struct command_arguments *arguments) {
    return command_value(command, arguments, "key64") ? NULL : arguments->operands[0];
}

/* ---- get -------------------------------------------------------------------------------------------------------- */

struct download {
    int fd;
    int error; /* of the write that failed; 0: none did */
};

static bool take_piece(void *arg, const char *bytes, size_t size) {
    struct download *d = arg;
    while (size) {
        ssize_t wrote = write(d->fd, bytes, size);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) {
            d->error = errno;
            return false;
        }
        bytes += wrote;
        size -= (size_t)wrote;
    }
    return true;
}

static int download(struct http_client *client, const char *path, const char *about, int fd, const char *to) {
    struct download d = {.fd = fd};
    struct http_exchange x = {
        .method = "GET", .path = path, .write = take_piece, .arg = &d, .about = about, .endless = true};
    int code = http_client_exchange(client, &x, false);
    http_reply_free(&x.reply);
    return d.error ? complain(EXIT_FAILED, "can't write to %s: %s", to, strerror(d.error)) : code;
}

static int get_value(struct http_client *client, const char *path, const char *about, const char *output) {
    struct part_file file;
    if (!output) return download(client, path, about, STDOUT_FILENO, "standard output");
    int code = part_file_open(&file, output);
    if (code) return code;
    code = download(client, path, about, file.fd, output);
    if (!code) return part_file_finish(&file);
    part_file_drop(&file);
    return code;
}

/* What a batch of one get answers is kept whole: its item is a part of it. */
static bool keep_piece(void *arg, const char *bytes, size_t size) {
    struct json_writer *reply = arg;
    json_append(reply, bytes, size);
    return !reply->failed;
}

/* The item as a batch answers it: with version, type, size. */
static int get_item(struct http_client *client, const struct command *command,
                    const struct command_arguments *arguments) {
    const char *key64 = command_value(command, arguments, "key64");
    struct json_writer path = {0}, body = {0}, reply = {.limit_bytes = ITEM_MAX_BYTES};
    struct json_value root, results = {0}, item = {0};
    struct json_reader reader;
    path_begin(&path, command, arguments, "batch");
    json_begin_object(&body);
    json_name(&body, "ops");
    json_begin_array(&body);
    json_begin_object(&body);
    json_name(&body, "op");
    json_write_string(&body, velocity_str("get"));
    if (key64) {
        json_name(&body, "key64");
        json_write_string(&body, velocity_str(key64));
    } else {
        json_write_key(&body, velocity_str(arguments->operands[0]));
    }
    json_end_object(&body);
    json_end_array(&body);
    json_end_object(&body);
    struct http_exchange x = {.method = "POST",
                              .path = path_text(&path),
                              .fields = {"Content-Type: application/json"},
                              .body = velocity_bytes(body.data, body.size),
                              .write = keep_piece,
                              .arg = &reply,
                              .safe = true};
    int code = x.path && !body.failed ? http_client_exchange(client, &x, false) : complain(EXIT_FAILED, "no memory");
    if (!code && reply.failed)
        code = complain(EXIT_FAILED, "no memory, or the item has more than %zu MiB", ITEM_MAX_BYTES >> 20);
    bool good = !code && json_parse(velocity_bytes(reply.data, reply.size), &root, NULL) &&
                document_member(root, "results", &results) && results.type == JSON_ARRAY;
    if (good) json_read(&reader, results);
    good = good && json_next_element(&reader, &item);
    if (!code && !good)
        code = complain(EXIT_FAILED, "the answer is not what was asked for: is it a server of Velocity?");
    else if (!code && item.type == JSON_NULL)
        code = complain(EXIT_NOT_FOUND, "%s: nothing is stored at this key", key64 ? key64 : arguments->operands[0]);
    else if (!code && !(document_print_line(item.raw) && print_bytes("\n", 1)))
        code = complain_of_output();
    http_reply_free(&x.reply);
    json_writer_free(&reply);
    json_writer_free(&path);
    json_writer_free(&body);
    return code;
}

int run_get(const struct command *command, const struct command_arguments *arguments) {
    struct json_writer path = {0};
    struct connection connection = {0};
    bool json = command_value(command, arguments, "json") != NULL;
    const char *output = command_value(command, arguments, "output");
    int code = begin_key(command, arguments, 1, &path);
    if (!code && json && output) code = complain(EXIT_USAGE, "--json or --output, not both");
    if (!code) code = connect_find(command, arguments, &connection);
    if (!code && json)
        code = get_item(connection.client, command, arguments);
    else if (!code)
        code = path_text(&path) ? get_value(connection.client, path.data, key_words(command, arguments), output)
                                : complain(EXIT_FAILED, "no memory");
    connect_close(&connection);
    json_writer_free(&path);
    return code;
}

/* ---- put -------------------------------------------------------------------------------------------------------- */

struct upload {
    int fd;
    const char *path;  /* NULL: standard input */
    int64_t left;      /* of a size that was announced; negative: none was */
    const char *error; /* why it can't be read on; NULL: it can */
    char version[32];
};

static size_t give_piece(void *arg, char *out, size_t size) {
    struct upload *u = arg;
    ssize_t got;
    do got = read(u->fd, out, size);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        u->error = strerror(errno);
    else if (got == 0 && u->left > 0)
        u->error = "it has become shorter meanwhile";
    if (u->error) return HTTP_READ_FAILED;
    if (u->left > 0) u->left -= got;
    return (size_t)got;
}

/* The version stands in ETag with quotes, in Velocity-Version without; what else stands there is none. */
static void keep_version(void *arg, velocity_slice name, velocity_slice value) {
    struct upload *u = arg;
    const char *p = value.data;
    bool etag = name.size == 4 && strncasecmp(name.data, "ETag", 4) == 0;
    if (!etag && !(name.size == 16 && strncasecmp(name.data, "Velocity-Version", 16) == 0)) return;
    size_t size = value.size;
    uint64_t number;
    if (etag && size >= 2) p++, size -= 2;
    if (!decimal_u64(velocity_bytes(p, size), &number)) return;
    (void)snprintf(u->version, sizeof u->version, "%" PRIu64, number);
}

static int show_version(const struct upload *u, bool json) {
    if (json && printf("{\"version\":\"%s\"}\n", u->version) < 0) return complain_of_output();
    return EXIT_DONE;
}

/* "If-Match: "..."", from --if-version, --if-exists and --create. Empty: none of them. */
static int write_condition(const struct command *command, const struct command_arguments *arguments,
                           char field[FIELD_BYTES]) {
    const char *version = command_value(command, arguments, "if-version");
    bool create = command_value(command, arguments, "create"), exists = command_value(command, arguments, "if-exists");
    uint64_t number = 0;
    *field = 0;
    if (!!version + create + exists > 1)
        return complain(EXIT_USAGE, "of --create, --if-exists and --if-version one may be given");
    if (create) (void)snprintf(field, FIELD_BYTES, "If-None-Match: *");
    if (exists) (void)snprintf(field, FIELD_BYTES, "If-Match: *");
    int code = read_number("if-version", version, 1, UINT64_MAX - 1, &number);
    if (!code && version) (void)snprintf(field, FIELD_BYTES, "If-Match: \"%s\"", version);
    return code;
}

/* --type: a media type, or one of three short words. */
static int write_type(const char *type, bool from_words, char field[FIELD_BYTES]) {
    static const struct {
        const char *word, *type;
    } words[] = {
        {"json", "application/json"}, {"text", "text/plain; charset=utf-8"}, {"bytes", "application/octet-stream"}};
    if (!type) type = from_words ? "text" : "bytes";
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(type, words[i].word) == 0) type = words[i].type;
    if (!*type || strpbrk(type, "\r\n") ||
        (size_t)snprintf(field, FIELD_BYTES, "Content-Type: %s", type) >= FIELD_BYTES)
        return complain(EXIT_USAGE, "--type: it is a media type such as text/html, or json, text or bytes");
    return EXIT_DONE;
}

/* A file's size is announced, so that one that is too large is refused at once. What says that it is empty may be no
 * file of a disk: /proc tells its sizes so. */
static int open_upload(const char *file, struct upload *u) {
    struct stat info;
    u->fd = STDIN_FILENO;
    if (file && strcmp(file, "-") != 0) {
        u->path = file;
        u->fd = open(file, O_RDONLY | O_CLOEXEC);
        if (u->fd < 0) return complain(EXIT_FAILED, "can't read %s: %s", file, strerror(errno));
    }
    if (fstat(u->fd, &info) != 0) return EXIT_DONE; /* reading it will tell */
    if (u->path && S_ISDIR(info.st_mode)) return complain(EXIT_FAILED, "can't read %s: it is a folder", file);
    if (S_ISREG(info.st_mode) && info.st_size > 0 && lseek(u->fd, 0, SEEK_CUR) == 0) u->left = info.st_size;
    return EXIT_DONE;
}

/* The value is the second operand, else --file, else standard input. */
static int put_value(struct http_client *client, const struct command *command,
                     const struct command_arguments *arguments, struct http_exchange *x, struct upload *u) {
    const char *file = command_value(command, arguments, "file");
    int words = arguments->operand_count - !command_value(command, arguments, "key64");
    int code = EXIT_DONE;
    if (words > 0 && file) return complain(EXIT_USAGE, "a value or --file, not both");
    if (words > 0) {
        x->body = velocity_str(arguments->operands[arguments->operand_count - 1]);
    } else {
        code = open_upload(file, u);
        x->body_bytes = u->left;
        x->read = give_piece;
        x->endless = true;
    }
    if (!code) code = http_client_exchange(client, x, false);
    if (u->error) code = complain(EXIT_FAILED, "can't read %s: %s", u->path ? u->path : "standard input", u->error);
    if (u->path && u->fd >= 0) (void)close(u->fd);
    http_reply_free(&x->reply);
    return code;
}

int run_put(const struct command *command, const struct command_arguments *arguments) {
    struct json_writer path = {0};
    struct connection connection = {0};
    struct upload upload = {.fd = -1, .left = -1};
    char type[FIELD_BYTES] = "", condition[FIELD_BYTES] = "";
    const char *key64 = command_value(command, arguments, "key64");
    bool from_words = arguments->operand_count == (key64 ? 1 : 2);
    int code = begin_key(command, arguments, 2, &path);
    path_parameter(&path, "ttl", command_value(command, arguments, "ttl"));
    path_parameter(&path, "expires_at", command_value(command, arguments, "expires-at"));
    if (!code) code = write_type(command_value(command, arguments, "type"), from_words, type);
    if (!code) code = write_condition(command, arguments, condition);
    if (!code) code = connect_find(command, arguments, &connection);
    struct http_exchange x = {.method = "PUT",
                              .path = path_text(&path),
                              .fields = {type, *condition ? condition : NULL},
                              .field = keep_version,
                              .arg = &upload,
                              .about = key_words(command, arguments)};
    if (!code && !x.path) code = complain(EXIT_FAILED, "no memory");
    if (!code) code = put_value(connection.client, command, arguments, &x, &upload);
    if (!code) code = show_version(&upload, command_value(command, arguments, "json") != NULL);
    connect_close(&connection);
    json_writer_free(&path);
    return code;
}

/* ---- delete ----------------------------------------------------------------------------------------------------- */

static bool names_range(const struct command *command, const struct command_arguments *arguments) {
    return command_value(command, arguments, "prefix") || command_value(command, arguments, "start") ||
           command_value(command, arguments, "end") || command_value(command, arguments, "all");
}

static int ask_consent(const struct command *command, const struct command_arguments *arguments) {
    char answer[16];
    if (command_value(command, arguments, "yes") || command_value(command, arguments, "dry-run")) return EXIT_DONE;
    if (!terminal_is_there())
        return complain(EXIT_USAGE, "many keys can't be brought back, and there is no terminal to ask: say --yes");
    if (terminal_ask("All keys of the range will be gone. To go on, type yes: ", false, answer, sizeof answer) ==
            LINE_READ &&
        strcmp(answer, "yes") == 0)
        return EXIT_DONE;
    return complain(EXIT_FAILED, "all is left as it is");
}

static int begin_range(const struct command *command, const struct command_arguments *arguments,
                       struct json_writer *path) {
    if (arguments->operand_count || command_value(command, arguments, "key64"))
        return complain(EXIT_USAGE, "a key or a range, not both");
    path_begin(path, command, arguments, "keys");
    path_parameter(path, "prefix", command_value(command, arguments, "prefix"));
    path_parameter(path, "start", command_value(command, arguments, "start"));
    path_parameter(path, "end", command_value(command, arguments, "end"));
    if (command_value(command, arguments, "all")) path_parameter(path, "all", "true");
    if (command_value(command, arguments, "dry-run")) path_parameter(path, "dry_run", "true");
    return EXIT_DONE;
}

static int show_deleted(const struct http_exchange *x, const struct upload *u, bool json) {
    struct json_value root, count;
    velocity_slice body = velocity_bytes(x->reply.body, x->reply.size);
    if (!x->reply.size) return show_version(u, json);
    bool good = json_parse(body, &root, NULL);
    if (good && !json && document_member(root, "count", &count)) body = count.raw;
    if (!good) return complain(EXIT_FAILED, "the answer is not what was asked for: is it a server of Velocity?");
    return document_print_line(body) && print_bytes("\n", 1) ? EXIT_DONE : complain_of_output();
}

int run_delete(const struct command *command, const struct command_arguments *arguments) {
    struct json_writer path = {0};
    struct connection connection = {0};
    struct upload upload = {.fd = -1, .left = -1};
    char condition[FIELD_BYTES] = "";
    bool range = names_range(command, arguments);
    int code = range ? begin_range(command, arguments, &path) : begin_key(command, arguments, 1, &path);
    if (!code && !range && command_value(command, arguments, "dry-run"))
        code = complain(EXIT_USAGE, "--dry-run counts the keys of a range; of a key leave it out");
    if (!code) code = write_condition(command, arguments, condition);
    if (!code && range && *condition) code = complain(EXIT_USAGE, "a range has no version: leave --if-version out");
    if (!code && range) code = ask_consent(command, arguments);
    if (!code) code = connect_find(command, arguments, &connection);
    struct http_exchange x = {.method = "DELETE",
                              .path = path_text(&path),
                              .fields = {*condition ? condition : NULL},
                              .field = keep_version,
                              .arg = &upload,
                              .about = range ? NULL : key_words(command, arguments)};
    if (!code && !x.path) code = complain(EXIT_FAILED, "no memory");
    if (!code) {
        code = http_client_exchange(connection.client, &x, false);
        if (!code) code = show_deleted(&x, &upload, command_value(command, arguments, "json") != NULL);
        http_reply_free(&x.reply);
    }
    connect_close(&connection);
    json_writer_free(&path);
    return code;
}
