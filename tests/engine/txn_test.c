/*
 * txn_test.c - what transactions see, what they lose against, and what is left of them: each anomaly under each
 * isolation, savepoints, iterators over own writes, errors.
 */
#include "engine/slice.h"
#include "testing.h"

static velocity *db;

static velocity_slice str(const char *text) {
    return velocity_str(text);
}

static int open_folder(void **state) {
    velocity_options options = velocity_options_default();
    options.durability = VELOCITY_DURABILITY_OS;
    options.memtable_bytes = 64 << 10;
    if (folder_setup(state)) return -1;
    return velocity_open(*state, &options, &db) == VELOCITY_OK ? 0 : -1;
}

static int close_folder(void **state) {
    velocity_status status = velocity_close(db);
    return folder_teardown(state) || status != VELOCITY_OK ? -1 : 0;
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, open_folder, close_folder)

static velocity_txn *begin(velocity_isolation isolation) {
    velocity_txn *txn;
    OK(velocity_txn_begin(db, isolation, &txn));
    return txn;
}

static velocity_txn *snapshot(void) {
    return begin(VELOCITY_ISOLATION_SNAPSHOT);
}

static velocity_txn *serializable(void) {
    return begin(VELOCITY_ISOLATION_SERIALIZABLE);
}

static void put(const char *key, const char *value) {
    OK(velocity_put(db, str(key), str(value)));
}

static void txn_put(velocity_txn *txn, const char *key, const char *value) {
    OK(velocity_txn_put(txn, str(key), str(value), NULL));
}

/* NULL: absent. */
static void answers(velocity_status status, velocity_value *v, const char *value) {
    assert_int_equal(status, value ? VELOCITY_OK : VELOCITY_NOT_FOUND);
    if (!value) return;
    assert_int_equal(v->size, strlen(value));
    assert_memory_equal(v->data, value, v->size);
    velocity_value_release(v);
}

static void sees(velocity_txn *txn, const char *key, const char *value) {
    velocity_value v;
    velocity_status status = velocity_txn_get(txn, str(key), &v);
    answers(status, &v, value);
    assert_int_equal(velocity_txn_contains(txn, str(key)), value ? VELOCITY_OK : VELOCITY_NOT_FOUND);
}

static void holds(const char *key, const char *value) {
    velocity_value v;
    velocity_status status = velocity_get(db, str(key), &v);
    answers(status, &v, value);
}

static void commits(velocity_txn *txn) {
    OK(velocity_txn_commit(txn, NULL, NULL));
    velocity_txn_free(txn);
}

/* The message names the key as far as it goes, the call as a whole. */
static void loses(velocity_txn *txn, const char *named) {
    char begin[100];
    assert_int_equal(velocity_txn_lost_key(txn).size, 0);
    FAILS(VELOCITY_CONFLICT, named, velocity_txn_commit(txn, NULL, NULL));
    velocity_slice key = velocity_txn_lost_key(txn);
    assert_int_not_equal(key.size, 0);
    int shown = key.size < 64 ? (int)key.size : 64;
    (void)snprintf(begin, sizeof begin, "key %.*s%s, which", shown, (const char *)key.data, key.size > 64 ? "..." : "");
    assert_non_null(strstr(velocity_error_message(), begin));
    velocity_txn_free(txn);
}

/* What an iterator shows from where it stands, as "a=1 b=2 ". */
static const char *rest(velocity_iterator *it) {
    static char text[400];
    size_t at = 0;
    text[0] = 0;
    for (; velocity_iterator_valid(it); velocity_iterator_next(it)) {
        velocity_slice k = velocity_iterator_key(it), v = velocity_iterator_value(it);
        at += (size_t)snprintf(text + at, sizeof text - at, "%.*s=%.*s ", (int)k.size, (const char *)k.data,
                               (int)v.size, (const char *)v.data);
    }
    OK(velocity_iterator_status(it));
    return text;
}

static void shows(velocity_txn *txn, bool reverse, const char *expected) {
    velocity_range range = velocity_range_default();
    range.reverse = reverse;
    velocity_iterator *it = velocity_txn_iterator(txn, &range);
    assert_string_equal(rest(it), expected);
    velocity_iterator_free(it);
}

/* ---- own writes ---------------------------------------------------------------------------------------------------
 */

static void own_writes_are_seen_by_their_transaction_alone_until_it_commits(void **state) {
    (void)state;
    put("a", "1");
    put("b", "1");
    for (int i = VELOCITY_ISOLATION_READ_COMMITTED; i <= VELOCITY_ISOLATION_SERIALIZABLE; i++) {
        velocity_txn *txn = begin((velocity_isolation)i), *other = begin((velocity_isolation)i);
        txn_put(txn, "a", "2");
        txn_put(txn, "c", "2");
        OK(velocity_txn_delete(txn, str("b")));
        sees(txn, "a", "2");
        sees(txn, "b", NULL);
        sees(txn, "c", "2");
        shows(txn, false, "a=2 c=2 ");
        shows(txn, true, "c=2 a=2 ");
        sees(other, "a", "1"); /* no dirty read */
        sees(other, "c", NULL);
        shows(other, true, "b=1 a=1 ");
        holds("b", "1");
        OK(velocity_txn_rollback(txn));
        velocity_txn_free(txn);
        holds("a", "1");
        commits(other);
    }
}

static void a_commit_writes_everything_at_once_with_consecutive_versions(void **state) {
    (void)state;
    velocity_txn *txn = snapshot();
    velocity_put_options options = velocity_put_options_default();
    velocity_value v;
    uint64_t sequence;
    options.flags = 7;
    txn_put(txn, "a", "1");
    OK(velocity_txn_put(txn, str("b"), str("2"), &options));
    OK(velocity_txn_get(txn, str("b"), &v));
    assert_int_equal(v.flags, 7);
    assert_int_equal(v.sequence, VELOCITY_ABSENT);
    velocity_value_release(&v);
    OK(velocity_txn_commit(txn, NULL, &sequence));
    velocity_txn_free(txn);
    OK(velocity_get(db, str("a"), &v));
    assert_int_equal(v.sequence, sequence - 1);
    velocity_value_release(&v);
    OK(velocity_get(db, str("b"), &v));
    assert_int_equal(v.sequence, sequence);
    assert_int_equal(v.flags, 7);
    velocity_value_release(&v);
}

static void a_large_own_value_stays_valid_after_the_transaction(void **state) {
    (void)state;
    static char large[5000];
    velocity_value v;
    memset(large, 'x', sizeof large);
    velocity_txn *txn = snapshot();
    OK(velocity_txn_put(txn, str("k"), velocity_bytes(large, sizeof large), NULL));
    OK(velocity_txn_get(txn, str("k"), &v));
    OK(velocity_txn_rollback(txn));
    velocity_txn_free(txn);
    assert_memory_equal(v.data, large, sizeof large);
    FAILS(VELOCITY_BUSY, "alive", velocity_close(db));
    velocity_value_release(&v);
    holds("k", NULL);
}

static void get_many_mixes_own_writes_with_the_view(void **state) {
    (void)state;
    for (int i = VELOCITY_ISOLATION_READ_COMMITTED; i <= VELOCITY_ISOLATION_SERIALIZABLE; i++) {
        velocity_slice keys[5] = {str("a"), str("b"), str("c"), str("d"), velocity_bytes("", 0)};
        velocity_value values[5];
        velocity_status statuses[5];
        put("a", "1");
        put("b", "1");
        velocity_txn *txn = begin((velocity_isolation)i);
        txn_put(txn, "b", "2");
        txn_put(txn, "c", "2");
        OK(velocity_txn_delete(txn, str("a")));
        assert_int_equal(velocity_txn_get_many(txn, NULL, 5, keys, values, statuses), VELOCITY_INVALID);
        answers(statuses[0], &values[0], NULL);
        answers(statuses[1], &values[1], "2");
        answers(statuses[2], &values[2], "2");
        answers(statuses[3], &values[3], NULL);
        assert_int_equal(statuses[4], VELOCITY_INVALID);
        OK(velocity_txn_get_many(txn, NULL, 2, keys, values, statuses));
        answers(statuses[1], &values[1], "2");
        put("d", "9");
        if (i == VELOCITY_ISOLATION_SERIALIZABLE) /* d was read */
            loses(txn, "key d");
        else
            commits(txn);
        OK(velocity_delete(db, str("d")));
    }
}

struct reader {
    const velocity_status *statuses;
    const velocity_value *values;
    char seen[32];
};

static bool until_d(void *arg, size_t index) {
    struct reader *r = arg;
    if (r->statuses[index] == VELOCITY_OK) strncat(r->seen, r->values[index].data, r->values[index].size);
    return index < 3;
}

static void get_many_shows_own_writes_to_who_follows_it_and_has_read_nothing_behind_the_stop(void **state) {
    (void)state;
    velocity_slice keys[5] = {str("a"), str("b"), str("c"), str("d"), str("e")};
    velocity_value values[5];
    velocity_status statuses[5];
    put("a", "1");
    put("b", "1");
    velocity_txn *txn = serializable();
    txn_put(txn, "b", "2");
    txn_put(txn, "c", "3");
    struct reader reader = {.statuses = statuses, .values = values};
    velocity_read_options options = velocity_read_options_default();
    options.each = until_d;
    options.each_arg = &reader;
    assert_int_equal(velocity_txn_get_many(txn, &options, 5, keys, values, statuses), VELOCITY_INCOMPLETE);
    assert_string_equal(reader.seen, "123");
    assert_int_equal(statuses[4], VELOCITY_INCOMPLETE);
    for (size_t i = 0; i < 5; i++) velocity_value_release(&values[i]);
    put("e", "9"); /* which was not read */
    commits(txn);
    txn = serializable();
    assert_int_equal(velocity_txn_get_many(txn, &options, 5, keys, values, statuses), VELOCITY_INCOMPLETE);
    for (size_t i = 0; i < 5; i++) velocity_value_release(&values[i]);
    txn_put(txn, "f", "1");
    put("d", "9");
    loses(txn, "key d");
}

/* ---- anomalies ----------------------------------------------------------------------------------------------------
 */

static void read_committed_sees_the_newest_state_and_never_conflicts(void **state) {
    (void)state;
    put("a", "1");
    velocity_txn *txn = begin(VELOCITY_ISOLATION_READ_COMMITTED);
    sees(txn, "a", "1");
    put("a", "2"); /* a read that can't be repeated */
    put("b", "2"); /* a phantom */
    sees(txn, "a", "2");
    shows(txn, false, "a=2 b=2 ");
    txn_put(txn, "a", "3"); /* a lost update */
    commits(txn);
    holds("a", "3");
}

static void a_snapshot_repeats_its_reads(void **state) {
    (void)state;
    put("a", "1");
    velocity_txn *txn = snapshot(), *other = serializable();
    sees(txn, "a", "1");
    put("a", "2");
    put("b", "2");
    OK(velocity_flush(db));
    OK(velocity_compact(db, NULL));
    sees(txn, "a", "1");
    sees(other, "a", "1");
    shows(txn, false, "a=1 ");
    shows(other, true, "a=1 ");
    commits(txn); /* it wrote nothing */
    commits(other);
}

static void who_writes_a_key_that_was_written_since_loses_and_no_update_is_lost(void **state) {
    (void)state;
    for (int i = VELOCITY_ISOLATION_SNAPSHOT; i <= VELOCITY_ISOLATION_SERIALIZABLE; i++) {
        put("a", "1");
        OK(velocity_delete(db, str("b")));
        velocity_txn *first = begin((velocity_isolation)i), *second = begin((velocity_isolation)i);
        velocity_txn *third = begin((velocity_isolation)i), *fourth = begin((velocity_isolation)i);
        txn_put(first, "a", "first");
        txn_put(second, "a", "second");
        OK(velocity_txn_delete(third, str("a")));
        txn_put(fourth, "b", "fourth");
        commits(first);
        loses(second, "key a");
        OK(velocity_flush(db));
        loses(third, "key a");
        commits(fourth);
        holds("a", "first");
        velocity_txn *fifth = begin((velocity_isolation)i);
        txn_put(fifth, "b", "fifth");
        OK(velocity_delete(db, str("b")));
        OK(velocity_compact(db, NULL)); /* the tombstone must stay for the check */
        loses(fifth, "key b");
        holds("b", NULL);
    }
}

/* Two read both keys, each writes one. */
static void skew(velocity_isolation isolation, velocity_txn **first, velocity_txn **second) {
    put("x", "1");
    put("y", "1");
    *first = begin(isolation);
    *second = begin(isolation);
    sees(*first, "x", "1");
    sees(*first, "y", "1");
    sees(*second, "x", "1");
    sees(*second, "y", "1");
    txn_put(*first, "x", "0");
    txn_put(*second, "y", "0");
    OK(velocity_txn_commit(*first, NULL, NULL));
    velocity_txn_free(*first);
}

static void write_skew_is_possible_under_snapshot_and_not_under_serializable(void **state) {
    (void)state;
    velocity_txn *first, *second;
    skew(VELOCITY_ISOLATION_SNAPSHOT, &first, &second);
    commits(second);
    holds("x", "0");
    holds("y", "0");
    skew(VELOCITY_ISOLATION_SERIALIZABLE, &first, &second);
    loses(second, "key x, which the transaction has read");
    holds("y", "1");
}

static void an_absent_key_that_was_read_must_stay_absent(void **state) {
    (void)state;
    velocity_txn *txn = serializable();
    sees(txn, "absent", NULL);
    txn_put(txn, "a", "1");
    put("other", "1");
    put("absent", "1");
    loses(txn, "key absent");
    txn = serializable();
    sees(txn, "absent2", NULL);
    txn_put(txn, "a", "1");
    put("other", "2");
    commits(txn);
}

/* Beside a transaction that has gone over [b, d) and writes, somebody writes `key`. */
static velocity_txn *phantom(velocity_isolation isolation, bool reverse, const char *key) {
    velocity_range range = velocity_range_default();
    range.start = str("b");
    range.end = str("d");
    range.reverse = reverse;
    velocity_txn *txn = begin(isolation);
    velocity_iterator *it = velocity_txn_iterator(txn, &range);
    (void)rest(it);
    velocity_iterator_free(it);
    txn_put(txn, "count", "1");
    put(key, "1");
    return txn;
}

static void phantoms_are_possible_under_snapshot_and_not_under_serializable(void **state) {
    (void)state;
    for (int reverse = 0; reverse < 2; reverse++) {
        commits(phantom(VELOCITY_ISOLATION_SNAPSHOT, reverse, "c"));
        OK(velocity_delete(db, str("c")));
        loses(phantom(VELOCITY_ISOLATION_SERIALIZABLE, reverse, "c"), "key c, which the transaction has read");
        OK(velocity_delete(db, str("c")));
        loses(phantom(VELOCITY_ISOLATION_SERIALIZABLE, reverse, "b"), "key b");
        OK(velocity_delete(db, str("b")));
        commits(phantom(VELOCITY_ISOLATION_SERIALIZABLE, reverse, "a"));
        commits(phantom(VELOCITY_ISOLATION_SERIALIZABLE, reverse, "d"));
    }
}

/* Fekete, O'Neil and O'Neil, "A Read-Only Transaction Anomaly Under Snapshot Isolation" (2004): the reader sees the
 * deposit without the fee that the withdrawal, serialized before the deposit, would be charged. */
static void read_only_anomaly(velocity_isolation isolation, bool expected) {
    put("x", "0");
    put("y", "0");
    velocity_txn *withdrawal = begin(isolation);
    sees(withdrawal, "x", "0");
    sees(withdrawal, "y", "0");
    velocity_txn *deposit = begin(isolation);
    sees(deposit, "y", "0");
    txn_put(deposit, "y", "20");
    commits(deposit);
    velocity_txn *reader = begin(isolation);
    sees(reader, "x", "0");
    sees(reader, "y", "20");
    commits(reader);
    txn_put(withdrawal, "x", "-11");
    if (expected)
        commits(withdrawal);
    else
        loses(withdrawal, "key y");
}

static void the_read_only_anomaly_is_possible_under_snapshot_and_not_under_serializable(void **state) {
    (void)state;
    read_only_anomaly(VELOCITY_ISOLATION_SNAPSHOT, true);
    read_only_anomaly(VELOCITY_ISOLATION_SERIALIZABLE, false);
}

static void what_was_written_before_a_flush_or_compaction_conflicts_like_anything_else(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        put("a", "1");
        put("m", "1");
        velocity_txn *point = serializable(), *range = serializable(), *harmless = serializable();
        sees(point, "m", "1");
        sees(harmless, "a", "1");
        shows(range, false, "a=1 m=1 ");
        txn_put(point, "p", "1");
        txn_put(range, "r", "1");
        txn_put(harmless, "h", "1");
        put("m", "2");
        if (i > 0) OK(velocity_flush(db));
        if (i > 1) OK(velocity_compact(db, NULL));
        if (i > 2) put("zz", "1");
        loses(point, "key m");
        loses(range, "which the transaction has read");
        commits(harmless);
        OK(velocity_delete(db, str("h")));
        OK(velocity_delete(db, str("zz")));
    }
}

/* ---- how far iterators went ---------------------------------------------------------------------------------------
 */

static void a_range_counts_as_read_as_far_as_the_iterator_went(void **state) {
    (void)state;
    static const struct {
        const char *key;
        bool conflict;
    } cases[] = {{"a", false}, {"c", true}, {"cc", true}, {"d", true}, {"e", true}, {"ee", false}, {"g", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (int reverse = 0; reverse < 2; reverse++) {
            put("c", "1");
            put("e", "1");
            put("g", "1");
            OK(velocity_delete(db, str("ee")));
            velocity_range range = velocity_range_default();
            range.reverse = reverse;
            velocity_txn *txn = serializable();
            velocity_iterator *it = velocity_txn_iterator(txn, &range);
            /* From a seek to one end of [c, e] to the other, and not to the next key. */
            velocity_iterator_seek(it, str(reverse ? "e" : "c"));
            velocity_iterator_next(it);
            assert_true(slice_equal(velocity_iterator_key(it), str(reverse ? "c" : "e")));
            if (i % 2) velocity_iterator_free(it);
            txn_put(txn, "own", "1");
            put(cases[i].key, "2");
            /* It stood on the first entry before the seek: up to there was read too. */
            bool first = !strcmp(cases[i].key, reverse ? "g" : "a");
            if (cases[i].conflict || first)
                loses(txn, "has read");
            else
                commits(txn);
            if (i % 2 == 0) velocity_iterator_free(it);
            OK(velocity_delete(db, str("a")));
            OK(velocity_delete(db, str("own")));
            OK(velocity_delete(db, str("cc")));
            OK(velocity_delete(db, str("d")));
        }
    }
}

static void turning_and_running_off_the_end_count_as_read(void **state) {
    (void)state;
    static const char *const conflicts[] = {"b", "d", "f", "zz", "a"};
    for (size_t i = 0; i < 5; i++) {
        put("b", "1");
        put("d", "1");
        put("f", "1");
        velocity_txn *txn = serializable();
        velocity_iterator *it = velocity_txn_iterator(txn, NULL);
        velocity_iterator_seek(it, str("d"));
        velocity_iterator_next(it); /* f */
        velocity_iterator_prev(it);
        velocity_iterator_prev(it); /* b */
        if (i == 3) {
            velocity_iterator_seek(it, str("f"));
            velocity_iterator_next(it); /* beyond */
        }
        if (i == 4) velocity_iterator_prev(it); /* before */
        txn_put(txn, "x", "1");
        put(conflicts[i], "2");
        loses(txn, conflicts[i]);
        velocity_iterator_free(it);
        OK(velocity_delete(db, str("a")));
        OK(velocity_delete(db, str("zz")));
    }
}

/* ---- iterators over own writes ------------------------------------------------------------------------------------
 */

static void an_iterator_sees_own_writes_up_to_its_creation(void **state) {
    (void)state;
    put("b", "1");
    put("d", "1");
    velocity_txn *txn = snapshot();
    velocity_iterator *none = velocity_txn_iterator(txn, NULL);
    txn_put(txn, "a", "2");
    txn_put(txn, "b", "2");
    velocity_iterator *some = velocity_txn_iterator(txn, NULL);
    txn_put(txn, "b", "3");
    txn_put(txn, "c", "3");
    OK(velocity_txn_delete(txn, str("d")));
    assert_string_equal(rest(none), "b=1 d=1 ");
    assert_int_equal(velocity_iterator_sequence(some), VELOCITY_ABSENT);
    assert_string_equal(rest(some), "a=2 b=2 d=1 ");
    shows(txn, false, "a=2 b=3 c=3 ");
    shows(txn, true, "c=3 b=3 a=2 ");
    commits(txn);
    velocity_iterator_seek(some, str("b"));
    assert_string_equal(rest(some), "b=2 d=1 ");
    velocity_iterator_free(none);
    velocity_iterator_free(some);
}

/* ---- range deletes ------------------------------------------------------------------------------------------------
 */

static void an_own_range_delete_hides_what_it_covers_and_not_what_is_put_later(void **state) {
    (void)state;
    uint64_t savepoint;
    for (const char *k = "abcdefg"; *k; k++) OK(velocity_put(db, velocity_bytes(k, 1), str("1")));
    OK(velocity_flush(db));
    velocity_txn *txn = serializable();
    txn_put(txn, "bb", "2");
    velocity_iterator *before = velocity_txn_iterator(txn, NULL);
    OK(velocity_txn_savepoint(txn, &savepoint));
    OK(velocity_txn_delete_range(txn, str("b"), str("e")));
    txn_put(txn, "c", "3");
    sees(txn, "a", "1");
    sees(txn, "b", NULL);
    sees(txn, "bb", NULL);
    sees(txn, "c", "3");
    sees(txn, "e", "1");
    shows(txn, false, "a=1 c=3 e=1 f=1 g=1 ");
    shows(txn, true, "g=1 f=1 e=1 c=3 a=1 ");
    assert_string_equal(rest(before), "a=1 b=1 bb=2 c=1 d=1 e=1 f=1 g=1 ");
    velocity_iterator_free(before);
    OK(velocity_txn_rollback_to(txn, savepoint));
    shows(txn, false, "a=1 b=1 bb=2 c=1 d=1 e=1 f=1 g=1 ");
    OK(velocity_txn_delete_range(txn, str("e"), str("f")));
    FAILS(VELOCITY_INVALID, "start", velocity_txn_delete_range(txn, str("e"), str("e")));
    commits(txn);
    holds("d", "1");
    holds("e", NULL);
    holds("f", "1");
}

/* `other` happens beside a transaction that did `own`. */
enum act { READ_C, WRITE_C, SCAN_A_TO_D, DELETE_A_TO_D, DELETE_B_TO_Z, READ_X, DELETE_C, ACTS };

static void act(velocity_txn *txn, enum act a) {
    velocity_range range = velocity_range_default();
    switch (a) {
    case READ_C: sees(txn, "c", "1"); break;
    case READ_X: sees(txn, "x", NULL); break;
    case WRITE_C: txn_put(txn, "c", "2"); break;
    case DELETE_C: OK(velocity_txn_delete(txn, str("c"))); break;
    case DELETE_A_TO_D: OK(velocity_txn_delete_range(txn, str("a"), str("d"))); break;
    case DELETE_B_TO_Z: OK(velocity_txn_delete_range(txn, str("b"), str("z"))); break;
    default:
        range.start = str("a");
        range.end = str("d");
        velocity_iterator *it = velocity_txn_iterator(txn, &range);
        (void)rest(it);
        velocity_iterator_free(it);
    }
}

static bool touches(enum act own, enum act other) {
    if (own == READ_X) return other == DELETE_B_TO_Z;
    return true; /* all others have c in common */
}

static void range_deletes_conflict_with_what_lies_in_them(void **state) {
    (void)state;
    static const enum act others[] = {WRITE_C, DELETE_C, DELETE_A_TO_D, DELETE_B_TO_Z};
    for (int own = 0; own < ACTS; own++) {
        for (size_t o = 0; o < sizeof others / sizeof *others; o++) {
            for (int settled = 0; settled < 3; settled++) {
                put("c", "1");
                velocity_txn *txn = serializable(), *other = begin(VELOCITY_ISOLATION_READ_COMMITTED);
                act(txn, (enum act)own);
                txn_put(txn, "zz", "1");
                act(other, others[o]);
                commits(other);
                if (settled > 0) OK(velocity_flush(db));
                if (settled > 1) OK(velocity_compact(db, NULL));
                if (touches((enum act)own, others[o]))
                    loses(txn, "key ");
                else
                    commits(txn);
            }
        }
    }
}

/* ---- savepoints ---------------------------------------------------------------------------------------------------
 */

static void a_savepoint_takes_back_what_was_written_after_it_and_can_be_used_again(void **state) {
    (void)state;
    uint64_t empty, one, two;
    put("base", "0");
    velocity_txn *txn = snapshot();
    OK(velocity_txn_savepoint(txn, &empty));
    txn_put(txn, "a", "1");
    OK(velocity_txn_savepoint(txn, &one));
    txn_put(txn, "a", "2");
    OK(velocity_txn_delete(txn, str("base")));
    velocity_iterator *it = velocity_txn_iterator(txn, NULL);
    OK(velocity_txn_savepoint(txn, &two));
    txn_put(txn, "b", "3");
    OK(velocity_txn_rollback_to(txn, two));
    shows(txn, false, "a=2 ");
    OK(velocity_txn_rollback_to(txn, one));
    shows(txn, false, "a=1 base=0 ");
    assert_string_equal(rest(it), "a=2 ");
    velocity_iterator_free(it);
    FAILS(VELOCITY_INVALID, "savepoint", velocity_txn_rollback_to(txn, two));
    FAILS(VELOCITY_INVALID, "savepoint", velocity_txn_rollback_to(txn, 999));
    FAILS(VELOCITY_INVALID, "savepoint", velocity_txn_rollback_to(txn, 0));
    txn_put(txn, "c", "4");
    OK(velocity_txn_rollback_to(txn, one));
    sees(txn, "c", NULL);
    OK(velocity_txn_rollback_to(txn, empty));
    shows(txn, true, "base=0 ");
    txn_put(txn, "d", "5");
    put("a", "other"); /* no conflict: the write of a was taken back */
    commits(txn);
    holds("a", "other");
    holds("d", "5");
    holds("base", "0");
}

static void reads_are_not_taken_back_by_a_rollback_to_a_savepoint(void **state) {
    (void)state;
    uint64_t savepoint;
    put("a", "1");
    velocity_txn *txn = serializable();
    OK(velocity_txn_savepoint(txn, &savepoint));
    sees(txn, "a", "1");
    OK(velocity_txn_rollback_to(txn, savepoint));
    txn_put(txn, "b", "because a was 1");
    put("a", "2");
    loses(txn, "key a");
}

/* ---- bounds -------------------------------------------------------------------------------------------------------
 */

/* Reads so many keys that they are joined; then whatever was read conflicts, and far away nothing does. */
static void more_reads_than_are_told_apart_are_joined_and_none_is_forgotten(void **state) {
    (void)state;
    enum { READS = VELOCITY_TXN_READ_ENTRIES * 2 + 100 };
    static const size_t written[] = {0, 1, READS / 2, READS - 1};
    char key[16];
    for (size_t w = 0; w <= 4; w++) {
        velocity_txn *txn = serializable();
        for (size_t i = 0; i < READS; i++) {
            (void)snprintf(key, sizeof key, "k%08zu", i * 48271 % READS * 2);
            assert_int_equal(velocity_txn_contains(txn, str(key)), VELOCITY_NOT_FOUND);
        }
        txn_put(txn, "own", "1");
        put("a", "1");
        put("z", "1");
        if (w == 4) {
            commits(txn);
            continue;
        }
        (void)snprintf(key, sizeof key, "k%08zu", written[w] * 2);
        put(key, "1");
        loses(txn, key);
        OK(velocity_delete(db, str(key)));
    }
}

static void long_keys_that_were_read_are_bounded_too(void **state) {
    (void)state;
    static char key[VELOCITY_MAX_KEY_BYTES];
    memset(key, 'k', sizeof key);
    velocity_txn *txn = serializable();
    for (int i = 0; i < 200; i++) {
        (void)snprintf(key, 12, "%03d", i);
        memset(key + 3, 'k', 9);
        assert_int_equal(velocity_txn_contains(txn, velocity_bytes(key, sizeof key)), VELOCITY_NOT_FOUND);
    }
    txn_put(txn, "own", "1");
    memcpy(key, "077", 3);
    OK(velocity_put(db, velocity_bytes(key, sizeof key), str("1")));
    loses(txn, "key 077kkk");
}

/* ---- errors and ends ----------------------------------------------------------------------------------------------
 */

static void an_ended_transaction_can_only_be_freed(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        velocity_value v;
        velocity_status status;
        velocity_slice key = str("a");
        uint64_t n;
        velocity_txn *txn = snapshot();
        txn_put(txn, "a", "1");
        if (i == 0) OK(velocity_txn_commit(txn, NULL, NULL));
        if (i == 1) OK(velocity_txn_rollback(txn));
        if (i == 2) {
            put("a", "2");
            assert_int_equal(velocity_txn_commit(txn, NULL, NULL), VELOCITY_CONFLICT);
        }
        FAILS(VELOCITY_INVALID, "has ended", velocity_txn_get(txn, key, &v));
        FAILS(VELOCITY_INVALID, "has ended", velocity_txn_contains(txn, key));
        FAILS(VELOCITY_INVALID, "has ended", velocity_txn_get_many(txn, NULL, 1, &key, &v, &status));
        assert_int_equal(status, VELOCITY_INVALID);
        FAILS(VELOCITY_INVALID, "has ended", velocity_txn_put(txn, key, key, NULL));
        FAILS(VELOCITY_INVALID, "has ended", velocity_txn_delete(txn, key));
        FAILS(VELOCITY_INVALID, "has ended", velocity_txn_savepoint(txn, &n));
        FAILS(VELOCITY_INVALID, "has ended", velocity_txn_rollback_to(txn, 1));
        FAILS(VELOCITY_INVALID, "has ended", velocity_txn_commit(txn, NULL, NULL));
        FAILS(VELOCITY_INVALID, "has ended", velocity_txn_rollback(txn));
        velocity_iterator *it = velocity_txn_iterator(txn, NULL);
        FAILS(VELOCITY_INVALID, "has ended", velocity_iterator_status(it));
        assert_false(velocity_iterator_valid(it));
        velocity_iterator_next(it);
        velocity_iterator_seek(it, key);
        velocity_iterator_free(it);
        velocity_txn_free(txn);
    }
    velocity_txn_free(NULL);
}

static void arguments_out_of_range_are_told_and_change_nothing(void **state) {
    (void)state;
    velocity_txn *txn;
    velocity_value v;
    FAILS(VELOCITY_INVALID, "isolation", velocity_txn_begin(db, (velocity_isolation)17, &txn));
    assert_null(txn);
    velocity_snapshot *frozen = velocity_snapshot_new(db);
    velocity_read_options options = velocity_read_options_default();
    velocity_range range = velocity_range_default();
    options.snapshot = range.snapshot = frozen;
    txn = snapshot();
    FAILS(VELOCITY_INVALID, "key", velocity_txn_put(txn, velocity_bytes("", 0), str("x"), NULL));
    FAILS(VELOCITY_INVALID, "key", velocity_txn_delete(txn, velocity_bytes("", 0)));
    FAILS(VELOCITY_INVALID, "key", velocity_txn_get(txn, velocity_bytes("", 0), &v));
    FAILS(VELOCITY_INVALID, "snapshot", velocity_txn_get_with(txn, &options, str("a"), &v));
    velocity_iterator *it = velocity_txn_iterator(txn, &range);
    FAILS(VELOCITY_INVALID, "snapshot", velocity_iterator_status(it));
    velocity_iterator_free(it);
    velocity_snapshot_free(frozen);
    txn_put(txn, "a", "1"); /* what failed does not stick */
    commits(txn);
    holds("a", "1");
}

static void a_live_transaction_keeps_the_database_from_closing(void **state) {
    (void)state;
    velocity_txn *txn = begin(VELOCITY_ISOLATION_READ_COMMITTED);
    FAILS(VELOCITY_BUSY, "transactions", velocity_close(db));
    OK(velocity_txn_rollback(txn));
    FAILS(VELOCITY_BUSY, "transactions", velocity_close(db));
    velocity_txn_free(txn);
}

static void commits_and_conflicts_are_counted_and_a_reader_commits_at_its_snapshot(void **state) {
    (void)state;
    velocity_stats stats = {.struct_size = sizeof stats};
    uint64_t sequence = 0;
    velocity_txn *reader = serializable(), *loser = snapshot(), *winner = snapshot();
    velocity_txn *newest = begin(VELOCITY_ISOLATION_READ_COMMITTED);
    OK(velocity_stats_get(db, &stats));
    uint64_t before = stats.last_sequence;
    assert_int_equal(velocity_txn_snapshot_sequence(newest), before);
    sees(reader, "a", NULL);
    txn_put(loser, "a", "1");
    txn_put(winner, "a", "2");
    commits(winner);
    loses(loser, "key a");
    assert_int_equal(velocity_txn_snapshot_sequence(reader), before);
    assert_int_equal(velocity_txn_snapshot_sequence(newest), before + 1);
    velocity_txn_free(newest);
    OK(velocity_txn_commit(reader, NULL, &sequence));
    velocity_txn_free(reader);
    assert_int_equal(sequence, before);
    OK(velocity_stats_get(db, &stats));
    assert_int_equal(stats.txn_commits, 2);
    assert_int_equal(stats.txn_conflicts, 1);
    assert_int_equal(stats.live_handles, 0);
    assert_int_equal(stats.snapshots, 0);
}

struct answer {
    velocity_txn *txn;
    _Atomic bool done;
    velocity_status status;
    uint64_t sequence;
};

static void answered(void *arg, velocity_status status, uint64_t sequence) {
    struct answer *a = arg;
    a->status = status;
    a->sequence = sequence;
    velocity_txn_free(a->txn);
    atomic_store(&a->done, true);
}

static struct answer commit_async(velocity_txn *txn) {
    struct answer a = {.txn = txn};
    OK(velocity_txn_commit_async(txn, NULL, answered, &a));
    while (!atomic_load(&a.done)) env_sleep_us(100);
    return a;
}

static void an_asynchronous_commit_answers_once_and_may_free_the_transaction(void **state) {
    (void)state;
    velocity_txn *txn = serializable(), *late = serializable();
    txn_put(txn, "a", "1");
    FAILS(VELOCITY_INVALID, "callback", velocity_txn_commit_async(txn, NULL, NULL, NULL));
    struct answer a = commit_async(txn);
    OK(a.status);
    holds("a", "1");
    sees(late, "a", NULL);
    txn_put(late, "b", "1");
    FAILS(VELOCITY_CONFLICT, "key a", velocity_txn_commit_async(late, NULL, answered, NULL));
    velocity_txn_free(late);
    velocity_txn *reader = snapshot(); /* without writes it has an answer too */
    a = commit_async(reader);
    OK(a.status);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(own_writes_are_seen_by_their_transaction_alone_until_it_commits),
        TEST(a_commit_writes_everything_at_once_with_consecutive_versions),
        TEST(a_large_own_value_stays_valid_after_the_transaction),
        TEST(get_many_mixes_own_writes_with_the_view),
        TEST(get_many_shows_own_writes_to_who_follows_it_and_has_read_nothing_behind_the_stop),
        TEST(read_committed_sees_the_newest_state_and_never_conflicts),
        TEST(a_snapshot_repeats_its_reads),
        TEST(who_writes_a_key_that_was_written_since_loses_and_no_update_is_lost),
        TEST(write_skew_is_possible_under_snapshot_and_not_under_serializable),
        TEST(an_absent_key_that_was_read_must_stay_absent),
        TEST(phantoms_are_possible_under_snapshot_and_not_under_serializable),
        TEST(the_read_only_anomaly_is_possible_under_snapshot_and_not_under_serializable),
        TEST(what_was_written_before_a_flush_or_compaction_conflicts_like_anything_else),
        TEST(a_range_counts_as_read_as_far_as_the_iterator_went),
        TEST(turning_and_running_off_the_end_count_as_read),
        TEST(an_iterator_sees_own_writes_up_to_its_creation),
        TEST(an_own_range_delete_hides_what_it_covers_and_not_what_is_put_later),
        TEST(range_deletes_conflict_with_what_lies_in_them),
        TEST(a_savepoint_takes_back_what_was_written_after_it_and_can_be_used_again),
        TEST(reads_are_not_taken_back_by_a_rollback_to_a_savepoint),
        TEST(more_reads_than_are_told_apart_are_joined_and_none_is_forgotten),
        TEST(long_keys_that_were_read_are_bounded_too),
        TEST(an_ended_transaction_can_only_be_freed),
        TEST(arguments_out_of_range_are_told_and_change_nothing),
        TEST(a_live_transaction_keeps_the_database_from_closing),
        TEST(commits_and_conflicts_are_counted_and_a_reader_commits_at_its_snapshot),
        TEST(an_asynchronous_commit_answers_once_and_may_free_the_transaction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
