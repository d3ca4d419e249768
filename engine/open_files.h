/*
 * open_files.h - the budget of open files: tables and value files are opened when they are read, and closed again,
 * least recently used first, so that at most so many are open at once over all databases of a velocity_shared.
 *
 *     struct open_files (ring, hand) --> open_file <--> open_file <--> ...      each embedded in what it belongs to
 *                                           |
 *                                       descriptor                             retired through epoch.c
 *
 * Invariants:
 *  1. file->descriptor is NULL or an open file. It is set under file->mutex and taken away under files->mutex; what is
 *     taken away is retired, so that a reader inside an epoch section may go on using it. Nothing is retired with a
 *     lock held, because retiring may run destroyers.
 *  2. A file is in the ring exactly while its descriptor counts against the budget.
 *  3. Files that are to be removed wait in `doomed` for the background: a file system may take long to free what a
 * large file held, and the last release may come on any thread.
 *
 * Any thread may read a file. No thread holds both kinds of lock at once.
 */
#ifndef VELOCITY_OPEN_FILES_H
#define VELOCITY_OPEN_FILES_H

#include "env.h"

struct descriptor;

struct open_file {
    env *env;
    const char *path; /* the owner's */
    /* The owner's look at the file whenever it has been opened, one at a time; a failure closes it again. */
    velocity_status (*check)(struct open_file *file, env_file *opened);
    void (*destroy)(struct open_file *file); /* ends the owner, with open_file_close */
    env_mutex mutex;                         /* opening and checking */
    _Atomic(struct descriptor *) descriptor;
    _Atomic bool recently_used;
    struct open_file *next, *previous; /* the ring, or (next) the list of doomed ones; guarded by files->mutex */
};

struct open_files {
    env_mutex mutex; /* guards all below and the files' next and previous */
    struct open_file *ring;
    struct open_file *hand;   /* where the clock stands */
    struct open_file *doomed; /* nobody reads them; not yet removed */
    uint64_t count, most;
};

void open_files_init(struct open_files *files, uint64_t most);
void open_files_destroy(struct open_files *files); /* no file may remain */
uint64_t open_files_count(struct open_files *files);

/* Destroys what waits in `doomed`. */
void open_files_sweep(struct open_files *files);

/* Opens nothing yet. */
void open_file_init(struct open_file *file, env *e, const char *path,
                    velocity_status (*check)(struct open_file *file, env_file *opened),
                    void (*destroy)(struct open_file *file));
/* Inside an epoch section, until whose end *out stays open. A file that is missing is CORRUPT. */
VELOCITY_CHECK_RESULT velocity_status open_file_get(struct open_files *files, struct open_file *file, env_file **out);
/* Nobody reads it any more. Destroys it, a doomed one with the next sweep. */
void open_file_leave(struct open_files *files, struct open_file *file, bool doomed);
/* For `destroy`: closes the file, and removes it if asked. */
void open_file_close(struct open_file *file, bool remove);

#endif
