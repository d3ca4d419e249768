/*
 * json_run.h - the longest run of bytes that a JSON string holds as they are: the inner loop of scanner and writer.
 */
#ifndef VELOCITY_SERVER_JSON_RUN_H
#define VELOCITY_SERVER_JSON_RUN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/* The first byte from p on that is a quote, a backslash, below 0x20 or above 0x7F; `end` if there is none. */
static inline const unsigned char *json_plain_run(const unsigned char *p, const unsigned char *end) {
#if defined(__SSE2__)
    while (end - p >= 16) {
        __m128i chunk = _mm_loadu_si128((const __m128i *)(const void *)p);
        /* Compared as signed, bytes from 0x80 on are below 0x20 too. */
        __m128i special = _mm_cmplt_epi8(chunk, _mm_set1_epi8(0x20));
        special = _mm_or_si128(special, _mm_cmpeq_epi8(chunk, _mm_set1_epi8('"')));
        special = _mm_or_si128(special, _mm_cmpeq_epi8(chunk, _mm_set1_epi8('\\')));
        unsigned mask = (unsigned)_mm_movemask_epi8(special);
        if (mask) return p + __builtin_ctz(mask);
        p += 16;
    }
#else
    const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
    while (end - p >= 8) {
        uint64_t word, quote, backslash;
        memcpy(&word, p, 8);
        quote = word ^ (ones * '"');
        backslash = word ^ (ones * '\\');
        /* Says for sure that there is none of them in the word; where one is, the loop below finds. */
        if (((word - ones * 0x20) | (quote - ones) | (backslash - ones) | word) & high) break;
        p += 8;
    }
#endif
    while (p < end && *p >= 0x20 && *p < 0x80 && *p != '"' && *p != '\\') p++;
    return p;
}

#endif
