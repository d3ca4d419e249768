/*
 * file.h - what all files of a database have in common: their names, and the header that each begins with.
 *
 * The header binds a file to its database and gives it an identity (uid); checksums inside the file are seeded with
 * that identity and the offset, so that no block of another file, another place or an earlier life of a recycled file
 * passes. Bytes: FORMAT.md, "File header".
 */
#ifndef VELOCITY_FILE_H
#define VELOCITY_FILE_H

#include "env.h"

#define FILE_HEADER_BYTES   128u
#define FILE_FORMAT_VERSION 1u

enum file_kind { FILE_LOG = 1, FILE_TABLE = 2, FILE_MANIFEST = 3, FILE_VALUES = 4, FILE_CURRENT = 5 };

#define CIPHER_NONE        0u
#define CIPHER_AES_256_GCM 1u

#define FILE_KEY_ID_BYTES 8u
#define FILE_SALT_BYTES   32u

struct file_header {
    enum file_kind kind;
    uint64_t database_id[2]; /* random, drawn when the database is made */
    uint64_t number;         /* as in the file's name */
    uint64_t uid[2];         /* random, drawn each time the file is written anew */
    uint64_t created_ms;
    uint64_t argument; /* log: the first sequence it may hold; CURRENT: the manifest's number; else 0 */
    uint8_t cipher;    /* what the file is encrypted with; the two below are zero without */
    uint8_t key_id[FILE_KEY_ID_BYTES], salt[FILE_SALT_BYTES];
};

/* Fills uid, created_ms and, with a cipher, the salt, and encodes. Files that may be encrypted: see cipher_new. */
VELOCITY_CHECK_RESULT velocity_status file_header_make(env *e, struct file_header *header,
                                                       uint8_t out[FILE_HEADER_BYTES]);
void file_header_encode(const struct file_header *header, uint8_t out[FILE_HEADER_BYTES]);
/* Checks magic, checksum, kind, version and cipher. `path` is for the message. CORRUPT, or UNSUPPORTED where a newer
 * version or a cipher is asked for. */
VELOCITY_CHECK_RESULT velocity_status file_header_parse(const uint8_t *bytes, size_t size, enum file_kind kind,
                                                        const char *path, struct file_header *out);
/* Reads and parses; a file too short is CORRUPT. */
VELOCITY_CHECK_RESULT velocity_status file_header_read(env_file *file, enum file_kind kind, const char *path,
                                                       struct file_header *out);

/* What checksums of this file are seeded with. */
uint64_t file_seed(const struct file_header *header);
/* CRC-32C of a block at `offset`: of the seed, the offset, then the bytes. */
uint32_t file_block_checksum(uint64_t seed, uint64_t offset, const void *data, size_t size);
/* Of the first two: what the bytes go on from. */
uint32_t file_block_checksum_begin(uint64_t seed, uint64_t offset);

/* "<folder>/<number><suffix>": a new string for env_free; NULL: no memory. */
char *file_path(const char *folder, enum file_kind kind, uint64_t number);
char *file_path_named(const char *folder, const char *name);
/* Syncs the folder that holds what `path` names. */
VELOCITY_CHECK_RESULT velocity_status file_sync_parent(env *e, const char *path);
/* Whether `name` is a file of the database's, and which. */
bool file_name_parse(const char *name, enum file_kind *kind, uint64_t *number);

#endif
