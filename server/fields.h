/*
 * fields.h - telling known names from unknown and repeated ones, for JSON members and query parameters alike.
 */
#ifndef VELOCITY_SERVER_FIELDS_H
#define VELOCITY_SERVER_FIELDS_H

#include "engine/velocity.h"

#define FIELD_UNKNOWN  (-1)
#define FIELD_REPEATED (-2)
#define FIELDS_MAX     64

/*
 * The index of `name` in names[0..count), count <= FIELDS_MAX. *seen starts as 0 and collects a bit for each name
 * found, so that a second one is FIELD_REPEATED; bit i also tells afterwards whether names[i] was there.
 */
static inline int field_index(velocity_slice name, const char *const *names, size_t count, uint64_t *seen) {
    for (size_t i = 0; i < count; i++) {
        if (strlen(names[i]) != name.size || memcmp(names[i], name.data, name.size) != 0) continue;
        if (*seen & (UINT64_C(1) << i)) return FIELD_REPEATED;
        *seen |= UINT64_C(1) << i;
        return (int)i;
    }
    return FIELD_UNKNOWN;
}

#endif
