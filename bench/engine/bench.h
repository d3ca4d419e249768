/*
 * bench.h - what the parts of velocity_bench_engines share.
 *
 * The program runs one table of rows (rows.c) on several engines. The parent process (main.c, report.c) starts one
 * child for every engine and group of rows; the child (child.c) opens a database of its own, runs the group's rows
 * (load.c) and prints one line a result, which the parent reads. An engine is a `bench_engine`: a table of functions.
 *
 * Errors: a benchmark that goes on after an error measures nothing, so every failure ends the process (bench_fail).
 */
#ifndef VELOCITY_BENCH_H
#define VELOCITY_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BENCH_KEY_BYTES           16u
#define BENCH_MEMTABLE_BYTES      ((uint64_t)64 << 20)
#define BENCH_CACHE_BYTES         ((uint64_t)256 << 20)
#define BENCH_FILTER_BITS         10
#define BENCH_FALSE_POSITIVE_RATE 0.01 /* what 10 bits a key give */

/* Prints to stderr and ends the process with 1. */
__attribute__((noreturn, format(printf, 1, 2))) void bench_fail(const char *format, ...);

/* What one child is told. */
typedef struct {
    const char *directory; /* of the database; exists and is empty */
    uint64_t keys;         /* how many the database holds */
    uint32_t value_bytes;
    bool durable;     /* every put is on disk before it returns */
    uint32_t threads; /* that will use the database at once, at most */
} bench_settings;

/* Called once when an asynchronous put is on disk, on a thread of the engine's. */
typedef void (*bench_done)(void *arg);

typedef enum { BENCH_LSM, BENCH_BTREE, BENCH_BARE } bench_kind;

/*
 * An engine. `open` gives a database, `session_new` what one thread needs to use it; a session belongs to one thread at
 * a time. NULL functions: the engine has no such thing.
 */
typedef struct {
    const char *id;    /* on the command line */
    const char *title; /* in the table */
    bench_kind kind;
    const char *(*version)(void); /* NULL: it has none */
    const char *configuration;    /* its settings, in words, for the report */
    void *(*open)(const bench_settings *settings);
    void (*close)(void *db);
    void *(*session_new)(void *db);
    void (*session_free)(void *session);
    void (*put)(void *session, const char *key, const void *value, size_t size);
    void (*remove)(void *session, const char *key);
    /* All keys from `from` up to `to`, without that, in one operation. NULL: there is nothing like it. */
    void (*remove_range)(void *session, const char *from, const char *to);
    /* False: not there. Adds up all bytes of the value in *sum, so that they are really read. */
    bool (*get)(void *session, const char *key, uint64_t *sum);
    /* Copies the value to `buffer`; its size, or -1: not there. For checks, not for measuring. */
    int64_t (*copy)(void *session, const char *key, void *buffer, size_t capacity);
    /* Reads up to `rows` rows from `start` (NULL: the first) on, adds their bytes up; how many there were. */
    uint64_t (*scan)(void *session, const char *start, uint64_t rows, uint64_t *sum);
    /* Whether the engine says that background work is queued or running. NULL: it does not say. */
    bool (*busy)(void *db);
    /* Moves everything into one sorted run. NULL: there is nothing like it. */
    void (*compact)(void *db);
    /* Writes what is in memory to the disk and empties the cache. NULL: there is nothing like it. */
    void (*shed)(void *db);
    /* Asynchronous durable puts with `slots` places; a place is free again when its `done` has run. False: try later.
     */
    void (*slots_new)(void *session, uint32_t slots);
    bool (*put_slot)(void *session, uint32_t slot, const char *key, const void *value, size_t size, bench_done done,
                     void *arg);
    bool maps_files; /* it reads its files through memory: no system call tells how much */
    bool on_request; /* not in the table unless --engines names it */
} bench_engine;

/* NULL-terminated; those that this build has. */
extern const bench_engine *const bench_engines[];

/* Adds all bytes up, eight at a time: every cache line of the value is loaded. */
static inline uint64_t bench_touch(const void *data, size_t size) {
    const unsigned char *p = (const unsigned char *)data;
    uint64_t sum = size, word;
    for (; size >= sizeof word; p += sizeof word, size -= sizeof word) {
        memcpy(&word, p, sizeof word);
        sum += word;
    }
    for (; size > 0; p++, size--) sum += *p;
    return sum;
}

#ifdef __cplusplus
}
#endif
#endif
