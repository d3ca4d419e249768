/*
 * block_heap_test.c - blocks of the heap are apart, keep what is written into them, and what is free goes back; churn
 * like a cache's costs little more memory than is in use.
 */
#include "engine/block_heap.h"
#include "engine/env.h"
#include "testing.h"

enum { REGION = ENV_HUGE_BYTES, SLOTS = 4000, THREADS = 4 };

struct held {
    uint8_t *block;
    uint32_t bytes;
    uint8_t filler;
};

static void fill(block_heap *heap, struct held *h, uint32_t bytes, uint8_t filler) {
    *h = (struct held){block_heap_alloc(heap, bytes), bytes, filler};
    assert_non_null(h->block);
    assert_int_equal((uintptr_t)h->block % 64, 0);
    memset(h->block, filler, bytes);
}

static void let_go(struct held *h) {
    for (uint32_t i = 0; i < h->bytes; i++)
        if (h->block[i] != h->filler) fail_msg("byte %u of a block of %u was changed", i, h->bytes);
    block_heap_release(h->block, h->bytes);
    h->block = NULL;
}

/* Random blocks come and go; every one keeps its bytes. */
static void churn(block_heap *heap, struct held *slots, size_t count, uint64_t *random, size_t rounds) {
    for (size_t i = 0; i < rounds; i++) {
        struct held *h = &slots[next_random(random) % count];
        if (h->block) {
            let_go(h);
        } else {
            uint32_t most = next_random(random) % 50 ? 6000 : BLOCK_HEAP_MAX_BYTES;
            fill(heap, h, 1 + (uint32_t)(next_random(random) % most), (uint8_t)next_random(random));
        }
    }
}

static void let_all_go(struct held *slots, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (slots[i].block) let_go(&slots[i]);
}

static void blocks_keep_what_is_written_into_them(void **state) {
    (void)state;
    runs_in_one_thread();
    static struct held slots[SLOTS];
    uint64_t random = 1;
    block_heap *heap = block_heap_new();
    churn(heap, slots, SLOTS, &random, 60000);
    let_all_go(slots, SLOTS);
    block_heap_close(heap);
}

static void what_is_free_goes_back_but_one_region(void **state) {
    (void)state;
    runs_in_one_thread();
    static struct held slots[SLOTS];
    block_heap *heap = block_heap_new();
    assert_int_equal(block_heap_held_bytes(heap), 0);
    for (size_t i = 0; i < SLOTS; i++) fill(heap, &slots[i], 4160, (uint8_t)i);
    assert_in_range(block_heap_held_bytes(heap), SLOTS * 4160, SLOTS * 4160 + 2 * REGION);
    for (size_t i = 0; i < SLOTS; i += 2) let_go(&slots[i]);
    for (size_t i = 1; i < SLOTS; i += 2) let_go(&slots[i]); /* merges on both sides */
    assert_int_equal(block_heap_held_bytes(heap), REGION);
    fill(heap, &slots[0], BLOCK_HEAP_MAX_BYTES, 7);
    assert_int_equal(block_heap_held_bytes(heap), REGION);
    let_go(&slots[0]);
    block_heap_close(heap);
}

/* First in, first out, as a cache evicts, with sizes that are never the same: an eighth more than is in use at most. */
static void churn_of_a_full_cache_wastes_little(void **state) {
    (void)state;
    runs_in_one_thread();
    static struct held slots[SLOTS];
    uint64_t random = 2, used = 0;
    block_heap *heap = block_heap_new();
    for (size_t i = 0; i < 20 * SLOTS; i++) {
        struct held *h = &slots[next_random(&random) % 4 ? i % SLOTS : next_random(&random) % SLOTS];
        if (h->block) {
            used -= h->bytes;
            block_heap_release(h->block, h->bytes);
        }
        uint32_t bytes = i % 100 ? 3000 + (uint32_t)(next_random(&random) % 1300) : 32832;
        *h = (struct held){block_heap_alloc(heap, bytes), bytes, 0};
        assert_non_null(h->block);
        used += bytes;
    }
    assert_in_range(block_heap_held_bytes(heap), used, used + used / 8 + REGION);
    for (size_t i = 0; i < SLOTS; i++)
        if (slots[i].block) block_heap_release(slots[i].block, slots[i].bytes);
    block_heap_close(heap);
}

static void a_closed_heap_ends_with_its_last_block(void **state) {
    (void)state;
    struct held h;
    block_heap *heap = block_heap_new();
    fill(heap, &h, 100, 3);
    block_heap_close(heap);
    let_go(&h);
    block_heap_close(NULL);
}

static void without_memory_nothing_is_given_and_the_heap_goes_on(void **state) {
    (void)state;
    struct held h;
    env_fail_allocation(1, false);
    assert_null(block_heap_new());
    block_heap *heap = block_heap_new();
    env_fail_allocation(1, false);
    assert_null(block_heap_alloc(heap, 100));
    fill(heap, &h, 100, 3);
    let_go(&h);
    block_heap_close(heap);
}

struct worker {
    pthread_t thread;
    block_heap *heap;
    uint64_t random;
};

static void *work(void *arg) {
    struct worker *w = arg;
    struct held *slots = calloc(SLOTS / 8, sizeof *slots);
    churn(w->heap, slots, SLOTS / 8, &w->random, 5000);
    let_all_go(slots, SLOTS / 8);
    free(slots);
    return NULL;
}

static void threads_share_a_heap(void **state) {
    (void)state;
    struct worker workers[THREADS];
    block_heap *heap = block_heap_new();
    for (size_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.heap = heap, .random = i + 1};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    assert_in_range(block_heap_held_bytes(heap), 0, REGION);
    block_heap_close(heap);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_keep_what_is_written_into_them),
        cmocka_unit_test(what_is_free_goes_back_but_one_region),
        cmocka_unit_test(churn_of_a_full_cache_wastes_little),
        cmocka_unit_test(a_closed_heap_ends_with_its_last_block),
        cmocka_unit_test(without_memory_nothing_is_given_and_the_heap_goes_on),
        cmocka_unit_test(threads_share_a_heap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
