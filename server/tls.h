/*
 * tls.h - TLS 1.3 for the one port: the server's certificate and key, and a session over one connection. The one door
 * to mbedTLS's ssl and x509 libraries.
 *
 *     tls_open -- tls_session_new(fd) -> tls_handshake* -> tls_read / tls_write* -> tls_close -> tls_session_free
 *        |
 *        +-- tls_reload: sessions made from then on have the new certificate; the others keep theirs
 *
 * Without configured files a key (ECDSA P-256) is made once, in <directory>/key.pem (0600), and kept: the fingerprint
 * that clients pinned stays. The self-signed certificate beside it, cert.pem, is for 800 days; tls_open and tls_reload
 * make it anew with the same key when less than 60 are left, or when it lacks one of the names.
 *
 * TLS 1.3 alone, with AES-128-GCM, AES-256-GCM or ChaCha20-Poly1305 and X25519 or P-256; no early data. Clients resume
 * with a ticket for a day, unless they must show certificates. What mbedTLS 3.6 does not have: a client that updates
 * its keys in a session (RFC 8446, section 4.6.3) ends it, and certificates with Ed25519.
 *
 * A session has 40 KiB of memory as long as it lives (mbedTLS keeps both its record buffers), and 5 more in its
 * handshake; what a client claims or sends does not add to that, but for the certificates that it must show.
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
    const char *cert_path;      /* PEM chain, the server's first; "" with key_path "": self-signed. NULL is "" */
    const char *key_path;       /* PEM */
    const char *client_ca_path; /* PEM; not "": clients must show a certificate that one of these signed */
    const char *const *names;   /* that a self-signed certificate is for, besides localhost, 127.0.0.1, ::1 and the
                                   host's name; DNS names or addresses, at most 64 */
    size_t name_count;
};

/* All strings are copied. INVALID: a file that cannot be read or is no PEM, a key of another certificate, a certificate
 * that is not for servers, a name that is none; IO, NO_SPACE: the self-signed pair cannot be kept. The message names
 * the file. A certificate that has ended is taken: see tls_expires_at_ms. */
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
    TLS_CLOSED, /* the other side ended in order; it can still be written to */
    TLS_FAILED, /* tls_session_error says why, also that the connection ended without close_notify; nothing more can be
                   done with the session */
};

enum tls_protocol {
    TLS_PROTOCOL_NONE,
    TLS_PROTOCOL_HTTP,
    TLS_PROTOCOL_VELOCITY
}; /* ALPN: none offered, http/1.1, velocity/1 */

/* Over a connected socket, which stays the caller's. NULL: no memory. */
struct tls_session *tls_session_new(struct tls *tls, int fd);
void tls_session_free(struct tls_session *session);
/* Offered protocols of which none is known here: FAILED (no_application_protocol, RFC 7301). */
enum tls_result tls_handshake(struct tls_session *session);
enum tls_protocol tls_session_protocol(const struct tls_session *session);
/* The common name of the client's certificate (the last, if it has several). "" where it showed none, and where the
 * name is not UTF-8, has control characters or would not fit: no other name comes out of that. */
void tls_session_client(const struct tls_session *session, char *out, size_t size);
/* size is not 0. DONE: *count > 0 bytes were read or written, of one record at most; otherwise *count is 0. After
 * WANT_WRITE a write must be repeated with the same bytes first; more may stand behind them. */
enum tls_result tls_read(struct tls_session *session, void *bytes, size_t size, size_t *count);
enum tls_result tls_write(struct tls_session *session, const void *bytes, size_t size, size_t *count);
/* Bytes that were decrypted and not read yet: the descriptor will not become readable for these. */
bool tls_session_pending(const struct tls_session *session);
/* Tells the other side that nothing more comes, after a record that a write left half sent. To be repeated after
 * WANT_WRITE. */
enum tls_result tls_close(struct tls_session *session);
/* One line; "" while nothing failed. */
const char *tls_session_error(const struct tls_session *session);

#endif
