/*
 * query_fuzz.c - any bytes as a query: the walk ends, all that comes out stays intact until the end, and values that
 * are read as numbers or base64url are written back the same.
 */
#include "http/target.h"
#include "server/base64.h"
#include "server/decimal.h"
#include "tests/fuzz/fuzz.h"

#define MOST 64 /* parameters that are remembered */

static void check_value(velocity_slice value) {
    char digits[DECIMAL_U64_BYTES], *bytes = fuzz_buffer(base64_decoded_max(value.size));
    velocity_slice decoded;
    uint64_t n;
    bool b;
    if (query_u64(value, 0, UINT64_MAX, &n))
        CHECK(slice_equal(value, velocity_bytes(digits, decimal_format_u64(n, digits))));
    if (query_bool(value, &b)) CHECK(slice_equal(value, velocity_str(b ? "true" : "false")));
    if (query_base64url(value, bytes, &decoded)) {
        char *text = fuzz_buffer(base64url_encoded_size(decoded.size));
        CHECK(slice_equal(value, velocity_bytes(text, base64url_encode(decoded, text))));
        free(text);
    }
    if (base64_decode(value, bytes, &decoded.size)) {
        char *text = fuzz_buffer(base64_encoded_size(decoded.size));
        CHECK(slice_equal(value, velocity_bytes(text, base64_encode(velocity_bytes(bytes, decoded.size), text))));
        free(text);
    }
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const names[] = {"prefix", "limit", "cursor", "reverse"};
    velocity_slice kept[MOST], name, value;
    char *copies[MOST], *buffer = fuzz_buffer(size);
    size_t count = 0, pieces = 0;
    uint64_t seen = 0;
    enum query_result result;
    struct query q;
    query_begin(&q, velocity_bytes(data, size), buffer);
    while ((result = query_next(&q, &name, &value)) == QUERY_PARAMETER) {
        uint64_t before = seen;
        int field = field_index(name, names, 4, &seen);
        CHECK(++pieces <= size);
        CHECK((field >= 0) == (seen != before));
        check_value(value);
        if (count == MOST) continue;
        kept[count] = value;
        copies[count] = fuzz_buffer(value.size);
        if (value.size) memcpy(copies[count], value.data, value.size);
        count++;
    }
    CHECK(result == QUERY_MALFORMED ? memchr(data, '%', size) != NULL : q.rest.size == 0);
    for (size_t i = 0; i < count; i++) {
        CHECK(slice_equal(kept[i], velocity_bytes(copies[i], kept[i].size)));
        free(copies[i]);
    }
    free(buffer);
    return 0;
}
