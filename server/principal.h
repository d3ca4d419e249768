/*
 * principal.h - who a request comes from, and what they may do: role and scope.
 *
 * A principal does not change once it was made; who is given other rights gets another one. Threads: any; it is shared
 * by counting references.
 */
#ifndef VELOCITY_SERVER_PRINCIPAL_H
#define VELOCITY_SERVER_PRINCIPAL_H

#include "engine/velocity.h"
#include "server/rate_limit.h"

#include <stdatomic.h>

/* In the order of the Velocity Protocol's AUTH_OK. */
enum role { ROLE_ADMIN, ROLE_WRITE, ROLE_READ, ROLE_MONITOR, ROLE_COUNT };

/* What an operation asks of whoever calls it. */
enum permission {
    PERMISSION_NONE,    /* nothing: no login */
    PERMISSION_LOGIN,   /* anyone who is logged in */
    PERMISSION_MONITOR, /* every role: figures, configuration checks */
    PERMISSION_READ,    /* admin, write, read */
    PERMISSION_WRITE,   /* admin, write */
    PERMISSION_ADMIN,   /* admin, and without a scope: a scope is no way to rule everyone */
};

#define SCOPE_MAX_DATABASES 100
#define SCOPE_MAX_PREFIXES  100
#define SCOPE_MAX_BYTES     16384 /* of all its names and prefixes: each token has a copy */

/* Where it may be done. All zero: everywhere. */
struct scope {
    char **databases; /* names; NULL with count 0: all */
    size_t database_count;
    velocity_slice *prefixes; /* of keys, ascending, none begins with another; NULL with count 0: all keys */
    size_t prefix_count;
    void *memory; /* internal: holds all of it */
};

enum login { LOGIN_OPEN, LOGIN_PASSWORD, LOGIN_TOKEN, LOGIN_SESSION }; /* OPEN: nobody is configured */

#define LOGIN_ID_BYTES 33 /* of a token or session: 32 hexadecimal digits and a NUL */

struct principal {
    _Atomic uint32_t references;
    char *user; /* "" with LOGIN_OPEN */
    enum role role;
    enum login login;
    char id[LOGIN_ID_BYTES]; /* TOKEN, SESSION */
    bool by_cookie_allowed;  /* SESSION: made for a browser, and so sent in a cookie */
    char csrf[65];           /* SESSION of a browser: what unsafe requests must repeat in Velocity-CSRF */
    int64_t expires_at_ms;   /* TOKEN, SESSION */
    struct scope scope;
    struct rate_bucket *bucket; /* its user's; lives as long as the auth that made it */
};

const char *role_name(enum role role); /* "admin", "write", "read", "monitor" */
bool role_parse(velocity_slice name, enum role *out);

/* A copy of what `from` holds, with one reference, the caller's. NULL: no memory. */
struct principal *principal_new(const struct principal *from);
struct principal *principal_acquire(struct principal *principal); /* answers it */
void principal_release(struct principal *principal);              /* NULL is allowed */
bool principal_may(const struct principal *principal, enum permission permission);

/* Copies; sorts and drops prefixes that another one covers. An empty prefix is every key. False: no memory, or it does
 * not fit; *out is then all zero, which is everywhere: do not use it. */
bool scope_make(struct scope *out, const char *const *databases, size_t database_count, const velocity_slice *prefixes,
                size_t prefix_count);
/* The same of what somebody asks for, with a reason: INVALID, NO_MEMORY. */
VELOCITY_CHECK_RESULT velocity_status scope_ask(struct scope *out, const char *const *databases, size_t database_count,
                                                const velocity_slice *prefixes, size_t prefix_count);
bool scope_copy(struct scope *out, const struct scope *from);
void scope_free(struct scope *scope);
bool scope_is_all(const struct scope *scope);
bool scope_has_database(const struct scope *scope, velocity_slice name);
bool scope_has_key(const struct scope *scope, velocity_slice key);
/* Is every key of [start, end) with this prefix inside? Empty: no bound. */
bool scope_has_range(const struct scope *scope, velocity_slice start, velocity_slice end, velocity_slice prefix);
/* Is all of `inner` inside `outer`? */
bool scope_covers(const struct scope *outer, const struct scope *inner);

enum scope_meeting { SCOPE_MEET, SCOPE_APART, SCOPE_NO_MEMORY };
/* What lies in both. APART: nothing does (which no scope can say), and *out is not set. */
enum scope_meeting scope_intersect(struct scope *out, const struct scope *a, const struct scope *b);

#endif
