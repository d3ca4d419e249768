/*
 * utf8.h - is it UTF-8? (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.)
 */
#ifndef VELOCITY_SERVER_UTF8_H
#define VELOCITY_SERVER_UTF8_H

#include "engine/velocity.h"

/* True for the empty slice and for any bytes below 0x80. ASCII runs at 16 bytes a step. */
bool utf8_valid(velocity_slice bytes);

/* How many bytes the well-formed sequence at p takes (1 to 4); 0: malformed, or cut off at `end`. Needs p < end. */
static inline size_t utf8_sequence(const unsigned char *p, const unsigned char *end) {
    unsigned char lead = p[0], low = 0x80, high = 0xBF; /* bounds of the second byte */
    size_t size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (lead < 0x80) return 1;
    if (lead < 0xC2 || lead > 0xF4 || (size_t)(end - p) < size) return 0;
    if (lead == 0xE0) low = 0xA0;  /* overlong */
    if (lead == 0xED) high = 0x9F; /* surrogates */
    if (lead == 0xF0) low = 0x90;  /* overlong */
    if (lead == 0xF4) high = 0x8F; /* above U+10FFFF */
    if (p[1] < low || p[1] > high) return 0;
    for (size_t i = 2; i < size; i++)
        if ((p[i] & 0xC0) != 0x80) return 0;
    return size;
}

/* Writes code point c (<= U+10FFFF, no surrogate) and returns how many bytes it took. */
size_t utf8_encode(uint32_t c, unsigned char out[4]);

#endif
