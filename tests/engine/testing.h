/*
 * testing.h - what the engine's tests share: a folder of their own, random numbers from a seed, files as bytes.
 */
#ifndef VELOCITY_TESTING_H
#define VELOCITY_TESTING_H

#include "engine/env.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define OK(call) assert_int_equal(call, VELOCITY_OK)
/* The call fails so, and the message names this. */
#define FAILS(status, named, call)                                                                                     \
    do {                                                                                                               \
        assert_int_equal(call, status);                                                                                \
        if (!strstr(velocity_error_message(), named))                                                                  \
            fail_msg("the message \"%s\" does not name %s", velocity_error_message(), named);                          \
    } while (0)

/* A test whose *state is the path of a fresh folder, removed afterwards with what is in it. */
#define TEST_IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)
int folder_setup(void **state);
int folder_teardown(void **state);
/* "<folder>/<name>"; the last 256 stay valid; main thread only. */
const char *path_in(const char *folder, const char *name);
/* How many names in the folder end so; the last one in order is copied to `name` (of 64 bytes; may be NULL). */
size_t files_ending(const char *folder, const char *suffix, char *name);

/* The name in the folder that ends so and has `index` others before it in order. */
void files_sorted(const char *folder, const char *suffix, size_t index, char name[64]);
/* Makes `to` and copies the folder's files but LOCK. */
void folder_copy(const char *from, const char *to);

uint8_t *file_bytes(const char *path, size_t *size); /* for free() */
void file_replace(const char *path, const void *data, size_t size);
void file_flip(const char *path, size_t offset, uint8_t bits);
void file_copy(const char *from, const char *to);

/* At the begin of a test all of which runs in one thread: ends it where the thread sanitizer, which has nothing to see
 * there, would take most of its time. */
void runs_in_one_thread(void);

/* The number in this environment variable. */
uint64_t from_environment(const char *name, uint64_t otherwise);

static inline uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}
static inline size_t below(uint64_t *state, size_t limit) {
    return (size_t)(next_random(state) >> 11) % limit;
}
/* Few letters, among them 0 and 0xff: keys that begin others, and padding that could be mistaken for bytes. 1 to 12
 * bytes. */
size_t awkward_key(uint64_t *state, uint8_t *out);

#endif
