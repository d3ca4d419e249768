/*
 * value_format.h - values that stand apart from the tree: the records of a value file, and the references to them that
 * tables keep instead of the value. Bytes: FORMAT.md, "Value file".
 *
 *   file header | record | record | ...
 *
 *   record:    checksums, sizes | flags, sequence, expiry (40 bytes so far) | key | value, perhaps compressed
 *                                 |<--- what is encrypted, where the file is; its tag follows --->|
 *   reference: file number, offset of the record, bytes of the value, bytes stored - each a varint
 *
 * A record names its key and version, so that it proves that a reference leads to the right place, and so that a value
 * file alone tells what was put. Any thread; no state.
 */
#ifndef VELOCITY_VALUE_FORMAT_H
#define VELOCITY_VALUE_FORMAT_H

#include "cipher.h"
#include "compress.h"
#include "entry.h"

#define VALUE_RECORD_HEADER_BYTES 40u
#define VALUE_REFERENCE_MAX_BYTES 30u

struct value_reference {
    uint64_t file;   /* its number */
    uint64_t offset; /* of the record */
    uint32_t raw_bytes;
    uint32_t stored_bytes; /* as a block's: compressed, and with the tag of the encryption */
};

size_t value_reference_encode(uint8_t *out, struct value_reference reference);
/* False: it is none. */
bool value_reference_decode(velocity_slice bytes, struct value_reference *out);

/* What the record takes in its file, from the offset on. */
static inline uint64_t value_record_bytes(struct value_reference reference, size_t key_bytes) {
    return VALUE_RECORD_HEADER_BYTES + (uint64_t)key_bytes + reference.stored_bytes;
}

/* Of a record whose first VALUE_RECORD_HEADER_BYTES stand here, unchecked. */
uint64_t value_record_size(const uint8_t *header);

/* A record in memory. */
struct value_record {
    velocity_slice key, stored;
    uint64_t sequence;
    int64_t expires_at_ms;
    uint32_t flags, raw_bytes;
    uint8_t packing; /* enum packing */
};

/* Where a record stands: in a file with that seed, encrypted so (NULL: not). */
struct value_place {
    uint64_t seed, offset;
    cipher *cipher;
};

/* Encodes what stands before key and stored bytes. For files that are not encrypted. */
void value_record_encode(const struct value_record *record, const struct value_place *place,
                         uint8_t header[VALUE_RECORD_HEADER_BYTES]);
/* Encodes all of a record, encrypted: value_record_bytes with the tag in stored_bytes. */
VELOCITY_CHECK_RESULT velocity_status value_record_seal(const struct value_record *record,
                                                        const struct value_place *place, uint8_t *to);
/* Decrypts `size` bytes, and takes them apart, in place. CORRUPT, without a message: they are no whole record of just
 * that size. */
VELOCITY_CHECK_RESULT velocity_status value_record_decode(uint8_t *bytes, size_t size, const struct value_place *place,
                                                          struct value_record *out);

/* ---- how much of which value file something refers to ----------------------------------------------------------- */

struct value_use {
    uint64_t file;
    uint64_t bytes; /* of records */
};

/* Ascending by file, each once. */
struct value_uses {
    struct value_use *items;
    size_t count, capacity;
};

/* The place of the file among them, or where it belongs. */
size_t value_uses_find(const struct value_uses *uses, uint64_t file);
VELOCITY_CHECK_RESULT velocity_status value_uses_add(struct value_uses *uses, uint64_t file, uint64_t bytes);
VELOCITY_CHECK_RESULT velocity_status value_uses_copy(struct value_uses *to, const struct value_uses *from);
bool value_uses_equal(const struct value_uses *a, const struct value_uses *b);
void value_uses_clear(struct value_uses *uses);
/* As bytes: a varint count, then of each a varint file and varint bytes. Room for value_uses_most_bytes. */
size_t value_uses_most_bytes(const struct value_uses *uses);
uint8_t *value_uses_encode(uint8_t *out, const struct value_uses *uses);
/* NULL: it is not such a list (*status INVALID), or there is no memory. Behind it otherwise; *out is owned. */
const uint8_t *value_uses_decode(const uint8_t *p, const uint8_t *end, struct value_uses *out, velocity_status *status);

#endif
