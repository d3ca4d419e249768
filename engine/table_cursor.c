/*
 * table_cursor.c - walks a table in both directions. See table.h.
 *
 * A cursor stands at three places: in the top index, in the index block that it names, in the data block that that one
 * names. Moving past an end of a block moves the place above and enters the block there from its near end.
 */
#include "table.h"

#include "slice.h"
#include "status.h"
#include "table_internal.h"

enum {
    AHEAD_AFTER_MISSES = 2, /* most scans are short: they read block by block */
    AHEAD_MIN_BYTES = 16 * 1024,
    AHEAD_MAX_BYTES = 256 * 1024,
};

void table_cursor_init(struct table_cursor *c, struct table *table, const struct table_read *read,
                       size_t read_ahead_bytes) {
    uint8_t *key = c->key;
    size_t capacity = c->key_capacity;
    memset(c, 0, sizeof *c);
    c->key = key;
    c->key_capacity = capacity;
    c->table = table;
    c->read = *read;
    c->ahead_capacity = read_ahead_bytes;
    c->past_cache = read_ahead_bytes > 0;
}

void table_cursor_clear(struct table_cursor *c, bool keep) {
    cache_entry_release(c->index_entry);
    cache_entry_release(c->data_entry);
    env_free(c->ahead);
    c->index_entry = c->data_entry = NULL;
    c->ahead = NULL;
    c->valid = false;
    if (keep) return;
    env_free(c->key);
    c->key = NULL;
    c->key_capacity = 0;
}

static void fail(struct table_cursor *c, velocity_status status) {
    c->status = status;
    c->valid = false;
}

static inline bool inside_ahead(const struct table_cursor *c, struct block_handle handle) {
    uint64_t at = handle.offset - c->ahead_offset, size = (uint64_t)handle.bytes + BLOCK_TRAILER_BYTES;
    return handle.offset >= c->ahead_offset && at < c->ahead_bytes && size <= c->ahead_bytes - at;
}

/* Reads data blocks out of a larger piece of the file, so that a merge or a scan needs few system calls. The piece
 * begins with the block, or going backward ends with it. */
static velocity_status load_ahead(struct table_cursor *c, struct block_handle handle, struct cache_entry **out) {
    size_t size = handle.bytes + BLOCK_TRAILER_BYTES;
    if (!c->ahead && !(c->ahead = env_alloc(c->ahead_capacity))) return VELOCITY_NO_MEMORY;
    if (!inside_ahead(c, handle)) {
        uint64_t end = handle.offset + size, from = handle.offset;
        if (c->backward) from = end > c->ahead_capacity ? end - c->ahead_capacity : 0;
        size_t wanted = c->backward ? (size_t)(end - from) : c->ahead_capacity;
        velocity_status status = table_read_raw(c->table, from, wanted, c->ahead, &c->ahead_bytes);
        if (status) {
            c->ahead_bytes = 0;
            return status;
        }
        c->ahead_offset = from;
        if (!inside_ahead(c, handle))
            return status_set(VELOCITY_CORRUPT, "%s: offset %llu: the file ends inside a block", c->table->path,
                              (unsigned long long)handle.offset);
    }
    return table_decode_block(c->table, handle, c->ahead + (handle.offset - c->ahead_offset), out);
}

/* Whether the piece holds the block, or may now be read anew with it, larger than the last one. */
static bool may_read_ahead(struct table_cursor *c, struct block_handle handle) {
    if (c->read.cache_only) return false;
    if (c->ahead_bytes && inside_ahead(c, handle)) return true;
    size_t next = c->ahead_capacity * 2 < AHEAD_MAX_BYTES ? c->ahead_capacity * 2 : AHEAD_MAX_BYTES;
    if (next == 0) next = AHEAD_MIN_BYTES;
    if (c->missed < AHEAD_AFTER_MISSES || handle.bytes + BLOCK_TRAILER_BYTES > next) return false;
    if (next == c->ahead_capacity) return true;
    uint8_t *larger = env_alloc(next);
    if (!larger) return c->ahead_capacity >= handle.bytes + BLOCK_TRAILER_BYTES; /* it goes with what there is */
    env_free(c->ahead);
    c->ahead = larger;
    c->ahead_capacity = next;
    c->ahead_bytes = 0;
    return true;
}

/* The next data block of the scan is fetched while this one is walked, and where the one behind it will be looked up.
 */
static inline void prefetch_following(const struct table_cursor *c) {
    struct block_handle handle;
    const struct table *t = c->table;
    if (c->index_at + 1 >= c->index.count || table_index_handle(t, &c->index, c->index_at + 1, &handle)) return;
    cache_prefetch_entry(t->cache, t->cache_id, handle.offset);
    if (c->index_at + 2 >= c->index.count || table_index_handle(t, &c->index, c->index_at + 2, &handle)) return;
    cache_prefetch_place(t->cache, t->cache_id, handle.offset);
}

/* From the cache; what it does not have, from a piece that is read ahead once the scan has gone on for some blocks. */
static velocity_status load_scanned(struct table_cursor *c, struct block_handle handle, struct cache_entry **out) {
    struct table *t = c->table;
    struct held_block held = {NULL, true};
    velocity_status status = VELOCITY_OK;
    epoch_enter();
    held.entry = cache_lookup(t->cache, t->cache_id, handle.offset);
    if (held.entry) {
        cache_entry_acquire(held.entry);
        c->missed = 0;
    } else if (may_read_ahead(c, handle)) {
        status = load_ahead(c, handle, &held.entry);
        if (!status && c->read.fill_cache) cache_insert(t->cache, held.entry, t->cache_id, handle.offset, CACHE_DATA);
    } else {
        c->missed++;
        status = table_read_block(t, handle, CACHE_DATA, &c->read, &held);
    }
    if (!c->backward) prefetch_following(c);
    epoch_leave();
    if (!status) *out = held.entry;
    return status;
}

static velocity_status load_block(struct table_cursor *c, struct block_handle handle, enum cache_kind kind,
                                  struct cache_entry **entry, struct block *block) {
    cache_entry_release(*entry);
    *entry = NULL;
    velocity_status status;
    if (kind == CACHE_DATA && c->past_cache && handle.bytes + BLOCK_TRAILER_BYTES <= c->ahead_capacity) {
        status = load_ahead(c, handle, entry);
    } else if (kind == CACHE_DATA) {
        status = load_scanned(c, handle, entry);
    } else {
        struct held_block held;
        epoch_enter();
        status = table_load_pinned(c->table, table_index_pin(c->table, c->top_at), handle, kind, &c->read, &held);
        if (!status) {
            if (!held.owned) cache_entry_acquire(held.entry);
            *entry = held.entry;
        }
        epoch_leave();
    }
    return status ? status : table_open_block(c->table, *entry, block);
}

static bool enter_index(struct table_cursor *c) {
    struct block_handle handle;
    velocity_status status = table_index_handle(c->table, &c->top, c->top_at, &handle);
    if (!status) status = load_block(c, handle, CACHE_INDEX, &c->index_entry, &c->index);
    if (status) fail(c, status);
    return !status;
}

static bool reserve_key(struct table_cursor *c, size_t bytes) {
    if (bytes <= c->key_capacity) return true;
    uint8_t *bigger = env_realloc(c->key, bytes * 2);
    if (!bigger) return false;
    c->key = bigger;
    c->key_capacity = bytes * 2;
    return true;
}

static bool enter_data(struct table_cursor *c) {
    struct block_handle handle;
    velocity_status status = table_index_handle(c->table, &c->index, c->index_at, &handle);
    if (!status) status = load_block(c, handle, CACHE_DATA, &c->data_entry, &c->data);
    if (!status && !reserve_key(c, c->data.prefix_bytes + 64)) status = VELOCITY_NO_MEMORY;
    if (status) {
        fail(c, status);
        return false;
    }
    memcpy(c->key, c->data.prefix, c->data.prefix_bytes);
    return true;
}

/* Assembles the key of the current entry, if it could be taken apart. */
static inline void settle_current(struct table_cursor *c, bool sound) {
    if (!sound) {
        fail(c, status_set(VELOCITY_CORRUPT, "%s: offset %llu: entry %u of a block makes no sense", c->table->path,
                           (unsigned long long)c->data_entry->offset, c->data_at));
        return;
    }
    size_t bytes = c->data.prefix_bytes + c->current.suffix_bytes;
    if (bytes + BLOCK_SUFFIX_SLACK > c->key_capacity && !reserve_key(c, bytes + BLOCK_SUFFIX_SLACK)) {
        fail(c, VELOCITY_NO_MEMORY);
        return;
    }
    block_suffix_copy(&c->data, c->data_at, &c->current, c->key + c->data.prefix_bytes);
    c->key_bytes = bytes;
    c->valid = true;
}

static void settle(struct table_cursor *c) {
    settle_current(c, block_entry_read(&c->data, c->data_at, &c->current));
}

static bool start(struct table_cursor *c) {
    c->valid = c->backward = false;
    c->missed = 0;
    c->status = table_ensure_loaded(c->table, c->read.cache_only);
    if (c->status) return false;
    c->top = c->table->top;
    return true;
}

/* Moves to the next data block and stands on its first entry. */
static void forward_block(struct table_cursor *c) {
    c->backward = false;
    if (c->index_at + 1 < c->index.count) {
        c->index_at++;
    } else if (c->top_at + 1 < c->top.count) {
        c->top_at++;
        c->index_at = 0;
        if (!enter_index(c)) return;
    } else {
        c->valid = false;
        return;
    }
    c->data_at = 0;
    if (enter_data(c)) settle(c);
}

static void backward_block(struct table_cursor *c) {
    c->backward = true;
    if (c->index_at > 0) {
        c->index_at--;
    } else if (c->top_at > 0) {
        c->top_at--;
        if (!enter_index(c)) return;
        c->index_at = c->index.count - 1;
    } else {
        c->valid = false;
        return;
    }
    if (!enter_data(c)) return;
    c->data_at = c->data.count - 1;
    settle(c);
}

bool table_cursor_next_in_block(struct table_cursor *c) {
    if (c->data_at + 1 >= c->data.count) return false;
    c->data_at++;
    settle_current(c, block_entry_next(&c->data, &c->current));
    return true;
}

void table_cursor_next(struct table_cursor *c) {
    if (!table_cursor_next_in_block(c)) forward_block(c);
}

void table_cursor_prev(struct table_cursor *c) {
    if (c->data_at > 0) {
        c->data_at--;
        settle(c);
    } else {
        backward_block(c);
    }
}

void table_cursor_first(struct table_cursor *c) {
    if (!start(c)) return;
    c->top_at = c->index_at = c->data_at = 0;
    if (enter_index(c) && enter_data(c)) settle(c);
}

void table_cursor_last(struct table_cursor *c) {
    if (!start(c)) return;
    c->top_at = c->top.count - 1;
    if (!enter_index(c)) return;
    c->index_at = c->index.count - 1;
    if (!enter_data(c)) return;
    c->data_at = c->data.count - 1;
    settle(c);
}

void table_cursor_seek(struct table_cursor *c, velocity_slice key) {
    if (!start(c)) return;
    c->top_at = block_seek(&c->top, key);
    if (c->top_at == c->top.count) return;
    if (!enter_index(c)) return;
    c->index_at = block_seek(&c->index, key);
    if (c->index_at == c->index.count) { /* an index block's last separator is the one that its parent has */
        fail(c, status_set(VELOCITY_CORRUPT, "%s: offset %llu: an index block does not match the top index",
                           c->table->path, (unsigned long long)c->index_entry->offset));
        return;
    }
    if (!enter_data(c)) return;
    c->data_at = block_seek(&c->data, key);
    if (c->data_at < c->data.count)
        settle(c);
    else /* the separator may be greater than the block's last key */
        forward_block(c);
}

void table_cursor_seek_before(struct table_cursor *c, velocity_slice key) {
    table_cursor_seek(c, key);
    if (c->status) return;
    if (c->valid)
        table_cursor_prev(c);
    else
        table_cursor_last(c);
}
