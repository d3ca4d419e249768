/* rdb_packed.c - see rdb_packed.h. */
#include "cli/rdb_packed.h"

#include <inttypes.h>
#include <stdio.h>

#define END_MARK      0xFF
#define LISTPACK_HEAD 6
#define ZIPLIST_HEAD  10
#define INTSET_HEAD   8
#define LZF_LITERAL   32 /* a control byte below it: so many literals, and one */

static uint64_t little(const uint8_t *p, size_t bytes) {
    uint64_t n = 0;
    for (size_t i = bytes; i-- > 0;) n = n << 8 | p[i];
    return n;
}

static uint64_t big(const uint8_t *p, size_t bytes) {
    uint64_t n = 0;
    for (size_t i = 0; i < bytes; i++) n = n << 8 | p[i];
    return n;
}

static int64_t signed_of(uint64_t n, size_t bits) {
    uint64_t sign = UINT64_C(1) << (bits - 1);
    if (bits < 64) n &= (sign << 1) - 1;
    return (int64_t)((n ^ sign) - sign);
}

bool packed_begin(struct packed *p, enum packed_form form, velocity_slice bytes) {
    static const size_t heads[] = {
        [PACKED_LISTPACK] = LISTPACK_HEAD, [PACKED_ZIPLIST] = ZIPLIST_HEAD, [PACKED_INTSET] = INTSET_HEAD};
    const uint8_t *data = bytes.data;
    *p = (struct packed){.form = form};
    if (bytes.size < heads[form]) return false;
    p->at = data + heads[form];
    p->end = data + bytes.size;
    if (form != PACKED_INTSET) return little(data, 4) == bytes.size;
    p->width = (uint32_t)little(data, 4);
    p->left = (uint32_t)little(data + 4, 4);
    bool width = p->width == 2 || p->width == 4 || p->width == 8;
    return width && (uint64_t)p->left * p->width == bytes.size - INTSET_HEAD;
}

static bool damaged(struct packed *p) {
    p->damaged = true;
    return false;
}

static bool give_integer(struct packed *p, int64_t n, velocity_slice *out) {
    int size = snprintf(p->digits, sizeof p->digits, "%" PRId64, n);
    *out = velocity_bytes(p->digits, (size_t)size);
    return true;
}

/* Takes bytes off the front. NULL: there are not so many. */
static const uint8_t *take(struct packed *p, uint64_t bytes) {
    if (bytes > (uint64_t)(p->end - p->at)) {
        p->damaged = true;
        return NULL;
    }
    const uint8_t *data = p->at;
    p->at += bytes;
    return data;
}

static bool give_string(struct packed *p, uint64_t size, velocity_slice *out) {
    const uint8_t *data = take(p, size);
    if (data) *out = velocity_bytes(data, (size_t)size);
    return data != NULL;
}

static bool give_little(struct packed *p, size_t bytes, velocity_slice *out) {
    const uint8_t *data = take(p, bytes);
    return data && give_integer(p, signed_of(little(data, bytes), bytes * 8), out);
}

/* ---- listpack --------------------------------------------------------------------------------------------------- */

static bool listpack_element(struct packed *p, velocity_slice *out) {
    const uint8_t *first = take(p, 1), *more;
    if (!first) return false;
    uint8_t b = *first;
    if (b < 0x80) return give_integer(p, b, out);
    if ((b & 0xC0) == 0x80) return give_string(p, b & 0x3F, out);
    if ((b & 0xE0) == 0xC0)
        return (more = take(p, 1)) && give_integer(p, signed_of((uint64_t)(b & 0x1F) << 8 | *more, 13), out);
    if ((b & 0xF0) == 0xE0) return (more = take(p, 1)) && give_string(p, (uint64_t)(b & 0x0F) << 8 | *more, out);
    switch (b) {
    case 0xF0: return (more = take(p, 4)) && give_string(p, little(more, 4), out);
    case 0xF1: return give_little(p, 2, out);
    case 0xF2: return give_little(p, 3, out);
    case 0xF3: return give_little(p, 4, out);
    case 0xF4: return give_little(p, 8, out);
    default: return damaged(p);
    }
}

/* Behind each element stands how long it was, in groups of seven bits. From two groups on Redis takes one more for what
 * would just fit: "l < 16383" in its lpEncodeBacklen. */
static size_t back_length(size_t element_bytes) {
    size_t bytes = 1;
    if (element_bytes <= 127) return bytes;
    for (bytes = 2; bytes < 5 && element_bytes >= ((size_t)1 << (7 * bytes)) - 1;) bytes++;
    return bytes;
}

static bool listpack_next(struct packed *p, velocity_slice *out) {
    const uint8_t *begin = p->at;
    return listpack_element(p, out) && take(p, back_length((size_t)(p->at - begin)));
}

/* ---- ziplist ---------------------------------------------------------------------------------------------------- */

static bool ziplist_next(struct packed *p, velocity_slice *out) {
    const uint8_t *before = take(p, 1), *first, *more;
    if (!before || (*before == 0xFE && !take(p, 4)) || *before == END_MARK || !(first = take(p, 1))) return damaged(p);
    uint8_t b = *first;
    switch (b >> 6) {
    case 0: return give_string(p, b & 0x3F, out);
    case 1: return (more = take(p, 1)) && give_string(p, (uint64_t)(b & 0x3F) << 8 | *more, out);
    case 2: return (more = take(p, 4)) && give_string(p, big(more, 4), out);
    default: break;
    }
    switch (b) {
    case 0xC0: return give_little(p, 2, out);
    case 0xD0: return give_little(p, 4, out);
    case 0xE0: return give_little(p, 8, out);
    case 0xF0: return give_little(p, 3, out);
    case 0xFE: return give_little(p, 1, out);
    default: return b >= 0xF1 && b <= 0xFD ? give_integer(p, (b & 0x0F) - 1, out) : damaged(p);
    }
}

bool packed_next(struct packed *p, velocity_slice *out) {
    if (p->form == PACKED_INTSET) {
        if (p->left == 0) return false;
        p->left--;
        return give_little(p, p->width, out);
    }
    if (p->at == p->end) return damaged(p);
    if (*p->at == END_MARK) return p->at + 1 == p->end ? false : damaged(p);
    return p->form == PACKED_LISTPACK ? listpack_next(p, out) : ziplist_next(p, out);
}

/* ---- LZF -------------------------------------------------------------------------------------------------------- */

/* A copy may overlap what it copies: then it repeats it. */
static bool copy_back(uint8_t *out, size_t at, size_t distance, size_t size) {
    if (distance > at) return false;
    for (size_t i = 0; i < size; i++) out[at + i] = out[at + i - distance];
    return true;
}

bool lzf_decompress(velocity_slice in, uint8_t *out, size_t out_size) {
    const uint8_t *p = in.data, *end = p + in.size;
    size_t at = 0;
    while (p < end) {
        size_t control = *p++, size = control + 1;
        if (control < LZF_LITERAL) {
            if (size > (size_t)(end - p) || size > out_size - at) return false;
            memcpy(out + at, p, size);
            p += size;
        } else {
            size = (control >> 5) + 2;
            if (size == 9) {
                if (p == end) return false;
                size += *p++;
            }
            if (p == end || size > out_size - at) return false;
            size_t distance = ((control & 0x1F) << 8 | *p++) + 1;
            if (!copy_back(out, at, distance, size)) return false;
        }
        at += size;
    }
    return at == out_size;
}

/* ---- checksum --------------------------------------------------------------------------------------------------- */

/* What the polynomial 0x95ac9329ac4bc9b5 makes of half a byte; a whole one takes two steps. */
static const uint64_t half_bytes[16] = {
    UINT64_C(0x0000000000000000), UINT64_C(0x7d08ff3b88be6f81), UINT64_C(0xfa11fe77117cdf02),
    UINT64_C(0x8719014c99c2b083), UINT64_C(0xdf7adabd7a6e2d6f), UINT64_C(0xa2722586f2d042ee),
    UINT64_C(0x256b24ca6b12f26d), UINT64_C(0x5863dbf1e3ac9dec), UINT64_C(0x95ac9329ac4bc9b5),
    UINT64_C(0xe8a46c1224f5a634), UINT64_C(0x6fbd6d5ebd3716b7), UINT64_C(0x12b5926535897936),
    UINT64_C(0x4ad64994d625e4da), UINT64_C(0x37deb6af5e9b8b5b), UINT64_C(0xb0c7b7e3c7593bd8),
    UINT64_C(0xcdcf48d84fe75459),
};

uint64_t rdb_checksum(uint64_t crc, velocity_slice bytes) {
    const uint8_t *p = bytes.data;
    for (size_t i = 0; i < bytes.size; i++) {
        crc ^= p[i];
        crc = half_bytes[crc & 15] ^ crc >> 4;
        crc = half_bytes[crc & 15] ^ crc >> 4;
    }
    return crc;
}
