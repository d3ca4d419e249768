/*
 * placement.h - on which level tables can stand when nothing but the tables themselves can tell.
 *
 * A lookup takes the first version of a key that it meets, level by level, on level 0 by the tables' largest sequence.
 * So of two tables whose keys overlap the one above must be newer as a whole; and on a level but 0 none may overlap.
 * Pure functions.
 */
#ifndef VELOCITY_PLACEMENT_H
#define VELOCITY_PLACEMENT_H

#include "table_builder.h"

struct placement {
    const struct table_meta *meta; /* keys and sequences */
    size_t index;                  /* the caller's */
    int level;                     /* out; -1: no place: it must be merged with those that it overlaps with */
};

/* Whether they have keys between them in common. */
bool placement_overlap(const struct table_meta *a, const struct table_meta *b);
/* Places as many as it can, as far down as it can, and sorts by age. Answers how many have no place. */
size_t placement_choose(struct placement *tables, size_t count);

#endif
