/*
 * tls_relay_test.c - what the relay promises to both sides, over the fake TLS of fake_tls.h. One thread carries all
 * connections, so that each could hold up the others.
 */
#include "tests/server/cmocka_all.h"

#include "server/tls_relay.h"
#include "tests/server/fake_tls.h"
#include "tests/server/port_front.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>

#define LARGE_BYTES (3u << 20)

static struct front http = FRONT_EMPTY, binary = FRONT_EMPTY;
static struct tls *tls;
static struct tls_relay *relay;
static _Atomic int peers;

static int set_up(uint32_t deadline_seconds) {
    struct tls_relay_options options = {.threads = 1,
                                        .deadline_seconds = deadline_seconds,
                                        .http = {front_take, &http},
                                        .velocity = {front_take, &binary}};
    atomic_store(&peers, 0); /* whatever a test before that failed has left */
    if (tls_open(NULL, &tls) != VELOCITY_OK) return -1;
    options.tls = tls;
    return tls_relay_new(&options, &relay) == VELOCITY_OK ? 0 : -1;
}

/* A deadline that nobody meets who is only slow, as everybody may be. */
static int set_up_patient(void **state) {
    (void)state;
    return set_up(60);
}

static int set_up_hasty(void **state) {
    (void)state;
    return set_up(3);
}

static int tear_down(void **state) {
    (void)state;
    front_clear(&http);
    front_clear(&binary);
    tls_relay_free(relay);
    relay = NULL;
    tls_free(tls);
    if (atomic_load(&peers)) print_error("%d peers are left\n", atomic_load(&peers));
    return atomic_load(&peers) == 0 ? 0 : -1;
}

static void count_release(const struct peer *peer) {
    (void)peer;
    atomic_fetch_sub(&peers, 1);
}

/* A client whose other end the relay has. */
static int connect_client(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = FRONT_PATIENCE_S};
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(fcntl(pair[1], F_SETFL, O_NONBLOCK), 0);
    (void)setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)setsockopt(pair[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    struct peer *peer = peer_new((struct sockaddr *)&address, sizeof address);
    assert_non_null(peer);
    atomic_fetch_add(&peers, 1);
    peer->release = count_release;
    tls_relay_take(relay, pair[1], peer);
    return pair[0];
}

/* A client sees its end before the relay has counted it. */
static void wait_for_peers(int count) {
    assert_soon(atomic_load(&peers) == count);
}

static int connect_and_shake(const char *hello) {
    int client = connect_client();
    assert_true(fake_shake(client, hello));
    return client;
}

static void say(int client, const char *text) {
    assert_true(fake_send(client, FAKE_DATA, text, strlen(text)));
}

static void assert_heard(int client, const char *text) {
    unsigned char bytes[FAKE_MOST];
    size_t size = 0;
    assert_int_equal(fake_hear(client, bytes, &size), FAKE_DATA);
    assert_slice(velocity_bytes(bytes, size), velocity_str(text));
}

static void assert_record(int client, int type) {
    unsigned char bytes[FAKE_MOST];
    size_t size = 0;
    assert_int_equal(fake_hear(client, bytes, &size), type);
}

/* The front's end is non-blocking: waits for what comes. -1: nothing does. */
static ssize_t front_read(int fd, void *bytes, size_t size) {
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    if (poll(&wait, 1, FRONT_PATIENCE_S * 1000) != 1) return -1;
    return recv(fd, bytes, size, 0);
}

static void assert_front_reads(int fd, const char *text) {
    char bytes[256];
    size_t size = 0;
    while (size < strlen(text)) {
        ssize_t got = front_read(fd, bytes + size, sizeof bytes - size);
        assert_true(got > 0);
        size += (size_t)got;
    }
    assert_slice(velocity_bytes(bytes, size), velocity_str(text));
}

static void assert_front_ends(int fd) {
    char byte;
    assert_int_equal(front_read(fd, &byte, 1), 0);
}

/* ---- the ordinary ----------------------------------------------------------------------------------------------- */

static void bytes_pass_both_ways_and_the_front_knows_the_peer(void **state) {
    (void)state;
    int client = connect_and_shake("hAlice");
    struct taken front = front_next(&http);
    assert_true(front.fd >= 0);
    assert_true(front.peer->tls);
    assert_true(front.peer->loopback);
    assert_string_equal(front.peer->certificate, "Alice");
    say(client, "a question");
    assert_front_reads(front.fd, "a question");
    assert_int_equal(atomic_load(&front.peer->bytes_received), 10);
    assert_int_equal(send(front.fd, "an answer", 9, 0), 9);
    assert_heard(client, "an answer");
    say(client, "another");
    assert_front_reads(front.fd, "another");
    assert_int_equal(atomic_load(&front.peer->bytes_received), 17);
    taken_close(front);
    assert_record(client, FAKE_CLOSE);
    assert_record(client, 0);
    close(client);
}

static void alpn_chooses_the_front_before_anything_was_said(void **state) {
    (void)state;
    int clients[2] = {connect_and_shake("h"), connect_and_shake("v")};
    struct taken fronts[2] = {front_next(&http), front_next(&binary)};
    for (int i = 0; i < 2; i++) {
        assert_true(fronts[i].fd >= 0);
        taken_close(fronts[i]);
        close(clients[i]);
    }
}

static void without_alpn_the_first_bytes_choose_however_they_are_cut(void **state) {
    static const char *const texts[] = {"OLEV\x01", "OPTIONS *", "OLE!", "GET /", "O LEV"};
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++) {
        for (size_t cut = 1; cut <= strlen(texts[i]); cut++) {
            int client = connect_and_shake("n");
            assert_true(fake_send(client, FAKE_DATA, texts[i], cut));
            if (texts[i][cut]) say(client, texts[i] + cut);
            struct taken front = front_next(i == 0 ? &binary : &http);
            assert_true(front.fd >= 0);
            assert_front_reads(front.fd, texts[i]);
            assert_int_equal(atomic_load(&front.peer->bytes_received), strlen(texts[i]));
            taken_close(front);
            close(client);
        }
    }
    assert_int_equal(front_count(&binary), strlen(texts[0]));
}

static void a_handshake_may_come_byte_by_byte(void **state) {
    (void)state;
    unsigned char hello[FAKE_HEADER + 1], answer[FAKE_MOST];
    size_t size = fake_encode(hello, FAKE_HELLO, "h", 1), answer_size = 0;
    int client = connect_client();
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(send(client, hello + i, 1, 0), 1);
        usleep(2000);
    }
    assert_int_equal(fake_hear(client, answer, &answer_size), FAKE_HELLO);
    struct taken front = front_next(&http);
    assert_true(front.fd >= 0);
    taken_close(front);
    close(client);
}

/* ---- the ends --------------------------------------------------------------------------------------------------- */

static void a_client_that_has_ended_still_gets_its_answer(void **state) {
    (void)state;
    int client = connect_and_shake("h");
    struct taken front = front_next(&http);
    say(client, "the last question");
    assert_true(fake_send(client, FAKE_CLOSE, "", 0));
    assert_front_reads(front.fd, "the last question");
    assert_front_ends(front.fd);
    assert_int_equal(send(front.fd, "its answer", 10, 0), 10);
    taken_close(front);
    assert_heard(client, "its answer");
    assert_record(client, FAKE_CLOSE);
    assert_record(client, 0);
    close(client);
}

static void a_front_that_only_stops_talking_still_hears(void **state) {
    (void)state;
    int client = connect_and_shake("h");
    struct taken front = front_next(&http);
    assert_int_equal(send(front.fd, "no", 2, 0), 2);
    assert_int_equal(shutdown(front.fd, SHUT_WR), 0);
    assert_heard(client, "no");
    assert_record(client, FAKE_CLOSE);
    assert_record(client, 0);
    say(client, "what was on its way");
    assert_front_reads(front.fd, "what was on its way");
    taken_close(front);
    assert_record(client, 0);
    close(client);
}

static void a_front_is_told_when_its_client_breaks_off(void **state) {
    (void)state;
    int client = connect_and_shake("h");
    struct taken front = front_next(&http);
    say(client, "half a");
    assert_front_reads(front.fd, "half a");
    close(client); /* without the end in order */
    assert_front_ends(front.fd);
    taken_close(front);
}

static void a_front_that_closes_without_reading_ends_the_connection(void **state) {
    (void)state;
    int client = connect_and_shake("h");
    struct taken front = front_next(&http);
    say(client, "never read");
    struct pollfd wait = {.fd = front.fd, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, FRONT_PATIENCE_S * 1000), 1);
    taken_close(front);
    assert_record(client, FAKE_CLOSE);
    assert_record(client, 0);
    close(client);
}

static void a_refused_handshake_and_nonsense_are_closed_and_counted(void **state) {
    struct tls_relay_stats stats;
    (void)state;
    int refused = connect_client(), nonsense = connect_client(), gone = connect_client();
    assert_true(fake_send(refused, FAKE_HELLO, "x", 1));
    assert_true(fake_send(nonsense, FAKE_DATA, "hello?", 6));
    close(gone);
    assert_record(refused, 0);
    assert_record(nonsense, 0);
    wait_for_peers(0);
    tls_relay_stats(relay, &stats);
    assert_int_equal(stats.failed, 3);
    assert_int_equal(stats.handshakes, 0);
    assert_int_equal(front_count(&http), 0);
    close(refused);
    close(nonsense);
}

/* ---- time ------------------------------------------------------------------------------------------------------- */

static void who_is_silent_too_long_is_closed_and_who_speaks_stays(void **state) {
    struct tls_relay_stats stats;
    (void)state;
    int silent = connect_client(), shaken = connect_and_shake("n"), served = connect_and_shake("h");
    struct taken front = front_next(&http);
    assert_record(silent, 0);
    assert_record(shaken, 0);
    wait_for_peers(1);
    tls_relay_stats(relay, &stats);
    assert_int_equal(stats.timed_out, 2);
    assert_int_equal(stats.handshakes, 2);
    say(served, "still here");
    assert_front_reads(front.fd, "still here");
    taken_close(front);
    close(silent);
    close(shaken);
    close(served);
}

/* Writes until nothing goes any more for a while; answers how much went. */
static size_t fill(int fd) {
    static const char block[8192];
    size_t total = 0;
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    while (poll(&wait, 1, 150) == 1) {
        ssize_t sent = send(fd, block, sizeof block, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) break;
        if (sent > 0) total += (size_t)sent;
    }
    return total;
}

static void a_client_that_reads_nothing_holds_up_its_front_and_nobody_else(void **state) {
    (void)state;
    int slow = connect_and_shake("h");
    struct taken front = front_next(&http);
    size_t total = fill(front.fd);
    assert_in_range(total, 1, 2u << 20); /* what sockets hold, and a buffer */
    int other = connect_and_shake("h");
    struct taken other_front = front_next(&http);
    say(other, "hello");
    assert_front_reads(other_front.fd, "hello");
    /* And it gets everything once it reads. */
    for (size_t heard = 0; heard < total;) {
        unsigned char bytes[FAKE_MOST];
        size_t size = 0;
        assert_int_equal(fake_hear(slow, bytes, &size), FAKE_DATA);
        heard += size;
    }
    assert_int_equal(send(front.fd, "!", 1, 0), 1);
    assert_heard(slow, "!");
    taken_close(front);
    taken_close(other_front);
    close(slow);
    close(other);
}

static void a_front_that_reads_nothing_holds_up_its_client_and_nobody_else(void **state) {
    (void)state;
    unsigned char record[FAKE_HEADER + 1000], block[1000] = {0};
    size_t size = fake_encode(record, FAKE_DATA, block, sizeof block), total = 0;
    int client = connect_and_shake("h");
    struct taken front = front_next(&http);
    struct pollfd wait = {.fd = client, .events = POLLOUT};
    for (size_t start = 0; poll(&wait, 1, 150) == 1;) {
        ssize_t sent = send(client, record + start, size - start, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0) continue;
        total += (size_t)sent;
        start = (start + (size_t)sent) % size;
    }
    assert_in_range(total, 1, 2u << 20);
    int other = connect_and_shake("h");
    struct taken other_front = front_next(&http);
    say(other, "hello");
    assert_front_reads(other_front.fd, "hello");
    size_t expected = total / size * sizeof block;
    for (size_t read = 0; read < expected;) {
        char bytes[FAKE_MOST];
        ssize_t got = front_read(front.fd, bytes, sizeof bytes);
        assert_true(got > 0);
        read += (size_t)got;
    }
    taken_close(front);
    taken_close(other_front);
    close(client);
    close(other);
}

static void who_does_not_take_the_last_bytes_is_cut_at_the_deadline(void **state) {
    (void)state;
    int slow = connect_and_shake("h");
    struct taken front = front_next(&http);
    assert_true(fill(front.fd) > 0);
    taken_close(front);
    assert_int_equal(atomic_load(&peers), 1); /* it counts until the client has gone, too */
    wait_for_peers(0);
    close(slow);
}

/* The ends that level-triggered descriptors would tell of again and again. */
static void what_waits_for_the_other_side_does_not_spin(void **state) {
    int clients[4];
    struct taken fronts[4];
    (void)state;
    for (int i = 0; i < 4; i++) {
        clients[i] = connect_and_shake("h");
        fronts[i] = front_next(&http);
    }
    /* A front that stopped talking, a client that did, a client that takes nothing from a front that is there and one
     * that takes nothing from a front that has gone. */
    assert_int_equal(shutdown(fronts[0].fd, SHUT_WR), 0);
    assert_true(fake_send(clients[1], FAKE_CLOSE, "", 0));
    assert_int_equal(shutdown(clients[1], SHUT_WR), 0);
    assert_true(fill(fronts[2].fd) > 0);
    assert_true(fill(fronts[3].fd) > 0);
    taken_close(fronts[3]);
    assert_true(is_at_rest());
    for (int i = 0; i < 3; i++) taken_close(fronts[i]);
    for (int i = 0; i < 4; i++) close(clients[i]);
}

/* ---- much ------------------------------------------------------------------------------------------------------- */

static unsigned char pattern(size_t i) {
    return (unsigned char)(i * 31 + i / 251);
}

static void *echo(void *arg) {
    struct taken front = *(struct taken *)arg;
    char bytes[5000];
    ssize_t got;
    while ((got = front_read(front.fd, bytes, sizeof bytes)) > 0) {
        for (ssize_t sent = 0; sent < got;) {
            ssize_t more = send(front.fd, bytes + sent, (size_t)(got - sent), MSG_NOSIGNAL);
            struct pollfd wait = {.fd = front.fd, .events = POLLOUT};
            if (more < 0) (void)poll(&wait, 1, FRONT_PATIENCE_S * 1000);
            if (more > 0) sent += more;
        }
    }
    taken_close(front);
    return NULL;
}

static void *speak(void *arg) {
    int client = *(int *)arg;
    unsigned char bytes[FAKE_MOST];
    for (size_t said = 0, round = 0; said < LARGE_BYTES; round++) {
        size_t size = 1 + round * 7919 % FAKE_MOST;
        if (size > LARGE_BYTES - said) size = LARGE_BYTES - said;
        for (size_t i = 0; i < size; i++) bytes[i] = pattern(said + i);
        if (!fake_send(client, FAKE_DATA, bytes, size)) return NULL;
        said += size;
    }
    (void)fake_send(client, FAKE_CLOSE, "", 0);
    return NULL;
}

static void all_bytes_arrive_in_order_in_records_of_every_size(void **state) {
    pthread_t threads[2];
    (void)state;
    int client = connect_and_shake("h");
    struct taken front = front_next(&http);
    assert_int_equal(pthread_create(&threads[0], NULL, echo, &front), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, speak, &client), 0);
    size_t heard = 0, wrong = 0;
    for (;;) {
        unsigned char bytes[FAKE_MOST];
        size_t size = 0;
        if (fake_hear(client, bytes, &size) != FAKE_DATA) break;
        for (size_t i = 0; i < size; i++) wrong += bytes[i] != pattern(heard + i);
        heard += size;
    }
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    assert_int_equal(heard, LARGE_BYTES);
    assert_int_equal(wrong, 0);
    close(client);
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static void a_drain_closes_what_no_front_has_and_carries_the_rest_on(void **state) {
    (void)state;
    int silent = connect_client(), shaken = connect_and_shake("n"), served = connect_and_shake("h");
    struct taken front = front_next(&http);
    tls_relay_drain(relay);
    assert_record(silent, 0);
    assert_record(shaken, 0);
    int late = connect_client();
    assert_false(fake_shake(late, "h"));
    say(served, "go on");
    assert_front_reads(front.fd, "go on");
    assert_int_equal(send(front.fd, "yes", 3, 0), 3);
    assert_heard(served, "yes");
    taken_close(front);
    int all[] = {silent, shaken, served, late};
    for (size_t i = 0; i < COUNT(all); i++) close(all[i]);
}

struct listener {
    int client;
    size_t heard;
    bool closed_in_order;
};

static void *listen_slowly(void *arg) {
    struct listener *listener = arg;
    unsigned char bytes[FAKE_MOST];
    size_t size = 0;
    int type;
    usleep(100000);
    while ((type = fake_hear(listener->client, bytes, &size)) == FAKE_DATA) listener->heard += size;
    listener->closed_in_order = type == FAKE_CLOSE;
    return NULL;
}

static void a_stop_brings_the_last_bytes_of_fronts_that_have_closed_and_cuts_the_others(void **state) {
    struct listener listener = {.client = connect_and_shake("h")};
    pthread_t thread;
    (void)state;
    struct taken closed = front_next(&http);
    int other = connect_and_shake("h");
    struct taken open = front_next(&http);
    size_t said = fill(closed.fd);
    taken_close(closed);
    assert_int_equal(pthread_create(&thread, NULL, listen_slowly, &listener), 0);
    tls_relay_stop(relay);
    pthread_join(thread, NULL);
    assert_int_equal(listener.heard, said);
    assert_true(listener.closed_in_order);
    assert_front_ends(open.fd);
    taken_close(open);
    close(listener.client);
    close(other);
}

int main(void) {
#define WITH_RELAY(test)       cmocka_unit_test_setup_teardown(test, set_up_patient, tear_down)
#define WITH_HASTY_RELAY(test) cmocka_unit_test_setup_teardown(test, set_up_hasty, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_RELAY(bytes_pass_both_ways_and_the_front_knows_the_peer),
        WITH_RELAY(alpn_chooses_the_front_before_anything_was_said),
        WITH_RELAY(without_alpn_the_first_bytes_choose_however_they_are_cut),
        WITH_RELAY(a_handshake_may_come_byte_by_byte),
        WITH_RELAY(a_client_that_has_ended_still_gets_its_answer),
        WITH_RELAY(a_front_that_only_stops_talking_still_hears),
        WITH_RELAY(a_front_is_told_when_its_client_breaks_off),
        WITH_RELAY(a_front_that_closes_without_reading_ends_the_connection),
        WITH_RELAY(a_refused_handshake_and_nonsense_are_closed_and_counted),
        WITH_HASTY_RELAY(who_is_silent_too_long_is_closed_and_who_speaks_stays),
        WITH_RELAY(a_client_that_reads_nothing_holds_up_its_front_and_nobody_else),
        WITH_RELAY(a_front_that_reads_nothing_holds_up_its_client_and_nobody_else),
        WITH_HASTY_RELAY(who_does_not_take_the_last_bytes_is_cut_at_the_deadline),
        WITH_RELAY(what_waits_for_the_other_side_does_not_spin),
        WITH_RELAY(all_bytes_arrive_in_order_in_records_of_every_size),
        WITH_RELAY(a_drain_closes_what_no_front_has_and_carries_the_rest_on),
        WITH_RELAY(a_stop_brings_the_last_bytes_of_fronts_that_have_closed_and_cuts_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
