/*
 * write_ranges.c - what a range delete asks of the write buffer beyond an insert. See database_internal.h.
 *
 * Scans pass by a run in one seek where all of it is older than the range delete. So that this is true of what a write
 * buffer holds, a range delete over much of it goes into the next one. Leader only.
 */
#include "database_internal.h"

#include "slice.h"

enum {
    MUCH_ENTRIES = 4096,      /* stepping over so many takes a scan some 100 us */
    WORTH_A_SWITCH_PART = 16, /* ... and a buffer is not ended before it holds this part of memtable_bytes */
};

void write_buffer_insert_range(struct write_buffer *buffer, const struct entry *e) {
    struct entry kept; /* its bytes live as long as the memtable */
    if (!memtable_get(buffer->memtable, e->key, e->sequence, &kept)) return;
    struct range_tombstone range = {kept.key, kept.value, e->sequence};
    range_buffer_insert(&buffer->ranges, &range);
}

/* Takes what the range covers off *left; stops at 0. */
static void count_covered(const memtable *table, const struct entry *range, size_t *left) {
    struct memtable_cursor cursor;
    struct entry e;
    memtable_cursor_init(&cursor, table);
    for (memtable_cursor_seek(&cursor, range->key); *left && memtable_cursor_valid(&cursor);
         memtable_cursor_next(&cursor)) {
        memtable_cursor_entry(&cursor, &e);
        if (slice_compare(e.key, range->value) >= 0) return;
        --*left;
    }
}

bool write_range_wants_switch(const velocity *db, const struct entry *single, const velocity_batch *batch) {
    if (write_buffer_bytes(db->active) < database_buffer_bytes(db) / WORTH_A_SWITCH_PART) return false;
    size_t left = MUCH_ENTRIES;
    if (single) count_covered(db->active->memtable, single, &left);
    const uint8_t *p = batch ? batch->operations : NULL, *end = batch ? p + batch->extent.bytes : NULL;
    struct entry e;
    while (p && p < end && left)
        if ((p = log_operation_decode(p, end, &e)) && e.kind == ENTRY_RANGE_DELETE)
            count_covered(db->active->memtable, &e, &left);
    return left == 0;
}
