/*
 * utf8.h - is it UTF-8? (RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.)
 */
#ifndef VELOCITY_SERVER_UTF8_H
#define VELOCITY_SERVER_UTF8_H

#include "engine/velocity.h"

/* True for the empty slice and for any bytes below 0x80. ASCII runs at 16 bytes a step. */
bool utf8_valid(velocity_slice bytes);

/* How many bytes the well-formed sequence at p takes (1 to 4); 0: malformed, or cut off at `end`. Needs p < end. */
size_t utf8_sequence(const unsigned char *p, const unsigned char *end);

/* Writes code point c (<= U+10FFFF, no surrogate) and returns how many bytes it took. */
size_t utf8_encode(uint32_t c, unsigned char out[4]);

#endif
