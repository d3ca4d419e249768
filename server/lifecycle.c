/* lifecycle.c - see lifecycle.h. */
#include "server/lifecycle.h"
#include "server/watch.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define NEVER UINT64_MAX

/* Moments are milliseconds of the monotonic clock; NEVER: not at all. */
struct lifecycle {
    int signals;         /* signalfd */
    struct watch *watch; /* NULL: nothing is watched */
    uint64_t look_at_ms;
    uint32_t tick_ms;
    uint64_t tick_at_ms;
    uint64_t ping_ms; /* between two signs of life; 0: nobody wants any */
    uint64_t ping_at_ms;
};

static uint64_t now_ms(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static sigset_t awaited_signals(void) {
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGHUP);
    return set;
}

/* Half of what the service manager's watchdog allows; 0: there is none for this process (sd_watchdog_enabled(3)). */
static uint64_t watchdog_ms(void) {
    const char *interval = getenv("WATCHDOG_USEC"), *process = getenv("WATCHDOG_PID");
    char *end = NULL;
    if (!interval || *interval < '0' || *interval > '9') return 0;
    if (process && strtoumax(process, NULL, 10) != (uintmax_t)getpid()) return 0;
    uintmax_t interval_us = strtoumax(interval, &end, 10);
    if (*end != '\0' || interval_us == 0 || interval_us == UINTMAX_MAX) return 0;
    return interval_us < 2000 ? 1 : interval_us / 2000;
}

struct lifecycle *lifecycle_begin(const struct lifecycle_options *options) {
    sigset_t set = awaited_signals();
    struct lifecycle *l = calloc(1, sizeof *l);
    if (!l) return NULL;
    /* A client that went away, and a file at its limit, are told by the call that failed. */
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    uint64_t now = now_ms();
    bool watches = options && options->watched_count;
    l->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (watches) l->watch = watch_new(options->watched, options->watched_count);
    if (l->signals < 0 || (watches && !l->watch)) {
        int error = l->signals < 0 ? errno : ENOMEM;
        lifecycle_end(l);
        errno = error;
        return NULL;
    }
    l->look_at_ms = watches ? now : NEVER;
    l->tick_ms = options ? options->tick_ms : 0;
    l->tick_at_ms = l->tick_ms ? now + l->tick_ms : NEVER;
    l->ping_ms = watchdog_ms();
    l->ping_at_ms = l->ping_ms ? now : NEVER;
    return l;
}

void lifecycle_end(struct lifecycle *l) {
    if (!l) return;
    if (l->signals >= 0) (void)close(l->signals);
    watch_free(l->watch);
    free(l);
}

/* True where a signal came. Several that wait come one after another. */
static bool take_signal(struct lifecycle *l, enum lifecycle_event *event) {
    struct signalfd_siginfo signal;
    if (read(l->signals, &signal, sizeof signal) != (ssize_t)sizeof signal) return false;
    *event = signal.ssi_signo == SIGHUP ? LIFECYCLE_HANGUP : LIFECYCLE_STOP;
    return true;
}

/* True where the moment has come for an event. */
static bool take_moment(struct lifecycle *l, uint64_t now, bool files_stirred, enum lifecycle_event *event) {
    if (now >= l->ping_at_ms) {
        lifecycle_notify("WATCHDOG=1");
        l->ping_at_ms = now + l->ping_ms;
    }
    if ((files_stirred || now >= l->look_at_ms) && l->watch && watch_look(l->watch, now, &l->look_at_ms)) {
        *event = LIFECYCLE_RELOAD;
        return true;
    }
    if (now < l->tick_at_ms) return false;
    l->tick_at_ms = now + l->tick_ms;
    *event = LIFECYCLE_TICK;
    return true;
}

/* How long poll may wait, in milliseconds; -1: for ever. */
static int patience(const struct lifecycle *l, uint64_t now) {
    uint64_t next = l->ping_at_ms;
    if (l->look_at_ms < next) next = l->look_at_ms;
    if (l->tick_at_ms < next) next = l->tick_at_ms;
    if (next == NEVER) return -1;
    if (next <= now) return 0;
    return next - now < INT_MAX ? (int)(next - now) : INT_MAX;
}

enum lifecycle_event lifecycle_wait(struct lifecycle *l) {
    struct pollfd files[] = {{.fd = l->signals, .events = POLLIN},
                             {.fd = l->watch ? watch_descriptor(l->watch) : -1, .events = POLLIN}};
    enum lifecycle_event event;
    for (;;) {
        files[0].revents = files[1].revents = 0;
        (void)poll(files, sizeof files / sizeof *files, patience(l, now_ms()));
        if (take_signal(l, &event) || take_moment(l, now_ms(), files[1].revents, &event)) return event;
    }
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
