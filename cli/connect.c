/* connect.c - see connect.h. */
#include "cli/connect.h"
#include "server/address.h"
#include "server/config.h"
#include "server/decimal.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_TIMEOUT_S 3600

bool path_join(char *out, size_t size, const char *folder, const char *name) {
    int wrote = snprintf(out, size, "%s/%s", folder, name);
    return wrote > 0 && (size_t)wrote < size;
}

/* ---- who asks --------------------------------------------------------------------------------------------------- */

static int read_timeout(const char *text, long *out_ms) {
    uint64_t seconds = 0;
    *out_ms = HTTP_CLIENT_TIMEOUT_MS;
    if (!text) return EXIT_DONE;
    if (!decimal_u64(velocity_str(text), &seconds) || seconds == 0 || seconds > MAX_TIMEOUT_S)
        return complain(EXIT_USAGE, "--timeout %s: it is a number of seconds from 1 to %d", text, MAX_TIMEOUT_S);
    *out_ms = (long)seconds * 1000;
    return EXIT_DONE;
}

/* All but url, url_from and certificate_file is set here. */
static int open_client(const struct command *command, const struct command_arguments *arguments,
                       const struct login *login, struct connection *out) {
    struct http_client_options *options = &out->options;
    options->fingerprint = command_value(command, arguments, "fingerprint");
    options->ca_file = command_value(command, arguments, "ca-file");
    options->token = out->token.text;
    options->user = login->user;
    options->password = login->password;
    options->token_path = out->token_path;
    options->allow_plaintext = command_value(command, arguments, "allow-plaintext") != NULL;
    if (!settings_path("token", out->token_path, sizeof out->token_path))
        (void)snprintf(out->token_path, sizeof out->token_path, "a file");
    int code = read_timeout(command_value(command, arguments, "timeout"), &options->timeout_ms);
    if (!code && !login->user) code = secret_token(command_value(command, arguments, "token-file"), &out->token);
    return code ? code : http_client_open(options, &out->client);
}

int connect_to(const struct command *command, const struct command_arguments *arguments, const char *url,
               const char *from, const struct login *login, struct connection *out) {
    out->options.url = url;
    out->options.url_from = from;
    return open_client(command, arguments, login, out);
}

void connect_close(struct connection *connection) {
    http_client_free(connection->client);
    connection->client = NULL;
    secret_forget(&connection->token);
    secret_forget(&connection->password);
}

/* ---- the server that runs --------------------------------------------------------------------------------------- */

/* A server that listens on every address of the machine (0.0.0.0, [::]) is asked on the machine's own. */
static void name_loopback(char *url, size_t size) {
    struct address address;
    char *host = strstr(url, "://"), text[ADDRESS_TEXT_BYTES];
    if (!host || !address_parse(host + 3, &address)) return;
    if (address.socket.any.sa_family == AF_INET && address.socket.v4.sin_addr.s_addr == INADDR_ANY)
        address.socket.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else if (address.socket.any.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address.socket.v6.sin6_addr))
        address.socket.v6.sin6_addr = in6addr_loopback;
    else
        return;
    host[3] = '\0';
    address_format(&address, address_port(&address), text);
    if (strlen(url) + strlen(text) < size) memcpy(url + strlen(url), text, strlen(text) + 1);
}

/* Reads the address that the running server has written. */
static int read_address(const char *data_dir, char *url, size_t size) {
    char path[4096];
    size_t got = 0;
    int code = EXIT_NOT_FOUND;
    if (path_join(path, sizeof path, data_dir, "server.url"))
        code = settings_read(path, S_IWGRP | S_IWOTH, url, size, &got);
    if (code == EXIT_NOT_FOUND)
        return complain(EXIT_FAILED,
                        "%s is in use, but no server says there where it listens: if it starts just now try again, "
                        "else give --url",
                        data_dir);
    if (code) return code;
    url[strcspn(url, "\r\n")] = '\0';
    name_loopback(url, size);
    return EXIT_DONE;
}

int connect_to_running(const struct command *command, const struct command_arguments *arguments,
                       const struct config *config, const struct login *login, struct connection *out) {
    const char *data_dir = config->server.data_dir, *configured = config->tls.cert_path;
    int code = read_address(data_dir, out->url, sizeof out->url);
    if (code) return code;
    bool fits = path_join(out->from, sizeof out->from, data_dir, "server.url");
    if (fits && *configured)
        fits = (size_t)snprintf(out->certificate, sizeof out->certificate, "%s", configured) < sizeof out->certificate;
    if (fits && !*configured) fits = path_join(out->certificate, sizeof out->certificate, data_dir, "tls/cert.pem");
    if (!fits) return complain(EXIT_FAILED, "%s: the path is too long", data_dir);
    out->options.certificate_file = out->certificate;
    return connect_to(command, arguments, out->url, out->from, login, out);
}

/* ---- the server that is meant ----------------------------------------------------------------------------------- */

static int find_running(const struct command *command, const struct command_arguments *arguments,
                        const struct login *login, struct connection *out) {
    struct config config;
    char path[4096];
    int code = command_configuration(command, arguments, &config);
    if (code) return code;
    if (!path_join(path, sizeof path, config.server.data_dir, "server.url") || access(path, F_OK) != 0)
        code = complain(EXIT_FAILED, "no server runs over %s: start one, or give --url (or VELOCITY_URL)",
                        config.server.data_dir);
    if (!code) code = connect_to_running(command, arguments, &config, login, out);
    config_free(&config);
    return code;
}

const char *connect_url_of_environment(void) {
    const char *url = getenv("VELOCITY_URL");
    return url && *url ? url : NULL; /* empty is as not set */
}

int connect_find(const struct command *command, const struct command_arguments *arguments, struct connection *out) {
    const char *url = command_value(command, arguments, "url"), *from = "--url";
    struct login login = {.user = command_value(command, arguments, "login")};
    int code = EXIT_DONE;
    if (login.user && (!*login.user || strchr(login.user, ':')))
        return complain(EXIT_USAGE, "--login: it is the name of a user");
    if (login.user) {
        bool from_input = command_value(command, arguments, "password-stdin") != NULL;
        code = secret_password(login.user, from_input, false, &out->password);
        login.password = out->password.text;
    }
    if (!url) {
        url = connect_url_of_environment();
        from = "VELOCITY_URL";
    }
    if (code) return code;
    if (url) return connect_to(command, arguments, url, from, &login, out);
    return find_running(command, arguments, &login, out);
}
