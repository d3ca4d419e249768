/* table_walk.c - see table_walk.h. Blocks that no index names are found by table_search.c. */
#include "table_walk.h"

#include "array.h"
#include "slice.h"
#include "status.h"
#include "table_search.h"

#include <stdlib.h>

enum { READ_ATTEMPTS = 3 }; /* an error of the disk that passes is no damage */

struct kept {
    uint8_t *bytes;
    size_t capacity;
    velocity_slice key;
};

struct walk {
    struct table *table;
    const struct table_visitor *visitor;
    uint64_t at;      /* behind the last block in file order that was looked at */
    uint64_t covered; /* bytes of the file that were checked */
    uint8_t *filter;  /* all partitions, or NULL */
    uint8_t *key;     /* of the entry before; empty at the beginning */
    size_t key_bytes, key_capacity;
    uint64_t sequence; /* of the entry before */
    uint8_t *scratch;  /* a key that is put together */
    size_t scratch_capacity;
    /* Keys that outlive the scratch: not on the caller's stack, which may be small. */
    struct kept upper, lower; /* separators: of the top index, and of a block of the index */
    struct kept before;       /* of a block that is checked: the key before */
    /* The table's range deletes, as its list has them, or what a search found: shown where their places are, also where
     * the data block that held them is lost. */
    const struct range_tombstone *ranges;
    size_t range_count, range_at;
    bool listed;            /* the list is the table's: it must agree with the entries */
    struct table_meta seen; /* counted from the entries */
    uint64_t data_blocks;
    bool complete;        /* no entries were lost */
    bool may_hold_ranges; /* nothing says that it has no range deletes */
    bool list_told;
    bool refused; /* the visitor ended the walk: what it answered is no damage of the table */
};

static velocity_slice key_before(const struct walk *w) {
    return velocity_bytes(w->key_bytes ? w->key : NULL, w->key_bytes);
}

static velocity_status answered(struct walk *w, velocity_status status) {
    if (status) w->refused = true;
    return status;
}

/* The error message is set. What a lost range delete covered is not known, unless the list is there. */
static velocity_status tell(struct walk *w, bool entries, velocity_slice after, velocity_slice upto) {
    struct table_loss loss = {entries, after, upto};
    if (entries) w->complete = false;
    if (entries && !w->listed && w->may_hold_ranges) loss.upto = velocity_bytes(NULL, 0);
    return answered(w, w->visitor->damage(w->visitor->arg, &loss));
}

/* A damage that took no entries. */
static velocity_status tell_of(struct walk *w, uint64_t offset, const char *what) {
    (void)status_set(VELOCITY_CORRUPT, "%s: offset %llu: %s", w->table->path, (unsigned long long)offset, what);
    return tell(w, false, velocity_bytes(NULL, 0), velocity_bytes(NULL, 0));
}

static bool is_damage(const struct walk *w, velocity_status status) {
    return !w->refused && (status == VELOCITY_CORRUPT || status == VELOCITY_IO);
}

static velocity_status load(struct walk *w, struct block_handle handle, struct cache_entry **out) {
    struct table_read read = {.fill_cache = false};
    struct held_block held;
    velocity_status status = VELOCITY_IO;
    for (int attempt = 0; status == VELOCITY_IO && attempt < READ_ATTEMPTS; attempt++) {
        epoch_enter();
        status = table_load_block(w->table, handle, CACHE_DATA, &read, &held);
        epoch_leave();
    }
    *out = status ? NULL : held.entry; /* nothing was put into the cache: it is ours */
    if (w->visitor->progress) w->visitor->progress(w->visitor->arg, handle.bytes + BLOCK_TRAILER_BYTES);
    w->covered += handle.bytes + BLOCK_TRAILER_BYTES;
    return status;
}

static velocity_status show_block(struct walk *w, velocity_block_kind kind, struct block_handle handle,
                                  uint32_t raw_bytes, uint32_t entries) {
    if (!w->visitor->block) return VELOCITY_OK;
    velocity_block block = {kind, handle.offset, handle.bytes, raw_bytes, entries};
    return answered(w, w->visitor->block(w->visitor->arg, &block));
}

/* ---- entries ------------------------------------------------------------------------------------------------------
 */

static bool reserve(uint8_t **bytes, size_t *capacity, size_t wanted) {
    if (wanted <= *capacity) return true;
    uint8_t *bigger = env_realloc(*bytes, wanted * 2);
    if (!bigger) return false;
    *bytes = bigger;
    *capacity = wanted * 2;
    return true;
}

static bool follows(velocity_slice key, uint64_t sequence, velocity_slice before, uint64_t before_sequence) {
    int order = slice_compare(before, key);
    return order < 0 || (order == 0 && before_sequence > sequence);
}

/* Puts entry i together, its key in w->scratch. */
static velocity_status get_entry(struct walk *w, const struct block *block, uint32_t i, struct entry *out) {
    struct block_entry e;
    if (!block_entry_read(block, i, &e)) return VELOCITY_CORRUPT;
    size_t bytes = block_key_bytes(block, &e);
    if (bytes == 0 || bytes > VELOCITY_MAX_KEY_BYTES) return VELOCITY_CORRUPT;
    if (!reserve(&w->scratch, &w->scratch_capacity, bytes + BLOCK_SUFFIX_SLACK)) return VELOCITY_NO_MEMORY;
    memcpy(w->scratch, block->prefix, block->prefix_bytes);
    block_suffix_copy(block, i, &e, w->scratch + block->prefix_bytes);
    *out = (struct entry){.key = velocity_bytes(w->scratch, bytes),
                          .value = e.value,
                          .sequence = e.sequence,
                          .expires_at_ms = e.expires_at_ms,
                          .flags = e.flags,
                          .kind = e.kind};
    return VELOCITY_OK;
}

static velocity_status remember(struct walk *w, const struct entry *e) {
    if (!reserve(&w->key, &w->key_capacity, e->key.size)) return VELOCITY_NO_MEMORY;
    memcpy(w->key, e->key.data, e->key.size);
    w->key_bytes = e->key.size;
    w->sequence = e->sequence;
    return VELOCITY_OK;
}

static velocity_status keep(struct kept *kept, velocity_slice key) {
    if (!reserve(&kept->bytes, &kept->capacity, key.size)) return VELOCITY_NO_MEMORY;
    if (key.size) memcpy(kept->bytes, key.data, key.size);
    kept->key = velocity_bytes(kept->bytes, key.size);
    return VELOCITY_OK;
}

/*
 * Whether all entries of the block make sense, are in order, and lie in (after, upto] by the index. Leaves the last key
 * in w->scratch. CORRUPT comes with a message.
 */
static velocity_status check_block(struct walk *w, const struct block *block, struct block_handle handle,
                                   velocity_slice upto) {
    uint64_t sequence = w->sequence;
    velocity_status status = keep(&w->before, key_before(w));
    for (uint32_t i = 0; !status && i < block->count; i++) {
        struct entry e;
        status = get_entry(w, block, i, &e);
        if (status == VELOCITY_CORRUPT)
            return status_set(status, "%s: offset %llu: entry %u of a block makes no sense", w->table->path,
                              (unsigned long long)handle.offset, i);
        if (status) return status;
        if (!follows(e.key, e.sequence, w->before.key, sequence))
            return status_set(VELOCITY_CORRUPT, "%s: offset %llu: entry %u of a block is not in order", w->table->path,
                              (unsigned long long)handle.offset, i);
        if (upto.data && slice_compare(e.key, upto) > 0)
            return status_set(VELOCITY_CORRUPT, "%s: offset %llu: entry %u of a block lies outside of its index entry",
                              w->table->path, (unsigned long long)handle.offset, i);
        status = keep(&w->before, e.key);
        sequence = e.sequence;
    }
    return status;
}

static bool filter_knows(const struct walk *w, velocity_slice key) {
    const struct filter_shape *shape = &w->table->filter;
    uint64_t hash = filter_hash(key);
    return filter_may_contain(shape, w->filter + (size_t)filter_partition(shape, hash) * shape->partition_bytes, hash);
}

static velocity_status count(struct walk *w, const struct entry *e) {
    struct table_meta *seen = &w->seen;
    if (slice_equal(e->key, key_before(w))) seen->one_version = false;
    seen->entries++;
    seen->tombstones += entry_is_delete(e);
    seen->raw_bytes += e->key.size + e->value.size;
    if (e->sequence < seen->min_sequence) seen->min_sequence = e->sequence;
    if (e->sequence > seen->max_sequence) seen->max_sequence = e->sequence;
    struct value_reference r;
    if (e->kind == ENTRY_VALUE_REFERENCE && value_reference_decode(e->value, &r) &&
        value_uses_add(&seen->values, r.file, value_record_bytes(r, e->key.size)))
        return VELOCITY_NO_MEMORY;
    if (e->expires_at_ms) {
        if (!seen->expiry && !(seen->expiry = env_alloc_zeroed(sizeof *seen->expiry))) return VELOCITY_NO_MEMORY;
        expiry_add(seen->expiry, e->expires_at_ms, e->key.size + e->value.size);
    }
    if (seen->smallest.data) return VELOCITY_OK;
    uint8_t *copy = env_alloc(e->key.size);
    if (!copy) return VELOCITY_NO_MEMORY;
    memcpy(copy, e->key.data, e->key.size);
    seen->smallest = velocity_bytes(copy, e->key.size);
    return VELOCITY_OK;
}

static velocity_status show_entry(struct walk *w, const struct entry *e) {
    velocity_status status = count(w, e);
    if (!status && w->visitor->entry) status = answered(w, w->visitor->entry(w->visitor->arg, e));
    return status ? status : remember(w, e);
}

/* Where list and entries are not the same although nothing was lost. */
static velocity_status tell_of_list(struct walk *w) {
    if (!w->listed || !w->complete || w->list_told) return VELOCITY_OK;
    w->list_told = true;
    return tell_of(w, w->table->ranges_handle.offset, "the list of range deletes is not that of the entries");
}

/* Shows the range deletes that stand before the entry (NULL: all) and did not show with the blocks. */
static velocity_status show_ranges_before(struct walk *w, const struct entry *e) {
    velocity_status status = VELOCITY_OK;
    for (; w->range_at < w->range_count && !status; w->range_at++) {
        const struct range_tombstone *r = &w->ranges[w->range_at];
        if (e && !follows(e->key, e->sequence, r->start, r->sequence)) break;
        struct entry range = {.key = r->start, .value = r->end, .sequence = r->sequence, .kind = ENTRY_RANGE_DELETE};
        status = tell_of_list(w);
        if (!status) status = show_entry(w, &range);
    }
    if (status || !e || e->kind != ENTRY_RANGE_DELETE) return status;
    bool is_next = w->range_at < w->range_count && w->ranges[w->range_at].sequence == e->sequence &&
                   slice_equal(w->ranges[w->range_at].start, e->key) &&
                   slice_equal(w->ranges[w->range_at].end, e->value);
    w->range_at += is_next;
    return is_next ? VELOCITY_OK : tell_of_list(w);
}

/* Hands over the entries of a block that was checked. */
static velocity_status show_entries(struct walk *w, const struct block *block, struct block_handle handle) {
    bool filter_told = false;
    velocity_status status = VELOCITY_OK;
    for (uint32_t i = 0; i < block->count && !status; i++) {
        struct entry e;
        status = get_entry(w, block, i, &e);
        if (!status) status = show_ranges_before(w, &e);
        if (!status && w->filter && !filter_told && !filter_knows(w, e.key)) {
            filter_told = true;
            status = tell_of(w, handle.offset, "the filter does not know a key of this block");
        }
        if (!status) status = show_entry(w, &e);
    }
    return status;
}

static velocity_status use_data(struct walk *w, struct cache_entry *entry, struct block_handle handle,
                                velocity_slice upto) {
    struct block block;
    velocity_status status = VELOCITY_OK;
    if (!block_open(&block, cache_entry_data(entry), entry->size))
        status = status_set(VELOCITY_CORRUPT, "%s: offset %llu: a block's layout makes no sense", w->table->path,
                            (unsigned long long)handle.offset);
    if (!status) status = check_block(w, &block, handle, upto);
    if (!status) status = show_block(w, VELOCITY_BLOCK_DATA, handle, entry->size, block.count);
    return status ? status : show_entries(w, &block, handle);
}

/* A data block that the index names, under its separator. */
static velocity_status walk_data(struct walk *w, struct block_handle handle, velocity_slice upto) {
    struct cache_entry *entry;
    velocity_status status = load(w, handle, &entry);
    w->data_blocks++;
    if (!status) status = use_data(w, entry, handle, upto);
    cache_entry_release(entry);
    return is_damage(w, status) ? tell(w, true, key_before(w), upto) : status;
}

/* ---- where the index is not enough ------------------------------------------------------------------------------- */

struct searching {
    struct walk *walk;
    bool gap; /* bytes were passed over since the last block */
};

/*
 * A block of nothing but range deletes is one of the list, or a data block whose range deletes the list has, too. So
 * these are gathered first (search_ranges), and shown from there.
 */
static bool holds_ranges_alone(const struct block *block) {
    struct block_entry e;
    for (uint32_t i = 0; i < block->count; i++)
        if (!block_entry_read(block, i, &e) || e.kind != ENTRY_RANGE_DELETE) return false;
    return true;
}

static velocity_status found_block(void *arg, struct block_handle handle, struct cache_entry *entry, bool gap) {
    struct searching *s = arg;
    struct walk *w = s->walk;
    struct block block;
    struct entry first;
    s->gap |= gap;
    bool opens = block_open(&block, cache_entry_data(entry), entry->size);
    velocity_status status = opens ? get_entry(w, &block, 0, &first) : VELOCITY_CORRUPT;
    if (status == VELOCITY_NO_MEMORY) return status;
    /* A filter partition has not the layout of a block; entries of index blocks have no sequence. */
    if (status || first.sequence == 0 || holds_ranges_alone(&block)) return VELOCITY_OK;
    status = check_block(w, &block, handle, velocity_bytes(NULL, 0));
    if (status == VELOCITY_CORRUPT) {
        s->gap = true;
        return VELOCITY_OK;
    }
    if (!status && s->gap) {
        status = get_entry(w, &block, 0, &first);
        if (!status)
            (void)status_set(VELOCITY_CORRUPT, "%s: offset %llu: data blocks before this place are damaged",
                             w->table->path, (unsigned long long)handle.offset);
        if (!status) status = tell(w, true, key_before(w), first.key);
        s->gap = false;
    }
    w->data_blocks++;
    return status ? status : use_data(w, entry, handle, velocity_bytes(NULL, 0));
}

/* Searches [from, to) for data blocks; `upto` is where its keys end (data NULL: not known). */
static velocity_status search(struct walk *w, uint64_t from, uint64_t to, velocity_slice upto) {
    struct searching s = {.walk = w};
    bool gap_at_end = false;
    velocity_status status = table_search(w->table, from, to, found_block, &s, &gap_at_end);
    if (w->visitor->progress && !status) w->visitor->progress(w->visitor->arg, to - from);
    if (status || !(s.gap || gap_at_end)) return status;
    (void)status_set(VELOCITY_CORRUPT, "%s: offset %llu: data blocks behind this place are damaged", w->table->path,
                     (unsigned long long)from);
    return tell(w, true, key_before(w), upto);
}

struct gathering {
    struct walk *walk;
    struct range_tombstone *ranges;
    size_t count, capacity;
    struct arena bytes;
};

static velocity_status gather_ranges(void *arg, struct block_handle handle, struct cache_entry *entry, bool gap) {
    struct gathering *g = arg;
    struct block block;
    (void)handle;
    (void)gap;
    if (!block_open(&block, cache_entry_data(entry), entry->size) || !holds_ranges_alone(&block)) return VELOCITY_OK;
    velocity_status status = VELOCITY_OK;
    for (uint32_t i = 0; i < block.count; i++) {
        struct entry e;
        status = get_entry(g->walk, &block, i, &e);
        if (status == VELOCITY_CORRUPT) return VELOCITY_OK;
        if (!status) status = arena_reserve(&g->bytes, e.key.size + e.value.size);
        if (!status) status = array_reserve(g->ranges, g->capacity, g->count);
        if (status) return status;
        uint8_t *key = arena_take(&g->bytes, e.key.size + e.value.size), *end = key + e.key.size;
        memcpy(key, e.key.data, e.key.size);
        if (e.value.size) memcpy(end, e.value.data, e.value.size);
        g->ranges[g->count++] =
            (struct range_tombstone){velocity_bytes(key, e.key.size), velocity_bytes(end, e.value.size), e.sequence};
    }
    return status;
}

static int by_place(const void *a, const void *b) {
    const struct range_tombstone *x = a, *y = b;
    int order = slice_compare(x->start, y->start);
    return order ? order : (x->sequence < y->sequence) - (x->sequence > y->sequence);
}

/* Finds the range deletes of a table that can't be loaded: sorted, each once. */
static velocity_status search_ranges(struct walk *w, uint64_t from, uint64_t to, struct gathering *g) {
    bool gap_at_end;
    velocity_status status = table_search(w->table, from, to, gather_ranges, g, &gap_at_end);
    if (status || !g->count) return status;
    qsort(g->ranges, g->count, sizeof *g->ranges, by_place);
    size_t kept = 1;
    for (size_t i = 1; i < g->count; i++)
        if (by_place(&g->ranges[kept - 1], &g->ranges[i]) != 0) g->ranges[kept++] = g->ranges[i];
    w->ranges = g->ranges;
    w->range_count = kept;
    return VELOCITY_OK;
}

/* ---- index, filter, footer --------------------------------------------------------------------------------------- */

static velocity_status walk_index(struct walk *w, struct block_handle handle, velocity_slice upto) {
    struct cache_entry *entry;
    struct block block;
    velocity_status status = load(w, handle, &entry);
    if (!status) status = table_open_block(w->table, entry, &block);
    for (uint32_t i = 0; !status && i < block.count; i++) {
        struct block_handle data;
        struct entry e;
        status = table_index_handle(w->table, &block, i, &data);
        if (!status) status = get_entry(w, &block, i, &e);
        if (!status && (data.offset < w->at || data.offset + data.bytes > handle.offset))
            status = status_set(VELOCITY_CORRUPT, "%s: offset %llu: index entries are not in order", w->table->path,
                                (unsigned long long)handle.offset);
        if (status) break;
        if ((status = keep(&w->lower, e.key))) break;
        status = walk_data(w, data, w->lower.key);
        w->at = data.offset + data.bytes + BLOCK_TRAILER_BYTES;
        if (status) goto out;
    }
    if (is_damage(w, status)) {
        status = tell(w, false, velocity_bytes(NULL, 0), velocity_bytes(NULL, 0));
        if (!status) status = search(w, w->at, handle.offset, upto);
    } else if (!status) {
        status = show_block(w, VELOCITY_BLOCK_INDEX, handle, entry->size, block.count);
    }
out:
    cache_entry_release(entry);
    w->at = handle.offset + handle.bytes + BLOCK_TRAILER_BYTES;
    return status;
}

/* The blocks of the list of range deletes: they were read when the table was loaded. */
static velocity_status walk_range_list(struct walk *w) {
    struct table *t = w->table;
    struct cache_entry *entry;
    struct block index;
    w->ranges = table_ranges(t, &w->range_count);
    w->listed = true;
    if (t->ranges_handle.bytes == 0) return VELOCITY_OK;
    velocity_status status = load(w, t->ranges_handle, &entry);
    if (!status) status = table_open_block(t, entry, &index);
    if (!status) status = show_block(w, VELOCITY_BLOCK_INDEX, t->ranges_handle, entry->size, index.count);
    for (uint32_t i = 0; !status && i < index.count; i++) {
        struct block_handle handle;
        struct cache_entry *list;
        struct block block;
        status = table_index_handle(t, &index, i, &handle);
        if (status) break;
        status = load(w, handle, &list);
        if (!status) status = table_open_block(t, list, &block);
        if (!status) status = show_block(w, VELOCITY_BLOCK_RANGES, handle, list->size, block.count);
        cache_entry_release(list);
    }
    cache_entry_release(entry);
    return is_damage(w, status) ? tell(w, false, velocity_bytes(NULL, 0), velocity_bytes(NULL, 0)) : status;
}

/* A damaged filter is told of once and then does not count. */
static velocity_status load_filter(struct walk *w) {
    const struct filter_shape *shape = &w->table->filter;
    if (shape->partitions == 0) return VELOCITY_OK;
    w->filter = env_alloc((size_t)shape->partitions * shape->partition_bytes);
    if (!w->filter) return VELOCITY_NO_MEMORY;
    velocity_status status = VELOCITY_OK;
    bool damaged = false;
    for (uint32_t i = 0; i < shape->partitions && !status; i++) {
        struct block_handle handle = table_filter_handle(w->table, i);
        struct cache_entry *entry;
        status = load(w, handle, &entry);
        if (!status && entry->size != shape->partition_bytes)
            status = status_set(VELOCITY_CORRUPT, "%s: offset %llu: a filter partition has the wrong size",
                                w->table->path, (unsigned long long)handle.offset);
        if (!status) {
            memcpy(w->filter + (size_t)i * shape->partition_bytes, cache_entry_data(entry), entry->size);
            status = show_block(w, VELOCITY_BLOCK_FILTER, handle, entry->size, 0);
        } else if (is_damage(w, status)) {
            damaged = true;
            status = tell(w, false, velocity_bytes(NULL, 0), velocity_bytes(NULL, 0));
        }
        cache_entry_release(entry);
    }
    if (damaged) {
        env_free(w->filter);
        w->filter = NULL;
    }
    return status;
}

velocity_status table_info(struct table *t, velocity_table_info *out) {
    uint8_t footer[TABLE_FOOTER_BYTES], bytes[FILE_HEADER_BYTES];
    struct file_header header;
    size_t got = 0;
    velocity_status status = table_ensure_loaded(t, false);
    if (!status) status = table_read_raw(t, 0, sizeof bytes, bytes, &got);
    if (!status) status = file_header_parse(bytes, got, FILE_TABLE, t->path, &header);
    if (!status) status = table_read_raw(t, t->meta.file_bytes - sizeof footer, sizeof footer, footer, &got);
    if (status) return status;
    *out = (velocity_table_info){
        .number = header.number,
        .file_bytes = t->meta.file_bytes,
        .created_ms = header.created_ms,
        .entries = get_u64(footer + FOOTER_ENTRIES),
        .tombstones = get_u64(footer + FOOTER_TOMBSTONES),
        .raw_bytes = get_u64(footer + FOOTER_RAW_BYTES),
        .smallest_sequence = get_u64(footer + FOOTER_MIN_SEQUENCE),
        .largest_sequence = get_u64(footer + FOOTER_MAX_SEQUENCE),
        .data_blocks = get_u64(footer + FOOTER_DATA_BLOCKS),
        .filter_partitions = t->filter.partitions,
        .filter_partition_bytes = t->filter.partition_bytes,
        .filter_probes = t->filter.probes,
        .one_version = get_u32(footer + FOOTER_FLAGS) & TABLE_FLAG_ONE_VERSION,
    };
    memcpy(out->database_id, header.database_id, sizeof out->database_id);
    memcpy(out->uid, header.uid, sizeof out->uid);
    return VELOCITY_OK;
}

static bool counts_agree(const struct table_meta *seen, uint64_t entries, uint64_t tombstones, uint64_t raw_bytes,
                         uint64_t min_sequence, uint64_t max_sequence, bool one_version) {
    return seen->entries == entries && seen->tombstones == tombstones && seen->raw_bytes == raw_bytes &&
           seen->min_sequence == min_sequence && seen->max_sequence == max_sequence && seen->one_version == one_version;
}

static bool same_expiry(const struct expiry_summary *a, const struct expiry_summary *b) {
    uint8_t x[EXPIRY_MAX_BYTES], y[EXPIRY_MAX_BYTES];
    if (!a || !b) return a == b;
    size_t size = expiry_encode(a, x);
    return size == expiry_encode(b, y) && memcmp(x, y, size) == 0;
}

/* What footer and manifest say of the entries, once all of them were seen. */
static velocity_status check_totals(struct walk *w, bool whole_meta) {
    const struct table_meta *meta = &w->table->meta, *seen = &w->seen;
    velocity_table_info f;
    uint64_t footer_at = meta->file_bytes - TABLE_FOOTER_BYTES;
    velocity_status status = table_info(w->table, &f);
    if (is_damage(w, status)) return tell(w, false, velocity_bytes(NULL, 0), velocity_bytes(NULL, 0));
    if (status) return status;
    if (!counts_agree(seen, f.entries, f.tombstones, f.raw_bytes, f.smallest_sequence, f.largest_sequence,
                      f.one_version) ||
        f.data_blocks != w->data_blocks)
        status = tell_of(w, footer_at, "the footer's counts are not those of the entries");
    if (!status && !same_expiry(seen->expiry, meta->expiry))
        status = tell_of(w, w->table->expiry_handle.offset, "the expiry summary is not that of the entries");
    if (!status && !value_uses_equal(&seen->values, &meta->values))
        status = tell_of(w, w->table->values_handle.offset, "the value references are not those of the entries");
    if (!status && w->covered != meta->file_bytes)
        status = tell_of(w, footer_at, "the file holds bytes that belong to no block");
    if (status || !whole_meta) return status;
    if (!counts_agree(seen, meta->entries, meta->tombstones, meta->raw_bytes, meta->min_sequence, meta->max_sequence,
                      meta->one_version) ||
        !slice_equal(seen->smallest, meta->smallest) || !slice_equal(key_before(w), meta->largest))
        status = tell_of(w, 0, "what the manifest says of the table is not what it holds");
    return status;
}

/* ---- the walk ------------------------------------------------------------------------------------------------------
 */

static velocity_status walk_by_index(struct walk *w, bool whole_meta) {
    const struct block *top = &w->table->top;
    velocity_status status = walk_range_list(w);
    if (!status) status = load_filter(w);
    w->at = FILE_HEADER_BYTES;
    for (uint32_t i = 0; !status && i < top->count; i++) {
        struct block_handle handle;
        struct entry e;
        status = table_index_handle(w->table, top, i, &handle);
        if (!status) status = get_entry(w, top, i, &e);
        if (is_damage(w, status)) {
            status = tell_of(w, 0, "an entry of the top index makes no sense");
            if (!status) status = search(w, w->at, w->table->meta.file_bytes, velocity_bytes(NULL, 0));
            return status;
        }
        if (!status) status = keep(&w->upper, e.key);
        if (!status) status = walk_index(w, handle, w->upper.key);
    }
    if (!status) status = show_block(w, VELOCITY_BLOCK_INDEX, w->table->top_handle, (uint32_t)top->size, top->count);
    if (!status) status = show_ranges_before(w, NULL);
    return status || !w->complete ? status : check_totals(w, whole_meta);
}

/* Header, footer or top index can't be used (the message says why). */
static velocity_status walk_by_search(struct walk *w, bool whole_meta) {
    velocity_status status = tell(w, false, velocity_bytes(NULL, 0), velocity_bytes(NULL, 0));
    if (status) return status;
    /* Where the size is known, blocks up to where the footer was are all there were. */
    const struct table_meta *meta = &w->table->meta;
    bool sized = whole_meta && meta->file_bytes > FILE_HEADER_BYTES + TABLE_FOOTER_BYTES;
    uint64_t to = sized ? meta->file_bytes - TABLE_FOOTER_BYTES : UINT64_MAX;
    struct gathering g = {.walk = w};
    arena_init(&g.bytes, 1, NULL);
    w->may_hold_ranges = !whole_meta || meta->tombstones > 0;
    if (w->may_hold_ranges) status = search_ranges(w, FILE_HEADER_BYTES, to, &g);
    if (!status) status = search(w, FILE_HEADER_BYTES, to, meta->largest);
    if (!status) status = show_ranges_before(w, NULL);
    w->ranges = NULL;
    env_free(g.ranges);
    arena_free(&g.bytes);
    return status;
}

static uint64_t stored_bytes(struct block_handle handle) {
    return handle.bytes ? handle.bytes + BLOCK_TRAILER_BYTES : 0;
}

velocity_status table_walk(struct table *table, bool whole_meta, const struct table_visitor *visitor) {
    struct walk w = {.table = table, .visitor = visitor, .complete = true};
    w.seen.min_sequence = UINT64_MAX;
    w.seen.one_version = true;
    velocity_status status = VELOCITY_IO;
    for (int attempt = 0; status == VELOCITY_IO && attempt < READ_ATTEMPTS; attempt++)
        status = table_ensure_loaded(table, false);
    if (!status) {
        w.covered = FILE_HEADER_BYTES + TABLE_FOOTER_BYTES + stored_bytes(table->top_handle) +
                    stored_bytes(table->expiry_handle) + stored_bytes(table->values_handle);
        status = walk_by_index(&w, whole_meta);
    } else if (is_damage(&w, status)) {
        status = walk_by_search(&w, whole_meta);
    }
    table_meta_clear(&w.seen);
    env_free(w.filter);
    env_free(w.key);
    env_free(w.scratch);
    env_free(w.upper.bytes);
    env_free(w.lower.bytes);
    env_free(w.before.bytes);
    return status;
}
