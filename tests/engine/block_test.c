/*
 * block_test.c - blocks against what was put into them: every shape of keys, every place to seek, and bytes that are no
 * block at all.
 */
#include "engine/block.h"
#include "engine/slice.h"
#include "testing.h"

enum { ENTRIES_MAX = 2000 };

/* The entries of a block under test, in order. */
struct contents {
    struct entry entries[ENTRIES_MAX];
    size_t count;
    uint8_t *bytes; /* of keys and values */
    size_t used, capacity;
};

static struct contents *contents_new(size_t bytes) {
    struct contents *c = calloc(1, sizeof *c);
    c->bytes = malloc(bytes);
    c->capacity = bytes;
    return c;
}

static void contents_free(struct contents *c) {
    free(c->bytes);
    free(c);
}

static velocity_slice keep(struct contents *c, const void *data, size_t size) {
    assert_true(c->used + size <= c->capacity);
    uint8_t *to = c->bytes + c->used;
    if (size) memcpy(to, data, size);
    c->used += size;
    return velocity_bytes(to, size);
}

static void add(struct contents *c, const void *key, size_t key_bytes, const void *value, size_t value_bytes,
                uint64_t sequence) {
    struct entry *e = &c->entries[c->count++];
    *e = (struct entry){.key = keep(c, key, key_bytes), .sequence = sequence, .kind = ENTRY_PUT};
    e->value = keep(c, value, value_bytes);
}

static int in_order(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    int order = slice_compare(x->key, y->key);
    return order ? order : x->sequence > y->sequence ? -1 : x->sequence < y->sequence;
}

/* Reads entry i back and compares it in every field. */
static void expect_entry(const struct block *block, uint32_t i, const struct entry *wanted) {
    static uint8_t key[VELOCITY_MAX_KEY_BYTES + BLOCK_SUFFIX_SLACK];
    struct block_entry e;
    assert_true(block_entry_read(block, i, &e));
    memcpy(key, block->prefix, block->prefix_bytes);
    block_suffix_copy(block, i, &e, key + block->prefix_bytes);
    assert_true(slice_equal(velocity_bytes(key, block_key_bytes(block, &e)), wanted->key));
    assert_true(slice_equal(e.value, wanted->value));
    assert_int_equal(e.sequence, wanted->sequence);
    assert_int_equal(e.expires_at_ms, wanted->expires_at_ms);
    assert_int_equal(e.flags, wanted->flags);
    assert_int_equal(e.kind, wanted->kind);
    /* An exact lookup finds it too, among the versions of its key. */
    struct block_entry found;
    uint32_t at = 0;
    velocity_status status;
    while (!(status = block_find(block, wanted->key, &at, &found)) && at != i) at++;
    assert_int_equal(status, VELOCITY_OK);
    assert_int_equal(found.sequence, wanted->sequence);
}

static uint32_t expected_seek(const struct contents *c, velocity_slice key) {
    uint32_t i = 0;
    while (i < c->count && slice_compare(c->entries[i].key, key) < 0) i++;
    return i;
}

/* Seeks the key itself and what lies close to it on both sides. */
static void expect_seeks_around(const struct contents *c, const struct block *block, velocity_slice key) {
    static uint8_t near[VELOCITY_MAX_KEY_BYTES + 8];
    memcpy(near, key.data, key.size);
    memset(near + key.size, 0, 8);
    for (size_t longer = 0; longer <= 5; longer++) {
        velocity_slice k = velocity_bytes(near, key.size + longer);
        assert_int_equal(block_seek(block, k), expected_seek(c, k));
    }
    for (size_t shorter = 1; shorter <= 5 && shorter < key.size; shorter++) {
        velocity_slice k = velocity_bytes(near, key.size - shorter);
        assert_int_equal(block_seek(block, k), expected_seek(c, k));
    }
    for (int change = -1; change <= 1; change += 2) {
        near[key.size - 1] = (uint8_t)(((const uint8_t *)key.data)[key.size - 1] + change);
        velocity_slice k = velocity_bytes(near, key.size);
        assert_int_equal(block_seek(block, k), expected_seek(c, k));
    }
}

/* Sorts, drops repeated versions, builds, and compares everything. Answers the block's size. */
static size_t expect_round_trip(struct contents *c) {
    qsort(c->entries, c->count, sizeof *c->entries, in_order);
    size_t kept = 0;
    for (size_t i = 0; i < c->count; i++)
        if (i == 0 || in_order(&c->entries[kept - 1], &c->entries[i]) != 0) c->entries[kept++] = c->entries[i];
    c->count = kept;
    struct block_builder builder;
    block_builder_init(&builder);
    velocity_slice bytes;
    for (int round = 0; round < 2; round++) { /* a builder is used again */
        for (size_t i = 0; i < c->count; i++) OK(block_builder_add(&builder, &c->entries[i]));
        assert_true(slice_equal(block_builder_first_key(&builder), c->entries[0].key));
        assert_true(slice_equal(block_builder_last_key(&builder), c->entries[c->count - 1].key));
        OK(block_builder_finish(&builder, &bytes));
    }
    struct block block;
    assert_true(block_open(&block, bytes.data, bytes.size));
    assert_int_equal(block.count, c->count);
    size_t step = 1 + c->count / 300;
    for (size_t i = 0; i < c->count; i++) expect_entry(&block, (uint32_t)i, &c->entries[i]);
    for (size_t i = 0; i < c->count; i += step) expect_seeks_around(c, &block, c->entries[i].key);
    block_builder_free(&builder);
    return bytes.size;
}

/* ---- shapes ---------------------------------------------------------------------------------------------------------
 */

static void one_entry_with_an_empty_value_makes_a_block(void **state) {
    (void)state;
    struct contents *c = contents_new(100);
    add(c, "\0", 1, "", 0, 7);
    (void)expect_round_trip(c);
    contents_free(c);
}

static void keys_with_a_long_prefix_in_common_come_back(void **state) {
    (void)state;
    struct contents *c = contents_new(1 << 20);
    char key[128];
    for (uint64_t i = 0; i < 500; i++) {
        int size = snprintf(key, sizeof key, "a prefix that all of these keys share, to the last byte of it/%05llu",
                            (unsigned long long)(i * 37));
        add(c, key, (size_t)size, &i, sizeof i, 1000 + i);
    }
    size_t bytes = expect_round_trip(c);
    assert_true(bytes < 500 * (4 + 2 + 4 + 8 + 4) + 128); /* the prefix stands there once */
    contents_free(c);
}

static void keys_that_begin_others_and_hold_zeros_keep_their_order(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        uint64_t random = seed * 7919;
        struct contents *c = contents_new(1 << 20);
        for (size_t i = 0, n = 1 + below(&random, 600); i < n; i++) {
            uint8_t key[80];
            size_t prefix = seed % 3 == 0 ? below(&random, 60) : 0;
            memset(key, 'p', prefix);
            size_t size = prefix + awkward_key(&random, key + prefix);
            add(c, key, size, key, below(&random, size + 1), 1 + below(&random, 1000));
        }
        (void)expect_round_trip(c);
        contents_free(c);
    }
}

static void many_versions_of_one_key_come_newest_first(void **state) {
    (void)state;
    struct contents *c = contents_new(1 << 20);
    for (uint64_t i = 0; i < 1000; i++) {
        add(c, "the key", 7, &i, sizeof i, UINT64_MAX - i * i);
        c->entries[c->count - 1].kind = i % 5 ? ENTRY_PUT : ENTRY_DELETE;
    }
    add(c, "the kex", 7, "", 0, 1);
    add(c, "the kez", 7, "", 0, 1);
    (void)expect_round_trip(c);
    contents_free(c);
}

static void flags_expiry_and_kind_come_back(void **state) {
    (void)state;
    struct contents *c = contents_new(10000);
    for (uint32_t i = 0; i < 16; i++) {
        uint8_t key = (uint8_t)i;
        add(c, &key, 1, "value", i % 7, 1 + (uint64_t)i * (UINT64_C(1) << 56));
        c->entries[i].flags = i & 1 ? 0 : 0xfffffff0 + i;
        c->entries[i].expires_at_ms = i & 2 ? 0 : i & 4 ? INT64_MAX : -1;
        c->entries[i].kind = (uint8_t)(ENTRY_PUT + i % 4 / 3);
    }
    (void)expect_round_trip(c);
    contents_free(c);
}

static void a_block_grows_beyond_64_KiB(void **state) {
    (void)state;
    struct contents *c = contents_new(4 << 20);
    char *value = malloc(3 << 20);
    memset(value, 'v', 3 << 20);
    for (uint32_t i = 0; i < 5; i++) add(c, &i, sizeof i, value, 20000, 1 + i); /* together too much for u16 */
    assert_true(expect_round_trip(c) > 65536);
    add(c, "one large value", 15, value, 3 << 20, 9);
    (void)expect_round_trip(c);
    memset(value, 0, 1 << 20);
    c->count = c->used = 0;
    for (uint8_t i = 0; i < 3; i++) { /* the longest keys, of which all but the last byte is prefix */
        value[VELOCITY_MAX_KEY_BYTES - 1] = (char)i;
        add(c, value, VELOCITY_MAX_KEY_BYTES, "v", 1, 1);
    }
    assert_true(expect_round_trip(c) < 2 * 65536);
    c->count = c->used = 0;
    add(c, value, VELOCITY_MAX_KEY_BYTES, "v", 1, 1); /* alone, all of it is prefix */
    (void)expect_round_trip(c);
    free(value);
    contents_free(c);
}

/* ---- what is no block
 * ------------------------------------------------------------------------------------------------ */

/* Reads all that a reader could; the sanitizers watch. The block is a copy of exactly its size. */
static void read_everything(const uint8_t *data, size_t size) {
    uint8_t *exact = malloc(size ? size : 1);
    if (size) memcpy(exact, data, size);
    struct block block;
    if (block_open(&block, exact, size)) {
        uint32_t count = block.count < 3000 ? block.count : 3000;
        size_t sum = 0;
        for (uint32_t i = 0; i < count; i++) {
            struct block_entry e;
            if (!block_entry_read(&block, i, &e)) continue;
            for (size_t k = 0; k < e.value.size; k += 64) sum += ((const uint8_t *)e.value.data)[k];
            uint8_t *suffix = malloc((size_t)e.suffix_bytes + BLOCK_SUFFIX_SLACK);
            assert_non_null(suffix);
            block_suffix_copy(&block, i, &e, suffix);
            sum += suffix[e.suffix_bytes ? e.suffix_bytes - 1 : 0];
            free(suffix);
        }
        static const char *const keys[] = {"a", "shared/00100", "shared/00100x", "shared/\xff", "z"};
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
            uint32_t at = block_seek(&block, velocity_str(keys[i]));
            assert_true(at <= block.count);
            struct block_entry e;
            velocity_status status = block_find(&block, velocity_str(keys[i]), &at, &e);
            assert_true(status == VELOCITY_OK || status == VELOCITY_NOT_FOUND || status == VELOCITY_CORRUPT);
        }
        assert_true(sum < SIZE_MAX);
    }
    free(exact);
}

static velocity_slice sample(struct block_builder *builder) {
    char key[32];
    uint64_t random = 5;
    for (uint32_t i = 0; i < 60; i++) {
        (void)snprintf(key, sizeof key, "shared/%05u", i * 10);
        struct entry e = {.key = velocity_str(key), .sequence = below(&random, 1 << 20), .kind = ENTRY_PUT};
        e.value = velocity_bytes(key, below(&random, 12));
        e.flags = i % 3;
        OK(block_builder_add(builder, &e));
    }
    velocity_slice bytes;
    OK(block_builder_finish(builder, &bytes));
    return bytes;
}

static void a_truncated_or_mutated_block_never_leads_outside(void **state) {
    (void)state;
    struct block_builder builder;
    block_builder_init(&builder);
    velocity_slice bytes = sample(&builder);
    uint8_t *data = malloc(bytes.size);
    memcpy(data, bytes.data, bytes.size);
    for (size_t size = 0; size < bytes.size; size++) read_everything(data, size);
    uint64_t random = 99;
    for (int round = 0; round < 20000; round++) {
        memcpy(data, bytes.data, bytes.size);
        for (size_t k = 1 + below(&random, 4); k; k--) {
            size_t at = round % 2 ? below(&random, bytes.size) : below(&random, 440); /* heads and offsets more often */
            data[at] = (uint8_t)(below(&random, 4) ? next_random(&random) : 0xff);
        }
        read_everything(data, bytes.size);
    }
    for (int round = 0; round < 5000; round++) { /* and plain garbage */
        size_t size = below(&random, bytes.size);
        for (size_t i = 0; i < size; i++) data[i] = (uint8_t)next_random(&random);
        if (size > 8) memset(data + 1, 0, 6); /* small counts get furthest */
        read_everything(data, size);
    }
    free(data);
    block_builder_free(&builder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_entry_with_an_empty_value_makes_a_block),
        cmocka_unit_test(keys_with_a_long_prefix_in_common_come_back),
        cmocka_unit_test(keys_that_begin_others_and_hold_zeros_keep_their_order),
        cmocka_unit_test(many_versions_of_one_key_come_newest_first),
        cmocka_unit_test(flags_expiry_and_kind_come_back),
        cmocka_unit_test(a_block_grows_beyond_64_KiB),
        cmocka_unit_test(a_truncated_or_mutated_block_never_leads_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
