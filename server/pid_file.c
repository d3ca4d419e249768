/* pid_file.c - see pid_file.h. */
#include "server/pid_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t own_line(char out[32]) {
    return (size_t)snprintf(out, 32, "%ld\n", (long)getpid());
}

bool pid_file_write(const char *path) {
    char temporary[PATH_MAX], line[32];
    size_t size = own_line(line);
    if ((size_t)snprintf(temporary, sizeof temporary, "%s.%ld", path, (long)getpid()) >= sizeof temporary) {
        errno = ENAMETOOLONG;
        return false;
    }
    (void)unlink(temporary); /* of a process that had this id before */
    int descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (descriptor < 0) return false;
    errno = ENOSPC; /* what a short write means */
    bool ok = write(descriptor, line, size) == (ssize_t)size && fchmod(descriptor, 0644) == 0;
    int error = errno;
    if (close(descriptor) == 0 && ok && rename(temporary, path) == 0) return true;
    if (ok) error = errno;
    (void)unlink(temporary);
    errno = error;
    return false;
}

void pid_file_remove(const char *path) {
    char line[32], found[32];
    size_t size = own_line(line);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) return;
    bool own = read(descriptor, found, sizeof found) == (ssize_t)size && memcmp(line, found, size) == 0;
    (void)close(descriptor);
    if (own) (void)unlink(path);
}
