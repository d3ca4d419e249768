/* lifecycle.c - see lifecycle.h. */
#include "server/lifecycle.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static sigset_t awaited_signals(void) {
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    return set;
}

void lifecycle_begin(void) {
    sigset_t set = awaited_signals();
    /* A client that went away, and a file at its limit, are told by the call that failed. */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
}

enum lifecycle_event lifecycle_wait(void) {
    sigset_t set = awaited_signals();
    int number = 0;
    while (sigwait(&set, &number) != 0) {
    }
    return number == SIGHUP ? LIFECYCLE_REOPEN_LOG : LIFECYCLE_STOP;
}

static void end_at_once(int number) {
    (void)number;
    _exit(1);
}

void lifecycle_end_on_signal(void) {
    struct sigaction action = {.sa_handler = end_at_once};
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void lifecycle_notify(const char *state) {
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || (*path != '/' && *path != '@')) return;
    size_t size = strlen(path);
    if (size >= sizeof address.sun_path) return;
    memcpy(address.sun_path, path, size);
    if (*path == '@') address.sun_path[0] = '\0'; /* an abstract name */
    int socket_descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (socket_descriptor < 0) return;
    socklen_t address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    /* A manager that does not listen is its own problem. */
    (void)sendto(socket_descriptor, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address,
                 address_size);
    (void)close(socket_descriptor);
}

uint64_t lifecycle_raise_descriptors(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) return before;
    return limit.rlim_cur;
}
