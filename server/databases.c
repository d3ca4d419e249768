/*
 * databases.c - the table of databases: acquire and release, settings, listing. See databases_internal.h.
 */
#include "server/databases_internal.h"

#include <stdio.h>
#include <stdlib.h>

velocity_status databases_check_limit(uint64_t max_disk_bytes) {
    if (max_disk_bytes == 0 || max_disk_bytes == DATABASES_DEFAULT) return VELOCITY_OK;
    if (max_disk_bytes >= DATABASES_LEAST_LIMIT && max_disk_bytes <= DATABASES_MOST_LIMIT) return VELOCITY_OK;
    return status_set(VELOCITY_INVALID, "max_disk_bytes is %llu; it takes 0 (no limit) or %llu to %llu",
                      (unsigned long long)max_disk_bytes, (unsigned long long)DATABASES_LEAST_LIMIT,
                      (unsigned long long)DATABASES_MOST_LIMIT);
}

struct logger *databases_log(const struct databases *all) {
    return all->log;
}

/* ---- the table -------------------------------------------------------------------------------------------------- */

static size_t bucket_of(velocity_slice name) {
    uint64_t hash = name.size;
    for (size_t at = 0; at < name.size; at += sizeof hash) {
        uint64_t word = 0;
        size_t left = name.size - at;
        memcpy(&word, (const char *)name.data + at, left < sizeof word ? left : sizeof word);
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15); /* 2^64 / the golden ratio: spreads into the high bits */
        hash ^= hash >> 32;
    }
    return hash % DATABASES_BUCKETS;
}

static inline bool is_named(const struct database *database, velocity_slice name) {
    return database->name_size == name.size && memcmp(database->name, name.data, name.size) == 0;
}

struct database *databases_find(struct databases *all, velocity_slice name) {
    if (name.size == 0 || name.size > DATABASE_NAME_MAX) return NULL;
    if (all->first && is_named(all->first, name)) return all->first; /* nearly always */
    struct database *database = atomic_load_explicit(&all->buckets[bucket_of(name)], memory_order_acquire);
    while (database && !is_named(database, name)) database = database->next;
    return database;
}

struct database *databases_add(struct databases *all, velocity_slice name) {
    struct database *database = databases_find(all, name);
    if (database) return database;
    database = calloc(1, sizeof *database);
    if (!database) {
        (void)status_set(VELOCITY_NO_MEMORY, "no memory for a database");
        return NULL;
    }
    _Atomic(struct database *) *bucket = &all->buckets[bucket_of(name)];
    memcpy(database->name, name.data, name.size);
    database->name_size = name.size;
    database->all = all;
    database->max_disk_bytes = DATABASES_DEFAULT;
    database->next = atomic_load_explicit(bucket, memory_order_relaxed);
    atomic_init(&database->users, DATABASES_CLOSED);
    atomic_store_explicit(bucket, database, memory_order_release);
    return database;
}

void databases_claim(struct database *database) {
    while (database->claimed) env_condition_wait(&database->all->changed, &database->all->mutex);
    database->claimed = true;
}

void databases_unclaim(struct database *database) {
    database->claimed = false;
    env_condition_broadcast(&database->all->changed);
}

void databases_set_state(struct database *database, enum database_state state) {
    database->all->present += (state != DATABASE_GONE) - (database->state != DATABASE_GONE);
    database->state = state;
}

uint64_t databases_limit(const struct database *database) {
    bool by_default = database->max_disk_bytes == DATABASES_DEFAULT;
    return by_default ? database->all->default_max_disk_bytes : database->max_disk_bytes;
}

/* Under the mutex; OPEN only. The limit was checked before. */
static void apply_limit(struct database *database) {
    if (velocity_set_max_database_bytes(database->db, databases_limit(database))) { /* see above */
    }
}

void databases_publish(struct database *database) {
    databases_set_state(database, DATABASE_OPEN);
    database->status = VELOCITY_OK;
    database->message[0] = 0;
    apply_limit(database); /* it may have changed while this was being opened */
    (void)atomic_fetch_and(&database->users, ~DATABASES_CLOSED);
}

void databases_publish_damage(struct database *database, velocity_status status) {
    databases_set_state(database, DATABASE_DAMAGED);
    database->status = status;
    (void)snprintf(database->message, sizeof database->message, "%s", velocity_error_message());
}

/* ---- acquire and release ---------------------------------------------------------------------------------------- */

/* Under the mutex. Why nobody gets in. */
static velocity_status state_status(const struct database *database) {
    switch (database->state) {
    case DATABASE_GONE: return status_set(VELOCITY_NOT_FOUND, "there is no database \"%s\"", database->name);
    case DATABASE_DAMAGED: return status_set(database->status, "%s", database->message);
    case DATABASE_OPEN: /* it became so this moment */
    case DATABASE_DROPPING: break;
    }
    return status_set(VELOCITY_BUSY, "the database \"%s\" is being made or dropped", database->name);
}

velocity_status databases_acquire(struct databases *all, velocity_slice name, struct database **out) {
    struct database *database = databases_find(all, name);
    *out = NULL;
    if (!database)
        return status_set(VELOCITY_NOT_FOUND, "there is no database \"%.*s\"",
                          (int)(name.size < DATABASE_NAME_MAX ? name.size : DATABASE_NAME_MAX),
                          name.size ? (const char *)name.data : "");
    if (!(atomic_fetch_add(&database->users, 1) & DATABASES_CLOSED)) {
        *out = database;
        return VELOCITY_OK;
    }
    database_release(database);
    env_mutex_lock(&all->mutex);
    velocity_status status = state_status(database);
    env_mutex_unlock(&all->mutex);
    return status;
}

void database_release(struct database *database) {
    if (!database || atomic_fetch_sub(&database->users, 1) != (DATABASES_CLOSED | 1)) return;
    env_mutex_lock(&database->all->mutex); /* somebody waits for the last one to leave */
    env_condition_broadcast(&database->all->changed);
    env_mutex_unlock(&database->all->mutex);
}

struct database *database_hold(struct database *database) {
    (void)atomic_fetch_add(&database->users, 1);
    return database;
}

bool database_is_closing(const struct database *database) {
    return (atomic_load_explicit(&database->users, memory_order_relaxed) & DATABASES_CLOSED) != 0;
}

const char *database_name(const struct database *database) {
    return database->name;
}

struct store *database_store(struct database *database) {
    return database->store;
}

uint64_t database_opening(const struct database *database) {
    return database->opening;
}

void databases_listen(struct databases *all, struct databases_listener *listener) {
    env_mutex_lock(&all->mutex);
    listener->next = all->listeners;
    all->listeners = listener;
    env_mutex_unlock(&all->mutex);
}

void databases_unlisten(struct databases *all, struct databases_listener *listener) {
    env_mutex_lock(&all->mutex);
    struct databases_listener **link = &all->listeners;
    while (*link && *link != listener) link = &(*link)->next;
    if (*link) *link = listener->next;
    env_mutex_unlock(&all->mutex);
}

/* ---- every one of them ------------------------------------------------------------------------------------------ */

static int by_name(const void *a, const void *b) {
    return strcmp((*(struct database *const *)a)->name, (*(struct database *const *)b)->name);
}

/* Those that are there, by name; for free(). NULL: no memory. */
static struct database **gather(struct databases *all, size_t *count) {
    *count = 0;
    env_mutex_lock(&all->mutex);
    struct database **list = calloc(all->present + 1u, sizeof(struct database *));
    for (size_t i = 0; list && i < DATABASES_BUCKETS; i++)
        for (struct database *d = atomic_load(&all->buckets[i]); d; d = d->next)
            if (d->state != DATABASE_GONE) list[(*count)++] = d;
    env_mutex_unlock(&all->mutex);
    if (list) qsort(list, *count, sizeof(struct database *), by_name);
    return list;
}

uint32_t databases_count(struct databases *all) {
    env_mutex_lock(&all->mutex);
    uint32_t count = all->present;
    env_mutex_unlock(&all->mutex);
    return count;
}

/* False: it has gone meanwhile. `message` is the caller's, and what info's points to. */
static bool describe(struct database *database, struct database_info *info, char message[DATABASES_MESSAGE_BYTES]) {
    struct databases *all = database->all;
    bool inside = !(atomic_fetch_add(&database->users, 1) & DATABASES_CLOSED);
    *info = (struct database_info){.name = database->name, .message = message};
    env_mutex_lock(&all->mutex);
    bool there = database->state != DATABASE_GONE;
    if (there && !inside) {
        info->status = state_status(database);
        (void)snprintf(message, DATABASES_MESSAGE_BYTES, "%s", velocity_error_message());
    }
    info->max_disk_bytes = databases_limit(database);
    info->limit_is_default = database->max_disk_bytes == DATABASES_DEFAULT;
    info->created_at_ms = database->created_at_ms;
    env_mutex_unlock(&all->mutex);
    info->stats.struct_size = sizeof info->stats;
    if (inside) info->status = velocity_stats_get(database->db, &info->stats);
    database_release(database);
    return there;
}

velocity_status databases_list(struct databases *all, velocity_slice name,
                               bool (*row)(void *arg, const struct database_info *info), void *arg) {
    struct database_info info;
    char message[DATABASES_MESSAGE_BYTES] = "";
    if (name.size) {
        struct database *database = databases_find(all, name);
        if (!database || !describe(database, &info, message))
            return status_set(VELOCITY_NOT_FOUND, "there is no such database");
        (void)row(arg, &info);
        return VELOCITY_OK;
    }
    size_t count;
    struct database **list = gather(all, &count);
    if (!list) return status_set(VELOCITY_NO_MEMORY, "no memory to list the databases");
    bool more = true;
    for (size_t i = 0; i < count && more; i++, message[0] = 0)
        if (describe(list[i], &info, message)) more = row(arg, &info);
    free(list);
    return VELOCITY_OK;
}

/* ---- settings --------------------------------------------------------------------------------------------------- */

static velocity_status note_limit(struct database *database, uint64_t max_disk_bytes) {
    struct database_record record;
    velocity *system = database->all->system;
    velocity_status status = database_record_read(system, database->name, &record);
    if (status == VELOCITY_NOT_FOUND) status = VELOCITY_OK; /* a damaged one, never opened here */
    record.max_disk_bytes = max_disk_bytes;
    return status ? status : database_record_write(system, database->name, &record);
}

velocity_status databases_set_limit(struct databases *all, velocity_slice name, uint64_t max_disk_bytes) {
    velocity_status status = databases_check_limit(max_disk_bytes);
    if (status) return status;
    struct database *database = databases_find(all, name);
    if (!database) return status_set(VELOCITY_NOT_FOUND, "there is no such database");
    env_mutex_lock(&all->mutex);
    databases_claim(database);
    if (database->state == DATABASE_GONE) status = state_status(database);
    env_mutex_unlock(&all->mutex);
    if (!status) status = note_limit(database, max_disk_bytes);
    env_mutex_lock(&all->mutex);
    if (!status) database->max_disk_bytes = max_disk_bytes;
    if (!status && database->state == DATABASE_OPEN) apply_limit(database);
    databases_unclaim(database);
    env_mutex_unlock(&all->mutex);
    return status;
}

velocity_status databases_set_default_limit(struct databases *all, uint64_t max_disk_bytes) {
    velocity_status status = databases_check_limit(max_disk_bytes);
    if (!status && max_disk_bytes == DATABASES_DEFAULT)
        status = status_set(VELOCITY_INVALID, "the default limit can't be the default");
    if (status) return status;
    env_mutex_lock(&all->mutex);
    all->default_max_disk_bytes = max_disk_bytes;
    for (size_t i = 0; i < DATABASES_BUCKETS; i++)
        for (struct database *d = atomic_load(&all->buckets[i]); d; d = d->next)
            if (d->state == DATABASE_OPEN && d->max_disk_bytes == DATABASES_DEFAULT) apply_limit(d);
    env_mutex_unlock(&all->mutex);
    return VELOCITY_OK;
}

void databases_set_cache_bytes(struct databases *all, uint64_t bytes) {
    velocity_shared_set_cache_bytes(all->shared, bytes);
}

/* Each is synced on the way. Those that are just being opened look at the template again when they are published. */
void databases_set_durability(struct databases *all, velocity_durability durability, uint32_t interval_ms) {
    size_t count;
    env_mutex_lock(&all->mutex);
    all->template.durability = durability;
    all->template.interval_ms = interval_ms;
    env_mutex_unlock(&all->mutex);
    struct database **list = gather(all, &count);
    for (size_t i = 0; list && i < count; i++) {
        struct database *database;
        if (databases_acquire(all, velocity_bytes(list[i]->name, list[i]->name_size), &database)) continue;
        if (velocity_set_durability(database->db, durability, interval_ms) && all->log)
            logger_event(all->log, LOGGER_LEVEL_WARNING, "durability_not_settled",
                         logger_text("database", list[i]->name), logger_text("reason", velocity_error_message()));
        database_release(database);
    }
    free(list);
}
