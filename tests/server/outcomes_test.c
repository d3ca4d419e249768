/* outcomes_test.c - what is remembered, for how long, and what makes room. */
#include "tests/server/cmocka_all.h"

#include "server/outcomes.h"

enum { KEEP_MS = 1000 };

static struct outcome numbered(uint32_t number) {
    struct outcome outcome = {.owner = number, .version = number, .end = (uint8_t)(number % 7)};
    uint64_t mixed = number * UINT64_C(0x9e3779b97f4a7c15);
    memcpy(outcome.id, &mixed, sizeof mixed);
    memcpy(outcome.id + 8, &number, sizeof number);
    return outcome;
}

static bool has(struct outcomes *outcomes, uint32_t number, uint64_t now_ms) {
    struct outcome wanted = numbered(number), found;
    if (!outcomes_find(outcomes, wanted.id, now_ms, &found)) return false;
    assert_memory_equal(found.id, wanted.id, sizeof wanted.id);
    assert_int_equal(found.owner, number);
    assert_int_equal(found.version, number);
    assert_int_equal(found.end, number % 7);
    return true;
}

static void what_was_added_is_found_with_all_that_it_said(void **state) {
    (void)state;
    struct outcomes *outcomes = outcomes_new(1024, KEEP_MS);
    struct outcome outcome = numbered(5), found;
    outcome.status = VELOCITY_CONFLICT;
    strcpy(outcome.message, "key a was written");
    outcome.key = velocity_bytes("a\0b", 3);
    outcomes_add(outcomes, &outcome, 10);
    assert_true(outcomes_find(outcomes, outcome.id, 10, &found));
    assert_int_equal(found.status, VELOCITY_CONFLICT);
    assert_string_equal(found.message, "key a was written");
    assert_int_equal(found.key.size, 3);
    assert_memory_equal(found.key.data, "a\0b", 3);
    outcome_clear(&found);
    outcome_clear(&found); /* harmless twice */
    assert_false(has(outcomes, 6, 10));
    outcomes_free(outcomes);
}

static void it_is_forgotten_in_time_and_not_before(void **state) {
    (void)state;
    struct outcomes *outcomes = outcomes_new(1024, KEEP_MS);
    struct outcome first = numbered(1), second = numbered(2);
    outcomes_add(outcomes, &first, 0);
    outcomes_add(outcomes, &second, 500);
    assert_true(has(outcomes, 1, KEEP_MS));
    assert_false(has(outcomes, 1, KEEP_MS + 1));
    assert_true(has(outcomes, 2, KEEP_MS + 1));
    struct outcome third = numbered(3);
    outcomes_add(outcomes, &third, KEEP_MS + 1);
    assert_int_equal(outcomes_count(outcomes), 2); /* the first left its place */
    outcomes_free(outcomes);
}

static void beyond_its_size_the_oldest_make_room_and_only_they(void **state) {
    (void)state;
    enum { MOST = 4096, ADDED = 3 * MOST + 17 };
    struct outcomes *outcomes = outcomes_new(MOST, KEEP_MS);
    for (uint32_t i = 0; i < ADDED; i++) {
        struct outcome outcome = numbered(i);
        outcomes_add(outcomes, &outcome, 7);
        assert_true(has(outcomes, i, 7));
        assert_true(has(outcomes, i < MOST ? 0 : i - MOST + 1, 7));
        if (i >= MOST) assert_false(has(outcomes, i - MOST, 7));
    }
    assert_int_equal(outcomes_count(outcomes), MOST);
    for (uint32_t i = ADDED - MOST; i < ADDED; i++) assert_true(has(outcomes, i, 7));
    outcomes_free(outcomes);
}

static void large_keys_make_the_oldest_leave_sooner(void **state) {
    (void)state;
    enum { KEY_BYTES = 16384, MOST_KEYS = OUTCOMES_MOST_KEY_BYTES / KEY_BYTES, ADDED = MOST_KEYS + 100 };
    static const char key[KEY_BYTES];
    struct outcomes *outcomes = outcomes_new(2 * MOST_KEYS, KEEP_MS);
    for (uint32_t i = 0; i < ADDED; i++) {
        struct outcome outcome = numbered(i);
        outcome.key = velocity_bytes(key, sizeof key);
        outcomes_add(outcomes, &outcome, 7);
    }
    assert_int_equal(outcomes_count(outcomes), MOST_KEYS);
    struct outcome newest = numbered(ADDED - 1), found, without = numbered(ADDED);
    assert_true(outcomes_find(outcomes, newest.id, 7, &found));
    assert_int_equal(found.key.size, KEY_BYTES);
    outcome_clear(&found);
    outcomes_add(outcomes, &without, 7); /* which needs no such room */
    assert_int_equal(outcomes_count(outcomes), MOST_KEYS + 1);
    outcomes_free(outcomes);
}

static void of_ids_that_share_a_bucket_each_is_found(void **state) {
    (void)state;
    struct outcomes *outcomes = outcomes_new(256, KEEP_MS);
    for (uint32_t i = 0; i < 600; i++) {
        struct outcome outcome = {.owner = i};
        memcpy(outcome.id + 8, &i, sizeof i);
        outcomes_add(outcomes, &outcome, i);
        for (uint32_t k = i < 256 ? 0 : i - 255; k <= i; k++) {
            struct outcome found;
            memcpy(outcome.id + 8, &k, sizeof k);
            assert_true(outcomes_find(outcomes, outcome.id, i, &found));
            assert_int_equal(found.owner, k);
        }
    }
    outcomes_free(outcomes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_added_is_found_with_all_that_it_said),
        cmocka_unit_test(it_is_forgotten_in_time_and_not_before),
        cmocka_unit_test(beyond_its_size_the_oldest_make_room_and_only_they),
        cmocka_unit_test(large_keys_make_the_oldest_leave_sooner),
        cmocka_unit_test(of_ids_that_share_a_bucket_each_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
