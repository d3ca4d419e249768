/* validate.c - whether a transaction may commit. See validate.h. */
#include "validate.h"

#include "filter.h"
#include "slice.h"

#include <stdio.h>

enum {
    NAMED_KEY_BYTES = 64, /* of a key that are shown in a message */
    BUFFERS_MAX = 1 + IMMUTABLE_MAX,
};

/* Where entries newer than `since` may be. */
struct check {
    uint64_t since;
    const struct version *version;
    const struct write_buffer *buffers[BUFFERS_MAX]; /* newest first */
    size_t buffer_count;
    bool in_tables;
    const char *what; /* the transaction did with the key */
    struct lost_key *lost;
};

static void keep(struct lost_key *lost, velocity_slice key) {
    env_free(lost->bytes);
    lost->bytes = env_alloc(key.size);
    lost->size = lost->bytes ? key.size : 0;
    if (lost->size) memcpy(lost->bytes, key.data, key.size);
}

static velocity_status conflict(const struct check *c, velocity_slice key, uint64_t sequence) {
    char name[4 * NAMED_KEY_BYTES + 4] = "";
    const uint8_t *bytes = key.data;
    size_t at = 0;
    for (size_t i = 0; i < key.size && i < NAMED_KEY_BYTES; i++) {
        bool plain = bytes[i] > ' ' && bytes[i] < 0x7f && bytes[i] != '\\';
        at += (size_t)snprintf(name + at, sizeof name - at, plain ? "%c" : "\\x%02x", bytes[i]);
    }
    if (key.size > NAMED_KEY_BYTES) (void)snprintf(name + at, sizeof name - at, "...");
    keep(c->lost, key);
    return status_set(VELOCITY_CONFLICT, "key %s, which the transaction %s, was written at %llu", name, c->what,
                      (unsigned long long)sequence);
}

static bool newer(const struct check *c, const struct table *table) {
    return table_meta(table)->max_sequence > c->since;
}

static void find_sources(struct check *c, const struct superversion *sv) {
    if (memtable_entries(sv->active->memtable)) c->buffers[c->buffer_count++] = sv->active;
    for (int i = sv->immutable_count; i-- > 0;)
        if (atomic_load(&sv->immutable[i]->last_sequence) > c->since) c->buffers[c->buffer_count++] = sv->immutable[i];
    c->version = sv->version;
    for (int l = 0; l < VELOCITY_LEVELS; l++)
        for (size_t i = 0; i < c->version->levels[l].count && !c->in_tables; i++)
            c->in_tables = newer(c, c->version->levels[l].tables[i]);
}

/* ---- one key ------------------------------------------------------------------------------------------------------
 */

/* The sequence of the table's newest entry on the key; 0: it has none. */
static velocity_status newest_in_table(struct table *table, velocity_slice key, uint64_t hash, uint64_t *out) {
    struct table_read read = {.fill_cache = true};
    struct held_block held = {NULL, false};
    struct entry e;
    epoch_enter();
    velocity_status status = table_get(table, &read, key, hash, UINT64_MAX, &e, &held);
    *out = status == VELOCITY_OK ? e.sequence : 0;
    if (held.owned) cache_entry_release(held.entry);
    epoch_leave();
    return status == VELOCITY_NOT_FOUND ? VELOCITY_OK : status;
}

/* The newest range delete over the key; 0: none. What it covers may be gone, but it stays as long as `since` is seen.
 */
static uint64_t covered_by(const struct range_list *ranges, velocity_slice key) {
    return ranges ? range_list_newest(ranges, key, UINT64_MAX) : 0;
}

static velocity_status check_tables(const struct check *c, velocity_slice key) {
    uint64_t hash = filter_hash(key), sequence = covered_by(range_index_list(c->version->ranges), key);
    if (sequence > c->since) return conflict(c, key, sequence);
    const struct level *top = &c->version->levels[0];
    for (size_t i = 0; i < top->count && newer(c, top->tables[i]); i++) { /* the newest comes first */
        if (!table_overlaps(top->tables[i], key, key)) continue;
        velocity_status status = newest_in_table(top->tables[i], key, hash, &sequence);
        if (status) return status;
        if (sequence) return sequence > c->since ? conflict(c, key, sequence) : VELOCITY_OK;
    }
    for (int l = 1; l < VELOCITY_LEVELS; l++) {
        const struct level *level = &c->version->levels[l];
        size_t at = level_find(level, key);
        if (at == level->count || !newer(c, level->tables[at]) || !table_overlaps(level->tables[at], key, key))
            continue;
        velocity_status status = newest_in_table(level->tables[at], key, hash, &sequence);
        if (status) return status;
        if (sequence) return sequence > c->since ? conflict(c, key, sequence) : VELOCITY_OK;
    }
    return VELOCITY_OK;
}

static velocity_status check_key(const struct check *c, velocity_slice key) {
    struct entry e;
    for (size_t i = 0; i < c->buffer_count; i++) {
        uint64_t covered = covered_by(range_buffer_list(&c->buffers[i]->ranges), key);
        if (covered > c->since) return conflict(c, key, covered);
        if (memtable_get(c->buffers[i]->memtable, key, UINT64_MAX, &e))
            return e.sequence > c->since ? conflict(c, key, e.sequence) : VELOCITY_OK;
    }
    return c->in_tables ? check_tables(c, key) : VELOCITY_OK;
}

/* ---- a range: [low, high), or to the end where high has no data ---------------------------------------------------
 */

static bool beyond(velocity_slice key, velocity_slice high) {
    return high.data && slice_compare(key, high) >= 0;
}

static velocity_status scan_memtable(const struct check *c, const memtable *table, velocity_slice low,
                                     velocity_slice high) {
    struct memtable_cursor cursor;
    struct entry e;
    memtable_cursor_init(&cursor, table);
    for (memtable_cursor_seek(&cursor, low); memtable_cursor_valid(&cursor); memtable_cursor_next(&cursor)) {
        memtable_cursor_entry(&cursor, &e);
        if (beyond(e.key, high)) break;
        if (e.sequence > c->since) return conflict(c, e.key, e.sequence);
    }
    return VELOCITY_OK;
}

static velocity_status scan_table(const struct check *c, struct table *table, velocity_slice low, velocity_slice high) {
    struct table_read read = {.fill_cache = false}; /* it passes once over what may be much */
    struct table_cursor cursor = {.key = NULL};
    struct entry e;
    velocity_status status = VELOCITY_OK;
    if (!newer(c, table) || !table_overlaps(table, low, high)) return status;
    table_cursor_init(&cursor, table, &read, 0);
    for (table_cursor_seek(&cursor, low); !status && table_cursor_valid(&cursor); table_cursor_next(&cursor)) {
        table_cursor_entry(&cursor, &e);
        if (beyond(e.key, high)) break;
        if (e.sequence > c->since) status = conflict(c, e.key, e.sequence);
    }
    if (!status) status = cursor.status;
    table_cursor_clear(&cursor, false);
    return status;
}

/* Range deletes that begin in the range are entries there; those that reach into it from before cover `low`. */
static velocity_status check_range(const struct check *c, velocity_slice low, velocity_slice high) {
    velocity_status status = VELOCITY_OK;
    for (size_t i = 0; i < c->buffer_count && !status; i++) {
        uint64_t covered = covered_by(range_buffer_list(&c->buffers[i]->ranges), low);
        if (covered > c->since) return conflict(c, low, covered);
        status = scan_memtable(c, c->buffers[i]->memtable, low, high);
    }
    if (status || !c->in_tables) return status;
    uint64_t covered = covered_by(range_index_list(c->version->ranges), low);
    if (covered > c->since) return conflict(c, low, covered);
    for (int l = 0; l < VELOCITY_LEVELS; l++) {
        const struct level *level = &c->version->levels[l];
        for (size_t i = l ? level_find(level, low) : 0; i < level->count && !status; i++) {
            if (l && beyond(table_meta(level->tables[i])->smallest, high)) break;
            status = scan_table(c, level->tables[i], low, high);
        }
    }
    return status;
}

/* ---- the whole transaction ----------------------------------------------------------------------------------------
 */

static velocity_status check_writes(const struct check *c, const velocity_batch *batch) {
    const uint8_t *p = batch->operations, *end = p + batch->extent.bytes;
    velocity_status status = VELOCITY_OK;
    while (!status && p < end) {
        struct entry e;
        p = log_operation_decode(p, end, &e);
        if (!p) return status_set(VELOCITY_CORRUPT, "the transaction's batch makes no sense");
        status = e.kind == ENTRY_RANGE_DELETE ? check_range(c, e.key, e.value) : check_key(c, e.key);
    }
    return status;
}

static velocity_status check_reads(const struct check *c, const struct read_set *reads) {
    velocity_slice none = velocity_bytes(NULL, 0);
    velocity_status status = reads->everything ? check_range(c, none, none) : VELOCITY_OK;
    for (size_t i = 0; i < reads->count && !status; i++) {
        const struct read_range *range = &reads->ranges[i];
        status = range->kind == READ_KEY ? check_key(c, range->low)
                                         : check_range(c, range->low, range->kind == READ_TO ? range->high : none);
    }
    return status;
}

velocity_status validate(velocity *db, const velocity_batch *batch, const struct validation *validation,
                         uint64_t last) {
    if (last <= validation->since) return VELOCITY_OK; /* nothing was written since */
    struct superversion *sv = superversion_acquire(db);
    struct check c = {.since = validation->since, .what = "writes", .lost = validation->lost};
    find_sources(&c, sv);
    velocity_status status = check_writes(&c, batch);
    c.what = "has read";
    if (!status && validation->reads) status = check_reads(&c, validation->reads);
    superversion_release(sv);
    return status;
}
