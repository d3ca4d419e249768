/* auth_test.c - what survives: closing, records that cannot be read, a lack of memory, a disk that fails, threads. */
#include "tests/server/auth_fixture.h"

#include "engine/env.h"

#include <stdio.h>
#include <unistd.h>

static int set_up(void **state) {
    if (auth_fixture_set_up(state) != 0) return -1;
    auth_fixture_user(*state, "admin", ROLE_ADMIN);
    auth_fixture_user(*state, "ann", ROLE_WRITE);
    return 0;
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static void everything_is_there_again_after_a_start(void **state) {
    struct auth_fixture *f = *state;
    static const char bytes[] = {'k', 0, (char)0xFF, '/', '"'};
    struct scope scope, token_scope;
    assert_true(scope_make(&scope, (const char *const[]){"default", "orders"}, 2,
                           (velocity_slice[]){velocity_bytes(bytes, sizeof bytes), velocity_str("z")}, 2));
    assert_true(scope_make(&token_scope, (const char *const[]){"orders"}, 1,
                           (velocity_slice[]){velocity_bytes(bytes, sizeof bytes)}, 1));
    struct auth_user_change change = {.role = ROLE_READ, .scope = &scope};
    struct auth_secret_options options = {.name = "na\"me", .role = ROLE_MONITOR, .scope = &token_scope};
    char token[AUTH_SECRET_BYTES], session[AUTH_SECRET_BYTES];
    struct principal *p;
    assert_int_equal(auth_user_change(f->auth, "ann", &change), VELOCITY_OK);
    assert_int_equal(auth_token_create(f->auth, "ann", &options, token, NULL), VELOCITY_OK);
    auth_fixture_session(f, "ann", session, NULL);
    for (int i = 0; i < 2; i++) {
        auth_fixture_reopen(f, NULL, 0);
        assert_int_equal(auth_fixture_login(f, "admin", PASSWORD, ADDRESS, NULL), AUTH_OK);
        assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, &p), AUTH_OK);
        assert_int_equal(p->role, ROLE_READ);
        assert_true(scope_covers(&scope, &p->scope) && scope_covers(&p->scope, &scope));
        principal_release(p);
        assert_int_equal(auth_fixture_bearer(f, token, &p), AUTH_OK);
        assert_int_equal(p->role, ROLE_MONITOR);
        assert_true(scope_covers(&token_scope, &p->scope) && scope_covers(&p->scope, &token_scope));
        principal_release(p);
        assert_int_equal(auth_fixture_bearer(f, session, NULL), AUTH_OK);
    }
    scope_free(&scope);
    scope_free(&token_scope);
}

static void the_same_name_in_both_places_is_refused(void **state) {
    struct auth_fixture *f = *state;
    struct auth_configured_user users[] = {{.name = "ann", .password = auth_fixture_hash(), .role = ROLE_READ}};
    auth_fixture_close_auth(f);
    assert_int_equal(auth_fixture_open_auth(f, users, 1), VELOCITY_INVALID);
    assert_null(f->auth);
    assert_non_null(strstr(velocity_error_message(), "ann"));
}

static void other_records_of_the_system_database_are_left_alone(void **state) {
    struct auth_fixture *f = *state;
    static const char *const keys[] = {"database/default", "usera", "user", "tokens/x", "z"};
    auth_fixture_close_auth(f);
    for (size_t i = 0; i < COUNT(keys); i++)
        assert_int_equal(velocity_put(f->db, velocity_str(keys[i]), velocity_str("junk")), VELOCITY_OK);
    assert_int_equal(auth_fixture_open_auth(f, NULL, 0), VELOCITY_OK);
    for (size_t i = 0; i < COUNT(keys); i++) assert_true(auth_fixture_has_key(f, keys[i]));
}

/* ---- records that cannot be read -------------------------------------------------------------------------------- */

/* In a record that was written, `from` becomes `to`: then nothing opens. */
static void break_record(struct auth_fixture *f, const char *key, const char *from, const char *to) {
    velocity_value value;
    char text[4096], broken[4096];
    auth_free(f->auth);
    f->auth = NULL;
    assert_int_equal(velocity_get(f->db, velocity_str(key), &value), VELOCITY_OK);
    assert_in_range(value.size, 1, sizeof text / 2);
    memcpy(text, value.data, value.size);
    text[value.size] = '\0';
    velocity_value_release(&value);
    const char *at = strstr(text, from);
    if (!at) fail_msg("%s has no %s: %s", key, from, text);
    int size = snprintf(broken, sizeof broken, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    assert_int_equal(velocity_put(f->db, velocity_str(key), velocity_bytes(broken, (size_t)size)), VELOCITY_OK);
    if (auth_fixture_open_auth(f, NULL, 0) != VELOCITY_CORRUPT) fail_msg("%s was taken: %s", key, broken);
    assert_non_null(strstr(velocity_error_message(), key));
    assert_null(f->auth);
    assert_int_equal(velocity_put(f->db, velocity_str(key), velocity_str(text)), VELOCITY_OK);
    assert_int_equal(auth_fixture_open_auth(f, NULL, 0), VELOCITY_OK); /* it was that */
}

struct damage {
    const char *from, *to;
};

static const struct damage of_all[] = {
    {"{", ""},
    {"{", "["},
    {"{", "{\"new\":1,"},
    {"{", "{\"role\":\"read\","},
    {"\"created_at_ms\":", "\"created_at_ms\":-"},
    {"\"created_at_ms\":", "\"created_at_ms\":1."},
    {"\"created_at_ms\":", "\"created_at_ms\":99999999999"},
    {"\"created_at_ms\":", "\"created_at\":"},
    {"\"role\":\"", "\"role\":\"x"},
    {"\"role\":", "\"role\":[],\"was\":"},
    {"\"databases\":[", "\"databases\":[1"},
    {"\"databases\":[", "\"databases\":[\"a\\u0000b\""},
    {"\"databases\":", "\"database\":"},
    {"\"databases\":", "\"databases\":{},\"x\":"},
    {"\"prefixes\":[\"", "\"prefixes\":[\"="},
    {"\"prefixes\":[\"", "\"prefixes\":[\"\\u0061"},
    {"\"prefixes\":[", "\"prefixes\":[null,"},
    {"\"scope\":{", "\"scope\":{\"prefixes\":[],"},
    {"\"scope\":", "\"scope\":true,\"x\":"},
};

static void a_user_s_record_that_cannot_be_read_is_named(void **state) {
    struct auth_fixture *f = *state;
    static const struct damage damages[] = {
        {"\"password\":\"$argon2id$", "\"password\":\"$argon2i$"},
        {"\"password\":\"", "\"password\":\"\\u0000"},
        {"m=8,", "m=999999999,"},
        {"\"password\":", "\"password\":null,\"x\":"},
    };
    struct scope scope;
    assert_true(scope_make(&scope, NULL, 0, (velocity_slice[]){velocity_str("k")}, 1));
    struct auth_user_change change = {.role = -1, .scope = &scope};
    assert_int_equal(auth_user_change(f->auth, "ann", &change), VELOCITY_OK);
    scope_free(&scope);
    for (size_t i = 0; i < COUNT(damages); i++) break_record(f, "user/ann", damages[i].from, damages[i].to);
    for (size_t i = 0; i < COUNT(of_all); i++) break_record(f, "user/ann", of_all[i].from, of_all[i].to);
    auth_fixture_close_auth(f);
    assert_int_equal(velocity_put(f->db, velocity_str("user/a b"), velocity_str("{}")), VELOCITY_OK);
    assert_int_equal(auth_fixture_open_auth(f, NULL, 0), VELOCITY_CORRUPT);
    assert_non_null(strstr(velocity_error_message(), "user/a b"));
}

static void a_token_s_record_that_cannot_be_read_is_named(void **state) {
    struct auth_fixture *f = *state;
    static const struct damage damages[] = {
        {"\"sha256\":\"", "\"sha256\":\"0"},
        {"\"user\":\"ann\"", "\"user\":\"a nn\""},
        {"\"user\":\"ann\"", "\"user\":3"},
        {"\"name\":\"", "\"name\":\"\\u0000"},
        {"\"expires_at_ms\":", "\"expires_at_ms\":null,\"x\":"},
        {"{", "{\"browser\":true,"},
    };
    struct scope scope;
    assert_true(scope_make(&scope, NULL, 0, (velocity_slice[]){velocity_str("k")}, 1));
    struct auth_secret_options options = {.name = "n", .role = ROLE_READ, .scope = &scope};
    struct auth_secret made;
    char secret[AUTH_SECRET_BYTES], key[AUTH_KEY_BYTES];
    assert_int_equal(auth_token_create(f->auth, "ann", &options, secret, &made), VELOCITY_OK);
    scope_free(&scope);
    snprintf(key, sizeof key, "token/%s", made.id);
    principal_release(made.principal);
    for (size_t i = 0; i < COUNT(damages); i++) break_record(f, key, damages[i].from, damages[i].to);
    for (size_t i = 0; i < COUNT(of_all); i++) break_record(f, key, of_all[i].from, of_all[i].to);
}

static void a_record_under_another_s_key_is_refused(void **state) {
    struct auth_fixture *f = *state;
    char secret[AUTH_SECRET_BYTES], id[LOGIN_ID_BYTES], key[AUTH_KEY_BYTES], other[AUTH_KEY_BYTES];
    velocity_value value;
    auth_fixture_token(f, "ann", secret, id);
    snprintf(key, sizeof key, "token/%s", id);
    id[0] = id[0] == '0' ? '1' : '0';
    snprintf(other, sizeof other, "token/%s", id);
    auth_fixture_close_auth(f);
    assert_int_equal(velocity_get(f->db, velocity_str(key), &value), VELOCITY_OK);
    assert_int_equal(velocity_put(f->db, velocity_str(other), velocity_bytes(value.data, value.size)), VELOCITY_OK);
    velocity_value_release(&value);
    assert_int_equal(auth_fixture_open_auth(f, NULL, 0), VELOCITY_CORRUPT);
    assert_non_null(strstr(velocity_error_message(), other));
}

static void a_session_s_record_that_cannot_be_read_is_named(void **state) {
    struct auth_fixture *f = *state;
    static const struct damage damages[] = {
        {"\"browser\":false", "\"browser\":0"},
        {"\"csrf\":\"", "\"csrf\":\"0"},
        {"\"password\":\"", "\"password\":\"0"},
        {",\"csrf\":\"\"", ""},
    };
    char secret[AUTH_SECRET_BYTES], id[LOGIN_ID_BYTES], key[AUTH_KEY_BYTES];
    auth_fixture_session(f, "ann", secret, id);
    snprintf(key, sizeof key, "session/%s", id);
    for (size_t i = 0; i < COUNT(damages); i++) break_record(f, key, damages[i].from, damages[i].to);
}

/* ---- no memory -------------------------------------------------------------------------------------------------- */

static velocity_status change_something(struct auth_fixture *f, int what, const char *token_id) {
    struct scope scope;
    if (!scope_make(&scope, NULL, 0, (velocity_slice[]){velocity_str("k")}, 1)) return VELOCITY_NO_MEMORY;
    struct auth_user_change new = {.password = PASSWORD, .role = ROLE_READ},
                            narrow = {.role = ROLE_READ, .scope = &scope},
                            password = {.password = "another one", .role = -1};
    struct auth_configured_user users[] = {{.name = "root", .password = auth_fixture_hash(), .role = ROLE_ADMIN}};
    struct auth_secret_options options = {.name = "more", .role = -1};
    char secret[AUTH_SECRET_BYTES];
    velocity_status status = VELOCITY_INVALID;
    switch (what) {
    case 0: status = auth_user_create(f->auth, "ben", &new); break;
    case 1: status = auth_user_change(f->auth, "ann", &narrow); break;
    case 2: status = auth_token_create(f->auth, "ann", &options, secret, NULL); break;
    case 3: status = auth_token_revoke(f->auth, "ann", token_id); break;
    case 4: status = auth_fixture_configure(f, users, 1); break;
    case 5: status = auth_user_change(f->auth, "ann", &password); break;
    default: status = auth_user_delete(f->auth, "ann");
    }
    scope_free(&scope);
    return status;
}

static void without_memory_a_change_is_refused_and_nothing_of_it_is_done(void **state) {
    struct auth_fixture *f = *state;
    char token[AUTH_SECRET_BYTES], session[AUTH_SECRET_BYTES], revoked[AUTH_SECRET_BYTES], id[LOGIN_ID_BYTES];
    auth_fixture_token(f, "ann", token, NULL);
    auth_fixture_session(f, "ann", session, NULL);
    auth_fixture_token(f, "ann", revoked, id);
    for (int what = 0; what <= 6; what++) {
        velocity_status status = VELOCITY_NO_MEMORY;
        int refused = -1;
        for (uint64_t nth = 1; status != VELOCITY_OK && nth < 500; nth++) {
            struct auth_stats before, after;
            uint64_t generation = auth_generation(f->auth);
            auth_stats(f->auth, &before);
            env_fail_allocation(nth, false);
            status = change_something(f, what, id);
            env_fail_allocation(0, false);
            auth_stats(f->auth, &after);
            refused++;
            if (status == VELOCITY_OK) break;
            assert_int_equal(status, VELOCITY_NO_MEMORY);
            assert_int_equal(auth_generation(f->auth), generation);
            assert_int_equal(after.users, before.users);
            assert_int_equal(after.tokens, before.tokens);
            assert_int_equal(auth_fixture_bearer(f, token, NULL), AUTH_OK);
            assert_int_equal(auth_fixture_bearer(f, session, NULL), AUTH_OK);
        }
        assert_int_equal(status, VELOCITY_OK);
        assert_in_range(refused, 1, 400);
        if (what == 5) break; /* which ends the session */
    }
    assert_int_equal(auth_fixture_bearer(f, session, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_bearer(f, revoked, NULL), AUTH_REFUSED);
    assert_int_equal(change_something(f, 6, id), VELOCITY_OK);
    assert_int_equal(auth_fixture_bearer(f, token, NULL), AUTH_REFUSED);
}

static void without_memory_nothing_opens_and_nothing_leaks(void **state) {
    struct auth_fixture *f = *state;
    char token[AUTH_SECRET_BYTES];
    velocity_status status = VELOCITY_NO_MEMORY;
    auth_fixture_token(f, "ann", token, NULL);
    auth_fixture_close_auth(f);
    for (uint64_t nth = 1; status != VELOCITY_OK && nth < 500; nth++) {
        env_fail_allocation(nth, false);
        status = auth_fixture_open_auth(f, NULL, 0);
        env_fail_allocation(0, false);
        assert_true(status == VELOCITY_OK || status == VELOCITY_NO_MEMORY);
        assert_int_equal(f->auth != NULL, status == VELOCITY_OK);
    }
    assert_int_equal(status, VELOCITY_OK);
    assert_int_equal(auth_fixture_bearer(f, token, NULL), AUTH_OK);
}

/* ---- a disk that fails ------------------------------------------------------------------------------------------ */

static velocity_status put_some(velocity *db, int number) {
    static const char value[8000];
    char key[16];
    velocity_write_options options = velocity_write_options_default();
    velocity_batch *batch = velocity_batch_new();
    options.durability = VELOCITY_DURABILITY_OS;
    snprintf(key, sizeof key, "zz/%08d", number);
    velocity_batch_put(batch, velocity_str(key), velocity_bytes(value, sizeof value), NULL);
    velocity_status status = velocity_write(db, batch, &options, NULL);
    velocity_batch_free(batch);
    return status;
}

static uint64_t background_jobs(velocity *db) {
    velocity_stats stats = {.struct_size = sizeof stats};
    assert_int_equal(velocity_stats_get(db, &stats), VELOCITY_OK);
    return stats.background_jobs;
}

/* Until there is no room left, and background work has given back all that it can. */
static void fill(velocity *db) {
    velocity_status status = VELOCITY_OK;
    for (int number = 0, refused = 0; refused < 20; number++) {
        status = put_some(db, number);
        refused = status == VELOCITY_NO_SPACE ? refused + 1 : 0;
        assert_true(status == VELOCITY_OK || status == VELOCITY_NO_SPACE);
        while (refused && background_jobs(db)) usleep(1000);
    }
}

static void what_is_not_on_disk_does_not_count(void **state) {
    struct auth_fixture *f = *state;
    velocity_options options = velocity_options_default();
    char token[AUTH_SECRET_BYTES], secret[AUTH_SECRET_BYTES], id[LOGIN_ID_BYTES];
    auth_fixture_token(f, "ann", token, id);
    auth_fixture_close_auth(f);
    assert_int_equal(velocity_close(f->db), VELOCITY_OK);
    options.max_database_bytes = 32 << 20;
    options.memtable_bytes = 1 << 20;
    options.compression = VELOCITY_COMPRESSION_NONE;
    options.value_log_threshold = 0;
    assert_int_equal(velocity_open(f->folder, &options, &f->db), VELOCITY_OK);
    fill(f->db); /* puts answer NO_SPACE, deletes go on */
    assert_int_equal(auth_fixture_open_auth(f, NULL, 0), VELOCITY_OK);
    struct auth_user_change change = {.password = "another one", .role = -1};
    struct auth_secret_options wanted = {.role = -1};
    assert_int_equal(auth_user_create(f->auth, "ben", &change), VELOCITY_NO_SPACE);
    assert_int_equal(auth_user_change(f->auth, "ann", &change), VELOCITY_NO_SPACE);
    assert_int_equal(auth_token_create(f->auth, "ann", &wanted, secret, NULL), VELOCITY_NO_SPACE);
    assert_string_equal(secret, "");
    assert_int_equal(auth_fixture_login(f, "ben", "another one", ADDRESS, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, NULL), AUTH_OK);
    assert_int_equal(auth_fixture_bearer(f, token, NULL), AUTH_OK);
    assert_int_equal(auth_token_revoke(f->auth, NULL, id), VELOCITY_OK); /* what takes rights away still works */
    assert_int_equal(auth_fixture_bearer(f, token, NULL), AUTH_REFUSED);
}

/* ---- threads ---------------------------------------------------------------------------------------------------- */

struct reader {
    struct auth_fixture *f;
    char secret[AUTH_SECRET_BYTES];
    _Atomic bool *stop;
    _Atomic uint64_t answers;
    uint64_t wrong;
};

/* With a token of Ann's, whose role goes back and forth. */
static void *ask_often(void *arg) {
    struct reader *reader = arg;
    for (; !atomic_load(reader->stop); atomic_fetch_add(&reader->answers, 1)) {
        struct principal *p;
        uint32_t seconds;
        (void)auth_bearer(reader->f->auth, velocity_str(reader->secret), ADDRESS, &p, &seconds);
        reader->wrong += !p || (p->role != ROLE_READ && p->role != ROLE_WRITE) || strcmp(p->user, "ann") != 0;
        principal_release(p);
    }
    return NULL;
}

static void those_who_ask_meanwhile_see_no_half_of_a_change(void **state) {
    struct auth_fixture *f = *state;
    _Atomic bool stop = false;
    struct reader readers[2];
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        readers[i] = (struct reader){.f = f, .stop = &stop};
        auth_fixture_token(f, "ann", readers[i].secret, NULL);
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &readers[i]), 0);
    }
    for (int i = 0; i < 2; i++) assert_soon(atomic_load(&readers[i].answers) > 0);
    for (int i = 0; i < 60; i++) {
        struct auth_user_change change = {.role = i % 2 ? ROLE_READ : ROLE_WRITE};
        char secret[AUTH_SECRET_BYTES], id[LOGIN_ID_BYTES];
        assert_int_equal(auth_user_change(f->auth, "ann", &change), VELOCITY_OK);
        auth_fixture_token(f, "admin", secret, id);
        assert_int_equal(auth_token_revoke(f->auth, NULL, id), VELOCITY_OK);
        assert_int_equal(auth_fixture_bearer(f, secret, NULL), AUTH_REFUSED);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(readers[i].wrong, 0);
    }
}

static void *change_own_user(void *arg) {
    struct auth_fixture *f = arg;
    static _Atomic int names;
    char name[16];
    snprintf(name, sizeof name, "user%d", atomic_fetch_add(&names, 1));
    struct auth_user_change change = {.password = PASSWORD, .role = ROLE_READ};
    for (int i = 0; i < 10; i++) {
        char secret[AUTH_SECRET_BYTES];
        struct auth_secret_options options = {.role = -1};
        bool good = auth_user_create(f->auth, name, &change) == VELOCITY_OK &&
                    auth_token_create(f->auth, name, &options, secret, NULL) == VELOCITY_OK &&
                    auth_user_delete(f->auth, name) == VELOCITY_OK;
        if (!good) return arg;
    }
    return NULL;
}

static void changes_of_many_threads_follow_one_another(void **state) {
    struct auth_fixture *f = *state;
    struct auth_stats stats;
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, change_own_user, f), 0);
    for (int i = 0; i < 3; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    auth_stats(f->auth, &stats);
    assert_int_equal(stats.users, 2);
    assert_int_equal(stats.tokens, 0);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, auth_fixture_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH(everything_is_there_again_after_a_start),
        WITH(the_same_name_in_both_places_is_refused),
        WITH(other_records_of_the_system_database_are_left_alone),
        WITH(a_user_s_record_that_cannot_be_read_is_named),
        WITH(a_token_s_record_that_cannot_be_read_is_named),
        WITH(a_record_under_another_s_key_is_refused),
        WITH(a_session_s_record_that_cannot_be_read_is_named),
        WITH(without_memory_a_change_is_refused_and_nothing_of_it_is_done),
        WITH(without_memory_nothing_opens_and_nothing_leaks),
        WITH(what_is_not_on_disk_does_not_count),
        WITH(those_who_ask_meanwhile_see_no_half_of_a_change),
        WITH(changes_of_many_threads_follow_one_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
