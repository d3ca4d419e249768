/* number_map_test.c - the map against an array that says the same. */
#include "engine/number_map.h"
#include "testing.h"

#define KEY(number) ((number)*UINT64_C(0x100000001))

enum { NUMBERS = 500, STEPS = 200000 };

/* Few and many numbers in turn, so that stretches of slots grow, and holes open in their midst. */
static void it_finds_what_was_put_and_not_what_was_removed(void **state) {
    (void)state;
    struct number_map map;
    size_t places[NUMBERS], count = 0;
    uint64_t random = 5;
    OK(number_map_init(&map, env_posix()));
    for (size_t i = 0; i < NUMBERS; i++) places[i] = NUMBER_MAP_NONE;
    for (size_t i = 0; i < STEPS; i++) {
        uint64_t number = below(&random, NUMBERS), key = KEY(number);
        bool there = places[number] != NUMBER_MAP_NONE;
        if (below(&random, 100) < (i / 5000 % 2 ? 70 : 30)) {
            OK(number_map_put(&map, key, i));
            places[number] = i;
            count += !there;
        } else if (there && i % 3 == 0) {
            number_map_move(&map, key, i);
            places[number] = i;
        } else {
            number_map_remove(&map, key);
            places[number] = NUMBER_MAP_NONE;
            count -= there;
        }
        assert_int_equal(map.count, count);
        if (i % 100) continue;
        for (uint64_t k = 0; k < NUMBERS; k++) assert_int_equal(number_map_find(&map, KEY(k)), places[k]);
    }
    number_map_clear(&map);
    assert_int_equal(number_map_find(&map, 0), NUMBER_MAP_NONE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_finds_what_was_put_and_not_what_was_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
