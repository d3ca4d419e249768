/* secret.c - see secret.h. */
#include "cli/secret.h"
#include "cli/command.h"
#include "cli/terminal.h"
#include "server/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void secret_forget(struct secret *secret) {
    explicit_bzero(secret, sizeof *secret);
}

/* ---- passwords ------------------------------------------------------------------------------------------------- */

/* JSON carries it, and JSON is UTF-8. */
static int check_password(struct secret *secret) {
    if (*secret->text && utf8_valid(velocity_str(secret->text))) return EXIT_DONE;
    bool empty = !*secret->text;
    secret_forget(secret);
    return complain(EXIT_FAILED, empty ? "an empty password is none" : "the password is not UTF-8");
}

static int complain_of_line(enum line_result result, bool from_input) {
    switch (result) {
    case LINE_TOO_LONG: return complain(EXIT_FAILED, "the password is longer than %d bytes", SECRET_BYTES - 1);
    case LINE_BINARY: return complain(EXIT_FAILED, "the password has a NUL in it");
    default:
        if (from_input) return complain(EXIT_FAILED, "standard input ended before the password");
        return complain(EXIT_FAILED, terminal_is_there() ? "no password was typed"
                                                         : "there is no terminal to ask for the password: use "
                                                           "--password-stdin");
    }
}

static int ask(const char *whose, const char *once_more, struct secret *out) {
    char question[160];
    (void)snprintf(question, sizeof question, "Password of %s%s: ", whose, once_more);
    enum line_result result = terminal_ask(question, true, out->text, sizeof out->text);
    return result == LINE_READ ? EXIT_DONE : complain_of_line(result, false);
}

int secret_password(const char *whose, bool from_input, bool twice, struct secret *out) {
    int code = EXIT_DONE;
    memset(out, 0, sizeof *out);
    if (from_input) {
        enum line_result result = line_read(STDIN_FILENO, out->text, sizeof out->text);
        if (result != LINE_READ) return complain_of_line(result, true);
        return check_password(out);
    }
    code = ask(whose, "", out);
    if (!code) code = check_password(out);
    if (!code && twice) {
        struct secret again;
        code = ask(whose, ", once more", &again);
        if (!code && strcmp(out->text, again.text) != 0) code = complain(EXIT_FAILED, "these are two passwords");
        secret_forget(&again);
    }
    if (code) secret_forget(out);
    return code;
}

int secret_argument(const char *word, struct secret *out) {
    size_t size = strlen(word);
    memset(out, 0, sizeof *out);
    if (size >= sizeof out->text) return complain_of_line(LINE_TOO_LONG, false);
    memcpy(out->text, word, size);
    explicit_bzero((char *)word, size); /* a word of argv, which is the program's to change */
    return check_password(out);
}

/* ---- files of the user's settings ------------------------------------------------------------------------------ */

bool settings_path(const char *name, char *out, size_t size) {
    const char *folder = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    int wrote = -1;
    if (folder && *folder == '/') /* a relative one is to be ignored (XDG Base Directory Specification) */
        wrote = snprintf(out, size, "%s/velocity/%s", folder, name);
    else if (home && *home)
        wrote = snprintf(out, size, "%s/.config/velocity/%s", home, name);
    return wrote > 0 && (size_t)wrote < size;
}

static int check_owner(const char *path, const struct stat *info, mode_t forbidden) {
    if (info->st_uid != geteuid() && info->st_uid != 0 && geteuid() != 0)
        return complain(EXIT_FAILED, "%s belongs to somebody else", path);
    if (info->st_mode & forbidden)
        return complain(EXIT_FAILED, "%s is open to others (mode %04o): chmod 600 it", path,
                        (unsigned)info->st_mode & 07777u);
    return EXIT_DONE;
}

int settings_read(const char *path, mode_t forbidden, char *out, size_t size, size_t *got) {
    struct stat info;
    ssize_t more = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    *got = 0;
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return EXIT_NOT_FOUND;
    if (fd < 0) return complain(EXIT_FAILED, "can't open %s: %s", path, strerror(errno));
    int code = fstat(fd, &info) == 0 ? check_owner(path, &info, forbidden)
                                     : complain(EXIT_FAILED, "can't look at %s: %s", path, strerror(errno));
    while (!code && (more = read(fd, out + *got, size - *got)) != 0) {
        if (more > 0) *got += (size_t)more;
        if (more < 0 && errno != EINTR) code = complain(EXIT_FAILED, "can't read %s: %s", path, strerror(errno));
        if (!code && *got == size) code = complain(EXIT_FAILED, "%s is larger than %zu bytes", path, size - 1);
    }
    (void)close(fd);
    if (code)
        explicit_bzero(out, size);
    else
        out[*got] = '\0';
    return code;
}

/* ---- tokens ---------------------------------------------------------------------------------------------------- */

/* It stands in a header field: visible ASCII, and nothing else. */
static int check_token(const char *from, struct secret *token) {
    size_t size = strlen(token->text), good = 0;
    while (size && (token->text[size - 1] == '\n' || token->text[size - 1] == '\r')) token->text[--size] = '\0';
    while (good < size && token->text[good] > ' ' && token->text[good] < 0x7f) good++;
    if (size && good == size) return EXIT_DONE;
    secret_forget(token);
    return complain(EXIT_FAILED, "what %s holds is no token", from);
}

static int token_of_file(const char *path, struct secret *out) {
    size_t got;
    int code = settings_read(path, S_IRWXG | S_IRWXO, out->text, sizeof out->text, &got);
    if (!code && strlen(out->text) != got) *out->text = '\0'; /* a NUL: no token */
    return code ? code : check_token(path, out);
}

int secret_token(const char *file, struct secret *out) {
    const char *variable = getenv("VELOCITY_TOKEN");
    char path[4096];
    memset(out, 0, sizeof *out);
    if (file) {
        int code = token_of_file(file, out);
        return code == EXIT_NOT_FOUND ? complain(EXIT_FAILED, "there is no file %s", file) : code;
    }
    if (variable && *variable) {
        if (strlen(variable) >= sizeof out->text) return complain(EXIT_FAILED, "what VELOCITY_TOKEN holds is no token");
        memcpy(out->text, variable, strlen(variable));
        return check_token("VELOCITY_TOKEN", out);
    }
    if (!settings_path("token", path, sizeof path)) return EXIT_DONE;
    int code = token_of_file(path, out);
    return code == EXIT_NOT_FOUND ? EXIT_DONE : code;
}
