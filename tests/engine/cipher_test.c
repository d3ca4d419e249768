/* cipher_test.c - what one file is encrypted with: round trips, places, headers, and many threads at once. */
#include "engine/cipher.h"
#include "testing.h"

enum { BYTES = 1000, SEALED = BYTES + CIPHER_TAG_BYTES };

static const char bound[] = "what stands beside it";

struct fixture {
    key_ring *ring;
    struct file_header header;
    uint8_t bytes[FILE_HEADER_BYTES];
    cipher *cipher;
    uint8_t plain[BYTES], sealed[SEALED];
    struct cipher_place place;
};

static int setup(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    velocity_options o = velocity_options_default();
    o.encryption_key = velocity_bytes("0123456789abcdef0123456789abcdef", 32);
    OK(key_ring_new(&o, &f->ring));
    f->header = (struct file_header){.kind = FILE_TABLE, .number = 7, .database_id = {1, 2}};
    OK(cipher_new(env_posix(), f->ring, &f->header, f->bytes, &f->cipher));
    for (size_t i = 0; i < BYTES; i++) f->plain[i] = (uint8_t)(i * 7);
    f->place = (struct cipher_place){4096, bound, sizeof bound};
    OK(cipher_seal(f->cipher, &f->place, f->plain, BYTES, f->sealed));
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    cipher_free(f->cipher);
    key_ring_free(f->ring);
    free(f);
    return 0;
}

static velocity_status unseal(cipher *c, const struct cipher_place *place, const uint8_t *sealed, uint8_t *to) {
    return cipher_unseal(c, place, sealed, SEALED, to);
}

static void what_was_sealed_comes_back_also_in_place(void **state) {
    struct fixture *f = *state;
    uint8_t out[SEALED];
    assert_memory_not_equal(f->sealed, f->plain, BYTES);
    OK(unseal(f->cipher, &f->place, f->sealed, out));
    assert_memory_equal(out, f->plain, BYTES);
    memcpy(out, f->plain, BYTES);
    OK(cipher_seal(f->cipher, &f->place, out, BYTES, out));
    assert_memory_equal(out, f->sealed, SEALED);
    OK(unseal(f->cipher, &f->place, out, out));
    assert_memory_equal(out, f->plain, BYTES);
    assert_int_equal(cipher_overhead(f->cipher), CIPHER_TAG_BYTES);
    assert_int_equal(cipher_overhead(NULL), 0);
}

static void a_reader_finds_the_key_by_the_header(void **state) {
    struct fixture *f = *state;
    struct file_header back;
    cipher *c;
    uint8_t out[BYTES];
    OK(file_header_parse(f->bytes, sizeof f->bytes, FILE_TABLE, "x", &back));
    assert_true(key_ring_is_present(f->ring, &back));
    assert_false(key_ring_is_present(NULL, &back));
    OK(cipher_of(f->ring, &back, "x", &c));
    OK(unseal(c, &f->place, f->sealed, out));
    assert_memory_equal(out, f->plain, BYTES);
    cipher_free(c);
    FAILS(VELOCITY_INVALID, "x: encrypted", cipher_of(NULL, &back, "x", &c));
    assert_null(c);
}

static void a_changed_bit_anywhere_is_noticed(void **state) {
    struct fixture *f = *state;
    uint8_t out[BYTES];
    for (size_t i = 0; i < SEALED; i++) {
        f->sealed[i] ^= (uint8_t)(1u << i % 8);
        assert_int_equal(unseal(f->cipher, &f->place, f->sealed, out), VELOCITY_CORRUPT);
        f->sealed[i] ^= (uint8_t)(1u << i % 8);
    }
    struct cipher_place elsewhere = {4097, bound, sizeof bound}, other_size = {4096, bound, sizeof bound - 1};
    assert_int_equal(unseal(f->cipher, &elsewhere, f->sealed, out), VELOCITY_CORRUPT);
    assert_int_equal(unseal(f->cipher, &other_size, f->sealed, out), VELOCITY_CORRUPT);
    for (size_t size = 0; size < SEALED; size += 5)
        assert_int_equal(cipher_unseal(f->cipher, &f->place, f->sealed, size, out), VELOCITY_CORRUPT);
    OK(unseal(f->cipher, &f->place, f->sealed, out));
}

static void the_key_of_a_file_is_that_of_its_header_alone(void **state) {
    struct fixture *f = *state;
    uint8_t out[BYTES];
    for (int field = 0; field < 5; field++) {
        struct file_header h = f->header;
        cipher *c;
        if (field == 0) h.number++;
        if (field == 1) h.salt[31] ^= 1;
        if (field == 2) h.database_id[1]++;
        if (field == 3) h.created_ms++;
        if (field == 4) h.uid[0]++;
        OK(cipher_of(f->ring, &h, "x", &c));
        assert_int_equal(unseal(c, &f->place, f->sealed, out), VELOCITY_CORRUPT);
        cipher_free(c);
    }
}

enum { THREADS = 4, ROUNDS = 400 };

static void *use(void *arg) {
    struct fixture *f = arg;
    uint8_t out[SEALED];
    for (int i = 0; i < ROUNDS; i++) {
        struct cipher_place place = {8192 + (uint64_t)i, bound, sizeof bound};
        if (cipher_seal(f->cipher, &place, f->plain, BYTES, out)) return "seal";
        if (unseal(f->cipher, &place, out, out) || memcmp(out, f->plain, BYTES) != 0) return "unseal";
        if (unseal(f->cipher, &f->place, f->sealed, out)) return "the shared one";
    }
    return NULL;
}

static void many_threads_use_one_files_cipher_at_once(void **state) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&threads[i], NULL, use, *state), 0);
    for (int i = 0; i < THREADS; i++) {
        void *wrong;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        if (wrong) fail_msg("%s", (const char *)wrong);
    }
}

static void without_a_key_nothing_is_encrypted(void **state) {
    (void)state;
    velocity_options o = velocity_options_default();
    key_ring *ring;
    cipher *c;
    struct file_header h = {.kind = FILE_LOG};
    uint8_t bytes[FILE_HEADER_BYTES];
    OK(key_ring_new(&o, &ring));
    assert_null(ring);
    OK(key_ring_bind(ring, h.database_id));
    OK(cipher_new(env_posix(), ring, &h, bytes, &c));
    assert_null(c);
    assert_true(key_ring_is_present(ring, &h));
    OK(cipher_of(ring, &h, "x", &c));
    assert_null(c);
    cipher_free(c);
    key_ring_free(ring);
}

#define WITH_FIXTURE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_FIXTURE(what_was_sealed_comes_back_also_in_place),
        WITH_FIXTURE(a_reader_finds_the_key_by_the_header),
        WITH_FIXTURE(a_changed_bit_anywhere_is_noticed),
        WITH_FIXTURE(the_key_of_a_file_is_that_of_its_header_alone),
        WITH_FIXTURE(many_threads_use_one_files_cipher_at_once),
        cmocka_unit_test(without_a_key_nothing_is_encrypted),
    };
    return cmocka_run_group_tests_name("cipher", tests, NULL, NULL);
}
