/* expiry_reclaim.c - see expiry_reclaim.h. */
#include "expiry_reclaim.h"

static bool is_past(int64_t ms, uint64_t now_ms) {
    return ms != EXPIRY_NEVER && (ms < 0 || (uint64_t)ms <= now_ms);
}

bool expiry_is_due(velocity *db, const struct version *version) {
    return version->expiry_due_ms != EXPIRY_NEVER && is_past(version->expiry_due_ms, snapshot_earliest_clock(db));
}

bool expiry_has_begun(const struct table *table, uint64_t now_ms) {
    const struct expiry_summary *expiry = table_meta(table)->expiry;
    return expiry && is_past(expiry->buckets[0].earliest, now_ms);
}

/* On level 0 tables overlap, and an older one counts as below; a newer one does no harm. */
static bool hides_nothing(const struct version *version, int level, const struct table *table) {
    const struct table_meta *meta = table_meta(table);
    for (int l = level ? level + 1 : 0; l < VELOCITY_LEVELS; l++) {
        for (size_t i = 0; i < version->levels[l].count; i++) {
            const struct table *other = version->levels[l].tables[i];
            if (other != table && table_overlaps(other, meta->smallest, meta->largest)) return false;
        }
    }
    return true;
}

bool expiry_is_droppable(const struct version *version, int level, const struct table *table, uint64_t now_ms) {
    const struct table_meta *meta = table_meta(table);
    return expiry_over(meta->expiry, now_ms).entries == meta->entries && hides_nothing(version, level, table);
}

struct version_change expiry_worst(const struct version *version, uint64_t now_ms) {
    struct version_change worst = {0, NULL};
    uint64_t most = 0;
    for (int l = 0; l < VELOCITY_LEVELS; l++) {
        for (size_t i = 0; i < version->levels[l].count; i++) {
            struct table *table = version->levels[l].tables[i];
            uint64_t bytes = expiry_over(table_meta(table)->expiry, now_ms).bytes;
            if (!is_past(table_expiry_due_ms(table), now_ms) || (worst.table && bytes <= most)) continue;
            worst = (struct version_change){l, table};
            most = bytes;
        }
    }
    return worst;
}
