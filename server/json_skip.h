/*
 * json_skip.h - the end of an array or object, found without looking at what is in it: the inner loop of the reader.
 *
 * 64 bytes a step become 64-bit masks, bit i for byte i:
 *
 *     bytes    { " a \ " } " : [ ] }
 *     quotes   . 1 . . . . 1 . . . .     those behind a backslash do not count
 *     text     . 1 1 1 1 1 . . . . .     parity of the quotes so far: within a string
 *     open     1 . . . . . . . 1 . .     brackets outside of strings
 *     close    . . . . . . . . . 1 1
 */
#ifndef VELOCITY_SERVER_JSON_SKIP_H
#define VELOCITY_SERVER_JSON_SKIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define JSON_STEP 64

struct json_masks {
    uint64_t quotes, backslashes, open, close;
};

#if defined(__SSE2__)
static inline uint64_t json_equal16(__m128i chunk, char byte, unsigned shift) {
    return (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(chunk, _mm_set1_epi8(byte))) << shift;
}

static inline struct json_masks json_masks(const unsigned char *p) {
    struct json_masks m = {0, 0, 0, 0};
    for (unsigned at = 0; at < JSON_STEP; at += 16) {
        __m128i chunk = _mm_loadu_si128((const __m128i *)(const void *)(p + at));
        __m128i lower = _mm_or_si128(chunk, _mm_set1_epi8(0x20)); /* makes [ a { and ] a } */
        m.quotes |= json_equal16(chunk, '"', at);
        m.backslashes |= json_equal16(chunk, '\\', at);
        m.open |= json_equal16(lower, '{', at);
        m.close |= json_equal16(lower, '}', at);
    }
    return m;
}
#else
static inline struct json_masks json_masks(const unsigned char *p) {
    struct json_masks m = {0, 0, 0, 0};
    for (unsigned at = 0; at < JSON_STEP; at++) {
        m.quotes |= (uint64_t)(p[at] == '"') << at;
        m.backslashes |= (uint64_t)(p[at] == '\\') << at;
        m.open |= (uint64_t)((p[at] | 0x20) == '{') << at;
        m.close |= (uint64_t)((p[at] | 0x20) == '}') << at;
    }
    return m;
}
#endif

/* The bytes that stand behind a backslash. *carry: byte 0 does; afterwards, byte 0 of the next step does. */
static inline uint64_t json_escaped(uint64_t backslashes, bool *carry) {
    uint64_t escaped = *carry;
    *carry = false;
    for (backslashes &= ~escaped; backslashes;) {
        unsigned at = (unsigned)__builtin_ctzll(backslashes);
        *carry = at == JSON_STEP - 1;
        if (*carry) break;
        escaped |= UINT64_C(2) << at;
        backslashes &= ~(UINT64_C(3) << at);
    }
    return escaped;
}

/* Bit i: the number of bits up to and with i is odd. */
static inline uint64_t json_parity(uint64_t bits) {
    for (unsigned shift = 1; shift < JSON_STEP; shift *= 2) bits ^= bits << shift;
    return bits;
}

/* From an opening bracket of a valid document to behind the bracket that closes it; `end` where none does. */
static inline const unsigned char *json_skip_container(const unsigned char *p, const unsigned char *end) {
    unsigned char last[JSON_STEP];
    uint64_t in_string = 0; /* all ones: the step begins within a string */
    bool escape = false;
    size_t depth = 0;
    for (; p < end; p += JSON_STEP) {
        const unsigned char *bytes = p;
        if (end - p < JSON_STEP) {
            memset(last, ' ', sizeof last);
            bytes = memcpy(last, p, (size_t)(end - p));
        }
        struct json_masks m = json_masks(bytes);
        uint64_t text = json_parity(m.quotes & ~json_escaped(m.backslashes, &escape)) ^ in_string;
        in_string = text >> 63 ? UINT64_MAX : 0;
        m.open &= ~text;
        m.close &= ~text;
        for (uint64_t brackets = m.open | m.close; brackets; brackets &= brackets - 1) {
            uint64_t lowest = brackets & (0 - brackets);
            if (m.open & lowest)
                depth++;
            else if (depth-- <= 1)
                return p + __builtin_ctzll(lowest) + 1;
        }
    }
    return end;
}

#endif
