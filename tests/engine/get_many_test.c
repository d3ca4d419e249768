/* get_many_test.c - many keys read at once: each has its own answer, and may be taken as it comes. */
#include "testing.h"

static velocity *open_in(const char *folder) {
    velocity_options options = velocity_options_default();
    options.durability = VELOCITY_DURABILITY_OS; /* nothing here cuts the power */
    velocity *db;
    OK(velocity_open(folder, &options, &db));
    return db;
}

static void get_many_answers_each_key_and_fails_for_the_bad_one(void **state) {
    velocity *db = open_in(*state);
    OK(velocity_put(db, velocity_str("in table"), velocity_str("1")));
    OK(velocity_flush(db));
    OK(velocity_put(db, velocity_str("in buffer"), velocity_str("2")));
    velocity_slice keys[] = {velocity_str("in buffer"), velocity_str("nowhere"), velocity_str("in table"),
                             velocity_bytes("", 0)};
    velocity_value values[4];
    velocity_status statuses[4];
    OK(velocity_get_many(db, NULL, 3, keys, values, statuses));
    assert_int_equal(velocity_get_many(db, NULL, 4, keys, values, statuses), VELOCITY_INVALID);
    OK(statuses[0]);
    assert_memory_equal(values[0].data, "2", 1);
    assert_int_equal(statuses[1], VELOCITY_NOT_FOUND);
    OK(statuses[2]);
    assert_memory_equal(values[2].data, "1", 1);
    assert_int_equal(statuses[3], VELOCITY_INVALID);
    OK(velocity_close(db));
}

/* Keeps no value, and wants no more than so many. */
struct reader {
    velocity_value *values;
    const velocity_status *statuses;
    size_t wanted, seen, bytes;
};

static bool take(void *arg, size_t index) {
    struct reader *r = arg;
    assert_int_equal(index, r->seen);
    r->seen++;
    if (r->statuses[index] == VELOCITY_OK) r->bytes += r->values[index].size;
    velocity_value_release(&r->values[index]);
    return r->seen < r->wanted;
}

static void get_many_can_be_followed_key_by_key_and_stopped(void **state) {
    velocity *db = open_in(*state);
    static char large[5000];
    velocity_slice keys[] = {velocity_str("a"), velocity_str("nowhere"), velocity_str("b"), velocity_str("c")};
    velocity_value values[4];
    velocity_status statuses[4];
    OK(velocity_put(db, keys[0], velocity_bytes(large, sizeof large)));
    OK(velocity_put(db, keys[2], velocity_bytes(large, 4000)));
    OK(velocity_flush(db));
    OK(velocity_put(db, keys[3], velocity_bytes(large, 3000)));
    struct reader all = {.values = values, .statuses = statuses, .wanted = 9}, some = all;
    velocity_read_options options = velocity_read_options_default();
    options.each = take;
    options.each_arg = &all;
    OK(velocity_get_many(db, &options, 4, keys, values, statuses));
    assert_int_equal(all.seen, 4);
    assert_int_equal(all.bytes, 12000);
    some.wanted = 3;
    options.each_arg = &some;
    velocity_stats before = {.struct_size = sizeof before}, after = before;
    OK(velocity_stats_get(db, &before));
    assert_int_equal(velocity_get_many(db, &options, 4, keys, values, statuses), VELOCITY_INCOMPLETE);
    OK(velocity_stats_get(db, &after));
    assert_int_equal(after.gets - before.gets, 3);
    assert_int_equal(some.bytes, 9000);
    assert_int_equal(statuses[1], VELOCITY_NOT_FOUND);
    assert_int_equal(statuses[3], VELOCITY_INCOMPLETE);
    assert_null(values[3].data);
    options.struct_size = offsetof(velocity_read_options, each); /* of who was compiled before there was such a thing */
    OK(velocity_get_many(db, &options, 4, keys, values, statuses));
    assert_int_equal(some.seen, 3);
    for (size_t i = 0; i < 4; i++) velocity_value_release(&values[i]);
    OK(velocity_close(db)); /* nothing is held */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST_IN_FOLDER(get_many_answers_each_key_and_fails_for_the_bad_one),
        TEST_IN_FOLDER(get_many_can_be_followed_key_by_key_and_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
