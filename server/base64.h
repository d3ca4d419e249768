/*
 * base64.h - base64 with padding, and base64url without (RFC 4648, sections 4 and 5).
 *
 * Decoding is strict, so each byte string has exactly one text: no white space, no foreign characters, padding where it
 * belongs and only there, no stray bits in the last character.
 */
#ifndef VELOCITY_SERVER_BASE64_H
#define VELOCITY_SERVER_BASE64_H

#include "engine/velocity.h"

/* Characters that n bytes take. n is at most SIZE_MAX / 2. */
static inline size_t base64_encoded_size(size_t n) {
    return (n + 2) / 3 * 4;
}
static inline size_t base64url_encoded_size(size_t n) {
    return n / 3 * 4 + (n % 3 ? n % 3 + 1 : 0);
}
/* At most this many bytes come out of n characters, of either kind. */
static inline size_t base64_decoded_max(size_t n) {
    return n / 4 * 3 + n % 4;
}

/* Write the characters, without a NUL, and return how many. */
size_t base64_encode(velocity_slice bytes, char *out);
size_t base64url_encode(velocity_slice bytes, char *out);

/* `out` has base64_decoded_max(text.size) bytes and may be where the text is; *size says how many were filled. */
bool base64_decode(velocity_slice text, void *out, size_t *size);
bool base64url_decode(velocity_slice text, void *out, size_t *size);

#endif
