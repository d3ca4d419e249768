/*
 * store_lsm.c - the store over the engine. Stateless but for the handle; each commit keeps an engine batch for reuse.
 */
#include "server/store_lsm.h"

#include "engine/status.h"
#include "server/key_range.h"

#include <stdlib.h>

struct lsm {
    struct store store;
    velocity *db;
};

static velocity *database(struct store *store) {
    return ((struct lsm *)store)->db;
}

static velocity_status lsm_get(struct store *store, velocity_slice key, bool cache_only, velocity_value *out) {
    velocity_read_options options = velocity_read_options_default();
    options.cache_only = cache_only;
    return velocity_get_with(database(store), &options, key, out);
}

velocity_read_options lsm_reads_options(const struct store_reads *reads) {
    velocity_read_options options = velocity_read_options_default();
    options.each = reads->each;
    options.each_arg = reads->arg;
    return options;
}

static velocity_status lsm_get_many(struct store *store, struct store_reads *reads) {
    velocity_snapshot *snapshot = velocity_snapshot_new(database(store));
    if (!snapshot) return VELOCITY_NO_MEMORY;
    velocity_read_options options = lsm_reads_options(reads);
    options.snapshot = snapshot;
    reads->version = velocity_snapshot_sequence(snapshot);
    velocity_status status = VELOCITY_OK;
    if (reads->count)
        status =
            velocity_get_many(database(store), &options, reads->count, reads->keys, reads->values, reads->statuses);
    velocity_snapshot_free(snapshot);
    return status;
}

void lsm_release(struct store *store, velocity_value *value) {
    (void)store;
    velocity_value_release(value);
}

/* ---- scans ------------------------------------------------------------------------------------------------------ */

/* From a row whose key begins with `prefix` to the next whose key does not. *ended: no key can follow. */
static velocity_status pass_over(velocity_iterator *it, velocity_slice prefix, bool reverse, bool *ended) {
    if (reverse) {
        velocity_iterator_seek(it, prefix); /* the least of them; before it is what comes next */
        if (velocity_iterator_valid(it) && key_begins_with(velocity_iterator_key(it), prefix))
            velocity_iterator_next(it);
        return VELOCITY_OK;
    }
    unsigned char *behind = malloc(prefix.size);
    if (!behind) return VELOCITY_NO_MEMORY;
    size_t size = key_behind(prefix, behind);
    if (size) velocity_iterator_seek(it, velocity_bytes(behind, size));
    *ended = size == 0;
    free(behind);
    return VELOCITY_OK;
}

/* One stretch of the scan: the rows of `range`. *more: it may go on behind it. *pass goes on from stretch to stretch.
 */
static velocity_status scan_range(const struct lsm_source *source, const velocity_range *range, struct store_scan *scan,
                                  velocity_slice *pass, bool *more) {
    velocity_iterator *it = source->iterator(source->handle, range);
    velocity_status status = VELOCITY_OK;
    bool ended = false;
    while (*more && !ended && !status && velocity_iterator_valid(it)) {
        struct store_row row = {.key = velocity_iterator_key(it),
                                .value_size = velocity_iterator_value_size(it),
                                .flags = velocity_iterator_flags(it),
                                .version = velocity_iterator_sequence(it),
                                .expires_at_ms = velocity_iterator_expires_at_ms(it)};
        if (pass->size && key_begins_with(row.key, *pass)) {
            status = pass_over(it, *pass, scan->reverse, &ended);
            continue;
        }
        if (!scan->wants_value || scan->wants_value(scan->arg, row.flags, row.value_size))
            row.value = velocity_iterator_value(it);
        if (!velocity_iterator_valid(it)) break; /* the value could not be read */
        scan->pass = velocity_bytes(NULL, 0);
        *more = scan->row(scan->arg, &row);
        *pass = scan->pass;
        scan->pass = velocity_bytes(NULL, 0);
        bool passes = pass->size && key_begins_with(row.key, *pass);
        if (*more && !passes) velocity_iterator_next(it);
    }
    if (!status) status = velocity_iterator_status(it);
    if (status == VELOCITY_INCOMPLETE) { /* `passing` said so */
        status = VELOCITY_OK;
        *more = false;
    }
    scan->version = velocity_iterator_snapshot_sequence(it);
    velocity_iterator_free(it);
    return status;
}

/* What the range's prefix and `clip` have in common. False: nothing. */
static bool narrow_prefix(velocity_range *range, velocity_slice clip) {
    size_t shared = clip.size < range->prefix.size ? clip.size : range->prefix.size;
    if (shared && memcmp(clip.data, range->prefix.data, shared) != 0) return false;
    if (clip.size > range->prefix.size) range->prefix = clip;
    return true;
}

static velocity_range range_of(const struct lsm_source *source, const struct store_scan *scan) {
    velocity_range range = velocity_range_default();
    range.start = scan->start;
    range.end = scan->end;
    range.prefix = scan->prefix;
    range.reverse = scan->reverse;
    range.snapshot = source->snapshot;
    range.passing = scan->passing;
    range.passing_arg = scan->arg;
    return range;
}

velocity_status lsm_scan_source(const struct lsm_source *source, struct store_scan *scan) {
    bool more = true;
    velocity_slice pass = {NULL, 0};
    velocity_range all = range_of(source, scan);
    velocity_status status = scan->prefix_count ? VELOCITY_OK : scan_range(source, &all, scan, &pass, &more);
    for (size_t i = 0; i < scan->prefix_count && more && !status; i++) {
        velocity_range range = all;
        velocity_slice clip = scan->prefixes[scan->reverse ? scan->prefix_count - 1 - i : i];
        if (pass.size && key_begins_with(clip, pass)) continue; /* passed over in the stretch before */
        if (narrow_prefix(&range, clip) && key_range_overlaps(range.start, range.end, range.prefix))
            status = scan_range(source, &range, scan, &pass, &more);
    }
    scan->complete = more && !status;
    return status;
}

velocity_iterator *lsm_database_iterator(void *handle, const velocity_range *range) {
    return velocity_iterator_new(handle, range);
}

static velocity_status lsm_scan(struct store *store, struct store_scan *scan) {
    struct lsm_source source = {.iterator = lsm_database_iterator, .handle = database(store)};
    if (!scan->prefix_count) return lsm_scan_source(&source, scan);
    velocity_snapshot *snapshot = velocity_snapshot_new(database(store)); /* several stretches, of one instant */
    if (!snapshot) return VELOCITY_NO_MEMORY;
    source.snapshot = snapshot;
    scan->version = velocity_snapshot_sequence(snapshot);
    velocity_status status = lsm_scan_source(&source, scan);
    velocity_snapshot_free(snapshot);
    return status;
}

/* ---- writes ----------------------------------------------------------------------------------------------------- */

static void batch_free(void *memory) {
    velocity_batch_free(memory);
}

velocity_put_options lsm_put_options(const struct store_operation *operation) {
    velocity_put_options options = velocity_put_options_default();
    options.flags = operation->flags;
    options.expires_at_ms = operation->expires_at_ms;
    return options;
}

velocity_status lsm_range_bounds(const struct store_operation *operation, struct lsm_bounds *out) {
    out->memory = NULL;
    out->start = operation->key.size ? operation->key : velocity_bytes("", 1);
    out->end = operation->end;
    if (out->end.size) return VELOCITY_OK;
    out->memory = malloc(VELOCITY_MAX_KEY_BYTES);
    if (!out->memory) return status_set(VELOCITY_NO_MEMORY, "no memory for a range delete");
    memset(out->memory, 0xFF, VELOCITY_MAX_KEY_BYTES);
    out->end = velocity_bytes(out->memory, VELOCITY_MAX_KEY_BYTES);
    return VELOCITY_OK;
}

static velocity_status add_range(velocity_batch *batch, const struct store_operation *operation) {
    struct lsm_bounds bounds;
    velocity_status status = lsm_range_bounds(operation, &bounds);
    if (!status) velocity_batch_delete_range(batch, bounds.start, bounds.end);
    free(bounds.memory);
    return status;
}

/* False: no memory for a range. What is wrong with an operation, the batch reports at the write. */
static bool add_operations(velocity_batch *batch, const struct store_batch *from) {
    for (size_t i = 0; i < from->operation_count; i++) {
        const struct store_operation *operation = &from->operations[i];
        velocity_put_options options = lsm_put_options(operation);
        switch (operation->action) {
        case STORE_PUT: velocity_batch_put(batch, operation->key, operation->value, &options); break;
        case STORE_DELETE: velocity_batch_delete(batch, operation->key); break;
        case STORE_DELETE_RANGE:
            if (add_range(batch, operation)) return false;
            break;
        }
    }
    return true;
}

/* What a batch is composed from. */
struct lsm_instant {
    struct store store;
    velocity_instant *instant;
};

static velocity_status instant_get(struct store *store, velocity_slice key, bool cache_only, velocity_value *out) {
    (void)cache_only; /* all others wait: it is read from wherever it is */
    return velocity_instant_get(((struct lsm_instant *)store)->instant, key, out);
}

/* Errors and the end as velocity_get_many has them. */
static velocity_status instant_get_many(struct store *store, struct store_reads *reads) {
    velocity_status result = VELOCITY_OK;
    bool more = true;
    size_t i = 0;
    for (; i < reads->count && more; i++) {
        velocity_status status = instant_get(store, reads->keys[i], false, &reads->values[i]);
        reads->statuses[i] = status;
        if (status && status != VELOCITY_NOT_FOUND && !result) result = status;
        more = !reads->each || reads->each(reads->arg, i);
    }
    if (i < reads->count && !result) result = VELOCITY_INCOMPLETE;
    for (; i < reads->count; i++) {
        reads->values[i] = (velocity_value){0};
        reads->statuses[i] = VELOCITY_INCOMPLETE;
    }
    return result;
}

static velocity_status compose(void *arg, velocity_instant *instant, velocity_batch *batch) {
    static const struct store_operations operations = {.get = instant_get, .get_many = instant_get_many};
    struct store_commit *commit = arg;
    struct lsm_instant now = {.store.operations = &operations, .instant = instant};
    struct store_batch more = {0};
    velocity_status status = commit->compose->compose(commit->compose->arg, &now.store, &more);
    if (status) return commit->message[0] ? status_set(status, "%s", commit->message) : status;
    return add_operations(batch, &more) ? VELOCITY_OK : VELOCITY_NO_MEMORY;
}

/* The commit's engine batch, filled. NULL: no memory. */
static velocity_batch *fill(const struct store_batch *from, struct store_commit *commit) {
    if (commit->memory && commit->memory_free != batch_free) store_commit_free(commit); /* another store's */
    velocity_batch *batch = commit->memory;
    if (batch) {
        velocity_batch_clear(batch);
    } else {
        batch = commit->memory = velocity_batch_new();
        commit->memory_free = batch_free;
        if (!batch) return NULL;
    }
    for (size_t i = 0; i < from->condition_count; i++)
        velocity_batch_require(batch, from->conditions[i].key, from->conditions[i].version);
    commit->compose = from->compose;
    if (from->compose)
        velocity_batch_compose(batch, from->compose->most_operations, from->compose->most_bytes, compose, commit);
    return add_operations(batch, from) ? batch : NULL;
}

void lsm_commit_explain(struct store_commit *commit, velocity_status status) {
    commit->message[0] = 0;
    if (status != VELOCITY_OK) strncat(commit->message, velocity_error_message(), sizeof commit->message - 1);
}

static void settle(struct store_commit *commit, velocity_status status, uint64_t version) {
    commit->status = status;
    commit->version = version;
    if (status == VELOCITY_CONFLICT)
        commit->failed_condition = velocity_batch_conflict(commit->memory, &commit->current_version);
    else
        lsm_commit_explain(commit, status);
}

static void lsm_write(struct store *store, const struct store_batch *from, struct store_commit *commit) {
    uint64_t version = 0;
    commit->message[0] = 0;
    velocity_batch *batch = fill(from, commit);
    velocity_status status = batch ? velocity_write(database(store), batch, NULL, &version) : VELOCITY_NO_MEMORY;
    settle(commit, status, version);
}

static void committed(void *arg, velocity_status status, uint64_t version) {
    struct store_commit *commit = arg;
    settle(commit, status, version);
    commit->done(commit);
}

static void lsm_write_async(struct store *store, const struct store_batch *from, struct store_commit *commit) {
    commit->message[0] = 0;
    velocity_batch *batch = fill(from, commit);
    velocity_status status =
        batch ? velocity_write_async(database(store), batch, NULL, committed, commit) : VELOCITY_NO_MEMORY;
    if (status != VELOCITY_OK) committed(commit, status, 0);
}

static velocity_status lsm_stats(struct store *store, velocity_stats *out) {
    out->struct_size = sizeof *out;
    return velocity_stats_get(database(store), out);
}

static velocity_status lsm_flush(struct store *store) {
    return velocity_flush(database(store));
}

static velocity_status lsm_compact(struct store *store, const velocity_range *range, velocity_progress progress,
                                   void *arg) {
    return velocity_compact_with(database(store), range, progress, arg);
}

static velocity_status lsm_begin(struct store *store, velocity_isolation isolation, struct store **txn) {
    return store_lsm_begin(database(store), isolation, txn);
}

static velocity_status lsm_freeze(struct store *store, struct store **view, uint64_t *version) {
    return store_lsm_freeze(database(store), view, version);
}

static struct store_feed *lsm_feed(struct store *store, uint64_t since) {
    return store_lsm_feed(database(store), since);
}

static void lsm_free(struct store *store) {
    free(store);
}

struct store *store_lsm_new(velocity *db) {
    static const struct store_operations operations = {
        .get = lsm_get,
        .get_many = lsm_get_many,
        .release = lsm_release,
        .scan = lsm_scan,
        .write = lsm_write,
        .write_async = lsm_write_async,
        .stats = lsm_stats,
        .flush = lsm_flush,
        .compact = lsm_compact,
        .begin = lsm_begin,
        .freeze = lsm_freeze,
        .feed = lsm_feed,
        .feed_next = lsm_feed_next,
        .feed_version = lsm_feed_version,
        .feed_bytes = lsm_feed_bytes,
        .feed_notify = lsm_feed_notify,
        .feed_free = lsm_feed_free,
        .free = lsm_free,
    };
    struct lsm *lsm = calloc(1, sizeof *lsm);
    if (!lsm) return NULL;
    lsm->store.operations = &operations;
    lsm->db = db;
    return &lsm->store;
}
