/* pid_file_test.c - the file holds this process's id, and nobody else's is touched. */
#include "server/pid_file.h"
#include "tests/server/cmocka_all.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], path[128];

static int make_folder(void **state) {
    (void)state;
    strcpy(folder, "/tmp/velocity-pid-XXXXXX");
    if (!mkdtemp(folder)) return 1;
    (void)snprintf(path, sizeof path, "%s/pid", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    (void)unlink(path);
    return rmdir(folder); /* nothing else was left in it */
}

static long read_pid(void) {
    long pid = 0;
    char rest[2] = "";
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld%1[\n]", &pid, rest), 2); // NOLINT(cert-err34-c): checked by its outcome
    assert_int_equal(fgetc(file), EOF);
    assert_int_equal(fclose(file), 0);
    return pid;
}

static void write_pid(const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void it_holds_the_process_s_id_and_goes_with_it(void **state) {
    (void)state;
    struct stat info;
    mode_t before = umask(0077);
    assert_true(pid_file_write(path));
    (void)umask(before);
    assert_int_equal(read_pid(), getpid());
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0644); /* others may read it, whatever the umask of the server */
    pid_file_remove(path);
    assert_int_equal(access(path, F_OK), -1);
    pid_file_remove(path);
}

static void what_a_killed_process_left_is_replaced(void **state) {
    (void)state;
    write_pid("999999999, and more\n");
    assert_true(pid_file_write(path));
    assert_int_equal(read_pid(), getpid());
}

static void another_process_s_file_stays(void **state) {
    (void)state;
    assert_true(pid_file_write(path));
    write_pid("1\n");
    pid_file_remove(path);
    assert_int_equal(read_pid(), 1);
}

static void a_folder_that_is_not_there_is_an_error(void **state) {
    (void)state;
    char missing[128];
    (void)snprintf(missing, sizeof missing, "%s/no/pid", folder);
    assert_false(pid_file_write(missing));
    assert_int_equal(errno, ENOENT);
    assert_false(pid_file_write(folder)); /* and so is one in its place */
    assert_int_equal(errno, EISDIR);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(it_holds_the_process_s_id_and_goes_with_it),
        TEST(what_a_killed_process_left_is_replaced),
        TEST(another_process_s_file_stays),
        TEST(a_folder_that_is_not_there_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
