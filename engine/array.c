/* array.c - see array.h. */
#include "array.h"

enum { FIRST_CAPACITY = 8 };

velocity_status array_grow(void *items, size_t *capacity, size_t item_bytes) {
    size_t wanted = *capacity ? *capacity * 2 : FIRST_CAPACITY;
    void *pointer;
    memcpy(&pointer, items, sizeof pointer);
    void *bigger = env_realloc(pointer, wanted * item_bytes);
    if (!bigger) return VELOCITY_NO_MEMORY;
    memcpy(items, &bigger, sizeof bigger);
    *capacity = wanted;
    return VELOCITY_OK;
}
