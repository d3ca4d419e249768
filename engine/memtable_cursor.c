/*
 * memtable_cursor.c - walking over a memtable. See memtable.h.
 *
 * A cursor copies the newest versions of one leaf's keys as of one version of the leaf, and walks its copy; records
 * never change, so nothing can happen to it. At either end it goes down the tree again: forward to the separator behind
 * the leaf, where the next leaf began when the copy was made; backward to the largest key below the copy's first. So no
 * key between two copies is missed, and none shows twice.
 */
#include "memtable_node.h"

#define PREFETCH_DISTANCE 4 /* keys ahead of the one that is read */

/*
 * Copies the leaf; false: it changed meanwhile. Its keys from `beyond` on are left out: they are in the next leaf
 * already, and this one is about to be cut.
 */
static bool load(struct memtable_cursor *cursor, const struct descent *at) {
    unsigned count = at->view.count;
    for (unsigned i = 0; i < count; i++) cursor->chain[i] = view_record(at->leaf, &at->view, i);
    if (!view_holds(at->leaf, &at->view)) return false;
    while (at->beyond && count > 0 && slice_compare(record_key(cursor->chain[count - 1]), record_key(at->beyond)) >= 0)
        count--;
    cursor->count = (int)count;
    cursor->beyond = at->beyond;
    return true;
}

static const struct record *oldest(const struct record *record) {
    while (record->older) record = record->older;
    return record;
}

/* Onto the newest version of the key at `index` of the copy, or its oldest; beside the copy: not valid. */
static void stand(struct memtable_cursor *cursor, int index, bool on_oldest) {
    cursor->index = index;
    cursor->version = NULL;
    if (index < 0 || index >= cursor->count) return;
    const struct record *head = cursor->chain[index];
    cursor->version = on_oldest ? oldest(head) : head;
}

void memtable_cursor_init(struct memtable_cursor *cursor, const memtable *table) {
    cursor->table = table;
    cursor->count = cursor->index = 0;
    cursor->beyond = cursor->version = NULL;
}

void memtable_cursor_first(struct memtable_cursor *cursor) {
    struct descent at;
    do {
        at = memtable_descend_edge(cursor->table, false);
    } while (!load(cursor, &at));
    stand(cursor, 0, false);
}

void memtable_cursor_last(struct memtable_cursor *cursor) {
    struct descent at;
    do {
        at = memtable_descend_edge(cursor->table, true);
    } while (!load(cursor, &at));
    stand(cursor, cursor->count - 1, true);
}

/* Copies the leaf for `key`; how many keys of it are below is the answer. */
static int load_for(struct memtable_cursor *cursor, velocity_slice key, bool below) {
    for (;;) {
        struct descent at = memtable_descend(cursor->table, key, below);
        struct place place = node_search(at.leaf, &at.view, key);
        if (load(cursor, &at)) return (int)place.position;
    }
}

/* A separator's key is the first of its leaf, so one leaf further is enough. */
static void step_forward(struct memtable_cursor *cursor) {
    const struct record *beyond = cursor->beyond;
    int index = beyond ? load_for(cursor, record_key(beyond), false) : cursor->count;
    stand(cursor, index, false);
}

void memtable_cursor_seek(struct memtable_cursor *cursor, velocity_slice key) {
    int index = load_for(cursor, key, false);
    if (index < cursor->count) {
        stand(cursor, index, false);
    } else {
        step_forward(cursor);
    }
}

void memtable_cursor_seek_before(struct memtable_cursor *cursor, velocity_slice key) {
    int index = load_for(cursor, key, true);
    stand(cursor, index - 1, true);
}

void memtable_cursor_next(struct memtable_cursor *cursor) {
    const struct record *version = cursor->version;
    if (version->older) {
        cursor->version = version->older;
    } else if (cursor->index + 1 < cursor->count) {
        cursor->version = cursor->chain[++cursor->index];
        if (cursor->index + PREFETCH_DISTANCE < cursor->count)
            __builtin_prefetch(cursor->chain[cursor->index + PREFETCH_DISTANCE]);
    } else {
        step_forward(cursor);
    }
}

void memtable_cursor_prev(struct memtable_cursor *cursor) {
    const struct record *version = cursor->version, *newer = LOAD(version->newer);
    if (newer) {
        cursor->version = newer;
    } else if (cursor->index > 0) {
        stand(cursor, cursor->index - 1, true);
        if (cursor->index >= PREFETCH_DISTANCE) __builtin_prefetch(cursor->chain[cursor->index - PREFETCH_DISTANCE]);
    } else {
        memtable_cursor_seek_before(cursor, record_key(version));
    }
}

void memtable_cursor_entry(const struct memtable_cursor *cursor, struct entry *out) {
    record_entry(cursor->version, out);
}
