/*
 * item.h - a stored value and its type, and ITEM: how listings and batches show them.
 *
 * Bits 0-7 of a value's flags say its type. For VALUE_OTHER the type's name stands before the value:
 *
 *     [size: u8][name: 1 to 255 bytes][value]
 */
#ifndef VELOCITY_HTTP_ITEM_H
#define VELOCITY_HTTP_ITEM_H

#include "http/headers.h"
#include "server/json_write.h"
#include "server/service.h"

#define ITEM_VALUE_TYPE_MASK 0xFFu
#define ITEM_PREFIX_MAX      (1 + MEDIA_TYPE_MAX_BYTES)
#define ITEM_OMIT_BYTES      (1u << 20) /* larger values are left out of listings */

struct item {
    velocity_slice key;
    uint64_t version;    /* VELOCITY_ABSENT: none yet */
    velocity_slice type; /* a Content-Type */
    velocity_slice value;
    int64_t expires_at_ms; /* 0: never */
    bool one_line;         /* JSON that holds a line's end goes as text */
};

/* Takes a stored value apart. False: what stands before the value is not what its flags say. */
bool item_unpack(uint32_t flags, velocity_slice stored, velocity_slice *type, velocity_slice *value);
/* The same in the service's terms. */
bool item_look_into(uint32_t flags, velocity_slice stored, struct service_content *out);
/* Writes what stands before a value of this type, and returns how many bytes; 0 but for VALUE_OTHER. */
size_t item_prefix(const struct media_type *type, unsigned char out[ITEM_PREFIX_MAX]);
/* Is the value JSON that can stand in a document as it is? */
bool item_is_json(velocity_slice type, velocity_slice value);
/* Is it shown as JSON, and not as text? */
bool item_is_inline(const struct item *item);
/* The object up to its value's name. */
void item_begin(struct json_writer *w, const struct item *item);
/* One object; without the value unless `with_value`. Values over `omit_bytes` become "omitted": true. */
void item_write(struct json_writer *w, const struct item *item, bool with_value, uint64_t omit_bytes);

#endif
