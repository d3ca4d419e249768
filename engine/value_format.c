/* value_format.c - see value_format.h. */
#include "value_format.h"

#include "array.h"
#include "coding.h"
#include "crc32c.h"
#include "env.h"
#include "file.h"

/* Where the fields of a record's header stand. */
enum {
    AT_HEADER_CHECKSUM = 0,
    AT_BODY_CHECKSUM = 4,
    AT_PACKING = 8, /* in plain up to the flags */
    AT_ZERO = 9,
    AT_KEY_BYTES = 10,
    AT_RAW_BYTES = 12,
    AT_STORED_BYTES = 16,
    AT_FLAGS = 20, /* encrypted from here on */
    AT_SEQUENCE = 24,
    AT_EXPIRES = 32,
};

size_t value_reference_encode(uint8_t *out, struct value_reference reference) {
    uint8_t *p = put_varint(put_varint(out, reference.file), reference.offset);
    return (size_t)(put_varint(put_varint(p, reference.raw_bytes), reference.stored_bytes) - out);
}

bool value_reference_decode(velocity_slice bytes, struct value_reference *out) {
    const uint8_t *p = bytes.data, *end = p + bytes.size;
    return (p = get_varint64(p, end, &out->file)) && (p = get_varint64(p, end, &out->offset)) &&
           (p = get_varint32(p, end, &out->raw_bytes)) && (p = get_varint32(p, end, &out->stored_bytes)) && p == end &&
           out->raw_bytes <= VELOCITY_MAX_VALUE_BYTES && out->stored_bytes <= out->raw_bytes + CIPHER_TAG_BYTES;
}

/* ---- records -------------------------------------------------------------------------------------------------------
 */

uint64_t value_record_size(const uint8_t *header) {
    return VALUE_RECORD_HEADER_BYTES + (uint64_t)get_u16(header + AT_KEY_BYTES) + get_u32(header + AT_STORED_BYTES);
}

/* Of what is stored. */
static uint32_t header_checksum(const uint8_t *header, const struct value_place *place) {
    return file_block_checksum(place->seed, place->offset, header + AT_PACKING, VALUE_RECORD_HEADER_BYTES - AT_PACKING);
}

static uint32_t body_checksum(const uint8_t *header, uint64_t offset, velocity_slice key, velocity_slice stored) {
    uint32_t checksum = file_block_checksum(get_u32(header + AT_HEADER_CHECKSUM), offset, key.data, key.size);
    return crc32c(checksum, stored.data, stored.size);
}

static void put_fields(const struct value_record *record, size_t stored_bytes, uint8_t *header) {
    header[AT_PACKING] = record->packing;
    header[AT_ZERO] = 0;
    put_u16(header + AT_KEY_BYTES, (uint16_t)record->key.size);
    put_u32(header + AT_RAW_BYTES, record->raw_bytes);
    put_u32(header + AT_STORED_BYTES, (uint32_t)stored_bytes);
    put_u32(header + AT_FLAGS, record->flags);
    put_u64(header + AT_SEQUENCE, record->sequence);
    put_u64(header + AT_EXPIRES, (uint64_t)record->expires_at_ms);
}

void value_record_encode(const struct value_record *record, const struct value_place *place,
                         uint8_t header[VALUE_RECORD_HEADER_BYTES]) {
    put_fields(record, record->stored.size, header);
    put_u32(header + AT_HEADER_CHECKSUM, header_checksum(header, place));
    put_u32(header + AT_BODY_CHECKSUM, body_checksum(header, place->offset, record->key, record->stored));
}

static struct cipher_place message_place(const uint8_t *record, uint64_t offset) {
    return (struct cipher_place){offset, record + AT_PACKING, AT_FLAGS - AT_PACKING};
}

velocity_status value_record_seal(const struct value_record *record, const struct value_place *place, uint8_t *to) {
    uint8_t *body = to + VALUE_RECORD_HEADER_BYTES;
    size_t body_bytes = record->key.size + record->stored.size;
    put_fields(record, record->stored.size + CIPHER_TAG_BYTES, to);
    memcpy(body, record->key.data, record->key.size);
    if (record->stored.size) memcpy(body + record->key.size, record->stored.data, record->stored.size);
    struct cipher_place message = message_place(to, place->offset);
    velocity_status status = cipher_seal(place->cipher, &message, to + AT_FLAGS,
                                         VALUE_RECORD_HEADER_BYTES - AT_FLAGS + body_bytes, to + AT_FLAGS);
    put_u32(to + AT_HEADER_CHECKSUM, header_checksum(to, place));
    put_u32(to + AT_BODY_CHECKSUM, body_checksum(to, place->offset, velocity_bytes(body, body_bytes + CIPHER_TAG_BYTES),
                                                 velocity_bytes(NULL, 0)));
    return status;
}

velocity_status value_record_decode(uint8_t *bytes, size_t size, const struct value_place *place,
                                    struct value_record *out) {
    if (size < VALUE_RECORD_HEADER_BYTES || header_checksum(bytes, place) != get_u32(bytes + AT_HEADER_CHECKSUM))
        return VELOCITY_CORRUPT;
    size_t key_bytes = get_u16(bytes + AT_KEY_BYTES), stored_bytes = get_u32(bytes + AT_STORED_BYTES);
    size_t overhead = cipher_overhead(place->cipher);
    if (size - VALUE_RECORD_HEADER_BYTES != (uint64_t)key_bytes + stored_bytes || stored_bytes < overhead)
        return VELOCITY_CORRUPT;
    out->key = velocity_bytes(bytes + VALUE_RECORD_HEADER_BYTES, key_bytes);
    out->stored = velocity_bytes(bytes + VALUE_RECORD_HEADER_BYTES + key_bytes, stored_bytes);
    if (body_checksum(bytes, place->offset, out->key, out->stored) != get_u32(bytes + AT_BODY_CHECKSUM))
        return VELOCITY_CORRUPT;
    if (place->cipher) {
        struct cipher_place message = message_place(bytes, place->offset);
        velocity_status status =
            cipher_unseal(place->cipher, &message, bytes + AT_FLAGS, size - AT_FLAGS, bytes + AT_FLAGS);
        if (status) return status;
    }
    out->stored.size -= overhead;
    out->packing = bytes[AT_PACKING];
    out->raw_bytes = get_u32(bytes + AT_RAW_BYTES);
    out->flags = get_u32(bytes + AT_FLAGS);
    out->sequence = get_u64(bytes + AT_SEQUENCE);
    out->expires_at_ms = (int64_t)get_u64(bytes + AT_EXPIRES);
    bool sound = out->raw_bytes <= VELOCITY_MAX_VALUE_BYTES &&
                 unpack_size_possible(out->packing, out->stored.size, out->raw_bytes) &&
                 (out->packing == PACKED_RAW) == (out->raw_bytes == out->stored.size);
    return sound ? VELOCITY_OK : VELOCITY_CORRUPT;
}

/* ---- uses ----------------------------------------------------------------------------------------------------------
 */

size_t value_uses_find(const struct value_uses *uses, uint64_t file) {
    size_t low = 0, high = uses->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (uses->items[middle].file < file)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

velocity_status value_uses_add(struct value_uses *uses, uint64_t file, uint64_t bytes) {
    size_t at = value_uses_find(uses, file);
    if (at < uses->count && uses->items[at].file == file) {
        uses->items[at].bytes += bytes;
        return VELOCITY_OK;
    }
    velocity_status status = array_reserve(uses->items, uses->capacity, uses->count);
    if (status) return status;
    memmove(uses->items + at + 1, uses->items + at, (uses->count - at) * sizeof *uses->items);
    uses->items[at] = (struct value_use){file, bytes};
    uses->count++;
    return VELOCITY_OK;
}

velocity_status value_uses_copy(struct value_uses *to, const struct value_uses *from) {
    memset(to, 0, sizeof *to);
    if (from->count == 0) return VELOCITY_OK;
    to->items = env_alloc(from->count * sizeof *to->items);
    if (!to->items) return VELOCITY_NO_MEMORY;
    memcpy(to->items, from->items, from->count * sizeof *to->items);
    to->count = to->capacity = from->count;
    return VELOCITY_OK;
}

bool value_uses_equal(const struct value_uses *a, const struct value_uses *b) {
    return a->count == b->count && (a->count == 0 || memcmp(a->items, b->items, a->count * sizeof *a->items) == 0);
}

void value_uses_clear(struct value_uses *uses) {
    env_free(uses->items);
    memset(uses, 0, sizeof *uses);
}

size_t value_uses_most_bytes(const struct value_uses *uses) {
    return VARINT64_MAX_BYTES + uses->count * 2 * VARINT64_MAX_BYTES;
}

uint8_t *value_uses_encode(uint8_t *out, const struct value_uses *uses) {
    out = put_varint(out, uses->count);
    for (size_t i = 0; i < uses->count; i++)
        out = put_varint(put_varint(out, uses->items[i].file), uses->items[i].bytes);
    return out;
}

const uint8_t *value_uses_decode(const uint8_t *p, const uint8_t *end, struct value_uses *out,
                                 velocity_status *status) {
    uint64_t count;
    struct value_use use;
    memset(out, 0, sizeof *out);
    *status = VELOCITY_INVALID;
    if (!(p = get_varint64(p, end, &count))) return NULL;
    for (; count; count--) { /* a count that lies meets the end */
        bool ascends = false;
        if ((p = get_varint64(p, end, &use.file)) && (p = get_varint64(p, end, &use.bytes)))
            ascends = out->count == 0 || use.file > out->items[out->count - 1].file;
        velocity_status added = ascends ? value_uses_add(out, use.file, use.bytes) : VELOCITY_INVALID;
        if (added) {
            *status = added;
            value_uses_clear(out);
            return NULL;
        }
    }
    *status = VELOCITY_OK;
    return p;
}
