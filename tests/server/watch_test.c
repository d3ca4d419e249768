/* watch_test.c - however a file is changed, it is noticed once it has come to rest; the test's clock is its own. */
#include "server/watch.h"
#include "tests/server/cmocka_all.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], path[128];
static struct watch *watch;
static uint64_t now, again;

static void in_folder(char out[128], const char *name) {
    (void)snprintf(out, 128, "%s/%s", folder, name);
}

static void write_to(const char *file, const char *text) {
    int descriptor = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(descriptor), 0);
}

static void begin(void) {
    const char *paths[] = {path};
    watch = watch_new(paths, 1);
    assert_non_null(watch);
    now = 1000;
    assert_false(watch_look(watch, now, &again));
    assert_int_equal(again, now + WATCH_LOOK_MS);
}

/* inotify says at once that it is time to look. */
static void assert_stirred(bool stirred) {
    struct pollfd file = {.fd = watch_descriptor(watch), .events = POLLIN};
    assert_true(file.fd >= 0);
    assert_int_equal(poll(&file, 1, stirred ? 5000 : 0), stirred);
}

/* A change was made: it is told after the time of quiet, once. */
static void assert_noticed(void) {
    assert_false(watch_look(watch, now, &again));
    assert_int_equal(again, now + WATCH_QUIET_MS);
    assert_false(watch_look(watch, now + WATCH_QUIET_MS - 1, &again));
    now += WATCH_QUIET_MS;
    assert_true(watch_look(watch, now, &again));
    assert_false(watch_look(watch, now + 1, &again));
    now += 1000;
}

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/velocity-watch-XXXXXX");
    if (!mkdtemp(folder)) return 1;
    in_folder(path, "velocity.toml");
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    char command[128];
    watch_free(watch);
    watch = NULL;
    (void)snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command); // NOLINT(cert-env33-c): a folder of the test's own
}

static void a_file_that_is_written_is_noticed(void **state) {
    (void)state;
    write_to(path, "a");
    begin();
    assert_stirred(false);
    write_to(path, "bb");
    assert_stirred(true);
    assert_noticed();
}

static void a_file_that_is_renamed_over_it_is_noticed(void **state) {
    (void)state;
    char other[128];
    in_folder(other, "velocity.toml~");
    write_to(path, "a");
    begin();
    write_to(other, "b");
    assert_int_equal(rename(other, path), 0);
    assert_stirred(true);
    assert_noticed();
}

static void a_file_that_appears_and_goes_is_noticed(void **state) {
    (void)state;
    begin();
    write_to(path, "a");
    assert_stirred(true);
    assert_noticed();
    assert_int_equal(unlink(path), 0);
    assert_stirred(true);
    assert_noticed();
}

/* As Kubernetes does: velocity.toml -> ..data/velocity.toml, ..data -> ..1; then a new ..data is renamed over it. */
static void a_link_that_is_swapped_in_the_path_is_noticed(void **state) {
    (void)state;
    char first[128], second[128], data[128], data_new[128], file[128];
    in_folder(first, "..1");
    in_folder(second, "..2");
    in_folder(data, "..data");
    in_folder(data_new, "..data_tmp");
    assert_int_equal(mkdir(first, 0700), 0);
    assert_int_equal(mkdir(second, 0700), 0);
    in_folder(file, "..1/velocity.toml");
    write_to(file, "a");
    in_folder(file, "..2/velocity.toml");
    write_to(file, "b");
    assert_int_equal(symlink("..1", data), 0);
    assert_int_equal(symlink("..data/velocity.toml", path), 0);
    begin();
    assert_int_equal(symlink("..2", data_new), 0);
    assert_int_equal(rename(data_new, data), 0);
    assert_stirred(true);
    assert_noticed();
    write_to(file, "bb"); /* and now it is the second folder that matters */
    assert_stirred(true);
    assert_noticed();
    in_folder(file, "..1/velocity.toml");
    write_to(file, "of no interest");
    assert_stirred(false);
}

static void another_file_of_the_folder_changes_nothing(void **state) {
    (void)state;
    char other[128];
    in_folder(other, "other");
    write_to(path, "a");
    begin();
    write_to(other, "b");
    assert_stirred(true);
    assert_false(watch_look(watch, now, &again));
    assert_int_equal(again, now + WATCH_LOOK_MS);
    assert_stirred(false);
}

static void a_file_that_is_written_bit_by_bit_is_told_when_it_rests(void **state) {
    (void)state;
    begin();
    for (int i = 0; i < 5; i++, now += WATCH_QUIET_MS - 1) {
        write_to(path, i % 2 ? "a" : "bb");
        assert_false(watch_look(watch, now, &again));
    }
    now -= WATCH_QUIET_MS - 1;
    assert_true(watch_look(watch, now + WATCH_QUIET_MS, &again));
}

static void a_file_that_never_rests_is_told_all_the_same(void **state) {
    (void)state;
    uint64_t started = (begin(), now);
    bool told = false;
    for (int i = 0; !told && i < 1000; i++, now += 10) {
        write_to(path, i % 2 ? "a" : "bb");
        told = watch_look(watch, now, &again);
    }
    assert_true(told);
    assert_in_range(now - started, WATCH_PATIENCE_MS, WATCH_PATIENCE_MS + 20);
}

static void without_inotify_a_look_now_and_then_does(void **state) {
    (void)state;
    struct rlimit limit, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none = limit;
    none.rlim_cur = 3; /* no descriptor is left */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    begin();
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(watch_descriptor(watch), -1);
    write_to(path, "a");
    now = again;
    assert_noticed();
}

static void a_folder_that_is_made_later_is_watched_from_the_next_look_on(void **state) {
    (void)state;
    char inner[128];
    in_folder(inner, "etc");
    in_folder(path, "etc/velocity.toml");
    begin();
    assert_int_equal(mkdir(inner, 0700), 0);
    assert_false(watch_look(watch, again, &again));
    now = again;
    write_to(path, "a");
    assert_stirred(true);
    assert_noticed();
}

static void of_several_files_any_counts(void **state) {
    (void)state;
    char second[128];
    in_folder(second, "second");
    const char *paths[] = {path, second};
    watch = watch_new(paths, 2);
    assert_non_null(watch);
    now = 1000;
    write_to(second, "a");
    assert_stirred(true);
    assert_noticed();
    write_to(path, "a");
    assert_stirred(true);
    assert_noticed();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_file_that_is_written_is_noticed),
        TEST(a_file_that_is_renamed_over_it_is_noticed),
        TEST(a_file_that_appears_and_goes_is_noticed),
        TEST(a_link_that_is_swapped_in_the_path_is_noticed),
        TEST(another_file_of_the_folder_changes_nothing),
        TEST(a_file_that_is_written_bit_by_bit_is_told_when_it_rests),
        TEST(a_file_that_never_rests_is_told_all_the_same),
        TEST(without_inotify_a_look_now_and_then_does),
        TEST(a_folder_that_is_made_later_is_watched_from_the_next_look_on),
        TEST(of_several_files_any_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
