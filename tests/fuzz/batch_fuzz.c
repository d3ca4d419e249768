/* batch_fuzz.c - any bytes as the operations of a batch or commit group: what is understood stays within them, and says
 * the same when it is written again. */
#include "engine/log.h"
#include "tests/fuzz/engine_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *copy = fuzz_buffer(size);
    if (size) memcpy(copy, data, size);
    const uint8_t *p = copy, *end = copy + size;
    struct entry e, again;
    while (p < end && (p = log_operation_decode(p, end, &e))) {
        CHECK(p <= end);
        CHECK(fuzz_within(e.key, velocity_bytes(copy, size)) && fuzz_within(e.value, velocity_bytes(copy, size)));
        CHECK(e.key.size > 0 && e.key.size <= VELOCITY_MAX_KEY_BYTES);
        size_t bytes = log_operation_bytes(&e);
        uint8_t *written = fuzz_buffer(bytes);
        CHECK(log_operation_encode(written, &e) == written + bytes);
        CHECK(log_operation_decode(written, written + bytes, &again) == written + bytes);
        CHECK(slice_equal(e.key, again.key) && slice_equal(e.value, again.value));
        CHECK(e.kind == again.kind && e.flags == again.flags && e.expires_at_ms == again.expires_at_ms);
        free(written);
    }
    free(copy);
    return 0;
}
