/*
 * memtable_node.h - the nodes and entries of a memtable's tree, and how they are searched. For memtable*.c alone.
 *
 * A node is never rearranged in place while someone may read it. Its keys stand in slots in the order in which they
 * came; their sorted order is a separate row of 64 slot numbers, of which there are two: readers use the one that the
 * version word names, the inserter prepares the other and publishes it with one store of that word.
 *
 *     version     revision << 8 | prefix certain << 7 | count; the revision's lowest bit says which order is in force
 *     order[2]    slot numbers, smallest key first
 *     heads       by slot: 8 bytes of the key behind the node's prefix, as a number that orders like them
 *     records     by slot: leaf: the key's newest version; inner node: a version of the separator (only its key counts)
 *     children    by slot, inner nodes only: keys >= the separator and below the next one
 *
 * The first separator of an inner node is never looked at: what is below the second goes to the first child.
 *
 * Prefix: all keys in the node begin with it, and heads are taken behind it. It never changes. If it follows from the
 * separators around the node (it is certain), then every key that a search brings here has it. Else it was merely
 * observed: searches compare it, and a key without it is inserted into a copy of the node with a shorter prefix.
 *
 * Reading beside the inserter. Every field that changes is stored with release and loaded with acquire, so a reader
 * that met any later store finds the version changed when it looks again; a result counts only if the version is still
 * the same.
 *  1. Order bytes and slots of version v are not written before version v+1 is published. (Slots that v does not use
 * may be.)
 *  2. An order byte names a slot only after that slot was filled, and records and nodes live as long as the memtable.
 * So whatever mixture a reader sees, it never leaves the tree; it only has to try again.
 *  3. Therefore a reader repeats its work only if the inserter published something meanwhile, and never waits for it.
 */
#ifndef VELOCITY_MEMTABLE_NODE_H
#define VELOCITY_MEMTABLE_NODE_H

#include "memtable.h"
#include "slice.h"

#include <stdatomic.h>

#define SLOTS      MEMTABLE_NODE_SLOTS
#define MAX_HEIGHT 16 /* a level more takes some 16 times the keys: 2^32 of them stay below */

/* One version of a key. Immutable but for `newer`. */
struct record {
    const struct record *older;           /* the version before this one */
    _Atomic(const struct record *) newer; /* the version after it, once there is one */
    uint64_t sequence;
    int64_t expires_at_ms;
    uint32_t value_size;
    uint32_t flags;
    uint16_t key_size;
    uint8_t kind;
    uint8_t bytes[]; /* key, value */
};

union slot_order {
    _Atomic uint64_t words[SLOTS / 8]; /* as the inserter writes it */
    _Atomic uint8_t slots[SLOTS];      /* as readers read it */
};

#define INLINE_PREFIX_BYTES 24

struct node {
    _Alignas(64) _Atomic uint64_t version;
    _Atomic uint64_t used[2]; /* slots that the version has, one bit each; chosen like the order */
    const uint8_t *prefix;    /* in inline_prefix, a longer one in a record */
    uint16_t prefix_size;
    uint8_t level;                              /* 0: leaf */
    uint8_t last_position;                      /* inserter's: where the last key went; SLOTS: unknown */
    uint8_t copies;                             /* inserter's: how often the observed prefix was shortened */
    uint8_t inline_prefix[INLINE_PREFIX_BYTES]; /* in the node's first line, which a search loads anyway */
    _Alignas(64) union slot_order order[2];
    _Alignas(64) _Atomic int64_t heads[SLOTS];
    _Atomic(const struct record *) records[SLOTS];
    _Atomic(struct node *) children[]; /* SLOTS of them in inner nodes, else none */
};

#define LEAF_BYTES  (sizeof(struct node))
#define INNER_BYTES (sizeof(struct node) + SLOTS * sizeof(struct node *))

/* What a reader works on: a node as of one version. */
struct view {
    uint64_t version;
    const union slot_order *order;
    uint64_t used;
    unsigned count;
    bool prefix_certain;
};

struct place {
    unsigned position; /* how many keys of the node are smaller */
    bool found;        /* the one at `position` is equal */
};

/* Where a search from the root ended. */
struct descent {
    const struct node *leaf;
    struct view view;            /* of the leaf */
    const struct record *beyond; /* its key is the smallest that the next leaf may have; NULL: this is the last leaf */
};
/* To the leaf that has `key` (below: that has the largest key < `key`), if any. Any thread. */
struct descent memtable_descend(const memtable *table, velocity_slice key, bool below);
/* To the first or the last leaf. Any thread. */
struct descent memtable_descend_edge(const memtable *table, bool last);

#ifndef LOAD /* a test may put its own here, to stop between any two of them */
#define LOAD(field)         atomic_load_explicit(&(field), memory_order_acquire)
#define STORE(field, value) atomic_store_explicit(&(field), (value), memory_order_release)
#endif

static inline velocity_slice record_key(const struct record *r) {
    return velocity_bytes(r->bytes, r->key_size);
}

#define VERSION_COUNT    127u
#define VERSION_CERTAIN  128u
#define VERSION_REVISION 256u

static inline unsigned version_order(uint64_t version) {
    return version / VERSION_REVISION % 2;
}

static inline struct view node_view(const struct node *node) {
    uint64_t version = LOAD(node->version);
    unsigned which = version_order(version);
    return (struct view){version, &node->order[which], LOAD(node->used[which]), (unsigned)(version & VERSION_COUNT),
                         (version & VERSION_CERTAIN) != 0};
}

static inline bool view_holds(const struct node *node, const struct view *view) {
    return LOAD(node->version) == view->version;
}

static inline unsigned view_slot(const struct view *view, unsigned position) {
    return LOAD(view->order->slots[position]);
}

static inline const struct record *view_record(const struct node *node, const struct view *view, unsigned position) {
    return LOAD(node->records[view_slot(view, position)]);
}

/* All the lines that a search may touch, at once: they come in parallel. */
static inline void node_prefetch(const struct node *node) {
    const char *line = (const char *)node;
    for (size_t at = 0; at < sizeof *node; at += 64) __builtin_prefetch(line + at);
}

struct place node_search(const struct node *node, const struct view *view, velocity_slice key);
/* Inner nodes: position of the child that has `key` (below: the largest key < `key`). */
unsigned node_child_position(const struct node *node, const struct view *view, velocity_slice key, bool below);
void record_entry(const struct record *record, struct entry *out);
/* 8 bytes of `key` from `from` on, missing ones as zero, as a number that orders like them. */
int64_t key_head(velocity_slice key, size_t from);

#endif
