/*
 * key_range.h - ranges of keys: where those that begin with a prefix end, and what bounds have in common.
 */
#ifndef VELOCITY_SERVER_KEY_RANGE_H
#define VELOCITY_SERVER_KEY_RANGE_H

#include "engine/velocity.h"

static inline int key_compare(velocity_slice a, velocity_slice b) {
    size_t shared = a.size < b.size ? a.size : b.size;
    int order = shared ? memcmp(a.data, b.data, shared) : 0;
    if (order) return order;
    return a.size < b.size ? -1 : a.size > b.size;
}

static inline bool key_begins_with(velocity_slice key, velocity_slice prefix) {
    return key.size >= prefix.size && (prefix.size == 0 || memcmp(key.data, prefix.data, prefix.size) == 0);
}

/* May a key with this prefix lie in [start, end) (end without data: no bound)? It may say so of a few where none does.
 */
static inline bool key_range_overlaps(velocity_slice start, velocity_slice end, velocity_slice prefix) {
    if (key_compare(prefix, start) < 0 && !key_begins_with(start, prefix)) return false;
    return !end.data || key_compare(prefix, end) < 0;
}

/* The least key that is greater than all that begin with the prefix. Writes it to out[0..prefix.size) and returns its
 * size; 0: there is none, the prefix is nothing but 0xFF. */
static inline size_t key_behind(velocity_slice prefix, unsigned char *out) {
    const unsigned char *p = prefix.data;
    size_t size = prefix.size;
    while (size && p[size - 1] == 0xFF) size--;
    if (size == 0) return 0;
    memcpy(out, p, size);
    out[size - 1]++;
    return size;
}

/*
 * The bounds with which *start and *end (empty: none) and the prefix hold together. `buffer` has prefix.size bytes and
 * must live as long as they. False: no key lies between them.
 */
static inline bool key_range_narrow(velocity_slice *start, velocity_slice *end, velocity_slice prefix,
                                    unsigned char *buffer) {
    size_t size = prefix.size ? key_behind(prefix, buffer) : 0;
    if (key_compare(prefix, *start) > 0) *start = prefix;
    if (size && (end->size == 0 || key_compare(velocity_bytes(buffer, size), *end) < 0))
        *end = velocity_bytes(buffer, size);
    return end->size == 0 || key_compare(*start, *end) < 0;
}

#endif
