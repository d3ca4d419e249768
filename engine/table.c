/*
 * table.c - tables as objects: their life, their descriptor, their blocks, point lookups. See table.h. Cursors are in
 * table_cursor.c.
 *
 * Invariants:
 *  1. table->loaded is set once, after top index and footer were read and checked, and never cleared.
 *  2. table->pins are of the index blocks, then of the filter's partitions: see pins.h.
 */
#include "table.h"

#include "compress.h"
#include "filter.h"
#include "pins.h"
#include "slice.h"
#include "status.h"
#include "stripe.h"
#include "table_internal.h"

enum {
    ABSENT_LATELY_MAX = 4, /* of table->absent_lately: it falls by one at about ... */
    PRESENT_PER_STEP = 16, /* ... so many lookups that find their key; a power of two */
};

struct table_files {
    cache *cache;
    struct pin_budget pins;
    struct open_files open;
    struct unpackers unpackers;
    _Atomic uint64_t next_cache_id;
};

table_files *table_files_new(cache *c, uint32_t max_open) {
    table_files *files = env_alloc_zeroed(sizeof *files);
    if (!files) return NULL;
    files->cache = c;
    pin_budget_init(&files->pins, c);
    atomic_init(&files->next_cache_id, 1);
    open_files_init(&files->open, max_open);
    return files;
}

void table_files_free(table_files *files) {
    if (!files) return;
    open_files_destroy(&files->open);
    unpackers_clear(&files->unpackers);
    pin_budget_destroy(&files->pins);
    env_free(files);
}

void table_files_set_cache_bytes(table_files *files, uint64_t bytes) {
    pin_budget_resize(&files->pins, bytes);
}

uint64_t table_files_open_count(table_files *files) {
    return open_files_count(&files->open);
}

void table_files_sweep(table_files *files) {
    open_files_sweep(&files->open);
}

struct open_files *table_files_open(table_files *files) {
    return &files->open;
}

cache *table_files_cache(table_files *files) {
    return files->cache;
}

struct unpackers *table_files_unpackers(table_files *files) {
    return &files->unpackers;
}

uint64_t table_files_new_cache_id(table_files *files) {
    return atomic_fetch_add(&files->next_cache_id, 1);
}

static velocity_status check_opened(struct open_file *opened, env_file *file);
static void table_destroy(struct open_file *file);

static struct table *of_file(struct open_file *file) {
    return (struct table *)((char *)file - offsetof(struct table, file));
}

/* A table that is gone leaves its room in the cache at once, as far as its pinned index tells where its blocks are;
 * what is left ages out. */
static void forget_blocks(struct table *t) {
    for (uint32_t i = 0; t->pins.pins && i < t->top.count; i++) {
        struct cache_entry *entry = atomic_load(&t->pins.pins[i]);
        struct block index;
        struct block_handle handle;
        if (!entry || table_open_block(t, entry, &index)) continue;
        for (uint32_t k = 0; k < index.count; k++)
            if (!table_index_handle(t, &index, k, &handle)) cache_forget(t->cache, t->cache_id, handle.offset);
    }
}

/* So that what a block claims to unpack to is memory that an honest table needs. */
static uint32_t largest_block(uint64_t entries, uint64_t raw_bytes) {
    if (entries == 0 || entries > INT32_MAX / TABLE_BLOCK_ENTRY_BYTES || raw_bytes > INT32_MAX) return INT32_MAX;
    uint64_t bytes = TABLE_BLOCK_BASE_BYTES + entries * TABLE_BLOCK_ENTRY_BYTES + raw_bytes;
    return bytes < INT32_MAX ? (uint32_t)bytes : INT32_MAX;
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

velocity_status table_new_at(env *e, table_files *files, const char *path, const uint64_t database_id[2],
                             const key_ring *keys, struct table_meta *meta, struct table **out) {
    struct table *t = env_alloc_zeroed(sizeof *t);
    size_t size = strlen(path) + 1;
    if (!t || !(t->path = env_alloc(size))) {
        env_free(t);
        return VELOCITY_NO_MEMORY;
    }
    memcpy(t->path, path, size);
    t->files = files;
    t->cache = files->cache;
    t->keys = keys;
    memcpy(t->database_id, database_id, sizeof t->database_id);
    t->meta = *meta;
    memset(meta, 0, sizeof *meta);
    t->largest_block = largest_block(t->meta.entries, t->meta.raw_bytes);
    arena_init(&t->range_bytes, 1, NULL);
    t->cache_id = table_files_new_cache_id(files);
    atomic_init(&t->absent_lately, ABSENT_LATELY_MAX);
    atomic_init(&t->references, 1);
    open_file_init(&t->file, e, t->path, check_opened, table_destroy);
    *out = t;
    return VELOCITY_OK;
}

velocity_status table_new(env *e, table_files *files, const char *folder, const uint64_t database_id[2],
                          const key_ring *keys, struct table_meta *meta, struct table **out) {
    char *path = file_path(folder, FILE_TABLE, meta->number);
    velocity_status status = path ? table_new_at(e, files, path, database_id, keys, meta, out) : VELOCITY_NO_MEMORY;
    env_free(path);
    return status;
}

const struct table_meta *table_meta(const struct table *t) {
    return &t->meta;
}

bool table_has_old_key(const struct table *t) {
    return atomic_load(&t->loaded) && t->old_key;
}

void table_acquire(struct table *t) {
    atomic_fetch_add_explicit(&t->references, 1, memory_order_relaxed);
}

void table_doom(struct table *t) {
    atomic_store(&t->doomed, true);
}

static void table_destroy(struct open_file *file) {
    struct table *t = of_file(file);
    bool doomed = atomic_load(&t->doomed);
    open_file_close(&t->file, doomed);
    if (doomed) forget_blocks(t);
    pin_set_clear(&t->pins, &t->files->pins);
    cipher_free(t->cipher);
    env_free(t->top_bytes);
    table_ranges_clear(t);
    table_meta_clear(&t->meta);
    env_free(t->path);
    env_free(t);
}

void table_release(struct table *t) {
    if (atomic_fetch_sub_explicit(&t->references, 1, memory_order_acq_rel) == 1)
        open_file_leave(&t->files->open, &t->file, atomic_load(&t->doomed));
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

static velocity_status damaged(const struct table *t, uint64_t offset, const char *what) {
    return status_set(VELOCITY_CORRUPT, "%s: offset %llu: %s", t->path, (unsigned long long)offset, what);
}

enum { STORED_ON_STACK_BYTES = 12 * 1024 };

bool table_trailer_plausible(const struct table *t, const uint8_t *trailer, uint64_t stored_bytes) {
    uint32_t overhead = cipher_overhead(t->cipher), raw_bytes = get_u32(trailer + 1);
    return stored_bytes >= overhead && raw_bytes <= t->largest_block &&
           unpack_size_possible(trailer[0], stored_bytes - overhead, raw_bytes);
}

struct block_handle table_filter_handle(const struct table *t, uint32_t i) {
    uint32_t size = t->filter.partition_bytes + cipher_overhead(t->cipher);
    return (struct block_handle){t->filter_offset + i * (uint64_t)(size + BLOCK_TRAILER_BYTES), size};
}

/* Decrypts, then unpacks: what is stored raw straight to its place. CORRUPT comes without a message. */
static velocity_status unseal_block(const struct table *t, struct block_handle handle, const uint8_t *stored,
                                    uint8_t *raw, uint32_t raw_bytes) {
    uint8_t small[STORED_ON_STACK_BYTES];
    const uint8_t *trailer = stored + handle.bytes;
    enum packing how = trailer[0];
    struct cipher_place place = {handle.offset, trailer, BLOCK_BOUND_BYTES};
    if (how == PACKED_RAW) return cipher_unseal(t->cipher, &place, stored, handle.bytes, raw);
    uint8_t *packed = handle.bytes <= sizeof small ? small : env_alloc(handle.bytes);
    if (!packed) return VELOCITY_NO_MEMORY;
    velocity_status status = cipher_unseal(t->cipher, &place, stored, handle.bytes, packed);
    if (!status) status = unpack(&t->files->unpackers, how, packed, handle.bytes - CIPHER_TAG_BYTES, raw, raw_bytes);
    if (packed != small) env_free(packed);
    return status;
}

velocity_status table_decode_block(const struct table *t, struct block_handle handle, const uint8_t *stored,
                                   struct cache_entry **out) {
    const uint8_t *trailer = stored + handle.bytes;
    uint32_t checksum = file_block_checksum(t->seed, handle.offset, stored, handle.bytes);
    checksum = file_block_checksum(checksum, handle.offset, trailer, BLOCK_BOUND_BYTES);
    if (checksum != get_u32(trailer + 5)) return damaged(t, handle.offset, "a block's checksum is wrong");
    uint32_t raw_bytes = get_u32(trailer + 1);
    if (!table_trailer_plausible(t, trailer, handle.bytes))
        return damaged(t, handle.offset, "a block's trailer makes no sense");
    struct cache_entry *entry = cache_entry_new(t->cache, raw_bytes);
    if (!entry) return VELOCITY_NO_MEMORY;
    uint8_t *raw = cache_entry_data(entry);
    velocity_status status = t->cipher ? unseal_block(t, handle, stored, raw, raw_bytes)
                                       : unpack(&t->files->unpackers, trailer[0], stored, handle.bytes, raw, raw_bytes);
    if (status) {
        cache_entry_release(entry);
        return status == VELOCITY_CORRUPT ? damaged(t, handle.offset, "a block does not decrypt or decompress")
                                          : status;
    }
    *out = entry;
    return VELOCITY_OK;
}

velocity_status table_read_stored(const struct table *t, env_file *file, struct block_handle handle,
                                  struct cache_entry **out) {
    uint64_t end = handle.offset + handle.bytes + BLOCK_TRAILER_BYTES;
    if (handle.offset < FILE_HEADER_BYTES || end > t->meta.file_bytes || end < handle.offset)
        return damaged(t, handle.offset, "a block lies outside of the file");
    uint8_t small[STORED_ON_STACK_BYTES];
    size_t size = handle.bytes + BLOCK_TRAILER_BYTES, got;
    uint8_t *stored = size <= sizeof small ? small : env_alloc(size);
    if (!stored) return VELOCITY_NO_MEMORY;
    velocity_status status = env_read(file, stored, size, handle.offset, &got);
    if (!status && got < size) status = damaged(t, handle.offset, "the file ends inside a block");
    if (!status) status = table_decode_block(t, handle, stored, out);
    if (stored != small) env_free(stored);
    return status;
}

velocity_status table_read_block(struct table *t, struct block_handle handle, enum cache_kind kind,
                                 const struct table_read *read, struct held_block *held) {
    if (read->cache_only) return status_set(VELOCITY_INCOMPLETE, "%s: the block is not in the cache", t->path);
    env_file *file;
    velocity_status status = open_file_get(&t->files->open, &t->file, &file);
    if (!status) status = table_read_stored(t, file, handle, &held->entry);
    if (status) return status;
    held->owned = true;
    if (read->fill_cache || kind != CACHE_DATA) cache_insert(t->cache, held->entry, t->cache_id, handle.offset, kind);
    return VELOCITY_OK;
}

velocity_status table_load_block(struct table *t, struct block_handle handle, enum cache_kind kind,
                                 const struct table_read *read, struct held_block *held) {
    held->owned = false;
    held->entry = cache_lookup(t->cache, t->cache_id, handle.offset);
    return held->entry ? VELOCITY_OK : table_read_block(t, handle, kind, read, held);
}

velocity_status table_load_pinned(struct table *t, cache_pin *pin, struct block_handle handle, enum cache_kind kind,
                                  const struct table_read *read, struct held_block *held) {
    held->owned = false;
    held->entry = atomic_load_explicit(pin, memory_order_acquire);
    if (held->entry) return VELOCITY_OK;
    velocity_status status = table_load_block(t, handle, kind, read, held);
    if (!status && read->fill_cache) pin_block(&t->files->pins, pin, held->entry);
    return status;
}

velocity_status table_read_raw(struct table *t, uint64_t offset, size_t size, uint8_t *to, size_t *got) {
    env_file *file;
    epoch_enter();
    velocity_status status = open_file_get(&t->files->open, &t->file, &file);
    if (!status) status = env_read(file, to, size, offset, got);
    epoch_leave();
    return status;
}

velocity_status table_open_block(const struct table *t, const struct cache_entry *entry, struct block *out) {
    if (block_open(out, cache_entry_data((struct cache_entry *)entry), entry->size)) return VELOCITY_OK;
    return damaged(t, entry->offset, "a block's layout makes no sense");
}

/* ---- loading: header, footer, top index ------------------------------------------------------------------------- */

static struct block_handle slot_of(const uint8_t *footer, enum table_slot slot) {
    return (struct block_handle){get_u64(footer + FOOTER_SLOTS + slot * 16),
                                 (uint32_t)get_u64(footer + FOOTER_SLOTS + slot * 16 + 8)};
}

/* Memory is taken for each partition: so they must lie in the file, which ends with the footer at `end`. */
static bool filter_fits(const struct table *t, uint64_t end) {
    const struct filter_shape *shape = &t->filter;
    if (shape->partitions == 0) return true;
    if (shape->partition_bytes == 0 || shape->partition_bytes % FILTER_LINE_BYTES ||
        shape->partition_bytes > FILTER_PARTITION_BYTES)
        return false;
    uint64_t each = table_filter_handle(t, 0).bytes + BLOCK_TRAILER_BYTES;
    return t->filter_offset >= FILE_HEADER_BYTES && t->filter_offset <= end &&
           shape->partitions <= (end - t->filter_offset) / each;
}

static velocity_status load_footer(struct table *t, env_file *file) {
    uint8_t footer[TABLE_FOOTER_BYTES];
    if (t->meta.file_bytes < FILE_HEADER_BYTES + TABLE_FOOTER_BYTES) return damaged(t, 0, "the file is too short");
    uint64_t at = t->meta.file_bytes - TABLE_FOOTER_BYTES;
    size_t got;
    velocity_status status = env_read(file, footer, sizeof footer, at, &got);
    if (status) return status;
    if (got < sizeof footer) return damaged(t, at, "the file ends before its footer");
    if (get_u64(footer + FOOTER_MAGIC) != TABLE_FOOTER_MAGIC ||
        get_u32(footer + FOOTER_CHECKSUM) != file_block_checksum(t->seed, at, footer, FOOTER_CHECKSUM))
        return damaged(t, at, "the footer's checksum is wrong");
    if (t->cipher) {
        struct cipher_place place = {at, footer, FOOTER_TAG};
        status = cipher_unseal(t->cipher, &place, footer + FOOTER_TAG, CIPHER_TAG_BYTES, footer + FOOTER_TAG);
        if (status == VELOCITY_CORRUPT) return damaged(t, at, "the footer is not the one that was written");
        if (status) return status;
    }
    if (get_u32(footer + FOOTER_VERSION) > FILE_FORMAT_VERSION)
        return status_set(VELOCITY_UNSUPPORTED, "%s: table format %u is newer than this build", t->path,
                          get_u32(footer + FOOTER_VERSION));
    for (int slot = SLOT_VALUE_REFERENCES; slot < SLOT_COUNT; slot++)
        if (slot != SLOT_VALUE_REFERENCES && slot != SLOT_EXPIRY && get_u64(footer + FOOTER_SLOTS + slot * 16 + 8))
            return status_set(VELOCITY_UNSUPPORTED, "%s: uses a feature that this build does not know", t->path);
    t->filter.partitions = get_u32(footer + FOOTER_FILTER_PARTITIONS);
    t->filter.partition_bytes = get_u32(footer + FOOTER_FILTER_PARTITION_BYTES);
    t->filter.probes = get_u32(footer + FOOTER_FILTER_PROBES);
    t->filter_offset = slot_of(footer, SLOT_FILTER).offset;
    if (!filter_fits(t, at)) return damaged(t, at, "the filter lies outside of the file");
    if (t->meta.entries == 0)
        t->largest_block = largest_block(get_u64(footer + FOOTER_ENTRIES), get_u64(footer + FOOTER_RAW_BYTES));
    t->top_handle = slot_of(footer, SLOT_TOP_INDEX);
    t->expiry_handle = slot_of(footer, SLOT_EXPIRY);
    t->values_handle = slot_of(footer, SLOT_VALUE_REFERENCES);
    t->ranges_handle = slot_of(footer, SLOT_RANGE_TOMBSTONES);
    return VELOCITY_OK;
}

/* What the table refers to in value files is what the manifest has; where none describes the table (it has no entries
 * then), the table's own list counts. */
static velocity_status load_value_uses(struct table *t, env_file *file, struct block_handle where) {
    struct cache_entry *stored;
    struct value_uses uses = {0};
    velocity_status status = VELOCITY_OK;
    if (where.bytes) {
        status = table_read_stored(t, file, where, &stored);
        if (status) return status;
        const uint8_t *list = cache_entry_data(stored), *end = list + stored->size;
        if (value_uses_decode(list, end, &uses, &status) != end && status != VELOCITY_NO_MEMORY)
            status = damaged(t, where.offset, "the list of value references makes no sense");
        cache_entry_release(stored);
    }
    if (!status && t->meta.entries == 0 && t->meta.values.count == 0) {
        t->meta.values = uses;
        return VELOCITY_OK;
    }
    if (!status && !value_uses_equal(&uses, &t->meta.values))
        status = damaged(t, where.offset, "the list of value references is another one than the manifest's");
    value_uses_clear(&uses);
    return status;
}

/* A table that was just written came with it. */
static velocity_status load_expiry(struct table *t, env_file *file, struct block_handle where) {
    struct cache_entry *entry;
    if (where.bytes == 0 || t->meta.expiry) return VELOCITY_OK;
    velocity_status status = table_read_stored(t, file, where, &entry);
    if (status) return status;
    struct expiry_summary *expiry = env_alloc(sizeof *expiry);
    if (!expiry)
        status = VELOCITY_NO_MEMORY;
    else if (!expiry_decode(cache_entry_data(entry), entry->size, expiry))
        status = damaged(t, where.offset, "the expiry summary makes no sense");
    cache_entry_release(entry);
    if (status)
        env_free(expiry);
    else
        t->meta.expiry = expiry;
    return status;
}

/* While the file is being opened, once. */
static velocity_status load(struct table *t, env_file *file) {
    struct file_header header;
    velocity_status status = file_header_read(file, FILE_TABLE, t->path, &header);
    if (status) return status;
    if (memcmp(header.database_id, t->database_id, sizeof t->database_id) != 0)
        return damaged(t, 0, "the file belongs to another database");
    if (header.number != t->meta.number || memcmp(header.uid, t->meta.uid, sizeof header.uid) != 0)
        return damaged(t, 0, "this is not the file that the manifest names");
    t->seed = file_seed(&header);
    t->old_key = !key_ring_is_present(t->keys, &header);
    cipher_free(t->cipher); /* of an attempt that failed */
    status = cipher_of(t->keys, &header, t->path, &t->cipher);
    struct cache_entry *entry;
    if (!status) status = load_footer(t, file);
    if (!status) status = load_value_uses(t, file, t->values_handle);
    if (!status) status = load_expiry(t, file, t->expiry_handle);
    if (!status) status = table_read_stored(t, file, t->top_handle, &entry);
    if (status) return status;
    t->top_bytes = env_alloc(entry->size);
    if (!t->top_bytes)
        status = VELOCITY_NO_MEMORY;
    else
        memcpy(t->top_bytes, cache_entry_data(entry), entry->size);
    if (!status && !block_open(&t->top, t->top_bytes, entry->size))
        status = damaged(t, t->top_handle.offset, "the top index makes no sense");
    cache_entry_release(entry);
    if (!status) status = table_ranges_load(t, file, t->ranges_handle);
    if (!status) status = pin_set_init(&t->pins, &t->files->pins, (size_t)t->top.count + t->filter.partitions);
    if (status) {
        table_ranges_clear(t);
        env_free(t->top_bytes);
        t->top_bytes = NULL;
    } else {
        atomic_store_explicit(&t->loaded, true, memory_order_release);
    }
    return status;
}

static velocity_status check_opened(struct open_file *opened, env_file *file) {
    struct table *t = of_file(opened);
    return atomic_load(&t->loaded) ? VELOCITY_OK : load(t, file);
}

velocity_status table_ensure_loaded(struct table *t, bool cache_only) {
    if (atomic_load_explicit(&t->loaded, memory_order_acquire)) return VELOCITY_OK;
    if (cache_only) return status_set(VELOCITY_INCOMPLETE, "%s: not open yet", t->path);
    env_file *file;
    epoch_enter();
    velocity_status status = open_file_get(&t->files->open, &t->file, &file);
    epoch_leave();
    return status;
}

/* ---- point lookups ----------------------------------------------------------------------------------------------- */

velocity_status table_index_handle(const struct table *t, const struct block *index, uint32_t i,
                                   struct block_handle *out) {
    struct block_entry e;
    if (!block_entry_read(index, i, &e) || !block_handle_decode(e.value.data, e.value.size, out))
        return damaged(t, 0, "an index entry makes no sense");
    return VELOCITY_OK;
}

static void let_go(struct held_block *held) {
    if (held->owned) cache_entry_release(held->entry);
    held->owned = false;
}

/* One lookup in one table. */
struct lookup {
    const struct table_read *read;
    velocity_slice key;
    uint64_t hash, sequence;
    bool filter_asked, filter_passed;
};

/* NOT_FOUND where the filter says that the key is not in the table. At most once a lookup. */
static velocity_status check_filter(struct table *t, struct lookup *lookup) {
    const struct table_read *read = lookup->read;
    uint64_t hash = lookup->hash;
    if (lookup->filter_asked || t->filter.partitions == 0) return VELOCITY_OK;
    lookup->filter_asked = true;
    uint64_t size = t->filter.partition_bytes;
    uint32_t partition = filter_partition(&t->filter, hash);
    struct block_handle handle = table_filter_handle(t, partition);
    struct held_block held;
    velocity_status status = table_load_pinned(t, table_filter_pin(t, partition), handle, CACHE_FILTER, read, &held);
    if (status) return status;
    if (held.entry->size != size)
        status = damaged(t, handle.offset, "a filter partition has the wrong size");
    else if (!filter_may_contain(&t->filter, cache_entry_data(held.entry), hash))
        status = VELOCITY_NOT_FOUND;
    let_go(&held);
    lookup->filter_passed = !status;
    if (read->counters) {
        stripe_add(&read->counters->filter_checks, 1, read->counters->shared);
        if (status == VELOCITY_NOT_FOUND) stripe_add(&read->counters->filter_negatives, 1, read->counters->shared);
    }
    return status;
}

/* Looks in one data block. *more: the key's versions go on in the next block. */
static velocity_status search_block(const struct table *t, const struct block *block, velocity_slice key,
                                    uint64_t sequence, struct entry *out, bool *more) {
    struct block_entry e;
    velocity_status status;
    uint32_t i = 0;
    *more = false;
    while (!(status = block_find(block, key, &i, &e))) {
        if (e.sequence <= sequence) {
            out->value = e.value;
            out->sequence = e.sequence;
            out->expires_at_ms = e.expires_at_ms;
            out->flags = e.flags;
            out->kind = e.kind;
            return VELOCITY_OK;
        }
        if (++i < block->count) continue;
        *more = true;
        return VELOCITY_NOT_FOUND;
    }
    return status == VELOCITY_CORRUPT ? damaged(t, 0, "an entry makes no sense") : status;
}

/* The data block. NOT_FOUND: it would have to be read, and the filter says that the key is not in it. */
static velocity_status load_data(struct table *t, struct lookup *lookup, struct block_handle handle,
                                 struct held_block *held) {
    held->owned = false;
    held->entry = cache_lookup(t->cache, t->cache_id, handle.offset);
    if (held->entry) return VELOCITY_OK;
    velocity_status status = check_filter(t, lookup);
    return status ? status : table_read_block(t, handle, CACHE_DATA, lookup->read, held);
}

/* Looks in the data blocks that one index block names, from the first that may hold the key on. */
static velocity_status search_under(struct table *t, struct lookup *lookup, const struct block *index,
                                    struct entry *out, struct held_block *held, bool *more) {
    *more = true;
    for (uint32_t i = block_seek(index, lookup->key); i < index->count && *more; i++) {
        struct block_handle handle;
        struct block data;
        velocity_status status = table_index_handle(t, index, i, &handle);
        if (!status) status = load_data(t, lookup, handle, held);
        if (status == VELOCITY_NOT_FOUND) *more = false;
        if (status) return status;
        status = table_open_block(t, held->entry, &data);
        if (!status) status = search_block(t, &data, lookup->key, lookup->sequence, out, more);
        if (status == VELOCITY_OK) return status;
        let_go(held);
        if (status != VELOCITY_NOT_FOUND) return status;
    }
    return VELOCITY_NOT_FOUND;
}

static velocity_status search_table(struct table *t, struct lookup *lookup, struct entry *out,
                                    struct held_block *held) {
    bool more = true;
    for (uint32_t i = block_seek(&t->top, lookup->key); i < t->top.count && more; i++) {
        struct block_handle handle;
        struct held_block index_held;
        struct block index;
        velocity_status status = table_index_handle(t, &t->top, i, &handle);
        if (!status)
            status = table_load_pinned(t, table_index_pin(t, i), handle, CACHE_INDEX, lookup->read, &index_held);
        if (status) return status;
        status = table_open_block(t, index_held.entry, &index);
        if (!status) status = search_under(t, lookup, &index, out, held, &more);
        let_go(&index_held);
        if (status != VELOCITY_NOT_FOUND) return status;
    }
    return VELOCITY_NOT_FOUND;
}

/*
 * A filter costs a lookup that finds its key a tenth of its time and saves it nothing, but spares one that does not
 * most of its time. So it is asked first as long as keys were missed in this table lately, else only before a block is
 * read from disk. What is noted is written seldom: a line that all threads read should not change at each lookup.
 */
static inline void note_outcome(struct table *t, uint64_t hash, bool absent) {
    uint8_t lately = atomic_load_explicit(&t->absent_lately, memory_order_relaxed);
    if (absent && lately < ABSENT_LATELY_MAX)
        atomic_store_explicit(&t->absent_lately, ABSENT_LATELY_MAX, memory_order_relaxed);
    else if (!absent && lately > 0 && hash % PRESENT_PER_STEP == 0)
        atomic_store_explicit(&t->absent_lately, lately - 1, memory_order_relaxed);
}

velocity_status table_get(struct table *t, const struct table_read *read, velocity_slice key, uint64_t hash,
                          uint64_t sequence, struct entry *out, struct held_block *held) {
    struct lookup lookup = {.read = read, .key = key, .hash = hash, .sequence = sequence};
    velocity_status status = table_ensure_loaded(t, read->cache_only);
    if (!status && atomic_load_explicit(&t->absent_lately, memory_order_relaxed)) status = check_filter(t, &lookup);
    if (!status) status = search_table(t, &lookup, out, held);
    if (status && status != VELOCITY_NOT_FOUND) return status;
    if (status && lookup.filter_passed && read->counters)
        stripe_add(&read->counters->filter_false_positives, 1, read->counters->shared);
    note_outcome(t, hash, status == VELOCITY_NOT_FOUND);
    return status;
}
