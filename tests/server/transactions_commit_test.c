/*
 * transactions_commit_test.c - what a commit answers, once and again, what comes while it is under way, and many
 * threads at once.
 */
#include "tests/server/transactions_fixture.h"

#include "server/transactions_internal.h"

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
    assert_int_equal(lost.lost_key.size, strlen("account"));
    assert_memory_equal(lost.lost_key.data, "account", strlen("account"));
    assert_int_equal(outcome.key.size, lost.lost_key.size);
    assert_memory_equal(outcome.key.data, lost.lost_key.data, outcome.key.size);
    store_commit_forget(&lost);
    outcome_clear(&outcome);
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
        char key[24];
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
    struct store_commit lost = commit(b, &info);
    assert_int_equal(lost.status, VELOCITY_CONFLICT);
    store_commit_forget(&lost);
    for (int i = 0; i < 70000; i++) {
        struct transaction_info other = begin(b, b->ann);
        if (roll_back(b, &other) != TRANSACTION_ENTERED) fail();
    }
    assert_int_equal(enter(b, b->ann, &info, &transaction, &outcome), TRANSACTION_ENDED);
    assert_int_equal(outcome.end, TRANSACTION_COMMITTED);
    assert_int_equal(outcome.status, VELOCITY_CONFLICT);
    outcome_clear(&outcome);
    assert_non_null(strstr(outcome.message, "account"));
}

/* ---- while it is under way -------------------------------------------------------------------------------------- */

/* A commit that stays under way until the test answers it: stands before the engine's transaction. */
struct held {
    struct store store;
    struct store *real;
    struct store_commit *under_way;
    struct store_commit asked; /* what the client waits for */
    int answers;
};

static void hold(struct store *store, struct store_commit *commit) {
    ((struct held *)store)->under_way = commit;
}

static void free_held(struct store *store) {
    struct store *real = ((struct held *)store)->real;
    real->operations->free(real);
}

static void count_answer(struct store_commit *commit) {
    struct held *h = (struct held *)((char *)commit - offsetof(struct held, asked));
    h->answers++;
}

static void commit_held(struct held *h, struct transaction *transaction) {
    static const struct store_operations operations = {.commit = hold, .free = free_held};
    if (transaction->inner != &h->store) {
        *h = (struct held){.store.operations = &operations, .real = transaction->inner};
        transaction->inner = &h->store;
    }
    h->asked.done = count_answer;
    transaction_commit(transaction, &h->asked);
}

static void answer_held(struct held *h, velocity_status status, uint64_t version, const char *message) {
    h->under_way->status = status;
    h->under_way->version = version;
    (void)snprintf(h->under_way->message, sizeof h->under_way->message, "%s", message);
    h->under_way->done(h->under_way);
}

static void nobody_gets_inside_and_nothing_ends_it_while_it_is_committed(void **state) {
    struct bench *b = *state;
    struct held held;
    struct transaction_caller caller = in(b->ann, "default");
    struct transaction_info info = begin(b, b->ann);
    struct transaction *second;
    struct outcome outcome;
    put_inside(b, &info, "a", "1");
    commit_held(&held, inside(b, &info));
    assert_int_equal(enter(b, b->ann, &info, &second, &outcome), TRANSACTION_BUSY);
    assert_int_equal(transactions_look(b->all, velocity_str(info.id), &caller, &outcome), TRANSACTION_BUSY);
    assert_int_equal(roll_back(b, &info), TRANSACTION_BUSY);
    assert_int_equal(enter(b, b->bob, &info, &second, &outcome), TRANSACTION_UNKNOWN);
    pass(b, 2 * MAX_MS);
    transactions_sweep(b->all);
    assert_int_equal(stats_of(b).open, 1);
    assert_int_equal(held.answers, 0);
    answer_held(&held, VELOCITY_OK, 77, "");
    assert_int_equal(held.answers, 1);
    assert_int_equal(held.asked.status, VELOCITY_OK);
    assert_int_equal(held.asked.version, 77);
    assert_int_equal(enter(b, b->ann, &info, &second, &outcome), TRANSACTION_ENDED);
    assert_int_equal(outcome.end, TRANSACTION_COMMITTED);
    assert_int_equal(outcome.version, 77);
    assert_int_equal(stats_of(b).open, 0);
    assert_int_equal(stats_of(b).bytes, 0);
    assert_int_equal(stats_of(b).timed_out, 0);
}

static void an_answer_after_which_nothing_was_done_leaves_it_open(void **state) {
    static const velocity_status statuses[] = {VELOCITY_BUSY, VELOCITY_NO_SPACE, VELOCITY_NO_MEMORY};
    struct bench *b = *state;
    struct held held;
    struct transaction_info info = begin(b, b->ann);
    put_inside(b, &info, "a", "1");
    for (size_t i = 0; i < COUNT(statuses); i++) {
        commit_held(&held, inside(b, &info));
        answer_held(&held, statuses[i], 0, "not now");
        assert_int_equal(held.asked.status, statuses[i]);
        assert_string_equal(held.asked.message, "not now");
        assert_int_equal(held.answers, i + 1);
    }
    transaction_leave(inside(b, &info));
    /* Unless its time has come meanwhile. */
    commit_held(&held, inside(b, &info));
    pass(b, MAX_MS);
    answer_held(&held, VELOCITY_BUSY, 0, "not now");
    assert_int_equal(held.asked.status, VELOCITY_BUSY);
    assert_int_equal(end_of(b, &info), TRANSACTION_OLD);
    assert_int_equal(stats_of(b).bytes, 0);
}

static void every_other_answer_ends_it_and_is_given_again(void **state) {
    static const velocity_status statuses[] = {VELOCITY_OK, VELOCITY_CONFLICT,  VELOCITY_INVALID,    VELOCITY_CORRUPT,
                                               VELOCITY_IO, VELOCITY_READ_ONLY, VELOCITY_UNSUPPORTED};
    struct bench *b = *state;
    for (size_t i = 0; i < COUNT(statuses); i++) {
        struct held held;
        struct transaction_info info = begin(b, b->ann);
        struct transaction *transaction;
        struct outcome outcome;
        const char *why = statuses[i] ? "this is why" : "";
        put_inside(b, &info, "a", "1");
        commit_held(&held, inside(b, &info));
        answer_held(&held, statuses[i], i, why);
        assert_int_equal(held.asked.status, statuses[i]);
        for (int again = 0; again < 2; again++) {
            assert_int_equal(enter(b, b->ann, &info, &transaction, &outcome), TRANSACTION_ENDED);
            assert_int_equal(outcome.end, TRANSACTION_COMMITTED);
            assert_int_equal(outcome.status, statuses[i]);
            assert_int_equal(outcome.version, i);
            assert_string_equal(outcome.message, why);
        }
    }
}

static void rights_taken_back_meanwhile_end_it_where_it_was_not_committed(void **state) {
    static const velocity_status statuses[] = {VELOCITY_OK, VELOCITY_BUSY};
    static const enum transaction_end ends[] = {TRANSACTION_COMMITTED, TRANSACTION_REVOKED};
    struct bench *b = *state;
    struct transaction_info infos[COUNT(statuses)];
    struct held held[COUNT(statuses)];
    for (size_t i = 0; i < COUNT(statuses); i++) {
        infos[i] = begin(b, b->ann);
        put_inside(b, &infos[i], "a", "1");
        commit_held(&held[i], inside(b, &infos[i]));
    }
    struct auth_user_change change = {.password = "correct horse", .role = ROLE_ADMIN};
    assert_int_equal(auth_user_create(b->behind.auth, "eve", &change),
                     VELOCITY_OK); /* until then anyone was an admin */
    transactions_sweep(b->all);
    for (size_t i = 0; i < COUNT(statuses); i++) {
        answer_held(&held[i], statuses[i], 1, "");
        assert_int_equal(held[i].asked.status, statuses[i]);
        assert_int_equal(end_of(b, &infos[i]), ends[i]);
    }
}

static void *drop_mine(void *arg) {
    struct bench *b = arg;
    return databases_drop(b->behind.databases, velocity_str("mine"), 60000) == VELOCITY_OK ? NULL
                                                                                           : "it was not dropped";
}

static bool is_closed(struct bench *b, const char *name) {
    struct database *database;
    if (databases_acquire(b->behind.databases, velocity_str(name), &database) == VELOCITY_BUSY) return true;
    database_release(database);
    return false;
}

static void a_drop_waits_for_a_commit_that_is_under_way(void **state) {
    struct bench *b = *state;
    struct held held;
    struct transaction_info info;
    struct transaction_caller caller = in(b->ann, "mine");
    struct transaction *transaction;
    struct outcome outcome;
    pthread_t thread;
    void *complaint;
    assert_int_equal(databases_create(b->behind.databases, velocity_str("mine"), UINT64_MAX), VELOCITY_OK);
    assert_int_equal(transactions_begin(b->all, &caller, VELOCITY_ISOLATION_SNAPSHOT, &info), VELOCITY_OK);
    assert_int_equal(transactions_enter(b->all, velocity_str(info.id), &caller, &transaction, &outcome),
                     TRANSACTION_ENTERED);
    commit_held(&held, transaction);
    assert_int_equal(pthread_create(&thread, NULL, drop_mine, b), 0);
    assert_soon(is_closed(b, "mine"));
    assert_int_equal(transactions_look(b->all, velocity_str(info.id), &caller, &outcome), TRANSACTION_BUSY);
    answer_held(&held, VELOCITY_OK, 5, "");
    pthread_join(thread, &complaint);
    assert_null(complaint);
    assert_int_equal(transactions_look(b->all, velocity_str(info.id), &caller, &outcome), TRANSACTION_ENDED);
    assert_int_equal(outcome.end, TRANSACTION_COMMITTED);
    assert_int_equal(outcome.version, 5);
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
        outcome_clear(&outcome);
        store_commit_forget(&answered);
        transactions_sweep(w->bench->all);
    }
    return NULL;
}

/* The real clock, and its own thread. */
static void in_real_time(struct bench *b, uint32_t idle_seconds) {
    transactions_free(b->all);
    b->all = transactions_new(&(struct transactions_options){.databases = b->behind.databases,
                                                             .auth = b->behind.auth,
                                                             .idle_seconds = idle_seconds,
                                                             .max_seconds = 600,
                                                             .max_total_bytes = 64 * MIB});
    assert_non_null(b->all);
}

static void many_threads_at_once_lose_no_update_and_no_answer(void **state) {
    struct bench *b = *state;
    struct worker workers[THREADS];
    pthread_t threads[THREADS];
    uint64_t committed = 0, conflicts = 0;
    char sum[32];
    in_real_time(b, 60);
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
    (void)begin(b, b->ann); /* open at the end */
}

static void what_nobody_asks_for_ends_by_itself(void **state) {
    struct bench *b = *state;
    in_real_time(b, 1);
    (void)begin(b, b->ann);
    assert_soon(stats_of(b).open == 0);
    assert_int_equal(stats_of(b).timed_out, 1);
}

/* One commits, one rolls back, and time passes: all at once. */
struct race {
    struct bench *bench;
    struct transaction_info info;
    pthread_barrier_t start;
    enum transaction_entry entered, rolled_back;
    velocity_status committed;
};

static void *race_to_commit(void *arg) {
    struct race *r = arg;
    struct transaction *transaction;
    struct outcome outcome;
    pthread_barrier_wait(&r->start);
    r->entered = enter(r->bench, r->bench->ann, &r->info, &transaction, &outcome);
    if (r->entered == TRANSACTION_ENTERED) r->committed = commit_inside(transaction).status;
    return NULL;
}

static void *race_to_roll_back(void *arg) {
    struct race *r = arg;
    pthread_barrier_wait(&r->start);
    r->rolled_back = roll_back(r->bench, &r->info);
    return NULL;
}

static void *race_with_time(void *arg) {
    struct race *r = arg;
    pthread_barrier_wait(&r->start);
    pass(r->bench, IDLE_MS);
    transactions_sweep(r->bench->all);
    return NULL;
}

/* How the race says that it ended. */
static enum transaction_end winner(const struct race *r) {
    if (r->entered == TRANSACTION_ENTERED) return TRANSACTION_COMMITTED;
    return r->rolled_back == TRANSACTION_ENTERED ? TRANSACTION_ROLLED_BACK : TRANSACTION_IDLE;
}

static void of_commit_rollback_and_idleness_one_wins_and_all_agree_which(void **state) {
    struct bench *b = *state;
    void *(*const racers[])(void *) = {race_to_commit, race_to_roll_back, race_with_time};
    enum { RACES = 300, RACERS = COUNT(racers) };
    for (int i = 0; i < RACES; i++) {
        struct race r = {.bench = b, .info = begin(b, b->ann)};
        pthread_t threads[RACERS];
        char key[24];
        (void)snprintf(key, sizeof key, "race:%d", i);
        put_inside(b, &r.info, key, "x");
        assert_int_equal(pthread_barrier_init(&r.start, NULL, RACERS), 0);
        for (size_t k = 0; k < RACERS; k++) assert_int_equal(pthread_create(&threads[k], NULL, racers[k], &r), 0);
        for (size_t k = 0; k < RACERS; k++) pthread_join(threads[k], NULL);
        pthread_barrier_destroy(&r.start);
        enum transaction_end end = winner(&r);
        assert_int_equal(end_of(b, &r.info), end);
        assert_int_equal(r.committed, VELOCITY_OK);
        if (end == TRANSACTION_COMMITTED) assert_int_not_equal(r.rolled_back, TRANSACTION_ENTERED);
        assert_value(&b->behind, key, end == TRANSACTION_COMMITTED ? "x" : NULL);
    }
    struct transactions_stats stats = stats_of(b);
    assert_int_equal(stats.committed + stats.rolled_back + stats.timed_out, RACES);
    assert_int_equal(stats.open, 0);
    assert_int_equal(stats.bytes, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, transactions_set_up, transactions_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_commit_is_answered_again_for_ten_minutes),
        TEST(who_lost_is_told_the_same_again),
        TEST(a_commit_without_room_can_be_tried_again),
        TEST(who_lost_is_told_so_though_many_begin_and_roll_back_since),
        TEST(nobody_gets_inside_and_nothing_ends_it_while_it_is_committed),
        TEST(an_answer_after_which_nothing_was_done_leaves_it_open),
        TEST(every_other_answer_ends_it_and_is_given_again),
        TEST(rights_taken_back_meanwhile_end_it_where_it_was_not_committed),
        TEST(a_drop_waits_for_a_commit_that_is_under_way),
        TEST(many_threads_at_once_lose_no_update_and_no_answer),
        TEST(what_nobody_asks_for_ends_by_itself),
        TEST(of_commit_rollback_and_idleness_one_wins_and_all_agree_which),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
