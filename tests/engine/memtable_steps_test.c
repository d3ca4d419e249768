/*
 * memtable_steps_test.c - the write buffer's readers and its inserter, interleaved one load or store at a time.
 *
 * The memtable is compiled into this file with its loads and stores replaced: after any store of the inserter a whole
 * read may run, and before any load of a reader a whole insert. So the moments within a split that threads seldom meet
 * are met hundreds of times, and always the same ones.
 */
#include <stdatomic.h>

static void before_load(void);
static void after_store(void);

#define LOAD(field) (before_load(), atomic_load_explicit(&(field), memory_order_acquire))
#define STORE(field, value)                                                                                            \
    do {                                                                                                               \
        atomic_store_explicit(&(field), (value), memory_order_release);                                                \
        after_store();                                                                                                 \
    } while (0)

/* The code itself, so that its loads and stores are these. NOLINTBEGIN(bugprone-suspicious-include) */
#include "engine/memtable.c"
#include "engine/memtable_cursor.c"
#include "engine/memtable_node.c"
/* NOLINTEND(bugprone-suspicious-include) */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define OPERATIONS 3000

static struct {
    memtable *table;
    uint64_t inserted; /* operations 1 to this one are in the table */
    uint64_t random;
    bool read_after_stores, insert_before_loads;
    uint64_t block;               /* not 0: so many keys of one start come together */
    uint64_t sleep_at, sleep_for; /* the reader's load, 0: none, before which it misses so many inserts */
    bool busy;                    /* an interruption is running: none within it */
    uint64_t interruptions;
} stage;

static uint64_t draw(uint64_t limit) {
    stage.random = stage.random * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (stage.random >> 33) % limit;
}

/* Operation n writes this key with sequence n; one in eight overwrites an earlier operation's. */
static velocity_slice key_of(uint64_t n, char out[96]) {
    while (n % 8 == 7) n /= 2;
    static const char *const starts[] = {"run/", "pkg:lib", "a-rather-long-prefix-of-many-keys/and-more/"};
    uint64_t start = stage.block ? n / stage.block % 3 : n % 3;
    unsigned long long number = n % 3 ? (n * UINT64_C(0x9E3779B97F4A7C15)) >> 20 : n;
    return velocity_bytes(out, (size_t)snprintf(out, 96, "%s%012llu", starts[start], number));
}

static void insert_next(void) {
    char key[96];
    uint64_t n = stage.inserted + 1;
    struct entry e = {.key = key_of(n, key), .value = velocity_str("v"), .sequence = n, .kind = ENTRY_PUT};
    assert_int_equal(memtable_reserve(stage.table, 1, e.key.size + 1), VELOCITY_OK);
    memtable_insert(stage.table, &e);
    stage.inserted = n;
}

static void read_one(void) {
    char key[96];
    struct entry got;
    struct memtable_cursor cursor;
    uint64_t n = 1 + draw(stage.inserted);
    velocity_slice k = key_of(n, key);
    assert_true(memtable_get(stage.table, k, n, &got));
    assert_int_equal(got.sequence, n);
    memtable_cursor_init(&cursor, stage.table);
    memtable_cursor_seek(&cursor, k);
    assert_true(memtable_cursor_valid(&cursor));
    memtable_cursor_entry(&cursor, &got);
    assert_true(slice_equal(got.key, k));
}

/* Everything that was there at the start shows exactly once, in order. */
static void read_all(bool backward) {
    uint64_t inserted = stage.inserted, seen = 0;
    struct memtable_cursor cursor;
    struct entry last = {.sequence = 0}, got;
    memtable_cursor_init(&cursor, stage.table);
    (backward ? memtable_cursor_last : memtable_cursor_first)(&cursor);
    for (; memtable_cursor_valid(&cursor); (backward ? memtable_cursor_prev : memtable_cursor_next)(&cursor)) {
        memtable_cursor_entry(&cursor, &got);
        int order = last.sequence ? slice_compare(last.key, got.key) : -1;
        if (order == 0) order = last.sequence > got.sequence ? -1 : 1;
        assert_true(last.sequence == 0 || (backward ? order > 0 : order < 0));
        seen += got.sequence <= inserted;
        last = got;
    }
    assert_int_equal(seen, inserted);
}

static void after_store(void) {
    if (!stage.read_after_stores || stage.busy || stage.inserted == 0) return;
    stage.busy = true;
    stage.interruptions++;
    read_one();
    if (draw(64) == 0) read_all(draw(2));
    stage.busy = false;
}

static void sleep_over_inserts(void) {
    stage.busy = true;
    stage.interruptions++;
    while (stage.sleep_for--) insert_next();
    stage.busy = false;
}

static void before_load(void) {
    if (stage.sleep_at && !stage.busy && --stage.sleep_at == 0) sleep_over_inserts();
    if (!stage.insert_before_loads || stage.busy || stage.inserted >= OPERATIONS || draw(64)) return;
    stage.busy = true;
    stage.interruptions++;
    for (uint64_t i = draw(8) ? 1 : 1 + draw(100); i > 0; i--) insert_next(); /* sometimes enough to split a node */
    stage.busy = false;
}

static void begin(uint64_t seed) {
    memset(&stage, 0, sizeof stage);
    stage.random = seed;
    stage.table = memtable_new();
    assert_non_null(stage.table);
}

static void between_any_two_stores_of_the_inserter_all_keys_are_found(void **s) {
    (void)s;
    begin(1);
    stage.read_after_stores = true;
    while (stage.inserted < OPERATIONS) insert_next();
    assert_true(stage.interruptions > 10 * OPERATIONS);
    memtable_free(stage.table);
}

/* Small tables too: there the root is what splits. */
static void inserts_between_any_two_loads_of_a_reader_hide_nothing(void **s) {
    (void)s;
    for (uint64_t seed = 1; seed <= 600; seed++) {
        begin(seed);
        insert_next();
        stage.insert_before_loads = true;
        while (stage.inserted < (seed % 30 ? 150 : OPERATIONS)) {
            for (int i = 0; i < 20; i++) read_one();
            read_all(draw(2));
        }
        assert_true(stage.interruptions > 1);
        memtable_free(stage.table);
    }
}

/* Long enough for all nodes on its way to be split, copied and left behind; also where a node's observed prefix holds
 * for long, until a block of other keys comes. */
static void a_reader_that_sleeps_while_many_keys_come_finds_all_that_were_there(void **s) {
    enum { SEEDS = 3000, KEYS = 1500, LOADS = 40, LONGEST = 400, LARGEST_BLOCK = 500 };
    (void)s;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        begin(seed);
        stage.block = draw(LARGEST_BLOCK);
        for (uint64_t first = 1 + draw(LONGEST); first > 0; first--) insert_next();
        while (stage.inserted < KEYS) {
            stage.sleep_at = 1 + draw(LOADS);
            stage.sleep_for = draw(LONGEST);
            read_one();
            stage.sleep_at = 0;
        }
        assert_true(stage.interruptions > 0);
        memtable_free(stage.table);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(between_any_two_stores_of_the_inserter_all_keys_are_found),
        cmocka_unit_test(inserts_between_any_two_loads_of_a_reader_hide_nothing),
        cmocka_unit_test(a_reader_that_sleeps_while_many_keys_come_finds_all_that_were_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
