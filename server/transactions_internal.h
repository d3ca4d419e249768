/*
 * transactions_internal.h - what the registry of transactions and what may be done inside of one share.
 */
#ifndef VELOCITY_SERVER_TRANSACTIONS_INTERNAL_H
#define VELOCITY_SERVER_TRANSACTIONS_INTERNAL_H

#include "engine/env.h"
#include "server/transactions.h"

#define TRANSACTION_BUCKETS 256u

struct transaction {
    struct store store;  /* what is seen of it inside: transaction_store.c */
    struct store *inner; /* the engine's */
    struct transactions *all;
    struct transaction *next; /* in its bucket, or in a list of those to be freed */
    struct principal *principal;
    struct database *database;
    velocity_isolation isolation;
    uint8_t id[OUTCOME_ID_BYTES];
    char id_text[TRANSACTION_ID_BYTES];
    uint64_t owner;      /* hash of who may ask for it */
    int64_t begun_at_ms; /* wall clock */
    /* under the registry's mutex */
    uint64_t begun_ms, used_ms; /* the registry's clock */
    uint64_t generation;        /* auth's, when its principal was last known to hold */
    bool inside;
    bool doomed;               /* it ends when whoever is inside leaves */
    enum transaction_end doom; /* for this reason */
    /* of whoever is inside */
    uint64_t written_bytes, noted_bytes; /* memory for its writes, and for what it remembers of its reads */
    uint32_t ranges;                     /* range deletes among its writes */
    bool puts;
    enum transaction_excess excess;
    struct store_commit commit, *asked; /* of the commit under way, and who waits for it */
};

struct transactions {
    struct databases *databases;
    struct auth *auth;
    struct databases_listener listener;
    uint64_t idle_ms, max_ms, max_bytes, max_total_bytes;
    uint32_t max_per_user;
    uint64_t (*now_ms)(void *arg);
    void *now_arg;
    _Atomic uint64_t bytes; /* that all hold */
    bool sweeping;          /* the sweeper was started */
    env_thread sweeper;

    env_mutex mutex; /* guards what follows, and the parts of each that say so; auth's locks are taken under it */
    env_condition wake;
    struct transaction *buckets[TRANSACTION_BUCKETS]; /* by id */
    uint32_t open;
    bool ending;
    struct outcomes *committed, *lost; /* by a commit of something that was written */
    struct outcomes *ended;            /* the others */
    struct transactions_stats stats;
};

/* transaction_store.c: fills transaction->store, over inner. */
void transaction_store_init(struct transaction *transaction);
/* Takes memory for something. False: more than there may be, and `excess` says which limit. */
VELOCITY_CHECK_RESULT bool transaction_take_bytes(struct transaction *transaction, uint64_t *part, uint64_t bytes,
                                                  uint64_t most);

#endif
