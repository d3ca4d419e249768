/*
 * transactions_test.c - who may enter a transaction, when each ends, and what is remembered of it.
 */
#include "tests/server/transactions_fixture.h"

#include <stdio.h>
#include <unistd.h>

/* ---- whose it is ------------------------------------------------------------------------------------------------ */

static void it_is_there_for_the_login_that_began_it_in_its_database_alone(void **state) {
    struct bench *b = *state;
    struct transaction_info info = begin(b, b->ann);
    struct transaction *transaction;
    struct outcome outcome;
    struct principal *token = principal_new(&(struct principal){.user = b->ann->user, .login = LOGIN_TOKEN, .id = "1"});
    assert_int_equal(databases_create(b->behind.databases, velocity_str("other"), UINT64_MAX), VELOCITY_OK);
    struct transaction_caller other = in(b->ann, "other");
    assert_int_equal(enter(b, b->bob, &info, &transaction, &outcome), TRANSACTION_UNKNOWN);
    assert_int_equal(enter(b, token, &info, &transaction, &outcome), TRANSACTION_UNKNOWN);
    assert_int_equal(transactions_enter(b->all, velocity_str(info.id), &other, &transaction, &outcome),
                     TRANSACTION_UNKNOWN);
    assert_int_equal(transactions_rollback(b->all, velocity_str(info.id), &other, &outcome), TRANSACTION_UNKNOWN);
    /* Nor is how it ended. */
    put_inside(b, &info, "a", "1");
    assert_int_equal(commit(b, &info).status, VELOCITY_OK);
    assert_int_equal(end_of(b, &info), TRANSACTION_COMMITTED);
    assert_int_equal(enter(b, b->bob, &info, &transaction, &outcome), TRANSACTION_UNKNOWN);
    assert_int_equal(enter(b, token, &info, &transaction, &outcome), TRANSACTION_UNKNOWN);
    assert_int_equal(transactions_enter(b->all, velocity_str(info.id), &other, &transaction, &outcome),
                     TRANSACTION_UNKNOWN);
    principal_release(token);
}

static void an_id_is_32_hexadecimal_digits_and_none_that_can_be_guessed(void **state) {
    struct bench *b = *state;
    static const char *const bad[] = {"",
                                      "0",
                                      "0123456789abcdef0123456789abcde",
                                      "0123456789abcdef0123456789abcdef0",
                                      "0123456789ABCDEF0123456789abcdef",
                                      "0123456789abcdef0123456789abcdeg"};
    struct transaction *transaction;
    struct outcome outcome;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct transaction_caller caller = in(b->ann, "default");
        assert_false(transaction_id_is_good(velocity_str(bad[i])));
        assert_int_equal(transactions_enter(b->all, velocity_str(bad[i]), &caller, &transaction, &outcome),
                         TRANSACTION_UNKNOWN);
    }
    struct transaction_info first = begin(b, b->ann), second = begin(b, b->ann);
    assert_true(transaction_id_is_good(velocity_str(first.id)));
    int same = 0;
    for (int i = 0; i < 32; i++) same += first.id[i] == second.id[i];
    assert_true(same < 20);
}

static void one_request_at_a_time_is_inside(void **state) {
    struct bench *b = *state;
    struct transaction_info info = begin(b, b->ann);
    struct transaction *transaction = inside(b, &info), *second;
    struct outcome outcome;
    assert_int_equal(enter(b, b->ann, &info, &second, &outcome), TRANSACTION_BUSY);
    assert_int_equal(roll_back(b, &info), TRANSACTION_BUSY);
    transaction_leave(transaction);
    transaction_leave(inside(b, &info));
}

/* ---- when it ends ------------------------------------------------------------------------------------------------ */

static void one_that_nobody_comes_to_ends_and_one_that_is_used_does_not(void **state) {
    struct bench *b = *state;
    struct transaction_info idle = begin(b, b->ann), used = begin(b, b->ann);
    for (int i = 0; i < 3; i++) {
        pass(b, IDLE_MS - 1);
        transaction_leave(inside(b, &used));
        if (i == 0) transaction_leave(inside(b, &idle));
    }
    assert_int_equal(end_of(b, &idle), TRANSACTION_IDLE);
    transaction_leave(inside(b, &used));
    pass(b, IDLE_MS);
    assert_int_equal(end_of(b, &used), TRANSACTION_IDLE);
    assert_int_equal(stats_of(b).timed_out, 2);
}

static void a_request_that_has_come_keeps_it_though_its_body_takes_its_time(void **state) {
    struct bench *b = *state;
    struct transaction_caller caller = in(b->ann, "default"), stranger = in(b->bob, "default");
    struct transaction_info info = begin(b, b->ann);
    struct outcome outcome;
    pass(b, IDLE_MS - 1);
    assert_int_equal(transactions_look(b->all, velocity_str(info.id), &caller, &outcome), TRANSACTION_ENTERED);
    pass(b, IDLE_MS - 1);
    transaction_leave(inside(b, &info));
    pass(b, IDLE_MS - 1); /* and nobody else's does */
    assert_int_equal(transactions_look(b->all, velocity_str(info.id), &stranger, &outcome), TRANSACTION_UNKNOWN);
    pass(b, 1);
    assert_int_equal(transactions_look(b->all, velocity_str(info.id), &caller, &outcome), TRANSACTION_ENDED);
    assert_int_equal(outcome.end, TRANSACTION_IDLE);
}

static void none_lives_for_ever(void **state) {
    struct bench *b = *state;
    struct transaction_info info = begin(b, b->ann);
    assert_in_range(info.expires_at_ms - info.begun_at_ms, MAX_MS, MAX_MS);
    for (int i = 0; i < MAX_MS / (IDLE_MS / 2) - 1; i++) {
        pass(b, IDLE_MS / 2);
        transaction_leave(inside(b, &info));
    }
    pass(b, IDLE_MS / 2);
    assert_int_equal(end_of(b, &info), TRANSACTION_OLD);
}

static void whoever_is_inside_is_not_disturbed_and_then_it_ends(void **state) {
    struct bench *b = *state;
    struct transaction_info info = begin(b, b->ann);
    struct transaction *transaction = inside(b, &info);
    pass(b, MAX_MS);
    transactions_sweep(b->all);
    assert_int_equal(write_inside(transaction, "a", LITERAL("1")).status, VELOCITY_OK);
    transaction_leave(transaction);
    assert_int_equal(end_of(b, &info), TRANSACTION_OLD);
    assert_value(&b->behind, "a", NULL);
    /* A long request is no idleness. */
    info = begin(b, b->ann);
    transaction = inside(b, &info);
    pass(b, IDLE_MS + 1);
    transactions_sweep(b->all);
    transaction_leave(transaction);
    transaction_leave(inside(b, &info));
}

static void what_is_rolled_back_was_never_there_and_is_remembered(void **state) {
    struct bench *b = *state;
    struct transaction_info info = begin(b, b->ann);
    put_inside(b, &info, "a", "1");
    assert_int_equal(roll_back(b, &info), TRANSACTION_ENTERED);
    assert_int_equal(roll_back(b, &info), TRANSACTION_ENDED);
    assert_int_equal(end_of(b, &info), TRANSACTION_ROLLED_BACK);
    assert_value(&b->behind, "a", NULL);
}

static void rights_that_are_taken_back_take_it_with_them(void **state) {
    struct bench *b = *state;
    struct auth *auth = b->behind.auth;
    char secret[AUTH_SECRET_BYTES];
    struct auth_secret token;
    struct transaction_info nobodys = begin(b, b->ann), info;
    struct auth_user_change change = {.password = "correct horse", .role = ROLE_ADMIN};
    assert_int_equal(auth_user_create(auth, "eve", &change), VELOCITY_OK);
    assert_int_equal(end_of(b, &nobodys), TRANSACTION_REVOKED); /* there were no users when it was begun */
    struct auth_secret_options options = {.name = "t", .role = -1};
    assert_int_equal(auth_token_create(auth, "eve", &options, secret, &token), VELOCITY_OK);
    struct transaction_caller caller = in(token.principal, "default");
    struct transaction *transaction;
    struct outcome outcome;
    assert_int_equal(transactions_begin(b->all, &caller, VELOCITY_ISOLATION_SNAPSHOT, &info), VELOCITY_OK);
    change = (struct auth_user_change){.password = "correct horse", .role = ROLE_READ};
    assert_int_equal(auth_user_create(auth, "mallory", &change), VELOCITY_OK); /* which concerns nobody else */
    assert_int_equal(transactions_enter(b->all, velocity_str(info.id), &caller, &transaction, &outcome),
                     TRANSACTION_ENTERED);
    assert_int_equal(write_inside(transaction, "a", LITERAL("1")).status, VELOCITY_OK);
    transaction_leave(transaction);
    assert_int_equal(auth_token_revoke(auth, "eve", token.id), VELOCITY_OK);
    assert_int_equal(transactions_enter(b->all, velocity_str(info.id), &caller, &transaction, &outcome),
                     TRANSACTION_ENDED);
    assert_int_equal(outcome.end, TRANSACTION_REVOKED);
    principal_release(token.principal);
}

/* ---- databases that go ------------------------------------------------------------------------------------------- */

static void a_dropped_database_takes_its_transactions_with_it(void **state) {
    struct bench *b = *state;
    struct transaction_info info, kept = begin(b, b->ann);
    struct transaction_caller caller = in(b->ann, "mine");
    struct transaction *transaction;
    struct outcome outcome;
    assert_int_equal(databases_create(b->behind.databases, velocity_str("mine"), UINT64_MAX), VELOCITY_OK);
    assert_int_equal(transactions_begin(b->all, &caller, VELOCITY_ISOLATION_SERIALIZABLE, &info), VELOCITY_OK);
    assert_int_equal(databases_drop(b->behind.databases, velocity_str("mine"), 0), VELOCITY_OK);
    assert_int_equal(transactions_enter(b->all, velocity_str(info.id), &caller, &transaction, &outcome),
                     TRANSACTION_ENDED);
    assert_int_equal(outcome.end, TRANSACTION_DROPPED);
    assert_int_equal(transactions_begin(b->all, &caller, VELOCITY_ISOLATION_SNAPSHOT, &info), VELOCITY_NOT_FOUND);
    transaction_leave(inside(b, &kept));
}

struct dropping {
    struct databases *databases;
    velocity_status status;
};

static void *drop(void *arg) {
    struct dropping *dropping = arg;
    dropping->status = databases_drop(dropping->databases, velocity_str("mine"), 60000);
    return NULL;
}

static void a_drop_waits_for_who_is_inside_and_no_longer(void **state) {
    struct bench *b = *state;
    struct transaction_info info;
    struct transaction_caller caller = in(b->ann, "mine");
    struct transaction *transaction;
    struct outcome outcome;
    struct dropping dropping = {.databases = b->behind.databases};
    pthread_t thread;
    assert_int_equal(databases_create(b->behind.databases, velocity_str("mine"), UINT64_MAX), VELOCITY_OK);
    assert_int_equal(transactions_begin(b->all, &caller, VELOCITY_ISOLATION_SNAPSHOT, &info), VELOCITY_OK);
    assert_int_equal(transactions_enter(b->all, velocity_str(info.id), &caller, &transaction, &outcome),
                     TRANSACTION_ENTERED);
    assert_int_equal(pthread_create(&thread, NULL, drop, &dropping), 0);
    struct database *database;
    velocity_status status = VELOCITY_OK;
    while (status != VELOCITY_BUSY) { /* until the door is closed */
        status = databases_acquire(b->behind.databases, velocity_str("mine"), &database);
        if (!status) database_release(database);
        usleep(1000);
    }
    assert_int_equal(write_inside(transaction, "a", LITERAL("1")).status, VELOCITY_OK);
    transaction_leave(transaction);
    pthread_join(thread, NULL);
    assert_int_equal(dropping.status, VELOCITY_OK);
}

/* ---- looking ---------------------------------------------------------------------------------------------------- */

static bool count_row(void *arg, const struct transaction_info *info) {
    assert_true(info->user[0]);
    ++*(int *)arg;
    return true;
}

static void open_ones_are_listed_by_database_and_user(void **state) {
    struct bench *b = *state;
    struct transaction_caller caller = in(b->ann, "other");
    struct transaction_info info;
    assert_int_equal(databases_create(b->behind.databases, velocity_str("other"), UINT64_MAX), VELOCITY_OK);
    assert_int_equal(transactions_begin(b->all, &caller, VELOCITY_ISOLATION_SNAPSHOT, &info), VELOCITY_OK);
    for (int i = 0; i < 3; i++) (void)begin(b, i ? b->ann : b->bob);
    struct {
        const char *database, *user;
        int rows;
    } lists[] = {{"default", NULL, 3}, {"default", "ann", 2}, {"default", "bob", 1},
                 {"other", NULL, 1},   {"other", "bob", 0},   {"none", NULL, 0}};
    for (size_t i = 0; i < COUNT(lists); i++) {
        int rows = 0;
        transactions_list(b->all, velocity_str(lists[i].database), lists[i].user, count_row, &rows);
        assert_int_equal(rows, lists[i].rows);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, transactions_set_up, transactions_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(it_is_there_for_the_login_that_began_it_in_its_database_alone),
        TEST(an_id_is_32_hexadecimal_digits_and_none_that_can_be_guessed),
        TEST(one_request_at_a_time_is_inside),
        TEST(one_that_nobody_comes_to_ends_and_one_that_is_used_does_not),
        TEST(a_request_that_has_come_keeps_it_though_its_body_takes_its_time),
        TEST(none_lives_for_ever),
        TEST(whoever_is_inside_is_not_disturbed_and_then_it_ends),
        TEST(what_is_rolled_back_was_never_there_and_is_remembered),
        TEST(rights_that_are_taken_back_take_it_with_them),
        TEST(a_dropped_database_takes_its_transactions_with_it),
        TEST(a_drop_waits_for_who_is_inside_and_no_longer),
        TEST(open_ones_are_listed_by_database_and_user),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
