/*
 * run.h - one sorted run of entries, wherever it lies, and the merge of several: what iterators and compaction walk.
 *
 * A run is a write buffer, or tables that follow one another (one table of level 0, or a level). Both directions see
 * the same order: keys ascending, within a key the newest version first. One thread; what the run reads must be kept
 * alive by the caller.
 */
#ifndef VELOCITY_RUN_H
#define VELOCITY_RUN_H

#include "memtable.h"
#include "table.h"

struct run {
    struct entry entry; /* the current entry, where valid; its bytes live until the run moves */
    bool valid;
    bool is_memtable;
    velocity_status status; /* why it stopped, if not at an end */
    struct table *const *tables;
    size_t table_count, table_at;
    struct table_read read;
    size_t read_ahead_bytes;
    struct table_cursor table_cursor;
    struct memtable_cursor memtable_cursor;
};

void run_init_memtable(struct run *run, const memtable *table);
void run_init_tables(struct run *run, struct table *const *tables, size_t count, const struct table_read *read,
                     size_t read_ahead_bytes);
void run_clear(struct run *run);
void run_first(struct run *run);
void run_last(struct run *run);
void run_seek(struct run *run, velocity_slice key);        /* first entry with key >= */
void run_seek_before(struct run *run, velocity_slice key); /* last entry with key < */
void run_next(struct run *run);
void run_prev(struct run *run);
/* The entries of the table that the run stands in have all different keys. */
bool run_is_plain(const struct run *run);

struct merge {
    struct run *runs;
    size_t count;
    struct run **heap; /* valid runs, the one that stands first in the direction on top */
    size_t heap_count;
    bool backward;
    velocity_status status;
};

/* `runs` (initialised, not yet positioned) are borrowed. */
VELOCITY_CHECK_RESULT velocity_status merge_init(struct merge *m, struct run *runs, size_t count);
void merge_clear(struct merge *m);
void merge_first(struct merge *m);
void merge_last(struct merge *m);
void merge_seek(struct merge *m, velocity_slice key);
void merge_seek_before(struct merge *m, velocity_slice key);
/* In the direction of the last positioning: first and seek go forward with next, last and seek_before back with prev.
 */
void merge_next(struct merge *m);
void merge_prev(struct merge *m);
/* The table cursor of the top run, the only one left, was moved forward past the merge. */
void merge_refresh(struct merge *m);
static inline bool merge_valid(const struct merge *m) {
    return m->heap_count > 0 && m->status == VELOCITY_OK;
}
static inline const struct entry *merge_entry(const struct merge *m) {
    return &m->heap[0]->entry;
}

#endif
