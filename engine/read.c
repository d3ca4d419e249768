/*
 * read.c - point lookups: newest first through write buffers, level 0, the levels. No lock, and no allocation unless
 * the disk is read. See database_internal.h.
 *
 * Range deletes are asked for before what they may cover: what a buffer holds is newer than all below it, and a table
 * whose entries are all older than the newest range delete over the key is passed by without a look at its filter.
 */
#include "database_internal.h"

#include "filter.h"
#include "slice.h"

/* value->pin is a cache entry, or a write buffer with this bit set. */
#define PIN_BUFFER ((uintptr_t)1)

velocity_read_options velocity_read_options_default(void) {
    velocity_read_options options = {.struct_size = sizeof options, .fill_cache = true};
    return options;
}

/* `covered`: what is older is gone. */
static velocity_status read_tables(const struct version *version, const struct table_read *read, velocity_slice key,
                                   uint64_t sequence, uint64_t covered, struct entry *out, struct held_block *held) {
    uint64_t hash = filter_hash(key);
    const struct level *top = &version->levels[0];
    for (size_t i = 0; i < top->count; i++) {
        if (!table_overlaps(top->tables[i], key, key)) continue;
        if (table_meta(top->tables[i])->max_sequence < covered) break; /* they stand newest first */
        velocity_status status = table_get(top->tables[i], read, key, hash, sequence, out, held);
        if (status != VELOCITY_NOT_FOUND) return status;
    }
    for (int l = 1; l < VELOCITY_LEVELS; l++) {
        const struct level *level = &version->levels[l];
        if (level->count == 0) continue;
        size_t at = level_find(level, key);
        if (at == level->count || slice_compare(table_meta(level->tables[at])->smallest, key) > 0) continue;
        if (table_meta(level->tables[at])->max_sequence < covered) continue;
        velocity_status status = table_get(level->tables[at], read, key, hash, sequence, out, held);
        if (status != VELOCITY_NOT_FOUND) return status;
    }
    return VELOCITY_NOT_FOUND;
}

/* The newest range delete over the key that the sequence sees in this buffer; 0: none. */
static inline uint64_t covered_by(const struct write_buffer *buffer, velocity_slice key, uint64_t sequence) {
    const struct range_list *ranges = range_buffer_list(&buffer->ranges);
    return __builtin_expect(ranges != NULL, 0) ? range_list_newest(ranges, key, sequence) : 0;
}

/* OK also for a tombstone. *covered: what is older than it is gone. Stops where nothing below can be newer. */
static velocity_status read_version(const struct superversion *sv, const struct table_read *read, velocity_slice key,
                                    uint64_t sequence, struct entry *out, struct held_block *held,
                                    struct write_buffer **buffer, uint64_t *covered) {
    held->owned = false;
    held->entry = NULL;
    *buffer = NULL;
    if (memtable_entries(sv->active->memtable)) {
        *covered = covered_by(sv->active, key, sequence);
        bool found = memtable_get(sv->active->memtable, key, sequence, out);
        if (found) *buffer = sv->active;
        if (found || *covered) return found ? VELOCITY_OK : VELOCITY_NOT_FOUND;
    }
    for (int i = sv->immutable_count; i-- > 0;) {
        *covered = covered_by(sv->immutable[i], key, sequence);
        bool found = memtable_get(sv->immutable[i]->memtable, key, sequence, out);
        if (found) *buffer = sv->immutable[i];
        if (found || *covered) return found ? VELOCITY_OK : VELOCITY_NOT_FOUND;
    }
    const struct range_index *ranges = sv->version->ranges;
    *covered = ranges ? range_list_newest(ranges->root, key, sequence) : 0;
    return read_tables(sv->version, read, key, sequence, *covered, out, held);
}

/* Whether the newest visible operation on a key says that it is not there. */
static inline bool is_gone(velocity *db, const struct entry *e, uint64_t covered, uint64_t *now_ms) {
    return entry_is_delete(e) || e->sequence < covered || clock_is_over(&db->clock, e->expires_at_ms, now_ms);
}

velocity_status read_entry(velocity *db, const struct superversion *sv, const struct table_read *read,
                           velocity_slice key, uint64_t sequence, uint64_t *now_ms, struct entry *out,
                           struct held_block *held, struct write_buffer **buffer) {
    uint64_t covered = 0;
    velocity_status status = read_version(sv, read, key, sequence, out, held, buffer, &covered);
    if (status || !is_gone(db, out, covered, now_ms)) return status;
    if (held->owned) cache_entry_release(held->entry);
    held->owned = false;
    return VELOCITY_NOT_FOUND;
}

velocity_status read_value(const struct version *version, const struct table_read *read, velocity_slice key,
                           struct entry *e, struct held_block *held) {
    struct value_reference reference = {0};
    struct value_file *file = NULL;
    if (value_reference_decode(e->value, &reference)) file = version_value_file(version, reference.file);
    if (held->owned) cache_entry_release(held->entry); /* the reference has been taken apart */
    *held = (struct held_block){0};
    if (!file)
        return status_set(VELOCITY_CORRUPT, "a table's reference to value file %llu, offset %llu, leads nowhere",
                          (unsigned long long)reference.file, (unsigned long long)reference.offset);
    return value_file_get(file, reference, key, e->sequence, read, held, &e->value);
}

void read_fill_value(velocity *db, velocity_value *value, const struct entry *e, const struct held_block *held,
                     struct write_buffer *buffer) {
    value->size = e->value.size;
    value->flags = e->flags;
    value->sequence = e->sequence;
    value->expires_at_ms = e->expires_at_ms;
    value->db = db;
    if (e->value.size <= VELOCITY_VALUE_INLINE_BYTES) {
        if (e->value.size) memcpy(value->inline_bytes, e->value.data, e->value.size);
        value->data = value->inline_bytes;
        value->pin = NULL;
        if (held->owned) cache_entry_release(held->entry);
        return;
    }
    value->data = e->value.data;
    atomic_fetch_add_explicit(&db->live_handles, 1, memory_order_relaxed);
    if (buffer) {
        write_buffer_acquire(buffer);
        value->pin = (void *)((uintptr_t)buffer | PIN_BUFFER);
    } else {
        if (!held->owned) cache_entry_acquire(held->entry);
        value->pin = held->entry;
    }
}

void velocity_value_release(velocity_value *value) {
    if (value->pin) {
        uintptr_t pin = (uintptr_t)value->pin;
        if (pin & PIN_BUFFER)
            write_buffer_release((struct write_buffer *)(pin & ~PIN_BUFFER));
        else
            cache_entry_release(value->pin);
        atomic_fetch_sub(&value->db->live_handles, 1);
    }
    value->pin = NULL;
    value->data = NULL;
    value->size = 0;
}

static void empty_value(velocity_value *value) {
    value->data = NULL;
    value->pin = NULL;
    value->size = 0;
}

struct reading {
    struct table_read read;
    const velocity_snapshot *snapshot;
    bool (*each)(void *each_arg, size_t index);
    void *each_arg;
};

static struct reading take_options(velocity *db, const velocity_read_options *options, struct counters *counters) {
    (void)db;
    struct reading r = {.read = {.fill_cache = true, .counters = &counters->tables}};
    if (options && options->struct_size >= offsetof(velocity_read_options, each)) {
        r.read.fill_cache = options->fill_cache;
        r.read.cache_only = options->cache_only;
        r.snapshot = options->snapshot;
    }
    if (options && options->struct_size >= sizeof *options) {
        r.each = options->each;
        r.each_arg = options->each_arg;
    }
    return r;
}

/* The superversion is loaded before the sequence. The other way round, a flush in between could drop a version that the
 * older sequence still needs, because no snapshot asks for it. Likewise the present is looked up after it: not before
 * a merge that has dropped what was expired by then. */
static inline const struct superversion *load_state(velocity *db, const velocity_snapshot *snapshot, uint64_t *sequence,
                                                    uint64_t *now_ms) {
    const struct superversion *sv = atomic_load_explicit(&db->superversion, memory_order_acquire);
    *now_ms = snapshot ? snapshot->now_ms : 0;
    *sequence = snapshot ? snapshot->sequence : atomic_load_explicit(&db->visible_sequence, memory_order_acquire);
    return sv;
}

/* One key, in a state that was loaded. */
static inline velocity_status read_one(velocity *db, const struct superversion *sv, const struct reading *r,
                                       velocity_slice key, uint64_t sequence, uint64_t *now_ms, velocity_value *out) {
    struct entry e;
    struct held_block held;
    struct write_buffer *buffer;
    velocity_status status = read_entry(db, sv, &r->read, key, sequence, now_ms, &e, &held, &buffer);
    if (!status && e.kind == ENTRY_VALUE_REFERENCE) status = read_value(sv->version, &r->read, key, &e, &held);
    if (!status) read_fill_value(db, out, &e, &held, buffer);
    return status;
}

velocity_status velocity_get_with(velocity *db, const velocity_read_options *options, velocity_slice key,
                                  velocity_value *out) {
    empty_value(out);
    velocity_status status = batch_check_key(key);
    if (status) return status;
    struct counters *counters = database_counters(db);
    struct reading r = take_options(db, options, counters);
    uint64_t sequence, now_ms;
    epoch_enter();
    const struct superversion *sv = load_state(db, r.snapshot, &sequence, &now_ms);
    status = read_one(db, sv, &r, key, sequence, &now_ms, out);
    epoch_leave();
    stripe_add(&counters->gets, 1, counters->tables.shared);
    if (!status) stripe_add(&counters->get_hits, 1, counters->tables.shared);
    return status;
}

velocity_status velocity_get(velocity *db, velocity_slice key, velocity_value *out) {
    return velocity_get_with(db, NULL, key, out);
}

velocity_status velocity_instant_get(velocity_instant *instant, velocity_slice key, velocity_value *out) {
    empty_value(out);
    velocity_status status = batch_check_key(key);
    if (status) return status;
    velocity *db = instant->db;
    struct counters *counters = database_counters(db);
    struct reading r = take_options(db, NULL, counters);
    epoch_enter();
    const struct superversion *sv = atomic_load_explicit(&db->superversion, memory_order_acquire);
    status = read_one(db, sv, &r, key, instant->sequence, &instant->now_ms, out);
    epoch_leave();
    stripe_add(&counters->gets, 1, counters->tables.shared);
    if (!status) stripe_add(&counters->get_hits, 1, counters->tables.shared);
    return status;
}

velocity_status read_contains(velocity *db, const velocity_snapshot *snapshot, velocity_slice key) {
    velocity_status status = batch_check_key(key);
    if (status) return status;
    struct counters *counters = database_counters(db);
    struct reading r = take_options(db, NULL, counters);
    struct entry e;
    struct held_block held;
    struct write_buffer *buffer;
    uint64_t sequence, now_ms;
    epoch_enter();
    const struct superversion *sv = load_state(db, snapshot, &sequence, &now_ms);
    status = read_entry(db, sv, &r.read, key, sequence, &now_ms, &e, &held, &buffer);
    if (held.owned) cache_entry_release(held.entry);
    epoch_leave();
    stripe_add(&counters->gets, 1, counters->tables.shared);
    if (!status) stripe_add(&counters->get_hits, 1, counters->tables.shared);
    return status;
}

velocity_status velocity_contains(velocity *db, velocity_slice key) {
    return read_contains(db, NULL, key);
}

velocity_status velocity_get_many(velocity *db, const velocity_read_options *options, size_t n,
                                  const velocity_slice *keys, velocity_value *values, velocity_status *statuses) {
    velocity_status result = VELOCITY_OK;
    struct counters *counters = database_counters(db);
    struct reading r = take_options(db, options, counters);
    uint64_t sequence, now_ms, hits = 0;
    size_t count = 0;
    bool more = true;
    epoch_enter(); /* one section over all: they see one superversion, one sequence, one time */
    const struct superversion *sv = load_state(db, r.snapshot, &sequence, &now_ms);
    for (; count < n && more; count++) {
        empty_value(&values[count]);
        statuses[count] = batch_check_key(keys[count]);
        if (!statuses[count]) statuses[count] = read_one(db, sv, &r, keys[count], sequence, &now_ms, &values[count]);
        hits += statuses[count] == VELOCITY_OK;
        if (statuses[count] && statuses[count] != VELOCITY_NOT_FOUND && !result) result = statuses[count];
        more = !r.each || r.each(r.each_arg, count);
    }
    epoch_leave();
    for (size_t i = count; i < n; i++) {
        empty_value(&values[i]);
        statuses[i] = VELOCITY_INCOMPLETE;
    }
    if (count < n && !result) result = status_set(VELOCITY_INCOMPLETE, "the keys behind were not asked for");
    stripe_add(&counters->gets, count, counters->tables.shared);
    stripe_add(&counters->get_hits, hits, counters->tables.shared);
    return result;
}
