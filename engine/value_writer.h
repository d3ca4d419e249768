/*
 * value_writer.h - writes value files: flush and compaction give it the entries whose values are to stand apart, and
 * get references back. One thread; the files count once an edit of the version names them.
 */
#ifndef VELOCITY_VALUE_WRITER_H
#define VELOCITY_VALUE_WRITER_H

#include "database_internal.h"

struct value_output; /* the file being written */

struct value_writer {
    velocity *db;
    struct value_output *output; /* NULL: none */
    struct value_file **files;   /* those that are complete and synced */
    size_t count, capacity;
    uint64_t bytes; /* of the complete files */
    struct packer packer;
    uint8_t *sealed; /* room for an encrypted record */
    size_t sealed_capacity;
    uint8_t reference[VALUE_REFERENCE_MAX_BYTES];
};

void value_writer_init(struct value_writer *w, velocity *db);
/* Whether the option wants the entry's value apart. */
static inline bool value_writer_wants(const struct value_writer *w, const struct entry *e) {
    return e->kind == ENTRY_PUT && w->db->options.value_log_threshold &&
           e->value.size >= w->db->options.value_log_threshold;
}
/* Writes the value of a put and makes the entry a reference to it, whose bytes live until the next call. */
VELOCITY_CHECK_RESULT velocity_status value_writer_take(struct value_writer *w, struct entry *e);
/* Copies the record that the entry, a reference into `from`, names, and makes the entry refer to the copy. */
VELOCITY_CHECK_RESULT velocity_status value_writer_move(struct value_writer *w, struct value_file *from,
                                                        struct entry *e);
/* Completes and syncs the last file. */
VELOCITY_CHECK_RESULT velocity_status value_writer_finish(struct value_writer *w);
/* Lets go of everything; files that can't have come into force are removed. */
void value_writer_clear(struct value_writer *w, bool in_force);

#endif
