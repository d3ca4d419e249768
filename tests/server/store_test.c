/* store_test.c - scans through the store: clipped to prefixes in both directions as a filter would, keys only, stopped.
 */
#include "tests/server/store_fixture.h"

enum { KEYS = 600, ROUNDS = 4000, PREFIXES_MAX = 6, KEY_BYTES_MAX = 6 };

static uint64_t seed = 88172645463325252;

static size_t below(size_t limit) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (size_t)(seed >> 11) % limit;
}

struct text {
    char bytes[KEY_BYTES_MAX];
    size_t size;
};

/* Few letters, the lowest and the highest among them, so that many begin one another. */
static struct text any_text(size_t least) {
    static const char letters[] = {0, 'a', 'b', (char)0xff};
    struct text t = {.size = least + below(KEY_BYTES_MAX + 1 - least)};
    for (size_t i = 0; i < t.size; i++) t.bytes[i] = letters[below(sizeof letters)];
    return t;
}

static velocity_slice slice_of(const struct text *t) {
    return velocity_bytes(t->bytes, t->size);
}

static int by_bytes(const void *a, const void *b) {
    return slice_compare(slice_of(a), slice_of(b));
}

/* Sorted, none of which begins with another. */
static size_t any_prefixes(struct text texts[PREFIXES_MAX]) {
    size_t wanted = 1 + below(PREFIXES_MAX), count = 0;
    for (size_t i = 0; i < wanted; i++) texts[i] = any_text(1);
    for (size_t i = 0; i < wanted; i++) texts[i].size = 1 + below(texts[i].size < 3 ? texts[i].size : 3);
    qsort(texts, wanted, sizeof *texts, by_bytes);
    for (size_t i = 0; i < wanted; i++)
        if (!count || !slice_starts_with(slice_of(&texts[i]), slice_of(&texts[count - 1]))) texts[count++] = texts[i];
    return count;
}

struct seen {
    struct text keys[KEYS];
    size_t count, limit;
    uint64_t value_bytes, size_bytes;
};

static bool no_value(void *arg, uint32_t flags, size_t value_size) {
    (void)arg, (void)flags, (void)value_size;
    return false;
}

static bool note(void *arg, const struct store_row *row) {
    struct seen *seen = arg;
    if (seen->count == seen->limit) return false;
    struct text *t = &seen->keys[seen->count++];
    t->size = row->key.size;
    memcpy(t->bytes, row->key.data, row->key.size);
    seen->value_bytes += row->value.size;
    seen->size_bytes += row->value_size;
    return true;
}

/* Different keys, ascending. */
static size_t fill(struct fixture *f, struct text keys[KEYS]) {
    size_t count = 0;
    for (size_t i = 0; i < KEYS; i++) keys[i] = any_text(1);
    qsort(keys, KEYS, sizeof *keys, by_bytes);
    for (size_t i = 0; i < KEYS; i++) {
        if (count && slice_equal(slice_of(&keys[count - 1]), slice_of(&keys[i]))) continue;
        keys[count++] = keys[i];
        assert_int_equal(velocity_put(f->db, slice_of(&keys[i]), LITERAL("value")), VELOCITY_OK);
        if (i == KEYS / 2) assert_int_equal(velocity_flush(f->db), VELOCITY_OK);
    }
    return count;
}

static bool is_wanted(const struct store_scan *scan, velocity_slice key) {
    bool clipped = scan->prefix_count != 0;
    for (size_t i = 0; i < scan->prefix_count; i++)
        if (slice_starts_with(key, scan->prefixes[i])) clipped = false;
    if (clipped || !slice_starts_with(key, scan->prefix)) return false;
    if (scan->start.data && slice_compare(key, scan->start) < 0) return false;
    return !scan->end.data || slice_compare(key, scan->end) < 0;
}

static void expect_as_filtered(const struct store_scan *scan, const struct seen *seen, const struct text *keys,
                               size_t count) {
    size_t shown = 0, wanted = 0;
    for (size_t i = 0; i < count; i++) {
        const struct text *key = &keys[scan->reverse ? count - 1 - i : i];
        if (!is_wanted(scan, slice_of(key))) continue;
        if (wanted++ >= seen->limit) continue;
        assert_true(shown < seen->count);
        assert_slice(slice_of(&seen->keys[shown++]), slice_of(key));
    }
    assert_int_equal(seen->count, shown);
    assert_int_equal(scan->complete, wanted <= seen->limit);
}

static void a_clipped_scan_shows_what_a_filter_would_in_both_directions(void **state) {
    struct fixture *f = *state;
    static struct text keys[KEYS];
    static struct seen seen;
    size_t count = fill(f, keys), shown = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct text texts[PREFIXES_MAX], start = any_text(1), end = any_text(1), prefix = any_text(0);
        velocity_slice prefixes[PREFIXES_MAX];
        size_t prefix_count = below(5) ? any_prefixes(texts) : 0;
        for (size_t i = 0; i < prefix_count; i++) prefixes[i] = slice_of(&texts[i]);
        prefix.size = below(prefix.size + 1) / 2;
        struct store_scan scan = {.prefixes = prefixes,
                                  .prefix_count = prefix_count,
                                  .reverse = below(2),
                                  .wants_value = below(2) ? no_value : NULL,
                                  .row = note,
                                  .arg = &seen};
        if (below(2)) scan.start = slice_of(&start);
        if (below(2)) scan.end = slice_of(&end);
        if (below(2)) scan.prefix = slice_of(&prefix);
        seen = (struct seen){.limit = below(3) ? KEYS : below(20)};
        assert_int_equal(f->store->operations->scan(f->store, &scan), VELOCITY_OK);
        expect_as_filtered(&scan, &seen, keys, count);
        assert_int_equal(scan.version, count);
        assert_int_equal(seen.size_bytes, 5 * seen.count);
        assert_int_equal(seen.value_bytes, scan.wants_value ? 0 : 5 * seen.count);
        shown += seen.count;
    }
    assert_true(shown > ROUNDS);
}

/* As a listing does that shows what begins alike up to its first "a" as one. */
struct folded {
    struct store_scan *scan;
    struct text shown[KEYS], fold;
    size_t count;
};

static struct text fold_of(velocity_slice key) {
    struct text t = {.size = key.size < KEY_BYTES_MAX ? key.size : KEY_BYTES_MAX};
    memcpy(t.bytes, key.data, t.size);
    const char *a = memchr(t.bytes, 'a', t.size);
    if (a) t.size = (size_t)(a + 1 - t.bytes);
    return t;
}

static bool fold(void *arg, const struct store_row *row) {
    struct folded *folded = arg;
    folded->fold = fold_of(row->key);
    folded->shown[folded->count++] = folded->fold;
    if (memchr(row->key.data, 'a', row->key.size)) folded->scan->pass = slice_of(&folded->fold);
    return true;
}

static void what_is_passed_over_is_shown_once_in_both_directions_and_clipped(void **state) {
    struct fixture *f = *state;
    static struct text keys[KEYS];
    static struct folded folded;
    size_t count = fill(f, keys), folds = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct text texts[PREFIXES_MAX], start = any_text(1);
        velocity_slice prefixes[PREFIXES_MAX];
        size_t prefix_count = below(3) ? any_prefixes(texts) : 0, at = 0;
        for (size_t i = 0; i < prefix_count; i++) prefixes[i] = slice_of(&texts[i]);
        struct store_scan scan = {
            .prefixes = prefixes, .prefix_count = prefix_count, .reverse = below(2), .row = fold, .arg = &folded};
        if (below(2)) scan.start = slice_of(&start);
        folded = (struct folded){.scan = &scan};
        assert_int_equal(f->store->operations->scan(f->store, &scan), VELOCITY_OK);
        for (size_t i = 0; i < count; i++) {
            velocity_slice key = slice_of(&keys[scan.reverse ? count - 1 - i : i]);
            if (!is_wanted(&scan, key)) continue;
            struct text expected = fold_of(key);
            if (at && memchr(expected.bytes, 'a', expected.size) &&
                slice_equal(slice_of(&expected), slice_of(&folded.shown[at - 1])))
                continue;
            assert_true(at < folded.count);
            assert_slice(slice_of(&folded.shown[at++]), slice_of(&expected));
        }
        assert_int_equal(folded.count, at);
        assert_true(scan.complete);
        folds += at;
    }
    assert_true(folds > ROUNDS);
}

static void what_is_passed_over_is_not_read(void **state) {
    struct fixture *f = *state;
    static struct folded folded;
    char key[32], value[1000] = {0};
    for (int i = 0; i < 20000; i++) {
        (void)snprintf(key, sizeof key, "%ca%08d", i < 10000 ? 'b' : 'm', i);
        assert_int_equal(velocity_put(f->db, velocity_str(key), velocity_bytes(value, sizeof value)), VELOCITY_OK);
    }
    assert_int_equal(velocity_compact(f->db, NULL), VELOCITY_OK);
    velocity_stats before = {.struct_size = sizeof before}, after = {.struct_size = sizeof after};
    assert_int_equal(velocity_stats_get(f->db, &before), VELOCITY_OK);
    for (int reverse = 0; reverse < 2; reverse++) {
        struct store_scan scan = {.reverse = reverse, .wants_value = no_value, .row = fold, .arg = &folded};
        folded = (struct folded){.scan = &scan};
        assert_int_equal(f->store->operations->scan(f->store, &scan), VELOCITY_OK);
        assert_int_equal(folded.count, 2);
        assert_true(scan.complete);
    }
    assert_int_equal(velocity_stats_get(f->db, &after), VELOCITY_OK);
    uint64_t blocks = after.cache_hits + after.cache_misses - before.cache_hits - before.cache_misses;
    assert_in_range(blocks, 2, 60); /* of some 5,000 */
}

/* A million keys between two prefixes would take long to step over: counting what a scan looks at tells. */
static void what_lies_between_prefixes_is_not_read(void **state) {
    struct fixture *f = *state;
    char key[32], value[1000] = {0};
    for (int i = 0; i < 20000; i++) {
        (void)snprintf(key, sizeof key, "%c%08d", i < 10 ? 'a' : i < 19990 ? 'm' : 'z', i);
        assert_int_equal(velocity_put(f->db, velocity_str(key), velocity_bytes(value, sizeof value)), VELOCITY_OK);
    }
    assert_int_equal(velocity_compact(f->db, NULL), VELOCITY_OK);
    velocity_stats before = {.struct_size = sizeof before}, after = {.struct_size = sizeof after};
    velocity_slice prefixes[] = {LITERAL("a"), LITERAL("z")};
    static struct seen seen;
    assert_int_equal(velocity_stats_get(f->db, &before), VELOCITY_OK);
    for (int reverse = 0; reverse < 2; reverse++) {
        struct store_scan scan = {.prefixes = prefixes,
                                  .prefix_count = 2,
                                  .reverse = reverse,
                                  .wants_value = no_value,
                                  .row = note,
                                  .arg = &seen};
        seen = (struct seen){.limit = KEYS};
        seen.limit = 25;
        assert_int_equal(f->store->operations->scan(f->store, &scan), VELOCITY_OK);
        assert_int_equal(seen.count, 20);
        assert_true(scan.complete);
    }
    assert_int_equal(velocity_stats_get(f->db, &after), VELOCITY_OK);
    uint64_t blocks = after.cache_hits + after.cache_misses - before.cache_hits - before.cache_misses;
    assert_in_range(blocks, 2, 60); /* of some 5,000 */
}

static void a_value_that_is_not_wanted_and_stands_apart_is_not_read(void **state) {
    struct fixture *f = *state;
    static char value[100000];
    static struct seen seen;
    for (int i = 0; i < 20; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%05d", i);
        assert_int_equal(velocity_put(f->db, velocity_bytes(key, 5), velocity_bytes(value, sizeof value)), VELOCITY_OK);
    }
    assert_int_equal(velocity_compact(f->db, NULL), VELOCITY_OK);
    struct store_scan scan = {.wants_value = no_value, .row = note, .arg = &seen};
    for (int round = 0; round < 2; round++) {
        velocity_stats stats = {.struct_size = sizeof stats};
        scan.wants_value = round == 0 ? no_value : NULL;
        seen = (struct seen){.limit = KEYS};
        assert_int_equal(f->store->operations->scan(f->store, &scan), VELOCITY_OK);
        assert_int_equal(seen.size_bytes, 20 * sizeof value);
        assert_int_equal(seen.value_bytes, round ? 20 * sizeof value : 0);
        assert_int_equal(velocity_stats_get(f->db, &stats), VELOCITY_OK);
        if (round == 0) assert_true(stats.cache_used_bytes < sizeof value);
    }
}

/* ---- passing over --------------------------------------------------------------------------------------------------
 */

/* The beginnings of keys, each noted once: as a listing with a delimiter does, whose place is the first `depth` bytes.
 */
struct folding {
    struct store_scan *scan;
    struct seen seen;
    size_t depth, rows;
};

static bool fold_at_depth(void *arg, const struct store_row *row) {
    struct folding *folding = arg;
    struct seen *seen = &folding->seen;
    folding->rows++;
    if (seen->count == seen->limit) return false;
    struct text *t = &seen->keys[seen->count++];
    t->size = row->key.size < folding->depth ? row->key.size : folding->depth;
    memcpy(t->bytes, row->key.data, t->size);
    if (row->key.size >= folding->depth) folding->scan->pass = slice_of(t);
    return true;
}

static void expect_folded(const struct store_scan *scan, const struct folding *folding, const struct text *keys,
                          size_t count) {
    struct text last = {.size = SIZE_MAX};
    size_t shown = 0, wanted = 0;
    for (size_t i = 0; i < count; i++) {
        struct text key = keys[scan->reverse ? count - 1 - i : i];
        if (!is_wanted(scan, slice_of(&key))) continue;
        if (key.size > folding->depth) key.size = folding->depth;
        if (last.size != SIZE_MAX && key.size == folding->depth && slice_equal(slice_of(&last), slice_of(&key)))
            continue;
        last = key;
        if (wanted++ >= folding->seen.limit) continue;
        assert_true(shown < folding->seen.count);
        assert_slice(slice_of(&folding->seen.keys[shown++]), slice_of(&key));
    }
    assert_int_equal(folding->seen.count, shown);
    assert_int_equal(scan->complete, wanted <= folding->seen.limit);
    /* One more, where the limit was reached. */
    assert_in_range(folding->rows, shown, shown + 1);
}

static void what_a_row_passes_over_is_not_shown_in_either_direction(void **state) {
    struct fixture *f = *state;
    static struct text keys[KEYS];
    static struct folding folding;
    size_t count = fill(f, keys), passed = 0;
    for (int round = 0; round < ROUNDS; round++) {
        struct text texts[PREFIXES_MAX], start = any_text(1), end = any_text(1);
        velocity_slice prefixes[PREFIXES_MAX];
        size_t prefix_count = below(2) ? any_prefixes(texts) : 0;
        for (size_t i = 0; i < prefix_count; i++) prefixes[i] = slice_of(&texts[i]);
        struct store_scan scan = {.prefixes = prefixes,
                                  .prefix_count = prefix_count,
                                  .reverse = below(2),
                                  .wants_value = no_value,
                                  .row = fold_at_depth,
                                  .arg = &folding};
        if (below(3) == 0) scan.start = slice_of(&start);
        if (below(3) == 0) scan.end = slice_of(&end);
        folding.scan = &scan;
        folding.depth = 1 + below(3);
        folding.rows = 0;
        folding.seen = (struct seen){.limit = below(3) ? KEYS : below(8)};
        assert_int_equal(f->store->operations->scan(f->store, &scan), VELOCITY_OK);
        expect_folded(&scan, &folding, keys, count);
        passed += folding.seen.count;
    }
    assert_true(passed > ROUNDS);
}

/* ---- ranges and expiry ---------------------------------------------------------------------------------------------
 */

static void write_one(struct fixture *f, struct store_operation operation, velocity_status expected) {
    struct store_batch batch = {.operations = &operation, .operation_count = 1};
    struct store_commit commit = {0};
    f->store->operations->write(f->store, &batch, &commit);
    assert_int_equal(commit.status, expected);
    store_commit_free(&commit);
}

static void a_range_delete_takes_what_lies_between_its_bounds_or_everything(void **state) {
    struct fixture *f = *state;
    static char greatest[16385];
    memset(greatest, 0xFF, sizeof greatest);
    velocity_slice keys[] = {velocity_bytes("", 1),
                             LITERAL("a"),
                             LITERAL("b"),
                             LITERAL("b\0"),
                             LITERAL("c"),
                             LITERAL("\xff\xff"),
                             velocity_bytes(greatest, sizeof greatest)};
    static const struct {
        velocity_slice start, end;
        const char *left; /* by number */
    } ranges[] = {
        {{"b", 1}, {"c", 1}, "01456"}, {{NULL, 0}, {"b", 1}, "23456"},    {{"b", 1}, {NULL, 0}, "01"},
        {{NULL, 0}, {NULL, 0}, ""},    {{"bb", 2}, {"bc", 2}, "0123456"},
    };
    for (size_t round = 0; round < COUNT(ranges); round++) {
        for (size_t i = 0; i < COUNT(keys); i++)
            write_one(f, (struct store_operation){.action = STORE_PUT, .key = keys[i]}, VELOCITY_OK);
        write_one(f,
                  (struct store_operation){
                      .action = STORE_DELETE_RANGE, .key = ranges[round].start, .end = ranges[round].end},
                  VELOCITY_OK);
        char left[COUNT(keys) + 1] = "";
        for (size_t i = 0; i < COUNT(keys); i++)
            if (velocity_contains(f->db, keys[i]) == VELOCITY_OK) strncat(left, &"0123456"[i], 1);
        assert_string_equal(left, ranges[round].left);
    }
    write_one(f, (struct store_operation){.action = STORE_DELETE_RANGE, .key = LITERAL("b"), .end = LITERAL("a")},
              VELOCITY_INVALID);
}

static void what_is_put_with_an_expiry_has_it(void **state) {
    struct fixture *f = *state;
    static struct seen seen;
    struct store_operation put = {.action = STORE_PUT, .key = LITERAL("a"), .expires_at_ms = INT64_C(4102444800000)};
    velocity_value value = {0};
    write_one(f, put, VELOCITY_OK);
    assert_int_equal(f->store->operations->get(f->store, put.key, false, &value), VELOCITY_OK);
    assert_int_equal(value.expires_at_ms, put.expires_at_ms);
    f->store->operations->release(f->store, &value);
    put.expires_at_ms = 1;
    write_one(f, put, VELOCITY_OK);
    struct store_scan scan = {.row = note, .arg = &seen};
    seen = (struct seen){.limit = KEYS};
    assert_int_equal(f->store->operations->scan(f->store, &scan), VELOCITY_OK);
    assert_int_equal(seen.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_clipped_scan_shows_what_a_filter_would_in_both_directions),
        TEST(what_lies_between_prefixes_is_not_read),
        TEST(what_is_passed_over_is_shown_once_in_both_directions_and_clipped),
        TEST(what_is_passed_over_is_not_read),
        TEST(a_value_that_is_not_wanted_and_stands_apart_is_not_read),
        TEST(what_a_row_passes_over_is_not_shown_in_either_direction),
        TEST(a_range_delete_takes_what_lies_between_its_bounds_or_everything),
        TEST(what_is_put_with_an_expiry_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
