/*
 * cursor_fuzz.c - any text as a cursor is refused or is exactly what encoding its key gives; any key comes back, and
 * only for the parameters that it was encoded with.
 */
#include "http/cursor.h"
#include "tests/fuzz/fuzz.h"

static void check_text(velocity_slice text, const struct cursor_parameters *parameters) {
    char *buffer = fuzz_buffer(base64_decoded_max(text.size)), *again;
    velocity_slice key;
    if (cursor_decode(text, parameters, buffer, &key) == CURSOR_OK) {
        CHECK(key.size > 0);
        again = fuzz_buffer(cursor_encoded_size(key.size));
        CHECK(slice_equal(text, velocity_bytes(again, cursor_encode(parameters, key, again))));
        free(again);
    }
    free(buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct cursor_parameters parameters = {.database = velocity_str("default")}, other;
    velocity_slice key, back;
    char *text, *buffer;
    size_t n, head;
    check_text(velocity_bytes(data, size), &parameters);
    if (size < 3) return 0;
    /* Of the input: switches, how long the prefix is, prefix, key. */
    parameters.reverse = data[0] & 1;
    parameters.values = data[0] >> 1 & 1;
    head = data[1] % (size - 2);
    parameters.prefix = velocity_bytes(data + 2, head);
    key = velocity_bytes(data + 2 + head, size - 2 - head);
    n = cursor_encoded_size(key.size);
    text = fuzz_buffer(n);
    buffer = fuzz_buffer(base64_decoded_max(n));
    CHECK(cursor_encode(&parameters, key, text) == n);
    CHECK(cursor_decode(velocity_bytes(text, n), &parameters, buffer, &back) == CURSOR_OK && slice_equal(key, back));
    other = parameters;
    other.reverse = !other.reverse;
    CHECK(cursor_decode(velocity_bytes(text, n), &other, buffer, &back) == CURSOR_FOREIGN);
    text[data[0] % n] ^= 1; /* another character of the alphabet, or none: either way no longer this cursor */
    CHECK(cursor_decode(velocity_bytes(text, n), &parameters, buffer, &back) != CURSOR_OK);
    check_text(velocity_bytes(text, n), &parameters);
    free(text);
    free(buffer);
    return 0;
}
