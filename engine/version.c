/* version.c - see version.h. */
#include "version.h"

#include "slice.h"
#include "status.h"

#include <stdlib.h>

static bool removed(const struct version_edit *edit, int level, const struct table *table) {
    for (size_t i = 0; i < edit->remove_count; i++)
        if (edit->remove[i].level == level && edit->remove[i].table == table) return true;
    return false;
}

static int newest_first(const void *a, const void *b) {
    const struct table_meta *x = table_meta(*(struct table *const *)a), *y = table_meta(*(struct table *const *)b);
    return x->max_sequence > y->max_sequence ? -1 : x->max_sequence < y->max_sequence;
}

static int by_key(const void *a, const void *b) {
    return slice_compare(table_meta(*(struct table *const *)a)->smallest,
                         table_meta(*(struct table *const *)b)->smallest);
}

static velocity_status level_new(struct level *out, int number, const struct level *base,
                                 const struct version_edit *edit) {
    size_t most = (base ? base->count : 0) + edit->add_count;
    if (most == 0) return VELOCITY_OK;
    out->tables = env_alloc(most * sizeof *out->tables);
    if (!out->tables) return VELOCITY_NO_MEMORY;
    for (size_t i = 0; base && i < base->count; i++)
        if (!removed(edit, number, base->tables[i])) out->tables[out->count++] = base->tables[i];
    for (size_t i = 0; i < edit->add_count; i++)
        if (edit->add[i].level == number) out->tables[out->count++] = edit->add[i].table;
    if (out->count) qsort(out->tables, out->count, sizeof *out->tables, number == 0 ? newest_first : by_key);
    for (size_t i = 0; i < out->count; i++) {
        table_acquire(out->tables[i]);
        out->bytes += table_meta(out->tables[i])->file_bytes;
    }
    return VELOCITY_OK;
}

/* ---- value files ---------------------------------------------------------------------------------------------------
 */

static size_t find_values(const struct version *version, uint64_t number) {
    size_t low = 0, high = version->value_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (value_file_meta(version->values[middle].file)->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct value_file *version_value_file(const struct version *version, uint64_t number) {
    size_t at = find_values(version, number);
    if (at == version->value_count || value_file_meta(version->values[at].file)->number != number) return NULL;
    return version->values[at].file;
}

/* Unsigned arithmetic wraps: what is added first and taken away later, or the other way round, comes out right. */
static velocity_status count_uses(struct version *version, const struct version_change *change, bool add) {
    const struct table_meta *meta = table_meta(change->table);
    for (size_t i = 0; i < meta->values.count; i++) {
        const struct value_use *use = &meta->values.items[i];
        size_t at = find_values(version, use->file);
        if (at == version->value_count || value_file_meta(version->values[at].file)->number != use->file)
            return status_set(VELOCITY_CORRUPT, "table %llu refers to value file %llu, which is none of the database's",
                              (unsigned long long)meta->number, (unsigned long long)use->file);
        version->values[at].used_bytes += add ? use->bytes : 0 - use->bytes;
    }
    return VELOCITY_OK;
}

static int by_file(const void *a, const void *b) {
    const struct version_values *x = a, *y = b;
    uint64_t m = value_file_meta(x->file)->number, n = value_file_meta(y->file)->number;
    return m < n ? -1 : m > n;
}

/* What base has and what the edit adds, less what no table refers to any more. */
static velocity_status gather_values(struct version *version, const struct version *base,
                                     const struct version_edit *edit) {
    size_t most = (base ? base->value_count : 0) + edit->add_value_count;
    if (most == 0) return VELOCITY_OK;
    struct version_values *values = env_alloc(most * sizeof *values);
    if (!values) return VELOCITY_NO_MEMORY;
    version->values = values;
    for (size_t i = 0; base && i < base->value_count; i++) values[version->value_count++] = base->values[i];
    for (size_t i = 0; i < edit->add_value_count; i++)
        values[version->value_count++] = (struct version_values){edit->add_values[i], 0};
    qsort(values, most, sizeof *values, by_file);
    for (size_t i = 0; i < most; i++) value_file_acquire(values[i].file);
    return VELOCITY_OK;
}

static void drop_unused(struct version *version) {
    size_t kept = 0;
    for (size_t i = 0; i < version->value_count; i++) {
        struct version_values v = version->values[i];
        if (v.used_bytes == 0) {
            value_file_release(v.file);
            continue;
        }
        version->values[kept++] = v;
        version->value_bytes += version_record_bytes(&v);
        version->value_used_bytes += v.used_bytes;
    }
    version->value_count = kept;
}

static velocity_status take_values(struct version *version, const struct version *base,
                                   const struct version_edit *edit) {
    velocity_status status = gather_values(version, base, edit);
    for (size_t i = 0; !status && i < edit->add_count; i++) status = count_uses(version, &edit->add[i], true);
    for (size_t i = 0; !status && i < edit->remove_count; i++) status = count_uses(version, &edit->remove[i], false);
    for (size_t i = 0; !status && i < version->value_count; i++)
        if (version->values[i].used_bytes > version_record_bytes(&version->values[i]))
            status = status_set(VELOCITY_CORRUPT, "tables refer to more of value file %llu than it holds",
                                (unsigned long long)value_file_meta(version->values[i].file)->number);
    if (!status) drop_unused(version);
    return status;
}

/* ---- versions ------------------------------------------------------------------------------------------------------
 */

static void note_expiry(struct version *version) {
    version->expiry_due_ms = EXPIRY_NEVER;
    for (int l = 0; l < VELOCITY_LEVELS; l++) {
        for (size_t i = 0; i < version->levels[l].count; i++) {
            int64_t due_ms = table_expiry_due_ms(version->levels[l].tables[i]);
            if (due_ms < version->expiry_due_ms) version->expiry_due_ms = due_ms;
        }
    }
}

/* ---- range deletes ------------------------------------------------------------------------------------------------
 */

static bool brings_ranges(const struct version_change *changes, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (table_meta(changes[i].table)->range_tombstones) return true;
    return false;
}

static velocity_status count_ranges(const struct version *version, size_t *out) {
    velocity_status status = VELOCITY_OK;
    *out = 0;
    for (int l = 0; l < VELOCITY_LEVELS; l++)
        for (size_t i = 0; i < version->levels[l].count && !status; i++) {
            struct table *table = version->levels[l].tables[i];
            if (table_meta(table)->range_tombstones) status = table_ensure_loaded(table, false);
            *out += table_meta(table)->range_tombstones;
        }
    return status;
}

/* The tables hold what the index borrows; where they stay the same, so does the index. */
static velocity_status index_ranges(struct version *version, const struct version *base,
                                    const struct version_edit *edit) {
    if (base && !brings_ranges(edit->add, edit->add_count) && !brings_ranges(edit->remove, edit->remove_count)) {
        version->ranges = base->ranges;
        if (version->ranges) range_index_acquire(version->ranges);
        return VELOCITY_OK;
    }
    size_t total, used = 0;
    velocity_status status = count_ranges(version, &total);
    if (status || total == 0) return status;
    struct range_tombstone *all = env_alloc(total * sizeof *all);
    if (!all) return VELOCITY_NO_MEMORY;
    for (int l = 0; l < VELOCITY_LEVELS; l++)
        for (size_t i = 0; i < version->levels[l].count; i++) {
            size_t count;
            const struct range_tombstone *ranges = table_ranges(version->levels[l].tables[i], &count);
            if (count) memcpy(all + used, ranges, count * sizeof *all);
            used += count;
        }
    status = range_index_new(all, total, edit->snapshots, edit->snapshot_count, &version->ranges);
    env_free(all);
    return status;
}

velocity_status version_new(const struct version *base, const struct version_edit *edit, struct version **out) {
    struct version *version = env_alloc_zeroed(sizeof *version);
    if (!version) return VELOCITY_NO_MEMORY;
    atomic_init(&version->references, 1);
    for (int i = 0; i < VELOCITY_LEVELS; i++) {
        velocity_status status = level_new(&version->levels[i], i, base ? &base->levels[i] : NULL, edit);
        if (status) {
            version_release(version);
            return status;
        }
    }
    note_expiry(version);
    velocity_status status = index_ranges(version, base, edit);
    if (!status) status = take_values(version, base, edit);
    if (status)
        version_release(version);
    else
        *out = version;
    return status;
}

void version_acquire(struct version *version) {
    atomic_fetch_add_explicit(&version->references, 1, memory_order_relaxed);
}

void version_release(struct version *version) {
    if (!version || atomic_fetch_sub_explicit(&version->references, 1, memory_order_acq_rel) != 1) return;
    range_index_release(version->ranges);
    for (int l = 0; l < VELOCITY_LEVELS; l++) {
        for (size_t i = 0; i < version->levels[l].count; i++) table_release(version->levels[l].tables[i]);
        env_free(version->levels[l].tables);
    }
    for (size_t i = 0; i < version->value_count; i++) value_file_release(version->values[i].file);
    env_free(version->values);
    env_free(version);
}

uint64_t version_bytes(const struct version *version) {
    uint64_t bytes = 0;
    for (int l = 0; l < VELOCITY_LEVELS; l++) bytes += version->levels[l].bytes;
    return bytes;
}

size_t level_find(const struct level *level, velocity_slice key) {
    size_t low = 0, high = level->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(table_meta(level->tables[middle])->largest, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void level_reach_begin(struct level_reach *reach, velocity_slice first) {
    if (!reach->below) return;
    reach->at = level_find(reach->below, first);
    reach->bytes = 0;
}

bool level_reach_is_over(struct level_reach *reach, velocity_slice key) {
    const struct level *below = reach->below;
    if (!below) return false;
    for (; reach->at < below->count; reach->at++) {
        const struct table_meta *meta = table_meta(below->tables[reach->at]);
        if (slice_compare(meta->largest, key) >= 0) break;
        reach->bytes += meta->file_bytes;
    }
    return reach->bytes > reach->most_bytes;
}

int64_t table_expiry_due_ms(const struct table *table) {
    const struct table_meta *meta = table_meta(table);
    return expiry_due_ms(meta->expiry, meta->raw_bytes, meta->entries);
}

bool table_overlaps(const struct table *table, velocity_slice from, velocity_slice to) {
    const struct table_meta *meta = table_meta(table);
    if (from.data && slice_compare(meta->largest, from) < 0) return false;
    return !to.data || slice_compare(meta->smallest, to) <= 0;
}
