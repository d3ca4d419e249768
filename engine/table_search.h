/*
 * table_search.h - finds the blocks of a table by their checksums alone, where no index tells where they are.
 *
 *   | block | trailer: compression, raw bytes, checksum | block | trailer | ...
 *
 * Behind a block that was found, or the file header, a block begins: its end is where the first trailer stands whose
 * checksum fits. Where none does, something is damaged; then whatever looks like a trailer is tried as the end of the
 * damaged block. A checksum is seeded with file and offset: of what is found by chance one in 2^32 passes. One thread.
 */
#ifndef VELOCITY_TABLE_SEARCH_H
#define VELOCITY_TABLE_SEARCH_H

#include "table_internal.h"

/* `gap`: bytes between the block before (or the beginning) and this one belong to no block. The entry is borrowed. */
typedef velocity_status table_block_found(void *arg, struct block_handle handle, struct cache_entry *entry, bool gap);

/* Searches [from, to) of the file, or up to its end. *gap_at_end: there are such bytes behind the last block found. A
 * footer at the end of the file is none. The table need not be loaded. */
VELOCITY_CHECK_RESULT velocity_status table_search(struct table *table, uint64_t from, uint64_t to,
                                                   table_block_found *found, void *arg, bool *gap_at_end);

#endif
