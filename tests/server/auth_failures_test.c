/* auth_failures_test.c - who is banned after which failures, for how long, and who is not. */
#include "tests/server/cmocka_all.h"

#include "server/auth_failures.h"

#include <pthread.h>
#include <stdio.h>

#define NOBODY velocity_bytes(NULL, 0)
#define ANN    velocity_str("ann")
#define BEN    velocity_str("ben")

enum { MAX = 5, BAN_SECONDS = 300, BAN_MS = BAN_SECONDS * 1000, START_MS = 5000 };

static int set_up(void **state) {
    struct failures *f = failures_new();
    if (!f) return -1;
    failures_configure(f, MAX, BAN_SECONDS);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    failures_free(*state);
    return 0;
}

static void fail_times(struct failures *f, int times, const char *address, velocity_slice user, int64_t now_ms) {
    for (int i = 0; i < times; i++) failures_add(f, address, user, now_ms);
}

static void too_many_failures_ban_a_user_at_an_address_until_the_ban_ends(void **state) {
    struct failures *f = *state;
    fail_times(f, MAX - 1, "192.0.2.1", ANN, START_MS);
    assert_int_equal(failures_banned(f, "192.0.2.1", ANN, START_MS), 0);
    fail_times(f, 1, "192.0.2.1", ANN, START_MS);
    assert_int_equal(failures_banned(f, "192.0.2.1", ANN, START_MS), BAN_SECONDS);
    assert_int_equal(failures_banned(f, "192.0.2.1", ANN, START_MS + 1), BAN_SECONDS);
    assert_int_equal(failures_banned(f, "192.0.2.1", ANN, START_MS + BAN_MS - 1), 1);
    assert_int_equal(failures_banned(f, "192.0.2.1", ANN, START_MS + BAN_MS), 0);
}

static void the_failure_that_bans_says_for_how_long_and_no_other_does(void **state) {
    struct failures *f = *state;
    for (int i = 1; i < 2 * MAX; i++)
        assert_int_equal(failures_add(f, "192.0.2.1", ANN, START_MS), i == MAX ? BAN_SECONDS : 0);
    for (int i = 1; i <= MAX * FAILURES_ADDRESS_FACTOR; i++)
        assert_int_equal(failures_add(f, "192.0.2.9", NOBODY, START_MS),
                         i == MAX * FAILURES_ADDRESS_FACTOR ? BAN_SECONDS : 0);
    failures_configure(f, 0, BAN_SECONDS);
    assert_int_equal(failures_add(f, "192.0.2.2", ANN, START_MS), 0);
}

static void after_a_ban_counting_begins_anew(void **state) {
    struct failures *f = *state;
    fail_times(f, MAX, "192.0.2.1", ANN, START_MS);
    fail_times(f, MAX - 1, "192.0.2.1", ANN, START_MS + BAN_MS);
    assert_int_equal(failures_banned(f, "192.0.2.1", ANN, START_MS + BAN_MS), 0);
    fail_times(f, 1, "192.0.2.1", ANN, START_MS + BAN_MS);
    assert_int_equal(failures_banned(f, "192.0.2.1", ANN, START_MS + BAN_MS), BAN_SECONDS);
}

static void what_fails_during_a_ban_does_not_prolong_it(void **state) {
    struct failures *f = *state;
    fail_times(f, MAX, "192.0.2.1", ANN, START_MS);
    fail_times(f, 2 * MAX, "192.0.2.1", ANN, START_MS + BAN_MS - 1);
    assert_int_equal(failures_banned(f, "192.0.2.1", ANN, START_MS + BAN_MS), 0);
}

static void nobody_is_locked_out_by_a_stranger(void **state) {
    struct failures *f = *state;
    fail_times(f, MAX, "192.0.2.1", ANN, START_MS);
    assert_int_equal(failures_banned(f, "192.0.2.2", ANN, START_MS), 0);
    assert_int_equal(failures_banned(f, "192.0.2.1", BEN, START_MS), 0);
    assert_int_equal(failures_banned(f, "192.0.2.1", NOBODY, START_MS), 0);
}

static void an_address_is_banned_for_everyone_after_ten_times_as_many(void **state) {
    struct failures *f = *state;
    char user[16];
    for (int i = 0; i < MAX * FAILURES_ADDRESS_FACTOR; i++) {
        assert_int_equal(failures_banned(f, "192.0.2.1", BEN, START_MS), 0);
        snprintf(user, sizeof user, "user%d", i);
        failures_add(f, "192.0.2.1", velocity_str(user), START_MS);
    }
    assert_int_equal(failures_banned(f, "192.0.2.1", BEN, START_MS), BAN_SECONDS);
    assert_int_equal(failures_banned(f, "192.0.2.1", NOBODY, START_MS), BAN_SECONDS);
    assert_int_equal(failures_banned(f, "192.0.2.2", BEN, START_MS), 0);
}

static void failures_far_apart_are_no_attack(void **state) {
    struct failures *f = *state;
    for (int i = 0; i < 100; i++) {
        failures_add(f, "192.0.2.1", ANN, START_MS + (int64_t)i * BAN_MS / (MAX - 1));
        assert_int_equal(failures_banned(f, "192.0.2.1", ANN, START_MS + (int64_t)i * BAN_MS / (MAX - 1)), 0);
    }
}

static void a_success_clears_the_user_s_count_but_not_the_address_s(void **state) {
    struct failures *f = *state;
    for (int round = 0; round < FAILURES_ADDRESS_FACTOR; round++) {
        fail_times(f, MAX - 1, "192.0.2.1", ANN, START_MS);
        failures_forget(f, "192.0.2.1", ANN);
    }
    assert_int_equal(failures_banned(f, "192.0.2.1", ANN, START_MS), 0);
    fail_times(f, FAILURES_ADDRESS_FACTOR, "192.0.2.1", NOBODY, START_MS);
    assert_int_equal(failures_banned(f, "192.0.2.1", ANN, START_MS), BAN_SECONDS);
}

static void an_ipv6_customer_has_one_address(void **state) {
    struct failures *f = *state;
    char address[64];
    for (int i = 0; i < MAX; i++) {
        snprintf(address, sizeof address, "2001:db8:1:2:%x::%x", i, 77 * i);
        failures_add(f, address, ANN, START_MS);
    }
    assert_int_equal(failures_banned(f, "2001:db8:1:2:ffff:ffff:ffff:ffff", ANN, START_MS), BAN_SECONDS);
    assert_int_equal(failures_banned(f, "2001:db8:1:3::", ANN, START_MS), 0);
}

static void an_ipv4_address_is_the_same_however_it_is_written_and_no_network(void **state) {
    struct failures *f = *state;
    fail_times(f, MAX, "::ffff:192.0.2.1", ANN, START_MS);
    assert_int_equal(failures_banned(f, "192.0.2.1", ANN, START_MS), BAN_SECONDS);
    assert_int_equal(failures_banned(f, "::ffff:192.0.2.2", ANN, START_MS), 0);
    assert_int_equal(failures_banned(f, "192.0.2.2", ANN, START_MS), 0);
}

static void what_is_no_address_counts_as_itself(void **state) {
    struct failures *f = *state;
    fail_times(f, MAX, "unknown", ANN, START_MS);
    assert_int_equal(failures_banned(f, "unknown", ANN, START_MS), BAN_SECONDS);
    assert_int_equal(failures_banned(f, "fe80::1%eth0", ANN, START_MS), 0);
    assert_int_equal(failures_banned(f, "", ANN, START_MS), 0);
}

static void one_who_is_logged_in_counts_apart_from_everyone(void **state) {
    struct failures *f = *state;
    fail_times(f, MAX, NULL, ANN, START_MS);
    assert_int_equal(failures_banned(f, NULL, ANN, START_MS), BAN_SECONDS);
    assert_int_equal(failures_banned(f, "192.0.2.1", ANN, START_MS), 0);
    assert_int_equal(failures_banned(f, NULL, BEN, START_MS), 0);
    /* All zero bytes are an address, too. */
    assert_int_equal(failures_banned(f, "::", ANN, START_MS), 0);
}

static void names_of_any_length_and_bytes_may_be_tried(void **state) {
    struct failures *f = *state;
    static char name[100000];
    fail_times(f, MAX, "192.0.2.1", velocity_bytes(name, sizeof name), START_MS);
    assert_int_equal(failures_banned(f, "192.0.2.1", velocity_bytes(name, sizeof name), START_MS), BAN_SECONDS);
    assert_int_equal(failures_banned(f, "192.0.2.1", velocity_bytes(name, 3), START_MS), 0);
    assert_int_equal(failures_banned(f, "192.0.2.1", velocity_bytes(name, 0), START_MS), 0);
}

static void without_a_limit_or_a_duration_nobody_is_banned(void **state) {
    struct failures *f = *state;
    struct failures_stats stats;
    failures_configure(f, 0, BAN_SECONDS);
    fail_times(f, 1000, "192.0.2.1", ANN, START_MS);
    assert_int_equal(failures_banned(f, "192.0.2.1", ANN, START_MS), 0);
    failures_configure(f, MAX, 0);
    fail_times(f, 1000, "192.0.2.1", ANN, START_MS);
    assert_int_equal(failures_banned(f, "192.0.2.1", ANN, START_MS), 0);
    failures_stats(f, START_MS, &stats);
    assert_int_equal(stats.failures, 2000);
    assert_int_equal(stats.bans, 0);
}

static void figures_tell_failures_bans_and_who_is_banned_now(void **state) {
    struct failures *f = *state;
    struct failures_stats stats;
    fail_times(f, MAX, "192.0.2.1", ANN, START_MS);
    fail_times(f, MAX, "192.0.2.1", BEN, START_MS + BAN_MS / 2);
    failures_stats(f, START_MS + BAN_MS / 2, &stats);
    assert_int_equal(stats.failures, 2 * MAX);
    assert_int_equal(stats.bans, 2);
    assert_int_equal(stats.banned_now, 2);
    failures_stats(f, START_MS + BAN_MS, &stats);
    assert_int_equal(stats.banned_now, 1);
    failures_stats(f, START_MS + 2 * BAN_MS, &stats);
    assert_int_equal(stats.banned_now, 0);
}

static void a_flood_of_addresses_pushes_no_banned_user_out(void **state) {
    struct failures *f = *state;
    struct failures_stats stats;
    char address[64];
    fail_times(f, MAX, "192.0.2.1", ANN, START_MS);
    for (int i = 0; i < 2 * FAILURES_TABLE_ENTRIES; i++) {
        snprintf(address, sizeof address, "2001:db8:%x:%x::1", i >> 16, i & 0xFFFF);
        failures_add(f, address, NOBODY, START_MS);
    }
    assert_int_equal(failures_banned(f, "192.0.2.1", ANN, START_MS), BAN_SECONDS);
    failures_stats(f, START_MS, &stats);
    assert_int_equal(stats.failures, MAX + 2 * FAILURES_TABLE_ENTRIES);
}

static void when_the_table_is_full_the_one_longest_quiet_is_forgotten(void **state) {
    struct failures *f = *state;
    char address[64];
    fail_times(f, MAX, "192.0.2.1", ANN, START_MS);
    fail_times(f, MAX - 1, "192.0.2.2", BEN, START_MS);
    for (int i = 0; i < FAILURES_TABLE_ENTRIES - 2; i++) {
        snprintf(address, sizeof address, "10.%d.%d.%d", i >> 16, i >> 8 & 0xFF, i & 0xFF);
        failures_add(f, address, ANN, START_MS);
    }
    assert_int_equal(failures_banned(f, "192.0.2.1", ANN, START_MS), BAN_SECONDS);
    /* The last one of Ben's renews its place, so the next new ones push out Ann's and a quiet one. */
    fail_times(f, 1, "192.0.2.2", BEN, START_MS);
    fail_times(f, 1, "192.0.2.3", BEN, START_MS);
    fail_times(f, 1, "192.0.2.4", BEN, START_MS);
    assert_int_equal(failures_banned(f, "192.0.2.1", ANN, START_MS), 0);
    assert_int_equal(failures_banned(f, "192.0.2.2", BEN, START_MS), BAN_SECONDS);
    /* The new ones stay. */
    fail_times(f, MAX - 1, "192.0.2.3", BEN, START_MS);
    assert_int_equal(failures_banned(f, "192.0.2.3", BEN, START_MS), BAN_SECONDS);
}

static void *fail_often(void *arg) {
    char address[64];
    for (int i = 0; i < 4000; i++) {
        snprintf(address, sizeof address, "10.0.%d.%d", i % 7, i % 50);
        failures_add(arg, address, ANN, START_MS + i);
        (void)failures_banned(arg, address, ANN, START_MS + i);
        failures_forget(arg, address, BEN);
    }
    return NULL;
}

static void threads_count_every_failure(void **state) {
    struct failures *f = *state;
    struct failures_stats stats;
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, fail_often, f), 0);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    failures_stats(f, START_MS, &stats);
    assert_int_equal(stats.failures, 3 * 4000);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH(too_many_failures_ban_a_user_at_an_address_until_the_ban_ends),
        WITH(the_failure_that_bans_says_for_how_long_and_no_other_does),
        WITH(after_a_ban_counting_begins_anew),
        WITH(what_fails_during_a_ban_does_not_prolong_it),
        WITH(nobody_is_locked_out_by_a_stranger),
        WITH(an_address_is_banned_for_everyone_after_ten_times_as_many),
        WITH(failures_far_apart_are_no_attack),
        WITH(a_success_clears_the_user_s_count_but_not_the_address_s),
        WITH(an_ipv6_customer_has_one_address),
        WITH(an_ipv4_address_is_the_same_however_it_is_written_and_no_network),
        WITH(what_is_no_address_counts_as_itself),
        WITH(one_who_is_logged_in_counts_apart_from_everyone),
        WITH(names_of_any_length_and_bytes_may_be_tried),
        WITH(without_a_limit_or_a_duration_nobody_is_banned),
        WITH(figures_tell_failures_bans_and_who_is_banned_now),
        WITH(a_flood_of_addresses_pushes_no_banned_user_out),
        WITH(when_the_table_is_full_the_one_longest_quiet_is_forgotten),
        WITH(threads_count_every_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
