/*
 * follow_support.h - a database that is followed, clients that follow it, and what they heard as lines of text.
 */
#ifndef VELOCITY_TESTS_FOLLOW_SUPPORT_H
#define VELOCITY_TESTS_FOLLOW_SUPPORT_H

#include "tests/server/databases_fixture.h"

#include "server/follow_internal.h"

#include <pthread.h>

#define PATIENCE_MS 20000

static _Atomic uint32_t write_us;            /* that writing out an event takes besides */
static size_t held_bytes = (size_t)32 << 20; /* as the option */
static struct executor *executor;
static struct followers *followers;

/* "put 5 key=value\n", "range_delete 6 a..b\n", "heartbeat 7\n" */
static inline void write_line(const struct follow_event *event, struct json_writer *out) {
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

static inline void start_with(uint32_t threads, uint32_t heartbeat_ms) {
    executor = executor_new(threads, 8);
    assert_non_null(executor);
    struct follow_options options = {
        .executor = executor, .heartbeat_ms = heartbeat_ms, .held_bytes = held_bytes, .write = write_line};
    followers = followers_new(&options);
    assert_non_null(followers);
}

static inline void start(uint32_t heartbeat_ms) {
    start_with(2, heartbeat_ms);
}

static inline void stop(void) {
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

static inline void ready(void *arg) {
    struct client *c = arg;
    pthread_mutex_lock(&c->mutex);
    c->ready = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->mutex);
}

static inline bool wait_ready(struct client *c) {
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

static inline velocity_status try_follow(struct fixture *f, struct client *c, struct follower_options options) {
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

static inline void follow_with(struct fixture *f, struct client *c, struct follower_options options) {
    OK(try_follow(f, c, options));
}

static inline void follow_from_now(struct fixture *f, struct client *c, const char *prefix) {
    follow_with(f, c, (struct follower_options){.prefix = velocity_str(prefix), .from_now = true});
}

static inline void unfollow(struct client *c) {
    if (c->follower) follow_end(c->follower);
    database_release(c->database);
    json_writer_free(&c->text);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->mutex);
}

/* Takes what there is; false: it has ended. */
static inline bool take_some(struct client *c) {
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
static inline bool hears(struct client *c, const char *what) {
    while (take_some(c)) {
        if (strstr(c->text.data, what)) return true;
        if (!wait_ready(c)) return false;
    }
    return strstr(c->text.data, what) != NULL;
}

static inline void hear(struct client *c, const char *what) {
    if (!hears(c, what)) fail_msg("\"%s\" did not come; only:\n%.4000s", what, c->text.data);
}

static inline void assert_text(struct client *c, const char *expected) {
    assert_string_equal(c->text.data, expected);
}

static inline size_t lines_with(const struct client *c, const char *word) {
    size_t count = 0;
    for (const char *at = c->text.data; at && (at = strstr(at, word)); at++) count++;
    return count;
}

static inline int follow_fixture_open(void **state, uint64_t log_retention_bytes) {
    static struct fixture f;
    fixture_paths(&f);
    *state = &f;
    velocity_options system = small_options();
    if (velocity_open(f.system_path, &system, &f.system)) return -1;
    struct databases_options options = options_of(&f);
    options.template.log_retention_bytes = log_retention_bytes;
    return databases_open(&options, &f.all) == VELOCITY_OK ? 0 : -1;
}

/* ---- what is written -------------------------------------------------------------------------------------------- */

static inline velocity *engine(struct fixture *f) {
    struct database *database;
    OK(acquire(f, "default", &database));
    velocity *db = database->db;
    database_release(database);
    return db;
}

static inline uint64_t now(struct fixture *f) {
    velocity_stats stats = {.struct_size = sizeof stats};
    OK(velocity_stats_get(engine(f), &stats));
    return stats.last_sequence;
}

static inline void put_text(struct fixture *f, const char *key, const char *value) {
    OK(velocity_put(engine(f), velocity_str(key), velocity_str(value)));
}

/* "put 1 n:000001=..." and so on: one version each. */
static inline void put_numbers(struct fixture *f, unsigned from, unsigned to, const char *value) {
    char key[32];
    for (unsigned i = from; i < to; i++) {
        (void)snprintf(key, sizeof key, "n:%06u", i);
        put_text(f, key, value);
    }
}

/* All of [from, to), in order, and nothing else that begins with "put". */
static inline bool has_numbers(const struct client *c, unsigned from, unsigned to) {
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

static inline void assert_numbers(const struct client *c, unsigned from, unsigned to) {
    if (!has_numbers(c, from, to)) fail_msg("not %u to %u: %.4000s", from, to, c->text.data);
}

#endif
