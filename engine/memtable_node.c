/* memtable_node.c - searching a node of a memtable's tree. See memtable_node.h. */
#include "memtable_node.h"

uint64_t key_head(velocity_slice key, size_t from) {
    if (key.size < 8 || key.size >= from + 8) return slice_head8(key, from);
    if (key.size <= from) return 0;
    size_t left = key.size - from;
    return slice_head8(key, key.size - 8) << (64 - 8 * left); /* spares the loop over single bytes */
}

static inline uint64_t head_at(const struct node *node, const struct view *view, unsigned position) {
    return LOAD(node->heads[view_slot(view, position)]);
}

/* First position >= from whose head is >= `head`. */
static unsigned lower_bound(const struct node *node, const struct view *view, unsigned from, uint64_t head) {
    unsigned base = from, left = view->count - from;
    while (left > 1) {
        unsigned half = left / 2;
        base += head_at(node, view, base + half - 1) < head ? half : 0;
        left -= half;
    }
    return left == 1 ? base + (head_at(node, view, base) < head) : base;
}

/* Among positions [from, to), whose heads all equal the key's: the whole keys decide. */
static struct place search_equal_heads(const struct node *node, const struct view *view, unsigned from, unsigned to,
                                       velocity_slice key) {
    while (from < to) {
        unsigned middle = from + (to - from) / 2;
        int order = slice_compare(record_key(view_record(node, view, middle)), key);
        if (order == 0) return (struct place){middle, true};
        if (order < 0) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return (struct place){from, false};
}

static struct place search_from(const struct node *node, const struct view *view, unsigned from, velocity_slice key) {
    size_t prefix_size = node->prefix_size;
    if (!node->prefix_certain) {
        size_t shared = key.size < prefix_size ? key.size : prefix_size;
        int order = memcmp(key.data, node->prefix, shared);
        if (order > 0) return (struct place){view->count, false};
        if (order < 0 || shared < prefix_size) return (struct place){from, false};
    }
    uint64_t head = key_head(key, prefix_size);
    unsigned low = lower_bound(node, view, from, head);
    if (low == view->count || head_at(node, view, low) != head) return (struct place){low, false};
    unsigned high = low + 1;
    if (high < view->count && head_at(node, view, high) == head)
        high = head == UINT64_MAX ? view->count : lower_bound(node, view, high, head + 1);
    return search_equal_heads(node, view, low, high, key);
}

struct place node_search(const struct node *node, const struct view *view, velocity_slice key) {
    return search_from(node, view, 0, key);
}

unsigned node_child_position(const struct node *node, const struct view *view, velocity_slice key, bool below) {
    struct place place = search_from(node, view, 1, key);
    return place.found && !below ? place.position : place.position - 1;
}
