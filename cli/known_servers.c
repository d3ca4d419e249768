/* known_servers.c - see known_servers.h. */
#include "cli/known_servers.h"
#include "cli/command.h"
#include "cli/secret.h"
#include "cli/terminal.h"
#include "server/fingerprint.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME      "known_servers"
#define MAX_FILE_BYTES (256u * 1024)

/* ---- the file ---------------------------------------------------------------------------------------------------
 */

static int find_line(const char *path, char *text, const char *server, char fingerprint[TLS_FINGERPRINT_BYTES]) {
    unsigned char digest[FINGERPRINT_DIGEST_BYTES];
    size_t size = strlen(server);
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, server, size) != 0 || line[size] != ' ') continue;
        if (!fingerprint_parse(line + size + 1, digest))
            return complain(EXIT_FAILED, "%s: the line of %s has no fingerprint", path, server);
        fingerprint_format(digest, fingerprint);
    }
    return EXIT_DONE;
}

int known_servers_find(const char *server, char fingerprint[TLS_FINGERPRINT_BYTES]) {
    char path[4096];
    size_t got;
    *fingerprint = '\0';
    if (!settings_path(FILE_NAME, path, sizeof path)) return EXIT_DONE;
    char *text = malloc(MAX_FILE_BYTES);
    if (!text) return complain(EXIT_FAILED, "no memory");
    int code = settings_read(path, S_IWGRP | S_IWOTH, text, MAX_FILE_BYTES, &got);
    if (code == EXIT_NOT_FOUND)
        code = EXIT_DONE;
    else if (!code)
        code = find_line(path, text, server, fingerprint);
    free(text);
    return code;
}

/* Makes the folders of a path, those that are missing, for this user alone. */
static bool make_folders(char *path) {
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        bool ok = mkdir(path, S_IRWXU) == 0 || errno == EEXIST;
        *slash = '/';
        if (!ok) return false;
    }
    return true;
}

/* One write at the end of the file: two programs at once leave two whole lines. */
static int add(const char *server, const char *fingerprint) {
    char path[4096], *line = NULL;
    if (!settings_path(FILE_NAME, path, sizeof path))
        return complain(EXIT_FAILED, "can't remember the server: HOME is not set; use --fingerprint %s", fingerprint);
    int size = asprintf(&line, "%s %s\n", server, fingerprint);
    int fd =
        size < 0 || !make_folders(path) ? -1 : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR);
    bool ok = fd >= 0 && write(fd, line, (size_t)size) == size && fsync(fd) == 0;
    int error = errno;
    if (fd >= 0 && close(fd) != 0) ok = false;
    if (size >= 0) free(line);
    return ok ? EXIT_DONE : complain(EXIT_FAILED, "can't write %s: %s", path, strerror(error));
}

/* ---- the question -----------------------------------------------------------------------------------------------
 */

static bool is_yes(const char *answer, const char *fingerprint) {
    return strcmp(answer, "yes") == 0 || strcmp(answer, fingerprint) == 0;
}

int known_servers_ask(const char *url, const char *server, const char *why, const char *fingerprint) {
    char question[1024], answer[128];
    if (!terminal_is_there())
        return complain(EXIT_FAILED,
                        "the certificate of %s can't be verified (%s); its key is %s: if that is what the server's log "
                        "says, give --fingerprint %s",
                        url, why, fingerprint, fingerprint);
    (void)snprintf(question, sizeof question,
                   "The certificate of %s can't be verified (%s).\n"
                   "Its key is %s; the server's log says its own at each start.\n"
                   "Trust it from now on? (yes, no, or the fingerprint) ",
                   url, why, fingerprint);
    if (terminal_ask(question, false, answer, sizeof answer) != LINE_READ || !is_yes(answer, fingerprint))
        return complain(EXIT_FAILED, "%s is not trusted; nothing was sent", url);
    return add(server, fingerprint);
}
