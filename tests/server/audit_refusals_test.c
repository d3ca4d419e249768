/* audit_refusals_test.c - that what is refused can't fill the audit log, and that nobody's refusals vanish uncounted.
 */
#include "tests/server/audit_support.h"

/* ---- how many ---------------------------------------------------------------------------------------------------- */

static unsigned admitted(struct audit_refusals *refusals, const char *user, const char *address, unsigned tries,
                         int64_t now_ms) {
    unsigned count = 0;
    for (unsigned i = 0; i < tries; i++) count += audit_refusals_admit(refusals, user, address, now_ms);
    return count;
}

static void a_source_has_its_rows_at_once_and_then_one_a_second(void **state) {
    static struct audit_refusals refusals;
    (void)state;
    memset(&refusals, 0, sizeof refusals);
    assert_int_equal(admitted(&refusals, "eve", "192.0.2.1", 1000, 5000), AUDIT_REFUSALS_AT_ONCE);
    assert_int_equal(admitted(&refusals, "eve", "192.0.2.2", 1000, 5999), 0); /* whatever the address */
    assert_int_equal(admitted(&refusals, "eve", "192.0.2.1", 1000, 6000), 1);
    assert_int_equal(admitted(&refusals, "eve", "192.0.2.1", 1000, 16000), 10);
    assert_int_equal(admitted(&refusals, "eve", "192.0.2.1", 1000, 10000000), AUDIT_REFUSALS_AT_ONCE);
    assert_int_equal(admitted(&refusals, "bob", "192.0.2.1", 1000, 10000000), AUDIT_REFUSALS_AT_ONCE);
    assert_int_equal(admitted(&refusals, "", "192.0.2.1", 1000, 10000000), AUDIT_REFUSALS_AT_ONCE);
}

static void many_addresses_have_no_more_rows_than_their_group(void **state) {
    static struct audit_refusals refusals;
    char address[32];
    unsigned count = 0;
    (void)state;
    memset(&refusals, 0, sizeof refusals);
    for (unsigned second = 0; second < 100; second++)
        for (unsigned i = 0; i < 100; i++) {
            (void)snprintf(address, sizeof address, "2001:db8:%x:%x::1", second, i);
            count += audit_refusals_admit(&refusals, NULL, address, 1000 + second * INT64_C(1000));
        }
    assert_int_equal(count, 600 + 99 * 10);
    assert_int_equal(admitted(&refusals, "ann", "2001:db8::1", 10, 100000), 10); /* users are another group */
}

static void each_that_was_left_out_is_counted_once_under_its_name_or_among_the_others(void **state) {
    static struct audit_refusals refusals;
    struct audit_left_out left_out;
    uint64_t total = 0, named = 0;
    char address[32];
    (void)state;
    memset(&refusals, 0, sizeof refusals);
    for (unsigned i = 0; i < 2 * AUDIT_REFUSAL_SOURCES; i++) {
        (void)snprintf(address, sizeof address, "192.0.2.%u", i);
        audit_refusals_leave_out(&refusals, NULL, address, 1000, 7000 + i);
        audit_refusals_leave_out(&refusals, NULL, address, 1000, 8000 + i);
    }
    while (audit_refusals_take(&refusals, &left_out)) {
        assert_string_equal(left_out.user, "");
        total += left_out.gap.lost;
        named += left_out.address[0] != 0;
        assert_true(left_out.gap.first_ms < left_out.gap.last_ms);
    }
    assert_int_equal(total, 4 * AUDIT_REFUSAL_SOURCES);
    assert_int_equal(named, AUDIT_REFUSAL_SOURCES);
    audit_refusals_leave_out(&refusals, "eve", "192.0.2.1", 2000, 9000);
    assert_true(audit_refusals_take(&refusals, &left_out));
    assert_string_equal(left_out.user, "eve");
    assert_string_equal(left_out.address, "");
    assert_false(audit_refusals_take(&refusals, &left_out));
}

/* ---- the log ----------------------------------------------------------------------------------------------------- */

static const struct audit_timing told_at_the_end = {
    .batch_ms = 10, .retry_ms = 10, .head_ms = 3600000, .prune_ms = 60000, .tell_ms = 3600000};

static struct audit_event refused(const char *user, const char *address) {
    return (struct audit_event){.user = user, .address = address, .action = "get", .status = 403};
}

static void assert_answer(const char *sql, const char *expected) {
    char *answer = ask(sql);
    assert_string_equal(answer, expected);
    free(answer);
}

static void a_flood_leaves_some_rows_and_one_that_counts_the_rest(void **state) {
    (void)state;
    struct audit *audit = open_with(&everything, &told_at_the_end);
    struct audit_event event = refused("eve", "192.0.2.1");
    for (int i = 0; i < 1000; i++) {
        must_reserve(audit);
        audit_record_refusal(audit, &event);
    }
    struct audit_event done = put_by("alice", "k");
    record(audit, &done);
    close_audit(audit);
    /* A slow machine lets a second pass, and another row. */
    assert_answer("SELECT count(*) BETWEEN 60 AND 90 FROM audit WHERE user = 'eve' AND action = 'get'", "1");
    assert_answer("SELECT count(*) FROM audit WHERE user = 'alice'", "1");
    assert_answer("SELECT count(*) FROM audit WHERE user = 'eve' AND action = 'audit.refusals' AND status IS NULL",
                  "1");
    assert_answer("SELECT (SELECT count(*) FROM audit WHERE user = 'eve' AND action = 'get') + "
                  "(SELECT CAST(substr(detail, 8) AS INTEGER) FROM audit WHERE action = 'audit.refusals')",
                  "1000");
}

static void what_was_left_out_is_told_in_time_and_places_are_given_back(void **state) {
    struct audit_timing timing = told_at_the_end;
    (void)state;
    timing.tell_ms = 50;
    struct audit *audit = open_with(&everything, &timing);
    struct audit_event event = refused(NULL, "192.0.2.1");
    /* More than there are places: who was left out must not keep one. */
    for (int i = 0; i < 2 * AUDIT_PROMISES; i++) {
        must_reserve(audit);
        audit_record_refusal(audit, &event);
    }
    assert_soon(stats_of(audit).queued == 0 && stats_of(audit).recorded > AUDIT_REFUSALS_AT_ONCE);
    uint64_t before = stats_of(audit).recorded;
    audit_count_refusal(audit, "", "192.0.2.7");
    assert_soon(stats_of(audit).recorded > before);
    close_audit(audit);
    assert_answer("SELECT group_concat(substr(detail, 1, 9)) FROM audit WHERE address = '192.0.2.7'", "events=1 ");
}

static void what_has_no_reservation_never_waits_and_takes_nobodys_place(void **state) {
    (void)state;
    struct audit *audit = open_with(&everything, &told_at_the_end);
    struct audit_event event = refused(NULL, "192.0.2.1"), done = put_by("alice", "k");
    for (int i = 0; i < AUDIT_PROMISES; i++) must_reserve(audit);
    audit_note_refusal(audit, &event);
    assert_int_equal(stats_of(audit).recorded, 0);
    for (int i = 0; i < AUDIT_PROMISES; i++) audit_record(audit, &done);
    audit_note_refusal(audit, &event);
    assert_int_equal(stats_of(audit).recorded, AUDIT_PROMISES + 1);
    close_audit(audit);
    assert_answer("SELECT count(*) FROM audit WHERE action = 'get'", "1");
    assert_answer("SELECT substr(detail, 1, 9) FROM audit WHERE action = 'audit.refusals'", "events=1 ");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_has_its_rows_at_once_and_then_one_a_second),
        cmocka_unit_test(many_addresses_have_no_more_rows_than_their_group),
        cmocka_unit_test(each_that_was_left_out_is_counted_once_under_its_name_or_among_the_others),
        AUDIT_TEST(a_flood_leaves_some_rows_and_one_that_counts_the_rest),
        AUDIT_TEST(what_was_left_out_is_told_in_time_and_places_are_given_back),
        AUDIT_TEST(what_has_no_reservation_never_waits_and_takes_nobodys_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
