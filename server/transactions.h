/*
 * transactions.h - transactions that last from one request to the next: begun, entered by one request at a time, and
 * ended by a commit, a rollback, or because nobody comes any more; how they ended is remembered for ten minutes.
 *
 *     begin --> (open) --enter--> (inside) --commit--> (committing) --OK, CONFLICT, IO, READ_ONLY ...--> ended
 *                 |  ^               |                     |
 *                 |  +----leave------+                     |
 *                 |  +----BUSY, NO_SPACE, NO_MEMORY: may be committed again
 *                 +--rollback; idle or open for too long; rights taken back; database dropped ---------> ended
 *
 * A transaction belongs to the login that began it - the same token, session, or user with the same password - and to
 * its database: to everybody else it is not there. So a right that is taken back takes the transaction with it, and
 * nothing is committed that whoever wrote it may not write any more.
 *
 * Memory is bounded: TRANSACTIONS_MAX of them, so many a user; each with max_bytes for what it writes, and all together
 * with max_total_bytes, what serializable ones remember of their reads included. The memory of ended ones, too:
 * outcomes.h.
 *
 * Threads: any; one request belongs to a thread at a time. Ending a transaction waits for nothing but memory to be
 * freed. A thread of its own ends those that are due.
 */
#ifndef VELOCITY_SERVER_TRANSACTIONS_H
#define VELOCITY_SERVER_TRANSACTIONS_H

#include "server/auth.h"
#include "server/databases.h"
#include "server/outcomes.h"
#include "server/store.h"

struct transactions;
struct transaction;

#define TRANSACTIONS_MAX         1024u /* open ones */
#define TRANSACTION_ID_BYTES     33    /* 32 hexadecimal digits and a NUL: 128 random bits */
#define TRANSACTION_PREFIX_BYTES 8     /* of an id, for logs and lists: who reads them must not be able to enter */
#define TRANSACTIONS_KEPT_MS     UINT64_C(600000)

struct transactions_options {
    struct databases *databases; /* the caller's, both; they must outlive it */
    struct auth *auth;
    uint32_t idle_seconds; /* without a request; 0: 30 */
    uint32_t max_seconds;  /* from begin to end; 0: 300 */
    uint32_t max_per_user; /* open at once; 0: 16 */
    uint64_t max_bytes;    /* of memory for what one writes; 0: 64 MiB */
    uint64_t max_total_bytes;
    /* The monotonic clock and a thread that ends what is due, or another clock and none: for tests. */
    uint64_t (*now_ms)(void *arg);
    void *now_arg;
};

/* NULL when memory or a thread could not be had. */
struct transactions *transactions_new(const struct transactions_options *options);
/* Nobody may be inside. Rolls back what is open. NULL is allowed. */
void transactions_free(struct transactions *all);

/* Who asks for one, and where. */
struct transaction_caller {
    struct principal *principal;
    velocity_slice database;
};

struct transaction_info {
    char id[TRANSACTION_ID_BYTES];
    const char *user; /* of transactions_list: "" where nobody is configured; lives during the call */
    velocity_isolation isolation;
    int64_t begun_at_ms, expires_at_ms; /* by the wall clock */
    uint32_t idle_seconds;              /* without a request, after which it ends */
};

/* CONFLICT: the user has as many as there may be; BUSY: all have, or there is no memory for more; NOT_FOUND and the
 * like: as databases_acquire. */
VELOCITY_CHECK_RESULT velocity_status transactions_begin(struct transactions *all,
                                                         const struct transaction_caller *caller,
                                                         velocity_isolation isolation, struct transaction_info *out);

enum transaction_entry {
    TRANSACTION_ENTERED,
    TRANSACTION_BUSY,    /* another request is inside, or it is being committed */
    TRANSACTION_UNKNOWN, /* never was there, is somebody else's, or ended too long ago */
    TRANSACTION_ENDED,   /* outcome->end says how; outcome_clear it */
};

/* outcome.end */
enum transaction_end {
    TRANSACTION_COMMITTED, /* a commit was answered: outcome.status, version, message */
    TRANSACTION_ROLLED_BACK,
    TRANSACTION_IDLE,
    TRANSACTION_OLD,
    TRANSACTION_REVOKED, /* who began it may no longer do what they could */
    TRANSACTION_DROPPED, /* its database is being dropped */
};

/* 32 hexadecimal digits? */
bool transaction_id_is_good(velocity_slice id);
/* ENTERED: *out is the caller's until transaction_leave or the end of its commit. ENDED: *outcome is filled. */
enum transaction_entry transactions_enter(struct transactions *all, velocity_slice id,
                                          const struct transaction_caller *caller, struct transaction **out,
                                          struct outcome *outcome);
/* The same question without entering, of a request that has come and may take its time to be all there: so it counts as
 * used. */
enum transaction_entry transactions_look(struct transactions *all, velocity_slice id,
                                         const struct transaction_caller *caller, struct outcome *outcome);
void transaction_leave(struct transaction *transaction);
/* ENTERED: it is rolled back. */
enum transaction_entry transactions_rollback(struct transactions *all, velocity_slice id,
                                             const struct transaction_caller *caller, struct outcome *outcome);

/* ---- inside of one ---------------------------------------------------------------------------------------------- */

/* What may be done inside, within its memory. Beyond it a write or read answers INVALID or BUSY, see below. */
struct store *transaction_store(struct transaction *transaction);
bool transaction_takes_space(const struct transaction *transaction); /* it has put something */

enum transaction_excess { TRANSACTION_FITS, TRANSACTION_TOO_LARGE, TRANSACTIONS_TOO_LARGE /* all together */ };
/* Why the last thing that was done inside failed; FITS: for another reason. */
enum transaction_excess transaction_excess(const struct transaction *transaction);

/* Leaves, too: done runs once, when the outcome is remembered. As store_operations.commit else. */
void transaction_commit(struct transaction *transaction, struct store_commit *commit);

/* ---- around them ------------------------------------------------------------------------------------------------ */

/* Ends those that are due. Its own thread does so each second. */
void transactions_sweep(struct transactions *all);

/* Of one database, and of one user (NULL: of all). `row` calls nothing of this. False ends it. */
void transactions_list(struct transactions *all, velocity_slice database, const char *user,
                       bool (*row)(void *arg, const struct transaction_info *info), void *arg);

struct transactions_stats {
    uint32_t open, remembered;
    uint64_t bytes, max_bytes; /* what open ones hold, and may hold together */
    uint64_t begun, committed, conflicts, rolled_back, timed_out, refused; /* since the start */
};
void transactions_stats(struct transactions *all, struct transactions_stats *out);

#endif
