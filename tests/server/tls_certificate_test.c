/* tls_certificate_test.c - which certificates and keys are taken, and what becomes of the self-signed pair. */
#include "cmocka_all.h"
#include "server/base64.h"
#include "tls_pair.h"

#include <mbedtls/psa_util.h>
#include <psa/crypto.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DAY_MS (24 * 3600 * (int64_t)1000)

static char folder[64], own_folder[80], own_key[96], own_certificate[96];
static struct pki_pair authority, first, second, client_only;

static int make_world(void **state) {
    (void)state;
    strcpy(folder, "/tmp/velocity-certificate-XXXXXX");
    if (psa_crypto_init() != PSA_SUCCESS || !mkdtemp(folder)) return -1;
    (void)snprintf(own_folder, sizeof own_folder, "%s/own", folder);
    (void)snprintf(own_key, sizeof own_key, "%s/key.pem", own_folder);
    (void)snprintf(own_certificate, sizeof own_certificate, "%s/cert.pem", own_folder);
    pki_make(&authority, folder, "authority",
             &(struct pki_options){.subject = "CN=authority", .authority = true, .days = 30});
    pki_make(&first, folder, "first", &(struct pki_options){.subject = "CN=first", .issuer = &authority, .days = 10});
    pki_make(&second, folder, "second",
             &(struct pki_options){.subject = "CN=second", .issuer = &authority, .days = 10});
    pki_make(&client_only, folder, "client",
             &(struct pki_options){.subject = "CN=client", .for_clients = true, .days = 10});
    return 0;
}

static int remove_world(void **state) {
    (void)state;
    struct pki_pair *all[] = {&authority, &first, &second, &client_only};
    for (size_t i = 0; i < COUNT(all); i++) pki_free(all[i]);
    pki_remove_folder(folder);
    return 0;
}

static int remove_own(void **state) {
    (void)state;
    pki_remove_folder(own_folder);
    return 0;
}

static void assert_refused(const char *cert_path, const char *key_path, const char *client_ca_path, const char *named) {
    struct tls_options options = {
        .directory = own_folder, .cert_path = cert_path, .key_path = key_path, .client_ca_path = client_ca_path};
    struct tls *tls;
    assert_int_equal(tls_open(&options, &tls), VELOCITY_INVALID);
    assert_null(tls);
    assert_non_null(strstr(velocity_error_message(), named));
}

static struct tls *open_own(const char *const *names, size_t name_count) {
    struct tls_options options = {.directory = own_folder,
                                  .cert_path = "",
                                  .key_path = "",
                                  .client_ca_path = "",
                                  .names = names,
                                  .name_count = name_count};
    struct tls *tls;
    assert_int_equal(tls_open(&options, &tls), VELOCITY_OK);
    assert_true(tls_is_self_signed(tls));
    return tls;
}

/* Opens, asks and closes. */
static void own_fingerprint(char out[TLS_FINGERPRINT_BYTES]) {
    struct tls *tls = open_own(NULL, 0);
    tls_fingerprint(tls, out);
    tls_free(tls);
}

/* Whether a client that trusts `trusted` alone, and wants a server of this name, shakes hands. */
static bool is_trusted(struct tls *tls, mbedtls_x509_crt *trusted, const char *name) {
    struct pair pair;
    bool met = meet(&pair, tls, &(struct tls_client_options){.trusted = trusted, .name = name});
    part(&pair);
    return met;
}

static void read_whole(const char *path, char *out, size_t size) {
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    out[fread(out, 1, size - 1, file)] = 0;
    assert_int_equal(fclose(file), 0);
}

/* ---- configured files ---------------------------------------------------------------------------------------------
 */

static void a_chain_is_shown_up_to_the_authority_that_clients_trust(void **state) {
    (void)state;
    struct pki_pair between, leaf;
    char texts[2][4096], chain[8192], path[PKI_PATH_BYTES];
    struct tls *tls;
    pki_make(&between, folder, "between",
             &(struct pki_options){.subject = "CN=between", .issuer = &authority, .authority = true, .days = 10});
    pki_make(&leaf, folder, "leaf", &(struct pki_options){.subject = "CN=leaf", .issuer = &between, .days = 10});
    read_whole(leaf.cert_path, texts[0], sizeof texts[0]);
    read_whole(between.cert_path, texts[1], sizeof texts[1]);
    (void)snprintf(chain, sizeof chain, "%s%s", texts[0], texts[1]);
    (void)snprintf(path, sizeof path, "%s/chain.pem", folder);
    pki_write(path, chain);
    struct tls_options options = {.cert_path = path, .key_path = leaf.key_path};
    assert_int_equal(tls_open(&options, &tls), VELOCITY_OK);
    assert_false(tls_is_self_signed(tls));
    assert_true(is_trusted(tls, &authority.certificate, "leaf"));
    assert_false(is_trusted(tls, &first.certificate, "leaf"));
    int64_t left_ms = tls_expires_at_ms(tls) - (int64_t)time(NULL) * 1000;
    assert_true(left_ms > 9 * DAY_MS && left_ms <= 10 * DAY_MS);
    tls_free(tls);
    pki_free(&between);
    pki_free(&leaf);
}

static void what_is_no_certificate_is_refused_by_name(void **state) {
    (void)state;
    char path[PKI_PATH_BYTES];
    assert_refused("/nonexistent/cert.pem", first.key_path, "", "/nonexistent/cert.pem");
    assert_refused(folder, first.key_path, "", folder);
    assert_refused(first.key_path, first.key_path, "", first.key_path);
    (void)snprintf(path, sizeof path, "%s/damaged.pem", folder);
    pki_write(path, "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
    assert_refused(path, first.key_path, "", "damaged.pem");
    assert_refused(first.cert_path, first.key_path, path, "damaged.pem");
    pki_write(path, "");
    assert_refused(path, first.key_path, "", "damaged.pem");
}

static void what_is_no_key_is_refused_by_name(void **state) {
    (void)state;
    char path[PKI_PATH_BYTES];
    assert_refused(first.cert_path, "/nonexistent/key.pem", "", "/nonexistent/key.pem");
    assert_refused(first.cert_path, first.cert_path, "", first.cert_path);
    (void)snprintf(path, sizeof path, "%s/damaged.key", folder);
    pki_write(path, "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n");
    assert_refused(first.cert_path, path, "", "damaged.key");
}

static void a_key_of_another_certificate_is_refused(void **state) {
    (void)state;
    assert_refused(first.cert_path, second.key_path, "", second.key_path);
    assert_non_null(strstr(velocity_error_message(), first.cert_path));
}

static void a_certificate_or_a_key_alone_is_refused(void **state) {
    (void)state;
    assert_refused(first.cert_path, "", "", first.cert_path);
    assert_refused("", first.key_path, "", first.key_path);
}

static void a_certificate_for_clients_only_is_refused(void **state) {
    (void)state;
    assert_refused(client_only.cert_path, client_only.key_path, "", client_only.cert_path);
}

static void a_chain_that_no_handshake_could_carry_is_refused(void **state) {
    (void)state;
    enum { COPIES = 60 };
    char text[4096], path[PKI_PATH_BYTES], *chain = calloc(COPIES, sizeof text);
    size_t size = 0;
    assert_non_null(chain);
    read_whole(first.cert_path, text, sizeof text);
    for (int i = 0; i < COPIES; i++) {
        memcpy(chain + size, text, strlen(text));
        size += strlen(text);
    }
    (void)snprintf(path, sizeof path, "%s/long.pem", folder);
    pki_write(path, chain);
    assert_refused(path, first.key_path, "", path);
    free(chain);
}

static void keys_that_tls_cannot_sign_with_are_refused(void **state) {
    (void)state;
    char path[PKI_PATH_BYTES];
    uint8_t text[2048];
    mbedtls_pk_context key;
    mbedtls_pk_init(&key);
    assert_int_equal(mbedtls_pk_setup(&key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)), 0);
    assert_int_equal(mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256K1, mbedtls_pk_ec(key), mbedtls_psa_get_random, NULL),
                     0);
    assert_int_equal(mbedtls_pk_write_key_pem(&key, text, sizeof text), 0);
    mbedtls_pk_free(&key);
    (void)snprintf(path, sizeof path, "%s/secp256k1.key", folder);
    pki_write(path, (char *)text);
    assert_refused(first.cert_path, path, "", "P-256");
}

static void the_fingerprint_is_the_hash_of_the_public_key(void **state) {
    (void)state;
    static const char label[] = "SHA256:";
    struct tls_options options = {.cert_path = first.cert_path, .key_path = first.key_path};
    struct tls *tls;
    uint8_t der[256], hash[32];
    char actual[TLS_FINGERPRINT_BYTES], expected[64] = "";
    size_t hash_size;
    int size = mbedtls_pk_write_pubkey_der(&first.key, der, sizeof der); /* at the buffer's end */
    assert_true(size > 0);
    assert_int_equal(
        psa_hash_compute(PSA_ALG_SHA_256, der + sizeof der - size, (size_t)size, hash, sizeof hash, &hash_size),
        PSA_SUCCESS);
    memcpy(expected, label, sizeof label - 1);
    assert_int_equal(base64_encode(velocity_bytes(hash, hash_size), expected + sizeof label - 1), 44);
    assert_int_equal(expected[sizeof label - 1 + 43], '=');
    expected[sizeof label - 1 + 43] = 0;
    assert_int_equal(tls_open(&options, &tls), VELOCITY_OK);
    tls_fingerprint(tls, actual);
    assert_string_equal(actual, expected);
    tls_free(tls);
}

/* ---- the self-signed pair -----------------------------------------------------------------------------------------
 */

static void assert_mode(const char *path, mode_t expected) {
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, expected);
}

static void a_pair_is_made_once_and_kept(void **state) {
    (void)state;
    char before[TLS_FINGERPRINT_BYTES], after[TLS_FINGERPRINT_BYTES], texts[2][4096];
    own_fingerprint(before);
    read_whole(own_certificate, texts[0], sizeof texts[0]);
    own_fingerprint(after);
    read_whole(own_certificate, texts[1], sizeof texts[1]);
    assert_string_equal(before, after);
    assert_string_equal(texts[0], texts[1]);
    assert_mode(own_folder, 0700);
    assert_mode(own_key, 0600);
    assert_mode(own_certificate, 0600);
    pki_remove_folder(own_folder);
    own_fingerprint(after);
    assert_string_not_equal(before, after);
}

static void its_clients_can_trust_it_under_all_its_names(void **state) {
    (void)state;
    static const char *const names[] = {"db.example.org", "192.0.2.7", "2001:db8::7", "localhost"};
    static const char *const good[] = {"localhost", "127.0.0.1", "::1", "db.example.org", "192.0.2.7", "2001:db8::7"};
    static const char *const foreign[] = {"example.org", "192.0.2.8", "2001:db8::8"};
    char host[256] = "";
    mbedtls_x509_crt trusted;
    struct tls *tls = open_own(names, COUNT(names));
    mbedtls_x509_crt_init(&trusted);
    assert_int_equal(mbedtls_x509_crt_parse_file(&trusted, own_certificate), 0);
    for (size_t i = 0; i < COUNT(good); i++) assert_true(is_trusted(tls, &trusted, good[i]));
    for (size_t i = 0; i < COUNT(foreign); i++) assert_false(is_trusted(tls, &trusted, foreign[i]));
    assert_int_equal(gethostname(host, sizeof host), 0);
    assert_true(is_trusted(tls, &trusted, host));
    int64_t left_ms = tls_expires_at_ms(tls) - (int64_t)time(NULL) * 1000;
    assert_true(left_ms > 700 * DAY_MS && left_ms <= 825 * DAY_MS);
    assert_false(is_trusted(tls, &first.certificate, "localhost"));
    mbedtls_x509_crt_free(&trusted);
    tls_free(tls);
}

static void a_new_name_makes_a_new_certificate_of_the_same_key(void **state) {
    (void)state;
    static const char *const names[] = {"new.example.org"};
    char before[TLS_FINGERPRINT_BYTES], after[TLS_FINGERPRINT_BYTES];
    mbedtls_x509_crt trusted;
    own_fingerprint(before);
    struct tls *tls = open_own(names, 1);
    tls_fingerprint(tls, after);
    assert_string_equal(before, after);
    mbedtls_x509_crt_init(&trusted);
    assert_int_equal(mbedtls_x509_crt_parse_file(&trusted, own_certificate), 0);
    assert_true(is_trusted(tls, &trusted, names[0]));
    mbedtls_x509_crt_free(&trusted);
    tls_free(tls);
}

static void a_certificate_that_ends_soon_is_made_anew_with_the_same_key(void **state) {
    (void)state;
    char before[TLS_FINGERPRINT_BYTES], after[TLS_FINGERPRINT_BYTES];
    mbedtls_pk_context key;
    struct pki_pair ending;
    char texts[2][4096];
    own_fingerprint(before);
    read_whole(own_key, texts[0], sizeof texts[0]);
    mbedtls_pk_init(&key);
    assert_int_equal(
        mbedtls_pk_parse_key(&key, (uint8_t *)texts[0], strlen(texts[0]) + 1, NULL, 0, mbedtls_psa_get_random, NULL),
        0);
    pki_make(&ending, folder, "ending",
             &(struct pki_options){.subject = "CN=ending", .key = &key, .for_localhost = true, .days = 59});
    assert_int_equal(rename(ending.cert_path, own_certificate), 0);
    struct tls *tls = open_own(NULL, 0);
    tls_fingerprint(tls, after);
    assert_string_equal(before, after);
    assert_true(tls_expires_at_ms(tls) > (int64_t)time(NULL) * 1000 + 700 * DAY_MS);
    read_whole(own_key, texts[1], sizeof texts[1]);
    assert_string_equal(texts[0], texts[1]);
    tls_free(tls);
    pki_free(&ending);
    mbedtls_pk_free(&key);
}

static void what_a_kill_leaves_is_completed(void **state) {
    (void)state;
    char before[TLS_FINGERPRINT_BYTES], after[TLS_FINGERPRINT_BYTES], left[128];
    own_fingerprint(before);
    assert_int_equal(unlink(own_certificate), 0); /* between the two files */
    (void)snprintf(left, sizeof left, "%s.new", own_certificate);
    pki_write(left, "half of a"); /* while one was written */
    own_fingerprint(after);
    assert_string_equal(before, after);
    assert_int_equal(access(left, F_OK), -1);
    assert_mode(own_certificate, 0600);
    pki_write(own_certificate, "no certificate at all");
    own_fingerprint(after);
    assert_string_equal(before, after);
}

static void a_new_key_gets_a_new_certificate(void **state) {
    (void)state;
    char before[TLS_FINGERPRINT_BYTES], after[TLS_FINGERPRINT_BYTES];
    own_fingerprint(before);
    assert_int_equal(unlink(own_key), 0); /* by somebody who wants another */
    struct tls *tls = open_own(NULL, 0);
    tls_fingerprint(tls, after);
    assert_string_not_equal(before, after);
    assert_true(is_trusted(tls, NULL, NULL));
    tls_free(tls);
}

static void a_key_that_cannot_be_used_is_never_replaced(void **state) {
    (void)state;
    char fingerprint[TLS_FINGERPRINT_BYTES], text[64];
    own_fingerprint(fingerprint);
    pki_write(own_key, "the disk ate it\n");
    assert_refused("", "", "", own_key);
    read_whole(own_key, text, sizeof text);
    assert_string_equal(text, "the disk ate it\n");
}

static void a_key_that_others_may_read_is_refused(void **state) {
    (void)state;
    char fingerprint[TLS_FINGERPRINT_BYTES];
    own_fingerprint(fingerprint);
    assert_int_equal(chmod(own_key, 0644), 0);
    assert_refused("", "", "", own_key);
    assert_int_equal(chmod(own_key, 0600), 0);
    own_fingerprint(fingerprint);
}

static void names_that_are_none_are_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {"", "two words", "a/b", "-x", "example.org\n", "bücher.example"};
    for (size_t i = 0; i < COUNT(wrong); i++) {
        struct tls_options options = {.directory = own_folder, .names = &wrong[i], .name_count = 1};
        struct tls *tls;
        assert_int_equal(tls_open(&options, &tls), VELOCITY_INVALID);
        assert_non_null(strstr(velocity_error_message(), wrong[i]));
    }
    const char *many[65];
    for (size_t i = 0; i < COUNT(many); i++) many[i] = "a";
    struct tls_options options = {.directory = own_folder, .names = many, .name_count = COUNT(many)};
    struct tls *tls;
    assert_int_equal(tls_open(&options, &tls), VELOCITY_INVALID);
}

static void a_folder_that_cannot_be_made_is_named(void **state) {
    (void)state;
    struct tls_options options = {.directory = "/nonexistent/parent/tls"};
    struct tls *tls;
    assert_int_equal(tls_open(&options, &tls), VELOCITY_IO);
    assert_null(tls);
    assert_non_null(strstr(velocity_error_message(), "/nonexistent/parent/tls"));
}

#define OWN_TEST(name) cmocka_unit_test_teardown(name, remove_own)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_is_shown_up_to_the_authority_that_clients_trust),
        cmocka_unit_test(what_is_no_certificate_is_refused_by_name),
        cmocka_unit_test(what_is_no_key_is_refused_by_name),
        cmocka_unit_test(a_key_of_another_certificate_is_refused),
        cmocka_unit_test(a_certificate_or_a_key_alone_is_refused),
        cmocka_unit_test(a_certificate_for_clients_only_is_refused),
        cmocka_unit_test(a_chain_that_no_handshake_could_carry_is_refused),
        cmocka_unit_test(keys_that_tls_cannot_sign_with_are_refused),
        cmocka_unit_test(the_fingerprint_is_the_hash_of_the_public_key),
        OWN_TEST(a_pair_is_made_once_and_kept),
        OWN_TEST(its_clients_can_trust_it_under_all_its_names),
        OWN_TEST(a_new_name_makes_a_new_certificate_of_the_same_key),
        OWN_TEST(a_certificate_that_ends_soon_is_made_anew_with_the_same_key),
        OWN_TEST(what_a_kill_leaves_is_completed),
        OWN_TEST(a_new_key_gets_a_new_certificate),
        OWN_TEST(a_key_that_cannot_be_used_is_never_replaced),
        OWN_TEST(a_key_that_others_may_read_is_refused),
        OWN_TEST(names_that_are_none_are_refused),
        OWN_TEST(a_folder_that_cannot_be_made_is_named),
    };
    return cmocka_run_group_tests(tests, make_world, remove_world);
}
