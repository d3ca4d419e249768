/* reclaim.c - see reclaim.h. */
#include "reclaim.h"

#include "slice.h"

#include <stdlib.h>

velocity_status reclaim_init(struct reclaim *r, velocity *db, const struct version *version) {
    memset(r, 0, sizeof *r);
    r->version = version;
    uint64_t *clocks;
    velocity_status status = snapshot_sequences(db, &r->sequences, &clocks, &r->count);
    return status ? status : condemned_init(&r->condemned, version, limit_is_reached(db));
}

void reclaim_clear(struct reclaim *r) {
    for (int l = 0; l < VELOCITY_LEVELS; l++) env_free(r->outside[l].tables);
    env_free(r->sequences);
    condemned_clear(&r->condemned);
}

/* The least sequence from `sequence` on that somebody sees; 0: nobody does. */
static uint64_t first_seeing(const struct reclaim *r, uint64_t sequence) {
    size_t low = 0, high = r->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (r->sequences[middle] < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low < r->count ? r->sequences[low] : 0;
}

static struct range_stretch stretch_at(const struct reclaim *r, velocity_slice key, uint64_t sequence) {
    struct range_stretch stretch = range_stretch_all();
    range_list_narrow(range_index_list(r->version->ranges), key, false, sequence, &stretch);
    return stretch;
}

bool reclaim_whole(const struct reclaim *r, const struct table *table) {
    const struct table_meta *meta = table_meta(table);
    uint64_t sequence = first_seeing(r, meta->min_sequence); /* who sees any of it sees at least so much */
    if (!r->version->ranges || meta->range_tombstones || sequence == 0) return false;
    velocity_slice at = meta->smallest;
    for (;;) {
        struct range_stretch stretch = stretch_at(r, at, sequence);
        if (stretch.sequence <= meta->max_sequence) return false;
        if (slice_compare(stretch.to, meta->largest) > 0) return true;
        at = stretch.to;
    }
}

bool reclaim_part(const struct reclaim *r, const struct table *table) {
    const struct table_meta *meta = table_meta(table);
    if (!r->version->ranges) return false;
    velocity_slice at = meta->smallest;
    for (;;) {
        struct range_stretch stretch = stretch_at(r, at, UINT64_MAX);
        if (stretch.sequence > meta->min_sequence) return true;
        if (!stretch.to.data || slice_compare(stretch.to, meta->largest) > 0) return false;
        at = stretch.to;
    }
}

const struct range_tombstone *reclaim_ripe_range(const struct reclaim *r, const struct table *table) {
    size_t count;
    const struct range_tombstone *ranges = table_ranges(table, &count);
    if (table_meta(table)->range_tombstones == 0) return NULL;
    for (size_t i = 0; i < count; i++)
        if (ranges[i].sequence <= r->sequences[0]) return &ranges[i];
    return NULL;
}

bool reclaim_leftovers(const struct reclaim *r, const struct table *table) {
    const struct table_meta *meta = table_meta(table);
    return (meta->tombstones || !meta->one_version) && meta->range_tombstones == 0 &&
           meta->max_sequence <= r->sequences[0];
}

uint64_t reclaim_views_name(const uint64_t *sequences, size_t count, uint64_t most) {
    uint64_t name = 0;
    for (size_t i = 0; i < count && sequences[i] < most; i++) {
        name = (name ^ sequences[i]) * UINT64_C(0x9E3779B97F4A7C15);
        name ^= name >> 32;
    }
    return name | 1;
}

bool reclaim_is_settled(const struct reclaim *r, const struct table *table) {
    const struct table_meta *meta = table_meta(table);
    if (meta->range_tombstones) return false; /* what they wait for lies in other tables */
    if (!meta->tombstones && meta->one_version) return true;
    return meta->views_name == reclaim_views_name(r->sequences, r->count, meta->max_sequence);
}

/* ---- what is outside of a merge ------------------------------------------------------------------------------------
 */

static int by_address(const void *a, const void *b) {
    uintptr_t x = (uintptr_t) * (struct table *const *)a, y = (uintptr_t) * (struct table *const *)b;
    return x < y ? -1 : x > y;
}

velocity_status reclaim_leave_out(struct reclaim *r, const struct version_change *inputs, size_t count) {
    struct table **sorted = env_alloc((count ? count : 1) * sizeof *sorted);
    if (!sorted) return VELOCITY_NO_MEMORY;
    for (size_t i = 0; i < count; i++) sorted[i] = inputs[i].table;
    if (count) qsort(sorted, count, sizeof *sorted, by_address);
    velocity_status status = VELOCITY_OK;
    for (int l = 0; l < VELOCITY_LEVELS && !status; l++) {
        const struct level *level = &r->version->levels[l];
        struct level *outside = &r->outside[l];
        if (level->count == 0) continue;
        if (!(outside->tables = env_alloc(level->count * sizeof(struct table *)))) status = VELOCITY_NO_MEMORY;
        for (size_t i = 0; i < level->count && !status; i++)
            if (!count || !bsearch(&level->tables[i], sorted, count, sizeof(struct table *), by_address))
                outside->tables[outside->count++] = level->tables[i];
    }
    env_free(sorted);
    return status;
}

bool reclaim_range_is_spent(const void *arg, const struct entry *range) {
    const struct reclaim *r = arg;
    for (int l = 0; l < VELOCITY_LEVELS; l++) {
        const struct level *level = &r->outside[l];
        for (size_t i = l == 0 ? 0 : level_find(level, range->key); i < level->count; i++) {
            const struct table_meta *meta = table_meta(level->tables[i]);
            bool behind = slice_compare(meta->smallest, range->value) >= 0;
            if (behind && l > 0) break; /* so are all that follow */
            if (behind || slice_compare(meta->largest, range->key) < 0) continue;
            if (meta->min_sequence < range->sequence) return false;
        }
    }
    return true;
}
