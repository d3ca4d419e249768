/* transactions_fixture.c - see transactions_fixture.h. */
#include "tests/server/transactions_fixture.h"

#include <semaphore.h>

static uint64_t clock_of(void *arg) {
    return atomic_load(&((struct bench *)arg)->now_ms);
}

static struct principal *somebody(const char *name) {
    struct principal *principal = principal_new(&(struct principal){.user = (char *)(uintptr_t)name});
    assert_non_null(principal);
    return principal;
}

void open_registry(struct bench *b, struct transactions_options options) {
    transactions_free(b->all);
    options.databases = b->behind.databases;
    options.auth = b->behind.auth;
    if (!options.max_total_bytes) options.max_total_bytes = 64 * MIB;
    if (!options.now_ms) {
        options.now_ms = clock_of;
        options.now_arg = b;
    }
    b->all = transactions_new(&options);
    assert_non_null(b->all);
}

int transactions_set_up(void **state) {
    static struct bench b;
    memset(&b, 0, sizeof b);
    *state = &b;
    if (!fixture_open(&b.behind, &(struct fixture_options){.max_inflight_bytes = 64 * MIB})) return -1;
    b.now_ms = 1000000;
    b.ann = somebody("ann");
    b.bob = somebody("bob");
    open_registry(&b, (struct transactions_options){0});
    return 0;
}

int transactions_tear_down(void **state) {
    struct bench *b = *state;
    transactions_free(b->all);
    principal_release(b->ann);
    principal_release(b->bob);
    return fixture_close(&b->behind) ? 0 : -1;
}

/* ---- short words ------------------------------------------------------------------------------------------------ */

struct transaction_caller in(struct principal *who, const char *database) {
    return (struct transaction_caller){.principal = who, .database = velocity_str(database)};
}

velocity_status try_begin(struct bench *b, struct principal *who, struct transaction_info *info) {
    struct transaction_caller caller = in(who, "default");
    return transactions_begin(b->all, &caller, VELOCITY_ISOLATION_SNAPSHOT, info);
}

struct transaction_info begin(struct bench *b, struct principal *who) {
    struct transaction_info info;
    assert_int_equal(try_begin(b, who, &info), VELOCITY_OK);
    return info;
}

enum transaction_entry enter(struct bench *b, struct principal *who, const struct transaction_info *info,
                             struct transaction **out, struct outcome *outcome) {
    struct transaction_caller caller = in(who, "default");
    return transactions_enter(b->all, velocity_str(info->id), &caller, out, outcome);
}

struct transaction *inside(struct bench *b, const struct transaction_info *info) {
    struct transaction *transaction;
    struct outcome outcome;
    assert_int_equal(enter(b, b->ann, info, &transaction, &outcome), TRANSACTION_ENTERED);
    return transaction;
}

int end_of(struct bench *b, const struct transaction_info *info) {
    struct transaction *transaction;
    struct outcome outcome;
    enum transaction_entry entry = enter(b, b->ann, info, &transaction, &outcome);
    if (entry == TRANSACTION_UNKNOWN) return -1;
    assert_int_equal(entry, TRANSACTION_ENDED);
    outcome_clear(&outcome);
    return outcome.end;
}

enum transaction_entry roll_back(struct bench *b, const struct transaction_info *info) {
    struct transaction_caller caller = in(b->ann, "default");
    struct outcome outcome;
    return transactions_rollback(b->all, velocity_str(info->id), &caller, &outcome);
}

struct store_commit write_inside(struct transaction *transaction, const char *key, velocity_slice value) {
    struct store *store = transaction_store(transaction);
    struct store_operation operation = {.action = STORE_PUT, .key = velocity_str(key), .value = value};
    struct store_batch batch = {.operations = &operation, .operation_count = 1};
    struct store_commit commit = {0};
    store->operations->write(store, &batch, &commit);
    store_commit_free(&commit);
    return commit;
}

void put_inside(struct bench *b, const struct transaction_info *info, const char *key, const char *value) {
    struct transaction *transaction = inside(b, info);
    assert_int_equal(write_inside(transaction, key, velocity_str(value)).status, VELOCITY_OK);
    transaction_leave(transaction);
}

struct waiting {
    struct store_commit commit;
    sem_t answered;
};

static void answer(struct store_commit *commit) {
    sem_post(&((struct waiting *)commit)->answered);
}

struct store_commit commit_inside(struct transaction *transaction) {
    struct waiting waiting = {.commit.done = answer};
    sem_init(&waiting.answered, 0, 0);
    transaction_commit(transaction, &waiting.commit);
    sem_wait(&waiting.answered);
    sem_destroy(&waiting.answered);
    return waiting.commit;
}

struct store_commit commit(struct bench *b, const struct transaction_info *info) {
    return commit_inside(inside(b, info));
}

struct transactions_stats stats_of(struct bench *b) {
    struct transactions_stats stats;
    transactions_stats(b->all, &stats);
    return stats;
}

void pass(struct bench *b, uint64_t ms) {
    (void)atomic_fetch_add(&b->now_ms, ms);
}
