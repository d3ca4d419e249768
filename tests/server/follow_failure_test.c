/*
 * follow_failure_test.c - what those who follow a database are told where its log can't be read, or is read slowly.
 *
 * The store's feeds are the engine's, but fail or dawdle when a test says so.
 */
#include "tests/server/follow_support.h"

static const struct store_operations *engine_operations;
static _Atomic int trouble;        /* what feeds answer instead of the next change */
static _Atomic int troubles;       /* how many times more; -1: from now on */
static _Atomic uint32_t change_us; /* that looking at a change takes besides */
static _Atomic uint64_t looked_at; /* changes, or the lack of them */

static const velocity_change *next_with_trouble(struct store_feed *feed, velocity_status *status) {
    atomic_fetch_add(&looked_at, 1);
    if (change_us) env_sleep_us(change_us);
    if (troubles == 0) return engine_operations->feed_next(feed, status);
    if (troubles > 0) atomic_fetch_sub(&troubles, 1);
    *status = status_set((velocity_status)trouble, "00000007.log: offset 4096: trouble");
    return NULL;
}

static int set_up_with_trouble(void **state) {
    static struct store_operations operations;
    struct database *database;
    if (follow_fixture_open(state, UINT64_C(1) << 30) || acquire(*state, "default", &database)) return -1;
    struct store *store = database_store(database);
    engine_operations = store->operations;
    operations = *engine_operations;
    operations.feed_next = next_with_trouble;
    store->operations = &operations;
    troubles = 0;
    change_us = 0;
    looked_at = 0;
    database_release(database);
    return 0;
}

static void fail_with(velocity_status status, int times) {
    trouble = status;
    troubles = times;
}

static void assert_fails_with(struct client *c, velocity_status status) {
    const char *words;
    while (take_some(c)) assert_true(wait_ready(c));
    assert_int_equal(c->result, FOLLOW_FAILED);
    assert_int_equal(follow_failure(c->follower, &words), status);
    assert_string_equal(words, "00000007.log: offset 4096: trouble");
}

/* ---- a log that can't be read ----------------------------------------------------------------------------------- */

static void a_damaged_log_ends_all_who_wait_for_it_and_says_why(void **state) {
    struct fixture *f = *state;
    struct client some, all, again;
    struct follow_stats stats;
    start(60000);
    uint64_t since = now(f);
    follow_from_now(f, &some, "quiet");
    follow_from_now(f, &all, "");
    hear(&some, "heartbeat");
    hear(&all, "heartbeat");
    fail_with(VELOCITY_CORRUPT, -1);
    put_text(f, "a", "1");
    assert_fails_with(&some, VELOCITY_CORRUPT);
    assert_fails_with(&all, VELOCITY_CORRUPT);
    fail_with(VELOCITY_OK, 0);
    /* Who comes back is not put to those who have failed. */
    follow_with(f, &again, (struct follower_options){.since = since});
    hear(&again, "a=1");
    put_text(f, "b", "2");
    hear(&again, "b=2");
    followers_stats(followers, &stats);
    assert_int_equal(stats.hubs, 2);
    unfollow(&some);
    unfollow(&all);
    unfollow(&again);
    stop();
}

static void what_was_read_before_the_log_failed_is_told(void **state) {
    struct fixture *f = *state;
    struct client c;
    start(60000);
    follow_from_now(f, &c, "n:");
    hear(&c, "heartbeat");
    put_numbers(f, 0, 1, "x"); /* it is woken, and does not come */
    assert_true(wait_ready(&c));
    put_numbers(f, 1, 100, "x");
    struct follow_stats stats = {0};
    while (stats.events < 100) followers_stats(followers, &stats);
    fail_with(VELOCITY_CORRUPT, -1);
    put_numbers(f, 100, 101, "x");
    assert_fails_with(&c, VELOCITY_CORRUPT);
    assert_numbers(&c, 0, 100);
    unfollow(&c);
    stop();
}

static void trouble_that_passes_is_waited_out(void **state) {
    struct fixture *f = *state;
    struct client c;
    start(60000);
    follow_from_now(f, &c, "n:");
    hear(&c, "heartbeat");
    fail_with(VELOCITY_IO, 2);
    put_numbers(f, 0, 10, "x");
    hear(&c, "n:000009=");
    assert_int_equal(troubles, 0);
    assert_numbers(&c, 0, 10);
    unfollow(&c);
    stop();
}

static void trouble_that_lasts_ends_those_who_wait(void **state) {
    struct fixture *f = *state;
    struct client c;
    start(60000);
    follow_from_now(f, &c, "n:");
    hear(&c, "heartbeat");
    fail_with(VELOCITY_IO, -1);
    put_numbers(f, 0, 10, "x");
    assert_fails_with(&c, VELOCITY_IO);
    unfollow(&c);
    stop();
}

/* The hubs' thread was so slow that the log has gone on without it. */
static void a_reading_that_was_left_behind_starts_over_and_nobody_misses_anything(void **state) {
    struct fixture *f = *state;
    struct client idle, active;
    start(60000);
    follow_from_now(f, &idle, "n:");
    follow_from_now(f, &active, "n:");
    hear(&idle, "heartbeat");
    fail_with(VELOCITY_HISTORY_GONE, 1);
    put_numbers(f, 0, 100, "x");
    hear(&idle, "n:000099=");
    hear(&active, "n:000099=");
    assert_int_equal(troubles, 0);
    assert_numbers(&idle, 0, 100);
    assert_numbers(&active, 0, 100);
    unfollow(&idle);
    unfollow(&active);
    stop();
}

#define MANY 5000 /* whose events are more than is read before any is taken */

static void who_is_behind_is_told_what_was_read_and_then_ends(void **state) {
    struct fixture *f = *state;
    struct client c;
    start(60000);
    put_numbers(f, 0, MANY, "x");
    follow_with(f, &c, (struct follower_options){.since = 0});
    fail_with(VELOCITY_CORRUPT, -1);
    assert_fails_with(&c, VELOCITY_CORRUPT);
    size_t count = lines_with(&c, "put ");
    assert_in_range(count, 1, MANY - 1);
    assert_numbers(&c, 0, (unsigned)count);
    unfollow(&c);
    stop();
}

static void who_begins_in_a_damaged_past_is_refused(void **state) {
    struct fixture *f = *state;
    struct client c;
    start(60000);
    put_numbers(f, 0, 10, "x");
    fail_with(VELOCITY_CORRUPT, -1);
    assert_int_equal(try_follow(f, &c, (struct follower_options){.since = 0}), VELOCITY_CORRUPT);
    assert_string_equal(velocity_error_message(), "00000007.log: offset 4096: trouble");
    assert_null(c.follower);
    unfollow(&c);
    stop();
}

/* ---- a log that is read slowly ---------------------------------------------------------------------------------- */

struct probe {
    struct executor_task task;
    _Atomic bool ran;
    uint64_t looked_at;
};

static void run_probe(struct executor_task *task) {
    struct probe *probe = (struct probe *)((char *)task - offsetof(struct probe, task));
    probe->looked_at = looked_at;
    probe->ran = true;
}

static void one_who_is_far_behind_does_not_keep_the_executor_from_others(void **state) {
    struct fixture *f = *state;
    struct client c;
    struct probe probe = {.task.run = run_probe};
    start_with(1, 60000);
    put_numbers(f, 0, MANY, "x");
    change_us = 1000;
    follow_with(f, &c, (struct follower_options){.since = 0, .prefix = LITERAL("nothing")});
    assert_true(looked_at < MANY / 4); /* not all of it at once */
    assert_true(take_some(&c));
    uint64_t before = looked_at;
    assert_true(executor_submit(executor, &probe.task));
    while (!probe.ran) env_sleep_us(1000);
    assert_true(probe.looked_at - before < MANY / 4);
    change_us = 0;
    hear(&c, "heartbeat");
    unfollow(&c);
    stop();
}

#define CROWD 24

static void many_who_are_far_behind_do_not_either(void **state) {
    struct fixture *f = *state;
    struct client crowd[CROWD];
    struct probe probe = {.task.run = run_probe};
    start_with(1, 60000);
    put_numbers(f, 0, MANY, "x");
    for (size_t i = 0; i < CROWD; i++)
        follow_with(f, &crowd[i], (struct follower_options){.since = 0, .prefix = LITERAL("nothing")});
    for (size_t i = 0; i < CROWD; i++) hear(&crowd[i], "heartbeat"); /* also the last one has its turn */
    for (size_t i = 0; i < CROWD; i++) unfollow(&crowd[i]);
    change_us = 1000;
    for (size_t i = 0; i < CROWD; i++)
        follow_with(f, &crowd[i], (struct follower_options){.since = 0, .prefix = LITERAL("nothing")});
    for (size_t i = 0; i < CROWD; i++) assert_true(take_some(&crowd[i]));
    uint64_t before = looked_at;
    assert_true(executor_submit(executor, &probe.task));
    while (!probe.ran) env_sleep_us(1000);
    /* A turn takes 20 ms, in which no more than 20 changes are looked at, and one; few come before it. */
    assert_in_range(probe.looked_at - before, 0, 5 * 21);
    for (size_t i = 0; i < CROWD; i++) unfollow(&crowd[i]); /* most of them while they wait for their turn */
    stop();
}

static void who_is_far_behind_is_told_how_far_it_has_come(void **state) {
    struct fixture *f = *state;
    struct client c;
    unsigned long long first, second;
    char last[64];
    start(20);
    put_numbers(f, 0, MANY, "x");
    change_us = 200;
    follow_with(f, &c, (struct follower_options){.since = 0, .prefix = LITERAL("nothing")});
    while (lines_with(&c, "heartbeat") < 2) {
        assert_true(take_some(&c));
        if (lines_with(&c, "heartbeat") < 2) assert_true(wait_ready(&c));
    }
    change_us = 0;
    assert_int_equal(sscanf(c.text.data, "heartbeat %llu \nheartbeat %llu ", &first, &second), 2);
    assert_true(0 < first && first < second && second < now(f));
    (void)snprintf(last, sizeof last, "heartbeat %llu ", (unsigned long long)now(f));
    hear(&c, last);
    unfollow(&c);
    stop();
}

#define WITH_TROUBLE(name) cmocka_unit_test_setup_teardown(name, set_up_with_trouble, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_TROUBLE(a_damaged_log_ends_all_who_wait_for_it_and_says_why),
        WITH_TROUBLE(what_was_read_before_the_log_failed_is_told),
        WITH_TROUBLE(trouble_that_passes_is_waited_out),
        WITH_TROUBLE(trouble_that_lasts_ends_those_who_wait),
        WITH_TROUBLE(a_reading_that_was_left_behind_starts_over_and_nobody_misses_anything),
        WITH_TROUBLE(who_is_behind_is_told_what_was_read_and_then_ends),
        WITH_TROUBLE(who_begins_in_a_damaged_past_is_refused),
        WITH_TROUBLE(one_who_is_far_behind_does_not_keep_the_executor_from_others),
        WITH_TROUBLE(many_who_are_far_behind_do_not_either),
        WITH_TROUBLE(who_is_far_behind_is_told_how_far_it_has_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
