/*
 * utf8.c - UTF-8: see utf8.h. Pure functions.
 */
#include "server/utf8.h"

#define HIGH_BITS UINT64_C(0x8080808080808080)

bool utf8_valid(velocity_slice bytes) {
    const unsigned char *p = bytes.size ? bytes.data : (const void *)"", *end = p + bytes.size;
    while (p < end) {
        uint64_t words[2];
        if ((size_t)(end - p) >= sizeof words) {
            memcpy(words, p, sizeof words);
            if (((words[0] | words[1]) & HIGH_BITS) == 0) {
                p += sizeof words;
                continue;
            }
        }
        /* Up to where the next step of 16 may be ASCII again: a text in another script has few such places. */
        while (p < end && *p < 0x80) p++;
        while (p < end && *p >= 0x80) {
            size_t size = utf8_sequence(p, end);
            if (size == 0) return false;
            p += size;
        }
    }
    return true;
}

size_t utf8_encode(uint32_t c, unsigned char out[4]) {
    if (c < 0x80) {
        out[0] = (unsigned char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (unsigned char)(0xC0 | c >> 6);
        out[1] = (unsigned char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (unsigned char)(0xE0 | c >> 12);
        out[1] = (unsigned char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (unsigned char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (unsigned char)(0xF0 | c >> 18);
    out[1] = (unsigned char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (unsigned char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (unsigned char)(0x80 | (c & 0x3F));
    return 4;
}
