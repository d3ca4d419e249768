/* databases_test.c - databases by name: made, entered, limited, listed, dropped, also when one is damaged. */
#include "tests/server/databases_fixture.h"

enum { MIB = 1 << 20 };

static void names_are_short_and_plain(void **state) {
    (void)state;
    static const char *const good[] = {
        "a", "0", "default", "a-b_c", "9-_", "a23456789012345678901234567890123456789012345678901234567890123"};
    static const char *const bad[] = {
        "",    "-a", "_a", "A",   "a.b",
        "a/b", "..", "ä",  "a b", "a234567890123456789012345678901234567890123456789012345678901234"};
    for (size_t i = 0; i < COUNT(good); i++) assert_true(database_name_is_good(velocity_str(good[i])));
    for (size_t i = 0; i < COUNT(bad); i++) assert_false(database_name_is_good(velocity_str(bad[i])));
    assert_false(database_name_is_good(LITERAL("a\0")));
}

static void default_is_always_there_and_can_not_be_dropped(void **state) {
    struct fixture *f = *state;
    assert_int_equal(version_of_put(f, "default"), 1);
    assert_int_equal(databases_drop(f->all, velocity_str("default"), 0), VELOCITY_INVALID);
    assert_int_equal(create(f, "default"), VELOCITY_CONFLICT);
    assert_int_equal(databases_count(f->all), 1);
    fixture_reopen(f);
    assert_int_equal(version_of_put(f, "default"), 2);
}

static void a_database_lasts_with_what_it_was_set_to(void **state) {
    struct fixture *f = *state;
    OK(databases_create(f->all, velocity_str("mine"), 64 * MIB));
    assert_int_equal(version_of_put(f, "mine"), 1);
    struct shown before = show(f, "mine");
    assert_int_equal(before.info.max_disk_bytes, 64 * MIB);
    assert_true(before.info.created_at_ms > 0);
    fixture_reopen(f);
    struct shown after = show(f, "mine");
    assert_string_equal(after.name, "mine");
    OK(after.info.status);
    assert_int_equal(after.info.created_at_ms, before.info.created_at_ms);
    assert_int_equal(after.info.max_disk_bytes, 64 * MIB);
    assert_false(after.info.limit_is_default);
    assert_int_equal(after.info.stats.last_sequence, 1);
}

static void what_can_not_be_made_is_refused(void **state) {
    struct fixture *f = *state;
    assert_int_equal(create(f, "No"), VELOCITY_INVALID);
    assert_int_equal(databases_create(f->all, velocity_str("low"), 32 * MIB - 1), VELOCITY_INVALID);
    assert_int_equal(databases_create(f->all, velocity_str("high"), (UINT64_C(1) << 53) + 1), VELOCITY_INVALID);
    OK(create(f, "a"));
    assert_int_equal(create(f, "a"), VELOCITY_CONFLICT);
    OK(create(f, "b"));
    OK(create(f, "c"));
    OK(create(f, "d"));
    assert_int_equal(create(f, "e"), VELOCITY_BUSY); /* max_databases */
    assert_int_equal(databases_count(f->all), 5);
    OK(databases_drop(f->all, velocity_str("b"), 0));
    OK(create(f, "e"));
    struct database *database;
    assert_int_equal(acquire(f, "b", &database), VELOCITY_NOT_FOUND);
    assert_int_equal(acquire(f, "never", &database), VELOCITY_NOT_FOUND);
    assert_int_equal(acquire(f, "", &database), VELOCITY_NOT_FOUND);
    assert_null(database);
}

static void more_than_are_allowed_are_opened_where_they_are_found(void **state) {
    struct fixture *f = *state;
    OK(create(f, "a"));
    OK(create(f, "b"));
    OK(databases_close(f->all));
    struct databases_options options = options_of(f);
    options.max_databases = 1;
    OK(databases_open(&options, &f->all));
    assert_int_equal(version_of_put(f, "a"), 1);
    assert_int_equal(version_of_put(f, "b"), 1);
    assert_int_equal(create(f, "c"), VELOCITY_BUSY);
}

static bool take_name(void *arg, const struct database_info *info) {
    char *names = arg;
    strcat(names, info->name);
    strcat(names, " ");
    return strcmp(info->name, "stop") != 0;
}

static void they_are_listed_by_name_until_the_caller_has_enough(void **state) {
    struct fixture *f = *state;
    char names[512] = "";
    OK(create(f, "z"));
    OK(create(f, "stop"));
    OK(create(f, "a"));
    OK(databases_list(f->all, velocity_str(""), take_name, names));
    assert_string_equal(names, "a default stop ");
    names[0] = 0;
    OK(databases_list(f->all, velocity_str("z"), take_name, names));
    assert_string_equal(names, "z ");
    assert_int_equal(databases_list(f->all, velocity_str("y"), take_name, names), VELOCITY_NOT_FOUND);
    OK(databases_drop(f->all, velocity_str("z"), 0));
    assert_int_equal(databases_list(f->all, velocity_str("z"), take_name, names), VELOCITY_NOT_FOUND);
}

/* ---- dropping --------------------------------------------------------------------------------------------------- */

static void what_is_in_use_is_not_dropped_and_goes_on(void **state) {
    struct fixture *f = *state;
    struct database *inside;
    OK(create(f, "a"));
    OK(acquire(f, "a", &inside));
    assert_int_equal(databases_drop(f->all, velocity_str("a"), 5), VELOCITY_BUSY);
    assert_int_equal(version_of_put(f, "a"), 1);
    velocity_value value = {0};
    struct store *store = database_store(inside);
    OK(store->operations->get(store, LITERAL("key"), false, &value));
    store->operations->release(store, &value);
    database_release(inside);
    OK(databases_drop(f->all, velocity_str("a"), 5));
    assert_false(path_exists(f, "a"));
    assert_false(path_exists(f, ".dropped-a-0"));
}

struct resident {
    struct databases_listener listener;
    struct database *inside;
    unsigned told;
};

static void leave(struct databases_listener *listener, struct database *database) {
    struct resident *resident = (struct resident *)listener;
    resident->told++;
    if (resident->inside != database) return;
    assert_true(database_is_closing(database));
    database_release(resident->inside);
    resident->inside = NULL;
}

static void who_stays_for_long_is_told_to_leave(void **state) {
    struct fixture *f = *state;
    struct resident residents[2] = {{.listener.leave = leave}, {.listener.leave = leave}};
    OK(create(f, "a"));
    OK(create(f, "b"));
    for (int i = 0; i < 2; i++) {
        databases_listen(f->all, &residents[i].listener);
        OK(acquire(f, "a", &residents[i].inside));
    }
    assert_false(database_is_closing(residents[0].inside));
    OK(databases_drop(f->all, velocity_str("a"), 0));
    databases_unlisten(f->all, &residents[0].listener);
    databases_unlisten(f->all, &residents[0].listener);
    OK(databases_drop(f->all, velocity_str("b"), 0));
    databases_unlisten(f->all, &residents[1].listener);
    assert_int_equal(residents[0].told, 1);
    assert_int_equal(residents[1].told, 2);
}

struct guest {
    struct fixture *f;
    struct database *inside;
};

static void *leave_later(void *arg) {
    struct guest *guest = arg;
    struct database *database;
    while (acquire(guest->f, "a", &database) == VELOCITY_OK) database_release(database); /* until the drop begins */
    database_release(guest->inside);
    return NULL;
}

static void a_drop_waits_for_the_last_one_to_leave_and_lets_nobody_in(void **state) {
    struct fixture *f = *state;
    struct guest guest = {.f = f};
    env_thread thread;
    OK(create(f, "a"));
    OK(acquire(f, "a", &guest.inside));
    OK(env_thread_start(&thread, "guest", leave_later, &guest));
    OK(databases_drop(f->all, velocity_str("a"), 60000));
    env_thread_join(thread);
}

static void a_value_that_outlives_its_guest_keeps_the_database(void **state) {
    struct fixture *f = *state;
    struct database *database;
    static char large[10000];
    velocity_value value = {0};
    OK(create(f, "a"));
    OK(acquire(f, "a", &database));
    velocity *db = database->db;
    OK(velocity_put(db, LITERAL("k"), velocity_bytes(large, sizeof large)));
    OK(velocity_get(db, LITERAL("k"), &value));
    database_release(database); /* too early: the engine itself refuses to close */
    assert_int_equal(databases_drop(f->all, velocity_str("a"), 0), VELOCITY_BUSY);
    assert_int_equal(value.size, sizeof large);
    velocity_value_release(&value);
    assert_int_equal(version_of_put(f, "a"), 2);
    OK(databases_drop(f->all, velocity_str("a"), 0));
}

/* ---- limits and durability -------------------------------------------------------------------------------------- */

static velocity_status fill(struct fixture *f, const char *name, size_t bytes) {
    static char value[100000];
    struct database *database;
    velocity_status status = acquire(f, name, &database);
    for (size_t at = 0; at < bytes && !status; at += sizeof value) {
        char key[32];
        (void)snprintf(key, sizeof key, "%zu", at);
        status = velocity_put(database->db, velocity_str(key), velocity_bytes(value, sizeof value));
    }
    database_release(database);
    return status;
}

static void a_limit_holds_at_once_and_lasts(void **state) {
    struct fixture *f = *state;
    OK(create(f, "a"));
    assert_int_equal(show(f, "a").info.max_disk_bytes, 0);
    OK(databases_set_limit(f->all, velocity_str("a"), 32 * MIB));
    assert_int_equal(fill(f, "a", 48 * MIB), VELOCITY_NO_SPACE);
    fixture_reopen(f);
    assert_int_equal(show(f, "a").info.max_disk_bytes, 32 * MIB);
    OK(databases_set_limit(f->all, velocity_str("a"), 0));
    assert_int_equal(version_of_put(f, "a") > 0, true);
    assert_int_equal(databases_set_limit(f->all, velocity_str("a"), 1), VELOCITY_INVALID);
    assert_int_equal(databases_set_limit(f->all, velocity_str("b"), 0), VELOCITY_NOT_FOUND);
}

static void the_default_limit_is_of_those_that_have_none_of_their_own(void **state) {
    struct fixture *f = *state;
    OK(create(f, "a"));
    OK(databases_create(f->all, velocity_str("own"), 40 * MIB));
    OK(databases_set_default_limit(f->all, 33 * MIB));
    assert_int_equal(show(f, "a").info.max_disk_bytes, 33 * MIB);
    assert_true(show(f, "a").info.limit_is_default);
    assert_int_equal(show(f, "own").info.max_disk_bytes, 40 * MIB);
    OK(create(f, "later"));
    assert_int_equal(show(f, "later").info.max_disk_bytes, 33 * MIB);
    assert_int_equal(fill(f, "later", 48 * MIB), VELOCITY_NO_SPACE);
    OK(databases_set_limit(f->all, velocity_str("own"), UINT64_MAX));
    assert_int_equal(show(f, "own").info.max_disk_bytes, 33 * MIB);
    assert_int_equal(databases_set_default_limit(f->all, 1), VELOCITY_INVALID);
    assert_int_equal(databases_set_default_limit(f->all, UINT64_MAX), VELOCITY_INVALID);
}

static void durability_is_set_for_all_and_for_those_to_come(void **state) {
    struct fixture *f = *state;
    OK(create(f, "a"));
    uint64_t syncs = show(f, "a").info.stats.syncs;
    (void)version_of_put(f, "a");
    assert_int_equal(show(f, "a").info.stats.syncs, syncs);
    databases_set_durability(f->all, VELOCITY_DURABILITY_ALWAYS, 100);
    OK(create(f, "b"));
    static const char *const names[] = {"a", "b", "default"};
    for (size_t i = 0; i < COUNT(names); i++) {
        syncs = show(f, names[i]).info.stats.syncs;
        (void)version_of_put(f, names[i]);
        assert_int_equal(show(f, names[i]).info.stats.syncs, syncs + 1);
    }
}

/* ---- damage ----------------------------------------------------------------------------------------------------- */

static void a_damaged_database_is_shown_and_the_others_serve(void **state) {
    struct fixture *f = *state;
    struct database *database;
    OK(create(f, "good"));
    OK(create(f, "bad"));
    uint64_t version = 0;
    for (int i = 0; i < 10; i++) version = version_of_put(f, "bad");
    fixture_close(f);
    fixture_damage(f, "bad");
    OK(fixture_try_open(f));
    assert_int_equal(version_of_put(f, "good"), 1);
    assert_int_equal(acquire(f, "bad", &database), VELOCITY_CORRUPT);
    assert_non_null(strstr(velocity_error_message(), "CURRENT"));
    struct shown shown = show(f, "bad");
    assert_int_equal(shown.info.status, VELOCITY_CORRUPT);
    assert_non_null(strstr(shown.message, "CURRENT"));
    assert_int_equal(databases_count(f->all), 3);
    assert_int_equal(create(f, "bad"), VELOCITY_CONFLICT);
    OK(databases_set_limit(f->all, velocity_str("bad"), 64 * MIB));
    OK(databases_drop(f->all, velocity_str("bad"), 0));
    assert_int_equal(acquire(f, "bad", &database), VELOCITY_NOT_FOUND);
    OK(create(f, "bad"));
    assert_true(version_of_put(f, "bad") > version);
}

static void without_default_nothing_opens(void **state) {
    struct fixture *f = *state;
    fixture_close(f);
    fixture_damage(f, "default");
    assert_int_equal(fixture_try_open(f), VELOCITY_CORRUPT);
    assert_non_null(strstr(velocity_error_message(), "CURRENT"));
    assert_null(f->all);
    char path[256];
    (void)snprintf(path, sizeof path, "%s/default", f->folder);
    OK(databases_remove_tree(path));
    OK(velocity_close(f->system));
    OK(fixture_try_open(f));
}

static void a_folder_without_a_database_is_shown_as_damaged_and_can_be_dropped(void **state) {
    struct fixture *f = *state;
    char path[256];
    fixture_close(f);
    (void)snprintf(path, sizeof path, "%s/empty", f->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    OK(fixture_try_open(f));
    assert_int_equal(show(f, "empty").info.status, VELOCITY_CORRUPT);
    OK(databases_drop(f->all, velocity_str("empty"), 0));
    assert_false(path_exists(f, "empty"));
    OK(create(f, "empty"));
    assert_true(version_of_put(f, "empty") > UINT64_C(1) << 49); /* nobody knows what was there before */
}

/* A folder that somebody made by hand is not ours to remove. */
static void a_folder_that_stands_in_the_way_is_left_alone(void **state) {
    struct fixture *f = *state;
    char path[256];
    (void)snprintf(path, sizeof path, "%s/mine", f->folder);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof path, "%s/mine/diary", f->folder);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(create(f, "mine"), VELOCITY_IO);
    assert_true(path_exists(f, "mine/diary"));
    assert_false(path_exists(f, ".new-mine"));
    assert_int_equal(databases_count(f->all), 1);
}

/* ---- many threads ----------------------------------------------------------------------------------------------- */

enum { GUESTS = 3, DROPS = 12 };

struct crowd {
    struct fixture *f;
    _Atomic uint64_t highest; /* version that was seen */
    _Atomic uint64_t puts, repeated, surprises;
    _Atomic bool stop;
};

static void *come_and_go(void *arg) {
    struct crowd *crowd = arg;
    uint64_t mine = 0;
    while (!atomic_load(&crowd->stop)) {
        uint64_t before = atomic_load(&crowd->highest), version = 0;
        velocity_status status = put(crowd->f, "busy", &version);
        if (status == VELOCITY_OK) {
            atomic_fetch_add(&crowd->puts, 1);
            if (version <= mine || version <= before) atomic_fetch_add(&crowd->repeated, 1);
            mine = version;
            while (before < version && !atomic_compare_exchange_weak(&crowd->highest, &before, version)) {
            }
        } else if (status != VELOCITY_NOT_FOUND && status != VELOCITY_BUSY) {
            atomic_fetch_add(&crowd->surprises, 1);
        }
    }
    return NULL;
}

static void guests_come_and_go_while_it_is_dropped_and_made_again(void **state) {
    struct crowd crowd = {.f = *state};
    env_thread threads[GUESTS];
    for (int i = 0; i < GUESTS; i++) OK(env_thread_start(&threads[i], "guest", come_and_go, &crowd));
    for (int i = 0; i < DROPS; i++) {
        uint64_t puts = atomic_load(&crowd.puts);
        OK(create(crowd.f, "busy"));
        while (atomic_load(&crowd.puts) < puts + 20) env_thread_yield();
        OK(databases_drop(crowd.f->all, velocity_str("busy"), 60000));
    }
    atomic_store(&crowd.stop, true);
    for (int i = 0; i < GUESTS; i++) env_thread_join(threads[i]);
    assert_int_equal(atomic_load(&crowd.repeated), 0);
    assert_int_equal(atomic_load(&crowd.surprises), 0);
    assert_true(atomic_load(&crowd.highest) >= DROPS * 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_short_and_plain),
        TEST(default_is_always_there_and_can_not_be_dropped),
        TEST(a_database_lasts_with_what_it_was_set_to),
        TEST(what_can_not_be_made_is_refused),
        TEST(more_than_are_allowed_are_opened_where_they_are_found),
        TEST(they_are_listed_by_name_until_the_caller_has_enough),
        TEST(what_is_in_use_is_not_dropped_and_goes_on),
        TEST(who_stays_for_long_is_told_to_leave),
        TEST(a_drop_waits_for_the_last_one_to_leave_and_lets_nobody_in),
        TEST(a_value_that_outlives_its_guest_keeps_the_database),
        TEST(a_limit_holds_at_once_and_lasts),
        TEST(the_default_limit_is_of_those_that_have_none_of_their_own),
        TEST(durability_is_set_for_all_and_for_those_to_come),
        TEST(a_damaged_database_is_shown_and_the_others_serve),
        TEST(without_default_nothing_opens),
        TEST(a_folder_without_a_database_is_shown_as_damaged_and_can_be_dropped),
        TEST(a_folder_that_stands_in_the_way_is_left_alone),
        TEST(guests_come_and_go_while_it_is_dropped_and_made_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
