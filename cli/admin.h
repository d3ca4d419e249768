/*
 * admin.h - velocity admin: what is asked for, and the two ways to have it done.
 *
 *     --url, or the running server of the data directory     admin.c: HTTP
 *     else the data directory itself, locked meanwhile       admin_files.c: server/auth.h
 *
 * Both answer the same JSON (that of the HTTP interface), so what is printed does not depend on the way.
 */
#ifndef VELOCITY_CLI_ADMIN_H
#define VELOCITY_CLI_ADMIN_H

#include "cli/command.h"
#include "cli/http_client.h"
#include "server/json_write.h"

enum admin_verb {
    ADMIN_CREATE_USER,
    ADMIN_LIST_USERS,
    ADMIN_SET_PASSWORD,
    ADMIN_SET_OWN_PASSWORD,
    ADMIN_DELETE_USER,
    ADMIN_CREATE_TOKEN,
    ADMIN_LIST_TOKENS,
    ADMIN_REVOKE_TOKEN,
    ADMIN_CREATE_DATABASE,
    ADMIN_LIST_DATABASES,
    ADMIN_DROP_DATABASE,
    ADMIN_VERB_COUNT
};

/* "a,b": the words between commas. */
struct admin_words {
    char *text;         /* what the words stand in */
    const char **words; /* NULL: not given */
    size_t count;
};

/* What is not given, or does not belong to the verb, is NULL or 0. */
struct admin_order {
    enum admin_verb verb;
    const char *name;         /* of a user, token (create: for people; revoke: its id) or database */
    const char *user;         /* create a token: whose; in the data directory only */
    const char *password;     /* the new one */
    const char *old_password; /* SET_OWN_PASSWORD */
    const char *login;        /* who asks, with that password; NULL: a token says it, or nobody */
    const char *login_password;
    const char *role;
    struct admin_words databases, prefixes;
    uint64_t expires_in_seconds;
    uint64_t max_disk_bytes;
};

/* The answer, in `out`: JSON, or nothing; it is the caller's to free, also after a failure, and may hold a secret.
 * Complains, and answers the exit code. */
int admin_carry_out(const struct command *command, const struct command_arguments *arguments,
                    const struct admin_order *order, struct http_reply *out);

/* The same in the data directory, which is locked by the caller. */
struct config;
int admin_files_carry_out(const struct config *config, const struct admin_order *order, struct http_reply *out);

#endif
