/*
 * transactions_commit_test.c - what a commit answers, once and again, and many threads at once.
 */
#include "tests/server/transactions_fixture.h"

#include <stdio.h>
#include <unistd.h>

/* ---- commits ---------------------------------------------------------------------------------------------------- */

static void a_commit_is_answered_again_for_ten_minutes(void **state) {
    struct bench *b = *state;
    struct transaction_info info = begin(b, b->ann);
    struct transaction *transaction;
    struct outcome outcome;
    put_inside(b, &info, "a", "1");
    struct store_commit first = commit(b, &info);
    assert_int_equal(first.status, VELOCITY_OK);
    assert_value(&b->behind, "a", "1");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(enter(b, b->ann, &info, &transaction, &outcome), TRANSACTION_ENDED);
        assert_int_equal(outcome.end, TRANSACTION_COMMITTED);
        assert_int_equal(outcome.status, VELOCITY_OK);
        assert_int_equal(outcome.version, first.version);
        pass(b, TRANSACTIONS_KEPT_MS / 2);
    }
    pass(b, 1);
    assert_int_equal(end_of(b, &info), -1);
}

static void who_lost_is_told_the_same_again(void **state) {
    struct bench *b = *state;
    struct transaction_info info = begin(b, b->ann);
    struct transaction *transaction;
    struct outcome outcome;
    put_inside(b, &info, "account", "1");
    (void)put(&b->behind, "account", "2");
    struct store_commit lost = commit(b, &info);
    assert_int_equal(lost.status, VELOCITY_CONFLICT);
    assert_non_null(strstr(lost.message, "account"));
    assert_int_equal(enter(b, b->ann, &info, &transaction, &outcome), TRANSACTION_ENDED);
    assert_int_equal(outcome.status, VELOCITY_CONFLICT);
    assert_string_equal(outcome.message, lost.message);
    assert_int_equal(stats_of(b).conflicts, 1);
    assert_int_equal(stats_of(b).committed, 0);
}

static void a_commit_without_room_can_be_tried_again(void **state) {
    struct bench *b = *state;
    static char large[MIB];
    struct databases *databases = b->behind.databases;
    struct transaction_info info = begin(b, b->ann);
    put_inside(b, &info, "a", "1");
    uint64_t seed = 1;
    for (int i = 0; i < 40; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "fill:%d", i);
        for (size_t k = 0; k + 8 <= sizeof large; k += 8) {
            seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
            memcpy(large + k, &seed, 8); /* which nothing compresses */
        }
        struct call call = make_put(key, "");
        call.request.value = velocity_bytes(large, sizeof large);
        assert_int_equal(perform(&b->behind, &call), VELOCITY_OK);
        end(&call);
    }
    assert_int_equal(databases_set_limit(databases, velocity_str("default"), 32 * (uint64_t)MIB), VELOCITY_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(commit(b, &info).status, VELOCITY_NO_SPACE);
        transaction_leave(inside(b, &info)); /* it goes on */
    }
    assert_int_equal(databases_set_limit(databases, velocity_str("default"), 0), VELOCITY_OK);
    assert_int_equal(commit(b, &info).status, VELOCITY_OK);
    assert_value(&b->behind, "a", "1");
}

static void who_lost_is_told_so_though_many_begin_and_roll_back_since(void **state) {
    struct bench *b = *state;
    struct transaction_info info = begin(b, b->ann);
    struct transaction *transaction;
    struct outcome outcome;
    put_inside(b, &info, "account", "1");
    (void)put(&b->behind, "account", "2");
    assert_int_equal(commit(b, &info).status, VELOCITY_CONFLICT);
    for (int i = 0; i < 70000; i++) {
        struct transaction_info other = begin(b, b->ann);
        if (roll_back(b, &other) != TRANSACTION_ENTERED) fail();
    }
    assert_int_equal(enter(b, b->ann, &info, &transaction, &outcome), TRANSACTION_ENDED);
    assert_int_equal(outcome.end, TRANSACTION_COMMITTED);
    assert_int_equal(outcome.status, VELOCITY_CONFLICT);
    assert_non_null(strstr(outcome.message, "account"));
}

/* ---- many threads ------------------------------------------------------------------------------------------------ */

enum { THREADS = 6, ROUNDS = 120 };

struct worker {
    struct bench *bench;
    struct principal *who;
    uint64_t committed, conflicts, seed;
};

static uint32_t below(struct worker *w, uint32_t limit) {
    w->seed = w->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (uint32_t)(w->seed >> 33) % limit;
}

/* Adds one to the number at the key, as read inside. */
static void increment_inside(struct transaction *transaction) {
    struct store *store = transaction_store(transaction);
    velocity_value found = {0};
    char text[32] = "0";
    if (store->operations->get(store, LITERAL("sum"), false, &found) == VELOCITY_OK) {
        memcpy(text, found.data, found.size);
        text[found.size] = 0;
    }
    store->operations->release(store, &found);
    (void)snprintf(text, sizeof text, "%d", atoi(text) + 1);
    assert_int_equal(write_inside(transaction, "sum", velocity_str(text)).status, VELOCITY_OK);
}

static void *work(void *arg) {
    struct worker *w = arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct transaction_caller caller = in(w->who, "default");
        struct transaction_info info;
        struct transaction *transaction;
        struct outcome outcome;
        assert_int_equal(transactions_begin(w->bench->all, &caller, VELOCITY_ISOLATION_SERIALIZABLE, &info),
                         VELOCITY_OK);
        assert_int_equal(transactions_enter(w->bench->all, velocity_str(info.id), &caller, &transaction, &outcome),
                         TRANSACTION_ENTERED);
        increment_inside(transaction);
        if (below(w, 4) == 0) {
            transaction_leave(transaction);
            assert_int_equal(transactions_rollback(w->bench->all, velocity_str(info.id), &caller, &outcome),
                             TRANSACTION_ENTERED);
            continue;
        }
        struct store_commit answered = commit_inside(transaction);
        w->committed += answered.status == VELOCITY_OK;
        w->conflicts += answered.status == VELOCITY_CONFLICT;
        assert_int_equal(transactions_look(w->bench->all, velocity_str(info.id), &caller, &outcome), TRANSACTION_ENDED);
        assert_int_equal(outcome.status, answered.status);
        transactions_sweep(w->bench->all);
    }
    return NULL;
}

static void many_threads_at_once_lose_no_update_and_no_answer(void **state) {
    struct bench *b = *state;
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    uint64_t committed = 0, conflicts = 0;
    char sum[32];
    transactions_free(b->all);
    /* The real clock, and its own thread. */
    b->all = transactions_new(&(struct transactions_options){.databases = b->behind.databases,
                                                             .auth = b->behind.auth,
                                                             .idle_seconds = 1,
                                                             .max_seconds = 600,
                                                             .max_total_bytes = 64 * MIB});
    assert_non_null(b->all);
    for (uint64_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.bench = b, .who = i % 2 ? b->ann : b->bob, .seed = i};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        committed += workers[i].committed;
        conflicts += workers[i].conflicts;
    }
    (void)snprintf(sum, sizeof sum, "%llu", (unsigned long long)committed);
    assert_value(&b->behind, "sum", sum);
    struct transactions_stats stats = stats_of(b);
    assert_int_equal(stats.committed, committed);
    assert_int_equal(stats.conflicts, conflicts);
    assert_int_equal(stats.begun, THREADS * ROUNDS);
    assert_int_equal(stats.open, 0);
    assert_int_equal(stats.bytes, 0);
    struct transaction_info abandoned = begin(b, b->ann); /* and nobody asks for it any more */
    (void)abandoned;
    for (int i = 0; i < 500 && stats_of(b).open; i++) usleep(10000);
    assert_int_equal(stats_of(b).open, 0);
    (void)begin(b, b->ann); /* open at the end */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, transactions_set_up, transactions_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_commit_is_answered_again_for_ten_minutes),
        TEST(who_lost_is_told_the_same_again),
        TEST(a_commit_without_room_can_be_tried_again),
        TEST(who_lost_is_told_so_though_many_begin_and_roll_back_since),
        TEST(many_threads_at_once_lose_no_update_and_no_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
