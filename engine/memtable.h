/*
 * memtable.h - the write buffer: all versions of the newest keys, in memory, in key order.
 *
 * One inserter at a time (the leader of a commit group); any number of readers beside it, who take no lock, never wait
 * for the inserter (not even for a preempted one), and whom the inserter never waits for. Nothing is removed before the
 * whole table is freed. Bytes handed out live as long as the memtable.
 *
 * Readers see an entry as soon as memtable_insert stored it; hiding what is not yet committed is theirs: they pass the
 * highest sequence that they may see.
 */
#ifndef VELOCITY_MEMTABLE_H
#define VELOCITY_MEMTABLE_H

#include "chunk_pool.h"
#include "entry.h"

typedef struct memtable memtable;

memtable *memtable_new(void); /* NULL: no memory */
/* Its large chunks come from the pool, which must outlive it, and go back there. */
memtable *memtable_new_pooled(chunk_pool *pool);
void memtable_free(memtable *table);

/*
 * Memory for `bytes` more bytes of keys and values in `entries` entries is set aside, so that this many inserts that
 * follow can't fail. Not cumulative: it counts from this call, whatever was reserved before. NO_MEMORY: nothing
 * changed. Inserter only.
 */
VELOCITY_CHECK_RESULT velocity_status memtable_reserve(memtable *table, size_t entries, size_t bytes);

/* Copies the entry in. Its sequence is higher than every sequence inserted before. Inserter only, after a reserve. */
void memtable_insert(memtable *table, const struct entry *entry);

/* The newest version of `key` with a sequence <= `sequence`: true and *out (a tombstone too), or false. */
bool memtable_get(const memtable *table, velocity_slice key, uint64_t sequence, struct entry *out);

size_t memtable_bytes(const memtable *table); /* memory in use (not merely reserved), nodes and entries; any thread */
size_t memtable_held_bytes(const memtable *table); /* memory that it holds, reserved or in use; inserter only */
size_t memtable_entries(const memtable *table);    /* versions; any thread */
size_t memtable_deletes(const memtable *table);    /* those of them that are tombstones; any thread */

/*
 * A cursor over all versions: keys ascending, within a key the newest (highest sequence) first. It is stable: entries
 * inserted meanwhile may or may not show, all others show exactly once. One thread per cursor. Plain struct so that
 * callers can embed it; no allocation.
 */
#define MEMTABLE_NODE_SLOTS 64
struct memtable_cursor {
    const memtable *table;
    const void *chain[MEMTABLE_NODE_SLOTS]; /* newest version of each key of the leaf that the cursor stands in */
    int count, index;                       /* of chain */
    const void *beyond;                     /* version of the smallest key that the next leaf may have; NULL: no next */
    const void *version;                    /* current version within chain[index]; NULL: the cursor is not valid */
};

void memtable_cursor_init(struct memtable_cursor *cursor, const memtable *table); /* not valid */
void memtable_cursor_first(struct memtable_cursor *cursor);
void memtable_cursor_last(struct memtable_cursor *cursor); /* the last key's OLDEST version, the end of the order */
void memtable_cursor_seek(struct memtable_cursor *cursor,
                          velocity_slice key); /* first version of the first key >= key */
void memtable_cursor_seek_before(struct memtable_cursor *cursor,
                                 velocity_slice key);      /* last version in the order of the last key < key */
void memtable_cursor_next(struct memtable_cursor *cursor); /* needs a valid cursor */
void memtable_cursor_prev(struct memtable_cursor *cursor); /* needs a valid cursor; within a key from older to newer */
static inline bool memtable_cursor_valid(const struct memtable_cursor *cursor) {
    return cursor->version != NULL;
}
void memtable_cursor_entry(const struct memtable_cursor *cursor, struct entry *out); /* needs a valid cursor */

#endif
