/*
 * part_file.c - see part_file.h.
 *
 * A signal that ends the program takes the part away first: hence the static variable.
 */
#include "cli/part_file.h"
#include "cli/command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *volatile unfinished; /* NULL: nothing is to be taken away */

static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};

/* The handler is used up (SA_RESETHAND): raised again, the signal does what it would have done. */
static void drop_and_end(int number) {
    const char *part = unfinished;
    if (part) (void)unlink(part);
    (void)raise(number);
}

/* What is ignored (nohup) stays so. */
static void catch_ends(void) {
    struct sigaction action = {.sa_handler = drop_and_end, .sa_flags = SA_RESETHAND}, before;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (sigaction(ends[i], NULL, &before) == 0 && before.sa_handler == SIG_DFL)
            (void)sigaction(ends[i], &action, NULL);
}

static mode_t usual_mode(void) {
    mode_t mask = umask(0);
    (void)umask(mask);
    return 0666 & ~mask;
}

static int open_part(struct part_file *file) {
    if (asprintf(&file->part, "%s.part-XXXXXX", file->path) < 0) {
        file->part = NULL;
        return -1;
    }
    int fd = mkostemp(file->part, O_CLOEXEC);
    if (fd < 0) return -1;
    unfinished = file->part;
    catch_ends();
    return fd;
}

static void forget(struct part_file *file) {
    unfinished = NULL;
    if (file->fd >= 0) (void)close(file->fd);
    free(file->path);
    free(file->part);
    *file = (struct part_file){.fd = -1};
}

/* A link is never replaced: not one to what has no path, as /dev/stdout is where that is a pipe, nor one to nothing. */
int part_file_open(struct part_file *file, const char *path) {
    struct stat info;
    bool there = stat(path, &info) == 0, is_file = !there || S_ISREG(info.st_mode);
    *file = (struct part_file){.fd = -1};
    if (there || lstat(path, &info) != 0) file->path = there && is_file ? realpath(path, NULL) : strdup(path);
    file->mode = there ? info.st_mode & 07777 : usual_mode();
    if (file->path) file->fd = is_file ? open_part(file) : open(file->path, O_WRONLY | O_CLOEXEC);
    if (file->fd >= 0) return EXIT_DONE;
    int error = errno;
    forget(file);
    return complain(EXIT_FAILED, "can't write to %s: %s", path, strerror(error));
}

static bool finish(struct part_file *file) {
    if (!file->part) return true;
    if (fchmod(file->fd, file->mode) != 0 || fsync(file->fd) != 0) return false;
    int fd = file->fd;
    file->fd = -1;
    return close(fd) == 0 && rename(file->part, file->path) == 0;
}

int part_file_finish(struct part_file *file) {
    int code = EXIT_DONE;
    if (!finish(file)) {
        code = complain(EXIT_FAILED, "can't write to %s: %s", file->path, strerror(errno));
        if (file->part) (void)unlink(file->part);
    }
    forget(file);
    return code;
}

void part_file_drop(struct part_file *file) {
    if (file->part) (void)unlink(file->part);
    forget(file);
}
