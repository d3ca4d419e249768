/*
 * array.h - arrays that grow by one item at a time: pointer, capacity and count are their owner's, for env_free.
 */
#ifndef VELOCITY_ARRAY_H
#define VELOCITY_ARRAY_H

#include "env.h"

/* Of array_reserve, which see. `items`: where the pointer is. */
VELOCITY_CHECK_RESULT velocity_status array_grow(void *items, size_t *capacity, size_t item_bytes);

/* Room for one more item than `count`. NO_MEMORY leaves the array as it was. */
#define array_reserve(items, capacity, count)                                                                          \
    ((count) < (capacity) ? VELOCITY_OK : array_grow(&(items), &(capacity), sizeof *(items)))

#endif
