/* jobs_test.c - jobs run one after another, are remembered, and end when they are told to. */
#include "server/jobs.h"
#include "tests/server/databases_fixture.h"

#include "engine/env.h"

#define PATIENCE_MS 60000

struct jobs_fixture {
    struct fixture databases;
    struct jobs *jobs;
};

static bool open_all(struct jobs_fixture *f) {
    if (fixture_try_open(&f->databases) != VELOCITY_OK) return false;
    f->jobs = jobs_new(f->databases.all);
    return f->jobs != NULL;
}

static void close_all(struct jobs_fixture *f) {
    jobs_free(f->jobs);
    fixture_close(&f->databases);
}

static int jobs_set_up(void **state) {
    static struct jobs_fixture f;
    fixture_paths(&f.databases);
    *state = &f;
    return open_all(&f) ? 0 : -1;
}

static int jobs_tear_down(void **state) {
    struct jobs_fixture *f = *state;
    close_all(f);
    fixture_remove(&f->databases);
    return 0;
}

#define JOBS_TEST(name) cmocka_unit_test_setup_teardown(name, jobs_set_up, jobs_tear_down)

struct seen {
    uint64_t id; /* wanted; 0: all */
    size_t count;
    struct job_info last;
    char message[256];
};

static bool see(void *arg, const struct job_info *info) {
    struct seen *seen = arg;
    if (seen->id && info->id != seen->id) return true;
    seen->count++;
    seen->last = *info;
    (void)snprintf(seen->message, sizeof seen->message, "%s", info->message);
    return true;
}

static struct seen look(struct jobs_fixture *f, uint64_t id) {
    struct seen seen = {.id = id};
    jobs_list(f->jobs, see, &seen);
    return seen;
}

static enum job_state wait_for_end(struct jobs_fixture *f, uint64_t id) {
    for (int i = 0; i < PATIENCE_MS; i++) {
        struct seen seen = look(f, id);
        assert_int_equal(seen.count, 1);
        if (seen.last.state > JOB_RUNNING) return seen.last.state;
        env_sleep_us(1000);
    }
    fail_msg("job %llu did not end", (unsigned long long)id);
    return JOB_FAILED;
}

static uint64_t start(struct jobs_fixture *f, enum job_kind kind, const char *database) {
    uint64_t id = 0;
    OK(jobs_start(f->jobs, kind, database, "ada", &id));
    assert_true(id > 0);
    return id;
}

/* Tables for a compaction to work on. */
static void fill(struct jobs_fixture *f, const char *name, int keys) {
    struct database *database;
    OK(acquire(&f->databases, name, &database));
    struct store *store = database_store(database);
    struct store_commit commit = {0};
    char key[32];
    for (int i = 0; i < keys; i++) {
        (void)snprintf(key, sizeof key, "key-%08d", i);
        struct store_operation operation = {
            .action = STORE_PUT, .key = velocity_str(key), .value = LITERAL("a value of some bytes")};
        struct store_batch batch = {.operations = &operation, .operation_count = 1};
        store->operations->write(store, &batch, &commit);
        OK(commit.status);
    }
    store_commit_free(&commit);
    database_release(database);
}

static void a_flush_and_a_compaction_are_done_and_remembered(void **state) {
    struct jobs_fixture *f = *state;
    fill(f, "default", 100);
    uint64_t flush = start(f, JOB_FLUSH, "default");
    assert_int_equal(wait_for_end(f, flush), JOB_DONE);
    assert_int_equal(show(&f->databases, "default").info.stats.memtable_entries, 0);
    uint64_t compact = start(f, JOB_COMPACT, "default");
    assert_int_equal(wait_for_end(f, compact), JOB_DONE);
    struct seen seen = look(f, compact);
    assert_int_equal(seen.last.kind, JOB_COMPACT);
    assert_string_equal(seen.last.database, "default");
    assert_string_equal(seen.last.user, "ada");
    assert_true(seen.last.created_at_ms > 0 && seen.last.started_at_ms >= seen.last.created_at_ms &&
                seen.last.ended_at_ms >= seen.last.started_at_ms);
    assert_int_equal(look(f, 0).count, 2);
    assert_int_equal(look(f, 0).last.id, flush); /* the oldest comes last */
}

static void a_job_of_a_database_that_is_not_there_fails_and_says_why(void **state) {
    struct jobs_fixture *f = *state;
    uint64_t id = start(f, JOB_COMPACT, "nowhere");
    assert_int_equal(wait_for_end(f, id), JOB_FAILED);
    assert_true(*look(f, id).message);
}

static void what_is_asked_for_twice_is_one_job_while_it_waits(void **state) {
    struct jobs_fixture *f = *state;
    fill(f, "default", 200000);
    uint64_t first = start(f, JOB_COMPACT, "default"), waiting = start(f, JOB_FLUSH, "default");
    assert_int_equal(start(f, JOB_FLUSH, "default"), waiting); /* the compaction flushes first: it waits still */
    assert_int_not_equal(first, waiting);
    assert_int_equal(wait_for_end(f, waiting), JOB_DONE);
    assert_int_not_equal(start(f, JOB_FLUSH, "default"), waiting);
}

static void read_log(const char *path, char *text, size_t room) {
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, room - 1, file)] = 0;
    assert_int_equal(fclose(file), 0);
}

static void why_one_failed_is_said_without_naming_files_which_are_in_the_log(void **state) {
    struct jobs_fixture *f = *state;
    char path[128], log[8192];
    OK(create(&f->databases, "bad"));
    close_all(f);
    fixture_damage(&f->databases, "bad");
    (void)snprintf(path, sizeof path, "%s/log", f->databases.base);
    f->databases.log = logger_open(path, LOGGER_LEVEL_INFO, LOGGER_FORMAT_LOGFMT);
    assert_non_null(f->databases.log);
    assert_true(open_all(f));
    uint64_t id = start(f, JOB_FLUSH, "bad");
    assert_int_equal(wait_for_end(f, id), JOB_FAILED);
    assert_string_equal(look(f, id).message, "a file of the database is damaged; the log names it");
    read_log(path, log, sizeof log);
    const char *line = strstr(log, "event=job_failed");
    assert_non_null(line);
    assert_non_null(strstr(line, "kind=flush database=bad status=CORRUPT"));
    assert_non_null(strstr(line, "CURRENT"));
    close_all(f);
    logger_close(f->databases.log);
    f->databases.log = NULL;
    assert_true(open_all(f));
}

/* A compaction that runs: also while another one was asked for, which is *again. */
static uint64_t asked_while_it_runs(struct jobs_fixture *f, uint64_t *again) {
    for (;;) {
        fill(f, "default", 200000);
        uint64_t running = start(f, JOB_COMPACT, "default");
        while (look(f, running).last.state == JOB_QUEUED) env_sleep_us(100);
        *again = start(f, JOB_COMPACT, "default");
        if (look(f, running).last.state == JOB_RUNNING) return running;
        (void)wait_for_end(f, *again); /* it was too fast to be seen running */
    }
}

static void what_is_asked_for_while_it_runs_is_one_more_job_and_no_further_ones(void **state) {
    struct jobs_fixture *f = *state;
    uint64_t again, running = asked_while_it_runs(f, &again);
    assert_int_not_equal(again, running); /* what was written since the first began is the other's */
    uint64_t third = start(f, JOB_COMPACT, "default");
    if (look(f, running).last.state == JOB_RUNNING) assert_int_equal(third, again);
    assert_int_equal(wait_for_end(f, running), JOB_DONE);
    assert_int_equal(wait_for_end(f, again), JOB_DONE);
}

static void one_that_is_cancelled_ends_and_the_database_is_as_it_was(void **state) {
    struct jobs_fixture *f = *state;
    fill(f, "default", 400000);
    uint64_t running = start(f, JOB_COMPACT, "default"), waiting = start(f, JOB_FLUSH, "default");
    OK(jobs_cancel(f->jobs, waiting));
    assert_int_equal(look(f, waiting).last.state, JOB_CANCELLED);
    OK(jobs_cancel(f->jobs, running));
    enum job_state end = wait_for_end(f, running);
    assert_true(end == JOB_CANCELLED || end == JOB_DONE); /* it may have been just done */
    assert_int_equal(jobs_cancel(f->jobs, running), VELOCITY_CONFLICT);
    assert_int_equal(jobs_cancel(f->jobs, 12345), VELOCITY_NOT_FOUND);
    struct database *database;
    velocity_value value = {0};
    OK(acquire(&f->databases, "default", &database));
    struct store *store = database_store(database);
    OK(store->operations->get(store, LITERAL("key-00399999"), false, &value));
    store->operations->release(store, &value);
    database_release(database);
    assert_int_equal(wait_for_end(f, start(f, JOB_COMPACT, "default")), JOB_DONE);
}

static void a_database_that_goes_takes_its_jobs_along(void **state) {
    struct jobs_fixture *f = *state;
    OK(create(&f->databases, "other"));
    fill(f, "default", 100000);
    fill(f, "other", 100000);
    uint64_t stays = start(f, JOB_COMPACT, "default"), goes = start(f, JOB_COMPACT, "other");
    OK(databases_drop(f->databases.all, velocity_str("other"), PATIENCE_MS));
    assert_int_equal(wait_for_end(f, goes), JOB_CANCELLED);
    assert_int_equal(wait_for_end(f, stays), JOB_DONE);
}

static void only_so_many_wait_and_only_so_many_are_remembered(void **state) {
    struct jobs_fixture *f = *state;
    char name[32];
    uint64_t id = 0;
    for (uint32_t i = 0; i < JOBS_KEPT + 20; i++) {
        (void)snprintf(name, sizeof name, "not-there-%u", i);
        while (jobs_start(f->jobs, JOB_FLUSH, name, "", &id) == VELOCITY_BUSY) env_sleep_us(1000);
    }
    assert_int_equal(wait_for_end(f, id), JOB_FAILED);
    (void)start(f, JOB_FLUSH, "default");
    assert_in_range(look(f, 0).count, JOBS_KEPT, JOBS_KEPT + 1);
    fill(f, "default", 400000);
    uint64_t running = start(f, JOB_COMPACT, "default");
    while (look(f, running).last.state == JOB_QUEUED) env_sleep_us(100);
    velocity_status status = VELOCITY_OK;
    uint32_t taken = 0;
    for (; status == VELOCITY_OK && taken <= JOBS_WAITING_MAX + 1; taken++) {
        (void)snprintf(name, sizeof name, "waits-%u", taken);
        status = jobs_start(f->jobs, JOB_FLUSH, name, "", &id);
    }
    if (look(f, running).last.state == JOB_RUNNING) assert_int_equal(status, VELOCITY_BUSY);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        JOBS_TEST(a_flush_and_a_compaction_are_done_and_remembered),
        JOBS_TEST(a_job_of_a_database_that_is_not_there_fails_and_says_why),
        JOBS_TEST(why_one_failed_is_said_without_naming_files_which_are_in_the_log),
        JOBS_TEST(what_is_asked_for_twice_is_one_job_while_it_waits),
        JOBS_TEST(what_is_asked_for_while_it_runs_is_one_more_job_and_no_further_ones),
        JOBS_TEST(one_that_is_cancelled_ends_and_the_database_is_as_it_was),
        JOBS_TEST(a_database_that_goes_takes_its_jobs_along),
        JOBS_TEST(only_so_many_wait_and_only_so_many_are_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
