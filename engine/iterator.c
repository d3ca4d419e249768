/*
 * iterator.c - scans: the merge of all runs, reduced to what one sequence sees. See velocity.h.
 *
 * Going forward, the merge stands on the entry that is shown, and its bytes are shown where they lie. Going backward,
 * versions of a key come oldest first, so the newest visible one is known only when the next key begins: it is copied,
 * and the merge stands one entry beyond.
 *
 * A range is kept as [low, high): prefix, start and end together.
 *
 * What a range delete covers is passed by as if it were not there: an entry that is covered hides nothing, for the
 * older versions of its key are covered too. A run all of which is older is not stepped through, but sought behind the
 * range.
 */
#include "iterator.h"
#include "run.h"
#include "slice.h"

enum standing { NOWHERE, FORWARD, BACKWARD };

struct bytes {
    uint8_t *data;
    size_t size, capacity;
};

struct velocity_iterator {
    velocity *db;
    struct superversion *sv;
    uint64_t sequence, now_ms;
    struct write_buffer *own; /* of a transaction: its writes up to own_last are seen too. NULL: none, and own_last 0 */
    uint64_t own_last;
    struct read_scan *scan; /* of a serializable one: told what was looked at. Else NULL */
    bool reverse, keys_only, has_low, has_high;
    bool (*passing)(void *arg, velocity_slice key); /* as velocity_range has it */
    void *passing_arg;
    uint64_t passed;        /* keys that are gone */
    struct bytes low, high; /* of the range */
    struct run *runs;
    size_t run_count;
    struct merge merge;
    struct {
        const struct range_list *list;
        uint64_t last;            /* it sees those up to this sequence */
    } ranges[3 + IMMUTABLE_MAX];  /* range deletes, by where they lie */
    int range_count;              /* mostly 0 */
    struct range_stretch stretch; /* the last answer of `ranges` */
    enum standing standing;
    struct run *alone; /* going forward: the only run with keys up to `bound`, of a table whose keys differ; or NULL */
    velocity_slice bound;    /* with `alone`: the first key of the other runs; data NULL: there are none */
    struct entry shown;      /* where valid */
    struct bytes key, value; /* the shown entry's own copy, going backward; `key` also forward, once it moves on */
    struct table_read read;
    velocity_slice value_apart;
    struct held_block value_held; /* the shown entry's value, if it stands apart and was asked for */
    bool valid;
    velocity_status status;
};

velocity_range velocity_range_default(void) {
    velocity_range range = {.struct_size = sizeof range, .fill_cache = true};
    return range;
}

static bool copy_bytes(struct bytes *to, velocity_slice from) {
    if (from.size > to->capacity) {
        uint8_t *bigger = env_realloc(to->data, from.size * 2);
        if (!bigger) return false;
        to->data = bigger;
        to->capacity = from.size * 2;
    }
    if (from.size) memcpy(to->data, from.data, from.size);
    to->size = from.size;
    return true;
}

static velocity_slice slice_of(const struct bytes *b) {
    return velocity_bytes(b->data, b->size);
}

static inline void let_value_go(velocity_iterator *it) {
    if (!it->value_held.entry) return;
    cache_entry_release(it->value_held.entry);
    it->value_held.entry = NULL;
}

static void stop(velocity_iterator *it, velocity_status status) {
    it->valid = false;
    it->standing = NOWHERE;
    it->alone = NULL;
    it->status = status;
}

/* ---- building ---------------------------------------------------------------------------------------------------- */

static bool raise_low(velocity_iterator *it, velocity_slice bound) {
    if (it->has_low && slice_compare(bound, slice_of(&it->low)) <= 0) return true;
    it->has_low = true;
    return copy_bytes(&it->low, bound);
}

static bool lower_high(velocity_iterator *it, velocity_slice bound) {
    if (it->has_high && slice_compare(bound, slice_of(&it->high)) >= 0) return true;
    it->has_high = true;
    return copy_bytes(&it->high, bound);
}

/* The smallest key behind all that begin with prefix: its last byte that is not 0xff, one higher. None for all 0xff. */
static bool bound_prefix(velocity_iterator *it, velocity_slice prefix) {
    struct bytes after = {NULL, 0, 0};
    bool ok = raise_low(it, prefix) && copy_bytes(&after, prefix);
    while (ok && after.size && after.data[after.size - 1] == 0xff) after.size--;
    if (ok && after.size) {
        after.data[after.size - 1]++;
        ok = lower_high(it, slice_of(&after));
    }
    env_free(after.data);
    return ok;
}

static bool take_bounds(velocity_iterator *it, const velocity_range *range) {
    if (range->start.data && range->start.size && !raise_low(it, range->start)) return false;
    if (range->end.data && !lower_high(it, range->end)) return false;
    return !range->prefix.data || range->prefix.size == 0 || bound_prefix(it, range->prefix);
}

/* The part of a level that the range may touch. */
static void level_part(const velocity_iterator *it, const struct level *level, size_t *from, size_t *to) {
    *from = it->has_low ? level_find(level, slice_of(&it->low)) : 0;
    *to = level->count;
    if (!it->has_high) return;
    *to = level_find(level, slice_of(&it->high));
    if (*to < level->count) ++*to;
}

static bool outside(const velocity_iterator *it, const struct table *table) {
    const struct table_meta *meta = table_meta(table);
    return (it->has_low && slice_compare(meta->largest, slice_of(&it->low)) < 0) ||
           (it->has_high && slice_compare(meta->smallest, slice_of(&it->high)) >= 0);
}

static void add_ranges(velocity_iterator *it, const struct range_list *list, uint64_t last) {
    it->ranges[it->range_count].list = list;
    it->ranges[it->range_count++].last = last;
}

/* After the sequence was chosen: so that it has all range deletes that this sees. */
static void add_buffer(velocity_iterator *it, struct write_buffer *buffer, uint64_t last) {
    struct run *run = &it->runs[it->run_count++];
    run_init_memtable(run, buffer->memtable);
    uint64_t frozen = atomic_load_explicit(&buffer->last_sequence, memory_order_acquire);
    run->newest = frozen && frozen < last ? frozen : last;
    const struct range_list *ranges = range_buffer_list(&buffer->ranges);
    if (ranges) add_ranges(it, ranges, last);
}

static bool add_runs(velocity_iterator *it, const struct table_read *read) {
    const struct superversion *sv = it->sv;
    const struct version *version = sv->version;
    size_t most = 2 + (size_t)sv->immutable_count + version->levels[0].count;
    for (int l = 1; l < VELOCITY_LEVELS; l++) most += version->levels[l].count > 0;
    it->runs = env_alloc(most * sizeof *it->runs);
    if (!it->runs) return false;
    if (it->own) add_buffer(it, it->own, it->own_last);
    if (memtable_entries(sv->active->memtable)) add_buffer(it, sv->active, it->sequence);
    for (int i = 0; i < sv->immutable_count; i++) add_buffer(it, sv->immutable[i], it->sequence);
    if (version->ranges) add_ranges(it, version->ranges->root, it->sequence);
    for (size_t i = 0; i < version->levels[0].count; i++)
        if (!outside(it, version->levels[0].tables[i]))
            run_init_tables(&it->runs[it->run_count++], &version->levels[0].tables[i], 1, read, 0);
    for (int l = 1; l < VELOCITY_LEVELS; l++) {
        size_t from, to;
        level_part(it, &version->levels[l], &from, &to);
        if (from < to)
            run_init_tables(&it->runs[it->run_count++], version->levels[l].tables + from, to - from, read, 0);
    }
    return merge_init(&it->merge, it->runs, it->run_count) == VELOCITY_OK;
}

/* The sequence that the iterator shows. The superversion was taken first; if its active buffer has been frozen since,
 * what came after lies in a buffer that it does not have, so the view ends with the frozen one. */
static uint64_t choose_sequence(const velocity_iterator *it) {
    uint64_t visible = atomic_load_explicit(&it->db->visible_sequence, memory_order_acquire);
    uint64_t frozen = atomic_load_explicit(&it->sv->active->last_sequence, memory_order_acquire);
    return frozen && frozen < visible ? frozen : visible;
}

/* What the range deletes that the iterator sees say around the key. */
static struct range_stretch find_stretch(const velocity_iterator *it, velocity_slice key, bool below) {
    struct range_stretch stretch = range_stretch_all();
    for (int i = 0; i < it->range_count; i++)
        range_list_narrow(it->ranges[i].list, key, below, it->ranges[i].last, &stretch);
    return stretch;
}

/* Returned where not even an iterator could be allocated. */
static velocity_iterator no_memory = {.status = VELOCITY_NO_MEMORY};
/* Returned where the call made no sense. */
static velocity_iterator invalid = {.status = VELOCITY_INVALID};

velocity_iterator *iterator_invalid(const char *why) {
    if (why) (void)status_set(VELOCITY_INVALID, "%s", why);
    return &invalid;
}

velocity_iterator *iterator_no_memory(void) {
    return &no_memory;
}

velocity_iterator *iterator_new(velocity *db, const velocity_range *range, const struct iterator_view *view) {
    velocity_range r = velocity_range_default();
    if (range) memcpy(&r, range, range->struct_size < sizeof r ? range->struct_size : sizeof r);
    velocity_iterator *it = env_alloc(sizeof *it);
    if (!it) {
        if (view) read_scan_free(view->scan);
        return &no_memory;
    }
    memset(it, 0, sizeof *it); /* glibc's calloc passes a thread's own free lists by */
    if (view) {
        r.snapshot = view->snapshot;
        it->own = view->own;
        if (it->own) write_buffer_acquire(it->own);
        it->own_last = it->own ? view->own_last : 0;
        it->scan = view->scan;
    }
    it->db = db;
    it->reverse = r.reverse;
    it->keys_only = r.keys_only;
    it->passing = r.passing;
    it->passing_arg = r.passing_arg;
    it->sv = superversion_acquire(db);
    it->sequence = r.snapshot ? r.snapshot->sequence : choose_sequence(it);
    it->now_ms = r.snapshot ? r.snapshot->now_ms : clock_now(&db->clock); /* behind the superversion: see read.c */
    atomic_fetch_add(&db->live_handles, 1);
    struct counters *counters = database_counters(db);
    stripe_add(&counters->iterators, 1, counters->tables.shared);
    it->read = (struct table_read){.fill_cache = r.fill_cache, .counters = &counters->tables};
    if (!take_bounds(it, &r) || !add_runs(it, &it->read)) {
        stop(it, VELOCITY_NO_MEMORY);
        return it;
    }
    if (it->range_count) it->stretch = find_stretch(it, velocity_bytes("", 1), false);
    velocity_iterator_seek(it, velocity_bytes(NULL, 0));
    return it;
}

velocity_iterator *velocity_iterator_new(velocity *db, const velocity_range *range) {
    return iterator_new(db, range, NULL);
}

void velocity_iterator_free(velocity_iterator *it) {
    if (!it || it == &no_memory || it == &invalid) return;
    let_value_go(it);
    read_scan_free(it->scan);
    for (size_t i = 0; i < it->run_count; i++) run_clear(&it->runs[i]);
    merge_clear(&it->merge);
    env_free(it->runs);
    superversion_release(it->sv);
    write_buffer_release(it->own);
    env_free(it->low.data);
    env_free(it->high.data);
    env_free(it->key.data);
    env_free(it->value.data);
    velocity *db = it->db;
    env_free(it);
    atomic_fetch_sub(&db->live_handles, 1);
}

/* ---- moving
 * ---------------------------------------------------------------------------------------------------------- */

static bool beyond_high(const velocity_iterator *it, velocity_slice key) {
    return it->has_high && slice_compare(key, slice_of(&it->high)) >= 0;
}

static bool beyond_low(const velocity_iterator *it, velocity_slice key) {
    return it->has_low && slice_compare(key, slice_of(&it->low)) < 0;
}

/* Whether the iterator's state holds the operation at all. */
static inline bool is_visible(const velocity_iterator *it, const struct entry *e) {
    return e->sequence <= it->sequence || (e->sequence > OWN_SEQUENCE && e->sequence <= it->own_last);
}

/* Whether the newest visible operation on a key says that it is not there. */
static inline bool is_gone(velocity_iterator *it, const struct entry *e) {
    return entry_is_delete(e) || clock_is_over(&it->db->clock, e->expires_at_ms, &it->now_ms);
}

/* The key that it->key holds is gone, and none of its versions is left to look at. False: this goes no further. */
static bool pass_key(velocity_iterator *it) {
    if (++it->passed % VELOCITY_PASSING_KEYS || !it->passing) return true;
    if (it->passing(it->passing_arg, slice_of(&it->key))) return true;
    stop(it, status_set(VELOCITY_INCOMPLETE, "the scan was ended among keys that are gone"));
    return false;
}

/* The merge stands on a covered entry, within it->stretch. */
static void skip_covered(velocity_iterator *it) {
    struct merge *m = &it->merge;
    struct range_stretch s = it->stretch;
    uint64_t newest = run_newest(m->heap[0]), least = s.sequence;
    while (newest <= least) { /* as far as range deletes that cover all of the run join one another */
        struct range_stretch next = find_stretch(it, m->backward ? s.from : s.to, m->backward);
        if (next.sequence < newest) break;
        if (next.sequence < least) least = next.sequence;
        s.from = next.from;
        s.to = next.to;
    }
    merge_skip(m, m->backward ? s.from : s.to, least);
}

/* Moves the merge on to an entry that no range delete covers, or that is outside of the iterator's range. False: there
 * is none. */
static bool pass_covered(velocity_iterator *it) {
    struct merge *m = &it->merge;
    while (merge_valid(m)) {
        const struct entry *e = merge_entry(m);
        if (!is_visible(it, e)) return true;
        if (!range_stretch_holds(&it->stretch, e->key)) it->stretch = find_stretch(it, e->key, false);
        if (e->sequence > it->stretch.sequence) return true;
        if (m->backward ? beyond_low(it, e->key) : beyond_high(it, e->key)) return true;
        skip_covered(it);
    }
    return false;
}

/* From the shown entry on: there is no range delete at all, or none behind it. */
static inline bool nothing_is_covered(const velocity_iterator *it) {
    return it->range_count == 0 || (it->stretch.sequence == 0 && !it->stretch.to.data);
}

/* The run that the merge stands on, if stepping through it by itself shows what the merge would show. */
static inline struct run *find_alone(velocity_iterator *it) {
    struct merge *m = &it->merge;
    if (it->scan || !nothing_is_covered(it) || !run_is_plain(m->heap[0])) return NULL;
    const struct entry *second = merge_second(m);
    it->bound = second ? second->key : velocity_bytes(NULL, 0);
    return second && slice_compare(m->heap[0]->entry.key, second->key) >= 0 ? NULL : m->heap[0];
}

/* From where the merge stands: shows the first visible entry of a key other than it->key (if skip). */
static void settle_forward(velocity_iterator *it, bool skip) {
    struct merge *m = &it->merge;
    for (; merge_valid(m); merge_next(m)) {
        if (it->range_count && !pass_covered(it)) break;
        const struct entry *e = merge_entry(m);
        if (!is_visible(it, e)) continue;
        if (skip && slice_equal(e->key, slice_of(&it->key))) continue;
        if (beyond_high(it, e->key)) break;
        if (is_gone(it, e)) {
            if (!copy_bytes(&it->key, e->key)) {
                stop(it, VELOCITY_NO_MEMORY);
                return;
            }
            if (!pass_key(it)) return;
            skip = true;
            continue;
        }
        it->shown = *e;
        it->valid = true;
        it->standing = FORWARD;
        it->alone = find_alone(it);
        return;
    }
    stop(it, m->status);
}

/* From where the merge stands, one key at a time: shows the newest visible version of the first key that has one. */
static void settle_backward(velocity_iterator *it) {
    struct merge *m = &it->merge;
    it->alone = NULL;
    bool found = false, gone = false; /* found: it->shown is a version of it->key; gone: it is none that is shown */
    while (merge_valid(m)) {
        if (it->range_count && !pass_covered(it)) break;
        const struct entry *e = merge_entry(m);
        bool same = found && slice_equal(e->key, slice_of(&it->key));
        if (found && !same) {
            if (!gone) break;
            if (!pass_key(it)) return;
            found = false;
        }
        if (!same && beyond_low(it, e->key)) break;
        if (is_visible(it, e)) {
            it->shown = *e;
            gone = is_gone(it, e);
            if (!copy_bytes(&it->key, e->key) || (!gone && !copy_bytes(&it->value, e->value))) {
                stop(it, VELOCITY_NO_MEMORY);
                return;
            }
            found = true;
        }
        merge_prev(m);
    }
    if (m->status || !found || gone) {
        stop(it, m->status);
        return;
    }
    it->shown.key = slice_of(&it->key);
    it->shown.value = slice_of(&it->value);
    it->valid = true;
    it->standing = BACKWARD;
}

static void go_first(velocity_iterator *it) {
    if (it->has_low)
        merge_seek(&it->merge, slice_of(&it->low));
    else
        merge_first(&it->merge);
    settle_forward(it, false);
}

static void go_last(velocity_iterator *it) {
    if (it->has_high)
        merge_seek_before(&it->merge, slice_of(&it->high));
    else
        merge_last(&it->merge);
    settle_backward(it);
}

static void go_up(velocity_iterator *it) {
    if (it->standing == FORWARD) {
        if (!copy_bytes(&it->key, it->shown.key)) {
            stop(it, VELOCITY_NO_MEMORY);
            return;
        }
        merge_next(&it->merge);
    } else { /* it->key holds the shown key already */
        merge_seek(&it->merge, slice_of(&it->key));
    }
    settle_forward(it, true);
}

/* Most steps of a scan: the next entry, surely of another key, is in the same block of the same run, and no other run
 * has a key as small. False: the block has no next entry, and nothing changed. */
static inline bool step_alone(velocity_iterator *it) {
    struct table_cursor *c = &it->alone->table_cursor;
    if (!table_cursor_next_in_block(c)) return false;
    table_cursor_entry(c, &it->shown);
    if (table_cursor_valid(c) && (!it->bound.data || slice_compare(it->shown.key, it->bound) < 0) &&
        is_visible(it, &it->shown) && !is_gone(it, &it->shown)) {
        if (beyond_high(it, it->shown.key)) stop(it, VELOCITY_OK);
    } else {
        merge_refresh(&it->merge);
        settle_forward(it, false);
    }
    return true;
}

static void go_down(velocity_iterator *it) {
    if (it->standing == FORWARD) {
        if (!copy_bytes(&it->key, it->shown.key)) {
            stop(it, VELOCITY_NO_MEMORY);
            return;
        }
        merge_seek_before(&it->merge, slice_of(&it->key));
    }
    settle_backward(it);
}

/* What a serializable transaction has looked at: from where a seek went to the entry that it found, or to the end of
 * the range; then as far as the moves go. */
static void note_move(velocity_iterator *it, bool up) {
    velocity_slice first = velocity_bytes("", 0), none = velocity_bytes(NULL, 0);
    if (!it->valid && up)
        read_scan_up(it->scan, it->has_high ? slice_of(&it->high) : none, false);
    else if (up)
        read_scan_up(it->scan, it->shown.key, true);
    else if (it->valid)
        read_scan_down(it->scan, it->shown.key);
    else
        read_scan_down(it->scan, it->has_low ? slice_of(&it->low) : first);
}

static void note_seek(velocity_iterator *it, velocity_slice key) {
    velocity_slice first = velocity_bytes("", 0), none = velocity_bytes(NULL, 0);
    if (!it->reverse) {
        bool from_low = key.size == 0 || beyond_low(it, key);
        read_scan_begin(it->scan, !from_low ? key : it->has_low ? slice_of(&it->low) : first);
    } else {
        bool from_high = key.size == 0 || beyond_high(it, key);
        read_scan_begin(it->scan, !from_high ? key : it->has_high ? slice_of(&it->high) : none);
        if (!from_high) read_scan_up(it->scan, key, true);
    }
}

void velocity_iterator_next(velocity_iterator *it) {
    let_value_go(it);
    if (it->alone && !it->reverse && step_alone(it)) return;
    if (!it->valid) return;
    if (it->reverse)
        go_down(it);
    else
        go_up(it);
    if (it->scan) note_move(it, !it->reverse);
}

void velocity_iterator_prev(velocity_iterator *it) {
    if (!it->valid) return;
    let_value_go(it);
    if (it->reverse)
        go_up(it);
    else
        go_down(it);
    if (it->scan) note_move(it, it->reverse);
}

static void seek(velocity_iterator *it, velocity_slice key) {
    it->valid = false;
    it->status = VELOCITY_OK;
    let_value_go(it);
    if (!it->reverse) {
        if (key.size == 0 || beyond_low(it, key)) {
            go_first(it);
            return;
        }
        merge_seek(&it->merge, key);
        settle_forward(it, false);
        return;
    }
    if (key.size == 0 || beyond_high(it, key)) {
        go_last(it);
        return;
    }
    /* The last entry with a key <= `key`: seek behind it by the key's successor, key + one zero byte. */
    if (!copy_bytes(&it->key, key) || !copy_bytes(&it->value, velocity_bytes(NULL, 0))) {
        stop(it, VELOCITY_NO_MEMORY);
        return;
    }
    uint8_t *after = env_alloc(key.size + 1);
    if (!after) {
        stop(it, VELOCITY_NO_MEMORY);
        return;
    }
    memcpy(after, key.data, key.size);
    after[key.size] = 0;
    merge_seek_before(&it->merge, velocity_bytes(after, key.size + 1));
    env_free(after);
    settle_backward(it);
}

void velocity_iterator_seek(velocity_iterator *it, velocity_slice key) {
    if (!it->merge.heap) return; /* it never was whole: its status says why */
    if (it->scan) note_seek(it, key);
    seek(it, key);
    if (it->scan) note_move(it, !it->reverse);
}

/* ---- what is shown
 * ------------------------------------------------------------------------------------------------------ */

bool velocity_iterator_valid(const velocity_iterator *it) {
    return it->valid;
}
velocity_slice velocity_iterator_key(const velocity_iterator *it) {
    return it->shown.key;
}

/* The shown entry refers to a value file. What is read stays until the iterator moves. */
static velocity_slice value_apart(velocity_iterator *it) {
    if (it->value_held.entry) return it->value_apart;
    struct entry e = it->shown;
    epoch_enter();
    velocity_status status = read_value(it->sv->version, &it->read, e.key, &e, &it->value_held);
    if (!status && !it->value_held.owned) cache_entry_acquire(it->value_held.entry);
    epoch_leave();
    if (status) {
        it->value_held.entry = NULL;
        stop(it, status);
        return velocity_bytes(NULL, 0);
    }
    it->value_apart = e.value;
    return e.value;
}

/* To whoever looks at it the iterator is the same before and after: that the value is only read now does not show. */
velocity_slice velocity_iterator_value(const velocity_iterator *it) {
    if (it->keys_only) return velocity_bytes(NULL, 0);
    if (it->shown.kind == ENTRY_VALUE_REFERENCE && it->valid) return value_apart((velocity_iterator *)(uintptr_t)it);
    return it->shown.value;
}
size_t velocity_iterator_value_size(const velocity_iterator *it) {
    struct value_reference reference;
    if (it->shown.kind != ENTRY_VALUE_REFERENCE) return it->shown.value.size;
    return value_reference_decode(it->shown.value, &reference) ? reference.raw_bytes : 0;
}
uint32_t velocity_iterator_flags(const velocity_iterator *it) {
    return it->shown.flags;
}
uint64_t velocity_iterator_sequence(const velocity_iterator *it) {
    return it->shown.sequence > OWN_SEQUENCE ? VELOCITY_ABSENT : it->shown.sequence;
}
int64_t velocity_iterator_expires_at_ms(const velocity_iterator *it) {
    return it->shown.expires_at_ms;
}
velocity_status velocity_iterator_status(const velocity_iterator *it) {
    return it->status;
}
uint64_t velocity_iterator_snapshot_sequence(const velocity_iterator *it) {
    return it->sequence;
}
