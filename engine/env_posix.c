/*
 * env_posix.c - the real environment: files, directories, log windows, lock files, clocks and random numbers of Linux.
 * Memory, locks and threads are in env_thread.c. See env.h for the contract.
 *
 * Invariants
 * - Every descriptor is close-on-exec; files are made 0600 and folders 0700, for the data belongs to one user.
 * - EINTR and short transfers never reach the caller.
 * - Every failure names the path and says what the system said.
 *
 * Threads: a handle holds a descriptor and a path that never change, so that any number of threads may read through it.
 * `held_guard` guards the list of this process's lock files; it is a leaf: nothing is locked or waited for under it.
 */
#include "env.h"
#include "status.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct posix_file {
    env_file file;
    int descriptor;
    char path[]; /* for messages */
};

/* A lock file that this process holds; linked into `held`. */
struct env_lock {
    struct env_lock *next;
    int descriptor;
    dev_t device;
    ino_t inode;
};

static pthread_mutex_t held_guard = PTHREAD_MUTEX_INITIALIZER;
static struct env_lock *held;

/* Turns `error` (an errno) into a status and a message like "data/LOG: cannot sync: Input/output error". */
static velocity_status failed(int error, const char *path, const char *action) {
    char buffer[128];
    const char *words = strerror_r(error, buffer, sizeof buffer);
    velocity_status status = VELOCITY_IO;
    if (error == ENOSPC || error == EDQUOT) status = VELOCITY_NO_SPACE;
    if (error == ENOENT) status = VELOCITY_NOT_FOUND;
    return status_set(status, "%s: cannot %s: %s", path, action, words);
}

/* For what makes files: that a folder is gone says nothing about a key or a database that could be "not found". */
static velocity_status failed_making(int error, const char *path, const char *action) {
    velocity_status status = failed(error, path, action);
    return status == VELOCITY_NOT_FOUND ? VELOCITY_IO : status;
}

static int open_retrying(const char *path, int flags) {
    int descriptor;
    do descriptor = open(path, flags | O_CLOEXEC, 0600);
    while (descriptor < 0 && errno == EINTR);
    return descriptor;
}

/* ---- files ------------------------------------------------------------------------------------------------------ */

static const struct env_operations posix_operations;

static velocity_status open_file(const char *path, int flags, const char *action, env_file **out) {
    *out = NULL;
    size_t path_bytes = strlen(path) + 1;
    struct posix_file *f = env_alloc(sizeof *f + path_bytes);
    if (!f) return VELOCITY_NO_MEMORY;
    f->file.operations = &posix_operations;
    memcpy(f->path, path, path_bytes);
    f->descriptor = open_retrying(path, flags);
    if (f->descriptor < 0) {
        velocity_status status = flags & O_CREAT ? failed_making(errno, path, action) : failed(errno, path, action);
        env_free(f);
        return status;
    }
    *out = &f->file;
    return VELOCITY_OK;
}

static velocity_status posix_open_read(env *e, const char *path, env_file **out) {
    (void)e;
    return open_file(path, O_RDONLY, "open", out);
}

static velocity_status posix_create(env *e, const char *path, env_file **out) {
    (void)e;
    return open_file(path, O_RDWR | O_CREAT | O_TRUNC, "create", out);
}

static velocity_status posix_open_write(env *e, const char *path, env_file **out) {
    (void)e;
    return open_file(path, O_RDWR, "open for writing", out);
}

static velocity_status posix_read(env_file *file, void *buffer, size_t size, uint64_t offset, size_t *got) {
    struct posix_file *f = (struct posix_file *)file;
    *got = 0;
    while (*got < size) {
        ssize_t n = pread(f->descriptor, (char *)buffer + *got, size - *got, (off_t)(offset + *got));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return failed(errno, f->path, "read");
        if (n == 0) break;
        *got += (size_t)n;
    }
    return VELOCITY_OK;
}

static velocity_status posix_write(env_file *file, const void *data, size_t size, uint64_t offset) {
    struct posix_file *f = (struct posix_file *)file;
    for (size_t put = 0; put < size;) {
        ssize_t n = pwrite(f->descriptor, (const char *)data + put, size - put, (off_t)(offset + put));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return failed(n < 0 ? errno : EIO, f->path, "write");
        put += (size_t)n;
    }
    return VELOCITY_OK;
}

/* Where the file system can't set blocks aside, zeros do it. */
static velocity_status write_zeros(env_file *file, uint64_t offset, uint64_t size) {
    static const uint8_t zeros[64 * 1024];
    velocity_status status = VELOCITY_OK;
    for (uint64_t end = offset + size; offset < end && !status; offset += sizeof zeros)
        status = posix_write(file, zeros, end - offset < sizeof zeros ? end - offset : sizeof zeros, offset);
    return status;
}

static velocity_status posix_allocate(env_file *file, uint64_t offset, uint64_t size) {
    struct posix_file *f = (struct posix_file *)file;
    int result;
    do result = fallocate(f->descriptor, 0, (off_t)offset, (off_t)size);
    while (result < 0 && errno == EINTR);
    if (result == 0) return VELOCITY_OK;
    if (errno == EOPNOTSUPP || errno == ENOSYS) return write_zeros(file, offset, size);
    return failed(errno, f->path, "allocate");
}

static velocity_status posix_sync(env_file *file) {
    struct posix_file *f = (struct posix_file *)file;
    int result;
    do result = fdatasync(f->descriptor);
    while (result < 0 && errno == EINTR);
    return result < 0 ? failed(errno, f->path, "sync") : VELOCITY_OK;
}

static velocity_status posix_flush_range(env_file *file, uint64_t offset, uint64_t size) {
    struct posix_file *f = (struct posix_file *)file;
    if (sync_file_range(f->descriptor, (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE) == 0) return VELOCITY_OK;
    /* A hint: file systems and kernels without it are as good. */
    if (errno == ENOSYS || errno == EINVAL || errno == ESPIPE || errno == EINTR) return VELOCITY_OK;
    return failed(errno, f->path, "start writing back");
}

static velocity_status posix_truncate(env_file *file, uint64_t size) {
    struct posix_file *f = (struct posix_file *)file;
    int result;
    do result = ftruncate(f->descriptor, (off_t)size);
    while (result < 0 && errno == EINTR);
    return result < 0 ? failed(errno, f->path, "truncate") : VELOCITY_OK;
}

static velocity_status posix_size(env_file *file, uint64_t *out) {
    struct posix_file *f = (struct posix_file *)file;
    struct stat about;
    if (fstat(f->descriptor, &about) < 0) return failed(errno, f->path, "examine");
    *out = (uint64_t)about.st_size;
    return VELOCITY_OK;
}

static velocity_status posix_open_to_others(env_file *file, bool *out) {
    struct posix_file *f = (struct posix_file *)file;
    struct stat about;
    if (fstat(f->descriptor, &about) < 0) return failed(errno, f->path, "examine");
    *out = (about.st_mode & S_IRWXO) != 0;
    return VELOCITY_OK;
}

static velocity_status posix_close(env_file *file) {
    struct posix_file *f = (struct posix_file *)file;
    velocity_status status = VELOCITY_OK;
    /* Linux frees the descriptor even on EINTR: closing again could close another thread's file. */
    if (close(f->descriptor) < 0 && errno != EINTR) status = failed(errno, f->path, "close");
    env_free(f);
    return status;
}

static velocity_status posix_map(env_file *file, uint64_t offset, size_t size, uint8_t **out) {
    struct posix_file *f = (struct posix_file *)file;
    *out = NULL;
    void *window = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, f->descriptor, (off_t)offset);
    if (window == MAP_FAILED) return failed(errno, f->path, "map");
    *out = window;
    return VELOCITY_OK;
}

static void posix_unmap(env_file *file, uint8_t *window, size_t size) {
    (void)file;
    (void)munmap(window, size); /* fails only for a range that was never mapped */
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

static velocity_status posix_rename(env *e, const char *from, const char *to) {
    (void)e;
    return rename(from, to) < 0 ? failed_making(errno, from, "rename") : VELOCITY_OK;
}

static velocity_status posix_link(env *e, const char *from, const char *to) {
    (void)e;
    if (link(from, to) == 0) return VELOCITY_OK;
    int error = errno;
    /* link(2): EPERM where the file system has no links, EMLINK where the file has too many names. */
    bool cannot = error == EXDEV || error == EPERM || error == EMLINK || error == EOPNOTSUPP || error == ENOSYS;
    if (cannot) return status_set(VELOCITY_UNSUPPORTED, "%s: cannot be linked to %s", from, to);
    return failed_making(error, from, "link");
}

static velocity_status posix_remove_directory(env *e, const char *path) {
    (void)e;
    return rmdir(path) < 0 ? failed(errno, path, "remove the folder") : VELOCITY_OK;
}

static velocity_status posix_unlink(env *e, const char *path) {
    (void)e;
    return unlink(path) < 0 ? failed(errno, path, "remove") : VELOCITY_OK;
}

static velocity_status posix_make_directory(env *e, const char *path) {
    (void)e;
    if (mkdir(path, 0700) == 0) return VELOCITY_OK;
    int error = errno;
    struct stat about;
    if (error == EEXIST && stat(path, &about) == 0 && S_ISDIR(about.st_mode)) return VELOCITY_OK;
    return failed(error, path, "make the folder");
}

static velocity_status posix_sync_directory(env *e, const char *path) {
    (void)e;
    int descriptor = open_retrying(path, O_RDONLY | O_DIRECTORY);
    if (descriptor < 0) return failed_making(errno, path, "open the folder");
    int result;
    do result = fsync(descriptor);
    while (result < 0 && errno == EINTR);
    velocity_status status = result < 0 ? failed(errno, path, "sync the folder") : VELOCITY_OK;
    (void)close(descriptor); /* read only: nothing can be lost by it */
    return status;
}

static velocity_status posix_list(env *e, const char *path, velocity_status (*visit)(void *, const char *), void *arg) {
    (void)e;
    DIR *folder = opendir(path);
    if (!folder) return failed(errno, path, "list");
    velocity_status status = VELOCITY_OK;
    while (status == VELOCITY_OK) {
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (!entry) {
            if (errno) status = failed(errno, path, "list");
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        status = visit(arg, entry->d_name);
    }
    (void)closedir(folder);
    return status;
}

static velocity_status posix_exists(env *e, const char *path, bool *out) {
    (void)e;
    struct stat about;
    *out = stat(path, &about) == 0;
    return *out || errno == ENOENT ? VELOCITY_OK : failed(errno, path, "look for");
}

/* ---- lock files ------------------------------------------------------------------------------------------------- */

static bool held_by_this_process(const struct stat *about) {
    for (const struct env_lock *l = held; l; l = l->next)
        if (l->device == about->st_dev && l->inode == about->st_ino) return true;
    return false;
}

/* True if `descriptor` is the file that the path names now: a lock on a file that was removed or replaced meanwhile
 * excludes nobody. Fills *about. */
static bool still_named(const char *path, int descriptor, struct stat *about) {
    struct stat named;
    return fstat(descriptor, about) == 0 && stat(path, &named) == 0 && named.st_dev == about->st_dev &&
           named.st_ino == about->st_ino;
}

/* Takes the system's lock on the open file. It belongs to the open file description, so that closing another
 * descriptor of the same file does not drop it. */
static velocity_status lock_descriptor(const char *path, int descriptor) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int result = fcntl(descriptor, F_OFD_SETLK, &whole);
    if (result < 0 && errno == EINVAL) result = flock(descriptor, LOCK_EX | LOCK_NB);
    if (result == 0) return VELOCITY_OK;
    if (errno == EAGAIN || errno == EACCES || errno == EWOULDBLOCK)
        return status_set(VELOCITY_LOCKED, "%s: held by another process", path);
    return failed(errno, path, "lock");
}

/* Opens and locks once, with held_guard held. OK with *again set: the file vanished meanwhile. */
static velocity_status try_lock(const char *path, struct env_lock *lock, bool *again) {
    *again = false;
    lock->descriptor = open_retrying(path, O_RDWR | O_CREAT);
    if (lock->descriptor < 0) return failed(errno, path, "open the lock file");
    struct stat about;
    velocity_status status = VELOCITY_OK;
    if (!still_named(path, lock->descriptor, &about))
        *again = true;
    else if (held_by_this_process(&about))
        status = status_set(VELOCITY_LOCKED, "%s: already held by this process", path);
    else
        status = lock_descriptor(path, lock->descriptor);
    if (status == VELOCITY_OK && !*again && !still_named(path, lock->descriptor, &about)) *again = true;
    if (status != VELOCITY_OK || *again) {
        (void)close(lock->descriptor);
        return status;
    }
    lock->device = about.st_dev;
    lock->inode = about.st_ino;
    return VELOCITY_OK;
}

static velocity_status posix_lock(env *e, const char *path, env_lock **out) {
    enum { MAX_ATTEMPTS = 100 };
    (void)e;
    *out = NULL;
    env_lock *lock = env_alloc(sizeof *lock);
    if (!lock) return VELOCITY_NO_MEMORY;
    (void)pthread_mutex_lock(&held_guard);
    bool again = true;
    velocity_status status = VELOCITY_OK;
    for (int i = 0; i < MAX_ATTEMPTS && again && status == VELOCITY_OK; i++) status = try_lock(path, lock, &again);
    if (status == VELOCITY_OK && again) status = status_set(VELOCITY_IO, "%s: the lock file keeps vanishing", path);
    if (status == VELOCITY_OK) {
        lock->next = held;
        held = lock;
        *out = lock;
    }
    (void)pthread_mutex_unlock(&held_guard);
    if (!*out) env_free(lock);
    return status;
}

/* The file stays: removing it would let two processes lock two files of one name. */
static void posix_unlock(env_lock *lock) {
    if (!lock) return;
    (void)pthread_mutex_lock(&held_guard);
    struct env_lock **link = &held;
    while (*link != lock) link = &(*link)->next;
    *link = lock->next;
    (void)close(lock->descriptor);
    (void)pthread_mutex_unlock(&held_guard);
    env_free(lock);
}

/* ---- clocks and random numbers ---------------------------------------------------------------------------------- */

static uint64_t posix_now_ms(env *e) {
    (void)e;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t posix_monotonic_us(env *e) {
    (void)e;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static velocity_status posix_random(env *e, void *buffer, size_t size) {
    (void)e;
    for (size_t got = 0; got < size;) {
        ssize_t n = getrandom((char *)buffer + got, size - got, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return failed(errno, "random numbers", "read");
        got += (size_t)n;
    }
    return VELOCITY_OK;
}

static const struct env_operations posix_operations = {
    .open_read = posix_open_read,
    .create = posix_create,
    .open_write = posix_open_write,
    .read = posix_read,
    .write = posix_write,
    .allocate = posix_allocate,
    .sync = posix_sync,
    .flush_range = posix_flush_range,
    .truncate = posix_truncate,
    .size = posix_size,
    .open_to_others = posix_open_to_others,
    .close = posix_close,
    .map = posix_map,
    .unmap = posix_unmap,
    .rename = posix_rename,
    .link = posix_link,
    .unlink = posix_unlink,
    .remove_directory = posix_remove_directory,
    .make_directory = posix_make_directory,
    .sync_directory = posix_sync_directory,
    .list = posix_list,
    .exists = posix_exists,
    .lock = posix_lock,
    .unlock = posix_unlock,
    .now_ms = posix_now_ms,
    .monotonic_us = posix_monotonic_us,
    .random = posix_random,
    .inline_jobs = false,
};

env *env_posix(void) {
    static env posix = {&posix_operations};
    return &posix;
}
