/* password_test.c - hashes that verify, and strings that are refused before they cost anything. */
#include "tests/server/cmocka_all.h"

#include "server/auth.h"

#include <stdio.h>
#include <time.h>

#define SALT "c29tZXNhbHRzb21lc2FsdA"                      /* "somesaltsomesalt" */
#define HASH "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8" /* 32 bytes, of nothing */

static void a_hash_verifies_its_password_and_no_other(void **state) {
    char hash[PASSWORD_HASH_BYTES];
    velocity_slice password = LITERAL("correct horse\0battery");
    (void)state;
    assert_int_equal(password_hash(password, hash), VELOCITY_OK);
    assert_int_equal(strncmp(hash, "$argon2id$v=19$m=19456,t=2,p=1$", 31), 0);
    assert_null(strstr(hash, "correct"));
    assert_int_equal(password_hash_check(hash), VELOCITY_OK);
    assert_int_equal(password_verify(hash, password), VELOCITY_OK);
    assert_int_equal(password_verify(hash, velocity_str("correct horse")), VELOCITY_NOT_FOUND);
    assert_int_equal(password_verify(hash, velocity_bytes(NULL, 0)), VELOCITY_NOT_FOUND);
}

static void the_same_password_never_has_the_same_hash(void **state) {
    char first[PASSWORD_HASH_BYTES], second[PASSWORD_HASH_BYTES];
    (void)state;
    assert_int_equal(password_hash(velocity_str("password"), first), VELOCITY_OK);
    assert_int_equal(password_hash(velocity_str("password"), second), VELOCITY_OK);
    assert_string_not_equal(first, second);
}

static void a_hash_made_elsewhere_is_understood(void **state) {
    (void)state;
    /* A test vector of the reference implementation, with a slash in its base64. */
    const char *hash = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
    assert_int_equal(password_verify(hash, velocity_str("password")), VELOCITY_OK);
    assert_int_equal(password_verify(hash, velocity_str("Password")), VELOCITY_NOT_FOUND);
}

static void what_is_no_hash_is_refused(void **state) {
    static const char *const bad[] = {
        "",
        "password",
        "$argon2id$",
        "$argon2i$v=19$m=64,t=1,p=1$" SALT "$" HASH,
        "$argon2d$v=19$m=64,t=1,p=1$" SALT "$" HASH,
        "$argon2id$v=16$m=64,t=1,p=1$" SALT "$" HASH,
        "$argon2id$m=64,t=1,p=1$" SALT "$" HASH,
        "argon2id$v=19$m=64,t=1,p=1$" SALT "$" HASH,
        " $argon2id$v=19$m=64,t=1,p=1$" SALT "$" HASH,
        "$argon2id$v=19$t=1,m=64,p=1$" SALT "$" HASH,
        "$argon2id$v=19$m=64,t=1$" SALT "$" HASH,
        "$argon2id$v=19$m=64,t=1,p=1,keyid=x$" SALT "$" HASH,
        "$argon2id$v=19$m=064,t=1,p=1$" SALT "$" HASH,
        "$argon2id$v=19$m=+64,t=1,p=1$" SALT "$" HASH,
        "$argon2id$v=19$m=-64,t=1,p=1$" SALT "$" HASH,
        "$argon2id$v=19$m=,t=1,p=1$" SALT "$" HASH,
        "$argon2id$v=19$m=64,t=1,p=1$" SALT,
        "$argon2id$v=19$m=64,t=1,p=1$" SALT "$",
        "$argon2id$v=19$m=64,t=1,p=1$$" HASH,
        "$argon2id$v=19$m=64,t=1,p=1$" SALT "$" HASH "$",
        "$argon2id$v=19$m=64,t=1,p=1$" SALT "$" HASH "=",
        "$argon2id$v=19$m=64,t=1,p=1$" SALT "$" HASH "\n",
        "$argon2id$v=19$m=64,t=1,p=1$" SALT "$-" HASH,
        "$argon2id$v=19$m=64,t=1,p=1$c2FsdA$" HASH,        /* a salt of four bytes */
        "$argon2id$v=19$m=64,t=1,p=1$" SALT "$AAECAwQFBg", /* a hash of seven */
        "$argon2id$v=19$m=64,t=1,p=1$" SALT "$" HASH HASH, /* too long */
        "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_int_equal(password_hash_check(bad[i]), VELOCITY_INVALID);
        assert_int_equal(password_verify(bad[i], velocity_str("password")), VELOCITY_INVALID);
    }
}

static void a_hash_that_would_be_an_attack_to_verify_is_refused(void **state) {
    static const char *const parameters[] = {
        "m=262145,t=1,p=1", "m=64,t=11,p=1",        "m=64,t=1,p=5",
        "m=7,t=1,p=1",      "m=31,t=1,p=4",         "m=64,t=0,p=1",
        "m=64,t=1,p=0",     "m=4294967296,t=1,p=1", "m=18446744073709551680,t=1,p=1",
    };
    char hash[PASSWORD_HASH_BYTES];
    (void)state;
    for (size_t i = 0; i < COUNT(parameters); i++) {
        snprintf(hash, sizeof hash, "$argon2id$v=19$%s$%s$%s", parameters[i], SALT, HASH);
        assert_int_equal(password_hash_check(hash), VELOCITY_INVALID);
    }
}

static void costs_up_to_the_bounds_are_allowed(void **state) {
    (void)state;
    assert_int_equal(password_hash_check("$argon2id$v=19$m=262144,t=10,p=4$" SALT "$" HASH), VELOCITY_OK);
    assert_int_equal(password_hash_check("$argon2id$v=19$m=8,t=1,p=1$" SALT "$" HASH), VELOCITY_OK);
    assert_int_equal(password_verify("$argon2id$v=19$m=32,t=2,p=4$" SALT "$" HASH, velocity_str("x")),
                     VELOCITY_NOT_FOUND);
}

static void a_password_beyond_the_bound_is_no_password(void **state) {
    static char big[AUTH_PASSWORD_MAX + 1];
    char hash[PASSWORD_HASH_BYTES];
    (void)state;
    memset(big, 'x', sizeof big);
    assert_int_equal(password_hash(velocity_bytes(big, sizeof big), hash), VELOCITY_INVALID);
    assert_int_equal(password_verify("$argon2id$v=19$m=8,t=1,p=1$" SALT "$" HASH, velocity_bytes(big, sizeof big)),
                     VELOCITY_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hash_verifies_its_password_and_no_other),
        cmocka_unit_test(the_same_password_never_has_the_same_hash),
        cmocka_unit_test(a_hash_made_elsewhere_is_understood),
        cmocka_unit_test(what_is_no_hash_is_refused),
        cmocka_unit_test(a_hash_that_would_be_an_attack_to_verify_is_refused),
        cmocka_unit_test(costs_up_to_the_bounds_are_allowed),
        cmocka_unit_test(a_password_beyond_the_bound_is_no_password),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
