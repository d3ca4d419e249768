/*
 * auth_table.h - tokens and sessions in memory, found by the SHA-256 of their secret.
 *
 *     slots:  [ . | s | s | . | s | . ... ]     open addressing, linear probing, at most half full
 *
 * The digest's first bytes choose the slot. Nobody can fill one: digests of secrets that exist are of our random
 * numbers, and others are never stored. An id is the first half of the digest, so it finds its secret in the same
 * table; it says nothing about the other half, and nothing about a secret of 256 random bits.
 *
 * Threads: none of its own; see auth_internal.h for who may read and who may change it.
 */
#ifndef VELOCITY_SERVER_AUTH_TABLE_H
#define VELOCITY_SERVER_AUTH_TABLE_H

#include "server/auth.h"
#include "server/auth_digest.h"

#define SECRET_ID_BYTES     16 /* of the digest; LOGIN_ID_BYTES as text */
#define SECRET_NAME_MAX     128
#define PASSWORD_MARK_BYTES 16

enum secret_kind { SECRET_TOKEN, SECRET_SESSION, SECRET_KINDS };

struct secret {
    uint8_t digest[DIGEST_BYTES]; /* SHA-256 of the secret's text */
    enum secret_kind kind;
    char user[AUTH_NAME_MAX + 1];
    char name[SECRET_NAME_MAX + 1];
    int role;           /* enum role; -1: the user's */
    bool scoped;        /* has a scope of its own */
    struct scope scope; /* if so */
    int64_t created_at_ms, expires_at_ms;
    /* of a session */
    bool browser;
    char csrf[2 * DIGEST_BYTES + 1];
    uint8_t password_mark[PASSWORD_MARK_BYTES]; /* of the hash of the password that it was made with */

    /* What it may do now: what both it and its user may. NULL: they have nothing in common, and it is refused. */
    struct principal *principal;
};

void secret_free(struct secret *secret); /* NULL is allowed */

/* All zero is an empty table. */
struct secret_table {
    struct secret **slots;
    size_t capacity; /* a power of two, or 0 */
    size_t counts[SECRET_KINDS];
};

static inline size_t secret_table_count(const struct secret_table *table) {
    return table->counts[SECRET_TOKEN] + table->counts[SECRET_SESSION];
}

/* NULL: not there. */
struct secret *secret_table_find(const struct secret_table *table, const uint8_t digest[DIGEST_BYTES]);
struct secret *secret_table_find_id(const struct secret_table *table, const char *id);

/* Room for `more`, in a table of its own: *larger holds the same secrets, and has slots NULL where `table` has room
 * already. False: no memory. */
bool secret_table_enlarge(const struct secret_table *table, size_t more, struct secret_table *larger);
void secret_table_insert(struct secret_table *table, struct secret *secret); /* there must be room */
void secret_table_remove(struct secret_table *table, const struct secret *secret);
/* Frees the secrets, too. */
void secret_table_free(struct secret_table *table);

#endif
