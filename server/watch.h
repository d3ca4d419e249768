/*
 * watch.h - notices that files have changed: the configuration's.
 *
 * A file is known by what stat(2) tells of it, through symbolic links: so it does not matter whether an editor writes
 * into it or renames a new one over it, whether an orchestrator swaps a link in the path, or whether it is there at
 * all. inotify on the folder only says when to look; without it (no instance left, a file system that tells nothing, a
 * folder that is missing) every WATCH_LOOK_MS have to do.
 *
 *     same --differs--> restless --nothing new for WATCH_QUIET_MS, or WATCH_PATIENCE_MS in all--> reported: same
 *
 * Threads: one at a time.
 */
#ifndef VELOCITY_SERVER_WATCH_H
#define VELOCITY_SERVER_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WATCH_QUIET_MS    200   /* a change is often several: truncated, written, renamed */
#define WATCH_PATIENCE_MS 2000  /* for a file that never comes to rest */
#define WATCH_LOOK_MS     10000 /* between two looks that nobody asked for */

struct watch;

/* What the files are like now is what later looks compare with. The paths are copied. NULL: no memory. */
struct watch *watch_new(const char *const *paths, size_t count);
void watch_free(struct watch *watch); /* NULL is allowed */
/* Readable: it is time to look. -1: there is none, look in time. */
int watch_descriptor(const struct watch *watch);
/* True: a file has changed and come to rest since the last time that this was answered. Look again when the descriptor
 * is readable, or at *again_at_ms. The clock is monotonic. */
bool watch_look(struct watch *watch, uint64_t now_ms, uint64_t *again_at_ms);

#endif
