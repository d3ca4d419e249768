/*
 * cipher.h - encryption at rest: the keys of a database, and what one of its files is encrypted with. The one door to
 * mbedTLS and libargon2.
 *
 *   master key --HKDF-SHA256(salt, header)--> the file's key --AES-256-GCM(nonce = offset in the file)--> bytes | tag
 *
 * Invariants:
 *  1. A key of a file is never used in another one: it is derived with a salt drawn when the header is written, also
 *     when a log is recycled; and from the header itself, so that a header that was tampered with decrypts nothing.
 *  2. No two messages of a file have the same nonce: nothing is encrypted twice at one offset. Who could not write what
 *     was encrypted gives the file up.
 *  3. Keys leave memory (are overwritten) with the ring or the cipher that holds them, and stand in no message.
 *
 * Threads: a ring does not change once it is bound. A cipher may be used by any number of threads at once. Bytes:
 * FORMAT.md, "Encryption".
 */
#ifndef VELOCITY_CIPHER_H
#define VELOCITY_CIPHER_H

#include "file.h"

#define CIPHER_KEY_BYTES 32u
#define CIPHER_TAG_BYTES 16u

/* ---- the keys of a database ----------------------------------------------------------------------------------------
 */

typedef struct key_ring key_ring;

/* Of the options' keys and passphrases, which are borrowed until key_ring_bind. *out is NULL where there are none.
 * INVALID: a key of another size than 32, or both a key and a passphrase. */
VELOCITY_CHECK_RESULT velocity_status key_ring_new(const velocity_options *options, key_ring **out);
/* Derives the keys of passphrases, of which the database's id is the salt. NULL is allowed. */
VELOCITY_CHECK_RESULT velocity_status key_ring_bind(key_ring *ring, const uint64_t database_id[2]);
void key_ring_free(key_ring *ring); /* NULL is allowed */
/* Whether a new file would be encrypted as this one is (both with no key: yes). NULL ring: no key. */
bool key_ring_is_present(const key_ring *ring, const struct file_header *header);

/* Overwrites bytes so that no compiler leaves it out. */
void cipher_forget(void *bytes, size_t size);

/* ---- one file ------------------------------------------------------------------------------------------------------
 */

typedef struct cipher cipher; /* NULL: the file is not encrypted */

/* Makes the header of a new file (see file_header_make), encrypted with the present key if there is one, and its
 * cipher. */
VELOCITY_CHECK_RESULT velocity_status cipher_new(env *e, const key_ring *ring, struct file_header *header,
                                                 uint8_t bytes[FILE_HEADER_BYTES], cipher **out);
/* What the file with this header is encrypted with. INVALID: with a key that the ring does not have; `path` is for that
 * message. */
VELOCITY_CHECK_RESULT velocity_status cipher_of(const key_ring *ring, const struct file_header *header,
                                                const char *path, cipher **out);
void cipher_free(cipher *c); /* NULL is allowed */

/* How many bytes longer a message is when it is encrypted. */
static inline uint32_t cipher_overhead(const cipher *c) {
    return c ? CIPHER_TAG_BYTES : 0;
}

/* A message: where it stands, and what is stored beside it in plain and must be what it was. */
struct cipher_place {
    uint64_t offset;
    const void *bound;
    size_t bound_bytes;
};

/* Writes size + CIPHER_TAG_BYTES bytes to `to`, which may be `from`. */
VELOCITY_CHECK_RESULT velocity_status cipher_seal(cipher *c, const struct cipher_place *place, const void *from,
                                                  size_t size, uint8_t *to);
/* Writes size - CIPHER_TAG_BYTES bytes to `to`, which may be `from`. CORRUPT, without a message: these are not bytes
 * that were sealed at this place with this key; what `to` holds then means nothing. */
VELOCITY_CHECK_RESULT velocity_status cipher_unseal(cipher *c, const struct cipher_place *place, const void *from,
                                                    size_t size, uint8_t *to);

#endif
