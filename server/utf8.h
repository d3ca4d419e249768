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
    unsigned char lead = p[0];
    size_t left = (size_t)(end - p);
    if (lead < 0x80) return 1;
    if (lead < 0xE0) return lead >= 0xC2 && left >= 2 && (p[1] & 0xC0) == 0x80 ? 2 : 0;
    if (lead < 0xF0) {
        unsigned char low = lead == 0xE0 ? 0xA0 : 0x80;  /* below: overlong */
        unsigned char high = lead == 0xED ? 0x9F : 0xBF; /* above: a surrogate */
        return left >= 3 && p[1] >= low && p[1] <= high && (p[2] & 0xC0) == 0x80 ? 3 : 0;
    }
    unsigned char low = lead == 0xF0 ? 0x90 : 0x80;  /* below: overlong */
    unsigned char high = lead == 0xF4 ? 0x8F : 0xBF; /* above: beyond U+10FFFF */
    if (lead > 0xF4 || left < 4 || p[1] < low || p[1] > high) return 0;
    return (p[2] & 0xC0) == 0x80 && (p[3] & 0xC0) == 0x80 ? 4 : 0;
}

/* Writes code point c (<= U+10FFFF, no surrogate) and returns how many bytes it took. */
size_t utf8_encode(uint32_t c, unsigned char out[4]);

#endif
