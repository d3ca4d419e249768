/*
 * audit_chain.h - the hash that ties each row of the audit log to the one before:
 *
 *     hash of row n  =  SHA-256( hash of row n-1 | quote(number) , quote(time_ms) , ... , quote(detail) )
 *
 * What is hashed are the 32 bytes of the hash before and the columns as SQLite's quote() writes them (NULL, 42,
 * 'it''s', X'00FF'), joined by commas, so that whoever has sqlite3 and sha256sum can compute it: docs/audit.md. Before
 * the first row stands a hash of 32 zero bytes.
 *
 * Threads: a chain belongs to one thread at a time.
 */
#ifndef VELOCITY_SERVER_AUDIT_CHAIN_H
#define VELOCITY_SERVER_AUDIT_CHAIN_H

#include "engine/velocity.h"

#define AUDIT_HASH_BYTES 32
struct audit_hash {
    unsigned char bytes[AUDIT_HASH_BYTES];
};

/* The columns that the hash covers: all but the hash, in the order of the table. */
enum audit_column {
    AUDIT_NUMBER,
    AUDIT_TIME_MS,
    AUDIT_USER,
    AUDIT_LOGIN,
    AUDIT_LOGIN_ID,
    AUDIT_ADDRESS,
    AUDIT_ACTION,
    AUDIT_DATABASE,
    AUDIT_KEY,
    AUDIT_KEY_SHA256,
    AUDIT_STATUS,
    AUDIT_REQUEST_ID,
    AUDIT_DETAIL,
    AUDIT_COLUMNS
};

enum audit_type { AUDIT_NULL, AUDIT_INTEGER, AUDIT_TEXT, AUDIT_BLOB };
struct audit_value {
    enum audit_type type;
    int64_t integer;      /* INTEGER */
    velocity_slice bytes; /* TEXT (UTF-8 without NUL, or else quote() differs), BLOB */
};

static inline struct audit_value audit_integer(int64_t integer) {
    return (struct audit_value){.type = AUDIT_INTEGER, .integer = integer};
}
/* NULL where it is empty. */
static inline struct audit_value audit_blob(velocity_slice bytes) {
    return (struct audit_value){.type = bytes.size ? AUDIT_BLOB : AUDIT_NULL, .bytes = bytes};
}
/* The same; what is no text comes as it is, but as a BLOB. */
struct audit_value audit_text(velocity_slice bytes);

/* Of one row, all columns together; what is recorded needs much less. */
#define AUDIT_ROW_MAX_BYTES (1u << 16)

struct audit_chain {
    char *bytes; /* what is hashed next */
};
VELOCITY_CHECK_RESULT bool audit_chain_init(struct audit_chain *chain); /* false: no memory */
void audit_chain_destroy(struct audit_chain *chain);

/* *next may be *before. False: the row is larger than AUDIT_ROW_MAX_BYTES. */
VELOCITY_CHECK_RESULT bool audit_chain_next(struct audit_chain *chain, const struct audit_hash *before,
                                            const struct audit_value row[AUDIT_COLUMNS], struct audit_hash *next);
/* What stands for a key that is not to be read: SHA-256 of database, NUL and key. */
VELOCITY_CHECK_RESULT bool audit_chain_key(struct audit_chain *chain, velocity_slice database, velocity_slice key,
                                           struct audit_hash *out);

#define AUDIT_HEX_BYTES (2 * AUDIT_HASH_BYTES + 1)
void audit_hash_hex(const struct audit_hash *hash, char out[AUDIT_HEX_BYTES]); /* lower case */

#endif
