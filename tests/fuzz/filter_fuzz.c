/* filter_fuzz.c - a filter of any shape that a footer may name: what was added is found, and no probe leaves its
 * partition. */
#include "engine/filter.h"
#include "tests/fuzz/engine_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct fuzz_input in = {data, size};
    struct filter_shape shape = {.partitions = 1 + (uint32_t)fuzz_number(&in, 1),
                                 .partition_bytes = FILTER_LINE_BYTES * (1 + (uint32_t)fuzz_number(&in, 1)),
                                 .probes = (uint32_t)fuzz_number(&in, 1) % 32};
    uint8_t *partition = fuzz_buffer(shape.partition_bytes);
    velocity_slice content = fuzz_bytes(&in, shape.partition_bytes);
    memset(partition, 0, shape.partition_bytes);
    if (content.size) memcpy(partition, content.data, content.size);
    while (in.left) {
        uint64_t hash = fuzz_number(&in, 8);
        CHECK(filter_partition(&shape, hash) < shape.partitions);
        (void)filter_may_contain(&shape, partition, hash);
        filter_add(&shape, partition, hash);
        CHECK(filter_may_contain(&shape, partition, hash));
    }
    free(partition);
    return 0;
}
