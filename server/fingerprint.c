/*
 * fingerprint.c - see fingerprint.h. The key is found by walking over what stands before it (RFC 5280, section 4.1):
 *
 *     Certificate  SEQUENCE { TBSCertificate SEQUENCE { [0] version?, serialNumber INTEGER, signature SEQUENCE,
 *                             issuer SEQUENCE, validity SEQUENCE, subject SEQUENCE, subjectPublicKeyInfo SEQUENCE, ...
 *
 * Nothing is verified: that is up to whoever compares fingerprints.
 */
#include "server/fingerprint.h"
#include "server/base64.h"

#include <mbedtls/asn1.h>
#include <mbedtls/md.h>
#include <stdlib.h>

#define PREFIX           "SHA256:"
#define PREFIX_BYTES     (sizeof PREFIX - 1)
#define DIGEST_CHARS     43 /* of base64 without its padding */
#define SEQUENCE         (MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE)
#define VERSION          (MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_ASN1_CONSTRUCTED)
#define MAX_PEM_BYTES    (1u << 20)
#define NAMES_BEFORE_KEY 4 /* signature, issuer, validity, subject */

bool fingerprint_parse(const char *text, unsigned char digest[FINGERPRINT_DIGEST_BYTES]) {
    char padded[DIGEST_CHARS + 1];
    unsigned char bytes[(DIGEST_CHARS + 1) / 4 * 3];
    size_t size;
    if (strlen(text) != PREFIX_BYTES + DIGEST_CHARS || strncmp(text, PREFIX, PREFIX_BYTES) != 0) return false;
    memcpy(padded, text + PREFIX_BYTES, DIGEST_CHARS);
    padded[DIGEST_CHARS] = '=';
    if (!base64_decode(velocity_bytes(padded, sizeof padded), bytes, &size)) return false;
    if (size != FINGERPRINT_DIGEST_BYTES) return false;
    memcpy(digest, bytes, FINGERPRINT_DIGEST_BYTES);
    return true;
}

void fingerprint_format(const unsigned char digest[FINGERPRINT_DIGEST_BYTES], char out[TLS_FINGERPRINT_BYTES]) {
    char text[DIGEST_CHARS + 1];
    (void)base64_encode(velocity_bytes(digest, FINGERPRINT_DIGEST_BYTES), text);
    memcpy(out, PREFIX, PREFIX_BYTES);
    memcpy(out + PREFIX_BYTES, text, DIGEST_CHARS);
    out[PREFIX_BYTES + DIGEST_CHARS] = '\0';
}

/* Enters what stands at *p, or (skip) passes over it; *end becomes the end of its content. */
static bool step(unsigned char **p, const unsigned char **end, int tag, bool skip) {
    size_t size;
    if (mbedtls_asn1_get_tag(p, *end, &size, tag) != 0) return false;
    if (skip)
        *p += size;
    else
        *end = *p + size;
    return true;
}

/* The key of a certificate in DER, tag and length and all. */
static bool find_key(unsigned char *der, size_t size, velocity_slice *key) {
    unsigned char *p = der, *begin;
    const unsigned char *end = der + size;
    if (!step(&p, &end, SEQUENCE, false) || !step(&p, &end, SEQUENCE, false)) return false;
    if (p < end && *p == VERSION && !step(&p, &end, VERSION, true)) return false;
    if (!step(&p, &end, MBEDTLS_ASN1_INTEGER, true)) return false;
    for (int i = 0; i < NAMES_BEFORE_KEY; i++)
        if (!step(&p, &end, SEQUENCE, true)) return false;
    begin = p;
    if (!step(&p, &end, SEQUENCE, true)) return false;
    *key = velocity_bytes(begin, (size_t)(p - begin));
    return true;
}

static bool fingerprint_of_der(unsigned char *der, size_t size, char out[TLS_FINGERPRINT_BYTES]) {
    unsigned char digest[FINGERPRINT_DIGEST_BYTES];
    velocity_slice key;
    if (!find_key(der, size, &key)) return false;
    if (mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), key.data, key.size, digest) != 0) return false;
    fingerprint_format(digest, out);
    return true;
}

/* Between the lines BEGIN and END: base64 with white space in it (RFC 7468). The bytes stand where the text stood. */
static bool decode(char *text, size_t size, size_t *decoded) {
    size_t kept = 0;
    for (size_t i = 0; i < size; i++)
        if (!text[i] || !strchr(" \t\r\n", text[i])) text[kept++] = text[i];
    return base64_decode(velocity_bytes(text, kept), text, decoded);
}

bool fingerprint_of_certificate(velocity_slice pem, char out[TLS_FINGERPRINT_BYTES]) {
    static const char header[] = "-----BEGIN CERTIFICATE-----", footer[] = "-----END CERTIFICATE-----";
    const char *begin =
        pem.size && pem.size <= MAX_PEM_BYTES ? memmem(pem.data, pem.size, header, sizeof header - 1) : NULL;
    if (!begin) return false;
    begin += sizeof header - 1;
    size_t left = (size_t)((const char *)pem.data + pem.size - begin), size;
    const char *end = memmem(begin, left, footer, sizeof footer - 1);
    if (!end) return false;
    char *der = malloc(left);
    if (!der) return false;
    memcpy(der, begin, left);
    bool ok = decode(der, (size_t)(end - begin), &size) && fingerprint_of_der((unsigned char *)der, size, out);
    free(der);
    return ok;
}
