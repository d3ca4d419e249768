/*
 * slice.h - byte strings: comparing and measuring velocity_slice. Keys order as unsigned bytes, a prefix before what it
 * begins.
 */
#ifndef VELOCITY_SLICE_H
#define VELOCITY_SLICE_H

#include "velocity.h"

static inline int slice_compare(velocity_slice a, velocity_slice b) {
    size_t shared = a.size < b.size ? a.size : b.size;
    int order = shared ? memcmp(a.data, b.data, shared) : 0;
    if (order) return order;
    return a.size < b.size ? -1 : a.size > b.size;
}

static inline bool slice_equal(velocity_slice a, velocity_slice b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool slice_starts_with(velocity_slice s, velocity_slice prefix) {
    return s.size >= prefix.size && (prefix.size == 0 || memcmp(s.data, prefix.data, prefix.size) == 0);
}

static inline size_t slice_shared_prefix(velocity_slice a, velocity_slice b) {
    size_t limit = a.size < b.size ? a.size : b.size, i = 0;
    const unsigned char *x = a.data, *y = b.data;
    while (i < limit && x[i] == y[i]) i++;
    return i;
}

/* The bytes from `from` on as a big-endian number, missing ones as zero: orders like the bytes as far as it reaches. */
static inline uint64_t slice_head8(velocity_slice s, size_t from) {
    const unsigned char *p = (const unsigned char *)s.data + from;
    if (s.size >= from + 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        return __builtin_bswap64(word);
    }
    uint64_t head = 0;
    size_t left = s.size > from ? s.size - from : 0;
    for (size_t i = 0; i < left; i++) head |= (uint64_t)p[i] << (56 - 8 * i);
    return head;
}

static inline uint32_t slice_head4(velocity_slice s, size_t from) {
    const unsigned char *p = (const unsigned char *)s.data + from;
    if (s.size >= from + 4) {
        uint32_t word;
        memcpy(&word, p, 4);
        return __builtin_bswap32(word);
    }
    uint32_t head = 0;
    size_t left = s.size > from ? s.size - from : 0;
    for (size_t i = 0; i < left; i++) head |= (uint32_t)p[i] << (24 - 8 * i);
    return head;
}

#endif
