/*
 * memtable_test.c - what memtable.h promises, against a plain reference: an array of all versions, sorted by key and,
 * within a key, newest first.
 */
#include "engine/arena.h"
#include "engine/env.h"
#include "engine/memtable.h"
#include "engine/slice.h"
#include "testing.h"

/* ---- keys ------------------------------------------------------------------------------------------------------ */

#define LONGEST_KEY VELOCITY_MAX_KEY_BYTES

/* Writes the i-th key of a shape, answers its size. */
typedef size_t (*key_shape)(uint64_t *state, size_t i, uint8_t *out);

static size_t random_key(uint64_t *state, size_t i, uint8_t *out) {
    (void)i;
    size_t size = 1 + below(state, 24);
    for (size_t at = 0; at < size; at++) out[at] = (uint8_t)next_random(state);
    return size;
}

/* Few letters, among them 0 and 0xFF: keys that begin others, and zero padding that could be mistaken for bytes. */
static size_t extreme_key(uint64_t *state, size_t i, uint8_t *out) {
    static const uint8_t letters[] = {0x00, 0x01, 0xFF, 'a'};
    (void)i;
    size_t size = 1 + below(state, 14);
    for (size_t at = 0; at < size; at++) out[at] = letters[below(state, below(state, 4) + 1)];
    return size;
}

static size_t package_key(uint64_t *state, size_t i, uint8_t *out) {
    static const char *const starts[] = {"pkg:lib", "pkg:libreoffice-l10n-", "pkg:python3-", "pkg:", "user:"};
    (void)i;
    return (size_t)snprintf((char *)out, 64, "%s%llu", starts[below(state, 5)], (unsigned long long)below(state, 9000));
}

/* 200 shared bytes, and sometimes fewer of them, so that prefixes must be given up again and again. */
static size_t shared_prefix_key(uint64_t *state, size_t i, uint8_t *out) {
    (void)i;
    size_t shared = below(state, 40) ? 200 : below(state, 200);
    memset(out, 'p', shared);
    return shared + random_key(state, i, out + shared);
}

static size_t shrinking_prefix_key(uint64_t *state, size_t i, uint8_t *out) {
    (void)state;
    size_t size = i < 3000 ? 3000 - i : i;
    memset(out, 'a', size);
    return size;
}

static size_t ascending_key(uint64_t *state, size_t i, uint8_t *out) {
    (void)state;
    return (size_t)snprintf((char *)out, 64, "user:%010zu", i);
}

static size_t descending_key(uint64_t *state, size_t i, uint8_t *out) {
    (void)state;
    return (size_t)snprintf((char *)out, 64, "user:%010zu", (size_t)1000000 - i);
}

/* Several ascending runs side by side. */
static size_t interleaved_key(uint64_t *state, size_t i, uint8_t *out) {
    return (size_t)snprintf((char *)out, 64, "tenant-%02zu/%010zu", below(state, 7), i);
}

static size_t long_key(uint64_t *state, size_t i, uint8_t *out) {
    static const size_t sizes[] = {1, 7, 8, 9, 255, 256, 4096, 65534, 65535};
    size_t size = sizes[below(state, 9)];
    memset(out, (int)(0xFE + below(state, 2)), size);
    for (size_t at = size < 4 ? 0 : size - 4; at < size; at++) out[at] = (uint8_t)next_random(state);
    (void)i;
    return size;
}

/* ---- the reference --------------------------------------------------------------------------------------------- */

struct reference {
    struct entry *entries; /* owns key and value bytes */
    size_t count;
    bool sorted;
};

static int compare_entries(const void *left, const void *right) {
    const struct entry *a = left, *b = right;
    int order = slice_compare(a->key, b->key);
    return order ? order : (a->sequence < b->sequence) - (a->sequence > b->sequence);
}

static void *copy_of(velocity_slice s) {
    void *bytes = malloc(s.size + 1);
    assert_non_null(bytes);
    if (s.size) memcpy(bytes, s.data, s.size);
    return bytes;
}

static void reference_free(struct reference *reference) {
    for (size_t i = 0; i < reference->count; i++) {
        free((void *)(uintptr_t)reference->entries[i].key.data);
        free((void *)(uintptr_t)reference->entries[i].value.data);
    }
    free(reference->entries);
}

/* First index whose key is >= `key`. */
static size_t reference_seek(const struct reference *reference, velocity_slice key) {
    size_t low = 0, high = reference->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (slice_compare(reference->entries[middle].key, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void assert_entry(const struct entry *got, const struct entry *want) {
    assert_true(slice_equal(got->key, want->key));
    assert_true(slice_equal(got->value, want->value));
    assert_int_equal(got->sequence, want->sequence);
    assert_int_equal(got->expires_at_ms, want->expires_at_ms);
    assert_int_equal(got->flags, want->flags);
    assert_int_equal(got->kind, want->kind);
}

/* Inserts `count` entries of a shape; about one in `overwrites` repeats an earlier key (0: none does on purpose). */
static void fill(memtable *table, struct reference *reference, key_shape shape, size_t count, size_t overwrites,
                 uint64_t *state) {
    uint8_t *key = malloc(LONGEST_KEY + 64), value[64];
    reference->entries = calloc(count, sizeof *reference->entries);
    assert_true(key && reference->entries);
    for (size_t i = 0; i < count; i++) {
        size_t size = shape(state, i, key);
        velocity_slice k = velocity_bytes(key, size), v = velocity_bytes(value, below(state, sizeof value));
        if (overwrites && i && below(state, overwrites) == 0) k = reference->entries[below(state, i)].key;
        memset(value, (int)i, sizeof value);
        bool gone = below(state, 8) == 0;
        struct entry *e = &reference->entries[i];
        *e = (struct entry){
            .key = velocity_bytes(copy_of(k), k.size),
            .value = velocity_bytes(copy_of(v), gone ? 0 : v.size),
            .sequence = 3 * (i + 1),
            .expires_at_ms = (int64_t)i * 7,
            .flags = (uint32_t)i * 13,
            .kind = gone ? ENTRY_DELETE : ENTRY_PUT,
        };
        reference->count = i + 1;
        assert_int_equal(memtable_reserve(table, 1, e->key.size + e->value.size), VELOCITY_OK);
        memtable_insert(table, e);
    }
    assert_int_equal(memtable_entries(table), count);
    qsort(reference->entries, count, sizeof *reference->entries, compare_entries);
    free(key);
}

/* ---- comparing ------------------------------------------------------------------------------------------------- */

static void assert_gets(memtable *table, const struct reference *reference, uint64_t *state) {
    struct entry got;
    for (size_t i = 0; i < reference->count; i++) {
        const struct entry *e = &reference->entries[i];
        assert_true(memtable_get(table, e->key, e->sequence, &got));
        assert_entry(&got, e);
        assert_true(memtable_get(table, e->key, e->sequence + 2, &got)); /* before any later version */
        assert_entry(&got, e);
        bool oldest = i + 1 == reference->count || !slice_equal(e[1].key, e->key);
        assert_int_equal(memtable_get(table, e->key, e->sequence - 1, &got), !oldest);
        if (!oldest) assert_entry(&got, e + 1);
    }
    for (size_t i = 0; i < 2000; i++) { /* keys that are not there: others with a byte more, less or different */
        uint8_t *key = malloc(LONGEST_KEY + 1);
        velocity_slice near = reference->entries[below(state, reference->count)].key;
        size_t size = near.size;
        memcpy(key, near.data, size);
        switch (below(state, 3)) {
        case 0: key[size++] = (uint8_t)(below(state, 2) ? 0 : next_random(state)); break;
        case 1: size -= size > 1; break;
        default: key[below(state, size)] ^= (uint8_t)(1 + below(state, 255)); break;
        }
        size_t at = reference_seek(reference, velocity_bytes(key, size));
        bool there = at < reference->count && slice_equal(reference->entries[at].key, velocity_bytes(key, size));
        assert_int_equal(memtable_get(table, velocity_bytes(key, size), UINT64_MAX, &got), there);
        if (there) assert_entry(&got, &reference->entries[at]);
        free(key);
    }
}

static void assert_at(const struct memtable_cursor *cursor, const struct reference *reference, size_t index) {
    assert_int_equal(memtable_cursor_valid(cursor), index < reference->count);
    if (index >= reference->count) return;
    struct entry got;
    memtable_cursor_entry(cursor, &got);
    assert_entry(&got, &reference->entries[index]);
}

static void assert_walks(memtable *table, const struct reference *reference) {
    struct memtable_cursor cursor;
    memtable_cursor_init(&cursor, table);
    assert_false(memtable_cursor_valid(&cursor));
    memtable_cursor_first(&cursor);
    for (size_t i = 0; i < reference->count; i++, memtable_cursor_next(&cursor)) assert_at(&cursor, reference, i);
    assert_false(memtable_cursor_valid(&cursor));
    memtable_cursor_last(&cursor);
    for (size_t i = reference->count; i-- > 0; memtable_cursor_prev(&cursor)) assert_at(&cursor, reference, i);
    assert_false(memtable_cursor_valid(&cursor));
}

/* Seeks to keys that are and that are not there, and wanders from each in both directions. */
static void assert_seeks(memtable *table, const struct reference *reference, uint64_t *state) {
    uint8_t *key = malloc(LONGEST_KEY + 1);
    struct memtable_cursor cursor;
    memtable_cursor_init(&cursor, table);
    for (size_t round = 0; round < 1500; round++) {
        velocity_slice near = reference->entries[below(state, reference->count)].key;
        size_t size = near.size;
        memcpy(key, near.data, size);
        if (below(state, 2)) key[below(state, size)] += (uint8_t)(below(state, 3) - 1);
        if (below(state, 4) == 0) key[size++] = 0;
        if (size > LONGEST_KEY) size = LONGEST_KEY;
        velocity_slice sought = velocity_bytes(key, size);
        size_t at = reference_seek(reference, sought);
        if (below(state, 2)) {
            memtable_cursor_seek(&cursor, sought);
        } else {
            memtable_cursor_seek_before(&cursor, sought);
            at--; /* before the first: SIZE_MAX, no entry */
        }
        for (size_t steps = below(state, 150); steps > 0; steps--) {
            assert_at(&cursor, reference, at);
            if (!memtable_cursor_valid(&cursor)) break;
            if ((round + steps / 20) % 2) {
                memtable_cursor_next(&cursor);
                at++;
            } else {
                memtable_cursor_prev(&cursor);
                at--;
            }
        }
        assert_at(&cursor, reference, at);
    }
    free(key);
}

static void assert_like_reference(key_shape shape, size_t count, size_t overwrites) {
    runs_in_one_thread();
    uint64_t state = UINT64_C(0x9E3779B97F4A7C15) + count;
    memtable *table = memtable_new();
    assert_non_null(table);
    struct reference reference = {0};
    fill(table, &reference, shape, count, overwrites, &state);
    assert_gets(table, &reference, &state);
    assert_walks(table, &reference);
    assert_seeks(table, &reference, &state);
    memtable_free(table);
    reference_free(&reference);
}

static void random_keys_are_found_and_walked_in_order(void **s) {
    (void)s;
    assert_like_reference(random_key, 30000, 0);
}
static void keys_of_zeros_and_255s_never_pass_for_each_other(void **s) {
    (void)s;
    assert_like_reference(extreme_key, 20000, 5);
}
static void keys_that_share_words_stay_in_order(void **s) {
    (void)s;
    assert_like_reference(package_key, 20000, 4);
}
static void a_long_shared_prefix_may_shorten_at_any_time(void **s) {
    (void)s;
    assert_like_reference(shared_prefix_key, 8000, 10);
}
static void each_key_may_be_a_prefix_of_the_one_before(void **s) {
    (void)s;
    assert_like_reference(shrinking_prefix_key, 5000, 0);
}
static void ascending_keys_stay_in_order(void **s) {
    (void)s;
    assert_like_reference(ascending_key, 30000, 0);
}
static void descending_keys_stay_in_order(void **s) {
    (void)s;
    assert_like_reference(descending_key, 30000, 20);
}
static void several_ascending_runs_stay_in_order(void **s) {
    (void)s;
    assert_like_reference(interleaved_key, 30000, 20);
}
static void keys_of_1_to_65535_bytes_are_kept_whole(void **s) {
    (void)s;
    assert_like_reference(long_key, 1500, 10);
}
static void every_version_of_an_overwritten_key_stays_readable(void **s) {
    (void)s;
    assert_like_reference(random_key, 20000, 1);
}

static void an_empty_table_has_nothing_and_costs_little(void **s) {
    (void)s;
    memtable *table = memtable_new();
    struct entry got;
    struct memtable_cursor cursor;
    memtable_cursor_init(&cursor, table);
    assert_false(memtable_get(table, velocity_str("a"), UINT64_MAX, &got));
    memtable_cursor_first(&cursor);
    assert_false(memtable_cursor_valid(&cursor));
    memtable_cursor_last(&cursor);
    assert_false(memtable_cursor_valid(&cursor));
    memtable_cursor_seek(&cursor, velocity_str("a"));
    assert_false(memtable_cursor_valid(&cursor));
    memtable_cursor_seek_before(&cursor, velocity_str("a"));
    assert_false(memtable_cursor_valid(&cursor));
    assert_int_equal(memtable_entries(table), 0);
    assert_in_range(memtable_bytes(table), 1, 2048);
    memtable_free(table);
}

/* ---- beside an inserter ---------------------------------------------------------------------------------------- */

#define SHARED_OPERATIONS 40000

struct shared {
    memtable *table;
    _Atomic uint64_t inserted; /* operations 1 to this one are in the table */
    _Atomic uint64_t failures; /* cmocka's assertions must not run in other threads */
};

/* Operation n writes this key with sequence n; one in eight overwrites an earlier operation's. */
static velocity_slice shared_key(uint64_t n, char out[96]) {
    while (n % 8 == 7) n /= 2;
    unsigned long long scrambled = (n * UINT64_C(0x9E3779B97F4A7C15)) >> 20;
    int size;
    switch (n % 3) {
    case 0: size = snprintf(out, 96, "run/%08llu", (unsigned long long)n); break;
    case 1: size = snprintf(out, 96, "pkg:lib%llx", scrambled); break;
    default: size = snprintf(out, 96, "a-rather-long-prefix-of-many-keys/and-more/%llx", scrambled); break;
    }
    return velocity_bytes(out, (size_t)size);
}

static void *run_inserter(void *arg) {
    struct shared *shared = arg;
    char key[96], value[40];
    memset(value, 'v', sizeof value);
    for (uint64_t n = 1; n <= SHARED_OPERATIONS; n++) {
        struct entry e = {
            .key = shared_key(n, key), .value = velocity_bytes(value, n % 40), .sequence = n, .kind = ENTRY_PUT};
        if (memtable_reserve(shared->table, 1, e.key.size + e.value.size) != VELOCITY_OK) {
            shared->failures++;
            break;
        }
        memtable_insert(shared->table, &e);
        atomic_store_explicit(&shared->inserted, n, memory_order_release);
    }
    return NULL;
}

static bool check_get(struct shared *shared, uint64_t inserted, uint64_t *state) {
    char key[96];
    struct entry got;
    uint64_t n = 1 + below(state, inserted);
    velocity_slice k = shared_key(n, key);
    if (!memtable_get(shared->table, k, n, &got) || got.sequence != n || got.value.size != n % 40) return false;
    if (!memtable_get(shared->table, k, UINT64_MAX, &got) || got.sequence < n || !slice_equal(got.key, k)) return false;
    return !memtable_get(shared->table, k, 0, &got);
}

/* Walks everything; counts each of the operations up to `inserted` exactly once, in order. */
static bool check_walk(struct shared *shared, uint64_t inserted, bool backward) {
    struct memtable_cursor cursor;
    struct entry last = {0}, got;
    uint64_t seen = 0;
    memtable_cursor_init(&cursor, shared->table);
    (backward ? memtable_cursor_last : memtable_cursor_first)(&cursor);
    for (; memtable_cursor_valid(&cursor); (backward ? memtable_cursor_prev : memtable_cursor_next)(&cursor)) {
        memtable_cursor_entry(&cursor, &got);
        int order = last.key.data ? compare_entries(&last, &got) : 0;
        if (last.key.data && (backward ? order <= 0 : order >= 0)) return false;
        seen += got.sequence <= inserted;
        last = got;
    }
    return seen == inserted;
}

static bool check_seek(struct shared *shared, uint64_t inserted, uint64_t *state) {
    char key[96];
    struct memtable_cursor cursor;
    struct entry got;
    uint64_t n = 1 + below(state, inserted);
    velocity_slice k = shared_key(n, key);
    memtable_cursor_init(&cursor, shared->table);
    memtable_cursor_seek(&cursor, k);
    if (!memtable_cursor_valid(&cursor)) return false;
    memtable_cursor_entry(&cursor, &got);
    if (!slice_equal(got.key, k)) return false;
    memtable_cursor_seek_before(&cursor, k);
    if (!memtable_cursor_valid(&cursor)) return true;
    memtable_cursor_entry(&cursor, &got);
    return slice_compare(got.key, k) < 0;
}

static void *run_reader(void *arg) {
    struct shared *shared = arg;
    uint64_t state = UINT64_C(88172645463325252) ^ (uint64_t)(uintptr_t)&state, inserted = 0;
    while (inserted < SHARED_OPERATIONS && shared->failures == 0) {
        inserted = atomic_load_explicit(&shared->inserted, memory_order_acquire);
        if (inserted == 0) continue;
        bool right = true;
        for (int i = 0; i < 300 && right; i++)
            right = check_get(shared, inserted, &state) && check_seek(shared, inserted, &state);
        if (!right || !check_walk(shared, inserted, below(&state, 2))) shared->failures++;
    }
    return NULL;
}

static void readers_beside_the_inserter_miss_nothing_that_was_inserted_before(void **s) {
    (void)s;
    struct shared shared = {.table = memtable_new()};
    env_thread inserter, readers[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(env_thread_start(&readers[i], "reader", run_reader, &shared), VELOCITY_OK);
    assert_int_equal(env_thread_start(&inserter, "inserter", run_inserter, &shared), VELOCITY_OK);
    env_thread_join(inserter);
    for (int i = 0; i < 3; i++) env_thread_join(readers[i]);
    assert_int_equal(shared.failures, 0);
    assert_int_equal(memtable_entries(shared.table), SHARED_OPERATIONS);
    memtable_free(shared.table);
}

static void a_cursor_shows_once_what_stood_there_when_it_began(void **s) {
    (void)s;
    uint64_t state = 7;
    memtable *table = memtable_new();
    struct reference reference = {0};
    fill(table, &reference, random_key, 2000, 0, &state);
    struct memtable_cursor cursor;
    memtable_cursor_init(&cursor, table);
    memtable_cursor_first(&cursor);
    size_t seen = 0;
    for (uint64_t n = 0; memtable_cursor_valid(&cursor); n++, memtable_cursor_next(&cursor)) {
        struct entry got;
        memtable_cursor_entry(&cursor, &got);
        seen += got.sequence < 1000000;
        uint8_t key[64];
        struct entry e = {
            .key = velocity_bytes(key, random_key(&state, 0, key)), .sequence = 1000000 + n, .kind = ENTRY_PUT};
        assert_int_equal(memtable_reserve(table, 1, e.key.size), VELOCITY_OK);
        memtable_insert(table, &e);
    }
    assert_int_equal(seen, reference.count);
    memtable_free(table);
    reference_free(&reference);
}

/* ---- memory ---------------------------------------------------------------------------------------------------- */

static void assert_reservations_last(key_shape shape, size_t batch, size_t count) {
    uint64_t state = 42 + batch;
    memtable *table = memtable_new();
    uint8_t *key = malloc(LONGEST_KEY + 64);
    for (size_t i = 0; i < count;) {
        velocity_slice *keys = calloc(batch, sizeof *keys);
        size_t bytes = 0;
        for (size_t j = 0; j < batch; j++) {
            keys[j].size = shape(&state, i + j, key);
            keys[j].data = copy_of(velocity_bytes(key, keys[j].size));
            bytes += keys[j].size;
        }
        assert_int_equal(memtable_reserve(table, batch, bytes), VELOCITY_OK);
        env_fail_allocation(1, true);
        for (size_t j = 0; j < batch; j++) {
            struct entry e = {.key = keys[j], .sequence = ++i, .kind = ENTRY_PUT};
            memtable_insert(table, &e); /* takes what was reserved, or ends the process */
            free((void *)(uintptr_t)keys[j].data);
        }
        env_fail_allocation(0, false);
        free(keys);
    }
    assert_true(memtable_entries(table) >= count);
    memtable_free(table);
    free(key);
}

static void a_reservation_is_enough_for_any_keys(void **s) {
    (void)s;
    static const key_shape shapes[] = {random_key,           extreme_key,   package_key,    shared_prefix_key,
                                       shrinking_prefix_key, ascending_key, descending_key, interleaved_key};
    static const size_t batches[] = {1, 3, 70, 1000, 6000};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        for (size_t j = 0; j < sizeof batches / sizeof *batches; j++)
            assert_reservations_last(shapes[i], batches[j], 6000);
    }
}

static void without_memory_a_reservation_fails_and_changes_nothing(void **s) {
    (void)s;
    env_fail_allocation(1, true);
    assert_null(memtable_new());
    env_fail_allocation(2, true);
    assert_null(memtable_new());
    env_fail_allocation(0, false);
    uint64_t state = 99;
    memtable *table = memtable_new();
    struct reference reference = {0};
    fill(table, &reference, random_key, 3000, 5, &state);
    size_t bytes = memtable_bytes(table);
    env_fail_allocation(1, true);
    assert_int_equal(memtable_reserve(table, 1, 64u << 20), VELOCITY_NO_MEMORY);
    assert_int_equal(memtable_reserve(table, 1u << 20, 16u << 20), VELOCITY_NO_MEMORY);
    env_fail_allocation(0, false);
    assert_int_equal(memtable_bytes(table), bytes);
    assert_walks(table, &reference);
    assert_int_equal(memtable_reserve(table, 1, 64u << 20), VELOCITY_OK);
    assert_int_equal(memtable_bytes(table), bytes); /* reserved is not used */
    memtable_free(table);
    reference_free(&reference);
}

static size_t bytes_per_entry(key_shape shape) {
    uint64_t state = 5;
    memtable *table = memtable_new();
    uint8_t key[128], value[100] = {0};
    size_t payload = 0, count = 20000;
    for (size_t i = 0; i < count; i++) {
        size_t size = shape(&state, i, key), before = memtable_bytes(table);
        struct entry e = {velocity_bytes(key, size), velocity_bytes(value, 100), i + 1, 0, 0, ENTRY_PUT};
        assert_int_equal(memtable_reserve(table, 1, size + 100), VELOCITY_OK);
        memtable_insert(table, &e);
        assert_true(memtable_bytes(table) >= before + size + 100);
        payload += size + 100;
    }
    size_t overhead = (memtable_bytes(table) - payload) / count;
    memtable_free(table);
    return overhead;
}

static void the_memory_beside_keys_and_values_stays_small(void **s) {
    (void)s;
    assert_in_range(bytes_per_entry(ascending_key), 1, 80); /* nodes are full */
    assert_in_range(bytes_per_entry(random_key), 1, 100);   /* nodes are two thirds full */
    assert_in_range(bytes_per_entry(descending_key), 1, 80);
}

static void a_large_value_is_kept_beside_small_ones(void **s) {
    (void)s;
    size_t size = 5u << 20;
    char *value = malloc(size);
    memset(value, 'L', size);
    memtable *table = memtable_new();
    char key[32];
    for (uint64_t n = 1; n <= 300; n++) {
        struct entry e = {
            .key = velocity_bytes(key, (size_t)snprintf(key, sizeof key, "%llu", (unsigned long long)(n * 7919))),
            .value = velocity_bytes(value, n % 100 == 0 ? size : n),
            .sequence = n,
            .kind = ENTRY_PUT};
        assert_int_equal(memtable_reserve(table, 1, e.key.size + e.value.size), VELOCITY_OK);
        memtable_insert(table, &e);
    }
    assert_in_range(memtable_bytes(table), 3 * size, 3 * size + 200000);
    struct entry got;
    assert_true(memtable_get(table, velocity_str("1583800"), UINT64_MAX, &got)); /* the 200th */
    assert_true(got.value.size == size && memcmp(got.value.data, value, size) == 0);
    memtable_free(table);
    free(value);
}

static void an_arena_hands_out_separate_aligned_pieces(void **s) {
    (void)s;
    uint64_t state = 11;
    struct arena arena;
    arena_init(&arena, 16, NULL);
    uint8_t *pieces[2000];
    size_t sizes[2000], used = 0;
    for (size_t i = 0; i < 2000; i++) {
        sizes[i] = 1 + below(&state, i % 50 ? 200 : 9000);
        if (i % 10 == 0) assert_int_equal(arena_reserve(&arena, 10 * 9008), VELOCITY_OK);
        pieces[i] = arena_take(&arena, sizes[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)i, sizes[i]);
        used += arena_piece_bytes(&arena, sizes[i]);
    }
    assert_int_equal(arena.used_bytes, used);
    for (size_t i = 0; i < 2000; i++) {
        for (size_t at = 0; at < sizes[i]; at++) assert_int_equal(pieces[i][at], (uint8_t)i);
    }
    arena_free(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_table_has_nothing_and_costs_little),
        cmocka_unit_test(random_keys_are_found_and_walked_in_order),
        cmocka_unit_test(keys_of_zeros_and_255s_never_pass_for_each_other),
        cmocka_unit_test(keys_that_share_words_stay_in_order),
        cmocka_unit_test(a_long_shared_prefix_may_shorten_at_any_time),
        cmocka_unit_test(each_key_may_be_a_prefix_of_the_one_before),
        cmocka_unit_test(ascending_keys_stay_in_order),
        cmocka_unit_test(descending_keys_stay_in_order),
        cmocka_unit_test(several_ascending_runs_stay_in_order),
        cmocka_unit_test(keys_of_1_to_65535_bytes_are_kept_whole),
        cmocka_unit_test(every_version_of_an_overwritten_key_stays_readable),
        cmocka_unit_test(a_cursor_shows_once_what_stood_there_when_it_began),
        cmocka_unit_test(readers_beside_the_inserter_miss_nothing_that_was_inserted_before),
        cmocka_unit_test(a_reservation_is_enough_for_any_keys),
        cmocka_unit_test(without_memory_a_reservation_fails_and_changes_nothing),
        cmocka_unit_test(the_memory_beside_keys_and_values_stays_small),
        cmocka_unit_test(a_large_value_is_kept_beside_small_ones),
        cmocka_unit_test(an_arena_hands_out_separate_aligned_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
