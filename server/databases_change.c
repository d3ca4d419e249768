/*
 * databases_change.c - making and dropping databases. Why each step stands where it does: databases_internal.h.
 */
#include "server/databases_internal.h"

enum { CLOSE_WAIT_MS = 1000 /* for callbacks that have answered and are about to return */ };

static void tell(const struct databases *all, enum logger_level level, const char *event, const char *name,
                 const char *reason) {
    if (all->log) logger_event(all->log, level, event, logger_text("database", name), logger_text("reason", reason));
}

/* Failures leave a folder that the next start removes. */
static void remove_quietly(const struct databases *all, const char *path, const char *name) {
    if (path && databases_remove_tree(path))
        tell(all, LOGGER_LEVEL_WARNING, "folder_not_removed", name, velocity_error_message());
}

/* ---- create ----------------------------------------------------------------------------------------------------- */

/* A whole database in ".new-<name>" whose next version is the floor, or above: an empty one, or what `from` holds. */
static velocity_status make_aside(struct databases *all, const char *path, const char *from, uint64_t version_floor) {
    env_mutex_lock(&all->mutex);
    velocity_options options = all->template;
    env_mutex_unlock(&all->mutex);
    velocity *db;
    options.first_sequence = version_floor;
    options.create_if_missing = from == NULL;
    velocity_status status = databases_remove_tree(path);
    if (!status && from) status = env_rename(env_posix(), from, path);
    if (!status) status = velocity_open(path, &options, &db);
    return status ? status : velocity_close(db);
}

static velocity_status make(struct database *database, uint64_t max_disk_bytes, const char *from) {
    struct databases *all = database->all;
    struct database_record record;
    velocity_status status = database_record_read(all->system, database->name, &record);
    if (status == VELOCITY_NOT_FOUND) status = VELOCITY_OK;
    if (status) return status; /* without the floor versions might repeat */
    char *path = databases_path(all, FOLDER_NEW, database->name), *aside = NULL;
    bool installed = false;
    record.max_disk_bytes = max_disk_bytes;
    record.created_at_ms = (int64_t)env_now_ms(env_posix());
    if (!record.version_floor) record.version_floor = 1;
    status = path ? make_aside(all, path, from, record.version_floor) : VELOCITY_NO_MEMORY;
    if (!status) status = database_record_write(all->system, database->name, &record);
    if (!status) status = databases_install_folder(all, database->name, &installed);
    if (!status && !(status = databases_start(database))) {
        env_free(path);
        return VELOCITY_OK;
    }
    struct databases_words why = databases_words();
    remove_quietly(all, path, database->name);
    if (installed && databases_put_aside(all, database->name, &aside))
        tell(all, LOGGER_LEVEL_WARNING, "folder_not_removed", database->name, velocity_error_message());
    if (aside) remove_quietly(all, aside, database->name);
    env_free(aside);
    env_free(path);
    return status_set(status, "%s", why.text);
}

/* `from`: NULL, or the folder to move in. */
static velocity_status add(struct databases *all, velocity_slice name, uint64_t max_disk_bytes, const char *from) {
    velocity_status status = databases_check_limit(max_disk_bytes);
    if (!status && !database_name_is_good(name))
        status = status_set(VELOCITY_INVALID, "a database's name is 1 to %d of a-z, 0-9, _ and -, no _ or - first",
                            DATABASE_NAME_MAX);
    if (status) return status;
    env_mutex_lock(&all->mutex);
    struct database *database = databases_add(all, name);
    if (database) databases_claim(database);
    if (!database)
        status = VELOCITY_NO_MEMORY;
    else if (database->state != DATABASE_GONE)
        status = status_set(VELOCITY_CONFLICT, "the database \"%s\" is there already", database->name);
    else if (all->present >= all->max_databases && strcmp(database->name, "default") != 0)
        status = status_set(VELOCITY_BUSY, "there are %u databases, as many as max_databases allows",
                            (unsigned)all->present);
    if (!status) databases_set_state(database, DATABASE_DROPPING);
    env_mutex_unlock(&all->mutex);
    if (database && !status) {
        status = make(database, max_disk_bytes, from);
        env_mutex_lock(&all->mutex);
        if (status) databases_set_state(database, DATABASE_GONE);
        env_mutex_unlock(&all->mutex);
        if (!status) tell(all, LOGGER_LEVEL_INFO, "database_created", database->name, "");
    }
    env_mutex_lock(&all->mutex);
    if (database) databases_unclaim(database);
    env_mutex_unlock(&all->mutex);
    return status;
}

velocity_status databases_create(struct databases *all, velocity_slice name, uint64_t max_disk_bytes) {
    return add(all, name, max_disk_bytes, NULL);
}

velocity_status databases_adopt(struct databases *all, velocity_slice name, uint64_t max_disk_bytes, const char *from) {
    return add(all, name, max_disk_bytes, from);
}

/* ---- drop ------------------------------------------------------------------------------------------------------- */

/* Nobody new gets in, and those who stay for long are told; waits for all to leave. False: they stayed. */
static bool clear_out(struct database *database, uint32_t wait_ms) {
    struct databases *all = database->all;
    uint64_t now_ms = env_monotonic_us(env_posix()) / 1000, deadline_ms = now_ms + wait_ms;
    env_mutex_lock(&all->mutex);
    databases_set_state(database, DATABASE_DROPPING);
    (void)atomic_fetch_or(&database->users, DATABASES_CLOSED);
    struct databases_listener *listener = all->listeners;
    env_mutex_unlock(&all->mutex);
    for (; listener; listener = listener->next) listener->leave(listener, database);
    env_mutex_lock(&all->mutex);
    bool empty;
    while (!(empty = atomic_load(&database->users) == DATABASES_CLOSED) && now_ms < deadline_ms) {
        (void)env_condition_wait_ms(&all->changed, &all->mutex, deadline_ms - now_ms);
        now_ms = env_monotonic_us(env_posix()) / 1000;
    }
    env_mutex_unlock(&all->mutex);
    return empty;
}

/* The floor for the next of that name; 0: the record's, for who can't write can't say what it has handed out. One is
 * left out, as if the drop had it: who watched to the end must not be taken for one who has seen all of the next. */
static uint64_t next_version(velocity *db) {
    uint64_t sequence = 0;
    velocity_write_options options = velocity_write_options_default();
    options.durability = VELOCITY_DURABILITY_OS;
    velocity_batch *nothing = velocity_batch_new(); /* passes through the queue: all writes under way come before it */
    velocity_status status = nothing ? velocity_write(db, nothing, &options, &sequence) : VELOCITY_NO_MEMORY;
    velocity_batch_free(nothing);
    return status ? 0 : sequence + 2;
}

/* The record before the folder goes. `exact`: the floor, if it is known. A disk that is full must not keep anybody from
 * dropping: the lease that the record holds already is a floor, too. */
static velocity_status note_floor(struct database *database, uint64_t exact, uint64_t *floor) {
    struct databases *all = database->all;
    struct database_record record;
    velocity_status status = database_record_read(all->system, database->name, &record);
    if (status && status != VELOCITY_NOT_FOUND) return status;
    uint64_t leased = record.version_floor;
    if (exact) record.version_floor = exact;
    if (!record.version_floor) record.version_floor = DATABASES_LEASE; /* never opened here: it began at 1 */
    *floor = record.version_floor;
    status = database_record_write(all->system, database->name, &record);
    if (!status || leased < record.version_floor) return status;
    tell(all, LOGGER_LEVEL_WARNING, "version_floor_not_lowered", database->name, velocity_error_message());
    *floor = leased;
    return VELOCITY_OK;
}

/* Nobody is inside. */
static velocity_status take_away(struct database *database, char **aside) {
    struct databases *all = database->all;
    uint64_t exact = 0, floor = 0;
    if (database->db) {
        exact = next_version(database->db);
        if (databases_stop(database, CLOSE_WAIT_MS) == VELOCITY_BUSY) return VELOCITY_BUSY;
        /* Else it is closed, whatever it could not write any more. */
    }
    velocity_status status = note_floor(database, exact, &floor);
    if (!status) status = databases_put_aside(all, database->name, aside);
    if (!status && database_record_forget(all->system, database->name, floor))
        tell(all, LOGGER_LEVEL_WARNING, "record_not_shortened", database->name, velocity_error_message());
    return status;
}

/* As it was before, as far as that can be; the message stays. */
static velocity_status put_back(struct database *database, velocity_status status) {
    struct databases_words why = databases_words();
    if (database->db) {
        env_mutex_lock(&database->all->mutex);
        databases_publish(database);
        env_mutex_unlock(&database->all->mutex);
    } else {
        velocity_status again = databases_start(database);
        env_mutex_lock(&database->all->mutex);
        if (again) databases_publish_damage(database, again);
        env_mutex_unlock(&database->all->mutex);
    }
    return status_set(status, "%s", why.text);
}

/* Claimed. */
static velocity_status drop(struct database *database, uint32_t wait_ms) {
    struct databases *all = database->all;
    char *aside = NULL;
    bool empty = clear_out(database, wait_ms);
    velocity_status status =
        empty ? take_away(database, &aside)
              : status_set(VELOCITY_BUSY, "the database \"%s\" is in use, and was not left within %u ms",
                           database->name, (unsigned)wait_ms);
    if (status && !aside) return put_back(database, status);
    env_mutex_lock(&all->mutex);
    databases_set_state(database, DATABASE_GONE);
    database->max_disk_bytes = DATABASES_DEFAULT;
    database->created_at_ms = 0;
    env_mutex_unlock(&all->mutex);
    tell(all, LOGGER_LEVEL_INFO, "database_dropped", database->name, "");
    remove_quietly(all, aside, database->name);
    env_free(aside);
    return status;
}

velocity_status databases_drop(struct databases *all, velocity_slice name, uint32_t wait_ms) {
    struct database *database = databases_find(all, name);
    if (!database) return status_set(VELOCITY_NOT_FOUND, "there is no such database");
    if (database == all->first) return status_set(VELOCITY_INVALID, "the database \"default\" can't be dropped");
    env_mutex_lock(&all->mutex);
    databases_claim(database);
    bool there = database->state != DATABASE_GONE;
    env_mutex_unlock(&all->mutex);
    velocity_status status =
        there ? drop(database, wait_ms) : status_set(VELOCITY_NOT_FOUND, "there is no such database");
    env_mutex_lock(&all->mutex);
    databases_unclaim(database);
    env_mutex_unlock(&all->mutex);
    return status;
}
