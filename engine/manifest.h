/*
 * manifest.h - the record of which tables and logs make up the database: a file of edits, each synced before it counts,
 * and CURRENT, which names the manifest that is in force. Replaying all edits gives the present state.
 *
 *   file header | record | record | ...        record: u32 payload bytes | u32 CRC-32C | payload: tagged fields
 *
 * One writer at a time (the database's mutex or its opener). Bytes: FORMAT.md, "Manifest".
 */
#ifndef VELOCITY_MANIFEST_H
#define VELOCITY_MANIFEST_H

#include "cipher.h"
#include "number_map.h"
#include "table_builder.h"
#include "version.h"

/* A log that the opener has replayed and that still holds what no table has. */
struct log_seal {
    uint64_t number, end;
    bool old_key; /* not in the manifest: not encrypted as a new log would be */
};

/* A log that recovery does not need and that is kept for change feeds. Its operations have sequences > after and <=
 * last. */
struct log_retained {
    uint64_t number, end, after, last;
};

/* The present state, as replayed. The metas are owned until taken (manifest_state_clear frees the rest). */
struct manifest_state {
    uint64_t database_id[2];
    uint64_t next_number;     /* no file has this number or a higher one */
    uint64_t min_log;         /* logs below are not needed */
    uint64_t start_log;       /* the first log of the last opening: of those below it only the sealed ones count */
    uint64_t last_sequence;   /* of what tables hold, and a floor for the next write */
    uint64_t resume_sequence; /* with which start_log begins */
    uint64_t clock_ms;        /* the time had come this far: see clock.h */
    bool weak_writes;         /* since the last opening writes were acknowledged before they were on disk */
    struct log_seal *seals;   /* ascending */
    size_t seal_count, seal_capacity;
    struct log_retained *retained; /* in the order of the records; those that were removed since are among them */
    size_t retained_count, retained_capacity;
    struct manifest_table {
        int level;
        struct table_meta meta;
    } * tables;
    size_t table_count, table_capacity;
    struct value_file_meta *values;
    size_t value_count, value_capacity;
    struct number_map table_places, value_places; /* of the numbers, in the two arrays */
    uint64_t tail_bytes;                          /* behind the last record that counts */
    /* manifest_salvage alone: */
    bool salvaging, damaged;
    struct number_map removed; /* tables that a record removed, whether or not they were there; each at place 0 */
};

void manifest_state_clear(struct manifest_state *state);
/* The seal of the log with the number; NULL: it has none. */
const struct log_seal *manifest_seal(const struct manifest_state *state, uint64_t number);

/* NOT_FOUND: the folder has no CURRENT. A torn last record is left out; damage anywhere else is CORRUPT. Binds the keys
 * (may be NULL) to the database's id. */
VELOCITY_CHECK_RESULT velocity_status manifest_load(env *e, const char *folder, key_ring *keys,
                                                    struct manifest_state *out);

/*
 * Reads one manifest file as far as it can be read, whichever CURRENT names. Damaged records are passed over: `damaged`
 * tells, and the state is then that of the others. CORRUPT: its header, or every record, is damaged.
 */
VELOCITY_CHECK_RESULT velocity_status manifest_salvage(env *e, const char *path, key_ring *keys,
                                                       struct manifest_state *out);
/* What CURRENT says: the database's id, and the number of the manifest in force. As manifest_load. */
VELOCITY_CHECK_RESULT velocity_status manifest_current(env *e, const char *folder, uint64_t database_id[2],
                                                       uint64_t *number);

typedef struct manifest manifest;

struct manifest_edit {
    uint64_t next_number, min_log, start_log, last_sequence, clock_ms;
    bool weak_writes;
    const struct version_edit *tables; /* NULL: none */
    const uint64_t *gone_values;       /* numbers of the value files that go with it */
    size_t gone_value_count;
    const struct log_seal *seals; /* only in a snapshot, as the two below */
    size_t seal_count;
    uint64_t resume_sequence;
    const struct log_retained *retained; /* newly retained ones; in a snapshot all */
    size_t retained_count;
};

/* Writes a new manifest, encrypted with the present key of `keys` (may be NULL), that holds `version` (may be NULL) and
 * the edit's numbers, syncs it, and puts it in force. */
VELOCITY_CHECK_RESULT velocity_status manifest_create(env *e, const char *folder, const uint64_t database_id[2],
                                                      const key_ring *keys, uint64_t number,
                                                      const struct version *version, const struct manifest_edit *edit,
                                                      manifest **out);
/* Appends and syncs. After a failure the manifest must not be used again: create a new one. */
VELOCITY_CHECK_RESULT velocity_status manifest_append(manifest *m, const struct manifest_edit *edit);
uint64_t manifest_number(const manifest *m);
uint64_t manifest_bytes(const manifest *m);
void manifest_close(manifest *m); /* NULL is allowed */

#endif
