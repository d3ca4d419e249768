/*
 * connect.h - which server a command asks, and who it says it is: the options --url, --login, --token-file and their
 * like (CONNECTION_OPTIONS in main.c), the same for every command that is a client.
 *
 *     --url, else VELOCITY_URL, else the server that runs over the data directory
 *
 * A server that runs says where in <data_dir>/server.url, one line. The folder is the server's user's alone, so what it
 * says is trusted, and so is the certificate in it.
 *
 * Functions that answer an int complain in one line, and answer the exit code; EXIT_DONE: it worked.
 */
#ifndef VELOCITY_CLI_CONNECT_H
#define VELOCITY_CLI_CONNECT_H

#include "cli/command.h"
#include "cli/http_client.h"
#include "cli/secret.h"

struct config;

/* A client, and all that it borrows; it must not be moved. Zeroed before its first use. */
struct connection {
    struct http_client *client;
    struct http_client_options options;
    struct secret token, password;
    char url[1024], from[4096 + 16], certificate[4096], token_path[4096];
};

/* Who logs in with a password; NULL: a token says it, or nobody. */
struct login {
    const char *user, *password;
};

/* The server of this URL, which `from` names. */
int connect_to(const struct command *command, const struct command_arguments *arguments, const char *url,
               const char *from, const struct login *login, struct connection *out);
/* The server that runs over the data directory. */
int connect_to_running(const struct command *command, const struct command_arguments *arguments,
                       const struct config *config, const struct login *login, struct connection *out);
/* VELOCITY_URL; NULL: it says nothing. */
const char *connect_url_of_environment(void);
/* The server that the options name; --login's password is asked for. */
int connect_find(const struct command *command, const struct command_arguments *arguments, struct connection *out);
/* Forgets its secrets. Harmless on a zeroed one. */
void connect_close(struct connection *connection);

/* "folder/name". False: it is too long. */
bool path_join(char *out, size_t size, const char *folder, const char *name);

#endif
