/* cursor_test.c - a cursor works for the listing that it came from, and is refused everywhere else. */
#include "tests/server/cmocka_all.h"

#include "http/cursor.h"

static const struct cursor_parameters listing = {
    .database = {"default", 7}, .prefix = {"user:", 5}, .start = {"a", 1}, .end = {"z", 1}, .delimiter = {"/", 1}};

static enum cursor_result decode(velocity_slice text, const struct cursor_parameters *p, velocity_slice *key) {
    static char kept[70000];
    char *copy = exact_copy(text), *buffer = malloc(base64_decoded_max(text.size) + 1);
    enum cursor_result result;
    assert_non_null(buffer);
    result = cursor_decode(velocity_bytes(copy, text.size), p, buffer, key);
    if (result == CURSOR_OK) {
        memcpy(kept, key->data, key->size);
        key->data = kept;
    }
    free(copy);
    free(buffer);
    return result;
}

static void keys_of_every_size_and_byte_come_back(void **state) {
    static char key[16384];
    (void)state;
    for (size_t i = 0; i < sizeof key; i++) key[i] = (char)(i * 7);
    for (size_t size = 1; size <= sizeof key; size = size < 70 ? size + 1 : size * 4) {
        size_t n = cursor_encoded_size(size);
        char *text = malloc(n);
        velocity_slice back;
        assert_non_null(text);
        assert_int_equal(cursor_encode(&listing, velocity_bytes(key, size), text), n);
        assert_int_equal(decode(velocity_bytes(text, n), &listing, &back), CURSOR_OK);
        assert_slice(back, velocity_bytes(key, size));
        free(text);
    }
}

static void a_cursor_needs_no_escape_in_a_query(void **state) {
    char text[64];
    size_t n = cursor_encode(&listing, velocity_str("user:\xff\xfe"), text);
    (void)state;
    for (size_t i = 0; i < n; i++)
        assert_non_null(strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", text[i]));
}

static void another_listing_does_not_take_it(void **state) {
    struct cursor_parameters others[12];
    char text[64];
    size_t n = cursor_encode(&listing, velocity_str("user:1"), text);
    velocity_slice key;
    (void)state;
    for (size_t i = 0; i < COUNT(others); i++) others[i] = listing;
    others[0].reverse = true;
    others[1].values = true;
    others[2].prefix = velocity_str("user");
    others[3].prefix = velocity_bytes(NULL, 0);
    others[4].start = velocity_str("b");
    others[5].end = velocity_bytes("", 0);
    others[6].delimiter = velocity_str(":");
    others[7].database = velocity_str("other");
    others[8].start = velocity_str("z"), others[8].end = velocity_str("a");
    /* The same bytes in a row, cut elsewhere. */
    others[9].prefix = velocity_str("user:a"), others[9].start = velocity_bytes("", 0);
    others[10].database = velocity_str("defaultuser:"), others[10].prefix = velocity_bytes("", 0);
    others[11].reverse = others[11].values = true;
    for (size_t i = 0; i < COUNT(others); i++)
        assert_int_equal(decode(velocity_bytes(text, n), &others[i], &key), CURSOR_FOREIGN);
    assert_int_equal(decode(velocity_bytes(text, n), &listing, &key), CURSOR_OK);
}

static void absent_and_empty_parameters_are_the_same(void **state) {
    static const struct cursor_parameters absent = {.reverse = true};
    static const struct cursor_parameters empty = {{"", 0}, {"", 0}, {"", 0}, {"", 0}, {"", 0}, true, false};
    char text[64];
    velocity_slice key;
    (void)state;
    assert_int_equal(decode(velocity_bytes(text, cursor_encode(&absent, velocity_str("k"), text)), &empty, &key),
                     CURSOR_OK);
}

static void a_cursor_with_a_character_changed_added_or_missing_is_refused(void **state) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=+/ %";
    char text[66];
    size_t n = cursor_encode(&listing, velocity_str("user:12"), text);
    velocity_slice key;
    (void)state;
    for (size_t at = 0; at < n; at++) {
        char kept = text[at];
        for (size_t i = 0; i < COUNT(alphabet); i++) {
            if (alphabet[i] == kept) continue;
            text[at] = alphabet[i];
            assert_int_equal(decode(velocity_bytes(text, n), &listing, &key), CURSOR_MALFORMED);
        }
        text[at] = kept;
    }
    for (size_t size = 0; size < n; size++)
        assert_int_equal(decode(velocity_bytes(text, size), &listing, &key), CURSOR_MALFORMED);
    for (size_t i = 0; i < COUNT(alphabet); i++) {
        text[n] = alphabet[i];
        assert_int_equal(decode(velocity_bytes(text, n + 1), &listing, &key), CURSOR_MALFORMED);
    }
}

static void texts_that_never_were_cursors_are_refused(void **state) {
    static const char *const texts[] = {"", "0", "next", "AQ", "AAAAAAAAAAAAAAAAAAAAAAAA", "user:1", "null"};
    velocity_slice key;
    (void)state;
    for (size_t i = 0; i < COUNT(texts); i++)
        assert_int_equal(decode(velocity_str(texts[i]), &listing, &key), CURSOR_MALFORMED);
    assert_int_equal(decode(velocity_bytes(NULL, 0), &listing, &key), CURSOR_MALFORMED);
}

/* Clients keep cursors: what this version reads, later ones must read. */
static void the_format_is_what_it_was(void **state) {
    char text[64];
    size_t n = cursor_encode(&listing, velocity_str("user:1"), text);
    (void)state;
    assert_slice(velocity_bytes(text, n), velocity_str("AQZVizu1gtxgdXNlcjoxpZabcw"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_every_size_and_byte_come_back),
        cmocka_unit_test(a_cursor_needs_no_escape_in_a_query),
        cmocka_unit_test(another_listing_does_not_take_it),
        cmocka_unit_test(absent_and_empty_parameters_are_the_same),
        cmocka_unit_test(a_cursor_with_a_character_changed_added_or_missing_is_refused),
        cmocka_unit_test(texts_that_never_were_cursors_are_refused),
        cmocka_unit_test(the_format_is_what_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
