/* watch.c - see watch.h. */
#include "server/watch.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define EVENTS                                                                                                         \
    (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)

/* All zero: there is no such file. */
struct stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec modified, changed;
};

struct watched {
    char *path;
    struct stamp stamp;
    int target_watch; /* on the folder that a symbolic link leads to; -1: none */
};

struct watch {
    int descriptor; /* of inotify; -1: none */
    bool restless;
    uint64_t since_ms, latest_ms; /* restless: the first and the latest change */
    size_t count;
    struct watched files[];
};

static struct stamp stamp_of(const char *path) {
    struct stat info;
    struct stamp stamp = {0};
    if (stat(path, &info) != 0) return stamp;
    stamp.device = info.st_dev;
    stamp.inode = info.st_ino;
    stamp.size = info.st_size;
    stamp.modified = info.st_mtim;
    stamp.changed = info.st_ctim;
    return stamp;
}

static bool same_time(struct timespec a, struct timespec b) {
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool same_stamp(const struct stamp *a, const struct stamp *b) {
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           same_time(a->modified, b->modified) && same_time(a->changed, b->changed);
}

/* -1 where the folder can't be watched. A folder that is watched already has the same number again. */
static int watch_folder(struct watch *watch, const char *path) {
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t size = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;
    if (size >= sizeof folder) return -1;
    memcpy(folder, path, size);
    folder[size] = '\0';
    return inotify_add_watch(watch->descriptor, size ? folder : ".", EVENTS | IN_ONLYDIR);
}

/* Which folders matter can change with every change of them: one may be new, a link may lead elsewhere. */
static void watch_folders(struct watch *watch, struct watched *file) {
    char target[PATH_MAX];
    if (watch->descriptor < 0) return;
    int folder = watch_folder(watch, file->path);
    int before = file->target_watch;
    file->target_watch = realpath(file->path, target) ? watch_folder(watch, target) : -1;
    if (file->target_watch == folder) file->target_watch = -1;
    if (before >= 0 && before != file->target_watch && before != folder)
        (void)inotify_rm_watch(watch->descriptor, before);
}

struct watch *watch_new(const char *const *paths, size_t count) {
    struct watch *watch = calloc(1, sizeof *watch + count * sizeof watch->files[0]);
    if (!watch) return NULL;
    watch->descriptor = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    for (; watch->count < count; watch->count++) {
        struct watched *file = &watch->files[watch->count];
        file->path = strdup(paths[watch->count]);
        if (!file->path) {
            watch_free(watch);
            return NULL;
        }
        file->target_watch = -1;
        watch_folders(watch, file);
        file->stamp = stamp_of(file->path);
    }
    return watch;
}

void watch_free(struct watch *watch) {
    if (!watch) return;
    for (size_t i = 0; i < watch->count; i++) free(watch->files[i].path);
    if (watch->descriptor >= 0) (void)close(watch->descriptor);
    free(watch);
}

int watch_descriptor(const struct watch *watch) {
    return watch->descriptor;
}

/* What happened does not matter: something did. */
static void drain(struct watch *watch) {
    char events[4096];
    if (watch->descriptor < 0) return;
    for (ssize_t got = 1; got > 0 || (got < 0 && errno == EINTR);) got = read(watch->descriptor, events, sizeof events);
}

bool watch_look(struct watch *watch, uint64_t now_ms, uint64_t *again_at_ms) {
    drain(watch);
    for (size_t i = 0; i < watch->count; i++) {
        struct watched *file = &watch->files[i];
        watch_folders(watch, file); /* before it is looked at: what happens from now on is told */
        struct stamp stamp = stamp_of(file->path);
        if (same_stamp(&stamp, &file->stamp)) continue;
        file->stamp = stamp;
        watch->latest_ms = now_ms;
        if (!watch->restless) watch->since_ms = now_ms;
        watch->restless = true;
    }
    *again_at_ms = now_ms + WATCH_LOOK_MS;
    if (!watch->restless) return false;
    uint64_t quiet_at = watch->latest_ms + WATCH_QUIET_MS, patience_ends = watch->since_ms + WATCH_PATIENCE_MS;
    uint64_t due = quiet_at < patience_ends ? quiet_at : patience_ends;
    if (now_ms < due) {
        *again_at_ms = due;
        return false;
    }
    watch->restless = false;
    return true;
}
