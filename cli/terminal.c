/*
 * terminal.c - see terminal.h.
 *
 * What is typed is hidden by the terminal's own state, which outlives the process: so every way out of a hidden
 * question restores it, also that of a signal. Hence the two static variables. The program asks from one thread.
 */
#include "cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static struct termios shown;                 /* as it was before */
static volatile sig_atomic_t hidden_fd = -1; /* the terminal that hides what is typed; -1: none */

/* The signals that end a program while it waits for an answer. */
static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
enum { END_COUNT = sizeof ends / sizeof *ends };

struct handlers {
    struct sigaction ends[END_COUNT], stop;
};

/* The handler is used up (SA_RESETHAND): raised again, the signal does what it would have done. */
static void show_and_end(int number) {
    int fd = (int)hidden_fd;
    if (fd >= 0) (void)tcsetattr(fd, TCSAFLUSH, &shown);
    (void)raise(number);
}

static bool hide(int fd, struct handlers *before) {
    struct sigaction action = {.sa_handler = show_and_end, .sa_flags = SA_RESETHAND};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct termios hiding;
    if (tcgetattr(fd, &shown) != 0) return false;
    hiding = shown;
    hiding.c_lflag &= ~(tcflag_t)ECHO;
    hiding.c_lflag |= ECHONL;
    hidden_fd = fd;
    for (int i = 0; i < END_COUNT; i++) (void)sigaction(ends[i], &action, &before->ends[i]);
    (void)sigaction(SIGTSTP, &ignore, &before->stop); /* stopped and continued, it would show what is typed */
    return tcsetattr(fd, TCSAFLUSH, &hiding) == 0;
}

static void show(int fd, const struct handlers *before) {
    (void)tcsetattr(fd, TCSAFLUSH, &shown);
    hidden_fd = -1;
    for (int i = 0; i < END_COUNT; i++) (void)sigaction(ends[i], &before->ends[i], NULL);
    (void)sigaction(SIGTSTP, &before->stop, NULL);
}

static ssize_t read_byte(int fd, char *out) {
    ssize_t got;
    do {
        got = read(fd, out, 1);
    } while (got < 0 && errno == EINTR);
    return got;
}

enum line_result line_read(int fd, char *out, size_t size) {
    enum line_result result = LINE_READ;
    size_t used = 0;
    char byte = '\0';
    ssize_t got;
    while ((got = read_byte(fd, &byte)) == 1 && byte != '\n') {
        if (byte == '\0') result = LINE_BINARY;
        if (used < size - 1)
            out[used++] = byte;
        else if (result == LINE_READ)
            result = LINE_TOO_LONG;
    }
    out[used] = '\0';
    if (got < 0 || (got == 0 && used == 0)) result = LINE_NONE; /* a last line may lack its newline */
    if (result != LINE_READ) explicit_bzero(out, size);
    return result;
}

static int open_terminal(void) {
    return open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
}

bool terminal_is_there(void) {
    int fd = open_terminal();
    if (fd < 0) return false;
    (void)close(fd);
    return true;
}

static bool write_all(int fd, const char *text) {
    size_t left = strlen(text);
    while (left) {
        ssize_t wrote = write(fd, text, left);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0) return false;
        text += wrote;
        left -= (size_t)wrote;
    }
    return true;
}

enum line_result terminal_ask(const char *question, bool hidden, char *out, size_t size) {
    enum line_result result = LINE_NONE;
    struct handlers before;
    int fd = open_terminal();
    memset(out, 0, size);
    if (fd < 0) return LINE_NONE;
    /* Hidden before it asks: who types fast is not shown either. */
    if (!hidden || hide(fd, &before)) {
        if (write_all(fd, question)) result = line_read(fd, out, size);
    }
    if (hidden && hidden_fd >= 0) show(fd, &before);
    (void)close(fd);
    return result;
}
