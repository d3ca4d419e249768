/*
 * tls_certificate.h - the server's certificate and key for tls.c: read from files, checked, described; the self-signed
 * pair made and kept. Not for others: they have tls.h.
 *
 * Threads: none of its own; what was loaded is not changed any more and may be read by all.
 */
#ifndef VELOCITY_SERVER_TLS_CERTIFICATE_H
#define VELOCITY_SERVER_TLS_CERTIFICATE_H

#include "server/tls.h"

#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>

struct tls_certificate {
    mbedtls_x509_crt chain; /* the server's first */
    mbedtls_pk_context key;
    bool self_signed; /* made here */
};

/* psa_crypto_init must have been called before anything else: all randomness comes from there. */
void tls_certificate_init(struct tls_certificate *certificate);
void tls_certificate_free(struct tls_certificate *certificate);

/* From configured files, and fit for a server. INVALID otherwise. */
VELOCITY_CHECK_RESULT velocity_status tls_certificate_load(struct tls_certificate *certificate, const char *cert_path,
                                                           const char *key_path);
/* The pair of options->directory. What is missing is made; the certificate, not the key, is also made anew when it ends
 * soon or lacks a name of the options. INVALID: a key that is none, a name that is none; IO, NO_SPACE: it cannot be
 * kept. */
VELOCITY_CHECK_RESULT velocity_status tls_certificate_keep(struct tls_certificate *certificate,
                                                           const struct tls_options *options);

void tls_certificate_fingerprint(const struct tls_certificate *certificate, char out[TLS_FINGERPRINT_BYTES]);
int64_t tls_certificate_expires_at_ms(const struct tls_certificate *certificate);

/* ---- the steps, which the two ways to a certificate share ---------------------------------------------------------
 */

/* All certificates of a PEM file are appended. INVALID: it cannot be read, or one of them is none. */
VELOCITY_CHECK_RESULT velocity_status tls_read_certificates(mbedtls_x509_crt *chain, const char *path);
/* INVALID: it cannot be read, or is no key that TLS 1.3 and mbedTLS can sign with. */
VELOCITY_CHECK_RESULT velocity_status tls_read_key(mbedtls_pk_context *key, const char *path);
/* Whether the key is the one of this certificate. */
bool tls_key_fits(const mbedtls_x509_crt *certificate, const mbedtls_pk_context *key);
/* What mbedTLS says, as a status: INVALID or NO_MEMORY. */
velocity_status tls_refused(const char *path, const char *what, int result);
int64_t tls_time_ms(const mbedtls_x509_time *time);

#endif
