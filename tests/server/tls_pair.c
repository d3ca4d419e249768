/* tls_pair.c - see tls_pair.h. */
#include "tls_pair.h"
#include "cmocka_all.h"

#include <sys/socket.h>
#include <unistd.h>

void connect_pair(struct pair *pair, struct tls *tls, const struct tls_client_options *options) {
    static const struct tls_client_options anybody;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair->fds), 0);
    pair->session = tls_session_new(tls, pair->fds[0]);
    assert_non_null(pair->session);
    tls_client_init(&pair->client, pair->fds[1], options ? options : &anybody);
}

static bool client_waits(int result) {
    return result == MBEDTLS_ERR_SSL_WANT_READ || result == MBEDTLS_ERR_SSL_WANT_WRITE;
}

static bool server_waits(enum tls_result result) {
    return result == TLS_WANT_READ || result == TLS_WANT_WRITE;
}

bool shake_hands(struct pair *pair) {
    enum { TURNS = 20 }; /* a handshake takes three */
    int client = MBEDTLS_ERR_SSL_WANT_READ;
    pair->said = TLS_WANT_READ;
    for (int turn = 0; turn < TURNS && (client_waits(client) || server_waits(pair->said)); turn++) {
        if (client_waits(client)) client = mbedtls_ssl_handshake(&pair->client.ssl);
        if (server_waits(pair->said)) pair->said = tls_handshake(pair->session);
    }
    return client == 0 && pair->said == TLS_DONE;
}

bool meet(struct pair *pair, struct tls *tls, const struct tls_client_options *options) {
    connect_pair(pair, tls, options);
    return shake_hands(pair);
}

void part(struct pair *pair) {
    tls_session_free(pair->session);
    tls_client_free(&pair->client);
    (void)close(pair->fds[0]);
    if (pair->fds[1] >= 0) (void)close(pair->fds[1]);
}

void hang_up(struct pair *pair) {
    assert_int_equal(close(pair->fds[1]), 0);
    pair->fds[1] = -1;
}

void assert_says(const struct pair *pair, const char *words) {
    assert_int_equal(tls_handshake(pair->session), TLS_FAILED);
    assert_non_null(strstr(tls_session_error(pair->session), words));
}

void assert_client_sends(struct pair *pair, const char *text) {
    assert_int_equal(mbedtls_ssl_write(&pair->client.ssl, (const uint8_t *)text, strlen(text)), (int)strlen(text));
}

void assert_server_reads(struct pair *pair, const char *text) {
    char bytes[256];
    size_t count;
    assert_int_equal(tls_read(pair->session, bytes, sizeof bytes, &count), TLS_DONE);
    assert_slice(velocity_bytes(bytes, count), velocity_str(text));
}

bool echoes(struct pair *pair) {
    char bytes[16];
    size_t count;
    return mbedtls_ssl_write(&pair->client.ssl, (const uint8_t *)"there", 5) == 5 &&
           tls_read(pair->session, bytes, sizeof bytes, &count) == TLS_DONE && count == 5 &&
           memcmp(bytes, "there", 5) == 0 && tls_write(pair->session, "and back", 8, &count) == TLS_DONE &&
           count == 8 && tls_client_read(&pair->client, bytes, sizeof bytes) == 8 && memcmp(bytes, "and back", 8) == 0;
}

size_t flood(struct pair *pair) {
    static const uint8_t record[] = {20, 3, 3, 0, 1, 1};
    uint8_t records[1024 * sizeof record];
    size_t sent = 0;
    for (size_t i = 0; i < sizeof records; i++) records[i] = record[i % sizeof record];
    for (ssize_t n; (n = send(pair->fds[1], records, sizeof records, MSG_NOSIGNAL)) > 0;) sent += (size_t)n;
    return sent;
}
