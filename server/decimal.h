/*
 * decimal.h - numbers in decimal digits, read strictly: no leading zero, no sign but a minus, overflow detected.
 */
#ifndef VELOCITY_SERVER_DECIMAL_H
#define VELOCITY_SERVER_DECIMAL_H

#include "engine/velocity.h"

#define DECIMAL_U64_BYTES 20 /* digits of UINT64_MAX */

/* "0", "42", "18446744073709551615"; anything else is false, and *out is unchanged. */
static inline bool decimal_u64(velocity_slice text, uint64_t *out) {
    const unsigned char *p = text.data;
    uint64_t n = 0;
    if (text.size == 0 || text.size > DECIMAL_U64_BYTES) return false;
    if (p[0] == '0' && text.size > 1) return false;
    for (size_t i = 0; i < text.size; i++) {
        unsigned digit = (unsigned)p[i] - '0';
        if (digit > 9) return false;
        if (__builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, digit, &n)) return false;
    }
    *out = n;
    return true;
}

/* Writes the digits, without a NUL, and returns how many. */
static inline size_t decimal_format_u64(uint64_t n, char out[DECIMAL_U64_BYTES]) {
    char digits[DECIMAL_U64_BYTES];
    size_t count = 0;
    do {
        digits[DECIMAL_U64_BYTES - ++count] = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    memcpy(out, digits + DECIMAL_U64_BYTES - count, count);
    return count;
}

#define DECIMAL_I64_BYTES 20 /* of INT64_MIN, with its minus */

/* "0", "42", "-9223372036854775808"; not "-0", as each number has one text. */
static inline bool decimal_i64(velocity_slice text, int64_t *out) {
    if (text.size == 0) return false;
    bool negative = *(const char *)text.data == '-';
    uint64_t magnitude;
    if (!decimal_u64(velocity_bytes((const char *)text.data + negative, text.size - negative), &magnitude))
        return false;
    if (magnitude > (uint64_t)INT64_MAX + negative || (negative && magnitude == 0)) return false;
    *out = negative ? (int64_t)(0 - magnitude) : (int64_t)magnitude;
    return true;
}

/* Writes it, without a NUL, and returns how many bytes. */
static inline size_t decimal_format_i64(int64_t n, char out[DECIMAL_I64_BYTES]) {
    if (n >= 0) return decimal_format_u64((uint64_t)n, out);
    char digits[DECIMAL_U64_BYTES];
    size_t size = decimal_format_u64(0 - (uint64_t)n, digits); /* at most 19 digits */
    out[0] = '-';
    memcpy(out + 1, digits, size);
    return size + 1;
}

#endif
