/*
 * table_builder.h - writes a table: entries in order go in, a file and its description come out. One thread.
 */
#ifndef VELOCITY_TABLE_BUILDER_H
#define VELOCITY_TABLE_BUILDER_H

#include "cipher.h"
#include "entry.h"
#include "expiry.h"
#include "value_format.h"

/* What the manifest keeps of a table, and what the table itself keeps but is wanted beside. smallest, largest, values
 * and expiry are allocated; table_meta_clear frees them. */
struct table_meta {
    uint64_t number;
    uint64_t uid[2]; /* of the file's header: a file put in its place does not pass */
    uint64_t file_bytes, raw_bytes, entries, tombstones, min_sequence, max_sequence;
    velocity_slice smallest, largest;
    bool one_version;              /* no key has two entries */
    struct expiry_summary *expiry; /* NULL: nothing in it expires (or, the manifest's: the table knows) */
    struct value_uses values;      /* what it refers to in value files */
    uint64_t range_tombstones; /* among the tombstones; known once the table was built or loaded, not in the manifest */
    uint64_t views_name; /* of the last level: for whom it was merged (reclaim.h); 0: not known, nor kept on disk */
};

void table_meta_clear(struct table_meta *meta);
VELOCITY_CHECK_RESULT velocity_status table_meta_copy(struct table_meta *to, const struct table_meta *from);

struct table_builder_options {
    env *env;
    const char *folder;
    uint64_t database_id[2];
    uint64_t number;
    uint32_t block_bytes;
    velocity_compression compression;
    bool last_level; /* see compress.h */
    double false_positive_rate;
    const key_ring *keys; /* NULL: not encrypted */
};

typedef struct table_builder table_builder;

/* Creates the file. */
VELOCITY_CHECK_RESULT velocity_status table_builder_new(const struct table_builder_options *options,
                                                        table_builder **out);
/* Keys ascending; within a key the highest sequence first. After a failure only abandon makes sense. */
VELOCITY_CHECK_RESULT velocity_status table_builder_add(table_builder *builder, const struct entry *entry);
uint64_t table_builder_bytes(const table_builder *builder); /* written and waiting, about */
uint64_t table_builder_entries(const table_builder *builder);
/* Writes the rest and syncs file (not its folder). Frees the builder and, on failure, removes the file. At least one
 * entry was added. */
VELOCITY_CHECK_RESULT velocity_status table_builder_finish(table_builder *builder, struct table_meta *out);
/* Removes the file and frees the builder. NULL is allowed. */
void table_builder_abandon(table_builder *builder);

#endif
