/*
 * databases_open.c - opening and closing the registry, and each database of it. See databases_internal.h.
 *
 * Databases are opened and closed by a few threads: each waits for the disk many times, and syncs of several share one
 * commit of the file system.
 */
#include "server/databases_internal.h"

#include <stdlib.h>

enum {
    HELPERS_MAX = 8,
    CLOSE_WAIT_MS = 5000, /* for what is still alive of requests that were answered */
};

/* ---- one database ----------------------------------------------------------------------------------------------- */

/* The floor is far enough ahead of what the database has handed out, durably, before anybody gets in. */
static velocity_status renew_lease(struct database *database, velocity *db) {
    struct databases *all = database->all;
    struct database_record record;
    velocity_stats stats = {.struct_size = sizeof stats};
    velocity_status found = database_record_read(all->system, database->name, &record);
    if (found == VELOCITY_CORRUPT && all->log) /* the database itself knows its versions; its limit is lost */
        logger_event(all->log, LOGGER_LEVEL_ERROR, "database_record_damaged", logger_text("database", database->name),
                     logger_text("reason", velocity_error_message()));
    if (found && found != VELOCITY_NOT_FOUND && found != VELOCITY_CORRUPT) return found;
    env_mutex_lock(&all->mutex);
    database->max_disk_bytes = record.max_disk_bytes;
    database->created_at_ms = record.created_at_ms;
    env_mutex_unlock(&all->mutex);
    velocity_status status = velocity_stats_get(db, &stats);
    if (status) return status;
    uint64_t last = stats.last_sequence;
    if (last > UINT64_MAX - DATABASES_LEASE)
        return status_set(VELOCITY_UNSUPPORTED, "the database \"%s\" has used up its versions", database->name);
    if (!found && record.version_floor >= last + DATABASES_LEASE / 2) return VELOCITY_OK;
    record.version_floor = last + DATABASES_LEASE;
    return database_record_write(all->system, database->name, &record);
}

velocity_status databases_start(struct database *database) {
    struct databases *all = database->all;
    char *path = databases_path(all, FOLDER_DATABASE, database->name);
    env_mutex_lock(&all->mutex);
    velocity_options options = all->template;
    env_mutex_unlock(&all->mutex);
    options.create_if_missing = false; /* a new one is made aside */
    velocity *db = NULL;
    velocity_status status = path ? velocity_open(path, &options, &db) : VELOCITY_NO_MEMORY;
    if (status == VELOCITY_NOT_FOUND) status = status_set(VELOCITY_CORRUPT, "%s: the folder holds no database", path);
    if (!status) status = renew_lease(database, db);
    if (!status && !(database->store = store_lsm_new(db))) status = status_set(VELOCITY_NO_MEMORY, "no memory");
    env_free(path);
    if (!status) {
        database->db = db;
        database->opening++;
        env_mutex_lock(&all->mutex);
        bool other = all->template.durability != options.durability || all->template.interval_ms != options.interval_ms;
        if (other && velocity_set_durability(db, all->template.durability, all->template.interval_ms)) {
            /* nobody has written yet */
        }
        databases_publish(database);
        env_mutex_unlock(&all->mutex);
        return VELOCITY_OK;
    }
    struct databases_words why = databases_words();
    if (db && velocity_close(db)) { /* nobody has used it */
    }
    return status_set(status, "%s", why.text);
}

velocity_status databases_stop(struct database *database, uint32_t wait_ms) {
    velocity_status status;
    for (uint32_t waited_ms = 0; (status = velocity_close(database->db)) == VELOCITY_BUSY; waited_ms++) {
        if (waited_ms >= wait_ms) return status;
        env_sleep_us(1000);
    }
    database->store->operations->free(database->store);
    database->store = NULL;
    database->db = NULL;
    return status;
}

/* ---- several at once -------------------------------------------------------------------------------------------- */

struct round {
    struct database **list;
    size_t count;
    _Atomic size_t next;
    void (*run)(struct database *database);
};

static void *take_part(void *arg) {
    struct round *round = arg;
    for (size_t i; (i = atomic_fetch_add(&round->next, 1)) < round->count;) round->run(round->list[i]);
    return NULL;
}

/* With as many threads as can be had; one is enough. */
static void for_each(struct databases *all, void (*run)(struct database *database)) {
    struct database **list = calloc(all->present + 1u, sizeof(struct database *));
    struct round round = {.list = list, .run = run};
    for (size_t i = 0; i < DATABASES_BUCKETS; i++) {
        for (struct database *d = atomic_load(&all->buckets[i]); d; d = d->next) {
            if (d->state == DATABASE_GONE) continue;
            if (list)
                list[round.count++] = d;
            else
                run(d);
        }
    }
    env_thread threads[HELPERS_MAX];
    size_t helpers = 0;
    while (helpers < HELPERS_MAX && helpers + 1 < round.count &&
           env_thread_start(&threads[helpers], "velocity-open", take_part, &round) == VELOCITY_OK)
        helpers++;
    (void)take_part(&round);
    for (size_t i = 0; i < helpers; i++) env_thread_join(threads[i]);
    free(list);
}

/* ---- the registry ----------------------------------------------------------------------------------------------- */

static void open_one(struct database *database) {
    struct databases *all = database->all;
    velocity_status status = databases_start(database);
    if (!status) return;
    env_mutex_lock(&all->mutex);
    databases_publish_damage(database, status);
    env_mutex_unlock(&all->mutex);
    if (all->log && strcmp(database->name, "default") != 0) /* which databases_open answers for */
        logger_event(all->log, LOGGER_LEVEL_ERROR, "database_not_opened", logger_text("database", database->name),
                     logger_text("status", velocity_status_name(status)), logger_text("reason", database->message));
}

static velocity_status found_folder(void *arg, const char *name) {
    struct databases *all = arg;
    env_mutex_lock(&all->mutex);
    struct database *database = databases_add(all, velocity_str(name));
    if (database) databases_set_state(database, DATABASE_DROPPING);
    env_mutex_unlock(&all->mutex);
    return database ? VELOCITY_OK : VELOCITY_NO_MEMORY;
}

static velocity_status take_options(struct databases *all, const struct databases_options *options) {
    velocity_shared_options shared = velocity_shared_options_default();
    size_t size = strlen(options->folder) + 1;
    shared.cache_bytes = options->cache_bytes;
    shared.memtable_bytes = options->total_memtable_bytes;
    shared.max_open_files = options->max_open_files;
    shared.background_threads = options->background_threads;
    all->system = options->system;
    all->log = options->log;
    all->max_databases = options->max_databases;
    all->default_max_disk_bytes = options->default_max_disk_bytes;
    all->template = options->template;
    all->template.first_sequence = 1;
    velocity_slice key = options->template.encryption_key;
    if (key.size == sizeof all->encryption_key) {
        memcpy(all->encryption_key, key.data, key.size);
        all->template.encryption_key.data = all->encryption_key;
    }
    all->template.max_database_bytes = 0; /* set when it is published */
    velocity_status status = databases_check_limit(options->default_max_disk_bytes);
    if (!status && options->default_max_disk_bytes == DATABASES_DEFAULT)
        status = status_set(VELOCITY_INVALID, "the default limit can't be the default");
    if (status) return status;
    if (!(all->folder = malloc(size))) return status_set(VELOCITY_NO_MEMORY, "no memory for the databases");
    memcpy(all->folder, options->folder, size);
    if (!(all->shared = velocity_shared_new(&shared))) return VELOCITY_NO_MEMORY;
    all->template.shared = all->shared;
    return env_make_directory(env_posix(), all->folder);
}

/* "default" is opened like the others, and made if there is none. */
static velocity_status open_default(struct databases *all) {
    struct database *first = databases_find(all, velocity_str("default"));
    if (!first || first->state == DATABASE_GONE) {
        velocity_status status = databases_create(all, velocity_str("default"), DATABASES_DEFAULT);
        if (status) return status;
        first = databases_find(all, velocity_str("default"));
    }
    all->first = first;
    return first->status ? status_set(first->status, "%s", first->message) : VELOCITY_OK;
}

velocity_status databases_open(const struct databases_options *options, struct databases **out) {
    *out = NULL;
    struct databases *all = calloc(1, sizeof *all);
    if (!all) return status_set(VELOCITY_NO_MEMORY, "no memory for the databases");
    env_mutex_init(&all->mutex);
    env_condition_init(&all->changed);
    velocity_status status = take_options(all, options);
    if (!status) status = databases_look_around(all, found_folder, all);
    if (!status) for_each(all, open_one);
    if (!status) status = open_default(all);
    if (!status) {
        *out = all;
        return VELOCITY_OK;
    }
    struct databases_words why = databases_words();
    if (databases_close(all)) { /* the first failure is the one to report */
    }
    return status_set(status, "%s", why.text);
}

static void close_one(struct database *database) {
    if (!database->db) return;
    database->status = databases_stop(database, CLOSE_WAIT_MS);
    if (database->status) (void)snprintf(database->message, sizeof database->message, "%s", velocity_error_message());
}

velocity_status databases_close(struct databases *all) {
    velocity_status status = VELOCITY_OK;
    struct databases_words why = {""};
    bool alive = false; /* what a leaked handle leads to must stay */
    if (!all) return VELOCITY_OK;
    for_each(all, close_one);
    for (size_t i = 0; i < DATABASES_BUCKETS; i++) {
        for (struct database *d = atomic_load(&all->buckets[i]), *next; d; d = next) {
            next = d->next;
            alive |= d->db != NULL;
            if (!status && d->state == DATABASE_OPEN && d->status) {
                status = d->status;
                memcpy(why.text, d->message, sizeof why.text);
            }
            if (!d->db) free(d);
        }
    }
    if (!alive) velocity_shared_free(all->shared);
    env_condition_destroy(&all->changed);
    env_mutex_destroy(&all->mutex);
    free(all->folder);
    explicit_bzero(all->encryption_key, sizeof all->encryption_key);
    free(all);
    return status ? status_set(status, "%s", why.text) : VELOCITY_OK;
}
