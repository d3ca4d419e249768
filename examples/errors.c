/*
 * errors.c - what can go wrong, and what to do then. Every call that can fail answers a status, which the compiler does
 * not let you ignore; velocity_error_message() says it in words, for this thread.
 */
#include "example.h"

#include <string.h>

/* What a program does about it. */
static const char *advice(velocity_status status) {
    switch (status) {
    case VELOCITY_OK: return "go on";
    case VELOCITY_NOT_FOUND: return "an answer: the key is not there";
    case VELOCITY_INVALID: return "a bug of the caller: nothing was done";
    case VELOCITY_CONFLICT: return "somebody was faster: read again, try again";
    case VELOCITY_BUSY: return "release what is alive, or wait, then try again";
    case VELOCITY_LOCKED: return "another process has it open";
    case VELOCITY_NO_SPACE: return "nothing was done: make room; reads and deletes go on";
    case VELOCITY_NO_MEMORY: return "nothing was done";
    case VELOCITY_IO: return "of a write: nobody knows whether it happened: open again and look";
    case VELOCITY_READ_ONLY: return "a sync failed: open the database again before you write";
    case VELOCITY_CORRUPT: return "a file is damaged: velocity_verify tells how much, velocity_repair saves the rest";
    case VELOCITY_UNSUPPORTED: return "a file of a newer version, or something this system cannot do";
    case VELOCITY_INCOMPLETE: return "it is not in the cache: ask again without cache_only";
    case VELOCITY_HISTORY_GONE: return "the log does not reach back that far: copy everything, then follow from there";
    }
    return "a status of a newer version: see velocity.h";
}

static void expect(const char *what, velocity_status wanted, velocity_status status) {
    printf("%s: %s - %s\n", what, velocity_status_name(status), advice(status));
    if (status == wanted) return;
    fprintf(stderr, "expected %s; %s\n", velocity_status_name(wanted), velocity_error_message());
    exit(1);
}

int main(int argc, char **argv) {
    const char *path = argc > 1 ? argv[1] : "errors.db";
    velocity *db, *second;
    velocity_value value;
    velocity_options options = velocity_options_default();

    options.create_if_missing = false;
    expect("open what is not there", VELOCITY_NOT_FOUND, velocity_open(path, &options, &db));
    options = velocity_options_default();
    options.memtable_bytes = 1;
    expect("an option out of range", VELOCITY_INVALID, velocity_open(path, &options, &db));
    if (!strstr(velocity_error_message(), "memtable_bytes")) return 1; /* the message names it */

    MUST(velocity_open(path, NULL, &db));
    expect("open it twice", VELOCITY_LOCKED, velocity_open(path, NULL, &second));
    expect("a key without bytes", VELOCITY_INVALID, velocity_put(db, velocity_str(""), velocity_str("x")));
    expect("a key that is absent", VELOCITY_NOT_FOUND, velocity_get(db, velocity_str("absent"), &value));

    /* Errors of a batch stick to it: look once, at the end. */
    velocity_batch *batch = velocity_batch_new();
    if (!batch) return 1;
    velocity_batch_put(batch, velocity_str("a"), velocity_str("1"), NULL);
    velocity_batch_put(batch, velocity_str(""), velocity_str("2"), NULL);
    expect("a batch with a bad operation", VELOCITY_INVALID, velocity_write(db, batch, NULL, NULL));
    expect("and nothing of it was written", VELOCITY_NOT_FOUND, velocity_contains(db, velocity_str("a")));
    velocity_batch_clear(batch);
    velocity_batch_require(batch, velocity_str("a"), VELOCITY_EXISTS);
    velocity_batch_delete(batch, velocity_str("a"));
    expect("a condition that does not hold", VELOCITY_CONFLICT, velocity_write(db, batch, NULL, NULL));
    velocity_batch_free(batch);

    velocity_snapshot *snapshot = velocity_snapshot_new(db);
    if (!snapshot) return 1;
    expect("close while a snapshot lives", VELOCITY_BUSY, velocity_close(db));
    velocity_snapshot_free(snapshot);
    expect("and without", VELOCITY_OK, velocity_close(db));
    return 0;
}
