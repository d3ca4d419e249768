/* auth_check_test.c - who is it, by name and password: the queue, what is remembered, what is banned, what it costs. */
#include "tests/server/auth_fixture.h"

#include <semaphore.h>
#include <stdio.h>

static uint64_t hashes(struct auth_fixture *f) {
    struct auth_stats stats;
    auth_stats(f->auth, &stats);
    return stats.hashes;
}

static int set_up(void **state) {
    if (auth_fixture_set_up(state) != 0) return -1;
    auth_fixture_user(*state, "admin", ROLE_ADMIN);
    auth_fixture_user(*state, "ann", ROLE_READ);
    return 0;
}

static void the_right_password_tells_who_it_is(void **state) {
    struct auth_fixture *f = *state;
    struct principal *p;
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, &p), AUTH_OK);
    assert_string_equal(p->user, "ann");
    assert_int_equal(p->role, ROLE_READ);
    assert_int_equal(p->login, LOGIN_PASSWORD);
    assert_string_equal(p->id, "");
    assert_false(p->by_cookie_allowed);
    assert_non_null(p->bucket);
    principal_release(p);
}

static void all_logins_of_a_user_share_one_bucket(void **state) {
    struct auth_fixture *f = *state;
    struct principal *by_password, *by_token, *admin;
    char secret[AUTH_SECRET_BYTES];
    auth_fixture_token(f, "ann", secret, NULL);
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, &by_password), AUTH_OK);
    assert_int_equal(auth_fixture_login(f, "admin", PASSWORD, ADDRESS, &admin), AUTH_OK);
    assert_int_equal(auth_fixture_bearer(f, secret, &by_token), AUTH_OK);
    assert_ptr_equal(by_password->bucket, by_token->bucket);
    assert_ptr_not_equal(by_password->bucket, admin->bucket);
    principal_release(by_password);
    principal_release(by_token);
    principal_release(admin);
}

static void a_wrong_password_is_refused(void **state) {
    struct auth_fixture *f = *state;
    assert_int_equal(auth_fixture_login(f, "ann", "correct hors", ADDRESS, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_login(f, "ann", "", ADDRESS, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_login(f, "Ann", PASSWORD, ADDRESS, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_login(f, "", PASSWORD, ADDRESS, NULL), AUTH_REFUSED);
}

static void an_unknown_or_impossible_name_costs_a_hash_as_well(void **state) {
    struct auth_fixture *f = *state;
    static const char *const names[] = {"nobody", "an", "ann2",
                                        " ann",   "",   "a name that nobody can have, for it has blanks"};
    for (size_t i = 0; i < COUNT(names); i++) {
        uint64_t before = hashes(f);
        assert_int_equal(auth_fixture_login(f, names[i], PASSWORD, ADDRESS, NULL), AUTH_REFUSED);
        assert_int_equal(hashes(f), before + 1);
    }
}

static void a_password_that_was_right_is_not_hashed_again_for_five_minutes(void **state) {
    struct auth_fixture *f = *state;
    uint64_t before = hashes(f);
    for (int i = 0; i < 100; i++) assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, NULL), AUTH_OK);
    assert_int_equal(hashes(f), before + 1);
    auth_fixture_pass(f, REMEMBERED_MS - 1);
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, NULL), AUTH_OK);
    assert_int_equal(hashes(f), before + 1);
    auth_fixture_pass(f, 1);
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, NULL), AUTH_OK);
    assert_int_equal(hashes(f), before + 2);
}

static void what_is_remembered_is_one_user_s_password(void **state) {
    struct auth_fixture *f = *state;
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, NULL), AUTH_OK);
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD "x", ADDRESS, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_login(f, "an", PASSWORD, ADDRESS, NULL), AUTH_REFUSED);
    uint64_t before = hashes(f);
    assert_int_equal(auth_fixture_login(f, "admin", PASSWORD, ADDRESS, NULL), AUTH_OK);
    assert_int_equal(hashes(f), before + 1);
}

static void a_changed_password_is_not_remembered(void **state) {
    struct auth_fixture *f = *state;
    struct auth_user_change change = {.password = "another one", .role = -1};
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, NULL), AUTH_OK);
    assert_int_equal(auth_user_change(f->auth, "ann", &change), VELOCITY_OK);
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_login(f, "ann", "another one", ADDRESS, NULL), AUTH_OK);
}

static void a_remembered_password_gives_the_rights_of_now(void **state) {
    struct auth_fixture *f = *state;
    struct auth_user_change change = {.role = ROLE_MONITOR};
    struct principal *p;
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, NULL), AUTH_OK);
    assert_int_equal(auth_user_change(f->auth, "ann", &change), VELOCITY_OK);
    uint64_t before = hashes(f);
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, &p), AUTH_OK);
    assert_int_equal(hashes(f), before);
    assert_int_equal(p->role, ROLE_MONITOR);
    principal_release(p);
    assert_int_equal(auth_user_delete(f->auth, "ann"), VELOCITY_OK);
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, NULL), AUTH_REFUSED);
}

static void while_banned_even_the_right_password_is_refused_and_costs_nothing(void **state) {
    struct auth_fixture *f = *state;
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, NULL), AUTH_OK); /* and is remembered */
    for (int i = 0; i < 10; i++) assert_int_equal(auth_fixture_login(f, "ann", "wrong", ADDRESS, NULL), AUTH_REFUSED);
    uint64_t before = hashes(f);
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, NULL), AUTH_BANNED);
    assert_int_equal(auth_fixture_login(f, "ann", "wrong", ADDRESS, NULL), AUTH_BANNED);
    assert_int_equal(hashes(f), before);
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, "192.0.2.77", NULL), AUTH_OK);
    assert_int_equal(auth_fixture_login(f, "admin", PASSWORD, ADDRESS, NULL), AUTH_OK);
    auth_fixture_pass(f, 60 * 1000);
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, NULL), AUTH_OK);
}

static void names_that_do_not_exist_are_banned_like_others(void **state) {
    struct auth_fixture *f = *state;
    for (int i = 0; i < 10; i++)
        assert_int_equal(auth_fixture_login(f, "nobody", "wrong", ADDRESS, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_login(f, "nobody", "wrong", ADDRESS, NULL), AUTH_BANNED);
}

static void a_success_lets_the_count_begin_anew(void **state) {
    struct auth_fixture *f = *state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 9; i++)
            assert_int_equal(auth_fixture_login(f, "ann", "wrong", ADDRESS, NULL), AUTH_REFUSED);
        assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, NULL), AUTH_OK);
    }
}

static void a_password_too_long_is_refused_without_a_hash_and_counts(void **state) {
    struct auth_fixture *f = *state;
    static char text[AUTH_PASSWORD_MAX + 2];
    memset(text, 'x', sizeof text - 1);
    uint64_t before = hashes(f);
    for (int i = 0; i < 10; i++) assert_int_equal(auth_fixture_login(f, "ann", text, ADDRESS, NULL), AUTH_REFUSED);
    assert_int_equal(hashes(f), before);
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, NULL), AUTH_BANNED);
}

static void without_users_no_password_is_right(void **state) {
    struct auth_fixture *f = *state;
    assert_int_equal(auth_fixture_login(f, "admin", PASSWORD, ADDRESS, NULL), AUTH_REFUSED);
    assert_int_equal(hashes(f), 0);
}

/* ---- the queue -------------------------------------------------------------------------------------------------- */

/* Checks that wait behind one that holds the hashing thread in its `done`. */
struct crowd {
    struct auth_check checks[AUTH_QUEUE_LIMIT + 1];
    sem_t entered, may_go, answered;
};

static struct crowd crowd;

static void hold(struct auth_check *check) {
    (void)check;
    (void)sem_post(&crowd.entered);
    while (sem_wait(&crowd.may_go) != 0) {
    }
}

static void note(struct auth_check *check) {
    (void)check;
    (void)sem_post(&crowd.answered);
}

static void wait_for(sem_t *semaphore) {
    while (sem_wait(semaphore) != 0) {
    }
}

static void begin_crowd(struct auth_fixture *f, struct auth_check *holder) {
    memset(&crowd, 0, sizeof crowd);
    (void)sem_init(&crowd.entered, 0, 0);
    (void)sem_init(&crowd.may_go, 0, 0);
    (void)sem_init(&crowd.answered, 0, 0);
    *holder = (struct auth_check){
        .user = velocity_str("admin"), .password = velocity_str(PASSWORD), .address = "192.0.2.99", .done = hold};
    assert_false(auth_password(f->auth, holder));
    wait_for(&crowd.entered);
}

/* Answered at once, or waiting. */
static bool ask(struct auth_fixture *f, size_t i, const char *password) {
    crowd.checks[i] = (struct auth_check){
        .user = velocity_str("ann"), .password = velocity_str(password), .address = ADDRESS, .done = note};
    return auth_password(f->auth, &crowd.checks[i]);
}

static void end_crowd(struct auth_check *holder, size_t waiting) {
    (void)sem_post(&crowd.may_go);
    for (size_t i = 0; i < waiting; i++) wait_for(&crowd.answered);
    assert_int_equal(holder->result, AUTH_OK);
    principal_release(holder->principal);
}

static void when_too_many_wait_the_next_is_told_at_once(void **state) {
    struct auth_fixture *f = *state;
    struct auth_check holder;
    struct auth_stats stats;
    begin_crowd(f, &holder);
    for (size_t i = 0; i < AUTH_QUEUE_LIMIT; i++) assert_false(ask(f, i, PASSWORD));
    assert_true(ask(f, AUTH_QUEUE_LIMIT, PASSWORD));
    assert_int_equal(crowd.checks[AUTH_QUEUE_LIMIT].result, AUTH_BUSY);
    assert_null(crowd.checks[AUTH_QUEUE_LIMIT].principal);
    auth_stats(f->auth, &stats);
    assert_int_equal(stats.queue_full, 1);
    /* Changes that need a hash are told, too. */
    struct auth_user_change change = {.password = PASSWORD, .role = -1};
    assert_int_equal(auth_user_create(f->auth, "ben", &change), VELOCITY_BUSY);
    end_crowd(&holder, AUTH_QUEUE_LIMIT);
    for (size_t i = 0; i < AUTH_QUEUE_LIMIT; i++) {
        assert_int_equal(crowd.checks[i].result, AUTH_OK);
        principal_release(crowd.checks[i].principal);
    }
}

static void right_passwords_that_wait_together_cost_one_hash(void **state) {
    struct auth_fixture *f = *state;
    struct auth_check holder;
    begin_crowd(f, &holder);
    uint64_t before = hashes(f);
    for (size_t i = 0; i < 20; i++) assert_false(ask(f, i, PASSWORD));
    end_crowd(&holder, 20);
    assert_int_equal(hashes(f), before + 1);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(crowd.checks[i].result, AUTH_OK);
        principal_release(crowd.checks[i].principal);
    }
}

static void guesses_sent_all_at_once_are_counted_one_by_one(void **state) {
    struct auth_fixture *f = *state;
    struct auth_check holder;
    begin_crowd(f, &holder);
    uint64_t before = hashes(f);
    for (size_t i = 0; i < 30; i++) assert_false(ask(f, i, i == 29 ? PASSWORD : "wrong"));
    end_crowd(&holder, 30);
    assert_int_equal(hashes(f), before + 10);
    for (size_t i = 0; i < 30; i++) assert_int_equal(crowd.checks[i].result, i < 10 ? AUTH_REFUSED : AUTH_BANNED);
}

static void a_password_changed_while_a_check_waits_is_no_longer_right(void **state) {
    struct auth_fixture *f = *state;
    struct auth_check holder;
    begin_crowd(f, &holder);
    assert_false(ask(f, 0, PASSWORD));
    assert_int_equal(auth_user_delete(f->auth, "ann"), VELOCITY_OK);
    end_crowd(&holder, 1);
    assert_int_equal(crowd.checks[0].result, AUTH_REFUSED);
}

/* ---- the own password ------------------------------------------------------------------------------------------- */

static void the_own_password_is_changed_by_who_knows_the_old_one(void **state) {
    struct auth_fixture *f = *state;
    assert_int_equal(auth_own_password(f->auth, "ann", "wrong one", "another one", NULL), VELOCITY_INVALID);
    assert_int_equal(auth_own_password(f->auth, "ann", PASSWORD, "short", NULL), VELOCITY_INVALID);
    assert_int_equal(auth_own_password(f->auth, "ben", PASSWORD, "another one", NULL), VELOCITY_NOT_FOUND);
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, NULL), AUTH_OK);
    assert_int_equal(auth_own_password(f->auth, "ann", PASSWORD, "another one", NULL), VELOCITY_OK);
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_login(f, "ann", "another one", ADDRESS, NULL), AUTH_OK);
}

static void a_stolen_session_is_no_way_to_guess_the_password(void **state) {
    struct auth_fixture *f = *state;
    for (int i = 0; i < 10; i++)
        assert_int_equal(auth_own_password(f->auth, "ann", "wrong one", "another one", NULL), VELOCITY_INVALID);
    uint64_t before = hashes(f);
    assert_int_equal(auth_own_password(f->auth, "ann", PASSWORD, "another one", NULL), VELOCITY_BUSY);
    assert_int_equal(hashes(f), before);
    /* Logging in, and others, are not concerned. */
    assert_int_equal(auth_fixture_login(f, "ann", PASSWORD, ADDRESS, NULL), AUTH_OK);
    assert_int_equal(auth_own_password(f->auth, "admin", PASSWORD, "another one", NULL), VELOCITY_OK);
    auth_fixture_pass(f, 60 * 1000);
    assert_int_equal(auth_own_password(f->auth, "ann", PASSWORD, "another one", NULL), VELOCITY_OK);
}

static void a_new_own_password_ends_all_sessions_but_the_one_it_was_set_in(void **state) {
    struct auth_fixture *f = *state;
    char kept[AUTH_SECRET_BYTES], ended[AUTH_SECRET_BYTES], others[AUTH_SECRET_BYTES], id[LOGIN_ID_BYTES],
        other_id[LOGIN_ID_BYTES];
    auth_fixture_session(f, "ann", kept, id);
    auth_fixture_session(f, "ann", ended, NULL);
    auth_fixture_session(f, "admin", others, other_id);
    assert_int_equal(auth_own_password(f->auth, "ann", PASSWORD, "another one", id), VELOCITY_OK);
    assert_int_equal(auth_fixture_bearer(f, kept, NULL), AUTH_OK);
    assert_int_equal(auth_fixture_bearer(f, ended, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_bearer(f, others, NULL), AUTH_OK);
    auth_fixture_reopen(f, NULL, 0); /* it goes on after a start, too */
    assert_int_equal(auth_fixture_bearer(f, kept, NULL), AUTH_OK);
    /* Another user's session keeps nothing. */
    assert_int_equal(auth_own_password(f->auth, "ann", "another one", "a third one", other_id), VELOCITY_OK);
    assert_int_equal(auth_fixture_bearer(f, kept, NULL), AUTH_REFUSED);
    assert_int_equal(auth_fixture_bearer(f, others, NULL), AUTH_OK);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, auth_fixture_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH(the_right_password_tells_who_it_is),
        WITH(all_logins_of_a_user_share_one_bucket),
        WITH(a_wrong_password_is_refused),
        WITH(an_unknown_or_impossible_name_costs_a_hash_as_well),
        WITH(a_password_that_was_right_is_not_hashed_again_for_five_minutes),
        WITH(what_is_remembered_is_one_user_s_password),
        WITH(a_changed_password_is_not_remembered),
        WITH(a_remembered_password_gives_the_rights_of_now),
        WITH(while_banned_even_the_right_password_is_refused_and_costs_nothing),
        WITH(names_that_do_not_exist_are_banned_like_others),
        WITH(a_success_lets_the_count_begin_anew),
        WITH(a_password_too_long_is_refused_without_a_hash_and_counts),
        cmocka_unit_test_setup_teardown(without_users_no_password_is_right, auth_fixture_set_up,
                                        auth_fixture_tear_down),
        WITH(when_too_many_wait_the_next_is_told_at_once),
        WITH(right_passwords_that_wait_together_cost_one_hash),
        WITH(guesses_sent_all_at_once_are_counted_one_by_one),
        WITH(a_password_changed_while_a_check_waits_is_no_longer_right),
        WITH(the_own_password_is_changed_by_who_knows_the_old_one),
        WITH(a_stolen_session_is_no_way_to_guess_the_password),
        WITH(a_new_own_password_ends_all_sessions_but_the_one_it_was_set_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
