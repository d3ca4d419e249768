/*
 * memtable.c - the write buffer: a B+tree of 64-slot nodes in arenas, for one inserter and any number of readers.
 *
 * memtable_node.h describes a node and why a reader may search it beside the inserter. This file holds the tree
 * together. Its invariants, at every instant (the inserter may stand still between any two stores):
 *  1. A leaf is never empty unless it is the only node; nothing is removed. A separator's key is in the leaf that it
 *     begins.
 *  2. Every key is reached from the root. A full node L is split thus: its upper half is copied into a new node R; R is
 *     published in the parent (until then all keys are found in L, after that the upper ones in R, the lower ones in
 *     L); then L is cut to its lower half. A full root gets a new root above it in the same way.
 *  3. A reader that goes from P to its child C loads C's version and then looks at P's version again (for the root: at
 *     the root pointer). C was cut only after R was published in P, or in the node that took C over from P when P was
 *     cut: either changed P's version. So if P is unchanged, then the C that the reader holds still has all keys that P
 *     sends there. Else it begins at the root again; the inserter made progress.
 *  4. A node that gets another prefix is copied, and the copy takes its place by one store of the child pointer. An old
 *     leaf is never written again: who still reads it sees all that was inserted before he came. What is below an old
 *     inner node P changes without it. So its parent's version is changed, then its own: who found the parent unchanged
 *     has P's version from before, and goes no further once anything below P may have been cut.
 *  5. Overwriting a key is one store of the slot's record pointer; it changes no version.
 *
 * Splitting: a node that grew at its end is split there (it stays full, so ascending keys fill nodes), one that grew at
 * its front is split there, any other in the middle. The hint is used once per filling, so nodes can't be made to stay
 * empty: of 32 inserts into one region at most two split. The reservation relies on it.
 */
#include "arena.h"
#include "env.h"
#include "memtable_node.h"

#define BETTER_PREFIX_BYTES 4 /* a longer prefix is worth comparing it, or copying the node, from here on */
#define LONGEST_PREFIX_COPIES                                                                                          \
    2 /* then the node takes the prefix that is certain, and is never copied for that again                            \
       */

struct memtable {
    struct arena nodes, records; /* inserter's; apart, so that nodes lie close together */
    _Atomic(struct node *) root;
    _Atomic size_t bytes, entries, deletes; /* stored by the inserter, for any thread */
    unsigned height;                        /* inserter's from here on: levels of nodes, at least 1 */
    size_t leaf_count, inner_count;         /* copies that were left behind too */
    struct node *last_leaf;
    const struct record *greatest; /* a version of the greatest key; NULL: empty */
};

/* The inserter's way down: by level, the node and (above the leaf) the position of the child taken. */
struct path {
    struct node *nodes[MAX_HEIGHT];
    unsigned positions[MAX_HEIGHT];
};

/* What goes into a slot. */
struct item {
    const struct record *record;
    struct node *child; /* NULL in leaves */
};

struct prefix {
    const uint8_t *bytes;
    size_t size;
    bool certain;
};

/* Stands for the first separator of the leftmost nodes; it is never looked at. */
static const struct record lowest = {.key_size = 0};

/* ---- nodes, by the inserter ------------------------------------------------------------------------------------ */

static struct node *node_new(memtable *table, unsigned level) {
    struct node *node = arena_take(&table->nodes, level ? INNER_BYTES : LEAF_BYTES);
    memset(node, 0, offsetof(struct node, heads));
    node->level = (uint8_t)level;
    node->last_position = SLOTS;
    STORE(node->version, VERSION_CERTAIN);
    *(level ? &table->inner_count : &table->leaf_count) += 1;
    return node;
}

static struct item node_item(const struct node *node, unsigned position) {
    struct view view = node_view(node);
    unsigned slot = view_slot(&view, position);
    return (struct item){LOAD(node->records[slot]), node->level ? LOAD(node->children[slot]) : NULL};
}

static void slot_store(struct node *node, unsigned slot, struct item item) {
    velocity_slice key = record_key(item.record);
    STORE(node->heads[slot], key_head(key, node->prefix_size));
    STORE(node->records[slot], item.record);
    if (node->level) STORE(node->children[slot], item.child);
}

/* Writes into `to` what `from` becomes when `slot` is put in at `position`. */
static void order_insert(const union slot_order *from, union slot_order *to, unsigned position, unsigned slot) {
    unsigned at = position / 8, shift = position % 8 * 8;
    for (unsigned i = 0; i < at; i++) STORE(to->words[i], LOAD(from->words[i]));
    uint64_t word = LOAD(from->words[at]), below = word & ((UINT64_C(1) << shift) - 1);
    STORE(to->words[at], below | (uint64_t)slot << shift | (word ^ below) << 8);
    for (unsigned i = at + 1; i < SLOTS / 8; i++) {
        uint64_t carried = word >> 56;
        word = LOAD(from->words[i]);
        STORE(to->words[i], word << 8 | carried);
    }
}

/* Puts an item into a node that has a free slot and whose prefix the key has. */
static void node_add(struct node *node, unsigned position, struct item item) {
    uint64_t version = LOAD(node->version);
    unsigned next = 1 - version_order(version), slot = (unsigned)__builtin_ctzll(~LOAD(node->used[1 - next]));
    slot_store(node, slot, item);
    order_insert(&node->order[1 - next], &node->order[next], position, slot);
    STORE(node->used[next], LOAD(node->used[1 - next]) | UINT64_C(1) << slot);
    node->last_position = (uint8_t)position;
    STORE(node->version, version + VERSION_REVISION + 1);
}

/* Drops all positions from `count` on, and takes note that from now on a prefix as long as `certain` is. */
static void node_cut(struct node *node, unsigned count, struct prefix certain) {
    struct view view = node_view(node);
    unsigned next = 1 - version_order(view.version);
    for (unsigned i = count; i < view.count; i++) view.used &= ~(UINT64_C(1) << view_slot(&view, i));
    for (unsigned i = 0; i < SLOTS / 8; i++) STORE(node->order[next].words[i], LOAD(view.order->words[i]));
    STORE(node->used[next], view.used);
    node->last_position = SLOTS;
    uint64_t known = view.prefix_certain || certain.size >= node->prefix_size ? VERSION_CERTAIN : 0;
    STORE(node->version, (view.version / VERSION_REVISION + 1) * VERSION_REVISION + known + count);
}

/* ---- prefixes -------------------------------------------------------------------------------------------------- */

static size_t shared_size(const struct record *a, const struct record *b) {
    return slice_shared_prefix(record_key(a), record_key(b));
}

/* The separators around the node at `level` of the path. NULL: the tree ends there. */
static const struct record *separator_before(const struct path *path, unsigned level, unsigned height) {
    while (++level < height) {
        if (path->positions[level] > 0) return node_item(path->nodes[level], path->positions[level]).record;
    }
    return NULL;
}

static const struct record *separator_after(const struct path *path, unsigned level, unsigned height) {
    while (++level < height) {
        unsigned position = path->positions[level] + 1;
        if (position < node_view(path->nodes[level]).count) return node_item(path->nodes[level], position).record;
    }
    return NULL;
}

/* Of a node between two separators, whichever keys it may get. */
static struct prefix certain_prefix(const struct record *before, const struct record *after) {
    if (!before || !after) return (struct prefix){NULL, 0, true};
    return (struct prefix){before->bytes, shared_size(before, after), true};
}

/* What the keys from `first` to `last` and the one of `extra` share, if that is much more than what is certain. */
static struct prefix better_prefix(struct prefix certain, const struct record *first, const struct record *last,
                                   const struct record *extra) {
    size_t size = shared_size(first, last), with_extra = extra ? shared_size(first, extra) : size;
    if (with_extra < size) size = with_extra;
    return size >= certain.size + BETTER_PREFIX_BYTES ? (struct prefix){first->bytes, size, false} : certain;
}

static bool node_takes(const struct node *node, velocity_slice key) {
    return node_view(node).prefix_certain || slice_starts_with(key, velocity_bytes(node->prefix, node->prefix_size));
}

static void node_set_prefix(struct node *node, struct prefix prefix) {
    node->prefix = prefix.bytes;
    if (prefix.size && prefix.size <= INLINE_PREFIX_BYTES) {
        memcpy(node->inline_prefix, prefix.bytes, prefix.size);
        node->prefix = node->inline_prefix;
    }
    node->prefix_size = (uint16_t)prefix.size;
    STORE(node->version, prefix.certain ? VERSION_CERTAIN : 0);
}

/* A new node with the positions [from, to) of `source`, not yet published. */
static struct node *node_copy(memtable *table, const struct node *source, unsigned from, unsigned to,
                              struct prefix prefix) {
    struct node *copy = node_new(table, source->level);
    node_set_prefix(copy, prefix);
    for (unsigned i = from; i < to; i++) {
        slot_store(copy, i - from, node_item(source, i));
        STORE(copy->order[0].slots[i - from], (uint8_t)(i - from));
    }
    unsigned count = to - from;
    STORE(copy->used[0], count == SLOTS ? UINT64_MAX : (UINT64_C(1) << count) - 1);
    STORE(copy->version, LOAD(copy->version) + count);
    return copy;
}

/* Another version, with the same order and slots. */
static void node_touch(struct node *node) {
    STORE(node->version, LOAD(node->version) + 2 * VERSION_REVISION);
}

/* Lets `copy` take the place of the node at `level`. Both touches, in this order, are for invariant 3. */
static void replace_node(memtable *table, struct path *path, struct node *copy) {
    unsigned level = copy->level;
    if (level + 1 == table->height) {
        STORE(table->root, copy);
    } else {
        struct node *parent = path->nodes[level + 1];
        struct view view = node_view(parent);
        STORE(parent->children[view_slot(&view, path->positions[level + 1])], copy);
        if (level) node_touch(parent);
    }
    if (level) node_touch(path->nodes[level]);
    if (table->last_leaf == path->nodes[level]) table->last_leaf = copy;
    path->nodes[level] = copy;
}

/* The node at `level` gets a prefix that `key` has too. */
static void shorten_prefix(memtable *table, struct path *path, unsigned level, const struct record *record) {
    struct node *node = path->nodes[level];
    velocity_slice key = record_key(record), prefix = velocity_bytes(node->prefix, node->prefix_size);
    struct prefix certain =
        certain_prefix(separator_before(path, level, table->height), separator_after(path, level, table->height));
    struct prefix shorter = {node->prefix, slice_shared_prefix(key, prefix), false};
    if (node->copies + 1 >= LONGEST_PREFIX_COPIES || shorter.size < certain.size + BETTER_PREFIX_BYTES)
        shorter = certain;
    struct node *copy = node_copy(table, node, 0, node_view(node).count, shorter);
    copy->copies = node->copies + 1;
    copy->last_position = node->last_position;
    replace_node(table, path, copy);
}

/* ---- inserting ------------------------------------------------------------------------------------------------- */

static void insert_at(memtable *table, struct path *path, unsigned level, unsigned position, struct item item);

/* A root above the old one, with it and `right` below. `prefix` of the keys in both. */
static void grow(memtable *table, struct path *path, struct item right, struct prefix prefix) {
    unsigned level = table->height;
    struct node *root = node_new(table, level);
    node_set_prefix(root, prefix);
    slot_store(root, 0, (struct item){&lowest, path->nodes[level - 1]});
    slot_store(root, 1, right);
    STORE(root->order[0].slots[1], 1);
    STORE(root->used[0], 3);
    STORE(root->version, LOAD(root->version) + 2);
    path->nodes[level] = root;
    path->positions[level] = 0;
    table->height++;
    STORE(table->root, root);
}

/* Where a full node is split for an item at `position`: the first position of the new right node; SLOTS: it gets the
 * item alone. */
static unsigned split_position(const struct node *node, unsigned position) {
    if (position == SLOTS && node->last_position == SLOTS - 1) return SLOTS;
    unsigned front = node->level ? 1 : 0;
    if (position == front && node->last_position == front) return 1;
    return SLOTS / 2;
}

/* The full node at `level` is split (invariant 2 at the head), and `item` put into the proper half. */
static void split_and_insert(memtable *table, struct path *path, unsigned level, unsigned position, struct item item) {
    struct node *node = path->nodes[level];
    unsigned split = split_position(node, position), front = level ? 1 : 0;
    bool to_right = position > split || split == SLOTS;
    const struct record *before = separator_before(path, level, table->height);
    const struct record *after = separator_after(path, level, table->height);
    const struct record *first = node_item(node, front).record, *last = node_item(node, SLOTS - 1).record;
    const struct record *separator = split == SLOTS ? item.record : node_item(node, split).record;
    const struct record *right_first = split == SLOTS ? first : node_item(node, split + front).record;

    struct node *right =
        node_copy(table, node, split, SLOTS,
                  better_prefix(certain_prefix(separator, after), right_first, last, to_right ? item.record : NULL));
    right->copies = split == SLOTS ? 0 : LONGEST_PREFIX_COPIES - 1;
    if (to_right) node_add(right, position - split, item);
    if (table->last_leaf == node) table->last_leaf = right;

    struct item link = {separator, right};
    if (level + 1 == table->height) {
        grow(table, path, link, better_prefix(certain_prefix(NULL, NULL), first, last, item.record));
    } else {
        insert_at(table, path, level + 1, path->positions[level + 1] + 1, link);
    }
    struct prefix certain = certain_prefix(before, separator), prefix = certain;
    if (split == SLOTS / 2) {
        const struct record *left_last = node_item(node, split - 1).record;
        prefix = better_prefix(certain, first, left_last, to_right ? NULL : item.record);
    }
    if (split < SLOTS && prefix.size >= (size_t)node->prefix_size + BETTER_PREFIX_BYTES) {
        replace_node(table, path, node_copy(table, node, 0, split, prefix));
        path->nodes[level]->copies = LONGEST_PREFIX_COPIES - 1;
    } else {
        node_cut(node, split, certain);
    }
    if (split == SLOTS) return;
    if (!to_right) {
        node_add(path->nodes[level], position, item);
    } else if (level) { /* the child that was split is in the right half, too */
        path->nodes[level] = right;
        path->positions[level] -= split;
    }
}

static void insert_at(memtable *table, struct path *path, unsigned level, unsigned position, struct item item) {
    if (!node_takes(path->nodes[level], record_key(item.record))) shorten_prefix(table, path, level, item.record);
    struct node *node = path->nodes[level];
    if (node_view(node).count < SLOTS) {
        node_add(node, position, item);
    } else {
        split_and_insert(table, path, level, position, item);
    }
}

static struct record *record_new(memtable *table, const struct entry *entry) {
    struct record *record = arena_take(&table->records, sizeof *record + entry->key.size + entry->value.size);
    record->older = NULL;
    atomic_init(&record->newer, NULL);
    record->sequence = entry->sequence;
    record->expires_at_ms = entry->expires_at_ms;
    record->value_size = (uint32_t)entry->value.size;
    record->flags = entry->flags;
    record->key_size = (uint16_t)entry->key.size;
    record->kind = entry->kind;
    memcpy(record->bytes, entry->key.data, entry->key.size);
    if (entry->value.size) memcpy(record->bytes + entry->key.size, entry->value.data, entry->value.size);
    return record;
}

/* A key greater than all: straight to the end of the last leaf, if it goes there as it is. */
static bool append(memtable *table, const struct record *record) {
    struct node *leaf = table->last_leaf;
    unsigned count = node_view(leaf).count;
    if (count == SLOTS || !node_takes(leaf, record_key(record))) return false;
    node_add(leaf, count, (struct item){record, NULL});
    return true;
}

static void insert_anywhere(memtable *table, struct record *record) {
    velocity_slice key = record_key(record);
    struct path path;
    struct node *node = LOAD(table->root);
    for (unsigned level = table->height - 1;; level--) {
        path.nodes[level] = node;
        if (level == 0) break;
        struct view view = node_view(node);
        path.positions[level] = node_child_position(node, &view, key, false);
        node = LOAD(node->children[view_slot(&view, path.positions[level])]);
        node_prefetch(node);
    }
    struct view view = node_view(node);
    struct place place = node_search(node, &view, key);
    if (!place.found) {
        insert_at(table, &path, 0, place.position, (struct item){record, NULL});
        return;
    }
    unsigned slot = view_slot(&view, place.position);
    struct record *older = (struct record *)LOAD(node->records[slot]);
    record->older = older;
    STORE(older->newer, record);
    STORE(node->records[slot], record);
}

void memtable_insert(memtable *table, const struct entry *entry) {
    struct record *record = record_new(table, entry);
    bool greatest = !table->greatest || slice_compare(entry->key, record_key(table->greatest)) > 0;
    if (greatest) table->greatest = record;
    if (!greatest || !append(table, record)) insert_anywhere(table, record);
    size_t entries = atomic_load_explicit(&table->entries, memory_order_relaxed);
    atomic_store_explicit(&table->entries, entries + 1, memory_order_relaxed);
    if (entry->kind == ENTRY_DELETE) {
        size_t deletes = atomic_load_explicit(&table->deletes, memory_order_relaxed);
        atomic_store_explicit(&table->deletes, deletes + 1, memory_order_relaxed);
    }
    atomic_store_explicit(&table->bytes, table->nodes.used_bytes + table->records.used_bytes, memory_order_relaxed);
}

/* ---- memory ---------------------------------------------------------------------------------------------------- */

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/*
 * What `entries` inserts may take in nodes. One insert takes at most three nodes a level (a copy with a shorter prefix,
 * a right half, a left half) and a root. Many take less: a node that is there may be copied LONGEST_PREFIX_COPIES times
 * and split once into two that may be copied once; after that 32 inserts make two splits at most (head of this file),
 * one in the middle (two nodes, each copied once) and one at the end (one node, copied LONGEST_PREFIX_COPIES times).
 */
static size_t node_bytes_for(const memtable *table, size_t entries) {
    size_t there = LONGEST_PREFIX_COPIES + 4, splits = least(entries, table->leaf_count + entries / 16 + 1);
    size_t leaves = least(3 * entries, there * table->leaf_count + entries / 3 + there);
    size_t inner = least(3 * splits * table->height, there * table->inner_count + splits / 2 + MAX_HEIGHT);
    return leaves * LEAF_BYTES + inner * INNER_BYTES;
}

velocity_status memtable_reserve(memtable *table, size_t entries, size_t bytes) {
    size_t record_bytes = bytes + entries * arena_piece_bytes(&table->records, sizeof(struct record) + sizeof(void *));
    velocity_status status = arena_reserve(&table->records, record_bytes);
    return status == VELOCITY_OK ? arena_reserve(&table->nodes, node_bytes_for(table, entries)) : status;
}

memtable *memtable_new(void) {
    return memtable_new_pooled(NULL);
}

memtable *memtable_new_pooled(chunk_pool *pool) {
    memtable *table = env_alloc_zeroed(sizeof *table);
    if (!table) return NULL;
    arena_init(&table->nodes, 64, pool);
    arena_init(&table->records, sizeof(void *), pool);
    if (arena_reserve(&table->nodes, LEAF_BYTES) != VELOCITY_OK) {
        env_free(table);
        return NULL;
    }
    table->last_leaf = node_new(table, 0);
    table->height = 1;
    atomic_init(&table->root, table->last_leaf);
    atomic_init(&table->bytes, table->nodes.used_bytes);
    return table;
}

void memtable_free(memtable *table) {
    if (!table) return;
    arena_free(&table->nodes);
    arena_free(&table->records);
    env_free(table);
}

size_t memtable_bytes(const memtable *table) {
    return atomic_load_explicit(&table->bytes, memory_order_relaxed);
}

size_t memtable_held_bytes(const memtable *table) {
    return table->nodes.held_bytes + table->records.held_bytes;
}

size_t memtable_entries(const memtable *table) {
    return atomic_load_explicit(&table->entries, memory_order_relaxed);
}

size_t memtable_deletes(const memtable *table) {
    return atomic_load_explicit(&table->deletes, memory_order_relaxed);
}

/* ---- reading --------------------------------------------------------------------------------------------------- */

enum direction { TO_KEY, BELOW_KEY, TO_FIRST, TO_LAST };

static unsigned child_position(const struct node *node, const struct view *view, velocity_slice key,
                               enum direction direction) {
    if (direction == TO_FIRST) return 0;
    if (direction == TO_LAST) return view->count - 1;
    return node_child_position(node, view, key, direction == BELOW_KEY);
}

/*
 * One attempt; false: the inserter changed a node on the way (invariant 3). `beyond` costs a line more at each level,
 * which a cursor needs and a get does not.
 */
static inline bool try_descend(const memtable *table, velocity_slice key, enum direction direction, bool want_beyond,
                               struct descent *out) {
    const struct node *node = LOAD(table->root);
    struct view view = node_view(node);
    const struct record *beyond = NULL;
    if (LOAD(table->root) != node) return false;
    while (node->level) {
        unsigned position = child_position(node, &view, key, direction);
        const struct node *child = LOAD(node->children[view_slot(&view, position)]);
        node_prefetch(child);
        if (want_beyond && position + 1 < view.count) beyond = view_record(node, &view, position + 1);
        struct view child_view = node_view(child);
        if (!view_holds(node, &view)) return false;
        node = child;
        view = child_view;
    }
    *out = (struct descent){node, view, beyond};
    return true;
}

static inline struct descent descend(const memtable *table, velocity_slice key, enum direction direction,
                                     bool want_beyond) {
    struct descent descent;
    while (!try_descend(table, key, direction, want_beyond, &descent)) {
    }
    return descent;
}

struct descent memtable_descend(const memtable *table, velocity_slice key, bool below) {
    return descend(table, key, below ? BELOW_KEY : TO_KEY, true);
}

struct descent memtable_descend_edge(const memtable *table, bool last) {
    return descend(table, velocity_bytes(NULL, 0), last ? TO_LAST : TO_FIRST, true);
}

void record_entry(const struct record *record, struct entry *out) {
    *out = (struct entry){
        .key = record_key(record),
        .value = velocity_bytes(record->bytes + record->key_size, record->value_size),
        .sequence = record->sequence,
        .expires_at_ms = record->expires_at_ms,
        .flags = record->flags,
        .kind = record->kind,
    };
}

/* The newest version of `key`, NULL: none. */
static const struct record *newest(const memtable *table, velocity_slice key) {
    for (;;) {
        struct descent at = descend(table, key, TO_KEY, false);
        struct place place = node_search(at.leaf, &at.view, key);
        const struct record *record = place.found ? view_record(at.leaf, &at.view, place.position) : NULL;
        if (view_holds(at.leaf, &at.view)) return record;
    }
}

bool memtable_get(const memtable *table, velocity_slice key, uint64_t sequence, struct entry *out) {
    const struct record *record = newest(table, key);
    while (record && record->sequence > sequence) record = record->older;
    if (record) record_entry(record, out);
    return record != NULL;
}
