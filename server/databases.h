/*
 * databases.h - the databases of a server by name: <data_dir>/databases/<name>/, over one block cache, one background
 * pool, one budget of open files and one of write buffers.
 *
 *     OPEN --drop--> DROPPING (nobody new; waits for those inside) --> gone
 *     DAMAGED (could not be opened; the others serve) --drop--> gone
 *
 * How it is done: databases_internal.h.
 *
 * Invariants:
 *  1. Versions never repeat for a name: before a database's folder is given up, the floor for the versions of the next
 *     one of that name is durable in the system database ("database/<name>").
 *  2. A folder is renamed to ".dropped-<name>-<n>" before it is removed; those left over by a crash are removed at the
 *     start. A name without a folder is not there, whatever the system database says.
 *  3. "default" is always there and can't be dropped.
 *
 * Threads: all functions from any thread. acquire and release never wait (release after the last value, iterator and
 * asynchronous write; a commit's callback may do it); the others wait for the disk.
 */
#ifndef VELOCITY_SERVER_DATABASES_H
#define VELOCITY_SERVER_DATABASES_H

#include "engine/velocity.h"
#include "server/logger.h"
#include "server/store.h"

struct databases;
struct database;

struct databases_options {
    const char *folder;        /* <data_dir>/databases */
    velocity *system;          /* the caller's; must outlive it */
    velocity_options template; /* of each one, its key copied; shared, first_sequence and max_database_bytes are set
                                  here */
    uint64_t cache_bytes, total_memtable_bytes;
    uint32_t max_open_files, background_threads;
    uint32_t max_databases;
    uint64_t default_max_disk_bytes; /* 0: no limit */
    struct logger *log;              /* NULL: none */
};

#define DATABASE_NAME_MAX 63
/* [a-z0-9][a-z0-9_-]{0,62} */
bool database_name_is_good(velocity_slice name);

/* OK though some are damaged, but for "default": its status. */
VELOCITY_CHECK_RESULT velocity_status databases_open(const struct databases_options *options, struct databases **out);
/* That of the options: NULL, or it lives as long as the registry. */
struct logger *databases_log(const struct databases *databases);
/* Nothing may be acquired. The first status that is not OK; everything is freed all the same. */
VELOCITY_CHECK_RESULT velocity_status databases_close(struct databases *databases);

/* NOT_FOUND; BUSY: it is being made or dropped; or why it could not be opened. */
VELOCITY_CHECK_RESULT velocity_status databases_acquire(struct databases *databases, velocity_slice name,
                                                        struct database **out);
void database_release(struct database *database); /* NULL is allowed */
/* Once more, for who is inside already and must not fail; answers it. */
struct database *database_hold(struct database *database);
const char *database_name(const struct database *database);
struct store *database_store(struct database *database);
/* Who leaves and comes back later finds another number where the name stands for another database meanwhile. */
uint64_t database_opening(const struct database *database);
/* Somebody wants to drop it: nobody new gets in, and whoever stays inside keeps it from going. */
bool database_is_closing(const struct database *database);

/* Of those who stay inside for longer than a request: told after the door was closed, so that they can leave. Added and
 * removed while nothing is dropped. */
struct databases_listener {
    void (*leave)(struct databases_listener *listener, struct database *database); /* waits for nobody */
    struct databases_listener *next;                                               /* internal */
};
void databases_listen(struct databases *databases, struct databases_listener *listener);
void databases_unlisten(struct databases *databases, struct databases_listener *listener); /* harmless twice */

/* CONFLICT: it is there already; BUSY: max_databases; INVALID: the name, or a limit below 32 MiB or above 2^53.
 * UINT64_MAX: the default limit; 0: none. */
VELOCITY_CHECK_RESULT velocity_status databases_create(struct databases *databases, velocity_slice name,
                                                       uint64_t max_disk_bytes);
/* The same with what the folder `from` holds: a closed database of the engine, on the same file system (a checkpoint,
 * or a backup that was copied there). It is moved, and gone after most failures. New versions are above all of the
 * name's and all that it holds. */
VELOCITY_CHECK_RESULT velocity_status databases_adopt(struct databases *databases, velocity_slice name,
                                                      uint64_t max_disk_bytes, const char *from);
/* NOT_FOUND; INVALID: "default"; BUSY: it is in use and was not left within `wait_ms` (then it goes on as before). */
VELOCITY_CHECK_RESULT velocity_status databases_drop(struct databases *databases, velocity_slice name,
                                                     uint32_t wait_ms);
VELOCITY_CHECK_RESULT velocity_status databases_set_limit(struct databases *databases, velocity_slice name,
                                                          uint64_t max_disk_bytes);
/* For all those whose limit was not set by hand, and those to come. */
VELOCITY_CHECK_RESULT velocity_status databases_set_default_limit(struct databases *databases, uint64_t max_disk_bytes);
void databases_set_cache_bytes(struct databases *databases, uint64_t bytes);
void databases_set_durability(struct databases *databases, velocity_durability durability, uint32_t interval_ms);

struct database_info {
    const char *name;
    velocity_status status; /* OK: open; else why it is not */
    const char *message;
    uint64_t max_disk_bytes; /* 0: no limit */
    bool limit_is_default;
    int64_t created_at_ms; /* 0: not known */
    velocity_stats stats;  /* status OK only */
};
/* By name, ascending; `name` empty: all. What is shown lives during the call. False ends it. NOT_FOUND: `name` is not
 * there. */
VELOCITY_CHECK_RESULT velocity_status databases_list(struct databases *databases, velocity_slice name,
                                                     bool (*row)(void *arg, const struct database_info *info),
                                                     void *arg);
uint32_t databases_count(struct databases *databases);

#endif
