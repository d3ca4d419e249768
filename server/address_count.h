/*
 * address_count.h - how many connections each client address has. Of IPv6 it counts networks (/64): that is what one
 * customer gets, and could take address after address from.
 *
 *     buckets: [ 3 | 0 | 1 | ... ]      entries: [ key, count, next | ... ]      (indices from 1; 0 ends a chain)
 *
 * An address has an entry only while it has connections, and there are as many entries as connections are allowed: the
 * table never grows. Its hash is keyed by chance, so that nobody can choose addresses of one bucket.
 *
 * Threads: one at a time; the acceptor's mutex guards it.
 */
#ifndef VELOCITY_SERVER_ADDRESS_COUNT_H
#define VELOCITY_SERVER_ADDRESS_COUNT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct address_count;

/* For at most this many connections. NULL: no memory. */
struct address_count *address_count_new(uint32_t max_connections);
void address_count_free(struct address_count *table); /* NULL is allowed */
/* Counts one more; *slot is for address_count_remove. False: it has `limit` already (0: none), or all entries are
 * taken. Unknown families count as one address. */
bool address_count_add(struct address_count *table, const struct sockaddr_storage *address, uint32_t limit,
                       uint32_t *slot);
void address_count_remove(struct address_count *table, uint32_t slot);
/* Addresses that have connections. */
uint32_t address_count_size(const struct address_count *table);

#endif
