/*
 * auth_failures.h - wrong passwords and guessed secrets, counted per address and per pair of address and user; too many
 * within the duration of a ban lead to one.
 *
 * An address is an IPv4 address, or the first 64 bits of an IPv6 address: that is what one customer is given. Never a
 * user alone is counted, so a stranger can lock nobody out but whoever sits at the stranger's own address.
 *
 * Threads: any. One mutex, held for a few hundred instructions; nothing else is taken under it.
 */
#ifndef VELOCITY_SERVER_AUTH_FAILURES_H
#define VELOCITY_SERVER_AUTH_FAILURES_H

#include "engine/velocity.h"

struct failures;

/* So many times the failures that ban a pair ban the address, for everyone. */
#define FAILURES_ADDRESS_FACTOR 10
/* Pairs, and as many addresses. Beyond, the ones longest without a failure are forgotten. */
#define FAILURES_TABLE_ENTRIES 32768

struct failures *failures_new(void); /* NULL: no memory, or no random numbers */
void failures_free(struct failures *failures);
/* Counts and bans so far stay. 0 of either: no bans. */
void failures_configure(struct failures *failures, uint32_t max_failures, uint32_t ban_seconds);

/*
 * `user` with data NULL: the address alone. `address` NULL: the user alone, for one who is logged in already and tells
 * the own password again; these are counted apart from all others.
 */
/* Seconds until the ban ends; 0: there is none. `now_ms` is of the monotonic clock. */
uint32_t failures_banned(struct failures *failures, const char *address, velocity_slice user, int64_t now_ms);
/* Answers the seconds of the ban that begins with this failure; 0: none does. */
uint32_t failures_add(struct failures *failures, const char *address, velocity_slice user, int64_t now_ms);
/* The pair did it right: its count begins anew. The address's does not, for who guesses may also know one password. */
void failures_forget(struct failures *failures, const char *address, velocity_slice user);

struct failures_stats {
    uint64_t failures, bans; /* so far */
    uint64_t banned_now;     /* pairs and addresses */
};
void failures_stats(struct failures *failures, int64_t now_ms, struct failures_stats *out);

#endif
