/* tls_pki.c - see tls_pki.h. */
#include "tls_pki.h"
#include "cmocka_all.h"

#include <ftw.h>
#include <mbedtls/oid.h>
#include <mbedtls/psa_util.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { PEM_MAX = 8192 };

void pki_write(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *place) {
    (void)info, (void)type, (void)place;
    return remove(path);
}

void pki_remove_folder(const char *path) {
    (void)nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static void stamp(int day, char out[15]) {
    time_t at = time(NULL) + (time_t)day * 86400;
    struct tm broken_down;
    assert_int_equal(strftime(out, 15, "%Y%m%d%H%M%S", gmtime_r(&at, &broken_down)), 14);
}

static void make_key(mbedtls_pk_context *key) {
    assert_int_equal(mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)), 0);
    assert_int_equal(mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key), mbedtls_psa_get_random, NULL),
                     0);
}

/* The pair's own key, also where it is someone else's. */
static void copy_key(mbedtls_pk_context *to, mbedtls_pk_context *from) {
    uint8_t text[PEM_MAX];
    assert_int_equal(mbedtls_pk_write_key_pem(from, text, sizeof text), 0);
    assert_int_equal(mbedtls_pk_parse_key(to, text, strlen((char *)text) + 1, NULL, 0, mbedtls_psa_get_random, NULL),
                     0);
}

static void add_localhost(mbedtls_x509write_cert *request) {
    static char name[] = "localhost";
    static uint8_t v4[4] = {127, 0, 0, 1}, v6[16] = {[15] = 1};
    mbedtls_x509_san_list names[3] = {{.node.type = MBEDTLS_X509_SAN_DNS_NAME, .next = &names[1]},
                                      {.node.type = MBEDTLS_X509_SAN_IP_ADDRESS, .next = &names[2]},
                                      {.node.type = MBEDTLS_X509_SAN_IP_ADDRESS}};
    names[0].node.san.unstructured_name = (mbedtls_x509_buf){.p = (uint8_t *)name, .len = sizeof name - 1};
    names[1].node.san.unstructured_name = (mbedtls_x509_buf){.p = v4, .len = sizeof v4};
    names[2].node.san.unstructured_name = (mbedtls_x509_buf){.p = v6, .len = sizeof v6};
    assert_int_equal(mbedtls_x509write_crt_set_subject_alternative_name(request, names), 0);
}

static void sign(struct pki_pair *pair, const struct pki_options *options, uint8_t text[PEM_MAX]) {
    const struct pki_pair *issuer = options->issuer ? options->issuer : pair;
    mbedtls_x509write_cert request;
    mbedtls_asn1_sequence client_use = {.buf = {.tag = MBEDTLS_ASN1_OID,
                                                .len = MBEDTLS_OID_SIZE(MBEDTLS_OID_CLIENT_AUTH),
                                                .p = (uint8_t *)MBEDTLS_OID_CLIENT_AUTH}};
    uint8_t serial[8];
    char from[15], to[15];
    stamp(options->from_day, from);
    stamp(options->from_day + options->days, to);
    assert_int_equal(mbedtls_psa_get_random(NULL, serial, sizeof serial), 0);
    serial[0] = 1;
    mbedtls_x509write_crt_init(&request);
    mbedtls_x509write_crt_set_version(&request, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(&request, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(&request, &pair->key);
    mbedtls_x509write_crt_set_issuer_key(&request, (mbedtls_pk_context *)&issuer->key);
    assert_int_equal(mbedtls_x509write_crt_set_subject_name(&request, pair->subject), 0);
    assert_int_equal(mbedtls_x509write_crt_set_issuer_name(&request, issuer->subject), 0);
    assert_int_equal(mbedtls_x509write_crt_set_serial_raw(&request, serial, sizeof serial), 0);
    assert_int_equal(mbedtls_x509write_crt_set_validity(&request, from, to), 0);
    assert_int_equal(mbedtls_x509write_crt_set_basic_constraints(&request, options->authority, -1), 0);
    if (options->for_localhost) add_localhost(&request);
    if (options->for_clients) assert_int_equal(mbedtls_x509write_crt_set_ext_key_usage(&request, &client_use), 0);
    assert_int_equal(mbedtls_x509write_crt_pem(&request, text, PEM_MAX, mbedtls_psa_get_random, NULL), 0);
    mbedtls_x509write_crt_free(&request);
}

void pki_make(struct pki_pair *pair, const char *directory, const char *name, const struct pki_options *options) {
    uint8_t text[PEM_MAX];
    mbedtls_x509_crt_init(&pair->certificate);
    mbedtls_pk_init(&pair->key);
    pair->subject = options->subject;
    (void)snprintf(pair->cert_path, sizeof pair->cert_path, "%s/%s.pem", directory, name);
    (void)snprintf(pair->key_path, sizeof pair->key_path, "%s/%s.key", directory, name);
    if (options->key)
        copy_key(&pair->key, options->key);
    else
        make_key(&pair->key);
    sign(pair, options, text);
    pki_write(pair->cert_path, (char *)text);
    assert_int_equal(mbedtls_x509_crt_parse(&pair->certificate, text, strlen((char *)text) + 1), 0);
    assert_int_equal(mbedtls_pk_write_key_pem(&pair->key, text, sizeof text), 0);
    pki_write(pair->key_path, (char *)text);
}

void pki_free(struct pki_pair *pair) {
    mbedtls_x509_crt_free(&pair->certificate);
    mbedtls_pk_free(&pair->key);
}
