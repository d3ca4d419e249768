/* fingerprint_test.c - the fingerprint of a certificate's key, out of files as people and programs leave them. */
#include "tests/server/cmocka_all.h"

#include "server/fingerprint.h"

/* Made by OpenSSL 3.0, as is the fingerprint: x509 -pubkey | pkey -pubin -outform der | dgst -sha256 -binary | base64.
 */
#define BEGIN "-----BEGIN CERTIFICATE-----\n"
#define BODY                                                                                                           \
    "MIIBfTCCASOgAwIBAgIURwrXGqO+bcVkjh2AUthdJI0OD64wCgYIKoZIzj0EAwIw\n"                                               \
    "FDESMBAGA1UEAwwJbG9jYWxob3N0MB4XDTI2MTEyMTE5MzE0M1oXDTM2MTExODE5\n"                                               \
    "MzE0M1owFDESMBAGA1UEAwwJbG9jYWxob3N0MFkwEwYHKoZIzj0CAQYIKoZIzj0D\n"                                               \
    "AQcDQgAEMUeoklkUZvbsdiJUsdV9kAxbHRRU9q0P929rMH39Rg3hE6iis/z7O25G\n"                                               \
    "V0TSb8H5IstEkjrsoHrgpJoidliNAaNTMFEwHQYDVR0OBBYEFDU2DvnQFddqNGzO\n"                                               \
    "n7Sw6XAQiPZtMB8GA1UdIwQYMBaAFDU2DvnQFddqNGzOn7Sw6XAQiPZtMA8GA1Ud\n"                                               \
    "EwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIgHef0ckXow0YTtSyXiXF/Q9E3\n"                                               \
    "gclTIIQgYSFEVEXDAUUCIQDn6j0yyzhkYmxLgSRs8SqWpdaqZjVlueZs7QMK3N6u\n"                                               \
    "eg==\n"
#define END "-----END CERTIFICATE-----\n"
static const char certificate[] = BEGIN BODY END;
static const char fingerprint[] = "SHA256:uUJP9Qf4uvjyExitKVwkepOu08CwYW7ohat3g7qRwGw";

static void a_certificate_has_the_fingerprint_that_another_program_gives_its_key(void **state) {
    char out[TLS_FINGERPRINT_BYTES];
    (void)state;
    assert_true(fingerprint_of_certificate(velocity_str(certificate), out));
    assert_string_equal(out, fingerprint);
}

static void what_stands_around_the_first_certificate_does_not_matter(void **state) {
    static const char *const files[] = {
        "Certificate:\n    Data:\n" BEGIN BODY END,
        BEGIN BODY END BEGIN "AAAA\n" END,
        "\xef\xbb\xbf" BEGIN "\n" BODY "\n" END "trailing",
        "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" BEGIN BODY END,
    };
    char out[TLS_FINGERPRINT_BYTES], crlf[sizeof certificate * 2];
    size_t size = 0;
    (void)state;
    for (size_t i = 0; i < COUNT(files); i++) {
        assert_true(fingerprint_of_certificate(velocity_str(files[i]), out));
        assert_string_equal(out, fingerprint);
    }
    for (const char *p = certificate; *p; p++) {
        if (*p == '\n') crlf[size++] = '\r';
        crlf[size++] = *p;
    }
    assert_true(fingerprint_of_certificate(velocity_bytes(crlf, size), out));
    assert_string_equal(out, fingerprint);
}

static void what_is_no_certificate_has_none(void **state) {
    static const char *const files[] = {
        "",
        "-----BEGIN CERTIFICATE-----",
        BEGIN BODY,
        BODY END,
        BEGIN END,
        END BODY BEGIN,
        BEGIN "MIIBfTCC\n" END,
        BEGIN "!!!!\n" END,
        BEGIN "MAA=\n" END, /* an empty SEQUENCE */
        "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n",
    };
    char out[TLS_FINGERPRINT_BYTES];
    (void)state;
    for (size_t i = 0; i < COUNT(files); i++) assert_false(fingerprint_of_certificate(velocity_str(files[i]), out));
}

/* Under the sanitizers: no read beyond the bytes, whatever they say of lengths. The key itself ends in line 5. */
static void a_certificate_that_was_cut_or_changed_anywhere_is_read_safely(void **state) {
    char out[TLS_FINGERPRINT_BYTES];
    size_t size = sizeof certificate - 1, other = 0;
    (void)state;
    for (size_t cut = 0; cut < size - sizeof END; cut++) {
        char *part = exact_copy(velocity_bytes(certificate, cut));
        assert_false(fingerprint_of_certificate(velocity_bytes(part, cut), out));
        free(part);
    }
    for (size_t at = sizeof BEGIN - 1; at < size; at++) {
        static const char changes[] = "A/h0w\0";
        for (size_t i = 0; i < sizeof changes - 1; i++) {
            char *copy = exact_copy(velocity_bytes(certificate, size));
            copy[at] = changes[i];
            if (fingerprint_of_certificate(velocity_bytes(copy, size), out)) other += strcmp(out, fingerprint) != 0;
            free(copy);
        }
    }
    assert_true(other > 100); /* changes of the key show */
}

static void a_fingerprint_is_read_as_it_is_written(void **state) {
    static const char *const wrong[] = {
        "",
        "SHA256:",
        "sha256:uUJP9Qf4uvjyExitKVwkepOu08CwYW7ohat3g7qRwGw",
        "SHA256:uUJP9Qf4uvjyExitKVwkepOu08CwYW7ohat3g7qRwG",
        "SHA256:uUJP9Qf4uvjyExitKVwkepOu08CwYW7ohat3g7qRwGw=",
        "SHA256:uUJP9Qf4uvjyExitKVwkepOu08CwYW7ohat3g7qRwGx", /* bits that no digest has */
        "SHA256:uUJP9Qf4uvjyExitKVwkepOu08CwYW7ohat3g7qRw-w",
        "MD5:uUJP9Qf4uvjyExitKVwkepOu08CwYW7ohat3g7qRwGwxxx",
    };
    unsigned char digest[FINGERPRINT_DIGEST_BYTES];
    char out[TLS_FINGERPRINT_BYTES];
    (void)state;
    assert_true(fingerprint_parse(fingerprint, digest));
    assert_int_equal(digest[0], 0xb9);
    assert_int_equal(digest[31], 0x6c);
    fingerprint_format(digest, out);
    assert_string_equal(out, fingerprint);
    for (size_t i = 0; i < COUNT(wrong); i++) assert_false(fingerprint_parse(wrong[i], digest));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_has_the_fingerprint_that_another_program_gives_its_key),
        cmocka_unit_test(what_stands_around_the_first_certificate_does_not_matter),
        cmocka_unit_test(what_is_no_certificate_has_none),
        cmocka_unit_test(a_certificate_that_was_cut_or_changed_anywhere_is_read_safely),
        cmocka_unit_test(a_fingerprint_is_read_as_it_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
