/*
 * fingerprint.h - the fingerprint of a certificate's key: what clients pin, and what a server says of itself at its
 * start. SHA-256 of the key as it stands in the certificate (SubjectPublicKeyInfo, DER), so a certificate that is
 * renewed for the same key keeps it.
 */
#ifndef VELOCITY_SERVER_FINGERPRINT_H
#define VELOCITY_SERVER_FINGERPRINT_H

#include "engine/velocity.h"
#include "server/tls.h"

#define FINGERPRINT_DIGEST_BYTES 32

/* Of the first certificate in a PEM file's text. False: there is none that can be read. */
bool fingerprint_of_certificate(velocity_slice pem, char out[TLS_FINGERPRINT_BYTES]);
/* The digest in a fingerprint ("SHA256:" and 43 characters). False: it is none. */
bool fingerprint_parse(const char *text, unsigned char digest[FINGERPRINT_DIGEST_BYTES]);
void fingerprint_format(const unsigned char digest[FINGERPRINT_DIGEST_BYTES], char out[TLS_FINGERPRINT_BYTES]);

#endif
