/*
 * fake_tls.h - server/tls.h without cryptography, so that a test can bring a relay to every edge: a record at a time,
 * cut anywhere, written by hand. Holds the definitions of tls_*: one test program includes it in one file, and the real
 * ones stay in their library.
 *
 *     record: type | size, 2 bytes, big-endian | payload, every byte ^ 0x5a
 *     client: 0x16 ALPN NAME...  server: 0x16 'S'  both: 0x17 DATA... | 0x15
 *
 * ALPN is 'n' (none), 'h' (http/1.1), 'v' (velocity/1), or 'x', which the server refuses. NAME is what the client's
 * certificate would say. It checks what tls.h asks of its caller: a write that wants more comes again with the same
 * bytes, else the program aborts.
 */
#ifndef VELOCITY_TESTS_FAKE_TLS_H
#define VELOCITY_TESTS_FAKE_TLS_H

#include "server/tls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAKE_HEADER 3u
#define FAKE_MOST   16384u

enum { FAKE_CLOSE = 0x15, FAKE_HELLO = 0x16, FAKE_DATA = 0x17 };

struct fake_record {
    unsigned char bytes[FAKE_HEADER + FAKE_MOST];
    size_t start, size;
};

static inline size_t fake_encode(unsigned char *out, int type, const void *bytes, size_t size) {
    out[0] = (unsigned char)type;
    out[1] = (unsigned char)(size >> 8);
    out[2] = (unsigned char)size;
    for (size_t i = 0; i < size; i++) out[FAKE_HEADER + i] = ((const unsigned char *)bytes)[i] ^ 0x5a;
    return FAKE_HEADER + size;
}

/* ---- the server's side: tls.h ----------------------------------------------------------------------------------- */

struct tls {
    int unused;
};

struct tls_session {
    int fd;
    bool shaken, close_queued;
    enum tls_protocol protocol;
    char client[64];
    struct fake_record in;  /* start: always 0 */
    struct fake_record out; /* what was not sent yet */
    unsigned char plain[FAKE_MOST];
    size_t plain_start, plain_size;
    const void *writing; /* what the record in `out` was made of */
    size_t writing_size;
};

velocity_status tls_open(const struct tls_options *options, struct tls **out) {
    (void)options;
    *out = calloc(1, sizeof **out);
    return *out ? VELOCITY_OK : VELOCITY_NO_MEMORY;
}

velocity_status tls_reload(struct tls *tls, const struct tls_options *options) {
    (void)tls, (void)options;
    return VELOCITY_OK;
}

void tls_free(struct tls *tls) {
    free(tls);
}

void tls_fingerprint(struct tls *tls, char out[TLS_FINGERPRINT_BYTES]) {
    (void)tls;
    *out = 0;
}

int64_t tls_expires_at_ms(struct tls *tls) {
    (void)tls;
    return 0;
}

bool tls_is_self_signed(struct tls *tls) {
    (void)tls;
    return true;
}

struct tls_session *tls_session_new(struct tls *tls, int fd) {
    (void)tls;
    struct tls_session *session = calloc(1, sizeof *session);
    if (session) session->fd = fd;
    return session;
}

void tls_session_free(struct tls_session *session) {
    free(session);
}

/* Reads one record, never more. */
static enum tls_result fake_fill(struct tls_session *session) {
    struct fake_record *in = &session->in;
    for (;;) {
        size_t want = FAKE_HEADER;
        if (in->size >= FAKE_HEADER) want += (size_t)in->bytes[1] << 8 | in->bytes[2];
        if (want > sizeof in->bytes) return TLS_FAILED;
        if (in->size >= FAKE_HEADER && in->size == want) return TLS_DONE;
        ssize_t got = recv(session->fd, in->bytes + in->size, want - in->size, MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return TLS_WANT_READ;
        if (got <= 0) return TLS_FAILED;
        in->size += (size_t)got;
    }
}

static enum tls_result fake_flush(struct tls_session *session) {
    struct fake_record *out = &session->out;
    while (out->size) {
        ssize_t sent = send(session->fd, out->bytes + out->start, out->size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return TLS_WANT_WRITE;
        if (sent < 0) return TLS_FAILED;
        out->start += (size_t)sent;
        out->size -= (size_t)sent;
    }
    out->start = 0;
    return TLS_DONE;
}

enum tls_result tls_handshake(struct tls_session *session) {
    if (!session->shaken) {
        enum tls_result result = fake_fill(session);
        if (result != TLS_DONE) return result;
        size_t size = session->in.size - FAKE_HEADER;
        char alpn = (char)(session->in.bytes[FAKE_HEADER] ^ 0x5a);
        if (session->in.bytes[0] != FAKE_HELLO || size == 0 || alpn == 'x') return TLS_FAILED;
        session->protocol = alpn == 'h' ? TLS_PROTOCOL_HTTP : alpn == 'v' ? TLS_PROTOCOL_VELOCITY : TLS_PROTOCOL_NONE;
        for (size_t i = 1; i < size && i < sizeof session->client; i++)
            session->client[i - 1] = (char)(session->in.bytes[FAKE_HEADER + i] ^ 0x5a);
        session->in.size = 0;
        session->out.size = fake_encode(session->out.bytes, FAKE_HELLO, "S", 1);
        session->shaken = true;
    }
    return fake_flush(session);
}

enum tls_protocol tls_session_protocol(const struct tls_session *session) {
    return session->protocol;
}

void tls_session_client(const struct tls_session *session, char *out, size_t size) {
    (void)snprintf(out, size, "%s", session->client);
}

enum tls_result tls_read(struct tls_session *session, void *bytes, size_t size, size_t *count) {
    while (session->plain_size == 0) {
        enum tls_result result = fake_fill(session);
        if (result != TLS_DONE) return result;
        session->plain_start = 0;
        session->plain_size = session->in.size - FAKE_HEADER;
        for (size_t i = 0; i < session->plain_size; i++) session->plain[i] = session->in.bytes[FAKE_HEADER + i] ^ 0x5a;
        session->in.size = 0;
        if (session->in.bytes[0] == FAKE_CLOSE) return TLS_CLOSED;
        if (session->in.bytes[0] != FAKE_DATA) return TLS_FAILED;
    }
    *count = size < session->plain_size ? size : session->plain_size;
    memcpy(bytes, session->plain + session->plain_start, *count);
    session->plain_start += *count;
    session->plain_size -= *count;
    return TLS_DONE;
}

enum tls_result tls_write(struct tls_session *session, const void *bytes, size_t size, size_t *count) {
    if (session->out.size == 0) {
        session->out.start = 0;
        session->out.size = fake_encode(session->out.bytes, FAKE_DATA, bytes, size);
        session->writing = bytes;
        session->writing_size = size;
    } else if (session->writing != bytes || session->writing_size != size ||
               (((const unsigned char *)bytes)[size - 1] ^ 0x5a) !=
                   session->out.bytes[session->out.start + session->out.size - 1]) {
        abort(); /* not the same bytes again */
    }
    enum tls_result result = fake_flush(session);
    if (result == TLS_DONE) *count = size;
    return result;
}

bool tls_session_pending(const struct tls_session *session) {
    return session->plain_size > 0;
}

enum tls_result tls_close(struct tls_session *session) {
    if (!session->close_queued) {
        if (session->out.size) return TLS_FAILED;
        session->out.size = fake_encode(session->out.bytes, FAKE_CLOSE, "", 0);
        session->close_queued = true;
    }
    return fake_flush(session);
}

const char *tls_session_error(const struct tls_session *session) {
    (void)session;
    return "fake";
}

/* ---- the client's side, over a blocking descriptor ----------------------------------------------------------------
 */

static inline bool fake_send(int fd, int type, const void *bytes, size_t size) {
    unsigned char record[FAKE_HEADER + FAKE_MOST];
    size_t left = fake_encode(record, type, bytes, size), start = 0;
    while (left) {
        ssize_t sent = send(fd, record + start, left, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return false;
        start += (size_t)sent;
        left -= (size_t)sent;
    }
    return true;
}

static inline bool fake_receive(int fd, unsigned char *out, size_t size) {
    for (size_t got = 0; got < size;) {
        ssize_t more = recv(fd, out + got, size - got, 0);
        if (more < 0 && errno == EINTR) continue;
        if (more <= 0) return false;
        got += (size_t)more;
    }
    return true;
}

/* The next record's type, 0 where the connection ended; its payload in `out` (FAKE_MOST bytes) and *size. */
static inline int fake_hear(int fd, unsigned char *out, size_t *size) {
    unsigned char header[FAKE_HEADER];
    if (!fake_receive(fd, header, sizeof header)) return 0;
    *size = (size_t)header[1] << 8 | header[2];
    if (*size > FAKE_MOST || !fake_receive(fd, out, *size)) return 0;
    for (size_t i = 0; i < *size; i++) out[i] ^= 0x5a;
    return header[0];
}

/* Says hello ("h", or "h" and a name) and waits for the answer. */
static inline bool fake_shake(int fd, const char *hello) {
    unsigned char answer[FAKE_MOST];
    size_t size = 0;
    return fake_send(fd, FAKE_HELLO, hello, strlen(hello)) && fake_hear(fd, answer, &size) == FAKE_HELLO && size == 1;
}

#endif
