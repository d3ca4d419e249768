/* filter_test.c - filters: no key that is there is ever denied, and the rate of wrong hits is the one asked for. */
#include "engine/filter.h"
#include "testing.h"

static uint64_t hash_of(uint64_t set, uint64_t i) {
    char key[40];
    int size = snprintf(key, sizeof key, "%llu:key:%llu", (unsigned long long)set, (unsigned long long)i);
    return filter_hash(velocity_bytes(key, (size_t)size));
}

struct filter {
    struct filter_shape shape;
    uint8_t *bytes;
};

static struct filter build(uint64_t keys, double rate) {
    struct filter f = {.shape = filter_shape_for(keys, rate)};
    f.bytes = calloc(f.shape.partitions, f.shape.partition_bytes);
    for (uint64_t i = 0; i < keys; i++) {
        uint64_t hash = hash_of(1, i);
        filter_add(&f.shape, f.bytes + (size_t)filter_partition(&f.shape, hash) * f.shape.partition_bytes, hash);
    }
    return f;
}

static bool may_contain(const struct filter *f, uint64_t hash) {
    uint32_t partition = filter_partition(&f->shape, hash);
    assert_true(partition < f->shape.partitions);
    return filter_may_contain(&f->shape, f->bytes + (size_t)partition * f->shape.partition_bytes, hash);
}

static void a_key_that_is_there_is_never_denied(void **state) {
    (void)state;
    static const uint64_t sizes[] = {1, 2, 3, 10, 63, 511, 4000, 30000, 70000};
    static const double rates[] = {0.5, 0.1, 0.01, 0.001, 0.0001};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (size_t r = 0; r < sizeof rates / sizeof *rates; r++) {
            struct filter f = build(sizes[s], rates[r]);
            for (uint64_t i = 0; i < sizes[s]; i++) assert_true(may_contain(&f, hash_of(1, i)));
            free(f.bytes);
        }
    }
}

static void expect_rate(uint64_t keys, double rate) {
    enum { PROBES = 400000 };
    struct filter f = build(keys, rate);
    uint64_t wrong = 0;
    for (uint64_t i = 0; i < PROBES; i++) wrong += may_contain(&f, hash_of(2, i));
    double measured = (double)wrong / PROBES;
    if (measured > rate * 1.25)
        fail_msg("asked for %g with %llu keys, measured %g", rate, (unsigned long long)keys, measured);
    free(f.bytes);
}

static void the_rate_of_wrong_hits_stays_within_what_was_asked(void **state) {
    (void)state;
    expect_rate(100000, 0.1);
    expect_rate(100000, 0.01);
    expect_rate(100000, 0.001);
    expect_rate(1500, 0.01);
}

static void a_filter_takes_the_room_that_its_rate_needs(void **state) {
    (void)state;
    static const double rates[] = {0.1, 0.01, 0.001};
    static const double bits_most[] = {5.6, 11, 17}; /* an ideal Bloom filter: 4.8, 9.6, 14.4 */
    for (int i = 0; i < 3; i++) {
        struct filter_shape s = filter_shape_for(1000000, rates[i]);
        assert_int_equal(s.partition_bytes % FILTER_LINE_BYTES, 0);
        assert_true(s.partition_bytes <= FILTER_PARTITION_BYTES);
        double bits = (double)s.partitions * s.partition_bytes * 8 / 1000000;
        if (bits > bits_most[i]) fail_msg("%g bits a key for a rate of %g", bits, rates[i]);
    }
    assert_int_equal(filter_shape_for(1000, 1).partitions, 0);
    assert_int_equal(filter_shape_for(0, 0.01).partitions, 0);
    struct filter_shape one = filter_shape_for(1, 0.01);
    assert_true(one.partitions == 1 && one.partition_bytes <= 2 * FILTER_LINE_BYTES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_that_is_there_is_never_denied),
        cmocka_unit_test(the_rate_of_wrong_hits_stays_within_what_was_asked),
        cmocka_unit_test(a_filter_takes_the_room_that_its_rate_needs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
