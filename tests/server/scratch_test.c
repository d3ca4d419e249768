/* scratch_test.c - pieces are whole, aligned and apart, and one reset takes them all. */
#include "tests/server/cmocka_all.h"

#include "server/scratch.h"

static void pieces_are_aligned_and_apart_in_the_first_block_and_beyond(void **state) {
    unsigned char first[1000];
    struct scratch scratch;
    unsigned char *pieces[200];
    (void)state;
    scratch_init(&scratch, first + 3, sizeof first - 3);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 200; i++) {
            size_t size = (i * 37) % 700;
            pieces[i] = scratch_alloc(&scratch, size);
            assert_non_null(pieces[i]);
            assert_int_equal((uintptr_t)pieces[i] % 16, 0);
            memset(pieces[i], (int)i, size);
        }
        for (size_t i = 0; i < 200; i++)
            for (size_t at = 0; at < (i * 37) % 700; at++) assert_int_equal(pieces[i][at], (unsigned char)i);
        scratch_reset(&scratch);
    }
}

static void a_piece_larger_than_any_block_is_had_too(void **state) {
    struct scratch scratch;
    (void)state;
    scratch_init(&scratch, NULL, 0);
    unsigned char *large = scratch_alloc(&scratch, 1000000), *small = scratch_alloc(&scratch, 10);
    assert_non_null(large);
    assert_non_null(small);
    memset(large, 1, 1000000);
    memset(small, 2, 10);
    assert_int_equal(large[999999], 1);
    scratch_reset(&scratch);
}

static void a_piece_of_no_bytes_is_a_piece_too(void **state) {
    struct scratch scratch;
    (void)state;
    scratch_init(&scratch, NULL, 0);
    assert_non_null(scratch_alloc(&scratch, 0));
    assert_non_null(scratch_alloc(&scratch, 0));
    scratch_reset(&scratch);
    assert_non_null(scratch_alloc(&scratch, 0));
    scratch_reset(&scratch);
}

static void a_size_that_cannot_be_is_refused(void **state) {
    struct scratch scratch;
    (void)state;
    scratch_init(&scratch, NULL, 0);
    assert_null(scratch_alloc(&scratch, SIZE_MAX));
    assert_null(scratch_alloc(&scratch, SIZE_MAX - 7));
    scratch_reset(&scratch);
}

static void a_copy_holds_any_bytes_and_ends_with_a_nul(void **state) {
    unsigned char first[100];
    struct scratch scratch;
    velocity_slice copy;
    (void)state;
    scratch_init(&scratch, first, sizeof first);
    assert_true(scratch_copy(&scratch, velocity_bytes("a\0b", 3), &copy));
    assert_slice(copy, velocity_bytes("a\0b", 3));
    assert_int_equal(((const char *)copy.data)[3], 0);
    assert_true(scratch_copy(&scratch, velocity_bytes(NULL, 0), &copy));
    assert_int_equal(copy.size, 0);
    scratch_reset(&scratch);
}

static void what_was_given_out_is_overwritten_in_every_block(void **state) {
    unsigned char first[100] = {0};
    struct scratch scratch;
    (void)state;
    scratch_init(&scratch, first, sizeof first);
    unsigned char *pieces[] = {scratch_alloc(&scratch, 20), scratch_alloc(&scratch, 40000),
                               scratch_alloc(&scratch, 30)};
    static const size_t sizes[] = {20, 40000, 30};
    for (size_t i = 0; i < 3; i++) {
        assert_non_null(pieces[i]);
        memset(pieces[i], 's', sizes[i]);
    }
    scratch_overwrite(&scratch);
    for (size_t i = 0; i < 3; i++)
        for (size_t at = 0; at < sizes[i]; at++) assert_int_equal(pieces[i][at], 0);
    scratch_reset(&scratch);
    scratch_overwrite(&scratch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_aligned_and_apart_in_the_first_block_and_beyond),
        cmocka_unit_test(a_piece_larger_than_any_block_is_had_too),
        cmocka_unit_test(a_piece_of_no_bytes_is_a_piece_too),
        cmocka_unit_test(a_size_that_cannot_be_is_refused),
        cmocka_unit_test(a_copy_holds_any_bytes_and_ends_with_a_nul),
        cmocka_unit_test(what_was_given_out_is_overwritten_in_every_block),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
