/*
 * databases_internal.h - what the files that make up the registry of databases share.
 *
 *   databases.c          the table; acquire and release; settings; listing
 *   databases_open.c     what the start finds on disk, and the end
 *   databases_change.c   create and drop
 *   databases_name.c     what a name may be
 *   databases_record.c   what the system database remembers of a name
 *   databases_folder.c   folders: making them appear and disappear
 *
 * How versions never repeat for a name, whatever happens at any instant:
 *
 *   record.version_floor is above every version that any database of that name has handed out.
 *
 *   - It is kept ahead like a lease: a database that was opened is not shown to anybody before the floor, durable in
 *     the system database, is at least LEASE / 2 above its versions; then it is raised to LEASE above. So it is written
 *     once in the life of most databases, and no write ever waits for it: LEASE / 2 is 2^49, more than a database
 *     writes between two starts (18 years at a million a second).
 *   - A drop lowers it to the next version but one, after the database was closed and before its folder goes. If the
 *     drop ends there, the next opening raises it again before anybody gets in. Where it can't be lowered it stays.
 *     The version that is left out tells those who watch that what they saw is not what comes now.
 *   - Of a damaged database the floor is the lease: above all that it can have handed out. One without a record was
 *     never opened here; its versions began at 1, and LEASE is far above them.
 *   - A new database is made aside with the floor as its first version, closed, and then renamed: whatever stands under
 *     a name is whole and begins at the floor, or was opened before.
 *
 * Entries: one for each name that was ever there in this process (some 500 bytes); they are never freed before the end,
 * which makes acquire a lookup and one atomic addition. `users` counts who is inside; with CLOSED set nobody gets in.
 *
 * Locks: `mutex` guards the entries' fields and is not held over disk waits (but for unlinking log segments, when a
 * limit is set); engine functions that it is held over take locks of the engine, which never calls back. Who changes
 * what a name stands for claims its entry (`claimed`), and may wait for the disk then.
 */
#ifndef VELOCITY_SERVER_DATABASES_INTERNAL_H
#define VELOCITY_SERVER_DATABASES_INTERNAL_H

#include "engine/env.h"
#include "engine/status.h"
#include "server/databases.h"

#include <stdio.h>

#define DATABASES_LEASE         (UINT64_C(1) << 50)
#define DATABASES_CLOSED        (UINT64_C(1) << 63)
#define DATABASES_BUCKETS       256u
#define DATABASES_MESSAGE_BYTES 256u
#define DATABASES_LEAST_LIMIT   (UINT64_C(32) << 20)
#define DATABASES_MOST_LIMIT    (UINT64_C(1) << 53) /* JSON's numbers are exact up to there */
#define DATABASES_DEFAULT       UINT64_MAX          /* of a limit: the default one */

/* This thread's error message, kept beyond calls that may fail on the way back. */
struct databases_words {
    char text[DATABASES_MESSAGE_BYTES];
};
static inline struct databases_words databases_words(void) {
    struct databases_words words;
    (void)snprintf(words.text, sizeof words.text, "%s", velocity_error_message());
    return words;
}

enum database_state {
    DATABASE_GONE, /* the name is not there */
    DATABASE_OPEN,
    DATABASE_DAMAGED,  /* `status` and `message` say why it could not be opened */
    DATABASE_DROPPING, /* or being made: nobody gets in */
};

/* What the system database remembers of a name. */
struct database_record {
    uint64_t max_disk_bytes; /* DATABASES_DEFAULT: the default; 0: none */
    int64_t created_at_ms;   /* 0: not known */
    uint64_t version_floor;  /* 0: not known */
};

struct database {
    _Atomic uint64_t users; /* who is inside, and CLOSED */
    struct databases *all;
    struct database *next; /* in its bucket; constant */
    size_t name_size;
    char name[DATABASE_NAME_MAX + 1];

    /* While OPEN they don't change; else whoever has claimed it does. */
    velocity *db;
    struct store *store;
    uint64_t opening; /* counts how often it was opened: another number, perhaps another database of the name */

    /* Guarded by all->mutex. */
    bool claimed;
    enum database_state state;
    velocity_status status;
    char message[DATABASES_MESSAGE_BYTES];
    uint64_t max_disk_bytes; /* as in its record */
    int64_t created_at_ms;
};

struct databases {
    _Atomic(struct database *) buckets[DATABASES_BUCKETS]; /* entries are only added, under the mutex */
    struct database *first;                                /* "default" */
    char *folder;
    velocity *system;
    velocity_shared *shared;
    struct logger *log;
    uint32_t max_databases;
    uint8_t encryption_key[32]; /* the template's: databases are made long after the caller has forgotten its own */
    env_mutex mutex;            /* guards what follows, and the entries */
    env_condition changed;      /* an entry was left or is no longer claimed */
    velocity_options template;
    uint64_t default_max_disk_bytes;
    uint32_t present; /* entries that are not GONE */
    struct databases_listener *listeners;
};

/* databases.c; under the mutex, but for the first */
struct database *databases_find(struct databases *all, velocity_slice name); /* NULL: never was there */
struct database *databases_add(struct databases *all, velocity_slice name);  /* finds it or makes it; NULL: no memory */
void databases_claim(struct database *database);                             /* waits until nobody else has */
void databases_unclaim(struct database *database);
/* Its limit, the default resolved; 0: none. */
uint64_t databases_limit(const struct database *database);
VELOCITY_CHECK_RESULT velocity_status databases_check_limit(uint64_t max_disk_bytes);
void databases_set_state(struct database *database, enum database_state state);
/* OPEN: lets people in, with the settings of this moment. Needs an open db and store. */
void databases_publish(struct database *database);
/* DAMAGED, for this status and this thread's message. */
void databases_publish_damage(struct database *database, velocity_status status);

/* databases_open.c. Claimed, without the mutex. */
/* Opens what stands in its folder and publishes it, or why that can't be. */
VELOCITY_CHECK_RESULT velocity_status databases_start(struct database *database);
/* BUSY: something of it is alive after so long; then it is as it was. Else it is closed, whatever the status. */
VELOCITY_CHECK_RESULT velocity_status databases_stop(struct database *database, uint32_t wait_ms);

/* databases_record.c. Waits for the disk. NOT_FOUND: there is none, *out is filled with what holds then. */
VELOCITY_CHECK_RESULT velocity_status database_record_read(velocity *system, const char *name,
                                                           struct database_record *out);
VELOCITY_CHECK_RESULT velocity_status database_record_write(velocity *system, const char *name,
                                                            const struct database_record *record);
/* Only its floor stays. */
VELOCITY_CHECK_RESULT velocity_status database_record_forget(velocity *system, const char *name,
                                                             uint64_t version_floor);

/* databases_folder.c */
enum folder_kind { FOLDER_DATABASE, FOLDER_NEW, FOLDER_DROPPED };
/* For env_free; NULL: no memory. */
char *databases_path(const struct databases *all, enum folder_kind kind, const char *name);
/* With everything in it; links are removed, not followed. OK where there is nothing. */
VELOCITY_CHECK_RESULT velocity_status databases_remove_tree(const char *path);
/* The folder of a new one takes its place; durable. *installed: it has, though a failure may follow. */
VELOCITY_CHECK_RESULT velocity_status databases_install_folder(const struct databases *all, const char *name,
                                                               bool *installed);
/* Renames the folder away; durable. *aside: where it is, for env_free; NULL unless it was renamed. */
VELOCITY_CHECK_RESULT velocity_status databases_put_aside(const struct databases *all, const char *name, char **aside);
/* Calls found for each folder with a good name, and removes what a crash has left. */
VELOCITY_CHECK_RESULT velocity_status databases_look_around(const struct databases *all,
                                                            velocity_status (*found)(void *arg, const char *name),
                                                            void *arg);

#endif
