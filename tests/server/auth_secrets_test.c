/* auth_secrets_test.c - tokens and sessions: what they may do, how they end, who may make them. */
#include "tests/server/auth_fixture.h"

#include <stdio.h>

#define DAY_MS (INT64_C(24) * 60 * 60 * 1000)

static int set_up(void **state) {
    if (auth_fixture_set_up(state) != 0) return -1;
    auth_fixture_user(*state, "admin", ROLE_ADMIN);
    auth_fixture_user(*state, "ann", ROLE_WRITE);
    return 0;
}

static struct scope of_prefix(const char *prefix) {
    struct scope scope;
    assert_true(scope_make(&scope, NULL, 0, (velocity_slice[]){velocity_str(prefix)}, 1));
    return scope;
}

static velocity_status make_token(struct auth_fixture *f, const char *user, const struct auth_secret_options *options,
                                  char secret[AUTH_SECRET_BYTES]) {
    return auth_token_create(f->auth, user, options, secret, NULL);
}

/* ---- tokens ----------------------------------------------------------------------------------------------------- */

static void a_token_stands_for_its_user(void **state) {
    struct auth_fixture *f = *state;
    struct auth_secret_options options = {.name = "b\xC3\xA4"
                                                  "ckup",
                                          .role = -1};
    struct auth_secret made;
    char secret[AUTH_SECRET_BYTES];
    struct principal *p;
    int64_t now = atomic_load(&f->wall_ms);
    assert_int_equal(auth_token_create(f->auth, "ann", &options, secret, &made), VELOCITY_OK);
    assert_int_equal(strlen(secret), AUTH_SECRET_TEXT_BYTES);
    assert_int_equal(strncmp(secret, "vt_", 3), 0);
    assert_string_equal(made.user, "ann");
    assert_string_equal(made.name, "b\xC3\xA4"
                                   "ckup");
    assert_string_equal(made.csrf, "");
    assert_int_equal(made.role, ROLE_WRITE);
    assert_true(scope_is_all(made.scope));
    assert_int_equal(made.created_at_ms, now);
    assert_int_equal(made.expires_at_ms, now + 90 * DAY_MS);
    assert_int_equal(auth_fixture_bearer(f, secret, &p), AUTH_OK);
    assert_string_equal(p->user, "ann");
    assert_int_equal(p->login, LOGIN_TOKEN);
    assert_string_equal(p->id, made.id);
    assert_int_equal(p->expires_at_ms, made.expires_at_ms);
    assert_false(p->by_cookie_allowed);
    principal_release(p);
    principal_release(made.principal);
}

static void what_is_no_token_is_refused(void **state) {
    struct auth_fixture *f = *state;
    char secret[AUTH_SECRET_BYTES], other[AUTH_SECRET_BYTES + 1];
    auth_fixture_token(f, "ann", secret, NULL);
    for (size_t i = 0; i < AUTH_SECRET_TEXT_BYTES; i++) {
        memcpy(other, secret, sizeof secret);
        other[i] ^= 1;
        assert_int_not_equal(auth_fixture_bearer(f, other, NULL), AUTH_OK);
    }
    memcpy(other, secret, sizeof secret);
    memcpy(other, "vs_", 3);
    assert_int_not_equal(auth_fixture_bearer(f, other, NULL), AUTH_OK);
    snprintf(other, sizeof other, "%sx", secret);
    assert_int_not_equal(auth_fixture_bearer(f, other, NULL), AUTH_OK);
    assert_int_not_equal(auth_fixture_bearer(f, "", NULL), AUTH_OK);
    assert_int_equal(auth_fixture_bearer(f, secret, NULL), AUTH_OK);
}

static void a_secret_is_on_disk_as_a_hash_only(void **state) {
    struct auth_fixture *f = *state;
    char token[AUTH_SECRET_BYTES], session[AUTH_SECRET_BYTES];
    size_t records = 0;
    auth_fixture_token(f, "ann", token, NULL);
    auth_fixture_session(f, "ann", session, NULL);
    velocity_iterator *it = velocity_iterator_new(f->db, NULL);
    for (; velocity_iterator_valid(it); velocity_iterator_next(it), records++) {
        velocity_slice value = velocity_iterator_value(it), key = velocity_iterator_key(it);
        assert_null(memmem(value.data, value.size, token + 3, AUTH_SECRET_TEXT_BYTES - 3));
        assert_null(memmem(value.data, value.size, session + 3, AUTH_SECRET_TEXT_BYTES - 3));
        assert_null(memmem(value.data, value.size, PASSWORD, strlen(PASSWORD)));
        assert_null(memmem(key.data, key.size, token + 3, 8));
    }
    velocity_iterator_free(it);
    assert_int_equal(records, 4);
}

static void a_token_ends_when_it_said(void **state) {
    struct auth_fixture *f = *state;
    struct auth_secret_options options = {.role = -1, .expires_at_ms = atomic_load(&f->wall_ms) + 5000};
    struct auth_stats stats;
    char secret[AUTH_SECRET_BYTES], next[AUTH_SECRET_BYTES];
    assert_int_equal(make_token(f, "ann", &options, secret), VELOCITY_OK);
    auth_fixture_pass(f, 4999);
    assert_int_equal(auth_fixture_bearer(f, secret, NULL), AUTH_OK);
    auth_fixture_pass(f, 1);
    assert_int_equal(auth_fixture_bearer(f, secret, NULL), AUTH_REFUSED);
    /* Its memory goes with the next that is made. */
    auth_fixture_token(f, "ann", next, NULL);
    auth_stats(f->auth, &stats);
    assert_int_equal(stats.tokens, 1);
}

static void a_token_that_ended_is_no_guess(void **state) {
    struct auth_fixture *f = *state;
    struct auth_secret_options options = {.role = -1, .expires_at_ms = atomic_load(&f->wall_ms) + 1};
    struct auth_stats stats;
    char secret[AUTH_SECRET_BYTES];
    assert_int_equal(make_token(f, "ann", &options, secret), VELOCITY_OK);
    auth_fixture_pass(f, 1);
    for (int i = 0; i < 1000; i++) assert_int_equal(auth_fixture_bearer(f, secret, NULL), AUTH_REFUSED);
    auth_stats(f->auth, &stats);
    assert_int_equal(stats.failures, 0);
}

static void who_guesses_secrets_is_banned_but_not_who_has_one(void **state) {
    struct auth_fixture *f = *state;
    char secret[AUTH_SECRET_BYTES], guess[AUTH_SECRET_BYTES];
    auth_fixture_token(f, "ann", secret, NULL);
    memcpy(guess, secret, sizeof guess);
    guess[10] ^= 1;
    for (int i = 0; i < 100; i++) assert_int_equal(auth_fixture_bearer(f, guess, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_bearer(f, guess, NULL), AUTH_BANNED);
    assert_int_equal(auth_fixture_bearer(f, "junk", NULL), AUTH_BANNED);
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, NULL), AUTH_BANNED);
    assert_int_equal(auth_fixture_bearer(f, secret, NULL), AUTH_OK);
    auth_fixture_pass(f, 60 * 1000);
    assert_int_equal(auth_fixture_bearer(f, guess, NULL), AUTH_REFUSED);
}

static void impossible_tokens_are_refused(void **state) {
    struct auth_fixture *f = *state;
    int64_t now = atomic_load(&f->wall_ms);
    char secret[AUTH_SECRET_BYTES] = "x", long_name[SECRET_NAME_MAX + 2];
    memset(long_name, 'n', sizeof long_name);
    long_name[SECRET_NAME_MAX + 1] = '\0';
    const struct auth_secret_options bad[] = {
        {.role = ROLE_ADMIN},
        {.role = ROLE_COUNT},
        {.role = -2},
        {.role = -1, .expires_at_ms = now},
        {.role = -1, .expires_at_ms = 1},
        {.role = -1, .expires_at_ms = -1},
        {.role = -1, .expires_at_ms = now + 366 * DAY_MS + 1},
        {.role = -1, .name = long_name},
        {.role = -1, .name = "a\nb"},
        {.role = -1, .name = "\xFF"},
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(make_token(f, "ann", &bad[i], secret), VELOCITY_INVALID);
        assert_string_equal(secret, "");
    }
    assert_int_equal(make_token(f, "ben", &(struct auth_secret_options){.role = -1}, secret), VELOCITY_NOT_FOUND);
    long_name[SECRET_NAME_MAX] = '\0';
    const struct auth_secret_options good = {.role = -1, .name = long_name, .expires_at_ms = now + 366 * DAY_MS};
    assert_int_equal(make_token(f, "ann", &good, secret), VELOCITY_OK);
}

/* ---- rights ----------------------------------------------------------------------------------------------------- */

static void a_token_may_do_less_than_its_user_and_never_more(void **state) {
    struct auth_fixture *f = *state;
    struct scope k = of_prefix("k"), k1 = of_prefix("k1"), l = of_prefix("l");
    struct auth_user_change narrow = {.role = -1, .scope = &k};
    struct auth_secret_options inside = {.role = ROLE_READ, .scope = &k1}, outside = {.role = -1, .scope = &l};
    char secret[AUTH_SECRET_BYTES];
    struct principal *p;
    assert_int_equal(auth_user_change(f->auth, "ann", &narrow), VELOCITY_OK);
    assert_int_equal(make_token(f, "ann", &outside, secret), VELOCITY_INVALID);
    assert_int_equal(make_token(f, "ann", &inside, secret), VELOCITY_OK);
    assert_int_equal(auth_fixture_bearer(f, secret, &p), AUTH_OK);
    assert_int_equal(p->role, ROLE_READ);
    assert_true(scope_has_key(&p->scope, velocity_str("k1")));
    assert_false(scope_has_key(&p->scope, velocity_str("k2")));
    principal_release(p);
    scope_free(&k);
    scope_free(&k1);
    scope_free(&l);
}

static void a_token_follows_its_user_s_rights(void **state) {
    struct auth_fixture *f = *state;
    struct scope k = of_prefix("k"), l = of_prefix("l"), all = {0};
    struct auth_user_change to_monitor = {.role = ROLE_MONITOR, .scope = &k}, to_l = {.role = -1, .scope = &l},
                            back = {.role = ROLE_WRITE, .scope = &all};
    struct auth_secret_options of_k = {.role = ROLE_READ, .scope = &k};
    char follows[AUTH_SECRET_BYTES], own[AUTH_SECRET_BYTES];
    struct principal *p, *held;
    auth_fixture_token(f, "ann", follows, NULL);
    assert_int_equal(make_token(f, "ann", &of_k, own), VELOCITY_OK);
    assert_int_equal(auth_fixture_bearer(f, follows, &held), AUTH_OK);
    uint64_t before = auth_generation(f->auth);
    assert_int_equal(auth_user_change(f->auth, "ann", &to_monitor), VELOCITY_OK);
    assert_true(auth_generation(f->auth) > before);
    assert_int_equal(auth_fixture_bearer(f, follows, &p), AUTH_OK);
    assert_int_equal(p->role, ROLE_MONITOR);
    assert_int_equal(p->scope.prefix_count, 1);
    assert_int_equal(held->role, ROLE_WRITE); /* one that was given out does not change */
    principal_release(held);
    principal_release(p);
    assert_int_equal(auth_fixture_bearer(f, own, &p), AUTH_OK);
    assert_int_equal(p->role, ROLE_MONITOR);
    principal_release(p);
    /* Nothing in common: refused, not everywhere. */
    assert_int_equal(auth_user_change(f->auth, "ann", &to_l), VELOCITY_OK);
    assert_int_equal(auth_fixture_bearer(f, own, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_bearer(f, follows, NULL), AUTH_OK);
    assert_int_equal(auth_user_change(f->auth, "ann", &back), VELOCITY_OK);
    assert_int_equal(auth_fixture_bearer(f, own, &p), AUTH_OK);
    assert_int_equal(p->role, ROLE_READ);
    assert_false(scope_is_all(&p->scope));
    principal_release(p);
    scope_free(&k);
    scope_free(&l);
}

static void a_narrowed_token_makes_none_wider_or_longer_than_itself(void **state) {
    struct auth_fixture *f = *state;
    struct scope k = of_prefix("k"), all = {0};
    int64_t now = atomic_load(&f->wall_ms);
    struct auth_secret_options narrow = {.role = ROLE_READ, .scope = &k, .expires_at_ms = now + DAY_MS};
    char secret[AUTH_SECRET_BYTES], made[AUTH_SECRET_BYTES];
    struct principal *by, *p;
    assert_int_equal(make_token(f, "ann", &narrow, secret), VELOCITY_OK);
    assert_int_equal(auth_fixture_bearer(f, secret, &by), AUTH_OK);
    struct auth_secret_options plain = {.role = -1, .by = by}, role = {.role = ROLE_WRITE, .by = by},
                               scope = {.role = -1, .scope = &all, .by = by},
                               end = {.role = -1, .expires_at_ms = now + DAY_MS + 1, .by = by};
    assert_int_equal(make_token(f, "ann", &role, made), VELOCITY_INVALID);
    assert_int_equal(make_token(f, "ann", &scope, made), VELOCITY_INVALID);
    assert_int_equal(make_token(f, "ann", &end, made), VELOCITY_INVALID);
    assert_int_equal(make_token(f, "admin", &plain, made), VELOCITY_INVALID);
    assert_int_equal(make_token(f, "ann", &plain, made), VELOCITY_OK);
    assert_int_equal(auth_fixture_bearer(f, made, &p), AUTH_OK);
    assert_int_equal(p->role, ROLE_READ);
    assert_int_equal(p->scope.prefix_count, 1);
    assert_int_equal(p->expires_at_ms, now + DAY_MS);
    principal_release(p);
    principal_release(by);
    scope_free(&k);
}

static void an_admin_makes_tokens_for_others_within_their_rights(void **state) {
    struct auth_fixture *f = *state;
    char made[AUTH_SECRET_BYTES];
    struct principal *admin, *p;
    assert_int_equal(auth_fixture_login(f, "admin", PASSWORD, ADDRESS, &admin), AUTH_OK);
    struct auth_secret_options plain = {.role = -1, .by = admin}, role = {.role = ROLE_ADMIN, .by = admin};
    assert_int_equal(make_token(f, "ann", &role, made), VELOCITY_INVALID);
    assert_int_equal(make_token(f, "ann", &plain, made), VELOCITY_OK);
    assert_int_equal(auth_fixture_bearer(f, made, &p), AUTH_OK);
    assert_string_equal(p->user, "ann");
    assert_int_equal(p->role, ROLE_WRITE);
    principal_release(p);
    principal_release(admin);
}

static void tokens_and_sessions_go_with_their_user(void **state) {
    struct auth_fixture *f = *state;
    char token[AUTH_SECRET_BYTES], session[AUTH_SECRET_BYTES], other[AUTH_SECRET_BYTES], id[LOGIN_ID_BYTES],
        key[AUTH_KEY_BYTES];
    auth_fixture_token(f, "ann", token, id);
    auth_fixture_session(f, "ann", session, NULL);
    auth_fixture_token(f, "admin", other, NULL);
    snprintf(key, sizeof key, "token/%s", id);
    assert_true(auth_fixture_has_key(f, key));
    assert_int_equal(auth_user_delete(f->auth, "ann"), VELOCITY_OK);
    assert_false(auth_fixture_has_key(f, key));
    auth_fixture_user(f, "ann", ROLE_READ);
    assert_int_equal(auth_fixture_bearer(f, token, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_bearer(f, session, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_bearer(f, other, NULL), AUTH_OK);
}

/* ---- sessions --------------------------------------------------------------------------------------------------- */

static void a_session_lives_for_twelve_hours(void **state) {
    struct auth_fixture *f = *state;
    char secret[AUTH_SECRET_BYTES];
    struct principal *p;
    auth_fixture_session(f, "ann", secret, NULL);
    assert_int_equal(strncmp(secret, "vs_", 3), 0);
    assert_int_equal(auth_fixture_bearer(f, secret, &p), AUTH_OK);
    assert_int_equal(p->login, LOGIN_SESSION);
    assert_false(p->by_cookie_allowed);
    assert_string_equal(p->csrf, "");
    principal_release(p);
    auth_fixture_pass(f, DAY_MS / 2 - 1);
    assert_int_equal(auth_fixture_bearer(f, secret, NULL), AUTH_OK);
    auth_fixture_pass(f, 1);
    assert_int_equal(auth_fixture_bearer(f, secret, NULL), AUTH_REFUSED);
}

static void a_browser_s_session_has_a_csrf_token_that_stays(void **state) {
    struct auth_fixture *f = *state;
    struct auth_secret_options options = {.role = -1, .browser = true};
    struct auth_secret made;
    char secret[AUTH_SECRET_BYTES], csrf[65];
    struct principal *p;
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, &p), AUTH_OK);
    assert_int_equal(auth_session_create(f->auth, p, &options, secret, &made), VELOCITY_OK);
    principal_release(p);
    assert_int_equal(strlen(made.csrf), 64);
    memcpy(csrf, made.csrf, sizeof csrf);
    principal_release(made.principal);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(auth_fixture_bearer(f, secret, &p), AUTH_OK);
        assert_true(p->by_cookie_allowed);
        assert_string_equal(p->csrf, csrf);
        principal_release(p);
        auth_fixture_reopen(f, NULL, 0);
    }
}

static void a_session_needs_a_password_that_is_right_now(void **state) {
    struct auth_fixture *f = *state;
    struct auth_secret_options options = {.role = -1};
    struct auth_user_change change = {.password = "another one", .role = -1};
    char secret[AUTH_SECRET_BYTES], token[AUTH_SECRET_BYTES];
    struct principal *by_password, *by_token, *nobody = auth_nobody(f->auth);
    auth_fixture_token(f, "ann", token, NULL);
    assert_int_equal(auth_fixture_bearer(f, token, &by_token), AUTH_OK);
    assert_int_equal(auth_session_create(f->auth, by_token, &options, secret, NULL), VELOCITY_INVALID);
    assert_int_equal(auth_session_create(f->auth, nobody, &options, secret, NULL), VELOCITY_INVALID);
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, &by_password), AUTH_OK);
    assert_int_equal(auth_user_change(f->auth, "ann", &change), VELOCITY_OK);
    assert_int_equal(auth_session_create(f->auth, by_password, &options, secret, NULL), VELOCITY_INVALID);
    principal_release(by_password);
    principal_release(by_token);
    principal_release(nobody);
}

static void another_password_ends_the_sessions_and_not_the_tokens(void **state) {
    struct auth_fixture *f = *state;
    struct auth_user_change role = {.role = ROLE_READ}, password = {.password = "another one", .role = -1};
    char token[AUTH_SECRET_BYTES], session[AUTH_SECRET_BYTES];
    auth_fixture_token(f, "ann", token, NULL);
    auth_fixture_session(f, "ann", session, NULL);
    assert_int_equal(auth_user_change(f->auth, "ann", &role), VELOCITY_OK);
    assert_int_equal(auth_fixture_bearer(f, session, NULL), AUTH_OK);
    assert_int_equal(auth_user_change(f->auth, "ann", &password), VELOCITY_OK);
    assert_int_equal(auth_fixture_bearer(f, session, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_bearer(f, token, NULL), AUTH_OK);
}

/* ---- listing and taking back ------------------------------------------------------------------------------------ */

struct listed {
    size_t count;
    char names[400];
    size_t at_most;
};

static bool write_down(void *arg, const struct auth_secret *secret) {
    struct listed *listed = arg;
    listed->count++;
    snprintf(listed->names + strlen(listed->names), sizeof listed->names - strlen(listed->names), "%s/%s/%s ",
             secret->user, secret->name, role_name(secret->role));
    assert_int_equal(strlen(secret->id), 32);
    assert_non_null(secret->scope);
    assert_string_equal(secret->csrf, "");
    return listed->count < listed->at_most;
}

static void tokens_and_sessions_are_listed_the_newest_first(void **state) {
    struct auth_fixture *f = *state;
    static const char *const names[] = {"one", "two", "three"};
    char secret[AUTH_SECRET_BYTES];
    for (size_t i = 0; i < COUNT(names); i++) {
        struct auth_secret_options options = {
            .name = names[i], .role = ROLE_READ, .expires_at_ms = atomic_load(&f->wall_ms) + 1000};
        assert_int_equal(make_token(f, i == 1 ? "admin" : "ann", &options, secret), VELOCITY_OK);
        auth_fixture_pass(f, 1);
    }
    auth_fixture_session(f, "ann", secret, NULL);
    struct listed all = {.at_most = 9}, of_ann = {.at_most = 9}, first = {.at_most = 1}, sessions = {.at_most = 9},
                  late = {.at_most = 9};
    assert_int_equal(auth_tokens(f->auth, NULL, write_down, &all), VELOCITY_OK);
    assert_string_equal(all.names, "ann/three/read admin/two/read ann/one/read ");
    assert_int_equal(auth_tokens(f->auth, "ann", write_down, &of_ann), VELOCITY_OK);
    assert_string_equal(of_ann.names, "ann/three/read ann/one/read ");
    assert_int_equal(auth_tokens(f->auth, NULL, write_down, &first), VELOCITY_OK);
    assert_int_equal(first.count, 1);
    assert_int_equal(auth_sessions(f->auth, "ann", write_down, &sessions), VELOCITY_OK);
    assert_string_equal(sessions.names, "ann//write ");
    auth_fixture_pass(f, 998);
    assert_int_equal(auth_tokens(f->auth, NULL, write_down, &late), VELOCITY_OK);
    assert_string_equal(late.names, "ann/three/read "); /* the others have ended */
}

static void what_is_taken_back_ends_at_once_and_for_good(void **state) {
    struct auth_fixture *f = *state;
    char token[AUTH_SECRET_BYTES], session[AUTH_SECRET_BYTES], token_id[LOGIN_ID_BYTES], session_id[LOGIN_ID_BYTES];
    auth_fixture_token(f, "ann", token, token_id);
    auth_fixture_session(f, "ann", session, session_id);
    assert_int_equal(auth_token_revoke(f->auth, "admin", token_id), VELOCITY_NOT_FOUND);
    assert_int_equal(auth_token_revoke(f->auth, "ann", session_id), VELOCITY_NOT_FOUND);
    assert_int_equal(auth_token_revoke(f->auth, NULL, "junk"), VELOCITY_NOT_FOUND);
    assert_int_equal(auth_session_end(f->auth, NULL, "00000000000000000000000000000000"), VELOCITY_NOT_FOUND);
    uint64_t before = auth_generation(f->auth);
    assert_int_equal(auth_token_revoke(f->auth, "ann", token_id), VELOCITY_OK);
    assert_int_equal(auth_session_end(f->auth, NULL, session_id), VELOCITY_OK);
    assert_int_equal(auth_generation(f->auth), before + 2);
    assert_int_equal(auth_token_revoke(f->auth, "ann", token_id), VELOCITY_NOT_FOUND);
    assert_int_equal(auth_fixture_bearer(f, token, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_bearer(f, session, NULL), AUTH_REFUSED);
    auth_fixture_reopen(f, NULL, 0);
    assert_int_equal(auth_fixture_bearer(f, token, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_bearer(f, session, NULL), AUTH_REFUSED);
}

static void who_was_let_in_holds_until_something_of_theirs_is_taken_back(void **state) {
    struct auth_fixture *f = *state;
    char token[AUTH_SECRET_BYTES], token_id[LOGIN_ID_BYTES], session[AUTH_SECRET_BYTES], session_id[LOGIN_ID_BYTES];
    struct principal *by_token, *by_session, *by_password;
    struct auth_user_change password = {.password = "another one", .role = -1}, narrower = {.role = ROLE_READ};
    auth_fixture_user(f, "eve", ROLE_WRITE);
    auth_fixture_token(f, "eve", token, token_id);
    auth_fixture_session(f, "eve", session, session_id);
    assert_int_equal(auth_fixture_bearer(f, token, &by_token), AUTH_OK);
    assert_int_equal(auth_fixture_bearer(f, session, &by_session), AUTH_OK);
    assert_int_equal(auth_fixture_login(f, "eve", PASSWORD, ADDRESS, &by_password), AUTH_OK);
    assert_true(auth_holds(f->auth, by_token) && auth_holds(f->auth, by_session) && auth_holds(f->auth, by_password));
    assert_int_equal(auth_user_delete(f->auth, "ann"), VELOCITY_OK);
    assert_true(auth_holds(f->auth, by_token) && auth_holds(f->auth, by_session) && auth_holds(f->auth, by_password));

    assert_int_equal(auth_user_change(f->auth, "eve", &password), VELOCITY_OK);
    assert_true(auth_holds(f->auth, by_token)); /* a token goes on with another password */
    assert_false(auth_holds(f->auth, by_session) || auth_holds(f->auth, by_password));
    assert_int_equal(auth_user_change(f->auth, "eve", &narrower), VELOCITY_OK);
    assert_false(auth_holds(f->auth, by_token));
    principal_release(by_token);
    assert_int_equal(auth_fixture_bearer(f, token, &by_token), AUTH_OK);
    assert_true(auth_holds(f->auth, by_token));
    assert_int_equal(auth_token_revoke(f->auth, "eve", token_id), VELOCITY_OK);
    assert_false(auth_holds(f->auth, by_token));
    principal_release(by_token);
    principal_release(by_session);
    principal_release(by_password);

    struct principal *open = auth_nobody(f->auth);
    assert_false(auth_holds(f->auth, open));
    principal_release(open);
}

static void a_new_token_makes_nothing_that_was_verified_wrong(void **state) {
    struct auth_fixture *f = *state;
    char secret[AUTH_SECRET_BYTES];
    uint64_t before = auth_generation(f->auth);
    auth_fixture_token(f, "ann", secret, NULL);
    auth_fixture_session(f, "ann", secret, NULL);
    assert_int_equal(auth_generation(f->auth), before);
}

/* Ann's, in one write; every other one ends at `soon_ms`. */
static void store_tokens(struct auth_fixture *f, int count, int64_t soon_ms) {
    velocity_batch *batch = velocity_batch_new();
    for (int i = 0; i < count; i++) {
        struct secret token = {.kind = SECRET_TOKEN,
                               .user = "ann",
                               .role = -1,
                               .created_at_ms = 1,
                               .expires_at_ms = i % 2 ? soon_ms : soon_ms + DAY_MS};
        digest_of(velocity_bytes(&i, sizeof i), token.digest);
        assert_int_equal(record_put_secret(batch, &token), VELOCITY_OK);
    }
    assert_int_equal(velocity_write(f->db, batch, NULL, NULL), VELOCITY_OK);
    velocity_batch_free(batch);
}

static void a_user_has_a_thousand_tokens_at_most(void **state) {
    struct auth_fixture *f = *state;
    int64_t soon_ms = atomic_load(&f->wall_ms) + DAY_MS;
    struct auth_secret_options options = {.role = -1};
    struct auth_stats stats;
    char secret[AUTH_SECRET_BYTES];
    store_tokens(f, AUTH_SECRETS_PER_USER - 1, soon_ms);
    auth_fixture_reopen(f, NULL, 0);
    assert_int_equal(make_token(f, "ann", &options, secret), VELOCITY_OK);
    assert_int_equal(make_token(f, "ann", &options, secret), VELOCITY_BUSY);
    assert_int_equal(make_token(f, "admin", &options, secret), VELOCITY_OK);
    auth_stats(f->auth, &stats);
    assert_int_equal(stats.tokens, AUTH_SECRETS_PER_USER + 1);
    /* Those that ended make room, and are the only ones that go. */
    atomic_store(&f->wall_ms, soon_ms);
    assert_int_equal(make_token(f, "ann", &options, secret), VELOCITY_OK);
    auth_stats(f->auth, &stats);
    assert_int_equal(stats.tokens, AUTH_SECRETS_PER_USER / 2 + 3);
    for (int i = 0; i < AUTH_SECRETS_PER_USER - 1; i++) {
        uint8_t digest[DIGEST_BYTES];
        digest_of(velocity_bytes(&i, sizeof i), digest);
        assert_int_equal(secret_table_find(&f->auth->secrets, digest) != NULL, i % 2 == 0);
    }
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, auth_fixture_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH(a_token_stands_for_its_user),
        WITH(what_is_no_token_is_refused),
        WITH(a_secret_is_on_disk_as_a_hash_only),
        WITH(a_token_ends_when_it_said),
        WITH(a_token_that_ended_is_no_guess),
        WITH(who_guesses_secrets_is_banned_but_not_who_has_one),
        WITH(impossible_tokens_are_refused),
        WITH(a_token_may_do_less_than_its_user_and_never_more),
        WITH(a_token_follows_its_user_s_rights),
        WITH(a_narrowed_token_makes_none_wider_or_longer_than_itself),
        WITH(an_admin_makes_tokens_for_others_within_their_rights),
        WITH(tokens_and_sessions_go_with_their_user),
        WITH(a_session_lives_for_twelve_hours),
        WITH(a_browser_s_session_has_a_csrf_token_that_stays),
        WITH(a_session_needs_a_password_that_is_right_now),
        WITH(another_password_ends_the_sessions_and_not_the_tokens),
        WITH(tokens_and_sessions_are_listed_the_newest_first),
        WITH(what_is_taken_back_ends_at_once_and_for_good),
        WITH(who_was_let_in_holds_until_something_of_theirs_is_taken_back),
        WITH(a_new_token_makes_nothing_that_was_verified_wrong),
        WITH(a_user_has_a_thousand_tokens_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
