/* model.c - what a database should hold. See model.h. */
#include "model.h"
#include "engine/slice.h"

#include <stdio.h>
#include <stdlib.h>

enum { POOL_BYTES = 1 << 18 };

static void *must(void *block) {
    if (block) return block;
    fprintf(stderr, "model: out of memory\n");
    abort();
}

uint64_t model_random(struct model *m, uint64_t limit) {
    uint64_t z = m->random += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % limit;
}

uint64_t model_hash(velocity_slice bytes) {
    const uint8_t *p = bytes.data;
    uint64_t hash = bytes.size;
    for (size_t i = 0; i < bytes.size; i += 8) {
        uint64_t word = 0;
        memcpy(&word, p + i, bytes.size - i < 8 ? bytes.size - i : 8);
        hash = (hash ^ word) * UINT64_C(0x9fb21c651e98df25);
        hash ^= hash >> 29;
    }
    return hash;
}

/* ---- keys ------------------------------------------------------------------------------------------------------- */

static size_t fill_random(struct model *m, uint8_t *to, size_t size, unsigned values) {
    for (size_t i = 0; i < size; i++) {
        unsigned byte = (unsigned)model_random(m, values);
        to[i] = (uint8_t)(values == 256 ? byte : byte == 0 ? 0x00 : byte == 1 ? 0xff : 'a' + byte);
    }
    return size;
}

/* Keys as people make them, and as nobody would: NULs, 0xff, prefixes of one another, very long ones. */
static size_t random_key(struct model *m, uint8_t *to, size_t capacity) {
    size_t n;
    switch (model_random(m, 8)) {
    case 0: return fill_random(m, to, 1 + model_random(m, 20), 256);
    case 1: return fill_random(m, to, 1 + model_random(m, 4), 3);
    case 2:
        memset(to, 'p', 150);
        return 150 + (size_t)snprintf((char *)to + 150, capacity - 150, "%05u", (unsigned)model_random(m, 3000));
    case 3:
        n = model_random(m, 20) ? 300 : 5000;
        memset(to, 'q', n);
        return n + fill_random(m, to + n, 1 + model_random(m, 8), 4);
    default: return (size_t)snprintf((char *)to, capacity, "user:%06u", (unsigned)model_random(m, 100000));
    }
}

static int by_bytes(const void *a, const void *b) {
    return slice_compare(((const struct model_key *)a)->bytes, ((const struct model_key *)b)->bytes);
}

static void make_keys(struct model *m, size_t count) {
    uint8_t bytes[6000];
    m->keys = must(calloc(count, sizeof *m->keys));
    for (size_t i = 0; i < count; i++) {
        size_t size = random_key(m, bytes, sizeof bytes);
        void *copy = must(malloc(size));
        memcpy(copy, bytes, size);
        m->keys[i].bytes = velocity_bytes(copy, size);
    }
    qsort(m->keys, count, sizeof *m->keys, by_bytes);
    for (size_t i = 0; i < count; i++) {
        if (m->key_count && slice_equal(m->keys[m->key_count - 1].bytes, m->keys[i].bytes))
            free((void *)(uintptr_t)m->keys[i].bytes.data);
        else
            m->keys[m->key_count++].bytes = m->keys[i].bytes;
    }
}

void model_prefix_keys(struct model *m, char letter) {
    for (size_t i = 0; i < m->key_count; i++) {
        velocity_slice old = m->keys[i].bytes;
        char *longer = must(malloc(old.size + 1));
        longer[0] = letter;
        memcpy(longer + 1, old.data, old.size);
        free((void *)(uintptr_t)old.data);
        m->keys[i].bytes = velocity_bytes(longer, old.size + 1);
    }
}

struct model *model_new(uint64_t seed, size_t key_count) {
    struct model *m = must(calloc(1, sizeof *m));
    m->random = seed;
    m->pool = must(malloc(POOL_BYTES));
    for (size_t i = 0; i < POOL_BYTES;) { /* stretches of noise and of text in turn */
        size_t stretch = 1 + model_random(m, 200);
        bool noise = model_random(m, 2) == 0;
        for (; stretch > 0 && i < POOL_BYTES; stretch--, i++)
            m->pool[i] = noise ? (uint8_t)model_random(m, 256) : (uint8_t) "velocity "[i % 9];
    }
    make_keys(m, key_count);
    return m;
}

void model_free(struct model *m) {
    if (!m) return;
    for (size_t i = 0; i < m->key_count; i++) {
        free((void *)(uintptr_t)m->keys[i].bytes.data);
        free(m->keys[i].versions);
    }
    free(m->keys);
    free(m->boundaries);
    free(m->changes);
    free(m->pool);
    free(m);
}

/* ---- versions --------------------------------------------------------------------------------------------------- */

static size_t random_value_size(struct model *m) {
    uint64_t sort = model_random(m, 1000);
    if (sort < 50) return 0;
    if (sort < 780) return 1 + model_random(m, 120);
    if (sort < 970) return model_random(m, 1000);
    if (sort < 997) return model_random(m, 8000);
    return model_random(m, MODEL_MAX_VALUE_BYTES);
}

/* Mostly a few keys, sometimes many; never none. */
static void make_range(struct model *m, struct model_operation *op) {
    size_t most = model_random(m, 12) ? 12 : m->key_count;
    if (op->key + 1 == m->key_count) op->key--;
    op->end = op->key + 1 + model_random(m, most);
    if (op->end >= m->key_count) op->end = m->key_count - 1;
}

struct model_operation model_random_operation(struct model *m) {
    struct model_operation op = {.key = model_random(m, m->key_count), .is_delete = model_random(m, 4) == 0};
    /* Some keys are written far more often than others. */
    if (model_random(m, 4) == 0) op.key = op.key % 16 * (m->key_count / 16);
    if (op.is_delete && model_random(m, 3) == 0) make_range(m, &op);
    if (op.is_delete) return op;
    size_t size = random_value_size(m);
    op.value = velocity_bytes(m->pool + model_random(m, POOL_BYTES - size), size);
    op.flags = model_random(m, 3) ? 0 : (uint32_t)model_random(m, UINT64_C(1) << 32);
    if (model_random(m, 3) == 0) op.expires_at_ms = (m->day + (long)model_random(m, 6)) * MODEL_DAY_MS;
    return op;
}

static void add_version(struct model_key *key, struct model_version version) {
    if (key->count == key->capacity) {
        key->capacity = key->capacity ? key->capacity * 2 : 4;
        key->versions = must(realloc(key->versions, key->capacity * sizeof *key->versions));
    }
    key->versions[key->count++] = version;
}

static void add_change(struct model *m, struct model_change change) {
    if (m->change_count == m->change_capacity) {
        m->change_capacity = m->change_capacity ? m->change_capacity * 2 : 256;
        m->changes = must(realloc(m->changes, m->change_capacity * sizeof *m->changes));
    }
    m->changes[m->change_count++] = change;
}

size_t model_changes_up_to(const struct model *m, uint64_t sequence) {
    size_t low = 0, high = m->change_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (m->changes[middle].version.sequence <= sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void model_apply(struct model *m, const struct model_operation *operations, size_t count, uint64_t last) {
    while (m->change_count && m->changes[m->change_count - 1].version.sequence > last - count) {
        if (!m->changes[m->change_count - 1].doubtful) abort();
        m->change_count--; /* its sequence was given anew */
    }
    for (size_t i = 0; i < count; i++) {
        const struct model_operation *op = &operations[i];
        struct model_version version = {.sequence = last - count + 1 + i,
                                        .hash = model_hash(op->value),
                                        .size = (uint32_t)op->value.size,
                                        .flags = op->flags,
                                        .expires_at_ms = op->expires_at_ms,
                                        .deleted = op->is_delete};
        for (size_t key = op->key; key == op->key || key < op->end; key++) add_version(&m->keys[key], version);
        add_change(m, (struct model_change){op->key, op->end, version, .ends_batch = i + 1 == count});
    }
    if (m->boundary_count == m->boundary_capacity) {
        m->boundary_capacity = m->boundary_capacity ? m->boundary_capacity * 2 : 64;
        m->boundaries = must(realloc(m->boundaries, m->boundary_capacity * sizeof *m->boundaries));
    }
    m->boundaries[m->boundary_count++] = last;
    m->last = last;
}

const struct model_version *model_find_on(const struct model *m, size_t key, uint64_t sequence, long day) {
    const struct model_key *k = &m->keys[key];
    size_t i = k->count;
    while (i > 0 && k->versions[i - 1].sequence > sequence) i--;
    if (i == 0 || k->versions[i - 1].deleted) return NULL;
    int64_t expires_at_ms = k->versions[i - 1].expires_at_ms;
    return expires_at_ms && day * MODEL_DAY_MS >= expires_at_ms ? NULL : &k->versions[i - 1];
}

const struct model_version *model_find(const struct model *m, size_t key, uint64_t sequence) {
    return model_find_on(m, key, sequence, m->day);
}

void model_cut(struct model *m, uint64_t sequence) {
    for (size_t i = 0; i < m->key_count; i++) {
        struct model_key *key = &m->keys[i];
        while (key->count && key->versions[key->count - 1].sequence > sequence) key->count--;
    }
    for (size_t i = model_changes_up_to(m, sequence); i < m->change_count; i++) m->changes[i].doubtful = true;
    while (m->boundary_count && m->boundaries[m->boundary_count - 1] > sequence) m->boundary_count--;
}

long model_next_on(const struct model *m, long from, int step, long low, long high, uint64_t sequence, long day) {
    for (long i = from; i >= low && i < high; i += step)
        if (model_find_on(m, (size_t)i, sequence, day)) return i;
    return -1;
}

long model_next(const struct model *m, long from, int step, long low, long high, uint64_t sequence) {
    return model_next_on(m, from, step, low, high, sequence, m->day);
}
