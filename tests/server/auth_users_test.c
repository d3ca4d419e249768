/* auth_users_test.c - making, changing, deleting and listing users; those of the configuration; the last admin. */
#include "tests/server/auth_fixture.h"

#include <stdio.h>

static struct auth_configured_user configured(const char *name, enum role role) {
    return (struct auth_configured_user){.name = name, .password = auth_fixture_hash(), .role = role};
}

/* ---- making ----------------------------------------------------------------------------------------------------- */

static void without_users_everyone_is_admin_and_is_told_so(void **state) {
    struct auth_fixture *f = *state;
    assert_false(auth_has_users(f->auth));
    struct principal *p = auth_nobody(f->auth);
    assert_string_equal(p->user, "");
    assert_int_equal(p->login, LOGIN_OPEN);
    assert_true(principal_may(p, PERMISSION_ADMIN));
    assert_non_null(p->bucket);
    principal_release(p);
}

static void the_first_user_is_admin_whatever_it_asks_for(void **state) {
    struct auth_fixture *f = *state;
    struct scope scope;
    struct principal *p;
    assert_true(scope_make(&scope, (const char *const[]){"default"}, 1, NULL, 0));
    struct auth_user_change change = {.password = PASSWORD, .role = ROLE_MONITOR, .scope = &scope};
    uint64_t before = auth_generation(f->auth);
    assert_int_equal(auth_user_create(f->auth, "first", &change), VELOCITY_OK);
    assert_true(auth_has_users(f->auth));
    assert_true(auth_generation(f->auth) > before);
    assert_int_equal(auth_fixture_login(f, "first", PASSWORD, ADDRESS, &p), AUTH_OK);
    assert_true(principal_may(p, PERMISSION_ADMIN));
    principal_release(p);
    /* The second gets what it asks for. */
    assert_int_equal(auth_user_create(f->auth, "second", &change), VELOCITY_OK);
    assert_int_equal(auth_fixture_login(f, "second", PASSWORD, ADDRESS, &p), AUTH_OK);
    assert_int_equal(p->role, ROLE_MONITOR);
    assert_true(scope_covers(&scope, &p->scope) && scope_covers(&p->scope, &scope));
    principal_release(p);
    scope_free(&scope);
}

static void who_asks_for_no_role_may_write(void **state) {
    struct auth_fixture *f = *state;
    struct auth_user_change change = {.password = PASSWORD, .role = -1};
    struct principal *p;
    auth_fixture_user(f, "admin", ROLE_ADMIN);
    assert_int_equal(auth_user_create(f->auth, "ann", &change), VELOCITY_OK);
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, &p), AUTH_OK);
    assert_int_equal(p->role, ROLE_WRITE);
    assert_true(scope_is_all(&p->scope));
    principal_release(p);
}

static void names_and_passwords_have_rules(void **state) {
    struct auth_fixture *f = *state;
    static const char *const bad[] = {"",
                                      ".a",
                                      "-a",
                                      "_a",
                                      "@a",
                                      "a b",
                                      "a/b",
                                      "a\n",
                                      "\xC3\xA4",
                                      "a:b",
                                      "a\"",
                                      "token/x",
                                      "0123456789012345678901234567890123456789012345678901234567890123x"};
    static const char *const good[] = {"a", "0", "A.b_c-d@example.org",
                                       "0123456789012345678901234567890123456789012345678901234567890123"};
    static char long_password[AUTH_PASSWORD_MAX + 2];
    struct auth_user_change change = {.password = PASSWORD, .role = -1}, no_password = {.role = -1},
                            role = {.password = PASSWORD, .role = ROLE_COUNT};
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(auth_user_create(f->auth, bad[i], &change), VELOCITY_INVALID);
    for (size_t i = 0; i < COUNT(good); i++) assert_int_equal(auth_user_create(f->auth, good[i], &change), VELOCITY_OK);
    assert_int_equal(auth_user_create(f->auth, "ann", &no_password), VELOCITY_INVALID);
    assert_int_equal(auth_user_create(f->auth, "ann", &role), VELOCITY_INVALID);
    change.password = "seven77";
    assert_int_equal(auth_user_create(f->auth, "ann", &change), VELOCITY_INVALID);
    assert_int_equal(auth_user_change(f->auth, "a", &change), VELOCITY_INVALID);
    memset(long_password, 'x', AUTH_PASSWORD_MAX + 1);
    change.password = long_password;
    assert_int_equal(auth_user_create(f->auth, "ann", &change), VELOCITY_INVALID);
    long_password[AUTH_PASSWORD_MAX] = '\0';
    assert_int_equal(auth_user_create(f->auth, "ann", &change), VELOCITY_OK);
    assert_int_equal(auth_fixture_login(f, "ann", long_password, ADDRESS, NULL), AUTH_OK);
}

static void a_name_is_taken_once(void **state) {
    struct auth_fixture *f = *state;
    struct auth_user_change change = {.password = "another one", .role = -1};
    struct auth_stats before, after;
    auth_fixture_user(f, "ann", ROLE_ADMIN);
    auth_stats(f->auth, &before);
    assert_int_equal(auth_user_create(f->auth, "ann", &change), VELOCITY_CONFLICT);
    auth_stats(f->auth, &after);
    assert_int_equal(after.hashes, before.hashes); /* and costs nothing */
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, NULL), AUTH_OK);
}

/* ---- changing and deleting -------------------------------------------------------------------------------------- */

static void a_change_leaves_what_it_does_not_name(void **state) {
    struct auth_fixture *f = *state;
    struct scope scope;
    struct principal *p;
    assert_true(scope_make(&scope, NULL, 0, (velocity_slice[]){velocity_str("k")}, 1));
    struct auth_user_change narrow = {.role = -1, .scope = &scope}, weaken = {.role = ROLE_READ};
    auth_fixture_user(f, "admin", ROLE_ADMIN);
    auth_fixture_user(f, "ann", ROLE_WRITE);
    uint64_t before = auth_generation(f->auth);
    assert_int_equal(auth_user_change(f->auth, "ann", &narrow), VELOCITY_OK);
    assert_int_equal(auth_user_change(f->auth, "ann", &weaken), VELOCITY_OK);
    assert_int_equal(auth_generation(f->auth), before + 2);
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, &p), AUTH_OK);
    assert_int_equal(p->role, ROLE_READ);
    assert_int_equal(p->scope.prefix_count, 1);
    principal_release(p);
    scope_free(&scope);
    assert_int_equal(auth_user_change(f->auth, "ben", &weaken), VELOCITY_NOT_FOUND);
}

static void a_change_of_one_part_of_a_scope_keeps_the_other_as_it_is_by_then(void **state) {
    struct auth_fixture *f = *state;
    struct scope databases, prefixes, both;
    struct principal *p;
    velocity_slice prefix = velocity_str("k");
    assert_true(scope_make(&databases, (const char *const[]){"default"}, 1, NULL, 0));
    assert_true(scope_make(&prefixes, NULL, 0, &prefix, 1));
    assert_true(scope_make(&both, (const char *const[]){"default"}, 1, &prefix, 1));
    struct auth_user_change first = {.role = -1, .scope = &databases, .keep_prefixes = true},
                            second = {.role = -1, .scope = &prefixes, .keep_databases = true},
                            neither = {.role = -1, .scope = &prefixes, .keep_databases = true, .keep_prefixes = true};
    auth_fixture_user(f, "admin", ROLE_ADMIN);
    auth_fixture_user(f, "ann", ROLE_WRITE);
    /* Both were made of what was there before either. */
    assert_int_equal(auth_user_change(f->auth, "ann", &first), VELOCITY_OK);
    assert_int_equal(auth_user_change(f->auth, "ann", &second), VELOCITY_OK);
    scope_free(&prefixes);
    assert_true(scope_make(&prefixes, NULL, 0, NULL, 0));
    assert_int_equal(auth_user_change(f->auth, "ann", &neither), VELOCITY_OK);
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, &p), AUTH_OK);
    assert_true(scope_covers(&both, &p->scope) && scope_covers(&p->scope, &both));
    principal_release(p);
    scope_free(&databases);
    scope_free(&both);
}

static void the_last_admin_can_t_go(void **state) {
    struct auth_fixture *f = *state;
    struct scope scope;
    assert_true(scope_make(&scope, (const char *const[]){"default"}, 1, NULL, 0));
    struct auth_user_change weaken = {.role = ROLE_WRITE}, narrow = {.role = -1, .scope = &scope},
                            password = {.password = "another one", .role = -1};
    auth_fixture_user(f, "admin", ROLE_ADMIN);
    auth_fixture_user(f, "ann", ROLE_ADMIN);
    /* An admin with a scope is none. */
    assert_int_equal(auth_user_change(f->auth, "ann", &narrow), VELOCITY_OK);
    assert_int_equal(auth_user_delete(f->auth, "admin"), VELOCITY_CONFLICT);
    assert_int_equal(auth_user_change(f->auth, "admin", &weaken), VELOCITY_CONFLICT);
    assert_int_equal(auth_user_change(f->auth, "admin", &narrow), VELOCITY_CONFLICT);
    assert_int_equal(auth_user_change(f->auth, "admin", &password), VELOCITY_OK);
    assert_int_equal(auth_fixture_login(f, "admin", "another one", ADDRESS, NULL), AUTH_OK);
    auth_fixture_user(f, "ben", ROLE_ADMIN);
    assert_int_equal(auth_user_delete(f->auth, "admin"), VELOCITY_OK);
    assert_int_equal(auth_user_delete(f->auth, "ann"), VELOCITY_OK);
    assert_int_equal(auth_user_delete(f->auth, "ben"), VELOCITY_CONFLICT);
    assert_true(auth_has_users(f->auth));
    scope_free(&scope);
}

static void a_configured_admin_counts_as_one(void **state) {
    struct auth_fixture *f = *state;
    struct auth_configured_user users[] = {configured("root", ROLE_ADMIN)};
    auth_fixture_user(f, "admin", ROLE_ADMIN);
    assert_int_equal(auth_fixture_configure(f, users, 1), VELOCITY_OK);
    assert_int_equal(auth_user_delete(f->auth, "admin"), VELOCITY_OK);
}

static void a_deleted_user_is_gone_and_the_name_free(void **state) {
    struct auth_fixture *f = *state;
    struct principal *held, *again;
    auth_fixture_user(f, "admin", ROLE_ADMIN);
    auth_fixture_user(f, "ann", ROLE_READ);
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, &held), AUTH_OK);
    assert_int_equal(auth_user_delete(f->auth, "ann"), VELOCITY_OK);
    assert_int_equal(auth_user_delete(f->auth, "ann"), VELOCITY_NOT_FOUND);
    assert_false(auth_fixture_has_key(f, "user/ann"));
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, NULL), AUTH_REFUSED);
    /* Who still holds the principal can use it; who comes back has the same bucket. */
    assert_true(rate_take(held->bucket, 1, 1000000000, NULL));
    auth_fixture_user(f, "ann", ROLE_READ);
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, &again), AUTH_OK);
    assert_ptr_equal(held->bucket, again->bucket);
    principal_release(held);
    principal_release(again);
}

/* ---- the configuration ------------------------------------------------------------------------------------------ */

static void configured_users_are_users(void **state) {
    struct auth_fixture *f = *state;
    struct auth_configured_user users[] = {configured("root", ROLE_ADMIN), configured("ann", ROLE_READ)};
    struct principal *p;
    users[1].databases = (const char *const[]){"default", "orders"};
    users[1].database_count = 2;
    users[1].prefixes = (const char *const[]){"k/"};
    users[1].prefix_count = 1;
    assert_int_equal(auth_fixture_configure(f, users, 2), VELOCITY_OK);
    assert_true(auth_has_users(f->auth));
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, &p), AUTH_OK);
    assert_int_equal(p->role, ROLE_READ);
    assert_int_equal(p->scope.database_count, 2);
    assert_true(scope_has_key(&p->scope, velocity_str("k/1")));
    assert_false(scope_has_key(&p->scope, velocity_str("l/1")));
    principal_release(p);
    assert_false(auth_fixture_has_key(f, "user/ann"));
}

static void a_configured_user_is_changed_in_the_configuration_only(void **state) {
    struct auth_fixture *f = *state;
    struct auth_configured_user users[] = {configured("root", ROLE_ADMIN)};
    struct auth_user_change change = {.password = "another one", .role = -1};
    assert_int_equal(auth_fixture_configure(f, users, 1), VELOCITY_OK);
    assert_int_equal(auth_user_create(f->auth, "root", &change), VELOCITY_CONFLICT);
    assert_int_equal(auth_user_change(f->auth, "root", &change), VELOCITY_UNSUPPORTED);
    assert_int_equal(auth_user_delete(f->auth, "root"), VELOCITY_UNSUPPORTED);
    assert_int_equal(auth_own_password(f->auth, "root", PASSWORD, "another one", NULL), VELOCITY_UNSUPPORTED);
}

static void a_configuration_that_cannot_be_changes_nothing(void **state) {
    struct auth_fixture *f = *state;
    struct auth_configured_user good[] = {configured("root", ROLE_ADMIN)};
    struct auth_configured_user both[] = {configured("zoe", ROLE_READ), configured("ann", ROLE_ADMIN)};
    struct auth_configured_user twice[] = {configured("zoe", ROLE_READ), configured("zoe", ROLE_WRITE)};
    struct auth_configured_user name[] = {configured("zoe", ROLE_READ), configured("a b", ROLE_READ)};
    struct auth_configured_user plain[] = {configured("zoe", ROLE_READ), {.name = "ben", .password = "secret"}};
    struct auth_configured_user role[] = {configured("zoe", ROLE_COUNT)};
    struct auth_configured_user scope[] = {configured("zoe", ROLE_READ)};
    assert_int_equal(auth_fixture_configure(f, good, 1), VELOCITY_OK);
    auth_fixture_user(f, "ann", ROLE_READ);
    uint64_t before = auth_generation(f->auth);
    assert_int_equal(auth_fixture_configure(f, both, 2), VELOCITY_INVALID);
    assert_non_null(strstr(velocity_error_message(), "ann"));
    assert_int_equal(auth_fixture_configure(f, twice, 2), VELOCITY_INVALID);
    assert_int_equal(auth_fixture_configure(f, name, 2), VELOCITY_INVALID);
    assert_int_equal(auth_fixture_configure(f, plain, 2), VELOCITY_INVALID);
    assert_non_null(strstr(velocity_error_message(), "ben"));
    assert_null(strstr(velocity_error_message(), "secret"));
    assert_int_equal(auth_fixture_configure(f, role, 1), VELOCITY_INVALID);
    scope[0].prefix_count = SCOPE_MAX_PREFIXES + 1;
    static const char *many[SCOPE_MAX_PREFIXES + 1];
    for (size_t i = 0; i < COUNT(many); i++) many[i] = "p";
    scope[0].prefixes = many;
    assert_int_equal(auth_fixture_configure(f, scope, 1), VELOCITY_INVALID);
    assert_int_equal(auth_generation(f->auth), before);
    assert_int_equal(auth_fixture_login(f, "root", PASSWORD, ADDRESS, NULL), AUTH_OK);
    assert_int_equal(auth_fixture_login(f, "zoe", PASSWORD, ADDRESS, NULL), AUTH_REFUSED);
}

static void who_leaves_the_configuration_leaves_nothing_behind(void **state) {
    struct auth_fixture *f = *state;
    struct auth_configured_user users[] = {configured("root", ROLE_ADMIN), configured("ann", ROLE_READ)};
    char secret[AUTH_SECRET_BYTES], kept[AUTH_SECRET_BYTES];
    assert_int_equal(auth_fixture_configure(f, users, 2), VELOCITY_OK);
    auth_fixture_token(f, "ann", secret, NULL);
    auth_fixture_token(f, "root", kept, NULL);
    assert_int_equal(auth_fixture_configure(f, users, 1), VELOCITY_OK);
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_bearer(f, secret, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_bearer(f, kept, NULL), AUTH_OK);
    /* Not even for who comes back under the name. */
    assert_int_equal(auth_fixture_configure(f, users, 2), VELOCITY_OK);
    assert_int_equal(auth_fixture_bearer(f, secret, NULL), AUTH_REFUSED);
    /* Nor if it happens between two starts. */
    auth_fixture_token(f, "ann", secret, NULL);
    auth_fixture_reopen(f, users, 1);
    auth_fixture_reopen(f, users, 2);
    assert_int_equal(auth_fixture_bearer(f, secret, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_bearer(f, kept, NULL), AUTH_OK);
}

static void another_password_in_the_configuration_ends_sessions_and_not_tokens(void **state) {
    struct auth_fixture *f = *state;
    struct auth_configured_user users[] = {configured("root", ROLE_ADMIN)};
    char hash[PASSWORD_HASH_BYTES], session[AUTH_SECRET_BYTES], token[AUTH_SECRET_BYTES];
    assert_int_equal(auth_fixture_configure(f, users, 1), VELOCITY_OK);
    auth_fixture_session(f, "root", session, NULL);
    auth_fixture_token(f, "root", token, NULL);
    assert_int_equal(auth_fixture_configure(f, users, 1), VELOCITY_OK); /* the same again: nothing happens */
    assert_int_equal(auth_fixture_bearer(f, session, NULL), AUTH_OK);
    auth_fixture_reopen(f, users, 1);
    assert_int_equal(auth_fixture_bearer(f, session, NULL), AUTH_OK);
    assert_int_equal(auth_fixture_cheap_hash(velocity_str("another one"), hash), VELOCITY_OK);
    users[0].password = hash;
    auth_fixture_reopen(f, users, 1);
    assert_int_equal(auth_fixture_bearer(f, session, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_bearer(f, token, NULL), AUTH_OK);
    assert_int_equal(auth_fixture_login(f, "root", "another one", ADDRESS, NULL), AUTH_OK);
}

static void a_running_server_never_loses_its_last_user(void **state) {
    struct auth_fixture *f = *state;
    struct auth_configured_user users[] = {configured("root", ROLE_ADMIN)};
    assert_int_equal(auth_fixture_configure(f, users, 1), VELOCITY_OK);
    assert_int_equal(auth_fixture_configure(f, NULL, 0), VELOCITY_INVALID);
    assert_int_equal(auth_fixture_login(f, "root", PASSWORD, ADDRESS, NULL), AUTH_OK);
    /* Where somebody is left it may. */
    auth_fixture_user(f, "admin", ROLE_ADMIN);
    assert_int_equal(auth_fixture_configure(f, NULL, 0), VELOCITY_OK);
    assert_int_equal(auth_fixture_login(f, "root", PASSWORD, ADDRESS, NULL), AUTH_REFUSED);
}

static void a_new_limit_of_failures_holds_at_once(void **state) {
    struct auth_fixture *f = *state;
    struct auth_configured_user users[] = {configured("root", ROLE_ADMIN)};
    struct auth_settings settings = {.users = users, .user_count = 1, .max_auth_failures = 2, .ban_seconds = 9};
    assert_int_equal(auth_configure(f->auth, &settings), VELOCITY_OK);
    assert_int_equal(auth_fixture_login(f, "root", "wrong", ADDRESS, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_login(f, "root", "wrong", ADDRESS, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_login(f, "root", PASSWORD, ADDRESS, NULL), AUTH_BANNED);
    auth_fixture_pass(f, 9000);
    assert_int_equal(auth_fixture_login(f, "root", PASSWORD, ADDRESS, NULL), AUTH_OK);
}

/* ---- listing ---------------------------------------------------------------------------------------------------- */

static bool write_down(void *arg, const struct auth_user *user) {
    char *text = arg;
    snprintf(text + strlen(text), 400 - strlen(text), "%s:%s:%s:%zu ", user->name, role_name(user->role),
             user->configured ? "configured" : "own", user->scope->prefix_count);
    assert_int_equal(user->configured, user->created_at_ms == 0);
    return strlen(text) < 100;
}

static void users_are_listed_by_name(void **state) {
    struct auth_fixture *f = *state;
    struct auth_configured_user users[] = {configured("mia", ROLE_MONITOR)};
    char text[400] = "";
    assert_int_equal(auth_users(f->auth, NULL, write_down, text), VELOCITY_OK);
    assert_string_equal(text, "");
    auth_fixture_user(f, "zoe", ROLE_ADMIN);
    auth_fixture_user(f, "ann", ROLE_READ);
    assert_int_equal(auth_fixture_configure(f, users, 1), VELOCITY_OK);
    assert_int_equal(auth_users(f->auth, NULL, write_down, text), VELOCITY_OK);
    assert_string_equal(text, "ann:read:own:0 mia:monitor:configured:0 zoe:admin:own:0 ");
    text[0] = '\0';
    assert_int_equal(auth_users(f->auth, "mia", write_down, text), VELOCITY_OK);
    assert_string_equal(text, "mia:monitor:configured:0 ");
    assert_int_equal(auth_users(f->auth, "nil", write_down, text), VELOCITY_NOT_FOUND);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, auth_fixture_set_up, auth_fixture_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH(without_users_everyone_is_admin_and_is_told_so),
        WITH(the_first_user_is_admin_whatever_it_asks_for),
        WITH(who_asks_for_no_role_may_write),
        WITH(names_and_passwords_have_rules),
        WITH(a_name_is_taken_once),
        WITH(a_change_leaves_what_it_does_not_name),
        WITH(a_change_of_one_part_of_a_scope_keeps_the_other_as_it_is_by_then),
        WITH(the_last_admin_can_t_go),
        WITH(a_configured_admin_counts_as_one),
        WITH(a_deleted_user_is_gone_and_the_name_free),
        WITH(configured_users_are_users),
        WITH(a_configured_user_is_changed_in_the_configuration_only),
        WITH(a_configuration_that_cannot_be_changes_nothing),
        WITH(who_leaves_the_configuration_leaves_nothing_behind),
        WITH(another_password_in_the_configuration_ends_sessions_and_not_tokens),
        WITH(a_running_server_never_loses_its_last_user),
        WITH(a_new_limit_of_failures_holds_at_once),
        WITH(users_are_listed_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
