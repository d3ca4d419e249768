/* format_cipher.c - decrypts by FORMAT.md, "Encryption". See format_reader.h. */
#include "format_reader.h"

#include "testing.h"

#include <mbedtls/gcm.h>
#include <mbedtls/hkdf.h>

const uint8_t *format_master_key;

static void hkdf(const uint8_t *salt, size_t salt_bytes, const uint8_t key[32], const uint8_t *info, size_t info_bytes,
                 uint8_t *out, size_t size) {
    const mbedtls_md_info_t *sha256 = mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);
    assert_int_equal(mbedtls_hkdf(sha256, salt, salt_bytes, key, 32, info, info_bytes, out, size), 0);
}

void format_take_key(struct format_database *db, const uint8_t *header) {
    uint8_t id[8], info[13 + 120];
    db->encrypted = header[56] == 1;
    if (!db->encrypted) {
        for (int i = 56; i < 104; i++) assert_int_equal(header[i], 0);
        return;
    }
    assert_non_null(format_master_key);
    hkdf(NULL, 0, format_master_key, (const uint8_t *)"velocity key id", 15, id, 8);
    assert_memory_equal(header + 64, id, 8);
    memcpy(info, "velocity file", 13);
    memcpy(info + 13, header, 120);
    hkdf(header + 72, 32, format_master_key, info, sizeof info, db->file_key, 32);
    db->encrypted_files++;
}

uint64_t format_decrypt(struct format_database *db, uint64_t offset, const uint8_t *bound, size_t bound_bytes,
                        uint8_t *message, uint64_t size) {
    if (!db->encrypted) return size;
    assert_true(size >= 16);
    uint8_t nonce[12] = {0}, tag[16];
    for (int i = 0; i < 8; i++) nonce[4 + i] = (uint8_t)(offset >> 8 * i);
    memcpy(tag, message + size - 16, 16);
    mbedtls_gcm_context gcm;
    mbedtls_gcm_init(&gcm);
    assert_int_equal(mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, db->file_key, 256), 0);
    assert_int_equal(
        mbedtls_gcm_auth_decrypt(&gcm, size - 16, nonce, 12, bound, bound_bytes, tag, 16, message, message), 0);
    mbedtls_gcm_free(&gcm);
    return size - 16;
}
