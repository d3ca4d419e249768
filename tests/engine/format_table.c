/* format_table.c - tables by FORMAT.md: blocks, index, filter, footer. See format_reader.h. */
#include "format_reader.h"

#include "testing.h"

#include <lz4.h>
#include <xxhash.h>
#include <zstd.h>

struct image {
    struct format_database *db;
    uint8_t *data;
    size_t size;
    uint64_t seed, largest_block;
    uint8_t *filter; /* all partitions, one behind the other */
};

struct block {
    uint8_t *data;
    size_t size, count, prefix_bytes;
};

/* ---- blocks --------------------------------------------------------------------------------------------------------
 */

static struct block load_block(struct image *t, uint64_t offset, uint64_t bytes) {
    assert_true(offset >= 128 && offset + bytes + 9 <= t->size);
    const uint8_t *stored = t->data + offset, *trailer = stored + bytes;
    uint32_t first = format_checksum(t->seed, offset, stored, bytes);
    assert_int_equal(format_number(trailer + 5, 4), format_checksum(first, offset, trailer, 5));
    struct block b = {.size = format_number(trailer + 1, 4)};
    assert_true(b.size <= t->largest_block);
    b.data = malloc(b.size);
    uint8_t *packed = malloc(bytes);
    memcpy(packed, stored, bytes);
    bytes = format_decrypt(t->db, offset, trailer, 5, packed, bytes);
    if (trailer[0] == 0) {
        assert_int_equal(b.size, bytes);
        memcpy(b.data, packed, bytes);
    } else if (trailer[0] == 1) {
        assert_int_equal(LZ4_decompress_safe((const char *)packed, (char *)b.data, (int)bytes, (int)b.size), b.size);
        t->db->lz4_blocks++;
    } else {
        assert_int_equal(trailer[0], 2);
        assert_int_equal(ZSTD_decompress(b.data, b.size, packed, bytes), b.size);
        t->db->zstd_blocks++;
    }
    free(packed);
    return b;
}

struct block_entry {
    uint8_t *key; /* for free() */
    const uint8_t *value, *end;
    size_t key_bytes, value_bytes;
    uint64_t sequence;
    int64_t expires_at_ms;
    uint32_t flags;
    uint8_t kind;
};

static struct block_entry read_entry(const struct block *b, size_t i) {
    size_t width = b->data[6] & 1 ? 4 : 2;
    const uint8_t *heads = b->data + 16, *offsets = heads + 4 * b->count, *prefix = offsets + width * b->count;
    struct format_bytes at = {b->data + format_number(offsets + width * i, (int)width), b->data + b->size};
    struct block_entry e;
    uint64_t suffix = format_varint(&at);
    e.value_bytes = format_varint(&at);
    uint8_t meta = *format_take(&at, 1);
    assert_int_equal(meta & 0xc0, 0);
    e.kind = meta & 0x0f;
    e.sequence = format_number(b->data + 8, 8) + format_varint(&at);
    e.flags = meta & 0x10 ? (uint32_t)format_number(format_take(&at, 4), 4) : 0;
    e.expires_at_ms = meta & 0x20 ? (int64_t)format_number(format_take(&at, 8), 8) : 0;
    e.key_bytes = b->prefix_bytes + suffix;
    e.key = malloc(e.key_bytes + 4);
    memcpy(e.key, prefix, b->prefix_bytes);
    uint32_t head = (uint32_t)format_number(heads + 4 * i, 4);
    for (size_t k = 0; k < 4; k++) {
        uint8_t byte = (uint8_t)(head >> (24 - 8 * k));
        if (k < suffix)
            e.key[b->prefix_bytes + k] = byte;
        else
            assert_int_equal(byte, 0);
    }
    if (suffix > 4) memcpy(e.key + b->prefix_bytes + 4, format_take(&at, suffix - 4), suffix - 4);
    e.value = format_take(&at, e.value_bytes);
    e.end = at.at;
    return e;
}

static void check_block_header(struct format_database *db, struct block *b) {
    assert_true(b->size >= 16);
    b->count = format_number(b->data, 4);
    b->prefix_bytes = format_number(b->data + 4, 2);
    assert_true(b->count > 0 && b->data[6] <= 1 && b->data[7] == 0);
    db->wide_blocks += b->data[6];
}

static int compare(const uint8_t *a, size_t a_bytes, const uint8_t *b, size_t b_bytes) {
    int order = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);
    return order ? order : a_bytes < b_bytes ? -1 : a_bytes > b_bytes;
}

/* ---- the walk: top index, index blocks, data blocks, in order
 * ---------------------------------------------------------- */

struct walk {
    struct image *image;
    const struct format_table *meta;
    uint64_t entries, tombstones, raw_bytes, min_sequence, max_sequence, data_blocks, index_blocks;
    bool one_version;
    uint8_t *last_key, *separator; /* of the entry before; of the data block before */
    size_t last_key_bytes, separator_bytes;
    uint64_t last_sequence, data_end; /* where the data block before ends */
    uint64_t *used;                   /* of each value file, by this table */
    struct expiring {
        int64_t at_ms;
        uint64_t bytes;
    } * expiring;
    size_t expiring_count;
    struct block ranges_index, ranges; /* slot 2, and the block of it that is matched now */
    size_t ranges_index_at, ranges_at;
};

static bool in_filter(struct image *t, const uint8_t *key, size_t key_bytes) {
    const uint8_t *footer = t->data + t->size - 512;
    uint64_t partitions = format_number(footer + 72, 4), bytes = format_number(footer + 76, 4);
    if (partitions == 0) return true;
    uint64_t h = XXH3_64bits(key, key_bytes), partition = ((h >> 32) * partitions) >> 32;
    const uint8_t *at = t->filter + partition * bytes;
    const uint8_t *line = at + (((h & 0xffffffff) * (bytes / 64)) >> 32) * 64;
    uint64_t b = h * UINT64_C(0x9e3779b97f4a7c15);
    for (uint64_t probe = format_number(footer + 80, 4); probe; probe--, b *= UINT64_C(0x9e3779b97f4a7c15))
        if (!(line[b >> 58] >> ((b >> 55) & 7) & 1)) return false;
    return true;
}

/* The entry is the put whose value its record holds. */
static void take_reference(struct walk *w, const struct block_entry *e) {
    struct format_entry entry = {.key = e->key,
                                 .value = (uint8_t *)(uintptr_t)e->value,
                                 .key_bytes = e->key_bytes,
                                 .value_bytes = e->value_bytes,
                                 .sequence = e->sequence,
                                 .flags = e->flags,
                                 .expires_at_ms = e->expires_at_ms};
    size_t size;
    uint64_t number, record_bytes;
    uint8_t *value = format_resolve(w->image->db, &entry, &size, &number, &record_bytes);
    for (size_t i = 0; i < w->image->db->value_count; i++)
        if (w->image->db->values[i].number == number) w->used[i] += record_bytes;
    format_add(w->image->db, e->key, e->key_bytes, value, size, e->sequence, e->flags, 1);
    free(value);
}

/* Slot 2 lists the range deletes of the data blocks, in their order: walks it beside them. */
static void match_range(struct walk *w, const struct block_entry *e) {
    struct image *t = w->image;
    const uint8_t *footer = t->data + t->size - 512;
    if (!w->ranges_index.data) {
        w->ranges_index = load_block(t, format_number(footer + 160, 8), format_number(footer + 168, 8));
        check_block_header(t->db, &w->ranges_index);
    }
    if (!w->ranges.data) {
        struct block_entry place = read_entry(&w->ranges_index, w->ranges_index_at++);
        struct format_bytes handle = {place.value, place.value + place.value_bytes};
        uint64_t offset = format_varint(&handle), bytes = format_varint(&handle);
        w->ranges = load_block(t, offset, bytes);
        check_block_header(t->db, &w->ranges);
        struct block_entry last = read_entry(&w->ranges, w->ranges.count - 1);
        assert_int_equal(compare(place.key, place.key_bytes, last.key, last.key_bytes), 0);
        free(last.key);
        free(place.key);
        w->ranges_at = 0;
        t->db->range_blocks++;
    }
    struct block_entry listed = read_entry(&w->ranges, w->ranges_at++);
    assert_int_equal(listed.kind, 3);
    assert_int_equal(listed.sequence, e->sequence);
    assert_int_equal(compare(listed.key, listed.key_bytes, e->key, e->key_bytes), 0);
    assert_int_equal(compare(listed.value, listed.value_bytes, e->value, e->value_bytes), 0);
    free(listed.key);
    if (w->ranges_at < w->ranges.count) return;
    free(w->ranges.data);
    w->ranges.data = NULL;
}

/* Nothing more is listed than was met. */
static void check_ranges(struct walk *w) {
    const uint8_t *footer = w->image->data + w->image->size - 512;
    assert_null(w->ranges.data);
    if (w->ranges_index.data)
        assert_int_equal(w->ranges_index_at, w->ranges_index.count);
    else
        assert_int_equal(format_number(footer + 160, 8) | format_number(footer + 168, 8), 0);
    free(w->ranges_index.data);
}

static void take_entry(struct walk *w, const struct block_entry *e) {
    if (w->entries) {
        int order = compare(w->last_key, w->last_key_bytes, e->key, e->key_bytes);
        assert_true(order < 0 || (order == 0 && w->last_sequence > e->sequence));
        if (order == 0) w->one_version = false;
    } else {
        assert_int_equal(compare(e->key, e->key_bytes, w->meta->smallest, w->meta->smallest_bytes), 0);
    }
    if (w->separator) assert_true(compare(w->separator, w->separator_bytes, e->key, e->key_bytes) <= 0);
    assert_true(in_filter(w->image, e->key, e->key_bytes));
    w->last_key = realloc(w->last_key, e->key_bytes);
    memcpy(w->last_key, e->key, e->key_bytes);
    w->last_key_bytes = e->key_bytes;
    w->last_sequence = e->sequence;
    w->entries++;
    w->tombstones += e->kind == 2 || e->kind == 3;
    if (e->kind == 3) match_range(w, e);
    w->raw_bytes += e->key_bytes + e->value_bytes;
    if (e->sequence < w->min_sequence) w->min_sequence = e->sequence;
    if (e->sequence > w->max_sequence) w->max_sequence = e->sequence;
    if (e->kind == 4)
        take_reference(w, e);
    else
        format_add(w->image->db, e->key, e->key_bytes, e->value, e->value_bytes, e->sequence, e->flags, e->kind);
    format_expires(w->image->db, e->expires_at_ms);
    if (e->expires_at_ms == 0) return;
    w->expiring = realloc(w->expiring, (w->expiring_count + 1) * sizeof *w->expiring);
    w->expiring[w->expiring_count++] = (struct expiring){e->expires_at_ms, e->key_bytes + e->value_bytes};
}

static void walk_data_block(struct walk *w, uint64_t offset, uint64_t bytes) {
    struct block b = load_block(w->image, offset, bytes);
    check_block_header(w->image->db, &b);
    assert_true(offset >= w->data_end); /* in key order; index blocks may stand between */
    w->data_end = offset + bytes + 9;
    uint64_t lowest = UINT64_MAX;
    const uint8_t *end = NULL;
    for (size_t i = 0; i < b.count; i++) {
        struct block_entry e = read_entry(&b, i);
        take_entry(w, &e);
        if (e.sequence < lowest) lowest = e.sequence;
        end = e.end;
        free(e.key);
    }
    assert_ptr_equal(end, b.data + b.size);
    assert_int_equal(lowest, format_number(b.data + 8, 8));
    w->data_blocks++;
    free(b.data);
}

/* The separator is not below any key of the block that was just walked. */
static void take_separator(struct walk *w, const struct block_entry *e) {
    assert_true(compare(w->last_key, w->last_key_bytes, e->key, e->key_bytes) <= 0);
    free(w->separator);
    w->separator = malloc(e->key_bytes);
    memcpy(w->separator, e->key, e->key_bytes);
    w->separator_bytes = e->key_bytes;
}

static void walk_index(struct walk *w, uint64_t offset, uint64_t bytes, int depth) {
    struct block b = load_block(w->image, offset, bytes);
    check_block_header(w->image->db, &b);
    for (size_t i = 0; i < b.count; i++) {
        struct block_entry e = read_entry(&b, i);
        struct format_bytes handle = {e.value, e.value + e.value_bytes};
        uint64_t child = format_varint(&handle), child_bytes = format_varint(&handle);
        assert_ptr_equal(handle.at, handle.end);
        assert_true(e.kind == 1 && e.flags == 0 && e.expires_at_ms == 0);
        if (depth == 0) {
            walk_index(w, child, child_bytes, 1);
            w->index_blocks++;
            assert_int_equal(compare(w->separator, w->separator_bytes, e.key, e.key_bytes), 0);
        } else {
            walk_data_block(w, child, child_bytes);
            take_separator(w, &e);
        }
        free(e.key);
    }
    free(b.data);
}

/* ---- footer and filter
 * -------------------------------------------------------------------------------------------------- */

static void check_footer(struct image *t, const struct walk *w) {
    const uint8_t *footer = t->data + t->size - 512;
    const uint64_t wanted[] = {w->meta->number, w->entries,      w->tombstones, w->raw_bytes,
                               w->min_sequence, w->max_sequence, w->data_blocks};
    for (int i = 0; i < 7; i++) assert_int_equal(format_number(footer + 16 + 8 * i, 8), wanted[i]);
    assert_int_equal(format_number(footer + 12, 4), w->one_version);
    for (size_t at = 84; at < (t->db->encrypted ? 492 : 508); at++) /* unused ranges and slots */
        if (at < 128 || at >= 208) assert_int_equal(footer[at], 0);
}

/* The list of what is referred to, in the manifest and in slot 3, is what the entries refer to. */
static void check_value_references(struct image *t, const struct walk *w) {
    const uint8_t *footer = t->data + t->size - 512;
    uint64_t offset = format_number(footer + 176, 8), bytes = format_number(footer + 184, 8);
    struct format_bytes list = {w->meta->uses, w->meta->uses + w->meta->uses_bytes};
    uint64_t count = format_varint(&list);
    if (count) {
        struct block b = load_block(t, offset, bytes);
        assert_true(b.size == w->meta->uses_bytes && memcmp(b.data, w->meta->uses, b.size) == 0);
        free(b.data);
    } else {
        assert_true(offset == 0 && bytes == 0);
    }
    for (size_t met = 0; count; count--) {
        uint64_t number = format_varint(&list), used = format_varint(&list);
        for (size_t i = 0; i < t->db->value_count; i++) {
            if (t->db->values[i].number != number) continue;
            assert_int_equal(w->used[i], used);
            t->db->values[i].used += used;
            w->used[i] = 0;
            met++;
        }
        assert_true(met > 0);
    }
    for (size_t i = 0; i < t->db->value_count; i++) assert_int_equal(w->used[i], 0);
}

/* Each bucket holds just what expires within it, and all together what expires. */
static void check_expiry(struct image *t, const struct walk *w) {
    const uint8_t *footer = t->data + t->size - 512;
    uint64_t offset = format_number(footer + 192, 8), bytes = format_number(footer + 200, 8), all = 0;
    assert_int_equal(bytes > 0, w->expiring_count > 0);
    if (bytes == 0) return;
    struct block b = load_block(t, offset, bytes);
    assert_true(b.size % 32 == 0 && b.size <= 16 * 32 && t->data[offset + bytes] == 0);
    for (size_t at = 0; at < b.size; at += 32) {
        int64_t earliest = (int64_t)format_number(b.data + at, 8), latest = (int64_t)format_number(b.data + at + 8, 8);
        uint64_t entries = 0, in_it = 0;
        bool has_earliest = false, has_latest = false;
        if (at) assert_true((int64_t)format_number(b.data + at - 24, 8) < earliest);
        for (size_t i = 0; i < w->expiring_count; i++) {
            if (w->expiring[i].at_ms < earliest || w->expiring[i].at_ms > latest) continue;
            has_earliest |= w->expiring[i].at_ms == earliest;
            has_latest |= w->expiring[i].at_ms == latest;
            entries++;
            in_it += w->expiring[i].bytes;
        }
        assert_true(has_earliest && has_latest && in_it == format_number(b.data + at + 16, 8));
        assert_int_equal(entries, format_number(b.data + at + 24, 8));
        all += entries;
        t->db->expiry_buckets++;
    }
    assert_int_equal(all, w->expiring_count);
    free(b.data);
}

static void check_filter(struct image *t) {
    const uint8_t *footer = t->data + t->size - 512;
    uint64_t partitions = format_number(footer + 72, 4), bytes = format_number(footer + 76, 4);
    uint64_t offset = format_number(footer + 144, 8), stored = bytes + (t->db->encrypted ? 16 : 0);
    assert_int_equal(format_number(footer + 152, 8), partitions * (partitions ? stored + 9 : 0));
    t->filter = malloc(partitions * bytes + 1);
    if (partitions) assert_true(bytes % 64 == 0 && bytes > 0 && bytes <= 32768);
    for (uint64_t i = 0; i < partitions; i++, offset += stored + 9) {
        struct block b = load_block(t, offset, stored);
        assert_int_equal(b.size, bytes);
        memcpy(t->filter + i * bytes, b.data, bytes);
        free(b.data);
    }
    t->db->filter_partitions += partitions;
}

void format_read_table(struct format_database *db, const struct format_table *meta) {
    char name[32];
    (void)snprintf(name, sizeof name, "%08llu.sst", (unsigned long long)meta->number);
    struct image t = {.db = db, .largest_block = 65536 + 64 * meta->entries + meta->raw_bytes};
    t.seed = format_load(db, name, 2, &t.data, &t.size);
    assert_int_equal(t.size, meta->file_bytes);
    assert_memory_equal(t.data + 40, meta->uid, 16);
    uint8_t *footer = t.data + t.size - 512;
    assert_memory_equal(footer, "VELTABLE", 8);
    assert_int_equal(format_number(footer + 508, 4), format_checksum(t.seed, t.size - 512, footer, 508));
    assert_int_equal(format_number(footer + 8, 4), 1);
    if (db->encrypted) (void)format_decrypt(db, t.size - 512, footer, 492, footer + 492, 16);
    check_filter(&t);
    struct walk w = {.image = &t, .meta = meta, .min_sequence = UINT64_MAX, .one_version = true};
    w.used = calloc(db->value_count + 1, sizeof *w.used);
    walk_index(&w, format_number(footer + 128, 8), format_number(footer + 136, 8), 0);
    check_footer(&t, &w);
    check_value_references(&t, &w);
    free(w.used);
    check_ranges(&w);
    check_expiry(&t, &w);
    assert_int_equal(compare(w.last_key, w.last_key_bytes, meta->largest, meta->largest_bytes), 0);
    assert_true(w.entries == meta->entries && w.tombstones == meta->tombstones && w.raw_bytes == meta->raw_bytes);
    assert_true(w.min_sequence == meta->min_sequence && w.max_sequence == meta->max_sequence);
    assert_int_equal(w.one_version, meta->one_version);
    db->tables++;
    db->data_blocks += w.data_blocks;
    db->index_blocks += w.index_blocks;
    db->table_entries += w.entries;
    free(w.last_key);
    free(w.separator);
    free(w.expiring);
    free(t.filter);
    free(t.data);
}
