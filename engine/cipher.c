/* cipher.c - see cipher.h. */
#include "cipher.h"

#include "coding.h"
#include "status.h"

#include <argon2.h>
#include <mbedtls/cipher.h>
#include <mbedtls/gcm.h>
#include <mbedtls/hkdf.h>
#include <mbedtls/platform_util.h>

enum {
    NONCE_BYTES = 12,         /* four zeros and the offset */
    HEADER_BOUND_BYTES = 120, /* of the header: all but its checksum and what stands unused before that */
    ARGON2_PASSES = 3,        /* RFC 9106, section 4, the second recommended option: 3 passes, 4 lanes, 64 MiB */
    ARGON2_LANES = 4,
    ARGON2_KIB = 64 * 1024,
};

static const char key_id_label[] = "velocity key id", file_key_label[] = "velocity file";

/* What mbedTLS says, as a status. */
static velocity_status outcome(int result) {
    if (result == 0) return VELOCITY_OK;
    if (result == MBEDTLS_ERR_CIPHER_ALLOC_FAILED) return status_set(VELOCITY_NO_MEMORY, "no memory for a cipher");
    return status_set(VELOCITY_UNSUPPORTED, "mbedTLS cannot encrypt (error -0x%04x)", (unsigned)-result);
}

static velocity_status derive(velocity_slice salt, const uint8_t key[CIPHER_KEY_BYTES], velocity_slice info,
                              uint8_t *out, size_t size) {
    const mbedtls_md_info_t *sha256 = mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);
    int result = mbedtls_hkdf(sha256, salt.data, salt.size, key, CIPHER_KEY_BYTES, info.data, info.size, out, size);
    if (result == MBEDTLS_ERR_MD_ALLOC_FAILED) return status_set(VELOCITY_NO_MEMORY, "no memory to derive a key");
    return outcome(result);
}

void cipher_forget(void *bytes, size_t size) {
    mbedtls_platform_zeroize(bytes, size);
}

/* ---- the ring ------------------------------------------------------------------------------------------------------
 */

struct ring_key {
    uint8_t key[CIPHER_KEY_BYTES], id[FILE_KEY_ID_BYTES];
    velocity_slice passphrase; /* borrowed, until its key is derived from it */
};

struct key_ring {
    bool has_present; /* then it is the first */
    bool required;    /* files that are not encrypted are refused */
    size_t count;
    struct ring_key keys[];
};

static velocity_status add_key(key_ring *ring, velocity_slice key) {
    if (key.size != CIPHER_KEY_BYTES || !key.data)
        return status_set(VELOCITY_INVALID, "an encryption key has %u bytes; this one has %zu", CIPHER_KEY_BYTES,
                          key.size);
    struct ring_key *k = &ring->keys[ring->count++];
    memcpy(k->key, key.data, CIPHER_KEY_BYTES);
    return derive(velocity_bytes(NULL, 0), k->key, velocity_str(key_id_label), k->id, sizeof k->id);
}

static velocity_status add_passphrase(key_ring *ring, velocity_slice passphrase) {
    if (!passphrase.data || passphrase.size == 0 || passphrase.size > UINT32_MAX)
        return status_set(VELOCITY_INVALID, "a passphrase has at least 1 and at most 4294967295 bytes");
    ring->keys[ring->count++].passphrase = passphrase;
    return VELOCITY_OK;
}

velocity_status key_ring_new(const velocity_options *o, key_ring **out) {
    *out = NULL;
    bool has_key = o->encryption_key.size > 0, has_passphrase = o->encryption_passphrase.size > 0;
    if (o->encryption_required && !has_key && !has_passphrase)
        return status_set(VELOCITY_INVALID, "option encryption_required needs a key or a passphrase");
    size_t count = o->old_encryption_key_count + o->old_encryption_passphrase_count + has_key + has_passphrase;
    if (has_key && has_passphrase)
        return status_set(VELOCITY_INVALID, "options encryption_key and encryption_passphrase exclude each other");
    if (count == 0) return VELOCITY_OK;
    key_ring *ring = env_alloc_zeroed(sizeof *ring + count * sizeof *ring->keys);
    if (!ring) return VELOCITY_NO_MEMORY;
    ring->has_present = has_key || has_passphrase;
    ring->required = o->encryption_required;
    velocity_status status = VELOCITY_OK;
    if (has_key) status = add_key(ring, o->encryption_key);
    if (has_passphrase) status = add_passphrase(ring, o->encryption_passphrase);
    for (size_t i = 0; i < o->old_encryption_key_count && !status; i++)
        status = add_key(ring, o->old_encryption_keys[i]);
    for (size_t i = 0; i < o->old_encryption_passphrase_count && !status; i++)
        status = add_passphrase(ring, o->old_encryption_passphrases[i]);
    if (status)
        key_ring_free(ring);
    else
        *out = ring;
    return status;
}

static int argon2_alloc(uint8_t **memory, size_t size) {
    *memory = env_alloc(size);
    return *memory ? ARGON2_OK : ARGON2_MEMORY_ALLOCATION_ERROR;
}

static void argon2_release(uint8_t *memory, size_t size) {
    (void)size;
    env_free(memory);
}

static velocity_status stretch(struct ring_key *k, const uint64_t database_id[2]) {
    uint8_t salt[16];
    put_u64(salt, database_id[0]);
    put_u64(salt + 8, database_id[1]);
    argon2_context context = {.out = k->key,
                              .outlen = CIPHER_KEY_BYTES,
                              .pwd = (uint8_t *)k->passphrase.data, /* not written to without a flag that asks for it */
                              .pwdlen = (uint32_t)k->passphrase.size,
                              .salt = salt,
                              .saltlen = sizeof salt,
                              .t_cost = ARGON2_PASSES,
                              .m_cost = ARGON2_KIB,
                              .lanes = ARGON2_LANES,
                              .threads = 1,
                              .version = ARGON2_VERSION_13,
                              .allocate_cbk = argon2_alloc,
                              .free_cbk = argon2_release};
    int result = argon2id_ctx(&context);
    if (result == ARGON2_MEMORY_ALLOCATION_ERROR)
        return status_set(VELOCITY_NO_MEMORY, "no memory (%d KiB) to derive a key from a passphrase", ARGON2_KIB);
    if (result != ARGON2_OK)
        return status_set(VELOCITY_UNSUPPORTED, "no key can be derived from a passphrase: %s",
                          argon2_error_message(result));
    k->passphrase = velocity_bytes(NULL, 0);
    return derive(velocity_bytes(NULL, 0), k->key, velocity_str(key_id_label), k->id, sizeof k->id);
}

velocity_status key_ring_bind(key_ring *ring, const uint64_t database_id[2]) {
    velocity_status status = VELOCITY_OK;
    for (size_t i = 0; ring && i < ring->count && !status; i++)
        if (ring->keys[i].passphrase.data) status = stretch(&ring->keys[i], database_id);
    return status;
}

void key_ring_free(key_ring *ring) {
    if (!ring) return;
    cipher_forget(ring->keys, ring->count * sizeof *ring->keys);
    env_free(ring);
}

bool key_ring_is_present(const key_ring *ring, const struct file_header *header) {
    if (!ring || !ring->has_present) return header->cipher == CIPHER_NONE;
    return header->cipher != CIPHER_NONE && memcmp(header->key_id, ring->keys[0].id, FILE_KEY_ID_BYTES) == 0;
}

/* ---- a file --------------------------------------------------------------------------------------------------------
 */

/*
 * An mbedTLS context holds the state of one message. A file has one with its key expanded; who finds it taken by
 * another thread expands the key for itself (0.5 us).
 */
struct cipher {
    atomic_flag taken; /* guards gcm */
    mbedtls_gcm_context gcm;
    uint8_t key[CIPHER_KEY_BYTES];
};

static int set_key(mbedtls_gcm_context *gcm, const cipher *c) {
    mbedtls_gcm_init(gcm);
    return mbedtls_gcm_setkey(gcm, MBEDTLS_CIPHER_ID_AES, c->key, CIPHER_KEY_BYTES * 8);
}

static velocity_status open_cipher(const struct ring_key *k, const struct file_header *header, cipher **out) {
    cipher *c = env_alloc_zeroed(sizeof *c);
    if (!c) return VELOCITY_NO_MEMORY;
    uint8_t info[sizeof file_key_label - 1 + FILE_HEADER_BYTES];
    memcpy(info, file_key_label, sizeof file_key_label - 1);
    file_header_encode(header, info + sizeof file_key_label - 1);
    velocity_status status =
        derive(velocity_bytes(header->salt, sizeof header->salt), k->key,
               velocity_bytes(info, sizeof file_key_label - 1 + HEADER_BOUND_BYTES), c->key, sizeof c->key);
    atomic_flag_clear(&c->taken);
    if (!status) status = outcome(set_key(&c->gcm, c));
    if (status)
        cipher_free(c);
    else
        *out = c;
    return status;
}

velocity_status cipher_new(env *e, const key_ring *ring, struct file_header *header, uint8_t bytes[FILE_HEADER_BYTES],
                           cipher **out) {
    *out = NULL;
    const struct ring_key *k = ring && ring->has_present ? &ring->keys[0] : NULL;
    header->cipher = CIPHER_NONE;
    if (k) {
        header->cipher = CIPHER_AES_256_GCM;
        memcpy(header->key_id, k->id, sizeof header->key_id);
    }
    velocity_status status = file_header_make(e, header, bytes);
    return status || !k ? status : open_cipher(k, header, out);
}

velocity_status cipher_of(const key_ring *ring, const struct file_header *header, const char *path, cipher **out) {
    *out = NULL;
    if (header->cipher == CIPHER_NONE && ring && ring->required)
        return status_set(VELOCITY_INVALID, "%s: not encrypted, which option encryption_required forbids", path);
    if (header->cipher == CIPHER_NONE) return VELOCITY_OK;
    for (size_t i = 0; ring && i < ring->count; i++)
        if (memcmp(header->key_id, ring->keys[i].id, FILE_KEY_ID_BYTES) == 0)
            return open_cipher(&ring->keys[i], header, out);
    return status_set(VELOCITY_INVALID, "%s: encrypted with the key %016llx; %s", path,
                      (unsigned long long)get_u64(header->key_id),
                      ring ? "none of the keys given is that one" : "no key was given");
}

void cipher_free(cipher *c) {
    if (!c) return;
    mbedtls_gcm_free(&c->gcm); /* overwrites, as does the next line */
    cipher_forget(c->key, sizeof c->key);
    env_free(c);
}

/* The expanded key: the file's own, or `spare` made the same. */
static int take_context(cipher *c, mbedtls_gcm_context *spare, mbedtls_gcm_context **out) {
    if (!atomic_flag_test_and_set_explicit(&c->taken, memory_order_acquire)) {
        *out = &c->gcm;
        return 0;
    }
    *out = spare;
    return set_key(spare, c);
}

static void give_back(cipher *c, mbedtls_gcm_context *gcm) {
    if (gcm == &c->gcm)
        atomic_flag_clear_explicit(&c->taken, memory_order_release);
    else
        mbedtls_gcm_free(gcm);
}

static void make_nonce(uint8_t nonce[NONCE_BYTES], uint64_t offset) {
    put_u32(nonce, 0);
    put_u64(nonce + 4, offset);
}

velocity_status cipher_seal(cipher *c, const struct cipher_place *place, const void *from, size_t size, uint8_t *to) {
    uint8_t nonce[NONCE_BYTES];
    mbedtls_gcm_context spare, *gcm;
    make_nonce(nonce, place->offset);
    int result = take_context(c, &spare, &gcm);
    if (!result)
        result = mbedtls_gcm_crypt_and_tag(gcm, MBEDTLS_GCM_ENCRYPT, size, nonce, NONCE_BYTES, place->bound,
                                           place->bound_bytes, from, to, CIPHER_TAG_BYTES, to + size);
    give_back(c, gcm);
    return outcome(result);
}

velocity_status cipher_unseal(cipher *c, const struct cipher_place *place, const void *from, size_t size, uint8_t *to) {
    if (size < CIPHER_TAG_BYTES) return VELOCITY_CORRUPT;
    size -= CIPHER_TAG_BYTES;
    uint8_t nonce[NONCE_BYTES], tag[CIPHER_TAG_BYTES];
    mbedtls_gcm_context spare, *gcm;
    make_nonce(nonce, place->offset);
    memcpy(tag, (const uint8_t *)from + size, sizeof tag);
    int result = take_context(c, &spare, &gcm);
    if (!result)
        result = mbedtls_gcm_auth_decrypt(gcm, size, nonce, NONCE_BYTES, place->bound, place->bound_bytes, tag,
                                          CIPHER_TAG_BYTES, from, to);
    give_back(c, gcm);
    return result == MBEDTLS_ERR_GCM_AUTH_FAILED ? VELOCITY_CORRUPT : outcome(result);
}
