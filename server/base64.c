/*
 * base64.c - see base64.h. Pure functions over const tables.
 */
#include "server/base64.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static size_t encode(const char alphabet[65], bool pad, velocity_slice bytes, char *out) {
    const unsigned char *p = bytes.data;
    size_t left = bytes.size;
    char *begin = out;
    for (; left >= 3; left -= 3, p += 3) {
        uint32_t n = (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2];
        *out++ = alphabet[n >> 18];
        *out++ = alphabet[n >> 12 & 63];
        *out++ = alphabet[n >> 6 & 63];
        *out++ = alphabet[n & 63];
    }
    if (left) {
        uint32_t n = (uint32_t)p[0] << 16 | (left == 2 ? (uint32_t)p[1] << 8 : 0);
        *out++ = alphabet[n >> 18];
        *out++ = alphabet[n >> 12 & 63];
        if (left == 2) *out++ = alphabet[n >> 6 & 63];
        for (size_t i = left; pad && i < 3; i++) *out++ = '=';
    }
    return (size_t)(out - begin);
}

size_t base64_encode(velocity_slice bytes, char *out) {
    return encode(standard, true, bytes, out);
}
size_t base64url_encode(velocity_slice bytes, char *out) {
    return encode(url, false, bytes, out);
}

#define NONE 0xFF /* not of the alphabet */

/* Each character's six bits plus one, so that 0 says "not one"; 62 and 63 are left out, the two alphabets differ there.
 */
/* clang-format off */
static const unsigned char common_bits[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,  ['I'] = 9,
    ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18,
    ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24, ['Y'] = 25, ['Z'] = 26,
    ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35,
    ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44,
    ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48, ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52,
    ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56, ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61,
    ['9'] = 62,
};
/* clang-format on */

static inline unsigned bits_of(unsigned char c, const char *alphabet) {
    if (common_bits[c]) return common_bits[c] - 1u;
    if (c == (unsigned char)alphabet[62]) return 62;
    return c == (unsigned char)alphabet[63] ? 63 : NONE;
}

/* `size` characters without padding. Writes behind what it has read, so it works in place. */
static bool decode(const char *alphabet, const unsigned char *p, size_t size, unsigned char *out, size_t *filled) {
    unsigned char *begin = out;
    unsigned a, b, c;
    for (; size >= 4; size -= 4, p += 4) {
        unsigned d = bits_of(p[3], alphabet);
        a = bits_of(p[0], alphabet), b = bits_of(p[1], alphabet), c = bits_of(p[2], alphabet);
        if ((a | b | c | d) > 63) return false;
        *out++ = (unsigned char)(a << 2 | b >> 4);
        *out++ = (unsigned char)(b << 4 | c >> 2);
        *out++ = (unsigned char)(c << 6 | d);
    }
    if (size == 1) return false;
    if (size >= 2) {
        a = bits_of(p[0], alphabet), b = bits_of(p[1], alphabet);
        c = size == 3 ? bits_of(p[2], alphabet) : 0;
        if ((a | b | c) > 63) return false;
        if (size == 2 ? (b & 15) != 0 : (c & 3) != 0) return false; /* bits that stand for nothing */
        *out++ = (unsigned char)(a << 2 | b >> 4);
        if (size == 3) *out++ = (unsigned char)(b << 4 | c >> 2);
    }
    *filled = (size_t)(out - begin);
    return true;
}

bool base64_decode(velocity_slice text, void *out, size_t *size) {
    const unsigned char *p = text.data;
    size_t n = text.size;
    if (n % 4) return false;
    if (n && p[n - 1] == '=') n -= p[n - 2] == '=' ? 2 : 1;
    return decode(standard, p, n, out, size);
}

bool base64url_decode(velocity_slice text, void *out, size_t *size) {
    return decode(url, text.data, text.size, out, size);
}
