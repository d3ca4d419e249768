/*
 * tls_self_signed.c - tls_certificate_keep of tls_certificate.h: the pair that a server without configured files has.
 *
 * The key is made once: who pinned its fingerprint may rely on it. So a key.pem that cannot be used is an error and is
 * never replaced. The certificate says nothing that could not be said again: it is made anew, with the same key, when
 * it is missing or cannot be used, ends soon, or lacks a configured name. (Not when it lacks the host's name: a
 * container's changes with each start, and clients may have pinned the certificate.)
 *
 * A file is written under another name, synced and renamed: after a kill or a power cut there is an old one, a new one,
 * or none, never half of one. The key comes first, so a certificate without its key cannot be left behind.
 */
#include "engine/env.h"
#include "engine/status.h"
#include "server/tls_certificate.h"

#include <arpa/inet.h>
#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <mbedtls/psa_util.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DAY_MS (24 * 3600 * (int64_t)1000)

enum {
    /* Apple's clients accept no server certificate of more than 825 days, not even one that its user trusts. The key
     * lasts longer, so renewing costs nobody anything who pinned that. */
    LIFETIME_DAYS = 800,
    RENEW_DAYS = 60,   /* before the end */
    BACKDATE_DAYS = 1, /* for clients whose clock is behind */
    NAMES_MAX = 64,
    NAME_BYTES_MAX = 253,        /* RFC 1035 */
    NAMES_BYTES_MAX = 8 << 10,   /* all together: a certificate must fit in one record, of 16 KiB */
    CERTIFICATE_PEM_MAX = 32768, /* the names, and less than 1 KiB around them, in base64 */
    KEY_PEM_MAX = 1024,
    PATH_BYTES = 4096,
    SERIAL_BYTES = 16,
    EXTRA_NAMES = 4, /* localhost, 127.0.0.1, ::1, the host's */
};

/* ---- names --------------------------------------------------------------------------------------------------------
 */

/* A name as a certificate has it. */
struct name {
    int type; /* MBEDTLS_X509_SAN_... */
    size_t size;
    uint8_t bytes[NAME_BYTES_MAX];
};

struct names {
    size_t count;
    size_t configured; /* the first of them, which the certificate must have */
    struct name name[];
};

static bool is_host_name(const char *text, size_t size) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.*";
    return size > 0 && size <= NAME_BYTES_MAX && strspn(text, allowed) == size && text[0] != '.' && text[0] != '-';
}

static bool parse_name(const char *text, struct name *out) {
    size_t size = strlen(text);
    out->type = MBEDTLS_X509_SAN_IP_ADDRESS;
    out->size = 4;
    if (inet_pton(AF_INET, text, out->bytes) == 1) return true;
    out->size = 16;
    if (inet_pton(AF_INET6, text, out->bytes) == 1) return true;
    if (!is_host_name(text, size)) return false;
    out->type = MBEDTLS_X509_SAN_DNS_NAME;
    out->size = size;
    memcpy(out->bytes, text, size);
    return true;
}

/* False: it is none. One that is there already is not added again. */
static bool add_name(struct names *names, const char *text) {
    struct name *new = &names->name[names->count];
    if (!parse_name(text, new)) return false;
    for (size_t i = 0; i < names->count; i++) {
        const struct name *other = &names->name[i];
        if (other->type == new->type && other->size == new->size &&memcmp(other->bytes, new->bytes, new->size) == 0)
            return true;
    }
    names->count++;
    return true;
}

static velocity_status collect_names(const struct tls_options *options, struct names **out) {
    size_t bytes = 0;
    if (options->name_count > NAMES_MAX)
        return status_set(VELOCITY_INVALID, "a self-signed certificate is for at most %d names", NAMES_MAX);
    struct names *names = env_alloc_zeroed(sizeof *names + (options->name_count + EXTRA_NAMES) * sizeof names->name[0]);
    if (!names) return VELOCITY_NO_MEMORY;
    *out = names;
    for (size_t i = 0; i < options->name_count; i++) {
        if (!add_name(names, options->names[i]))
            return status_set(VELOCITY_INVALID, "'%.64s' is neither a host's name nor an address", options->names[i]);
        bytes += strlen(options->names[i]);
    }
    if (bytes > NAMES_BYTES_MAX)
        return status_set(VELOCITY_INVALID, "a self-signed certificate's names have more than %d bytes together",
                          NAMES_BYTES_MAX);
    (void)add_name(names, "localhost");
    (void)add_name(names, "127.0.0.1");
    (void)add_name(names, "::1");
    names->configured = names->count;
    char host[NAME_BYTES_MAX + 1];
    if (gethostname(host, sizeof host) == 0) {
        host[sizeof host - 1] = 0;
        (void)add_name(names, host); /* a host may have a name that is none */
    }
    return VELOCITY_OK;
}

static bool has_name(const mbedtls_x509_crt *certificate, const struct name *name) {
    const mbedtls_x509_sequence *i = &certificate->subject_alt_names;
    for (; i; i = i->next)
        if ((int)(i->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) == name->type && i->buf.len == name->size &&
            memcmp(i->buf.p, name->bytes, name->size) == 0)
            return true;
    return false;
}

/* ---- files --------------------------------------------------------------------------------------------------------
 */

static velocity_status join(char path[PATH_BYTES], const char *directory, const char *name) {
    int size = snprintf(path, PATH_BYTES, "%s/%s", directory, name);
    return size > 0 && size < PATH_BYTES ? VELOCITY_OK : status_set(VELOCITY_INVALID, "%s: too long a path", directory);
}

/* Whole or not at all, also over a power cut, and readable to its owner alone. */
static velocity_status write_file(const char *directory, const char *name, const void *text, size_t size) {
    env *system = env_posix();
    env_file *file = NULL;
    char path[PATH_BYTES], fresh[PATH_BYTES], fresh_name[32];
    (void)snprintf(fresh_name, sizeof fresh_name, "%s.new", name);
    velocity_status status = join(path, directory, name);
    if (!status) status = join(fresh, directory, fresh_name);
    if (status) return status;
    status = env_unlink(system, fresh); /* one that a kill left, whoever may read it */
    if (status == VELOCITY_OK || status == VELOCITY_NOT_FOUND) status = env_create(system, fresh, &file);
    if (!status) status = env_write(file, text, size, 0);
    if (!status) status = env_sync(file);
    velocity_status closed = env_close(file);
    if (!status) status = closed;
    if (!status) status = env_rename(system, fresh, path);
    if (!status) status = env_sync_directory(system, directory);
    return status;
}

static velocity_status refuse_if_open_to_others(const char *path) {
    env_file *file = NULL;
    bool others = false;
    velocity_status status = env_open_read(env_posix(), path, &file);
    if (!status) status = env_open_to_others(file, &others);
    if (!status && others)
        status = status_set(VELOCITY_INVALID, "%s: a key that others may read or write is none: chmod 600", path);
    velocity_status closed = env_close(file);
    return status ? status : closed;
}

static velocity_status cannot_make(const char *what, int result) {
    char words[128];
    mbedtls_strerror(result, words, sizeof words);
    return status_set(VELOCITY_IO, "a self-signed %s cannot be made: %s", what, words);
}

/* ---- making -------------------------------------------------------------------------------------------------------
 */

static velocity_status make_key(mbedtls_pk_context *key, const char *directory) {
    uint8_t text[KEY_PEM_MAX];
    int result = mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
    if (!result)
        result = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key), mbedtls_psa_get_random,
                                     MBEDTLS_PSA_RANDOM_STATE);
    if (!result) result = mbedtls_pk_write_key_pem(key, text, sizeof text);
    velocity_status status = result ? cannot_make("certificate's key", result)
                                    : write_file(directory, "key.pem", text, strlen((const char *)text));
    explicit_bzero(text, sizeof text);
    return status;
}

static int set_validity(mbedtls_x509write_cert *request) {
    enum { STAMP_BYTES = sizeof "YYYYMMDDhhmmss" };
    time_t from = (time_t)(env_now_ms(env_posix()) / 1000) - BACKDATE_DAYS * 86400;
    time_t to = from + (time_t)LIFETIME_DAYS * 86400;
    struct tm broken_down;
    char first[STAMP_BYTES], last[STAMP_BYTES];
    if (strftime(first, sizeof first, "%Y%m%d%H%M%S", gmtime_r(&from, &broken_down)) != STAMP_BYTES - 1 ||
        strftime(last, sizeof last, "%Y%m%d%H%M%S", gmtime_r(&to, &broken_down)) != STAMP_BYTES - 1)
        return MBEDTLS_ERR_X509_INVALID_DATE;
    return mbedtls_x509write_crt_set_validity(request, first, last);
}

static int set_serial(mbedtls_x509write_cert *request) {
    uint8_t serial[SERIAL_BYTES];
    int result = mbedtls_psa_get_random(MBEDTLS_PSA_RANDOM_STATE, serial, sizeof serial);
    serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40); /* positive, and not shorter than it is */
    return result ? result : mbedtls_x509write_crt_set_serial_raw(request, serial, sizeof serial);
}

static int set_names(mbedtls_x509write_cert *request, struct names *names) {
    mbedtls_x509_san_list *list = env_alloc_zeroed(names->count * sizeof *list);
    if (!list) return MBEDTLS_ERR_X509_ALLOC_FAILED;
    for (size_t i = 0; i < names->count; i++) {
        list[i].node.type = names->name[i].type;
        list[i].node.san.unstructured_name.p = names->name[i].bytes;
        list[i].node.san.unstructured_name.len = names->name[i].size;
        list[i].next = i + 1 < names->count ? &list[i + 1] : NULL;
    }
    int result = mbedtls_x509write_crt_set_subject_alternative_name(request, list);
    env_free(list);
    return result;
}

static int describe(mbedtls_x509write_cert *request, mbedtls_pk_context *key, struct names *names) {
    static const char subject[] = "CN=Velocity self-signed";
    mbedtls_asn1_sequence server_use = {.buf = {.tag = MBEDTLS_ASN1_OID,
                                                .len = MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH),
                                                .p = (uint8_t *)MBEDTLS_OID_SERVER_AUTH /* is only read */}};
    mbedtls_x509write_crt_set_version(request, MBEDTLS_X509_CRT_VERSION_3);
    mbedtls_x509write_crt_set_md_alg(request, MBEDTLS_MD_SHA256);
    mbedtls_x509write_crt_set_subject_key(request, key);
    mbedtls_x509write_crt_set_issuer_key(request, key);
    int result = mbedtls_x509write_crt_set_subject_name(request, subject);
    if (!result) result = mbedtls_x509write_crt_set_issuer_name(request, subject);
    if (!result) result = set_serial(request);
    if (!result) result = set_validity(request);
    if (!result) result = mbedtls_x509write_crt_set_basic_constraints(request, 0, -1);
    if (!result) result = mbedtls_x509write_crt_set_key_usage(request, MBEDTLS_X509_KU_DIGITAL_SIGNATURE);
    if (!result) result = mbedtls_x509write_crt_set_ext_key_usage(request, &server_use);
    if (!result) result = mbedtls_x509write_crt_set_subject_key_identifier(request);
    if (!result) result = set_names(request, names);
    return result;
}

static velocity_status make_certificate(struct tls_certificate *certificate, const char *directory,
                                        struct names *names) {
    mbedtls_x509write_cert request;
    char *text = env_alloc(CERTIFICATE_PEM_MAX);
    if (!text) return VELOCITY_NO_MEMORY;
    mbedtls_x509write_crt_init(&request);
    int result = describe(&request, &certificate->key, names);
    if (!result)
        result = mbedtls_x509write_crt_pem(&request, (uint8_t *)text, CERTIFICATE_PEM_MAX, mbedtls_psa_get_random,
                                           MBEDTLS_PSA_RANDOM_STATE);
    mbedtls_x509_crt_free(&certificate->chain);
    mbedtls_x509_crt_init(&certificate->chain);
    if (!result) result = mbedtls_x509_crt_parse(&certificate->chain, (const uint8_t *)text, strlen(text) + 1);
    velocity_status status =
        result ? cannot_make("certificate", result) : write_file(directory, "cert.pem", text, strlen(text));
    mbedtls_x509write_crt_free(&request);
    env_free(text);
    return status;
}

/* ---- keeping ------------------------------------------------------------------------------------------------------
 */

static bool is_good(const struct tls_certificate *certificate, const struct names *names) {
    const mbedtls_x509_crt *first = &certificate->chain;
    int64_t now = (int64_t)env_now_ms(env_posix());
    if (!tls_key_fits(first, &certificate->key)) return false;
    if (tls_time_ms(&first->valid_from) > now) return false;
    if (tls_time_ms(&first->valid_to) < now + RENEW_DAYS * DAY_MS) return false;
    for (size_t i = 0; i < names->configured; i++)
        if (!has_name(first, &names->name[i])) return false;
    return true;
}

static velocity_status keep_key(mbedtls_pk_context *key, const char *directory) {
    char path[PATH_BYTES];
    bool exists = false;
    velocity_status status = join(path, directory, "key.pem");
    if (!status) status = env_exists(env_posix(), path, &exists);
    if (status) return status;
    if (!exists) return make_key(key, directory);
    status = refuse_if_open_to_others(path);
    return status ? status : tls_read_key(key, path);
}

static velocity_status keep_certificate(struct tls_certificate *certificate, const char *directory,
                                        struct names *names) {
    char path[PATH_BYTES];
    bool exists = false;
    velocity_status status = join(path, directory, "cert.pem");
    if (!status) status = env_exists(env_posix(), path, &exists);
    if (status) return status;
    if (exists) {
        status = tls_read_certificates(&certificate->chain, path);
        if (status == VELOCITY_NO_MEMORY) return status;
        if (status == VELOCITY_OK && is_good(certificate, names)) return VELOCITY_OK;
    }
    return make_certificate(certificate, directory, names);
}

velocity_status tls_certificate_keep(struct tls_certificate *certificate, const struct tls_options *options) {
    struct names *names = NULL;
    velocity_status status = collect_names(options, &names);
    if (!status) status = env_make_directory(env_posix(), options->directory);
    if (!status) status = keep_key(&certificate->key, options->directory);
    if (!status) status = keep_certificate(certificate, options->directory, names);
    certificate->self_signed = true;
    env_free(names);
    return status == VELOCITY_NOT_FOUND ? VELOCITY_IO : status; /* the folder that it would be in */
}
