/* range_list.c - see range_list.h. */
#include "range_list.h"

#include "env.h"
#include "slice.h"

#include <stdlib.h>

/* ---- questions ----------------------------------------------------------------------------------------------------
 */

/* How many fragments begin at or before the key (below: before it). */
static size_t fragments_up_to(const struct range_list *list, velocity_slice key, bool below) {
    size_t low = 0, high = list->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(list->fragments[middle].start, key) < (below ? 0 : 1))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Takes in what one list's fragment at the key says, if the sequence sees it. */
static void narrow_by_fragment(const struct range_list *list, velocity_slice key, bool below, uint64_t sequence,
                               struct range_stretch *stretch) {
    size_t after = fragments_up_to(list, key, below);
    if (after) {
        const struct range_fragment *f = &list->fragments[after - 1];
        if (!stretch->from.data || slice_compare(f->start, stretch->from) > 0) stretch->from = f->start;
        if (f->sequence <= sequence && f->sequence > stretch->sequence) stretch->sequence = f->sequence;
    }
    if (after == list->count) return;
    velocity_slice next = list->fragments[after].start;
    if (!stretch->to.data || slice_compare(next, stretch->to) < 0) stretch->to = next;
}

/* From the newest list of a range_buffer on; of a list that the sequence sees in part, down the halves: each older one
 * that is passed by on the way is seen whole. */
void range_list_narrow(const struct range_list *list, velocity_slice key, bool below, uint64_t sequence,
                       struct range_stretch *stretch) {
    for (; list; list = list->older) {
        const struct range_list *part = list;
        while (part->newest > sequence && part->halves[1]) {
            bool into_newer = part->halves[1]->oldest <= sequence;
            if (into_newer) narrow_by_fragment(part->halves[0], key, below, sequence, stretch);
            part = part->halves[into_newer];
        }
        if (part->oldest <= sequence) narrow_by_fragment(part, key, below, sequence, stretch);
    }
}

uint64_t range_list_newest(const struct range_list *list, velocity_slice key, uint64_t sequence) {
    for (; list; list = list->older) {
        if (list->newest <= sequence) {
            size_t after = fragments_up_to(list, key, false);
            if (after && list->fragments[after - 1].sequence) return list->fragments[after - 1].sequence;
            continue;
        }
        struct range_stretch stretch = range_stretch_all();
        range_list_narrow(list, key, false, sequence, &stretch); /* of the older lists too */
        return stretch.sequence;
    }
    return 0;
}

bool range_stretch_holds(const struct range_stretch *stretch, velocity_slice key) {
    return (!stretch->to.data || slice_compare(key, stretch->to) < 0) &&
           (!stretch->from.data || slice_compare(key, stretch->from) >= 0);
}

/* ---- making lists -------------------------------------------------------------------------------------------------
 */

static size_t list_bytes(size_t fragments) {
    return sizeof(struct range_list) + fragments * sizeof(struct range_fragment);
}

static void list_of_one(struct range_list *list, const struct range_tombstone *t) {
    *list = (struct range_list){.oldest = t->sequence, .newest = t->sequence, .tombstones = 1, .count = 2};
    list->fragments[0] = (struct range_fragment){t->start, t->sequence};
    list->fragments[1] = (struct range_fragment){t->end, 0};
}

/* Every sequence of `newer` is higher than all of `older`. *out has room for the fragments of both. */
static void list_merge(struct range_list *out, const struct range_list *older, const struct range_list *newer) {
    *out = (struct range_list){.oldest = older->oldest,
                               .newest = newer->newest,
                               .halves = {older, newer},
                               .tombstones = older->tombstones + newer->tombstones};
    const struct range_fragment *a = older->fragments, *b = newer->fragments;
    const struct range_fragment *a_end = a + older->count, *b_end = b + newer->count;
    uint64_t from_a = 0, from_b = 0, before = 0; /* what covers the present fragment, and the one before */
    while (a < a_end || b < b_end) {
        int order = a == a_end ? 1 : b == b_end ? -1 : slice_compare(a->start, b->start);
        velocity_slice start = order <= 0 ? a->start : b->start;
        if (order <= 0) from_a = a++->sequence;
        if (order >= 0) from_b = b++->sequence;
        uint64_t sequence = from_b ? from_b : from_a;
        if (sequence == before) continue;
        out->fragments[out->count++] = (struct range_fragment){start, sequence};
        before = sequence;
    }
}

/* ---- growing ------------------------------------------------------------------------------------------------------
 */

void range_buffer_init(struct range_buffer *buffer) {
    atomic_init(&buffer->newest, NULL);
    atomic_init(&buffer->bytes, 0);
    atomic_init(&buffer->count, 0);
    arena_init(&buffer->arena, sizeof(void *), NULL);
}

void range_buffer_free(struct range_buffer *buffer) {
    arena_free(&buffer->arena);
}

/* Like the bits of a counter: a list of 2^i range deletes is made each time that their count reaches a multiple of it;
 * it has at most 2^(i+1) fragments. */
velocity_status range_buffer_reserve(struct range_buffer *buffer, size_t count) {
    size_t before = atomic_load_explicit(&buffer->count, memory_order_relaxed), bytes = 0;
    for (size_t size = 1; size <= before + count; size *= 2)
        bytes += ((before + count) / size - before / size) * list_bytes(2 * size);
    return arena_reserve(&buffer->arena, bytes);
}

void range_buffer_insert(struct range_buffer *buffer, const struct range_tombstone *tombstone) {
    const struct range_list *older = atomic_load_explicit(&buffer->newest, memory_order_relaxed);
    struct range_list *list = arena_take(&buffer->arena, list_bytes(2));
    list_of_one(list, tombstone);
    while (older && older->tombstones == list->tombstones) {
        struct range_list *both = arena_take(&buffer->arena, list_bytes(older->count + list->count));
        list_merge(both, older, list);
        list = both;
        older = older->older;
    }
    list->older = older;
    atomic_store_explicit(&buffer->newest, list, memory_order_release);
    atomic_fetch_add_explicit(&buffer->count, 1, memory_order_relaxed);
    atomic_store_explicit(&buffer->bytes, buffer->arena.used_bytes, memory_order_relaxed);
}

/* ---- whole --------------------------------------------------------------------------------------------------------
 */

static int by_sequence(const void *a, const void *b) {
    uint64_t x = ((const struct range_tombstone *)a)->sequence, y = ((const struct range_tombstone *)b)->sequence;
    return x < y ? -1 : x > y;
}

/* Whether one of the sequences sees the older, but not all of the list. */
static bool seen_in_part(const struct range_list *list, const uint64_t *sequences, size_t count) {
    size_t low = 0, high = count;
    while (low < high) { /* the first sequence that sees something of the list */
        size_t middle = low + (high - low) / 2;
        if (sequences[middle] < list->oldest)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && sequences[low] < list->newest;
}

/* Lists that are linked by `older`, which nobody follows in halves. */
static void free_parts(const struct range_list *list) {
    while (list) {
        const struct range_list *next = list->older;
        env_free((void *)list);
        list = next;
    }
}

/* Merges lists[0, count), which stand by sequence, two by two, until one is left. On failure some are left. */
static velocity_status merge_all(struct range_list **lists, size_t count, const uint64_t *snapshots,
                                 size_t snapshot_count, struct range_list **kept) {
    while (count > 1) {
        size_t merged = 0;
        for (size_t i = 0; i + 1 < count; i += 2) {
            struct range_list *a = lists[i], *b = lists[i + 1], *both = env_alloc(list_bytes(a->count + b->count));
            if (!both) return VELOCITY_NO_MEMORY;
            list_merge(both, a, b);
            lists[i] = lists[i + 1] = NULL;
            if (seen_in_part(both, snapshots, snapshot_count)) {
                a->older = *kept;
                b->older = a;
                *kept = b;
            } else {
                both->halves[0] = both->halves[1] = NULL;
                env_free(a);
                env_free(b);
            }
            lists[merged++] = both;
        }
        if (count % 2) {
            struct range_list *odd = lists[count - 1];
            lists[count - 1] = NULL;
            lists[merged++] = odd;
        }
        count = merged;
    }
    return VELOCITY_OK;
}

velocity_status range_index_new(struct range_tombstone *tombstones, size_t count, const uint64_t *snapshots,
                                size_t snapshot_count, struct range_index **out) {
    qsort(tombstones, count, sizeof *tombstones, by_sequence);
    struct range_index *index = env_alloc_zeroed(sizeof *index);
    struct range_list **lists = env_alloc_zeroed(count * sizeof *lists), *kept = NULL;
    velocity_status status = index && lists ? VELOCITY_OK : VELOCITY_NO_MEMORY;
    for (size_t i = 0; i < count && !status; i++) {
        if (!(lists[i] = env_alloc(list_bytes(2))))
            status = VELOCITY_NO_MEMORY;
        else
            list_of_one(lists[i], &tombstones[i]);
    }
    if (!status) status = merge_all(lists, count, snapshots, snapshot_count, &kept);
    if (!status) {
        atomic_init(&index->references, 1);
        index->root = lists[0];
        index->parts = kept;
        env_free(lists);
        *out = index;
        return VELOCITY_OK;
    }
    for (size_t i = 0; lists && i < count; i++) env_free(lists[i]);
    env_free(lists);
    free_parts(kept);
    env_free(index);
    return status;
}

void range_index_acquire(struct range_index *index) {
    atomic_fetch_add_explicit(&index->references, 1, memory_order_relaxed);
}

void range_index_release(struct range_index *index) {
    if (!index || atomic_fetch_sub_explicit(&index->references, 1, memory_order_acq_rel) != 1) return;
    free_parts(index->parts);
    env_free(index->root);
    env_free(index);
}
