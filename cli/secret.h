/*
 * secret.h - passwords and tokens of a command: from the terminal, standard input, the environment or a file. They are
 * kept in memory of their own and overwritten when they are not needed any more.
 *
 * Functions that answer an int complain and answer the exit code; EXIT_DONE: it worked.
 */
#ifndef VELOCITY_CLI_SECRET_H
#define VELOCITY_CLI_SECRET_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SECRET_BYTES 1025 /* of the longest password, and a NUL */

struct secret {
    char text[SECRET_BYTES]; /* "": none */
};

void secret_forget(struct secret *secret);

/* A password: one line of standard input, or asked for at the terminal, `twice` where it is a new one. `whose` stands
 * in the question: "Password of ada: ". It is UTF-8 and not empty. */
int secret_password(const char *whose, bool from_input, bool twice, struct secret *out);
/* A word of the command line. It is overwritten there, so that lists of processes stop showing it. */
int secret_argument(const char *word, struct secret *out);
/* The token that requests carry: of `file` where it is not NULL, else of VELOCITY_TOKEN, else of the file "token" in
 * the user's folder of settings. "" where none is given. */
int secret_token(const char *file, struct secret *out);

/* $XDG_CONFIG_HOME/velocity/NAME, or ~/.config/velocity/NAME. False: neither variable is set, or it is too long. */
bool settings_path(const char *name, char *out, size_t size);
/* Reads a file whole that must belong to this user or root (root reads anybody's) and must not have any of the mode
 * bits `forbidden`. A NUL follows the bytes. EXIT_NOT_FOUND, without a word, where it is not there. */
int settings_read(const char *path, mode_t forbidden, char *out, size_t size, size_t *got);

#endif
