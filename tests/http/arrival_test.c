/*
 * arrival_test.c - a connection finds its peer whatever libmicrohttpd loses on the way. What stands
 * in MHD_add_connection's place keeps the addresses, and the test says what becomes of them.
 */
#include "tests/server/cmocka_all.h"

#include "http/arrival.h"

#include <microhttpd.h>
#include <netinet/in.h>

#define MOST 10

static struct { _Alignas(16) unsigned char bytes[512]; } given[MOST]; /* libmicrohttpd's copies */
static size_t given_count;
static bool refuse;
static int freed;
static struct arrivals arrivals;

static enum MHD_Result keep(struct MHD_Daemon *daemon, MHD_socket fd, const struct sockaddr *address, socklen_t size) {
    (void)daemon, (void)fd;
    assert_int_equal(address->sa_family, AF_INET);
    assert_in_range(size, sizeof(struct sockaddr_in), sizeof given[0].bytes);
    if (refuse) return MHD_NO;
    memcpy(given[given_count++].bytes, address, size);
    return MHD_YES;
}

static void count_release(const struct peer *peer) {
    (void)peer;
    freed++;
}

static struct peer *add(void) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct peer *peer = peer_new((struct sockaddr *)&address, sizeof address);
    assert_non_null(peer);
    peer->release = count_release;
    arrivals_add(&arrivals, -1, peer);
    return peer;
}

static struct connection *begin(size_t number) {
    return arrivals_begin(given[number].bytes);
}

static void end(struct connection *connection) {
    atomic_fetch_sub(&arrivals.open, 1);
    connection_free(connection);
}

static int set_up(void **state) {
    (void)state;
    memset(&arrivals, 0, sizeof arrivals);
    arrivals_init(&arrivals);
    arrivals.add = keep;
    given_count = 0;
    freed = 0;
    refuse = false;
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    arrivals_destroy(&arrivals);
    return atomic_load(&arrivals.open) == 0 ? 0 : -1;
}

static void each_connection_finds_its_own_peer(void **state) {
    struct peer *peers[3];
    (void)state;
    for (int i = 0; i < 3; i++) peers[i] = add();
    assert_int_equal(atomic_load(&arrivals.open), 3);
    for (size_t i = 0; i < 3; i++) {
        struct connection *connection = begin(i);
        assert_non_null(connection);
        assert_ptr_equal(connection->peer, peers[i]);
        assert_ptr_equal(connection->arrivals, &arrivals);
        end(connection);
    }
    assert_int_equal(freed, 3);
}

static void one_that_was_lost_is_freed_when_the_next_begins(void **state) {
    (void)state;
    (void)add();
    (void)add();
    struct peer *third = add();
    (void)add();
    struct connection *connection = begin(2);
    assert_ptr_equal(connection->peer, third);
    assert_int_equal(freed, 2);
    assert_int_equal(atomic_load(&arrivals.open), 2);
    end(connection);
    end(begin(3));
    assert_int_equal(freed, 4);
}

static void one_that_is_refused_is_freed_at_once_and_leaves_the_queue_whole(void **state) {
    (void)state;
    struct peer *first = add();
    refuse = true;
    (void)add();
    assert_int_equal(freed, 1);
    refuse = false;
    struct peer *third = add();
    struct connection *a = begin(0), *b = begin(1);
    assert_ptr_equal(a->peer, first);
    assert_ptr_equal(b->peer, third);
    end(a);
    end(b);
}

static void one_that_never_begins_is_given_up_and_may_not_begin_later(void **state) {
    (void)state;
    (void)add();
    uint64_t now_us = clock_us();
    arrivals_sweep(&arrivals, now_us);
    assert_int_equal(freed, 0);
    arrivals_sweep(&arrivals, now_us + 2 * ARRIVAL_LOST_US);
    assert_int_equal(freed, 1);
    assert_int_equal(atomic_load(&arrivals.open), 0);
    struct peer *second = add();
    assert_ptr_equal(begin(0), NULL);
    assert_int_equal(freed, 1);
    struct connection *connection = begin(1);
    assert_ptr_equal(connection->peer, second);
    end(connection);
}

static void those_that_wait_at_the_end_are_freed_with_it(void **state) {
    (void)state;
    (void)add();
    (void)add(); /* tear_down sees that they went */
}

int main(void) {
#define WITH_ARRIVALS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        WITH_ARRIVALS(each_connection_finds_its_own_peer),
        WITH_ARRIVALS(one_that_was_lost_is_freed_when_the_next_begins),
        WITH_ARRIVALS(one_that_is_refused_is_freed_at_once_and_leaves_the_queue_whole),
        WITH_ARRIVALS(one_that_never_begins_is_given_up_and_may_not_begin_later),
        WITH_ARRIVALS(those_that_wait_at_the_end_are_freed_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
