/*
 * log.h - the write-ahead log: numbered segment files of commit groups.
 *
 *   file header (128) | group | group | ... | zeros, or an earlier life of the file
 *
 *   group, at a multiple of 8:
 *   +----------+---------+-------+-------------+------------+----------+----------+---------+---------+---------+
 *   | checksum | payload | count | database id | log number | position |  first   | wall ms | synced  | payload |
 *   | XXH3-64  |  bytes  |  u32  |     u64     |    u64     |   u64    | sequence |   u64   | through |         |
 *   |   u64    |   u32   |       |             |            |          |   u64    |         |   u64   |         |
 *   +----------+---------+-------+-------------+------------+----------+----------+---------+---------+---------+
 *
 * The checksum is seeded with the file's uid and covers everything behind it in the group. `synced_through` is the
 * highest sequence that was on disk when the group was written: a valid group proves that everything up to there must
 * be readable.
 *
 * A segment's blocks are there before it is used, so that a full disk shows before a write begins. For databases that
 * sync each group they are written and synced ahead, so that a sync has no metadata to journal. Otherwise they are only
 * set aside, and header and name become durable with the first sync: making a segment waits for no disk. (The first
 * group begins in the header's sector: a group that a power cut left has its header, too.) Groups that are not synced
 * are stored through a mapped window: they need no system call and survive the process all the same. With encryption
 * each group is built in a buffer and encrypted on its way to file or window: what is not must reach neither.
 *
 * One appender at a time (the leader of a commit group). log_sync may run beside it. Bytes: FORMAT.md, "Log".
 */
#ifndef VELOCITY_LOG_H
#define VELOCITY_LOG_H

#include "cipher.h"
#include "entry.h"

#define LOG_GROUP_HEADER_BYTES 64u
#define LOG_ALIGNMENT          8u

/* ---- operations: how one stands in a group's payload and in a batch ---------------------------------------------- */

/* Bytes that log_operation_encode writes for the entry. */
size_t log_operation_bytes(const struct entry *entry);
uint8_t *log_operation_encode(uint8_t *to, const struct entry *entry);
/* Takes one operation apart: its slices point into the bytes, its sequence is not set. NULL: it makes no sense. */
const uint8_t *log_operation_decode(const uint8_t *from, const uint8_t *end, struct entry *out);
/* Set in the first byte of a batch's last operation, so that batches can be told apart in a group. */
#define LOG_OPERATION_ENDS_BATCH 0x40u

/* ---- writing ----------------------------------------------------------------------------------------------------- */

struct log {
    env *env;
    env_file *file;
    char *path;
    const char *folder; /* the caller's, which outlives the log */
    uint64_t number, database_id, seed;
    cipher *cipher;                   /* NULL: the payload stands as it is */
    uint64_t capacity;                /* bytes of the file */
    uint64_t position;                /* where the next group begins; the appender's */
    _Atomic uint64_t synced_position; /* up to here it is on disk */
    uint8_t *window;                  /* the mapped part [window_offset, window_offset + window_bytes) */
    uint64_t window_offset, window_bytes;
    uint8_t *buffer; /* the group that is being built, where it is written rather than stored */
    size_t buffer_bytes;
    bool buffered;    /* the reserved group is in the buffer */
    bool name_synced; /* the folder's entry is on disk */
    struct log *next; /* for lists of the database */
    bool syncing;     /* the database's, too: see room.c */
};

/* A new segment of `capacity` bytes (a multiple of ENV_PAGE_BYTES) with a header. `durable`: filled and synced, its
 * name too; else the first log_sync does that. Encrypted with the present key of `keys`, if there is one. */
VELOCITY_CHECK_RESULT velocity_status log_create(env *e, const char *folder, const uint64_t database_id[2],
                                                 const key_ring *keys, uint64_t number, uint64_t capacity, bool durable,
                                                 struct log **out);
/* Gives a segment that is no longer needed a new life under a new number; header and name are synced. On failure the
 * segment is gone. */
VELOCITY_CHECK_RESULT velocity_status log_recycle(struct log *log, const char *folder, const uint64_t database_id[2],
                                                  const key_ring *keys, uint64_t number);
/* Whether a group with this much payload still fits. */
bool log_has_room(const struct log *log, uint64_t payload_bytes);
/*
 * Memory for the payload of the next group; needs room. Nothing counts until log_commit. `synced`: the group will be
 * synced at once. It is then built in a buffer and written with one call, because a page that is stored into through
 * the window after a sync costs a fault each time; without a sync the window saves the call. What is to be
 * encrypted is built in the buffer in either case.
 */
VELOCITY_CHECK_RESULT velocity_status log_reserve(struct log *log, uint64_t payload_bytes, bool synced,
                                                  uint8_t **payload);
struct log_group {
    uint64_t first_sequence, wall_ms, synced_through;
    uint32_t payload_bytes, count; /* count: operations */
};
/* Completes the reserved group (payload_bytes may be less than reserved). Fails only if it was reserved as `synced`
 * or is encrypted; then nobody knows what is on disk, and the segment must not be used again. */
VELOCITY_CHECK_RESULT velocity_status log_commit(struct log *log, const struct log_group *group);
/* The appender's: has the disk begin with what is not synced yet, and does not wait; log_sync takes the less time. A
 * failure is one of the sync. */
VELOCITY_CHECK_RESULT velocity_status log_sync_begin(struct log *log);
/* Makes durable what was committed before the call. Beside the appender: `position` as the caller last knew it. */
VELOCITY_CHECK_RESULT velocity_status log_sync(struct log *log, uint64_t position);
/* Of a segment that is no longer appended to. */
static inline bool log_is_synced(const struct log *log) {
    return atomic_load(&log->synced_position) >= log->position;
}
/* Cuts off what was never used, so that a database at rest takes little room; then syncs. */
VELOCITY_CHECK_RESULT velocity_status log_trim(struct log *log);
/* Unmaps, closes, frees. NULL is allowed. */
void log_close(struct log *log);
/* log_close, and removes the file. */
VELOCITY_CHECK_RESULT velocity_status log_remove(struct log *log);

/* Bytes of a group in the file, padding included. */
static inline uint64_t log_group_bytes(uint64_t payload_bytes) {
    return (LOG_GROUP_HEADER_BYTES + payload_bytes + LOG_ALIGNMENT - 1) & ~(uint64_t)(LOG_ALIGNMENT - 1);
}

/* ---- groups, as readers find them ---------------------------------------------------------------------------------
 */

/* What the groups of a segment are checked against, and decrypted with. */
struct log_identity {
    uint64_t number, database_id, seed;
    cipher *cipher;
};

enum log_found {
    LOG_GROUP_NONE,    /* nothing that looks like a group of this segment at this place */
    LOG_GROUP_CUT,     /* the bytes end inside it: only payload_bytes is set, and not proven */
    LOG_GROUP_DAMAGED, /* it looks like one, and its checksum, over payload_bytes, is wrong */
    LOG_GROUP_WHOLE,   /* valid; its payload stands behind its header */
};
/* Looks at what stands at `offset` of a segment: `size` bytes of it are at `group`. */
enum log_found log_group_find(const struct log_identity *identity, const uint8_t *group, uint64_t size, uint64_t offset,
                              struct log_group *out);
/* Decrypts a whole group in place: *payload is then what its writer stored. CORRUPT, without a message: it is not what
 * was encrypted. Once only: afterwards it is no valid group any more. */
VELOCITY_CHECK_RESULT velocity_status log_group_open(const struct log_identity *identity, uint8_t *group,
                                                     const struct log_group *found, velocity_slice *payload);

/* ---- replaying -----------------------------------------------------------------------------------------------------
 */

struct log_replay {
    env *env;
    const char *folder;
    uint64_t database_id[2];
    const key_ring *keys;
    uint64_t next_sequence; /* in: what the first group must begin with; out: behind the last one replayed */
    /* Called for each group in order; what it answers ends the replay unless OK. */
    velocity_status (*apply)(void *arg, uint64_t log_number, const struct log_group *group, const uint8_t *payload);
    void *arg;
};

struct log_segment {
    uint64_t number;
    uint64_t sealed_end;    /* everything before it must be valid and nothing behind it counts; 0: not sealed */
    uint64_t end;           /* out: behind the last group that counts */
    uint64_t file_bytes;    /* out */
    uint64_t after, last;   /* out, where end is behind the header: its sequences are > after and <= last */
    bool old_key;           /* out: not encrypted as a new log would be */
    bool sequence_may_skip; /* sealed ones: the first group may begin later than next_sequence */
    uint64_t begins_with;   /* not 0: next_sequence is this from here on (an open went before) */
};

/*
 * Replays segments in ascending order up to the first group that is not there. What is not there is the tail and is
 * left out with everything behind it, unless a later valid group proves that it was once synced: CORRUPT.
 */
VELOCITY_CHECK_RESULT velocity_status log_replay(struct log_replay *replay, struct log_segment *segments, size_t count);

/* Operations that were on disk once and are damaged: the sequences from first on, before `behind` (UINT64_MAX: up to
 * the next that is handed on; equal to first: none). The error message says it in words. */
struct log_damage {
    uint64_t number, offset; /* of the log; in it */
    uint64_t first, behind;
};
typedef velocity_status log_damage_told(void *arg, const struct log_damage *damage);
/*
 * The same for logs that may be damaged: tells of each damage and goes on behind it. Groups that hold nothing from
 * next_sequence on are passed over. What `told` answers ends it unless OK.
 */
VELOCITY_CHECK_RESULT velocity_status log_salvage(struct log_replay *replay, struct log_segment *segments, size_t count,
                                                  log_damage_told *told, void *arg);

#endif
