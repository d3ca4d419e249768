/* audit_wait_test.c - who can't be recorded waits or is refused, and whatever fails, nothing that was recorded is lost.
 */
#include "tests/server/audit_support.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

/* ---- waiting ----------------------------------------------------------------------------------------------------- */

/* Keeps the writer from its work, as a slow disk would. */
struct hold {
    struct audit_waiter waiter;
    sem_t entered, leave;
};

static void hold_writer(struct audit_waiter *waiter) {
    struct hold *hold = (struct hold *)waiter;
    (void)sem_post(&hold->entered);
    while (sem_wait(&hold->leave) != 0) continue;
}

/* Records the event, and answers once it is written and the writer is held. */
static void hold_with(struct audit *audit, struct hold *hold, const struct audit_event *event) {
    *hold = (struct hold){.waiter = {.ready = hold_writer}};
    assert_int_equal(sem_init(&hold->entered, 0, 0) + sem_init(&hold->leave, 0, 0), 0);
    record(audit, event);
    assert_int_equal(audit_settle(audit, &hold->waiter), AUDIT_WAIT);
    assert_int_equal(sem_wait(&hold->entered), 0);
}

static void settled_is_on_disk_and_many_share_one_batch(void **state) {
    (void)state;
    enum { WAITERS = 99 };
    static struct blocking waiters[WAITERS];
    struct audit_timing slow = quick;
    slow.batch_ms = 60000; /* nothing is written but for those who wait */
    struct audit *audit = open_with(&everything, &slow);
    struct audit_event event = put_by("alice", "k");
    struct hold hold;
    hold_with(audit, &hold, &event);
    for (int i = 0; i < WAITERS; i++) {
        record(audit, &event);
        blocking_init(&waiters[i]);
        assert_int_equal(audit_settle(audit, &waiters[i].waiter), AUDIT_WAIT);
    }
    assert_int_equal(stats_of(audit).written, 1);
    assert_int_equal(sem_post(&hold.leave), 0);
    for (int i = 0; i < WAITERS; i++) {
        assert_int_equal(sem_wait(&waiters[i].woken), 0);
        assert_int_equal(audit_settle(audit, &waiters[i].waiter), AUDIT_GO);
        assert_int_equal(waiters[i].times, 1);
    }
    struct audit_stats stats = stats_of(audit);
    assert_int_equal(stats.written, 1 + WAITERS);
    assert_int_equal(stats.queued, 0);
    assert_int_equal(stats.batches, 2);
    char *rows = ask("SELECT count(*) FROM audit"); /* another connection sees them */
    assert_string_equal(rows, "100");
    free(rows);
    close_audit(audit);
}

static void without_anyone_waiting_rows_are_written_soon(void **state) {
    (void)state;
    struct audit *audit = open_audit();
    struct audit_event event = put_by("alice", "k");
    record(audit, &event);
    assert_soon(stats_of(audit).written == 1);
    close_audit(audit);
}

static void closing_writes_what_was_recorded(void **state) {
    (void)state;
    struct audit_timing slow = quick;
    slow.batch_ms = 60000;
    struct audit *audit = open_with(&everything, &slow);
    for (int i = 0; i < 1000; i++) {
        struct audit_event event = put_by("alice", "k");
        record(audit, &event);
    }
    close_audit(audit);
    audit = open_audit();
    assert_intact(audit, 1000);
    close_audit(audit);
}

static void who_finds_no_room_waits_and_is_woken_in_order(void **state) {
    (void)state;
    struct blocking first, second, third;
    struct audit_timing slow = quick;
    slow.batch_ms = 60000;
    struct audit *audit = open_with(&everything, &slow);
    blocking_init(&first);
    blocking_init(&second);
    blocking_init(&third);
    for (int i = 0; i < AUDIT_PROMISES; i++) must_reserve(audit);
    assert_int_equal(audit_reserve(audit, &first.waiter), AUDIT_WAIT);
    assert_int_equal(audit_reserve(audit, &second.waiter), AUDIT_WAIT);
    audit_cancel(audit);
    assert_int_equal(sem_wait(&first.woken), 0);
    assert_int_equal(audit_reserve(audit, &first.waiter), AUDIT_GO);
    assert_int_equal(second.times, 0); /* there was one place */
    assert_int_equal(audit_reserve(audit, &third.waiter), AUDIT_WAIT);
    struct audit_event event = put_by("alice", "k");
    audit_record(audit, &event);
    assert_int_equal(sem_wait(&second.woken), 0);
    assert_int_equal(audit_reserve(audit, &second.waiter), AUDIT_GO);
    assert_int_equal(third.times, 0);
    for (int i = 0; i < AUDIT_PROMISES; i++) audit_cancel(audit);
    assert_int_equal(sem_wait(&third.woken), 0);
    assert_int_equal(audit_reserve(audit, &third.waiter), AUDIT_GO);
    audit_cancel(audit);
    assert_int_equal(first.times + second.times + third.times, 3);
    assert_int_equal(stats_of(audit).waited, 3);
    assert_int_equal(stats_of(audit).batches, 0); /* waking is no reason to write early */
    close_audit(audit);
}

static void a_full_queue_makes_operations_wait_until_a_batch_is_written(void **state) {
    (void)state;
    static char key[AUDIT_KEY_MAX_BYTES];
    struct hold hold;
    struct blocking waiter;
    uint64_t recorded = 1;
    struct audit_timing slow = quick;
    slow.batch_ms = 60000;
    struct audit *audit = open_with(&everything, &slow);
    blocking_init(&waiter);
    struct audit_event event = {.action = "put", .database = velocity_str("d"), .key = velocity_bytes(key, sizeof key)};
    hold_with(audit, &hold, &event);
    for (; audit_reserve(audit, &waiter.waiter) == AUDIT_GO; recorded++) audit_record(audit, &event);
    assert_true(recorded * (sizeof key + 64) >= AUDIT_QUEUE_BYTES);
    assert_int_equal(waiter.times, 0);
    assert_int_equal(stats_of(audit).waited, 1);
    assert_int_equal(sem_post(&hold.leave), 0);
    assert_int_equal(sem_wait(&waiter.woken), 0);
    assert_int_equal(audit_reserve(audit, &waiter.waiter), AUDIT_GO);
    audit_cancel(audit);
    (void)audit_settle_waiting(audit);
    assert_int_equal(stats_of(audit).written, recorded);
    close_audit(audit);
}

/* ---- failing ----------------------------------------------------------------------------------------------------- */

static void a_log_that_cannot_be_written_refuses_operations_and_recovers_by_itself(void **state) {
    (void)state;
    struct audit_waiter unused = {.ready = NULL};
    struct blocking waiter;
    struct audit *audit = open_audit();
    blocking_init(&waiter);
    record_many(audit, 3, 0);
    must_reserve(audit); /* one that is under way */
    assert_int_equal(rename(path, aside), 0);
    struct audit_event event = put_by("alice", "while it fails");
    record(audit, &event);
    enum audit_answer answer = audit_settle(audit, &waiter.waiter);
    for (; answer == AUDIT_WAIT; answer = audit_settle(audit, &waiter.waiter))
        assert_int_equal(sem_wait(&waiter.woken), 0);
    assert_int_equal(answer, AUDIT_FAILING);
    assert_int_equal(audit_reserve(audit, &unused), AUDIT_FAILING);
    assert_true(audit_wants(audit, AUDIT_WRITE));
    audit_record(audit, &event);
    assert_soon(stats_of(audit).write_failures > 2);
    assert_true(stats_of(audit).failing);
    assert_int_equal(rename(aside, path), 0);
    assert_soon(!stats_of(audit).failing);
    assert_int_equal(audit_reserve(audit, &unused), AUDIT_GO);
    audit_cancel(audit);
    assert_intact(audit, 5);
    assert_int_equal(stats_of(audit).lost, 0);
    assert_true(stats_of(audit).refused >= 2);
    close_audit(audit);
    assert_int_equal(times_logged("event=audit_failing"), 1);
    assert_int_equal(times_logged("event=audit_recovered"), 1);
}

static void who_waits_for_room_hears_that_the_log_fails(void **state) {
    (void)state;
    struct blocking room, settling;
    struct audit_timing slow = quick;
    slow.batch_ms = 60000;
    struct audit *audit = open_with(&everything, &slow);
    blocking_init(&room);
    blocking_init(&settling);
    struct audit_event event = put_by("alice", "k");
    record(audit, &event);
    for (int i = 0; i < AUDIT_PROMISES; i++) must_reserve(audit);
    assert_int_equal(audit_reserve(audit, &room.waiter), AUDIT_WAIT);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(audit_settle(audit, &settling.waiter), AUDIT_WAIT);
    assert_int_equal(sem_wait(&settling.woken), 0);
    assert_int_equal(sem_wait(&room.woken), 0);
    assert_int_equal(audit_reserve(audit, &room.waiter), AUDIT_FAILING);
    for (int i = 0; i < AUDIT_PROMISES; i++) audit_record(audit, &event); /* all that was promised has its place */
    assert_int_equal(rename(aside, path), 0);
    assert_soon(!stats_of(audit).failing);
    assert_intact(audit, AUDIT_PROMISES + 1);
    close_audit(audit);
}

static void with_continue_operations_go_on_and_a_row_says_how_many_are_missing(void **state) {
    (void)state;
    static char key[AUDIT_KEY_MAX_BYTES];
    struct audit_settings settings = everything;
    settings.on_failure = AUDIT_CONTINUE;
    struct audit *audit = open_with(&settings, &quick);
    assert_int_equal(rename(path, aside), 0);
    struct audit_event event = {
        .time_ms = 42, .action = "put", .database = velocity_str("d"), .key = velocity_bytes(key, sizeof key)};
    record(audit, &event);
    (void)audit_settle_waiting(audit); /* it answers GO: the operation may go on */
    assert_true(stats_of(audit).failing);
    uint64_t sent = 1;
    while (stats_of(audit).lost < 100) {
        record(audit, &event);
        sent++;
    }
    for (int i = 0; i < 10; i++) must_reserve(audit); /* under way while it recovers: these have a place then */
    assert_int_equal(rename(aside, path), 0);
    assert_soon(!stats_of(audit).failing);
    (void)audit_settle_waiting(audit);
    for (int i = 0; i < 10; i++, sent++) audit_record(audit, &event);
    (void)audit_settle_waiting(audit);
    struct audit_stats stats = stats_of(audit);
    assert_int_equal(stats.written + stats.lost, sent);
    assert_int_equal(stats.lost, 100);
    char *gap = ask("SELECT group_concat(detail) FROM audit WHERE action = '" AUDIT_GAP_ACTION "'");
    assert_string_equal(gap, "events=100 from_ms=42 to_ms=42");
    free(gap);
    assert_intact(audit, stats.written + 1);
    close_audit(audit);
    assert_int_equal(times_logged("event=audit_recovered events_lost=100"), 1);
}

static void closing_while_it_fails_says_what_was_lost(void **state) {
    (void)state;
    struct audit *audit = open_audit();
    record_many(audit, 2, 0);
    assert_int_equal(rename(path, aside), 0);
    struct audit_event event = put_by("alice", "k");
    record(audit, &event);
    close_audit(audit);
    assert_int_equal(times_logged("event=audit_lost events=1"), 1);
    assert_int_equal(rename(aside, path), 0);
}

/* Runs `body` in a process of its own; 77 is its way to say that all is well. */
static void assert_in_process(void (*body)(void)) {
    int status = 0;
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)alarm(120);
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 77);
}

static void fill_the_disk(void) {
    struct audit *audit = NULL;
    struct audit_waiter unused = {.ready = NULL};
    struct rlimit limit;
    uint64_t sent = 0;
    (void)signal(SIGXFSZ, SIG_IGN);
    if (audit_open_timed(path, &everything, NULL, &quick, &audit)) _exit(2);
    if (getrlimit(RLIMIT_FSIZE, &limit)) _exit(3);
    limit.rlim_cur = 200000;
    if (setrlimit(RLIMIT_FSIZE, &limit)) _exit(4);
    for (; audit_reserve(audit, &unused) == AUDIT_GO && sent < 100000; sent++) {
        struct audit_event event = put_by("alice", "some key");
        audit_record(audit, &event);
        if (sent % 100 == 0) (void)audit_settle_waiting(audit);
    }
    if (!stats_of(audit).failing) _exit(5);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_FSIZE, &limit)) _exit(6);
    for (int i = 0; i < SOON_MS && stats_of(audit).failing; i++) (void)usleep(1000);
    (void)audit_settle_waiting(audit);
    struct audit_verification result;
    if (audit_verify(audit, &result) || !result.intact || result.rows != sent) _exit(7);
    audit_close(audit);
    _exit(77);
}

static void a_full_disk_loses_nothing(void **state) {
    (void)state;
    assert_in_process(fill_the_disk);
}

static int kill_pipe[2];

static void record_until_killed(void) {
    struct audit *audit = NULL;
    if (audit_open_timed(path, &everything, NULL, &quick, &audit)) _exit(2);
    for (unsigned i = 1;; i++) {
        struct audit_waiter unused = {.ready = NULL};
        struct audit_event event = put_by("alice", "k");
        if (audit_reserve(audit, &unused) != AUDIT_GO) _exit(3);
        audit_record(audit, &event);
        if (i % 50 != 0) continue;
        (void)audit_settle_waiting(audit);
        if (write(kill_pipe[1], &i, sizeof i) != sizeof i) _exit(4);
    }
}

static void a_kill_loses_nothing_that_was_settled(void **state) {
    (void)state;
    for (unsigned round = 1; round <= 3; round++) {
        unsigned settled = 0;
        int status;
        assert_int_equal(pipe(kill_pipe), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) record_until_killed();
        while (settled < 700 * round) assert_int_equal(read(kill_pipe[0], &settled, sizeof settled), sizeof settled);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(close(kill_pipe[1]), 0);
        while (read(kill_pipe[0], &settled, sizeof settled) > 0) continue;
        assert_int_equal(close(kill_pipe[0]), 0);
        struct audit *audit = open_audit();
        struct audit_verification result = verify(audit);
        assert_true(result.intact);
        assert_true(result.rows >= settled);
        close_audit(audit);
        assert_int_equal(times_logged("audit_broken"), 0);
        assert_int_equal(unlink(path), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        AUDIT_TEST(settled_is_on_disk_and_many_share_one_batch),
        AUDIT_TEST(without_anyone_waiting_rows_are_written_soon),
        AUDIT_TEST(closing_writes_what_was_recorded),
        AUDIT_TEST(who_finds_no_room_waits_and_is_woken_in_order),
        AUDIT_TEST(a_full_queue_makes_operations_wait_until_a_batch_is_written),
        AUDIT_TEST(a_log_that_cannot_be_written_refuses_operations_and_recovers_by_itself),
        AUDIT_TEST(who_waits_for_room_hears_that_the_log_fails),
        AUDIT_TEST(with_continue_operations_go_on_and_a_row_says_how_many_are_missing),
        AUDIT_TEST(closing_while_it_fails_says_what_was_lost),
        AUDIT_TEST(a_full_disk_loses_nothing),
        AUDIT_TEST(a_kill_loses_nothing_that_was_settled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
