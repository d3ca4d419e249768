/*
 * engine_fuzz.h - what the fuzzers of the engine's decoders share: an input that is taken piece by piece, and files of
 * a simulated machine, so that an input costs no disk.
 */
#ifndef VELOCITY_TESTS_ENGINE_FUZZ_H
#define VELOCITY_TESTS_ENGINE_FUZZ_H

#include "engine/env.h"
#include "engine/file.h"
#include "tests/engine/env_sim.h"
#include "tests/fuzz/fuzz.h"

struct fuzz_input {
    const uint8_t *data;
    size_t left;
};

/* 0 once the input is used up. */
static inline uint64_t fuzz_number(struct fuzz_input *in, size_t bytes) {
    uint64_t number = 0;
    for (size_t i = 0; i < bytes && in->left; i++, in->left--) number |= (uint64_t)*in->data++ << (8 * i);
    return number;
}

/* As many bytes as there are, at most `size`. */
static inline velocity_slice fuzz_bytes(struct fuzz_input *in, size_t size) {
    if (size > in->left) size = in->left;
    velocity_slice bytes = velocity_bytes(in->data, size);
    in->data += size;
    in->left -= size;
    return bytes;
}

static inline void fuzz_must(velocity_status status) {
    if (status) fprintf(stderr, "%s: %s\n", velocity_status_name(status), velocity_error_message());
    CHECK(status == VELOCITY_OK);
}

static inline void fuzz_file(env *e, const char *path, const void *bytes, size_t size) {
    env_file *file;
    fuzz_must(env_create(e, path, &file));
    fuzz_must(env_write(file, bytes, size, 0));
    fuzz_must(env_close(file));
}

/* A file header of this kind and number; answers the file's seed. */
static inline uint64_t fuzz_header(env *e, enum file_kind kind, uint64_t number, const uint64_t database_id[2],
                                   uint64_t argument, uint8_t out[FILE_HEADER_BYTES]) {
    struct file_header header = {.kind = kind, .number = number, .argument = argument};
    memcpy(header.database_id, database_id, sizeof header.database_id);
    fuzz_must(file_header_make(e, &header, out));
    return file_seed(&header);
}

/* Whatever a decoder answers to bytes that nobody checked, it is one of these. */
static inline bool fuzz_is_refusal(velocity_status status) {
    return status == VELOCITY_CORRUPT || status == VELOCITY_UNSUPPORTED || status == VELOCITY_INVALID;
}

#endif
