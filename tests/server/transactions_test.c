/*
 * transactions_test.c - who may enter a transaction, how many there may be, when each ends, and what is remembered of
 * it; with a clock that stands still until it is moved, and under many threads with the real one.
 */
#include "tests/server/fixture.h"

#include "server/transactions.h"

#include <semaphore.h>
#include <stdio.h>
#include <unistd.h>

enum { IDLE_MS = 30000, MAX_MS = 300000, BASE_BYTES = 32768, MIB = 1 << 20 };

struct bench {
    struct fixture behind;
    struct transactions *all;
    _Atomic uint64_t now_ms;
    struct principal *ann, *bob;
};

static uint64_t clock_of(void *arg) {
    return atomic_load(&((struct bench *)arg)->now_ms);
}

static struct principal *somebody(const char *name) {
    struct principal *principal = principal_new(&(struct principal){.user = (char *)(uintptr_t)name});
    assert_non_null(principal);
    return principal;
}

static void open_registry(struct bench *b, struct transactions_options options) {
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

static int set_up(void **state) {
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

static int tear_down(void **state) {
    struct bench *b = *state;
    transactions_free(b->all);
    principal_release(b->ann);
    principal_release(b->bob);
    return fixture_close(&b->behind) ? 0 : -1;
}

/* ---- short words ------------------------------------------------------------------------------------------------ */

static struct transaction_caller in(struct principal *who, const char *database) {
    return (struct transaction_caller){.principal = who, .database = velocity_str(database)};
}

static velocity_status try_begin(struct bench *b, struct principal *who, struct transaction_info *info) {
    struct transaction_caller caller = in(who, "default");
    return transactions_begin(b->all, &caller, VELOCITY_ISOLATION_SNAPSHOT, info);
}

static struct transaction_info begin(struct bench *b, struct principal *who) {
    struct transaction_info info;
    assert_int_equal(try_begin(b, who, &info), VELOCITY_OK);
    return info;
}

static enum transaction_entry enter(struct bench *b, struct principal *who, const struct transaction_info *info,
                                    struct transaction **out, struct outcome *outcome) {
    struct transaction_caller caller = in(who, "default");
    return transactions_enter(b->all, velocity_str(info->id), &caller, out, outcome);
}

static struct transaction *inside(struct bench *b, const struct transaction_info *info) {
    struct transaction *transaction;
    struct outcome outcome;
    assert_int_equal(enter(b, b->ann, info, &transaction, &outcome), TRANSACTION_ENTERED);
    return transaction;
}

/* How it ended; -1: that is not known. */
static int end_of(struct bench *b, const struct transaction_info *info) {
    struct transaction *transaction;
    struct outcome outcome;
    enum transaction_entry entry = enter(b, b->ann, info, &transaction, &outcome);
    if (entry == TRANSACTION_UNKNOWN) return -1;
    assert_int_equal(entry, TRANSACTION_ENDED);
    return outcome.end;
}

static enum transaction_entry roll_back(struct bench *b, const struct transaction_info *info) {
    struct transaction_caller caller = in(b->ann, "default");
    struct outcome outcome;
    return transactions_rollback(b->all, velocity_str(info->id), &caller, &outcome);
}

static struct store_commit write_inside(struct transaction *transaction, const char *key, velocity_slice value) {
    struct store *store = transaction_store(transaction);
    struct store_operation operation = {.action = STORE_PUT, .key = velocity_str(key), .value = value};
    struct store_batch batch = {.operations = &operation, .operation_count = 1};
    struct store_commit commit = {0};
    store->operations->write(store, &batch, &commit);
    store_commit_free(&commit);
    return commit;
}

static void put_inside(struct bench *b, const struct transaction_info *info, const char *key, const char *value) {
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

static struct store_commit commit_inside(struct transaction *transaction) {
    struct waiting waiting = {.commit.done = answer};
    sem_init(&waiting.answered, 0, 0);
    transaction_commit(transaction, &waiting.commit);
    sem_wait(&waiting.answered);
    sem_destroy(&waiting.answered);
    return waiting.commit;
}

static struct store_commit commit(struct bench *b, const struct transaction_info *info) {
    return commit_inside(inside(b, info));
}

static struct transactions_stats stats_of(struct bench *b) {
    struct transactions_stats stats;
    transactions_stats(b->all, &stats);
    return stats;
}

static void pass(struct bench *b, uint64_t ms) {
    (void)atomic_fetch_add(&b->now_ms, ms);
}

/* ---- whose it is ------------------------------------------------------------------------------------------------ */

static void it_is_there_for_the_login_that_began_it_in_its_database_alone(void **state) {
    struct bench *b = *state;
    struct transaction_info info = begin(b, b->ann);
    struct transaction *transaction;
    struct outcome outcome;
    struct principal *token = principal_new(&(struct principal){.user = b->ann->user, .login = LOGIN_TOKEN, .id = "1"});
    assert_int_equal(databases_create(b->behind.databases, velocity_str("other"), UINT64_MAX), VELOCITY_OK);
    struct transaction_caller other = in(b->ann, "other");
    assert_int_equal(enter(b, b->bob, &info, &transaction, &outcome), TRANSACTION_UNKNOWN);
    assert_int_equal(enter(b, token, &info, &transaction, &outcome), TRANSACTION_UNKNOWN);
    assert_int_equal(transactions_enter(b->all, velocity_str(info.id), &other, &transaction, &outcome),
                     TRANSACTION_UNKNOWN);
    assert_int_equal(transactions_rollback(b->all, velocity_str(info.id), &other, &outcome), TRANSACTION_UNKNOWN);
    /* Nor is how it ended. */
    put_inside(b, &info, "a", "1");
    assert_int_equal(commit(b, &info).status, VELOCITY_OK);
    assert_int_equal(end_of(b, &info), TRANSACTION_COMMITTED);
    assert_int_equal(enter(b, b->bob, &info, &transaction, &outcome), TRANSACTION_UNKNOWN);
    assert_int_equal(enter(b, token, &info, &transaction, &outcome), TRANSACTION_UNKNOWN);
    assert_int_equal(transactions_enter(b->all, velocity_str(info.id), &other, &transaction, &outcome),
                     TRANSACTION_UNKNOWN);
    principal_release(token);
}

static void an_id_is_32_hexadecimal_digits_and_none_that_can_be_guessed(void **state) {
    struct bench *b = *state;
    static const char *const bad[] = {"",
                                      "0",
                                      "0123456789abcdef0123456789abcde",
                                      "0123456789abcdef0123456789abcdef0",
                                      "0123456789ABCDEF0123456789abcdef",
                                      "0123456789abcdef0123456789abcdeg"};
    struct transaction *transaction;
    struct outcome outcome;
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct transaction_caller caller = in(b->ann, "default");
        assert_false(transaction_id_is_good(velocity_str(bad[i])));
        assert_int_equal(transactions_enter(b->all, velocity_str(bad[i]), &caller, &transaction, &outcome),
                         TRANSACTION_UNKNOWN);
    }
    struct transaction_info first = begin(b, b->ann), second = begin(b, b->ann);
    assert_true(transaction_id_is_good(velocity_str(first.id)));
    int same = 0;
    for (int i = 0; i < 32; i++) same += first.id[i] == second.id[i];
    assert_true(same < 20);
}

static void one_request_at_a_time_is_inside(void **state) {
    struct bench *b = *state;
    struct transaction_info info = begin(b, b->ann);
    struct transaction *transaction = inside(b, &info), *second;
    struct outcome outcome;
    assert_int_equal(enter(b, b->ann, &info, &second, &outcome), TRANSACTION_BUSY);
    assert_int_equal(roll_back(b, &info), TRANSACTION_BUSY);
    transaction_leave(transaction);
    transaction_leave(inside(b, &info));
}

/* ---- how many, how much ------------------------------------------------------------------------------------------ */

static void a_user_has_so_many_at_once_and_others_have_theirs(void **state) {
    struct bench *b = *state;
    struct transaction_info infos[16], more;
    for (size_t i = 0; i < COUNT(infos); i++) infos[i] = begin(b, b->ann);
    assert_int_equal(try_begin(b, b->ann, &more), VELOCITY_CONFLICT);
    (void)begin(b, b->bob);
    assert_int_equal(roll_back(b, &infos[3]), TRANSACTION_ENTERED);
    infos[3] = begin(b, b->ann);
    assert_int_equal(try_begin(b, b->ann, &more), VELOCITY_CONFLICT);
    assert_int_equal(commit(b, &infos[4]).status, VELOCITY_OK);
    (void)begin(b, b->ann);
    assert_int_equal(stats_of(b).refused, 2);
    pass(b, IDLE_MS);
    (void)begin(b, b->ann); /* those that are due have left their places */
    assert_int_equal(stats_of(b).open, 1);
}

static void all_together_are_so_many(void **state) {
    struct bench *b = *state;
    struct transaction_info info;
    open_registry(b, (struct transactions_options){.max_per_user = 2000});
    for (uint32_t i = 0; i < TRANSACTIONS_MAX; i++) (void)begin(b, b->ann);
    assert_int_equal(try_begin(b, b->bob, &info), VELOCITY_BUSY);
    assert_int_equal(stats_of(b).open, TRANSACTIONS_MAX);
    pass(b, IDLE_MS);
    transactions_sweep(b->all);
    assert_int_equal(stats_of(b).open, 0);
    assert_int_equal(stats_of(b).bytes, 0);
    assert_int_equal(stats_of(b).timed_out, TRANSACTIONS_MAX);
}

static void what_one_writes_is_bounded_and_what_was_written_stays(void **state) {
    struct bench *b = *state;
    static char large[MIB];
    open_registry(b, (struct transactions_options){.max_bytes = 3 * MIB});
    struct transaction_info info = begin(b, b->ann);
    struct transaction *transaction = inside(b, &info);
    assert_int_equal(write_inside(transaction, "a", velocity_bytes(large, sizeof large)).status, VELOCITY_OK);
    uint64_t held = stats_of(b).bytes;
    assert_in_range(held, 2 * MIB + BASE_BYTES, 2 * MIB + BASE_BYTES + 1000);
    assert_int_equal(write_inside(transaction, "b", velocity_bytes(large, sizeof large)).status, VELOCITY_INVALID);
    assert_int_equal(transaction_excess(transaction), TRANSACTION_TOO_LARGE);
    assert_int_equal(stats_of(b).bytes, held);
    assert_int_equal(write_inside(transaction, "c", LITERAL("small")).status, VELOCITY_OK);
    assert_int_equal(transaction_excess(transaction), TRANSACTION_FITS);
    assert_int_equal(commit_inside(transaction).status, VELOCITY_OK);
    assert_value(&b->behind, "c", "small");
    assert_value(&b->behind, "b", NULL);
    assert_int_equal(stats_of(b).bytes, 0);
}

static void a_write_that_fails_holds_nothing(void **state) {
    struct bench *b = *state;
    struct transaction_info info = begin(b, b->ann);
    struct transaction *transaction = inside(b, &info);
    uint64_t held = stats_of(b).bytes;
    assert_int_equal(write_inside(transaction, "", LITERAL("no key")).status, VELOCITY_INVALID);
    assert_int_equal(transaction_excess(transaction), TRANSACTION_FITS);
    assert_int_equal(stats_of(b).bytes, held);
    assert_false(transaction_takes_space(transaction));
    transaction_leave(transaction);
}

static void all_together_hold_so_much(void **state) {
    struct bench *b = *state;
    static char large[MIB];
    open_registry(b, (struct transactions_options){.max_total_bytes = 3 * MIB});
    struct transaction_info first = begin(b, b->ann), second = begin(b, b->ann);
    struct transaction *transaction = inside(b, &first);
    assert_int_equal(write_inside(transaction, "a", velocity_bytes(large, sizeof large)).status, VELOCITY_OK);
    transaction_leave(transaction);
    transaction = inside(b, &second);
    assert_int_equal(write_inside(transaction, "b", velocity_bytes(large, sizeof large)).status, VELOCITY_BUSY);
    assert_int_equal(transaction_excess(transaction), TRANSACTIONS_TOO_LARGE);
    transaction_leave(transaction);
    assert_int_equal(roll_back(b, &first), TRANSACTION_ENTERED);
    transaction = inside(b, &second);
    assert_int_equal(write_inside(transaction, "b", velocity_bytes(large, sizeof large)).status, VELOCITY_OK);
    transaction_leave(transaction);
}

static void reads_of_serializable_ones_are_counted_up_to_what_the_engine_remembers(void **state) {
    struct bench *b = *state;
    static char key[VELOCITY_MAX_KEY_BYTES];
    struct transaction_caller caller = in(b->ann, "default");
    struct transaction_info info;
    memset(key, 'k', sizeof key);
    assert_int_equal(transactions_begin(b->all, &caller, VELOCITY_ISOLATION_SERIALIZABLE, &info), VELOCITY_OK);
    struct transaction *transaction = inside(b, &info);
    struct store *store = transaction_store(transaction);
    uint64_t before = stats_of(b).bytes;
    velocity_value found = {0};
    for (uint32_t i = 0; i < 1000; i++) {
        memcpy(key, &i, sizeof i);
        assert_int_equal(store->operations->get(store, velocity_bytes(key, sizeof key), false, &found),
                         VELOCITY_NOT_FOUND);
        if (i == 0) assert_in_range(stats_of(b).bytes - before, sizeof key, sizeof key + 100);
    }
    assert_in_range(stats_of(b).bytes - before, 4 * MIB, 9 * MIB);
    transaction_leave(transaction);
    assert_int_equal(roll_back(b, &info), TRANSACTION_ENTERED);
    assert_int_equal(stats_of(b).bytes, 0);
}

static bool pass_over(void *arg, const struct store_row *row) {
    struct store_scan *scan = arg;
    static char prefix[2];
    memcpy(prefix, row->key.data, sizeof prefix);
    scan->pass = velocity_bytes(prefix, sizeof prefix);
    return true;
}

static bool want_nothing(void *arg, uint32_t flags, size_t value_size) {
    (void)flags, (void)value_size;
    assert_non_null(((struct store_scan *)arg)->row); /* it is the caller's own */
    return false;
}

static void scans_and_conditions_are_reads_too(void **state) {
    struct bench *b = *state;
    struct transaction_caller caller = in(b->ann, "default");
    struct transaction_info info;
    char key[8];
    for (int i = 0; i < 30; i++) {
        (void)snprintf(key, sizeof key, "%02d:%d", i / 3, i);
        (void)put(&b->behind, key, "x");
    }
    assert_int_equal(transactions_begin(b->all, &caller, VELOCITY_ISOLATION_SERIALIZABLE, &info), VELOCITY_OK);
    struct transaction *transaction = inside(b, &info);
    struct store *store = transaction_store(transaction);
    uint64_t before = stats_of(b).bytes;
    struct store_scan scan = {.row = pass_over, .wants_value = want_nothing};
    scan.arg = &scan;
    assert_int_equal(store->operations->scan(store, &scan), VELOCITY_OK);
    assert_true(scan.complete);
    assert_ptr_equal(scan.arg, &scan);
    assert_in_range(stats_of(b).bytes - before, 11 * 512, 11 * 512 + 200); /* itself, and ten times over three keys */
    before = stats_of(b).bytes;
    struct store_condition condition = {.key = LITERAL("none"), .version = VELOCITY_EXISTS};
    struct store_batch batch = {.conditions = &condition, .condition_count = 1};
    struct store_commit commit = {0};
    store->operations->write(store, &batch, &commit);
    assert_int_equal(commit.status, VELOCITY_CONFLICT);
    assert_in_range(stats_of(b).bytes - before, 4, 100);
    transaction_leave(transaction);
    assert_int_equal(roll_back(b, &info), TRANSACTION_ENTERED);
    assert_int_equal(stats_of(b).bytes, 0);
}

/* ---- when it ends ------------------------------------------------------------------------------------------------ */

static void one_that_nobody_comes_to_ends_and_one_that_is_used_does_not(void **state) {
    struct bench *b = *state;
    struct transaction_info idle = begin(b, b->ann), used = begin(b, b->ann);
    for (int i = 0; i < 3; i++) {
        pass(b, IDLE_MS - 1);
        transaction_leave(inside(b, &used));
        if (i == 0) transaction_leave(inside(b, &idle));
    }
    assert_int_equal(end_of(b, &idle), TRANSACTION_IDLE);
    transaction_leave(inside(b, &used));
    pass(b, IDLE_MS);
    assert_int_equal(end_of(b, &used), TRANSACTION_IDLE);
    assert_int_equal(stats_of(b).timed_out, 2);
}

static void none_lives_for_ever(void **state) {
    struct bench *b = *state;
    struct transaction_info info = begin(b, b->ann);
    assert_in_range(info.expires_at_ms - info.begun_at_ms, MAX_MS, MAX_MS);
    for (int i = 0; i < MAX_MS / (IDLE_MS / 2) - 1; i++) {
        pass(b, IDLE_MS / 2);
        transaction_leave(inside(b, &info));
    }
    pass(b, IDLE_MS / 2);
    assert_int_equal(end_of(b, &info), TRANSACTION_OLD);
}

static void whoever_is_inside_is_not_disturbed_and_then_it_ends(void **state) {
    struct bench *b = *state;
    struct transaction_info info = begin(b, b->ann);
    struct transaction *transaction = inside(b, &info);
    pass(b, MAX_MS);
    transactions_sweep(b->all);
    assert_int_equal(write_inside(transaction, "a", LITERAL("1")).status, VELOCITY_OK);
    transaction_leave(transaction);
    assert_int_equal(end_of(b, &info), TRANSACTION_OLD);
    assert_value(&b->behind, "a", NULL);
    /* A long request is no idleness. */
    info = begin(b, b->ann);
    transaction = inside(b, &info);
    pass(b, IDLE_MS + 1);
    transactions_sweep(b->all);
    transaction_leave(transaction);
    transaction_leave(inside(b, &info));
}

static void what_is_rolled_back_was_never_there_and_is_remembered(void **state) {
    struct bench *b = *state;
    struct transaction_info info = begin(b, b->ann);
    put_inside(b, &info, "a", "1");
    assert_int_equal(roll_back(b, &info), TRANSACTION_ENTERED);
    assert_int_equal(roll_back(b, &info), TRANSACTION_ENDED);
    assert_int_equal(end_of(b, &info), TRANSACTION_ROLLED_BACK);
    assert_value(&b->behind, "a", NULL);
}

static void rights_that_are_taken_back_take_it_with_them(void **state) {
    struct bench *b = *state;
    struct auth *auth = b->behind.auth;
    char secret[AUTH_SECRET_BYTES];
    struct auth_secret token;
    struct transaction_info nobodys = begin(b, b->ann), info;
    struct auth_user_change change = {.password = "correct horse", .role = ROLE_ADMIN};
    assert_int_equal(auth_user_create(auth, "eve", &change), VELOCITY_OK);
    assert_int_equal(end_of(b, &nobodys), TRANSACTION_REVOKED); /* there were no users when it was begun */
    struct auth_secret_options options = {.name = "t", .role = -1};
    assert_int_equal(auth_token_create(auth, "eve", &options, secret, &token), VELOCITY_OK);
    struct transaction_caller caller = in(token.principal, "default");
    struct transaction *transaction;
    struct outcome outcome;
    assert_int_equal(transactions_begin(b->all, &caller, VELOCITY_ISOLATION_SNAPSHOT, &info), VELOCITY_OK);
    change = (struct auth_user_change){.password = "correct horse", .role = ROLE_READ};
    assert_int_equal(auth_user_create(auth, "mallory", &change), VELOCITY_OK); /* which concerns nobody else */
    assert_int_equal(transactions_enter(b->all, velocity_str(info.id), &caller, &transaction, &outcome),
                     TRANSACTION_ENTERED);
    assert_int_equal(write_inside(transaction, "a", LITERAL("1")).status, VELOCITY_OK);
    transaction_leave(transaction);
    assert_int_equal(auth_token_revoke(auth, "eve", token.id), VELOCITY_OK);
    assert_int_equal(transactions_enter(b->all, velocity_str(info.id), &caller, &transaction, &outcome),
                     TRANSACTION_ENDED);
    assert_int_equal(outcome.end, TRANSACTION_REVOKED);
    principal_release(token.principal);
}

/* ---- databases that go ------------------------------------------------------------------------------------------- */

static void a_dropped_database_takes_its_transactions_with_it(void **state) {
    struct bench *b = *state;
    struct transaction_info info, kept = begin(b, b->ann);
    struct transaction_caller caller = in(b->ann, "mine");
    struct transaction *transaction;
    struct outcome outcome;
    assert_int_equal(databases_create(b->behind.databases, velocity_str("mine"), UINT64_MAX), VELOCITY_OK);
    assert_int_equal(transactions_begin(b->all, &caller, VELOCITY_ISOLATION_SERIALIZABLE, &info), VELOCITY_OK);
    assert_int_equal(databases_drop(b->behind.databases, velocity_str("mine"), 0), VELOCITY_OK);
    assert_int_equal(transactions_enter(b->all, velocity_str(info.id), &caller, &transaction, &outcome),
                     TRANSACTION_ENDED);
    assert_int_equal(outcome.end, TRANSACTION_DROPPED);
    assert_int_equal(transactions_begin(b->all, &caller, VELOCITY_ISOLATION_SNAPSHOT, &info), VELOCITY_NOT_FOUND);
    transaction_leave(inside(b, &kept));
}

struct dropping {
    struct databases *databases;
    velocity_status status;
};

static void *drop(void *arg) {
    struct dropping *dropping = arg;
    dropping->status = databases_drop(dropping->databases, velocity_str("mine"), 60000);
    return NULL;
}

static void a_drop_waits_for_who_is_inside_and_no_longer(void **state) {
    struct bench *b = *state;
    struct transaction_info info;
    struct transaction_caller caller = in(b->ann, "mine");
    struct transaction *transaction;
    struct outcome outcome;
    struct dropping dropping = {.databases = b->behind.databases};
    pthread_t thread;
    assert_int_equal(databases_create(b->behind.databases, velocity_str("mine"), UINT64_MAX), VELOCITY_OK);
    assert_int_equal(transactions_begin(b->all, &caller, VELOCITY_ISOLATION_SNAPSHOT, &info), VELOCITY_OK);
    assert_int_equal(transactions_enter(b->all, velocity_str(info.id), &caller, &transaction, &outcome),
                     TRANSACTION_ENTERED);
    assert_int_equal(pthread_create(&thread, NULL, drop, &dropping), 0);
    struct database *database;
    velocity_status status = VELOCITY_OK;
    while (status != VELOCITY_BUSY) { /* until the door is closed */
        status = databases_acquire(b->behind.databases, velocity_str("mine"), &database);
        if (!status) database_release(database);
        usleep(1000);
    }
    assert_int_equal(write_inside(transaction, "a", LITERAL("1")).status, VELOCITY_OK);
    transaction_leave(transaction);
    pthread_join(thread, NULL);
    assert_int_equal(dropping.status, VELOCITY_OK);
}

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

static bool count_row(void *arg, const struct transaction_info *info) {
    assert_true(info->user[0]);
    ++*(int *)arg;
    return true;
}

static void open_ones_are_listed_by_database_and_user(void **state) {
    struct bench *b = *state;
    struct transaction_caller caller = in(b->ann, "other");
    struct transaction_info info;
    assert_int_equal(databases_create(b->behind.databases, velocity_str("other"), UINT64_MAX), VELOCITY_OK);
    assert_int_equal(transactions_begin(b->all, &caller, VELOCITY_ISOLATION_SNAPSHOT, &info), VELOCITY_OK);
    for (int i = 0; i < 3; i++) (void)begin(b, i ? b->ann : b->bob);
    struct {
        const char *database, *user;
        int rows;
    } lists[] = {{"default", NULL, 3}, {"default", "ann", 2}, {"default", "bob", 1},
                 {"other", NULL, 1},   {"other", "bob", 0},   {"none", NULL, 0}};
    for (size_t i = 0; i < COUNT(lists); i++) {
        int rows = 0;
        transactions_list(b->all, velocity_str(lists[i].database), lists[i].user, count_row, &rows);
        assert_int_equal(rows, lists[i].rows);
    }
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

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(it_is_there_for_the_login_that_began_it_in_its_database_alone),
        TEST(an_id_is_32_hexadecimal_digits_and_none_that_can_be_guessed),
        TEST(one_request_at_a_time_is_inside),
        TEST(a_user_has_so_many_at_once_and_others_have_theirs),
        TEST(all_together_are_so_many),
        TEST(what_one_writes_is_bounded_and_what_was_written_stays),
        TEST(a_write_that_fails_holds_nothing),
        TEST(all_together_hold_so_much),
        TEST(reads_of_serializable_ones_are_counted_up_to_what_the_engine_remembers),
        TEST(scans_and_conditions_are_reads_too),
        TEST(one_that_nobody_comes_to_ends_and_one_that_is_used_does_not),
        TEST(none_lives_for_ever),
        TEST(whoever_is_inside_is_not_disturbed_and_then_it_ends),
        TEST(what_is_rolled_back_was_never_there_and_is_remembered),
        TEST(rights_that_are_taken_back_take_it_with_them),
        TEST(a_dropped_database_takes_its_transactions_with_it),
        TEST(a_drop_waits_for_who_is_inside_and_no_longer),
        TEST(a_commit_is_answered_again_for_ten_minutes),
        TEST(who_lost_is_told_the_same_again),
        TEST(a_commit_without_room_can_be_tried_again),
        TEST(open_ones_are_listed_by_database_and_user),
        TEST(many_threads_at_once_lose_no_update_and_no_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
