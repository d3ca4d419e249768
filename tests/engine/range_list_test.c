/*
 * range_list_test.c - range deletes as lists: every key and every sequence gets the answer that looking at all range
 * deletes one by one would give, whoever asks and however they are nested.
 */
#include "engine/range_list.h"
#include "engine/slice.h"
#include "testing.h"

#include <pthread.h>

enum { RANGES_MAX = 150, KEY_BYTES = 12 };

struct ranges {
    uint8_t bytes[RANGES_MAX][2][KEY_BYTES];
    struct range_tombstone all[RANGES_MAX];
    size_t count;
};

static velocity_slice random_key(uint64_t *random, uint8_t *to) {
    return velocity_bytes(to, awkward_key(random, to));
}

/* Sequences rise, with gaps. Some are like the one before. */
static void make_ranges(struct ranges *r, uint64_t *random, size_t count) {
    uint64_t sequence = 1;
    for (r->count = 0; r->count < count;) {
        size_t i = r->count;
        struct range_tombstone t = {random_key(random, r->bytes[i][0]), random_key(random, r->bytes[i][1]), sequence};
        if (i && below(random, 5) == 0) t = (struct range_tombstone){r->all[i - 1].start, r->all[i - 1].end, sequence};
        if (slice_compare(t.start, t.end) >= 0) continue;
        r->all[r->count++] = t;
        sequence += 1 + below(random, 3);
    }
}

static uint64_t newest(const struct ranges *r, velocity_slice key, uint64_t sequence) {
    for (size_t i = r->count; i-- > 0;)
        if (r->all[i].sequence <= sequence && slice_compare(key, r->all[i].start) >= 0 &&
            slice_compare(key, r->all[i].end) < 0)
            return r->all[i].sequence;
    return 0;
}

static void expect_same(const struct ranges *r, const struct range_list *list, velocity_slice key, uint64_t sequence) {
    struct range_stretch stretch = range_stretch_all();
    uint64_t wanted = newest(r, key, sequence);
    assert_int_equal(range_list_newest(list, key, sequence), wanted);
    range_list_narrow(list, key, false, sequence, &stretch);
    assert_int_equal(stretch.sequence, wanted);
    assert_true(range_stretch_holds(&stretch, key));
    /* It holds from its first key on, and ends before its last. */
    if (stretch.from.data) assert_int_equal(newest(r, stretch.from, sequence), wanted);
    if (wanted) assert_true(stretch.from.data && stretch.to.data);
}

/* Around the keys just below `key`: the stretch ends with it or beyond it, and what is in it is alike. */
static void expect_below(const struct ranges *r, const struct range_list *list, velocity_slice key, uint64_t sequence,
                         uint64_t *random) {
    struct range_stretch stretch = range_stretch_all();
    uint8_t bytes[KEY_BYTES];
    range_list_narrow(list, key, true, sequence, &stretch);
    if (stretch.to.data) assert_true(slice_compare(stretch.to, key) >= 0);
    if (stretch.from.data) assert_true(slice_compare(stretch.from, key) < 0);
    for (int i = 0; i < 20; i++) {
        velocity_slice other = random_key(random, bytes);
        if (range_stretch_holds(&stretch, other)) assert_int_equal(newest(r, other, sequence), stretch.sequence);
    }
}

static void ask_much(const struct ranges *r, const struct range_list *list, uint64_t *random) {
    uint8_t bytes[KEY_BYTES];
    uint64_t most = r->count ? r->all[r->count - 1].sequence : 0;
    for (int i = 0; i < 60; i++) {
        velocity_slice key = random_key(random, bytes);
        if (r->count && below(random, 3) == 0) key = r->all[below(random, r->count)].end;
        uint64_t sequence = below(random, 2) ? UINT64_MAX : below(random, most + 2);
        expect_same(r, list, key, sequence);
        expect_below(r, list, key, sequence, random);
    }
}

static void a_growing_list_answers_for_every_sequence(void **state) {
    (void)state;
    uint64_t random = 3;
    for (int round = 0; round < 60; round++) {
        struct ranges r;
        struct range_buffer buffer;
        make_ranges(&r, &random, below(&random, RANGES_MAX));
        size_t count = r.count;
        range_buffer_init(&buffer);
        assert_null(range_buffer_list(&buffer));
        for (r.count = 0; r.count < count;) {
            size_t some = 1 + below(&random, count - r.count);
            OK(range_buffer_reserve(&buffer, some));
            for (; some; some--) range_buffer_insert(&buffer, &r.all[r.count++]);
            ask_much(&r, range_buffer_list(&buffer), &random);
        }
        assert_int_equal(atomic_load(&buffer.count), count);
        range_buffer_free(&buffer);
    }
}

static void an_index_answers_for_snapshots_and_the_present(void **state) {
    (void)state;
    uint64_t random = 5;
    for (int round = 0; round < 200; round++) {
        struct ranges r;
        struct range_tombstone shuffled[RANGES_MAX];
        struct range_index *index;
        uint64_t snapshots[5];
        size_t count = 0;
        make_ranges(&r, &random, 1 + below(&random, RANGES_MAX - 1));
        for (uint64_t s = 1; count < 5 && s < r.all[r.count - 1].sequence; s += 1 + below(&random, 60))
            snapshots[count++] = s;
        memcpy(shuffled, r.all, sizeof shuffled);
        for (size_t i = 0; i < r.count; i++) {
            size_t k = below(&random, r.count);
            struct range_tombstone t = shuffled[i];
            shuffled[i] = shuffled[k];
            shuffled[k] = t;
        }
        OK(range_index_new(shuffled, r.count, snapshots, count, &index));
        assert_int_equal(range_index_list(index)->tombstones, r.count);
        if (count == 0) assert_null(index->parts);
        range_index_acquire(index);
        range_index_release(index);
        for (int i = 0; i < 60; i++) {
            uint8_t bytes[KEY_BYTES];
            velocity_slice key = random_key(&random, bytes);
            expect_same(&r, range_index_list(index), key, UINT64_MAX);
            expect_same(&r, range_index_list(index), key, r.all[r.count - 1].sequence);
            if (count) expect_same(&r, range_index_list(index), key, snapshots[below(&random, count)]);
        }
        range_index_release(index);
    }
}

/* Each within the one before: as fragments of everything to everything that would be the square. */
static void nested_ranges_take_little_more_memory_than_others(void **state) {
    (void)state;
    enum { MANY = 20000 };
    static uint8_t keys[MANY][2][4];
    struct range_buffer buffer;
    range_buffer_init(&buffer);
    OK(range_buffer_reserve(&buffer, MANY));
    for (uint32_t i = 0; i < MANY; i++) {
        uint32_t from = __builtin_bswap32(i), to = __builtin_bswap32(2 * MANY - i);
        memcpy(keys[i][0], &from, 4);
        memcpy(keys[i][1], &to, 4);
        struct range_tombstone t = {velocity_bytes(keys[i][0], 4), velocity_bytes(keys[i][1], 4), i + 1};
        range_buffer_insert(&buffer, &t);
    }
    assert_true(atomic_load(&buffer.bytes) < (size_t)MANY * 2 * sizeof(struct range_fragment) * 20);
    for (uint32_t i = 0; i < MANY; i += 97) {
        velocity_slice key = velocity_bytes(keys[i][0], 4);
        assert_int_equal(range_list_newest(range_buffer_list(&buffer), key, UINT64_MAX), i + 1);
        assert_int_equal(range_list_newest(range_buffer_list(&buffer), key, i / 2 + 1), i / 2 + 1);
    }
    range_buffer_free(&buffer);
}

static void without_memory_nothing_is_left_behind(void **state) {
    (void)state;
    uint64_t random = 9, snapshots[] = {20, 40, 60};
    for (uint64_t nth = 1;; nth++) {
        struct ranges r;
        struct range_index *index = NULL;
        make_ranges(&r, &random, 60);
        env_fail_allocation(nth, false);
        velocity_status status = range_index_new(r.all, r.count, snapshots, 3, &index);
        env_fail_allocation(0, false);
        range_index_release(index);
        if (status == VELOCITY_OK) break;
        assert_int_equal(status, VELOCITY_NO_MEMORY);
        assert_null(index);
        assert_true(nth < 1000);
    }
}

/* ---- one inserts, another asks --------------------------------------------------------------------------------------
 */

enum { STEPS = 20000 };

struct race {
    struct range_buffer buffer;
    uint8_t keys[2][1];
    _Atomic uint64_t visible;
};

static void *ask_all_the_time(void *arg) {
    struct race *race = arg;
    for (uint64_t sequence = 0; sequence < STEPS;) {
        sequence = atomic_load(&race->visible);
        const struct range_list *list = range_buffer_list(&race->buffer);
        assert_int_equal(range_list_newest(list, velocity_str("m"), sequence), sequence);
        assert_int_equal(range_list_newest(list, velocity_str("m"), sequence / 2), sequence / 2);
    }
    return NULL;
}

static void readers_see_what_was_inserted_before_and_need_no_lock(void **state) {
    (void)state;
    struct race *race = calloc(1, sizeof *race);
    pthread_t reader;
    assert_non_null(race);
    range_buffer_init(&race->buffer);
    memcpy(race->keys, "az", 2);
    assert_int_equal(pthread_create(&reader, NULL, ask_all_the_time, race), 0);
    for (uint64_t i = 1; i <= STEPS; i++) {
        struct range_tombstone t = {velocity_bytes(race->keys[0], 1), velocity_bytes(race->keys[1], 1), i};
        OK(range_buffer_reserve(&race->buffer, 1));
        range_buffer_insert(&race->buffer, &t);
        atomic_store(&race->visible, i);
    }
    assert_int_equal(pthread_join(reader, NULL), 0);
    range_buffer_free(&race->buffer);
    free(race);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_growing_list_answers_for_every_sequence),
        cmocka_unit_test(an_index_answers_for_snapshots_and_the_present),
        cmocka_unit_test(nested_ranges_take_little_more_memory_than_others),
        cmocka_unit_test(without_memory_nothing_is_left_behind),
        cmocka_unit_test(readers_see_what_was_inserted_before_and_need_no_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
