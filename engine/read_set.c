/* read_set.c - what a serializable transaction has read. See read_set.h. */
#include "read_set.h"

#include "array.h"
#include "env.h"
#include "slice.h"

#include <stdlib.h>

/* No key is longer, so a bound that is cut here still parts the same keys. */
#define BOUND_MAX_BYTES (VELOCITY_MAX_KEY_BYTES + 1)

void read_set_init(struct read_set *set) {
    memset(set, 0, sizeof *set);
    arena_init(&set->keys, 1, NULL);
}

void read_set_clear(struct read_set *set) {
    env_free(set->ranges);
    arena_free(&set->keys);
    read_set_init(set);
}

static void take_everything(struct read_set *set) {
    read_set_clear(set);
    set->everything = true;
}

/* ---- joining ---------------------------------------------------------------------------------------------------- */

static int by_low(const void *a, const void *b) {
    return slice_compare(((const struct read_range *)a)->low, ((const struct read_range *)b)->low);
}

/* Whether `next`, which does not begin before `range`, begins within it; a range also, where it ends. */
static bool touches(const struct read_range *range, const struct read_range *next) {
    switch (range->kind) {
    case READ_KEY: return slice_equal(range->low, next->low);
    case READ_TO: return slice_compare(next->low, range->high) < (next->kind == READ_KEY ? 0 : 1);
    default: return true;
    }
}

/* `range` comes to hold `next` too, which it touches. */
static void join(struct read_range *range, const struct read_range *next) {
    if (range->kind == READ_TO_END || next->kind == READ_KEY) return;
    if (range->kind == READ_KEY || next->kind == READ_TO_END || slice_compare(next->high, range->high) > 0) {
        range->kind = next->kind;
        range->high = next->high;
    }
}

void read_set_settle(struct read_set *set) {
    if (set->count < 2) return;
    qsort(set->ranges, set->count, sizeof *set->ranges, by_low);
    size_t kept = 1;
    set->key_bytes = 0;
    for (size_t i = 1; i < set->count; i++) {
        struct read_range *last = &set->ranges[kept - 1], *next = &set->ranges[i];
        if (touches(last, next))
            join(last, next);
        else
            set->ranges[kept++] = *next;
    }
    set->count = kept;
    for (size_t i = 0; i < kept; i++) set->key_bytes += set->ranges[i].low.size + set->ranges[i].high.size;
}

/* Rewrites the set, `step` neighbours joined to one: their keys move to a new arena. False: no memory. */
static bool rewrite(struct read_set *set, size_t step) {
    struct arena fresh;
    size_t count = 0, bytes = 0;
    arena_init(&fresh, 1, NULL);
    if (arena_reserve(&fresh, set->key_bytes + set->count)) return false;
    for (size_t i = 0; i < set->count; i += step) {
        const struct read_range *first = &set->ranges[i];
        const struct read_range *last = &set->ranges[i + step <= set->count ? i + step - 1 : set->count - 1];
        struct read_range joined = {.kind = first == last || last->kind == READ_TO_END ? last->kind : READ_TO};
        velocity_slice high = last->kind == READ_KEY ? last->low : last->high;
        size_t successor = joined.kind == READ_TO && last->kind == READ_KEY; /* key + a zero byte */
        size_t high_bytes = joined.kind == READ_TO ? high.size + successor : 0;
        uint8_t *to = arena_take(&fresh, first->low.size + high_bytes);
        if (first->low.size) memcpy(to, first->low.data, first->low.size);
        joined.low = velocity_bytes(to, first->low.size);
        if (high_bytes) {
            memcpy(to + first->low.size, high.data, high.size);
            if (successor) to[first->low.size + high.size] = 0;
            joined.high = velocity_bytes(to + first->low.size, high_bytes);
        }
        bytes += first->low.size + high_bytes;
        set->ranges[count++] = joined;
    }
    arena_free(&set->keys);
    set->keys = fresh;
    set->count = count;
    set->key_bytes = bytes;
    return true;
}

static void shrink(struct read_set *set) {
    read_set_settle(set);
    for (size_t step = 1;; step = 2) { /* first without the bytes of what was joined */
        if (!rewrite(set, step)) {
            take_everything(set);
            return;
        }
        if (set->count <= VELOCITY_TXN_READ_ENTRIES / 2 && set->key_bytes <= VELOCITY_TXN_READ_BYTES / 2) return;
    }
}

/* ---- adding ----------------------------------------------------------------------------------------------------- */

static bool make_room(struct read_set *set, size_t bytes) {
    if (set->count == VELOCITY_TXN_READ_ENTRIES || set->key_bytes + bytes > VELOCITY_TXN_READ_BYTES) shrink(set);
    if (set->everything) return false;
    if (array_reserve(set->ranges, set->capacity, set->count)) return false;
    return arena_reserve(&set->keys, bytes) == VELOCITY_OK;
}

static velocity_slice copy_key(struct read_set *set, velocity_slice key) {
    if (key.size == 0) return velocity_bytes(NULL, 0);
    void *to = arena_take(&set->keys, key.size);
    memcpy(to, key.data, key.size);
    return velocity_bytes(to, key.size);
}

static void add(struct read_set *set, velocity_slice low, velocity_slice high, enum read_range_kind kind) {
    size_t bytes = low.size + high.size;
    if (set->everything) return;
    if (!make_room(set, bytes)) {
        take_everything(set);
        return;
    }
    struct read_range *range = &set->ranges[set->count++];
    range->kind = kind;
    range->low = copy_key(set, low);
    range->high = copy_key(set, high);
    set->key_bytes += bytes;
}

void read_set_add_key(struct read_set *set, velocity_slice key) {
    const struct read_range *last = set->count ? &set->ranges[set->count - 1] : NULL;
    if (last && last->kind == READ_KEY && slice_equal(last->low, key)) return;
    add(set, key, velocity_bytes(NULL, 0), READ_KEY);
}

void read_set_add_range(struct read_set *set, velocity_slice low, velocity_slice high) {
    if (high.data && slice_compare(low, high) >= 0) return;
    add(set, low, high.data ? high : velocity_bytes(NULL, 0), high.data ? READ_TO : READ_TO_END);
}

/* ---- iterators ----------------------------------------------------------------------------------------------------
 */

struct read_scan *read_scan_new(struct read_set *set, struct read_scan **list) {
    struct read_scan *scan = env_alloc_zeroed(sizeof *scan);
    if (!scan) return NULL;
    scan->set = set;
    scan->next = *list;
    scan->link = list;
    if (scan->next) scan->next->link = &scan->next;
    *list = scan;
    return scan;
}

void read_scan_free(struct read_scan *scan) {
    if (!scan) return;
    read_scan_note(scan);
    if (scan->set) {
        *scan->link = scan->next;
        if (scan->next) scan->next->link = scan->link;
    }
    env_free(scan->low.data);
    env_free(scan->high.data);
    env_free(scan);
}

/* The bound becomes `key`, or with `after` its successor; without data: behind every key. False: no memory. */
static bool set_bound(struct read_bound *bound, velocity_slice key, bool after) {
    size_t size = key.size < BOUND_MAX_BYTES ? key.size : BOUND_MAX_BYTES;
    if (size + 1 > bound->capacity) {
        uint8_t *bigger = env_realloc(bound->data, 2 * size + 16);
        if (!bigger) return false;
        bound->data = bigger;
        bound->capacity = 2 * size + 16;
    }
    if (size) memcpy(bound->data, key.data, size);
    bound->data[size] = 0;
    bound->size = size + after;
    bound->infinite = !key.data;
    return true;
}

static velocity_slice bound_slice(const struct read_bound *bound) {
    return bound->infinite ? velocity_bytes(NULL, 0) : velocity_bytes(bound->data, bound->size);
}

static void move_bound(struct read_scan *scan, struct read_bound *bound, velocity_slice key, bool after) {
    if (!set_bound(bound, key, after)) take_everything(scan->set);
}

void read_scan_note(struct read_scan *scan) {
    if (!scan->set || !scan->begun || scan->low.infinite) return;
    read_set_add_range(scan->set, bound_slice(&scan->low), bound_slice(&scan->high));
}

void read_scan_begin(struct read_scan *scan, velocity_slice bound) {
    if (!scan->set || scan->set->everything) return;
    read_scan_note(scan);
    scan->begun = true;
    move_bound(scan, &scan->low, bound, false);
    move_bound(scan, &scan->high, bound, false);
}

void read_scan_up(struct read_scan *scan, velocity_slice key, bool with) {
    if (!scan->set || scan->set->everything || scan->high.infinite) return;
    int order = key.data ? slice_compare(key, bound_slice(&scan->high)) : 1;
    if (order > 0 || (order == 0 && with)) move_bound(scan, &scan->high, key, with);
}

void read_scan_down(struct read_scan *scan, velocity_slice key) {
    if (!scan->set || scan->set->everything) return;
    if (scan->low.infinite || slice_compare(key, bound_slice(&scan->low)) < 0) move_bound(scan, &scan->low, key, false);
}
