/* hardware_gcm_test.c - AES-256-GCM by the CPU gives what published vectors and mbedTLS give, for every shape of
 * message. Where the CPU has no such instructions there is nothing to test. */
#include "engine/hardware_gcm.h"
#include "testing.h"

#include <mbedtls/gcm.h>

static void from_hex(const char *hex, uint8_t *out) {
    for (; hex[0] && hex[1]; hex += 2) {
        char digits[3] = {hex[0], hex[1], 0};
        *out++ = (uint8_t)strtoul(digits, NULL, 16);
    }
}

/* McGrew and Viega, "The Galois/Counter Mode of Operation (GCM)", 2004, test cases 13 to 16. */
static const struct {
    const char *key, *nonce, *plain, *bound, *encrypted, *tag;
} vectors[] = {
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "", "", "",
     "530f8afbc74536b9a963b4f1c4cb738b"},
    {"0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000",
     "00000000000000000000000000000000", "", "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657b"
     "a"
     "637b391aafd255",
     "",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0ab"
     "c"
     "c9f662898015ad",
     "b094dac5d93471bdec1a502270e3cc6c"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657b"
     "a"
     "637b39",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0ab"
     "c"
     "c9f662",
     "76fc6ece0f4e1768cddf8853bb2d551b"},
};

static void the_published_vectors_come_out(void **state) {
    (void)state;
    if (!hardware_gcm_available()) skip();
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        uint8_t key[32], nonce[12], plain[64], bound[32], encrypted[64], tag[16], out[64], out_tag[16];
        struct hardware_gcm_key k;
        from_hex(vectors[i].key, key);
        from_hex(vectors[i].nonce, nonce);
        from_hex(vectors[i].plain, plain);
        from_hex(vectors[i].bound, bound);
        from_hex(vectors[i].encrypted, encrypted);
        from_hex(vectors[i].tag, tag);
        size_t bytes = strlen(vectors[i].plain) / 2, bound_bytes = strlen(vectors[i].bound) / 2;
        hardware_gcm_expand(&k, key);
        struct hardware_gcm_message m = {nonce, bound, bound_bytes, plain, out, bytes};
        hardware_gcm_run(&k, &m, true, out_tag);
        assert_memory_equal(out, encrypted, bytes);
        assert_memory_equal(out_tag, tag, 16);
        m.from = encrypted;
        hardware_gcm_run(&k, &m, false, out_tag);
        assert_memory_equal(out, plain, bytes);
        assert_memory_equal(out_tag, tag, 16);
    }
}

static void every_size_is_as_mbedtls_has_it_also_in_place(void **state) {
    (void)state;
    enum { LARGEST = 700, BOUND = 70 };
    if (!hardware_gcm_available()) skip();
    uint64_t random = 12;
    for (size_t bytes = 0; bytes <= LARGEST; bytes++) {
        uint8_t key[32], nonce[12], plain[LARGEST], bound[BOUND], mine[LARGEST], theirs[LARGEST], tag[16],
            their_tag[16];
        for (size_t i = 0; i < sizeof key; i++) key[i] = (uint8_t)next_random(&random);
        for (size_t i = 0; i < sizeof nonce; i++) nonce[i] = (uint8_t)next_random(&random);
        for (size_t i = 0; i < bytes; i++) plain[i] = (uint8_t)next_random(&random);
        size_t bound_bytes = below(&random, BOUND);
        for (size_t i = 0; i < bound_bytes; i++) bound[i] = (uint8_t)next_random(&random);
        mbedtls_gcm_context gcm;
        mbedtls_gcm_init(&gcm);
        assert_int_equal(mbedtls_gcm_setkey(&gcm, MBEDTLS_CIPHER_ID_AES, key, 256), 0);
        assert_int_equal(mbedtls_gcm_crypt_and_tag(&gcm, MBEDTLS_GCM_ENCRYPT, bytes, nonce, 12, bound, bound_bytes,
                                                   plain, theirs, 16, their_tag),
                         0);
        mbedtls_gcm_free(&gcm);
        struct hardware_gcm_key k;
        hardware_gcm_expand(&k, key);
        memcpy(mine, plain, bytes);
        struct hardware_gcm_message m = {nonce, bound, bound_bytes, mine, mine, bytes};
        hardware_gcm_run(&k, &m, true, tag);
        assert_memory_equal(mine, theirs, bytes);
        assert_memory_equal(tag, their_tag, 16);
        hardware_gcm_run(&k, &m, false, tag);
        assert_memory_equal(mine, plain, bytes);
        assert_memory_equal(tag, their_tag, 16);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_vectors_come_out),
        cmocka_unit_test(every_size_is_as_mbedtls_has_it_also_in_place),
    };
    return cmocka_run_group_tests_name("hardware_gcm", tests, NULL, NULL);
}
