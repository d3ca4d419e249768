/*
 * fuzz.h - what the fuzzers share: a check that holds in every build, and taking an input apart.
 */
#ifndef VELOCITY_TESTS_FUZZ_H
#define VELOCITY_TESTS_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/slice.h"

/* libFuzzer calls it; 0 says that the input was looked at. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(promise)                                                                                                 \
    do {                                                                                                               \
        if (!(promise)) {                                                                                              \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #promise);                                      \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* A buffer of exactly this size, so that a write beside it is seen; free() it. */
static inline void *fuzz_buffer(size_t size) {
    void *buffer = malloc(size ? size : 1);
    CHECK(buffer);
    return buffer;
}

/* Is `part` within `whole`? */
static inline bool fuzz_within(velocity_slice part, velocity_slice whole) {
    uintptr_t p = (uintptr_t)part.data, w = (uintptr_t)whole.data;
    return part.size == 0 || (p >= w && p + part.size <= w + whole.size);
}

#endif
