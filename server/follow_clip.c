/*
 * follow_clip.c - what of an event a follower may see: its prefix, within its scope. Pure functions.
 */
#include "server/follow_internal.h"
#include "server/key_range.h"

struct follow_event follow_event_of(const velocity_change *change) {
    static const enum follow_kind kinds[] = {[VELOCITY_CHANGE_PUT] = FOLLOW_PUT,
                                             [VELOCITY_CHANGE_DELETE] = FOLLOW_DELETE,
                                             [VELOCITY_CHANGE_DELETE_RANGE] = FOLLOW_DELETE_RANGE};
    struct follow_event event = {.kind = kinds[change->kind],
                                 .version = change->sequence,
                                 .key = change->key,
                                 .flags = change->flags,
                                 .expires_at_ms = change->expires_at_ms};
    *(event.kind == FOLLOW_DELETE_RANGE ? &event.end : &event.value) = change->value;
    return event;
}

/* What two prefixes have in common is the longer one, where it begins with the other. */
static bool narrower(velocity_slice a, velocity_slice b, velocity_slice *out) {
    *out = a.size >= b.size ? a : b;
    return key_begins_with(*out, a.size >= b.size ? b : a);
}

velocity_slice follow_topic_prefix(const struct follower *follower) {
    const struct scope *scope = follower->scope;
    velocity_slice both;
    if (scope && scope->prefix_count == 1 && narrower(follower->prefix, scope->prefixes[0], &both)) return both;
    return follower->prefix;
}

bool follow_sees_key(const struct follower *follower, velocity_slice key) {
    if (!key_begins_with(key, follower->prefix)) return false;
    return !follower->scope || scope_has_key(follower->scope, key);
}

/* The first string behind all that begin with the prefix, in `memory`; without data: there is none. */
static velocity_slice successor(velocity_slice prefix, unsigned char *memory) {
    size_t size = prefix.size <= VELOCITY_MAX_KEY_BYTES ? key_behind(prefix, memory) : 0;
    return size ? velocity_bytes(memory, size) : velocity_bytes(NULL, 0);
}

/* Whether one of [start, end) can begin with the prefix. */
static bool meets(velocity_slice prefix, velocity_slice start, velocity_slice end) {
    if (key_compare(prefix, start) > 0) start = prefix;
    return key_begins_with(start, prefix) && (!end.data || key_compare(start, end) < 0);
}

/* From the scope's prefix `at` on: the next one with which the follower may see something of the range; what both
 * prefixes say is *out. SIZE_MAX: there is none. */
static size_t find_meeting(const struct follower *follower, velocity_slice start, velocity_slice end, size_t at,
                           velocity_slice *out) {
    const struct scope *scope = follower->scope;
    *out = follower->prefix;
    if (!scope || scope->prefix_count == 0) return at == 0 && meets(*out, start, end) ? 0 : SIZE_MAX;
    for (; at < scope->prefix_count; at++)
        if (narrower(follower->prefix, scope->prefixes[at], out) && meets(*out, start, end)) return at;
    return SIZE_MAX;
}

bool follow_clip_next(const struct follower *follower, velocity_slice start, velocity_slice end,
                      struct follow_clip *clip) {
    velocity_slice prefix, behind;
    size_t at = find_meeting(follower, start, end, clip->next, &prefix);
    if (at == SIZE_MAX) return false;
    clip->next = at + 1;
    clip->more = find_meeting(follower, start, end, clip->next, &behind) != SIZE_MAX;
    clip->start = key_compare(prefix, start) > 0 ? prefix : start;
    clip->end = end;
    bool inside = end.data && key_begins_with(end, prefix);
    if (!inside && prefix.size) clip->end = successor(prefix, clip->successor);
    return true;
}
