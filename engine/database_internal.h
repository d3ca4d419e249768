/*
 * database_internal.h - the inside of `velocity`: what the files that make up a database share.
 *
 *   database.c    open, close, the shared parts            read.c       point lookups
 *   recovery.c    what opening finds on disk               iterator.c   scans
 *   write.c       the commit queue (group.c: one group)    snapshot.c   frozen views
 *   room.c        write buffers, log segments, stalls      stats.c      figures
 *   write_ranges.c  range deletes into write buffers       reclaim.c    what they let go of in tables
 *   flush.c       write buffer -> table                    compaction.c tables -> tables (compaction_pick.c: which)
 *   install.c     putting a new version in force           history.c    logs of the past
 *   changes.c     change feeds                             checkpoint.c copies of the whole
 *   txn.c         transactions                             validate.c   whether they may commit
 *   read_set.c    what they have read                      budget.c     write buffers of all databases together
 *   settings.c    what can be changed while it is open
 *
 * How a read finds its data: `superversion` names the write buffers and the version that make up the database now. It
 * is replaced whole; readers load it inside an epoch section and take no lock.
 *
 * How a write goes: a writer queues itself (write.c); the leader of the moment - one thread at a time - takes a group,
 * makes room (room.c), stores it in the log, inserts it into the active write buffer, syncs if asked, and moves
 * visible_sequence. What only the leader touches is marked (leader).
 *
 * Locks, in rank order: install_mutex; mutex; snapshot_mutex; budget.mutex; what pool, table_files, cache and history
 * have inside; watch_mutex.
 */
#ifndef VELOCITY_DATABASE_INTERNAL_H
#define VELOCITY_DATABASE_INTERNAL_H

#include "batch.h"
#include "clock.h"
#include "database.h"
#include "history.h"
#include "log.h"
#include "manifest.h"
#include "memtable.h"
#include "pool.h"
#include "range_list.h"
#include "reserve.h"
#include "status.h"
#include "stripe.h"
#include "version.h"

enum {
    IMMUTABLE_MAX = 2,                            /* full write buffers that may wait to be flushed */
    MESSAGE_BYTES = 256,                          /* of an error that is carried from thread to thread */
    GROUP_RANGES_MAX = VELOCITY_MAX_BATCH_RANGES, /* range deletes of a commit group: bounds what it reserves */
    SEGMENT_MIN_BYTES = 1 << 20,                  /* the first log segment; each next one is twice as large ... */
    SEGMENT_MAX_BYTES = 1 << 24,                  /* ... up to this */
    TICK_MS = 250,
};

/* What the write buffers of all databases take together: budget.c. */
struct buffer_budget {
    uint64_t most_bytes;         /* 0: no limit; constant */
    _Atomic uint64_t used_bytes; /* of buffers that are not yet in tables; 0 without a limit */
    _Atomic velocity_status last_flush;
    env_mutex mutex;            /* guards what follows; used_bytes falls under it */
    env_condition freed;        /* used_bytes fell, or a flush failed */
    struct velocity *databases; /* linked by budget_next */
};

struct velocity_shared {
    env *env;
    cache *cache;
    table_files *files;
    pool *pool;
    chunk_pool *chunks; /* of write buffers */
    struct buffer_budget budget;
};

/* A memtable and what it needs around it. Full ones are frozen and wait in the superversion until flushed. */
struct write_buffer {
    _Atomic uint32_t references;
    memtable *memtable;
    uint64_t first_log;             /* logs from here on hold its entries */
    _Atomic uint64_t last_sequence; /* once frozen: its newest entry; 0 before */
    struct range_buffer ranges;     /* the range deletes among its entries */
    uint64_t charged_bytes;         /* (leader, until frozen) part of the budget's used_bytes */
};

struct superversion {
    struct epoch_item item; /* first */
    _Atomic uint32_t references;
    struct write_buffer *active;
    struct write_buffer *immutable[IMMUTABLE_MAX]; /* oldest first */
    int immutable_count;
    struct version *version;
};

struct counters {
    _Atomic uint64_t gets, get_hits, iterators;
    struct table_counters tables;
} __attribute__((aligned(64)));

struct velocity_snapshot {
    velocity *db;
    uint64_t sequence, now_ms;                 /* what it sees, and when it is for it */
    struct velocity_snapshot *next, *previous; /* by both, ascending */
};

/* Why the last job of a kind failed; OK once one succeeds again. */
struct job_failure {
    velocity_status status;
    char message[MESSAGE_BYTES];
};

struct writer; /* group.h */

struct velocity {
    env *env;
    char *path;
    velocity_options options;
    velocity_shared *shared;
    bool owns_shared;
    env_lock *lock;
    uint64_t database_id[2];
    struct clock clock;
    key_ring *keys; /* NULL: none; constant once the opening has bound it */

    _Atomic(struct superversion *) superversion;
    _Atomic uint64_t visible_sequence;
    _Atomic bool read_only;
    struct reserve reserve;

    /* Settings that can be changed meanwhile: settings.c. Any thread. */
    _Atomic velocity_durability durability;
    _Atomic uint32_t interval_ms;
    _Atomic uint64_t limit_bytes;  /* max_database_bytes */
    _Atomic uint64_t buffer_bytes; /* memtable_bytes, or less under a limit */

    /* The budget of write buffers: budget.c. */
    _Atomic uint64_t charged_bytes; /* this database's part of used_bytes */
    _Atomic uint64_t active_bytes;  /* what of it the active buffer holds */
    _Atomic bool switch_wanted;     /* the leader, or the ticker, is to make the active buffer immutable */
    bool over_budget;               /* (leader) the last charge was beyond what all should take */
    bool in_budget;                 /* it and the next: guarded by budget.mutex */
    struct velocity *budget_next;

    _Atomic uint64_t disk_bytes;   /* with a size limit: see limit.c */
    _Atomic bool limit_hit;        /* puts were refused since the last tick */
    _Atomic bool weak_writes;      /* the manifest says so: see install_weak_writes */
    _Atomic uint64_t live_handles; /* values, iterators, snapshots, transactions, change feeds; checkpoints under way */

    /* The commit queue: write.c. */
    _Atomic(struct writer *) pending;     /* newest first */
    _Atomic uint32_t leading;             /* write.c */
    struct writer *waiting;               /* (leader) taken from pending, oldest first, not yet written */
    uint64_t next_sequence;               /* (leader) */
    uint64_t start_log;                   /* the log that the opening began with; constant */
    uint64_t sequence_floor;              /* every write since the open has a higher one; constant */
    uint64_t synced_sequence;             /* (leader) everything up to it is on disk */
    uint64_t last_sync_us;                /* (leader) */
    bool limit_refuses;                   /* (leader) the last put was refused by the size limit */
    uint64_t delay_debt_us;               /* (leader) how long writers still have to be held back */
    _Atomic uint32_t level0_tables;       /* as in the superversion */
    _Atomic uint32_t immutable_buffers;   /* as in the superversion */
    struct log *log;                      /* (leader) the segment that is appended to */
    struct write_buffer *active;          /* (leader) as in the superversion */
    _Atomic uint64_t pending_bytes;       /* of asynchronous writes */
    _Atomic uint64_t asynchronous;        /* writes whose `done` has not run */
    uint64_t groups_seen, writes_seen_us; /* (ticker) figures.groups when it last changed, and when that was seen */
    env_mutex commit_mutex;               /* guards what follows; a leaf */
    env_condition commit_condition;
    env_thread commit_thread;
    struct writer *completed, *completed_last; /* asynchronous writes whose `done` is due */
    bool commit_thread_runs, commit_should_lead, commit_stop;

    env_mutex install_mutex; /* guards manifest, version building: held over disk waits */
    manifest *manifest;
    uint64_t flushed_sequence; /* the manifest's last_sequence: everything up to it is in tables */
    bool manifest_broken;      /* an append failed: the next install writes a new manifest */

    env_mutex mutex;        /* guards everything below; nobody holds it over a call of the file system */
    env_condition changed;  /* a job ended, or the state of the background changed */
    uint64_t next_number;   /* of files */
    struct log *old_logs;   /* filled segments whose entries no table has yet, oldest first */
    struct log *spare_logs; /* segments that can be recycled */
    struct log *next_log;   /* prepared ahead */
    uint64_t last_log;      /* number of the newest log in use: logs are used in the order of their numbers */
    uint64_t segment_bytes; /* size of the next new segment */
    struct log_seal *seals; /* logs that the opener replayed into the first write buffer */
    size_t seal_count;
    bool flush_queued, compaction_queued, prepare_queued, closing;
    bool idle_compaction; /* merge although no threshold asks for it */
    bool reclaim;         /* look for tables that range deletes cover */
    struct reclaim_state {
        uint64_t generation, oldest; /* of the version, and the oldest snapshot */
    } reclaimed;                     /* where an idle compaction found nothing to do */
    struct manual_compaction *manual;
    struct job_failure flush_failure, compaction_failure;
    char read_only_message[MESSAGE_BYTES];
    struct pool_job flush_job, compaction_job, prepare_job;
    struct pool_ticker ticker;

    struct log_history history;

    /* Who waits for changes: changes.c. */
    _Atomic bool followed;     /* somebody has waited: the leader looks at `watchers` */
    _Atomic uint32_t watchers; /* threads that wait, and feeds of `watching` */
    env_mutex watch_mutex;     /* guards `watching` and what stands in it */
    env_condition watch_condition;
    struct velocity_changes *watching;

    env_mutex snapshot_mutex;           /* guards the list */
    struct velocity_snapshot snapshots; /* its head */

    struct counters counters[STRIPES];
    struct { /* written by the leader, or under mutex; read by anyone */
        _Atomic uint64_t writes, operations, write_bytes, groups, group_batches[VELOCITY_GROUP_BUCKETS], syncs,
            log_bytes, flushes, flush_bytes, compactions, compaction_read, compaction_written, trivial_moves, stalls,
            stall_us, expired, txn_commits, txn_conflicts;
        _Atomic bool out_of_space;
    } figures;
};

struct counters *database_counters(velocity *db); /* the calling thread's stripe */

/* Size at which a write buffer is full. */
static inline uint64_t database_buffer_bytes(const velocity *db) {
    return atomic_load_explicit(&db->buffer_bytes, memory_order_relaxed);
}

/* settings.c */
void settings_init(velocity *db); /* from db->options */
VELOCITY_CHECK_RESULT velocity_status settings_check_range(const char *option, uint64_t value, uint64_t least,
                                                           uint64_t most);
VELOCITY_CHECK_RESULT velocity_status settings_check_limit(uint64_t max_database_bytes);
VELOCITY_CHECK_RESULT velocity_status settings_check_durability(velocity_durability durability, uint32_t interval_ms);

/* budget.c */
void budget_init(struct buffer_budget *budget, uint64_t most_bytes);
void budget_destroy(struct buffer_budget *budget);
/* Between recovery and the first write. */
void budget_join(velocity *db);
/* It will flush no more. Harmless again, and for one that never joined. */
void budget_leave(velocity *db);
/* Leader: counts what the active buffer has grown by. */
void budget_charge(velocity *db);
/* Leader, after db->over_budget: has buffers flushed, waits where there is far too much. */
VELOCITY_CHECK_RESULT velocity_status budget_relieve(velocity *db);
/* What a frozen buffer was charged for: it is in a table now. */
void budget_give_back(velocity *db, const struct write_buffer *flushed);
void budget_note_flush(velocity *db, velocity_status status); /* how one ended */
/* Leader: whether it has been asked to make its buffer immutable, and can without waiting. Answers true once. */
bool budget_asks_for_switch(velocity *db);

/* superversions: database.c */
struct write_buffer *write_buffer_new(velocity *db, uint64_t first_log);
void write_buffer_acquire(struct write_buffer *buffer);
void write_buffer_insert_range(struct write_buffer *buffer, const struct entry *e); /* write_ranges.c */
void write_buffer_release(struct write_buffer *buffer);
/* By its inserter, after the reserves of memtable and ranges. */
static inline void write_buffer_insert(struct write_buffer *buffer, const struct entry *e) {
    memtable_insert(buffer->memtable, e);
    if (e->kind == ENTRY_RANGE_DELETE) write_buffer_insert_range(buffer, e);
}
static inline size_t write_buffer_bytes(const struct write_buffer *buffer) {
    return memtable_bytes(buffer->memtable) + atomic_load_explicit(&buffer->ranges.bytes, memory_order_relaxed);
}
/* Takes references on its parts. NULL: no memory. */
struct superversion *superversion_new(struct write_buffer *active, struct write_buffer *const *immutable, int count,
                                      struct version *version);
struct superversion *superversion_acquire(velocity *db); /* the present one, kept until released */
void superversion_release(struct superversion *sv);
/* Under db->mutex: puts it in force. The one before is the caller's to retire, with no lock held. */
struct superversion *superversion_install(velocity *db, struct superversion *sv);
void superversion_retire(struct superversion *sv); /* NULL is allowed */
void database_refill_reserve(velocity *db);        /* takes no lock that a caller may hold */
void database_free(velocity *db);

/* recovery.c */
VELOCITY_CHECK_RESULT velocity_status recovery_run(velocity *db);

/* write.c */
void commit_drain_inline(velocity *db);
void commit_thread_stop(velocity *db);
/* An empty group that syncs what was written before. */
VELOCITY_CHECK_RESULT velocity_status commit_sync(velocity *db);
/* Makes the active write buffer immutable (unless it is empty) from outside of the commit path. */
VELOCITY_CHECK_RESULT velocity_status commit_switch(velocity *db);
/* If nobody leads: does what budget_asks_for_switch says. Never waits for a writer. */
void commit_try_switch(velocity *db);
/* Returns once every later group is led by a thread that sees what this one did before. */
void commit_pass(velocity *db);
void database_set_read_only(velocity *db, const char *why);
velocity_status database_read_only_status(velocity *db);

/* write_ranges.c: whether the range deletes of a writer (one of the two is NULL) should go into a new write buffer. */
bool write_range_wants_switch(const velocity *db, const struct entry *single, const velocity_batch *batch);

/* room.c; leader only */
VELOCITY_CHECK_RESULT velocity_status room_make(velocity *db, size_t operations, uint64_t payload_bytes);
VELOCITY_CHECK_RESULT velocity_status room_switch_buffer(velocity *db);
/* Leader. After NO_SPACE, or while the reserve is spent: whether writes that only delete may be tried (again). */
bool room_give_reserve(velocity *db);
bool room_durable_logs(const velocity *db); /* log segments are made durable before they are used */
/* Under db->mutex: queues the preparation of a segment ahead if none is there. */
void room_schedule_prepare(velocity *db);
void room_prepare_job(struct pool_job *job);
/* Takes db->mutex. Logs that no write buffer needs any more go to the spares, or away. */
void room_retire_logs(velocity *db, uint64_t min_log);
/* Before the manifest calls them retained: trims and syncs the filled logs below min_log. */
VELOCITY_CHECK_RESULT velocity_status room_settle_logs(velocity *db, uint64_t min_log);
/* Waits, with db->mutex held, for the background to change something. Inline: runs a job. */
void room_wait(velocity *db);
/* Segments that are kept for recycling, and one prepared ahead that is larger than new ones are. */
void room_drop_spares(velocity *db);
/* Syncs filled segments that are not yet on disk, then the present one. */
VELOCITY_CHECK_RESULT velocity_status room_sync_logs(velocity *db);

/* limit.c: the size limit. _count: what the files take, also without a limit; it and _note: under db->mutex. */
uint64_t limit_count(velocity *db);
void limit_note(velocity *db); /* something that counts came or went */
bool limit_allows(const velocity *db, uint64_t more_bytes);
bool limit_is_reached(const velocity *db); /* puts are refused */
/* Leader: whether a group with puts may be written. */
VELOCITY_CHECK_RESULT velocity_status limit_check(velocity *db, uint64_t payload_bytes);
/* The ticker's: where puts were refused, merges as if the database were idle. */
void limit_tend(velocity *db);

/* flush.c, compaction.c and compaction_pick.c. _schedule: under db->mutex. */
void flush_schedule(velocity *db);
void flush_job_run(struct pool_job *job);
void compaction_schedule(velocity *db);
void compaction_job_run(struct pool_job *job);
uint64_t compaction_pending(velocity *db, const struct version *version);
/* Whether merging although no threshold asks for it would pay. */
bool compaction_idle_worthwhile(velocity *db, const struct version *version);
void background_tick(struct pool_ticker *ticker);
/* A job that found no space gets the reserve, and another try: OK. Not under db->mutex: it touches the disk. */
velocity_status job_outcome(velocity *db, velocity_status status);
void job_ended(struct job_failure *failure, velocity_status outcome); /* under db->mutex */

/* install.c: replaces the version, in the manifest first. Drops `flushed` (may be NULL) from the immutable buffers.
 * On failure the tables of edit->add stay on disk, unused, until the next open. */
VELOCITY_CHECK_RESULT velocity_status install_edit(velocity *db, const struct version_edit *edit,
                                                   struct write_buffer *flushed);
/* Before tables are written: makes a manifest that failed whole again. Else each attempt would leave its tables behind.
 */
VELOCITY_CHECK_RESULT velocity_status install_repair(velocity *db);
/* Before the first write is acknowledged that is not on disk, and when a close has synced everything: the manifest
 * takes note, so that an opening after a power cut knows that versions were seen which the log has lost. */
VELOCITY_CHECK_RESULT velocity_status install_weak_writes(velocity *db, bool weak);
/* When the database closes: the manifest takes note of the time if somebody saw something expire. */
VELOCITY_CHECK_RESULT velocity_status install_clock(velocity *db);
uint64_t database_new_number(velocity *db); /* takes db->mutex */
void database_table_options(velocity *db, uint64_t number, struct table_builder_options *out);

/* The numbers that go with an edit, `flushed` being in a table. */
void install_numbers(velocity *db, struct write_buffer *flushed, struct manifest_edit *edit);

/* changes.c: tells who waits that something became visible; called by the leader if db->followed. */
void changes_notify(velocity *db);

/* What a batch is composed from (velocity_batch_compose): everything up to `sequence`, visible or not. */
struct velocity_instant {
    velocity *db;
    uint64_t sequence, now_ms; /* see clock_is_over */
};
/* read.c: the newest version of key up to `sequence` in sv, unless it is over (*now_ms: see clock_is_over); inside an
 * epoch section. */
VELOCITY_CHECK_RESULT velocity_status read_entry(velocity *db, const struct superversion *sv,
                                                 const struct table_read *read, velocity_slice key, uint64_t sequence,
                                                 uint64_t *now_ms, struct entry *out, struct held_block *held,
                                                 struct write_buffer **buffer);

/*
 * read.c: an entry that refers to a value file gets its value, which lies in the block held then; *held before is let
 * go. Inside an epoch section. A failure leaves nothing held.
 */
VELOCITY_CHECK_RESULT velocity_status read_value(const struct version *version, const struct table_read *read,
                                                 velocity_slice key, struct entry *e, struct held_block *held);
/* Copies a small value, pins a large one: in `buffer`, else in the block. Inside the epoch section of the lookup. */
void read_fill_value(velocity *db, velocity_value *value, const struct entry *e, const struct held_block *held,
                     struct write_buffer *buffer);
/* velocity_contains at a snapshot, if one is given. */
VELOCITY_CHECK_RESULT velocity_status read_contains(velocity *db, const velocity_snapshot *snapshot,
                                                    velocity_slice key);

/* snapshot.c: the sequences that live snapshots see, and the visible one, ascending; *out is for env_free. *clocks, a
 * part of it: the earliest time that it is for anybody who sees that, ascending too. */
VELOCITY_CHECK_RESULT velocity_status snapshot_sequences(velocity *db, uint64_t **out, uint64_t **clocks,
                                                         size_t *count);
/* The earliest time that it is for anybody: what has expired by then nobody sees, now or later. */
uint64_t snapshot_earliest_clock(velocity *db);
/* The sequence of the oldest live snapshot; the present if there is none. */
uint64_t snapshot_oldest(velocity *db);

#endif
