/*
 * coding.h - numbers as bytes: fixed-width little-endian, and varints (7 bits a byte, low group first, as in LEB128).
 * The readers of varints never pass `end`; they answer NULL for a number that is cut off or too long.
 */
#ifndef VELOCITY_CODING_H
#define VELOCITY_CODING_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the formats are little-endian and read in place; a big-endian port swaps in these functions and in block.c"
#endif

#define VARINT32_MAX_BYTES 5
#define VARINT64_MAX_BYTES 10

static inline void put_u16(void *p, uint16_t v) {
    memcpy(p, &v, 2);
}
static inline void put_u32(void *p, uint32_t v) {
    memcpy(p, &v, 4);
}
static inline void put_u64(void *p, uint64_t v) {
    memcpy(p, &v, 8);
}
static inline uint16_t get_u16(const void *p) {
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}
static inline uint32_t get_u32(const void *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}
static inline uint64_t get_u64(const void *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return v;
}

static inline uint8_t *put_varint(uint8_t *p, uint64_t v) {
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

static inline size_t varint_bytes(uint64_t v) {
    size_t n = 1;
    while (v >= 0x80) v >>= 7, n++;
    return n;
}

static inline const uint8_t *get_varint64_slow(const uint8_t *p, const uint8_t *end, uint64_t *out) {
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && p < end; shift += 7) {
        uint8_t byte = *p++;
        if (shift == 63 && byte > 1) return NULL;
        v |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *out = v;
            return p;
        }
    }
    return NULL;
}

static inline const uint8_t *get_varint64(const uint8_t *p, const uint8_t *end, uint64_t *out) {
    if (p < end && *p < 0x80) {
        *out = *p;
        return p + 1;
    }
    return get_varint64_slow(p, end, out);
}

static inline const uint8_t *get_varint32(const uint8_t *p, const uint8_t *end, uint32_t *out) {
    uint64_t v;
    p = get_varint64(p, end, &v);
    if (!p || v > UINT32_MAX) return NULL;
    *out = (uint32_t)v;
    return p;
}

#endif
