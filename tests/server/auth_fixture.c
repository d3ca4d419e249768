/* auth_fixture.c - see auth_fixture.h. */
#include "tests/server/auth_fixture.h"

#include <argon2.h>
#include <ftw.h>
#include <semaphore.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *walk) {
    (void)status, (void)kind, (void)walk;
    return remove(path);
}

static int64_t wall_ms(void *arg) {
    return atomic_load(&((struct auth_fixture *)arg)->wall_ms);
}

static int64_t monotonic_ms(void *arg) {
    return atomic_load(&((struct auth_fixture *)arg)->monotonic_ms);
}

velocity_status auth_fixture_cheap_hash(velocity_slice password, char out[PASSWORD_HASH_BYTES]) {
    static _Atomic uint32_t salts;
    char salt[16];
    snprintf(salt, sizeof salt, "%015u", atomic_fetch_add(&salts, 1));
    int result =
        argon2id_hash_encoded(1, 8, 1, password.data, password.size, salt, sizeof salt, 16, out, PASSWORD_HASH_BYTES);
    return result == ARGON2_OK ? VELOCITY_OK : VELOCITY_NO_MEMORY;
}

const char *auth_fixture_hash(void) {
    static char hash[PASSWORD_HASH_BYTES];
    if (!hash[0]) assert_int_equal(auth_fixture_cheap_hash(velocity_str(PASSWORD), hash), VELOCITY_OK);
    return hash;
}

velocity_status auth_fixture_open_auth(struct auth_fixture *f, const struct auth_configured_user *users, size_t count) {
    struct auth_settings settings = {.users = users, .user_count = count, .max_auth_failures = 10, .ban_seconds = 60};
    struct auth_environment environment = {wall_ms, monotonic_ms, auth_fixture_cheap_hash, f};
    return auth_open_in(f->db, &settings, &environment, &f->auth);
}

velocity_status auth_fixture_configure(struct auth_fixture *f, const struct auth_configured_user *users, size_t count) {
    struct auth_settings settings = {.users = users, .user_count = count, .max_auth_failures = 10, .ban_seconds = 60};
    return auth_configure(f->auth, &settings);
}

int auth_fixture_set_up(void **state) {
    static struct auth_fixture f;
    f = (struct auth_fixture){.folder = "/tmp/velocity-auth-XXXXXX", .monotonic_ms = 1000000};
    /* The engine has a clock of its own, by which records expire. */
    atomic_store(&f.wall_ms, (int64_t)time(NULL) * 1000);
    if (!mkdtemp(f.folder) || velocity_open(f.folder, NULL, &f.db) != VELOCITY_OK) return -1;
    *state = &f;
    return auth_fixture_open_auth(&f, NULL, 0) == VELOCITY_OK ? 0 : -1;
}

int auth_fixture_tear_down(void **state) {
    struct auth_fixture *f = *state;
    auth_free(f->auth);
    velocity_status status = velocity_close(f->db);
    nftw(f->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    return status == VELOCITY_OK ? 0 : -1;
}

void auth_fixture_close_auth(struct auth_fixture *f) {
    auth_free(f->auth);
    f->auth = NULL;
    assert_int_equal(velocity_close(f->db), VELOCITY_OK);
    assert_int_equal(velocity_open(f->folder, NULL, &f->db), VELOCITY_OK);
}

void auth_fixture_reopen(struct auth_fixture *f, const struct auth_configured_user *users, size_t count) {
    auth_fixture_close_auth(f);
    assert_int_equal(auth_fixture_open_auth(f, users, count), VELOCITY_OK);
}

void auth_fixture_pass(struct auth_fixture *f, int64_t ms) {
    atomic_fetch_add(&f->wall_ms, ms);
    atomic_fetch_add(&f->monotonic_ms, ms);
}

void auth_fixture_user(struct auth_fixture *f, const char *name, enum role role) {
    struct auth_user_change change = {.password = PASSWORD, .role = (int)role};
    assert_int_equal(auth_user_create(f->auth, name, &change), VELOCITY_OK);
}

struct waiting_check {
    struct auth_check check;
    sem_t answered;
};

static void answered(struct auth_check *check) {
    (void)sem_post(&((struct waiting_check *)check)->answered);
}

/* A failure may be the one that bans; else only who is banned is told how long to wait. */
static void assert_seconds_fit(uint32_t retry_after_seconds, enum auth_result result) {
    if (result != AUTH_REFUSED) assert_int_equal(retry_after_seconds > 0, result == AUTH_BANNED);
}

enum auth_result auth_fixture_login(struct auth_fixture *f, const char *user, const char *password, const char *address,
                                    struct principal **out) {
    struct waiting_check waiting = {
        .check = {
            .user = velocity_str(user), .password = velocity_str(password), .address = address, .done = answered}};
    (void)sem_init(&waiting.answered, 0, 0);
    if (!auth_password(f->auth, &waiting.check))
        while (sem_wait(&waiting.answered) != 0) {
        }
    (void)sem_destroy(&waiting.answered);
    assert_int_equal(waiting.check.principal != NULL, waiting.check.result == AUTH_OK);
    assert_seconds_fit(waiting.check.retry_after_seconds, waiting.check.result);
    if (out)
        *out = waiting.check.principal;
    else
        principal_release(waiting.check.principal);
    return waiting.check.result;
}

enum auth_result auth_fixture_bearer(struct auth_fixture *f, const char *secret, struct principal **out) {
    struct principal *principal;
    uint32_t retry_after_seconds;
    enum auth_result result = auth_bearer(f->auth, velocity_str(secret), ADDRESS, &principal, &retry_after_seconds);
    assert_int_equal(principal != NULL, result == AUTH_OK);
    assert_seconds_fit(retry_after_seconds, result);
    if (out)
        *out = principal;
    else
        principal_release(principal);
    return result;
}

void auth_fixture_token(struct auth_fixture *f, const char *user, char secret[AUTH_SECRET_BYTES],
                        char id[LOGIN_ID_BYTES]) {
    struct auth_secret_options options = {.name = "a token", .role = -1};
    struct auth_secret made;
    assert_int_equal(auth_token_create(f->auth, user, &options, secret, &made), VELOCITY_OK);
    if (id) memcpy(id, made.id, LOGIN_ID_BYTES);
    principal_release(made.principal);
}

void auth_fixture_session(struct auth_fixture *f, const char *user, char secret[AUTH_SECRET_BYTES],
                          char id[LOGIN_ID_BYTES]) {
    struct auth_secret_options options = {.role = -1};
    struct auth_secret made;
    struct principal *principal;
    assert_int_equal(auth_fixture_login(f, user, PASSWORD, ADDRESS, &principal), AUTH_OK);
    assert_int_equal(auth_session_create(f->auth, principal, &options, secret, &made), VELOCITY_OK);
    if (id) memcpy(id, made.id, LOGIN_ID_BYTES);
    principal_release(made.principal);
    principal_release(principal);
}

bool auth_fixture_has_key(struct auth_fixture *f, const char *key) {
    velocity_status status = velocity_contains(f->db, velocity_str(key));
    assert_true(status == VELOCITY_OK || status == VELOCITY_NOT_FOUND);
    return status == VELOCITY_OK;
}
