/* tls_pki.h - certificates and keys for tests, signed by each other and written to files. */
#ifndef VELOCITY_TESTS_TLS_PKI_H
#define VELOCITY_TESTS_TLS_PKI_H

#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>
#include <stdbool.h>

#define PKI_PATH_BYTES 160

struct pki_pair {
    char cert_path[PKI_PATH_BYTES], key_path[PKI_PATH_BYTES];
    const char *subject; /* borrowed */
    mbedtls_x509_crt certificate;
    mbedtls_pk_context key;
};

struct pki_options {
    const char *subject;           /* "CN=somebody" */
    const struct pki_pair *issuer; /* NULL: itself */
    mbedtls_pk_context *key;       /* NULL: a new one. Otherwise the caller's */
    bool authority;
    bool for_localhost; /* alternative names: localhost and its two addresses */
    bool for_clients;   /* extended key usage: client authentication only */
    int from_day, days; /* from_day: counted from today */
};

/* Writes <directory>/<name>.pem and <name>.key. Asserts that all goes well. */
void pki_make(struct pki_pair *pair, const char *directory, const char *name, const struct pki_options *options);
void pki_free(struct pki_pair *pair);

/* A file with this text. */
void pki_write(const char *path, const char *text);
/* The folder and all in it. */
void pki_remove_folder(const char *path);

#endif
