/* value_reclaim.c - see value_reclaim.h. */
#include "value_reclaim.h"

#include <stdlib.h>

/* Of all bytes in value files, in hundredths. Between the two lies what one round reclaims: it takes rewriting the
 * references of a level, so it should be worth it. */
enum { GARBAGE_MOST = 50, GARBAGE_GOAL = 40, TIGHT_MOST = 10, TIGHT_GOAL = 5 };

static bool is_more(uint64_t garbage, uint64_t total, uint64_t hundredths) {
    return garbage * 100 > total * hundredths;
}

/* Without what can't be read: that stays where it is, and its garbage with it. */
static void sum_up(const struct version *version, uint64_t *garbage, uint64_t *total) {
    *garbage = version->value_bytes - version->value_used_bytes;
    *total = version->value_bytes;
    for (size_t i = 0; i < version->value_count; i++) {
        const struct version_values *v = &version->values[i];
        if (!value_file_is_damaged(v->file)) continue;
        *garbage -= version_record_bytes(v) - v->used_bytes;
        *total -= version_record_bytes(v);
    }
}

bool value_reclaim_wanted(const struct version *version, bool tight) {
    uint64_t most = tight ? TIGHT_MOST : GARBAGE_MOST;
    uint64_t garbage = version->value_bytes - version->value_used_bytes, total = version->value_bytes;
    if (!is_more(garbage, total, most)) return false;
    sum_up(version, &garbage, &total);
    return is_more(garbage, total, most);
}

static double used_share(const struct version_values *v) {
    return (double)v->used_bytes / (double)version_record_bytes(v);
}

static int emptiest_first(const void *a, const void *b) {
    double x = used_share(a), y = used_share(b);
    return x < y ? -1 : x > y;
}

static int by_number(const void *a, const void *b) {
    const struct value_use *x = a, *y = b;
    return x->file < y->file ? -1 : x->file > y->file;
}

velocity_status condemned_init(struct condemned *c, const struct version *version, bool tight) {
    memset(c, 0, sizeof *c);
    size_t count = version->value_count, old = 0;
    for (size_t i = 0; i < count; i++) old += value_file_has_old_key(version->values[i].file);
    bool reclaim = value_reclaim_wanted(version, tight);
    if (!reclaim && old == 0) return VELOCITY_OK;
    struct version_values *order = env_alloc(count * sizeof *order);
    c->files = env_alloc(count * sizeof *c->files);
    if (!order || !c->files) {
        env_free(order);
        condemned_clear(c);
        return VELOCITY_NO_MEMORY;
    }
    memcpy(order, version->values, count * sizeof *order);
    qsort(order, count, sizeof *order, emptiest_first);
    uint64_t total, garbage;
    sum_up(version, &garbage, &total);
    for (size_t i = 0; i < count; i++) {
        uint64_t gain = version_record_bytes(&order[i]) - order[i].used_bytes;
        bool is_old = value_file_has_old_key(order[i].file);
        bool pays = reclaim && gain > 0 && is_more(garbage, total, tight ? TIGHT_GOAL : GARBAGE_GOAL);
        if (value_file_is_damaged(order[i].file) || !(pays || is_old)) continue;
        c->files[c->count++] = (struct value_use){value_file_meta(order[i].file)->number, order[i].used_bytes};
        total -= gain;
        garbage -= gain;
    }
    env_free(order);
    if (c->count) qsort(c->files, c->count, sizeof *c->files, by_number);
    return VELOCITY_OK;
}

void condemned_clear(struct condemned *c) {
    env_free(c->files);
    memset(c, 0, sizeof *c);
}

bool condemned_has(const struct condemned *c, uint64_t file) {
    struct value_use wanted = {file, 0};
    return c->count && bsearch(&wanted, c->files, c->count, sizeof wanted, by_number);
}

uint64_t condemned_bytes(const struct condemned *c, const struct table *table) {
    const struct value_uses *uses = &table_meta(table)->values;
    uint64_t bytes = 0;
    for (size_t i = 0; c->count && i < uses->count; i++)
        if (condemned_has(c, uses->items[i].file)) bytes += uses->items[i].bytes;
    return bytes;
}
