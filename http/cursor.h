/*
 * cursor.h - where a listing goes on: opaque, stateless, bound to the parameters that it came from.
 *
 *     base64url( format: u8 = 1 | parameters: u64 XXH3-64 | key: bytes, at least one | checksum: u32 )
 *
 * Little-endian. The checksum is the low half of XXH3-64 of all before it; it tells typing errors and cut texts from
 * cursors, it is no secret: a forged cursor reads nothing that `start` could not.
 */
#ifndef VELOCITY_HTTP_CURSOR_H
#define VELOCITY_HTTP_CURSOR_H

#include "engine/velocity.h"
#include "server/base64.h"

/* What a listing was asked for, but its limit, which may change from page to page. Absent slices are empty. */
struct cursor_parameters {
    velocity_slice database, prefix, start, end, delimiter;
    bool reverse, values;
};

#define CURSOR_OVERHEAD_BYTES 13 /* before base64url */

enum cursor_result {
    CURSOR_OK,
    CURSOR_MALFORMED, /* no cursor of ours */
    CURSOR_FOREIGN,   /* of a listing with other parameters */
};

/* Characters of a cursor for a key of this size. */
static inline size_t cursor_encoded_size(size_t key_size) {
    return base64url_encoded_size(key_size + CURSOR_OVERHEAD_BYTES);
}
/* Writes the cursor that goes on behind `key` (not empty), without a NUL, and returns how many characters. */
size_t cursor_encode(const struct cursor_parameters *parameters, velocity_slice key, char *out);
/* `buffer` has base64_decoded_max(text.size) bytes and must not overlap the text; *key points into it. */
enum cursor_result cursor_decode(velocity_slice text, const struct cursor_parameters *parameters, void *buffer,
                                 velocity_slice *key);

#endif
