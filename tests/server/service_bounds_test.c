/* service_bounds_test.c - what one request may take of the server: a scan gives its thread to others now and then. */
#include "tests/server/fixture.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

static int set_up(void **state) {
    static struct fixture f;
    *state = &f;
    return fixture_open(&f, &(struct fixture_options){0}) ? 0 : -1;
}

static int tear_down(void **state) {
    return fixture_close(*state) ? 0 : -1;
}

/* ---- whose turn it is ------------------------------------------------------------------------------------------- */

static _Atomic bool others_were_served;

/* A scan that takes its first row, then gives its turn away until others were served, then one more row a turn. */
struct slow_scan {
    struct store_scan scan;
    struct call call;
    struct fixture *fixture;
    char text[8];
    bool took;
    _Atomic int turns;
};

static bool take_one(void *arg, const struct store_row *row) {
    struct slow_scan *slow = arg;
    if (slow->took || (slow->text[0] && !atomic_load(&others_were_served))) return false;
    strncat(slow->text, row->key.data, 1);
    slow->took = true;
    return true;
}

static bool next_turn(struct service_request *request) {
    struct slow_scan *slow = (struct slow_scan *)((char *)request->scan - offsetof(struct slow_scan, scan));
    slow->took = false;
    atomic_fetch_add(&slow->turns, 1);
    size_t taken = strlen(slow->text);
    slow->scan.start =
        taken ? velocity_bytes(&slow->text[taken - 1], 2) : velocity_bytes(NULL, 0); /* behind the last */
    return true;
}

static void *scan_slowly(void *arg) {
    struct slow_scan *slow = arg;
    slow->scan = (struct store_scan){.row = take_one, .arg = slow};
    slow->call = (struct call){.request = {.operation = SERVICE_SCAN, .scan = &slow->scan, .goes_on = next_turn}};
    velocity_status status = perform(slow->fixture, &slow->call);
    end(&slow->call);
    return status == VELOCITY_OK ? NULL : "a scan failed";
}

static void serve_others(struct service_request *request) {
    request->status = VELOCITY_OK;
    atomic_store(&others_were_served, true);
}

static void scans_that_go_on_give_others_their_turn_and_still_see_one_state(void **state) {
    enum { SCANS = 4 }; /* twice as many as there are threads */
    static struct slow_scan slow[SCANS];
    struct fixture *f = *state;
    pthread_t threads[SCANS];
    put(f, "a", "1"), put(f, "b", "1"), put(f, "d", "1");
    for (int i = 0; i < SCANS; i++) {
        slow[i].fixture = f;
        assert_int_equal(pthread_create(&threads[i], NULL, scan_slowly, &slow[i]), 0);
    }
    for (int i = 0; i < SCANS; i++)
        while (atomic_load(&slow[i].turns) < 3) (void)sched_yield();
    put(f, "c", "it comes too late");
    struct call call = {.request = {.operation = SERVICE_CALL, .call = serve_others}};
    assert_int_equal(perform(f, &call), VELOCITY_OK);
    end(&call);
    for (int i = 0; i < SCANS; i++) {
        void *complaint;
        assert_int_equal(pthread_join(threads[i], &complaint), 0);
        if (complaint) fail_msg("%s", (const char *)complaint);
        assert_string_equal(slow[i].text, "abd");
        assert_true(slow[i].scan.complete);
    }
}

#define WITH_DATABASE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_DATABASE(scans_that_go_on_give_others_their_turn_and_still_see_one_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
