/*
 * accounts.h - users, tokens and sessions as JSON: over HTTP, and of commands that work on the files themselves.
 *
 * Whether there was memory for all of it says the writer.
 */
#ifndef VELOCITY_HTTP_ACCOUNTS_H
#define VELOCITY_HTTP_ACCOUNTS_H

#include "server/auth.h"
#include "server/json_write.h"

/* The members "role", "databases", "prefixes" and, for those that are not UTF-8, "prefixes64". */
void rights_write(struct json_writer *w, enum role role, const struct scope *scope);
/* The members of a token or session; the braces are the caller's. Its secret is not among them. */
void secret_write(struct json_writer *w, const struct auth_secret *secret);
/* The same, "token" and all: of one that was made just now. */
void token_write_new(struct json_writer *w, const struct auth_secret *token, const char *secret);

/* One of them; NOT_FOUND. */
VELOCITY_CHECK_RESULT velocity_status user_write(struct auth *auth, const char *name, struct json_writer *w);
/* {"users":[...]} and so on. `user` NULL: everyone's; `current`: the session that asks. */
VELOCITY_CHECK_RESULT velocity_status users_write(struct auth *auth, struct json_writer *w);
VELOCITY_CHECK_RESULT velocity_status tokens_write(struct auth *auth, const char *user, struct json_writer *w);
VELOCITY_CHECK_RESULT velocity_status sessions_write(struct auth *auth, const char *user, const char *current,
                                                     struct json_writer *w);

#endif
