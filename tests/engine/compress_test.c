/* compress_test.c - what packers choose, and that unpacking takes nothing that was not packed. */
#include "engine/compress.h"
#include "testing.h"

enum { BLOCK = 4096 };

enum content { TEXT, REPEATED, NOISE };

/* Words: zstd takes off more than lz4. Random bytes, each 50 of them twice: both take off the same. Random bytes. */
static void fill(uint8_t block[BLOCK], enum content content, uint64_t *random) {
    static const char *const words[] = {"order ",   "shipped ", "\"name\":", "customer ",
                                        "2026-11-", "balance ", "the ",      "a "};
    memset(block, 0, BLOCK);
    for (size_t at = 0; at + 100 <= BLOCK;) {
        if (content == TEXT) {
            char word[32];
            int size = snprintf(word, sizeof word, "%s%u ", words[below(random, 8)], (unsigned)below(random, 500));
            memcpy(block + at, word, (size_t)size);
            at += (size_t)size;
            continue;
        }
        for (size_t i = 0; i < 100; i++)
            block[at + i] = content == REPEATED && i >= 50 ? block[at + i - 50] : (uint8_t)next_random(random);
        at += 100;
    }
}

static enum packing pack_and_back(struct packer *p, const uint8_t *block, size_t size, size_t *stored_bytes) {
    velocity_slice stored;
    enum packing how;
    struct unpackers u = {{NULL}};
    uint8_t *back = malloc(size);
    OK(packer_pack(p, velocity_bytes(block, size), &stored, &how));
    OK(unpack(&u, how, stored.data, stored.size, back, size));
    assert_memory_equal(back, block, size);
    if (how == PACKED_RAW) assert_ptr_equal(stored.data, block);
    if (how != PACKED_RAW) assert_true(stored.size < size - size / 8);
    *stored_bytes = stored.size;
    free(back);
    unpackers_clear(&u);
    return how;
}

static void each_compression_packs_what_it_says(void **state) {
    (void)state;
    static const struct {
        velocity_compression compression;
        bool last_level;
        enum packing text, repeated, noise;
    } wanted[] = {
        {VELOCITY_COMPRESSION_NONE, true, PACKED_RAW, PACKED_RAW, PACKED_RAW},
        {VELOCITY_COMPRESSION_LZ4, true, PACKED_LZ4, PACKED_LZ4, PACKED_RAW},
        {VELOCITY_COMPRESSION_ZSTD, false, PACKED_ZSTD, PACKED_ZSTD, PACKED_RAW},
        {VELOCITY_COMPRESSION_ADAPTIVE, false, PACKED_LZ4, PACKED_LZ4, PACKED_RAW},
        {VELOCITY_COMPRESSION_ADAPTIVE, true, PACKED_ZSTD, PACKED_LZ4, PACKED_RAW},
    };
    uint64_t random = 5;
    uint8_t block[BLOCK];
    size_t size;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        const enum packing expected[] = {wanted[i].text, wanted[i].repeated, wanted[i].noise};
        struct packer p = {.compression = wanted[i].compression, .last_level = wanted[i].last_level};
        for (enum content content = TEXT; content <= NOISE; content++) {
            fill(block, content, &random);
            assert_int_equal(pack_and_back(&p, block, sizeof block, &size), expected[content]);
        }
        packer_clear(&p);
    }
}

static void after_a_vain_attempt_adaptive_tries_zstd_again_a_few_blocks_later(void **state) {
    (void)state;
    struct packer p = {.compression = VELOCITY_COMPRESSION_ADAPTIVE, .last_level = true};
    uint64_t random = 6;
    uint8_t block[BLOCK];
    size_t size, before = 0;
    fill(block, NOISE, &random);
    assert_int_equal(pack_and_back(&p, block, sizeof block, &size), PACKED_RAW);
    fill(block, TEXT, &random);
    while (pack_and_back(&p, block, sizeof block, &size) == PACKED_LZ4) before++;
    assert_in_range(before, 1, 20);
    for (int i = 0; i < 20; i++) assert_int_equal(pack_and_back(&p, block, sizeof block, &size), PACKED_ZSTD);
    packer_clear(&p);
}

static void blocks_of_every_size_come_back(void **state) {
    (void)state;
    uint8_t *large = calloc(1, 3 << 20);
    static const size_t sizes[] = {1, 2, 17, 100, 4096, 70000, 3 << 20};
    for (velocity_compression c = VELOCITY_COMPRESSION_NONE; c <= VELOCITY_COMPRESSION_ADAPTIVE; c++) {
        struct packer p = {.compression = c, .last_level = true};
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            size_t stored;
            enum packing how = pack_and_back(&p, large, sizes[i], &stored);
            if (c != VELOCITY_COMPRESSION_NONE && sizes[i] > 100) assert_int_not_equal(how, PACKED_RAW);
            assert_true(unpack_size_possible(how, stored, sizes[i]));
        }
        packer_clear(&p);
    }
    free(large);
}

static void sizes_that_no_packing_explains_are_refused(void **state) {
    (void)state;
    assert_true(unpack_size_possible(PACKED_RAW, 5, 5));
    assert_false(unpack_size_possible(PACKED_RAW, 5, 6));
    assert_false(unpack_size_possible(PACKED_LZ4, 10, 1 << 20));
    assert_false(unpack_size_possible(PACKED_ZSTD, 10, 1 << 20));
    assert_false(unpack_size_possible(PACKED_LZ4, 1 << 30, (size_t)INT32_MAX + 1));
    assert_false(unpack_size_possible(PACKINGS, 10, 10));
}

static void damaged_bytes_of_any_kind_never_write_beyond_their_place(void **state) {
    (void)state;
    struct unpackers u = {{NULL}};
    uint64_t random = 8;
    uint8_t block[BLOCK];
    for (velocity_compression c = VELOCITY_COMPRESSION_LZ4; c <= VELOCITY_COMPRESSION_ZSTD; c++) {
        struct packer p = {.compression = c};
        for (int i = 0; i < 2000; i++) {
            velocity_slice stored;
            enum packing how;
            fill(block, TEXT, &random);
            OK(packer_pack(&p, velocity_bytes(block, sizeof block), &stored, &how));
            uint8_t *bytes = malloc(stored.size), *out = malloc(BLOCK);
            memcpy(bytes, stored.data, stored.size);
            for (size_t n = below(&random, 4) + 1; n; n--)
                bytes[below(&random, stored.size)] ^= (uint8_t)(1u << below(&random, 8));
            size_t size = below(&random, 3) ? stored.size : below(&random, stored.size);
            size_t raw = below(&random, 3) ? BLOCK : below(&random, BLOCK);
            velocity_status status = unpack(&u, how, bytes, size, out, raw); /* the sanitizers look */
            assert_true(status == VELOCITY_OK || status == VELOCITY_CORRUPT);
            free(bytes);
            free(out);
        }
        packer_clear(&p);
    }
    unpackers_clear(&u);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_compression_packs_what_it_says),
        cmocka_unit_test(after_a_vain_attempt_adaptive_tries_zstd_again_a_few_blocks_later),
        cmocka_unit_test(blocks_of_every_size_come_back),
        cmocka_unit_test(sizes_that_no_packing_explains_are_refused),
        cmocka_unit_test(damaged_bytes_of_any_kind_never_write_beyond_their_place),
    };
    return cmocka_run_group_tests_name("compress", tests, NULL, NULL);
}
