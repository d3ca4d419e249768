/*
 * follow_held_test.c - what those who are behind hold while they do not take: bounded together, and what was let go is
 * told all the same, each byte once.
 */
#include "tests/server/follow_support.h"

#define LARGE_BYTES 700000u

static int set_up_with_history(void **state) {
    held_bytes = 0; /* too much is held, always */
    return follow_fixture_open(state, UINT64_C(1) << 30);
}

static int set_up_without_history(void **state) {
    held_bytes = 0;
    return follow_fixture_open(state, 0);
}

static uint64_t held_now(void) {
    struct follow_stats stats;
    followers_stats(followers, &stats);
    return stats.held_bytes;
}

/* Without heartbeats, which come when they come. */
static void drop_heartbeats(struct client *c) {
    static const char word[] = "heartbeat ";
    char *to = c->text.data;
    for (char *line = to, *next; *line; line = next) {
        next = strchr(line, '\n') + 1;
        if (strncmp(line, word, sizeof word - 1) == 0) continue;
        memmove(to, line, (size_t)(next - line));
        to += next - line;
    }
    *to = 0;
}

static enum follow_result take_piece_of(struct client *c) {
    struct json_writer part = {0};
    c->result = follow_take(c->follower, &part, c->piece_bytes);
    json_append(&c->text, part.data, part.size);
    assert_true(json_writer_reserve(&c->text, 1));
    c->text.data[c->text.size] = 0;
    json_writer_free(&part);
    return c->result;
}

/* Takes one piece at a time, and holds nothing after each, until it has heard `last`. */
static void hear_piecemeal(struct client *c, const char *last) {
    for (;;) {
        enum follow_result result = take_piece_of(c);
        assert_int_equal(held_now(), 0);
        size_t size = c->text.size, end = strlen(last);
        if (size >= end && strstr(c->text.data + (size > 500 ? size - 500 : 0), last)) return;
        if (result == FOLLOW_NOTHING)
            assert_true(wait_ready(c));
        else
            assert_int_equal(result, FOLLOW_MORE);
    }
}

static void take_part_of(struct client *c) {
    assert_int_equal(take_piece_of(c), FOLLOW_MORE);
}

/* Small, large and middling values, deletes, ranges and batches. */
static void write_all_sorts(struct fixture *f) {
    static char large[200000], middling[9000];
    memset(large, 'l', sizeof large - 1);
    memset(middling, 'm', sizeof middling - 1);
    for (unsigned i = 0; i < 12; i++) {
        put_numbers(f, 100 * i, 100 * i + 40, "small");
        put_numbers(f, 100 * i + 40, 100 * i + 45, middling);
        if (i % 4 == 1) put_numbers(f, 100 * i + 45, 100 * i + 47, large);
        OK(velocity_delete(engine(f), velocity_str("n:000001")));
        OK(velocity_delete_range(engine(f), velocity_str("n:000005"), velocity_str("n:000009")));
        put_text(f, "other", middling);
    }
    put_text(f, "n:end", "x");
}

/* All of it as one hears it who may hold what it likes; to be freed. */
static char *heard_with_plenty(struct fixture *f) {
    struct client c;
    held_bytes = (size_t)32 << 20;
    start(60000);
    follow_with(f, &c, (struct follower_options){.prefix = LITERAL("n:"), .since = 0});
    hear(&c, "n:end=x\n");
    drop_heartbeats(&c);
    char *text = strdup(c.text.data);
    unfollow(&c);
    stop();
    held_bytes = 0;
    return text;
}

static void who_is_behind_is_told_the_same_whether_or_not_it_may_hold_anything(void **state) {
    struct fixture *f = *state;
    static const size_t pieces[] = {777, 16384, 50000};
    struct client c;
    write_all_sorts(f);
    char *expected = heard_with_plenty(f);
    for (size_t i = 0; i < 3; i++) {
        start(1);
        follow_with(f, &c, (struct follower_options){.prefix = LITERAL("n:"), .since = 0});
        c.piece_bytes = pieces[i];
        hear_piecemeal(&c, "n:end=x\n");
        drop_heartbeats(&c);
        assert_text(&c, expected);
        unfollow(&c);
        stop();
    }
    free(expected);
}

static void what_one_holds_is_counted_and_given_back(void **state) {
    struct fixture *f = *state;
    struct client c;
    write_all_sorts(f);
    held_bytes = (size_t)32 << 20;
    start(60000);
    follow_with(f, &c, (struct follower_options){.since = 0});
    take_part_of(&c);
    assert_in_range(held_now(), 1, 1 << 20);
    hear(&c, "n:end=x\n");
    assert_int_equal(held_now(), 0);
    unfollow(&c);
    follow_with(f, &c, (struct follower_options){.since = 0});
    take_part_of(&c);
    assert_in_range(held_now(), 1, 1 << 20);
    unfollow(&c); /* in the midst of it */
    assert_int_equal(held_now(), 0);
    stop();
}

static void those_let_go_of_large_events_who_have_not_taken_for_longest(void **state) {
    struct fixture *f = *state;
    struct client clients[3];
    static char value[LARGE_BYTES + 1];
    memset(value, 'v', LARGE_BYTES);
    put_numbers(f, 0, 3, value);
    held_bytes = (size_t)32 << 20;
    start(60000);
    for (size_t i = 0; i < 3; i++) {
        follow_with(f, &clients[i], (struct follower_options){.since = 0});
        clients[i].piece_bytes = 100;
        take_part_of(&clients[i]);
        assert_true(clients[i].follower->held > 0);
    }
    followers->options.held_bytes = held_now() - 1;
    take_part_of(&clients[1]);
    assert_int_equal(clients[0].follower->held, 0);
    assert_true(clients[1].follower->held > 0 && clients[2].follower->held > 0);
    followers->options.held_bytes = held_now();
    assert_int_equal(take_piece_of(&clients[0]), FOLLOW_NOTHING); /* it reads again */
    assert_true(wait_ready(&clients[0]));
    take_part_of(&clients[0]);
    assert_int_equal(clients[2].follower->held, 0);
    assert_true(clients[0].follower->held > 0 && clients[1].follower->held > 0);
    for (size_t i = 0; i < 3; i++) unfollow(&clients[i]);
    assert_int_equal(held_now(), 0);
    stop();
}

/* ---- part of an event that leaves the ring ---------------------------------------------------------------------- */

/* `large` was begun by the client, and has left the ring. */
static void leave_with_part(struct fixture *f, struct client *c) {
    static char value[LARGE_BYTES + 1];
    struct client quick;
    memset(value, 'v', LARGE_BYTES);
    follow_from_now(f, c, "n:");
    follow_from_now(f, &quick, "n:");
    hear(c, "heartbeat");
    put_numbers(f, 0, 1, value);
    hear(&quick, "n:000000=");
    take_part_of(c);
    for (unsigned i = 1; i < 30; i++) { /* one after the other: the log may keep nothing for who is left behind */
        char key[32];
        put_numbers(f, i, i + 1, value);
        (void)snprintf(key, sizeof key, "n:%06u=", i);
        hear(&quick, key);
    }
    unfollow(&quick);
}

static void assert_all_large(struct client *c) {
    c->piece_bytes = 65536;
    hear(c, "n:000029=");
    while (c->text.data[c->text.size - 1] != '\n') assert_true(wait_ready(c) && take_some(c));
    drop_heartbeats(c);
    assert_numbers(c, 0, 30);
    for (char *line = c->text.data, *next; *line; line = next) {
        next = strchr(line, '\n') + 1;
        assert_int_equal(strspn(strchr(line, '=') + 1, "v"), LARGE_BYTES);
    }
}

static void an_event_of_which_part_was_taken_is_kept_once_and_counted(void **state) {
    struct fixture *f = *state;
    struct client c;
    held_bytes = (size_t)32 << 20;
    start(60000);
    leave_with_part(f, &c);
    assert_in_range(held_now(), LARGE_BYTES, LARGE_BYTES + 1000);
    assert_all_large(&c);
    assert_int_equal(held_now(), 0);
    unfollow(&c);
    stop();
}

static void its_rest_is_read_again_where_too_much_is_held(void **state) {
    struct fixture *f = *state;
    struct client c;
    start(60000);
    leave_with_part(f, &c);
    assert_int_equal(held_now(), 0);
    assert_all_large(&c);
    unfollow(&c);
    stop();
}

/* What follows the part can't be told any more: the client must not take the one for the other. */
static void an_event_whose_rest_has_gone_is_broken_off(void **state) {
    struct fixture *f = *state;
    struct client c;
    const char *words;
    start(60000);
    leave_with_part(f, &c);
    OK(velocity_flush(engine(f)));
    put_text(f, "n:last", "x");
    OK(velocity_flush(engine(f)));
    while (take_some(&c)) assert_true(wait_ready(&c));
    assert_int_equal(c.result, FOLLOW_FAILED);
    assert_int_equal(follow_failure(c.follower, &words), VELOCITY_HISTORY_GONE);
    assert_int_equal(lines_with(&c, "gone"), 0);
    assert_int_equal(lines_with(&c, "put "), 1);
    unfollow(&c);
    stop();
}

#define WITH_HISTORY(name) cmocka_unit_test_setup_teardown(name, set_up_with_history, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_HISTORY(who_is_behind_is_told_the_same_whether_or_not_it_may_hold_anything),
        WITH_HISTORY(what_one_holds_is_counted_and_given_back),
        WITH_HISTORY(those_let_go_of_large_events_who_have_not_taken_for_longest),
        WITH_HISTORY(an_event_of_which_part_was_taken_is_kept_once_and_counted),
        WITH_HISTORY(its_rest_is_read_again_where_too_much_is_held),
        cmocka_unit_test_setup_teardown(an_event_whose_rest_has_gone_is_broken_off, set_up_without_history, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
