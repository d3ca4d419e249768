/*
 * service_compose_test.c - increments, patches and conditional writes of keys that many want: they share a sync, none
 * is refused because others were faster, and what does not fit there is done elsewhere.
 */
#include "server/service_internal.h"
#include "tests/server/fixture.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

static int set_up(void **state) {
    static struct fixture f;
    *state = &f;
    return fixture_open(&f, &(struct fixture_options){.max_inflight_bytes = 64 << 20}) ? 0 : -1;
}

static int tear_down(void **state) {
    return fixture_close(*state) ? 0 : -1;
}

/* ---- the commit queue, held back -------------------------------------------------------------------------------- */

static void tell_store(struct service_request *request) {
    *(struct store **)request->holds_arg = request->store;
    request->status = VELOCITY_OK;
}

/* The database's, which stays open. */
static struct store *store_of(struct fixture *f) {
    struct store *store = NULL;
    struct call call = {.request = {.operation = SERVICE_CALL, .call = tell_store, .holds_arg = &store}};
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    end(&call);
    assert_non_null(store);
    return store;
}

/* While it is held, no asynchronous write is begun: what comes is written together afterwards. */
struct hold {
    struct store_commit commit; /* the first member */
    _Atomic bool holds, released, ended;
};

static void hold_on(struct store_commit *commit) {
    struct hold *hold = (struct hold *)commit;
    atomic_store(&hold->holds, true);
    while (!atomic_load(&hold->released)) (void)sched_yield();
    atomic_store(&hold->ended, true);
}

static void hold_commits(struct store *store, struct hold *hold) {
    static const struct store_operation operation = {
        .action = STORE_PUT, .key = {"held", 4}, .value = {"by the test", 11}};
    struct store_batch batch = {.operations = &operation, .operation_count = 1};
    memset(hold, 0, sizeof *hold);
    hold->commit.done = hold_on;
    store->operations->write_async(store, &batch, &hold->commit);
    while (!atomic_load(&hold->holds)) (void)sched_yield();
}

static void release_commits(struct hold *hold) {
    atomic_store(&hold->released, true);
    while (!atomic_load(&hold->ended)) (void)sched_yield();
    store_commit_free(&hold->commit);
}

static uint64_t groups(struct store *store) {
    velocity_stats stats;
    assert_int_equal(store->operations->stats(store, &stats), VELOCITY_OK);
    return stats.groups;
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

enum { MANY = 50 };

static bool look_into(uint32_t flags, velocity_slice stored, struct service_content *out) {
    (void)flags, (void)stored;
    *out = (struct service_content){.json = true};
    return true;
}

struct increment {
    struct call call;
    struct service_batch_operation operations[2];
    struct service_batch batch;
};

static void prepare_increment(struct increment *i, const char *key) {
    *i = (struct increment){0};
    i->operations[0] = (struct service_batch_operation){
        .action = SERVICE_BATCH_PUT, .key = velocity_str("last"), .value = velocity_str("x")};
    i->operations[1] =
        (struct service_batch_operation){.action = SERVICE_BATCH_INCREMENT, .key = velocity_str(key), .by = 1};
    i->batch = (struct service_batch){.operations = i->operations, .operation_count = 2};
    i->call.request = (struct service_request){.operation = SERVICE_BATCH, .batch = &i->batch, .look_into = look_into};
}

static struct call make_patch(const char *key, const char *patch) {
    return (struct call){.request = {.operation = SERVICE_PATCH,
                                     .key = velocity_str(key),
                                     .value = velocity_str(patch),
                                     .look_into = look_into}};
}

static bool is_version(void *arg, uint64_t standing) {
    return *(uint64_t *)arg == standing;
}

/* ---- many of one key -------------------------------------------------------------------------------------------- */

static void increments_of_one_key_share_a_group_and_each_is_one_more(void **state) {
    struct fixture *f = *state;
    struct store *store = store_of(f);
    static struct increment all[MANY];
    struct hold hold;
    put(f, "n", "7");
    hold_commits(store, &hold);
    uint64_t before = groups(store), last = 0;
    for (int i = 0; i < MANY; i++) {
        prepare_increment(&all[i], "n");
        start_call(f, &all[i].call);
    }
    release_commits(&hold);
    for (int i = 0; i < MANY; i++) {
        char digits[16];
        assert_int_equal(await_call(f, &all[i].call), VELOCITY_OK);
        (void)snprintf(digits, sizeof digits, "%d", 8 + i);
        assert_slice(all[i].operations[1].value, velocity_str(digits));
        assert_int_equal(all[i].operations[1].version, all[i].operations[0].version + 1);
        assert_int_equal(all[i].operations[1].version, all[i].call.request.version);
        assert_true(all[i].operations[0].version > last);
        last = all[i].call.request.version;
        end(&all[i].call);
    }
    assert_true(groups(store) - before <= 1);
    assert_value(f, "n", "57");
}

static void an_increment_that_is_none_does_not_touch_its_neighbours(void **state) {
    struct fixture *f = *state;
    struct store *store = store_of(f);
    static struct increment good[2], bad, conditional;
    struct hold hold;
    put(f, "word", "w");
    uint64_t version = put(f, "n", "1");
    struct store_condition condition = {.key = velocity_str("n"), .version = version};
    hold_commits(store, &hold);
    prepare_increment(&good[0], "n"), prepare_increment(&bad, "word");
    prepare_increment(&conditional, "n"), prepare_increment(&good[1], "n");
    conditional.batch.conditions = &condition;
    conditional.batch.condition_count = 1;
    start_call(f, &good[0].call), start_call(f, &bad.call), start_call(f, &conditional.call),
        start_call(f, &good[1].call);
    release_commits(&hold);
    assert_int_equal(await_call(f, &good[0].call), VELOCITY_OK);
    assert_int_equal(await_call(f, &good[1].call), VELOCITY_OK);
    assert_int_equal(await_call(f, &bad.call), VELOCITY_CONFLICT);
    assert_int_equal(bad.call.request.refusal, SERVICE_UNFIT);
    assert_int_equal(bad.call.request.failed_condition, 1);
    assert_string_equal(service_request_message(&bad.call.request),
                        "the stored value is not a decimal number of 64 bits");
    /* It meets what came before it in the group. */
    assert_int_equal(await_call(f, &conditional.call), VELOCITY_CONFLICT);
    assert_int_equal(conditional.call.request.refusal, SERVICE_NO_REFUSAL);
    assert_int_equal(conditional.call.request.failed_condition, 0);
    assert_int_equal(conditional.call.request.current_version, good[0].operations[1].version);
    end(&good[0].call), end(&good[1].call), end(&bad.call), end(&conditional.call);
    assert_value(f, "n", "3");
    assert_value(f, "word", "w");
}

static void patches_of_one_object_share_a_group_and_none_is_lost(void **state) {
    struct fixture *f = *state;
    struct store *store = store_of(f);
    static struct call calls[MANY];
    static char patches[MANY][32], expected[MANY * 32];
    struct hold hold;
    size_t size = 0;
    put(f, "object", "{}");
    hold_commits(store, &hold);
    uint64_t before = groups(store);
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(patches[i], sizeof patches[i], "{\"m%d\":%d}", i, i);
        size += (size_t)snprintf(expected + size, sizeof expected - size, "%s\"m%d\":%d", i ? "," : "{", i, i);
        calls[i] = make_patch("object", patches[i]);
        start_call(f, &calls[i]);
    }
    (void)snprintf(expected + size, sizeof expected - size, "}");
    release_commits(&hold);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(await_call(f, &calls[i]), VELOCITY_OK);
        end(&calls[i]);
    }
    assert_true(groups(store) - before <= 1);
    assert_value(f, "object", expected);
}

static void of_writes_on_one_condition_the_first_is_done(void **state) {
    struct fixture *f = *state;
    struct store *store = store_of(f);
    static struct call calls[MANY];
    struct hold hold;
    uint64_t version = put(f, "k", "old");
    hold_commits(store, &hold);
    for (int i = 0; i < MANY; i++) {
        calls[i] = make_put("k", i ? "late" : "first");
        calls[i].request.precondition = SERVICE_IF_HOLDS;
        calls[i].request.holds = is_version;
        calls[i].request.holds_arg = &version;
        start_call(f, &calls[i]);
    }
    release_commits(&hold);
    assert_int_equal(await_call(f, &calls[0]), VELOCITY_OK);
    for (int i = 1; i < MANY; i++) {
        assert_int_equal(await_call(f, &calls[i]), VELOCITY_CONFLICT);
        assert_int_equal(calls[i].request.current_version, calls[0].request.version);
        end(&calls[i]);
    }
    end(&calls[0]);
    assert_value(f, "k", "first");
}

/* ---- what does not fit there ------------------------------------------------------------------------------------ */

static void what_must_be_read_from_the_disk_is_read_on_the_executor(void **state) {
    struct fixture *f = *state;
    struct store *store = store_of(f);
    velocity_value found = {0};
    static struct increment one;
    put(f, "n", "41"), put(f, "object", "{\"a\":1}");
    assert_int_equal(store->operations->flush(store), VELOCITY_OK);
    assert_int_equal(store->operations->get(store, velocity_str("n"), true, &found), VELOCITY_INCOMPLETE);
    prepare_increment(&one, "n");
    assert_int_equal(perform(f, &one.call), VELOCITY_OK);
    end(&one.call);
    assert_value(f, "n", "42");
    assert_int_equal(store->operations->flush(store), VELOCITY_OK);
    struct call call = make_patch("object", "{\"b\":2}");
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    end(&call);
    assert_value(f, "object", "{\"a\":1,\"b\":2}");
}

/* There it is written by a thread that waits: also while no asynchronous write is begun. */
static void conditions_on_what_is_on_the_disk_are_judged_on_the_executor(void **state) {
    struct fixture *f = *state;
    struct store *store = store_of(f);
    struct hold hold;
    uint64_t version = put(f, "k", "old"), other = put(f, "other", "x");
    assert_int_equal(store->operations->flush(store), VELOCITY_OK);
    hold_commits(store, &hold);
    struct call single = make_put("k", "new");
    single.request.precondition = SERVICE_AT_VERSION;
    single.request.if_version = version;
    assert_int_equal(perform(f, &single), VELOCITY_OK);
    assert_int_equal(store->operations->flush(store), VELOCITY_OK);
    struct store_condition conditions[] = {{.key = velocity_str("other"), .version = other},
                                           {.key = velocity_str("k"), .version = version}};
    struct service_batch_operation operation = {
        .action = SERVICE_BATCH_PUT, .key = velocity_str("k"), .value = velocity_str("newer")};
    struct service_batch batch = {
        .conditions = conditions, .condition_count = 2, .operations = &operation, .operation_count = 1};
    struct call refused = {.request = {.operation = SERVICE_BATCH, .batch = &batch}};
    assert_int_equal(perform(f, &refused), VELOCITY_CONFLICT);
    assert_int_equal(refused.request.failed_condition, 1);
    assert_int_equal(refused.request.current_version, single.request.version);
    conditions[1].version = single.request.version;
    assert_int_equal(store->operations->flush(store), VELOCITY_OK);
    struct call done = {.request = {.operation = SERVICE_BATCH, .batch = &batch}};
    release_commits(&hold);
    assert_int_equal(perform(f, &done), VELOCITY_OK);
    assert_int_equal(operation.version, done.request.version);
    end(&single), end(&refused), end(&done);
    assert_value(f, "k", "newer");
}

/* It was small when it was looked at, and has become large when its turn has come. */
static void what_has_become_large_meanwhile_is_patched_all_the_same(void **state) {
    struct fixture *f = *state;
    enum { LARGE = 300000 };
    struct store *store = store_of(f);
    struct hold hold;
    char *large = malloc(LARGE + 32), *expected = malloc(LARGE + 32);
    assert_non_null(large), assert_non_null(expected);
    (void)snprintf(large, LARGE + 32, "{\"a\":\"%0*d\"}", LARGE, 0);
    (void)snprintf(expected, LARGE + 32, "{\"a\":\"%0*d\",\"b\":2}", LARGE, 0);
    put(f, "object", "{}");
    hold_commits(store, &hold);
    struct call first = make_put("object", large), second = make_patch("object", "{\"b\":2}");
    start_call(f, &first), start_call(f, &second);
    release_commits(&hold);
    assert_int_equal(await_call(f, &first), VELOCITY_OK);
    assert_int_equal(await_call(f, &second), VELOCITY_OK);
    end(&first), end(&second);
    assert_value(f, "object", expected);
    free(large), free(expected);
}

/* ---- who loses -------------------------------------------------------------------------------------------------- */

/* Between its reading and its writing, another write of the key comes in: except where nothing can. */
struct disturbed {
    struct fixture *fixture;
    struct call other;
    int looks;
};

static bool disturb(void *arg, uint64_t standing) {
    struct disturbed *d = arg;
    bool queued = ++d->looks > SERVICE_PATIENCE;
    (void)standing;
    d->other = make_put("k", "another's");
    start_call(d->fixture, &d->other);
    if (queued) return true; /* it stands behind this one: waiting for it would be for ever */
    (void)await_call(d->fixture, &d->other);
    end(&d->other);
    return true;
}

static void who_has_lost_too_often_writes_where_nobody_is_faster(void **state) {
    struct fixture *f = *state;
    enum { LARGE = 20000 }; /* not done in the queue at once */
    struct disturbed d = {.fixture = f};
    char *large = malloc(LARGE + 1);
    assert_non_null(large);
    memset(large, 'x', LARGE);
    large[LARGE] = 0;
    put(f, "k", "first");
    struct call call = make_put("k", large);
    call.request.precondition = SERVICE_IF_HOLDS;
    call.request.holds = disturb;
    call.request.holds_arg = &d;
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    assert_int_equal(d.looks, SERVICE_PATIENCE + 1);
    assert_int_equal(await_call(f, &d.other), VELOCITY_OK);
    assert_true(d.other.request.version == call.request.version + 1);
    end(&d.other), end(&call);
    assert_value(f, "k", "another's");
    free(large);
}

static void batches_that_read_and_those_that_only_increment_lose_nothing_to_each_other(void **state) {
    struct fixture *f = *state;
    enum { THREADS = 8, ROUNDS = 60 };
    static struct increment all[THREADS][ROUNDS];
    /* Gets beside increments: read on the executor, by two threads, against those that are composed. */
    put(f, "n", "0");
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < THREADS; i++) {
            struct increment *one = &all[i][round];
            prepare_increment(one, "n");
            one->batch.max_found_bytes = 100;
            if (i % 2)
                one->operations[0] =
                    (struct service_batch_operation){.action = SERVICE_BATCH_GET, .key = velocity_str("n")};
            start_call(f, &one->call);
        }
        for (int i = 0; i < THREADS; i++) {
            assert_int_equal(await_call(f, &all[i][round].call), VELOCITY_OK);
            if (i % 2) assert_true(all[i][round].operations[0].found);
            end(&all[i][round].call);
        }
    }
    assert_value(f, "n", "480");
}

#define WITH_DATABASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_DATABASE(increments_of_one_key_share_a_group_and_each_is_one_more),
        WITH_DATABASE(an_increment_that_is_none_does_not_touch_its_neighbours),
        WITH_DATABASE(patches_of_one_object_share_a_group_and_none_is_lost),
        WITH_DATABASE(of_writes_on_one_condition_the_first_is_done),
        WITH_DATABASE(what_must_be_read_from_the_disk_is_read_on_the_executor),
        WITH_DATABASE(conditions_on_what_is_on_the_disk_are_judged_on_the_executor),
        WITH_DATABASE(what_has_become_large_meanwhile_is_patched_all_the_same),
        WITH_DATABASE(who_has_lost_too_often_writes_where_nobody_is_faster),
        WITH_DATABASE(batches_that_read_and_those_that_only_increment_lose_nothing_to_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
