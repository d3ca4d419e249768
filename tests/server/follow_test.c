/*
 * follow_test.c - those who follow a database: who keeps up, who is behind, who is left behind, and how it ends.
 */
#include "tests/server/follow_support.h"

static int set_up_with_history(void **state) {
    return follow_fixture_open(state, UINT64_C(1) << 30);
}

static int set_up_without_history(void **state) {
    return follow_fixture_open(state, 0);
}

/* ---- keeping up ------------------------------------------------------------------------------------------------- */

static void a_follower_is_told_where_it_stands_and_then_what_happens(void **state) {
    struct fixture *f = *state;
    struct client c;
    char expected[200];
    start(60000);
    put_text(f, "a", "before");
    uint64_t at = now(f);
    follow_from_now(f, &c, "");
    hear(&c, "heartbeat");
    put_text(f, "b", "1");
    OK(velocity_delete(engine(f), velocity_str("b")));
    OK(velocity_delete_range(engine(f), velocity_str("a"), velocity_str("c")));
    hear(&c, "range");
    (void)snprintf(expected, sizeof expected, "heartbeat %llu \nput %llu b=1\ndelete %llu b\nrange %llu a..c\n",
                   (unsigned long long)at, (unsigned long long)at + 1, (unsigned long long)at + 2,
                   (unsigned long long)at + 3);
    assert_text(&c, expected);
    unfollow(&c);
    stop();
}

static void only_those_whom_it_concerns_are_woken(void **state) {
    struct fixture *f = *state;
    struct client mine, other, longer;
    start(60000);
    follow_from_now(f, &mine, "a:");
    follow_from_now(f, &other, "b:");
    follow_from_now(f, &longer, "a:1:x");
    hear(&mine, "heartbeat");
    hear(&other, "heartbeat");
    hear(&longer, "heartbeat");
    put_text(f, "a:1", "x");
    put_text(f, "a", "y");
    put_text(f, "a:2", "z");
    hear(&mine, "a:2=z");
    assert_int_equal(lines_with(&mine, "put"), 2);
    assert_false(other.ready);
    assert_false(longer.ready);
    put_text(f, "b:", "own");
    put_text(f, "a:1:x", "own");
    hear(&other, "b:=own");
    hear(&longer, "a:1:x=own");
    struct follow_stats stats;
    followers_stats(followers, &stats);
    assert_int_equal(stats.events, 4);
    assert_int_equal(stats.hubs, 1);
    assert_int_equal(stats.followers, 3);
    unfollow(&mine);
    unfollow(&other);
    unfollow(&longer);
    stop();
}

static void a_heartbeat_carries_what_concerned_nobody(void **state) {
    struct fixture *f = *state;
    struct client c;
    char expected[64];
    start(50);
    follow_from_now(f, &c, "quiet");
    put_numbers(f, 0, 10, "x");
    (void)snprintf(expected, sizeof expected, "heartbeat %llu ", (unsigned long long)now(f));
    hear(&c, expected);
    assert_int_equal(lines_with(&c, "put"), 0);
    unfollow(&c);
    stop();
}

static void heartbeats_come_while_much_is_read_for_others(void **state) {
    struct fixture *f = *state;
    struct client busy, quiet;
    struct follow_stats stats;
    start(50);
    follow_from_now(f, &busy, "n:");
    follow_from_now(f, &quiet, "quiet");
    hear(&quiet, "heartbeat");
    write_us = 2000;
    put_numbers(f, 0, 1000, "x");
    while (lines_with(&quiet, "heartbeat") < 4) {
        assert_true(take_some(&quiet));
        if (lines_with(&quiet, "heartbeat") < 4) assert_true(wait_ready(&quiet));
    }
    followers_stats(followers, &stats);
    write_us = 0;
    assert_true(stats.events < 1000);
    hear(&busy, "n:000999=");
    assert_numbers(&busy, 0, 1000);
    unfollow(&busy);
    unfollow(&quiet);
    stop();
}

static void a_large_event_comes_in_pieces(void **state) {
    struct fixture *f = *state;
    struct client c;
    static char value[300000];
    start(60000);
    memset(value, 'v', sizeof value - 1);
    follow_from_now(f, &c, "");
    c.piece_bytes = 1000;
    put_text(f, "large", value);
    put_text(f, "small", "s");
    hear(&c, "small=s");
    assert_non_null(strstr(c.text.data, value));
    unfollow(&c);
    stop();
}

/* ---- behind ----------------------------------------------------------------------------------------------------- */

static void who_begins_in_the_past_reads_it_and_joins_the_others(void **state) {
    struct fixture *f = *state;
    struct client first, c;
    start(60000);
    put_numbers(f, 0, 3000, "past");
    follow_from_now(f, &first, "n:");
    follow_with(f, &c, (struct follower_options){.prefix = velocity_str("n:"), .since = 0});
    put_numbers(f, 3000, 3500, "present");
    hear(&c, "n:003499=present");
    hear(&first, "n:003499=present");
    assert_numbers(&c, 0, 3500);
    assert_numbers(&first, 3000, 3500);
    hear(&c, "heartbeat");
    struct follow_stats stats;
    followers_stats(followers, &stats);
    assert_int_equal(stats.behind, 0);
    unfollow(&c);
    unfollow(&first);
    stop();
}

static void who_begins_inside_of_a_batch_sees_its_rest(void **state) {
    struct fixture *f = *state;
    struct client c;
    uint64_t last;
    start(60000);
    velocity_batch *batch = velocity_batch_new();
    for (unsigned i = 0; i < 6; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "n:%06u", i);
        velocity_batch_put(batch, velocity_str(key), velocity_str("x"), NULL);
    }
    OK(velocity_write(engine(f), batch, NULL, &last));
    velocity_batch_free(batch);
    follow_with(f, &c, (struct follower_options){.since = last - 2});
    hear(&c, "n:000005");
    assert_numbers(&c, 4, 6);
    unfollow(&c);
    stop();
}

static void who_takes_nothing_is_left_behind_by_the_ring_and_loses_nothing(void **state) {
    struct fixture *f = *state;
    struct client slow, quick;
    struct follow_stats stats;
    start(60000);
    follow_from_now(f, &slow, "n:");
    follow_from_now(f, &quick, "n:");
    hear(&slow, "heartbeat");
    put_numbers(f, 0, 1, "x"); /* it is woken, and does not come */
    put_numbers(f, 1, FOLLOW_RING_EVENTS + 500, "x");
    char last[32];
    (void)snprintf(last, sizeof last, "n:%06u=", FOLLOW_RING_EVENTS + 499);
    hear(&quick, last);
    hear(&slow, last);
    assert_numbers(&slow, 0, FOLLOW_RING_EVENTS + 500);
    followers_stats(followers, &stats);
    assert_true(stats.ring_bytes <= FOLLOW_RING_BYTES);
    unfollow(&slow);
    unfollow(&quick);
    stop();
}

static void large_events_leave_the_ring_by_their_bytes(void **state) {
    struct fixture *f = *state;
    struct client slow, quick;
    struct follow_stats stats;
    static char value[700000];
    start(60000);
    memset(value, 'v', sizeof value - 1);
    follow_from_now(f, &slow, "n:");
    follow_from_now(f, &quick, "n:");
    put_numbers(f, 0, 30, value);
    hear(&quick, "n:000029=");
    followers_stats(followers, &stats);
    assert_true(stats.ring_bytes <= FOLLOW_RING_BYTES);
    hear(&slow, "n:000029=");
    assert_numbers(&slow, 0, 30);
    unfollow(&slow);
    unfollow(&quick);
    stop();
}

static void history_that_is_not_there_is_known_at_the_beginning(void **state) {
    struct fixture *f = *state;
    struct client c;
    start(60000);
    put_text(f, "a", "1");
    assert_int_equal(try_follow(f, &c, (struct follower_options){.since = now(f) + 1}), VELOCITY_HISTORY_GONE);
    assert_null(c.follower);
    unfollow(&c);
    stop();
}

/* The log keeps nothing that recovery does not need. */
static void history_that_goes_while_somebody_is_behind_is_the_last_event(void **state) {
    struct fixture *f = *state;
    struct client slow;
    static char value[100000];
    start(60000);
    for (size_t i = 0; i + 1 < sizeof value; i++) value[i] = (char)('a' + (i * 7919) % 26);
    follow_from_now(f, &slow, "n:");
    hear(&slow, "heartbeat");
    put_numbers(f, 0, 300, value);
    OK(velocity_flush(engine(f)));
    put_numbers(f, 300, 400, value);
    OK(velocity_flush(engine(f)));
    while (take_some(&slow))
        if (!wait_ready(&slow)) fail_msg("no end: %.2000s", slow.text.data);
    assert_int_equal(slow.result, FOLLOW_ENDED);
    assert_int_equal(lines_with(&slow, "gone "), 1);
    unfollow(&slow);
    stop();
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static void *drop_it(void *arg) {
    struct fixture *f = arg;
    return (void *)(uintptr_t)databases_drop(f->all, velocity_str("other"), 5000);
}

static void a_database_that_is_dropped_is_left(void **state) {
    struct fixture *f = *state;
    struct client c = {0};
    void *status;
    pthread_t thread;
    start(60000);
    OK(create(f, "other"));
    (void)version_of_put(f, "other");
    pthread_mutex_init(&c.mutex, NULL);
    pthread_cond_init(&c.changed, NULL);
    c.piece_bytes = 4096;
    OK(acquire(f, "other", &c.database));
    struct follower_options options = {.database = c.database, .from_now = true, .ready = ready, .arg = &c};
    OK(follow_begin(followers, &options, &c.follower));
    hear(&c, "heartbeat");
    assert_int_equal(pthread_create(&thread, NULL, drop_it, f), 0);
    while (take_some(&c)) assert_true(wait_ready(&c));
    assert_int_equal(c.result, FOLLOW_ENDED);
    unfollow(&c);
    pthread_join(thread, &status);
    assert_int_equal((uintptr_t)status, VELOCITY_OK);
    stop();
}

static void nothing_is_held_when_nobody_follows_any_more(void **state) {
    struct fixture *f = *state;
    struct client c;
    velocity_stats stats = {.struct_size = sizeof stats};
    start(60000);
    for (int i = 0; i < 20; i++) {
        follow_with(f, &c, (struct follower_options){.since = 0});
        put_text(f, "k", "x");
        if (i % 2) hear(&c, "k=x");
        unfollow(&c);
    }
    stop();
    OK(velocity_stats_get(engine(f), &stats));
    assert_int_equal(stats.live_handles, 0);
}

/* ---- all at once ------------------------------------------------------------------------------------------------ */

#define CROWD   24
#define WRITTEN 6000

struct crowd {
    struct fixture *f;
    _Atomic unsigned next;
    _Atomic(const char *) complaint; /* assertions are the main thread's */
};

static void *write_numbers(void *arg) {
    struct crowd *crowd = arg;
    put_numbers(crowd->f, 0, WRITTEN, "x");
    return NULL;
}

/* Comes, follows from the beginning or from now, perhaps leaves at once; the last time to the end. */
static void *come_and_go(void *arg) {
    struct crowd *crowd = arg;
    struct fixture *f = crowd->f;
    unsigned number = atomic_fetch_add(&crowd->next, 1);
    struct client c;
    char last[32];
    (void)snprintf(last, sizeof last, "n:%06u=", WRITTEN - 1);
    for (unsigned i = 0; i < 10 && !crowd->complaint; i++) {
        if (try_follow(f, &c, (struct follower_options){.since = 0, .from_now = (number + i) % 3 == 0}))
            crowd->complaint = "can't follow";
        else if (i % 2)
            (void)take_some(&c);
        unfollow(&c);
    }
    if (try_follow(f, &c, (struct follower_options){.prefix = velocity_str(number % 2 ? "n:" : "n"), .since = 0})) {
        crowd->complaint = "can't follow to the end";
    } else {
        c.piece_bytes = 100 + number * 100;
        if (!hears(&c, last)) crowd->complaint = "the end did not come";
        if (!has_numbers(&c, 0, WRITTEN)) crowd->complaint = "some are missing, or too many";
    }
    unfollow(&c);
    return NULL;
}

static void many_come_and_go_while_somebody_writes(void **state) {
    struct fixture *f = *state;
    struct crowd crowd = {.f = f};
    pthread_t writer, threads[CROWD];
    start(20);
    put_text(f, "first", "x");
    assert_int_equal(pthread_create(&writer, NULL, write_numbers, &crowd), 0);
    for (size_t i = 0; i < CROWD; i++) assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &crowd), 0);
    for (size_t i = 0; i < CROWD; i++) pthread_join(threads[i], NULL);
    pthread_join(writer, NULL);
    assert_ptr_equal(crowd.complaint, NULL);
    stop();
}

#define WITH_HISTORY(name)    cmocka_unit_test_setup_teardown(name, set_up_with_history, tear_down)
#define WITHOUT_HISTORY(name) cmocka_unit_test_setup_teardown(name, set_up_without_history, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_HISTORY(a_follower_is_told_where_it_stands_and_then_what_happens),
        WITH_HISTORY(only_those_whom_it_concerns_are_woken),
        WITH_HISTORY(a_heartbeat_carries_what_concerned_nobody),
        WITH_HISTORY(heartbeats_come_while_much_is_read_for_others),
        WITH_HISTORY(a_large_event_comes_in_pieces),
        WITH_HISTORY(who_begins_in_the_past_reads_it_and_joins_the_others),
        WITH_HISTORY(who_begins_inside_of_a_batch_sees_its_rest),
        WITH_HISTORY(who_takes_nothing_is_left_behind_by_the_ring_and_loses_nothing),
        WITH_HISTORY(large_events_leave_the_ring_by_their_bytes),
        WITH_HISTORY(history_that_is_not_there_is_known_at_the_beginning),
        WITHOUT_HISTORY(history_that_goes_while_somebody_is_behind_is_the_last_event),
        WITH_HISTORY(a_database_that_is_dropped_is_left),
        WITH_HISTORY(nothing_is_held_when_nobody_follows_any_more),
        WITH_HISTORY(many_come_and_go_while_somebody_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
