/* script_read.c - a script's reads: points, pinned values, snapshots, iterators. See script.h. */
#include "script.h"

/* ---- points ------------------------------------------------------------------------------------------------------ */

static velocity_slice random_key(struct script *s) {
    size_t key = model_random(s->m, s->m->key_count);
    script_say(s, " key %zu", key);
    return s->m->keys[key].bytes;
}

static void say_found(struct script *s, const velocity_value *value) {
    script_say(s, " %zu bytes %016llx, flags %08x, until %lld, version %llu", value->size,
               (unsigned long long)model_hash(velocity_bytes(value->data, value->size)), value->flags,
               (long long)value->expires_at_ms, (unsigned long long)script_version(s, value->sequence));
}

void script_say_value(struct script *s, velocity_status status, const velocity_value *value) {
    script_say_status(s, status);
    if (status == VELOCITY_OK) say_found(s, value);
}

static void get(struct script *s) {
    velocity_value value;
    script_say(s, "get");
    velocity_status status = velocity_get(s->db, random_key(s), &value);
    script_say_value(s, status, &value);
    if (status == VELOCITY_OK) velocity_value_release(&value);
}

static const velocity_snapshot *random_snapshot(struct script *s) {
    size_t which = model_random(s->m, SCRIPT_SNAPSHOTS);
    if (s->snapshots[which]) script_say(s, " in snapshot %zu", which);
    return s->snapshots[which];
}

/* What the cache can't answer alone differs with its size; what is answered does not. */
static void get_with(struct script *s) {
    velocity_value value;
    velocity_read_options options = velocity_read_options_default();
    script_say(s, "get");
    options.snapshot = random_snapshot(s);
    options.cache_only = model_random(s->m, 2) == 0;
    options.fill_cache = model_random(s->m, 2) == 0;
    velocity_slice key = random_key(s);
    velocity_status status = velocity_get_with(s->db, &options, key, &value);
    if (status == VELOCITY_INCOMPLETE && options.cache_only) {
        options.cache_only = false;
        status = velocity_get_with(s->db, &options, key, &value);
    }
    script_say_value(s, status, &value);
    if (status == VELOCITY_OK) velocity_value_release(&value);
}

static void contains(struct script *s) {
    script_say(s, "contains");
    script_say_status(s, velocity_contains(s->db, random_key(s)));
}

static void get_many(struct script *s) {
    enum { MANY = 12 };
    size_t count = model_random(s->m, MANY + 1);
    velocity_slice keys[MANY];
    velocity_value values[MANY];
    velocity_status statuses[MANY];
    velocity_read_options options = velocity_read_options_default();
    script_say(s, "get many");
    options.snapshot = random_snapshot(s);
    for (size_t i = 0; i < count; i++) keys[i] = random_key(s);
    script_say(s, ":");
    script_say_status(s, velocity_get_many(s->db, &options, count, keys, values, statuses));
    for (size_t i = 0; i < count; i++) {
        script_say_value(s, statuses[i], &values[i]);
        if (statuses[i] == VELOCITY_OK) velocity_value_release(&values[i]);
    }
}

/* A value that is kept is still the same when it is given back. */
static void let_go(struct script *s, size_t which) {
    if (!s->holds[which]) return;
    say_found(s, &s->values[which]);
    velocity_value_release(&s->values[which]);
    s->holds[which] = false;
}

static void hold(struct script *s) {
    size_t which = model_random(s->m, SCRIPT_VALUES);
    script_say(s, "value %zu", which);
    if (s->holds[which]) {
        let_go(s, which);
        return;
    }
    velocity_status status = velocity_get(s->db, random_key(s), &s->values[which]);
    script_say_value(s, status, &s->values[which]);
    s->holds[which] = status == VELOCITY_OK;
}

static void turn_snapshot(struct script *s) {
    velocity_snapshot **place = &s->snapshots[model_random(s->m, SCRIPT_SNAPSHOTS)];
    script_say(s, *place ? "end of a snapshot" : "snapshot");
    if (*place) {
        velocity_snapshot_free(*place);
        *place = NULL;
    } else if ((*place = velocity_snapshot_new(s->db))) {
        script_say_sequence(s, velocity_snapshot_sequence(*place));
    } else {
        script_say_status(s, VELOCITY_NO_MEMORY);
    }
}

/* ---- iterators --------------------------------------------------------------------------------------------------- */

struct seen {
    uint64_t rows, hash;
};

static void see(struct script *s, struct seen *seen, const velocity_iterator *it, bool keys_only) {
    uint64_t row[] = {seen->hash,
                      model_hash(velocity_iterator_key(it)),
                      velocity_iterator_value_size(it),
                      velocity_iterator_flags(it),
                      (uint64_t)velocity_iterator_expires_at_ms(it),
                      script_version(s, velocity_iterator_sequence(it)),
                      model_hash(velocity_iterator_value(it)),
                      keys_only};
    seen->rows++;
    seen->hash = model_hash(velocity_bytes(row, sizeof row));
}

static void say_seen(struct script *s, const struct seen *seen, const velocity_iterator *it) {
    script_say(s, ": %llu rows %016llx, then %s,", (unsigned long long)seen->rows, (unsigned long long)seen->hash,
               velocity_iterator_valid(it) ? "one more" : "none");
    script_say_status(s, velocity_iterator_status(it));
}

void script_scan(struct script *s, velocity_iterator *it, bool keys_only) {
    struct seen seen = {0};
    for (; velocity_iterator_valid(it); velocity_iterator_next(it)) see(s, &seen, it, keys_only);
    say_seen(s, &seen, it);
}

/* Mostly in one direction, sometimes back, sometimes elsewhere. */
void script_move(struct script *s, velocity_iterator *it, bool keys_only) {
    struct seen seen = {0};
    uint8_t space[MODEL_BOUND_BYTES];
    bool next = model_random(s->m, 3) > 0;
    for (uint64_t moves = model_random(s->m, 30); moves > 0; moves--) {
        if (!velocity_iterator_valid(it) || model_random(s->m, 12) == 0)
            velocity_iterator_seek(it, model_random_bound(s->m, space));
        else if (next)
            velocity_iterator_next(it);
        else
            velocity_iterator_prev(it);
        if (velocity_iterator_valid(it)) see(s, &seen, it, keys_only);
        if (model_random(s->m, 8) == 0) next = !next;
    }
    say_seen(s, &seen, it);
}

velocity_range script_random_range(struct script *s, uint8_t space[3][MODEL_BOUND_BYTES]) {
    velocity_range range = velocity_range_default();
    if (model_random(s->m, 3) == 0) range.start = model_random_bound(s->m, space[0]);
    if (model_random(s->m, 3) == 0) range.end = model_random_bound(s->m, space[1]);
    if (model_random(s->m, 4) == 0)
        range.prefix = model_random_bound(s->m, space[2]);
    else if (s->letter)
        range.prefix = velocity_bytes(&s->letter, 1);
    range.reverse = model_random(s->m, 2) == 0;
    range.keys_only = model_random(s->m, 4) == 0;
    range.fill_cache = model_random(s->m, 2) == 0;
    script_say(s, "%s%s%s%s%s", range.start.data ? ", from" : "", range.end.data ? ", up to" : "",
               range.prefix.size > 1 ? ", prefix" : "", range.reverse ? ", reverse" : "",
               range.keys_only ? ", keys only" : "");
    return range;
}

static void scan(struct script *s) {
    uint8_t space[3][MODEL_BOUND_BYTES];
    script_say(s, "scan");
    velocity_range range = script_random_range(s, space);
    if (model_random(s->m, 2)) range.snapshot = random_snapshot(s);
    velocity_iterator *it = velocity_iterator_new(s->db, &range);
    script_scan(s, it, range.keys_only);
    velocity_iterator_free(it);
}

static void move_cursor(struct script *s) {
    struct script_cursor *c = &s->cursors[model_random(s->m, SCRIPT_CURSORS)];
    script_say(s, "iterator");
    if (!c->it) {
        uint8_t space[3][MODEL_BOUND_BYTES];
        velocity_range range = script_random_range(s, space);
        if (model_random(s->m, 2)) range.snapshot = random_snapshot(s);
        c->it = velocity_iterator_new(s->db, &range);
        c->keys_only = range.keys_only;
    }
    script_move(s, c->it, c->keys_only);
    if (model_random(s->m, 10)) return;
    velocity_iterator_free(c->it);
    c->it = NULL;
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

void script_release_reads(struct script *s) {
    for (size_t i = 0; i < SCRIPT_VALUES; i++) let_go(s, i);
    for (size_t i = 0; i < SCRIPT_CURSORS; i++) {
        velocity_iterator_free(s->cursors[i].it);
        s->cursors[i].it = NULL;
    }
    for (size_t i = 0; i < SCRIPT_SNAPSHOTS; i++) {
        velocity_snapshot_free(s->snapshots[i]);
        s->snapshots[i] = NULL;
    }
}

void script_read_step(struct script *s) {
    uint64_t sort = model_random(s->m, 100);
    if (sort < 25)
        get(s);
    else if (sort < 40)
        get_with(s);
    else if (sort < 47)
        contains(s);
    else if (sort < 55)
        get_many(s);
    else if (sort < 62)
        hold(s);
    else if (sort < 68)
        turn_snapshot(s);
    else if (sort < 73)
        scan(s);
    else
        move_cursor(s);
}

static void say_entry(const velocity_iterator *it, bool versions, FILE *record) {
    velocity_slice key = velocity_iterator_key(it), value = velocity_iterator_value(it);
    (void)fprintf(record, "entry %016llx, %zu bytes %016llx, flags %08x, until %lld, version %llu\n",
                  (unsigned long long)model_hash(key), value.size, (unsigned long long)model_hash(value),
                  velocity_iterator_flags(it), (long long)velocity_iterator_expires_at_ms(it),
                  versions ? (unsigned long long)velocity_iterator_sequence(it) : 0);
}

void script_dump(velocity *db, bool versions, FILE *record) {
    velocity_range range = velocity_range_default();
    for (int backward = 0; backward < 2; backward++) {
        range.reverse = backward;
        velocity_iterator *it = velocity_iterator_new(db, &range);
        for (; velocity_iterator_valid(it); velocity_iterator_next(it)) say_entry(it, versions, record);
        (void)fprintf(record, "end: %s\n", velocity_status_name(velocity_iterator_status(it)));
        velocity_iterator_free(it);
    }
}
