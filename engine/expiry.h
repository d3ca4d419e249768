/*
 * expiry.h - when a table's entries expire: a summary that tells, without reading the table, how much of it has expired
 * by some time. The builder gathers it, the table keeps it (FORMAT.md, "Expiry summary"), compaction acts on it.
 *
 *   time --->    [earliest latest]    [earliest latest]        [earliest latest]     buckets: disjoint, ascending
 *                   bytes, entries       bytes, entries           bytes, entries     of what expires in each
 *
 * Where a new time lies between buckets it begins one, and where that makes too many the two nearest become one.
 */
#ifndef VELOCITY_EXPIRY_H
#define VELOCITY_EXPIRY_H

#include "env.h"

enum {
    EXPIRY_BUCKETS = 16,
    EXPIRY_BUCKET_BYTES = 32,
    EXPIRY_MAX_BYTES = EXPIRY_BUCKETS * EXPIRY_BUCKET_BYTES,
    EXPIRY_DUE_TENTHS = 3, /* a table is rewritten once so much of it has expired */
};

#define EXPIRY_NEVER INT64_MAX

struct expiry_bucket {
    int64_t earliest, latest;
    uint64_t bytes, entries; /* bytes: keys and values, not compressed */
};

struct expiry_summary {
    uint32_t count;
    struct expiry_bucket buckets[EXPIRY_BUCKETS + 1]; /* one more while two are about to become one */
};

void expiry_add(struct expiry_summary *s, int64_t expires_at_ms, uint64_t bytes);
/* At most EXPIRY_MAX_BYTES. */
size_t expiry_encode(const struct expiry_summary *s, uint8_t *out);
/* False: it makes no sense. */
bool expiry_decode(const uint8_t *data, size_t size, struct expiry_summary *out);

/* What has surely expired by then: buckets that are over. */
struct expiry_bucket expiry_over(const struct expiry_summary *s, uint64_t now_ms);
/* When so much of a table of these totals has expired that rewriting it pays; EXPIRY_NEVER. */
int64_t expiry_due_ms(const struct expiry_summary *s, uint64_t raw_bytes, uint64_t entries);

#endif
