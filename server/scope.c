/*
 * scope.c - where something may be done: databases by name, keys by prefix. See principal.h.
 *
 * A scope is one block of memory: the arrays first, then the bytes that they point to. Its prefixes ascend and none
 * begins with another, so
 *
 *  1. the only one with which a key can begin is the greatest that is not greater than the key;
 *  2. the keys of the next prefix follow those of one without a gap exactly where it is that one's successor: the least
 *     string above all that begin with it.
 */
#include "server/principal.h"

#include "engine/env.h"
#include "engine/status.h"
#include "server/databases.h"
#include "server/key_range.h"

#include <stdlib.h>

static int compare_elements(const void *a, const void *b) {
    return key_compare(*(const velocity_slice *)a, *(const velocity_slice *)b);
}

/* ---- making ----------------------------------------------------------------------------------------------------- */

/* Sorts, and drops those that begin with another: after sorting, with the last one kept. */
static size_t make_disjoint(velocity_slice *prefixes, size_t count) {
    size_t kept = 0;
    if (count) qsort(prefixes, count, sizeof *prefixes, compare_elements);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || !key_begins_with(prefixes[i], prefixes[kept - 1])) prefixes[kept++] = prefixes[i];
    return kept;
}

static size_t bytes_of(const char *const *databases, size_t database_count, const velocity_slice *prefixes,
                       size_t prefix_count) {
    size_t bytes = 0;
    for (size_t i = 0; i < database_count; i++) bytes += strlen(databases[i]) + 1;
    for (size_t i = 0; i < prefix_count; i++) bytes += prefixes[i].size;
    return bytes;
}

/* Without limits. */
static bool make(struct scope *out, const char *const *databases, size_t database_count, const velocity_slice *prefixes,
                 size_t prefix_count) {
    *out = (struct scope){0};
    if (database_count + prefix_count == 0) return true;
    size_t bytes = bytes_of(databases, database_count, prefixes, prefix_count);
    velocity_slice *slices =
        env_alloc(prefix_count * sizeof *slices + database_count * sizeof(char *) + (bytes ? bytes : 1));
    if (!slices) return false;
    char **names = (char **)(slices + prefix_count), *at = (char *)(names + database_count);
    for (size_t i = 0; i < prefix_count; i++) {
        if (prefixes[i].size) memcpy(at, prefixes[i].data, prefixes[i].size);
        slices[i] = velocity_bytes(at, prefixes[i].size);
        at += prefixes[i].size;
    }
    for (size_t i = 0; i < database_count; i++) {
        size_t size = strlen(databases[i]) + 1;
        memcpy(at, databases[i], size);
        names[i] = at;
        at += size;
    }
    out->memory = slices;
    if (database_count) {
        out->databases = names;
        out->database_count = database_count;
    }
    out->prefix_count = make_disjoint(slices, prefix_count);
    /* The empty prefix begins all the others and is alone now: no bound. */
    if (out->prefix_count == 1 && slices[0].size == 0) out->prefix_count = 0;
    if (out->prefix_count) out->prefixes = slices;
    return true;
}

static bool fits(const char *const *databases, size_t database_count, const velocity_slice *prefixes,
                 size_t prefix_count) {
    if (database_count > SCOPE_MAX_DATABASES || prefix_count > SCOPE_MAX_PREFIXES) return false;
    return bytes_of(databases, database_count, prefixes, prefix_count) <= SCOPE_MAX_BYTES;
}

bool scope_make(struct scope *out, const char *const *databases, size_t database_count, const velocity_slice *prefixes,
                size_t prefix_count) {
    *out = (struct scope){0};
    if (!fits(databases, database_count, prefixes, prefix_count)) return false;
    return make(out, databases, database_count, prefixes, prefix_count);
}

velocity_status scope_ask(struct scope *out, const char *const *databases, size_t database_count,
                          const velocity_slice *prefixes, size_t prefix_count) {
    *out = (struct scope){0};
    for (size_t i = 0; i < database_count; i++)
        if (!database_name_is_good(velocity_str(databases[i])))
            return status_set(VELOCITY_INVALID, "no database can be called \"%.63s\"", databases[i]);
    if (!fits(databases, database_count, prefixes, prefix_count))
        return status_set(VELOCITY_INVALID, "a scope has at most %d databases and %d prefixes, with %d bytes together",
                          SCOPE_MAX_DATABASES, SCOPE_MAX_PREFIXES, SCOPE_MAX_BYTES);
    if (make(out, databases, database_count, prefixes, prefix_count)) return VELOCITY_OK;
    return status_set(VELOCITY_NO_MEMORY, "no memory for a scope");
}

bool scope_copy(struct scope *out, const struct scope *from) {
    return make(out, (const char *const *)from->databases, from->database_count, from->prefixes, from->prefix_count);
}

void scope_free(struct scope *scope) {
    env_free(scope->memory);
    *scope = (struct scope){0};
}

/* ---- asking ----------------------------------------------------------------------------------------------------- */

bool scope_is_all(const struct scope *scope) {
    return scope->database_count == 0 && scope->prefix_count == 0;
}

bool scope_has_database(const struct scope *scope, velocity_slice name) {
    for (size_t i = 0; i < scope->database_count; i++)
        if (key_compare(velocity_str(scope->databases[i]), name) == 0) return true;
    return scope->database_count == 0;
}

/* How many prefixes are not greater than the key. */
static size_t prefixes_up_to(const struct scope *scope, velocity_slice key) {
    size_t low = 0, high = scope->prefix_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (key_compare(scope->prefixes[middle], key) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool scope_has_key(const struct scope *scope, velocity_slice key) {
    if (scope->prefix_count == 0) return true;
    size_t count = prefixes_up_to(scope, key);
    return count > 0 && key_begins_with(key, scope->prefixes[count - 1]);
}

/* An end of a range: a string, or the successor of one, which is never written out. */
struct edge {
    velocity_slice bytes; /* at least one */
    bool successor;       /* as if its last byte, which is not 0xFF, were one more */
    bool none;            /* beyond every key */
};

static unsigned byte_at(const struct edge *edge, size_t i) {
    return ((const unsigned char *)edge->bytes.data)[i] + (edge->successor && i + 1 == edge->bytes.size);
}

static struct edge successor_of(velocity_slice prefix) {
    while (prefix.size && ((const unsigned char *)prefix.data)[prefix.size - 1] == 0xFF) prefix.size--;
    return (struct edge){.bytes = prefix, .successor = true, .none = prefix.size == 0};
}

static int compare_edges(const struct edge *a, const struct edge *b) {
    if (a->none || b->none) return (int)a->none - (int)b->none;
    size_t shared = a->bytes.size < b->bytes.size ? a->bytes.size : b->bytes.size;
    for (size_t i = 0; i < shared; i++)
        if (byte_at(a, i) != byte_at(b, i)) return byte_at(a, i) < byte_at(b, i) ? -1 : 1;
    return a->bytes.size < b->bytes.size ? -1 : a->bytes.size > b->bytes.size;
}

bool scope_has_range(const struct scope *scope, velocity_slice start, velocity_slice end, velocity_slice prefix) {
    if (scope->prefix_count == 0) return true;
    velocity_slice first = key_compare(start, prefix) > 0 ? start : prefix;
    if (first.size == 0) first = velocity_bytes("", 1); /* the least key: one byte, a zero */
    struct edge from = {.bytes = first}, to = prefix.size ? successor_of(prefix) : (struct edge){.none = true};
    struct edge given_end = {.bytes = end, .none = end.size == 0};
    if (compare_edges(&given_end, &to) < 0) to = given_end;
    if (compare_edges(&from, &to) >= 0) return true; /* it holds no key */

    size_t i = prefixes_up_to(scope, first);
    if (i == 0 || !key_begins_with(first, scope->prefixes[i - 1])) return false;
    struct edge reached = successor_of(scope->prefixes[i - 1]);
    for (; i < scope->prefix_count && compare_edges(&reached, &to) < 0; i++) {
        struct edge next = {.bytes = scope->prefixes[i]};
        if (compare_edges(&reached, &next) != 0) return false; /* a gap */
        reached = successor_of(scope->prefixes[i]);
    }
    return compare_edges(&reached, &to) >= 0;
}

bool scope_covers(const struct scope *outer, const struct scope *inner) {
    velocity_slice no_bound = {0};
    if (outer->database_count && inner->database_count == 0) return false;
    for (size_t i = 0; i < inner->database_count; i++)
        if (!scope_has_database(outer, velocity_str(inner->databases[i]))) return false;
    if (inner->prefix_count == 0) return scope_has_range(outer, no_bound, no_bound, no_bound);
    for (size_t i = 0; i < inner->prefix_count; i++)
        if (!scope_has_range(outer, no_bound, no_bound, inner->prefixes[i])) return false;
    return true;
}

/* ---- intersection ----------------------------------------------------------------------------------------------- */

/* False: both have databases, and none is in both. */
static bool common_databases(const struct scope *a, const struct scope *b, const char **out, size_t *count) {
    const struct scope *from = a->database_count ? a : b, *in = from == a ? b : a;
    for (size_t i = 0; i < from->database_count; i++)
        if (scope_has_database(in, velocity_str(from->databases[i]))) out[(*count)++] = from->databases[i];
    return *count > 0 || from->database_count == 0;
}

/* The same for prefixes: of two that overlap, the longer one. */
static bool common_prefixes(const struct scope *a, const struct scope *b, velocity_slice *out, size_t *count) {
    for (size_t i = 0; i < a->prefix_count; i++)
        if (scope_has_key(b, a->prefixes[i])) out[(*count)++] = a->prefixes[i];
    for (size_t i = 0; i < b->prefix_count; i++)
        if (scope_has_key(a, b->prefixes[i])) out[(*count)++] = b->prefixes[i];
    return *count > 0 || a->prefix_count + b->prefix_count == 0;
}

enum scope_meeting scope_intersect(struct scope *out, const struct scope *a, const struct scope *b) {
    size_t database_count = 0, prefix_count = 0, databases = a->database_count + b->database_count,
           prefixes = a->prefix_count + b->prefix_count;
    velocity_slice *slices = env_alloc(prefixes * sizeof *slices + databases * sizeof(char *));
    if (!slices) return SCOPE_NO_MEMORY;
    const char **names = (const char **)(slices + prefixes);
    enum scope_meeting meeting = SCOPE_APART;
    if (common_databases(a, b, names, &database_count) && common_prefixes(a, b, slices, &prefix_count))
        meeting = make(out, names, database_count, slices, prefix_count) ? SCOPE_MEET : SCOPE_NO_MEMORY;
    env_free(slices);
    return meeting;
}
