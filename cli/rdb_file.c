/* rdb_file.c - see rdb_file.h. */
#include "cli/rdb_file.h"
#include "cli/rdb_packed.h"
#include "cli/rows.h"

#include <inttypes.h>
#include <stdlib.h>

#define STRING_MAX_BYTES ((uint64_t)512 << 20) /* Redis's own limit */
#define LZF_GROWTH_MAX   88                    /* three bytes become 264 at most */

bool rdb_fail(struct rdb_file *f, const char *why) {
    if (!f->failed)
        (void)snprintf(f->message, ROWS_MESSAGE_BYTES, "the dump is damaged at byte %" PRIu64 ": %s", f->offset, why);
    f->failed = true;
    return false;
}

bool rdb_read(struct rdb_file *f, void *out, size_t size) {
    if (size > f->size - f->offset) return rdb_fail(f, "it ends in the middle");
    if (size && fread(out, 1, size, f->file) != size) return rdb_fail(f, "it can't be read");
    f->checksum = rdb_checksum(f->checksum, velocity_bytes(out, size));
    f->offset += size;
    return true;
}

static bool room(struct rdb_file *f, struct rdb_bytes *b, size_t size) {
    if (size <= b->capacity) return true;
    uint8_t *data = realloc(b->data, size);
    if (!data) return rdb_fail(f, "no memory for a value of its size");
    b->data = data;
    b->capacity = size;
    return true;
}

bool rdb_read_little(struct rdb_file *f, size_t bytes, uint64_t *out) {
    uint8_t raw[8];
    if (!rdb_read(f, raw, bytes)) return false;
    *out = 0;
    for (size_t i = bytes; i-- > 0;) *out = *out << 8 | raw[i];
    return true;
}

static bool read_big(struct rdb_file *f, size_t bytes, uint64_t *out) {
    uint8_t raw[8];
    if (!rdb_read(f, raw, bytes)) return false;
    *out = 0;
    for (size_t i = 0; i < bytes; i++) *out = *out << 8 | raw[i];
    return true;
}

/* A length, or the number of an encoding of strings (*encoded). */
static bool read_length_or_encoding(struct rdb_file *f, uint64_t *out, bool *encoded) {
    uint64_t first, more = 0;
    *encoded = false;
    if (!rdb_read_little(f, 1, &first)) return false;
    switch (first >> 6) {
    case 0: *out = first & 0x3F; return true;
    case 1:
        if (!rdb_read_little(f, 1, &more)) return false;
        *out = (first & 0x3F) << 8 | more;
        return true;
    case 3:
        *encoded = true;
        *out = first & 0x3F;
        return true;
    default:
        if (first == 0x80) return read_big(f, 4, out);
        return first == 0x81 ? read_big(f, 8, out) : rdb_fail(f, "a length of no known form");
    }
}

bool rdb_read_length(struct rdb_file *f, uint64_t *out) {
    bool encoded;
    return read_length_or_encoding(f, out, &encoded) && (!encoded || rdb_fail(f, "a length of no known form"));
}

static bool read_integer_string(struct rdb_file *f, size_t bytes, struct rdb_bytes *out) {
    uint64_t n;
    if (!rdb_read_little(f, bytes, &n) || !room(f, out, 24)) return false;
    uint64_t sign = UINT64_C(1) << (bytes * 8 - 1);
    out->size = (size_t)snprintf((char *)out->data, 24, "%" PRId64, (int64_t)((n ^ sign) - sign));
    return true;
}

static bool read_lzf_string(struct rdb_file *f, struct rdb_bytes *out) {
    uint64_t packed, size;
    if (!rdb_read_length(f, &packed) || !rdb_read_length(f, &size)) return false;
    if (size > STRING_MAX_BYTES || packed > STRING_MAX_BYTES) return rdb_fail(f, "a string that is too long");
    if (packed > f->size - f->offset) return rdb_fail(f, "it ends in the middle");
    /* What LZF may make of a byte is limited: a small lie about the size must not cost memory. */
    if (size > packed * LZF_GROWTH_MAX) return rdb_fail(f, "a compressed string that can't be so long");
    uint8_t *in = malloc(packed + 1);
    bool good = in || rdb_fail(f, "no memory for a value of its size");
    good = good && rdb_read(f, in, packed) && room(f, out, size + 1);
    good = good && (lzf_decompress(velocity_bytes(in, packed), out->data, size) || rdb_fail(f, "a compressed string"));
    out->size = good ? size : 0;
    free(in);
    return good;
}

bool rdb_read_string(struct rdb_file *f, struct rdb_bytes *out) {
    static const size_t integer_bytes[] = {1, 2, 4};
    uint64_t n = 0;
    bool encoded;
    if (!read_length_or_encoding(f, &n, &encoded)) return false;
    if (encoded && n < 3) return read_integer_string(f, integer_bytes[n], out);
    if (encoded) return n == 3 ? read_lzf_string(f, out) : rdb_fail(f, "a string of no known form");
    if (n > STRING_MAX_BYTES) return rdb_fail(f, "a string that is too long");
    if (n > f->size - f->offset) return rdb_fail(f, "it ends in the middle");
    out->size = n;
    return room(f, out, n + 1) && rdb_read(f, out->data, n);
}

bool rdb_skip(struct rdb_file *f, uint64_t bytes) {
    uint8_t piece[64];
    while (bytes) {
        size_t size = bytes < sizeof piece ? (size_t)bytes : sizeof piece;
        if (!rdb_read(f, piece, size)) return false;
        bytes -= size;
    }
    return true;
}

bool rdb_skip_lengths(struct rdb_file *f, int count) {
    uint64_t ignored;
    while (count-- > 0)
        if (!rdb_read_length(f, &ignored)) return false;
    return true;
}
