/*
 * target_fuzz.c - any bytes as a request target: the parts put together again are the target; what decodes, encodes
 * back to the same bytes.
 */
#include "http/headers.h"
#include "http/target.h"
#include "tests/fuzz/fuzz.h"

static void check_decoding(velocity_slice raw, bool plus_is_space) {
    char *buffer = fuzz_buffer(raw.size), *escaped, *again;
    velocity_slice bytes, back;
    if (target_decode(raw, plus_is_space, buffer, &bytes)) {
        size_t n = 0;
        CHECK(bytes.size <= raw.size);
        escaped = fuzz_buffer(3 * bytes.size);
        again = fuzz_buffer(3 * bytes.size);
        for (size_t i = 0; i < bytes.size; i++) {
            static const char hex[] = "0123456789ABCDEF";
            unsigned char c = ((const unsigned char *)bytes.data)[i];
            escaped[n++] = '%';
            escaped[n++] = hex[c >> 4];
            escaped[n++] = hex[c & 15];
        }
        CHECK(target_decode(velocity_bytes(escaped, n), plus_is_space, again, &back) && slice_equal(bytes, back));
        free(escaped);
        free(again);
    }
    free(buffer);
}

/* Decoding in place says the same as decoding elsewhere. */
static void check_in_place(velocity_slice raw) {
    char *there = fuzz_buffer(raw.size), *here = fuzz_buffer(raw.size);
    velocity_slice a, b;
    bool ok;
    if (raw.size) memcpy(here, raw.data, raw.size);
    ok = target_decode(raw, false, there, &a);
    CHECK(ok == target_decode(velocity_bytes(here, raw.size), false, here, &b));
    CHECK(!ok || slice_equal(a, b));
    free(there);
    free(here);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    velocity_slice raw = velocity_bytes(data, size);
    struct target t;
    struct host h;
    const char *reason = NULL;
    check_decoding(raw, false);
    check_decoding(raw, true);
    check_in_place(raw);
    if (!target_parse(raw, &t, &reason)) {
        CHECK(reason);
        return 0;
    }
    if (t.asterisk) {
        CHECK(size == 1);
        return 0;
    }
    CHECK(t.path.size && *(const char *)t.path.data == '/');
    CHECK(fuzz_within(t.query, raw) && fuzz_within(t.authority, raw));
    CHECK(!memchr(t.path.data, '?', t.path.size));
    if (t.authority.size == 0)
        CHECK(t.path.size + t.has_query + t.query.size == size);
    else if (host_parse(t.authority, &h))
        CHECK(fuzz_within(h.name, t.authority) && h.name.size);
    return 0;
}
