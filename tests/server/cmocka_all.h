/* cmocka_all.h - cmocka and the headers that it wants before itself. */
#ifndef VELOCITY_TESTS_CMOCKA_ALL_H
#define VELOCITY_TESTS_CMOCKA_ALL_H

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#include <unistd.h>

#include "engine/slice.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* A slice of a string literal that may hold NULs. */
#define LITERAL(text) velocity_bytes(text, sizeof(text) - 1)

/* A copy on the heap of exactly its size, so that ASan sees a read or write beside it. */
static inline char *exact_copy(velocity_slice bytes) {
    char *copy = malloc(bytes.size ? bytes.size : 1);
    assert_non_null(copy);
    if (bytes.size) memcpy(copy, bytes.data, bytes.size);
    return copy;
}

/* Until it holds, for SOON_MS or longer: only what never comes is waited for so long, however slow the machine. */
#define SOON_MS 30000
#define assert_soon(condition)                                                                                         \
    do {                                                                                                               \
        int left_ = SOON_MS;                                                                                           \
        while (!(condition) && left_-- > 0) (void)usleep(1000);                                                        \
        assert_true(condition);                                                                                        \
    } while (0)

#define assert_slice(actual, expected)                                                                                 \
    do {                                                                                                               \
        velocity_slice a_ = (actual), e_ = (expected);                                                                 \
        assert_int_equal(a_.size, e_.size);                                                                            \
        if (a_.size) assert_memory_equal(a_.data, e_.data, a_.size);                                                   \
    } while (0)

#endif
