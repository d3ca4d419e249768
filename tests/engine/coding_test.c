/*
 * coding_test.c - numbers as bytes, checksums, names and headers of files.
 */
#include "engine/coding.h"
#include "engine/crc32c.h"
#include "engine/crc32c_spans.h"
#include "engine/file.h"
#include "testing.h"

/* ---- numbers --------------------------------------------------------------------------------------------------------
 */

static void fixed_numbers_are_little_endian(void **state) {
    (void)state;
    uint8_t bytes[8];
    put_u64(bytes, UINT64_C(0x0807060504030201));
    for (uint8_t i = 0; i < 8; i++) assert_int_equal(bytes[i], i + 1);
    assert_int_equal(get_u16(bytes), 0x0201);
    assert_int_equal(get_u32(bytes + 1), 0x05040302);
    assert_int_equal(get_u64(bytes), UINT64_C(0x0807060504030201));
}

static void varints_come_back_and_take_the_bytes_that_they_say(void **state) {
    (void)state;
    for (unsigned bits = 0; bits <= 64; bits++) {
        for (int around = -1; around <= 1; around++) {
            uint64_t number = (bits == 64 ? 0 : UINT64_C(1) << bits) + (uint64_t)(int64_t)around, back;
            uint8_t bytes[VARINT64_MAX_BYTES];
            const uint8_t *end = put_varint(bytes, number);
            assert_int_equal(end - bytes, varint_bytes(number));
            assert_ptr_equal(get_varint64(bytes, end, &back), end);
            assert_int_equal(back, number);
            for (const uint8_t *cut = bytes; cut < end; cut++) assert_null(get_varint64(bytes, cut, &back));
            uint32_t narrow;
            assert_true(number > UINT32_MAX ? !get_varint32(bytes, end, &narrow)
                                            : get_varint32(bytes, end, &narrow) == end && narrow == number);
        }
    }
}

static void a_varint_that_is_too_long_is_refused(void **state) {
    (void)state;
    uint8_t bytes[12];
    uint64_t number;
    memset(bytes, 0x80, sizeof bytes);
    assert_null(get_varint64(bytes, bytes + sizeof bytes, &number));
    memset(bytes, 0xff, sizeof bytes);
    bytes[9] = 1; /* 64 bits set */
    assert_ptr_equal(get_varint64(bytes, bytes + 10, &number), bytes + 10);
    assert_int_equal(number, UINT64_MAX);
    bytes[9] = 2; /* a 65th bit */
    assert_null(get_varint64(bytes, bytes + 10, &number));
}

/* ---- checksums
 * ------------------------------------------------------------------------------------------------------- */

static void crc32c_gives_the_values_of_RFC_3720(void **state) {
    (void)state;
    uint8_t bytes[48];
    static const uint8_t read_command[48] = {0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0, 0, 0, 0,
                                             0x14, 0,    0, 0, 0, 0, 4, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18,
                                             0x28, 0,    0, 0, 0, 0, 0, 0, 2, 0, 0, 0,    0, 0, 0, 0};
    uint32_t (*const ways[])(uint32_t, const void *, size_t) = {crc32c, crc32c_portable};
    for (int way = 0; way < 2; way++) { /* RFC 3720, B.4 */
        memset(bytes, 0, 32);
        assert_int_equal(ways[way](0, bytes, 32), 0x8a9136aa);
        memset(bytes, 0xff, 32);
        assert_int_equal(ways[way](0, bytes, 32), 0x62a8ab43);
        for (uint8_t i = 0; i < 32; i++) bytes[i] = i;
        assert_int_equal(ways[way](0, bytes, 32), 0x46dd794e);
        for (uint8_t i = 0; i < 32; i++) bytes[i] = 31 - i;
        assert_int_equal(ways[way](0, bytes, 32), 0x113fdb5c);
        assert_int_equal(ways[way](0, read_command, 48), 0xd9963a56);
        assert_int_equal(ways[way](0, "123456789", 9), 0xe3069283);
        assert_int_equal(ways[way](0, "", 0), 0);
    }
}

static void the_portable_way_equals_the_fast_one_in_any_pieces(void **state) {
    (void)state;
    uint8_t bytes[600];
    uint64_t random = 3720;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)next_random(&random);
    for (int round = 0; round < 5000; round++) {
        size_t from = below(&random, 16), size = below(&random, 500), cut = below(&random, size + 1);
        uint32_t whole = crc32c(0, bytes + from, size);
        assert_int_equal(crc32c_portable(0, bytes + from, size), whole);
        assert_int_equal(crc32c(crc32c_portable(0, bytes + from, cut), bytes + from + cut, size - cut), whole);
    }
}

static void the_checksum_of_any_span_equals_the_one_of_its_bytes(void **state) {
    (void)state;
    enum { BYTES = (1 << 24) + 1000 }; /* sizes of all four bytes */
    uint8_t *bytes = malloc(BYTES);
    uint64_t random = 3721;
    for (size_t i = 0; i < BYTES; i++) bytes[i] = (uint8_t)next_random(&random);
    static const size_t sizes[] = {0, 1, 63, 64, 65, 500, 70000, BYTES};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct crc32c_spans spans;
        size_t size = sizes[i];
        OK(crc32c_spans_init(&spans, bytes, size));
        assert_int_equal(crc32c_span(&spans, 17, 0, (uint32_t)size), crc32c(17, bytes, size));
        for (int round = 0; round < (size == BYTES ? 50 : 2000); round++) {
            size_t from = below(&random, size + 1), part = below(&random, size - from + 1);
            uint32_t crc = (uint32_t)next_random(&random);
            assert_int_equal(crc32c_span(&spans, crc, from, (uint32_t)part), crc32c(crc, bytes + from, part));
        }
        crc32c_spans_clear(&spans);
    }
    free(bytes);
}

static void a_block_checksum_depends_on_file_and_place(void **state) {
    (void)state;
    uint32_t here = file_block_checksum(1, 4096, "block", 5);
    assert_int_equal(file_block_checksum(1, 4096, "block", 5), here);
    assert_int_not_equal(file_block_checksum(2, 4096, "block", 5), here);
    assert_int_not_equal(file_block_checksum(1, 8192, "block", 5), here);
    assert_int_not_equal(file_block_checksum(1, 4096, "blocks", 6), here);
}

/* ---- files
 * ----------------------------------------------------------------------------------------------------------- */

static void a_header_comes_back_and_each_file_gets_an_identity(void **state) {
    (void)state;
    struct file_header one = {.kind = FILE_TABLE, .database_id = {11, 12}, .number = 77, .argument = 5}, two = one,
                       back;
    uint8_t bytes[FILE_HEADER_BYTES], other[FILE_HEADER_BYTES];
    OK(file_header_make(env_posix(), &one, bytes));
    OK(file_header_make(env_posix(), &two, other));
    assert_memory_not_equal(one.uid, two.uid, sizeof one.uid);
    assert_int_not_equal(file_seed(&one), file_seed(&two));
    OK(file_header_parse(bytes, sizeof bytes, FILE_TABLE, "x", &back));
    assert_int_equal(back.kind, FILE_TABLE);
    assert_memory_equal(back.database_id, one.database_id, sizeof one.database_id);
    assert_memory_equal(back.uid, one.uid, sizeof one.uid);
    assert_int_equal(back.number, 77);
    assert_int_equal(back.argument, 5);
    assert_int_equal(back.created_ms, one.created_ms);
    assert_int_equal(file_seed(&back), file_seed(&one));
}

static void a_header_damaged_at_any_bit_or_cut_anywhere_is_corrupt(void **state) {
    (void)state;
    struct file_header header = {.kind = FILE_LOG, .number = 1}, back;
    uint8_t bytes[FILE_HEADER_BYTES];
    OK(file_header_make(env_posix(), &header, bytes));
    for (size_t bit = 0; bit < FILE_HEADER_BYTES * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        FAILS(VELOCITY_CORRUPT, "my.log: offset 0", file_header_parse(bytes, sizeof bytes, FILE_LOG, "my.log", &back));
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t size = 0; size < FILE_HEADER_BYTES; size++)
        FAILS(VELOCITY_CORRUPT, "my.log: offset 0", file_header_parse(bytes, size, FILE_LOG, "my.log", &back));
    FAILS(VELOCITY_CORRUPT, "kind", file_header_parse(bytes, sizeof bytes, FILE_TABLE, "my.log", &back));
}

static void a_newer_version_or_a_cipher_is_unsupported_not_corrupt(void **state) {
    (void)state;
    struct file_header header = {.kind = FILE_LOG, .number = 1}, back;
    uint8_t bytes[FILE_HEADER_BYTES];
    OK(file_header_make(env_posix(), &header, bytes));
    bytes[9] = FILE_FORMAT_VERSION + 1;
    put_u32(bytes + 124, crc32c(0, bytes, 124));
    FAILS(VELOCITY_UNSUPPORTED, "file format 2", file_header_parse(bytes, sizeof bytes, FILE_LOG, "x", &back));
    bytes[9] = FILE_FORMAT_VERSION;
    bytes[56] = 2;
    put_u32(bytes + 124, crc32c(0, bytes, 124));
    FAILS(VELOCITY_UNSUPPORTED, "encrypted", file_header_parse(bytes, sizeof bytes, FILE_LOG, "x", &back));
}

static void names_are_recognised_and_nothing_else_is(void **state) {
    (void)state;
    static const struct {
        const char *name;
        enum file_kind kind;
        uint64_t number;
    } good[] = {{"00000001.log", FILE_LOG, 1},
                {"12345678.sst", FILE_TABLE, 12345678},
                {"123456789012.sst", FILE_TABLE, 123456789012},
                {"MANIFEST-00000042", FILE_MANIFEST, 42}};
    static const char *const bad[] = {"1.log",
                                      "00000001.log2",
                                      "00000001",
                                      "x00000001.log",
                                      "0000000a.sst",
                                      "CURRENT",
                                      "LOCK",
                                      "MANIFEST-1",
                                      "00000001.sst~",
                                      "",
                                      "00000001.sst.copy",
                                      "123456789012345678901.sst"};
    enum file_kind kind;
    uint64_t number;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_true(file_name_parse(good[i].name, &kind, &number));
        assert_int_equal(kind, good[i].kind);
        assert_int_equal(number, good[i].number);
        char *path = file_path("f", kind, number);
        assert_string_equal(path + 2, good[i].name);
        env_free(path);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(file_name_parse(bad[i], &kind, &number));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fixed_numbers_are_little_endian),
        cmocka_unit_test(varints_come_back_and_take_the_bytes_that_they_say),
        cmocka_unit_test(a_varint_that_is_too_long_is_refused),
        cmocka_unit_test(crc32c_gives_the_values_of_RFC_3720),
        cmocka_unit_test(the_portable_way_equals_the_fast_one_in_any_pieces),
        cmocka_unit_test(the_checksum_of_any_span_equals_the_one_of_its_bytes),
        cmocka_unit_test(a_block_checksum_depends_on_file_and_place),
        cmocka_unit_test(a_header_comes_back_and_each_file_gets_an_identity),
        cmocka_unit_test(a_header_damaged_at_any_bit_or_cut_anywhere_is_corrupt),
        cmocka_unit_test(a_newer_version_or_a_cipher_is_unsupported_not_corrupt),
        cmocka_unit_test(names_are_recognised_and_nothing_else_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
