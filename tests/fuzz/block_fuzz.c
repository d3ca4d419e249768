/* block_fuzz.c - any bytes as a block: every search and every entry stays within it, and comes to an end. */
#include "engine/block.h"
#include "tests/fuzz/engine_fuzz.h"

static void look_for(const struct block *block, velocity_slice key) {
    struct block_entry e;
    uint32_t at = block_seek(block, key), i = 0;
    CHECK(at <= block->count);
    velocity_status status = block_find(block, key, &i, &e);
    CHECK(status == VELOCITY_OK || status == VELOCITY_NOT_FOUND || status == VELOCITY_CORRUPT);
    if (status == VELOCITY_OK) CHECK(i < block->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {data, size};
    velocity_slice key = fuzz_bytes(&in, 1 + fuzz_number(&in, 1) % 16);
    void *copy = fuzz_buffer(in.left);
    memcpy(copy, in.data, in.left);
    struct block block;
    struct block_entry e;
    if (block_open(&block, copy, in.left)) {
        look_for(&block, key);
        for (uint32_t i = 0; i < block.count && i < 1000; i++) {
            if (!block_entry_read(&block, i, &e)) continue;
            velocity_slice whole = velocity_bytes(copy, in.left);
            CHECK(fuzz_within(e.value, whole));
            uint8_t *suffix = fuzz_buffer(e.suffix_bytes + BLOCK_SUFFIX_SLACK);
            block_suffix_copy(&block, i, &e, suffix);
            uint8_t *found = fuzz_buffer(block_key_bytes(&block, &e));
            if (block.prefix_bytes) memcpy(found, block.prefix, block.prefix_bytes);
            memcpy(found + block.prefix_bytes, suffix, e.suffix_bytes);
            look_for(&block, velocity_bytes(found, block_key_bytes(&block, &e)));
            free(found);
            free(suffix);
        }
    }
    free(copy);
    return 0;
}
