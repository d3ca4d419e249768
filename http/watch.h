/*
 * watch.h - changes as a stream of server-sent events (HTML standard, section 9.2).
 */
#ifndef VELOCITY_HTTP_WATCH_H
#define VELOCITY_HTTP_WATCH_H

#include "server/follow.h"

/* An event as it is sent:
 *
 *     id: 42
 *     event: put | delete | range_delete | heartbeat | gone
 *     data: {...}
 *
 * A heartbeat has data of its own: a client passes over an event without, and some then over its id, too. */
void watch_write_event(const struct follow_event *event, struct json_writer *out);

#endif
