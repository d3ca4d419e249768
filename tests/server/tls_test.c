/* tls_test.c - who gets a session, as whom, with which certificate; and reload. */
#include "cmocka_all.h"
#include "server/tls.h"
#include "tls_pair.h"

#include <psa/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static char folder[64], own_folder[80];
static struct pki_pair clients_authority, alice, stranger, server_pair, other_server_pair;

static int make_world(void **state) {
    (void)state;
    strcpy(folder, "/tmp/velocity-tls-XXXXXX");
    if (psa_crypto_init() != PSA_SUCCESS || !mkdtemp(folder)) return -1;
    (void)snprintf(own_folder, sizeof own_folder, "%s/own", folder);
    pki_make(&clients_authority, folder, "authority",
             &(struct pki_options){.subject = "CN=authority", .authority = true, .days = 10});
    pki_make(&alice, folder, "alice",
             &(struct pki_options){.subject = "O=house,CN=alice", .issuer = &clients_authority, .days = 10});
    pki_make(&stranger, folder, "stranger", &(struct pki_options){.subject = "CN=alice", .days = 10});
    pki_make(&server_pair, folder, "server", &(struct pki_options){.subject = "CN=server", .days = 10});
    pki_make(&other_server_pair, folder, "other", &(struct pki_options){.subject = "CN=other", .days = 20});
    return 0;
}

static int remove_world(void **state) {
    (void)state;
    struct pki_pair *all[] = {&clients_authority, &alice, &stranger, &server_pair, &other_server_pair};
    for (size_t i = 0; i < COUNT(all); i++) pki_free(all[i]);
    pki_remove_folder(folder);
    return 0;
}

static struct tls_options options_of(const struct pki_pair *pair) {
    return (struct tls_options){.directory = own_folder,
                                .cert_path = pair ? pair->cert_path : "",
                                .key_path = pair ? pair->key_path : "",
                                .client_ca_path = ""};
}

static struct tls *open_with(const struct tls_options *options) {
    struct tls *tls;
    assert_int_equal(tls_open(options, &tls), VELOCITY_OK);
    return tls;
}

static struct tls *open_server(void) {
    struct tls_options options = options_of(&server_pair);
    return open_with(&options);
}

/* ---- handshakes ---------------------------------------------------------------------------------------------------
 */

static void bytes_go_both_ways_after_a_handshake(void **state) {
    (void)state;
    struct tls *tls = open_server();
    struct pair pair;
    char bytes[8];
    size_t count;
    assert_true(meet(&pair, tls, NULL));
    assert_string_equal(mbedtls_ssl_get_version(&pair.client.ssl), "TLSv1.3");
    assert_int_equal(tls_read(pair.session, bytes, sizeof bytes, &count), TLS_WANT_READ);
    assert_int_equal(count, 0);
    assert_true(echoes(&pair));
    assert_int_equal(tls_session_protocol(pair.session), TLS_PROTOCOL_NONE);
    part(&pair);
    tls_free(tls);
}

static void a_client_of_tls_1_2_is_refused(void **state) {
    (void)state;
    struct tls *tls = open_server();
    struct pair pair;
    assert_false(meet(&pair, tls, &(struct tls_client_options){.tls_1_2 = true}));
    assert_int_equal(pair.said, TLS_FAILED);
    assert_says(&pair, "TLS 1.3 was not offered");
    part(&pair);
    tls_free(tls);
}

static void a_group_that_is_not_spoken_is_negotiated_away(void **state) {
    (void)state;
    static const uint16_t first_unknown[] = {MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, MBEDTLS_SSL_IANA_TLS_GROUP_SECP256R1,
                                             0};
    static const uint16_t all_unknown[] = {MBEDTLS_SSL_IANA_TLS_GROUP_SECP384R1, 0};
    struct tls *tls = open_server();
    struct pair pair;
    assert_true(meet(&pair, tls, &(struct tls_client_options){.groups = first_unknown}));
    assert_true(echoes(&pair));
    part(&pair);
    assert_false(meet(&pair, tls, &(struct tls_client_options){.groups = all_unknown}));
    assert_int_equal(pair.said, TLS_FAILED);
    part(&pair);
    tls_free(tls);
}

static void the_protocol_is_the_one_of_the_offered_that_is_spoken_here(void **state) {
    (void)state;
    static const struct {
        const char *offered[4];
        bool accepted;
        enum tls_protocol protocol;
    } cases[] = {
        {{"http/1.1"}, true, TLS_PROTOCOL_HTTP},
        {{"velocity/1"}, true, TLS_PROTOCOL_VELOCITY},
        {{"h2", "http/1.1"}, true, TLS_PROTOCOL_HTTP},
        {{"smtp", "velocity/1", "h2"}, true, TLS_PROTOCOL_VELOCITY},
        {{"h2"}, false, TLS_PROTOCOL_NONE},
        {{"http/1.0", "velocity/2"}, false, TLS_PROTOCOL_NONE},
    };
    struct tls *tls = open_server();
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct pair pair;
        const struct tls_client_options options = {.protocols = (const char **)cases[i].offered};
        assert_int_equal(meet(&pair, tls, &options), cases[i].accepted);
        if (cases[i].accepted) {
            assert_int_equal(tls_session_protocol(pair.session), cases[i].protocol);
            assert_true(echoes(&pair));
        } else {
            assert_int_equal(pair.said, TLS_FAILED);
            assert_says(&pair, "ALPN");
        }
        part(&pair);
    }
    tls_free(tls);
}

static void a_client_that_does_not_trust_the_certificate_is_told_from_others(void **state) {
    (void)state;
    static const uint8_t unknown_ca[] = {21, 3, 3, 0, 2, 2, 48}, internal_error[] = {21, 3, 3, 0, 2, 2, 80};
    struct tls *tls = open_server();
    struct pair pair;
    connect_pair(&pair, tls, NULL);
    assert_int_equal(mbedtls_ssl_handshake(&pair.client.ssl), MBEDTLS_ERR_SSL_WANT_READ);
    assert_int_equal(tls_handshake(pair.session), TLS_WANT_READ);
    assert_true(send(pair.fds[1], unknown_ca, sizeof unknown_ca, MSG_NOSIGNAL) > 0);
    assert_int_equal(tls_handshake(pair.session), TLS_FAILED);
    assert_says(&pair, "does not trust the certificate (alert 48)");
    part(&pair);
    connect_pair(&pair, tls, NULL);
    assert_int_equal(mbedtls_ssl_handshake(&pair.client.ssl), MBEDTLS_ERR_SSL_WANT_READ);
    assert_int_equal(tls_handshake(pair.session), TLS_WANT_READ);
    assert_true(send(pair.fds[1], internal_error, sizeof internal_error, MSG_NOSIGNAL) > 0);
    assert_int_equal(tls_handshake(pair.session), TLS_FAILED);
    assert_says(&pair, "gave up (alert 80)");
    part(&pair);
    tls_free(tls);
}

static void nothing_is_carried_before_the_handshake(void **state) {
    (void)state;
    struct tls *tls = open_server();
    struct pair pair;
    char byte = 'x';
    size_t count;
    connect_pair(&pair, tls, NULL);
    assert_int_equal(tls_write(pair.session, &byte, 1, &count), TLS_FAILED);
    assert_int_equal(tls_handshake(pair.session), TLS_FAILED);
    assert_int_equal(recv(pair.fds[1], &byte, 1, MSG_DONTWAIT), -1);
    part(&pair);
    tls_free(tls);
}

static void a_handshake_that_never_ends_is_ended(void **state) {
    (void)state;
    struct tls *tls = open_server();
    struct pair pair;
    connect_pair(&pair, tls, NULL);
    assert_int_equal(mbedtls_ssl_handshake(&pair.client.ssl), MBEDTLS_ERR_SSL_WANT_READ);
    enum tls_result said = tls_handshake(pair.session);
    size_t sent = 0;
    while (said == TLS_WANT_READ && sent < 1 << 20) {
        sent += flood(&pair);
        said = tls_handshake(pair.session);
    }
    assert_int_equal(said, TLS_FAILED);
    assert_says(&pair, "no end");
    part(&pair);
    tls_free(tls);
}

/* ---- clients' certificates ----------------------------------------------------------------------------------------
 */

static struct tls *open_asking(void) {
    struct tls_options options = options_of(&server_pair);
    options.client_ca_path = clients_authority.cert_path;
    return open_with(&options);
}

static void a_client_is_known_by_the_name_in_its_certificate(void **state) {
    (void)state;
    struct tls *tls = open_asking();
    struct pair pair;
    char name[32];
    assert_true(meet(&pair, tls, &(struct tls_client_options){.pair = &alice}));
    tls_session_client(pair.session, name, sizeof name);
    assert_string_equal(name, "alice");
    assert_true(echoes(&pair));
    tls_session_client(pair.session, name, sizeof "alice" - 1); /* a part of a name would be another's */
    assert_string_equal(name, "");
    part(&pair);
    tls_free(tls);
}

static void a_name_that_a_log_could_not_show_is_none(void **state) {
    (void)state;
    struct pki_pair odd;
    struct tls *tls = open_asking();
    struct pair pair;
    char name[32] = "?";
    pki_make(&odd, folder, "odd",
             &(struct pki_options){.subject = "CN=alice\\0Aadmin", .issuer = &clients_authority, .days = 10});
    assert_true(meet(&pair, tls, &(struct tls_client_options){.pair = &odd}));
    tls_session_client(pair.session, name, sizeof name);
    assert_string_equal(name, "");
    part(&pair);
    tls_free(tls);
    pki_free(&odd);
}

static void without_a_certificate_of_the_right_authority_nobody_comes_in(void **state) {
    (void)state;
    struct tls *tls = open_asking();
    struct pair pair;
    char name[32] = "?";
    (void)meet(&pair, tls, NULL);
    assert_int_equal(pair.said, TLS_FAILED);
    assert_says(&pair, "no certificate");
    tls_session_client(pair.session, name, sizeof name);
    assert_string_equal(name, "");
    part(&pair);
    (void)meet(&pair, tls, &(struct tls_client_options){.pair = &stranger});
    assert_int_equal(pair.said, TLS_FAILED);
    assert_says(&pair, "client's certificate: ");
    tls_session_client(pair.session, name, sizeof name);
    assert_string_equal(name, "");
    part(&pair);
    tls_free(tls);
}

static void a_client_whose_certificate_has_ended_stays_out(void **state) {
    (void)state;
    struct pki_pair late;
    struct tls *tls = open_asking();
    struct pair pair;
    pki_make(&late, folder, "late",
             &(struct pki_options){.subject = "CN=alice", .issuer = &clients_authority, .from_day = -10, .days = 9});
    (void)meet(&pair, tls, &(struct tls_client_options){.pair = &late});
    assert_int_equal(pair.said, TLS_FAILED);
    assert_says(&pair, "expired");
    part(&pair);
    tls_free(tls);
    pki_free(&late);
}

static void nobody_is_asked_who_needs_not_to_be(void **state) {
    (void)state;
    struct tls *tls = open_server();
    struct pair pair;
    char name[8] = "?";
    assert_true(meet(&pair, tls, &(struct tls_client_options){.pair = &alice}));
    tls_session_client(pair.session, name, sizeof name);
    assert_string_equal(name, "");
    part(&pair);
    tls_free(tls);
}

/* ---- tickets ------------------------------------------------------------------------------------------------------
 */

/* Whether a second visit with the first's ticket was spared the certificate. */
static bool resumes(struct tls *first_tls, struct tls *second_tls, const struct pki_pair *shown, uint32_t *tickets) {
    struct pair first, second;
    char byte;
    assert_true(meet(&first, first_tls, &(struct tls_client_options){.pair = shown}));
    assert_int_equal(tls_client_read(&first.client, &byte, 1), MBEDTLS_ERR_SSL_WANT_READ);
    assert_int_equal(first.client.certificates_seen, 1);
    *tickets = first.client.tickets;
    struct tls_client_options options = {.pair = shown, .resuming = *tickets ? &first.client.ticket : NULL};
    assert_true(meet(&second, second_tls, &options));
    assert_true(echoes(&second));
    bool resumed = second.client.certificates_seen == 0;
    part(&first);
    part(&second);
    return resumed;
}

static void a_client_comes_back_with_its_ticket(void **state) {
    (void)state;
    struct tls *tls = open_server(), *other = open_server();
    uint32_t tickets;
    assert_true(resumes(tls, tls, NULL, &tickets));
    assert_int_equal(tickets, 1);
    assert_false(resumes(tls, other, NULL, &tickets)); /* its key is another: a full handshake, and no failure */
    tls_free(tls);
    tls_free(other);
}

static void who_must_show_a_certificate_shows_it_each_time(void **state) {
    (void)state;
    struct tls *tls = open_asking();
    uint32_t tickets;
    assert_false(resumes(tls, tls, &alice, &tickets));
    assert_int_equal(tickets, 0);
    tls_free(tls);
}

/* ---- reload -------------------------------------------------------------------------------------------------------
 */

static void assert_serves(struct pair *pair, const struct pki_pair *expected) {
    const mbedtls_x509_crt *shown = mbedtls_ssl_get_peer_cert(&pair->client.ssl);
    assert_non_null(shown);
    assert_slice(velocity_bytes(shown->raw.p, shown->raw.len),
                 velocity_bytes(expected->certificate.raw.p, expected->certificate.raw.len));
}

static void after_a_reload_new_sessions_have_the_new_certificate_and_old_ones_go_on(void **state) {
    (void)state;
    struct tls *tls = open_server();
    struct pair old, midway, new;
    char before[TLS_FINGERPRINT_BYTES], after[TLS_FINGERPRINT_BYTES];
    assert_true(meet(&old, tls, NULL));
    connect_pair(&midway, tls, NULL);
    tls_fingerprint(tls, before);
    int64_t ended_at_ms = tls_expires_at_ms(tls);
    struct tls_options options = options_of(&other_server_pair);
    assert_int_equal(tls_reload(tls, &options), VELOCITY_OK);
    tls_fingerprint(tls, after);
    assert_string_not_equal(before, after);
    assert_true(tls_expires_at_ms(tls) > ended_at_ms);
    assert_true(meet(&new, tls, NULL));
    assert_serves(&new, &other_server_pair);
    assert_true(shake_hands(&midway));
    assert_serves(&midway, &server_pair);
    assert_serves(&old, &server_pair);
    assert_true(echoes(&old));
    assert_true(echoes(&new));
    part(&old);
    part(&midway);
    part(&new);
    tls_free(tls);
}

static void a_reload_that_fails_changes_nothing(void **state) {
    (void)state;
    struct tls *tls = open_server();
    struct pair pair;
    char before[TLS_FINGERPRINT_BYTES], after[TLS_FINGERPRINT_BYTES];
    struct tls_options options = options_of(&other_server_pair);
    tls_fingerprint(tls, before);
    options.client_ca_path = "/nonexistent/authority.pem";
    assert_int_equal(tls_reload(tls, &options), VELOCITY_INVALID);
    assert_non_null(strstr(velocity_error_message(), "/nonexistent/authority.pem"));
    tls_fingerprint(tls, after);
    assert_string_equal(before, after);
    assert_true(meet(&pair, tls, NULL));
    assert_serves(&pair, &server_pair);
    part(&pair);
    tls_free(tls);
}

enum { VISITORS = 3, VISITS = 8 };

static void *visit(void *arg) {
    struct tls *tls = arg;
    for (int i = 0; i < VISITS; i++) {
        struct pair pair;
        char fingerprint[TLS_FINGERPRINT_BYTES];
        tls_fingerprint(tls, fingerprint);
        bool good = meet(&pair, tls, NULL) && echoes(&pair);
        part(&pair);
        if (!good) return "failed";
    }
    return NULL;
}

static void many_threads_share_it_while_it_is_reloaded(void **state) {
    (void)state;
    struct tls *tls = open_server();
    pthread_t visitors[VISITORS];
    for (size_t i = 0; i < VISITORS; i++) assert_int_equal(pthread_create(&visitors[i], NULL, visit, tls), 0);
    for (int i = 0; i < 2 * VISITS; i++) {
        struct tls_options options = options_of(i % 2 ? &server_pair : &other_server_pair);
        assert_int_equal(tls_reload(tls, &options), VELOCITY_OK);
    }
    for (size_t i = 0; i < VISITORS; i++) {
        void *failed;
        assert_int_equal(pthread_join(visitors[i], &failed), 0);
        assert_null(failed);
    }
    tls_free(tls);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways_after_a_handshake),
        cmocka_unit_test(a_client_of_tls_1_2_is_refused),
        cmocka_unit_test(a_group_that_is_not_spoken_is_negotiated_away),
        cmocka_unit_test(the_protocol_is_the_one_of_the_offered_that_is_spoken_here),
        cmocka_unit_test(a_client_that_does_not_trust_the_certificate_is_told_from_others),
        cmocka_unit_test(nothing_is_carried_before_the_handshake),
        cmocka_unit_test(a_handshake_that_never_ends_is_ended),
        cmocka_unit_test(a_client_is_known_by_the_name_in_its_certificate),
        cmocka_unit_test(a_name_that_a_log_could_not_show_is_none),
        cmocka_unit_test(without_a_certificate_of_the_right_authority_nobody_comes_in),
        cmocka_unit_test(a_client_whose_certificate_has_ended_stays_out),
        cmocka_unit_test(nobody_is_asked_who_needs_not_to_be),
        cmocka_unit_test(a_client_comes_back_with_its_ticket),
        cmocka_unit_test(who_must_show_a_certificate_shows_it_each_time),
        cmocka_unit_test(after_a_reload_new_sessions_have_the_new_certificate_and_old_ones_go_on),
        cmocka_unit_test(a_reload_that_fails_changes_nothing),
        cmocka_unit_test(many_threads_share_it_while_it_is_reloaded),
    };
    return cmocka_run_group_tests(tests, make_world, remove_world);
}
