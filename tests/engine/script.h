/*
 * script.h - a long random sequence of calls by one client, and a record in words of all that they answered. What a
 * script calls follows from its seed (and from answers): so databases that differ in options, machine or threads alone
 * must lead to the same record.
 *
 * Values that stand pinned, snapshots, iterators and transactions live over many steps. Of a script that has the
 * database alone, versions are part of the record; scripts beside one another keep to keys that begin with a letter of
 * their own.
 *
 * Threads: a script belongs to one at a time.
 */
#ifndef VELOCITY_SCRIPT_H
#define VELOCITY_SCRIPT_H

#include "engine/env.h"
#include "model.h"

#include <stdio.h>

enum {
    SCRIPT_VALUES = 2,
    SCRIPT_SNAPSHOTS = 3,
    SCRIPT_CURSORS = 2,
    SCRIPT_TXNS = 2,
    SCRIPT_SAVEPOINTS = 4,
    SCRIPT_BATCH = 24,
    SCRIPT_ASYNC = 4
};

struct script_cursor {
    velocity_iterator *it; /* NULL: none */
    bool keys_only;
};

struct script_txn {
    velocity_txn *txn; /* NULL: none */
    uint64_t savepoints[SCRIPT_SAVEPOINTS];
    size_t savepoint_count;
};

/* An asynchronous write under way. */
struct script_write {
    struct script *script;
    velocity_batch *batch;
    velocity_status status;
    uint64_t sequence;
};

struct script {
    struct model *m;   /* keys, values, the day and the random numbers; what the database holds it does not know */
    velocity *db;      /* set by whoever opens it */
    char letter;       /* 0: the database is this script's alone */
    char failure[400]; /* the first that nothing in the script explains; "": none */

    FILE *record; /* to `text`, a line for each step */
    char *text;
    size_t text_bytes;

    velocity_value values[SCRIPT_VALUES];
    bool holds[SCRIPT_VALUES];
    velocity_snapshot *snapshots[SCRIPT_SNAPSHOTS];
    struct script_cursor cursors[SCRIPT_CURSORS];
    struct script_txn txns[SCRIPT_TXNS];

    struct script_write writes[SCRIPT_ASYNC];
    env_mutex mutex; /* guards under_way, and what `writes` were answered until it is 0 */
    env_condition settled;
    size_t under_way;
};

void script_init(struct script *s, uint64_t seed, size_t keys, char letter);
/* The record stays until script_clear, and is complete after it. */
void script_end(struct script *s);
void script_clear(struct script *s);
/* One random call or a few that belong together. */
void script_step(struct script *s);
/* Gives back all handles, so that the database can be closed. */
void script_release(struct script *s);

/* Writes every entry to the record, both ways; versions where wanted. */
void script_dump(velocity *db, bool versions, FILE *record);

/* For the script_*.c alone: */

void script_say(struct script *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void script_say_status(struct script *s, velocity_status status);
void script_say_operation(struct script *s, const struct model_operation *op);
/* Where the database is: an answer only where nobody else writes. */
void script_say_sequence(struct script *s, uint64_t sequence);
/* How a key's version is recorded: itself, where nobody else writes; else whether there is one. */
uint64_t script_version(const struct script *s, uint64_t sequence);
void script_say_value(struct script *s, velocity_status status, const velocity_value *value);
velocity_range script_random_range(struct script *s, uint8_t space[3][MODEL_BOUND_BYTES]);
/* Goes over the range to its end, or about for so many moves, and records what was seen. */
void script_scan(struct script *s, velocity_iterator *it, bool keys_only);
void script_move(struct script *s, velocity_iterator *it, bool keys_only);
void script_read_step(struct script *s);
void script_txn_step(struct script *s);
void script_release_reads(struct script *s);
void script_release_txns(struct script *s);

#endif
