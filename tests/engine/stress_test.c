/*
 * stress_test.c - everything at once: threads write, read, scan, freeze, flush and compact one database, over several
 * lives of it. Made for the sanitizers.
 *
 * What is promised at every instant, and checked by whoever reads:
 *  1. A key has one owner, who alone writes it: what the owner reads is what it wrote last.
 *  2. Each batch writes one number under all keys of its set: whoever reads a set at one instant sees one number.
 *  3. A snapshot shows the same, however often and with whatever it is read.
 *  4. Asynchronous writes of one thread complete in their order.
 *
 * STRESS_MS in the environment: how long each life lasts.
 */
#include "testing.h"

#include <pthread.h>
#include <unistd.h>

/* cmocka ends the program without a word when a check fails on a thread that it does not know. These say what failed.
 */
static void failed(const char *file, int line, const char *what, long long got, long long wanted) {
    fprintf(stderr, "%s:%d: %s (%lld, wanted %lld); last error: %s\n", file, line, what, got, wanted,
            velocity_error_message());
    abort();
}
#undef assert_true
#undef assert_int_equal
#undef assert_non_null
#undef assert_memory_equal
#define assert_true(c) ((c) ? (void)0 : failed(__FILE__, __LINE__, #c, 0, 1))
#define assert_int_equal(a, b)                                                                                         \
    do {                                                                                                               \
        long long got_ = (long long)(a), wanted_ = (long long)(b);                                                     \
        if (got_ != wanted_) failed(__FILE__, __LINE__, #a " == " #b, got_, wanted_);                                  \
    } while (0)
#define assert_non_null(p)           assert_true((p) != NULL)
#define assert_memory_equal(a, b, n) assert_true(memcmp((a), (b), (n)) == 0)

enum {
    LIVES = 3,
    LIFE_MS = 1000,
    WRITERS = 3,
    FEW_KEYS = 300,   /* of an owner */
    MANY_KEYS = 5000, /* ... of which the last level has some eighty tables */
    SETS = 8,
    SET_KEYS = 5,
    ASYNC_DEPTH = 8,
    VALUE_MAX = 700,
};

struct stress {
    velocity *db;
    velocity_options options;
    atomic_bool stop;
    size_t own_keys;
    uint32_t numbers[WRITERS][MANY_KEYS]; /* what the owner wrote last; 0: deleted, or expired when it was written */
    uint32_t set_number;
    _Atomic uint64_t reads, scans;
};

struct worker {
    struct stress *s;
    uint64_t random;
    size_t index;
    pthread_t thread;
};

/* The number, then bytes that follow from it. */
static size_t make_value(uint8_t *value, uint32_t number) {
    size_t size = 4 + (size_t)(number * 2654435761u) % (VALUE_MAX - 4);
    memcpy(value, &number, 4);
    memset(value + 4, (int)(number & 0xff), size - 4);
    return size;
}

static uint32_t number_of(velocity_slice value) {
    uint8_t expected[VALUE_MAX];
    uint32_t number;
    assert_true(value.size >= 4);
    memcpy(&number, value.data, 4);
    assert_int_equal(value.size, make_value(expected, number));
    assert_memory_equal(value.data, expected, value.size);
    return number;
}

static velocity_slice own_key(char key[32], size_t writer, size_t i) {
    (void)snprintf(key, 32, "own/%zu/%05zu", writer, i);
    return velocity_str(key);
}

static velocity_slice set_key(char key[32], size_t set, size_t i) {
    (void)snprintf(key, 32, "set/%zu/%zu", i, set);
    return velocity_str(key);
}

/* ---- who writes ----------------------------------------------------------------------------------------------------
 */

static void check_own(struct worker *w, size_t i) {
    char key[32];
    velocity_value value;
    uint32_t expected = w->s->numbers[w->index][i];
    velocity_status status = velocity_get(w->s->db, own_key(key, w->index, i), &value);
    if (!expected) {
        assert_int_equal(status, VELOCITY_NOT_FOUND);
        return;
    }
    OK(status);
    assert_int_equal(number_of(velocity_bytes(value.data, value.size)), expected);
    velocity_value_release(&value);
}

static void delete_own(struct worker *w, size_t i) {
    char key[32];
    OK(velocity_delete(w->s->db, own_key(key, w->index, i)));
    w->s->numbers[w->index][i] = 0;
}

static void delete_own_range(struct worker *w, size_t from, size_t to) {
    char start[32], end[32];
    OK(velocity_delete_range(w->s->db, own_key(start, w->index, from), own_key(end, w->index, to)));
    for (size_t i = from; i < to; i++) w->s->numbers[w->index][i] = 0;
}

/* What has expired when it is written is a delete that is none: what it hides must not come back. */
static void put_own(struct worker *w, size_t i, uint32_t number, bool expired) {
    uint8_t value[VALUE_MAX];
    char key[32];
    velocity_put_options options = velocity_put_options_default();
    if (expired) options.expires_at_ms = 1;
    velocity_batch *batch = velocity_batch_new();
    assert_non_null(batch);
    velocity_batch_put(batch, own_key(key, w->index, i), velocity_bytes(value, make_value(value, number)), &options);
    OK(velocity_write(w->s->db, batch, NULL, NULL));
    velocity_batch_free(batch);
    w->s->numbers[w->index][i] = expired ? 0 : number;
}

static void *write_own_keys(void *arg) {
    struct worker *w = arg;
    size_t keys = w->s->own_keys, most_deleted = keys < FEW_KEYS ? keys : FEW_KEYS;
    for (uint32_t number = 1; !atomic_load(&w->s->stop); number++) {
        size_t i = below(&w->random, keys), rest = keys - i;
        uint64_t sort = below(&w->random, 10);
        if (sort == 0)
            delete_own(w, i);
        else
            put_own(w, i, number, sort == 1);
        if (below(&w->random, keys / 6) == 0)
            delete_own_range(w, i, i + 1 + below(&w->random, rest < most_deleted ? rest : most_deleted));
        check_own(w, i);
        check_own(w, below(&w->random, keys));
    }
    return NULL;
}

struct answer {
    uint64_t *last;
    _Atomic uint32_t *open;
    velocity_batch *batch;
};

static void answered(void *arg, velocity_status status, uint64_t sequence) {
    struct answer *a = arg;
    assert_int_equal(status, VELOCITY_OK);
    assert_true(sequence > *a->last);
    *a->last = sequence;
    velocity_batch_free(a->batch);
    _Atomic uint32_t *open = a->open;
    free(a);
    atomic_fetch_sub(open, 1);
}

static velocity_batch *set_batch(size_t set, uint32_t number) {
    uint8_t value[VALUE_MAX];
    char key[32];
    velocity_batch *batch = velocity_batch_new();
    assert_non_null(batch);
    size_t size = make_value(value, number);
    for (size_t i = 0; i < SET_KEYS; i++)
        velocity_batch_put(batch, set_key(key, set, i), velocity_bytes(value, size), NULL);
    return batch;
}

static void *write_sets(void *arg) {
    struct worker *w = arg;
    uint64_t last = 0;
    _Atomic uint32_t open = 0;
    while (!atomic_load(&w->s->stop)) {
        velocity_batch *batch = set_batch(below(&w->random, SETS), ++w->s->set_number);
        if (below(&w->random, 4) == 0) {
            OK(velocity_write(w->s->db, batch, NULL, NULL));
            velocity_batch_free(batch);
            continue;
        }
        while (atomic_load(&open) >= ASYNC_DEPTH) sched_yield();
        struct answer *a = malloc(sizeof *a);
        assert_non_null(a);
        *a = (struct answer){&last, &open, batch};
        atomic_fetch_add(&open, 1);
        OK(velocity_write_async(w->s->db, batch, NULL, answered, a));
    }
    while (atomic_load(&open)) sched_yield();
    return NULL;
}

/* ---- who reads -----------------------------------------------------------------------------------------------------
 */

static uint32_t read_set(velocity *db, const velocity_snapshot *snapshot, size_t set) {
    char keys[SET_KEYS][32];
    velocity_slice slices[SET_KEYS];
    velocity_value values[SET_KEYS];
    velocity_status statuses[SET_KEYS];
    velocity_read_options options = velocity_read_options_default();
    options.snapshot = snapshot;
    for (size_t i = 0; i < SET_KEYS; i++) slices[i] = set_key(keys[i], set, i);
    OK(velocity_get_many(db, &options, SET_KEYS, slices, values, statuses));
    uint32_t number = 0;
    for (size_t i = 0; i < SET_KEYS; i++) {
        assert_int_equal(statuses[i], statuses[0]);
        if (statuses[i]) continue;
        uint32_t one = number_of(velocity_bytes(values[i].data, values[i].size));
        if (i > 0) assert_int_equal(one, number);
        number = one;
        velocity_value_release(&values[i]);
    }
    return number;
}

static void *read_sets(void *arg) {
    struct worker *w = arg;
    uint32_t newest[SETS] = {0};
    while (!atomic_load(&w->s->stop)) {
        size_t set = below(&w->random, SETS);
        uint32_t number = read_set(w->s->db, NULL, set);
        assert_true(number >= newest[set]);
        newest[set] = number;
        atomic_fetch_add(&w->s->reads, 1);
    }
    return NULL;
}

/* A hash of everything that the iterator shows, which does not depend on the direction; checks the sets on the way. */
static uint64_t scan(velocity_iterator *it, bool reverse) {
    uint64_t hash = 0;
    uint32_t first[SETS] = {0}, count[SETS] = {0};
    char last[32] = "";
    for (; velocity_iterator_valid(it); velocity_iterator_next(it)) {
        velocity_slice key = velocity_iterator_key(it);
        char text[32] = "";
        assert_true(key.size < sizeof text);
        memcpy(text, key.data, key.size);
        if (*last) assert_true(reverse ? strcmp(text, last) < 0 : strcmp(text, last) > 0);
        memcpy(last, text, sizeof last);
        uint32_t number = number_of(velocity_iterator_value(it));
        uint64_t mixed = number + velocity_iterator_sequence(it) * UINT64_C(0x9e3779b97f4a7c15);
        for (const char *c = text; *c; c++) mixed = mixed * 31 + (uint8_t)*c;
        hash += mixed * (mixed | 1);
        if (strncmp(text, "set/", 4) != 0) continue;
        size_t set = (size_t)strtoul(strrchr(text, '/') + 1, NULL, 10);
        if (count[set]++) assert_int_equal(number, first[set]);
        first[set] = number;
    }
    OK(velocity_iterator_status(it));
    for (size_t i = 0; i < SETS; i++) assert_true(count[i] == 0 || count[i] == SET_KEYS);
    return hash;
}

static uint64_t scan_database(velocity *db, const velocity_snapshot *snapshot, bool reverse) {
    velocity_range range = velocity_range_default();
    range.snapshot = snapshot;
    range.reverse = reverse;
    velocity_iterator *it = velocity_iterator_new(db, &range);
    uint64_t hash = scan(it, reverse);
    velocity_iterator_free(it);
    return hash;
}

static void *scan_snapshots(void *arg) {
    struct worker *w = arg;
    velocity *db = w->s->db;
    while (!atomic_load(&w->s->stop)) {
        velocity_snapshot *snapshot = velocity_snapshot_new(db);
        assert_non_null(snapshot);
        uint64_t hash = scan_database(db, snapshot, below(&w->random, 2));
        size_t set = below(&w->random, SETS);
        uint32_t number = read_set(db, snapshot, set);
        for (int i = 0; i < 3; i++) {
            assert_true(scan_database(db, snapshot, i % 2) == hash);
            assert_int_equal(read_set(db, snapshot, set), number);
        }
        velocity_snapshot_free(snapshot);
        atomic_fetch_add(&w->s->scans, 1);
    }
    return NULL;
}

/* There and back again from random places, beside whatever is written. */
static void *wander(void *arg) {
    struct worker *w = arg;
    char key[32];
    while (!atomic_load(&w->s->stop)) {
        velocity_range range = velocity_range_default();
        range.reverse = below(&w->random, 2);
        velocity_iterator *it = velocity_iterator_new(w->s->db, &range);
        for (int i = 0; i < 20; i++) {
            velocity_iterator_seek(it, own_key(key, below(&w->random, WRITERS), below(&w->random, w->s->own_keys)));
            if (!velocity_iterator_valid(it)) continue;
            char here[32] = "";
            velocity_slice at = velocity_iterator_key(it);
            memcpy(here, at.data, at.size);
            uint32_t number = number_of(velocity_iterator_value(it));
            velocity_iterator_next(it);
            if (!velocity_iterator_valid(it)) continue;
            velocity_iterator_prev(it);
            assert_true(velocity_iterator_valid(it));
            at = velocity_iterator_key(it);
            assert_int_equal(at.size, strlen(here));
            assert_memory_equal(at.data, here, at.size);
            assert_int_equal(number_of(velocity_iterator_value(it)), number);
        }
        OK(velocity_iterator_status(it));
        velocity_iterator_free(it);
    }
    return NULL;
}

/* ---- who tidies up -------------------------------------------------------------------------------------------------
 */

struct patience {
    uint64_t calls; /* after which it ends; 0: never */
    uint64_t done;
};

static bool lose_patience(void *arg, uint64_t done, uint64_t total) {
    struct patience *p = arg;
    assert_true(done >= p->done && done <= total);
    p->done = done;
    return p->calls == 0 || --p->calls > 0;
}

static void compact(struct worker *w) {
    velocity_range range = velocity_range_default();
    size_t keys = w->s->own_keys, from = below(&w->random, keys), to = from + below(&w->random, keys - from);
    char start[32], end[32];
    if (below(&w->random, 2)) range.start = own_key(start, below(&w->random, WRITERS), from);
    if (below(&w->random, 2)) range.end = own_key(end, WRITERS - 1, to);
    bool ends = below(&w->random, 3) == 0;
    struct patience patience = {.calls = ends ? 1 + below(&w->random, 20) : 0};
    velocity_status status = velocity_compact_with(w->s->db, &range, lose_patience, &patience);
    if (!ends || patience.calls)
        OK(status);
    else
        assert_int_equal(status, VELOCITY_INCOMPLETE);
}

/* A copy is of one instant, and a database as others are. */
static void copy(struct worker *w) {
    velocity *db;
    char *path = strdup("stress_copy.XXXXXX");
    void *state = path;
    assert_true(path && mkdtemp(path) && rmdir(path) == 0);
    OK(velocity_checkpoint(w->s->db, path));
    OK(velocity_open(path, &w->s->options, &db));
    uint64_t hash = scan_database(db, NULL, false);
    OK(velocity_compact(db, NULL));
    assert_true(scan_database(db, NULL, true) == hash);
    OK(velocity_close(db));
    assert_int_equal(folder_teardown(&state), 0);
}

static void *tidy(void *arg) {
    struct worker *w = arg;
    velocity *db = w->s->db;
    while (!atomic_load(&w->s->stop)) {
        velocity_stats stats = {.struct_size = sizeof stats};
        switch (below(&w->random, 12)) {
        case 0:
        case 1:
        case 2:
        case 3: compact(w); break;
        case 4:
        case 5: OK(velocity_flush(db)); break;
        case 6: assert_int_equal(velocity_close(db), VELOCITY_BUSY); break;
        case 7: copy(w); break;
        default: OK(velocity_stats_get(db, &stats)); break;
        }
        env_sleep_us(2000);
    }
    return NULL;
}

/* ---- lives ---------------------------------------------------------------------------------------------------------
 */

static void check_all(struct stress *s, struct worker *writers) {
    for (size_t w = 0; w < WRITERS; w++)
        for (size_t i = 0; i < s->own_keys; i++) check_own(&writers[w], i);
    uint64_t hash = scan_database(s->db, NULL, false);
    assert_true(scan_database(s->db, NULL, true) == hash);
}

static void live(struct stress *s, uint64_t seed, uint64_t milliseconds) {
    void *(*const roles[])(void *) = {write_own_keys, write_own_keys, write_own_keys, write_sets, read_sets,
                                      scan_snapshots, wander,         tidy,           tidy};
    enum { THREADS = sizeof roles / sizeof *roles };
    struct worker workers[THREADS];
    velocity_snapshot *handle = velocity_snapshot_new(s->db); /* keeps tidy's close from closing */
    assert_non_null(handle);
    atomic_store(&s->stop, false);
    for (size_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.s = s, .index = i, .random = seed * 1000 + i + 1};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, roles[i], &workers[i]), 0);
    }
    env_sleep_us(milliseconds * 1000);
    atomic_store(&s->stop, true);
    for (size_t i = 0; i < THREADS; i++) pthread_join(workers[i].thread, NULL);
    velocity_snapshot_free(handle);
    check_all(s, workers);
}

static velocity_options small_options(velocity_durability durability) {
    velocity_options options = velocity_options_default();
    options.memtable_bytes = 64 << 10;
    options.table_bytes = 64 << 10;
    options.cache_bytes = 256 << 10;
    options.block_bytes = 1024;
    options.compaction_threshold = 2;
    options.max_open_files = 16;
    options.durability = durability;
    options.interval_ms = 5;
    return options;
}

static void stress(const char *folder, const velocity_options *options, size_t own_keys) {
    const char *text = getenv("STRESS_MS");
    static struct stress s;
    memset(&s, 0, sizeof s);
    s.options = *options;
    s.own_keys = own_keys;
    for (uint64_t life = 0; life < LIVES; life++) {
        struct worker owners[WRITERS];
        for (size_t i = 0; i < WRITERS; i++) owners[i] = (struct worker){.s = &s, .index = i};
        s.options.value_log_threshold = life % 2 ? 0 : 200;
        OK(velocity_open(folder, &s.options, &s.db));
        if (life > 0) check_all(&s, owners);
        for (size_t i = 0; i < WRITERS * own_keys && life == 0; i++)
            put_own(&owners[i % WRITERS], i / WRITERS, 1, false);
        live(&s, life + 1, text ? strtoull(text, NULL, 10) : LIFE_MS);
        OK(velocity_close(s.db));
    }
    assert_true(atomic_load(&s.reads) > 0 && atomic_load(&s.scans) > 0);
}

static void everything_at_once_keeps_every_promise(void **state) {
    velocity_options options = small_options(VELOCITY_DURABILITY_OS);
    stress(*state, &options, FEW_KEYS);
}

static void everything_at_once_beside_syncs_on_a_timer(void **state) {
    velocity_options options = small_options(VELOCITY_DURABILITY_INTERVAL);
    options.compression = VELOCITY_COMPRESSION_ZSTD; /* many threads at the ciphers and unpackers of few tables */
    options.encryption_key = velocity_bytes("thirty-two bytes for all threads", 32);
    stress(*state, &options, FEW_KEYS);
}

static void everything_at_once_with_every_write_on_disk(void **state) {
    velocity_options options = small_options(VELOCITY_DURABILITY_ALWAYS);
    stress(*state, &options, FEW_KEYS);
}

static void everything_at_once_while_much_is_compacted_in_portions(void **state) {
    velocity_options options = small_options(VELOCITY_DURABILITY_OS);
    options.compression = VELOCITY_COMPRESSION_NONE;
    options.memtable_bytes = 256 << 10;
    stress(*state, &options, MANY_KEYS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(everything_at_once_keeps_every_promise),
        TEST_IN_FOLDER(everything_at_once_beside_syncs_on_a_timer),
        TEST_IN_FOLDER(everything_at_once_with_every_write_on_disk),
        TEST_IN_FOLDER(everything_at_once_while_much_is_compacted_in_portions),
    };
    cmocka_set_test_filter(getenv("TEST")); /* TEST=*portions* runs that alone */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
