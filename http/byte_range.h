/*
 * byte_range.h - which part of a value a Range field asks for (RFC 9110, section 14). Pure functions.
 */
#ifndef VELOCITY_HTTP_BYTE_RANGE_H
#define VELOCITY_HTTP_BYTE_RANGE_H

#include "engine/velocity.h"

enum byte_range_result {
    BYTE_RANGE_WHOLE,         /* no such field, or one to be passed over: malformed, of another unit, several ranges */
    BYTE_RANGE_PART,          /* [*first, *first + *count) */
    BYTE_RANGE_UNSATISFIABLE, /* none of it is there */
};

/* `value` is the field's (data NULL: not there), `size` that of all there is. */
enum byte_range_result byte_range_parse(velocity_slice value, uint64_t size, uint64_t *first, uint64_t *count);
/* Does If-Range (data NULL: not there, which holds) name exactly this version? A weak tag or a date never does. */
bool byte_range_applies(velocity_slice if_range, uint64_t version);

#endif
