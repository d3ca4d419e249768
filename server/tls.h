/*
 * tls.h - TLS 1.3 for the one port: the server's certificate and key, and a session over one connection. The one door
 * to mbedTLS's ssl and x509 libraries.
 *
 *     tls_open -- tls_session_new(fd) -> tls_handshake* -> tls_read / tls_write* -> tls_close -> tls_session_free
 *        |
 *        +-- tls_reload: sessions made from then on have the new certificate; the others keep theirs
 *
 * Without configured files a key (ECDSA P-256) and a self-signed certificate are made once, in <directory>/key.pem and
 * cert.pem (0600), and kept: the fingerprint that clients pinned stays.
 *
 * Threads: a struct tls may be used by all threads at once; a session by one at a time.
 */
#ifndef VELOCITY_SERVER_TLS_H
#define VELOCITY_SERVER_TLS_H

#include "engine/velocity.h"

#include <stdbool.h>
#include <stddef.h>

struct tls;
struct tls_session;

struct tls_options {
    const char *directory;      /* of the self-signed pair; made (0700) if it is missing */
    const char *cert_path;      /* PEM chain, the server's first; "" with key_path "": self-signed */
    const char *key_path;       /* PEM */
    const char *client_ca_path; /* PEM; not "": clients must show a certificate that one of these signed */
    const char *const *names;   /* that a self-signed certificate is for, besides localhost, 127.0.0.1, ::1 and the
                                   host's name; DNS names or addresses */
    size_t name_count;
};

/* All strings are copied. INVALID: a file that cannot be read, is no PEM, or a key of another certificate; IO: the
 * self-signed pair cannot be kept. The message names the file. */
VELOCITY_CHECK_RESULT velocity_status tls_open(const struct tls_options *options, struct tls **out);
/* Reads the files anew, perhaps other ones; on failure everything stays as it was. */
VELOCITY_CHECK_RESULT velocity_status tls_reload(struct tls *tls, const struct tls_options *options);
/* No session may be alive. NULL is allowed. */
void tls_free(struct tls *tls);

#define TLS_FINGERPRINT_BYTES 52 /* "SHA256:" and 43 characters of base64 without padding, as SSH shows keys; a NUL */
/* Of the key (SHA-256 of its SubjectPublicKeyInfo). */
void tls_fingerprint(struct tls *tls, char out[TLS_FINGERPRINT_BYTES]);
/* When the certificate ends, in milliseconds since 1970. */
int64_t tls_expires_at_ms(struct tls *tls);
/* The certificate was made here. */
bool tls_is_self_signed(struct tls *tls);

enum tls_result {
    TLS_DONE,
    TLS_WANT_READ, /* call again when the descriptor can be read */
    TLS_WANT_WRITE,
    TLS_CLOSED, /* the other side ended in order */
    TLS_FAILED, /* tls_session_error says why; nothing more can be done with it */
};

enum tls_protocol {
    TLS_PROTOCOL_NONE,
    TLS_PROTOCOL_HTTP,
    TLS_PROTOCOL_VELOCITY
}; /* ALPN: none offered, http/1.1, velocity/1 */

/* Over a connected, non-blocking descriptor, which stays the caller's. NULL: no memory. */
struct tls_session *tls_session_new(struct tls *tls, int fd);
void tls_session_free(struct tls_session *session);
/* Offered protocols of which none is known here: FAILED (no_application_protocol, RFC 7301). */
enum tls_result tls_handshake(struct tls_session *session);
enum tls_protocol tls_session_protocol(const struct tls_session *session);
/* The common name of the client's certificate; "" where it showed none. */
void tls_session_client(const struct tls_session *session, char *out, size_t size);
/* DONE: *count > 0 bytes were read or written. A write that wants more must be repeated with the same bytes. */
enum tls_result tls_read(struct tls_session *session, void *bytes, size_t size, size_t *count);
enum tls_result tls_write(struct tls_session *session, const void *bytes, size_t size, size_t *count);
/* Bytes that were decrypted and not read yet: the descriptor will not become readable for these. */
bool tls_session_pending(const struct tls_session *session);
/* Tells the other side that nothing more comes. */
enum tls_result tls_close(struct tls_session *session);
const char *tls_session_error(const struct tls_session *session);

#endif
