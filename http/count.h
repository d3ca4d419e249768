/*
 * count.h - how many keys a range holds: {"count":n,"exact":true}.
 *
 * They are counted one by one, without their values, for as long as COUNT_MAX_MS and up to COUNT_MAX_KEYS. Keys that
 * are deleted or have expired, and must be passed by, take of that time, too. Where it is not the end of them, the
 * answer is what was counted until then, with "exact":false. All that is counted is of one state; other requests have
 * their turn meanwhile.
 */
#ifndef VELOCITY_HTTP_COUNT_H
#define VELOCITY_HTTP_COUNT_H

#include "http/request.h"

#define COUNT_MAX_MS   5000u
#define COUNT_MAX_KEYS UINT64_C(10000000)

/* Replies with the count of the keys between the bounds (empty: none). `whole`: 403 where not all of them are in the
 * scope; else those that are count. */
void count_keys(struct http_request *request, velocity_slice prefix, velocity_slice start, velocity_slice end,
                bool whole);

#endif
