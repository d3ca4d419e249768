/*
 * databases_folder.c - folders of databases:
 *
 *     <name>                  a database
 *     .new-<name>             one that is being made
 *     .dropped-<name>-<n>     one that is being removed
 *
 * Names of databases never begin with a dot. What begins so is left over from a crash when the server starts.
 */
#include "server/databases_internal.h"

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#define NEW_PREFIX     ".new-"
#define DROPPED_PREFIX ".dropped-"

enum { DROPPED_MAX = 1000 /* folders of one name that could not be removed yet */, WALK_DESCRIPTORS = 16 };

static char *path_of(const struct databases *all, const char *before, const char *name) {
    size_t size = strlen(all->folder) + strlen(before) + strlen(name) + 2;
    char *path = env_alloc(size);
    if (path) (void)snprintf(path, size, "%s/%s%s", all->folder, before, name);
    return path;
}

char *databases_path(const struct databases *all, enum folder_kind kind, const char *name) {
    static const char *const before[] = {"", NEW_PREFIX, DROPPED_PREFIX};
    return path_of(all, before[kind], name);
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place) {
    (void)info, (void)kind, (void)place;
    return remove(path);
}

velocity_status databases_remove_tree(const char *path) {
    bool exists = false;
    velocity_status status = env_exists(env_posix(), path, &exists);
    if (status || !exists) return status;
    if (nftw(path, remove_one, WALK_DESCRIPTORS, FTW_DEPTH | FTW_PHYS) == 0) return VELOCITY_OK;
    return status_set(VELOCITY_IO, "%s: can't be removed", path);
}

velocity_status databases_install_folder(const struct databases *all, const char *name, bool *installed) {
    char *from = databases_path(all, FOLDER_NEW, name), *to = databases_path(all, FOLDER_DATABASE, name);
    velocity_status status = from && to ? env_rename(env_posix(), from, to) : VELOCITY_NO_MEMORY;
    *installed = !status;
    if (!status) status = env_sync_directory(env_posix(), all->folder);
    env_free(from);
    env_free(to);
    return status;
}

/* A name that nothing has; NULL: no memory, or too many. */
static char *free_place(const struct databases *all, const char *name) {
    char numbered[DATABASE_NAME_MAX + 16];
    for (int n = 0; n < DROPPED_MAX; n++) {
        bool exists = true;
        (void)snprintf(numbered, sizeof numbered, "%s-%d", name, n);
        char *path = databases_path(all, FOLDER_DROPPED, numbered);
        if (!path || (env_exists(env_posix(), path, &exists) == VELOCITY_OK && !exists)) return path;
        env_free(path);
    }
    (void)status_set(VELOCITY_IO, "%s: too many dropped databases \"%s\" could not be removed", all->folder, name);
    return NULL;
}

velocity_status databases_put_aside(const struct databases *all, const char *name, char **aside) {
    char *from = databases_path(all, FOLDER_DATABASE, name), *to = free_place(all, name);
    velocity_status status = from && to ? env_rename(env_posix(), from, to) : VELOCITY_IO;
    *aside = NULL;
    if (!status) {
        *aside = to;
        to = NULL;
        status = env_sync_directory(env_posix(), all->folder);
    }
    env_free(from);
    env_free(to);
    return status;
}

/* ---- at the start ----------------------------------------------------------------------------------------------- */

struct look {
    const struct databases *all;
    velocity_status (*found)(void *arg, const char *name);
    void *arg;
};

static void remove_leftover(const struct databases *all, const char *name) {
    char *path = path_of(all, "", name);
    velocity_status status = path ? databases_remove_tree(path) : VELOCITY_NO_MEMORY;
    if (status && all->log) /* tried again at the next start */
        logger_event(all->log, LOGGER_LEVEL_WARNING, "leftover_not_removed", logger_text("name", name),
                     logger_text("reason", velocity_error_message()));
    env_free(path);
}

static bool begins_with(const char *name, const char *prefix) {
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static velocity_status look_at(void *arg, const char *name) {
    const struct look *look = arg;
    struct stat info;
    if (begins_with(name, NEW_PREFIX) || begins_with(name, DROPPED_PREFIX)) {
        remove_leftover(look->all, name);
        return VELOCITY_OK;
    }
    if (!database_name_is_good(velocity_str(name))) return VELOCITY_OK;
    char *path = path_of(look->all, "", name);
    if (!path) return VELOCITY_NO_MEMORY;
    bool folder = stat(path, &info) == 0 && S_ISDIR(info.st_mode);
    env_free(path);
    return folder ? look->found(look->arg, name) : VELOCITY_OK;
}

velocity_status databases_look_around(const struct databases *all,
                                      velocity_status (*found)(void *arg, const char *name), void *arg) {
    struct look look = {all, found, arg};
    return env_list(env_posix(), all->folder, look_at, &look);
}
