/*
 * changes_test.c - change feeds: each committed operation once, in order, from whatever log holds it; and a clear
 * answer where none does any more. Feeds over random operations and crashes are in model_test.
 */
#include "engine/database.h"
#include "env_sim.h"
#include "testing.h"

#include <pthread.h>

static velocity *open_with(env *e, const char *folder, uint64_t retention, velocity_durability durability) {
    velocity_options options = velocity_options_default();
    velocity *db;
    options.memtable_bytes = 65536;
    options.durability = durability;
    options.log_retention_bytes = retention;
    OK(database_open(e, folder, &options, &db));
    return db;
}

static velocity_stats stats_of(velocity *db) {
    velocity_stats stats = {.struct_size = sizeof stats};
    OK(velocity_stats_get(db, &stats));
    return stats;
}

/* A key that names its sequence. */
static velocity_slice key_of(char text[24], uint64_t sequence) {
    (void)snprintf(text, 24, "key %llu", (unsigned long long)sequence);
    return velocity_str(text);
}

/* Puts until the database stands at the sequence, each under the key that names it. */
static void put_up_to(velocity *db, uint64_t sequence, size_t value_bytes) {
    static const char value[4096];
    char key[24];
    for (uint64_t next = stats_of(db).last_sequence + 1; next <= sequence; next++)
        OK(velocity_put(db, key_of(key, next), velocity_bytes(value, value_bytes)));
}

/* Shows what put_up_to wrote, and then nothing; returns the last sequence shown. */
static uint64_t follow_to_end(velocity_changes *changes) {
    const velocity_change *c;
    char key[24];
    while ((c = velocity_changes_next(changes))) {
        velocity_slice expected = key_of(key, c->sequence);
        assert_int_equal(c->kind, VELOCITY_CHANGE_PUT);
        assert_int_equal(c->key.size, expected.size);
        assert_memory_equal(c->key.data, expected.data, expected.size);
        assert_true(c->ends_batch);
    }
    return velocity_changes_sequence(changes);
}

static void expect(const velocity_change *c, velocity_change_kind kind, const char *key, const char *value,
                   uint64_t sequence, bool ends_batch) {
    assert_non_null(c);
    assert_int_equal(c->kind, kind);
    assert_int_equal(c->key.size, strlen(key));
    assert_memory_equal(c->key.data, key, strlen(key));
    assert_int_equal(c->value.size, strlen(value));
    if (*value) assert_memory_equal(c->value.data, value, strlen(value));
    assert_int_equal(c->sequence, sequence);
    assert_int_equal(c->ends_batch, ends_batch);
}

static void each_operation_shows_once_in_order_and_batches_can_be_told_apart(void **state) {
    velocity *db = open_with(env_posix(), *state, 0, VELOCITY_DURABILITY_OS);
    velocity_changes *changes = velocity_changes_new(db, 0);
    uint64_t before_ms = env_now_ms(env_posix());
    assert_null(velocity_changes_next(changes));
    OK(velocity_changes_status(changes));
    OK(velocity_put(db, velocity_str("a"), velocity_str("1")));
    velocity_batch *batch = velocity_batch_new();
    velocity_put_options put = velocity_put_options_default();
    put.flags = 77;
    velocity_batch_put(batch, velocity_str("b"), velocity_str("2"), &put);
    velocity_batch_delete(batch, velocity_str("a"));
    for (int i = 0; i < 2; i++) OK(velocity_write(db, batch, NULL, NULL)); /* the second time it is the same bytes */
    expect(velocity_changes_next(changes), VELOCITY_CHANGE_PUT, "a", "1", 1, true);
    for (uint64_t i = 0; i < 2; i++) {
        const velocity_change *c = velocity_changes_next(changes);
        expect(c, VELOCITY_CHANGE_PUT, "b", "2", 2 + 2 * i, false);
        assert_int_equal(c->flags, 77);
        assert_int_equal(c->expires_at_ms, 0);
        assert_in_range(c->committed_at_ms, before_ms, env_now_ms(env_posix()));
        expect(velocity_changes_next(changes), VELOCITY_CHANGE_DELETE, "a", "", 3 + 2 * i, true);
    }
    assert_null(velocity_changes_next(changes));
    OK(velocity_changes_status(changes));
    OK(velocity_delete(db, velocity_str("b")));
    expect(velocity_changes_next(changes), VELOCITY_CHANGE_DELETE, "b", "", 6, true);
    assert_int_equal(velocity_changes_sequence(changes), 6);
    velocity_changes_free(changes);
    changes = velocity_changes_new(db, 4); /* inside of a batch: its rest */
    expect(velocity_changes_next(changes), VELOCITY_CHANGE_DELETE, "a", "", 5, true);
    velocity_changes_free(changes);
    velocity_batch_free(batch);
    OK(velocity_close(db));
}

static void a_group_larger_than_what_is_read_at_once_shows_whole(void **state) {
    velocity *db = open_with(env_posix(), *state, 0, VELOCITY_DURABILITY_OS);
    size_t size = 3 << 20;
    char *value = malloc(size);
    memset(value, 'x', size);
    velocity_changes *changes = velocity_changes_new(db, 0);
    for (uint64_t i = 1; i <= 4; i++) {
        OK(velocity_put(db, velocity_str("large"), velocity_bytes(value, size)));
        const velocity_change *c = velocity_changes_next(changes);
        assert_non_null(c);
        assert_int_equal(c->sequence, i);
        assert_int_equal(c->value.size, size);
        assert_memory_equal(c->value.data, value, size);
        assert_in_range(velocity_changes_bytes(changes), size, size + 65536);
    }
    assert_null(velocity_changes_next(changes));
    assert_int_equal(velocity_changes_bytes(changes), 0); /* an idle feed is small */
    free(value);
    velocity_changes_free(changes);
    OK(velocity_close(db));
}

static void a_feed_may_begin_anywhere_in_a_log_that_others_have_read(void **state) {
    velocity_options options = velocity_options_default();
    velocity *db;
    options.durability = VELOCITY_DURABILITY_OS;
    options.log_retention_bytes = 1 << 30; /* an idle database is flushed */
    OK(velocity_open(*state, &options, &db));
    put_up_to(db, 20000, 600); /* some segments */
    uint64_t random = 5;
    for (int round = 0; round < 60; round++) {
        uint64_t since = round < 2 ? 0 : below(&random, 20001);
        velocity_changes *changes = velocity_changes_new(db, since);
        const velocity_change *c = velocity_changes_next(changes);
        assert_int_equal(c ? c->sequence : 20001, since + 1);
        if (round % 10 == 0) assert_int_equal(follow_to_end(changes), 20000);
        OK(velocity_changes_status(changes));
        velocity_changes_free(changes);
    }
    OK(velocity_close(db));
}

static void retained_logs_outlive_flushes_and_reopening(void **state) {
    velocity *db = open_with(env_posix(), *state, 64 << 20, VELOCITY_DURABILITY_ALWAYS);
    put_up_to(db, 100, 20);
    OK(velocity_flush(db));
    put_up_to(db, 200, 20);
    OK(velocity_close(db));
    for (uint64_t life = 0; life < 3; life++) {
        db = open_with(env_posix(), *state, 64 << 20, VELOCITY_DURABILITY_ALWAYS);
        assert_int_equal(stats_of(db).oldest_change_sequence, 1);
        velocity_changes *changes = velocity_changes_new(db, 0);
        assert_int_equal(follow_to_end(changes), 200 + 100 * life);
        OK(velocity_changes_status(changes));
        put_up_to(db, 300 + 100 * life, 20);
        if (life == 1) OK(velocity_flush(db));
        assert_int_equal(follow_to_end(changes), 300 + 100 * life);
        velocity_changes_free(changes);
        assert_true(stats_of(db).log_retained_bytes > 0);
        OK(velocity_close(db));
    }
}

static void only_so_much_is_retained_and_the_oldest_goes_first(void **state) {
    enum { LIMIT = 300000 };
    env_sim *sim = env_sim_new(1);
    (void)state;
    velocity *db = open_with(env_sim_env(sim), "db", LIMIT, VELOCITY_DURABILITY_ALWAYS);
    velocity_changes *slow = velocity_changes_new(db, 0);
    uint64_t oldest = 1;
    for (uint64_t sequence = 20; sequence < 2000; sequence += 20) {
        put_up_to(db, sequence, 1000);
        velocity_stats stats = stats_of(db);
        assert_true(stats.log_retained_bytes <= LIMIT);
        assert_true(stats.oldest_change_sequence >= oldest);
        oldest = stats.oldest_change_sequence;
        velocity_changes *changes = velocity_changes_new(db, oldest - 1);
        assert_int_equal(follow_to_end(changes), sequence);
        OK(velocity_changes_status(changes));
        velocity_changes_free(changes);
    }
    assert_true(oldest > 1000);
    assert_true(stats_of(db).log_retained_bytes > LIMIT / 2);
    assert_null(velocity_changes_next(slow)); /* overtaken before it began */
    assert_int_equal(velocity_changes_status(slow), VELOCITY_HISTORY_GONE);
    assert_false(velocity_changes_wait(slow, 1000000));
    velocity_changes_free(slow);
    OK(velocity_close(db));
    db = open_with(env_sim_env(sim), "db", LIMIT / 3, VELOCITY_DURABILITY_ALWAYS); /* less from now on */
    assert_true(stats_of(db).log_retained_bytes <= LIMIT / 3);
    assert_true(stats_of(db).oldest_change_sequence > oldest);
    OK(velocity_close(db));
    db = open_with(env_sim_env(sim), "db", 0, VELOCITY_DURABILITY_ALWAYS);
    assert_int_equal(stats_of(db).log_retained_bytes, 0);
    OK(velocity_close(db));
    env_sim_free(sim);
}

static void a_follower_of_a_recycled_log_is_told_that_history_is_gone(void **state) {
    (void)state;
    env_sim *sim = env_sim_new(2);
    velocity *db = open_with(env_sim_env(sim), "db", 0, VELOCITY_DURABILITY_ALWAYS);
    unsigned overtaken = 0;
    for (uint64_t round = 1; round <= 40; round++) {
        velocity_changes *changes = velocity_changes_new(db, stats_of(db).oldest_change_sequence - 1);
        uint64_t begun = velocity_changes_sequence(changes);
        if (begun < stats_of(db).last_sequence) assert_non_null(velocity_changes_next(changes)); /* it is in the log */
        put_up_to(db, round * 40, 1000);
        if (round % 3 == 0) OK(velocity_flush(db));
        uint64_t reached = follow_to_end(changes);
        if (velocity_changes_status(changes) == VELOCITY_HISTORY_GONE)
            overtaken++;
        else
            assert_int_equal(reached, round * 40);
        velocity_changes_free(changes);
    }
    assert_true(overtaken > 5);
    OK(velocity_close(db));
    env_sim_free(sim);
}

static void sequences_that_no_write_here_has_are_refused(void **state) {
    env_sim *sim = env_sim_new(3);
    (void)state;
    velocity *db = open_with(env_sim_env(sim), "db", 1 << 20, VELOCITY_DURABILITY_OS);
    put_up_to(db, 10, 10);
    velocity_changes *changes = velocity_changes_new(db, 11);
    assert_int_equal(velocity_changes_status(changes), VELOCITY_HISTORY_GONE);
    put_up_to(db, 12, 10);
    assert_null(velocity_changes_next(changes)); /* it does not come back */
    velocity_changes_free(changes);
    env_sim_crash_after(sim, 0);
    assert_int_not_equal(velocity_close(db), VELOCITY_BUSY);
    env_sim_kill(sim);
    /* A power cut could have taken what was not synced: the opening skips some sequences. */
    db = open_with(env_sim_env(sim), "db", 1 << 20, VELOCITY_DURABILITY_OS);
    uint64_t last = stats_of(db).last_sequence;
    assert_true(last > 12);
    changes = velocity_changes_new(db, 13);
    assert_int_equal(velocity_changes_status(changes), VELOCITY_HISTORY_GONE);
    velocity_changes_free(changes);
    changes = velocity_changes_new(db, 12);
    OK(velocity_changes_status(changes));
    OK(velocity_put(db, velocity_str("next"), velocity_str("x")));
    expect(velocity_changes_next(changes), VELOCITY_CHANGE_PUT, "next", "x", last + 1, true);
    assert_null(velocity_changes_next(changes));
    OK(velocity_changes_status(changes));
    velocity_changes_free(changes);
    OK(velocity_close(db));
    env_sim_free(sim);
}

static void a_feed_at_rest_holds_no_file_but_the_newest_logs_and_a_close_waits_for_it(void **state) {
    env_sim *sim = env_sim_new(4);
    (void)state;
    velocity *db = open_with(env_sim_env(sim), "db", 8 << 20, VELOCITY_DURABILITY_OS);
    put_up_to(db, 1000, 500);
    velocity_changes *feeds[20];
    OK(velocity_flush(db));
    size_t files = env_sim_open_files(sim);
    for (size_t i = 0; i < 20; i++) {
        feeds[i] = velocity_changes_new(db, i * 50);
        if (i % 2)
            assert_int_equal(follow_to_end(feeds[i]), 1000);
        else
            assert_non_null(velocity_changes_next(feeds[i]));
    }
    assert_true(env_sim_open_files(sim) <= files + 1);
    assert_int_equal(velocity_close(db), VELOCITY_BUSY);
    for (size_t i = 0; i < 20; i++) velocity_changes_free(feeds[i]);
    OK(velocity_close(db));
    env_sim_free(sim);
}

static void damage_in_a_retained_log_is_corrupt_and_names_file_and_offset(void **state) {
    velocity *db = open_with(env_posix(), *state, 64 << 20, VELOCITY_DURABILITY_ALWAYS);
    char name[64];
    put_up_to(db, 100, 50);
    OK(velocity_flush(db));
    OK(velocity_close(db));
    files_sorted(*state, ".log", 0, name);
    file_flip(path_in(*state, name), 4000, 4);
    db = open_with(env_posix(), *state, 64 << 20, VELOCITY_DURABILITY_ALWAYS); /* its data is in tables */
    velocity_changes *changes = velocity_changes_new(db, 0);
    uint64_t reached = follow_to_end(changes);
    assert_in_range(reached, 10, 90);
    FAILS(VELOCITY_CORRUPT, name, velocity_changes_status(changes));
    assert_null(velocity_changes_next(changes));
    FAILS(VELOCITY_CORRUPT, "offset", velocity_changes_status(changes));
    velocity_changes_free(changes);
    OK(velocity_close(db));
}

static void a_missing_retained_log_ends_history_and_nothing_else(void **state) {
    velocity *db = open_with(env_posix(), *state, 64 << 20, VELOCITY_DURABILITY_ALWAYS);
    char name[64];
    for (uint64_t i = 1; i <= 4; i++) {
        put_up_to(db, i * 100, 50);
        OK(velocity_flush(db));
    }
    OK(velocity_close(db));
    assert_true(files_ending(*state, ".log", NULL) >= 4);
    files_sorted(*state, ".log", 1, name);
    assert_int_equal(remove(path_in(*state, name)), 0);
    db = open_with(env_posix(), *state, 64 << 20, VELOCITY_DURABILITY_ALWAYS);
    assert_int_equal(stats_of(db).oldest_change_sequence, 201);
    velocity_changes *changes = velocity_changes_new(db, 200);
    assert_int_equal(follow_to_end(changes), 400);
    OK(velocity_changes_status(changes));
    velocity_changes_free(changes);
    OK(velocity_close(db));
}

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

static void count_call(void *arg) {
    atomic_fetch_add((_Atomic int *)arg, 1);
}

static void a_notification_comes_once_for_each_request(void **state) {
    velocity *db = open_with(env_posix(), *state, 0, VELOCITY_DURABILITY_OS);
    velocity_changes *changes = velocity_changes_new(db, 0), *other = velocity_changes_new(db, 0);
    _Atomic int calls = 0, others = 0;
    velocity_changes_notify(changes, count_call, &calls);
    velocity_changes_notify(other, count_call, &others);
    assert_int_equal(calls, 0);
    put_up_to(db, 3, 10);
    assert_int_equal(calls, 1);
    assert_int_equal(others, 1);
    velocity_changes_notify(changes, count_call, &calls); /* there is something already */
    assert_int_equal(calls, 2);
    assert_int_equal(follow_to_end(changes), 3);
    velocity_changes_notify(changes, count_call, &calls);
    velocity_changes_notify(changes, NULL, NULL);
    put_up_to(db, 4, 10);
    assert_int_equal(calls, 2);
    assert_int_equal(follow_to_end(changes), 4);
    velocity_changes_notify(changes, count_call, &calls);
    velocity_changes_free(changes); /* takes it back */
    put_up_to(db, 5, 10);
    assert_int_equal(calls, 2);
    assert_int_equal(others, 1);
    velocity_changes_free(other);
    OK(velocity_close(db));
}

static void *put_later(void *arg) {
    env_sleep_us(50000);
    if (velocity_put(arg, velocity_str("key 1"), velocity_str("x"))) abort();
    return NULL;
}

static void waiting_ends_with_a_commit_or_with_the_time(void **state) {
    velocity *db = open_with(env_posix(), *state, 0, VELOCITY_DURABILITY_OS);
    velocity_changes *changes = velocity_changes_new(db, 0);
    uint64_t begun_us = env_monotonic_us(env_posix());
    assert_false(velocity_changes_wait(changes, 30));
    assert_true(env_monotonic_us(env_posix()) - begun_us >= 30000);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, put_later, db), 0);
    assert_true(velocity_changes_wait(changes, 100000));
    assert_int_equal(follow_to_end(changes), 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    velocity_changes_free(changes);
    OK(velocity_close(db));
}

/* ---- beside writers ---------------------------------------------------------------------------------------------- */

enum { WRITERS = 3, FOLLOWERS = 3, BATCHES = 600, BATCH_MAX = 4, VALUE_BYTES = 300 };

/* cmocka ends the program without a word when a check fails on a thread that it does not know. */
#define CHECK(condition)                                                                                               \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: %s; last error: %s\n", __FILE__, __LINE__, #condition, velocity_error_message());  \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

struct worker {
    velocity *db;
    uint32_t index;
    pthread_t thread;
};

/* Batches of 1 to BATCH_MAX puts under the writer's key; each value begins with batch, place in it, and its size. */
static void *write_batches(void *arg) {
    const struct worker *w = arg;
    char key[16];
    (void)snprintf(key, sizeof key, "writer %u", w->index);
    velocity_batch *batch = velocity_batch_new();
    CHECK(batch);
    for (uint32_t i = 0; i < BATCHES; i++) {
        uint32_t size = 1 + (i + w->index) % BATCH_MAX;
        velocity_batch_clear(batch);
        for (uint32_t place = 0; place < size; place++) {
            uint32_t value[VALUE_BYTES / 4] = {i, place, size};
            velocity_batch_put(batch, velocity_str(key), velocity_bytes(value, sizeof value), NULL);
        }
        CHECK(velocity_write(w->db, batch, NULL, NULL) == VELOCITY_OK);
        if (w->index == 0 && i % 150 == 149) CHECK(velocity_flush(w->db) == VELOCITY_OK);
    }
    velocity_batch_free(batch);
    return NULL;
}

/* Follows until every writer's last batch was shown: in order, whole, and with no sequence left out. */
static void *follow(void *arg) {
    const struct worker *w = arg;
    uint32_t next[WRITERS] = {0}, place = 0, done = 0;
    uint64_t sequence = 0;
    velocity_changes *changes = velocity_changes_new(w->db, 0);
    while (done < WRITERS) {
        const velocity_change *c = velocity_changes_next(changes);
        if (!c) {
            CHECK(velocity_changes_status(changes) == VELOCITY_OK);
            CHECK(place == 0);
            CHECK(velocity_changes_wait(changes, 60000));
            continue;
        }
        uint32_t value[3], writer;
        CHECK(c->sequence == ++sequence && c->value.size == VALUE_BYTES && c->key.size == 8);
        memcpy(value, c->value.data, sizeof value);
        writer = (uint32_t)(((const char *)c->key.data)[7] - '0');
        CHECK(value[0] == next[writer] && value[1] == place);
        CHECK(c->ends_batch == (place + 1 == value[2]));
        place = c->ends_batch ? 0 : place + 1;
        if (c->ends_batch && ++next[writer] == BATCHES) done++;
        if (w->index && sequence % 1000 == 999 && place == 0) { /* comes back later */
            velocity_changes_free(changes);
            changes = velocity_changes_new(w->db, sequence);
        }
    }
    velocity_changes_free(changes);
    return NULL;
}

static void followers_beside_writers_see_every_batch_whole(void **state) {
    for (int durability = VELOCITY_DURABILITY_ALWAYS; durability <= VELOCITY_DURABILITY_OS; durability += 2) {
        struct worker writers[WRITERS], followers[FOLLOWERS];
        const char *folder = path_in(*state, durability == VELOCITY_DURABILITY_OS ? "os" : "always");
        velocity *db = open_with(env_posix(), folder, 256 << 20, (velocity_durability)durability);
        for (uint32_t i = 0; i < FOLLOWERS; i++) {
            followers[i] = (struct worker){.db = db, .index = i};
            assert_int_equal(pthread_create(&followers[i].thread, NULL, follow, &followers[i]), 0);
        }
        for (uint32_t i = 0; i < WRITERS; i++) {
            writers[i] = (struct worker){.db = db, .index = i};
            assert_int_equal(pthread_create(&writers[i].thread, NULL, write_batches, &writers[i]), 0);
        }
        for (uint32_t i = 0; i < WRITERS; i++) assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
        for (uint32_t i = 0; i < FOLLOWERS; i++) assert_int_equal(pthread_join(followers[i].thread, NULL), 0);
        OK(velocity_close(db));
    }
}

/* With nothing retained a follower may be overtaken at any moment: it sees what is right, or that it is gone. */
static void *follow_or_fall_behind(void *arg) {
    const struct worker *w = arg;
    velocity_changes *changes = velocity_changes_new(w->db, 0);
    uint64_t sequence = 0, shown = 0;
    for (;;) {
        const velocity_change *c = velocity_changes_next(changes);
        if (c) {
            uint32_t value[3];
            CHECK(c->sequence == ++sequence && c->value.size == VALUE_BYTES);
            memcpy(value, c->value.data, sizeof value);
            CHECK(value[2] <= BATCH_MAX && value[0] < BATCHES);
            if (++shown % 64 == 0) env_thread_yield();
            continue;
        }
        velocity_status status = velocity_changes_status(changes);
        if (status == VELOCITY_HISTORY_GONE) {
            velocity_changes_free(changes);
            velocity_stats stats = {.struct_size = sizeof stats};
            CHECK(velocity_stats_get(w->db, &stats) == VELOCITY_OK);
            sequence = stats.last_sequence;
            changes = velocity_changes_new(w->db, sequence);
        } else {
            CHECK(status == VELOCITY_OK);
            if (!velocity_changes_wait(changes, 500)) break;
        }
    }
    velocity_changes_free(changes);
    return NULL;
}

static void a_follower_without_retention_never_sees_anything_wrong(void **state) {
    struct worker writers[WRITERS], followers[FOLLOWERS];
    velocity *db = open_with(env_posix(), *state, 0, VELOCITY_DURABILITY_ALWAYS); /* the logs are recycled */
    for (uint32_t i = 0; i < FOLLOWERS; i++) {
        followers[i] = (struct worker){.db = db, .index = i};
        assert_int_equal(pthread_create(&followers[i].thread, NULL, follow_or_fall_behind, &followers[i]), 0);
    }
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct worker){.db = db, .index = i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_batches, &writers[i]), 0);
    }
    for (uint32_t i = 0; i < WRITERS; i++) assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
    for (uint32_t i = 0; i < FOLLOWERS; i++) assert_int_equal(pthread_join(followers[i].thread, NULL), 0);
    OK(velocity_close(db));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(each_operation_shows_once_in_order_and_batches_can_be_told_apart),
        TEST_IN_FOLDER(a_group_larger_than_what_is_read_at_once_shows_whole),
        TEST_IN_FOLDER(a_feed_may_begin_anywhere_in_a_log_that_others_have_read),
        TEST_IN_FOLDER(retained_logs_outlive_flushes_and_reopening),
        cmocka_unit_test(only_so_much_is_retained_and_the_oldest_goes_first),
        cmocka_unit_test(a_follower_of_a_recycled_log_is_told_that_history_is_gone),
        cmocka_unit_test(sequences_that_no_write_here_has_are_refused),
        cmocka_unit_test(a_feed_at_rest_holds_no_file_but_the_newest_logs_and_a_close_waits_for_it),
        TEST_IN_FOLDER(damage_in_a_retained_log_is_corrupt_and_names_file_and_offset),
        TEST_IN_FOLDER(a_missing_retained_log_ends_history_and_nothing_else),
        TEST_IN_FOLDER(a_notification_comes_once_for_each_request),
        TEST_IN_FOLDER(waiting_ends_with_a_commit_or_with_the_time),
        TEST_IN_FOLDER(followers_beside_writers_see_every_batch_whole),
        TEST_IN_FOLDER(a_follower_without_retention_never_sees_anything_wrong),
    };
    cmocka_set_test_filter(getenv("TEST"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
