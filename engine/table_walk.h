/*
 * table_walk.h - reads a whole table block by block and holds its parts against each other; what is damaged is told and
 * passed over, never the end. For verify, repair and the tools that show a table. What stands in the index's order:
 *
 *   header | data* index | data* index | ... | filter* | top index | footer
 *
 * A data block that no readable index block names is searched for: blocks follow one another, and the checksum behind a
 * block, seeded with file and offset, tells where one ends. So a table without footer or index gives up its entries.
 * Such a search finds blocks of up to TABLE_WALK_WINDOW_BYTES.
 *
 * Entries come in table order; a block whose entries are out of order counts as damaged. One thread.
 */
#ifndef VELOCITY_TABLE_WALK_H
#define VELOCITY_TABLE_WALK_H

#include "table.h"

#define TABLE_WALK_WINDOW_BYTES (16u << 20)

/* What a damage took. The keys of the lost entries are > after and <= upto, as far as these are known (data NULL: no
 * bound); equal to `after` where versions of one key span blocks. */
struct table_loss {
    bool entries; /* false: every entry is there, but something else is wrong */
    velocity_slice after, upto;
};

/* Any but damage may be NULL. An answer other than OK ends the walk, which then answers it. */
struct table_visitor {
    void *arg;
    velocity_status (*block)(void *arg, const velocity_block *block);
    velocity_status (*entry)(void *arg, const struct entry *e);
    /* This thread's error message names file, offset and what is wrong. */
    velocity_status (*damage)(void *arg, const struct table_loss *loss);
    void (*progress)(void *arg, uint64_t bytes); /* so many more were read */
};

/* The table's meta may be as little as number, uid and size where `whole_meta` is false; else it is checked too. */
VELOCITY_CHECK_RESULT velocity_status table_walk(struct table *table, bool whole_meta,
                                                 const struct table_visitor *visitor);

/* What header and footer say. CORRUPT: not readable. */
VELOCITY_CHECK_RESULT velocity_status table_info(struct table *table, velocity_table_info *out);

#endif
