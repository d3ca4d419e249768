/*
 * tls_certificate.c - see tls_certificate.h: certificates and keys out of PEM files, and what can be said of them.
 *
 * A file is read whole, within a limit, before anything looks at it; the memory that held a key is overwritten.
 */
#include "server/tls_certificate.h"
#include "engine/env.h"
#include "engine/status.h"
#include "server/base64.h"

#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>
#include <mbedtls/psa_util.h>
#include <mbedtls/sha256.h>
#include <string.h>
#include <time.h>

enum {
    CHAIN_BYTES_MAX = 1 << 20, /* a system's whole bundle of authorities has 220 KiB */
    KEY_BYTES_MAX = 64 << 10,
    MESSAGE_BYTES_MAX = 16000, /* of the handshake's Certificate: mbedTLS does not split one over records of 16,384 */
    SHA256_BYTES = 32,
    RSA_BITS_MIN = 2048,
};

void tls_certificate_init(struct tls_certificate *certificate) {
    mbedtls_x509_crt_init(&certificate->chain);
    mbedtls_pk_init(&certificate->key);
    certificate->self_signed = false;
}

void tls_certificate_free(struct tls_certificate *certificate) {
    mbedtls_x509_crt_free(&certificate->chain);
    mbedtls_pk_free(&certificate->key); /* overwrites it */
}

velocity_status tls_refused(const char *path, const char *what, int result) {
    static const int no_memory[] = {MBEDTLS_ERR_X509_ALLOC_FAILED, MBEDTLS_ERR_PEM_ALLOC_FAILED,
                                    MBEDTLS_ERR_PK_ALLOC_FAILED, MBEDTLS_ERR_ASN1_ALLOC_FAILED,
                                    MBEDTLS_ERR_MPI_ALLOC_FAILED};
    for (size_t i = 0; i < sizeof no_memory / sizeof *no_memory; i++)
        if (result == no_memory[i]) return status_set(VELOCITY_NO_MEMORY, "%s: no memory to read it", path);
    char words[128];
    mbedtls_strerror(result, words, sizeof words);
    return status_set(VELOCITY_INVALID, "%s: %s: %s", path, what, words);
}

/* ---- reading ------------------------------------------------------------------------------------------------------
 */

static void forget(char *text, size_t size) {
    if (text) explicit_bzero(text, size);
    env_free(text);
}

/* The whole file with a NUL behind it; *size counts that too. What cannot be read is a mistake in the configuration. */
static velocity_status read_text(const char *path, size_t limit, char **out, size_t *size) {
    env_file *file = NULL;
    uint64_t bytes = 0;
    size_t got = 0;
    *out = NULL;
    velocity_status status = env_open_read(env_posix(), path, &file);
    if (!status) status = env_size(file, &bytes);
    if (!status && bytes > limit)
        status = status_set(VELOCITY_INVALID, "%s: larger than %zu bytes: no certificate or key", path, limit);
    if (!status && !(*out = env_alloc_zeroed((size_t)bytes + 1))) status = VELOCITY_NO_MEMORY;
    if (!status) status = env_read(file, *out, (size_t)bytes, 0, &got);
    *size = (size_t)bytes + 1;
    if (env_close(file) && !status) status = VELOCITY_INVALID;
    if (status) {
        forget(*out, *size);
        *out = NULL;
    }
    return !status || status == VELOCITY_NO_MEMORY ? status : VELOCITY_INVALID;
}

struct pem {
    const char *what, *mark; /* text without the mark holds no such thing */
    size_t bytes_max;
    velocity_status (*parse)(void *out, const char *path, const uint8_t *text, size_t size);
};

static velocity_status read_pem(const struct pem *pem, const char *path, void *out) {
    char *text;
    size_t size;
    velocity_status status = read_text(path, pem->bytes_max, &text, &size);
    if (status) return status;
    if (strstr(text, pem->mark))
        status = pem->parse(out, path, (const uint8_t *)text, size);
    else
        status = status_set(VELOCITY_INVALID, "%s: holds no %s in PEM", path, pem->what);
    forget(text, size); /* some keep the key in the file of the certificate */
    return status;
}

static velocity_status parse_certificates(void *chain, const char *path, const uint8_t *text, size_t size) {
    int result = mbedtls_x509_crt_parse(chain, text, size);
    if (result > 0) return status_set(VELOCITY_INVALID, "%s: %d of its certificates cannot be read", path, result);
    return result ? tls_refused(path, "no certificate", result) : VELOCITY_OK;
}

velocity_status tls_read_certificates(mbedtls_x509_crt *chain, const char *path) {
    static const struct pem certificates = {"certificate", "-----BEGIN CERTIFICATE-----", CHAIN_BYTES_MAX,
                                            parse_certificates};
    return read_pem(&certificates, path, chain);
}

/* TLS 1.3 has signatures for these alone (RFC 8446, section 4.2.3), and mbedTLS has no Ed25519. */
static bool can_sign(const mbedtls_pk_context *key) {
    if (mbedtls_pk_get_type(key) == MBEDTLS_PK_RSA) return mbedtls_pk_get_bitlen(key) >= RSA_BITS_MIN;
    if (mbedtls_pk_get_type(key) != MBEDTLS_PK_ECKEY) return false;
    mbedtls_ecp_group_id group = mbedtls_ecp_keypair_get_group_id(mbedtls_pk_ec(*key));
    return group == MBEDTLS_ECP_DP_SECP256R1 || group == MBEDTLS_ECP_DP_SECP384R1 || group == MBEDTLS_ECP_DP_SECP521R1;
}

static velocity_status parse_key(void *key, const char *path, const uint8_t *text, size_t size) {
    int result = mbedtls_pk_parse_key(key, text, size, NULL, 0, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
    if (result == MBEDTLS_ERR_PK_PASSWORD_REQUIRED || result == MBEDTLS_ERR_PK_PASSWORD_MISMATCH)
        return status_set(VELOCITY_INVALID, "%s: the key has a passphrase; it must be stored without one", path);
    if (result) return tls_refused(path, "no private key", result);
    if (can_sign(key)) return VELOCITY_OK;
    return status_set(VELOCITY_INVALID,
                      "%s: not a key for TLS 1.3 here: ECDSA on P-256, P-384 or P-521, or RSA of at least %d bits",
                      path, RSA_BITS_MIN);
}

velocity_status tls_read_key(mbedtls_pk_context *key, const char *path) {
    static const struct pem private_key = {"private key", "PRIVATE KEY-----", KEY_BYTES_MAX, parse_key};
    return read_pem(&private_key, path, key);
}

bool tls_key_fits(const mbedtls_x509_crt *certificate, const mbedtls_pk_context *key) {
    return mbedtls_pk_check_pair(&certificate->pk, key, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE) == 0;
}

static bool fits_a_message(const mbedtls_x509_crt *chain) {
    enum { LENGTH_AND_EXTENSIONS = 5 }; /* with each (RFC 8446, section 4.4.2) */
    size_t bytes = 0;
    for (; chain; chain = chain->next) bytes += chain->raw.len + LENGTH_AND_EXTENSIONS;
    return bytes <= MESSAGE_BYTES_MAX;
}

velocity_status tls_certificate_load(struct tls_certificate *certificate, const char *cert_path, const char *key_path) {
    const mbedtls_x509_crt *first = &certificate->chain;
    velocity_status status = tls_read_certificates(&certificate->chain, cert_path);
    if (!status) status = tls_read_key(&certificate->key, key_path);
    if (status) return status;
    if (!tls_key_fits(first, &certificate->key))
        return status_set(VELOCITY_INVALID, "%s: not the key of the first certificate in %s", key_path, cert_path);
    if (!fits_a_message(first))
        return status_set(VELOCITY_INVALID, "%s: its chain has more than %d bytes", cert_path, MESSAGE_BYTES_MAX);
    /* Either would end every handshake. */
    if (mbedtls_x509_crt_check_key_usage(first, MBEDTLS_X509_KU_DIGITAL_SIGNATURE) ||
        mbedtls_x509_crt_check_extended_key_usage(first, MBEDTLS_OID_SERVER_AUTH,
                                                  MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH)))
        return status_set(VELOCITY_INVALID, "%s: its first certificate is for other uses than a TLS server's",
                          cert_path);
    return VELOCITY_OK;
}

/* ---- describing ---------------------------------------------------------------------------------------------------
 */

void tls_certificate_fingerprint(const struct tls_certificate *certificate, char out[TLS_FINGERPRINT_BYTES]) {
    static const char label[] = "SHA256:";
    enum { LABEL_CHARACTERS = sizeof label - 1, HASH_CHARACTERS = 43 /* without the padding */ };
    const mbedtls_x509_buf *public_key = &certificate->chain.pk_raw;
    uint8_t hash[SHA256_BYTES] = {0};
    char text[SHA256_BYTES * 2];
    (void)mbedtls_sha256(public_key->p, public_key->len, hash, 0); /* in software nothing can fail */
    (void)base64_encode(velocity_bytes(hash, sizeof hash), text);
    memcpy(out, label, LABEL_CHARACTERS);
    memcpy(out + LABEL_CHARACTERS, text, HASH_CHARACTERS);
    out[LABEL_CHARACTERS + HASH_CHARACTERS] = 0;
}

int64_t tls_time_ms(const mbedtls_x509_time *time) {
    struct tm broken_down = {.tm_year = time->year - 1900,
                             .tm_mon = time->mon - 1,
                             .tm_mday = time->day,
                             .tm_hour = time->hour,
                             .tm_min = time->min,
                             .tm_sec = time->sec};
    return (int64_t)timegm(&broken_down) * 1000;
}

int64_t tls_certificate_expires_at_ms(const struct tls_certificate *certificate) {
    return tls_time_ms(&certificate->chain.valid_to);
}
