/* data_directory.c - see data_directory.h. */
#include "server/data_directory.h"
#include "engine/env.h"

#include <stdio.h>
#include <string.h>

struct data_directory {
    env_lock *lock;
    char *path;
    char *databases; /* the folder of the databases */
};

static char *join(const char *folder, const char *name) {
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = env_alloc(size);
    if (path) (void)snprintf(path, size, "%s/%s", folder, name);
    return path;
}

velocity_status data_directory_open(const char *path, struct data_directory **out) {
    env *system = env_posix();
    struct data_directory *directory = env_alloc_zeroed(sizeof *directory);
    char *lock_path = join(path, "velocity.lock");
    velocity_status status = VELOCITY_NO_MEMORY;
    *out = NULL;
    if (!directory || !lock_path || !(directory->path = join(path, "")) ||
        !(directory->databases = join(path, "databases")))
        goto out;
    status = env_make_directory(system, path);
    if (status == VELOCITY_OK) status = env_lock_file(system, lock_path, &directory->lock);
    if (status == VELOCITY_OK) status = env_make_directory(system, directory->databases);
    if (status == VELOCITY_OK) status = env_sync_directory(system, path);
out:
    env_free(lock_path);
    if (status == VELOCITY_OK)
        *out = directory;
    else
        data_directory_close(directory);
    return status;
}

char *data_directory_database(const struct data_directory *directory, const char *name) {
    return join(directory->databases, name);
}

char *data_directory_path(const struct data_directory *directory, const char *name) {
    size_t size = strlen(directory->path) + strlen(name) + 1; /* the path ends in a slash */
    char *path = env_alloc(size);
    if (path) (void)snprintf(path, size, "%s%s", directory->path, name);
    return path;
}

void data_directory_close(struct data_directory *directory) {
    if (!directory) return;
    if (directory->lock) env_unlock_file(env_posix(), directory->lock);
    env_free(directory->databases);
    env_free(directory->path);
    env_free(directory);
}
