/* auth_digest.c - see auth_digest.h. mbedtls/md.h reads the same in mbedTLS 2.28 and 3.6; sha256.h does not. */
#include "server/auth_digest.h"

#include <mbedtls/md.h>
#include <stdlib.h>

void digest_of(velocity_slice bytes, uint8_t out[DIGEST_BYTES]) {
    /* Of bytes in memory this cannot fail. If it did, whoever came next would be taken for someone else. */
    if (mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), bytes.data, bytes.size, out) != 0) abort();
}

bool digest_keyed(const uint8_t key[DIGEST_BYTES], velocity_slice bytes, uint8_t out[DIGEST_BYTES]) {
    return mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), key, DIGEST_BYTES, bytes.data, bytes.size,
                           out) == 0;
}

static const char digits[] = "0123456789abcdef";

void hex_write(const uint8_t *bytes, size_t size, char *out) {
    for (size_t i = 0; i < size; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * size] = '\0';
}

static int digit_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_read(velocity_slice text, uint8_t *out, size_t size) {
    const char *p = text.data;
    if (text.size != 2 * size) return false;
    for (size_t i = 0; i < size; i++) {
        int high = digit_value(p[2 * i]), low = digit_value(p[2 * i + 1]);
        if (high < 0 || low < 0) return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}
