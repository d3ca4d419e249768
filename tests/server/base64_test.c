/* base64_test.c - base64 and base64url: one text for each byte string, and nothing else is one. */
#include "tests/server/cmocka_all.h"

#include "server/base64.h"

static void the_vectors_of_rfc_4648_hold(void **state) {
    static const struct {
        const char *bytes, *standard, *url;
    } cases[] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xff\xbf", "+/+/", "-_-_"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        velocity_slice bytes = velocity_str(cases[i].bytes);
        char text[16], back[16];
        size_t size = base64_encode(bytes, text);
        assert_int_equal(size, base64_encoded_size(bytes.size));
        assert_slice(velocity_bytes(text, size), velocity_str(cases[i].standard));
        assert_true(base64_decode(velocity_bytes(text, size), back, &size));
        assert_slice(velocity_bytes(back, size), bytes);
        size = base64url_encode(bytes, text);
        assert_int_equal(size, base64url_encoded_size(bytes.size));
        assert_slice(velocity_bytes(text, size), velocity_str(cases[i].url));
        assert_true(base64url_decode(velocity_bytes(text, size), back, &size));
        assert_slice(velocity_bytes(back, size), bytes);
    }
}

static void bytes_of_every_size_survive_the_way_there_and_back_even_in_place(void **state) {
    (void)state;
    for (size_t n = 0; n < 200; n++) {
        unsigned char bytes[200];
        for (size_t i = 0; i < n; i++) bytes[i] = (unsigned char)(i * 167 + n * 31);
        for (int url = 0; url < 2; url++) {
            size_t encoded = url ? base64url_encoded_size(n) : base64_encoded_size(n), size;
            char *text = malloc(encoded + 1);
            velocity_slice slice = {text, encoded};
            assert_non_null(text);
            assert_int_equal(url ? base64url_encode(velocity_bytes(bytes, n), text)
                                 : base64_encode(velocity_bytes(bytes, n), text),
                             encoded);
            assert_true(base64_decoded_max(encoded) >= n);
            assert_true(url ? base64url_decode(slice, text, &size) : base64_decode(slice, text, &size));
            assert_slice(velocity_bytes(text, size), velocity_bytes(bytes, n));
            free(text);
        }
    }
}

/* Of all texts of two, three and four characters exactly one for each byte string is accepted. */
static void every_byte_string_has_exactly_one_text(void **state) {
    size_t twos = 0, threes = 0, padded_ones = 0, padded_twos = 0;
    char out[4], text[4];
    size_t size;
    (void)state;
    for (int a = 0; a < 256; a++)
        for (int b = 0; b < 256; b++) {
            text[0] = (char)a, text[1] = (char)b, text[2] = text[3] = '=';
            twos += base64url_decode(velocity_bytes(text, 2), out, &size);
            padded_ones += base64_decode(velocity_bytes(text, 4), out, &size);
            for (int c = 0; c < 256; c++) {
                text[2] = (char)c;
                threes += base64url_decode(velocity_bytes(text, 3), out, &size);
                padded_twos += base64_decode(velocity_bytes(text, 4), out, &size) && size == 2;
            }
        }
    assert_int_equal(twos, 1 << 8);
    assert_int_equal(threes, 1 << 16);
    assert_int_equal(padded_ones, 1 << 8);
    assert_int_equal(padded_twos, 1 << 16);
}

static void what_is_not_base64_is_refused(void **state) {
    static const char *const standard[] = {"Z",    "Zg",   "Zg=",  "Zg===", "Zm9",      "Zm9v=",     "=",      "==",
                                           "====", "Z===", "Zh==", "Zm9=",  "Zg==Zg==", "Zm 9",      "Zm9v\n", " Zm9v",
                                           "-_-_", "Zm9*", "Zg=g", "=Zg=",  "Zg==\n",   "\xc3\xa9=="};
    static const char *const url[] = {"Z",      "Zg==", "Zm8=", "Zm9vZ",    "Zh",    "Zm9",   "+/+/",    "Zm 9v",
                                      "Zm9v\n", "Zg=",  "=",    "Zm9v====", "Zm9vY", "Zm9v.", "\xc3\xa9"};
    char out[32];
    size_t size;
    (void)state;
    for (size_t i = 0; i < COUNT(standard); i++)
        if (base64_decode(velocity_str(standard[i]), out, &size)) fail_msg("accepted: %s", standard[i]);
    for (size_t i = 0; i < COUNT(url); i++)
        if (base64url_decode(velocity_str(url[i]), out, &size)) fail_msg("accepted: %s", url[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_of_rfc_4648_hold),
        cmocka_unit_test(bytes_of_every_size_survive_the_way_there_and_back_even_in_place),
        cmocka_unit_test(every_byte_string_has_exactly_one_text),
        cmocka_unit_test(what_is_not_base64_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
