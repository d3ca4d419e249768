/*
 * admin.c - who carries an order out: the server of --url, the one that runs over the data directory, or nobody else
 * and so this process.
 *
 * Whether a server runs is told by the lock of the data directory: its server.url may be left over, a lock is not.
 */
#include "cli/admin.h"
#include "cli/connect.h"
#include "server/config.h"
#include "server/data_directory.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_BODY_BYTES (64u * 1024) /* room for a password, so that the writer never moves it */
#define MAX_PATH_BYTES 4096

/* ---- over HTTP -------------------------------------------------------------------------------------------------- */

static const struct {
    const char *method, *collection;
    bool named; /* the order's name stands in the path */
} requests[ADMIN_VERB_COUNT] = {
    [ADMIN_CREATE_USER] = {"POST", "users", false},
    [ADMIN_LIST_USERS] = {"GET", "users", false},
    [ADMIN_SET_PASSWORD] = {"PATCH", "users", true},
    [ADMIN_SET_OWN_PASSWORD] = {"PUT", "whoami/password", false},
    [ADMIN_DELETE_USER] = {"DELETE", "users", true},
    [ADMIN_CREATE_TOKEN] = {"POST", "tokens", false},
    [ADMIN_LIST_TOKENS] = {"GET", "tokens", false},
    [ADMIN_REVOKE_TOKEN] = {"DELETE", "tokens", true},
    [ADMIN_CREATE_DATABASE] = {"POST", "databases", false},
    [ADMIN_LIST_DATABASES] = {"GET", "databases", false},
    [ADMIN_DROP_DATABASE] = {"DELETE", "databases", true},
};

static void write_text(struct json_writer *w, const char *name, const char *text) {
    if (!text) return;
    json_name(w, name);
    json_write_string(w, velocity_str(text));
}

static void write_number(struct json_writer *w, const char *name, uint64_t number) {
    if (!number) return;
    json_name(w, name);
    json_write_u64(w, number);
}

static void write_words(struct json_writer *w, const char *name, const struct admin_words *words) {
    if (!words->words) return;
    json_name(w, name);
    json_begin_array(w);
    for (size_t i = 0; i < words->count; i++) json_write_string(w, velocity_str(words->words[i]));
    json_end_array(w);
}

static bool write_body(struct json_writer *w, const struct admin_order *order) {
    if (!json_writer_reserve(w, MAX_BODY_BYTES)) return false;
    json_begin_object(w);
    if (!requests[order->verb].named) write_text(w, "name", order->name);
    write_text(w, "old_password", order->old_password);
    write_text(w, "password", order->password);
    write_text(w, "role", order->role);
    write_words(w, "databases", &order->databases);
    write_words(w, "prefixes", &order->prefixes);
    write_number(w, "expires_in_seconds", order->expires_in_seconds);
    write_number(w, "max_disk_bytes", order->max_disk_bytes);
    json_end_object(w);
    return !w->failed;
}

static int send_order(struct http_client *client, const struct admin_order *order, struct http_reply *out) {
    if (order->verb == ADMIN_CREATE_TOKEN && order->user)
        return complain(EXIT_USAGE, "a server makes tokens for who asks: say --login %s, not --username", order->user);
    struct json_writer w = {.limit_bytes = MAX_BODY_BYTES};
    struct http_request request = {
        .method = requests[order->verb].method,
        .collection = requests[order->verb].collection,
        .name = requests[order->verb].named ? order->name : NULL,
        .about = order->name,
    };
    bool bodyless = strcmp(request.method, "GET") == 0 || strcmp(request.method, "DELETE") == 0;
    bool written = bodyless || write_body(&w, order);
    request.body = velocity_bytes(w.data, w.size);
    int code = written ? http_client_send(client, &request, out)
                       : complain(EXIT_USAGE, "that is more than %u KiB", MAX_BODY_BYTES / 1024);
    if (w.data) explicit_bzero(w.data, w.capacity);
    json_writer_free(&w);
    return code;
}

/* The server that --url or the environment names. */
static int ask_server(const struct command *command, const struct command_arguments *arguments, const char *url,
                      const char *from, const struct admin_order *order, struct http_reply *out) {
    struct login login = {order->login, order->login_password};
    struct connection connection = {0};
    int code = connect_to(command, arguments, url, from, &login, &connection);
    if (!code) code = send_order(connection.client, order, out);
    connect_close(&connection);
    return code;
}

/* ---- the data directory ----------------------------------------------------------------------------------------- */

static int ask_running_server(const struct command *command, const struct command_arguments *arguments,
                              const struct config *config, const struct admin_order *order, struct http_reply *out) {
    struct login login = {order->login, order->login_password};
    struct connection connection = {0};
    int code = connect_to_running(command, arguments, config, &login, &connection);
    if (!code) code = send_order(connection.client, order, out);
    connect_close(&connection);
    return code;
}

/* What is made here must be the server's to read: only its own user makes anything. Another one, root for instance, can
 * still ask the server. */
static int ask_as_another(const struct command *command, const struct command_arguments *arguments,
                          const struct config *config, uid_t owner, const struct admin_order *order,
                          struct http_reply *out) {
    const struct passwd *user = getpwuid(owner);
    char path[MAX_PATH_BYTES];
    if (path_join(path, sizeof path, config->server.data_dir, "server.url") && access(path, F_OK) == 0)
        return ask_running_server(command, arguments, config, order, out);
    return complain(EXIT_FAILED, "%s belongs to user %s, and no server runs over it: start it, or do this as that user",
                    config->server.data_dir, user ? user->pw_name : "unknown");
}

static int ask_directory(const struct command *command, const struct command_arguments *arguments,
                         const struct config *config, const struct admin_order *order, struct http_reply *out) {
    struct data_directory *directory;
    (void)umask(S_IRWXG | S_IRWXO);
    velocity_status status = data_directory_open(config->server.data_dir, &directory);
    if (status == VELOCITY_LOCKED) return ask_running_server(command, arguments, config, order, out);
    if (status) return complain(EXIT_FAILED, "%s", velocity_error_message());
    int code = admin_files_carry_out(config, order, out);
    data_directory_close(directory);
    return code;
}

static int find_data_directory(const struct command *command, const struct command_arguments *arguments,
                               const struct config *config, const struct admin_order *order, struct http_reply *out) {
    const char *data_dir = config->server.data_dir;
    char path[MAX_PATH_BYTES];
    struct stat info;
    bool is_there = stat(data_dir, &info) == 0;
    if (is_there && info.st_uid != geteuid())
        return ask_as_another(command, arguments, config, info.st_uid, order, out);
    if (!path_join(path, sizeof path, data_dir, "velocity.lock"))
        return complain(EXIT_USAGE, "%s: the path is too long", data_dir);
    /* Only a first user may come before there is anything: everything else would look for what can't be there. */
    if (order->verb == ADMIN_CREATE_USER || (is_there && access(path, F_OK) == 0))
        return ask_directory(command, arguments, config, order, out);
    if (errno != ENOENT && errno != ENOTDIR)
        return complain(EXIT_FAILED, "can't look into %s: %s; give --url of the running server", data_dir,
                        strerror(errno));
    return complain(EXIT_NOT_FOUND, "%s is no data directory: give --data-dir, or --url of a running server", data_dir);
}

int admin_carry_out(const struct command *command, const struct command_arguments *arguments,
                    const struct admin_order *order, struct http_reply *out) {
    const char *url = command_value(command, arguments, "url"), *from = "--url";
    struct config config;
    *out = (struct http_reply){0};
    /* Whoever names a data directory means that one; else the server is the one that all other commands ask. */
    if (!url && !command_value(command, arguments, "data-dir") && !command_value(command, arguments, "config")) {
        url = connect_url_of_environment();
        from = "VELOCITY_URL";
    }
    if (url) return ask_server(command, arguments, url, from, order, out);
    int code = command_configuration(command, arguments, &config);
    if (code) return code;
    code = find_data_directory(command, arguments, &config, order, out);
    config_free(&config);
    return code;
}
