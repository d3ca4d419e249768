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

/* Joins what lies in both [start, end) and the keys with this prefix to *out. */
static void join(velocity_slice prefix, velocity_slice start, velocity_slice end, struct follow_clip *out, bool *any) {
    if (key_compare(prefix, start) > 0) start = prefix;
    if (!key_begins_with(start, prefix) || (end.data && key_compare(start, end) >= 0)) return;
    if (!*any) out->start = start;
    *any = true;
    /* Prefixes come ascending, so the last one's end is the end. */
    if (end.data && key_begins_with(end, prefix)) {
        out->end = end;
        return;
    }
    out->end = prefix.size ? successor(prefix, out->successor) : end;
}

bool follow_clip_range(const struct follower *follower, velocity_slice start, velocity_slice end,
                       struct follow_clip *out) {
    const struct scope *scope = follower->scope;
    bool any = false;
    if (!scope || scope->prefix_count == 0) {
        join(follower->prefix, start, end, out, &any);
        return any;
    }
    for (size_t i = 0; i < scope->prefix_count; i++) {
        velocity_slice prefix;
        if (narrower(follower->prefix, scope->prefixes[i], &prefix)) join(prefix, start, end, out, &any);
    }
    return any;
}
