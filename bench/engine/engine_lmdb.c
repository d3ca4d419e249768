/*
 * engine_lmdb.c - LMDB. Every put is a transaction of its own and every get and scan sees the newest state: its read
 * transaction is renewed, which costs LMDB little. Not synced: NOSYNC and WRITEMAP, its fastest mode, in which a power
 * cut may corrupt the database.
 */
#include "bench.h"

#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>

#define MAP_BYTES_MIN      ((size_t)1 << 30)
#define MAP_BYTES_PER_BYTE 8u /* pages that are half full, and copies that readers still see */

typedef struct {
    MDB_env *env;
    MDB_dbi dbi;
} database;

typedef struct {
    database *database;
    MDB_txn *txn;       /* read only, reset between uses */
    MDB_cursor *cursor; /* of txn */
} session;

static void check(int result, const char *what) {
    if (result != MDB_SUCCESS) bench_fail("lmdb: %s: %s", what, mdb_strerror(result));
}

static void *open_db(const bench_settings *settings) {
    database *d = calloc(1, sizeof *d);
    if (!d) bench_fail("no memory");
    size_t map_bytes = settings->keys * (BENCH_KEY_BYTES + settings->value_bytes) * MAP_BYTES_PER_BYTE;
    if (map_bytes < MAP_BYTES_MIN) map_bytes = MAP_BYTES_MIN;
    unsigned flags = MDB_NOTLS | (settings->durable ? 0 : MDB_NOSYNC | MDB_WRITEMAP);
    check(mdb_env_create(&d->env), "env_create");
    check(mdb_env_set_mapsize(d->env, map_bytes), "set_mapsize");
    check(mdb_env_set_maxreaders(d->env, settings->threads + 8), "set_maxreaders");
    check(mdb_env_open(d->env, settings->directory, flags, 0600), "env_open");
    MDB_txn *txn;
    check(mdb_txn_begin(d->env, NULL, 0, &txn), "txn_begin");
    check(mdb_dbi_open(txn, NULL, MDB_CREATE, &d->dbi), "dbi_open");
    check(mdb_txn_commit(txn), "txn_commit");
    return d;
}

static void close_db(void *db) {
    database *d = db;
    check(mdb_env_sync(d->env, 1), "env_sync");
    mdb_env_close(d->env);
    free(d);
}

static void *session_new(void *db) {
    session *s = calloc(1, sizeof *s);
    if (!s) bench_fail("no memory");
    s->database = db;
    check(mdb_txn_begin(s->database->env, NULL, MDB_RDONLY, &s->txn), "txn_begin");
    check(mdb_cursor_open(s->txn, s->database->dbi, &s->cursor), "cursor_open");
    mdb_txn_reset(s->txn);
    return s;
}

static void session_free(void *arg) {
    session *s = arg;
    mdb_cursor_close(s->cursor);
    mdb_txn_abort(s->txn);
    free(s);
}

static void put(void *arg, const char *key, const void *value, size_t size) {
    session *s = arg;
    MDB_val k = {BENCH_KEY_BYTES, (void *)(uintptr_t)key}, v = {size, (void *)(uintptr_t)value};
    MDB_txn *txn;
    check(mdb_txn_begin(s->database->env, NULL, 0, &txn), "txn_begin");
    check(mdb_put(txn, s->database->dbi, &k, &v, 0), "put");
    check(mdb_txn_commit(txn), "txn_commit");
}

static void remove_key(void *arg, const char *key) {
    session *s = arg;
    MDB_val k = {BENCH_KEY_BYTES, (void *)(uintptr_t)key};
    MDB_txn *txn;
    check(mdb_txn_begin(s->database->env, NULL, 0, &txn), "txn_begin");
    check(mdb_del(txn, s->database->dbi, &k, NULL), "del");
    check(mdb_txn_commit(txn), "txn_commit");
}

/* On true *value is valid until the caller resets the transaction. */
static bool find(session *s, const char *key, MDB_val *value) {
    MDB_val k = {BENCH_KEY_BYTES, (void *)(uintptr_t)key};
    check(mdb_txn_renew(s->txn), "txn_renew");
    int result = mdb_get(s->txn, s->database->dbi, &k, value);
    if (result != MDB_NOTFOUND) check(result, "get");
    return result == MDB_SUCCESS;
}

static bool get(void *arg, const char *key, uint64_t *sum) {
    session *s = arg;
    MDB_val value;
    bool found = find(s, key, &value);
    if (found) *sum += bench_touch(value.mv_data, value.mv_size);
    mdb_txn_reset(s->txn);
    return found;
}

static int64_t copy(void *arg, const char *key, void *buffer, size_t capacity) {
    session *s = arg;
    MDB_val value;
    int64_t size = -1;
    if (find(s, key, &value)) {
        size = (int64_t)value.mv_size;
        memcpy(buffer, value.mv_data, value.mv_size < capacity ? value.mv_size : capacity);
    }
    mdb_txn_reset(s->txn);
    return size;
}

static uint64_t scan(void *arg, const char *start, uint64_t rows, uint64_t *sum) {
    session *s = arg;
    MDB_val key = {BENCH_KEY_BYTES, (void *)(uintptr_t)start}, value;
    check(mdb_txn_renew(s->txn), "txn_renew");
    check(mdb_cursor_renew(s->txn, s->cursor), "cursor_renew");
    uint64_t seen = 0;
    int result = mdb_cursor_get(s->cursor, &key, &value, start ? MDB_SET_RANGE : MDB_FIRST);
    while (seen < rows && result == MDB_SUCCESS) {
        *sum += bench_touch(key.mv_data, key.mv_size) + bench_touch(value.mv_data, value.mv_size);
        if (++seen < rows) result = mdb_cursor_get(s->cursor, &key, &value, MDB_NEXT);
    }
    if (result != MDB_NOTFOUND) check(result, "cursor_get");
    mdb_txn_reset(s->txn);
    return seen;
}

static const char *version(void) {
    static char text[32];
    int major, minor, patch;
    (void)mdb_version(&major, &minor, &patch);
    (void)snprintf(text, sizeof text, "%d.%d.%d", major, minor, patch);
    return text;
}

extern const bench_engine bench_lmdb;
const bench_engine bench_lmdb = {
    .id = "lmdb",
    .title = "LMDB",
    .kind = BENCH_BTREE,
    .maps_files = true,
    .version = version,
    .configuration = "cached by the system alone; not synced: NOSYNC, WRITEMAP",
    .open = open_db,
    .close = close_db,
    .session_new = session_new,
    .session_free = session_free,
    .put = put,
    .remove = remove_key,
    .get = get,
    .copy = copy,
    .scan = scan,
};
