/*
 * follow_test.c - those who follow a database: who keeps up, who is behind, who is left behind, and what each may see.
 */
#include "tests/server/databases_fixture.h"

#include "server/follow_internal.h"

#include <pthread.h>

#define PATIENCE_MS 20000

static _Atomic uint32_t write_us; /* that writing out an event takes besides */
static struct executor *executor;
static struct followers *followers;

/* "put 5 key=value\n", "range_delete 6 a..b\n", "heartbeat 7\n" */
static void write_line(const struct follow_event *event, struct json_writer *out) {
    static const char *const names[] = {"put", "delete", "range", "heartbeat", "gone"};
    char head[64];
    if (write_us) env_sleep_us(write_us);
    (void)snprintf(head, sizeof head, "%s %llu ", names[event->kind], (unsigned long long)event->version);
    json_append(out, head, strlen(head));
    json_append(out, event->key.data, event->key.size);
    if (event->kind == FOLLOW_PUT) json_append(out, "=", 1);
    json_append(out, event->value.data, event->value.size);
    if (event->kind == FOLLOW_DELETE_RANGE) json_append(out, "..", 2);
    json_append(out, event->end.data, event->end.size);
    json_append(out, "\n", 1);
}

static void start(uint32_t heartbeat_ms) {
    executor = executor_new(2, 8);
    assert_non_null(executor);
    struct follow_options options = {.executor = executor, .heartbeat_ms = heartbeat_ms, .write = write_line};
    followers = followers_new(&options);
    assert_non_null(followers);
}

static void stop(void) {
    followers_free(followers);
    executor_free(executor);
}

/* ---- a follower ------------------------------------------------------------------------------------------------- */

struct client {
    struct database *database;
    struct follower *follower;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool ready;
    struct json_writer text; /* with a NUL behind it */
    enum follow_result result;
    size_t piece_bytes; /* that it takes at a time */
};

static void ready(void *arg) {
    struct client *c = arg;
    pthread_mutex_lock(&c->mutex);
    c->ready = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->mutex);
}

static bool wait_ready(struct client *c) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_MS / 1000;
    pthread_mutex_lock(&c->mutex);
    int late = 0;
    while (!c->ready && !late) late = pthread_cond_timedwait(&c->changed, &c->mutex, &until);
    bool came = c->ready;
    c->ready = false;
    pthread_mutex_unlock(&c->mutex);
    return came;
}

static velocity_status try_follow(struct fixture *f, struct client *c, struct follower_options options) {
    memset(c, 0, sizeof *c);
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->changed, NULL);
    c->piece_bytes = 4096;
    OK(acquire(f, "default", &c->database));
    options.database = c->database;
    options.ready = ready;
    options.arg = c;
    return follow_begin(followers, &options, &c->follower);
}

static void follow_with(struct fixture *f, struct client *c, struct follower_options options) {
    OK(try_follow(f, c, options));
}

static void follow_from_now(struct fixture *f, struct client *c, const char *prefix) {
    follow_with(f, c, (struct follower_options){.prefix = velocity_str(prefix), .from_now = true});
}

static void unfollow(struct client *c) {
    if (c->follower) follow_end(c->follower);
    database_release(c->database);
    json_writer_free(&c->text);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->mutex);
}

/* Takes what there is; false: it has ended. */
static bool take_some(struct client *c) {
    struct json_writer part = {0};
    do {
        json_writer_clear(&part);
        c->result = follow_take(c->follower, &part, c->piece_bytes);
        assert_false(part.failed);
        json_append(&c->text, part.data, part.size);
    } while (c->result == FOLLOW_MORE);
    json_writer_free(&part);
    assert_true(json_writer_reserve(&c->text, 1));
    c->text.data[c->text.size] = 0;
    return c->result == FOLLOW_NOTHING;
}

/* Takes until the text holds `what`. False: it ended, or nothing came any more. */
static bool hears(struct client *c, const char *what) {
    while (take_some(c)) {
        if (strstr(c->text.data, what)) return true;
        if (!wait_ready(c)) return false;
    }
    return strstr(c->text.data, what) != NULL;
}

static void hear(struct client *c, const char *what) {
    if (!hears(c, what)) fail_msg("\"%s\" did not come; only:\n%.4000s", what, c->text.data);
}

static void assert_text(struct client *c, const char *expected) {
    assert_string_equal(c->text.data, expected);
}

static size_t lines_with(const struct client *c, const char *word) {
    size_t count = 0;
    for (const char *at = c->text.data; at && (at = strstr(at, word)); at++) count++;
    return count;
}

static int set_up_keeping(void **state, uint64_t log_retention_bytes) {
    static struct fixture f;
    fixture_paths(&f);
    *state = &f;
    velocity_options system = small_options();
    if (velocity_open(f.system_path, &system, &f.system)) return -1;
    struct databases_options options = options_of(&f);
    options.template.log_retention_bytes = log_retention_bytes;
    return databases_open(&options, &f.all) == VELOCITY_OK ? 0 : -1;
}

static int set_up_with_history(void **state) {
    return set_up_keeping(state, UINT64_C(1) << 30);
}

static int set_up_without_history(void **state) {
    return set_up_keeping(state, 0);
}

/* ---- what is written -------------------------------------------------------------------------------------------- */

static velocity *engine(struct fixture *f) {
    struct database *database;
    OK(acquire(f, "default", &database));
    velocity *db = database->db;
    database_release(database);
    return db;
}

static uint64_t now(struct fixture *f) {
    velocity_stats stats = {.struct_size = sizeof stats};
    OK(velocity_stats_get(engine(f), &stats));
    return stats.last_sequence;
}

static void put_text(struct fixture *f, const char *key, const char *value) {
    OK(velocity_put(engine(f), velocity_str(key), velocity_str(value)));
}

/* "put 1 n:000001=..." and so on: one version each. */
static void put_numbers(struct fixture *f, unsigned from, unsigned to, const char *value) {
    char key[32];
    for (unsigned i = from; i < to; i++) {
        (void)snprintf(key, sizeof key, "n:%06u", i);
        put_text(f, key, value);
    }
}

/* All of [from, to), in order, and nothing else that begins with "put". */
static bool has_numbers(const struct client *c, unsigned from, unsigned to) {
    const char *at = c->text.data;
    uint64_t last = 0;
    for (unsigned i = from; i < to; i++) {
        unsigned long long version;
        unsigned number;
        at = strstr(at, "put ");
        if (!at || sscanf(at, "put %llu n:%u=", &version, &number) != 2) return false;
        if (number != i || version <= last) return false;
        last = version;
        at++;
    }
    return lines_with(c, "put ") == to - from;
}

static void assert_numbers(const struct client *c, unsigned from, unsigned to) {
    if (!has_numbers(c, from, to)) fail_msg("not %u to %u: %.4000s", from, to, c->text.data);
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

/* The clip of [start, end) for a prefix and a scope: "from..to", "" where there is none. */
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
    if (follow_clip_range(&follower, velocity_str(start), last, &clip))
        (void)snprintf(text, sizeof text, "%.*s..%.*s", (int)clip.start.size, (const char *)clip.start.data,
                       (int)clip.end.size, clip.end.data ? (const char *)clip.end.data : "");
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
    assert_clip("", "b d", "a", "z", "b..e");
    assert_clip("", "b d", "c", "d", "");
    assert_clip("", "b d", "b5", "d3", "b5..d3");
    assert_clip("", "b d", "c", "d3", "d..d3");
    assert_clip("", "b d", "a", "c", "b..c");
    assert_clip("d1", "b d", "a", "z", "d1..d2");
    assert_clip("b", "b1 b3", "b", "b2", "b1..b2");
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
        WITH_HISTORY(keys_are_clipped_to_prefix_and_scope),
        cmocka_unit_test(ranges_are_clipped_to_prefix_and_scope),
        WITH_HISTORY(a_range_delete_is_told_to_those_whom_it_concerns_alone),
        WITH_HISTORY(expiry_makes_no_event_and_a_put_tells_when_it_will),
        WITH_HISTORY(a_database_that_is_dropped_is_left),
        WITH_HISTORY(nothing_is_held_when_nobody_follows_any_more),
        WITH_HISTORY(many_come_and_go_while_somebody_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
