/* cache_test.c - the block cache returns what was put under a key or nothing, within its capacity, whoever asks. */
#include "engine/cache.h"
#include "engine/env.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define BLOCK_BYTES 1000u
/* What cache.h counts: payload, header, alignment, a share of the tables. */
#define ENTRY_CHARGE (sizeof(struct cache_entry) + BLOCK_BYTES + 96)
#define CAPACITY     ((uint64_t)1000 * ENTRY_CHARGE)

/* A payload tells its key and generation in its first bytes, and repeats a byte made of them up to its end. */
struct label {
    uint64_t file_id, offset, generation;
};

static uint8_t filler(struct label l) {
    return (uint8_t)(l.file_id * 31 + l.offset * 7 + l.generation * 13 + 1);
}

static struct cache_entry *new_block(cache *c, struct label label, uint32_t bytes) {
    struct cache_entry *e = cache_entry_new(c, bytes);
    if (!e) return NULL;
    uint8_t *data = cache_entry_data(e);
    memcpy(data, &label, sizeof label);
    memset(data + sizeof label, filler(label), bytes - sizeof label);
    return e;
}

static bool block_is(struct cache_entry *e, struct label label) {
    uint8_t *data = cache_entry_data(e);
    if (memcmp(data, &label, sizeof label) != 0) return false;
    for (uint32_t i = sizeof label; i < e->size; i++)
        if (data[i] != filler(label)) return false;
    return true;
}

static void put_sized(cache *c, uint64_t file_id, uint64_t offset, uint32_t bytes) {
    struct cache_entry *e = new_block(c, (struct label){file_id, offset, 0}, bytes);
    assert_non_null(e);
    cache_insert(c, e, file_id, offset, CACHE_DATA);
    cache_entry_release(e);
}

static void put(cache *c, uint64_t file_id, uint64_t offset) {
    put_sized(c, file_id, offset, BLOCK_BYTES);
}

static bool has(cache *c, uint64_t file_id, uint64_t offset) {
    epoch_enter();
    struct cache_entry *e = cache_lookup(c, file_id, offset);
    bool found = e && block_is(e, (struct label){file_id, offset, 0});
    assert_true(found || !e);
    epoch_leave();
    return found;
}

static uint32_t count_present(cache *c, uint64_t file_id, uint32_t keys) {
    uint32_t present = 0;
    for (uint32_t i = 0; i < keys; i++) present += has(c, file_id, i);
    return present;
}

static struct cache_stats stats(cache *c) {
    struct cache_stats s;
    cache_stats_get(c, &s);
    return s;
}

static cache *new_cache(uint64_t capacity_bytes, uint32_t shards) {
    cache *c = cache_new(capacity_bytes, shards);
    assert_non_null(c);
    return c;
}

static void end(cache *c) {
    cache_free(c);
    epoch_drain();
}

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state >> 11;
}

/* ---- lookups, inserts -------------------------------------------------------------------------------------------- */

static void what_was_inserted_is_found_and_counted(void **state) {
    (void)state;
    cache *c = new_cache(16 << 20, 0);
    for (uint32_t i = 0; i < 5000; i++) put(c, i % 3, i);
    for (uint32_t i = 0; i < 5000; i++) assert_true(has(c, i % 3, i));
    for (uint32_t i = 0; i < 5000; i++) assert_false(has(c, 3, i));
    struct cache_stats s = stats(c);
    assert_int_equal(s.hits, 5000);
    assert_int_equal(s.misses, 5000);
    assert_int_equal(s.entries, 5000);
    assert_int_equal(s.evictions, 0);
    assert_int_equal(s.used_bytes, 5000 * ENTRY_CHARGE);
    assert_int_equal(s.capacity_bytes, 16 << 20);
    end(c);
}

static void a_payload_begins_on_a_cache_line(void **state) {
    (void)state;
    cache *c = new_cache(CAPACITY, 1);
    for (uint32_t bytes = 1; bytes < 1000000; bytes = bytes * 3 + 7) {
        struct cache_entry *e = cache_entry_new(c, bytes);
        assert_non_null(e);
        assert_int_equal((uintptr_t)cache_entry_data(e) % 64, 0);
        cache_entry_release(e);
    }
    cache_entry_release(NULL);
    end(c);
}

static void prefetching_changes_and_counts_nothing(void **state) {
    (void)state;
    cache *c = new_cache(CAPACITY, 1);
    struct cache_stats before, after;
    for (uint32_t round = 0; round < 2; round++) { /* empty at first */
        cache_stats_get(c, &before);
        epoch_enter();
        for (uint32_t i = 0; i < 200; i++) {
            cache_prefetch_place(c, 1, i);
            cache_prefetch_entry(c, 1, i);
        }
        epoch_leave();
        cache_stats_get(c, &after);
        assert_memory_equal(&before, &after, sizeof before);
        for (uint32_t i = 0; i < 100; i++) {
            struct cache_entry *e = new_block(c, (struct label){1, i, 0}, BLOCK_BYTES);
            cache_insert(c, e, 1, i, CACHE_DATA);
            cache_entry_release(e);
        }
    }
    end(c);
}

static void of_two_entries_under_one_key_the_first_stays(void **state) {
    (void)state;
    cache *c = new_cache(CAPACITY, 1);
    struct cache_entry *first = new_block(c, (struct label){1, 2, 1}, BLOCK_BYTES);
    struct cache_entry *second = new_block(c, (struct label){1, 2, 2}, BLOCK_BYTES);
    cache_insert(c, first, 1, 2, CACHE_DATA);
    cache_insert(c, second, 1, 2, CACHE_DATA);
    epoch_enter();
    assert_ptr_equal(cache_lookup(c, 1, 2), first);
    epoch_leave();
    assert_true(block_is(second, (struct label){1, 2, 2}));
    assert_int_equal(stats(c).entries, 1);
    cache_entry_release(first);
    cache_entry_release(second);
    end(c);
}

static void usage_is_told_by_kind(void **state) {
    (void)state;
    cache *c = new_cache(CAPACITY, 1);
    for (uint32_t i = 0; i < 60; i++) {
        struct cache_entry *e = new_block(c, (struct label){1, i, 0}, BLOCK_BYTES);
        cache_insert(c, e, 1, i, i < 10 ? CACHE_INDEX : i < 30 ? CACHE_FILTER : CACHE_DATA);
        cache_entry_release(e);
    }
    struct cache_stats s = stats(c);
    assert_int_equal(s.used_by_kind[CACHE_INDEX], 10 * ENTRY_CHARGE);
    assert_int_equal(s.used_by_kind[CACHE_FILTER], 20 * ENTRY_CHARGE);
    assert_int_equal(s.used_by_kind[CACHE_DATA], 30 * ENTRY_CHARGE);
    end(c);
}

static void a_forgotten_block_is_absent_and_the_others_stay(void **state) {
    (void)state;
    cache *c = new_cache(CAPACITY, 1);
    for (uint32_t i = 0; i < 300; i++) put(c, 1, i);
    for (uint32_t i = 0; i < 300; i += 3) cache_forget(c, 1, i);
    cache_forget(c, 2, 1); /* never was there */
    for (uint32_t i = 0; i < 300; i++) assert_int_equal(has(c, 1, i), i % 3 != 0);
    assert_int_equal(stats(c).entries, 200);
    assert_int_equal(stats(c).used_bytes, 200 * ENTRY_CHARGE);
    end(c);
}

static void an_empty_cache_is_two_small_allocations_whatever_its_capacity(void **state) {
    (void)state;
    env_fail_allocation(3, false);
    cache *c = cache_new((uint64_t)1 << 40, 0);
    void *third = env_alloc(1);
    env_fail_allocation(0, false);
    assert_non_null(c);
    assert_null(third);
    assert_true(malloc_usable_size(c) < 32 << 10);
    cache_free(c);
    c = new_cache(256 << 20, 0);
    assert_true(malloc_usable_size(c) < 8 << 10);
    cache_free(c);
    cache_free(NULL);
}

/* ---- replacement ------------------------------------------------------------------------------------------------- */

static void used_bytes_never_exceed_the_capacity(void **state) {
    (void)state;
    cache *c = new_cache(3 << 20, 4);
    uint64_t random = 42;
    for (uint32_t i = 0; i < 20000; i++) {
        put_sized(c, 1, i, 100 + next_random(&random) % 20000);
        for (uint32_t k = 0; k < 3; k++) has(c, 1, i - next_random(&random) % 200);
        struct cache_stats s = stats(c);
        assert_true(s.used_bytes <= s.capacity_bytes);
    }
    struct cache_stats s = stats(c);
    assert_true(s.used_bytes > s.capacity_bytes / 10 * 9);
    assert_int_equal(s.entries + s.evictions, 20000);
    end(c);
}

static void a_hot_set_survives_one_pass_over_ten_times_the_capacity(void **state) {
    (void)state;
    cache *c = new_cache(CAPACITY, 1);
    for (uint32_t i = 0; i < 500; i++) put(c, 1, i);
    for (int round = 0; round < 2; round++) assert_int_equal(count_present(c, 1, 500), 500);
    for (uint32_t i = 0; i < 10000; i++) put(c, 2, i);
    assert_true(count_present(c, 1, 500) >= 495); /* the bound on work under the lock may cost a few */
    end(c);
}

static void what_is_asked_for_again_soon_after_it_left_survives_a_scan(void **state) {
    (void)state;
    cache *c = new_cache(CAPACITY, 1);
    put(c, 1, 0);
    for (uint32_t i = 0; i < 1500; i++) put(c, 2, i); /* 1.5 times the capacity: it has left, the ghost remembers */
    assert_false(has(c, 1, 0));
    put(c, 1, 0); /* remembered: into main */
    put(c, 1, 1); /* new: into small */
    for (uint32_t i = 0; i < 10000; i++) put(c, 3, i);
    assert_true(has(c, 1, 0));
    assert_false(has(c, 1, 1));
    end(c);
}

static void the_ghost_forgets_what_left_long_ago(void **state) {
    (void)state;
    cache *c = new_cache(600 * ENTRY_CHARGE, 1);
    for (uint32_t i = 0; i < 100; i++) put(c, 1, i);
    for (uint32_t i = 0; i < 1300; i++) put(c, 2, i); /* the first 100 left, and after them 700, more than are kept */
    for (uint32_t i = 0; i < 100; i++) put(c, 1, i);
    for (uint32_t i = 0; i < 2000; i++) put(c, 3, i);
    assert_int_equal(count_present(c, 1, 100), 0);
    end(c);
}

static void main_gives_way_to_a_new_hot_set(void **state) {
    (void)state;
    cache *c = new_cache(CAPACITY, 1);
    for (uint64_t file_id = 1; file_id <= 4; file_id++) {
        for (int round = 0; round < 6; round++) {
            for (uint32_t i = 0; i < 800; i++)
                if (!has(c, file_id, i)) put(c, file_id, i);
        }
        assert_true(count_present(c, file_id, 800) > 700);
    }
    assert_true(stats(c).used_bytes <= CAPACITY);
    end(c);
}

static void an_acquired_entry_survives_its_eviction(void **state) {
    (void)state;
    cache *c = new_cache(CAPACITY, 1);
    put(c, 1, 7);
    epoch_enter();
    struct cache_entry *kept = cache_lookup(c, 1, 7);
    cache_entry_acquire(kept);
    epoch_leave();
    for (uint32_t i = 0; i < 5000; i++) put(c, 2, i);
    epoch_drain();
    assert_false(has(c, 1, 7));
    assert_true(block_is(kept, (struct label){1, 7, 0}));
    cache_entry_release(kept);
    end(c);
}

static void an_entry_found_in_a_section_stays_whole_until_its_end(void **state) {
    (void)state;
    cache *c = new_cache(CAPACITY, 1);
    put(c, 1, 7);
    epoch_enter();
    struct cache_entry *found = cache_lookup(c, 1, 7);
    assert_non_null(found);
    for (uint32_t i = 0; i < 5000; i++) put(c, 2, i);
    assert_null(cache_lookup(c, 1, 7));
    assert_true(block_is(found, (struct label){1, 7, 0}));
    cache_entry_acquire(found); /* evicted already, yet it can still be kept */
    epoch_leave();
    epoch_drain();
    assert_true(block_is(found, (struct label){1, 7, 0}));
    cache_entry_release(found);
    end(c);
}

static void an_entry_larger_than_a_shard_is_not_kept_and_evicts_nobody(void **state) {
    (void)state;
    cache *c = new_cache(CAPACITY, 2);
    for (uint32_t i = 0; i < 500; i++) put(c, 1, i);
    struct cache_stats before = stats(c);
    put_sized(c, 2, 0, (uint32_t)(CAPACITY / 2) + 1);
    assert_false(has(c, 2, 0));
    assert_int_equal(stats(c).entries, before.entries);
    assert_int_equal(stats(c).evictions, before.evictions);
    end(c);
}

/* ---- capacity, clearing ------------------------------------------------------------------------------------------ */

static void a_cache_of_no_bytes_keeps_nothing_and_works(void **state) {
    (void)state;
    cache *c = new_cache(0, 0);
    put(c, 1, 1);
    assert_false(has(c, 1, 1));
    cache_forget(c, 1, 1);
    cache_clear(c);
    assert_int_equal(stats(c).used_bytes, 0);
    assert_int_equal(stats(c).misses, 1);
    cache_set_capacity(c, CAPACITY);
    put(c, 1, 1);
    assert_true(has(c, 1, 1));
    end(c);
}

static void the_capacity_can_shrink_and_grow(void **state) {
    (void)state;
    cache *c = new_cache(CAPACITY, 4);
    for (uint32_t i = 0; i < 900; i++) put(c, 1, i);
    cache_set_capacity(c, CAPACITY / 10);
    struct cache_stats s = stats(c);
    assert_int_equal(s.capacity_bytes, CAPACITY / 10);
    assert_true(s.used_bytes <= CAPACITY / 10 && s.entries > 80);
    assert_int_equal(count_present(c, 1, 900), s.entries);
    cache_set_capacity(c, 10 * CAPACITY);
    for (uint32_t i = 0; i < 9000; i++) put(c, 2, i);
    assert_int_equal(count_present(c, 2, 9000), 9000);
    cache_set_capacity(c, 0);
    assert_int_equal(stats(c).entries, 0);
    end(c);
}

static void clearing_drops_all_but_what_is_acquired(void **state) {
    (void)state;
    cache *c = new_cache(CAPACITY, 2);
    for (uint32_t i = 0; i < 900; i++) put(c, 1, i);
    epoch_enter();
    struct cache_entry *kept = cache_lookup(c, 1, 5);
    assert_non_null(kept);
    cache_entry_acquire(kept);
    epoch_leave();
    cache_clear(c);
    epoch_drain();
    assert_int_equal(count_present(c, 1, 900), 1);
    assert_int_equal(stats(c).used_bytes, ENTRY_CHARGE);
    assert_int_equal(stats(c).evictions, 0);
    assert_true(has(c, 1, 5));
    cache_entry_release(kept);
    cache_clear(c);
    assert_int_equal(stats(c).entries, 0);
    end(c);
}

/* ---- against a model --------------------------------------------------------------------------------------------- */

#define MODEL_KEYS 700u

/* The generation of each key that may be in the cache; a newer one is only inserted after the older was forgotten. */
static void random_operations_never_bring_back_what_is_not_there(void **state) {
    (void)state;
    uint64_t generations[MODEL_KEYS] = {0}, random = 7;
    bool inserted[MODEL_KEYS] = {false};
    cache *c = new_cache(CAPACITY / 4, 2);
    for (uint32_t i = 0; i < 200000; i++) {
        uint64_t what = next_random(&random) % 10000, key = next_random(&random) % MODEL_KEYS;
        if (next_random(&random) % 2) key %= MODEL_KEYS / 10;
        struct label label = {key % 5, key, generations[key]};
        epoch_enter();
        struct cache_entry *e = cache_lookup(c, label.file_id, label.offset);
        if (e && (!inserted[key] || !block_is(e, label))) fail_msg("a wrong block under key %u", (unsigned)key);
        epoch_leave();
        if (what < 3) {
            cache_clear(c);
            memset(inserted, 0, sizeof inserted);
        } else if (what < 6) {
            cache_set_capacity(c, CAPACITY / 64 * (next_random(&random) % 64));
        } else if (what < 1500) {
            cache_forget(c, label.file_id, label.offset);
            inserted[key] = false;
            generations[key]++;
        } else if (!e) {
            e = new_block(c, label, 40 + next_random(&random) % (2 * BLOCK_BYTES));
            cache_insert(c, e, label.file_id, label.offset, CACHE_DATA);
            inserted[key] = true;
            cache_entry_release(e);
        }
    }
    struct cache_stats s = stats(c);
    assert_int_equal(s.hits + s.misses, 200000);
    assert_true(s.hits > 20000 && s.evictions > 1000 && s.used_bytes <= s.capacity_bytes);
    end(c);
}

static void without_memory_less_is_kept_and_nothing_breaks(void **state) {
    (void)state;
    env_fail_allocation(1, false);
    assert_null(cache_new(CAPACITY, 1));
    env_fail_allocation(2, false);
    assert_null(cache_new(CAPACITY, 1));
    cache *empty = new_cache(CAPACITY, 1);
    env_fail_allocation(1, false);
    assert_null(cache_entry_new(empty, 10));
    end(empty);
    for (uint64_t nth = 1; nth < 12; nth++) { /* tables of buckets, of ghosts: each in turn, then all of them */
        for (int all_after = 0; all_after < 2; all_after++) {
            cache *c = new_cache(CAPACITY, 1);
            struct cache_entry *entries[2000];
            for (uint32_t i = 0; i < 2000; i++) entries[i] = new_block(c, (struct label){1, i, 0}, BLOCK_BYTES);
            env_fail_allocation(nth, all_after);
            for (uint32_t i = 0; i < 2000; i++) {
                cache_insert(c, entries[i], 1, i, CACHE_DATA);
                cache_entry_release(entries[i]);
            }
            env_fail_allocation(0, false);
            uint32_t present = count_present(c, 1, 2000);
            assert_int_equal(present, stats(c).entries);
            if (nth > 1 || !all_after) assert_int_equal(present, 1000);
            put(c, 2, 1);
            assert_true(has(c, 2, 1));
            end(c);
        }
    }
}

/* ---- many threads ------------------------------------------------------------------------------------------------ */

#define THREADS 4u
#define ROUNDS  30000u
#define KEYS    400u

struct worker {
    cache *c;
    uint64_t random, lookups, wrong;
    bool disturbs; /* also forgets, clears and resizes */
};

static void disturb(struct worker *w, uint64_t what, struct label label) {
    if (what == 0)
        cache_clear(w->c);
    else if (what == 1)
        cache_set_capacity(w->c, CAPACITY / 16 * (1 + next_random(&w->random) % 4));
    else if (what < 30)
        cache_forget(w->c, label.file_id, label.offset);
}

static void *use_the_cache(void *arg) {
    struct worker *w = arg;
    struct cache_entry *kept = NULL;
    struct label kept_label = {0};
    for (uint32_t i = 0; i < ROUNDS; i++) {
        uint64_t key = next_random(&w->random) % KEYS;
        if (i % 2) key %= KEYS / 8;
        struct label label = {key & 3, key, 0};
        epoch_enter();
        struct cache_entry *e = cache_lookup(w->c, label.file_id, label.offset);
        w->lookups++;
        if (!e) {
            e = new_block(w->c, label, 100 + (uint32_t)(key * 5));
            if (e) cache_insert(w->c, e, label.file_id, label.offset, CACHE_DATA);
        } else {
            cache_entry_acquire(e);
        }
        epoch_leave();
        if (!e || !block_is(e, label)) w->wrong++;
        if (i % 16 == 0) { /* keeps one for a while */
            if (kept && !block_is(kept, kept_label)) w->wrong++;
            cache_entry_release(kept);
            kept = e;
            kept_label = label;
        } else {
            cache_entry_release(e);
        }
        if (w->disturbs) disturb(w, next_random(&w->random) % 1000, label);
    }
    cache_entry_release(kept);
    return NULL;
}

static void threads_that_look_up_insert_and_evict_always_see_whole_blocks(void **state) {
    (void)state;
    cache *c = new_cache(CAPACITY / 8, 2);
    env_thread threads[THREADS];
    struct worker workers[THREADS];
    for (uint32_t t = 0; t < THREADS; t++) {
        workers[t] = (struct worker){.c = c, .random = t + 1, .disturbs = t == 0};
        assert_int_equal(env_thread_start(&threads[t], "worker", use_the_cache, &workers[t]), VELOCITY_OK);
    }
    uint64_t lookups = 0;
    for (uint32_t t = 0; t < THREADS; t++) {
        env_thread_join(threads[t]);
        assert_int_equal(workers[t].wrong, 0);
        lookups += workers[t].lookups;
    }
    struct cache_stats s = stats(c);
    assert_int_equal(s.hits + s.misses, lookups);
    assert_true(s.used_bytes <= s.capacity_bytes);
    assert_true(s.evictions > 0 && s.hits > 0);
    end(c);
}

#define LASTING 4000u /* entries, a little fewer than a power of two */
#define PASSING 200u  /* more entries, for which the table grows */

static _Atomic uint32_t missed;
static atomic_bool resized_enough;

static void *look_up_what_lasts(void *arg) {
    cache *c = arg;
    uint64_t random = 99;
    while (!atomic_load(&resized_enough)) {
        uint64_t key = next_random(&random) % LASTING;
        epoch_enter();
        if (!cache_lookup(c, 1, key)) atomic_fetch_add(&missed, 1);
        epoch_leave();
    }
    return NULL;
}

static void while_tables_grow_and_shrink_no_lookup_misses_what_is_there(void **state) {
    (void)state;
    cache *c = new_cache(64 << 20, 1);
    env_thread threads[2];
    for (uint32_t i = 0; i < LASTING; i++) put_sized(c, 1, i, 40);
    for (uint32_t t = 0; t < 2; t++)
        assert_int_equal(env_thread_start(&threads[t], "reader", look_up_what_lasts, c), VELOCITY_OK);
    for (uint32_t round = 0; round < 200; round++) {
        for (uint32_t i = 0; i < PASSING; i++) put_sized(c, 2, i, 40);
        for (uint32_t i = 0; i < PASSING; i++) cache_forget(c, 2, i);
        cache_set_capacity(c, 64 << 20); /* shrinks tables that have become too large */
    }
    atomic_store(&resized_enough, true);
    for (uint32_t t = 0; t < 2; t++) env_thread_join(threads[t]);
    assert_int_equal(missed, 0);
    assert_int_equal(stats(c).entries, LASTING);
    end(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_inserted_is_found_and_counted),
        cmocka_unit_test(a_payload_begins_on_a_cache_line),
        cmocka_unit_test(prefetching_changes_and_counts_nothing),
        cmocka_unit_test(of_two_entries_under_one_key_the_first_stays),
        cmocka_unit_test(usage_is_told_by_kind),
        cmocka_unit_test(a_forgotten_block_is_absent_and_the_others_stay),
        cmocka_unit_test(an_empty_cache_is_two_small_allocations_whatever_its_capacity),
        cmocka_unit_test(used_bytes_never_exceed_the_capacity),
        cmocka_unit_test(a_hot_set_survives_one_pass_over_ten_times_the_capacity),
        cmocka_unit_test(what_is_asked_for_again_soon_after_it_left_survives_a_scan),
        cmocka_unit_test(the_ghost_forgets_what_left_long_ago),
        cmocka_unit_test(main_gives_way_to_a_new_hot_set),
        cmocka_unit_test(an_acquired_entry_survives_its_eviction),
        cmocka_unit_test(an_entry_found_in_a_section_stays_whole_until_its_end),
        cmocka_unit_test(an_entry_larger_than_a_shard_is_not_kept_and_evicts_nobody),
        cmocka_unit_test(a_cache_of_no_bytes_keeps_nothing_and_works),
        cmocka_unit_test(the_capacity_can_shrink_and_grow),
        cmocka_unit_test(clearing_drops_all_but_what_is_acquired),
        cmocka_unit_test(random_operations_never_bring_back_what_is_not_there),
        cmocka_unit_test(without_memory_less_is_kept_and_nothing_breaks),
        cmocka_unit_test(threads_that_look_up_insert_and_evict_always_see_whole_blocks),
        cmocka_unit_test(while_tables_grow_and_shrink_no_lookup_misses_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
