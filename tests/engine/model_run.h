/*
 * model_run.h - one database under test beside its model, on the simulated machine: opens, does random operations,
 * dies, recovers, and compares everything.
 *
 * What an operation answers is compared at once. After the process is gone (env_sim_crash_after) nothing that it
 * answers counts; what was under way may or may not have happened, and run_recover finds out which.
 */
#ifndef VELOCITY_MODEL_RUN_H
#define VELOCITY_MODEL_RUN_H

#include "engine/database.h"
#include "env_sim.h"
#include "model.h"

enum { RUN_SNAPSHOTS = 4, RUN_CURSORS = 3, RUN_ASYNC = 8, RUN_BATCH = 24, RUN_TXNS = 3, RUN_SAVEPOINTS = 4 };

/* A write_async under way. */
struct run_async {
    velocity_batch *batch;
    struct model_operation operations[RUN_BATCH];
    size_t count;
    bool done, settled; /* settled: the model knows of it */
    bool durable;
    velocity_status status;
    uint64_t sequence;
};

/* An iterator and where the model says that it stands. */
struct run_cursor {
    velocity_iterator *it;
    bool reverse, keys_only;
    uint64_t sequence;
    long day;
    long low, high; /* the keys of its range */
    long position;  /* -1: not valid */
};

/* A transaction under way, and what the model knows of it. */
struct run_savepoint {
    uint64_t number;
    size_t count;
};
struct run_txn {
    velocity_txn *txn; /* NULL: none */
    velocity_isolation isolation;
    uint64_t begin;
    long day;
    struct model_operation operations[RUN_BATCH];
    size_t count;
    struct run_savepoint savepoints[RUN_SAVEPOINTS];
    size_t savepoint_count;
    bool *read; /* by key: it was looked at in the database */
};

struct run {
    uint64_t seed;
    unsigned step;
    char doing[200]; /* for messages */
    env_sim *sim;
    struct model *m;
    velocity *db;
    velocity_options options;
    velocity_snapshot *snapshots[RUN_SNAPSHOTS];
    long snapshot_days[RUN_SNAPSHOTS];
    struct run_cursor cursors[RUN_CURSORS];
    struct run_txn txns[RUN_TXNS];
    struct run_async *async[RUN_ASYNC]; /* oldest first */
    size_t async_count;
    velocity_changes *feed;
    uint64_t fed;            /* what a feed has shown last, over its lives; 0: nothing */
    uint64_t copied;         /* the sequence of the checkpoint that is under way, or was when the process ended */
    bool copying, copy_made; /* made: it has been answered that it is there */
    bool trace;              /* print what is done */
    bool random_options;     /* each open draws new ones */
    uint64_t table_bytes; /* not 0: less than can be asked for, that few keys be many tables, compacted in portions */
    bool space_may_end;   /* NO_SPACE is an answer */
    bool io_may_fail;     /* IO, and then READ_ONLY, is an answer; `failed` tells that it was given */
    bool failed;
    uint64_t floor;                                  /* the next open must find everything up to here */
    long wall_day, acked_day, synced_day, day_floor; /* of the time as model.h has it for the sequences */
};

struct run *run_new(uint64_t seed, size_t keys);
/* Closes the database if it is open, and expects that to go well. */
void run_free(struct run *r);
/* Prints what is needed to repeat the failure and fails the test. */
_Noreturn void run_fail(struct run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define RUN_EXPECT(r, condition)                                                                                       \
    do {                                                                                                               \
        if (!(condition)) run_fail(r, "%s:%d: %s", __FILE__, __LINE__, #condition);                                    \
    } while (0)

/* Opens and finds the state in the model. Does nothing more where a crash strikes. Anything else is a failure. */
void run_open(struct run *r);
void run_close(struct run *r);
/* The process is gone: frees its handles, then kills it or cuts the power, and opens again until that succeeds. */
void run_recover(struct run *r, bool power_cut);
bool run_crashed(struct run *r);

/* One random operation. */
void run_step(struct run *r);
/* The single kinds of them. What writes answers its status: OK, CONFLICT, NO_SPACE where allowed. */
velocity_status run_put(struct run *r);
velocity_status run_batch(struct run *r);
velocity_status run_txn(struct run *r);
void run_flush(struct run *r);
void run_compact(struct run *r);
void run_reopen(struct run *r);
void run_turn_clock(struct run *r); /* days pass, or somebody sets the wall clock back */
/* Opens a change feed, reads on in it, or closes it; model_history.c. */
void run_follow(struct run *r);
/* Reads a feed from the oldest change that it answers for up to the end. */
void run_follow_all(struct run *r);
/* Makes a checkpoint, opens it, compares it and removes it. */
void run_checkpoint(struct run *r);
void run_idle(struct run *r);
void run_resize_cache(struct run *r);

/* Every key by get, every entry by scans in both directions. */
void run_compare_all(struct run *r);
/* Whether the whole database is exactly the model's state at `sequence`; if not, and asked, prints the first
 * difference. */
bool run_state_is(struct run *r, uint64_t sequence, bool tell);

/* For model_run.c, model_read.c and model_txn.c alone: */
void run_doing(struct run *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
void run_read_step(struct run *r);
/* What a lookup answered must be the model's newest. */
void run_expect_value(struct run *r, size_t key, velocity_status status, const velocity_value *value);
bool run_may_have_failed(struct run *r, velocity_status status);
/* After the process ended while a checkpoint was made: the copy is whole or not there. */
void run_look_at_copy(struct run *r);
void run_release_handles(struct run *r);
void run_txn_step(struct run *r);
void run_txn_release(struct run *r);
/* Whether the transaction must lose if it commits now. */
bool run_txn_conflicts(const struct run *r, const struct run_txn *t);
/* Commits; what it answers must be what the model foretells. */
velocity_status run_txn_commit(struct run *r, struct run_txn *t);

#endif
