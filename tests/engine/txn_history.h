/*
 * txn_history.h - what transactions have done, and whether an isolation allows it: the direct serialization graph of
 * Adya, "Weak Consistency: A Generalized Theory and Optimistic Implementations for Distributed Transactions" (1999).
 *
 * Nodes are committed transactions. ww: one wrote the version of a key that follows the other's. wr: one read what the
 * other wrote. rw: one wrote the version that follows the one that the other read, or found absent. The keys are few
 * and known, so reading a range is reading each key in it, present or not, and phantoms are rw edges like any other.
 *
 * Threads: one; the recording ones each make transactions of their own, and txn_history_add takes them all in
 * afterwards.
 */
#ifndef VELOCITY_HISTORY_H
#define VELOCITY_HISTORY_H

#include "engine/velocity.h"

enum { HISTORY_KEYS = 12, HISTORY_ACCESSES = 48 };

struct txn_history_read {
    uint32_t key;
    uint64_t writer; /* number of the transaction whose value was seen; 0: the key was absent */
};

struct txn_history_write {
    uint32_t key;
    bool deleted;
    uint64_t sequence; /* of the operation; a range delete writes several keys with one */
};

struct txn_history_transaction {
    uint64_t number; /* unique, not 0; stands in all values that it writes */
    uint64_t begin;  /* the sequence that it reads at; not meant for READ_COMMITTED */
    size_t read_count, write_count;
    struct txn_history_read reads[HISTORY_ACCESSES]; /* not of its own writes */
    struct txn_history_write writes[HISTORY_ACCESSES];
};

struct history {
    struct txn_history_transaction *transactions;
    size_t count, capacity;
};

void txn_history_clear(struct history *h);
/* A transaction that has committed. */
void txn_history_add(struct history *h, const struct txn_history_transaction *t);

/*
 * NULL, or in words what the isolation forbids:
 * READ_COMMITTED: a value read that nobody has committed, or not as its last; a cycle of ww and wr edges.
 * SNAPSHOT: also a read that is not of the newest version at `begin`; a key written between `begin` and the own write
 * of it; a cycle without two rw edges in a row (Fekete et al., "Making Snapshot Isolation Serializable", 2005).
 * SERIALIZABLE: also any cycle.
 */
const char *txn_history_violation(const struct history *h, velocity_isolation isolation);

#endif
