/* memtable_node.c - searching a node of a memtable's tree. See memtable_node.h. */
#include "memtable_node.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SCALAR_SEARCH
#endif
#endif
#if !defined(__x86_64__) || defined(__SANITIZE_THREAD__)
#define SCALAR_SEARCH /* where ThreadSanitizer must see each load, or there are no such instructions */
#endif

#ifndef SCALAR_SEARCH
#include <immintrin.h>
#endif

/* slice_head8 without its loop over single bytes, where the key has 8 of them. */
static uint64_t unsigned_head(velocity_slice key, size_t from) {
    if (key.size < 8 || key.size >= from + 8) return slice_head8(key, from);
    if (key.size <= from) return 0;
    return slice_head8(key, key.size - 8) << (64 - 8 * (key.size - from));
}

/* With the top bit flipped, signed numbers order like the unsigned ones; vector instructions compare signed ones. */
int64_t key_head(velocity_slice key, size_t from) {
    return (int64_t)(unsigned_head(key, from) ^ UINT64_C(1) << 63);
}

static inline int64_t head_at(const struct node *node, const struct view *view, unsigned position) {
    return LOAD(node->heads[view_slot(view, position)]);
}

#ifndef SCALAR_SEARCH
/*
 * How many slots of `used` hold a head below `head`: all 64 compared, no order needed, no branch to guess.
 * The plain vector loads are as good as 64 atomic ones: x86 keeps the order of loads and never tears aligned 8 bytes.
 */
__attribute__((target("avx2,popcnt"))) static unsigned count_below(const struct node *node, uint64_t used,
                                                                   int64_t head) {
    const __m256i *heads = (const __m256i *)(const void *)node->heads, sought = _mm256_set1_epi64x(head);
    uint64_t smaller = 0;
    for (unsigned i = 0; i < SLOTS / 4; i++) {
        __m256i below = _mm256_cmpgt_epi64(sought, _mm256_load_si256(heads + i));
        smaller |= (uint64_t)(unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(below)) << (4 * i);
    }
    atomic_signal_fence(memory_order_seq_cst); /* the compiler keeps the order, too */
    return (unsigned)__builtin_popcountll(smaller & used);
}
#endif

/* First position >= from whose head is >= `head`; from: 0 or 1. */
static unsigned lower_bound(const struct node *node, const struct view *view, unsigned from, int64_t head) {
#ifndef SCALAR_SEARCH
    if (__builtin_cpu_supports("avx2")) return from + count_below(node, view->used & ~(uint64_t)from, head);
#endif
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
    if (!view->prefix_certain) {
        size_t shared = key.size < prefix_size ? key.size : prefix_size;
        int order = memcmp(key.data, node->prefix, shared);
        if (order > 0) return (struct place){view->count, false};
        if (order < 0 || shared < prefix_size) return (struct place){from, false};
    }
    int64_t head = key_head(key, prefix_size);
    unsigned low = lower_bound(node, view, from, head);
    if (low >= view->count || head_at(node, view, low) != head) return (struct place){low, false};
    unsigned high = low + 1;
    if (high < view->count && head_at(node, view, high) == head)
        high = head == INT64_MAX ? view->count : lower_bound(node, view, from, head + 1);
    return search_equal_heads(node, view, low, high, key);
}

struct place node_search(const struct node *node, const struct view *view, velocity_slice key) {
    return search_from(node, view, 0, key);
}

unsigned node_child_position(const struct node *node, const struct view *view, velocity_slice key, bool below) {
    struct place place = search_from(node, view, 1, key);
    return place.found && !below ? place.position : place.position - 1;
}
