/*
 * server_test.c - the HTTP front over a real database: many clients at once, clients that leave, the end under load.
 * What single requests answer is asked by tests/rest; this is for the threads, under ThreadSanitizer too.
 */
#include "tests/server/fixture.h"

#include "http/server.h"
#include "http/settings.h"
#include "server/listener.h"
#include "server/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS 8
#define AT_ONCE 200 /* connections; who wants another one waits, as at the acceptor */
#define ROUNDS  60
#define STOP_MS 60000

struct front {
    struct fixture behind;
    struct http_server *server;
    int listener;
    uint16_t port;
    bool tls; /* connections come as if from behind TLS: over socket pairs */
    _Atomic int peers;
};

static struct front front;

static int set_up(void **state) {
    struct front *f = &front;
    bool tls = f->tls;
    memset(f, 0, sizeof *f);
    f->tls = tls;
    if (!fixture_open(&f->behind, &(struct fixture_options){.max_inflight_bytes = 16 << 20})) return -1;
    struct http_settings_options settings = {0};
    struct http_options http = {.threads = 2,
                                .connection_timeout_seconds = 30,
                                .request_deadline_seconds = 3,
                                .min_reply_bytes_per_second = 1 << 20,
                                .max_value_bytes = 1 << 20,
                                .max_inflight_bytes = 16 << 20};
    *state = f;
    if (listener_open("127.0.0.1:0", &f->listener, &f->port) != VELOCITY_OK) return -1;
    return http_server_start(&http, &settings, f->behind.service, &f->server) == VELOCITY_OK ? 0 : -1;
}

static int set_up_plain(void **state) {
    front.tls = false;
    return set_up(state);
}

static int set_up_behind_tls(void **state) {
    front.tls = true;
    return set_up(state);
}

static int tear_down(void **state) {
    struct front *f = *state;
    bool clean = !f->server || http_server_stop(f->server, STOP_MS);
    close(f->listener);
    if (atomic_load(&f->peers) != 0) print_error("%d peers were not freed\n", atomic_load(&f->peers));
    return fixture_close(&f->behind) && clean && atomic_load(&f->peers) == 0 ? 0 : -1;
}

/* ---- a client --------------------------------------------------------------------------------------------------- */

static void count_release(const struct peer *peer) {
    (void)peer;
    atomic_fetch_sub(&front.peers, 1);
}

/* What the acceptor does. */
static void give(struct front *f, int fd, const struct sockaddr *address, socklen_t size) {
    struct peer *peer = peer_new(address, size);
    atomic_fetch_add(&f->peers, 1);
    peer->tls = f->tls;
    peer->release = count_release;
    http_server_take(f->server, fd, peer);
}

static int connect_tcp(struct front *f, struct sockaddr_in *address) {
    socklen_t size = sizeof *address;
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(f->port)};
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)address, sizeof *address) != 0) {
        if (fd >= 0) close(fd);
        return -1;
    }
    struct pollfd listener = {.fd = f->listener, .events = POLLIN};
    int accepted = -1;
    /* Perhaps another thread's connection; that one takes this one. */
    while (accepted < 0 && poll(&listener, 1, 20000) == 1)
        accepted = accept4(f->listener, (struct sockaddr *)address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted >= 0) give(f, accepted, (struct sockaddr *)address, size);
    return fd;
}

static int connect_to(struct front *f) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct timeval patience = {.tv_sec = 20};
    int fd, pair[2];
    while (atomic_load(&f->peers) >= AT_ONCE) usleep(100);
    if (f->tls) {
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return -1;
        give(f, pair[1], (struct sockaddr *)&address, sizeof address);
        fd = pair[0];
    } else {
        fd = connect_tcp(f, &address);
    }
    if (fd >= 0) (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return fd;
}

static bool say(int fd, const char *text) {
    size_t size = strlen(text);
    return send(fd, text, size, MSG_NOSIGNAL) == (ssize_t)size;
}

/* The status of the next reply, whose header and body end up in `text`; 0: the connection ended or nothing came. */
static int hear(int fd, char *text, size_t room) {
    size_t size = 0;
    for (;;) {
        ssize_t got = recv(fd, text + size, room - 1 - size, 0);
        if (got <= 0) return 0;
        size += (size_t)got;
        text[size] = 0;
        char *end = strstr(text, "\r\n\r\n"), *length = strstr(text, "Content-Length: ");
        if (!end) continue;
        size_t body = length && length < end ? strtoul(length + 16, NULL, 10) : 0;
        if (size >= (size_t)(end + 4 - text) + body) return atoi(text + 9);
    }
}

static int exchange(int fd, const char *request, char *text, size_t room) {
    return say(fd, request) ? hear(fd, text, room) : 0;
}

static void format_put(char *out, size_t room, const char *key, const char *value) {
    (void)snprintf(out, room, "PUT /api/keys/%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s", key,
                   strlen(value), value);
}

/* ---- many at once ----------------------------------------------------------------------------------------------- */

struct client {
    pthread_t thread;
    struct front *fixture;
    int number;
    _Atomic int answered;
    const char *complaint;
    _Atomic bool *stop;
};

static const char *put_and_get(int fd, const char *key, const char *value) {
    char request[300], reply[2000];
    format_put(request, sizeof request, key, value);
    if (exchange(fd, request, reply, sizeof reply) != 204) return "a put was not 204";
    (void)snprintf(request, sizeof request, "GET /api/keys/%s HTTP/1.1\r\nHost: localhost\r\n\r\n", key);
    if (exchange(fd, request, reply, sizeof reply) != 200) return "a get was not 200";
    return strcmp(strstr(reply, "\r\n\r\n") + 4, value) == 0 ? NULL : "a get found something else";
}

static const char *list_and_batch(int fd, const char *key) {
    char request[400], body[150], reply[4000];
    if (exchange(fd, "GET /api/keys?limit=3 HTTP/1.1\r\nHost: localhost\r\n\r\n", reply, sizeof reply) != 200)
        return "a listing was not 200";
    (void)snprintf(body, sizeof body,
                   "{\"ops\":[{\"op\":\"get\",\"key\":\"%s\"},{\"op\":\"put\",\"key\":\"b\",\"text\":\"\"}]}", key);
    (void)snprintf(request, sizeof request,
                   "POST /api/batch HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    return exchange(fd, request, reply, sizeof reply) == 200 ? NULL : "a batch was not 200";
}

static void *work(void *arg) {
    struct client *client = arg;
    int fd = connect_to(client->fixture);
    if (fd < 0) client->complaint = "cannot connect";
    for (int i = 0; i < ROUNDS && !client->complaint; i++) {
        char key[40], value[40];
        (void)snprintf(key, sizeof key, "client-%d-%d", client->number, i % 7);
        (void)snprintf(value, sizeof value, "round %d of %d", i, client->number);
        client->complaint = put_and_get(fd, key, value);
        if (!client->complaint && i % 10 == 0) client->complaint = list_and_batch(fd, key);
    }
    if (fd >= 0) close(fd);
    return NULL;
}

static void clients_at_once_each_read_what_they_wrote(void **state) {
    struct client clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.fixture = *state, .number = i};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, work, &clients[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) pthread_join(clients[i].thread, NULL);
    for (int i = 0; i < CLIENTS; i++) assert_ptr_equal(clients[i].complaint, NULL);
}

/* ---- clients that leave ----------------------------------------------------------------------------------------- */

static void *leave(void *arg) {
    struct client *client = arg;
    char request[300];
    for (int i = 0; !atomic_load(client->stop); i++) {
        int fd = connect_to(client->fixture);
        if (fd < 0) continue;
        format_put(request, sizeof request, "left", "behind");
        /* Cut anywhere, or sent whole and its answer not awaited: the write may happen, nobody may wait for ever. */
        request[i % 5 ? strlen(request) : (size_t)i % 60 + 1] = 0;
        (void)say(fd, request);
        struct linger at_once = {.l_onoff = 1};
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(fd);
    }
    return NULL;
}

static void clients_that_leave_take_no_other_answer_with_them(void **state) {
    _Atomic bool stop = false;
    struct client workers[2], leavers[2];
    for (int i = 0; i < 2; i++) {
        leavers[i] = (struct client){.fixture = *state, .stop = &stop};
        workers[i] = (struct client){.fixture = *state, .number = i};
        assert_int_equal(pthread_create(&leavers[i].thread, NULL, leave, &leavers[i]), 0);
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < 2; i++) pthread_join(workers[i].thread, NULL);
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++) pthread_join(leavers[i].thread, NULL);
    for (int i = 0; i < 2; i++) assert_ptr_equal(workers[i].complaint, NULL);
}

static void a_request_that_does_not_end_is_cut_at_the_deadline(void **state) {
    struct front *f = *state;
    static const char *const starts[] = {"GET /api", "GET /livez HTTP/1.1\r\nHost: ",
                                         "PUT /api/keys/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nab"};
    char reply[2000];
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = connect_to(f);
        assert_true(fds[i] >= 0);
        assert_true(say(fds[i], starts[i]));
    }
    /* The first has no complete line yet: that it speaks is seen by its next bytes only. */
    struct pollfd cut = {.fd = fds[0], .events = POLLIN};
    for (int i = 0; i < 300 && poll(&cut, 1, 100) == 0; i++) (void)say(fds[0], "x");
    for (int i = 0; i < 3; i++) {
        int status = hear(fds[i], reply, sizeof reply);
        assert_true(status == 408 || (i == 0 && status == 0));
        if (status) assert_int_equal(hear(fds[i], reply, sizeof reply), 0);
        close(fds[i]);
    }
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static void *put_until_the_end(void *arg) {
    struct client *client = arg;
    char request[300], reply[2000];
    int fd = connect_to(client->fixture);
    format_put(request, sizeof request, "x", "y");
    while (fd >= 0) {
        int status = exchange(fd, request, reply, sizeof reply);
        if (status == 0) break;
        if (status != 204) client->complaint = "a put was not 204";
        atomic_fetch_add(&client->answered, 1);
    }
    if (fd >= 0) close(fd);
    return NULL;
}

static void the_server_ends_under_load_with_every_request_answered(void **state) {
    struct front *f = *state;
    struct client clients[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.fixture = f, .number = i};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, put_until_the_end, &clients[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) assert_soon(atomic_load(&clients[i].answered) > 10);
    assert_true(http_server_stop(f->server, STOP_MS));
    f->server = NULL;
    for (int i = 0; i < CLIENTS; i++) pthread_join(clients[i].thread, NULL);
    for (int i = 0; i < CLIENTS; i++) assert_ptr_equal(clients[i].complaint, NULL);
}

/* ---- streams ------------------------------------------------------------------------------------------------------
 */

/* Watches and exports, leaves after a while, comes again. */
static void *watch(void *arg) {
    struct client *client = arg;
    struct timeval while_nothing_comes = {.tv_usec = 200000};
    char reply[4000];
    for (int i = 0; !atomic_load(client->stop); i++) {
        int fd = connect_to(client->fixture);
        if (fd < 0) continue;
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &while_nothing_comes, sizeof while_nothing_comes);
        const char *target = i % 3 == 2 ? "export" : i % 3 ? "watch?since=0" : "watch?prefix=client-1";
        char request[100];
        (void)snprintf(request, sizeof request, "GET /api/%s HTTP/1.1\r\nHost: localhost\r\n\r\n", target);
        if (!say(fd, request)) client->complaint = "cannot ask";
        for (int reads = 0; reads < 1 + i % 20; reads++)
            if (recv(fd, reply, sizeof reply, 0) <= 0) break;
        close(fd);
    }
    return NULL;
}

static void streams_come_and_go_beside_other_requests(void **state) {
    _Atomic bool stop = false;
    struct client workers[CLIENTS], watchers[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        watchers[i] = (struct client){.fixture = *state, .number = i, .stop = &stop};
        workers[i] = (struct client){.fixture = *state, .number = i};
        assert_int_equal(pthread_create(&watchers[i].thread, NULL, watch, &watchers[i]), 0);
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < CLIENTS; i++) pthread_join(workers[i].thread, NULL);
    atomic_store(&stop, true);
    for (int i = 0; i < CLIENTS; i++) pthread_join(watchers[i].thread, NULL);
    for (int i = 0; i < CLIENTS; i++) assert_ptr_equal(workers[i].complaint, NULL);
    for (int i = 0; i < CLIENTS; i++) assert_ptr_equal(watchers[i].complaint, NULL);
}

static void *watch_until_the_end(void *arg) {
    struct client *client = arg;
    enum { LAST = 5 };
    char reply[4000 + LAST] = ""; /* behind the last bytes that came before */
    int fd = connect_to(client->fixture);
    if (!say(fd, "GET /api/watch HTTP/1.1\r\nHost: localhost\r\n\r\n")) client->complaint = "cannot ask";
    for (ssize_t got; (got = recv(fd, reply + LAST, sizeof reply - LAST, 0)) > 0;
         atomic_fetch_add(&client->answered, 1))
        memmove(reply, reply + got, LAST);
    if (memcmp(reply, "0\r\n\r\n", LAST) != 0) client->complaint = "a watch did not end in good order";
    close(fd);
    return NULL;
}

static void the_server_ends_with_its_streams(void **state) {
    struct front *f = *state;
    struct client clients[CLIENTS], writer = {.fixture = f};
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.fixture = f};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, watch_until_the_end, &clients[i]), 0);
    }
    assert_int_equal(pthread_create(&writer.thread, NULL, put_until_the_end, &writer), 0);
    for (int i = 0; i < CLIENTS; i++) assert_soon(atomic_load(&clients[i].answered) > 1); /* its head, and more */
    assert_soon(atomic_load(&writer.answered) > 10);
    assert_true(http_server_stop(f->server, STOP_MS));
    f->server = NULL;
    pthread_join(writer.thread, NULL);
    for (int i = 0; i < CLIENTS; i++) pthread_join(clients[i].thread, NULL);
    for (int i = 0; i < CLIENTS; i++) assert_ptr_equal(clients[i].complaint, NULL);
}

/* ---- what the front knows of its connections --------------------------------------------------------------------- */

static void a_peer_is_freed_with_its_connection(void **state) {
    struct front *f = *state;
    char reply[2000];
    int fds[20];
    for (int i = 0; i < 20; i++) {
        fds[i] = connect_to(f);
        assert_int_equal(exchange(fds[i], "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", reply, sizeof reply), 200);
    }
    assert_int_equal(atomic_load(&f->peers), 20);
    for (int i = 0; i < 20; i++) close(fds[i]);
    assert_soon(atomic_load(&f->peers) == 0);
}

/* The socket holds less than the reply: the rest waits for who does not read it. */
static void who_does_not_take_a_large_reply_is_cut_off(void **state) {
    struct front *f = *state;
    char head[200], reply[2000], *body = malloc(1 << 20);
    int fds[2] = {connect_to(f), connect_to(f)}, small = 16384;
    struct timeval patience = {.tv_sec = 20};
    assert_non_null(body);
    memset(body, 'x', 1 << 20);
    (void)snprintf(head, sizeof head, "PUT /api/keys/large HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n",
                   1 << 20);
    assert_true(say(fds[0], head));
    for (size_t sent = 0; sent < 1 << 20;) {
        ssize_t n = send(fds[0], body + sent, (1 << 20) - sent, MSG_NOSIGNAL);
        assert_true(n > 0);
        sent += (size_t)n;
    }
    assert_int_equal(hear(fds[0], reply, sizeof reply), 204);
    (void)setsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    (void)setsockopt(fds[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    for (int i = 0; i < 8; i++) assert_true(say(fds[1], "GET /api/keys/large HTTP/1.1\r\nHost: localhost\r\n\r\n"));
    assert_soon(atomic_load(&f->peers) == 1); /* three seconds are the deadline, one the reply's time */
    /* What the socket held is still to be had, at a window that does not take minutes. */
    size_t taken = 0;
    int large = 1 << 20;
    (void)setsockopt(fds[1], SOL_SOCKET, SO_RCVBUF, &large, sizeof large);
    for (ssize_t n; (n = recv(fds[1], body, 1 << 20, 0)) > 0;) taken += (size_t)n;
    assert_true(taken < (size_t)8 << 20);
    for (int i = 0; i < 2; i++) close(fds[i]);
    free(body);
}

/* Behind TLS the relay counts what comes, for a socket pair has no TCP_INFO. */
static void bytes_that_the_relay_counted_begin_a_request_that_must_end(void **state) {
    struct front *f = *state;
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct timeval patience = {.tv_sec = 20};
    char reply[2000];
    int pairs[2][2];
    struct peer *peers[2];
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pairs[i]), 0);
        (void)setsockopt(pairs[i][0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        peers[i] = peer_acquire(peer_new((struct sockaddr *)&address, sizeof address));
        peers[i]->tls = true;
        http_server_take(f->server, pairs[i][1], peers[i]);
        assert_int_equal(exchange(pairs[i][0], "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", reply, sizeof reply),
                         200);
    }
    assert_true(say(pairs[0][0], "GET /li"));
    /* The sweep may see it idle for the first time with some of these bytes; later ones tell that it speaks. */
    struct pollfd answer = {.fd = pairs[0][0], .events = POLLIN};
    for (int i = 0; i < 100 && poll(&answer, 1, 300) == 0; i++) atomic_fetch_add(&peers[0]->bytes_received, 7);
    assert_int_equal(hear(pairs[0][0], reply, sizeof reply), 408);
    /* The other one said nothing, and is still there. */
    assert_int_equal(exchange(pairs[1][0], "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n", reply, sizeof reply), 200);
    for (int i = 0; i < 2; i++) {
        close(pairs[i][0]);
        peer_free(peers[i]);
    }
}

int main(void) {
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, set_up_plain, tear_down)
#define BEHIND_TLS(test)                                                                                               \
    { #test " (behind TLS)", test, set_up_behind_tls, tear_down, NULL }
    const struct CMUnitTest tests[] = {
        WITH_SERVER(clients_at_once_each_read_what_they_wrote),
        WITH_SERVER(clients_that_leave_take_no_other_answer_with_them),
        WITH_SERVER(a_request_that_does_not_end_is_cut_at_the_deadline),
        WITH_SERVER(the_server_ends_under_load_with_every_request_answered),
        WITH_SERVER(a_peer_is_freed_with_its_connection),
        WITH_SERVER(streams_come_and_go_beside_other_requests),
        WITH_SERVER(the_server_ends_with_its_streams),
        WITH_SERVER(who_does_not_take_a_large_reply_is_cut_off),
        BEHIND_TLS(who_does_not_take_a_large_reply_is_cut_off),
        BEHIND_TLS(clients_at_once_each_read_what_they_wrote),
        BEHIND_TLS(clients_that_leave_take_no_other_answer_with_them),
        BEHIND_TLS(the_server_ends_under_load_with_every_request_answered),
        BEHIND_TLS(a_peer_is_freed_with_its_connection),
        BEHIND_TLS(streams_come_and_go_beside_other_requests),
        BEHIND_TLS(the_server_ends_with_its_streams),
        BEHIND_TLS(bytes_that_the_relay_counted_begin_a_request_that_must_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
