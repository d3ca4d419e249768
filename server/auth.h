/*
 * auth.h - people and programs: users, tokens, sessions, who a request comes from, and how often a guess may be made.
 *
 *     Authorization: Bearer ...  --auth_bearer--> SHA-256, a table in memory: never waits
 *     name and password          --auth_password--> remembered? else argon2id on a thread of its own (bounded queue)
 *
 * Users stand in the configuration or in the system database; the same name in both is refused. Tokens and sessions
 * stand in the system database as SHA-256 of the secret, which is shown once. All of them are in memory too; a change
 * is on disk before it counts. Keys of the system database: "user/<name>", "token/<id>", "session/<id>".
 *
 * Failures are counted per (address, user) and per address, never per user alone, so that nobody can be locked out by a
 * stranger; too many of them ban for a while. An unknown name costs the same time as a wrong password.
 *
 * Threads: all functions from any thread. Those under "change" wait for the disk and perhaps for the hashing thread,
 * and answer its statuses, too: NO_SPACE and NO_MEMORY leave everything as it was; after IO only the next start can
 * tell.
 */
#ifndef VELOCITY_SERVER_AUTH_H
#define VELOCITY_SERVER_AUTH_H

#include "engine/velocity.h"
#include "server/executor.h"
#include "server/principal.h"

struct auth;

/* A user of the configuration. */
struct auth_configured_user {
    const char *name;
    const char *password; /* "$argon2id$v=19$m=...": PHC string */
    enum role role;
    const char *const *databases; /* scope; count 0: all */
    size_t database_count;
    const char *const *prefixes;
    size_t prefix_count;
};

struct auth_settings {
    const struct auth_configured_user *users;
    size_t user_count;
    uint32_t max_auth_failures; /* that lead to a ban; 0: never */
    uint32_t ban_seconds;
};

/* `system` stays the caller's and must outlive it. Everything in settings is copied. INVALID: a name in both places, a
 * password that is no hash or costs beyond bounds; CORRUPT: a record that cannot be read. */
VELOCITY_CHECK_RESULT velocity_status auth_open(velocity *system, const struct auth_settings *settings,
                                                struct auth **out);
/* The configuration was read anew. Who stands in it no more leaves no tokens or sessions behind, and who has another
 * password no sessions. INVALID: as above, or nobody would be left where there was somebody. On failure everything
 * stays as it was. */
VELOCITY_CHECK_RESULT velocity_status auth_configure(struct auth *auth, const struct auth_settings *settings);
/* No check may be under way. NULL is allowed. */
void auth_free(struct auth *auth);

/* Whether there is any user; without one everyone on this machine is admin. */
bool auth_has_users(struct auth *auth);
/* Grows with every change after which something verified before may be wrong: what is remembered of a connection's
 * Authorization holds while this and the principal's expires_at_ms do. Read it before what it is to vouch for. */
uint64_t auth_generation(struct auth *auth);
/* The admin of a server without users. The caller's to release. */
struct principal *auth_nobody(struct auth *auth);
/* Whether who was let in a while ago would still be: the secret is there and means the same rights, the password is the
 * one that was shown. For what took its time between its admission and its deed; ends are not looked at again. */
bool auth_holds(struct auth *auth, const struct principal *principal);

/* ---- who is it? ---------------------------------------------------------------------------------------------- */

enum auth_result {
    AUTH_OK,      /* *principal is the caller's to release */
    AUTH_REFUSED, /* 401: no such secret, or a wrong password, or an end that passed; retry_after_seconds: of the ban
                     that begins with it, 0: none does */
    AUTH_BANNED,  /* 429: too many failures; retry_after_seconds */
    AUTH_BUSY,    /* 503: too many passwords wait to be hashed */
};

/* A token or a session's secret. `address` is peer.text. Secrets that do not exist count as failures of the address
 * (those that ended do not: nobody guessed). A ban keeps out guesses only: a secret that is right is let in, for it has
 * 256 bits, and who shares an address with an attacker shall go on. */
enum auth_result auth_bearer(struct auth *auth, velocity_slice secret, const char *address,
                             struct principal **principal, uint32_t *retry_after_seconds);

/* What a browser's cookie holds. It goes on sending it when the session has ended, so that is no failure and leads to
 * no ban. OK or REFUSED. */
enum auth_result auth_cookie(struct auth *auth, velocity_slice secret, struct principal **principal);

struct auth_check {
    velocity_slice user, password;          /* the caller's, unchanged until it is answered */
    const char *address;                    /* the same */
    void (*done)(struct auth_check *check); /* waits for nothing, and calls nothing under "change" */
    /* the answer */
    enum auth_result result;
    struct principal *principal;
    uint32_t retry_after_seconds;
    void *front; /* the caller's own */
    /* internal */
    struct auth *auth;
    struct executor_task task;
};
/* True: answered. False: done will run, once, on the hashing thread, perhaps before this returns. A password that was
 * right is remembered (as a keyed hash) for five minutes, so that HTTP's Basic does not hash at every request. */
bool auth_password(struct auth *auth, struct auth_check *check);

/* ---- users (change) -------------------------------------------------------------------------------------------- */

#define AUTH_NAME_MAX     64 /* bytes: letters, digits and "._-@", beginning with a letter or digit */
#define AUTH_PASSWORD_MIN 8  /* characters are not counted: bytes */
#define AUTH_PASSWORD_MAX 1024

struct auth_user {
    const char *name;
    enum role role;
    const struct scope *scope;
    bool configured; /* stands in the configuration, and can only be changed there */
    int64_t created_at_ms;
};

/* NULL or -1: as it is (create: a password is needed, role write, scope everywhere). */
struct auth_user_change {
    const char *password; /* plain, with a NUL */
    int role;             /* enum role, or -1 */
    const struct scope *scope;
    bool keep_databases, keep_prefixes; /* of a scope: as they are, whatever it says; not for create */
};

/* CONFLICT: the name is taken. INVALID: name or password. BUSY: too many passwords wait to be hashed. The very first
 * user is made admin, everywhere, whatever it asks for. */
VELOCITY_CHECK_RESULT velocity_status auth_user_create(struct auth *auth, const char *name,
                                                       const struct auth_user_change *change);
/* NOT_FOUND; UNSUPPORTED: a configured one; CONFLICT: it would be the last admin that goes; INVALID: the scope would be
 * too large. One step: of two that change different things neither loses the other's. Ends the user's sessions where
 * the password changes, and narrows tokens and sessions where rights do. */
VELOCITY_CHECK_RESULT velocity_status auth_user_change(struct auth *auth, const char *name,
                                                       const struct auth_user_change *change);
/* With its tokens and sessions. As change. */
VELOCITY_CHECK_RESULT velocity_status auth_user_delete(struct auth *auth, const char *name);
/* By name, ascending; false ends it. What is shown lives during the call, and changes wait for its end: `row` calls
 * nothing of auth. NOT_FOUND where `name` is given and not there. */
VELOCITY_CHECK_RESULT velocity_status auth_users(struct auth *auth, const char *name,
                                                 bool (*row)(void *arg, const struct auth_user *user), void *arg);
/* INVALID: `old` is wrong. For a user who changes the own password; sessions but `keep_session` (an id, may be NULL)
 * end. BUSY: wrong too often, which counts for this user alone here, or too many passwords wait, or somebody else's
 * change is under way: it holds a thread while it hashes, and anyone may ask for it. CONFLICT: somebody else changed it
 * meanwhile; NOT_FOUND, UNSUPPORTED: as above. */
VELOCITY_CHECK_RESULT velocity_status auth_own_password(struct auth *auth, const char *name, const char *old,
                                                        const char *password, const char *keep_session);

/* ---- tokens and sessions (change) ------------------------------------------------------------------------------ */

#define AUTH_SECRET_BYTES 48 /* "vt_" or "vs_", 43 characters of base64url (256 bits), a NUL */

struct auth_secret_options {
    const char *name;          /* of a token, for people: up to 128 bytes of UTF-8 */
    int role;                  /* at most the user's: enum role, or -1: the user's */
    const struct scope *scope; /* inside the user's; NULL: the user's */
    int64_t expires_at_ms;     /* a token: at most 366 days from now. 0: 90 days; a session always lives 12 hours */
    bool browser;              /* a session to be sent in a cookie, with a CSRF token */
    /* Who asks for a token (NULL: the server itself). For oneself: inside its own rights, which are the defaults then,
     * and no longer than the token that it logged in with. For others: admin only. */
    const struct principal *by;
};

struct auth_secret {
    const char *id, *name, *user;
    enum role role; /* what it may do now */
    const struct scope *scope;
    int64_t created_at_ms, expires_at_ms;
    const char *csrf; /* a new browser session's; else "" */
    /* Of a new one: its own, which all above but `name` (the caller's) live in. The caller's to release. */
    struct principal *principal;
};

/* INVALID: beyond the user's rights or those of who asks, or an impossible end; NOT_FOUND: no such user; BUSY: it has
 * 1,000 of them. `secret` is shown now and never again; `out` (may be NULL) lives until its principal is released. */
VELOCITY_CHECK_RESULT velocity_status auth_token_create(struct auth *auth, const char *user,
                                                        const struct auth_secret_options *options,
                                                        char secret[AUTH_SECRET_BYTES], struct auth_secret *out);
/* For `principal`, as auth_password gave it. INVALID: its rights or its password have changed since. */
VELOCITY_CHECK_RESULT velocity_status auth_session_create(struct auth *auth, const struct principal *principal,
                                                          const struct auth_secret_options *options,
                                                          char secret[AUTH_SECRET_BYTES], struct auth_secret *out);
/* Of one user (NULL: of all), the newest first. `row` as above. */
VELOCITY_CHECK_RESULT velocity_status auth_tokens(struct auth *auth, const char *user,
                                                  bool (*row)(void *arg, const struct auth_secret *token), void *arg);
VELOCITY_CHECK_RESULT velocity_status auth_sessions(struct auth *auth, const char *user,
                                                    bool (*row)(void *arg, const struct auth_secret *session),
                                                    void *arg);
/* NOT_FOUND: no such id, or (user not NULL) another user's. */
VELOCITY_CHECK_RESULT velocity_status auth_token_revoke(struct auth *auth, const char *user, const char *id);
VELOCITY_CHECK_RESULT velocity_status auth_session_end(struct auth *auth, const char *user, const char *id);

/* Since the start, but for those of now. */
struct auth_stats {
    uint64_t users, tokens, sessions; /* now; of the latter, those that have just ended may be among them */
    uint64_t failures, bans, hashes, queue_full;
    uint64_t banned_now; /* addresses, and users at one */
};
void auth_stats(struct auth *auth, struct auth_stats *out);

/* ---- hashes (password.c) ---------------------------------------------------------------------------------------- */

#define PASSWORD_HASH_BYTES 128 /* of a PHC string, with a NUL */
/* argon2id with m=19456, t=2, p=1 (OWASP's second choice for it) and a fresh salt: some 70 ms and 19 MiB. */
VELOCITY_CHECK_RESULT velocity_status password_hash(velocity_slice password, char out[PASSWORD_HASH_BYTES]);
/* INVALID: not an argon2id PHC string, or its cost is beyond m=262144, t=10, p=4: verifying would be an attack on us.
 */
VELOCITY_CHECK_RESULT velocity_status password_hash_check(const char *hash);
/* OK, or NOT_FOUND where it is another password. */
VELOCITY_CHECK_RESULT velocity_status password_verify(const char *hash, velocity_slice password);

#endif
