/* tls_client.c - see tls_client.h. */
#include "tls_client.h"
#include "cmocka_all.h"

#include <errno.h>
#include <mbedtls/psa_util.h>
#include <sys/socket.h>

static int receive_bytes(void *arg, unsigned char *bytes, size_t size) {
    struct tls_client *client = arg;
    ssize_t got = recv(client->fd, bytes, size, MSG_DONTWAIT);
    client->dry = got < 0 && errno == EAGAIN;
    return got >= 0 ? (int)got : client->dry ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static int send_bytes(void *arg, const unsigned char *bytes, size_t size) {
    ssize_t sent = send(((struct tls_client *)arg)->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent >= 0 ? (int)sent : errno == EAGAIN ? MBEDTLS_ERR_SSL_WANT_WRITE : MBEDTLS_ERR_SSL_INTERNAL_ERROR;
}

static int see_certificate(void *arg, mbedtls_x509_crt *certificate, int depth, uint32_t *flags) {
    (void)certificate, (void)depth, (void)flags;
    ((struct tls_client *)arg)->certificates_seen++;
    return 0;
}

void tls_client_init(struct tls_client *client, int fd, const struct tls_client_options *options) {
    *client = (struct tls_client){.fd = fd};
    mbedtls_ssl_config *config = &client->config;
    mbedtls_ssl_config_init(config);
    mbedtls_ssl_init(&client->ssl);
    mbedtls_ssl_session_init(&client->ticket);
    assert_int_equal(mbedtls_ssl_config_defaults(config, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                                 MBEDTLS_SSL_PRESET_DEFAULT),
                     0);
    mbedtls_ssl_conf_rng(config, mbedtls_psa_get_random, NULL);
    mbedtls_ssl_conf_verify(config, see_certificate, client);
    mbedtls_ssl_conf_authmode(config, options->trusted ? MBEDTLS_SSL_VERIFY_REQUIRED : MBEDTLS_SSL_VERIFY_OPTIONAL);
    mbedtls_ssl_conf_ca_chain(config, options->trusted, NULL);
    mbedtls_ssl_conf_tls13_enable_signal_new_session_tickets(config,
                                                             MBEDTLS_SSL_TLS1_3_SIGNAL_NEW_SESSION_TICKETS_ENABLED);
    if (options->tls_1_2) mbedtls_ssl_conf_max_tls_version(config, MBEDTLS_SSL_VERSION_TLS1_2);
    if (options->groups) mbedtls_ssl_conf_groups(config, options->groups);
    if (options->protocols) assert_int_equal(mbedtls_ssl_conf_alpn_protocols(config, options->protocols), 0);
    if (options->pair)
        assert_int_equal(mbedtls_ssl_conf_own_cert(config, (mbedtls_x509_crt *)&options->pair->certificate,
                                                   (mbedtls_pk_context *)&options->pair->key),
                         0);
    assert_int_equal(mbedtls_ssl_setup(&client->ssl, config), 0);
    assert_int_equal(mbedtls_ssl_set_hostname(&client->ssl, options->name ? options->name : "localhost"), 0);
    if (options->resuming) assert_int_equal(mbedtls_ssl_set_session(&client->ssl, options->resuming), 0);
    mbedtls_ssl_set_bio(&client->ssl, client, send_bytes, receive_bytes, NULL);
}

void tls_client_free(struct tls_client *client) {
    mbedtls_ssl_free(&client->ssl);
    mbedtls_ssl_session_free(&client->ticket);
    mbedtls_ssl_config_free(&client->config);
}

int tls_client_read(struct tls_client *client, void *bytes, size_t size) {
    for (;;) {
        client->dry = false;
        int result = mbedtls_ssl_read(&client->ssl, bytes, size);
        if (result == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
            mbedtls_ssl_session_free(&client->ticket);
            mbedtls_ssl_session_init(&client->ticket);
            assert_int_equal(mbedtls_ssl_get_session(&client->ssl, &client->ticket), 0);
            client->tickets++;
        } else if (result != MBEDTLS_ERR_SSL_WANT_READ || client->dry) {
            return result; /* a ticket that has only begun to be read is WANT_READ, too */
        }
    }
}
