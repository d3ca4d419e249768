/*
 * terminal.h - questions to whoever sits at the terminal, and lines that hold secrets.
 *
 * A question goes to the terminal itself (/dev/tty), whatever standard input and output are. Lines are read a byte at a
 * time and into the caller's memory only: no buffer of the C library keeps a copy, and a second line stays unread.
 */
#ifndef VELOCITY_CLI_TERMINAL_H
#define VELOCITY_CLI_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

enum line_result {
    LINE_READ,     /* out holds it, without its newline, with a NUL */
    LINE_NONE,     /* the input ended, or can't be read */
    LINE_TOO_LONG, /* more than size - 1 bytes; the rest of the line is read and dropped */
    LINE_BINARY,   /* there is a NUL in it */
};

/* One line of a descriptor. What stands in `out` is wiped unless it is READ. */
enum line_result line_read(int fd, char *out, size_t size);

bool terminal_is_there(void);
/* Asks, and reads the answer; `hidden`: it is not shown while it is typed. NONE also where there is no terminal. A
 * signal that ends the program has the terminal show again first. */
enum line_result terminal_ask(const char *question, bool hidden, char *out, size_t size);

#endif
