/*
 * lifecycle.h - the process among its neighbours: signals, the service manager, files that others change, descriptors.
 *
 *     lifecycle_begin()            before any thread: the signals wait for lifecycle_wait
 *     lifecycle_wait() ...         until it answers LIFECYCLE_STOP. Meanwhile it tells the service manager's watchdog
 *                                  (WATCHDOG_USEC) that the process is alive: its caller must come back in time
 *     lifecycle_end_on_signal()    from then on SIGTERM or SIGINT ends the process at once, with exit code 1. Nothing
 *                                  acknowledged is lost: acknowledged writes survive the death of the process.
 *     lifecycle_end()
 *
 * Threads: the main thread alone calls these.
 */
#ifndef VELOCITY_SERVER_LIFECYCLE_H
#define VELOCITY_SERVER_LIFECYCLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lifecycle;

struct lifecycle_options {
    const char *const *watched; /* files: config_places; copied */
    size_t watched_count;       /* 0: none is watched */
    uint32_t tick_ms;           /* 0: no ticks */
};

enum lifecycle_event {
    LIFECYCLE_TICK,   /* tick_ms have passed since the last one, or more */
    LIFECYCLE_RELOAD, /* a watched file changed: read the configuration again */
    LIFECYCLE_HANGUP, /* SIGHUP: open the log anew, and read the configuration again */
    LIFECYCLE_STOP,   /* SIGTERM or SIGINT */
};

/* options may be NULL: signals only. NULL with errno set: no memory or no descriptor. */
struct lifecycle *lifecycle_begin(const struct lifecycle_options *options);
enum lifecycle_event lifecycle_wait(struct lifecycle *lifecycle);
void lifecycle_end_on_signal(void);
void lifecycle_end(struct lifecycle *lifecycle); /* NULL is allowed */

/* Tells the service manager, if there is one, in systemd's protocol (sd_notify(3)): "READY=1", "STOPPING=1". */
void lifecycle_notify(const char *state);

/* Raises the number of descriptors allowed as far as it goes, and answers it. */
uint64_t lifecycle_raise_descriptors(void);

#endif
