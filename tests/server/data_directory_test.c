/* data_directory_test.c - one server at a time owns the folder, and nobody else reads it. */
#include "engine/env.h"
#include "server/data_directory.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char base[64], path[96];

static int make_base(void **state) {
    (void)state;
    strcpy(base, "/tmp/velocity-data-XXXXXX");
    if (!mkdtemp(base)) return -1;
    (void)snprintf(path, sizeof path, "%s/data", base);
    (void)umask(0077);
    return 0;
}

static int remove_base(void **state) {
    (void)state;
    char file[160];
    (void)snprintf(file, sizeof file, "%s/velocity.lock", path);
    (void)unlink(file);
    (void)snprintf(file, sizeof file, "%s/databases", path);
    (void)rmdir(file);
    (void)rmdir(path);
    return rmdir(base);
}

static void assert_mode(const char *suffix, mode_t expected) {
    char file[160];
    struct stat info;
    (void)snprintf(file, sizeof file, "%s%s", path, suffix);
    assert_int_equal(stat(file, &info), 0);
    assert_int_equal(info.st_mode & 0777, expected);
}

static void a_missing_folder_is_made_for_its_owner_alone(void **state) {
    (void)state;
    struct data_directory *directory;
    assert_int_equal(data_directory_open(path, &directory), VELOCITY_OK);
    assert_mode("", 0700);
    assert_mode("/databases", 0700);
    assert_mode("/velocity.lock", 0600);
    char *database = data_directory_database(directory, "default");
    assert_non_null(database);
    assert_int_equal(strncmp(database, path, strlen(path)), 0);
    assert_string_equal(database + strlen(path), "/databases/default");
    env_free(database);
    char *system = data_directory_path(directory, "system");
    assert_non_null(system);
    assert_int_equal(strncmp(system, path, strlen(path)), 0);
    assert_string_equal(system + strlen(path), "/system");
    env_free(system);
    data_directory_close(directory);
}

static void a_second_server_is_kept_out_until_the_first_is_gone(void **state) {
    (void)state;
    struct data_directory *first, *second;
    assert_int_equal(data_directory_open(path, &first), VELOCITY_OK);
    assert_int_equal(data_directory_open(path, &second), VELOCITY_LOCKED);
    assert_null(second);
    assert_non_null(strstr(velocity_error_message(), "velocity.lock"));
    data_directory_close(first);
    assert_int_equal(data_directory_open(path, &second), VELOCITY_OK);
    data_directory_close(second);
}

static void another_process_is_kept_out_and_its_death_gives_the_lock_back(void **state) {
    (void)state;
    int ready[2], status;
    char byte = 0;
    struct data_directory *directory;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        bool ok = data_directory_open(path, &directory) == VELOCITY_OK;
        if (!ok || write(ready[1], "x", 1) != 1) _exit(1);
        (void)alarm(20);
        for (;;) (void)pause();
    }
    assert_int_equal(close(ready[1]), 0);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(data_directory_open(path, &directory), VELOCITY_LOCKED);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(data_directory_open(path, &directory), VELOCITY_OK);
    data_directory_close(directory);
    assert_int_equal(close(ready[0]), 0);
}

static void a_folder_that_can_not_be_made_is_named(void **state) {
    (void)state;
    struct data_directory *directory;
    assert_int_not_equal(data_directory_open("/nonexistent/parent/data", &directory), VELOCITY_OK);
    assert_null(directory);
    assert_non_null(strstr(velocity_error_message(), "/nonexistent/parent/data"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_base, remove_base)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_missing_folder_is_made_for_its_owner_alone),
        TEST(a_second_server_is_kept_out_until_the_first_is_gone),
        TEST(another_process_is_kept_out_and_its_death_gives_the_lock_back),
        TEST(a_folder_that_can_not_be_made_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
