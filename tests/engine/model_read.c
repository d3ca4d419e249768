/* model_read.c - reads beside the model: gets, snapshots, iterators. See model_run.h. */
#include "engine/slice.h"
#include "model_run.h"

#include <stdio.h>

/* ---- points -------------------------------------------------------------------------------------------------------
 */

static bool value_is(const velocity_value *value, const struct model_version *expected) {
    return value->size == expected->size && value->flags == expected->flags && value->sequence == expected->sequence &&
           value->expires_at_ms == expected->expires_at_ms &&
           model_hash(velocity_bytes(value->data, value->size)) == expected->hash;
}

/* Compares what a lookup answered with the model as of `sequence`. */
static void expect_value_on(struct run *r, size_t key, uint64_t sequence, long day, velocity_status status,
                            const velocity_value *value) {
    const struct model_version *expected = model_find_on(r->m, key, sequence, day);
    if (run_crashed(r)) return;
    if (status != (expected ? VELOCITY_OK : VELOCITY_NOT_FOUND))
        run_fail(r, "key %zu at %llu: %s, but the model has %s %llu", key, (unsigned long long)sequence,
                 velocity_status_name(status), expected ? "sequence" : "nothing",
                 expected ? (unsigned long long)expected->sequence : 0);
    if (expected && value && !value_is(value, expected))
        run_fail(r, "key %zu at %llu: %zu bytes of sequence %llu, but the model has %u bytes of %llu", key,
                 (unsigned long long)sequence, value->size, (unsigned long long)value->sequence, expected->size,
                 (unsigned long long)expected->sequence);
}

void run_expect_value(struct run *r, size_t key, velocity_status status, const velocity_value *value) {
    expect_value_on(r, key, UINT64_MAX, r->m->day, status, value);
}

static void get(struct run *r, size_t key) {
    velocity_value value;
    run_doing(r, "get key %zu", key);
    velocity_status status = velocity_get(r->db, r->m->keys[key].bytes, &value);
    run_expect_value(r, key, status, &value);
    if (status == VELOCITY_OK) velocity_value_release(&value);
}

static void get_with(struct run *r, size_t key) {
    velocity_value value;
    velocity_read_options options = velocity_read_options_default();
    size_t which = model_random(r->m, RUN_SNAPSHOTS);
    options.snapshot = r->snapshots[which];
    options.cache_only = model_random(r->m, 2) == 0;
    options.fill_cache = model_random(r->m, 2) == 0;
    uint64_t sequence = options.snapshot ? velocity_snapshot_sequence(options.snapshot) : UINT64_MAX;
    long day = options.snapshot ? r->snapshot_days[which] : r->m->day;
    run_doing(r, "get key %zu at %llu%s", key, (unsigned long long)sequence, options.cache_only ? ", cache only" : "");
    velocity_status status = velocity_get_with(r->db, &options, r->m->keys[key].bytes, &value);
    if (status != VELOCITY_INCOMPLETE || !options.cache_only) expect_value_on(r, key, sequence, day, status, &value);
    if (status == VELOCITY_OK) velocity_value_release(&value);
}

static void contains(struct run *r, size_t key) {
    run_doing(r, "contains key %zu", key);
    run_expect_value(r, key, velocity_contains(r->db, r->m->keys[key].bytes), NULL);
}

static void get_many(struct run *r) {
    enum { MANY = 12 };
    size_t chosen[MANY], count = model_random(r->m, MANY + 1);
    velocity_slice keys[MANY];
    velocity_value values[MANY];
    velocity_status statuses[MANY];
    velocity_read_options options = velocity_read_options_default();
    size_t which = model_random(r->m, RUN_SNAPSHOTS);
    options.snapshot = r->snapshots[which];
    uint64_t sequence = options.snapshot ? velocity_snapshot_sequence(options.snapshot) : UINT64_MAX;
    long day = options.snapshot ? r->snapshot_days[which] : r->m->day;
    for (size_t i = 0; i < count; i++) {
        chosen[i] = model_random(r->m, r->m->key_count);
        keys[i] = r->m->keys[chosen[i]].bytes;
    }
    run_doing(r, "get %zu keys", count);
    velocity_status status = velocity_get_many(r->db, &options, count, keys, values, statuses);
    if (!run_crashed(r)) RUN_EXPECT(r, status == VELOCITY_OK);
    for (size_t i = 0; i < count; i++) {
        expect_value_on(r, chosen[i], sequence, day, statuses[i], &values[i]);
        if (statuses[i] == VELOCITY_OK) velocity_value_release(&values[i]);
    }
}

/* A key that nobody ever wrote: most of them lie between two that exist. */
static void get_absent(struct run *r) {
    uint8_t bytes[8192];
    velocity_slice near = r->m->keys[model_random(r->m, r->m->key_count)].bytes;
    velocity_value value;
    memcpy(bytes, near.data, near.size);
    memcpy(bytes + near.size, "\1absent", 7);
    run_doing(r, "get of an absent key");
    velocity_status status = velocity_get(r->db, velocity_bytes(bytes, near.size + 7), &value);
    if (!run_crashed(r)) RUN_EXPECT(r, status == VELOCITY_NOT_FOUND);
}

/* ---- snapshots ----------------------------------------------------------------------------------------------------
 */

static void turn_snapshot(struct run *r) {
    size_t which = model_random(r->m, RUN_SNAPSHOTS);
    velocity_snapshot **place = &r->snapshots[which];
    run_doing(r, "snapshot");
    if (*place) {
        velocity_snapshot_free(*place);
        *place = NULL;
        return;
    }
    *place = velocity_snapshot_new(r->db);
    r->snapshot_days[which] = r->m->day;
    RUN_EXPECT(r, *place != NULL);
    RUN_EXPECT(r, run_crashed(r) || velocity_snapshot_sequence(*place) == r->m->last);
}

/* ---- iterators ----------------------------------------------------------------------------------------------------
 */

static bool in_range(velocity_slice key, const velocity_range *range) {
    return (!range->start.data || slice_compare(key, range->start) >= 0) &&
           (!range->end.data || slice_compare(key, range->end) < 0) &&
           (!range->prefix.data || slice_starts_with(key, range->prefix));
}

static long next_of(const struct run *r, const struct run_cursor *c, long from, int step) {
    return model_next_on(r->m, from, step, c->low, c->high, c->sequence, c->day);
}

static void place_cursor(struct run *r, struct run_cursor *c, const velocity_range *range) {
    long count = (long)r->m->key_count;
    c->low = 0;
    while (c->low < count && !in_range(r->m->keys[c->low].bytes, range)) c->low++;
    c->high = c->low;
    while (c->high < count && in_range(r->m->keys[c->high].bytes, range)) c->high++;
    c->position = c->reverse ? next_of(r, c, c->high - 1, -1) : next_of(r, c, c->low, 1);
}

static void expect_cursor(struct run *r, const struct run_cursor *c) {
    if (run_crashed(r)) return;
    bool valid = velocity_iterator_valid(c->it);
    velocity_status status = velocity_iterator_status(c->it);
    if (status != VELOCITY_OK) run_fail(r, "iterator: %s", velocity_status_name(status));
    if (valid != (c->position >= 0))
        run_fail(r, "the iterator is %s, but the model stands on %ld of [%ld, %ld)", valid ? "valid" : "not valid",
                 c->position, c->low, c->high);
    if (!valid) return;
    const struct model_version *expected = model_find_on(r->m, (size_t)c->position, c->sequence, c->day);
    velocity_slice value = velocity_iterator_value(c->it);
    if (!slice_equal(velocity_iterator_key(c->it), r->m->keys[c->position].bytes))
        run_fail(r, "the iterator stands on another key than %ld of [%ld, %ld), sequence %llu", c->position, c->low,
                 c->high, (unsigned long long)velocity_iterator_sequence(c->it));
    RUN_EXPECT(r, velocity_iterator_sequence(c->it) == expected->sequence);
    RUN_EXPECT(r, velocity_iterator_flags(c->it) == expected->flags);
    RUN_EXPECT(r, velocity_iterator_expires_at_ms(c->it) == expected->expires_at_ms);
    RUN_EXPECT(r, velocity_iterator_value_size(c->it) == expected->size);
    RUN_EXPECT(r, c->keys_only ? value.size == 0 : model_hash(value) == expected->hash);
}

static void open_cursor(struct run *r, struct run_cursor *c) {
    uint8_t start[MODEL_BOUND_BYTES], end[MODEL_BOUND_BYTES], prefix[MODEL_BOUND_BYTES];
    velocity_range range = velocity_range_default();
    if (model_random(r->m, 3) == 0) range.start = model_random_bound(r->m, start);
    if (model_random(r->m, 3) == 0) range.end = model_random_bound(r->m, end);
    if (model_random(r->m, 4) == 0) range.prefix = model_random_bound(r->m, prefix);
    range.reverse = c->reverse = model_random(r->m, 2) == 0;
    range.keys_only = c->keys_only = model_random(r->m, 4) == 0;
    range.fill_cache = model_random(r->m, 2) == 0;
    size_t which = model_random(r->m, RUN_SNAPSHOTS);
    range.snapshot = model_random(r->m, 2) ? NULL : r->snapshots[which];
    c->day = range.snapshot ? r->snapshot_days[which] : r->m->day;
    c->sequence = range.snapshot ? velocity_snapshot_sequence(range.snapshot) : r->m->last;
    run_doing(r, "new %siterator", c->reverse ? "reverse " : "");
    c->it = velocity_iterator_new(r->db, &range);
    RUN_EXPECT(r, c->it != NULL);
    RUN_EXPECT(r, run_crashed(r) || velocity_iterator_snapshot_sequence(c->it) == c->sequence);
    place_cursor(r, c, &range);
    expect_cursor(r, c);
}

static void seek_cursor(struct run *r, struct run_cursor *c) {
    uint8_t space[MODEL_BOUND_BYTES];
    velocity_slice target = model_random_bound(r->m, space);
    long from = 0;
    while (from < (long)r->m->key_count && slice_compare(r->m->keys[from].bytes, target) < 0) from++;
    if (c->reverse) { /* the last with a key <= target */
        bool exact = from < (long)r->m->key_count && slice_equal(r->m->keys[from].bytes, target);
        if (!exact) from--;
        if (from >= c->high) from = c->high - 1;
        c->position = next_of(r, c, from, -1);
    } else {
        if (from < c->low) from = c->low;
        c->position = next_of(r, c, from, 1);
    }
    run_doing(r, "seek in a %siterator over [%ld, %ld) at %llu", c->reverse ? "reverse " : "", c->low, c->high,
              (unsigned long long)c->sequence);
    velocity_iterator_seek(c->it, target);
    expect_cursor(r, c);
}

static void step_cursor(struct run *r, struct run_cursor *c, bool next) {
    int step = next != c->reverse ? 1 : -1;
    run_doing(r, "%s from %ld in a %siterator over [%ld, %ld) at %llu", next ? "next" : "prev", c->position,
              c->reverse ? "reverse " : "", c->low, c->high, (unsigned long long)c->sequence);
    c->position = next_of(r, c, c->position + step, step);
    if (next)
        velocity_iterator_next(c->it);
    else
        velocity_iterator_prev(c->it);
    expect_cursor(r, c);
}

static void close_cursor(struct run_cursor *c) {
    velocity_iterator_free(c->it);
    c->it = NULL;
}

/* Some moves of a cursor that lives on; mostly in one direction, then back. */
static void move_cursor(struct run *r) {
    struct run_cursor *c = &r->cursors[model_random(r->m, RUN_CURSORS)];
    if (!c->it) {
        open_cursor(r, c);
        return;
    }
    if (model_random(r->m, 10) == 0) {
        close_cursor(c);
        return;
    }
    bool next = model_random(r->m, 3) > 0;
    for (uint64_t moves = model_random(r->m, 30); moves > 0 && !run_crashed(r); moves--) {
        if (c->position < 0 || model_random(r->m, 12) == 0)
            seek_cursor(r, c);
        else
            step_cursor(r, c, next);
        if (model_random(r->m, 8) == 0) next = !next;
    }
}

void run_release_handles(struct run *r) {
    velocity_changes_free(r->feed);
    r->feed = NULL;
    run_txn_release(r);
    for (size_t i = 0; i < RUN_CURSORS; i++) close_cursor(&r->cursors[i]);
    for (size_t i = 0; i < RUN_SNAPSHOTS; i++) {
        velocity_snapshot_free(r->snapshots[i]);
        r->snapshots[i] = NULL;
    }
}

/* ---- everything ---------------------------------------------------------------------------------------------------
 */

static void compare_scan(struct run *r, bool reverse) {
    struct run_cursor c = {.reverse = reverse, .sequence = r->m->last, .day = r->m->day};
    velocity_range range = velocity_range_default();
    range.reverse = reverse;
    c.it = velocity_iterator_new(r->db, &range);
    RUN_EXPECT(r, c.it != NULL);
    place_cursor(r, &c, &range);
    for (expect_cursor(r, &c); c.position >= 0 && !run_crashed(r);) step_cursor(r, &c, true);
    velocity_iterator_free(c.it);
}

void run_compare_all(struct run *r) {
    for (size_t i = 0; i < r->m->key_count; i++) get(r, i);
    compare_scan(r, false);
    compare_scan(r, true);
    velocity_stats stats = {.struct_size = sizeof stats};
    RUN_EXPECT(r, velocity_stats_get(r->db, &stats) == VELOCITY_OK);
    RUN_EXPECT(r, run_crashed(r) || stats.last_sequence == r->m->last);
}

bool run_state_is(struct run *r, uint64_t sequence, bool tell) {
    velocity_iterator *it = velocity_iterator_new(r->db, NULL);
    long count = (long)r->m->key_count, at = model_next(r->m, 0, 1, 0, count, sequence);
    bool same = true;
    RUN_EXPECT(r, it != NULL);
    for (; same && at >= 0 && velocity_iterator_valid(it); velocity_iterator_next(it)) {
        const struct model_version *expected = model_find(r->m, (size_t)at, sequence);
        same = slice_equal(velocity_iterator_key(it), r->m->keys[at].bytes) &&
               velocity_iterator_sequence(it) == expected->sequence && velocity_iterator_flags(it) == expected->flags &&
               model_hash(velocity_iterator_value(it)) == expected->hash;
        if (!same && tell)
            fprintf(stderr, "expected key %ld of sequence %llu, found sequence %llu\n", at,
                    (unsigned long long)expected->sequence, (unsigned long long)velocity_iterator_sequence(it));
        at = model_next(r->m, at + 1, 1, 0, count, sequence);
    }
    velocity_status status = velocity_iterator_status(it);
    if (status == VELOCITY_IO && r->io_may_fail) { /* a fault strikes once */
        velocity_iterator_free(it);
        return run_state_is(r, sequence, tell);
    }
    if (status != VELOCITY_OK) run_fail(r, "scan: %s", velocity_status_name(status));
    if (same && (at >= 0 || velocity_iterator_valid(it))) {
        same = false;
        if (tell) fprintf(stderr, at >= 0 ? "key %ld is missing\n" : "there is more than expected (%ld)\n", at);
    }
    velocity_iterator_free(it);
    return same;
}

void run_read_step(struct run *r) {
    size_t key = model_random(r->m, r->m->key_count);
    uint64_t sort = model_random(r->m, 100);
    if (sort < 30)
        get(r, key);
    else if (sort < 45)
        get_with(r, key);
    else if (sort < 52)
        contains(r, key);
    else if (sort < 60)
        get_many(r);
    else if (sort < 65)
        get_absent(r);
    else if (sort < 72)
        turn_snapshot(r);
    else
        move_cursor(r);
}
