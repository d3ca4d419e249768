/*
 * crc32c_spans.h - CRC-32C of any part of some bytes without reading them all again: for whoever looks in a file for
 * what has a right checksum, at every place, and must not take time in the square of the file's size.
 *
 * A CRC is linear: what a part contributes follows from the CRCs of the bytes up to its two ends. Those are kept for
 * every MARK_BYTES.
 */
#ifndef VELOCITY_CRC32C_SPANS_H
#define VELOCITY_CRC32C_SPANS_H

#include "velocity.h"

struct crc32c_spans {
    const uint8_t *data; /* borrowed; it must not change */
    uint64_t size;
    uint32_t *marks;         /* register after i * MARK_BYTES */
    uint32_t powers[4][256]; /* [i][b]: what b * 256^i zero bytes do to a register */
};

/* NO_MEMORY. */
VELOCITY_CHECK_RESULT velocity_status crc32c_spans_init(struct crc32c_spans *s, const void *data, uint64_t size);
void crc32c_spans_clear(struct crc32c_spans *s);
/* crc32c(crc, data + from, size) of a part that lies in the data. */
uint32_t crc32c_span(const struct crc32c_spans *s, uint32_t crc, uint64_t from, uint32_t size);

#endif
