/*
 * store_lsm_feed.c - frozen views and feeds of changes over the engine: its snapshots and its change feeds.
 */
#include "server/store_lsm.h"

#include <stdlib.h>

/* ---- frozen views ----------------------------------------------------------------------------------------------- */

struct view {
    struct store store;
    velocity *db;
    velocity_snapshot *snapshot;
};

static velocity_read_options options_of(const struct view *view) {
    velocity_read_options options = velocity_read_options_default();
    options.snapshot = view->snapshot;
    return options;
}

static velocity_status view_get(struct store *store, velocity_slice key, bool cache_only, velocity_value *out) {
    const struct view *view = (struct view *)store;
    velocity_read_options options = options_of(view);
    options.cache_only = cache_only;
    return velocity_get_with(view->db, &options, key, out);
}

static velocity_status view_get_many(struct store *store, struct store_reads *reads) {
    const struct view *view = (struct view *)store;
    velocity_read_options options = lsm_reads_options(reads);
    options.snapshot = view->snapshot;
    reads->version = velocity_snapshot_sequence(view->snapshot);
    if (!reads->count) return VELOCITY_OK;
    return velocity_get_many(view->db, &options, reads->count, reads->keys, reads->values, reads->statuses);
}

static velocity_status view_scan(struct store *store, struct store_scan *scan) {
    const struct view *view = (struct view *)store;
    struct lsm_source source = {.iterator = lsm_database_iterator, .handle = view->db, .snapshot = view->snapshot};
    velocity_status status = lsm_scan_source(&source, scan);
    scan->version = velocity_snapshot_sequence(view->snapshot);
    return status;
}

static void view_free(struct store *store) {
    struct view *view = (struct view *)store;
    velocity_snapshot_free(view->snapshot);
    free(view);
}

velocity_status store_lsm_freeze(velocity *db, struct store **out, uint64_t *version) {
    static const struct store_operations operations = {
        .get = view_get,
        .get_many = view_get_many,
        .release = lsm_release,
        .scan = view_scan,
        .free = view_free,
    };
    struct view *view = calloc(1, sizeof *view);
    if (!view) return VELOCITY_NO_MEMORY;
    view->store.operations = &operations;
    view->db = db;
    view->snapshot = velocity_snapshot_new(db);
    if (!view->snapshot) {
        free(view);
        return VELOCITY_NO_MEMORY;
    }
    *version = velocity_snapshot_sequence(view->snapshot);
    *out = &view->store;
    return VELOCITY_OK;
}

/* ---- feeds ------------------------------------------------------------------------------------------------------ */

/* The engine's feed under another name: a pointer to it is all that there is. */
static velocity_changes *changes_of(const struct store_feed *feed) {
    return (velocity_changes *)(uintptr_t)feed;
}

struct store_feed *store_lsm_feed(velocity *db, uint64_t since) {
    velocity_changes *changes = velocity_changes_new(db, since);
    if (velocity_changes_status(changes) != VELOCITY_NO_MEMORY) return (struct store_feed *)changes;
    velocity_changes_free(changes);
    return NULL;
}

const velocity_change *lsm_feed_next(struct store_feed *feed, velocity_status *status) {
    const velocity_change *change = velocity_changes_next(changes_of(feed));
    *status = velocity_changes_status(changes_of(feed));
    return change;
}

uint64_t lsm_feed_version(const struct store_feed *feed) {
    return velocity_changes_sequence(changes_of(feed));
}

size_t lsm_feed_bytes(const struct store_feed *feed) {
    return velocity_changes_bytes(changes_of(feed));
}

void lsm_feed_notify(struct store_feed *feed, void (*ready)(void *arg), void *arg) {
    velocity_changes_notify(changes_of(feed), ready, arg);
}

void lsm_feed_free(struct store_feed *feed) {
    velocity_changes_free(changes_of(feed));
}
