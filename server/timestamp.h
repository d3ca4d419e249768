/*
 * timestamp.h - moments as text: RFC 3339, in UTC and to the millisecond where we write them.
 *
 *     2026-11-21T19:24:24.059Z
 *
 * Moments are milliseconds since 1970-01-01T00:00:00Z, without leap seconds. No allocation, thread-safe.
 */
#ifndef VELOCITY_SERVER_TIMESTAMP_H
#define VELOCITY_SERVER_TIMESTAMP_H

#include "engine/velocity.h"
#include "server/json_write.h"

#define TIMESTAMP_BYTES 25 /* with a NUL */

/* The years 0000 to 9999; what lies beyond reads as their first or last millisecond. */
void timestamp_format(int64_t ms, char out[TIMESTAMP_BYTES]);
/*
 * Strict: all fields, one to nine digits of a second's fraction (what is finer than a millisecond is dropped), "Z" or
 * an offset. A leap second (":60") is refused: it has no milliseconds of its own. False leaves *ms unchanged.
 */
bool timestamp_parse(velocity_slice text, int64_t *ms);
/* The moment as a JSON string; 0, which stands for none: null. */
void timestamp_write(struct json_writer *w, int64_t ms);

/* The wall clock. */
int64_t timestamp_now(void);

#endif
