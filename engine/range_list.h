/*
 * range_list.h - which keys range deletes cover: "the newest one over key k that sequence s sees", by binary search.
 *
 * A list cuts the keys at the bounds of its range deletes into fragments, and keeps of each the newest sequence:
 *
 *     range deletes          [--------- 7 ---------)
 *                       [------ 4 ------)      [---- 9 ----)
 *     fragments         |  4 |       7         |     9     | 0
 *
 * For readers of older sequences it also has its two halves: those of the older, and those of the newer range deletes,
 * in halves in turn. So n range deletes, nested as they may be, take n log n memory, and an answer log n searches; one
 * search for whoever sees all of them.
 *
 *   struct range_buffer  grows: lists of falling sizes, each a power of two, the newest first; the range deletes of a
 *                        write buffer. One inserter, any number of readers, who take no lock.
 *   struct range_index   is built whole: the range deletes of all tables of a version.
 *
 * Lists are immutable. They borrow the bytes of their keys.
 */
#ifndef VELOCITY_RANGE_LIST_H
#define VELOCITY_RANGE_LIST_H

#include "arena.h"
#include "entry.h"

#include <stdatomic.h>

/* Every entry with start <= key < end and a lower sequence is gone. */
struct range_tombstone {
    velocity_slice start, end;
    uint64_t sequence;
};

/* From `start` to the next fragment's. */
struct range_fragment {
    velocity_slice start;
    uint64_t sequence; /* of the newest range delete over it; 0: none */
};

struct range_list {
    uint64_t oldest, newest;            /* sequences */
    const struct range_list *halves[2]; /* the older and the newer; NULL: nobody's sequence lies between */
    const struct range_list *older;     /* the next list of a range_buffer: all of its sequences are lower */
    size_t tombstones, count;
    struct range_fragment fragments[]; /* ascending; the last one's sequence is 0 */
};

/* ---- questions: of a list and those that are `older`; NULL is an empty one --------------------------------------- */

/* The highest sequence <= `sequence` of a range delete over the key; 0: none. */
uint64_t range_list_newest(const struct range_list *list, velocity_slice key, uint64_t sequence);

/* A stretch of keys [from, to) over which the same is true; data NULL: no bound. */
struct range_stretch {
    velocity_slice from, to;
    uint64_t sequence; /* as range_list_newest says for each of its keys */
};

/* Nothing is known yet: every key. */
static inline struct range_stretch range_stretch_all(void) {
    return (struct range_stretch){{NULL, 0}, {NULL, 0}, 0};
}
/*
 * Narrows the stretch around `key` (below: around the keys just below it) to what the lists say of it, and raises its
 * sequence to theirs. So several lists can be asked one after the other.
 */
void range_list_narrow(const struct range_list *list, velocity_slice key, bool below, uint64_t sequence,
                       struct range_stretch *stretch);
bool range_stretch_holds(const struct range_stretch *stretch, velocity_slice key);

/* ---- growing ------------------------------------------------------------------------------------------------------
 */

struct range_buffer {
    _Atomic(const struct range_list *) newest; /* NULL: no range deletes */
    _Atomic size_t bytes;                      /* memory in use; any thread */
    _Atomic size_t count;                      /* of range deletes; any thread */
    struct arena arena;                        /* the inserter's */
};

void range_buffer_init(struct range_buffer *buffer); /* takes no memory yet */
void range_buffer_free(struct range_buffer *buffer); /* no reader is left */
/* So many inserts can't fail after this. Not cumulative. Inserter only. */
VELOCITY_CHECK_RESULT velocity_status range_buffer_reserve(struct range_buffer *buffer, size_t count);
/* Its sequence is higher than all before; its keys live as long as the buffer. Inserter only, after a reserve. */
void range_buffer_insert(struct range_buffer *buffer, const struct range_tombstone *tombstone);
static inline const struct range_list *range_buffer_list(const struct range_buffer *buffer) {
    return atomic_load_explicit(&buffer->newest, memory_order_acquire);
}

/* ---- whole --------------------------------------------------------------------------------------------------------
 */

struct range_index {
    _Atomic uint32_t references;
    struct range_list *root;
    const struct range_list *parts; /* the halves that it has, linked by older */
};

/*
 * Of `count` > 0 range deletes (sorted here, by sequence). It answers for the sequences of `snapshots` (ascending) and
 * for all from the highest of the range deletes on: what nobody can ask for is left out. One reference.
 */
VELOCITY_CHECK_RESULT velocity_status range_index_new(struct range_tombstone *tombstones, size_t count,
                                                      const uint64_t *snapshots, size_t snapshot_count,
                                                      struct range_index **out);
void range_index_acquire(struct range_index *index);
void range_index_release(struct range_index *index); /* NULL is allowed */
/* NULL for NULL. */
static inline const struct range_list *range_index_list(const struct range_index *index) {
    return index ? index->root : NULL;
}

#endif
