/*
 * client_keys.c - velocity get, put, delete: one key, or all of a range. Values pass through in pieces, whatever their
 * size; a file that is written to appears when it is whole.
 */
#include "cli/client.h"
#include "cli/document.h"
#include "cli/terminal.h"
#include "server/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIELD_BYTES 512

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
    const char *path; /* NULL: standard output */
    char part[4096];  /* where it is written before it is whole */
    int fd;
    bool failed;
};

static int begin_download(struct download *d, const char *path) {
    d->path = path;
    d->fd = STDOUT_FILENO;
    if (!path) return EXIT_DONE;
    if ((size_t)snprintf(d->part, sizeof d->part, "%s.part-XXXXXX", path) >= sizeof d->part)
        return complain(EXIT_USAGE, "--output: the path is too long");
    d->fd = mkstemp(d->part);
    return d->fd >= 0 ? EXIT_DONE : complain(EXIT_FAILED, "can't write to %s: %s", path, strerror(errno));
}

static bool take_piece(void *arg, const char *bytes, size_t size) {
    struct download *d = arg;
    while (size) {
        ssize_t wrote = write(d->fd, bytes, size);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) {
            d->failed = true;
            return false;
        }
        bytes += wrote;
        size -= (size_t)wrote;
    }
    return true;
}

/* mkstemp gives to nobody else; a file that is asked for gets what others do. */
static bool finish_file(struct download *d) {
    mode_t mask = umask(0);
    (void)umask(mask);
    bool good = fchmod(d->fd, 0666 & ~mask) == 0 && close(d->fd) == 0;
    d->fd = -1;
    return good && rename(d->part, d->path) == 0;
}

static int end_download(struct download *d, int code) {
    if (d->failed)
        code = complain(EXIT_FAILED, "can't write to %s: %s", d->path ? d->path : "standard output", strerror(errno));
    if (!d->path || d->fd < 0) return code;
    if (!code && !finish_file(d)) code = complain(EXIT_FAILED, "can't write to %s: %s", d->path, strerror(errno));
    if (d->fd >= 0) (void)close(d->fd);
    if (code) (void)unlink(d->part);
    return code;
}

static int get_value(struct http_client *client, const char *path, const char *about, const char *output) {
    struct download d = {0};
    struct http_exchange x = {
        .method = "GET", .path = path, .write = take_piece, .arg = &d, .about = about, .endless = true, .silent_s = 60};
    int code = begin_download(&d, output);
    if (code) return code;
    code = end_download(&d, http_client_exchange(client, &x, false));
    http_reply_free(&x.reply);
    return code;
}

/* The item as a batch answers it: with version, type, size. */
static int get_item(struct http_client *client, const struct command *command,
                    const struct command_arguments *arguments) {
    const char *key64 = command_value(command, arguments, "key64");
    struct json_writer path = {0}, body = {0};
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
                              .body = velocity_bytes(body.data, body.size)};
    int code = x.path && !body.failed ? http_client_exchange(client, &x, false) : complain(EXIT_FAILED, "no memory");
    bool good = !code && json_parse(velocity_bytes(x.reply.body, x.reply.size), &root, NULL) &&
                document_member(root, "results", &results) && results.type == JSON_ARRAY;
    if (good) json_read(&reader, results);
    good = good && json_next_element(&reader, &item);
    if (!code && !good)
        code = complain(EXIT_FAILED, "the answer is not what was asked for: is it a server of Velocity?");
    if (!code && item.type == JSON_NULL)
        code = complain(EXIT_NOT_FOUND, "%s: nothing is stored at this key", key64 ? key64 : arguments->operands[0]);
    if (!code && !(print_bytes(item.raw.data, item.raw.size) && print_bytes("\n", 1))) code = complain_of_output();
    http_reply_free(&x.reply);
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
    const char *path; /* NULL: standard input */
    bool failed;
    char version[32];
};

static size_t give_piece(void *arg, char *out, size_t size) {
    struct upload *u = arg;
    ssize_t got;
    do got = read(u->fd, out, size);
    while (got < 0 && errno == EINTR);
    if (got >= 0) return (size_t)got;
    u->failed = true;
    return HTTP_READ_FAILED;
}

/* The version stands in ETag with quotes, in Velocity-Version without. */
static void keep_version(void *arg, velocity_slice name, velocity_slice value) {
    struct upload *u = arg;
    const char *p = value.data;
    bool etag = name.size == 4 && strncasecmp(name.data, "ETag", 4) == 0;
    if (!etag && !(name.size == 16 && strncasecmp(name.data, "Velocity-Version", 16) == 0)) return;
    size_t size = value.size;
    if (etag && size >= 2) p++, size -= 2;
    if (size < sizeof u->version) (void)snprintf(u->version, sizeof u->version, "%.*s", (int)size, p);
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
    if (strpbrk(type, "\r\n") || (size_t)snprintf(field, FIELD_BYTES, "Content-Type: %s", type) >= FIELD_BYTES)
        return complain(EXIT_USAGE, "--type: it is a media type such as text/html, or json, text or bytes");
    return EXIT_DONE;
}

static int open_upload(const char *file, struct upload *u, int64_t *bytes) {
    struct stat info;
    *bytes = -1;
    u->fd = STDIN_FILENO;
    if (file && strcmp(file, "-") != 0) {
        u->path = file;
        u->fd = open(file, O_RDONLY | O_CLOEXEC);
        if (u->fd < 0) return complain(EXIT_FAILED, "can't read %s: %s", file, strerror(errno));
    }
    if (fstat(u->fd, &info) == 0 && S_ISREG(info.st_mode) && lseek(u->fd, 0, SEEK_CUR) == 0) *bytes = info.st_size;
    if (u->path && S_ISDIR(info.st_mode)) return complain(EXIT_FAILED, "can't read %s: it is a folder", file);
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
        code = open_upload(file, u, &x->body_bytes);
        x->read = give_piece;
        x->endless = true;
        x->silent_s = 0; /* whoever types it may think */
    }
    if (!code) code = http_client_exchange(client, x, false);
    if (u->failed)
        code = complain(EXIT_FAILED, "can't read %s: %s", u->path ? u->path : "standard input", strerror(errno));
    if (u->path && u->fd >= 0) (void)close(u->fd);
    http_reply_free(&x->reply);
    return code;
}

int run_put(const struct command *command, const struct command_arguments *arguments) {
    struct json_writer path = {0};
    struct connection connection = {0};
    struct upload upload = {.fd = -1};
    char type[FIELD_BYTES], condition[FIELD_BYTES];
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
    return ask_consent(command, arguments);
}

static int show_deleted(const struct http_exchange *x, const struct upload *u, bool json) {
    struct json_value root, count;
    velocity_slice body = velocity_bytes(x->reply.body, x->reply.size);
    if (!x->reply.size) return show_version(u, json);
    bool good = json_parse(body, &root, NULL);
    if (good && !json && document_member(root, "count", &count)) body = count.raw;
    if (!good) return complain(EXIT_FAILED, "the answer is not what was asked for: is it a server of Velocity?");
    return print_bytes(body.data, body.size) && print_bytes("\n", 1) ? EXIT_DONE : complain_of_output();
}

int run_delete(const struct command *command, const struct command_arguments *arguments) {
    struct json_writer path = {0};
    struct connection connection = {0};
    struct upload upload = {.fd = -1};
    char condition[FIELD_BYTES] = "";
    bool range = names_range(command, arguments);
    int code = range ? begin_range(command, arguments, &path) : begin_key(command, arguments, 1, &path);
    if (!code) code = write_condition(command, arguments, condition);
    if (!code && range && *condition) code = complain(EXIT_USAGE, "a range has no version: leave --if-version out");
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
