/*
 * value_file.h - value files as objects: their life, which is that of tables, and reading what a reference names.
 *
 * A file's descriptor is opened when it is needed and may be closed again (open_files.h). Values are kept in the
 * block cache; reading one that is there takes no lock. Any thread may read.
 */
#ifndef VELOCITY_VALUE_FILE_H
#define VELOCITY_VALUE_FILE_H

#include "table.h"
#include "value_format.h"

/* What the manifest keeps of a value file. */
struct value_file_meta {
    uint64_t number;
    uint64_t uid[2]; /* of the file's header: a file put in its place does not pass */
    uint64_t file_bytes, records;
};

struct value_file;

/* Opens nothing yet. The file has one reference. `folder` is copied, the ring borrowed. */
VELOCITY_CHECK_RESULT velocity_status value_file_new(env *e, table_files *files, const char *folder,
                                                     const uint64_t database_id[2], const key_ring *keys,
                                                     const struct value_file_meta *meta, struct value_file **out);
/* Has looked at the file's header; CORRUPT says what is wrong with it, INVALID that its key is not there. */
VELOCITY_CHECK_RESULT velocity_status value_file_ensure_loaded(struct value_file *file);
/* Whether it is not encrypted with the present key. False: it is, or was never looked at. */
bool value_file_has_old_key(const struct value_file *file);
const struct value_file_meta *value_file_meta(const struct value_file *file);
void value_file_acquire(struct value_file *file);
/* The last release closes the file, or, if it was doomed, leaves it to table_files_sweep. NULL is allowed. */
void value_file_release(struct value_file *file);
/* The file belongs to no version any more. */
void value_file_doom(struct value_file *file);
/* A record of it could not be read: nobody need try again to move what is in it. Until the database is opened anew. */
void value_file_mark_damaged(struct value_file *file);
bool value_file_is_damaged(const struct value_file *file);

/*
 * The value that `reference` names, which must be the one of that key and sequence. Inside an epoch section. OK: *value
 * points into the held block. INCOMPLETE (cache_only), CORRUPT, IO, NO_MEMORY: nothing is held.
 */
VELOCITY_CHECK_RESULT velocity_status value_file_get(struct value_file *file, struct value_reference reference,
                                                     velocity_slice key, uint64_t sequence,
                                                     const struct table_read *read, struct held_block *held,
                                                     velocity_slice *value);
/* The whole record as it is stored, past the cache. *bytes is for env_free, and `out` points into it. */
VELOCITY_CHECK_RESULT velocity_status value_file_read(struct value_file *file, struct value_reference reference,
                                                      velocity_slice key, uint64_t sequence, uint8_t **bytes,
                                                      struct value_record *out);

#endif
