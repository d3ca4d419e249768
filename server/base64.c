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

/* Each character's six bits and a bit that says "one of the alphabet"; everything else is 0. */
#define IN 0x40
/* clang-format off */
#define COMMON \
    ['A'] = IN | 0,  ['B'] = IN | 1,  ['C'] = IN | 2,  ['D'] = IN | 3,  ['E'] = IN | 4,  ['F'] = IN | 5,  ['G'] = IN | 6, \
    ['H'] = IN | 7,  ['I'] = IN | 8,  ['J'] = IN | 9,  ['K'] = IN | 10, ['L'] = IN | 11, ['M'] = IN | 12, ['N'] = IN | 13, \
    ['O'] = IN | 14, ['P'] = IN | 15, ['Q'] = IN | 16, ['R'] = IN | 17, ['S'] = IN | 18, ['T'] = IN | 19, ['U'] = IN | 20, \
    ['V'] = IN | 21, ['W'] = IN | 22, ['X'] = IN | 23, ['Y'] = IN | 24, ['Z'] = IN | 25, ['a'] = IN | 26, ['b'] = IN | 27, \
    ['c'] = IN | 28, ['d'] = IN | 29, ['e'] = IN | 30, ['f'] = IN | 31, ['g'] = IN | 32, ['h'] = IN | 33, ['i'] = IN | 34, \
    ['j'] = IN | 35, ['k'] = IN | 36, ['l'] = IN | 37, ['m'] = IN | 38, ['n'] = IN | 39, ['o'] = IN | 40, ['p'] = IN | 41, \
    ['q'] = IN | 42, ['r'] = IN | 43, ['s'] = IN | 44, ['t'] = IN | 45, ['u'] = IN | 46, ['v'] = IN | 47, ['w'] = IN | 48, \
    ['x'] = IN | 49, ['y'] = IN | 50, ['z'] = IN | 51, ['0'] = IN | 52, ['1'] = IN | 53, ['2'] = IN | 54, ['3'] = IN | 55, \
    ['4'] = IN | 56, ['5'] = IN | 57, ['6'] = IN | 58, ['7'] = IN | 59, ['8'] = IN | 60, ['9'] = IN | 61
static const unsigned char standard_bits[256] = {COMMON, ['+'] = IN | 62, ['/'] = IN | 63};
static const unsigned char url_bits[256] = {COMMON, ['-'] = IN | 62, ['_'] = IN | 63};
/* clang-format on */

/* `size` characters without padding. Writes behind what it has read, so it works in place. */
static bool decode(const unsigned char bits[256], const unsigned char *p, size_t size, unsigned char *out,
                   size_t *filled) {
    unsigned char *begin = out;
    unsigned a, b, c;
    for (; size >= 4; size -= 4, p += 4) {
        unsigned d = bits[p[3]];
        a = bits[p[0]], b = bits[p[1]], c = bits[p[2]];
        if (!(a & b & c & d & IN)) return false;
        *out++ = (unsigned char)(a << 2 | (b & 63) >> 4);
        *out++ = (unsigned char)(b << 4 | (c & 63) >> 2);
        *out++ = (unsigned char)(c << 6 | (d & 63));
    }
    if (size == 1) return false;
    if (size >= 2) {
        a = bits[p[0]], b = bits[p[1]];
        c = size == 3 ? bits[p[2]] : IN;
        if (!(a & b & c & IN)) return false;
        if ((size == 2 ? b & 15 : c & 3) != 0) return false; /* bits that stand for nothing */
        *out++ = (unsigned char)(a << 2 | (b & 63) >> 4);
        if (size == 3) *out++ = (unsigned char)(b << 4 | (c & 63) >> 2);
    }
    *filled = (size_t)(out - begin);
    return true;
}

bool base64_decode(velocity_slice text, void *out, size_t *size) {
    const unsigned char *p = text.data;
    size_t n = text.size;
    if (n % 4) return false;
    if (n && p[n - 1] == '=') n -= p[n - 2] == '=' ? 2 : 1;
    return decode(standard_bits, p, n, out, size);
}

bool base64url_decode(velocity_slice text, void *out, size_t *size) {
    return decode(url_bits, text.data, text.size, out, size);
}
