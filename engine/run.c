/* run.c - see run.h. */
#include "run.h"

#include "slice.h"
#include "version.h"

/* ---- one run -------------------------------------------------------------------------------------------------------
 */

void run_init_memtable(struct run *run, const memtable *table) {
    memset(run, 0, sizeof *run);
    run->newest = UINT64_MAX;
    run->is_memtable = true;
    memtable_cursor_init(&run->memtable_cursor, table);
}

void run_init_tables(struct run *run, struct table *const *tables, size_t count, const struct table_read *read,
                     size_t read_ahead_bytes) {
    memset(run, 0, offsetof(struct run, memtable_cursor));
    run->tables = tables;
    run->table_count = count;
    run->read = *read;
    run->read_ahead_bytes = read_ahead_bytes;
}

void run_clear(struct run *run) {
    if (!run->is_memtable) table_cursor_clear(&run->table_cursor, false);
}

static inline void take_memtable(struct run *run) {
    run->valid = memtable_cursor_valid(&run->memtable_cursor);
    if (run->valid) memtable_cursor_entry(&run->memtable_cursor, &run->entry);
}

static inline void take_table(struct run *run) {
    run->valid = table_cursor_valid(&run->table_cursor);
    if (run->valid)
        table_cursor_entry(&run->table_cursor, &run->entry);
    else
        run->status = run->table_cursor.status;
}

static void open_table(struct run *run, size_t at) {
    run->table_at = at;
    if (run->table_cursor.table == run->tables[at]) return;
    table_cursor_clear(&run->table_cursor, true);
    table_cursor_init(&run->table_cursor, run->tables[at], &run->read, run->read_ahead_bytes);
}

/* The first table whose largest key is >= key. */
static size_t find_table(const struct run *run, velocity_slice key) {
    struct level level = {(struct table **)run->tables, run->table_count, 0};
    return level_find(&level, key);
}

/* Tables have at least one entry: the next table's first entry follows. */
static void forward_table(struct run *run) {
    take_table(run);
    if (run->valid || run->status || run->table_at + 1 >= run->table_count) return;
    open_table(run, run->table_at + 1);
    table_cursor_first(&run->table_cursor);
    take_table(run);
}

static void backward_table(struct run *run) {
    take_table(run);
    if (run->valid || run->status || run->table_at == 0) return;
    open_table(run, run->table_at - 1);
    table_cursor_last(&run->table_cursor);
    take_table(run);
}

void run_first(struct run *run) {
    if (run->is_memtable) {
        memtable_cursor_first(&run->memtable_cursor);
        take_memtable(run);
        return;
    }
    run->valid = false;
    run->status = VELOCITY_OK;
    if (run->table_count == 0) return;
    open_table(run, 0);
    table_cursor_first(&run->table_cursor);
    forward_table(run);
}

void run_last(struct run *run) {
    if (run->is_memtable) {
        memtable_cursor_last(&run->memtable_cursor);
        take_memtable(run);
        return;
    }
    run->valid = false;
    run->status = VELOCITY_OK;
    if (run->table_count == 0) return;
    open_table(run, run->table_count - 1);
    table_cursor_last(&run->table_cursor);
    backward_table(run);
}

void run_seek(struct run *run, velocity_slice key) {
    if (run->is_memtable) {
        memtable_cursor_seek(&run->memtable_cursor, key);
        take_memtable(run);
        return;
    }
    run->valid = false;
    run->status = VELOCITY_OK;
    size_t at = find_table(run, key);
    if (at == run->table_count) return;
    open_table(run, at);
    table_cursor_seek(&run->table_cursor, key);
    forward_table(run);
}

void run_seek_before(struct run *run, velocity_slice key) {
    if (run->is_memtable) {
        memtable_cursor_seek_before(&run->memtable_cursor, key);
        take_memtable(run);
        return;
    }
    run->valid = false;
    run->status = VELOCITY_OK;
    if (run->table_count == 0) return;
    size_t at = find_table(run, key);
    if (at == run->table_count) {
        run_last(run);
        return;
    }
    open_table(run, at);
    table_cursor_seek_before(&run->table_cursor, key);
    backward_table(run);
}

void run_next(struct run *run) {
    if (run->is_memtable) {
        memtable_cursor_next(&run->memtable_cursor);
        take_memtable(run);
    } else {
        table_cursor_next(&run->table_cursor);
        forward_table(run);
    }
}

void run_prev(struct run *run) {
    if (run->is_memtable) {
        memtable_cursor_prev(&run->memtable_cursor);
        take_memtable(run);
    } else {
        table_cursor_prev(&run->table_cursor);
        backward_table(run);
    }
}

bool run_is_plain(const struct run *run) {
    return !run->is_memtable && table_meta(run->tables[run->table_at])->one_version;
}

/* ---- passing by ----------------------------------------------------------------------------------------------------
 */

static void skip_in_memtable(struct run *run, velocity_slice to, bool back) {
    if (back)
        memtable_cursor_seek_before(&run->memtable_cursor, to);
    else
        memtable_cursor_seek(&run->memtable_cursor, to);
    take_memtable(run);
}

void run_skip(struct run *run, velocity_slice to, uint64_t sequence) {
    if (run_newest(run) > sequence) {
        run_next(run);
        return;
    }
    if (run->is_memtable) {
        skip_in_memtable(run, to, false);
        return;
    }
    size_t at = run->table_at;
    while (at < run->table_count && table_meta(run->tables[at])->max_sequence <= sequence &&
           slice_compare(table_meta(run->tables[at])->largest, to) < 0)
        at++;
    run->valid = false;
    if (at == run->table_count) return;
    bool inside = table_meta(run->tables[at])->max_sequence <= sequence;
    open_table(run, at);
    if (inside)
        table_cursor_seek(&run->table_cursor, to);
    else
        table_cursor_first(&run->table_cursor);
    forward_table(run);
}

void run_skip_back(struct run *run, velocity_slice to, uint64_t sequence) {
    if (run_newest(run) > sequence) {
        run_prev(run);
        return;
    }
    if (run->is_memtable) {
        skip_in_memtable(run, to, true);
        return;
    }
    size_t at = run->table_at + 1; /* one more than the table to go to; 0: the run ends */
    while (at > 0 && table_meta(run->tables[at - 1])->max_sequence <= sequence &&
           slice_compare(table_meta(run->tables[at - 1])->smallest, to) >= 0)
        at--;
    run->valid = false;
    if (at == 0) return;
    bool inside = table_meta(run->tables[at - 1])->max_sequence <= sequence;
    open_table(run, at - 1);
    if (inside)
        table_cursor_seek_before(&run->table_cursor, to);
    else
        table_cursor_last(&run->table_cursor);
    backward_table(run);
}

/* ---- the merge: a binary heap of runs -------------------------------------------------------------------------------
 */

velocity_status merge_init(struct merge *m, struct run *runs, size_t count) {
    memset(m, 0, sizeof *m);
    m->heap = env_alloc((count ? count : 1) * sizeof *m->heap);
    if (!m->heap) return VELOCITY_NO_MEMORY;
    m->runs = runs;
    m->count = count;
    return VELOCITY_OK;
}

void merge_clear(struct merge *m) {
    env_free(m->heap);
    m->heap = NULL;
    m->heap_count = 0;
}

static inline bool stands_first(const struct merge *m, const struct run *a, const struct run *b) {
    int order = slice_compare(a->entry.key, b->entry.key);
    if (order == 0) order = a->entry.sequence > b->entry.sequence ? -1 : 1;
    return m->backward ? order > 0 : order < 0;
}

static void sift_down(struct merge *m, size_t at) {
    struct run *moving = m->heap[at];
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= m->heap_count) break;
        if (child + 1 < m->heap_count && stands_first(m, m->heap[child + 1], m->heap[child])) child++;
        if (!stands_first(m, m->heap[child], moving)) break;
        m->heap[at] = m->heap[child];
        at = child;
    }
    m->heap[at] = moving;
}

/* All runs were positioned anew. */
static void build(struct merge *m, bool backward) {
    m->backward = backward;
    m->heap_count = 0;
    m->status = VELOCITY_OK;
    for (size_t i = 0; i < m->count; i++) {
        if (m->runs[i].valid)
            m->heap[m->heap_count++] = &m->runs[i];
        else if (m->runs[i].status && !m->status)
            m->status = m->runs[i].status;
    }
    for (size_t i = m->heap_count / 2; i-- > 0;) sift_down(m, i);
}

void merge_first(struct merge *m) {
    for (size_t i = 0; i < m->count; i++) run_first(&m->runs[i]);
    build(m, false);
}

void merge_last(struct merge *m) {
    for (size_t i = 0; i < m->count; i++) run_last(&m->runs[i]);
    build(m, true);
}

void merge_seek(struct merge *m, velocity_slice key) {
    for (size_t i = 0; i < m->count; i++) run_seek(&m->runs[i], key);
    build(m, false);
}

void merge_seek_before(struct merge *m, velocity_slice key) {
    for (size_t i = 0; i < m->count; i++) run_seek_before(&m->runs[i], key);
    build(m, true);
}

const struct entry *merge_second(const struct merge *m) {
    if (m->heap_count < 2) return NULL;
    bool right = m->heap_count > 2 && stands_first(m, m->heap[2], m->heap[1]);
    return &m->heap[right ? 2 : 1]->entry;
}

/* The top run has moved. */
static void resettle(struct merge *m) {
    struct run *top = m->heap[0];
    if (!top->valid) {
        if (top->status) m->status = top->status;
        m->heap[0] = m->heap[--m->heap_count];
    }
    if (m->heap_count > 1) sift_down(m, 0);
}

void merge_refresh(struct merge *m) {
    take_table(m->heap[0]);
    resettle(m);
}

void merge_next(struct merge *m) {
    run_next(m->heap[0]);
    resettle(m);
}

void merge_prev(struct merge *m) {
    run_prev(m->heap[0]);
    resettle(m);
}

void merge_skip(struct merge *m, velocity_slice to, uint64_t sequence) {
    if (m->backward)
        run_skip_back(m->heap[0], to, sequence);
    else
        run_skip(m->heap[0], to, sequence);
    resettle(m);
}
