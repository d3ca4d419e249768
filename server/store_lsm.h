/*
 * store_lsm.h - what the stores over the engine have in common: the database itself, a transaction in it and a frozen
 * view of it.
 */
#ifndef VELOCITY_SERVER_STORE_LSM_H
#define VELOCITY_SERVER_STORE_LSM_H

#include "server/store.h"

/* Where a scan looks. */
struct lsm_source {
    velocity_iterator *(*iterator)(void *handle, const velocity_range *range); /* as velocity_iterator_new */
    void *handle;
    const velocity_snapshot *snapshot; /* of every iterator; NULL: the handle knows */
};
/* The whole of a store's scan. scan->version is left as it was where nothing had to be looked at. */
VELOCITY_CHECK_RESULT velocity_status lsm_scan_source(const struct lsm_source *source, struct store_scan *scan);
/* Of a source whose handle is a database. */
velocity_iterator *lsm_database_iterator(void *handle, const velocity_range *range);

/* What the engine has to know of keys that are read together. */
velocity_read_options lsm_reads_options(const struct store_reads *reads);
void lsm_release(struct store *store, velocity_value *value);
/* What the engine has to know of a put. */
velocity_put_options lsm_put_options(const struct store_operation *operation);
/* The bounds that the engine wants of a range delete. The greatest key of all, VELOCITY_MAX_KEY_BYTES of 0xFF, is
 * beyond every range; no front can name it. */
struct lsm_bounds {
    velocity_slice start, end;
    void *memory; /* of `end`, freed by who asked; NULL: none */
};
VELOCITY_CHECK_RESULT velocity_status lsm_range_bounds(const struct store_operation *operation, struct lsm_bounds *out);
/* This thread's words, for a commit that ended in `status`. */
void lsm_commit_explain(struct store_commit *commit, velocity_status status);

/* store_lsm_txn.c. Waits for nothing. *out is freed with its own operation, before the database is closed. */
VELOCITY_CHECK_RESULT velocity_status store_lsm_begin(velocity *db, velocity_isolation isolation, struct store **out);

/* store_lsm_feed.c. Wait for nothing. A view is freed with its own operation, before the database is closed. */
VELOCITY_CHECK_RESULT velocity_status store_lsm_freeze(velocity *db, struct store **view, uint64_t *version);
struct store_feed *store_lsm_feed(velocity *db, uint64_t since);
const velocity_change *lsm_feed_next(struct store_feed *feed, velocity_status *status);
uint64_t lsm_feed_version(const struct store_feed *feed);
size_t lsm_feed_bytes(const struct store_feed *feed);
void lsm_feed_notify(struct store_feed *feed, void (*ready)(void *arg), void *arg);
void lsm_feed_free(struct store_feed *feed);

#endif
