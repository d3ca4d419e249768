/*
 * hardware_gcm.c - see hardware_gcm.h.
 *
 * Eight blocks at a time: the CPU has several AES rounds under way at once, and of eight products with powers of the
 * hash key the sum alone is reduced. GCM numbers the bits of a block the other way round than the CPU does: blocks are
 * byte-swapped, and the hash key is kept times x, so that the product of two such numbers needs no shift (Gueron,
 * "AES-GCM for efficient authenticated encryption", 2013, also for the reduction by two multiplications).
 */
#include "hardware_gcm.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <string.h>

#define HARDWARE __attribute__((target("aes,pclmul,ssse3")))
#define INLINE   HARDWARE __attribute__((always_inline)) static inline

enum { BATCH = HARDWARE_GCM_POWERS };

bool hardware_gcm_available(void) {
    return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("ssse3");
}

INLINE __m128i load(const void *from) {
    return _mm_loadu_si128(from);
}

INLINE __m128i byte_swapped(__m128i x) {
    return _mm_shuffle_epi8(x, _mm_set_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
}

/* ---- AES -----------------------------------------------------------------------------------------------------------
 */

/* FIPS 197, section 5.2: each word of a round key is the exclusive or of the words before it and a mixed one. */
INLINE __m128i next_round(__m128i before, __m128i mixed) {
    before = _mm_xor_si128(before, _mm_slli_si128(before, 4));
    before = _mm_xor_si128(before, _mm_slli_si128(before, 8));
    return _mm_xor_si128(before, mixed);
}

#define EVEN_ROUND(i, constant)                                                                                        \
    r[i] = next_round(r[(i)-2], _mm_shuffle_epi32(_mm_aeskeygenassist_si128(r[(i)-1], constant), 0xff))
#define ODD_ROUND(i) r[i] = next_round(r[(i)-2], _mm_shuffle_epi32(_mm_aeskeygenassist_si128(r[(i)-1], 0), 0xaa))

HARDWARE static void expand_rounds(struct hardware_gcm_key *out, const uint8_t key[32]) {
    __m128i *r = (__m128i *)out->rounds;
    r[0] = load(key);
    r[1] = load(key + 16);
    EVEN_ROUND(2, 0x01);
    ODD_ROUND(3);
    EVEN_ROUND(4, 0x02);
    ODD_ROUND(5);
    EVEN_ROUND(6, 0x04);
    ODD_ROUND(7);
    EVEN_ROUND(8, 0x08);
    ODD_ROUND(9);
    EVEN_ROUND(10, 0x10);
    ODD_ROUND(11);
    EVEN_ROUND(12, 0x20);
    ODD_ROUND(13);
    EVEN_ROUND(14, 0x40);
}

INLINE __m128i encrypt_block(const __m128i *r, __m128i block) {
    block = _mm_xor_si128(block, r[0]);
    for (int i = 1; i < HARDWARE_GCM_ROUNDS; i++) block = _mm_aesenc_si128(block, r[i]);
    return _mm_aesenclast_si128(block, r[HARDWARE_GCM_ROUNDS]);
}

/* ---- the hash ------------------------------------------------------------------------------------------------------
 */

struct product {
    __m128i low, middle, high;
};

INLINE void add_product(struct product *p, __m128i a, __m128i b) {
    p->low = _mm_xor_si128(p->low, _mm_clmulepi64_si128(a, b, 0x00));
    p->high = _mm_xor_si128(p->high, _mm_clmulepi64_si128(a, b, 0x11));
    p->middle = _mm_xor_si128(p->middle, _mm_clmulepi64_si128(a, b, 0x01));
    p->middle = _mm_xor_si128(p->middle, _mm_clmulepi64_si128(a, b, 0x10));
}

/* Modulo x^128 + x^7 + x^2 + x + 1, of which 0xc2 << 56 is the upper half as the bits stand here. */
INLINE __m128i reduced(struct product p) {
    const __m128i polynomial = _mm_set_epi64x(0, (long long)0xc200000000000000);
    __m128i low = _mm_xor_si128(p.low, _mm_slli_si128(p.middle, 8));
    __m128i high = _mm_xor_si128(p.high, _mm_srli_si128(p.middle, 8));
    for (int half = 0; half < 2; half++)
        low = _mm_xor_si128(_mm_shuffle_epi32(low, 0x4e), _mm_clmulepi64_si128(low, polynomial, 0x00));
    return _mm_xor_si128(high, low);
}

INLINE __m128i multiplied(__m128i a, __m128i b) {
    struct product p = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
    add_product(&p, a, b);
    return reduced(p);
}

/* Times x: one bit to the left, and the bit that falls out comes back by the polynomial; without a branch. */
HARDWARE static __m128i times_x(__m128i h) {
    __m128i carries = _mm_srli_epi64(h, 63);
    __m128i out = _mm_sub_epi32(_mm_setzero_si128(), _mm_shuffle_epi32(_mm_srli_si128(carries, 8), 0x00));
    h = _mm_or_si128(_mm_slli_epi64(h, 1), _mm_slli_si128(carries, 8));
    return _mm_xor_si128(h, _mm_and_si128(out, _mm_set_epi64x((long long)0xc200000000000000, 1)));
}

HARDWARE void hardware_gcm_expand(struct hardware_gcm_key *out, const uint8_t key[32]) {
    expand_rounds(out, key);
    __m128i *powers = (__m128i *)out->powers;
    powers[0] = times_x(byte_swapped(encrypt_block((const __m128i *)out->rounds, _mm_setzero_si128())));
    for (int i = 1; i < BATCH; i++) powers[i] = multiplied(powers[i - 1], powers[0]);
}

INLINE __m128i hash_block(const __m128i *powers, __m128i hash, __m128i block) {
    return multiplied(_mm_xor_si128(hash, byte_swapped(block)), powers[0]);
}

/* The last block, filled up with zeros. */
HARDWARE static __m128i load_part(const uint8_t *from, size_t bytes) {
    uint8_t block[16] = {0};
    memcpy(block, from, bytes);
    return load(block);
}

HARDWARE static __m128i hash_bytes(const __m128i *powers, __m128i hash, const uint8_t *from, size_t bytes) {
    for (; bytes >= 16; from += 16, bytes -= 16) hash = hash_block(powers, hash, load(from));
    return bytes ? hash_block(powers, hash, load_part(from, bytes)) : hash;
}

/* ---- a message -----------------------------------------------------------------------------------------------------
 */

struct state {
    __m128i counter; /* byte-swapped, so that it can be added to */
    __m128i hash;
};

INLINE __m128i next_counter(struct state *s) {
    s->counter = _mm_add_epi32(s->counter, _mm_set_epi32(0, 0, 0, 1));
    return byte_swapped(s->counter);
}

INLINE void run_batch(const struct hardware_gcm_key *key, struct state *s, const uint8_t *from, uint8_t *to,
                      bool encrypt) {
    const __m128i *r = (const __m128i *)key->rounds, *powers = (const __m128i *)key->powers;
    __m128i stream[BATCH], encrypted;
    struct product sum = {_mm_setzero_si128(), _mm_setzero_si128(), _mm_setzero_si128()};
    for (int i = 0; i < BATCH; i++) stream[i] = _mm_xor_si128(next_counter(s), r[0]);
    for (int round = 1; round < HARDWARE_GCM_ROUNDS; round++)
        for (int i = 0; i < BATCH; i++) stream[i] = _mm_aesenc_si128(stream[i], r[round]);
    for (int i = 0; i < BATCH; i++) {
        __m128i in = load(from + 16 * i);
        __m128i out = _mm_xor_si128(in, _mm_aesenclast_si128(stream[i], r[HARDWARE_GCM_ROUNDS]));
        _mm_storeu_si128((__m128i *)(to + 16 * i), out);
        encrypted = byte_swapped(encrypt ? out : in);
        if (i == 0) encrypted = _mm_xor_si128(encrypted, s->hash);
        add_product(&sum, encrypted, powers[BATCH - 1 - i]);
    }
    s->hash = reduced(sum);
}

HARDWARE static void run_rest(const struct hardware_gcm_key *key, struct state *s, const uint8_t *from, uint8_t *to,
                              size_t bytes, bool encrypt) {
    const __m128i *r = (const __m128i *)key->rounds, *powers = (const __m128i *)key->powers;
    while (bytes) {
        uint8_t block[16] = {0};
        size_t part = bytes < sizeof block ? bytes : sizeof block;
        memcpy(block, from, part);
        __m128i in = load(block), out = _mm_xor_si128(in, encrypt_block(r, next_counter(s)));
        _mm_storeu_si128((__m128i *)block, out);
        memcpy(to, block, part);
        s->hash = hash_block(powers, s->hash, encrypt ? load_part(block, part) : in);
        from += part;
        to += part;
        bytes -= part;
    }
}

HARDWARE void hardware_gcm_run(const struct hardware_gcm_key *key, const struct hardware_gcm_message *m, bool encrypt,
                               uint8_t tag[16]) {
    const __m128i *powers = (const __m128i *)key->powers;
    uint8_t first[16] = {[15] = 1};
    memcpy(first, m->nonce, 12);
    struct state s = {byte_swapped(load(first)), hash_bytes(powers, _mm_setzero_si128(), m->bound, m->bound_bytes)};
    size_t done = 0;
    if (encrypt)
        for (; m->bytes - done >= 16 * BATCH; done += 16 * BATCH)
            run_batch(key, &s, m->from + done, m->to + done, true);
    else
        for (; m->bytes - done >= 16 * BATCH; done += 16 * BATCH)
            run_batch(key, &s, m->from + done, m->to + done, false);
    run_rest(key, &s, m->from + done, m->to + done, m->bytes - done, encrypt);
    __m128i sizes = _mm_set_epi64x((long long)(m->bound_bytes * 8), (long long)(m->bytes * 8));
    s.hash = multiplied(_mm_xor_si128(s.hash, sizes), powers[0]);
    __m128i mask = encrypt_block((const __m128i *)key->rounds, load(first));
    _mm_storeu_si128((__m128i *)tag, _mm_xor_si128(byte_swapped(s.hash), mask));
}

#else

bool hardware_gcm_available(void) {
    return false;
}

void hardware_gcm_expand(struct hardware_gcm_key *out, const uint8_t key[32]) {
    (void)out;
    (void)key;
}

void hardware_gcm_run(const struct hardware_gcm_key *key, const struct hardware_gcm_message *m, bool encrypt,
                      uint8_t tag[16]) {
    (void)key;
    (void)m;
    (void)encrypt;
    (void)tag;
}

#endif
