/* resize_test.c - the cache changes its size while it is read, and gives memory back. */
#include "engine/pins.h"
#include "testing.h"

enum { PINS = 600, PIN_BYTES = 32 << 10 };

static uint64_t capacity_of(cache *c) {
    struct cache_stats stats;
    cache_stats_get(c, &stats);
    assert_true(stats.used_bytes <= stats.capacity_bytes);
    return stats.capacity_bytes;
}

static size_t pin_all(struct pin_budget *budget, struct pin_set *set, cache *c) {
    size_t pinned = 0;
    epoch_enter();
    for (size_t i = 0; i < set->count; i++) {
        struct cache_entry *entry = cache_entry_new(c, PIN_BYTES);
        pin_block(budget, &set->pins[i], entry);
        cache_entry_release(entry);
        pinned += atomic_load(&set->pins[i]) != NULL;
    }
    epoch_leave();
    return pinned;
}

static void pinned_blocks_are_a_quarter_of_the_cache_at_most_and_go_when_it_shrinks(void **state) {
    (void)state;
    cache *c = cache_new(32 << 20, 1);
    struct pin_budget budget;
    struct pin_set sets[2] = {0};
    pin_budget_init(&budget, c);
    OK(pin_set_init(&sets[0], &budget, PINS));
    OK(pin_set_init(&sets[1], &budget, PINS));
    assert_int_equal(pin_all(&budget, &sets[0], c), (8 << 20) / PIN_BYTES);
    assert_int_equal(pin_all(&budget, &sets[1], c), 0);
    assert_int_equal(capacity_of(c), 24 << 20);
    pin_budget_resize(&budget, 64 << 20);
    assert_int_equal(capacity_of(c), 56 << 20);
    assert_int_equal(pin_all(&budget, &sets[1], c), (8 << 20) / PIN_BYTES);
    assert_int_equal(capacity_of(c), 48 << 20);
    pin_budget_resize(&budget, 1 << 20);
    assert_true(atomic_load(&budget.pinned_bytes) <= 256 << 10);
    assert_int_equal(capacity_of(c), 1 << 20);
    pin_budget_resize(&budget, 0);
    assert_int_equal(atomic_load(&budget.pinned_bytes), 0);
    assert_int_equal(capacity_of(c), 0);
    pin_budget_resize(&budget, 32 << 20);
    assert_true(pin_all(&budget, &sets[1], c) > 0);
    pin_set_clear(&sets[1], &budget);
    pin_set_clear(&sets[1], &budget);
    assert_int_equal(capacity_of(c), 32 << 20);
    pin_set_clear(&sets[0], &budget);
    pin_budget_destroy(&budget);
    epoch_drain();
    cache_free(c);
}

enum { KEYS = 20000, READERS = 3, ROUNDS = 60 };

struct reading {
    velocity *db;
    uint64_t seed;
    _Atomic bool *stop;
    uint64_t reads;
};

static velocity_slice key_of(char *space, uint64_t i) {
    (void)snprintf(space, 32, "key %08llu", (unsigned long long)i);
    return velocity_str(space);
}

static void *read_on(void *arg) {
    struct reading *r = arg;
    char key[32];
    uint64_t random = r->seed;
    while (!atomic_load(r->stop)) {
        velocity_value value;
        uint64_t i = below(&random, KEYS);
        if (velocity_get(r->db, key_of(key, i), &value) != VELOCITY_OK || value.size != 300 ||
            memcmp(value.data, key, 12) != 0)
            abort();
        velocity_value_release(&value);
        if (++r->reads % 64) continue;
        velocity_range range = velocity_range_default();
        range.start = velocity_str(key);
        velocity_iterator *it = velocity_iterator_new(r->db, &range);
        for (uint64_t k = i; k < i + 50 && k < KEYS; k++, velocity_iterator_next(it))
            if (!velocity_iterator_valid(it) || memcmp(velocity_iterator_value(it).data, key_of(key, k).data, 12) != 0)
                abort();
        velocity_iterator_free(it);
    }
    return NULL;
}

static void fill(velocity *db) {
    char key[32], value[300] = {0};
    for (uint64_t i = 0; i < KEYS; i++) {
        velocity_slice k = key_of(key, i);
        memcpy(value, k.data, k.size);
        OK(velocity_put(db, k, velocity_bytes(value, sizeof value)));
    }
    OK(velocity_compact(db, NULL));
}

static void readers_go_on_while_the_cache_grows_and_shrinks(void **state) {
    static const uint64_t sizes[] = {0, 64 << 10, 16 << 20, 1 << 20, 256 << 10, 64 << 20};
    velocity_options options = velocity_options_default();
    options.durability = VELOCITY_DURABILITY_OS;
    options.block_bytes = 1024;
    options.table_bytes = 1 << 20;
    options.compression = VELOCITY_COMPRESSION_NONE;
    velocity *db;
    OK(velocity_open(*state, &options, &db));
    fill(db);
    _Atomic bool stop = false;
    struct reading readers[READERS];
    env_thread threads[READERS];
    for (int i = 0; i < READERS; i++) {
        readers[i] = (struct reading){.db = db, .seed = (uint64_t)i + 1, .stop = &stop};
        OK(env_thread_start(&threads[i], "reader", read_on, &readers[i]));
    }
    velocity_stats stats = {.struct_size = sizeof stats};
    uint64_t random = 77;
    for (int i = 0; i < ROUNDS; i++) {
        OK(velocity_set_cache_bytes(db, sizes[below(&random, sizeof sizes / sizeof *sizes)]));
        OK(velocity_stats_get(db, &stats));
        env_sleep_us(5000);
    }
    OK(velocity_set_cache_bytes(db, 128 << 10));
    OK(velocity_stats_get(db, &stats));
    assert_true(stats.cache_used_bytes <= 128 << 10 && stats.cache_capacity_bytes <= 128 << 10);
    OK(velocity_set_cache_bytes(db, 32 << 20));
    for (int i = 0; i < 3000 && stats.cache_used_bytes <= 1 << 20; i++) { /* it is filled again */
        env_sleep_us(10000);
        OK(velocity_stats_get(db, &stats));
    }
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++) {
        env_thread_join(threads[i]);
        assert_true(readers[i].reads > 0);
    }
    assert_true(stats.cache_used_bytes > 1 << 20);
    OK(velocity_close(db));
}

static void a_shared_cache_is_resized_for_all(void **state) {
    velocity_options options = velocity_options_default();
    options.shared = velocity_shared_new(NULL);
    velocity *db;
    OK(velocity_open(*state, &options, &db));
    FAILS(VELOCITY_INVALID, "shared", velocity_set_cache_bytes(db, 1 << 20));
    velocity_stats stats = {.struct_size = sizeof stats};
    velocity_shared_set_cache_bytes(options.shared, 3 << 20);
    OK(velocity_stats_get(db, &stats));
    assert_int_equal(stats.cache_capacity_bytes, 3 << 20);
    OK(velocity_close(db));
    velocity_shared_free(options.shared);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pinned_blocks_are_a_quarter_of_the_cache_at_most_and_go_when_it_shrinks),
        TEST_IN_FOLDER(readers_go_on_while_the_cache_grows_and_shrinks),
        TEST_IN_FOLDER(a_shared_cache_is_resized_for_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
