/* expiry.c - see expiry.h. */
#include "expiry.h"

#include "coding.h"

/* Bucket i takes in the one behind it. */
static void join(struct expiry_summary *s, uint32_t i) {
    struct expiry_bucket *a = &s->buckets[i], *b = a + 1;
    a->latest = b->latest;
    a->bytes += b->bytes;
    a->entries += b->entries;
    s->count--;
    memmove(b, b + 1, (s->count - i - 1) * sizeof *b);
}

static void join_nearest(struct expiry_summary *s) {
    uint32_t nearest = 0;
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i + 1 < s->count; i++) {
        uint64_t gap = (uint64_t)s->buckets[i + 1].earliest - (uint64_t)s->buckets[i].latest;
        if (gap < least) least = gap, nearest = i;
    }
    join(s, nearest);
}

void expiry_add(struct expiry_summary *s, int64_t expires_at_ms, uint64_t bytes) {
    uint32_t i = 0;
    while (i < s->count && s->buckets[i].latest < expires_at_ms) i++;
    struct expiry_bucket *b = &s->buckets[i];
    if (i < s->count && b->earliest <= expires_at_ms) {
        b->bytes += bytes;
        b->entries++;
        return;
    }
    memmove(b + 1, b, (s->count - i) * sizeof *b);
    *b = (struct expiry_bucket){expires_at_ms, expires_at_ms, bytes, 1};
    if (++s->count > EXPIRY_BUCKETS) join_nearest(s);
}

size_t expiry_encode(const struct expiry_summary *s, uint8_t *out) {
    for (uint32_t i = 0; i < s->count; i++, out += EXPIRY_BUCKET_BYTES) {
        put_u64(out, (uint64_t)s->buckets[i].earliest);
        put_u64(out + 8, (uint64_t)s->buckets[i].latest);
        put_u64(out + 16, s->buckets[i].bytes);
        put_u64(out + 24, s->buckets[i].entries);
    }
    return (size_t)s->count * EXPIRY_BUCKET_BYTES;
}

bool expiry_decode(const uint8_t *data, size_t size, struct expiry_summary *out) {
    memset(out, 0, sizeof *out);
    if (size == 0 || size > EXPIRY_MAX_BYTES || size % EXPIRY_BUCKET_BYTES) return false;
    for (; size; size -= EXPIRY_BUCKET_BYTES, data += EXPIRY_BUCKET_BYTES) {
        struct expiry_bucket *b = &out->buckets[out->count];
        *b = (struct expiry_bucket){(int64_t)get_u64(data), (int64_t)get_u64(data + 8), get_u64(data + 16),
                                    get_u64(data + 24)};
        if (b->earliest > b->latest || (out->count && b[-1].latest >= b->earliest)) return false;
        out->count++;
    }
    return true;
}

struct expiry_bucket expiry_over(const struct expiry_summary *s, uint64_t now_ms) {
    struct expiry_bucket over = {0, 0, 0, 0};
    for (uint32_t i = 0; s && i < s->count; i++) {
        const struct expiry_bucket *b = &s->buckets[i];
        if (b->latest >= 0 && (uint64_t)b->latest > now_ms) break;
        if (i == 0) over.earliest = b->earliest;
        over.latest = b->latest;
        over.bytes += b->bytes;
        over.entries += b->entries;
    }
    return over;
}

static bool is_due(uint64_t part, uint64_t whole) {
    return part && part >= whole - whole / 10 * (10 - EXPIRY_DUE_TENTHS);
}

int64_t expiry_due_ms(const struct expiry_summary *s, uint64_t raw_bytes, uint64_t entries) {
    uint64_t bytes = 0, over = 0;
    for (uint32_t i = 0; s && i < s->count; i++) {
        bytes += s->buckets[i].bytes;
        over += s->buckets[i].entries;
        if (is_due(bytes, raw_bytes) || is_due(over, entries)) return s->buckets[i].latest;
    }
    return EXPIRY_NEVER;
}
