/*
 * init.c - velocity db init: what a first start would make, made before it: a configuration file with every setting,
 * and the data directory. What is there already stays as it is.
 */
#include "cli/command.h"
#include "cli/server_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The file that counts, or else the one to write: the first of the places. *found: it is there. */
static const char *choose_file(const struct config_request *request, const char *places[CONFIG_MAX_PLACES],
                               bool *found) {
    size_t count = config_places(request, places);
    for (size_t i = 0; i < count; i++)
        if ((*found = access(places[i], F_OK) == 0)) return places[i];
    return places[0];
}

static int write_template(const char *path) {
    int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (descriptor < 0) return complain(EXIT_FAILED, "can't write %s: %s", path, strerror(errno));
    FILE *file = fdopen(descriptor, "w");
    if (!file) {
        (void)close(descriptor);
        (void)unlink(path);
        return complain(EXIT_FAILED, "no memory to write %s", path);
    }
    config_write_template(file);
    bool good = fflush(file) == 0 && !ferror(file) && fsync(descriptor) == 0;
    int error = errno;
    if (fclose(file) != 0) good = false;
    if (good) return EXIT_DONE;
    (void)unlink(path); /* half of it would be read as a whole one */
    return complain(EXIT_FAILED, "can't write %s: %s", path, strerror(error));
}

/* *written: there was none, and now there is. */
static int make_configuration(const struct command *command, const struct command_arguments *arguments, bool *written) {
    const char *places[CONFIG_MAX_PLACES];
    bool found = false;
    struct config_request *request = command_request(command, arguments);
    if (!request) return complain(EXIT_FAILED, "no memory");
    const char *path = choose_file(request, places, &found);
    int code = found ? EXIT_DONE : write_template(path);
    *written = !found;
    config_request_free(request);
    return code;
}

static int make_data_directory(struct server *s) {
    char fingerprint[TLS_FINGERPRINT_BYTES] = "";
    struct stat was;
    bool there = stat(s->config.server.data_dir, &was) == 0;
    int code = server_parts_prepare(s);
    if (code) return code;
    printf("data directory: %s%s\n", s->config.server.data_dir, there ? " (was there)" : "");
    if (s->tls) {
        tls_fingerprint(s->tls, fingerprint);
        printf("certificate: %s\n", fingerprint);
    }
    if (!auth_has_users(s->auth)) printf("users: none yet; velocity admin create-user --username NAME makes one\n");
    return EXIT_DONE;
}

int run_db_init(const struct command *command, const struct command_arguments *arguments) {
    struct server server = {.config_mutex = PTHREAD_MUTEX_INITIALIZER};
    bool written = false;
    int code = make_configuration(command, arguments, &written);
    if (!code) code = command_configuration(command, arguments, &server.config);
    if (code) return code;
    printf("configuration: %s%s\n", server.config.file, written ? "" : " (was there)");
    code = make_data_directory(&server);
    int stopped = server_parts_stop(&server);
    if (!code && !stopped && fflush(stdout) != 0) return complain(EXIT_FAILED, "can't write to standard output");
    return code ? code : stopped;
}
