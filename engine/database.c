/* database.c - opening and closing, the parts that databases share, superversions. See database_internal.h. */
#include "database_internal.h"

#include <math.h>
#include <stdio.h>

/* ---- options --------------------------------------------------------------------------------------------------------
 */

velocity_options velocity_options_default(void) {
    velocity_options o = {
        .struct_size = sizeof o,
        .create_if_missing = true,
        .memtable_bytes = 64u << 20,
        .cache_bytes = 64u << 20,
        .bloom_false_positive_rate = 0.01,
        .compaction_threshold = 8,
        .block_bytes = 4096,
        .table_bytes = 32u << 20,
        .compression = VELOCITY_COMPRESSION_LZ4,
        .durability = VELOCITY_DURABILITY_ALWAYS,
        .interval_ms = 100,
        .max_open_files = 1000,
        .first_sequence = 1,
        .max_pending_bytes = 64u << 20,
        .value_log_threshold = 4096,
        .reserve_bytes = 64u << 20,
    };
    return o;
}

static velocity_status check_options(const velocity_options *o) {
    velocity_status status = settings_check_range("memtable_bytes", o->memtable_bytes, 64u << 10, UINT64_C(4) << 30);
    if (!status) status = settings_check_range("compaction_threshold", o->compaction_threshold, 2, 64);
    if (!status) status = settings_check_range("block_bytes", o->block_bytes, 1024, 65536);
    if (!status) status = settings_check_range("table_bytes", o->table_bytes, 64u << 10, UINT64_C(1) << 30);
    if (!status && o->value_log_threshold) /* a reference takes up to 30 bytes */
        status = settings_check_range("value_log_threshold", o->value_log_threshold, 32, UINT64_MAX);
    if (!status) status = settings_check_durability(o->durability, o->interval_ms);
    if (!status) status = settings_check_range("max_open_files", o->max_open_files, 16, UINT32_MAX);
    if (!status) status = settings_check_limit(o->max_database_bytes);
    if (status) return status;
    double rate = o->bloom_false_positive_rate;
    if (!(rate == 1 || (rate >= 0.0001 && rate <= 0.5)))
        return status_set(VELOCITY_INVALID, "option bloom_false_positive_rate is %g; it takes 0.0001 to 0.5, or 1",
                          rate);
    return settings_check_range("compression", o->compression, VELOCITY_COMPRESSION_NONE,
                                VELOCITY_COMPRESSION_ADAPTIVE);
}

velocity_status database_take_options(const velocity_options *from, velocity_options *to) {
    *to = velocity_options_default();
    if (from) {
        if (from->struct_size < sizeof(size_t)) return status_set(VELOCITY_INVALID, "options without struct_size");
        memcpy(to, from, from->struct_size < sizeof *to ? from->struct_size : sizeof *to);
        to->struct_size = sizeof *to;
    }
    if (to->durability == VELOCITY_DURABILITY_DEFAULT) to->durability = VELOCITY_DURABILITY_ALWAYS;
    if (to->first_sequence == 0) to->first_sequence = 1;
    return check_options(to);
}

/* ---- shared parts
 * ------------------------------------------------------------------------------------------------------ */

velocity_shared_options velocity_shared_options_default(void) {
    velocity_shared_options o = {.struct_size = sizeof o, .cache_bytes = 64u << 20, .max_open_files = 1000};
    return o;
}

velocity_shared *shared_new(env *e, const velocity_shared_options *options) {
    velocity_shared_options o = velocity_shared_options_default();
    if (options) memcpy(&o, options, options->struct_size < sizeof o ? options->struct_size : sizeof o);
    velocity_shared *shared = env_alloc_zeroed(sizeof *shared);
    if (!shared) return NULL;
    shared->env = e;
    budget_init(&shared->budget, o.memtable_bytes);
    shared->cache = cache_new(o.cache_bytes, 0);
    if (shared->cache) shared->files = table_files_new(shared->cache, o.max_open_files);
    shared->pool = pool_new(e, o.background_threads);
    if (shared->pool) shared->chunks = chunk_pool_new(e, shared->pool);
    if (shared->files && shared->chunks) return shared;
    velocity_shared_free(shared);
    return NULL;
}

velocity_shared *velocity_shared_new(const velocity_shared_options *options) {
    return shared_new(env_posix(), options);
}

void velocity_shared_set_cache_bytes(velocity_shared *shared, uint64_t bytes) {
    table_files_set_cache_bytes(shared->files, bytes);
}

velocity_status velocity_set_cache_bytes(velocity *db, uint64_t bytes) {
    if (!db->owns_shared)
        return status_set(VELOCITY_INVALID, "%s: the cache is shared: velocity_shared_set_cache_bytes", db->path);
    velocity_shared_set_cache_bytes(db->shared, bytes);
    return VELOCITY_OK;
}

void velocity_shared_free(velocity_shared *shared) {
    if (!shared) return;
    pool_free(shared->pool);
    epoch_drain();
    chunk_pool_free(shared->chunks);
    table_files_free(shared->files);
    cache_free(shared->cache);
    epoch_drain();
    budget_destroy(&shared->budget);
    env_free(shared);
}

/* ---- write buffers and superversions
 * ------------------------------------------------------------------------------------ */

struct write_buffer *write_buffer_new(velocity *db, uint64_t first_log) {
    struct write_buffer *buffer = env_alloc_zeroed(sizeof *buffer);
    if (!buffer) return NULL;
    buffer->memtable = memtable_new_pooled(db->shared->chunks);
    if (!buffer->memtable) {
        env_free(buffer);
        return NULL;
    }
    range_buffer_init(&buffer->ranges);
    buffer->first_log = first_log;
    atomic_init(&buffer->references, 1);
    return buffer;
}

void write_buffer_acquire(struct write_buffer *buffer) {
    atomic_fetch_add_explicit(&buffer->references, 1, memory_order_relaxed);
}

void write_buffer_release(struct write_buffer *buffer) {
    if (!buffer || atomic_fetch_sub_explicit(&buffer->references, 1, memory_order_acq_rel) != 1) return;
    memtable_free(buffer->memtable);
    range_buffer_free(&buffer->ranges);
    env_free(buffer);
}

struct superversion *superversion_new(struct write_buffer *active, struct write_buffer *const *immutable, int count,
                                      struct version *version) {
    struct superversion *sv = env_alloc_zeroed(sizeof *sv);
    if (!sv) return NULL;
    atomic_init(&sv->references, 1);
    sv->active = active;
    write_buffer_acquire(active);
    sv->immutable_count = count;
    for (int i = 0; i < count; i++) {
        sv->immutable[i] = immutable[i];
        write_buffer_acquire(immutable[i]);
    }
    sv->version = version;
    version_acquire(version);
    return sv;
}

struct superversion *superversion_acquire(velocity *db) {
    epoch_enter();
    struct superversion *sv = atomic_load(&db->superversion);
    /* While it is in force it has a reference that is dropped only after the epoch: this is never the first. */
    atomic_fetch_add_explicit(&sv->references, 1, memory_order_relaxed);
    epoch_leave();
    return sv;
}

void superversion_release(struct superversion *sv) {
    if (atomic_fetch_sub_explicit(&sv->references, 1, memory_order_acq_rel) != 1) return;
    write_buffer_release(sv->active);
    for (int i = 0; i < sv->immutable_count; i++) write_buffer_release(sv->immutable[i]);
    version_release(sv->version);
    env_free(sv);
}

static void superversion_retired(struct epoch_item *item) {
    superversion_release((struct superversion *)item);
}

struct superversion *superversion_install(velocity *db, struct superversion *sv) {
    atomic_store(&db->immutable_buffers, (uint32_t)sv->immutable_count);
    return atomic_exchange(&db->superversion, sv);
}

void superversion_retire(struct superversion *sv) {
    if (!sv) return;
    epoch_retire(&sv->item, superversion_retired);
    epoch_collect(); /* memory of a write buffer and files of tables hang on it: not later than need be */
}

void database_refill_reserve(velocity *db) {
    struct superversion *sv = superversion_acquire(db);
    reserve_refill(&db->reserve, version_bytes(sv->version));
    superversion_release(sv);
}

/* ---- open
 * ----------------------------------------------------------------------------------------------------------------- */

struct counters *database_counters(velocity *db) {
    return &db->counters[stripe_of_thread()];
}

static void init_locks(velocity *db) {
    env_mutex_init(&db->mutex);
    env_mutex_init(&db->reserve.mutex);
    env_mutex_init(&db->install_mutex);
    env_mutex_init(&db->commit_mutex);
    env_mutex_init(&db->snapshot_mutex);
    env_mutex_init(&db->watch_mutex);
    env_condition_init(&db->watch_condition);
    history_init(&db->history);
    env_condition_init(&db->changed);
    env_condition_init(&db->commit_condition);
    db->snapshots.next = db->snapshots.previous = &db->snapshots;
    db->counters[STRIPES - 1].tables.shared = true;
    db->flush_job.run = flush_job_run;
    db->compaction_job.run = compaction_job_run;
    db->prepare_job.run = room_prepare_job;
    db->ticker.tick = background_tick;
}

static velocity_status get_shared(velocity *db) {
    if (db->options.shared) {
        db->shared = db->options.shared;
        return VELOCITY_OK;
    }
    velocity_shared_options o = velocity_shared_options_default();
    o.cache_bytes = db->options.cache_bytes;
    o.max_open_files = db->options.max_open_files;
    o.background_threads = db->options.background_threads;
    db->owns_shared = true;
    db->shared = shared_new(db->env, &o);
    return db->shared ? VELOCITY_OK : VELOCITY_NO_MEMORY;
}

/* A new folder is there after a power cut only if the folder that holds it was synced. */
static velocity_status make_folder(velocity *db) {
    velocity_status status = env_make_directory(db->env, db->path);
    return status ? status : file_sync_parent(db->env, db->path);
}

static velocity_status get_lock(velocity *db) {
    bool exists;
    char *current = file_path(db->path, FILE_CURRENT, 0), *lock = file_path_named(db->path, "LOCK");
    velocity_status status = current && lock ? env_exists(db->env, current, &exists) : VELOCITY_NO_MEMORY;
    if (!status && !exists && !db->options.create_if_missing)
        status = status_set(VELOCITY_NOT_FOUND, "%s: there is no database", db->path);
    if (!status && !exists) status = make_folder(db);
    if (!status) status = env_lock_file(db->env, lock, &db->lock);
    env_free(current);
    env_free(lock);
    return status;
}

/* What the ring was made of is the caller's, and borrowed while it opens. */
static void forget_secrets(velocity_options *o) {
    o->encryption_key = o->encryption_passphrase = velocity_bytes(NULL, 0);
    o->old_encryption_keys = o->old_encryption_passphrases = NULL;
    o->old_encryption_key_count = o->old_encryption_passphrase_count = 0;
}

velocity_status database_open(env *e, const char *path, const velocity_options *options, velocity **out) {
    *out = NULL;
    velocity *db = env_alloc_aligned(64, sizeof *db);
    if (!db) return VELOCITY_NO_MEMORY;
    memset(db, 0, sizeof *db);
    db->env = e;
    clock_init(&db->clock, e);
    velocity_status status = database_take_options(options, &db->options);
    init_locks(db);
    settings_init(db);
    size_t size = strlen(path) + 1;
    if (!status && !(db->path = env_alloc(size))) status = VELOCITY_NO_MEMORY;
    if (!status) memcpy(db->path, path, size);
    if (!status) status = key_ring_new(&db->options, &db->keys);
    if (!status) status = get_shared(db);
    if (!status) chunk_pool_expect(db->shared->chunks, database_buffer_bytes(db));
    if (!status) status = get_lock(db);
    if (!status) status = recovery_run(db);
    forget_secrets(&db->options);
    if (!status) budget_join(db);
    if (!status) status = pool_ticker_add(db->shared->pool, &db->ticker);
    if (status) {
        database_free(db);
        return status;
    }
    env_mutex_lock(&db->mutex);
    flush_schedule(db);
    compaction_schedule(db);
    env_mutex_unlock(&db->mutex);
    *out = db;
    return VELOCITY_OK;
}

velocity_status velocity_open(const char *path, const velocity_options *options, velocity **out) {
    if (!path || !*path || !out)
        return status_set(VELOCITY_INVALID, "velocity_open needs a path and a place for the handle");
    return database_open(env_posix(), path, options, out);
}

/* ---- close
 * ----------------------------------------------------------------------------------------------------------------- */

static void free_logs(struct log *log) {
    while (log) {
        struct log *next = log->next;
        log_close(log);
        log = next;
    }
}

/* Segments that hold nothing. What can't be removed now is removed at the next open. */
static void remove_logs(struct log *log) {
    while (log) {
        struct log *next = log->next;
        if (log_remove(log)) { /* see above */
        }
        log = next;
    }
}

/* Of a database that is open, half open, or was closed. */
void database_free(velocity *db) {
    budget_leave(db);
    struct superversion *sv = atomic_exchange(&db->superversion, NULL);
    if (sv) superversion_release(sv);
    epoch_drain();
    if (db->shared) table_files_sweep(db->shared->files);
    log_close(db->log);
    free_logs(db->old_logs);
    remove_logs(db->spare_logs);
    remove_logs(db->next_log);
    history_clear(&db->history);
    manifest_close(db->manifest);
    reserve_close(&db->reserve);
    env_free(db->seals);
    if (db->lock) env_unlock_file(db->env, db->lock);
    if (db->owns_shared) velocity_shared_free(db->shared);
    env_mutex_destroy(&db->reserve.mutex);
    key_ring_free(db->keys);
    env_mutex_destroy(&db->mutex);
    env_mutex_destroy(&db->install_mutex);
    env_mutex_destroy(&db->commit_mutex);
    env_mutex_destroy(&db->snapshot_mutex);
    env_mutex_destroy(&db->watch_mutex);
    env_condition_destroy(&db->watch_condition);
    env_condition_destroy(&db->changed);
    env_condition_destroy(&db->commit_condition);
    env_free(db->path);
    env_free(db);
}

/* Waits until no job runs, and keeps new ones from starting. */
static void stop_background(velocity *db) {
    pool_ticker_remove(db->shared->pool, &db->ticker);
    env_mutex_lock(&db->mutex);
    db->closing = true;
    while (db->flush_queued || db->compaction_queued || db->prepare_queued) room_wait(db);
    env_mutex_unlock(&db->mutex);
}

/* A write buffer worth a table is flushed, so that the next open has little to replay; a small one stays in the log. */
static velocity_status flush_at_close(velocity *db) {
    enum { WORTH_A_TABLE_BYTES = 1 << 20 };
    struct superversion *sv = superversion_acquire(db); /* the ticker may still lead, and switch the buffer */
    const memtable *table = sv->active->memtable;
    bool worth =
        write_buffer_bytes(sv->active) >= WORTH_A_TABLE_BYTES || database_buffer_bytes(db) < WORTH_A_TABLE_BYTES;
    worth = worth && memtable_entries(table);
    superversion_release(sv);
    return worth ? velocity_flush(db) : VELOCITY_OK;
}

velocity_status velocity_close(velocity *db) {
    if (!db) return VELOCITY_OK;
    commit_drain_inline(db);
    if (atomic_load(&db->live_handles) || atomic_load(&db->asynchronous))
        return status_set(
            VELOCITY_BUSY,
            "%s: %llu values, iterators, snapshots, transactions or change feeds are alive and %llu writes "
            "under way",
            db->path, (unsigned long long)atomic_load(&db->live_handles),
            (unsigned long long)atomic_load(&db->asynchronous));
    velocity_status status = VELOCITY_OK;
    if (!atomic_load(&db->read_only)) {
        status = flush_at_close(db);
        if (status == VELOCITY_NO_SPACE) status = VELOCITY_OK; /* the log keeps it */
    }
    commit_thread_stop(db);
    stop_background(db);
    if (!atomic_load(&db->read_only)) {
        velocity_status synced = room_sync_logs(db);
        if (!synced) synced = log_trim(db->log);
        if (!synced) synced = install_weak_writes(db, false);
        if (!synced) synced = install_clock(db);
        if (synced == VELOCITY_NO_SPACE)
            synced = VELOCITY_OK; /* both are notes: without them the next open is careful */
        if (!status) status = synced;
    }
    database_free(db);
    return status;
}
