/*
 * chunk_pool_test.c - chunks come back instead of going to the system, are prepared ahead while a writer takes them,
 * and leave when nobody does.
 */
#include "engine/chunk_pool.h"
#include "testing.h"

struct setting {
    pool *jobs;
    chunk_pool *chunks;
};

static struct setting begin(void) {
    struct setting s = {.jobs = pool_new(env_posix(), 1)};
    assert_non_null(s.jobs);
    assert_non_null(s.chunks = chunk_pool_new(env_posix(), s.jobs));
    return s;
}

static void end(struct setting s) {
    pool_free(s.jobs);
    chunk_pool_free(s.chunks);
}

static void wait_for_bytes(chunk_pool *chunks, uint64_t bytes) {
    for (int i = 0; i < 30000 && chunk_pool_bytes(chunks) != bytes; i++) env_sleep_us(1000);
    assert_int_equal(chunk_pool_bytes(chunks), bytes);
}

static void after_the_first_was_taken_more_are_prepared(void **state) {
    (void)state;
    struct setting s = begin();
    assert_int_equal(chunk_pool_bytes(s.chunks), 0);
    uint8_t *chunk = chunk_pool_take(s.chunks);
    assert_non_null(chunk);
    memset(chunk, 1, ENV_HUGE_BYTES);
    wait_for_bytes(s.chunks, 4 * (uint64_t)ENV_HUGE_BYTES);
    chunk_pool_give(s.chunks, chunk);
    assert_int_equal(chunk_pool_bytes(s.chunks), 5 * (uint64_t)ENV_HUGE_BYTES);
    end(s);
}

static void what_was_given_last_is_taken_first(void **state) {
    (void)state;
    struct setting s = begin();
    void *chunk = chunk_pool_take(s.chunks);
    wait_for_bytes(s.chunks, 4 * (uint64_t)ENV_HUGE_BYTES);
    chunk_pool_give(s.chunks, chunk);
    assert_ptr_equal(chunk_pool_take(s.chunks), chunk);
    chunk_pool_give(s.chunks, chunk);
    end(s);
}

static void a_pool_that_rests_gives_everything_back(void **state) {
    (void)state;
    struct setting s = begin();
    chunk_pool_expect(s.chunks, 2 * (uint64_t)ENV_HUGE_BYTES);
    void *chunk = chunk_pool_take(s.chunks);
    wait_for_bytes(s.chunks, 4 * (uint64_t)ENV_HUGE_BYTES);
    chunk_pool_give(s.chunks, chunk);
    chunk_pool_tend(s.chunks);
    assert_int_equal(chunk_pool_bytes(s.chunks), 2 * (uint64_t)ENV_HUGE_BYTES);
    env_sleep_us(1100 * 1000);
    chunk_pool_tend(s.chunks);
    assert_int_equal(chunk_pool_bytes(s.chunks), 0);
    end(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_the_first_was_taken_more_are_prepared),
        cmocka_unit_test(what_was_given_last_is_taken_first),
        cmocka_unit_test(a_pool_that_rests_gives_everything_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
