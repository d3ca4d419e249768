/* placement.c - see placement.h. */
#include "placement.h"

#include "slice.h"

#include <stdlib.h>

enum { UNPLACED = -1 };

bool placement_overlap(const struct table_meta *a, const struct table_meta *b) {
    return slice_compare(a->smallest, b->largest) <= 0 && slice_compare(b->smallest, a->largest) <= 0;
}

static int oldest_first(const void *a, const void *b) {
    const struct table_meta *x = ((const struct placement *)a)->meta, *y = ((const struct placement *)b)->meta;
    if (x->max_sequence != y->max_sequence) return x->max_sequence < y->max_sequence ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* On a level but 0: nothing there overlaps with it, and what is still to be placed above it is newer. */
static bool fits(const struct placement *tables, size_t count, size_t at, int level) {
    for (size_t i = 0; i < count; i++) {
        const struct placement *other = &tables[i];
        if (i == at || (other->level != level && other->level != UNPLACED)) continue;
        if (!placement_overlap(other->meta, tables[at].meta)) continue;
        if (other->level == level || other->meta->min_sequence <= tables[at].meta->max_sequence) return false;
    }
    return true;
}

/* On level 0: with what overlaps there and could not be placed elsewhere, one of the two is newer as a whole. */
static bool fits_level0(const struct placement *tables, size_t count, size_t at) {
    const struct table_meta *meta = tables[at].meta;
    for (size_t i = 0; i < count; i++) {
        const struct placement *other = &tables[i];
        if (i == at || other->level > 0 || !placement_overlap(other->meta, meta)) continue;
        if (other->meta->min_sequence <= meta->max_sequence && meta->min_sequence <= other->meta->max_sequence)
            return false;
    }
    return true;
}

size_t placement_choose(struct placement *tables, size_t count) {
    size_t without = 0;
    if (count) qsort(tables, count, sizeof *tables, oldest_first);
    for (size_t i = 0; i < count; i++) tables[i].level = UNPLACED;
    for (int level = VELOCITY_LEVELS - 1; level >= 1; level--)
        for (size_t i = 0; i < count; i++)
            if (tables[i].level == UNPLACED && fits(tables, count, i, level)) tables[i].level = level;
    for (size_t i = 0; i < count; i++) {
        if (tables[i].level != UNPLACED) continue;
        if (fits_level0(tables, count, i))
            tables[i].level = 0;
        else
            without++;
    }
    return without;
}
