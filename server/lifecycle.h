/*
 * lifecycle.h - the process among its neighbours: signals, the service manager, descriptors.
 *
 *     lifecycle_begin()            before any thread: the signals wait for lifecycle_wait
 *     lifecycle_wait() ...         SIGHUP: reopen the log; SIGTERM or SIGINT: stop
 *     lifecycle_end_on_signal()    from then on SIGTERM or SIGINT ends the process at once, with exit code 1. Nothing
 *                                  acknowledged is lost: acknowledged writes survive the death of the process.
 *
 * Threads: the main thread alone calls these.
 */
#ifndef VELOCITY_SERVER_LIFECYCLE_H
#define VELOCITY_SERVER_LIFECYCLE_H

#include <stdbool.h>
#include <stdint.h>

enum lifecycle_event { LIFECYCLE_REOPEN_LOG, LIFECYCLE_STOP };

void lifecycle_begin(void);
enum lifecycle_event lifecycle_wait(void);
void lifecycle_end_on_signal(void);

/* Tells the service manager, if there is one, in systemd's protocol (sd_notify(3)): "READY=1", "STOPPING=1". */
void lifecycle_notify(const char *state);

/* Raises the number of descriptors allowed as far as it goes, and answers it. */
uint64_t lifecycle_raise_descriptors(void);

#endif
