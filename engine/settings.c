/*
 * settings.c - what can be changed while a database is open: its size limit, and when writes are acknowledged. See
 * database_internal.h.
 *
 * Who uses a setting loads it anew each time, and may see an old one a moment longer. db->options keeps what the
 * database was opened with.
 */
#include "database_internal.h"

enum { LIMIT_BUFFER_PART = 16 }; /* of the limit is a write buffer: the log holds what it holds */

velocity_status settings_check_range(const char *option, uint64_t value, uint64_t least, uint64_t most) {
    if (value >= least && value <= most) return VELOCITY_OK;
    return status_set(VELOCITY_INVALID, "option %s is %llu; it takes %llu to %llu", option, (unsigned long long)value,
                      (unsigned long long)least, (unsigned long long)most);
}

velocity_status settings_check_limit(uint64_t bytes) {
    return bytes ? settings_check_range("max_database_bytes", bytes, 32u << 20, UINT64_MAX) : VELOCITY_OK;
}

velocity_status settings_check_durability(velocity_durability durability, uint32_t interval_ms) {
    velocity_status status =
        settings_check_range("durability", durability, VELOCITY_DURABILITY_DEFAULT, VELOCITY_DURABILITY_OS);
    return status ? status : settings_check_range("interval_ms", interval_ms, 1, 60000);
}

/* Under db->mutex, or before anybody knows the database. */
static void set_limit(velocity *db, uint64_t bytes) {
    uint64_t buffer_bytes = db->options.memtable_bytes;
    if (bytes && buffer_bytes > bytes / LIMIT_BUFFER_PART) buffer_bytes = bytes / LIMIT_BUFFER_PART;
    atomic_store(&db->buffer_bytes, buffer_bytes);
    atomic_store(&db->limit_bytes, bytes);
}

static uint32_t tick_ms(velocity_durability durability, uint32_t interval_ms) {
    return durability == VELOCITY_DURABILITY_INTERVAL && interval_ms < TICK_MS ? interval_ms : TICK_MS;
}

void settings_init(velocity *db) {
    set_limit(db, db->options.max_database_bytes);
    atomic_store(&db->durability, db->options.durability);
    atomic_store(&db->interval_ms, db->options.interval_ms);
    db->ticker.period_ms = tick_ms(db->options.durability, db->options.interval_ms);
}

velocity_status velocity_set_max_database_bytes(velocity *db, uint64_t bytes) {
    velocity_status status = settings_check_limit(bytes);
    if (status) return status;
    env_mutex_lock(&db->mutex);
    set_limit(db, bytes);
    while (bytes && db->segment_bytes > SEGMENT_MIN_BYTES && db->segment_bytes > database_buffer_bytes(db))
        db->segment_bytes /= 2;
    limit_note(db);
    env_mutex_unlock(&db->mutex);
    if (bytes) room_drop_spares(db); /* as under a limit none are kept */
    return VELOCITY_OK;
}

velocity_status velocity_set_durability(velocity *db, velocity_durability durability, uint32_t interval_ms) {
    velocity_status status = settings_check_durability(durability, interval_ms);
    if (status) return status;
    if (durability == VELOCITY_DURABILITY_DEFAULT) durability = VELOCITY_DURABILITY_ALWAYS;
    atomic_store(&db->interval_ms, interval_ms);
    atomic_store(&db->durability, durability);
    pool_ticker_set_period(db->shared->pool, &db->ticker, tick_ms(durability, interval_ms));
    return commit_sync(db);
}
