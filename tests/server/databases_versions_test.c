/*
 * databases_versions_test.c - versions never repeat for a name: over drops, damage, every state that a crash between
 * two steps of making or dropping can leave on disk, and processes that are killed anywhere (env_thread_start).
 */
#include "tests/server/databases_fixture.h"

#include <signal.h>
#include <sys/wait.h>

static struct database_record record_of(struct fixture *f, const char *name) {
    struct database_record record;
    OK(database_record_read(f->system, name, &record));
    return record;
}

static void they_go_on_where_the_dropped_one_ended(void **state) {
    struct fixture *f = *state;
    uint64_t version = 0;
    for (int round = 0; round < 5; round++) {
        OK(create(f, "a"));
        for (int i = 0; i < 10; i++) assert_int_equal(version_of_put(f, "a"), ++version);
        if (round % 2) fixture_reopen(f);
        OK(databases_drop(f->all, velocity_str("a"), 0));
        version++; /* the drop's own */
        if (round % 3 == 0) fixture_reopen(f);
    }
}

static void a_dropped_name_leaves_its_floor_and_nothing_else(void **state) {
    struct fixture *f = *state;
    velocity_value value;
    OK(databases_create(f->all, velocity_str("a"), 64 << 20));
    (void)version_of_put(f, "a");
    OK(databases_drop(f->all, velocity_str("a"), 0));
    OK(velocity_get(f->system, LITERAL("database/a"), &value));
    assert_slice(velocity_bytes(value.data, value.size), LITERAL("{\"version_floor\":\"3\"}"));
    velocity_value_release(&value);
    OK(create(f, "a"));
    assert_int_equal(show(f, "a").info.max_disk_bytes, 0);
}

static void the_floor_is_kept_far_ahead_and_rarely_written(void **state) {
    struct fixture *f = *state;
    OK(create(f, "a"));
    for (int i = 0; i < 10; i++) (void)version_of_put(f, "a");
    uint64_t floor = record_of(f, "a").version_floor;
    assert_true(floor > 10 + DATABASES_LEASE / 2);
    fixture_reopen(f);
    assert_int_equal(record_of(f, "a").version_floor, floor);
    velocity_stats stats = {.struct_size = sizeof stats};
    OK(velocity_stats_get(f->system, &stats));
    assert_int_equal(stats.writes, 0);
    struct database_record low = {.max_disk_bytes = UINT64_MAX, .version_floor = 11}; /* as a drop that was cut off */
    OK(database_record_write(f->system, "a", &low));
    fixture_reopen(f);
    assert_true(record_of(f, "a").version_floor >= 10 + DATABASES_LEASE);
}

/* The system database takes nothing any more, as on a full disk: dropping is what helps then. */
static void a_full_disk_keeps_nobody_from_dropping(void **state) {
    struct fixture *f = *state;
    static char value[1 << 20];
    OK(create(f, "a"));
    uint64_t last = version_of_put(f, "a");
    for (int i = 0; i < 40; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "%d", i);
        OK(velocity_put(f->system, velocity_str(key), velocity_bytes(value, sizeof value)));
    }
    OK(velocity_flush(f->system));
    OK(velocity_set_max_database_bytes(f->system, 32 << 20));
    assert_int_equal(create(f, "b"), VELOCITY_NO_SPACE);
    assert_false(path_exists(f, ".new-b"));
    OK(databases_drop(f->all, velocity_str("a"), 0));
    assert_false(path_exists(f, "a"));
    OK(velocity_set_max_database_bytes(f->system, 0));
    OK(create(f, "a"));
    assert_true(version_of_put(f, "a") > last);
}

static void nonsense_in_a_record_costs_the_limit_not_the_versions(void **state) {
    static const char *const nonsense[] = {
        "",
        "{",
        "[]",
        "{\"version_floor\":1}",
        "{\"version_floor\":\"-1\"}",
        "{\"version_floor\":\"1\"} x",
        "{\"version_floor\":\"1\",\"other\":1}",
        "{\"max_disk_bytes\":1.5}",
        "{\"max_disk_bytes\":-1}",
        "{\"created_at_ms\":\"1\"}",
        "{\"max_disk_bytes\":1e300}",
    };
    struct fixture *f = *state;
    OK(databases_create(f->all, velocity_str("a"), 64 << 20));
    for (size_t i = 0; i < COUNT(nonsense); i++) {
        struct database_record record;
        OK(velocity_put(f->system, LITERAL("database/a"), velocity_str(nonsense[i])));
        OK(velocity_put(f->system, LITERAL("database/gone"), velocity_str(nonsense[i])));
        assert_int_equal(database_record_read(f->system, "a", &record), VELOCITY_CORRUPT);
        assert_int_equal(create(f, "gone"), VELOCITY_CORRUPT); /* its floor is not known */
        fixture_reopen(f);
        assert_int_equal(version_of_put(f, "a"), i + 1);
        assert_true(show(f, "a").info.limit_is_default);
        assert_true(record_of(f, "a").version_floor >= DATABASES_LEASE);
    }
}

static velocity_status checkpoint(struct fixture *f, const char *name, const char *path) {
    struct database *database;
    velocity_status status = acquire(f, name, &database);
    if (!status) status = velocity_checkpoint(database->db, path);
    database_release(database);
    return status;
}

static void an_older_state_that_is_restored_goes_on_above_all_that_was_handed_out(void **state) {
    struct fixture *f = *state;
    char copy[128];
    struct database *database;
    (void)snprintf(copy, sizeof copy, "%s/copy", f->base);
    OK(create(f, "a"));
    (void)version_of_put(f, "a");
    OK(checkpoint(f, "a", copy));
    uint64_t last = 0;
    for (int i = 0; i < 10; i++) last = version_of_put(f, "a");
    assert_int_equal(databases_adopt(f->all, velocity_str("a"), UINT64_MAX, copy), VELOCITY_CONFLICT);
    OK(databases_drop(f->all, velocity_str("a"), 0));
    OK(databases_adopt(f->all, velocity_str("a"), 64 << 20, copy));
    OK(acquire(f, "a", &database));
    velocity_value value;
    OK(velocity_get(database->db, LITERAL("key"), &value));
    assert_int_equal(value.sequence, 1); /* as it was */
    velocity_value_release(&value);
    database_release(database);
    assert_int_equal(show(f, "a").info.max_disk_bytes, 64 << 20);
    assert_int_equal(version_of_put(f, "a"), last + 2); /* behind the drop's own */
    OK(checkpoint(f, "a", copy));                       /* it was moved: the place is free */
    OK(databases_adopt(f->all, velocity_str("b"), UINT64_MAX, copy));
    assert_true(version_of_put(f, "b") > last + 1);
    assert_int_not_equal(databases_adopt(f->all, velocity_str("c"), UINT64_MAX, copy), VELOCITY_OK); /* nothing there */
    assert_int_equal(databases_count(f->all), 3);
}

/* ---- every state between two steps ------------------------------------------------------------------------------ */

enum cut {
    NOTHING_CUT,
    MADE_ASIDE,         /* create: ".new-a" is being made */
    RECORDED,           /* create: it is whole, and the record is written */
    INSTALLED,          /* create: it stands under its name; nobody was let in */
    FLOOR_LOWERED,      /* drop: the record says the exact floor */
    PUT_ASIDE,          /* drop: the folder is renamed */
    FORGOTTEN,          /* drop: the record is short */
    FORGOTTEN_AND_HALF, /* drop: and the folder half removed */
    CUTS
};

static void rename_in(const struct fixture *f, const char *from, const char *to) {
    char from_path[256], to_path[256];
    (void)snprintf(from_path, sizeof from_path, "%s/%s", f->folder, from);
    (void)snprintf(to_path, sizeof to_path, "%s/%s", f->folder, to);
    assert_int_equal(rename(from_path, to_path), 0);
}

static void make_by_hand(const struct fixture *f, const char *name, uint64_t floor) {
    char path[256];
    velocity *db;
    velocity_options options = small_options();
    options.first_sequence = floor;
    (void)snprintf(path, sizeof path, "%s/%s", f->folder, name);
    OK(velocity_open(path, &options, &db));
    OK(velocity_close(db));
}

/* Closed, with `last` handed out: what the disk holds when the process ends there. */
static void leave(struct fixture *f, enum cut cut, uint64_t last) {
    struct database_record record = {.max_disk_bytes = UINT64_MAX, .created_at_ms = 1, .version_floor = last + 1};
    char path[256];
    bool making = cut == MADE_ASIDE || cut == RECORDED || cut == INSTALLED;
    if (making) OK(databases_drop(f->all, velocity_str("a"), 0));
    OK(databases_close(f->all));
    if (making) make_by_hand(f, ".new-a", last + 1);
    if (cut == MADE_ASIDE) {
        (void)snprintf(path, sizeof path, "%s/.new-a/CURRENT", f->folder);
        assert_int_equal(unlink(path), 0);
    }
    if (cut >= RECORDED) OK(database_record_write(f->system, "a", &record));
    if (cut == INSTALLED) rename_in(f, ".new-a", "a");
    if (cut >= PUT_ASIDE) rename_in(f, "a", ".dropped-a-0");
    if (cut >= FORGOTTEN) OK(database_record_forget(f->system, "a", last + 1));
    if (cut == FORGOTTEN_AND_HALF) {
        (void)snprintf(path, sizeof path, "%s/.dropped-a-0/CURRENT", f->folder);
        assert_int_equal(unlink(path), 0);
    }
    OK(velocity_close(f->system));
}

static void whatever_step_is_the_last_the_next_version_is_new(void **state) {
    struct fixture *f = *state;
    uint64_t last = 0;
    for (int round = 0; round < 2 * CUTS; round++) {
        enum cut cut = (enum cut)(round % CUTS);
        velocity_status status = create(f, "a");
        assert_true(status == VELOCITY_OK || status == VELOCITY_CONFLICT);
        for (int i = 0; i < 3; i++) {
            uint64_t version = version_of_put(f, "a");
            assert_true(version > last);
            last = version;
        }
        leave(f, cut, last);
        OK(fixture_try_open(f));
        assert_false(path_exists(f, ".new-a"));
        assert_false(path_exists(f, ".dropped-a-0"));
        struct database *database;
        bool there = cut == NOTHING_CUT || cut == INSTALLED || cut == FLOOR_LOWERED;
        assert_int_equal(acquire(f, "a", &database), there ? VELOCITY_OK : VELOCITY_NOT_FOUND);
        database_release(database);
        if (there) assert_true(record_of(f, "a").version_floor > last + DATABASES_LEASE / 2);
    }
    assert_true(last < 1000); /* and no step wastes them */
}

/* The same, and then the folder can't be read: what nobody can say is answered by the lease. */
static void damage_after_a_cut_does_not_make_them_repeat(void **state) {
    struct fixture *f = *state;
    uint64_t last = 0;
    static const enum cut cuts[] = {NOTHING_CUT, INSTALLED, FLOOR_LOWERED};
    for (size_t i = 0; i < COUNT(cuts); i++) {
        velocity_status status = create(f, "a");
        assert_true(status == VELOCITY_OK || status == VELOCITY_CONFLICT);
        uint64_t version = version_of_put(f, "a");
        assert_true(version > last);
        last = version;
        leave(f, cuts[i], last);
        char path[256];
        (void)snprintf(path, sizeof path, "%s/a/CURRENT", f->folder);
        assert_int_equal(truncate(path, 1), 0);
        OK(fixture_try_open(f));
        OK(databases_drop(f->all, velocity_str("a"), 0));
    }
    OK(create(f, "a"));
    assert_true(version_of_put(f, "a") > last);
}

/* ---- killed anywhere -------------------------------------------------------------------------------------------- */

enum { LIVES = 24, LONGEST_LIFE_US = 40000 };

/* Makes, writes, drops, and tells of each version once it was handed out; until it is killed. */
static void live(struct fixture *f, int told) {
    if (fixture_try_open(f)) _exit(1);
    for (;;) {
        velocity_status status = create(f, "a");
        if (status != VELOCITY_OK && status != VELOCITY_CONFLICT) _exit(2);
        for (int i = 0; i < 3; i++) {
            uint64_t version;
            if (put(f, "a", &version) || write(told, &version, sizeof version) != sizeof version) _exit(3);
        }
        if (databases_drop(f->all, velocity_str("a"), 0)) _exit(4);
    }
}

static void a_process_that_is_killed_anywhere_hands_out_none_twice(void **state) {
    (void)state;
    struct fixture f = {0};
    fixture_paths(&f);
    uint64_t last = 0, version, told_of = 0;
    for (int i = 0; i < LIVES; i++) {
        int pipe_ends[2], ended;
        assert_int_equal(pipe(pipe_ends), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) live(&f, pipe_ends[1]);
        assert_int_equal(close(pipe_ends[1]), 0);
        /* Every fourth may be killed while it opens; the others have begun to live. */
        for (int begun = 0; begun < i % 4; begun++, told_of++) {
            assert_int_equal(read(pipe_ends[0], &version, sizeof version), sizeof version);
            assert_true(version > last);
            last = version;
        }
        env_sleep_us((uint64_t)(i * 7919) % LONGEST_LIFE_US);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &ended, 0), child);
        assert_true(WIFSIGNALED(ended)); /* not by itself */
        while (read(pipe_ends[0], &version, sizeof version) == sizeof version) {
            assert_true(version > last);
            last = version;
            told_of++;
        }
        assert_int_equal(close(pipe_ends[0]), 0);
    }
    assert_true(told_of > LIVES);
    fixture_remove(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_that_is_killed_anywhere_hands_out_none_twice), /* first: no threads yet */
        TEST(they_go_on_where_the_dropped_one_ended),
        TEST(a_dropped_name_leaves_its_floor_and_nothing_else),
        TEST(the_floor_is_kept_far_ahead_and_rarely_written),
        TEST(an_older_state_that_is_restored_goes_on_above_all_that_was_handed_out),
        TEST(a_full_disk_keeps_nobody_from_dropping),
        TEST(nonsense_in_a_record_costs_the_limit_not_the_versions),
        TEST(whatever_step_is_the_last_the_next_version_is_new),
        TEST(damage_after_a_cut_does_not_make_them_repeat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
