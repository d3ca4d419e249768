/*
 * auth_internal.h - what the files auth*.c share: the state, and how it changes.
 *
 *     auth.c            opening, configuring, who is it by a secret
 *     auth_check.c      who is it by a password: the hashing thread
 *     auth_users.c      users: making, changing, deleting, listing
 *     auth_secrets.c    tokens and sessions: the same
 *     auth_plan.c       one change: first on disk, then in memory
 *     auth_records.c    users, tokens and sessions as JSON in the system database
 *     auth_table.c      tokens and sessions by their digest
 *     auth_failures.c   failures and bans
 *     auth_remembered.c passwords that were right a moment ago
 *
 * Locks, in the order in which they are taken:
 *  1. `change`: one change at a time. It is held while the disk syncs, but never while a password is hashed.
 *  2. `lock`: readers look things up under it, and a change takes effect under it: a few instructions each, and nothing
 *     that waits. What it guards is only written under both, so who holds `change` may read without it.
 *  3. The mutexes of failures and of remembered passwords: each is taken with neither of the above nor the other held.
 */
#ifndef VELOCITY_SERVER_AUTH_INTERNAL_H
#define VELOCITY_SERVER_AUTH_INTERNAL_H

#include "server/auth.h"
#include "server/auth_failures.h"
#include "server/auth_remembered.h"
#include "server/auth_table.h"
#include "server/json_write.h"

#include <pthread.h>
#include <stdatomic.h>

#define AUTH_QUEUE_LIMIT         64 /* passwords that may wait for the hashing thread */
#define AUTH_SECRETS_PER_USER    1000
#define AUTH_SESSION_MS          (INT64_C(12) * 60 * 60 * 1000)
#define AUTH_TOKEN_MS            (INT64_C(90) * 24 * 60 * 60 * 1000)
#define AUTH_TOKEN_MAX_MS        (INT64_C(366) * 24 * 60 * 60 * 1000)
#define AUTH_KEY_BYTES           96                      /* of a record's key, with a NUL */
#define AUTH_SECRET_TEXT_BYTES   (AUTH_SECRET_BYTES - 2) /* "vt_" and 43 characters */
#define AUTH_SECRET_RANDOM_BYTES 32

/* What tests put something else in the place of. */
struct auth_environment {
    int64_t (*wall_ms)(void *arg);
    int64_t (*monotonic_ms)(void *arg);
    velocity_status (*hash)(velocity_slice password, char out[PASSWORD_HASH_BYTES]);
    void *arg;
};

/* As auth_open, in another environment. */
VELOCITY_CHECK_RESULT velocity_status auth_open_in(velocity *system, const struct auth_settings *settings,
                                                   const struct auth_environment *environment, struct auth **out);

/* Does not change once it is among the users; one who is given other rights gets another one. */
struct user {
    struct principal *principal; /* of whoever logs in with the password: name, role, scope and bucket */
    char hash[PASSWORD_HASH_BYTES];
    uint64_t password_number; /* another one with each password that is set; never 0 */
    bool configured;
    int64_t created_at_ms; /* configured: 0 */
};

/* By name, ascending. */
struct user_list {
    struct user **items;
    size_t count;
};

/* Outlives its user: principals that somebody still holds point to it. */
struct user_bucket {
    struct rate_bucket bucket;
    char name[AUTH_NAME_MAX + 1];
};

struct auth {
    velocity *system;
    struct auth_environment environment;
    struct executor *hasher; /* one thread */
    struct failures *failures;
    struct remembered *remembered;
    struct principal *nobody;
    uint8_t seed[DIGEST_BYTES]; /* of the choice of a hash for an unknown name */
    struct rate_bucket nobody_bucket;
    _Atomic uint64_t generation, hashes, queue_full;
    _Atomic uint64_t next_password_number;
    _Atomic bool changing_own; /* somebody is in auth_own_password */
    _Atomic size_t user_count; /* of `users`, for those who only ask whether there are any */

    pthread_mutex_t change; /* see above */
    void *buckets;          /* under `change`: a tree of user_bucket (tsearch) */
    pthread_rwlock_t lock;  /* guards the two below */
    struct user_list users;
    struct secret_table secrets;
};

static inline int64_t auth_wall_ms(const struct auth *auth) {
    return auth->environment.wall_ms(auth->environment.arg);
}
static inline int64_t auth_monotonic_ms(const struct auth *auth) {
    return auth->environment.monotonic_ms(auth->environment.arg);
}

/* ---- auth_users.c ----------------------------------------------------------------------------------------------- */

bool auth_name_is_good(velocity_slice name);
/* What a new user is made of. */
struct user_model {
    const char *name;
    enum role role;
    const struct scope *scope;
    const char *hash;
    uint64_t password_number; /* 0: a new one */
    bool configured;
    int64_t created_at_ms;
};
/* NULL: no memory. Under `change`, or before anybody else knows of it. */
struct user *user_new(struct auth *auth, const struct user_model *model);
void user_free(struct user *user); /* NULL is allowed */
/* Where the name stands among the users, or would stand. */
size_t user_list_place(const struct user_list *users, velocity_slice name);
struct user *user_list_find(const struct user_list *users, velocity_slice name); /* NULL: not there */
/* A mark by which a session knows the password that it was made with. */
void user_password_mark(const struct user *user, uint8_t out[PASSWORD_MARK_BYTES]);

/* ---- auth_check.c ----------------------------------------------------------------------------------------------- */

/* Run on the hashing thread, and wait for it. BUSY: too many wait. */
VELOCITY_CHECK_RESULT velocity_status auth_hash(struct auth *auth, const char *password, char out[PASSWORD_HASH_BYTES]);
VELOCITY_CHECK_RESULT velocity_status auth_verify(struct auth *auth, const char *hash, velocity_slice password);

/* ---- auth_plan.c ------------------------------------------------------------------------------------------------ */

/*
 * One change, in this order:
 *
 *     plan_begin                      under `change`
 *     plan_user, plan_secrets, ...    what will be, beside what is; everything that can fail for want of memory
 *     plan_commit                     one synced write of all records; then, under `lock`, what will be is exchanged
 *                                     for what was, and the generation grows
 *     plan_end                        frees what did not stay: after a commit what was, else what would have been
 *
 * So a kill at any instruction leaves the whole change or nothing of it, and no reader waits for the disk. If the
 * write's outcome is unknown (IO) the memory stays as it was, and the next start shows what the disk has.
 */
struct plan_secret {
    struct secret *secret;
    struct principal *principal; /* its new one */
    bool drop;
};

struct plan {
    struct user_list users; /* shares those that do not change */
    struct plan_secret *secrets;
    size_t secret_count, secret_capacity;
    struct secret *added;
    struct secret_table larger; /* with room for it, if that was needed */
    velocity_batch *batch;
    const struct secret *keep; /* a session that goes on with a new password */
    bool takes_back;           /* something that was verified before may be wrong now */
    bool committed;
};

/* Every plan that was begun is ended, whatever came between. */
VELOCITY_CHECK_RESULT velocity_status plan_begin(struct auth *auth, struct plan *plan);
void plan_end(struct auth *auth, struct plan *plan);
/* In place of `old` (NULL: in addition) comes `new` (NULL: nobody), who is the plan's from now on, whatever it answers;
 * its record, unless configured. */
VELOCITY_CHECK_RESULT velocity_status plan_user(struct plan *plan, struct user *old, struct user *new);
/* What the users that will be mean to tokens and sessions of `name` (NULL: of everyone). */
VELOCITY_CHECK_RESULT velocity_status plan_secrets(struct auth *auth, struct plan *plan, const char *name);
/* Is the plan's from now on, whatever it answers. */
VELOCITY_CHECK_RESULT velocity_status plan_add(struct auth *auth, struct plan *plan, struct secret *secret);
VELOCITY_CHECK_RESULT velocity_status plan_drop(struct plan *plan, struct secret *secret);
/* Expired ones: their records go by themselves. */
VELOCITY_CHECK_RESULT velocity_status plan_sweep(struct auth *auth, struct plan *plan);
VELOCITY_CHECK_RESULT velocity_status plan_commit(struct auth *auth, struct plan *plan);

/* What a secret of this user may do. *out NULL: nothing. */
VELOCITY_CHECK_RESULT velocity_status secret_principal(const struct secret *secret, const struct user *user,
                                                       struct principal **out);

/* ---- auth_records.c --------------------------------------------------------------------------------------------- */

void record_user_key(const char *name, char out[AUTH_KEY_BYTES]);
void record_secret_key(const struct secret *secret, char out[AUTH_KEY_BYTES]);
/* Adds a put to the batch. */
VELOCITY_CHECK_RESULT velocity_status record_put_user(velocity_batch *batch, const struct user *user);
VELOCITY_CHECK_RESULT velocity_status record_put_secret(velocity_batch *batch, const struct secret *secret);
/* CORRUPT: the message names the key. */
VELOCITY_CHECK_RESULT velocity_status record_read_user(struct auth *auth, velocity_slice key, velocity_slice value,
                                                       struct user **out);
VELOCITY_CHECK_RESULT velocity_status record_read_secret(velocity_slice key, velocity_slice value,
                                                         enum secret_kind kind, struct secret **out);

#endif
