/* tls_client.h - the other end of a TLS connection: mbedTLS's client. */
#ifndef VELOCITY_TESTS_TLS_CLIENT_H
#define VELOCITY_TESTS_TLS_CLIENT_H

#include "server/tls.h"
#include "tls_pki.h"

#include <mbedtls/ssl.h>

struct tls_client_options {
    const char **protocols;              /* for ALPN, with a NULL behind; NULL: none is offered */
    const uint16_t *groups;              /* with a 0 behind; NULL: mbedTLS's own */
    const struct pki_pair *pair;         /* what the client shows; NULL: nothing */
    mbedtls_x509_crt *trusted;           /* NULL: any server is trusted */
    const char *name;                    /* of the server; NULL: localhost */
    const mbedtls_ssl_session *resuming; /* NULL: a first visit */
    bool tls_1_2;
};

struct tls_client {
    mbedtls_ssl_config config;
    mbedtls_ssl_context ssl;
    mbedtls_ssl_session ticket; /* the last that came */
    uint32_t tickets;
    uint32_t certificates_seen; /* a resumed session shows none */
    bool dry;                   /* the socket had nothing */
    int fd;                     /* non-blocking; the test's */
};

void tls_client_init(struct tls_client *client, int fd, const struct tls_client_options *options);
void tls_client_free(struct tls_client *client);
/* As mbedtls_ssl_read, keeping tickets. */
int tls_client_read(struct tls_client *client, void *bytes, size_t size);

#endif
