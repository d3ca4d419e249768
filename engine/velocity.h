/*
 * velocity.h - the public interface of libvelocity, an embeddable, durable key-value engine (an LSM tree).
 *
 *     velocity *db;
 *     if (velocity_open("data", NULL, &db) != VELOCITY_OK) { fprintf(stderr, "%s\n", velocity_error_message()); ... }
 *     velocity_put(db, velocity_str("user:1"), velocity_str("hello"));
 *     velocity_value v;
 *     if (velocity_get(db, velocity_str("user:1"), &v) == VELOCITY_OK) {
 *         fwrite(v.data, 1, v.size, stdout);
 *         velocity_value_release(&v);
 *     }
 *     velocity_close(db);
 *
 * This header is the manual. Conventions:
 *
 * - Every function may be called from any thread at any time, on the same `velocity`, unless its comment says
 *   otherwise. Iterators, batches, transactions, values and change feeds belong to one thread at a time.
 * - Functions that can fail return velocity_status. On anything but OK (and NOT_FOUND, which is an answer) this
 *   thread's velocity_error_message() says what happened and to which file; it stays until this thread's next failure.
 * - A `velocity_slice` is borrowed: the callee reads it during the call only, unless the comment says longer.
 * - Structs that may grow begin with `struct_size`, set to sizeof the struct that the caller was compiled with; the
 *   ..._default() functions set it. Fields past the caller's size take their defaults.
 * - A call takes less than 64 KiB of its thread's stack, and what its callbacks take.
 * - Units stand last in names: _bytes, _ms. Times are milliseconds since 1970-01-01T00:00:00Z.
 */
#ifndef VELOCITY_H
#define VELOCITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define VELOCITY_CHECK_RESULT __attribute__((warn_unused_result))
#else
#define VELOCITY_CHECK_RESULT
#endif

#define VELOCITY_VERSION_MAJOR  0
#define VELOCITY_VERSION_MINOR  1
#define VELOCITY_VERSION_PATCH  0
#define VELOCITY_VERSION_STRING "0.1.0"

/* Limits. Beyond them: VELOCITY_INVALID, nothing done. A key has at least 1 byte; a value may be empty. */
#define VELOCITY_MAX_KEY_BYTES        65535u
#define VELOCITY_MAX_VALUE_BYTES      (1u << 30)
#define VELOCITY_MAX_BATCH_BYTES      ((1u << 30) + (1u << 20)) /* keys, values and 32 bytes an operation */
#define VELOCITY_MAX_BATCH_OPERATIONS (1u << 24)
#define VELOCITY_MAX_BATCH_RANGES     (1u << 16) /* range deletes in one batch */

typedef struct velocity velocity; /* an open database */
typedef struct velocity_shared velocity_shared;
typedef struct velocity_batch velocity_batch;
typedef struct velocity_snapshot velocity_snapshot;
typedef struct velocity_iterator velocity_iterator;
typedef struct velocity_changes velocity_changes;
typedef struct velocity_txn velocity_txn;

/* Borrowed bytes: any value, any NULs. */
typedef struct {
    const void *data;
    size_t size;
} velocity_slice;

static inline velocity_slice velocity_bytes(const void *data, size_t size) {
    velocity_slice s = {data, size};
    return s;
}
static inline velocity_slice velocity_str(const char *text) {
    return velocity_bytes(text, strlen(text));
}

/* The values are stable: new ones are only appended. */
typedef enum {
    VELOCITY_OK,
    VELOCITY_NOT_FOUND,    /* the key is not there */
    VELOCITY_INVALID,      /* an argument is outside its documented range; nothing was done */
    VELOCITY_CONFLICT,     /* a condition of the batch does not hold, or a transaction lost; nothing was done */
    VELOCITY_BUSY,         /* close: handles are alive; write_async: too much is pending; nothing was done */
    VELOCITY_LOCKED,       /* another process (or another handle of this one) has the database open */
    VELOCITY_CORRUPT,      /* a file is damaged; the message names file and offset */
    VELOCITY_IO,           /* the system reported an error; for a write the outcome is unknown */
    VELOCITY_NO_SPACE,     /* the disk, or the limit, is full; nothing was done */
    VELOCITY_NO_MEMORY,    /* an allocation failed; nothing was done */
    VELOCITY_READ_ONLY,    /* after a failed sync the database takes no writes until it is opened again */
    VELOCITY_UNSUPPORTED,  /* this build does not offer it, or the file is of a newer format */
    VELOCITY_INCOMPLETE,   /* cache_only: answering would need the disk */
    VELOCITY_HISTORY_GONE, /* the log no longer reaches back that far */
} velocity_status;

/* The name of a status ("NOT_FOUND"); static; "UNKNOWN" for a number that is none. */
const char *velocity_status_name(velocity_status status);
/* This thread's last failure in words, without a newline; "" if none. Valid until this thread's next call that fails.
 */
const char *velocity_error_message(void);
/* The library's version, VELOCITY_VERSION_STRING of its build. */
const char *velocity_version(void);

/* ---- options ------------------------------------------------------------------------------------------------ */

typedef enum {
    VELOCITY_COMPRESSION_NONE,
    VELOCITY_COMPRESSION_LZ4,      /* per block; a block that lz4 shrinks by less than 12% is kept raw */
    VELOCITY_COMPRESSION_ZSTD,     /* the same with zstd, level 1 */
    VELOCITY_COMPRESSION_ADAPTIVE, /* lz4, and on the last level zstd where it gains enough; see compress.c */
} velocity_compression;

/*
 * When a write is acknowledged. In every mode a write that was acknowledged survives the death of the process; the
 * modes differ in what survives a power cut.
 */
typedef enum {
    VELOCITY_DURABILITY_DEFAULT,  /* in write options: the database's; in database options: ALWAYS */
    VELOCITY_DURABILITY_ALWAYS,   /* after it is on disk (fdatasync, shared by the writes of a group) */
    VELOCITY_DURABILITY_INTERVAL, /* at once; a sync follows within interval_ms */
    VELOCITY_DURABILITY_OS,       /* at once; the operating system writes when it likes */
} velocity_durability;

typedef struct {
    size_t struct_size;
    bool create_if_missing;  /* true; false: NOT_FOUND where there is no database */
    uint64_t memtable_bytes; /* 64 MiB (64 KiB to 4 GiB): memory of the write buffer; up to two more may wait to be
                                flushed */
    uint64_t cache_bytes;    /* 64 MiB: block cache, holding data, index and filter blocks; unused with `shared` */
    double bloom_false_positive_rate; /* 0.01 (0.0001 to 0.5; 1: no filters) */
    uint32_t compaction_threshold;    /* 8 (2 to 64): level-0 tables that start a compaction */
    uint32_t block_bytes;             /* 4096 (1 KiB to 64 KiB): raw size of a data block before it is closed */
    uint64_t table_bytes;             /* 32 MiB (64 KiB to 1 GiB): size at which compaction begins a new table */
    velocity_compression compression; /* LZ4 */
    velocity_durability durability;   /* ALWAYS */
    uint32_t interval_ms;             /* 100 (1 to 60000): for INTERVAL */
    uint32_t max_open_files;          /* 1000 (at least 16): table and value files kept open; unused with `shared` */
    uint32_t background_threads;      /* 0: as many as cores; flush and compaction; unused with `shared` */
    uint64_t first_sequence; /* 1: floor for the sequence of the next write, so that versions never repeat for a name */
    uint64_t max_pending_bytes;    /* 64 MiB: batches of write_async not yet written, beyond which it answers BUSY */
    velocity_shared *shared;       /* NULL: private. Must outlive the database */
    uint64_t reserve_bytes;        /* 64 MiB (0: none): most that is kept free for a full disk, see below */
    velocity_slice encryption_key; /* empty: files are not encrypted; else 32 bytes: see "encryption" */
    const velocity_slice *old_encryption_keys; /* with which files may be encrypted that were written before */
    size_t old_encryption_key_count;
    velocity_slice encryption_passphrase; /* instead of the key, which is derived from it */
    const velocity_slice *old_encryption_passphrases;
    size_t old_encryption_passphrase_count;
    bool encryption_required; /* false; true: INVALID where a file is not encrypted. Needs a key or a passphrase */
    /* 0: none. Logs that recovery does not need any more are kept for change feeds, whole segments (1 to 16 MiB), the
     * newest so many bytes of them. They survive reopening with the option set, unless the encryption key changes; they
     * are never recycled */
    uint64_t log_retention_bytes;
    uint64_t max_database_bytes;  /* 0: no limit; else at least 32 MiB: see below */
    uint64_t value_log_threshold; /* 4096 (at least 32; 0: never): values from this size on stand apart, see below */
} velocity_options;

/*
 * Memory follows from the options:
 * - write buffers: three times memtable_bytes, and while writes go on as much as one of them kept ready for the next;
 * - the block cache: cache_bytes. Its memory comes from the system in regions of 2 MiB. So a cache that is used holds
 *   one at least, however small cache_bytes is, and what lies free between blocks comes on top;
 * - asynchronous writes: max_pending_bytes;
 * - a flush or a compaction: 256 KiB for each file that it reads or writes at a time, one block of each, and some 16
 *   bytes for each key of the table that it writes.
 * What follows from the database: of each table its top index (a key for each 8 KiB of index) and its range deletes
 * stay in memory as long as it is in use. What callers hold is theirs: batches, transactions, values, which keep a
 * block of the cache in memory after it has left it, and iterators: a block of each run that they stand on (a run is a
 * table of level 0, or a lower level) and, once they have read some blocks from the disk, up to 256 KiB a run to read
 * ahead, until they are freed.
 */

/*
 * A size limit (max_database_bytes). Once tables, value files and logs (retained ones, too) together would take more,
 * writes that put anything get NO_SPACE, with nothing done; deletes go on. Background work then merges as if the
 * database were idle, and when deletes, overwritten versions or expiry have given back enough, puts go on by
 * themselves. What a merge is writing counts once it takes the place of what it merged: until then the folder can hold
 * up to twice the limit. Deletes and the group that reaches the limit can go beyond it by what they themselves take.
 * memtable_bytes is at most a sixteenth of the limit, because the log holds what write buffers hold.
 */

/*
 * A full disk. Space for the log is set aside ahead, so a write that has none gets NO_SPACE before any of it is done;
 * reads go on. A file of zeros in the folder, 1/32 of what the tables take (at least 1 MiB, at most reserve_bytes), is
 * then given up for writes that only delete, and for the flushes and compactions that follow from them, as far as it
 * reaches; meanwhile everything else gets NO_SPACE at once. When there is room again, the file is made again and all
 * goes on by itself.
 */

velocity_options velocity_options_default(void);

/*
 * Values that stand apart. When a write buffer is flushed, values of at least value_log_threshold bytes go into value
 * files (each up to about four times table_bytes), and the tables hold references of some 30 bytes. Merging then moves
 * references only; a value is written once. Nothing else changes: versions, snapshots, durability and errors are the
 * same, and the option may differ at every open (what was written stays as it is until it is merged; a merge takes
 * values apart that now are large enough).
 *
 * The default was chosen by measuring: 600 MB loaded and twice overwritten at random, half compressible, a cache of
 * 256 MiB. Apart, values of 4 KiB cost 0.35 of the bytes written besides the log, at 0.95 of the puts, 0.8 of the gets
 * and as many rows scanned. Of 1 KiB they cost 0.5 of the bytes, but scans fell to 0.3 to 0.45: set 1024 where little
 * is scanned.
 *
 * - Space: value files take at most twice what tables refer to, once background work has settled (little more than
 *   that, while max_database_bytes refuses puts), and meanwhile the part that a round of reclaim copies besides.
 * Reclaim is a part of compaction: values still referred to are moved out of the files that hold the least, with their
 * version, flags and expiry.
 * - Reading one costs a read of the value file beyond that of the table's block. A value is cached as a whole, but not
 *   where it would take more than a quarter of one of the cache's shards (1 MiB with the default cache): then each
 *   reading goes to the disk, and cache_only answers INCOMPLETE.
 * - Scans read a value when velocity_iterator_value asks for it; keys_only and velocity_iterator_value_size never do.
 * - A damaged value file fails reads of the values concerned (CORRUPT), not the database.
 */

/* ---- encryption ---------------------------------------------------------------------------------------------- */

/*
 * With a key or a passphrase every file that is written (log, tables, values, manifest) is encrypted: AES-256-GCM, with
 * a key of its own for each file, derived from the given one. engine/FORMAT.md says what still shows, and to whom.
 * Memory is not encrypted: write buffers and the block cache hold what callers read and write.
 *
 * Keys and passphrases are copied by velocity_open, and the copies overwritten by velocity_close. From a passphrase the
 * key is derived by argon2id with the database's id as salt, 3 passes over 64 MiB in 4 lanes (RFC 9106, section 4, the
 * second recommended option): each passphrase given costs an opening that time and, meanwhile, that memory.
 *
 * A file whose key is not among those given makes the opening fail: INVALID, and the message names the key's id (never
 * the key). To change the key, to begin or to end encryption, open with the new key (or none) and the one before among
 * the old ones: what is written from then on has the new one, compaction carries the rest over, velocity_compact(db,
 * NULL) all of it. When velocity_stats.files_with_old_key is 0, the old key is not needed any more. Files that are not
 * encrypted are read beside encrypted ones, unless encryption_required is set: set it once all are, for without it
 * somebody who can write to the disk could replace a file by one that is not encrypted.
 */

/*
 * Reads a key from a file: 32 bytes, or 64 hexadecimal digits (and nothing else but a line end). INVALID: anything
 * else, or a file that others than its owner and group may read or write (chmod o-rwx). Keep the key in memory for as
 * long as velocity_open needs it, and overwrite it then.
 */
VELOCITY_CHECK_RESULT velocity_status velocity_key_from_file(const char *path, uint8_t key[32]);

/*
 * What several databases of a process use together: one cache, one pool of background threads, one budget of open
 * files, one of write buffers.
 *
 * memtable_bytes bounds the memory of all write buffers, however many databases there are: as it is reached, those that
 * hold the most are flushed before they are full, and writers wait where flushing can't keep up. Beyond it there can be
 * the memtable_bytes of one database, a chunk of 2 MiB for each thread that writes, what is kept ready for the next
 * buffers, and what values and iterators keep of buffers that were flushed. If nothing can be flushed, writes that need
 * more memory answer as the flush did.
 */
typedef struct {
    size_t struct_size;
    uint64_t cache_bytes;        /* 64 MiB */
    uint32_t max_open_files;     /* 1000 */
    uint32_t background_threads; /* 0: as many as cores */
    uint64_t memtable_bytes;     /* 0: no common limit; else at least 1 MiB, and better twice that of a database */
} velocity_shared_options;

velocity_shared_options velocity_shared_options_default(void);
/* NULL options: defaults. NULL when memory or threads could not be had (velocity_error_message() says which). */
velocity_shared *velocity_shared_new(const velocity_shared_options *options);
/* All databases that use it must be closed. NULL is allowed. */
void velocity_shared_free(velocity_shared *shared);

/* ---- open and close ----------------------------------------------------------------------------------------- */

/*
 * Opens the database in the folder `path`, making it (and its last folder) if it is missing, and recovers what the log
 * holds. NULL options: defaults. Costs what log and manifest hold, three or four short reads for each table
 * (header, footer, top index, references to values: a damaged one shows here) and one for each value file, not what the
 * database holds. LOCKED: open elsewhere. CORRUPT: a damaged file, named in the message. INVALID: an option outside its
 * range.
 */
VELOCITY_CHECK_RESULT velocity_status velocity_open(const char *path, const velocity_options *options, velocity **out);

/*
 * Ends background work, syncs the log (in every durability) and frees the handle. BUSY, with nothing done, while
 * values, iterators, snapshots, transactions or change feeds are alive or writes are under way (an asynchronous one
 * until its `done` has returned). Any other status: the handle is freed all the same. No other thread may use the
 * database during or after a close that does not answer BUSY.
 */
VELOCITY_CHECK_RESULT velocity_status velocity_close(velocity *db);

/* ---- reading ------------------------------------------------------------------------------------------------ */

#define VELOCITY_VALUE_INLINE_BYTES 256

/*
 * A value that was read. Small ones are copied into `inline_bytes`; larger ones are pinned where they are (cache or
 * write buffer) until released. `data` may point into the struct itself: never copy or assign the struct.
 */
typedef struct {
    const void *data;
    size_t size;
    uint32_t flags;        /* bits 0-7 the value's type, bits 8-31 the caller's; stored, not interpreted */
    uint64_t sequence;     /* the key's version: the sequence of the write that put it */
    int64_t expires_at_ms; /* 0: never */
    velocity *db;          /* internal */
    void *pin;             /* internal: NULL where the bytes are inline */
    unsigned char inline_bytes[VELOCITY_VALUE_INLINE_BYTES];
} velocity_value;

typedef struct {
    size_t struct_size;
    const velocity_snapshot *snapshot; /* NULL: the newest committed state */
    bool fill_cache;                   /* true: blocks read from disk are kept in the cache */
    bool cache_only;                   /* false; true: INCOMPLETE instead of reading the disk */
    /* Of get_many; NULL: nothing. Called as soon as a key was read, in their order, so that nobody has to hold more
     * values than they want: it may release this one, and by false it leaves all keys behind it unread, INCOMPLETE. It
     * runs in the midst of the read: no waiting, and no other call of the engine. */
    bool (*each)(void *each_arg, size_t index);
    void *each_arg;
} velocity_read_options;

velocity_read_options velocity_read_options_default(void);

/* OK: *out must be released. Anything else: *out is empty and need not be released. Waits for no writer. */
VELOCITY_CHECK_RESULT velocity_status velocity_get(velocity *db, velocity_slice key, velocity_value *out);
/* NULL options: defaults. */
VELOCITY_CHECK_RESULT velocity_status velocity_get_with(velocity *db, const velocity_read_options *options,
                                                        velocity_slice key, velocity_value *out);
/* Gives back what the value pins. Harmless when called again, and on a value that was never filled but zeroed. */
void velocity_value_release(velocity_value *value);
/* OK or NOT_FOUND; copies nothing. */
VELOCITY_CHECK_RESULT velocity_status velocity_contains(velocity *db, velocity_slice key);
/*
 * Reads n keys of one instant (a snapshot of its own unless options name one). values[i] is filled, and must be
 * released, where statuses[i] is OK. Answers OK if every status is OK or NOT_FOUND, else the first other one.
 */
VELOCITY_CHECK_RESULT velocity_status velocity_get_many(velocity *db, const velocity_read_options *options, size_t n,
                                                        const velocity_slice *keys, velocity_value *values,
                                                        velocity_status *statuses);

/* ---- writing ------------------------------------------------------------------------------------------------ */

typedef struct {
    size_t struct_size;
    uint32_t flags;        /* 0; see velocity_value */
    int64_t expires_at_ms; /* 0: never. Else the key is as if deleted from this instant on; negative: INVALID */
} velocity_put_options;

/*
 * Expiry. From its instant on (the time is >= expires_at_ms) a key is absent, for reads, scans and conditions; older
 * versions do not show in its place. A snapshot keeps the time at which it was made, an iterator its snapshot's or that
 * of its making. A put without expiry clears an earlier one. Space comes back by itself, once about a third of a table
 * has expired for every snapshot too.
 *
 * The time is the wall clock's, but never earlier than any that the database has lived by: setting the wall clock back
 * brings nothing back. Each write and an orderly close make that durable (with the write's own durability); a process
 * that dies, or a power cut, can undo only what time has passed since the last write that survives, and that shows only
 * if the wall clock is set back as well. A wall clock that runs far ahead for a moment expires keys for good.
 */

velocity_put_options velocity_put_options_default(void);

typedef struct {
    size_t struct_size;
    velocity_durability durability; /* DEFAULT: the database's */
} velocity_write_options;

velocity_write_options velocity_write_options_default(void);

/* One key, with default options. May wait while the disk catches up (see velocity_stats.stall_ms). */
VELOCITY_CHECK_RESULT velocity_status velocity_put(velocity *db, velocity_slice key, velocity_slice value);
/* OK whether or not the key was there. */
VELOCITY_CHECK_RESULT velocity_status velocity_delete(velocity *db, velocity_slice key);

/*
 * Deletes every key k with start <= k < end, as one operation with one sequence, whatever the range holds: what is put
 * there later stands. Both are keys (the end need not exist); INVALID unless start < end. Reads and scans pass by what
 * it covers; the space comes back with compaction, or at once where it covers whole tables.
 */
VELOCITY_CHECK_RESULT velocity_status velocity_delete_range(velocity *db, velocity_slice start, velocity_slice end);

/*
 * A batch is a list of operations that take effect together or not at all, in their order. It copies what it is given.
 * Errors (an argument out of range, memory) stick to the batch, and velocity_write reports the first.
 */
velocity_batch *velocity_batch_new(void); /* NULL: no memory */
/* NULL options: defaults. */
void velocity_batch_put(velocity_batch *batch, velocity_slice key, velocity_slice value,
                        const velocity_put_options *options);
void velocity_batch_delete(velocity_batch *batch, velocity_slice key);
void velocity_batch_delete_range(velocity_batch *batch, velocity_slice start, velocity_slice end);
/*
 * The batch is written only if `key` stands at this version at the commit point: a sequence, or one of the two below.
 * Conditions see the state before the batch. CONFLICT: velocity_batch_conflict() names the first that failed.
 */
#define VELOCITY_ABSENT UINT64_C(0)
#define VELOCITY_EXISTS UINT64_MAX
void velocity_batch_require(velocity_batch *batch, velocity_slice key, uint64_t sequence);
/* Empties it for reuse, the sticking error too. */
void velocity_batch_clear(velocity_batch *batch);
/* How many operations it holds; conditions do not count. */
size_t velocity_batch_count(const velocity_batch *batch);
/* After a CONFLICT: the index (from 0, in the order of the require calls) of the condition that failed, and in
 * *current_sequence (may be NULL) the version that the key had, VELOCITY_ABSENT if none. Else SIZE_MAX. */
size_t velocity_batch_conflict(const velocity_batch *batch, uint64_t *current_sequence);
void velocity_batch_free(velocity_batch *batch); /* NULL is allowed */

/* What a batch is composed from: the state that it will be written behind. Lives during the call of `compose`. */
typedef struct velocity_instant velocity_instant;
typedef velocity_status (*velocity_compose)(void *arg, velocity_instant *instant, velocity_batch *batch);
/*
 * Reads, decides and writes with no other write in between. When the batch's turn among all writes has come and its
 * conditions hold, `compose` is called once: it reads with velocity_instant_get, and adds puts and deletes to `batch`,
 * behind what that holds already: up to `operations` of them, their keys and values up to `bytes` together. Anything
 * but OK is what the write then answers, and nothing is written; beyond its limits, that is INVALID. What it was
 * composed of goes with the next operation that is added, and with its next write, which composes anew. A second call
 * replaces the first (NULL: nothing is composed); velocity_batch_clear forgets it.
 *
 * Many batches may compose from and change one key, each from what the one before it left, and share one sync: nobody
 * loses and begins again, as with velocity_batch_require. But all other writes wait meanwhile. So: quickly, and what
 * may have to come from the disk is better read once before the write, which leaves it in the cache. `compose` runs on
 * the commit thread or on any thread that writes; of this database it may call nothing but what is named here and
 * velocity_value_release.
 */
void velocity_batch_compose(velocity_batch *batch, uint32_t operations, uint64_t bytes, velocity_compose compose,
                            void *arg);
/* As velocity_get, of the state behind all writes before the batch: also of what is not on the disk yet, and reaches it
 * together with the batch. */
VELOCITY_CHECK_RESULT velocity_status velocity_instant_get(velocity_instant *instant, velocity_slice key,
                                                           velocity_value *out);

/*
 * Writes the batch. Each operation has a sequence of its own, consecutive within the batch; *sequence (may be NULL)
 * is the last one's: operation i of n has *sequence - n + 1 + i. A batch without operations checks its conditions and
 * answers the current sequence. NULL options: defaults. The batch stays the caller's, unchanged but for what it was
 * composed of.
 */
VELOCITY_CHECK_RESULT velocity_status velocity_write(velocity *db, velocity_batch *batch,
                                                     const velocity_write_options *options, uint64_t *sequence);
/*
 * The same without waiting. If it answers OK, `done` runs exactly once, on the database's commit thread, with no lock
 * held; the batch is borrowed until then. `done` may call velocity_write_async and nothing that waits, and may free the
 * batch. If it answers anything else, `done` never runs; BUSY: more than max_pending_bytes are pending.
 * What its conditions need of the disk is read when its turn has come, and all others wait for it; velocity_write reads
 * it before. So where conditions may be on keys that are not in the cache, better that.
 */
VELOCITY_CHECK_RESULT velocity_status
velocity_write_async(velocity *db, velocity_batch *batch, const velocity_write_options *options,
                     void (*done)(void *arg, velocity_status status, uint64_t sequence), void *arg);

/* ---- snapshots and iterators -------------------------------------------------------------------------------- */

/* A frozen view. Costs little; while it lives, the versions that it sees are kept. NULL: no memory. */
velocity_snapshot *velocity_snapshot_new(velocity *db);
uint64_t velocity_snapshot_sequence(const velocity_snapshot *snapshot);
void velocity_snapshot_free(velocity_snapshot *snapshot); /* NULL is allowed */

#define VELOCITY_PASSING_KEYS 16384

/* Empty slices (data NULL) mean no bound. All bounds given hold together. */
typedef struct {
    size_t struct_size;
    velocity_slice start; /* inclusive */
    velocity_slice end;   /* exclusive */
    velocity_slice prefix;
    bool reverse;                      /* stands on the last entry first; _next goes towards smaller keys */
    const velocity_snapshot *snapshot; /* NULL: the state at the call */
    bool keys_only;                    /* _value is empty; _value_size still tells */
    bool fill_cache;                   /* true */
    /* Whoever has little time: called each VELOCITY_PASSING_KEYS keys that are not shown because they are deleted or
     * have expired, with the last of them; all up to it (reverse: down to it) were looked at. False ends the move: the
     * iterator is not valid, with status INCOMPLETE. NULL: a move goes as far as it has to. It must not use the
     * iterator, which may just be in the making. Not asked about versions of a key that are not seen: those are as
     * many as write buffers hold (some 0.1 s of a buffer of 64 MiB that holds nothing else), and as snapshots keep. */
    bool (*passing)(void *arg, velocity_slice key);
    void *passing_arg;
} velocity_range;

velocity_range velocity_range_default(void);

/*
 * Stands on the first entry of the range (reverse: the last). Copies its bounds; sees one instant. Never NULL: on
 * failure it is not valid and _status says why. NULL range: everything. Keeps table files and memory alive until freed.
 */
velocity_iterator *velocity_iterator_new(velocity *db, const velocity_range *range);
bool velocity_iterator_valid(const velocity_iterator *it);
/* Both need a valid iterator. Past either end of the range the iterator is not valid; _seek makes it useful again. */
void velocity_iterator_next(velocity_iterator *it);
void velocity_iterator_prev(velocity_iterator *it);
/* To the first entry with a key >= `key` within the range (reverse: the last with a key <= `key`). */
void velocity_iterator_seek(velocity_iterator *it, velocity_slice key);
/* Of the current entry, which must be valid. Slices live until the iterator moves. */
velocity_slice velocity_iterator_key(const velocity_iterator *it);
/* May read the disk, where the value stands apart. If that fails the value is empty, and the iterator no longer valid:
 * _status says why. */
velocity_slice velocity_iterator_value(const velocity_iterator *it);
size_t velocity_iterator_value_size(const velocity_iterator *it);
uint32_t velocity_iterator_flags(const velocity_iterator *it);
uint64_t velocity_iterator_sequence(const velocity_iterator *it);
int64_t velocity_iterator_expires_at_ms(const velocity_iterator *it);
/* OK, also at the end; else why it stopped (its message is this thread's velocity_error_message()). */
VELOCITY_CHECK_RESULT velocity_status velocity_iterator_status(const velocity_iterator *it);
/* The sequence whose state the iterator shows. */
uint64_t velocity_iterator_snapshot_sequence(const velocity_iterator *it);
void velocity_iterator_free(velocity_iterator *it); /* NULL is allowed */

/* ---- transactions ------------------------------------------------------------------------------------------- */

/*
 * A transaction reads a view of the database with its own writes in it, which nobody else sees before it commits, and
 * then all at once. No locks: others are never kept waiting, and whoever commits first wins.
 *
 *                     reads see               commit answers CONFLICT if, since the transaction began,
 *   READ_COMMITTED    the newest state        never. Lost updates, changing reads and phantoms are possible
 *   SNAPSHOT          the state at the begin  a key that it writes was written: no lost update. Write skew is possible
 *   SERIALIZABLE      the state at the begin  also if anything that it read was written: a key, present or not, or a
 *                                             key in a range that an iterator went over. No anomaly is possible: the
 *                                             committed transactions might have run one by one, in their log order
 *
 * Written means any put or delete by anybody, also one that changes nothing; a range delete writes every key in its
 * range, those that are absent too. That a key expires is no write; for SNAPSHOT and SERIALIZABLE the time stands still
 * at the begin. All isolations may be mixed, with plain writes too; what is promised holds for those that ask for it.
 * Dirty reads do not exist. A transaction that wrote nothing never conflicts: all that it read was true together, at
 * its begin.
 *
 * Memory: each write is held twice, with 100 to 300 bytes around it; some 20 KiB for the first one. One batch's limits
 * hold (VELOCITY_MAX_BATCH_...). A SERIALIZABLE one remembers what it read up to the limits below; beyond them
 * neighbouring reads are joined into ranges, which may cause conflicts with keys between them that were not read, and
 * never misses one. A long one keeps the versions that it sees from being reclaimed, like a snapshot.
 *
 * Costs: a commit looks up each key read or written, and goes over the ranges read, in what was written since the
 * begin: first in its own thread, which may read the disk and keeps nobody waiting; then, only for what came since
 * that, in the group of writes, nearly always in the newest write buffer alone. The writes of the next group wait
 * meanwhile: about 0.3 us for each key, 0.03 us for each entry of the buffer that lies in a range. So a full read set
 * costs them some 20 ms, ranges that hold a whole buffer of 64 MiB some 10 ms; a commit beside which nobody wrote,
 * nothing.
 */
typedef enum {
    VELOCITY_ISOLATION_READ_COMMITTED,
    VELOCITY_ISOLATION_SNAPSHOT,
    VELOCITY_ISOLATION_SERIALIZABLE,
} velocity_isolation;

#define VELOCITY_TXN_READ_ENTRIES 65536u     /* keys and ranges read that are told apart */
#define VELOCITY_TXN_READ_BYTES   (4u << 20) /* of their keys */

/* *out must be freed. INVALID: no such isolation. NO_MEMORY. */
VELOCITY_CHECK_RESULT velocity_status velocity_txn_begin(velocity *db, velocity_isolation isolation,
                                                         velocity_txn **out);
/* The sequence whose state it reads: that of its begin, for READ_COMMITTED the newest. Not once it has ended. */
uint64_t velocity_txn_snapshot_sequence(const velocity_txn *txn);

/*
 * As their counterparts outside of transactions, with the transaction's own writes over its view. The version
 * (value.sequence) of an own write is VELOCITY_ABSENT: it has none yet. options->snapshot must be NULL, else INVALID.
 * READ_COMMITTED: all keys of one get_many, and all moves of one iterator, see one instant.
 */
VELOCITY_CHECK_RESULT velocity_status velocity_txn_get(velocity_txn *txn, velocity_slice key, velocity_value *out);
VELOCITY_CHECK_RESULT velocity_status velocity_txn_get_with(velocity_txn *txn, const velocity_read_options *options,
                                                            velocity_slice key, velocity_value *out);
VELOCITY_CHECK_RESULT velocity_status velocity_txn_contains(velocity_txn *txn, velocity_slice key);
VELOCITY_CHECK_RESULT velocity_status velocity_txn_get_many(velocity_txn *txn, const velocity_read_options *options,
                                                            size_t n, const velocity_slice *keys,
                                                            velocity_value *values, velocity_status *statuses);
/*
 * Sees the transaction's writes made before this call, and not those made later or what a rollback to a savepoint does
 * later. Never NULL (see velocity_iterator_new); range->snapshot must be NULL. It belongs to the transaction's thread,
 * counts as read as far as it went, and may outlive the transaction: it then goes on showing the same.
 */
velocity_iterator *velocity_txn_iterator(velocity_txn *txn, const velocity_range *range);

/* Anything but OK: this operation is not in the transaction, all others are. NULL options: defaults. */
VELOCITY_CHECK_RESULT velocity_status velocity_txn_put(velocity_txn *txn, velocity_slice key, velocity_slice value,
                                                       const velocity_put_options *options);
VELOCITY_CHECK_RESULT velocity_status velocity_txn_delete(velocity_txn *txn, velocity_slice key);
VELOCITY_CHECK_RESULT velocity_status velocity_txn_delete_range(velocity_txn *txn, velocity_slice start,
                                                                velocity_slice end);

/* Marks the present place among the transaction's writes; *savepoint names it. */
VELOCITY_CHECK_RESULT velocity_status velocity_txn_savepoint(velocity_txn *txn, uint64_t *savepoint);
/*
 * Takes back the writes made since. The savepoint stays and may be gone back to again; later ones are gone. Reads are
 * not taken back: they count for conflicts. Costs as much as the writes that stay. INVALID: no such savepoint.
 * NO_MEMORY: nothing was done.
 */
VELOCITY_CHECK_RESULT velocity_status velocity_txn_rollback_to(velocity_txn *txn, uint64_t savepoint);

/*
 * Writes everything as one batch (see velocity_write: durability, order, *sequence), unless the transaction lost:
 * CONFLICT; the message names the key, and velocity_txn_lost_key is all of it. Without writes, *sequence is the state
 * that was read.
 *
 * After BUSY, NO_SPACE and NO_MEMORY the transaction is as it was, and may be committed again. After any other answer,
 * and after velocity_txn_rollback, it has ended: every call but velocity_txn_free answers INVALID. To try again after a
 * CONFLICT, begin a new one and read again.
 */
VELOCITY_CHECK_RESULT velocity_status velocity_txn_commit(velocity_txn *txn, const velocity_write_options *options,
                                                          uint64_t *sequence);
/*
 * The same without waiting for other writes (to check what was read may need the disk, as reading did). OK: `done` runs
 * exactly once, as velocity_write_async has it, with what velocity_txn_commit would have answered; the transaction and
 * its iterators must be left alone until then, and `done` may free it. Anything else: `done` never runs.
 */
VELOCITY_CHECK_RESULT velocity_status
velocity_txn_commit_async(velocity_txn *txn, const velocity_write_options *options,
                          void (*done)(void *arg, velocity_status status, uint64_t sequence), void *arg);
/* Of a commit that answered CONFLICT: the key that was written since the transaction began; where a range was deleted,
 * one in it. It lives as long as the transaction. Empty: it did not lose, or there was no memory for the key. */
velocity_slice velocity_txn_lost_key(const velocity_txn *txn);
VELOCITY_CHECK_RESULT velocity_status velocity_txn_rollback(velocity_txn *txn);
/* Rolls back what was not committed. NULL is allowed. Not between commit_async and its `done`. */
void velocity_txn_free(velocity_txn *txn);

/* ---- change feeds -------------------------------------------------------------------------------------------- */

typedef enum {
    VELOCITY_CHANGE_PUT = 1,
    VELOCITY_CHANGE_DELETE = 2,
    VELOCITY_CHANGE_DELETE_RANGE = 3, /* every key >= key and < value */
} velocity_change_kind;

/* One committed operation. Fields may be added at the end. */
typedef struct {
    velocity_change_kind kind;
    velocity_slice key, value;
    uint32_t flags;
    int64_t expires_at_ms; /* 0: never */
    uint64_t sequence;
    uint64_t committed_at_ms; /* wall clock */
    bool ends_batch;          /* the last operation of its batch; a single put or delete is a batch of one */
} velocity_change;

/*
 * The operations with sequences above `since`, in their order, from the log: also those that are written while the feed
 * lives. `since` is 0, a sequence that the database has given to a write, or a snapshot's. Whoever remembers the
 * sequence of the last change that it has taken in can go on from there, also after the database was opened again.
 *
 * - Only committed operations show (with ALWAYS: on disk), each once, none is left out. Of a batch all operations
 *   follow one another and become visible together: a feed that has shown one shows the rest without waiting. A `since`
 *   inside of a batch shows the batch's rest.
 * - HISTORY_GONE: what follows `since`, or what the feed would show next, has left the log (see log_retention_bytes),
 *   or `since` is a sequence that a crash took back (writes that were not synced): start over from a snapshot.
 * - A feed holds memory only while it is behind (some 256 KiB, or one commit group if that is larger) and files only
 *   during a call; it keeps no log from leaving but during a call. So thousands may follow one database.
 *
 * Never NULL: a feed that could not be made shows nothing and its _status says why.
 */
velocity_changes *velocity_changes_new(velocity *db, uint64_t since);
/* The next change; it lives until the feed's next call. NULL: nothing has been committed since (_status is OK), or a
 * failure. Later calls go on: after IO, NO_MEMORY and CORRUPT they try again. Waits for no writer. */
const velocity_change *velocity_changes_next(velocity_changes *changes);
/* OK, or why the last _new or _next showed nothing (its message was this thread's velocity_error_message()). */
VELOCITY_CHECK_RESULT velocity_status velocity_changes_status(const velocity_changes *changes);
/* What the feed has shown: `since` for a feed that goes on from here. */
uint64_t velocity_changes_sequence(const velocity_changes *changes);
/* What the feed holds of the log until its next call: a piece, or one commit group where that is larger. */
size_t velocity_changes_bytes(const velocity_changes *changes);
/* Waits until there may be something to show. False: the time ran out, or there never will be (HISTORY_GONE). */
bool velocity_changes_wait(velocity_changes *changes, uint32_t timeout_ms);
/*
 * For event loops: `ready` runs once, when something is committed that the feed has not shown; at once if there is
 * already. It runs on the thread that committed, or on the caller's: let it do no more than, say, write to an eventfd;
 * it must not call the library. All feeds of a database become ready together, so with many followers one feed a loop
 * need ask, and the loop looks at all of its own. NULL takes the request back: after that it does not run.
 */
void velocity_changes_notify(velocity_changes *changes, void (*ready)(void *arg), void *arg);
void velocity_changes_free(velocity_changes *changes); /* NULL is allowed */

/* ---- maintenance -------------------------------------------------------------------------------------------- */

/* Moves what the write buffers hold into tables. Returns when done. */
VELOCITY_CHECK_RESULT velocity_status velocity_flush(velocity *db);
/* Flushes, then merges all tables that overlap the range into the last level, dropping what is deleted or overwritten.
 * NULL: everything. Only start, end and prefix are looked at. Returns when done; writes and reads go on meanwhile. More
 * than sixteen tables are merged in portions of about so many, so that the room needed on the disk, the time until the
 * merges that writes need have their turn and what a failure leaves undone stay small. */
VELOCITY_CHECK_RESULT velocity_status velocity_compact(velocity *db, const velocity_range *range);
/* Now and then on a background thread, with how many entries were gone through and how many there are. False ends it.
 * It must not call the library and must not wait. */
typedef bool (*velocity_progress)(void *arg, uint64_t done, uint64_t total);
/* The same, with progress. INCOMPLETE: it was ended; the database holds what it held, and portions that were merged
 * stay so. One compaction asked for runs at a time: another one waits, and its progress begins when it runs. */
VELOCITY_CHECK_RESULT velocity_status velocity_compact_with(velocity *db, const velocity_range *range,
                                                            velocity_progress progress, void *arg);

/*
 * Changes the size of the block cache while it is in use. What no longer fits is given back to the system before the
 * call returns, but for blocks that callers pin and what readers are just looking at. Reads go on meanwhile. The number
 * of its parts, each with a lock of its own for what comes and goes, was chosen by the first size. INVALID: the cache
 * is shared by databases, and is changed for all of them by the second function.
 */
VELOCITY_CHECK_RESULT velocity_status velocity_set_cache_bytes(velocity *db, uint64_t bytes);
void velocity_shared_set_cache_bytes(velocity_shared *shared, uint64_t bytes);

/*
 * Changes max_database_bytes while the database is in use (0: no limit). What it holds may be more already: then puts
 * get NO_SPACE until deletes, expiry or a higher limit have made room. A limit makes write buffers and log segments
 * smaller from the next one on. INVALID: less than 32 MiB.
 */
VELOCITY_CHECK_RESULT velocity_status velocity_set_max_database_bytes(velocity *db, uint64_t bytes);
/*
 * Changes the durability of writes that name none (DEFAULT: ALWAYS), and interval_ms (1 to 60000). Returns once what
 * was acknowledged before is on disk. INVALID: nothing was changed. Anything else but OK: it was, and that sync failed.
 */
VELOCITY_CHECK_RESULT velocity_status velocity_set_durability(velocity *db, velocity_durability durability,
                                                              uint32_t interval_ms);

/*
 * Copies the whole database, as it is at one sequence between two batches, to the new folder `path`, while reads and
 * writes go on. Tables are linked (copied where the file system can't: another disk), what is not yet in tables is
 * copied from the log: so it takes as long as that, bounded by the write buffers, whatever the database holds. When it
 * answers OK all of it is on disk; the copy opens as a database of its own, which goes on from that sequence. It has
 * the same database id, and no log is retained in it.
 *
 * INVALID: `path` exists. LOCKED: another checkpoint to it is under way. It is made in `path`.tmp-checkpoint and
 * renamed at the end: after a failure that folder is removed, after a crash it may remain, until the next checkpoint to
 * `path`.
 */
VELOCITY_CHECK_RESULT velocity_status velocity_checkpoint(velocity *db, const char *path);

#define VELOCITY_LEVELS        7
#define VELOCITY_GROUP_BUCKETS 8 /* 1, 2, 3-4, 5-8, 9-16, 17-32, 33-64, 65 and more batches */

/* Counters count since the database was opened. */
typedef struct {
    size_t struct_size;
    uint64_t last_sequence;                         /* newest visible */
    uint64_t writes, write_operations, write_bytes; /* batches; operations; keys and values */
    uint64_t gets, get_hits, iterators;
    uint64_t groups, group_batches[VELOCITY_GROUP_BUCKETS]; /* commit groups; by batches in one */
    uint64_t syncs;
    uint64_t log_bytes_written, log_live_bytes; /* live: still needed for recovery */
    uint64_t memtable_bytes, memtable_entries;  /* all write buffers together */
    uint64_t immutable_memtables;
    uint64_t flushes, flush_bytes_written;
    uint64_t compactions, compaction_bytes_read, compaction_bytes_written, trivial_moves;
    uint64_t compaction_pending_bytes; /* an estimate of what background work has still to rewrite */
    uint64_t background_jobs;          /* queued or running for this database */
    uint64_t stalls, stall_ms;         /* writes that had to wait for flush or compaction, and how long together */
    uint64_t level_tables[VELOCITY_LEVELS], level_bytes[VELOCITY_LEVELS];
    uint64_t table_entries;   /* in all tables, versions and tombstones too */
    uint64_t table_raw_bytes; /* before compression */
    uint64_t table_bytes;     /* on disk */
    uint64_t filter_checks, filter_negatives, filter_false_positives;
    uint64_t cache_hits, cache_misses; /* of the whole cache, also where it is shared */
    uint64_t cache_used_bytes, cache_capacity_bytes;
    uint64_t open_tables;                /* open files: of tables and of values */
    uint64_t snapshots, live_handles;    /* live: values, iterators, snapshots, transactions, change feeds */
    bool read_only;                      /* after a failed sync */
    bool out_of_space;                   /* the last write that needed room found none */
    uint64_t files_with_old_key;         /* not encrypted with the present key, or not at all although there is one */
    uint64_t expired_dropped;            /* versions whose space was reclaimed because they had expired */
    uint64_t disk_bytes;                 /* tables, value files and logs: what max_database_bytes limits */
    uint64_t clock_ms;                   /* the time that the database lives by: see velocity_put_options */
    uint64_t log_retained_bytes;         /* logs that are kept for change feeds alone */
    uint64_t oldest_change_sequence;     /* feeds that begin after a sequence below this one less 1: HISTORY_GONE */
    uint64_t range_tombstones;           /* range deletes that write buffers and tables hold */
    uint64_t txn_commits, txn_conflicts; /* transactions whose commit answered OK, and CONFLICT */
    uint64_t value_files, value_bytes;   /* values that stand apart, on disk; not in level_bytes and table_bytes */
    uint64_t value_garbage_bytes;        /* of these: what no table refers to any more */
    uint64_t all_memtable_bytes; /* memory of the write buffers of all databases that share; 0 where it has no limit */
} velocity_stats;

/* Fills the part of *out that out->struct_size covers; set it before the call. Cheap; the figures are not of one
 * instant. */
VELOCITY_CHECK_RESULT velocity_status velocity_stats_get(velocity *db, velocity_stats *out);

/* ---- verifying, repairing, looking into files ---------------------------------------------------------------------
 */

typedef enum {
    VELOCITY_FINDING_NOTE,   /* good to know: a leftover file, a log's end that never counted */
    VELOCITY_FINDING_DAMAGE, /* something is not as it was written */
    VELOCITY_FINDING_LOST,   /* repair: could not be saved */
    VELOCITY_FINDING_SAVED,  /* repair: what was done */
} velocity_finding_kind;

typedef struct {
    velocity_finding_kind kind;
    const char *file; /* its name in the folder */
    uint64_t offset;  /* in it */
    const char *what;
} velocity_finding;

/* Keys from `first` to `last`, both inclusive; data NULL: no bound. */
typedef struct {
    velocity_slice first, last;
} velocity_key_range;

#define VELOCITY_REPORT_FINDINGS 10000 /* a report lists so many; all are counted */
#define VELOCITY_REPORT_RANGES   10000 /* beyond, ranges are widened until they are no more */

/* What was found. Set it to velocity_report_default() before it is used first; what it lists is its own. */
typedef struct {
    size_t struct_size;
    uint64_t files, bytes;               /* looked at */
    uint64_t tables, blocks, entries;    /* tables in force, their blocks of all kinds, entries of all versions */
    uint64_t log_groups, log_operations; /* in logs, not yet in tables */
    uint64_t last_sequence;              /* the highest that was met */
    uint64_t notes, damages;             /* findings of these kinds */
    uint64_t tables_rewritten, tables_lost, entries_saved; /* repair; entries: of rewritten tables and of logs */
    bool repaired;                                         /* repair changed something */
    velocity_finding *findings;
    size_t finding_count;
    /* In these, an older version of a key may show than the newest that was written, or a deleted key again: ascending,
     * disjoint. Verify: once it is repaired. */
    velocity_key_range *stale;
    size_t stale_count;
    void *internal;
} velocity_report;

velocity_report velocity_report_default(void);
/* Frees what it lists, and makes it ready for use again. */
void velocity_report_clear(velocity_report *report);

typedef struct {
    size_t struct_size;
    const velocity_options *database; /* NULL: defaults. What is written anew is made by them */
    /* NULL, or called now and then on the calling thread: so much of about so much is done. */
    void (*progress)(void *arg, uint64_t done_bytes, uint64_t total_bytes);
    void *arg;
} velocity_check_options;

velocity_check_options velocity_check_options_default(void);

/*
 * Reads every byte of every file of a closed database and changes nothing (but that a LOCK appears where there is
 * none): headers, manifest, every group of the logs, every block of the tables, that index, filter, footer and manifest
 * agree with the entries, that keys and versions are in order, within tables and across them. Memory stays within some
 * 10 MiB, the largest filter and the manifest. OK: nothing is damaged. CORRUPT: the report lists what is, and all of
 * it, not only the first. NOT_FOUND: there is no database. LOCKED: it is open. Anything else: it could not be looked at
 * to the end. `report` and `options` may be NULL.
 */
VELOCITY_CHECK_RESULT velocity_status velocity_verify(const char *path, velocity_report *report);
VELOCITY_CHECK_RESULT velocity_status velocity_verify_with(const char *path, const velocity_check_options *options,
                                                           velocity_report *report);

/*
 * Saves what is intact of a damaged database, so that it opens again. OK: it does, whether or not something was
 * damaged; report->damages, ->stale and ->findings say what was, what is lost, and where older versions may show.
 *
 * - A table with damaged blocks is written anew with the others; a table without index or footer is searched for
 * blocks.
 * - Logs become tables. Where synced groups of a log are damaged, those behind are saved all the same: each batch whole
 *   or not at all, but a later one without the earlier. (An open refuses such a log: what it recovers is a prefix.)
 * - Without a readable manifest or CURRENT, all tables in the folder count, and are merged where they overlap.
 * - No version changes. New writes get sequences far above all that were seen. Change feeds begin anew.
 * - Nothing damaged is thrown away: the originals are copied into the folder `lost` first.
 *
 * It needs room for what it writes anew, and may be interrupted and run again. NO_SPACE, IO, NO_MEMORY: nothing that
 * counts has changed. CORRUPT: nothing can be saved (no table, log or manifest is readable).
 */
VELOCITY_CHECK_RESULT velocity_status velocity_repair(const char *path, velocity_report *report);
VELOCITY_CHECK_RESULT velocity_status velocity_repair_with(const char *path, const velocity_check_options *options,
                                                           velocity_report *report);

typedef enum {
    VELOCITY_ENTRY_PUT = 1,
    VELOCITY_ENTRY_DELETE = 2,
    VELOCITY_ENTRY_RANGE_DELETE = 3,
    VELOCITY_ENTRY_VALUE_REFERENCE = 4,
} velocity_entry_kind;

/* An entry of a table as it is stored: one version of one key. */
typedef struct {
    velocity_slice key;
    velocity_slice value;
    uint64_t sequence;
    int64_t expires_at_ms;
    uint32_t flags;
    velocity_entry_kind kind;
} velocity_entry;

typedef enum {
    VELOCITY_BLOCK_DATA,
    VELOCITY_BLOCK_INDEX,
    VELOCITY_BLOCK_FILTER,
    VELOCITY_BLOCK_RANGES
} velocity_block_kind;

typedef struct {
    velocity_block_kind kind;
    uint64_t offset;
    uint64_t stored_bytes, raw_bytes; /* stored: without its trailer */
    uint64_t entries;                 /* of a filter: 0 */
} velocity_block;

/* What header and footer of a table say of it. */
typedef struct {
    uint64_t number, file_bytes, created_ms;
    uint64_t database_id[2], uid[2];
    uint64_t entries, tombstones, raw_bytes, smallest_sequence, largest_sequence, data_blocks;
    uint32_t filter_partitions, filter_partition_bytes, filter_probes;
    bool one_version; /* no key has two entries */
} velocity_table_info;

/* Called in the order of the file's index, on the calling thread; what is handed over lives during the call. Any may be
 * NULL. An answer other than OK ends the reading, which then answers it. */
typedef struct {
    size_t struct_size;
    velocity_status (*table)(void *arg, const velocity_table_info *info);
    velocity_status (*block)(void *arg, const velocity_block *block);
    velocity_status (*entry)(void *arg, const velocity_entry *entry);
    void *arg;
} velocity_table_visitor;

/* Reads and checks one table file, wherever it lies, as velocity_verify does. `visitor` may be NULL, as the others. */
VELOCITY_CHECK_RESULT velocity_status velocity_table_read(const char *file, const velocity_check_options *options,
                                                          const velocity_table_visitor *visitor,
                                                          velocity_report *report);

#ifdef __cplusplus
}
#endif
#endif
