/* block.c - see block.h. */
#include "block.h"

#include "coding.h"
#include "env.h"
#include "slice.h"
#include "status.h"

enum {
    AT_COUNT = 0,
    AT_PREFIX_BYTES = 4,
    AT_FLAGS = 6,
    AT_BASE_SEQUENCE = 8,
    HEADER_BYTES = 16,
    FLAG_WIDE = 1,
    HEAD_BYTES = 4,
    SHORT_REST_BYTES = 16,
    META_KIND = 0xcf, /* bits 6 and 7 are reserved: set, they make a kind that is not known */
    META_FLAGS = 0x10,
    META_EXPIRES = 0x20,
    ENTRY_MAX_OVERHEAD = 2 * VARINT32_MAX_BYTES + 1 + VARINT64_MAX_BYTES + 4 + 8,
};

/* ---- building ------------------------------------------------------------------------------------------------- */

void block_builder_init(struct block_builder *builder) {
    memset(builder, 0, sizeof *builder);
}

void block_builder_free(struct block_builder *builder) {
    env_free(builder->staged);
    env_free(builder->bytes);
    env_free(builder->out);
    block_builder_init(builder);
}

/* Makes *block hold at least `needed` items of `item` bytes, growing by half. */
static bool grow(void **block, size_t *capacity, size_t needed, size_t item) {
    if (needed <= *capacity) return true;
    size_t wanted = needed + needed / 2 + 64;
    void *bigger = env_realloc(*block, wanted * item);
    if (!bigger) return false;
    *block = bigger;
    *capacity = wanted;
    return true;
}

velocity_status block_builder_add(struct block_builder *builder, const struct entry *entry) {
    if (!grow((void **)&builder->staged, &builder->staged_capacity, builder->count + 1, sizeof *builder->staged) ||
        !grow((void **)&builder->bytes, &builder->bytes_capacity, builder->used + entry->key.size + entry->value.size,
              1))
        return VELOCITY_NO_MEMORY;
    struct block_staged *s = &builder->staged[builder->count++];
    s->key_at = builder->used;
    s->key_bytes = (uint32_t)entry->key.size;
    s->value_bytes = (uint32_t)entry->value.size;
    s->sequence = entry->sequence;
    s->expires_at_ms = entry->expires_at_ms;
    s->flags = entry->flags;
    s->kind = entry->kind;
    memcpy(builder->bytes + builder->used, entry->key.data, entry->key.size);
    builder->used += entry->key.size;
    if (entry->value.size) memcpy(builder->bytes + builder->used, entry->value.data, entry->value.size);
    builder->used += entry->value.size;
    return VELOCITY_OK;
}

size_t block_builder_bytes(const struct block_builder *builder) {
    return HEADER_BYTES + builder->used + builder->count * (HEAD_BYTES + 2 + 6);
}

static velocity_slice staged_key(const struct block_builder *builder, size_t i) {
    return velocity_bytes(builder->bytes + builder->staged[i].key_at, builder->staged[i].key_bytes);
}

velocity_slice block_builder_first_key(const struct block_builder *builder) {
    return staged_key(builder, 0);
}

velocity_slice block_builder_last_key(const struct block_builder *builder) {
    return staged_key(builder, builder->count - 1);
}

static uint8_t *encode_entry(uint8_t *p, const struct block_builder *builder, size_t i, size_t prefix,
                             uint64_t base_sequence) {
    const struct block_staged *s = &builder->staged[i];
    size_t suffix = s->key_bytes - prefix;
    uint8_t meta = s->kind;
    if (s->flags) meta |= META_FLAGS;
    if (s->expires_at_ms) meta |= META_EXPIRES;
    p = put_varint(p, suffix);
    p = put_varint(p, s->value_bytes);
    *p++ = meta;
    p = put_varint(p, s->sequence - base_sequence);
    if (meta & META_FLAGS) put_u32(p, s->flags), p += 4;
    if (meta & META_EXPIRES) put_u64(p, (uint64_t)s->expires_at_ms), p += 8;
    const uint8_t *key = builder->bytes + s->key_at;
    if (suffix > HEAD_BYTES) {
        memcpy(p, key + prefix + HEAD_BYTES, suffix - HEAD_BYTES);
        p += suffix - HEAD_BYTES;
    }
    if (s->value_bytes) memcpy(p, key + s->key_bytes, s->value_bytes);
    return p + s->value_bytes;
}

velocity_status block_builder_finish(struct block_builder *builder, velocity_slice *out) {
    size_t n = builder->count;
    size_t most = HEADER_BYTES + builder->used + n * (HEAD_BYTES + 4 + ENTRY_MAX_OVERHEAD);
    if (most > UINT32_MAX) return status_set(VELOCITY_INVALID, "a block of %zu bytes is too large", most);
    if (!grow((void **)&builder->out, &builder->out_capacity, most, 1)) return VELOCITY_NO_MEMORY;
    size_t prefix = slice_shared_prefix(staged_key(builder, 0), staged_key(builder, n - 1));
    if (prefix > UINT16_MAX) prefix = UINT16_MAX;
    uint64_t base = UINT64_MAX;
    for (size_t i = 0; i < n; i++)
        if (builder->staged[i].sequence < base) base = builder->staged[i].sequence;
    bool wide = most > UINT16_MAX;
    uint8_t *block = builder->out;
    memset(block, 0, HEADER_BYTES);
    put_u32(block + AT_COUNT, (uint32_t)n);
    put_u16(block + AT_PREFIX_BYTES, (uint16_t)prefix);
    block[AT_FLAGS] = wide ? FLAG_WIDE : 0;
    put_u64(block + AT_BASE_SEQUENCE, base);
    uint8_t *heads = block + HEADER_BYTES, *offsets = heads + n * HEAD_BYTES;
    uint8_t *p = offsets + n * (wide ? 4 : 2);
    memcpy(p, builder->bytes + builder->staged[0].key_at, prefix);
    p += prefix;
    for (size_t i = 0; i < n; i++) {
        put_u32(heads + i * HEAD_BYTES, slice_head4(staged_key(builder, i), prefix));
        if (wide)
            put_u32(offsets + i * 4, (uint32_t)(p - block));
        else
            put_u16(offsets + i * 2, (uint16_t)(p - block));
        p = encode_entry(p, builder, i, prefix, base);
    }
    *out = velocity_bytes(block, (size_t)(p - block));
    builder->count = builder->used = 0;
    return VELOCITY_OK;
}

/* ---- reading -------------------------------------------------------------------------------------------------- */

bool block_open(struct block *block, const void *data, size_t size) {
    const uint8_t *p = data;
    if (size < HEADER_BYTES || p[AT_FLAGS] > FLAG_WIDE) return false;
    block->data = p;
    block->size = size;
    block->count = get_u32(p + AT_COUNT);
    block->prefix_bytes = get_u16(p + AT_PREFIX_BYTES);
    block->wide = p[AT_FLAGS] == FLAG_WIDE;
    block->base_sequence = get_u64(p + AT_BASE_SEQUENCE);
    uint64_t fixed = (uint64_t)block->count * (HEAD_BYTES + (block->wide ? 4 : 2)) + block->prefix_bytes;
    if (block->count == 0 || fixed > size - HEADER_BYTES) return false;
    block->heads = p + HEADER_BYTES;
    block->offsets = block->heads + (size_t)block->count * HEAD_BYTES;
    block->prefix = block->offsets + (size_t)block->count * (block->wide ? 4 : 2);
    return true;
}

/* Takes the entry at p apart. */
static inline bool parse(const struct block *block, const uint8_t *p, struct block_entry *out) {
    const uint8_t *end = block->data + block->size;
    uint32_t value_bytes;
    uint64_t delta;
    if (!(p = get_varint32(p, end, &out->suffix_bytes))) return false;
    if (!(p = get_varint32(p, end, &value_bytes)) || p == end) return false;
    uint8_t meta = *p++;
    if (!(p = get_varint64(p, end, &delta))) return false;
    size_t extra = (meta & META_FLAGS ? 4u : 0u) + (meta & META_EXPIRES ? 8u : 0u);
    size_t rest = out->suffix_bytes > HEAD_BYTES ? out->suffix_bytes - HEAD_BYTES : 0;
    if ((uint64_t)(end - p) < (uint64_t)extra + rest + value_bytes) return false;
    out->kind = meta & META_KIND;
    if (out->kind < ENTRY_PUT || out->kind > ENTRY_VALUE_REFERENCE) return false;
    out->sequence = block->base_sequence + delta;
    out->flags = 0;
    out->expires_at_ms = 0;
    if (meta & META_FLAGS) out->flags = get_u32(p), p += 4;
    if (meta & META_EXPIRES) out->expires_at_ms = (int64_t)get_u64(p), p += 8;
    out->rest = p;
    out->value = velocity_bytes(p + rest, value_bytes);
    return true;
}

bool block_entry_read(const struct block *block, uint32_t i, struct block_entry *out) {
    size_t at = block->wide ? get_u32(block->offsets + (size_t)i * 4) : get_u16(block->offsets + (size_t)i * 2);
    return at < block->size && parse(block, block->data + at, out);
}

bool block_entry_next(const struct block *block, struct block_entry *e) {
    return parse(block, (const uint8_t *)e->value.data + e->value.size, e);
}

_Static_assert(SHORT_REST_BYTES <= BLOCK_SUFFIX_SLACK, "what is copied too much stays in the slack");

void block_suffix_copy(const struct block *block, uint32_t i, const struct block_entry *e, uint8_t *to) {
    uint32_t head = __builtin_bswap32(get_u32(block->heads + (size_t)i * HEAD_BYTES));
    memcpy(to, &head, HEAD_BYTES);
    if (e->suffix_bytes <= HEAD_BYTES) return;
    size_t rest = e->suffix_bytes - HEAD_BYTES;
    /* A short rest in one piece, with what follows it: cheaper than a call that looks at the length. */
    if (rest <= SHORT_REST_BYTES && (size_t)(block->data + block->size - e->rest) >= SHORT_REST_BYTES)
        memcpy(to + HEAD_BYTES, e->rest, SHORT_REST_BYTES);
    else
        memcpy(to + HEAD_BYTES, e->rest, rest);
}

/* Orders entry i's suffix against `suffix` where their heads are equal. Zero padding makes "a" and "a\0" equal there.
 */
static int compare_behind_head(const struct block *block, uint32_t i, velocity_slice suffix) {
    struct block_entry e;
    if (!block_entry_read(block, i, &e)) return 0;
    if (e.suffix_bytes > HEAD_BYTES && suffix.size > HEAD_BYTES)
        return slice_compare(velocity_bytes(e.rest, e.suffix_bytes - HEAD_BYTES),
                             velocity_bytes((const uint8_t *)suffix.data + HEAD_BYTES, suffix.size - HEAD_BYTES));
    return e.suffix_bytes < suffix.size ? -1 : e.suffix_bytes > suffix.size;
}

/* How `key` stands to the block's prefix: <0 all keys are greater, >0 all are smaller, 0 it shares the prefix. */
static int compare_prefix(const struct block *block, velocity_slice key) {
    size_t shared = key.size < block->prefix_bytes ? key.size : block->prefix_bytes;
    int order = shared ? memcmp(key.data, block->prefix, shared) : 0;
    if (order) return order;
    return key.size < block->prefix_bytes ? -1 : 0;
}

/* The number of heads smaller than `head`: a binary search without branches. */
static uint32_t heads_below(const uint8_t *heads, uint32_t count, uint32_t head) {
    uint32_t base = 0;
    while (count > 1) {
        uint32_t half = count / 2;
        base += get_u32(heads + (size_t)(base + half - 1) * HEAD_BYTES) < head ? half : 0;
        count -= half;
    }
    return base + (get_u32(heads + (size_t)base * HEAD_BYTES) < head);
}

uint32_t block_seek(const struct block *block, velocity_slice key) {
    int order = compare_prefix(block, key);
    if (order) return order < 0 ? 0 : block->count;
    velocity_slice suffix =
        velocity_bytes((const uint8_t *)key.data + block->prefix_bytes, key.size - block->prefix_bytes);
    uint32_t head = slice_head4(suffix, 0);
    uint32_t low = heads_below(block->heads, block->count, head);
    if (low == block->count || get_u32(block->heads + (size_t)low * HEAD_BYTES) != head) return low;
    uint32_t high = block->count;
    if (low + 1 < high && get_u32(block->heads + (size_t)(low + 1) * HEAD_BYTES) != head)
        high = low + 1;
    else if (head != UINT32_MAX)
        high = low + heads_below(block->heads + (size_t)low * HEAD_BYTES, block->count - low, head + 1);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare_behind_head(block, middle, suffix) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

velocity_status block_find(const struct block *block, velocity_slice key, uint32_t *i, struct block_entry *out) {
    if (compare_prefix(block, key) != 0) return VELOCITY_NOT_FOUND;
    velocity_slice suffix =
        velocity_bytes((const uint8_t *)key.data + block->prefix_bytes, key.size - block->prefix_bytes);
    uint32_t head = slice_head4(suffix, 0), at = *i ? *i : heads_below(block->heads, block->count, head);
    for (; at < block->count && get_u32(block->heads + (size_t)at * HEAD_BYTES) == head; at++) {
        if (!block_entry_read(block, at, out)) return VELOCITY_CORRUPT;
        if (out->suffix_bytes != suffix.size) continue;
        if (suffix.size > HEAD_BYTES &&
            memcmp(out->rest, (const uint8_t *)suffix.data + HEAD_BYTES, suffix.size - HEAD_BYTES) != 0)
            continue;
        *i = at;
        return VELOCITY_OK;
    }
    return VELOCITY_NOT_FOUND;
}
