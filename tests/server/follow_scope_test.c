/*
 * follow_scope_test.c - what those who follow a database may see: their prefix, within their scope.
 */
#include "tests/server/follow_support.h"

static int set_up_with_history(void **state) {
    return follow_fixture_open(state, UINT64_C(1) << 30);
}

/* ---- what it may see -------------------------------------------------------------------------------------------- */

static struct principal *limited_to(size_t count, const velocity_slice *prefixes) {
    struct principal from = {.user = (char *)"u", .role = ROLE_READ};
    assert_true(scope_make(&from.scope, NULL, 0, prefixes, count));
    struct principal *principal = principal_new(&from);
    scope_free(&from.scope);
    assert_non_null(principal);
    return principal;
}

static void keys_are_clipped_to_prefix_and_scope(void **state) {
    struct fixture *f = *state;
    struct client now_on, past;
    const velocity_slice prefixes[] = {velocity_str("a:"), velocity_str("c:")};
    struct principal *principal = limited_to(2, prefixes);
    start(60000);
    uint64_t since = now(f);
    follow_with(f, &now_on, (struct follower_options){.principal = principal, .from_now = true});
    principal_release(principal); /* the follower has its own */
    static const char *const keys[] = {"a", "a:1", "b:1", "c:1", "d:1"};
    for (size_t i = 0; i < 5; i++) put_text(f, keys[i], "x");
    hear(&now_on, "c:1");
    assert_int_equal(lines_with(&now_on, "put"), 2);
    principal = limited_to(1, prefixes);
    follow_with(f, &past, (struct follower_options){.principal = principal, .since = since, .prefix = LITERAL("a")});
    principal_release(principal);
    hear(&past, "heartbeat");
    assert_int_equal(lines_with(&past, "put"), 1);
    assert_int_equal(lines_with(&past, "a:1=x"), 1);
    unfollow(&now_on);
    unfollow(&past);
    stop();
}

/* The clip of [start, end) for a prefix and a scope: "from..to" of each part, "" where there is none. */
static void assert_clip(const char *prefix, const char *scope, const char *start, const char *end,
                        const char *expected) {
    static struct follow_clip clip;
    velocity_slice prefixes[8];
    size_t count = 0;
    char copy[100], text[200] = "", *rest = copy;
    (void)snprintf(copy, sizeof copy, "%s", scope);
    for (char *word; (word = strsep(&rest, " "));)
        if (*word) prefixes[count++] = velocity_str(word);
    struct principal *principal = limited_to(count, prefixes);
    struct follower follower = {.prefix = velocity_str(prefix), .scope = &principal->scope};
    velocity_slice last = end ? velocity_str(end) : velocity_bytes(NULL, 0);
    size_t used = 0;
    clip.next = 0;
    while (follow_clip_next(&follower, velocity_str(start), last, &clip))
        used += (size_t)snprintf(text + used, sizeof text - used, "%.*s..%.*s%s", (int)clip.start.size,
                                 (const char *)clip.start.data, (int)clip.end.size,
                                 clip.end.data ? (const char *)clip.end.data : "", clip.more ? " " : "");
    assert_string_equal(text, expected);
    principal_release(principal);
}

static void ranges_are_clipped_to_prefix_and_scope(void **state) {
    (void)state;
    assert_clip("", "", "a", "c", "a..c");
    assert_clip("", "", "a", NULL, "a..");
    assert_clip("b", "", "a", "c", "b..c");
    assert_clip("b", "", "a", NULL, "b..c");
    assert_clip("b", "", "b1", "b2", "b1..b2");
    assert_clip("b", "", "a", "b", "");
    assert_clip("b", "", "c", "d", "");
    assert_clip("b", "", "bz", "d", "bz..c");
    assert_clip("b\xFF", "", "a", "z", "b\xFF..c");
    assert_clip("\xFF\xFF", "", "a", NULL, "\xFF\xFF..");
    assert_clip("", "b d", "a", "z", "b..c d..e");
    assert_clip("", "b d", "a", NULL, "b..c d..e");
    assert_clip("", "b c \xFF", "b5", NULL, "b5..c c..d \xFF..");
    assert_clip("", "b d f", "b5", "f3", "b5..c d..e f..f3");
    assert_clip("", "b d", "c", "d", "");
    assert_clip("", "b d", "b5", "d3", "b5..c d..d3");
    assert_clip("", "b d", "c", "d3", "d..d3");
    assert_clip("", "b d", "a", "c", "b..c");
    assert_clip("d1", "b d", "a", "z", "d1..d2");
    assert_clip("b", "b1 b3", "b", "b2", "b1..b2");
    assert_clip("b", "b1 b3 c", "a", "z", "b1..b2 b3..b4");
    assert_clip("c", "b d", "a", "z", "");
}

static void a_range_delete_is_told_to_those_whom_it_concerns_alone(void **state) {
    struct fixture *f = *state;
    struct client inside, outside, past;
    start(60000);
    uint64_t since = now(f);
    follow_from_now(f, &inside, "b:");
    follow_from_now(f, &outside, "z:");
    hear(&inside, "heartbeat");
    hear(&outside, "heartbeat");
    OK(velocity_delete_range(engine(f), velocity_str("a"), velocity_str("c")));
    put_text(f, "z:1", "x");
    hear(&inside, "b:..b;\n");
    hear(&outside, "z:1");
    assert_int_equal(lines_with(&outside, "range"), 0);
    follow_with(f, &past, (struct follower_options){.prefix = velocity_str("b:5"), .since = since});
    hear(&past, "b:5..b:6\n");
    unfollow(&inside);
    unfollow(&outside);
    unfollow(&past);
    stop();
}

static void expiry_makes_no_event_and_a_put_tells_when_it_will(void **state) {
    struct fixture *f = *state;
    velocity_put_options options = velocity_put_options_default();
    velocity_change change = {.kind = VELOCITY_CHANGE_PUT, .sequence = 7, .expires_at_ms = 99, .flags = 3};
    struct follow_event event = follow_event_of(&change);
    assert_int_equal(event.expires_at_ms, 99);
    assert_int_equal(event.flags, 3);
    struct client c;
    start(60000);
    follow_from_now(f, &c, "");
    velocity_batch *batch = velocity_batch_new();
    options.expires_at_ms = (int64_t)env_now_ms(env_posix()) + 50;
    velocity_batch_put(batch, velocity_str("short"), velocity_str("x"), &options);
    OK(velocity_write(engine(f), batch, NULL, NULL));
    velocity_batch_free(batch);
    hear(&c, "short=x");
    env_sleep_us(100000);
    put_text(f, "after", "x");
    hear(&c, "after=x");
    assert_int_equal(lines_with(&c, "short"), 1);
    assert_int_equal(lines_with(&c, "delete"), 0);
    unfollow(&c);
    stop();
}

#define WITH_HISTORY(name) cmocka_unit_test_setup_teardown(name, set_up_with_history, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_HISTORY(keys_are_clipped_to_prefix_and_scope),
        cmocka_unit_test(ranges_are_clipped_to_prefix_and_scope),
        WITH_HISTORY(a_range_delete_is_told_to_those_whom_it_concerns_alone),
        WITH_HISTORY(expiry_makes_no_event_and_a_put_tells_when_it_will),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
