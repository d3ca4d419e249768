/*
 * tls.c - see tls.h: what the server shows of itself (struct material), and sessions.
 *
 * Invariants:
 *  1. A material does not change once it is published, but for mbedTLS's ticket keys, which have a lock of their own.
 *     It lives as long as it is the current one or a session has it.
 *  2. A session that failed does nothing more.
 *  3. A record that was begun goes out before anything else does: its size is kept, since mbedTLS would take whatever a
 *     repeated call brings for written.
 *
 * A hostile client costs bounded memory and time: mbedTLS allocates both record buffers of a session at once, takes no
 * handshake message larger than one of them, and gets no more than HANDSHAKE_BYTES_MAX before a handshake has ended,
 * nor more than READ_BYTES_MAX in one call after that.
 *
 * Randomness is PSA's, one generator with a lock of its own: Debian builds mbedTLS with threads, and so must who else
 * builds it.
 */
#include "server/tls.h"
#include "engine/env.h"
#include "engine/status.h"
#include "server/tls_certificate.h"
#include "server/utf8.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <mbedtls/error.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/oid.h>
#include <mbedtls/psa_util.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <psa/crypto.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#ifndef MBEDTLS_THREADING_C
#error "mbedTLS was built without MBEDTLS_THREADING_C: sessions of several threads would not be safe"
#endif

enum {
    HANDSHAKE_BYTES_MAX =
        96 << 10,               /* two hellos and a chain of certificates, each of at most a record's 16 KiB, twice */
    TICKET_SECONDS = 24 * 3600, /* its key is replaced as often, and dropped after twice that */
    READ_BYTES_MAX = 64 << 10, /* no record is as long; but some that mbedTLS passes over would keep it busy for ever */
    ERROR_BYTES = 192,
};

static const char http_protocol[] = "http/1.1", velocity_protocol[] = "velocity/1";

/* mbedTLS keeps pointers to these. */
static const char *const protocols[] = {http_protocol, velocity_protocol, NULL};
static const int ciphersuites[] = {MBEDTLS_TLS1_3_AES_128_GCM_SHA256, MBEDTLS_TLS1_3_AES_256_GCM_SHA384,
                                   MBEDTLS_TLS1_3_CHACHA20_POLY1305_SHA256, 0};
static const uint16_t groups[] = {MBEDTLS_SSL_IANA_TLS_GROUP_X25519, MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
                                  MBEDTLS_SSL_IANA_TLS_GROUP_NONE};

/* ---- material: what sessions share --------------------------------------------------------------------------------
 */

struct material {
    _Atomic uint32_t users; /* the struct tls, and each session */
    struct tls_certificate certificate;
    mbedtls_x509_crt authorities;       /* of clients */
    mbedtls_ssl_ticket_context tickets; /* so a reload ends them: who resumes would not see the new certificate */
    mbedtls_ssl_config config;          /* points to all of these */
};

struct tls {
    env_mutex mutex;          /* guards `current`; held for a few instructions */
    struct material *current; /* whose user this is */
};

static void material_release(struct material *material) {
    if (!material || atomic_fetch_sub_explicit(&material->users, 1, memory_order_acq_rel) != 1) return;
    mbedtls_ssl_config_free(&material->config);
    mbedtls_ssl_ticket_free(&material->tickets);
    mbedtls_x509_crt_free(&material->authorities);
    tls_certificate_free(&material->certificate);
    env_free(material);
}

static struct material *material_acquire(struct tls *tls) {
    env_mutex_lock(&tls->mutex);
    struct material *material = tls->current;
    atomic_fetch_add_explicit(&material->users, 1, memory_order_relaxed);
    env_mutex_unlock(&tls->mutex);
    return material;
}

static bool is_set(const char *path) {
    return path && path[0];
}

static velocity_status load(struct material *material, const struct tls_options *options) {
    bool has_certificate = is_set(options->cert_path), has_key = is_set(options->key_path);
    if (has_certificate != has_key)
        return status_set(VELOCITY_INVALID, "%s: a certificate and its key must be given together",
                          has_certificate ? options->cert_path : options->key_path);
    velocity_status status = has_certificate
                                 ? tls_certificate_load(&material->certificate, options->cert_path, options->key_path)
                                 : tls_certificate_keep(&material->certificate, options);
    if (!status && is_set(options->client_ca_path))
        status = tls_read_certificates(&material->authorities, options->client_ca_path);
    return status;
}

/* Tickets let a client come back for the price of a key exchange. But a session resumed with one has no client
 * certificate: where those are asked for, each handshake is a full one. */
static int configure_tickets(struct material *material) {
    mbedtls_ssl_config *config = &material->config;
    mbedtls_ssl_conf_tls13_key_exchange_modes(config, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL_ALL);
    int result = mbedtls_ssl_ticket_setup(&material->tickets, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE,
                                          MBEDTLS_CIPHER_AES_256_GCM, TICKET_SECONDS);
    mbedtls_ssl_conf_session_tickets_cb(config, mbedtls_ssl_ticket_write, mbedtls_ssl_ticket_parse, &material->tickets);
    return result;
}

static int configure(struct material *material, bool ask_clients) {
    mbedtls_ssl_config *config = &material->config;
    int result = mbedtls_ssl_config_defaults(config, MBEDTLS_SSL_IS_SERVER, MBEDTLS_SSL_TRANSPORT_STREAM,
                                             MBEDTLS_SSL_PRESET_DEFAULT);
    if (result) return result;
    mbedtls_ssl_conf_rng(config, mbedtls_psa_get_random, MBEDTLS_PSA_RANDOM_STATE);
    mbedtls_ssl_conf_min_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_3);
    mbedtls_ssl_conf_max_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_3);
    mbedtls_ssl_conf_ciphersuites(config, ciphersuites);
    mbedtls_ssl_conf_groups(config, groups);
    mbedtls_ssl_conf_authmode(config, ask_clients ? MBEDTLS_SSL_VERIFY_REQUIRED : MBEDTLS_SSL_VERIFY_NONE);
    if (ask_clients) {
        mbedtls_ssl_conf_ca_chain(config, &material->authorities, NULL);
        mbedtls_ssl_conf_tls13_key_exchange_modes(config, MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_EPHEMERAL);
    } else {
        result = configure_tickets(material);
    }
    if (!result) result = mbedtls_ssl_conf_alpn_protocols(config, (const char **)protocols); /* only read */
    if (!result) result = mbedtls_ssl_conf_own_cert(config, &material->certificate.chain, &material->certificate.key);
    return result;
}

static velocity_status material_new(const struct tls_options *options, struct material **out) {
    *out = NULL;
    struct material *material = env_alloc_zeroed(sizeof *material);
    if (!material) return VELOCITY_NO_MEMORY;
    atomic_init(&material->users, 1);
    tls_certificate_init(&material->certificate);
    mbedtls_x509_crt_init(&material->authorities);
    mbedtls_ssl_ticket_init(&material->tickets);
    mbedtls_ssl_config_init(&material->config);
    velocity_status status = load(material, options);
    if (!status) {
        int result = configure(material, is_set(options->client_ca_path));
        if (result) status = status_set(VELOCITY_NO_MEMORY, "no memory for TLS (mbedTLS error -0x%04x)", -result);
    }
    if (status)
        material_release(material);
    else
        *out = material;
    return status;
}

/* ---- the door -----------------------------------------------------------------------------------------------------
 */

velocity_status tls_open(const struct tls_options *options, struct tls **out) {
    *out = NULL;
    psa_status_t started = psa_crypto_init(); /* which may be called again, and by several threads at once */
    if (started != PSA_SUCCESS)
        return status_set(VELOCITY_UNSUPPORTED, "mbedTLS cannot start (PSA error %d)", (int)started);
    struct tls *tls = env_alloc_zeroed(sizeof *tls);
    if (!tls) return VELOCITY_NO_MEMORY;
    velocity_status status = material_new(options, &tls->current);
    if (status) {
        env_free(tls);
        return status;
    }
    env_mutex_init(&tls->mutex);
    *out = tls;
    return VELOCITY_OK;
}

velocity_status tls_reload(struct tls *tls, const struct tls_options *options) {
    struct material *fresh;
    velocity_status status = material_new(options, &fresh);
    if (status) return status;
    env_mutex_lock(&tls->mutex);
    struct material *old = tls->current;
    tls->current = fresh;
    env_mutex_unlock(&tls->mutex);
    material_release(old);
    return VELOCITY_OK;
}

void tls_free(struct tls *tls) {
    if (!tls) return;
    assert(atomic_load(&tls->current->users) == 1);
    material_release(tls->current);
    env_mutex_destroy(&tls->mutex);
    env_free(tls);
}

void tls_fingerprint(struct tls *tls, char out[TLS_FINGERPRINT_BYTES]) {
    struct material *material = material_acquire(tls);
    tls_certificate_fingerprint(&material->certificate, out);
    material_release(material);
}

int64_t tls_expires_at_ms(struct tls *tls) {
    struct material *material = material_acquire(tls);
    int64_t expires_at_ms = tls_certificate_expires_at_ms(&material->certificate);
    material_release(material);
    return expires_at_ms;
}

bool tls_is_self_signed(struct tls *tls) {
    struct material *material = material_acquire(tls);
    bool self_signed = material->certificate.self_signed;
    material_release(material);
    return self_signed;
}

/* ---- sessions -----------------------------------------------------------------------------------------------------
 */

struct tls_session {
    mbedtls_ssl_context ssl;
    struct material *material;
    int fd;
    enum { HANDSHAKING, OPEN, FAILED } state;
    bool peer_closed;    /* close_notify came */
    bool end_of_stream;  /* of the descriptor */
    size_t unsent;       /* bytes of the caller's in the record that could not go out whole; 0: none */
    size_t received;     /* in the handshake; then, in the present call of tls_read */
    uint8_t record_type; /* of the last record in the handshake */
    uint8_t alert;       /* that came in it unencrypted; 0: none */
    const char *why;     /* a failure's cause that mbedTLS does not know; NULL: it does */
    char error[ERROR_BYTES];
};

/* Who does not trust a certificate says so before it encrypts, and mbedTLS takes that for garbage. mbedTLS asks for a
 * record's header, then for its content. */
static void look_for_alert(struct tls_session *session, const unsigned char *bytes, size_t size) {
    enum { HEADER_BYTES = 5, ALERT_BYTES = 2, ALERT = 21 };
    if (size == HEADER_BYTES) session->record_type = bytes[0];
    if (size == ALERT_BYTES && session->record_type == ALERT) session->alert = bytes[1];
}

static int receive_bytes(void *arg, unsigned char *bytes, size_t size) {
    struct tls_session *session = arg;
    if (session->state == HANDSHAKING && session->received >= HANDSHAKE_BYTES_MAX) {
        session->why = "the client's handshake has no end";
        return MBEDTLS_ERR_NET_RECV_FAILED;
    }
    if (session->state == OPEN && session->received >= READ_BYTES_MAX) return MBEDTLS_ERR_SSL_WANT_READ;
    ssize_t got;
    do got = recv(session->fd, bytes, size, MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    if (got > 0 && session->state == HANDSHAKING) look_for_alert(session, bytes, (size_t)got);
    if (got > 0) session->received += (size_t)got;
    if (got == 0) session->end_of_stream = true;
    if (got >= 0) return (int)got;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return MBEDTLS_ERR_SSL_WANT_READ;
    session->why = strerrordesc_np(errno);
    return errno == ECONNRESET ? MBEDTLS_ERR_NET_CONN_RESET : MBEDTLS_ERR_NET_RECV_FAILED;
}

static int send_bytes(void *arg, const unsigned char *bytes, size_t size) {
    struct tls_session *session = arg;
    ssize_t sent;
    do sent = send(session->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0) return (int)sent;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return MBEDTLS_ERR_SSL_WANT_WRITE;
    session->why = strerrordesc_np(errno);
    return errno == EPIPE || errno == ECONNRESET ? MBEDTLS_ERR_NET_CONN_RESET : MBEDTLS_ERR_NET_SEND_FAILED;
}

struct tls_session *tls_session_new(struct tls *tls, int fd) {
    struct tls_session *session = env_alloc_zeroed(sizeof *session);
    if (!session) return NULL;
    session->fd = fd;
    session->material = material_acquire(tls);
    mbedtls_ssl_init(&session->ssl);
    if (mbedtls_ssl_setup(&session->ssl, &session->material->config) != 0) {
        (void)status_set(VELOCITY_NO_MEMORY, "no memory for a TLS session");
        tls_session_free(session);
        return NULL;
    }
    mbedtls_ssl_set_bio(&session->ssl, session, send_bytes, receive_bytes, NULL);
    return session;
}

void tls_session_free(struct tls_session *session) {
    if (!session) return;
    mbedtls_ssl_free(&session->ssl); /* overwrites keys and buffers */
    material_release(session->material);
    env_free(session);
}

/* bad_certificate, unsupported_, _revoked, _expired, _unknown, and unknown_ca of RFC 8446, section 6.2. */
static bool is_about_certificates(uint8_t alert) {
    return (alert >= 42 && alert <= 46) || alert == 48;
}

/* Words for the failures that an operator meets; mbedTLS's own for others. */
static void explain(struct tls_session *session, int result, char *words, size_t size) {
    const char *known = session->why;
    char detail[ERROR_BYTES / 2];
    if (!known && result == MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION) known = "TLS 1.3 was not offered";
    if (!known && result == MBEDTLS_ERR_SSL_NO_APPLICATION_PROTOCOL)
        known = "no offered protocol (ALPN) is spoken here";
    if (!known && result == MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE) known = "the client showed no certificate";
    if (!known && session->alert) {
        (void)snprintf(words, size, "the client gave up%s (alert %u)",
                       is_about_certificates(session->alert) ? ": it does not trust the certificate" : "",
                       session->alert);
        return;
    }
    if (!known && result == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE) known = "the other side gave up (a fatal alert)";
    if (!known && session->end_of_stream) known = "the connection ended without close_notify";
    if (known) {
        (void)snprintf(words, size, "%s", known);
    } else if (result == MBEDTLS_ERR_X509_CERT_VERIFY_FAILED) {
        uint32_t flags = mbedtls_ssl_get_verify_result(&session->ssl);
        (void)mbedtls_x509_crt_verify_info(detail, sizeof detail, "", flags);
        detail[strcspn(detail, "\n")] = 0; /* the first of its reasons */
        (void)snprintf(words, size, "the client's certificate: %s", detail);
    } else {
        mbedtls_strerror(result, words, size);
    }
}

static enum tls_result fail(struct tls_session *session, const char *doing, int result) {
    char words[ERROR_BYTES - 16];
    explain(session, result, words, sizeof words);
    session->state = FAILED;
    (void)snprintf(session->error, sizeof session->error, "%s: %s", doing, words);
    return TLS_FAILED;
}

/* What a call of mbedTLS that did not succeed means. */
static enum tls_result outcome(struct tls_session *session, const char *doing, int result) {
    if (result == MBEDTLS_ERR_SSL_WANT_READ) return TLS_WANT_READ;
    if (result == MBEDTLS_ERR_SSL_WANT_WRITE) return TLS_WANT_WRITE;
    if (result != MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) return fail(session, doing, result);
    session->peer_closed = true;
    return TLS_CLOSED;
}

/* Whether bytes may be carried; if not, and nothing failed before, this is the failure. */
static bool is_open(struct tls_session *session, const char *doing) {
    if (session->state == HANDSHAKING) {
        session->why = "before the end of the handshake";
        (void)fail(session, doing, 0);
    }
    return session->state == OPEN;
}

enum tls_result tls_handshake(struct tls_session *session) {
    if (session->state != HANDSHAKING) return session->state == OPEN ? TLS_DONE : TLS_FAILED;
    if (session->peer_closed) return TLS_CLOSED;
    int result = mbedtls_ssl_handshake(&session->ssl);
    if (result) return outcome(session, "handshake", result);
    session->state = OPEN;
    session->alert = 0;
    return TLS_DONE;
}

enum tls_result tls_read(struct tls_session *session, void *bytes, size_t size, size_t *count) {
    int result;
    *count = 0;
    if (!is_open(session, "read")) return TLS_FAILED;
    if (size == 0) {
        session->why = "into no bytes";
        return fail(session, "read", 0);
    }
    if (session->peer_closed) return TLS_CLOSED;
    session->received = 0;
    /* 0 is the end of the stream, or an empty record, of which mbedTLS suffers a few. */
    do result = mbedtls_ssl_read(&session->ssl, bytes, size < INT_MAX ? size : INT_MAX);
    while (result == 0 && !session->end_of_stream);
    if (result <= 0) return outcome(session, "read", result);
    *count = (size_t)result;
    return TLS_DONE;
}

enum tls_result tls_write(struct tls_session *session, const void *bytes, size_t size, size_t *count) {
    *count = 0;
    if (!is_open(session, "write")) return TLS_FAILED;
    if (size == 0 || size < session->unsent) {
        session->why = "no bytes, or fewer than the write that it repeats";
        return fail(session, "write", 0);
    }
    if (session->unsent) size = session->unsent;
    int limit = mbedtls_ssl_get_max_out_record_payload(&session->ssl);
    if (limit > 0 && size > (size_t)limit) size = (size_t)limit;
    int result = mbedtls_ssl_write(&session->ssl, bytes, size);
    session->unsent = result == MBEDTLS_ERR_SSL_WANT_WRITE ? size : 0;
    if (result <= 0) return outcome(session, "write", result);
    *count = (size_t)result;
    return TLS_DONE;
}

bool tls_session_pending(const struct tls_session *session) {
    return session->state == OPEN &&
           (mbedtls_ssl_get_bytes_avail(&session->ssl) > 0 || mbedtls_ssl_check_pending(&session->ssl));
}

enum tls_result tls_close(struct tls_session *session) {
    if (session->state == FAILED) return TLS_FAILED;
    if (session->state == HANDSHAKING) return TLS_DONE; /* there is nothing yet that could end */
    int result = mbedtls_ssl_close_notify(&session->ssl);
    if (!result && session->unsent) { /* that call only sent what stood before the alert */
        session->unsent = 0;
        result = mbedtls_ssl_close_notify(&session->ssl);
    }
    return result ? outcome(session, "close", result) : TLS_DONE;
}

/* ---- what a handshake found out -----------------------------------------------------------------------------------
 */

enum tls_protocol tls_session_protocol(const struct tls_session *session) {
    const char *chosen = mbedtls_ssl_get_alpn_protocol(&session->ssl);
    if (!chosen) return TLS_PROTOCOL_NONE;
    return strcmp(chosen, velocity_protocol) == 0 ? TLS_PROTOCOL_VELOCITY : TLS_PROTOCOL_HTTP;
}

/* Somebody's rights may hang on a name: one that would change on its way into a C string or a log is none. */
static bool is_plain(velocity_slice name) {
    const uint8_t *bytes = (const uint8_t *)name.data;
    for (size_t i = 0; i < name.size; i++)
        if (bytes[i] < 0x20 || bytes[i] == 0x7f) return false;
    return utf8_valid(name);
}

void tls_session_client(const struct tls_session *session, char *out, size_t size) {
    const mbedtls_x509_crt *certificate = mbedtls_ssl_get_peer_cert(&session->ssl);
    const mbedtls_x509_name *part = certificate && session->state == OPEN ? &certificate->subject : NULL;
    velocity_slice name = velocity_bytes(NULL, 0);
    out[0] = 0;
    for (; part; part = part->next) /* the last is the most specific */
        if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &part->oid) == 0) name = velocity_bytes(part->val.p, part->val.len);
    if (name.size == 0 || name.size >= size || !is_plain(name)) return;
    memcpy(out, name.data, name.size);
    out[name.size] = 0;
}

const char *tls_session_error(const struct tls_session *session) {
    return session->error;
}
