/*
 * memory_test.c - one allocation fails, each of a life in turn: the call that needed it says NO_MEMORY and did nothing,
 * nothing leaks (the address sanitizer looks), and whatever was acknowledged is there, also after a kill.
 *
 * STRIDE in the environment: only every so manieth allocation. NTH: that one alone.
 */
#include "engine/database.h"
#include "env_sim.h"
#include "testing.h"

enum {
    KEYS = 40,
    ROUNDS = 54, /* enough for some flushes and a merge; the time grows with the square */
    VALUE_BYTES = 2500,
};

struct life {
    env_sim *sim;
    velocity *db;
    uint32_t numbers[KEYS]; /* under each key; 0: absent */
    size_t failures;
    bool apart; /* its values stand apart */
    bool encrypted;
};

static const char folder[] = "disk/db";

static velocity_slice key_of(char text[16], size_t i) {
    (void)snprintf(text, 16, "key%03zu", i);
    return velocity_str(text);
}

/* OK or NO_MEMORY; whether it was OK. */
static bool went_well(struct life *l, velocity_status status) {
    if (status == VELOCITY_OK) return true;
    if (status != VELOCITY_NO_MEMORY) fail_msg("%s: %s", velocity_status_name(status), velocity_error_message());
    assert_true(strlen(velocity_error_message()) > 0);
    l->failures++;
    return false;
}

static void put(struct life *l, size_t i, uint32_t number) {
    uint8_t value[VALUE_BYTES];
    char key[16];
    memset(value, (int)(number & 0xff), sizeof value);
    memcpy(value, &number, sizeof number);
    if (went_well(l, velocity_put(l->db, key_of(key, i), velocity_bytes(value, sizeof value)))) l->numbers[i] = number;
}

/* Long expired, or not in this century. */
static void put_expiring(struct life *l, size_t i, uint32_t number, bool over) {
    uint8_t value[VALUE_BYTES];
    char key[16];
    memset(value, (int)(number & 0xff), sizeof value);
    memcpy(value, &number, sizeof number);
    velocity_put_options options = velocity_put_options_default();
    options.expires_at_ms = over ? 1 + (int64_t)number : INT64_C(4102444800000);
    velocity_batch *b = velocity_batch_new();
    if (!b) {
        l->failures++;
        return;
    }
    velocity_batch_put(b, key_of(key, i), velocity_bytes(value, sizeof value), &options);
    if (went_well(l, velocity_write(l->db, b, NULL, NULL))) l->numbers[i] = over ? 0 : number;
    velocity_batch_free(b);
}

static void delete (struct life *l, size_t i) {
    char key[16];
    if (went_well(l, velocity_delete(l->db, key_of(key, i)))) l->numbers[i] = 0;
}

static void delete_range(struct life *l, size_t from, size_t to) {
    char start[16], end[16];
    if (!went_well(l, velocity_delete_range(l->db, key_of(start, from), key_of(end, to)))) return;
    for (size_t i = from; i < to; i++) l->numbers[i] = 0;
}

static void check_value(const struct life *l, size_t i, velocity_slice value) {
    uint32_t number;
    assert_int_equal(value.size, VALUE_BYTES);
    memcpy(&number, value.data, sizeof number);
    assert_int_equal(number, l->numbers[i]);
}

static void get(struct life *l, size_t i) {
    char key[16];
    velocity_value value;
    velocity_status status = velocity_get(l->db, key_of(key, i), &value);
    if (status == VELOCITY_NOT_FOUND) {
        assert_int_equal(l->numbers[i], 0);
    } else if (went_well(l, status)) {
        check_value(l, i, velocity_bytes(value.data, value.size));
        velocity_value_release(&value);
    }
}

static void scan(struct life *l, bool reverse) {
    velocity_range range = velocity_range_default();
    range.reverse = reverse;
    range.prefix = velocity_str("key");
    velocity_iterator *it = velocity_iterator_new(l->db, &range);
    size_t shown = 0, expected = 0;
    for (; velocity_iterator_valid(it); velocity_iterator_next(it), shown++) {
        velocity_slice key = velocity_iterator_key(it);
        char digits[4] = "";
        assert_int_equal(key.size, 6);
        memcpy(digits, (const char *)key.data + 3, 3);
        velocity_slice value = velocity_iterator_value(it);
        if (!velocity_iterator_valid(it)) break; /* it stands apart, and there was no memory to read it */
        check_value(l, (size_t)strtoul(digits, NULL, 10), value);
    }
    for (size_t i = 0; i < KEYS; i++) expected += l->numbers[i] != 0;
    if (went_well(l, velocity_iterator_status(it))) assert_int_equal(shown, expected);
    velocity_iterator_free(it);
}

static void batch(struct life *l, uint32_t number) {
    char key[16];
    velocity_batch *b = velocity_batch_new();
    if (!b) {
        l->failures++;
        return;
    }
    for (size_t i = 0; i < 3; i++) velocity_batch_put(b, key_of(key, i), velocity_bytes(NULL, 0), NULL);
    for (size_t i = 0; i < 3; i++) velocity_batch_delete(b, key_of(key, i));
    velocity_batch_require(b, key_of(key, KEYS), VELOCITY_ABSENT);
    bool written = went_well(l, velocity_write(l->db, b, NULL, NULL));
    for (size_t i = 0; i < 3 && written; i++) l->numbers[i] = 0;
    velocity_batch_free(b);
    put(l, 0, number);
}

static void count_answer(void *arg, velocity_status status, uint64_t sequence) {
    struct life *l = arg;
    (void)sequence;
    if (went_well(l, status)) l->numbers[KEYS - 1] = 0;
}

static void write_async(struct life *l) {
    char key[16];
    velocity_batch *b = velocity_batch_new();
    if (b) {
        velocity_batch_delete(b, key_of(key, KEYS - 1));
        if (went_well(l, velocity_write_async(l->db, b, NULL, count_answer, l))) put(l, 4, 4); /* leads it too */
    }
    velocity_batch_free(b);
}

/* All changes since the open, in their order; whatever is missing, the feed's status says so. */
static void follow(struct life *l) {
    velocity_changes *changes = velocity_changes_new(l->db, 0);
    uint64_t sequence = 0;
    bool well = velocity_changes_status(changes) == VELOCITY_OK;
    while (well) {
        const velocity_change *c = velocity_changes_next(changes);
        if (!c) break;
        assert_int_equal(c->sequence, ++sequence);
    }
    velocity_stats stats = {.struct_size = sizeof stats};
    OK(velocity_stats_get(l->db, &stats));
    if (went_well(l, velocity_changes_status(changes))) assert_int_equal(sequence, stats.last_sequence);
    velocity_changes_free(changes);
}

static void checkpoint(struct life *l, const char *path) {
    bool there, made = went_well(l, velocity_checkpoint(l->db, path));
    OK(env_exists(env_sim_env(l->sim), path, &there));
    if (made) assert_true(there);
}

/* Writes one key more and takes that back. False: it stands in the transaction. */
static bool write_in_vain(struct life *l, velocity_txn *txn) {
    char key[16];
    uint64_t savepoint;
    if (!went_well(l, velocity_txn_savepoint(txn, &savepoint))) return true;
    if (!went_well(l, velocity_txn_put(txn, key_of(key, 11), velocity_bytes(NULL, 0), NULL))) return true;
    return went_well(l, velocity_txn_rollback_to(txn, savepoint));
}

static void scan_in(struct life *l, velocity_txn *txn) {
    velocity_iterator *it = velocity_txn_iterator(txn, NULL);
    for (int i = 0; i < 5 && velocity_iterator_valid(it); i++) velocity_iterator_next(it);
    (void)went_well(l, velocity_iterator_status(it));
    velocity_iterator_free(it);
}

/* An operation that fails is not in the transaction, all others are; a commit that fails wrote nothing. */
static void transact(struct life *l, uint32_t number) {
    char key[16];
    uint8_t value[VALUE_BYTES];
    velocity_txn *txn;
    if (!went_well(l, velocity_txn_begin(l->db, VELOCITY_ISOLATION_SERIALIZABLE, &txn))) return;
    memset(value, (int)(number & 0xff), sizeof value);
    memcpy(value, &number, sizeof number);
    scan_in(l, txn);
    bool put = went_well(l, velocity_txn_put(txn, key_of(key, 9), velocity_bytes(value, sizeof value), NULL));
    bool whole = write_in_vain(l, txn);
    bool deleted = went_well(l, velocity_txn_delete_range(txn, key_of(key, 12), velocity_str("key014")));
    scan_in(l, txn);
    if (whole && went_well(l, velocity_txn_commit(txn, NULL, NULL))) {
        if (put) l->numbers[9] = number;
        if (deleted) l->numbers[12] = l->numbers[13] = 0;
    }
    velocity_txn_free(txn);
}

/* From one key to another: reading and adding fail as they do elsewhere, and then nothing is written. */
static velocity_status copy_over(void *arg, velocity_instant *instant, velocity_batch *batch) {
    const size_t *keys = arg;
    char from[16], to[16];
    velocity_value value;
    velocity_status status = velocity_instant_get(instant, key_of(from, keys[0]), &value);
    if (status == VELOCITY_NOT_FOUND) {
        velocity_batch_delete(batch, key_of(to, keys[1]));
        return VELOCITY_OK;
    }
    if (status) return status;
    velocity_batch_put(batch, key_of(to, keys[1]), velocity_bytes(value.data, value.size), NULL);
    velocity_value_release(&value);
    return VELOCITY_OK;
}

static void compose(struct life *l, size_t from, size_t to) {
    size_t keys[] = {from, to};
    velocity_batch *b = velocity_batch_new();
    if (!b) {
        l->failures++;
        return;
    }
    velocity_batch_compose(b, 1, 16 + VALUE_BYTES, copy_over, keys);
    if (went_well(l, velocity_write(l->db, b, NULL, NULL))) l->numbers[to] = l->numbers[from];
    velocity_batch_free(b);
}

/* Encrypted in every other life: the allocations are others then. */
static bool open_database(struct life *l) {
    velocity_options options = velocity_options_default();
    if (l->encrypted) options.encryption_key = velocity_bytes("thirty-two bytes, some forgotten", 32);
    if (l->encrypted) options.compression = VELOCITY_COMPRESSION_ZSTD;
    if (l->apart) options.compression = VELOCITY_COMPRESSION_ADAPTIVE;
    options.memtable_bytes = options.table_bytes = 64 << 10;
    options.cache_bytes = 32 << 10;
    options.compaction_threshold = 3;
    options.value_log_threshold = l->apart ? VALUE_BYTES : 0;
    options.log_retention_bytes = 16 << 20;
    return went_well(l, database_open(env_sim_env(l->sim), folder, &options, &l->db));
}

static void use(struct life *l) {
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        size_t i = round * 7 % KEYS;
        put(l, i, round);
        if (round % 5 == 0) delete (l, (i + 3) % KEYS);
        if (round % 8 == 0) delete_range(l, i * 3 / 4, i * 3 / 4 + 4);
        if (round % 9 == 0) get(l, i);
        if (round % 3 == 0) put_expiring(l, (i + 5) % KEYS, round, round % 2);
        if (round == 2 * ROUNDS / 3 && velocity_set_cache_bytes(l->db, 16 << 10)) fail();
        if (round == ROUNDS / 2) scan(l, true);
        if (round == ROUNDS / 2) batch(l, round);
        if (round % 40 == 2) transact(l, round);
        if (round % 7 == 4) compose(l, (i + 1) % KEYS, (i + 2) % KEYS);
        if (round == ROUNDS / 3) (void)went_well(l, velocity_flush(l->db));
        if (round == ROUNDS / 3) write_async(l);
    }
    follow(l);
    checkpoint(l, "disk/copy");
    velocity_snapshot *snapshot = velocity_snapshot_new(l->db);
    l->failures += !snapshot;
    (void)went_well(l, velocity_flush(l->db));
    scan(l, false);
    velocity_snapshot_free(snapshot);
    (void)went_well(l, velocity_compact(l->db, NULL));
}

static void check_all(struct life *l) {
    for (size_t i = 0; i < KEYS; i++) get(l, i);
    scan(l, false);
    scan(l, true);
}

static void end(struct life *l, bool kill) {
    if (kill) env_sim_crash_after(l->sim, 0);
    velocity_status status = velocity_close(l->db);
    if (!kill) (void)went_well(l, status);
    if (kill) env_sim_kill(l->sim);
    assert_int_equal(env_sim_open_files(l->sim), 0);
}

enum { VARIANTS = 8 }; /* of a life: what it allocates, and when, is not the same */

static struct life begin(uint64_t variant) {
    struct life l = {.sim = env_sim_new(1), .encrypted = variant / 2 % 2, .apart = variant / 4 % 2};
    OK(env_make_directory(env_sim_env(l.sim), "disk"));
    return l;
}

/* Nothing fails any more; whether there were as many allocations as were ordered. */
static bool end_of_failure(void) {
    bool failed = env_allocation_failed();
    env_fail_allocation(0, false);
    return failed;
}

/* A life whose nth allocation fails; whether there were so many. *noticed: adds the calls that said so. */
static bool life_without(uint64_t nth, bool kill, size_t *noticed) {
    bool failed = false;
    struct life l = begin(nth + (kill ? 2 : 0));
    env_fail_allocation(nth, false);
    bool open = open_database(&l);
    if (!open) assert_int_equal(env_sim_open_files(l.sim), 0);
    if (!open) open = open_database(&l);
    assert_true(open);
    use(&l);
    if (kill) failed = end_of_failure();
    end(&l, kill);
    if (!open_database(&l)) assert_true(open_database(&l));
    if (!kill) failed = end_of_failure();
    size_t before = l.failures;
    check_all(&l);
    end(&l, false);
    assert_int_equal(l.failures, before);
    env_sim_free(l.sim);
    *noticed += l.failures;
    return failed;
}

static void lives(bool kill) {
    size_t lives = 0, without = 0, noticed = 0;
    uint64_t stride = from_environment("STRIDE", 1), only = from_environment("NTH", 0);
    if (only) {
        (void)life_without(only, kill, &noticed);
        return;
    }
    for (uint64_t nth = 1; without < VARIANTS; nth += stride, lives++)
        without = life_without(nth, kill, &noticed) ? 0 : without + 1;
    assert_true(noticed * 2 > lives - without); /* some failures are tried again and go unnoticed */
}

static void a_life_flushes_and_merges(void **state) {
    (void)state;
    for (uint64_t variant = 0; variant < VARIANTS; variant++) {
        struct life l = begin(variant);
        velocity_stats stats = {.struct_size = sizeof stats};
        assert_true(open_database(&l));
        use(&l);
        OK(velocity_stats_get(l.db, &stats));
        assert_true(stats.flushes >= 4 && stats.compactions >= 1);
        end(&l, false);
        assert_int_equal(l.failures, 0);
        env_sim_free(l.sim);
    }
}

/* Up and down, with seeks: returns how many entries it stood on, or 0 once a call found no memory. */
static size_t wander(struct life *l, bool reverse) {
    static const char *const places[] = {"key010", "key033", "a", "z", "key020"};
    velocity_range range = velocity_range_default();
    range.start = velocity_str("key002");
    range.end = velocity_str("key038");
    range.reverse = reverse;
    velocity_iterator *it = velocity_iterator_new(l->db, &range);
    size_t stood = 0;
    for (size_t i = 0; i < sizeof places / sizeof *places && !velocity_iterator_status(it); i++) {
        velocity_iterator_seek(it, velocity_str(places[i]));
        for (int step = 0; step < 12 && velocity_iterator_valid(it); step++, stood++) {
            velocity_slice key = velocity_iterator_key(it);
            assert_true(key.size == 6 && memcmp(key.data, "key002", 6) >= 0 && memcmp(key.data, "key038", 6) < 0);
            if (step % 6 < 3)
                velocity_iterator_next(it);
            else
                velocity_iterator_prev(it);
        }
    }
    bool well = went_well(l, velocity_iterator_status(it));
    if (!well) assert_false(velocity_iterator_valid(it));
    velocity_iterator_free(it);
    return well ? stood : 0;
}

static void any_allocation_of_an_iterator_may_fail_and_the_next_one_shows_everything(void **state) {
    runs_in_one_thread();
    enum { ENOUGH_IN_A_ROW = 30 };
    (void)state;
    for (int apart = 0; apart < 2; apart++) {
        struct life l = {.sim = env_sim_new(1), .apart = apart};
        OK(env_make_directory(env_sim_env(l.sim), "disk"));
        assert_true(open_database(&l));
        for (uint32_t i = 0; i < KEYS; i++) put(&l, i, i + 1);
        OK(velocity_flush(l.db));
        for (size_t i = 0; i < KEYS; i += 3) delete (&l, i);
        for (uint32_t i = 1; i < KEYS; i += 3) put(&l, i, i + 100);
        delete_range(&l, 13, 16);
        for (int reverse = 0; reverse < 2; reverse++) {
            size_t expected = wander(&l, reverse), failures = 0, without = 0;
            assert_true(expected > 20);
            for (uint64_t nth = 1; without < ENOUGH_IN_A_ROW; nth++) {
                env_fail_allocation(nth, false);
                size_t stood = wander(&l, reverse);
                env_fail_allocation(0, false);
                without = stood ? without + 1 : 0;
                failures += stood == 0;
                if (stood) assert_int_equal(stood, expected);
            }
            assert_true(failures > 5);
            assert_int_equal(wander(&l, reverse), expected);
        }
        end(&l, false);
        env_sim_free(l.sim);
    }
}

static void any_allocation_may_fail_and_nothing_acknowledged_is_lost(void **state) {
    (void)state;
    runs_in_one_thread();
    lives(false);
}

static void any_allocation_may_fail_and_a_kill_follow(void **state) {
    (void)state;
    runs_in_one_thread();
    lives(true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_life_flushes_and_merges),
        cmocka_unit_test(any_allocation_may_fail_and_nothing_acknowledged_is_lost),
        cmocka_unit_test(any_allocation_may_fail_and_a_kill_follow),
        cmocka_unit_test(any_allocation_of_an_iterator_may_fail_and_the_next_one_shows_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
