/*
 * table.h - reads tables: point lookups through filter, index and block cache, and cursors for scans and compaction.
 *
 * A table is opened lazily and its descriptor may be closed again while the table lives (open_files.h). Lookups run
 * inside an epoch section and take no lock when the file is open and the blocks are cached. Any thread may read a
 * table; a cursor belongs to one thread.
 */
#ifndef VELOCITY_TABLE_H
#define VELOCITY_TABLE_H

#include "block.h"
#include "cache.h"
#include "range_list.h"
#include "table_builder.h"
#include "table_format.h"

/* ---- the budget of open files, and the cache: shared by databases -------------------------------------------------
 */

typedef struct table_files table_files;
table_files *table_files_new(cache *cache, uint32_t max_open); /* NULL: no memory; the cache is borrowed */
void table_files_free(table_files *files);                     /* no tables may remain; NULL is allowed */
/* Removes the files of doomed tables that nobody reads any more. It may take long (a file system frees what a large
 * file held), so the background does it, never the thread whose release was the last. */
void table_files_sweep(table_files *files);
uint64_t table_files_open_count(table_files *files);
/* For the other files that share budget and cache. */
struct open_files *table_files_open(table_files *files);
cache *table_files_cache(table_files *files);
uint64_t table_files_new_cache_id(table_files *files);
struct unpackers *table_files_unpackers(table_files *files);
/* Of the cache and what tables pin of it together. Not inside an epoch section. */
void table_files_set_cache_bytes(table_files *files, uint64_t bytes);

/* ---- tables -------------------------------------------------------------------------------------------------------
 */

struct table;

/* Counters that lookups feed. */
struct table_counters {
    _Atomic uint64_t filter_checks, filter_negatives, filter_false_positives;
    bool shared; /* several threads count here: see stripe.h */
};

/* Takes over meta's keys; borrows the key ring (may be NULL). Opens nothing yet. The table has one reference. `folder`
 * is copied. */
VELOCITY_CHECK_RESULT velocity_status table_new(env *e, table_files *files, const char *folder,
                                                const uint64_t database_id[2], const key_ring *keys,
                                                struct table_meta *meta, struct table **out);
/* The same for a file of any name. */
VELOCITY_CHECK_RESULT velocity_status table_new_at(env *e, table_files *files, const char *path,
                                                   const uint64_t database_id[2], const key_ring *keys,
                                                   struct table_meta *meta, struct table **out);
/* Has header, footer and top index in memory; CORRUPT says what is wrong with them. INCOMPLETE: cache_only, not yet. */
VELOCITY_CHECK_RESULT velocity_status table_ensure_loaded(struct table *table, bool cache_only);
const struct table_meta *table_meta(const struct table *table);
/* Of a loaded table: its range deletes, by start. They live as long as the table. */
const struct range_tombstone *table_ranges(const struct table *table, size_t *count);
/* Whether the file is not encrypted as a new one would be. Known once the table is loaded; false before. */
bool table_has_old_key(const struct table *table);
void table_acquire(struct table *table);
/* The last release closes the file, or, if the table was doomed, leaves it to table_files_sweep. */
void table_release(struct table *table);
/* The file belongs to no version any more. */
void table_doom(struct table *table);

struct table_read {
    bool fill_cache, cache_only;
    struct table_counters *counters; /* may be NULL */
};

/* A block that a caller holds: found in the cache (valid inside the epoch section), or its own. */
struct held_block {
    struct cache_entry *entry;
    bool owned; /* the caller must cache_entry_release it */
};

/*
 * The newest version of `key` with a sequence <= `sequence`. Inside an epoch section. OK: *out and *held are set, and
 * out->value points into the held block. NOT_FOUND, INCOMPLETE (cache_only), CORRUPT, IO, NO_MEMORY: nothing is held.
 * `hash` is filter_hash(key). out->key is not set.
 */
VELOCITY_CHECK_RESULT velocity_status table_get(struct table *table, const struct table_read *read, velocity_slice key,
                                                uint64_t hash, uint64_t sequence, struct entry *out,
                                                struct held_block *held);

/* ---- cursors over all versions: keys ascending, within a key the newest first ---------------------------------------
 */

struct table_cursor {
    struct table *table;
    struct table_read read;
    struct cache_entry *index_entry, *data_entry; /* owned references */
    struct block top, index, data;
    uint32_t top_at, index_at, data_at;
    struct block_entry current;
    uint8_t *key; /* the current key, assembled: the block's prefix stays, the suffix is replaced */
    size_t key_bytes, key_capacity;
    uint8_t *ahead; /* a piece of the file that is read in one go, or NULL */
    size_t ahead_bytes, ahead_capacity;
    uint64_t ahead_offset;
    uint32_t missed; /* data blocks one after the other that the cache did not have */
    bool past_cache; /* ahead_capacity is fixed and data blocks are never looked up in the cache */
    bool backward;   /* the last step to another data block was */
    velocity_status status;
    bool valid;
};

/* read_ahead_bytes 0: blocks come from the cache; where it misses several in a row, ever larger pieces of the file are
 * read, up to 256 KiB. Else they are read past the cache in pieces of so many bytes. The table must outlive the cursor
 * (acquire it). */
void table_cursor_init(struct table_cursor *c, struct table *table, const struct table_read *read,
                       size_t read_ahead_bytes);
/* Lets go of everything; the cursor may be initialised again, for another table, and keeps its key buffer if `keep`. */
void table_cursor_clear(struct table_cursor *c, bool keep);
void table_cursor_first(struct table_cursor *c);
void table_cursor_last(struct table_cursor *c);
void table_cursor_seek(struct table_cursor *c, velocity_slice key);        /* first entry with key >= */
void table_cursor_seek_before(struct table_cursor *c, velocity_slice key); /* last entry with key < */
void table_cursor_next(struct table_cursor *c);
/* The same where the next entry is in the same block; false: it is not, and nothing changed. */
bool table_cursor_next_in_block(struct table_cursor *c);
void table_cursor_prev(struct table_cursor *c);
/* Not valid and status not OK: reading failed, and this thread's error message says how. */
static inline bool table_cursor_valid(const struct table_cursor *c) {
    return c->valid;
}
static inline void table_cursor_entry(const struct table_cursor *c, struct entry *out) {
    out->key = velocity_bytes(c->key, c->key_bytes);
    out->value = c->current.value;
    out->sequence = c->current.sequence;
    out->expires_at_ms = c->current.expires_at_ms;
    out->flags = c->current.flags;
    out->kind = c->current.kind;
}

#endif
