/* tls_carry_test.c - what a session does with bytes: all of them, in order, and what it says when they end. */
#include "cmocka_all.h"
#include "tls_pair.h"

#include <sys/ioctl.h>
#include <sys/socket.h>

static char folder[64];

static int open_tls(void **state) {
    strcpy(folder, "/tmp/velocity-carry-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    struct tls_options options = {.directory = folder};
    return tls_open(&options, (struct tls **)state) == VELOCITY_OK ? 0 : -1;
}

static int close_tls(void **state) {
    tls_free(*state);
    pki_remove_folder(folder);
    return 0;
}

static uint8_t pattern(size_t i) {
    return (uint8_t)(i * 31 + i / 4096);
}

/* Reads what the client has got and checks that it goes on where it should. */
static size_t client_takes(struct pair *pair, size_t from) {
    static uint8_t bytes[16384];
    int got;
    while ((got = tls_client_read(&pair->client, bytes, sizeof bytes)) > 0)
        for (int i = 0; i < got; i++, from++) assert_int_equal(bytes[i], pattern(from));
    assert_int_equal(got, MBEDTLS_ERR_SSL_WANT_READ);
    return from;
}

static void a_full_socket_loses_and_doubles_nothing(void **state) {
    struct tls *tls = *state;
    enum { TOTAL = 3 << 20, FIRST = 5000 };
    struct pair pair;
    uint8_t *bytes = malloc(TOTAL);
    size_t written = 0, taken = 0, waits = 0, offered = FIRST;
    assert_non_null(bytes);
    for (size_t i = 0; i < TOTAL; i++) bytes[i] = pattern(i);
    assert_true(meet(&pair, tls, NULL));
    while (written < TOTAL) {
        size_t count, left = TOTAL - written;
        enum tls_result said = tls_write(pair.session, bytes + written, left < offered ? left : offered, &count);
        written += count;
        assert_true(said == TLS_DONE ? count > 0 : count == 0 && said == TLS_WANT_WRITE);
        if (said == TLS_DONE) continue;
        waits++;
        offered += 777; /* meanwhile more may have come to be written */
        taken = client_takes(&pair, taken);
    }
    assert_true(waits > 3);
    assert_int_equal(client_takes(&pair, taken), TOTAL);
    free(bytes);
    part(&pair);
}

static void what_is_decrypted_and_not_read_yet_is_told(void **state) {
    struct tls *tls = *state;
    struct pair pair;
    char bytes[8];
    size_t count;
    assert_true(meet(&pair, tls, NULL));
    assert_false(tls_session_pending(pair.session));
    assert_client_sends(&pair, "hello world");
    assert_false(tls_session_pending(pair.session));
    assert_int_equal(tls_read(pair.session, bytes, 5, &count), TLS_DONE);
    assert_true(tls_session_pending(pair.session));
    assert_server_reads(&pair, " world");
    assert_false(tls_session_pending(pair.session));
    part(&pair);
}

static void a_call_that_can_not_be_meant_fails(void **state) {
    struct tls *tls = *state;
    static const uint8_t bytes[16384];
    struct pair pair;
    char byte;
    size_t count;
    assert_true(meet(&pair, tls, NULL));
    assert_client_sends(&pair, "text");
    assert_int_equal(tls_read(pair.session, &byte, 0, &count), TLS_FAILED);
    part(&pair);
    assert_true(meet(&pair, tls, NULL));
    while (tls_write(pair.session, bytes, sizeof bytes, &count) == TLS_DONE) continue;
    assert_int_equal(tls_write(pair.session, bytes, 1, &count), TLS_FAILED); /* not what it repeats */
    part(&pair);
}

static void an_empty_record_is_no_end(void **state) {
    struct tls *tls = *state;
    struct pair pair;
    assert_true(meet(&pair, tls, NULL));
    for (int i = 0; i < 2; i++) assert_int_equal(mbedtls_ssl_write(&pair.client.ssl, (const uint8_t *)"", 0), 0);
    assert_client_sends(&pair, "text");
    assert_server_reads(&pair, "text");
    part(&pair);
}

static void an_end_in_order_is_told_from_one_without(void **state) {
    struct tls *tls = *state;
    struct pair pair;
    char byte;
    size_t count;
    assert_true(meet(&pair, tls, NULL));
    assert_client_sends(&pair, "last words");
    assert_int_equal(mbedtls_ssl_close_notify(&pair.client.ssl), 0);
    assert_server_reads(&pair, "last words");
    assert_int_equal(tls_read(pair.session, &byte, 1, &count), TLS_CLOSED);
    assert_int_equal(tls_read(pair.session, &byte, 1, &count), TLS_CLOSED);
    assert_int_equal(tls_write(pair.session, "a", 1, &count), TLS_DONE); /* the answer still goes out */
    assert_int_equal(tls_client_read(&pair.client, &byte, 1), 1);
    part(&pair);

    assert_true(meet(&pair, tls, NULL));
    assert_client_sends(&pair, "cut");
    assert_int_equal(tls_client_read(&pair.client, &byte, 1), MBEDTLS_ERR_SSL_WANT_READ); /* unread: it'd be a reset */
    hang_up(&pair);
    assert_server_reads(&pair, "cut");
    assert_int_equal(tls_read(pair.session, &byte, 1, &count), TLS_FAILED);
    assert_says(&pair, "without close_notify");
    assert_int_equal(tls_write(pair.session, "a", 1, &count), TLS_FAILED);
    assert_int_equal(tls_close(pair.session), TLS_FAILED);
    part(&pair);
}

static void the_client_is_told_of_the_end_behind_all_that_was_written(void **state) {
    struct tls *tls = *state;
    enum { SIZE = 8000 };
    struct pair pair;
    uint8_t bytes[SIZE];
    size_t count, written = 0, taken = 0;
    enum tls_result said;
    char byte;
    assert_true(meet(&pair, tls, NULL));
    for (;;) { /* until a record is stuck half way */
        for (size_t i = 0; i < SIZE; i++) bytes[i] = pattern(written + i);
        said = tls_write(pair.session, bytes, SIZE, &count);
        if (said != TLS_DONE) break;
        written += count;
    }
    assert_int_equal(said, TLS_WANT_WRITE);
    assert_int_equal(tls_close(pair.session), TLS_WANT_WRITE);
    taken = client_takes(&pair, taken);
    assert_true(taken <= written);
    assert_int_equal(tls_close(pair.session), TLS_DONE);
    while (taken < written + SIZE) {
        uint8_t got;
        assert_int_equal(tls_client_read(&pair.client, &got, 1), 1);
        assert_int_equal(got, pattern(taken++));
    }
    assert_int_equal(tls_client_read(&pair.client, &byte, 1), MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY);
    part(&pair);
}

static void garbage_ends_a_session_and_nothing_else(void **state) {
    struct tls *tls = *state;
    static const char garbage[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    struct pair pair;
    char bytes[8];
    size_t count;
    connect_pair(&pair, tls, NULL); /* in place of a hello */
    assert_true(send(pair.fds[1], garbage, sizeof garbage - 1, MSG_NOSIGNAL) > 0);
    assert_int_equal(tls_handshake(pair.session), TLS_FAILED);
    assert_int_equal(tls_handshake(pair.session), TLS_FAILED);
    assert_true(strlen(tls_session_error(pair.session)) > 0);
    part(&pair);
    assert_true(meet(&pair, tls, NULL)); /* behind a handshake */
    assert_true(send(pair.fds[1], garbage, sizeof garbage - 1, MSG_NOSIGNAL) > 0);
    assert_int_equal(tls_read(pair.session, bytes, sizeof bytes, &count), TLS_FAILED);
    part(&pair);
    assert_true(meet(&pair, tls, NULL)); /* a record that nobody encrypted with the session's keys */
    static const uint8_t forged[] = {23, 3,  3,  0,  20, 1,  2,  3,  4,  5,  6,  7, 8,
                                     9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
    assert_true(send(pair.fds[1], forged, sizeof forged, MSG_NOSIGNAL) > 0);
    assert_int_equal(tls_read(pair.session, bytes, sizeof bytes, &count), TLS_FAILED);
    part(&pair);
}

static void half_a_record_waits_for_its_rest_and_then_for_nothing(void **state) {
    struct tls *tls = *state;
    static const uint8_t begun[] = {23, 3, 3, 0, 200, 1, 2, 3};
    struct pair pair;
    char byte;
    size_t count;
    assert_true(meet(&pair, tls, NULL));
    assert_true(send(pair.fds[1], begun, sizeof begun, MSG_NOSIGNAL) > 0);
    assert_int_equal(tls_read(pair.session, &byte, 1, &count), TLS_WANT_READ);
    assert_int_equal(tls_read(pair.session, &byte, 1, &count), TLS_WANT_READ);
    hang_up(&pair);
    assert_int_equal(tls_read(pair.session, &byte, 1, &count), TLS_FAILED);
    part(&pair);
}

static void records_without_content_do_not_hold_the_thread(void **state) {
    struct tls *tls = *state;
    struct pair pair;
    char byte;
    size_t count;
    int left, before;
    assert_true(meet(&pair, tls, NULL));
    assert_true(flood(&pair) > 0);
    assert_int_equal(ioctl(pair.fds[0], FIONREAD, &before), 0);
    assert_int_equal(tls_read(pair.session, &byte, 1, &count), TLS_WANT_READ);
    assert_int_equal(ioctl(pair.fds[0], FIONREAD, &left), 0);
    assert_true(before > 64 << 10 ? left > 0 : left == 0);
    while (left > 0) {
        assert_int_equal(tls_read(pair.session, &byte, 1, &count), TLS_WANT_READ);
        assert_int_equal(ioctl(pair.fds[0], FIONREAD, &left), 0);
    }
    assert_true(echoes(&pair));
    part(&pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_socket_loses_and_doubles_nothing),
        cmocka_unit_test(what_is_decrypted_and_not_read_yet_is_told),
        cmocka_unit_test(a_call_that_can_not_be_meant_fails),
        cmocka_unit_test(an_empty_record_is_no_end),
        cmocka_unit_test(an_end_in_order_is_told_from_one_without),
        cmocka_unit_test(the_client_is_told_of_the_end_behind_all_that_was_written),
        cmocka_unit_test(garbage_ends_a_session_and_nothing_else),
        cmocka_unit_test(half_a_record_waits_for_its_rest_and_then_for_nothing),
        cmocka_unit_test(records_without_content_do_not_hold_the_thread),
    };
    return cmocka_run_group_tests(tests, open_tls, close_tls);
}
