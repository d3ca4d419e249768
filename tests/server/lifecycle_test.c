/* lifecycle_test.c - signals, time and files become events, a second signal ends at once, the service manager hears of
 * it. */
#include "server/lifecycle.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* Runs `body` in a process of its own, and answers how it ended: its exit code, or 128 + the signal. */
static int in_process(void (*body)(void)) {
    int status = 0;
    (void)fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)alarm(60); /* a body that hangs ends by SIGALRM */
        body();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void tell_signals_apart(void) {
    struct lifecycle *l = lifecycle_begin(NULL);
    if (!l) _exit(1);
    (void)kill(getpid(), SIGHUP);
    if (lifecycle_wait(l) != LIFECYCLE_HANGUP) _exit(2);
    (void)kill(getpid(), SIGTERM);
    if (lifecycle_wait(l) != LIFECYCLE_STOP) _exit(3);
    (void)kill(getpid(), SIGINT);
    if (lifecycle_wait(l) != LIFECYCLE_STOP) _exit(4);
    (void)kill(getpid(), SIGHUP); /* both wait, and both come */
    (void)kill(getpid(), SIGTERM);
    if (lifecycle_wait(l) != LIFECYCLE_HANGUP) _exit(5);
    if (lifecycle_wait(l) != LIFECYCLE_STOP) _exit(6);
    (void)kill(getpid(), SIGPIPE);
    lifecycle_end(l);
    _exit(77);
}

static void a_signal_waits_for_the_one_who_asks_and_a_broken_pipe_ends_nothing(void **state) {
    (void)state;
    assert_int_equal(in_process(tell_signals_apart), 77);
}

static void be_asked_twice(void) {
    struct lifecycle *l = lifecycle_begin(NULL);
    (void)kill(getpid(), SIGTERM);
    if (!l || lifecycle_wait(l) != LIFECYCLE_STOP) _exit(2);
    lifecycle_end_on_signal();
    (void)kill(getpid(), SIGTERM);
    for (;;) (void)pause();
}

static void a_second_signal_ends_at_once_with_exit_code_1(void **state) {
    (void)state;
    assert_int_equal(in_process(be_asked_twice), 1);
}

/* Binds a datagram socket to `name` ('@': an abstract one), notifies, and compares what comes. */
static void assert_notified(const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char message[64] = "";
    struct timeval patience = {.tv_sec = 30};
    memcpy(address.sun_path, name, strlen(name));
    if (*name == '@') address.sun_path[0] = '\0';
    int manager = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_true(manager >= 0);
    assert_int_equal(setsockopt(manager, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    assert_int_equal(bind(manager, (const struct sockaddr *)&address, size), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    lifecycle_notify("READY=1");
    assert_int_equal(recv(manager, message, sizeof message - 1, 0), 7);
    assert_string_equal(message, "READY=1");
    assert_int_equal(close(manager), 0);
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
}

static void the_service_manager_hears_of_it(void **state) {
    (void)state;
    char folder[] = "/tmp/velocity-notify-XXXXXX", path[64], abstract[64];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/socket", folder);
    (void)snprintf(abstract, sizeof abstract, "@velocity-test-%d", (int)getpid());
    assert_notified(path);
    assert_notified(abstract);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void without_a_service_manager_nothing_happens(void **state) {
    (void)state;
    char long_path[300] = "/";
    memset(long_path + 1, 'x', sizeof long_path - 2);
    (void)unsetenv("NOTIFY_SOCKET");
    lifecycle_notify("READY=1");
    static const char *const odd[] = {"", "relative", "/nonexistent/socket"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        assert_int_equal(setenv("NOTIFY_SOCKET", odd[i], 1), 0);
        lifecycle_notify("READY=1");
    }
    assert_int_equal(setenv("NOTIFY_SOCKET", long_path, 1), 0);
    lifecycle_notify("READY=1");
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
}

static uint64_t now_ms(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void tick_three_times(void) {
    struct lifecycle_options options = {.tick_ms = 20};
    uint64_t started = now_ms();
    struct lifecycle *l = lifecycle_begin(&options);
    if (!l) _exit(1);
    for (int i = 1; i <= 3; i++)
        if (lifecycle_wait(l) != LIFECYCLE_TICK || now_ms() < started + 20 * (uint64_t)i) _exit(2);
    (void)kill(getpid(), SIGTERM);
    while (lifecycle_wait(l) == LIFECYCLE_TICK) {
    }
    lifecycle_end(l);
    _exit(77);
}

static void time_that_passes_is_an_event(void **state) {
    (void)state;
    assert_int_equal(in_process(tick_three_times), 77);
}

static char watched_path[64];

static void write_watched(const char *text) {
    FILE *file = fopen(watched_path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0) _exit(3);
}

static void change_a_file(void) {
    const char *paths[] = {watched_path};
    struct lifecycle_options options = {.watched = paths, .watched_count = 1};
    struct lifecycle *l = lifecycle_begin(&options);
    if (!l) _exit(1);
    for (int i = 0; i < 2; i++) {
        uint64_t written = now_ms();
        write_watched(i ? "one" : "another");
        if (lifecycle_wait(l) != LIFECYCLE_RELOAD) _exit(2);
        /* Without inotify it would be seen after WATCH_LOOK_MS. */
        if (now_ms() < written + 150 || now_ms() > written + 9000) _exit(4);
    }
    (void)kill(getpid(), SIGHUP);
    if (lifecycle_wait(l) != LIFECYCLE_HANGUP) _exit(5);
    lifecycle_end(l);
    _exit(77);
}

static void a_watched_file_that_changed_is_an_event(void **state) {
    (void)state;
    strcpy(watched_path, "/tmp/velocity-watched-XXXXXX");
    int descriptor = mkstemp(watched_path);
    assert_true(descriptor >= 0);
    assert_int_equal(close(descriptor), 0);
    assert_int_equal(in_process(change_a_file), 77);
    assert_int_equal(unlink(watched_path), 0);
}

#define WATCHDOG_NAME "@velocity-test-watchdog"

/* A manager that hears signs of life of another process, three at most; it waits so long for each. */
static int hear_signs_of_life(const char *interval, const char *process, struct timeval patience) {
    char message[64] = "", name[64];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(name, sizeof name, WATCHDOG_NAME "-%d", (int)getpid());
    memcpy(address.sun_path + 1, name + 1, strlen(name) - 1);
    int manager = socket(AF_UNIX, SOCK_DGRAM, 0), heard = 0;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
    if (manager < 0 || bind(manager, (const struct sockaddr *)&address, size) != 0) _exit(3);
    (void)setsockopt(manager, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    pid_t server = fork();
    if (server == 0) {
        char own[32];
        (void)snprintf(own, sizeof own, "%d", (int)getpid());
        (void)setenv("NOTIFY_SOCKET", name, 1);
        (void)setenv("WATCHDOG_USEC", interval, 1);
        (void)setenv("WATCHDOG_PID", process ? process : own, 1);
        struct lifecycle *l = lifecycle_begin(NULL);
        if (l) (void)lifecycle_wait(l);
        _exit(0);
    }
    while (heard < 3 && recv(manager, message, sizeof message, 0) == 10 && memcmp(message, "WATCHDOG=1", 10) == 0)
        heard++;
    (void)kill(server, SIGKILL);
    (void)waitpid(server, NULL, 0);
    (void)close(manager);
    return heard;
}

static void the_watchdog_hears_signs_of_life(void **state) {
    (void)state;
    const struct timeval long_enough = {.tv_sec = 30}, a_while = {.tv_usec = 300000};
    assert_int_equal(hear_signs_of_life("40000", NULL, long_enough), 3);
    assert_int_equal(hear_signs_of_life("40000", "1", a_while), 0); /* they were asked of another process */
    assert_int_equal(hear_signs_of_life("soon", NULL, a_while), 0);
}

static void raise_from_a_low_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) _exit(2);
    limit.rlim_cur = 64;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) _exit(3);
    uint64_t allowed = lifecycle_raise_descriptors();
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) _exit(4);
    _exit(allowed == limit.rlim_max && limit.rlim_cur == limit.rlim_max ? 77 : 5);
}

static void descriptors_are_raised_to_what_is_allowed(void **state) {
    (void)state;
    assert_int_equal(in_process(raise_from_a_low_limit), 77);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signal_waits_for_the_one_who_asks_and_a_broken_pipe_ends_nothing),
        cmocka_unit_test(a_second_signal_ends_at_once_with_exit_code_1),
        cmocka_unit_test(the_service_manager_hears_of_it),
        cmocka_unit_test(without_a_service_manager_nothing_happens),
        cmocka_unit_test(time_that_passes_is_an_event),
        cmocka_unit_test(a_watched_file_that_changed_is_an_event),
        cmocka_unit_test(the_watchdog_hears_signs_of_life),
        cmocka_unit_test(descriptors_are_raised_to_what_is_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
