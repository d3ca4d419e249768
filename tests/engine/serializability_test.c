/*
 * serializability_test.c - several threads run random transactions on few keys and record what they read and wrote; the
 * graph of it (txn_history.h) must have no cycle that the isolation forbids. And the checker itself: it must see what
 * is wrong with histories that are.
 *
 * SEED repeats a run as far as threads do; TRANSACTIONS=1000000 runs longer (for each thread and isolation).
 */
#include "testing.h"
#include "txn_history.h"

enum {
    THREADS = 4,
    ROUND = 400, /* transactions of a thread between two checks */
    VALUE_MAX_BYTES = 700,
};

/* ---- the checker --------------------------------------------------------------------------------------------------
 */

static struct txn_history_transaction transaction(uint64_t number, uint64_t begin) {
    return (struct txn_history_transaction){.number = number, .begin = begin};
}

static void reads(struct txn_history_transaction *t, uint32_t key, uint64_t writer) {
    t->reads[t->read_count++] = (struct txn_history_read){key, writer};
}

static void writes(struct txn_history_transaction *t, uint32_t key, uint64_t sequence) {
    t->writes[t->write_count++] = (struct txn_history_write){key, false, sequence};
}

/* Adds them behind a first one that wrote keys 0 and 1, and expects that isolations from `forbidding` on see it. */
static void expect_forbidden(const struct txn_history_transaction *t, size_t count, int forbidding) {
    struct history h = {0};
    struct txn_history_transaction first = transaction(1, 0);
    writes(&first, 0, 1);
    writes(&first, 1, 2);
    txn_history_add(&h, &first);
    for (size_t i = 0; i < count; i++) txn_history_add(&h, &t[i]);
    for (int i = VELOCITY_ISOLATION_READ_COMMITTED; i <= VELOCITY_ISOLATION_SERIALIZABLE; i++) {
        const char *violation = txn_history_violation(&h, (velocity_isolation)i);
        if ((violation != NULL) != (i >= forbidding))
            fail_msg("isolation %d: %s", i, violation ? violation : "nothing found");
    }
    txn_history_clear(&h);
}

static void the_checker_lets_a_serial_history_pass(void **state) {
    (void)state;
    struct txn_history_transaction t[2] = {transaction(2, 2), transaction(3, 3)};
    reads(&t[0], 0, 1);
    writes(&t[0], 0, 3);
    reads(&t[1], 0, 2);
    reads(&t[1], 5, 0);
    writes(&t[1], 5, 4);
    expect_forbidden(t, 2, VELOCITY_ISOLATION_SERIALIZABLE + 1);
}

static void the_checker_sees_write_skew(void **state) {
    (void)state;
    struct txn_history_transaction t[2] = {transaction(2, 2), transaction(3, 2)};
    for (int i = 0; i < 2; i++) {
        reads(&t[i], 0, 1);
        reads(&t[i], 1, 1);
        writes(&t[i], (uint32_t)i, 3 + (uint64_t)i);
    }
    expect_forbidden(t, 2, VELOCITY_ISOLATION_SERIALIZABLE);
}

static void the_checker_sees_phantoms(void **state) {
    (void)state;
    struct txn_history_transaction t[2] = {transaction(2, 2), transaction(3, 2)};
    for (uint32_t i = 0; i < 2; i++) {
        reads(&t[i], 4, 0); /* a range that shows nothing */
        reads(&t[i], 5, 0);
        writes(&t[i], 4 + i, 3 + i);
    }
    expect_forbidden(t, 2, VELOCITY_ISOLATION_SERIALIZABLE);
}

static void the_checker_sees_the_read_only_anomaly(void **state) {
    (void)state;
    struct txn_history_transaction t[3] = {transaction(2, 2), transaction(3, 2), transaction(4, 3)};
    reads(&t[0], 1, 1);
    writes(&t[0], 1, 3); /* deposit */
    reads(&t[1], 0, 1);
    reads(&t[1], 1, 1);
    writes(&t[1], 0, 4); /* withdrawal */
    reads(&t[2], 0, 1);
    reads(&t[2], 1, 2);
    expect_forbidden(t, 3, VELOCITY_ISOLATION_SERIALIZABLE);
}

static void the_checker_sees_lost_updates_and_stale_reads(void **state) {
    (void)state;
    struct txn_history_transaction t[2] = {transaction(2, 2), transaction(3, 2)};
    for (uint64_t i = 0; i < 2; i++) {
        reads(&t[i], 0, 1);
        writes(&t[i], 0, 3 + i);
    }
    expect_forbidden(t, 2, VELOCITY_ISOLATION_SNAPSHOT);
    struct txn_history_transaction late = transaction(3, 3);
    t[0] = transaction(2, 2);
    writes(&t[0], 0, 3);
    reads(&late, 0, 1); /* 2 wrote it before it began */
    t[1] = late;
    expect_forbidden(t, 2, VELOCITY_ISOLATION_SNAPSHOT);
    t[1] = transaction(3, 3);
    reads(&t[1], 0, 0); /* it is not absent */
    expect_forbidden(t, 2, VELOCITY_ISOLATION_SNAPSHOT);
}

static void the_checker_sees_values_that_were_never_committed(void **state) {
    (void)state;
    struct txn_history_transaction t[2] = {transaction(2, 2), transaction(3, 4)};
    reads(&t[0], 0, 99);
    expect_forbidden(t, 1, VELOCITY_ISOLATION_READ_COMMITTED);
    t[0] = transaction(2, 2);
    t[0].writes[t[0].write_count++] = (struct txn_history_write){0, true, 3};
    reads(&t[1], 0, 2); /* 2 ended by deleting the key */
    expect_forbidden(t, 2, VELOCITY_ISOLATION_READ_COMMITTED);
}

static void the_checker_sees_information_flow_in_a_circle(void **state) {
    (void)state;
    struct txn_history_transaction t[2] = {transaction(2, 4), transaction(3, 4)};
    writes(&t[0], 0, 3);
    writes(&t[1], 1, 4);
    reads(&t[0], 1, 3);
    reads(&t[1], 0, 2);
    expect_forbidden(t, 2, VELOCITY_ISOLATION_READ_COMMITTED);
}

/* ---- the workload -------------------------------------------------------------------------------------------------
 */

struct worker {
    velocity *db;
    velocity_isolation isolation;
    uint64_t random, id, made;
    struct history done;
    size_t conflicts;
    env_thread thread;
};

/* One transaction under way. */
struct attempt {
    struct worker *w;
    velocity_txn *txn;
    struct txn_history_transaction t;
    size_t operations;
    bool own[HISTORY_KEYS]; /* written by itself */
    bool own_deleted[HISTORY_KEYS];
};

static velocity_slice key_of(char text[8], uint32_t key) {
    (void)snprintf(text, 8, "key%02u", key);
    return velocity_str(text);
}

/* A value that tells who wrote it; long ones are read where they are. */
static velocity_slice value_of(uint8_t space[VALUE_MAX_BYTES], uint64_t number) {
    memset(space, (int)(number & 0xff), VALUE_MAX_BYTES);
    memcpy(space, &number, sizeof number);
    return velocity_bytes(space, number % 3 ? 8 : VALUE_MAX_BYTES);
}

static uint64_t writer_of(velocity_slice value) {
    uint64_t number;
    assert_true(value.size == 8 || value.size == VALUE_MAX_BYTES);
    memcpy(&number, value.data, sizeof number);
    return number;
}

/* writer 0: the key was absent. */
static void saw(struct attempt *a, uint32_t key, uint64_t writer) {
    if (a->own[key]) {
        assert_int_equal(writer, a->own_deleted[key] ? 0 : a->t.number);
        return;
    }
    if (a->t.read_count < HISTORY_ACCESSES) a->t.reads[a->t.read_count++] = (struct txn_history_read){key, writer};
}

static void read_key(struct attempt *a, uint32_t key) {
    char text[8];
    velocity_value v;
    velocity_status status = velocity_txn_get(a->txn, key_of(text, key), &v);
    assert_true(status == VELOCITY_OK || status == VELOCITY_NOT_FOUND);
    saw(a, key, status == VELOCITY_OK ? writer_of(velocity_bytes(v.data, v.size)) : 0);
    if (status == VELOCITY_OK) velocity_value_release(&v);
}

/* Goes from one key on, some steps: what lies between is seen to be absent. */
static void read_range(struct attempt *a) {
    char text[8];
    bool reverse = below(&a->w->random, 2);
    int key = (int)below(&a->w->random, HISTORY_KEYS), step = reverse ? -1 : 1;
    velocity_range range = velocity_range_default();
    range.reverse = reverse;
    range.prefix = velocity_str("key");
    velocity_iterator *it = velocity_txn_iterator(a->txn, &range);
    velocity_iterator_seek(it, key_of(text, (uint32_t)key));
    for (size_t steps = 1 + below(&a->w->random, 6); steps > 0; steps--) {
        bool valid = velocity_iterator_valid(it);
        velocity_slice shown = valid ? velocity_iterator_key(it) : velocity_bytes(NULL, 0);
        for (; key >= 0 && key < HISTORY_KEYS; key += step) {
            if (valid && !memcmp(shown.data, key_of(text, (uint32_t)key).data, 5)) break;
            saw(a, (uint32_t)key, 0);
        }
        if (!valid) break;
        assert_true(key >= 0 && key < HISTORY_KEYS);
        saw(a, (uint32_t)key, writer_of(velocity_iterator_value(it)));
        key += step;
        if (steps > 1) velocity_iterator_next(it);
    }
    OK(velocity_iterator_status(it));
    velocity_iterator_free(it);
}

/* Operation `operation` of its transaction wrote the keys [from, to). */
static void note_write(struct txn_history_transaction *t, size_t operation, uint32_t from, uint32_t to, bool deleted) {
    for (uint32_t key = from; key < to; key++)
        t->writes[t->write_count++] = (struct txn_history_write){key, deleted, operation};
}

/* The last of so many operations has this sequence. */
static void number_writes(struct txn_history_transaction *t, size_t operations, uint64_t last) {
    for (size_t i = 0; i < t->write_count; i++) t->writes[i].sequence += last - operations + 1;
}

static void write_something(struct attempt *a) {
    char text[8], end[8];
    uint8_t space[VALUE_MAX_BYTES];
    size_t sort = below(&a->w->random, 10);
    uint32_t from = (uint32_t)below(&a->w->random, HISTORY_KEYS), to = from + 1;
    if (a->t.write_count + HISTORY_KEYS > HISTORY_ACCESSES) return;
    if (sort == 0) to += (uint32_t)below(&a->w->random, HISTORY_KEYS - from);
    if (sort == 0)
        OK(velocity_txn_delete_range(a->txn, key_of(text, from), key_of(end, to)));
    else if (sort < 3)
        OK(velocity_txn_delete(a->txn, key_of(text, from)));
    else
        OK(velocity_txn_put(a->txn, key_of(text, from), value_of(space, a->t.number), NULL));
    for (uint32_t key = from; key < to; key++) {
        a->own[key] = true;
        a->own_deleted[key] = sort < 3;
    }
    note_write(&a->t, a->operations++, from, to, sort < 3);
}

/* Writes something and takes it back. */
static void write_in_vain(struct attempt *a) {
    uint64_t savepoint;
    struct attempt before = *a;
    OK(velocity_txn_savepoint(a->txn, &savepoint));
    write_something(a);
    OK(velocity_txn_rollback_to(a->txn, savepoint));
    *a = before;
}

struct answer {
    _Atomic uint32_t given;
    velocity_status status;
    uint64_t sequence;
};

static void answered(void *arg, velocity_status status, uint64_t sequence) {
    struct answer *a = arg;
    a->status = status;
    a->sequence = sequence;
    atomic_store(&a->given, 1);
    env_wake_word(&a->given, true);
}

static velocity_status commit(struct attempt *a, uint64_t *sequence) {
    if (below(&a->w->random, 3)) return velocity_txn_commit(a->txn, NULL, sequence);
    struct answer answer = {.given = 0};
    velocity_status status = velocity_txn_commit_async(a->txn, NULL, answered, &answer);
    if (status) return status;
    while (!atomic_load(&answer.given)) env_wait_word(&answer.given, 0);
    *sequence = answer.sequence;
    return answer.status;
}

/* Where it reads: what an iterator over nothing tells. */
static uint64_t begin_of(velocity_txn *txn) {
    velocity_range range = velocity_range_default();
    range.prefix = velocity_str("nothing");
    velocity_iterator *it = velocity_txn_iterator(txn, &range);
    uint64_t sequence = velocity_iterator_snapshot_sequence(it);
    velocity_iterator_free(it);
    return sequence;
}

static void finish(struct attempt *a) {
    uint64_t last;
    velocity_status status = commit(a, &last);
    if (status == VELOCITY_CONFLICT) {
        a->w->conflicts++;
    } else {
        OK(status);
        number_writes(&a->t, a->operations, last);
        txn_history_add(&a->w->done, &a->t);
    }
}

static void run_transaction(struct worker *w) {
    struct attempt a = {.w = w};
    a.t.number = w->id << 40 | ++w->made;
    OK(velocity_txn_begin(w->db, w->isolation, &a.txn));
    a.t.begin = begin_of(a.txn);
    for (size_t n = 1 + below(&w->random, 6); n > 0; n--) {
        size_t sort = below(&w->random, 10);
        if (sort < 3)
            read_key(&a, (uint32_t)below(&w->random, HISTORY_KEYS));
        else if (sort < 5)
            read_range(&a);
        else if (sort < 9)
            write_something(&a);
        else
            write_in_vain(&a);
        if (below(&w->random, 2)) env_thread_yield();
    }
    if (below(&w->random, 10))
        finish(&a);
    else
        OK(velocity_txn_rollback(a.txn));
    velocity_txn_free(a.txn);
}

/* Writes outside of transactions are transactions that read nothing. */
static void run_plain_write(struct worker *w) {
    char text[8], end[8];
    uint8_t space[VALUE_MAX_BYTES];
    struct txn_history_transaction t = {.number = w->id << 40 | ++w->made};
    velocity_batch *batch = velocity_batch_new();
    uint64_t last;
    assert_non_null(batch);
    size_t operations = 1 + below(&w->random, 3);
    for (size_t i = 0; i < operations; i++) {
        uint32_t from = (uint32_t)below(&w->random, HISTORY_KEYS), to = from + 1;
        size_t sort = below(&w->random, 6);
        if (sort == 0) to += (uint32_t)below(&w->random, HISTORY_KEYS - from);
        if (sort == 0)
            velocity_batch_delete_range(batch, key_of(text, from), key_of(end, to));
        else if (sort == 1)
            velocity_batch_delete(batch, key_of(text, from));
        else
            velocity_batch_put(batch, key_of(text, from), value_of(space, t.number), NULL);
        note_write(&t, i, from, to, sort < 2);
    }
    OK(velocity_write(w->db, batch, NULL, &last));
    velocity_batch_free(batch);
    number_writes(&t, operations, last);
    t.begin = last - operations;
    txn_history_add(&w->done, &t);
}

static void *work(void *arg) {
    struct worker *w = arg;
    for (int i = 0; i < ROUND; i++) {
        size_t sort = below(&w->random, 200);
        if (sort == 0)
            OK(velocity_flush(w->db));
        else if (sort == 1)
            OK(velocity_compact(w->db, NULL));
        else if (sort < 20)
            run_plain_write(w);
        else
            run_transaction(w);
    }
    return NULL;
}

/* ---- rounds -------------------------------------------------------------------------------------------------------
 */

struct load {
    velocity *db;
    velocity_isolation isolation;
    struct worker workers[THREADS];
    struct history all;
    size_t transactions, conflicts;
};

/* All threads begin anew on keys that nobody has: what is there is a transaction of its own. */
static void start_over(struct load *l) {
    char text[8];
    velocity_batch *batch = velocity_batch_new();
    assert_non_null(batch);
    for (uint32_t key = 0; key < HISTORY_KEYS; key++) velocity_batch_delete(batch, key_of(text, key));
    OK(velocity_write(l->db, batch, NULL, NULL));
    velocity_batch_free(batch);
    txn_history_clear(&l->all);
}

static void run_round(struct load *l) {
    start_over(l);
    for (size_t i = 0; i < THREADS; i++) OK(env_thread_start(&l->workers[i].thread, "worker", work, &l->workers[i]));
    for (size_t i = 0; i < THREADS; i++) {
        struct worker *w = &l->workers[i];
        env_thread_join(w->thread);
        for (size_t t = 0; t < w->done.count; t++) txn_history_add(&l->all, &w->done.transactions[t]);
        l->transactions += w->done.count;
        l->conflicts += w->conflicts;
        w->conflicts = 0;
        txn_history_clear(&w->done);
    }
}

static void open_load(struct load *l, const char *folder, velocity_isolation isolation) {
    velocity_options options = velocity_options_default();
    options.durability = VELOCITY_DURABILITY_OS;
    options.memtable_bytes = options.table_bytes = 64 << 10;
    options.cache_bytes = 256 << 10;
    memset(l, 0, sizeof *l);
    l->isolation = isolation;
    OK(velocity_open(folder, &options, &l->db));
    for (size_t i = 0; i < THREADS; i++)
        l->workers[i] = (struct worker){
            .db = l->db, .isolation = isolation, .id = i + 1, .random = from_environment("SEED", 20) * 1000003 + i + 1};
}

static void close_load(struct load *l) {
    txn_history_clear(&l->all);
    OK(velocity_close(l->db));
}

static void holds_under_load(const char *folder, velocity_isolation isolation) {
    struct load l;
    uint64_t wanted = from_environment("TRANSACTIONS", 2 * ROUND) * THREADS;
    open_load(&l, folder, isolation);
    while (l.transactions < wanted) {
        run_round(&l);
        const char *violation = txn_history_violation(&l.all, isolation);
        if (violation) fail_msg("%s", violation);
    }
    if (isolation == VELOCITY_ISOLATION_READ_COMMITTED)
        assert_int_equal(l.conflicts, 0);
    else
        assert_true(l.conflicts > 0);
    close_load(&l);
}

static void read_committed_transactions_see_only_what_was_committed(void **state) {
    holds_under_load(*state, VELOCITY_ISOLATION_READ_COMMITTED);
}

static void snapshot_transactions_lose_no_update_and_read_one_state(void **state) {
    holds_under_load(*state, VELOCITY_ISOLATION_SNAPSHOT);
}

static void serializable_transactions_are_serializable(void **state) {
    holds_under_load(*state, VELOCITY_ISOLATION_SERIALIZABLE);
}

/* The load is one in which a lesser isolation shows: else the tests above would prove little. */
static void shows_under_load(const char *folder, velocity_isolation isolation) {
    struct load l;
    bool seen = false;
    open_load(&l, folder, isolation);
    for (int round = 0; round < 50 && !seen; round++) {
        run_round(&l);
        seen = txn_history_violation(&l.all, isolation + 1) != NULL;
    }
    assert_true(seen);
    close_load(&l);
}

static void under_this_load_snapshots_are_not_serializable(void **state) {
    shows_under_load(*state, VELOCITY_ISOLATION_SNAPSHOT);
}

static void under_this_load_read_committed_loses_updates(void **state) {
    shows_under_load(*state, VELOCITY_ISOLATION_READ_COMMITTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_checker_lets_a_serial_history_pass),
        cmocka_unit_test(the_checker_sees_write_skew),
        cmocka_unit_test(the_checker_sees_phantoms),
        cmocka_unit_test(the_checker_sees_the_read_only_anomaly),
        cmocka_unit_test(the_checker_sees_lost_updates_and_stale_reads),
        cmocka_unit_test(the_checker_sees_values_that_were_never_committed),
        cmocka_unit_test(the_checker_sees_information_flow_in_a_circle),
        TEST_IN_FOLDER(read_committed_transactions_see_only_what_was_committed),
        TEST_IN_FOLDER(snapshot_transactions_lose_no_update_and_read_one_state),
        TEST_IN_FOLDER(serializable_transactions_are_serializable),
        TEST_IN_FOLDER(under_this_load_snapshots_are_not_serializable),
        TEST_IN_FOLDER(under_this_load_read_committed_loses_updates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
