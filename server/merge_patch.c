/*
 * merge_patch.c - see merge_patch.h.
 *
 * The patch becomes a tree: each of its objects is a node, each member an entry of one, and one hash table finds an
 * entry by node and name.
 *
 *     {"a":{"b":1,"c":null},"d":2}          node 0: a, d          node 1 (of a): b, c
 *
 * Then the document is walked twice, going only into those objects that the patch goes into, too: first to learn of
 * each entry which member of its name is the last one, then to write. The second walk takes only the last ones, so it
 * comes to each node at most once, and what it did not meet there is appended.
 */
#include "server/merge_patch.h"

#include "server/seeded_hash.h"

#include <stdlib.h>

#define NONE          UINT32_MAX
#define FIRST_ENTRIES 32u /* then doubled, as the slots, of which there are twice as many */

struct entry {
    velocity_slice text;  /* the name between its quotes, as the patch has it */
    velocity_slice name;  /* its bytes, in `text` or `names` */
    velocity_slice value; /* raw; empty where it is an object */
    uint32_t hash;        /* of node and name */
    uint32_t node;        /* whose member it is */
    uint32_t next;        /* in its node, in the order of the patch; or NONE */
    uint32_t child;       /* its value's node; NONE: the value is no object */
    const void *last;     /* where the document's last member of this name stands; NULL: nowhere */
    bool remove;          /* the value is null */
    bool met;             /* the second walk met it */
};

struct node {
    uint32_t first, last; /* entries, or NONE */
};

struct merge {
    struct entry *entries;
    uint32_t entry_count, entry_capacity;
    struct node *nodes;
    uint32_t node_count, node_capacity;
    uint32_t *slots; /* entry + 1, by hash; 0: empty. Open addressing, twice entry_capacity */
    char *names;     /* bytes of the patch's names that have escapes */
    size_t names_used, names_capacity;
    char *name; /* of the document, while it is looked up */
    size_t name_capacity;
    uint64_t seed;
    bool no_memory;
    struct json_reader reader;
    struct json_writer *out;
};

static void merge_free(struct merge *m) {
    free(m->entries);
    free(m->nodes);
    free(m->slots);
    free(m->names);
    free(m->name);
}

/* ---- entries ---------------------------------------------------------------------------------------------------- */

static uint32_t hash_of(const struct merge *m, uint32_t node, velocity_slice name) {
    return (uint32_t)(seeded_hash(m->seed ^ node, name) >> 16);
}

/* Where the entry stands, or would. */
static uint32_t *slot_of(const struct merge *m, uint32_t node, velocity_slice name, uint32_t hash) {
    uint32_t mask = 2 * m->entry_capacity - 1;
    for (uint32_t at = hash & mask;; at = (at + 1) & mask) {
        uint32_t *slot = &m->slots[at];
        if (!*slot) return slot;
        const struct entry *entry = &m->entries[*slot - 1];
        if (entry->hash == hash && entry->node == node && entry->name.size == name.size &&
            (name.size == 0 || memcmp(entry->name.data, name.data, name.size) == 0))
            return slot;
    }
}

/* Room for one more. */
static bool grow_entries(struct merge *m) {
    if (m->entry_count < m->entry_capacity) return true;
    uint32_t capacity = m->entry_capacity ? 2 * m->entry_capacity : FIRST_ENTRIES;
    struct entry *entries = realloc(m->entries, capacity * sizeof *entries);
    if (!entries) return false;
    m->entries = entries;
    uint32_t *slots = calloc(2 * (size_t)capacity, sizeof *slots);
    if (!slots) return false;
    free(m->slots);
    m->slots = slots;
    m->entry_capacity = capacity;
    for (uint32_t i = 0; i < m->entry_count; i++)
        *slot_of(m, entries[i].node, entries[i].name, entries[i].hash) = i + 1;
    return true;
}

/* NONE: no memory. */
static uint32_t new_node(struct merge *m) {
    if (m->node_count == m->node_capacity) {
        uint32_t capacity = m->node_capacity ? 2 * m->node_capacity : FIRST_ENTRIES;
        struct node *nodes = realloc(m->nodes, capacity * sizeof *nodes);
        if (!nodes) return NONE;
        m->nodes = nodes;
        m->node_capacity = capacity;
    }
    m->nodes[m->node_count] = (struct node){NONE, NONE};
    return m->node_count++;
}

/* The bytes of a name of the patch, kept. `names` never moves: all of them together are shorter than the patch. */
static velocity_slice keep_name(struct merge *m, velocity_slice text) {
    velocity_slice name = json_name_bytes(text, m->names + m->names_used);
    if (!json_name_is_plain(text)) m->names_used += name.size;
    return name;
}

/* The node's entry of this name, a new one where there is none. NULL: no memory. */
static struct entry *add_entry(struct merge *m, uint32_t node, velocity_slice text) {
    if (!grow_entries(m)) return NULL;
    velocity_slice name = keep_name(m, text);
    uint32_t hash = hash_of(m, node, name), *slot = slot_of(m, node, name, hash);
    if (*slot) return &m->entries[*slot - 1];
    uint32_t index = m->entry_count++;
    *slot = index + 1;
    m->entries[index] = (struct entry){.text = text, .name = name, .hash = hash, .node = node, .next = NONE};
    struct node *owner = &m->nodes[node];
    if (owner->last == NONE)
        owner->first = index;
    else
        m->entries[owner->last].next = index;
    owner->last = index;
    return &m->entries[index];
}

/* The entry for a member of the document. NULL: the patch does not name it. */
static struct entry *find_entry(struct merge *m, uint32_t node, velocity_slice text) {
    velocity_slice name = text;
    if (!json_name_is_plain(text)) {
        if (text.size > m->name_capacity) {
            char *buffer = realloc(m->name, 2 * text.size);
            if (!buffer) {
                m->no_memory = true;
                return NULL;
            }
            m->name = buffer;
            m->name_capacity = 2 * text.size;
        }
        name = json_name_bytes(text, m->name);
    }
    uint32_t slot = *slot_of(m, node, name, hash_of(m, node, name));
    return slot ? &m->entries[slot - 1] : NULL;
}

/* ---- the patch -------------------------------------------------------------------------------------------------- */

/* Notes the member on whose value the reader stands, and passes over it or goes into it. *child: its node, or NONE. */
static enum merge_result plan_member(struct merge *m, uint32_t node, velocity_slice text, enum json_type type,
                                     uint32_t *child) {
    struct json_value value = {0};
    *child = NONE;
    if (m->entry_count == MERGE_PATCH_MAX_MEMBERS) return MERGE_TOO_LARGE;
    struct entry *entry = add_entry(m, node, text);
    if (!entry) return MERGE_NO_MEMORY;
    if (type == JSON_OBJECT) {
        *child = new_node(m);
        if (*child == NONE) return MERGE_NO_MEMORY;
        json_enter(&m->reader);
    } else {
        json_pass(&m->reader, &value);
    }
    entry->remove = type == JSON_NULL;
    entry->value = value.raw;
    entry->child = *child;
    return MERGE_OK;
}

/* Nodes and entries of the patch, which is an object. Node 0 is its own. */
static enum merge_result plan(struct merge *m, struct json_value patch) {
    uint32_t path[JSON_MAX_DEPTH], depth = 0, node = new_node(m), child;
    velocity_slice text;
    enum json_type type;
    m->names = malloc(patch.raw.size);
    if (node == NONE || !m->names || !grow_entries(m)) return MERGE_NO_MEMORY;
    json_read(&m->reader, patch);
    for (;;) {
        if (!json_next_name(&m->reader, &text, &type)) {
            if (depth == 0) return MERGE_OK;
            json_leave(&m->reader);
            node = path[--depth];
            continue;
        }
        enum merge_result result = plan_member(m, node, text, type, &child);
        if (result != MERGE_OK) return result;
        if (child == NONE) continue;
        path[depth++] = node;
        node = child;
    }
}

/* ---- the document ----------------------------------------------------------------------------------------------- */

static bool is_empty(const struct merge *m, uint32_t node) {
    return m->nodes[node].first == NONE;
}

/* Is a value of this type gone into, for what the entry changes in it? */
static bool goes_into(const struct merge *m, const struct entry *entry, enum json_type type) {
    return entry && entry->child != NONE && type == JSON_OBJECT && !is_empty(m, entry->child);
}

/* The first walk. */
static void find_last(struct merge *m, struct json_value document) {
    uint32_t path[JSON_MAX_DEPTH], depth = 0, node = 0;
    struct json_value passed;
    velocity_slice text;
    enum json_type type;
    json_read(&m->reader, document);
    for (;;) {
        if (!json_next_name(&m->reader, &text, &type)) {
            if (depth == 0) return;
            json_leave(&m->reader);
            node = path[--depth];
            continue;
        }
        struct entry *entry = find_entry(m, node, text);
        if (entry) entry->last = text.data;
        if (!goes_into(m, entry, type)) {
            json_pass(&m->reader, &passed);
            continue;
        }
        json_enter(&m->reader);
        path[depth++] = node;
        node = entry->child;
    }
}

/* An object that is being written. */
struct frame {
    uint32_t node;
    uint32_t next; /* entry to append */
    bool reads;    /* members of the document are still to come */
    bool any;      /* it has a member */
};

enum step { STEP_ON, STEP_INTO, STEP_INTO_BOTH, STEP_END };

static void write_name(struct json_writer *out, struct frame *frame, velocity_slice text) {
    if (frame->any) json_append(out, ",", 1);
    frame->any = true;
    json_append(out, "\"", 1);
    json_append(out, text.data, text.size);
    json_append(out, "\":", 2);
}

/* The next member of the document. INTO: *child is to be written next, from the patch alone or from both. */
static enum step write_from_document(struct merge *m, struct frame *frame, bool is_root, uint32_t *child) {
    struct json_value value;
    velocity_slice text;
    enum json_type type;
    if (!json_next_name(&m->reader, &text, &type)) {
        frame->reads = false;
        if (!is_root) json_leave(&m->reader);
        return STEP_ON;
    }
    struct entry *entry = find_entry(m, frame->node, text);
    if (entry && (entry->remove || entry->last != text.data)) {
        json_pass(&m->reader, &value);
        return STEP_ON;
    }
    write_name(m->out, frame, text);
    if (entry) {
        entry->met = true;
        *child = entry->child;
    }
    if (goes_into(m, entry, type)) {
        json_enter(&m->reader);
        return STEP_INTO_BOTH;
    }
    json_pass(&m->reader, &value);
    if (!entry || (entry->child != NONE && type == JSON_OBJECT)) /* {} changes nothing in an object */
        json_append(m->out, value.raw.data, value.raw.size);
    else if (entry->child != NONE)
        return STEP_INTO;
    else
        json_append(m->out, entry->value.data, entry->value.size);
    return STEP_ON;
}

/* The next entry that the document has no member for. */
static enum step write_from_patch(struct merge *m, struct frame *frame, uint32_t *child) {
    if (frame->next == NONE) return STEP_END;
    const struct entry *entry = &m->entries[frame->next];
    frame->next = entry->next;
    if (entry->met || entry->remove) return STEP_ON;
    write_name(m->out, frame, entry->text);
    *child = entry->child;
    if (entry->child != NONE) return STEP_INTO;
    json_append(m->out, entry->value.data, entry->value.size);
    return STEP_ON;
}

/* The second walk; `reads`: the document is an object. */
static void write_merged(struct merge *m, struct json_value document, bool reads) {
    struct frame frames[JSON_MAX_DEPTH];
    uint32_t depth = 0, child = 0;
    enum step step = reads ? STEP_INTO_BOTH : STEP_INTO;
    json_read(&m->reader, document);
    while (!m->out->failed) {
        if (step == STEP_INTO || step == STEP_INTO_BOTH) {
            frames[depth++] =
                (struct frame){.node = child, .next = m->nodes[child].first, .reads = step == STEP_INTO_BOTH};
            json_append(m->out, "{", 1);
        } else if (step == STEP_END) {
            json_append(m->out, "}", 1);
            if (--depth == 0) return;
        }
        struct frame *frame = &frames[depth - 1];
        step = frame->reads ? write_from_document(m, frame, depth == 1, &child) : write_from_patch(m, frame, &child);
    }
}

static enum merge_result merge_object(struct merge *m, struct json_value document, struct json_value patch) {
    bool reads = document.type == JSON_OBJECT;
    enum merge_result result = plan(m, patch);
    if (result != MERGE_OK) return result;
    if (reads && is_empty(m, 0)) {
        json_append(m->out, document.raw.data, document.raw.size);
        return MERGE_OK;
    }
    if (reads) find_last(m, document);
    if (!m->no_memory) write_merged(m, document, reads);
    return m->no_memory ? MERGE_NO_MEMORY : MERGE_OK;
}

enum merge_result merge_patch(struct json_value document, struct json_value patch, uint64_t seed,
                              struct json_writer *out) {
    struct merge m = {.seed = seed, .out = out};
    enum merge_result result = MERGE_OK;
    size_t most = out->size + document.raw.size + patch.raw.size;
    if (patch.type == JSON_OBJECT)
        result = merge_object(&m, document, patch);
    else
        json_append(out, patch.raw.data, patch.raw.size);
    merge_free(&m);
    if (result == MERGE_OK && out->failed)
        return out->limit_bytes && most > out->limit_bytes ? MERGE_TOO_LARGE : MERGE_NO_MEMORY;
    return result;
}
