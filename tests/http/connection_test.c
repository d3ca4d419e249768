/* connection_test.c - who comes when the server ends is not served any more. */
#include "tests/server/cmocka_all.h"

#include "http/arrival.h"
#include "http/connection.h"

#include <sys/socket.h>
#include <unistd.h>

static struct connections all;
static struct arrivals arrivals;

/* A connection of its own, whose client is *client. */
static struct connection *arrive(int *client) {
    struct sockaddr address = {.sa_family = AF_INET};
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    struct connection *connection = connection_new(ends[0], peer_new(&address, sizeof address));
    connection->arrivals = &arrivals;
    atomic_fetch_add(&arrivals.open, 1);
    connection_add(&all, connection);
    *client = ends[1];
    return connection;
}

static void leave(struct connection *connection, int client) {
    int fd = connection->fd;
    connection_remove(&all, connection);
    (void)close(fd);
    (void)close(client);
}

static void who_comes_after_the_close_is_cut_and_can_begin_no_request(void **state) {
    (void)state;
    char byte;
    int before, after;
    assert_int_equal(connections_start(&all, 0, velocity_str(""), NULL, 0, NULL), VELOCITY_OK);
    struct connection *one = arrive(&before);
    connections_close(&all);
    struct connection *two = arrive(&after);
    assert_true(connection_enter(one, CONNECTION_IDLE, CONNECTION_READING));
    assert_false(connection_enter(two, CONNECTION_IDLE, CONNECTION_READING));
    assert_int_equal(read(after, &byte, 1), 0);
    assert_int_equal(connections_count(&all), 2);
    leave(one, before);
    leave(two, after);
    connections_stop_sweep(&all);
    connections_destroy(&all);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(who_comes_after_the_close_is_cut_and_can_begin_no_request)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
