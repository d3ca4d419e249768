/* audit_chain.c - see audit_chain.h. */
#include "server/audit_chain.h"

#include "server/decimal.h"
#include "server/utf8.h"

#include <mbedtls/md.h>
#include <stdlib.h>

/* Every byte of a row as two digits, every number, and what stands between them. */
#define HASHED_BYTES (2 * AUDIT_ROW_MAX_BYTES + AUDIT_HASH_BYTES + 32 * AUDIT_COLUMNS)

bool audit_chain_init(struct audit_chain *chain) {
    chain->bytes = malloc(HASHED_BYTES);
    return chain->bytes != NULL;
}

void audit_chain_destroy(struct audit_chain *chain) {
    free(chain->bytes);
    chain->bytes = NULL;
}

struct audit_value audit_text(velocity_slice bytes) {
    struct audit_value value = audit_blob(bytes);
    if (bytes.size && !memchr(bytes.data, 0, bytes.size) && utf8_valid(bytes)) value.type = AUDIT_TEXT;
    return value;
}

/* mbedtls_md is the one call for it that versions 2 and 3 of the library share. */
static bool sha256(const char *bytes, size_t size, struct audit_hash *out) {
    const mbedtls_md_info_t *algorithm = mbedtls_md_info_from_type(MBEDTLS_MD_SHA256);
    return algorithm && mbedtls_md(algorithm, (const unsigned char *)bytes, size, out->bytes) == 0;
}

static char *write_hex(char *to, const unsigned char *bytes, size_t size, const char digits[16]) {
    for (size_t i = 0; i < size; i++) {
        *to++ = digits[bytes[i] >> 4];
        *to++ = digits[bytes[i] & 15];
    }
    return to;
}

static char *write_blob(char *to, const void *bytes, size_t size) {
    *to++ = 'X';
    *to++ = '\'';
    to = write_hex(to, bytes, size, "0123456789ABCDEF");
    *to++ = '\'';
    return to;
}

static char *write_text(char *to, const char *text, size_t size) {
    *to++ = '\'';
    for (const char *quote; (quote = size ? memchr(text, '\'', size) : NULL) != NULL;) {
        size_t upto = (size_t)(quote - text) + 1;
        memcpy(to, text, upto);
        to += upto;
        *to++ = '\'';
        text += upto;
        size -= upto;
    }
    if (size) memcpy(to, text, size);
    to += size;
    *to++ = '\'';
    return to;
}

static char *write_integer(char *to, int64_t integer) {
    uint64_t magnitude = integer < 0 ? 0 - (uint64_t)integer : (uint64_t)integer;
    if (integer < 0) *to++ = '-';
    return to + decimal_format_u64(magnitude, to);
}

static char *write_value(char *to, const struct audit_value *value) {
    switch (value->type) {
    case AUDIT_INTEGER: return write_integer(to, value->integer);
    case AUDIT_TEXT: return write_text(to, value->bytes.data, value->bytes.size);
    case AUDIT_BLOB: return write_blob(to, value->bytes.data, value->bytes.size);
    case AUDIT_NULL: break;
    }
    memcpy(to, "NULL", 4);
    return to + 4;
}

bool audit_chain_next(struct audit_chain *chain, const struct audit_hash *before,
                      const struct audit_value row[AUDIT_COLUMNS], struct audit_hash *next) {
    size_t size = 0;
    for (int i = 0; i < AUDIT_COLUMNS; i++) {
        size_t bytes = row[i].type >= AUDIT_TEXT ? row[i].bytes.size : 0;
        if (bytes > AUDIT_ROW_MAX_BYTES - size) return false;
        size += bytes;
    }
    memcpy(chain->bytes, before->bytes, sizeof before->bytes);
    char *end = chain->bytes + sizeof before->bytes;
    for (int i = 0; i < AUDIT_COLUMNS; i++) {
        if (i > 0) *end++ = ',';
        end = write_value(end, &row[i]);
    }
    return sha256(chain->bytes, (size_t)(end - chain->bytes), next);
}

bool audit_chain_key(struct audit_chain *chain, velocity_slice database, velocity_slice key, struct audit_hash *out) {
    if (database.size > AUDIT_ROW_MAX_BYTES || key.size > AUDIT_ROW_MAX_BYTES - database.size) return false;
    char *bytes = chain->bytes;
    if (database.size) memcpy(bytes, database.data, database.size);
    bytes[database.size] = 0;
    if (key.size) memcpy(bytes + database.size + 1, key.data, key.size);
    return sha256(bytes, database.size + 1 + key.size, out);
}

void audit_hash_hex(const struct audit_hash *hash, char out[AUDIT_HEX_BYTES]) {
    *write_hex(out, hash->bytes, sizeof hash->bytes, "0123456789abcdef") = 0;
}
