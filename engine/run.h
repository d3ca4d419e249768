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
    uint64_t newest; /* of a memtable: no entry that matters has a higher sequence; for run_skip */
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
/*
 * The run is valid, and nothing in it from here up to `to` (down to `to`, backward) with a sequence of at most
 * `sequence` matters: passes by that as far as it need not be looked at, a step at least. `to` is beyond the current
 * key. The first entry that is >= `to` (< `to`, backward), or newer, is not passed by.
 */
void run_skip(struct run *run, velocity_slice to, uint64_t sequence);
void run_skip_back(struct run *run, velocity_slice to, uint64_t sequence);

/* No entry that matters, of the memtable or table where the run stands, has a higher sequence. */
static inline uint64_t run_newest(const struct run *run) {
    return run->is_memtable ? run->newest : table_meta(run->tables[run->table_at])->max_sequence;
}

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
/* What comes first of the other runs: no key before its key is in any of them. NULL: there is no other. */
const struct entry *merge_second(const struct merge *m);
/* The table cursor of the top run was moved forward past the merge, over keys that are in no other run. */
void merge_refresh(struct merge *m);
/* run_skip and run_skip_back of the run that the merge stands on. */
void merge_skip(struct merge *m, velocity_slice to, uint64_t sequence);
static inline bool merge_valid(const struct merge *m) {
    return m->heap_count > 0 && m->status == VELOCITY_OK;
}
static inline const struct entry *merge_entry(const struct merge *m) {
    return &m->heap[0]->entry;
}

#endif
