/*
 * acceptor_test.c - who is let in at the one port, who is not, and to which front. TLS is the fake one: what it carries
 * is tested by tls_relay_test.c.
 */
#include "tests/server/cmocka_all.h"

#include "server/acceptor.h"
#include "server/deadline.h"
#include "tests/server/fake_tls.h"
#include "tests/server/port_front.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>

static struct front http = FRONT_EMPTY, binary = FRONT_EMPTY;
static struct acceptor *acceptor;
static struct tls *tls;

static struct acceptor_options options_default(void) {
    return (struct acceptor_options){.bind_address = "127.0.0.1:0",
                                     .max_connections = 3000,
                                     .deadline_seconds = 10,
                                     .relay_threads = 1,
                                     .tls = tls,
                                     .http = {front_take, &http},
                                     .velocity = {front_take, &binary}};
}

static void begin(const struct acceptor_options *options) {
    assert_int_equal(acceptor_new(options, &acceptor), VELOCITY_OK);
    assert_int_equal(acceptor_run(acceptor), VELOCITY_OK);
}

static int set_up(void **state) {
    (void)state;
    return tls_open(NULL, &tls) == VELOCITY_OK ? 0 : -1;
}

static int tear_down(void **state) {
    struct acceptor_stats stats = {0};
    (void)state;
    if (acceptor) {
        acceptor_stop(acceptor);
        front_clear(&http);
        front_clear(&binary);
        acceptor_stats(acceptor, &stats);
        acceptor_free(acceptor);
    }
    acceptor = NULL;
    tls_free(tls);
    if (stats.open) print_error("%u connections are left\n", stats.open);
    return stats.open == 0 ? 0 : -1;
}

static int connect_from(const char *source) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct timeval patience = {.tv_sec = FRONT_PATIENCE_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    (void)inet_pton(AF_INET, source, &address.sin_addr);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0) {
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(acceptor_port(acceptor));
        if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    }
    close(fd);
    return -1;
}

static int connect_client(void) {
    int fd = connect_from("127.0.0.1");
    assert_true(fd >= 0);
    return fd;
}

static int connect_and_say(const char *text) {
    int fd = connect_client();
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    return fd;
}

/* Ended by the server, in order or not. */
static bool has_ended(int fd) {
    char byte;
    ssize_t got = recv(fd, &byte, 1, 0);
    return got == 0 || (got < 0 && errno == ECONNRESET);
}

static bool is_open(int fd) {
    char byte;
    return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static void assert_reads(int fd, const char *text) {
    char bytes[64];
    size_t size = 0;
    while (size < strlen(text)) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        assert_int_equal(poll(&wait, 1, FRONT_PATIENCE_S * 1000), 1);
        ssize_t got = recv(fd, bytes + size, sizeof bytes - size, 0);
        assert_true(got > 0);
        size += (size_t)got;
    }
    assert_slice(velocity_bytes(bytes, size), velocity_str(text));
}

static struct acceptor_stats stats_now(void) {
    struct acceptor_stats stats;
    acceptor_stats(acceptor, &stats);
    return stats;
}

/* ---- first bytes ------------------------------------------------------------------------------------------------ */

static void the_first_bytes_choose_the_front_wherever_they_are_cut(void **state) {
    static const char *const texts[] = {"OLEV\x01\x02", "OPTIONS", "OLEx", "GET /", "P"};
    struct acceptor_options options = options_default();
    (void)state;
    begin(&options);
    for (size_t i = 0; i < COUNT(texts); i++) {
        for (size_t cut = 1; cut <= strlen(texts[i]); cut++) {
            int client = connect_client(), nodelay = 1;
            (void)setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &nodelay, sizeof nodelay);
            assert_int_equal(send(client, texts[i], cut, 0), cut);
            usleep(1000);
            if (texts[i][cut])
                assert_int_equal(send(client, texts[i] + cut, strlen(texts[i] + cut), 0), strlen(texts[i] + cut));
            struct taken front = front_next(i == 0 ? &binary : &http);
            assert_true(front.fd >= 0);
            assert_false(front.peer->tls);
            assert_reads(front.fd, texts[i]);
            taken_close(front);
            close(client);
        }
    }
}

static void a_byte_at_a_time_is_enough(void **state) {
    struct acceptor_options options = options_default();
    (void)state;
    begin(&options);
    int client = connect_client();
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(front_count(&binary), 0);
        assert_int_equal(send(client, &"OLEV"[i], 1, 0), 1);
        usleep(5000);
    }
    struct taken front = front_next(&binary);
    assert_true(front.fd >= 0);
    taken_close(front);
    close(client);
}

static void a_connection_that_ends_undecided_is_closed(void **state) {
    struct acceptor_options options = options_default();
    (void)state;
    begin(&options);
    int nothing = connect_client(), half = connect_and_say("OL"), gone = connect_client();
    struct linger at_once = {.l_onoff = 1};
    assert_soon(stats_now().accepted == 3);
    assert_int_equal(shutdown(nothing, SHUT_WR), 0);
    assert_int_equal(shutdown(half, SHUT_WR), 0);
    (void)setsockopt(gone, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(gone);
    assert_true(has_ended(nothing));
    assert_true(has_ended(half));
    assert_soon(stats_now().open == 0);
    assert_int_equal(front_count(&http) + front_count(&binary), 0);
    close(nothing);
    close(half);
}

static void a_protocol_that_is_not_spoken_is_closed(void **state) {
    struct acceptor_options options = options_default();
    (void)state;
    options.tls = NULL;
    options.velocity.take = NULL;
    begin(&options);
    int encrypted = connect_and_say("\x16\x03\x01"), velocity_client = connect_and_say("OLEV");
    assert_true(has_ended(encrypted));
    assert_true(has_ended(velocity_client));
    close(encrypted);
    close(velocity_client);
}

static void behind_tls_the_front_gets_what_was_inside_and_the_real_peer(void **state) {
    struct acceptor_options options = options_default();
    (void)state;
    begin(&options);
    int clients[2] = {connect_client(), connect_client()};
    assert_true(fake_shake(clients[0], "n"));
    assert_true(fake_send(clients[0], FAKE_DATA, "GET", 3));
    struct taken front = front_next(&http);
    assert_true(front.fd >= 0);
    assert_reads(front.fd, "GET");
    assert_true(front.peer->tls);
    assert_string_equal(front.peer->text, "127.0.0.1");
    assert_true(fake_shake(clients[1], "v"));
    struct taken other = front_next(&binary);
    assert_true(other.fd >= 0);
    assert_int_equal(stats_now().tls_open, 2);
    assert_int_equal(stats_now().tls_handshakes, 2);
    taken_close(front);
    taken_close(other);
    for (int i = 0; i < 2; i++) close(clients[i]);
    assert_soon(stats_now().open == 0);
    assert_int_equal(stats_now().tls_open, 0);
}

static void what_a_front_gets_does_not_wait_for_acknowledgements(void **state) {
    struct acceptor_options options = options_default();
    (void)state;
    begin(&options);
    int client = connect_and_say("GET"), nodelay = 0;
    socklen_t size = sizeof nodelay;
    struct taken front = front_next(&http);
    assert_int_equal(getsockopt(front.fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &size), 0);
    assert_true(nodelay);
    taken_close(front);
    close(client);
}

/* ---- limits ----------------------------------------------------------------------------------------------------- */

static void beyond_the_limit_they_wait_and_are_let_in_one_for_one(void **state) {
    struct acceptor_options options = options_default();
    struct taken fronts[10];
    int clients[10];
    (void)state;
    options.max_connections = 4;
    begin(&options);
    for (int i = 0; i < 10; i++) clients[i] = connect_and_say("GET");
    for (int i = 0; i < 4; i++) fronts[i] = front_next(&http);
    usleep(100000);
    assert_int_equal(front_count(&http), 4);
    for (int i = 4; i < 10; i++) {
        taken_close(fronts[i - 4]);
        fronts[i] = front_next(&http);
        assert_true(fronts[i].fd >= 0);
        usleep(5000);
        assert_int_equal(front_count(&http), i + 1);
        assert_int_equal(stats_now().open, 4);
    }
    for (int i = 6; i < 10; i++) taken_close(fronts[i]);
    for (int i = 0; i < 10; i++) close(clients[i]);
}

static void one_address_gets_its_share_and_others_theirs(void **state) {
    struct acceptor_options options = options_default();
    struct taken fronts[4];
    int clients[3];
    (void)state;
    options.max_connections_per_address = 3;
    begin(&options);
    for (int i = 0; i < 3; i++) {
        clients[i] = connect_and_say("GET");
        fronts[i] = front_next(&http);
    }
    int fourth = connect_client();
    assert_true(has_ended(fourth));
    close(fourth);
    assert_int_equal(stats_now().refused_per_address, 1);
    int other = connect_from("127.0.0.2");
    assert_int_equal(send(other, "GET", 3, 0), 3);
    fronts[3] = front_next(&http);
    assert_string_equal(fronts[3].peer->text, "127.0.0.2");
    taken_close(fronts[0]);
    fourth = connect_and_say("GET");
    fronts[0] = front_next(&http);
    assert_true(fronts[0].fd >= 0);
    /* Lowered while it runs: who is in stays, who comes does not get in. */
    acceptor_set_per_address(acceptor, 1);
    int fifth = connect_from("127.0.0.2");
    assert_true(has_ended(fifth));
    assert_true(is_open(clients[1]));
    for (int i = 0; i < 4; i++) taken_close(fronts[i]);
    for (int i = 0; i < 3; i++) close(clients[i]);
    close(fourth);
    close(fifth);
    close(other);
}

static void who_is_silent_too_long_is_closed_and_others_are_not(void **state) {
    struct acceptor_options options = options_default();
    (void)state;
    options.deadline_seconds = 3;
    begin(&options);
    uint64_t begun_us = deadline_now_us();
    int silent = connect_client(), half = connect_and_say("OLE"), encrypted = connect_and_say("\x16");
    int served = connect_and_say("GET");
    struct taken front = front_next(&http);
    assert_true(has_ended(silent));
    assert_true(deadline_now_us() - begun_us > 2900000);
    assert_true(has_ended(half));
    assert_true(has_ended(encrypted));
    assert_soon(stats_now().timed_out == 3);
    assert_true(is_open(served));
    taken_close(front);
    int all[] = {silent, half, encrypted, served};
    for (size_t i = 0; i < COUNT(all); i++) close(all[i]);
}

static void thousands_that_say_nothing_cost_a_good_one_nothing(void **state) {
    struct acceptor_options options = options_default();
    static int silent[2000];
    (void)state;
    options.deadline_seconds = 60;
    begin(&options);
    for (size_t i = 0; i < COUNT(silent); i++) silent[i] = connect_and_say(i % 2 ? "O" : "");
    assert_soon(stats_now().accepted == COUNT(silent));
    assert_true(is_at_rest()); /* their unread bytes make nothing spin */
    int good = connect_and_say("GET");
    struct taken front = front_next(&http);
    assert_true(front.fd >= 0);
    assert_int_equal(stats_now().open, COUNT(silent) + 1);
    taken_close(front);
    close(good);
    for (size_t i = 0; i < COUNT(silent); i++) close(silent[i]);
}

/* ---- descriptors ------------------------------------------------------------------------------------------------ */

#define FEW_DESCRIPTORS 40

static bool has_descriptors(void) {
    int fd = dup(0);
    if (fd >= 0) (void)close(fd);
    return fd >= 0;
}

/* The server's process: few descriptors, each connection's is kept. */
static void serve_with_few_descriptors(int tell) {
    struct rlimit limit = {FEW_DESCRIPTORS, FEW_DESCRIPTORS};
    struct acceptor_options options = options_default();
    options.tls = NULL;
    if (acceptor_new(&options, &acceptor) != VELOCITY_OK || acceptor_run(acceptor) != VELOCITY_OK) _exit(2);
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) _exit(3);
    uint16_t port = acceptor_port(acceptor);
    if (write(tell, &port, sizeof port) != sizeof port) _exit(4);
    /* Until everything has come that can come. */
    while (has_descriptors() || stats_now().accepted != (uint64_t)front_count(&http)) usleep(1000);
    int full = front_count(&http);
    if (!is_at_rest()) _exit(5);
    if (front_count(&http) != full) _exit(6);
    for (int i = 0; i < 5; i++) taken_close(front_next(&http));
    for (int i = 0; i < SOON_MS && front_count(&http) < full + 5; i++) usleep(1000);
    _exit(front_count(&http) == full + 5 ? 77 : 7);
}

static void without_descriptors_it_rests_and_goes_on_when_there_are_some(void **state) {
    int tell[2], clients[60], status = 0;
    uint16_t port = 0;
    (void)state;
    assert_int_equal(pipe(tell), 0);
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)alarm(120);
        serve_with_few_descriptors(tell[1]);
    }
    assert_int_equal(read(tell[0], &port, sizeof port), sizeof port);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (size_t i = 0; i < COUNT(clients); i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(connect(clients[i], (struct sockaddr *)&address, sizeof address), 0);
        assert_int_equal(send(clients[i], "GET", 3, MSG_NOSIGNAL), 3);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 77);
    for (size_t i = 0; i < COUNT(clients); i++) close(clients[i]);
    close(tell[0]);
    close(tell[1]);
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static void a_drain_closes_the_port_and_what_no_front_has(void **state) {
    struct acceptor_options options = options_default();
    (void)state;
    begin(&options);
    int silent = connect_client(), encrypted = connect_and_say("\x16"), served = connect_and_say("GET");
    struct taken front = front_next(&http);
    assert_soon(stats_now().accepted == 3);
    acceptor_drain(acceptor);
    assert_true(has_ended(silent));
    assert_true(has_ended(encrypted));
    assert_true(connect_from("127.0.0.1") < 0);
    assert_true(is_open(served));
    assert_int_equal(send(front.fd, "bye", 3, 0), 3);
    assert_reads(served, "bye");
    acceptor_drain(acceptor); /* again is nothing new */
    taken_close(front);
    int all[] = {silent, encrypted, served};
    for (size_t i = 0; i < COUNT(all); i++) close(all[i]);
}

struct hurry {
    pthread_t thread;
    uint16_t port;
    _Atomic bool *stop;
};

static void *come_and_go(void *arg) {
    struct hurry *hurry = arg;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(hurry->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    static const char *const texts[] = {"GET", "OL", "\x16", "OLEV", ""};
    unsigned char hello[FAKE_HEADER + 1];
    size_t size = fake_encode(hello, FAKE_HELLO, "h", 1);
    for (unsigned i = 0; !atomic_load(hurry->stop); i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
            if (i % 6 == 5)
                (void)send(fd, hello, size, MSG_NOSIGNAL);
            else
                (void)send(fd, texts[i % 6], strlen(texts[i % 6]), MSG_NOSIGNAL);
            if (i % 2) usleep(200);
        }
        close(fd);
        if (i % 8 == 0) usleep(1000);
    }
    return NULL;
}

static void take_and_close(void *arg, int fd, struct peer *peer) {
    (void)arg;
    (void)close(fd);
    peer_free(peer);
}

static void it_ends_while_connections_come_and_handshakes_are_open(void **state) {
    struct acceptor_options options = options_default();
    struct hurry hurries[4];
    _Atomic bool stop = false;
    (void)state;
    options.http.take = options.velocity.take = take_and_close;
    options.max_connections = 20;
    options.relay_threads = 2;
    begin(&options);
    for (size_t i = 0; i < COUNT(hurries); i++) {
        hurries[i] = (struct hurry){.port = acceptor_port(acceptor), .stop = &stop};
        assert_int_equal(pthread_create(&hurries[i].thread, NULL, come_and_go, &hurries[i]), 0);
    }
    assert_soon(stats_now().accepted > 100);
    acceptor_stop(acceptor);
    assert_int_equal(stats_now().open, 0);
    assert_int_equal(stats_now().tls_open, 0);
    atomic_store(&stop, true);
    for (size_t i = 0; i < COUNT(hurries); i++) pthread_join(hurries[i].thread, NULL);
}

static void an_address_in_use_or_unreadable_is_refused_with_words(void **state) {
    static const char *const unreadable[] = {
        "", "127.0.0.1", ":2005", "127.0.0.1:", "[::1:2005", "256.0.0.1:2005", "example.com:80"};
    struct acceptor_options options = options_default();
    struct acceptor *second = NULL;
    char address[40];
    (void)state;
    begin(&options);
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", acceptor_port(acceptor));
    options.bind_address = address;
    assert_int_equal(acceptor_new(&options, &second), VELOCITY_IO);
    assert_non_null(strstr(velocity_error_message(), address));
    for (size_t i = 0; i < COUNT(unreadable); i++) {
        options.bind_address = unreadable[i];
        assert_int_equal(acceptor_new(&options, &second), VELOCITY_INVALID);
    }
}

static void one_that_never_ran_can_be_freed(void **state) {
    struct acceptor_options options = options_default();
    (void)state;
    assert_int_equal(acceptor_new(&options, &acceptor), VELOCITY_OK);
    assert_true(acceptor_port(acceptor) > 0);
}

int main(void) {
#define WITH_TLS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_TLS(the_first_bytes_choose_the_front_wherever_they_are_cut),
        WITH_TLS(a_byte_at_a_time_is_enough),
        WITH_TLS(a_connection_that_ends_undecided_is_closed),
        WITH_TLS(a_protocol_that_is_not_spoken_is_closed),
        WITH_TLS(behind_tls_the_front_gets_what_was_inside_and_the_real_peer),
        WITH_TLS(what_a_front_gets_does_not_wait_for_acknowledgements),
        WITH_TLS(beyond_the_limit_they_wait_and_are_let_in_one_for_one),
        WITH_TLS(one_address_gets_its_share_and_others_theirs),
        WITH_TLS(who_is_silent_too_long_is_closed_and_others_are_not),
        WITH_TLS(thousands_that_say_nothing_cost_a_good_one_nothing),
        WITH_TLS(without_descriptors_it_rests_and_goes_on_when_there_are_some),
        WITH_TLS(a_drain_closes_the_port_and_what_no_front_has),
        WITH_TLS(it_ends_while_connections_come_and_handshakes_are_open),
        WITH_TLS(an_address_in_use_or_unreadable_is_refused_with_words),
        WITH_TLS(one_that_never_ran_can_be_freed),
    };
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max; /* thousands of connections, both ends of each */
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
