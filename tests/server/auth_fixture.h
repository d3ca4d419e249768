/*
 * auth_fixture.h - users over a database of their own, with clocks that stand still until they are moved, and hashes
 * that cost nothing.
 */
#ifndef VELOCITY_TESTS_AUTH_FIXTURE_H
#define VELOCITY_TESTS_AUTH_FIXTURE_H

#include "tests/server/cmocka_all.h"

#include "server/auth_internal.h"

struct auth_fixture {
    char folder[64];
    velocity *db;
    struct auth *auth;
    _Atomic int64_t wall_ms, monotonic_ms;
};

#define ADDRESS  "192.0.2.1"
#define PASSWORD "correct horse"

/* A database without users. Settings are: ten failures ban for a minute. */
int auth_fixture_set_up(void **state);
int auth_fixture_tear_down(void **state);
/* Opens them again, from the database; with these configured users. */
void auth_fixture_reopen(struct auth_fixture *f, const struct auth_configured_user *users, size_t count);
velocity_status auth_fixture_configure(struct auth_fixture *f, const struct auth_configured_user *users, size_t count);
/* Closes database and users, and opens the database alone. */
void auth_fixture_close_auth(struct auth_fixture *f);
velocity_status auth_fixture_open_auth(struct auth_fixture *f, const struct auth_configured_user *users, size_t count);
void auth_fixture_pass(struct auth_fixture *f, int64_t ms); /* both clocks */

/* A hash of PASSWORD that costs nothing; static. */
const char *auth_fixture_hash(void);
velocity_status auth_fixture_cheap_hash(velocity_slice password, char out[PASSWORD_HASH_BYTES]);

/* With PASSWORD and everywhere; asserts that it worked. */
void auth_fixture_user(struct auth_fixture *f, const char *name, enum role role);
/* Asks and waits. The principal, where it is OK, is released where `out` is NULL. */
enum auth_result auth_fixture_login(struct auth_fixture *f, const char *user, const char *password, const char *address,
                                    struct principal **out);
enum auth_result auth_fixture_bearer(struct auth_fixture *f, const char *secret, struct principal **out);
/* A token of the user's own rights; asserts that it worked. id may be NULL. */
void auth_fixture_token(struct auth_fixture *f, const char *user, char secret[AUTH_SECRET_BYTES],
                        char id[LOGIN_ID_BYTES]);
void auth_fixture_session(struct auth_fixture *f, const char *user, char secret[AUTH_SECRET_BYTES],
                          char id[LOGIN_ID_BYTES]);
/* Whether the database holds such a key. */
bool auth_fixture_has_key(struct auth_fixture *f, const char *key);

#endif
